use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::clients::{Call, Told};
use super::postgres_again;
use crate::lab::cluster::{self, Process};

/// A node that believes in its lease answers from memory until it has asked the database again: so
/// long after the database came back may pass, by the default lease.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);

/// When databases lost what they had committed.
#[derive(Default)]
pub(super) struct Past {
    /// From the first commit that may be lost until everybody knows.
    lost: Vec<(Instant, Instant)>,
}

impl Past {
    /// The server is copied, works on for so long, is killed, and the copy takes its place: as a
    /// standby does that lagged.
    pub(super) async fn tail(
        &mut self,
        server: &mut Process,
        lasts: Duration,
    ) -> anyhow::Result<()> {
        let data = server.folder_behind("-D").context("a server without a folder")?;
        let copy = data.with_file_name("standby");
        let from = Instant::now();
        copied(server, &copy).await?;
        sleep(lasts).await;
        server.kill().await;
        tokio::fs::remove_dir_all(&data).await.context("cannot remove the old data")?;
        tokio::fs::rename(&copy, &data).await.context("cannot promote the copy")?;
        postgres_again(server).await?;
        self.lost.push((from, Instant::now() + NOTICED_WITHIN));
        Ok(())
    }

    /// What a client was told of what may be lost, or saw of it, says nothing for certain.
    pub(super) fn leave_in_doubt(&self, calls: &mut [Call]) {
        for call in calls {
            let within = |(from, until): &(Instant, Instant)| {
                call.returned >= *from && call.invoked <= *until
            };
            if self.lost.iter().any(within) {
                call.told = Told::Doubt;
            }
        }
    }
}

/// A copy of all databases of a server that is at work, as of one moment.
async fn copied(server: &Process, to: &Path) -> anyhow::Result<()> {
    let programs = cluster::postgres_programs().context("no Postgres server is installed")?;
    let mut copy = Command::new(programs.join("pg_basebackup"));
    let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
    copy.args(["-h", &host, "-p", &port, "-U", "postgres", "--checkpoint=fast", "--no-sync", "-D"]);
    copy.arg(to).current_dir("/");
    if let Some((user, group)) = server.user() {
        copy.uid(user).gid(group);
    }
    let done = copy.output().await.context("pg_basebackup")?;
    let said = String::from_utf8_lossy(&done.stderr);
    anyhow::ensure!(done.status.success(), "pg_basebackup: {}", said.trim());
    Ok(())
}

/// A service's database is copied, the service works on for so long, and the copy takes its place.
pub(super) async fn restore(
    server: SocketAddr,
    service: &mut Process,
    lasts: Duration,
) -> anyhow::Result<()> {
    let name = service.name.clone();
    let copy = format!("{name}_copy");
    let postgres = cluster::database_url(server, "postgres");
    service.kill().await;
    cluster::execute(&postgres, &[
        format!("DROP DATABASE IF EXISTS {copy} WITH (FORCE)"),
        // Whoever is still there of a process that was killed; a template must be nobody's.
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        ),
        format!("CREATE DATABASE {copy} TEMPLATE {name}"),
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
    ])
    .await?;
    service.start()?;
    sleep(lasts).await;
    service.kill().await;
    let back = [
        format!("DROP DATABASE {name} WITH (FORCE)"),
        format!("ALTER DATABASE {copy} RENAME TO {name}"),
    ];
    cluster::execute(&postgres, &back).await?;
    service.start()
}

/// A clock that is set forward by an hour finds every lease an hour older, and one that is set back
/// finds it an hour longer: so they are moved, which needs no rights over the machine's clock.
pub(super) async fn step_clock(url: &str, seconds: i64) -> anyhow::Result<()> {
    let moved = ["shards", "nodes"].map(|table| {
        format!(
            "UPDATE orders_journal.{table}
             SET lease_until = lease_until - make_interval(secs => {seconds})"
        )
    });
    cluster::execute(url, &moved).await
}
