//! One payout, one step further: it is counted, booked, called, or asked about, and what is known is
//! committed.

use std::time::Duration;

use psp::{Answer, CallKey, Found, Lookup, OurReference, Psp};
use shared_events::contract::{FactId, Money, PayoutFact, Timestamp};
use shared_events::stream::{DatabaseError, NewFact, Tx};

use super::super::ANSWER_WITHIN;
use super::super::traced::{AtProvider, Called};
use super::{PayoutRunner, Point, RunnerError};
use crate::counted;
use crate::domain::{
    BookStep, CALL_MAX, OperationKind, Payout, PayoutState, Schedule, Stage, Step, scheduled,
};
use crate::seller_book::{BookAway, Booked};
use crate::store::{self, PayoutRow};

/// How long a payout waits whose provider, or whose rules, this process does not know.
const NOT_HERE: Duration = Duration::from_secs(60);
/// Why a payout came to nothing for which there was nothing left when it was counted.
const NOTHING: &str = "nothing_to_pay";
/// The shard of facts about payouts: they are few, and every installation has it.
const SHARD: u16 = 0;

impl PayoutRunner {
    /// Takes one payout a step further; returns whether there was one to take.
    pub(super) async fn work(&self, row: PayoutRow) -> Result<bool, RunnerError> {
        if self.ends(Point::Read) {
            return Ok(false);
        }
        match row.payout.state {
            PayoutState::Collecting if row.payout.amount.minor == 0 => self.count(&row).await,
            PayoutState::Collecting | PayoutState::Settling => match row.payout.to_be_booked() {
                Some(step) => self.book(&row, step).await,
                None => Ok(false),
            },
            PayoutState::Returned | PayoutState::Refused => Ok(false),
            PayoutState::Collected
            | PayoutState::Submitted
            | PayoutState::Paid
            | PayoutState::Stuck => self.at_provider(&row).await,
        }
    }

    /// Takes a payout up as it was read; none where somebody else has.
    async fn take(
        &self,
        row: &PayoutRow,
        schedule: Schedule,
    ) -> Result<Option<PayoutRow>, RunnerError> {
        let mut tx = self.runner.database.begin().await?;
        let is_taken = store::claim_payout(&mut tx, row, &schedule).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        let claim = row.claim.saturating_add(1);
        Ok(is_taken.then(|| PayoutRow { schedule, claim, ..row.clone() }))
    }

    /// The same for as long as one step takes; whoever takes it up next does so once this process
    /// is presumed dead.
    async fn take_for_a_step(&self, row: &PayoutRow) -> Result<Option<PayoutRow>, RunnerError> {
        let due_at = self.now().plus(CALL_MAX);
        let taken = self.take(row, Schedule { due_at, ..row.schedule.clone() }).await?;
        Ok(taken.filter(|_| !self.ends(Point::Calling)))
    }

    async fn hold_back(
        &self,
        row: &PayoutRow,
        until: Timestamp,
        note: &str,
    ) -> Result<bool, RunnerError> {
        let held = Schedule { note: note.to_owned(), ..row.schedule.held_back(until) };
        Ok(self.take(row, held).await?.is_some())
    }

    /// Counts what the seller has, now that no other payout counts it. What is held for earlier ones
    /// stands in the book.
    async fn count(&self, row: &PayoutRow) -> Result<bool, RunnerError> {
        let Some(rules) = self.rules.clone() else {
            let until = self.now().plus(NOT_HERE);
            return self.hold_back(row, until, "payouts are not in the settings").await;
        };
        let Some(taken) = self.take_for_a_step(row).await? else { return Ok(false) };
        let currency = taken.payout.amount.currency;
        let counted = match self.counted(&rules, (&taken.payout.seller, currency)).await? {
            Ok(counted) => counted.map_or(0, |counted| counted.payable),
            Err(away) => return self.put_off(&taken, away).await,
        };
        let next = match counted {
            0 => taken.payout.refused(BookStep::Hold, NOTHING.to_owned()),
            minor => Payout { amount: Money::new(minor, currency), ..taken.payout.clone() },
        };
        let is_as_taken = |now: &PayoutRow| now.claim == taken.claim;
        self.became(&taken, is_as_taken, next).await
    }

    /// Books what is next. The book keeps its answer by the id that is made of the step.
    async fn book(&self, row: &PayoutRow, step: BookStep) -> Result<bool, RunnerError> {
        let Some(taken) = self.take_for_a_step(row).await? else { return Ok(false) };
        let next = match self.booked(step, &taken.payout).await {
            Ok(Booked::At(at)) => taken.payout.booked(step, at, self.now()),
            Ok(Booked::Refused(code)) => {
                let (payout, seller) = (taken.payout.id, &taken.payout.seller);
                tracing::error!(%payout, %seller, ?step, %code, "the book refuses a payout");
                taken.payout.refused(step, code)
            }
            Err(away) => return self.put_off(&taken, away).await,
        };
        // Whoever did the same meanwhile had the same answer.
        let is_to_be_booked = |now: &PayoutRow| now.payout.to_be_booked() == Some(step);
        self.became(&taken, is_to_be_booked, next).await
    }

    /// The book could not be asked: later.
    async fn put_off(
        &self,
        taken: &PayoutRow,
        BookAway(why): BookAway,
    ) -> Result<bool, RunnerError> {
        let questions = taken.schedule.questions;
        tracing::warn!(payout = %taken.payout.id, %why, "the book could not be asked");
        let schedule = Schedule {
            due_at: self.now().plus(self.book_wait(questions)),
            questions: questions.saturating_add(1),
            note: why,
            ..taken.schedule.clone()
        };
        Ok(self.take(taken, schedule).await?.is_some())
    }

    /// Commits what became of a payout that is still as it must be.
    async fn became(
        &self,
        taken: &PayoutRow,
        is_still: impl Fn(&PayoutRow) -> bool + Send,
        next: Payout,
    ) -> Result<bool, RunnerError> {
        if self.ends(Point::Answered) {
            return Ok(false);
        }
        let mut tx = self.runner.database.begin().await?;
        let locked = store::locked_payout(&self.runner.database, &mut tx, next.id).await?;
        let Some(locked) = locked.filter(is_still) else { return Ok(false) };
        let now = self.now();
        let schedule = scheduled(&next, &taken.schedule, now);
        let before = locked.payout.state;
        let row = PayoutRow { payout: next, schedule, ..locked };
        self.write(tx, row, before).await?;
        self.ends(Point::Committed);
        Ok(true)
    }

    async fn at_provider(&self, row: &PayoutRow) -> Result<bool, RunnerError> {
        let now = self.now();
        let Some(psp) = self.runner.psps.get(&row.payout.psp) else {
            let until = now.plus(NOT_HERE);
            return self.hold_back(row, until, "this provider is not configured").await;
        };
        let held = self.runner.breaker(&row.payout.psp, |breaker| breaker.holds_back(now));
        if let Some(until) = held {
            return self.hold_back(row, until, "the provider does not answer").await;
        }
        match (row.payout.state, row.schedule.stage) {
            (PayoutState::Collected, Stage::Due) if row.may_be_forgotten(now) => {
                let schedule = row.schedule.perhaps_called(row.payout.made_at, now);
                self.ask(psp.as_ref(), &PayoutRow { schedule, ..row.clone() }).await
            }
            (PayoutState::Collected, Stage::Due) => self.call(psp.as_ref(), row).await,
            (_, Stage::Calling) => {
                let schedule = row.schedule.interrupted(now);
                self.ask(psp.as_ref(), &PayoutRow { schedule, ..row.clone() }).await
            }
            _ => self.ask(psp.as_ref(), row).await,
        }
    }

    async fn call(&self, psp: &dyn Psp, row: &PayoutRow) -> Result<bool, RunnerError> {
        let calling = row.schedule.calling(self.now());
        let Some(taken) = self.take(row, calling.clone()).await? else { return Ok(false) };
        if self.ends(Point::Calling) {
            return Ok(false);
        }
        let Payout { id, psp: name, seller, amount, .. } = &taken.payout;
        let key = CallKey { operation: id.uuid(), generation: calling.generation };
        let call = psp::Payout { key, destination: seller.to_string(), amount: *amount };
        let called = AtProvider::below(Called::Operation(OperationKind::Payout), name, None);
        let answer = tokio::time::timeout(ANSWER_WITHIN, psp.payout(call)).await;
        let answer = answer.unwrap_or_else(|_| Answer::Unknown { why: "timeout".to_owned() });
        called.answered(counted::answered(&answer));
        let (known, now) = (!matches!(answer, Answer::Unknown { .. }), self.now());
        self.runner.breaker(name, |breaker| breaker.record(known, now));
        let drawn = (now, self.runner.chance.number());
        let step = calling.answered(answer, OperationKind::Payout, drawn);
        self.record(&taken, step).await
    }

    /// Asks the provider what became of a payout.
    async fn ask(&self, psp: &dyn Psp, row: &PayoutRow) -> Result<bool, RunnerError> {
        // An interrupted call is one that is unknown from now on.
        let Some(taken) = self.take_for_a_step(row).await? else { return Ok(false) };
        let Payout { id, psp: name, reference, .. } = &taken.payout;
        let about = reference.as_deref().and_then(|text| text.parse().ok());
        let operation = OurReference(id.uuid());
        let of = Lookup { operation, kind: psp::Kind::Payout, about };
        let asked = AtProvider::below(Called::Find, name, None);
        let found = tokio::time::timeout(ANSWER_WITHIN, psp.find(&of)).await;
        let found = found.unwrap_or_else(|_| Found::Unknown { why: "timeout".to_owned() });
        asked.answered(counted::found(&found));
        let (known, now) = (!matches!(found, Found::Unknown { .. }), self.now());
        self.runner.breaker(name, |breaker| breaker.record(known, now));
        let step = if taken.payout.state == PayoutState::Paid {
            let (schedule, seen) = taken.payout.watched(&row.schedule, found, now);
            Step { schedule, seen }
        } else {
            let drawn = (now, self.runner.chance.number());
            let capabilities = psp.capabilities();
            row.schedule.found(found, OperationKind::Payout, &capabilities, drawn)
        };
        self.record(&taken, step).await
    }

    /// Commits what is known now. Where another process took the payout up meanwhile, only what is
    /// definite counts.
    async fn record(&self, taken: &PayoutRow, step: Step) -> Result<bool, RunnerError> {
        if self.ends(Point::Answered) {
            return Ok(false);
        }
        let mut tx = self.runner.database.begin().await?;
        let id = taken.payout.id;
        let locked = store::locked_payout(&self.runner.database, &mut tx, id).await?;
        let Some(locked) = locked else { return Ok(false) };
        let (now, is_mine) = (self.now(), locked.claim == taken.claim);
        // The provider told something while it was asked: it is asked again.
        let is_woken = is_mine && locked.schedule.due_at < taken.schedule.due_at;
        let before = locked.payout.state;
        let heard = step.seen.and_then(|seen| locked.payout.heard(seen));
        let row = match heard {
            Some(payout) => {
                let from = if is_mine { &step.schedule } else { &locked.schedule };
                let schedule = match payout.state {
                    PayoutState::Submitted if is_mine => step.schedule.clone(),
                    _ => scheduled(&payout, from, now),
                };
                PayoutRow { payout, schedule, ..locked }
            }
            None if is_mine => PayoutRow { schedule: step.schedule, ..locked },
            None => return Ok(false),
        };
        let waits = matches!(row.schedule.stage, Stage::Unknown | Stage::Looking);
        let due_at = if is_woken && waits { now } else { row.schedule.due_at };
        let schedule = Schedule { due_at, ..row.schedule };
        if row.payout.state == PayoutState::Stuck && before != PayoutState::Stuck {
            let (seller, why) = (&row.payout.seller, &row.payout.code);
            tracing::error!(payout = %id, %seller, %why, "a payout is stuck");
        }
        self.write(tx, PayoutRow { schedule, ..row }, before).await?;
        self.ends(Point::Committed);
        Ok(true)
    }

    /// Writes a payout that is locked, with the fact that tells what became of it.
    async fn write(
        &self,
        mut tx: Tx,
        row: PayoutRow,
        before: PayoutState,
    ) -> Result<(), RunnerError> {
        let now = self.now();
        store::write_payout(&mut tx, &row, now).await?;
        let told = row.payout.told(before, now).map(|told| new_fact(&row.payout, told));
        self.runner.outbox.write(&mut tx, told.into_iter().collect(), now).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        counted::payout(&row.payout, before);
        self.runner.outbox.committed();
        self.runner.payouts.notify_one();
        Ok(())
    }
}

/// A fact about a payout, caused by its run.
pub(crate) fn new_fact(of: &Payout, (id, fact): (FactId, PayoutFact)) -> NewFact {
    NewFact {
        id,
        shard: SHARD,
        sequence: None,
        causationid: Some(of.run_id.to_string()),
        traceparent: None,
        tracestate: None,
        body: shared_events::contract::FactBody::Payout(fact),
    }
}
