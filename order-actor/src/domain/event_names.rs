//! The names of events in the journal, and their times.
//! Never here: their content (`event`).

use shared_events::contract::Timestamp;

use super::Event;

impl Event {
    /// The version of a payload's schema that this program writes, by the type name.
    #[must_use]
    pub fn version_of(name: &str) -> &'static str {
        // 2: what a shop's order has beside lines and prices, and one object of personal data.
        if name == "OrderPlaced" { "2" } else { "1" }
    }

    /// The type name in the journal.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OrderPlaced { .. } => "OrderPlaced",
            Self::OrderConfirmed { .. } => "OrderConfirmed",
            Self::LinesAllocated { .. } => "LinesAllocated",
            Self::LinesCancelled { .. } => "LinesCancelled",
            Self::OrderCancelled { .. } => "OrderCancelled",
            Self::LinesFulfilled { .. } => "LinesFulfilled",
            Self::OrderFulfilled { .. } => "OrderFulfilled",
            Self::ReturnRequested { .. } => "ReturnRequested",
            Self::ReturnEscalated { .. } => "ReturnEscalated",
            Self::ReturnAuthorized { .. } => "ReturnAuthorized",
            Self::ReturnReceived { .. } => "ReturnReceived",
            Self::ReturnApproved { .. } => "ReturnApproved",
            Self::ReturnRejected { .. } => "ReturnRejected",
            Self::OrderHeld(_) => "OrderHeld",
            Self::HoldReleased(_) => "HoldReleased",
            Self::OrderCorrected(_) => "OrderCorrected",
            Self::ShipmentCorrected(_) => "ShipmentCorrected",
            Self::ShipmentDelivered(_) => "ShipmentDelivered",
            Self::ShipmentUndone(_) => "ShipmentUndone",
            Self::OrderEditRequested(_) => "OrderEditRequested",
            Self::OrderEdited(_) => "OrderEdited",
            Self::OrderEditRefused(_) => "OrderEditRefused",
            Self::StockHeld(_) => "StockHeld",
            Self::PaymentSecured(_) => "PaymentSecured",
            Self::PaymentLost(_) => "PaymentLost",
            Self::PaymentCaptured(_) => "PaymentCaptured",
            Self::RefundSettled(_) => "RefundSettled",
            Self::RefundFailed(_) => "RefundFailed",
            Self::CompensationCompleted(_) => "CompensationCompleted",
            Self::NoteAdded { .. } => "NoteAdded",
        }
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
