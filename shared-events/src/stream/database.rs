use std::path::Path;
use std::time::Duration;

use sqlx::any::{Any, AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _};

use super::migrations;
use super::session::{self, Session};
use crate::chance::Chance;

/// A transaction on a [`Database`] of either kind.
pub type Tx = sqlx::Transaction<'static, sqlx::Any>;

/// Which SQL a [`Database`] speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 13 or later.
    Postgres,
    /// SQLite 3, bundled.
    Sqlite,
}

/// The database failed, or holds invalid data.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The driver's error.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// A migration failed.
    #[error("database migration: {0}")]
    Migrate(sqlx::migrate::MigrateError),
    /// A newer program has changed the tables; this one might misread them.
    #[error(
        "its tables are newer than this program (it does not know migration {0}): run the newer program"
    )]
    Newer(i64),
    /// The server is not one that this program can write to.
    #[error("{0}")]
    Unfit(String),
    /// A row that this program cannot have written.
    #[error("database: impossible {0}")]
    Corrupt(&'static str),
    /// A schema name that would need quoting.
    #[error("a schema name is 1 to 63 of a-z 0-9 _ and does not start with a digit")]
    SchemaName,
}

impl DatabaseError {
    /// Whether an SQLite file is not a database, or a damaged one (`SQLITE_NOTADB`,
    /// `SQLITE_CORRUPT`).
    #[must_use]
    pub fn is_damage(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else {
            return matches!(self, Self::Corrupt(_));
        };
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        // The last byte is the primary code.
        code.is_some_and(|code| matches!(code & 0xff, 11 | 26))
    }
}

impl From<MigrateError> for DatabaseError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Newer(version),
            other => Self::Migrate(other),
        }
    }
}

impl DatabaseError {
    /// Whether the same call may succeed later: unavailable, busy, or rolled back.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                // Postgres: 40 rollback, 53 resources, 57 operator, 58 system, 08 connection.
                // SQLite: 5 busy, 6 locked, 10 I/O, 13 full.
                error.code().is_some_and(|code| {
                    ["40", "53", "57", "58", "08"]
                        .iter()
                        .any(|class| code.len() == 5 && code.starts_with(class))
                        || code.parse::<u32>().is_ok_and(|code| {
                            matches!(code & 0xff, 5 | 6 | 10 | 13) && code < 10_000
                        })
                })
            }
            Self::Sql(error) => matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
                    | sqlx::Error::Protocol(_)
            ),
            Self::Migrate(_)
            | Self::Newer(_)
            | Self::Unfit(_)
            | Self::Corrupt(_)
            | Self::SchemaName => false,
        }
    }
}

/// A service's own database: a Postgres schema, or an SQLite file. Times are stored as
/// microseconds since 1970 (BIGINT), ids as text, so that most SQL serves both.
#[derive(Clone, Debug)]
pub struct Database {
    dialect: Dialect,
    session_name: String,
    /// The settings of every session; none for an SQLite file.
    session: Option<Session>,
    writer: AnyPool,
    reader: AnyPool,
}

/// Connections of one service to its Postgres by default; its sibling services take as many.
pub const POSTGRES_CONNECTIONS: u32 = 8;
/// Readers of one SQLite file; SQLite itself allows one writer.
const SQLITE_READERS_MAX: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

impl Database {
    /// Opens an SQLite file, created if absent, and migrates its tables. Every commit is on disk
    /// when it returns (WAL, `synchronous=FULL`).
    ///
    /// # Errors
    /// [`DatabaseError`] where the file cannot be opened or migrated.
    pub async fn sqlite(path: &Path, migrations: &Migrator) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        let options: AnyConnectOptions = sqlite_url(path).parse()?;
        let options = options.disable_statement_logging();
        let pool = |most: u32| {
            AnyPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                                       PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON";
                        connection.execute(pragmas).await?;
                        Ok(())
                    })
                })
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let reader = pool(SQLITE_READERS_MAX).connect_with(options).await?;
        let database = Self {
            dialect: Dialect::Sqlite,
            session_name: String::new(),
            session: None,
            writer,
            reader,
        };
        database.migrate(migrations).await?;
        Ok(database)
    }

    /// Opens a schema of a Postgres database, created if absent, and migrates its tables.
    ///
    /// # Errors
    /// [`DatabaseError`] where the server cannot be reached or the schema not migrated.
    pub async fn postgres(
        url: &str,
        schema: &str,
        migrations: &Migrator,
    ) -> Result<Self, DatabaseError> {
        Self::postgres_with(url, schema, migrations, POSTGRES_CONNECTIONS).await
    }

    /// As [`Self::postgres`], with a maximum number of connections.
    ///
    /// # Errors
    /// As [`Self::postgres`].
    pub async fn postgres_with(
        url: &str,
        schema: &str,
        migrations: &Migrator,
        connections: u32,
    ) -> Result<Self, DatabaseError> {
        let session = Session::new(schema)?;
        session::inspect(url).await?;
        let options: AnyConnectOptions = url.parse()?;
        let options = options.disable_statement_logging();
        let session_name = format!("ordinal-{}", Chance::system().uuid());
        // Plans are kept, and one that was made for an empty table would read all of it for every
        // batch when it has grown. Every frequent query has its index; without an index the scan
        // happens all the same, but looks so expensive that it would be compiled first. The same
        // holds for an index that is read from end to end: rows are selected by `= ANY (ARRAY(…))`,
        // not by `IN (SELECT …)`, which such a plan takes for a join of two small tables. And for a
        // bitmap of all that an index finds, which is sorted afterwards for the few that come first
        // in it.
        let session = session
            .with("application_name", &format!("'{session_name}'"))
            .with("enable_seqscan", "off")
            .with("enable_bitmapscan", "off")
            .with("jit", "off");
        let each = session.clone();
        let pool = AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| {
                let session = each.clone();
                Box::pin(async move { session.begin::<Any>(connection).await })
            })
            .connect_with(options)
            .await?;
        create_schema(&pool, schema).await?;
        let (writer, reader) = (pool.clone(), pool);
        let dialect = Dialect::Postgres;
        let database = Self { dialect, session_name, session: Some(session), writer, reader };
        database.migrate(migrations).await?;
        Ok(database)
    }

    /// The current state of an SQLite file, read-only: every read sees the same, whatever others
    /// write meanwhile.
    ///
    /// # Errors
    /// [`DatabaseError`] where the file cannot be opened.
    pub async fn sqlite_snapshot(path: &Path) -> Result<Self, DatabaseError> {
        let url = sqlite_url(path).replace("mode=rwc", "mode=ro");
        let begin = ["PRAGMA busy_timeout = 5000", "BEGIN"];
        Self::snapshot(Dialect::Sqlite, &url, None, &begin).await
    }

    /// The current state of a Postgres schema, read-only: every read sees the same, whatever others
    /// write meanwhile. Its tables cannot be replaced meanwhile: a snapshot would find the new
    /// table of that name, but not its later rows.
    ///
    /// # Errors
    /// [`DatabaseError`] where the server cannot be reached.
    pub async fn postgres_snapshot(
        url: &str,
        schema: &str,
        tables: &[&str],
    ) -> Result<Self, DatabaseError> {
        let session = Session::new(schema)?.without_idle_timeout();
        let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", tables.join(", "));
        let mut begin = vec!["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"];
        if !tables.is_empty() {
            begin.push(&lock);
        }
        Self::snapshot(Dialect::Postgres, url, Some(session), &begin).await
    }

    /// One connection that never leaves its transaction. If it is lost, so is the snapshot, and the
    /// next read fails.
    async fn snapshot(
        dialect: Dialect,
        url: &str,
        session: Option<Session>,
        begin: &[&str],
    ) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        let options: AnyConnectOptions = url.parse()?;
        let options = options.disable_statement_logging();
        probe(&options).await?;
        let pool = AnyPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        let mut connection = pool.acquire().await?;
        if let Some(session) = session {
            session.begin::<Any>(&mut connection).await?;
        }
        for sql in begin {
            connection.execute(*sql).await?;
        }
        // The first read takes the snapshot. The connection is not shared, and not closed between
        // two reads; a new one after a loss would know no schema and fail.
        connection.execute("SELECT COUNT(*) FROM cursors").await?;
        drop(connection);
        let (writer, reader) = (pool.clone(), pool);
        Ok(Self { dialect, session_name: String::new(), session: None, writer, reader })
    }

    /// The stream's own tables come first; services number theirs from 100, so that the two never
    /// collide in the table of applied migrations. They run as one set, so that a migration that
    /// neither knows is noticed: a newer program's.
    async fn migrate(&self, own: &Migrator) -> Result<(), DatabaseError> {
        let stream = migrations::of_streams(self.dialect);
        let all = stream.iter().chain(own.iter()).cloned().collect::<Vec<_>>();
        let together =
            Migrator { migrations: all.into(), ignore_missing: false, locking: true, no_tx: false };
        Ok(together.run(&self.writer).await?)
    }

    /// Its SQL dialect.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The name by which other sessions of a Postgres server see that this process is connected:
    /// the `application_name` of all its sessions, different for every process and database.
    #[must_use]
    pub fn session_name(&self) -> &str {
        &self.session_name
    }

    /// One of two texts, by dialect. Placeholders are `$1`, `$2` … in both.
    #[must_use]
    pub const fn sql<'a>(&self, postgres: &'a str, sqlite: &'a str) -> &'a str {
        match self.dialect {
            Dialect::Postgres => postgres,
            Dialect::Sqlite => sqlite,
        }
    }

    /// The pool for reads outside a transaction.
    #[must_use]
    pub const fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// Begins a transaction that may write. On SQLite it waits for the one writer. Cancelled
    /// meanwhile, it leaves nothing open.
    ///
    /// # Errors
    /// [`DatabaseError`] where no connection is available in time.
    pub async fn begin(&self) -> Result<Tx, DatabaseError> {
        Ok(super::begin::begin(&self.writer).await?)
    }

    /// Applies the settings of every session to a connection outside the pool.
    ///
    /// # Errors
    /// [`DatabaseError`] where it does not answer.
    pub(super) async fn begin_session(
        &self,
        connection: &mut AnyConnection,
    ) -> Result<(), DatabaseError> {
        match &self.session {
            Some(session) => Ok(session.begin::<Any>(connection).await?),
            None => Ok(()),
        }
    }

    /// Whether it takes writes now: a small commit on SQLite, a query on Postgres.
    ///
    /// # Errors
    /// [`DatabaseError`]: why not.
    pub async fn takes_writes(&self) -> Result<(), DatabaseError> {
        if self.dialect == Dialect::Sqlite {
            let sql = "UPDATE installation SET written = written + 1";
            return Ok(sqlx::raw_sql(sql).execute(&self.writer).await.map(drop)?);
        }
        let look = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')";
        let (standby, read_only): (bool, String) =
            sqlx::query_as(look).fetch_one(&self.reader).await?;
        let unfit = |what: &str| Err(DatabaseError::Unfit(what.to_owned()));
        match (standby, read_only.as_str()) {
            (true, _) => unfit("the database is a standby, which takes no writes"),
            (false, "on") => unfit("the database is read-only"),
            (false, _) => Ok(()),
        }
    }

    /// Closes every connection, waiting for those in use. An SQLite file is then complete without
    /// its -wal file.
    pub async fn close(&self) {
        self.reader.close().await;
        if self.dialect == Dialect::Sqlite && !self.writer.is_closed() {
            let merge = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
            if let Err(error) = merge.execute(&self.writer).await {
                tracing::warn!(%error, "the newest changes of an SQLite file are still in its -wal file");
            }
        }
        self.writer.close().await;
    }
}

/// `CREATE SCHEMA IF NOT EXISTS` may still fail when two processes start together: the second one
/// meets the first one's row in the catalogue, and may continue.
async fn create_schema(pool: &AnyPool, schema: &str) -> Result<(), DatabaseError> {
    match sqlx::raw_sql(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).execute(pool).await {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Connects once, to learn the reason of a failure: a pool reports only that its time is up.
async fn probe(options: &AnyConnectOptions) -> Result<(), DatabaseError> {
    Ok(AnyConnection::connect_with(options).await?.close().await?)
}

fn sqlite_url(path: &Path) -> String {
    let path = path.to_string_lossy();
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite://{path}?mode=rwc")
}
