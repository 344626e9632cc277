use shared_events::chance::Chance;
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// Which values of a cache count; see the table `stock_cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// Of this database.
    pub(crate) id: String,
    /// Begun anew whenever it is not sure that the cache tells the truth.
    pub(crate) number: String,
    /// Another one is another server, or another table under the same name.
    pub(crate) place: String,
}

/// The name of a generation. The machine's, whatever seed there is: two processes that drew the same
/// one would believe each other's values.
fn never_before() -> String {
    Chance::system().uuid().to_string()
}

/// Begins a generation of the cache.
pub(crate) async fn begin_generation(database: &Database) -> Result<(), DatabaseError> {
    let mut tx = database.begin().await?;
    sqlx::query(
        "INSERT INTO stock_cache (one, id, generation) VALUES (1, $1, $2)
         ON CONFLICT (one) DO UPDATE SET generation = excluded.generation",
    )
    .bind(never_before())
    .bind(never_before())
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Has whoever begins a generation wait until this transaction is over: a change that nobody hears of
/// is seen by the first who fill the next one. Before rows of products are locked.
pub(crate) async fn hold_generation(database: &Database, tx: &mut Tx) -> Result<(), DatabaseError> {
    // On SQLite there is one writer anyhow.
    if database.dialect() == Dialect::Postgres {
        sqlx::query("SELECT one FROM stock_cache FOR SHARE").fetch_optional(&mut **tx).await?;
    }
    Ok(())
}

/// Has nothing count that stands in a cache, where one was ever used. Before rows of products are
/// locked.
pub(crate) async fn void_generation(tx: &mut Tx) -> Result<(), DatabaseError> {
    sqlx::query("UPDATE stock_cache SET generation = $1")
        .bind(never_before())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The generation that counts; none where no cache was ever used with this database.
pub(crate) async fn generation(database: &Database) -> Result<Option<Generation>, DatabaseError> {
    // A server that was put back or took over has started since; a table that was filled again from
    // a dump is another file.
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
