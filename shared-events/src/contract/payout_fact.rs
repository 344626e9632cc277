use serde::{Deserialize, Serialize};

use super::body::facts;
use super::{Money, PayoutId, PspName, Seller, Timestamp};

/// The part that every fact about a payout has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutHeader {
    /// The payout.
    pub payout_id: PayoutId,
    /// Whom it is paid to.
    pub seller: Seller,
    /// The provider that pays it.
    pub psp: PspName,
    /// How much.
    pub amount: Money,
    /// When it happened.
    pub at: Timestamp,
}

facts! {
    /// Facts about what is paid out to sellers. They are about no order: their subject is the payout.
    PayoutFact {
        /// `payout.sent.v1`: the amount is held on the seller's account, and the provider is asked
        /// to pay it. It is not paid yet.
        "payout.sent.v1" => Sent {
            #[serde(flatten)]
            payout: PayoutHeader,
        }
        /// `payout.paid.v1`: the provider has paid it. It may come back all the same.
        "payout.paid.v1" => Paid {
            #[serde(flatten)]
            payout: PayoutHeader,
        }
        /// `payout.returned.v1`: it was not paid, or came back: the seller has the amount again.
        /// Another payout has another id.
        "payout.returned.v1" => Returned {
            #[serde(flatten)]
            payout: PayoutHeader,
            /// Whether it was told as paid before.
            was_paid: bool,
            /// Why, such as `account_closed`.
            code: String,
        }
    }
}

impl PayoutFact {
    /// The payout it is about.
    #[must_use]
    pub const fn payout(&self) -> &PayoutHeader {
        match self {
            Self::Sent { payout } | Self::Paid { payout } | Self::Returned { payout, .. } => payout,
        }
    }
}
