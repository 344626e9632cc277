//! The awake orders, the number of calls that wait for each and for all together, and which order
//! has been idle for longest. No query iterates over the awake orders.
//! Never here: actors, locks.

use std::collections::HashMap;

use lru::LruCache;
use shared_events::contract::OrderId;
use tokio::time::Instant;

/// The awake orders; `A` is the handle of an order's actor.
pub(super) struct AwakeOrders<A> {
    slots: HashMap<OrderId, Slot<A>>,
    /// Exactly the orders that no call waits for, least recently used first, and since when.
    idle: LruCache<OrderId, Instant>,
    /// Calls that wait for any order, including orders removed meanwhile.
    waiting: usize,
    tickets: u64,
    /// Entries inspected while looking for an idle order.
    inspected: u64,
}

struct Slot<A> {
    actor: A,
    /// Identifies this period awake: after a sleep the order gets another ticket.
    ticket: u64,
    waiting: usize,
}

impl<A> Default for AwakeOrders<A> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
            idle: LruCache::unbounded(),
            waiting: 0,
            tickets: 0,
            inspected: 0,
        }
    }
}

impl<A> AwakeOrders<A> {
    /// The number of awake orders.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The number of waiting calls, for all orders together.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn get(&self, order_id: OrderId) -> Option<&A> {
        self.slots.get(&order_id).map(|slot| &slot.actor)
    }

    /// Whether the order is awake and no call waits for it.
    pub(super) fn is_idle(&self, order_id: OrderId) -> bool {
        self.idle.contains(&order_id)
    }

    /// Adds an order that woke; no call waits for it yet.
    pub(super) fn add(&mut self, order_id: OrderId, actor: A) {
        self.tickets += 1;
        self.slots.insert(order_id, Slot { actor, ticket: self.tickets, waiting: 0 });
        self.idle.put(order_id, Instant::now());
    }

    /// Counts one more waiting call and returns the order's actor and ticket. None if the order is
    /// not awake or has `max` waiting calls already.
    pub(super) fn wait_for(&mut self, order_id: OrderId, max: usize) -> Option<(&A, u64)> {
        let slot = self.slots.get_mut(&order_id).filter(|slot| slot.waiting < max)?;
        if slot.waiting == 0 {
            self.idle.pop(&order_id);
        }
        slot.waiting += 1;
        self.waiting += 1;
        Some((&slot.actor, slot.ticket))
    }

    /// A call that waited for the order under this ticket is done.
    pub(super) fn done(&mut self, order_id: OrderId, ticket: u64) {
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(slot) = self.slots.get_mut(&order_id).filter(|slot| slot.ticket == ticket) {
            slot.waiting = slot.waiting.saturating_sub(1);
            if slot.waiting == 0 {
                self.idle.put(order_id, Instant::now());
            }
        }
    }

    /// Removes an order, even if calls wait for it.
    pub(super) fn remove(&mut self, order_id: OrderId) -> Option<A> {
        let slot = self.slots.remove(&order_id)?;
        if slot.waiting == 0 {
            self.idle.pop(&order_id);
        }
        Some(slot.actor)
    }

    /// Removes the order that has been idle for longest; none if calls wait for every order.
    pub(super) fn longest_idle(&mut self) -> Option<A> {
        let (order_id, _) = self.idle.pop_lru()?;
        self.inspected += 1;
        self.remove(order_id)
    }

    /// The same, if it has been idle since `then` or earlier.
    pub(super) fn idle_since(&mut self, then: Instant) -> Option<A> {
        let (_, since) = self.idle.peek_lru()?;
        if *since <= then { self.longest_idle() } else { None }
    }

    /// Removes all orders; waiting calls stay counted until they are done.
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

    /// The order that has been idle for longest.
    fn oldest_idle(model: &BTreeMap<u8, (usize, usize)>) -> Option<u8> {
        let idle = model.iter().filter(|(_, (waiting, _))| *waiting == 0);
        idle.min_by_key(|(_, (_, since))| *since).map(|(order, _)| *order)
    }

    proptest! {
        /// Compares with a simple model: for each awake order the waiting calls, and the step since
        /// which it is idle.
        #[test]
        fn awake_orders_agree_with_a_simple_model(steps in prop::collection::vec(step(), 0..300)) {
            let ids: Vec<OrderId> = (0..12).map(|_| OrderId::mint()).collect();
            let mut awake: AwakeOrders<u8> = AwakeOrders::default();
            let mut model: BTreeMap<u8, (usize, usize)> = BTreeMap::new();
            // Every call in flight: its order, its ticket, and whether the order was removed since.
            let mut calls: Vec<(u8, u64, bool)> = Vec::new();
            let forget = |calls: &mut Vec<(u8, u64, bool)>, order: u8| {
                calls.iter_mut().filter(|call| call.0 == order).for_each(|call| call.2 = true);
            };
            for (now, step) in steps.into_iter().enumerate() {
                let inspected = awake.inspected;
                match step {
                    Step::Wake(order) => {
                        model.entry(order).or_insert_with(|| {
                            awake.add(ids[usize::from(order)], order);
                            (0, now)
                        });
                    }
                    Step::Wait(order) => {
                        let awaited = awake.wait_for(ids[usize::from(order)], PER_ORDER);
                        let ticket = awaited.map(|(_, ticket)| ticket);
                        let fits = model.get(&order).is_some_and(|(waiting, _)| *waiting < PER_ORDER);
                        prop_assert_eq!(ticket.is_some(), fits);
                        if let Some(ticket) = ticket {
                            model.get_mut(&order).unwrap().0 += 1;
                            calls.push((order, ticket, false));
                        }
                    }
                    Step::Done(which) => {
                        if !calls.is_empty() {
                            let (order, ticket, over) = calls.swap_remove(which % calls.len());
                            awake.done(ids[usize::from(order)], ticket);
                            if !over {
                                let entry = model.get_mut(&order).unwrap();
                                *entry = (entry.0 - 1, now);
                            }
                        }
                    }
                    Step::Remove(order) => {
                        let removed = awake.remove(ids[usize::from(order)]);
                        prop_assert_eq!(removed, model.remove(&order).map(|_| order));
                        forget(&mut calls, order);
                    }
                    Step::MakeRoom => {
                        let oldest = oldest_idle(&model);
                        prop_assert_eq!(awake.longest_idle(), oldest);
                        if let Some(order) = oldest {
                            model.remove(&order);
                            forget(&mut calls, order);
                        }
                    }
                }
                prop_assert!(awake.inspected - inspected <= 1);
                prop_assert_eq!(awake.len(), model.len());
                prop_assert_eq!(awake.waiting(), calls.len());
                for order in 0..12 {
                    let idle = model.get(&order).is_some_and(|(waiting, _)| *waiting == 0);
                    prop_assert_eq!(awake.is_idle(ids[usize::from(order)]), idle);
                }
            }
        }
    }

    #[test]
    fn no_entry_is_inspected_while_calls_wait_for_every_order() {
        let mut awake: AwakeOrders<usize> = AwakeOrders::default();
        for n in 0..20_000 {
            let order_id = OrderId::mint();
            awake.add(order_id, n);
            awake.wait_for(order_id, 1).unwrap();
        }
        for _ in 0..50_000 {
            assert_eq!(awake.longest_idle(), None);
        }
        assert_eq!(awake.inspected, 0);
    }
}
