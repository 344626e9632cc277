use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shared_events::contract::OrderId;
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::json;
use crate::domain::Reservation;

/// The reservations of these orders.
///
/// # Errors
/// [`DatabaseError`]
pub async fn reservations(
    database: &Database,
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
) -> Result<BTreeMap<OrderId, Reservation>, DatabaseError> {
    let sql = database.sql(
        "SELECT body FROM reservations
         WHERE order_id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
        "SELECT body FROM reservations WHERE order_id IN (SELECT value FROM json_each($1))",
    );
    let rows = sqlx::query(sql).bind(json(orders)?).fetch_all(&mut **tx).await?;
    rows.iter()
        .map(|row| reservation(row, 0))
        .map(|found| found.map(|found| (found.order_id, found)))
        .collect()
}

/// A reservation as the database reads it.
#[derive(Serialize)]
struct ReservationRow {
    order_id: OrderId,
    state: &'static str,
    body: String,
}

/// Writes reservations.
///
/// # Errors
/// [`DatabaseError`]
pub async fn write_reservations<'a>(
    database: &Database,
    tx: &mut Tx,
    reservations: impl Iterator<Item = &'a Reservation>,
) -> Result<(), DatabaseError> {
    let rows = reservations
        .map(|reservation| {
            Ok(ReservationRow {
                order_id: reservation.order_id,
                state: reservation.state.code(),
                body: json(reservation)?,
            })
        })
        .collect::<Result<Vec<_>, DatabaseError>>()?;
    if rows.is_empty() {
        return Ok(());
    }
    let sql = database.sql(
        "INSERT INTO reservations (order_id, state, body)
         SELECT order_id, state, body FROM json_to_recordset($1::json)
             AS row(order_id TEXT, state TEXT, body TEXT)
         ON CONFLICT (order_id) DO UPDATE SET state = excluded.state, body = excluded.body",
        "INSERT INTO reservations (order_id, state, body)
         SELECT value ->> 'order_id', value ->> 'state', value ->> 'body'
         FROM json_each($1) WHERE true
         ON CONFLICT (order_id) DO UPDATE SET state = excluded.state, body = excluded.body",
    );
    sqlx::query(sql).bind(json(&rows)?).execute(&mut **tx).await?;
    Ok(())
}

/// Deletes the reservations of these orders.
///
/// # Errors
/// [`DatabaseError`]
pub async fn forget_reservations(
    database: &Database,
    tx: &mut Tx,
    orders: impl Iterator<Item = OrderId>,
) -> Result<(), DatabaseError> {
    let orders: Vec<OrderId> = orders.collect();
    let sql = database.sql(
        "DELETE FROM reservations
         WHERE order_id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
        "DELETE FROM reservations WHERE order_id IN (SELECT value FROM json_each($1))",
    );
    sqlx::query(sql).bind(json(&orders)?).execute(&mut **tx).await?;
    Ok(())
}

/// The reservation of an order, if stock has any facts about it.
///
/// # Errors
/// [`DatabaseError`]
pub async fn get_reservation(
    database: &Database,
    order_id: OrderId,
) -> Result<Option<Reservation>, DatabaseError> {
    let row = sqlx::query("SELECT body FROM reservations WHERE order_id = $1")
        .bind(order_id.to_string())
        .fetch_optional(database.reader())
        .await?;
    row.as_ref().map(|row| reservation(row, 0)).transpose()
}

/// Reservations after one of them, by order id.
///
/// # Errors
/// [`DatabaseError`]
pub async fn list_reservations(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Vec<Reservation>, DatabaseError> {
    let rows =
        sqlx::query("SELECT body FROM reservations WHERE order_id > $1 ORDER BY order_id LIMIT $2")
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(database.reader())
            .await?;
    rows.iter().map(|row| reservation(row, 0)).collect()
}

fn reservation(row: &AnyRow, column: usize) -> Result<Reservation, DatabaseError> {
    let body: String = row.try_get(column)?;
    serde_json::from_str(&body).map_err(|_| DatabaseError::Corrupt("body of a reservation"))
}
