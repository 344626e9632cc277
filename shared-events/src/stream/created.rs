use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::DatabaseError;

/// Whether a schema has the tables of a service. A snapshot of one that was never created fails.
///
/// # Errors
/// [`DatabaseError`]
pub async fn has_tables(url: &str, schema: &str) -> Result<bool, DatabaseError> {
    let options: PgConnectOptions = url.parse()?;
    let mut server = options.disable_statement_logging().connect().await?;
    let found = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(format!("{schema}.cursors"))
        .fetch_one(&mut server)
        .await;
    server.close().await?;
    Ok(found?)
}

/// Whether a journal's file records that another was beside it. It is only read, so that what a
/// killed process has left in its log stays there.
///
/// # Errors
/// [`DatabaseError`]
pub async fn was_beside(journal: &Path, file: &str) -> Result<bool, DatabaseError> {
    let options = SqliteConnectOptions::new().filename(journal).read_only(true);
    let mut journal = options.disable_statement_logging().connect().await?;
    let tables = "SELECT EXISTS (SELECT 1 FROM sqlite_master
                  WHERE type = 'table' AND name = 'siblings')";
    let mut found = sqlx::query_scalar(tables).fetch_one(&mut journal).await?;
    if found {
        let sql = "SELECT EXISTS (SELECT 1 FROM siblings WHERE file = ?)";
        found = sqlx::query_scalar(sql).bind(file).fetch_one(&mut journal).await?;
    }
    journal.close().await?;
    Ok(found)
}
