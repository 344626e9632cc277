//! Why the journal did not do what was asked.

use shared_events::stream::DatabaseError;

use crate::id::{AGGREGATE_TYPE, StreamId};

/// Why the journal did not do what was asked. Cloned to everybody who waited for the same batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The stream is not at the expected version; nothing was appended.
    #[error("{}/{stream_id}@{expected}: somebody else appended first", AGGREGATE_TYPE)]
    Conflict {
        /// The stream.
        stream_id: StreamId,
        /// The version that was expected.
        expected: u64,
        /// Its version, where known.
        actual: Option<u64>,
    },
    /// Another writer has the shards now, or the lease ran out; nothing was appended and this
    /// writer has stopped.
    #[error("another writer has taken the journal over")]
    Superseded,
    /// Another node has the stream's shard, or nobody has; nothing was appended.
    #[error("shard {shard} is not here")]
    NotOwner {
        /// The shard.
        shard: u16,
    },
    /// The database is away or refused; surely nothing was appended.
    #[error("the journal is not available: {0}")]
    Unavailable(String),
    /// The journal is not the one that was followed: it was set back, and nobody has accepted that.
    /// Nothing was appended.
    #[error("the journal is not the one that was followed: {0}")]
    Doubted(String),
    /// A reader remembers what the journal does not hold.
    #[error("another history in shard {shard}: {detail}")]
    Forked {
        /// The shard.
        shard: u16,
        /// Where the reader is.
        position: u64,
        /// What is there.
        detail: String,
    },
    /// A database is not the one that is to hold these shards of this journal; nothing was written.
    #[error("the databases are not those of the journal: {0}")]
    WrongDatabase(String),
    /// The connection was lost while committing: it is appended or not, all or nothing.
    #[error("it is not known whether the journal took it: {0}")]
    OutcomeUnknown(String),
    /// The journal holds what no writer can have written. Reading on would skip something.
    #[error("the journal is broken in shard {shard} after position {position}: {detail}")]
    Broken {
        /// The shard.
        shard: u16,
        /// The last position that is in order; 0 where a stream's own history is broken.
        position: u64,
        /// What is wrong.
        detail: String,
    },
    /// Events have left for a file, and no archive is at hand to read it from.
    #[error("positions of shard {shard} up to {through} are archived: {file}")]
    Archived {
        /// The shard.
        shard: u16,
        /// The last position of that file.
        through: u64,
        /// The file that the next event stands in, by its path in the archive.
        file: String,
    },
    /// The stream has left for files, and no archive is at hand to read them from.
    #[error("{}/{stream_id} is archived: {file}", AGGREGATE_TYPE)]
    StreamArchived {
        /// The stream.
        stream_id: StreamId,
        /// The file that its first event stands in, by its path in the archive.
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
    /// What was to be appended is no event; nothing was appended.
    #[error("not an event: {0}")]
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

/// Why the tables were not brought up to date.
pub(crate) fn not_migrated(error: sqlx::migrate::MigrateError) -> JournalError {
    JournalError::Unavailable(DatabaseError::from(error).to_string())
}
