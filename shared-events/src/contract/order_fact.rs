use super::body::facts;
use super::{
    CancelReason, CapturePolicy, ChargeFact, EditId, ExchangeFact, HoldId, KeptUnits, LineUnits,
    LocationName, LossCause, Money, OrderHeader, OrderId, OrderLineFact, PaymentPart,
    PaymentPolicy, PspName, RefundId, RequestedPayment, ReservationId, ReturnId, ReturnedUnits,
    ShipmentId, Sku, Timestamp, TotalsFact,
};

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
            /// What is taken of each payment now; empty where it is taken with the parcels.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            payments: Vec<PaymentPart>,
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
            /// The refund of what was captured of it; absent for an order without a payment plan.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            refund_id: Option<RefundId>,
            /// What each payment is no longer wanted for.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            payments: Vec<PaymentPart>,
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
            /// The refund of what was captured of it; absent for an order without a payment plan.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            refund_id: Option<RefundId>,
            /// What each payment is no longer wanted for.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            payments: Vec<PaymentPart>,
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
            /// What the parcel is worth of each payment.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            payments: Vec<PaymentPart>,
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
            /// What the parcel is worth of each payment.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            payments: Vec<PaymentPart>,
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
            /// What each payment gives back.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            payments: Vec<PaymentPart>,
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
        /// `order.shipment.found.v1`: a lost parcel came back after all. Its units count as
        /// returned since it was lost; these are their dispositions from now on.
        "order.shipment.found.v1" => ShipmentFound {
            #[serde(flatten)]
            order: OrderHeader,
            shipment_id: ShipmentId,
            lines: Vec<ReturnedUnits>,
            /// The warehouse's own id of the parcel.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            shipment_reference: String,
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
            /// Units of those in addition that wait for stock.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            backordered: Vec<LineUnits>,
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
        /// `payment.requested.v1`: stock is held, and money is to be secured for it.
        "payment.requested.v1" => PaymentRequested {
            #[serde(flatten)]
            order: OrderHeader,
            psp: PspName,
            capture: CapturePolicy,
            policy: PaymentPolicy,
            pay_by: Timestamp,
            parts: Vec<RequestedPayment>,
        }
        /// `order.payment.lost.v1`: secured money is gone; nothing ships until it is secured anew.
        "order.payment.lost.v1" => PaymentLost {
            #[serde(flatten)]
            order: OrderHeader,
            cause: LossCause,
        }
        /// `order.payment.secured.v1`: all its money is reserved or taken.
        "order.payment.secured.v1" => PaymentSecured {
            #[serde(flatten)]
            order: OrderHeader,
            amount: Money,
        }
        /// `order.refund.settled.v1`: a refund was paid; of zero, nothing of it was owed.
        "order.refund.settled.v1" => RefundSettled {
            #[serde(flatten)]
            order: OrderHeader,
            refund_id: RefundId,
            amount: Money,
        }
        /// `order.refund.failed.v1`: a refund was not paid, or came back.
        "order.refund.failed.v1" => RefundFailed {
            #[serde(flatten)]
            order: OrderHeader,
            refund_id: RefundId,
            amount: Money,
            code: String,
        }
        /// `order.compensated.v1`: all that a cancelled order held was given back.
        "order.compensated.v1" => Compensated {
            #[serde(flatten)]
            order: OrderHeader,
            /// Whether stock was.
            stock: bool,
            /// Whether money was.
            money: bool,
        }
    }
}
