use std::collections::BTreeSet;

use shared_events::contract::{FactBody, FactId, Origin, Sku, Timestamp};
use shared_events::stream::{Database, DatabaseError, Dialect, NewFact, Outbox, Tx};
use sqlx::Row as _;
use uuid::Uuid;

use super::{
    LOSERS_MAX, MoveError, MovedStock, RequestDetails, StockRequest, change, holders, lock,
    move_stock, write_reservations,
};
use crate::domain::{Reservation, StockLevels, losers};
use crate::movements::{self, Cause};

/// An order that lost its units to a stock-take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loser {
    /// Its reservation, withdrawn.
    pub reservation: Reservation,
    /// Units of the counted product that it held.
    pub units: i64,
}

/// Keeps the followers of this database, and other stock-takes, out until the transaction ends, so
/// that what they read of reservations is not overwritten. Called before any row is locked.
///
/// # Errors
/// [`DatabaseError`]
pub async fn exclude_followers(database: &Database, tx: &mut Tx) -> Result<(), DatabaseError> {
    // A follower moves its cursor before it reads anything. SQLite has one writer anyway.
    if database.dialect() == Dialect::Postgres {
        let sql = "LOCK TABLE cursors IN SHARE ROW EXCLUSIVE MODE";
        sqlx::query(sql).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Sets a product's stock. Where more units are held than would be on hand, orders lose theirs by
/// the rule of [`losers`]: they are released and rejected in this transaction, with their facts.
/// Called after [`exclude_followers`].
///
/// # Errors
/// [`MoveError`]
pub async fn move_stock_allowing_shortage(
    database: &Database,
    outbox: &Outbox,
    tx: &mut Tx,
    sku: &Sku,
    request: &StockRequest,
    details: RequestDetails<'_>,
    now: Timestamp,
) -> Result<(MovedStock, Vec<Loser>), MoveError> {
    let plan = plan(database, tx, sku, request).await?;
    let mut skus = BTreeSet::from([sku.clone()]);
    for loser in plan.iter().flatten() {
        skus.extend(loser.lines.iter().map(|line| line.sku.clone()));
    }
    // All rows at once, in sorted order.
    let levels = lock(database, tx, &skus).await?;
    match move_stock(database, tx, sku, request, details, now).await {
        Err(MoveError::InsufficientStock { .. }) => {
            let mut levels = StockLevels::new(levels);
            let losers = withdraw(database, outbox, tx, sku, plan?, &mut levels, details, now);
            let losers = losers.await?;
            let moved = move_stock(database, tx, sku, request, details, now).await?;
            Ok((moved, losers))
        }
        moved => Ok((moved?, Vec::new())),
    }
}

/// The reservations that would lose their units, or why they cannot; none where no unit is short.
async fn plan(
    database: &Database,
    tx: &mut Tx,
    sku: &Sku,
    request: &StockRequest,
) -> Result<Result<Vec<Reservation>, MoveError>, DatabaseError> {
    let StockRequest::Set { on_hand, .. } = request else { return Ok(Ok(Vec::new())) };
    let sql = "SELECT reserved - COALESCE(backordered, 0) FROM stock WHERE sku = $1";
    let row = sqlx::query(sql).bind(sku.as_str()).fetch_optional(&mut **tx).await?;
    let held: i64 = row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
    let short = held.saturating_sub(*on_hand);
    if short <= 0 {
        return Ok(Ok(Vec::new()));
    }
    let holders = holders(database, tx, sku, None, usize::MAX).await?;
    let sku = sku.clone();
    Ok(match losers(holders, &sku, short) {
        Ok(losers) if losers.len() > LOSERS_MAX => Err(MoveError::TooManyLosers { sku }),
        Ok(losers) => Ok(losers),
        Err(held) => Err(MoveError::NotWithdrawable { sku, short, held }),
    })
}

/// Withdraws these reservations and publishes that.
#[expect(clippy::too_many_arguments, reason = "one step of one transaction")]
async fn withdraw(
    database: &Database,
    outbox: &Outbox,
    tx: &mut Tx,
    sku: &Sku,
    reservations: Vec<Reservation>,
    levels: &mut StockLevels,
    details: RequestDetails<'_>,
    now: Timestamp,
) -> Result<Vec<Loser>, DatabaseError> {
    let mut facts = Vec::new();
    let mut losers = Vec::with_capacity(reservations.len());
    for mut reservation in reservations {
        let units = reservation.held_of(sku);
        let shard = reservation.fact_range.map(|range| range.shard);
        let shard = shard.ok_or(DatabaseError::Corrupt("shard of a reservation"))?;
        let name = format!("{sku}/{}", now.micros());
        let thing = Uuid::new_v5(&reservation.reservation_id.uuid(), name.as_bytes());
        let published = reservation.withdraw(sku, levels).into_iter().map(|body| NewFact {
            id: FactId::once(Origin::Inventory, thing, body.kind()),
            shard,
            sequence: None,
            causationid: details.request_id.map(str::to_owned),
            traceparent: None,
            body: FactBody::Inventory(body),
        });
        facts.extend(published);
        losers.push(Loser { reservation, units });
    }
    write_reservations(database, tx, losers.iter().map(|loser| &loser.reservation)).await?;
    let published = outbox.write(tx, facts, now).await?;
    let moved = movements::by_product(&published);
    change(database, tx, Cause::Orders, levels.changes(), &moved, now).await?;
    Ok(losers)
}
