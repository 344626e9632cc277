use sqlx::Row as _;

use super::{DatabaseError, DeadLetters, Tx};
use crate::contract::Subject;

/// Has a follower of this database read a shard from its beginning again. Returns where it was, 0
/// where it had read nothing, and of what it had dead letters there: they are dropped, since their
/// items come again. A process that follows meanwhile begins anew, since its cursor is not where it
/// left it.
///
/// # Errors
/// [`DatabaseError`]
pub async fn read_anew(
    tx: &mut Tx,
    follower: &str,
    shard: u16,
) -> Result<(u64, Vec<Subject>), DatabaseError> {
    let sql = "SELECT position FROM cursors WHERE follower = $1 AND shard = $2";
    let query = sqlx::query(sql).bind(follower).bind(i64::from(shard));
    let was_at: Option<i64> = match query.fetch_optional(&mut **tx).await? {
        Some(row) => Some(row.try_get(0)?),
        None => None,
    };
    let was_at = u64::try_from(was_at.unwrap_or_default())
        .map_err(|_| DatabaseError::Corrupt("cursor position"))?;
    let sql = "SELECT DISTINCT subject FROM dead_letters WHERE follower = $1 AND shard = $2";
    let query = sqlx::query(sql).bind(follower).bind(i64::from(shard));
    let rows = query.fetch_all(&mut **tx).await?;
    let mut subjects = Vec::with_capacity(rows.len());
    for row in &rows {
        let subject: String = row.try_get(0)?;
        let subject = Subject::recorded(&subject);
        subjects.push(subject.map_err(|_| DatabaseError::Corrupt("subject of a dead letter"))?);
    }
    DeadLetters::drop_after(tx, follower, shard, 0).await?;
    for sql in [
        "UPDATE cursors SET position = 0, mark = NULL WHERE follower = $1 AND shard = $2",
        "DELETE FROM cursor_places WHERE follower = $1 AND shard = $2",
    ] {
        let query = sqlx::query(sql).bind(follower).bind(i64::from(shard));
        query.execute(&mut **tx).await?;
    }
    Ok((was_at, subjects))
}
