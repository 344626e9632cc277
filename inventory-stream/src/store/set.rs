use std::collections::BTreeSet;

use shared_events::contract::{LocationName, Sku, Timestamp};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;

use super::locations::{LOCATIONS_MAX, expect_location};
use super::places::{add_place, adjust_place};
use super::reservations::holders;
use super::{Stock, UNITS_MAX, lock};
use crate::domain::{PlaceLevel, StockLevels};
use crate::movements::Cause;

/// Orders that one stock-take may take units from.
pub const LOSERS_MAX: usize = 1_000;

/// Why stock was neither set nor adjusted.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// More units are held on hand for orders than would be there.
    #[error("{}", shortage(sku, *reserved, *on_hand, *orders))]
    InsufficientStock {
        /// The product.
        sku: Sku,
        /// Units held.
        reserved: i64,
        /// Units that would be on hand.
        on_hand: i64,
        /// The orders that hold them, where they were counted; at most one more than [`LOSERS_MAX`].
        orders: Option<usize>,
    },
    /// A stock-take would have to withdraw units of orders that it must not take from.
    #[error(
        "{short} units of {sku} would be short, and orders of which nothing was shipped hold {held}"
    )]
    NotWithdrawable {
        /// The product.
        sku: Sku,
        /// Units that would be short.
        short: i64,
        /// Units that could be withdrawn.
        held: i64,
    },
    /// A stock-take would withdraw the units of more orders than [`LOSERS_MAX`].
    #[error(
        "more than {LOSERS_MAX} orders would lose their units of {sku}: set it in several steps"
    )]
    TooManyLosers {
        /// The product.
        sku: Sku,
    },
    /// More than [`UNITS_MAX`].
    #[error("a product has at most {UNITS_MAX} units")]
    TooMany,
    /// Another number of units is on hand than was expected.
    #[error("{on_hand} units of {sku} are on hand, and {expected} were expected")]
    OnHandMismatch {
        /// The product.
        sku: Sku,
        /// Units that were expected.
        expected: i64,
        /// Units on hand.
        on_hand: i64,
    },
    /// The request id was used for another request.
    #[error("this request id was used before, for another request than this one about {sku}")]
    RequestIdReused {
        /// The product of the second request.
        sku: Sku,
    },
    /// The location does not exist.
    #[error("there is no location {location}")]
    NoSuchLocation {
        /// Its name.
        location: LocationName,
    },
    /// As many locations exist as may.
    #[error("at most {LOCATIONS_MAX} locations exist")]
    TooManyLocations,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn shortage(sku: &Sku, reserved: i64, on_hand: i64, orders: Option<usize>) -> String {
    let holders = match orders {
        None => "orders".to_owned(),
        Some(1) => "1 order".to_owned(),
        Some(orders) if orders > LOSERS_MAX => format!("more than {LOSERS_MAX} orders"),
        Some(orders) => format!("{orders} orders"),
    };
    if on_hand < 0 {
        format!("{sku} has {} units too few to remove so many", on_hand.unsigned_abs())
    } else {
        format!("{reserved} units of {sku} are held for {holders}, and {on_hand} would be on hand")
    }
}

impl From<sqlx::Error> for MoveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A request of a person about a product's stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StockRequest {
    /// Set the units on hand.
    Set {
        /// Units.
        on_hand: i64,
        /// Change nothing where the product's stock was ever set.
        only_if_absent: bool,
        /// Refuse where another number of units is on hand.
        expected: Option<i64>,
        /// Withdraw the units of orders where more are held than would be on hand.
        allow_shortage: bool,
    },
    /// Add units, or remove them.
    Adjust {
        /// Units to add, to remove where negative.
        delta: i64,
        /// Refuse where another number of units is on hand.
        expected: Option<i64>,
    },
}

impl StockRequest {
    /// The text kept with the movement, by which a retry is told from another request under the
    /// same id.
    fn fingerprint(&self, location: &LocationName) -> String {
        let change = match self {
            Self::Set { on_hand, only_if_absent: true, .. } => format!("={on_hand} if absent"),
            Self::Set { on_hand, .. } => format!("={on_hand}"),
            Self::Adjust { delta, .. } => delta.to_string(),
        };
        let expected = self.expected().map(|units| format!(" if {units}")).unwrap_or_default();
        let short = if self.allows_shortage() { " allowing shortage" } else { "" };
        let place = if location.is_main() { String::new() } else { format!(" at {location}") };
        format!("{change}{expected}{short}{place}")
    }

    /// The units that must be on hand before.
    const fn expected(&self) -> Option<i64> {
        match self {
            Self::Set { expected, .. } | Self::Adjust { expected, .. } => *expected,
        }
    }

    /// Whether orders may lose their units to it.
    #[must_use]
    pub const fn allows_shortage(&self) -> bool {
        matches!(self, Self::Set { allow_shortage: true, .. })
    }

    const fn cause(&self) -> Cause {
        match self {
            Self::Set { .. } => Cause::Set,
            Self::Adjust { .. } => Cause::Adjusted,
        }
    }
}

/// The caller of a request, their reason, and its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDetails<'a> {
    /// Role and name, such as `ops:anna`.
    pub by: &'a str,
    /// The caller's reason.
    pub reason: &'a str,
    /// The id that makes a retry recognisable.
    pub request_id: Option<&'a str>,
    /// The trace of the call (W3C `traceparent`), for what it causes.
    pub traceparent: Option<&'a str>,
    /// What other systems added to that trace (W3C `tracestate`).
    pub tracestate: Option<&'a str>,
}

/// A product's stock after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedStock {
    /// The stock now.
    pub stock: Stock,
    /// Units on hand at the location before.
    pub before: i64,
    /// Units on hand at the location now.
    pub after: i64,
    /// Whether it changed anything.
    pub outcome: MoveOutcome,
}

/// Whether the units on hand were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveOutcome {
    /// They were.
    Written,
    /// No: the request had been executed before.
    Replayed,
    /// No: the product was to be set only if absent, and was there.
    Unchanged,
}

/// Sets or adjusts a product's stock at `main`.
///
/// # Errors
/// [`MoveError`]
pub async fn move_stock(
    database: &Database,
    tx: &mut Tx,
    sku: &Sku,
    request: &StockRequest,
    details: RequestDetails<'_>,
    now: Timestamp,
) -> Result<MovedStock, MoveError> {
    move_stock_at(database, tx, (sku, &LocationName::main()), request, details, now).await
}

/// Sets or adjusts a product's stock at a location.
///
/// # Errors
/// [`MoveError`]
pub async fn move_stock_at(
    database: &Database,
    tx: &mut Tx,
    (sku, location): (&Sku, &LocationName),
    request: &StockRequest,
    details: RequestDetails<'_>,
    now: Timestamp,
) -> Result<MovedStock, MoveError> {
    expect_location(tx, location).await?;
    let mut added = add_row(tx, sku).await?;
    let levels = lock(database, tx, &BTreeSet::from([sku.clone()]), false).await?;
    if !location.is_main() {
        added = add_place(tx, sku, location).await?;
    }
    let (place, fingerprint) = (levels.place(sku, location), request.fingerprint(location));
    let moved = |on_hand: i64, outcome: MoveOutcome| MovedStock {
        stock: with_on_hand(&levels, sku, location, on_hand),
        before: place.on_hand,
        after: on_hand,
        outcome,
    };
    if let Some(request_id) = details.request_id
        && was_executed(tx, request_id, sku, &fingerprint, details.reason).await?
    {
        return Ok(moved(place.on_hand, MoveOutcome::Replayed));
    }
    if !added && matches!(request, StockRequest::Set { only_if_absent: true, .. }) {
        if details.request_id.is_some() {
            // The id is remembered: for another request it is refused from now on.
            adjust(tx, (sku, location), 0, request.cause(), &fingerprint, details, now).await?;
        }
        return Ok(moved(place.on_hand, MoveOutcome::Unchanged));
    }
    if let Some(expected) = request.expected().filter(|expected| *expected != place.on_hand) {
        let (sku, on_hand) = (sku.clone(), place.on_hand);
        return Err(MoveError::OnHandMismatch { sku, expected, on_hand });
    }
    let delta = match request {
        StockRequest::Set { on_hand, .. } => on_hand - place.on_hand,
        StockRequest::Adjust { delta, .. } => *delta,
    };
    let on_hand = place.on_hand.checked_add(delta).ok_or(MoveError::TooMany)?;
    if on_hand < place.held {
        let holders = holders(database, tx, sku, None, LOSERS_MAX + 1).await?;
        let orders = holders.iter().filter(|holder| holder.held_at(sku, location) > 0).count();
        let (sku, reserved, orders) = (sku.clone(), place.held, Some(orders));
        return Err(MoveError::InsufficientStock { sku, reserved, on_hand, orders });
    }
    if levels.level(sku).on_hand.saturating_add(delta) > UNITS_MAX {
        return Err(MoveError::TooMany);
    }
    let at = (sku, location);
    adjust(tx, at, delta, request.cause(), &fingerprint, details, now).await?;
    Ok(moved(on_hand, MoveOutcome::Written))
}

/// The stock of a product once so many units of it are at a location.
fn with_on_hand(levels: &StockLevels, sku: &Sku, location: &LocationName, on_hand: i64) -> Stock {
    let place = levels.place(sku, location);
    let (mut level, mut elsewhere) = (levels.level(sku), levels.elsewhere(sku));
    level.on_hand += on_hand - place.on_hand;
    if !location.is_main() {
        elsewhere.insert(location.clone(), PlaceLevel { on_hand, ..place });
    }
    Stock { sku: sku.clone(), level, elsewhere }
}

/// Ensures a row to lock; returns whether there was none.
pub(super) async fn add_row(tx: &mut Tx, sku: &Sku) -> Result<bool, MoveError> {
    let added = sqlx::query(
        "INSERT INTO stock (sku, on_hand, reserved, adjusted, committed, restocked)
         VALUES ($1, 0, 0, 0, 0, 0) ON CONFLICT (sku) DO NOTHING",
    );
    let added = added.bind(sku.as_str()).execute(&mut **tx).await?;
    Ok(added.rows_affected() > 0)
}

/// Whether a request was executed before.
pub(super) async fn was_executed(
    tx: &mut Tx,
    request_id: &str,
    sku: &Sku,
    fingerprint: &str,
    reason: &str,
) -> Result<bool, MoveError> {
    let known = sqlx::query(
        "SELECT sku, COALESCE(asked, ''), COALESCE(reason, '') FROM movements WHERE request_id = $1",
    )
    .bind(request_id)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = known else { return Ok(false) };
    let same = row.try_get::<String, _>(0)? == sku.as_str()
        && row.try_get::<String, _>(1)? == fingerprint
        // Reasons of earlier versions were kept untrimmed.
        && row.try_get::<String, _>(2)?.trim() == reason.trim();
    same.then_some(true).ok_or_else(|| MoveError::RequestIdReused { sku: sku.clone() })
}

/// Changes the units on hand of a product at a location whose rows exist, and writes the movement.
pub(super) async fn adjust(
    tx: &mut Tx,
    (sku, location): (&Sku, &LocationName),
    delta: i64,
    cause: Cause,
    fingerprint: &str,
    details: RequestDetails<'_>,
    now: Timestamp,
) -> Result<(), MoveError> {
    let row = sqlx::query(
        "UPDATE stock SET on_hand = on_hand + $1, adjusted = adjusted + $1, moves = moves + 1
         WHERE sku = $2 RETURNING moves, on_hand, reserved",
    )
    .bind(delta)
    .bind(sku.as_str())
    .fetch_one(&mut **tx)
    .await?;
    if !location.is_main() {
        adjust_place(tx, sku, location, delta).await?;
    }
    let written = sqlx::query(
        "INSERT INTO movements (sku, number, delta, held, on_hand, reserved, cause, request_id,
                                asked, reason, asked_by, at, location)
         VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(sku.as_str())
    .bind(row.try_get::<i64, _>(0)?)
    .bind(delta)
    .bind(row.try_get::<i64, _>(1)?)
    .bind(row.try_get::<i64, _>(2)?)
    .bind(cause.code())
    .bind(details.request_id)
    .bind(fingerprint)
    .bind(details.reason)
    .bind(details.by)
    .bind(now.micros())
    .bind(Some(location.as_str()).filter(|_| !location.is_main()))
    .execute(&mut **tx)
    .await;
    match written {
        Ok(_) => Ok(()),
        // The request id was used for another product at the same time.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(MoveError::RequestIdReused { sku: sku.clone() })
        }
        Err(error) => Err(error.into()),
    }
}
