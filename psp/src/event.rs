use serde::{Deserialize, Serialize};
use shared_events::contract::{Money, Timestamp};

use crate::{OurReference, PspReference};

/// What a provider told by a webhook. It is a hint: it may come late, twice, early or never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The provider's id of it; a repeated one has the same. 1 to 100 printable characters.
    pub id: String,
    /// The provider's name of what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<PspReference>,
    /// The authorisation that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<PspReference>,
    /// The operation of ours that it is about, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub our_reference: Option<OurReference>,
    /// The provider's name of the dispute, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute: Option<PspReference>,
    /// What happened.
    pub what: What,
}

/// What happened at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
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
    /// A payout has arrived at the seller's bank.
    PayoutPaid {
        /// How much.
        amount: Money,
    },
    /// A payout failed, or was returned, perhaps after it was told as paid.
    PayoutFailed {
        /// Why.
        code: String,
    },
    /// The customer disputes a payment.
    DisputeOpened {
        /// How much.
        amount: Money,
        /// Until when evidence can be given, where the provider says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        respond_by: Option<Timestamp>,
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

impl What {
    /// Its name, such as `refund_failed`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Authorized { .. } => "authorized",
            Self::ActionRequired => "action_required",
            Self::Declined { .. } => "declined",
            Self::Captured { .. } => "captured",
            Self::CaptureFailed { .. } => "capture_failed",
            Self::Voided => "voided",
            Self::Expired => "expired",
            Self::Reversed => "reversed",
            Self::Refunded { .. } => "refunded",
            Self::RefundFailed { .. } => "refund_failed",
            Self::PayoutPaid { .. } => "payout_paid",
            Self::PayoutFailed { .. } => "payout_failed",
            Self::DisputeOpened { .. } => "dispute_opened",
            Self::DisputeWon { .. } => "dispute_won",
            Self::DisputeLost { .. } => "dispute_lost",
            Self::Other { .. } => "other",
        }
    }

    /// How much, where it says so.
    #[must_use]
    pub const fn amount(&self) -> Option<Money> {
        match self {
            Self::Authorized { amount }
            | Self::Captured { amount }
            | Self::Refunded { amount }
            | Self::PayoutPaid { amount }
            | Self::DisputeOpened { amount, .. }
            | Self::DisputeWon { amount }
            | Self::DisputeLost { amount } => Some(*amount),
            _ => None,
        }
    }

    /// Whether it is about a payout, and about no payment.
    #[must_use]
    pub const fn is_of_payout(&self) -> bool {
        matches!(self, Self::PayoutPaid { .. } | Self::PayoutFailed { .. })
    }

    /// Until when evidence can be given, where it says so.
    #[must_use]
    pub const fn respond_by(&self) -> Option<Timestamp> {
        match self {
            Self::DisputeOpened { respond_by, .. } => *respond_by,
            _ => None,
        }
    }
}
