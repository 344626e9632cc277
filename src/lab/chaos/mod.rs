//! Everything goes wrong, on purpose: real processes on a real Postgres and Redis, clients that
//! remember every answer, faults by a seeded schedule. In the end everything drains, and what
//! clients saw is compared with what is there.
//! Never here: what is right. That say the laws of `verify`, and the domain's own functions.

mod arena; // the cluster, with ways that can be disturbed
mod check; // what clients saw against the journal
mod clients; // what they wished, and what they were told
mod clock; // one that somebody sets wrong
mod disk; // one that can be full
mod disturb; // each fault brought about, and its end
mod faults; // what goes wrong, by a seed
mod halves; // directories that somebody put together
mod past; // databases that are set back, and leases of another time
mod proxy; // ways to a server that can be made slow, silent or cut
mod report; // what happened and what was found
mod witness; // sees in the database itself who appends

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use crate::client::Output;
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
    /// Repeat the schedule of this seed; drawn and told where absent.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Let things go wrong for so long, at least.
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = crate::flags::duration)]
    lasts: Duration,
    /// Go on until so many processes were killed, at least.
    #[arg(long, value_name = "N", default_value_t = 0)]
    kills: u32,
    /// Clients at work.
    #[arg(long, value_name = "N", default_value_t = 12)]
    clients: u64,
    /// How long a client waits between two calls, on average.
    #[arg(long, value_name = "DURATION", default_value = "60ms", value_parser = crate::flags::duration)]
    pace: Duration,
    /// Spread the journal over so many Postgres servers; what goes wrong with Postgres goes wrong with
    /// one after the other.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8))]
    journal_databases: u16,
    /// Put the (first) Postgres server on a disk of its own, which is full at times: a tmpfs, by
    /// unshare(1) and mount(8), as root or where users may have namespaces of their own.
    #[arg(long)]
    full_disk: bool,
    /// Keep databases and logs in this directory, which must be new; in a temporary one, removed where
    /// nothing was found, unless said.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Whatever can, by the seed.
    Everything,
    /// One order that all clients are at, and its shard moves from node to node. With 64 clients, say.
    MovingShard,
    /// The owner of orders sleeps past its lease and wakes, again and again.
    FrozenOwner,
    /// The clock of the database servers is set forward and back, by seconds and by hours, while order
    /// nodes come, go and sleep. Needs libfaketime; without it leases are moved as if it had been.
    SteppedClock,
    /// Databases lose what they had committed: a standby that lagged takes over, a service is restored
    /// from a copy. What a client was told meanwhile may be lost; all else may not.
    SetBack,
    /// One process on SQLite, whose directory is put together from files of several copies, or lacks
    /// some.
    HalfCopied,
}

/// Runs it.
///
/// # Errors
/// Where a server is not installed or a process does not come back; what is found is no error.
pub async fn run(args: &ChaosArgs, out: &Output) -> anyhow::Result<ExitCode> {
    if args.full_disk {
        disk::with_own_mounts()?;
    }
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    // Said first: whatever comes, it can be repeated.
    tracing::info!(seed, "chaos");
    if !out.json {
        out.line(format!("seed {seed}"));
    }
    let temporary = tempfile::Builder::new().prefix("ordinal-chaos-").tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    // The server's own user has to get through.
    open_to_all(temporary.path())?;
    anyhow::ensure!(!dir.join("postgres").exists(), "{} has been used already", dir.display());
    let report = match args.scenario {
        Scenario::HalfCopied => halves::fight(&dir, args, seed, out).await,
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

/// All but [`Scenario::HalfCopied`].
async fn over_servers(
    dir: &Path,
    args: &ChaosArgs,
    seed: u64,
    out: &Output,
) -> anyhow::Result<Report> {
    let mut arena = Arena::start(dir, args).await?;
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

/// Starts it where it does not run, until it answers. What a killed server's sessions hold of it has
/// to go first.
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

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
