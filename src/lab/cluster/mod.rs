//! All processes of a cluster on this machine: three roles, two order nodes, with their own
//! Postgres and Redis. For trying and testing; production starts processes in its own way.
//!
//! Never here: what the processes do.

mod certificates; // an authority of the cluster, and a certificate for its processes
mod child; // a process that is started, watched and ended here
mod servers; // private Postgres and Redis

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use certificates::Files;
pub use child::Process;
pub use servers::{database_url, postgres, postgres_programs, redis};
pub(crate) use servers::{execute, postgres_answers, postgres_servers, shard_map};

use crate::client::{self, Output};
use crate::edge::tls::ClientTls;
use crate::engine::{self, Role, Service, services};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longer than a process drains.
const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// Where the metrics of a process are, above its port.
const METRICS_ABOVE: u16 = 100;
/// Where the gateway is, above the port.
const EDGE_ABOVE: u16 = 50;
/// How often processes are checked; one that died is started again then.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// `ordinal cluster …`
#[derive(Debug, clap::Subcommand)]
pub enum ClusterVerb {
    /// Run it until Ctrl-C; a process that dies is started again. Its data is kept for the next
    /// run.
    Up {
        /// Keep databases and logs in this directory.
        #[arg(long, value_name = "DIR", default_value = "ordinal-cluster")]
        dir: PathBuf,
        /// Listen on this port and some above: +0 and +1 order nodes, +10 stock, +20 messages, +32
        /// and on Postgres, +79 Redis.
        #[arg(long, value_name = "PORT", default_value_t = 7400, value_parser = clap::value_parser!(u16).range(1..=65_000))]
        port: u16,
        /// Spread the journal over this many Postgres servers.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8))]
        journal_databases: u16,
        /// Call the processes, and let them call each other, in clear text instead of by TLS.
        #[arg(long)]
        without_tls: bool,
        /// Put a gateway without a database (role edge) in front of them, at +50.
        #[arg(long)]
        edge: bool,
        /// Show the metrics of each process at its port + 100 (docs/metrics.md).
        #[arg(long)]
        metrics: bool,
    },
}

/// Default number of shards of a journal that `serve` creates.
pub(crate) const SHARDS: u16 = 16;

/// The processes of all services, in the order of their rows.
pub(crate) fn processes() -> impl Iterator<Item = (&'static Service, &'static engine::Process)> {
    let of = |service: &'static Service| service.processes.iter().map(move |one| (service, one));
    services::ALL.iter().copied().flat_map(of)
}

/// The address of each process.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// In the order of [`processes`].
    pub(crate) services: Vec<SocketAddr>,
    /// The first has the databases of all services, each has a part of the journal.
    pub(crate) postgres: Vec<SocketAddr>,
    pub(crate) redis: SocketAddr,
}

impl Addresses {
    fn above(port: u16, journal_databases: u16) -> Self {
        let at = |above: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port.saturating_add(above)));
        Self {
            services: processes().map(|(_, process)| at(process.port)).collect(),
            postgres: (0..journal_databases).map(|nth| at(32 + nth)).collect(),
            redis: at(79),
        }
    }

    /// Where the processes of a service listen.
    fn of(&self, service: &Service) -> impl Iterator<Item = SocketAddr> {
        let all = processes().zip(&self.services);
        all.filter(|((known, _), _)| known.name == service.name).map(|(_, address)| *address)
    }

    /// The order nodes.
    pub(crate) fn nodes(&self) -> Vec<SocketAddr> {
        services::with_journal(services::ALL).map(|one| self.of(one).collect()).unwrap_or_default()
    }
}

/// Runs a verb.
///
/// # Errors
/// Where a server is not installed or a process does not start.
pub async fn run(verb: ClusterVerb, out: &Output) -> anyhow::Result<ExitCode> {
    let ClusterVerb::Up { dir, port, journal_databases, without_tls, edge, metrics } = verb;
    let addresses = Addresses::above(port, journal_databases);
    let folder = folder(&dir)?;
    let postgres = postgres_servers(&folder, &addresses.postgres, &[]).await?;
    let redis = servers::redis(&folder, addresses.redis).await?;
    let tls = if without_tls { None } else { Some(Files::fresh(&folder)?) };
    let ways = Ways { tls, ..Ways::direct(&addresses) };
    let mut cluster = Cluster::new(&folder, &addresses, postgres, redis, &ways, &[])?;
    if edge {
        let listens = port.checked_add(EDGE_ABOVE).context("--port is too high for --edge")?;
        cluster.add_edge(&folder, &addresses, SocketAddr::from((Ipv4Addr::LOCALHOST, listens)))?;
    }
    if metrics {
        cluster.show_metrics()?;
    }
    cluster.start().await?;
    cluster.show(&dir, out);
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            interrupted = tokio::signal::ctrl_c() => { interrupted?; break }
            () = tokio::time::sleep(WATCH_EVERY) => cluster.revive()?,
        }
    }
    cluster.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The folder of a cluster, created where it is new, as an absolute path.
pub(crate) fn folder(dir: &Path) -> anyhow::Result<PathBuf> {
    let cannot = || format!("cannot create {}", dir.display());
    std::fs::create_dir_all(dir.join("logs")).with_context(cannot)?;
    if rustix::process::geteuid().is_root() {
        // The server's own user needs access to its folder, but need not list this one.
        std::fs::set_permissions(dir, Permissions::from_mode(0o711)).with_context(cannot)?;
    }
    std::fs::canonicalize(dir).with_context(cannot)
}

/// The addresses by which each process reaches the servers.
pub(crate) struct Ways {
    /// Each Postgres server, by process, in the order of the services.
    pub(crate) postgres: Vec<Vec<SocketAddr>>,
    /// Redis, by process as above.
    pub(crate) redis: Vec<SocketAddr>,
    /// Whether the clocks can be set wrong.
    pub(crate) clocks: bool,
    /// The certificate of the processes, where they are called by TLS.
    pub(crate) tls: Option<Files>,
}

impl Ways {
    /// Without anything between.
    pub(crate) fn direct(addresses: &Addresses) -> Self {
        Self {
            postgres: vec![addresses.postgres.clone(); addresses.services.len()],
            redis: vec![addresses.redis; addresses.services.len()],
            clocks: false,
            tls: None,
        }
    }
}

/// The processes of a cluster.
pub(crate) struct Cluster {
    pub(crate) postgres: Vec<Process>,
    pub(crate) redis: Process,
    /// In the order of the services.
    pub(crate) services: Vec<Process>,
    tls: Option<Files>,
}

impl Cluster {
    /// On running servers; the services are not started yet. Order nodes get additional flags.
    pub(crate) fn new(
        folder: &Path,
        addresses: &Addresses,
        postgres: Vec<Process>,
        redis: Process,
        ways: &Ways,
        of_order_nodes: &[&str],
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let dir = folder.display().to_string();
        let mut services = Vec::new();
        for (nth, ((service, process), address)) in processes().zip(&addresses.services).enumerate()
        {
            let postgres = ways.postgres.get(nth).unwrap_or(&addresses.postgres);
            let redis = ways.redis.get(nth).copied().unwrap_or(addresses.redis);
            let mut arguments = arguments(service, *address, postgres, redis)?;
            arguments.extend(peers(service, addresses, ways.tls.is_some()));
            arguments.extend(ways.tls.iter().flat_map(Files::flags));
            if service.has_journal {
                for entry in shard_map(postgres, SHARDS) {
                    arguments.extend(["--journal-database".to_owned(), entry]);
                }
                arguments.extend(of_order_nodes.iter().map(|flag| (*flag).to_owned()));
            }
            if ways.clocks {
                let file = clock_file(folder, process.name).display().to_string();
                arguments.extend(["--clock-offset-file".to_owned(), file]);
            }
            arguments.extend(process.flags.iter().map(|flag| flag.replace("{dir}", &dir)));
            let log = folder.join("logs").join(format!("{}.log", process.name));
            services.push(Process::new(process.name, *address, &program, arguments, log));
        }
        Ok(Self { postgres, redis, services, tls: ways.tls.clone() })
    }

    /// Adds a gateway in front of all services, which is started last and stopped first.
    fn add_edge(
        &mut self,
        folder: &Path,
        addresses: &Addresses,
        listens: SocketAddr,
    ) -> anyhow::Result<()> {
        let name = Role::Edge.name();
        let program = std::env::current_exe().context("where is this program?")?;
        let redis = format!("redis://{}", addresses.redis);
        let listen = listens.to_string();
        let own = ["serve", "--role", name, "--listen", &listen, "--redis-url", &redis];
        let mut arguments: Vec<String> = own.map(str::to_owned).to_vec();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        arguments.extend(at(services::ALL.iter().copied(), addresses, scheme));
        arguments.extend(self.tls.iter().flat_map(Files::flags));
        let log = folder.join("logs").join(format!("{name}.log"));
        self.services.push(Process::new(name, listens, &program, arguments, log));
        Ok(())
    }

    /// Lets each process show its metrics, at its port + [`METRICS_ABOVE`].
    fn show_metrics(&mut self) -> anyhow::Result<()> {
        for service in &mut self.services {
            let port = service.address.port().checked_add(METRICS_ABOVE);
            let port = port.context("--port is too high for --metrics")?;
            let at = SocketAddr::new(service.address.ip(), port);
            service.add_arguments(["--metrics-listen".to_owned(), at.to_string()]);
        }
        Ok(())
    }

    /// Starts the services and waits until each can serve.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        for service in &mut self.services {
            service.start()?;
        }
        let tls = self.tls.as_ref().map(Files::client).transpose()?;
        for service in &mut self.services {
            service
                .until(READY_WITHIN, async |address| serves(address, tls.as_ref()).await)
                .await?;
        }
        Ok(())
    }

    /// Restarts every process that died.
    fn revive(&mut self) -> anyhow::Result<()> {
        self.postgres.iter_mut().chain([&mut self.redis]).try_for_each(Process::revive)?;
        self.revive_services()
    }

    /// Restarts every service that died.
    pub(crate) fn revive_services(&mut self) -> anyhow::Result<()> {
        self.services.iter_mut().try_for_each(Process::revive)
    }

    /// Stops followers before what they follow, and the servers last.
    pub(crate) async fn stop(&mut self) {
        for service in self.services.iter_mut().rev() {
            service.stop(Signal::TERM, STOPS_WITHIN).await;
        }
        self.redis.stop(Signal::TERM, STOPS_WITHIN).await;
        // Fast shutdown: sessions are ended, everything is written.
        for server in &mut self.postgres {
            server.stop(Signal::INT, STOPS_WITHIN).await;
        }
    }

    fn show(&self, dir: &Path, out: &Output) {
        let all = || self.services.iter().chain(&self.postgres).chain([&self.redis]);
        let rows = all().map(|process| vec![process.name.clone(), process.address.to_string()]);
        if out.json {
            let processes: serde_json::Map<String, serde_json::Value> = all()
                .map(|process| (process.name.clone(), json!(process.address.to_string())))
                .collect();
            let ca = self.tls.as_ref().map(|files| files.ca.display().to_string());
            out.value(&json!({ "ready": processes, "ca": ca }));
        } else {
            out.table(&["process", "address"], rows);
            if let Some(tls) = &self.tls {
                out.line(format!("call by https:// with --ca {}", tls.ca.display()));
            }
            out.line(format!("ready; logs in {}; Ctrl-C stops it", dir.join("logs").display()));
        }
    }
}

/// The flags that every process gets.
fn arguments(
    service: &Service,
    address: SocketAddr,
    postgres: &[SocketAddr],
    redis: SocketAddr,
) -> anyhow::Result<Vec<String>> {
    let first = *postgres.first().context("a cluster has a Postgres server")?;
    Ok(vec![
        "serve".to_owned(),
        "--role".to_owned(),
        service.name.to_owned(),
        "--listen".to_owned(),
        address.to_string(),
        format!("--{}-database-url", service.name),
        database_url(first, service.name),
        "--redis-url".to_owned(),
        format!("redis://{redis}"),
    ])
}

/// The addresses of the others: order nodes know everyone, everyone knows the order nodes.
fn peers(service: &Service, addresses: &Addresses, tls: bool) -> Vec<String> {
    let scheme = if tls { "https" } else { "http" };
    let others = services::ALL.iter().copied();
    at(others.filter(|other| other.has_journal != service.has_journal), addresses, scheme)
}

/// The flags that say where these services are.
fn at(
    services: impl Iterator<Item = &'static Service>,
    addresses: &Addresses,
    scheme: &str,
) -> Vec<String> {
    let flags = services.flat_map(|service| {
        let at = addresses.of(service).map(|address| format!("{scheme}://{address}"));
        [format!("--{}-at", service.name), at.collect::<Vec<_>>().join(",")]
    });
    flags.collect()
}

/// Whether a process reports that it can serve.
pub(crate) async fn ready(address: SocketAddr) -> bool {
    serves(address, None).await
}

async fn serves(address: SocketAddr, tls: Option<&ClientTls>) -> bool {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    client::serves((&url, tls), "", Duration::from_secs(2)).await.unwrap_or(false)
}

/// The file that sets a service's clock.
pub(crate) fn clock_file(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("clock-{service}"))
}
