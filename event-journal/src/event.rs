use shared_events::contract::{OrderId, Timestamp};

/// An event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its type, such as `OrderPlaced`.
    pub event_type: String,
    /// The version of its payload's schema, such as `1`.
    pub event_version: String,
    /// JSON text, stored byte for byte.
    pub payload: String,
    /// JSON text, stored byte for byte.
    pub metadata: String,
}

/// An event as the journal holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Whose.
    pub order_id: OrderId,
    /// The order's version after it, from 1.
    pub sequence: u64,
    /// The shard it stands in.
    pub shard: u16,
    /// Its position there, from 1 and gapless.
    pub position: u64,
    /// When the writer took it; the same for everything of one batch.
    pub recorded_at: Timestamp,
    /// Its type.
    pub event_type: String,
    /// The version of its payload's schema.
    pub event_version: String,
    /// JSON text as it was appended.
    pub payload: String,
    /// JSON text as it was appended.
    pub metadata: String,
}

/// A [`StoredEvent`] whose texts are elsewhere.
pub(super) struct EventRef<'a> {
    pub(super) order_id: OrderId,
    pub(super) sequence: u64,
    pub(super) shard: u16,
    pub(super) position: u64,
    pub(super) recorded_at: Timestamp,
    pub(super) event_type: &'a str,
    pub(super) event_version: &'a str,
    pub(super) payload: &'a str,
    pub(super) metadata: &'a str,
}

impl<'a> From<&'a StoredEvent> for EventRef<'a> {
    fn from(event: &'a StoredEvent) -> Self {
        Self {
            order_id: event.order_id,
            sequence: event.sequence,
            shard: event.shard,
            position: event.position,
            recorded_at: event.recorded_at,
            event_type: &event.event_type,
            event_version: &event.event_version,
            payload: &event.payload,
            metadata: &event.metadata,
        }
    }
}

impl EventRef<'_> {
    pub(super) fn to_owned(&self) -> StoredEvent {
        StoredEvent {
            order_id: self.order_id,
            sequence: self.sequence,
            shard: self.shard,
            position: self.position,
            recorded_at: self.recorded_at,
            event_type: self.event_type.to_owned(),
            event_version: self.event_version.to_owned(),
            payload: self.payload.to_owned(),
            metadata: self.metadata.to_owned(),
        }
    }
}

/// An event with its link of the hash chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainedEvent {
    /// The event.
    pub event: StoredEvent,
    /// The stored hash; right where it equals [`chain_hash`](super::chain_hash) of the hash before
    /// and the event.
    pub hash: [u8; 32],
}

/// What an append brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The order's version now.
    pub version: u64,
    /// The shard.
    pub shard: u16,
    /// The position of the last event.
    pub position: u64,
    /// When.
    pub recorded_at: Timestamp,
}

/// An order whose history is impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Which.
    pub order_id: OrderId,
    /// Why, as it was found last.
    pub reason: String,
    /// When it was found first.
    pub since: Timestamp,
}
