//! What an audit of the journal finds.

use crate::files::ArchiveError;
use crate::id::StreamId;
use crate::store::Head;

/// What an audit of the journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// How far it read: the last position of every shard that holds events, by shard. The hashes
    /// are those of the shards' own rows, which the chain reached unless `damages` reports
    /// otherwise.
    pub ends: Vec<End>,
    /// Events that were read.
    pub events: u64,
    /// Positions that no writer can have written, by shard and position.
    pub damages: Vec<Damage>,
    /// Archive files that were read from their first byte to their last.
    pub files: u64,
    /// What is wrong with such files; their events were not read.
    pub archives: Vec<ArchiveDamage>,
    /// Positions that were not checked because no archive is given.
    pub unchecked: Vec<Unchecked>,
}

/// A file of an archive that is damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveDamage {
    /// Its path in the archive.
    pub file: String,
    /// What is wrong.
    pub detail: String,
}

impl ArchiveDamage {
    pub(super) fn of(error: &ArchiveError) -> Self {
        let (ArchiveError::Unavailable { file, detail } | ArchiveError::Damaged { file, detail }) =
            error;
        Self { file: file.clone(), detail: detail.clone() }
    }
}

/// Archived positions of a shard that were not checked. Events of them that are also in the table
/// were read, but not against the event before them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("positions {first} to {last} of shard {shard}: archived, the last of them in {file}")]
pub struct Unchecked {
    /// The shard.
    pub shard: u16,
    /// From this position.
    pub first: u64,
    /// To this one.
    pub last: u64,
    /// The last file, by its path in the archive.
    pub file: String,
}

/// A position of a shard with its hash, which stands for everything up to it: none of that can be
/// changed without changing the hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The shard.
    pub shard: u16,
    /// The position, from 1.
    pub position: u64,
    /// The hash there.
    pub hash: [u8; 32],
}

impl From<&Head> for End {
    fn from(head: &Head) -> Self {
        Self { shard: head.shard, position: head.position, hash: head.hash }
    }
}

/// A position of the journal that no writer can have written so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {kind}")]
pub struct Damage {
    /// The shard.
    pub shard: u16,
    /// The first position that is wrong.
    pub position: u64,
    /// The stream of the event at this position, if there is one.
    pub stream_id: Option<StreamId>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong at a position of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// No event, up to this position.
    #[error("missing, up to position {0}")]
    Missing(u64),
    /// More than one event.
    #[error("more than one event")]
    Twice,
    /// The event is not the one that was written: changed, moved or inserted.
    #[error("not the event that was written there")]
    Changed,
    /// An event after the shard's head, or in no shard: no writer wrote it.
    #[error("behind the head of its shard, where no writer has written")]
    Beyond,
    /// From here on, up to a page, events cannot be read.
    #[error("not readable as an event")]
    Unreadable,
    /// The last event is not the one that the shard's own row names.
    #[error("the chain does not end in the shard's hash")]
    End,
}
