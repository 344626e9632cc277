mod located; // the laws of every location

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_events::contract::{Sku, Timestamp};
use shared_events::stream::row::json;
use shared_events::stream::{Database, DatabaseError};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use located::{LocatedSums, check_locations};

use crate::domain::{Reservation, ReservationState};
use crate::store;

/// A law of stock that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Discrepancy {
    /// The law.
    pub law: String,
    /// The product or order.
    pub subject: String,
    /// The value it should have.
    pub expected: String,
    /// The value found.
    pub found: String,
}

impl std::fmt::Display for Discrepancy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { law, subject, expected, found } = self;
        write!(f, "{law} of {subject}: {expected} expected, {found} found")
    }
}

/// The result of checking all laws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Products checked.
    pub products: u64,
    /// Laws that do not hold.
    pub discrepancies: Vec<Discrepancy>,
}

const PAGE: u32 = 1_000;

#[derive(Default)]
struct Sums {
    reserved: i64,
    backordered: i64,
    committed: i64,
    restocked: i64,
}

/// Checks the tables and names every difference. Per product: reserved, backordered, committed and
/// restocked are the sums of its reservations, adjusted is the sum of people's movements, on hand = adjusted -
/// committed + restocked, and its movements have no gap, add up to it and end at it. The same sums
/// hold of every location where it is, and what is left of them for `main` is possible. The outbox
/// has no gap.
///
/// # Errors
/// [`DatabaseError`]
pub async fn reconcile(database: &Database) -> Result<Reconciliation, DatabaseError> {
    let mut found = Vec::new();
    let (mut sums, located) = reservation_sums(database, &mut found).await?;
    let (mut products, mut passed) = (0, String::new());
    loop {
        let rows = sqlx::query(PRODUCTS)
            .bind(&passed)
            .bind(i64::from(PAGE))
            .fetch_all(database.reader())
            .await?;
        let Some(row) = rows.last() else { break };
        passed = row.try_get(0)?;
        products += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        for row in &rows {
            let sku: String = row.try_get(0)?;
            let sku: Sku = sku.parse().map_err(|_| DatabaseError::Corrupt("sku of a stock row"))?;
            let sum = sums.remove(&sku).unwrap_or_default();
            check_product(row, &sku, &sum, &mut found)?;
        }
    }
    for (sku, sum) in sums {
        if sum.reserved != 0 || sum.committed != 0 || sum.restocked != 0 {
            found.push(Discrepancy {
                law: "stock.missing".to_owned(),
                subject: format!("sku {sku}"),
                expected: "a stock row".to_owned(),
                found: "none".to_owned(),
            });
        }
    }
    check_locations(database, located, &mut found).await?;
    check_outbox(database, &mut found).await?;
    Ok(Reconciliation { products, discrepancies: found })
}

/// Per product, the sums of all reservations, and those of every location.
async fn reservation_sums(
    database: &Database,
    found: &mut Vec<Discrepancy>,
) -> Result<(BTreeMap<Sku, Sums>, LocatedSums), DatabaseError> {
    let (mut sums, mut located) = (BTreeMap::new(), LocatedSums::default());
    let mut after = String::new();
    loop {
        let page = store::list_reservations(database, &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.order_id.to_string();
        for reservation in &page {
            add(&mut sums, reservation);
            located.add(reservation, found);
        }
    }
    Ok((sums, located))
}

fn add(sums: &mut BTreeMap<Sku, Sums>, reservation: &Reservation) {
    for held in reservation.held_lines() {
        let sum = sums.entry(held.sku.clone()).or_default();
        if reservation.state == ReservationState::Reserved {
            sum.reserved += i64::from(held.open());
            sum.backordered += i64::from(held.backordered);
        }
        sum.committed += i64::from(held.committed);
        sum.restocked += i64::from(held.restocked);
    }
}

/// Checks that the outbox has no gap.
async fn check_outbox(
    database: &Database,
    found: &mut Vec<Discrepancy>,
) -> Result<(), DatabaseError> {
    let outbox = sqlx::query(
        "SELECT shard, COUNT(*), MAX(position),
                COALESCE((SELECT position FROM outbox_heads WHERE shard = outbox.shard), 0)
         FROM outbox GROUP BY shard
         UNION ALL
         SELECT shard, 0, 0, position FROM outbox_heads
         WHERE shard NOT IN (SELECT shard FROM outbox) ORDER BY 1",
    )
    .fetch_all(database.reader())
    .await?;
    for row in &outbox {
        let (shard, count): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (last, head): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        if count != head || last != head {
            found.push(Discrepancy {
                law: "outbox.gapless".to_owned(),
                subject: format!("outbox shard {shard}"),
                expected: format!("{head} facts"),
                found: format!("{count} facts, the last at {last}"),
            });
        }
    }
    Ok(())
}

/// The rows of products after one of them, with the sums of their movements.
const PRODUCTS: &str = "
    SELECT page.sku, page.on_hand, page.reserved, adjusted, committed, restocked, moves,
           COALESCE(moved.by_people, 0), COALESCE(moved.delta, 0), COALESCE(moved.held, 0),
           COALESCE(moved.many, 0), COALESCE(moved.last, 0),
           COALESCE(last.on_hand, moved.delta, 0), COALESCE(last.reserved, moved.held, 0),
           COALESCE(backordered, 0)
    FROM (SELECT * FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2) AS page
    LEFT JOIN (
        SELECT sku,
               CAST(SUM(CASE WHEN cause IN ('SET', 'ADJUSTED') THEN delta ELSE 0 END) AS BIGINT)
                   AS by_people,
               CAST(SUM(delta) AS BIGINT) AS delta, CAST(SUM(held) AS BIGINT) AS held,
               COUNT(*) AS many, MAX(number) AS last
        FROM movements
        WHERE sku IN (SELECT sku FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2)
        GROUP BY sku
    ) AS moved ON moved.sku = page.sku
    LEFT JOIN movements AS last ON last.sku = page.sku AND last.number = moves
    ORDER BY page.sku";

/// Checks the sums of one product.
fn check_product(
    row: &AnyRow,
    sku: &Sku,
    sum: &Sums,
    found: &mut Vec<Discrepancy>,
) -> Result<(), DatabaseError> {
    let number = |column: usize| -> Result<i64, DatabaseError> { Ok(row.try_get(column)?) };
    let (on_hand, reserved, adjusted) = (number(1)?, number(2)?, number(3)?);
    let (committed, restocked, moves) = (number(4)?, number(5)?, number(6)?);
    let (moved, delta, held) = (number(7)?, number(8)?, number(9)?);
    let (count, newest, last) = (number(10)?, number(11)?, (number(12)?, number(13)?));
    let backordered = number(14)?;
    let subject = format!("sku {sku}");
    let mut law = |law: &str, expected: i64, is: i64| {
        if expected != is {
            let (law, subject) = (law.to_owned(), subject.clone());
            let (expected, is) = (expected.to_string(), is.to_string());
            found.push(Discrepancy { law, subject, expected, found: is });
        }
    };
    law("stock.on_hand", adjusted - committed + restocked, on_hand);
    law("stock.reserved", sum.reserved, reserved);
    law("stock.committed", sum.committed, committed);
    law("stock.restocked", sum.restocked, restocked);
    law("stock.adjusted", moved, adjusted);
    law("stock.backordered", sum.backordered, backordered);
    // Of those reserved, the ones on hand.
    let there = reserved - backordered;
    if !(0..=reserved).contains(&backordered) || there > on_hand {
        law("stock.bounds", on_hand, there);
    }
    let numbered = count == moves && newest == moves;
    if !numbered || (delta, held) != (on_hand, reserved) || last != (delta, held) {
        let (last_on_hand, last_held) = last;
        found.push(Discrepancy {
            law: "stock.movements".to_owned(),
            subject,
            expected: format!("{moves} that add up to {on_hand} on hand, {reserved} reserved"),
            found: format!(
                "{count}, the last numbered {newest} and at {last_on_hand}, {last_held}; they add up \
                 to {delta}, {held}"
            ),
        });
    }
    Ok(())
}

/// The result of the last check, as the database keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// When it began.
    pub at: Timestamp,
    /// The laws that did not hold, [`DISCREPANCIES_KEPT`] of them at most.
    pub discrepancies: Vec<Discrepancy>,
}

/// Longer lists are cut; `ordinal verify` names all.
pub const DISCREPANCIES_KEPT: usize = 100;

impl Reconciled {
    /// The result that the database keeps; none before the first check.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn load(database: &Database) -> Result<Option<Self>, DatabaseError> {
        let row = sqlx::query("SELECT at, discrepancies FROM reconciled")
            .fetch_optional(database.reader())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let discrepancies: String = row.try_get(1)?;
        let discrepancies = serde_json::from_str(&discrepancies)
            .map_err(|_| DatabaseError::Corrupt("list of discrepancies"))?;
        Ok(Some(Self { at: Timestamp::from_micros(row.try_get(0)?), discrepancies }))
    }

    /// Keeps the result of a check that began `at`.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn store(
        database: &Database,
        at: Timestamp,
        found: &Reconciliation,
    ) -> Result<(), DatabaseError> {
        let kept: Vec<_> = found.discrepancies.iter().take(DISCREPANCIES_KEPT).collect();
        let kept = json(&kept)?;
        let mut tx = database.begin().await?;
        sqlx::query(
            "INSERT INTO reconciled (one, at, products, discrepancies) VALUES (1, $1, $2, $3)
             ON CONFLICT (one) DO UPDATE SET at = excluded.at, products = excluded.products,
                 discrepancies = excluded.discrepancies",
        )
        .bind(at.micros())
        .bind(i64::try_from(found.products).unwrap_or(i64::MAX))
        .bind(kept)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }
}
