//! Orders that the journal may have lost: it was restored to before they asked for money.

use std::collections::BTreeSet;

use shared_events::contract::OrderId;
use shared_events::stream::{Database, DatabaseError, Tx};

use super::{json, number, word};

/// Puts orders in doubt that asked for money in a shard after this position.
pub(crate) async fn doubt(tx: &mut Tx, shard: u16, after: u64) -> Result<u64, DatabaseError> {
    let sql = "UPDATE cases SET doubted = 1 WHERE shard = $1 AND asked_position > $2";
    let query = sqlx::query(sql).bind(i64::from(shard));
    let query = query.bind(i64::try_from(after).unwrap_or(i64::MAX));
    Ok(query.execute(&mut **tx).await?.rows_affected())
}

/// The shards of orders that are in doubt, or of which something is.
pub(crate) async fn doubted_shards(database: &Database) -> Result<BTreeSet<u16>, DatabaseError> {
    let sql = "SELECT shard FROM cases WHERE doubted = 1 AND shard IS NOT NULL
               UNION SELECT shard FROM heard WHERE doubted = 1";
    let rows = sqlx::query(sql).fetch_all(database.reader()).await?;
    rows.iter().map(|row| number(row, 0, "shard of a case")).collect()
}

/// Whether any order is in doubt, or something of one.
pub(crate) async fn is_any_doubted(tx: &mut Tx) -> Result<bool, DatabaseError> {
    let sql = "SELECT order_id FROM cases WHERE doubted = 1
               UNION ALL SELECT order_id FROM heard WHERE doubted = 1 LIMIT 1";
    Ok(sqlx::query(sql).fetch_optional(&mut **tx).await?.is_some())
}

/// Orders of these shards that are in doubt; at most so many.
pub(crate) async fn doubted(
    database: &Database,
    tx: &mut Tx,
    shards: &BTreeSet<u16>,
    limit: u32,
) -> Result<BTreeSet<OrderId>, DatabaseError> {
    let sql = format!(
        "SELECT order_id FROM cases WHERE doubted = 1 AND shard {}
         ORDER BY shard, order_id LIMIT $2",
        database.one_of_numbers()
    );
    let query = sqlx::query(&sql).bind(json(shards)?).bind(i64::from(limit));
    query.fetch_all(&mut **tx).await?.iter().map(|row| word(row, 0, "order of a case")).collect()
}
