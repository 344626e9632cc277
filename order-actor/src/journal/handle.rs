use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use shared_events::contract::OrderId;
use shared_events::stream::{Cursors, Scope};
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::audit::{Audit, Chain, Damage, DamageKind};
use super::error::JournalError;
use super::event::{Appended, ChainedEvent, NewEvent, Quarantined, StoredEvent};
use super::memory::{MemoryDisk, MemoryStore};
use super::options::{Node, Options};
use super::ownership::{Ownership, ShardState};
use super::postgres::PostgresStore;
use super::shard::{contiguous, take_over};
use super::sqlite::SqliteStore;
use super::store::{Head, News, Range, SharedStore, Sight, Store};
use super::tail::Tail;
use super::writer::{
    EVENT_BYTES_MAX, EVENTS_PER_ORDER_MAX, REQUESTS_WAITING_MAX, Request, Wires, Writer,
};

/// How often a waiting reader looks by itself, behind every wake-up.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// Events read at once when everything is verified.
const VERIFY_PAGE: u64 = 1_000;
/// Events beyond the heads that an audit names; one is enough to know.
const BEYOND_MAX: u32 = 100;

/// A handle on the journal; clones are cheap and share one writer. When the last one is dropped
/// the writer finishes what it accepted, gives its lease up and stops.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    shards: u16,
    requests: Option<mpsc::Sender<Request>>,
    committed: watch::Sender<Cursors>,
    tail: Arc<Tail>,
    ownership: watch::Sender<Ownership>,
    scope: watch::Sender<Scope>,
    nudged: Arc<Notify>,
    leaving: CancellationToken,
    left: CancellationToken,
    lost: CancellationToken,
    closing: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
    options: Options,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// Opens a journal in a schema of a Postgres database; both the schema and the tables are created
/// if absent. Waits until another writer is gone.
///
/// # Errors
/// [`JournalError::Unavailable`] where the server cannot be reached, the schema cannot be used, or
/// another writer stays.
pub async fn open_postgres(
    url: &str,
    schema: &str,
    options: Options,
) -> Result<Journal, JournalError> {
    open(Arc::new(PostgresStore::open(url, schema, &options).await?), options).await
}

/// Brings the tables of a journal in a schema of a Postgres database up to date, beside whoever uses
/// them.
///
/// # Errors
/// As [`open_postgres`].
pub async fn migrate_postgres(url: &str, schema: &str) -> Result<(), JournalError> {
    let options = Options::new(Arc::new(shared_events::contract::Timestamp::default));
    PostgresStore::open(url, schema, &options).await.map(drop)
}

/// Opens a journal in an SQLite file, created if absent. The file is locked for as long as the
/// journal is open for writing.
///
/// # Errors
/// [`JournalError::Unavailable`] where the file cannot be opened or another process writes to it.
pub async fn open_sqlite(path: &Path, options: Options) -> Result<Journal, JournalError> {
    open(Arc::new(SqliteStore::open(path, &options).await?), options).await
}

/// Opens a journal that is forgotten with its last handle.
///
/// # Errors
/// None that is known.
pub async fn open_memory(options: Options) -> Result<Journal, JournalError> {
    open_memory_on(&MemoryDisk::default(), options).await
}

/// Opens a journal on a disk that outlives it; waits until another writer's lease has run out.
///
/// # Errors
/// [`JournalError::Unavailable`] where another writer stays.
pub async fn open_memory_on(disk: &MemoryDisk, options: Options) -> Result<Journal, JournalError> {
    open(Arc::new(MemoryStore::new(disk)), options).await
}

async fn open(store: Arc<dyn Store>, options: Options) -> Result<Journal, JournalError> {
    let since = Instant::now();
    let shared = store.shared().filter(|_| !options.read_only);
    let all = if options.read_only {
        contiguous(store.heads().await?)?
    } else if !(1..=1024).contains(&options.shards) {
        return Err(JournalError::Invalid("a journal has 1 to 1024 shards".to_owned()));
    } else if let (Some(node), Some(shared)) = (&options.node, shared) {
        shared.join(node, options.shards, options.lease).await?;
        contiguous(store.heads().await?)?
    } else {
        take_over(&*store, &options).await?
    };
    let among_others = options.node.is_some() && shared.is_some();
    let options = if among_others { options } else { Options { node: None, ..options } };
    let shards = u16::try_from(all.len()).unwrap_or(u16::MAX);
    let (committed, _) = watch::channel(cursors_of(&all));
    let tail = Arc::new(Tail::default());
    let (ownership, _) = watch::channel(Ownership::default());
    let (scope, _) = watch::channel(Scope::nothing());
    let nudged = Arc::new(Notify::new());
    let (lost, closing) = (CancellationToken::new(), CancellationToken::new());
    let (leaving, left) = (CancellationToken::new(), CancellationToken::new());
    let (mut requests, mut writer) = (None, None);
    if options.read_only || among_others {
        let ear = Ear { committed: committed.clone(), nudged: Arc::clone(&nudged) };
        tokio::spawn(ear.hear(Arc::clone(&store), closing.clone()));
    }
    if !options.read_only {
        let (sender, receiver) = mpsc::channel(REQUESTS_WAITING_MAX);
        requests = Some(sender);
        // Waiting for another writer took its time; the lease began at the claim that succeeded.
        let since = since.max(Instant::now() - options.renew);
        let wires = Wires {
            committed: committed.clone(),
            tail: Arc::clone(&tail),
            ownership: ownership.clone(),
            scope: scope.clone(),
            nudged: Arc::clone(&nudged),
            leaving: leaving.clone(),
            left: left.clone(),
            lost: lost.clone(),
        };
        let ours = if among_others { Vec::new() } else { all };
        let mut task = Writer::new(Arc::clone(&store), shards, ours, &options, since, wires);
        task.begin().await?;
        writer = Some(tokio::spawn(task.run(receiver, closing.clone())));
    }
    let writer = Mutex::new(writer);
    let shared = Shared {
        store,
        shards,
        requests,
        committed,
        tail,
        ownership,
        scope,
        nudged,
        leaving,
        left,
        lost,
        closing,
        writer,
        options,
    };
    Ok(Journal { shared: Arc::new(shared) })
}

/// Turns what other processes announce into what readers and the writer here wait for.
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
fn learn(committed: &watch::Sender<Cursors>, heads: &Cursors) {
    committed.send_if_modified(|known| {
        let news = !known.covers(heads);
        known.merge(heads);
        news
    });
}

fn cursors_of(heads: &[Head]) -> Cursors {
    heads.iter().filter(|head| head.position > 0).map(|head| (head.shard, head.position)).collect()
}

/// The first eight bytes of BLAKE3 over the id's 16 bytes, little-endian, modulo the number of
/// shards. It never changes: events are where it once put them.
pub(super) fn shard_of(order_id: OrderId, shards: u16) -> u16 {
    let hash = blake3::hash(order_id.uuid().as_bytes());
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    u16::try_from(u64::from_le_bytes(first) % u64::from(shards.max(1))).unwrap_or(0)
}

impl Journal {
    /// Appends events to an order that is at `expected_version` (0: it does not exist), all or
    /// none. When this returns `Ok` they are on disk.
    ///
    /// # Errors
    /// [`JournalError`]; only [`JournalError::OutcomeUnknown`] leaves open whether they were
    /// appended.
    pub async fn append(
        &self,
        order_id: OrderId,
        expected_version: u64,
        events: Vec<NewEvent>,
    ) -> Result<Appended, JournalError> {
        self.append_in(None, order_id, expected_version, events).await
    }

    /// As [`Self::append`], by somebody who knows the order since the shard became ours in this
    /// epoch (see [`Self::tenure`]). Where others may have written to it since, nothing is appended.
    ///
    /// # Errors
    /// As [`Self::append`]; [`JournalError::NotOwner`] where the tenure is over.
    pub async fn append_in(
        &self,
        tenure: Option<u64>,
        order_id: OrderId,
        expected_version: u64,
        events: Vec<NewEvent>,
    ) -> Result<Appended, JournalError> {
        admit(order_id, expected_version, &events)?;
        let requests = self.shared.requests.as_ref().ok_or(JournalError::Closed)?;
        #[cfg(feature = "planted-bugs")]
        if shared_events::planted::is("answer-before-append") {
            let version = expected_version + events.len() as u64;
            let (shard, journal) = (self.shard_of(order_id), self.clone());
            let (reply, answer) = oneshot::channel();
            let request = Request { order_id, expected: expected_version, tenure, events, reply };
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if let Some(requests) = &journal.shared.requests {
                    drop(requests.send(request).await);
                    drop(answer.await);
                }
            });
            let recorded_at = (self.shared.options.now)();
            return Ok(Appended { version, shard, position: 0, recorded_at });
        }
        let (reply, answer) = oneshot::channel();
        let request = Request { order_id, expected: expected_version, tenure, events, reply };
        if requests.send(request).await.is_err() {
            return Err(self.gone());
        }
        // Dropped unanswered: only where the writer itself died, whatever it had begun.
        answer.await.unwrap_or_else(|_| {
            Err(JournalError::OutcomeUnknown("the writer ended without an answer".to_owned()))
        })
    }

    fn gone(&self) -> JournalError {
        if self.shared.lost.is_cancelled() {
            JournalError::Superseded
        } else {
            JournalError::Closed
        }
    }

    /// The whole history of an order, from version 1; empty where it does not exist.
    ///
    /// # Errors
    /// [`JournalError::Broken`] where a version is missing, [`JournalError::Unavailable`].
    pub async fn load(&self, order_id: OrderId) -> Result<Vec<StoredEvent>, JournalError> {
        let events = self.shared.store.load(order_id).await?;
        let shard = self.shard_of(order_id);
        for (before, event) in (0..).zip(&events) {
            if event.sequence != before + 1 || event.shard != shard {
                return Err(JournalError::Broken {
                    shard,
                    position: 0,
                    detail: format!(
                        "order/{order_id}@{before} is followed by version {} in shard {}",
                        event.sequence, event.shard
                    ),
                });
            }
        }
        Ok(events)
    }

    /// At most `limit` events after these cursors, by shard and position. Shards that have more
    /// share the page, so that a busy one cannot keep the others waiting.
    ///
    /// # Errors
    /// [`JournalError::Broken`] where a position is missing or a cursor is ahead of the journal,
    /// [`JournalError::Unavailable`].
    pub async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, JournalError> {
        let unknown = cursors.iter().find(|(shard, _)| *shard >= self.shared.shards);
        if let Some((shard, position)) = unknown {
            let detail = "there is no such shard".to_owned();
            return Err(JournalError::Broken { shard, position, detail });
        }
        let heads = match self.own_heads(cursors) {
            Some(heads) => heads,
            None => {
                let heads = cursors_of(&self.shared.store.heads().await?);
                learn(&self.shared.committed, &heads);
                heads
            }
        };
        let mut ranges = Vec::new();
        for shard in (0..self.shared.shards).filter(|shard| cursors.reads(*shard)) {
            ranges.push(range_after(shard, heads.get(shard), cursors.get(shard))?);
        }
        let ranges = share(ranges, limit);
        let remembered = ranges.iter().map(|range| self.shared.tail.read(*range));
        let events = match remembered.collect::<Option<Vec<_>>>() {
            Some(events) => events.into_iter().flatten().collect(),
            None => self.read(ranges).await?,
        };
        Ok(events.into_iter().map(|chained| chained.event).collect())
    }

    /// Where the shards end that are read, if all of them are ours: nobody else can have added to
    /// them, so what we committed last is their end.
    fn own_heads(&self, cursors: &Cursors) -> Option<Cursors> {
        if self.shared.lost.is_cancelled() {
            return None;
        }
        let ownership = self.shared.ownership.borrow();
        let ours = |shard: u16| ownership.tenure(shard).is_some();
        let all = (0..self.shared.shards).all(|shard| !cursors.reads(shard) || ours(shard));
        all.then(|| self.shared.committed.borrow().clone())
    }

    /// At most `limit` events of one shard after a position, with their hashes.
    ///
    /// # Errors
    /// As [`Self::read_after`].
    pub async fn read_shard(
        &self,
        shard: u16,
        after: u64,
        limit: usize,
    ) -> Result<Vec<ChainedEvent>, JournalError> {
        let heads = self.shared.store.heads().await?;
        let Some(head) = heads.get(usize::from(shard)) else {
            let detail = "there is no such shard".to_owned();
            return Err(JournalError::Broken { shard, position: after, detail });
        };
        self.read(share(vec![range_after(shard, head.position, after)?], limit)).await
    }

    /// Reads ranges that lie before the heads: every position must be there.
    async fn read(&self, ranges: Vec<Range>) -> Result<Vec<ChainedEvent>, JournalError> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let events = self.shared.store.read(&ranges).await?;
        let mut found = events.iter().map(|chained| (chained.event.shard, chained.event.position));
        for range in ranges {
            for position in range.after + 1..=range.through {
                let next = found.next();
                if next != Some((range.shard, position)) {
                    return Err(JournalError::Broken {
                        shard: range.shard,
                        position: position - 1,
                        detail: match next {
                            Some((shard, other)) => {
                                format!("position {other} of shard {shard} comes next")
                            }
                            None => "the next position is missing".to_owned(),
                        },
                    });
                }
            }
        }
        Ok(events)
    }

    /// The last position of each shard, from the database: what is committed.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`]
    pub async fn heads(&self) -> Result<Cursors, JournalError> {
        Ok(cursors_of(&self.shared.store.heads().await?))
    }

    /// Returns once there is something after these cursors; may return early for nothing where the
    /// database does not answer. At once for what this process appends; by the database's own
    /// notification for other processes, where it has one; by a look every 500 ms behind both.
    pub async fn changed(&self, cursors: &Cursors) {
        let mut committed = self.shared.committed.subscribe();
        loop {
            if !cursors.covers(&committed.borrow_and_update()) {
                return;
            }
            if !matches!(timeout(POLL_EVERY, committed.changed()).await, Ok(Ok(()))) {
                let Ok(heads) = self.shared.store.heads().await else { return };
                learn(&self.shared.committed, &cursors_of(&heads));
            }
        }
    }

    /// The shard of an order. Stable: BLAKE3 of its id modulo the number of shards, which is fixed
    /// when the journal is created.
    #[must_use]
    pub fn shard_of(&self, order_id: OrderId) -> u16 {
        shard_of(order_id, self.shared.shards)
    }

    /// The number of shards.
    pub fn shards(&self) -> u16 {
        self.shared.shards
    }

    /// The shards that are ours, as the scope of those who follow them; changes with them.
    #[must_use]
    pub fn scope(&self) -> watch::Receiver<Scope> {
        self.shared.scope.subscribe()
    }

    /// Which shards are ours, and where the others are; follows every change.
    #[must_use]
    pub fn ownership(&self) -> watch::Receiver<Ownership> {
        self.shared.ownership.subscribe()
    }

    /// The epoch in which a shard became ours; none where it is not.
    #[must_use]
    pub fn tenure(&self, shard: u16) -> Option<u64> {
        self.shared.ownership.borrow().tenure(shard)
    }

    /// Returns once it is settled who answers for a shard: it is ours, it is another node's, or it
    /// is frozen; after `until` in any case. `ours` says that somebody who should know believes it
    /// to be ours: then another node does not count before then.
    pub async fn settled(&self, shard: u16, ours: bool, until: Instant) {
        let settled = |now: &Ownership| {
            now.tenure(shard).is_some()
                || now.frozen(shard).is_some()
                || (!ours && now.elsewhere(shard).is_some())
        };
        // Nearly always: every command comes by here.
        if settled(&self.shared.ownership.borrow()) {
            return;
        }
        let mut ownership = self.shared.ownership.subscribe();
        self.shared.nudged.notify_one();
        // The sender lives as long as we do; who waited long enough finds out anyway.
        let _ = tokio::time::timeout_at(until, ownership.wait_for(settled)).await;
    }

    /// Hands every shard to the nodes that stay and takes none any more; those that nobody can take
    /// are kept. Nothing to do where this process has the journal to itself.
    pub async fn hand_over(&self) {
        if self.shared.options.node.is_none() {
            return;
        }
        self.shared.leaving.cancel();
        tokio::select! {
            () = self.shared.left.cancelled() => {}
            () = self.shared.lost.cancelled() => {}
            () = tokio::time::sleep(self.shared.options.lease) => {}
        }
    }

    /// Closes a shard to everybody, or opens it again; false where there is no such shard.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where the store has one writer only, [`JournalError::Unavailable`].
    pub async fn freeze(&self, shard: u16, reason: Option<&str>) -> Result<bool, JournalError> {
        self.among_others()?.freeze(shard, reason).await
    }

    /// Says which node, by name, is to have a shard, or that any may; false where there is no such
    /// shard.
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub async fn pin(&self, shard: u16, node: Option<&str>) -> Result<bool, JournalError> {
        self.among_others()?.pin(shard, node).await
    }

    /// Who has which shard.
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub async fn shard_states(&self) -> Result<Vec<ShardState>, JournalError> {
        Ok(ShardState::of(self.sight().await?))
    }

    /// The nodes that live.
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub async fn nodes(&self) -> Result<Vec<Node>, JournalError> {
        let nodes = self.sight().await?.nodes.into_iter();
        Ok(nodes.map(|seen| Node { name: seen.name, address: seen.address }).collect())
    }

    async fn sight(&self) -> Result<Sight, JournalError> {
        let options = &self.shared.options;
        self.among_others()?.look(options.lease.saturating_sub(options.self_stop)).await
    }

    fn among_others(&self) -> Result<&dyn SharedStore, JournalError> {
        self.shared.store.shared().ok_or_else(|| {
            JournalError::Invalid("this journal has one writer: its shards stay".to_owned())
        })
    }

    /// Remembers, for operators, that an order's history is impossible and why. Said again, the
    /// reason is replaced and the time of the first finding stays.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`], [`JournalError::Closed`] where the journal is read-only.
    pub async fn quarantine(&self, order_id: OrderId, reason: &str) -> Result<(), JournalError> {
        if self.shared.options.read_only {
            return Err(JournalError::Closed);
        }
        self.shared.store.quarantine(order_id, reason, (self.shared.options.now)()).await
    }

    /// Every quarantined order.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`]
    pub async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError> {
        self.shared.store.quarantined().await
    }

    /// Reads everything up to the heads, follows the hash chain and hands every event to `each`.
    /// Goes on behind what it finds wrong, so that one damage does not hide the next.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`]; damage is no error here.
    pub async fn audit(
        &self,
        mut each: impl FnMut(&StoredEvent) + Send,
    ) -> Result<Audit, JournalError> {
        let heads = self.shared.store.heads().await?;
        let mut audit = Audit { heads: cursors_of(&heads), events: 0, damages: Vec::new() };
        for head in heads {
            let mut chain = Chain::new(head.shard);
            let mut after = 0;
            while after < head.position {
                let through = head.position.min(after + VERIFY_PAGE);
                let range = Range { shard: head.shard, after, through };
                let events = match self.shared.store.read(&[range]).await {
                    Ok(events) => events,
                    Err(JournalError::Broken { .. }) => {
                        audit.damages.extend(chain.unreadable(after + 1));
                        after = through;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                for chained in &events {
                    audit.damages.extend(chain.next(chained));
                    audit.events += 1;
                    each(&chained.event);
                }
                after = through;
                if events.is_empty() {
                    // A head that somebody moved may lie far away: straight on to what is there.
                    let next = self.shared.store.next_after(head.shard, through).await?;
                    after = next.map_or(head.position, |next| next - 1).clamp(after, head.position);
                }
            }
            audit.damages.extend(chain.reached(head.position));
            audit.damages.extend(chain.ended(&head.hash));
        }
        for (shard, position, order_id) in self.shared.store.beyond_heads(BEYOND_MAX).await? {
            audit.damages.push(Damage {
                shard: u16::try_from(shard).unwrap_or(u16::MAX),
                position,
                order_id: order_id.parse().ok(),
                kind: DamageKind::Beyond,
            });
        }
        Ok(audit)
    }

    /// Reads everything up to the heads and follows the hash chain: the number of events.
    ///
    /// # Errors
    /// [`JournalError::Broken`] at the first event that was changed, moved, inserted or removed.
    pub async fn verify(&self) -> Result<u64, JournalError> {
        let audit = self.audit(|_| ()).await?;
        match audit.damages.into_iter().next() {
            None => Ok(audit.events),
            Some(damage) => Err(JournalError::Broken {
                shard: damage.shard,
                position: damage.position.saturating_sub(1),
                detail: damage.to_string(),
            }),
        }
    }

    /// Completes when this writer has been superseded or its lease ran out. It appends nothing
    /// more; the process should end.
    pub fn stopped(&self) -> WaitForCancellationFutureOwned {
        self.shared.lost.clone().cancelled_owned()
    }

    /// Finishes what was accepted, gives the lease up and closes every connection. Appends that
    /// come later get [`JournalError::Closed`].
    pub async fn close(&self) {
        self.shared.closing.cancel();
        let writer = self.shared.writer.lock().await.take();
        if let Some(writer) = writer
            && writer.await.is_err()
        {
            tracing::error!("the journal's writer had died");
        }
        self.shared.store.close().await;
    }
}

fn admit(order_id: OrderId, expected: u64, events: &[NewEvent]) -> Result<(), JournalError> {
    if events.is_empty() {
        return Err(JournalError::Invalid("nothing to append".to_owned()));
    }
    let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
    if expected.saturating_add(count) > EVENTS_PER_ORDER_MAX {
        return Err(JournalError::TooManyEvents { order_id, max: EVENTS_PER_ORDER_MAX });
    }
    for event in events {
        let bytes = event.payload.len() + event.metadata.len();
        if bytes > EVENT_BYTES_MAX {
            return Err(JournalError::TooLarge { bytes, max: EVENT_BYTES_MAX });
        }
        // A database refuses text that is not JSON; nobody else in the batch should pay for it.
        for (name, json) in [("payload", &event.payload), ("metadata", &event.metadata)] {
            if serde_json::from_str::<IgnoredAny>(json).is_err() {
                return Err(JournalError::Invalid(format!("its {name} is not JSON")));
            }
        }
        for name in [&event.event_type, &event.event_version] {
            if name.is_empty() || name.len() > 255 || name.contains('\0') {
                return Err(JournalError::Invalid(
                    "type and version are 1 to 255 bytes".to_owned(),
                ));
            }
        }
    }
    Ok(())
}

fn range_after(shard: u16, head: u64, after: u64) -> Result<Range, JournalError> {
    if after > head {
        return Err(JournalError::Broken {
            shard,
            position: head,
            detail: format!("a reader is at {after} already; has the journal been restored?"),
        });
    }
    Ok(Range { shard, after, through: head })
}

/// Cuts ranges so that all together are at most `limit` long: the shortest get all they want, the
/// others equal parts of the rest.
fn share(mut ranges: Vec<Range>, limit: usize) -> Vec<Range> {
    let mut left = u64::try_from(limit).unwrap_or(u64::MAX);
    ranges.retain(|range| range.through > range.after);
    ranges.sort_by_key(|range| range.through - range.after);
    let mut sharers = u64::try_from(ranges.len()).unwrap_or(u64::MAX);
    for range in &mut ranges {
        let part = (range.through - range.after).min(left.div_ceil(sharers.max(1)));
        range.through = range.after + part;
        left -= part;
        sharers -= 1;
    }
    ranges.retain(|range| range.through > range.after);
    ranges.sort_by_key(|range| range.shard);
    ranges
}
