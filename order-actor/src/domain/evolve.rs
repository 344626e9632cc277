use std::collections::BTreeSet;
use std::sync::Arc;

use shared_events::contract::{CancelReason, Money, ReservationId, ReturnId, Timestamp};

use super::backorder::{allocate, backorder};
use super::counts::{self, cancel, each, fulfill, nothing_open};
use super::{
    Cancelled, ChargeRefund, Confirmed, Details, Event, Fulfilled, JudgedReturn, Judgement,
    LineQuantity, Order, OrderPrice, Pending, ReturnRequested, Returned, Role, Shipment, Status,
    Terms,
};

/// An event that cannot have happened to its order: the journal is corrupt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen to an order that is {}: {detail}", from.map_or("ABSENT", Status::code))]
pub struct Impossible {
    /// The event's name.
    pub event: &'static str,
    /// The state of the order.
    pub from: Option<Status>,
    /// What is wrong.
    pub detail: &'static str,
}

/// The order after an event. Strict, because it guards every replay: it refuses an event that the
/// state does not allow, units that do not exist and amounts that do not add up. Time windows and
/// texts are not checked again: the command was decided under the policy of its time.
///
/// # Errors
/// [`Impossible`] where the event cannot happen to this order.
pub fn evolve(order: Order, event: &Event) -> Result<Order, Impossible> {
    let from = order.status();
    let mut order =
        apply(order, event).map_err(|detail| Impossible { event: event.name(), from, detail })?;
    if let Some(details) = order.details_mut() {
        details.events += 1;
        match event {
            Event::LinesCancelled { reason: CancelReason::CustomerRequest, .. } => {
                details.customer_cancels += 1;
            }
            Event::ReturnRequested { asked_by: Role::Customer, .. } => {
                details.customer_returns += 1;
            }
            _ => {}
        }
    }
    Ok(order)
}

/// The order after all of these events.
///
/// # Errors
/// [`Impossible`] at the first event that cannot happen.
pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Order, Impossible> {
    events.into_iter().try_fold(Order::Absent, evolve)
}

const WRONG_STATE: &str = "the state does not allow it";

/// The order, or what is wrong with the event.
type Evolved = Result<Order, &'static str>;

/// Applies one event.
fn apply(order: Order, event: &Event) -> Evolved {
    match event {
        Event::OrderPlaced { .. } => placed(&order, event),
        Event::OrderConfirmed { reservation_id, backordered, .. } => {
            confirmed(order, *reservation_id, backordered)
        }
        Event::LinesAllocated { lines, .. } => lines_allocated(order, lines),
        Event::LinesCancelled { lines, return_until, .. } => {
            lines_cancelled(order, lines, *return_until)
        }
        Event::OrderCancelled { .. } => order_cancelled(order, event),
        Event::LinesFulfilled { shipment_id, lines, carrier, tracking, at } => {
            let (shipment_id, lines) = (*shipment_id, lines.clone());
            let (carrier, tracking) = (carrier.clone(), tracking.clone());
            let took_all_open = false;
            let shipment = Shipment { shipment_id, lines, took_all_open, carrier, tracking };
            lines_fulfilled(order, shipment, *at)
        }
        Event::OrderFulfilled { shipment_id, lines, carrier, tracking, return_until, at } => {
            let (shipment_id, lines) = (*shipment_id, lines.clone());
            let (carrier, tracking) = (carrier.clone(), tracking.clone());
            let took_all_open = true;
            let shipment = Shipment { shipment_id, lines, took_all_open, carrier, tracking };
            order_fulfilled(order, shipment, *at, *return_until)
        }
        Event::ReturnRequested { return_id, lines, reason, judge_by, .. } => {
            return_requested(order, *return_id, lines, reason, *judge_by)
        }
        Event::ReturnEscalated { return_id, .. } => return_escalated(order, *return_id),
        Event::ReturnApproved { return_id, .. } => approved(waiting(order, *return_id)?, event),
        Event::ReturnRejected { return_id, reason, .. } => {
            Ok(return_rejected(waiting(order, *return_id)?, reason))
        }
    }
}

fn confirmed(order: Order, reservation_id: ReservationId, backordered: &[LineQuantity]) -> Evolved {
    let Order::Pending(Pending { mut details, .. }) = order else { return Err(WRONG_STATE) };
    backorder(&mut details, backordered)?;
    Ok(Order::Confirmed(Confirmed { details, reservation_id, shipped_at: None }))
}

fn lines_allocated(order: Order, lines: &[LineQuantity]) -> Evolved {
    let Order::Confirmed(mut confirmed) = order else { return Err(WRONG_STATE) };
    allocate(&mut confirmed.details, lines)?;
    Ok(Order::Confirmed(confirmed))
}

fn lines_cancelled(
    order: Order,
    lines: &[LineQuantity],
    return_until: Option<Timestamp>,
) -> Evolved {
    match order {
        Order::Pending(mut pending) if return_until.is_none() => {
            cancel(&mut pending.details, lines)?;
            if nothing_open(&pending.details) {
                return Err("nothing would stay open");
            }
            Ok(Order::Pending(pending))
        }
        Order::Confirmed(mut confirmed) => {
            cancel(&mut confirmed.details, lines)?;
            match (nothing_open(&confirmed.details), confirmed.shipped_at, return_until) {
                (false, _, None) => Ok(Order::Confirmed(confirmed)),
                (true, Some(fulfilled_at), Some(return_until)) => {
                    let details = confirmed.details;
                    Ok(Order::Fulfilled(Fulfilled { details, fulfilled_at, return_until }))
                }
                _ => Err("the return window does not fit the open units"),
            }
        }
        _ => Err(WRONG_STATE),
    }
}

fn lines_fulfilled(order: Order, shipment: Shipment, at: Timestamp) -> Evolved {
    let Order::Confirmed(mut confirmed) = order else { return Err(WRONG_STATE) };
    fulfill(&mut confirmed.details, shipment)?;
    if nothing_open(&confirmed.details) {
        return Err("nothing would stay open");
    }
    confirmed.shipped_at = Some(at);
    Ok(Order::Confirmed(confirmed))
}

fn order_fulfilled(
    order: Order,
    shipment: Shipment,
    fulfilled_at: Timestamp,
    return_until: Timestamp,
) -> Evolved {
    let Order::Confirmed(Confirmed { mut details, .. }) = order else { return Err(WRONG_STATE) };
    fulfill(&mut details, shipment)?;
    if !nothing_open(&details) {
        return Err("units would stay open");
    }
    Ok(Order::Fulfilled(Fulfilled { details, fulfilled_at, return_until }))
}

fn return_requested(
    order: Order,
    return_id: ReturnId,
    lines: &[LineQuantity],
    reason: &str,
    judge_by: Timestamp,
) -> Evolved {
    let Order::Fulfilled(mut fulfilled) = order else { return Err(WRONG_STATE) };
    if fulfilled.details.judged(return_id).is_some() {
        return Err("the return was judged before");
    }
    each(&mut fulfilled.details, lines, |line, units| {
        if units > line.kept() {
            return Err("more units than the customer has");
        }
        line.in_return += units;
        Ok(())
    })?;
    Ok(Order::ReturnRequested(ReturnRequested {
        fulfilled,
        return_id,
        lines: lines.to_vec(),
        reason: reason.to_owned(),
        judge_by,
        escalated: false,
    }))
}

/// The waiting return, if it has this id.
fn waiting(order: Order, return_id: ReturnId) -> Result<ReturnRequested, &'static str> {
    match order {
        Order::ReturnRequested(requested) if requested.return_id == return_id => Ok(requested),
        _ => Err(WRONG_STATE),
    }
}

fn return_escalated(order: Order, return_id: ReturnId) -> Evolved {
    let mut requested = waiting(order, return_id)?;
    if requested.escalated {
        return Err(WRONG_STATE);
    }
    requested.escalated = true;
    Ok(Order::ReturnRequested(requested))
}

fn return_rejected(mut requested: ReturnRequested, why: &str) -> Order {
    let ReturnRequested { return_id, lines, reason, .. } = requested;
    let details = &mut requested.fulfilled.details;
    for line in &mut details.lines {
        line.in_return = 0;
    }
    let judgement = Judgement::Rejected { reason: why.to_owned() };
    details.judged.push(Arc::new(JudgedReturn { return_id, lines, reason, judgement }));
    Order::Fulfilled(requested.fulfilled)
}

fn placed(order: &Order, event: &Event) -> Evolved {
    let (
        Order::Absent,
        Event::OrderPlaced {
            order_id,
            customer_id,
            lines,
            charges,
            discounts,
            tax_mode,
            total,
            person,
            tags,
            metadata,
            placed_at,
            ordered_at,
            confirm_by,
        },
    ) = (order, event)
    else {
        return Err(WRONG_STATE);
    };
    let priced = OrderPrice { charges, discounts, tax_mode: *tax_mode };
    let (lines, charges, totals) = counts::placed(lines, priced, *total)?;
    let terms = Terms {
        discounts: discounts.clone(),
        tax_mode: *tax_mode,
        tags: tags.clone(),
        metadata: metadata.clone(),
    };
    Ok(Order::Pending(Pending {
        details: Details {
            order_id: *order_id,
            customer_id: *customer_id,
            lines,
            charges,
            terms: Arc::new(terms),
            totals,
            refunded: Money::zero(total.currency),
            person: person.clone(),
            placed_at: *placed_at,
            ordered_at: *ordered_at,
            shipments: Vec::new(),
            judged: Vec::new(),
            events: 0,
            customer_cancels: 0,
            customer_returns: 0,
        },
        confirm_by: *confirm_by,
    }))
}

fn order_cancelled(order: Order, event: &Event) -> Evolved {
    let Event::OrderCancelled { reason, text, skus, was_confirmed, .. } = event else {
        return Err(WRONG_STATE);
    };
    let mut details = match (order, was_confirmed) {
        (Order::Pending(pending), false) => pending.details,
        (Order::Confirmed(confirmed), true) => confirmed.details,
        _ => return Err(WRONG_STATE),
    };
    if details.lines.iter().any(|line| line.fulfilled > 0) {
        return Err("units were delivered");
    }
    if !skus.is_empty() && *reason != CancelReason::InsufficientStock {
        return Err("skus are missing for another reason");
    }
    for line in &mut details.lines {
        line.amounts.cancelled = line.amounts.ordered;
        line.cancelled = line.ordered;
        line.backordered = 0;
    }
    Ok(Order::Cancelled(Cancelled {
        details,
        reason: *reason,
        text: text.clone(),
        skus: skus.clone(),
    }))
}

fn approved(mut requested: ReturnRequested, event: &Event) -> Evolved {
    let Event::ReturnApproved {
        return_id, lines, refund, refund_reason, refund_told, charges, ..
    } = event
    else {
        return Err(WRONG_STATE);
    };
    if refund.minor > 0 && !refund_told {
        return Err("a refund without a published fact");
    }
    let same = lines.len() == requested.lines.len()
        && lines.iter().zip(&requested.lines).all(|(approved, requested)| {
            approved.line == requested.line && approved.quantity == requested.quantity
        });
    if !same {
        return Err("not the units that were requested");
    }
    let of_charges = charges.iter().fold(0_i64, |sum, one| sum.saturating_add(one.amount.minor));
    let default = requested.default_refund(Money { minor: of_charges, ..*refund });
    let details = &mut requested.fulfilled.details;
    for line in &mut details.lines {
        let amount = line.delivered_amount(line.in_return);
        line.amounts.returned = line.amounts.returned.plus(amount);
        line.returned += line.in_return;
        line.in_return = 0;
    }
    let refunded = details.refunded.plus(*refund).map_err(|_| "refunds do not add up")?;
    if refund.minor < 0 || refunded.minor > details.totals.total.minor {
        return Err("refunds exceed the total");
    }
    refund_charges(details, charges, *refund)?;
    details.refunded = refunded;
    details.judged.push(Arc::new(JudgedReturn {
        return_id: *return_id,
        lines: requested.lines,
        reason: requested.reason,
        judgement: Judgement::Approved {
            lines: lines.clone(),
            refund: *refund,
            refund_reason: refund_reason.clone(),
            charges: charges.clone(),
            default,
        },
    }));
    if details.lines.iter().all(|line| line.kept() == 0) {
        Ok(Order::Returned(Returned { details: requested.fulfilled.details }))
    } else {
        Ok(Order::Fulfilled(requested.fulfilled))
    }
}

/// What of a refund is for charges: each named once, and never more than it cost.
fn refund_charges(
    details: &mut Details,
    refunds: &[ChargeRefund],
    refund: Money,
) -> Result<(), &'static str> {
    let mut left = refund;
    let mut named = BTreeSet::new();
    for ChargeRefund { charge, amount } in refunds {
        left = left.minus(*amount).map_err(|_| "refunds do not add up")?;
        let known = details.charges.iter_mut().find(|one| one.charge.number == *charge);
        let known = known.ok_or("no such charge")?;
        let refunded = known.refunded.saturating_add(amount.minor);
        if !named.insert(charge) || amount.minor < 0 || refunded > known.amount.total {
            return Err("more is refunded of a charge than it cost");
        }
        known.refunded = refunded;
    }
    if left.minor < 0 {
        return Err("the charges are more than the refund");
    }
    Ok(())
}
