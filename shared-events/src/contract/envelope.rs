use std::fmt;
use std::str::FromStr;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{InventoryFact, Mark, NotificationFact, OrderFact, OrderId, RequestId, Timestamp};

/// The service that promises a fact, as CloudEvents `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FactSource {
    /// The order service.
    #[serde(rename = "/ordinal/orders")]
    Orders,
    /// The stock service.
    #[serde(rename = "/ordinal/inventory")]
    Inventory,
    /// The message service.
    #[serde(rename = "/ordinal/notifications")]
    Notifications,
}

impl FactSource {
    /// The URI reference that stands in CloudEvents `source`.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Orders => "/ordinal/orders",
            Self::Inventory => "/ordinal/inventory",
            Self::Notifications => "/ordinal/notifications",
        }
    }
}

/// A fact's id: the same for the same fact however often it is published or read, and another for
/// every other one, also where a log that was set back gives a place to something else, or another
/// installation has the same place. A UUID (version 5 of what it is made of).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FactId(Uuid);

/// The namespace of fact ids, chosen once. Another value would make every fact a new one.
const FACTS: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_6661_6374_7300);

impl FactId {
    /// The id of the `index`-th fact that an event tells. The event is known by its order and version,
    /// by where it stands and by when the journal took it (microseconds since 1970).
    #[must_use]
    pub fn of_event(
        source: FactSource,
        (order_id, sequence): (OrderId, u64),
        (shard, position): (u16, u64),
        recorded_at: Timestamp,
        index: u16,
    ) -> Self {
        let (source, at) = (source.uri(), recorded_at.micros());
        let name = format!("{source}/{order_id}/{sequence}/{shard}/{position}/{at}/{index}");
        Self(Uuid::new_v5(&FACTS, name.as_bytes()))
    }

    /// The id of the `nth` fact of this kind that a service tells because of another one: the same
    /// again where that service has to follow it a second time.
    #[must_use]
    pub fn caused_by(source: FactSource, cause: Self, kind: &str, nth: u16) -> Self {
        let name = format!("{}/{cause}/{kind}/{nth}", source.uri());
        Self(Uuid::new_v5(&FACTS, name.as_bytes()))
    }

    /// As facts were named before: by a position alone. What was told under such an id keeps it.
    #[must_use]
    pub fn at(source: FactSource, shard: u16, position: u64, index: u16) -> Self {
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
    type Err = super::ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| super::ParseIdError::NoUuid)
    }
}

/// The body of a fact, by the service that promises it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FactBody {
    /// About an order.
    Order(OrderFact),
    /// About stock.
    Inventory(InventoryFact),
    /// About a message.
    Notification(NotificationFact),
}

impl FactBody {
    /// What a service promises by CloudEvents `type` and `data`. Behind its type, data is read without a
    /// detour; both are JSON by themselves, so the whole is too.
    fn of(source: FactSource, kind: &str, data: &RawValue) -> Result<Self, FactError> {
        let kind = serde_json::to_string(kind)?;
        let json = format!(r#"{{"type":{kind},"data":{data}}}"#);
        Ok(match source {
            FactSource::Orders => Self::Order(serde_json::from_str(&json)?),
            FactSource::Inventory => Self::Inventory(serde_json::from_str(&json)?),
            FactSource::Notifications => Self::Notification(serde_json::from_str(&json)?),
        })
    }

    /// The versioned type name, CloudEvents `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Order(fact) => fact.kind(),
            Self::Inventory(fact) => fact.kind(),
            Self::Notification(fact) => fact.kind(),
        }
    }

    /// The order it is about: every fact is about one.
    #[must_use]
    pub const fn order_id(&self) -> OrderId {
        match self {
            Self::Order(fact) => fact.order().order_id,
            Self::Inventory(fact) => fact.order_id(),
            Self::Notification(fact) => fact.order_id(),
        }
    }
}

/// What a service promises others: CloudEvents 1.0 attributes around a body. Its JSON is the
/// CloudEvents JSON format, with `type` and `data` from the body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Envelope")]
pub struct Fact {
    /// CloudEvents version: always `1.0`.
    pub specversion: SpecVersion,
    /// Unique and repeatable; see [`FactId`].
    pub id: FactId,
    /// Who promises it.
    pub source: FactSource,
    /// When it happened, by the service that promises it.
    pub time: Timestamp,
    /// The order it is about; CloudEvents `subject`.
    pub subject: OrderId,
    /// Version of the order (or sequence of the service's own log) at this fact.
    pub sequence: u64,
    /// Shard of the source's log.
    pub shard: u16,
    /// Position in the shard, counted from 1 without a gap.
    pub position: u64,
    /// 0 for the first fact of a position, 1 for the second.
    pub index: u16,
    /// The id of what caused it: the request, or another service's fact.
    pub causationid: Option<String>,
    /// W3C trace context of the command behind it.
    pub traceparent: Option<String>,
    /// What stands at its position of its log; see [`Fact::mark`]. Order facts carry it.
    pub mark: Option<Mark>,
    /// What it says: `type` and `data`.
    pub body: FactBody,
}

/// A fact as it is written.
#[derive(Serialize)]
struct Written<'a> {
    specversion: SpecVersion,
    id: FactId,
    source: FactSource,
    time: Timestamp,
    subject: OrderId,
    sequence: Digits,
    shard: u16,
    position: u64,
    index: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<Mark>,
    datacontenttype: &'static str,
    #[serde(flatten)]
    body: &'a FactBody,
}

impl Serialize for Fact {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            specversion: self.specversion,
            id: self.id,
            source: self.source,
            time: self.time,
            subject: self.subject,
            sequence: Digits(self.sequence),
            shard: self.shard,
            position: self.position,
            index: self.index,
            causationid: self.causationid.as_deref(),
            traceparent: self.traceparent.as_deref(),
            mark: self.mark,
            datacontenttype: "application/json",
            body: &self.body,
        };
        written.serialize(to)
    }
}

/// CloudEvents `sequence`, a text: texts sort as the numbers do, which are below 10^20. Facts of
/// before had a number there, which is read still.
#[derive(Clone, Copy)]
struct Digits(u64);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:020}", self.0))
    }
}

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self(0))
    }
}

impl Visitor<'_> for Digits {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number in decimal digits")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self, E> {
        Ok(Self(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self, E> {
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse());
        match number {
            Some(Ok(number)) => Ok(Self(number)),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

/// A fact as it is read: what `data` is depends on who promises it, and on `type`.
#[derive(Deserialize)]
struct Envelope {
    specversion: SpecVersion,
    id: FactId,
    source: FactSource,
    time: Timestamp,
    subject: OrderId,
    sequence: Digits,
    shard: u16,
    position: u64,
    index: u16,
    #[serde(default)]
    causationid: Option<String>,
    #[serde(default)]
    traceparent: Option<String>,
    #[serde(default)]
    mark: Option<Mark>,
    #[serde(rename = "type")]
    kind: String,
    data: Box<RawValue>,
}

impl TryFrom<Envelope> for Fact {
    type Error = FactError;

    fn try_from(read: Envelope) -> Result<Self, FactError> {
        Ok(Self {
            specversion: read.specversion,
            id: read.id,
            source: read.source,
            time: read.time,
            subject: read.subject,
            sequence: read.sequence.0,
            shard: read.shard,
            position: read.position,
            index: read.index,
            causationid: read.causationid,
            traceparent: read.traceparent,
            mark: read.mark,
            body: FactBody::of(read.source, &read.kind, &read.data)?,
        })
    }
}

/// CloudEvents `specversion`, of which there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SpecVersion {
    /// 1.0
    #[default]
    #[serde(rename = "1.0")]
    V1,
}

/// The JSON is not a fact that this version knows.
#[derive(Debug, thiserror::Error)]
#[error("not a known fact: {0}")]
pub struct FactError(#[from] serde_json::Error);

impl Fact {
    /// What a reader remembers of its place, to know the log again: that of the journal's hash for
    /// facts about orders, of the fact's own id for those of other services. None in facts that
    /// were told before there were marks.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        match self.source {
            FactSource::Orders => self.mark,
            FactSource::Inventory | FactSource::Notifications => {
                Some(Mark::of(self.id.uuid().as_bytes()))
            }
        }
    }

    /// From CloudEvents JSON.
    ///
    /// # Errors
    /// [`FactError`] where the JSON is malformed or of an unknown type.
    pub fn from_json(json: &str) -> Result<Self, FactError> {
        Ok(serde_json::from_str(json)?)
    }

    /// To CloudEvents JSON.
    ///
    /// # Errors
    /// [`FactError`], which no value of this type is known to cause.
    pub fn to_json(&self) -> Result<String, FactError> {
        Ok(serde_json::to_string(self)?)
    }
}
