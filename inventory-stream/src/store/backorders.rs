use serde::Serialize;
use shared_events::contract::{OrderId, Sku};
use shared_events::stream::row::json;
use shared_events::stream::{Database, DatabaseError, Tx};

use super::reservations::reservation;
use crate::domain::Reservation;

/// An order that waits for a product, as the database reads it.
#[derive(Serialize)]
struct WaitingRow<'a> {
    order_id: OrderId,
    sku: &'a Sku,
    placed_at: i64,
}

/// Writes for what these reservations wait now. Nothing is written for those of which no unit was
/// ever backordered.
pub(super) async fn write_waiting(
    database: &Database,
    tx: &mut Tx,
    reservations: &[&Reservation],
) -> Result<(), DatabaseError> {
    let some: Vec<_> = reservations.iter().filter(|one| one.was_backordered).collect();
    if some.is_empty() {
        return Ok(());
    }
    forget_waiting(database, tx, &some.iter().map(|one| one.order_id).collect::<Vec<_>>()).await?;
    let mut rows = Vec::new();
    for reservation in some {
        let placed_at = reservation.placed_at.map_or(0, |at| at.micros());
        let mut skus: Vec<&Sku> = reservation.lines.iter().map(|line| &line.sku).collect();
        skus.sort();
        skus.dedup();
        rows.extend(
            skus.into_iter().filter(|sku| reservation.waits_for(sku) > 0).map(|sku| WaitingRow {
                order_id: reservation.order_id,
                sku,
                placed_at,
            }),
        );
    }
    if rows.is_empty() {
        return Ok(());
    }
    let sql = database.sql(
        "INSERT INTO backorders (sku, placed_at, order_id)
         SELECT sku, placed_at, order_id FROM json_to_recordset($1::json)
             AS row(sku TEXT, placed_at BIGINT, order_id TEXT)",
        "INSERT INTO backorders (sku, placed_at, order_id)
         SELECT value ->> 'sku', value ->> 'placed_at', value ->> 'order_id' FROM json_each($1)",
    );
    sqlx::query(sql).bind(json(&rows)?).execute(&mut **tx).await?;
    Ok(())
}

/// These orders wait for nothing any more.
pub(super) async fn forget_waiting(
    database: &Database,
    tx: &mut Tx,
    orders: &[OrderId],
) -> Result<(), DatabaseError> {
    let sql = format!("DELETE FROM backorders WHERE order_id {}", database.one_of());
    sqlx::query(&sql).bind(json(&orders)?).execute(&mut **tx).await?;
    Ok(())
}

/// The reservations that wait for a product, in the order in which their orders were placed.
pub(super) async fn waiting(
    tx: &mut Tx,
    sku: &Sku,
    limit: i64,
) -> Result<Vec<Reservation>, DatabaseError> {
    let rows = sqlx::query(
        "SELECT body FROM backorders
         JOIN reservations ON reservations.order_id = backorders.order_id
         WHERE backorders.sku = $1
         ORDER BY backorders.placed_at, backorders.order_id LIMIT $2",
    )
    .bind(sku.as_str())
    .bind(limit)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(|row| reservation(row, 0)).collect()
}
