//! `ordinal verify`: replays the whole journal and checks every law over all that follows it.
//!
//! It reads a snapshot of each database, so it may run beside a working engine: what follows the
//! journal is compared with the replay up to the follower's own cursor, not to the head.
//! Never here: repair. It says what differs, by law and order.

mod guards; // the databases still refuse to forget
mod history; // an order's events, replayed
mod laws; // what must hold of one order; pure
mod noted; // the journal goes on from what was noted once
mod of_messages; // laws of the ledger of messages
mod of_orders; // laws of the lists
mod of_stock; // laws of reservations and sums
mod report; // what was checked and what differs
mod stores; // every law over the databases
mod streams; // Redis holds what was promised
mod through_grpc; // the laws that a client can check

use noted::Noted;
pub use noted::{Head, hex, write_new};
#[cfg(test)]
pub(crate) use report::Law;
pub use report::{Finding, Report, laws_and_meanings};

use std::path::PathBuf;
use std::process::ExitCode;

use shared_events::stream::redis::Redis;

use crate::client::{Client, Connection, Failure, Output};
use crate::engine::databases::DatabaseArgs;
use crate::engine::streams::RedisArgs;
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
    /// With a Postgres database named, the files in this directory too: what has left the journal is
    /// one chain with the rest. Without it, what was not looked at is told.
    #[arg(long, value_name = "DIR", env = "ORDINAL_ARCHIVE")]
    archive: Option<PathBuf>,
    /// Write down in this file (JSON) where each shard ends, with its hash, where every law holds. Kept
    /// where nobody who may change the journal can, it is what --expect asks for.
    #[arg(long, value_name = "FILE")]
    heads_to: Option<PathBuf>,
    /// Prove that the journal goes on from where it was when this file was written, by --heads-to or
    /// as manifest.json of a backup: nothing up to there has been changed, lost or added since.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
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
    let noted = args.expect.as_deref().map(noted::read).transpose()?;
    if backend.is_none() && (noted.is_some() || args.heads_to.is_some()) {
        let text =
            "--heads-to and --expect need --data or a database: a client follows no hash chain";
        return Err(Failure::Usage(text.to_owned()));
    }
    let report = match backend {
        Some(backend) => {
            let stores = Stores::snapshot(&backend, args.archive.as_deref()).await?;
            let redis = match args.redis.options()? {
                Some(options) => Some(Redis::new(&options).map_err(anyhow::Error::from)?),
                None => None,
            };
            let checked = whole(&stores, redis.as_ref(), &backend, noted.as_ref(), out).await;
            stores.close().await;
            checked?
        }
        None => through_grpc::check(&Client::connect(connection).await?).await?,
    };
    let code = report.show(out);
    if let Some(path) = &args.heads_to
        && report.findings.is_empty()
    {
        noted::note(path, &report.heads)?;
    }
    Ok(code)
}

/// Checks every law over a backup, and that its journal ends as its manifest says; exit code 1 where
/// something differs.
///
/// # Errors
/// Where a file cannot be read.
pub async fn backup(
    directory: &std::path::Path,
    manifest: &std::path::Path,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let noted = noted::read_any(manifest)?;
    let backend = Backend::Sqlite(directory.to_owned());
    let stores = Stores::snapshot(&backend, None).await?;
    let report = whole(&stores, None, &backend, Some(&noted), out).await;
    stores.close().await;
    Ok(report?.show(out))
}

async fn whole(
    stores: &Stores,
    redis: Option<&Redis>,
    backend: &Backend,
    noted: Option<&Noted>,
    out: &Output,
) -> anyhow::Result<Report> {
    let mut report = everything(stores, redis, out).await?;
    if let Some(noted) = noted {
        noted::check(&mut report, stores, noted).await?;
    }
    guards::check(&mut report, backend).await?;
    Ok(report)
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
    let mut report = stores::check(stores, &crate::client::progress::bar(out, "orders")).await?;
    if let Some(redis) = redis {
        streams::check(&mut report, stores, redis).await?;
    }
    Ok(report)
}
