use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use shared_events::contract::Timestamp;
use shared_events::stream::{Backoff, Database, DatabaseError};
use tokio::sync::Notify;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::channel::{Channels, DeliveryError};
use crate::ledger::{self, Entry};

/// Messages under way at a time.
const AT_ONCE: usize = 8;
/// Messages taken from the ledger at a time.
const CLAIM_MAX: u32 = 64;
/// So long after a message has left that is written down, with what left meanwhile.
const WRITTEN_WITHIN: Duration = Duration::from_millis(20);
/// The ledger is looked at again at least this often.
const POLL: Duration = Duration::from_millis(500);
/// A message that was being sent for this long belongs to a process that died. Longer than
/// `CLAIM_MAX / AT_ONCE` tries of 15 s.
const SENDING_MAX: Duration = Duration::from_secs(180);

/// Sends what is due until told to stop; finishes what is under way.
pub(crate) struct Delivery {
    pub(crate) database: Database,
    pub(crate) config: Arc<Config>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) due: Arc<Notify>,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Delivery {
    pub(crate) async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.deliver_due().await {
                Ok(0) => {
                    tokio::select! {
                        () = self.due.notified() => {}
                        () = tokio::time::sleep(POLL) => {}
                        () = stop.cancelled() => {}
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "notification ledger");
                    tokio::select! {
                        () = tokio::time::sleep(POLL) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }

    async fn deliver_due(&self) -> Result<usize, DatabaseError> {
        let now = (self.now)();
        let entries = ledger::claim(&self.database, now, now.plus(SENDING_MAX), CLAIM_MAX).await?;
        let count = entries.len();
        let sending = tokio_stream::iter(entries).map(|entry| async move {
            let sent = self.channels.send(&entry, (self.now)().micros() / 1_000_000).await;
            (entry, sent)
        });
        let outcomes = futures::StreamExt::buffer_unordered(sending, AT_ONCE);
        // What leaves together is written together. Not much later: what left and was not written when
        // the process died leaves again.
        let mut outcomes = pin!(outcomes.chunks_timeout(count.max(1), WRITTEN_WITHIN));
        // What cannot be written now is due again later; the others are not given up for that.
        let mut written = Ok(());
        while let Some(outcomes) = outcomes.next().await {
            let (mut left, mut kept) = (Vec::new(), Vec::new());
            for (entry, outcome) in outcomes {
                match outcome {
                    Ok(()) => left.push(entry),
                    Err(error) => kept.push((entry, error)),
                }
            }
            if !left.is_empty() {
                let delivered = ledger::delivered(&self.database, &left, (self.now)()).await;
                written = written.and(delivered);
            }
            for (entry, error) in kept {
                written = written.and(self.not_delivered(&entry, error).await);
            }
        }
        written.map(|()| count)
    }

    async fn not_delivered(
        &self,
        entry: &Entry,
        error: DeliveryError,
    ) -> Result<(), DatabaseError> {
        let now = (self.now)();
        match error {
            DeliveryError::Away(error) if now.since(entry.asked_at) < self.config.away_max => {
                // Longer and longer, by how long it has waited: the try itself counts for nothing.
                let Backoff { first, longest } = self.config.backoff;
                let first = (now.since(entry.asked_at) / 2).clamp(first, longest);
                let wait = Backoff { first, longest }.wait(1, random());
                tracing::warn!(notification = %entry.id, error, ?wait, "not delivered");
                ledger::away(&self.database, entry, &error, now.plus(wait)).await
            }
            DeliveryError::Temporary(error) if entry.attempts < self.config.attempts_max => {
                let wait = self.config.backoff.wait(entry.attempts - 1, random());
                tracing::warn!(notification = %entry.id, error, ?wait, "not delivered");
                ledger::failed(&self.database, entry, &error, Some(now.plus(wait))).await
            }
            error => {
                tracing::error!(notification = %entry.id, %error, "gave up");
                ledger::failed(&self.database, entry, &error.to_string(), None).await
            }
        }
    }
}

/// Evenly drawn, for the backoff's jitter.
fn random() -> u32 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    u32::try_from(high >> 32).unwrap_or(0)
}
