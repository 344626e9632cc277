use std::collections::{BTreeMap, BTreeSet};

use shared_events::contract::{
    FactBody, FactId, InventoryFact, LineUnits, OrderId, Origin, Sku, StockLine, Timestamp,
};
use shared_events::stream::{Database, DatabaseError, NewFact, Outbox, Tx};
use sqlx::Row as _;
use uuid::Uuid;

use super::backorders::waiting;
use super::{apply, lock, write_reservations};
use crate::domain::{Reservation, StockLevels};
use crate::movements::{self, Cause};

/// Orders that one step gives units of one product to, at most. A later step continues.
pub const ALLOCATED_MAX: i64 = 1_000;

/// Products that [`allocatable`] names at most.
const PRODUCTS_MAX: i64 = 100;

/// Gives free units of these locked products to the orders that wait for them, in the order in which
/// they were placed; returns the facts about it. Nobody else changes reservations meanwhile: a
/// follower calls it in its batch, others after
/// [`exclude_followers`](super::exclude_followers).
///
/// # Errors
/// [`DatabaseError`]
pub async fn allocate(
    database: &Database,
    tx: &mut Tx,
    stock: &mut StockLevels,
    cause: Option<&str>,
    now: Timestamp,
) -> Result<Vec<NewFact>, DatabaseError> {
    let mut found: BTreeMap<OrderId, Allocation> = BTreeMap::new();
    for sku in stock.allocatable() {
        // Each of them takes a unit at least.
        let limit = stock.level(&sku).free().min(ALLOCATED_MAX);
        for reservation in waiting(tx, &sku, limit).await? {
            let order_id = reservation.order_id;
            let to = found.entry(order_id).or_insert_with(|| Allocation {
                reservation,
                lines: Vec::new(),
                elsewhere: Vec::new(),
            });
            let (lines, elsewhere) = to.reservation.allocate(&sku, stock);
            to.lines.extend(lines);
            to.elsewhere.extend(elsewhere);
        }
    }
    found.retain(|_, to| !to.lines.is_empty());
    write_reservations(database, tx, found.values().map(|to| &to.reservation)).await?;
    found.into_values().map(|to| allocated(to, cause, now)).collect()
}

/// What an order is given.
struct Allocation {
    reservation: Reservation,
    lines: Vec<LineUnits>,
    elsewhere: Vec<StockLine>,
}

fn allocated(
    Allocation { reservation, lines, elsewhere }: Allocation,
    cause: Option<&str>,
    now: Timestamp,
) -> Result<NewFact, DatabaseError> {
    let shard = reservation.fact_range.map(|range| range.shard);
    let shard = shard.ok_or(DatabaseError::Corrupt("shard of a reservation"))?;
    // Fewer wait after every allocation, so that no two of one time have one name.
    let waiting: u64 = reservation.lines.iter().map(|line| u64::from(line.backordered)).sum();
    let name = format!("allocated/{}/{waiting}", now.micros());
    let thing = Uuid::new_v5(&reservation.reservation_id.uuid(), name.as_bytes());
    let (order_id, reservation_id) = (reservation.order_id, reservation.reservation_id);
    let body = InventoryFact::Allocated { order_id, reservation_id, lines, elsewhere };
    Ok(NewFact {
        id: FactId::once(Origin::Inventory, thing, body.kind()),
        shard,
        sequence: None,
        causationid: cause.map(str::to_owned),
        traceparent: None,
        tracestate: None,
        body: FactBody::Inventory(body),
    })
}

/// [`allocate`] for these products, with movements and facts; returns their stock afterwards, and
/// whether anything was published. Called after [`exclude_followers`](super::exclude_followers).
///
/// # Errors
/// [`DatabaseError`]
pub async fn allocate_products(
    database: &Database,
    outbox: &Outbox,
    tx: &mut Tx,
    skus: &BTreeSet<Sku>,
    cause: Option<&str>,
    now: Timestamp,
) -> Result<(StockLevels, bool), DatabaseError> {
    let mut stock = lock(database, tx, skus, false).await?;
    let facts = allocate(database, tx, &mut stock, cause, now).await?;
    let published = outbox.write(tx, facts, now).await?;
    let moved = movements::by_product(&published);
    apply(database, tx, Cause::Orders, &stock, &moved, now).await?;
    Ok((stock, !published.is_empty()))
}

/// Products of which units are free while orders wait for them, by sku: what a step that was bounded,
/// or a history that was set back, has left. At most a hundred.
///
/// # Errors
/// [`DatabaseError`]
pub async fn allocatable(database: &Database) -> Result<BTreeSet<Sku>, DatabaseError> {
    // Reads the partial index of products with backordered units.
    let rows = sqlx::query(
        "SELECT sku FROM stock
         WHERE backordered IS NOT NULL AND on_hand - reserved + backordered > 0
         ORDER BY sku LIMIT $1",
    )
    .bind(PRODUCTS_MAX)
    .fetch_all(database.reader())
    .await?;
    let sku = |row: &sqlx::any::AnyRow| {
        let sku: String = row.try_get(0)?;
        sku.parse().map_err(|_| DatabaseError::Corrupt("sku of a stock row"))
    };
    rows.iter().map(sku).collect()
}
