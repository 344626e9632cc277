//! The history of the journal, as a database records it.

use shared_events::contract::Timestamp;
use shared_events::stream::History;
use uuid::Uuid;

/// The history of the journal, as one of its databases records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chronicle {
    /// The journal.
    pub journal: Uuid,
    /// Counts from 1; raised each time the journal continues from an earlier position.
    pub incarnation: u64,
    /// Who remembers what the journal does not hold; while set, nothing is appended.
    pub doubted: Option<String>,
    /// The highest incarnation that they followed.
    pub doubted_incarnation: u64,
}

impl Chronicle {
    /// The part that readers remember.
    #[must_use]
    pub const fn history(&self) -> History {
        History { log: self.journal, incarnation: self.incarnation }
    }
}

/// The beginning of an incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    pub(crate) reason: String,
    pub(crate) said_by: String,
    /// The last positions of the shards, as JSON.
    pub(crate) heads: String,
}
