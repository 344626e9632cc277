//! The hash chain over all events.

use crate::event::{EventRef, StoredEvent};

/// The hash before the first event of a shard.
pub const GENESIS: [u8; 32] = [0; 32];

/// The hash of an event that follows `previous` in its shard: BLAKE3 over
///
/// 1. the previous hash (32 bytes),
/// 2. the stream id (16 bytes, big-endian as UUIDs are), then little-endian: sequence (8 bytes),
///    shard (2), position (8), `recorded_at` in microseconds since 1970 (8),
/// 3. event type, event version, payload and metadata, each as its length in bytes (8 bytes,
///    little-endian) and its UTF-8 bytes as stored.
///
/// Lengths are hashed too, so that no byte can move from one field to the next unnoticed. This
/// layout never changes: journals live longer than programs.
#[must_use]
pub fn chain_hash(previous: &[u8; 32], event: &StoredEvent) -> [u8; 32] {
    chain_hash_of(previous, &event.into())
}

pub(crate) fn chain_hash_of(previous: &[u8; 32], event: &EventRef<'_>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    hasher.update(event.stream_id.uuid().as_bytes());
    hasher.update(&event.sequence.to_le_bytes());
    hasher.update(&event.shard.to_le_bytes());
    hasher.update(&event.position.to_le_bytes());
    hasher.update(&event.recorded_at.micros().to_le_bytes());
    for field in [event.event_type, event.event_version, event.payload, event.metadata] {
        hasher.update(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
