//! How a journal is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shared_events::chance::Chance;
use shared_events::contract::Timestamp;
use shared_events::stream::POSTGRES_CONNECTIONS;

use crate::files::Archive;

/// A process among several that write to one journal, each to its own shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name for operators; unique among live nodes.
    pub name: String,
    /// Where the others reach it: host and port.
    pub address: String,
}

/// How a journal is opened.
#[derive(Clone)]
pub struct Options {
    /// Number of shards of a new journal; an existing one keeps its number for ever.
    pub shards: u16,
    /// How long others treat a silent writer as alive.
    pub lease: Duration,
    /// How often the writer renews it.
    pub renew: Duration,
    /// How long after its last good renewal the writer stops by itself; less than the lease.
    pub self_stop: Duration,
    /// How long opening waits for another writer to end before it gives up.
    pub standby: Duration,
    /// Take over although another writer is alive. For tests; the other one appends nothing more.
    pub force_takeover: bool,
    /// Open beside a running writer, to read only.
    pub read_only: bool,
    /// Share the shards with other nodes, where the store can; without it all shards are taken.
    pub node: Option<Node>,
    /// The directory of archived events; without it they are not read.
    pub archive: Option<Archive>,
    /// Sessions for reading per Postgres database, including those that listen; the writer has one
    /// of its own, and reads of single streams two.
    pub connections: u32,
    /// The source of ids. Stores of one journal that draw from equal seeds are taken for one
    /// another: with a seed, all take clones of one `Chance`.
    pub chance: Chance,
    /// The wall clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Options {
    /// Sixteen shards; a lease of 8 s, renewed every 2 s, given up after 5 s; waits for 10 s, which
    /// is a lease and a renewal.
    #[must_use]
    pub fn new(now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self {
            shards: 16,
            lease: Duration::from_secs(8),
            renew: Duration::from_secs(2),
            self_stop: Duration::from_secs(5),
            standby: Duration::from_secs(10),
            force_takeover: false,
            read_only: false,
            node: None,
            archive: None,
            connections: POSTGRES_CONNECTIONS,
            chance: Chance::system(),
            now,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("shards", &self.shards)
            .field("lease", &self.lease)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}
