use async_trait::async_trait;
use shared_events::stream::AskedBy;

use crate::domain::{
    Account, AccountName, Entry, Hold, HoldId, NewAccount, Opened, Outcome, Transfer,
};

/// The answer to an entry, with what it booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The answer.
    pub outcome: Outcome,
    /// Its transfers, where it was booked just now.
    pub transfers: Vec<Transfer>,
    /// The holds that it made or ended, where it was booked just now.
    pub holds: Vec<Hold>,
}

/// The book gave no answer. What was asked for may have been booked: asked again with the same id,
/// it is booked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// The store is not available, or the outcome of a commit is unknown.
    #[error("the book is not available")]
    Unavailable,
    /// More waits to be booked than may wait.
    #[error("too many entries wait to be booked")]
    Overloaded,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

/// A book of accounts and transfers: what a backend must do. The rules are those of
/// [`crate::domain`]; docs/ledger.md says what each of them is on TigerBeetle.
#[async_trait]
pub trait Book: Send + Sync {
    /// Opens an account. `reason` is kept where an operator asks.
    ///
    /// # Errors
    /// [`BookError`]
    async fn open(
        &self,
        terms: NewAccount,
        by: AskedBy,
        reason: String,
    ) -> Result<Opened, BookError>;

    /// Books an entry: all of its legs or none, once per id.
    ///
    /// # Errors
    /// [`BookError`]
    async fn post(&self, entry: Entry, by: AskedBy) -> Result<Posted, BookError>;

    /// What [`Self::open`] would answer now. Nothing is changed.
    ///
    /// # Errors
    /// [`BookError`]
    async fn would_open(&self, terms: NewAccount) -> Result<Opened, BookError>;

    /// What [`Self::post`] would answer now. Nothing is changed, and no answer is kept.
    ///
    /// # Errors
    /// [`BookError`]
    async fn would_post(&self, entry: Entry) -> Result<Posted, BookError>;

    /// An account with its sums now, if it is open.
    ///
    /// # Errors
    /// [`BookError`]
    async fn account(&self, name: &AccountName) -> Result<Option<Account>, BookError>;

    /// A hold as it is now, if there is one.
    ///
    /// # Errors
    /// [`BookError`]
    async fn hold(&self, id: HoldId) -> Result<Option<Hold>, BookError>;
}
