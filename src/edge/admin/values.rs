use service_edge::{Violations, time};
use shared_events::contract::{REASON_MAX, Reason, TextRule};
use shared_events::stream::Cursors;
use tonic::Status;

use super::proto;
use crate::edge::refusal::{self, violation};

/// The reason that an operator must give.
pub(super) fn operators_reason(text: &str) -> Result<String, Status> {
    if text.trim().is_empty() {
        return Err(violation("reason", &format!("required: 1 to {REASON_MAX} characters")));
    }
    optional_reason(text)
}

/// A reason that an operator may leave out.
pub(super) fn optional_reason(text: &str) -> Result<String, Status> {
    let mut violations = Violations::default();
    let reason = violations.reason("reason", text);
    violations.none_or()?;
    Ok(reason)
}

/// Checks that a text can be shown to operators and stored in every database.
pub(super) fn check_text(field: &str, text: &str) -> Result<(), Status> {
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
    refusal::unavailable(Reason::Unavailable, "a store did not answer; try again")
}
