//! One task that collects what many actors append, over all shards, and commits it as one batch;
//! while it is in flight the next one fills. Positions and the hash chain are assigned here.
//! Never here: SQL.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::Cursors;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::chain::chain_hash;
use super::error::JournalError;
use super::event::{Appended, ChainedEvent, NewEvent, StoredEvent};
use super::handle::shard_of;
use super::options::Options;
use super::shard::{Lease, contiguous};
use super::store::{Batch, Claim, Claimed, CommitError, Fence, Head, Store};

/// Events of one order; LIFECYCLE's orders have tens.
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

pub(super) struct Request {
    pub(super) order_id: OrderId,
    pub(super) expected: u64,
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
    heads: Vec<Head>,
    versions: LruCache<OrderId, u64>,
    lease: Lease,
    /// Whether something sent earlier may still arrive at the database.
    uncertain: bool,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    recorded_at: Timestamp,
    committed: watch::Sender<Cursors>,
    lost: CancellationToken,
}

/// A batch and what to answer where it is committed.
struct Sealed {
    batch: Batch,
    answers: Vec<Result<Appended, JournalError>>,
    versions: HashMap<OrderId, u64>,
}

impl Writer {
    pub(super) fn new(
        store: Arc<dyn Store>,
        heads: Vec<Head>,
        options: &Options,
        since: Instant,
        committed: watch::Sender<Cursors>,
        lost: CancellationToken,
    ) -> Self {
        Self {
            store,
            heads,
            versions: LruCache::new(VERSIONS_KNOWN_MAX),
            lease: Lease::new(options, since),
            uncertain: false,
            now: Arc::clone(&options.now),
            recorded_at: Timestamp::MIN,
            committed,
            lost,
        }
    }

    /// Writes until it is closed or superseded. Every request gets an answer.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        closing: CancellationToken,
    ) {
        let mut waiting = VecDeque::new();
        let end = self.serve(&mut requests, &mut waiting, &closing).await;
        requests.close();
        match end {
            Ok(()) => self.store.release().await,
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
        loop {
            if waiting.is_empty() {
                let mut received = Vec::new();
                tokio::select! {
                    biased;
                    () = closing.cancelled(), if !requests.is_closed() => {
                        requests.close();
                        continue;
                    }
                    () = sleep_until(self.lease.due()) => self.keep().await?,
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

    async fn keep(&mut self) -> Result<(), JournalError> {
        if self.uncertain {
            // A lost connection is replaced by a fresh epoch, which is a renewal too.
            return match self.recover().await {
                Err(JournalError::Superseded) => Err(JournalError::Superseded),
                Ok(()) => Ok(()),
                Err(_) => self.lease.keep(&*self.store).await,
            };
        }
        self.lease.keep(&*self.store).await
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
                    self.versions.clear();
                    match self.recover().await {
                        Err(JournalError::Superseded) => {
                            // Theirs now, but ours may be among it.
                            return Err(Trouble::Lost(JournalError::OutcomeUnknown(detail)));
                        }
                        Err(_) => {
                            return Err(Trouble::Failed(JournalError::OutcomeUnknown(detail)));
                        }
                        // Nothing sent before can arrive any more, so the heads tell.
                        Ok(()) if self.stands_after(&sealed.batch) => {
                            return Ok(self.committed(sealed));
                        }
                        Ok(()) => {}
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
    /// Takes our own shards again, in a fresh epoch, and reads where they stand.
    async fn recover(&mut self) -> Result<(), JournalError> {
        let since = Instant::now();
        let shards = u16::try_from(self.heads.len()).unwrap_or(u16::MAX);
        let length = self.lease.length();
        let claimed = timeout(length / 2, self.store.claim(Claim::Own, shards, length))
            .await
            .map_err(|_| JournalError::Unavailable("no answer".to_owned()))??;
        match claimed {
            Claimed::Taken(heads) => {
                self.heads = contiguous(heads)?;
                self.lease.extended(since);
                self.uncertain = false;
                self.publish();
                Ok(())
            }
            Claimed::Held(_) => Err(JournalError::Superseded),
        }
    }

    fn stands_after(&self, batch: &Batch) -> bool {
        batch.fences.iter().all(|fence| {
            self.heads.get(usize::from(fence.after.shard)).is_some_and(|head| {
                head.position == fence.after.position && head.hash == fence.after.hash
            })
        })
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
        let shards = u16::try_from(self.heads.len()).unwrap_or(u16::MAX);
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
            let shard = shard_of(order_id, shards);
            let Some(current) = self.heads.get(usize::from(shard)) else {
                answers.push(Err(JournalError::Unavailable(format!("no shard {shard}"))));
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
                let before = self.heads.get(usize::from(shard))?.clone();
                Some(Fence { before, after })
            })
            .collect();
        fences.sort_by_key(|fence| fence.after.shard);
        Sealed { batch: Batch { fences, events, recorded_at }, answers, versions }
    }

    fn committed(&mut self, sealed: Sealed) -> Vec<Result<Appended, JournalError>> {
        for fence in sealed.batch.fences {
            if let Some(head) = self.heads.get_mut(usize::from(fence.after.shard)) {
                // The epoch may be a fresh one by now.
                head.position = fence.after.position;
                head.hash = fence.after.hash;
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
            for head in &self.heads {
                if head.position > 0 {
                    cursors.advance(head.shard, head.position);
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
