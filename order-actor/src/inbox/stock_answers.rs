use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use shared_events::contract::{
    CancelReason, Fact, FactBody, InventoryFact, LineUnits, OrderId, ReservationId,
};
use shared_events::stream::{Blame, Handler, Tx};
use tokio::time::Instant;

use crate::actor::{Context, Executed, Refusal, Registry};
use crate::domain::{
    Allocate, AnswerEdit, By, Cancel, Command, Component, Confirm, LineQuantity, Order, Rejection,
};
use crate::limits::{CONCURRENT_REACTIONS_MAX, REACTION_DEADLINE};

/// Confirms or cancels orders as stock answers, and allocates units that waited. The effect is a command whose request id is the
/// fact's id, so repeating a batch after a crash changes nothing.
pub struct StockAnswers {
    registry: Registry,
    /// Since when answers arrive about orders that the journal does not hold.
    missing_since: Option<Instant>,
}

/// A setback of the journal is noticed within this time: a lease plus a poll of the shards.
const SETBACK_NOTICED_WITHIN: Duration = Duration::from_secs(10);

impl StockAnswers {
    /// Sends answers to the orders of this registry.
    #[must_use]
    pub const fn new(registry: Registry) -> Self {
        Self { registry, missing_since: None }
    }

    /// Whether the order may be missing because the journal was set back, unnoticed so far. The
    /// time is shared by all answers and ends with the next batch that succeeds.
    fn may_be_set_back(&mut self) -> bool {
        self.missing_since.get_or_insert_with(Instant::now).elapsed() < SETBACK_NOTICED_WITHIN
    }
}

impl StockAnswers {
    /// Whether an answer is done: the order accepted it, or no longer needs it. `Err(None)` is an
    /// answer that revokes a reservation which stock had confirmed.
    async fn judge(
        &mut self,
        index: usize,
        fact: &Fact,
        outcome: Result<Executed, Option<Refusal>>,
    ) -> Result<(), Blame> {
        match outcome {
            // Cancelled or lapsed meanwhile: that fact of the order releases its stock. An archived
            // order was over before.
            Ok(_)
            | Err(Some(
                Refusal::Rejected(Rejection::InvalidTransition { .. }) | Refusal::Archived { .. },
            )) => {}
            // Stock answers about an order that the journal no longer holds since it was set back.
            Err(Some(Refusal::Rejected(Rejection::NotFound)))
                if self.registry.was_set_back().await =>
            {
                tracing::warn!(order = %fact.subject, "stock answered about an order that the journal no longer holds");
            }
            Err(Some(refusal @ Refusal::Rejected(Rejection::NotFound)))
                if self.may_be_set_back() =>
            {
                return Err(Blame::World(refusal.to_string()));
            }
            // Stock lost a confirmed reservation: a dead letter for operators, not a cancellation.
            Err(None) => {
                let error = "stock rejects an order that it had confirmed".to_owned();
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
        FactBody::Inventory(InventoryFact::Reserved { reservation_id, backordered, .. }) => {
            let (reservation_id, backordered) = (*reservation_id, quantities(backordered));
            Some(Command::Confirm(Confirm { reservation_id, backordered }))
        }
        FactBody::Inventory(InventoryFact::Allocated { reservation_id, lines, .. }) => {
            let (reservation_id, lines) = (*reservation_id, quantities(lines));
            Some(Command::Allocate(Allocate { reservation_id, lines }))
        }
        FactBody::Inventory(InventoryFact::Rejected { skus, .. }) => {
            Some(Command::Cancel(Cancel {
                reason: CancelReason::InsufficientStock,
                text: String::new(),
                lines: Vec::new(),
                skus: skus.clone(),
            }))
        }
        FactBody::Inventory(InventoryFact::EditReserved { edit_id, .. }) => {
            Some(Command::AnswerEdit(AnswerEdit { edit_id: *edit_id, missing: Vec::new() }))
        }
        FactBody::Inventory(InventoryFact::EditRejected { edit_id, skus, .. }) => {
            Some(Command::AnswerEdit(AnswerEdit { edit_id: *edit_id, missing: skus.clone() }))
        }
        FactBody::Inventory(
            InventoryFact::Released { .. }
            | InventoryFact::Committed { .. }
            | InventoryFact::Restocked { .. },
        )
        | FactBody::Order(_)
        | FactBody::Notification(_)
        | FactBody::Payment(_) => None,
    }
}

fn quantities(units: &[LineUnits]) -> Vec<LineQuantity> {
    let quantity = |units: &LineUnits| LineQuantity { line: units.line, quantity: units.quantity };
    units.iter().map(quantity).collect()
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
            .buffer_unordered(CONCURRENT_REACTIONS_MAX);
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
        match registry.view(order_id, &By::Engine(Component::STOCK)).await {
            Ok(view) if is_promised(&view.order, withdrawn_by(fact)) => return Err(None),
            Ok(_) | Err(Refusal::Rejected(Rejection::NotFound)) => {}
            Err(refusal) => return Err(Some(refusal)),
        }
    }
    let mut context =
        Context::new(By::Engine(Component::STOCK), Instant::now() + REACTION_DEADLINE);
    context.request_id = Some(fact.id.as_request_id());
    context.causation = Some(fact.id.to_string());
    context.traceparent.clone_from(&fact.traceparent);
    registry.execute(order_id, command, context).await.map_err(Some)
}

/// Whether an order was confirmed by another reservation than the withdrawn one.
fn is_promised(order: &Order, withdrawn: Option<ReservationId>) -> bool {
    matches!(order, Order::Confirmed(order) if withdrawn != Some(order.reservation_id))
}
