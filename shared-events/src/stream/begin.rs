//! Transactions that leave nothing open when their caller is cancelled, on clean connections. The
//! only place that begins one on a connection of a pool; `clippy.toml` refuses the others.

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, Pool, Sqlite, SqlitePool, Transaction};

use super::tasks::spawn;

/// Begins a transaction. A caller that is dropped meanwhile leaves none open: sqlx 0.8 counts a
/// Postgres transaction only once its `BEGIN` was answered, and a call cancelled in between would
/// hand the next one a session within a transaction that nobody ends. So the call is a task of its
/// own, which always completes, and a transaction that nobody takes is rolled back.
///
/// # Errors
/// [`sqlx::Error`] where no connection is available in time, or the database does not begin it.
pub async fn begin<DB: sqlx::Database>(
    pool: &Pool<DB>,
) -> Result<Transaction<'static, DB>, sqlx::Error> {
    let pool = pool.clone();
    let begun = spawn(async move { Transaction::begin(clean(&pool).await?, None).await });
    // It ends early only with the runtime.
    begun.await.unwrap_or(Err(sqlx::Error::PoolClosed))
}

/// Begins a transaction that has the file's one writer to itself. SQLite's driver rolls a cancelled
/// one back by itself.
///
/// # Errors
/// As [`begin`].
pub async fn begin_immediate(
    pool: &SqlitePool,
) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    Transaction::begin(clean(pool).await?, Some("BEGIN IMMEDIATE".into())).await
}

/// A connection in no transaction. One that is in a transaction had a failed commit, as on a full
/// disk, and then a failed rollback because nothing was left of it: it is closed, not reused.
async fn clean<DB: sqlx::Database>(pool: &Pool<DB>) -> Result<PoolConnection<DB>, sqlx::Error> {
    loop {
        let connection = pool.acquire().await?;
        if !connection.is_in_transaction() {
            return Ok(connection);
        }
        // Regardless of the result: it is closed afterwards.
        drop(connection.close().await);
    }
}
