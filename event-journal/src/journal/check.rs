//! Checks everything that the journal holds, and reports what of it is archived.

use futures::future::try_join_all;
use shared_events::stream::Cursors;

use super::handle::Journal;
use crate::audit::{ArchiveDamage, Audit, End};
use crate::error::JournalError;
use crate::id::StreamId;
use crate::store::ArchivedStreams;

impl Journal {
    /// Reads everything up to the heads, follows the hash chain and calls `each` with the stream,
    /// shard and position of every event, in no order, possibly twice for the events of a damaged
    /// shard. Continues after damage, so that one does not hide the next. Archived events are read
    /// from the archive where one is given, as part of the same chain; without one the chain is
    /// followed from where the table begins.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`]; damage is no error here.
    pub async fn audit(
        &self,
        mut each: impl FnMut(StreamId, u16, u64) + Send,
    ) -> Result<Audit, JournalError> {
        let mut audit = Audit::default();
        for database in self.databases() {
            let heads = database.heads().await?;
            audit.ends.extend(heads.iter().filter(|head| head.position > 0).map(End::from));
            audit.database(&database.store, database.cold.archive(), heads, &mut each).await?;
        }
        audit.ends.sort_unstable_by_key(|end| end.shard);
        Ok(audit)
    }

    /// Reads everything up to the heads and follows the hash chain; returns the number of events.
    ///
    /// # Errors
    /// [`JournalError::Broken`] at the first event that was changed, moved, inserted or removed.
    pub async fn verify(&self) -> Result<u64, JournalError> {
        let audit = self.audit(|_, _, _| ()).await?;
        if let Some(ArchiveDamage { file, detail }) = audit.archives.into_iter().next() {
            let detail = format!("{file}: {detail}");
            return Err(JournalError::Broken { shard: 0, position: 0, detail });
        }
        match audit.damages.into_iter().next() {
            None => Ok(audit.events),
            Some(damage) => Err(JournalError::Broken {
                shard: damage.shard,
                position: damage.position.saturating_sub(1),
                detail: damage.to_string(),
            }),
        }
    }

    /// The hash at a position at or before the head; none where it is archived and no archive is
    /// given, or where the event cannot be read.
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

    /// The position of each shard up to which events may be archived: reading from there on needs
    /// no archive. Zero for all where one is given.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn begins_after(&self) -> Result<Cursors, JournalError> {
        if self.shared.options.archive.is_some() {
            return Ok(Cursors::default());
        }
        let files = self.databases().iter().map(|database| database.store.archives());
        let files = try_join_all(files).await?.concat();
        Ok(files.iter().map(|file| (file.shard, file.last)).collect())
    }

    /// Archived streams, after this one by id; at most `limit`. An unfinished run of archiving may
    /// have named some that are still in the table.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn archived_streams(
        &self,
        after: Option<StreamId>,
        limit: u32,
    ) -> Result<Vec<StreamId>, JournalError> {
        let asked = ArchivedStreams::After(after, limit);
        let found = self.databases().iter().map(|database| database.store.archived_streams(asked));
        let mut found = try_join_all(found).await?.concat();
        found.sort_unstable();
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }
}
