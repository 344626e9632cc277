use std::collections::BTreeSet;
use std::sync::Arc;

use shared_events::contract::{CancelReason, Money, Quantity};

use super::{
    Cancelled, Confirmed, Details, Event, Fulfilled, JudgedReturn, Judgement, Line, LineQuantity,
    Order, Pending, Rejection, ReturnRequested, Returned, Role, Shipment, Status,
};

/// An event that cannot have happened to its order: the journal is corrupt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen to an order that is {}: {detail}", from.map_or("ABSENT", Status::code))]
pub struct Impossible {
    /// The event's name.
    pub event: &'static str,
    /// The state it met.
    pub from: Option<Status>,
    /// What is wrong.
    pub detail: &'static str,
}

/// The order after an event. Strict, because it guards every replay: a state that does not allow
/// the event, units that are not there and money that does not fit are refused. Windows and texts
/// are not judged again: they were, by the policy of their day.
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

/// The order that these events make, from nothing.
///
/// # Errors
/// [`Impossible`] at the first event that cannot happen.
pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<Order, Impossible> {
    events.into_iter().try_fold(Order::Absent, evolve)
}

const WRONG_STATE: &str = "the state does not allow it";

fn apply(order: Order, event: &Event) -> Result<Order, &'static str> {
    match (order, event) {
        (Order::Absent, Event::OrderPlaced { .. }) => placed(event),
        (Order::Pending(pending), Event::OrderConfirmed { reservation_id, .. }) => {
            Ok(Order::Confirmed(Confirmed {
                details: pending.details,
                reservation_id: *reservation_id,
                shipped_at: None,
            }))
        }
        (Order::Pending(mut pending), Event::LinesCancelled { lines, return_until: None, .. }) => {
            cancel(&mut pending.details, lines)?;
            if nothing_open(&pending.details) {
                return Err("nothing would stay open");
            }
            Ok(Order::Pending(pending))
        }
        (Order::Confirmed(mut confirmed), Event::LinesCancelled { lines, return_until, .. }) => {
            cancel(&mut confirmed.details, lines)?;
            match (nothing_open(&confirmed.details), confirmed.shipped_at, return_until) {
                (false, _, None) => Ok(Order::Confirmed(confirmed)),
                (true, Some(fulfilled_at), Some(return_until)) => Ok(Order::Fulfilled(Fulfilled {
                    details: confirmed.details,
                    fulfilled_at,
                    return_until: *return_until,
                })),
                _ => Err("the return window does not fit the units left"),
            }
        }
        (Order::Pending(pending), Event::OrderCancelled { was_confirmed: false, .. }) => {
            cancelled(pending.details, event)
        }
        (Order::Confirmed(confirmed), Event::OrderCancelled { was_confirmed: true, .. }) => {
            cancelled(confirmed.details, event)
        }
        (
            Order::Confirmed(mut confirmed),
            Event::LinesFulfilled { shipment_id, lines, carrier, tracking, at },
        ) => {
            let shipment = Shipment {
                shipment_id: *shipment_id,
                lines: lines.clone(),
                took_the_rest: false,
                carrier: carrier.clone(),
                tracking: tracking.clone(),
            };
            fulfill(&mut confirmed.details, shipment)?;
            if nothing_open(&confirmed.details) {
                return Err("nothing would stay open");
            }
            confirmed.shipped_at = Some(*at);
            Ok(Order::Confirmed(confirmed))
        }
        (
            Order::Confirmed(mut confirmed),
            Event::OrderFulfilled { shipment_id, lines, carrier, tracking, return_until, at },
        ) => {
            let shipment = Shipment {
                shipment_id: *shipment_id,
                lines: lines.clone(),
                took_the_rest: true,
                carrier: carrier.clone(),
                tracking: tracking.clone(),
            };
            fulfill(&mut confirmed.details, shipment)?;
            if !nothing_open(&confirmed.details) {
                return Err("units would stay open");
            }
            Ok(Order::Fulfilled(Fulfilled {
                details: confirmed.details,
                fulfilled_at: *at,
                return_until: *return_until,
            }))
        }
        (
            Order::Fulfilled(mut fulfilled),
            Event::ReturnRequested { return_id, lines, reason, judge_by, .. },
        ) => {
            if fulfilled.details.judged(*return_id).is_some() {
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
                return_id: *return_id,
                lines: lines.clone(),
                reason: reason.clone(),
                judge_by: *judge_by,
                escalated: false,
            }))
        }
        (Order::ReturnRequested(mut requested), Event::ReturnEscalated { return_id, .. })
            if *return_id == requested.return_id && !requested.escalated =>
        {
            requested.escalated = true;
            Ok(Order::ReturnRequested(requested))
        }
        (Order::ReturnRequested(requested), Event::ReturnApproved { return_id, .. })
            if *return_id == requested.return_id =>
        {
            approved(requested, event)
        }
        (
            Order::ReturnRequested(mut requested),
            Event::ReturnRejected { return_id, reason: why, .. },
        ) if *return_id == requested.return_id => {
            let ReturnRequested { lines, reason, .. } = requested;
            let details = &mut requested.fulfilled.details;
            for line in &mut details.lines {
                line.in_return = 0;
            }
            let judgement = Judgement::Rejected { reason: why.clone() };
            let judged = JudgedReturn { return_id: *return_id, lines, reason, judgement };
            details.judged.push(Arc::new(judged));
            Ok(Order::Fulfilled(requested.fulfilled))
        }
        _ => Err(WRONG_STATE),
    }
}

fn placed(event: &Event) -> Result<Order, &'static str> {
    let Event::OrderPlaced {
        order_id,
        customer_id,
        lines: placed,
        total,
        address,
        contact,
        placed_at,
        ordered_at,
        confirm_by,
    } = event
    else {
        return Err(WRONG_STATE);
    };
    if placed.is_empty() || placed.len() > Rejection::LINES_MAX {
        return Err("too few or too many lines");
    }
    let mut sum = Money::zero(total.currency);
    let mut lines = Vec::with_capacity(placed.len());
    for (number, line) in (1_u32..).zip(placed) {
        if line.line != number {
            return Err("lines are not numbered from 1");
        }
        if line.unit_price.minor < 0 {
            return Err("a unit price is below zero");
        }
        let value = line.unit_price.times(line.quantity).map_err(|_| "amounts do not fit")?;
        sum = sum.plus(value).map_err(|_| "amounts do not add up")?;
        lines.push(Line {
            number,
            sku: line.sku.clone(),
            unit_price: line.unit_price,
            seller_id: line.seller_id,
            ordered: line.quantity.get(),
            cancelled: 0,
            fulfilled: 0,
            in_return: 0,
            returned: 0,
        });
    }
    if sum != *total {
        return Err("the total is not the sum of the lines");
    }
    Ok(Order::Pending(Pending {
        details: Details {
            order_id: *order_id,
            customer_id: *customer_id,
            lines,
            total: *total,
            refunded: Money::zero(total.currency),
            address: address.clone(),
            contact: contact.clone(),
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

fn cancelled(mut details: Details, event: &Event) -> Result<Order, &'static str> {
    let Event::OrderCancelled { reason, text, skus, .. } = event else { return Err(WRONG_STATE) };
    if details.lines.iter().any(|line| line.fulfilled > 0) {
        return Err("units were delivered");
    }
    if !skus.is_empty() && *reason != CancelReason::InsufficientStock {
        return Err("skus are missing for another reason");
    }
    for line in &mut details.lines {
        line.cancelled = line.ordered;
    }
    Ok(Order::Cancelled(Cancelled {
        details,
        reason: *reason,
        text: text.clone(),
        skus: skus.clone(),
    }))
}

fn approved(mut requested: ReturnRequested, event: &Event) -> Result<Order, &'static str> {
    let Event::ReturnApproved { return_id, lines, refund, refund_reason, refund_told, .. } = event
    else {
        return Err(WRONG_STATE);
    };
    if refund.minor > 0 && !refund_told {
        return Err("a refund that nobody is told of");
    }
    let same = lines.len() == requested.lines.len()
        && lines.iter().zip(&requested.lines).all(|(approved, asked)| {
            approved.line == asked.line && approved.quantity == asked.quantity
        });
    if !same {
        return Err("not the units that were asked for");
    }
    let details = &mut requested.fulfilled.details;
    for line in &mut details.lines {
        line.returned += line.in_return;
        line.in_return = 0;
    }
    let refunded = details.refunded.plus(*refund).map_err(|_| "refunds do not add up")?;
    if refund.minor < 0 || refunded.minor > details.total.minor {
        return Err("refunds exceed the total");
    }
    details.refunded = refunded;
    details.judged.push(Arc::new(JudgedReturn {
        return_id: *return_id,
        lines: requested.lines,
        reason: requested.reason,
        judgement: Judgement::Approved {
            lines: lines.clone(),
            refund: *refund,
            refund_reason: refund_reason.clone(),
        },
    }));
    if details.lines.iter().all(|line| line.kept() == 0) {
        Ok(Order::Returned(Returned { details: requested.fulfilled.details }))
    } else {
        Ok(Order::Fulfilled(requested.fulfilled))
    }
}

fn cancel(details: &mut Details, lines: &[LineQuantity]) -> Result<(), &'static str> {
    each(details, lines, |line, units| {
        if units > line.open() {
            return Err("more units than are open");
        }
        line.cancelled += units;
        Ok(())
    })
}

fn fulfill(details: &mut Details, shipment: Shipment) -> Result<(), &'static str> {
    if details.shipment(shipment.shipment_id).is_some() {
        return Err("the parcel left before");
    }
    each(details, &shipment.lines, |line, units| {
        if units > line.open() {
            return Err("more units than are open");
        }
        line.fulfilled += units;
        Ok(())
    })?;
    details.shipments.push(Arc::new(shipment));
    Ok(())
}

fn each(
    details: &mut Details,
    lines: &[LineQuantity],
    mut change: impl FnMut(&mut Line, u32) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    if lines.is_empty() {
        return Err("no lines");
    }
    let mut seen = BTreeSet::new();
    for LineQuantity { line: number, quantity } in lines {
        if !seen.insert(*number) {
            return Err("a line is named twice");
        }
        let line = index_of(*number)
            .and_then(|index| details.lines.get_mut(index))
            .ok_or("no such line")?;
        change(line, Quantity::get(*quantity))?;
    }
    Ok(())
}

fn index_of(number: u32) -> Option<usize> {
    number.checked_sub(1).and_then(|index| usize::try_from(index).ok())
}

fn nothing_open(details: &Details) -> bool {
    details.lines.iter().all(|line| line.open() == 0)
}
