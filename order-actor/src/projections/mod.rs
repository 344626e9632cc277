//! Read models that follow the journal. Each is a handler on `follow`, and its cursor commits with
//! its rows. All of it can be discarded and rebuilt.
//! Never here: decisions, because a read model lags behind the journal.

mod again; // answers that orders hear again
mod counts; // numbers of orders
mod deadlines; // the durable list of open deadlines
mod identifier; // what names an order or a part of it, and its row
mod list; // reads of the order summaries
mod order_identifiers; // which order an identifier belongs to
mod order_returns; // returns of all orders
mod order_summaries; // orders as lists show them
mod rebuild; // rebuilds a read model beside the one in use
mod return_list; // reads of the returns
mod return_summary; // returns as lists show them, and their rows
mod rows; // row handling that they share
mod summary_row; // a row of the list
mod words; // words by which lists find orders

pub(crate) use again::{Again, MONEY_ANSWERS, STOCK_ANSWERS};
use again::{DEADLINES, SUMMARIES, hear_again};
use include_dir::{Dir, include_dir};
use shared_events::stream::{Dialect, migrations};
use sqlx::migrate::Migrator;

pub use deadlines::{Deadlines, DeadlinesHandler, DueDeadline};
pub use identifier::{Identifier, Named};
pub use list::{SummaryFilter, SummarySort};
pub use order_identifiers::{OrderIdentifiers, OrderIdentifiersHandler};
pub use order_returns::{OrderReturns, OrderReturnsHandler};
pub use order_summaries::{OrderSummaries, OrderSummariesHandler, Summary};
pub use rebuild::RebuildError;
pub use return_list::{ReturnFilter, ReturnPlace, ReturnSort};
pub use return_summary::{ReturnContent, ReturnState, ReturnSummary};
use rows::{ahead_of, included, remove, step};
pub use words::{SearchBy, Word};

static POSTGRES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres/orders");
static SQLITE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite/orders");

/// The tables that a rebuild replaces.
pub const TABLES: [&str; 4] =
    [order_summaries::TABLE, deadlines::TABLE, order_returns::TABLE, order_identifiers::TABLE];

/// The tables of the read models.
#[must_use]
pub fn migrator(dialect: Dialect) -> Migrator {
    migrations(match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    })
}
