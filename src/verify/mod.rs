//! `ordinal verify`: replays the journal and checks all data derived from it against the laws.
//!
//! It reads a snapshot of each database, so it can run beside a working engine: a follower's data
//! is compared with the replay up to the follower's own cursor, not up to the head.
//! Never here: repair. It reports differences by law and order.

mod goods_paid; // payments move what goods are worth
mod guards; // databases refuse changes
mod history; // an order's events, replayed
mod laws; // what must hold of one order; pure
mod noted; // the journal continues from recorded heads
mod of_ledger; // laws of the book
mod of_messages; // laws of the message ledger
mod of_money; // the book has what payments say
mod of_orders; // laws of the read models
mod of_payments; // laws of payments
mod of_payouts; // payouts to sellers
mod of_settlements; // the book has what providers say they paid out
mod of_stock; // laws of reservations and sums
mod of_wallets; // wallets and payments by them
mod plans; // money of orders with a payment plan
mod report; // the laws, and the report of checks and findings
mod stores; // checks all laws in the databases
mod streams; // the Redis streams hold the published facts
mod through_grpc; // the laws that a client can check

use noted::Noted;
pub use noted::hex;
#[cfg(test)]
pub(crate) use report::Law;
pub use report::{Finding, Head, Report, laws_and_meanings};

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
    /// Check these Postgres databases; nothing is written. Without any, check what a client can see
    /// of the engine at --address: no hash chain, no cursors.
    #[command(flatten)]
    databases: DatabaseArgs,
    /// With Postgres databases, check the archive in this directory too: archived events are part
    /// of the hash chain. Without it, the report lists what was not checked.
    #[arg(long, value_name = "DIR", env = "ORDINAL_ARCHIVE")]
    archive: Option<PathBuf>,
    /// If every law holds, write the head of each shard with its hash to this JSON file, for
    /// --expect. Store it where those who can change the journal cannot change it.
    #[arg(long, value_name = "FILE")]
    heads_to: Option<PathBuf>,
    /// Prove that the journal continues from the heads in this file, written by --heads-to or as
    /// manifest.json of a backup: nothing up to them was changed, lost or added since.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// With databases, check the streams in this Redis too.
    #[command(flatten)]
    redis: RedisArgs,
}

/// Checks and shows the differences; exit code 1 if there are any.
///
/// # Errors
/// If a database cannot be read, or no engine answers.
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
        let text = "--heads-to and --expect need --data or a database: a client cannot read hashes";
        return Err(Failure::Usage(text.to_owned()));
    }
    let report = match backend {
        Some(backend) => {
            let stores = Stores::snapshot(&backend, args.archive.as_deref()).await?;
            let redis = match args.redis.options()? {
                Some(options) => Some(Redis::new(&options).map_err(anyhow::Error::from)?),
                None => None,
            };
            let checked =
                check_stores(&stores, redis.as_ref(), &backend, noted.as_ref(), out).await;
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

/// Checks all laws in a backup, and that its journal has the heads in its manifest; exit code 1 if
/// anything differs.
///
/// # Errors
/// If a file cannot be read.
pub async fn backup(
    directory: &std::path::Path,
    manifest: &std::path::Path,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let noted = noted::read_any(manifest)?;
    let backend = Backend::Sqlite(directory.to_owned());
    let stores = Stores::snapshot(&backend, None).await?;
    let report = check_stores(&stores, None, &backend, Some(&noted), out).await;
    stores.close().await;
    Ok(report?.show(out))
}

async fn check_stores(
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
    guards::check(&mut report, stores, backend).await?;
    Ok(report)
}

/// Checks all laws in these stores, and in the streams, if given.
///
/// # Errors
/// If a database or Redis cannot be read; a difference is a finding, not an error.
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
