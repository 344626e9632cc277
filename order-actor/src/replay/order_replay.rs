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

/// The orders of the last events, each with its version.
type LastOrders = LruCache<OrderId, (u64, Arc<Order>)>;

/// Replays an event of a known order. Readers that share the event share the step of a small order.
fn replayed(before: Arc<Order>, recorded: &RecordedEvent) -> Result<Step, Impossible> {
    let after = Arc::new(evolve(Order::clone(&before), &recorded.event)?);
    let step = Step { before, after };
    Ok(if is_small(&step.after) { recorded.replayed.keep(step) } else { step })
}

/// The order after an event, where the order before it is known.
fn passed(last: &mut LastOrders, recorded: &RecordedEvent) -> Option<Arc<Order>> {
    if let Some(step) = recorded.replayed.step() {
        return Some(step.after);
    }
    let before = match last.peek(&recorded.order_id) {
        Some((version, order)) if version + 1 == recorded.sequence => Arc::clone(order),
        _ if recorded.sequence == 1 => Arc::new(Order::Absent),
        _ => return None,
    };
    if recorded.sequence == 1 || is_small(&before) {
        return Some(replayed(before, recorded).ok()?.after);
    }
    // Nobody shares a large order: without its place here it changes without a clone.
    last.pop(&recorded.order_id);
    evolve(Arc::unwrap_or_clone(before), &recorded.event).ok().map(Arc::new)
}

/// Keeps the order after an event; nothing follows the end of one.
fn keep(last: &mut LastOrders, recorded: &RecordedEvent, after: &Arc<Order>) {
    if after.is_ended() {
        last.pop(&recorded.order_id);
    } else {
        last.put(recorded.order_id, (recorded.sequence, Arc::clone(after)));
    }
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
    last: LastOrders,
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
                replayed(before, recorded)?
            }
        };
        keep(&mut self.last, recorded, &step.after);
        Ok(step)
    }

    /// Passes an event that nobody asks about, so that the next one of its order needs no history.
    /// Where the order before it is unknown nothing is read, and one that cannot happen is left to
    /// whoever asks about the next.
    pub fn pass(&mut self, recorded: &RecordedEvent) {
        if let Some(after) = passed(&mut self.last, recorded) {
            keep(&mut self.last, recorded, &after);
        }
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
    use shared_events::contract::Timestamp;

    use super::*;
    use crate::domain::{By, Event};
    use crate::record::{Metadata, Replayed};

    const PLACED: &str = include_str!("../../tests/it/domain/golden/OrderPlaced.v2.bare.json");
    const NOTED: &str = include_str!("../../tests/it/domain/golden/NoteAdded.v1.json");

    fn recorded(sequence: u64, event: &str) -> RecordedEvent {
        let metadata = Metadata {
            by: By::service("shop"),
            request_id: None,
            fingerprint: None,
            causation: None,
            traceparent: None,
            tracestate: None,
        };
        RecordedEvent {
            order_id: "00000000-0000-0000-0000-00000000000a".parse().unwrap(),
            sequence,
            shard: 0,
            position: sequence,
            recorded_at: Timestamp::from_micros(1),
            mark: None,
            event: Arc::new(serde_json::from_str(event).unwrap()),
            metadata: Arc::new(metadata),
            replayed: Replayed::default(),
        }
    }

    #[test]
    fn an_order_whose_events_are_passed_is_known_without_its_history() {
        let mut last = LastOrders::new(NonZeroUsize::MIN);
        assert!(passed(&mut last, &recorded(2, NOTED)).is_none(), "it began before");
        for sequence in 1..=40 {
            let event = recorded(sequence, if sequence == 1 { PLACED } else { NOTED });
            let after = passed(&mut last, &event).unwrap();
            assert_eq!(event.replayed.step().is_some(), is_small(&after), "{sequence}");
            keep(&mut last, &event, &after);
            let (version, order) = last.peek(&event.order_id).unwrap();
            assert!(*version == sequence && Arc::ptr_eq(order, &after), "{sequence}");
        }
        // Whoever shares an event has replayed it.
        let shared = recorded(50, NOTED);
        let (before, after) = (Arc::new(Order::Absent), Arc::new(Order::Absent));
        shared.replayed.keep(Step { before, after: Arc::clone(&after) });
        assert!(Arc::ptr_eq(&passed(&mut last, &shared).unwrap(), &after));
        // One that cannot happen is no error of this one; what follows is read.
        assert!(passed(&mut last, &recorded(41, PLACED)).is_none());
        assert!(passed(&mut last, &recorded(42, NOTED)).is_none());
    }

    #[test]
    fn only_small_orders_are_kept_for_other_readers() {
        let placed: Event = serde_json::from_str(PLACED).unwrap();
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
