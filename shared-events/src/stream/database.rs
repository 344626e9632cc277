use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _};

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

/// The database failed, or holds what it should not.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The driver's error.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    /// A migration failed.
    #[error("database migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A row that this program cannot have written.
    #[error("database: impossible {0}")]
    Corrupt(&'static str),
    /// A schema name that would need quoting.
    #[error("a schema name is 1 to 63 of a-z 0-9 _ and does not start with a digit")]
    SchemaName,
}

impl DatabaseError {
    /// Whether the same call may succeed later without anyone mending anything: the server is
    /// away, busy, or gave up on this transaction.
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
            Self::Migrate(_) | Self::Corrupt(_) | Self::SchemaName => false,
        }
    }
}

/// A service's own database: a Postgres schema, or an SQLite file. Times are stored as
/// microseconds since 1970 (BIGINT), ids as text, so that most SQL serves both.
#[derive(Clone, Debug)]
pub struct Database {
    dialect: Dialect,
    session_name: String,
    writer: AnyPool,
    reader: AnyPool,
}

/// Connections of one service to its Postgres; its sibling services take as many.
const POSTGRES_CONNECTIONS_MAX: u32 = 8;
/// Readers of one SQLite file; writers are one by SQLite's own law.
const SQLITE_READERS_MAX: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

impl Database {
    /// Opens an SQLite file, created if absent, and brings its tables up to date. Every commit is
    /// on disk when it returns (WAL, `synchronous=FULL`).
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
        let database =
            Self { dialect: Dialect::Sqlite, session_name: String::new(), writer, reader };
        database.migrate(migrations).await?;
        Ok(database)
    }

    /// Opens a schema of a Postgres database, created if absent, and brings its tables up to date.
    ///
    /// # Errors
    /// [`DatabaseError`] where the server cannot be reached or the schema not migrated.
    pub async fn postgres(
        url: &str,
        schema: &str,
        migrations: &Migrator,
    ) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        check_schema_name(schema)?;
        let options: AnyConnectOptions = url.parse()?;
        let options = options.disable_statement_logging();
        probe(&options).await?;
        let session_name = format!("ordinal-{}", uuid::Uuid::now_v7());
        // Plans are kept, and one that was made for an empty table would read it all for every batch
        // when it has grown. Everything that is asked often has its index; without an index the scan
        // is made all the same, but looks so dear that it would be compiled first. The same holds for
        // an index that is read from end to end: rows are asked for by `= ANY (ARRAY(…))`, not by
        // `IN (SELECT …)`, which such a plan takes for a join of two small tables. And for a bitmap of
        // all that an index finds, which is sorted afterwards for the few that come first in it.
        let settings = format!(
            "SET search_path TO {schema}; SET application_name TO '{session_name}';
             SET enable_seqscan TO off; SET enable_bitmapscan TO off; SET jit TO off"
        );
        let pool = AnyPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| {
                let settings = settings.clone();
                Box::pin(async move {
                    connection.execute(settings.as_str()).await?;
                    Ok(())
                })
            })
            .connect_with(options)
            .await?;
        create_schema(&pool, schema).await?;
        let (writer, reader) = (pool.clone(), pool);
        let database = Self { dialect: Dialect::Postgres, session_name, writer, reader };
        database.migrate(migrations).await?;
        Ok(database)
    }

    /// The state of an SQLite file as it is now, for reading only: whatever others write meanwhile,
    /// every read sees the same.
    ///
    /// # Errors
    /// [`DatabaseError`] where the file cannot be opened.
    pub async fn sqlite_snapshot(path: &Path) -> Result<Self, DatabaseError> {
        let url = sqlite_url(path).replace("mode=rwc", "mode=ro");
        Self::snapshot(Dialect::Sqlite, &url, vec!["PRAGMA busy_timeout = 5000", "BEGIN"]).await
    }

    /// The state of a Postgres schema as it is now, for reading only: whatever others write
    /// meanwhile, every read sees the same. Of these tables nobody can make others meanwhile: a
    /// snapshot finds the table that has the name now, but not the rows that came later.
    ///
    /// # Errors
    /// [`DatabaseError`] where the server cannot be reached.
    pub async fn postgres_snapshot(
        url: &str,
        schema: &str,
        tables: &[&str],
    ) -> Result<Self, DatabaseError> {
        check_schema_name(schema)?;
        let search_path = format!("SET search_path TO {schema}");
        let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", tables.join(", "));
        let mut begin = vec![&*search_path, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"];
        if !tables.is_empty() {
            begin.push(&lock);
        }
        Self::snapshot(Dialect::Postgres, url, begin).await
    }

    /// One connection that never leaves its transaction. Where it is lost, so is the snapshot,
    /// and the next read fails.
    async fn snapshot(
        dialect: Dialect,
        url: &str,
        begin: Vec<&str>,
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
        for sql in begin {
            connection.execute(sql).await?;
        }
        // The first read takes the snapshot. Nobody else has the connection, and it is not closed
        // between two reads; a new one after a loss would know no schema and fail.
        connection.execute("SELECT COUNT(*) FROM cursors").await?;
        drop(connection);
        Ok(Self { dialect, session_name: String::new(), writer: pool.clone(), reader: pool })
    }

    /// The stream's own tables come first; services number theirs from 100, so that the two never
    /// meet in the table of applied migrations.
    async fn migrate(&self, migrations: &Migrator) -> Result<(), DatabaseError> {
        let stream = match self.dialect {
            Dialect::Postgres => sqlx::migrate!("migrations/postgres"),
            Dialect::Sqlite => sqlx::migrate!("migrations/sqlite"),
        };
        for migrator in [&stream, migrations] {
            let migrator = Migrator {
                migrations: migrator.migrations.clone(),
                ignore_missing: true,
                locking: true,
                no_tx: false,
            };
            migrator.run(&self.writer).await?;
        }
        Ok(())
    }

    /// Which SQL it speaks.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// By what other sessions of a Postgres server see that this process is connected: the
    /// `application_name` of all its sessions, different for every process and database.
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

    /// For reading outside a transaction.
    #[must_use]
    pub const fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// Begins a transaction that may write. On SQLite it waits for the one writer. Given up meanwhile,
    /// it leaves nothing open.
    ///
    /// # Errors
    /// [`DatabaseError`] where no connection is to be had in time.
    pub async fn begin(&self) -> Result<Tx, DatabaseError> {
        Ok(super::begin::begin(&self.writer).await?)
    }

    /// Closes every connection, waiting for those in use.
    pub async fn close(&self) {
        self.writer.close().await;
        self.reader.close().await;
    }
}

/// `CREATE SCHEMA IF NOT EXISTS` may still fail when two processes start together: whoever comes
/// second meets the first one's row in the catalogue, and may go on.
async fn create_schema(pool: &AnyPool, schema: &str) -> Result<(), DatabaseError> {
    match sqlx::raw_sql(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).execute(pool).await {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Connects once, for the reason why not: a pool tries until its time is up and tells only that.
async fn probe(options: &AnyConnectOptions) -> Result<(), DatabaseError> {
    Ok(AnyConnection::connect_with(options).await?.close().await?)
}

fn check_schema_name(schema: &str) -> Result<(), DatabaseError> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts_well = schema.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if starts_well && schema.len() <= 63 && schema.bytes().all(legal) {
        Ok(())
    } else {
        Err(DatabaseError::SchemaName)
    }
}

fn sqlite_url(path: &Path) -> String {
    let path = path.to_string_lossy();
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite://{path}?mode=rwc")
}
