//! The only SQL about stock. Rows are locked by sku in sorted order, so that two writers never
//! deadlock.
//! Never here: what a fact means.

mod allocation; // what comes to stock, to the orders that wait for it
mod backorders; // which orders wait for which product
mod change_sql; // the statements that move stock
mod generation; // the generation within which cached values count
mod locations; // where stock may be, by priority
mod places; // units of products at other locations than `main`
mod reservations; // what is held for orders
mod rule; // how many units may be promised beyond the stock
mod set; // what people set and adjust
mod withdrawal; // a stock-take below what is held

pub use allocation::{ALLOCATED_MAX, allocatable, allocate, allocate_products};
use change_sql::change_sql;
pub(crate) use generation::{
    Generation, begin_generation, generation, hold_generation, void_generation,
};
pub use locations::{LOCATIONS_MAX, Location, PRIORITY_MAX, locations, set_location};
pub use places::{apply, lock};
pub use reservations::{
    forget_reservations, get_reservation, get_reservations, holders, list_reservations,
    reservations, write_reservations,
};
pub use rule::set_backorder;
use set::adjust;
pub use set::{
    LOSERS_MAX, MoveError, MoveOutcome, MovedStock, RequestDetails, StockRequest, move_stock,
    move_stock_at,
};
pub use withdrawal::{Loser, exclude_followers, move_stock_allowing_shortage};

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shared_events::contract::{LocationName, Sku, Timestamp};
use shared_events::stream::row::json;
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::domain::{BackorderRule, PlaceLevel, StockChange, StockLevel};
use crate::movements::{Cause, MovedBy};

/// The most units a product may have or a movement may move: far inside 64 bits in any sum.
pub const UNITS_MAX: i64 = 1_000_000_000_000;

/// The stock of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// The product.
    pub sku: Sku,
    /// Its units, at all locations together.
    pub level: StockLevel,
    /// Units of those that are elsewhere than at `main`.
    pub elsewhere: BTreeMap<LocationName, PlaceLevel>,
}

/// The rows of these products, locked until the transaction ends, and whether `stock_at` has rows
/// of them.
async fn lock_rows(
    database: &Database,
    tx: &mut Tx,
    skus: &BTreeSet<Sku>,
) -> Result<Vec<(Stock, bool)>, DatabaseError> {
    let sql = format!(
        "SELECT sku, on_hand, reserved, backordered, backorder_limit, backorder_until, located
         FROM stock WHERE sku {} {}",
        database.one_of(),
        database.sql("ORDER BY sku FOR UPDATE", "")
    );
    let rows = sqlx::query(&sql).bind(json(skus)?).fetch_all(&mut **tx).await?;
    rows.iter().map(stock).collect()
}

/// What a batch did to a product, as the database reads it.
#[derive(Serialize)]
struct ChangedRow<'a> {
    sku: &'a Sku,
    reserved: i64,
    /// None for most.
    #[serde(skip_serializing_if = "Option::is_none")]
    backordered: Option<i64>,
    committed: i64,
    restocked: i64,
    facts: Option<&'a Vec<MovedBy>>,
}

/// Applies what a batch changed, each product with its movement. By difference, so that a product
/// that appeared meanwhile loses nothing.
///
/// # Errors
/// [`DatabaseError`], also where the schema refuses a level below zero.
async fn change<'a>(
    database: &Database,
    tx: &mut Tx,
    cause: Cause,
    changes: impl Iterator<Item = (&'a Sku, &'a StockChange)>,
    moved: &BTreeMap<Sku, Vec<MovedBy>>,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let rows: Vec<_> = changes
        .map(|(sku, change)| (sku, change, moved.get(sku)))
        .filter(|(_, change, moved)| !change.is_nothing() || moved.is_some())
        .map(|(sku, change, facts)| ChangedRow {
            sku,
            reserved: change.reserved,
            backordered: Some(change.backordered).filter(|units| *units != 0),
            committed: change.committed,
            restocked: change.restocked,
            facts,
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let json = json(&rows)?;
    let (moved, recorded) = change_sql(database, rows.iter().any(|row| row.backordered.is_some()));
    if let Some(moved) = moved {
        sqlx::query(moved).bind(&json).execute(&mut **tx).await?;
    }
    let written = sqlx::query(recorded).bind(&json).bind(cause.code()).bind(now.micros());
    let written = written.execute(&mut **tx).await?;
    // Units are held only where stock was set, so every row is there.
    if written.rows_affected() == u64::try_from(rows.len()).unwrap_or(u64::MAX) {
        Ok(())
    } else {
        Err(DatabaseError::Corrupt("stock row that is missing"))
    }
}

/// Adds units that are in the warehouse although no fact accounts for them, as a movement.
///
/// # Errors
/// [`DatabaseError`]
pub async fn add_unaccounted(
    tx: &mut Tx,
    (sku, location): (&Sku, &LocationName),
    units: i64,
    reason: &str,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let details = RequestDetails { by: "engine:stock", reason, ..RequestDetails::default() };
    let (place, asked) = ((sku, location), units.to_string());
    let added = adjust(tx, place, units, Cause::Adjusted, &asked, details, now).await;
    added.map_err(|error| match error {
        MoveError::Database(error) => error,
        _ => DatabaseError::Corrupt("movement"),
    })
}

/// The columns of a product, and where its units are that are not only at `main`: in one statement,
/// so that sums and places are of one moment.
fn columns(database: &Database) -> &'static str {
    database.sql(
        "sku, on_hand, reserved, backordered, backorder_limit, backorder_until, located,
         CASE WHEN located IS NOT NULL THEN (
             SELECT json_agg(json_build_array(location, on_hand, held))::text
             FROM stock_at WHERE stock_at.sku = stock.sku) END",
        "sku, on_hand, reserved, backordered, backorder_limit, backorder_until, located,
         CASE WHEN located IS NOT NULL THEN (
             SELECT json_group_array(json_array(location, on_hand, held))
             FROM stock_at WHERE stock_at.sku = stock.sku) END",
    )
}

/// The stock of a product, if it was ever set.
///
/// # Errors
/// [`DatabaseError`]
pub async fn get(database: &Database, sku: &Sku) -> Result<Option<Stock>, DatabaseError> {
    let sql = format!("SELECT {} FROM stock WHERE sku = $1", columns(database));
    let row = sqlx::query(&sql).bind(sku.as_str()).fetch_optional(database.reader()).await?;
    row.as_ref().map(whole).transpose()
}

/// The stock of the products whose sku begins with `prefix`, by sku, after one of them.
///
/// # Errors
/// [`DatabaseError`]
pub async fn list(
    database: &Database,
    prefix: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<Stock>, DatabaseError> {
    let sql = format!(
        "SELECT {} FROM stock
         WHERE sku > $1 AND substr(sku, 1, length($2)) = $2 ORDER BY sku LIMIT $3",
        columns(database)
    );
    let rows = sqlx::query(&sql).bind(after).bind(prefix).bind(i64::from(limit));
    let rows = rows.fetch_all(database.reader()).await?;
    rows.iter().map(whole).collect()
}

/// The stock in a row with its places.
fn whole(row: &AnyRow) -> Result<Stock, DatabaseError> {
    let (mut stock, _) = stock(row)?;
    let Some(places) = row.try_get::<Option<String>, _>(7)? else { return Ok(stock) };
    let places: Vec<(LocationName, i64, i64)> = serde_json::from_str(&places)
        .map_err(|_| DatabaseError::Corrupt("locations of a stock row"))?;
    let place = |(location, on_hand, held)| (location, PlaceLevel { on_hand, held });
    stock.elsewhere = places.into_iter().map(place).collect();
    Ok(stock)
}

/// The stock in a row, and whether some of it is elsewhere than at `main`.
fn stock(row: &AnyRow) -> Result<(Stock, bool), DatabaseError> {
    let sku: String = row.try_get(0)?;
    let sku = sku.parse().map_err(|_| DatabaseError::Corrupt("sku of a stock row"))?;
    let until: Option<i64> = row.try_get(5)?;
    let level = StockLevel {
        on_hand: row.try_get(1)?,
        reserved: row.try_get(2)?,
        backordered: row.try_get::<Option<i64>, _>(3)?.unwrap_or(0),
        backorder: BackorderRule {
            limit: row.try_get::<Option<i64>, _>(4)?.unwrap_or(0),
            until: until.map(Timestamp::from_micros),
        },
    };
    let located = row.try_get::<Option<i64>, _>(6)?.is_some();
    Ok((Stock { sku, level, elsewhere: BTreeMap::new() }, located))
}
