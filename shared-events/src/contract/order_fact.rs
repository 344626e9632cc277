use serde::{Deserialize, Serialize};

use super::body::facts;
use super::{
    ChargeFact, Contact, CustomerId, EditId, ExchangeFact, HoldId, KeptUnits, LineUnits,
    LocationName, Money, OrderId, OrderLineFact, OrderNames, OrderNumber, ReservationId, ReturnId,
    ReturnedUnits, ShipmentId, Sku, Timestamp, TotalsFact,
};

/// Why an order, or units of it, were cancelled. A closed list with stable names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CancelReason {
    /// The customer asked.
    CustomerRequest,
    /// At least one line could not be reserved.
    InsufficientStock,
    /// It was not confirmed in time.
    SlaTimeout,
    /// The payment was not received.
    PaymentFailed,
    /// Operators decided.
    Ops,
}

impl CancelReason {
    /// The stable name, such as `CUSTOMER_REQUEST`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::CustomerRequest => "CUSTOMER_REQUEST",
            Self::InsufficientStock => "INSUFFICIENT_STOCK",
            Self::SlaTimeout => "SLA_TIMEOUT",
            Self::PaymentFailed => "PAYMENT_FAILED",
            Self::Ops => "OPS",
        }
    }
}

/// What happens to returned units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Disposition {
    /// Back on the shelf.
    Restock,
    /// Lost or damaged; stock stays as it is.
    WriteOff,
}

/// The part that every fact about an order has, so that a reader needs no memory of earlier facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderHeader {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub customer_id: CustomerId,
    /// How the customer is reached; personal data.
    pub contact: Contact,
    /// What the customer pays for the order as placed.
    pub total: Money,
    /// Names that the client gave it; absent where it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Box<OrderNames>>,
}

impl OrderHeader {
    /// The number by which people know the order: the client's, or else the one of its id.
    #[must_use]
    pub fn order_number(&self) -> String {
        OrderNumber::shown(self.names.as_deref(), self.order_id)
    }
}

facts! {
    /// Facts about an order. Each variant is one versioned CloudEvents type; its fields are its
    /// JSON data. A published version never changes: add a new one beside it.
    OrderFact {
        /// `order.created.v1`: placed, not yet confirmed.
        "order.created.v1" => Created {
            #[serde(flatten)]
            order: OrderHeader,
            lines: Vec<OrderLineFact>,
            placed_at: Timestamp,
            confirm_by: Timestamp,
            /// What is charged beside the lines.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            charges: Vec<ChargeFact>,
            /// The sums, where there is more than lines and their prices.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            totals: Option<Box<TotalsFact>>,
            /// The return whose goods it replaces, if it replaces some.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            exchange_of: Option<ExchangeFact>,
        }
        /// `order.confirmed.v1`: all units are reserved.
        "order.confirmed.v1" => Confirmed {
            #[serde(flatten)]
            order: OrderHeader,
            reservation_id: ReservationId,
            /// Units that wait for stock: they cannot be shipped yet.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            backordered: Vec<LineUnits>,
        }
        /// `order.lines.allocated.v1`: stock came for these units, which were backordered.
        "order.lines.allocated.v1" => LinesAllocated {
            #[serde(flatten)]
            order: OrderHeader,
            lines: Vec<LineUnits>,
            /// Units of the order that still wait for stock.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            backordered: Vec<LineUnits>,
        }
        /// `order.lines.cancelled.v1`: these units will not be delivered; the order continues.
        "order.lines.cancelled.v1" => LinesCancelled {
            #[serde(flatten)]
            order: OrderHeader,
            lines: Vec<LineUnits>,
            reason: CancelReason,
            /// The words of whoever cancelled them; mostly empty.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            text: String,
        }
        /// `order.cancelled.v1`: the rest of the order (all of it) will not be delivered.
        "order.cancelled.v1" => Cancelled {
            #[serde(flatten)]
            order: OrderHeader,
            reason: CancelReason,
            was_confirmed: bool,
            /// The skus that were missing, for `INSUFFICIENT_STOCK`.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            skus: Vec<Sku>,
            /// The words of whoever cancelled it; mostly empty.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            text: String,
        }
        /// `order.lines.fulfilled.v1`: a parcel was shipped, more are to come.
        "order.lines.fulfilled.v1" => LinesFulfilled {
            #[serde(flatten)]
            order: OrderHeader,
            shipment_id: ShipmentId,
            lines: Vec<LineUnits>,
            carrier: String,
            tracking: String,
            /// The warehouse's own id of the parcel.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            shipment_reference: String,
            /// Where the parcel left from; absent where whoever shipped it named none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            location: Option<LocationName>,
        }
        /// `order.fulfilled.v1`: the last parcel was shipped; `lines` are those of this parcel.
        "order.fulfilled.v1" => Fulfilled {
            #[serde(flatten)]
            order: OrderHeader,
            shipment_id: ShipmentId,
            lines: Vec<LineUnits>,
            carrier: String,
            tracking: String,
            return_until: Timestamp,
            /// The warehouse's own id of the parcel.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            shipment_reference: String,
            /// Where the parcel left from; absent where whoever shipped it named none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            location: Option<LocationName>,
        }
        /// `order.return.requested.v1`: the customer asks to send units back.
        "order.return.requested.v1" => ReturnRequested {
            #[serde(flatten)]
            order: OrderHeader,
            return_id: ReturnId,
            lines: Vec<LineUnits>,
            reason: String,
            /// The warehouse's own id of the return; absent if it has none.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            return_reference: String,
            /// The order that replaces what is sent back, if one does.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            exchange_order_id: Option<OrderId>,
        }
        /// `order.return.approved.v1`: these units may be sent back; stock and refund follow when
        /// they are received.
        "order.return.approved.v1" => ReturnApproved {
            #[serde(flatten)]
            order: OrderHeader,
            return_id: ReturnId,
            lines: Vec<LineUnits>,
            /// The warehouse's own id of the return; absent if it has none.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            return_reference: String,
            /// The units that may not be sent back.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            kept: Vec<KeptUnits>,
            /// Why they may not.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            rejected_reason: String,
            /// What is refunded if all of them arrive.
            refund: Money,
        }
        /// `order.return.overdue.v1`: the return was not judged in time; operators should check.
        "order.return.overdue.v1" => ReturnOverdue {
            #[serde(flatten)]
            order: OrderHeader,
            return_id: ReturnId,
        }
        /// `order.return.rejected.v1`: the units stay with the customer.
        "order.return.rejected.v1" => ReturnRejected {
            #[serde(flatten)]
            order: OrderHeader,
            return_id: ReturnId,
            reason: String,
            /// The warehouse's own id of the return; absent if it has none.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            return_reference: String,
        }
        /// `order.returned.v1`: units were returned.
        "order.returned.v1" => Returned {
            #[serde(flatten)]
            order: OrderHeader,
            return_id: ReturnId,
            lines: Vec<ReturnedUnits>,
            /// The warehouse's own id of the return; absent if it has none.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            return_reference: String,
            /// Units of the return that the customer keeps.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            kept: Vec<KeptUnits>,
            /// Why some of them are rejected.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            rejected_reason: String,
            /// Where the units are restocked; absent where whoever received them named none.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            location: Option<LocationName>,
        }
        /// `refund.requested.v1`: this amount is owed to the customer.
        "refund.requested.v1" => RefundRequested {
            #[serde(flatten)]
            order: OrderHeader,
            return_id: ReturnId,
            refund: Money,
            /// The warehouse's own id of the return; absent if it has none.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            return_reference: String,
            /// Units of the return that the customer keeps.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            kept: Vec<KeptUnits>,
            /// Why some of them are rejected.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            rejected_reason: String,
        }
        /// `order.held.v1`: it does not ship until the hold is released.
        "order.held.v1" => Held {
            #[serde(flatten)]
            order: OrderHeader,
            hold_id: HoldId,
            /// `FRAUD`, `ADDRESS` or `CUSTOM`.
            kind: String,
            /// Its label, if it has one.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            label: String,
            reason: String,
        }
        /// `order.hold.released.v1`: it ships, unless another hold stands.
        "order.hold.released.v1" => HoldReleased {
            #[serde(flatten)]
            order: OrderHeader,
            hold_id: HoldId,
            reason: String,
        }
        /// `order.corrected.v1`: contact or addresses were corrected; the contact is the new one.
        "order.corrected.v1" => Corrected {
            #[serde(flatten)]
            order: OrderHeader,
            /// The fields that changed, such as `address.street`; the values are in the order.
            fields: Vec<String>,
        }
        /// `order.shipment.corrected.v1`: a parcel is tracked otherwise than was said.
        "order.shipment.corrected.v1" => ShipmentCorrected {
            #[serde(flatten)]
            order: OrderHeader,
            shipment_id: ShipmentId,
            lines: Vec<LineUnits>,
            carrier: String,
            tracking: String,
            /// The warehouse's own id of the parcel.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            shipment_reference: String,
        }
        /// `order.delivered.v1`: a parcel was delivered.
        "order.delivered.v1" => Delivered {
            #[serde(flatten)]
            order: OrderHeader,
            shipment_id: ShipmentId,
            lines: Vec<LineUnits>,
            delivered_at: Timestamp,
            /// Until when a return may be requested now, if that is later than it was.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            return_until: Option<Timestamp>,
            /// The warehouse's own id of the parcel.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            shipment_reference: String,
        }
        /// `order.shipment.undone.v1`: a parcel was lost, or came back to the sender.
        "order.shipment.undone.v1" => ShipmentUndone {
            #[serde(flatten)]
            order: OrderHeader,
            shipment_id: ShipmentId,
            /// `LOST` or `RETURNED_TO_SENDER`.
            cause: String,
            lines: Vec<ReturnedUnits>,
            /// The warehouse's own id of the parcel.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            shipment_reference: String,
            /// Whether its units are open again: back on the shelf, and held by the order to be shipped
            /// anew. Absent where they count as returned.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            open_again: bool,
            /// The location of stock that the parcel left and came back to, if it named one.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            location: Option<LocationName>,
        }
        /// `order.edit.requested.v1`: its lines are to be changed, if stock holds these units in
        /// addition.
        "order.edit.requested.v1" => EditRequested {
            #[serde(flatten)]
            order: OrderHeader,
            edit_id: EditId,
            lines: Vec<LineUnits>,
            answer_by: Timestamp,
        }
        /// `order.edited.v1`: its lines were changed; the total is the new one.
        "order.edited.v1" => Edited {
            #[serde(flatten)]
            order: OrderHeader,
            edit_id: EditId,
            /// Units that lines have in addition.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            raised: Vec<LineUnits>,
            /// Lines in addition.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            added: Vec<OrderLineFact>,
            /// Units that will not be delivered.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            cancelled: Vec<LineUnits>,
            /// The sums, where there is more than lines and their prices.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            totals: Option<Box<TotalsFact>>,
        }
        /// `order.edit.refused.v1`: an edit came to nothing, and the order stays as it was.
        "order.edit.refused.v1" => EditRefused {
            #[serde(flatten)]
            order: OrderHeader,
            edit_id: EditId,
            /// `OUT_OF_STOCK` or `EXPIRED`.
            cause: String,
            /// The skus that were missing.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            skus: Vec<Sku>,
        }
    }
}

impl OrderFact {
    /// The part about its order.
    #[must_use]
    pub const fn order(&self) -> &OrderHeader {
        match self {
            Self::Created { order, .. }
            | Self::Confirmed { order, .. }
            | Self::LinesAllocated { order, .. }
            | Self::LinesCancelled { order, .. }
            | Self::Cancelled { order, .. }
            | Self::LinesFulfilled { order, .. }
            | Self::Fulfilled { order, .. }
            | Self::ReturnRequested { order, .. }
            | Self::ReturnApproved { order, .. }
            | Self::ReturnOverdue { order, .. }
            | Self::ReturnRejected { order, .. }
            | Self::Returned { order, .. }
            | Self::RefundRequested { order, .. }
            | Self::Held { order, .. }
            | Self::HoldReleased { order, .. }
            | Self::Corrected { order, .. }
            | Self::ShipmentCorrected { order, .. }
            | Self::Delivered { order, .. }
            | Self::ShipmentUndone { order, .. }
            | Self::EditRequested { order, .. }
            | Self::Edited { order, .. }
            | Self::EditRefused { order, .. } => order,
        }
    }
}
