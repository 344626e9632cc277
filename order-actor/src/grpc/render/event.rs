use shared_events::contract::{CancelReason, ShipmentId, Sku, Timestamp};

use super::amounts::{discounts, placed_charge, tax_mode, taxes};
use super::{address, cancel_reason, contact, money, returns, texts, time, units};
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

fn kind(event: &Event) -> Option<Kind> {
    Some(match event {
        Event::OrderPlaced {
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
            placed_at: _,
            ordered_at,
            confirm_by,
        } => Kind::OrderPlaced(proto::OrderPlaced {
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
        }),
        Event::OrderConfirmed { reservation_id, at: _ } => {
            let reservation_id = reservation_id.to_string();
            Kind::OrderConfirmed(proto::OrderConfirmed { reservation_id })
        }
        Event::LinesCancelled { lines, reason, text, return_until, at: _ } => {
            lines_cancelled(lines, *reason, text, *return_until)
        }
        Event::OrderCancelled { reason, text, was_confirmed, skus, at: _ } => {
            order_cancelled(*reason, text, *was_confirmed, skus)
        }
        Event::LinesFulfilled { shipment_id, lines, carrier, tracking, at: _ } => {
            lines_fulfilled(*shipment_id, lines, carrier, tracking)
        }
        Event::OrderFulfilled { shipment_id, lines, carrier, tracking, return_until, at: _ } => {
            order_fulfilled(*shipment_id, lines, carrier, tracking, *return_until)
        }
        Event::ReturnRequested { .. }
        | Event::ReturnEscalated { .. }
        | Event::ReturnAuthorized { .. }
        | Event::ReturnReceived { .. }
        | Event::ReturnApproved { .. }
        | Event::ReturnRejected { .. } => return returns::kind(event),
    })
}

fn placed_line(line: &PlacedLine) -> proto::PlacedLine {
    proto::PlacedLine {
        line: line.line,
        sku: line.sku.to_string(),
        quantity: line.quantity.get(),
        unit_price: Some(money(line.unit_price)),
        seller_id: line.seller_id.map(|id| id.to_string()).unwrap_or_default(),
        title: line.title.clone(),
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

fn lines_fulfilled(
    shipment_id: ShipmentId,
    lines: &[LineQuantity],
    carrier: &str,
    tracking: &str,
) -> Kind {
    Kind::LinesFulfilled(proto::LinesFulfilled {
        shipment_id: shipment_id.to_string(),
        lines: units(lines),
        carrier: carrier.to_owned(),
        tracking: tracking.to_owned(),
    })
}

fn order_fulfilled(
    shipment_id: ShipmentId,
    lines: &[LineQuantity],
    carrier: &str,
    tracking: &str,
    return_until: Timestamp,
) -> Kind {
    Kind::OrderFulfilled(proto::OrderFulfilled {
        shipment_id: shipment_id.to_string(),
        lines: units(lines),
        carrier: carrier.to_owned(),
        tracking: tracking.to_owned(),
        return_until: Some(time(return_until)),
    })
}
