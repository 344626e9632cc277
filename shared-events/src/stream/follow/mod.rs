mod agree; // whether reader and log have the same history
mod pace; // how long a follower rests
mod status; // what operators see of a follower
mod trouble; // when failures have begun, and are over

pub use pace::{Busy, Pace, Pacing};
pub use status::FollowStatus;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Backoff, Batch, Blame, Cursors, History, Item, Place, Reader, Scope, Source, SourceError,
};
use crate::contract::Reason;
use crate::metric::{self, table};
use crate::traces::BatchSpans;
use agree::{Agreed, agree, agree_again, introduce};
use trouble::Trouble;

/// Items per read: one batch is one transaction, and many share one commit.
const BATCH_MAX: usize = 1_024;
/// How often a follower checks whether another history has been accepted.
const FORKED_CHECK_EVERY: Duration = Duration::from_secs(1);
/// How often a running follower compares its log with what it followed, and stores the incarnation
/// that it reads: a log that continues as another one, and is set back once more, must not look as
/// if both had been accepted together.
const AGREES_EVERY: Duration = Duration::from_secs(10);
/// How often dead letters to retry are looked for while nothing else happens.
const IDLE_MAX: Duration = Duration::from_millis(500);

/// Where a follower's effect and cursor are committed, together.
#[async_trait]
pub trait Sink<T: Item>: Send + 'static {
    /// The committed cursors.
    async fn cursors(&mut self) -> Result<Cursors, Blame>;
    /// Who reads, as its log remembers it; none where it need not.
    async fn reader(&mut self) -> Result<Option<Reader>, Blame> {
        Ok(None)
    }
    /// Commits the effect of a batch and its cursors, or neither.
    async fn apply(&mut self, batch: &Batch<T>) -> Result<(), Blame>;
    /// Whether an operator paused it.
    async fn paused(&mut self) -> Result<bool, Blame> {
        Ok(false)
    }
    /// Stores that these shards, and all that are read later, are read in this history from now on;
    /// none where the log declares none.
    async fn read_in(&mut self, _shards: &[u16], _history: Option<History>) -> Result<(), Blame> {
        Ok(())
    }
    /// Stores the marks of its own position where they were not known.
    async fn store_marks(&mut self, _here: &[Place]) -> Result<(), Blame> {
        Ok(())
    }
    /// Earlier places of a shard that it remembers, latest first.
    async fn places(&mut self, _shard: u16) -> Result<Vec<Place>, Blame> {
        Ok(Vec::new())
    }
    /// Undoes the effects after `to` in the shards of `from`, where the log has another history,
    /// and moves its cursors there or further back.
    async fn set_back(
        &mut self,
        from: &Cursors,
        to: &Cursors,
        incarnation: u64,
    ) -> Result<(), Blame>;
    /// Whether it waits for the end of what it reads again: [`read_to`](Self::read_to) is called
    /// before each read until it does not.
    fn reads_again(&self) -> bool {
        false
    }
    /// Whether it does not know yet where a shard of `at` ends that it waits for.
    async fn lacks_ends(&mut self, _at: &Cursors) -> Result<bool, Blame> {
        Ok(false)
    }
    /// The reader is at `at`, and the log ends at `ends` ([`Source::ends`]), as far as that was
    /// asked and is known now. Whether cursors were moved back, to read shards once more: those in
    /// memory are then no longer the stored ones.
    async fn read_to(&mut self, _at: &Cursors, _ends: &Cursors) -> Result<bool, Blame> {
        Ok(false)
    }
    /// Retries the dead letters of these shards that an operator put back; true where there were
    /// any.
    async fn retry_parked(&mut self, _scope: &Scope) -> Result<bool, Blame> {
        Ok(false)
    }
}

/// A scope of all shards, for ever.
#[must_use]
pub fn everything() -> watch::Receiver<Scope> {
    watch::channel(Scope::All).1
}

/// Why a follower stopped for good.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Its source has a gap; reading on would skip items.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Reads after the cursor and hands over one batch at a time. The sink commits its effect and the
/// new cursor together, so a crash at any point repeats a batch but never half of one. Failures of
/// unavailable services are retried with backoff; only a broken source ends it before `stop` does.
/// It reads the shards in scope; where that changes, cursors are loaded again, because another
/// process has followed the shards that are added.
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
    follow_paced(source, sink, &Pacing::none(), scope, status, stop).await
}

/// As [`follow`], with a pause between batches while no more than one is waiting: what can wait a
/// little need not cost a commit per item.
///
/// # Errors
/// As [`follow`].
pub async fn follow_paced<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    pacing: &Pacing,
    mut scope: watch::Receiver<Scope>,
    status: &FollowStatus,
    stop: &CancellationToken,
) -> Result<(), FollowError> {
    let mut trouble = Trouble::default();
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
            Ok(()) => step(source, sink, pacing, &mut cursors, &mut scope, status, stop).await,
            Err(failure) => Err(failure),
        };
        match stepped {
            Ok(()) => {
                if let Some(tries) = trouble.succeeded() {
                    tracing::info!(follower = status.name(), tries, "follower has resumed");
                }
            }
            Err(StepError::Broken(error)) => {
                tracing::error!(follower = status.name(), %error, "follower stopped");
                status.write(|inner| {
                    inner.error = Some(error.to_string());
                    inner.failure = Some(error.to_string());
                });
                break Err(error.into());
            }
            Err(StepError::Refused(error, why)) => {
                report_refused(status, &error, why);
                cursors = None;
                rest(FORKED_CHECK_EVERY, stop).await;
            }
            Err(StepError::Unavailable(error)) => {
                let (attempt, is_new) = trouble.failed();
                let wait = Backoff::FOLLOWER.wait(attempt, pacing.number());
                // Logged once; the current reason is in its status.
                if is_new {
                    tracing::warn!(follower = status.name(), error, "follower waits");
                } else {
                    tracing::debug!(follower = status.name(), error, ?wait, "follower still waits");
                }
                status.waits(error);
                // The cursors in memory may be ahead of the committed ones.
                cursors = None;
                rest(wait, stop).await;
            }
        }
    };
    status.write(|inner| inner.stopped = true);
    outcome
}

const FORKED: &str = "the log has another history than was followed; nothing is read until it is \
                      accepted (ordinal journal restored)";
const EMPTIED: &str = "the database of a follower is not the one that it had; nothing is read until \
                       that one is restored (or ordinal serve --make-anew)";

/// Says once why nothing is read before an operator has acted.
fn report_refused(status: &FollowStatus, error: &str, why: &'static str) {
    if status.failure().is_none_or(|known| known != error) {
        tracing::error!(follower = status.name(), error, "{why}");
    }
    status.write(|inner| {
        inner.error = Some(error.to_owned());
        inner.failure = Some(error.to_owned());
    });
}

async fn rest(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
}

enum StepError {
    Unavailable(String),
    /// The error, and why nothing is read before an operator has acted.
    Refused(String, &'static str),
    Broken(SourceError),
}

impl From<Blame> for StepError {
    fn from(blame: Blame) -> Self {
        Self::Unavailable(blame.to_string())
    }
}

impl From<SourceError> for StepError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Unavailable(error) => Self::Unavailable(error),
            SourceError::Archived { .. } => Self::Unavailable(error.to_string()),
            SourceError::Forked { .. } => Self::Refused(error.to_string(), FORKED),
            SourceError::Broken { .. } => Self::Broken(error),
        }
    }
}

async fn step<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    pacing: &Pacing,
    known: &mut Option<Cursors>,
    scope: &mut watch::Receiver<Scope>,
    status: &FollowStatus,
    stop: &CancellationToken,
) -> Result<(), StepError> {
    let cursors = match known {
        Some(cursors) => cursors,
        None => {
            // Marked as seen before the value is read: a later change is another change.
            let now = scope.borrow_and_update().clone();
            let loaded = sink.cursors().await?.scoped(now);
            if agree(source, sink, &loaded, status).await? == Agreed::SetBack {
                // Whether log and reader agree is asked once more, from the reader's new position.
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
    if sink.reads_again() {
        // A log that does not say now where it ends is asked before the next read.
        let ends = match sink.lacks_ends(cursors).await? {
            true => source.ends().await.unwrap_or_default(),
            false => Cursors::default(),
        };
        if sink.read_to(cursors, &ends).await? {
            *known = None;
            return Ok(());
        }
    }
    let began = tokio::time::Instant::now();
    let mut batch = source.read_after(cursors, BATCH_MAX).await?;
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
    applied(sink, &mut batch, status).await?;
    let is_first = cursors.iter().all(|(_, position)| position == 0);
    cursors.merge(&batch.through);
    if is_first {
        introduce(source, sink, status).await?;
    }
    status.moved(cursors);
    if !batch.more {
        let pause = pacing.rest(began.elapsed());
        if !pause.is_zero() {
            rest(pause, stop).await;
        }
    }
    Ok(())
}

/// Hands a batch to the sink, with its spans and metrics.
async fn applied<T: Item>(
    sink: &mut dyn Sink<T>,
    batch: &mut Batch<T>,
    status: &FollowStatus,
) -> Result<(), StepError> {
    let mut spans = BatchSpans::begin(status.name(), &mut batch.items);
    let applying = metric::start();
    let applied = sink.apply(batch).await;
    if applied.is_err() {
        spans.fail(Reason::Unavailable.code());
    }
    drop(spans);
    applied?;
    table::BATCH_DURATION.since([status.name()], applying);
    let items = u64::try_from(batch.items.len()).unwrap_or(u64::MAX);
    table::FACTS.add([status.name(), "read"], items);
    Ok(())
}
