use std::str::FromStr;

use shared_events::contract::{Currency, Timestamp};

use super::{AccountName, EntryId, Fingerprint, HoldId, Sums, UnknownName};

/// A hash of the chain.
pub type Hash = [u8; 32];

/// The hash before the first transfer.
pub const GENESIS: Hash = [0; 32];

/// What a transfer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransferKind {
    /// Moved its amount.
    Posted,
    /// Reserved its amount.
    Held,
    /// Moved its amount of a hold, and released the rest.
    HoldPosted,
    /// Released a hold.
    HoldVoided,
    /// Released a hold because its time was over.
    HoldExpired,
}

impl TransferKind {
    const ALL: [Self; 5] =
        [Self::Posted, Self::Held, Self::HoldPosted, Self::HoldVoided, Self::HoldExpired];

    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Posted => "POSTED",
            Self::Held => "HELD",
            Self::HoldPosted => "HOLD_POSTED",
            Self::HoldVoided => "HOLD_VOIDED",
            Self::HoldExpired => "HOLD_EXPIRED",
        }
    }
}

impl FromStr for TransferKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|kind| kind.code() == text);
        found.ok_or(UnknownName("a kind of transfer"))
    }
}

/// A transfer that was booked. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its position in the book, from 1 and without a gap.
    pub position: u64,
    /// Its entry.
    pub entry: EntryId,
    /// Its index in the entry, from 0.
    pub leg: u16,
    /// What it did.
    pub kind: TransferKind,
    /// The account on the debit side.
    pub debit: AccountName,
    /// The account on the credit side.
    pub credit: AccountName,
    /// Minor units, more than 0.
    pub amount: i64,
    /// The currency of both accounts.
    pub currency: Currency,
    /// The hold that it made or ended.
    pub hold: Option<HoldId>,
    /// Of a hold that it made: when that expires.
    pub expires_at: Option<Timestamp>,
    /// When it was booked; never before an earlier transfer.
    pub at: Timestamp,
    /// The sums of the debited account afterwards.
    pub debit_after: Sums,
    /// The sums of the credited account afterwards.
    pub credit_after: Sums,
    /// The hash of the chain up to it.
    pub hash: Hash,
}

impl Transfer {
    /// The hash of the chain with this transfer at its end: over the hash before it, its content,
    /// and the content of its entry.
    #[must_use]
    pub fn chained(&self, before: &Hash, entry: &Fingerprint) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before).update(entry);
        hasher.update(&self.position.to_le_bytes());
        hasher.update(self.entry.uuid().as_bytes());
        hasher.update(&self.leg.to_le_bytes());
        let currency = self.currency.code();
        for text in [self.kind.code(), self.debit.as_str(), self.credit.as_str(), currency] {
            hasher.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&self.amount.to_le_bytes());
        let hold = self.hold.map(|hold| *hold.uuid().as_bytes());
        hasher.update(&hold.unwrap_or_default());
        hasher.update(&self.expires_at.map_or(0, Timestamp::micros).to_le_bytes());
        hasher.update(&self.at.micros().to_le_bytes());
        *hasher.finalize().as_bytes()
    }
}
