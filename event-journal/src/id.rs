//! Stream ids. The journal does not know what a stream is about.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The aggregate type of every event. The tables were created for orders, and keep the word.
pub const AGGREGATE_TYPE: &str = "order";

/// The id of a stream of events, which has consecutive versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(Uuid);

impl StreamId {
    /// The 128 bits.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// Parses an id from a table, whatever kind of UUID it is.
    pub(crate) fn recorded(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

/// Any 128-bit id may name a stream.
impl<T: Into<Uuid>> From<T> for StreamId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
