//! Brings about each fault and ends it.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::arena::Arena;
use super::faults::{Fault, SERVICES, Step};
use super::proxy::{Proxy, Way};
use super::{READY_WITHIN, free_address, postgres_again, set_back};
use crate::lab::cluster;

const SLOW_BY: Duration = Duration::from_millis(40);

impl Arena {
    /// Disturbs a service's connections to a Postgres server for a while.
    async fn way_to_postgres(&mut self, service: usize, how: Way, lasts: Duration) {
        let server = self.next_server();
        if let Some(ways) = self.to_postgres.get(server) {
            way(ways, service, how, lasts).await;
        }
    }

    /// The server that a Postgres fault hits: one after another.
    fn next_server(&mut self) -> usize {
        let server = self.next_server;
        self.next_server = (server + 1) % self.addresses.postgres.len();
        server
    }

    /// Brings a fault about and ends it.
    #[expect(clippy::too_many_lines, reason = "one arm for each fault")]
    pub(super) async fn disturb(&mut self, step: &Step) -> anyhow::Result<()> {
        let Step { fault, lasts, .. } = step;
        match fault {
            Fault::Kill(services) => {
                for service in services {
                    self.service(*service).kill().await;
                }
                sleep(*lasts).await;
                for service in services {
                    self.service(*service).start()?;
                }
            }
            Fault::KillPostgres => {
                let server = self.next_server();
                if let Some(server) = self.cluster.postgres.get_mut(server) {
                    server.kill().await;
                    sleep(*lasts).await;
                    postgres_again(server).await?;
                }
            }
            Fault::KillRedis => {
                self.cluster.redis.kill().await;
                sleep(*lasts).await;
                self.cluster.redis.start()?;
            }
            Fault::EmptyRedis => self.empty_redis().await,
            Fault::Freeze(service) => {
                self.service(*service).signal(Signal::STOP);
                sleep(*lasts).await;
                self.service(*service).signal(Signal::CONT);
            }
            Fault::FreezeRedis => {
                self.cluster.redis.signal(Signal::STOP);
                sleep(*lasts).await;
                self.cluster.redis.signal(Signal::CONT);
            }
            Fault::CutPostgres(service) => {
                self.way_to_postgres(*service, Way::Cut, *lasts).await;
            }
            Fault::SilencePostgres(service) => {
                self.way_to_postgres(*service, Way::Silent, *lasts).await;
            }
            Fault::SlowPostgres(service) => {
                self.way_to_postgres(*service, Way::Slow(SLOW_BY), *lasts).await;
            }
            Fault::CutRedis(service) => way(&self.to_redis, *service, Way::Cut, *lasts).await,
            Fault::Restart(service) => {
                self.service(*service).stop(Signal::TERM, READY_WITHIN).await;
                sleep(*lasts).await;
                self.service(*service).start()?;
            }
            Fault::SetClock { service, hours } => {
                let name = SERVICES.get(*service).copied().unwrap_or_default();
                let file = cluster::clock_file(&self.folder, name);
                tokio::fs::write(&file, (hours * 3_600).to_string()).await?;
                sleep(*lasts).await;
                tokio::fs::write(&file, "0").await?;
            }
            Fault::FillDisk => self.fill_disk(*lasts).await?,
            Fault::Move { shard, to } => self.move_shard(*shard, *to).await,
            Fault::Twin(node) => {
                let mut twin = self.service(*node).twin(free_address()?);
                twin.start()?;
                sleep(*lasts).await;
                twin.kill().await;
                // A process that sees its name taken over ends.
                if self.service(*node).ended().is_some() {
                    self.service(*node).start()?;
                }
            }
            Fault::StepDatabaseClock { seconds } => {
                if let Some(clock) = &mut self.servers_clock {
                    return clock.step(*seconds);
                }
                for server in &self.addresses.postgres {
                    let url = cluster::database_url(*server, "orders");
                    set_back::step_clock(&url, *seconds).await?;
                }
            }
            Fault::LoseTail => {
                let server = self.next_server();
                if let Some(server) = self.cluster.postgres.get_mut(server) {
                    self.lost.fail_over(server, *lasts).await?;
                }
            }
            Fault::Restore(service) => {
                let server = *self.addresses.postgres.first().context("there is no server")?;
                set_back::restore(server, self.service(*service), *lasts).await?;
            }
        }
        Ok(())
    }

    /// A server that cannot write its log ends; then it is started again.
    async fn fill_disk(&mut self, lasts: Duration) -> anyhow::Result<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        disk.fill()?;
        sleep(lasts).await;
        disk.free()?;
        match self.cluster.postgres.first_mut() {
            Some(server) => postgres_again(server).await,
            None => Ok(()),
        }
    }

    fn service(&mut self, nth: usize) -> &mut cluster::Process {
        let last = self.cluster.services.len() - 1;
        &mut self.cluster.services[nth.min(last)]
    }

    async fn empty_redis(&self) {
        let emptied = tokio::process::Command::new("redis-cli")
            .args(["-p", &self.addresses.redis.port().to_string(), "FLUSHALL"])
            .output();
        if !timeout(Duration::from_secs(5), emptied).await.is_ok_and(|done| done.is_ok()) {
            tracing::warn!("redis was not emptied");
        }
    }

    /// An operator's request; it does nothing while the node is unavailable.
    async fn move_shard(&self, shard: u16, to: usize) {
        let node = ["a", "b"].get(to).copied().unwrap_or_default();
        let Ok(client) = self.client(Duration::from_secs(2)).await else { return };
        let request = json!({ "shard": shard, "node": node });
        if let Err(failure) = client.call("admin.v1.AdminService/MoveShard", request).await {
            tracing::info!(%failure, "the shard was not moved");
        }
    }
}

/// Disturbs a connection for a while.
async fn way(proxies: &[Proxy], nth: usize, how: Way, lasts: Duration) {
    if let Some(proxy) = proxies.get(nth) {
        proxy.set(how);
        sleep(lasts).await;
        proxy.set(Way::Open);
    }
}
