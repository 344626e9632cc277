//! Reads shards in the order of their positions: the table, and the archive files before it where
//! they are given. Continues after damage.

use std::collections::{HashMap, HashSet};

use super::links::Chain;
use super::report::{ArchiveDamage, Audit, Damage, DamageKind, Unchecked};
use crate::error::JournalError;
use crate::event::ChainedEvent;
use crate::files::{Archive, ArchiveError, Archived};
use crate::id::StreamId;
use crate::store::{ArchivedStreams, Head, Range, Store};

/// Events per read when everything is verified.
const PAGE: u64 = 1_000;

/// An audit in progress: over the table, and over the archive files before it where they are given.
pub(super) struct Auditing<'a, E> {
    pub(super) store: &'a dyn Store,
    pub(super) archive: Option<&'a Archive>,
    pub(super) each: &'a mut E,
    pub(super) audit: &'a mut Audit,
}

impl<E: FnMut(StreamId, u16, u64) + Send> Auditing<'_, E> {
    fn event(&mut self, chain: &mut Chain, chained: &ChainedEvent) {
        self.audit.damages.extend(chain.next(chained));
        self.audit.events += 1;
        let event = &chained.event;
        (self.each)(event.stream_id, event.shard, event.position);
    }

    /// A range of the table; none where a row cannot be read, which is recorded.
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

    /// Where the table continues after a position, at most up to `end`.
    async fn next_after(&self, shard: u16, after: u64, end: u64) -> Result<u64, JournalError> {
        let next = self.store.next_after(shard, after).await?;
        Ok(next.map_or(end, |next| next - 1).clamp(after, end))
    }

    /// The part of a shard that is not archived.
    pub(super) async fn table(
        &mut self,
        chain: &mut Chain,
        head: &Head,
    ) -> Result<(), JournalError> {
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
                    // A damaged head may be far away: skip to the next row that exists.
                    after = self.next_after(head.shard, through, head.position).await?;
                }
            }
        }
        self.audit.damages.extend(chain.reached(head.position));
        self.audit.damages.extend(chain.ended(&head.hash));
        Ok(())
    }

    /// An archive file, and the events of the same positions that are still in the table.
    pub(super) async fn file(
        &mut self,
        chain: &mut Chain,
        file: &Archived,
    ) -> Result<(), JournalError> {
        let Archived { shard, first, last, last_hash, .. } = *file;
        self.audit.damages.extend(chain.reached(first - 1));
        let read = match self.archive {
            Some(archive) => {
                self.audit.files += 1;
                let read = self.archive_file(chain, archive, file).await?;
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
            self.retained(chain, shard, last).await?;
        }
        chain.continue_from(last, last_hash);
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

    /// Reads the file; the table must have the same events, or their streams are archived.
    async fn archive_file(
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
            let detail = "its chain does not end in the hash that the journal recorded";
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
        let streams: Vec<StreamId> =
            archived.iter().map(|chained| chained.event.stream_id).collect();
        let may_be_archived = self.store.archived_streams(ArchivedStreams::Among(&streams)).await?;
        let may_be_archived: HashSet<StreamId> = may_be_archived.into_iter().collect();
        for chained in archived {
            let (position, stream_id) = (chained.event.position, chained.event.stream_id);
            let kind = match table.remove(&position) {
                Some(here) if here == *chained => continue,
                Some(_) => DamageKind::Changed,
                None if may_be_archived.contains(&stream_id) => continue,
                None => DamageKind::Missing(position),
            };
            let (shard, stream_id) = (chained.event.shard, Some(stream_id));
            self.audit.damages.push(Damage { shard, position, stream_id, kind });
        }
        Ok(())
    }

    /// Events at archived positions that are still in the table: of streams that were not finished.
    async fn retained(
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
                chain.skipped(chained.event.position);
                self.event(chain, &chained);
            }
            after = through;
        }
    }
}
