use shared_events::contract::{CancelReason, OrderFact};

/// What a message to a person is about. Each kind has templates of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An order was placed.
    Received,
    /// All units are reserved.
    Confirmed,
    /// Stock came for units that waited.
    Allocated,
    /// Some units will not be delivered.
    LinesCancelled,
    /// Lines of the order were changed.
    Edited,
    /// The order is cancelled, by the customer or by operators.
    Cancelled,
    /// The order is cancelled, because something is out of stock.
    OutOfStock,
    /// The order is cancelled, because it was not confirmed in time.
    Expired,
    /// The order is cancelled, because the payment failed.
    PaymentFailed,
    /// The order's money is reserved or taken.
    Paid,
    /// A parcel was shipped, and more are to come.
    ParcelShipped,
    /// The last parcel was shipped.
    Shipped,
    /// A return was requested.
    ReturnReceived,
    /// A return may be sent back.
    ReturnApproved,
    /// A return was refused.
    ReturnRefused,
    /// A return was accepted, without a refund.
    Returned,
    /// A refund was approved.
    Refund,
    /// A refund was paid.
    Refunded,
    /// To operators: a return waits for a decision.
    ReturnOverdue,
    /// To operators: a refund was not paid, or came back.
    RefundFailed,
}

impl Kind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::successors(Some(Self::Received), |kind| kind.next())
    }

    const fn next(self) -> Option<Self> {
        Some(match self {
            Self::Received => Self::Confirmed,
            Self::Confirmed => Self::Allocated,
            Self::Allocated => Self::LinesCancelled,
            Self::LinesCancelled => Self::Edited,
            Self::Edited => Self::Cancelled,
            Self::Cancelled => Self::OutOfStock,
            Self::OutOfStock => Self::Expired,
            Self::Expired => Self::PaymentFailed,
            Self::PaymentFailed => Self::Paid,
            Self::Paid => Self::ParcelShipped,
            Self::ParcelShipped => Self::Shipped,
            Self::Shipped => Self::ReturnReceived,
            Self::ReturnReceived => Self::ReturnApproved,
            Self::ReturnApproved => Self::ReturnRefused,
            Self::ReturnRefused => Self::Returned,
            Self::Returned => Self::Refund,
            Self::Refund => Self::Refunded,
            Self::Refunded => Self::ReturnOverdue,
            Self::ReturnOverdue => Self::RefundFailed,
            Self::RefundFailed => return None,
        })
    }

    /// The kinds whose messages go to operators.
    pub(crate) const OF_OPERATORS: [Self; 2] = [Self::ReturnOverdue, Self::RefundFailed];

    /// Whether its messages go to operators, and not to the customer.
    #[must_use]
    pub fn is_for_operators(self) -> bool {
        Self::OF_OPERATORS.contains(&self)
    }

    /// What selects the rows of a table of messages that do not go to operators: more conditions of
    /// a `WHERE`, each behind ` AND `.
    pub(crate) fn not_for_operators() -> String {
        Self::OF_OPERATORS.iter().map(|kind| format!(" AND kind <> '{}'", kind.code())).collect()
    }

    /// The stable name; in small letters, the name of its templates.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Received => "RECEIVED",
            Self::Confirmed => "CONFIRMED",
            Self::Allocated => "ALLOCATED",
            Self::LinesCancelled => "LINES_CANCELLED",
            Self::Edited => "EDITED",
            Self::Cancelled => "CANCELLED",
            Self::OutOfStock => "OUT_OF_STOCK",
            Self::Expired => "EXPIRED",
            Self::PaymentFailed => "PAYMENT_FAILED",
            Self::Paid => "PAID",
            Self::ParcelShipped => "PARCEL_SHIPPED",
            Self::Shipped => "SHIPPED",
            Self::ReturnReceived => "RETURN_RECEIVED",
            Self::ReturnApproved => "RETURN_APPROVED",
            Self::ReturnRefused => "RETURN_REFUSED",
            Self::Returned => "RETURNED",
            Self::Refund => "REFUND",
            Self::Refunded => "REFUNDED",
            Self::ReturnOverdue => "RETURN_OVERDUE",
            Self::RefundFailed => "REFUND_FAILED",
        }
    }

    /// The kind of message that a fact leads to, if it leads to one.
    #[must_use]
    pub const fn of(fact: &OrderFact) -> Option<Self> {
        let kind = match fact {
            OrderFact::Created { .. } => Self::Received,
            OrderFact::Confirmed { .. } => Self::Confirmed,
            OrderFact::LinesAllocated { .. } => Self::Allocated,
            OrderFact::LinesCancelled { .. } => Self::LinesCancelled,
            OrderFact::Edited { .. } => Self::Edited,
            OrderFact::Cancelled { reason, .. } => match reason {
                CancelReason::InsufficientStock => Self::OutOfStock,
                CancelReason::SlaTimeout => Self::Expired,
                CancelReason::PaymentFailed => Self::PaymentFailed,
                CancelReason::CustomerRequest | CancelReason::Ops => Self::Cancelled,
            },
            OrderFact::LinesFulfilled { .. } => Self::ParcelShipped,
            OrderFact::Fulfilled { .. } => Self::Shipped,
            OrderFact::ReturnRequested { .. } => Self::ReturnReceived,
            OrderFact::ReturnApproved { .. } => Self::ReturnApproved,
            OrderFact::ReturnRejected { .. } => Self::ReturnRefused,
            OrderFact::Returned { .. } => Self::Returned,
            // Published by earlier versions: a refund of zero.
            OrderFact::RefundRequested { refund, .. } if refund.minor <= 0 => Self::Returned,
            OrderFact::RefundRequested { .. } => Self::Refund,
            OrderFact::ReturnOverdue { .. } => Self::ReturnOverdue,
            OrderFact::PaymentSecured { amount, .. } if amount.minor > 0 => Self::Paid,
            OrderFact::RefundSettled { amount, .. } if amount.minor > 0 => Self::Refunded,
            OrderFact::RefundFailed { .. } => Self::RefundFailed,
            // A parcel is tracked otherwise than was said: the same words again.
            OrderFact::ShipmentCorrected { .. } => Self::ParcelShipped,
            // Of a parcel that came to nothing, the refund is told; of an edit, what was changed.
            OrderFact::EditRequested { .. }
            | OrderFact::EditRefused { .. }
            | OrderFact::Held { .. }
            | OrderFact::HoldReleased { .. }
            | OrderFact::Corrected { .. }
            | OrderFact::Delivered { .. }
            | OrderFact::ShipmentUndone { .. }
            | OrderFact::ShipmentFound { .. }
            | OrderFact::PaymentRequested { .. }
            | OrderFact::PaymentLost { .. }
            // Of nothing.
            | OrderFact::PaymentSecured { .. }
            | OrderFact::RefundSettled { .. }
            | OrderFact::Compensated { .. } => return None,
        };
        Some(kind)
    }
}
