//! What an audit of the journal finds.

use crate::files::ArchiveError;
use crate::id::StreamId;
use crate::store::Head;

/// What an audit of the journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// How far it looked: where the shards end that hold something, by shard. The hashes are those
    /// of the shards' own rows, which the chain came to unless `damages` says otherwise.
    pub ends: Vec<End>,
    /// Events that were read.
    pub events: u64,
    /// What nobody can have written, by shard and position.
    pub damages: Vec<Damage>,
    /// Files that events have left for, which were read from their first byte to their last.
    pub files: u64,
    /// What is wrong with such files; their events were not read.
    pub archives: Vec<ArchiveDamage>,
    /// What was not looked at because no archive is at hand.
    pub unchecked: Vec<Unchecked>,
}

/// A file of an archive that is not what it should be.
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

/// Positions of a shard that have left for files. Streams that did not leave have theirs in the
/// table too; those were read, but what they follow is not at hand.
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

/// A place of a shard with its hash, which stands for everything up to it: nobody can change that
/// and keep the hash.
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

/// A place of the journal that nobody can have written so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {kind}")]
pub struct Damage {
    /// The shard.
    pub shard: u16,
    /// The first position that is wrong.
    pub position: u64,
    /// Whose event stands there, if one does.
    pub stream_id: Option<StreamId>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong at a place of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// No event stands there, up to this position.
    #[error("missing, up to position {0}")]
    Missing(u64),
    /// More than one event stands there.
    #[error("more than one event")]
    Twice,
    /// The event is not the one that was written there: changed, moved or inserted.
    #[error("not the event that was written there")]
    Changed,
    /// An event stands behind the shard's head, or in no shard: no writer has put it there.
    #[error("behind the head of its shard, where no writer has written")]
    Beyond,
    /// From here on, up to a page, events cannot be read.
    #[error("not readable as an event")]
    Unreadable,
    /// The last event is not the one that the shard's own row names.
    #[error("the chain does not end in the shard's hash")]
    End,
}
