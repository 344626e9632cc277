//! Whose events they are. What that is, the journal does not know.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The aggregate type of every event. The tables were made for orders, and keep the word.
pub const AGGREGATE_TYPE: &str = "order";

/// Names a stream of events, which have one version after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(Uuid);

impl StreamId {
    /// The 128 bits.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// An id that was written down earlier, whatever it is.
    pub(crate) fn recorded(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

/// Whatever has 128 bits may name a stream.
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
