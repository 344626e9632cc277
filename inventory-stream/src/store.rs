//! The only SQL about stock. Rows are locked by sku in sorted order, so that two writers never
//! wait for each other in a circle.
//! Never here: what a fact means.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shared_events::chance::Chance;
use shared_events::contract::{OrderId, Sku, Timestamp};
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::domain::{Level, Reservation, ShelfChange};
use crate::movements::{Cause, MovedBy};

/// The most units a product may have or a movement may move: far inside 64 bits in any sum.
pub const UNITS_MAX: i64 = 1_000_000_000_000;

/// The stock of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// Which.
    pub sku: Sku,
    /// Its level.
    pub level: Level,
}

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
async fn adjust(
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

/// The stock of these products, locked until the transaction ends.
///
/// # Errors
/// [`DatabaseError`]
pub async fn lock(
    database: &Database,
    tx: &mut Tx,
    skus: &BTreeSet<Sku>,
) -> Result<BTreeMap<Sku, Level>, DatabaseError> {
    let sql = database.sql(
        "SELECT sku, on_hand, reserved FROM stock
         WHERE sku = ANY (ARRAY(SELECT json_array_elements_text($1::json)))
         ORDER BY sku FOR UPDATE",
        "SELECT sku, on_hand, reserved FROM stock WHERE sku IN (SELECT value FROM json_each($1))",
    );
    let rows = sqlx::query(sql).bind(json(skus)?).fetch_all(&mut **tx).await?;
    rows.iter().map(stock).map(|stock| stock.map(|stock| (stock.sku, stock.level))).collect()
}

/// What a batch did to a product, as the database reads it.
#[derive(Serialize)]
struct ChangedRow<'a> {
    sku: &'a Sku,
    reserved: i64,
    committed: i64,
    restocked: i64,
    facts: Option<&'a Vec<MovedBy>>,
}

/// Applies what a batch changed, each product with its movement. By difference, so that a product
/// that appeared meanwhile loses nothing.
///
/// # Errors
/// [`DatabaseError`], also where the schema refuses a level below zero.
pub async fn change<'a>(
    database: &Database,
    tx: &mut Tx,
    cause: Cause,
    changes: impl Iterator<Item = (&'a Sku, &'a ShelfChange)>,
    moved: &BTreeMap<Sku, Vec<MovedBy>>,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let rows: Vec<_> = changes
        .map(|(sku, change)| (sku, change, moved.get(sku)))
        .filter(|(_, change, moved)| !change.is_nothing() || moved.is_some())
        .map(|(sku, change, facts)| ChangedRow {
            sku,
            reserved: change.reserved,
            committed: change.committed,
            restocked: change.restocked,
            facts,
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let json = json(&rows)?;
    let written = match database.dialect() {
        Dialect::Postgres => {
            // One round trip: the movements are what the update returns.
            let sql = "
                WITH moved AS (
                    UPDATE stock SET reserved = stock.reserved + row.reserved,
                           on_hand = stock.on_hand - row.committed + row.restocked,
                           committed = stock.committed + row.committed,
                           restocked = stock.restocked + row.restocked,
                           moves = stock.moves + 1
                    FROM json_to_recordset($1::json) AS row(sku TEXT, reserved BIGINT,
                        committed BIGINT, restocked BIGINT, facts TEXT)
                    WHERE stock.sku = row.sku
                    RETURNING stock.sku, moves, row.restocked - row.committed AS delta,
                        row.reserved AS held, stock.on_hand, stock.reserved, facts
                )
                INSERT INTO movements (sku, number, delta, held, on_hand, reserved, cause, facts, at)
                SELECT sku, moves, delta, held, on_hand, reserved, $2, facts, $3 FROM moved";
            let written = sqlx::query(sql).bind(&json).bind(cause.code()).bind(now.micros());
            written.execute(&mut **tx).await?
        }
        Dialect::Sqlite => {
            let update = "
                UPDATE stock SET reserved = stock.reserved + row.reserved,
                       on_hand = stock.on_hand - row.committed + row.restocked,
                       committed = stock.committed + row.committed,
                       restocked = stock.restocked + row.restocked,
                       moves = stock.moves + 1
                FROM (SELECT value ->> 'sku' AS sku, value ->> 'reserved' AS reserved,
                             value ->> 'committed' AS committed, value ->> 'restocked' AS restocked
                      FROM json_each($1)) AS row
                WHERE stock.sku = row.sku";
            sqlx::query(update).bind(&json).execute(&mut **tx).await?;
            let insert = "
                INSERT INTO movements (sku, number, delta, held, on_hand, reserved, cause, facts, at)
                SELECT stock.sku, moves, (value ->> 'restocked') - (value ->> 'committed'),
                       value ->> 'reserved', on_hand, stock.reserved, $2, value ->> 'facts', $3
                FROM json_each($1) JOIN stock ON stock.sku = value ->> 'sku'";
            let written = sqlx::query(insert).bind(&json).bind(cause.code()).bind(now.micros());
            written.execute(&mut **tx).await?
        }
    };
    // Units are held only where stock was set, so every row is there.
    if written.rows_affected() == u64::try_from(rows.len()).unwrap_or(u64::MAX) {
        Ok(())
    } else {
        Err(DatabaseError::Corrupt("stock row that is missing"))
    }
}

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

/// Forgets the reservations of these orders, as if nothing had been heard of them.
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

/// Units that are in the house although no history accounts for them: a movement.
///
/// # Errors
/// [`DatabaseError`]
pub async fn found(
    tx: &mut Tx,
    sku: &Sku,
    units: i64,
    reason: &str,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let asked = Asked { by: "engine:stock", reason, request_id: None };
    let found = adjust(tx, sku, units, Cause::Adjusted, &units.to_string(), asked, now).await;
    found.map_err(|error| match error {
        SetError::Database(error) => error,
        _ => DatabaseError::Corrupt("movement"),
    })
}

/// The stock of a product, if anything was ever said of it.
///
/// # Errors
/// [`DatabaseError`]
pub async fn get(database: &Database, sku: &Sku) -> Result<Option<Stock>, DatabaseError> {
    let row = sqlx::query("SELECT sku, on_hand, reserved FROM stock WHERE sku = $1")
        .bind(sku.as_str())
        .fetch_optional(database.reader())
        .await?;
    row.as_ref().map(stock).transpose()
}

/// Which values of a cache count; see the table `stock_cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// Of this database.
    pub(crate) id: String,
    /// Begun anew whenever it is not sure that the cache tells the truth.
    pub(crate) number: String,
    /// Another one is another server, or another table under the same name.
    pub(crate) place: String,
}

/// The name of a generation. The machine's, whatever seed there is: two processes that drew the same
/// one would believe each other's values.
fn never_before() -> String {
    Chance::system().uuid().to_string()
}

/// Begins a generation of the cache.
pub(crate) async fn begin_generation(database: &Database) -> Result<(), DatabaseError> {
    let mut tx = database.begin().await?;
    sqlx::query(
        "INSERT INTO stock_cache (one, id, generation) VALUES (1, $1, $2)
         ON CONFLICT (one) DO UPDATE SET generation = excluded.generation",
    )
    .bind(never_before())
    .bind(never_before())
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Has whoever begins a generation wait until this transaction is over: a change that nobody hears of
/// is seen by the first who fill the next one. Before rows of products are locked.
pub(crate) async fn hold_generation(database: &Database, tx: &mut Tx) -> Result<(), DatabaseError> {
    // On SQLite there is one writer anyhow.
    if database.dialect() == Dialect::Postgres {
        sqlx::query("SELECT one FROM stock_cache FOR SHARE").fetch_optional(&mut **tx).await?;
    }
    Ok(())
}

/// Has nothing count that stands in a cache, where one was ever used. Before rows of products are
/// locked.
pub(crate) async fn void_generation(tx: &mut Tx) -> Result<(), DatabaseError> {
    sqlx::query("UPDATE stock_cache SET generation = $1")
        .bind(never_before())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The generation that counts; none where no cache was ever used with this database.
pub(crate) async fn generation(database: &Database) -> Result<Option<Generation>, DatabaseError> {
    // A server that was put back or took over has started since; a table that was filled again from
    // a dump is another file.
    let sql = database.sql(
        "SELECT id, generation, CAST(pg_postmaster_start_time() AS TEXT) || ' '
             || CAST(pg_relation_filenode('stock') AS TEXT) FROM stock_cache",
        "SELECT id, generation, '' FROM stock_cache",
    );
    let row = sqlx::query(sql).fetch_optional(database.reader()).await?;
    let generation = |row: AnyRow| -> Result<Generation, DatabaseError> {
        Ok(Generation { id: row.try_get(0)?, number: row.try_get(1)?, place: row.try_get(2)? })
    };
    row.map(generation).transpose()
}

/// The stock of products whose sku starts so, after one of them, by sku.
///
/// # Errors
/// [`DatabaseError`]
pub async fn list(
    database: &Database,
    prefix: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<Stock>, DatabaseError> {
    let rows = sqlx::query(
        "SELECT sku, on_hand, reserved FROM stock
         WHERE sku > $1 AND substr(sku, 1, length($2)) = $2 ORDER BY sku LIMIT $3",
    )
    .bind(after)
    .bind(prefix)
    .bind(i64::from(limit))
    .fetch_all(database.reader())
    .await?;
    rows.iter().map(stock).collect()
}

/// What is held for an order, if stock ever heard of it.
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

fn json(value: &impl Serialize) -> Result<String, DatabaseError> {
    serde_json::to_string(value).map_err(|_| DatabaseError::Corrupt("row"))
}

fn stock(row: &AnyRow) -> Result<Stock, DatabaseError> {
    let sku: String = row.try_get(0)?;
    let sku = sku.parse().map_err(|_| DatabaseError::Corrupt("sku of a stock row"))?;
    let level = Level { on_hand: row.try_get(1)?, reserved: row.try_get(2)? };
    Ok(Stock { sku, level })
}

fn reservation(row: &AnyRow, column: usize) -> Result<Reservation, DatabaseError> {
    let body: String = row.try_get(column)?;
    serde_json::from_str(&body).map_err(|_| DatabaseError::Corrupt("body of a reservation"))
}
