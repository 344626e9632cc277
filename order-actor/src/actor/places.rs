//! Who is awake, how many calls wait for each of them and for all together, and who has been idle
//! for longest. Every question is answered without a walk over those that are awake, however many
//! they are. Never here: actors, locks.

use std::collections::HashMap;

use lru::LruCache;
use shared_events::contract::OrderId;
use tokio::time::Instant;

/// The orders that are awake; `A` is what one needs to speak to one of them.
pub(super) struct Places<A> {
    slots: HashMap<OrderId, Slot<A>>,
    /// Exactly those that nobody waits for, least recently used first, each with the time since when.
    idle: LruCache<OrderId, Instant>,
    /// Calls that wait for any of them, those included that wait for one that is gone.
    waiting: usize,
    tickets: u64,
    /// Entries that were looked at in search of one that may sleep.
    looked_at: u64,
}

struct Slot<A> {
    actor: A,
    /// Of this stay: an order that slept in between is another.
    ticket: u64,
    waiting: usize,
}

impl<A> Default for Places<A> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
            idle: LruCache::unbounded(),
            waiting: 0,
            tickets: 0,
            looked_at: 0,
        }
    }
}

impl<A> Places<A> {
    /// How many are awake.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many calls wait, for all of them together.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn get(&self, order_id: OrderId) -> Option<&A> {
        self.slots.get(&order_id).map(|slot| &slot.actor)
    }

    /// Whether it is awake and nobody waits for it.
    pub(super) fn is_idle(&self, order_id: OrderId) -> bool {
        self.idle.contains(&order_id)
    }

    /// Somebody woke; nobody waits for it yet.
    pub(super) fn add(&mut self, order_id: OrderId, actor: A) {
        self.tickets += 1;
        self.slots.insert(order_id, Slot { actor, ticket: self.tickets, waiting: 0 });
        self.idle.put(order_id, Instant::now());
    }

    /// One more call waits for it: the ticket of its stay. None where it is not awake, or so many wait
    /// already.
    pub(super) fn wait_for(&mut self, order_id: OrderId, max: usize) -> Option<u64> {
        let slot = self.slots.get_mut(&order_id).filter(|slot| slot.waiting < max)?;
        if slot.waiting == 0 {
            self.idle.pop(&order_id);
        }
        slot.waiting += 1;
        self.waiting += 1;
        Some(slot.ticket)
    }

    /// A call that waited for it, in the stay of that ticket, waits no more.
    pub(super) fn done(&mut self, order_id: OrderId, ticket: u64) {
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(slot) = self.slots.get_mut(&order_id).filter(|slot| slot.ticket == ticket) {
            slot.waiting = slot.waiting.saturating_sub(1);
            if slot.waiting == 0 {
                self.idle.put(order_id, Instant::now());
            }
        }
    }

    /// It is awake no more, whoever waits for it.
    pub(super) fn remove(&mut self, order_id: OrderId) -> Option<A> {
        self.idle.pop(&order_id);
        self.slots.remove(&order_id).map(|slot| slot.actor)
    }

    /// Takes out the one that has been idle for longest; none where somebody waits for each.
    pub(super) fn longest_idle(&mut self) -> Option<A> {
        let (order_id, _) = self.idle.pop_lru()?;
        self.looked_at += 1;
        self.remove(order_id)
    }

    /// As [`Self::longest_idle`], if it has been idle since before then.
    pub(super) fn idle_since(&mut self, then: Instant) -> Option<A> {
        let (_, since) = self.idle.peek_lru()?;
        if *since <= then { self.longest_idle() } else { None }
    }

    /// Takes out all of them; those who wait go on being counted until they wait no more.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = A> + use<A> {
        self.idle.clear();
        std::mem::take(&mut self.slots).into_values().map(|slot| slot.actor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Wake(u8),
        Wait(u8),
        Done(usize),
        Remove(u8),
        MakeRoom,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..12).prop_map(Step::Wake),
            (0_u8..12).prop_map(Step::Wait),
            any::<usize>().prop_map(Step::Done),
            (0_u8..12).prop_map(Step::Remove),
            Just(Step::MakeRoom),
        ]
    }

    const PER_ORDER: usize = 3;

    /// Who waits for nobody, and has for longest.
    fn oldest_idle(books: &BTreeMap<u8, (usize, usize)>) -> Option<u8> {
        let idle = books.iter().filter(|(_, (waiting, _))| *waiting == 0);
        idle.min_by_key(|(_, (_, since))| *since).map(|(order, _)| *order)
    }

    proptest! {
        /// Against books that are kept in the simplest way: of each that is awake who waits, and since
        /// which step nobody does.
        #[test]
        fn the_books_are_right_whatever_happens(steps in prop::collection::vec(step(), 0..300)) {
            let ids: Vec<OrderId> = (0..12).map(|_| OrderId::mint()).collect();
            let mut places: Places<u8> = Places::default();
            let mut books: BTreeMap<u8, (usize, usize)> = BTreeMap::new();
            // Every call under way: for whom, and whether its stay is over.
            let mut calls: Vec<(u8, u64, bool)> = Vec::new();
            let forget = |calls: &mut Vec<(u8, u64, bool)>, order: u8| {
                calls.iter_mut().filter(|call| call.0 == order).for_each(|call| call.2 = true);
            };
            for (now, step) in steps.into_iter().enumerate() {
                let looked_at = places.looked_at;
                match step {
                    Step::Wake(order) => {
                        books.entry(order).or_insert_with(|| {
                            places.add(ids[usize::from(order)], order);
                            (0, now)
                        });
                    }
                    Step::Wait(order) => {
                        let ticket = places.wait_for(ids[usize::from(order)], PER_ORDER);
                        let fits = books.get(&order).is_some_and(|(waiting, _)| *waiting < PER_ORDER);
                        prop_assert_eq!(ticket.is_some(), fits);
                        if let Some(ticket) = ticket {
                            books.get_mut(&order).unwrap().0 += 1;
                            calls.push((order, ticket, false));
                        }
                    }
                    Step::Done(which) => {
                        if !calls.is_empty() {
                            let (order, ticket, over) = calls.swap_remove(which % calls.len());
                            places.done(ids[usize::from(order)], ticket);
                            if !over {
                                let book = books.get_mut(&order).unwrap();
                                *book = (book.0 - 1, now);
                            }
                        }
                    }
                    Step::Remove(order) => {
                        let removed = places.remove(ids[usize::from(order)]);
                        prop_assert_eq!(removed, books.remove(&order).map(|_| order));
                        forget(&mut calls, order);
                    }
                    Step::MakeRoom => {
                        let oldest = oldest_idle(&books);
                        prop_assert_eq!(places.longest_idle(), oldest);
                        if let Some(order) = oldest {
                            books.remove(&order);
                            forget(&mut calls, order);
                        }
                    }
                }
                prop_assert!(places.looked_at - looked_at <= 1);
                prop_assert_eq!(places.len(), books.len());
                prop_assert_eq!(places.waiting(), calls.len());
                for order in 0..12 {
                    let idle = books.get(&order).is_some_and(|(waiting, _)| *waiting == 0);
                    prop_assert_eq!(places.is_idle(ids[usize::from(order)]), idle);
                }
            }
        }
    }

    #[test]
    fn where_everybody_is_waited_for_nobody_is_looked_at() {
        let mut places: Places<usize> = Places::default();
        for n in 0..20_000 {
            let order_id = OrderId::mint();
            places.add(order_id, n);
            places.wait_for(order_id, 1).unwrap();
        }
        for _ in 0..50_000 {
            assert_eq!(places.longest_idle(), None);
        }
        assert_eq!(places.looked_at, 0);
    }
}
