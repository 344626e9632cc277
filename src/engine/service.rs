//! A service is one value. Whatever the engine has to know of it stands in its row: flags, databases,
//! forwarding, health, the archive's guard, `verify` and the cluster go through the rows and know no
//! service by name.
//! Never here: which services there are (see `services`).

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use shared_events::contract::{Fact, Origin};
use shared_events::stream::{Dialect, Source};
use sqlx::migrate::Migrator;

use super::building::Building;
use super::stores::Stores;
use crate::edge::calls::Rpc;

/// A service of the engine.
pub struct Service {
    /// What it is called as a role, as a database or schema, and at the beginning of its flags.
    pub name: &'static str,
    /// What people call what it keeps: orders, stock, messages.
    pub keeps: &'static str,
    /// What it runs, for the help of `--role`.
    pub runs: &'static str,
    /// Which processes answer for it, for the help of `--<name>-at`.
    pub answers: &'static str,
    /// Whether it has the journal. Exactly one has; its processes are the order nodes, which know
    /// everybody.
    pub has_journal: bool,
    /// Its own database.
    pub store: Store,
    /// What describes its gRPC services, for reflection.
    pub descriptors: &'static [u8],
    /// The beginning of the paths of its calls, such as `/ordinal.orders.`.
    pub path: &'static str,
    /// Its gRPC services.
    pub rpcs: &'static [Rpc],
    /// The facts that it promises, if it promises any.
    pub promises: Option<Promise>,
    /// Everything in it that follows a log. What stands in the archive's way, and what `verify`
    /// compares, is in this list: a follower that is not in it cannot be started.
    pub followers: &'static [Follower],
    /// Its processes in `ordinal cluster`.
    pub processes: &'static [Process],
    /// Opens it in this process.
    pub open: for<'a> fn(&'a mut Building) -> BoxFuture<'a, anyhow::Result<Follow>>,
}

/// Begins to follow, once every service of the process is open.
pub type Follow = Box<dyn FnOnce(&mut Building) -> anyhow::Result<()> + Send>;

/// The database of a service.
pub struct Store {
    /// Its tables.
    pub migrator: fn(Dialect) -> Migrator,
    /// Tables that are exchanged while they are read: a snapshot takes them first.
    pub exchanged: &'static [&'static str],
    /// Tables that hold something as soon as it is used.
    pub kept_in: &'static [&'static str],
    /// What becomes of its file where it is made anew; none where that cannot be.
    pub anew: Option<&'static str>,
}

/// Facts that a service promises.
#[derive(Clone, Copy)]
pub struct Promise {
    /// Whose.
    pub source: Origin,
    /// The follower that puts them into the Redis streams, where there are any.
    pub relay: &'static str,
    /// All of them, as stores have them.
    pub log: fn(&Stores) -> anyhow::Result<Arc<dyn Source<Fact>>>,
}

/// Something that follows a log. Its name is never changed: under another one it starts from the
/// beginning.
pub struct Follower {
    /// What cursors, dead letters and operators call it.
    pub name: &'static str,
    /// What it follows.
    pub follows: Log,
    /// How long it rests between batches once it has caught up.
    pub pace: Duration,
    /// Where it runs.
    pub scope: Runs,
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
    /// Whether its positions are those of the journal: facts of orders have the places of their
    /// events.
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
    /// In each order node, for the shards that it has.
    ByShard,
}

/// A process of a service in `ordinal cluster`.
pub struct Process {
    /// What people call it.
    pub name: &'static str,
    /// Where it listens, above the port of the cluster.
    pub port: u16,
    /// Flags of its own; `{dir}` is the folder of the cluster.
    pub flags: &'static [&'static str],
}

impl Service {
    /// The file of its database in an SQLite directory.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.db", self.name)
    }
}

/// Which services a process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// All of them.
    #[default]
    All,
    /// The one of this name.
    Only(&'static str),
}

impl Role {
    /// Whether it runs a service.
    #[must_use]
    pub fn runs(self, service: &Service) -> bool {
        match self {
            Self::All => true,
            Self::Only(name) => name == service.name,
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Only(name) => name,
        }
    }
}
