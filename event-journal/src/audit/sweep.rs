//! Follows the chains of all shards of a table in one pass, in whatever order the rows are stored.
//! It reports only whether a shard is sound: the audit finds what is wrong with an unsound one by
//! reading it in order.

use std::collections::{BTreeMap, HashMap};

use crate::chain::chain_hash_of;
use crate::event::ChainedEvent;
use crate::id::StreamId;
use crate::store::{Copied, Head};

/// Events read before their predecessors, waiting for them; a table with more is read in order.
const WAITING_MAX: usize = 20_000;

/// One shard, up to its head.
struct Lane {
    head: Head,
    /// The last position that was followed, and its hash.
    position: u64,
    hash: [u8; 32],
    began_after: u64,
    waiting: BTreeMap<u64, ChainedEvent>,
    sound: bool,
}

/// All shards of a table.
pub(crate) struct Sweep {
    lanes: HashMap<u16, Lane>,
    waiting: usize,
}

impl Sweep {
    /// A sweep of shards with these heads, each from the position and hash that `begins_after`
    /// returns.
    pub(crate) fn new(heads: &[Head], begins_after: impl Fn(u16) -> (u64, [u8; 32])) -> Self {
        let lane = |head: &Head| {
            let (position, hash) = begins_after(head.shard);
            let head = head.clone();
            let waiting = BTreeMap::new();
            (head.shard, Lane { head, position, hash, began_after: position, waiting, sound: true })
        };
        Self { lanes: heads.iter().map(lane).collect(), waiting: 0 }
    }

    /// Takes the next event of the table. Events that follow their predecessor go to `each`.
    pub(crate) fn event(&mut self, copied: &Copied<'_>, each: &mut impl FnMut(StreamId, u16, u64)) {
        let event = &copied.event;
        let Some(lane) = self.lanes.get_mut(&event.shard).filter(|lane| lane.sound) else { return };
        // Archived events, and those appended after the heads were read, are not checked here.
        if event.position <= lane.began_after || event.position > lane.head.position {
            return;
        }
        if event.position > lane.position + 1 {
            let twice = lane.waiting.insert(event.position, copied.to_owned()).is_some();
            self.waiting += usize::from(!twice);
            lane.sound = !twice && self.waiting <= WAITING_MAX;
        } else {
            lane.follow(copied, each);
            while lane.sound
                && let Some(next) = lane.waiting.remove(&(lane.position + 1))
            {
                self.waiting -= 1;
                lane.follow(&Copied { event: (&next.event).into(), hash: next.hash }, each);
            }
        }
        if !lane.sound {
            self.waiting -= lane.waiting.len();
            lane.waiting.clear();
        }
    }

    /// The number of events of a sound shard; none where it has to be read in order.
    pub(crate) fn sound(&self, shard: u16) -> Option<u64> {
        let lane = self.lanes.get(&shard)?;
        let whole = lane.position == lane.head.position && lane.hash == lane.head.hash;
        (lane.sound && whole).then_some(lane.position - lane.began_after)
    }
}

impl Lane {
    fn follow(&mut self, copied: &Copied<'_>, each: &mut impl FnMut(StreamId, u16, u64)) {
        let event = &copied.event;
        let follows =
            event.position == self.position + 1 && chain_hash_of(&self.hash, event) == copied.hash;
        if follows {
            (self.position, self.hash) = (event.position, copied.hash);
            each(event.stream_id, event.shard, event.position);
        }
        self.sound = follows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{GENESIS, chain_hash};
    use crate::event::StoredEvent;

    fn chain(shard: u16, length: u64) -> Vec<ChainedEvent> {
        let mut hash = GENESIS;
        let event = |position| StoredEvent {
            stream_id: shared_events::chance::Chance::system().uuid().into(),
            sequence: 1,
            shard,
            position,
            recorded_at: shared_events::contract::Timestamp::default(),
            event_type: "OrderPlaced".to_owned(),
            event_version: "1".to_owned(),
            payload: "{}".to_owned(),
            metadata: "{}".to_owned(),
        };
        (1..=length)
            .map(|position| {
                let event = event(position);
                hash = chain_hash(&hash, &event);
                ChainedEvent { event, hash }
            })
            .collect()
    }

    fn swept(head: &ChainedEvent, events: &[ChainedEvent]) -> (Option<u64>, Vec<u64>) {
        let (shard, position, hash) = (head.event.shard, head.event.position, head.hash);
        let head = Head { shard, epoch: 1, position, hash };
        let mut sweep = Sweep::new(&[head], |_| (0, GENESIS));
        let mut seen = Vec::new();
        for chained in events {
            let copied = Copied { event: (&chained.event).into(), hash: chained.hash };
            sweep.event(&copied, &mut |_, _, position| seen.push(position));
        }
        (sweep.sound(shard), seen)
    }

    #[test]
    fn a_shard_is_sound_in_whatever_order_its_events_come() {
        let mut events = chain(3, 50);
        let head = events[49].clone();
        let in_order: Vec<u64> = (1..=50).collect();
        assert_eq!(swept(&head, &events), (Some(50), in_order.clone()));
        events.reverse();
        assert_eq!(swept(&head, &events), (Some(50), in_order.clone()));
        events.rotate_left(17);
        assert_eq!(swept(&head, &events), (Some(50), in_order));
    }

    #[test]
    fn events_appended_after_the_head_was_read_are_ignored() {
        let events = chain(3, 50);
        assert_eq!(swept(&events[29], &events).0, Some(30));
    }

    #[test]
    fn a_changed_missing_doubled_or_added_event_makes_a_shard_unsound() {
        let events = chain(3, 20);
        let head = events[19].clone();
        let mut changed = events.clone();
        changed[7].event.payload = "{ }".to_owned();
        let mut missing = events.clone();
        missing.remove(7);
        let mut ends_early = events.clone();
        ends_early.pop();
        let mut doubled = events.clone();
        doubled.push(events[7].clone());
        let mut doubled_ahead = events.clone();
        doubled_ahead.insert(0, events[7].clone());
        let mut swapped = events.clone();
        (swapped[3].event.position, swapped[4].event.position) = (5, 4);
        let mut hash = events.clone();
        hash[19].hash = [0; 32];
        for events in [changed, missing, ends_early, doubled, doubled_ahead, swapped, hash] {
            assert_eq!(swept(&head, &events).0, None);
        }
    }
}
