use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared_events::contract::Money;
use uuid::Uuid;

use super::AccountName;

/// Transfers of one entry at most.
pub const LEGS_MAX: usize = 100;

/// The longest time that a hold may ask for: ten years.
pub const HOLD_SECONDS_MAX: u32 = 315_360_000;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Its UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = super::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let id = Uuid::try_parse(text).ok().filter(|id| !id.is_nil());
                id.map(Self).ok_or(super::UnknownName("a UUID that is not zero"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// The id of an entry, made by whoever asks for it. The same id is booked once.
    EntryId
}

id! {
    /// The id of a hold.
    HoldId
}

impl EntryId {
    /// The id of what follows from a cause, such as a fact: the same for the same cause and name.
    #[must_use]
    pub fn of_cause(cause: Uuid, name: &str) -> Self {
        Self(Uuid::new_v5(&cause, name.as_bytes()))
    }

    /// The id of the hold that this leg makes: the entry's own for the first leg, so that who asks
    /// for one hold knows its id before.
    #[must_use]
    pub fn hold(self, leg: u16) -> HoldId {
        if leg == 0 {
            return HoldId(self.0);
        }
        HoldId(made_here(&self.0, &format!("leg/{leg}")))
    }
}

impl HoldId {
    /// The id of the entry that ends it when its time is over.
    #[must_use]
    pub fn expiry(self) -> EntryId {
        EntryId(made_here(&self.0, "expire"))
    }
}

/// An id that the book makes itself. Its version is 8, which no id of a caller may have: nobody can
/// use it up before.
fn made_here(of: &Uuid, name: &str) -> Uuid {
    let bytes = Uuid::new_v5(of, name.as_bytes()).into_bytes();
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// One step of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leg {
    /// Debits one account and credits another.
    Transfer {
        /// The account that is debited.
        debit: AccountName,
        /// The account that is credited.
        credit: AccountName,
        /// More than 0, in the currency of both accounts.
        amount: Money,
    },
    /// Reserves a transfer.
    Hold {
        /// The account that will be debited.
        debit: AccountName,
        /// The account that will be credited.
        credit: AccountName,
        /// More than 0, in the currency of both accounts.
        amount: Money,
        /// It expires so many seconds after it was booked; never, without.
        seconds: Option<u32>,
    },
    /// Posts a hold; what is not posted of it is free again.
    Post {
        /// The hold.
        hold: HoldId,
        /// At most what is held; all of it, without.
        amount: Option<Money>,
    },
    /// Ends a hold without effect.
    Void {
        /// The hold.
        hold: HoldId,
    },
}

/// Why an entry is none. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct Malformed {
    /// The field, such as `legs[2].amount`.
    pub field: String,
    /// What it should be.
    pub what: &'static str,
}

/// A well-formed entry: all of its legs or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    id: EntryId,
    legs: Vec<Leg>,
    reason: String,
}

/// A hash of an entry's content: equal for equal content.
pub type Fingerprint = [u8; 32];

impl Entry {
    /// An entry of these legs.
    ///
    /// # Errors
    /// All fields that are wrong.
    pub fn new(id: EntryId, legs: Vec<Leg>, reason: String) -> Result<Self, Vec<Malformed>> {
        let mut wrong = Vec::new();
        if id.0.is_nil() || id.0.get_version_num() == 8 {
            let what = "a UUID that is not zero, and not of version 8";
            wrong.push(Malformed { field: "entry_id".to_owned(), what });
        }
        if legs.is_empty() || legs.len() > LEGS_MAX {
            wrong.push(Malformed { field: "legs".to_owned(), what: "1 to 100 legs" });
        }
        for (nth, leg) in legs.iter().enumerate() {
            let mut add = |field: &str, what| {
                wrong.push(Malformed { field: format!("legs[{nth}].{field}"), what });
            };
            if let Some(amount) = leg.amount()
                && amount.minor <= 0
            {
                add("amount", "more than 0");
            }
            if let Leg::Transfer { debit, credit, .. } | Leg::Hold { debit, credit, .. } = leg
                && debit == credit
            {
                add("credit", "another account than the one that is debited");
            }
            if let Leg::Hold { seconds: Some(seconds), .. } = leg
                && !(1..=HOLD_SECONDS_MAX).contains(seconds)
            {
                add("seconds", "1 to 315,360,000 seconds, or none");
            }
        }
        if wrong.is_empty() { Ok(Self { id, legs, reason }) } else { Err(wrong) }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> EntryId {
        self.id
    }

    /// Its legs, in order.
    #[must_use]
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The reason, for people.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The hash of its content: of everything but its id.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        text(&mut hasher, &self.reason);
        for leg in &self.legs {
            match leg {
                Leg::Transfer { debit, credit, amount } => {
                    hasher.update(b"T");
                    text(&mut hasher, debit.as_str());
                    text(&mut hasher, credit.as_str());
                    money(&mut hasher, *amount);
                }
                Leg::Hold { debit, credit, amount, seconds } => {
                    hasher.update(b"H");
                    text(&mut hasher, debit.as_str());
                    text(&mut hasher, credit.as_str());
                    money(&mut hasher, *amount);
                    hasher.update(&seconds.unwrap_or(0).to_le_bytes());
                }
                Leg::Post { hold, amount } => {
                    hasher.update(b"P").update(hold.uuid().as_bytes());
                    hasher.update(&[u8::from(amount.is_some())]);
                    if let Some(amount) = amount {
                        money(&mut hasher, *amount);
                    }
                }
                Leg::Void { hold } => {
                    hasher.update(b"V").update(hold.uuid().as_bytes());
                }
            }
        }
        *hasher.finalize().as_bytes()
    }
}

impl Leg {
    const fn amount(&self) -> Option<Money> {
        match self {
            Self::Transfer { amount, .. } | Self::Hold { amount, .. } => Some(*amount),
            Self::Post { amount, .. } => *amount,
            Self::Void { .. } => None,
        }
    }

    /// The accounts that it names.
    pub fn accounts(&self) -> impl Iterator<Item = &AccountName> {
        let both = match self {
            Self::Transfer { debit, credit, .. } | Self::Hold { debit, credit, .. } => {
                Some([debit, credit])
            }
            Self::Post { .. } | Self::Void { .. } => None,
        };
        both.into_iter().flatten()
    }

    /// The hold that it ends.
    #[must_use]
    pub const fn ends(&self) -> Option<HoldId> {
        match self {
            Self::Post { hold, .. } | Self::Void { hold } => Some(*hold),
            Self::Transfer { .. } | Self::Hold { .. } => None,
        }
    }
}

/// With its length, so that no two contents have the same bytes.
fn text(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(text.as_bytes());
}

fn money(hasher: &mut blake3::Hasher, amount: Money) {
    hasher.update(amount.currency.code().as_bytes());
    hasher.update(&amount.minor.to_le_bytes());
}
