//! Read models that follow the journal; each is a handler on `follow`, and its cursor commits with
//! its rows. Everything here can be thrown away and built again.
//! Never here: decisions. A read model is behind by nature.

mod deadlines; // the durable list of what must happen by when
mod order_summaries; // orders as lists show them
mod rebuild; // built again beside the one in use
mod rows; // what both do with a batch

use include_dir::{Dir, include_dir};
use shared_events::stream::{Dialect, migrations};
use sqlx::migrate::Migrator;

pub use deadlines::{Deadlines, DeadlinesHandler, DueDeadline};
pub use order_summaries::{OrderSummaries, OrderSummariesHandler, Summary, SummaryFilter};
pub use rebuild::RebuildError;
use rows::{ahead_of, json, remove, step};

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres/orders");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite/orders");

/// The tables that a rebuild exchanges for others.
pub const TABLES: [&str; 2] = [order_summaries::TABLE, deadlines::TABLE];

/// The tables of the read models.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}
