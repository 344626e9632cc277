use shared_events::contract::{CancelReason, Money, ReturnId, ShipmentId, Sku, Timestamp};

use super::amounts::{charge_refund, discounts, placed_charge, tax_mode, taxes};
use super::{address, cancel_reason, contact, disposition, money, texts, time, units};
use crate::domain::{ChargeRefund, Event, LineQuantity, PlacedLine, Restitution};
use crate::grpc::proto;
use crate::grpc::proto::event::Kind;

/// An event, with the version of the order after it.
#[must_use]
pub fn event(event: &Event, version: u64) -> proto::Event {
    proto::Event {
        version,
        occurred_at: Some(time(event.at())),
        name: event.name().to_owned(),
        kind: Some(kind(event)),
    }
}

fn kind(event: &Event) -> Kind {
    match event {
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
        }),
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
        Event::LinesFulfilled { shipment_id, lines, carrier, tracking, at: _ } => {
            lines_fulfilled(*shipment_id, lines, carrier, tracking)
        }
        Event::OrderFulfilled { shipment_id, lines, carrier, tracking, return_until, at: _ } => {
            order_fulfilled(*shipment_id, lines, carrier, tracking, *return_until)
        }
        Event::ReturnRequested { return_id, lines, reason, judge_by, asked_by: _, at: _ } => {
            return_requested(*return_id, lines, reason, *judge_by)
        }
        Event::ReturnEscalated { return_id, at: _ } => {
            Kind::ReturnEscalated(proto::ReturnEscalated { return_id: return_id.to_string() })
        }
        Event::ReturnApproved { return_id, lines, refund, refund_reason, charges, .. } => {
            return_approved(*return_id, lines, *refund, refund_reason, charges)
        }
        Event::ReturnRejected { return_id, reason, at: _ } => {
            let (return_id, reason) = (return_id.to_string(), reason.clone());
            Kind::ReturnRejected(proto::ReturnRejected { return_id, reason })
        }
    }
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

fn return_requested(
    return_id: ReturnId,
    lines: &[LineQuantity],
    reason: &str,
    judge_by: Timestamp,
) -> Kind {
    Kind::ReturnRequested(proto::ReturnRequested {
        return_id: return_id.to_string(),
        lines: units(lines),
        reason: reason.to_owned(),
        judge_by: Some(time(judge_by)),
    })
}

fn return_approved(
    return_id: ReturnId,
    lines: &[Restitution],
    refund: Money,
    refund_reason: &str,
    charges: &[ChargeRefund],
) -> Kind {
    Kind::ReturnApproved(proto::ReturnApproved {
        return_id: return_id.to_string(),
        lines: lines.iter().map(restitution).collect(),
        refund: Some(money(refund)),
        refund_reason: refund_reason.to_owned(),
        charges: charges.iter().map(charge_refund).collect(),
    })
}

fn restitution(line: &Restitution) -> proto::ReturnedUnits {
    proto::ReturnedUnits {
        line: line.line,
        quantity: line.quantity.get(),
        disposition: disposition(line.disposition).into(),
    }
}
