//! Writes answers: small tables and `key: value` lines for people, JSON for programs.
//!
//! Shown texts come from customers, operators and servers. Everything in them that a terminal does
//! not print as itself is escaped here, and only here.
//! Never here: what an answer means.

use std::borrow::Cow;
use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;
use serde_json::{Value, json};

/// The output form of answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output {
    /// JSON for programs: one value per line.
    pub json: bool,
}

impl Output {
    /// Output in this form.
    #[must_use]
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes one line, escaped. A closed pipe is not an error.
    pub fn line(&self, text: impl AsRef<str>) {
        self.raw(&printable(text.as_ref()));
    }

    /// Writes a text of several lines.
    pub fn lines(&self, text: &str) {
        for line in text.lines() {
            self.line(line);
        }
    }

    /// Writes text of this program without escaping, such as a shell script.
    pub fn raw(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// Writes a value as one line of JSON.
    pub fn value(&self, value: &impl Serialize) {
        self.raw(&serde_json::to_string(value).unwrap_or_else(|error| error.to_string()));
    }

    /// Writes a value as JSON for programs, or has `show` write it for people.
    pub fn answer(&self, value: &Value, show: impl FnOnce(&Self, &Value)) {
        if self.json { self.value(value) } else { show(self, value) }
    }

    /// Writes aligned `key: value` lines, without empty values.
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
        let cells = |row: Vec<String>| row.into_iter().map(|cell| printable(&cell).into_owned());
        table.add_rows(rows.into_iter().map(|row| cells(row).collect::<Vec<_>>()));
        self.raw(&table.to_string());
    }

    /// Writes a table without columns that are empty in all rows; without rows, the text `none`.
    pub fn list(&self, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>, none: &str) {
        let rows: Vec<Vec<String>> = rows.into_iter().collect();
        if rows.is_empty() {
            return self.line(none);
        }
        let has_values = |column: usize| {
            rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()))
        };
        let kept: Vec<bool> = (0..head.len()).map(has_values).collect();
        let keep = |column: usize| kept.get(column).copied().unwrap_or(false);
        let head: Vec<&str> = (0..).zip(head).filter(|(n, _)| keep(*n)).map(|(_, h)| *h).collect();
        let cells = |row: Vec<String>| {
            (0..).zip(row).filter(|(n, _)| keep(*n)).map(|(_, cell)| cell).collect::<Vec<_>>()
        };
        self.table(&head, rows.into_iter().map(cells).collect::<Vec<_>>());
    }

    /// Writes a failure to standard error.
    pub fn failure(&self, failure: &super::failure::Failure) {
        let mut out = std::io::stderr().lock();
        if self.json {
            let _ = writeln!(out, "{}", json!({ "error": failure.to_json() }));
            return;
        }
        for line in failure.lines() {
            let _ = writeln!(out, "{}", printable(&line));
        }
    }
}

/// Breaks a text into lines of at most `width` characters.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Escapes everything that a terminal does not print as itself: control characters, line breaks,
/// direction marks, invisible and unassigned characters.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => shown.push(character),
            // Wide and non-breaking spaces, as addresses have them.
            '\u{a0}' | '\u{202f}' | '\u{3000}' => shown.push(character),
            // Escaped after another character, so that a combining mark stays as it is.
            _ => shown.extend(String::from_iter(['x', character]).escape_debug().skip(1)),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_could_forge_output_are_escaped() {
        for (text, shown) in [
            ("ok\rstatus: CONFIRMED", r"ok\rstatus: CONFIRMED"),
            ("a\nb\tc", r"a\nb\tc"),
            ("\u{1b}[31mred\u{7}", r"\u{1b}[31mred\u{7}"),
            ("\u{9b}31m\u{7f}", r"\u{9b}31m\u{7f}"),
            ("a\u{202e}b\u{2066}c\u{200f}", r"a\u{202e}b\u{2066}c\u{200f}"),
            ("a\u{200b}b\u{feff}\u{2028}\u{2029}", r"a\u{200b}b\u{feff}\u{2028}\u{2029}"),
            ("\u{e0041}\u{e000}\u{ffff}", r"\u{e0041}\u{e000}\u{ffff}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn ordinary_text_is_not_escaped() {
        for text in [
            "Straße 1, \"Zürich\"\\'",
            "e\u{301}",
            "東京都\u{3000}港区",
            "שלום",
            "Ωμέγα",
            "£ 4\u{a0}€",
            "🙂",
        ] {
            assert_eq!(printable(text), text);
        }
    }
}
