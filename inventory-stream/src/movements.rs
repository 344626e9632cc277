//! Every change of a product's stock, by people and by orders. A batch of facts writes one row per
//! product, so that a popular product costs one row per batch; the row names its facts, and this
//! module lists them one by one.
//! Never here: moving stock; see `store`.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use shared_events::contract::{
    Fact, FactBody, InventoryFact, LineUnits, LocationName, Quantity, Sku, StockLine, Timestamp,
};
use shared_events::stream::row::json;
use shared_events::stream::{Database, DatabaseError};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// The cause of a row of movements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody set the units on hand.
    Set,
    /// Somebody added or removed units.
    Adjusted,
    /// Somebody set how many units may be backordered.
    Backorder,
    /// Facts about orders.
    Orders,
    /// The log of orders was set back: movements of facts that it no longer holds were reverted.
    SetBack,
    /// The sum of what orders moved before their movements were kept.
    Earlier,
}

impl Cause {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Adjusted => "ADJUSTED",
            Self::Backorder => "BACKORDER",
            Self::Orders => "ORDERS",
            Self::SetBack => "SET_BACK",
            Self::Earlier => "EARLIER",
        }
    }

    fn parse(code: &str) -> Option<Self> {
        std::iter::successors(Some(Self::Set), |cause| cause.next())
            .find(|cause| cause.code() == code)
    }

    /// The next variant, so that a search over all of them misses none.
    const fn next(self) -> Option<Self> {
        match self {
            Self::Set => Some(Self::Adjusted),
            Self::Adjusted => Some(Self::Backorder),
            Self::Backorder => Some(Self::Orders),
            Self::Orders => Some(Self::SetBack),
            Self::SetBack => Some(Self::Earlier),
            Self::Earlier => None,
        }
    }
}

/// The effect of a fact about an order on units of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MovementKind {
    /// They are held.
    #[serde(rename = "R")]
    Reserved,
    /// They are available again.
    #[serde(rename = "F")]
    Released,
    /// They are shipped.
    #[serde(rename = "C")]
    Committed,
    /// They are returned to stock.
    #[serde(rename = "B")]
    Restocked,
    /// They came for an order that waited for them.
    #[serde(rename = "A")]
    Allocated,
}

/// A fact of the outbox that moved units of a product: its shard, its position, its effect, the
/// number of units, and their location, left out for `main`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedBy(
    u16,
    u64,
    MovementKind,
    i64,
    #[serde(default, skip_serializing_if = "LocationName::is_main")] LocationName,
);

impl MovedBy {
    /// The changes of the units on hand and of the units reserved.
    const fn change(&self) -> (i64, i64) {
        let units = self.3;
        match self.2 {
            MovementKind::Reserved => (0, units),
            MovementKind::Released => (0, -units),
            MovementKind::Committed => (-units, -units),
            MovementKind::Restocked => (units, 0),
            // They were reserved before.
            MovementKind::Allocated => (0, 0),
        }
    }

    /// The shard and position of the fact.
    const fn place(&self) -> (u16, u64) {
        (self.0, self.1)
    }

    const fn allocated(&self) -> i64 {
        if matches!(self.2, MovementKind::Allocated) { self.3 } else { 0 }
    }
}

/// The facts that moved each product, in their order.
pub(crate) fn by_product(facts: &[Fact]) -> BTreeMap<Sku, Vec<MovedBy>> {
    let mut moved: BTreeMap<Sku, Vec<MovedBy>> = BTreeMap::new();
    for fact in facts {
        let FactBody::Inventory(body) = &fact.body else { continue };
        for (kind, line) in moved_by(body) {
            let StockLine { sku, quantity, location } = line;
            let units = i64::from(quantity.get());
            let all = moved.entry(sku).or_default();
            let of_fact = |one: &&mut MovedBy| one.place() == (fact.shard, fact.position);
            // A product may stand on several lines of an order.
            let mut same = all.iter_mut().rev().take_while(of_fact);
            match same.find(|one| one.4 == location) {
                Some(one) => one.3 += units,
                None => all.push(MovedBy(fact.shard, fact.position, kind, units, location)),
            }
        }
    }
    moved
}

/// What a fact does to units of products.
fn moved_by(fact: &InventoryFact) -> Vec<(MovementKind, StockLine)> {
    let (kind, lines) = match fact {
        InventoryFact::Reserved { lines, .. } | InventoryFact::EditReserved { lines, .. } => {
            (MovementKind::Reserved, lines)
        }
        InventoryFact::Released { lines, .. } => (MovementKind::Released, lines),
        InventoryFact::Committed { lines, .. } => (MovementKind::Committed, lines),
        InventoryFact::Restocked { lines, .. } => (MovementKind::Restocked, lines),
        InventoryFact::Allocated { lines, elsewhere, .. } => {
            return allocated_by(lines, elsewhere);
        }
        InventoryFact::Rejected { .. } | InventoryFact::EditRejected { .. } => return Vec::new(),
    };
    lines.iter().map(|line| (kind, line.clone())).collect()
}

/// The units that came, by product and location: of all of them, those elsewhere are told apart.
fn allocated_by(lines: &[LineUnits], elsewhere: &[StockLine]) -> Vec<(MovementKind, StockLine)> {
    let mut main: BTreeMap<&Sku, u32> = BTreeMap::new();
    for units in lines {
        *main.entry(&units.sku).or_default() += units.quantity.get();
    }
    for line in elsewhere {
        let left = main.entry(&line.sku).or_default();
        *left = left.saturating_sub(line.quantity.get());
    }
    let main = main.into_iter().filter_map(|(sku, units)| {
        let quantity = Quantity::new(units).ok()?;
        Some(StockLine { sku: sku.clone(), quantity, location: LocationName::main() })
    });
    let all = main.chain(elsewhere.iter().cloned());
    all.map(|line| (MovementKind::Allocated, line)).collect()
}

/// The position of a movement among those of its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MovementPosition {
    /// The row, from 1.
    pub number: u64,
    /// The index among the facts that the row names, from 0.
    pub index: u32,
}

/// The fact that moved stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementFact {
    /// Its effect.
    pub kind: MovementKind,
    /// Its shard.
    pub shard: u16,
    /// Its position there.
    pub position: u64,
    /// Its id.
    pub id: String,
    /// The order it is about.
    pub order_id: String,
}

/// A movement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockMovement {
    /// Its position.
    pub position: MovementPosition,
    /// Units on hand added, removed where negative.
    pub on_hand_change: i64,
    /// Units reserved added, removed where negative.
    pub reserved_change: i64,
    /// Units that were backordered and are on hand now.
    pub allocated: i64,
    /// On hand and reserved afterwards, where that is known.
    pub after: Option<(i64, i64)>,
    /// Where the units are, or were.
    pub location: LocationName,
    /// The cause of its row.
    pub cause: Cause,
    /// The fact, where a fact caused it.
    pub fact: Option<MovementFact>,
    /// The caller's reason.
    pub reason: String,
    /// The caller: role and name.
    pub asked_by: String,
    /// The request's id.
    pub request_id: String,
    /// The time.
    pub at: Timestamp,
}

/// The movements of a product, newest first, older than `before`; at most `limit`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn list(
    database: &Database,
    sku: &Sku,
    before: Option<MovementPosition>,
    limit: usize,
) -> Result<Vec<StockMovement>, DatabaseError> {
    let newest =
        before.map_or(i64::MAX, |position| i64::try_from(position.number).unwrap_or(i64::MAX));
    let rows = sqlx::query(
        "SELECT number, delta, held, on_hand, reserved, cause, COALESCE(facts, ''),
                COALESCE(reason, ''), COALESCE(asked_by, ''), COALESCE(request_id, ''), at, location
         FROM movements WHERE sku = $1 AND number <= $2 ORDER BY number DESC LIMIT $3",
    )
    .bind(sku.as_str())
    .bind(newest)
    // One row more: the first may have been listed completely already.
    .bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1))
    .fetch_all(database.reader())
    .await?;
    let mut found: Vec<(StockMovement, Option<MovedBy>)> = Vec::new();
    for row in &rows {
        let movements = split_row(row)?.into_iter().rev();
        found
            .extend(movements.filter(|(one, _)| before.is_none_or(|before| one.position < before)));
        if found.len() >= limit {
            found.truncate(limit);
            break;
        }
    }
    let named: Vec<(u16, u64)> =
        found.iter().filter_map(|(_, moved)| moved.as_ref().map(MovedBy::place)).collect();
    let facts = facts(database, &named).await?;
    let with_fact = |(mut movement, moved): (StockMovement, Option<MovedBy>)| {
        if let Some(MovedBy(shard, position, kind, _, location)) = moved {
            // Units of one fact may be at several locations.
            let (order_id, id) = facts
                .get(&(shard, position))
                .cloned()
                .ok_or(DatabaseError::Corrupt("fact that a movement names"))?;
            movement.location = location;
            movement.fact = Some(MovementFact { kind, shard, position, id, order_id });
        }
        Ok(movement)
    };
    found.into_iter().map(with_fact).collect()
}

/// The movements of a row, oldest first, each with its fact.
fn split_row(row: &AnyRow) -> Result<Vec<(StockMovement, Option<MovedBy>)>, DatabaseError> {
    let corrupt = |_| DatabaseError::Corrupt("movement");
    let number: i64 = row.try_get(0)?;
    let number = u64::try_from(number).map_err(|_| DatabaseError::Corrupt("movement"))?;
    let (on_hand, reserved): (Option<i64>, Option<i64>) = (row.try_get(3)?, row.try_get(4)?);
    let cause: String = row.try_get(5)?;
    let facts: String = row.try_get(6)?;
    let location: Option<String> = row.try_get(11)?;
    let location = location.map_or_else(|| Ok(LocationName::main()), |name| name.parse());
    let sum = StockMovement {
        position: MovementPosition { number, index: 0 },
        on_hand_change: row.try_get(1)?,
        reserved_change: row.try_get(2)?,
        allocated: 0,
        after: on_hand.zip(reserved),
        location: location.map_err(|_| DatabaseError::Corrupt("location of a movement"))?,
        cause: Cause::parse(&cause).ok_or(DatabaseError::Corrupt("cause of a movement"))?,
        fact: None,
        reason: row.try_get(7)?,
        asked_by: row.try_get(8)?,
        request_id: row.try_get(9)?,
        at: Timestamp::from_micros(row.try_get(10)?),
    };
    if facts.is_empty() {
        return Ok(vec![(sum, None)]);
    }
    let facts: Vec<MovedBy> = serde_json::from_str(&facts).map_err(corrupt)?;
    let mut after =
        sum.after.map(|(on_hand, held)| (on_hand - sum.on_hand_change, held - sum.reserved_change));
    let each = (0_u32..).zip(facts).map(|(index, moved)| {
        let (on_hand_change, reserved_change) = moved.change();
        after = after.map(|(on_hand, held)| (on_hand + on_hand_change, held + reserved_change));
        let movement = StockMovement {
            position: MovementPosition { number, index },
            on_hand_change,
            reserved_change,
            allocated: moved.allocated(),
            after,
            ..sum.clone()
        };
        (movement, Some(moved))
    });
    Ok(each.collect())
}

/// The order and the id of each of these facts, by shard and position.
async fn facts(
    database: &Database,
    places: &[(u16, u64)],
) -> Result<HashMap<(u16, u64), (String, String)>, DatabaseError> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let places = json(places)?;
    let sql = database.sql(
        "SELECT outbox.shard, outbox.position, outbox.subject, fact::json ->> 'id'
         FROM json_array_elements($1::json) AS place
         JOIN outbox ON outbox.shard = (place.value ->> 0)::bigint
             AND outbox.position = (place.value ->> 1)::bigint",
        "SELECT outbox.shard, outbox.position, outbox.subject, fact ->> 'id'
         FROM json_each($1) AS place
         JOIN outbox ON outbox.shard = place.value ->> 0 AND outbox.position = place.value ->> 1",
    );
    let rows = sqlx::query(sql).bind(places).fetch_all(database.reader()).await?;
    rows.iter()
        .map(|row| {
            let (shard, position): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let place = u16::try_from(shard).ok().zip(u64::try_from(position).ok());
            let place = place.ok_or(DatabaseError::Corrupt("position of a fact"))?;
            Ok((place, (row.try_get(2)?, row.try_get(3)?)))
        })
        .collect()
}

/// The sums behind a product's stock: on hand = adjusted - committed + restocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// All that people set and adjusted.
    pub adjusted: i64,
    /// Units shipped.
    pub committed: i64,
    /// Units returned to stock.
    pub restocked: i64,
}

/// The sums behind a product's stock.
///
/// # Errors
/// [`DatabaseError`]
pub async fn sums(database: &Database, sku: &Sku) -> Result<Sums, DatabaseError> {
    let row = sqlx::query("SELECT adjusted, committed, restocked FROM stock WHERE sku = $1")
        .bind(sku.as_str())
        .fetch_optional(database.reader())
        .await?;
    let Some(row) = row else { return Ok(Sums::default()) };
    Ok(Sums { adjusted: row.try_get(0)?, committed: row.try_get(1)?, restocked: row.try_get(2)? })
}
