use anyhow::Context as _;
use serde_json::json;
use shared_events::contract::Money;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Row as _, SqlitePool};
use tempfile::TempDir;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Units of an order's line that a credit note returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Which order.
    pub order_id: Uuid,
    /// Which of its lines, from 1.
    pub line: u32,
    /// How many units.
    pub units: u32,
}

/// Delivered units that may still be returned, on disk: as large as the file and no larger.
pub struct Purchases {
    database: SqlitePool,
    // Makes looking up and taking one step.
    taking: Mutex<()>,
    _directory: TempDir,
}

impl Purchases {
    /// Empty.
    ///
    /// # Errors
    /// Where the system has no space for temporary files.
    pub async fn new() -> anyhow::Result<Self> {
        let (directory, database) = temporary().await?;
        sqlx::raw_sql(
            "CREATE TABLE bought (
                 place INTEGER PRIMARY KEY, customer TEXT, sku TEXT, price BIGINT,
                 order_id TEXT, line BIGINT, units BIGINT
             );
             CREATE INDEX bought_by_sku ON bought (customer, sku, price);
             CREATE INDEX bought_by_order ON bought (order_id, line)",
        )
        .execute(&database)
        .await?;
        Ok(Self { database, taking: Mutex::new(()), _directory: directory })
    }

    /// Adds the lines of a delivered order.
    ///
    /// # Errors
    /// Where the temporary database fails.
    pub async fn delivered(
        &self,
        customer: &str,
        order_id: Uuid,
        lines: impl IntoIterator<Item = (String, u32, Money)>,
    ) -> anyhow::Result<()> {
        let rows: Vec<_> = (1_u32..)
            .zip(lines)
            .map(|(line, (sku, units, price))| json!([line, sku, units, price.minor]))
            .collect();
        sqlx::query(
            "INSERT INTO bought (customer, order_id, line, sku, units, price)
             SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?3)",
        )
        .bind(customer)
        .bind(order_id.to_string())
        .bind(serde_json::to_string(&rows)?)
        .execute(&self.database)
        .await?;
        Ok(())
    }

    /// Takes units that the customer bought at this price, latest order first, since its return
    /// window is open longest. Takes all of them, or none and returns the code of the reason.
    ///
    /// # Errors
    /// Where the temporary database fails.
    pub async fn take(
        &self,
        customer: &str,
        sku: &str,
        price: Money,
        units: u32,
    ) -> anyhow::Result<Result<Vec<Match>, &'static str>> {
        let _taking = self.taking.lock().await;
        let rows = sqlx::query(
            "SELECT order_id, line, units FROM bought
             WHERE customer = ?1 AND sku = ?2 AND price = ?3 AND units > 0 ORDER BY place DESC",
        )
        .bind(customer)
        .bind(sku)
        .bind(price.minor)
        .fetch_all(&self.database)
        .await?;
        let mut left = units;
        let mut matches = Vec::new();
        for row in rows {
            let order_id: String = row.try_get(0)?;
            let found: u32 = row.try_get(2)?;
            let taken = found.min(left);
            if taken == 0 {
                break;
            }
            let order_id = Uuid::try_parse(&order_id)?;
            matches.push(Match { order_id, line: row.try_get(1)?, units: taken });
            left -= taken;
        }
        if left > 0 {
            return Ok(Err(self.reason(customer, sku, price).await?));
        }
        for taken in &matches {
            self.change(taken, -i64::from(taken.units)).await?;
        }
        Ok(Ok(matches))
    }

    /// Puts units back whose return was refused.
    ///
    /// # Errors
    /// Where the temporary database fails.
    pub async fn give_back(&self, taken: &Match) -> anyhow::Result<()> {
        self.change(taken, i64::from(taken.units)).await
    }

    async fn change(&self, taken: &Match, units: i64) -> anyhow::Result<()> {
        sqlx::query("UPDATE bought SET units = units + ?1 WHERE order_id = ?2 AND line = ?3")
            .bind(units)
            .bind(taken.order_id.to_string())
            .bind(taken.line)
            .execute(&self.database)
            .await?;
        Ok(())
    }

    /// Why there are not enough units.
    async fn reason(
        &self,
        customer: &str,
        sku: &str,
        price: Money,
    ) -> anyhow::Result<&'static str> {
        let row = sqlx::query(
            "SELECT COUNT(*), COALESCE(SUM(sku = ?2), 0), COALESCE(SUM(sku = ?2 AND price = ?3), 0)
             FROM bought WHERE customer = ?1",
        )
        .bind(customer)
        .bind(sku)
        .bind(price.minor)
        .fetch_one(&self.database)
        .await?;
        let (any, same_sku, same_price): (i64, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(match (any, same_sku, same_price) {
            (0, _, _) => "NO_EARLIER_ORDER",
            (_, 0, _) => "NOT_BOUGHT",
            (_, _, 0) => "OTHER_PRICE",
            _ => "TOO_FEW_UNITS",
        })
    }
}

/// A database in a directory of its own, which is removed with the value.
///
/// # Errors
/// Where the system has no space for temporary files.
pub async fn temporary() -> anyhow::Result<(TempDir, SqlitePool)> {
    let directory = tempfile::tempdir().or_else(|_| tempfile::tempdir_in("."));
    let directory = directory.context("temporary directory")?;
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("bought.db"))
        .create_if_missing(true)
        // The database is temporary, so nothing need be durable.
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .disable_statement_logging();
    let database = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await?;
    Ok((directory, database))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pounds(minor: i64) -> Money {
        Money::new(minor, "GBP".parse().unwrap())
    }

    #[tokio::test]
    async fn units_are_taken_once_and_from_the_latest_order_first() {
        let bought = Purchases::new().await.unwrap();
        let [first, second] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let lines = |units| vec![("MUG".to_owned(), units, pounds(450))];
        bought.delivered("a", first, lines(3)).await.unwrap();
        bought.delivered("a", second, lines(2)).await.unwrap();
        let take = async |customer: &str, sku: &str, minor: i64, units: u32| {
            bought.take(customer, sku, pounds(minor), units).await.unwrap()
        };
        assert_eq!(take("b", "MUG", 450, 1).await, Err("NO_EARLIER_ORDER"));
        assert_eq!(take("a", "PLATE", 450, 1).await, Err("NOT_BOUGHT"));
        assert_eq!(take("a", "MUG", 451, 1).await, Err("OTHER_PRICE"));
        assert_eq!(take("a", "MUG", 450, 6).await, Err("TOO_FEW_UNITS"));
        let taken = take("a", "MUG", 450, 4).await.unwrap();
        let expected = [(second, 2), (first, 2)];
        assert_eq!(taken.iter().map(|m| (m.order_id, m.units)).collect::<Vec<_>>(), expected);
        assert_eq!(take("a", "MUG", 450, 2).await, Err("TOO_FEW_UNITS"));
        bought.give_back(&taken[0]).await.unwrap();
        assert_eq!(take("a", "MUG", 450, 3).await.unwrap().len(), 2);
    }
}
