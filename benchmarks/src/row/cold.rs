use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use order_actor::actor::{Limits, Registry};
use order_actor::clock::SystemClock;
use order_actor::domain::Policy;
use shared_events::contract::OrderId;
use sqlx::postgres::PgPoolOptions;
use tokio::time::Instant;

use crate::lab::Lab;
use crate::measure::{Pace, Run, Runs, closed};
use crate::report::{Bound, Row};
use crate::subject::engine::{Engine, SHARDS};
use crate::work::{Template, shop};

/// Connections of the peer: as many as the journal's readers.
const CONNECTIONS: u32 = 8;

/// Row 6: orders that are asleep.
///
/// # Errors
/// Where a contender fails.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "6",
        "cold orders: wake and answer",
        "20,000 orders of two events, none in memory. Ours wakes an actor, reads the order's events, replays them and answers with the order; \
         the actor goes to sleep when space is needed (5,000 stay awake). The peer reads the same rows by the same index and decodes none of them.",
    );
    let orders = pace.pick(20_000, 5_000);
    let url = lab.database("cold").await?;
    let engine = Engine::postgres(&url, SHARDS).await?;
    let mut ids = Vec::new();
    for _ in 0..orders / 500 {
        let placed = futures::future::try_join_all((0..500).map(|_| async {
            let order_id = engine.place().await?;
            engine.execute(order_id, Template::confirm()).await?;
            anyhow::Ok(order_id)
        }));
        ids.extend(placed.await?);
    }
    let ids: Arc<[OrderId]> = ids.into();
    engine.registry.stop();
    let limits = Limits { awake_max: 5_000.min(ids.len() / 4), ..Limits::default() };
    let (clock, policy) = (Arc::new(SystemClock), Policy::default());
    let registry = Registry::start(engine.journal.clone(), clock, policy, limits).await?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&url).await?;
    for callers in [1, 16] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..pace.rounds {
            ours.push(wakes(pace, callers, &registry, &ids).await?);
            theirs.push(selects(pace, callers, &pool, &ids).await?);
        }
        let (ours, theirs) = (Runs(ours), Runs(theirs));
        let case = format!("{callers} at once");
        row.runs(&case, "Ordinal", "orders/s", &ours);
        row.runs(&case, "one indexed SELECT", "orders/s", &theirs);
        let latency = ours.latency_times(&theirs, 0.5);
        row.goal(&format!("{case}: p50 against the SELECT's"), latency, Bound::AtMost(1.3), "");
        if callers == 16 {
            row.goal("wakes/s at 16", ours.rates(), Bound::AtLeast(24_000.0), "wakes/s");
        }
    }
    registry.stop();
    engine.close().await;
    pool.close().await;
    lab.drop_database(&url).await?;
    Ok(row)
}

/// Each caller visits all orders with a step that shares no factor with their number, so that no
/// order is visited again soon.
fn walk(ids: &Arc<[OrderId]>) -> impl Fn() -> OrderId + Clone + Send + use<> {
    let (ids, at) = (Arc::clone(ids), Arc::new(AtomicUsize::new(0)));
    move || ids[at.fetch_add(7_919, Ordering::Relaxed) % ids.len()]
}

async fn wakes(
    pace: Pace,
    callers: usize,
    registry: &Registry,
    ids: &Arc<[OrderId]>,
) -> anyhow::Result<Run> {
    let (next, by) = (walk(ids), shop());
    closed(pace, callers, move |_, mut tally| {
        let (registry, next, by) = (registry.clone(), next.clone(), by.clone());
        async move {
            while tally.continues() {
                let since = Instant::now();
                let view = registry.view(next(), &by).await?;
                anyhow::ensure!(view.version == 2, "version {}", view.version);
                tally.done(since);
            }
            Ok(tally)
        }
    })
    .await
}

async fn selects(
    pace: Pace,
    callers: usize,
    pool: &sqlx::PgPool,
    ids: &Arc<[OrderId]>,
) -> anyhow::Result<Run> {
    let next = walk(ids);
    closed(pace, callers, move |_, mut tally| {
        let (pool, next) = (pool.clone(), next.clone());
        async move {
            while tally.continues() {
                let since = Instant::now();
                let rows = sqlx::query(
                    "SELECT *, payload::text, metadata::text FROM journal.events
                     WHERE aggregate_type = 'order' AND aggregate_id = $1 ORDER BY sequence",
                )
                .bind(next().to_string())
                .fetch_all(&pool)
                .await?;
                anyhow::ensure!(rows.len() == 2, "{} rows", rows.len());
                tally.done(since);
            }
            Ok(tally)
        }
    })
    .await
}
