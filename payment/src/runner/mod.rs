//! The only place that talks to providers. What it is about to do is committed before it does it,
//! and no transaction is open while it waits.

mod answers; // what is made of an answer about a webhook
mod calls; // what is sent, and what is asked for
mod later; // webhooks that wait
mod payouts; // what is paid out to sellers
mod steps; // one operation, one step further
mod traced; // spans and times of calls
mod unwanted; // what is not sent any more
mod webhooks; // what providers told

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use shared_events::chance::Chance;
use shared_events::contract::{OperationId, OrderId, PspName, Timestamp};
use shared_events::stream::{Backoff, Database, DatabaseError, Outbox, Tx};
use shared_events::traces::{self, Span};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use payouts::PayoutRunner;
pub(crate) use payouts::new_fact;

use crate::counted::Became;
use crate::domain::{Breaker, Context, Input, OperationKind, Rejection};
use crate::psps::Psps;
use crate::store::{self, OpenCase, Origins};

/// Operations that are called or asked at the same time, and so many webhooks beside them.
const IN_FLIGHT_MAX: usize = 16;
/// Operations, and cases, read at a time.
const READ_MAX: u32 = 64;
const MINUTE: Duration = Duration::from_secs(60);
/// The longest pause between two looks.
const POLL: Duration = Duration::from_millis(500);
/// How long a provider may take. Less than [`CALL_MAX`](crate::domain::CALL_MAX), so that nobody
/// else takes it for dead.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a token is kept at most, in microseconds: a day, as long as providers remember keys.
const TOKENS_LAST: i64 = 24 * 3_600 * 1_000_000;

/// A point between two durable writes, at which a process may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The operation is due, and was read.
    Read,
    /// That it is called is committed; the request has not left.
    Calling,
    /// The answer was read; it is not committed.
    Answered,
    /// The answer is committed.
    Committed,
    /// A webhook was looked at; what comes of it is not committed.
    Heard,
}

/// Whether this process ends at a point: always no, but in tests.
pub type Ends = Arc<dyn Fn(Point, OperationKind) -> bool + Send + Sync>;

/// Calls and asks providers.
#[derive(Clone)]
pub struct Runner {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) psps: Psps,
    pub(crate) due: Arc<Notify>,
    /// A webhook was stored.
    pub(crate) told: Arc<Notify>,
    /// Something is to be done about payouts.
    pub(crate) payouts: Arc<Notify>,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(crate) chance: Chance,
    pub(crate) breakers: Arc<Mutex<BTreeMap<PspName, Breaker>>>,
    /// When old tokens were last forgotten.
    pub(crate) forgot_at: Arc<Mutex<Option<Timestamp>>>,
    /// When webhooks that nobody looked at were last looked for.
    pub(crate) parked_at: Arc<Mutex<Option<Timestamp>>>,
    pub(crate) ends: Ends,
}

/// What is repeated.
#[derive(Clone, Copy)]
enum Work<'a> {
    Operations,
    Webhooks,
    Payouts(&'a PayoutRunner),
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The case refuses what it hears.
    #[error("{0}")]
    Rejected(#[from] Rejection),
}

impl Runner {
    /// The same runner, which ends at points of a test's choice.
    #[must_use]
    pub fn ending(self, ends: Ends) -> Self {
        Self { ends, ..self }
    }

    /// Works until stopped. Calls that are under way are waited for: their answers would be lost.
    pub async fn run(self, stop: CancellationToken) {
        self.repeat(Work::Operations, stop).await;
    }

    /// Handles webhooks until stopped.
    pub async fn run_webhooks(self, stop: CancellationToken) {
        self.repeat(Work::Webhooks, stop).await;
    }

    /// At once while something is due, and after a pause, or when woken, where nothing is.
    async fn repeat(&self, work: Work<'_>, stop: CancellationToken) {
        let (name, woken) = match work {
            Work::Operations => ("payments", &self.due),
            Work::Webhooks => ("webhooks of providers", &self.told),
            Work::Payouts(_) => ("payouts", &self.payouts),
        };
        let mut failures = 0;
        while !stop.is_cancelled() {
            let done = match work {
                Work::Operations => self.turn().await,
                Work::Webhooks => self.hear_webhooks().await,
                Work::Payouts(of) => of.turn().await,
            };
            let pause = match done {
                Ok(0) => {
                    failures = 0;
                    POLL
                }
                Ok(_) => {
                    failures = 0;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "{name}");
                    failures += 1;
                    Backoff::FOLLOWER.wait(failures, self.chance.number())
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = woken.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Does what is due now, once; returns how much that was.
    ///
    /// # Errors
    /// [`RunnerError`]; what was done until then stays.
    pub async fn turn(&self) -> Result<usize, RunnerError> {
        let now = (self.now)();
        self.forget(now).await?;
        let (mut done, mut failed) = (0, None);
        for order in store::cases_due(&self.database, now, READ_MAX).await? {
            match self.tick(order).await {
                Ok(()) => done += 1,
                // One order does not hold up the money of the others. It is looked at again.
                Err(error) => {
                    tracing::warn!(%order, %error, "time passed for an order's payments");
                    self.look_again(order, now).await?;
                    failed = Some(error);
                }
            }
        }
        let rows = store::operations_due(&self.database, now, READ_MAX).await?;
        let mut worked = futures::stream::iter(rows.into_iter().map(|row| self.work(row)))
            .buffer_unordered(IN_FLIGHT_MAX);
        while let Some(worked) = worked.next().await {
            match worked {
                Ok(worked) => done += usize::from(worked),
                // The others go on; what failed is due again.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Once a minute, tokens of attempts that no call can be made for any more are deleted.
    async fn forget(&self, now: Timestamp) -> Result<(), RunnerError> {
        if !is_next_minute(&self.forgot_at, now) {
            return Ok(());
        }
        let old = Timestamp::from_micros(now.micros().saturating_sub(TOKENS_LAST));
        let mut tx = self.database.begin().await?;
        store::forget_old_tokens(&mut tx, old).await?;
        store::forget_old_actions(&mut tx, old).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }

    /// Time passed for an order.
    async fn tick(&self, order: OrderId) -> Result<(), RunnerError> {
        let (mut tx, mut became) = (self.database.begin().await?, Became::default());
        if let Some(mut open) = self.locked(&mut tx, order).await? {
            let context = self.context(open.case.plan.as_ref().map(|plan| &plan.psp));
            let mut before = open.case.payments.iter().flat_map(|payment| &payment.operations);
            let last = before.next_back().map(|one| one.id);
            open.hear(Input::Tick, &context, &Origins::default())?;
            let _span = lapse(&mut tx, &mut open, last).await?;
            became = self.write(&mut tx, open).await?;
        }
        self.commit(tx, became).await
    }

    async fn look_again(&self, order: OrderId, now: Timestamp) -> Result<(), DatabaseError> {
        let mut tx = self.database.begin().await?;
        store::look_again(&mut tx, order, now).await?;
        Ok(tx.commit().await?)
    }

    async fn locked(&self, tx: &mut Tx, order: OrderId) -> Result<Option<OpenCase>, DatabaseError> {
        let orders = BTreeSet::from([order]);
        Ok(store::lock(&self.database, tx, &orders, &BTreeSet::new()).await?.remove(&order))
    }

    /// What a decision needs about an operation of this provider, or an order that pays there.
    fn context(&self, psp: Option<&PspName>) -> Context {
        Context { capabilities: self.psps.capabilities(psp), now: (self.now)() }
    }

    async fn write(&self, tx: &mut Tx, open: OpenCase) -> Result<Became, DatabaseError> {
        let (stores, now) = ((&self.database, &self.outbox), (self.now)());
        let became = open.became();
        store::write(stores, tx, vec![open], now).await?;
        Ok(became)
    }

    async fn commit(&self, tx: Tx, became: Became) -> Result<(), RunnerError> {
        tx.commit().await.map_err(DatabaseError::from)?;
        became.count();
        self.outbox.committed();
        self.due.notify_one();
        Ok(())
    }

    /// The providers of this process, and whether calls of them are held back: also while one is
    /// tried now and then, until one is answered.
    #[must_use]
    pub fn held_back(&self) -> Vec<(PspName, bool)> {
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_held = |psp: &PspName| breakers.get(psp).is_some_and(Breaker::is_open);
        self.psps.all().map(|psp| (psp.clone(), is_held(psp))).collect()
    }

    fn breaker<T>(&self, psp: &PspName, with: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        with(breakers.entry(psp.clone()).or_default())
    }
}

/// Whether this was last done a minute ago or longer; it is done now then.
fn is_next_minute(last: &Mutex<Option<Timestamp>>, now: Timestamp) -> bool {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let is_next = last.is_none_or(|at| now >= at.plus(MINUTE));
    if is_next {
        *last = Some(now);
    }
    is_next
}

/// The span of what time did to the payments of an order, if it did anything. `last` is the last
/// operation before: those that time opened have no trace but this one.
async fn lapse(
    tx: &mut Tx,
    open: &mut OpenCase,
    last: Option<OperationId>,
) -> Result<Span, DatabaseError> {
    let Some(last) = last.filter(|_| traces::is_on() && open.has_happened()) else {
        return Ok(Span::none());
    };
    let mut span = traced::lapsing(store::trace_of(tx, last).await?.as_ref());
    if let Some(traceparent) = span.traceparent() {
        span.set("ordinal.order_id", open.case.order_id.to_string());
        open.happened_in(&traceparent);
    }
    Ok(span)
}
