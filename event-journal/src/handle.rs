use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, select_ok, try_join_all};
use serde::de::IgnoredAny;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::{Cursors, OperatorAction, Place, Scope};
use tokio::sync::{Notify, OnceCell, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::audit::{ArchiveDamage, Audit, End};
use super::charter::{self, Opened};
use super::chronicle::{self, Chronicle};
use super::error::JournalError;
use super::event::{Appended, ChainedEvent, NewEvent, Quarantined, StoredEvent};
use super::fingerprints::Fingerprints;
use super::map::{ShardMap, ShardSet};
use super::memory::{MemoryDisk, MemoryStore};
use super::options::{Node, Options};
use super::ownership::{Ownership, ShardState};
use super::part::{Part, Taken, cursors_of, learn};
use super::pulse::Pulse;
use super::sqlite::SqliteStore;
use super::store::{ArchivedOrders, Loaded, Range, SharedStore, Sight};
use super::tail::Tail;
use super::veil::Veil;
use super::writer::{EVENT_BYTES_MAX, EVENTS_PER_ORDER_MAX, LostTail, Request, Wires};

/// How often a waiting reader looks by itself, behind every wake-up.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// A handle on the journal; clones are cheap and share one writer per database. When the last one
/// is dropped the writers finish what they accepted, give their leases up and stop.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    /// One per database.
    parts: Vec<Part>,
    shards: u16,
    committed: watch::Sender<Cursors>,
    tail: Arc<Tail>,
    lost_tails: watch::Sender<Vec<LostTail>>,
    ownership: watch::Sender<Ownership>,
    scope: watch::Sender<Scope>,
    leaving: CancellationToken,
    lost: CancellationToken,
    closing: CancellationToken,
    /// What the databases last said of the journal's history.
    told: watch::Sender<Option<Chronicle>>,
    /// Of each part, once it has been asked.
    ids_by_position: Vec<OnceCell<BTreeMap<u16, u64>>>,
    /// Of each part, once it has been asked.
    fingerprints: Vec<OnceCell<Fingerprints>>,
    options: Options,
    pulse: Pulse,
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
/// As [`open_spread`].
pub async fn open_postgres(
    url: &str,
    schema: &str,
    options: Options,
) -> Result<Journal, JournalError> {
    open_spread(&ShardMap::one(url), schema, options).await
}

/// Opens a journal whose shards are spread over Postgres databases, in a schema of each; the schema,
/// the tables and the journal itself are created if absent in all of them. Waits until another
/// writer is gone.
///
/// # Errors
/// [`JournalError::WrongDatabase`] where a database is not the one that holds these shards, before
/// anything is written; [`JournalError::Unavailable`] where a server cannot be reached, the schema
/// cannot be used, or another writer stays. For a node among others it is enough that one of
/// several databases of an existing journal answers; the others are looked at when they do.
pub async fn open_spread(
    map: &ShardMap,
    schema: &str,
    options: Options,
) -> Result<Journal, JournalError> {
    legal(schema)?;
    let mut taken = Vec::new();
    for Opened { store, holds, away } in charter::open(map, schema, &options).await? {
        taken.push(match away {
            Some(away) => Taken::nothing(store, holds, away),
            None => Taken::from(store, Some(holds), &options).await?,
        });
    }
    start(taken, options).await
}

/// Brings the tables of a journal in a schema of each of its Postgres databases up to date, beside
/// whoever uses them.
///
/// # Errors
/// As [`open_spread`].
pub async fn migrate_postgres(map: &ShardMap, schema: &str) -> Result<(), JournalError> {
    legal(schema)?;
    let options = Options::new(Arc::new(shared_events::contract::Timestamp::default));
    charter::migrate(map, schema, &options).await
}

pub(super) fn legal(schema: &str) -> Result<(), JournalError> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts_well = schema.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if !starts_well || schema.len() > 63 || !schema.bytes().all(legal) {
        return Err(JournalError::Invalid(
            "a schema name is 1 to 63 of a-z 0-9 _ and does not start with a digit".to_owned(),
        ));
    }
    Ok(())
}

/// Opens a journal in an SQLite file, created if absent. The file is locked for as long as the
/// journal is open for writing.
///
/// # Errors
/// [`JournalError::Unavailable`] where the file cannot be opened or another process writes to it.
pub async fn open_sqlite(path: &Path, options: Options) -> Result<Journal, JournalError> {
    let store = Arc::new(SqliteStore::open(path, &options).await?);
    start(vec![Taken::from(store, None, &options).await?], options).await
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
    let store = Arc::new(MemoryStore::new(disk));
    start(vec![Taken::from(store, None, &options).await?], options).await
}

/// Starts everything that belongs to what was taken.
async fn start(all: Vec<Taken>, options: Options) -> Result<Journal, JournalError> {
    let several = all.len() > 1;
    let among_others = all.iter().all(|taken| taken.is_shared(&options));
    let options = if among_others { options } else { Options { node: None, ..options } };
    let shards = all.iter().map(|taken| taken.holds.len()).sum::<usize>();
    let shards = u16::try_from(shards).unwrap_or(u16::MAX);
    let stand = all.iter().flat_map(|taken| cursors_of(&taken.heads).iter().collect::<Vec<_>>());
    let (committed, _) = watch::channel(stand.collect());
    let tail = Arc::new(Tail::default());
    let (lost_tails, _) = watch::channel(Vec::new());
    let (ownership, _) = watch::channel(Ownership::default());
    let (scope, _) = watch::channel(Scope::nothing());
    let (leaving, lost) = (CancellationToken::new(), CancellationToken::new());
    let closing = CancellationToken::new();
    // What was started before another part failed is stopped with it.
    let unfinished = closing.clone().drop_guard();
    let mut parts = Vec::new();
    for taken in all {
        let wires = Wires {
            committed: committed.clone(),
            tail: Arc::clone(&tail),
            lost_tails: lost_tails.clone(),
            ownership: ownership.clone(),
            scope: scope.clone(),
            nudged: Arc::new(Notify::new()),
            leaving: leaving.clone(),
            left: CancellationToken::new(),
            lost: lost.clone(),
            closing: closing.clone(),
        };
        parts.push(Part::start(taken, shards, several, &options, wires).await?);
    }
    unfinished.disarm();
    let (told, _) = watch::channel(None);
    let ids_by_position = parts.iter().map(|_| OnceCell::new()).collect();
    let fingerprints = parts.iter().map(|_| OnceCell::new()).collect();
    let shared = Shared {
        parts,
        shards,
        committed,
        tail,
        lost_tails,
        ownership,
        scope,
        leaving,
        lost,
        closing,
        told,
        ids_by_position,
        fingerprints,
        options,
        pulse: Pulse::default(),
    };
    let journal = Journal { shared: Arc::new(shared) };
    if !journal.shared.options.read_only {
        journal.watch_history().await;
    }
    Ok(journal)
}

fn no_such_shard(shard: u16) -> JournalError {
    JournalError::Broken { shard, position: 0, detail: "there is no such shard".to_owned() }
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
        if let Some(why) = self.doubt() {
            return Err(JournalError::Doubted(why));
        }
        admit(order_id, expected_version, &events)?;
        let part = self.part(self.shard_of(order_id))?;
        let requests = part.requests.as_ref().ok_or(JournalError::Closed)?;
        #[cfg(feature = "planted-bugs")]
        if shared_events::planted::is("answer-before-append") {
            let version = expected_version + events.len() as u64;
            let (shard, requests) = (self.shard_of(order_id), requests.clone());
            let (reply, answer) = oneshot::channel();
            let request = Request { order_id, expected: expected_version, tenure, events, reply };
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(requests.send(request).await);
                drop(answer.await);
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
        let outcome = answer.await.unwrap_or_else(|_| {
            Err(JournalError::OutcomeUnknown("the writer ended without an answer".to_owned()))
        });
        self.shared.pulse.heard(&outcome);
        outcome
    }

    pub(super) fn pulse(&self) -> &Pulse {
        &self.shared.pulse
    }

    /// Whether one of its databases takes writes; of several, those that do not keep nobody from the
    /// others.
    pub(super) async fn takes_writes(&self) -> Result<(), JournalError> {
        let tried = self.shared.parts.iter().map(|part| part.store.takes_writes());
        select_ok(tried).await.map(drop)
    }

    /// Why this node has no shard, where its lease is why.
    pub(super) fn lease_trouble(&self) -> Option<JournalError> {
        let in_doubt = self.shared.ownership.borrow().is_in_doubt();
        let text = "the lease of this node on its shards is not renewed";
        in_doubt.then(|| JournalError::Unavailable(text.to_owned()))
    }

    /// Looks again and again whether the journal is doubted, for as long as it is open. The first look
    /// is over when this returns: what others doubted is known before anything is appended. Where the
    /// database lost what was committed while we were at work, the journal goes on by itself.
    async fn watch_history(&self) {
        // One that is away is looked at when it is back.
        let _ = self.look_at_history().await;
        let (weak, closing) = (Arc::downgrade(&self.shared), self.shared.closing.clone());
        let mut lost = self.lost_tails();
        tokio::spawn(async move {
            let (mut said, mut to_say, mut failing) = (Vec::new(), None, false);
            while timeout(chronicle::LOOK_EVERY, closing.cancelled()).await.is_err() {
                let Some(shared) = weak.upgrade() else { return };
                let journal = Self { shared };
                if lost.has_changed().unwrap_or(false) {
                    let all = lost.borrow_and_update().clone();
                    to_say = Some((chronicle::lost(&chronicle::since(&said, &all)), all));
                }
                if let Some((reason, all)) = &to_say {
                    match journal.accept(reason, "engine:failover", None).await {
                        Ok(_) => {
                            said.clone_from(all);
                            (to_say, failing) = (None, false);
                        }
                        Err(error) if !failing => {
                            tracing::warn!(%error, reason, "not noted yet; it is tried again");
                            failing = true;
                        }
                        Err(_) => {}
                    }
                }
                let _ = journal.look_at_history().await;
            }
        });
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.shared.parts
    }

    pub(super) fn told(&self) -> &watch::Sender<Option<Chronicle>> {
        &self.shared.told
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.shared.tail
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.shared.options.now)()
    }

    /// Where the shards of these places end, in the databases that answer: it reads their shards.
    pub(super) async fn heads_of(&self, places: &[Place]) -> Result<Cursors, JournalError> {
        let shards = places.iter().map(|place| place.shard).collect();
        match self.standing(&Cursors::default().scoped(Scope::Only(shards))).await {
            // All of them are in databases that are away; of others something may be known.
            Err(JournalError::Unavailable(_)) if self.shared.parts.len() > 1 => {
                Ok(Cursors::default().scoped(Scope::nothing()))
            }
            heads => heads,
        }
    }

    /// Up to which position of each shard facts have ids that are made of their position. Of the
    /// databases that are away nothing is known, nor is anything read.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn ids_by_position(&self) -> Result<BTreeMap<u16, u64>, JournalError> {
        let mut all = BTreeMap::new();
        for (part, known) in self.shared.parts.iter().zip(&self.shared.ids_by_position) {
            if part.away().is_some() && !known.initialized() {
                continue;
            }
            all.extend(known.get_or_try_init(|| part.store.ids_by_position()).await?);
        }
        Ok(all)
    }

    /// What makes and compares fingerprints of requests to orders of this shard.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where its database has not been asked yet and does not answer.
    pub async fn fingerprints(&self, shard: u16) -> Result<&Fingerprints, JournalError> {
        let mut parts = self.shared.parts.iter().zip(&self.shared.fingerprints);
        let (part, known) = parts
            .find(|(part, _)| part.holds.contains(shard))
            .ok_or_else(|| no_such_shard(shard))?;
        known
            .get_or_try_init(|| async {
                part.store.fingerprint_keys().await.map(Fingerprints::new)
            })
            .await
    }

    /// What hides positions of this shard from customers.
    ///
    /// # Errors
    /// As [`Self::fingerprints`].
    pub async fn veil(&self, shard: u16) -> Result<&Veil, JournalError> {
        self.fingerprints(shard).await.map(Fingerprints::veil)
    }

    /// The database of a shard.
    fn part(&self, shard: u16) -> Result<&Part, JournalError> {
        let part = self.shared.parts.iter().find(|part| part.holds.contains(shard));
        part.ok_or_else(|| no_such_shard(shard))
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
    /// [`JournalError::Broken`] where a version is missing, [`JournalError::OrderArchived`] where it
    /// has left and no archive is at hand, [`JournalError::Unavailable`].
    pub async fn load(&self, order_id: OrderId) -> Result<Vec<StoredEvent>, JournalError> {
        let shard = self.shard_of(order_id);
        let part = self.part(shard)?;
        let Loaded { mut events, positions } = part.store.load(order_id).await?;
        let begun = events.first().is_some_and(|first| first.sequence == 1);
        if !begun && !positions.is_empty() {
            let left = part.cold.load(order_id, shard, &positions).await?;
            events.splice(..0, left);
        }
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
    /// share the page, so that a busy one cannot keep the others waiting. Of several databases,
    /// those that do not answer have nothing for now.
    ///
    /// # Errors
    /// [`JournalError::Broken`] where a position is missing or a cursor is ahead of the journal,
    /// [`JournalError::Archived`] where what comes next has left and no archive is at hand,
    /// [`JournalError::Unavailable`] where no database answers.
    pub async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, JournalError> {
        let (events, _) = self.page_after(cursors, limit).await?;
        Ok(events.into_iter().map(|chained| chained.event).collect())
    }

    /// The same, and whether there was more.
    pub async fn page_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<(Vec<ChainedEvent>, bool), JournalError> {
        if let Some((shard, _)) = cursors.iter().find(|(shard, _)| *shard >= self.shared.shards) {
            self.part(shard)?;
        }
        // What was committed we know a moment later than the database, which a reader may have asked; and
        // of a history that the database has lost we know too much. So it is the database that decides
        // what is broken.
        if let Some(heads) = self.own_heads(cursors) {
            match self.page_before(heads, cursors, limit).await {
                Err(JournalError::Broken { .. } | JournalError::Forked { .. }) => {}
                page => return page,
            }
        }
        let heads = self.standing(cursors).await?;
        self.page_before(heads, cursors, limit).await
    }

    async fn page_before(
        &self,
        heads: Cursors,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<(Vec<ChainedEvent>, bool), JournalError> {
        let read = |shard: &u16| cursors.reads(*shard) && heads.reads(*shard);
        let mut ranges = Vec::new();
        for shard in (0..self.shared.shards).filter(read) {
            let range = range_after(shard, heads.get(shard), cursors.get(shard))?;
            if range.after == range.through
                && let Some((there, seen)) = heads.mark(shard).zip(cursors.mark(shard))
                && there != seen
            {
                return Err(forked(shard, range.after));
            }
            ranges.push(range);
        }
        let there: u64 = ranges.iter().map(|range| range.through - range.after).sum();
        let ranges = share(ranges, limit);
        let remembered =
            ranges.iter().map(|range| self.shared.tail.read(*range, cursors.mark(range.shard)));
        let events: Vec<ChainedEvent> = match remembered.collect::<Option<Vec<_>>>() {
            Some(events) => events.into_iter().flatten().collect(),
            None => {
                let events = self.read(ranges.clone()).await?;
                self.goes_on_from(&ranges, cursors).await?;
                events
            }
        };
        let more = u64::try_from(events.len()).is_ok_and(|read| read < there);
        Ok((events, more))
    }

    /// Whether what was read goes on from what the reader saw last. Asked after the reading, so that a
    /// database that was exchanged in between is noticed.
    async fn goes_on_from(&self, ranges: &[Range], cursors: &Cursors) -> Result<(), JournalError> {
        let seen = ranges.iter().filter(|range| cursors.mark(range.shard).is_some());
        let seen = seen.filter(|range| range.after > 0);
        let seen: Vec<Range> = seen
            .map(|range| Range { after: range.after - 1, through: range.after, ..*range })
            .collect();
        if seen.is_empty() {
            return Ok(());
        }
        for ((shard, position), mark) in self.marks(&seen).await? {
            if cursors.mark(shard).is_some_and(|seen| seen != mark) {
                return Err(forked(shard, position));
            }
        }
        Ok(())
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

    /// Where the shards stand in the databases that answer, of those that hold something that these
    /// cursors read; it reads the shards of these and no others. An error where none answers.
    async fn standing(&self, cursors: &Cursors) -> Result<Cursors, JournalError> {
        let mut asked = Vec::new();
        for part in &self.shared.parts {
            if part.holds.iter().any(|shard| cursors.reads(shard)) {
                asked.push(part.heads());
            }
        }
        let (mut heads, mut away, all) = (Vec::new(), Vec::new(), asked.len());
        for answer in join_all(asked).await {
            match answer {
                Ok(standing) => heads.extend(standing),
                // One that came late may turn out to be the wrong one.
                Err(error @ (JournalError::Unavailable(_) | JournalError::WrongDatabase(_))) => {
                    away.push(error)
                }
                Err(error) => return Err(error),
            }
        }
        if away.len() == all
            && let Some(error) = away.pop()
        {
            return Err(error);
        }
        let there = heads.iter().map(|head| head.shard).collect();
        let heads = cursors_of(&heads);
        learn(&self.shared.committed, &heads);
        Ok(heads.scoped(Scope::Only(there)))
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
        let heads = self.part(shard)?.heads().await?;
        let Some(head) = heads.iter().find(|head| head.shard == shard) else {
            let detail = "its database does not know it".to_owned();
            return Err(JournalError::Broken { shard, position: after, detail });
        };
        self.read(share(vec![range_after(shard, head.position, after)?], limit)).await
    }

    /// Reads ranges that lie before the heads, each from its database: every position must be there,
    /// or have left. Up to a position that has left, and some of what is archived there.
    async fn read(&self, ranges: Vec<Range>) -> Result<Vec<ChainedEvent>, JournalError> {
        let reads = self.shared.parts.iter().filter_map(|part| {
            let ours = ranges.iter().filter(|range| part.holds.contains(range.shard));
            let ours: Vec<Range> = ours.copied().collect();
            (!ours.is_empty()).then_some(async move { part.store.read(&ours).await })
        });
        let mut events = try_join_all(reads).await?.concat();
        if self.shared.parts.len() > 1 {
            // Each came sorted; their shards may lie in between each other.
            events.sort_by_key(|chained| (chained.event.shard, chained.event.position));
        }
        let mut found = 0;
        for range in ranges {
            for position in range.after + 1..=range.through {
                let next = events.get(found);
                let next = next.map(|chained| (chained.event.shard, chained.event.position));
                if next != Some((range.shard, position)) {
                    let rest = Range { after: position - 1, ..range };
                    if let Some(left) = self.part(range.shard)?.cold.read(rest).await? {
                        events.truncate(found);
                        events.extend(left);
                        return Ok(events);
                    }
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
                found += 1;
            }
        }
        Ok(events)
    }

    /// The last position of each shard, from the databases: what is committed.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where one of them does not answer.
    pub async fn heads(&self) -> Result<Cursors, JournalError> {
        let heads = try_join_all(self.shared.parts.iter().map(Part::heads)).await?;
        Ok(cursors_of(&heads.concat()))
    }

    /// As [`Self::heads`], in those databases that answer: it reads their shards and no others.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where none of them does.
    pub async fn heads_there(&self) -> Result<Cursors, JournalError> {
        self.standing(&Cursors::default()).await
    }

    /// Changes whenever this process forgets what it knew of the databases: they may tell another
    /// history. Whoever keeps what it read is to forget it as well.
    pub fn generation(&self) -> u64 {
        self.shared.tail.generation()
    }

    /// Events after these cursors, as far as this process knows: others may have added some.
    pub fn known_after(&self, cursors: &Cursors) -> u64 {
        let committed = self.shared.committed.borrow();
        let after = |(shard, head): (u16, u64)| head.saturating_sub(cursors.get(shard));
        committed.iter().map(after).sum()
    }

    /// Returns once there is something after these cursors; may return early for nothing where no
    /// database answers. At once for what this process appends; by the database's own
    /// notification for other processes, where it has one; by a look every 500 ms behind both.
    /// What a database holds that is away has to wait until it is back.
    pub async fn changed(&self, cursors: &Cursors) {
        let mut committed = self.shared.committed.subscribe();
        loop {
            if self.shows_more(cursors, &committed.borrow_and_update()) {
                return;
            }
            if !matches!(timeout(POLL_EVERY, committed.changed()).await, Ok(Ok(())))
                && self.standing(cursors).await.is_err()
            {
                return;
            }
        }
    }

    /// Whether something is committed after these cursors in a database that is not away.
    fn shows_more(&self, cursors: &Cursors, committed: &Cursors) -> bool {
        if cursors.covers(committed) {
            return false;
        }
        let away: Vec<&ShardSet> =
            self.shared.parts.iter().filter(|p| p.away().is_some()).map(|p| &p.holds).collect();
        let there = |shard: u16| !away.iter().any(|holds| holds.contains(shard));
        !cursors.covers(&committed.iter().filter(|(shard, _)| there(*shard)).collect())
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

    /// What the databases have lost of what they had committed, by shard, since this journal was
    /// opened: their history is another one since. Changes with every loss that is found.
    #[must_use]
    pub fn lost_tails(&self) -> watch::Receiver<Vec<LostTail>> {
        self.shared.lost_tails.subscribe()
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
        if let Ok(part) = self.part(shard) {
            part.nudged.notify_one();
        }
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
        let left = join_all(self.shared.parts.iter().map(|part| part.left.cancelled()));
        tokio::select! {
            _ = left => {}
            () = self.shared.lost.cancelled() => {}
            () = tokio::time::sleep(self.shared.options.lease) => {}
        }
    }

    /// Closes a shard to everybody, or opens it again; false where there is no such shard.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where the store has one writer only, [`JournalError::Unavailable`].
    pub async fn freeze(
        &self,
        shard: u16,
        reason: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError> {
        let [first, ..] = self.shared.parts.as_slice() else { return Ok(false) };
        among_others(self.part(shard).unwrap_or(first))?.freeze(shard, reason, action).await
    }

    /// Says which node, by name, is to have a shard, or that any may; false where there is no such
    /// shard.
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub async fn pin(
        &self,
        shard: u16,
        node: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError> {
        let [first, ..] = self.shared.parts.as_slice() else { return Ok(false) };
        among_others(self.part(shard).unwrap_or(first))?.pin(shard, node, action).await
    }

    /// Who has which shard, by number. A shard whose database does not answer is closed to everybody
    /// for that reason.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where the store has one writer only, [`JournalError::Unavailable`]
    /// where no database answers.
    pub async fn shard_states(&self) -> Result<Vec<ShardState>, JournalError> {
        let known = self.shared.committed.borrow().clone();
        let mut states = Vec::new();
        for (part, sight) in self.sights().await? {
            states.extend(match sight {
                Ok(sight) => ShardState::of(sight),
                Err(why) => {
                    let unknown = |shard| ShardState::unknown(shard, known.get(shard), &why);
                    part.holds.iter().map(unknown).collect()
                }
            });
        }
        states.sort_by_key(|state| state.shard);
        Ok(states)
    }

    /// The nodes that live.
    ///
    /// # Errors
    /// As [`Self::shard_states`].
    pub async fn nodes(&self) -> Result<Vec<Node>, JournalError> {
        let mut nodes: Vec<Node> = Vec::new();
        let sights = self.sights().await?.into_iter().filter_map(|(_, sight)| sight.ok());
        for seen in sights.flat_map(|sight| sight.nodes) {
            // Each node is announced in every database.
            if !nodes.iter().any(|node| node.name == seen.name) {
                nodes.push(Node { name: seen.name, address: seen.address });
            }
        }
        Ok(nodes)
    }

    /// What is seen in each database; an error where that is nothing.
    async fn sights(&self) -> Result<Vec<(&Part, Result<Sight, JournalError>)>, JournalError> {
        let options = &self.shared.options;
        let grace = options.lease.saturating_sub(options.self_stop);
        let looks = self.shared.parts.iter().map(|part| async move {
            let sight = match (among_others(part)?, part.away()) {
                (_, Some(away)) => Err(away),
                (shared, None) => shared.look(grace).await,
            };
            Ok((part, sight))
        });
        let sights: Vec<(&Part, Result<Sight, JournalError>)> = try_join_all(looks).await?;
        match sights.iter().all(|(_, sight)| sight.is_err()) {
            true => {
                Err(sights.into_iter().find_map(|(_, sight)| sight.err()).unwrap_or_else(|| {
                    JournalError::Unavailable("the journal has no database".to_owned())
                }))
            }
            false => Ok(sights),
        }
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
        let part = self.part(self.shard_of(order_id))?;
        part.store.quarantine(order_id, reason, (self.shared.options.now)()).await
    }

    /// Every quarantined order.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`]
    pub async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError> {
        let quarantined = self.shared.parts.iter().map(|part| part.store.quarantined());
        let mut all = try_join_all(quarantined).await?.concat();
        all.sort_by_key(|order| order.order_id);
        Ok(all)
    }

    /// Reads everything up to the heads, follows the hash chain and tells `each` the order, shard and
    /// position of every event, in no order, and of a shard with something wrong in it perhaps twice.
    /// Goes on behind what it finds wrong, so that one damage does not hide the next. What has left
    /// is read from the archive where one is at hand, and is one chain with the rest; where none
    /// is, the chain is followed from where it left the table.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`]; damage is no error here.
    pub async fn audit(
        &self,
        mut each: impl FnMut(OrderId, u16, u64) + Send,
    ) -> Result<Audit, JournalError> {
        let mut audit = Audit::default();
        for part in &self.shared.parts {
            let heads = part.heads().await?;
            audit.ends.extend(heads.iter().filter(|head| head.position > 0).map(End::from));
            audit.database(&part.store, part.cold.archive(), heads, &mut each).await?;
        }
        audit.ends.sort_unstable_by_key(|end| end.shard);
        Ok(audit)
    }

    /// Before which position of each shard events may have left: reading from there on needs no
    /// archive. All of them where one is at hand.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn begins_after(&self) -> Result<Cursors, JournalError> {
        if self.shared.options.archive.is_some() {
            return Ok(Cursors::default());
        }
        let files = self.shared.parts.iter().map(|part| part.store.archives());
        let files = try_join_all(files).await?.concat();
        Ok(files.iter().map(|file| (file.shard, file.last)).collect())
    }

    /// Orders that have left, after this one by id; at most `limit`. An archiving that did not end
    /// may have named some that are still here.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn archived_orders(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, JournalError> {
        let asked = ArchivedOrders::After(after, limit);
        let found = self.shared.parts.iter().map(|part| part.store.archived_orders(asked));
        let mut found = try_join_all(found).await?.concat();
        found.sort_unstable();
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Reads everything up to the heads and follows the hash chain: the number of events.
    ///
    /// # Errors
    /// [`JournalError::Broken`] at the first event that was changed, moved, inserted or removed.
    pub async fn verify(&self) -> Result<u64, JournalError> {
        let audit = self.audit(|_, _, _| ()).await?;
        if let Some(ArchiveDamage { file, detail }) = audit.archives.into_iter().next() {
            let detail = format!("{file}: {detail}");
            return Err(JournalError::Broken { shard: 0, position: 0, detail });
        }
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
        join_all(self.shared.parts.iter().map(Part::close)).await;
    }
}

fn among_others(part: &Part) -> Result<&dyn SharedStore, JournalError> {
    part.store.shared().ok_or_else(|| {
        JournalError::Invalid("this journal has one writer: its shards stay".to_owned())
    })
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

fn forked(shard: u16, position: u64) -> JournalError {
    let detail = format!("what was read at position {position} is not there");
    JournalError::Forked { shard, position, detail }
}

fn range_after(shard: u16, head: u64, after: u64) -> Result<Range, JournalError> {
    if after > head {
        return Err(JournalError::Forked {
            shard,
            position: after,
            detail: format!("it ends at position {head}, and {after} was read"),
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
