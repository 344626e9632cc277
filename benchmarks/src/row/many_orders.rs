use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use ordinal::client::lag;
use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::first_order::{free_ports, stock_of, up};
use super::reaction::{PRODUCTS, at_rate, sku, sustained};
use crate::lab::{Lab, free_address};
use crate::measure::{Pace, Spread, number};
use crate::meter::cpu_by_name;
use crate::report::{Bound, Row, short};
use crate::setting::{Memory, resident_bytes_of};
use crate::subject::cluster::{fill_shelves, operator};
use crate::subject::one_process::{On, OneProcess};
use crate::subject::telemetry::scraped;

/// Orders that wait for stock at most.
const OPEN_MAX: usize = 1_024;
/// Time limit for followers and for messages that are being sent.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(10 * 60);
/// Orders go to sleep after two minutes, and are looked for every ten seconds.
const ASLEEP_WITHIN: Duration = Duration::from_secs(5 * 60);
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// Three quarters of the most that an order took when that goal was set (3.0 to 3.5 kB).
const BYTES_MAX: f64 = 2_625.0;

/// Rows 19, 20 and 21: memory, `verify` and disk after many orders.
///
/// # Errors
/// Where an engine fails, or a law does not hold.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Vec<Row>> {
    let mut memory = Row::new(
        "19",
        "memory after 100,000 orders at full rate, and what an idle engine costs",
        "`ordinal serve` with everything, started again after the first 10,000 orders, so that the process has seen some 90,000; as many orders as go through, at most 1,024 waiting for stock. At once: when the last one was confirmed. Asleep: when all have \
         gone to sleep (two minutes) and all messages were sent. Idle: CPU over a minute, asleep and without a client. The cluster is that of `ordinal cluster up` after some orders; its servers are counted apart.",
    );
    let mut verify = Row::new(
        "20",
        "`ordinal verify`, every law",
        "From the start of the program on the stopped engine's data to its verdict; in a process of its own. Memory is the most, sampled every 100 ms.",
    );
    let mut disk = Row::new(
        "21",
        "disk an order",
        "Of a stopped engine with all its services, without mails: the files, or the size of the Postgres database after VACUUM (the server's log is the server's).",
    );
    // Only what grows is measured again at each size.
    let sizes: &[u64] = match pace {
        Pace { quick: true, .. } => &[500, 2_000],
        Pace { large: true, .. } => &[10_000, 100_000, 1_000_000],
        _ => &[10_000, 100_000],
    };
    for on in [On::Sqlite, On::Postgres] {
        let metrics = free_address()?;
        let flags = ["--metrics-listen".to_owned(), metrics.to_string()];
        let mut one = OneProcess::start(lab, on, &flags).await?;
        fill_shelves(one.address(), (0..PRODUCTS).map(sku)).await?;
        let mut orders = 0;
        for size in sizes {
            orders += placed(&one, size.saturating_sub(orders)).await?;
            if *size == 100_000 || pace.quick {
                remembered(&mut memory, on, &one, metrics, *size, pace).await?;
            } else {
                settled(&one).await?;
            }
            one.stop().await;
            stored(&mut disk, lab, on, &one, (*size, orders)).await?;
            verified(&mut verify, on, &one, (*size, orders)).await?;
            one.run()?;
            listening(&one).await?;
        }
        one.end(lab).await?;
    }
    idle_cluster(&mut memory, lab, pace).await?;
    if !pace.large {
        verify.note("A million orders: `scripts/bench --rows 20 --large`.");
    }
    Ok(vec![memory, verify, disk])
}

async fn listening(one: &OneProcess) -> anyhow::Result<()> {
    let until = Instant::now() + STOPS_WITHIN;
    while tokio::net::TcpStream::connect(one.address()).await.is_err() {
        anyhow::ensure!(Instant::now() < until, "does not listen again");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Places at least this many orders at full rate; how many.
async fn placed(one: &OneProcess, orders: u64) -> anyhow::Result<u64> {
    let mut placed = 0;
    while placed < orders {
        // Some 3,000 a second; the last ones in short runs.
        let seconds = ((orders - placed) / 6_000).clamp(1, 10);
        let time = Duration::from_secs(seconds);
        placed += sustained(one.address(), OPEN_MAX, time).await?.orders;
    }
    Ok(placed)
}

/// Waits until every follower has read everything.
async fn settled(one: &OneProcess) -> anyhow::Result<()> {
    let client = operator(one.address()).await?;
    let last = lag::caught_up(&client, CATCH_UP_WITHIN).await;
    let last = last.map_err(|failure| anyhow::anyhow!("followers: {failure}"))?;
    anyhow::ensure!(last.values().all(|lag| *lag == 0), "not caught up in time: {last:?}");
    Ok(())
}

/// The value of a metric without labels.
async fn metric(at: std::net::SocketAddr, name: &str) -> anyhow::Result<f64> {
    let page = scraped(at).await?;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no metric {name}"))?.trim().parse()?)
}

/// Row 19, for one process.
async fn remembered(
    row: &mut Row,
    on: On,
    one: &OneProcess,
    metrics: std::net::SocketAddr,
    size: u64,
    pace: Pace,
) -> anyhow::Result<()> {
    let id = one.id().context("the engine has ended")?;
    let at_once = resident_bytes_of(id) / 1e6;
    let awake = metric(metrics, "ordinal_orders_awake").await?;
    settled(one).await?;
    let until = Instant::now() + if pace.quick { Duration::from_secs(1) } else { ASLEEP_WITHIN };
    let mut still = awake;
    while still > 0.0 && Instant::now() < until {
        sleep(Duration::from_secs(1)).await;
        still = metric(metrics, "ordinal_orders_awake").await?;
    }
    anyhow::ensure!(pace.quick || still == 0.0, "{still} orders do not go to sleep");
    let asleep = resident_bytes_of(id) / 1e6;
    let used: f64 = idle(id, pace).await.values().sum();
    let case = format!("after {} orders", short(number(size)));
    let mut say = |case: &str, unit: &str, value: f64, bound: Bound| {
        row.figure(case, on.name(), unit, Spread::once(value));
        row.goal(&format!("{}, {case}", on.name()), Spread::once(value), bound, unit);
    };
    // Small runs have nothing to remember.
    let bound = |most| if pace.quick { Bound::Told } else { Bound::AtMost(most) };
    say(&format!("{case}, at once"), "MB", at_once, bound(250.0));
    say(&format!("{case}, asleep"), "MB", asleep, bound(120.0));
    say(&format!("{case}, idle"), "% of a core", used, bound(0.5));
    row.note(format!(
        "{}: {awake:.0} orders were awake at once, {still:.0} when it was asleep.",
        on.name()
    ));
    Ok(())
}

/// Percent of a core that a process uses with its children, by the name of their programs.
async fn idle(process: u32, pace: Pace) -> BTreeMap<String, f64> {
    let (before, since) = (cpu_by_name(process), Instant::now());
    sleep(Duration::from_secs(pace.pick(60, 2))).await;
    let seconds = since.elapsed().as_secs_f64();
    let after = cpu_by_name(process).into_iter();
    let used = |name: &str, now: f64| now - before.get(name).copied().unwrap_or_default();
    after.map(|(name, now)| (name.clone(), used(&name, now).max(0.0) / seconds * 1e2)).collect()
}

/// Row 19, for `ordinal cluster up`.
async fn idle_cluster(row: &mut Row, lab: &Lab, pace: Pace) -> anyhow::Result<()> {
    let mut cluster = up(lab, free_ports()?)?;
    cluster.start()?;
    let measured = async {
        let stock = stock_of(&cluster);
        let until = Instant::now() + STOPS_WITHIN;
        while fill_shelves(stock, (0..PRODUCTS).map(sku)).await.is_err() {
            anyhow::ensure!(Instant::now() < until, "the cluster does not answer");
            sleep(Duration::from_millis(100)).await;
        }
        at_rate(cluster.address, 50, Duration::from_secs(2)).await?;
        // Its messages are sent, its caches filled.
        sleep(Duration::from_secs(pace.pick(30, 1))).await;
        Ok(idle(cluster.id().context("the cluster has ended")?, pace).await)
    };
    let used = measured.await;
    cluster.stop(Signal::TERM, STOPS_WITHIN).await;
    let used = used?;
    let of_server = |name: &str| name.starts_with("postgres") || name.starts_with("redis");
    let sum = |servers: bool| -> f64 {
        used.iter().filter(|(name, _)| of_server(name) == servers).map(|(_, used)| used).sum()
    };
    let (ours, servers) = (Spread::once(sum(false)), Spread::once(sum(true)));
    row.figure("cluster up, idle", "Ordinal, all processes", "% of a core", ours);
    row.figure("cluster up, idle", "its Postgres and Redis", "% of a core", servers);
    row.goal("cluster up, idle: all processes", ours, Bound::AtMost(2.0), "% of a core");
    row.goal("cluster up, idle: its servers", servers, Bound::Told, "% of a core");
    Ok(())
}

/// Row 20: the time of `ordinal verify`, and its memory.
async fn verified(
    row: &mut Row,
    on: On,
    one: &OneProcess,
    (size, orders): (u64, u64),
) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["ordinal", "verify"]);
    match &one.database {
        Some(url) => command.args(["--database-url", url]),
        None => command.arg("--data").arg(&one.directory),
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let since = Instant::now();
    let child = command.spawn()?;
    let memory = Memory::watch(child.id().context("verify has ended")?);
    let output = child.wait_with_output().await?;
    let seconds = since.elapsed().as_secs_f64();
    let most = memory.most().await? / 1e6;
    let said = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "verify: {said}");
    let case = format!("{} orders", short(number(size)));
    let rate = Spread::once(number(orders) / seconds);
    row.figure(&case, on.name(), "orders/s", rate);
    row.figure(&case, on.name(), "MB at most", Spread::once(most));
    let bound = if size < 100_000 { Bound::Told } else { Bound::AtLeast(20_000.0) };
    row.goal(&format!("{}, {case}: verified", on.name()), rate, bound, "orders/s");
    let what = format!("{}, {case}: memory", on.name());
    row.goal(&what, Spread::once(most), Bound::Told, "MB");
    Ok(())
}

/// Row 21: what it left on the disk.
async fn stored(
    row: &mut Row,
    lab: &Lab,
    on: On,
    one: &OneProcess,
    (size, orders): (u64, u64),
) -> anyhow::Result<()> {
    let bytes = match &one.database {
        None => bytes_in(&one.directory)?,
        Some(url) => {
            let name = url.rsplit('/').next().context("a database has a name")?;
            let mut connection = lab.connect(name).await?;
            sqlx::raw_sql("VACUUM").execute(&mut connection).await?;
            let size = "SELECT pg_database_size(current_database())";
            let size: i64 = sqlx::query_scalar(size).fetch_one(&mut connection).await?;
            size.unsigned_abs()
        }
    };
    let each = Spread::once(number(bytes) / number(orders));
    let case = format!("after {} orders", short(number(size)));
    row.figure(&case, on.name(), "bytes an order", each);
    let bound = if size < 100_000 { Bound::Told } else { Bound::AtMost(BYTES_MAX) };
    row.goal(&format!("{}, {case}", on.name()), each, bound, "bytes an order");
    Ok(())
}

fn bytes_in(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
