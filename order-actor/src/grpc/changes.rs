//! Pages of order changes. A page is read, decoded and replayed once and cached under the
//! positions that it starts after, so watches at the same position share it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use shared_events::contract::{CustomerId, Mark, OrderId};
use shared_events::stream::Cursors;
use tokio::time::Instant;
use tonic::Status;

use super::proto::OrderChange;
use super::tail::BATCH_MAX;
use super::{render, status};
use crate::journal::{Journal, SharedEvent};
use crate::projections::Summary;
use crate::record::decode_shared;
use crate::replay::{OrderReplay, ReplayError};

/// Bytes of events in a page; one event may be larger. A watch with a slow client holds one page.
const PAGE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of events in all cached pages.
const CACHED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most cached pages.
const CACHED_PAGES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);
/// How long a page stays valid. It bounds how long a watch shows events of a database that was
/// replaced while the engine ran.
const CACHED_FOR: Duration = Duration::from_secs(5);

/// A change of one order. The watch checks who may see it.
pub(super) struct Change {
    pub(super) order_id: OrderId,
    pub(super) customer_id: CustomerId,
    pub(super) shard: u16,
    pub(super) position: u64,
    pub(super) change: OrderChange,
}

/// Changes after given positions.
#[derive(Default)]
pub(super) struct Page {
    /// In order within each shard.
    pub(super) changes: Vec<Change>,
    /// The position after these changes; empty at the end of the journal.
    pub(super) through: Cursors,
    bytes: usize,
}

/// The shared cache of pages. Clones are cheap and share their state.
#[derive(Clone)]
pub(super) struct Changes(Arc<Shared>);

struct Shared {
    journal: Journal,
    cached: Mutex<Cache>,
    /// Reads for watches that have caught up, so that they do not wait for lagging ones.
    caught_up: SharedReader,
    /// Reads for lagging watches.
    lagging: SharedReader,
}

/// A reader that watches share; they wait for its lock.
struct SharedReader {
    reader: tokio::sync::Mutex<Reader>,
    /// The reader's position, readable without its lock.
    at: Mutex<Cursors>,
}

impl SharedReader {
    fn new(journal: &Journal) -> Self {
        let replay = OrderReplay::new(journal.clone());
        let reader = Reader { replay, generation: journal.generation() };
        Self { reader: tokio::sync::Mutex::new(reader), at: Mutex::default() }
    }

    fn is_at(&self, place: &Cursors) -> bool {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) == *place
    }

    fn set_position(&self, place: Cursors) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

/// Orders as of the last position read, in one generation of the journal.
struct Reader {
    replay: OrderReplay,
    generation: u64,
}

/// The journal's generation and the positions that a page starts after, each with its mark. A
/// reader with another mark has read another history and must not get this page.
type Key = (u64, Vec<(u16, u64, Option<Mark>)>);

struct Cache {
    pages: LruCache<Key, (Instant, Arc<Page>)>,
    bytes: usize,
}

impl Cache {
    fn get(&mut self, key: &Key) -> Option<Arc<Page>> {
        let (since, page) = self.pages.get(key)?;
        (since.elapsed() < CACHED_FOR).then(|| Arc::clone(page))
    }

    fn put(&mut self, key: Key, page: &Arc<Page>) {
        self.bytes += page.bytes;
        if let Some((_, (_, evicted))) = self.pages.push(key, (Instant::now(), Arc::clone(page))) {
            self.bytes -= evicted.bytes;
        }
        while self.bytes > CACHED_BYTES_MAX
            && let Some((_, (_, evicted))) = self.pages.pop_lru()
        {
            self.bytes -= evicted.bytes;
        }
    }
}

impl Changes {
    /// An empty cache over this journal.
    pub(super) fn new(journal: Journal) -> Self {
        let (caught_up, lagging) = (SharedReader::new(&journal), SharedReader::new(&journal));
        let cached = Mutex::new(Cache { pages: LruCache::new(CACHED_PAGES_MAX), bytes: 0 });
        Self(Arc::new(Shared { journal, cached, caught_up, lagging }))
    }

    /// The next page of changes; empty at the end of the journal.
    ///
    /// # Errors
    /// The journal's error, as a status.
    pub(super) async fn after(&self, after: &Cursors) -> Result<Arc<Page>, Status> {
        let journal = &self.0.journal;
        let place = |(shard, position)| (shard, position, after.mark(shard));
        let key = (journal.generation(), after.iter().map(place).collect());
        if let Some(page) = self.cached(&key) {
            return Ok(page);
        }
        let shared = self.reader_for(after);
        let mut reader = shared.reader.lock().await;
        // Another watch may have read it while this one waited for the lock.
        if let Some(page) = self.cached(&key) {
            return Ok(page);
        }
        if reader.generation != key.0 {
            reader.replay.forget();
            reader.generation = key.0;
        }
        let page = Arc::new(reader.page(journal, after).await?);
        let mut through = after.clone();
        through.merge(&page.through);
        shared.set_position(through);
        if !page.through.is_empty() {
            self.0.cached.lock().unwrap_or_else(PoisonError::into_inner).put(key, &page);
        }
        Ok(page)
    }

    /// The reader for the next page. A watch at a reader's position keeps that reader, which
    /// already holds the orders: under load a watch that had caught up may lag by some pages.
    fn reader_for(&self, after: &Cursors) -> &SharedReader {
        let Shared { journal, caught_up, lagging, .. } = &*self.0;
        if caught_up.is_at(after) {
            return caught_up;
        }
        let is_caught_up = journal.known_after(after) <= BATCH_MAX as u64;
        if is_caught_up && !lagging.is_at(after) { caught_up } else { lagging }
    }

    fn cached(&self, key: &Key) -> Option<Arc<Page>> {
        self.0.cached.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }
}

impl Reader {
    async fn page(&mut self, journal: &Journal, after: &Cursors) -> Result<Page, Status> {
        let stored = journal.page_after(after, BATCH_MAX).await;
        let (stored, _) = stored.map_err(|error| status::journal(&error))?;
        let mut page = Page::default();
        for shared in &stored {
            let event = shared.event();
            let bytes = event.payload.len() + event.metadata.len();
            if page.bytes > 0 && page.bytes + bytes > PAGE_BYTES_MAX {
                break;
            }
            page.bytes += bytes;
            let mark = Mark::of(shared.hash());
            page.through.advance_to(event.shard, event.position, Some(mark));
            page.changes.extend(self.change(shared).await?);
        }
        Ok(page)
    }

    /// The change, if it can be shown. Other components report impossible histories to operators.
    async fn change(&mut self, shared: &SharedEvent) -> Result<Option<Change>, Status> {
        let Ok(recorded) = decode_shared(shared) else { return Ok(None) };
        let step = match self.replay.step(&recorded).await {
            Ok(step) => step,
            Err(error) if error.is_history() => {
                tracing::warn!(order = %recorded.order_id, %error, "not shown: quarantined order");
                return Ok(None);
            }
            Err(ReplayError::Journal(error)) => return Err(status::journal(&error)),
            Err(_) => return Ok(None),
        };
        let summary = Summary::of(&step.after, recorded.sequence, recorded.event.at());
        Ok(summary.map(|summary| Change {
            order_id: recorded.order_id,
            customer_id: summary.customer_id,
            shard: recorded.shard,
            position: recorded.position,
            change: OrderChange {
                order: Some(render::summary(&summary)),
                event: Some(render::event(&recorded.event, recorded.sequence)),
                position: Some(render::place(recorded.shard, recorded.position, recorded.mark)),
            },
        }))
    }
}
