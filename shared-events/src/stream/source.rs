use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Comparison, Cursors, Place, Reader};
use crate::contract::{Fact, Subject, Timestamp};

/// An item at a position of a log: an event of the journal, or a fact. Its JSON is stored in dead
/// letters.
pub trait Item: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {
    /// Its shard.
    fn shard(&self) -> u16;
    /// Its position there, from 1.
    fn position(&self) -> u64;
    /// Its place among the items at that position, from 0.
    fn index(&self) -> u16;
    /// Its subject. Items of one subject stay in order: when one waits, the later ones wait behind
    /// it.
    fn subject(&self) -> Subject;
    /// Its versioned type name, for people.
    fn kind(&self) -> &str;
    /// The trace of the command behind it, if what follows from it belongs to that trace.
    fn traceparent(&self) -> Option<&str> {
        None
    }
    /// When it happened, if that is known.
    fn happened_at(&self) -> Option<Timestamp> {
        None
    }
    /// What follows from it belongs to this span from now on.
    fn continue_trace(&mut self, _traceparent: String) {}
}

impl Item for Fact {
    fn shard(&self) -> u16 {
        self.shard
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn index(&self) -> u16 {
        self.index
    }

    fn subject(&self) -> Subject {
        self.subject
    }

    fn kind(&self) -> &str {
        self.body.kind()
    }

    fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    fn happened_at(&self) -> Option<Timestamp> {
        Some(self.time)
    }

    fn continue_trace(&mut self, traceparent: String) {
        self.handled_in = Some(traceparent.into_boxed_str());
    }
}

/// A page from a source: items of several shards, in order within each, and the reader's cursors
/// after them. Positions without an item for this reader are passed over by `through`. A position
/// is never split over two batches.
#[derive(Clone, Debug)]
pub struct Batch<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursors after them, for the shards that moved.
    pub through: Cursors,
    /// Whether there was more when it was read.
    pub more: bool,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { items: Vec::new(), through: Cursors::default(), more: false }
    }
}

impl<T: Item> Batch<T> {
    /// When the oldest of its items happened, where that is known.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.items.iter().filter_map(Item::happened_at).min()
    }
}

impl<T> Batch<T> {
    /// Whether nothing moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.through.is_empty()
    }
}

/// Why a source could not return the next items.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source is unavailable; the same call may succeed later.
    #[error("source is unavailable: {0}")]
    Unavailable(String),
    /// The next items are archived, and the source has no archive. Reading waits until it has.
    #[error(
        "positions of shard {shard} up to {through} are archived: {file}; the first here is {first}"
    )]
    Archived {
        /// The shard.
        shard: u16,
        /// The last position in that file.
        through: u64,
        /// The position after the last archived one: from it on the source has every item.
        first: u64,
        /// The file, by its path in the archive.
        file: String,
    },
    /// The log has another history than the reader followed: it was restored, failed over to a
    /// standby that lagged, emptied or exchanged. Nothing is read until that has been accepted.
    #[error("another history in shard {shard}: {detail}")]
    Forked {
        /// The shard.
        shard: u16,
        /// The reader's position.
        position: u64,
        /// What the log has there.
        detail: String,
    },
    /// The log has a gap or holds what no writer can have written. Reading on would skip items, so
    /// reading stops until an operator has looked.
    #[error("source is broken in shard {shard} after position {position}: {detail}")]
    Broken {
        /// The shard.
        shard: u16,
        /// The last position that was in order.
        position: u64,
        /// What is wrong.
        detail: String,
    },
}

/// A log that can be read after a position. Gapless: implementations check that positions follow
/// each other in each shard and return [`SourceError::Broken`] otherwise.
#[async_trait]
pub trait Source<T>: Send + Sync + 'static {
    /// About `limit` items after the cursors, over all shards; an empty batch where there are none.
    async fn read_after(&self, cursors: &Cursors, limit: usize) -> Result<Batch<T>, SourceError>;

    /// Returns once there may be items after the cursors; may return early without any.
    async fn changed(&self, cursors: &Cursors);

    /// The reader pauses: whatever is held open for it may be closed.
    async fn pause(&self) {}

    /// The positions before which nothing can be read here, because it is archived.
    async fn begins_after(&self) -> Result<Cursors, SourceError> {
        Ok(Cursors::default())
    }

    /// Compares places that a reader remembers with the log. `incarnation` is the one in which it
    /// last read there (0: not known). A source learns by it that a reader remembers what it does
    /// not hold. A source that cannot be set back has everything that readers remember.
    async fn compare(
        &self,
        places: &[Place],
        _incarnation: u64,
    ) -> Result<Comparison, SourceError> {
        Ok(Comparison::same(None, places.len()))
    }

    /// A reader introduces itself. False where one of this name has read into another database, and
    /// this one knows nothing of it. A source that remembers no readers lets all in.
    async fn meet(&self, _reader: &Reader) -> Result<bool, SourceError> {
        Ok(true)
    }

    /// The number of shards of the log, where it is fixed and known.
    fn shards(&self) -> Option<u16> {
        None
    }

    /// The last position of each shard. A source that knows only some for now returns those.
    async fn heads(&self) -> Result<Cursors, SourceError>;

    /// As [`heads`](Self::heads), with 0 for shards that are known to be empty. Where a shard is
    /// absent it is not known now where it ends.
    async fn ends(&self) -> Result<Cursors, SourceError> {
        self.heads().await
    }

    /// When the oldest item after the cursors happened; none where there is none, or where it is
    /// not known. Whoever reads the log is not disturbed.
    async fn oldest_after(&self, _cursors: &Cursors) -> Result<Option<Timestamp>, SourceError> {
        Ok(None)
    }
}
