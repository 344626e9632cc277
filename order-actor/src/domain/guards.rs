//! Guards that several commands share.
//! Never here: which of them a command checks, or in which order.

use std::collections::BTreeSet;

use shared_events::contract::{Quantity, ReturnId};

use super::{
    By, Details, Event, Existing, Line, LineQuantity, Order, Rejection, ReturnRequested, Role,
    Status, bounds,
};

/// What is decided: what happens, or why nothing does.
pub(super) type Decision = Result<Vec<Event>, Rejection>;

/// What was asked is so already: nothing happens.
pub(super) const NOTHING_HAPPENS: Decision = Ok(Vec::new());

/// A field, and whether what there is differs in it from what is asked for.
pub(super) type Differs = (&'static str, bool);

/// An id is used again: for the same nothing happens, for something else it is refused.
pub(super) fn the_same_or(existing: Existing, fields: &[Differs]) -> Decision {
    let differs: Vec<_> =
        fields.iter().filter(|(_, differs)| *differs).map(|(field, _)| *field).collect();
    if differs.is_empty() {
        NOTHING_HAPPENS
    } else {
        Err(Rejection::AlreadyExists { existing, differs })
    }
}

/// Whether these are the same units, in whatever order they are named.
pub(super) fn same_units(one: &[LineQuantity], other: &[LineQuantity]) -> bool {
    let sorted = |lines: &[LineQuantity]| {
        let mut lines: Vec<_> = lines.iter().map(|named| (named.line, named.quantity)).collect();
        lines.sort_unstable();
        lines
    };
    one == other || sorted(one) == sorted(other)
}

/// The state of the order does not take what was asked.
pub(super) fn invalid_transition(order: &Order, asked: &'static str) -> Rejection {
    let refused = |from: Status| Rejection::InvalidTransition { from, asked };
    order.status().map_or(Rejection::NotFound, refused)
}

/// The return that waits for judgement, if it is the one that is named.
pub(super) fn waiting_return<'a>(
    order: &'a Order,
    named: Option<ReturnId>,
    asked: &'static str,
) -> Result<&'a ReturnRequested, Rejection> {
    let Order::ReturnRequested(waiting) = order else {
        return Err(invalid_transition(order, asked));
    };
    if named.is_some_and(|named| named != waiting.return_id) {
        return Err(Rejection::ReturnMismatch);
    }
    Ok(waiting)
}

/// After this event the order stays as far from its end as it was.
pub(super) const fn goes_on(details: &Details) -> Result<(), Rejection> {
    if details.events + 1 > bounds::EVENTS_MAX - bounds::ENDING_ROOM {
        return Err(Rejection::TooManyEvents);
    }
    Ok(())
}

/// What a customer asks for again and again; others have their reasons.
pub(super) fn asked_again(by: &By, what: &'static str, before: u64) -> Result<(), Rejection> {
    let max = bounds::CUSTOMER_ASKS_MAX;
    if by.role() == Role::Customer && before >= max {
        return Err(Rejection::AskedTooOften { what, max });
    }
    Ok(())
}

/// The units named, or all that are open where none are.
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

/// Whether the units named are units that the customer has; some are named.
pub(super) fn kept_units(details: &Details, named: &[LineQuantity]) -> Result<(), Rejection> {
    if named.is_empty() {
        let (at, detail) = ("lines".to_owned(), bounds::SOME_LINE);
        return Err(Rejection::InvalidReturnLines { line: 0, at, detail });
    }
    check_units(named, |line| details.line(line).map(Line::kept)).map_err(|wrong| {
        let detail = wrong.detail("more units than were delivered and kept");
        Rejection::InvalidReturnLines { line: wrong.line, at: wrong.at(), detail }
    })
}

/// All units that are still to be delivered.
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

/// How many units these are together. Distinct lines within their open units are everything that
/// is open exactly where their sums agree.
pub(super) fn units(lines: &[LineQuantity]) -> u64 {
    lines.iter().map(|line| u64::from(line.quantity.get())).sum()
}

/// Units that are not there.
struct Wrong {
    /// Which of those named, from 0.
    index: usize,
    line: u32,
    why: Why,
}

enum Why {
    NoSuchLine,
    Twice,
    TooMany,
}

impl Wrong {
    const fn detail(&self, too_many: &'static str) -> &'static str {
        match self.why {
            Why::NoSuchLine => "no such line",
            Why::Twice => bounds::NAMED_TWICE,
            Why::TooMany => too_many,
        }
    }

    fn at(&self) -> String {
        let part = match self.why {
            Why::NoSuchLine | Why::Twice => "line",
            Why::TooMany => "quantity",
        };
        format!("lines[{}].{part}", self.index)
    }
}

fn check_units(named: &[LineQuantity], within: impl Fn(u32) -> Option<u32>) -> Result<(), Wrong> {
    let mut seen = BTreeSet::new();
    for (index, LineQuantity { line, quantity }) in named.iter().enumerate() {
        let wrong = |why| Wrong { index, line: *line, why };
        let most = within(*line).ok_or(wrong(Why::NoSuchLine))?;
        if !seen.insert(*line) {
            return Err(wrong(Why::Twice));
        }
        if quantity.get() > most {
            return Err(wrong(Why::TooMany));
        }
    }
    Ok(())
}

/// A reason that says something and is not too long.
pub(super) fn reason_given(reason: &str) -> Result<(), Rejection> {
    if reason.trim().is_empty() {
        return Err(Rejection::ReasonRequired);
    }
    text_fits("reason", reason)
}

/// What people write.
pub(super) fn text_fits(field: &'static str, text: &str) -> Result<(), Rejection> {
    fits(field, text, bounds::TEXT_MAX)
}

/// A carrier's name or tracking number.
pub(super) fn carrier_fits(field: &'static str, text: &str) -> Result<(), Rejection> {
    fits(field, text, bounds::CARRIER_MAX)
}

fn fits(field: &'static str, text: &str, max: usize) -> Result<(), Rejection> {
    if text.chars().count() <= max { Ok(()) } else { Err(Rejection::TextTooLong { field, max }) }
}
