use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use shared_events::contract::OrderId;
use shared_events::stream::History;

use crate::domain::{Impossible, Order, evolve};
use crate::journal::{Journal, JournalError};
use crate::limits::UNFOLDED_MAX;
use crate::record::{DecodeError, RecordedEvent, decode};

/// The order before and after an event.
#[derive(Clone, Debug)]
pub struct Step {
    /// As it was.
    pub before: Arc<Order>,
    /// As the event made it.
    pub after: Arc<Order>,
}

/// Why an event could not be unfolded.
#[derive(Debug, thiserror::Error)]
pub enum UnfoldError {
    /// The journal did not answer.
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
        /// The version at hand.
        sequence: u64,
    },
}

impl UnfoldError {
    /// Whether the history itself is at fault, and not the world.
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

/// Follows orders through their events, in order. Remembers the orders it met last; for others it
/// reads their history again.
pub struct Unfold {
    journal: Journal,
    last: LruCache<OrderId, (u64, Arc<Order>)>,
    /// Of which history they are.
    history: Option<History>,
}

impl Unfold {
    /// Over this journal.
    #[must_use]
    pub fn new(journal: Journal) -> Self {
        let most = NonZeroUsize::new(UNFOLDED_MAX).unwrap_or(NonZeroUsize::MIN);
        let history = journal.history();
        Self { journal, last: LruCache::new(most), history }
    }

    /// The order before and after this event.
    ///
    /// # Errors
    /// [`UnfoldError`]
    pub async fn step(&mut self, recorded: &RecordedEvent) -> Result<Step, UnfoldError> {
        let (order_id, sequence) = (recorded.order_id, recorded.sequence);
        let before = match self.last.get(&order_id) {
            Some((version, order)) if version + 1 == sequence => Arc::clone(order),
            _ => Arc::new(self.order_at(order_id, sequence.saturating_sub(1)).await?),
        };
        let after = Arc::new(evolve(Order::clone(&before), &recorded.event)?);
        if after.is_ended() {
            self.last.pop(&order_id);
        } else {
            self.last.put(order_id, (sequence, Arc::clone(&after)));
        }
        Ok(Step { before, after })
    }

    /// The order as the journal has it now, with its version and its last event; none where it does not
    /// exist.
    ///
    /// # Errors
    /// [`UnfoldError`]
    pub async fn now(
        &mut self,
        order_id: OrderId,
    ) -> Result<Option<(Order, RecordedEvent)>, UnfoldError> {
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

    /// Forgets every order: the journal tells another history.
    pub fn forget(&mut self) {
        self.last.clear();
    }

    /// Forgets every order where the journal has gone on as another incarnation: asked before each
    /// batch.
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

    async fn order_at(&self, order_id: OrderId, version: u64) -> Result<Order, UnfoldError> {
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
            Err(UnfoldError::Missing { sequence: version + 1 })
        }
    }
}
