use std::collections::BTreeSet;

use shared_events::stream::{Database, DatabaseError, Dialect};
use sqlx::Row as _;

/// The triggers that refuse changes.
const POSTGRES: [&str; 5] = [
    "accounts_are_forever",
    "entries_are_forever",
    "holds_are_forever",
    "terms_are_forever",
    "transfers_are_forever",
];
const SQLITE: [&str; 7] = [
    "accounts_refuse_delete",
    "entries_refuse_delete",
    "entries_refuse_update",
    "holds_refuse_delete",
    "terms_refuse_update",
    "transfers_refuse_delete",
    "transfers_refuse_update",
];

/// The triggers of the book that are missing or switched off.
pub(crate) async fn missing(database: &Database) -> Result<Vec<&'static str>, DatabaseError> {
    let expected: &[&'static str] = match database.dialect() {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    };
    let sql = database.sql(
        "SELECT tgname::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
         WHERE relnamespace = current_schema()::regnamespace AND tgenabled IN ('O', 'A')",
        "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    );
    let rows = sqlx::query(sql).fetch_all(database.reader()).await?;
    let found = rows.iter().map(|row| row.try_get::<String, _>(0));
    let found = found.collect::<Result<BTreeSet<String>, _>>()?;
    Ok(expected.iter().copied().filter(|name| !found.contains(*name)).collect())
}
