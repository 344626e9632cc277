//! `ordinal health`: whether a process can serve, and if not why.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::client::{Client, Connection, Failure, Output, serves, text};

/// What there is to say of a process that serves is not waited for any longer.
const NOTES_WITHIN: Duration = Duration::from_secs(1);

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
