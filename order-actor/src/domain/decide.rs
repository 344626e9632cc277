use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared_events::contract::{
    CancelReason, Disposition, Money, MoneyError, Quantity, ReturnId, Timestamp,
};

use super::{
    ApproveReturn, By, Cancel, Command, Confirm, Confirmed, Details, Event, Existing, Fulfill,
    JudgedReturn, Judgement, LineQuantity, Order, Place, PlacedLine, Policy, RejectReturn,
    Rejection, RequestReturn, Restitution, ReturnLineDisposition, ReturnRequested, Role, Shipment,
    Status, policy,
};

type Decision = Result<Vec<Event>, Rejection>;

/// What was asked is so already: nothing happens.
const NOTHING_HAPPENS: Decision = Ok(Vec::new());

/// Decides a command: the events it brings about, none where it is so already, or the first guard
/// that refuses it. Guards are checked in the order of LIFECYCLE's table: who, then whether the
/// order exists, then its state, then the content.
///
/// # Errors
/// [`Rejection`]
pub fn decide(
    order: &Order,
    command: &Command,
    by: &By,
    now: Timestamp,
    policy: &Policy,
) -> Decision {
    may(command, by)?;
    if let Command::Place(place) = command {
        return decide_place(order, place, by, now, policy);
    }
    let Some(details) = order.details() else {
        return match command {
            Command::Lapse | Command::Escalate => NOTHING_HAPPENS,
            _ => Err(Rejection::NotFound),
        };
    };
    if !by.may_see_orders_of(details.customer_id) {
        return Err(Rejection::NotFound);
    }
    match command {
        Command::Place(place) => decide_place(order, place, by, now, policy),
        Command::Confirm(confirm) => decide_confirm(order, confirm, now),
        Command::Cancel(cancel) => decide_cancel(order, cancel, by, now, policy),
        Command::Lapse => decide_lapse(order, now),
        Command::Fulfill(fulfill) => decide_fulfill(order, details, fulfill, now, policy),
        Command::RequestReturn(request) => decide_request(order, details, request, by, now, policy),
        Command::Escalate => decide_escalate(order, now),
        Command::ApproveReturn(approve) => decide_approve(order, details, approve, now),
        Command::RejectReturn(reject) => decide_reject(order, details, reject, now),
    }
}

/// Whether somebody in that role may say this to any order, whatever it is.
///
/// # Errors
/// [`Rejection::Forbidden`]
pub fn may(command: &Command, by: &By) -> Result<(), Rejection> {
    let may = match command {
        Command::Place(place) => match by {
            By::Customer(own) => *own == place.customer_id,
            By::Service(_) | By::Ops(_) => true,
            By::Engine(_) => false,
        },
        Command::Confirm(_) | Command::Lapse | Command::Escalate => by.role() == Role::Engine,
        Command::Cancel(_) => matches!(by.role(), Role::Customer | Role::Ops | Role::Engine),
        Command::Fulfill(_) => matches!(by.role(), Role::Service | Role::Ops),
        Command::RequestReturn(_) => matches!(by.role(), Role::Customer | Role::Ops),
        Command::ApproveReturn(_) | Command::RejectReturn(_) => by.role() == Role::Ops,
    };
    if may { Ok(()) } else { Err(Rejection::Forbidden { role: by.role() }) }
}

fn decide_place(
    order: &Order,
    place: &Place,
    by: &By,
    now: Timestamp,
    policy: &Policy,
) -> Decision {
    let total = total_of(place)?;
    place.address.check().map_err(Rejection::InvalidAddress)?;
    place.contact.check().map_err(Rejection::InvalidContact)?;
    if let Some(details) = order.details() {
        // What is in somebody else's order is not told, not even that.
        let known = by.may_see_orders_of(details.customer_id);
        return if known {
            the_same_or(Existing::Order, &other_than_placed(details, place))
        } else {
            Err(Rejection::AlreadyExists { existing: Existing::Order, differs: Vec::new() })
        };
    }
    let lines = (1_u32..)
        .zip(&place.lines)
        .map(|(line, new)| PlacedLine {
            line,
            sku: new.sku.clone(),
            quantity: new.quantity,
            unit_price: new.unit_price,
            seller_id: new.seller_id,
        })
        .collect();
    Ok(vec![Event::OrderPlaced {
        order_id: place.order_id,
        customer_id: place.customer_id,
        lines,
        total,
        address: Arc::new(place.address.clone()),
        contact: Arc::new(place.contact.clone()),
        placed_at: now,
        ordered_at: place.ordered_at,
        confirm_by: now.plus(policy.confirm_within),
    }])
}

fn total_of(place: &Place) -> Result<Money, Rejection> {
    let Some(first) = place.lines.first() else { return Err(Rejection::EmptyOrder) };
    if place.lines.len() > Rejection::LINES_MAX {
        return Err(Rejection::TooManyLines);
    }
    for (line, new) in (1_u32..).zip(&place.lines) {
        if new.unit_price.minor < 0 {
            return Err(Rejection::InvalidLine { line, detail: "the unit price is below zero" });
        }
    }
    let mut total = Money::zero(first.unit_price.currency);
    let mut overflow = false;
    for new in &place.lines {
        match new.unit_price.times(new.quantity).and_then(|value| total.plus(value)) {
            Ok(sum) => total = sum,
            Err(MoneyError::CurrencyMismatch) => return Err(Rejection::CurrencyMismatch),
            Err(_) if new.unit_price.currency != total.currency => {
                return Err(Rejection::CurrencyMismatch);
            }
            Err(_) => overflow = true,
        }
    }
    if overflow { Err(Rejection::AmountOverflow) } else { Ok(total) }
}

/// The fields in which an order is not what would be placed.
fn other_than_placed(details: &Details, place: &Place) -> [Differs; 5] {
    let Place { order_id: _, customer_id, lines, address, contact, ordered_at } = place;
    let same_lines = details.lines.len() == lines.len()
        && details.lines.iter().zip(lines).all(|(line, new)| {
            line.sku == new.sku
                && line.ordered == new.quantity.get()
                && line.unit_price == new.unit_price
                && line.seller_id == new.seller_id
        });
    [
        ("customer_id", details.customer_id != *customer_id),
        ("lines", !same_lines),
        ("address", *details.address != *address),
        ("contact", *details.contact != *contact),
        ("ordered_at", details.ordered_at != *ordered_at),
    ]
}

/// A field, and whether what there is differs in it from what is asked for.
type Differs = (&'static str, bool);

/// An id is used again: for the same nothing happens, for something else it is refused.
fn the_same_or(existing: Existing, fields: &[Differs]) -> Decision {
    let differs: Vec<_> =
        fields.iter().filter(|(_, differs)| *differs).map(|(field, _)| *field).collect();
    if differs.is_empty() {
        NOTHING_HAPPENS
    } else {
        Err(Rejection::AlreadyExists { existing, differs })
    }
}

/// Whether these are the same units, in whatever order they are named.
fn same_units(one: &[LineQuantity], other: &[LineQuantity]) -> bool {
    let sorted = |lines: &[LineQuantity]| {
        let mut lines: Vec<_> = lines.iter().map(|named| (named.line, named.quantity)).collect();
        lines.sort_unstable();
        lines
    };
    one == other || sorted(one) == sorted(other)
}

fn decide_confirm(order: &Order, confirm: &Confirm, now: Timestamp) -> Decision {
    match order {
        Order::Confirmed(confirmed) if confirmed.reservation_id == confirm.reservation_id => {
            NOTHING_HAPPENS
        }
        Order::Pending(_) => {
            Ok(vec![Event::OrderConfirmed { reservation_id: confirm.reservation_id, at: now }])
        }
        _ => Err(invalid_transition(order, "Confirm")),
    }
}

fn decide_cancel(
    order: &Order,
    cancel: &Cancel,
    by: &By,
    now: Timestamp,
    policy: &Policy,
) -> Decision {
    let (details, confirmed) = match order {
        Order::Cancelled(_) => return NOTHING_HAPPENS,
        Order::Pending(pending) => (&pending.details, None),
        Order::Confirmed(confirmed) => (&confirmed.details, Some(confirmed)),
        _ => return Err(invalid_transition(order, "CancelOrder")),
    };
    let lines = open_units(details, &cancel.lines)?;
    reason_may(by, cancel.reason)?;
    text_fits("text", &cancel.text)?;
    let text = cancel.text.clone();
    let reason = cancel.reason;
    let everything = units(&lines) == units(&all_open(details));
    let delivered = confirmed.is_some_and(Confirmed::has_delivered);
    Ok(vec![if everything && !delivered {
        let skus = match reason {
            CancelReason::InsufficientStock => cancel.skus.clone(),
            _ => Vec::new(),
        };
        Event::OrderCancelled { reason, text, was_confirmed: confirmed.is_some(), skus, at: now }
    } else {
        if !everything {
            asked_again(by, "units are cancelled", details.customer_cancels)?;
            goes_on(details)?;
        }
        let shipped_at = confirmed.and_then(|confirmed| confirmed.shipped_at);
        let return_until = if everything {
            shipped_at.map(|shipped_at| shipped_at.plus(policy.return_within))
        } else {
            None
        };
        Event::LinesCancelled { lines, reason, text, return_until, at: now }
    }])
}

fn reason_may(by: &By, reason: CancelReason) -> Result<(), Rejection> {
    let may = match by.role() {
        Role::Customer => reason == CancelReason::CustomerRequest,
        Role::Ops => matches!(reason, CancelReason::Ops | CancelReason::CustomerRequest),
        Role::Engine => {
            matches!(reason, CancelReason::InsufficientStock | CancelReason::PaymentFailed)
        }
        Role::Service => false,
    };
    if may { Ok(()) } else { Err(Rejection::ForbiddenReason { role: by.role(), reason }) }
}

fn decide_lapse(order: &Order, now: Timestamp) -> Decision {
    match order {
        Order::Pending(pending) if now >= pending.confirm_by => Ok(vec![Event::OrderCancelled {
            reason: CancelReason::SlaTimeout,
            text: String::new(),
            was_confirmed: false,
            skus: Vec::new(),
            at: now,
        }]),
        _ => NOTHING_HAPPENS,
    }
}

fn decide_fulfill(
    order: &Order,
    details: &Details,
    fulfill: &Fulfill,
    now: Timestamp,
    policy: &Policy,
) -> Decision {
    if let Some(left) = details.shipment(fulfill.shipment_id) {
        return the_same_or(Existing::Shipment, &other_than_left(left, fulfill));
    }
    let Order::Confirmed(_) = order else {
        return Err(invalid_transition(order, "FulfillOrder"));
    };
    let lines = open_units(details, &fulfill.lines)?;
    short_text_fits("carrier", &fulfill.carrier)?;
    short_text_fits("tracking", &fulfill.tracking)?;
    let (shipment_id, carrier, tracking) =
        (fulfill.shipment_id, fulfill.carrier.clone(), fulfill.tracking.clone());
    let last = units(&lines) == units(&all_open(details));
    Ok(vec![if last {
        let return_until = now.plus(policy.return_within);
        Event::OrderFulfilled { shipment_id, lines, carrier, tracking, return_until, at: now }
    } else {
        goes_on(details)?;
        Event::LinesFulfilled { shipment_id, lines, carrier, tracking, at: now }
    }])
}

/// The fields in which a parcel is not what would leave.
fn other_than_left(left: &Shipment, fulfill: &Fulfill) -> [Differs; 3] {
    let Fulfill { shipment_id: _, lines, carrier, tracking } = fulfill;
    let same = if lines.is_empty() { left.took_the_rest } else { same_units(&left.lines, lines) };
    [
        ("lines", !same),
        ("carrier", left.carrier != *carrier),
        ("tracking", left.tracking != *tracking),
    ]
}

fn decide_request(
    order: &Order,
    details: &Details,
    request: &RequestReturn,
    by: &By,
    now: Timestamp,
    policy: &Policy,
) -> Decision {
    let RequestReturn { return_id, lines, reason } = request;
    let other = |asked: &[LineQuantity], why: &str| {
        [("lines", !same_units(asked, lines)), ("reason", why != reason)]
    };
    if let Order::ReturnRequested(waiting) = order
        && waiting.return_id == *return_id
    {
        return the_same_or(Existing::Return, &other(&waiting.lines, &waiting.reason));
    }
    if let Some(judged) = details.judged(*return_id) {
        the_same_or(Existing::Return, &other(&judged.lines, &judged.reason))?;
        return if judged.is_approved() {
            NOTHING_HAPPENS
        } else {
            let (existing, differs) = (Existing::RejectedReturn, Vec::new());
            Err(Rejection::AlreadyExists { existing, differs })
        };
    }
    let Order::Fulfilled(fulfilled) = order else {
        return Err(invalid_transition(order, "RequestReturn"));
    };
    if now >= fulfilled.return_until {
        return Err(Rejection::ReturnWindowExpired);
    }
    reason_given(&request.reason)?;
    if request.lines.is_empty() {
        let detail = "at least one line is named";
        let at = "lines".to_owned();
        return Err(Rejection::InvalidReturnLines { line: 0, at, detail });
    }
    let kept = |line: u32| details.line(line).map(super::Line::kept);
    check_units(&request.lines, kept).map_err(|wrong| {
        let detail = wrong.detail("more units than were delivered and kept");
        Rejection::InvalidReturnLines { line: wrong.line, at: wrong.at(), detail }
    })?;
    asked_again(by, "a return is asked for", details.customer_returns)?;
    // It, a reminder and the verdict.
    if details.events + 3 > policy::EVENTS_MAX {
        return Err(Rejection::TooManyEvents);
    }
    Ok(vec![Event::ReturnRequested {
        return_id: request.return_id,
        lines: request.lines.clone(),
        reason: request.reason.clone(),
        judge_by: now.plus(policy.judge_within),
        asked_by: by.role(),
        at: now,
    }])
}

fn decide_escalate(order: &Order, now: Timestamp) -> Decision {
    match order {
        Order::ReturnRequested(waiting) if !waiting.escalated && now >= waiting.judge_by => {
            Ok(vec![Event::ReturnEscalated { return_id: waiting.return_id, at: now }])
        }
        _ => NOTHING_HAPPENS,
    }
}

fn decide_approve(
    order: &Order,
    details: &Details,
    approve: &ApproveReturn,
    now: Timestamp,
) -> Decision {
    if let Some(judged) = approve.return_id.and_then(|named| details.judged(named)) {
        return approved_again(details, judged, approve);
    }
    let waiting = waiting_return(order, approve.return_id, "ApproveReturn")?;
    text_fits("refund_reason", &approve.refund_reason)?;
    let (lines, value) = what_comes_back(details, &waiting.lines, approve)?;
    let refund = approve.refund.unwrap_or(value);
    if refund.minor < 0 || refund.currency != details.total.currency {
        return Err(Rejection::InvalidRefund);
    }
    if refund.minor > value.minor && approve.refund_reason.trim().is_empty() {
        return Err(Rejection::RefundNeedsReason);
    }
    let most = details.refundable();
    if refund.minor > most.minor {
        return Err(Rejection::RefundTooLarge { most });
    }
    Ok(vec![Event::ReturnApproved {
        return_id: waiting.return_id,
        lines,
        refund,
        refund_reason: approve.refund_reason.clone(),
        refund_told: refund.minor > 0,
        at: now,
    }])
}

fn approved_again(details: &Details, judged: &JudgedReturn, approve: &ApproveReturn) -> Decision {
    let Judgement::Approved { lines, refund, refund_reason } = &judged.judgement else {
        return the_same_or(Existing::Judgement, &[("verdict", true)]);
    };
    let (asked, value) = what_comes_back(details, &judged.lines, approve)?;
    let other = [
        ("dispositions", asked != *lines),
        ("refund", approve.refund.unwrap_or(value) != *refund),
        ("refund_reason", approve.refund_reason != *refund_reason),
    ];
    the_same_or(Existing::Judgement, &other)
}

/// The units of a return and what becomes of them, and what they were sold for.
fn what_comes_back(
    details: &Details,
    asked: &[LineQuantity],
    approve: &ApproveReturn,
) -> Result<(Vec<Restitution>, Money), Rejection> {
    let mut dispositions: BTreeMap<u32, Disposition> =
        asked.iter().map(|asked| (asked.line, Disposition::Restock)).collect();
    let mut named = BTreeSet::new();
    for (index, asked) in approve.dispositions.iter().enumerate() {
        let ReturnLineDisposition { line, disposition } = asked;
        let wrong = |detail| {
            let at = format!("dispositions[{index}].line");
            Rejection::InvalidReturnLines { line: *line, at, detail }
        };
        let Some(chosen) = dispositions.get_mut(line) else {
            return Err(wrong("not a line of the return"));
        };
        if !named.insert(*line) {
            return Err(wrong("named twice"));
        }
        *chosen = *disposition;
    }
    let mut lines = Vec::with_capacity(asked.len());
    let mut value = Money::zero(details.total.currency);
    for LineQuantity { line, quantity } in asked {
        let unit_price =
            details.line(*line).map_or(Money::zero(value.currency), |line| line.unit_price);
        value = unit_price
            .times(*quantity)
            .and_then(|units| value.plus(units))
            .map_err(|_| Rejection::RefundTooLarge { most: details.refundable() })?;
        let disposition = dispositions.get(line).copied().unwrap_or(Disposition::Restock);
        lines.push(Restitution { line: *line, quantity: *quantity, disposition });
    }
    Ok((lines, value))
}

fn decide_reject(
    order: &Order,
    details: &Details,
    reject: &RejectReturn,
    now: Timestamp,
) -> Decision {
    if let Some(judged) = reject.return_id.and_then(|named| details.judged(named)) {
        let other = match &judged.judgement {
            Judgement::Rejected { reason } => ("reason", *reason != reject.reason),
            Judgement::Approved { .. } => ("verdict", true),
        };
        return the_same_or(Existing::Judgement, &[other]);
    }
    let waiting = waiting_return(order, reject.return_id, "RejectReturn")?;
    reason_given(&reject.reason)?;
    Ok(vec![Event::ReturnRejected {
        return_id: waiting.return_id,
        reason: reject.reason.clone(),
        at: now,
    }])
}

fn invalid_transition(order: &Order, asked: &'static str) -> Rejection {
    let refused = |from: Status| Rejection::InvalidTransition { from, asked };
    order.status().map_or(Rejection::NotFound, refused)
}

fn waiting_return<'a>(
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
const fn goes_on(details: &Details) -> Result<(), Rejection> {
    if details.events + 1 > policy::EVENTS_MAX - policy::ENDING_ROOM {
        return Err(Rejection::TooManyEvents);
    }
    Ok(())
}

/// What a customer asks for again and again; others have their reasons.
fn asked_again(by: &By, what: &'static str, before: u64) -> Result<(), Rejection> {
    let max = policy::CUSTOMER_ASKS_MAX;
    if by.role() == Role::Customer && before >= max {
        return Err(Rejection::AskedTooOften { what, max });
    }
    Ok(())
}

/// The units named, or all that are open where none are.
fn open_units(details: &Details, named: &[LineQuantity]) -> Result<Vec<LineQuantity>, Rejection> {
    if named.is_empty() {
        return Ok(all_open(details));
    }
    check_units(named, |line| details.line(line).map(super::Line::open)).map_err(|wrong| {
        let detail = wrong.detail("more units than are open");
        Rejection::InvalidLines { line: wrong.line, at: wrong.at(), detail }
    })?;
    Ok(named.to_vec())
}

fn all_open(details: &Details) -> Vec<LineQuantity> {
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
fn units(lines: &[LineQuantity]) -> u64 {
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
            Why::Twice => "named twice",
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

fn reason_given(reason: &str) -> Result<(), Rejection> {
    if reason.trim().is_empty() {
        return Err(Rejection::ReasonRequired);
    }
    text_fits("reason", reason)
}

fn text_fits(field: &'static str, text: &str) -> Result<(), Rejection> {
    fits(field, text, Rejection::TEXT_MAX)
}

/// The most characters of a carrier's name or tracking number.
const SHORT_TEXT_MAX: usize = 100;

fn short_text_fits(field: &'static str, text: &str) -> Result<(), Rejection> {
    fits(field, text, SHORT_TEXT_MAX)
}

fn fits(field: &'static str, text: &str, max: usize) -> Result<(), Rejection> {
    if text.chars().count() <= max { Ok(()) } else { Err(Rejection::TextTooLong { field, max }) }
}
