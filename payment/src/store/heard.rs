//! What orders said that moves money, and where: the journal may have lost it when it was restored.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shared_events::contract::{Fact, OrderId};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use uuid::Uuid;

use super::{json, word};

/// Of an order, by its cause (a parcel, a refund, or a fact).
pub(crate) type Heard = BTreeMap<(OrderId, Uuid), Place>;

/// What is in doubt of each order: by its cause, the fact that said it.
pub(crate) type Doubted = BTreeMap<OrderId, BTreeMap<Uuid, String>>;

/// Where something was said.
pub(crate) struct Place {
    fact: String,
    shard: u16,
    position: u64,
}

impl Place {
    /// By this fact.
    pub(crate) fn of(fact: &Fact) -> Self {
        Self { fact: fact.id.to_string(), shard: fact.shard, position: fact.position }
    }
}

#[derive(Serialize)]
struct Row<'a> {
    order_id: OrderId,
    cause: Uuid,
    fact: &'a str,
    shard: u16,
    position: u64,
}

/// Keeps what was heard; what was in doubt is there after all.
pub(crate) async fn keep_heard(
    database: &Database,
    tx: &mut Tx,
    heard: &Heard,
) -> Result<(), DatabaseError> {
    if heard.is_empty() {
        return Ok(());
    }
    let rows = heard.iter().map(|(&(order_id, cause), place)| Row {
        order_id,
        cause,
        fact: &place.fact,
        shard: place.shard,
        position: place.position,
    });
    let rows: Vec<Row<'_>> = rows.collect();
    let sql = database.sql(
        "INSERT INTO heard (order_id, cause, fact, shard, position)
         SELECT order_id, cause, fact, shard, position FROM json_to_recordset($1::json)
             AS row(order_id TEXT, cause TEXT, fact TEXT, shard BIGINT, position BIGINT)
         ORDER BY order_id, cause
         ON CONFLICT (order_id, cause) DO UPDATE SET fact = excluded.fact,
             shard = excluded.shard, position = excluded.position, doubted = 0",
        "INSERT INTO heard (order_id, cause, fact, shard, position)
         SELECT value ->> 'order_id', value ->> 'cause', value ->> 'fact', value ->> 'shard',
             value ->> 'position'
         FROM json_each($1) WHERE true
         ON CONFLICT (order_id, cause) DO UPDATE SET fact = excluded.fact,
             shard = excluded.shard, position = excluded.position, doubted = 0",
    );
    sqlx::query(sql).bind(json(&rows)?).execute(&mut **tx).await?;
    Ok(())
}

/// Puts in doubt what was heard in a shard after this position.
pub(crate) async fn doubt_heard(tx: &mut Tx, shard: u16, after: u64) -> Result<u64, DatabaseError> {
    let sql = "UPDATE heard SET doubted = 1 WHERE shard = $1 AND position > $2";
    let query = sqlx::query(sql).bind(i64::from(shard));
    let query = query.bind(i64::try_from(after).unwrap_or(i64::MAX));
    Ok(query.execute(&mut **tx).await?.rows_affected())
}

/// What is in doubt of these orders.
pub(crate) async fn doubted_heard(
    database: &Database,
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
) -> Result<Doubted, DatabaseError> {
    let sql = format!(
        "SELECT order_id, cause, fact FROM heard WHERE doubted = 1 AND order_id {}",
        database.one_of()
    );
    let rows = sqlx::query(&sql).bind(json(orders)?).fetch_all(&mut **tx).await?;
    let mut doubted = Doubted::new();
    for row in &rows {
        let (order_id, cause) = (word(row, 0, "order of a fact")?, word(row, 1, "cause")?);
        doubted.entry(order_id).or_default().insert(cause, row.try_get(2)?);
    }
    Ok(doubted)
}

/// Orders of these shards of which something is in doubt; at most so many.
pub(crate) async fn unheard(
    database: &Database,
    tx: &mut Tx,
    shards: &BTreeSet<u16>,
    limit: u32,
) -> Result<BTreeSet<OrderId>, DatabaseError> {
    let sql = format!(
        "SELECT DISTINCT order_id FROM heard WHERE doubted = 1 AND shard {}
         ORDER BY order_id LIMIT $2",
        database.one_of_numbers()
    );
    let query = sqlx::query(&sql).bind(json(shards)?).bind(i64::from(limit));
    query.fetch_all(&mut **tx).await?.iter().map(|row| word(row, 0, "order of a fact")).collect()
}

/// It is decided about what is in doubt of these orders.
pub(crate) async fn forget_doubted(
    database: &Database,
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
) -> Result<(), DatabaseError> {
    if orders.is_empty() {
        return Ok(());
    }
    let sql = format!("DELETE FROM heard WHERE doubted = 1 AND order_id {}", database.one_of());
    sqlx::query(&sql).bind(json(orders)?).execute(&mut **tx).await?;
    Ok(())
}
