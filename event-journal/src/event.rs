//! Events as they are appended and as they are read back.

use serde::Serialize;
use serde::de::IgnoredAny;
use shared_events::contract::Timestamp;

use crate::error::JournalError;
use crate::id::StreamId;

/// An event to be appended, known to be valid: a database refuses text that is not JSON, and other
/// requests in the batch should not pay for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    event_type: String,
    event_version: String,
    payload: String,
    metadata: String,
    keys: Vec<UniqueKey>,
}

/// A key that at most one stream of a journal has, for ever, such as a name that people know it by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UniqueKey(String);

impl UniqueKey {
    /// The most bytes of a key.
    pub const BYTES_MAX: usize = 1_000;

    /// The key with this text. Texts are compared byte by byte.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where it is not 1 to [`Self::BYTES_MAX`] bytes, or has a NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, JournalError> {
        let text = text.into();
        if text.is_empty() || text.len() > Self::BYTES_MAX || text.contains('\0') {
            let limit = format!("a key is 1 to {} bytes", Self::BYTES_MAX);
            return Err(JournalError::Invalid(limit));
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NewEvent {
    /// An event of this type, such as `OrderPlaced`, whose payload has this version of its schema,
    /// such as `1`. Payload and metadata are written as JSON here, once.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where type or version are not 1 to 255 bytes, or something cannot
    /// be written as JSON.
    pub fn new(
        event_type: &str,
        event_version: &str,
        payload: &impl Serialize,
        metadata: &impl Serialize,
    ) -> Result<Self, JournalError> {
        Self::named(event_type, event_version)?;
        Ok(Self {
            event_type: event_type.to_owned(),
            event_version: event_version.to_owned(),
            payload: serde_json::to_string(payload).map_err(|_| not_json("payload"))?,
            metadata: serde_json::to_string(metadata).map_err(|_| not_json("metadata"))?,
            keys: Vec::new(),
        })
    }

    /// An event from texts that were serialized elsewhere. They are stored byte for byte.
    ///
    /// # Errors
    /// [`JournalError::Invalid`] where type or version are not 1 to 255 bytes, or a text is not
    /// JSON.
    pub fn from_json(
        event_type: &str,
        event_version: &str,
        payload: impl Into<String>,
        metadata: impl Into<String>,
    ) -> Result<Self, JournalError> {
        Self::named(event_type, event_version)?;
        let is_json = |name, text: String| match serde_json::from_str::<IgnoredAny>(&text) {
            Ok(_) => Ok(text),
            Err(_) => Err(not_json(name)),
        };
        Ok(Self {
            event_type: event_type.to_owned(),
            event_version: event_version.to_owned(),
            payload: is_json("payload", payload.into())?,
            metadata: is_json("metadata", metadata.into())?,
            keys: Vec::new(),
        })
    }

    /// With keys that its stream takes for ever. Where another stream has one of them, nothing is
    /// appended ([`JournalError::KeyTaken`]).
    #[must_use]
    pub fn taking(mut self, keys: Vec<UniqueKey>) -> Self {
        self.keys = keys;
        self
    }

    /// The keys that its stream takes with it.
    #[must_use]
    pub fn keys(&self) -> &[UniqueKey] {
        &self.keys
    }

    fn named(event_type: &str, event_version: &str) -> Result<(), JournalError> {
        let legal = |name: &str| !name.is_empty() && name.len() <= 255 && !name.contains('\0');
        if legal(event_type) && legal(event_version) {
            Ok(())
        } else {
            Err(JournalError::Invalid("type and version are 1 to 255 bytes".to_owned()))
        }
    }

    /// Its type.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The version of its payload's schema.
    #[must_use]
    pub fn event_version(&self) -> &str {
        &self.event_version
    }

    /// JSON text.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// JSON text.
    #[must_use]
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// Payload and metadata together.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len() + self.metadata.len()
    }
}

fn not_json(what: &str) -> JournalError {
    JournalError::Invalid(format!("the {what} is not JSON"))
}

/// An event as the journal holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its stream.
    pub stream_id: StreamId,
    /// The stream's version after it, from 1.
    pub sequence: u64,
    /// Its shard.
    pub shard: u16,
    /// Its position there, from 1 and gapless.
    pub position: u64,
    /// When the writer received it; the same for all events of one batch.
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

/// A [`StoredEvent`] that borrows its texts.
pub(crate) struct EventRef<'a> {
    pub(crate) stream_id: StreamId,
    pub(crate) sequence: u64,
    pub(crate) shard: u16,
    pub(crate) position: u64,
    pub(crate) recorded_at: Timestamp,
    pub(crate) event_type: &'a str,
    pub(crate) event_version: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) metadata: &'a str,
}

impl<'a> From<&'a StoredEvent> for EventRef<'a> {
    fn from(event: &'a StoredEvent) -> Self {
        Self {
            stream_id: event.stream_id,
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
    pub(crate) fn to_owned(&self) -> StoredEvent {
        StoredEvent {
            stream_id: self.stream_id,
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

/// An event with its hash in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainedEvent {
    /// The event.
    pub event: StoredEvent,
    /// The stored hash; valid if it equals [`chain_hash`](crate::chain_hash) of the hash before and
    /// the event.
    pub hash: [u8; 32],
}

/// The result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The stream's version now.
    pub version: u64,
    /// The shard.
    pub shard: u16,
    /// The position of the last event.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// A stream whose history is impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The stream.
    pub stream_id: StreamId,
    /// Why, as it was found last.
    pub reason: String,
    /// When it was found first.
    pub since: Timestamp,
}
