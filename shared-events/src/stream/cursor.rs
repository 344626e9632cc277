use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::database::{Database, DatabaseError, Tx};

/// Which shards of a log a reader reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All there are.
    #[default]
    All,
    /// These.
    Only(BTreeSet<u16>),
}

impl Scope {
    /// Nothing, for now.
    #[must_use]
    pub const fn nothing() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// Whether a shard is read.
    #[must_use]
    pub fn includes(&self, shard: u16) -> bool {
        match self {
            Self::All => true,
            Self::Only(shards) => shards.contains(&shard),
        }
    }

    /// Whether no shard is read.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Only(shards) if shards.is_empty())
    }
}

/// How far somebody got in each shard of a log that they read: the last position that is done, 0
/// for none. Shards that are absent stand at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursors {
    at: BTreeMap<u16, u64>,
    scope: Scope,
}

impl Cursors {
    /// The same, of these shards only: what a source hands over after them is of no other.
    #[must_use]
    pub fn scoped(mut self, scope: Scope) -> Self {
        self.at.retain(|shard, _| scope.includes(*shard));
        self.scope = scope;
        self
    }

    /// Whether a shard is read.
    #[must_use]
    pub fn reads(&self, shard: u16) -> bool {
        self.scope.includes(shard)
    }

    /// Which shards are read.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The last position done in a shard.
    #[must_use]
    pub fn get(&self, shard: u16) -> u64 {
        self.at.get(&shard).copied().unwrap_or(0)
    }

    /// Moves a shard's cursor forward; one that is already there or further stays.
    pub fn advance(&mut self, shard: u16, position: u64) {
        let at = self.at.entry(shard).or_insert(0);
        *at = (*at).max(position);
    }

    /// Moves every shard that is read forward to where `other` is.
    pub fn merge(&mut self, other: &Self) {
        for (shard, position) in other.iter() {
            if self.reads(shard) {
                self.advance(shard, position);
            }
        }
    }

    /// Whether no shard of `other` that is read here is further than here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(shard, position)| !self.reads(shard) || self.get(shard) >= position)
    }

    /// How many positions lie between here and `head`, over all shards that are read.
    #[must_use]
    pub fn behind(&self, head: &Self) -> u64 {
        head.iter()
            .filter(|(shard, _)| self.reads(*shard))
            .map(|(shard, position)| position.saturating_sub(self.get(shard)))
            .sum()
    }

    /// Every shard that stands somewhere, with its position, by shard.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.at.iter().map(|(shard, position)| (*shard, *position))
    }

    /// Whether no shard has moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
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
        stored(&rows)
    }

    /// Moves a follower's stored cursors from here to `through`, in the transaction of its effect
    /// and before it: two who follow under one name wait for each other here, and the second is
    /// told that the first has moved them. Where this is `Ok` and the transaction commits, nobody
    /// else has had any effect in between.
    ///
    /// # Errors
    /// [`CursorError::Moved`] where they are not where they are believed to be.
    pub async fn store(
        &self,
        database: &Database,
        tx: &mut Tx,
        follower: &str,
        through: &Self,
    ) -> Result<(), CursorError> {
        // The first time there is no row to move; two who make it meet at the key.
        let insert = database.sql(
            "INSERT INTO cursors (follower, shard, position)
             SELECT $1, shard, through FROM json_to_recordset($2::json)
                 AS row(shard BIGINT, through BIGINT)
             ON CONFLICT (follower, shard) DO UPDATE SET position = excluded.position
             WHERE cursors.position = 0",
            "INSERT INTO cursors (follower, shard, position)
             SELECT $1, value ->> 'shard', value ->> 'through' FROM json_each($2) WHERE TRUE
             ON CONFLICT (follower, shard) DO UPDATE SET position = excluded.position
             WHERE cursors.position = 0",
        );
        let update = database.sql(
            "UPDATE cursors SET position = row.through FROM json_to_recordset($2::json)
                 AS row(shard BIGINT, stands BIGINT, through BIGINT)
             WHERE follower = $1 AND cursors.shard = row.shard AND position = row.stands",
            "UPDATE cursors SET position = row.through
             FROM (SELECT value ->> 'shard' AS shard, value ->> 'stands' AS stands,
                          value ->> 'through' AS through FROM json_each($2)) AS row
             WHERE follower = $1 AND cursors.shard = row.shard AND position = row.stands",
        );
        let (new, known): (Vec<_>, Vec<_>) =
            through.iter().partition(|(shard, _)| self.get(*shard) == 0);
        for (sql, moves) in [(insert, new), (update, known)] {
            if moves.is_empty() {
                continue;
            }
            let rows: Vec<_> = moves
                .iter()
                .map(|(shard, through)| {
                    serde_json::json!({
                        "shard": shard, "stands": self.get(*shard), "through": through,
                    })
                })
                .collect();
            let hit = sqlx::query(sql)
                .bind(follower)
                .bind(serde_json::Value::from(rows).to_string())
                .execute(&mut **tx)
                .await
                .map_err(DatabaseError::from)?;
            if hit.rows_affected() != u64::try_from(moves.len()).unwrap_or(u64::MAX) {
                let shard = not_moved(tx, follower, &moves).await?;
                return Err(CursorError::Moved { shard });
            }
        }
        Ok(())
    }
}

/// The first of these moves that did not happen.
async fn not_moved(
    tx: &mut Tx,
    follower: &str,
    moves: &[(u16, u64)],
) -> Result<u16, DatabaseError> {
    let rows = sqlx::query("SELECT shard, position FROM cursors WHERE follower = $1")
        .bind(follower)
        .fetch_all(&mut **tx)
        .await?;
    let stored = stored(&rows)?;
    let missed = moves.iter().find(|(shard, through)| stored.get(*shard) != *through);
    Ok(missed.or(moves.first()).map_or(0, |(shard, _)| *shard))
}

fn stored(rows: &[AnyRow]) -> Result<Cursors, DatabaseError> {
    let mut cursors = Cursors::default();
    for row in rows {
        let (shard, position): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        cursors.advance(
            u16::try_from(shard).map_err(|_| DatabaseError::Corrupt("cursor shard"))?,
            u64::try_from(position).map_err(|_| DatabaseError::Corrupt("cursor position"))?,
        );
    }
    Ok(cursors)
}

/// Why a follower's cursors were not moved.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// Somebody else follows under the same name and was faster.
    #[error("another one of this name has moved the cursor of shard {shard}")]
    Moved {
        /// Where.
        shard: u16,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
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
