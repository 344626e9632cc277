use serde::Serialize;
use shared_events::stream::Blame;

use crate::record::RecordedEvent;
use crate::replay::{Step, Unfold, UnfoldError};

/// The order before and after an event of a batch; an impossible one is to blame itself.
pub(super) async fn step(
    unfold: &mut Unfold,
    index: usize,
    recorded: &RecordedEvent,
) -> Result<Step, Blame> {
    unfold.step(recorded).await.map_err(|error: UnfoldError| {
        if error.is_history() {
            Blame::Item { index, error: error.to_string() }
        } else {
            Blame::World(error.to_string())
        }
    })
}

/// Rows as one JSON text, which both databases take apart themselves.
pub(super) fn json(rows: &impl Serialize) -> Result<String, Blame> {
    serde_json::to_string(rows).map_err(|error| Blame::World(error.to_string()))
}
