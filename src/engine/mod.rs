//! One process of the engine: opens the services of its role, starts all parts and drains them in
//! order. Never here: rules, or a service by name.

pub(crate) mod authority; // an authority of one's own, in files
mod building; // a process under construction
mod clock; // whether the clock can be trusted
mod cores; // how busy the cores are
pub(crate) mod databases; // flags of the Postgres databases
mod files; // locks and checks the files of an SQLite directory
mod followers; // the followers and background tasks of a process
mod gateway; // the role edge, in front of the others
mod health; // periodic checks of everything a process depends on
pub(crate) mod issuers; // flags of the issuers of tokens
mod ledger_link; // the way to the ledger
pub(crate) mod messages; // flags of message delivery
mod metrics; // what this process counts, for scrapers
pub(crate) mod payouts; // sellers' accounts in the ledger, and the rules of payouts
mod peers; // flags of the other processes
mod private; // files and directories that only their owner reads
pub(crate) mod psps; // payment service providers
mod reconcile; // checks stock's sums periodically
mod service; // the type of a service's row
pub(crate) mod services; // the services, a file each
mod settings; // the settings of a process
pub mod spans; // spans on their way to a collector
mod stepped; // a clock with an adjustable offset
mod stores; // the databases of the services
pub mod streams; // flags of the Redis streams
pub(crate) mod wallets; // wallets of the ledger, as a payment provider
mod webhooks; // webhook endpoints from a file

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::actor::Registry;
use order_actor::clock::Clock;
use order_actor::journal::Journal;
use order_actor::projections::{OrderIdentifiers, OrderReturns, OrderSummaries};
use shared_events::stream::{Database, Unfinished};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::edge::access::Access;
use crate::edge::admin::{AdminEdge, AdminParts, Elsewhere};
use crate::edge::forward::{Forwarding, NodeChannels};
use crate::edge::health::Health;
use crate::edge::{self, Services};
use service_edge::feed::FactEdge;

pub use building::Building;
pub use peers::{PeerArgs, Peers};
pub use service::{Follow, Follower, Log, Process, Published, Role, Runs, Service, Store};
pub use services::ALL as SERVICES;
pub use settings::{Backend, Databases, LeaseTimes, Settings};
pub use stores::{Stores, archiving, migrate};

pub(crate) use files::JOURNAL_FILE;
pub(crate) use private::{make_private, write_private};
pub(crate) use stepped::SteppedClock;
pub(crate) use stores::JOURNAL;

use building::Channels;
use clock::{Now, TrustedClock};
use files::Files;
use followers::Followers;
use health::{Checks, Stored};
use metrics::{Door, Shown};

/// How often health is checked.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A running process of the engine.
pub struct Engine {
    address: SocketAddr,
    metrics: Option<Shown>,
    orders: Option<Orders>,
    databases: Vec<Database>,
    health: Health,
    /// Released last.
    files: Option<Files>,
    draining: CancellationToken,
    stop_edge: CancellationToken,
    stop_followers: CancellationToken,
    edge: JoinHandle<()>,
    followers: Followers,
    drain: Duration,
}

/// The order service of a process.
#[derive(Clone)]
struct Orders {
    journal: Journal,
    registry: Registry,
    database: Database,
    summaries: OrderSummaries,
    returns: OrderReturns,
    identifiers: OrderIdentifiers,
    clock: Arc<TrustedClock>,
}

impl Engine {
    /// Starts all parts. When it returns, the process answers calls.
    ///
    /// # Errors
    /// If the settings are invalid, a store cannot be opened, or the address cannot be bound.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        settings.check()?;
        let calls = services::calls(settings.services);
        calls.check()?;
        let door = Door::open(&settings).await?;
        settings.access.begin().await?;
        let (stop_edge, stop_followers) = (CancellationToken::new(), CancellationToken::new());
        settings.keep_certificates_fresh(&stop_edge)?;
        let (listener, address) = listen(settings.listen).await?;
        settings.check_own_name(address);
        let now = now_by(&settings.clock);
        let health = Health::new(Arc::clone(&now));
        let stop = (stop_edge.clone(), stop_followers.clone());
        let mut building = Building::new(settings, address, now, stop)?;
        let mut files = stores::take_files(&building.settings).await?;
        open(&mut building, files.as_mut()).await?;
        let draining = CancellationToken::new();
        watch(&mut building, &health, files.as_ref(), draining.clone()).await?;
        let admin = AdminEdge::new(admin_parts(&building, &health));
        let (metrics, told) = (door.serve(&mut building, &admin), building.receives_webhooks());
        let Building { settings, followers, databases, orders, .. } = building;
        let who = (&settings.access, Arc::clone(&settings.clock));
        let web =
            edge::web::layer(&calls, who, (settings.public.clone(), settings.own_tokens.clone()))?;
        let services = Services {
            forwarding: forwarding(&settings, &building.channels, building.nodes)
                .stopping_with(stop_edge.clone()),
            names: names(&settings),
            web,
            calls,
            reflection: settings.reflection || settings.access.is_development(),
            routes: building.routes,
            slots: building.slots,
            admin,
            access: settings.access,
            clock: Arc::clone(&settings.clock),
            numbers: settings.shares,
            limits: building.limits,
            accounts: building.accounts,
            proxies: settings.proxies,
            bounds: settings.connections,
            tls: settings.tls,
            told,
        };
        let edge = edge::serve(listener, services, health.serving(), stop_edge.clone());
        Ok(Self {
            address,
            metrics,
            orders,
            databases: databases.into_iter().map(|(_, database)| database).collect(),
            health,
            files,
            draining,
            stop_edge,
            stop_followers,
            edge: crate::tasks::spawn(edge),
            followers,
            drain: settings.drain,
        })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address at which its metrics are, if they are anywhere.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|shown| shown.address)
    }

    /// Completes when the process can no longer write: it had the journal to itself and its lease
    /// expired. A node among others loses its shards and takes them again instead.
    pub async fn failed(&self) {
        match &self.orders {
            Some(orders) => orders.journal.stopped().await,
            None => std::future::pending().await,
        }
    }

    /// Whether another process has taken its journal over.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.journal.is_superseded())
    }

    /// As [`Self::stop`], for a process that can no longer write. Its metrics are shown once more,
    /// before what it refused is gone with it. Whoever has no time for that says so.
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub async fn stop_and_show(mut self, no_time: impl Future<Output = ()>) -> anyhow::Result<()> {
        let shown = self.metrics.take();
        let stopped = self.stop().await;
        if let Some(shown) = shown {
            shown.once_more(no_time).await;
        }
        stopped
    }

    /// Drains in order: reports not ready, hands over shards (calls are forwarded to the new
    /// owners), takes no new calls, answers calls in flight, stops followers between two batches,
    /// puts orders to sleep, gives up leases.
    ///
    /// # Errors
    /// If the edge failed, or work in flight did not finish in time.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.draining.cancel();
        self.health.stopping();
        if let Some(orders) = &self.orders {
            orders.journal.hand_over().await;
        }
        self.stop_edge.cancel();
        let edge = tokio::time::timeout(self.drain, self.edge).await;
        self.stop_followers.cancel();
        let followers = tokio::time::timeout(self.drain, self.followers.join()).await;
        if let Some(orders) = &self.orders {
            orders.registry.stop();
            orders.journal.close().await;
        }
        for database in &self.databases {
            database.close().await;
        }
        drop(self.files);
        match edge {
            Ok(served) => served.map_err(Unfinished::from)?,
            Err(_) => tracing::warn!("calls were still open after the drain time"),
        }
        followers.context("followers did not stop within the drain time")
    }
}

/// What tells services the time.
fn now_by(clock: &Arc<dyn Clock>) -> Now {
    let clock = Arc::clone(clock);
    Arc::new(move || clock.now())
}

/// Listens; returns the address, too, because port 0 takes a free one.
async fn listen(at: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(at).await;
    let listener = listener.with_context(|| format!("cannot listen on {at}"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Opens the services of this process, the journal last; then starts their followers.
async fn open(building: &mut Building, files: Option<&mut Files>) -> anyhow::Result<()> {
    let Settings { services, role, .. } = building.settings;
    let mut opened = Vec::new();
    // In reverse order: stores that may fail to open come before a node takes shards.
    for service in services.iter().rev().filter(|service| role.runs(service)) {
        opened.push((service.open)(building).await?);
    }
    // Before followers start: files are marked before anything is stored in them.
    if let Some(files) = files {
        files.mark().await?;
    }
    for follow in opened {
        follow(building)?;
    }
    let logs = std::mem::take(&mut building.logs);
    let facts = FactEdge::new(logs.into_values(), building.stop_edge.clone());
    building.routes.add_service(facts.into_service());
    Ok(())
}

/// Checks health now and periodically.
async fn watch(
    building: &mut Building,
    health: &Health,
    files: Option<&Files>,
    draining: CancellationToken,
) -> anyhow::Result<()> {
    let orders = building.orders.as_ref();
    let reached = match building.settings.role {
        Role::Edge => Some(gateway::Reached::new(&building.settings, &building.channels)?),
        Role::All | Role::Only(_) => None,
    };
    let stored = building.databases.iter().map(|(name, database)| {
        let stored = Stored::new(name, database.clone());
        match services::named(building.settings.services, name) {
            Some(service) => stored.beside(service, orders.map(|orders| &orders.database)),
            None => stored,
        }
    });
    let mut checks = Checks {
        health: health.clone(),
        followers: building.followers.entries(),
        databases: stored.collect(),
        journal: orders.map(|orders| orders.journal.clone()),
        files: files.map(Files::watch),
        clock: building.has_timers.then(|| Arc::clone(&building.clock)),
        reached,
        doubt: None,
        of_services: std::mem::take(&mut building.alarms),
        alarmed: None,
    };
    checks.check().await;
    checks.health.publish();
    building.followers.run(|_| keep_checking(checks, draining));
    Ok(())
}

fn admin_parts(building: &Building, health: &Health) -> AdminParts {
    let (settings, orders) = (&building.settings, building.orders.as_ref());
    let others = || building::elsewhere(settings);
    let peer = |service: &Service| {
        let followers: Vec<_> = service.followers.iter().map(|follower| follower.name).collect();
        let at = building.channels.to(service)?;
        // Operators know a service by its first follower, if it has one.
        let name = followers.first().copied().unwrap_or(service.name);
        Some((name, Elsewhere { followers, at }))
    };
    AdminParts {
        followers: building.followers.entries(),
        letters: building.followers.letters(),
        journal: orders.map(|orders| orders.journal.clone()),
        databases: building.databases.clone(),
        orders: orders.map(|orders| orders.database.clone()),
        summaries: orders.map(|orders| orders.summaries.clone()),
        returns: orders.map(|orders| orders.returns.clone()),
        identifiers: orders.map(|orders| orders.identifiers.clone()),
        finders: building.finders.clone(),
        now: Arc::clone(&building.now),
        chance: settings.chance.of_part("tokens"),
        health: health.clone(),
        accounts: building.accounts.clone(),
        timers: building.has_timers.then(|| building.clock.timers().clone()),
        own_tokens: settings.own_tokens.clone(),
        node: settings.node(building.address),
        nodes: building.nodes.clone(),
        orders_at: others().find_map(|one| building.channels.to(one).filter(|_| one.has_journal)),
        stop: building.stop_edge.clone(),
        peers: others().filter(|service| !service.has_journal).filter_map(peer).collect(),
    }
}

/// Routes of calls that are not answered here.
fn forwarding(settings: &Settings, channels: &Channels, nodes: NodeChannels) -> Forwarding {
    let others = building::elsewhere(settings);
    let forwarding = others.fold(Forwarding::default(), |forwarding, service| {
        forwarding.with_service(service.path, channels.to(service))
    });
    let journal = services::with_journal(settings.services);
    let is_node = journal.is_some_and(|service| settings.role.runs(service));
    match settings.backend {
        Backend::Postgres(_) if is_node => forwarding.with_nodes(nodes),
        Backend::Nothing => gateway::forwarding(forwarding, settings, channels),
        _ => forwarding,
    }
}

/// The names of this process's gRPC services.
fn names(settings: &Settings) -> Vec<&'static str> {
    let here = settings.services.iter().filter(|service| settings.role.runs(service));
    let own = here.flat_map(|service| service.rpcs).map(|rpc| rpc.name);
    own.chain([services::FACTS.name]).collect()
}

/// Serves other implementations behind the engine's stack, for comparisons.
pub async fn serve_routes(
    listener: TcpListener,
    routes: Routes,
    access: Access,
    slots: edge::Slots,
    stop: CancellationToken,
) {
    let calls = services::calls(services::ALL);
    edge::serve_routes(listener, routes, (access, calls), slots, stop).await;
}

async fn keep_checking(mut checks: Checks, draining: CancellationToken) {
    let health = checks.health.clone();
    while !draining.is_cancelled() {
        tokio::select! {
            () = draining.cancelled() => break,
            () = tokio::time::sleep(CHECK_EVERY) => {}
            // Health must show the reason as soon as calls are refused for it.
            () = checks.doubt_changed() => {}
        }
        checks.check().await;
        if !draining.is_cancelled() {
            health.publish();
        }
    }
    // A process that is being stopped is not ready.
    health.stopping();
}
