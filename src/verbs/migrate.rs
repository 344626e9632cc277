//! `ordinal migrate`: migrates tables before a start, or beside running processes.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::client::Output;
use crate::engine::databases::DatabaseArgs;
use crate::engine::{self, Backend, Role, services};

/// `ordinal migrate`
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    /// Migrate the stores of this service only.
    #[arg(long, value_parser = services::roles(services::ALL), value_name = "ROLE", env = "ORDINAL_ROLE", default_value = "all")]
    role: Role,
    /// Migrate the SQLite files in this directory.
    #[arg(
        long,
        value_name = "DIR",
        env = "ORDINAL_DATA",
        default_value = "ordinal-data",
        conflicts_with = "databases"
    )]
    data: PathBuf,
    #[command(flatten)]
    databases: DatabaseArgs,
}

/// Migrates the tables of a role; does nothing if they are up to date.
///
/// # Errors
/// If a database cannot be opened or changed.
pub async fn migrate(args: MigrateArgs, out: &Output) -> anyhow::Result<ExitCode> {
    let backend = match args.databases.databases(args.role)? {
        Some(databases) => Backend::Postgres(databases),
        None => Backend::Sqlite(args.data),
    };
    for store in engine::migrate(&backend, args.role).await? {
        if out.json {
            out.value(&serde_json::json!({ "up_to_date": store }));
        } else {
            out.line(format!("{store}: up to date"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
