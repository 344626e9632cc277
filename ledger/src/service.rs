use include_dir::{Dir, include_dir};
use shared_events::stream::{Dialect, migrations};
use sqlx::migrate::Migrator;

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite");

/// The tables of the ledger.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}
