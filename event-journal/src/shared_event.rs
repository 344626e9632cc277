use std::any::Any;
use std::sync::{Arc, OnceLock};

use crate::event::{ChainedEvent, StoredEvent};

/// An event that several readers share. Cheap to clone; the first reader's decoded form serves all.
#[derive(Clone, Debug)]
pub struct SharedEvent(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    chained: ChainedEvent,
    decoded: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl SharedEvent {
    /// An event that nobody has decoded yet.
    pub(crate) fn new(chained: ChainedEvent) -> Self {
        Self(Arc::new(Shared { chained, decoded: OnceLock::new() }))
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &StoredEvent {
        &self.0.chained.event
    }

    /// Its hash in the chain.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.0.chained.hash
    }

    /// The event with its hash, copied where others share it.
    #[must_use]
    pub fn into_chained(self) -> ChainedEvent {
        Arc::try_unwrap(self.0).map_or_else(|kept| kept.chained.clone(), |own| own.chained)
    }

    /// What `decode` makes of the event. It runs once for all readers of the event that decode into
    /// the same type; a reader that decodes into another type runs its own.
    pub fn decoded<T, F>(&self, decode: F) -> T
    where
        T: Clone + Send + Sync + 'static,
        F: FnOnce(&StoredEvent) -> T + Copy,
    {
        let decoded = self.0.decoded.get_or_init(|| Box::new(decode(self.event())));
        decoded.downcast_ref::<T>().map_or_else(|| decode(self.event()), T::clone)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use shared_events::contract::Timestamp;

    #[test]
    fn an_event_is_decoded_once_for_all_readers_of_one_type() {
        let event = StoredEvent {
            stream_id: shared_events::chance::Chance::system().uuid().into(),
            sequence: 1,
            shard: 0,
            position: 7,
            recorded_at: Timestamp::default(),
            event_type: "Type".to_owned(),
            event_version: "1".to_owned(),
            payload: "{}".to_owned(),
            metadata: "{}".to_owned(),
        };
        let chained = ChainedEvent { event, hash: [7; 32] };
        let (mine, theirs) = (SharedEvent::new(chained.clone()), Cell::new(0));
        let (again, decode) = (mine.clone(), |event: &StoredEvent| {
            theirs.set(theirs.get() + 1);
            event.position
        });
        assert_eq!((mine.decoded(decode), again.decoded(decode), theirs.get()), (7, 7, 1));
        assert_eq!(again.decoded(|event| event.event_type.clone()), "Type");
        assert_eq!(mine.hash(), &[7; 32]);
        assert_eq!((mine.into_chained(), again.into_chained()), (chained.clone(), chained));
    }
}
