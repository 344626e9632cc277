//! What became of the orders.

use serde_json::{Value, json};

use super::{Outcome, Story};
use crate::client::{Failure, Output, code, order_history, show_history, text};

/// Shows each order's history, its messages, what was done at the provider, and what was booked in
/// its customer's wallet.
pub(super) async fn show(story: &Story, out: &Output, outcomes: &[Outcome]) -> Result<(), Failure> {
    let mut orders = Vec::new();
    for order in outcomes {
        let events = order_history(&story.ops, &order.order_id.to_string()).await?;
        let messages = story.notifications(order.order_id).await?;
        let operations = story.operations(order.order_id).await?;
        let entries = story.booked(order.order_id).await?;
        if out.json {
            orders.push(json!({
                "title": order.title, "order_id": order.order_id, "ending": order.found,
                "expected": order.expected, "ok": order.found == order.expected,
                "events": events, "notifications": messages, "operations": operations,
                "entries": entries,
            }));
            continue;
        }
        out.line(format!("{}: {} ({})", order.title, order.found, order.order_id));
        if order.found != order.expected {
            out.line(format!("  should be: {}", order.expected));
        }
        show_history(out, &events);
        out.table(
            &["message", "channel", "state"],
            messages.iter().map(|message| {
                vec![text(message, "kind"), text(message, "channel"), state(message)]
            }),
        );
        show_operations(out, &operations);
        show_entries(out, &entries);
        out.line("");
    }
    if out.json {
        let ok = outcomes.iter().all(|order| order.found == order.expected);
        out.value(&json!({ "ok": ok, "orders": orders }));
    }
    Ok(())
}

/// What was done at the provider, if anything.
fn show_operations(out: &Output, operations: &[Value]) {
    if operations.is_empty() {
        return;
    }
    out.table(
        &["at the provider", "amount", "state", "why"],
        operations.iter().map(|operation| {
            vec![
                code(operation, "kind", "OPERATION_KIND_"),
                text(operation, "amount"),
                code(operation, "state", "OPERATION_STATE_"),
                text(operation, "code"),
            ]
        }),
    );
}

/// What was booked in the wallet, if one pays.
fn show_entries(out: &Output, entries: &[Value]) {
    if entries.is_empty() {
        return;
    }
    let rows = entries.iter().flat_map(|entry| {
        entry["transfers"].as_array().into_iter().flatten().map(|one| {
            vec![
                code(one, "kind", "TRANSFER_KIND_"),
                text(one, "amount"),
                text(one, "debit"),
                text(one, "credit"),
                text(entry, "reason"),
            ]
        })
    });
    out.table(&["in the wallet", "amount", "debit", "credit", "why"], rows);
}

/// The word for where a message is.
pub(super) fn state(message: &Value) -> String {
    let state = text(message, "state");
    match state.rsplit_once("STATE_") {
        Some((_, code)) => code.to_owned(),
        None => state,
    }
}
