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
use order_actor::projections::SearchBy;
use shared_events::chance::Chance;
use shared_events::stream::POSTGRES_CONNECTIONS;
use tokio_util::sync::CancellationToken;
use web_edge::Hosts;

use super::building::publisher;
use super::peers::Peers;
use super::service::{Log, Role, Service};
use super::services::{self, Services};
use super::streams::Streams;
use crate::edge::access::Access;
use crate::edge::tls::ServerTls;
use crate::edge::tokens::OwnTokens;
use crate::edge::{AccessLog, Bounds, Numbers, Proxies, RateRule};
use crate::logs::Process;

/// Where everything is stored.
#[derive(Clone, Debug)]
pub enum Backend {
    /// A directory of SQLite files, created if absent.
    Sqlite(PathBuf),
    /// Postgres databases, by URL; each service has schemas of its own in its database.
    Postgres(Databases),
    /// Nothing is: of a process of the role edge.
    Nothing,
}

impl Backend {
    /// What it is called in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
            Self::Nothing => "none",
        }
    }
}

/// The database of each service; several may share one.
#[derive(Clone)]
pub struct Databases {
    /// The journal's: the database of orders, or several with some of its shards each.
    pub journal: ShardMap,
    /// The database of all services without their own.
    pub shared: Option<String>,
    /// Services' own databases, by name.
    pub own: BTreeMap<&'static str, String>,
}

impl Databases {
    /// One database for all services.
    #[must_use]
    pub fn one(url: &str) -> Self {
        let journal = ShardMap::one(url);
        Self { journal, shared: Some(url.to_owned()), own: BTreeMap::new() }
    }

    /// The database of the service of this name.
    ///
    /// # Errors
    /// If none was given.
    pub fn url(&self, service: &str) -> anyhow::Result<&str> {
        let url = self.own.get(service).or(self.shared.as_ref());
        url.map(String::as_str).with_context(|| {
            format!(
                "no database is given for {service}: --{service}-database-url or --database-url \
                 is needed"
            )
        })
    }
}

/// URLs hold passwords.
impl std::fmt::Debug for Databases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Databases")
    }
}

/// The role of a process that runs all services.
const ALL: &str = "all";
/// What such a process is called; others have their role behind it.
const NAME: &str = "ordinal";

/// The settings of a process.
pub struct Settings {
    /// All services.
    pub services: Services,
    /// Which of them it runs.
    pub role: Role,
    /// Where everything is stored.
    pub backend: Backend,
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address at which scrapers read metrics, in clear text; none for no metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// The name of this order node for operators; by default the advertised address. Only on
    /// Postgres, where several nodes share the shards.
    pub node_name: Option<String>,
    /// The host:port at which other order nodes reach this one; by default the address it listens
    /// on.
    pub advertise: Option<String>,
    /// The addresses of the other roles.
    pub peers: Peers,
    /// The Redis streams that facts go through; without them facts go over gRPC.
    pub streams: Option<Streams>,
    /// The windows of orders.
    pub policy: Policy,
    /// What lists of orders can be searched by in addition to what clients say of orders.
    pub search_by: Vec<SearchBy>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where ids that callers leave open, ids of issued tokens and random pauses come from; each part
    /// of the process draws from its own ([`Chance::of_part`]). Each process, and each run
    /// on a store that is kept, needs a seed of its own. Names that no two of them may share (sessions,
    /// locks, runs of a rebuild, generations of a cache, traces) are the machine's in any case.
    pub chance: Chance,
    /// Whether timers act on the clock however far it is from the newest event.
    pub trust_clock: bool,
    /// The delivery of messages.
    pub notifications: notification::Config,
    /// Authentication and roles.
    pub access: Access,
    /// Whether reflection is served also where callers need tokens.
    pub reflection: bool,
    /// The names under which it answers by HTTP, besides addresses and `localhost`.
    pub public: Hosts,
    /// TLS for callers; without it they come in clear text.
    pub tls: Option<ServerTls>,
    /// Our own issuer of tokens, if there is one.
    pub own_tokens: Option<Arc<OwnTokens>>,
    /// Payment service providers, by their names.
    pub psps: super::psps::Psps,
    /// The limits of callers.
    pub shares: Numbers,
    /// How often callers may call, besides the default limits.
    pub rate_limits: Vec<RateRule>,
    /// Which calls have a line in the log.
    pub access_log: AccessLog,
    /// The proxies whose `X-Forwarded-For` counts.
    pub proxies: Proxies,
    /// The limits of connections.
    pub connections: Bounds,
    /// The limits of order actors.
    pub limits: Limits,
    /// The number of shards of a new journal without a shard map; an existing one keeps its number.
    pub shards: u16,
    /// The directory of the archive, if available.
    pub archive: Option<PathBuf>,
    /// The times of an order node's lease.
    pub lease: LeaseTimes,
    /// How often stock's sums are checked, in the process that runs stock; zero for never.
    pub reconcile_every: Duration,
    /// Whether stock reacts to orders; off only to demonstrate missing answers.
    pub stock_follower: bool,
    /// Services, or their files, whose database may be a new one although it existed before.
    pub make_anew: Vec<String>,
    /// The most sessions for each kind of work with a Postgres database; see docs/postgres.md.
    pub database_connections: u32,
    /// How long work in flight may take when the process is stopped.
    pub drain: Duration,
}

/// The times of a lease. Any values are safe; they determine how soon others take over.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimes {
    /// How long other nodes respect the lease of a silent node.
    pub length: Duration,
    /// How often it is renewed.
    pub renew: Duration,
    /// How long after its last renewal a node itself stops relying on it; less than its length.
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
            Backend::Postgres(_) | Backend::Nothing => {
                (16, std::env::temp_dir().join("ordinal-mail"))
            }
        };
        Self {
            services: services::ALL,
            role: Role::All,
            backend,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics_listen: None,
            node_name: None,
            advertise: None,
            peers: Peers::default(),
            streams: None,
            policy: Policy::default(),
            search_by: Vec::new(),
            clock: Arc::new(SystemClock),
            chance: Chance::system(),
            trust_clock: false,
            notifications: notification::Config::to_directory(mail),
            access: Access::development(),
            reflection: false,
            public: Hosts::default(),
            tls: None,
            own_tokens: None,
            psps: super::psps::Psps::default(),
            shares: Numbers::default(),
            rate_limits: Vec::new(),
            access_log: AccessLog::default(),
            proxies: Proxies::default(),
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

    /// Whether a database of this service that was lost may be a new one.
    pub(super) fn makes_anew(&self, service: &Service) -> bool {
        self.make_anew.iter().any(|name| *name == service.name || *name == service.file())
    }

    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// What is missing or contradictory.
    pub fn check(&self) -> anyhow::Result<()> {
        self.access.check(self.listen)?;
        if matches!(self.access, Access::Development) {
            self.check_believed()?;
        }
        self.check_certificates()?;
        check_limits(&self.rate_limits, self.services)?;
        if self.role == Role::Edge {
            super::gateway::check(self)?;
        }
        let here = || self.services.iter().filter(|service| self.role.runs(service));
        // A follower of a service in another process needs that service's address.
        for follower in here().flat_map(|service| service.followers) {
            let Log::Facts(source) = follower.follows else { continue };
            let Some(followed) = publisher(self.services, source) else { continue };
            // What came later than others is missing where nobody has set it up.
            let may_be_missing = followed.store.added_later;
            anyhow::ensure!(
                may_be_missing
                    || self.role.runs(followed)
                    || !self.peers.at(followed.name).is_empty(),
                "without {} in this process, --{}-at must say where it is",
                followed.keeps,
                followed.name
            );
        }
        let several = here().any(|service| service.has_journal)
            && matches!(self.backend, Backend::Postgres(_));
        anyhow::ensure!(
            self.advertise.is_some() || !several || !self.listen.ip().is_unspecified(),
            "other order nodes cannot reach {}: --advertise must name this node's address",
            self.listen
        );
        for (name, window) in self.policy.windows() {
            anyhow::ensure!(
                window <= WINDOW_MAX,
                "--{name} must be at most {} days",
                WINDOW_MAX.as_secs() / (24 * 60 * 60)
            );
        }
        let LeaseTimes { length, renew, self_stop } = self.lease;
        anyhow::ensure!(
            renew < self_stop && self_stop < length,
            "--lease-renew ({renew:?}) must be less than --lease-self-stop ({self_stop:?}), and that \
             less than --lease ({length:?})"
        );
        Ok(())
    }

    /// Looks at the files of TLS while the process runs.
    pub(super) fn keep_certificates_fresh(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        if let Some(tls) = &self.tls {
            crate::tasks::spawn(tls.keep_fresh(stop.clone())?);
        }
        if let Some(tls) = &self.peers.tls {
            crate::tasks::spawn(tls.keep_fresh(Arc::clone(&self.clock), stop.clone())?);
        }
        Ok(())
    }

    /// Certificates of clients count where both are: those who know them, and those who ask for them.
    fn check_certificates(&self) -> anyhow::Result<()> {
        let asked = self.tls.as_ref().is_some_and(ServerTls::asks_clients);
        anyhow::ensure!(
            !asked || matches!(self.access, Access::Tokens(_)),
            "--client-ca has no effect without --tokens or an issuer: every caller is believed"
        );
        anyhow::ensure!(
            asked || !self.access.knows_certificates(),
            "[[certificates]] of the tokens file have no effect without --client-ca"
        );
        Ok(())
    }

    /// Without tokens every caller is believed, so only this machine may call.
    fn check_believed(&self) -> anyhow::Result<()> {
        if let Some(name) = self.public.beyond_this_machine() {
            anyhow::bail!(
                "without --tokens or an issuer every caller is believed, and --public-url {name} \
                 says that others reach this process, by a proxy: give it tokens"
            );
        }
        if let Some(origin) = self.public.permitted_beyond_this_machine() {
            anyhow::bail!(
                "without --tokens or an issuer every caller is believed, and --cors-origin \
                 {origin} would make pages of others operators: give it tokens"
            );
        }
        Ok(())
    }

    /// Warns if other order nodes would not accept this one's certificate.
    pub(super) fn check_own_name(&self, listens: SocketAddr) {
        let several = matches!(self.backend, Backend::Postgres(_))
            && services::with_journal(self.services).is_some_and(|one| self.role.runs(one));
        let address = self.node(listens).address;
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        if let Some(tls) = self.tls.as_ref().filter(|_| several)
            && !tls.is_for(host)
        {
            tracing::warn!(
                "--tls-cert is not for {host}, by which other order nodes call this one: they will \
                 not forward calls to it (--advertise)"
            );
        }
    }

    /// This process, as its log and its spans name it.
    #[must_use]
    pub fn process(&self) -> Process {
        let role = self.role.name();
        let service = if role == ALL { NAME.to_owned() } else { format!("{NAME}-{role}") };
        Process { service, node: self.node(self.listen).name, role }
    }

    /// This order node's name and address for the others, given the address it listens on.
    pub(super) fn node(&self, listens: SocketAddr) -> Node {
        let address = self.advertise.clone().unwrap_or_else(|| listens.to_string());
        let name = self.node_name.clone().unwrap_or_else(|| address.clone());
        Node { name, address }
    }
}

/// Checks that no two rules say the same, and that every method of one exists.
fn check_limits(rules: &[RateRule], services: Services) -> anyhow::Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    RateRule::check(rules)?;
    let calls = services::calls(services);
    for rule in rules {
        let Some(method) = rule.method() else { continue };
        anyhow::ensure!(calls.has(method), "--rate-limit {rule}: there is no method {method}");
    }
    Ok(())
}
