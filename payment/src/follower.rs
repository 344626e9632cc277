use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use shared_events::contract::{Fact, FactBody, OrderFact, PaymentPart, RefundId, Timestamp};
use shared_events::stream::{Blame, Cursors, Database, Handler, Outbox, Tx};
use tokio::sync::Notify;

use crate::counted::Became;
use crate::domain::{Context, Input, Plan, Rejection};
use crate::psps::Psps;
use crate::store::{self, OpenCase, Origins};

/// Follows order facts: what an order asks for, delivers, cancels and refunds. Orders without a
/// payment plan say nothing of payments, and nothing is read or written for them.
pub struct OrderFollower {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) psps: Psps,
    pub(crate) due: Arc<Notify>,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// What became of operations in the transaction that is under way.
    pub(crate) became: Became,
    /// Whether orders may be in doubt; true until it is known that none is.
    pub(crate) in_doubt: bool,
}

#[async_trait]
impl Handler<Fact> for OrderFollower {
    async fn handle(&mut self, tx: &mut Tx, facts: &[Fact]) -> Result<(), Blame> {
        // An earlier try came to nothing.
        self.became = Became::default();
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
            match hear(open, fact, input, &context) {
                Ok(()) => {}
                Err(error @ (Rejection::Malformed(_) | Rejection::Broken(_))) => {
                    return Err(Blame::item(index, error.to_string()));
                }
                Err(refused) => tracing::warn!(order = %order_id, %refused, "payments"),
            }
        }
        self.write(tx, cases.into_values().collect(), now).await
    }

    fn committed(&mut self) {
        std::mem::take(&mut self.became).count();
        self.outbox.committed();
        self.due.notify_one();
    }

    /// Money that moved stays moved. The facts that the log holds now are heard once more, and those
    /// heard before do nothing; orders that asked for money after `to` are in doubt until then.
    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        self.became = Became::default();
        for (shard, _) in from.iter() {
            let orders = store::doubt(tx, shard, to.get(shard)).await?;
            if orders > 0 {
                tracing::warn!(shard, orders, "the log was set back: paid orders are in doubt");
            }
        }
        self.in_doubt = true;
        Ok(to.clone())
    }

    fn resumes(&mut self) {
        self.in_doubt = true;
    }

    fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    async fn shards_in_doubt(&mut self) -> Result<BTreeSet<u16>, Blame> {
        Ok(store::doubted_shards(&self.database).await?)
    }

    /// Orders that did not ask for money again are gone.
    async fn read_again(&mut self, tx: &mut Tx, shards: &BTreeSet<u16>) -> Result<(), Blame> {
        self.became = Became::default();
        if !store::is_any_doubted(tx).await? {
            self.in_doubt = false;
            return Ok(());
        }
        let gone = store::doubted(&self.database, tx, shards, DECIDED_MAX).await?;
        let mut cases = store::lock(&self.database, tx, &gone, &BTreeSet::new()).await?;
        let now = (self.now)();
        for (order_id, open) in &mut cases {
            // Another process may have decided it since, and the order may be there again.
            if !open.take_doubt() {
                continue;
            }
            let psp = open.case.plan.as_ref().map(|plan| &plan.psp);
            let context = Context { capabilities: self.psps.capabilities(psp), now };
            tracing::warn!(order = %order_id, "the journal no longer holds an order with payments");
            // One order does not hold up the others; `verify` names it.
            if let Err(error) = open.hear(Input::Vanished, &context, &Origins::default()) {
                tracing::error!(order = %order_id, %error, "its payments were left as they are");
            }
        }
        self.write(tx, cases.into_values().collect(), now).await
    }
}

impl OrderFollower {
    /// Writes what happened. It is counted once that is committed.
    async fn write(
        &mut self,
        tx: &mut Tx,
        cases: Vec<OpenCase>,
        now: Timestamp,
    ) -> Result<(), Blame> {
        self.became = Became::all(cases.iter().map(OpenCase::became));
        store::write((&self.database, &self.outbox), tx, cases, now).await?;
        Ok(())
    }
}

/// Orders that are decided in one transaction.
const DECIDED_MAX: u32 = 256;

/// An order says something. Where it asks for money by another fact than in a history that is in
/// doubt, that one is gone: it was placed anew.
fn hear(
    open: &mut OpenCase,
    fact: &Fact,
    input: Input,
    context: &Context,
) -> Result<(), Rejection> {
    let origins = Origins {
        causationid: Some(fact.id.to_string()),
        traceparent: fact.trace().map(str::to_owned),
        tracestate: fact.trace_state().map(str::to_owned),
    };
    if matches!(input, Input::Request { .. }) && open.asks_by(fact) {
        open.hear(Input::Vanished, context, &origins)?;
    }
    open.hear(input, context, &origins)
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
