//! Why nothing can be appended: what health asks.

use std::time::Duration;

use futures::future::select_ok;
use tokio::time::{Instant, timeout};

use super::handle::Journal;
use crate::error::JournalError;

/// Appends that are refused for longer than this are no accident.
const REFUSES_AFTER: Duration = Duration::from_secs(1);
/// A refusal that is older than this says nothing of now.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How often it is tried whether a journal takes writes that nobody has written to.
const TRIED_EVERY: Duration = Duration::from_secs(10);
const TAKES_WRITES_WITHIN: Duration = Duration::from_secs(5);

impl Journal {
    /// Why nothing can be appended here now, as far as is known; asked again and again. A journal
    /// that nobody has appended to for a while, or that refuses, is tried.
    pub async fn trouble(&self) -> Option<JournalError> {
        let pulse = self.pulse();
        let known = pulse.with(|beats| {
            let fresh = beats.good.is_some_and(|good| good.elapsed() < TRIED_EVERY);
            (fresh && beats.refused.is_none()).then_some(())
        });
        if known.is_some() {
            return self.lease_trouble();
        }
        let tried = timeout(TAKES_WRITES_WITHIN, self.takes_writes()).await.unwrap_or_else(|_| {
            Err(JournalError::Unavailable(format!("no write within {TAKES_WRITES_WITHIN:?}")))
        });
        if let Err(error) = tried {
            return Some(error);
        }
        // It takes writes; but what it refuses are appends.
        let refused = pulse.with(|beats| {
            beats.refused.take_if(|(_, last, _)| last.elapsed() > REMEMBERED);
            if beats.refused.is_none() {
                beats.good = Some(Instant::now());
            }
            beats.refused.clone()
        });
        match refused {
            Some((since, _, error)) if since.elapsed() >= REFUSES_AFTER => Some(error),
            _ => self.lease_trouble(),
        }
    }

    /// Whether one of its databases takes writes; of several, those that do not keep nobody from
    /// the others.
    async fn takes_writes(&self) -> Result<(), JournalError> {
        let tried = self.databases().iter().map(|database| database.store.takes_writes());
        select_ok(tried).await.map(drop)
    }

    /// Why this node has no shard, where its lease is why.
    fn lease_trouble(&self) -> Option<JournalError> {
        let in_doubt = self.shared.ownership.borrow().is_in_doubt();
        let text = "the lease of this node on its shards is not renewed";
        in_doubt.then(|| JournalError::Unavailable(text.to_owned()))
    }
}
