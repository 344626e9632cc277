use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex as StdMutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::{ActionsAsked, OperatorAction, Session, inspect};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArgumentBuffer, PgConnectOptions, PgDatabaseError, PgHasArrayType, PgListener, PgPoolOptions,
    PgRow, PgTypeInfo, PgValueFormat, PgValueRef,
};
use sqlx::{
    ConnectOptions as _, Connection as _, Decode, Encode, Executor as _, PgConnection, PgPool,
    Postgres, Row as _, Type,
};
use tokio::sync::{Mutex, Notify, OnceCell, mpsc};
use tokio::time::{Instant as TokioInstant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::actions;
use super::archive::Archived;
use super::charter::Territory;
use super::chronicle::{Beginning, Chronicle};
use super::copied;
use super::error::{JournalError, not_migrated};
use super::event::{ChainedEvent, Quarantined, StoredEvent};
use super::fingerprints::Key;
use super::loads::Loads;
use super::options::{Node, Options};
use super::process;
use super::store::{
    ArchivedOrders, Batch, Claim, Claimed, CommitError, Head, Loaded, News, NodeSeen, Range,
    Renewal, Renewed, ShardSeen, SharedStore, Sight, Store,
};

/// Bytes that are handed over at once where the whole table is read.
const PIECE: usize = 512 << 10;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that idled longer is asked whether it lives before it is used.
const IDLE_TRUSTED: Duration = Duration::from_secs(5);
/// How long saying goodbye to the server may take.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);
/// At most one announcement per so long: NOTIFY takes a lock of the whole database.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(20);

/// What is said on the channel when shards or nodes have changed; of appends nothing is said but
/// that there are some.
const SHARDS_CHANGED: &str = "shards";

/// Whether a process is gone: its lease ran out, or it has no session and so little of its lease
/// left ($2, microseconds) that it has stopped believing in it.
const GONE: &str = "
(lease_until <= clock_timestamp()
 OR lease_until <= clock_timestamp() + $2 * interval '1 microsecond'
    AND NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = process.id))";

/// The lease of who said goodbye.
const NEVER: &str = "-infinity";

/// One statement, so that one round trip appends or does not. Each event takes its shard from the
/// row that the fence hit; where it hit none the shard is null, which the table refuses, and
/// nothing of the statement remains. So it is with a version that an order has left with, which the
/// primary key knows no more: it becomes null. Where no order ever left that is seen once for the
/// whole statement.
const APPEND: &str = "
WITH fenced AS (
    UPDATE shards SET head_position = fence.head_position, head_hash = fence.head_hash
    FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
         AS fence (shard, epoch, was_position, head_position, head_hash)
    WHERE shards.shard = fence.shard AND shards.epoch = fence.epoch
      AND shards.head_position = fence.was_position
    RETURNING shards.shard
)
INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
                    metadata, shard, position, recorded_at, hash)
SELECT 'order', event.aggregate_id,
       CASE WHEN NOT EXISTS (SELECT FROM archived_orders)
              OR event.sequence > coalesce((SELECT cardinality(positions) FROM archived_orders
                                            WHERE order_id = event.aggregate_id::uuid), 0)
            THEN event.sequence END, event.event_type, event.event_version,
       event.payload::json, event.metadata::json, fenced.shard, event.position, event.recorded_at,
       event.hash
FROM unnest($6::text[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::int[],
            $13::bigint[], $14::timestamptz[], $15::bytea[])
     AS event (aggregate_id, sequence, event_type, event_version, payload, metadata, shard,
               position, recorded_at, hash)
LEFT JOIN fenced ON fenced.shard = event.shard";

pub(super) const READ: &str = "
SELECT event.aggregate_id, event.sequence, event.event_type, event.event_version,
       event.payload::text AS payload_text, event.metadata::text AS metadata_text,
       event.shard, event.position, event.recorded_at, event.hash
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS range (shard, after, through)
CROSS JOIN LATERAL (
    SELECT * FROM events
    WHERE events.shard = range.shard AND events.position > range.after
      AND events.position <= range.through AND events.aggregate_type = 'order'
    ORDER BY events.position
) AS event
ORDER BY event.shard, event.position";

/// The shards that are served here, by number.
const HEADS: &str = "SELECT * FROM shards WHERE state = 'HERE' ORDER BY shard";

pub(super) struct PostgresStore {
    /// It may hold a password.
    url: String,
    /// Whether the server has been seen to be one that may be written to.
    inspected: OnceCell<()>,
    connect: PgConnectOptions,
    /// What the writer's session is told.
    writes: Session,
    // Taken out while in use: a call that is given up drops it, and with it the socket, so that
    // nobody ever waits behind an answer that may not come.
    writer: Mutex<Option<PgConnection>>,
    reader: PgPool,
    loads: Loads,
    listener: Mutex<Option<PgListener>>,
    channel: String,
    news: Arc<Notify>,
    owner: String,
    /// Host, port and database.
    label: String,
    among_others: bool,
    /// For how long another process may answer from memory after it renewed its lease.
    belief: Duration,
    /// For how long a lease is written.
    lease: Duration,
    /// Leases of others as they were seen first, by shard or owner.
    watched: StdMutex<HashMap<String, Watched>>,
    read_only: bool,
    schema: String,
    territory: OnceLock<Territory>,
    /// Whether it has been seen to be the database that it is to be.
    entered: OnceCell<()>,
    _announcer: DropGuard,
}

/// A lease that has not changed since.
struct Watched {
    lease: String,
    since: TokioInstant,
}

/// So many sessions at most, kept for good, each of which is told this first.
pub(super) fn sessions(most: u32, session: Session) -> PgPoolOptions {
    PgPoolOptions::new()
        .after_connect(move |connection, _| {
            let session = session.clone();
            Box::pin(async move { session.begin::<Postgres>(connection).await })
        })
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .before_acquire(|connection, seen| {
            Box::pin(async move {
                if seen.idle_for > IDLE_TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

impl PostgresStore {
    /// A store that connects when it is first used.
    pub(super) fn connect(
        url: &str,
        schema: &str,
        options: &Options,
    ) -> Result<Self, JournalError> {
        let owner = format!("ordinal-{}", Uuid::now_v7());
        let connect = url
            .parse::<PgConnectOptions>()
            .map_err(away)?
            .application_name(&owner)
            .disable_statement_logging();
        let session = Session::new(schema).map_err(away)?;
        let session = if options.read_only { session.unhurried() } else { session };
        let reader = sessions(options.connections, session.clone())
            // At least one session, by which others see that the owner is alive.
            .min_connections(1)
            .connect_lazy_with(connect.clone());
        let label = format!(
            "{}:{}/{}",
            connect.get_host(),
            connect.get_port(),
            connect.get_database().unwrap_or_else(|| connect.get_username())
        );
        let hash = blake3::hash(schema.as_bytes());
        let channel = format!("ordinal_{}", hex::encode(&hash.as_bytes()[..8]));
        let (news, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        if !options.read_only {
            let task = announcing(reader.clone(), channel.clone(), Arc::clone(&news));
            let stop = stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(task).await });
        }
        // An append is one statement, always the same. A plan for the lengths of its arrays would be
        // made anew each time, and takes a third of the time of a lone one; the plan that is kept must
        // not read whole tables, however small they were when it was made.
        let writes = session
            .clone()
            .with("plan_cache_mode", "force_generic_plan")
            .with("enable_seqscan", "off")
            .with("jit", "off");
        Ok(Self {
            loads: Loads::new(&connect, session, options.connections),
            url: url.to_owned(),
            inspected: OnceCell::new(),
            connect,
            writes,
            writer: Mutex::new(None),
            reader,
            listener: Mutex::new(None),
            channel,
            news,
            owner,
            label,
            among_others: options.node.is_some(),
            // A little more than they believe, for clocks that do not go alike.
            belief: options.self_stop + options.self_stop / 20,
            lease: options.lease.max(options.self_stop + options.self_stop / 20),
            watched: StdMutex::default(),
            read_only: options.read_only,
            schema: schema.to_owned(),
            territory: OnceLock::new(),
            entered: OnceCell::new(),
            _announcer: stop.drop_guard(),
        })
    }

    /// Brings the schema and its tables up to date; makes them where there are none.
    pub(super) async fn migrate(&self) -> Result<(), JournalError> {
        // Two that start together may both try; whoever is second finds it made.
        match sqlx::raw_sql(&format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema))
            .execute(&self.reader)
            .await
        {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
            other => {
                other.map_err(away)?;
            }
        }
        sqlx::migrate!("migrations/postgres").run(&self.reader).await.map_err(not_migrated)
    }

    /// Which part of which journal is expected here; looked at before the first use.
    pub(super) fn is_to_be(&self, territory: Territory) {
        // Said once, by who opens it.
        let _ = self.territory.set(territory);
    }

    async fn enter(&self) -> Result<(), JournalError> {
        let Some(territory) = self.territory.get() else { return Ok(()) };
        territory.check(&self.label, self.charter().await?.as_ref())?;
        if self.read_only {
            return Ok(());
        }
        self.migrate().await?;
        // Said again where whoever made the journal was cut short before it was said here.
        self.complete().await
    }

    /// Host, port and database, for operators.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// For reading; surely of the right database.
    async fn reader(&self) -> Result<&PgPool, JournalError> {
        self.entered.get_or_try_init(|| self.enter()).await?;
        Ok(&self.reader)
    }

    /// For finding out which database it is.
    pub(super) const fn unchecked(&self) -> &PgPool {
        &self.reader
    }

    async fn writer(&self) -> Result<PgConnection, JournalError> {
        self.reader().await?;
        let idle = self.writer.lock().await.take();
        match idle {
            Some(connection) => Ok(connection),
            None => {
                let mut fresh = PgConnection::connect_with(&self.connect).await.map_err(away)?;
                self.writes.begin::<Postgres>(&mut fresh).await.map_err(away)?;
                Ok(fresh)
            }
        }
    }

    /// Refuses a server that cannot be written to, before anything else is asked of it. Who only reads
    /// may read a standby.
    pub(super) async fn inspect(&self) -> Result<(), JournalError> {
        if self.read_only {
            return Ok(());
        }
        let look = || async { inspect(&self.url).await.map_err(away) };
        self.inspected.get_or_try_init(look).await.map(drop)
    }

    async fn keep(&self, connection: PgConnection) {
        *self.writer.lock().await = Some(connection);
    }

    /// For how long a lease that reads like this now, in an answer to what was asked at `asked`,
    /// has not been renewed, by our own clock: the database's may have been set.
    fn unrenewed_for(&self, whose: String, lease: String, asked: TokioInstant) -> Duration {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        match watched.get(&whose) {
            Some(known) if known.lease == lease => asked.saturating_duration_since(known.since),
            _ => {
                watched.insert(whose, Watched { lease, since: TokioInstant::now() });
                Duration::ZERO
            }
        }
    }

    /// For so long that its holder cannot believe in it any more.
    fn unrenewed(&self, whose: String, lease: String, asked: TokioInstant) -> bool {
        self.unrenewed_for(whose, lease, asked) >= self.belief
    }

    /// Another owner that may live: it did not say goodbye, is not known to be gone, and its lease runs
    /// or has not been watched for long enough.
    async fn held_by(&self, connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
        let asked = TokioInstant::now();
        let rows = sqlx::query(
            "SELECT owner, max(lease_until)::text AS lease, identity,
                    max(lease_until) <= clock_timestamp() OR NOT EXISTS
                        (SELECT 1 FROM pg_stat_activity WHERE application_name = owner) AS silent
             FROM shards LEFT JOIN processes ON process = owner
             WHERE owner NOT IN ($1, '') AND lease_until > '-infinity' AND state = 'HERE'
             GROUP BY owner, identity",
        )
        .bind(&self.owner)
        .fetch_all(connection)
        .await?;
        for row in rows {
            let (owner, lease): (String, String) = (row.try_get("owner")?, row.try_get("lease")?);
            let identity: Option<String> = row.try_get("identity")?;
            let unrenewed = self.unrenewed(owner.clone(), lease, asked);
            let gone = identity.is_some_and(|identity| process::is_gone(&identity));
            let silent: bool = row.try_get("silent")?;
            let lives = !gone && (!silent || !unrenewed);
            if lives {
                return Ok(Some(owner));
            }
        }
        Ok(None)
    }

    /// Leaves behind by what it is seen that we are gone.
    async fn sign(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some(identity) = process::identity() else { return Ok(()) };
        sqlx::query(
            "WITH past AS (
                 DELETE FROM processes WHERE since < clock_timestamp() - interval '1 day'
                    AND NOT EXISTS (SELECT 1 FROM shards WHERE owner = process)
                    AND NOT EXISTS (SELECT 1 FROM nodes WHERE node_id = process)
             )
             INSERT INTO processes (process, identity) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(&self.owner)
        .bind(identity)
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn take(
        &self,
        connection: &mut PgConnection,
        claim: Claim,
        lease: Duration,
    ) -> Result<Result<Claimed, JournalError>, sqlx::Error> {
        // Without the lock first: a waiting writer must not slow the one at work.
        if claim == Claim::Vacant
            && let Some(owner) = self.held_by(connection).await?
        {
            return Ok(Ok(Claimed::Held(owner)));
        }
        let mut tx = begun(connection).await?;
        // Waits for the append in flight, whoever sent it, and for none of its rows: no deadlock.
        sqlx::query("LOCK TABLE shards IN EXCLUSIVE MODE").execute(&mut *tx).await?;
        match claim {
            Claim::Vacant => {
                if let Some(owner) = self.held_by(&mut tx).await? {
                    return Ok(Ok(Claimed::Held(owner)));
                }
            }
            Claim::Own => {
                let foreign: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT 1 FROM shards WHERE owner <> $1 AND state = 'HERE')",
                )
                .bind(&self.owner)
                .fetch_one(&mut *tx)
                .await?;
                if foreign {
                    return Ok(Err(JournalError::Superseded));
                }
            }
            Claim::Force => {}
        }
        self.sign(&mut tx).await?;
        sqlx::query(
            "UPDATE shards SET epoch = epoch + 1, owner = $1,
                    lease_until = clock_timestamp() + $2 * interval '1 microsecond'
             WHERE state = 'HERE'",
        )
        .bind(&self.owner)
        .bind(micros(lease))
        .execute(&mut *tx)
        .await?;
        let rows = sqlx::query(HEADS).fetch_all(&mut *tx).await?;
        let heads: Result<Vec<Head>, JournalError> = rows.iter().map(head).collect();
        tx.commit().await?;
        Ok(heads.map(Claimed::Taken))
    }
}

/// A transaction on a connection that was taken out of its place: whoever is given up meanwhile drops
/// the connection, and nobody else ever gets it.
#[expect(clippy::disallowed_methods, reason = "not a connection of a pool")]
async fn begun(
    connection: &mut PgConnection,
) -> Result<sqlx::Transaction<'_, Postgres>, sqlx::Error> {
    connection.begin().await
}

/// Tells other processes that something was appended; apart from the appends, because NOTIFY in
/// their transaction would make commits wait for each other.
async fn announcing(pool: PgPool, channel: String, news: Arc<Notify>) {
    loop {
        news.notified().await;
        let sent = sqlx::query("SELECT pg_notify($1, '')").bind(&channel).execute(&pool).await;
        if let Err(error) = sent {
            // Readers poll behind it.
            tracing::debug!(%error, "no notification was sent");
        }
        sleep(ANNOUNCE_EVERY).await;
    }
}

/// Reads an order from an `events` table that has only the columns of postgres-es, such as one
/// that another cqrs-es tool made. What those tables do not know is filled: shard and position are
/// 0, the time is 1970.
///
/// # Errors
/// [`JournalError::Broken`] where a version is missing, [`JournalError::Unavailable`].
pub async fn load_standard(
    pool: &PgPool,
    order_id: OrderId,
) -> Result<Vec<StoredEvent>, JournalError> {
    let rows = sqlx::query(
        "SELECT sequence, event_type, event_version, payload::text AS payload_text,
                metadata::text AS metadata_text
         FROM events WHERE aggregate_type = 'order' AND aggregate_id = $1 ORDER BY sequence",
    )
    .bind(order_id.to_string())
    .fetch_all(pool)
    .await
    .map_err(away)?;
    let mut events = Vec::with_capacity(rows.len());
    for (before, row) in (0..).zip(&rows) {
        let sequence = unsigned(row, "sequence")?;
        if sequence != before + 1 {
            let detail = format!("order/{order_id}@{before} is followed by version {sequence}");
            return Err(JournalError::Broken { shard: 0, position: 0, detail });
        }
        events.push(StoredEvent {
            order_id,
            sequence,
            shard: 0,
            position: 0,
            recorded_at: Timestamp::default(),
            event_type: row.try_get("event_type").map_err(away)?,
            event_version: row.try_get("event_version").map_err(away)?,
            payload: row.try_get("payload_text").map_err(away)?,
            metadata: row.try_get("metadata_text").map_err(away)?,
        });
    }
    Ok(events)
}

/// A timestamptz, exact to the microsecond: Postgres counts them from 2000-01-01.
pub(super) struct Instant(pub(super) Timestamp);

pub(super) const EPOCH_2000: i64 = 946_684_800_000_000;

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl PgHasArrayType for Instant {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz[]")
    }
}

impl Encode<'_, Postgres> for Instant {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend(self.0.micros().saturating_sub(EPOCH_2000).to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Instant {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if value.format() == PgValueFormat::Text {
            return Err("a timestamptz as text".into());
        }
        let since_2000 = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(Timestamp::from_micros(since_2000.saturating_add(EPOCH_2000))))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn away(error: impl std::fmt::Display) -> JournalError {
    JournalError::Unavailable(error.to_string())
}

pub(super) fn impossible(detail: &str) -> JournalError {
    JournalError::Broken {
        shard: 0,
        position: 0,
        detail: format!("a row has an impossible {detail}"),
    }
}

pub(super) fn unsigned(row: &PgRow, column: &'static str) -> Result<u64, JournalError> {
    u64::try_from(row.try_get::<i64, _>(column).map_err(away)?).map_err(|_| impossible(column))
}

fn hash(row: &PgRow, column: &'static str) -> Result<[u8; 32], JournalError> {
    let hash: Vec<u8> = row.try_get(column).map_err(away)?;
    hash.try_into().map_err(|_| impossible("hash"))
}

/// Where the first events of an order stand; empty where it has not left.
pub(super) fn positions(row: &PgRow) -> Result<Vec<u64>, JournalError> {
    let positions: Option<Vec<i64>> = row.try_get("positions").map_err(away)?;
    let positions = positions.unwrap_or_default().into_iter().map(u64::try_from);
    positions.collect::<Result<_, _>>().map_err(|_| impossible("position"))
}

/// A row of `archives`.
pub(super) fn archived(row: &PgRow) -> Result<Archived, JournalError> {
    Ok(Archived {
        shard: shard(row)?,
        first: unsigned(row, "first_position")?,
        last: unsigned(row, "last_position")?,
        last_hash: hash(row, "last_hash")?,
        file: row.try_get("file").map_err(away)?,
        sha256: hash(row, "sha256")?,
    })
}

/// An event with its link of the chain.
pub(super) fn chained(row: &PgRow) -> Result<ChainedEvent, JournalError> {
    Ok(ChainedEvent { event: stored(row)?, hash: hash(row, "hash")? })
}

pub(super) fn shard(row: &PgRow) -> Result<u16, JournalError> {
    u16::try_from(row.try_get::<i32, _>("shard").map_err(away)?).map_err(|_| impossible("shard"))
}

pub(super) fn head(row: &PgRow) -> Result<Head, JournalError> {
    Ok(Head {
        shard: shard(row)?,
        epoch: unsigned(row, "epoch")?,
        position: unsigned(row, "head_position")?,
        hash: hash(row, "head_hash")?,
    })
}

pub(super) fn stored(row: &PgRow) -> Result<StoredEvent, JournalError> {
    let id: &str = row.try_get("aggregate_id").map_err(away)?;
    Ok(StoredEvent {
        order_id: OrderId::recorded(id).map_err(|_| impossible("order id"))?,
        sequence: unsigned(row, "sequence")?,
        shard: shard(row)?,
        position: unsigned(row, "position")?,
        recorded_at: row.try_get::<Instant, _>("recorded_at").map_err(away)?.0,
        event_type: row.try_get("event_type").map_err(away)?,
        event_version: row.try_get("event_version").map_err(away)?,
        payload: row.try_get("payload_text").map_err(away)?,
        metadata: row.try_get("metadata_text").map_err(away)?,
    })
}

/// What an error of the append says about what happened. The server's own errors come with a
/// rollback, except those by which it ends the session: these may follow a commit.
fn outcome(error: &sqlx::Error) -> CommitError {
    let sqlx::Error::Database(database) = error else {
        return CommitError::Unknown(error.to_string());
    };
    let code = database.code().unwrap_or_default();
    let column = database.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::column);
    match (code.as_ref(), column, database.constraint()) {
        ("23502", Some("shard"), _) => CommitError::Superseded,
        ("23502", Some("sequence"), _) | ("23505", _, Some("events_pkey")) => CommitError::Conflict,
        ("23505", ..) => CommitError::Unavailable(format!("the position is taken: {error}")),
        (code, ..) if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
            CommitError::Refused(error.to_string())
        }
        ("57014", ..) => CommitError::Unavailable(error.to_string()),
        (code, ..) if ["08", "57", "58", "XX"].iter().any(|class| code.starts_with(class)) => {
            CommitError::Unknown(error.to_string())
        }
        _ => CommitError::Unavailable(error.to_string()),
    }
}

impl PostgresStore {
    /// Tells the other nodes to look; whoever does not hear it looks in time.
    async fn say_shards_changed(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(&self.channel)
            .bind(SHARDS_CHANGED)
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn joined(
        &self,
        connection: &mut PgConnection,
        node: &Node,
        lease: Duration,
    ) -> Result<(), sqlx::Error> {
        let mut tx = begun(connection).await?;
        sqlx::query("DELETE FROM nodes WHERE lease_until < clock_timestamp() - interval '1 day'")
            .execute(&mut *tx)
            .await?;
        // Nodes that are surely gone, as this one before it was killed and started again: their leases
        // end. Of others that are silent that is not known; their leases are watched.
        let nodes: Vec<(String, String)> = sqlx::query_as(
            "SELECT node_id, identity FROM nodes JOIN processes ON process = node_id
             WHERE node_id <> $1",
        )
        .bind(&self.owner)
        .fetch_all(&mut *tx)
        .await?;
        let gone = nodes.into_iter().filter(|(_, identity)| process::is_gone(identity));
        let gone: Vec<String> = gone.map(|(node, _)| node).collect();
        if !gone.is_empty() {
            sqlx::query(
                "WITH past AS (DELETE FROM nodes WHERE node_id = ANY ($1))
                 UPDATE shards SET lease_until = '-infinity' WHERE owner = ANY ($1)",
            )
            .bind(&gone)
            .execute(&mut *tx)
            .await?;
        }
        self.sign(&mut tx).await?;
        sqlx::query(
            "INSERT INTO nodes (node_id, name, address, lease_until)
             VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 microsecond')
             ON CONFLICT (node_id) DO UPDATE SET lease_until = excluded.lease_until",
        )
        .bind(&self.owner)
        .bind(&node.name)
        .bind(&node.address)
        .bind(micros(lease))
        .execute(&mut *tx)
        .await?;
        self.say_shards_changed(&mut tx).await?;
        tx.commit().await
    }

    async fn seen(
        &self,
        connection: &mut PgConnection,
        grace: Duration,
    ) -> Result<Result<Sight, JournalError>, sqlx::Error> {
        let asked = TokioInstant::now();
        let nodes = sqlx::query(&format!(
            "SELECT node_id, name, address, lease_until::text AS lease FROM nodes
             CROSS JOIN LATERAL (SELECT node_id AS id) AS process
             WHERE node_id = $1 OR NOT {GONE} ORDER BY node_id"
        ))
        .bind(&self.owner)
        .bind(micros(grace))
        .fetch_all(&mut *connection)
        .await?;
        let mut sight = Sight::default();
        let mut listed = HashSet::with_capacity(nodes.len());
        for row in &nodes {
            let id: String = row.try_get("node_id")?;
            // To a clock that was set back, who is gone has a lease for long.
            let whose = format!("node/{id}");
            let silent = self.unrenewed_for(whose.clone(), row.try_get("lease")?, asked);
            listed.insert(whose);
            if id == self.owner || silent < self.lease {
                let (name, address) = (row.try_get("name")?, row.try_get("address")?);
                sight.nodes.push(NodeSeen { id, name, address });
            }
        }
        let asked = TokioInstant::now();
        let shards = sqlx::query(&format!(
            "SELECT shards.*, lease_until::text AS lease, owner <> $1 AND {GONE} AS vacant FROM shards
             CROSS JOIN LATERAL (SELECT owner AS id) AS process WHERE state = 'HERE' ORDER BY shard"
        ))
        .bind(&self.owner)
        .bind(micros(grace))
        .fetch_all(&mut *connection)
        .await?;
        self.watch_only(listed, &shards)?;
        for row in &shards {
            let head = match head(row) {
                Ok(head) => head,
                Err(error) => return Ok(Err(error)),
            };
            let (owner, lease): (String, String) = (row.try_get("owner")?, row.try_get("lease")?);
            let whose = format!("{}/{owner}", head.shard);
            let silent = self.unrenewed_for(whose, lease.clone(), asked);
            // Never had, or given up by who had it; or silent for long enough.
            let free = head.epoch == 0 || lease == NEVER || silent >= self.belief;
            // The database's clock says so, or may be wrong: for a whole lease nobody has renewed
            // it.
            let over: bool = row.try_get("vacant")?;
            let over = over || owner != self.owner && silent >= self.lease;
            sight.shards.push(ShardSeen {
                head,
                owner,
                vacant: over && free,
                lease,
                frozen: row.try_get("frozen")?,
                pinned: row.try_get("pinned")?,
            });
        }
        Ok(Ok(sight))
    }

    /// Forgets leases of those who are on no list any more, and have a shard no more.
    fn watch_only(&self, listed: HashSet<String>, shards: &[PgRow]) -> Result<(), sqlx::Error> {
        let mut known = listed;
        for row in shards {
            known.insert(format!(
                "{}/{}",
                row.try_get::<i32, _>("shard")?,
                row.try_get::<&str, _>("owner")?
            ));
        }
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|whose, _| known.contains(whose));
        Ok(())
    }

    /// Something an operator wrote into the row of a shard; false where there is no such shard.
    /// `change` says what of the row; `words` is how that looks before and after. One statement, so
    /// that what the operator did is written with it or not at all.
    async fn mark(
        &self,
        change: &str,
        words: [&str; 2],
        shard: u16,
        text: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError> {
        let mut connection = self.reader().await?.acquire().await.map_err(away)?;
        let [before, after] = words;
        let sql = format!(
            "WITH was AS (
                 SELECT shard, frozen, pinned FROM shards WHERE shard = $1 AND state = 'HERE'
                 FOR NO KEY UPDATE
             ), marked AS (
                 UPDATE shards SET {change} FROM was WHERE shards.shard = was.shard
                 RETURNING was.frozen, was.pinned
             )
             INSERT INTO operator_actions
                 (id, at, role, subject, verb, kind, target, reason, before, after)
             SELECT $3, $4, $5, $6, $7, $8, $9, $10, {before}, {after} FROM marked"
        );
        let hit = sqlx::query(&sql)
            .bind(i32::from(shard))
            .bind(text)
            .bind(action.id.to_string())
            .bind(action.at.micros())
            .bind(&action.by.role)
            .bind(&action.by.subject)
            .bind(&action.verb)
            .bind(&action.kind)
            .bind(&action.target)
            .bind(&action.reason)
            .execute(&mut *connection)
            .await
            .map_err(away)?;
        self.say_shards_changed(&mut connection).await.map_err(away)?;
        Ok(hit.rows_affected() > 0)
    }
}

/// Renews on a session of its own, beside the appends.
struct PostgresRenewal {
    connect: PgConnectOptions,
    session: Session,
    connection: Option<PgConnection>,
    owner: String,
    among_others: bool,
}

/// Those of our shards that no append has under way. It waits for nobody while it holds some of them, so
/// that it and an append of several shards never wait for each other.
const RENEW_FREE: &str = "
WITH node AS (
    UPDATE nodes SET lease_until = clock_timestamp() + $2 * interval '1 microsecond'
    WHERE node_id = $1
), free AS (
    SELECT shard FROM shards WHERE owner = $1 AND lease_until > '-infinity'
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE shards SET lease_until = clock_timestamp() + $2 * interval '1 microsecond'
FROM free WHERE shards.shard = free.shard RETURNING shards.shard";

/// One that an append has under way, when that is done.
const RENEW_ONE: &str = "
UPDATE shards SET lease_until = clock_timestamp() + $2 * interval '1 microsecond'
WHERE shard = $3 AND owner = $1 AND lease_until > '-infinity' RETURNING shard";

impl PostgresRenewal {
    async fn renewed(
        &self,
        connection: &mut PgConnection,
        lease: Duration,
    ) -> Result<BTreeSet<u16>, sqlx::Error> {
        let number = |shard: i32| u16::try_from(shard).unwrap_or(u16::MAX);
        let free: Vec<i32> = sqlx::query_scalar(RENEW_FREE)
            .bind(&self.owner)
            .bind(micros(lease))
            .fetch_all(&mut *connection)
            .await?;
        let mut renewed: BTreeSet<u16> = free.into_iter().map(number).collect();
        let ours: Vec<i32> = sqlx::query_scalar("SELECT shard FROM shards WHERE owner = $1")
            .bind(&self.owner)
            .fetch_all(&mut *connection)
            .await?;
        for shard in
            ours.into_iter().filter(|shard| !renewed.contains(&number(*shard))).collect::<Vec<_>>()
        {
            let one: Option<i32> = sqlx::query_scalar(RENEW_ONE)
                .bind(&self.owner)
                .bind(micros(lease))
                .bind(shard)
                .fetch_optional(&mut *connection)
                .await?;
            renewed.extend(one.map(number));
        }
        Ok(renewed)
    }
}

#[async_trait]
impl Renewal for PostgresRenewal {
    async fn renew(&mut self, lease: Duration) -> Result<Renewed, CommitError> {
        let unavailable = |error: sqlx::Error| CommitError::Unavailable(error.to_string());
        // Out of its place while in use: one that is given up is closed.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut fresh =
                    PgConnection::connect_with(&self.connect).await.map_err(unavailable)?;
                self.session.begin::<Postgres>(&mut fresh).await.map_err(unavailable)?;
                fresh
            }
        };
        let renewed = self.renewed(&mut connection, lease).await.map_err(unavailable)?;
        self.connection = Some(connection);
        // A node among others may have no shard for a while.
        if !self.among_others && renewed.is_empty() {
            return Err(CommitError::Superseded);
        }
        Ok(Renewed::Shards(renewed))
    }
}

#[async_trait]
impl SharedStore for PostgresStore {
    async fn join(&self, node: &Node, lease: Duration) -> Result<(), JournalError> {
        let mut connection = self.writer().await?;
        self.joined(&mut connection, node, lease).await.map_err(away)?;
        self.keep(connection).await;
        Ok(())
    }

    async fn leave(&self) -> Result<(), JournalError> {
        let mut connection = self.writer().await?;
        sqlx::query("DELETE FROM nodes WHERE node_id = $1")
            .bind(&self.owner)
            .execute(&mut connection)
            .await
            .map_err(away)?;
        self.keep(connection).await;
        Ok(())
    }

    async fn look(&self, grace: Duration) -> Result<Sight, JournalError> {
        let mut connection = self.writer().await?;
        let sight = self.seen(&mut connection, grace).await.map_err(away)?;
        self.keep(connection).await;
        sight
    }

    async fn claim_one(
        &self,
        seen: &ShardSeen,
        above: u64,
        lease: Duration,
    ) -> Result<Option<Head>, JournalError> {
        let mut connection = self.writer().await?;
        // Waits for the append in flight, whoever sent it. The lease is the one that was watched:
        // nobody has renewed it since.
        let row = sqlx::query(
            "UPDATE shards SET epoch = greatest(epoch, $5) + 1, owner = $1,
                    lease_until = clock_timestamp() + $2 * interval '1 microsecond'
             WHERE shard = $3 AND epoch = $4 AND frozen IS NULL
               AND state = 'HERE' AND lease_until::text = $6
             RETURNING *",
        )
        .bind(&self.owner)
        .bind(micros(lease))
        .bind(i32::from(seen.head.shard))
        .bind(seen.head.epoch.cast_signed())
        .bind(above.cast_signed())
        .bind(&seen.lease)
        .fetch_optional(&mut connection)
        .await
        .map_err(away)?;
        self.keep(connection).await;
        row.as_ref().map(head).transpose()
    }

    async fn claim_own(
        &self,
        above: &BTreeMap<u16, u64>,
        lease: Duration,
    ) -> Result<Vec<Head>, JournalError> {
        let mut connection = self.writer().await?;
        let taken = async {
            let mut tx = begun(&mut connection).await?;
            // One after the other, so that two who do this wait for each other in one direction.
            sqlx::query("SELECT shard FROM shards WHERE owner = $1 ORDER BY shard FOR UPDATE")
                .bind(&self.owner)
                .execute(&mut *tx)
                .await?;
            let rows = sqlx::query(
                "UPDATE shards SET epoch = 1 + greatest(epoch,
                            (SELECT known FROM unnest($3::int[], $4::bigint[]) AS above (number, known)
                             WHERE number = shard)),
                        lease_until = clock_timestamp() + $2 * interval '1 microsecond'
                 WHERE owner = $1 RETURNING *",
            )
            .bind(&self.owner)
            .bind(micros(lease))
            .bind(above.keys().map(|shard| i32::from(*shard)).collect::<Vec<_>>())
            .bind(above.values().map(|epoch| epoch.cast_signed()).collect::<Vec<_>>())
            .fetch_all(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok::<_, sqlx::Error>(rows)
        };
        let rows = taken.await.map_err(away)?;
        self.keep(connection).await;
        rows.iter().map(head).collect()
    }

    async fn give(&self, shard: &Head, to: &str, lease: Duration) -> Result<(), JournalError> {
        let mut connection = self.writer().await?;
        sqlx::query(
            "UPDATE shards SET epoch = epoch + 1, owner = $1,
                    lease_until = clock_timestamp() + $2 * interval '1 microsecond'
             WHERE shard = $3 AND epoch = $4 AND owner = $5",
        )
        .bind(to)
        .bind(micros(lease))
        .bind(i32::from(shard.shard))
        .bind(shard.epoch.cast_signed())
        .bind(&self.owner)
        .execute(&mut connection)
        .await
        .map_err(away)?;
        self.say_shards_changed(&mut connection).await.map_err(away)?;
        self.keep(connection).await;
        Ok(())
    }

    async fn freeze(
        &self,
        shard: u16,
        reason: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError> {
        // Its owner may be cut off and believe in it for a while: from now on that is watched.
        let change = "frozen = $2::text, epoch = epoch + 1, owner = '',
                      lease_until = CASE WHEN $2::text IS NULL THEN lease_until
                                         ELSE clock_timestamp() END";
        let words =
            ["COALESCE('frozen: ' || frozen, 'open')", "COALESCE('frozen: ' || $2::text, 'open')"];
        self.mark(change, words, shard, reason, action).await
    }

    async fn pin(
        &self,
        shard: u16,
        name: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError> {
        let words = [
            "COALESCE('for node ' || pinned, 'for any node')",
            "COALESCE('for node ' || $2::text, 'for any node')",
        ];
        self.mark("pinned = $2::text", words, shard, name, action).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn claim(
        &self,
        claim: Claim,
        // They are there since the journal was made.
        _shards: u16,
        lease: Duration,
    ) -> Result<Claimed, JournalError> {
        let mut connection = self.writer().await?;
        let claimed = self.take(&mut connection, claim, lease).await.map_err(away)?;
        self.keep(connection).await;
        claimed
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn renewal(&self) -> Box<dyn Renewal> {
        Box::new(PostgresRenewal {
            connect: self.connect.clone(),
            session: self.writes.clone(),
            connection: None,
            owner: self.owner.clone(),
            among_others: self.among_others,
        })
    }

    async fn release(&self) {
        let released = async {
            let mut connection = self.writer().await?;
            sqlx::query("UPDATE shards SET lease_until = '-infinity' WHERE owner = $1")
                .bind(&self.owner)
                .execute(&mut connection)
                .await
                .map_err(away)?;
            connection.close().await.map_err(away)
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "the journal's lease was not given up; it will run out");
        }
    }

    async fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        let mut connection =
            self.writer().await.map_err(|error| CommitError::Unavailable(error.to_string()))?;
        let fences = || batch.fences.iter();
        let events = || batch.events.iter().map(|chained| &chained.event);
        let append = APPEND;
        #[cfg(feature = "planted-bugs")]
        let append = if shared_events::planted::is("append-without-epoch") {
            &APPEND.replace("AND shards.epoch = fence.epoch", "AND fence.epoch > 0")
        } else {
            append
        };
        let done = sqlx::query(append)
            .bind(fences().map(|fence| i32::from(fence.before.shard)).collect::<Vec<_>>())
            .bind(fences().map(|fence| fence.before.epoch.cast_signed()).collect::<Vec<_>>())
            .bind(fences().map(|fence| fence.before.position.cast_signed()).collect::<Vec<_>>())
            .bind(fences().map(|fence| fence.after.position.cast_signed()).collect::<Vec<_>>())
            .bind(fences().map(|fence| fence.after.hash.as_slice()).collect::<Vec<_>>())
            .bind(events().map(|event| event.order_id.to_string()).collect::<Vec<_>>())
            .bind(events().map(|event| event.sequence.cast_signed()).collect::<Vec<_>>())
            .bind(events().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
            .bind(events().map(|event| event.event_version.as_str()).collect::<Vec<_>>())
            .bind(events().map(|event| event.payload.as_str()).collect::<Vec<_>>())
            .bind(events().map(|event| event.metadata.as_str()).collect::<Vec<_>>())
            .bind(events().map(|event| i32::from(event.shard)).collect::<Vec<_>>())
            .bind(events().map(|event| event.position.cast_signed()).collect::<Vec<_>>())
            .bind(events().map(|event| Instant(event.recorded_at)).collect::<Vec<_>>())
            .bind(batch.events.iter().map(|chained| chained.hash.as_slice()).collect::<Vec<_>>())
            // Returns when the server is ready for the next query: after the commit.
            .execute(&mut connection)
            .await
            .map_err(|error| outcome(&error));
        if !matches!(done, Err(CommitError::Unknown(_))) {
            self.keep(connection).await;
        }
        done.map(drop)
    }

    async fn versions(&self, orders: &[OrderId]) -> Result<HashMap<OrderId, u64>, JournalError> {
        let rows = sqlx::query(
            "SELECT aggregate_id, MAX(sequence) AS sequence FROM (
                 SELECT aggregate_id, sequence FROM events
                 WHERE aggregate_type = 'order' AND aggregate_id = ANY ($1)
                 UNION ALL
                 SELECT order_id::text, cardinality(positions) FROM archived_orders
                 WHERE order_id = ANY ($1::uuid[])
             ) AS known GROUP BY aggregate_id",
        )
        .bind(orders.iter().map(OrderId::to_string).collect::<Vec<_>>())
        .fetch_all(self.reader().await?)
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
        self.reader().await?;
        self.loads.load(order_id).await
    }

    async fn archives(&self) -> Result<Vec<Archived>, JournalError> {
        let rows = sqlx::query("SELECT * FROM archives ORDER BY shard, first_position")
            .fetch_all(self.reader().await?)
            .await
            .map_err(away)?;
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
        .map_err(away)?;
        let file = row.as_ref().map(archived).transpose()?;
        Ok(file.filter(|file| file.has(shard, position)))
    }

    async fn archived_orders(
        &self,
        asked: ArchivedOrders<'_>,
    ) -> Result<Vec<OrderId>, JournalError> {
        let found = match asked {
            ArchivedOrders::Among(orders) => {
                sqlx::query_scalar("SELECT order_id FROM archived_orders WHERE order_id = ANY ($1)")
                    .bind(orders.iter().map(|order_id| order_id.uuid()).collect::<Vec<_>>())
            }
            ArchivedOrders::After(after, limit) => sqlx::query_scalar(
                "SELECT order_id FROM archived_orders WHERE $1 IS NULL OR order_id > $1
                 ORDER BY order_id LIMIT $2",
            )
            .bind(after.map(|order_id| order_id.uuid()))
            .bind(i64::from(limit)),
        };
        let found: Vec<Uuid> = found.fetch_all(self.reader().await?).await.map_err(away)?;
        Ok(found.into_iter().map(OrderId::from_uuid).collect())
    }

    async fn heads(&self) -> Result<Vec<Head>, JournalError> {
        let rows = sqlx::query(HEADS).fetch_all(self.reader().await?).await.map_err(away)?;
        rows.iter().map(head).collect()
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<ChainedEvent>, JournalError> {
        let rows = sqlx::query(READ)
            .bind(ranges.iter().map(|range| i32::from(range.shard)).collect::<Vec<_>>())
            .bind(ranges.iter().map(|range| range.after.cast_signed()).collect::<Vec<_>>())
            .bind(ranges.iter().map(|range| range.through.cast_signed()).collect::<Vec<_>>())
            .fetch_all(self.reader().await?)
            .await
            .map_err(away)?;
        rows.iter().map(chained).collect()
    }

    async fn sweep(&self, pieces: mpsc::Sender<Vec<u8>>) -> Result<(), JournalError> {
        let mut connection = self.reader().await?.acquire().await.map_err(away)?;
        // From the first page on, where rows stand nearly in the order in which they were written.
        connection.execute("SET synchronize_seqscans = off").await.map_err(away)?;
        let mut copy = connection.copy_out_raw(copied::COPY).await.map_err(away)?;
        let mut piece = Vec::with_capacity(PIECE);
        while let Some(row) = copy.try_next().await.map_err(away)? {
            piece.extend_from_slice(&row);
            if piece.len() >= PIECE {
                let whole = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
                if pieces.send(whole).await.is_err() {
                    // Whoever asked has seen enough; the session still has rows to send.
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
        let next: Option<i64> = sqlx::query_scalar(
            "SELECT MIN(position) FROM events WHERE shard = $1 AND position > $2",
        )
        .bind(i32::from(shard))
        .bind(i64::try_from(after).map_err(away)?)
        .fetch_one(self.reader().await?)
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
        .fetch_all(self.reader().await?)
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
        // Tables that are older than it are read by nobody who writes.
        let sql = "SELECT journal_id, to_jsonb(journal) ->> 'doubted' AS doubted,
                 coalesce((to_jsonb(journal) ->> 'incarnation')::bigint, 1) AS incarnation,
                 coalesce((to_jsonb(journal) ->> 'doubted_incarnation')::bigint, 0)
                     AS doubted_incarnation
             FROM journal";
        let row = sqlx::query(sql).fetch_optional(self.reader().await?).await.map_err(away)?;
        row.map(|row| {
            Ok(Chronicle {
                journal: row.try_get("journal_id").map_err(away)?,
                incarnation: unsigned(&row, "incarnation")?,
                doubted: row.try_get("doubted").map_err(away)?,
                doubted_incarnation: unsigned(&row, "doubted_incarnation")?,
            })
        })
        .transpose()
    }

    async fn doubt(&self, why: &str, incarnation: u64) -> Result<(), JournalError> {
        sqlx::query(
            "UPDATE journal SET doubted = $1, doubted_incarnation = $2
             WHERE incarnation <= $2 AND (doubted IS NULL OR doubted_incarnation < $2)",
        )
        .bind(why)
        .bind(incarnation.cast_signed())
        .execute(self.reader().await?)
        .await
        .map_err(away)
        .map(drop)
    }

    async fn begin_incarnation(
        &self,
        beginning: &Beginning,
        action: Option<&OperatorAction>,
    ) -> Result<bool, JournalError> {
        // One statement, so that it is all or nothing without a transaction that could be left open.
        sqlx::query_scalar(
            "WITH begun AS (
                 INSERT INTO incarnations (number, began_at, reason, said_by, heads)
                 VALUES ($1, $2, $3, $4, $5::json) ON CONFLICT (number) DO NOTHING
                 RETURNING number
             ), moved AS (
                 UPDATE journal SET incarnation = $1, doubted = NULL
                 WHERE incarnation <= $1 AND EXISTS (SELECT FROM begun)
             ), noted AS (
                 INSERT INTO operator_actions
                     (id, at, role, subject, verb, kind, target, reason, before, after)
                 SELECT $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 FROM begun
                 WHERE $6::text IS NOT NULL ON CONFLICT (id) DO NOTHING
             )
             SELECT EXISTS (SELECT FROM begun)",
        )
        .bind(beginning.number.cast_signed())
        .bind(Instant(beginning.at))
        .bind(&beginning.reason)
        .bind(&beginning.said_by)
        .bind(&beginning.heads)
        .bind(action.map(|action| action.id.to_string()))
        .bind(action.map(|action| action.at.micros()))
        .bind(action.map(|action| &action.by.role))
        .bind(action.map(|action| &action.by.subject))
        .bind(action.map(|action| &action.verb))
        .bind(action.map(|action| &action.kind))
        .bind(action.map(|action| &action.target))
        .bind(action.map(|action| &action.reason))
        .bind(action.map(|action| &action.before))
        .bind(action.map(|action| &action.after))
        .fetch_one(self.reader().await?)
        .await
        .map_err(away)
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
            .fetch_all(self.reader().await?)
            .await
            .map_err(away)?;
        rows.iter().map(|row| actions::read(row, away)).collect()
    }

    async fn incarnations(&self) -> Result<Vec<Beginning>, JournalError> {
        let sql = "SELECT number, began_at, reason, said_by, heads::text AS heads
                   FROM incarnations ORDER BY number";
        let rows = sqlx::query(sql).fetch_all(self.reader().await?).await.map_err(away)?;
        rows.iter()
            .map(|row| {
                Ok(Beginning {
                    number: unsigned(row, "number")?,
                    at: row.try_get::<Instant, _>("began_at").map_err(away)?.0,
                    reason: row.try_get("reason").map_err(away)?,
                    said_by: row.try_get("said_by").map_err(away)?,
                    heads: row.try_get("heads").map_err(away)?,
                })
            })
            .collect()
    }

    async fn ids_by_position(&self) -> Result<BTreeMap<u16, u64>, JournalError> {
        let pool = self.reader().await?;
        let there: bool = sqlx::query_scalar("SELECT to_regclass('ids_by_position') IS NOT NULL")
            .fetch_one(pool)
            .await
            .map_err(away)?;
        // Tables that were not brought up to date have nothing but such ids.
        let sql = match there {
            true => "SELECT shard, through FROM ids_by_position",
            false => "SELECT shard, head_position AS through FROM shards",
        };
        let rows = sqlx::query(sql).fetch_all(pool).await.map_err(away)?;
        rows.iter().map(|row| Ok((shard(row)?, unsigned(row, "through")?))).collect()
    }

    async fn fingerprint_keys(&self) -> Result<Vec<Key>, JournalError> {
        let pool = self.reader().await?;
        let there = "SELECT to_regclass('fingerprint_keys') IS NOT NULL";
        if !sqlx::query_scalar(there).fetch_one(pool).await.map_err(away)? {
            return Ok(Vec::new());
        }
        let sql = "SELECT id, key FROM fingerprint_keys ORDER BY id";
        let rows = sqlx::query(sql).fetch_all(pool).await.map_err(away)?;
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
            "INSERT INTO quarantined (order_id, reason, since) VALUES ($1, $2, $3)
             ON CONFLICT (order_id) DO UPDATE SET reason = excluded.reason",
        )
        .bind(order_id.to_string())
        .bind(reason)
        .bind(Instant(now))
        .execute(self.reader().await?)
        .await
        .map_err(away)?;
        Ok(())
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError> {
        let rows = sqlx::query("SELECT * FROM quarantined ORDER BY order_id")
            .fetch_all(self.reader().await?)
            .await
            .map_err(away)?;
        rows.iter()
            .map(|row| {
                let id: &str = row.try_get("order_id").map_err(away)?;
                Ok(Quarantined {
                    order_id: OrderId::recorded(id).map_err(|_| impossible("order id"))?,
                    reason: row.try_get("reason").map_err(away)?,
                    since: row.try_get::<Instant, _>("since").map_err(away)?.0,
                })
            })
            .collect()
    }

    fn announce(&self) {
        self.news.notify_one();
    }

    async fn announced(&self) -> News {
        let mut slot = self.listener.lock().await;
        let heard = async {
            if slot.is_none() {
                let mut listener = PgListener::connect_with(&self.reader).await?;
                listener.listen(&self.channel).await?;
                // What was said before we listened was not heard: look once.
                *slot = Some(listener);
                return Ok::<_, sqlx::Error>(News::Shards);
            }
            let Some(listener) = slot.as_mut() else { return Ok(News::Appended) };
            let shards = listener.recv().await?.payload() == SHARDS_CHANGED;
            Ok(if shards { News::Shards } else { News::Appended })
        };
        match heard.await {
            Ok(news) => news,
            Err(error) => {
                tracing::debug!(%error, "notifications are not heard; readers poll");
                *slot = None;
                sleep(Duration::from_secs(1)).await;
                News::Shards
            }
        }
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        Some(self)
    }

    async fn takes_writes(&self) -> Result<(), JournalError> {
        let look = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";
        let reader = self.reader().await?;
        let found: (bool, bool) = sqlx::query_as(look).fetch_one(reader).await.map_err(away)?;
        let refused = |what: &str| Err(JournalError::Unavailable(format!("{} {what}", self.label)));
        match found {
            (true, _) => refused("is a standby, which takes no writes"),
            (false, true) => refused("is read-only"),
            (false, false) => Ok(()),
        }
    }

    async fn close(&self) {
        drop(self.listener.lock().await.take());
        drop(self.writer.lock().await.take());
        // A server that is away is not taken leave of: its sessions ended without us.
        let closed = async { tokio::join!(self.reader.close(), self.loads.close()) };
        if timeout(CLOSES_WITHIN, closed).await.is_err() {
            tracing::debug!(database = self.label, "connections were not closed in time");
        }
    }
}
