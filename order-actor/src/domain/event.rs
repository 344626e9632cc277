use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_events::contract::{
    CancelReason, CustomerId, LocationName, Money, OrderId, OrderNames, ReservationId, ReturnId,
    ShipmentId, Sku, Timestamp,
};
use strum::{IntoStaticStr, VariantNames};

use super::event_defaults::{customer, is_customer, is_published, published};
use super::note::is_private;
use super::{
    By, Charge, ChargeRefund, CompensationCompleted, Discount, ExchangeOf, HoldReleased,
    LineQuantity, NoteText, OrderCorrected, OrderEditRefused, OrderEditRequested, OrderEdited,
    OrderHeld, OutcomeUnits, PaymentCaptured, PaymentLost, PaymentPlan, PaymentSecured, Person,
    PlacedLine, RefundFailed, RefundSettled, Restitution, Role, ShipmentCorrected,
    ShipmentDelivered, ShipmentFound, ShipmentUndone, StockHeld, TaxMode,
};

/// An event of an order: the journal's private schema in its current version. Older versions are
/// converted on reading (`upcast.rs`); other services see facts only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
pub enum Event {
    /// The order was placed.
    OrderPlaced {
        /// The order.
        order_id: OrderId,
        /// The customer.
        customer_id: CustomerId,
        /// The lines, numbered from 1.
        lines: Vec<PlacedLine>,
        /// What is charged beside the goods, by number from 1.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        charges: Vec<Charge>,
        /// Discounts of the whole order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        discounts: Vec<Discount>,
        /// Whether taxes come on top of the prices.
        #[serde(default, skip_serializing_if = "TaxMode::is_on_top")]
        tax_mode: TaxMode,
        /// What the customer pays: [`price`](super::price) of all that.
        total: Money,
        /// Who gets it and pays for it; all the personal data of the event.
        person: Arc<Person>,
        /// Words by which the client finds it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
        /// What the client keeps beside it.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        metadata: BTreeMap<String, String>,
        /// The return that it replaces goods of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exchange_of: Option<ExchangeOf>,
        /// Names that the client gave it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        names: Option<Box<OrderNames>>,
        /// How it is paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payment: Option<Box<PaymentPlan>>,
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
        /// Units that wait for stock: they cannot be shipped yet.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        backordered: Vec<LineQuantity>,
        /// When.
        at: Timestamp,
    },
    /// Stock came for units that were backordered.
    LinesAllocated {
        /// The units.
        lines: Vec<LineQuantity>,
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
        /// The warehouse's own id of the parcel.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        shipment_reference: String,
        /// The location of stock that it left, if one was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<LocationName>,
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
        /// The warehouse's own id of the parcel.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        shipment_reference: String,
        /// The location of stock that it left, if one was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<LocationName>,
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
        /// The warehouse's own id of it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reference: String,
        /// The order that replaces what is sent back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exchange_order_id: Option<OrderId>,
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
    /// The return was approved; its goods are received later.
    ReturnAuthorized {
        /// The return.
        return_id: ReturnId,
        /// The units that may come back.
        lines: Vec<LineQuantity>,
        /// The units that may not.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<OutcomeUnits>,
        /// Why they may not.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        rejected_reason: String,
        /// The refund if all of them arrive.
        refund: Money,
        /// Why the refund is above the value of the units.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        refund_reason: String,
        /// What of the refund is for charges.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        charges: Vec<ChargeRefund>,
        /// When.
        at: Timestamp,
    },
    /// The goods of an approved return were received.
    ReturnReceived {
        /// The return.
        return_id: ReturnId,
        /// The units that came back, and their dispositions.
        lines: Vec<Restitution>,
        /// The units that the customer keeps.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<OutcomeUnits>,
        /// Why some are rejected.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        rejected_reason: String,
        /// The refund. A refund fact is published unless it is zero.
        refund: Money,
        /// The location of stock where the units are restocked, if one was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<LocationName>,
        /// When.
        at: Timestamp,
    },
    /// The return was approved, with its goods received.
    ReturnApproved {
        /// The return.
        return_id: ReturnId,
        /// The units and their dispositions.
        lines: Vec<Restitution>,
        /// The units that the customer keeps.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<OutcomeUnits>,
        /// Why some are rejected.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        rejected_reason: String,
        /// The refund.
        refund: Money,
        /// Why the refund is above the value of the units.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        refund_reason: String,
        /// Whether a refund fact is published: not for a refund of zero. Events without this field
        /// are older than the distinction; for them the fact was always published.
        #[serde(default = "published", skip_serializing_if = "is_published")]
        refund_told: bool,
        /// What of the refund is for charges.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        charges: Vec<ChargeRefund>,
        /// The location of stock where the units are restocked, if one was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<LocationName>,
        /// When.
        at: Timestamp,
    },
    /// Somebody wrote a note.
    NoteAdded {
        /// Whether the customer sees it.
        #[serde(default, skip_serializing_if = "is_private")]
        public: bool,
        /// The text; all the personal data of the event.
        note: Arc<NoteText>,
        /// Who wrote it.
        by: By,
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
    /// The order is held: it does not ship until the hold is released.
    OrderHeld(OrderHeld),
    /// A hold was released.
    HoldReleased(HoldReleased),
    /// Contact or addresses were corrected.
    OrderCorrected(OrderCorrected),
    /// Carrier or tracking number of a parcel were corrected.
    ShipmentCorrected(ShipmentCorrected),
    /// A parcel was delivered.
    ShipmentDelivered(ShipmentDelivered),
    /// A parcel was lost or came back; its units count as returned.
    ShipmentUndone(ShipmentUndone),
    /// A lost parcel came back after all; its units still count as returned.
    ShipmentFound(ShipmentFound),
    /// Its lines are to be changed, and stock is asked for the units that come in addition.
    OrderEditRequested(OrderEditRequested),
    /// Its lines were changed.
    OrderEdited(OrderEdited),
    /// An edit came to nothing; the order stayed as it was.
    OrderEditRefused(OrderEditRefused),
    /// Stock holds all units, and the money is waited for.
    StockHeld(StockHeld),
    /// The money is reserved or taken.
    PaymentSecured(PaymentSecured),
    /// Secured money is gone.
    PaymentLost(PaymentLost),
    /// Money was taken, for an order that ships only then.
    PaymentCaptured(PaymentCaptured),
    /// A refund was paid.
    RefundSettled(RefundSettled),
    /// A refund was not paid, or came back.
    RefundFailed(RefundFailed),
    /// What a cancelled order held was given back.
    CompensationCompleted(CompensationCompleted),
}

impl Event {
    /// The version of a payload's schema that this program writes, by the type name.
    #[must_use]
    pub fn version_of(name: &str) -> &'static str {
        // 2: what a shop's order has beside lines and prices, and one object of personal data.
        if name == "OrderPlaced" { "2" } else { "1" }
    }

    /// The type names of all events.
    pub const NAMES: &[&str] = <Self as VariantNames>::VARIANTS;

    /// The type name in the journal: that of the variant.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// When it happened, by the engine's clock.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::OrderPlaced { placed_at, .. } => *placed_at,
            Self::OrderConfirmed { at, .. }
            | Self::LinesAllocated { at, .. }
            | Self::LinesCancelled { at, .. }
            | Self::OrderCancelled { at, .. }
            | Self::LinesFulfilled { at, .. }
            | Self::OrderFulfilled { at, .. }
            | Self::ReturnRequested { at, .. }
            | Self::ReturnEscalated { at, .. }
            | Self::ReturnAuthorized { at, .. }
            | Self::ReturnReceived { at, .. }
            | Self::ReturnApproved { at, .. }
            | Self::ReturnRejected { at, .. }
            | Self::NoteAdded { at, .. } => *at,
            Self::OrderHeld(event) => event.at,
            Self::HoldReleased(event) => event.at,
            Self::OrderCorrected(event) => event.at,
            Self::ShipmentCorrected(event) => event.at,
            Self::ShipmentDelivered(event) => event.at,
            Self::ShipmentUndone(event) => event.at,
            Self::ShipmentFound(event) => event.at,
            Self::OrderEditRequested(event) => event.at,
            Self::OrderEdited(event) => event.at,
            Self::OrderEditRefused(event) => event.at,
            Self::StockHeld(event) => event.at,
            Self::PaymentSecured(event) => event.at,
            Self::PaymentLost(event) => event.at,
            Self::PaymentCaptured(event) => event.at,
            Self::RefundSettled(event) => event.at,
            Self::RefundFailed(event) => event.at,
            Self::CompensationCompleted(event) => event.at,
        }
    }
}
