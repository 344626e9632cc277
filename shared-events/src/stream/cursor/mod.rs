mod store; // the stored cursors of a follower

pub use store::CursorError;
use store::{not_moved, stored};
pub(super) use store::{read_in, set_back, store_marks};

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

use super::database::{Database, DatabaseError, Tx};
use super::history::Place;
use crate::contract::Mark;

/// Which shards of a log a reader reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All shards.
    #[default]
    All,
    /// These shards.
    Only(BTreeSet<u16>),
}

impl Scope {
    /// No shard, for now.
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

/// A reader's position in each shard of a log: the last one that is done, 0 for none, and the mark
/// there. Absent shards are at 0.
#[derive(Clone, Debug, Default)]
pub struct Cursors {
    at: BTreeMap<u16, At>,
    scope: Scope,
}

/// A position, with its mark where it is known. Cursors stored before there were marks have none.
#[derive(Clone, Copy, Debug, Default)]
struct At {
    position: u64,
    mark: Option<Mark>,
    /// The incarnation of the log in which it was read; 0 where it is not known.
    incarnation: u64,
    /// The log; none where it is not known.
    log: Option<Uuid>,
}

/// Equal if the same shards are at the same positions. Marks identify a history, not a position.
impl PartialEq for Cursors {
    fn eq(&self, other: &Self) -> bool {
        self.scope == other.scope && self.iter().eq(other.iter())
    }
}

impl Eq for Cursors {}

impl Cursors {
    /// The same cursors, limited to these shards: a source returns items of no others.
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

    /// The last position that is done in a shard.
    #[must_use]
    pub fn get(&self, shard: u16) -> u64 {
        self.at.get(&shard).map_or(0, |at| at.position)
    }

    /// The mark at the last position that is done in a shard, where it is known.
    #[must_use]
    pub fn mark(&self, shard: u16) -> Option<Mark> {
        self.at.get(&shard).and_then(|at| at.mark)
    }

    /// Moves a shard's cursor forward, never back.
    pub fn advance(&mut self, shard: u16, position: u64) {
        self.advance_to(shard, position, None);
    }

    /// As [`Self::advance`], with the mark there.
    pub fn advance_to(&mut self, shard: u16, position: u64, mark: Option<Mark>) {
        let at = self.at.entry(shard).or_default();
        if position > at.position {
            *at = At { position, mark, ..*at };
        } else if position == at.position {
            at.mark = at.mark.or(mark);
        }
    }

    /// Moves every shard that is read forward to the position in `other`.
    pub fn merge(&mut self, other: &Self) {
        for (shard, at) in &other.at {
            if self.reads(*shard) {
                self.advance_to(*shard, at.position, at.mark);
            }
        }
    }

    /// The incarnation of the log in which a shard was last read; 0 where it is not known.
    #[must_use]
    pub fn incarnation(&self, shard: u16) -> u64 {
        self.at.get(&shard).map_or(0, |at| at.incarnation)
    }

    /// The log that was read in a shard, where it is known.
    #[must_use]
    pub fn log(&self, shard: u16) -> Option<Uuid> {
        self.at.get(&shard).and_then(|at| at.log)
    }

    /// Sets the incarnation of the log in which a shard was read.
    pub fn read_in(&mut self, shard: u16, incarnation: u64) {
        if let Some(at) = self.at.get_mut(&shard) {
            at.incarnation = incarnation;
        }
    }

    /// The positions without a known mark.
    pub fn unmarked(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let unmarked = self.at.iter().filter(|(_, at)| at.mark.is_none() && at.position > 0);
        unmarked.map(|(shard, at)| (*shard, at.position))
    }

    /// The positions with a known mark.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.at.iter().filter_map(|(shard, at)| {
            let mark = at.mark?;
            (at.position > 0).then_some(Place { shard: *shard, position: at.position, mark })
        })
    }

    /// Whether no shard of `other` that is read here is ahead of it here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(shard, position)| !self.reads(shard) || self.get(shard) >= position)
    }

    /// How many positions this is behind `head`, over all shards that are read.
    #[must_use]
    pub fn behind(&self, head: &Self) -> u64 {
        head.iter()
            .filter(|(shard, _)| self.reads(*shard))
            .map(|(shard, position)| position.saturating_sub(self.get(shard)))
            .sum()
    }

    /// The first shard in which this is ahead of a log that ends at `head`, or has another mark
    /// than the log at its very end: the log was set back.
    #[must_use]
    pub fn beyond(&self, head: &Self) -> Option<u16> {
        let parted = |(shard, position): (u16, u64)| {
            let other = self.mark(shard).zip(head.mark(shard)).is_some_and(|(own, its)| own != its);
            let end = head.get(shard);
            position > end || (position == end && other)
        };
        self.iter().filter(|(shard, _)| head.reads(*shard)).find(|at| parted(*at)).map(|at| at.0)
    }

    /// The same cursors, with every shard of `shards`: missing ones are at 0.
    pub(super) fn filled(&self, shards: &Self) -> Self {
        let mut filled = self.clone();
        for shard in shards.at.keys() {
            filled.at.entry(*shard).or_default();
        }
        filled
    }

    /// The mark of a shard's position after a move to `through`.
    fn mark_at(&self, through: &Self, shard: u16) -> Option<Mark> {
        // A move to the same position (a retry of dead letters) keeps the mark.
        let same = through.get(shard) == self.get(shard);
        through.mark(shard).or(if same { self.mark(shard) } else { None })
    }

    /// Every shard with its position, by shard.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.at.iter().map(|(shard, at)| (*shard, at.position))
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
        let rows = sqlx::query(
            "SELECT shard, position, mark, incarnation, log FROM cursors WHERE follower = $1",
        )
        .bind(follower)
        .fetch_all(database.reader())
        .await?;
        stored(&rows)
    }

    /// Moves a follower's stored cursors from here to `through`, in the transaction of its effect
    /// and before it: two followers of one name wait for each other here, and the second learns
    /// that the first has moved them. Where this is `Ok` and the transaction commits, no other
    /// follower has had any effect in between.
    ///
    /// # Errors
    /// [`CursorError::Moved`] where they are not at the expected positions.
    pub async fn store(
        &self,
        database: &Database,
        tx: &mut Tx,
        follower: &str,
        through: &Self,
        incarnation: u64,
    ) -> Result<(), CursorError> {
        let incarnation = i64::try_from(incarnation).unwrap_or(i64::MAX);
        let (insert, update) = move_sql(database);
        let (new, known): (Vec<_>, Vec<_>) =
            through.iter().partition(|(shard, _)| self.get(*shard) == 0);
        for (sql, moves) in [(insert, new), (update, known)] {
            if moves.is_empty() {
                continue;
            }
            let through_marks = |shard| self.mark_at(through, shard);
            let rows: Vec<_> = moves
                .iter()
                .map(|(shard, through)| Step {
                    shard: *shard,
                    stands: self.get(*shard),
                    through: *through,
                    mark: through_marks(*shard).map(Mark::stored),
                })
                .collect();
            let rows =
                serde_json::to_string(&rows).map_err(|_| DatabaseError::Corrupt("cursors"))?;
            let hit = sqlx::query(sql)
                .bind(follower)
                .bind(rows)
                .bind(incarnation)
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

/// The statements that move a follower's ($1) cursors by rows of JSON ($2) in an incarnation ($3):
/// those that have not moved yet, and the others.
fn move_sql(database: &Database) -> (&'static str, &'static str) {
    // The first time there is no row to move; two inserts conflict on the key.
    let insert = database.sql(
        "INSERT INTO cursors (follower, shard, position, mark, incarnation)
         SELECT $1, shard, through, mark, $3 FROM json_to_recordset($2::json)
             AS row(shard BIGINT, through BIGINT, mark BIGINT)
         ON CONFLICT (follower, shard)
             DO UPDATE SET position = excluded.position, mark = excluded.mark,
                 incarnation = excluded.incarnation
         WHERE cursors.position = 0",
        "INSERT INTO cursors (follower, shard, position, mark, incarnation)
         SELECT $1, value ->> 'shard', value ->> 'through', value ->> 'mark', $3
         FROM json_each($2) WHERE TRUE
         ON CONFLICT (follower, shard)
             DO UPDATE SET position = excluded.position, mark = excluded.mark,
                 incarnation = excluded.incarnation
         WHERE cursors.position = 0",
    );
    let update = database.sql(
        "UPDATE cursors SET position = row.through, mark = row.mark, incarnation = $3
         FROM json_to_recordset($2::json)
             AS row(shard BIGINT, stands BIGINT, through BIGINT, mark BIGINT)
         WHERE follower = $1 AND cursors.shard = row.shard AND position = row.stands",
        "UPDATE cursors SET position = row.through, mark = row.mark, incarnation = $3
         FROM (SELECT value ->> 'shard' AS shard, value ->> 'stands' AS stands,
                      value ->> 'through' AS through, value ->> 'mark' AS mark
               FROM json_each($2)) AS row
         WHERE follower = $1 AND cursors.shard = row.shard AND position = row.stands",
    );
    (insert, update)
}

/// The move of a cursor in a shard, as the database reads it.
#[derive(Serialize)]
struct Step {
    shard: u16,
    stands: u64,
    through: u64,
    mark: Option<i64>,
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

impl FromIterator<Place> for Cursors {
    fn from_iter<I: IntoIterator<Item = Place>>(places: I) -> Self {
        let mut cursors = Self::default();
        for Place { shard, position, mark } in places {
            cursors.advance_to(shard, position, Some(mark));
        }
        cursors
    }
}
