//! What those who run processes need beside them: tables brought up to date before a start, and
//! whether a process can serve.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use shared_events::contract::Reason;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::cli::{Client, Connection, Failure, Output, text};
use crate::databases::DatabaseArgs;
use crate::engine::{self, Backend, Role};
use crate::peers;

/// What there is to say of a process that serves is not waited for any longer.
const NOTES_WITHIN: Duration = Duration::from_secs(1);

/// `ordinal migrate`
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    /// The stores of this service only.
    #[arg(long, value_enum, value_name = "ROLE", env = "ORDINAL_ROLE", default_value = "all")]
    role: Role,
    /// SQLite files in this directory.
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

/// Brings the tables of a role up to date; where they are, nothing happens.
///
/// # Errors
/// Where a database cannot be opened or changed.
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

/// Asks a process whether it can serve, or, of `liveness`, whether it lives; and where it cannot
/// serve, why, which operators are told. Exit code 0 where it does, 3 where it does not or does not
/// answer.
///
/// # Errors
/// Where the address is none.
pub async fn health(
    connection: &Connection,
    service: &str,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let serving = serves(&connection.address(), service, connection.timeout).await?;
    let (reasons, notes) = details(connection, serving).await;
    let said = if serving { "SERVING" } else { "NOT_SERVING" };
    if out.json {
        out.value(&serde_json::json!({ "status": said, "reasons": reasons, "notes": notes }));
    } else {
        out.line(said);
        for reason in &reasons {
            out.line(format!("{}: {}", text(reason, "part"), text(reason, "reason")));
        }
        for note in &notes {
            let (part, since) = (text(note, "part"), text(note, "since"));
            out.line(format!("{part} since {since}: {}", text(note, "reason")));
        }
    }
    Ok(if serving { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// Why it cannot serve, and what else is to be known, as far as the caller may know.
async fn details(connection: &Connection, serving: bool) -> (Vec<Value>, Vec<Value>) {
    let told = async {
        let client = Client::connect(connection).await.ok()?;
        client.call("admin.v1.AdminService/GetHealth", serde_json::json!({})).await.ok()
    };
    // One that serves is not waited for.
    let patience = connection.timeout.min(if serving { NOTES_WITHIN } else { Duration::MAX });
    let mut told = tokio::time::timeout(patience, told).await.ok().flatten().unwrap_or_default();
    let mut all = |name: &str| told[name].as_array_mut().map(std::mem::take).unwrap_or_default();
    let (reasons, notes) = (all("reasons"), all("notes"));
    // They may have changed since it was asked whether it serves.
    (if serving { Vec::new() } else { reasons }, notes)
}

/// Whether the process at this URL says that a service of it serves; empty for the process as a whole.
///
/// # Errors
/// Where the address is none, or the process knows no such service.
pub(crate) async fn serves(url: &str, service: &str, patience: Duration) -> Result<bool, Failure> {
    let Some(channel) = peers::channel(&[url.to_owned()])? else { return Ok(false) };
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut client = HealthClient::new(channel);
    let answer = tokio::time::timeout(patience, client.check(request)).await;
    match answer {
        Ok(Ok(answer)) => Ok(answer.into_inner().status == i32::from(ServingStatus::Serving)),
        Ok(Err(status)) if status.code() == Code::NotFound => Err(Failure::Refused {
            reason: Reason::NotFound.to_string(),
            message: format!("the process has no service {service}; liveness is one, or none"),
        }),
        _ => Ok(false),
    }
}
