//! Finds the streams that can be archived.

use shared_events::stream::Cursors;

use super::error::{ArchivingError, damaged};
use super::run::{Archiving, PAGE};
use crate::event::StoredEvent;
use crate::id::StreamId;
use crate::store::stored;

/// What a run would archive, or archives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Streams that are archived completely.
    pub streams: u64,
    /// Their events.
    pub events: u64,
    /// Events of the same positions that also stay in the table, because their streams are not
    /// finished or were active later.
    pub retained: u64,
}

impl Archiving {
    /// Finds the streams that can be archived: `over` reports for a complete history that nothing
    /// can happen to it any more, and all of it is within reach.
    ///
    /// # Errors
    /// [`ArchivingError`]
    pub async fn select(
        &mut self,
        reach: &Cursors,
        over: impl Fn(&[StoredEvent]) -> bool,
    ) -> Result<Selection, ArchivingError> {
        sqlx::query("CREATE TEMPORARY TABLE selected (order_id text PRIMARY KEY, positions text)")
            .execute(&mut self.db)
            .await?;
        let mut selection = Selection::default();
        let (mut history, mut chosen) = (Vec::new(), Vec::new());
        let mut after = (String::new(), 0);
        let mut archived = 0;
        loop {
            let page = self.by_stream(&after).await?;
            let at_end = page.is_empty();
            if let Some(last) = page.last() {
                after = (last.stream_id.to_string(), last.sequence.cast_signed());
            }
            // The None after the last event ends the last history.
            for event in page.into_iter().map(Some).chain(at_end.then_some(None)) {
                let next = event.as_ref().map(|event: &StoredEvent| event.stream_id);
                let ended = |first: &StoredEvent| Some(first.stream_id) != next;
                if history.first().is_some_and(ended) {
                    let within = self.within(&history, reach);
                    archived += within;
                    if within == length(&history) && is_whole(&history) && over(&history) {
                        selection.streams += 1;
                        selection.events += within;
                        chosen.extend(positions(&history));
                    }
                    history.clear();
                }
                history.extend(event);
            }
            self.choose(std::mem::take(&mut chosen)).await?;
            if at_end {
                selection.retained = archived - selection.events;
                return Ok(selection);
            }
        }
    }

    /// Events after this stream and version, by stream and version.
    async fn by_stream(
        &mut self,
        (stream_id, sequence): &(String, i64),
    ) -> Result<Vec<StoredEvent>, ArchivingError> {
        let rows = sqlx::query(
            "SELECT aggregate_id, sequence, shard, position, recorded_at, event_type, event_version,
                    payload::text AS payload, metadata::text AS metadata
             FROM events WHERE aggregate_type = 'order' AND (aggregate_id, sequence) > ($1, $2)
             ORDER BY aggregate_id, sequence LIMIT $3",
        )
        .bind(stream_id)
        .bind(sequence)
        .bind(PAGE)
        .fetch_all(&mut self.db)
        .await?;
        rows.iter().map(stored).collect::<Result<_, _>>().map_err(damaged)
    }

    /// How many of these events are in files, or will be.
    fn within(&self, history: &[StoredEvent], reach: &Cursors) -> u64 {
        let end = |shard: u16| self.end(shard).0.max(reach.get(shard));
        length(history.iter().filter(|event| event.position <= end(event.shard)))
    }

    async fn choose(&mut self, chosen: Vec<(StreamId, String)>) -> Result<(), ArchivingError> {
        let (ids, positions): (Vec<String>, Vec<String>) =
            chosen.into_iter().map(|(id, positions)| (id.to_string(), positions)).unzip();
        sqlx::query("INSERT INTO selected SELECT * FROM unnest($1::text[], $2::text[])")
            .bind(ids)
            .bind(positions)
            .execute(&mut self.db)
            .await?;
        Ok(())
    }
}

fn length<T>(items: impl IntoIterator<Item = T>) -> u64 {
    u64::try_from(items.into_iter().count()).unwrap_or(u64::MAX)
}

/// Whether it begins with the first version. A stream that does not was active again after it was
/// archived, and stays.
fn is_whole(history: &[StoredEvent]) -> bool {
    history.iter().zip(1..).all(|(event, version)| event.sequence == version)
}

/// The positions of a stream's events, as a Postgres array.
fn positions(history: &[StoredEvent]) -> Option<(StreamId, String)> {
    let positions: Vec<String> = history.iter().map(|event| event.position.to_string()).collect();
    Some((history.first()?.stream_id, format!("{{{}}}", positions.join(","))))
}
