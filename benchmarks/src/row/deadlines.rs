use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use order_actor::actor::{Limits, Registry};
use order_actor::clock::{Clock, SystemClock};
use order_actor::domain::{Event, Policy};
use order_actor::journal::open_postgres;
use order_actor::projections::{Deadlines, migrator};
use order_actor::record::decode;
use order_actor::replay::JournalSource;
use order_actor::timers::Alarm;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::{
    Cursors, Database, Dialect, FollowStatus, Source as _, Transactional, everything, follow,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::growth::history_at;
use crate::lab::Lab;
use crate::measure::{Pace, Spread, latencies, number};
use crate::report::{Bound, Row};
use crate::setting;
use crate::subject::engine::{SHARDS, options};
use crate::work::Template;

/// Deadlines due each second.
const DUE_PER_SECOND: i64 = 5_000;

/// The machine's clock with an offset.
#[derive(Clone, Default)]
struct OffsetClock(Arc<AtomicI64>);

impl OffsetClock {
    fn to(&self, time: Timestamp) {
        self.0.store(time.micros() - SystemClock.now().micros(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        let offset = self.0.load(Ordering::SeqCst);
        Timestamp::from_micros(SystemClock.now().micros().saturating_add(offset))
    }

    async fn wait_until(&self, time: Timestamp) {
        let left = time.since(self.now());
        tokio::time::sleep(left).await;
    }
}

/// Row 8: many open deadlines.
///
/// # Errors
/// Where a deadline is missed or fires twice.
#[expect(clippy::too_many_lines, reason = "one row, from its load to its figures")]
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let open = pace.pick(1_000_000, 20_000);
    let seconds = pace.pick(20, 2);
    let mut row = Row::new(
        "8",
        &format!("{open} open deadlines, 5,000 due a second"),
        "Orders that are never confirmed, placed so that 5,000 of them are due in each second; the durable list in Postgres, the alarm and the orders in one \
         process, and the list itself follows the events that the alarm causes. Lateness is the time at which an order was cancelled minus its deadline.",
    );
    let clock = OffsetClock::default();
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let begin: Timestamp = "2026-03-02T09:00:00Z".parse()?;
    let url = lab.database("deadlines").await?;
    let policy = Policy::default();
    let journal = open_postgres(&url, "journal", options(&shared, SHARDS)).await?;
    let database = Database::postgres(&url, "orders", &migrator(Dialect::Postgres)).await?;
    let deadlines = Deadlines::new(database.clone());

    // The placed orders, in order of their deadlines.
    let template = Template::new()?;
    let mut placed = futures::stream::iter(0..open)
        .map(|index| {
            let order_id = OrderId::mint();
            let place = template.place(order_id);
            let journal = journal.clone();
            async move {
                let index = i64::try_from(index)?;
                let at =
                    Timestamp::from_micros(begin.micros() + index * 1_000_000 / DUE_PER_SECOND);
                let events = history_at(&[place], at)?;
                journal.append(order_id, 0, events).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(1_024);
    while let Some(appended) = placed.next().await {
        appended?;
    }
    drop(placed);

    let stop = CancellationToken::new();
    let status = FollowStatus::new(Deadlines::FOLLOWER);
    let time = Arc::clone(&shared);
    let handler = deadlines.handler(journal.clone());
    let mut sink = Transactional::new(
        Deadlines::FOLLOWER,
        database.clone(),
        handler,
        Arc::new(move || time.now()),
    );
    let source = JournalSource::new(journal.clone());
    let (following, known, seen) = (stop.clone(), status.clone(), source.clone());
    let since = Instant::now();
    let follower = tokio::spawn(async move {
        follow(&seen, &mut sink, everything(), &known, &following)
            .await
            .map_err(anyhow::Error::from)
    });
    until_caught_up(&source, &status).await?;
    let listed = number(open) / since.elapsed().as_secs_f64();
    row.figure("put on the list", "Ordinal", "orders/s", Spread::once(listed));

    let before = setting::resident_bytes();
    let registry =
        Registry::start(journal.clone(), Arc::clone(&shared), policy, Limits::default()).await?;
    let alarm = Alarm::new(deadlines, registry.clone(), Arc::clone(&shared));
    // The first is due a second from now.
    let first = begin.plus(policy.confirm_within);
    clock.to(Timestamp::from_micros(first.micros() - 1_000_000));
    let ringing = tokio::spawn(alarm.run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(seconds + 1)).await;
    let end = clock.now();
    // The last of those that were due may take a moment.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.cancel();
    ringing.await?;
    follower.await??;
    let memory = setting::resident_bytes() - before;

    let (mut late, mut fired) = (latencies()?, 0_u64);
    let mut cursors = Cursors::default();
    let mut deadlines_of = std::collections::HashMap::new();
    let mut missed = 0_u64;
    loop {
        let events = journal.read_after(&cursors, 5_000).await?;
        if events.is_empty() {
            break;
        }
        for stored in &events {
            cursors.advance(stored.shard, stored.position);
            match *decode(stored)?.event {
                Event::OrderPlaced { confirm_by, .. } if confirm_by < end => {
                    missed += 1;
                    deadlines_of.insert(stored.stream_id, confirm_by);
                }
                Event::OrderCancelled { at, .. } => {
                    if let Some(due) = deadlines_of.remove(&stored.stream_id) {
                        missed -= 1;
                        anyhow::ensure!(at >= due, "an order lapsed before its time");
                        let _ = late.record(u64::try_from(at.micros() - due.micros())?);
                        fired += 1;
                    }
                }
                _ => {}
            }
        }
    }
    anyhow::ensure!(missed == 0, "{missed} deadlines were missed");
    let p99 = Spread::once(number(late.value_at_quantile(0.99)) / 1e6);
    row.figure("rung", "Ordinal", "orders", Spread::once(number(fired)));
    let half = Spread::once(number(late.value_at_quantile(0.5)) / 1e6);
    row.figure("lateness p50", "Ordinal", "s", half);
    row.figure("lateness p99", "Ordinal", "s", p99);
    row.goal("lateness p99", p99, Bound::AtMost(1.0), "s");
    let megabytes = Spread::once(memory.max(0.0) / 1e6);
    row.goal(
        "memory that alarm and orders took while it rang",
        megabytes,
        Bound::AtMost(50.0),
        "MB",
    );
    row.note(format!("{fired} deadlines were due during the measurement: none was missed, and an order cannot be cancelled twice."));
    registry.stop();
    journal.close().await;
    database.close().await;
    lab.drop_database(&url).await?;
    Ok(row)
}

async fn until_caught_up(source: &JournalSource, status: &FollowStatus) -> anyhow::Result<()> {
    let heads = source.heads().await?;
    while !status.cursors().covers(&heads) {
        anyhow::ensure!(!status.is_stopped(), "{:?}", status.error());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
