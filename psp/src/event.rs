use shared_events::contract::Money;

use crate::{OurReference, PspReference};

/// What a provider told by a webhook. It is a hint: it may come late, twice, early or never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The provider's id of it; a repeated one has the same. 1 to 100 printable characters.
    pub id: String,
    /// The provider's name of what it is about.
    pub reference: Option<PspReference>,
    /// The authorisation that it belongs to.
    pub payment: Option<PspReference>,
    /// The operation of ours that it is about, where the provider says so.
    pub our_reference: Option<OurReference>,
    /// What happened.
    pub what: What,
}

/// What happened at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Money is reserved.
    Authorized {
        /// How much.
        amount: Money,
    },
    /// The customer must act.
    ActionRequired,
    /// An attempt was declined, or ended without success.
    Declined {
        /// Why, in lower case with `_`.
        code: String,
    },
    /// Reserved money was taken.
    Captured {
        /// How much; with several captures, all of them together.
        amount: Money,
    },
    /// A capture that was told before failed.
    CaptureFailed {
        /// Why.
        code: String,
    },
    /// Reserved money was given back.
    Voided,
    /// A reservation ended by itself.
    Expired,
    /// The issuer took a reservation back.
    Reversed,
    /// Money was paid back.
    Refunded {
        /// How much.
        amount: Money,
    },
    /// A refund failed, perhaps after it was told as done.
    RefundFailed {
        /// Why.
        code: String,
    },
    /// The customer disputes a payment.
    DisputeOpened {
        /// How much.
        amount: Money,
    },
    /// A dispute ended for the seller.
    DisputeWon {
        /// How much.
        amount: Money,
    },
    /// A dispute ended for the customer.
    DisputeLost {
        /// How much.
        amount: Money,
    },
    /// Something else, by the provider's name of it.
    Other {
        /// The name, at most 100 characters.
        kind: String,
    },
}
