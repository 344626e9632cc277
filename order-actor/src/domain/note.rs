use std::fmt;

use serde::{Deserialize, Serialize};
use shared_events::contract::Timestamp;

use super::By;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) const fn is_private(public: &bool) -> bool {
    !*public
}

/// A note as it is placed with an order. Personal data: `Debug` does not show its text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNote {
    /// Whether the customer sees it.
    #[serde(default, skip_serializing_if = "is_private")]
    pub public: bool,
    /// The text.
    pub text: String,
}

/// The text of a note that is added later: all the personal data of its event, in one object.
/// `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteText {
    /// The text.
    pub text: String,
}

/// A note of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its number, from 1.
    pub number: u32,
    /// Whether the customer sees it.
    pub public: bool,
    /// The text.
    pub note: NoteText,
    /// Who wrote it; none where it was placed with the order.
    pub by: Option<By>,
    /// When.
    pub at: Timestamp,
}

impl fmt::Debug for NewNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewNote(..)")
    }
}

impl fmt::Debug for NoteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoteText(..)")
    }
}
