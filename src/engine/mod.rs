//! One process of the engine: opens the stores of its role, starts every part and drains them in
//! order. The only place that sees all three services. Never here: rules.

mod clock; // whether the clock can be believed
mod files; // the files of an SQLite directory, which belong together
mod followers; // what follows
mod health; // why this process cannot serve, if it cannot
mod reconcile; // proves now and then that stock's sums hold
mod settings; // which role, where, with what bounds
mod stores; // the databases of the services

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use inventory_stream::Inventory;
use notification::Notifications;
use order_actor::actor::Registry;
use order_actor::grpc::OrdersEdge;
use order_actor::inbox::StockAnswers;
use order_actor::journal::Journal;
use order_actor::limits::IDLE_SWEEP;
use order_actor::outbox::FactSource;
use order_actor::projections::{Deadlines, OrderSummaries};
use order_actor::replay::JournalSource;
use order_actor::timers::Alarm;
use service_edge::feed::{FactEdge, Log, RemoteFacts};
use shared_events::contract::{Fact, FactSource as Promiser, Timestamp};
use shared_events::stream::redis::{Redis, RedisSource};
use shared_events::stream::{Candidacy, Database, Scope, Source};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::admin::{AdminEdge, AdminParts};
use crate::edge::{self, Services};
use crate::followers as names;
use crate::forward::{Forwarding, NodeChannels};
use crate::peers::{self, Peers};

pub use settings::{Backend, Databases, LeaseTimes, Role, Settings};
pub use stores::{Stores, archiving, migrate};

pub(crate) use clock::Believed;
pub(crate) use files::make_private;
pub(crate) use followers::FollowerEntry;
pub(crate) use health::Health;
pub(crate) use stores::JOURNAL;

use files::Files;
use followers::{Followers, LATER, LISTS, SOON, STOCK};
use health::{Checks, Stored};
use reconcile::Reconcile;
use stores::Service;

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
struct Orders {
    journal: Journal,
    registry: Registry,
    database: Database,
    clock: Arc<Believed>,
}

type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a process is built of, while it is built.
struct Building {
    settings: Settings,
    address: SocketAddr,
    now: Now,
    channels: Channels,
    redis: Option<Redis>,
    followers: Followers,
    databases: Vec<(&'static str, Database)>,
    logs: BTreeMap<&'static str, (Promiser, Log)>,
    stop_edge: CancellationToken,
}

/// To the processes of other roles.
struct Channels {
    orders: Option<Channel>,
    inventory: Option<Channel>,
    notifications: Option<Channel>,
}

impl Channels {
    /// None to what runs here.
    fn new(role: Role, peers: &Peers) -> anyhow::Result<Self> {
        let channel = |here: bool, urls: &[String]| {
            if here { Ok(None) } else { peers::channel(urls) }
        };
        Ok(Self {
            orders: channel(role.orders(), &peers.orders)?,
            inventory: channel(role.inventory(), &peers.inventory)?,
            notifications: channel(role.notifications(), &peers.notifications)?,
        })
    }
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
        let (role, drain) = (settings.role, settings.drain);
        let access = settings.access.clone();
        let channels = Channels::new(role, &settings.peers)?;
        let redis = match &settings.streams {
            Some(streams) => Some(Redis::new(&streams.redis)?),
            None => None,
        };
        let followers = Followers::new(stop_followers.clone(), Arc::clone(&now));
        let health = Health::new(Arc::clone(&now));
        let mut files = stores::take_files(&settings).await?;
        let mut building = Building {
            settings,
            address,
            now,
            channels,
            redis,
            followers,
            databases: Vec::new(),
            logs: BTreeMap::new(),
            stop_edge: stop_edge.clone(),
        };
        // Stock first: what it tells is what orders follow.
        let stock = if role.inventory() { Some(building.inventory().await?) } else { None };
        let opened = if role.orders() { Some(building.open_orders().await?) } else { None };
        let notifications =
            if role.notifications() { Some(building.notifications().await?) } else { None };
        // Before anybody follows: a file that something is kept in knows to whom it belongs.
        if let Some(files) = &mut files {
            files.mark().await?;
        }
        if let Some(stock) = &stock {
            building.follow_orders_with_stock(stock)?;
        }
        if let Some(notifications) = &notifications {
            building.follow_orders_with_notifications(notifications)?;
        }
        let (orders, orders_edge) = match opened {
            Some((orders, edge, read_models)) => {
                building.follow_with_orders(&orders, read_models)?;
                (Some(orders), Some(edge))
            }
            None => (None, None),
        };
        let Building { settings, now, channels, followers, databases, logs, .. } = building;

        let mut checks = Checks {
            health: health.clone(),
            followers: followers.entries(),
            databases: databases.iter().cloned().map(|(name, db)| Stored::new(name, db)).collect(),
            journal: orders.as_ref().map(|orders| orders.journal.clone()),
            files: files.as_ref().map(Files::watch),
            clock: orders.as_ref().map(|orders| Arc::clone(&orders.clock)),
            doubt: None,
            stock: stock.as_ref().map(|stock| stock.database().clone()),
            alarmed: None,
        };
        checks.look().await;
        checks.health.tell();
        let draining = CancellationToken::new();
        followers.run(|_| keep_looking(checks, draining.clone()));
        let nodes = NodeChannels::default();
        let admin = AdminEdge::new(AdminParts {
            followers: followers.entries(),
            letters: followers.letters(),
            journal: orders.as_ref().map(|orders| orders.journal.clone()),
            databases: databases.clone(),
            orders: orders.as_ref().map(|orders| orders.database.clone()),
            now,
            health: health.clone(),
            clock: orders.as_ref().map(|orders| Arc::clone(&orders.clock)),
            node: settings.node(address),
            nodes: nodes.clone(),
            orders_at: channels.orders.clone(),
            stop: stop_edge.clone(),
            peers: [
                (names::STOCK, channels.inventory.clone()),
                (names::NOTIFICATIONS, channels.notifications.clone()),
            ]
            .into_iter()
            .filter_map(|(follower, channel)| Some((follower, channel?)))
            .collect(),
        });
        let mut forwarding = Forwarding::default()
            .with_service("/ordinal.inventory.", channels.inventory)
            .with_service("/ordinal.notifications.", channels.notifications)
            .with_service("/ordinal.orders.", channels.orders);
        let mut orders_edge = orders_edge;
        if matches!(settings.backend, Backend::Postgres(_)) {
            orders_edge = orders_edge.map(|edge| edge.among(Arc::new(nodes.clone())));
            if role.orders() {
                forwarding = forwarding.with_nodes(nodes);
            }
        }
        let services = Services {
            orders: orders_edge,
            stock: stock.as_ref().map(Inventory::grpc),
            notifications: notifications.as_ref().map(|(notifications, _)| notifications.grpc()),
            facts: FactEdge::new(logs.into_values(), stop_edge.clone()),
            admin,
            access,
            forwarding,
            numbers: settings.shares,
            bounds: settings.connections,
        };
        let serving = health.serving();
        let edge = tokio::spawn(edge::serve(listener, services, serving, stop_edge.clone()));
        let databases = databases.into_iter().map(|(_, database)| database).collect();
        Ok(Self {
            address,
            orders,
            databases,
            health,
            files,
            draining,
            stop_edge,
            stop_followers,
            edge,
            followers,
            drain,
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

/// The lists that orders keep of themselves.
struct ReadModels {
    summaries: OrderSummaries,
    deadlines: Deadlines,
}

impl Building {
    async fn database(&mut self, service: Service) -> anyhow::Result<Database> {
        let Settings { backend, database_connections, .. } = &self.settings;
        let database = stores::database(backend, service, *database_connections).await?;
        self.databases.push((service.name(), database.clone()));
        Ok(database)
    }

    /// What a service promises: from its log, where that is here, or from its process.
    fn facts(&self, promiser: Promiser, reader: &str) -> anyhow::Result<Arc<dyn Source<Fact>>> {
        if let Some((_, log)) = self.logs.get(promiser.uri()) {
            return Ok(log());
        }
        let channel = match promiser {
            Promiser::Orders => &self.channels.orders,
            Promiser::Inventory => &self.channels.inventory,
            Promiser::Notifications => &self.channels.notifications,
        };
        let channel = channel
            .clone()
            .with_context(|| format!("nobody is known who tells {}", promiser.uri()))?;
        let identity = self.settings.peers.identity.clone();
        let remote: Arc<dyn Source<Fact>> = Arc::new(RemoteFacts::new(promiser, channel, identity));
        Ok(match &self.redis {
            Some(redis) => {
                let now = Arc::clone(&self.now);
                Arc::new(RedisSource::new(redis.clone(), promiser, remote, reader, now))
            }
            None => remote,
        })
    }

    /// Puts what is promised here into the streams, if there are any.
    fn relay(&mut self, name: &'static str, promiser: Promiser, scope: watch::Receiver<Scope>) {
        if let Some(redis) = &self.redis
            && let Some(streams) = &self.settings.streams
            && let Some((_, log)) = self.logs.get(promiser.uri())
        {
            self.followers.relay(name, promiser, log(), scope, redis, streams.keep);
        }
    }

    /// What a service tells out of its database: by the feed, and by the streams, if there are any, into
    /// which one process at a time puts it.
    fn tell(&mut self, relay: &'static str, promiser: Promiser, log: Log, database: &Database) {
        self.logs.insert(promiser.uri(), (promiser, log));
        let (candidacy, scope) = Candidacy::new(database.clone(), relay);
        if self.redis.is_some() {
            self.followers.run(|stop| candidacy.run(stop));
        }
        self.relay(relay, promiser, scope);
    }

    async fn inventory(&mut self) -> anyhow::Result<Inventory> {
        let database = self.database(Service::Inventory).await?;
        let mut inventory = Inventory::new(database, Arc::clone(&self.now));
        if let Some(streams) = self.settings.streams.as_ref()
            && !streams.stock_cache_for.is_zero()
        {
            // Its own connection: who asks waits for no stream.
            let redis = Redis::new(&streams.redis)?;
            inventory = inventory.cached(redis, streams.stock_cache_for);
        }
        if let Some(cache) = inventory.cache() {
            self.followers.run(|stop| cache.run(stop));
        }
        let told = inventory.clone();
        let log: Log = Arc::new(move || told.facts());
        self.tell(names::INVENTORY_RELAY, Promiser::Inventory, log, inventory.database());
        Ok(inventory)
    }

    fn follow_orders_with_stock(&mut self, inventory: &Inventory) -> anyhow::Result<()> {
        if !self.settings.stock_follower {
            return Ok(());
        }
        let facts = self.facts(Promiser::Orders, names::STOCK)?;
        let database = inventory.database().clone();
        let follower = inventory.follower();
        let scope = self.followers.start_one(names::STOCK, STOCK, &database, facts, follower);
        if !self.settings.reconcile_every.is_zero() {
            let (backend, clock) =
                (self.settings.backend.clone(), Arc::clone(&self.settings.clock));
            let reconcile =
                Reconcile { database, backend, clock, every: self.settings.reconcile_every };
            self.followers.run(|stop| reconcile.run(scope, stop));
        }
        Ok(())
    }

    async fn notifications(&mut self) -> anyhow::Result<(Notifications, Database)> {
        let database = self.database(Service::Notifications).await?;
        let config = self.settings.notifications.clone();
        let now = Arc::clone(&self.now);
        let notifications = Notifications::new(database.clone(), config, now)?;
        let told = notifications.clone();
        let log: Log = Arc::new(move || told.facts());
        self.tell(names::NOTIFICATIONS_RELAY, Promiser::Notifications, log, &database);
        Ok((notifications, database))
    }

    fn follow_orders_with_notifications(
        &mut self,
        (notifications, database): &(Notifications, Database),
    ) -> anyhow::Result<()> {
        let facts = self.facts(Promiser::Orders, names::NOTIFICATIONS)?;
        let follower = notifications.follower();
        self.followers.start_one(names::NOTIFICATIONS, LATER, database, facts, follower);
        // Every process delivers: each message is claimed in the ledger before it is sent.
        let delivery = notifications.clone();
        self.followers.run(|stop| async move { delivery.run_delivery(stop).await });
        Ok(())
    }

    /// The journal and its actors, and what they tell.
    async fn open_orders(&mut self) -> anyhow::Result<(Orders, OrdersEdge, ReadModels)> {
        let node = self.settings.node(self.address);
        let journal = stores::journal(&self.settings, node).await?;
        let database = self.database(Service::Orders).await?;
        let clock = Arc::clone(&self.settings.clock);
        let (policy, limits) = (self.settings.policy, self.settings.limits);
        let registry = Registry::start(journal.clone(), clock, policy, limits).await?;
        let told = journal.clone();
        let log: Log = Arc::new(move || Arc::new(FactSource::new(told.clone())));
        self.logs.insert(Promiser::Orders.uri(), (Promiser::Orders, log));
        self.relay(names::ORDERS_RELAY, Promiser::Orders, journal.scope());
        let summaries = OrderSummaries::new(database.clone());
        let deadlines = Deadlines::new(database.clone());
        let edge = OrdersEdge::new(registry.clone(), summaries.clone(), journal.clone())
            .stopping_with(self.stop_edge.clone());
        let believed = Believed::by(&journal, self.settings.trust_clock).await;
        let orders = Orders { journal, registry, database, clock: believed };
        Ok((orders, edge, ReadModels { summaries, deadlines }))
    }

    /// Each order node follows for the shards that it has.
    fn follow_with_orders(&mut self, orders: &Orders, lists: ReadModels) -> anyhow::Result<()> {
        let Orders { journal, registry, database, clock } = orders;
        let ReadModels { summaries, deadlines } = lists;
        let events = Arc::new(JournalSource::new(journal.clone()));
        let answers = self.facts(Promiser::Inventory, names::STOCK_ANSWERS)?;
        let followers = &mut self.followers;
        let handler = summaries.handler(journal.clone());
        let (name, scope) = (names::SUMMARIES, journal.scope());
        followers.start(name, LISTS, database, events.clone(), scope, handler);
        let handler = deadlines.handler(journal.clone());
        let (name, scope) = (names::DEADLINES, journal.scope());
        followers.start(name, LATER, database, events, scope, handler);
        let handler = StockAnswers::new(registry.clone());
        let (name, scope) = (names::STOCK_ANSWERS, journal.scope());
        followers.start(name, SOON, database, answers, scope, handler);
        let alarm = Alarm::new(deadlines, registry.clone(), Arc::clone(&self.settings.clock));
        let alarm = alarm.held(clock.held());
        followers.run(|stop| alarm.run(stop));
        followers.run(|stop| sweep(registry.clone(), stop));
        Ok(())
    }
}

async fn sweep(registry: Registry, stop: CancellationToken) {
    while tokio::time::timeout(IDLE_SWEEP, stop.cancelled()).await.is_err() {
        registry.sweep();
    }
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
