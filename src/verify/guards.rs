use anyhow::Context as _;
use order_actor::journal::{postgres_guards, sqlite_guards};
use shared_events::stream::{self, Dialect, Guards, of_streams};

use super::report::{Law, Report};
use crate::engine::{Backend, JOURNAL, JOURNAL_FILE, Service, Stores};

/// Checks that the databases still refuse to change or delete what is there for ever: events, and
/// whatever the migrations of a service guard.
///
/// # Errors
/// If a database cannot be read; a missing guard is a finding, not an error.
pub async fn check(report: &mut Report, stores: &Stores, backend: &Backend) -> anyhow::Result<()> {
    let guards = match backend {
        Backend::Sqlite(directory) => sqlite_guards(&directory.join(JOURNAL_FILE)).await,
        Backend::Postgres(databases) => postgres_guards(&databases.journal, JOURNAL).await,
        Backend::Nothing => return Ok(()),
    };
    note(report, "journal", guards.context("triggers of the journal")?);
    for (service, _) in &stores.databases {
        let guards = of_service(service, backend).await;
        note(
            report,
            service.name,
            guards.with_context(|| format!("triggers of {}", service.name))?,
        );
    }
    Ok(())
}

async fn of_service(service: &Service, backend: &Backend) -> anyhow::Result<Guards> {
    let made = |dialect| (of_streams(dialect), (service.store.migrator)(dialect));
    Ok(match backend {
        Backend::Sqlite(directory) => {
            let (streams, own) = made(Dialect::Sqlite);
            let made = streams.iter().chain(own.iter());
            stream::sqlite_guards(&directory.join(service.file()), made).await?
        }
        Backend::Postgres(databases) => {
            let (streams, own) = made(Dialect::Postgres);
            let made = streams.iter().chain(own.iter());
            stream::postgres_guards(databases.url(service.name)?, service.name, made).await?
        }
        Backend::Nothing => anyhow::bail!("nothing is stored there"),
    })
}

fn note(report: &mut Report, subject: &str, guards: Guards) {
    report.check_many(Law::AppendOnly, guards.expected);
    for damage in guards.damages {
        report.find(Law::AppendOnly, subject, damage);
    }
}
