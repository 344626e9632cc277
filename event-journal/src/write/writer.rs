//! One task that collects what many actors append, over all shards, and commits it as one batch;
//! while it is in flight the next one fills.
//! Never here: SQL.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use shared_events::contract::Timestamp;
use shared_events::stream::{Cursors, Scope, spawn_beside};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::lease::{Lease, Standing};
use super::ownership::Ownership;
use super::request::{REQUESTS_WAITING_MAX, Request, take_batch};
use super::tail::{LostTail, Tail};
use crate::error::JournalError;
use crate::id::StreamId;
use crate::options::{Node, Options};
use crate::shards::ShardSet;
use crate::store::{Head, Store};

/// Streams whose version the writer remembers, so that it need not ask; some 10 MB.
const VERSIONS_KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// The writer to one database.
pub(crate) struct Writer {
    pub(super) store: Arc<dyn Store>,
    /// Of all shards there are, in all databases.
    pub(super) shards: u16,
    /// The shards of our database; others write to some of them.
    pub(super) holds: ShardSet,
    /// The shards that are ours.
    pub(super) heads: BTreeMap<u16, Head>,
    /// Where each shard that we have had stood when we last knew, and the highest epoch in which it
    /// was ours. A database that knows less has lost something.
    pub(super) known: BTreeMap<u16, Head>,
    /// Where shards stand if a batch arrived of which that is not known.
    pub(super) in_doubt: BTreeMap<u16, Head>,
    /// The epoch in which each of them became ours. Later epochs are still ours, without anybody
    /// else in between.
    pub(super) tenures: BTreeMap<u16, u64>,
    /// Who we are, where others write to the same journal.
    pub(super) node: Option<Node>,
    /// Shards may have changed: look again.
    pub(super) nudged: Arc<Notify>,
    /// Asked to hand everything over, and whether that is done.
    pub(super) leaving: CancellationToken,
    pub(super) left: CancellationToken,
    pub(super) ownership: watch::Sender<Ownership>,
    pub(super) scope: watch::Sender<Scope>,
    pub(super) versions: LruCache<StreamId, u64>,
    pub(super) lease: Arc<Lease>,
    /// When the other nodes are looked at next.
    pub(super) next_look: Instant,
    /// Whether the last look failed, which was said.
    pub(super) look_failed: bool,
    pub(super) lost_tails: watch::Sender<Vec<LostTail>>,
    /// Whether something sent earlier may still arrive at the database.
    pub(super) uncertain: bool,
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) recorded_at: Timestamp,
    pub(super) committed: watch::Sender<Cursors>,
    pub(super) tail: Arc<Tail>,
    pub(super) lost: CancellationToken,
}

/// What a writer is told, and by what it tells others.
pub(crate) struct Wires {
    pub(crate) committed: watch::Sender<Cursors>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) lost_tails: watch::Sender<Vec<LostTail>>,
    pub(crate) ownership: watch::Sender<Ownership>,
    pub(crate) scope: watch::Sender<Scope>,
    pub(crate) nudged: Arc<Notify>,
    pub(crate) leaving: CancellationToken,
    pub(crate) left: CancellationToken,
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
        wires: Wires,
    ) -> Self {
        let lease = Arc::new(Lease::new(options, store.lease_runs_out(), since));
        let known = heads.iter().map(|head| (head.shard, head.clone())).collect();
        Self {
            known,
            in_doubt: BTreeMap::new(),
            next_look: Instant::now(),
            look_failed: false,
            lost_tails: wires.lost_tails,
            store,
            shards,
            holds,
            tenures: heads.iter().map(|head| (head.shard, head.epoch)).collect(),
            heads: heads.into_iter().map(|head| (head.shard, head)).collect(),
            node: options.node.clone(),
            nudged: wires.nudged,
            leaving: wires.leaving,
            left: wires.left,
            ownership: wires.ownership,
            scope: wires.scope,
            versions: LruCache::new(VERSIONS_KNOWN_MAX),
            lease,
            uncertain: false,
            now: Arc::clone(&options.now),
            recorded_at: Timestamp::MIN,
            committed: wires.committed,
            tail: wires.tail,
            lost: wires.lost,
        }
    }

    /// Tells which shards it has; a node among others takes its first share. Where it could not, it
    /// does at the next look.
    pub(crate) async fn begin(&mut self) -> Result<(), JournalError> {
        self.tell_ownership(None);
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
        let keeper =
            if self.store.renews_beside() { spawn_beside(keeper) } else { tokio::spawn(keeper) };
        let end = self.serve(&mut requests, &mut waiting, &closing).await;
        keeper.abort();
        requests.close();
        match end {
            Ok(()) => {
                if !self.left.is_cancelled() {
                    self.leave().await;
                }
                self.store.release().await;
            }
            Err(error) => {
                tracing::error!(code = error.code(), %error, "the journal's writer has stopped");
                // First the sign, then the answers: who is refused finds the journal stopped.
                self.lost.cancel();
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
                    () = sleep_until(self.wakes_at()) => self.keep().await?,
                    () = lease.news() => self.keep().await?,
                    () = self.leaving.cancelled(), if !self.left.is_cancelled() => {
                        self.leave().await;
                    }
                    () = self.nudged.notified() => self.look().await,
                    count = requests.recv_many(&mut received, REQUESTS_WAITING_MAX) => {
                        if count == 0 {
                            return Ok(());
                        }
                    }
                }
                waiting.extend(received);
            }
            // Whoever gave up waiting is not written for.
            waiting.retain(|request| !request.reply.is_closed());
            let batch = take_batch(waiting);
            if !batch.is_empty() {
                if let Err(error) = self.keep().await {
                    waiting.extend(batch);
                    return Err(error);
                }
                self.write(batch).await?;
            }
        }
    }

    /// When there is something to do although nobody asks.
    fn wakes_at(&self) -> Instant {
        match (&self.node, self.uncertain) {
            (Some(_), _) => self.next_look,
            (None, true) => self.next_look.min(self.lease.believed_until()),
            (None, false) => self.lease.believed_until(),
        }
    }

    /// Sees to it that what we believe to be ours is; an error where the writer has to stop.
    async fn keep(&mut self) -> Result<(), JournalError> {
        if self.lease.in_doubt() {
            // The database is away, and may come back as another one: what it has, it has to say.
            self.tail.forget();
        }
        match self.lease.standing() {
            Standing::Superseded => return Err(JournalError::Superseded),
            Standing::RanOut if self.node.is_none() => {
                tracing::error!("the journal's lease could not be renewed; stopping");
                return Err(JournalError::Superseded);
            }
            Standing::RanOut | Standing::Believed => {}
        }
        self.drop_lapsed();
        if self.uncertain && Instant::now() >= self.next_look {
            self.next_look = Instant::now() + self.lease.again();
            // A lost connection is replaced by a fresh epoch, which is a renewal too.
            match self.recover().await {
                Err(JournalError::Superseded) => return Err(JournalError::Superseded),
                Err(_) => return Ok(()),
                Ok(_) => {}
            }
        }
        if Instant::now() >= self.next_look {
            self.next_look = Instant::now() + self.lease.every();
            self.look().await;
        }
        Ok(())
    }

    /// Lets go of shards that we believe in no more. Somebody else may have them before we are
    /// told, so they are taken up again in a fresh epoch only.
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
            self.tell_ownership(None);
        }
    }
}
