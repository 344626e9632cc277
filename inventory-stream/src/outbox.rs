use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared_events::contract::Fact;
use shared_events::stream::{Batch, Cursors, Database, DatabaseError, Source, SourceError, Tx};
use sqlx::Row as _;
use tokio::sync::Notify;

/// Readers look again at least this often, whoever else wakes them.
const POLL: Duration = Duration::from_millis(500);

/// What the stock service tells others, as a source: one shard, positions from 1 without a gap.
pub struct OutboxSource {
    database: Database,
    told: Arc<Notify>,
}

impl OutboxSource {
    pub(crate) const fn new(database: Database, told: Arc<Notify>) -> Self {
        Self { database, told }
    }
}

/// Position of the last fact. The follower is the only writer, and the key refuses a second one.
pub(crate) async fn head(tx: &mut Tx) -> Result<u64, DatabaseError> {
    let head: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(position), 0) FROM outbox")
        .fetch_one(&mut **tx)
        .await?;
    u64::try_from(head).map_err(|_| DatabaseError::Corrupt("head of the outbox"))
}

pub(crate) async fn write(
    database: &Database,
    tx: &mut Tx,
    facts: &[Fact],
) -> Result<(), DatabaseError> {
    if facts.is_empty() {
        return Ok(());
    }
    let rows = facts
        .iter()
        .map(|fact| {
            let json = fact.to_json().map_err(|_| DatabaseError::Corrupt("fact"))?;
            Ok(serde_json::json!({
                "position": fact.position, "order_id": fact.subject, "fact": json,
            }))
        })
        .collect::<Result<Vec<_>, DatabaseError>>()?;
    let rows = serde_json::to_string(&rows).map_err(|_| DatabaseError::Corrupt("fact"))?;
    let sql = database.sql(
        "INSERT INTO outbox (position, order_id, fact)
         SELECT position, order_id, fact FROM json_to_recordset($1::json)
             AS row(position BIGINT, order_id TEXT, fact TEXT)",
        "INSERT INTO outbox (position, order_id, fact)
         SELECT value ->> 'position', value ->> 'order_id', value ->> 'fact' FROM json_each($1)",
    );
    sqlx::query(sql).bind(rows).execute(&mut **tx).await?;
    Ok(())
}

#[async_trait]
impl Source<Fact> for OutboxSource {
    async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Batch<Fact>, SourceError> {
        let after = cursors.get(0);
        let rows = sqlx::query(
            "SELECT position, fact FROM outbox WHERE position > $1 ORDER BY position LIMIT $2",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.database.reader())
        .await
        .map_err(|error| SourceError::Away(error.to_string()))?;
        let mut items = Vec::with_capacity(rows.len());
        let mut through = Cursors::default();
        for (expected, row) in (after + 1..).zip(&rows) {
            let broken =
                |detail: String| SourceError::Broken { shard: 0, position: expected - 1, detail };
            let position: i64 = row.try_get(0).map_err(|error| broken(error.to_string()))?;
            if u64::try_from(position) != Ok(expected) {
                return Err(broken(format!("position {expected} is missing")));
            }
            let json: String = row.try_get(1).map_err(|error| broken(error.to_string()))?;
            items.push(Fact::from_json(&json).map_err(|_| broken("unreadable fact".to_owned()))?);
            through.advance(0, expected);
        }
        Ok(Batch { items, through })
    }

    async fn changed(&self, cursors: &Cursors) {
        let told = self.told.notified();
        // Somebody may have told before this call; the look comes after the ear is open.
        if self.heads().await.is_ok_and(|heads| !cursors.covers(&heads)) {
            return;
        }
        tokio::select! {
            () = told => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        let head: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(position), 0) FROM outbox")
            .fetch_one(self.database.reader())
            .await
            .map_err(|error| SourceError::Away(error.to_string()))?;
        Ok([(0, u64::try_from(head).unwrap_or(0))].into_iter().collect())
    }
}
