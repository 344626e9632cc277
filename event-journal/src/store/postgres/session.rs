//! The sessions of a store with its Postgres database, and whether that is the expected one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shared_events::stream::{Dialect, Session, inspect};
use sqlx::postgres::{PgConnectOptions, PgListener};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres};
use tokio::sync::{Mutex, Notify, OnceCell};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::announce::announcing;
use super::loads::Loads;
use super::pool::sessions;
use super::territory::Territory;
use super::watched::Watch;
use crate::error::{JournalError, not_migrated};
use crate::options::Options;
use crate::store::rows::unavailable;
use crate::store::tables::migrator;

pub(crate) struct PostgresStore {
    /// It may hold a password.
    pub(super) url: String,
    /// Set once the server has been found writable.
    pub(super) inspected: OnceCell<()>,
    pub(super) connect: PgConnectOptions,
    /// The settings of the writer's session.
    pub(super) writes: Session,
    // Taken out while in use: a cancelled call drops it, and with it the socket, so that no call
    // ever waits behind an answer that may not come.
    pub(super) writer: Mutex<Option<PgConnection>>,
    pub(super) reader: PgPool,
    pub(super) loads: Loads,
    pub(super) listener: Mutex<Option<PgListener>>,
    pub(super) channel: String,
    pub(super) news: Arc<Notify>,
    pub(super) owner: String,
    /// Host, port and database.
    pub(super) label: String,
    pub(super) among_others: bool,
    /// How long another process may trust its lease, and answer from memory, after a renewal.
    pub(super) trusted_for: Duration,
    /// How long a lease is written for.
    pub(super) lease: Duration,
    /// Leases of others, and since when they have not changed.
    pub(super) watch: Watch,
    pub(super) read_only: bool,
    pub(super) schema: String,
    pub(super) territory: OnceLock<Territory>,
    /// Set once it was found to be the expected database.
    pub(super) territory_checked: OnceCell<()>,
    pub(super) _announcer: DropGuard,
}

impl PostgresStore {
    /// A store that connects at first use.
    pub(crate) fn connect(
        url: &str,
        schema: &str,
        options: &Options,
    ) -> Result<Self, JournalError> {
        let owner = format!("ordinal-{}", options.chance.uuid());
        let connect = url
            .parse::<PgConnectOptions>()
            .map_err(unavailable)?
            .application_name(&owner)
            .disable_statement_logging();
        let session = Session::new(schema).map_err(unavailable)?;
        let session = if options.read_only { session.without_idle_timeout() } else { session };
        let reader = sessions(options.connections, session.clone())
            // At least one session, by which others see that the owner is alive.
            .min_connections(1)
            .connect_lazy_with(connect.clone());
        let label = label(&connect);
        let hash = blake3::hash(schema.as_bytes());
        let channel = format!("ordinal_{}", hex::encode(&hash.as_bytes()[..8]));
        let (news, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        if !options.read_only {
            let task = announcing(reader.clone(), channel.clone(), Arc::clone(&news));
            let stop = stop.clone();
            shared_events::stream::spawn(async move { stop.run_until_cancelled(task).await });
        }
        // An append is one statement, always the same. A plan for the lengths of its arrays would
        // be made anew each time, and takes a third of the time of a lone one; the plan that is
        // kept must not read whole tables, however small they were when it was made.
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
            // A little more than its holder trusts it, for clocks that run at different speeds.
            trusted_for: options.self_stop + options.self_stop / 20,
            lease: options.lease.max(options.self_stop + options.self_stop / 20),
            watch: Watch::default(),
            read_only: options.read_only,
            schema: schema.to_owned(),
            territory: OnceLock::new(),
            territory_checked: OnceCell::new(),
            _announcer: stop.drop_guard(),
        })
    }

    /// Migrates the schema and its tables; creates them where they are missing.
    pub(crate) async fn migrate(&self) -> Result<(), JournalError> {
        // Two processes that start together may both try; the second finds it created.
        match sqlx::raw_sql(&format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema))
            .execute(&self.reader)
            .await
        {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
            other => {
                other.map_err(unavailable)?;
            }
        }
        migrator(Dialect::Postgres).run(&self.reader).await.map_err(not_migrated)
    }

    /// Sets which part of which journal is expected here; checked before the first use.
    pub(crate) fn expect_territory(&self, territory: Territory) {
        // Set once, when the journal is opened.
        let _ = self.territory.set(territory);
    }

    async fn check_territory(&self) -> Result<(), JournalError> {
        let Some(territory) = self.territory.get() else { return Ok(()) };
        territory.check(&self.label, self.charter().await?.as_ref())?;
        if self.read_only {
            return Ok(());
        }
        self.migrate().await?;
        // Repeated here in case the journal's creation was interrupted before this database got it.
        self.complete().await
    }

    /// Host, port and database, for operators.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The pool for reading, from a database that was checked.
    pub(super) async fn reader(&self) -> Result<&PgPool, JournalError> {
        self.territory_checked.get_or_try_init(|| self.check_territory()).await?;
        Ok(&self.reader)
    }

    /// The pool before the check, for finding out which database it is.
    pub(crate) const fn unchecked(&self) -> &PgPool {
        &self.reader
    }

    pub(super) async fn writer(&self) -> Result<PgConnection, JournalError> {
        self.reader().await?;
        let idle = self.writer.lock().await.take();
        match idle {
            Some(connection) => Ok(connection),
            None => {
                let mut fresh =
                    PgConnection::connect_with(&self.connect).await.map_err(unavailable)?;
                self.writes.begin::<Postgres>(&mut fresh).await.map_err(unavailable)?;
                Ok(fresh)
            }
        }
    }

    /// Refuses a server that cannot be written to, before anything else is asked of it. A read-only
    /// journal may read a standby.
    pub(crate) async fn inspect(&self) -> Result<(), JournalError> {
        if self.read_only {
            return Ok(());
        }
        let look = || async { inspect(&self.url).await.map_err(unavailable) };
        self.inspected.get_or_try_init(look).await.map(drop)
    }

    pub(super) async fn keep(&self, connection: PgConnection) {
        *self.writer.lock().await = Some(connection);
    }
}

/// A transaction on a connection that was taken out of its place: a cancelled call drops the
/// connection, and no other call ever gets it.
#[expect(clippy::disallowed_methods, reason = "not a connection of a pool")]
pub(crate) async fn begin_on(
    connection: &mut PgConnection,
) -> Result<sqlx::Transaction<'_, Postgres>, sqlx::Error> {
    connection.begin().await
}

/// Host, port and database.
fn label(connect: &PgConnectOptions) -> String {
    let database = connect.get_database().unwrap_or_else(|| connect.get_username());
    format!("{}:{}/{database}", connect.get_host(), connect.get_port())
}

/// Checks the name of a schema: it is put into statements as it is.
pub(crate) fn check_schema_name(schema: &str) -> Result<(), JournalError> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts_well = schema.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if !starts_well || schema.len() > 63 || !schema.bytes().all(legal) {
        return Err(JournalError::Invalid(
            "a schema name is 1 to 63 of a-z 0-9 _ and does not start with a digit".to_owned(),
        ));
    }
    Ok(())
}
