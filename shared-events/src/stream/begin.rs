//! Transactions, begun so that whoever gives up half-way leaves nothing behind, on connections that
//! nothing was left on. The only place that begins one on a connection of a pool; `clippy.toml`
//! refuses the others.

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, Pool, Sqlite, SqlitePool, Transaction};

/// Begins a transaction. A caller who is dropped meanwhile leaves none open: sqlx 0.8 counts a
/// transaction of Postgres only when its `BEGIN` was answered, and a call that was given up in
/// between would hand the next one a session within a transaction that nobody ends. So the call is
/// a task of its own, which always ends, and a transaction that nobody takes is rolled back.
///
/// # Errors
/// [`sqlx::Error`] where no connection is to be had in time, or the database does not begin it.
pub async fn begin<DB: sqlx::Database>(
    pool: &Pool<DB>,
) -> Result<Transaction<'static, DB>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { Transaction::begin(clean(&pool).await?, None).await });
    // It ends early only with the runtime.
    begun.await.unwrap_or(Err(sqlx::Error::PoolClosed))
}

/// Begins a transaction that has the file's one writer to itself. SQLite's driver takes back by
/// itself what nobody waits for.
///
/// # Errors
/// As [`begin`].
pub async fn begin_immediate(
    pool: &SqlitePool,
) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    Transaction::begin(clean(pool).await?, Some("BEGIN IMMEDIATE".into())).await
}

/// A connection that is in no transaction. One that is has a commit behind it that failed, as on a
/// full disk, and a rollback that failed as well because nothing was left of it: it is closed, not
/// used again.
async fn clean<DB: sqlx::Database>(pool: &Pool<DB>) -> Result<PoolConnection<DB>, sqlx::Error> {
    loop {
        let connection = pool.acquire().await?;
        if !connection.is_in_transaction() {
            return Ok(connection);
        }
        // Whatever it says to that: it is gone afterwards.
        drop(connection.close().await);
    }
}
