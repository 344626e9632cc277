//! Reads of the events.

use std::collections::HashMap;

use async_trait::async_trait;

use super::file::SqliteStore;
use crate::error::JournalError;
use crate::event::{ChainedEvent, UniqueKey};
use crate::id::StreamId;
use crate::store::head::{Head, Loaded, Range};
use crate::store::port::Reads;
use crate::store::rows::{
    BEYOND_HEADS, NEXT_AFTER, UNIQUE_KEYS, beyond, chained, head, stored, unavailable, unique_key,
    version,
};

#[async_trait]
impl Reads for SqliteStore {
    async fn versions(&self, streams: &[StreamId]) -> Result<HashMap<StreamId, u64>, JournalError> {
        let rows = sqlx::query(
            "SELECT aggregate_id, MAX(sequence) AS sequence FROM events
             WHERE aggregate_type = 'order' AND aggregate_id IN (SELECT value FROM json_each(?))
             GROUP BY aggregate_id",
        )
        .bind(serde_json::to_string(streams).map_err(unavailable)?)
        .fetch_all(&self.reader)
        .await
        .map_err(unavailable)?;
        rows.iter().map(version).collect()
    }

    async fn load(&self, stream_id: StreamId) -> Result<Loaded, JournalError> {
        let rows = sqlx::query(
            "SELECT * FROM events WHERE aggregate_type = 'order' AND aggregate_id = ?
             ORDER BY sequence",
        )
        .bind(stream_id.to_string())
        .fetch_all(&self.reader)
        .await
        .map_err(unavailable)?;
        rows.iter().map(stored).collect::<Result<_, _>>().map(Loaded::whole)
    }

    async fn heads(&self) -> Result<Vec<Head>, JournalError> {
        let rows = sqlx::query("SELECT * FROM shards ORDER BY shard")
            .fetch_all(&self.reader)
            .await
            .map_err(unavailable)?;
        rows.iter().map(head).collect()
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<ChainedEvent>, JournalError> {
        let mut events = Vec::new();
        for range in ranges {
            let rows = sqlx::query(
                "SELECT * FROM events WHERE shard = ? AND position > ? AND position <= ?
                 AND aggregate_type = 'order' ORDER BY position",
            )
            .bind(range.shard)
            .bind(range.after.cast_signed())
            .bind(range.through.cast_signed())
            .fetch_all(&self.reader)
            .await
            .map_err(unavailable)?;
            for row in &rows {
                events.push(chained(row)?);
            }
        }
        Ok(events)
    }

    async fn next_after(&self, shard: u16, after: u64) -> Result<Option<u64>, JournalError> {
        let next: Option<i64> = sqlx::query_scalar(NEXT_AFTER)
            .bind(i32::from(shard))
            .bind(i64::try_from(after).map_err(unavailable)?)
            .fetch_one(&self.reader)
            .await
            .map_err(unavailable)?;
        next.map(u64::try_from).transpose().map_err(unavailable)
    }

    async fn beyond_heads(&self, limit: u32) -> Result<Vec<(u64, u64, String)>, JournalError> {
        let rows = sqlx::query(BEYOND_HEADS)
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await
            .map_err(unavailable)?;
        rows.iter().map(beyond).collect()
    }

    async fn holders(
        &self,
        keys: &[UniqueKey],
    ) -> Result<HashMap<UniqueKey, StreamId>, JournalError> {
        if self.is_missing("unique_keys").await? {
            return Ok(HashMap::new());
        }
        let texts: Vec<&str> = keys.iter().map(UniqueKey::as_str).collect();
        let rows = sqlx::query(
            "SELECT key, order_id FROM unique_keys WHERE key IN (SELECT value FROM json_each(?))",
        )
        .bind(serde_json::to_string(&texts).map_err(unavailable)?)
        .fetch_all(&self.reader)
        .await
        .map_err(unavailable)?;
        rows.iter().map(unique_key).collect()
    }

    async fn unique_keys(
        &self,
        after: Option<&UniqueKey>,
        limit: u32,
    ) -> Result<Vec<(UniqueKey, StreamId)>, JournalError> {
        if self.is_missing("unique_keys").await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(UNIQUE_KEYS)
            .bind(after.map_or("", UniqueKey::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await
            .map_err(unavailable)?;
        rows.iter().map(unique_key).collect()
    }
}
