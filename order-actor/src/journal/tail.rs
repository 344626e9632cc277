use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::event::ChainedEvent;
use super::store::Range;

/// Payload and metadata that are remembered, in bytes; what is older is read from the database.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The last events that this process committed, for readers that are level with the writer: they
/// need not ask the database for what it has just been told. Never holds what is not committed.
#[derive(Default)]
pub(super) struct Tail {
    inner: Mutex<Inner>,
    /// How often everything was forgotten.
    generation: AtomicU64,
}

#[derive(Default)]
struct Inner {
    /// Of each shard, without gaps.
    shards: HashMap<u16, VecDeque<ChainedEvent>>,
    /// Shard and position of what was added, oldest first.
    added: VecDeque<(u16, u64)>,
    bytes: usize,
}

fn size(event: &ChainedEvent) -> usize {
    event.event.payload.len() + event.event.metadata.len()
}

impl Tail {
    /// Adds events that were committed, in order within each shard. One that does not follow the
    /// last of its shard begins anew: others have written in between.
    pub(super) fn add(&self, events: Vec<ChainedEvent>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { shards, added, bytes } = &mut *inner;
        for event in events {
            let (shard, position) = (event.event.shard, event.event.position);
            let known = shards.entry(shard).or_default();
            if known.back().is_some_and(|last| last.event.position + 1 != position) {
                *bytes -= known.drain(..).map(|gone| size(&gone)).sum::<usize>();
            }
            *bytes += size(&event);
            known.push_back(event);
            added.push_back((shard, position));
        }
        while *bytes > BYTES_MAX {
            let Some((shard, position)) = added.pop_front() else { break };
            if let Some(known) = shards.get_mut(&shard)
                && known.front().is_some_and(|oldest| oldest.event.position == position)
                && let Some(gone) = known.pop_front()
            {
                *bytes -= size(&gone);
            }
        }
    }

    /// Forgets everything: whether the database still has it is in doubt.
    pub(super) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Inner::default();
    }

    /// Changes whenever everything is forgotten.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A range, where all of it is remembered.
    pub(super) fn read(&self, range: Range) -> Option<Vec<ChainedEvent>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let known = inner.shards.get(&range.shard)?;
        let first = known.front()?.event.position;
        let skip = usize::try_from((range.after + 1).checked_sub(first)?).ok()?;
        let count = usize::try_from(range.through - range.after).ok()?;
        (skip + count <= known.len()).then(|| known.range(skip..skip + count).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use shared_events::contract::{OrderId, Timestamp};

    use super::*;
    use crate::journal::StoredEvent;

    fn event(shard: u16, position: u64, bytes: usize) -> ChainedEvent {
        let event = StoredEvent {
            order_id: OrderId::mint(),
            sequence: 1,
            shard,
            position,
            recorded_at: Timestamp::default(),
            event_type: String::new(),
            event_version: String::new(),
            payload: "x".repeat(bytes),
            metadata: String::new(),
        };
        ChainedEvent { event, hash: [0; 32] }
    }

    fn read(tail: &Tail, shard: u16, after: u64, through: u64) -> Option<Vec<u64>> {
        let events = tail.read(Range { shard, after, through })?;
        Some(events.iter().map(|chained| chained.event.position).collect())
    }

    #[test]
    fn a_range_is_answered_whole_or_not_at_all() {
        let tail = Tail::default();
        tail.add((5..=8).map(|position| event(1, position, 1)).collect());
        assert_eq!(read(&tail, 1, 4, 8), Some(vec![5, 6, 7, 8]));
        assert_eq!(read(&tail, 1, 6, 7), Some(vec![7]));
        for (shard, after, through) in [(1, 3, 8), (1, 4, 9), (1, 0, 2), (2, 4, 8), (1, 8, 9)] {
            assert_eq!(read(&tail, shard, after, through), None, "{shard} {after} {through}");
        }
    }

    #[test]
    fn what_others_wrote_in_between_is_no_part_of_it() {
        let tail = Tail::default();
        tail.add(vec![event(0, 1, 1), event(0, 2, 1)]);
        tail.add(vec![event(0, 9, 1)]);
        assert_eq!(read(&tail, 0, 0, 2), None);
        assert_eq!(read(&tail, 0, 8, 9), Some(vec![9]));
    }

    #[test]
    fn the_oldest_leave_when_there_are_too_many_bytes() {
        let tail = Tail::default();
        let third = BYTES_MAX / 3;
        tail.add(vec![event(0, 1, third), event(1, 1, third), event(0, 2, third)]);
        assert_eq!(read(&tail, 0, 0, 2), Some(vec![1, 2]));
        tail.add(vec![event(1, 2, third)]);
        assert_eq!(read(&tail, 0, 0, 2), None);
        assert_eq!(read(&tail, 0, 1, 2), Some(vec![2]));
        assert_eq!(read(&tail, 1, 0, 2), Some(vec![1, 2]));
        // A gap frees what stood before it, and what is left of it in the order of leaving does no harm.
        tail.add(vec![event(1, 9, third), event(0, 3, third), event(0, 4, third)]);
        assert_eq!(read(&tail, 1, 8, 9), Some(vec![9]));
        assert_eq!(read(&tail, 0, 2, 4), Some(vec![3, 4]));
    }
}
