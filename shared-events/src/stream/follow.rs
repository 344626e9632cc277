use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Backoff, Batch, Blame, Cursors, Item, Scope, Source, SourceError};

/// Items asked for at a time: one batch is one transaction, and many share one commit.
const BATCH_MAX: usize = 1_024;
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

/// What operators see of a follower, written by [`follow`] and read by anyone.
#[derive(Clone, Debug)]
pub struct FollowStatus {
    name: Arc<str>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    cursors: Cursors,
    moved: Instant,
    error: Option<String>,
    stopped: bool,
}

impl FollowStatus {
    /// Of a follower that has not started yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let inner = Inner {
            cursors: Cursors::default(),
            moved: Instant::now(),
            error: None,
            stopped: false,
        };
        Self { name: name.into(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// The follower's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far it got.
    #[must_use]
    pub fn cursors(&self) -> Cursors {
        self.read(|inner| inner.cursors.clone())
    }

    /// How long ago its cursor last moved, or it last saw that there is nothing to do.
    #[must_use]
    pub fn still_for(&self) -> Duration {
        self.read(|inner| inner.moved.elapsed())
    }

    /// What it last failed with, if it has not moved since.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.read(|inner| inner.error.clone())
    }

    /// Whether it has stopped for good.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.read(|inner| inner.stopped)
    }

    fn read<R>(&self, look: impl FnOnce(&Inner) -> R) -> R {
        look(&self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn moved(&self, cursors: &Cursors) {
        self.write(|inner| {
            inner.cursors = cursors.clone();
            inner.moved = Instant::now();
            inner.error = None;
        });
    }
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
    let outcome = loop {
        if stop.is_cancelled() {
            break Ok(());
        }
        if scope.has_changed().unwrap_or(false) {
            cursors = None;
        }
        match step(source, sink, pace, &mut cursors, &mut scope, status, stop).await {
            Ok(()) => attempt = 0,
            Err(Trouble::Broken(error)) => {
                tracing::error!(follower = status.name(), %error, "follower stopped");
                status.write(|inner| inner.error = Some(error.to_string()));
                break Err(error.into());
            }
            Err(Trouble::Away(error)) => {
                let wait = Backoff::FOLLOWER.wait(attempt, rand::random());
                tracing::warn!(follower = status.name(), error, ?wait, "follower waits");
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
    Away(String),
    Broken(SourceError),
}

impl From<Blame> for Trouble {
    fn from(blame: Blame) -> Self {
        Self::Away(blame.to_string())
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Away(error) => Self::Away(error),
            SourceError::Archived { .. } => Self::Away(error.to_string()),
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
            known.insert(sink.cursors().await?.scoped(now))
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
