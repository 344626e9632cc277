//! Where the time goes: a workload for a while, and its cost per order.
//!
//! Never here: what is fast enough.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use order_actor::clock::{Clock, SystemClock};
use order_actor::journal::open_postgres;
use ordinal::client::lag;
use shared_events::contract::OrderId;
use tokio::time::Instant;

use crate::lab::{self, Lab};
use crate::measure::{Pace, Run, closed, number};
use crate::meter::{Cost, Meter};
use crate::row::growth::{fill_with, history_at};
use crate::row::reaction::{self, AtRate};
use crate::setting::resident_bytes_of;
use crate::subject::client::{by_calls, by_stream, connect};
use crate::subject::cluster::operator;
use crate::subject::engine::{Engine, SHARDS, options};
use crate::subject::one_process::without_stock_on;
use crate::work::{Template, request};

/// Time limit for followers to read a million orders.
const READ_WITHIN: Duration = Duration::from_secs(30 * 60);
/// Callers, or commands of a stream under way.
const IN_FLIGHT: usize = 256;
/// The orders a second of row 4.
const RATE: u64 = 1_000;

/// `ordinal-bench profile`
#[derive(Debug, clap::Args)]
pub struct ProfileArgs {
    /// The workload.
    #[arg(value_enum, default_value = "reaction")]
    of: Of,
    /// Duration in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Draw a flame graph over all processes, as SVG. Needs `perf`.
    #[arg(long, value_name = "FILE")]
    flame: Option<PathBuf>,
    /// For `reaction`: this many orders a second, instead of as many as possible.
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// For `engine`: number of callers.
    #[arg(long, value_name = "N", default_value_t = IN_FLIGHT)]
    callers: usize,
    /// For `engine`: the database.
    #[arg(long, value_enum, default_value = "postgres")]
    on: On,
    /// For `engine`: number of shards of the journal, on Postgres.
    #[arg(long, value_name = "N", default_value_t = SHARDS)]
    shards: u16,
    /// For `start`: number of open orders.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    orders: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Of {
    /// Row 1: place and confirm within this process, with journal and actors only.
    Engine,
    /// Row 2: place and cancel by calls.
    Calls,
    /// Row 2b: place and cancel by a stream.
    Stream,
    /// Row 4: place, reserve, confirm, notify, as many as possible.
    Reaction,
    /// The start of `ordinal serve` with many open orders. Takes some minutes.
    Start,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum On {
    Postgres,
    Sqlite,
    Memory,
}

/// Runs a workload and prints its cost.
///
/// # Errors
/// Where a process or the database fails.
pub async fn run(args: ProfileArgs) -> anyhow::Result<()> {
    if let Of::Start = args.of {
        return start(args.orders).await;
    }
    let lab = Lab::open_counting().await?;
    let time = Duration::from_secs(args.seconds);
    let cost = match args.of {
        Of::Reaction => reaction(&lab, time, args.rate).await?,
        Of::Calls => calls(&lab, time).await?,
        Of::Stream => stream(&lab, time).await?,
        Of::Engine | Of::Start => engine(&lab, time, args.on, args.callers, args.shards).await?,
    };
    println!("{}", cost.page()?);
    if let Some(file) = args.flame {
        cost.draw(&file)?;
    }
    lab.close().await;
    Ok(())
}

/// The workloads of a report, each with the name of its flame graph.
///
/// # Errors
/// As [`run`].
pub async fn of_report(lab: &Lab, time: Duration) -> anyhow::Result<Vec<(&'static str, Cost)>> {
    Ok(vec![
        ("engine", engine(lab, time, On::Postgres, IN_FLIGHT, SHARDS).await?),
        ("engine-256-shards", engine(lab, time, On::Postgres, IN_FLIGHT, 256).await?),
        ("engine-sqlite", engine(lab, time, On::Sqlite, IN_FLIGHT, SHARDS).await?),
        ("calls", calls(lab, time).await?),
        ("stream", stream(lab, time).await?),
        ("reaction", reaction(lab, time, None).await?),
        ("reaction-steady", reaction(lab, time, Some(RATE)).await?),
    ])
}

async fn engine(
    lab: &Lab,
    time: Duration,
    on: On,
    callers: usize,
    shards: u16,
) -> anyhow::Result<Cost> {
    let (engine, over) = match on {
        On::Postgres => {
            let engine = Engine::postgres(&lab.database("engine").await?, shards).await?;
            (engine, format!("Postgres, {shards} shards"))
        }
        On::Sqlite => {
            let file = lab.directory("engine")?.join("journal.db");
            (Engine::sqlite(&file).await?, "SQLite".to_owned())
        }
        On::Memory => (Engine::memory().await?, "memory".to_owned()),
    };
    let drive = |time| closed(pace(time), callers, |_, tally| engine.clone().caller(tally));
    drive(Duration::from_secs(1)).await?;
    let meter = Meter::start(lab, &[]).await?;
    let run = drive(time).await?;
    let of = format!("created and confirmed in one process by {callers} callers, on {over}");
    let mut cost = meter.cost(lab, &of, run.latencies.len() / 2).await?;
    cost.remarks.push(of_run(&run));
    engine.close().await;
    Ok(cost)
}

async fn calls(lab: &Lab, time: Duration) -> anyhow::Result<Cost> {
    let by = async |time, at| by_calls(pace(time), at, IN_FLIGHT).await;
    commands(lab, "placed and cancelled by calls, 256 under way", by, time).await
}

async fn stream(lab: &Lab, time: Duration) -> anyhow::Result<Cost> {
    let by = async |time, at| by_stream(pace(time), at, IN_FLIGHT).await;
    commands(lab, "placed and cancelled by a stream, 256 under way", by, time).await
}

async fn commands(
    lab: &Lab,
    of: &str,
    by: impl AsyncFn(Duration, SocketAddr) -> anyhow::Result<Run>,
    time: Duration,
) -> anyhow::Result<Cost> {
    let database = lab.database("profile").await?;
    let server = lab::server(lab, "profile", &["serve", "--postgres", &database]).await?;
    by(Duration::from_secs(1), server.address).await?;
    let meter = Meter::start(lab, &[("orders", server.id())]).await?;
    let run = by(time, server.address).await?;
    let mut cost = meter.cost(lab, of, run.latencies.len() / 2).await?;
    cost.remarks.push(of_run(&run));
    lab::end(server).await;
    Ok(cost)
}

async fn reaction(lab: &Lab, time: Duration, rate: Option<u64>) -> anyhow::Result<Cost> {
    let cluster = reaction::warm(lab).await?;
    let meter = Meter::start(lab, &cluster.processes()).await?;
    let (orders, remarks, how) = match rate {
        Some(rate) => {
            let AtRate { placed, confirmed } =
                reaction::at_rate(cluster.address(), rate, time).await?;
            let remark = |(what, took): (&str, &hdrhistogram::Histogram<u64>)| {
                let at = |quantile| number(took.value_at_quantile(quantile)) / 1e3;
                format!("To {what}: p50 {:.1} ms, p99 {:.1} ms.", at(0.5), at(0.99))
            };
            let remarks = [("placed", &placed), ("confirmed", &confirmed)].map(remark).to_vec();
            (confirmed.len(), remarks, format!("{rate} a second"))
        }
        None => {
            let orders =
                reaction::sustained(cluster.address(), reaction::OPEN_MAX, time).await?.orders;
            (orders, Vec::new(), "as many as go through".to_owned())
        }
    };
    reaction::caught_up(&cluster).await?;
    let of = format!("placed, reserved, confirmed, notified, {how}");
    let mut cost = meter.cost(lab, &of, orders).await?;
    cost.remarks.extend(remarks);
    cluster.close(lab).await?;
    Ok(cost)
}

/// Everything counts: the warm-up has run before.
fn pace(run: Duration) -> Pace {
    Pace { warm: Duration::ZERO, run, rounds: 1, quick: false, large: false }
}

/// An order is two commands.
fn of_run(run: &Run) -> String {
    let p99 = number(run.latencies.value_at_quantile(0.99)) / 1e3;
    format!("{:.0} commands/s, p99 {p99:.1} ms; an order is two commands.", run.rate)
}

/// Time of `ordinal serve` from its start until it has placed an order, with this many open orders
/// that its followers have all read before.
async fn start(orders: u64) -> anyhow::Result<()> {
    let lab = Lab::open().await?;
    let url = lab.database("start").await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let journal = open_postgres(&url, "orders_journal", options(&clock, SHARDS)).await?;
    // Nobody confirms them, and none lapses meanwhile.
    let later = clock.now().plus(Duration::from_secs(7 * 24 * 60 * 60));
    fill_with(&journal, orders, &Template::new()?, |place| history_at(&[place], later)).await?;
    journal.close().await;
    let since = Instant::now();
    let serving = without_stock_on(&lab, "serve", &url, &[]).await?;
    let client = operator(serving.address).await?;
    let lag = lag::caught_up(&client, READ_WITHIN).await;
    let lag = lag.map_err(|failure| anyhow::anyhow!("followers: {failure}"))?;
    anyhow::ensure!(lag.values().all(|lag| *lag == 0), "not caught up in time: {lag:?}");
    println!(
        "lists, deadlines and messages had read {orders} orders after {:.0} s",
        seconds(since)
    );
    lab::end(serving).await;
    for _ in 0..3 {
        let since = Instant::now();
        let serving = without_stock_on(&lab, "serve", &url, &[]).await?;
        let listens = seconds(since);
        let mut client = connect(serving.address).await?;
        while client.place_order(request(OrderId::mint(), ["85123A", "22423"])).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let id = serving.id().unwrap_or_default();
        let placed = seconds(since);
        let megabytes = resident_bytes_of(id) / 1e6;
        println!(
            "listens after {listens:.2} s, first order placed after {placed:.2} s, {megabytes:.0} MB"
        );
        lab::end(serving).await;
    }
    lab.close().await;
    Ok(())
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
