use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::journal::{self, Archive, Archiving, ArchivingError, Journal, Node, Options};
use shared_events::stream::{Database, Dialect, has_tables, was_beside};

use super::files::{Files, JOURNAL_FILE};
use super::service::{Follower, Role, Service};
use super::services::{self, Services};
use super::settings::{Backend, Databases, Settings};

/// A process of the role edge opens no store.
const NOTHING: &str = "the role edge stores nothing";

/// The stores of all services.
pub struct Stores {
    /// The journal of orders.
    pub journal: Journal,
    /// Each service's own database.
    pub databases: Vec<(&'static Service, Database)>,
    /// Services that were added later and of which no database is named: whether they have one is
    /// not known.
    pub not_named: Vec<&'static Service>,
}

impl Stores {
    /// Opens read-only snapshots, with or without running processes. The journal comes last, so
    /// that no follower is ahead of it; archived events are read from the archive, if given.
    ///
    /// # Errors
    /// If one is missing or cannot be read.
    pub async fn snapshot(backend: &Backend, archive: Option<&Path>) -> anyhow::Result<Self> {
        Self::snapshot_of(services::ALL, backend, archive).await
    }

    /// The same, of these services.
    ///
    /// # Errors
    /// As [`Self::snapshot`].
    pub async fn snapshot_of(
        services: Services,
        backend: &Backend,
        archive: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let options = Options {
            read_only: true,
            archive: archive.map(Archive::new),
            ..Options::new(Arc::new(|| SystemClock.now()))
        };
        if let Backend::Sqlite(directory) = backend {
            let found = directory.join(JOURNAL_FILE).exists();
            anyhow::ensure!(found, "{} holds no engine's data", directory.display());
        }
        let (mut databases, mut not_named) = (Vec::new(), Vec::new());
        // No follower may be ahead of what it follows.
        for service in services::followers_first(services) {
            if service.store.added_later {
                match is_there(backend, service).await? {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        not_named.push(service);
                        continue;
                    }
                }
            }
            let named = || match backend {
                Backend::Sqlite(_) | Backend::Nothing => service.file(),
                Backend::Postgres(_) => format!("schema {}", service.name),
            };
            databases.push((service, snapshot(backend, service).await.with_context(named)?));
        }
        let journal = match backend {
            Backend::Sqlite(directory) => {
                let opened = journal::open_sqlite(&directory.join(JOURNAL_FILE), options).await;
                opened.context(JOURNAL_FILE)?
            }
            Backend::Postgres(databases) => {
                let opened = journal::open_spread(&databases.journal, JOURNAL, options).await;
                opened.with_context(|| format!("schema {JOURNAL}"))?
            }
            Backend::Nothing => anyhow::bail!(NOTHING),
        };
        Ok(Self { journal, databases, not_named })
    }

    /// The database of a service.
    ///
    /// # Errors
    /// If it was not opened.
    pub fn of(&self, service: &Service) -> anyhow::Result<&Database> {
        let mut databases = self.databases.iter();
        let found = databases.find(|(known, _)| known.name == service.name);
        found.map(|(_, database)| database).with_context(|| format!("{} is not open", service.name))
    }

    /// Every follower of these services, with the database where its cursor is.
    pub fn followers(&self) -> impl Iterator<Item = (&'static Follower, &Database)> {
        self.databases.iter().flat_map(|(service, database)| {
            service.followers.iter().map(move |follower| (follower, database))
        })
    }

    /// Closes all of them.
    pub async fn close(&self) {
        self.journal.close().await;
        for (_, database) in &self.databases {
            database.close().await;
        }
    }
}

/// Whether a store that was added later was ever created; none where no database is named for it. A
/// file that the journal's knows beside it was, even where it is missing now.
async fn is_there(backend: &Backend, service: &Service) -> anyhow::Result<Option<bool>> {
    match backend {
        Backend::Postgres(databases) => {
            let Ok(url) = databases.url(service.name) else { return Ok(None) };
            let found = has_tables(url, service.name).await;
            found.map(Some).with_context(|| format!("schema {}", service.name))
        }
        Backend::Sqlite(directory) => {
            let file = service.file();
            if directory.join(&file).exists() {
                return Ok(Some(true));
            }
            let beside = was_beside(&directory.join(JOURNAL_FILE), &file).await;
            beside.map(Some).context(JOURNAL_FILE)
        }
        Backend::Nothing => anyhow::bail!(NOTHING),
    }
}

/// Locks and checks the files of a process that stores in files.
pub(super) async fn take_files(settings: &Settings) -> anyhow::Result<Option<Files>> {
    match &settings.backend {
        Backend::Sqlite(directory) => {
            let Settings { services, role, make_anew, .. } = settings;
            Files::take(directory, services, *role, make_anew).await.map(Some)
        }
        Backend::Postgres(_) | Backend::Nothing => Ok(None),
    }
}

/// The journal's schema in each of its databases.
pub(crate) const JOURNAL: &str = "orders_journal";

/// Opens the journal for writing: on Postgres as one node of several, on SQLite exclusively.
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
            let opened = journal::open_sqlite(&directory.join(JOURNAL_FILE), options).await;
            opened.context(JOURNAL_FILE)
        }
        Backend::Postgres(databases) => {
            let opened = journal::open_spread(&databases.journal, JOURNAL, options).await;
            opened.with_context(|| format!("schema {JOURNAL}"))
        }
        Backend::Nothing => anyhow::bail!(NOTHING),
    }
}

/// Begins archiving in each database of the journal.
///
/// # Errors
/// As [`Archiving::begin`].
pub async fn archiving(databases: &Databases) -> Result<Vec<Archiving>, ArchivingError> {
    Archiving::of_all(&databases.journal, JOURNAL).await
}

/// Migrates the tables of a role; returns the names of the stores.
///
/// # Errors
/// If one cannot be opened or changed.
pub async fn migrate(backend: &Backend, role: Role) -> anyhow::Result<Vec<&'static str>> {
    let mut done = Vec::new();
    let mut settings = Settings::new(backend.clone());
    settings.role = role;
    let mut files = take_files(&settings).await?;
    let here = || settings.services.iter().copied().filter(|service| role.runs(service));
    if here().any(|service| service.has_journal) {
        match backend {
            // Opening a file for writing migrates it; no other process may have it open.
            Backend::Sqlite(_) => {
                let node = Node { name: String::new(), address: String::new() };
                journal(&settings, node).await?.close().await;
            }
            Backend::Postgres(databases) => journal::migrate_postgres(&databases.journal, JOURNAL)
                .await
                .with_context(|| format!("schema {JOURNAL}"))?,
            Backend::Nothing => anyhow::bail!(NOTHING),
        }
        done.push("journal");
    }
    for service in here() {
        database(backend, service, settings.database_connections).await?.close().await;
        done.push(service.name);
    }
    if let Some(files) = &mut files {
        files.mark().await?;
    }
    Ok(done)
}

/// A read-only snapshot of a service's database, on a connection of its own. Its tables are those
/// of this program: nothing else could read them.
pub(super) async fn snapshot(backend: &Backend, service: &Service) -> anyhow::Result<Database> {
    let database = match backend {
        Backend::Sqlite(directory) => {
            Database::sqlite_snapshot(&directory.join(service.file())).await?
        }
        Backend::Postgres(databases) => {
            let (url, tables) = (databases.url(service.name)?, service.store.exchanged);
            Database::postgres_snapshot(url, service.name, tables).await?
        }
        Backend::Nothing => anyhow::bail!(NOTHING),
    };
    database.expect_migrated(&(service.store.migrator)(database.dialect())).await?;
    Ok(database)
}

/// Opens the database of a service, on a server with at most this many sessions, and migrates its
/// tables.
pub(super) async fn database(
    backend: &Backend,
    service: &Service,
    connections: u32,
) -> anyhow::Result<Database> {
    let migrator = service.store.migrator;
    match backend {
        Backend::Sqlite(directory) => {
            let file = service.file();
            let opened = Database::sqlite(&directory.join(&file), &migrator(Dialect::Sqlite)).await;
            opened.context(file)
        }
        Backend::Postgres(databases) => {
            let (url, schema) = (databases.url(service.name)?, service.name);
            let migrations = migrator(Dialect::Postgres);
            let opened = Database::postgres_with(url, schema, &migrations, connections).await;
            opened.with_context(|| format!("schema {schema}"))
        }
        Backend::Nothing => anyhow::bail!(NOTHING),
    }
}
