//! `ordinal health`: whether a process can serve, and if not, why.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::client::{Client, Connection, Failure, Output, serves, text};

/// The details of a serving process are not waited for longer than this.
const NOTES_WITHIN: Duration = Duration::from_secs(1);

/// Shows whether a process can serve, or, for `liveness`, whether it runs; and to operators, why it
/// cannot serve. Exit code 0 if it can, 3 if it cannot or does not answer.
///
/// # Errors
/// If the address is invalid.
pub async fn health(
    connection: &Connection,
    service: &str,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let (address, tls) = (connection.address(), connection.tls()?);
    let serving = serves((&address, tls.as_ref()), service, connection.timeout).await?;
    let Details { reasons, notes, refused } = details(connection, serving).await;
    let status = if serving { "SERVING" } else { "NOT_SERVING" };
    if out.json {
        out.value(&serde_json::json!({
            "status": status, "reasons": reasons, "notes": notes, "refused": refused,
        }));
    } else {
        out.line(status);
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

/// What operators see besides.
struct Details {
    reasons: Vec<Value>,
    notes: Vec<Value>,
    refused: Vec<Value>,
}

/// Why it cannot serve, and notes, as far as the caller may read them.
async fn details(connection: &Connection, serving: bool) -> Details {
    let answer = async {
        let client = Client::connect(connection).await.ok()?;
        client.call("admin.v1.AdminService/GetHealth", serde_json::json!({})).await.ok()
    };
    // The details of a serving process are optional.
    let patience = connection.timeout.min(if serving { NOTES_WITHIN } else { Duration::MAX });
    let mut answer =
        tokio::time::timeout(patience, answer).await.ok().flatten().unwrap_or_default();
    let mut all = |name: &str| answer[name].as_array_mut().map(std::mem::take).unwrap_or_default();
    let (reasons, notes, refused) = (all("reasons"), all("notes"), all("refused"));
    // They may have changed since the health check.
    let reasons = if serving { Vec::new() } else { reasons };
    Details { reasons, notes, refused }
}
