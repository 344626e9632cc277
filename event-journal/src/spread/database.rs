//! One database of a journal: its store, its writer, and whether it answers. Most journals have
//! one; of several, an unavailable one does not block the others.

use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use shared_events::contract::Mark;
use shared_events::stream::Cursors;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::archive::ArchiveReader;
use crate::error::JournalError;
use crate::options::Options;
use crate::shards::{SHARDS_MAX, ShardSet};
use crate::store::{Head, News, Store};
use crate::write::{Channels, REQUESTS_WAITING_MAX, Request, Writer, complete, take_over};

/// One of several databases that takes longer to report its shards or heads counts as unavailable.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// How often an unavailable database is polled.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) struct Database {
    pub(crate) store: Arc<dyn Store>,
    /// Reads what is archived.
    pub(crate) cold: ArchiveReader,
    pub(crate) holds: ShardSet,
    pub(crate) requests: Option<mpsc::Sender<Request>>,
    /// Shards may have changed: the writer checks again.
    pub(crate) shards_changed: Arc<Notify>,
    /// Set once every shard that another node takes was handed over.
    pub(crate) handed_over: CancellationToken,
    one_of_several: bool,
    unavailable: Arc<Lock<Option<JournalError>>>,
    closing: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A store, and which shards of it are ours before the writer starts.
pub(crate) struct Taken {
    store: Arc<dyn Store>,
    pub(crate) holds: ShardSet,
    pub(crate) heads: Vec<Head>,
    since: Instant,
    /// Why nothing is known of it yet.
    unavailable: Option<JournalError>,
}

impl Taken {
    /// Takes the shards that are to be ours: everything, or our place among the other nodes. A
    /// store for which no shards are named has all of them.
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
        // Waiting for another writer took time; the lease began at the claim that succeeded.
        let since = since.max(Instant::now() - options.renew);
        Ok(Self { store, heads: complete(heads, &holds)?, holds, since, unavailable: None })
    }

    /// Whether other nodes write to it too.
    pub(crate) fn is_shared(&self, options: &Options) -> bool {
        options.node.is_some() && !options.read_only && self.store.shared().is_some()
    }

    /// Nothing yet, for a database that does not answer. Its writer takes its shards as soon as it
    /// does.
    pub(crate) fn unavailable(
        store: Arc<dyn Store>,
        holds: ShardSet,
        unavailable: JournalError,
    ) -> Self {
        Self {
            store,
            holds,
            heads: Vec::new(),
            since: Instant::now(),
            unavailable: Some(unavailable),
        }
    }
}

impl Database {
    /// Starts the writer to it and listens for other writers.
    pub(crate) async fn start(
        taken: Taken,
        shards: u16,
        one_of_several: bool,
        options: &Options,
        channels: Channels,
    ) -> Result<Self, JournalError> {
        let Taken { store, holds, heads, since, unavailable } = taken;
        let (shards_changed, handed_over) =
            (Arc::clone(&channels.shards_changed), channels.handed_over.clone());
        let closing = channels.closing.clone();
        let among_others = options.node.is_some();
        if options.read_only || among_others {
            let listener = Listener {
                committed: channels.committed.clone(),
                shards_changed: Arc::clone(&shards_changed),
            };
            shared_events::stream::spawn(listener.listen(Arc::clone(&store), closing.clone()));
        }
        let (mut requests, mut writer) = (None, None);
        if !options.read_only {
            let (sender, receiver) = mpsc::channel(REQUESTS_WAITING_MAX);
            requests = Some(sender);
            let ours = if among_others { Vec::new() } else { heads };
            let mut task = Writer::new(
                Arc::clone(&store),
                shards,
                holds.clone(),
                ours,
                options,
                since,
                channels,
            );
            if unavailable.is_none() {
                task.begin().await?;
            }
            writer = Some(shared_events::stream::spawn(task.run(receiver, closing.clone())));
        }
        let cold = ArchiveReader::new(Arc::clone(&store), options.archive.clone());
        let part = Self {
            store,
            cold,
            holds,
            requests,
            shards_changed,
            handed_over,
            one_of_several,
            unavailable: Arc::default(),
            closing,
            writer: Mutex::new(writer),
        };
        if let Some(error) = unavailable {
            part.became_unavailable(error);
        }
        Ok(part)
    }

    /// The heads of its shards. One of several databases that did not answer is not asked again
    /// until it was seen to be back, so that reads of the others do not wait for it.
    pub(crate) async fn heads(&self) -> Result<Vec<Head>, JournalError> {
        if !self.one_of_several {
            return self.store.heads().await;
        }
        if let Some(error) = self.unavailable() {
            return Err(error);
        }
        let answer = ask(&*self.store).await;
        if let Err(error @ JournalError::Unavailable(_)) = &answer {
            self.became_unavailable(error.clone());
        }
        answer
    }

    /// Why it is not asked for now.
    pub(crate) fn unavailable(&self) -> Option<JournalError> {
        self.unavailable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn became_unavailable(&self, error: JournalError) {
        if self.unavailable().is_some() {
            return;
        }
        let (store, unavailable, holds) =
            (Arc::clone(&self.store), Arc::clone(&self.unavailable), self.holds.clone());
        let set = move |error: Option<JournalError>| {
            let mut unavailable = unavailable.lock().unwrap_or_else(PoisonError::into_inner);
            if *unavailable != error {
                match &error {
                    Some(error) => {
                        tracing::warn!(%error, shards = %holds, "a database of the journal is unavailable")
                    }
                    None => {
                        tracing::warn!(shards = %holds, "a database of the journal is available again")
                    }
                }
            }
            *unavailable = error;
        };
        set(Some(error));
        let back = async move {
            while let Err(error) = ask(&*store).await {
                set(Some(error));
                sleep(LOOK_EVERY).await;
            }
            set(None);
        };
        let closing = self.closing.clone();
        shared_events::stream::spawn(async move { closing.run_until_cancelled(back).await });
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

/// Passes announcements of other processes on to the readers and the writer here.
struct Listener {
    committed: watch::Sender<Cursors>,
    shards_changed: Arc<Notify>,
}

impl Listener {
    async fn listen(self, store: Arc<dyn Store>, stop: CancellationToken) {
        loop {
            let news = tokio::select! {
                () = stop.cancelled() => return,
                news = store.announced() => news,
            };
            if news == News::Shards {
                self.shards_changed.notify_one();
            }
            if let Ok(heads) = store.heads().await {
                publish_heads(&self.committed, &cursors_of(&heads));
            }
        }
    }
}

/// Publishes positions that were found committed, which wakes those who wait for them here.
pub(crate) fn publish_heads(committed: &watch::Sender<Cursors>, heads: &Cursors) {
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
