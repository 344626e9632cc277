use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::actor::Limits;
use order_actor::clock::{Clock, SystemClock};
use order_actor::domain::Policy;
use order_actor::domain::bounds::WINDOW_MAX;
use order_actor::journal::{Node, Options, ShardMap};
use shared_events::stream::POSTGRES_CONNECTIONS;

use super::building::promising;
use super::peers::Peers;
use super::service::{Log, Role};
use super::services::{self, Services};
use super::streams::Streams;
use crate::edge::access::Access;
use crate::edge::{Bounds, Numbers};

/// Where everything is kept.
#[derive(Clone, Debug)]
pub enum Backend {
    /// A directory of SQLite files, created if absent.
    Sqlite(PathBuf),
    /// Postgres databases, by URL; each service has schemas of its own in its database.
    Postgres(Databases),
}

/// The database of each service. They may be one.
#[derive(Clone)]
pub struct Databases {
    /// The journal: the database of orders, or several that hold some of its shards each.
    pub journal: ShardMap,
    /// That of every service that has none of its own.
    pub shared: Option<String>,
    /// Others, by the name of the service.
    pub own: BTreeMap<&'static str, String>,
}

impl Databases {
    /// All services in this one.
    #[must_use]
    pub fn one(url: &str) -> Self {
        let journal = ShardMap::one(url);
        Self { journal, shared: Some(url.to_owned()), own: BTreeMap::new() }
    }

    /// That of the service of this name.
    ///
    /// # Errors
    /// Where none was said.
    pub fn url(&self, service: &str) -> anyhow::Result<&str> {
        let url = self.own.get(service).or(self.shared.as_ref());
        url.map(String::as_str).with_context(|| format!("nobody said where {service} is kept"))
    }
}

/// URLs hold passwords.
impl std::fmt::Debug for Databases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Databases")
    }
}

/// How a process is to run.
pub struct Settings {
    /// The services that there are.
    pub services: Services,
    /// Which of them it runs.
    pub role: Role,
    /// Where everything is kept.
    pub backend: Backend,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What operators call this order node; the advertised address where absent. Only on Postgres,
    /// where several nodes share the shards.
    pub node_name: Option<String>,
    /// Where the other order nodes reach this one, host:port; where it listens where absent.
    pub advertise: Option<String>,
    /// The processes of the other roles.
    pub peers: Peers,
    /// The Redis streams that facts go through; without them they go by gRPC.
    pub streams: Option<Streams>,
    /// The windows.
    pub policy: Policy,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Whether timers act on it however far it is from the newest event.
    pub trust_clock: bool,
    /// How messages leave.
    pub notifications: notification::Config,
    /// Who may call.
    pub access: Access,
    /// How much callers may have at once.
    pub shares: Numbers,
    /// How many connections there may be.
    pub connections: Bounds,
    /// Bounds of the order actors.
    pub limits: Limits,
    /// Shards of a journal that is created now, unless it is spread by a map; an existing one keeps
    /// its number.
    pub shards: u16,
    /// The directory with what has left the journal, where it is at hand.
    pub archive: Option<PathBuf>,
    /// How an order node's lease on its shards runs.
    pub lease: LeaseTimes,
    /// How often it is proved that stock's sums hold, where stock is; nothing for never.
    pub reconcile_every: Duration,
    /// Whether stock reacts to orders; off only to show what happens when it does not answer.
    pub stock_follower: bool,
    /// Files of an SQLite directory that may be missing although they were there.
    pub make_anew: Vec<String>,
    /// Sessions at most for each kind of work with a Postgres database; see docs/postgres.md.
    pub database_connections: u32,
    /// How long work in flight may take when the process is told to stop.
    pub drain: Duration,
}

/// How a lease runs. Safe whatever they are; they decide how soon others take over.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimes {
    /// For how long others believe a node that they do not hear of.
    pub length: Duration,
    /// How often it is renewed.
    pub renew: Duration,
    /// How long after its last good renewal a node stops believing in it; less than its length.
    pub self_stop: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        let Options { lease, renew, self_stop, .. } = Options::new(Arc::new(|| SystemClock.now()));
        Self { length: lease, renew, self_stop }
    }
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
            services: services::ALL,
            role: Role::All,
            backend,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            node_name: None,
            advertise: None,
            peers: Peers::default(),
            streams: None,
            policy: Policy::default(),
            clock: Arc::new(SystemClock),
            trust_clock: false,
            notifications: notification::Config::to_directory(mail),
            access: Access::development(),
            shares: Numbers::default(),
            connections: Bounds::default(),
            limits: Limits::default(),
            shards,
            archive: None,
            lease: LeaseTimes::default(),
            reconcile_every: Duration::from_secs(60 * 60),
            stock_follower: true,
            make_anew: Vec::new(),
            database_connections: POSTGRES_CONNECTIONS,
            drain: Duration::from_secs(10),
        }
    }

    /// Whether they make sense together.
    ///
    /// # Errors
    /// What is missing or contradicts itself.
    pub fn check(&self) -> anyhow::Result<()> {
        self.access.check(self.listen)?;
        let here = || self.services.iter().filter(|service| self.role.runs(service));
        // Who follows a service in another process has to know where it is.
        for follower in here().flat_map(|service| service.followers) {
            let Log::Facts(source) = follower.follows else { continue };
            let Some(followed) = promising(self.services, source) else { continue };
            anyhow::ensure!(
                self.role.runs(followed) || !self.peers.at(followed.name).is_empty(),
                "without {} in this process, --{}-at says where it is",
                followed.keeps,
                followed.name
            );
        }
        let several = here().any(|service| service.has_journal)
            && matches!(self.backend, Backend::Postgres(_));
        anyhow::ensure!(
            self.advertise.is_some() || !several || !self.listen.ip().is_unspecified(),
            "other order nodes do not find {}: --advertise says where this one is",
            self.listen
        );
        for (name, window) in self.policy.windows() {
            anyhow::ensure!(
                window <= WINDOW_MAX,
                "--{name} is at most {} days",
                WINDOW_MAX.as_secs() / (24 * 60 * 60)
            );
        }
        let LeaseTimes { length, renew, self_stop } = self.lease;
        anyhow::ensure!(
            renew < self_stop && self_stop < length,
            "a lease is renewed sooner ({renew:?}) than it stops being believed ({self_stop:?}), \
             which is sooner than it ends ({length:?})"
        );
        Ok(())
    }

    /// Who this order node is to the others, once it listens here.
    pub(super) fn node(&self, listens: SocketAddr) -> Node {
        let address = self.advertise.clone().unwrap_or_else(|| listens.to_string());
        let name = self.node_name.clone().unwrap_or_else(|| address.clone());
        Node { name, address }
    }
}
