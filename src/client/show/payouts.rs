use serde_json::Value;

use super::{code, items, next_page, short_time, text};
use crate::client::Output;

/// A run of payouts.
pub fn payout_run(out: &Output, answer: &Value) {
    let run = &answer["run"];
    let row = vec![
        text(run, "run_id"),
        text(run, "seller"),
        text(run, "currency_code"),
        text(run, "psp"),
        code(run, "state", "PAYOUT_RUN_STATE_"),
        text(run, "payouts"),
        short_time(run, "start_time"),
        short_time(run, "end_time"),
        text(run, "note"),
    ];
    let head =
        ["run", "seller", "currency", "provider", "state", "payouts", "began", "ended", "note"];
    out.list(&head, [row], "no run");
}

/// One payout.
pub fn payout(out: &Output, answer: &Value) {
    listed(out, [&answer["payout"]]);
}

/// Payouts.
pub fn payouts(out: &Output, answer: &Value) {
    listed(out, items(&answer["payouts"]));
    next_page(out, answer);
}

fn listed<'a>(out: &Output, all: impl IntoIterator<Item = &'a Value>) {
    let rows = all.into_iter().map(|one| {
        vec![
            text(one, "payout_id"),
            text(one, "seller"),
            text(one, "amount"),
            text(one, "psp"),
            code(one, "state", "PAYOUT_STATE_"),
            text(one, "code"),
            text(one, "psp_reference"),
            text(one, "stage"),
            short_time(one, "due_time"),
            short_time(one, "update_time"),
            text(one, "note"),
        ]
    });
    let head = [
        "payout",
        "seller",
        "amount",
        "provider",
        "state",
        "code",
        "reference",
        "next",
        "due",
        "at",
        "note",
    ];
    out.list(&head, rows, "no payouts");
}
