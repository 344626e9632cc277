//! Who moves shards between databases, recorded with each step of it.

use std::sync::Arc;

use shared_events::contract::Timestamp;
use shared_events::stream::{AskedBy, OperatorAction, Verb};
use sqlx::PgConnection;

use crate::error::JournalError;
use crate::shards::ShardSet;
use crate::store::{NOTE_ACTION, unavailable, with_action};

/// Who moves shards, and why. Recorded as an operator's action when the move begins, when it ends
/// and when it is cancelled, each in the transaction of that.
pub struct Mover {
    /// Who.
    pub by: AskedBy,
    /// Why; perhaps nothing.
    pub reason: String,
    /// The time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Mover {
    /// What is recorded of a step, which happens now.
    pub(super) fn action(
        &self,
        verb: Verb,
        shards: &ShardSet,
        [before, after]: [&str; 2],
    ) -> OperatorAction {
        let action =
            OperatorAction::new(&self.by, verb, &shards.to_string(), &self.reason, (self.now)());
        action.changing(before, after)
    }
}

/// Records an operator's action with its effect.
pub(super) async fn note(
    tx: &mut PgConnection,
    action: &OperatorAction,
) -> Result<(), JournalError> {
    let note = with_action(sqlx::query(NOTE_ACTION), action);
    note.execute(tx).await.map_err(unavailable).map(drop)
}
