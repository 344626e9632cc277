use super::calls::Bare;
use crate::lab::{self, Lab};
use crate::measure::{Pace, Runs};
use crate::report::{Bound, Row};
use crate::subject::client::by_stream;

/// Commands of one stream that the engine takes at a time.
const IN_FLIGHT: usize = 256;

/// Row 2b: commands by the stream.
///
/// # Errors
/// Where a contender fails.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "2b",
        "place + cancel by one stream of commands, on Postgres",
        "As row 2, but the client sends its commands over one stream (ExecuteCommands), 256 under way, with complete answers.",
    );
    let ours = lab.database("stream").await?;
    let bare = Bare::open(lab).await?;
    let postgres = lab::server(lab, "stream", &["serve", "--postgres", &ours]).await?;
    let memory = lab::server(lab, "memory", &["serve", "--memory"]).await?;
    let mut runs = [const { Vec::new() }; 3];
    for _ in 0..pace.rounds {
        runs[0].push(by_stream(pace, postgres.address, IN_FLIGHT).await?);
        runs[1].push(bare.insert(pace, IN_FLIGHT).await?);
        runs[2].push(by_stream(pace, memory.address, IN_FLIGHT).await?);
    }
    let [engine, inserts, memory_runs] = runs.map(Runs);
    let case = format!("{IN_FLIGHT} in flight");
    row.runs(&case, "Ordinal", "commands/s", &engine);
    row.figure(&case, "bare INSERTs (pgbench)", "commands/s", inserts.rates());
    row.runs(&case, "Ordinal, journal in memory", "commands/s", &memory_runs);
    row.goal("(a) against bare INSERTs", engine.times(&inserts), Bound::AtLeast(4.0), "");
    row.goal("(c) against no journal", engine.times(&memory_runs), Bound::AtLeast(0.5), "");
    lab::end(postgres).await;
    lab::end(memory).await;
    lab.drop_database(&ours).await?;
    lab.drop_database(&bare.url).await?;
    Ok(row)
}
