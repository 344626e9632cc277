//! Cost per order by process and statement. Never here: the workload.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use procfs::process::Process;
use serde::{Deserialize, Serialize};
use sqlx::{Executor as _, Row as _};
use tokio::time::Instant;

use crate::flame::Recording;
use crate::lab::Lab;
use crate::measure::number;

/// Statements that are listed, the most expensive first.
const STATEMENTS: i64 = 24;
/// Characters of a statement.
const TEXT_MAX: usize = 110;

/// Usage of processes and database at the start.
pub struct Meter {
    since: Instant,
    processes: Vec<(&'static str, u32)>,
    used: Vec<Used>,
    recording: anyhow::Result<Recording>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    cpu_micros: u64,
    waits: u64,
    put_aside: u64,
}

/// Cost per order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// The workload.
    pub of: String,
    /// Number of orders.
    pub orders: u64,
    /// Duration, until every follower had caught up.
    pub seconds: f64,
    /// Other observations.
    pub remarks: Vec<String>,
    /// By process.
    pub processes: Vec<ProcessCost>,
    /// By statement, the most expensive first.
    pub statements: Vec<StatementCost>,
    /// Where the time was spent, as SVG.
    #[serde(skip)]
    pub flame: Option<Vec<u8>>,
}

/// Cost of a process per order.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProcessCost {
    /// Its name.
    pub name: String,
    /// Microseconds of CPU.
    pub cpu_micros: f64,
    /// Voluntary context switches: a thread waited.
    pub waits: f64,
    /// Involuntary context switches: another thread ran instead.
    pub put_aside: f64,
}

/// Cost of a statement, planning and execution.
#[derive(Debug, Serialize, Deserialize)]
pub struct StatementCost {
    /// Its text, shortened.
    pub text: String,
    /// Microseconds per order, including waits.
    pub micros: f64,
    /// Calls per order.
    pub calls: f64,
    /// Rows per call.
    pub rows: f64,
    /// Bytes of the write-ahead log per order.
    pub log_bytes: f64,
}

impl Meter {
    /// Starts now, with these processes, the servers and this process.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn start(
        lab: &Lab,
        processes: &[(&'static str, Option<u32>)],
    ) -> anyhow::Result<Self> {
        lab.checkpoint().await?;
        let mut admin = lab.connect("postgres").await?;
        admin.execute("SELECT pg_stat_statements_reset()").await?;
        let us = ("client", Some(std::process::id()));
        let all = processes.iter().copied().chain(lab.servers()).chain([us]);
        let processes: Vec<_> = all.filter_map(|(name, id)| Some((name, id?))).collect();
        let used = processes.iter().map(|(_, id)| used(*id)).collect();
        let recording = Recording::start(lab);
        Ok(Self { since: Instant::now(), processes, used, recording })
    }

    /// Cost per order since the start, for this many orders.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn cost(self, lab: &Lab, of: &str, orders: u64) -> anyhow::Result<Cost> {
        let seconds = self.since.elapsed().as_secs_f64();
        let each = |count: f64| count / number(orders.max(1));
        let process = |((name, id), before): (&(&str, u32), &Used)| {
            let now = used(*id);
            let since = |now: u64, before: u64| each(number(now.saturating_sub(before)));
            ProcessCost {
                name: (*name).to_owned(),
                cpu_micros: since(now.cpu_micros, before.cpu_micros),
                waits: since(now.waits, before.waits),
                put_aside: since(now.put_aside, before.put_aside),
            }
        };
        let processes = self.processes.iter().zip(&self.used).map(process).collect();
        let mut admin = lab.connect("postgres").await?;
        let rows = sqlx::query(
            "SELECT total_exec_time + total_plan_time, calls, rows, wal_bytes::float8,
                    regexp_replace(query, '\\s+', ' ', 'g')
             FROM pg_stat_statements ORDER BY 1 DESC LIMIT $1",
        )
        .bind(STATEMENTS)
        .fetch_all(&mut admin)
        .await?;
        let mut statements = Vec::new();
        for row in rows {
            let (millis, calls): (f64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let (rows, log_bytes): (i64, f64) = (row.try_get(2)?, row.try_get(3)?);
            let text: String = row.try_get(4)?;
            let calls = number(calls.unsigned_abs());
            statements.push(StatementCost {
                text: text.chars().take(TEXT_MAX).collect(),
                micros: each(millis * 1e3),
                calls: each(calls),
                rows: number(rows.unsigned_abs()) / calls.max(1.0),
                log_bytes: each(log_bytes),
            });
        }
        let mut remarks = Vec::new();
        let drawn = match self.recording {
            Ok(recording) => recording.drawn(of, &self.processes).await,
            Err(error) => Err(error),
        };
        let flame = drawn.map_err(|error| remarks.push(format!("No flame graph: {error:#}.")));
        let (of, flame) = (of.to_owned(), flame.ok());
        Ok(Cost { of, orders, seconds, remarks, processes, statements, flame })
    }
}

impl Cost {
    /// As a section of the page.
    ///
    /// # Errors
    /// Never in practice.
    pub fn page(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        writeln!(
            page,
            "{} orders in {:.1} s, until all followers had caught up.\n",
            self.orders, self.seconds
        )?;
        for remark in &self.remarks {
            writeln!(page, "- {remark}")?;
        }
        if !self.remarks.is_empty() {
            writeln!(page)?;
        }
        writeln!(page, "| Process | CPU, µs an order | waits | preempted |\n|---|---|---|---|")?;
        for ProcessCost { name, cpu_micros, waits, put_aside } in &self.processes {
            writeln!(page, "| {name} | {cpu_micros:.0} | {waits:.2} | {put_aside:.2} |")?;
        }
        // Less than a thousandth of the time is left out.
        let all: f64 = self.statements.iter().map(|statement| statement.micros).sum();
        let listed = || self.statements.iter().filter(|one| one.micros > all / 1e3);
        if listed().next().is_none() {
            return Ok(page);
        }
        writeln!(
            page,
            "\n| µs an order | calls an order | rows a call | log bytes an order | Statement |\n|---|---|---|---|---|"
        )?;
        for StatementCost { text, micros, calls, rows, log_bytes } in listed() {
            let text = text.replace('|', "\\|");
            writeln!(page, "| {micros:.1} | {calls:.3} | {rows:.1} | {log_bytes:.0} | {text} |")?;
        }
        Ok(page)
    }

    /// Writes the flame graph there, if there is one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn draw(&self, file: &Path) -> anyhow::Result<()> {
        if let Some(flame) = &self.flame {
            std::fs::write(file, flame)?;
        }
        Ok(())
    }
}

/// Seconds of CPU that a process has used with all its children that still run, by the name of
/// their programs.
pub fn cpu_by_name(process: u32) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let mut open = vec![process];
    while let Some(id) = open.pop() {
        let Some(found) = i32::try_from(id).ok().and_then(|id| Process::new(id).ok()) else {
            continue;
        };
        if let Ok(stat) = found.stat() {
            let ticks = number(stat.utime + stat.stime);
            *all.entry(stat.comm).or_default() += ticks / number(procfs::ticks_per_second());
        }
        let tasks = found.tasks().into_iter().flatten().flatten();
        open.extend(tasks.filter_map(|task| task.children().ok()).flatten());
    }
    all
}

/// Usage of a process and its children; zero where it has ended.
fn used(process: u32) -> Used {
    read(process).unwrap_or_default()
}

fn read(process: u32) -> procfs::ProcResult<Used> {
    let id = i32::try_from(process).map_err(|_| procfs::ProcError::NotFound(None))?;
    let process = Process::new(id)?;
    let stat = process.stat()?;
    // Children that have ended are counted in their parent.
    let ended = u64::try_from(stat.cutime + stat.cstime).unwrap_or_default();
    let ticks = stat.utime + stat.stime + ended;
    let mut all =
        Used { cpu_micros: ticks * 1_000_000 / procfs::ticks_per_second(), ..Used::default() };
    for task in process.tasks()?.flatten() {
        let Ok(status) = task.status() else { continue };
        all.waits += status.voluntary_ctxt_switches.unwrap_or_default();
        all.put_aside += status.nonvoluntary_ctxt_switches.unwrap_or_default();
    }
    // Children of this process are listed separately.
    if process.pid().unsigned_abs() != std::process::id() {
        for child in process.task_main_thread()?.children()? {
            let of_child = used(child);
            all.cpu_micros += of_child.cpu_micros;
            all.waits += of_child.waits;
            all.put_aside += of_child.put_aside;
        }
    }
    Ok(all)
}
