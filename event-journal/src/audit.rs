use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use shared_events::contract::OrderId;
use tokio::sync::mpsc;

use super::archive::{Archive, ArchiveError, Archived};
use super::chain::{GENESIS, chain_hash};
use super::copied::Rows;
use super::error::JournalError;
use super::event::ChainedEvent;
use super::handle::Journal;
use super::store::{ArchivedOrders, Head, Range, Store};
use super::sweep::Sweep;

/// What an audit of the journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// How far it looked: where the shards end that hold something, by shard. The hashes are those of
    /// the shards' own rows, which the chain came to unless `damages` says otherwise.
    pub ends: Vec<End>,
    /// Events that were read.
    pub events: u64,
    /// What nobody can have written, by shard and position.
    pub damages: Vec<Damage>,
    /// Files that events have left for, which were read from their first byte to their last.
    pub files: u64,
    /// What is wrong with such files; their events were not read.
    pub archives: Vec<ArchiveDamage>,
    /// What was not looked at because no archive is at hand.
    pub unchecked: Vec<Unchecked>,
}

/// A file of an archive that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveDamage {
    /// Its path in the archive.
    pub file: String,
    /// What is wrong.
    pub detail: String,
}

impl ArchiveDamage {
    fn of(error: &ArchiveError) -> Self {
        let (ArchiveError::Away { file, detail } | ArchiveError::Damaged { file, detail }) = error;
        Self { file: file.clone(), detail: detail.clone() }
    }
}

/// Positions of a shard that have left for files. Orders that did not leave have theirs in the
/// table too; those were read, but what they follow is not at hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("positions {first} to {last} of shard {shard}: archived, the last of them in {file}")]
pub struct Unchecked {
    /// The shard.
    pub shard: u16,
    /// From this position.
    pub first: u64,
    /// To this one.
    pub last: u64,
    /// The last file, by its path in the archive.
    pub file: String,
}

/// A place of a shard with its hash, which stands for everything up to it: nobody can change that and
/// keep the hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The shard.
    pub shard: u16,
    /// The position, from 1.
    pub position: u64,
    /// The hash there.
    pub hash: [u8; 32],
}

impl From<&Head> for End {
    fn from(head: &Head) -> Self {
        Self { shard: head.shard, position: head.position, hash: head.hash }
    }
}

impl Journal {
    /// The hash that stands at a place at or before the head; none where it has left for an archive that
    /// is not at hand, or where nothing can be read.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where its database does not answer.
    pub async fn hash_at(
        &self,
        shard: u16,
        position: u64,
    ) -> Result<Option<[u8; 32]>, JournalError> {
        match self.read_shard(shard, position.saturating_sub(1), 1).await {
            Ok(events) => {
                let at = events.iter().find(|chained| chained.event.position == position);
                Ok(at.map(|chained| chained.hash))
            }
            Err(
                JournalError::Broken { .. }
                | JournalError::Forked { .. }
                | JournalError::Archived { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Events read at once when everything is verified.
const PAGE: u64 = 1_000;
/// Pieces of a table that wait to be looked at.
const PIECES_AHEAD: usize = 4;
/// Events beyond the heads that an audit names, of each database; one is enough to know.
const BEYOND_MAX: u32 = 100;

impl Audit {
    /// Reads everything of a database up to these heads, and hands every event to `each`: what has
    /// left its table too, where an archive is at hand.
    pub(super) async fn database(
        &mut self,
        store: &Arc<dyn Store>,
        archive: Option<&Archive>,
        heads: Vec<Head>,
        each: &mut (impl FnMut(OrderId, u16, u64) + Send),
    ) -> Result<(), JournalError> {
        let files = store.archives().await?;
        let swept = sweep(store, &heads, &files, each).await?;
        for head in heads {
            let mut auditing =
                Auditing { store: &**store, archive, each: &mut *each, audit: &mut *self };
            let mut chain = Chain::new(head.shard);
            for file in files.iter().filter(|file| file.shard == head.shard) {
                auditing.file(&mut chain, file).await?;
            }
            match swept.sound(head.shard) {
                Some(events) => auditing.audit.events += events,
                None => auditing.table(&mut chain, &head).await?,
            }
        }
        self.beyond(&**store).await?;
        if store.archives().await? == files {
            Ok(())
        } else {
            Err(JournalError::Unavailable("events were archived meanwhile; ask again".to_owned()))
        }
    }

    /// Reads a shard of which nothing has left up to its head and hands every event to `each`. Goes
    /// on behind what is wrong.
    pub(super) async fn shard(
        &mut self,
        store: &dyn Store,
        head: Head,
        each: &mut (impl FnMut(OrderId, u16, u64) + Send),
    ) -> Result<(), JournalError> {
        let mut auditing = Auditing { store, archive: None, each, audit: self };
        auditing.table(&mut Chain::new(head.shard), &head).await
    }

    /// Names events where no writer can have put one.
    async fn beyond(&mut self, store: &dyn Store) -> Result<(), JournalError> {
        for (shard, position, order_id) in store.beyond_heads(BEYOND_MAX).await? {
            self.damages.push(Damage {
                shard: u16::try_from(shard).unwrap_or(u16::MAX),
                position,
                order_id: OrderId::recorded(&order_id).ok(),
                kind: DamageKind::Beyond,
            });
        }
        Ok(())
    }
}

/// Reads a whole table at once, behind what has left for files. Finds nothing sound where that cannot
/// be done, or where there is a row that cannot be read.
async fn sweep(
    store: &Arc<dyn Store>,
    heads: &[Head],
    files: &[Archived],
    each: &mut (impl FnMut(OrderId, u16, u64) + Send),
) -> Result<Sweep, JournalError> {
    let begins_after = |shard| {
        let last = files.iter().rfind(|file| file.shard == shard);
        last.map_or((0, GENESIS), |file| (file.last, file.last_hash))
    };
    let mut sweep = Sweep::new(heads, begins_after);
    let (tell, mut pieces) = mpsc::channel(PIECES_AHEAD);
    let store = Arc::clone(store);
    let copying = tokio::spawn(async move { store.sweep(tell).await });
    let mut rows = Rows::default();
    while let Some(piece) = pieces.recv().await {
        match rows.piece(&piece, |copied| sweep.event(copied, each)) {
            Ok(()) => {}
            Err(JournalError::Broken { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    drop(pieces);
    copying.await.map_err(|error| JournalError::Unavailable(error.to_string()))??;
    Ok(sweep)
}

/// A place of the journal that nobody can have written so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {kind}")]
pub struct Damage {
    /// The shard.
    pub shard: u16,
    /// The first position that is wrong.
    pub position: u64,
    /// Whose event stands there, if one does.
    pub order_id: Option<OrderId>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong at a place of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// No event stands there, up to this position.
    #[error("missing, up to position {0}")]
    Missing(u64),
    /// More than one event stands there.
    #[error("more than one event")]
    Twice,
    /// The event is not the one that was written there: changed, moved or inserted.
    #[error("not the event that was written there")]
    Changed,
    /// An event stands behind the shard's head, or in no shard: no writer has put it there.
    #[error("behind the head of its shard, where no writer has written")]
    Beyond,
    /// From here on, up to a page, events cannot be read.
    #[error("not readable as an event")]
    Unreadable,
    /// The last event is not the one that the shard's own row names.
    #[error("the chain does not end in the shard's hash")]
    End,
}

/// Follows one shard's chain, event by event.
pub(super) struct Chain {
    shard: u16,
    position: u64,
    // Unknown behind a gap: the next event cannot be judged, those after it can.
    hash: Option<[u8; 32]>,
}

impl Chain {
    pub(super) const fn new(shard: u16) -> Self {
        Self { shard, position: 0, hash: Some(GENESIS) }
    }

    pub(super) fn next(&mut self, chained: &ChainedEvent) -> Vec<Damage> {
        let (position, order_id) = (chained.event.position, Some(chained.event.order_id));
        let mut damages: Vec<Damage> =
            self.reached(position.saturating_sub(1)).into_iter().collect();
        let damage = |kind| Damage { shard: self.shard, position, order_id, kind };
        if position <= self.position {
            damages.push(damage(DamageKind::Twice));
        } else if self.hash.is_some_and(|hash| chain_hash(&hash, &chained.event) != chained.hash) {
            damages.push(damage(DamageKind::Changed));
        }
        self.position = self.position.max(position);
        self.hash = Some(chained.hash);
        damages
    }

    /// Everything up to here was read; what did not come is missing.
    pub(super) fn reached(&mut self, position: u64) -> Option<Damage> {
        if position <= self.position {
            return None;
        }
        let first = self.position + 1;
        self.position = position;
        self.hash = None;
        let kind = DamageKind::Missing(position);
        Some(Damage { shard: self.shard, position: first, order_id: None, kind })
    }

    /// What stands before this position is elsewhere: the event there cannot be judged.
    pub(super) fn passed_over(&mut self, position: u64) {
        if position > self.position + 1 {
            self.position = position - 1;
            self.hash = None;
        }
    }

    /// Whether the chain came to this hash, as far as that is known.
    pub(super) fn is_at(&self, hash: &[u8; 32]) -> bool {
        self.hash.is_none_or(|here| here == *hash)
    }

    /// The chain goes on from here, whatever was seen before.
    pub(super) fn go_on_from(&mut self, position: u64, hash: [u8; 32]) {
        self.position = position;
        self.hash = Some(hash);
    }

    /// The events from here on could not be read; the next one that can cannot be judged.
    pub(super) fn unreadable(&mut self, position: u64) -> Option<Damage> {
        self.hash = None;
        let kind = DamageKind::Unreadable;
        Some(Damage { shard: self.shard, position, order_id: None, kind })
    }

    pub(super) fn ended(&self, head: &[u8; 32]) -> Option<Damage> {
        let (position, kind) = (self.position, DamageKind::End);
        (!self.is_at(head)).then_some(Damage { shard: self.shard, position, order_id: None, kind })
    }
}

/// An audit under way: over the table, and over the files before it where they are at hand.
struct Auditing<'a, E> {
    store: &'a dyn Store,
    archive: Option<&'a Archive>,
    each: &'a mut E,
    audit: &'a mut Audit,
}

impl<E: FnMut(OrderId, u16, u64) + Send> Auditing<'_, E> {
    fn event(&mut self, chain: &mut Chain, chained: &ChainedEvent) {
        self.audit.damages.extend(chain.next(chained));
        self.audit.events += 1;
        let event = &chained.event;
        (self.each)(event.order_id, event.shard, event.position);
    }

    /// Some of the table; none where a row cannot be read, which is written down.
    async fn page(
        &mut self,
        chain: &mut Chain,
        range: Range,
    ) -> Result<Option<Vec<ChainedEvent>>, JournalError> {
        match self.store.read(&[range]).await {
            Ok(events) => Ok(Some(events)),
            Err(JournalError::Broken { .. }) => {
                self.audit.damages.extend(chain.unreadable(range.after + 1));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Where the table goes on after a position, up to another.
    async fn next_after(&self, shard: u16, after: u64, end: u64) -> Result<u64, JournalError> {
        let next = self.store.next_after(shard, after).await?;
        Ok(next.map_or(end, |next| next - 1).clamp(after, end))
    }

    /// What has not left of a shard.
    async fn table(&mut self, chain: &mut Chain, head: &Head) -> Result<(), JournalError> {
        let mut after = chain.position;
        while after < head.position {
            let through = head.position.min(after + PAGE);
            let range = Range { shard: head.shard, after, through };
            after = through;
            if let Some(events) = self.page(chain, range).await? {
                for chained in &events {
                    self.event(chain, chained);
                }
                if events.is_empty() {
                    // A head that somebody moved may lie far away: straight on to what is there.
                    after = self.next_after(head.shard, through, head.position).await?;
                }
            }
        }
        self.audit.damages.extend(chain.reached(head.position));
        self.audit.damages.extend(chain.ended(&head.hash));
        Ok(())
    }

    /// What has left for a file, and what of the same positions is still in the table.
    async fn file(&mut self, chain: &mut Chain, file: &Archived) -> Result<(), JournalError> {
        let Archived { shard, first, last, last_hash, .. } = *file;
        self.audit.damages.extend(chain.reached(first - 1));
        let read = match self.archive {
            Some(archive) => {
                self.audit.files += 1;
                let read = self.left(chain, archive, file).await?;
                if let Err(error) = &read {
                    self.audit.archives.push(ArchiveDamage::of(error));
                }
                read.is_ok()
            }
            None => {
                self.unchecked(file);
                false
            }
        };
        if !read {
            self.stayed(chain, shard, last).await?;
        }
        chain.go_on_from(last, last_hash);
        Ok(())
    }

    fn unchecked(&mut self, file: &Archived) {
        let Archived { shard, first, last, .. } = *file;
        let file = file.file.clone();
        match self.audit.unchecked.last_mut() {
            Some(before) if before.shard == shard => {
                (before.last, before.file) = (last, file);
            }
            _ => self.audit.unchecked.push(Unchecked { shard, first, last, file }),
        }
    }

    /// Reads the file; the table must have the same events, or their orders have left.
    async fn left(
        &mut self,
        chain: &mut Chain,
        archive: &Archive,
        file: &Archived,
    ) -> Result<Result<(), ArchiveError>, JournalError> {
        if let Err(error) = archive.unchanged(file).await {
            return Ok(Err(error));
        }
        let mut after = file.first - 1;
        while after < file.last {
            let events = match archive.read(file, after, file.last).await {
                Ok(events) => events,
                Err(error) => return Ok(Err(error)),
            };
            let through = events.last().map_or(file.last, |last| last.event.position);
            let range = Range { shard: file.shard, after, through };
            let table = self.page(chain, range).await?.unwrap_or_default();
            self.compare(&events, table).await?;
            for chained in &events {
                self.event(chain, chained);
            }
            after = through;
        }
        if chain.is_at(&file.last_hash) {
            Ok(Ok(()))
        } else {
            let detail = "its chain does not end in the hash that the journal remembers";
            Ok(Err(ArchiveError::Damaged { file: file.file.clone(), detail: detail.to_owned() }))
        }
    }

    async fn compare(
        &mut self,
        archived: &[ChainedEvent],
        table: Vec<ChainedEvent>,
    ) -> Result<(), JournalError> {
        let mut table: HashMap<u64, ChainedEvent> =
            table.into_iter().map(|chained| (chained.event.position, chained)).collect();
        let orders: Vec<OrderId> = archived.iter().map(|chained| chained.event.order_id).collect();
        let may_have_left = self.store.archived_orders(ArchivedOrders::Among(&orders)).await?;
        let may_have_left: HashSet<OrderId> = may_have_left.into_iter().collect();
        for chained in archived {
            let (position, order_id) = (chained.event.position, chained.event.order_id);
            let kind = match table.remove(&position) {
                Some(here) if here == *chained => continue,
                Some(_) => DamageKind::Changed,
                None if may_have_left.contains(&order_id) => continue,
                None => DamageKind::Missing(position),
            };
            let (shard, order_id) = (chained.event.shard, Some(order_id));
            self.audit.damages.push(Damage { shard, position, order_id, kind });
        }
        Ok(())
    }

    /// What is still in the table of positions that have left: orders that were not over.
    async fn stayed(
        &mut self,
        chain: &mut Chain,
        shard: u16,
        last: u64,
    ) -> Result<(), JournalError> {
        let mut after = chain.position;
        loop {
            after = self.next_after(shard, after, last).await?;
            if after >= last {
                return Ok(());
            }
            let through = last.min(after + PAGE);
            let events = self.page(chain, Range { shard, after, through }).await?;
            for chained in events.unwrap_or_default() {
                chain.passed_over(chained.event.position);
                self.event(chain, &chained);
            }
            after = through;
        }
    }
}
