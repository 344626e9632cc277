//! Which accounts were touched, told to whoever watches one. Also what other processes booked: the
//! book is looked at once for all who watch, and not at all where nobody does.
//! Never here: what an account has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shared_events::stream::{Database, DatabaseError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::store;

/// How often the book is looked at while somebody watches.
const EVERY: Duration = Duration::from_millis(100);
/// The pause after the book could not be read.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Transfers that are looked through at once; after more, everybody looks at their own account.
const SPAN_MAX: u64 = 50_000;
/// What waits for a slow watch; one that is further behind looks at its account.
const WAITING_MAX: usize = 64;

/// What was touched.
#[derive(Clone)]
enum Touched {
    /// Perhaps any account.
    Any,
    /// The accounts with these numbers.
    Accounts(Arc<BTreeSet<i64>>),
}

/// Looks at the end of the book for all who watch.
#[derive(Clone)]
pub(crate) struct Tail {
    database: Database,
    told: broadcast::Sender<Touched>,
}

impl Tail {
    pub(crate) fn new(database: Database) -> Self {
        let (told, _) = broadcast::channel(WAITING_MAX);
        Self { database, told }
    }

    /// One who watches. What is booked from now on is told while [`Self::run`] runs.
    pub(crate) fn watch(&self) -> Watcher {
        Watcher(self.told.subscribe())
    }

    /// Tells what was touched, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let (mut last, mut pause) = (None, EVERY);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = EVERY;
            if self.told.receiver_count() == 0 {
                last = None;
                continue;
            }
            last = match self.look(last).await {
                Ok(head) => Some(head),
                Err(error) => {
                    tracing::warn!(%error, "the end of the book could not be read");
                    pause = AFTER_FAILURE;
                    None
                }
            };
        }
    }

    /// Tells what was touched since the last look; returns where the book ends. Without a last look,
    /// and where the book ends before it (a restored copy), it may be anything.
    async fn look(&self, last: Option<u64>) -> Result<u64, DatabaseError> {
        let head = store::head(&self.database).await?.position;
        let touched = match last {
            Some(last) if head == last => return Ok(head),
            Some(last) if head > last && head - last <= SPAN_MAX => {
                Touched::Accounts(Arc::new(store::touched(&self.database, last, head).await?))
            }
            _ => Touched::Any,
        };
        // Whoever watched may have gone since.
        drop(self.told.send(touched));
        Ok(head)
    }
}

/// One who watches accounts.
pub(crate) struct Watcher(broadcast::Receiver<Touched>);

impl Watcher {
    /// Waits until an account that `is_watched`, by its number, may have been touched.
    pub(crate) async fn touched(&mut self, is_watched: impl Fn(i64) -> bool) {
        loop {
            match self.0.recv().await {
                Ok(Touched::Accounts(numbers)) => {
                    if numbers.iter().any(|number| is_watched(*number)) {
                        return;
                    }
                }
                Ok(Touched::Any) | Err(RecvError::Lagged(_)) => return,
                // Nothing is told any more.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
