use serde::{Deserialize, Serialize};
use shared_events::contract::{
    LossCause, Money, OperationId, PaymentId, PaymentPart, RefundId, RequestedPayment, Timestamp,
};
use uuid::Uuid;

use super::{Dispute, Operation, Plan, Unheard};

/// What happened to the payments of an order. Private to this service; kept for ever. Names on the
/// left never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The order asked for money.
    Requested {
        /// How.
        plan: Plan,
        /// How much of whom.
        parts: Vec<RequestedPayment>,
    },
    /// The journal was restored to an earlier state and no longer holds the order.
    Vanished {
        /// When that was noticed.
        at: Timestamp,
    },
    /// An order that had vanished asks for money again: it was placed anew, or its journal is back.
    Reappeared {
        /// How.
        plan: Plan,
        /// How much of whom.
        parts: Vec<RequestedPayment>,
        /// Whether what was taken before does not count for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        uncounted: bool,
    },
    /// The journal was restored to an earlier state, and lost some of what the order had said.
    Unheard {
        /// What.
        what: Unheard,
    },
    /// The customer began to pay.
    Attempted {
        /// The attempt.
        attempt_id: Uuid,
    },
    /// The order wants less.
    Unwanted {
        /// The fact that said so.
        cause: Uuid,
        /// How much less of each payment.
        parts: Vec<PaymentPart>,
        /// Whether the order was cancelled as a whole.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        whole: bool,
    },
    /// Money is to be taken: of a parcel, or since the order is confirmed.
    Due {
        /// The parcel, or the fact of the confirmation.
        cause: Uuid,
        /// How much of each payment.
        parts: Vec<PaymentPart>,
    },
    /// A parcel left, whose money is taken with the confirmation of the order.
    Delivered {
        /// The parcel.
        cause: Uuid,
        /// What it is worth of each payment.
        parts: Vec<PaymentPart>,
    },
    /// Money that was taken before is earned: its goods left.
    Earned {
        /// Of which payment.
        payment_id: PaymentId,
        /// A capture that took it.
        operation_id: OperationId,
        /// The last parcel that left.
        cause: Uuid,
        /// How much.
        amount: Money,
        /// When.
        at: Timestamp,
    },
    /// Money is to be paid back.
    RefundDue {
        /// The refund.
        refund_id: RefundId,
        /// How much of each payment.
        parts: Vec<PaymentPart>,
        /// Whether it is of what was cancelled, and so owes no more than was taken.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cancelled: bool,
    },
    /// Something is to be done at the provider.
    Opened {
        /// Of which payment.
        payment_id: PaymentId,
        /// What.
        operation: Operation,
    },
    /// The provider works on it, or a person must look.
    Waits {
        /// Which.
        operation_id: OperationId,
        /// The provider's name of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// Why a person must look; absent where the provider works on it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stuck: Option<String>,
    },
    /// The money moved.
    Succeeded {
        /// Which.
        operation_id: OperationId,
        /// The provider's name of it.
        reference: String,
        /// How much.
        amount: Money,
        /// Of an authorisation: until when it stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_until: Option<Timestamp>,
        /// Of a capture: what the provider gave back with it, in minor units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        released: Option<i64>,
        /// When.
        at: Timestamp,
    },
    /// A definite no.
    Declined {
        /// Which.
        operation_id: OperationId,
        /// Why, such as `insufficient_funds`.
        code: String,
    },
    /// The provider took back what it had said is done.
    Reversed {
        /// Which.
        operation_id: OperationId,
        /// Why, such as `expired_funds`.
        code: String,
        /// When.
        at: Timestamp,
    },
    /// An authorisation ended by itself.
    Expired {
        /// Which.
        operation_id: OperationId,
        /// When.
        at: Timestamp,
    },
    /// The customer disputes a payment.
    Disputed {
        /// Which.
        payment_id: PaymentId,
        /// The dispute.
        dispute: Dispute,
    },
    /// A dispute ended; a later verdict may be another.
    DisputeClosed {
        /// Of which payment.
        payment_id: PaymentId,
        /// The provider's name of the dispute.
        dispute_id: String,
        /// Whether for the seller.
        won: bool,
        /// When.
        at: Timestamp,
    },
    /// A payment was given up.
    GivenUp {
        /// Which.
        payment_id: PaymentId,
        /// Why.
        code: String,
        /// Whether the whole order fails by it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        whole: bool,
    },
    /// All that is wanted is reserved or taken.
    Secured {
        /// How much.
        parts: Vec<PaymentPart>,
        /// Until when all of it stands.
        valid_until: Timestamp,
    },
    /// Money that was secured is gone.
    Lost {
        /// By which operation.
        operation_id: OperationId,
        /// How.
        cause: LossCause,
    },
    /// All the money of a cancelled order is back.
    Released,
    /// A refund was paid.
    RefundSettled {
        /// Which.
        refund_id: RefundId,
    },
    /// A refund was not paid, or came back.
    RefundFailed {
        /// Which.
        refund_id: RefundId,
        /// Why.
        code: String,
    },
}
