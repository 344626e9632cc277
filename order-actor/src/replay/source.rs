use async_trait::async_trait;
use shared_events::contract::{Mark, Timestamp};
use shared_events::stream::{Batch, Comparison, Cursors, Place, Source, SourceError};

use crate::journal::{Journal, JournalError};
use crate::record::{RecordedEvent, decode_shared};

/// The journal as a source of its own events, for read models.
#[derive(Clone)]
pub struct JournalSource {
    journal: Journal,
}

impl JournalSource {
    /// A source over this journal.
    #[must_use]
    pub const fn new(journal: Journal) -> Self {
        Self { journal }
    }
}

/// The next batch after the cursors, decoded. An event that cannot be decoded quarantines its order
/// and is skipped; the shard continues.
pub(crate) async fn read(
    journal: &Journal,
    cursors: &Cursors,
    limit: usize,
) -> Result<Batch<RecordedEvent>, SourceError> {
    let (stored, more) = journal.page_after(cursors, limit).await.map_err(source_error)?;
    let mut through = Cursors::default();
    let mut events = Vec::with_capacity(stored.len());
    for shared in &stored {
        let event = shared.event();
        through.advance_to(event.shard, event.position, Some(Mark::of(shared.hash())));
        match decode_shared(shared) {
            Ok(recorded) => events.push(recorded),
            Err(error) => {
                let reason = error.to_string();
                tracing::error!(order = %event.stream_id, reason, "quarantined: unreadable event");
                journal.quarantine(event.stream_id, &reason).await.map_err(source_error)?;
            }
        }
    }
    Ok(Batch { items: events, through, more })
}

/// When the oldest event after the cursors was recorded.
pub(crate) async fn oldest_after(
    journal: &Journal,
    cursors: &Cursors,
) -> Result<Option<Timestamp>, SourceError> {
    let per_shard = usize::from(journal.shards());
    let waiting = journal.read_after(cursors, per_shard).await.map_err(source_error)?;
    Ok(waiting.iter().map(|event| event.recorded_at).min())
}

pub(crate) fn source_error(error: JournalError) -> SourceError {
    match error {
        JournalError::Broken { shard, position, detail } => {
            SourceError::Broken { shard, position, detail }
        }
        JournalError::Forked { shard, position, detail } => {
            SourceError::Forked { shard, position, detail }
        }
        JournalError::Archived { shard, through, first, file } => {
            SourceError::Archived { shard, through, first, file }
        }
        other => SourceError::Unavailable(other.to_string()),
    }
}

#[async_trait]
impl Source<RecordedEvent> for JournalSource {
    async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Batch<RecordedEvent>, SourceError> {
        read(&self.journal, cursors, limit).await
    }

    async fn changed(&self, cursors: &Cursors) {
        self.journal.changed(cursors).await;
    }

    async fn begins_after(&self) -> Result<Cursors, SourceError> {
        self.journal.begins_after().await.map_err(source_error)
    }

    async fn compare(&self, places: &[Place], incarnation: u64) -> Result<Comparison, SourceError> {
        let compared = self.journal.compare(places, incarnation, "a read model").await;
        compared.map_err(source_error)
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        self.journal.available_heads().await.map_err(source_error)
    }

    async fn ends(&self) -> Result<Cursors, SourceError> {
        self.journal.available_ends().await.map_err(source_error)
    }

    async fn oldest_after(&self, cursors: &Cursors) -> Result<Option<Timestamp>, SourceError> {
        oldest_after(&self.journal, cursors).await
    }
}
