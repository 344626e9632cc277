use shared_events::contract::Timestamp;

use super::{Account, Fingerprint, Refusal};

/// Where the legs of an entry stand in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The position of the first leg.
    pub first: u64,
    /// How many legs.
    pub legs: u16,
    /// When it was booked.
    pub at: Timestamp,
}

/// An entry that the book has an answer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownEntry {
    /// Its content.
    pub fingerprint: Fingerprint,
    /// Its answer.
    pub answer: Result<Receipt, Refusal>,
}

/// The answer to an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stands in the book.
    Booked {
        /// Where.
        receipt: Receipt,
        /// It stood there before: the same id with the same content.
        exists: bool,
    },
    /// It was refused.
    Refused {
        /// Why.
        refusal: Refusal,
        /// It was refused before.
        exists: bool,
    },
    /// Its id was used for other content. Nothing is kept of it.
    OtherContent,
}

/// The answer to an account to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open with these terms.
    Open {
        /// The account.
        account: Account,
        /// It was open before.
        exists: bool,
    },
    /// It is open with other terms.
    OtherTerms {
        /// The account as it is.
        account: Account,
    },
}
