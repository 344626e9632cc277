//! One task that collects the appends of many actors, over all shards, and commits them as one
//! batch; while it is in flight the next one fills.
//! Never here: SQL.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use shared_events::contract::Timestamp;
use shared_events::stream::{Cursors, Scope, spawn_for_lease};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::lease::{Lease, LeaseState};
use super::ownership::Ownership;
use super::request::{REQUESTS_WAITING_MAX, Request, take_batch};
use super::tail::{LostTail, Tail};
use crate::error::JournalError;
use crate::id::StreamId;
use crate::options::{Node, Options};
use crate::shards::ShardSet;
use crate::store::{Head, Store};

/// Streams whose version the writer caches, so that it need not ask; some 10 MB.
const VERSIONS_KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// The writer to one database.
pub(crate) struct Writer {
    pub(super) store: Arc<dyn Store>,
    /// The number of shards of the journal, in all databases.
    pub(super) shards: u16,
    /// The shards of our database; other nodes write to some of them.
    pub(super) holds: ShardSet,
    /// The shards that are ours.
    pub(super) heads: BTreeMap<u16, Head>,
    /// The last known head of each shard that we have had, and the highest epoch in which it was
    /// ours. A database that knows less has lost events.
    pub(super) known: BTreeMap<u16, Head>,
    /// The heads that shards have if a batch of unknown outcome arrived.
    pub(super) in_doubt: BTreeMap<u16, Head>,
    /// The epoch in which each of them became ours. In later epochs they stayed ours without
    /// another owner in between.
    pub(super) tenures: BTreeMap<u16, u64>,
    /// Our identity, where several nodes write to the same journal.
    pub(super) node: Option<Node>,
    /// Shards may have changed: check again.
    pub(super) shards_changed: Arc<Notify>,
    /// Asked to hand everything over, and whether that is done.
    pub(super) leaving: CancellationToken,
    pub(super) handed_over: CancellationToken,
    pub(super) ownership: watch::Sender<Ownership>,
    pub(super) scope: watch::Sender<Scope>,
    pub(super) versions: LruCache<StreamId, u64>,
    pub(super) lease: Arc<Lease>,
    /// When the other nodes are checked next.
    pub(super) next_rebalance: Instant,
    /// Whether the last check failed, which was logged.
    pub(super) rebalance_failed: bool,
    pub(super) lost_tails: watch::Sender<Vec<LostTail>>,
    /// Whether something sent earlier may still arrive at the database.
    pub(super) uncertain: bool,
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) recorded_at: Timestamp,
    pub(super) committed: watch::Sender<Cursors>,
    pub(super) tail: Arc<Tail>,
    pub(super) taken_over: CancellationToken,
    pub(super) lost: CancellationToken,
}

/// The channels between a writer and the rest of the process.
pub(crate) struct Channels {
    pub(crate) committed: watch::Sender<Cursors>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) lost_tails: watch::Sender<Vec<LostTail>>,
    pub(crate) ownership: watch::Sender<Ownership>,
    pub(crate) scope: watch::Sender<Scope>,
    pub(crate) shards_changed: Arc<Notify>,
    pub(crate) leaving: CancellationToken,
    pub(crate) handed_over: CancellationToken,
    /// Before `lost`, where another process is the reason.
    pub(crate) taken_over: CancellationToken,
    pub(crate) lost: CancellationToken,
    pub(crate) closing: CancellationToken,
}

impl Writer {
    /// A writer to shards that are taken already; a node among others takes its share later.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        shards: u16,
        holds: ShardSet,
        heads: Vec<Head>,
        options: &Options,
        since: Instant,
        channels: Channels,
    ) -> Self {
        let lease = Arc::new(Lease::new(options, store.lease_runs_out(), since));
        let known = heads.iter().map(|head| (head.shard, head.clone())).collect();
        Self {
            known,
            in_doubt: BTreeMap::new(),
            next_rebalance: Instant::now(),
            rebalance_failed: false,
            lost_tails: channels.lost_tails,
            store,
            shards,
            holds,
            tenures: heads.iter().map(|head| (head.shard, head.epoch)).collect(),
            heads: heads.into_iter().map(|head| (head.shard, head)).collect(),
            node: options.node.clone(),
            shards_changed: channels.shards_changed,
            leaving: channels.leaving,
            handed_over: channels.handed_over,
            ownership: channels.ownership,
            scope: channels.scope,
            versions: LruCache::new(VERSIONS_KNOWN_MAX),
            lease,
            uncertain: false,
            now: Arc::clone(&options.now),
            recorded_at: Timestamp::MIN,
            committed: channels.committed,
            tail: channels.tail,
            taken_over: channels.taken_over,
            lost: channels.lost,
        }
    }

    /// Publishes which shards it has; a node among others takes its first share. A failed attempt
    /// is repeated at the next check.
    pub(crate) async fn begin(&mut self) -> Result<(), JournalError> {
        self.publish_ownership(None);
        if self.node.is_some() { self.share_out(true).await } else { Ok(()) }
    }

    /// Writes until it is closed or superseded. Every request gets an answer.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        closing: CancellationToken,
    ) {
        let mut waiting = VecDeque::new();
        let keeper = Arc::clone(&self.lease).keep(self.store.renewal());
        let keeper = if self.store.renews_on_own_thread() {
            spawn_for_lease(keeper)
        } else {
            shared_events::stream::spawn(keeper)
        };
        let end = self.serve(&mut requests, &mut waiting, &closing).await;
        keeper.abort();
        requests.close();
        match end {
            Ok(()) => {
                if !self.handed_over.is_cancelled() {
                    self.hand_over_all().await;
                }
                self.store.release().await;
            }
            Err(error) => {
                tracing::error!(code = error.code(), %error, "the journal's writer has stopped");
                // First the signal, then the answers: a refused caller finds the journal stopped.
                self.end(&error);
                while let Some(request) = requests.recv().await {
                    waiting.push_back(request);
                }
                for request in waiting {
                    request.answer(Err(JournalError::Superseded));
                }
            }
        }
    }

    async fn serve(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
        waiting: &mut VecDeque<Request>,
        closing: &CancellationToken,
    ) -> Result<(), JournalError> {
        let lease = Arc::clone(&self.lease);
        loop {
            if waiting.is_empty() {
                let mut received = Vec::new();
                tokio::select! {
                    biased;
                    () = closing.cancelled(), if !requests.is_closed() => {
                        requests.close();
                        continue;
                    }
                    () = sleep_until(self.wakes_at()) => self.keep_lease().await?,
                    () = lease.news() => self.keep_lease().await?,
                    () = self.leaving.cancelled(), if !self.handed_over.is_cancelled() => {
                        self.hand_over_all().await;
                    }
                    () = self.shards_changed.notified() => self.rebalance().await,
                    count = requests.recv_many(&mut received, REQUESTS_WAITING_MAX) => {
                        if count == 0 {
                            return Ok(());
                        }
                    }
                }
                waiting.extend(received);
            }
            // Nothing is written for a caller that gave up waiting.
            waiting.retain(|request| !request.reply.is_closed());
            let batch = take_batch(waiting);
            if !batch.is_empty() {
                if let Err(error) = self.keep_lease().await {
                    waiting.extend(batch);
                    return Err(error);
                }
                self.write(batch).await?;
            }
        }
    }

    /// When there is something to do without a request.
    fn wakes_at(&self) -> Instant {
        match (&self.node, self.uncertain) {
            (Some(_), _) => self.next_rebalance,
            (None, true) => self.next_rebalance.min(self.lease.valid_until()),
            (None, false) => self.lease.valid_until(),
        }
    }

    /// Makes sure that the shards we believe to be ours are; an error where the writer has to stop.
    async fn keep_lease(&mut self) -> Result<(), JournalError> {
        if self.lease.in_doubt() {
            // The database is unavailable, and may return as another one: its state must be read
            // from it.
            self.tail.forget();
        }
        match self.lease.state() {
            LeaseState::Superseded => return Err(JournalError::Superseded),
            LeaseState::RanOut if self.node.is_none() => {
                let detail = "the journal's lease could not be renewed".to_owned();
                return Err(JournalError::Unavailable(detail));
            }
            LeaseState::RanOut | LeaseState::Valid => {}
        }
        self.drop_lapsed();
        if self.uncertain && Instant::now() >= self.next_rebalance {
            self.next_rebalance = Instant::now() + self.lease.again();
            // A lost connection is replaced by a fresh epoch, which is a renewal too.
            match self.recover().await {
                Err(JournalError::Superseded) => return Err(JournalError::Superseded),
                Err(_) => return Ok(()),
                Ok(_) => {}
            }
        }
        if Instant::now() >= self.next_rebalance {
            self.next_rebalance = Instant::now() + self.lease.every();
            self.rebalance().await;
        }
        Ok(())
    }

    /// Releases shards that we may not trust any more. Another node may have them before we learn
    /// it, so they are adopted again in a fresh epoch only.
    fn drop_lapsed(&mut self) {
        if self.node.is_none() {
            return;
        }
        #[cfg(feature = "planted-bugs")]
        if shared_events::planted::is("append-without-epoch") {
            for shard in self.heads.keys() {
                self.lease.hold(*shard, Instant::now());
            }
        }
        let before = self.heads.len();
        self.heads.retain(|shard, _| self.lease.holds(*shard));
        if self.heads.len() < before {
            let shards = before - self.heads.len();
            tracing::warn!(
                shards,
                "the lease of shards ran out; they are taken again when they are free"
            );
            self.uncertain = true;
            self.publish_ownership(None);
        }
    }
}
