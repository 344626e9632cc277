//! Single streams: their histories, their versions, and the quarantined ones.

use std::collections::HashMap;

use futures::future::try_join_all;

use super::handle::Journal;
use crate::error::JournalError;
use crate::event::{Quarantined, StoredEvent};
use crate::id::{AGGREGATE_TYPE, StreamId};
use crate::store::Loaded;

impl Journal {
    /// The whole history of a stream, from version 1; empty where it does not exist.
    ///
    /// # Errors
    /// [`JournalError::Broken`] where a version is missing, [`JournalError::StreamArchived`] where
    /// it is archived and no archive is given, [`JournalError::Unavailable`].
    pub async fn load(
        &self,
        stream_id: impl Into<StreamId>,
    ) -> Result<Vec<StoredEvent>, JournalError> {
        let stream_id = stream_id.into();
        let shard = self.shard_of(stream_id);
        let database = self.database(shard)?;
        let Loaded { mut events, positions } = database.store.load(stream_id).await?;
        let begun = events.first().is_some_and(|first| first.sequence == 1);
        if !begun && !positions.is_empty() {
            let archived = database.cold.load(stream_id, shard, &positions).await?;
            events.splice(..0, archived);
        }
        for (before, event) in (0..).zip(&events) {
            if event.sequence != before + 1 || event.shard != shard {
                return Err(JournalError::Broken {
                    shard,
                    position: 0,
                    detail: format!(
                        "{AGGREGATE_TYPE}/{stream_id}@{before} is followed by version {} in shard {}",
                        event.sequence, event.shard
                    ),
                });
            }
        }
        Ok(events)
    }

    /// The versions of these streams; those that are absent do not exist.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn versions<Id: Copy + Into<StreamId>>(
        &self,
        streams: &[Id],
    ) -> Result<HashMap<StreamId, u64>, JournalError> {
        let streams: Vec<StreamId> = streams.iter().map(|id| (*id).into()).collect();
        let asked = self.databases().iter().filter_map(|database| {
            let here =
                streams.iter().filter(|stream| database.holds.contains(self.shard_of(**stream)));
            let here: Vec<StreamId> = here.copied().collect();
            (!here.is_empty()).then_some(async move { database.store.versions(&here).await })
        });
        Ok(try_join_all(asked).await?.into_iter().flatten().collect())
    }

    /// Records, for operators, that a stream's history is impossible and why. Recorded again, the
    /// reason is replaced and the time of the first finding stays.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`], [`JournalError::Closed`] where the journal is read-only.
    pub async fn quarantine(
        &self,
        stream_id: impl Into<StreamId>,
        reason: &str,
    ) -> Result<(), JournalError> {
        if self.shared.options.read_only {
            return Err(JournalError::Closed);
        }
        let stream_id = stream_id.into();
        let database = self.database(self.shard_of(stream_id))?;
        database.store.quarantine(stream_id, reason, (self.shared.options.now)()).await
    }

    /// Every quarantined stream.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`]
    pub async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError> {
        let quarantined = self.databases().iter().map(|database| database.store.quarantined());
        let mut all = try_join_all(quarantined).await?.concat();
        all.sort_by_key(|stream| stream.stream_id);
        Ok(all)
    }

    /// How many streams are quarantined.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`]
    pub async fn count_quarantined(&self) -> Result<u64, JournalError> {
        let counts = self.databases().iter().map(|database| database.store.count_quarantined());
        Ok(try_join_all(counts).await?.into_iter().sum())
    }
}
