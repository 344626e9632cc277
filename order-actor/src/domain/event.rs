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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
const fn is_customer(role: &Role) -> bool {
    matches!(role, Role::Customer)
}

/// What happened to an order: the journal's private schema, current version. Older versions are
/// lifted to it on reading (`upcast.rs`); others learn of it by facts only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It was placed.
    OrderPlaced {
        /// The order.
        order_id: OrderId,
        /// For whom.
        customer_id: CustomerId,
        /// What, by number from 1.
        lines: Vec<PlacedLine>,
        /// The sum of all lines.
        total: Money,
        /// Where it goes; personal data.
        address: Arc<Address>,
        /// How the customer is reached; personal data.
        contact: Arc<Contact>,
        /// When the engine accepted it.
        placed_at: Timestamp,
        /// When it was ordered by the client's own account.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ordered_at: Option<Timestamp>,
        /// When it lapses unless confirmed.
        confirm_by: Timestamp,
    },
    /// All units are held.
    OrderConfirmed {
        /// The hold.
        reservation_id: ReservationId,
        /// When.
        at: Timestamp,
    },
    /// These units will not be delivered; others are open or were delivered.
    LinesCancelled {
        /// The units.
        lines: Vec<LineQuantity>,
        /// Why.
        reason: CancelReason,
        /// Further words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// Where nothing stays open: until when a return may be requested.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        return_until: Option<Timestamp>,
        /// When.
        at: Timestamp,
    },
    /// Nothing was delivered and nothing will be.
    OrderCancelled {
        /// Why.
        reason: CancelReason,
        /// Further words.
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
    /// A parcel left; more are to come.
    LinesFulfilled {
        /// The parcel.
        shipment_id: ShipmentId,
        /// Its units.
        lines: Vec<LineQuantity>,
        /// Who carries it.
        carrier: String,
        /// The carrier's tracking number.
        tracking: String,
        /// When.
        at: Timestamp,
    },
    /// The last parcel left.
    OrderFulfilled {
        /// The parcel.
        shipment_id: ShipmentId,
        /// Its units.
        lines: Vec<LineQuantity>,
        /// Who carries it.
        carrier: String,
        /// The carrier's tracking number.
        tracking: String,
        /// Before this instant a return may be requested.
        return_until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// Units are asked to come back.
    ReturnRequested {
        /// The return.
        return_id: ReturnId,
        /// Its units.
        lines: Vec<LineQuantity>,
        /// Why.
        reason: String,
        /// When operators are reminded unless they judged.
        judge_by: Timestamp,
        /// In which role it was asked for; customers' where nothing is said.
        #[serde(default = "customer", skip_serializing_if = "is_customer")]
        asked_by: Role,
        /// When.
        at: Timestamp,
    },
    /// Nobody judged in time; operators are reminded, once.
    ReturnEscalated {
        /// The return.
        return_id: ReturnId,
        /// When.
        at: Timestamp,
    },
    /// The units come back.
    ReturnApproved {
        /// The return.
        return_id: ReturnId,
        /// The units and what becomes of them.
        lines: Vec<Restitution>,
        /// What is paid back.
        refund: Money,
        /// Why that is above the value of the units.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        refund_reason: String,
        /// Whether others are told of a refund: not of one of nothing. Events that do not say so
        /// are from before this was looked at, and whoever read them was told.
        #[serde(default = "told", skip_serializing_if = "is_told")]
        refund_told: bool,
        /// When.
        at: Timestamp,
    },
    /// The units stay with the customer.
    ReturnRejected {
        /// The return.
        return_id: ReturnId,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

const fn told() -> bool {
    true
}

const fn is_told(told: &bool) -> bool {
    *told
}

/// A line as it was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedLine {
    /// 1-based number.
    pub line: u32,
    /// What.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// The price of one.
    pub unit_price: Money,
    /// Who sells it.
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

/// Returned units of a line and what becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restitution {
    /// 1-based number of the line.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
    /// Back on the shelf, or written off.
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
