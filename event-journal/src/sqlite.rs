use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::{ActionsAsked, OperatorAction, begin_immediate};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    ConnectOptions as _, Connection as _, QueryBuilder, Row as _, Sqlite, SqliteConnection,
    SqlitePool,
};
use uuid::Uuid;

use super::actions;
use super::chain::GENESIS;
use super::chronicle::{Beginning, Chronicle};
use super::error::{JournalError, not_migrated};
use super::event::{ChainedEvent, Quarantined, StoredEvent};
use super::fingerprints::Key;
use super::options::Options;
use super::store::{
    AGGREGATE_TYPE, Batch, Claim, Claimed, CommitError, Head, Loaded, News, Range, Renewal,
    Renewed, Store,
};

/// Readers of one file.
const READERS_MAX: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Events per INSERT: eleven values each, of the 32,766 that SQLite binds.
const ROWS_MAX: usize = 500;

pub(super) struct SqliteStore {
    /// For reading.
    connect: SqliteConnectOptions,
    writer: Option<SqlitePool>,
    reader: SqlitePool,
    owner: String,
    path: PathBuf,
    /// The file that was opened, whatever has its name later.
    opened: Option<FileId>,
    lock_path: PathBuf,
    // Held for as long as we write. The system lets go of it when the process dies, so whoever
    // gets it need not wait for a lease.
    lock: Mutex<Option<File>>,
}

impl SqliteStore {
    pub(super) async fn open(path: &Path, options: &Options) -> Result<Self, JournalError> {
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let writer = if options.read_only {
            None
        } else {
            let connect = connect
                .clone()
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                // Else INSERT OR REPLACE would delete without asking the trigger.
                .pragma("recursive_triggers", "ON");
            let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT);
            let pool = pool.idle_timeout(None).max_lifetime(None);
            Some(pool.connect_with(connect).await.map_err(away)?)
        };
        let connect = connect.read_only(true);
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(connect.clone())
            .await
            .map_err(away)?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        Ok(Self {
            connect,
            writer,
            reader,
            owner: format!("ordinal-{}", Uuid::now_v7()),
            path: path.to_owned(),
            opened: FileId::of(path).ok(),
            lock_path: lock_path.into(),
            lock: Mutex::new(None),
        })
    }

    /// Whether the file is older than a table.
    async fn lacks(&self, table: &str) -> Result<bool, JournalError> {
        let found: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = ?")
            .bind(table)
            .fetch_one(&self.reader)
            .await
            .map_err(away)?;
        Ok(found == 0)
    }

    fn writer(&self) -> Result<&SqlitePool, JournalError> {
        self.writer.as_ref().ok_or(JournalError::Closed)
    }

    fn try_lock(&self) -> Result<bool, JournalError> {
        let away = |error: std::io::Error| JournalError::Unavailable(format!("lock: {error}"));
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_some() {
            return Ok(true);
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.lock_path)
            .map_err(away)?;
        match file.try_lock() {
            Ok(()) => {
                *lock = Some(file);
                Ok(true)
            }
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(error)) => Err(away(error)),
        }
    }

    fn unlock(&self) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the file that is written to is the one that others will find: it may have been deleted
    /// or replaced, and then everything would be acknowledged into a file that goes with the process.
    fn is_in_place(&self) -> Result<(), String> {
        let name = self.path.display();
        match FileId::of(&self.path) {
            Ok(found) if Some(&found) == self.opened.as_ref() => Ok(()),
            Ok(_) => Err(format!("{name} was replaced while it was open: start anew")),
            Err(error) => Err(format!("{name} is gone: {error}")),
        }
    }

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
                    .push_bind(event.order_id.to_string())
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
        tx.commit().await.map_err(|error| CommitError::Unknown(error.to_string()))
    }
}

/// An error before the commit: the transaction is rolled back.
fn not_done(error: sqlx::Error) -> CommitError {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            // 1555 is the primary key; 2067 the position, which only a hand can have taken.
            if database.code().as_deref() == Some("1555") {
                CommitError::Conflict
            } else {
                CommitError::Unavailable(format!("the position is taken: {error}"))
            }
        }
        _ => CommitError::Unavailable(error.to_string()),
    }
}

/// A file, whatever it is called.
#[derive(PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { device: found.dev(), inode: found.ino() })
    }
}

fn away(error: impl std::fmt::Display) -> JournalError {
    JournalError::Unavailable(error.to_string())
}

fn impossible(detail: &str) -> JournalError {
    JournalError::Broken {
        shard: 0,
        position: 0,
        detail: format!("a row has an impossible {detail}"),
    }
}

fn head(row: &SqliteRow) -> Result<Head, JournalError> {
    let hash: Vec<u8> = row.try_get("head_hash").map_err(away)?;
    Ok(Head {
        shard: row.try_get("shard").map_err(away)?,
        epoch: unsigned(row, "epoch")?,
        position: unsigned(row, "head_position")?,
        hash: hash.try_into().map_err(|_| impossible("hash"))?,
    })
}

fn unsigned(row: &SqliteRow, column: &'static str) -> Result<u64, JournalError> {
    u64::try_from(row.try_get::<i64, _>(column).map_err(away)?).map_err(|_| impossible(column))
}

fn stored(row: &SqliteRow) -> Result<StoredEvent, JournalError> {
    let id: &str = row.try_get("aggregate_id").map_err(away)?;
    Ok(StoredEvent {
        order_id: OrderId::recorded(id).map_err(|_| impossible("order id"))?,
        sequence: unsigned(row, "sequence")?,
        shard: row.try_get("shard").map_err(away)?,
        position: unsigned(row, "position")?,
        recorded_at: Timestamp::from_micros(row.try_get("recorded_at").map_err(away)?),
        event_type: row.try_get("event_type").map_err(away)?,
        event_version: row.try_get("event_version").map_err(away)?,
        payload: row.try_get("payload").map_err(away)?,
        metadata: row.try_get("metadata").map_err(away)?,
    })
}

/// All there is to ask is whether somebody took over by force.
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
                return Ok(Claimed::Held(format!("who locked {}", self.lock_path.display())));
            }
            sqlx::migrate!("migrations/sqlite").run(writer).await.map_err(not_migrated)?;
        }
        let mut tx = begin_immediate(writer).await.map_err(away)?;
        if claim == Claim::Own {
            let foreign: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM shards WHERE owner <> ?")
                .bind(&self.owner)
                .fetch_one(&mut *tx)
                .await
                .map_err(away)?;
            if foreign > 0 {
                return Err(JournalError::Superseded);
            }
        }
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM shards")
            .fetch_one(&mut *tx)
            .await
            .map_err(away)?;
        if count == 0 {
            for shard in 0..shards {
                sqlx::query("INSERT INTO shards VALUES (?, 0, '', 0, ?)")
                    .bind(shard)
                    .bind(GENESIS.as_slice())
                    .execute(&mut *tx)
                    .await
                    .map_err(away)?;
            }
        }
        sqlx::query("UPDATE shards SET epoch = epoch + 1, owner = ?")
            .bind(&self.owner)
            .execute(&mut *tx)
            .await
            .map_err(away)?;
        let rows = sqlx::query("SELECT * FROM shards ORDER BY shard")
            .fetch_all(&mut *tx)
            .await
            .map_err(away)?;
        let heads = rows.iter().map(head).collect::<Result<_, _>>()?;
        tx.commit().await.map_err(away)?;
        Ok(Claimed::Taken(heads))
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn renewal(&self) -> Box<dyn Renewal> {
        let connect = self.connect.clone();
        Box::new(SqliteRenewal { connect, connection: None, owner: self.owner.clone() })
    }

    /// The lock is the lease, and the system keeps it for as long as the process lives: a file that is
    /// slow, full or cannot be opened is a reason to wait, none to give it up.
    fn lease_runs_out(&self) -> bool {
        false
    }

    async fn release(&self) {
        self.unlock();
    }

    async fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        self.insert(batch).await
    }

    async fn versions(&self, orders: &[OrderId]) -> Result<HashMap<OrderId, u64>, JournalError> {
        let rows = sqlx::query(
            "SELECT aggregate_id, MAX(sequence) AS sequence FROM events
             WHERE aggregate_type = 'order' AND aggregate_id IN (SELECT value FROM json_each(?))
             GROUP BY aggregate_id",
        )
        .bind(serde_json::to_string(orders).map_err(away)?)
        .fetch_all(&self.reader)
        .await
        .map_err(away)?;
        let mut versions = HashMap::new();
        for row in &rows {
            let id: &str = row.try_get("aggregate_id").map_err(away)?;
            let order_id = OrderId::recorded(id).map_err(|_| impossible("order id"))?;
            versions.insert(order_id, unsigned(row, "sequence")?);
        }
        Ok(versions)
    }

    async fn load(&self, order_id: OrderId) -> Result<Loaded, JournalError> {
        let rows = sqlx::query(
            "SELECT * FROM events WHERE aggregate_type = 'order' AND aggregate_id = ?
             ORDER BY sequence",
        )
        .bind(order_id.to_string())
        .fetch_all(&self.reader)
        .await
        .map_err(away)?;
        rows.iter().map(stored).collect::<Result<_, _>>().map(Loaded::whole)
    }

    async fn heads(&self) -> Result<Vec<Head>, JournalError> {
        let rows = sqlx::query("SELECT * FROM shards ORDER BY shard")
            .fetch_all(&self.reader)
            .await
            .map_err(away)?;
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
            .map_err(away)?;
            for row in &rows {
                let hash: Vec<u8> = row.try_get("hash").map_err(away)?;
                let hash = hash.try_into().map_err(|_| impossible("hash"))?;
                events.push(ChainedEvent { event: stored(row)?, hash });
            }
        }
        Ok(events)
    }

    async fn next_after(&self, shard: u16, after: u64) -> Result<Option<u64>, JournalError> {
        let next: Option<i64> = sqlx::query_scalar(
            "SELECT MIN(position) FROM events WHERE shard = $1 AND position > $2",
        )
        .bind(i32::from(shard))
        .bind(i64::try_from(after).map_err(away)?)
        .fetch_one(&self.reader)
        .await
        .map_err(away)?;
        next.map(u64::try_from).transpose().map_err(away)
    }

    async fn beyond_heads(&self, limit: u32) -> Result<Vec<(u64, u64, String)>, JournalError> {
        let rows = sqlx::query(
            "SELECT CAST(events.shard AS BIGINT), position, aggregate_id
             FROM events LEFT JOIN shards ON shards.shard = events.shard
             WHERE shards.shard IS NULL OR position > head_position
             ORDER BY 1, 2 LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await
        .map_err(away)?;
        rows.iter()
            .map(|row| {
                let number = |column: usize| -> Result<u64, JournalError> {
                    let number: i64 = row.try_get(column).map_err(away)?;
                    u64::try_from(number).map_err(away)
                };
                Ok((number(0)?, number(1)?, row.try_get(2).map_err(away)?))
            })
            .collect()
    }

    async fn chronicle(&self) -> Result<Option<Chronicle>, JournalError> {
        if self.lacks("journal").await? {
            return Ok(None);
        }
        let row = sqlx::query("SELECT * FROM journal").fetch_one(&self.reader).await;
        let row = row.map_err(away)?;
        let id: &str = row.try_get("journal_id").map_err(away)?;
        Ok(Some(Chronicle {
            journal: id.parse().map_err(|_| impossible("journal id"))?,
            incarnation: unsigned(&row, "incarnation")?,
            doubted: row.try_get("doubted").map_err(away)?,
            doubted_incarnation: unsigned(&row, "doubted_incarnation")?,
        }))
    }

    async fn doubt(&self, why: &str, incarnation: u64) -> Result<(), JournalError> {
        sqlx::query(
            "UPDATE journal SET doubted = ?1, doubted_incarnation = ?2
             WHERE incarnation <= ?2 AND (doubted IS NULL OR doubted_incarnation < ?2)",
        )
        .bind(why)
        .bind(incarnation.cast_signed())
        .execute(self.writer()?)
        .await
        .map_err(away)
        .map(drop)
    }

    async fn begin_incarnation(
        &self,
        beginning: &Beginning,
        action: Option<&OperatorAction>,
    ) -> Result<bool, JournalError> {
        let mut tx = begin_immediate(self.writer()?).await.map_err(away)?;
        let begun =
            sqlx::query("INSERT INTO incarnations VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
                .bind(beginning.number.cast_signed())
                .bind(beginning.at.micros())
                .bind(&beginning.reason)
                .bind(&beginning.said_by)
                .bind(&beginning.heads)
                .execute(&mut *tx)
                .await
                .map_err(away)?;
        if begun.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("UPDATE journal SET incarnation = ?, doubted = NULL")
            .bind(beginning.number.cast_signed())
            .execute(&mut *tx)
            .await
            .map_err(away)?;
        if let Some(action) = action {
            let sql = "INSERT INTO operator_actions
                           (id, at, role, subject, verb, kind, target, reason, before, after)
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            sqlx::query(sql)
                .bind(action.id.to_string())
                .bind(action.at.micros())
                .bind(&action.by.role)
                .bind(&action.by.subject)
                .bind(&action.verb)
                .bind(&action.kind)
                .bind(&action.target)
                .bind(&action.reason)
                .bind(&action.before)
                .bind(&action.after)
                .execute(&mut *tx)
                .await
                .map_err(away)?;
        }
        tx.commit().await.map_err(away)?;
        Ok(true)
    }

    async fn operator_actions(
        &self,
        asked: &ActionsAsked,
    ) -> Result<Vec<OperatorAction>, JournalError> {
        let (at, id) = asked.before_text();
        let rows = sqlx::query(ActionsAsked::SQL)
            .bind(&asked.kind)
            .bind(&asked.target)
            .bind(&asked.subject)
            .bind(at)
            .bind(id)
            .bind(i64::from(asked.limit))
            .fetch_all(&self.reader)
            .await
            .map_err(away)?;
        rows.iter().map(|row| actions::read(row, away)).collect()
    }

    async fn incarnations(&self) -> Result<Vec<Beginning>, JournalError> {
        if self.lacks("incarnations").await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query("SELECT * FROM incarnations ORDER BY number")
            .fetch_all(&self.reader)
            .await
            .map_err(away)?;
        rows.iter()
            .map(|row| {
                let began_at = row.try_get("began_at").map_err(away)?;
                Ok(Beginning {
                    number: unsigned(row, "number")?,
                    at: Timestamp::from_micros(began_at),
                    reason: row.try_get("reason").map_err(away)?,
                    said_by: row.try_get("said_by").map_err(away)?,
                    heads: row.try_get("heads").map_err(away)?,
                })
            })
            .collect()
    }

    async fn ids_by_position(&self) -> Result<BTreeMap<u16, u64>, JournalError> {
        // A file that was not opened for writing since has nothing but such ids.
        let sql = match self.lacks("ids_by_position").await? {
            true => "SELECT shard, head_position AS through FROM shards",
            false => "SELECT shard, through FROM ids_by_position",
        };
        let rows = sqlx::query(sql).fetch_all(&self.reader).await.map_err(away)?;
        rows.iter()
            .map(|row| {
                let shard: i64 = row.try_get("shard").map_err(away)?;
                let shard = u16::try_from(shard).map_err(|_| impossible("shard"))?;
                Ok((shard, unsigned(row, "through")?))
            })
            .collect()
    }

    async fn fingerprint_keys(&self) -> Result<Vec<Key>, JournalError> {
        if self.lacks("fingerprint_keys").await? {
            return Ok(Vec::new());
        }
        let sql = "SELECT id, key FROM fingerprint_keys ORDER BY id";
        let rows = sqlx::query(sql).fetch_all(&self.reader).await.map_err(away)?;
        rows.iter()
            .map(|row| {
                let bytes: &[u8] = row.try_get("key").map_err(away)?;
                let bytes = bytes.try_into().map_err(|_| impossible("key of fingerprints"))?;
                Ok(Key { id: row.try_get("id").map_err(away)?, bytes })
            })
            .collect()
    }

    async fn quarantine(
        &self,
        order_id: OrderId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        sqlx::query(
            "INSERT INTO quarantined (order_id, reason, since) VALUES (?, ?, ?)
             ON CONFLICT (order_id) DO UPDATE SET reason = excluded.reason",
        )
        .bind(order_id.to_string())
        .bind(reason)
        .bind(now.micros())
        .execute(self.writer()?)
        .await
        .map_err(away)?;
        Ok(())
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError> {
        let rows = sqlx::query("SELECT * FROM quarantined ORDER BY order_id")
            .fetch_all(&self.reader)
            .await
            .map_err(away)?;
        rows.iter()
            .map(|row| {
                let id: &str = row.try_get("order_id").map_err(away)?;
                Ok(Quarantined {
                    order_id: OrderId::recorded(id).map_err(|_| impossible("order id"))?,
                    reason: row.try_get("reason").map_err(away)?,
                    since: Timestamp::from_micros(row.try_get("since").map_err(away)?),
                })
            })
            .collect()
    }

    fn announce(&self) {}

    /// SQLite tells nobody; readers of other processes poll.
    async fn announced(&self) -> News {
        std::future::pending().await
    }

    async fn takes_writes(&self) -> Result<(), JournalError> {
        self.is_in_place().map_err(JournalError::Unavailable)?;
        let sql = "UPDATE installation SET written = written + 1";
        sqlx::query(sql).execute(self.writer()?).await.map_err(away).map(drop)
    }

    /// The readers first: who may only read could not bring what is in the -wal file into the other
    /// one, which is whole by itself afterwards.
    async fn close(&self) {
        self.reader.close().await;
        if let Some(writer) = &self.writer
            && !writer.is_closed()
        {
            let merge = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(writer);
            if let Err(error) = merge.await {
                tracing::warn!(%error, "the newest events are in the journal's -wal file still");
            }
            writer.close().await;
        }
        self.unlock();
    }
}
