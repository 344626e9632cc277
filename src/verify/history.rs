use std::sync::Arc;

use order_actor::domain::{Event, Order, evolve};
use order_actor::journal::StoredEvent;
use order_actor::outbox::{FactIds, facts_of};
use order_actor::record::{RecordedEvent, decode};
use order_actor::replay::Step;
use shared_events::contract::{Contact, Disposition, Fact, ReservationId, ShipmentId};
use shared_events::stream::Cursors;

/// An order's events and its state after each.
pub struct History {
    events: Vec<RecordedEvent>,
    // One more than events: the first is the absent order.
    orders: Vec<Arc<Order>>,
}

impl History {
    /// Replays an order; the error names the impossible event.
    pub fn replay(stored: &[StoredEvent]) -> Result<Self, String> {
        let mut orders = vec![Arc::new(Order::Absent)];
        let mut events = Vec::with_capacity(stored.len());
        let mut order = Order::Absent;
        for stored in stored {
            let recorded = decode(stored).map_err(|error| error.to_string())?;
            order = evolve(order, &recorded.event)
                .map_err(|error| format!("version {}: {error}", recorded.sequence))?;
            orders.push(Arc::new(order.clone()));
            events.push(recorded);
        }
        Ok(Self { events, orders })
    }

    /// The part that a follower with these cursors has read.
    pub fn read_part(&self, cursors: &Cursors) -> ReadPart<'_> {
        let known = |event: &&RecordedEvent| event.position <= cursors.get(event.shard);
        ReadPart { history: self, version: self.events.iter().take_while(known).count() }
    }

    /// The current state.
    pub fn now(&self) -> &Order {
        self.orders.last().map_or(&Order::Absent, Arc::as_ref)
    }

    /// Its events, each with the order before it.
    pub fn steps(&self) -> impl Iterator<Item = (&Event, &Order)> {
        let events = self.events.iter().map(|recorded| recorded.event.as_ref());
        events.zip(self.orders.iter().map(Arc::as_ref))
    }

    /// The reservation that confirmed it, or by which its stock was held until its money stands.
    pub fn confirmed_by(&self) -> Option<ReservationId> {
        self.events.iter().find_map(|recorded| match &*recorded.event {
            Event::OrderConfirmed { reservation_id, .. } => Some(*reservation_id),
            Event::StockHeld(held) => Some(held.reservation_id),
            _ => None,
        })
    }
}

/// The part of a history that a follower has read.
pub struct ReadPart<'a> {
    history: &'a History,
    version: usize,
}

impl ReadPart<'_> {
    /// The order after the last event read.
    pub fn order(&self) -> &Order {
        self.history.orders.get(self.version).map_or(&Order::Absent, Arc::as_ref)
    }

    /// The last event read.
    pub fn last(&self) -> Option<&RecordedEvent> {
        self.history.events.get(self.version.checked_sub(1)?)
    }

    fn events(&self) -> impl Iterator<Item = &RecordedEvent> {
        self.history.events.iter().take(self.version)
    }

    /// The facts published of it.
    pub fn facts(&self, ids: &FactIds) -> Vec<Fact> {
        let states = self.history.orders.windows(2);
        let facts = self.events().zip(states).map(|(recorded, states)| match states {
            [before, after] => {
                let step = Step { before: Arc::clone(before), after: Arc::clone(after) };
                facts_of(recorded, &step, ids)
            }
            _ => Vec::new(),
        });
        facts.flatten().collect()
    }

    /// The contact since the last correction, if there was one.
    pub fn corrected_contact(&self) -> Option<&Contact> {
        let corrected = self.events().filter_map(|recorded| match &*recorded.event {
            Event::OrderCorrected(corrected) => Some(&corrected.person.contact),
            _ => None,
        });
        corrected.last()
    }

    /// Units of a line that were restocked.
    pub fn restocked(&self, line: u32) -> u32 {
        self.came_back(line, Disposition::Restock)
    }

    /// Units of a line that came back, by what became of them.
    pub fn came_back(&self, line: u32, disposition: Disposition) -> u32 {
        let back = self.events().filter_map(|recorded| match &*recorded.event {
            Event::ReturnApproved { lines, .. } | Event::ReturnReceived { lines, .. } => {
                Some(lines)
            }
            Event::ShipmentUndone(undone)
                if !undone.open_again && !self.was_found(undone.shipment_id) =>
            {
                Some(&undone.lines)
            }
            Event::ShipmentFound(found) => Some(&found.lines),
            _ => None,
        });
        back.flatten()
            .filter(|back| back.line == line && back.disposition == disposition)
            .map(|back| back.quantity.get())
            .sum()
    }

    /// Whether a parcel that was lost came back after all: then that says what became of its units.
    fn was_found(&self, shipment_id: ShipmentId) -> bool {
        let parcel = self.order().details().and_then(|details| details.shipment(shipment_id));
        parcel.is_some_and(|parcel| parcel.found().is_some())
    }
}
