//! Why nothing can be appended, for health.

use std::time::Duration;

use futures::future::select_ok;
use tokio::time::{Instant, timeout};

use super::handle::Journal;
use crate::error::JournalError;

/// Appends that are refused for longer than this are a failure.
const REFUSES_AFTER: Duration = Duration::from_secs(1);
/// An older refusal does not count any more.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How often a write is tried on a journal without appends.
const TRIED_EVERY: Duration = Duration::from_secs(10);
const TAKES_WRITES_WITHIN: Duration = Duration::from_secs(5);

impl Journal {
    /// Why nothing can be appended here now, as far as is known; called repeatedly. A journal
    /// without recent appends, or that refuses them, is tried.
    pub async fn failure(&self) -> Option<JournalError> {
        let append_health = self.append_health();
        let known = append_health.with(|recent| {
            let fresh = recent.good.is_some_and(|good| good.elapsed() < TRIED_EVERY);
            (fresh && recent.refused.is_none()).then_some(())
        });
        if known.is_some() {
            return self.lease_failure();
        }
        let tried = timeout(TAKES_WRITES_WITHIN, self.takes_writes()).await.unwrap_or_else(|_| {
            Err(JournalError::Unavailable(format!("no write within {TAKES_WRITES_WITHIN:?}")))
        });
        if let Err(error) = tried {
            return Some(error);
        }
        // It takes writes, but appends are refused.
        let refused = append_health.with(|recent| {
            recent.refused.take_if(|(_, last, _)| last.elapsed() > REMEMBERED);
            if recent.refused.is_none() {
                recent.good = Some(Instant::now());
            }
            recent.refused.clone()
        });
        match refused {
            Some((since, _, error)) if since.elapsed() >= REFUSES_AFTER => Some(error),
            _ => self.lease_failure(),
        }
    }

    /// Whether one of its databases takes writes; one that does not keeps nobody from the others.
    async fn takes_writes(&self) -> Result<(), JournalError> {
        let tried = self.databases().iter().map(|database| database.store.takes_writes());
        select_ok(tried).await.map(drop)
    }

    /// Why this node has no shard, if the reason is its lease.
    fn lease_failure(&self) -> Option<JournalError> {
        let in_doubt = self.shared.ownership.borrow().is_in_doubt();
        let text = "the lease of this node on its shards is not being renewed";
        in_doubt.then(|| JournalError::Unavailable(text.to_owned()))
    }
}
