use async_trait::async_trait;
use shared_events::contract::{
    CancelReason, Fact, FactBody, FactId, InventoryFact, LineUnits, OrderId, Origin, ReservationId,
};

use super::answers::{Answering, Answers, Unanswered, send};
use crate::actor::{Refusal, Registry};
use crate::domain::{
    Allocate, AnswerEdit, By, Cancel, Command, Compensated, Compensation, Component, Confirm,
    LineQuantity, Order, Rejection,
};
use crate::projections::STOCK_ANSWERS;

/// Confirms or cancels orders as stock answers, and allocates units that waited.
pub type StockAnswers = Answers<Stock>;

/// What stock answers.
#[derive(Default)]
pub struct Stock {
    /// Whether cancelled orders with a payment plan note that their stock is free.
    compensates: bool,
}

impl StockAnswers {
    /// The same in an engine that has payments: cancelled orders with a payment plan note that their
    /// stock is free. Other orders are looked at and stay as they are.
    #[must_use]
    pub fn and_compensates(mut self) -> Self {
        self.kind.compensates = true;
        self
    }
}

#[async_trait]
impl Answering for Stock {
    const NAME: &'static str = STOCK_ANSWERS;

    fn command_of(&self, fact: &Fact) -> Option<Command> {
        command_of(fact, self.compensates)
    }

    async fn execute(
        &self,
        registry: &Registry,
        order_id: OrderId,
        command: Command,
        fact: &Fact,
    ) -> Result<(), Unanswered> {
        execute(registry, order_id, command, fact).await
    }
}

fn command_of(fact: &Fact, compensates: bool) -> Option<Command> {
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
        FactBody::Inventory(InventoryFact::EditReserved { edit_id, backordered, .. }) => {
            let (missing, backordered) = (Vec::new(), quantities(backordered));
            Some(Command::AnswerEdit(AnswerEdit { edit_id: *edit_id, missing, backordered }))
        }
        FactBody::Inventory(InventoryFact::EditRejected { edit_id, skus, .. }) => {
            let (missing, backordered) = (skus.clone(), Vec::new());
            Some(Command::AnswerEdit(AnswerEdit { edit_id: *edit_id, missing, backordered }))
        }
        FactBody::Inventory(InventoryFact::Released { .. }) if compensates => {
            Some(Command::Compensated(Compensated { stock: true, money: false }))
        }
        FactBody::Inventory(
            InventoryFact::Released { .. }
            | InventoryFact::Committed { .. }
            | InventoryFact::Restocked { .. },
        )
        | FactBody::Order(_)
        | FactBody::Notification(_)
        | FactBody::Payment(_)
        | FactBody::Payout(_) => None,
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

/// Stock lost a confirmed reservation: a dead letter for operators, not a cancellation.
const REVOKED: Unanswered = Unanswered::Never("stock rejects an order that it had confirmed");

/// Executes the command that answers to a fact.
async fn execute(
    registry: &Registry,
    order_id: OrderId,
    command: Command,
    fact: &Fact,
) -> Result<(), Unanswered> {
    let by = By::Engine(Component::STOCK);
    if let Command::Compensated(_) = &command {
        return free(registry, order_id, command, fact).await;
    }
    // Only answers of stock confirm, and those about one order come in order: a confirmed order was
    // promised its units. Only a withdrawal of that reservation takes them back.
    if let Command::Cancel(_) = &command {
        match registry.view(order_id, &by).await {
            Ok(view) if is_promised(&view.order, withdrawn_by(fact)) => return Err(REVOKED),
            // Cancelled by somebody else after stock had freed the units, and before it said that
            // it withdraws them: when it hears of the cancellation there is nothing to free.
            Ok(view) if is_cancelled_and_withdrawn(&view.order, fact) => {
                let open = match view.order.compensation() {
                    Compensation::Running(open) => open.stock,
                    Compensation::None | Compensation::Done => false,
                };
                if !open {
                    return Ok(());
                }
                let freed = Command::Compensated(Compensated { stock: true, money: false });
                send(registry, by, order_id, freed, fact).await?;
                return Ok(());
            }
            Ok(_) | Err(Refusal::Rejected(Rejection::NotFound)) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    match send(registry, by, order_id, command, fact).await {
        // Stock was restored, and answers the same fact again from other levels. The order keeps to
        // the first answer. What an edit adds and lets wait here, and not there, stock tells as
        // allocated; what a placement lets wait, nobody does (docs/limits.md).
        Err(Refusal::RequestIdReused) => {
            let kind = fact.body.kind();
            tracing::warn!(order = %order_id, kind, "stock answers otherwise than it did before");
            Ok(())
        }
        sent => Ok(sent.map(drop)?),
    }
}

fn is_cancelled_and_withdrawn(order: &Order, fact: &Fact) -> bool {
    matches!(order, Order::Cancelled(_)) && withdrawn_by(fact).is_some()
}

/// Notes that stock of a cancelled order is free. Units are freed of many orders, also of those that
/// are quarantined or archived, or that the journal does not hold: they need no note.
async fn free(
    registry: &Registry,
    order_id: OrderId,
    command: Command,
    fact: &Fact,
) -> Result<(), Unanswered> {
    let by = By::Engine(Component::STOCK);
    let freed = match registry.view(order_id, &by).await {
        Ok(view) => {
            let runs = matches!(view.order.compensation(), Compensation::Running(_));
            if !runs || is_of_earlier(&view.order, fact) {
                return Ok(());
            }
            send(registry, by, order_id, command, fact).await.map(drop)
        }
        Err(refusal) => Err(refusal),
    };
    match freed {
        Err(
            Refusal::Rejected(Rejection::NotFound)
            | Refusal::Quarantined(_)
            | Refusal::Archived { .. },
        ) => Ok(()),
        freed => Ok(freed?),
    }
}

/// Whether stock freed units because of an event before the cancellation. A fact that stock derives
/// from one of the order has its version, and an id that tells so; any other has none of the order.
fn is_of_earlier(order: &Order, fact: &Fact) -> bool {
    let payment = order.details().and_then(|details| details.payment.as_deref());
    let Some(saga) = payment.and_then(|payment| payment.saga) else { return false };
    let cause = fact.causationid.as_deref().and_then(|id| id.parse::<FactId>().ok());
    let derived =
        cause.is_some_and(|cause| fact.id.is_caused_by(Origin::Inventory, cause, fact.body.kind()));
    derived && fact.sequence < saga.version
}

/// Whether an order was promised its units by another reservation than the withdrawn one.
fn is_promised(order: &Order, withdrawn: Option<ReservationId>) -> bool {
    let promised = match order {
        Order::Confirmed(order) => Some(order.reservation_id),
        Order::Pending(order) => {
            let held = order.details.payment.as_ref().and_then(|payment| payment.held.as_ref());
            held.map(|held| held.reservation_id)
        }
        _ => None,
    };
    promised.is_some_and(|promised| withdrawn != Some(promised))
}
