use std::fmt::Display;
use std::str::FromStr;

use shared_events::contract::{Reason, TextRule};
use tonic::Status;

/// An invalid field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path, such as `lines[3].unit_price.currency_code`.
    pub field: String,
    /// Why: the domain's own reason where it has one, otherwise [`Violations::INVALID_FIELD`].
    pub reason: Reason,
    /// What a valid value is; never the value, which may be personal data.
    pub description: String,
}

/// All invalid fields of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// The reason of invalid fields for which the domain has none of its own.
    pub const INVALID_FIELD: Reason = Reason::InvalidField;

    /// The most violations that a status shows.
    pub const SHOWN_MAX: usize = 20;

    /// One violation alone.
    #[must_use]
    pub fn one(field: &str, reason: Reason, description: &str) -> Self {
        let mut one = Self::default();
        one.add(field, reason, description);
        one
    }

    /// Every violation, in the order of the fields.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }

    /// Adds all violations of another part of the request.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a violation of a field.
    pub fn add(&mut self, field: impl Display, reason: Reason, description: impl Display) {
        let (field, description) = (field.to_string(), description.to_string());
        self.0.push(Violation { field, reason, description });
    }

    /// Adds a violation with the general reason.
    pub fn wrong(&mut self, field: impl Display, description: impl Display) {
        self.add(field, Self::INVALID_FIELD, description);
    }

    /// Parses a text; where it is invalid, adds a violation.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, field: &str, text: &str) -> Option<T> {
        let required = if text.is_empty() { "required; " } else { "" };
        text.parse()
            .map_err(|error: T::Err| self.wrong(field, format_args!("{required}{error}")))
            .ok()
    }

    /// The reason of an operator's action as it is stored, perhaps none; where it is invalid, adds a
    /// violation. Blanks and breaks at its ends are cut off first: it may come from a file.
    pub fn reason(&mut self, field: &str, text: &str) -> String {
        let stored = TextRule::reason().stored(text.trim());
        stored.map_err(|error| self.wrong(field, error)).unwrap_or_default()
    }

    /// Ends the checks of a request.
    ///
    /// # Errors
    /// All violations, if there are any.
    pub fn none_or(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// What a value of an enumeration may be: the names of its values without their prefix.
#[must_use]
pub fn one_of<E: TryFrom<i32>>(name: impl Fn(&E) -> &'static str) -> String {
    /// No enumeration has a higher number.
    const NUMBER_MAX: i32 = 100;
    let named = |number| E::try_from(number).ok().map(|value| name(&value));
    let prefix = named(0).and_then(|zero| zero.strip_suffix("UNSPECIFIED")).unwrap_or_default();
    let short = |name: &'static str| name.strip_prefix(prefix).unwrap_or(name);
    let names: Vec<_> = (1..=NUMBER_MAX).filter_map(named).map(short).collect();
    format!("one of {}", names.join(", "))
}

/// A refusal for one invalid field: its path, and what a valid value is.
#[must_use]
pub fn violation(field: &str, description: &str) -> Status {
    Violations::one(field, Violations::INVALID_FIELD, description).into()
}

/// The one value that a request consists of, or the refusal of its field.
///
/// # Errors
/// `INVALID_ARGUMENT` with the field.
pub fn parsed<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Status> {
    let mut violations = Violations::default();
    violations.parsed(field, text).ok_or_else(|| violations.into())
}

#[cfg(test)]
mod tests {
    use shared_events::contract::REASON_MAX;

    use super::*;

    #[test]
    fn a_reason_is_stored_in_one_spelling() {
        let mut violations = Violations::default();
        for (sent, stored) in [("", ""), (" \n", ""), (" u\u{308}ber\n", "\u{fc}ber")] {
            assert_eq!(violations.reason("reason", sent), stored, "{sent:?}");
        }
        // Characters are counted as they are stored.
        let long = "u\u{308}".repeat(REASON_MAX);
        assert_eq!(violations.reason("reason", &long), "\u{fc}".repeat(REASON_MAX));
        assert!(violations.is_empty(), "{violations:?}");
        for wrong in ["two\nlines", "a\u{202e}b", &"a".repeat(REASON_MAX + 1)] {
            let mut violations = Violations::default();
            violations.reason("requests[1].reason", wrong);
            let fields: Vec<&str> = violations.iter().map(|one| one.field.as_str()).collect();
            assert_eq!(fields, ["requests[1].reason"], "{wrong:?}");
        }
    }
}
