//! Everything goes wrong, on purpose: real processes on a real Postgres and Redis, clients that
//! remember every answer, faults by a seeded schedule. In the end everything drains, and what
//! clients saw is compared with what is there.
//! Never here: what is right. That say the laws of `verify`, and the domain's own functions.

mod check; // what clients saw against the journal
mod clients; // what they wished, and what they were told
mod clock; // one that somebody sets wrong
mod disk; // one that can be full
mod faults; // what goes wrong, by a seed
mod halves; // directories that somebody put together
mod past; // databases that are set back, and leases of another time
mod proxy; // ways to a server that can be made slow, silent or cut
mod witness; // sees in the database itself who appends

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::journal::ShardMap;
use rustix::process::Signal;
use serde_json::json;
use shared_events::contract::OrderId;
use shared_events::stream::redis::{Redis, RedisOptions};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::{Caller, Client, Connection, Output};
use crate::engine::{Backend, Databases, Stores, services};
use crate::lab::cluster::{self, Addresses, Cluster, SHARDS, Ways};
use crate::verify;
use clock::ServersClock;

use check::Contradiction;
use clients::{Call, Memory, PRODUCTS, SCARCE, Told, UNITS, Work};
use disk::Disk;
use faults::{Fault, SERVICES, Schedule, Step};
use past::Past;
use proxy::{Proxy, Way};

/// So that a frozen owner is soon past it.
const SHORT_LEASES: [&str; 6] =
    ["--lease", "2s", "--lease-renew", "400ms", "--lease-self-stop", "1200ms"];
/// Units of the one order that all clients are at: more than they can do something to.
const UNITS_OF_ONE: u32 = 1_000_000;
const SLOW_BY: Duration = Duration::from_millis(40);
/// How long everything may take to come to rest.
const DRAINS_WITHIN: Duration = Duration::from_secs(120);
const READY_WITHIN: Duration = Duration::from_secs(90);

/// `ordinal chaos`
#[derive(Debug, clap::Args)]
pub struct ChaosArgs {
    /// What goes wrong.
    #[arg(long, value_enum, value_name = "SCENARIO", default_value = "everything")]
    scenario: Scenario,
    /// Repeat the schedule of this seed; drawn and told where absent.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Let things go wrong for so long, at least.
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = crate::flags::duration)]
    lasts: Duration,
    /// Go on until so many processes were killed, at least.
    #[arg(long, value_name = "N", default_value_t = 0)]
    kills: u32,
    /// Clients at work.
    #[arg(long, value_name = "N", default_value_t = 12)]
    clients: u64,
    /// How long a client waits between two calls, on average.
    #[arg(long, value_name = "DURATION", default_value = "60ms", value_parser = crate::flags::duration)]
    pace: Duration,
    /// Spread the journal over so many Postgres servers; what goes wrong with Postgres goes wrong with
    /// one after the other.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8))]
    journal_databases: u16,
    /// Put the (first) Postgres server on a disk of its own, which is full at times: a tmpfs, by
    /// unshare(1) and mount(8), as root or where users may have namespaces of their own.
    #[arg(long)]
    full_disk: bool,
    /// Keep databases and logs in this directory, which must be new; in a temporary one, removed where
    /// nothing was found, unless said.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Whatever can, by the seed.
    Everything,
    /// One order that all clients are at, and its shard moves from node to node. With 64 clients, say.
    MovingShard,
    /// The owner of orders sleeps past its lease and wakes, again and again.
    FrozenOwner,
    /// The clock of the database servers is set forward and back, by seconds and by hours, while order
    /// nodes come, go and sleep. Needs libfaketime; without it leases are moved as if it had been.
    SteppedClock,
    /// Databases lose what they had committed: a standby that lagged takes over, a service is restored
    /// from a copy. What a client was told meanwhile may be lost; all else may not.
    SetBack,
    /// One process on SQLite, whose directory is put together from files of several copies, or lacks
    /// some.
    HalfCopied,
}

/// What happened and what was found.
#[derive(Debug, serde::Serialize)]
struct Report {
    seed: u64,
    seconds: u64,
    kills: u32,
    faults: BTreeMap<String, u32>,
    calls: BTreeMap<&'static str, usize>,
    /// What calls took that were answered at the first try or later, in milliseconds.
    latency_ms: BTreeMap<&'static str, u64>,
    orders: u64,
    events: u64,
    /// None where it did not come to rest.
    drained_in_ms: Option<u128>,
    /// How many facts followers are behind in the end.
    behind: BTreeMap<String, u64>,
    /// Appends that the database took from a process that was not the owner of the shard.
    appends_of_others: i64,
    contradictions: Vec<Contradiction>,
    findings: Vec<verify::Finding>,
}

/// Runs it.
///
/// # Errors
/// Where a server is not installed or a process does not come back; what is found is no error.
pub async fn run(args: &ChaosArgs, out: &Output) -> anyhow::Result<ExitCode> {
    if args.full_disk {
        disk::with_own_mounts()?;
    }
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    // Said first: whatever comes, it can be repeated.
    tracing::info!(seed, "chaos");
    if !out.json {
        out.line(format!("seed {seed}"));
    }
    let temporary = tempfile::Builder::new().prefix("ordinal-chaos-").tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    // The server's own user has to get through.
    open_to_all(temporary.path())?;
    anyhow::ensure!(!dir.join("postgres").exists(), "{} has been used already", dir.display());
    let report = match args.scenario {
        Scenario::HalfCopied => halves::fight(&dir, args, seed, out).await,
        _ => over_servers(&dir, args, seed, out).await,
    };
    let report = report.inspect_err(|_| keep(temporary.path()))?;
    let clean = report.is_clean();
    if !clean && args.dir.is_none() {
        keep(&temporary.keep());
    }
    show(&report, out);
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All but [`Scenario::HalfCopied`].
async fn over_servers(
    dir: &Path,
    args: &ChaosArgs,
    seed: u64,
    out: &Output,
) -> anyhow::Result<Report> {
    let mut arena = Arena::start(dir, args).await?;
    let report = arena.fight(args, seed, out).await;
    arena.cluster.stop().await;
    if let Some(disk) = &arena.disk {
        let wanted = args.dir.is_some() || !report.as_ref().is_ok_and(Report::is_clean);
        if wanted { disk.keep()? } else { disk.unmount()? }
    }
    report
}

impl Report {
    /// Nothing was lost, done twice or by the wrong one, and everything came to rest.
    fn is_clean(&self) -> bool {
        self.contradictions.is_empty()
            && self.findings.is_empty()
            && self.appends_of_others == 0
            && self.drained_in_ms.is_some()
    }
}

fn keep(folder: &Path) {
    tracing::error!(folder = %folder.display(), "databases and logs");
}

fn open_to_all(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?)
}

/// A cluster with ways that can be disturbed.
struct Arena {
    addresses: Addresses,
    folder: PathBuf,
    cluster: Cluster,
    /// By server, by service.
    to_postgres: Vec<Vec<Proxy>>,
    to_redis: Vec<Proxy>,
    /// The server that the next fault of Postgres is of.
    next_server: usize,
    /// That of the first Postgres server, where it can be full.
    disk: Option<Disk>,
    /// The clock of the Postgres servers, where it can be set.
    servers_clock: Option<ServersClock>,
    /// When what was told may have been lost.
    lost: Past,
}

impl Arena {
    async fn start(dir: &Path, args: &ChaosArgs) -> anyhow::Result<Self> {
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
            tracing::warn!(
                "libfaketime is not installed: steps of the database's clock move leases"
            );
        }
        let environment = environment.unwrap_or_default();
        let postgres =
            cluster::postgres_servers(&folder, &addresses.postgres, &environment).await?;
        let redis = cluster::redis(&folder, addresses.redis).await?;
        let (mut to_postgres, mut to_redis) = (Vec::new(), Vec::new());
        for server in &addresses.postgres {
            let mut ways = Vec::new();
            for _ in SERVICES.iter() {
                ways.push(Proxy::to(*server).await?);
            }
            to_postgres.push(ways);
        }
        for _ in SERVICES.iter() {
            to_redis.push(Proxy::to(addresses.redis).await?);
        }
        let of_service = |nth: usize| {
            let ways = to_postgres.iter().filter_map(|ways: &Vec<Proxy>| ways.get(nth));
            ways.map(|proxy| proxy.address).collect()
        };
        let ways = Ways {
            postgres: (0..SERVICES.len()).map(of_service).collect(),
            redis: to_redis.iter().map(|proxy| proxy.address).collect(),
            clocks: true,
        };
        let leases: &[&str] =
            if args.scenario == Scenario::FrozenOwner { &SHORT_LEASES } else { &[] };
        let mut cluster = Cluster::new(&folder, &addresses, postgres, redis, &ways, leases)?;
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
            lost: Past::default(),
        })
    }

    async fn fight(&mut self, args: &ChaosArgs, seed: u64, out: &Output) -> anyhow::Result<Report> {
        let client = self.client(Duration::from_secs(20)).await?;
        // Stock that forgot decides anew, and not all would get what was scarce again.
        let scarce = if args.scenario == Scenario::SetBack { 0 } else { SCARCE };
        self.stock(&client, scarce).await?;
        let memory = Memory::default();
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        let nodes = self.addresses.nodes();
        let (work, schedule) = match args.scenario {
            Scenario::Everything => (Work::Mixed, Schedule::new(seed, SHARDS, args.full_disk)),
            Scenario::FrozenOwner => (Work::Mixed, Schedule::frozen(seed)),
            // It has no servers.
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
            clients.spawn(clients::work(nodes.clone(), work, seed, memory, args.pace, stop));
        }
        let began = Instant::now();
        let (mut kills, mut faults) = (0, BTreeMap::new());
        for step in schedule {
            if began.elapsed() >= args.lasts && kills >= args.kills {
                break;
            }
            kills += step.fault.kills();
            let kind: String = step.fault.to_string();
            if !out.json {
                let lasts = step.lasts.as_millis();
                out.line(format!("{:>5} s  {kind} for {lasts} ms", began.elapsed().as_secs()));
            }
            let words: Vec<&str> = kind.split(' ').take(2).collect();
            *faults.entry(words.join(" ")).or_insert(0) += 1;
            // Whoever could not start while something was wrong is started again, as anywhere.
            self.cluster.revive_services()?;
            self.disturb(&step).await?;
            sleep(step.peace).await;
        }
        stop.cancel();
        while let Some(client) = clients.join_next().await {
            client??;
        }
        let seconds = began.elapsed().as_secs();
        let drained = Instant::now();
        let behind = self.drain().await?;
        let level = behind.values().all(|facts| *facts == 0);
        let drained_in_ms = level.then(|| drained.elapsed().as_millis());
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
            calls: told(&calls),
            latency_ms: latencies(&calls),
            orders: verified.orders,
            events: verified.events,
            drained_in_ms,
            behind,
            appends_of_others,
            contradictions,
            findings: verified.findings,
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

    /// The server that a fault of Postgres is of: each in turn.
    fn server_in_turn(&mut self) -> usize {
        let server = self.next_server;
        self.next_server = (server + 1) % self.addresses.postgres.len();
        server
    }

    /// Makes a service's way to a Postgres server bad for a while.
    async fn way_to_postgres(&mut self, service: usize, how: Way, lasts: Duration) {
        let server = self.server_in_turn();
        if let Some(ways) = self.to_postgres.get(server) {
            way(ways, service, how, lasts).await;
        }
    }

    async fn client(&self, patience: Duration) -> anyhow::Result<Client> {
        let caller = Caller { role: "ops".to_owned(), subject: "chaos".to_owned() };
        let node = *self.addresses.services.first().context("there is no process")?;
        let connection =
            Connection { timeout: patience, ..Connection::new(format!("http://{node}"), caller) };
        Client::connect(&connection).await.map_err(|failure| anyhow::anyhow!("{failure}"))
    }

    async fn shard_of(&self, client: &Client, order_id: OrderId) -> anyhow::Result<u16> {
        let asked = json!({ "order_id": order_id.to_string() });
        let told = client.call("orders.v1.OrderService/GetOrder", asked).await;
        let told = told.map_err(|failure| anyhow::anyhow!("{failure}"))?;
        let shard = told["position"]["shard"].as_u64().unwrap_or(0);
        Ok(u16::try_from(shard)?)
    }

    /// Some products run out.
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

    /// Brings a fault about, and its end.
    async fn disturb(&mut self, step: &Step) -> anyhow::Result<()> {
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
                let server = self.server_in_turn();
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
                // Who is told that another took its place ends.
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
                    past::step_clock(&url, *seconds).await?;
                }
            }
            Fault::LoseTail => {
                let server = self.server_in_turn();
                if let Some(server) = self.cluster.postgres.get_mut(server) {
                    self.lost.tail(server, *lasts).await?;
                }
            }
            Fault::Restore(service) => {
                let server = *self.addresses.postgres.first().context("there is no server")?;
                past::restore(server, self.service(*service), *lasts).await?;
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

    /// An operator's wish; where the node is away it is none.
    async fn move_shard(&self, shard: u16, to: usize) {
        let node = ["a", "b"].get(to).copied().unwrap_or_default();
        let Ok(client) = self.client(Duration::from_secs(2)).await else { return };
        let wish = json!({ "shard": shard, "node": node });
        if let Err(failure) = client.call("admin.v1.AdminService/MoveShard", wish).await {
            tracing::info!(%failure, "the shard was not moved");
        }
    }

    /// Everything is well again, and followers come to the end; how far behind they are then.
    async fn drain(&mut self) -> anyhow::Result<BTreeMap<String, u64>> {
        for proxy in self.to_postgres.iter().flatten().chain(&self.to_redis) {
            proxy.set(Way::Open);
        }
        self.cluster.revive_services()?;
        for service in &mut self.cluster.services {
            service.until(READY_WITHIN, cluster::ready).await?;
        }
        let client = self.client(Duration::from_secs(20)).await?;
        let until = Instant::now() + DRAINS_WITHIN;
        loop {
            let lag = crate::client::lag::caught_up(&client, Duration::from_secs(20)).await;
            match lag {
                Ok(lag) if lag.values().all(|facts| *facts == 0) => return Ok(lag),
                Ok(lag) if Instant::now() > until => return Ok(lag),
                Err(failure) if Instant::now() > until => anyhow::bail!("{failure}"),
                _ => {}
            }
        }
    }
}

/// Starts it where it does not run, until it answers. What a killed server's sessions hold of it has
/// to go first.
async fn postgres_again(server: &mut cluster::Process) -> anyhow::Result<()> {
    let until = Instant::now() + READY_WITHIN;
    loop {
        if !server.runs() {
            server.start()?;
        }
        match server.until(READY_WITHIN, cluster::postgres_answers).await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Makes a way bad for a while.
async fn way(proxies: &[Proxy], nth: usize, how: Way, lasts: Duration) {
    if let Some(proxy) = proxies.get(nth) {
        proxy.set(how);
        sleep(lasts).await;
        proxy.set(Way::Open);
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

fn free_addresses(journal_databases: u16) -> anyhow::Result<Addresses> {
    // All at once, so that none is given out twice.
    let services = cluster::processes().count();
    let listeners = (0..=services + usize::from(journal_databases)).map(|_| {
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| {
            let address: SocketAddr = free.local_addr()?;
            Ok((free, address))
        })
    });
    let free: Vec<_> = listeners.collect::<Result<_, _>>().context("no free port")?;
    let mut free = free.iter().map(|(_, address)| *address);
    Ok(Addresses {
        services: free.by_ref().take(services).collect(),
        redis: free.next().context("no free port")?,
        postgres: free.collect(),
    })
}

fn told(calls: &[Call]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        let kind = match call.told {
            Told::Done(_) => "done",
            Told::Repeated => "done by an earlier try",
            Told::Nothing(_) => "nothing to do",
            Told::Shown(..) => "shown",
            Told::Refused(_) => "refused",
            Told::Doubt => "in doubt",
        };
        *counts.entry(kind).or_insert(0) += 1;
    }
    counts
}

fn latencies(calls: &[Call]) -> BTreeMap<&'static str, u64> {
    let answered = calls.iter().filter(|call| call.told != Told::Doubt);
    let mut took: Vec<u64> = answered
        .map(|call| call.returned.duration_since(call.invoked).as_millis())
        .map(|millis| u64::try_from(millis).unwrap_or(u64::MAX))
        .collect();
    took.sort_unstable();
    let of_thousand = |part: usize| {
        let at = (took.len() * part / 1_000).min(took.len().saturating_sub(1));
        took.get(at).copied().unwrap_or(0)
    };
    [("p50", 500), ("p99", 990), ("p99.9", 999), ("max", 1_000)]
        .map(|(name, part)| (name, of_thousand(part)))
        .into()
}

fn show(report: &Report, out: &Output) {
    if out.json {
        out.value(report);
        return;
    }
    for (fault, times) in &report.faults {
        out.line(format!("{times:>6}  {fault}"));
    }
    for (kind, calls) in &report.calls {
        out.line(format!("{calls:>6}  calls: {kind}"));
    }
    let took = |name: &str| report.latency_ms.get(name).copied().unwrap_or(0);
    out.line(format!(
        "latency p50 {} ms, p99 {} ms, p99.9 {} ms, max {} ms",
        took("p50"),
        took("p99"),
        took("p99.9"),
        took("max")
    ));
    for Contradiction { kind, order_id, detail } in &report.contradictions {
        out.line(format!("{kind} order/{order_id}: {detail}"));
    }
    for finding in &report.findings {
        out.line(format!("{} {}: {}", finding.law.code(), finding.subject, finding.detail));
    }
    out.line(format!(
        "seed {}: {} kills in {} s, {}; {} events of {} orders; appends of others \
         than the owner {}, contradictions {}, differences {}",
        report.seed,
        report.kills,
        report.seconds,
        match report.drained_in_ms {
            Some(millis) => format!("drained in {millis} ms"),
            None => format!("not drained: {:?}", report.behind),
        },
        report.events,
        report.orders,
        report.appends_of_others,
        report.contradictions.len(),
        report.findings.len()
    ));
}
