//! Why events did not leave.

use crate::error::JournalError;
use crate::files::ArchiveError;
use crate::store::away;

/// Why events did not leave. Nothing was taken from the table; files that were written are found
/// and used by the next run.
#[derive(Debug, thiserror::Error)]
pub enum ArchivingError {
    /// Another run is at work on this journal.
    #[error("another archiving is at work on this journal")]
    Busy,
    /// The journal holds what nobody can have written.
    #[error("the journal is damaged, so nothing leaves it: {0}; see ordinal verify")]
    Damaged(String),
    /// A file in the archive is of another journal, or was changed.
    #[error("{file}: {detail}")]
    Foreign {
        /// Its path in the archive.
        file: String,
        /// What is wrong.
        detail: String,
    },
    /// A file that was written is not what is read back, or cannot be written.
    #[error("the archive cannot be written: {0}")]
    Archive(String),
    /// Somebody has added something to the table that a new one would not have.
    #[error("the table of events has {0}, which would be lost; drop it first")]
    Unexpected(String),
    /// A stream came back while its events were about to leave, or others read the old table all
    /// the time.
    #[error("{0}; run it again")]
    Disturbed(String),
    /// The database is away or refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl ArchivingError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Busy => "ARCHIVING_BUSY",
            Self::Damaged(_) => "JOURNAL_DAMAGED",
            Self::Foreign { .. } => "ARCHIVE_FOREIGN",
            Self::Archive(_) => "ARCHIVE_UNWRITABLE",
            Self::Unexpected(_) => "EVENTS_TABLE_CHANGED",
            Self::Disturbed(_) => "ARCHIVING_DISTURBED",
            Self::Journal(error) => error.code(),
        }
    }
}

impl From<sqlx::Error> for ArchivingError {
    fn from(error: sqlx::Error) -> Self {
        Self::Journal(away(error))
    }
}

impl From<ArchiveError> for ArchivingError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error.to_string())
    }
}

pub(super) fn came_back() -> ArchivingError {
    ArchivingError::Disturbed("something happened to an order that was over".to_owned())
}

pub(super) fn damaged(error: JournalError) -> ArchivingError {
    match error {
        JournalError::Broken { detail, .. } => ArchivingError::Damaged(detail),
        other => other.into(),
    }
}

pub(super) fn unwritable(error: impl ToString) -> ArchivingError {
    ArchivingError::Archive(error.to_string())
}
