//! A service is one value. Everything the engine needs to know about it is in its row: flags,
//! databases, forwarding, health, the archive's guard, `verify` and the cluster go through the rows
//! and know no service by name.
//! Never here: the list of services (see `services`).

use std::sync::Arc;

use futures::future::BoxFuture;
use shared_events::contract::{Fact, Origin};
use shared_events::stream::{Dialect, Pace, Source};
use sqlx::migrate::Migrator;

use super::building::Building;
use super::stores::Stores;
use crate::edge::calls::Rpc;

/// A service of the engine.
pub struct Service {
    /// Its name as a role, as a database or schema, and as the prefix of its flags.
    pub name: &'static str,
    /// What it stores, for people: orders, stock, messages.
    pub keeps: &'static str,
    /// The help of its value of `--role`.
    pub runs: &'static str,
    /// The help of its flag `--<name>-at`.
    pub answers: &'static str,
    /// Whether it has the journal. Exactly one has; its processes are the order nodes, which know
    /// all other processes.
    pub has_journal: bool,
    /// Its own database.
    pub store: Store,
    /// The descriptors of its gRPC services, for reflection.
    pub descriptors: &'static [u8],
    /// The prefix of its calls' paths, such as `/ordinal.orders.`.
    pub path: &'static str,
    /// Its gRPC services.
    pub rpcs: &'static [Rpc],
    /// The facts that it publishes, if any.
    pub published: Option<Published>,
    /// Whether payment providers tell it of payments by webhooks. A process without it sends them on.
    pub told: bool,
    /// All its followers. The archive waits for those in this list and `verify` compares them; a
    /// follower that is not in it cannot be started.
    pub followers: &'static [Follower],
    /// Its processes in `ordinal cluster`.
    pub processes: &'static [Process],
    /// Opens it in this process.
    pub open: for<'a> fn(&'a mut Building) -> BoxFuture<'a, anyhow::Result<Follow>>,
}

/// Starts a service's followers, once every service of the process is open.
pub type Follow = Box<dyn FnOnce(&mut Building) -> anyhow::Result<()> + Send>;

/// The database of a service.
pub struct Store {
    /// Its tables.
    pub migrator: fn(Dialect) -> Migrator,
    /// Tables that a rebuild exchanges: a snapshot locks them first.
    pub exchanged: &'static [&'static str],
    /// Tables that have rows as soon as the database is used.
    pub kept_in: &'static [&'static str],
    /// The consequence of replacing a lost file by a new one; none if that is not allowed.
    pub anew: Option<&'static str>,
    /// Whether installations exist that never had it. Tools that read all stores leave it out where
    /// it was never created, or no database is named for it.
    pub added_later: bool,
}

/// The facts that a service publishes.
#[derive(Clone, Copy)]
pub struct Published {
    /// Their origin.
    pub source: Origin,
    /// The name of the follower that relays them to Redis streams, if Redis is used.
    pub relay: &'static str,
    /// Reads them from stores.
    pub log: fn(&Stores) -> anyhow::Result<Arc<dyn Source<Fact>>>,
}

/// A follower of a log. Its name must never change: under a new name it starts from the beginning.
pub struct Follower {
    /// Its name in cursors, in dead letters and for operators.
    pub name: &'static str,
    /// The log that it follows.
    pub follows: Log,
    /// The pause between batches once it has caught up.
    pub pace: Pace,
    /// Where it runs.
    pub scope: Runs,
    /// Whether it needs to know how customers are reached; to others facts of orders do not say it.
    /// Events of the journal do, whatever it is here.
    pub contacts: bool,
}

/// A log that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// The events of the journal.
    Journal,
    /// The facts of a service.
    Facts(Origin),
}

impl Log {
    /// Whether its positions are the journal's: facts of orders have the positions of their events.
    #[must_use]
    pub const fn is_of_journal(self) -> bool {
        matches!(self, Self::Journal | Self::Facts(Origin::Orders))
    }
}

/// Where a follower runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// In one process of the service at a time.
    Once,
    /// In each order node, for the shards that it owns.
    ByShard,
}

/// A process of a service in `ordinal cluster`.
pub struct Process {
    /// Its name.
    pub name: &'static str,
    /// Its port, relative to the cluster's.
    pub port: u16,
    /// Its own flags; `{dir}` is the cluster's directory.
    pub flags: &'static [&'static str],
}

impl Service {
    /// The file of its database in an SQLite directory.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.db", self.name)
    }
}

/// The services that a process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// All of them.
    #[default]
    All,
    /// The one of this name.
    Only(&'static str),
    /// None: it is the gateway in front of those of other processes, and stores nothing.
    Edge,
}

impl Role {
    /// Whether it runs a service.
    #[must_use]
    pub fn runs(self, service: &Service) -> bool {
        match self {
            Self::All => true,
            Self::Only(name) => name == service.name,
            Self::Edge => false,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Only(name) => name,
            Self::Edge => "edge",
        }
    }
}
