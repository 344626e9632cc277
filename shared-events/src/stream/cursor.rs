use std::collections::BTreeMap;

use sqlx::Row as _;

use super::database::{Database, DatabaseError, Tx};

/// How far somebody got in each shard of a log: the last position that is done, 0 for none.
/// Shards that are absent stand at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursors(BTreeMap<u16, u64>);

impl Cursors {
    /// The last position done in a shard.
    #[must_use]
    pub fn get(&self, shard: u16) -> u64 {
        self.0.get(&shard).copied().unwrap_or(0)
    }

    /// Moves a shard's cursor forward; one that is already there or further stays.
    pub fn advance(&mut self, shard: u16, position: u64) {
        let at = self.0.entry(shard).or_insert(0);
        *at = (*at).max(position);
    }

    /// Moves every shard forward to where `other` is.
    pub fn merge(&mut self, other: &Self) {
        for (shard, position) in other.iter() {
            self.advance(shard, position);
        }
    }

    /// Whether no shard of `other` is further than here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(shard, position)| self.get(shard) >= position)
    }

    /// How many positions lie between here and `head`, over all shards.
    #[must_use]
    pub fn behind(&self, head: &Self) -> u64 {
        head.iter().map(|(shard, position)| position.saturating_sub(self.get(shard))).sum()
    }

    /// Every shard that stands somewhere, with its position, by shard.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.0.iter().map(|(shard, position)| (*shard, *position))
    }

    /// Whether no shard has moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The stored cursors of a follower.
    ///
    /// # Errors
    /// [`DatabaseError`] where the database does not answer.
    pub async fn load(database: &Database, follower: &str) -> Result<Self, DatabaseError> {
        let rows = sqlx::query("SELECT shard, position FROM cursors WHERE follower = $1")
            .bind(follower)
            .fetch_all(database.reader())
            .await?;
        let mut cursors = Self::default();
        for row in rows {
            let (shard, position): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            cursors.advance(
                u16::try_from(shard).map_err(|_| DatabaseError::Corrupt("cursor shard"))?,
                u64::try_from(position).map_err(|_| DatabaseError::Corrupt("cursor position"))?,
            );
        }
        Ok(cursors)
    }

    /// Stores these shards' positions for a follower, in the transaction of its effect.
    ///
    /// # Errors
    /// [`DatabaseError`] where the database does not answer.
    pub async fn store(&self, tx: &mut Tx, follower: &str) -> Result<(), DatabaseError> {
        for (shard, position) in self.iter() {
            sqlx::query(
                "INSERT INTO cursors (follower, shard, position) VALUES ($1, $2, $3)
                 ON CONFLICT (follower, shard) DO UPDATE SET position = excluded.position",
            )
            .bind(follower)
            .bind(i64::from(shard))
            .bind(i64::try_from(position).map_err(|_| DatabaseError::Corrupt("position"))?)
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }
}

impl FromIterator<(u16, u64)> for Cursors {
    fn from_iter<I: IntoIterator<Item = (u16, u64)>>(positions: I) -> Self {
        let mut cursors = Self::default();
        for (shard, position) in positions {
            cursors.advance(shard, position);
        }
        cursors
    }
}
