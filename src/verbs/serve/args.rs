use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use order_actor::actor::Limits;
use order_actor::clock::Clock;
use order_actor::domain::Policy;
use order_actor::projections::SearchBy;
use shared_events::stream::POSTGRES_CONNECTIONS;

use crate::client::Failure;
use crate::engine::spans::Sending;
use crate::engine::{Backend, LeaseTimes, PeerArgs, Peers, Role, Settings, SteppedClock, services};
use crate::flags::window;
use crate::logs::Process;

/// Where an engine stores everything, unless it is told otherwise.
const DATA: &str = "ordinal-data";

/// Flags of `ordinal serve`; each may also be set in the environment; flags win.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Read settings from this TOML file: flags by their long names, such as `confirm-within =
    /// "10m"`. Flags and the environment win over it.
    #[arg(long, value_name = "FILE", env = "ORDINAL_CONFIG")]
    config: Option<PathBuf>,
    /// Check the settings and print the effective ones as such a file, with their origins and
    /// without secrets; start nothing.
    #[arg(long)]
    print_config: bool,
    /// Store everything in SQLite files in this directory (created if absent).
    #[arg(
        help_heading = "Storage",
        long,
        value_name = "DIR",
        env = "ORDINAL_DATA",
        default_value = DATA,
        conflicts_with = "databases"
    )]
    data: PathBuf,
    /// Run this service only, or none but the gateway; the flags below name the addresses of the
    /// others.
    #[arg(
        help_heading = "Several processes",
        long,
        value_parser = services::roles_and_edge(services::ALL),
        value_name = "ROLE",
        env = "ORDINAL_ROLE",
        default_value = "all"
    )]
    role: Role,
    #[command(flatten, next_help_heading = "Storage")]
    databases: crate::engine::databases::DatabaseArgs,
    /// Name of this order node, for operators; after a crash a node of the same name takes back its
    /// shards immediately [default: the advertised address].
    #[arg(
        help_heading = "Several processes",
        long,
        value_name = "NAME",
        env = "ORDINAL_NODE_NAME",
        value_parser = node_name
    )]
    node_name: Option<String>,
    /// Address at which other order nodes reach this one [default: the address it listens on].
    #[arg(
        help_heading = "Several processes",
        long,
        value_name = "HOST:PORT",
        env = "ORDINAL_ADVERTISE"
    )]
    advertise: Option<String>,
    #[command(flatten, next_help_heading = "Several processes")]
    peers: PeerArgs,
    /// Bearer token with which this process calls the others; its role must be SERVICE.
    #[arg(
        help_heading = "Several processes",
        long,
        value_name = "TOKEN",
        env = "ORDINAL_PEER_TOKEN",
        hide_env_values = true
    )]
    pub(super) peer_token: Option<String>,
    /// Listen on this address or name, such as localhost; port 0 takes a free one.
    #[arg(help_heading = "Access", long, value_name = "HOST:PORT", env = "ORDINAL_LISTEN", default_value = "127.0.0.1:7400", value_parser = crate::flags::listen)]
    pub(super) listen: SocketAddr,
    /// Authenticate callers by the bearer tokens in this file (TOML, see docs/security.md). Without
    /// it, callers on loopback are not authenticated; on other addresses an engine on SQLite
    /// generates tokens at its first start, in its directory.
    #[arg(help_heading = "Access", long, value_name = "FILE", env = "ORDINAL_TOKENS")]
    pub(super) tokens: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Access")]
    pub(super) issuers: crate::engine::issuers::IssuerArgs,
    /// Serve gRPC reflection, to everybody, also where callers need tokens. Without tokens it is
    /// served anyway.
    #[arg(help_heading = "Access", long, env = "ORDINAL_REFLECTION")]
    pub(super) reflection: bool,
    /// Answer by HTTP also under this address, such as https://orders.example/, and to its pages;
    /// may be repeated. Addresses of machines and localhost need no mention.
    #[arg(
        help_heading = "Access",
        long,
        value_name = "URL",
        env = "ORDINAL_PUBLIC_URL",
        value_delimiter = ','
    )]
    pub(super) public_url: Vec<String>,
    #[command(flatten, next_help_heading = "Access")]
    pub(super) tls: super::tls::TlsArgs,
    /// Let web pages of this origin call by HTTP (CORS), such as https://shop.example; may be
    /// repeated. They send a token as anybody does; cookies are not taken.
    #[arg(
        help_heading = "Access",
        long,
        value_name = "ORIGIN",
        env = "ORDINAL_CORS_ORIGIN",
        value_delimiter = ','
    )]
    pub(super) cors_origin: Vec<String>,
    /// Cancel orders that are not confirmed within this time; at least 1s.
    #[arg(help_heading = "Orders", long, value_name = "DURATION", env = "ORDINAL_CONFIRM_WITHIN", default_value = "15m", value_parser = confirm_window)]
    confirm_within: Duration,
    /// Accept returns for this long after fulfilment.
    #[arg(help_heading = "Orders", long, value_name = "DURATION", env = "ORDINAL_RETURN_WITHIN", default_value = "30days", value_parser = window)]
    return_within: Duration,
    /// Remind operators of returns that are not judged within this time.
    #[arg(help_heading = "Orders", long, value_name = "DURATION", env = "ORDINAL_JUDGE_WITHIN", default_value = "3days", value_parser = window)]
    judge_within: Duration,
    /// Cancel orders with a payment plan whose money is not secured within this time after stock was
    /// held; at least 1s.
    #[arg(help_heading = "Orders", long, value_name = "DURATION", env = "ORDINAL_PAY_WITHIN", default_value = "15m", value_parser = confirm_window)]
    pay_within: Duration,
    /// Receive goods of returns after their approval, where the approval says nothing of the goods.
    #[arg(help_heading = "Orders", long, env = "ORDINAL_RECEIVE_RETURNS_LATER")]
    receive_returns_later: bool,
    /// Refuse new addresses whose region or postal code is not one of their country.
    #[arg(help_heading = "Orders", long, env = "ORDINAL_CHECK_ADDRESSES")]
    check_addresses: bool,
    /// Let lists of orders be searched by the products of their lines (sku) or by the e-mail address
    /// of their customer (email), and orders be looked up by the request ids of their commands
    /// (request); may be repeated. Orders from before are found once the list, or for request ids
    /// order-identifiers, was rebuilt.
    #[arg(help_heading = "Orders", long, value_name = "WHAT", env = "ORDINAL_SEARCH_BY", value_delimiter = ',', value_parser = search_by)]
    search_by: Vec<SearchBy>,
    /// Number of shards of a new Postgres journal, unless --journal-database names them; it can
    /// never be changed.
    #[arg(help_heading = "Storage", long, value_name = "N", env = "ORDINAL_SHARDS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    shards: u16,
    /// Read archived orders and events from this directory; see `ordinal journal archive`.
    #[arg(help_heading = "Storage", long, value_name = "DIR", env = "ORDINAL_ARCHIVE")]
    archive: Option<PathBuf>,
    /// How long other order nodes respect the lease of a silent node; at most a day.
    #[arg(help_heading = "Several processes", long, value_name = "DURATION", env = "ORDINAL_LEASE", default_value = "8s", value_parser = crate::flags::within_a_day)]
    lease: Duration,
    /// How often an order node renews its lease.
    #[arg(help_heading = "Several processes", long, value_name = "DURATION", env = "ORDINAL_LEASE_RENEW", default_value = "2s", value_parser = crate::flags::within_a_day)]
    lease_renew: Duration,
    /// How long after its last renewal an order node stops writing; less than the lease.
    #[arg(help_heading = "Several processes", long, value_name = "DURATION", env = "ORDINAL_LEASE_SELF_STOP", default_value = "5s", value_parser = crate::flags::within_a_day)]
    lease_self_stop: Duration,
    /// Orders awake at the same time; each takes some 10 KB.
    #[arg(help_heading = "Limits", long, value_name = "N", env = "ORDINAL_ORDERS_AWAKE", default_value_t = Limits::default().awake_max)]
    orders_awake: usize,
    /// Let timers of orders, payments and the ledger trust the clock of this machine however far it
    /// is from the newest of what they have stored.
    #[arg(help_heading = "Orders", long, env = "ORDINAL_TRUST_CLOCK")]
    trust_clock: bool,
    /// Go on although the database of this service was lost and is a new one: on SQLite its file,
    /// on Postgres its schema; messages are sent again, lists are rebuilt.
    #[arg(help_heading = "Storage", long, value_name = "SERVICE", env = "ORDINAL_MAKE_ANEW", value_parser = services::made_anew(services::ALL))]
    make_anew: Vec<String>,
    /// The most sessions for each kind of work with a Postgres database; docs/postgres.md says how
    /// many a process takes in total.
    #[arg(help_heading = "Storage", long, value_name = "N", env = "ORDINAL_DATABASE_CONNECTIONS", default_value_t = POSTGRES_CONNECTIONS, value_parser = clap::value_parser!(u32).range(2..=100))]
    database_connections: u32,
    #[command(flatten, next_help_heading = "Limits")]
    bounds: super::bounds::BoundArgs,
    /// For `ordinal chaos`: shift the clock by the seconds in this file.
    #[arg(long, value_name = "FILE", hide = true)]
    clock_offset_file: Option<PathBuf>,
    /// Check stock's sums this often, from a snapshot, and report differences; 0s is never.
    #[arg(help_heading = "Orders", long, value_name = "DURATION", env = "ORDINAL_RECONCILE_EVERY", default_value = "1h", value_parser = reconcile_every)]
    reconcile_every: Duration,
    /// Do not let stock react to orders, to demonstrate missing answers.
    #[arg(help_heading = "Orders", long, env = "ORDINAL_WITHOUT_STOCK")]
    without_stock: bool,
    #[command(flatten, next_help_heading = "Telemetry")]
    metrics: super::metrics::MetricsArgs,
    #[command(flatten, next_help_heading = "Facts through Redis")]
    streams: crate::engine::streams::StreamArgs,
    #[command(flatten, next_help_heading = "Payments")]
    psps: crate::engine::psps::PspArgs,
    #[command(flatten, next_help_heading = "Messages")]
    messages: crate::engine::messages::MessageArgs,
    #[command(flatten, next_help_heading = "Logs and traces")]
    observe: super::observe::ObserveArgs,
}

/// Shown to operators, in logs and as a part of spans.
fn node_name(text: &str) -> Result<String, String> {
    crate::flags::name(text, 100)
}

fn search_by(text: &str) -> Result<SearchBy, String> {
    text.parse().map_err(|why: &str| why.to_owned())
}

/// A window long enough to confirm an order.
fn confirm_window(text: &str) -> Result<Duration, String> {
    let window = window(text)?;
    if window < Duration::from_secs(1) {
        return Err(
            "must be at least 1s: otherwise every order is cancelled immediately".to_owned()
        );
    }
    Ok(window)
}

/// Off, or at least a second.
fn reconcile_every(text: &str) -> Result<Duration, String> {
    match window(text)? {
        Duration::ZERO => Ok(Duration::ZERO),
        short if short < Duration::from_secs(1) => {
            Err("must be at least 1s, or 0s for never".to_owned())
        }
        every => Ok(every),
    }
}

impl ServeArgs {
    /// Whether to print the settings only.
    #[must_use]
    pub const fn print_config(&self) -> bool {
        self.print_config
    }

    /// Checks that the settings fit together; nothing is written.
    ///
    /// # Errors
    /// Usage if they do not.
    pub fn check(&self) -> Result<(), Failure> {
        let checked = || {
            let settings = self.settings(self.tokens.clone())?;
            // Tokens that the first start would generate do not exist yet.
            let generates = self.tokens.is_none() && matches!(settings.backend, Backend::Sqlite(_));
            if generates { Ok(()) } else { settings.check() }
        };
        checked().map_err(|error| Failure::usage(&error))
    }

    /// Where everything is stored.
    ///
    /// # Errors
    /// If no database is given for a service.
    pub fn backend(&self) -> anyhow::Result<Backend> {
        let databases = self.databases.databases(self.role)?;
        if self.role == Role::Edge {
            let is_set = databases.is_some() || self.data != Path::new(DATA);
            anyhow::ensure!(
                !is_set,
                "--role edge stores nothing: it takes no database, nor --data"
            );
            return Ok(Backend::Nothing);
        }
        Ok(databases.map_or_else(|| Backend::Sqlite(self.data.clone()), Backend::Postgres))
    }

    /// Begins to log and to send spans as asked for.
    ///
    /// # Errors
    /// Usage if the collector's URL is none.
    pub(super) fn observed(
        &self,
        process: &Process,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Sending>, Failure> {
        self.observe.begin_logs(process);
        let otlp = self.observe.otlp().map_err(|error| Failure::usage(&error))?;
        Ok(otlp.map(|otlp| otlp.begin(process, Arc::clone(clock))).transpose()?)
    }

    pub(super) fn settings(&self, tokens: Option<PathBuf>) -> anyhow::Result<Settings> {
        let mut settings = Settings::new(self.backend()?);
        settings.role = self.role;
        settings.listen = self.listen;
        settings.metrics_listen = self.metrics.metrics_listen;
        self.believe(&mut settings, tokens)?;
        settings.node_name = self.node_name.clone();
        settings.advertise = self.advertise.clone();
        settings.peers =
            Peers { at: self.peers.addresses(), identity: self.identity()?, tls: None };
        settings.streams = self.streams.streams()?;
        settings.lease = LeaseTimes {
            length: self.lease,
            renew: self.lease_renew,
            self_stop: self.lease_self_stop,
        };
        settings.limits.awake_max = self.orders_awake;
        self.bounds.put(&mut settings);
        settings.policy = Policy {
            confirm_within: self.confirm_within,
            return_within: self.return_within,
            judge_within: self.judge_within,
            pay_within: self.pay_within,
            receive_later: self.receive_returns_later,
            check_addresses: self.check_addresses,
        };
        settings.search_by.clone_from(&self.search_by);
        if matches!(settings.backend, Backend::Postgres(_)) {
            settings.shards = self.shards;
        }
        if let Some(file) = &self.clock_offset_file {
            settings.clock = Arc::new(SteppedClock::by(file.clone()));
        }
        settings.tls = self.tls.server(&settings.clock)?;
        settings.peers.tls = self.tls.client(&self.peers, &settings.clock)?;
        settings.trust_clock = self.trust_clock;
        settings.make_anew.clone_from(&self.make_anew);
        settings.database_connections = self.database_connections;
        settings.reconcile_every = self.reconcile_every;
        settings.stock_follower = !self.without_stock;
        self.of_services(&mut settings)?;
        // A URL that is none is found before anything starts.
        self.observe.otlp()?;
        Ok(settings)
    }

    /// Takes what only single services read where they run: elsewhere it is of other processes, and
    /// so are the files that it names.
    fn of_services(&self, settings: &mut Settings) -> anyhow::Result<()> {
        let runs_orders = self.role.runs(&services::orders::SERVICE);
        if let Some(archive) = self.archive.as_ref().filter(|_| runs_orders) {
            let name = archive.display();
            anyhow::ensure!(archive.is_dir(), "--archive: there is no directory {name}");
            settings.archive = Some(archive.clone());
        }
        if self.role.runs(&services::payments::SERVICE) {
            settings.psps = self.psps.psps(&settings.clock)?;
        }
        if self.role.runs(&services::notifications::SERVICE) {
            self.messages.apply(&mut settings.notifications)?;
        }
        Ok(())
    }
}
