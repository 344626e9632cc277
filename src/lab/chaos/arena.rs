//! A cluster whose connections can be disturbed, and one run of chaos on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use order_actor::journal::ShardMap;
use serde_json::json;
use shared_events::contract::OrderId;
use shared_events::stream::redis::{Redis, RedisOptions};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::clients::{self, Memory, PRODUCTS, SCARCE, UNITS, Work};
use super::clock::ServersClock;
use super::disk::Disk;
use super::faults::{SERVICES, Schedule};
use super::money::Provider;
use super::proxy::{Proxy, Way};
use super::report::{Report, counts, latencies};
use super::set_back::{LossPeriods, accept_if_doubted};
use super::{ChaosArgs, READY_WITHIN, Scenario, check, free_listener, witness};
use crate::client::{Caller, Client, Connection, Output, lag};
use crate::engine::{Backend, Databases, Stores, services};
use crate::lab::cluster::{self, Addresses, Cluster, SHARDS, Ways};
use crate::verify;

/// Short, so that a frozen owner soon outlives its lease.
const SHORT_LEASES: [&str; 6] =
    ["--lease", "2s", "--lease-renew", "400ms", "--lease-self-stop", "1200ms"];
/// Units of the one order that all clients work on: more than they can cancel or ship.
const UNITS_OF_ONE: u32 = 1_000_000;
/// Time limit for one answer, while nothing is disturbed.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// A process that does not answer for this long at the end may wait for an operator.
const WAITS_AFTER: Duration = Duration::from_secs(5);
/// Time limit for draining at the end.
const DRAINS_WITHIN: Duration = Duration::from_secs(120);

/// A cluster whose connections can be disturbed.
pub(super) struct Arena {
    pub(super) addresses: Addresses,
    pub(super) folder: PathBuf,
    pub(super) cluster: Cluster,
    /// By Postgres server, then by service.
    pub(super) to_postgres: Vec<Vec<Proxy>>,
    pub(super) to_redis: Vec<Proxy>,
    /// The server that the next Postgres fault hits.
    pub(super) next_server: usize,
    /// The disk of the first Postgres server, where it can be full.
    pub(super) disk: Option<Disk>,
    /// The clock of the Postgres servers, where it can be set.
    pub(super) servers_clock: Option<ServersClock>,
    /// Periods whose answers may have been lost.
    pub(super) lost: LossPeriods,
    /// Where orders are paid, if any is.
    provider: Option<Provider>,
}

impl Arena {
    pub(super) async fn start(dir: &Path, args: &ChaosArgs, seed: u64) -> anyhow::Result<Self> {
        let addresses = free_addresses(args.journal_databases)?;
        let folder = cluster::folder(dir)?;
        let disk = match args.full_disk {
            true => {
                let home = folder.join("postgres");
                std::fs::create_dir(&home)?;
                Some(Disk::mount(&home)?)
            }
            false => None,
        };
        let (servers_clock, environment) = ServersClock::new(&folder)?.unzip();
        if servers_clock.is_none() {
            let what = "libfaketime is not installed: steps of the database's clock move leases";
            tracing::warn!("{what}");
        }
        let environment = environment.unwrap_or_default();
        let postgres =
            cluster::postgres_servers(&folder, &addresses.postgres, &environment).await?;
        let redis = cluster::redis(&folder, addresses.redis).await?;
        let mut to_postgres = Vec::new();
        for server in &addresses.postgres {
            to_postgres.push(ways_to(*server).await?);
        }
        let to_redis = ways_to(addresses.redis).await?;
        let of_service = |nth: usize| {
            let ways = to_postgres.iter().filter_map(|ways: &Vec<Proxy>| ways.get(nth));
            ways.map(|proxy| proxy.address).collect()
        };
        let ways = Ways {
            postgres: (0..SERVICES.len()).map(of_service).collect(),
            redis: to_redis.iter().map(|proxy| proxy.address).collect(),
            clocks: true,
            ..Ways::direct(&addresses)
        };
        let leases: &[&str] =
            if args.scenario == Scenario::FrozenOwner { &SHORT_LEASES } else { &[] };
        let mut cluster = Cluster::new(&folder, &addresses, postgres, redis, &ways, leases)?;
        let provider = match args.pay {
            true => Some(paid_at(&mut cluster, &folder, seed).await?),
            false => None,
        };
        cluster.start().await?;
        for server in &addresses.postgres {
            witness::install(&cluster::database_url(*server, "orders")).await?;
        }
        Ok(Self {
            addresses,
            folder,
            cluster,
            to_postgres,
            to_redis,
            servers_clock,
            next_server: 0,
            disk,
            lost: LossPeriods::default(),
            provider,
        })
    }

    #[expect(clippy::too_many_lines, reason = "one run, from its first call to its report")]
    pub(super) async fn fight(
        &mut self,
        args: &ChaosArgs,
        seed: u64,
        out: &Output,
    ) -> anyhow::Result<Report> {
        let client = self.client(ANSWERS_WITHIN).await?;
        // A stock service that was restored decides again, and scarce units may then go to other
        // orders.
        let scarce = if args.scenario == Scenario::SetBack { 0 } else { SCARCE };
        self.stock(&client, scarce).await?;
        let memory = Memory::default();
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        let nodes = self.addresses.nodes();
        let (work, schedule) = match args.scenario {
            Scenario::Everything => (Work::Mixed, Schedule::new(seed, SHARDS, args.full_disk)),
            Scenario::FrozenOwner => (Work::Mixed, Schedule::frozen(seed)),
            // This scenario runs without servers.
            Scenario::SteppedClock => (Work::Mixed, Schedule::stepped_clock(seed)),
            Scenario::SetBack | Scenario::HalfCopied => (Work::Mixed, Schedule::set_back(seed)),
            Scenario::MovingShard => {
                let order_id = OrderId::mint();
                clients::place_one(&nodes, &memory, order_id, UNITS_OF_ONE).await?;
                let shard = self.shard_of(&client, order_id).await?;
                (Work::One(order_id), Schedule::moving(seed, shard))
            }
        };
        for nth in 0..args.clients {
            let (memory, stop) = (memory.clone(), stop.clone());
            let seed = seed.wrapping_mul(1_000).wrapping_add(nth);
            let pays = self.provider.is_some();
            let client = clients::Manner { work, pays, pace: args.pace };
            clients.spawn(clients::work(nodes.clone(), client, seed, memory, stop));
        }
        let began = Instant::now();
        let (mut kills, mut faults) = (0, BTreeMap::new());
        for step in schedule {
            if began.elapsed() >= args.lasts && kills >= args.kills {
                break;
            }
            // An operation that is asked for again in a minute would be so in an hour.
            if self.provider.is_some() && step.fault.sets_clock_of("payments") {
                continue;
            }
            kills += step.fault.kills();
            let kind: String = step.fault.to_string();
            if !out.json {
                let lasts = step.lasts.as_millis();
                out.line(format!("{:>5} s  {kind} for {lasts} ms", began.elapsed().as_secs()));
            }
            let words: Vec<&str> = kind.split(' ').take(2).collect();
            *faults.entry(words.join(" ")).or_insert(0) += 1;
            // A process that could not start during a fault is started again, as any supervisor
            // does.
            self.cluster.revive_services()?;
            self.disturb(&step).await?;
            sleep(step.peace).await;
        }
        stop.cancel();
        while let Some(client) = clients.join_next().await {
            client??;
        }
        let seconds = began.elapsed().as_secs();
        let over = Instant::now();
        let mut behind = self.drain().await?;
        // Not the time in which payments settle: that is how often they ask again.
        let mut drained_in_ms = is_drained(&behind).then(|| over.elapsed().as_millis());
        let mut paid = None;
        if let Some(provider) = &self.provider {
            paid = Some(provider.compared(self.client(ANSWERS_WITHIN).await?).await?);
            // What payments told last is followed, too.
            let later = self.drain().await?;
            if !is_drained(&later) {
                (behind, drained_in_ms) = (later, None);
            }
        }
        let mut calls = memory.calls();
        self.lost.leave_in_doubt(&mut calls);
        let stores = Stores::snapshot(&Backend::Postgres(self.databases()?), None).await?;
        let contradictions = check::agree(&stores, &calls).await?;
        let redis = Redis::new(&RedisOptions {
            urls: vec![format!("redis://{}", self.addresses.redis)],
            cluster: false,
            authority: None,
            prefix: "ordinal".to_owned(),
        })?;
        let verified = verify::everything(&stores, Some(&redis), out).await?;
        stores.close().await;
        let mut appends_of_others = 0;
        for server in &self.addresses.postgres {
            appends_of_others += witness::count(&cluster::database_url(*server, "orders")).await?;
        }
        Ok(Report {
            seed,
            seconds,
            kills,
            faults,
            calls: counts(&calls),
            latency_ms: latencies(&calls),
            orders: verified.orders,
            events: verified.events,
            drained_in_ms,
            behind,
            appends_of_others,
            contradictions,
            findings: verified.findings,
            paid,
        })
    }

    fn databases(&self) -> anyhow::Result<Databases> {
        let servers = &self.addresses.postgres;
        let first = *servers.first().context("there is no Postgres server")?;
        let url = |database: &str| cluster::database_url(first, database);
        let map = cluster::shard_map(servers, SHARDS);
        let journal = match map.is_empty() {
            true => ShardMap::one(&url("orders")),
            false => ShardMap::parse(map.iter().map(String::as_str)).map_err(anyhow::Error::msg)?,
        };
        let own = services::ALL.iter().map(|service| (service.name, url(service.name)));
        Ok(Databases { journal, shared: None, own: own.collect() })
    }

    pub(super) async fn client(&self, patience: Duration) -> anyhow::Result<Client> {
        client_at(*self.addresses.services.first().context("there is no process")?, patience).await
    }

    async fn shard_of(&self, client: &Client, order_id: OrderId) -> anyhow::Result<u16> {
        let request = json!({ "order_id": order_id.to_string() });
        let answer = client.call("orders.v1.OrderService/GetOrder", request).await;
        let answer = answer.map_err(|failure| anyhow::anyhow!("{failure}"))?;
        let shard = answer["position"]["shard"].as_u64().unwrap_or(0);
        Ok(u16::try_from(shard)?)
    }

    /// Sets the stock; the first `scarce` products run out.
    async fn stock(&self, client: &Client, scarce: u32) -> anyhow::Result<()> {
        let requests: Vec<serde_json::Value> = (0..PRODUCTS)
            .map(|nth| {
                let on_hand = if nth < scarce { 40 * UNITS } else { 1_000_000 };
                json!({ "sku": clients::sku(nth), "on_hand": on_hand })
            })
            .collect();
        let set = json!({ "requests": requests });
        let set = client.call("inventory.v1.InventoryService/BatchSetStock", set).await;
        set.map(drop).map_err(|failure| anyhow::anyhow!("{failure}"))
    }

    /// Ends every fault and waits for the followers; returns how far behind they are then.
    async fn drain(&mut self) -> anyhow::Result<BTreeMap<String, u64>> {
        for proxy in self.to_postgres.iter().flatten().chain(&self.to_redis) {
            proxy.set(Way::Open);
        }
        for service in &mut self.cluster.services {
            let until = Instant::now() + READY_WITHIN;
            loop {
                service.revive()?;
                match service.until(WAITS_AFTER, cluster::ready).await {
                    Ok(()) => break,
                    Err(error) if Instant::now() > until => return Err(error),
                    Err(_) if service.runs() => {
                        if self.lost.is_any() && is_accepted(service.address).await {
                            tracing::info!("the journal was accepted as it is");
                        }
                    }
                    // It could not start, as where its port is another's for a moment: any
                    // supervisor starts it again.
                    Err(_) => sleep(Duration::from_millis(200)).await,
                }
            }
        }
        let client = self.client(ANSWERS_WITHIN).await?;
        let until = Instant::now() + DRAINS_WITHIN;
        loop {
            let lag = lag::drained(&client, ANSWERS_WITHIN).await;
            match lag {
                Ok(lag) if is_drained(&lag) => return Ok(lag),
                Ok(lag) if Instant::now() > until => return Ok(lag),
                Err(failure) if Instant::now() > until => anyhow::bail!("{failure}"),
                _ => {}
            }
        }
    }
}

/// Whether an operator was needed, and accepted the journal at this process.
async fn is_accepted(address: SocketAddr) -> bool {
    let client = client_at(address, ANSWERS_WITHIN).await;
    // A process without the journal has nothing to accept.
    async { accept_if_doubted(&client?).await }.await.unwrap_or(false)
}

pub(super) async fn client_at(address: SocketAddr, patience: Duration) -> anyhow::Result<Client> {
    let caller = Caller { role: "ops".to_owned(), subject: "chaos".to_owned() };
    let connection =
        Connection { timeout: patience, ..Connection::new(format!("http://{address}"), caller) };
    Client::connect(&connection).await.map_err(|failure| anyhow::anyhow!("{failure}"))
}

/// Whether no follower is behind.
fn is_drained(behind: &BTreeMap<String, u64>) -> bool {
    behind.values().all(|facts| *facts == 0)
}

/// A way of each service to a server.
async fn ways_to(server: SocketAddr) -> anyhow::Result<Vec<Proxy>> {
    let mut ways = Vec::new();
    for _ in SERVICES.iter() {
        ways.push(Proxy::to(server).await?);
    }
    Ok(ways)
}

/// Starts a provider, and lets the payment service of the cluster call it.
async fn paid_at(cluster: &mut Cluster, folder: &Path, seed: u64) -> anyhow::Result<Provider> {
    let payments = cluster.services.iter_mut().find(|one| one.name == "payments");
    let payments = payments.context("the cluster has no payment service")?;
    let provider = Provider::start(folder, seed, payments.address).await?;
    payments.add_arguments(provider.flags(folder).await?);
    Ok(provider)
}

fn free_addresses(journal_databases: u16) -> anyhow::Result<Addresses> {
    // All are bound together, so that no port is given out twice.
    let services = cluster::processes().count();
    let listeners = (0..=services + usize::from(journal_databases)).map(|_| {
        let free = free_listener()?;
        let address: SocketAddr = free.local_addr()?;
        Ok((free, address))
    });
    let free: Vec<_> = listeners.collect::<anyhow::Result<_>>()?;
    let mut free = free.iter().map(|(_, address)| *address);
    Ok(Addresses {
        services: free.by_ref().take(services).collect(),
        redis: free.next().context("no free port")?,
        postgres: free.collect(),
    })
}
