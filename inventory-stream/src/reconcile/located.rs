use std::collections::BTreeMap;

use shared_events::contract::{LocationName, Sku};
use shared_events::stream::{Database, DatabaseError};
use sqlx::Row as _;

use super::{Discrepancy, PAGE};
use crate::domain::{LinePart, Reservation};

/// The sums of all reservations by product and location, without those at `main`.
#[derive(Default)]
pub(super) struct LocatedSums(BTreeMap<(Sku, LocationName), Sum>);

#[derive(Default)]
struct Sum {
    held: i64,
    committed: i64,
    restocked: i64,
}

impl LocatedSums {
    /// Adds a reservation, and names it where the parts of a line are more than the line.
    pub(super) fn add(&mut self, reservation: &Reservation, found: &mut Vec<Discrepancy>) {
        for line in reservation.held_lines() {
            for (location, part) in &line.parts {
                let LinePart { held, committed, restocked } = *part;
                let sum = self.0.entry((line.sku.clone(), location.clone())).or_default();
                sum.held += i64::from(held);
                sum.committed += i64::from(committed);
                sum.restocked += i64::from(restocked);
            }
            if !line.parts_fit() {
                found.push(Discrepancy {
                    law: "stock.parts".to_owned(),
                    subject: format!("order {}", reservation.order_id),
                    expected: format!("no more at locations than line {} has", line.line),
                    found: "more".to_owned(),
                });
            }
        }
    }
}

/// The rows of locations after one of them, each with the sum of people's movements.
const LOCATED: &str = "
    SELECT place.sku, place.location, place.on_hand, place.held, place.adjusted,
           place.committed, place.restocked,
           CAST(COALESCE((SELECT SUM(delta) FROM movements WHERE movements.sku = place.sku
                          AND movements.location = place.location), 0) AS BIGINT)
    FROM stock_at AS place WHERE (place.sku, place.location) > ($1, $2)
    ORDER BY place.sku, place.location LIMIT $3";

/// What is left for `main` of products that are elsewhere too, where that is impossible: on hand,
/// and held of those.
const MAIN: &str = "
    SELECT sku, on_hand, held FROM (
        SELECT stock.sku, stock.on_hand - CAST(SUM(stock_at.on_hand) AS BIGINT) AS on_hand,
               stock.reserved - COALESCE(stock.backordered, 0)
                   - CAST(SUM(stock_at.held) AS BIGINT) AS held
        FROM stock_at JOIN stock ON stock.sku = stock_at.sku
        GROUP BY stock.sku, stock.on_hand, stock.reserved, stock.backordered
    ) AS main WHERE held < 0 OR held > on_hand ORDER BY sku";

/// Products elsewhere than at `main` whose own row is missing, or does not say so.
const UNTOLD: &str = "
    SELECT DISTINCT stock_at.sku FROM stock_at LEFT JOIN stock ON stock.sku = stock_at.sku
    WHERE stock.located IS NULL ORDER BY stock_at.sku";

/// Checks every location where products are.
pub(super) async fn check_locations(
    database: &Database,
    sums: LocatedSums,
    found: &mut Vec<Discrepancy>,
) -> Result<(), DatabaseError> {
    let mut sums = sums.0;
    let mut passed = (String::new(), String::new());
    loop {
        let rows = sqlx::query(LOCATED)
            .bind(&passed.0)
            .bind(&passed.1)
            .bind(i64::from(PAGE))
            .fetch_all(database.reader())
            .await?;
        let Some(last) = rows.last() else { break };
        passed = (last.try_get(0)?, last.try_get(1)?);
        for row in &rows {
            let (sku, location): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let subject = format!("sku {sku} at {location}");
            let sku = sku.parse().map_err(|_| DatabaseError::Corrupt("sku of a stock row"))?;
            let location =
                location.parse().map_err(|_| DatabaseError::Corrupt("location of stock"))?;
            let sum: Sum = sums.remove(&(sku, location)).unwrap_or_default();
            let number = |column: usize| row.try_get::<i64, _>(column);
            let (on_hand, held, adjusted) = (number(2)?, number(3)?, number(4)?);
            let (committed, restocked, moved) = (number(5)?, number(6)?, number(7)?);
            let mut law = |law: &str, expected: i64, is: i64| {
                if expected != is {
                    found.push(difference(law, &subject, expected, is));
                }
            };
            law("stock.on_hand", adjusted - committed + restocked, on_hand);
            law("stock.held", sum.held, held);
            law("stock.committed", sum.committed, committed);
            law("stock.restocked", sum.restocked, restocked);
            law("stock.adjusted", moved, adjusted);
        }
    }
    let missing = sums
        .into_iter()
        .filter(|(_, sum)| sum.held != 0 || sum.committed != 0 || sum.restocked != 0);
    found.extend(missing.map(|((sku, location), sum)| {
        difference("stock.held", &format!("sku {sku} at {location}"), sum.held, 0)
    }));
    check_rest(database, found).await
}

/// Checks what is left for `main`, and that rows of locations are found.
async fn check_rest(
    database: &Database,
    found: &mut Vec<Discrepancy>,
) -> Result<(), DatabaseError> {
    for row in sqlx::query(MAIN).fetch_all(database.reader()).await? {
        let sku: String = row.try_get(0)?;
        let (on_hand, held): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        found.push(difference("stock.bounds", &format!("sku {sku} at main"), on_hand, held));
    }
    for row in sqlx::query(UNTOLD).fetch_all(database.reader()).await? {
        let sku: String = row.try_get(0)?;
        found.push(difference("stock.located", &format!("sku {sku}"), 1, 0));
    }
    Ok(())
}

fn difference(law: &str, subject: &str, expected: i64, is: i64) -> Discrepancy {
    let (law, subject) = (law.to_owned(), subject.to_owned());
    Discrepancy { law, subject, expected: expected.to_string(), found: is.to_string() }
}
