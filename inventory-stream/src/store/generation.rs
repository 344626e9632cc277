use shared_events::chance::Chance;
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// The generation of cached values; only those of the current one count (table `stock_cache`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// The id of this database, in the names of keys.
    pub(crate) id: String,
    /// Replaced whenever a cached value may be wrong.
    pub(crate) number: String,
    /// Identifies the server and the table: it differs after a failover or a restore.
    pub(crate) place: String,
}

/// The name of a generation, from the machine's randomness whatever the seed: two processes with the
/// same one would trust each other's values.
fn unique_name() -> String {
    Chance::system().uuid().to_string()
}

/// Begins a generation of the cache.
pub(crate) async fn begin_generation(database: &Database) -> Result<(), DatabaseError> {
    let mut tx = database.begin().await?;
    sqlx::query(
        "INSERT INTO stock_cache (one, id, generation) VALUES (1, $1, $2)
         ON CONFLICT (one) DO UPDATE SET generation = excluded.generation",
    )
    .bind(unique_name())
    .bind(unique_name())
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Delays the next generation until this transaction ends, so that the first values of it include
/// the change. Called before rows of products are locked.
pub(crate) async fn hold_generation(database: &Database, tx: &mut Tx) -> Result<(), DatabaseError> {
    // SQLite has one writer anyway.
    if database.dialect() == Dialect::Postgres {
        sqlx::query("SELECT one FROM stock_cache FOR SHARE").fetch_optional(&mut **tx).await?;
    }
    Ok(())
}

/// Invalidates all cached values, if a cache was ever used. Called before rows of products are
/// locked.
pub(crate) async fn void_generation(tx: &mut Tx) -> Result<(), DatabaseError> {
    sqlx::query("UPDATE stock_cache SET generation = $1")
        .bind(unique_name())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The current generation; none where no cache was ever used with this database.
pub(crate) async fn generation(database: &Database) -> Result<Option<Generation>, DatabaseError> {
    // A server that was restored or took over has another start time; a table restored from a dump
    // is another file.
    let sql = database.sql(
        "SELECT id, generation, CAST(pg_postmaster_start_time() AS TEXT) || ' '
             || CAST(pg_relation_filenode('stock') AS TEXT) FROM stock_cache",
        "SELECT id, generation, '' FROM stock_cache",
    );
    let row = sqlx::query(sql).fetch_optional(database.reader()).await?;
    let generation = |row: AnyRow| -> Result<Generation, DatabaseError> {
        Ok(Generation { id: row.try_get(0)?, number: row.try_get(1)?, place: row.try_get(2)? })
    };
    row.map(generation).transpose()
}
