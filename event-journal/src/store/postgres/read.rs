//! Reads of the events.

use std::collections::HashMap;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use sqlx::{Executor as _, PgPool};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::claim::HEADS;
use super::copy;
use super::session::PostgresStore;
use crate::error::JournalError;
use crate::event::{ChainedEvent, UniqueKey};
use crate::files::Archived;
use crate::id::StreamId;
use crate::store::head::{ArchivedStreams, Head, Loaded, Range};
use crate::store::port::Reads;
use crate::store::rows::{
    BEYOND_HEADS, NEXT_AFTER, UNIQUE_KEYS, archived, beyond, chained, head, unavailable,
    unique_key, version,
};

/// Bytes per piece where the whole table is read.
const PIECE: usize = 512 << 10;

pub(crate) const READ: &str = include_str!("sql/read.sql");

#[async_trait]
impl Reads for PostgresStore {
    async fn versions(&self, streams: &[StreamId]) -> Result<HashMap<StreamId, u64>, JournalError> {
        let rows = sqlx::query(
            "SELECT aggregate_id, MAX(sequence) AS sequence FROM (
                 SELECT aggregate_id, sequence FROM events
                 WHERE aggregate_type = 'order' AND aggregate_id = ANY ($1)
                 UNION ALL
                 SELECT order_id::text, cardinality(positions) FROM archived_orders
                 WHERE order_id = ANY ($1::uuid[])
             ) AS known GROUP BY aggregate_id",
        )
        .bind(streams.iter().map(StreamId::to_string).collect::<Vec<_>>())
        .fetch_all(self.reader().await?)
        .await
        .map_err(unavailable)?;
        rows.iter().map(version).collect()
    }

    async fn load(&self, stream_id: StreamId) -> Result<Loaded, JournalError> {
        self.reader().await?;
        self.loads.load(stream_id).await
    }

    async fn archives(&self) -> Result<Vec<Archived>, JournalError> {
        let rows = sqlx::query("SELECT * FROM archives ORDER BY shard, first_position")
            .fetch_all(self.reader().await?)
            .await
            .map_err(unavailable)?;
        rows.iter().map(archived).collect()
    }

    async fn archive_with(
        &self,
        shard: u16,
        position: u64,
    ) -> Result<Option<Archived>, JournalError> {
        let row = sqlx::query(
            "SELECT * FROM archives WHERE shard = $1 AND first_position <= $2
             ORDER BY first_position DESC LIMIT 1",
        )
        .bind(i32::from(shard))
        .bind(position.cast_signed())
        .fetch_optional(self.reader().await?)
        .await
        .map_err(unavailable)?;
        let file = row.as_ref().map(archived).transpose()?;
        Ok(file.filter(|file| file.has(shard, position)))
    }

    async fn archived_streams(
        &self,
        asked: ArchivedStreams<'_>,
    ) -> Result<Vec<StreamId>, JournalError> {
        let found = match asked {
            ArchivedStreams::Among(streams) => {
                sqlx::query_scalar("SELECT order_id FROM archived_orders WHERE order_id = ANY ($1)")
                    .bind(streams.iter().map(|stream_id| stream_id.uuid()).collect::<Vec<_>>())
            }
            ArchivedStreams::After(after, limit) => sqlx::query_scalar(
                "SELECT order_id FROM archived_orders WHERE $1 IS NULL OR order_id > $1
                 ORDER BY order_id LIMIT $2",
            )
            .bind(after.map(|stream_id| stream_id.uuid()))
            .bind(i64::from(limit)),
        };
        let found: Vec<Uuid> = found.fetch_all(self.reader().await?).await.map_err(unavailable)?;
        Ok(found.into_iter().map(StreamId::from).collect())
    }

    async fn heads(&self) -> Result<Vec<Head>, JournalError> {
        let rows = sqlx::query(HEADS).fetch_all(self.reader().await?).await.map_err(unavailable)?;
        rows.iter().map(head).collect()
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<ChainedEvent>, JournalError> {
        let rows = sqlx::query(READ)
            .bind(ranges.iter().map(|range| i32::from(range.shard)).collect::<Vec<_>>())
            .bind(ranges.iter().map(|range| range.after.cast_signed()).collect::<Vec<_>>())
            .bind(ranges.iter().map(|range| range.through.cast_signed()).collect::<Vec<_>>())
            .fetch_all(self.reader().await?)
            .await
            .map_err(unavailable)?;
        rows.iter().map(chained).collect()
    }

    async fn sweep(&self, pieces: mpsc::Sender<Vec<u8>>) -> Result<(), JournalError> {
        let mut connection = self.reader().await?.acquire().await.map_err(unavailable)?;
        // From the first page on, where rows are nearly in the order in which they were written.
        connection.execute("SET synchronize_seqscans = off").await.map_err(unavailable)?;
        let mut copy = connection.copy_out_raw(copy::COPY).await.map_err(unavailable)?;
        let mut piece = Vec::with_capacity(PIECE);
        while let Some(row) = copy.try_next().await.map_err(unavailable)? {
            piece.extend_from_slice(&row);
            if piece.len() >= PIECE {
                let whole = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
                if pieces.send(whole).await.is_err() {
                    // The receiver has stopped; the session still has rows to send.
                    drop(copy);
                    drop(connection.detach());
                    return Ok(());
                }
            }
        }
        let _ = pieces.send(piece).await;
        Ok(())
    }

    async fn next_after(&self, shard: u16, after: u64) -> Result<Option<u64>, JournalError> {
        let next: Option<i64> = sqlx::query_scalar(NEXT_AFTER)
            .bind(i32::from(shard))
            .bind(i64::try_from(after).map_err(unavailable)?)
            .fetch_one(self.reader().await?)
            .await
            .map_err(unavailable)?;
        next.map(u64::try_from).transpose().map_err(unavailable)
    }

    async fn beyond_heads(&self, limit: u32) -> Result<Vec<(u64, u64, String)>, JournalError> {
        let rows = sqlx::query(BEYOND_HEADS)
            .bind(i64::from(limit))
            .fetch_all(self.reader().await?)
            .await
            .map_err(unavailable)?;
        rows.iter().map(beyond).collect()
    }

    async fn holders(
        &self,
        keys: &[UniqueKey],
    ) -> Result<HashMap<UniqueKey, StreamId>, JournalError> {
        let reader = self.reader().await?;
        if !has_keys(reader).await? {
            return Ok(HashMap::new());
        }
        let sql = "SELECT key, order_id FROM unique_keys WHERE key = ANY ($1)";
        let rows = sqlx::query(sql)
            .bind(keys.iter().map(UniqueKey::as_str).collect::<Vec<_>>())
            .fetch_all(reader)
            .await
            .map_err(unavailable)?;
        rows.iter().map(unique_key).collect()
    }

    async fn unique_keys(
        &self,
        after: Option<&UniqueKey>,
        limit: u32,
    ) -> Result<Vec<(UniqueKey, StreamId)>, JournalError> {
        let reader = self.reader().await?;
        if !has_keys(reader).await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(UNIQUE_KEYS)
            .bind(after.map_or("", UniqueKey::as_str))
            .bind(i64::from(limit))
            .fetch_all(reader)
            .await
            .map_err(unavailable)?;
        rows.iter().map(unique_key).collect()
    }
}

/// Whether the database has the table; one that only readers have opened was not migrated.
async fn has_keys(pool: &PgPool) -> Result<bool, JournalError> {
    let there = "SELECT to_regclass('unique_keys') IS NOT NULL";
    sqlx::query_scalar(there).fetch_one(pool).await.map_err(unavailable)
}
