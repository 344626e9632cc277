use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::reaction::{OPEN_MAX, at_rate, sustained, warmed};
use crate::lab::{self, Lab};
use crate::measure::{Pace, Run, Runs, Spread, number};
use crate::report::{Bound, Row};
use crate::setting::{Memory, resident_bytes_of};
use crate::subject::client::{by_calls, placed_at_rate};
use crate::subject::cluster::Cluster;
use crate::subject::collector::{Collector, Manner};
use crate::subject::driven::driven;
use crate::subject::one_process::without_stock;
use crate::subject::telemetry::Telemetry;

/// What is asked for: this share of the throughput without it.
const AT_LEAST: Bound = Bound::AtLeast(0.95);
const ON: &str = "Ordinal, looked at";
const OFF: &str = "Ordinal";
/// Time for a process to end; longer than it drains.
const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// The time in which a process drains.
const DRAINS_WITHIN: f64 = 10.0;

/// Row 22: the cost of metrics, spans and logs, in the work of rows 1, 2 and 4.
///
/// # Errors
/// Where a contender fails, or nothing looked at it.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "22",
        "the cost of being looked at, in the work of rows 1, 2 and 4",
        "Looked at: metrics are read every 5 s, 1 % of the calls are recorded as spans and sent to a collector in the client's process, lines of \
         the log are JSON. Beside it the same without any of this, in turns, on a database of its own. Row 1's work: engine and 256 callers in one \
         process, where only the page of metrics is made and nobody fetches it. Row 2's: calls to `ordinal serve` without stock, 256 in flight; a third process writes a line of the log for each call. \
         Row 4's: three processes and Redis, as many orders as go through, and the time to confirmed at 1,000 a second.",
    );
    // A scrape in each run.
    let pace = Pace { run: Duration::from_millis(pace.pick(8_000, 600)), ..pace };
    in_process(lab, pace, &mut row).await?;
    calls(lab, pace, &mut row).await?;
    reaction(lab, pace, &mut row).await?;
    Ok(row)
}

async fn in_process(lab: &Lab, pace: Pace, row: &mut Row) -> anyhow::Result<()> {
    let collector = Collector::start(Manner::Takes).await?;
    let databases = [lab.database("looked_at").await?, lab.database("alone").await?];
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        on.push(driven(pace, 256, &databases[0], Some(&collector.url)).await?);
        off.push(driven(pace, 256, &databases[1], None).await?);
    }
    anyhow::ensure!(collector.taken() > 0, "no span has arrived");
    for url in &databases {
        lab.drop_database(url).await?;
    }
    let case = "row 1, 256 callers";
    compared(row, case, (ON, on), &Runs(off), AT_LEAST);
    Ok(())
}

/// Both contenders, and what one keeps of the other's throughput.
fn compared(row: &mut Row, case: &str, (who, on): (&str, Vec<Run>), off: &Runs, bound: Bound) {
    let on = Runs(on);
    row.runs(case, who, "commands/s", &on);
    row.runs(case, OFF, "commands/s", off);
    row.goal(&format!("{case}: {who}, against not"), on.times(off), bound, "");
    let latency = on.latency_times(off, 0.99);
    row.goal(&format!("{case}: {who}, p99 against not"), latency, Bound::Told, "");
}

fn borrowed(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

async fn calls(lab: &Lab, pace: Pace, row: &mut Row) -> anyhow::Result<()> {
    const EACH: &str = "Ordinal, looked at, a line for each call";
    let mut telemetry = Telemetry::default();
    let flags = telemetry.flags().await?;
    let (on, on_url) = without_stock(lab, "looked-at", &borrowed(&flags)).await?;
    let flags: Vec<String> =
        telemetry.flags().await?.into_iter().chain(["--access-log".into(), "all".into()]).collect();
    let (each, each_url) = without_stock(lab, "each", &borrowed(&flags)).await?;
    let (off, off_url) = without_stock(lab, "alone", &[]).await?;
    telemetry.scrape();
    let mut runs = [const { Vec::new() }; 3];
    for _ in 0..pace.rounds {
        runs[0].push(by_calls(pace, on.address, 256).await?);
        runs[1].push(by_calls(pace, off.address, 256).await?);
        runs[2].push(by_calls(pace, each.address, 256).await?);
    }
    telemetry.look_away().await?;
    for process in [on, off, each] {
        lab::end(process).await;
    }
    telemetry.end()?;
    for url in [on_url, each_url, off_url] {
        lab.drop_database(&url).await?;
    }
    let [on, off, each] = runs;
    let (case, off) = ("row 2, 256 in flight", Runs(off));
    compared(row, case, (ON, on), &off, AT_LEAST);
    let each = Runs(each);
    row.runs(case, EACH, "commands/s", &each);
    row.goal(&format!("{case}: {EACH}, against not"), each.times(&off), Bound::Told, "");
    Ok(())
}

async fn reaction(lab: &Lab, pace: Pace, row: &mut Row) -> anyhow::Result<()> {
    let time = Duration::from_secs(pace.pick(15, 2));
    let mut rates = [const { Vec::new() }; 2];
    let mut waits = [const { Vec::new() }; 2];
    for _ in 0..pace.rounds {
        for (at, looked_at) in [(0, true), (1, false)] {
            let mut telemetry = looked_at.then(Telemetry::default);
            let cluster = warmed(Cluster::start_with(lab, telemetry.as_mut()).await?).await?;
            if let Some(telemetry) = &mut telemetry {
                telemetry.scrape();
            }
            let steady = at_rate(cluster.address(), 1_000, time / 3).await?.confirmed;
            waits[at].push(number(steady.value_at_quantile(0.99)) / 1e3);
            rates[at].push(sustained(cluster.address(), OPEN_MAX, time).await?.rate);
            if let Some(telemetry) = &mut telemetry {
                telemetry.look_away().await?;
            }
            cluster.close(lab).await?;
            telemetry.map(Telemetry::end).transpose()?;
        }
    }
    let times = |of: &[Vec<f64>; 2]| {
        Spread::of(of[0].iter().zip(&of[1]).map(|(on, off)| on / off.max(f64::MIN_POSITIVE)))
    };
    for (at, who) in [(0, ON), (1, OFF)] {
        let case = "row 4, sustained";
        row.figure(case, who, "orders/s", Spread::of(rates[at].iter().copied()));
        let case = "row 4, p99 to confirmed at 1,000/s";
        row.figure(case, who, "ms", Spread::of(waits[at].iter().copied()));
    }
    row.goal("row 4, sustained: looked at, against not", times(&rates), AT_LEAST, "");
    let what = "row 4, p99 to confirmed at 1,000/s: looked at, against not";
    row.goal(what, times(&waits), Bound::Told, "");
    Ok(())
}

/// Row 23: commands beside a collector that takes no spans.
///
/// # Errors
/// Where the engine fails.
pub async fn collectors(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "23",
        "commands beside a collector that is slow, refuses or is frozen",
        "`ordinal serve` on Postgres without stock, every call recorded; 500 orders a second are placed by calls, whether or not earlier ones have ended. Slow: the collector answers after 4 s. \
         Refuses: it answers 503. Frozen: it accepts connections and reads nothing. Memory is the most, sampled every 100 ms, above that before the load. The end: from SIGTERM until the process is gone.",
    );
    let time = Duration::from_secs(pace.pick(20, 2));
    let rate = pace.pick(500, 50);
    let cases = [
        ("no collector", None),
        ("one that takes spans", Some(Manner::Takes)),
        ("slow", Some(Manner::Slow)),
        ("refuses", Some(Manner::Refuses)),
        ("frozen", Some(Manner::Frozen)),
    ];
    let mut seen = cases.map(|_| [const { Vec::new() }; 3]);
    for _ in 0..pace.rounds {
        for ((_, manner), seen) in cases.iter().zip(&mut seen) {
            let values = beside(lab, *manner, (rate, time)).await?;
            seen.iter_mut().zip(values).for_each(|(seen, value)| seen.push(value));
        }
    }
    let [_, healthy, ..] = &seen;
    let [healthy_p99, healthy_memory, _] = healthy.clone();
    for ((case, manner), [p99, memory, ends]) in cases.iter().zip(&seen) {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        row.figure(case, "Ordinal", "ms to placed, p99", spread(p99));
        row.figure(case, "Ordinal", "MB more at most", spread(memory));
        row.figure(case, "Ordinal", "s to end", spread(ends));
        row.goal(&format!("{case}: the end"), spread(ends), Bound::AtMost(DRAINS_WITHIN), "s");
        if matches!(manner, None | Some(Manner::Takes)) {
            continue;
        }
        let times = p99.iter().zip(&healthy_p99).map(|(p99, healthy)| p99 / healthy.max(0.001));
        let what = format!("{case}: p99 against one that takes spans");
        row.goal(&what, Spread::of(times), Bound::AtMost(1.25), "");
        // Spans that wait are bounded: twice 16,384.
        let more = memory.iter().zip(&healthy_memory).map(|(most, healthy)| most - healthy);
        let what = format!("{case}: memory above one that takes spans");
        row.goal(&what, Spread::of(more), Bound::AtMost(64.0), "MB");
    }
    Ok(row)
}

/// The p99 in milliseconds, the memory that was taken in MB, and seconds until the process ended.
async fn beside(
    lab: &Lab,
    manner: Option<Manner>,
    (rate, time): (u64, Duration),
) -> anyhow::Result<[f64; 3]> {
    let collector = match manner {
        Some(manner) => Some(Collector::start(manner).await?),
        None => None,
    };
    let flags = collector.iter().flat_map(|it| ["--otlp-endpoint".to_owned(), it.url.clone()]);
    let (mut process, url) =
        without_stock(lab, "beside", &borrowed(&flags.collect::<Vec<_>>())).await?;
    placed_at_rate(process.address, rate, time / 10).await?;
    let id = process.id().unwrap_or_default();
    let before = resident_bytes_of(id);
    let memory = Memory::watch(id);
    let placed = placed_at_rate(process.address, rate, time).await?;
    let most = memory.most().await?;
    let since = Instant::now();
    process.stop(Signal::TERM, STOPS_WITHIN).await;
    let ends = since.elapsed().as_secs_f64();
    if let (Some(collector), Some(Manner::Takes)) = (&collector, manner) {
        anyhow::ensure!(collector.taken() > 0, "no span has arrived");
    }
    lab.drop_database(&url).await?;
    let p99 = number(placed.value_at_quantile(0.99)) / 1e3;
    Ok([p99, (most - before).max(0.0) / 1e6, ends])
}
