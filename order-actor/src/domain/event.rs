use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_events::contract::{
    CancelReason, Contact, CustomerId, Disposition, Money, OrderId, Quantity, ReservationId,
    ReturnId, SellerId, ShipmentId, Sku, Timestamp,
};

use super::{Address, Role};

const fn customer() -> Role {
    Role::Customer
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_customer(role: &Role) -> bool {
    matches!(role, Role::Customer)
}

/// An event of an order: the journal's private schema in its current version. Older versions are
/// converted on reading (`upcast.rs`); other services see facts only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The order was placed.
    OrderPlaced {
        /// The order.
        order_id: OrderId,
        /// The customer.
        customer_id: CustomerId,
        /// The lines, numbered from 1.
        lines: Vec<PlacedLine>,
        /// The sum of all lines.
        total: Money,
        /// The delivery address; personal data.
        address: Arc<Address>,
        /// The customer's contact; personal data.
        contact: Arc<Contact>,
        /// When the engine accepted it.
        placed_at: Timestamp,
        /// When it was ordered, as reported by the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ordered_at: Option<Timestamp>,
        /// When it lapses unless confirmed.
        confirm_by: Timestamp,
    },
    /// Stock holds all units.
    OrderConfirmed {
        /// The reservation.
        reservation_id: ReservationId,
        /// When.
        at: Timestamp,
    },
    /// Some units were cancelled; others are open or were delivered.
    LinesCancelled {
        /// The units.
        lines: Vec<LineQuantity>,
        /// Why.
        reason: CancelReason,
        /// A comment.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// If no unit stays open: until when a return may be requested.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        return_until: Option<Timestamp>,
        /// When.
        at: Timestamp,
    },
    /// The order was cancelled before anything was delivered.
    OrderCancelled {
        /// Why.
        reason: CancelReason,
        /// A comment.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// Whether it had been confirmed.
        was_confirmed: bool,
        /// The skus that were missing.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skus: Vec<Sku>,
        /// When.
        at: Timestamp,
    },
    /// A parcel was shipped; units are still open.
    LinesFulfilled {
        /// The parcel.
        shipment_id: ShipmentId,
        /// Its units.
        lines: Vec<LineQuantity>,
        /// The carrier.
        carrier: String,
        /// The carrier's tracking number.
        tracking: String,
        /// When.
        at: Timestamp,
    },
    /// The last parcel was shipped.
    OrderFulfilled {
        /// The parcel.
        shipment_id: ShipmentId,
        /// Its units.
        lines: Vec<LineQuantity>,
        /// The carrier.
        carrier: String,
        /// The carrier's tracking number.
        tracking: String,
        /// Before this instant a return may be requested.
        return_until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// A return was requested.
    ReturnRequested {
        /// The return.
        return_id: ReturnId,
        /// Its units.
        lines: Vec<LineQuantity>,
        /// Why.
        reason: String,
        /// When operators are reminded if it is not judged.
        judge_by: Timestamp,
        /// The role that requested it; a customer if missing.
        #[serde(default = "customer", skip_serializing_if = "is_customer")]
        asked_by: Role,
        /// When.
        at: Timestamp,
    },
    /// The return was not judged in time; operators are reminded once.
    ReturnEscalated {
        /// The return.
        return_id: ReturnId,
        /// When.
        at: Timestamp,
    },
    /// The return was approved.
    ReturnApproved {
        /// The return.
        return_id: ReturnId,
        /// The units and their dispositions.
        lines: Vec<Restitution>,
        /// The refund.
        refund: Money,
        /// Why the refund is above the value of the units.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        refund_reason: String,
        /// Whether a refund fact is published: not for a refund of zero. Events without this field
        /// are older than the distinction; for them the fact was always published.
        #[serde(default = "published", skip_serializing_if = "is_published")]
        refund_told: bool,
        /// When.
        at: Timestamp,
    },
    /// The return was rejected; the units stay with the customer.
    ReturnRejected {
        /// The return.
        return_id: ReturnId,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

const fn published() -> bool {
    true
}

const fn is_published(published: &bool) -> bool {
    *published
}

/// A line as it was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedLine {
    /// 1-based number.
    pub line: u32,
    /// The product.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// The price of one unit.
    pub unit_price: Money,
    /// The seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller_id: Option<SellerId>,
}

/// Units of a line of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineQuantity {
    /// 1-based number of the line.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
}

/// Returned units of a line and their disposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restitution {
    /// 1-based number of the line.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
    /// Restocked or written off.
    pub disposition: Disposition,
}

impl Event {
    /// The version of the payload's schema that this program writes.
    pub const VERSION: &'static str = "1";

    /// The type name in the journal.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OrderPlaced { .. } => "OrderPlaced",
            Self::OrderConfirmed { .. } => "OrderConfirmed",
            Self::LinesCancelled { .. } => "LinesCancelled",
            Self::OrderCancelled { .. } => "OrderCancelled",
            Self::LinesFulfilled { .. } => "LinesFulfilled",
            Self::OrderFulfilled { .. } => "OrderFulfilled",
            Self::ReturnRequested { .. } => "ReturnRequested",
            Self::ReturnEscalated { .. } => "ReturnEscalated",
            Self::ReturnApproved { .. } => "ReturnApproved",
            Self::ReturnRejected { .. } => "ReturnRejected",
        }
    }

    /// When it happened, by the engine's clock.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::OrderPlaced { placed_at, .. } => *placed_at,
            Self::OrderConfirmed { at, .. }
            | Self::LinesCancelled { at, .. }
            | Self::OrderCancelled { at, .. }
            | Self::LinesFulfilled { at, .. }
            | Self::OrderFulfilled { at, .. }
            | Self::ReturnRequested { at, .. }
            | Self::ReturnEscalated { at, .. }
            | Self::ReturnApproved { at, .. }
            | Self::ReturnRejected { at, .. } => *at,
        }
    }
}
