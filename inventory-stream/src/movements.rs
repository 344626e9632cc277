//! Every change of a product's stock, by people and by orders. A batch of facts writes one row per
//! product, so that a popular product costs one row per batch; the row names its facts, and this
//! module lists them one by one.
//! Never here: moving stock; see `store`.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use shared_events::contract::{Fact, FactBody, InventoryFact, Quantity, Sku, Timestamp};
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

/// A fact of the outbox that moved units of a product: its shard, its position, its effect, and the
/// number of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedBy(u16, u64, MovementKind, i64);

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

    const fn allocated(&self) -> i64 {
        if matches!(self.2, MovementKind::Allocated) { self.3 } else { 0 }
    }
}

/// The facts that moved each product, in their order.
pub(crate) fn by_product(facts: &[Fact]) -> BTreeMap<Sku, Vec<MovedBy>> {
    let mut moved: BTreeMap<Sku, Vec<MovedBy>> = BTreeMap::new();
    for fact in facts {
        let FactBody::Inventory(body) = &fact.body else { continue };
        for (kind, sku, quantity) in moved_by(body) {
            let units = i64::from(quantity.get());
            let all = moved.entry(sku.clone()).or_default();
            match all.last_mut() {
                // A product may stand on several lines of an order.
                Some(last) if (last.0, last.1) == (fact.shard, fact.position) => last.3 += units,
                _ => all.push(MovedBy(fact.shard, fact.position, kind, units)),
            }
        }
    }
    moved
}

/// What a fact does to units of products.
fn moved_by(fact: &InventoryFact) -> Vec<(MovementKind, &Sku, Quantity)> {
    let (kind, lines) = match fact {
        InventoryFact::Reserved { lines, .. } | InventoryFact::EditReserved { lines, .. } => {
            (MovementKind::Reserved, lines)
        }
        InventoryFact::Released { lines, .. } => (MovementKind::Released, lines),
        InventoryFact::Committed { lines, .. } => (MovementKind::Committed, lines),
        InventoryFact::Restocked { lines, .. } => (MovementKind::Restocked, lines),
        InventoryFact::Allocated { lines, .. } => {
            let kind = MovementKind::Allocated;
            return lines.iter().map(|units| (kind, &units.sku, units.quantity)).collect();
        }
        InventoryFact::Rejected { .. } | InventoryFact::EditRejected { .. } => return Vec::new(),
    };
    lines.iter().map(|line| (kind, &line.sku, line.quantity)).collect()
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
                COALESCE(reason, ''), COALESCE(asked_by, ''), COALESCE(request_id, ''), at
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
    let named: Vec<MovedBy> = found.iter().filter_map(|(_, moved)| *moved).collect();
    let mut facts = facts(database, &named).await?;
    let with_fact = |(mut movement, moved): (StockMovement, Option<MovedBy>)| {
        if let Some(MovedBy(shard, position, kind, _)) = moved {
            let (order_id, id) = facts
                .remove(&(shard, position))
                .ok_or(DatabaseError::Corrupt("fact that a movement names"))?;
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
    let sum = StockMovement {
        position: MovementPosition { number, index: 0 },
        on_hand_change: row.try_get(1)?,
        reserved_change: row.try_get(2)?,
        allocated: 0,
        after: on_hand.zip(reserved),
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
    named: &[MovedBy],
) -> Result<HashMap<(u16, u64), (String, String)>, DatabaseError> {
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let places: Vec<(u16, u64)> = named.iter().map(|moved| (moved.0, moved.1)).collect();
    let places = serde_json::to_string(&places).map_err(|_| DatabaseError::Corrupt("movement"))?;
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
