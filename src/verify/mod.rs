//! `ordinal verify`: replays the whole journal and checks every law over all that follows it.
//!
//! It reads a snapshot of each database, so it may run beside a working engine: what follows the
//! journal is compared with the replay up to the follower's own cursor, not to the head.
//! Never here: repair. It says what differs, by law and order.

mod history; // an order's events, replayed
mod laws; // what must hold of one order; pure
mod report; // what was checked and what differs
mod stores; // every law over the databases
mod streams; // Redis holds what was promised
mod through_grpc; // the laws that a client can check

pub use report::{Finding, Report};

use std::path::PathBuf;
use std::process::ExitCode;

use shared_events::stream::redis::Redis;

use crate::cli::{Client, Connection, Failure, Output};
use crate::databases::DatabaseArgs;
use crate::engine::{Backend, Role, Stores};
use crate::streams::RedisArgs;

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
    /// With a Postgres database named, the files in this directory too: what has left the journal is
    /// one chain with the rest. Without it, what was not looked at is told.
    #[arg(long, value_name = "DIR", env = "ORDINAL_ARCHIVE")]
    archive: Option<PathBuf>,
    /// With databases named, the streams in Redis too.
    #[command(flatten)]
    redis: RedisArgs,
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
            let stores = Stores::snapshot(&backend, args.archive.as_deref()).await?;
            let redis = match args.redis.options()? {
                Some(options) => Some(Redis::new(&options).map_err(anyhow::Error::from)?),
                None => None,
            };
            let checked = everything(&stores, redis.as_ref(), out).await;
            stores.close().await;
            checked?
        }
        None => through_grpc::check(&Client::connect(connection).await?).await?,
    };
    Ok(report.show(out))
}

/// Checks every law over these stores, and over the streams where there are any.
///
/// # Errors
/// Where a database or Redis cannot be read; what differs is no error.
pub async fn everything(
    stores: &Stores,
    redis: Option<&Redis>,
    out: &Output,
) -> anyhow::Result<Report> {
    let mut report = stores::check(stores, &crate::progress::bar(out, "orders")).await?;
    if let Some(redis) = redis {
        streams::check(&mut report, stores, redis).await?;
    }
    Ok(report)
}
