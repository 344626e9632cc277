use service_edge::time;
use shared_events::contract::{REASON_MAX, Reason, TextRule};
use shared_events::stream::Cursors;
use tonic::Status;

use super::proto;
use crate::edge::refusal::{away, violation};

/// What an operator says for the log and for others.
pub(super) fn operators_reason(text: &str) -> Result<&str, Status> {
    let reason = text.trim();
    if reason.is_empty() {
        return Err(violation("reason", &format!("required: 1 to {REASON_MAX} characters")));
    }
    written("reason", reason)?;
    Ok(reason)
}

/// What an operator may say besides.
pub(super) fn optional_reason(text: &str) -> Result<&str, Status> {
    let reason = text.trim();
    written("reason", reason)?;
    Ok(reason)
}

/// Whether a text can be shown to operators and kept on every database.
pub(super) fn written(field: &str, text: &str) -> Result<(), Status> {
    let rule = TextRule::reason();
    rule.check(text).map_err(|error| violation(field, &error.to_string()))
}

pub(super) fn positions(cursors: &Cursors) -> Vec<proto::ShardPosition> {
    time::positions(cursors)
        .map(|(shard, position, _)| proto::ShardPosition { shard, position })
        .collect()
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> Status {
    tracing::warn!(%error, "admin call failed");
    away(Reason::Unavailable, "a store did not answer; try again")
}
