//! Webhooks that are looked at again later, and in the end by a person.

use std::time::Duration;

use shared_events::contract::Timestamp;
use shared_events::stream::DatabaseError;

use super::{Runner, RunnerError, is_next_minute};
use crate::domain::WebhookState;
use crate::store::{self, Outcome, Webhook};

/// How long a webhook waits for what it is about. Then a person must look.
const WAITS_FOR: Duration = Duration::from_secs(24 * 3_600);
/// How long other processes have once one has seen that nobody looked at it: they may just start.
const OTHERS_HAVE: Duration = Duration::from_secs(600);
/// Waits before it is looked at again; afterwards the last one.
const WAITS: [u64; 6] = [2, 5, 15, 60, 300, 1_800];
/// What is said of one that nobody looked at.
const UNHEARD: &str = "no process has this provider in its settings";

impl Runner {
    /// Webhooks that have been due for a day, and that no process looked at in ten minutes more, are
    /// for a person: their provider is in no settings any more. They are looked for once a minute.
    /// Returns how many those are.
    pub(super) async fn park_unheard(&self, now: Timestamp) -> Result<usize, RunnerError> {
        if !is_next_minute(&self.parked_at, now) {
            return Ok(0);
        }
        let day = i64::try_from(WAITS_FOR.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::from_micros(now.micros().saturating_sub(day));
        let again = before.plus(OTHERS_HAVE);
        let parked = store::park_unheard(&self.database, (before, again, now), UNHEARD).await?;
        if parked > 0 {
            tracing::warn!(webhooks = parked, note = UNHEARD, "webhooks wait for a person");
        }
        Ok(parked)
    }

    /// It is looked at again later; after a day a person must.
    pub(super) async fn wait(&self, row: &Webhook, note: &str) -> Result<(), RunnerError> {
        let over = (self.now)() >= row.received_at.plus(WAITS_FOR);
        let state = if over { WebhookState::Parked } else { WebhookState::Waiting };
        self.put_off(row, state, note).await
    }

    pub(super) async fn put_off(
        &self,
        row: &Webhook,
        state: WebhookState,
        note: &str,
    ) -> Result<(), RunnerError> {
        let now = (self.now)();
        if state == WebhookState::Parked {
            let (psp, id) = (&row.psp, &row.event_id);
            tracing::warn!(%psp, %id, note, "a webhook waits for a person");
        }
        let nth = usize::try_from(row.tries).unwrap_or(usize::MAX);
        let seconds = WAITS.get(nth).or(WAITS.last()).copied().unwrap_or_default();
        let due_at = now.plus(Duration::from_secs(seconds));
        let tries = row.tries.saturating_add(1);
        let next = Outcome { state, due_at, tries, note, order_id: None, now };
        let mut tx = self.database.begin().await?;
        store::settle(&mut tx, row, &next).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }
}
