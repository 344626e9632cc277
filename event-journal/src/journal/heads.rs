//! Where the shards end, as the databases say it, or as this process knows it.

use futures::future::{join_all, try_join_all};
use shared_events::stream::{Cursors, Place, Scope};

use super::handle::Journal;
use crate::error::JournalError;
use crate::spread::{Database, cursors_of, learn};

impl Journal {
    /// The last position of each shard, from the databases: what is committed.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where one of them does not answer.
    pub async fn heads(&self) -> Result<Cursors, JournalError> {
        let heads = try_join_all(self.databases().iter().map(Database::heads)).await?;
        Ok(cursors_of(&heads.concat()))
    }

    /// As [`Self::heads`], in those databases that answer: it reads their shards and no others.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where none of them does.
    pub async fn heads_there(&self) -> Result<Cursors, JournalError> {
        self.standing(&Cursors::default()).await
    }

    /// Where the shards of these places end, in the databases that answer: it reads their shards.
    pub(super) async fn heads_of(&self, places: &[Place]) -> Result<Cursors, JournalError> {
        let shards = places.iter().map(|place| place.shard).collect();
        match self.standing(&Cursors::default().scoped(Scope::Only(shards))).await {
            // All of them are in databases that are away; of others something may be known.
            Err(JournalError::Unavailable(_)) if self.databases().len() > 1 => {
                Ok(Cursors::default().scoped(Scope::nothing()))
            }
            heads => heads,
        }
    }

    /// Where the shards end that are read, if all of them are ours: nobody else can have added to
    /// them, so what we committed last is their end.
    pub(super) fn own_heads(&self, cursors: &Cursors) -> Option<Cursors> {
        if self.shared.lost.is_cancelled() {
            return None;
        }
        let ownership = self.shared.ownership.borrow();
        let ours = |shard: u16| ownership.tenure(shard).is_some();
        let all = (0..self.shared.shards).all(|shard| !cursors.reads(shard) || ours(shard));
        all.then(|| self.shared.committed.borrow().clone())
    }

    /// Where the shards stand in the databases that answer, of those that hold something that these
    /// cursors read; it reads the shards of these and no others. An error where none answers.
    pub(super) async fn standing(&self, cursors: &Cursors) -> Result<Cursors, JournalError> {
        let mut asked = Vec::new();
        for database in self.databases() {
            if database.holds.iter().any(|shard| cursors.reads(shard)) {
                asked.push(database.heads());
            }
        }
        let (mut heads, mut away, all) = (Vec::new(), Vec::new(), asked.len());
        for answer in join_all(asked).await {
            match answer {
                Ok(standing) => heads.extend(standing),
                // One that came late may turn out to be the wrong one.
                Err(error @ (JournalError::Unavailable(_) | JournalError::WrongDatabase(_))) => {
                    away.push(error)
                }
                Err(error) => return Err(error),
            }
        }
        if away.len() == all
            && let Some(error) = away.pop()
        {
            return Err(error);
        }
        let there = heads.iter().map(|head| head.shard).collect();
        let heads = cursors_of(&heads);
        learn(&self.shared.committed, &heads);
        Ok(heads.scoped(Scope::Only(there)))
    }

    /// Events after these cursors, as far as this process knows: others may have added some.
    pub fn known_after(&self, cursors: &Cursors) -> u64 {
        let committed = self.shared.committed.borrow();
        let after = |(shard, head): (u16, u64)| head.saturating_sub(cursors.get(shard));
        committed.iter().map(after).sum()
    }
}
