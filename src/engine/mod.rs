//! One process of the engine: opens the services of its role, starts every part and drains them in
//! order. Never here: rules, or a service by name.

mod building; // what a process is built of, while its services open
mod clock; // whether the clock can be believed
pub(crate) mod databases; // where they are, by flags
mod files; // the files of an SQLite directory, which belong together
mod followers; // what follows
mod health; // what keeps this process from serving
pub(crate) mod messages; // how messages are sent, by flags
mod peers; // the other processes
mod reconcile; // proves now and then that stock's sums hold
mod service; // what the engine knows of a service
pub(crate) mod services; // those that there are, a file each
mod settings; // which role, where, with what bounds
mod stepped; // a clock that somebody sets wrong
mod stores; // the databases of the services
pub mod streams; // the Redis streams, by flags
mod webhooks; // webhook endpoints, by a file

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::actor::Registry;
use order_actor::journal::Journal;
use shared_events::stream::Database;
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
pub use service::{Follow, Follower, Log, Process, Promise, Role, Runs, Service, Store};
pub use settings::{Backend, Databases, LeaseTimes, Settings};
pub use stores::{Stores, archiving, migrate};

pub(crate) use files::{JOURNAL_FILE, make_private};
pub(crate) use stepped::SteppedClock;
pub(crate) use stores::JOURNAL;

use building::{Channels, Now};
use clock::Believed;
use files::Files;
use followers::Followers;
use health::{Checks, Stored};

/// How often it is looked whether the process can serve.
const READY_EVERY: Duration = Duration::from_secs(1);

/// A running process of the engine.
pub struct Engine {
    address: SocketAddr,
    orders: Option<Orders>,
    databases: Vec<Database>,
    health: Health,
    /// Given up last.
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
    clock: Arc<Believed>,
}

impl Engine {
    /// Starts every part. When it returns, the process answers calls.
    ///
    /// # Errors
    /// Where the settings make no sense, a store cannot be opened or the address not be bound.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        settings.check()?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let address = listener.local_addr()?;
        let (stop_edge, stop_followers) = (CancellationToken::new(), CancellationToken::new());
        let time = Arc::clone(&settings.clock);
        let now: Now = Arc::new(move || time.now());
        let health = Health::new(Arc::clone(&now));
        let stop = (stop_edge.clone(), stop_followers.clone());
        let mut building = Building::new(settings, address, now, stop.0, stop.1)?;
        let mut files = stores::take_files(&building.settings).await?;
        open(&mut building, files.as_mut()).await?;
        let draining = CancellationToken::new();
        watch(&mut building, &health, files.as_ref(), draining.clone()).await;
        let admin = AdminEdge::new(admin_parts(&building, &health));
        let Building { settings, followers, databases, orders, .. } = building;
        let services = Services {
            forwarding: forwarding(&settings, &building.channels, building.nodes),
            names: names(&settings),
            calls: services::calls(settings.services),
            routes: building.routes,
            slots: building.slots,
            admin,
            access: settings.access,
            numbers: settings.shares,
            bounds: settings.connections,
        };
        let serving = health.serving();
        let edge = tokio::spawn(edge::serve(listener, services, serving, stop_edge.clone()));
        Ok(Self {
            address,
            orders,
            databases: databases.into_iter().map(|(_, database)| database).collect(),
            health,
            files,
            draining,
            stop_edge,
            stop_followers,
            edge,
            followers,
            drain: settings.drain,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Completes when the process can write no longer: it had the journal to itself, and its lease
    /// ran out. A node among others loses its shards and takes them again.
    pub async fn failed(&self) {
        match &self.orders {
            Some(orders) => orders.journal.stopped().await,
            None => std::future::pending().await,
        }
    }

    /// Drains in order: not ready any more, shards handed over (calls are carried to who has them),
    /// no new calls, calls in flight answered, followers stopped between two batches, orders
    /// asleep, leases given up.
    ///
    /// # Errors
    /// Where the edge failed, or work in flight did not end in time.
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
            Ok(served) => served?,
            Err(_) => tracing::warn!("calls were still open after the drain time"),
        }
        followers.context("followers did not stop within the drain time")
    }
}

/// Opens the services of this process, the journal last; then they begin to follow.
async fn open(building: &mut Building, files: Option<&mut Files>) -> anyhow::Result<()> {
    let Settings { services, role, .. } = building.settings;
    let mut opened = Vec::new();
    // Backwards: what might not open is tried before a node takes shards.
    for service in services.iter().rev().filter(|service| role.runs(service)) {
        opened.push((service.open)(building).await?);
    }
    // Before anybody follows: a file that something is kept in knows to whom it belongs.
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

/// Looks whether the process can serve, now and from now on.
async fn watch(
    building: &mut Building,
    health: &Health,
    files: Option<&Files>,
    draining: CancellationToken,
) {
    let orders = building.orders.as_ref();
    let databases = building.databases.iter().cloned();
    let mut checks = Checks {
        health: health.clone(),
        followers: building.followers.entries(),
        databases: databases.map(|(name, database)| Stored::new(name, database)).collect(),
        journal: orders.map(|orders| orders.journal.clone()),
        files: files.map(Files::watch),
        clock: orders.map(|orders| Arc::clone(&orders.clock)),
        doubt: None,
        of_services: std::mem::take(&mut building.alarms),
        alarmed: None,
    };
    checks.look().await;
    checks.health.tell();
    building.followers.run(|_| keep_looking(checks, draining));
}

fn admin_parts(building: &Building, health: &Health) -> AdminParts {
    let (settings, orders) = (&building.settings, building.orders.as_ref());
    let others = || building::elsewhere(settings);
    let peer = |service: &Service| {
        let followers: Vec<_> = service.followers.iter().map(|follower| follower.name).collect();
        let channel = building.channels.to(service)?;
        // Operators know it by what it follows with, where it does.
        let name = followers.first().copied().unwrap_or(service.name);
        Some((name, Elsewhere { followers, channel }))
    };
    AdminParts {
        followers: building.followers.entries(),
        letters: building.followers.letters(),
        journal: orders.map(|orders| orders.journal.clone()),
        databases: building.databases.clone(),
        orders: orders.map(|orders| orders.database.clone()),
        now: Arc::clone(&building.now),
        health: health.clone(),
        timers: orders.map(|orders| orders.clock.timers().clone()),
        node: settings.node(building.address),
        nodes: building.nodes.clone(),
        orders_at: others().find_map(|one| building.channels.to(one).filter(|_| one.has_journal)),
        stop: building.stop_edge.clone(),
        peers: others().filter(|service| !service.has_journal).filter_map(peer).collect(),
    }
}

/// Where calls go that are not answered here.
fn forwarding(settings: &Settings, channels: &Channels, nodes: NodeChannels) -> Forwarding {
    let others = building::elsewhere(settings);
    let forwarding = others.fold(Forwarding::default(), |forwarding, service| {
        forwarding.with_service(service.path, channels.to(service))
    });
    let journal = services::with_journal(settings.services);
    let is_node = journal.is_some_and(|service| settings.role.runs(service));
    match settings.backend {
        Backend::Postgres(_) if is_node => forwarding.with_nodes(nodes),
        _ => forwarding,
    }
}

/// The gRPC services of this process by name.
fn names(settings: &Settings) -> Vec<&'static str> {
    let here = settings.services.iter().filter(|service| settings.role.runs(service));
    let own = here.flat_map(|service| service.rpcs).map(|rpc| rpc.name);
    own.chain([services::FACTS.name]).collect()
}

/// Serves other answers to the engine's calls by the same door: for those who compare.
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

async fn keep_looking(mut checks: Checks, draining: CancellationToken) {
    let health = checks.health.clone();
    while !draining.is_cancelled() {
        tokio::select! {
            () = draining.cancelled() => break,
            () = tokio::time::sleep(READY_EVERY) => {}
            // Whoever is refused because of it is told the same by health.
            () = checks.doubt_changed() => {}
        }
        checks.look().await;
        if !draining.is_cancelled() {
            health.tell();
        }
    }
    // A process that is being stopped is not ready, whatever works still.
    health.stopping();
}
