//! How answers are shown: small tables and `key: value` for people, JSON for programs.
//! Never here: what an answer means.

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;
use serde_json::{Value, json};

/// Where answers go and in which form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output {
    /// Whether programs read it: one JSON value per answer, a line each.
    pub json: bool,
}

impl Output {
    /// In this form.
    #[must_use]
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes a line. A reader who has gone away is no error.
    pub fn line(&self, text: impl AsRef<str>) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}", text.as_ref());
        let _ = out.flush();
    }

    /// Writes a value as one line of JSON.
    pub fn value(&self, value: &impl Serialize) {
        self.line(serde_json::to_string(value).unwrap_or_else(|error| error.to_string()));
    }

    /// Writes a value as JSON for programs, or has `show` write it for people.
    pub fn answer(&self, value: &Value, show: impl FnOnce(&Self, &Value)) {
        if self.json { self.value(value) } else { show(self, value) }
    }

    /// Writes `key: value` lines, keys aligned; empty values are left out.
    pub fn pairs<'a>(&self, pairs: impl IntoIterator<Item = (&'a str, String)>) {
        let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let width = pairs.iter().map(|(key, _)| key.len()).max().unwrap_or(0) + 1;
        for (key, value) in pairs {
            self.line(format!("{:<width$} {value}", format!("{key}:")));
        }
    }

    /// Writes a small table.
    pub fn table(&self, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(head.to_vec());
        table.add_rows(rows);
        self.line(table.to_string());
    }

    /// Writes why a command did not succeed, to standard error.
    pub fn failure(&self, failure: &super::failure::Failure) {
        let mut out = std::io::stderr().lock();
        let text = if self.json {
            json!({ "error": failure.to_json() }).to_string()
        } else {
            failure.to_string()
        };
        let _ = writeln!(out, "{text}");
    }
}
