//! Read models that follow the journal; each is a handler on `follow`, and its cursor commits with
//! its rows. Everything here can be thrown away and built again.
//! Never here: decisions. A read model is behind by nature.

mod deadlines; // the durable list of what must happen by when
mod order_summaries; // orders as lists show them
mod rebuild; // built again beside the one in use
mod rows; // what both do with a batch

use shared_events::stream::Dialect;
use sqlx::migrate::Migrator;

pub use deadlines::{Deadlines, DeadlinesHandler, DueDeadline};
pub use order_summaries::{OrderSummaries, OrderSummariesHandler, Summary, SummaryFilter};
pub use rebuild::RebuildError;
use rows::{ahead_of, json, remove, step};

/// The tables that a rebuild exchanges for others.
pub const TABLES: [&str; 2] = [order_summaries::TABLE, deadlines::TABLE];

/// The tables of the read models.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    match dialect {
        Dialect::Postgres => sqlx::migrate!("migrations/postgres/orders"),
        Dialect::Sqlite => sqlx::migrate!("migrations/sqlite/orders"),
    }
}
