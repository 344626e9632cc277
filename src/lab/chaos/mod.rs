//! Fault injection: real processes on a real Postgres and Redis, clients that remember every
//! answer, faults by a seeded schedule. In the end everything drains, and the clients' answers are
//! compared with the journal.
//!
//! Never here: what is correct. The laws of `verify` and the domain's functions define that.

mod arena; // a cluster whose connections can be disturbed
mod check; // clients' answers against the journal
mod clients; // what they did, and the answers
mod clock; // a clock that can be set wrong
mod disk; // a disk that can be full
mod disturb; // brings each fault about and ends it
mod faults; // the schedule, by a seed
mod mixed_copies; // data directories put together from several copies
mod money; // a provider of payments, and what the books come to
mod proxy; // connections that can be made slow, silent or cut
mod report; // what happened and what was found
mod set_back; // databases that lose committed data, and moved leases
mod witness; // records in the database who appends

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use shared_events::chance::Chance;
use tokio::time::{Instant, sleep};

use crate::client::{Failure, Output};
use crate::lab::cluster;

use arena::Arena;
use report::{Report, show};

const READY_WITHIN: Duration = Duration::from_secs(90);

/// `ordinal chaos`
#[derive(Debug, clap::Args)]
pub struct ChaosArgs {
    /// What goes wrong.
    #[arg(long, value_enum, value_name = "SCENARIO", default_value = "everything")]
    scenario: Scenario,
    /// Repeat the schedule of this seed; drawn and printed where absent.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Inject faults for at least this long.
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = crate::flags::duration)]
    lasts: Duration,
    /// Continue until at least this many processes were killed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    kills: u32,
    /// Number of clients.
    #[arg(long, value_name = "N", default_value_t = 12)]
    clients: u64,
    /// How long a client waits between two calls, on average.
    #[arg(long, value_name = "DURATION", default_value = "60ms", value_parser = crate::flags::duration)]
    pace: Duration,
    /// Spread the journal over this many Postgres servers; Postgres faults hit one after the other.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8))]
    journal_databases: u16,
    /// Put the (first) Postgres server on a disk of its own, which is full at times: a tmpfs, by
    /// unshare(1) and mount(8), as root or where users may have namespaces of their own.
    #[arg(long)]
    full_disk: bool,
    /// Pay some orders at a simulated provider whose answers and webhooks go wrong at times; in the
    /// end its book, payments and orders are compared.
    #[arg(long)]
    pay: bool,
    /// Keep databases and logs in this directory, which must be new [default: a temporary one,
    /// removed where nothing was found].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Every fault, by the seed.
    Everything,
    /// All clients act on one order whose shard moves between nodes; meant for many, such as 64.
    MovingShard,
    /// Order nodes sleep past their lease and wake, again and again.
    FrozenOwner,
    /// The clock of the database servers is set forward and back, by seconds and by hours, while
    /// order nodes start, stop and sleep. Needs libfaketime; without it leases are moved instead.
    SteppedClock,
    /// Databases lose committed data: a lagging standby takes over, a service is restored from a
    /// copy. Answers given meanwhile may be lost; nothing else may.
    SetBack,
    /// One process on SQLite, whose directory is put together from files of several copies, or has
    /// some missing.
    HalfCopied,
}

impl Scenario {
    /// Why no books can be compared after it, where none can.
    const fn without_books(self) -> Option<&'static str> {
        match self {
            // A database that loses its tail forgets what customers paid.
            Self::SetBack | Self::HalfCopied => Some("this scenario loses what customers did"),
            Self::MovingShard => Some("nobody pays the one order of this scenario"),
            Self::Everything | Self::FrozenOwner | Self::SteppedClock => None,
        }
    }
}

/// Runs a scenario.
///
/// # Errors
/// Usage where it cannot be run as asked; where a server is not installed or a process does not
/// come back. Findings are not errors.
pub async fn run(args: &ChaosArgs, out: &Output) -> Result<ExitCode, Failure> {
    if let Some(why) = args.scenario.without_books().filter(|_| args.pay) {
        return Err(Failure::Usage(format!("--pay: {why}")));
    }
    Ok(one_run(args, out).await?)
}

async fn one_run(args: &ChaosArgs, out: &Output) -> anyhow::Result<ExitCode> {
    if args.full_disk {
        disk::with_own_mounts()?;
    }
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    // Printed first, so that any outcome can be repeated.
    tracing::info!(seed, "chaos");
    if !out.json {
        out.line(format!("seed {seed}"));
    }
    let temporary = tempfile::Builder::new().prefix("ordinal-chaos-").tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    // The server's own user needs access.
    open_to_all(temporary.path())?;
    anyhow::ensure!(!dir.join("postgres").exists(), "{} is not a new directory", dir.display());
    let report = match args.scenario {
        Scenario::HalfCopied => mixed_copies::run(&dir, args, seed, out).await,
        _ => over_servers(&dir, args, seed, out).await,
    };
    let report = report.inspect_err(|_| keep(temporary.path()))?;
    let clean = report.is_clean();
    if !clean && args.dir.is_none() {
        keep(&temporary.keep());
    }
    show(&report, out);
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every scenario but [`Scenario::HalfCopied`].
async fn over_servers(
    dir: &Path,
    args: &ChaosArgs,
    seed: u64,
    out: &Output,
) -> anyhow::Result<Report> {
    let mut arena = Arena::start(dir, args, seed).await?;
    let report = arena.fight(args, seed, out).await;
    arena.cluster.stop().await;
    if let Some(disk) = &arena.disk {
        let wanted = args.dir.is_some() || !report.as_ref().is_ok_and(Report::is_clean);
        if wanted { disk.keep()? } else { disk.unmount()? }
    }
    report
}

fn keep(folder: &Path) {
    tracing::error!(folder = %folder.display(), "databases and logs");
}

fn open_to_all(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?)
}

/// Starts it where it does not run, until it answers. The sessions of a killed server have to end
/// first.
async fn postgres_again(server: &mut cluster::Process) -> anyhow::Result<()> {
    let until = Instant::now() + READY_WITHIN;
    loop {
        if !server.runs() {
            server.start()?;
        }
        match server.until(READY_WITHIN, cluster::postgres_answers).await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Below the ports that the system gives away by itself, to connections as well: such a one may be
/// somebody's by the time a process listens on it, or listens again.
fn free_listener() -> anyhow::Result<std::net::TcpListener> {
    let (first, count) = (10_000, 5_000);
    let begin = Chance::system().number();
    let ports = (0..count).map(|nth| first + begin.wrapping_add(nth) % count);
    let mut free = ports.filter_map(|port| {
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, u16::try_from(port).ok()?)).ok()
    });
    free.next().context("no free port")
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(free_listener()?.local_addr()?)
}
