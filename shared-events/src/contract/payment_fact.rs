use super::body::facts;
use super::{
    CapturePolicy, DisputeOutcome, LineAccount, LossCause, Money, OrderId, PaymentHeader,
    PaymentId, PaymentPart, RefundId, Reversed, Seller, SettledLine, Subject, Timestamp,
};

facts! {
    /// Facts about payments: some about the money of one payment, by which the ledger keeps its
    /// accounts, some about all payments of an order, which the order waits for.
    PaymentFact {
        /// `payment.authorized.v1`: money is reserved.
        "payment.authorized.v1" => Authorized {
            #[serde(flatten)]
            payment: PaymentHeader,
            valid_until: Timestamp,
        }
        /// `payment.captured.v1`: reserved money was taken.
        "payment.captured.v1" => Captured {
            #[serde(flatten)]
            payment: PaymentHeader,
            /// The shop's fee of it: what the fee of all that is captured and not refunded grew by.
            /// None yet where it is taken before its goods leave (`ON_CONFIRM`).
            fee: Money,
            capture: CapturePolicy,
        }
        /// `payment.earned.v1`: goods left whose money was taken before (`ON_CONFIRM`).
        "payment.earned.v1" => Earned {
            #[serde(flatten)]
            payment: PaymentHeader,
            /// The shop's fee of it.
            fee: Money,
            /// All that was earned of the payment so far, this included.
            through: Money,
        }
        /// `payment.voided.v1`: reserved money was given back.
        "payment.voided.v1" => Voided {
            #[serde(flatten)]
            payment: PaymentHeader,
        }
        /// `payment.expired.v1`: the reservation of money ended by itself.
        "payment.expired.v1" => Expired {
            #[serde(flatten)]
            payment: PaymentHeader,
        }
        /// `payment.refunded.v1`: taken money was paid back.
        "payment.refunded.v1" => Refunded {
            #[serde(flatten)]
            payment: PaymentHeader,
            /// The shop's fee that is given back with it.
            fee: Money,
            /// What of it is of goods that had not left, where money is taken before them.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            held: Option<Money>,
        }
        /// `payment.reversed.v1`: the provider took back what it had said is done.
        "payment.reversed.v1" => Reversed {
            #[serde(flatten)]
            payment: PaymentHeader,
            reverses: Reversed,
            /// What the shop's fee changes by: less for a capture, more again for a refund.
            fee: Money,
            /// What of it is of goods that had not left, where money is taken before them.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            held: Option<Money>,
            /// Of a capture: what is reserved again by it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            restored: Option<Money>,
        }
        /// `payment.disputed.v1`: the customer disputes what was taken.
        "payment.disputed.v1" => Disputed {
            #[serde(flatten)]
            payment: PaymentHeader,
            /// The provider's name of the dispute.
            dispute_id: String,
            /// Until when evidence can be given, where the provider says so.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            respond_by: Option<Timestamp>,
        }
        /// `payment.dispute.closed.v1`: a dispute ended. A later verdict may be another.
        "payment.dispute.closed.v1" => DisputeClosed {
            #[serde(flatten)]
            payment: PaymentHeader,
            /// The provider's name of the dispute.
            dispute_id: String,
            /// For whom.
            outcome: DisputeOutcome,
        }
        /// `payment.secured.v1`: all the money that an order asked for is reserved or taken.
        "payment.secured.v1" => Secured {
            order_id: OrderId,
            amount: Money,
            /// Until when all of it stands.
            valid_until: Timestamp,
            payments: Vec<PaymentPart>,
        }
        /// `payment.failed.v1`: the money is not to be had.
        "payment.failed.v1" => Failed {
            order_id: OrderId,
            /// Which payment, under `PER_SELLER`; absent where the whole order fails.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            payment_id: Option<PaymentId>,
            /// Its seller; absent as well where the shop itself is.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            seller: Option<Seller>,
            /// Why, such as `insufficient_funds`.
            reason: String,
        }
        /// `payment.lost.v1`: money that was secured is gone.
        "payment.lost.v1" => Lost {
            order_id: OrderId,
            cause: LossCause,
        }
        /// `payment.released.v1`: all the money of a cancelled order is back.
        "payment.released.v1" => Released {
            order_id: OrderId,
        }
        /// `refund.settled.v1`: a refund of an order was paid.
        "refund.settled.v1" => RefundSettled {
            order_id: OrderId,
            refund_id: RefundId,
            amount: Money,
        }
        /// `refund.failed.v1`: a refund of an order was not paid, or came back.
        "refund.failed.v1" => RefundFailed {
            order_id: OrderId,
            refund_id: RefundId,
            amount: Money,
            /// Why, such as `account_closed`.
            code: String,
        }
        /// `settlement.line.v1`: a provider's report says what it paid out, or took.
        "settlement.line.v1" => SettlementLine {
            #[serde(flatten)]
            line: SettledLine,
            account: LineAccount,
        }
        /// `settlement.line.resolved.v1`: a person said what a line is for that was in suspense.
        "settlement.line.resolved.v1" => SettlementResolved {
            #[serde(flatten)]
            line: SettledLine,
            account: LineAccount,
        }
    }
}

impl PaymentFact {
    /// The order it is about, or the line of a report.
    const fn about(&self) -> Result<OrderId, &SettledLine> {
        match self {
            Self::Authorized { payment, .. }
            | Self::Captured { payment, .. }
            | Self::Earned { payment, .. }
            | Self::Voided { payment }
            | Self::Expired { payment }
            | Self::Refunded { payment, .. }
            | Self::Reversed { payment, .. }
            | Self::Disputed { payment, .. }
            | Self::DisputeClosed { payment, .. } => Ok(payment.order_id),
            Self::Secured { order_id, .. }
            | Self::Failed { order_id, .. }
            | Self::Lost { order_id, .. }
            | Self::Released { order_id }
            | Self::RefundSettled { order_id, .. }
            | Self::RefundFailed { order_id, .. } => Ok(*order_id),
            Self::SettlementLine { line, .. } | Self::SettlementResolved { line, .. } => Err(line),
        }
    }

    /// The order it is about; none where it is about a line of a settlement report.
    #[must_use]
    pub const fn order_id(&self) -> Option<OrderId> {
        match self.about() {
            Ok(order) => Some(order),
            Err(_) => None,
        }
    }

    /// What it is about, CloudEvents `subject`.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self.about() {
            Ok(order) => order.into(),
            Err(line) => line.settlement_line_id.into(),
        }
    }
}
