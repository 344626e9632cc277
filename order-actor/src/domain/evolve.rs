use std::sync::Arc;

use shared_events::contract::{CancelReason, Money, ReservationId, Timestamp};

use super::backorder::{allocate, backorder};
use super::counts::{self, cancel, fulfill, nothing_open};
use super::{
    By, Cancelled, Confirmed, Details, Event, Fulfilled, LineQuantity, NewNote, Note, NoteText,
    Order, OrderPrice, Payment, Pending, Role, Shipment, Status, Terms, correction, edit_events,
    hold, parcel, payment_events, payment_parts, return_events,
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
    payment_parts::account(&mut order, event);
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

pub(super) const WRONG_STATE: &str = "the state does not allow it";

/// The order, or what is wrong with the event.
pub(super) type Evolved = Result<Order, &'static str>;

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
        Event::LinesFulfilled { at, .. } => lines_fulfilled(order, shipped(event)?, *at),
        Event::OrderFulfilled { return_until, at, .. } => {
            order_fulfilled(order, shipped(event)?, *at, *return_until)
        }
        Event::ReturnRequested { .. }
        | Event::ReturnEscalated { .. }
        | Event::ReturnAuthorized { .. }
        | Event::ReturnReceived { .. }
        | Event::ReturnApproved { .. }
        | Event::ReturnRejected { .. } => return_events::apply(order, event),
        Event::OrderHeld(event) => hold::held(order, event),
        Event::HoldReleased(event) => hold::released(order, event),
        Event::OrderCorrected(event) => correction::corrected(order, event),
        Event::ShipmentCorrected(event) => parcel::corrected(order, event),
        Event::ShipmentDelivered(event) => parcel::delivered(order, event),
        Event::ShipmentUndone(event) => parcel::undone(order, event),
        Event::ShipmentFound(event) => parcel::found(order, event),
        Event::OrderEditRequested(event) => edit_events::requested(order, event),
        Event::OrderEdited(event) => edit_events::edited(order, event),
        Event::OrderEditRefused(event) => edit_events::ended(order, event),
        Event::StockHeld(_)
        | Event::PaymentSecured(_)
        | Event::PaymentLost(_)
        | Event::PaymentCaptured(_)
        | Event::RefundSettled(_)
        | Event::RefundFailed(_)
        | Event::CompensationCompleted(_) => payment_events::apply(order, event),
        Event::NoteAdded { public, note, by, at } => {
            note_added(order, (*public, note.as_ref().clone()), Some(by.clone()), *at)
        }
    }
}

/// The parcel of an event that ships one.
fn shipped(event: &Event) -> Result<Shipment, &'static str> {
    let (Event::LinesFulfilled {
        shipment_id,
        lines,
        carrier,
        tracking,
        shipment_reference,
        location,
        at,
    }
    | Event::OrderFulfilled {
        shipment_id,
        lines,
        carrier,
        tracking,
        shipment_reference,
        location,
        at,
        ..
    }) = event
    else {
        return Err(WRONG_STATE);
    };
    Ok(Shipment {
        shipment_id: *shipment_id,
        reference: shipment_reference.clone(),
        lines: lines.clone(),
        took_all_open: matches!(event, Event::OrderFulfilled { .. }),
        carrier: carrier.clone(),
        tracking: tracking.clone(),
        location: location.clone(),
        shipped_at: *at,
        corrected: None,
        delivered_at: None,
        undone: None,
    })
}

/// A note changes nothing else, and an order may have one in every state.
fn note_added(
    mut order: Order,
    (public, note): (bool, NoteText),
    by: Option<By>,
    at: Timestamp,
) -> Evolved {
    let details = order.details_mut().ok_or(WRONG_STATE)?;
    let number = u32::try_from(details.notes.len()).unwrap_or(u32::MAX).saturating_add(1);
    details.notes.push(Arc::new(Note { number, public, note, by, at }));
    Ok(order)
}

fn confirmed(order: Order, reservation_id: ReservationId, backordered: &[LineQuantity]) -> Evolved {
    let Order::Pending(Pending { mut details, .. }) = order else { return Err(WRONG_STATE) };
    payment_events::may_confirm(&details, reservation_id)?;
    backorder(&mut details, backordered)?;
    Ok(Order::Confirmed(Confirmed { details, reservation_id, shipped_at: None }))
}

fn lines_allocated(order: Order, lines: &[LineQuantity]) -> Evolved {
    if let Order::Pending(_) = order {
        return payment_events::allocated(order, lines);
    }
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
            if confirmed.details.waiting_edit().is_some() {
                return Err("an edit waits for stock");
            }
            cancel(&mut confirmed.details, lines)?;
            match (nothing_open(&confirmed.details), confirmed.shipped_at, return_until) {
                (false, _, None) => Ok(Order::Confirmed(confirmed)),
                (true, Some(fulfilled_at), Some(return_until)) => {
                    let Confirmed { details, reservation_id, .. } = confirmed;
                    let fulfilled =
                        Fulfilled { details, fulfilled_at, return_until, reservation_id };
                    Ok(Order::settled(fulfilled))
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
    let Order::Confirmed(Confirmed { mut details, reservation_id, .. }) = order else {
        return Err(WRONG_STATE);
    };
    fulfill(&mut details, shipment)?;
    if !nothing_open(&details) {
        return Err("units would stay open");
    }
    Ok(Order::settled(Fulfilled { details, fulfilled_at, return_until, reservation_id }))
}

#[expect(clippy::too_many_lines, reason = "one value, made of all fields of one event")]
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
            exchange_of,
            names,
            payment,
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
        exchange_of: *exchange_of,
        names: names.clone(),
    };
    let note = |(number, new): (u32, &NewNote)| {
        let note = NoteText { text: new.text.clone() };
        Arc::new(Note { number, public: new.public, note, by: None, at: *placed_at })
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
            placed_person: None,
            placed_at: *placed_at,
            ordered_at: *ordered_at,
            shipments: Vec::new(),
            waiting: Vec::new(),
            judged: Vec::new(),
            holds: Vec::new(),
            notes: (1_u32..).zip(&person.notes).map(note).collect(),
            edits: Vec::new(),
            placed_lines: None,
            payment: payment.as_deref().map(|plan| Arc::new(Payment::new(plan.clone()))),
            events: 0,
            customer_cancels: 0,
            customer_returns: 0,
            customer_corrections: 0,
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
    edit_events::void(&mut details)?;
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
