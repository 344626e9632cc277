use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::SystemClock;
use ordinal::engine::spans::Otlp;
use ordinal::logs;
use serde::{Deserialize, Serialize};
use shared_events::metric::{self, Page};
use tokio::process::Command;

use super::engine::{Engine, SHARDS};
use super::telemetry::{SAMPLED, SCRAPED_EVERY};
use crate::measure::{Pace, Run, closed, latencies};

/// `ordinal-bench drive`: the engine of row 1 and its callers in a process of their own, because
/// what looks at a process looks at all of it.
#[derive(Debug, clap::Args)]
pub struct DriveArgs {
    /// Its Postgres database.
    #[arg(long)]
    postgres: String,
    /// Callers.
    #[arg(long)]
    callers: usize,
    /// Warm-up in milliseconds.
    #[arg(long)]
    warm: u64,
    /// Time in milliseconds.
    #[arg(long)]
    run: u64,
    /// The collector of spans: everything is looked at then.
    #[arg(long)]
    otlp_endpoint: Option<String>,
    /// As for `ordinal`; read where lines of the log begin.
    #[arg(long)]
    log_format: Option<String>,
}

/// A run, as it is printed.
#[derive(Serialize, Deserialize)]
struct Printed {
    rate: f64,
    /// How often there was which latency.
    latencies: Vec<(u64, u64)>,
}

/// Runs in this process and prints the result.
///
/// # Errors
/// Where the engine fails.
pub async fn drive(args: DriveArgs) -> anyhow::Result<()> {
    let sending = args.otlp_endpoint.as_deref().map(look_at_everything).transpose()?;
    let engine = Engine::postgres(&args.postgres, SHARDS).await?;
    let (warm, run) = (Duration::from_millis(args.warm), Duration::from_millis(args.run));
    let pace = Pace { warm, run, rounds: 1, quick: false, large: false };
    let run = closed(pace, args.callers, |_, tally| engine.clone().caller(tally)).await?;
    engine.close().await;
    if let Some(sending) = sending {
        sending.end().await;
    }
    let counts = run.latencies.iter_recorded();
    let latencies =
        counts.map(|count| (count.value_iterated_to(), count.count_at_value())).collect();
    println!("{}", serde_json::to_string(&Printed { rate: run.rate, latencies })?);
    Ok(())
}

/// Counts, keeps spans and names in logs what they belong to, as `ordinal serve` does when asked.
fn look_at_everything(url: &str) -> anyhow::Result<ordinal::engine::spans::Sending> {
    let ratio = SAMPLED.parse().map_err(|error| anyhow::anyhow!("{error}"))?;
    let process = logs::Process {
        service: "ordinal-bench".to_owned(),
        node: "bench".to_owned(),
        role: "orders",
    };
    logs::use_format(logs::LogFormat::Json);
    logs::name(process.clone());
    metric::begin();
    tokio::spawn(async {
        loop {
            std::hint::black_box(Page::default().text());
            tokio::time::sleep(SCRAPED_EVERY).await;
        }
    });
    Otlp::new(url, ratio)?.begin(&process, Arc::new(SystemClock))
}

/// Runs it in a process of its own.
///
/// # Errors
/// Where it fails.
pub async fn driven(
    pace: Pace,
    callers: usize,
    database: &str,
    collector: Option<&str>,
) -> anyhow::Result<Run> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["drive", "--postgres", database, "--callers", &callers.to_string()]);
    command.args(["--warm", &pace.warm.as_millis().to_string()]);
    command.args(["--run", &pace.run.as_millis().to_string()]);
    if let Some(url) = collector {
        command.args(["--otlp-endpoint", url, "--log-format", "json"]);
    }
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "a driven engine failed: {said}");
    let printed: Printed = serde_json::from_slice(&output.stdout).context("a driven engine")?;
    let mut latencies = latencies()?;
    for (value, count) in printed.latencies {
        latencies.record_n(value, count)?;
    }
    Ok(Run { rate: printed.rate, latencies })
}
