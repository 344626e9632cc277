use serde_json::Value;

use super::{code, items, next_page, short_time, text};
use crate::client::Output;

/// That what follows was not done, where that was asked for.
pub fn only_would(out: &Output, validate_only: bool) {
    if validate_only {
        out.line("nothing was changed; it would be:");
    }
}

/// What an attempt led to.
pub fn attempt(out: &Output, answer: &Value) {
    if answer["waits"] == true {
        out.line("the attempt waits: the order has not asked for money yet");
        return;
    }
    listed(out, items(&answer["payments"]));
}

/// A payment and its operations.
pub fn payment(out: &Output, answer: &Value) {
    listed(out, [&answer["payment"]]);
    operations(out, items(&answer["operations"]), "nothing was done at the provider");
    let mut disputes = items(&answer["disputes"]).peekable();
    if disputes.peek().is_some() {
        let rows = disputes.map(|one| {
            let state = code(one, "state", "DISPUTE_STATE_");
            let (id, amount) = (text(one, "dispute_id"), text(one, "amount"));
            vec![id, state, amount, short_time(one, "respond_by"), short_time(one, "open_time")]
        });
        out.list(&["dispute", "state", "amount", "respond by", "since"], rows, "no disputes");
    }
}

/// One webhook of a provider.
pub fn payment_webhook(out: &Output, answer: &Value) {
    webhooks(out, [&answer["webhook"]]);
}

/// Webhooks of providers.
pub fn payment_webhooks(out: &Output, answer: &Value) {
    webhooks(out, items(&answer["webhooks"]));
    next_page(out, answer);
}

fn webhooks<'a>(out: &Output, all: impl IntoIterator<Item = &'a Value>) {
    let rows = all.into_iter().map(|one| {
        vec![
            text(one, "psp"),
            text(one, "event_id"),
            text(one, "kind"),
            code(one, "state", "WEBHOOK_STATE_"),
            short_time(one, "receive_time"),
            short_time(one, "due_time"),
            text(one, "tries"),
            text(one, "psp_reference"),
            text(one, "note"),
        ]
    });
    let head =
        ["provider", "webhook", "tells", "state", "came", "next", "tries", "reference", "note"];
    out.list(&head, rows, "no webhooks");
}

/// Payments.
pub fn payments(out: &Output, answer: &Value) {
    listed(out, items(&answer["payments"]));
    next_page(out, answer);
}

/// One operation.
pub fn payment_operation(out: &Output, answer: &Value) {
    operations(out, [&answer["operation"]], "no operation");
}

/// Operations that a person must look at.
pub fn payment_operations(out: &Output, answer: &Value) {
    operations(out, items(&answer["operations"]), "no operation is stuck");
    next_page(out, answer);
}

fn listed<'a>(out: &Output, payments: impl IntoIterator<Item = &'a Value>) {
    let payments: Vec<&Value> = payments.into_iter().collect();
    let rows = payments.iter().map(|one| {
        vec![
            text(one, "payment_id"),
            text(one, "order_id"),
            text(one, "seller"),
            text(one, "psp"),
            code(one, "status", "PAYMENT_STATUS_"),
            text(one, "wanted"),
            text(one, "authorized"),
            text(one, "captured"),
            text(one, "refunded"),
            short_time(one, "update_time"),
        ]
    });
    let head = [
        "payment",
        "order",
        "seller",
        "provider",
        "status",
        "wanted",
        "authorized",
        "captured",
        "refunded",
        "at",
    ];
    out.list(&head, rows, "no payments");
    for url in payments.iter().filter_map(|one| one["action_url"].as_str()) {
        if !url.is_empty() {
            out.line(format!("the customer must act: {url}"));
        }
    }
}

fn operations<'a>(out: &Output, all: impl IntoIterator<Item = &'a Value>, none: &str) {
    let rows = all.into_iter().map(|one| {
        vec![
            text(one, "operation_id"),
            code(one, "kind", "OPERATION_KIND_"),
            code(one, "state", "OPERATION_STATE_"),
            text(one, "amount"),
            text(one, "stage"),
            short_time(one, "due_time"),
            text(one, "calls"),
            text(one, "psp_reference"),
            text(one, "code"),
            text(one, "note"),
        ]
    });
    let head = [
        "operation",
        "kind",
        "state",
        "amount",
        "next",
        "due",
        "calls",
        "reference",
        "code",
        "note",
    ];
    out.list(&head, rows, none);
}
