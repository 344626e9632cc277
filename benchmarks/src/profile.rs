//! Where the time goes: what each process and each statement costs for one order.
//! Never here: what is fast enough.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use order_actor::journal::open_postgres;
use order_actor::timers::{Clock, SystemClock};
use ordinal::lag;
use shared_events::contract::OrderId;
use sqlx::{Executor as _, Row as _};
use tokio::time::Instant;

use crate::lab::{self, Lab};
use crate::measure::{Pace, Run, number};
use crate::row::growth::{fill_with, history_at};
use crate::row::reaction::{self, AtRate};
use crate::setting::{cpu_micros_of, resident_bytes_of};
use crate::subject::client::{by_calls, by_stream, connect};
use crate::subject::cluster::operator;
use crate::subject::engine::{SHARDS, options};
use crate::work::request;

/// Statements that are told, the most expensive first.
const STATEMENTS: i64 = 24;
/// Followers see a million orders within this.
const SEEN_WITHIN: Duration = Duration::from_secs(30 * 60);
/// Callers, or commands of a stream under way.
const IN_FLIGHT: usize = 256;

/// `ordinal-bench profile`
#[derive(Debug, clap::Args)]
pub struct ProfileArgs {
    /// Of what.
    #[arg(value_enum, default_value = "reaction")]
    of: Of,
    /// For so many seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Of the reaction: so many orders a second, and not as many as go through.
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// Of the start: so many open orders.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    orders: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Of {
    /// Row 4: placed, reserved, confirmed, told, as many as go through.
    Reaction,
    /// Row 2: placed and cancelled by calls.
    Calls,
    /// Row 2b: placed and cancelled by a stream.
    Stream,
    /// The start of `ordinal serve` beside many open orders. Takes some minutes.
    Start,
}

/// Runs it and tells.
///
/// # Errors
/// Where a process or the database fails.
pub async fn run(args: ProfileArgs) -> anyhow::Result<()> {
    let time = Duration::from_secs(args.seconds);
    match args.of {
        Of::Reaction => reaction(time, args.rate).await,
        Of::Calls => commands(|pace, at| by_calls(pace, at, IN_FLIGHT), time).await,
        Of::Stream => commands(|pace, at| by_stream(pace, at, IN_FLIGHT), time).await,
        Of::Start => start(args.orders).await,
    }
}

async fn reaction(time: Duration, rate: Option<u64>) -> anyhow::Result<()> {
    let lab = Lab::open_counting().await?;
    let cluster = reaction::warm(&lab).await?;
    let meter = Meter::start(&lab, &cluster.processes()).await?;
    let orders = match rate {
        Some(rate) => {
            let AtRate { placed, confirmed } = reaction::at_rate(&cluster, rate, time).await?;
            for (what, took) in [("placed", &placed), ("confirmed", &confirmed)] {
                let at = |quantile| number(took.value_at_quantile(quantile)) / 1e3;
                println!("{what}: p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
            }
            confirmed.len()
        }
        None => reaction::sustained(&cluster, time).await?.orders,
    };
    reaction::level(&cluster).await?;
    meter.tell(&lab, orders).await?;
    cluster.close(&lab).await?;
    lab.close().await;
    Ok(())
}

/// Orders that are placed and cancelled, each two commands.
async fn commands(
    by: impl AsyncFn(Pace, SocketAddr) -> anyhow::Result<Run>,
    time: Duration,
) -> anyhow::Result<()> {
    let lab = Lab::open_counting().await?;
    let database = lab.database("profile").await?;
    let server = lab::server(&lab, "profile", &["serve", "--postgres", &database]).await?;
    let pace = |run| Pace { warm: Duration::ZERO, run, rounds: 1, quick: false };
    by(pace(Duration::from_secs(1)), server.address).await?;
    let meter = Meter::start(&lab, &[("orders", server.id())]).await?;
    let orders = by(pace(time), server.address).await?.latencies.len() / 2;
    meter.tell(&lab, orders).await?;
    lab::end(server).await;
    lab.close().await;
    Ok(())
}

/// How long `ordinal serve` takes from nothing until it has placed an order, beside so many open ones
/// that its followers have all seen before.
async fn start(orders: u64) -> anyhow::Result<()> {
    let lab = Lab::open().await?;
    let url = lab.database("start").await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let journal = open_postgres(&url, "orders_journal", options(&clock, SHARDS)).await?;
    // Nobody confirms them, and none lapses meanwhile.
    let later = clock.now().plus(Duration::from_secs(7 * 24 * 60 * 60));
    fill_with(&journal, orders, |place| history_at(&[place], later)).await?;
    journal.close().await;
    let program = std::env::current_exe()?;
    let mail = lab.mail()?.display().to_string();
    let flags =
        ["ordinal", "serve", "--database-url", &url, "--without-stock", "--mail-dir", &mail];
    let since = Instant::now();
    let serving = lab::start(&lab, "serve", &program, &flags).await?;
    let client = operator(serving.address).await?;
    let lag = lag::caught_up(&client, SEEN_WITHIN).await;
    let lag = lag.map_err(|failure| anyhow::anyhow!("followers: {failure}"))?;
    anyhow::ensure!(lag.values().all(|lag| *lag == 0), "not level in time: {lag:?}");
    println!(
        "lists, deadlines and messages had seen {orders} orders after {:.0} s",
        seconds(since)
    );
    lab::end(serving).await;
    for _ in 0..3 {
        let since = Instant::now();
        let serving = lab::start(&lab, "serve", &program, &flags).await?;
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

/// What processes and the database had used when it began.
struct Meter {
    since: Instant,
    processes: Vec<(&'static str, u32)>,
    used: Vec<Used>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    cpu_micros: u64,
    /// A thread waited for something.
    waits: u64,
    /// A thread was put aside for another.
    put_aside: u64,
}

impl Meter {
    async fn start(lab: &Lab, processes: &[(&'static str, Option<u32>)]) -> anyhow::Result<Self> {
        lab.checkpoint().await?;
        let mut admin = lab.connect("postgres").await?;
        admin.execute("SELECT pg_stat_statements_reset()").await?;
        let us = ("client", Some(std::process::id()));
        let all = processes.iter().copied().chain(lab.servers()).chain([us]);
        let processes: Vec<_> = all.filter_map(|(name, id)| Some((name, id?))).collect();
        let used = processes.iter().map(|(_, id)| used(*id)).collect();
        Ok(Self { since: Instant::now(), processes, used })
    }

    async fn tell(self, lab: &Lab, orders: u64) -> anyhow::Result<()> {
        let seconds = self.since.elapsed().as_secs_f64();
        println!("{orders} orders in {seconds:.1} s, until everything was level\n");
        println!("| Process | CPU, µs an order | waits | put aside |\n|---|---|---|---|");
        let each = |count: u64| number(count) / number(orders.max(1));
        for ((name, id), before) in self.processes.iter().zip(&self.used) {
            let now = used(*id);
            println!(
                "| {name} | {:.0} | {:.2} | {:.2} |",
                each(now.cpu_micros.saturating_sub(before.cpu_micros)),
                each(now.waits.saturating_sub(before.waits)),
                each(now.put_aside.saturating_sub(before.put_aside)),
            );
        }
        println!(
            "\n| µs an order | calls an order | µs a call | rows a call | log bytes an order | Statement |"
        );
        println!("|---|---|---|---|---|---|");
        let mut admin = lab.connect("postgres").await?;
        let rows = sqlx::query(
            "SELECT total_exec_time + total_plan_time, calls, rows, wal_bytes::float8,
                    regexp_replace(query, '\\s+', ' ', 'g')
             FROM pg_stat_statements ORDER BY 1 DESC LIMIT $1",
        )
        .bind(STATEMENTS)
        .fetch_all(&mut admin)
        .await?;
        for row in rows {
            let (millis, calls): (f64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let (returned, log): (i64, f64) = (row.try_get(2)?, row.try_get(3)?);
            let text: String = row.try_get(4)?;
            let (calls, returned) = (number(calls.unsigned_abs()), number(returned.unsigned_abs()));
            let orders = number(orders.max(1));
            println!(
                "| {:.1} | {:.3} | {:.0} | {:.1} | {:.0} | {} |",
                millis * 1e3 / orders,
                calls / orders,
                millis * 1e3 / calls.max(1.0),
                returned / calls.max(1.0),
                log / orders,
                text.chars().take(110).collect::<String>().replace('|', "\\|"),
            );
        }
        Ok(())
    }
}

/// What a process and those that it started have used.
fn used(process: u32) -> Used {
    let mut all = switches(process);
    all.cpu_micros = cpu_micros_of(process).unwrap_or_default();
    let children = format!("/proc/{process}/task/{process}/children");
    for child in std::fs::read_to_string(children).unwrap_or_default().split_whitespace() {
        let Ok(child) = child.parse() else { continue };
        // Our own children are told apart.
        if process != std::process::id() {
            let of_child = used(child);
            all.cpu_micros += of_child.cpu_micros;
            all.waits += of_child.waits;
            all.put_aside += of_child.put_aside;
        }
    }
    all
}

/// Context switches of a process's threads.
fn switches(process: u32) -> Used {
    let mut all = Used::default();
    let threads =
        std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    for thread in threads {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let count = |key: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
        };
        all.waits += count("voluntary_ctxt_switches:");
        all.put_aside += count("nonvoluntary_ctxt_switches:");
    }
    all
}
