use serde_json::Value;

use super::{code, items, next_page, short_time, text};
use crate::client::Output;

/// One report of a provider.
pub fn settlement(out: &Output, answer: &Value) {
    listed(out, [&answer["settlement"]]);
}

/// Reports of providers.
pub fn settlements(out: &Output, answer: &Value) {
    listed(out, items(&answer["settlements"]));
    next_page(out, answer);
}

/// One line of a report.
pub fn settlement_line(out: &Output, answer: &Value) {
    lines(out, [&answer["line"]]);
}

/// Lines of reports.
pub fn settlement_lines(out: &Output, answer: &Value) {
    lines(out, items(&answer["lines"]));
    next_page(out, answer);
}

/// What no report has named.
pub fn unsettled(out: &Output, answer: &Value) {
    let rows = items(&answer["operations"]).map(|one| {
        vec![
            text(one, "psp"),
            text(one, "operation_id"),
            code(one, "kind", "OPERATION_KIND_"),
            text(one, "amount"),
            text(one, "order_id"),
            short_time(one, "done_time"),
        ]
    });
    let head = ["provider", "operation", "kind", "amount", "order", "done"];
    out.list(&head, rows, "nothing is missing");
    next_page(out, answer);
}

fn listed<'a>(out: &Output, all: impl IntoIterator<Item = &'a Value>) {
    let rows = all.into_iter().map(|one| {
        vec![
            text(one, "settlement_id"),
            text(one, "psp"),
            text(one, "file_name"),
            text(one, "lines"),
            text(one, "new_lines"),
            text(one, "matched"),
            text(one, "discrepancies"),
            text(one, "unknown"),
            text(one, "proved"),
            short_time(one, "import_time"),
            text(one, "asked_by"),
        ]
    });
    let head = [
        "report",
        "provider",
        "file",
        "lines",
        "new",
        "matched",
        "discrepancies",
        "unknown",
        "proved",
        "imported",
        "by",
    ];
    out.list(&head, rows, "no reports");
}

fn lines<'a>(out: &Output, all: impl IntoIterator<Item = &'a Value>) {
    let rows = all.into_iter().map(|one| {
        vec![
            text(one, "psp"),
            text(one, "line_id"),
            code(one, "kind", "SETTLEMENT_LINE_KIND_"),
            code(one, "state", "SETTLEMENT_LINE_STATE_"),
            text(one, "gross"),
            text(one, "fee"),
            text(one, "net"),
            text(one, "settled"),
            text(one, "off_by"),
            text(one, "psp_reference"),
            text(one, "order_id"),
            text(one, "note"),
        ]
    });
    let head = [
        "provider",
        "line",
        "kind",
        "state",
        "gross",
        "fee",
        "net",
        "settled",
        "off by",
        "reference",
        "order",
        "note",
    ];
    out.list(&head, rows, "no lines");
}
