use include_dir::{Dir, include_dir};
use shared_events::stream::{Dialect, migrations};
use sqlx::migrate::Migrator;

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres/journal");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite/journal");

/// The tables of the journal, with the triggers that guard them.
pub(super) fn migrator(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}
