use std::collections::BTreeMap;

use shared_events::contract::Sku;
use shared_events::stream::{Database, DatabaseError};
use sqlx::Row as _;

use crate::domain::ReservationState;
use crate::store;

/// A sum that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discrepancy {
    /// Which law.
    pub law: &'static str,
    /// Which product or order.
    pub subject: String,
    /// What should be.
    pub expected: String,
    /// What is.
    pub found: String,
}

/// What a look at all sums gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Products that were looked at.
    pub products: u64,
    /// Sums that do not hold.
    pub discrepancies: Vec<Discrepancy>,
}

const PAGE: u32 = 1_000;

#[derive(Default)]
struct Sums {
    reserved: i64,
    committed: i64,
    restocked: i64,
}

/// Proves the sums from the tables and names what differs: per product reserved = what
/// reservations hold, committed and restocked = what they counted, adjusted = movements,
/// on hand = adjusted - committed + restocked; that its movements have no gap, add up to it and end
/// where it is; and that the outbox has no gap.
///
/// # Errors
/// [`DatabaseError`]
pub async fn reconcile(database: &Database) -> Result<Reconciliation, DatabaseError> {
    let mut sums: BTreeMap<Sku, Sums> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = store::list_reservations(database, &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.order_id.to_string();
        for reservation in &page {
            for held in &reservation.lines {
                let sum = sums.entry(held.sku.clone()).or_default();
                if reservation.state == ReservationState::Reserved {
                    sum.reserved += i64::from(held.open());
                }
                sum.committed += i64::from(held.committed);
                sum.restocked += i64::from(held.restocked);
            }
        }
    }
    let mut found = Vec::new();
    let rows = sqlx::query(
        "SELECT stock.sku, stock.on_hand, stock.reserved, adjusted, committed, restocked, moves,
                COALESCE(moved.by_people, 0), COALESCE(moved.delta, 0), COALESCE(moved.held, 0),
                COALESCE(moved.many, 0), COALESCE(moved.last, 0),
                COALESCE(last.on_hand, moved.delta, 0), COALESCE(last.reserved, moved.held, 0)
         FROM stock LEFT JOIN (
             SELECT sku,
                    CAST(SUM(CASE WHEN cause IN ('SET', 'ADJUSTED') THEN delta ELSE 0 END) AS BIGINT)
                        AS by_people,
                    CAST(SUM(delta) AS BIGINT) AS delta, CAST(SUM(held) AS BIGINT) AS held,
                    COUNT(*) AS many, MAX(number) AS last
             FROM movements GROUP BY sku
         ) AS moved ON moved.sku = stock.sku
         LEFT JOIN movements AS last ON last.sku = stock.sku AND last.number = moves
         ORDER BY stock.sku",
    )
    .fetch_all(database.reader())
    .await?;
    let products = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    for row in rows {
        let sku: String = row.try_get(0)?;
        let sku: Sku = sku.parse().map_err(|_| DatabaseError::Corrupt("sku of a stock row"))?;
        let number = |column: usize| -> Result<i64, DatabaseError> { Ok(row.try_get(column)?) };
        let (on_hand, reserved, adjusted) = (number(1)?, number(2)?, number(3)?);
        let (committed, restocked, moves) = (number(4)?, number(5)?, number(6)?);
        let (moved, delta, held) = (number(7)?, number(8)?, number(9)?);
        let (count, newest, last) = (number(10)?, number(11)?, (number(12)?, number(13)?));
        let sum = sums.remove(&sku).unwrap_or_default();
        let mut law = |law: &'static str, expected: i64, is: i64| {
            if expected != is {
                let subject = format!("sku {sku}");
                let (expected, is) = (expected.to_string(), is.to_string());
                found.push(Discrepancy { law, subject, expected, found: is });
            }
        };
        law("stock.on_hand", adjusted - committed + restocked, on_hand);
        law("stock.reserved", sum.reserved, reserved);
        law("stock.committed", sum.committed, committed);
        law("stock.restocked", sum.restocked, restocked);
        law("stock.adjusted", moved, adjusted);
        if reserved < 0 || reserved > on_hand {
            law("stock.bounds", on_hand, reserved);
        }
        let numbered = count == moves && newest == moves;
        if !numbered || (delta, held) != (on_hand, reserved) || last != (delta, held) {
            let (last_on_hand, last_held) = last;
            found.push(Discrepancy {
                law: "stock.movements",
                subject: format!("sku {sku}"),
                expected: format!("{moves} that add up to {on_hand} on hand, {reserved} reserved"),
                found: format!(
                    "{count}, the last numbered {newest} and at {last_on_hand}, {last_held}; they \
                     add up to {delta}, {held}"
                ),
            });
        }
    }
    for (sku, sum) in sums {
        if sum.reserved != 0 || sum.committed != 0 || sum.restocked != 0 {
            found.push(Discrepancy {
                law: "stock.missing",
                subject: format!("sku {sku}"),
                expected: "a stock row".to_owned(),
                found: "none".to_owned(),
            });
        }
    }
    let told = sqlx::query(
        "SELECT shard, COUNT(*), MAX(position),
                COALESCE((SELECT position FROM outbox_heads WHERE shard = outbox.shard), 0)
         FROM outbox GROUP BY shard
         UNION ALL
         SELECT shard, 0, 0, position FROM outbox_heads
         WHERE shard NOT IN (SELECT shard FROM outbox) ORDER BY 1",
    )
    .fetch_all(database.reader())
    .await?;
    for row in &told {
        let (shard, count): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (last, head): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        if count != head || last != head {
            found.push(Discrepancy {
                law: "outbox.gapless",
                subject: format!("outbox shard {shard}"),
                expected: format!("{head} facts"),
                found: format!("{count} facts, the last at {last}"),
            });
        }
    }
    Ok(Reconciliation { products, discrepancies: found })
}
