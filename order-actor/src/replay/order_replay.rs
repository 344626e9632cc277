use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use shared_events::contract::OrderId;
use shared_events::stream::History;

use crate::domain::{Impossible, Order, evolve};
use crate::journal::{Journal, JournalError};
use crate::limits::ORDERS_CACHED_MAX;
use crate::record::{DecodeError, RecordedEvent, Step, decode};

/// The most lines, charges with their taxes, and events of an order whose step is shared.
const SHARED_PARTS_MAX: usize = 16;

/// Whether an order is so small that recent events may keep it for other readers. Each event keeps an
/// order of its own: those of a large order would take far more memory than their texts.
fn is_small(order: &Order) -> bool {
    order.details().is_some_and(|details| {
        let charges = details.charges.iter().map(|one| 1 + one.charge.taxes.len());
        let parts = details.lines.len() + charges.sum::<usize>();
        let events = usize::try_from(details.events).unwrap_or(usize::MAX);
        parts.saturating_add(events) <= SHARED_PARTS_MAX
    })
}

/// Why an event could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An earlier event cannot be read.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// The event cannot happen to its order.
    #[error(transparent)]
    Impossible(#[from] Impossible),
    /// Events before this one are missing.
    #[error("version {sequence} has no version {} before it", sequence - 1)]
    Missing {
        /// The version of the event.
        sequence: u64,
    },
}

impl ReplayError {
    /// Whether the history itself is broken, as opposed to an unavailable journal.
    #[must_use]
    pub const fn is_history(&self) -> bool {
        !matches!(
            self,
            Self::Journal(
                JournalError::Unavailable(_)
                    | JournalError::Closed
                    | JournalError::StreamArchived { .. }
            )
        )
    }
}

/// Replays orders event by event. Caches the orders of the last events; for others it reads their
/// history again.
pub struct OrderReplay {
    journal: Journal,
    last: LruCache<OrderId, (u64, Arc<Order>)>,
    /// The journal history that the cached orders belong to.
    history: Option<History>,
}

impl OrderReplay {
    /// A replay over this journal.
    #[must_use]
    pub fn new(journal: Journal) -> Self {
        let most = NonZeroUsize::new(ORDERS_CACHED_MAX).unwrap_or(NonZeroUsize::MIN);
        let history = journal.history();
        Self { journal, last: LruCache::new(most), history }
    }

    /// The order before and after this event. Readers that share the event replay it once.
    ///
    /// # Errors
    /// [`ReplayError`]
    pub async fn step(&mut self, recorded: &RecordedEvent) -> Result<Step, ReplayError> {
        let (order_id, sequence) = (recorded.order_id, recorded.sequence);
        let step = match recorded.replayed.step() {
            Some(step) => step,
            None => {
                let before = match self.last.get(&order_id) {
                    Some((version, order)) if version + 1 == sequence => Arc::clone(order),
                    _ => Arc::new(self.order_at(order_id, sequence.saturating_sub(1)).await?),
                };
                let after = Arc::new(evolve(Order::clone(&before), &recorded.event)?);
                let step = Step { before, after };
                if is_small(&step.after) { recorded.replayed.keep(step) } else { step }
            }
        };
        if step.after.is_ended() {
            self.last.pop(&order_id);
        } else {
            self.last.put(order_id, (sequence, Arc::clone(&step.after)));
        }
        Ok(step)
    }

    /// The order as the journal has it now, with its last event; none if it does not exist.
    ///
    /// # Errors
    /// [`ReplayError`]
    pub async fn now(
        &mut self,
        order_id: OrderId,
    ) -> Result<Option<(Order, RecordedEvent)>, ReplayError> {
        self.last.pop(&order_id);
        let mut now = None;
        let mut order = Order::Absent;
        for stored in self.journal.load(order_id).await? {
            let recorded = decode(&stored)?;
            order = evolve(order, &recorded.event)?;
            now = Some(recorded);
        }
        Ok(now.map(|last| (order, last)))
    }

    /// Empties the cache, because the journal has another history.
    pub fn forget(&mut self) {
        self.last.clear();
    }

    /// Empties the cache if the journal has started another incarnation. Called before each batch.
    pub fn keep_up(&mut self) {
        let history = self.journal.history();
        if history != self.history {
            self.history = history;
            self.forget();
        }
    }

    /// The journal behind it.
    #[must_use]
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    async fn order_at(&self, order_id: OrderId, version: u64) -> Result<Order, ReplayError> {
        if version == 0 {
            return Ok(Order::Absent);
        }
        let mut order = Order::Absent;
        let mut reached = 0;
        for stored in self.journal.load(order_id).await? {
            if stored.sequence > version {
                break;
            }
            reached = stored.sequence;
            order = evolve(order, &decode(&stored)?.event)?;
        }
        if reached == version {
            Ok(order)
        } else {
            Err(ReplayError::Missing { sequence: version + 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Event;

    #[test]
    fn only_small_orders_are_kept_for_other_readers() {
        let placed = include_str!("../../tests/it/domain/golden/OrderPlaced.v2.bare.json");
        let placed: Event = serde_json::from_str(placed).unwrap();
        let order = evolve(Order::Absent, &placed).unwrap();
        assert!(is_small(&order) && !is_small(&Order::Absent));
        let Order::Pending(pending) = order else { panic!("it was placed") };
        let mut long = pending.clone();
        long.details.events = 16;
        assert!(!is_small(&Order::Pending(long)));
        let mut wide = pending;
        let line = wide.details.lines[0].clone();
        wide.details.lines.resize(16, line);
        assert!(!is_small(&Order::Pending(wide)));
    }
}
