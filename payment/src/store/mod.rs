//! The only SQL about payments.
//! Never here: what happens to a payment.

mod cases; // the payments of orders, locked and written
mod chain; // the history, in order and chained
mod list; // payments as lists have them
mod operations; // what is to be done at providers
mod tokens; // what customers pay with

pub(crate) use cases::look_again;
pub(crate) use cases::{OpenCase, Origins, lock, write};
pub use cases::{case, cases_after, cases_due};
pub use chain::{EVENT_SHARDS, StoredEvent, event_heads, events_after, events_of, shard_of};
pub use list::{PaymentFilter, PaymentSummary, cases_of, payment, payments};
pub(crate) use operations::claim;
pub use operations::{OperationRow, operation, operations_after, operations_due, stuck};
pub(crate) use tokens::{forget_old_tokens, keep_token, token};

use serde::Serialize;
use shared_events::contract::Timestamp;
use shared_events::stream::DatabaseError;
use sqlx::Row as _;
use sqlx::any::AnyRow;

fn json(rows: &(impl Serialize + ?Sized)) -> Result<String, DatabaseError> {
    serde_json::to_string(rows).map_err(|_| DatabaseError::Corrupt("row"))
}

fn number<T: TryFrom<i64>>(
    row: &AnyRow,
    column: usize,
    what: &'static str,
) -> Result<T, DatabaseError> {
    let number: i64 = row.try_get(column)?;
    T::try_from(number).map_err(|_| DatabaseError::Corrupt(what))
}

fn word<T: std::str::FromStr>(
    row: &AnyRow,
    column: usize,
    what: &'static str,
) -> Result<T, DatabaseError> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|_| DatabaseError::Corrupt(what))
}

fn instant(row: &AnyRow, column: usize) -> Result<Timestamp, DatabaseError> {
    Timestamp::checked_from_micros(row.try_get(column)?).ok_or(DatabaseError::Corrupt("instant"))
}

fn optional_instant(row: &AnyRow, column: usize) -> Result<Option<Timestamp>, DatabaseError> {
    let micros: Option<i64> = row.try_get(column)?;
    let at =
        |micros| Timestamp::checked_from_micros(micros).ok_or(DatabaseError::Corrupt("instant"));
    micros.map(at).transpose()
}
