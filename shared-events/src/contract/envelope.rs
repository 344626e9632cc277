use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Contact, FactBody, FactId, Mark, Origin, Subject, Timestamp, json_place, trace_id};

/// A published fact: CloudEvents 1.0 attributes around a body. Its JSON is the CloudEvents JSON
/// format, with `type` and `data` from the body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Envelope")]
pub struct Fact {
    /// CloudEvents version: always `1.0`.
    pub specversion: SpecVersion,
    /// Unique and repeatable; see [`FactId`].
    pub id: FactId,
    /// The service that publishes it.
    pub source: Origin,
    /// When it happened, by the clock of that service.
    pub time: Timestamp,
    /// What it is about; CloudEvents `subject`.
    pub subject: Subject,
    /// Version of the subject (or sequence of the service's own log) at this fact.
    pub sequence: u64,
    /// Shard of the source's log.
    pub shard: u16,
    /// Position in the shard, counted from 1 without a gap.
    pub position: u64,
    /// 0 for the first fact of a position, 1 for the second.
    pub index: u16,
    /// The id of its cause: the request, or another service's fact.
    pub causationid: Option<String>,
    /// W3C trace context of the command that caused it.
    pub traceparent: Option<String>,
    /// What other systems added to that trace for themselves (W3C `tracestate`).
    pub tracestate: Option<String>,
    /// The span in which this process handles it, if that is recorded; it is not part of the fact.
    pub handled_in: Option<Box<str>>,
    /// The mark of its position in its log; see [`Fact::mark`]. Order facts have it.
    pub mark: Option<Mark>,
    /// Its content: `type` and `data`.
    pub body: FactBody,
}

/// A fact as it is serialised.
#[derive(Serialize)]
struct Written<'a> {
    specversion: SpecVersion,
    id: FactId,
    source: Origin,
    time: Timestamp,
    subject: Subject,
    sequence: Digits,
    shard: u16,
    position: u64,
    index: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
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
            tracestate: self.tracestate.as_deref(),
            mark: self.mark,
            datacontenttype: "application/json",
            body: &self.body,
        };
        written.serialize(to)
    }
}

/// CloudEvents `sequence`, a text: texts sort as the numbers do, which are below 10^20. Facts
/// written earlier have a number there, which is still accepted.
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

/// A fact as it is deserialised: what `data` is depends on the publishing service and on `type`.
#[derive(Deserialize)]
struct Envelope {
    specversion: SpecVersion,
    id: FactId,
    source: Origin,
    time: Timestamp,
    subject: Subject,
    sequence: Digits,
    shard: u16,
    position: u64,
    index: u16,
    #[serde(default)]
    causationid: Option<String>,
    #[serde(default)]
    traceparent: Option<String>,
    #[serde(default)]
    tracestate: Option<String>,
    #[serde(default)]
    mark: Option<Mark>,
    #[serde(rename = "type")]
    kind: String,
    data: Box<RawValue>,
}

impl TryFrom<Envelope> for Fact {
    type Error = FactError;

    fn try_from(read: Envelope) -> Result<Self, FactError> {
        let body = FactBody::of(read.source, &read.kind, &read.data)?;
        if read.subject != body.subject() {
            return Err(FactError::WrongSubject { subject: read.subject });
        }
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
            tracestate: read.tracestate,
            handled_in: None,
            mark: read.mark,
            body,
        })
    }
}

/// CloudEvents `specversion`, of which one is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SpecVersion {
    /// 1.0
    #[default]
    #[serde(rename = "1.0")]
    V1,
}

/// Why JSON is not a fact that this version knows.
#[derive(Debug, thiserror::Error)]
pub enum FactError {
    /// It is malformed, or its data do not fit its type. Only where: it may be personal data.
    #[error("not a known fact: it does not fit at {0}")]
    Malformed(String),
    /// The service is not known to publish this type.
    #[error("not a known fact: {origin} publishes no {kind}")]
    UnknownType {
        /// The service.
        origin: &'static str,
        /// The type.
        kind: String,
    },
    /// Its `subject` is not what its data are about.
    #[error("not a known fact: its data are not about its subject {subject}")]
    WrongSubject {
        /// The subject.
        subject: Subject,
    },
}

impl From<serde_json::Error> for FactError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(json_place(&error))
    }
}

impl Fact {
    /// A fact at its position: shard, position, and its index there. Its body has the publishing
    /// service and the subject.
    #[must_use]
    pub fn new(
        id: FactId,
        (shard, position, index): (u16, u64, u16),
        sequence: u64,
        time: Timestamp,
        body: FactBody,
    ) -> Self {
        Self {
            specversion: SpecVersion::V1,
            id,
            source: body.source(),
            time,
            subject: body.subject(),
            sequence,
            shard,
            position,
            index,
            causationid: None,
            traceparent: None,
            tracestate: None,
            handled_in: None,
            mark: None,
            body,
        }
    }

    /// The same fact with its cause and the trace of the command behind it.
    #[must_use]
    pub fn caused(self, causationid: Option<String>, traceparent: Option<String>) -> Self {
        Self { causationid, traceparent, ..self }
    }

    /// The trace of what follows from it: the span in which it is handled, else that of the command
    /// behind it.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.handled_in.as_deref().or(self.traceparent.as_deref())
    }

    /// The same fact with what other systems added to its trace.
    #[must_use]
    pub fn stated(self, tracestate: Option<String>) -> Self {
        Self { tracestate, ..self }
    }

    /// What other systems added to the trace of what follows from it (W3C `tracestate`): nothing
    /// where that is another trace than the fact's own.
    #[must_use]
    pub fn trace_state(&self) -> Option<&str> {
        let stated = self.tracestate.as_deref()?;
        let own = trace_id(self.traceparent.as_deref()?)?;
        (trace_id(self.trace()?)? == own).then_some(stated)
    }

    /// The same fact with the mark of its position in its log.
    #[must_use]
    pub fn marked(self, mark: Option<Mark>) -> Self {
        Self { mark, ..self }
    }

    /// The mark that a reader remembers of its position, to recognise the log: that of the
    /// journal's hash for order facts, of the fact's own id for those of other services. None in
    /// facts that were published before there were marks.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        match self.source {
            Origin::Orders => self.mark,
            Origin::Inventory | Origin::Notifications | Origin::Payments => {
                Some(Mark::of(self.id.uuid().as_bytes()))
            }
        }
    }

    /// The same fact without what says how the customer is reached, for readers that do not need
    /// it.
    #[must_use]
    pub fn without_contact(mut self) -> Self {
        if let FactBody::Order(fact) = &mut self.body {
            fact.order_mut().contact = Contact::default();
        }
        self
    }

    /// From CloudEvents JSON.
    ///
    /// # Errors
    /// [`FactError`] where the JSON is malformed or of an unknown type.
    pub fn from_json(json: &str) -> Result<Self, FactError> {
        serde_json::from_str::<Envelope>(json)?.try_into()
    }

    /// To CloudEvents JSON.
    ///
    /// # Errors
    /// [`FactError`], which no value of this type is known to cause.
    pub fn to_json(&self) -> Result<String, FactError> {
        Ok(serde_json::to_string(self)?)
    }
}
