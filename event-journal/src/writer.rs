//! One task that collects what many actors append, over all shards, and commits it as one batch;
//! while it is in flight the next one fills. Positions and the hash chain are assigned here.
//! Never here: SQL.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use shared_events::contract::{Mark, OrderId, Timestamp};
use shared_events::stream::{Cursors, Scope, spawn_beside};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::chain::chain_hash;
use super::error::JournalError;
use super::event::{Appended, ChainedEvent, NewEvent, StoredEvent};
use super::handle::shard_of;
use super::map::ShardSet;
use super::options::{Node, Options};
use super::ownership::Ownership;
use super::shard::{Lease, Standing, complete};
use super::share::plan;
use super::store::{Batch, Claim, Claimed, CommitError, Fence, Head, Sight, Store};
use super::tail::Tail;

/// Events of one order.
pub const EVENTS_PER_ORDER_MAX: u64 = 10_000;
/// Payload and metadata of one event together, in bytes.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Events after which a batch takes no further request.
const BATCH_EVENTS_MAX: usize = 2_048;
/// Bytes after which a batch takes no further request.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Requests that wait while a batch is in flight; more of them wait for room.
pub(super) const REQUESTS_WAITING_MAX: usize = 4_096;
/// Orders whose version the writer remembers, so that it need not ask; some 10 MB.
const VERSIONS_KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// How often one batch is tried: conflicts are taken out, lost connections replaced.
const ATTEMPTS_MAX: u32 = 4;

/// Events that were committed, and that the database does not have any more: a standby that lagged was
/// promoted, or a backup restored under a running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostTail {
    /// The shard.
    pub shard: u16,
    /// The last position that was known to be committed.
    pub known: u64,
    /// The last position that the database had afterwards.
    pub found: u64,
    /// How many events are lost, all such losses of the shard together.
    pub events: u64,
}

pub(super) struct Request {
    pub(super) order_id: OrderId,
    pub(super) expected: u64,
    /// What the caller knows of the order, it knows since then; none where that does not matter.
    pub(super) tenure: Option<u64>,
    pub(super) events: Vec<NewEvent>,
    pub(super) reply: oneshot::Sender<Result<Appended, JournalError>>,
}

impl Request {
    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.payload.len() + event.metadata.len()).sum()
    }

    fn answer(self, answer: Result<Appended, JournalError>) {
        // A caller that went away is told nothing; the journal is what it will read.
        drop(self.reply.send(answer));
    }
}

pub(super) struct Writer {
    store: Arc<dyn Store>,
    /// Of all shards there are, in all databases.
    shards: u16,
    /// The shards of our database; others write to some of them.
    holds: ShardSet,
    /// The shards that are ours.
    heads: BTreeMap<u16, Head>,
    /// Where each shard that we have had stood when we last knew, and the highest epoch in which it was
    /// ours. A database that knows less has lost something.
    known: BTreeMap<u16, Head>,
    /// Where shards stand if a batch arrived of which that is not known.
    in_doubt: BTreeMap<u16, Head>,
    /// The epoch in which each of them became ours. Later epochs are still ours, without anybody
    /// else in between.
    tenures: BTreeMap<u16, u64>,
    /// Who we are, where others write to the same journal.
    node: Option<Node>,
    /// Shards may have changed: look again.
    nudged: Arc<Notify>,
    /// Asked to hand everything over, and whether that is done.
    leaving: CancellationToken,
    left: CancellationToken,
    ownership: watch::Sender<Ownership>,
    scope: watch::Sender<Scope>,
    versions: LruCache<OrderId, u64>,
    lease: Arc<Lease>,
    /// When the other nodes are looked at next.
    next_look: Instant,
    /// Whether the last look failed, which was said.
    look_failed: bool,
    lost_tails: watch::Sender<Vec<LostTail>>,
    /// Whether something sent earlier may still arrive at the database.
    uncertain: bool,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    recorded_at: Timestamp,
    committed: watch::Sender<Cursors>,
    tail: Arc<Tail>,
    lost: CancellationToken,
}

/// A batch and what to answer where it is committed.
struct Sealed {
    batch: Batch,
    answers: Vec<Result<Appended, JournalError>>,
    versions: HashMap<OrderId, u64>,
}

/// What a writer is told, and by what it tells others.
pub(super) struct Wires {
    pub(super) committed: watch::Sender<Cursors>,
    pub(super) tail: Arc<Tail>,
    pub(super) lost_tails: watch::Sender<Vec<LostTail>>,
    pub(super) ownership: watch::Sender<Ownership>,
    pub(super) scope: watch::Sender<Scope>,
    pub(super) nudged: Arc<Notify>,
    pub(super) leaving: CancellationToken,
    pub(super) left: CancellationToken,
    pub(super) lost: CancellationToken,
    pub(super) closing: CancellationToken,
}

impl Writer {
    /// A writer to shards that are taken already; a node among others takes its share later.
    pub(super) fn new(
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
    pub(super) async fn begin(&mut self) -> Result<(), JournalError> {
        self.tell_ownership(None);
        if self.node.is_some() { self.share_out(true).await } else { Ok(()) }
    }

    /// Writes until it is closed or superseded. Every request gets an answer.
    pub(super) async fn run(
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

    /// Lets go of shards that we believe in no more. Somebody else may have them before we are told, so
    /// they are taken up again in a fresh epoch only.
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

    /// Writes these requests and answers each; an error says that the writer has to stop.
    async fn write(&mut self, requests: Vec<Request>) -> Result<(), JournalError> {
        let mut alone = VecDeque::from([requests]);
        while let Some(requests) = alone.pop_front() {
            match self.write_together(&requests).await {
                Ok(answers) => {
                    for (request, answer) in requests.into_iter().zip(answers) {
                        request.answer(answer);
                    }
                }
                Err(Trouble::Refused(_)) if requests.len() > 1 => {
                    // One of them is at fault and must not take the others with it.
                    alone.extend(requests.into_iter().map(|request| vec![request]));
                }
                Err(Trouble::Refused(detail)) => {
                    answer_all(requests, &JournalError::Invalid(detail));
                }
                Err(Trouble::Failed(error)) => answer_all(requests, &error),
                Err(Trouble::Lost(error)) => {
                    self.lost.cancel();
                    answer_all(requests, &error);
                    for requests in alone {
                        answer_all(requests, &JournalError::Superseded);
                    }
                    return Err(JournalError::Superseded);
                }
            }
        }
        Ok(())
    }

    async fn write_together(
        &mut self,
        requests: &[Request],
    ) -> Result<Vec<Result<Appended, JournalError>>, Trouble> {
        for _ in 0..ATTEMPTS_MAX {
            if self.uncertain {
                self.recover().await.map_err(Trouble::of)?;
            }
            self.learn_versions(requests).await?;
            let sealed = self.seal(requests);
            if sealed.batch.events.is_empty() {
                return Ok(sealed.answers);
            }
            let since = Instant::now();
            let patience = self.lease.length();
            let outcome = match timeout(patience, self.store.commit(&sealed.batch)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(CommitError::Unknown(format!("no answer within {patience:?}"))),
            };
            match outcome {
                Ok(()) => return Ok(self.committed(sealed)),
                Err(CommitError::Superseded) if self.node.is_some() => {
                    // One shard of the batch is somebody else's now; the others go on.
                    self.sight().await.map_err(Trouble::of)?;
                }
                Err(CommitError::Superseded) => {
                    return Err(Trouble::Lost(JournalError::Superseded));
                }
                Err(CommitError::Refused(detail)) => return Err(Trouble::Refused(detail)),
                Err(CommitError::Unavailable(detail)) => {
                    return Err(Trouble::Failed(JournalError::Unavailable(detail)));
                }
                Err(CommitError::Conflict) => self.find_conflicts(requests).await?,
                Err(CommitError::Unknown(detail)) => {
                    tracing::warn!(detail, elapsed = ?since.elapsed(), "the outcome of a batch is not known");
                    self.uncertain = true;
                    self.next_look = Instant::now();
                    self.versions.clear();
                    self.tail.forget();
                    let after = sealed.batch.fences.iter().map(|fence| fence.after.clone());
                    self.in_doubt = after.map(|head| (head.shard, head)).collect();
                    match self.recover().await {
                        Err(JournalError::Superseded) => {
                            // Theirs now, but ours may be among it.
                            return Err(Trouble::Lost(JournalError::OutcomeUnknown(detail)));
                        }
                        Err(_) => {
                            return Err(Trouble::Failed(JournalError::OutcomeUnknown(detail)));
                        }
                        // The database has another history now: what was sent may be in neither.
                        Ok(true) => {
                            return Err(Trouble::Failed(JournalError::OutcomeUnknown(detail)));
                        }
                        // Nothing sent before can arrive any more, so the heads tell.
                        Ok(false) => match self.stands_after(&sealed.batch) {
                            Some(true) => return Ok(self.committed(sealed)),
                            Some(false) => {}
                            None => {
                                return Err(Trouble::Failed(JournalError::OutcomeUnknown(detail)));
                            }
                        },
                    }
                }
            }
        }
        Err(Trouble::Failed(JournalError::Unavailable(format!(
            "gave up after {ATTEMPTS_MAX} tries"
        ))))
    }
}

/// Why a batch has no answers of its own.
enum Trouble {
    /// The database would refuse it again; nothing was appended.
    Refused(String),
    /// This for everybody in it; the writer goes on.
    Failed(JournalError),
    /// This for everybody in it; the writer stops.
    Lost(JournalError),
}

impl Trouble {
    fn of(error: JournalError) -> Self {
        match error {
            JournalError::Superseded => Self::Lost(error),
            other => Self::Failed(JournalError::Unavailable(other.to_string())),
        }
    }
}

impl Writer {
    /// Takes our own shards again, in a fresh epoch, and reads where they stand. Tells whether the
    /// database has lost something that we knew.
    async fn recover(&mut self) -> Result<bool, JournalError> {
        let since = Instant::now();
        let (store, length) = (Arc::clone(&self.store), self.lease.length());
        let above: BTreeMap<u16, u64> =
            self.known.values().map(|head| (head.shard, head.epoch)).collect();
        let (node, shards) = (self.node.is_some(), self.shards);
        let claim = async {
            match store.shared() {
                Some(shared) if node => shared.claim_own(&above, length).await,
                _ => loop {
                    let Claimed::Taken(heads) = store.claim(Claim::Own, shards, length).await?
                    else {
                        return Err(JournalError::Superseded);
                    };
                    let heads = complete(heads, &self.holds)?;
                    let fresh =
                        |head: &Head| above.get(&head.shard).is_none_or(|a| head.epoch > *a);
                    // A database that was set back begins in an epoch that we have had already.
                    if heads.iter().all(fresh) {
                        return Ok(heads);
                    }
                },
            }
        };
        let heads = timeout(length / 2, claim)
            .await
            .map_err(|_| JournalError::Unavailable("no answer".to_owned()))??;
        let mut lost = false;
        for head in &heads {
            let diverged = self.has_lost(head);
            lost |= diverged;
            let before = self.heads.get(&head.shard).map(|before| before.epoch + 1);
            if diverged || before != Some(head.epoch) {
                // Somebody else may have had it since we last knew it.
                self.versions.clear();
                self.tenures.insert(head.shard, head.epoch);
            }
            self.lease.hold(head.shard, since);
        }
        self.known.extend(heads.iter().map(|head| (head.shard, head.clone())));
        self.heads = heads.into_iter().map(|head| (head.shard, head)).collect();
        self.lease.extended(since);
        self.uncertain = false;
        self.in_doubt.clear();
        self.publish();
        self.tell_ownership(None);
        Ok(lost)
    }

    /// Whether the database, which says that a shard stands here, has another history than the one we
    /// knew: a standby that lagged was promoted, or a backup restored. What memory has of ours is
    /// forgotten, and what was lost is said.
    fn has_lost(&mut self, found: &Head) -> bool {
        let Some(known) = self.known.get(&found.shard) else { return false };
        let is = |head: &Head| (head.position, head.hash) == (found.position, found.hash);
        let nobody_else = found.epoch <= known.epoch + 1;
        let behind = found.position < known.position
            || found.position == known.position && !is(known)
            || found.epoch < known.epoch
            || nobody_else && !is(known) && !self.in_doubt.get(&found.shard).is_some_and(is);
        if !behind {
            return false;
        }
        let lost = LostTail {
            shard: found.shard,
            known: known.position,
            found: found.position,
            events: known.position.saturating_sub(found.position),
        };
        tracing::error!(
            shard = lost.shard,
            last_known = lost.known,
            last_found = lost.found,
            events = lost.events,
            "the database lacks events that it had committed; it was set back, or a standby that \
             lagged was promoted"
        );
        self.tail.forget();
        self.versions.clear();
        self.lower(found);
        self.lost_tails.send_modify(|all| match all.iter_mut().find(|l| l.shard == lost.shard) {
            Some(before) => *before = LostTail { events: before.events + lost.events, ..lost },
            None => all.push(lost),
        });
        true
    }

    /// Readers are told that a shard ends here, although it had been further, or had something else
    /// here.
    fn lower(&self, found: &Head) {
        let (shard, mark) = (found.shard, Mark::of(&found.hash));
        self.committed.send_if_modified(|cursors| {
            let other = || cursors.mark(shard).is_some_and(|known| known != mark);
            let known = cursors.get(shard);
            let outdated = known > found.position || known == found.position && other();
            if outdated {
                let mut lower = Cursors::default();
                for (other, at) in cursors.iter() {
                    let (at, mark) = match other == shard {
                        true => (found.position, Some(mark)),
                        false => (at, cursors.mark(other)),
                    };
                    if at > 0 {
                        lower.advance_to(other, at, mark);
                    }
                }
                *cursors = lower;
            }
            outdated
        });
    }

    /// Whether a batch, of which it was not known, is in the journal: all of it or nothing, so one
    /// shard tells for all. None where no shard of it is ours any more.
    fn stands_after(&self, batch: &Batch) -> Option<bool> {
        batch.fences.iter().find_map(|fence| {
            let head = self.heads.get(&fence.after.shard)?;
            Some(head.position == fence.after.position && head.hash == fence.after.hash)
        })
    }

    /// Looks at the shards where others write too: lets go of those that are lost, takes those that
    /// are ours to take, hands over those that others are to have. What fails is tried again at the
    /// next look.
    async fn look(&mut self) {
        if self.node.is_none() {
            return;
        }
        // Given up anywhere, the database tells at the next look what came of it.
        let patience = self.lease.length();
        let looked = timeout(patience, self.share_out(!self.left.is_cancelled())).await;
        let failed = match looked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        match &failed {
            Some(error) if !self.look_failed => {
                tracing::warn!(error, "the shards could not be looked at; it is tried again");
            }
            None if self.look_failed => tracing::info!("the shards can be looked at again"),
            _ => {}
        }
        self.look_failed = failed.is_some();
    }

    /// Gives everything to those who stay; what nobody can take is kept.
    async fn leave(&mut self) {
        let store = Arc::clone(&self.store);
        let (Some(_), Some(shared)) = (&self.node, store.shared()) else {
            self.left.cancel();
            return;
        };
        let patience = self.lease.length();
        let left = async {
            shared.leave().await?;
            self.share_out(false).await
        };
        match timeout(patience, left).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "shards were not handed over; their leases will run out");
            }
            Err(_) => tracing::warn!("shards were not handed over in time"),
        }
        self.left.cancel();
    }

    async fn share_out(&mut self, stays: bool) -> Result<(), JournalError> {
        let store = Arc::clone(&self.store);
        let (Some(node), Some(shared)) = (self.node.clone(), store.shared()) else {
            return Ok(());
        };
        let length = self.lease.length();
        let me = store.owner().to_owned();
        let mut sight = self.sight().await?;
        if stays && !sight.nodes.iter().any(|seen| seen.id == me) {
            shared.join(&node, length).await?;
            sight = self.sight().await?;
        }
        let plan = plan(&sight, &me);
        for shard in plan.take {
            let Some(seen) = sight.shards.iter().find(|seen| seen.head.shard == shard) else {
                continue;
            };
            let since = Instant::now();
            let above = self.known.get(&shard).map_or(0, |head| head.epoch);
            if let Some(head) = shared.claim_one(seen, above, length).await? {
                tracing::info!(shard, epoch = head.epoch, "shard taken");
                self.lease.hold(shard, since);
                self.has_lost(&head);
                self.take_up(head);
            }
        }
        let mut gone = Vec::new();
        for (shard, to) in plan.give {
            if let Some(head) = self.heads.remove(&shard) {
                self.lease.let_go(shard);
                self.tail.forget();
                if let Some(seen) = sight.shards.iter_mut().find(|seen| seen.head.shard == shard) {
                    seen.owner.clone_from(&to);
                }
                gone.push((head, to));
            }
        }
        // Nobody is answered here for what is handed over before it is.
        self.publish();
        self.tell_ownership(Some(&sight));
        for (head, to) in gone {
            tracing::info!(shard = head.shard, to, "shard handed over");
            // Until it is answered it may arrive at any time: then we must not take the shard up
            // again in the epoch that it names.
            let before = std::mem::replace(&mut self.uncertain, true);
            shared.give(&head, &to, length).await?;
            self.uncertain = before;
        }
        Ok(())
    }

    /// A shard is ours from here on; others may have written to it since we last knew its orders.
    fn take_up(&mut self, head: Head) {
        self.versions.clear();
        self.tenures.insert(head.shard, head.epoch);
        self.known.insert(head.shard, head.clone());
        self.heads.insert(head.shard, head);
    }

    /// Sees who has what, lets go of what is lost and takes up what was handed over.
    async fn sight(&mut self) -> Result<Sight, JournalError> {
        let store = Arc::clone(&self.store);
        let shared = store.shared().ok_or(JournalError::Superseded)?;
        let sight = timeout(self.lease.length() / 2, shared.look(self.lease.grace()))
            .await
            .map_err(|_| JournalError::Unavailable("no answer".to_owned()))??;
        let me = store.owner();
        let mut set_back = false;
        for seen in &sight.shards {
            let shard = seen.head.shard;
            let held = self.heads.get(&shard).map(|head| head.epoch);
            let lost = seen.owner != me || held.is_some_and(|epoch| epoch != seen.head.epoch);
            #[cfg(feature = "planted-bugs")]
            let lost = lost && !shared_events::planted::is("append-without-epoch");
            if lost && self.heads.remove(&shard).is_some() {
                self.lease.let_go(shard);
                // What others write to it is not remembered here.
                self.tail.forget();
                tracing::warn!(shard, owner = seen.owner, "shard lost");
            }
            // All that we sent was answered, so it stands where we left it, or has another history.
            let stands = |head: &Head| {
                head.epoch != seen.head.epoch
                    || (head.position, head.hash) == (seen.head.position, seen.head.hash)
            };
            if !self.uncertain && self.heads.get(&shard).is_some_and(|head| !stands(head)) {
                self.heads.remove(&shard);
                self.lease.let_go(shard);
                set_back = true;
            }
            // Not in doubt: what we sent before is answered, and nobody else may write.
            if seen.owner == me && !self.heads.contains_key(&shard) && !self.uncertain && !set_back
            {
                // An epoch that we have had before may have been of another history.
                if self.known.get(&shard).is_none_or(|known| known.epoch < seen.head.epoch) {
                    if self.lease.hold_given(shard) {
                        self.take_up(seen.head.clone());
                    }
                } else {
                    set_back = true;
                }
            }
            if !self.heads.contains_key(&shard) {
                self.lower(&seen.head);
            }
        }
        if set_back {
            // Taken up in a fresh epoch, which says what was lost.
            self.uncertain = true;
            self.next_look = Instant::now();
        }
        self.publish();
        self.tell_ownership(Some(&sight));
        Ok(sight)
    }

    fn tell_ownership(&self, sight: Option<&Sight>) {
        let tenures = self.heads.keys().filter_map(|shard| self.tenures.get_key_value(shard));
        let tenures: BTreeMap<u16, u64> = tenures.map(|(shard, epoch)| (*shard, *epoch)).collect();
        // Whoever is alone keeps everything until the writer ends.
        let lease = self.node.as_ref().map(|_| &self.lease);
        self.ownership.send_if_modified(|known| {
            let mut next = known.clone();
            next.set_ours(&self.holds, tenures, lease);
            if let Some(sight) = sight {
                next.saw(sight);
            }
            let news = next.differs(known);
            *known = next;
            news
        });
        self.scope.send_if_modified(|known| {
            // What all writers of this process have together, seen by whoever tells last.
            let ours = if self.node.is_some() {
                Scope::Only(self.ownership.borrow().shards())
            } else {
                Scope::All
            };
            let news = *known != ours;
            *known = ours;
            news
        });
    }

    /// Asks for the versions of orders that should exist and that we do not know; those that
    /// should not exist are told by the primary key.
    async fn learn_versions(&mut self, requests: &[Request]) -> Result<(), Trouble> {
        let unknown: Vec<OrderId> = requests
            .iter()
            .filter(|request| request.expected > 0 && !self.versions.contains(&request.order_id))
            .map(|request| request.order_id)
            .collect();
        if unknown.is_empty() { Ok(()) } else { self.ask_versions(&unknown).await }
    }

    async fn find_conflicts(&mut self, requests: &[Request]) -> Result<(), Trouble> {
        let orders: Vec<OrderId> = requests.iter().map(|request| request.order_id).collect();
        self.ask_versions(&orders).await
    }

    async fn ask_versions(&mut self, orders: &[OrderId]) -> Result<(), Trouble> {
        let found = timeout(self.lease.length(), self.store.versions(orders))
            .await
            .map_err(|_| JournalError::Unavailable("no answer".to_owned()))
            .and_then(|found| found)
            .map_err(Trouble::of)?;
        for order_id in orders {
            self.versions.put(*order_id, found.get(order_id).copied().unwrap_or(0));
        }
        Ok(())
    }

    /// Gives every event its sequence, position and hash. A request whose order is not at the
    /// expected version gets its conflict; several of one order may follow each other.
    fn seal(&mut self, requests: &[Request]) -> Sealed {
        // Time never runs backwards along the journal, whatever the clock does.
        self.recorded_at = self.recorded_at.max((self.now)());
        let recorded_at = self.recorded_at;
        let mut heads: HashMap<u16, Head> = HashMap::new();
        let mut versions: HashMap<OrderId, u64> = HashMap::new();
        let mut events = Vec::with_capacity(requests.iter().map(|r| r.events.len()).sum());
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            let order_id = request.order_id;
            let known = versions.get(&order_id).or_else(|| self.versions.peek(&order_id)).copied();
            if known.is_some_and(|version| version != request.expected) {
                answers.push(Err(JournalError::Conflict {
                    order_id,
                    expected: request.expected,
                    actual: known,
                }));
                continue;
            }
            let shard = shard_of(order_id, self.shards);
            // An order that was decided on in an earlier tenure may lack what others did in between.
            let outdated =
                request.tenure.is_some_and(|tenure| self.tenures.get(&shard) != Some(&tenure));
            let Some(current) = self.heads.get(&shard).filter(|_| !outdated) else {
                answers.push(Err(JournalError::NotOwner { shard }));
                continue;
            };
            let head = heads.entry(shard).or_insert_with(|| current.clone());
            let mut version = request.expected;
            for new in &request.events {
                version += 1;
                head.position += 1;
                let event = StoredEvent {
                    order_id,
                    sequence: version,
                    shard,
                    position: head.position,
                    recorded_at,
                    event_type: new.event_type.clone(),
                    event_version: new.event_version.clone(),
                    payload: new.payload.clone(),
                    metadata: new.metadata.clone(),
                };
                head.hash = chain_hash(&head.hash, &event);
                events.push(ChainedEvent { hash: head.hash, event });
            }
            versions.insert(order_id, version);
            answers.push(Ok(Appended { version, shard, position: head.position, recorded_at }));
        }
        let mut fences: Vec<Fence> = heads
            .into_iter()
            .filter_map(|(shard, after)| {
                let before = self.heads.get(&shard)?.clone();
                Some(Fence { before, after })
            })
            .collect();
        fences.sort_by_key(|fence| fence.after.shard);
        Sealed { batch: Batch { fences, events }, answers, versions }
    }

    fn committed(&mut self, sealed: Sealed) -> Vec<Result<Appended, JournalError>> {
        // Before anybody is told that it is there.
        self.tail.add(sealed.batch.events, &sealed.batch.fences);
        for fence in sealed.batch.fences {
            if let Some(head) = self.heads.get_mut(&fence.after.shard) {
                // The epoch may be a fresh one by now.
                head.position = fence.after.position;
                head.hash = fence.after.hash;
                self.known.insert(head.shard, head.clone());
            }
        }
        for (order_id, version) in sealed.versions {
            self.versions.put(order_id, version);
        }
        self.publish();
        self.store.announce();
        sealed.answers
    }

    fn publish(&self) {
        self.committed.send_modify(|cursors| {
            for head in self.heads.values() {
                if head.position > 0 {
                    cursors.advance_to(head.shard, head.position, Some(Mark::of(&head.hash)));
                }
            }
        });
    }
}

fn answer_all(requests: Vec<Request>, error: &JournalError) {
    for request in requests {
        request.answer(Err(error.clone()));
    }
}

/// As many of the waiting requests as one batch takes, first come first served; at least one.
fn take_batch(waiting: &mut VecDeque<Request>) -> Vec<Request> {
    let (mut batch, mut events, mut bytes) = (Vec::new(), 0, 0);
    while events < BATCH_EVENTS_MAX && bytes < BATCH_BYTES_MAX {
        let Some(request) = waiting.pop_front() else { break };
        events += request.events.len();
        bytes += request.bytes();
        batch.push(request);
    }
    batch
}
