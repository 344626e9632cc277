//! Where the shards end, as the databases report it or as this process knows it.

use futures::future::{join_all, try_join_all};
use shared_events::stream::{Cursors, Place, Scope};

use super::handle::Journal;
use crate::error::JournalError;
use crate::spread::{Database, cursors_of, publish_heads};

impl Journal {
    /// The last committed position of each shard, from the databases.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where one of them does not answer.
    pub async fn heads(&self) -> Result<Cursors, JournalError> {
        let heads = try_join_all(self.databases().iter().map(Database::heads)).await?;
        Ok(cursors_of(&heads.concat()))
    }

    /// As [`Self::heads`], for the databases that answer: the result has their shards only.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where none of them does.
    pub async fn available_heads(&self) -> Result<Cursors, JournalError> {
        self.readable_heads(&Cursors::default()).await
    }

    /// As [`Self::available_heads`], with 0 for the empty shards of the databases that answer.
    ///
    /// # Errors
    /// As [`Self::available_heads`].
    pub async fn available_ends(&self) -> Result<Cursors, JournalError> {
        let mut ends = self.available_heads().await?;
        if let Scope::Only(there) = ends.scope().clone() {
            for shard in there {
                ends.advance(shard, 0);
            }
        }
        Ok(ends)
    }

    /// The last positions that this process knows to be committed, without asking a database.
    #[must_use]
    pub fn committed(&self) -> Cursors {
        self.shared.committed.borrow().clone()
    }

    /// The last positions of the shards of these places, in the databases that answer.
    pub(super) async fn heads_of(&self, places: &[Place]) -> Result<Cursors, JournalError> {
        let shards = places.iter().map(|place| place.shard).collect();
        match self.readable_heads(&Cursors::default().scoped(Scope::Only(shards))).await {
            // All of them are in unavailable databases; other shards may still be readable.
            Err(JournalError::Unavailable(_)) if self.databases().len() > 1 => {
                Ok(Cursors::default().scoped(Scope::nothing()))
            }
            heads => heads,
        }
    }

    /// The last positions of the shards that are read, if all of them are ours: no other process
    /// can have added to them, so our last commit is their end.
    pub(super) fn own_heads(&self, cursors: &Cursors) -> Option<Cursors> {
        if self.shared.lost.is_cancelled() {
            return None;
        }
        let ownership = self.shared.ownership.borrow();
        let ours = |shard: u16| ownership.tenure(shard).is_some();
        let all = (0..self.shared.shards).all(|shard| !cursors.reads(shard) || ours(shard));
        all.then(|| self.shared.committed.borrow().clone())
    }

    /// The last positions in the databases that answer, of those with shards that these cursors
    /// read; the result has no other shards. An error where none answers.
    pub(super) async fn readable_heads(&self, cursors: &Cursors) -> Result<Cursors, JournalError> {
        let mut asked = Vec::new();
        for database in self.databases() {
            if database.holds.iter().any(|shard| cursors.reads(shard)) {
                asked.push(database.heads());
            }
        }
        let (mut heads, mut unavailable, all) = (Vec::new(), Vec::new(), asked.len());
        for answer in join_all(asked).await {
            match answer {
                Ok(readable_heads) => heads.extend(readable_heads),
                // A database that came late may turn out to be the wrong one.
                Err(error @ (JournalError::Unavailable(_) | JournalError::WrongDatabase(_))) => {
                    unavailable.push(error)
                }
                Err(error) => return Err(error),
            }
        }
        if unavailable.len() == all
            && let Some(error) = unavailable.pop()
        {
            return Err(error);
        }
        let there = heads.iter().map(|head| head.shard).collect();
        let heads = cursors_of(&heads);
        publish_heads(&self.shared.committed, &heads);
        Ok(heads.scoped(Scope::Only(there)))
    }

    /// Events after these cursors, as far as this process knows: others may have added more.
    pub fn known_after(&self, cursors: &Cursors) -> u64 {
        let committed = self.shared.committed.borrow();
        let after = |(shard, head): (u16, u64)| head.saturating_sub(cursors.get(shard));
        committed.iter().map(after).sum()
    }
}
