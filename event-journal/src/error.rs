//! Why the journal did not do what was asked.

use shared_events::stream::DatabaseError;

use crate::id::{AGGREGATE_TYPE, StreamId};

/// Why the journal did not do what was asked. Cloned to every caller that waited for the same
/// batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The stream is not at the expected version; nothing was appended.
    #[error("{}/{stream_id}@{expected}: another writer appended first", AGGREGATE_TYPE)]
    Conflict {
        /// The stream.
        stream_id: StreamId,
        /// The version that was expected.
        expected: u64,
        /// Its version, where known.
        actual: Option<u64>,
    },
    /// Another stream has a key that this one wants to take; nothing was appended.
    #[error("{}/{holder} has the key already", AGGREGATE_TYPE)]
    KeyTaken {
        /// The key.
        key: String,
        /// The stream that has it.
        holder: StreamId,
    },
    /// The journal has several databases, which cannot agree on who has a key; nothing was
    /// appended.
    #[error("a journal in several databases keeps no keys of streams")]
    KeysNeedOneDatabase,
    /// Another writer has the shards now, or the lease ran out; nothing was appended and this
    /// writer has stopped.
    #[error("another writer has taken the journal over")]
    Superseded,
    /// Another node has the stream's shard, or no node has it; nothing was appended.
    #[error("shard {shard} is not here")]
    NotOwner {
        /// The shard.
        shard: u16,
    },
    /// The database is unavailable or refused; nothing was appended.
    #[error("the journal is not available: {0}")]
    Unavailable(String),
    /// The journal was set back: it is not the one that readers followed, and no operator has
    /// accepted that. Nothing was appended.
    #[error("the journal is not the one that was followed: {0}")]
    Doubted(String),
    /// A reader remembers what the journal does not hold.
    #[error("another history in shard {shard}: {detail}")]
    Forked {
        /// The shard.
        shard: u16,
        /// Where the reader is.
        position: u64,
        /// What the journal has there.
        detail: String,
    },
    /// A database does not hold these shards of this journal; nothing was written.
    #[error("the databases are not those of the journal: {0}")]
    WrongDatabase(String),
    /// The connection was lost while committing: it is appended or not, all or nothing.
    #[error("it is not known whether the journal appended it: {0}")]
    OutcomeUnknown(String),
    /// The journal holds what no writer can have written. Reading on would skip events.
    #[error("the journal is broken in shard {shard} after position {position}: {detail}")]
    Broken {
        /// The shard.
        shard: u16,
        /// The last position that is in order; 0 where a stream's own history is broken.
        position: u64,
        /// What is wrong.
        detail: String,
    },
    /// Events are archived, and no archive is given to read them from.
    #[error(
        "positions of shard {shard} up to {through} are archived: {file}; the first here is {first}"
    )]
    Archived {
        /// The shard.
        shard: u16,
        /// The last position of that file.
        through: u64,
        /// The position after the last archived one: from it on the journal has every event.
        first: u64,
        /// The file that holds the next event, by its path in the archive.
        file: String,
    },
    /// The stream is archived, and no archive is given to read it from.
    #[error("{}/{stream_id} is archived: {file}", AGGREGATE_TYPE)]
    StreamArchived {
        /// The stream.
        stream_id: StreamId,
        /// The file that holds its first event, by its path in the archive.
        file: String,
    },
    /// An event is larger than the bound; nothing was appended.
    #[error("an event of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// Payload and metadata together.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The stream would have more events than the bound; nothing was appended.
    #[error("{}/{stream_id}: more than {max} events", AGGREGATE_TYPE)]
    TooManyEvents {
        /// The stream.
        stream_id: StreamId,
        /// The bound.
        max: u64,
    },
    /// The input is not a valid event; nothing was appended.
    #[error("invalid event: {0}")]
    Invalid(String),
    /// The journal was closed, or was opened for reading only.
    #[error("the journal is closed for writing")]
    Closed,
}

impl JournalError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "JOURNAL_CONFLICT",
            Self::KeyTaken { .. } => "KEY_TAKEN",
            Self::KeysNeedOneDatabase => "KEYS_NEED_ONE_DATABASE",
            Self::Superseded => "JOURNAL_SUPERSEDED",
            Self::NotOwner { .. } => "SHARD_NOT_HERE",
            Self::Unavailable(_) => "JOURNAL_UNAVAILABLE",
            Self::Doubted(_) => "JOURNAL_DOUBTED",
            Self::Forked { .. } => "HISTORY_FORKED",
            Self::WrongDatabase(_) => "JOURNAL_DATABASE_WRONG",
            Self::OutcomeUnknown(_) => "JOURNAL_OUTCOME_UNKNOWN",
            Self::Broken { .. } => "JOURNAL_BROKEN",
            Self::Archived { .. } => "ARCHIVED",
            Self::StreamArchived { .. } => "ORDER_ARCHIVED",
            Self::TooLarge { .. } => "EVENT_TOO_LARGE",
            Self::TooManyEvents { .. } => "TOO_MANY_EVENTS",
            Self::Invalid(_) => "EVENT_INVALID",
            Self::Closed => "JOURNAL_CLOSED",
        }
    }
}

/// A failed migration as an error of the journal.
pub(crate) fn not_migrated(error: sqlx::migrate::MigrateError) -> JournalError {
    JournalError::Unavailable(DatabaseError::from(error).to_string())
}
