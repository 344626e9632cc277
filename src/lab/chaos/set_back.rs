use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::clients::{Answer, Call};
use super::postgres_again;
use crate::client::Client;
use crate::lab::cluster::{self, Process};

/// A node that trusts its lease answers from memory until it asks the database again. That may take
/// this long after the database came back, with the default lease.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);

/// Periods in which databases lost what they had committed.
#[derive(Default)]
pub(super) struct LossPeriods {
    /// From the first commit that may be lost until every node knows.
    lost: Vec<(Instant, Instant)>,
}

impl LossPeriods {
    /// Copies the server, lets it work on for a while, kills it, and puts the copy in its place, as
    /// a failover to a lagging standby does.
    pub(super) async fn fail_over(
        &mut self,
        server: &mut Process,
        lasts: Duration,
    ) -> anyhow::Result<()> {
        let data = server.folder_behind("-D").context("a server without a folder")?;
        let copy = data.with_file_name("standby");
        let from = Instant::now();
        copy_server(server, &copy).await?;
        sleep(lasts).await;
        server.kill().await;
        tokio::fs::remove_dir_all(&data).await.context("cannot remove the old data")?;
        tokio::fs::rename(&copy, &data).await.context("cannot promote the copy")?;
        postgres_again(server).await?;
        self.lost.push((from, Instant::now() + NOTICED_WITHIN));
        Ok(())
    }

    /// Whether a database has lost anything.
    pub(super) const fn is_any(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Marks every call in doubt whose effect may be lost.
    pub(super) fn leave_in_doubt(&self, calls: &mut [Call]) {
        for call in calls {
            let within = |(from, until): &(Instant, Instant)| {
                call.returned >= *from && call.invoked <= *until
            };
            if self.lost.iter().any(within) {
                call.answer = Answer::Doubt;
            }
        }
    }
}

/// Accepts the journal where it is doubted, as an operator does; whether it was. A node that saw the
/// loss accepts it by itself. Where it was killed before, only readers know what was there.
pub(super) async fn accept_if_doubted(client: &Client) -> anyhow::Result<bool> {
    let history = client.call("admin.v1.AdminService/GetJournal", json!({})).await;
    let is_doubted = history.is_ok_and(|answer| {
        answer["history"]["doubt"].as_str().is_some_and(|doubt| !doubt.is_empty())
    });
    if !is_doubted {
        return Ok(false);
    }
    let why = json!({ "reason": "chaos" });
    let accepted = client.call("admin.v1.AdminService/AcceptJournal", why).await;
    accepted.map_err(|failure| anyhow::anyhow!("AcceptJournal: {failure}"))?;
    Ok(true)
}

/// Copies all databases of a running server, as of one moment.
async fn copy_server(server: &Process, to: &Path) -> anyhow::Result<()> {
    let programs = cluster::postgres_programs().context("no Postgres server is installed")?;
    let mut copy = Command::new(programs.join("pg_basebackup"));
    let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
    copy.args(["-h", &host, "-p", &port, "-U", "postgres", "--checkpoint=fast", "--no-sync", "-D"]);
    copy.arg(to).current_dir("/");
    if let Some((user, group)) = server.user() {
        copy.uid(user).gid(group);
    }
    let done = copy.output().await.context("pg_basebackup")?;
    let error = String::from_utf8_lossy(&done.stderr);
    anyhow::ensure!(done.status.success(), "pg_basebackup: {}", error.trim());
    Ok(())
}

/// Copies a service's database, lets the service work on for a while, and puts the copy in its
/// place.
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
        // A template must have no sessions, so those of a killed process are ended.
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

/// A clock set forward by an hour finds every lease an hour older, and one set back finds it an
/// hour longer. So the leases are moved, which needs no rights over the machine's clock.
pub(super) async fn step_clock(url: &str, seconds: i64) -> anyhow::Result<()> {
    let moved = ["shards", "nodes"].map(|table| {
        format!(
            "UPDATE orders_journal.{table}
             SET lease_until = lease_until - make_interval(secs => {seconds})"
        )
    });
    cluster::execute(url, &moved).await
}
