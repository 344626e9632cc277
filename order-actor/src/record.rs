//! The stored form of an event: the typed event and its metadata.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use shared_events::contract::{
    Mark, NameField, OrderId, OrderNames, RequestId, Subject, Timestamp, json_place,
};
use shared_events::stream::Item;

use crate::domain::bounds::EVENTS_MAX;
use crate::domain::{By, Event, Order};
use crate::journal::{
    EVENTS_PER_STREAM_MAX, JournalError, NewEvent, SharedEvent, StoredEvent, StreamId, UniqueKey,
};
use crate::upcast::{UPCASTS, upcast};

// The journal accepts as many events as an order may have.
const _: () = assert!(EVENTS_MAX == EVENTS_PER_STREAM_MAX);

/// The cause of an event, stored beside its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The caller.
    pub by: By,
    /// The request id, so that the journal alone identifies a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// The fingerprint of the command (see [`Fingerprints`](crate::journal::Fingerprints)), so that
    /// another command under the same request id is detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The fact that caused the command, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<String>,
    /// W3C trace context of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What other systems added to that trace (W3C `tracestate`), where its caller sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// An event read from the journal. Readers share its parts, so that a clone is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// The order.
    pub order_id: OrderId,
    /// The order's version after it, from 1.
    pub sequence: u64,
    /// Shard of the journal.
    pub shard: u16,
    /// Position in the shard, from 1.
    pub position: u64,
    /// When the journal stored it.
    pub recorded_at: Timestamp,
    /// The mark at its position: the first bytes of the journal's hash there, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// The event.
    pub event: Arc<Event>,
    /// Its metadata.
    pub metadata: Arc<Metadata>,
    /// The order before and after it, once a reader has replayed it.
    #[serde(skip)]
    pub(crate) replayed: Replayed,
}

/// The order before and after an event.
#[derive(Clone, Debug)]
pub struct Step {
    /// Before the event.
    pub before: Arc<Order>,
    /// After the event.
    pub after: Arc<Order>,
}

/// A place for the step of an event that readers share. It follows from the history, so it takes no
/// part in comparisons.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replayed(Arc<OnceLock<Step>>);

impl Replayed {
    pub(crate) fn step(&self) -> Option<Step> {
        self.0.get().cloned()
    }

    /// Keeps the step for other readers, unless one was kept before: all of them are equal.
    pub(crate) fn keep(&self, step: Step) -> Step {
        self.0.get_or_init(|| step).clone()
    }
}

impl PartialEq for Replayed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Replayed {}

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

/// A stored event that this program cannot decode. The text contains no field values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("order/{order_id}@{sequence}: {event_type} version {event_version}: {detail}")]
pub struct DecodeError {
    /// The order.
    pub order_id: OrderId,
    /// Its version.
    pub sequence: u64,
    /// Its type, as stored.
    pub event_type: String,
    /// Its version, as stored.
    pub event_version: String,
    /// What is wrong.
    pub detail: String,
}

/// The order of a journal stream.
#[must_use]
pub const fn order_of(stream: StreamId) -> OrderId {
    OrderId::from_uuid(stream.uuid())
}

/// Decodes a stored event; upcasts old versions.
///
/// # Errors
/// [`DecodeError`] if version, payload or metadata do not fit this program.
pub fn decode(stored: &StoredEvent) -> Result<RecordedEvent, DecodeError> {
    let wrong = |detail: String| DecodeError {
        order_id: order_of(stored.stream_id),
        sequence: stored.sequence,
        event_type: stored.event_type.clone(),
        event_version: stored.event_version.clone(),
        detail,
    };
    let payload = upcast(UPCASTS, &stored.event_type, &stored.event_version, &stored.payload)
        .map_err(&wrong)?;
    let event: Event = serde_json::from_str(&payload).map_err(|error| {
        wrong(format!("payload does not fit the event type: {}", json_place(&error)))
    })?;
    if event.name() != stored.event_type {
        return Err(wrong(format!("payload is a {}", event.name())));
    }
    let metadata: Metadata = if stored.metadata.trim() == "{}" {
        // Written by another cqrs-es tool, without our metadata.
        Metadata {
            by: By::service("unknown"),
            request_id: None,
            fingerprint: None,
            causation: None,
            traceparent: None,
            tracestate: None,
        }
    } else {
        serde_json::from_str(&stored.metadata)
            .map_err(|error| wrong(format!("metadata: {}", json_place(&error))))?
    };
    Ok(RecordedEvent {
        order_id: order_of(stored.stream_id),
        sequence: stored.sequence,
        shard: stored.shard,
        position: stored.position,
        recorded_at: stored.recorded_at,
        mark: None,
        event: Arc::new(event),
        metadata: Arc::new(metadata),
        replayed: Replayed::default(),
    })
}

/// [`decode`]s an event that other readers may have decoded already. It has its mark then.
///
/// # Errors
/// As [`decode`].
pub fn decode_shared(shared: &SharedEvent) -> Result<RecordedEvent, DecodeError> {
    let recorded = shared.decoded(decode)?;
    Ok(RecordedEvent { mark: Some(Mark::of(shared.hash())), ..recorded })
}

/// Encodes an event for the journal.
///
/// # Errors
/// [`JournalError::Invalid`]; no event of this program is known to cause it.
pub fn encode(event: &Event, metadata: &Metadata) -> Result<NewEvent, JournalError> {
    let new = NewEvent::new(event.name(), Event::version_of(event.name()), event, metadata)?;
    match event {
        Event::OrderPlaced { names: Some(names), .. } => Ok(new.taking(unique_names(names)?)),
        _ => Ok(new),
    }
}

/// Ends a part of a key; no name contains it.
const PART_END: char = '\u{1f}';

/// The key in the journal of an order number.
///
/// # Errors
/// [`JournalError::Invalid`] where no order can have it.
pub fn number_key(order_number: &str) -> Result<UniqueKey, JournalError> {
    UniqueKey::new(format!("{}{PART_END}{order_number}", NameField::OrderNumber.field()))
}

/// The key in the journal of an external id.
///
/// # Errors
/// [`JournalError::Invalid`] where no order can have it.
pub fn external_key(shop: &str, external_id: &str) -> Result<UniqueKey, JournalError> {
    let field = NameField::ExternalId.field();
    UniqueKey::new(format!("{field}{PART_END}{shop}{PART_END}{external_id}"))
}

/// The keys in the journal of the names that no other order may have.
///
/// # Errors
/// [`JournalError::Invalid`]; no names of this program are known to cause it.
pub fn unique_names(names: &OrderNames) -> Result<Vec<UniqueKey>, JournalError> {
    let mut keys = Vec::new();
    if !names.order_number.is_empty() {
        keys.push(number_key(&names.order_number)?);
    }
    if !names.external_id.is_empty() {
        keys.push(external_key(&names.shop, &names.external_id)?);
    }
    Ok(keys)
}

/// Which name a key in the journal is of.
#[must_use]
pub fn name_of_key(key: &str) -> NameField {
    let of_number = format!("{}{PART_END}", NameField::OrderNumber.field());
    if key.starts_with(&of_number) { NameField::OrderNumber } else { NameField::ExternalId }
}
