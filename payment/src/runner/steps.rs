//! One operation, one step further: it is called, or asked about, and what is known is committed.

use std::time::Duration;

use psp::{Answer, Found, Psp};
use shared_events::contract::Timestamp;
use shared_events::stream::DatabaseError;

use super::calls::{self, Call, send};
use super::traced::{self, AtProvider, Called};
use super::unwanted::is_of_no_use;
use super::{ANSWER_WITHIN, Point, Runner, RunnerError};
use crate::counted;
use crate::domain::{CALL_MAX, Input, Schedule, Stage, Step};
use crate::store::{self, OperationRow};

/// How long an operation waits whose provider this process does not know.
const NOT_HERE: Duration = Duration::from_secs(60);

const _: () = assert!(ANSWER_WITHIN.as_secs() < CALL_MAX.as_secs());

impl Runner {
    /// Takes one operation a step further; returns whether there was one to take.
    pub(super) async fn work(&self, row: OperationRow) -> Result<bool, RunnerError> {
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
        let (answer, span) = match call {
            Ok(call) => sent(psp, row, call).await,
            // An earlier call may have had its effect.
            Err(code) if row.schedule.last_call.is_some() => {
                (Answer::Unknown { why: code.to_owned() }, None)
            }
            Err(code) => (Answer::Refused { code: code.to_owned(), repairable: false }, None),
        };
        let (known, now) = (!matches!(answer, Answer::Unknown { .. }), (self.now)());
        self.breaker(&row.psp, |breaker| breaker.record(known, now));
        let action = calls::action(&answer);
        let step = calling.answered(answer, row.kind, (now, self.chance.number()));
        self.record(row, span, (step, action)).await
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
        let asked = AtProvider::of(Called::Find, row);
        let found = tokio::time::timeout(ANSWER_WITHIN, psp.find(&of)).await;
        let found = found.unwrap_or_else(|_| Found::Unknown { why: "timeout".to_owned() });
        let span = asked.answered(counted::found(&found));
        let (known, now) = (!matches!(found, Found::Unknown { .. }), (self.now)());
        self.breaker(&row.psp, |breaker| breaker.record(known, now));
        let (capabilities, random) = (psp.capabilities(), self.chance.number());
        let action = match &found {
            Found::Known(answer) => calls::action(answer),
            _ => None,
        };
        let step = row.schedule.found(found, row.kind, &capabilities, (now, random));
        self.record(row, span, (step, action)).await
    }

    /// Commits what is known now, with what follows from it. Where another process took the
    /// operation up meanwhile, only what is definite counts. What follows belongs to this span.
    async fn record(
        &self,
        row: &OperationRow,
        span: Option<String>,
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
            let context = self.context(Some(&row.psp));
            let origins = traced::origins(row, span);
            open.hear(Input::Observed { operation_id: row.id, seen }, &context, &origins)?;
        }
        let is_open = open.case.operation(row.id).is_some_and(|(_, one)| one.is_open());
        let acts = open.case.acts(row.id).zip(action);
        let became = self.write(&mut tx, open).await?;
        if is_open {
            let mine = OperationRow { claim: row.claim.saturating_add(1), ..row.clone() };
            store::claim(&mut tx, &mine, &step.schedule).await?;
            if let Some((of, url)) = acts {
                store::keep_action(&mut tx, of, &url, (self.now)()).await?;
            }
        }
        self.commit(tx, became).await?;
        (self.ends)(Point::Committed, row.kind);
        Ok(true)
    }
}

/// What the provider answered to a call, and the span of that.
async fn sent(psp: &dyn Psp, row: &OperationRow, call: Call) -> (Answer, Option<String>) {
    let called = AtProvider::of(Called::Operation(row.kind), row);
    let answer = tokio::time::timeout(ANSWER_WITHIN, send(psp, call)).await;
    let answer = answer.unwrap_or_else(|_| Answer::Unknown { why: "timeout".to_owned() });
    let span = called.answered(counted::answered(&answer));
    (answer, span)
}
