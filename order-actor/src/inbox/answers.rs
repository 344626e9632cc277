//! What the answers of other services have in common: how they are sent, and which refusals are
//! final. Never here: which command answers to which fact.

use std::collections::BTreeMap;
use std::time::Duration;

use shared_events::contract::{Fact, OrderId};
use shared_events::stream::Blame;
use tokio::time::Instant;

use crate::actor::{Context, Executed, Refusal, Registry};
use crate::domain::{By, Command, Rejection};
use crate::limits::REACTION_DEADLINE;

/// A setback of the journal is noticed within this time: a lease plus a poll of the shards.
const SETBACK_NOTICED_WITHIN: Duration = Duration::from_secs(10);

/// Since when answers arrive about orders that the journal does not hold.
#[derive(Default)]
pub(super) struct Missing(Option<Instant>);

impl Missing {
    /// Whether the order may be missing because the journal was set back, unnoticed so far. The
    /// time is shared by all answers and ends with the next batch that succeeds.
    fn may_be_set_back(&mut self) -> bool {
        self.0.get_or_insert_with(Instant::now).elapsed() < SETBACK_NOTICED_WITHIN
    }

    /// A batch has succeeded.
    pub(super) fn is_over(&mut self) {
        self.0 = None;
    }

    /// Whether an answer of a service is done: the order accepted it, or no longer needs it.
    pub(super) async fn judge(
        &mut self,
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
            Refusal::Rejected(Rejection::NotFound) if registry.was_set_back().await => {
                let order = fact.subject;
                tracing::warn!(%order, service, "answered about an order that the journal no longer holds");
                Ok(())
            }
            refusal @ Refusal::Rejected(Rejection::NotFound) if self.may_be_set_back() => {
                Err(Blame::World(refusal.to_string()))
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
