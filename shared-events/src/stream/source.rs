use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Comparison, Cursors, Place};
use crate::contract::{Fact, Subject};

/// Something that stands at a position of a log: an event of the journal, or a fact.
/// Its JSON is what a dead letter keeps.
pub trait Item: Clone + Send + Sync + Serialize + DeserializeOwned + 'static {
    /// The shard it stands in.
    fn shard(&self) -> u16;
    /// Its position there, from 1.
    fn position(&self) -> u64;
    /// Which of the items at that position it is, from 0.
    fn index(&self) -> u16;
    /// What it is about. Items of one subject stay in order: when one waits, the later ones wait
    /// behind it.
    fn subject(&self) -> Subject;
    /// What it is, for people: the versioned type name.
    fn kind(&self) -> &str;
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
}

/// What a source hands over: items of several shards, in order within each, and how far the
/// reader has come when it is done with them. Positions that say nothing to this reader are
/// passed over by `through` without an item. A position is never split over two batches.
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

impl<T> Batch<T> {
    /// Whether nothing moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.through.is_empty()
    }
}

/// Why a source could not hand over what comes next.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The other side is away; the same call may succeed later.
    #[error("source is away: {0}")]
    Unavailable(String),
    /// What comes next has left for an archive that is not at hand there. Reading waits until it is.
    #[error("positions of shard {shard} up to {through} are archived: {file}")]
    Archived {
        /// The shard.
        shard: u16,
        /// The last position that is in that file.
        through: u64,
        /// The file, by its path in the archive.
        file: String,
    },
    /// The log tells another history than the reader followed: it was restored, failed over to a
    /// standby that lagged, emptied or exchanged. Nothing is read until that has been accepted.
    #[error("another history in shard {shard}: {detail}")]
    Forked {
        /// The shard.
        shard: u16,
        /// Where the reader is.
        position: u64,
        /// What the log has there.
        detail: String,
    },
    /// The log has a hole or holds what nobody can have written. Reading on would skip
    /// something, so reading stops until a person has looked.
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

/// A log that can be read after a position. Gapless: implementations assert that positions follow
/// each other in each shard and answer [`SourceError::Broken`] otherwise.
#[async_trait]
pub trait Source<T>: Send + Sync + 'static {
    /// About `limit` items after the cursors, over all shards; an empty batch where there are none.
    async fn read_after(&self, cursors: &Cursors, limit: usize) -> Result<Batch<T>, SourceError>;

    /// Returns once there may be something after the cursors; may return early for nothing.
    async fn changed(&self, cursors: &Cursors);

    /// The reader goes elsewhere for a while: what is held open for it may be closed.
    async fn rest(&self) {}

    /// Before which positions nothing can be read here, because it has left for an archive.
    async fn begins_after(&self) -> Result<Cursors, SourceError> {
        Ok(Cursors::default())
    }

    /// What the log has at places that a reader remembers, who read there last in this incarnation of
    /// it (0: not known). A source learns by it that somebody remembers what it does not hold. One
    /// that cannot be set back has everything that anybody remembers.
    async fn compare(
        &self,
        places: &[Place],
        _incarnation: u64,
    ) -> Result<Comparison, SourceError> {
        Ok(Comparison::same(None, places.len()))
    }

    /// How many shards the log has, where that is fixed and known.
    fn shards(&self) -> Option<u16> {
        None
    }

    /// The last position of each shard. A source that cannot tell of all for now reads the others.
    async fn heads(&self) -> Result<Cursors, SourceError>;
}
