use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shared_events::contract::OrderId;
use shared_events::stream::row::json;
use shared_events::stream::{Blame, Cursors, Database, DatabaseError, Tx};
use sqlx::Row as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::journal::Journal;
use crate::record::RecordedEvent;
use crate::replay::{OrderReplay, ReplayError, Step};

/// The order before and after an event of a batch. An impossible event becomes an item failure.
pub(super) async fn step(
    replay: &mut OrderReplay,
    index: usize,
    recorded: &RecordedEvent,
) -> Result<Step, Blame> {
    replay.step(recorded).await.map_err(|error: ReplayError| {
        if error.is_history() {
            Blame::item(index, error.to_string())
        } else {
            Blame::World(error.to_string())
        }
    })
}

/// Rows compared per step after the journal was set back.
const PAGE: i64 = 1_000;

/// The orders whose row is ahead of the journal, in shards that were set back: each with the
/// journal's version, or none if the journal does not hold the order.
pub(super) async fn ahead_of(
    database: &Database,
    journal: &Journal,
    table: &str,
    from: &Cursors,
) -> Result<HashMap<OrderId, Option<u64>>, Blame> {
    let sql = format!(
        "SELECT order_id, version FROM {table} WHERE order_id > $1 ORDER BY order_id LIMIT $2"
    );
    let (mut ahead, mut after) = (HashMap::new(), String::new());
    loop {
        let rows = sqlx::query(&sql).bind(&after).bind(PAGE).fetch_all(database.reader()).await?;
        let Some(last) = rows.last() else { return Ok(ahead) };
        after = last.try_get(0)?;
        let mut known = Vec::with_capacity(rows.len());
        for row in &rows {
            let (id, version): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            let id =
                OrderId::recorded(&id).map_err(|_| DatabaseError::Corrupt("order of a row"))?;
            if from.get(journal.shard_of(id)) > 0 {
                known.push((id, u64::try_from(version).unwrap_or(u64::MAX)));
            }
        }
        let ids: Vec<OrderId> = known.iter().map(|(id, _)| *id).collect();
        let held = journal.versions(&ids).await;
        let held = held.map_err(|error| Blame::World(error.to_string()))?;
        for (id, version) in known {
            let now = held.get(&id.into()).copied();
            if now.is_none_or(|now| now < version) {
                ahead.insert(id, now);
            }
        }
    }
}

/// Deletes the rows of these orders.
pub(super) async fn remove(
    database: &Database,
    tx: &mut Tx,
    table: &str,
    orders: &[OrderId],
) -> Result<(), Blame> {
    let sql = format!("DELETE FROM {table} WHERE order_id {}", database.one_of());
    sqlx::query(&sql).bind(json(&orders)?).execute(&mut **tx).await?;
    Ok(())
}

/// How often a waiting read polls the cursor, which another node may move.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Waits until a read model, by its follower's cursor, includes a position of the journal; false at
/// the deadline. Its follower in this process notifies.
pub(super) async fn included(
    (database, follower, changed): (&Database, &str, &Arc<Notify>),
    (shard, position): (u16, u64),
    deadline: Instant,
) -> bool {
    loop {
        let mut notified = Box::pin(Arc::clone(changed).notified_owned());
        notified.as_mut().enable();
        let included = Cursors::load(database, follower)
            .await
            .is_ok_and(|cursors| cursors.get(shard) >= position);
        if included {
            return true;
        }
        // Another node may follow that shard; it does not notify this one.
        let next_poll = deadline.min(Instant::now() + POLL_INTERVAL);
        if tokio::time::timeout_at(next_poll, notified).await.is_err() && Instant::now() >= deadline
        {
            return false;
        }
    }
}
