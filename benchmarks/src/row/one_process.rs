use std::collections::BTreeMap;
use std::time::Duration;

use shared_events::contract::OrderId;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

use super::reaction::{PRODUCTS, at_rate, sku, sustained, warm};
use crate::lab::Lab;
use crate::measure::{Count, Latencies, OpenLoop, Pace, Spread, latencies, micros, number};
use crate::report::{Bound, Row};
use crate::subject::cluster::fill_shelves;
use crate::subject::one_process::{On, OneProcess};

/// Connections of the hand-written transaction. It was fastest with 16.
const CONNECTIONS: u32 = 16;
/// Orders under way.
const IN_FLIGHT: [usize; 3] = [64, 256, 1_024];
/// Orders a second, and the latency in milliseconds that is asked for in one process and in three:
/// p50 and p99.
const RATES: [(u64, [f64; 2], Option<[f64; 2]>); 2] =
    [(200, [6.0, 20.0], Some([12.0, 40.0])), (500, [8.0, 30.0], None)];

/// Row 16: the time until an order is confirmed where most shops live.
///
/// # Errors
/// Where a contender fails.
pub async fn steady(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "16",
        "placed → confirmed at a steady rate",
        "One process with everything, on SQLite and on Postgres, and three processes connected by Redis. Orders of two lines over 1,000 products are \
         placed by one stream, whether or not earlier ones have ended; another watches for their confirmation. Latencies count from when an order \
         was due. The hand-written transaction, on the same server: it inserts order and lines, takes both units where they are there, and writes \
         a row for others to react to; it has 16 connections, and nothing follows it.",
    );
    let time = Duration::from_secs(pace.pick(10, 2));
    let mut taken: BTreeMap<(&str, u64), Vec<Latencies>> = BTreeMap::new();
    for _ in 0..pace.rounds {
        for on in [On::Sqlite, On::Postgres] {
            let subject = filled(lab, on).await?;
            for (rate, ..) in RATES {
                let confirmed = at_rate(subject.address(), rate, time).await?.confirmed;
                taken.entry((on.name(), rate)).or_default().push(confirmed);
            }
            subject.end(lab).await?;
        }
        let cluster = warm(lab).await?;
        let written = Written::open(lab).await?;
        for (rate, ..) in RATES {
            let confirmed = at_rate(cluster.address(), rate, time).await?.confirmed;
            taken.entry((THREE, rate)).or_default().push(confirmed);
            let stored = written.at_rate(rate, time).await?;
            taken.entry((WRITTEN, rate)).or_default().push(stored);
        }
        cluster.close(lab).await?;
        written.close(lab).await?;
    }
    for (rate, one, three) in RATES {
        for who in [On::Sqlite.name(), On::Postgres.name(), THREE, WRITTEN] {
            let Some(runs) = taken.get(&(who, rate)) else { continue };
            for (at, (quantile, name)) in [(0.5, "p50"), (0.99, "p99")].into_iter().enumerate() {
                let value = |run: &Latencies| number(run.value_at_quantile(quantile)) / 1e3;
                let value = Spread::of(runs.iter().map(value));
                row.figure(&format!("{rate} orders/s, {name}"), who, "ms", value);
                let most = match who {
                    WRITTEN => continue,
                    THREE => three.map(|most| most[at]),
                    _ => Some(one[at]),
                };
                let bound = most.map_or(Bound::Told, Bound::AtMost);
                row.goal(&format!("{who}: {name} at {rate} orders/s"), value, bound, "ms");
            }
        }
    }
    Ok(row)
}

/// One process with stock of all products, after a second of orders.
async fn filled(lab: &Lab, on: On) -> anyhow::Result<OneProcess> {
    let subject = OneProcess::start(lab, on, &[]).await?;
    fill_shelves(subject.address(), (0..PRODUCTS).map(sku)).await?;
    at_rate(subject.address(), 200, Duration::from_secs(1)).await?;
    Ok(subject)
}

/// Row 17: as many orders as are confirmed with so many under way.
///
/// # Errors
/// Where a contender fails.
pub async fn in_flight(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "17",
        "orders confirmed in one process, by the number under way",
        "One process with everything, on SQLite and on Postgres; an order under way is one that was sent and is not confirmed yet. The hand-written \
         transaction of row 16 on the same server, at most 16 at a time, and nothing follows it.",
    );
    let time = Duration::from_secs(pace.pick(8, 2));
    let mut taken: BTreeMap<(&str, usize), Vec<f64>> = BTreeMap::new();
    for _ in 0..pace.rounds {
        for on in [On::Sqlite, On::Postgres] {
            let subject = filled(lab, on).await?;
            for open in IN_FLIGHT {
                let rate = sustained(subject.address(), open, time).await?.rate;
                taken.entry((on.name(), open)).or_default().push(rate);
            }
            subject.end(lab).await?;
        }
        let written = Written::open(lab).await?;
        let rate = written.sustained(time).await?;
        taken.entry((WRITTEN, 16)).or_default().push(rate);
        written.close(lab).await?;
    }
    let theirs = taken.get(&(WRITTEN, 16)).cloned().unwrap_or_default();
    for ((who, open), rates) in &taken {
        let rates = Spread::of(rates.iter().copied());
        row.figure(&format!("{open} under way"), who, "orders/s", rates);
    }
    for ((who, open), rates) in taken.iter().filter(|((who, _), _)| *who != WRITTEN) {
        let times = Spread::of(rates.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs));
        let what = format!("{who}, {open} under way: orders/s against the transaction");
        row.goal(&what, times, Bound::Told, "");
    }
    Ok(row)
}

const THREE: &str = "Ordinal, three processes and Redis";
const WRITTEN: &str = "hand-written transaction";

const TABLES: &str = "
CREATE TABLE orders (id text PRIMARY KEY, customer text NOT NULL, state text NOT NULL, placed timestamptz NOT NULL);
CREATE TABLE lines (order_id text, line int, sku text NOT NULL, units int NOT NULL, price bigint NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE stock (sku text PRIMARY KEY, free bigint NOT NULL);
CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id text NOT NULL, what text NOT NULL);
INSERT INTO stock SELECT 'SKU-' || lpad(n::text, 4, '0'), 1000000000 FROM generate_series(0, 999) AS n";

/// What one would write by hand: an order is stored and its units are taken in one transaction.
struct Written {
    pool: PgPool,
    url: String,
}

impl Written {
    async fn open(lab: &Lab) -> anyhow::Result<Self> {
        let url = lab.database("written").await?;
        let pool = PgPoolOptions::new()
            .min_connections(CONNECTIONS)
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(120))
            .connect(&url)
            .await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        Ok(Self { pool, url })
    }

    async fn at_rate(&self, rate: u64, time: Duration) -> anyhow::Result<Latencies> {
        let mut placed = JoinSet::new();
        let mut open_loop = OpenLoop::new(rate, time);
        while let Some((tag, due)) = open_loop.due().await {
            let pool = self.pool.clone();
            placed.spawn(async move {
                store(&pool, tag).await?;
                anyhow::Ok(due.elapsed())
            });
        }
        let mut all = latencies()?;
        while let Some(took) = placed.join_next().await {
            all.record(micros(took??))?;
        }
        Ok(all)
    }

    async fn sustained(&self, time: Duration) -> anyhow::Result<f64> {
        let (next, end) = (Count::default(), tokio::time::Instant::now() + time);
        let mut callers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (pool, next) = (self.pool.clone(), next.clone());
            callers.spawn(async move {
                let mut stored = 0_u64;
                while tokio::time::Instant::now() < end {
                    store(&pool, next.next()).await?;
                    stored += 1;
                }
                anyhow::Ok(stored)
            });
        }
        let mut all = 0;
        while let Some(stored) = callers.join_next().await {
            all += stored??;
        }
        Ok(number(all) / time.as_secs_f64())
    }

    async fn close(self, lab: &Lab) -> anyhow::Result<()> {
        self.pool.close().await;
        lab.drop_database(&self.url).await
    }
}

#[expect(clippy::disallowed_methods, reason = "what one would write instead")]
async fn store(pool: &PgPool, tag: u64) -> anyhow::Result<()> {
    let order_id = OrderId::mint().to_string();
    let mut skus = [sku(tag.wrapping_mul(7)), sku(tag.wrapping_mul(13) + 1)];
    // In one order, so that two transactions never wait for each other.
    skus.sort();
    let mut tx = pool.begin().await?;
    sqlx::query("INSERT INTO orders VALUES ($1, 'c1', 'CONFIRMED', now())")
        .bind(&order_id)
        .execute(&mut *tx)
        .await?;
    sqlx::query("INSERT INTO lines VALUES ($1, 1, $2, 6, 255), ($1, 2, $3, 1, 1695)")
        .bind(&order_id)
        .bind(&skus[0])
        .bind(&skus[1])
        .execute(&mut *tx)
        .await?;
    for (sku, units) in skus.iter().zip([6_i64, 1]) {
        let taken = "UPDATE stock SET free = free - $2 WHERE sku = $1 AND free >= $2";
        let taken = sqlx::query(taken).bind(sku).bind(units).execute(&mut *tx).await?;
        anyhow::ensure!(taken.rows_affected() == 1, "{sku} is sold out");
    }
    sqlx::query("INSERT INTO outbox (order_id, what) VALUES ($1, 'confirmed')")
        .bind(&order_id)
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}
