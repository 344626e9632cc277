use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared_events::contract::{
    CancelReason, Disposition, Money, MoneyError, Quantity, ReturnId, Timestamp,
};

use super::{
    ApproveReturn, By, Cancel, Command, Confirm, Confirmed, Details, Event, Fulfill, LineQuantity,
    Order, Place, PlacedLine, Policy, RejectReturn, Rejection, RequestReturn, Restitution,
    ReturnLineDisposition, ReturnRequested, Role, Status, Verdict, policy,
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
    role_may(command, by)?;
    if let Command::Place(place) = command {
        return decide_place(order, place, now, policy);
    }
    let Some(details) = order.details() else {
        return match command {
            Command::Lapse | Command::Escalate => NOTHING_HAPPENS,
            _ => Err(Rejection::NotFound),
        };
    };
    if by.role == Role::Customer && by.subject != details.customer_id.to_string() {
        return Err(Rejection::NotFound);
    }
    match command {
        Command::Place(_) => Err(Rejection::AlreadyExists),
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

fn role_may(command: &Command, by: &By) -> Result<(), Rejection> {
    let may = match command {
        Command::Place(place) => match by.role {
            Role::Customer => by.subject == place.customer_id.to_string(),
            Role::Service | Role::Ops => true,
            Role::Engine => false,
        },
        Command::Confirm(_) | Command::Lapse | Command::Escalate => by.role == Role::Engine,
        Command::Cancel(_) => matches!(by.role, Role::Customer | Role::Ops | Role::Engine),
        Command::Fulfill(_) => matches!(by.role, Role::Service | Role::Ops),
        Command::RequestReturn(_) => matches!(by.role, Role::Customer | Role::Ops),
        Command::ApproveReturn(_) | Command::RejectReturn(_) => by.role == Role::Ops,
    };
    if may { Ok(()) } else { Err(Rejection::Forbidden { role: by.role }) }
}

fn decide_place(order: &Order, place: &Place, now: Timestamp, policy: &Policy) -> Decision {
    let total = total_of(place)?;
    place.address.check().map_err(Rejection::InvalidAddress)?;
    place.contact.check().map_err(Rejection::InvalidContact)?;
    if let Some(details) = order.details() {
        return if same_content(details, place) {
            NOTHING_HAPPENS
        } else {
            Err(Rejection::AlreadyExists)
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

fn same_content(details: &Details, place: &Place) -> bool {
    details.customer_id == place.customer_id
        && *details.address == place.address
        && *details.contact == place.contact
        && details.ordered_at == place.ordered_at
        && details.lines.len() == place.lines.len()
        && details.lines.iter().zip(&place.lines).all(|(line, new)| {
            line.sku == new.sku
                && line.ordered == new.quantity.get()
                && line.unit_price == new.unit_price
                && line.seller_id == new.seller_id
        })
}

fn decide_confirm(order: &Order, confirm: &Confirm, now: Timestamp) -> Decision {
    match order {
        Order::Confirmed(confirmed) if confirmed.reservation_id == confirm.reservation_id => {
            NOTHING_HAPPENS
        }
        Order::Pending(_) => {
            Ok(vec![Event::OrderConfirmed { reservation_id: confirm.reservation_id, at: now }])
        }
        _ => Err(invalid_transition(order)),
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
        _ => return Err(invalid_transition(order)),
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
    let may = match by.role {
        Role::Customer => reason == CancelReason::CustomerRequest,
        Role::Ops => matches!(reason, CancelReason::Ops | CancelReason::CustomerRequest),
        Role::Engine => {
            matches!(reason, CancelReason::InsufficientStock | CancelReason::PaymentFailed)
        }
        Role::Service => false,
    };
    if may { Ok(()) } else { Err(Rejection::ForbiddenReason { role: by.role, reason }) }
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
    if details.shipments.contains(&fulfill.shipment_id) {
        return NOTHING_HAPPENS;
    }
    let Order::Confirmed(_) = order else { return Err(invalid_transition(order)) };
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

fn decide_request(
    order: &Order,
    details: &Details,
    request: &RequestReturn,
    by: &By,
    now: Timestamp,
    policy: &Policy,
) -> Decision {
    let waits = matches!(order, Order::ReturnRequested(waiting)
        if waiting.return_id == request.return_id);
    if waits || verdict_on(details, request.return_id).is_some() {
        return NOTHING_HAPPENS;
    }
    let Order::Fulfilled(fulfilled) = order else { return Err(invalid_transition(order)) };
    if now >= fulfilled.return_until {
        return Err(Rejection::ReturnWindowExpired);
    }
    reason_given(&request.reason)?;
    if request.lines.is_empty() {
        let detail = "at least one line is named";
        return Err(Rejection::InvalidReturnLines { line: 0, detail });
    }
    let kept = |line: u32| details.line(line).map(super::Line::kept);
    check_units(&request.lines, kept).map_err(|(line, wrong)| {
        let detail = match wrong {
            Wrong::NoSuchLine => "no such line",
            Wrong::Twice => "named twice",
            Wrong::TooMany => "more units than were delivered and kept",
        };
        Rejection::InvalidReturnLines { line, detail }
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
        asked_by: by.role,
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
    if judged_so(details, approve.return_id, Verdict::Approved) {
        return NOTHING_HAPPENS;
    }
    let waiting = waiting_return(order, approve.return_id)?;
    text_fits("refund_reason", &approve.refund_reason)?;
    let mut dispositions: BTreeMap<u32, Disposition> =
        waiting.lines.iter().map(|asked| (asked.line, Disposition::Restock)).collect();
    let mut named = BTreeSet::new();
    for ReturnLineDisposition { line, disposition } in &approve.dispositions {
        let Some(chosen) = dispositions.get_mut(line) else {
            let detail = "not a line of the return";
            return Err(Rejection::InvalidReturnLines { line: *line, detail });
        };
        if !named.insert(*line) {
            return Err(Rejection::InvalidReturnLines { line: *line, detail: "named twice" });
        }
        *chosen = *disposition;
    }
    let mut lines = Vec::with_capacity(waiting.lines.len());
    let mut value = Money::zero(details.total.currency);
    for LineQuantity { line, quantity } in &waiting.lines {
        let unit_price =
            details.line(*line).map_or(Money::zero(value.currency), |line| line.unit_price);
        value = unit_price
            .times(*quantity)
            .and_then(|units| value.plus(units))
            .map_err(|_| Rejection::RefundTooLarge)?;
        let disposition = dispositions.get(line).copied().unwrap_or(Disposition::Restock);
        lines.push(Restitution { line: *line, quantity: *quantity, disposition });
    }
    let refund = approve.refund.unwrap_or(value);
    if refund.minor < 0 || refund.currency != details.total.currency {
        return Err(Rejection::InvalidRefund);
    }
    if refund.minor > value.minor && approve.refund_reason.trim().is_empty() {
        return Err(Rejection::RefundNeedsReason);
    }
    let refunded = details.refunded.plus(refund).map_err(|_| Rejection::RefundTooLarge)?;
    if refunded.minor > details.total.minor {
        return Err(Rejection::RefundTooLarge);
    }
    Ok(vec![Event::ReturnApproved {
        return_id: waiting.return_id,
        lines,
        refund,
        refund_reason: approve.refund_reason.clone(),
        at: now,
    }])
}

fn decide_reject(
    order: &Order,
    details: &Details,
    reject: &RejectReturn,
    now: Timestamp,
) -> Decision {
    if judged_so(details, reject.return_id, Verdict::Rejected) {
        return NOTHING_HAPPENS;
    }
    let waiting = waiting_return(order, reject.return_id)?;
    reason_given(&reject.reason)?;
    Ok(vec![Event::ReturnRejected {
        return_id: waiting.return_id,
        reason: reject.reason.clone(),
        at: now,
    }])
}

fn invalid_transition(order: &Order) -> Rejection {
    order.status().map_or(Rejection::NotFound, |from: Status| Rejection::InvalidTransition { from })
}

fn waiting_return(order: &Order, named: Option<ReturnId>) -> Result<&ReturnRequested, Rejection> {
    let Order::ReturnRequested(waiting) = order else { return Err(invalid_transition(order)) };
    if named.is_some_and(|named| named != waiting.return_id) {
        return Err(Rejection::ReturnMismatch);
    }
    Ok(waiting)
}

fn verdict_on(details: &Details, return_id: ReturnId) -> Option<Verdict> {
    details.judged.iter().find(|(judged, _)| *judged == return_id).map(|(_, verdict)| *verdict)
}

fn judged_so(details: &Details, named: Option<ReturnId>, verdict: Verdict) -> bool {
    named.and_then(|named| verdict_on(details, named)) == Some(verdict)
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
    if by.role == Role::Customer && before >= max {
        return Err(Rejection::AskedTooOften { what, max });
    }
    Ok(())
}

/// The units named, or all that are open where none are.
fn open_units(details: &Details, named: &[LineQuantity]) -> Result<Vec<LineQuantity>, Rejection> {
    if named.is_empty() {
        return Ok(all_open(details));
    }
    check_units(named, |line| details.line(line).map(super::Line::open)).map_err(
        |(line, wrong)| {
            let detail = match wrong {
                Wrong::NoSuchLine => "no such line",
                Wrong::Twice => "named twice",
                Wrong::TooMany => "more units than are open",
            };
            Rejection::InvalidLines { line, detail }
        },
    )?;
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

enum Wrong {
    NoSuchLine,
    Twice,
    TooMany,
}

fn check_units(
    named: &[LineQuantity],
    within: impl Fn(u32) -> Option<u32>,
) -> Result<(), (u32, Wrong)> {
    let mut seen = BTreeSet::new();
    for LineQuantity { line, quantity } in named {
        let most = within(*line).ok_or((*line, Wrong::NoSuchLine))?;
        if !seen.insert(*line) {
            return Err((*line, Wrong::Twice));
        }
        if quantity.get() > most {
            return Err((*line, Wrong::TooMany));
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
