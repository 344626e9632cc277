use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use shared_events::contract::{Fact, FactBody, OrderFact, PaymentPart, RefundId, Timestamp};
use shared_events::stream::{Blame, Database, Handler, Outbox, Tx};
use tokio::sync::Notify;

use crate::domain::{Context, Input, Plan, Rejection};
use crate::psps::Psps;
use crate::store::{self, Origins};

/// Follows order facts: what an order asks for, delivers, cancels and refunds. Orders without a
/// payment plan say nothing of payments, and nothing is read or written for them.
pub struct OrderFollower {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) psps: Psps,
    pub(crate) due: Arc<Notify>,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

#[async_trait]
impl Handler<Fact> for OrderFollower {
    async fn handle(&mut self, tx: &mut Tx, facts: &[Fact]) -> Result<(), Blame> {
        let mut heard = Vec::new();
        let (mut orders, mut created) = (BTreeSet::new(), BTreeSet::new());
        for (index, fact) in facts.iter().enumerate() {
            let FactBody::Order(order) = &fact.body else { continue };
            let Some(input) = input(fact, order) else { continue };
            let order_id = order.order().order_id;
            orders.insert(order_id);
            if makes_a_case(&input) {
                created.insert(order_id);
            }
            heard.push((index, fact, order_id, input));
        }
        if orders.is_empty() {
            return Ok(());
        }
        let now = (self.now)();
        let mut cases = store::lock(&self.database, tx, &orders, &created).await?;
        for (index, fact, order_id, input) in heard {
            let Some(open) = cases.get_mut(&order_id) else { continue };
            open.shard = Some(fact.shard);
            let psp = match &input {
                Input::Request { plan, .. } => Some(&plan.psp),
                _ => open.case.plan.as_ref().map(|plan| &plan.psp),
            };
            let context = Context { capabilities: self.psps.capabilities(psp), now };
            let origins = Origins {
                causationid: Some(fact.id.to_string()),
                traceparent: fact.trace().map(str::to_owned),
            };
            match open.hear(input, &context, &origins) {
                Ok(()) => {}
                Err(error @ (Rejection::Malformed(_) | Rejection::Broken(_))) => {
                    return Err(Blame::item(index, error.to_string()));
                }
                Err(refused) => tracing::warn!(order = %order_id, %refused, "payments"),
            }
        }
        store::write((&self.database, &self.outbox), tx, cases.into_values().collect(), now)
            .await?;
        Ok(())
    }

    fn committed(&mut self) {
        self.outbox.committed();
        self.due.notify_one();
    }

    // Money that moved stays moved: where the log of orders was set back, the facts that it holds
    // now are heard once more, and those heard before do nothing.
}

/// Whether an order begins to have payments by it.
fn makes_a_case(input: &Input) -> bool {
    match input {
        Input::Request { .. } => true,
        Input::Cancelled { parts, whole, .. } => *whole && !parts.is_empty(),
        _ => false,
    }
}

fn paid(parts: &[PaymentPart]) -> Option<Vec<PaymentPart>> {
    (!parts.is_empty()).then(|| parts.to_vec())
}

/// What payments hear of a fact; nothing of those of orders without a plan.
fn input(fact: &Fact, order: &OrderFact) -> Option<Input> {
    let cause = fact.id.uuid();
    Some(match order {
        OrderFact::PaymentRequested { order, psp, capture, policy, pay_by, parts } => {
            let plan = Plan {
                customer_id: order.customer_id,
                psp: psp.clone(),
                capture: *capture,
                policy: *policy,
                pay_by: *pay_by,
            };
            Input::Request { plan, parts: parts.clone() }
        }
        OrderFact::Confirmed { payments, .. } => {
            paid(payments).map(|_| Input::Confirmed { cause })?
        }
        OrderFact::LinesFulfilled { shipment_id, payments, .. }
        | OrderFact::Fulfilled { shipment_id, payments, .. } => {
            Input::Fulfilled { cause: shipment_id.uuid(), parts: paid(payments)? }
        }
        OrderFact::LinesCancelled { refund_id, payments, .. } => Input::Cancelled {
            cause,
            refund_id: refund_id.unwrap_or(RefundId::from_uuid(cause)),
            parts: paid(payments)?,
            whole: false,
        },
        OrderFact::Cancelled { refund_id, payments, .. } => Input::Cancelled {
            cause,
            refund_id: refund_id.unwrap_or(RefundId::from_uuid(cause)),
            parts: paid(payments)?,
            whole: true,
        },
        OrderFact::RefundRequested { return_id, payments, .. } => {
            Input::Refund { refund_id: (*return_id).into(), parts: paid(payments)? }
        }
        _ => return None,
    })
}
