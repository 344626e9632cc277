use serde_json::Value;

use super::{code, items, short_time, text};

/// The last edit of an order, with what became of it.
pub(super) fn last(order: &Value) -> String {
    let last = items(&order["edits"]).last();
    last.map_or_else(String::new, |edit| {
        let parts = [
            code(edit, "state", "EDIT_STATE_"),
            text(edit, "missing_skus"),
            short_time(edit, "asked_at"),
        ];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    })
}

/// What an event of an edit does to lines.
pub(super) fn changed(kind: &Value) -> String {
    let changed = items(&kind["changed"]).map(|line| {
        let units = format!("{} to {} units", text(line, "before"), text(line, "after"));
        format!("line {}: {units}", text(line, "line"))
    });
    let added = items(&kind["added"])
        .map(|line| format!("{} x {} in addition", text(line, "quantity"), text(line, "sku")));
    changed.chain(added).collect::<Vec<_>>().join(", ")
}
