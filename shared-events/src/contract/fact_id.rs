use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ParseIdError, RequestId, Subject, Timestamp};

/// The service that publishes a fact, as CloudEvents `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// The order service.
    #[serde(rename = "/ordinal/orders")]
    Orders,
    /// The stock service.
    #[serde(rename = "/ordinal/inventory")]
    Inventory,
    /// The message service.
    #[serde(rename = "/ordinal/notifications")]
    Notifications,
    /// The payment service.
    #[serde(rename = "/ordinal/payments")]
    Payments,
}

impl Origin {
    /// The URI reference used as CloudEvents `source`.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Orders => "/ordinal/orders",
            Self::Inventory => "/ordinal/inventory",
            Self::Notifications => "/ordinal/notifications",
            Self::Payments => "/ordinal/payments",
        }
    }
}

/// A fact's id: the same for the same fact however often it is published or read, and different for
/// every other one, even where a log that was set back reuses a position, or another installation
/// has the same position. A UUID (version 5 of its inputs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FactId(Uuid);

/// The namespace of fact ids, chosen once. Another value would make every fact a new one.
const FACTS: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_6661_6374_7300);

impl FactId {
    /// The id of the `index`-th fact of an event. The event is identified by its subject and
    /// version, its position and the time when the journal took it (microseconds since 1970).
    #[must_use]
    pub fn of_event(
        source: Origin,
        (subject, sequence): (Subject, u64),
        (shard, position): (u16, u64),
        recorded_at: Timestamp,
        index: u16,
    ) -> Self {
        let (source, at) = (source.uri(), recorded_at.micros());
        let name = format!("{source}/{subject}/{sequence}/{shard}/{position}/{at}/{index}");
        Self(Uuid::new_v5(&FACTS, name.as_bytes()))
    }

    /// The id of the `nth` fact of this kind that a service publishes because of another one: the
    /// same again where that service has to follow it a second time.
    #[must_use]
    pub fn caused_by(source: Origin, cause: Self, kind: &str, nth: u16) -> Self {
        let name = format!("{}/{cause}/{kind}/{nth}", source.uri());
        Self(Uuid::new_v5(&FACTS, name.as_bytes()))
    }

    /// Facts that a service publishes because of another one, at most: so few ids are tried by
    /// [`is_caused_by`](Self::is_caused_by).
    pub const CAUSED_MAX: u16 = 16;

    /// Whether this is the id of a fact of this kind that a service published because of `cause`.
    #[must_use]
    pub fn is_caused_by(self, source: Origin, cause: Self, kind: &str) -> bool {
        (0..Self::CAUSED_MAX).any(|nth| Self::caused_by(source, cause, kind, nth) == self)
    }

    /// The id of a fact of this kind that a service publishes once about one of its own things,
    /// such as a message that was sent.
    #[must_use]
    pub fn once(source: Origin, thing: Uuid, kind: &str) -> Self {
        let name = format!("{}/{thing}/{kind}", source.uri());
        Self(Uuid::new_v5(&FACTS, name.as_bytes()))
    }

    /// An id as facts had earlier: from a position alone. Facts that were published under such an
    /// id keep it.
    #[must_use]
    pub fn at(source: Origin, shard: u16, position: u64, index: u16) -> Self {
        let name = format!("{}/{shard}/{position}/{index}", source.uri());
        Self(Uuid::new_v5(&FACTS, name.as_bytes()))
    }

    /// The 128 bits.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// This id as the request id of the command that reacts to the fact.
    #[must_use]
    pub const fn as_request_id(self) -> RequestId {
        RequestId::from_uuid(self.0)
    }
}

impl fmt::Display for FactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for FactId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| ParseIdError::NoUuid)
    }
}
