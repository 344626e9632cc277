use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use shared_events::contract::{
    CancelReason, Fact, FactBody, InventoryFact, OrderId, ReservationId,
};
use shared_events::stream::{Blame, Handler, Tx};
use tokio::time::Instant;

use crate::actor::{Context, Executed, Refusal, Registry};
use crate::domain::{By, Cancel, Command, Confirm, Order, Part, Rejection};
use crate::limits::{REACTION_DEADLINE, REACTIONS_AT_ONCE};

/// Tells orders whether their stock is held. The effect is a command whose request id is the
/// fact's id, so repeating a batch after a crash changes nothing.
pub struct StockAnswers {
    registry: Registry,
    /// Since when answers come about orders that the journal does not hold.
    missing_since: Option<Instant>,
}

/// Whether the journal was set back is known so much later: a lease, and a look at the shards.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

impl StockAnswers {
    /// Answers to these orders.
    #[must_use]
    pub const fn new(registry: Registry) -> Self {
        Self { registry, missing_since: None }
    }

    /// Whether stock may have heard of an order before the journal was set back, which is not known yet.
    /// The time is that of all answers, in whichever order they are told: it ends with a batch that passes.
    fn may_be_gone(&mut self) -> bool {
        self.missing_since.get_or_insert_with(Instant::now).elapsed() < NOTICED_WITHIN
    }
}

impl StockAnswers {
    /// Whether the order has heard an answer, or need not; `Err(None)` is an answer that takes back
    /// what stock had promised.
    async fn judge(
        &mut self,
        index: usize,
        fact: &Fact,
        outcome: Result<Executed, Option<Refusal>>,
    ) -> Result<(), Blame> {
        match outcome {
            // Cancelled or lapsed meanwhile: the order has said so itself, and its stock is
            // released by that fact. An order that was archived was over before.
            Ok(_)
            | Err(Some(
                Refusal::Rejected(Rejection::InvalidTransition { .. }) | Refusal::Archived { .. },
            )) => {}
            // Stock has heard of an order that the journal, since it was set back, does not hold.
            Err(Some(Refusal::Rejected(Rejection::NotFound)))
                if self.registry.was_set_back().await =>
            {
                tracing::warn!(order = %fact.subject, "an answer about an order that is gone");
            }
            Err(Some(refusal @ Refusal::Rejected(Rejection::NotFound))) if self.may_be_gone() => {
                return Err(Blame::World(refusal.to_string()));
            }
            // Stock has lost what it held: that is for people, and no reason to break a promise.
            Err(None) => {
                let error = "stock refuses what it had confirmed".to_owned();
                return Err(Blame::Item { index, error });
            }
            Err(Some(
                refusal @ (Refusal::Rejected(_)
                | Refusal::Quarantined(_)
                | Refusal::RequestIdReused
                | Refusal::TooLarge
                | Refusal::TooManyEvents
                | Refusal::VersionMismatch { .. }),
            )) => return Err(Blame::Item { index, error: refusal.to_string() }),
            Err(Some(refusal)) => return Err(Blame::World(refusal.to_string())),
        }
        Ok(())
    }
}

fn command_of(fact: &Fact) -> Option<Command> {
    match &fact.body {
        FactBody::Inventory(InventoryFact::Reserved { reservation_id, .. }) => {
            Some(Command::Confirm(Confirm { reservation_id: *reservation_id }))
        }
        FactBody::Inventory(InventoryFact::Rejected { skus, .. }) => {
            Some(Command::Cancel(Cancel {
                reason: CancelReason::InsufficientStock,
                text: String::new(),
                lines: Vec::new(),
                skus: skus.clone(),
            }))
        }
        FactBody::Inventory(
            InventoryFact::Released { .. }
            | InventoryFact::Committed { .. }
            | InventoryFact::Restocked { .. },
        )
        | FactBody::Order(_)
        | FactBody::Notification(_) => None,
    }
}

/// The reservation that a rejection withdraws, where its units had been held.
const fn withdrawn_by(fact: &Fact) -> Option<ReservationId> {
    match &fact.body {
        FactBody::Inventory(InventoryFact::Rejected { reservation_id, .. }) => *reservation_id,
        _ => None,
    }
}

#[async_trait]
impl Handler<Fact> for StockAnswers {
    /// The answers about one order are executed in their order, those about different orders at the
    /// same time.
    async fn handle(&mut self, _tx: &mut Tx, facts: &[Fact]) -> Result<(), Blame> {
        let registry = self.registry.clone();
        let registry = &registry;
        let mut of_orders: BTreeMap<OrderId, Vec<(usize, Command)>> = BTreeMap::new();
        for (index, fact) in facts.iter().enumerate() {
            if let (Some(order_id), Some(command)) = (fact.body.order_id(), command_of(fact)) {
                of_orders.entry(order_id).or_default().push((index, command));
            }
        }
        let mut answers = futures::stream::iter(of_orders)
            .map(|(order_id, commands)| async move {
                let mut outcomes = Vec::with_capacity(commands.len());
                for (index, command) in commands {
                    let outcome = execute(registry, order_id, command, &facts[index]).await;
                    outcomes.push((index, outcome));
                }
                outcomes
            })
            .buffer_unordered(REACTIONS_AT_ONCE);
        while let Some(outcomes) = answers.next().await {
            for (index, outcome) in outcomes {
                self.judge(index, &facts[index], outcome).await?;
            }
        }
        self.missing_since = None;
        Ok(())
    }
}

/// Executes the command that answers to a fact; `Err(None)` as in [`StockAnswers::judge`].
async fn execute(
    registry: &Registry,
    order_id: OrderId,
    command: Command,
    fact: &Fact,
) -> Result<Executed, Option<Refusal>> {
    // Only answers of stock confirm, and those about one order come in order: a confirmed order was
    // promised its units. Only a withdrawal of that reservation takes them back.
    if let Command::Cancel(_) = &command {
        match registry.view(order_id, &By::Engine(Part::STOCK)).await {
            Ok(view) if is_promised(&view.order, withdrawn_by(fact)) => return Err(None),
            Ok(_) | Err(Refusal::Rejected(Rejection::NotFound)) => {}
            Err(refusal) => return Err(Some(refusal)),
        }
    }
    let mut context = Context::new(By::Engine(Part::STOCK), Instant::now() + REACTION_DEADLINE);
    context.request_id = Some(fact.id.as_request_id());
    context.causation = Some(fact.id.to_string());
    context.traceparent.clone_from(&fact.traceparent);
    registry.execute(order_id, command, context).await.map_err(Some)
}

/// Whether an order was confirmed by another reservation than the withdrawn one.
fn is_promised(order: &Order, withdrawn: Option<ReservationId>) -> bool {
    matches!(order, Order::Confirmed(order) if withdrawn != Some(order.reservation_id))
}
