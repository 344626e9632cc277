use crate::lab::Lab;
use crate::measure::{Pace, Runs, closed};
use crate::report::{Bound, Row};
use crate::subject::engine::{Engine, SHARDS};
use crate::subject::framework::Framework;

/// Row 1: create and confirm, with no network but the database's.
///
/// # Errors
/// Where a contender fails.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "1",
        "create + confirm in one process, on Postgres",
        "Each caller places an order of two lines, waits, confirms it, waits, and continues with the next. Callers, actors and journal \
         (or the framework with its pool of 32 connections) in one process, Postgres on the same cores. \
         The framework runs the same aggregate: the same decide and evolve.",
    );
    let ours = lab.database("in_process").await?;
    let theirs = lab.database("framework").await?;
    let engine = Engine::postgres(&ours, SHARDS).await?;
    let framework = Framework::open(&theirs).await?;
    for (callers, least) in [(1, 1.3), (16, 0.0), (64, 9.0), (256, 15.0)] {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for _ in 0..pace.rounds {
            fast.push(closed(pace, callers, |_, tally| engine.clone().caller(tally)).await?);
            slow.push(closed(pace, callers, |_, tally| framework.clone().caller(tally)).await?);
        }
        let (fast, slow) = (Runs(fast), Runs(slow));
        let case = format!("{callers} callers");
        row.runs(&case, "Ordinal", "commands/s", &fast);
        row.runs(&case, "cqrs-es + postgres-es", "commands/s", &slow);
        let bound = if least > 0.0 { Bound::AtLeast(least) } else { Bound::Told };
        row.goal(
            &format!("{case}: commands/s against the framework"),
            fast.times(&slow),
            bound,
            "",
        );
    }
    engine.close().await;
    drop(framework);
    lab.drop_database(&ours).await?;
    lab.drop_database(&theirs).await?;
    Ok(row)
}
