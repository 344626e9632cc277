use std::collections::HashMap;

use serde::Serialize;
use shared_events::contract::OrderId;
use shared_events::stream::{Blame, Cursors, Database, DatabaseError, Tx};
use sqlx::Row as _;

use crate::journal::Journal;

use crate::record::RecordedEvent;
use crate::replay::{Step, Unfold, UnfoldError};

/// The order before and after an event of a batch; an impossible one is to blame itself.
pub(super) async fn step(
    unfold: &mut Unfold,
    index: usize,
    recorded: &RecordedEvent,
) -> Result<Step, Blame> {
    unfold.step(recorded).await.map_err(|error: UnfoldError| {
        if error.is_history() {
            Blame::Item { index, error: error.to_string() }
        } else {
            Blame::World(error.to_string())
        }
    })
}

/// Rows as one JSON text, which both databases take apart themselves.
pub(super) fn json(rows: &impl Serialize) -> Result<String, Blame> {
    serde_json::to_string(rows).map_err(|error| Blame::World(error.to_string()))
}

/// Rows looked at in one step when the journal was set back.
const PAGE: i64 = 1_000;

/// The orders of a table that the journal does not hold as far as the table does, of shards that were set
/// back: each with the journal's version, none where the order does not exist.
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
        let there = journal.versions(&ids).await;
        let there = there.map_err(|error| Blame::World(error.to_string()))?;
        for (id, version) in known {
            let now = there.get(&id.into()).copied();
            if now.is_none_or(|now| now < version) {
                ahead.insert(id, now);
            }
        }
    }
}

/// Takes the rows of these orders away.
pub(super) async fn remove(
    database: &Database,
    tx: &mut Tx,
    table: &str,
    orders: &[OrderId],
) -> Result<(), Blame> {
    let gone = database.sql(
        "= ANY (ARRAY(SELECT value FROM json_array_elements_text($1::json) AS gone(value)))",
        "IN (SELECT value FROM json_each($1))",
    );
    let sql = format!("DELETE FROM {table} WHERE order_id {gone}");
    sqlx::query(&sql).bind(json(&orders)?).execute(&mut **tx).await?;
    Ok(())
}
