//! `ordinal verify`: replays the whole journal and checks every law over all that follows it.
//!
//! It reads a snapshot of each database, so it may run beside a working engine: what follows the
//! journal is compared with the replay up to the follower's own cursor, not to the head.
//! Never here: repair. It says what differs, by law and order.

mod history; // an order's events, replayed
mod laws; // what must hold of one order; pure
mod report; // what was checked and what differs
mod stores; // every law over the databases
mod through_grpc; // the laws that a client can check

pub use report::{Finding, Report};

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{Client, Connection, Failure, Output};
use crate::databases::DatabaseArgs;
use crate::engine::{Backend, Role, Stores};

/// Flags of `ordinal verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Check the SQLite files in this directory; nothing is written.
    #[arg(long, value_name = "DIR", conflicts_with = "databases")]
    data: Option<PathBuf>,
    /// Check these Postgres databases; nothing is written. Without any, what a client can see of
    /// the engine at --address is checked: no hash chain, no cursors.
    #[command(flatten)]
    databases: DatabaseArgs,
}

/// Checks, shows what differs; exit code 1 where something does.
///
/// # Errors
/// Where a database cannot be read, or no engine answers.
pub async fn run(
    args: VerifyArgs,
    connection: &Connection,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let backend = match args.data {
        Some(directory) => Some(Backend::Sqlite(directory)),
        None => args.databases.databases(Role::All)?.map(Backend::Postgres),
    };
    let report = match backend {
        Some(backend) => {
            let stores = Stores::snapshot(&backend).await?;
            let checked = everything(&stores, out).await;
            stores.close().await;
            checked?
        }
        None => through_grpc::check(&Client::connect(connection).await?).await?,
    };
    Ok(report.show(out))
}

/// Checks every law over these stores.
///
/// # Errors
/// Where a database cannot be read; what differs is no error.
pub async fn everything(stores: &Stores, out: &Output) -> anyhow::Result<Report> {
    stores::check(stores, &crate::progress::bar(out, "orders")).await
}
