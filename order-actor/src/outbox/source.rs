use std::collections::BTreeMap;

use async_trait::async_trait;
use shared_events::contract::{Fact, FactBody, FactId, Origin, Timestamp};
use shared_events::stream::{
    Batch, Comparison, Cursors, Database, Place, Reader, Source, SourceError,
};
use tokio::sync::Mutex;

use super::translate;
use crate::journal::{Journal, JournalError};
use crate::record::RecordedEvent;
use crate::replay::{OrderReplay, Step};

/// The journal as a source of facts. A position always gives the same facts with the same ids.
pub struct OrderFacts {
    journal: Journal,
    replay: Mutex<OrderReplay>,
    /// Where its readers are remembered, if they are.
    readers: Option<Database>,
}

impl OrderFacts {
    /// A source over this journal. Each follower has its own, so that followers do not evict each
    /// other's cached orders.
    #[must_use]
    pub fn new(journal: Journal) -> Self {
        let replay = Mutex::new(OrderReplay::new(journal.clone()));
        Self { journal, replay, readers: None }
    }

    /// Remembers its readers in this database.
    #[must_use]
    pub fn remembering_in(mut self, readers: Database) -> Self {
        self.readers = Some(readers);
        self
    }
}

/// The ids of facts: derived from the event, or from the position for old events.
#[derive(Clone, Debug, Default)]
pub struct FactIds {
    by_position_through: BTreeMap<u16, u64>,
}

impl FactIds {
    /// The id rules of this journal.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`](crate::journal::JournalError) if it cannot be read.
    pub async fn of(journal: &Journal) -> Result<Self, JournalError> {
        Ok(Self { by_position_through: journal.ids_by_position().await? })
    }

    /// The id of the `index`-th fact of an event.
    #[must_use]
    pub fn id(&self, recorded: &RecordedEvent, index: u16) -> FactId {
        let (shard, position) = (recorded.shard, recorded.position);
        if position <= self.by_position_through.get(&shard).copied().unwrap_or(0) {
            return FactId::at(Origin::Orders, shard, position, index);
        }
        let event = (recorded.order_id.into(), recorded.sequence);
        let place = (shard, position);
        FactId::of_event(Origin::Orders, event, place, recorded.recorded_at, index)
    }
}

/// The facts of one event, given the order before and after it.
#[must_use]
pub fn facts_of(recorded: &RecordedEvent, step: &Step, ids: &FactIds) -> Vec<Fact> {
    let (shard, position) = (recorded.shard, recorded.position);
    let causation = recorded
        .metadata
        .causation
        .clone()
        .or_else(|| recorded.metadata.request_id.map(|id| id.to_string()));
    (0_u16..)
        .zip(translate(&step.after, &recorded.event))
        .map(|(index, fact)| {
            let (id, place) = (ids.id(recorded, index), (shard, position, index));
            let (sequence, time) = (recorded.sequence, recorded.event.at());
            Fact::new(id, place, sequence, time, FactBody::Order(fact))
                .caused(causation.clone(), recorded.metadata.traceparent.clone())
                .stated(recorded.metadata.tracestate.clone())
                .marked(recorded.mark)
        })
        .collect()
}

#[async_trait]
impl Source<Fact> for OrderFacts {
    async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Batch<Fact>, SourceError> {
        let Batch { items: events, through, more } =
            crate::replay::read(&self.journal, cursors, limit).await?;
        let ids = FactIds::of(&self.journal).await.map_err(crate::replay::source_error)?;
        let mut replay = self.replay.lock().await;
        replay.keep_up();
        let mut items = Vec::with_capacity(events.len());
        for recorded in &events {
            match replay.step(recorded).await {
                Ok(step) => items.extend(facts_of(recorded, &step, &ids)),
                Err(error) if error.is_history() => {
                    // An impossible history is reported to operators and never published.
                    let reason = error.to_string();
                    let order_id = recorded.order_id;
                    tracing::error!(order = %order_id, reason, "quarantined: impossible history");
                    self.journal
                        .quarantine(order_id, &reason)
                        .await
                        .map_err(crate::replay::source_error)?;
                }
                Err(error) => return Err(SourceError::Unavailable(error.to_string())),
            }
        }
        Ok(Batch { items, through, more })
    }

    async fn changed(&self, cursors: &Cursors) {
        self.journal.changed(cursors).await;
    }

    fn shards(&self) -> Option<u16> {
        Some(self.journal.shards())
    }

    async fn begins_after(&self) -> Result<Cursors, SourceError> {
        self.journal.begins_after().await.map_err(crate::replay::source_error)
    }

    async fn compare(&self, places: &[Place], incarnation: u64) -> Result<Comparison, SourceError> {
        let compared = self.journal.compare(places, incarnation, "a reader of facts").await;
        compared.map_err(crate::replay::source_error)
    }

    async fn meet(&self, reader: &Reader) -> Result<bool, SourceError> {
        let Some(readers) = &self.readers else { return Ok(true) };
        let known = reader.is_known(readers).await;
        known.map_err(|error| SourceError::Unavailable(error.to_string()))
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        self.journal.available_heads().await.map_err(crate::replay::source_error)
    }

    async fn ends(&self) -> Result<Cursors, SourceError> {
        self.journal.available_ends().await.map_err(crate::replay::source_error)
    }

    async fn oldest_after(&self, cursors: &Cursors) -> Result<Option<Timestamp>, SourceError> {
        crate::replay::oldest_after(&self.journal, cursors).await
    }
}
