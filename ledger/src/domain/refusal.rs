use serde::{Deserialize, Serialize};
use shared_events::contract::{Currency, Reason};

use super::{AccountName, HoldId};

/// Why an entry was not booked. Kept with its id: the same id is refused for ever, so that a
/// repeated call cannot succeed by luck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Refusal {
    /// An account was not opened.
    #[error("account {account} is not open")]
    AccountNotOpen {
        /// The account.
        account: AccountName,
    },
    /// An amount, or the other account of the transfer, has another currency.
    #[error("{account} has the currency {currency}, not {requested}")]
    CurrencyMismatch {
        /// The account.
        account: AccountName,
        /// Its currency.
        currency: Currency,
        /// The currency of the amount.
        requested: Currency,
    },
    /// An account would pass its limit.
    #[error("{account} has {available} available, not {requested}")]
    InsufficientFunds {
        /// The account.
        account: AccountName,
        /// Minor units that are available.
        available: i64,
        /// Minor units that were asked for.
        requested: i64,
    },
    /// There is no such hold.
    #[error("there is no hold {hold}")]
    HoldNotFound {
        /// The hold.
        hold: HoldId,
    },
    /// The hold has ended.
    #[error("hold {hold} has ended: it is {state}")]
    HoldEnded {
        /// The hold.
        hold: HoldId,
        /// POSTED, VOIDED or EXPIRED.
        state: String,
    },
    /// More was to be posted than is held.
    #[error("hold {hold} has {held}, not {requested}")]
    MoreThanHeld {
        /// The hold.
        hold: HoldId,
        /// Minor units held.
        held: i64,
        /// Minor units that were asked for.
        requested: i64,
    },
    /// A sum would not fit into 64 bits.
    #[error("the sums of {account} would not fit into 64 bits")]
    AmountOverflow {
        /// The account.
        account: AccountName,
    },
}

impl Refusal {
    /// The reason, as callers see it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::AccountNotOpen { .. } => Reason::AccountNotOpen,
            Self::CurrencyMismatch { .. } => Reason::CurrencyMismatch,
            Self::InsufficientFunds { .. } => Reason::InsufficientFunds,
            Self::HoldNotFound { .. } => Reason::HoldNotFound,
            Self::HoldEnded { .. } => Reason::HoldEnded,
            Self::MoreThanHeld { .. } => Reason::MoreThanHeld,
            Self::AmountOverflow { .. } => Reason::AmountOverflow,
        }
    }
}
