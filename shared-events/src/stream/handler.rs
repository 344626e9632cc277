use std::collections::BTreeSet;

use async_trait::async_trait;

use super::Cursors;
use super::cursor::CursorError;
use super::database::{DatabaseError, Tx};

/// The cause of a failed batch.
#[derive(Debug, thiserror::Error)]
pub enum Blame {
    /// Something outside is unavailable: the same batch is tried again, with backoff, for as long
    /// as it takes.
    #[error("{0}")]
    World(String),
    /// These items, each with its index in the slice and what is wrong with it, can never be handled
    /// as they are: each becomes a dead letter, and later items of its subject wait behind it. The
    /// rest of the batch is tried once more. No personal data: operators see the errors.
    #[error("{}", of_batch(.0))]
    Items(Vec<(usize, String)>),
}

fn of_batch(items: &[(usize, String)]) -> String {
    match items {
        [(index, error)] => format!("item {index} of the batch: {error}"),
        items => format!("{} items of the batch", items.len()),
    }
}

impl Blame {
    /// Blames one item.
    #[must_use]
    pub fn item(index: usize, error: impl Into<String>) -> Self {
        Self::Items(vec![(index, error.into())])
    }

    /// Blames these items, each with its index; nothing where there are none.
    ///
    /// # Errors
    /// [`Blame::Items`]
    pub fn of_items(items: Vec<(usize, String)>) -> Result<(), Self> {
        if items.is_empty() { Ok(()) } else { Err(Self::Items(items)) }
    }

    /// The items that are blamed.
    ///
    /// # Errors
    /// [`Blame::World`] where it is none.
    pub fn into_items(self) -> Result<Vec<(usize, String)>, Self> {
        match self {
            Self::World(_) => Err(self),
            Self::Items(items) if items.is_empty() => {
                Err(Self::World("no item of the batch is named".to_owned()))
            }
            Self::Items(items) => Ok(items),
        }
    }
}

impl From<DatabaseError> for Blame {
    fn from(error: DatabaseError) -> Self {
        Self::World(error.to_string())
    }
}

impl From<CursorError> for Blame {
    fn from(error: CursorError) -> Self {
        Self::World(error.to_string())
    }
}

impl From<sqlx::Error> for Blame {
    fn from(error: sqlx::Error) -> Self {
        Self::World(DatabaseError::from(error).to_string())
    }
}

/// What a follower does with items. The transaction also contains the cursor: either all of it
/// happens or nothing.
#[async_trait]
pub trait Handler<T>: Send + Sync + 'static {
    /// Applies the effect of these items, in order. May be called again with the same items (in
    /// other groups) when a try was rolled back; effects outside the transaction must allow that.
    async fn handle(&mut self, tx: &mut Tx, items: &[T]) -> Result<(), Blame>;

    /// The errors of dead letters whose cause is gone, if that has just turned out: they are retried,
    /// in order and soon. Asked before each read, also where nothing new comes, until
    /// [`retried`](Self::retried) is called.
    fn failed_with(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The letters that [`failed_with`](Self::failed_with) named are put back; so many.
    fn retried(&mut self, _letters: u64) {}

    /// Called when effect and cursor are committed; for waking those who wait for them.
    fn committed(&mut self) {}

    /// The log that was followed to `from` has another history after `to` (both of the shards that
    /// differ). Undoes the effects of items after `to`, as far as they can be undone, and returns
    /// the position from which they are to be read again: `to`, or earlier. Items that were handled
    /// before come again after that.
    async fn set_back(
        &mut self,
        _tx: &mut Tx,
        _from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        Ok(to.clone())
    }

    /// Another process may have followed until now, or this one has just begun.
    fn resumes(&mut self) {}

    /// Whether [`set_back`](Self::set_back) may have left something in doubt that only the log can
    /// tell, once it was read again. Asked before each read.
    fn is_in_doubt(&self) -> bool {
        false
    }

    /// The shards in which something is in doubt. Asked once after [`resumes`](Self::resumes),
    /// [`set_back`](Self::set_back) and [`read_again`](Self::read_again), while
    /// [`is_in_doubt`](Self::is_in_doubt).
    async fn shards_in_doubt(&mut self) -> Result<BTreeSet<u16>, Blame> {
        Ok(BTreeSet::new())
    }

    /// These shards were read again to where their log ended when that was first asked for after it
    /// was set back, or since this process follows. Decides what was left in doubt of them, or a part
    /// of it: called for as long as something is in doubt in one of them, and once with none after
    /// nothing is in doubt in any. Returns those of them that are to be read from their beginning:
    /// their cursors move in the same transaction, and their dead letters are dropped, since what
    /// they hold comes again. [`resumes`](Self::resumes) is called then.
    async fn read_again(
        &mut self,
        _tx: &mut Tx,
        _shards: &BTreeSet<u16>,
    ) -> Result<BTreeSet<u16>, Blame> {
        Ok(BTreeSet::new())
    }
}
