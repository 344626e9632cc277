//! What the answers of other services have in common: how they are sent, and which refusals are
//! final. Never here: which command answers to which fact.

use std::collections::BTreeMap;

use shared_events::contract::{Fact, OrderId};
use shared_events::stream::Blame;
use tokio::time::Instant;

use crate::actor::{Context, Executed, Refusal, Registry};
use crate::domain::{By, Command, Rejection};
use crate::limits::REACTION_DEADLINE;

/// What becomes of answers about orders that the journal does not hold. Such an answer is a dead
/// letter at once: it holds up no answer about another order. Where the journal was set back, which
/// is noticed some seconds later, it is retried then, and passed over.
pub(super) struct Missing {
    follower: &'static str,
    /// The incarnation of the journal for which letters were put back, and the one for which they
    /// are to be.
    retried: (u64, u64),
}

impl Missing {
    /// Of the follower with this name.
    pub(super) const fn of(follower: &'static str) -> Self {
        Self { follower, retried: (1, 1) }
    }

    /// Where the journal continues as another incarnation, the error of letters about orders that it
    /// did not hold: they are retried, once.
    pub(super) fn failed_with(&mut self, registry: &Registry) -> Option<String> {
        self.retried.1 = self.retried.0.max(registry.incarnation());
        let another = self.retried.1 > self.retried.0;
        another.then(|| Refusal::Rejected(Rejection::NotFound).to_string())
    }

    /// So many letters are put back.
    pub(super) fn retried(&mut self, letters: u64) {
        self.retried.0 = self.retried.1;
        if letters > 0 {
            let follower = self.follower;
            tracing::warn!(follower, letters, "dead letters are retried: the journal was set back");
        }
    }

    /// Whether an answer of a service is done: the order accepted it, or no longer needs it.
    pub(super) async fn judge(
        &self,
        (registry, service): (&Registry, &'static str),
        (index, fact): (usize, &Fact),
        refusal: Refusal,
    ) -> Result<(), Blame> {
        match refusal {
            // Cancelled or lapsed meanwhile: that fact of the order tells the service. An archived
            // order was over before.
            Refusal::Rejected(Rejection::InvalidTransition { .. }) | Refusal::Archived { .. } => {
                Ok(())
            }
            // About an order that the journal no longer holds since it was set back.
            Refusal::Rejected(Rejection::NotFound)
                if registry
                    .was_set_back()
                    .await
                    .map_err(|error| Blame::World(error.to_string()))? =>
            {
                let order = fact.subject;
                tracing::warn!(%order, service, "answered about an order that the journal no longer holds");
                Ok(())
            }
            refusal @ (Refusal::Rejected(_)
            | Refusal::Quarantined(_)
            | Refusal::RequestIdReused
            | Refusal::TooLarge
            | Refusal::TooManyEvents
            | Refusal::VersionMismatch { .. }) => {
                Err(Blame::Item { index, error: refusal.to_string() })
            }
            refusal => Err(Blame::World(refusal.to_string())),
        }
    }
}

/// Notes the facts of a batch that this blames; an error is one of the world outside.
pub(super) fn note(
    poison: &mut Vec<(usize, String)>,
    judged: Result<(), Blame>,
) -> Result<(), Blame> {
    if let Err(blame) = judged {
        poison.extend(blame.into_items()?);
    }
    Ok(())
}

/// The commands that answer to facts, by their orders, each with the index of its fact.
pub(super) fn by_order(
    facts: &[Fact],
    command_of: impl Fn(&Fact) -> Option<Command>,
) -> BTreeMap<OrderId, Vec<(usize, Command)>> {
    let mut of_orders: BTreeMap<OrderId, Vec<(usize, Command)>> = BTreeMap::new();
    for (index, fact) in facts.iter().enumerate() {
        if let (Some(order_id), Some(command)) = (fact.body.order_id(), command_of(fact)) {
            of_orders.entry(order_id).or_default().push((index, command));
        }
    }
    of_orders
}

/// Sends a command whose request id is the fact's id: repeating it changes nothing.
pub(super) async fn send(
    registry: &Registry,
    by: By,
    order_id: OrderId,
    command: Command,
    fact: &Fact,
) -> Result<Executed, Refusal> {
    let mut context = Context::new(by, Instant::now() + REACTION_DEADLINE);
    context.request_id = Some(fact.id.as_request_id());
    context.causation = Some(fact.id.to_string());
    context.traceparent = fact.trace().map(str::to_owned);
    registry.execute(order_id, command, context).await
}
