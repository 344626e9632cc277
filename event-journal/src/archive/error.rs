//! Why archiving failed.

use crate::error::JournalError;
use crate::files::ArchiveError;
use crate::store::unavailable;

/// Why archiving failed. Nothing was removed from the table; files that were written are found and
/// used by the next run.
#[derive(Debug, thiserror::Error)]
pub enum ArchivingError {
    /// Another archiving run is active on this journal.
    #[error("another archiving run is active on this journal")]
    Busy,
    /// The journal holds rows that no writer can have written.
    #[error("the journal is damaged, so nothing is archived: {0}; see ordinal verify")]
    Damaged(String),
    /// A file in the archive belongs to another journal, or was changed.
    #[error("{file}: {detail}")]
    Foreign {
        /// Its path in the archive.
        file: String,
        /// What is wrong.
        detail: String,
    },
    /// A written file reads back differently, or cannot be written.
    #[error("the archive cannot be written: {0}")]
    Archive(String),
    /// The table has an addition, such as an index, that the new table would not have.
    #[error("the table of events has {0}, which would be lost; drop it first")]
    Unexpected(String),
    /// A stream that was about to be archived changed, or readers held the old table all the time.
    #[error("{0}; run it again")]
    Disturbed(String),
    /// The database is unavailable or refused.
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
        Self::Journal(unavailable(error))
    }
}

impl From<ArchiveError> for ArchivingError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error.to_string())
    }
}

pub(super) fn changed_meanwhile() -> ArchivingError {
    ArchivingError::Disturbed("a finished order changed meanwhile".to_owned())
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
