use async_trait::async_trait;
use shared_events::contract::{Currency, PayoutId, Seller, Timestamp};

use crate::domain::{BookStep, Payout, SellerBalance};

/// The book could not be asked, or its answer is not known: what was to be booked may stand in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BookAway(pub String);

/// What the book answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Booked {
    /// It stands in the book, since then by its time.
    At(Timestamp),
    /// It is refused for good. Why, in lower case with `_`.
    Refused(String),
}

/// Where sellers have their money: the ledger, in this process or another. What is booked has an id
/// made of the payout and the step, so that the same asked again is booked once.
#[async_trait]
pub trait SellerBook: Send + Sync {
    /// What a seller has in a currency: of the credits, those until `old`, and those until
    /// `earlier`. None where they never had anything.
    ///
    /// # Errors
    /// [`BookAway`]
    async fn balance(
        &self,
        of: (&Seller, Currency),
        old: Timestamp,
        earlier: Timestamp,
    ) -> Result<Option<SellerBalance>, BookAway>;

    /// Whether the book has the hold of a payout, also one that was posted or voided. One that was
    /// restored to an earlier state may have forgotten it.
    ///
    /// # Errors
    /// [`BookAway`]
    async fn holds(&self, payout: PayoutId) -> Result<bool, BookAway>;

    /// Books a step of a payout, those before it being booked.
    ///
    /// # Errors
    /// [`BookAway`]
    async fn book(&self, step: BookStep, of: &Payout) -> Result<Booked, BookAway>;
}
