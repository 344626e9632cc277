//! Opens journals: in memory, in a file, in one Postgres database or several.

use std::path::Path;
use std::sync::Arc;

use shared_events::contract::Timestamp;
use shared_events::stream::Scope;
use tokio::sync::{Notify, OnceCell, watch};
use tokio_util::sync::CancellationToken;

use super::append_health::AppendHealth;
use super::handle::{Journal, Shared};
use crate::error::JournalError;
use crate::options::Options;
use crate::shards::ShardMap;
use crate::spread::{Database, Opened, Taken, cursors_of, migrate, open_databases};
use crate::store::{MemoryDisk, MemoryStore, SqliteStore, check_schema_name};
use crate::write::{Channels, Ownership, Tail};

/// Opens a journal in a schema of a Postgres database; both the schema and the tables are created
/// if absent. Waits until another writer has ended.
///
/// # Errors
/// As [`open_spread`].
pub async fn open_postgres(
    url: &str,
    schema: &str,
    options: Options,
) -> Result<Journal, JournalError> {
    open_spread(&ShardMap::one(url), schema, options).await
}

/// Opens a journal whose shards are spread over Postgres databases, in a schema of each; the
/// schema, the tables and the journal itself are created if absent in all of them. Waits until
/// another writer has ended.
///
/// # Errors
/// [`JournalError::WrongDatabase`] where a database is not the one that holds these shards, before
/// anything is written; [`JournalError::Unavailable`] where a server cannot be reached, the schema
/// cannot be used, or another writer stays. For a node among others it is enough that one of
/// several databases of an existing journal answers; the others are checked when they do.
pub async fn open_spread(
    map: &ShardMap,
    schema: &str,
    options: Options,
) -> Result<Journal, JournalError> {
    check_schema_name(schema)?;
    let mut taken = Vec::new();
    for Opened { store, holds, unavailable } in open_databases(map, schema, &options).await? {
        taken.push(match unavailable {
            Some(unavailable) => Taken::unavailable(store, holds, unavailable),
            None => Taken::from(store, Some(holds), &options).await?,
        });
    }
    start(taken, options).await
}

/// Migrates the tables of a journal in a schema of each of its Postgres databases, while they are
/// in use.
///
/// # Errors
/// As [`open_spread`].
pub async fn migrate_postgres(map: &ShardMap, schema: &str) -> Result<(), JournalError> {
    check_schema_name(schema)?;
    let options = Options::new(Arc::new(Timestamp::default));
    migrate(map, schema, &options).await
}

/// Opens a journal in an SQLite file, created if absent. The file is locked for as long as the
/// journal is open for writing.
///
/// # Errors
/// [`JournalError::Unavailable`] where the file cannot be opened or another process writes to it.
pub async fn open_sqlite(path: &Path, options: Options) -> Result<Journal, JournalError> {
    let store = Arc::new(SqliteStore::open(path, &options).await?);
    start(vec![Taken::from(store, None, &options).await?], options).await
}

/// Opens a journal in memory; its events are gone with the last handle.
///
/// # Errors
/// None known.
pub async fn open_memory(options: Options) -> Result<Journal, JournalError> {
    open_memory_on(&MemoryDisk::default(), options).await
}

/// Opens a journal on a simulated disk; waits until another writer's lease has run out.
///
/// # Errors
/// [`JournalError::Unavailable`] where another writer stays.
pub async fn open_memory_on(disk: &MemoryDisk, options: Options) -> Result<Journal, JournalError> {
    let store = Arc::new(MemoryStore::new(disk, &options.chance));
    start(vec![Taken::from(store, None, &options).await?], options).await
}

/// Starts the tasks of every database that was taken.
async fn start(all: Vec<Taken>, options: Options) -> Result<Journal, JournalError> {
    let several = all.len() > 1;
    let among_others = all.iter().all(|taken| taken.is_shared(&options));
    let options = if among_others { options } else { Options { node: None, ..options } };
    let shards = all.iter().map(|taken| taken.holds.len()).sum::<usize>();
    let shards = u16::try_from(shards).unwrap_or(u16::MAX);
    let stand = all.iter().flat_map(|taken| cursors_of(&taken.heads).iter().collect::<Vec<_>>());
    let (committed, _) = watch::channel(stand.collect());
    let tail = Arc::new(Tail::default());
    let (lost_tails, _) = watch::channel(Vec::new());
    let (ownership, _) = watch::channel(Ownership::default());
    let (scope, _) = watch::channel(Scope::nothing());
    let [leaving, taken_over, lost, closing] = std::array::from_fn(|_| CancellationToken::new());
    // Tasks that were started before another database failed are stopped with it.
    let unfinished = closing.clone().drop_guard();
    let mut databases = Vec::new();
    for taken in all {
        let channels = Channels {
            committed: committed.clone(),
            tail: Arc::clone(&tail),
            lost_tails: lost_tails.clone(),
            ownership: ownership.clone(),
            scope: scope.clone(),
            shards_changed: Arc::new(Notify::new()),
            leaving: leaving.clone(),
            handed_over: CancellationToken::new(),
            taken_over: taken_over.clone(),
            lost: lost.clone(),
            closing: closing.clone(),
        };
        databases.push(Database::start(taken, shards, several, &options, channels).await?);
    }
    unfinished.disarm();
    let (last_chronicle, _) = watch::channel(None);
    let ids_by_position = databases.iter().map(|_| OnceCell::new()).collect();
    let fingerprints = databases.iter().map(|_| OnceCell::new()).collect();
    let shared = Shared {
        databases,
        shards,
        committed,
        tail,
        lost_tails,
        ownership,
        scope,
        leaving,
        taken_over,
        lost,
        closing,
        last_chronicle,
        ids_by_position,
        fingerprints,
        options,
        append_health: AppendHealth::begin(),
    };
    let journal = Journal { shared: Arc::new(shared) };
    if !journal.shared.options.read_only {
        journal.watch_history().await;
    }
    Ok(journal)
}
