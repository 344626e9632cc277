//! An event as the journal keeps it, with its types: the private event, and why it happened.

use serde::{Deserialize, Serialize};
use shared_events::contract::{Mark, OrderId, RequestId, Subject, Timestamp};
use shared_events::stream::Item;

use crate::domain::bounds::EVENTS_MAX;
use crate::domain::{By, Event};
use crate::journal::{EVENTS_PER_STREAM_MAX, JournalError, NewEvent, StoredEvent, StreamId};
use crate::upcast::{LIFTS, lifted};

// What an order may have, the journal takes.
const _: () = assert!(EVENTS_MAX == EVENTS_PER_STREAM_MAX);

/// Why an event happened; stands beside its payload in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Who asked.
    pub by: By,
    /// The request, so that a retry is recognised from the journal alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// What the request said (see [`Fingerprints`](crate::journal::Fingerprints)), so that another
    /// command under the same request id is recognised too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The fact that caused the command, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<String>,
    /// W3C trace context of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// An event of the journal, read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// Whose.
    pub order_id: OrderId,
    /// The order's version after it, from 1.
    pub sequence: u64,
    /// Shard of the journal.
    pub shard: u16,
    /// Position in the shard, from 1.
    pub position: u64,
    /// When the journal took it.
    pub recorded_at: Timestamp,
    /// What stands at its position: the beginning of the journal's hash there, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// What happened.
    pub event: Event,
    /// Why.
    pub metadata: Metadata,
}

impl Item for RecordedEvent {
    fn shard(&self) -> u16 {
        self.shard
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn index(&self) -> u16 {
        0
    }

    fn subject(&self) -> Subject {
        self.order_id.into()
    }

    fn kind(&self) -> &str {
        self.event.name()
    }
}

/// A stored event that this program cannot read. The text names no field's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("order/{order_id}@{sequence}: {event_type} version {event_version}: {detail}")]
pub struct DecodeError {
    /// Whose.
    pub order_id: OrderId,
    /// Which.
    pub sequence: u64,
    /// Its type, as stored.
    pub event_type: String,
    /// Its version, as stored.
    pub event_version: String,
    /// What is wrong.
    pub detail: String,
}

/// The order whose events a stream of the journal is.
#[must_use]
pub const fn order_of(stream: StreamId) -> OrderId {
    OrderId::from_uuid(stream.uuid())
}

/// Reads a stored event, lifting old versions.
///
/// # Errors
/// [`DecodeError`] where version, payload or metadata are not of this program's making.
pub fn decode(stored: &StoredEvent) -> Result<RecordedEvent, DecodeError> {
    let wrong = |detail: String| DecodeError {
        order_id: order_of(stored.stream_id),
        sequence: stored.sequence,
        event_type: stored.event_type.clone(),
        event_version: stored.event_version.clone(),
        detail,
    };
    // serde's errors may quote a value, so only where it went wrong is told.
    let at = |error: &serde_json::Error| format!("line {} column {}", error.line(), error.column());
    let payload = lifted(LIFTS, &stored.event_type, &stored.event_version, &stored.payload)
        .map_err(&wrong)?;
    let event: Event = serde_json::from_str(&payload)
        .map_err(|error| wrong(format!("payload is not such an event: {}", at(&error))))?;
    if event.name() != stored.event_type {
        return Err(wrong(format!("payload is a {}", event.name())));
    }
    let metadata: Metadata = if stored.metadata.trim() == "{}" {
        // Written by another cqrs-es tool, which knows nothing of ours.
        Metadata {
            by: By::service("unknown"),
            request_id: None,
            fingerprint: None,
            causation: None,
            traceparent: None,
        }
    } else {
        serde_json::from_str(&stored.metadata)
            .map_err(|error| wrong(format!("metadata: {}", at(&error))))?
    };
    Ok(RecordedEvent {
        order_id: order_of(stored.stream_id),
        sequence: stored.sequence,
        shard: stored.shard,
        position: stored.position,
        recorded_at: stored.recorded_at,
        mark: None,
        event,
        metadata,
    })
}

/// Writes an event for the journal.
///
/// # Errors
/// [`JournalError::Invalid`], which no event of this program is known to cause.
pub fn encode(event: &Event, metadata: &Metadata) -> Result<NewEvent, JournalError> {
    NewEvent::new(event.name(), Event::VERSION, event, metadata)
}
