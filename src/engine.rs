//! The engine in one process: opens the stores, starts every part and drains them in order.
//! Never here: rules. The only place that sees all three services.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use inventory_stream::Inventory;
use notification::Notifications;
use order_actor::actor::{Limits, Registry};
use order_actor::domain::Policy;
use order_actor::grpc::OrdersEdge;
use order_actor::inbox::StockAnswers;
use order_actor::journal::{self, Journal};
use order_actor::limits::IDLE_SWEEP;
use order_actor::outbox::FactSource;
use order_actor::projections::{Deadlines, OrderSummaries};
use order_actor::replay::JournalSource;
use order_actor::timers::{Alarm, Clock, SystemClock};
use shared_events::contract::Timestamp;
use shared_events::stream::{
    Cursors, Database, DeadLetters, Dialect, FollowStatus, Handler, Item, Scope, Source,
    Transactional, everything, follow,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::admin::{AdminEdge, AdminParts, FollowerEntry};
use crate::followers;

/// Where everything is kept.
#[derive(Clone, Debug)]
pub enum Backend {
    /// A directory of SQLite files, created if absent.
    Sqlite(PathBuf),
    /// A Postgres database, by URL; each service has a schema of its own in it.
    Postgres(String),
}

/// How an engine is to run.
pub struct Settings {
    /// Where everything is kept.
    pub backend: Backend,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The windows.
    pub policy: Policy,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// How messages leave.
    pub notifications: notification::Config,
    /// Who may call.
    pub access: Access,
    /// Bounds of the order actors.
    pub limits: Limits,
    /// Shards of a journal that is created now; an existing one keeps its number.
    pub shards: u16,
    /// Whether stock reacts to orders; off only to show what happens when it does not answer.
    pub stock_follower: bool,
    /// How long work in flight may take when the engine is told to stop.
    pub drain: Duration,
}

impl Settings {
    /// The defaults, on a port that the system chooses.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        let (shards, mail) = match &backend {
            Backend::Sqlite(directory) => (1, directory.join("mail")),
            Backend::Postgres(_) => (16, std::env::temp_dir().join("ordinal-mail")),
        };
        Self {
            backend,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            policy: Policy::default(),
            clock: Arc::new(SystemClock),
            notifications: notification::Config::to_directory(mail),
            access: Access::development(),
            limits: Limits::default(),
            shards,
            stock_follower: true,
            drain: Duration::from_secs(10),
        }
    }
}

/// The stores of one backend.
pub struct Stores {
    /// What happened to orders.
    pub journal: Journal,
    /// The order service's read models.
    pub orders: Database,
    /// The stock service's own database.
    pub inventory: Database,
    /// The message service's own database.
    pub notifications: Database,
}

impl Stores {
    /// Opens them for an engine: takes the journal's shards over.
    ///
    /// # Errors
    /// Where one of them cannot be opened, or another engine holds the journal.
    pub async fn open(
        backend: &Backend,
        shards: u16,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let time = Arc::clone(clock);
        let options =
            journal::Options { shards, ..journal::Options::new(Arc::new(move || time.now())) };
        let dialect = match backend {
            Backend::Sqlite(_) => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
        };
        let orders = order_actor::projections::migrator(dialect);
        let inventory = inventory_stream::migrator(dialect);
        let notifications = notification::migrator(dialect);
        Ok(match backend {
            Backend::Sqlite(directory) => {
                std::fs::create_dir_all(directory)
                    .with_context(|| format!("cannot create {}", directory.display()))?;
                let file = |name: &str| directory.join(name);
                Self {
                    journal: journal::open_sqlite(&file("journal.db"), options)
                        .await
                        .context("journal.db")?,
                    orders: Database::sqlite(&file("orders.db"), &orders)
                        .await
                        .context("orders.db")?,
                    inventory: Database::sqlite(&file("inventory.db"), &inventory)
                        .await
                        .context("inventory.db")?,
                    notifications: Database::sqlite(&file("notifications.db"), &notifications)
                        .await
                        .context("notifications.db")?,
                }
            }
            Backend::Postgres(url) => Self {
                journal: journal::open_postgres(url, "orders_journal", options)
                    .await
                    .context("schema orders_journal")?,
                orders: Database::postgres(url, "orders", &orders)
                    .await
                    .context("schema orders")?,
                inventory: Database::postgres(url, "inventory", &inventory)
                    .await
                    .context("schema inventory")?,
                notifications: Database::postgres(url, "notifications", &notifications)
                    .await
                    .context("schema notifications")?,
            },
        })
    }

    /// Opens them as they are now, for reading only, beside a running engine or without one. The
    /// journal comes last, so that no follower is seen ahead of it.
    ///
    /// # Errors
    /// Where one of them is absent or cannot be read.
    pub async fn snapshot(backend: &Backend) -> anyhow::Result<Self> {
        let options = journal::Options {
            read_only: true,
            ..journal::Options::new(Arc::new(|| SystemClock.now()))
        };
        Ok(match backend {
            Backend::Sqlite(directory) => {
                let file = |name: &str| directory.join(name);
                anyhow::ensure!(
                    file("journal.db").exists(),
                    "{} holds no engine's data",
                    directory.display()
                );
                Self {
                    orders: Database::sqlite_snapshot(&file("orders.db"))
                        .await
                        .context("orders.db")?,
                    inventory: Database::sqlite_snapshot(&file("inventory.db"))
                        .await
                        .context("inventory.db")?,
                    notifications: Database::sqlite_snapshot(&file("notifications.db"))
                        .await
                        .context("notifications.db")?,
                    journal: journal::open_sqlite(&file("journal.db"), options)
                        .await
                        .context("journal.db")?,
                }
            }
            Backend::Postgres(url) => Self {
                orders: Database::postgres_snapshot(url, "orders")
                    .await
                    .context("schema orders")?,
                inventory: Database::postgres_snapshot(url, "inventory")
                    .await
                    .context("schema inventory")?,
                notifications: Database::postgres_snapshot(url, "notifications")
                    .await
                    .context("schema notifications")?,
                journal: journal::open_postgres(url, "orders_journal", options)
                    .await
                    .context("schema orders_journal")?,
            },
        })
    }

    /// Closes all of them; the journal gives up its lease.
    pub async fn close(&self) {
        self.journal.close().await;
        self.orders.close().await;
        self.inventory.close().await;
        self.notifications.close().await;
    }
}

/// A running engine.
pub struct Engine {
    address: SocketAddr,
    stores: Stores,
    registry: Registry,
    stop_edge: CancellationToken,
    stop_followers: CancellationToken,
    edge: JoinHandle<Result<(), tonic::transport::Error>>,
    followers: Followers,
    drain: Duration,
}

impl Engine {
    /// Starts every part. When it returns, the engine answers calls.
    ///
    /// # Errors
    /// Where a store cannot be opened or the address not be bound.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        settings.access.check(settings.listen)?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let address = listener.local_addr()?;
        let stores = Stores::open(&settings.backend, settings.shards, &settings.clock).await?;
        let journal = stores.journal.clone();
        let clock = Arc::clone(&settings.clock);
        let registry =
            Registry::start(journal.clone(), Arc::clone(&clock), settings.policy, settings.limits)
                .await?;
        let time = Arc::clone(&clock);
        let now: Arc<dyn Fn() -> Timestamp + Send + Sync> = Arc::new(move || time.now());

        let inventory = Inventory::new(stores.inventory.clone(), Arc::clone(&now));
        let notifications = Notifications::new(
            stores.notifications.clone(),
            settings.notifications,
            Arc::clone(&now),
        )?;
        let summaries = OrderSummaries::new(stores.orders.clone());
        let deadlines = Deadlines::new(stores.orders.clone());

        let (stop_edge, stop_followers) = (CancellationToken::new(), CancellationToken::new());
        let mut followers = Followers::new(stop_followers.clone(), now);
        let events = Arc::new(JournalSource::new(journal.clone()));
        let orders = &stores.orders;
        followers.start(
            followers::SUMMARIES,
            orders,
            events.clone(),
            journal.scope(),
            summaries.handler(journal.clone()),
        );
        followers.start(
            followers::DEADLINES,
            orders,
            events,
            journal.scope(),
            deadlines.handler(journal.clone()),
        );
        if settings.stock_follower {
            let facts = Arc::new(FactSource::new(journal.clone()));
            let follower = inventory.follower();
            followers.start(followers::STOCK, &stores.inventory, facts, everything(), follower);
        }
        followers.start(
            followers::STOCK_ANSWERS,
            orders,
            inventory.facts(),
            journal.scope(),
            StockAnswers::new(registry.clone()),
        );
        let facts = Arc::new(FactSource::new(journal.clone()));
        followers.start(
            followers::NOTIFICATIONS,
            &stores.notifications,
            facts,
            everything(),
            notifications.follower(),
        );
        let delivery = notifications.clone();
        let stop = stop_followers.clone();
        followers.tasks.spawn(async move { delivery.run_delivery(stop).await });
        let alarm = Alarm::new(deadlines, registry.clone(), clock);
        followers.tasks.spawn(alarm.run(stop_followers.clone()));
        followers.tasks.spawn(sweep(registry.clone(), stop_followers.clone()));

        let admin = AdminEdge::new(followers.admin_parts(journal.clone(), orders.clone()));
        let edge = OrdersEdge::new(
            registry.clone(),
            summaries,
            journal.clone(),
            Arc::new(FactSource::new(journal)),
        )
        .stopping_with(stop_edge.clone());
        let services = crate::edge::Services {
            orders: edge,
            stock: inventory.grpc(),
            notifications: notifications.grpc(),
            admin,
            access: settings.access,
        };
        let edge = tokio::spawn(crate::edge::serve(listener, services, stop_edge.clone()));
        Ok(Self {
            address,
            stores,
            registry,
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

    /// Completes when the engine can write no longer: another one has taken the journal over, or
    /// its lease ran out.
    pub async fn failed(&self) {
        self.stores.journal.stopped().await;
    }

    /// Drains in order: no new calls, calls in flight answered, followers stopped between two
    /// batches, orders asleep, lease given up.
    ///
    /// # Errors
    /// Where the edge failed, or work in flight did not end in time.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop_edge.cancel();
        let edge = tokio::time::timeout(self.drain, self.edge).await;
        self.stop_followers.cancel();
        let followers = tokio::time::timeout(self.drain, self.followers.join()).await;
        self.registry.stop();
        self.stores.close().await;
        match edge {
            Ok(served) => served??,
            Err(_) => tracing::warn!("calls were still open after the drain time"),
        }
        followers.context("followers did not stop within the drain time")
    }
}

async fn sweep(registry: Registry, stop: CancellationToken) {
    while tokio::time::timeout(IDLE_SWEEP, stop.cancelled()).await.is_err() {
        registry.sweep();
    }
}

type Heads = Arc<dyn Fn() -> BoxFuture<'static, Option<Cursors>> + Send + Sync>;

/// The followers of this process.
struct Followers {
    tasks: TaskTracker,
    stop: CancellationToken,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    entries: Vec<(FollowStatus, Heads, Database)>,
}

impl Followers {
    fn new(stop: CancellationToken, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self { tasks: TaskTracker::new(), stop, now, entries: Vec::new() }
    }

    fn start<T: Item, S: Source<T>, H: Handler<T>>(
        &mut self,
        name: &'static str,
        database: &Database,
        source: Arc<S>,
        scope: watch::Receiver<Scope>,
        handler: H,
    ) {
        let status = FollowStatus::new(name);
        let mut sink = Transactional::new(name, database.clone(), handler, Arc::clone(&self.now));
        let stop = self.stop.clone();
        let watched = Arc::clone(&source);
        let heads: Heads = Arc::new(move || {
            let source = Arc::clone(&watched);
            Box::pin(async move { source.heads().await.ok() })
        });
        self.entries.push((status.clone(), heads, database.clone()));
        self.tasks.spawn(async move {
            // A broken source has been logged and stands in the status; the others go on.
            let _ = follow(source.as_ref(), &mut sink, scope, &status, &stop).await;
        });
    }

    fn admin_parts(&self, journal: Journal, orders: Database) -> AdminParts {
        let followers = self
            .entries
            .iter()
            .map(|(status, heads, _)| FollowerEntry {
                status: status.clone(),
                heads: Arc::clone(heads),
            })
            .collect();
        let letters: BTreeMap<String, DeadLetters> = self
            .entries
            .iter()
            .map(|(status, _, database)| {
                (status.name().to_owned(), DeadLetters::new(database.clone()))
            })
            .collect();
        AdminParts { followers, letters, journal, orders }
    }

    async fn join(self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
