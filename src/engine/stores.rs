use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::journal::{self, Archive, Archiving, ArchivingError, Journal, Node, Options};
use shared_events::stream::{Database, DatabaseError, Dialect};

use super::files::Files;
use super::settings::{Backend, Databases, Role, Settings};

/// The stores of all services.
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
    /// Opens them as they are now, for reading only, beside running processes or without any. The
    /// journal comes last, so that no follower is seen ahead of it; what has left it is read from
    /// the archive, where one is at hand.
    ///
    /// # Errors
    /// Where one of them is absent or cannot be read.
    pub async fn snapshot(backend: &Backend, archive: Option<&Path>) -> anyhow::Result<Self> {
        let options = Options {
            read_only: true,
            archive: archive.map(Archive::new),
            ..Options::new(Arc::new(|| SystemClock.now()))
        };
        Ok(match backend {
            Backend::Sqlite(directory) => {
                let file = |name: &str| directory.join(name);
                anyhow::ensure!(
                    file("journal.db").exists(),
                    "{} holds no engine's data",
                    directory.display()
                );
                let open = async |name: &str| {
                    Database::sqlite_snapshot(&file(name)).await.context(name.to_owned())
                };
                Self {
                    orders: open("orders.db").await?,
                    inventory: open("inventory.db").await?,
                    notifications: open("notifications.db").await?,
                    journal: journal::open_sqlite(&file("journal.db"), options)
                        .await
                        .context("journal.db")?,
                }
            }
            Backend::Postgres(Databases { journal, orders, inventory, notifications }) => {
                let open = async |url: &str, schema: &str, tables: &[&str]| {
                    let opened = Database::postgres_snapshot(url, schema, tables).await;
                    opened.with_context(|| format!("schema {schema}"))
                };
                Self {
                    orders: open(orders, "orders", &order_actor::projections::TABLES).await?,
                    inventory: open(inventory, "inventory", &[]).await?,
                    notifications: open(notifications, "notifications", &[]).await?,
                    journal: journal::open_spread(journal, JOURNAL, options)
                        .await
                        .with_context(|| format!("schema {JOURNAL}"))?,
                }
            }
        })
    }

    /// Closes all of them.
    pub async fn close(&self) {
        self.journal.close().await;
        self.orders.close().await;
        self.inventory.close().await;
        self.notifications.close().await;
    }
}

/// Takes the files of a process, where its stores are files.
pub(super) async fn take_files(settings: &Settings) -> anyhow::Result<Option<Files>> {
    match &settings.backend {
        Backend::Sqlite(directory) => {
            Files::take(directory, settings.role, &settings.make_anew).await.map(Some)
        }
        Backend::Postgres(_) => Ok(None),
    }
}

/// The schema of the journal, in each of its databases.
pub(crate) const JOURNAL: &str = "orders_journal";

/// Opens the journal for writing. On Postgres as a node among others; on SQLite the file is ours.
pub(super) async fn journal(settings: &Settings, node: Node) -> anyhow::Result<Journal> {
    let time = Arc::clone(&settings.clock);
    let options = Options {
        shards: settings.shards,
        lease: settings.lease.length,
        renew: settings.lease.renew,
        self_stop: settings.lease.self_stop,
        node: Some(node),
        archive: settings.archive.as_deref().map(Archive::new),
        connections: settings.database_connections,
        ..Options::new(Arc::new(move || time.now()))
    };
    match &settings.backend {
        Backend::Sqlite(directory) => {
            let opened = journal::open_sqlite(&directory.join("journal.db"), options).await;
            opened.context("journal.db")
        }
        Backend::Postgres(databases) => {
            let opened = journal::open_spread(&databases.journal, JOURNAL, options).await;
            opened.with_context(|| format!("schema {JOURNAL}"))
        }
    }
}

/// Begins to take old events out of each database of the journal.
///
/// # Errors
/// As [`Archiving::begin`].
pub async fn archiving(databases: &Databases) -> Result<Vec<Archiving>, ArchivingError> {
    Archiving::of_all(&databases.journal, JOURNAL).await
}

/// Brings the tables of a role up to date: the stores that were.
///
/// # Errors
/// Where one of them cannot be opened or changed.
pub async fn migrate(backend: &Backend, role: Role) -> anyhow::Result<Vec<&'static str>> {
    let mut done = Vec::new();
    let mut settings = Settings::new(backend.clone());
    settings.role = role;
    let mut files = take_files(&settings).await?;
    if role.orders() {
        match backend {
            // Whoever opens a file for writing brings it up to date; nobody else may have it open.
            Backend::Sqlite(_) => {
                let node = Node { name: String::new(), address: String::new() };
                journal(&settings, node).await?.close().await;
            }
            Backend::Postgres(databases) => journal::migrate_postgres(&databases.journal, JOURNAL)
                .await
                .with_context(|| format!("schema {JOURNAL}"))?,
        }
        done.push("journal");
    }
    for (service, here) in [
        (Service::Orders, role.orders()),
        (Service::Inventory, role.inventory()),
        (Service::Notifications, role.notifications()),
    ] {
        if here {
            database(backend, service, settings.database_connections).await?.close().await;
            done.push(service.name());
        }
    }
    if let Some(files) = &mut files {
        files.mark().await?;
    }
    Ok(done)
}

/// Stock as it is now, for reading only, on a connection of its own.
pub(super) async fn stock_snapshot(backend: &Backend) -> Result<Database, DatabaseError> {
    match backend {
        Backend::Sqlite(directory) => {
            let file = format!("{}.db", Service::Inventory.name());
            Database::sqlite_snapshot(&directory.join(file)).await
        }
        Backend::Postgres(databases) => {
            let schema = Service::Inventory.name();
            Database::postgres_snapshot(&databases.inventory, schema, &[]).await
        }
    }
}

/// A service that has a database.
#[derive(Clone, Copy, Debug)]
pub(super) enum Service {
    Orders,
    Inventory,
    Notifications,
}

impl Service {
    /// What its database is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Inventory => "inventory",
            Self::Notifications => "notifications",
        }
    }
}

/// Opens the database of a service, with so many sessions at most where it is on a server, and brings
/// its tables up to date.
pub(super) async fn database(
    backend: &Backend,
    service: Service,
    connections: u32,
) -> anyhow::Result<Database> {
    let migrator = match service {
        Service::Orders => order_actor::projections::migrator,
        Service::Inventory => inventory_stream::migrator,
        Service::Notifications => notification::migrator,
    };
    match backend {
        Backend::Sqlite(directory) => {
            let file = format!("{}.db", service.name());
            let opened = Database::sqlite(&directory.join(&file), &migrator(Dialect::Sqlite)).await;
            opened.context(file)
        }
        Backend::Postgres(databases) => {
            let schema = service.name();
            let url = match service {
                Service::Orders => &databases.orders,
                Service::Inventory => &databases.inventory,
                Service::Notifications => &databases.notifications,
            };
            let migrations = migrator(Dialect::Postgres);
            let opened = Database::postgres_with(url, schema, &migrations, connections).await;
            opened.with_context(|| format!("schema {schema}"))
        }
    }
}
