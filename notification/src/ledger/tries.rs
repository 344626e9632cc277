use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_events::contract::Timestamp;
use shared_events::stream::DatabaseError;

use super::{Entry, json};

/// Failed tries that a message keeps, the newest: those of most of a day.
pub const TRIES_MAX: usize = 20;

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// When it ended.
    pub at: Timestamp,
    /// Why it failed, such as `webhook: answered 503`.
    pub error: String,
}

/// The stored tries of a message.
pub(super) fn read(stored: Option<&str>) -> Result<Vec<Try>, DatabaseError> {
    let Some(stored) = stored else { return Ok(Vec::new()) };
    serde_json::from_str(stored).map_err(|_| DatabaseError::Corrupt("tries of a message"))
}

/// What is stored after a failed try of these messages: a JSON object of texts by message id. Empty
/// where nothing was tried.
pub(super) fn with_one_more(
    entries: &[&Entry],
    error: &str,
    tried_at: Option<Timestamp>,
) -> Result<String, DatabaseError> {
    let mut stored: BTreeMap<String, String> = BTreeMap::new();
    for entry in entries {
        if let Some(at) = tried_at {
            let older = entry.tries.len().saturating_sub(TRIES_MAX - 1);
            let newest = Try { at, error: error.to_owned() };
            let tries: Vec<&Try> = entry.tries.iter().skip(older).chain([&newest]).collect();
            stored.insert(entry.id.to_string(), json(&tries)?);
        }
    }
    json(&stored)
}
