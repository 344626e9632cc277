use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Backoff, Batch, Blame, Comparison, Cursors, Finding, History, Item, Place, Scope, Source,
    SourceError,
};
use crate::contract::Mark;

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
    trouble: Option<String>,
    /// Why it is not known whether this process is to follow.
    unled: Option<String>,
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
            trouble: None,
            unled: None,
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

    /// Why it will not go on until somebody has done something: its source is broken, or tells
    /// another history than it followed. None while it follows or only waits.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.read(|inner| inner.trouble.clone())
    }

    /// Why its lease has not been renewed for so long that nobody may be following at all. None where it
    /// has the lease, or stands by.
    #[must_use]
    pub fn unled(&self) -> Option<String> {
        self.read(|inner| inner.unled.clone())
    }

    pub(super) fn led(&self, trouble: Option<String>) {
        self.write(|inner| inner.unled = trouble);
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
            inner.trouble = None;
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
            Err(Trouble::Away(error)) => {
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
    Away(String),
    Forked(SourceError),
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

/// How reader and log came to agree.
#[derive(PartialEq, Eq)]
enum Agreed {
    /// The log has what the reader remembers.
    Already,
    /// The reader went back to where both have the same.
    SetBack,
}

/// While everything goes its way: the same question as before anything is read. A log that is away
/// says nothing; what comes next may be had without it.
async fn agree_again<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    known: &mut Option<Cursors>,
    status: &FollowStatus,
) -> Result<(), Trouble> {
    let Some(cursors) = known.take() else { return Ok(()) };
    let scope = cursors.scope().clone();
    let asked = async {
        let loaded = sink.cursors().await?.scoped(scope);
        let agreed = agree(source, sink, &loaded, status).await?;
        Ok((agreed == Agreed::Already).then_some(loaded))
    };
    match asked.await {
        Ok(loaded) => *known = loaded,
        Err(Trouble::Away(error)) => {
            tracing::debug!(follower = status.name(), error, "its log is not compared");
            *known = Some(cursors);
        }
        Err(trouble) => return Err(trouble),
    }
    Ok(())
}

/// Before anything is read: does the log have, where the reader is, what the reader saw there? Where
/// it has not and that has been accepted, the reader goes back to the last place that both have.
async fn agree<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    at: &Cursors,
    status: &FollowStatus,
) -> Result<Agreed, Trouble> {
    let mut places: Vec<Place> = at.places().collect();
    places.extend(unmarked(source, sink, at).await?);
    // A question only: in which incarnation they were read counts for those that differ.
    let compared = source.compare(&places, 0).await?;
    let differing: Vec<(Place, Finding)> = compared.differing(&places).collect();
    note(sink, at, &compared, &places).await?;
    if differing.is_empty() {
        return Ok(Agreed::Already);
    }
    let now = compared.history.map_or(0, |history| history.incarnation);
    // A log that declares no history tells the same again by itself, and nothing is done twice.
    let accepted = |place: &Place| {
        compared.history.is_none_or(|history| then(at, history, place.shard) < history.incarnation)
    };
    if let Some((Place { shard, position, mark }, finding)) =
        differing.iter().copied().find(|(place, _)| !accepted(place))
    {
        // Whoever keeps the log learns that somebody remembers what it does not hold.
        let refused = differing.iter().map(|(place, _)| *place).filter(|place| !accepted(place));
        let refused: Vec<Place> = refused.collect();
        let read_in = compared
            .history
            .into_iter()
            .flat_map(|history| refused.iter().map(move |place| then(at, history, place.shard)));
        source.compare(&refused, read_in.max().unwrap_or(now)).await?;
        let detail = match finding {
            Finding::Beyond => format!("it ends before position {position}, which was read"),
            _ => format!("what stood at position {position} ({mark}) is not there"),
        };
        return Err(SourceError::Forked { shard, position, detail }.into());
    }
    let mut from = Cursors::default();
    let mut to = Cursors::default();
    for (place, _) in differing {
        from.advance_to(place.shard, place.position, at.mark(place.shard));
        if let Some(common) = last_common(source, sink, place.shard).await? {
            to.advance_to(common.shard, common.position, Some(common.mark));
        }
    }
    for (shard, position) in from.iter() {
        tracing::warn!(
            follower = status.name(),
            shard,
            from = position,
            to = to.get(shard),
            "set back to where the log has what was read"
        );
    }
    sink.set_back(&from, &to, now).await?;
    Ok(Agreed::SetBack)
}

/// In which incarnation a shard was read last, as far as it counts for what has been accepted: of
/// another log nothing has been.
fn then(at: &Cursors, history: History, shard: u16) -> u64 {
    match at.log(shard) {
        Some(log) if log != history.log => history.incarnation,
        _ => at.incarnation(shard).max(1),
    }
}

/// Has the reader remember which history it reads where it agrees with the log; and where it does
/// not, because the log is another one altogether, which one it met: only what is accepted after
/// that is.
async fn note<T: Item>(
    sink: &mut dyn Sink<T>,
    at: &Cursors,
    compared: &Comparison,
    places: &[Place],
) -> Result<(), Trouble> {
    let Some(history) = compared.history else {
        return Ok(sink.read_in(&[], None).await?);
    };
    let same = |finding: &Finding| *finding == Finding::Same;
    let strange = |shard: u16| at.log(shard).is_some_and(|log| log != history.log);
    let known = |shard: u16| {
        at.log(shard) == Some(history.log) && at.incarnation(shard) == history.incarnation
    };
    let asked = places.iter().zip(&compared.findings);
    let marked = asked.filter(|(place, _)| at.mark(place.shard).is_some());
    let noted = marked.filter(|(place, found)| same(found) || strange(place.shard));
    let noted = noted.map(|(place, _)| place.shard).filter(|shard| !known(*shard));
    let noted: Vec<u16> = noted.collect();
    Ok(sink.read_in(&noted, Some(history)).await?)
}

/// Of places of which the reader does not know what it saw there: those at which it is ahead of the
/// log. At its very end it is taken to have seen what is there, and will know it from now on.
async fn unmarked<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    at: &Cursors,
) -> Result<Vec<Place>, Trouble> {
    if at.unmarked().next().is_none() {
        return Ok(Vec::new());
    }
    let heads = source.heads().await?;
    let level = heads
        .places()
        .filter(|head| at.get(head.shard) == head.position && at.mark(head.shard).is_none());
    let level: Vec<Place> = level.collect();
    if !level.is_empty() {
        sink.knows(&level).await?;
    }
    let beyond = at.unmarked().filter(|(shard, position)| *position > heads.get(*shard));
    let nothing = Mark::from_bits(0);
    Ok(beyond.map(|(shard, position)| Place { shard, position, mark: nothing }).collect())
}

/// The last remembered place of a shard that the log has too.
async fn last_common<T: Item>(
    source: &dyn Source<T>,
    sink: &mut dyn Sink<T>,
    shard: u16,
) -> Result<Option<Place>, Trouble> {
    let places = sink.places(shard).await?;
    let Comparison { findings, .. } = source.compare(&places, 0).await?;
    let same = places.into_iter().zip(findings).find(|(_, finding)| *finding == Finding::Same);
    Ok(same.map(|(place, _)| place))
}
