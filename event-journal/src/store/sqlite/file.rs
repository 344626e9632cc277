//! The file of a store, and the lock by which one process writes to it.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};

use crate::error::JournalError;
use crate::options::Options;
use crate::store::rows::unavailable;

/// Readers of one file.
const READERS_MAX: u32 = 4;

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct SqliteStore {
    /// For reading.
    pub(super) connect: SqliteConnectOptions,
    pub(super) writer: Option<SqlitePool>,
    pub(super) reader: SqlitePool,
    pub(super) owner: String,
    pub(super) path: PathBuf,
    /// The file that was opened, whatever file has its name later.
    pub(super) opened: Option<FileId>,
    pub(super) lock_path: PathBuf,
    // Held for as long as we write. The system releases it when the process dies, so the next
    // holder need not wait for a lease.
    pub(super) lock: Mutex<Option<File>>,
}

impl SqliteStore {
    pub(crate) async fn open(path: &Path, options: &Options) -> Result<Self, JournalError> {
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
                // Otherwise INSERT OR REPLACE would delete without firing the trigger.
                .pragma("recursive_triggers", "ON");
            let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT);
            let pool = pool.idle_timeout(None).max_lifetime(None);
            Some(pool.connect_with(connect).await.map_err(unavailable)?)
        };
        let connect = connect.read_only(true);
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(connect.clone())
            .await
            .map_err(unavailable)?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        Ok(Self {
            connect,
            writer,
            reader,
            owner: format!("ordinal-{}", options.chance.uuid()),
            path: path.to_owned(),
            opened: FileId::of(path).ok(),
            lock_path: lock_path.into(),
            lock: Mutex::new(None),
        })
    }

    /// Whether a table is missing, because the file is older.
    pub(super) async fn is_missing(&self, table: &str) -> Result<bool, JournalError> {
        let found: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE name = ?")
            .bind(table)
            .fetch_one(&self.reader)
            .await
            .map_err(unavailable)?;
        Ok(found == 0)
    }

    pub(super) fn writer(&self) -> Result<&SqlitePool, JournalError> {
        self.writer.as_ref().ok_or(JournalError::Closed)
    }

    pub(super) fn try_lock(&self) -> Result<bool, JournalError> {
        let unavailable =
            |error: std::io::Error| JournalError::Unavailable(format!("lock: {error}"));
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_some() {
            return Ok(true);
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.lock_path)
            .map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => {
                *lock = Some(file);
                Ok(true)
            }
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(error)) => Err(unavailable(error)),
        }
    }

    pub(super) fn unlock(&self) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the file that is written to is the one that others will find: it may have been
    /// deleted or replaced, and then everything would be acknowledged into a file that is lost with
    /// the process.
    pub(super) fn is_in_place(&self) -> Result<(), String> {
        let name = self.path.display();
        match FileId::of(&self.path) {
            Ok(found) if Some(&found) == self.opened.as_ref() => Ok(()),
            Ok(_) => Err(format!("{name} was replaced while it was open: start anew")),
            Err(error) => Err(format!("{name} is gone: {error}")),
        }
    }
}

/// The identity of a file, whatever its name.
#[derive(PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { device: found.dev(), inode: found.ino() })
    }
}
