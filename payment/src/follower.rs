use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use shared_events::contract::{Fact, FactBody, OrderFact, PaymentPart, RefundId, Timestamp};
use shared_events::stream::{Blame, Cursors, Database, Handler, Outbox, Tx};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::counted::Became;
use crate::domain::{Case, Context, Input, Plan, Rejection, Unheard};
use crate::psps::Psps;
use crate::store::{self, Doubted, Heard, OpenCase, Origins, Place, StoredEvent};

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
    /// Whether orders, or some of what they said, may be in doubt; true until it is known that none
    /// is.
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
        let mut doubted = match self.in_doubt {
            true => store::doubted_heard(&self.database, tx, &orders).await?,
            false => Doubted::new(),
        };
        let (mut kept, mut decided) = (Heard::new(), BTreeSet::new());
        for (index, fact, order_id, input) in heard {
            let Some(open) = cases.get_mut(&order_id) else { continue };
            open.shard = Some(fact.shard);
            if let Some(cause) = cause_of(&input, &open.case) {
                kept.insert((order_id, cause), Place::of(fact));
            }
            if let Some(causes) = lost_before(&mut doubted, open, fact, &input) {
                decided.insert(order_id);
                // An order that is placed anew forgets all that it had said.
                if !(open.is_in_doubt() && matches!(input, Input::Request { .. })) {
                    self.unhear(open, causes, now).await?;
                }
            }
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
        store::forget_doubted(&self.database, tx, &decided).await?;
        store::keep_heard(&self.database, tx, &kept).await?;
        self.write(tx, cases.into_values().collect(), now).await
    }

    fn committed(&mut self) {
        std::mem::take(&mut self.became).count();
        self.outbox.committed();
        self.due.notify_one();
    }

    /// Money that moved stays moved. The facts that the log holds now are heard once more, and those
    /// heard before do nothing; orders that asked for money after `to` are in doubt until then, and
    /// so is all that orders said after it.
    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        self.became = Became::default();
        for (shard, _) in from.iter() {
            let orders = store::doubt(tx, shard, to.get(shard)).await?;
            let facts = store::doubt_heard(tx, shard, to.get(shard)).await?;
            if orders > 0 || facts > 0 {
                tracing::warn!(
                    shard,
                    orders,
                    facts,
                    "the log was set back: paid orders, or what they said, are in doubt"
                );
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

    /// Orders that did not ask for money again are gone, and so is what others did not say again.
    async fn read_again(
        &mut self,
        tx: &mut Tx,
        shards: &BTreeSet<u16>,
    ) -> Result<BTreeSet<u16>, Blame> {
        // No shard is read once more: what came was enough to decide.
        let none = BTreeSet::new();
        self.became = Became::default();
        if !store::is_any_doubted(tx).await? {
            self.in_doubt = false;
            return Ok(none);
        }
        let now = (self.now)();
        let gone = store::doubted(&self.database, tx, shards, DECIDED_MAX).await?;
        if gone.is_empty() {
            self.lost(tx, shards, now).await?;
            return Ok(none);
        }
        let mut cases = store::lock(&self.database, tx, &gone, &BTreeSet::new()).await?;
        let mut decided = BTreeSet::new();
        for (order_id, open) in &mut cases {
            // Another process may have decided it since, and the order may be there again.
            if !open.take_doubt() {
                continue;
            }
            decided.insert(*order_id);
            let context = self.context(open, now);
            tracing::warn!(order = %order_id, "the journal no longer holds an order with payments");
            // One order does not hold up the others; `verify` names it.
            if let Err(error) = open.hear(Input::Vanished, &context, &Origins::default()) {
                tracing::error!(order = %order_id, %error, "its payments were left as they are");
            }
        }
        store::forget_doubted(&self.database, tx, &decided).await?;
        self.write(tx, cases.into_values().collect(), now).await?;
        Ok(none)
    }
}

impl OrderFollower {
    /// Decides about orders of these shards that are there, and of which something is in doubt.
    async fn lost(
        &mut self,
        tx: &mut Tx,
        shards: &BTreeSet<u16>,
        now: Timestamp,
    ) -> Result<(), Blame> {
        let orders = store::unheard(&self.database, tx, shards, DECIDED_MAX).await?;
        let doubted = store::doubted_heard(&self.database, tx, &orders).await?;
        let mut cases = store::lock(&self.database, tx, &orders, &BTreeSet::new()).await?;
        for (order_id, causes) in doubted {
            if let Some(open) = cases.get_mut(&order_id) {
                self.unhear(open, causes.into_keys().collect(), now).await?;
            }
        }
        store::forget_doubted(&self.database, tx, &orders).await?;
        self.write(tx, cases.into_values().collect(), now).await
    }

    /// The journal has the order, and does not have these of its parcels, refunds and facts.
    async fn unhear(
        &self,
        open: &mut OpenCase,
        causes: BTreeSet<Uuid>,
        now: Timestamp,
    ) -> Result<(), Blame> {
        let (order_id, facts) = (open.case.order_id, causes.len());
        tracing::warn!(order = %order_id, facts, "the journal lost what moved an order's money");
        // Read beside the transaction: what is in doubt was committed before the journal was set
        // back, and the case is locked, so that nothing is added meanwhile. What this transaction
        // itself decided is of no cause in doubt.
        let stored = store::events_of(&self.database, order_id).await?;
        let history = stored.iter().map(StoredEvent::parsed).collect::<Result<Vec<_>, _>>()?;
        let input = Input::Unheard(Unheard::of(causes, &history));
        let context = self.context(open, now);
        // One order does not hold up the others; `verify` names it.
        if let Err(error) = open.hear(input, &context, &Origins::default()) {
            tracing::error!(order = %order_id, %error, "its payments were left as they are");
        }
        Ok(())
    }

    /// What a decision about an order needs beside it.
    fn context(&self, open: &OpenCase, now: Timestamp) -> Context {
        let psp = open.case.plan.as_ref().map(|plan| &plan.psp);
        Context { capabilities: self.psps.capabilities(psp), now }
    }

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

/// The cause of what is heard, by which it is known when it is heard again: a parcel, a refund, or
/// a fact. A request is known by its own fact.
fn cause_of(input: &Input, case: &Case) -> Option<Uuid> {
    match input {
        // Of other orders a confirmation says nothing of money.
        Input::Confirmed { cause } => case.takes_first().then_some(*cause),
        Input::Fulfilled { cause, .. } | Input::Cancelled { cause, .. } => Some(*cause),
        Input::Refund { refund_id, .. } => Some(refund_id.uuid()),
        _ => None,
    }
}

/// What an order does not say any more, as is known once it says something new: what it said comes
/// in order, so what was not heard again until then is not there.
fn lost_before(
    doubted: &mut Doubted,
    open: &OpenCase,
    fact: &Fact,
    input: &Input,
) -> Option<BTreeSet<Uuid>> {
    let order_id = open.case.order_id;
    let causes = doubted.get_mut(&order_id)?;
    let is_new = match (cause_of(input, &open.case), input) {
        (Some(cause), _) => match causes.get(&cause) {
            Some(known) if *known == fact.id.to_string() => {
                causes.remove(&cause);
                false
            }
            // It is said anew, by another fact: what it said before is gone.
            Some(_) => true,
            None => !open.case.has_heard(cause),
        },
        (None, Input::Request { .. }) => open.asked_otherwise(fact),
        (None, _) => false,
    };
    let lost = if is_new { doubted.remove(&order_id) } else { None };
    lost.filter(|causes| !causes.is_empty()).map(|causes| causes.into_keys().collect())
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
                asked_by: Some(fact.id),
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
