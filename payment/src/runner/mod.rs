//! The only place that talks to providers. What it is about to do is committed before it does it,
//! and no transaction is open while it waits.

mod calls; // what is sent, and what is asked for
mod unwanted; // what is not sent any more
mod webhooks; // what providers told

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use psp::{Answer, Found, Psp};
use shared_events::chance::Chance;
use shared_events::contract::{OrderId, PspName, Timestamp};
use shared_events::stream::{Backoff, Database, DatabaseError, Outbox, Tx};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::calls::send;
use self::unwanted::is_of_no_use;
use crate::domain::{
    Breaker, CALL_MAX, Case, Context, Input, OperationKind, Rejection, Schedule, Stage, Step,
};
use crate::psps::Psps;
use crate::store::{self, OpenCase, OperationRow, Origins};

/// Operations that are called or asked at the same time, and so many webhooks beside them.
const IN_FLIGHT_MAX: usize = 16;
/// Operations, and cases, read at a time.
const READ_MAX: u32 = 64;
/// The longest pause between two looks.
const POLL: Duration = Duration::from_millis(500);
/// How long a provider may take. Less than [`CALL_MAX`], so that nobody else takes it for dead.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long an operation waits whose provider this process does not know.
const NOT_HERE: Duration = Duration::from_secs(60);

/// How long a token is kept at most, in microseconds: a day, as long as providers remember keys.
const TOKENS_LAST: i64 = 24 * 3_600 * 1_000_000;

const _: () = assert!(ANSWER_WITHIN.as_secs() < CALL_MAX.as_secs());

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
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(crate) chance: Chance,
    pub(crate) breakers: Arc<Mutex<BTreeMap<PspName, Breaker>>>,
    /// When old tokens were last forgotten.
    pub(crate) forgot_at: Arc<Mutex<Option<Timestamp>>>,
    pub(crate) ends: Ends,
}

/// What is repeated.
#[derive(Clone, Copy)]
enum Work {
    Operations,
    Webhooks,
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
    async fn repeat(&self, work: Work, stop: CancellationToken) {
        let (name, woken) = match work {
            Work::Operations => ("payments", &self.due),
            Work::Webhooks => ("webhooks of providers", &self.told),
        };
        let mut failures = 0;
        while !stop.is_cancelled() {
            let done = match work {
                Work::Operations => self.turn().await,
                Work::Webhooks => self.hear_webhooks().await,
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
        let old = |micros: i64| Timestamp::from_micros(now.micros().saturating_sub(micros));
        {
            let mut last = self.forgot_at.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|at| at > old(60_000_000)) {
                return Ok(());
            }
            *last = Some(now);
        }
        let mut tx = self.database.begin().await?;
        store::forget_old_tokens(&mut tx, old(TOKENS_LAST)).await?;
        store::forget_old_actions(&mut tx, old(TOKENS_LAST)).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }

    /// Time passed for an order.
    async fn tick(&self, order: OrderId) -> Result<(), RunnerError> {
        let mut tx = self.database.begin().await?;
        if let Some(mut open) = self.locked(&mut tx, order).await? {
            let context = self.context(&open.case);
            open.hear(Input::Tick, &context, &Origins::default())?;
            self.write(&mut tx, open).await?;
        }
        self.commit(tx).await
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

    fn context(&self, case: &Case) -> Context {
        let psp = case.plan.as_ref().map(|plan| &plan.psp);
        Context { capabilities: self.psps.capabilities(psp), now: (self.now)() }
    }

    async fn write(&self, tx: &mut Tx, open: OpenCase) -> Result<(), DatabaseError> {
        let (stores, now) = ((&self.database, &self.outbox), (self.now)());
        store::write(stores, tx, vec![open], now).await
    }

    async fn commit(&self, tx: Tx) -> Result<(), RunnerError> {
        tx.commit().await.map_err(DatabaseError::from)?;
        self.outbox.committed();
        self.due.notify_one();
        Ok(())
    }

    /// Takes one operation a step further; returns whether there was one to take.
    async fn work(&self, row: OperationRow) -> Result<bool, RunnerError> {
        if (self.ends)(Point::Read, row.kind) {
            return Ok(false);
        }
        let now = (self.now)();
        let Some(psp) = self.psps.get(&row.psp) else {
            if self.dropped(&row).await? {
                return Ok(true);
            }
            return self
                .hold_back(&row, now.plus(NOT_HERE), "this provider is not configured")
                .await;
        };
        if let Some(until) = self.breaker(&row.psp, |breaker| breaker.holds_back(now)) {
            if self.dropped(&row).await? {
                return Ok(true);
            }
            return self.hold_back(&row, until, "the provider does not answer").await;
        }
        match row.schedule.stage {
            Stage::Due => self.call(psp.as_ref(), &row).await,
            Stage::Calling => {
                let schedule = row.schedule.interrupted(now);
                self.ask(psp.as_ref(), &OperationRow { schedule, ..row }).await
            }
            _ => self.ask(psp.as_ref(), &row).await,
        }
    }

    fn breaker<T>(&self, psp: &PspName, with: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        with(breakers.entry(psp.clone()).or_default())
    }

    async fn hold_back(
        &self,
        row: &OperationRow,
        until: Timestamp,
        note: &str,
    ) -> Result<bool, RunnerError> {
        let held = Schedule { note: note.to_owned(), ..row.schedule.held_back(until) };
        let mut tx = self.database.begin().await?;
        let is_held = store::claim(&mut tx, row, &held).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        // A turn of these is no idle one: others may wait behind them.
        Ok(is_held)
    }

    async fn call(&self, psp: &dyn Psp, row: &OperationRow) -> Result<bool, RunnerError> {
        let now = (self.now)();
        let calling = row.schedule.calling(now);
        let mut tx = self.database.begin().await?;
        let Some(open) = self.locked(&mut tx, row.order_id).await? else { return Ok(false) };
        if is_of_no_use(&open.case, row, now) {
            return self.drop_it(tx, open, row).await;
        }
        let Some((_, operation)) = open.case.operation(row.id).filter(|(_, one)| one.is_open())
        else {
            return Ok(false);
        };
        let call = self.request(&mut tx, &open.case, operation, row.schedule.generation).await?;
        if !store::claim(&mut tx, row, &calling).await? {
            return Ok(false);
        }
        tx.commit().await.map_err(DatabaseError::from)?;
        if (self.ends)(Point::Calling, row.kind) {
            return Ok(false);
        }
        let answered = match call {
            Ok(call) => tokio::time::timeout(ANSWER_WITHIN, send(psp, call)).await,
            // An earlier call may have had its effect.
            Err(code) if row.schedule.last_call.is_some() => {
                Ok(Answer::Unknown { why: code.to_owned() })
            }
            Err(code) => Ok(Answer::Refused { code: code.to_owned(), repairable: false }),
        };
        let answer = answered.unwrap_or_else(|_| Answer::Unknown { why: "timeout".to_owned() });
        let (known, now) = (!matches!(answer, Answer::Unknown { .. }), (self.now)());
        self.breaker(&row.psp, |breaker| breaker.record(known, now));
        let action = calls::action(&answer);
        let step = calling.answered(answer, row.kind, (now, self.chance.number()));
        self.record(row, row.claim.saturating_add(1), (step, action)).await
    }

    /// Asks the provider what became of an operation.
    async fn ask(&self, psp: &dyn Psp, row: &OperationRow) -> Result<bool, RunnerError> {
        let now = (self.now)();
        // Whoever takes it up next does so once this question is presumed lost.
        let asking = Schedule { due_at: now.plus(CALL_MAX), ..row.schedule.clone() };
        let mut tx = self.database.begin().await?;
        let claimed = store::claim(&mut tx, row, &asking).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        if !claimed || (self.ends)(Point::Calling, row.kind) {
            return Ok(false);
        }
        let case = store::case(&self.database, row.order_id).await?;
        let known = case.as_ref().and_then(|case| Some((case, case.operation(row.id)?.1)));
        let Some((case, operation)) = known else { return Ok(false) };
        let of = calls::lookup(case, operation, None);
        let found = psp.find(&of);
        let found = tokio::time::timeout(ANSWER_WITHIN, found).await;
        let found = found.unwrap_or_else(|_| Found::Unknown { why: "timeout".to_owned() });
        let (known, now) = (!matches!(found, Found::Unknown { .. }), (self.now)());
        self.breaker(&row.psp, |breaker| breaker.record(known, now));
        let (capabilities, random) = (psp.capabilities(), self.chance.number());
        let action = match &found {
            Found::Known(answer) => calls::action(answer),
            _ => None,
        };
        let step = row.schedule.found(found, row.kind, &capabilities, (now, random));
        self.record(row, row.claim.saturating_add(1), (step, action)).await
    }

    /// Commits what is known now, with what follows from it. Where another process took the
    /// operation up meanwhile, only what is definite counts.
    async fn record(
        &self,
        row: &OperationRow,
        claim: i64,
        (step, action): (Step, Option<String>),
    ) -> Result<bool, RunnerError> {
        if (self.ends)(Point::Answered, row.kind) {
            return Ok(false);
        }
        let mut tx = self.database.begin().await?;
        let Some(mut open) = self.locked(&mut tx, row.order_id).await? else { return Ok(false) };
        if step.schedule.stage == Stage::Stuck {
            let (id, why) = (row.id, &step.schedule.note);
            tracing::error!(order = %row.order_id, operation = %id, %why, "payment is stuck");
        }
        if let Some(seen) = step.seen {
            let context = self.context(&open.case);
            let origins = Origins { causationid: Some(row.id.to_string()), traceparent: None };
            open.hear(Input::Observed { operation_id: row.id, seen }, &context, &origins)?;
        }
        let is_open = open.case.operation(row.id).is_some_and(|(_, one)| one.is_open());
        self.write(&mut tx, open).await?;
        if is_open {
            let mine = OperationRow { claim, ..row.clone() };
            store::claim(&mut tx, &mine, &step.schedule).await?;
            if let Some(url) = action {
                let of = (row.id, row.order_id, row.payment_id);
                store::keep_action(&mut tx, of, &url, (self.now)()).await?;
            }
        }
        self.commit(tx).await?;
        (self.ends)(Point::Committed, row.kind);
        Ok(true)
    }
}
