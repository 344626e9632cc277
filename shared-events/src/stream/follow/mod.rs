mod agree; // whether reader and log tell the same history
mod status; // what operators see of a follower

pub use status::FollowStatus;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Backoff, Batch, Blame, Cursors, History, Item, Place, Scope, Source, SourceError};
use agree::{Agreed, agree, agree_again};

/// Items asked for at a time: one batch is one transaction, and many share one commit.
const BATCH_MAX: usize = 1_024;
/// How often it is looked whether another history has been accepted.
const FORKED_LOOK: Duration = Duration::from_secs(1);
/// How often a follower that is told nothing else looks whether its log is the one it followed, and
/// notes in which incarnation it reads: a log that goes on as another one, and is set back once
/// more, must not look as if both had been accepted together.
const AGREES_EVERY: Duration = Duration::from_secs(10);
/// How often letters that were put back are looked for while nothing else happens.
const IDLE_MAX: Duration = Duration::from_millis(500);

/// Where a follower's effect and cursor go, together.
#[async_trait]
pub trait Sink<T: Item>: Send + 'static {
    /// How far it got.
    async fn cursors(&mut self) -> Result<Cursors, Blame>;
    /// Commits the effect of a batch and its cursors, or neither.
    async fn apply(&mut self, batch: &Batch<T>) -> Result<(), Blame>;
    /// Whether an operator wants it to wait.
    async fn paused(&mut self) -> Result<bool, Blame> {
        Ok(false)
    }
    /// Remembers that these shards are read in this history from now on, as are all that are read
    /// later; none where the log declares none.
    async fn read_in(&mut self, _shards: &[u16], _history: Option<History>) -> Result<(), Blame> {
        Ok(())
    }
    /// Remembers what stands where it is, where it did not know that yet.
    async fn knows(&mut self, _here: &[Place]) -> Result<(), Blame> {
        Ok(())
    }
    /// Earlier places of a shard that it remembers, latest first.
    async fn places(&mut self, _shard: u16) -> Result<Vec<Place>, Blame> {
        Ok(Vec::new())
    }
    /// Undoes what came after `to` in the shards of `from`, where the log tells another history, and
    /// moves its cursors there or further back.
    async fn set_back(
        &mut self,
        from: &Cursors,
        to: &Cursors,
        incarnation: u64,
    ) -> Result<(), Blame>;
    /// Tries what an operator put back of these shards; true where there was something.
    async fn retry_parked(&mut self, _scope: &Scope) -> Result<bool, Blame> {
        Ok(false)
    }
}

/// The scope of one who follows everything, always.
#[must_use]
pub fn everything() -> watch::Receiver<Scope> {
    watch::channel(Scope::All).1
}

/// Why a follower stopped for good.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Its source has a hole; reading on would skip something.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Reads past the cursor and hands over one batch at a time. The sink commits its effect and the
/// new cursor together, so a crash anywhere repeats a batch but never half of one. Whatever is
/// away is tried again with backoff; only a broken source ends it before `stop` does. It reads the
/// shards in scope; where that changes, cursors are read anew, because somebody else has been
/// following what comes in.
///
/// # Errors
/// [`FollowError`] where the source is broken.
pub async fn follow<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    scope: watch::Receiver<Scope>,
    status: &FollowStatus,
    stop: &CancellationToken,
) -> Result<(), FollowError> {
    follow_paced(source, sink, Duration::ZERO, scope, status, stop).await
}

/// The same, with at least so long from the beginning of one batch to that of the next while there is
/// no more than one to read: what can wait a little need not cost a commit per item.
///
/// # Errors
/// As [`follow`].
pub async fn follow_paced<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    pace: Duration,
    mut scope: watch::Receiver<Scope>,
    status: &FollowStatus,
    stop: &CancellationToken,
) -> Result<(), FollowError> {
    let mut attempt = 0;
    let mut cursors: Option<Cursors> = None;
    let mut agreed = tokio::time::Instant::now();
    let outcome = loop {
        if stop.is_cancelled() {
            break Ok(());
        }
        if scope.has_changed().unwrap_or(false) {
            cursors = None;
        }
        let looked = if agreed.elapsed() < AGREES_EVERY {
            Ok(())
        } else {
            agreed = tokio::time::Instant::now();
            agree_again(source, sink, &mut cursors, status).await
        };
        let stepped = match looked {
            Ok(()) => step(source, sink, pace, &mut cursors, &mut scope, status, stop).await,
            Err(trouble) => Err(trouble),
        };
        match stepped {
            Ok(()) => {
                if attempt > 0 {
                    tracing::info!(follower = status.name(), tries = attempt, "follower goes on");
                }
                attempt = 0;
            }
            Err(Trouble::Broken(error)) => {
                tracing::error!(follower = status.name(), %error, "follower stopped");
                status.write(|inner| {
                    inner.error = Some(error.to_string());
                    inner.trouble = Some(error.to_string());
                });
                break Err(error.into());
            }
            Err(Trouble::Forked(error)) => {
                let error = error.to_string();
                if status.trouble().is_none_or(|known| known != error) {
                    tracing::error!(
                        follower = status.name(),
                        error,
                        "the log tells another history than was followed; nothing is read until \
                         it is accepted (ordinal journal restored)"
                    );
                }
                status.write(|inner| {
                    inner.error = Some(error.clone());
                    inner.trouble = Some(error);
                });
                cursors = None;
                tokio::select! {
                    () = tokio::time::sleep(FORKED_LOOK) => {}
                    () = stop.cancelled() => {}
                }
            }
            Err(Trouble::Unavailable(error)) => {
                let wait = Backoff::FOLLOWER.wait(attempt, rand::random());
                // Once for as long as it waits; what it waits for now stands in its status.
                if attempt == 0 {
                    tracing::warn!(follower = status.name(), error, "follower waits");
                } else {
                    tracing::debug!(follower = status.name(), error, ?wait, "follower waits still");
                }
                status.write(|inner| inner.error = Some(error));
                attempt = attempt.saturating_add(1);
                // What was read in memory may be ahead of what was committed.
                cursors = None;
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    };
    status.write(|inner| inner.stopped = true);
    outcome
}

enum Trouble {
    Unavailable(String),
    Forked(SourceError),
    Broken(SourceError),
}

impl From<Blame> for Trouble {
    fn from(blame: Blame) -> Self {
        Self::Unavailable(blame.to_string())
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Unavailable(error) => Self::Unavailable(error),
            SourceError::Archived { .. } => Self::Unavailable(error.to_string()),
            SourceError::Forked { .. } => Self::Forked(error),
            SourceError::Broken { .. } => Self::Broken(error),
        }
    }
}

async fn step<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    pace: Duration,
    known: &mut Option<Cursors>,
    scope: &mut watch::Receiver<Scope>,
    status: &FollowStatus,
    stop: &CancellationToken,
) -> Result<(), Trouble> {
    let cursors = match known {
        Some(cursors) => cursors,
        None => {
            // Marked as seen before the look: what changes after it is another change.
            let now = scope.borrow_and_update().clone();
            let loaded = sink.cursors().await?.scoped(now);
            if agree(source, sink, &loaded, status).await? == Agreed::SetBack {
                // Whether log and reader agree now is asked once more, from where the reader is.
                return Ok(());
            }
            known.insert(loaded)
        }
    };
    if cursors.scope().is_nothing() || sink.paused().await? {
        status.moved(cursors);
        tokio::select! {
            Ok(()) = scope.changed() => *known = None,
            () = tokio::time::sleep(IDLE_MAX) => {}
            () = stop.cancelled() => {}
        }
        return Ok(());
    }
    while sink.retry_parked(cursors.scope()).await? {}
    let began = tokio::time::Instant::now();
    let batch = source.read_after(cursors, BATCH_MAX).await?;
    if batch.is_empty() {
        status.moved(cursors);
        tokio::select! {
            () = source.changed(cursors) => {}
            Ok(()) = scope.changed() => *known = None,
            () = tokio::time::sleep(IDLE_MAX) => {}
            () = stop.cancelled() => {}
        }
        return Ok(());
    }
    sink.apply(&batch).await?;
    cursors.merge(&batch.through);
    status.moved(cursors);
    if !batch.more {
        tokio::select! {
            () = tokio::time::sleep_until(began + pace) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(())
}
