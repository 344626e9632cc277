//! What the databases store beside the events, each read once.

use std::collections::BTreeMap;

use super::handle::{Journal, no_such_shard};
use crate::error::JournalError;
use crate::keys::{Fingerprints, PositionCipher};

impl Journal {
    /// Up to which position of each shard facts have ids derived from their position. Unavailable
    /// databases are left out, as their events are not read either.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a database does not answer.
    pub async fn ids_by_position(&self) -> Result<BTreeMap<u16, u64>, JournalError> {
        let mut all = BTreeMap::new();
        for (database, known) in self.databases().iter().zip(&self.shared.ids_by_position) {
            if database.unavailable().is_some() && !known.initialized() {
                continue;
            }
            all.extend(known.get_or_try_init(|| database.store.ids_by_position()).await?);
        }
        Ok(all)
    }

    /// Makes and compares fingerprints of requests to streams of this shard.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where its database has not been asked yet and does not answer.
    pub async fn fingerprints(&self, shard: u16) -> Result<&Fingerprints, JournalError> {
        let mut parts = self.databases().iter().zip(&self.shared.fingerprints);
        let (database, known) = parts
            .find(|(database, _)| database.holds.contains(shard))
            .ok_or_else(|| no_such_shard(shard))?;
        known
            .get_or_try_init(|| async {
                database.store.fingerprint_keys().await.map(Fingerprints::new)
            })
            .await
    }

    /// Hides positions of this shard from customers.
    ///
    /// # Errors
    /// As [`Self::fingerprints`].
    pub async fn position_cipher(&self, shard: u16) -> Result<&PositionCipher, JournalError> {
        self.fingerprints(shard).await.map(Fingerprints::position_cipher)
    }
}
