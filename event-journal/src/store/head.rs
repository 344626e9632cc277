//! The head of a shard, and what is written to it.

use std::collections::BTreeSet;

use crate::event::{ChainedEvent, StoredEvent, UniqueKey};
use crate::id::StreamId;

/// The last position of a shard, its hash and its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) shard: u16,
    pub(crate) epoch: u64,
    pub(crate) position: u64,
    pub(crate) hash: [u8; 32],
}

/// The required state of a shard when a batch commits, and its state afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    pub(crate) before: Head,
    pub(crate) after: Head,
}

/// Events of several streams and shards that are appended together or not at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) fences: Vec<Fence>,
    pub(crate) events: Vec<ChainedEvent>,
    /// The keys that streams take with these events.
    pub(crate) keys: Vec<(UniqueKey, StreamId)>,
}

/// Why a batch was not committed.
#[derive(Clone, Debug)]
pub(crate) enum CommitError {
    /// A shard is not in the writer's epoch, or not at its position. Nothing happened.
    Superseded,
    /// At least one stream is at another version. Nothing happened.
    Conflict,
    /// A stream has a key that the batch takes. Nothing happened.
    KeyTaken,
    /// The database refuses something in this batch, and would again. Nothing happened.
    Refused(String),
    /// The database rolled it back. Nothing happened.
    Unavailable(String),
    /// The answer did not arrive.
    Unknown(String),
}

/// On what condition shards are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// No other owner is alive.
    Vacant,
    /// Unconditionally.
    Force,
    /// They are ours; a fresh epoch makes sure that nothing sent earlier can still arrive.
    Own,
}

/// The result of a claim.
pub(crate) enum Claimed {
    /// All shards are ours, each in a new epoch.
    Taken(Vec<Head>),
    /// This other owner is alive.
    Held(String),
}

/// What a renewal of the lease found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Renewed {
    /// All shards are ours.
    Everything,
    /// These shards are ours.
    Shards(BTreeSet<u16>),
}

impl Renewed {
    pub(crate) const fn shards(&self) -> Option<&BTreeSet<u16>> {
        match self {
            Self::Everything => None,
            Self::Shards(shards) => Some(shards),
        }
    }
}

/// What other writers of a journal announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Events were appended.
    Appended,
    /// Shards or nodes have changed.
    Shards,
}

/// What the table holds of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Its events, by sequence.
    pub(crate) events: Vec<StoredEvent>,
    /// The positions of its first events, by version, if they may be archived.
    pub(crate) positions: Vec<u64>,
}

impl Loaded {
    /// A stream without archived events.
    pub(crate) fn whole(events: Vec<StoredEvent>) -> Self {
        Self { events, positions: Vec::new() }
    }
}

/// Which streams that may be archived are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ArchivedStreams<'a> {
    /// Those among these.
    Among(&'a [StreamId]),
    /// Those after this one, by id, at most so many.
    After(Option<StreamId>, u32),
}

/// Positions of one shard, `after` exclusive, `through` inclusive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) shard: u16,
    pub(crate) after: u64,
    pub(crate) through: u64,
}
