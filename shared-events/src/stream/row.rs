//! Columns of rows as values, and rows as JSON. What this program cannot have written is
//! [`DatabaseError::Corrupt`].

use std::str::FromStr;

use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::DatabaseError;
use crate::contract::Timestamp;

/// Rows as the JSON that a statement takes.
///
/// # Errors
/// [`DatabaseError::Corrupt`] where they are none.
pub fn json(rows: &(impl Serialize + ?Sized)) -> Result<String, DatabaseError> {
    serde_json::to_string(rows).map_err(|_| DatabaseError::Corrupt("row"))
}

/// A text of a closed form; `what` names it in the error.
///
/// # Errors
/// [`DatabaseError`] where the column is not one.
pub fn word<T: FromStr>(
    row: &AnyRow,
    column: usize,
    what: &'static str,
) -> Result<T, DatabaseError> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|_| DatabaseError::Corrupt(what))
}

/// A number in the range of its type; `what` names it in the error.
///
/// # Errors
/// [`DatabaseError`] where the column is not one.
pub fn number<T: TryFrom<i64>>(
    row: &AnyRow,
    column: usize,
    what: &'static str,
) -> Result<T, DatabaseError> {
    let number: i64 = row.try_get(column)?;
    T::try_from(number).map_err(|_| DatabaseError::Corrupt(what))
}

/// An instant, in microseconds since 1970.
///
/// # Errors
/// [`DatabaseError`] where the column is not one.
pub fn instant(row: &AnyRow, column: usize) -> Result<Timestamp, DatabaseError> {
    optional_instant(row, column)?.ok_or(DatabaseError::Corrupt("instant"))
}

/// An instant, in microseconds since 1970, or none.
///
/// # Errors
/// [`DatabaseError`] where the column is neither.
pub fn optional_instant(row: &AnyRow, column: usize) -> Result<Option<Timestamp>, DatabaseError> {
    let micros: Option<i64> = row.try_get(column)?;
    let at =
        |micros| Timestamp::checked_from_micros(micros).ok_or(DatabaseError::Corrupt("instant"));
    micros.map(at).transpose()
}
