//! `ordinal serve`: an engine that runs until it is told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum as _;
use order_actor::actor::Limits;
use order_actor::domain::Policy;
use serde_json::json;
use shared_events::stream::POSTGRES_CONNECTIONS;

use crate::access::Access;
use crate::chaos::SteppedClock;
use crate::edge::{Bounds, Numbers, take_descriptors};
use crate::engine::{Backend, Engine, LeaseTimes, Role, Settings};
use crate::peers::{Identity, Peers};
use crate::secrets;
use crate::tokens;

/// Flags of `ordinal serve`; each may also come from the environment, and flags win.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Take settings from this TOML file: flags by their long names, such as `confirm-within =
    /// "10m"`. Flags and the environment win over it.
    #[arg(long, value_name = "FILE", env = "ORDINAL_CONFIG")]
    config: Option<PathBuf>,
    /// Keep everything in SQLite files in this directory (created if absent).
    #[arg(
        long,
        value_name = "DIR",
        env = "ORDINAL_DATA",
        default_value = "ordinal-data",
        conflicts_with = "databases"
    )]
    data: PathBuf,
    /// Run this service only; the flags below say where the others are.
    #[arg(long, value_enum, value_name = "ROLE", env = "ORDINAL_ROLE", default_value = "all")]
    role: Role,
    #[command(flatten)]
    databases: crate::databases::DatabaseArgs,
    /// Name of this order node, for operators; after a crash a node of the same name takes its
    /// shards back at once [default: the advertised address].
    #[arg(long, value_name = "NAME", env = "ORDINAL_NODE_NAME")]
    node_name: Option<String>,
    /// Where the other order nodes reach this one [default: the address it listens on].
    #[arg(long, value_name = "HOST:PORT", env = "ORDINAL_ADVERTISE")]
    advertise: Option<String>,
    /// Order nodes, for the other roles; several by commas.
    #[arg(long, value_name = "URL", env = "ORDINAL_ORDERS_AT", value_delimiter = ',')]
    orders_at: Vec<String>,
    /// The stock service, for the other roles.
    #[arg(long, value_name = "URL", env = "ORDINAL_INVENTORY_AT", value_delimiter = ',')]
    inventory_at: Vec<String>,
    /// The message service, for the other roles.
    #[arg(long, value_name = "URL", env = "ORDINAL_NOTIFICATIONS_AT", value_delimiter = ',')]
    notifications_at: Vec<String>,
    /// Bearer token by which this process asks the others: one with the role SERVICE.
    #[arg(long, value_name = "TOKEN", env = "ORDINAL_PEER_TOKEN", hide_env_values = true)]
    peer_token: Option<String>,
    /// A file whose first line is that token.
    #[arg(
        long,
        value_name = "FILE",
        env = "ORDINAL_PEER_TOKEN_FILE",
        conflicts_with = "peer_token"
    )]
    peer_token_file: Option<PathBuf>,
    /// Listen on this address; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", env = "ORDINAL_LISTEN", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,
    /// Callers by bearer token (TOML, see the README). Without it, on loopback they are believed;
    /// elsewhere an engine on SQLite draws tokens at its first start, into its directory.
    #[arg(long, value_name = "FILE", env = "ORDINAL_TOKENS")]
    tokens: Option<PathBuf>,
    /// Cancel orders that nobody confirmed for so long.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_CONFIRM_WITHIN", default_value = "15m", value_parser = humantime::parse_duration)]
    confirm_within: Duration,
    /// Accept returns for so long after fulfilment.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_RETURN_WITHIN", default_value = "30days", value_parser = humantime::parse_duration)]
    return_within: Duration,
    /// Remind operators of returns that nobody judged for so long.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_JUDGE_WITHIN", default_value = "3days", value_parser = humantime::parse_duration)]
    judge_within: Duration,
    /// Number of shards of a Postgres journal that is created now, unless --journal-database names
    /// them; fixed for ever.
    #[arg(long, value_name = "N", env = "ORDINAL_SHARDS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    shards: u16,
    /// Show orders that have left the journal, and read its first events, from the files in this
    /// directory; see `ordinal journal archive`.
    #[arg(long, value_name = "DIR", env = "ORDINAL_ARCHIVE")]
    archive: Option<PathBuf>,
    /// For how long the other order nodes believe one that they do not hear of.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_LEASE", default_value = "8s", value_parser = humantime::parse_duration)]
    lease: Duration,
    /// How often an order node renews its lease.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_LEASE_RENEW", default_value = "2s", value_parser = humantime::parse_duration)]
    lease_renew: Duration,
    /// How long after its last renewal an order node stops by itself; less than the lease.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_LEASE_SELF_STOP", default_value = "5s", value_parser = humantime::parse_duration)]
    lease_self_stop: Duration,
    /// Orders awake at once; each takes some 10 KB.
    #[arg(long, value_name = "N", env = "ORDINAL_ORDERS_AWAKE", default_value_t = Limits::default().awake_max)]
    orders_awake: usize,
    /// Let timers act on the clock of this machine however far it is from the newest event.
    #[arg(long, env = "ORDINAL_TRUST_CLOCK")]
    trust_clock: bool,
    /// Start although this file of the SQLite directory (orders.db or notifications.db) is missing, and make it anew; the refusal of a start says what that comes to.
    #[arg(long, value_name = "FILE", env = "ORDINAL_MAKE_ANEW", value_parser = ["orders.db", "notifications.db"])]
    make_anew: Vec<String>,
    /// Sessions at most for each kind of work with a Postgres database; docs/postgres.md says how many a
    /// process takes with it.
    #[arg(long, value_name = "N", env = "ORDINAL_DATABASE_CONNECTIONS", default_value_t = POSTGRES_CONNECTIONS, value_parser = clap::value_parser!(u32).range(2..=100))]
    database_connections: u32,
    #[command(flatten)]
    bounds: BoundArgs,
    /// For `ordinal chaos`: be wrong about the time by the seconds that this file says.
    #[arg(long, value_name = "FILE", hide = true)]
    clock_offset_file: Option<PathBuf>,
    /// Do not let stock react to orders, to see what happens when it does not answer.
    #[arg(long, env = "ORDINAL_WITHOUT_STOCK")]
    without_stock: bool,
    #[command(flatten)]
    streams: crate::streams::StreamArgs,
    #[command(flatten)]
    messages: crate::messages::MessageArgs,
}

/// How much callers may have at once; docs/limits.md says what else is bounded.
#[derive(Debug, clap::Args)]
struct BoundArgs {
    /// Connections at once [default: 8192, or the limit of open files less 256 that stores need].
    #[arg(long, value_name = "N", env = "ORDINAL_CONNECTIONS_MAX", value_parser = at_least_one)]
    connections_max: Option<usize>,
    /// Connections at once from one address [default: half of those].
    #[arg(long, value_name = "N", env = "ORDINAL_CONNECTIONS_PER_ADDRESS", value_parser = at_least_one)]
    connections_per_address: Option<usize>,
    /// Calls under way at once; a quarter is kept for services and operators.
    #[arg(long, value_name = "N", env = "ORDINAL_CALLS_MAX", default_value_t = Numbers::default().whole.calls, value_parser = at_least_one)]
    calls_max: usize,
    /// Calls under way at once of one customer.
    #[arg(long, value_name = "N", env = "ORDINAL_CALLS_PER_CUSTOMER", default_value_t = Numbers::default().customer.calls, value_parser = at_least_one)]
    calls_per_customer: usize,
    /// Watches and other streams at once; half is kept for services and operators.
    #[arg(long, value_name = "N", env = "ORDINAL_STREAMS_MAX", default_value_t = Numbers::default().whole.streams, value_parser = at_least_one)]
    streams_max: usize,
    /// Watches and other streams at once of one customer.
    #[arg(long, value_name = "N", env = "ORDINAL_STREAMS_PER_CUSTOMER", default_value_t = Numbers::default().customer.streams, value_parser = at_least_one)]
    streams_per_customer: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("is a whole number from 1".to_owned()),
    }
}

impl BoundArgs {
    fn numbers(&self) -> Numbers {
        let mut numbers = Numbers::default();
        (numbers.whole.calls, numbers.kept.calls) = (self.calls_max, self.calls_max / 4);
        (numbers.whole.streams, numbers.kept.streams) = (self.streams_max, self.streams_max / 2);
        numbers.customer.calls = self.calls_per_customer;
        numbers.customer.streams = self.streams_per_customer;
        numbers
    }
}

impl ServeArgs {
    /// The file with further settings.
    #[must_use]
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Where everything is kept.
    ///
    /// # Errors
    /// Where the database of a service is not said.
    pub fn backend(&self) -> anyhow::Result<Backend> {
        let databases = self.databases.databases(self.role)?;
        Ok(databases.map_or_else(|| Backend::Sqlite(self.data.clone()), Backend::Postgres))
    }

    fn identity(&self) -> anyhow::Result<Identity> {
        match (&self.peer_token, &self.peer_token_file) {
            (Some(token), _) => Identity::with_token(token),
            (None, Some(path)) => Identity::with_token(&secrets::first_line("peer token", path)?),
            (None, None) => Ok(Identity::default()),
        }
    }

    /// The token file: as said, or the one that is kept beside the data.
    fn tokens(&self, backend: &Backend) -> anyhow::Result<Option<PathBuf>> {
        match (&self.tokens, backend) {
            (Some(path), _) => Ok(Some(path.clone())),
            (None, Backend::Sqlite(data)) if !self.listen.ip().is_loopback() => {
                tokens::kept_in(data).map(Some)
            }
            (None, _) => Ok(None),
        }
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = Settings::new(self.backend()?);
        settings.role = self.role;
        settings.listen = self.listen;
        settings.node_name = self.node_name.clone();
        settings.advertise = self.advertise.clone();
        settings.peers = Peers {
            orders: self.orders_at.clone(),
            inventory: self.inventory_at.clone(),
            notifications: self.notifications_at.clone(),
            identity: self.identity()?,
        };
        settings.streams = self.streams.streams()?;
        settings.archive.clone_from(&self.archive);
        settings.lease = LeaseTimes {
            length: self.lease,
            renew: self.lease_renew,
            self_stop: self.lease_self_stop,
        };
        settings.limits.awake_max = self.orders_awake;
        let BoundArgs { connections_max, connections_per_address, .. } = self.bounds;
        settings.connections = Bounds::within_descriptors(connections_max, connections_per_address);
        settings.shares = self.bounds.numbers();
        settings.policy = Policy {
            confirm_within: self.confirm_within,
            return_within: self.return_within,
            judge_within: self.judge_within,
        };
        if matches!(settings.backend, Backend::Postgres(_)) {
            settings.shards = self.shards;
        }
        if let Some(path) = self.tokens(&settings.backend)? {
            settings.access = Access::from_file(&path)?;
        }
        if let Some(file) = &self.clock_offset_file {
            settings.clock = Arc::new(SteppedClock::by(file.clone()));
        }
        settings.trust_clock = self.trust_clock;
        settings.make_anew.clone_from(&self.make_anew);
        settings.database_connections = self.database_connections;
        settings.stock_follower = !self.without_stock;
        self.messages.apply(&mut settings.notifications)?;
        Ok(settings)
    }
}

/// Serves until SIGTERM, SIGINT, or another engine takes the journal over.
///
/// # Errors
/// Where the engine cannot start.
pub async fn run(args: &ServeArgs, json: bool) -> anyhow::Result<ExitCode> {
    take_descriptors();
    let settings = args.settings()?;
    let role = settings.role.to_possible_value().map(|role| role.get_name().to_owned());
    let role = role.unwrap_or_default();
    let backend = match &settings.backend {
        Backend::Sqlite(directory) => format!("sqlite in {}", directory.display()),
        Backend::Postgres(_) => "postgres".to_owned(),
    };
    let tokens = args.tokens(&settings.backend)?;
    // Heard from before anybody is told that it serves: who stops it at once finds it drained, too.
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    let engine = tokio::select! {
        started = Engine::start(settings) => started?,
        // Nothing was begun for anybody.
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
    };
    let address = engine.address().to_string();
    if json {
        let tokens = tokens.as_ref().map(|path| path.display().to_string());
        let told = json!({
            "listening": address, "backend": backend, "role": role, "tokens": tokens,
        });
        println!("{told}");
    } else {
        println!("listening on http://{address} ({role} on {backend})");
        if let (None, Some(path)) = (&args.tokens, &tokens) {
            println!(
                "callers prove themselves by tokens: {} and the files beside it",
                path.display()
            );
        }
    }
    let superseded = tokio::select! {
        _ = terminate.recv() => false,
        interrupted = tokio::signal::ctrl_c() => { interrupted?; false }
        () = engine.failed() => true,
    };
    if superseded {
        tracing::error!(
            "another engine has taken the journal over, or the lease ran out; stopping"
        );
    }
    engine.stop().await?;
    Ok(if superseded { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
