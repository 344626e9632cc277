//! The last committed events, for readers that are caught up.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use shared_events::contract::Mark;

use crate::event::ChainedEvent;
use crate::shared_event::SharedEvent;
use crate::store::{Fence, Range};

/// Bytes of payload and metadata that are cached; older events are read from the database. What
/// readers decode them into comes on top, some times as much.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events that are cached: what readers make of one may be larger than its text.
const EVENTS_MAX: usize = 16 * 1024;

/// The last events that this process committed, for readers that are caught up with the writer:
/// they need not ask the database for what it was just sent. Never holds uncommitted events.
#[derive(Default)]
pub(crate) struct Tail {
    inner: Mutex<Inner>,
    /// How often the cache was cleared.
    generation: AtomicU64,
}

#[derive(Default)]
struct Inner {
    shards: HashMap<u16, Known>,
    /// Shard and position of what was added, oldest first.
    added: VecDeque<(u16, u64)>,
    bytes: usize,
}

/// The cached events of a shard.
#[derive(Default)]
struct Known {
    /// Without gaps.
    events: VecDeque<SharedEvent>,
    /// The mark before the first of them.
    before: Option<Mark>,
}

impl Known {
    /// Whether an event that was appended behind this fence follows the cached ones.
    fn continues(&self, position: u64, fence: Option<&Fence>) -> bool {
        let Some(last) = self.events.back() else { return false };
        let behind = fence.filter(|fence| fence.before.position + 1 == position);
        last.event().position + 1 == position
            && behind.is_none_or(|fence| &fence.before.hash == last.hash())
    }
}

fn size(event: &SharedEvent) -> usize {
    event.event().payload.len() + event.event().metadata.len()
}

impl Tail {
    /// Adds events that were committed behind these fences (by shard), in order within each shard.
    /// One that does not follow the last of its shard begins anew: others have written in between.
    pub(crate) fn add(&self, events: Vec<ChainedEvent>, fences: &[Fence]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { shards, added, bytes } = &mut *inner;
        for event in events.into_iter().map(SharedEvent::new) {
            let (shard, position) = (event.event().shard, event.event().position);
            let fence = fences.binary_search_by_key(&shard, |fence| fence.before.shard);
            let fence = fence.ok().and_then(|at| fences.get(at));
            let known = shards.entry(shard).or_default();
            if !known.continues(position, fence) {
                *bytes -= known.events.drain(..).map(|gone| size(&gone)).sum::<usize>();
                known.before = fence.map(|fence| Mark::of(&fence.before.hash));
            }
            *bytes += size(&event);
            known.events.push_back(event);
            added.push_back((shard, position));
        }
        while *bytes > BYTES_MAX || added.len() > EVENTS_MAX {
            let Some((shard, position)) = added.pop_front() else { break };
            if let Some(known) = shards.get_mut(&shard)
                && known.events.front().is_some_and(|oldest| oldest.event().position == position)
                && let Some(gone) = known.events.pop_front()
            {
                known.before = Some(Mark::of(gone.hash()));
                *bytes -= size(&gone);
            }
        }
    }

    /// Clears the cache: whether the database still has the events is in doubt.
    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Inner::default();
    }

    /// Changes whenever the cache is cleared.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The mark at a position, where it is cached.
    pub(crate) fn mark(&self, shard: u16, position: u64) -> Option<Mark> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let events = &inner.shards.get(&shard)?.events;
        let at = position.checked_sub(events.front()?.event().position)?;
        events.get(usize::try_from(at).ok()?).map(|event| Mark::of(event.hash()))
    }

    /// A range, where all of it is cached and follows what the reader saw before it.
    pub(crate) fn read(&self, range: Range, seen: Option<Mark>) -> Option<Vec<SharedEvent>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let known = inner.shards.get(&range.shard)?;
        let first = known.events.front()?.event().position;
        let skip = usize::try_from((range.after + 1).checked_sub(first)?).ok()?;
        let count = usize::try_from(range.through - range.after).ok()?;
        let before = match skip.checked_sub(1) {
            Some(last) => known.events.get(last).map(|last| Mark::of(last.hash())),
            None => known.before,
        };
        if range.after > 0 && seen.is_some() && seen != before {
            return None;
        }
        let whole = skip + count <= known.events.len();
        whole.then(|| known.events.range(skip..skip + count).cloned().collect())
    }
}

/// Events that were committed and that the database lost: a standby that lagged was promoted, or a
/// backup restored under a running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostTail {
    /// The shard.
    pub shard: u16,
    /// The last position that was known to be committed.
    pub known: u64,
    /// The last position that the database had afterwards.
    pub found: u64,
    /// How many events are lost, all such losses of the shard together.
    pub events: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StoredEvent;
    use crate::store::Head;
    use shared_events::contract::Timestamp;

    fn event(shard: u16, position: u64, bytes: usize) -> ChainedEvent {
        let event = StoredEvent {
            stream_id: shared_events::chance::Chance::system().uuid().into(),
            sequence: 1,
            shard,
            position,
            recorded_at: Timestamp::default(),
            event_type: String::new(),
            event_version: String::new(),
            payload: "x".repeat(bytes),
            metadata: String::new(),
        };
        ChainedEvent { event, hash: [u8::try_from(position).unwrap(); 32] }
    }

    fn fence(shard: u16, before: u64, hash: u8) -> Fence {
        let head = |position| Head { shard, epoch: 1, position, hash: [hash; 32] };
        Fence { before: head(before), after: head(before + 1) }
    }

    fn read(tail: &Tail, shard: u16, after: u64, through: u64) -> Option<Vec<u64>> {
        let events = tail.read(Range { shard, after, through }, None)?;
        Some(events.iter().map(|shared| shared.event().position).collect())
    }

    #[test]
    fn a_range_is_read_completely_or_not_at_all() {
        let tail = Tail::default();
        tail.add((5..=8).map(|position| event(1, position, 1)).collect(), &[fence(1, 4, 4)]);
        assert_eq!(read(&tail, 1, 4, 8), Some(vec![5, 6, 7, 8]));
        assert_eq!(read(&tail, 1, 6, 7), Some(vec![7]));
        for (shard, after, through) in [(1, 3, 8), (1, 4, 9), (1, 0, 2), (2, 4, 8), (1, 8, 9)] {
            assert_eq!(read(&tail, shard, after, through), None, "{shard} {after} {through}");
        }
    }

    #[test]
    fn events_of_others_restart_the_cached_tail() {
        let tail = Tail::default();
        tail.add(vec![event(0, 1, 1), event(0, 2, 1)], &[]);
        tail.add(vec![event(0, 9, 1)], &[]);
        assert_eq!(read(&tail, 0, 0, 2), None);
        assert_eq!(read(&tail, 0, 8, 9), Some(vec![9]));
    }

    #[test]
    fn the_oldest_events_are_evicted_beyond_the_byte_limit() {
        let tail = Tail::default();
        let third = BYTES_MAX / 3;
        tail.add(vec![event(0, 1, third), event(1, 1, third), event(0, 2, third)], &[]);
        assert_eq!(read(&tail, 0, 0, 2), Some(vec![1, 2]));
        tail.add(vec![event(1, 2, third)], &[]);
        assert_eq!(read(&tail, 0, 0, 2), None);
        assert_eq!(read(&tail, 0, 1, 2), Some(vec![2]));
        assert_eq!(read(&tail, 1, 0, 2), Some(vec![1, 2]));
        // A gap frees the events before it; their remaining entries in the order of eviction do no
        // harm.
        tail.add(vec![event(1, 9, third), event(0, 3, third), event(0, 4, third)], &[]);
        assert_eq!(read(&tail, 1, 8, 9), Some(vec![9]));
        assert_eq!(read(&tail, 0, 2, 4), Some(vec![3, 4]));
    }

    #[test]
    fn the_oldest_events_are_evicted_beyond_their_number() {
        let tail = Tail::default();
        let most = u64::try_from(EVENTS_MAX).unwrap();
        let numbered = |position| {
            let mut numbered = event(0, 1, 1);
            numbered.event.position = position;
            numbered
        };
        tail.add((1..=most).map(numbered).collect(), &[]);
        assert_eq!(read(&tail, 0, 0, 1), Some(vec![1]));
        tail.add(vec![numbered(most + 1)], &[]);
        assert_eq!(read(&tail, 0, 0, 1), None);
        assert_eq!(read(&tail, 0, 1, 2), Some(vec![2]));
    }

    #[test]
    fn a_reader_of_another_history_finds_nothing_in_the_tail() {
        let tail = Tail::default();
        let seen = |position: u8| Some(Mark::of(&[position; 32]));
        tail.add((5..=8).map(|position| event(1, position, 1)).collect(), &[fence(1, 4, 4)]);
        let read = |after, seen| {
            let range = Range { shard: 1, after, through: 8 };
            tail.read(range, seen).map(|events| events.len())
        };
        assert_eq!(
            (read(4, seen(4)), read(6, seen(6)), read(6, None)),
            (Some(4), Some(2), Some(2))
        );
        assert_eq!((read(4, seen(9)), read(6, seen(9))), (None, None));
        // An event that was committed behind another one than the last cached begins anew.
        tail.add(vec![event(1, 9, 1)], &[fence(1, 8, 77)]);
        let range = |after| Range { shard: 1, after, through: 9 };
        assert!(tail.read(range(7), None).is_none());
        assert!(tail.read(range(8), seen(8)).is_none());
        assert!(tail.read(range(8), seen(77)).is_some());
    }
}
