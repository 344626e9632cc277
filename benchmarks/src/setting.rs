//! The machine and the versions that a report names. Never here: paths, names of people or hosts.

use std::process::Command;
use std::time::Duration;

use procfs::process::Process;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::lab::Lab;

/// How often memory is sampled.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

fn line_of(file: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}

/// The commit of the working directory, with a remark where it has changes.
pub fn commit() -> String {
    let commit = output_of("git", &["rev-parse", "--short", "HEAD"]);
    let changed = output_of("git", &["status", "--porcelain", "--untracked-files=no"]).is_some();
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    if changed { format!("{commit} with changes") } else { commit }
}

/// Settings by name.
///
/// # Errors
/// Where the database does not answer.
pub async fn of(lab: &Lab) -> anyhow::Result<Vec<(String, String)>> {
    let mut setting = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        setting.push((name.to_owned(), value.unwrap_or_else(|| "unknown".to_owned())));
    };
    let cores = std::thread::available_parallelism().map(|cores| cores.to_string()).ok();
    let model = line_of("/proc/cpuinfo", "model name").unwrap_or_default();
    add("machine", cores.map(|cores| format!("{cores} cores, {model}")));
    add("memory", line_of("/proc/meminfo", "MemTotal"));
    add("kernel", output_of("uname", &["-sr"]));
    add("rustc", output_of("rustc", &["--version"]));
    add("redis", output_of("redis-server", &["--version"]));
    let postgres = lab.postgres_settings().await?;
    let postgres: Vec<String> =
        postgres.into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    add("postgres", Some(postgres.join(", ")));
    let shared = "client, engine and databases share these cores; latencies of closed loops are from sending to the answer, \
                  of open loops from the moment at which sending was due";
    add("what ran where", Some(shared.to_owned()));
    Ok(setting)
}

/// Cores for the measured process and cores for its clients, as `taskset` takes them: a load beyond
/// the engine's capacity takes none of its cores.
pub struct Cores {
    /// All of them.
    pub all: String,
    /// One half.
    pub subject: String,
    /// The other half.
    pub clients: String,
}

impl Cores {
    /// The cores that this process may use, in halves; none where there is only one, or they are
    /// unknown.
    pub fn halved() -> Option<Self> {
        let list = |cores: &[u32]| {
            let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
            cores.join(",")
        };
        let allowed = Process::myself().ok()?.status().ok()?.cpus_allowed_list?;
        let all: Vec<u32> = allowed.into_iter().flat_map(|(first, last)| first..=last).collect();
        let (subject, clients) = all.split_at(all.len() / 2);
        (!subject.is_empty()).then(|| Self {
            all: list(&all),
            subject: list(subject),
            clients: list(clients),
        })
    }
}

/// Restricts every thread of this process to these cores.
///
/// # Errors
/// Where `taskset` fails.
pub fn keep_to(cores: &str) -> anyhow::Result<()> {
    let id = std::process::id().to_string();
    let kept = Command::new("taskset").args(["-a", "-c", "-p", cores, &id]).output()?;
    anyhow::ensure!(kept.status.success(), "taskset: {}", String::from_utf8_lossy(&kept.stderr));
    Ok(())
}

/// Memory of this process, in bytes.
pub fn resident_bytes() -> f64 {
    resident_bytes_of(std::process::id())
}

/// Memory of a process by its id, in bytes; 0 where it has ended.
#[expect(clippy::cast_precision_loss, reason = "memory of a process is far below 2^52 bytes")]
pub fn resident_bytes_of(process: u32) -> f64 {
    let status = i32::try_from(process).ok().and_then(|id| Process::new(id).ok()?.status().ok());
    let kilobytes = status.and_then(|status| status.vmrss);
    kilobytes.unwrap_or_default() as f64 * 1_024.0
}

/// The memory of a process, sampled continuously.
pub struct Memory {
    stop: CancellationToken,
    watching: JoinHandle<f64>,
}

impl Memory {
    /// From now on.
    pub fn watch(process: u32) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let watching = tokio::spawn(async move {
            let mut most = resident_bytes_of(process);
            while stopped.run_until_cancelled(sleep(SAMPLE_EVERY)).await.is_some() {
                most = most.max(resident_bytes_of(process));
            }
            most.max(resident_bytes_of(process))
        });
        Self { stop, watching }
    }

    /// The maximum, in bytes.
    ///
    /// # Errors
    /// Never in practice.
    pub async fn most(self) -> anyhow::Result<f64> {
        self.stop.cancel();
        Ok(self.watching.await?)
    }
}
