//! Flame graphs over all processes together. Never here: what they do.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use inferno::collapse::Collapse as _;
use inferno::collapse::perf::{Folder, Options as Collapsing};
use inferno::flamegraph::{self, Options as Drawing};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::lab::Lab;

/// Samples a second and core: enough to show what takes a hundredth of the time, and no multiple of
/// any period within a program.
const SAMPLES: &str = "297";
/// Smallest share of the time that is drawn, in hundredths.
const SHOWN_MIN: f64 = 0.3;

/// Samples of the complete machine by `perf`.
pub struct Recording {
    perf: Child,
    samples: PathBuf,
}

impl Recording {
    /// Starts sampling.
    ///
    /// # Errors
    /// Where `perf` is missing.
    pub fn start(lab: &Lab) -> anyhow::Result<Self> {
        let samples = lab.log("samples");
        let perf = Command::new("perf")
            .args(["record", "--all-cpus", "--call-graph", "fp", "--freq", SAMPLES, "--output"])
            .arg(&samples)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("perf is not installed")?;
        Ok(Self { perf, samples })
    }

    /// Ends it and draws the time of these processes.
    ///
    /// # Errors
    /// Where nothing could be recorded: it needs root, or `kernel.perf_event_paranoid` at -1.
    pub async fn drawn(mut self, title: &str, names: &[(&str, u32)]) -> anyhow::Result<Vec<u8>> {
        let id = self.perf.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(id.context("perf has ended; it may lack permission")?, Signal::INT)?;
        self.perf.wait().await?;
        let script = Command::new("perf")
            .args(["script", "--no-inline", "--fields", "comm,pid,tid,time,event,ip,sym,dso"])
            .arg("--input")
            .arg(&self.samples)
            .stderr(Stdio::null())
            .output()
            .await?;
        anyhow::ensure!(script.status.success(), "perf could not read its recording");
        let mut collapsing = Collapsing::default();
        collapsing.include_pid = true;
        let mut folded = Vec::new();
        Folder::from(collapsing).collapse(script.stdout.as_slice(), &mut folded)?;
        let folded = String::from_utf8_lossy(&folded);
        let named: Vec<String> = folded.lines().filter_map(|line| named(line, names)).collect();
        let mut drawing = Drawing::default();
        drawing.title = title.to_owned();
        drawing.count_name = "samples".to_owned();
        drawing.min_width = SHOWN_MIN;
        drawing.deterministic = true;
        let mut svg = Vec::new();
        flamegraph::from_lines(&mut drawing, named.iter().map(String::as_str), &mut svg)?;
        Ok(svg)
    }
}

/// A stack with the name of its process in front; none where the process is not one of these.
fn named(line: &str, names: &[(&str, u32)]) -> Option<String> {
    let (process, stack) = line.split_once(';')?;
    let (program, id) = process.rsplit_once('-')?;
    let id: u32 = id.parse().ok()?;
    let known = names.iter().find(|(_, known)| *known == id).map(|(name, _)| *name);
    // Postgres has a process for each session.
    let name = known.or((program == "postgres").then_some("Postgres"))?;
    Some(format!("{name};{stack}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_have_the_names_of_our_processes_and_no_others() {
        let names = [("orders", 7), ("stock", 8)];
        let shown = |line| named(line, &names);
        assert_eq!(shown("tokio-rt-worker-7;run;poll 3"), Some("orders;run;poll 3".to_owned()));
        assert_eq!(shown("postgres-99;exec 1"), Some("Postgres;exec 1".to_owned()));
        assert_eq!(shown("bash-70;main 1"), None);
        assert_eq!(shown("swapper-?;idle 1"), None);
    }
}
