use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::process::Command;

use crate::lab::{self, Lab};
use crate::measure::{Pace, Run, Runs};
use crate::report::{Bound, Row};
use crate::subject::client::by_calls;

/// A row of about the size of an event, inserted in a transaction of its own.
const INSERT: &str = "INSERT INTO bare (payload) VALUES (repeat('x', 700));\n";

/// Row 2: the same through gRPC.
///
/// # Errors
/// Where a contender fails.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "2",
        "place + cancel by calls of gRPC, on Postgres",
        "The client in its own process, over loopback, 64 calls at most on a connection; each caller waits for each answer. Client, server and \
         database share the cores. pgbench inserts one row of 700 bytes per transaction with as many clients (prepared, 2 threads). \
         The framework runs behind the same edge: same limits, same parsing, and it reads the order again to return it. \
         A journal in memory shows what the edge and the actors alone cost. Of the engine only the path of a command runs.",
    );
    let (ours, theirs) = (lab.database("calls").await?, lab.database("framework").await?);
    let bare = Bare::open(lab).await?;
    let postgres = lab::server(lab, "calls", &["serve", "--postgres", &ours]).await?;
    let framework = lab::server(lab, "framework", &["serve", "--framework", &theirs]).await?;
    let memory = lab::server(lab, "memory", &["serve", "--memory"]).await?;
    for callers in [64, 256] {
        let mut runs = [const { Vec::new() }; 4];
        for _ in 0..pace.rounds {
            runs[0].push(by_calls(pace, postgres.address, callers).await?);
            runs[1].push(bare.insert(pace, callers).await?);
            runs[2].push(by_calls(pace, framework.address, callers).await?);
            runs[3].push(by_calls(pace, memory.address, callers).await?);
        }
        let [engine, inserts, framework, memory] = runs.map(Runs);
        let case = format!("{callers} in flight");
        row.runs(&case, "Ordinal", "commands/s", &engine);
        row.figure(&case, "bare INSERTs (pgbench)", "commands/s", inserts.rates());
        row.runs(&case, "cqrs-es + postgres-es", "commands/s", &framework);
        row.runs(&case, "Ordinal, journal in memory", "commands/s", &memory);
        let goal = |least| if callers == 256 { Bound::AtLeast(least) } else { Bound::Told };
        row.goal(
            &format!("(a) {case}: against bare INSERTs"),
            engine.times(&inserts),
            goal(1.6),
            "",
        );
        row.goal(
            &format!("(b) {case}: against the framework"),
            engine.times(&framework),
            goal(7.0),
            "",
        );
        row.goal(&format!("(c) {case}: against no journal"), engine.times(&memory), goal(0.7), "");
    }
    for process in [postgres, framework, memory] {
        lab::end(process).await;
    }
    for url in [ours, theirs, bare.url] {
        lab.drop_database(&url).await?;
    }
    Ok(row)
}

/// pgbench on a table of its own.
pub struct Bare {
    /// Its database.
    pub url: String,
    script: std::path::PathBuf,
}

impl Bare {
    /// Creates the table.
    ///
    /// # Errors
    /// Where that fails.
    pub async fn open(lab: &Lab) -> anyhow::Result<Self> {
        let url = lab.database("bare").await?;
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
        sqlx::raw_sql("CREATE TABLE bare (id bigserial PRIMARY KEY, payload text NOT NULL)")
            .execute(&mut connection)
            .await?;
        let script = lab.directory("bare")?.join("insert.sql");
        std::fs::write(&script, INSERT)?;
        Ok(Self { url, script })
    }

    /// Runs it with this many clients.
    ///
    /// # Errors
    /// Where it fails.
    pub async fn insert(&self, pace: Pace, clients: usize) -> anyhow::Result<Run> {
        let seconds = pace.run.max(Duration::from_secs(1)).as_secs().to_string();
        let clients = clients.to_string();
        let output = Command::new(Lab::program("pgbench")?)
            .args(["-n", "-M", "prepared", "-j", "2", "-c", &clients, "-T", &seconds, "-f"])
            .arg(&self.script)
            .arg(&self.url)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let rate = said
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("pgbench: {}", String::from_utf8_lossy(&output.stderr)))?;
        let latencies = Histogram::new(3).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Run { rate, latencies })
    }
}
