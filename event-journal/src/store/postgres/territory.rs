//! Which part of which journal a database holds, and whether that is the expected part.

use uuid::Uuid;

use crate::error::JournalError;
use crate::shards::ShardSet;

/// What a database records of its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Charter {
    /// The journal.
    pub(crate) journal: Uuid,
    /// The database itself: the same by whatever URL it is reached.
    pub(crate) database: Uuid,
    /// Shards of the whole journal.
    pub(crate) shards: u16,
    /// The shards that are served here.
    pub(crate) holds: ShardSet,
    /// Shards that are being moved from here or to here.
    pub(crate) in_transit: ShardSet,
    /// Whether every database of the journal has been initialised.
    pub(crate) complete: bool,
}

/// The part of a journal that a database should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Territory {
    pub(crate) journal: Uuid,
    pub(crate) shards: u16,
    pub(crate) holds: ShardSet,
}

impl Territory {
    /// Whether this is the database that holds it.
    pub(crate) fn check(&self, label: &str, found: Option<&Charter>) -> Result<(), JournalError> {
        let charter = found.ok_or_else(|| wrong(format!("{label} holds no journal")))?;
        if charter.journal != self.journal {
            return Err(wrong(format!("{label} holds shards of another journal")));
        }
        check(label, charter, self.shards, &self.holds)
    }
}

pub(crate) fn wrong(detail: String) -> JournalError {
    JournalError::WrongDatabase(detail)
}

pub(crate) fn check(
    label: &str,
    charter: &Charter,
    shards: u16,
    holds: &ShardSet,
) -> Result<(), JournalError> {
    let Charter { in_transit, .. } = charter;
    if !in_transit.is_empty() {
        return Err(wrong(format!(
            "shards {in_transit} of {label} are being moved: let `ordinal journal move` end first"
        )));
    }
    if (charter.shards, &charter.holds) != (shards, holds) {
        let held = match &charter.holds {
            none if none.is_empty() => "none".to_owned(),
            some => some.to_string(),
        };
        return Err(wrong(format!(
            "{label} holds shards {held} of {} and is named for {holds} of {shards}",
            charter.shards
        )));
    }
    Ok(())
}
