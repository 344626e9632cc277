//! Double entry, pure: integers in minor units, time a passed value, no input or output.
//!
//! A transfer debits one account and credits another by one amount of one currency. An entry is a
//! chain of transfers: all of them or none. A hold reserves an amount until it is posted, voided
//! or expires; limits count holds as spent.

mod account; // accounts, their limits and sums
mod answer; // what an entry is answered
mod book; // the part of the book that a batch touches
mod chart; // the accounts of the engine
mod entry; // what is asked for
mod fold; // what a transfer does to sums
mod hold; // amounts that are reserved
mod legs; // what an entry does to the book
mod refusal; // why not
mod transfer; // what was booked, and its hash chain

pub use account::{Account, AccountKind, AccountName, Limit, NewAccount, Sums, UnknownName};
pub use answer::{KnownEntry, Opened, Outcome, Receipt};
pub use book::{BookPart, Head};
pub use chart::{ChartAccount, WALLET_CURRENCIES_MAX, is_of_takings, wallet_of, wallets_of};
pub use entry::{Entry, EntryId, Fingerprint, HOLD_SECONDS_MAX, HoldId, LEGS_MAX, Leg, Malformed};
pub use fold::Side;
pub use hold::{Hold, HoldState};
pub(crate) use legs::stepped;
pub use refusal::Refusal;
pub use transfer::{GENESIS, Hash, Transfer, TransferKind};
