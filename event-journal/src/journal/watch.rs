//! Polls which history the journal has, for as long as it is open.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::handle::Journal;
use crate::write::LostTail;

/// How often each process checks whether others have doubted the journal, or accepted it.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Journal {
    /// Polls whether the journal is doubted, for as long as it is open. The first check is done
    /// when this returns: doubts of others are known before anything is appended. Where the
    /// database lost committed events while we were running, the journal continues as another
    /// incarnation by itself.
    pub(super) async fn watch_history(&self) {
        // An unavailable database is checked when it is back.
        let _ = self.refresh_history().await;
        let (weak, closing) = (Arc::downgrade(&self.shared), self.shared.closing.clone());
        let mut lost = self.lost_tails();
        shared_events::stream::spawn(async move {
            let (mut reported, mut to_report, mut failing) = (Vec::new(), None, false);
            while timeout(LOOK_EVERY, closing.cancelled()).await.is_err() {
                let Some(shared) = weak.upgrade() else { return };
                let journal = Self { shared };
                if lost.has_changed().unwrap_or(false) {
                    let all = lost.borrow_and_update().clone();
                    to_report = Some((describe_losses(&since(&reported, &all)), all));
                }
                if let Some((reason, all)) = &to_report {
                    match journal.accept(reason, "engine:failover", None).await {
                        Ok(_) => {
                            reported.clone_from(all);
                            (to_report, failing) = (None, false);
                        }
                        Err(error) if !failing => {
                            tracing::warn!(%error, reason, "the loss is not recorded yet; it is tried again");
                            failing = true;
                        }
                        Err(_) => {}
                    }
                }
                let _ = journal.refresh_history().await;
            }
        });
    }
}

/// Losses that were not reported before.
pub(crate) fn since(reported: &[LostTail], all: &[LostTail]) -> Vec<LostTail> {
    let before = |lost: &LostTail| reported.iter().find(|known| known.shard == lost.shard);
    let news = all.iter().filter(|lost| before(lost) != Some(lost));
    news.map(|lost| {
        let reported = before(lost).map_or(0, |known| known.events);
        LostTail { events: lost.events.saturating_sub(reported), ..*lost }
    })
    .collect()
}

/// A description of the losses.
pub(crate) fn describe_losses(tails: &[LostTail]) -> String {
    let events: u64 = tails.iter().map(|lost| lost.events).sum();
    let shards: Vec<String> = tails
        .iter()
        .map(|lost| format!("{} ({} to {})", lost.shard, lost.known, lost.found))
        .collect();
    format!("the database lost {events} committed events, of shards {}", shards.join(", "))
}
