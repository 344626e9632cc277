//! Reads archived events, where the table no longer holds them.

use std::sync::Arc;

use crate::error::JournalError;
use crate::event::{ChainedEvent, StoredEvent};
use crate::files::{Archive, ArchiveError, Archived};
use crate::id::{AGGREGATE_TYPE, StreamId};
use crate::store::{Range, Store};

/// Reads archived events. It asks the database each time, because events may be archived while the
/// journal is open; only reads of archived events pay for that.
pub(crate) struct ArchiveReader {
    store: Arc<dyn Store>,
    archive: Option<Archive>,
}

impl ArchiveReader {
    pub(crate) fn new(store: Arc<dyn Store>, archive: Option<Archive>) -> Self {
        Self { store, archive }
    }

    pub(crate) const fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    /// The first events of a range, at least one; none where they are not archived.
    pub(crate) async fn read(
        &self,
        range: Range,
    ) -> Result<Option<Vec<ChainedEvent>>, JournalError> {
        let file = self.store.archive_with(range.shard, range.after + 1).await?;
        let Some(file) = file else { return Ok(None) };
        let Some(archive) = &self.archive else {
            return Err(self.archived(file).await?);
        };
        let read = archive.read(&file, range.after, range.through).await;
        read.map(Some).map_err(|error| unreadable(&file, error))
    }

    /// The refusal of a read that begins in this file: it names the first position of the shard from
    /// which on nothing is archived.
    async fn archived(&self, next: Archived) -> Result<JournalError, JournalError> {
        let files = self.store.archives().await?;
        let of_shard = files.iter().filter(|file| file.shard == next.shard);
        let last = of_shard.map(|file| file.last).max().unwrap_or(next.last);
        let Archived { shard, last: through, file, .. } = next;
        Ok(JournalError::Archived { shard, through, first: last + 1, file })
    }

    /// The events of an archived stream, from its recorded positions.
    pub(crate) async fn load(
        &self,
        stream_id: StreamId,
        shard: u16,
        positions: &[u64],
    ) -> Result<Vec<StoredEvent>, JournalError> {
        let mut events = Vec::with_capacity(positions.len());
        for position in positions {
            let Some(file) = self.store.archive_with(shard, *position).await? else {
                let detail = format!("{AGGREGATE_TYPE}/{stream_id} is archived in no known file");
                return Err(JournalError::Broken { shard, position: position - 1, detail });
            };
            let Some(archive) = &self.archive else {
                return Err(JournalError::StreamArchived { stream_id, file: file.file });
            };
            let read = archive.read(&file, position - 1, *position).await;
            let read = read.map_err(|error| unreadable(&file, error))?;
            events.extend(read.into_iter().map(|chained| chained.event));
        }
        if let Some(other) = events.iter().find(|event| event.stream_id != stream_id) {
            let (position, detail) =
                (other.position, format!("is not of {AGGREGATE_TYPE}/{stream_id}"));
            return Err(JournalError::Broken { shard, position, detail });
        }
        Ok(events)
    }
}

fn unreadable(file: &Archived, error: ArchiveError) -> JournalError {
    let detail = error.to_string();
    match error {
        ArchiveError::Unavailable { .. } => JournalError::Unavailable(format!("archive: {detail}")),
        ArchiveError::Damaged { .. } => {
            JournalError::Broken { shard: file.shard, position: file.first - 1, detail }
        }
    }
}
