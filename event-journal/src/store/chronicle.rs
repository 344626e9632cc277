//! Which history a database tells.

use shared_events::contract::Timestamp;
use shared_events::stream::History;
use uuid::Uuid;

/// What a database of a journal says of the journal's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chronicle {
    /// The journal.
    pub journal: Uuid,
    /// Counts from 1; raised each time the journal goes on from an earlier place.
    pub incarnation: u64,
    /// Who remembers what the journal does not hold; nothing is appended while somebody does.
    pub doubted: Option<String>,
    /// The highest incarnation that they followed.
    pub doubted_incarnation: u64,
}

impl Chronicle {
    /// What readers remember of it.
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
    /// Where the shards stood, as JSON.
    pub(crate) heads: String,
}
