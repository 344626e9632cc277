use std::collections::BTreeSet;

use shared_events::contract::{Sku, Timestamp};
use shared_events::stream::{Database, DatabaseError, Tx};
use sqlx::Row as _;

use super::{Stock, UNITS_MAX, lock};
use crate::domain::Level;
use crate::movements::Cause;

/// Why stock was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// More units are held for orders than would be on hand.
    #[error("{}", short(sku, *reserved, *on_hand))]
    InsufficientStock {
        /// Which product.
        sku: Sku,
        /// Units held.
        reserved: i64,
        /// Units that would be on hand.
        on_hand: i64,
    },
    /// More than [`UNITS_MAX`].
    #[error("a product has at most {UNITS_MAX} units")]
    TooMany,
    /// Another number of units is on hand than was expected.
    #[error("{on_hand} units of {sku} are on hand, and {expected} were expected")]
    OnHandMismatch {
        /// Which product.
        sku: Sku,
        /// Units that were expected.
        expected: i64,
        /// Units on hand.
        on_hand: i64,
    },
    /// The request id was used for another movement.
    #[error("this request id was used for another movement than this one of {sku}")]
    RequestIdReused {
        /// Which product it is now used for.
        sku: Sku,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn short(sku: &Sku, reserved: i64, on_hand: i64) -> String {
    if on_hand < 0 {
        format!("there are {} units of {sku} too few to take so many away", on_hand.unsigned_abs())
    } else {
        format!("{reserved} units of {sku} are held for orders, and {on_hand} would be on hand")
    }
}

impl From<sqlx::Error> for SetError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A movement that a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Movement {
    /// So many units are on hand.
    Set {
        /// Units.
        on_hand: i64,
        /// Leave a product alone of which something was ever said.
        only_if_absent: bool,
        /// Only where so many are on hand before.
        expected: Option<i64>,
    },
    /// So many more, or fewer.
    Adjust {
        /// Units.
        delta: i64,
    },
}

impl Movement {
    /// What is kept with it, so that the same request is known again and another one is not taken
    /// for it.
    fn asked(&self) -> String {
        match self {
            Self::Set { on_hand, only_if_absent: true, .. } => format!("={on_hand} if absent"),
            Self::Set { on_hand, expected: Some(there), .. } => format!("={on_hand} if {there}"),
            Self::Set { on_hand, .. } => format!("={on_hand}"),
            Self::Adjust { delta } => delta.to_string(),
        }
    }

    const fn cause(&self) -> Cause {
        match self {
            Self::Set { .. } => Cause::Set,
            Self::Adjust { .. } => Cause::Adjusted,
        }
    }
}

/// Who asks for a movement, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Role and name, such as `ops:anna`.
    pub by: &'a str,
    /// Why, in their words.
    pub reason: &'a str,
    /// By what a retry is known.
    pub request_id: Option<&'a str>,
}

/// What became of a movement that a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The stock now.
    pub stock: Stock,
    /// Units on hand before.
    pub before: i64,
    /// Whether this request had been carried out before, or there was nothing to be done.
    pub outcome: Outcome,
}

/// Whether a movement was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was.
    Written,
    /// This request had been carried out before.
    Replayed,
    /// Something had been said of a product that was to be set only if absent.
    LeftAlone,
}

/// Moves a product's stock.
///
/// # Errors
/// [`SetError`]
pub async fn move_stock(
    database: &Database,
    tx: &mut Tx,
    sku: &Sku,
    movement: &Movement,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Moved, SetError> {
    // Makes sure that there is a row to lock.
    let added = sqlx::query(
        "INSERT INTO stock (sku, on_hand, reserved, adjusted, committed, restocked)
         VALUES ($1, 0, 0, 0, 0, 0) ON CONFLICT (sku) DO NOTHING",
    )
    .bind(sku.as_str())
    .execute(&mut **tx)
    .await?
    .rows_affected()
        > 0;
    let level = lock(database, tx, &BTreeSet::from([sku.clone()])).await?;
    let level = level.get(sku).copied().unwrap_or_default();
    let moved = |level: Level, before: i64, outcome: Outcome| Moved {
        stock: Stock { sku: sku.clone(), level },
        before,
        outcome,
    };
    if let Some(request_id) = asked.request_id
        && carried_out(tx, request_id, sku, movement, asked.reason).await?
    {
        return Ok(moved(level, level.on_hand, Outcome::Replayed));
    }
    let delta = match movement {
        Movement::Set { only_if_absent: true, .. } if !added => {
            return Ok(moved(level, level.on_hand, Outcome::LeftAlone));
        }
        Movement::Set { expected: Some(expected), .. } if *expected != level.on_hand => {
            let (sku, expected, on_hand) = (sku.clone(), *expected, level.on_hand);
            return Err(SetError::OnHandMismatch { sku, expected, on_hand });
        }
        Movement::Set { on_hand, .. } => on_hand - level.on_hand,
        Movement::Adjust { delta } => *delta,
    };
    let on_hand = level.on_hand.checked_add(delta).ok_or(SetError::TooMany)?;
    if on_hand < level.reserved {
        let (sku, reserved) = (sku.clone(), level.reserved);
        return Err(SetError::InsufficientStock { sku, reserved, on_hand });
    }
    if on_hand > UNITS_MAX {
        return Err(SetError::TooMany);
    }
    adjust(tx, sku, delta, movement.cause(), &movement.asked(), asked, now).await?;
    Ok(moved(Level { on_hand, ..level }, level.on_hand, Outcome::Written))
}

/// Whether a request has been carried out.
async fn carried_out(
    tx: &mut Tx,
    request_id: &str,
    sku: &Sku,
    movement: &Movement,
    reason: &str,
) -> Result<bool, SetError> {
    let known = sqlx::query(
        "SELECT sku, COALESCE(asked, ''), COALESCE(reason, '') FROM movements WHERE request_id = $1",
    )
    .bind(request_id)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = known else { return Ok(false) };
    let same = row.try_get::<String, _>(0)? == sku.as_str()
        && row.try_get::<String, _>(1)? == movement.asked()
        && row.try_get::<String, _>(2)? == reason;
    same.then_some(true).ok_or_else(|| SetError::RequestIdReused { sku: sku.clone() })
}

/// Moves what is on hand of a product whose row is there, with the movement that says why.
pub(super) async fn adjust(
    tx: &mut Tx,
    sku: &Sku,
    delta: i64,
    cause: Cause,
    words: &str,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<(), SetError> {
    let row = sqlx::query(
        "UPDATE stock SET on_hand = on_hand + $1, adjusted = adjusted + $1, moves = moves + 1
         WHERE sku = $2 RETURNING moves, on_hand, reserved",
    )
    .bind(delta)
    .bind(sku.as_str())
    .fetch_one(&mut **tx)
    .await?;
    let written = sqlx::query(
        "INSERT INTO movements (sku, number, delta, held, on_hand, reserved, cause, request_id,
                                asked, reason, asked_by, at)
         VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(sku.as_str())
    .bind(row.try_get::<i64, _>(0)?)
    .bind(delta)
    .bind(row.try_get::<i64, _>(1)?)
    .bind(row.try_get::<i64, _>(2)?)
    .bind(cause.code())
    .bind(asked.request_id)
    .bind(words)
    .bind(asked.reason)
    .bind(asked.by)
    .bind(now.micros())
    .execute(&mut **tx)
    .await;
    match written {
        Ok(_) => Ok(()),
        // Somebody used the request id for another product at the same time.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(SetError::RequestIdReused { sku: sku.clone() })
        }
        Err(error) => Err(error.into()),
    }
}
