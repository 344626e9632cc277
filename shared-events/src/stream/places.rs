//! Earlier positions of a follower's cursor, a few, with their marks. Where its log turns out to
//! have another history, the last common position is found among them.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::Row as _;

use super::cursor::Cursors;
use super::database::{Database, DatabaseError, Tx};
use super::history::Place;
use crate::contract::Mark;

/// A place is stored after the cursor has moved this many positions.
const EVERY: u64 = 256;
/// Stored places per shard. They are thinned so that the distance of each to the next is about a
/// fixed part of its age: 32 of them reach back over any number of positions.
const MOST: usize = 32;

/// The stored places of one follower.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    of: BTreeMap<u16, Vec<(u64, Mark)>>,
}

impl Places {
    pub(super) async fn load(database: &Database, follower: &str) -> Result<Self, DatabaseError> {
        let rows = sqlx::query(
            "SELECT shard, position, mark FROM cursor_places WHERE follower = $1
             ORDER BY shard, position",
        )
        .bind(follower)
        .fetch_all(database.reader())
        .await?;
        let mut places = Self::default();
        for row in &rows {
            let (shard, position): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let shard = u16::try_from(shard).map_err(|_| DatabaseError::Corrupt("shard"))?;
            let position =
                u64::try_from(position).map_err(|_| DatabaseError::Corrupt("position"))?;
            let mark = Mark::from_stored(row.try_get(2)?);
            places.of.entry(shard).or_default().push((position, mark));
        }
        Ok(places)
    }

    /// The places of a shard, latest first.
    pub(super) fn back(&self, shard: u16) -> impl Iterator<Item = Place> + '_ {
        let known = self.of.get(&shard).into_iter().flatten().rev();
        known.map(move |(position, mark)| Place { shard, position: *position, mark: *mark })
    }

    /// Stores the positions of these cursors, in the transaction that moves them there, where they
    /// are far enough from the stored ones. Returns the places to keep once it has committed.
    pub(super) async fn remember(
        &self,
        database: &Database,
        tx: &mut Tx,
        follower: &str,
        through: &Cursors,
    ) -> Result<Option<Self>, DatabaseError> {
        let far = |place: &Place| {
            let last = self.of.get(&place.shard).and_then(|known| known.last());
            place.position >= last.map_or(0, |(position, _)| *position) + EVERY
        };
        let new: Vec<Place> = through.places().filter(far).collect();
        if new.is_empty() {
            return Ok(None);
        }
        let mut after = self.clone();
        let mut gone = Vec::new();
        for place in &new {
            let known = after.of.entry(place.shard).or_default();
            known.push((place.position, place.mark));
            if let Some(thinned) = thin(known) {
                gone.push(json!({"shard": place.shard, "position": thinned}));
            }
        }
        let new: Vec<_> = new
            .iter()
            .map(|Place { shard, position, mark }| {
                json!({"shard": shard, "position": position, "mark": mark.stored()})
            })
            .collect();
        let insert = database.sql(
            "INSERT INTO cursor_places (follower, shard, position, mark)
             SELECT $1, shard, position, mark FROM json_to_recordset($2::json)
                 AS row(shard BIGINT, position BIGINT, mark BIGINT)
             ON CONFLICT (follower, shard, position) DO UPDATE SET mark = excluded.mark",
            "INSERT INTO cursor_places (follower, shard, position, mark)
             SELECT $1, value ->> 'shard', value ->> 'position', value ->> 'mark'
             FROM json_each($2) WHERE TRUE
             ON CONFLICT (follower, shard, position) DO UPDATE SET mark = excluded.mark",
        );
        let delete = database.sql(
            "DELETE FROM cursor_places USING json_to_recordset($2::json)
                 AS row(shard BIGINT, position BIGINT)
             WHERE follower = $1 AND cursor_places.shard = row.shard
               AND cursor_places.position = row.position",
            "DELETE FROM cursor_places WHERE follower = $1 AND (shard, position) IN
                 (SELECT value ->> 'shard', value ->> 'position' FROM json_each($2))",
        );
        for (sql, rows) in [(insert, new), (delete, gone)] {
            if !rows.is_empty() {
                let rows = serde_json::Value::from(rows).to_string();
                sqlx::query(sql).bind(follower).bind(rows).execute(&mut **tx).await?;
            }
        }
        Ok(Some(after))
    }

    /// Deletes the places after these cursors in the shards of `from`: they belong to another
    /// history.
    pub(super) async fn forget(
        tx: &mut Tx,
        follower: &str,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<(), DatabaseError> {
        for (shard, _) in from.iter() {
            sqlx::query(
                "DELETE FROM cursor_places WHERE follower = $1 AND shard = $2 AND position > $3",
            )
            .bind(follower)
            .bind(i64::from(shard))
            .bind(i64::try_from(to.get(shard)).unwrap_or(i64::MAX))
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }
}

/// Removes the place that is missed least, where there are too many: the one whose neighbours are
/// closest to each other, relative to their age.
fn thin(known: &mut Vec<(u64, Mark)>) -> Option<u64> {
    if known.len() <= MOST {
        return None;
    }
    let last = known.last()?.0;
    let gap = |index: usize| {
        let (before, here, after) = (known[index - 1].0, known[index].0, known[index + 1].0);
        // Millionths of its age; integers, because no floats are used here.
        u128::from(after - before) * 1_000_000 / u128::from((last - here).max(1))
    };
    let least = (1..known.len() - 1).min_by_key(|index| gap(*index))?;
    Some(known.remove(least).0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However far a cursor has come, few places are kept, and the distance from any place to
        /// the one before it is about the distance that was followed since at most.
        #[test]
        fn few_places_reach_back_over_any_number_of_positions(steps in 1_u64..4_000) {
            let mut known = Vec::new();
            for step in 1..=steps {
                known.push((step * EVERY, Mark::from_bits(step)));
                thin(&mut known);
                prop_assert!(known.len() <= MOST);
            }
            prop_assert_eq!(known[0].0, EVERY);
            let last = known[known.len() - 1].0;
            for pair in known.windows(2) {
                let (gap, age) = (pair[1].0 - pair[0].0, last - pair[0].0);
                prop_assert!(gap <= age.max(EVERY), "{gap} at {age}: {known:?}");
            }
        }
    }
}
