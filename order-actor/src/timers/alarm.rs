use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use shared_events::chance::Chance;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::metric::table::DEADLINE_LATENESS;
use shared_events::stream::{Backoff, DatabaseError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::actor::{Context, Refusal, Registry};
use crate::clock::Clock;
use crate::domain::{By, Component, DeadlineKind};
use crate::limits::{CONCURRENT_REACTIONS_MAX, REACTION_DEADLINE};
use crate::projections::{Deadlines, DueDeadline};

/// Rows per read.
const PAGE: u32 = 1_000;
/// The list is read at least this often.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Sends a command to each order whose deadline has passed. The durable list is the read model
/// [`Deadlines`], which follows the journal. The order decides by its state whether the deadline
/// still applies, so sending a command twice changes nothing.
pub struct Alarm {
    deadlines: Deadlines,
    registry: Registry,
    clock: Arc<dyn Clock>,
    /// Deadlines already sent that the read model still lists.
    sent: HashSet<(OrderId, DeadlineKind, Timestamp)>,
    /// While it is true, no command is sent.
    held: Option<watch::Receiver<bool>>,
    chance: Chance,
}

impl Alarm {
    /// An alarm over this list.
    #[must_use]
    pub fn new(deadlines: Deadlines, registry: Registry, clock: Arc<dyn Clock>) -> Self {
        let chance = Chance::system();
        Self { deadlines, registry, clock, sent: HashSet::new(), held: None, chance }
    }

    /// Sends nothing while this is true.
    #[must_use]
    pub fn held(mut self, held: watch::Receiver<bool>) -> Self {
        self.held = Some(held);
        self
    }

    /// Draws random pauses from this source instead of the machine's.
    #[must_use]
    pub fn drawing_from(mut self, chance: Chance) -> Self {
        self.chance = chance;
        self
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut attempt = 0;
        if let Some(mut held) = self.held.take() {
            tokio::select! {
                // A dropped sender also ends the hold.
                _ = held.wait_for(|held| !held) => {}
                () = stop.cancelled() => return,
            }
        }
        while !stop.is_cancelled() {
            let changed = self.deadlines.changed();
            let pause = match self.send_due().await {
                Ok(Round { failed: 0, .. }) => {
                    attempt = 0;
                    POLL_INTERVAL
                }
                Ok(Round { failed, .. }) => {
                    tracing::warn!(failed, "commands of passed deadlines failed; retrying");
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

    async fn send_due(&mut self) -> Result<Round, DatabaseError> {
        let now = self.clock.now();
        let mut after = None;
        let mut still_due = HashSet::new();
        let mut outcome = Round::default();
        loop {
            let page = self.deadlines.due(now, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.due, last.order_id));
            let fresh: Vec<DueDeadline> = page
                .iter()
                // Each node serves only the orders of its own shards.
                .filter(|due| self.registry.is_here(due.order_id))
                .filter(|due| !self.sent.contains(&key(due)))
                .cloned()
                .collect();
            still_due.extend(page.iter().map(key));
            let registry = &self.registry;
            let mut sending = futures::stream::iter(fresh)
                .map(|due| async move { (send(registry, &due).await, due) })
                .buffer_unordered(CONCURRENT_REACTIONS_MAX);
            while let Some((done, due)) = sending.next().await {
                if done {
                    let late = self.clock.now().since(due.due);
                    DEADLINE_LATENESS.took([due.kind.code()], late);
                    self.sent.insert(key(&due));
                    outcome.sent += 1;
                } else {
                    outcome.failed += 1;
                }
            }
        }
        self.sent.retain(|key| still_due.contains(key));
        if outcome.sent > 0 {
            tracing::debug!(sent = outcome.sent, "deadlines");
        }
        Ok(outcome)
    }
}

/// What tells deadlines apart: two kinds of one order may be due at the same time.
const fn key(due: &DueDeadline) -> (OrderId, DeadlineKind, Timestamp) {
    (due.order_id, due.kind, due.due)
}

#[derive(Default)]
struct Round {
    sent: usize,
    failed: usize,
}

/// Sends the deadline's command. True if the order executed it or has no such deadline any more.
async fn send(registry: &Registry, due: &DueDeadline) -> bool {
    let context = Context::new(By::Engine(Component::TIMER), Instant::now() + REACTION_DEADLINE);
    match registry.execute(due.order_id, due.kind.command(), context).await {
        Ok(_) | Err(Refusal::Rejected(_) | Refusal::Quarantined(_) | Refusal::Archived { .. }) => {
            true
        }
        Err(refusal) => {
            tracing::warn!(order = %due.order_id, %refusal, "the command of a passed deadline failed");
            false
        }
    }
}
