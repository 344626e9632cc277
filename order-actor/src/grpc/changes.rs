//! What watches show, read, decoded and unfolded once for all of them: pages that follow each other,
//! each known by the places it begins after. Watches that begin at the same place, or have come to the
//! end, ask for the same pages.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use shared_events::contract::{CustomerId, Mark, OrderId};
use shared_events::stream::Cursors;
use tokio::time::Instant;
use tonic::Status;

use super::proto::OrderChange;
use super::tail::READ_AT_ONCE;
use super::{render, status};
use crate::journal::{ChainedEvent, Journal, StoredEvent};
use crate::projections::Summary;
use crate::record::decode;
use crate::replay::{Unfold, UnfoldError};

/// Bytes of events in a page; one event may be larger. A watch that waits for its client holds one.
const PAGE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of events in all pages that are kept for the next watch.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Pages that are kept.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);
/// A page is kept for so long. A database that was exchanged behind the engine's back is shown no
/// longer than that.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// A change of one order, for whoever may see it.
pub(super) struct Change {
    pub(super) order_id: OrderId,
    pub(super) customer_id: CustomerId,
    pub(super) shard: u16,
    pub(super) position: u64,
    pub(super) change: OrderChange,
}

/// Changes that follow some places.
#[derive(Default)]
pub(super) struct Page {
    /// In order within each shard.
    pub(super) changes: Vec<Change>,
    /// How far one is who has seen them; empty at the end of the journal.
    pub(super) through: Cursors,
    bytes: usize,
}

/// Pages that come after places. Clones are cheap and the same.
#[derive(Clone)]
pub(super) struct Changes(Arc<Shared>);

struct Shared {
    journal: Journal,
    kept: Mutex<Kept>,
    /// Reads for those who are level, so that they wait for nobody who is far behind.
    level: Line,
    /// Reads for those who are behind.
    behind: Line,
}

/// Those who wait for the same reader.
struct Line {
    reader: tokio::sync::Mutex<Reader>,
    /// How far the reader has come, for who does not wait.
    at: Mutex<Cursors>,
}

impl Line {
    fn new(journal: &Journal) -> Self {
        let unfold = Unfold::new(journal.clone());
        let reader = Reader { unfold, generation: journal.generation() };
        Self { reader: tokio::sync::Mutex::new(reader), at: Mutex::default() }
    }

    fn is_at(&self, place: &Cursors) -> bool {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) == *place
    }

    fn came_to(&self, place: Cursors) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

/// Orders as they were where somebody read last, of one history.
struct Reader {
    unfold: Unfold,
    generation: u64,
}

/// The history that was read, and the places that a page begins after, each with what stood there:
/// who saw something else is not shown what follows.
type Key = (u64, Vec<(u16, u64, Option<Mark>)>);

struct Kept {
    pages: LruCache<Key, (Instant, Arc<Page>)>,
    bytes: usize,
}

impl Kept {
    fn get(&mut self, key: &Key) -> Option<Arc<Page>> {
        let (since, page) = self.pages.get(key)?;
        (since.elapsed() < KEPT_FOR).then(|| Arc::clone(page))
    }

    fn put(&mut self, key: Key, page: &Arc<Page>) {
        self.bytes += page.bytes;
        if let Some((_, (_, gone))) = self.pages.push(key, (Instant::now(), Arc::clone(page))) {
            self.bytes -= gone.bytes;
        }
        while self.bytes > KEPT_BYTES_MAX
            && let Some((_, (_, gone))) = self.pages.pop_lru()
        {
            self.bytes -= gone.bytes;
        }
    }
}

impl Changes {
    /// Of this journal.
    pub(super) fn new(journal: Journal) -> Self {
        let (level, behind) = (Line::new(&journal), Line::new(&journal));
        let kept = Mutex::new(Kept { pages: LruCache::new(KEPT_MAX), bytes: 0 });
        Self(Arc::new(Shared { journal, kept, level, behind }))
    }

    /// The changes that come next; none at the end of the journal.
    ///
    /// # Errors
    /// What the journal refuses, as a status.
    pub(super) async fn after(&self, after: &Cursors) -> Result<Arc<Page>, Status> {
        let journal = &self.0.journal;
        let place = |(shard, position)| (shard, position, after.mark(shard));
        let key = (journal.generation(), after.iter().map(place).collect());
        if let Some(page) = self.kept(&key) {
            return Ok(page);
        }
        let line = self.line(after);
        let mut reader = line.reader.lock().await;
        // Somebody may have read it while this one waited.
        if let Some(page) = self.kept(&key) {
            return Ok(page);
        }
        if reader.generation != key.0 {
            reader.unfold.forget();
            reader.generation = key.0;
        }
        let page = Arc::new(reader.page(journal, after).await?);
        let mut through = after.clone();
        through.merge(&page.through);
        line.came_to(through);
        if !page.through.is_empty() {
            self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).put(key, &page);
        }
        Ok(page)
    }

    /// Where to wait for what comes next. Whoever is where a reader has come to goes on with that
    /// one, which knows the orders: under load those who are level fall behind by some pages.
    fn line(&self, after: &Cursors) -> &Line {
        let Shared { journal, level, behind, .. } = &*self.0;
        if level.is_at(after) {
            return level;
        }
        let is_level = journal.known_after(after) <= READ_AT_ONCE as u64;
        if is_level && !behind.is_at(after) { level } else { behind }
    }

    fn kept(&self, key: &Key) -> Option<Arc<Page>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }
}

impl Reader {
    async fn page(&mut self, journal: &Journal, after: &Cursors) -> Result<Page, Status> {
        let stored = journal.page_after(after, READ_AT_ONCE).await;
        let (stored, _) = stored.map_err(|error| status::journal(&error))?;
        let mut page = Page::default();
        for ChainedEvent { event, hash } in &stored {
            let bytes = event.payload.len() + event.metadata.len();
            if page.bytes > 0 && page.bytes + bytes > PAGE_BYTES_MAX {
                break;
            }
            page.bytes += bytes;
            let mark = Mark::of(hash);
            page.through.advance_to(event.shard, event.position, Some(mark));
            page.changes.extend(self.change(event, mark).await?);
        }
        Ok(page)
    }

    /// The change, if it can be shown. Histories that are impossible are told to operators by others.
    async fn change(&mut self, stored: &StoredEvent, mark: Mark) -> Result<Option<Change>, Status> {
        let Ok(recorded) = decode(stored) else { return Ok(None) };
        let step = match self.unfold.step(&recorded).await {
            Ok(step) => step,
            Err(error) if error.is_history() => {
                tracing::warn!(order = %stored.stream_id, %error, "not shown: quarantined");
                return Ok(None);
            }
            Err(UnfoldError::Journal(error)) => return Err(status::journal(&error)),
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
                position: Some(render::place(recorded.shard, recorded.position, Some(mark))),
            },
        }))
    }
}
