//! Checks that several commands share.
//! Never here: which of them a command checks, or in which order.

use std::collections::BTreeSet;

use shared_events::contract::{Money, Quantity, Timestamp};

use super::{
    By, Details, Event, Existing, Line, LineQuantity, Order, PriceError, Rejection, Role, Status,
    bounds,
};

/// The events of a command, or its rejection.
pub(super) type Decision = Result<Vec<Event>, Rejection>;

impl From<PriceError> for Rejection {
    fn from(error: PriceError) -> Self {
        match error {
            PriceError::CurrencyMismatch => Self::CurrencyMismatch,
            PriceError::Overflow => Self::AmountOverflow,
            PriceError::Amount { at, detail } => Self::InvalidAmount { at, detail },
        }
    }
}

/// The order already is as requested: no events.
pub(super) const NOTHING_HAPPENS: Decision = Ok(Vec::new());

/// A field, and whether the existing value differs from the requested one.
pub(super) type Differs = (&'static str, bool);

/// The answer to a repeated id: no events for the same content, a rejection for other content.
pub(super) fn same_or_exists(existing: Existing, fields: &[Differs]) -> Decision {
    let differs: Vec<_> =
        fields.iter().filter(|(_, differs)| *differs).map(|(field, _)| *field).collect();
    if differs.is_empty() {
        NOTHING_HAPPENS
    } else {
        Err(Rejection::AlreadyExists { existing, differs })
    }
}

/// Whether these are the same units, in any order.
pub(super) fn same_units(one: &[LineQuantity], other: &[LineQuantity]) -> bool {
    let sorted = |lines: &[LineQuantity]| {
        let mut lines: Vec<_> = lines.iter().map(|named| (named.line, named.quantity)).collect();
        lines.sort_unstable();
        lines
    };
    one == other || sorted(one) == sorted(other)
}

/// The rejection of a command that the order's state does not allow.
pub(super) fn invalid_transition(order: &Order, call: &'static str) -> Rejection {
    let refused = |from: Status| Rejection::InvalidTransition { from, call };
    order.status().map_or(Rejection::NotFound, refused)
}

/// A refund covers the charges that are paid back with it. `otherwise` is said where the refund was
/// not named: then the bound is what was paid back before.
pub(super) fn covers_charges(
    named: Option<Money>,
    refund: Money,
    charges: Money,
    otherwise: Rejection,
) -> Result<(), Rejection> {
    if refund.minor >= charges.minor {
        return Ok(());
    }
    Err(named.map_or(otherwise, |_| Rejection::RefundBelowCharges { charges }))
}

/// Refuses an event that does not bring the order closer to its end, if it has too many already.
/// What payments may still answer has its room.
pub(super) fn leaves_room_to_end(details: &Details) -> Result<(), Rejection> {
    let most = bounds::EVENTS_MAX - bounds::ENDING_ROOM;
    if details.events + 1 + details.answers_due() > most {
        return Err(Rejection::TooManyEvents);
    }
    Ok(())
}

/// The same; of an order with nothing open any more, whether that many events fit beside those that
/// its returns and its money may still lead to.
pub(super) fn leaves_room(order: &Order, details: &Details, events: u64) -> Result<(), Rejection> {
    if matches!(order, Order::Pending(_) | Order::Confirmed(_)) {
        return leaves_room_to_end(details);
    }
    let waiting: u64 = details.waiting.iter().map(|one| one.events_left()).sum();
    if details.events + events + waiting + details.answers_due() > bounds::EVENTS_MAX {
        return Err(Rejection::TooManyEvents);
    }
    Ok(())
}

/// Limits how often a customer may repeat a request; other roles are not limited.
pub(super) fn within_customer_limit(
    by: &By,
    what: &'static str,
    before: u64,
) -> Result<(), Rejection> {
    let max = bounds::CUSTOMER_ASKS_MAX;
    if by.role() == Role::Customer && before >= max {
        return Err(Rejection::AskedTooOften { what, max });
    }
    Ok(())
}

/// The units named, or all open units if none are named.
pub(super) fn open_units(
    details: &Details,
    named: &[LineQuantity],
) -> Result<Vec<LineQuantity>, Rejection> {
    if named.is_empty() {
        return Ok(all_open(details));
    }
    check_units(named, |line| details.line(line).map(Line::open)).map_err(|wrong| {
        let detail = wrong.detail("more units than are open");
        Rejection::InvalidLines { line: wrong.line, at: wrong.at(), detail }
    })?;
    Ok(named.to_vec())
}

/// Checks that the units named are held by the customer, and that some are named.
pub(super) fn kept_units(details: &Details, named: &[LineQuantity]) -> Result<(), Rejection> {
    if named.is_empty() {
        let (at, detail) = ("lines".to_owned(), bounds::LINE_REQUIRED);
        return Err(Rejection::InvalidReturnLines { line: 0, at, detail });
    }
    check_units(named, |line| details.line(line).map(Line::kept)).map_err(|wrong| {
        let detail = wrong.detail("more units than were delivered and kept");
        Rejection::InvalidReturnLines { line: wrong.line, at: wrong.at(), detail }
    })
}

/// All undelivered units.
pub(super) fn all_open(details: &Details) -> Vec<LineQuantity> {
    details
        .lines
        .iter()
        .filter_map(|line| {
            let quantity = Quantity::new(line.open()).ok()?;
            Some(LineQuantity { line: line.number, quantity })
        })
        .collect()
}

/// The number of units. Distinct lines within their open units cover everything open exactly if
/// the two sums agree.
pub(super) fn units(lines: &[LineQuantity]) -> u64 {
    lines.iter().map(|line| u64::from(line.quantity.get())).sum()
}

/// Units that a command may not name.
struct InvalidUnits {
    /// Index among the lines named, from 0.
    index: usize,
    line: u32,
    cause: Cause,
}

enum Cause {
    NoSuchLine,
    Twice,
    TooMany,
}

impl InvalidUnits {
    const fn detail(&self, too_many: &'static str) -> &'static str {
        match self.cause {
            Cause::NoSuchLine => "no such line",
            Cause::Twice => bounds::NAMED_TWICE,
            Cause::TooMany => too_many,
        }
    }

    fn at(&self) -> String {
        let part = match self.cause {
            Cause::NoSuchLine | Cause::Twice => "line",
            Cause::TooMany => "quantity",
        };
        format!("lines[{}].{part}", self.index)
    }
}

fn check_units(
    named: &[LineQuantity],
    within: impl Fn(u32) -> Option<u32>,
) -> Result<(), InvalidUnits> {
    let mut seen = BTreeSet::new();
    for (index, LineQuantity { line, quantity }) in named.iter().enumerate() {
        let wrong = |cause| InvalidUnits { index, line: *line, cause };
        let most = within(*line).ok_or(wrong(Cause::NoSuchLine))?;
        if !seen.insert(*line) {
            return Err(wrong(Cause::Twice));
        }
        if quantity.get() > most {
            return Err(wrong(Cause::TooMany));
        }
    }
    Ok(())
}

/// Checks that a reason is neither blank nor too long.
pub(super) fn reason_given(reason: &str) -> Result<(), Rejection> {
    if reason.trim().is_empty() {
        return Err(Rejection::ReasonRequired);
    }
    text_fits("reason", reason)
}

/// Checks the length of a free text.
pub(super) fn text_fits(field: &'static str, text: &str) -> Result<(), Rejection> {
    fits(field, text, bounds::TEXT_MAX)
}

/// Refuses to ship a held order.
pub(super) fn not_held(details: &Details) -> Result<(), Rejection> {
    let holds: Vec<String> = details.standing_holds().map(|hold| hold.name().to_owned()).collect();
    if holds.is_empty() { Ok(()) } else { Err(Rejection::OrderHeld { holds }) }
}

/// Refuses to change or ship units while an edit waits for stock.
pub(super) fn no_edit_waits(details: &Details) -> Result<(), Rejection> {
    match details.waiting_edit() {
        Some(edit) => Err(Rejection::EditPending { edit_id: edit.edit_id }),
        None => Ok(()),
    }
}

/// Refuses commands that lengthen an order which is over: its return window has passed, and its
/// events may be archived.
pub(super) fn not_over(order: &Order, now: Timestamp, call: &'static str) -> Result<(), Rejection> {
    match order {
        order if order.is_ended() => Err(invalid_transition(order, call)),
        order if order.is_over(now) => Err(Rejection::ReturnWindowExpired),
        _ => Ok(()),
    }
}

/// Checks the length of a warehouse's own id of a parcel.
pub(super) fn reference_fits(field: &'static str, text: &str) -> Result<(), Rejection> {
    fits(field, text, bounds::REFERENCE_MAX)
}

/// Checks the length of the label of a hold.
pub(super) fn label_fits(text: &str) -> Result<(), Rejection> {
    fits("label", text, bounds::HOLD_LABEL_MAX)
}

/// Checks the length of a carrier's name or tracking number.
pub(super) fn carrier_fits(field: &'static str, text: &str) -> Result<(), Rejection> {
    fits(field, text, bounds::CARRIER_MAX)
}

/// Checks that a note says something, and its length.
pub(super) fn note_fits(text: &str) -> Result<(), Rejection> {
    if text.trim().is_empty() {
        return Err(Rejection::NoteRequired);
    }
    fits("text", text, bounds::NOTE_MAX)
}

fn fits(field: &'static str, text: &str, max: usize) -> Result<(), Rejection> {
    if text.chars().count() <= max { Ok(()) } else { Err(Rejection::TextTooLong { field, max }) }
}
