use std::str::FromStr;

use shared_events::contract::{Currency, Timestamp};

use super::{AccountName, HoldId, UnknownName};

/// The state of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldState {
    /// It reserves its amount.
    Held,
    /// It was posted.
    Posted,
    /// It was voided.
    Voided,
    /// Its time was over.
    Expired,
}

impl HoldState {
    const ALL: [Self; 4] = [Self::Held, Self::Posted, Self::Voided, Self::Expired];

    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Posted => "POSTED",
            Self::Voided => "VOIDED",
            Self::Expired => "EXPIRED",
        }
    }
}

impl FromStr for HoldState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|state| state.code() == text);
        found.ok_or(UnknownName("a state of a hold"))
    }
}

/// An amount that is reserved between two accounts, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// The account that it debits.
    pub debit: AccountName,
    /// The account that it credits.
    pub credit: AccountName,
    /// Minor units held at first.
    pub amount: i64,
    /// The currency of both accounts.
    pub currency: Currency,
    /// Its state.
    pub state: HoldState,
    /// Minor units posted.
    pub posted: i64,
    /// When it expires; none for never.
    pub expires_at: Option<Timestamp>,
    /// The position of the transfer that made it.
    pub made: u64,
    /// The position of the transfer that ended it.
    pub ended: Option<u64>,
}
