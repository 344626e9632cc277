use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared_events::contract::Fact;
use shared_events::stream::{Batch, Cursors, Database, DatabaseError, Source, SourceError, Tx};
use sqlx::Row as _;
use tokio::sync::Notify;

/// Readers look again at least this often, whoever else wakes them: another process may have told
/// something. One look is one indexed read.
const POLL: Duration = Duration::from_millis(100);

/// What the stock service tells others, as a source: each fact in the shard of the order it is
/// about, positions from 1 without a gap.
pub struct OutboxSource {
    database: Database,
    told: Arc<Notify>,
}

impl OutboxSource {
    pub(crate) const fn new(database: Database, told: Arc<Notify>) -> Self {
        Self { database, told }
    }
}

/// Where each shard stands. Its row is moved by [`write`], where a second writer waits.
pub(crate) async fn heads(tx: &mut Tx) -> Result<BTreeMap<u16, u64>, DatabaseError> {
    let rows = sqlx::query("SELECT shard, position FROM outbox_heads").fetch_all(&mut **tx).await?;
    rows.iter()
        .map(|row| {
            let (shard, position): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let head = u16::try_from(shard).ok().zip(u64::try_from(position).ok());
            head.ok_or(DatabaseError::Corrupt("head of the outbox"))
        })
        .collect()
}

/// Writes facts behind the heads, and moves these.
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
                "shard": fact.shard, "position": fact.position, "order_id": fact.subject,
                "fact": json,
            }))
        })
        .collect::<Result<Vec<_>, DatabaseError>>()?;
    let rows = serde_json::to_string(&rows).map_err(|_| DatabaseError::Corrupt("fact"))?;
    let sql = database.sql(
        "INSERT INTO outbox (shard, position, order_id, fact)
         SELECT shard, position, order_id, fact FROM json_to_recordset($1::json)
             AS row(shard BIGINT, position BIGINT, order_id TEXT, fact TEXT)",
        "INSERT INTO outbox (shard, position, order_id, fact)
         SELECT value ->> 'shard', value ->> 'position', value ->> 'order_id', value ->> 'fact'
         FROM json_each($1)",
    );
    sqlx::query(sql).bind(&rows).execute(&mut **tx).await?;
    let sql = database.sql(
        "INSERT INTO outbox_heads (shard, position)
         SELECT shard, MAX(position) FROM json_to_recordset($1::json)
             AS row(shard BIGINT, position BIGINT) GROUP BY shard
         ON CONFLICT (shard) DO UPDATE SET position = excluded.position",
        "INSERT INTO outbox_heads (shard, position)
         SELECT value ->> 'shard', MAX(value ->> 'position') FROM json_each($1) WHERE TRUE
         GROUP BY 1
         ON CONFLICT (shard) DO UPDATE SET position = excluded.position",
    );
    sqlx::query(sql).bind(rows).execute(&mut **tx).await?;
    Ok(())
}

impl OutboxSource {
    /// What comes after a position of one shard.
    async fn read_shard(
        &self,
        shard: u16,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Fact>, SourceError> {
        let rows = sqlx::query(
            "SELECT position, fact FROM outbox WHERE shard = $1 AND position > $2
             ORDER BY position LIMIT $3",
        )
        .bind(i64::from(shard))
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.database.reader())
        .await
        .map_err(|error| SourceError::Away(error.to_string()))?;
        let mut facts = Vec::with_capacity(rows.len());
        for (expected, row) in (after + 1..).zip(&rows) {
            let broken =
                |detail: String| SourceError::Broken { shard, position: expected - 1, detail };
            let position: i64 = row.try_get(0).map_err(|error| broken(error.to_string()))?;
            if u64::try_from(position) != Ok(expected) {
                return Err(broken(format!("position {expected} is missing")));
            }
            let json: String = row.try_get(1).map_err(|error| broken(error.to_string()))?;
            facts.push(Fact::from_json(&json).map_err(|_| broken("unreadable fact".to_owned()))?);
        }
        Ok(facts)
    }
}

#[async_trait]
impl Source<Fact> for OutboxSource {
    async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Batch<Fact>, SourceError> {
        let heads = self.heads().await?;
        let waiting: Vec<u16> = heads
            .iter()
            .filter(|(shard, head)| cursors.reads(*shard) && cursors.get(*shard) < *head)
            .map(|(shard, _)| shard)
            .collect();
        let (mut items, mut through) = (Vec::new(), Cursors::default());
        for (shard, head) in heads.iter().filter(|(shard, _)| cursors.reads(*shard)) {
            let position = cursors.get(shard);
            if position > head {
                let detail =
                    format!("a reader is at {position} already; has the outbox been restored?");
                return Err(SourceError::Broken { shard, position: head, detail });
            }
        }
        // They share the batch, so that a busy shard cannot keep the others waiting.
        let each = limit.div_ceil(waiting.len().max(1));
        for shard in waiting {
            let facts = self.read_shard(shard, cursors.get(shard), each).await?;
            if let Some(last) = facts.last() {
                through.advance(shard, last.position);
            }
            items.extend(facts);
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
        let away = |error: sqlx::Error| SourceError::Away(error.to_string());
        let rows = sqlx::query("SELECT shard, position FROM outbox_heads ORDER BY shard")
            .fetch_all(self.database.reader())
            .await
            .map_err(away)?;
        rows.iter()
            .map(|row| {
                let (shard, position): (i64, i64) =
                    (row.try_get(0).map_err(away)?, row.try_get(1).map_err(away)?);
                Ok((u16::try_from(shard).unwrap_or(u16::MAX), u64::try_from(position).unwrap_or(0)))
            })
            .collect()
    }
}
