//! Which stream has which key.

use std::collections::HashMap;

use futures::future::try_join_all;

use super::handle::Journal;
use crate::error::JournalError;
use crate::event::UniqueKey;
use crate::id::StreamId;

impl Journal {
    /// The stream that has this key, in whichever database it was taken.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn holder_of(&self, key: &UniqueKey) -> Result<Option<StreamId>, JournalError> {
        Ok(self.holders_of(std::slice::from_ref(key)).await?.remove(key))
    }

    /// The streams that have these keys, in whichever database they were taken; those that are
    /// absent are free.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn holders_of(
        &self,
        keys: &[UniqueKey],
    ) -> Result<HashMap<UniqueKey, StreamId>, JournalError> {
        let asked = self.databases().iter().map(|database| database.store.holders(keys));
        let mut holders = HashMap::new();
        for found in try_join_all(asked).await? {
            for (key, holder) in found {
                // Of a key in two databases, the first counts.
                holders.entry(key).or_insert(holder);
            }
        }
        Ok(holders)
    }

    /// Keys with their streams, by key, after one of them, at most `limit` of each database.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn unique_keys(
        &self,
        after: Option<&UniqueKey>,
        limit: u32,
    ) -> Result<Vec<(UniqueKey, StreamId)>, JournalError> {
        let asked = self.databases().iter().map(|one| one.store.unique_keys(after, limit));
        let mut found = try_join_all(asked).await?.concat();
        found.sort_unstable();
        // A key that moved to another database is in both.
        found.dedup();
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Whether streams can take keys: only where all streams are in one database.
    #[must_use]
    pub fn keeps_keys(&self) -> bool {
        self.databases().len() == 1
    }
}
