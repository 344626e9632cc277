//! Where a shard stands, and what is written to it.

use std::collections::BTreeSet;

use crate::event::{ChainedEvent, StoredEvent};
use crate::id::StreamId;

/// Where a shard stands, and in which epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) shard: u16,
    pub(crate) epoch: u64,
    pub(crate) position: u64,
    pub(crate) hash: [u8; 32],
}

/// What must be true of a shard when a batch commits, and what is true afterwards.
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
}

/// Why a batch was not committed.
#[derive(Clone, Debug)]
pub(crate) enum CommitError {
    /// A shard is not in the writer's epoch, or not where the writer left it. Nothing happened.
    Superseded,
    /// At least one stream has moved on. Nothing happened.
    Conflict,
    /// The database refuses something of this batch, and would again. Nothing happened.
    Refused(String),
    /// The database gave up on it. Nothing happened.
    Unavailable(String),
    /// The answer did not arrive.
    Unknown(String),
}

/// By what right shards are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nobody else is alive.
    Vacant,
    /// Whoever is alive.
    Force,
    /// They are ours; a fresh epoch makes sure that nothing sent earlier can still arrive.
    Own,
}

/// What became of a claim.
pub(crate) enum Claimed {
    /// All shards are ours, each in a new epoch.
    Taken(Vec<Head>),
    /// This other owner is alive.
    Held(String),
}

/// What a renewal of the lease found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Renewed {
    /// Everything is ours.
    Everything,
    /// These shards are.
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

/// What the other writers of a journal say to one that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Something was appended.
    Appended,
    /// Shards or nodes have changed.
    Shards,
}

/// What the table holds of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Its events, by sequence.
    pub(crate) events: Vec<StoredEvent>,
    /// Where its first events stand in the shard, by version, if they may have left.
    pub(crate) positions: Vec<u64>,
}

impl Loaded {
    /// All that there is.
    pub(crate) fn whole(events: Vec<StoredEvent>) -> Self {
        Self { events, positions: Vec::new() }
    }
}

/// Which streams that may have left are asked for.
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
