//! Deliberate mistakes, to show that the checks find them. Compiled in only with the feature
//! `planted-bugs`; even then nothing is wrong unless the environment asks for it.

use std::sync::OnceLock;

/// The variable that names the mistake to make: `answer-before-append`, `append-without-epoch` or
/// `cursor-before-effect`.
const VARIABLE: &str = "ORDINAL_PLANTED_BUG";

/// Whether to make this mistake.
#[must_use]
pub fn is(bug: &str) -> bool {
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    PLANTED.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(bug)
}
