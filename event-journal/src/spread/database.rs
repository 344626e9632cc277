//! One database of a journal: its store, the writer to it, and whether it answers. Most journals
//! have one; of several, one that is away keeps nobody from the others.

use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use shared_events::contract::Mark;
use shared_events::stream::Cursors;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::archive::Cold;
use crate::error::JournalError;
use crate::options::Options;
use crate::shards::{SHARDS_MAX, ShardSet};
use crate::store::{Head, News, Store};
use crate::write::{REQUESTS_WAITING_MAX, Request, Wires, Writer, complete, take_over};

/// One of several databases that takes longer to say what it holds, or how far that is, is away.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// How often it is looked whether one that was away is back.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) struct Database {
    pub(crate) store: Arc<dyn Store>,
    /// What has left its table.
    pub(crate) cold: Cold,
    pub(crate) holds: ShardSet,
    pub(crate) requests: Option<mpsc::Sender<Request>>,
    /// Shards may have changed: the writer looks again.
    pub(crate) nudged: Arc<Notify>,
    /// Whether everything that somebody takes was handed over.
    pub(crate) left: CancellationToken,
    one_of_several: bool,
    away: Arc<Lock<Option<JournalError>>>,
    closing: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A store, and what of it is ours before the writer starts.
pub(crate) struct Taken {
    store: Arc<dyn Store>,
    pub(crate) holds: ShardSet,
    pub(crate) heads: Vec<Head>,
    since: Instant,
    /// Why nothing is known of it yet.
    away: Option<JournalError>,
}

impl Taken {
    /// Takes what is to be ours: everything, or our place among the other nodes. A store of which
    /// it is not said what it holds has all shards.
    pub(crate) async fn from(
        store: Arc<dyn Store>,
        holds: Option<ShardSet>,
        options: &Options,
    ) -> Result<Self, JournalError> {
        if !options.read_only && !(1..=SHARDS_MAX).contains(&options.shards) {
            return Err(JournalError::Invalid(format!("a journal has 1 to {SHARDS_MAX} shards")));
        }
        let since = Instant::now();
        let heads = match (&options.node, store.shared()) {
            _ if options.read_only => store.heads().await?,
            (Some(node), Some(shared)) => {
                shared.join(node, options.lease).await?;
                store.heads().await?
            }
            _ => take_over(&*store, options).await?,
        };
        let all = || ShardSet::first(u16::try_from(heads.len()).unwrap_or(u16::MAX));
        let holds = holds.unwrap_or_else(all);
        // Waiting for another writer took its time; the lease began at the claim that succeeded.
        let since = since.max(Instant::now() - options.renew);
        Ok(Self { store, heads: complete(heads, &holds)?, holds, since, away: None })
    }

    /// Whether it is written to by other nodes too.
    pub(crate) fn is_shared(&self, options: &Options) -> bool {
        options.node.is_some() && !options.read_only && self.store.shared().is_some()
    }

    /// Nothing yet, of a database that does not answer. Its writer takes what there is to take as
    /// soon as it does.
    pub(crate) fn nothing(store: Arc<dyn Store>, holds: ShardSet, away: JournalError) -> Self {
        Self { store, holds, heads: Vec::new(), since: Instant::now(), away: Some(away) }
    }
}

impl Database {
    /// Starts the writer to it and listens to what others write.
    pub(crate) async fn start(
        taken: Taken,
        shards: u16,
        one_of_several: bool,
        options: &Options,
        wires: Wires,
    ) -> Result<Self, JournalError> {
        let Taken { store, holds, heads, since, away } = taken;
        let (nudged, left) = (Arc::clone(&wires.nudged), wires.left.clone());
        let closing = wires.closing.clone();
        let among_others = options.node.is_some();
        if options.read_only || among_others {
            let ear = Ear { committed: wires.committed.clone(), nudged: Arc::clone(&nudged) };
            tokio::spawn(ear.hear(Arc::clone(&store), closing.clone()));
        }
        let (mut requests, mut writer) = (None, None);
        if !options.read_only {
            let (sender, receiver) = mpsc::channel(REQUESTS_WAITING_MAX);
            requests = Some(sender);
            let ours = if among_others { Vec::new() } else { heads };
            let mut task =
                Writer::new(Arc::clone(&store), shards, holds.clone(), ours, options, since, wires);
            if away.is_none() {
                task.begin().await?;
            }
            writer = Some(tokio::spawn(task.run(receiver, closing.clone())));
        }
        let cold = Cold::new(Arc::clone(&store), options.archive.clone());
        let part = Self {
            store,
            cold,
            holds,
            requests,
            nudged,
            left,
            one_of_several,
            away: Arc::default(),
            closing,
            writer: Mutex::new(writer),
        };
        if let Some(error) = away {
            part.went_away(error);
        }
        Ok(part)
    }

    /// Where its shards stand. One of several databases that did not answer is not asked again
    /// until it was seen to be back, so that nobody waits for it who reads the others too.
    pub(crate) async fn heads(&self) -> Result<Vec<Head>, JournalError> {
        if !self.one_of_several {
            return self.store.heads().await;
        }
        if let Some(error) = self.away() {
            return Err(error);
        }
        let answer = ask(&*self.store).await;
        if let Err(error @ JournalError::Unavailable(_)) = &answer {
            self.went_away(error.clone());
        }
        answer
    }

    /// Why it is not asked for now.
    pub(crate) fn away(&self) -> Option<JournalError> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn went_away(&self, error: JournalError) {
        if self.away().is_some() {
            return;
        }
        let (store, away, holds) =
            (Arc::clone(&self.store), Arc::clone(&self.away), self.holds.clone());
        let say = move |error: Option<JournalError>| {
            let mut away = away.lock().unwrap_or_else(PoisonError::into_inner);
            if *away != error {
                match &error {
                    Some(error) => {
                        tracing::warn!(%error, shards = %holds, "a database of the journal is away")
                    }
                    None => tracing::warn!(shards = %holds, "a database of the journal is back"),
                }
            }
            *away = error;
        };
        say(Some(error));
        let back = async move {
            while let Err(error) = ask(&*store).await {
                say(Some(error));
                sleep(LOOK_EVERY).await;
            }
            say(None);
        };
        let closing = self.closing.clone();
        tokio::spawn(async move { closing.run_until_cancelled(back).await });
    }

    /// Returns when the writer has ended and every connection is closed.
    pub(crate) async fn close(&self) {
        let writer = self.writer.lock().await.take();
        if let Some(writer) = writer
            && writer.await.is_err()
        {
            tracing::error!("the journal's writer had died");
        }
        self.store.close().await;
    }
}

async fn ask(store: &dyn Store) -> Result<Vec<Head>, JournalError> {
    within(ANSWERS_WITHIN, store.heads()).await
}

/// The answer of a database, unless it takes too long.
pub(crate) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, JournalError>>,
) -> Result<T, JournalError> {
    timeout(patience, answer).await.unwrap_or_else(|_| {
        Err(JournalError::Unavailable(format!("no answer within {patience:?}")))
    })
}

/// Slots what other processes announce into what readers and the writer here wait for.
struct Ear {
    committed: watch::Sender<Cursors>,
    nudged: Arc<Notify>,
}

impl Ear {
    async fn hear(self, store: Arc<dyn Store>, stop: CancellationToken) {
        loop {
            let news = tokio::select! {
                () = stop.cancelled() => return,
                news = store.announced() => news,
            };
            if news == News::Shards {
                self.nudged.notify_one();
            }
            if let Ok(heads) = store.heads().await {
                learn(&self.committed, &cursors_of(&heads));
            }
        }
    }
}

/// What was seen committed in the database wakes whoever waits for it here.
pub(crate) fn learn(committed: &watch::Sender<Cursors>, heads: &Cursors) {
    committed.send_if_modified(|known| {
        let news = !known.covers(heads);
        known.merge(heads);
        news
    });
}

pub(crate) fn cursors_of(heads: &[Head]) -> Cursors {
    let mut cursors = Cursors::default();
    for Head { shard, position, hash, .. } in heads.iter().filter(|head| head.position > 0) {
        cursors.advance_to(*shard, *position, Some(Mark::of(hash)));
    }
    cursors
}
