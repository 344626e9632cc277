use std::path::Path;

use shared_events::stream::{self, Dialect, Guards};

use crate::error::JournalError;
use crate::shards::ShardMap;
use crate::store::{migrator, unavailable};

/// The triggers of the journal in an SQLite file.
///
/// # Errors
/// [`JournalError::Unavailable`] where it cannot be read.
pub async fn sqlite_guards(file: &Path) -> Result<Guards, JournalError> {
    let made = migrator(Dialect::Sqlite);
    stream::sqlite_guards(file, made.iter()).await.map_err(unavailable)
}

/// The triggers of the journal in its Postgres databases.
///
/// # Errors
/// [`JournalError::Unavailable`] where one of them does not answer.
pub async fn postgres_guards(map: &ShardMap, schema: &str) -> Result<Guards, JournalError> {
    let made = migrator(Dialect::Postgres);
    let mut all = Guards::default();
    for place in map.places() {
        let guards = stream::postgres_guards(&place.url, schema, made.iter()).await;
        let Guards { expected, damages } = guards.map_err(unavailable)?;
        all.expected += expected;
        all.damages.extend(damages);
    }
    Ok(all)
}
