use shared_events::contract::{CancelReason, Sku, Timestamp};

use super::amounts::{discounts, placed_charge, tax_mode, taxes};
use super::notes::{name, new_note, note_added};
use super::payments::without_fees;
use super::{
    address, cancel_reason, contact, edits, money, parcels, payments, returns, texts, time, units,
};
use crate::domain::{Event, LineQuantity, PlacedLine};
use crate::grpc::proto;
use crate::grpc::proto::event::Kind;

/// An event, with the version of the order after it.
#[must_use]
pub fn event(event: &Event, version: u64) -> proto::Event {
    proto::Event {
        version,
        occurred_at: Some(time(event.at())),
        name: event.name().to_owned(),
        kind: kind(event),
    }
}

/// Leaves of an event what its customer may see. One of a new kind does not compile until that is
/// decided here.
pub fn for_customers(event: &mut proto::Event) {
    match &mut event.kind {
        Some(Kind::OrderPlaced(placed)) => {
            placed.notes.retain(|note| note.public);
            without_fees(placed.payment.as_mut());
        }
        Some(Kind::NoteAdded(added)) => {
            hide_staff(&added.role, &mut added.subject);
            if !added.public {
                added.text.clear();
            }
        }
        Some(Kind::OrderHeld(held)) => {
            let hold_id = std::mem::take(&mut held.hold_id);
            *held = proto::OrderHeld { hold_id, ..proto::OrderHeld::default() };
        }
        Some(Kind::HoldReleased(released)) => released.reason.clear(),
        Some(Kind::OrderEditRequested(asked)) => asked.reason.clear(),
        Some(Kind::OrderEdited(edited)) => edited.reason.clear(),
        Some(Kind::OrderCorrected(corrected)) => corrected.reason.clear(),
        Some(Kind::ShipmentUndone(undone)) => undone.reason.clear(),
        Some(Kind::ShipmentFound(found)) => found.reason.clear(),
        Some(Kind::ReturnApproved(approved)) => approved.refund_reason.clear(),
        Some(Kind::ReturnAuthorized(approved)) => approved.refund_reason.clear(),
        Some(
            Kind::OrderConfirmed(_)
            | Kind::LinesCancelled(_)
            | Kind::OrderCancelled(_)
            | Kind::LinesFulfilled(_)
            | Kind::OrderFulfilled(_)
            | Kind::ReturnRequested(_)
            | Kind::ReturnEscalated(_)
            | Kind::ReturnRejected(_)
            | Kind::ShipmentCorrected(_)
            | Kind::ShipmentDelivered(_)
            | Kind::ReturnReceived(_)
            | Kind::LinesAllocated(_)
            | Kind::OrderEditRefused(_)
            | Kind::StockHeld(_)
            | Kind::PaymentSecured(_)
            | Kind::PaymentLost(_)
            | Kind::PaymentCaptured(_)
            | Kind::RefundSettled(_)
            | Kind::RefundFailed(_)
            | Kind::CompensationCompleted(_),
        )
        | None => {}
    }
}

/// Customers learn that the shop wrote to them, not who.
pub(super) fn hide_staff(role: &str, subject: &mut String) {
    if role != "CUSTOMER" {
        subject.clear();
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each event")]
fn kind(event: &Event) -> Option<Kind> {
    Some(match event {
        Event::OrderPlaced { .. } => return order_placed(event),
        Event::OrderConfirmed { reservation_id, backordered, at: _ } => {
            let (reservation_id, backordered) = (reservation_id.to_string(), units(backordered));
            Kind::OrderConfirmed(proto::OrderConfirmed { reservation_id, backordered })
        }
        Event::LinesAllocated { lines, at: _ } => {
            Kind::LinesAllocated(proto::LinesAllocated { lines: units(lines) })
        }
        Event::LinesCancelled { lines, reason, text, return_until, at: _ } => {
            lines_cancelled(lines, *reason, text, *return_until)
        }
        Event::OrderCancelled { reason, text, was_confirmed, skus, at: _ } => {
            order_cancelled(*reason, text, *was_confirmed, skus)
        }
        Event::LinesFulfilled {
            shipment_id,
            lines,
            carrier,
            tracking,
            shipment_reference,
            location,
            at: _,
        } => {
            let said = (carrier.as_str(), tracking.as_str(), shipment_reference.as_str());
            let said = (said.0, said.1, said.2, location.as_ref());
            parcels::lines_fulfilled(*shipment_id, lines, said)
        }
        Event::OrderFulfilled {
            shipment_id,
            lines,
            carrier,
            tracking,
            shipment_reference,
            location,
            return_until,
            at: _,
        } => {
            let said = (carrier.as_str(), tracking.as_str(), shipment_reference.as_str());
            let said = (said.0, said.1, said.2, location.as_ref());
            parcels::order_fulfilled(*shipment_id, lines, said, *return_until)
        }
        Event::ReturnRequested { .. }
        | Event::ReturnEscalated { .. }
        | Event::ReturnAuthorized { .. }
        | Event::ReturnReceived { .. }
        | Event::ReturnApproved { .. }
        | Event::ReturnRejected { .. } => return returns::kind(event),
        Event::OrderHeld(event) => parcels::order_held(event),
        Event::HoldReleased(event) => parcels::hold_released(event),
        Event::OrderCorrected(event) => parcels::order_corrected(event),
        Event::ShipmentCorrected(event) => parcels::shipment_corrected(event),
        Event::ShipmentDelivered(event) => parcels::shipment_delivered(event),
        Event::ShipmentUndone(event) => parcels::shipment_undone(event),
        Event::ShipmentFound(event) => parcels::shipment_found(event),
        Event::OrderEditRequested(_) | Event::OrderEdited(_) | Event::OrderEditRefused(_) => {
            return edits::kind(event);
        }
        Event::NoteAdded { public, note, by, at: _ } => note_added(*public, note, by),
        Event::StockHeld(_)
        | Event::PaymentSecured(_)
        | Event::PaymentLost(_)
        | Event::PaymentCaptured(_)
        | Event::RefundSettled(_)
        | Event::RefundFailed(_)
        | Event::CompensationCompleted(_) => return payments::kind(event),
    })
}

fn order_placed(event: &Event) -> Option<Kind> {
    let Event::OrderPlaced {
        order_id: _,
        customer_id,
        lines,
        charges,
        discounts: of_order,
        tax_mode: mode,
        total,
        person,
        tags,
        metadata,
        exchange_of,
        names,
        payment,
        placed_at: _,
        ordered_at,
        confirm_by,
    } = event
    else {
        return None;
    };
    Some(Kind::OrderPlaced(proto::OrderPlaced {
        customer_id: customer_id.to_string(),
        lines: lines.iter().map(placed_line).collect(),
        total: Some(money(*total)),
        address: Some(address(&person.address)),
        contact: Some(contact(&person.contact)),
        ordered_at: ordered_at.map(time),
        confirm_by: Some(time(*confirm_by)),
        billing_address: person.billing_address.as_ref().map(address),
        charges: charges.iter().map(|charge| placed_charge(charge, *mode)).collect(),
        discounts: discounts(of_order),
        tax_mode: tax_mode(*mode).into(),
        tags: tags.clone(),
        metadata: metadata.clone(),
        exchange_of: exchange_of.map(returns::exchange_of),
        order_number: name(names, |names| &names.order_number),
        external_id: name(names, |names| &names.external_id),
        shop: name(names, |names| &names.shop),
        notes: person.notes.iter().map(new_note).collect(),
        payment: payment.as_deref().map(payments::plan),
    }))
}

pub(super) fn placed_line(line: &PlacedLine) -> proto::PlacedLine {
    proto::PlacedLine {
        line: line.line,
        sku: line.sku.as_str().to_owned(),
        quantity: line.quantity.get(),
        unit_price: Some(money(line.unit_price)),
        seller_id: line.seller_id.map(|id| id.to_string()).unwrap_or_default(),
        title: line.title.clone(),
        image_url: line.image_url.clone(),
        attributes: line.attributes.clone(),
        discounts: discounts(&line.discounts),
        taxes: taxes(&line.taxes),
    }
}

fn lines_cancelled(
    lines: &[LineQuantity],
    reason: CancelReason,
    text: &str,
    return_until: Option<Timestamp>,
) -> Kind {
    Kind::LinesCancelled(proto::LinesCancelled {
        lines: units(lines),
        reason: cancel_reason(reason).into(),
        text: text.to_owned(),
        return_until: return_until.map(time),
    })
}

fn order_cancelled(reason: CancelReason, text: &str, was_confirmed: bool, skus: &[Sku]) -> Kind {
    Kind::OrderCancelled(proto::OrderCancelled {
        reason: cancel_reason(reason).into(),
        text: text.to_owned(),
        was_confirmed,
        missing_skus: texts(skus),
    })
}
