use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shared_events::contract::{LocationName, Sku, Timestamp};
use shared_events::stream::row::json;
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::{AnyConnection, Row as _};

use super::locations::locations;
use super::{change, lock_rows};
use crate::domain::{PlaceLevel, PlaceLevels, Places, StockLevels};
use crate::movements::{Cause, MovedBy};

/// The stock of these products at every location, locked until the transaction ends. Locations are
/// read where one of the products is elsewhere than at `main`, or where one is `named`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn lock(
    database: &Database,
    tx: &mut Tx,
    skus: &BTreeSet<Sku>,
    named: bool,
) -> Result<StockLevels, DatabaseError> {
    let rows = lock_rows(database, tx, skus).await?;
    let located: BTreeSet<&Sku> =
        rows.iter().filter(|(_, located)| *located).map(|(stock, _)| &stock.sku).collect();
    let places = if located.is_empty() && !named {
        Places::default()
    } else {
        let by_priority = locations(tx).await?.into_iter().map(|one| one.name).collect();
        Places::new(by_priority, places(database, tx, &located).await?)
    };
    let levels = rows.into_iter().map(|(stock, _)| (stock.sku, stock.level)).collect();
    Ok(StockLevels::new(levels).at(places))
}

/// The units of these products at locations other than `main`.
async fn places(
    database: &Database,
    connection: &mut AnyConnection,
    skus: &BTreeSet<&Sku>,
) -> Result<PlaceLevels, DatabaseError> {
    let mut all = PlaceLevels::new();
    if skus.is_empty() {
        return Ok(all);
    }
    let sql = format!(
        "SELECT sku, location, on_hand, held FROM stock_at WHERE sku {}",
        database.one_of()
    );
    let rows = sqlx::query(&sql).bind(json(skus)?).fetch_all(connection).await?;
    for row in &rows {
        let (sku, location): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let sku = sku.parse().map_err(|_| DatabaseError::Corrupt("sku of a stock row"))?;
        let location = location.parse().map_err(|_| DatabaseError::Corrupt("location of stock"))?;
        let level = PlaceLevel { on_hand: row.try_get(2)?, held: row.try_get(3)? };
        let of_sku: &mut BTreeMap<LocationName, _> = all.entry(sku).or_default();
        of_sku.insert(location, level);
    }
    Ok(all)
}

/// A change at a location, as the database reads it.
#[derive(Serialize)]
struct PlaceRow<'a> {
    sku: &'a Sku,
    location: &'a LocationName,
    held: i64,
    committed: i64,
    restocked: i64,
}

/// Applies all that a batch changed, at every location, with its movements.
///
/// # Errors
/// [`DatabaseError`], also where the schema refuses a level below zero.
pub async fn apply(
    database: &Database,
    tx: &mut Tx,
    cause: Cause,
    stock: &StockLevels,
    moved: &BTreeMap<Sku, Vec<MovedBy>>,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    change(database, tx, cause, stock.changes(), moved, now).await?;
    let mut rows = Vec::new();
    for (sku, location, change, is_new) in stock.place_changes() {
        if is_new {
            add_place(tx, sku, location).await?;
        }
        let (held, committed, restocked) = (change.held, change.committed, change.restocked);
        rows.push(PlaceRow { sku, location, held, committed, restocked });
    }
    if rows.is_empty() {
        return Ok(());
    }
    let sql = database.sql(
        "UPDATE stock_at SET held = stock_at.held + row.held,
             on_hand = stock_at.on_hand - row.committed + row.restocked,
             committed = stock_at.committed + row.committed,
             restocked = stock_at.restocked + row.restocked
         FROM json_to_recordset($1::json) AS row(sku TEXT, location TEXT, held BIGINT,
             committed BIGINT, restocked BIGINT)
         WHERE stock_at.sku = row.sku AND stock_at.location = row.location",
        "UPDATE stock_at SET held = stock_at.held + row.held,
             on_hand = stock_at.on_hand - row.committed + row.restocked,
             committed = stock_at.committed + row.committed,
             restocked = stock_at.restocked + row.restocked
         FROM (SELECT value ->> 'sku' AS sku, value ->> 'location' AS location,
                      value ->> 'held' AS held, value ->> 'committed' AS committed,
                      value ->> 'restocked' AS restocked FROM json_each($1)) AS row
         WHERE stock_at.sku = row.sku AND stock_at.location = row.location",
    );
    let written = sqlx::query(sql).bind(json(&rows)?).execute(&mut **tx).await?;
    if written.rows_affected() == u64::try_from(rows.len()).unwrap_or(u64::MAX) {
        Ok(())
    } else {
        Err(DatabaseError::Corrupt("stock row of a location that is missing"))
    }
}

/// Ensures a row of a product at a location that is not `main`; the product's own row exists.
/// Returns whether there was none.
pub(super) async fn add_place(
    tx: &mut Tx,
    sku: &Sku,
    location: &LocationName,
) -> Result<bool, DatabaseError> {
    let added = sqlx::query(
        "INSERT INTO stock_at (sku, location, on_hand, held, adjusted, committed, restocked)
         VALUES ($1, $2, 0, 0, 0, 0, 0) ON CONFLICT (sku, location) DO NOTHING",
    );
    let added = added.bind(sku.as_str()).bind(location.as_str()).execute(&mut **tx).await?;
    if added.rows_affected() == 0 {
        return Ok(false);
    }
    let sql = "UPDATE stock SET located = 1 WHERE sku = $1";
    sqlx::query(sql).bind(sku.as_str()).execute(&mut **tx).await?;
    Ok(true)
}

/// Changes the units on hand at a location that is not `main`, whose row exists.
pub(super) async fn adjust_place(
    tx: &mut Tx,
    sku: &Sku,
    location: &LocationName,
    delta: i64,
) -> Result<(), DatabaseError> {
    sqlx::query(
        "UPDATE stock_at SET on_hand = on_hand + $1, adjusted = adjusted + $1
         WHERE sku = $2 AND location = $3",
    )
    .bind(delta)
    .bind(sku.as_str())
    .bind(location.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
