use std::collections::BTreeSet;

use shared_events::contract::{FactBody, FactId, LocationName, Origin, Sku, Timestamp};
use shared_events::stream::{Database, DatabaseError, Dialect, NewFact, Outbox, Tx};
use sqlx::Row as _;
use uuid::Uuid;

use super::{
    LOSERS_MAX, MoveError, MovedStock, RequestDetails, StockRequest, apply, holders, lock,
    move_stock_at, write_reservations,
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

/// Sets a product's stock at a location. Where more units are held than would be on hand, orders
/// lose theirs by the rule of [`losers`]: they are released and rejected in this transaction, with
/// their facts. Called after [`exclude_followers`].
///
/// # Errors
/// [`MoveError`]
pub async fn move_stock_allowing_shortage(
    database: &Database,
    outbox: &Outbox,
    tx: &mut Tx,
    at: (&Sku, &LocationName),
    request: &StockRequest,
    details: RequestDetails<'_>,
    now: Timestamp,
) -> Result<(MovedStock, Vec<Loser>), MoveError> {
    let (sku, _) = at;
    let plan = plan(database, tx, at, request).await?;
    let mut skus = BTreeSet::from([sku.clone()]);
    for loser in plan.iter().flatten() {
        skus.extend(loser.lines.iter().map(|line| line.sku.clone()));
    }
    // All rows at once, in sorted order.
    let mut levels = lock(database, tx, &skus, false).await?;
    match move_stock_at(database, tx, at, request, details, now).await {
        Err(MoveError::InsufficientStock { .. }) => {
            let losers = withdraw(database, outbox, tx, sku, plan?, &mut levels, details, now);
            let losers = losers.await?;
            let moved = move_stock_at(database, tx, at, request, details, now).await?;
            Ok((moved, losers))
        }
        moved => Ok((moved?, Vec::new())),
    }
}

/// The reservations that would lose their units, or why they cannot; none where no unit is short.
async fn plan(
    database: &Database,
    tx: &mut Tx,
    (sku, location): (&Sku, &LocationName),
    request: &StockRequest,
) -> Result<Result<Vec<Reservation>, MoveError>, DatabaseError> {
    let StockRequest::Set { on_hand, .. } = request else { return Ok(Ok(Vec::new())) };
    let held = held(tx, sku, location).await?;
    let short = held.saturating_sub(*on_hand);
    if short <= 0 {
        return Ok(Ok(Vec::new()));
    }
    let holders = holders(database, tx, sku, None, usize::MAX).await?;
    let sku = sku.clone();
    Ok(match losers(holders, &sku, location, short) {
        Ok(losers) if losers.len() > LOSERS_MAX => Err(MoveError::TooManyLosers { sku }),
        Ok(losers) => Ok(losers),
        Err(held) => Err(MoveError::NotWithdrawable { sku, short, held }),
    })
}

/// Units of a product that orders hold on hand at a location.
async fn held(tx: &mut Tx, sku: &Sku, location: &LocationName) -> Result<i64, DatabaseError> {
    let sql = if location.is_main() {
        "SELECT reserved - COALESCE(backordered, 0) - CAST(COALESCE(
             (SELECT SUM(held) FROM stock_at WHERE stock_at.sku = stock.sku AND location <> $2), 0
         ) AS BIGINT) FROM stock WHERE sku = $1"
    } else {
        "SELECT held FROM stock_at WHERE sku = $1 AND location = $2"
    };
    let row = sqlx::query(sql).bind(sku.as_str()).bind(location.as_str());
    let row = row.fetch_optional(&mut **tx).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
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
            traceparent: details.traceparent.map(str::to_owned),
            tracestate: details.tracestate.map(str::to_owned),
            body: FactBody::Inventory(body),
        });
        facts.extend(published);
        losers.push(Loser { reservation, units });
    }
    write_reservations(database, tx, losers.iter().map(|loser| &loser.reservation)).await?;
    let published = outbox.write(tx, facts, now).await?;
    let moved = movements::by_product(&published);
    apply(database, tx, Cause::Orders, levels, &moved, now).await?;
    Ok(losers)
}
