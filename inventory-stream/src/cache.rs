//! Stock of single products in Redis, for who reads often. It decides nothing: whoever holds or moves
//! units asks the database.
//!
//! Three things keep it from lying. A value is put only by who asked the database after the last
//! change (see [`Cache`]). Every process looks itself at what stock tells, four times a second and at
//! once where it told it, and drops what that changed; one that could not look for two seconds asks the
//! database. And all values count only for as long as their generation does, which is kept in the
//! database and begun anew whenever anything else might have happened.
//! Never here: whether a product has units left for anybody.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_events::contract::{Fact, FactBody, InventoryFact, Sku, Timestamp};
use shared_events::stream::redis::{Cache, CachePlace, Cached, Redis};
use shared_events::stream::{Cursors, Database, Outbox, Source as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::domain::Level;
use crate::store::{self, Generation, Stock};

/// How often it is looked for what others told.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The same of what is told here, while more is told all the time: a look is three small reads.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(50);
/// After so long without a look nothing is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(2);
/// Facts read at once.
const BATCH: usize = 1_024;

/// The cache of a process; clones are the same.
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
    /// Somebody wants a look at once.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    /// What was seen last; none where nothing is to be believed.
    seen: Option<Seen>,
    /// By which name the keys of this database go; none before the first look.
    id: Option<String>,
    /// Something may have happened that was not told: a generation is to be begun.
    doubtful: bool,
    /// Why it is not used, as it was said.
    away: Option<String>,
}

#[derive(Clone)]
struct Seen {
    generation: Generation,
    /// What was told before this has been dropped.
    at: Instant,
}

/// How far a process has looked.
struct Looked {
    cursors: Cursors,
    /// In which database, and in which Redis.
    place: String,
    servers: String,
}

/// What the cache has of a product.
#[derive(Debug)]
pub enum Found {
    /// Its stock, and when it was read from the database.
    Stock(Stock, Timestamp),
    /// Nothing; whoever reads it from the database may put it here.
    Absent(Vacancy),
    /// Nothing, and it is better not touched.
    Nothing,
}

/// The right to put a product's stock into the cache once, unless it changes meanwhile.
#[derive(Debug)]
pub struct Vacancy {
    place: CachePlace,
}

/// Somebody is about to commit a change. Dropped without a word, it may have happened or not.
pub(crate) struct Changing<'a> {
    cache: &'a StockCache,
    skus: Vec<Sku>,
    said: bool,
}

impl StockCache {
    /// In this Redis, of this database, whose values stand for so long at most.
    pub(crate) fn new(
        redis: Redis,
        keep: Duration,
        database: Database,
        outbox: Outbox,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        let (cache, state) = (Cache::new(redis), Mutex::default());
        let wanted = Notify::new();
        Self { inner: Arc::new(Inner { cache, keep, database, outbox, now, state, wanted }) }
    }

    /// What it has of a product, within a tenth of a second.
    pub async fn find(&self, sku: &Sku) -> Found {
        let seen = self.state().seen.clone();
        let Some(Seen { generation, .. }) = seen.filter(|seen| seen.at.elapsed() < BELIEVED_FOR)
        else {
            return Found::Nothing;
        };
        match self.inner.cache.ask(&key(&generation.id, sku), &generation.number).await {
            // Somebody noticed meanwhile that it is not to be believed.
            Ok(Cached::Value(_)) if !self.believes(&generation) => Found::Nothing,
            Ok(Cached::Value(value)) => match read(&value) {
                // Redis counts by its own clock; this is by ours.
                Some((level, read_at)) if (self.inner.now)().since(read_at) < self.inner.keep => {
                    Found::Stock(Stock { sku: sku.clone(), level }, read_at)
                }
                _ => {
                    self.forget(&generation.id, std::slice::from_ref(sku)).await;
                    Found::Nothing
                }
            },
            Ok(Cached::Absent(place)) => Found::Absent(Vacancy { place }),
            Ok(Cached::Held) => Found::Nothing,
            Err(error) => {
                self.unused(&error.to_string());
                Found::Nothing
            }
        }
    }

    /// Puts a product's stock where it was missing, unless it has changed since that was seen; says
    /// whether it did.
    pub async fn fill(&self, vacancy: Vacancy, level: Level, read_at: Timestamp) -> bool {
        let value = format!("{}|{}|{}", read_at.micros(), level.on_hand, level.reserved);
        match self.inner.cache.fill(vacancy.place, &value, self.inner.keep).await {
            Ok(filled) => filled,
            Err(error) => {
                self.unused(&error.to_string());
                false
            }
        }
    }

    /// To be held while a change of these products is committed.
    pub(crate) const fn changing(&self, skus: Vec<Sku>) -> Changing<'_> {
        Changing { cache: self, skus, said: false }
    }

    /// Looks at what is told and drops what that changed, until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut looked = None;
        while !stop.is_cancelled() {
            // Heard from before the look, so that nothing told after it is missed.
            let told = self.inner.outbox.published();
            let wanted = self.inner.wanted.notified();
            if let Err(error) = self.look(&mut looked).await {
                looked = None;
                self.unused(&error);
            }
            tokio::select! {
                () = async { sleep(LOOK_AT_MOST_EVERY).await; told.await } => {}
                () = async { sleep(LOOK_AT_MOST_EVERY).await; wanted.await } => {}
                () = sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn look(&self, looked: &mut Option<Looked>) -> Result<(), String> {
        let Inner { cache, database, outbox, .. } = &*self.inner;
        let at = Instant::now();
        if std::mem::take(&mut self.state().doubtful) {
            *looked = None;
        }
        // A Redis that is away is not told generation after generation.
        let servers = cache.servers().await.map_err(|error| error.to_string())?;
        let standing = match looked.take() {
            Some(standing) => standing,
            None => self.begin(servers.clone()).await?,
        };
        if standing.servers != servers {
            return Err("Redis is not the one that it was".to_owned());
        }
        let generation = store::generation(database).await.map_err(|error| error.to_string())?;
        let Some(generation) = generation.filter(|one| one.place == standing.place) else {
            return Err("the database is not the one that it was".to_owned());
        };
        let Looked { cursors, .. } = looked.insert(standing);
        loop {
            let batch = outbox.read_after(cursors, BATCH).await;
            let batch = batch.map_err(|error| error.to_string())?;
            if batch.items.is_empty() {
                break;
            }
            let keys: BTreeSet<String> =
                batch.items.iter().flat_map(changed).map(|sku| key(&generation.id, sku)).collect();
            let dropped = cache.forget(keys.iter().map(String::as_str)).await;
            dropped.map_err(|error| error.to_string())?;
            cursors.merge(&batch.through);
        }
        self.used(Seen { generation, at });
        Ok(())
    }

    /// Begins a generation, whose values know everything that was told until now.
    async fn begin(&self, servers: String) -> Result<Looked, String> {
        let Inner { database, outbox, .. } = &*self.inner;
        let cursors = outbox.heads().await.map_err(|error| error.to_string())?;
        store::begin_generation(database).await.map_err(|error| error.to_string())?;
        let generation = store::generation(database).await.map_err(|error| error.to_string())?;
        let place = generation.map(|generation| generation.place).unwrap_or_default();
        Ok(Looked { cursors, place, servers })
    }

    /// Drops what stands of these products; says whether that worked.
    async fn forget(&self, id: &str, skus: &[Sku]) -> bool {
        let keys: Vec<String> = skus.iter().map(|sku| key(id, sku)).collect();
        let dropped = self.inner.cache.forget(keys.iter().map(String::as_str)).await;
        dropped.map_err(|error| self.unused(&error.to_string())).is_ok()
    }

    /// Drops what stands of products that were changed here; says whether that worked.
    async fn dropped(&self, skus: &[Sku]) -> bool {
        let (id, away) = {
            let state = self.state();
            (state.id.clone(), state.away.is_some())
        };
        // Who is known to be away is not waited for.
        if away {
            return false;
        }
        // Others may have used it before our first look.
        let id = match id {
            Some(id) => Some(id),
            None => store::generation(&self.inner.database).await.ok().flatten().map(|one| one.id),
        };
        match id {
            Some(id) => self.forget(&id, skus).await,
            None => false,
        }
    }

    /// Has nothing count that stands there, here at once and elsewhere with the next look.
    async fn void(&self) {
        self.doubt();
        let database = &self.inner.database;
        let voided = async {
            let mut tx = database.begin().await?;
            store::void_generation(&mut tx).await?;
            Ok::<_, shared_events::stream::DatabaseError>(tx.commit().await?)
        };
        if let Err(error) = voided.await {
            tracing::warn!(%error, "a change of stock was not told to the cache of other processes");
        }
    }

    fn believes(&self, generation: &Generation) -> bool {
        self.state().seen.as_ref().is_some_and(|seen| seen.generation == *generation)
    }

    fn doubt(&self) {
        let mut state = self.state();
        state.doubtful = true;
        state.seen = None;
        drop(state);
        self.inner.wanted.notify_waiters();
    }

    fn used(&self, seen: Seen) {
        let mut state = self.state();
        if state.doubtful {
            return;
        }
        state.id = Some(seen.generation.id.clone());
        state.seen = Some(seen);
        if let Some(error) = state.away.take() {
            tracing::warn!(error, "the stock cache is used again");
        }
    }

    fn unused(&self, error: &str) {
        let mut state = self.state();
        state.seen = None;
        if state.away.is_none() {
            tracing::warn!(error, "the stock cache is not used; the database answers");
            state.away = Some(error.to_owned());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changing<'_> {
    /// It is committed: who reads from now on, anywhere, sees it.
    pub(crate) async fn happened(mut self) {
        if !self.cache.dropped(&self.skus).await {
            self.cache.void().await;
        }
        self.said = true;
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if !self.said {
            self.cache.doubt();
        }
    }
}

fn key(id: &str, sku: &Sku) -> String {
    format!("stock:{id}:{sku}")
}

/// The products of which a fact says that something changed.
fn changed(fact: &Fact) -> impl Iterator<Item = &Sku> {
    let lines = match &fact.body {
        FactBody::Inventory(
            InventoryFact::Reserved { lines, .. }
            | InventoryFact::Released { lines, .. }
            | InventoryFact::Committed { lines, .. }
            | InventoryFact::Restocked { lines, .. },
        ) => lines.as_slice(),
        FactBody::Inventory(InventoryFact::Rejected { .. })
        | FactBody::Order(_)
        | FactBody::Notification(_) => &[],
    };
    lines.iter().map(|line| &line.sku)
}

fn read(value: &str) -> Option<(Level, Timestamp)> {
    let mut parts = value.split('|').map(|part| part.parse::<i64>().ok());
    let (read_at, on_hand, reserved) = (parts.next()??, parts.next()??, parts.next()??);
    Some((Level { on_hand, reserved }, Timestamp::checked_from_micros(read_at)?))
}
