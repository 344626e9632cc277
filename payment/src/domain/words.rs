use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $code:literal)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $code)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable name.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The one with this stable name.
            #[must_use]
            pub fn of_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.code() == code)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.code())
            }
        }
    )*};
}

words! {
    /// What an operation does at the provider.
    OperationKind {
        /// Reserves money.
        Authorize = "AUTHORIZE"
        /// Takes reserved money.
        Capture = "CAPTURE"
        /// Gives reserved money back.
        Void = "VOID"
        /// Pays taken money back.
        Refund = "REFUND"
        /// Pays a seller out. It is of no order.
        Payout = "PAYOUT"
    }
    /// Where a payout is.
    PayoutState {
        /// What the seller has is counted, and the amount is to be held.
        Collecting = "COLLECTING"
        /// The amount is held; the provider is asked to pay it.
        Collected = "COLLECTED"
        /// The provider has accepted it. It is not paid.
        Submitted = "SUBMITTED"
        /// The provider has said what became of it, which is to be booked.
        Settling = "SETTLING"
        /// It is paid, and booked. It may come back all the same.
        Paid = "PAID"
        /// It was not paid, or came back: the seller has the amount again.
        Returned = "RETURNED"
        /// The book did not hold the amount: nothing was moved.
        Refused = "REFUSED"
        /// Nobody knows, and asking did not help: a person must look.
        Stuck = "STUCK"
    }
    /// What a provider has said of a payout, while it is not booked.
    Settles {
        /// It was paid.
        Paid = "PAID"
        /// It was not, or came back.
        Returned = "RETURNED"
    }
    /// Where a run of payouts is.
    RunState {
        /// Sellers are still gone through.
        Running = "RUNNING"
        /// All sellers were gone through; their payouts go on by themselves.
        Done = "DONE"
    }
    /// What became of an operation, in the order in which later observations count. A lower one
    /// never replaces a higher one, but `STUCK` replaces `PENDING`.
    OperationState {
        /// It is to be done, or nobody knows yet whether it was.
        Open = "OPEN"
        /// Nobody knows, and asking did not help: a person must look.
        Stuck = "STUCK"
        /// The provider, or the customer, works on it.
        Pending = "PENDING"
        /// A definite no.
        Declined = "DECLINED"
        /// The money moved.
        Succeeded = "SUCCEEDED"
        /// The money moved, and the provider took that back.
        Reversed = "REVERSED"
    }
    /// Where the runner is with an operation that is open.
    Stage {
        /// To be called.
        Due = "DUE"
        /// A call left, and its answer is not known yet.
        Calling = "CALLING"
        /// A call may have had its effect: the provider is asked by our reference.
        Unknown = "UNKNOWN"
        /// The provider works on it: it is asked now and then.
        Looking = "LOOKING"
        /// A person must look.
        Stuck = "STUCK"
        /// Nothing is to be done.
        Done = "DONE"
    }
    /// What became of a webhook.
    WebhookState {
        /// It is to be looked at, now or later.
        Waiting = "WAITING"
        /// What it told is known, or does not count.
        Handled = "HANDLED"
        /// A person must look.
        Parked = "PARKED"
        /// A person dropped it.
        Dropped = "DROPPED"
    }
    /// How a line of a settlement report stands.
    LineState {
        /// It is what is known of.
        Matched = "MATCHED"
        /// It is another amount than is known, or was settled before.
        Discrepancy = "DISCREPANCY"
        /// Nobody knows what it is for: its amount is in suspense.
        Unknown = "UNKNOWN"
        /// It is for nothing that the shop knows, as a person said.
        WrittenOff = "WRITTEN_OFF"
    }
    /// The word for a payment; derived from its amounts and operations.
    Status {
        /// The customer began to pay before the order asked for money.
        Waiting = "WAITING"
        /// Asked for, and nobody pays at the moment.
        Requested = "REQUESTED"
        /// The provider was asked to reserve the money.
        Authorizing = "AUTHORIZING"
        /// The provider, or the customer at their bank, works on it.
        ActionRequired = "ACTION_REQUIRED"
        /// Reserved.
        Authorized = "AUTHORIZED"
        /// Part of it is taken.
        PartiallyCaptured = "PARTIALLY_CAPTURED"
        /// All that the order wants of it is taken.
        Captured = "CAPTURED"
        /// Part of what was taken is paid back.
        PartiallyRefunded = "PARTIALLY_REFUNDED"
        /// All that was taken is paid back.
        Refunded = "REFUNDED"
        /// Given back before it was taken.
        Voided = "VOIDED"
        /// The reservation ended by itself.
        Expired = "EXPIRED"
        /// The provider took the reservation back.
        Reversed = "REVERSED"
        /// The last attempt was declined; another may follow.
        Declined = "DECLINED"
        /// Given up: too many attempts, or the time to pay is over.
        Failed = "FAILED"
    }
}

impl OperationState {
    /// Whether nothing more is to be done about it.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Declined | Self::Succeeded | Self::Reversed)
    }
}
