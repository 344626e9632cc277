//! Settings of every session with a Postgres server, and requirements on the server before anything
//! is written to it. Defaults of a role, a database or a pooler are not trusted: settings are made,
//! and read back in the same round trip.
//! Never here: what is stored.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use sqlx::any::AnyConnectOptions;
use sqlx::{
    AnyConnection, ColumnIndex, ConnectOptions as _, Connection as _, Decode, Executor, Row as _,
    Type,
};

use super::database::DatabaseError;

/// How long a session may be idle in a transaction: much longer than this program ever is, so that
/// a process that hangs does not hold its locks for ever.
const IDLE_IN_TRANSACTION: &str = "5min";
/// How often two connections are compared to detect a pooler that mixes them.
const COMPARISONS: usize = 4;
/// Older servers miss features that the journal needs.
const VERSION_MIN: i32 = 130_000;

/// The settings of a session.
#[derive(Clone, Debug)]
pub struct Session {
    schema: String,
    script: String,
}

impl Session {
    /// For a schema; names are looked up there and nowhere else.
    ///
    /// # Errors
    /// [`DatabaseError::SchemaName`]
    pub fn new(schema: &str) -> Result<Self, DatabaseError> {
        check_schema_name(schema)?;
        let script = format!("SET search_path TO {schema}; {}", time_outs(IDLE_IN_TRANSACTION));
        Ok(Self { schema: schema.to_owned(), script })
    }

    /// The same, for reading in one transaction for as long as it takes.
    #[must_use]
    pub fn without_idle_timeout(mut self) -> Self {
        self.script.push_str(&time_outs("0"));
        self
    }

    /// With a setting, such as `jit` and `off`. Both are constants of this program.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.script.push_str(&format!("SET {name} TO {value}; "));
        self
    }

    /// Applies the settings to a connection and verifies them: one round trip.
    ///
    /// # Errors
    /// The driver's, and where names would be looked up elsewhere.
    pub async fn begin<DB>(&self, connection: &mut DB::Connection) -> Result<(), sqlx::Error>
    where
        DB: sqlx::Database,
        for<'e> &'e mut DB::Connection: Executor<'e, Database = DB>,
        for<'r> String: Decode<'r, DB>,
        String: Type<DB>,
        usize: ColumnIndex<DB::Row>,
    {
        let script = format!("{} SELECT current_setting('search_path')", self.script);
        let rows = connection.fetch_all(sqlx::raw_sql(&script)).await?;
        let last = rows.last().ok_or(sqlx::Error::RowNotFound)?;
        let found: String = last.try_get(0)?;
        if found == self.schema {
            return Ok(());
        }
        let text = format!(
            "the session looks for tables in {found} and not in {}: what stands between this \
             program and the server does not pass on what a session sets",
            self.schema
        );
        Err(sqlx::Error::Configuration(text.into()))
    }
}

/// Sets every time-out that the server has. A role's own would end calls for which this program has
/// its own time-outs, and migrations, copies and checks, which may take long.
fn time_outs(idle_in_transaction: &str) -> String {
    format!(
        "SELECT set_config(name, CASE name WHEN 'idle_in_transaction_session_timeout'
                                      THEN '{idle_in_transaction}' ELSE '0' END, false)
         FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout',
              'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout'); "
    )
}

/// Servers and settings that were warned about: once per process.
static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Settings that a server with orders should not have, and the loss that they risk.
const UNSAFE: [(&str, &str); 3] = [
    ("fsync", "a crash of the machine may destroy the whole database"),
    ("full_page_writes", "a crash of the machine may destroy pages of the database"),
    ("synchronous_commit", "a crash of the server loses what was acknowledged last"),
];

/// Connects to a server and checks whether this program can write to it, before it does. Warns,
/// once per process, where its settings may lose acknowledged data.
///
/// # Errors
/// [`DatabaseError::Unfit`] in one sentence; the driver's error where the server is unavailable.
pub async fn inspect(url: &str) -> Result<(), DatabaseError> {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = url.parse()?;
    let options = options.disable_statement_logging();
    let label = label(&options);
    let unfit = |what: &str| Err(DatabaseError::Unfit(format!("{label} {what}")));
    let mut one = AnyConnection::connect_with(&options).await?;
    let look = "SELECT current_setting('server_version_num')::int,
                       pg_is_in_recovery()::int, current_setting('transaction_read_only')";
    let row = one.fetch_one(sqlx::raw_sql(look)).await?;
    let (version, standby): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
    let read_only: String = row.try_get(2)?;
    if version < VERSION_MIN {
        return unfit("is older than PostgreSQL 13");
    }
    if standby != 0 {
        return unfit("is a standby, which takes no writes: name the primary");
    }
    if read_only == "on" {
        return unfit(
            "opens sessions that are read-only (default_transaction_read_only is on for the role, \
             the database or the server): name one that may write",
        );
    }
    let mut other = AnyConnection::connect_with(&options).await?;
    if share_sessions(&mut one, &mut other).await? {
        return unfit(
            "is behind a pooler that gives every transaction another session (pgbouncer with \
             pool_mode = transaction or statement): use pool_mode = session, or go past it",
        );
    }
    for (setting, lost) in UNSAFE {
        let sql = format!("SELECT current_setting('{setting}')");
        let value: String = one.fetch_one(sqlx::raw_sql(&sql)).await?.try_get(0)?;
        let key = format!("{label} {setting}");
        if value == "off" && WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            tracing::warn!(database = label, setting, "is off at the database: {lost}");
        }
    }
    other.close().await?;
    Ok(one.close().await?)
}

/// Whether two open connections share server sessions: each has its own, the same every time,
/// unless a pooler lends sessions per transaction.
async fn share_sessions(
    one: &mut AnyConnection,
    other: &mut AnyConnection,
) -> Result<bool, sqlx::Error> {
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..COMPARISONS {
        for (connection, seen) in [&mut *one, &mut *other].into_iter().zip(&mut seen) {
            let row = connection.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()")).await?;
            seen.insert(row.try_get::<i32, _>(0)?);
        }
    }
    let [one, other] = seen;
    Ok(one.len() > 1 || other.len() > 1 || !one.is_disjoint(&other))
}

/// Host, port and database, without user and password.
fn label(options: &AnyConnectOptions) -> String {
    let url = &options.database_url;
    let host = url.host_str().filter(|host| !host.is_empty()).unwrap_or("localhost");
    let name = match url.path().trim_start_matches('/') {
        "" => url.username(),
        name => name,
    };
    format!("{host}:{}/{name}", url.port().unwrap_or(5432))
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
