use crate::lab::{self, Lab};
use crate::measure::{Pace, Runs, closed};
use crate::report::{Bound, Row};
use crate::subject::client::{by_calls, by_stream};
use crate::subject::engine::{Engine, SHARDS};

/// Row 3: rows 1 and 2 on SQLite.
///
/// # Errors
/// Where a contender fails.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "3",
        "rows 1, 2 and 2b on SQLite against Postgres",
        "256 callers, or one stream with 256 under way; SQLite in WAL with synchronous=FULL, inside the engine's process.",
    );
    let files = lab.directory("sqlite")?;
    let mut cases: Vec<(&str, Runs, Runs)> = Vec::new();

    let url = lab.database("in_process").await?;
    let postgres = Engine::postgres(&url, SHARDS).await?;
    let sqlite = Engine::sqlite(&files.join("in-process.db")).await?;
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        fast.push(closed(pace, 256, |_, tally| sqlite.clone().caller(tally)).await?);
        slow.push(closed(pace, 256, |_, tally| postgres.clone().caller(tally)).await?);
    }
    sqlite.close().await;
    postgres.close().await;
    lab.drop_database(&url).await?;
    cases.push(("in process", Runs(fast), Runs(slow)));

    let url = lab.database("calls").await?;
    let file = files.join("calls.db").display().to_string();
    let postgres = lab::server(lab, "postgres", &["serve", "--postgres", &url]).await?;
    let sqlite = lab::server(lab, "sqlite", &["serve", "--sqlite", &file]).await?;
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        fast.push(by_calls(pace, sqlite.address, 256).await?);
        slow.push(by_calls(pace, postgres.address, 256).await?);
    }
    cases.push(("by calls", Runs(fast), Runs(slow)));
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        fast.push(by_stream(pace, sqlite.address, 256).await?);
        slow.push(by_stream(pace, postgres.address, 256).await?);
    }
    cases.push(("by a stream", Runs(fast), Runs(slow)));
    lab::end(postgres).await;
    lab::end(sqlite).await;
    lab.drop_database(&url).await?;

    for (case, sqlite, postgres) in &cases {
        row.runs(case, "Ordinal on SQLite", "commands/s", sqlite);
        row.runs(case, "Ordinal on Postgres", "commands/s", postgres);
        let times = sqlite.times(postgres);
        row.goal(&format!("{case}: against Postgres"), times, Bound::AtLeast(1.2), "");
    }
    Ok(row)
}
