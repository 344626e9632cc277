use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use shared_events::contract::{OrderId, Sku};
use shared_events::stream::row::json;
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::backorders::{forget_waiting, write_waiting};
use crate::domain::{Reservation, ReservationState};

/// The reservations of these orders.
///
/// # Errors
/// [`DatabaseError`]
pub async fn reservations(
    database: &Database,
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
) -> Result<BTreeMap<OrderId, Reservation>, DatabaseError> {
    let sql = format!("SELECT body FROM reservations WHERE order_id {}", database.one_of());
    let rows = sqlx::query(&sql).bind(json(orders)?).fetch_all(&mut **tx).await?;
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

/// Writes reservations, and for which products they wait.
///
/// # Errors
/// [`DatabaseError`]
pub async fn write_reservations<'a>(
    database: &Database,
    tx: &mut Tx,
    reservations: impl Iterator<Item = &'a Reservation>,
) -> Result<(), DatabaseError> {
    let reservations: Vec<&Reservation> = reservations.collect();
    let rows = reservations
        .iter()
        .map(|reservation| {
            Ok(ReservationRow {
                order_id: reservation.order_id,
                state: row_state(reservation),
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
    write_waiting(database, tx, &reservations).await
}

/// The state in the row. It tells reservations that hold units, for the index of those, from those
/// of which every unit was shipped or released.
fn row_state(reservation: &Reservation) -> &'static str {
    match reservation.state {
        ReservationState::Reserved if !reservation.is_holding() => "DONE",
        state => state.code(),
    }
}

/// Deletes these reservations.
///
/// # Errors
/// [`DatabaseError`]
pub async fn forget_reservations(
    database: &Database,
    tx: &mut Tx,
    reservations: &[Reservation],
) -> Result<(), DatabaseError> {
    let orders: Vec<OrderId> = reservations.iter().map(|one| one.order_id).collect();
    if reservations.iter().any(|one| one.was_backordered) {
        forget_waiting(database, tx, &orders).await?;
    }
    let sql = format!("DELETE FROM reservations WHERE order_id {}", database.one_of());
    sqlx::query(&sql).bind(json(&orders)?).execute(&mut **tx).await?;
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

/// The reservations of these orders, without a transaction; those that stock has no facts about are
/// absent.
///
/// # Errors
/// [`DatabaseError`]; of an impossible row, beside its order.
pub async fn get_reservations(
    database: &Database,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, Result<Reservation, DatabaseError>>, DatabaseError> {
    let select = "SELECT body, order_id FROM reservations";
    let rows = database.rows_of(select, "order_id", orders).await?;
    let of_row = |row: &AnyRow| {
        let order_id: String = row.try_get(1)?;
        let order_id = OrderId::recorded(&order_id)
            .map_err(|_| DatabaseError::Corrupt("order of a reservation"))?;
        Ok((order_id, reservation(row, 0)))
    };
    rows.iter().map(of_row).collect()
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

/// Rows read in one query, where only some hold the product.
const HOLDERS_READ: usize = 1_000;

/// The reservations that hold units of a product, by order id, after one of them; at most `limit`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn holders(
    database: &Database,
    connection: &mut AnyConnection,
    sku: &Sku,
    after: Option<OrderId>,
    limit: usize,
) -> Result<Vec<Reservation>, DatabaseError> {
    // The text of a line in the body, as serde writes it.
    let line = format!("\"sku\":{}", json(sku)?);
    // Reads the partial index on (order_id) of the rows that hold units.
    let sql = database.sql(
        "SELECT body FROM reservations
         WHERE state = 'RESERVED' AND order_id > $1 AND strpos(body, $2) > 0
         ORDER BY order_id LIMIT $3",
        "SELECT body FROM reservations
         WHERE state = 'RESERVED' AND order_id > $1 AND instr(body, $2) > 0
         ORDER BY order_id LIMIT $3",
    );
    let mut after = after.map(|id| id.to_string()).unwrap_or_default();
    let mut found = Vec::new();
    loop {
        let rows = sqlx::query(sql)
            .bind(&after)
            .bind(&line)
            .bind(i64::try_from(limit.min(HOLDERS_READ)).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
        for row in &rows {
            let reservation = reservation(row, 0)?;
            after = reservation.order_id.to_string();
            if reservation.held_of(sku) > 0 {
                found.push(reservation);
            }
        }
        if found.len() >= limit || rows.len() < limit.min(HOLDERS_READ) {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

pub(super) fn reservation(row: &AnyRow, column: usize) -> Result<Reservation, DatabaseError> {
    let body: String = row.try_get(column)?;
    serde_json::from_str(&body).map_err(|_| DatabaseError::Corrupt("body of a reservation"))
}
