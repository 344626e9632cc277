use shared_events::contract::{
    ChargeFact, ExchangeFact, LineUnits, Money, OrderFact, OrderHeader, OrderLineFact, Quantity,
    ReturnId, Timestamp, TotalsFact,
};

use super::{edits, payments, returns};
use crate::domain::{
    Compensation, Details, Event, Line, LineQuantity, Order, OrderCharge, PlacedLine,
    ShipmentUndone, Totals,
};

/// The units that wait for stock.
fn waiting(details: &Details) -> Vec<LineUnits> {
    let units_of = |line: &Line| {
        let quantity = Quantity::new(line.backordered).ok()?;
        Some(LineQuantity { line: line.number, quantity })
    };
    let waiting: Vec<_> = details.lines.iter().filter_map(units_of).collect();
    units(details, &waiting)
}

/// The facts published for an event. Private events and public facts are separate types, and this
/// is the only bridge between them. `after` is the order after the event.
#[expect(clippy::too_many_lines, reason = "one arm for each event")]
#[must_use]
pub fn translate(after: &Order, event: &Event) -> Vec<OrderFact> {
    let Some(details) = after.details() else { return Vec::new() };
    let order = header(details);
    match event {
        Event::OrderPlaced { placed_at, confirm_by, .. } => {
            vec![created(order, details, *placed_at, *confirm_by)]
        }
        Event::OrderConfirmed { reservation_id, backordered, .. } => {
            let (reservation_id, backordered) = (*reservation_id, units(details, backordered));
            let payments = payments::taken_at_once(details);
            vec![OrderFact::Confirmed { order, reservation_id, backordered, payments }]
        }
        // Of an order that waits for its money: it tells of all its units when it is confirmed.
        Event::LinesAllocated { .. } if matches!(after, Order::Pending(_)) => Vec::new(),
        Event::LinesAllocated { lines, .. } => {
            let (lines, backordered) = (units(details, lines), waiting(details));
            vec![OrderFact::LinesAllocated { order, lines, backordered }]
        }
        Event::LinesCancelled { lines, reason, text, .. } => {
            let (lines, text) = (units(details, lines), text.clone());
            vec![OrderFact::LinesCancelled {
                order,
                lines,
                reason: *reason,
                text,
                refund_id: payments::refund_id(details),
                payments: payments::moved(details),
            }]
        }
        Event::OrderCancelled { reason, text, was_confirmed, skus, at: _ } => {
            vec![OrderFact::Cancelled {
                order,
                reason: *reason,
                was_confirmed: *was_confirmed,
                skus: skus.clone(),
                text: text.clone(),
                refund_id: payments::refund_id(details),
                payments: payments::moved(details),
            }]
        }
        Event::LinesFulfilled {
            shipment_id,
            lines,
            carrier,
            tracking,
            shipment_reference,
            location,
            ..
        } => vec![OrderFact::LinesFulfilled {
            order,
            shipment_id: *shipment_id,
            lines: units(details, lines),
            carrier: carrier.clone(),
            tracking: tracking.clone(),
            shipment_reference: shipment_reference.clone(),
            location: location.clone(),
            payments: payments::moved(details),
        }],
        Event::OrderFulfilled {
            shipment_id,
            lines,
            carrier,
            tracking,
            shipment_reference,
            location,
            return_until,
            ..
        } => vec![OrderFact::Fulfilled {
            order,
            shipment_id: *shipment_id,
            lines: units(details, lines),
            carrier: carrier.clone(),
            tracking: tracking.clone(),
            return_until: *return_until,
            shipment_reference: shipment_reference.clone(),
            location: location.clone(),
            payments: payments::moved(details),
        }],
        Event::ReturnRequested { .. }
        | Event::ReturnEscalated { .. }
        | Event::ReturnAuthorized { .. }
        | Event::ReturnReceived { .. }
        | Event::ReturnApproved { .. }
        | Event::ReturnRejected { .. } => returns::facts(order, details, event),
        // Notes stay with the order: no other service needs what people write to each other.
        Event::NoteAdded { .. } => Vec::new(),
        Event::OrderHeld(_) | Event::HoldReleased(_) | Event::OrderCorrected(_) => {
            translate_change(order, event)
        }
        Event::ShipmentCorrected(_)
        | Event::ShipmentDelivered(_)
        | Event::ShipmentUndone(_)
        | Event::ShipmentFound(_) => translate_parcel(details, order, event),
        Event::OrderEditRequested(_) | Event::OrderEdited(_) | Event::OrderEditRefused(_) => {
            edits::facts(order, details, event)
        }
        Event::StockHeld(_)
        | Event::PaymentSecured(_)
        | Event::PaymentLost(_)
        | Event::PaymentCaptured(_)
        | Event::RefundSettled(_)
        | Event::RefundFailed(_)
        | Event::CompensationCompleted(_) => {
            let compensated = after.compensation() == Compensation::Done;
            payments::facts(order, details, event, compensated)
        }
    }
}

/// The facts of holds and corrections.
fn translate_change(order: OrderHeader, event: &Event) -> Vec<OrderFact> {
    match event {
        Event::OrderHeld(held) => vec![OrderFact::Held {
            order,
            hold_id: held.hold_id,
            kind: held.kind.code().to_owned(),
            label: held.label.clone(),
            reason: held.reason.clone(),
        }],
        Event::HoldReleased(released) => {
            let (hold_id, reason) = (released.hold_id, released.reason.clone());
            vec![OrderFact::HoldReleased { order, hold_id, reason }]
        }
        Event::OrderCorrected(corrected) => {
            vec![OrderFact::Corrected { order, fields: corrected.fields.clone() }]
        }
        _ => Vec::new(),
    }
}

/// The facts of what becomes of a parcel.
fn translate_parcel(details: &Details, order: OrderHeader, event: &Event) -> Vec<OrderFact> {
    let parcel = |shipment_id| {
        let parcel = details.shipment(shipment_id);
        let reference = parcel.map(|parcel| parcel.reference.clone()).unwrap_or_default();
        (parcel.map(|parcel| units(details, &parcel.lines)).unwrap_or_default(), reference)
    };
    let location =
        |shipment_id| details.shipment(shipment_id).and_then(|parcel| parcel.location.clone());
    match event {
        Event::ShipmentCorrected(corrected) => {
            let (lines, shipment_reference) = parcel(corrected.shipment_id);
            vec![OrderFact::ShipmentCorrected {
                order,
                shipment_id: corrected.shipment_id,
                lines,
                carrier: corrected.carrier.clone(),
                tracking: corrected.tracking.clone(),
                shipment_reference,
            }]
        }
        Event::ShipmentDelivered(delivered) => {
            let (lines, shipment_reference) = parcel(delivered.shipment_id);
            vec![OrderFact::Delivered {
                order,
                shipment_id: delivered.shipment_id,
                lines,
                delivered_at: delivered.delivered_at,
                return_until: delivered.return_until,
                shipment_reference,
            }]
        }
        Event::ShipmentUndone(undone) => {
            let (_, shipment_reference) = parcel(undone.shipment_id);
            let mut facts = vec![OrderFact::ShipmentUndone {
                order: order.clone(),
                shipment_id: undone.shipment_id,
                cause: undone.cause.state().code().to_owned(),
                lines: returns::returned(details, &undone.lines),
                shipment_reference,
                open_again: undone.open_again,
                location: location(undone.shipment_id),
            }];
            facts.extend(refund_of(details, order, undone));
            facts
        }
        Event::ShipmentFound(found) => {
            let (_, shipment_reference) = parcel(found.shipment_id);
            vec![OrderFact::ShipmentFound {
                order,
                shipment_id: found.shipment_id,
                lines: returns::returned(details, &found.lines),
                shipment_reference,
                location: location(found.shipment_id),
            }]
        }
        _ => Vec::new(),
    }
}

/// The refund of an undone parcel, unless it is nothing. As of a return: here the parcel is what
/// came back.
fn refund_of(details: &Details, order: OrderHeader, undone: &ShipmentUndone) -> Option<OrderFact> {
    (undone.refund.minor > 0).then(|| OrderFact::RefundRequested {
        order,
        return_id: ReturnId::from_uuid(undone.shipment_id.uuid()),
        refund: undone.refund,
        return_reference: String::new(),
        kept: Vec::new(),
        rejected_reason: String::new(),
        payments: payments::moved(details),
    })
}

fn created(
    order: OrderHeader,
    details: &Details,
    placed_at: Timestamp,
    confirm_by: Timestamp,
) -> OrderFact {
    OrderFact::Created {
        order,
        lines: details.lines.iter().filter_map(placed).collect(),
        placed_at,
        confirm_by,
        charges: details.charges.iter().map(charge).collect(),
        exchange_of: details.terms.exchange_of.map(|exchange| ExchangeFact {
            order_id: exchange.order_id,
            return_id: exchange.return_id,
        }),
        totals: sums(details),
    }
}

/// The sums of an order, where there is more than lines and their prices.
pub(super) fn sums(details: &Details) -> Option<Box<TotalsFact>> {
    (!details.totals.is_plain()).then(|| Box::new(totals(&details.totals)))
}

/// Lines that an edit has added, as they are in the order.
pub(super) fn lines_in_addition(details: &Details, added: &[PlacedLine]) -> Vec<OrderLineFact> {
    added.iter().filter_map(|new| placed(details.line(new.line)?)).collect()
}

fn header(details: &Details) -> OrderHeader {
    OrderHeader {
        order_id: details.order_id,
        customer_id: details.customer_id,
        contact: details.person.contact.clone(),
        total: details.totals.total,
        names: details.terms.names.clone(),
    }
}

/// A line as it was placed; every line has units.
fn placed(line: &Line) -> Option<OrderLineFact> {
    let quantity = Quantity::new(line.ordered).ok()?;
    let total = Money::new(line.amounts.ordered.total, line.unit_price.currency);
    let is_plain = line.unit_price.times(quantity) == Ok(total);
    Some(OrderLineFact {
        line: line.number,
        sku: line.sku.clone(),
        quantity,
        unit_price: line.unit_price,
        title: title(line),
        attributes: line.terms.as_ref().map(|said| said.attributes.clone()).unwrap_or_default(),
        image_url: line.terms.as_ref().map(|said| said.image_url.clone()).unwrap_or_default(),
        total: (!is_plain).then_some(total),
    })
}

/// The line's name for people; empty for most.
pub(super) fn title(line: &Line) -> String {
    line.terms.as_ref().map(|said| said.title.clone()).unwrap_or_default()
}

fn charge(OrderCharge { charge, amount, .. }: &OrderCharge) -> ChargeFact {
    ChargeFact {
        kind: charge.kind.code().to_owned(),
        label: charge.label.clone(),
        total: Money::new(amount.total, charge.amount.currency),
    }
}

const fn totals(totals: &Totals) -> TotalsFact {
    let Totals { goods, discounts, charges, tax, total } = *totals;
    TotalsFact { goods, discounts, charges, tax, total }
}

pub(super) fn units(details: &Details, lines: &[LineQuantity]) -> Vec<LineUnits> {
    let unit = |line: u32, quantity: Quantity| {
        let known = details.line(line)?;
        Some(LineUnits { line, sku: known.sku.clone(), quantity, title: title(known) })
    };
    lines.iter().filter_map(|line| unit(line.line, line.quantity)).collect()
}
