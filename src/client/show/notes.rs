use serde_json::Value;

use super::{items, short_time, text};
use crate::client::Output;

/// Notes of an order, in a table of their own.
pub(super) fn notes(out: &Output, order: &Value) {
    if items(&order["notes"]).next().is_none() {
        return;
    }
    out.table(
        &["note", "for", "written at", "by", "text"],
        items(&order["notes"]).map(|note| {
            let role = text(note, "role").to_lowercase();
            let by = [role, text(note, "subject")].join(":");
            let readers = if note["public"] == true { "everybody" } else { "staff" };
            vec![
                text(note, "note"),
                readers.to_owned(),
                short_time(note, "written_at"),
                by.trim_matches(':').to_owned(),
                text(note, "text"),
            ]
        }),
    );
}
