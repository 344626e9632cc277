//! The benchmark suite: Ordinal side by side with the usual alternatives, in one run.
//!
//! [`row`] has a file for each comparison, [`subject`] the contenders, [`measure`] the method,
//! [`report`] the output. Never here: anything that the engine needs.

#![expect(clippy::print_stdout, reason = "this is a command line")]
#![expect(clippy::float_arithmetic, reason = "ratios and rates; no money here")]
#![allow(unreachable_pub, reason = "a program has no public interface")]

mod compare; // two reports side by side
mod flame; // flame graphs over all processes
mod lab; // private servers
mod measure; // how something is measured
mod meter; // cost of processes and statements
mod plot; // a plot for each row
mod profile; // workloads that are profiled
mod report; // JSON, page and plots
mod row; // the comparisons
mod setting; // the machine and what runs on it
mod subject; // the contenders
mod work; // the orders

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::time::Instant;

use crate::lab::Lab;
use crate::measure::Pace;
use crate::report::Report;

/// Actors free memory on another thread than the one that allocated it, which is slow in glibc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ordinal side by side with the usual alternatives.
#[derive(Debug, Parser)]
#[command(name = "ordinal-bench")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the suite on private servers and write BENCHMARKS.md, BENCHMARKS.json and the plots.
    Run(RunArgs),
    /// Compare two reports (BENCHMARKS.json), figure by figure.
    Compare {
        /// The earlier one.
        before: PathBuf,
        /// The later one.
        after: PathBuf,
    },
    /// Show where the time goes: CPU and context switches by process, statements by text, each per
    /// order.
    Profile(profile::ProfileArgs),
    /// Serve a contender; the suite starts these itself.
    #[command(hide = true)]
    Serve(subject::server::ServeArgs),
    /// Run engine and callers of row 1; the suite starts these itself.
    #[command(hide = true)]
    Drive(subject::driven::DriveArgs),
    /// The `ordinal` program, with its own flags; the suite starts its processes with it.
    #[command(hide = true, disable_help_flag = true)]
    Ordinal {
        /// As for `ordinal`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Take some minutes: short runs, small journals. For a quick look; its figures prove nothing.
    #[arg(long)]
    quick: bool,
    /// Let a journal grow to ten million events in rows 7 and 9, and to a million orders in rows 19
    /// to 21. Takes some minutes and 10 GB more.
    #[arg(long)]
    large: bool,
    /// Only these rows.
    #[arg(long, value_delimiter = ',', value_name = "ROWS")]
    rows: Vec<String>,
    /// Write the report into this directory.
    #[arg(long, default_value = ".")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os();
    // `ordinal cluster up` starts its own file with verbs of `ordinal`.
    let named = arguments.next().map(PathBuf::from);
    if named.is_some_and(|path| path.file_name().is_some_and(|name| name == lab::PROGRAM)) {
        return Ok(ordinal(arguments.collect()).await);
    }
    let verb = Cli::parse().verb;
    if let Verb::Ordinal { arguments } = verb {
        return Ok(ordinal(arguments).await);
    }
    let _logs = ordinal::logs::begin(std::env::args_os());
    match verb {
        Verb::Ordinal { .. } => Ok(()),
        Verb::Run(args) => run(args).await,
        Verb::Compare { before, after } => {
            compare::print(&Report::read(&before)?, &Report::read(&after)?);
            Ok(())
        }
        Verb::Profile(args) => profile::run(args).await,
        Verb::Serve(args) => subject::server::serve(args).await,
        Verb::Drive(args) => subject::driven::drive(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The `ordinal` program, as it begins itself.
async fn ordinal(arguments: Vec<OsString>) -> ExitCode {
    // Where the system does not support it, it is as before.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let all = || std::iter::once(OsString::from(lab::PROGRAM)).chain(arguments.iter().cloned());
    let _logs = ordinal::logs::begin(all());
    ordinal::verbs::run(all()).await
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    let pace = if args.quick {
        let (warm, run) = (Duration::from_millis(200), Duration::from_millis(600));
        Pace { warm, run, rounds: 1, quick: true, large: false }
    } else {
        let (warm, run) = (Duration::from_millis(500), Duration::from_secs(2));
        Pace { warm, run, rounds: 3, quick: false, large: args.large }
    };
    // Some rows are measured together.
    let names = |number: &str, row: &str| number == row || number.split('+').any(|one| one == row);
    let unknown = |row: &&String| !row::NUMBERS.iter().any(|number| names(number, row));
    if let Some(unknown) = args.rows.iter().find(unknown) {
        anyhow::bail!("there is no row {unknown}; there are {}", row::NUMBERS.join(", "));
    }
    let lab = Lab::open().await?;
    let mut report = Report {
        date: jiff::Timestamp::now().to_string(),
        quick: args.quick,
        commit: setting::commit(),
        setting: setting::of(&lab).await?,
        rows: Vec::new(),
        costs: Vec::new(),
    };
    for number in row::NUMBERS.iter().copied() {
        if !args.rows.is_empty() && !args.rows.iter().any(|row| names(number, row)) {
            continue;
        }
        lab.checkpoint().await?;
        let since = Instant::now();
        let mut rows = row::measure(number, &lab, pace).await?;
        let seconds = since.elapsed().as_secs_f64() / measure::number(rows.len() as u64);
        for row in &mut rows {
            row.seconds = seconds;
            row.print();
        }
        report.rows.extend(rows);
    }
    lab.close().await;
    // They would take longer than all the rest of a quick run.
    if args.rows.is_empty() && !args.quick {
        let lab = Lab::open_counting().await?;
        let time = Duration::from_secs(6);
        for (name, cost) in profile::of_report(&lab, time).await? {
            report.costs.push((name.to_owned(), cost));
        }
        lab.close().await;
    }
    report.write(&args.out)?;
    println!("written: {}", args.out.join("BENCHMARKS.md").display());
    Ok(())
}
