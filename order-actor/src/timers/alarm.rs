use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use shared_events::chance::Chance;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::{Backoff, DatabaseError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::actor::{Context, Refusal, Registry};
use crate::clock::Clock;
use crate::domain::{By, Component};
use crate::limits::{REACTION_DEADLINE, REACTIONS_AT_ONCE};
use crate::projections::{Deadlines, DueDeadline};

/// Rows read at a time.
const PAGE: u32 = 1_000;
/// The list is looked at again at least this often, whatever it said last.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Wakes the orders whose deadline has passed. The durable list is the read model [`Deadlines`],
/// which follows the journal; in memory is only when the next one is due. An order judges by its
/// own state whether the deadline still counts, so ringing twice changes nothing.
pub struct Alarm {
    deadlines: Deadlines,
    registry: Registry,
    clock: Arc<dyn Clock>,
    /// Rang, and the read model has not seen the outcome yet.
    rang: HashSet<(OrderId, Timestamp)>,
    /// Whether it is to wait, whatever is due.
    held: Option<watch::Receiver<bool>>,
    chance: Chance,
}

impl Alarm {
    /// An alarm over this list.
    #[must_use]
    pub fn new(deadlines: Deadlines, registry: Registry, clock: Arc<dyn Clock>) -> Self {
        let chance = Chance::system();
        Self { deadlines, registry, clock, rang: HashSet::new(), held: None, chance }
    }

    /// Rings nothing while this says so.
    #[must_use]
    pub fn held(mut self, held: watch::Receiver<bool>) -> Self {
        self.held = Some(held);
        self
    }

    /// Pauses by chance are drawn from there, and not from the machine.
    #[must_use]
    pub fn drawing_from(mut self, chance: Chance) -> Self {
        self.chance = chance;
        self
    }

    /// Rings until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut attempt = 0;
        if let Some(mut held) = self.held.take() {
            tokio::select! {
                // Whoever holds it and is gone holds it no longer.
                _ = held.wait_for(|held| !held) => {}
                () = stop.cancelled() => return,
            }
        }
        while !stop.is_cancelled() {
            let changed = self.deadlines.changed();
            let pause = match self.ring_due().await {
                Ok(Rang { failed: 0, .. }) => {
                    attempt = 0;
                    LOOK_AGAIN
                }
                Ok(Rang { failed, .. }) => {
                    tracing::warn!(failed, "orders did not hear their deadline; ringing again");
                    attempt += 1;
                    Backoff::FOLLOWER.wait(attempt, self.chance.number())
                }
                Err(error) => {
                    tracing::warn!(%error, "deadlines cannot be read");
                    attempt += 1;
                    Backoff::FOLLOWER.wait(attempt, self.chance.number())
                }
            };
            let next = self.deadlines.next_after(self.clock.now()).await.ok().flatten();
            let clock = Arc::clone(&self.clock);
            tokio::select! {
                () = async { match next { Some(due) => clock.wait_until(due).await, None => std::future::pending().await } } => {}
                () = changed => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn ring_due(&mut self) -> Result<Rang, DatabaseError> {
        let now = self.clock.now();
        let mut after = None;
        let mut still_due = HashSet::new();
        let mut outcome = Rang::default();
        loop {
            let page = self.deadlines.due(now, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.due, last.order_id));
            let fresh: Vec<DueDeadline> = page
                .iter()
                // Each node rings for the orders of its own shards.
                .filter(|due| self.registry.is_here(due.order_id))
                .filter(|due| !self.rang.contains(&(due.order_id, due.due)))
                .cloned()
                .collect();
            still_due.extend(page.iter().map(|due| (due.order_id, due.due)));
            let registry = &self.registry;
            let mut rings = futures::stream::iter(fresh)
                .map(|due| async move { (ring(registry, &due).await, due) })
                .buffer_unordered(REACTIONS_AT_ONCE);
            while let Some((rung, due)) = rings.next().await {
                if rung {
                    self.rang.insert((due.order_id, due.due));
                    outcome.rang += 1;
                } else {
                    outcome.failed += 1;
                }
            }
        }
        self.rang.retain(|key| still_due.contains(key));
        if outcome.rang > 0 {
            tracing::debug!(rang = outcome.rang, "deadlines");
        }
        Ok(outcome)
    }
}

#[derive(Default)]
struct Rang {
    rang: usize,
    failed: usize,
}

/// Whether the order heard it: did what was due, or had no such deadline any more.
async fn ring(registry: &Registry, due: &DueDeadline) -> bool {
    let context = Context::new(By::Engine(Component::TIMER), Instant::now() + REACTION_DEADLINE);
    match registry.execute(due.order_id, due.kind.command(), context).await {
        Ok(_) | Err(Refusal::Rejected(_) | Refusal::Quarantined(_) | Refusal::Archived { .. }) => {
            true
        }
        Err(refusal) => {
            tracing::warn!(order = %due.order_id, %refusal, "deadline not heard");
            false
        }
    }
}
