//! Who may write, and what is written.

use std::time::Duration;

use async_trait::async_trait;
use shared_events::stream::{Dialect, begin_immediate};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};

use super::file::SqliteStore;
use crate::chain::GENESIS;
use crate::error::{JournalError, not_migrated};
use crate::event::ChainedEvent;
use crate::id::AGGREGATE_TYPE;
use crate::store::head::{Batch, Claim, Claimed, CommitError, News, Renewed};
use crate::store::port::{Renewal, Store};
use crate::store::rows::{head, unavailable};
use crate::store::tables::migrator;

/// Events per INSERT: eleven values each, of the 32,766 that SQLite binds.
const ROWS_MAX: usize = 500;

impl SqliteStore {
    async fn insert(&self, batch: &Batch) -> Result<(), CommitError> {
        let writer = self.writer.as_ref().ok_or(CommitError::Superseded)?;
        self.is_in_place().map_err(CommitError::Unavailable)?;
        let mut tx = begin_immediate(writer).await.map_err(not_done)?;
        for fence in &batch.fences {
            let hit = sqlx::query(
                "UPDATE shards SET head_position = ?1, head_hash = ?2
                 WHERE shard = ?3 AND epoch = ?4 AND head_position = ?5",
            )
            .bind(fence.after.position.cast_signed())
            .bind(fence.after.hash.as_slice())
            .bind(fence.before.shard)
            .bind(fence.before.epoch.cast_signed())
            .bind(fence.before.position.cast_signed())
            .execute(&mut *tx)
            .await
            .map_err(not_done)?;
            if hit.rows_affected() != 1 {
                return Err(CommitError::Superseded);
            }
        }
        for events in batch.events.chunks(ROWS_MAX) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type,
                 event_version, payload, metadata, shard, position, recorded_at, hash) ",
            );
            insert.push_values(events, |mut row, ChainedEvent { event, hash }| {
                row.push_bind(AGGREGATE_TYPE)
                    .push_bind(event.stream_id.to_string())
                    .push_bind(event.sequence.cast_signed())
                    .push_bind(&event.event_type)
                    .push_bind(&event.event_version)
                    .push_bind(&event.payload)
                    .push_bind(&event.metadata)
                    .push_bind(event.shard)
                    .push_bind(event.position.cast_signed())
                    .push_bind(event.recorded_at.micros())
                    .push_bind(hash.as_slice());
            });
            let statement = insert.build().persistent(events.len() <= 4);
            statement.execute(&mut *tx).await.map_err(not_done)?;
        }
        for (key, stream_id) in &batch.keys {
            let take = sqlx::query("INSERT INTO unique_keys (key, order_id) VALUES (?1, ?2)")
                .bind(key.as_str())
                .bind(stream_id.to_string());
            take.execute(&mut *tx).await.map_err(|error| match not_done(error) {
                CommitError::Conflict => CommitError::KeyTaken,
                other => other,
            })?;
        }
        tx.commit().await.map_err(|error| CommitError::Unknown(error.to_string()))
    }
}

/// An error before the commit: the transaction is rolled back.
fn not_done(error: sqlx::Error) -> CommitError {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            // 1555 is the primary key; 2067 the position, which only manual changes can have taken.
            if database.code().as_deref() == Some("1555") {
                CommitError::Conflict
            } else {
                CommitError::Unavailable(format!("the position is taken: {error}"))
            }
        }
        _ => CommitError::Unavailable(error.to_string()),
    }
}

/// Only checks whether another process took over by force.
struct SqliteRenewal {
    connect: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    owner: String,
}

#[async_trait]
impl Renewal for SqliteRenewal {
    async fn renew(&mut self, _lease: Duration) -> Result<Renewed, CommitError> {
        // Out of its place while in use: one that failed is closed.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.connect).await.map_err(not_done)?,
        };
        let foreign: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM shards WHERE owner <> ?")
            .bind(&self.owner)
            .fetch_one(&mut connection)
            .await
            .map_err(not_done)?;
        self.connection = Some(connection);
        if foreign > 0 { Err(CommitError::Superseded) } else { Ok(Renewed::Everything) }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn claim(
        &self,
        claim: Claim,
        shards: u16,
        _lease: Duration,
    ) -> Result<Claimed, JournalError> {
        let writer = self.writer()?;
        if claim != Claim::Own {
            if !self.try_lock()? && claim != Claim::Force {
                return Ok(Claimed::Held(format!(
                    "the process that locked {}",
                    self.lock_path.display()
                )));
            }
            migrator(Dialect::Sqlite).run(writer).await.map_err(not_migrated)?;
        }
        let mut tx = begin_immediate(writer).await.map_err(unavailable)?;
        if claim == Claim::Own {
            let foreign: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM shards WHERE owner <> ?")
                .bind(&self.owner)
                .fetch_one(&mut *tx)
                .await
                .map_err(unavailable)?;
            if foreign > 0 {
                return Err(JournalError::Superseded);
            }
        }
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM shards")
            .fetch_one(&mut *tx)
            .await
            .map_err(unavailable)?;
        if count == 0 {
            for shard in 0..shards {
                sqlx::query("INSERT INTO shards VALUES (?, 0, '', 0, ?)")
                    .bind(shard)
                    .bind(GENESIS.as_slice())
                    .execute(&mut *tx)
                    .await
                    .map_err(unavailable)?;
            }
        }
        sqlx::query("UPDATE shards SET epoch = epoch + 1, owner = ?")
            .bind(&self.owner)
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        let rows = sqlx::query("SELECT * FROM shards ORDER BY shard")
            .fetch_all(&mut *tx)
            .await
            .map_err(unavailable)?;
        let heads = rows.iter().map(head).collect::<Result<_, _>>()?;
        tx.commit().await.map_err(unavailable)?;
        Ok(Claimed::Taken(heads))
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn renewal(&self) -> Box<dyn Renewal> {
        let connect = self.connect.clone();
        Box::new(SqliteRenewal { connect, connection: None, owner: self.owner.clone() })
    }

    /// The lock is the lease, and the system holds it for as long as the process lives: a file that
    /// is slow, full or cannot be opened is a reason to wait, not to release it.
    fn lease_runs_out(&self) -> bool {
        false
    }

    async fn release(&self) {
        self.unlock();
    }

    async fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        self.insert(batch).await
    }

    fn announce(&self) {}

    /// SQLite has no notifications; readers of other processes poll.
    async fn announced(&self) -> News {
        std::future::pending().await
    }

    async fn takes_writes(&self) -> Result<(), JournalError> {
        self.is_in_place().map_err(JournalError::Unavailable)?;
        let sql = "UPDATE installation SET written = written + 1";
        sqlx::query(sql).execute(self.writer()?).await.map_err(unavailable).map(drop)
    }

    /// Closes the readers first: a last reader could not merge the -wal file into the main file,
    /// which is complete by itself afterwards.
    async fn close(&self) {
        self.reader.close().await;
        if let Some(writer) = &self.writer
            && !writer.is_closed()
        {
            let merge = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer);
            if let Err(error) = merge.await {
                tracing::warn!(%error, "the newest events are still in the journal's -wal file");
            }
            writer.close().await;
        }
        self.unlock();
    }
}
