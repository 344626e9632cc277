//! A cache of single products' stock in Redis, for callers who read often. It decides nothing:
//! holding or moving units always asks the database.
//!
//! Three rules keep it correct. A value is filled only by a reader that asked the database after
//! the last change (see [`Cache`]). Every process reads the stock service's facts four times a
//! second, and immediately after it published some, and deletes the keys they changed; a process
//! that has not managed to for two seconds asks the database. And values count only within their
//! generation, which is kept in the database and renewed whenever a change may have gone unnoticed.
//! Never here: whether a product has units left for anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_events::contract::{Fact, FactBody, InventoryFact, Sku, Timestamp};
use shared_events::stream::redis::{Cache, CachePlace, Cached, Redis};
use shared_events::stream::{Cursors, Database, Outbox, Source as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::domain::{BackorderRule, StockLevel};
use crate::store::{self, Generation, Stock};

/// How often the facts of other processes are read.
const READ_EVERY: Duration = Duration::from_millis(250);
/// The shortest time between two reads while this process publishes: each is three small queries.
const READ_AT_MOST_EVERY: Duration = Duration::from_millis(50);
/// Without a completed read for this long, no cached value is trusted.
const TRUSTED_FOR: Duration = Duration::from_secs(2);
/// Facts read in one query.
const BATCH: usize = 1_024;

/// The cache of a process; clones share it.
#[derive(Clone)]
pub struct StockCache {
    inner: Arc<Inner>,
}

struct Inner {
    cache: Cache,
    keep: Duration,
    database: Database,
    outbox: Outbox,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    state: Mutex<State>,
    /// Asks for a read of the facts without waiting.
    read_now: Notify,
}

#[derive(Default)]
struct State {
    /// The last completed read; none while no value is trusted.
    last_read: Option<LastRead>,
    /// The name of this database in the keys; none before the first read.
    id: Option<String>,
    /// A change may have gone unpublished: a new generation is due.
    suspect: bool,
    /// Why the cache is not used, as it was logged.
    failure: Option<String>,
}

#[derive(Clone)]
struct LastRead {
    generation: Generation,
    /// Keys changed by facts published before this are deleted.
    at: Instant,
}

/// How far a process has read the facts.
struct ReadPosition {
    cursors: Cursors,
    /// The database they were read from (see [`Generation::place`]).
    place: String,
    /// The Redis servers whose keys were deleted.
    servers: String,
}

/// The cache's answer about a product.
#[derive(Debug)]
pub enum CacheLookup {
    /// Its stock, and when it was read from the database.
    Hit(Stock, Timestamp),
    /// No value; whoever reads it from the database may fill it.
    Miss(FillToken),
    /// No value, and none is to be filled now.
    Unusable,
}

/// The right to fill a product's stock once, unless it changes meanwhile.
#[derive(Debug)]
pub struct FillToken {
    place: CachePlace,
}

/// A change that is about to be committed. Dropped before [`Self::committed`], it counts as a change
/// that may or may not have happened.
pub(crate) struct PendingChange<'a> {
    cache: &'a StockCache,
    skus: Vec<Sku>,
    settled: bool,
}

impl StockCache {
    /// A cache of this database in this Redis; values are kept for `keep` at most.
    pub(crate) fn new(
        redis: Redis,
        keep: Duration,
        database: Database,
        outbox: Outbox,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        let (cache, state) = (Cache::new(redis), Mutex::default());
        let read_now = Notify::new();
        Self { inner: Arc::new(Inner { cache, keep, database, outbox, now, state, read_now }) }
    }

    /// Looks a product up, within a tenth of a second.
    pub async fn find(&self, sku: &Sku) -> CacheLookup {
        let last_read = self.state().last_read.clone();
        let Some(LastRead { generation, .. }) =
            last_read.filter(|read| read.at.elapsed() < TRUSTED_FOR)
        else {
            return CacheLookup::Unusable;
        };
        match self.inner.cache.ask(&key(&generation.id, sku), &generation.number).await {
            // The generation was found invalid meanwhile.
            Ok(Cached::Value(_)) if !self.trusts(&generation) => CacheLookup::Unusable,
            Ok(Cached::Value(value)) => match parse_value(&value) {
                // Redis expires keys by its own clock; this check uses ours.
                Some((level, read_at)) if (self.inner.now)().since(read_at) < self.inner.keep => {
                    let (sku, elsewhere) = (sku.clone(), BTreeMap::new());
                    CacheLookup::Hit(Stock { sku, level, elsewhere }, read_at)
                }
                _ => {
                    self.forget(&generation.id, std::slice::from_ref(sku)).await;
                    CacheLookup::Unusable
                }
            },
            Ok(Cached::Absent(place)) => CacheLookup::Miss(FillToken { place }),
            Ok(Cached::Held) => CacheLookup::Unusable,
            Err(error) => {
                self.disable(&error.to_string());
                CacheLookup::Unusable
            }
        }
    }

    /// Fills a missing product that is only at `main`, unless it has changed since it was read;
    /// returns whether it did.
    pub async fn fill(&self, token: FillToken, level: StockLevel, read_at: Timestamp) -> bool {
        let value = value(level, read_at);
        match self.inner.cache.fill(token.place, &value, self.inner.keep).await {
            Ok(filled) => filled,
            Err(error) => {
                self.disable(&error.to_string());
                false
            }
        }
    }

    /// To be held while a change of these products is committed.
    pub(crate) const fn pending_change(&self, skus: Vec<Sku>) -> PendingChange<'_> {
        PendingChange { cache: self, skus, settled: false }
    }

    /// Reads facts and deletes the keys that they changed, until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut progress = None;
        while !stop.is_cancelled() {
            // Subscribed before reading, so that nothing published afterwards is missed.
            let published = self.inner.outbox.published();
            let read_now = self.inner.read_now.notified();
            if let Err(error) = self.catch_up(&mut progress).await {
                progress = None;
                self.disable(&error);
            }
            tokio::select! {
                () = async { sleep(READ_AT_MOST_EVERY).await; published.await } => {}
                () = async { sleep(READ_AT_MOST_EVERY).await; read_now.await } => {}
                () = sleep(READ_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn catch_up(&self, progress: &mut Option<ReadPosition>) -> Result<(), String> {
        let Inner { cache, database, outbox, .. } = &*self.inner;
        let at = Instant::now();
        if std::mem::take(&mut self.state().suspect) {
            *progress = None;
        }
        // First, so that an unavailable Redis does not cost a new generation with every attempt.
        let servers = cache.servers().await.map_err(|error| error.to_string())?;
        let position = match progress.take() {
            Some(position) => position,
            None => self.begin_generation(servers.clone()).await?,
        };
        if position.servers != servers {
            return Err("another Redis server answers than before".to_owned());
        }
        let generation = store::generation(database).await.map_err(|error| error.to_string())?;
        let Some(generation) = generation.filter(|one| one.place == position.place) else {
            return Err("another database answers than before".to_owned());
        };
        let ReadPosition { cursors, .. } = progress.insert(position);
        loop {
            let batch = outbox.read_after(cursors, BATCH).await;
            let batch = batch.map_err(|error| error.to_string())?;
            if batch.items.is_empty() {
                break;
            }
            let keys: BTreeSet<String> =
                batch.items.iter().flat_map(changed).map(|sku| key(&generation.id, sku)).collect();
            let deleted = cache.forget(keys.iter().map(String::as_str)).await;
            deleted.map_err(|error| error.to_string())?;
            cursors.merge(&batch.through);
        }
        self.enable(LastRead { generation, at });
        Ok(())
    }

    /// Begins a generation. Its values include all facts published until now.
    async fn begin_generation(&self, servers: String) -> Result<ReadPosition, String> {
        let Inner { database, outbox, .. } = &*self.inner;
        let cursors = outbox.heads().await.map_err(|error| error.to_string())?;
        store::begin_generation(database).await.map_err(|error| error.to_string())?;
        let generation = store::generation(database).await.map_err(|error| error.to_string())?;
        let place = generation.map(|generation| generation.place).unwrap_or_default();
        Ok(ReadPosition { cursors, place, servers })
    }

    /// Deletes the keys of these products; returns whether that worked.
    async fn forget(&self, id: &str, skus: &[Sku]) -> bool {
        let keys: Vec<String> = skus.iter().map(|sku| key(id, sku)).collect();
        let deleted = self.inner.cache.forget(keys.iter().map(String::as_str)).await;
        deleted.map_err(|error| self.disable(&error.to_string())).is_ok()
    }

    /// Deletes the keys of products that this process changed; returns whether that worked.
    async fn forget_changed(&self, skus: &[Sku]) -> bool {
        let (id, unavailable) = {
            let state = self.state();
            (state.id.clone(), state.failure.is_some())
        };
        // A Redis known to be unavailable is not waited for.
        if unavailable {
            return false;
        }
        // Other processes may have used the cache before our first read.
        let id = match id {
            Some(id) => Some(id),
            None => store::generation(&self.inner.database).await.ok().flatten().map(|one| one.id),
        };
        match id {
            Some(id) => self.forget(&id, skus).await,
            None => false,
        }
    }

    /// Invalidates all values, here immediately and in other processes with their next read.
    async fn void(&self) {
        self.suspect();
        let database = &self.inner.database;
        let voided = async {
            let mut tx = database.begin().await?;
            store::void_generation(&mut tx).await?;
            Ok::<_, shared_events::stream::DatabaseError>(tx.commit().await?)
        };
        if let Err(error) = voided.await {
            tracing::warn!(
                %error,
                "other processes' stock caches could not be invalidated after a change"
            );
        }
    }

    fn trusts(&self, generation: &Generation) -> bool {
        self.state().last_read.as_ref().is_some_and(|read| read.generation == *generation)
    }

    fn suspect(&self) {
        let mut state = self.state();
        state.suspect = true;
        state.last_read = None;
        drop(state);
        self.inner.read_now.notify_waiters();
    }

    fn enable(&self, last_read: LastRead) {
        let mut state = self.state();
        if state.suspect {
            return;
        }
        state.id = Some(last_read.generation.id.clone());
        state.last_read = Some(last_read);
        if let Some(error) = state.failure.take() {
            tracing::warn!(error, "the stock cache is used again");
        }
    }

    fn disable(&self, error: &str) {
        let mut state = self.state();
        state.last_read = None;
        if state.failure.is_none() {
            tracing::warn!(error, "the stock cache is not used; the database answers");
            state.failure = Some(error.to_owned());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingChange<'_> {
    /// The change is committed: every read from now on includes it, in every process.
    pub(crate) async fn committed(mut self) {
        if !self.cache.forget_changed(&self.skus).await {
            self.cache.void().await;
        }
        self.settled = true;
    }
}

impl Drop for PendingChange<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.cache.suspect();
        }
    }
}

fn key(id: &str, sku: &Sku) -> String {
    format!("stock:{id}:{sku}")
}

/// The products whose stock a fact changes.
fn changed(fact: &Fact) -> impl Iterator<Item = &Sku> {
    let allocated = match &fact.body {
        FactBody::Inventory(InventoryFact::Allocated { lines, .. }) => lines.as_slice(),
        _ => &[],
    };
    let lines = match &fact.body {
        FactBody::Inventory(
            InventoryFact::Reserved { lines, .. }
            | InventoryFact::Released { lines, .. }
            | InventoryFact::Committed { lines, .. }
            | InventoryFact::Restocked { lines, .. }
            | InventoryFact::EditReserved { lines, .. },
        ) => lines.as_slice(),
        FactBody::Inventory(
            InventoryFact::Rejected { .. }
            | InventoryFact::Allocated { .. }
            | InventoryFact::EditRejected { .. },
        )
        | FactBody::Order(_)
        | FactBody::Notification(_)
        | FactBody::Payment(_)
        | FactBody::Payout(_) => &[],
    };
    lines.iter().map(|line| &line.sku).chain(allocated.iter().map(|units| &units.sku))
}

/// A value as Redis keeps it. What few products have is left out where they have not.
fn value(level: StockLevel, read_at: Timestamp) -> String {
    let StockLevel { on_hand, reserved, backordered, backorder } = level;
    let mut value = format!("{}|{on_hand}|{reserved}", read_at.micros());
    if backordered != 0 || backorder != BackorderRule::default() {
        let until = backorder.until.map(|until| until.micros().to_string()).unwrap_or_default();
        value.push_str(&format!("|{backordered}|{}|{until}", backorder.limit));
    }
    value
}

fn parse_value(value: &str) -> Option<(StockLevel, Timestamp)> {
    let mut parts = value.split('|');
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (read_at, on_hand, reserved) = (number()?, number()?, number()?);
    let mut level = StockLevel { on_hand, reserved, ..StockLevel::default() };
    if let Some(backordered) = parts.next() {
        level.backordered = backordered.parse().ok()?;
        level.backorder.limit = parts.next()?.parse().ok()?;
        level.backorder.until = match parts.next()? {
            "" => None,
            until => Some(Timestamp::checked_from_micros(until.parse().ok()?)?),
        };
    }
    Some((level, Timestamp::checked_from_micros(read_at)?))
}
