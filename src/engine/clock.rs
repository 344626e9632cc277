//! Whether the clock of a process can be trusted when it starts. A clock that is years off would
//! cancel every open order immediately, so timers wait until it is right or an operator resumes
//! them.
//! Never here: the clock itself.

use std::sync::Arc;
use std::time::Duration;

use order_actor::journal::{Journal, JournalError};
use shared_events::contract::Timestamp;
use shared_events::stream::Cursors;

use crate::edge::admin::Timers;

/// The newest event may be this much ahead of the clock: another node's clock was wrong for a
/// while.
const BEHIND_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The newest event may be this old.
const AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Holds timers until the clock can be trusted.
#[derive(Debug)]
pub(crate) struct TrustedClock {
    /// When the newest event was recorded, if there is one.
    newest: Option<Timestamp>,
    timers: Timers,
}

impl TrustedClock {
    /// Compares with the newest event of a journal, unless `trusted`.
    pub(crate) async fn by(journal: &Journal, trusted: bool) -> Arc<Self> {
        let newest = match newest(journal).await {
            Ok(newest) => newest,
            Err(error) => {
                tracing::warn!(%error, "the clock was not compared with the newest event");
                None
            }
        };
        Arc::new(Self { newest, timers: Timers::new(!trusted) })
    }

    /// Why timers wait, if they do. They resume by themselves once the clock is right.
    pub(crate) fn failure(&self, now: Timestamp) -> Option<String> {
        let held = *self.timers.held().borrow();
        let far_off = self.newest.filter(|newest| {
            held && (now.plus(BEHIND_MAX) < *newest || newest.plus(AHEAD_MAX) < now)
        });
        let Some(newest) = far_off else {
            self.timers.trust_clock();
            return None;
        };
        Some(format!(
            "the clock is at {now} and the newest event is from {newest}: timers wait until the clock \
             is set right, or for `ordinal timers resume`"
        ))
    }

    /// Whether timers wait.
    pub(crate) const fn timers(&self) -> &Timers {
        &self.timers
    }
}

/// When the newest event was recorded.
async fn newest(journal: &Journal) -> Result<Option<Timestamp>, JournalError> {
    let heads = journal.heads().await?;
    let before: Cursors = heads.iter().map(|(shard, at)| (shard, at.saturating_sub(1))).collect();
    let last = journal.read_after(&before, usize::from(journal.shards())).await?;
    Ok(last.iter().map(|event| event.recorded_at).max())
}
