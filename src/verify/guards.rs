use anyhow::Context as _;
use order_actor::journal::{postgres_guards, sqlite_guards};

use super::report::{Law, Report};
use crate::engine::{Backend, JOURNAL, JOURNAL_FILE};

/// Checks that the journal's databases still refuse to change or delete events.
///
/// # Errors
/// If a database cannot be read; a missing guard is a finding, not an error.
pub async fn check(report: &mut Report, backend: &Backend) -> anyhow::Result<()> {
    let guards = match backend {
        Backend::Sqlite(directory) => sqlite_guards(&directory.join(JOURNAL_FILE)).await,
        Backend::Postgres(databases) => postgres_guards(&databases.journal, JOURNAL).await,
    };
    let guards = guards.context("triggers of the journal")?;
    report.check_many(Law::AppendOnly, guards.expected);
    for damage in guards.damages {
        report.find(Law::AppendOnly, "journal", damage);
    }
    Ok(())
}
