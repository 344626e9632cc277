use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::Cursors;
use crate::contract::Mark;
use crate::stream::history::{History, Place};
use crate::stream::{DatabaseError, Tx};

/// Moves a follower's stored cursors back to these, in the transaction that undoes its later
/// effects: shards of `from` that `to` does not name start again.
///
/// # Errors
/// [`CursorError::Moved`] where they are not at the positions of `from`.
pub(in crate::stream) async fn set_back(
    tx: &mut Tx,
    follower: &str,
    from: &Cursors,
    to: &Cursors,
    incarnation: u64,
) -> Result<(), CursorError> {
    for (shard, position) in from.iter() {
        let hit = sqlx::query(
            "UPDATE cursors SET position = $1, mark = $2, incarnation = $6
             WHERE follower = $3 AND shard = $4 AND position = $5",
        )
        .bind(i64::try_from(to.get(shard)).unwrap_or(i64::MAX))
        .bind(to.mark(shard).map(Mark::stored))
        .bind(follower)
        .bind(i64::from(shard))
        .bind(i64::try_from(position).unwrap_or(i64::MAX))
        .bind(i64::try_from(incarnation).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await
        .map_err(DatabaseError::from)?;
        if hit.rows_affected() != 1 {
            return Err(CursorError::Moved { shard });
        }
    }
    Ok(())
}

/// Stores the log of these shards and its incarnation.
///
/// # Errors
/// [`DatabaseError`]
pub(in crate::stream) async fn read_in(
    tx: &mut Tx,
    follower: &str,
    shards: &[u16],
    history: History,
) -> Result<(), DatabaseError> {
    for shard in shards {
        sqlx::query(
            "UPDATE cursors SET incarnation = $1, log = $4 WHERE follower = $2 AND shard = $3",
        )
        .bind(i64::try_from(history.incarnation).unwrap_or(i64::MAX))
        .bind(follower)
        .bind(i64::from(*shard))
        .bind(history.log.to_string())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Stores the marks of stored cursors without one.
///
/// # Errors
/// [`DatabaseError`]
pub(in crate::stream) async fn store_marks(
    tx: &mut Tx,
    follower: &str,
    here: &[Place],
) -> Result<(), DatabaseError> {
    for Place { shard, position, mark } in here {
        sqlx::query(
            "UPDATE cursors SET mark = $1
             WHERE follower = $2 AND shard = $3 AND position = $4 AND mark IS NULL",
        )
        .bind(mark.stored())
        .bind(follower)
        .bind(i64::from(*shard))
        .bind(i64::try_from(*position).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// The first of these moves that did not happen.
pub(super) async fn not_moved(
    tx: &mut Tx,
    follower: &str,
    moves: &[(u16, u64)],
) -> Result<u16, DatabaseError> {
    let rows = sqlx::query(
        "SELECT shard, position, mark, incarnation, log FROM cursors WHERE follower = $1",
    )
    .bind(follower)
    .fetch_all(&mut **tx)
    .await?;
    let stored = stored(&rows)?;
    let missed = moves.iter().find(|(shard, through)| stored.get(*shard) != *through);
    Ok(missed.or(moves.first()).map_or(0, |(shard, _)| *shard))
}

pub(super) fn stored(rows: &[AnyRow]) -> Result<Cursors, DatabaseError> {
    let mut cursors = Cursors::default();
    for row in rows {
        let (shard, position): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (mark, incarnation): (Option<i64>, i64) = (row.try_get(2)?, row.try_get(3)?);
        let shard = u16::try_from(shard).map_err(|_| DatabaseError::Corrupt("cursor shard"))?;
        cursors.advance_to(
            shard,
            u64::try_from(position).map_err(|_| DatabaseError::Corrupt("cursor position"))?,
            mark.map(Mark::from_stored),
        );
        cursors.read_in(shard, u64::try_from(incarnation).unwrap_or(0));
        let log: Option<String> = row.try_get(4)?;
        if let Some(at) = cursors.at.get_mut(&shard) {
            at.log = log.and_then(|log| log.parse().ok());
        }
    }
    Ok(cursors)
}

/// Why a follower's cursors were not moved.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// Another follower of the same name was faster.
    #[error("another one of this name has moved the cursor of shard {shard}")]
    Moved {
        /// The shard.
        shard: u16,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
