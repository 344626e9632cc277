//! Reads all streams in the order of their positions, after a reader's cursors.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use shared_events::contract::Mark;
use shared_events::stream::Cursors;

use super::handle::Journal;
use crate::error::JournalError;
use crate::event::{ChainedEvent, StoredEvent};
use crate::shared_event::SharedEvent;
use crate::store::Range;

impl Journal {
    /// At most `limit` events after these cursors, by shard and position. Shards that have more
    /// share the page, so that a busy one cannot delay the others. Databases that do not answer
    /// contribute nothing, if others do.
    ///
    /// # Errors
    /// [`JournalError::Broken`] where a position is missing or a cursor is ahead of the journal,
    /// [`JournalError::Archived`] where the next event is archived and no archive is given,
    /// [`JournalError::Unavailable`] where no database answers.
    pub async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, JournalError> {
        let (events, _) = self.page_after(cursors, limit).await?;
        Ok(events.into_iter().map(|shared| shared.into_chained().event).collect())
    }

    /// As [`Self::read_after`], and whether there was more.
    pub async fn page_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<(Vec<SharedEvent>, bool), JournalError> {
        if let Some((shard, _)) = cursors.iter().find(|(shard, _)| *shard >= self.shared.shards) {
            self.database(shard)?;
        }
        // We learn of our own commits a moment after the database, which a reader may have asked
        // directly; and after the database lost events we know too much. So the database decides
        // what is broken.
        if let Some(heads) = self.own_heads(cursors) {
            match self.page_before(heads, cursors, limit).await {
                Err(JournalError::Broken { .. } | JournalError::Forked { .. }) => {}
                page => return page,
            }
        }
        let heads = self.readable_heads(cursors).await?;
        self.page_before(heads, cursors, limit).await
    }

    async fn page_before(
        &self,
        heads: Cursors,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<(Vec<SharedEvent>, bool), JournalError> {
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
        let events: Vec<SharedEvent> = match remembered.collect::<Option<Vec<_>>>() {
            Some(events) => events.into_iter().flatten().collect(),
            None => {
                let events = self.read(ranges.clone()).await?;
                self.check_continues(&ranges, cursors).await?;
                events.into_iter().map(SharedEvent::new).collect()
            }
        };
        let more = u64::try_from(events.len()).is_ok_and(|read| read < there);
        Ok((events, more))
    }

    /// Whether the events follow what the reader saw last. Checked after the read, so that a
    /// database that was exchanged in between is noticed.
    async fn check_continues(
        &self,
        ranges: &[Range],
        cursors: &Cursors,
    ) -> Result<(), JournalError> {
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
        let heads = self.database(shard)?.heads().await?;
        let Some(head) = heads.iter().find(|head| head.shard == shard) else {
            let detail = "its database does not know it".to_owned();
            return Err(JournalError::Broken { shard, position: after, detail });
        };
        self.read(share(vec![range_after(shard, head.position, after)?], limit)).await
    }

    /// Reads ranges before the heads, each from its database: every position must exist, or be
    /// archived. Stops at an archived position and returns some of the events archived there.
    async fn read(&self, ranges: Vec<Range>) -> Result<Vec<ChainedEvent>, JournalError> {
        let reads = self.databases().iter().filter_map(|database| {
            let ours = ranges.iter().filter(|range| database.holds.contains(range.shard));
            let ours: Vec<Range> = ours.copied().collect();
            (!ours.is_empty()).then_some(async move { database.store.read(&ours).await })
        });
        let mut events = try_join_all(reads).await?.concat();
        if self.databases().len() > 1 {
            // Each part came sorted; their shards may interleave.
            events.sort_by_key(|chained| (chained.event.shard, chained.event.position));
        }
        let mut found = 0;
        for range in ranges {
            for position in range.after + 1..=range.through {
                let next = events.get(found);
                let next = next.map(|chained| (chained.event.shard, chained.event.position));
                if next != Some((range.shard, position)) {
                    let rest = Range { after: position - 1, ..range };
                    if let Some(archived) = self.database(range.shard)?.cold.read(rest).await? {
                        events.truncate(found);
                        events.extend(archived);
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

    /// The marks of these places, each given as a range of one position, as far as they are in the
    /// tables.
    pub(crate) async fn marks(
        &self,
        places: &[Range],
    ) -> Result<BTreeMap<(u16, u64), Mark>, JournalError> {
        let reads = self.databases().iter().filter_map(|database| {
            let here = places.iter().filter(|range| database.holds.contains(range.shard));
            let here: Vec<Range> = here.copied().collect();
            (!here.is_empty()).then_some(async move { database.store.read(&here).await })
        });
        let found = try_join_all(reads).await?.concat();
        Ok(found
            .into_iter()
            .map(|chained| {
                let place = (chained.event.shard, chained.event.position);
                (place, Mark::of(&chained.hash))
            })
            .collect())
    }
}

fn forked(shard: u16, position: u64) -> JournalError {
    let detail = format!("the event read at position {position} is not there");
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

/// Cuts ranges so that together they are at most `limit` long: the shortest are kept, the others
/// get equal parts of the rest.
fn share(mut ranges: Vec<Range>, limit: usize) -> Vec<Range> {
    let mut archived = u64::try_from(limit).unwrap_or(u64::MAX);
    ranges.retain(|range| range.through > range.after);
    ranges.sort_by_key(|range| range.through - range.after);
    let mut sharers = u64::try_from(ranges.len()).unwrap_or(u64::MAX);
    for range in &mut ranges {
        let part = (range.through - range.after).min(archived.div_ceil(sharers.max(1)));
        range.through = range.after + part;
        archived -= part;
        sharers -= 1;
    }
    ranges.retain(|range| range.through > range.after);
    ranges.sort_by_key(|range| range.shard);
    ranges
}
