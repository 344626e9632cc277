//! Holds, corrections and parcels: of an order, and as events.

use shared_events::contract::{LocationName, ShipmentId, Timestamp};

use super::amounts::charge_refund;
use super::returns::restitution;
use super::{address, contact, money, time, units};
use crate::domain::{
    HoldKind, HoldReleased, LineQuantity, OrderCorrected, OrderHeld, ParcelState, Shipment,
    ShipmentCorrected, ShipmentDelivered, ShipmentFound, ShipmentUndone, UndoCause,
};
use crate::grpc::proto;
use crate::grpc::proto::event::Kind;

const fn hold_kind(kind: HoldKind) -> proto::HoldKind {
    match kind {
        HoldKind::Fraud => proto::HoldKind::Fraud,
        HoldKind::Address => proto::HoldKind::Address,
        HoldKind::Custom => proto::HoldKind::Custom,
    }
}

const fn parcel_state(state: ParcelState) -> proto::ParcelState {
    match state {
        ParcelState::Shipped => proto::ParcelState::Shipped,
        ParcelState::Delivered => proto::ParcelState::Delivered,
        ParcelState::Lost => proto::ParcelState::Lost,
        ParcelState::ReturnedToSender => proto::ParcelState::ReturnedToSender,
    }
}

pub(super) fn hold(held: &OrderHeld) -> proto::Hold {
    proto::Hold {
        hold_id: held.hold_id.to_string(),
        kind: hold_kind(held.kind).into(),
        label: held.label.clone(),
        reason: held.reason.clone(),
        held_at: Some(time(held.at)),
    }
}

pub(super) fn parcel(shipment: &Shipment) -> proto::Parcel {
    proto::Parcel {
        shipment_id: shipment.shipment_id.to_string(),
        shipment_reference: shipment.reference.clone(),
        lines: units(&shipment.lines),
        carrier: shipment.carrier().to_owned(),
        tracking: shipment.tracking().to_owned(),
        shipped_at: Some(time(shipment.shipped_at)),
        state: parcel_state(shipment.state()).into(),
        delivered_at: shipment.delivered_at.map(time),
        location: location(shipment.location.as_ref()),
    }
}

/// The name of a location; empty where none was named.
pub(super) fn location(name: Option<&LocationName>) -> String {
    name.map(LocationName::to_string).unwrap_or_default()
}

/// What was said of a parcel that was shipped: carrier, tracking number, the warehouse's own id,
/// and the location that it left.
pub(super) type Said<'a> = (&'a str, &'a str, &'a str, Option<&'a LocationName>);

pub(super) fn lines_fulfilled(
    shipment_id: ShipmentId,
    lines: &[LineQuantity],
    (carrier, tracking, reference, from): Said<'_>,
) -> Kind {
    Kind::LinesFulfilled(proto::LinesFulfilled {
        shipment_id: shipment_id.to_string(),
        lines: units(lines),
        carrier: carrier.to_owned(),
        tracking: tracking.to_owned(),
        shipment_reference: reference.to_owned(),
        location: location(from),
    })
}

pub(super) fn order_fulfilled(
    shipment_id: ShipmentId,
    lines: &[LineQuantity],
    (carrier, tracking, reference, from): Said<'_>,
    return_until: Timestamp,
) -> Kind {
    Kind::OrderFulfilled(proto::OrderFulfilled {
        shipment_id: shipment_id.to_string(),
        lines: units(lines),
        carrier: carrier.to_owned(),
        tracking: tracking.to_owned(),
        return_until: Some(time(return_until)),
        shipment_reference: reference.to_owned(),
        location: location(from),
    })
}

pub(super) fn order_held(held: &OrderHeld) -> Kind {
    Kind::OrderHeld(proto::OrderHeld {
        hold_id: held.hold_id.to_string(),
        kind: hold_kind(held.kind).into(),
        label: held.label.clone(),
        reason: held.reason.clone(),
    })
}

pub(super) fn hold_released(released: &HoldReleased) -> Kind {
    let (hold_id, reason) = (released.hold_id.to_string(), released.reason.clone());
    Kind::HoldReleased(proto::HoldReleased { hold_id, reason })
}

pub(super) fn order_corrected(corrected: &OrderCorrected) -> Kind {
    let person = &corrected.person;
    Kind::OrderCorrected(proto::OrderCorrected {
        contact: Some(contact(&person.contact)),
        address: Some(address(&person.address)),
        billing_address: person.billing_address.as_ref().map(address),
        fields: corrected.fields.clone(),
        reason: corrected.reason.clone(),
    })
}

pub(super) fn shipment_corrected(corrected: &ShipmentCorrected) -> Kind {
    Kind::ShipmentCorrected(proto::ShipmentCorrected {
        shipment_id: corrected.shipment_id.to_string(),
        carrier: corrected.carrier.clone(),
        tracking: corrected.tracking.clone(),
    })
}

pub(super) fn shipment_delivered(delivered: &ShipmentDelivered) -> Kind {
    Kind::ShipmentDelivered(proto::ShipmentDelivered {
        shipment_id: delivered.shipment_id.to_string(),
        delivered_at: Some(time(delivered.delivered_at)),
        return_until: delivered.return_until.map(time),
    })
}

pub(super) fn shipment_undone(undone: &ShipmentUndone) -> Kind {
    let cause = match undone.cause {
        UndoCause::Lost => proto::UndoCause::Lost,
        UndoCause::ReturnedToSender => proto::UndoCause::ReturnedToSender,
    };
    let outcome =
        if undone.open_again { proto::UndoOutcome::OpenAgain } else { proto::UndoOutcome::Refund };
    Kind::ShipmentUndone(proto::ShipmentUndone {
        shipment_id: undone.shipment_id.to_string(),
        cause: cause.into(),
        lines: undone.lines.iter().map(restitution).collect(),
        refund: Some(money(undone.refund)),
        reason: undone.reason.clone(),
        outcome: outcome.into(),
        charges: undone.charges.iter().map(charge_refund).collect(),
    })
}

pub(super) fn shipment_found(found: &ShipmentFound) -> Kind {
    Kind::ShipmentFound(proto::ShipmentFound {
        shipment_id: found.shipment_id.to_string(),
        lines: found.lines.iter().map(restitution).collect(),
        reason: found.reason.clone(),
    })
}
