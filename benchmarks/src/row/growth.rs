use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use order_actor::actor::{Limits, Registry};
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::domain::{By, Command, Event, Order, Policy, decide, evolve};
use order_actor::journal::{Journal, NewEvent};
use order_actor::record::{Metadata, encode};
use shared_events::contract::{OrderId, Timestamp};
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use crate::lab::Lab;
use crate::measure::{Pace, Runs, Spread, closed, number};
use crate::report::{Bound, Row, short};
use crate::setting;
use crate::subject::engine::{Engine, SHARDS, shop_or_stock};
use crate::work::Template;

/// Concurrent appends while a journal is filled.
const FILLING: usize = 1_024;

/// Rows 7 and 9: what grows with a journal, and what should not.
///
/// # Errors
/// Where a contender fails.
#[expect(clippy::too_many_lines, reason = "one load, at whose sizes both rows are measured")]
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Vec<Row>> {
    let mut replay = Row::new(
        "7",
        "replay of a journal: verified with its hash chain",
        "A separate reader goes through every event in order, checks the hash chain and decodes nothing else; the peer is COPY … TO STDOUT, whose \
         bytes are discarded. The CPU time of Postgres is part of both.",
    );
    let mut growth = Row::new(
        "9",
        "growth: shards, journal, memory, start",
        "256 callers that create and confirm, as in row 1, Ordinal alone.",
    );
    shards(lab, pace, &mut growth).await?;
    let url = lab.database("growth").await?;
    let engine = Engine::postgres(&url, SHARDS).await?;
    let sizes: &[u64] = match pace {
        Pace { quick: true, .. } => &[1_000, 10_000],
        Pace { large: true, .. } => &[10_000, 100_000, 1_000_000, 10_000_000],
        _ => &[10_000, 100_000, 1_000_000],
    };
    let mut by_size: Vec<Runs> = Vec::new();
    let mut memory = Vec::new();
    for size in sizes {
        let there: u64 = engine.journal.heads().await?.iter().map(|(_, position)| position).sum();
        fill(&engine.journal, size.saturating_sub(there)).await?;
        lab.checkpoint().await?;
        let mut runs = Vec::new();
        for _ in 0..pace.rounds {
            runs.push(closed(pace, 256, |_, tally| engine.clone().caller(tally)).await?);
        }
        by_size.push(Runs(runs));
        memory.push(replayed(pace, &engine.journal, &url, *size, &mut replay).await?);
    }
    for (size, runs) in sizes.iter().zip(&by_size) {
        growth.runs(
            &format!("{} events in the journal", short(number(*size))),
            "Ordinal",
            "commands/s",
            runs,
        );
    }
    if let (Some(first), Some(last)) = (by_size.first(), by_size.last()) {
        let what = "commands/s with the largest journal against the smallest";
        growth.goal(what, last.times(first), Bound::AtLeast(0.85), "");
    }
    if let (Some(first), Some(last)) = (memory.first(), memory.last()) {
        let what = "memory of the process after the largest replay against the smallest";
        replay.goal(what, Spread::once(last / first), Bound::AtMost(1.15), "");
    }
    if !pace.large {
        replay.note("Ten million events take longer to fill than the complete suite takes: `scripts/bench --rows 7 --large`.");
    }
    engine.close().await;

    let since = Instant::now();
    let engine = Engine::postgres(&url, SHARDS).await?;
    engine.place().await?;
    let ready = since.elapsed().as_secs_f64();
    let what = "opened, and the first order placed, beside the largest journal";
    growth.goal(what, Spread::once(ready), Bound::AtMost(1.0), "s");
    awake(&engine, pace, &mut growth).await?;
    engine.close().await;
    lab.drop_database(&url).await?;
    Ok(vec![replay, growth])
}

async fn shards(lab: &Lab, pace: Pace, row: &mut Row) -> anyhow::Result<()> {
    let counts = [1, 16, 64, 256];
    let mut engines = Vec::new();
    for shards in counts {
        let url = lab.database("shards").await?;
        engines.push((Engine::postgres(&url, shards).await?, url));
    }
    let mut runs = counts.map(|_| Vec::new());
    for _ in 0..pace.rounds {
        for ((engine, _), runs) in engines.iter().zip(&mut runs) {
            runs.push(closed(pace, 256, |_, tally| engine.clone().caller(tally)).await?);
        }
    }
    let runs = runs.map(Runs);
    for (shards, measured) in counts.iter().zip(&runs) {
        row.runs(&format!("{shards} shards"), "Ordinal", "commands/s", measured);
        if *shards > 1 {
            let what = format!("commands/s with {shards} shards against 1");
            row.goal(&what, measured.times(&runs[0]), Bound::AtLeast(0.85), "");
        }
    }
    for (engine, url) in engines {
        engine.close().await;
        lab.drop_database(&url).await?;
    }
    Ok(())
}

/// Appends orders of two events, as the actors would.
async fn fill(journal: &Journal, events: u64) -> anyhow::Result<()> {
    let orders = |order: Command| history(&[order, Template::confirm()]);
    fill_with(journal, events / 2, &Template::new()?, orders).await
}

/// Appends this many orders, each with the history computed from its placing.
///
/// # Errors
/// Where the journal refuses one.
pub async fn fill_with(
    journal: &Journal,
    orders: u64,
    template: &Template,
    history: impl Fn(Command) -> anyhow::Result<Vec<NewEvent>>,
) -> anyhow::Result<()> {
    let mut appends = futures::stream::iter(0..orders)
        .map(|_| {
            let order_id = OrderId::mint();
            let history = history(template.place(order_id));
            async move { journal.append(order_id, 0, history?).await.map_err(Into::into) }
        })
        .buffer_unordered(FILLING);
    while let Some(appended) = appends.next().await {
        let appended: anyhow::Result<_> = appended;
        appended?;
    }
    Ok(())
}

/// The events of these commands, one after another, now.
///
/// # Errors
/// Where the order refuses one.
pub fn history(commands: &[Command]) -> anyhow::Result<Vec<NewEvent>> {
    history_at(commands, SystemClock.now())
}

/// The events of these commands at this time.
///
/// # Errors
/// Where the order refuses one.
pub fn history_at(commands: &[Command], now: Timestamp) -> anyhow::Result<Vec<NewEvent>> {
    let (mut order, mut events) = (Order::Absent, Vec::new());
    for command in commands {
        let by: By = shop_or_stock(command);
        let decided: Vec<Event> = decide(&order, command, &by, now, &Policy::default())?;
        let metadata = Metadata {
            by,
            request_id: None,
            fingerprint: None,
            causation: None,
            traceparent: None,
            tracestate: None,
        };
        for event in decided {
            events.push(encode(&event, &metadata)?);
            order = evolve(order, &event)?;
        }
    }
    Ok(events)
}

async fn replayed(
    pace: Pace,
    journal: &Journal,
    url: &str,
    size: u64,
    row: &mut Row,
) -> anyhow::Result<f64> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        let since = Instant::now();
        let events = journal.verify().await?;
        ours.push(number(events) / since.elapsed().as_secs_f64());
        theirs.push(number(events) / copied(url).await?.as_secs_f64());
    }
    let case = format!("{} events", short(number(size)));
    row.figure(&case, "Ordinal, verified", "events/s", Spread::of(ours.clone()));
    row.figure(&case, "COPY TO STDOUT", "events/s", Spread::of(theirs));
    let least = if pace.quick { Bound::Told } else { Bound::AtLeast(500_000.0) };
    row.goal(&format!("{case}: verified a second"), Spread::of(ours), least, "events/s");
    Ok(setting::resident_bytes())
}

async fn copied(url: &str) -> anyhow::Result<Duration> {
    let mut connection = PgConnection::connect(url).await?;
    let since = Instant::now();
    let copy = "COPY journal.events TO STDOUT";
    let mut bytes = sqlx::postgres::PgConnection::copy_out_raw(&mut connection, copy).await?;
    while let Some(part) = bytes.next().await {
        part?;
    }
    let took = since.elapsed();
    drop(bytes);
    connection.close().await?;
    Ok(took)
}

/// Memory per awake order.
async fn awake(engine: &Engine, pace: Pace, row: &mut Row) -> anyhow::Result<()> {
    let orders = pace.pick(20_000, 5_000);
    let limits = Limits { awake_max: 50_000, ..Limits::default() };
    let clock = Arc::new(SystemClock);
    let registry =
        Registry::start(engine.journal.clone(), clock, Policy::default(), limits).await?;
    let engine = engine.clone().with(registry.clone());
    let before = setting::resident_bytes();
    for _ in 0..orders / 500 {
        futures::future::try_join_all((0..500).map(|_| engine.place())).await?;
    }
    anyhow::ensure!(number(u64::try_from(registry.awake())?) >= number(orders), "some sleep");
    let each = (setting::resident_bytes() - before) / number(orders);
    row.figure("an order of two lines that is awake", "Ordinal", "bytes", Spread::once(each));
    row.goal("bytes per awake order", Spread::once(each), Bound::Told, "bytes");
    row.note("Memory of an awake order is what the process grew by; memory that was freed before and reused is not counted, so it is a lower bound.");
    registry.stop();
    Ok(())
}
