//! What is asked of payouts, and what people say of them.

use std::sync::Arc;

use shared_events::contract::{Currency, PayoutId, Seller};
use shared_events::stream::{AskedBy, DatabaseError, OperatorAction, Tx, Verb};
use uuid::Uuid;

use crate::Payments;
use crate::domain::{Observation, Payout, PayoutRules, PayoutState, Schedule, Stage, scheduled};
use crate::runner::{PayoutRunner, Runner, new_fact};
use crate::seller_book::SellerBook;
use crate::store::{self, Of, PayoutRow, PayoutRun};

/// Why a call about payouts came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PayoutError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// No provider pays sellers out.
    #[error("no provider pays sellers out: the settings name none, or it cannot")]
    NotSupported,
    /// The id is of a run of another seller or currency.
    #[error("this id is of a run of another seller or currency")]
    OtherRun,
    /// There is none with this id.
    #[error("no payout has this id")]
    Unknown,
    /// It is not stuck, or it is over.
    #[error("the payout is {0}: nobody needs to say what became of it")]
    NotStuck(PayoutState),
    /// It is over.
    #[error("the payout is {0}: nothing is to be done about it; another run makes another payout")]
    Over(PayoutState),
}

/// What a run is asked to pay out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAsked {
    /// Its id.
    pub id: Uuid,
    /// Only this seller.
    pub seller: Option<Seller>,
    /// Only in this currency.
    pub currency: Option<Currency>,
}

/// Who says something, and why.
pub(crate) struct SaidBy<'a> {
    pub(crate) by: &'a AskedBy,
    pub(crate) reason: &'a str,
}

impl SaidBy<'_> {
    fn action(&self, payments: &Payments, verb: Verb, target: &str) -> OperatorAction {
        OperatorAction::new(self.by, verb, target, self.reason, payments.now())
    }
}

impl Payments {
    /// The same with rules of payouts; without, no run begins.
    #[must_use]
    pub fn paying_out(mut self, rules: Option<PayoutRules>) -> Self {
        self.payouts = rules.map(Arc::new);
        self
    }

    /// What pays sellers out, beside the runner that calls providers for orders.
    #[must_use]
    pub fn payout_runner(&self, runner: &Runner, book: Arc<dyn SellerBook>) -> PayoutRunner {
        PayoutRunner { runner: runner.clone(), book, rules: self.payouts.clone() }
    }

    /// The rules of payouts, where a provider of this process pays sellers out.
    fn pays_out(&self) -> Result<&PayoutRules, PayoutError> {
        let rules = self.payouts.as_deref().ok_or(PayoutError::NotSupported)?;
        let psp = self.psps().get(&rules.psp);
        match psp.is_some_and(|psp| psp.capabilities().payouts) {
            true => Ok(rules),
            false => Err(PayoutError::NotSupported),
        }
    }

    /// Begins a run of payouts, once for each id; returns it, and whether it was begun before.
    /// With `validate_only` it is only said what would begin.
    ///
    /// # Errors
    /// [`PayoutError`]
    pub(crate) async fn run_payouts(
        &self,
        asked: RunAsked,
        said: SaidBy<'_>,
        validate_only: bool,
    ) -> Result<(PayoutRun, bool), PayoutError> {
        let RunAsked { id, seller, currency } = asked;
        let known = store::payout_run(self.database(), id).await?;
        let as_asked = |run: &PayoutRun| (&run.seller, run.currency) == (&seller, currency);
        if let Some(run) = known {
            return if as_asked(&run) { Ok((run, true)) } else { Err(PayoutError::OtherRun) };
        }
        let rules = self.pays_out()?;
        let begun = PayoutRun::new(id, rules.psp.clone(), self.now());
        let run = PayoutRun { seller: seller.clone(), currency, ..begun };
        if validate_only {
            return Ok((run, false));
        }
        let mut tx = self.database().begin().await?;
        if !store::add_run(&mut tx, &run).await? {
            drop(tx);
            // Somebody else has begun it meanwhile.
            let run = store::payout_run(self.database(), id).await?.ok_or(PayoutError::Unknown)?;
            return if as_asked(&run) { Ok((run, true)) } else { Err(PayoutError::OtherRun) };
        }
        if said.by.is_operator() {
            said.action(self, Verb::RunPayouts, &id.to_string()).write(&mut tx).await?;
        }
        tx.commit().await.map_err(DatabaseError::from)?;
        self.payouts_due().notify_one();
        Ok((run, false))
    }

    /// A person has a payout looked at now. Returns it as it is then; with `validate_only` as it
    /// would be.
    ///
    /// # Errors
    /// [`PayoutError`]
    pub(crate) async fn retry_payout(
        &self,
        id: PayoutId,
        said: SaidBy<'_>,
        validate_only: bool,
    ) -> Result<PayoutRow, PayoutError> {
        let (mut tx, row) = self.locked_payout(id).await?;
        let stage = match (row.payout.state, row.schedule.stage) {
            (state @ (PayoutState::Returned | PayoutState::Refused), _) => {
                return Err(PayoutError::Over(state));
            }
            (PayoutState::Stuck, _) => Stage::Unknown,
            (PayoutState::Paid, _) => Stage::Looking,
            (_, stage) => stage,
        };
        // One that is called now hears its answer.
        let due_at = if stage == Stage::Calling { row.schedule.due_at } else { self.now() };
        let schedule = Schedule { stage, due_at, ..row.schedule };
        let next = PayoutRow { schedule, updated_at: self.now(), ..row };
        if validate_only {
            return Ok(next);
        }
        store::write_payout(&mut tx, &next, next.updated_at).await?;
        let state = next.payout.state.code();
        let action = said.action(self, Verb::RetryPayout, &id.to_string());
        action.changing(state, state).write(&mut tx).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        self.payouts_due().notify_one();
        Ok(next)
    }

    /// A person found out what became of a payout that is stuck. Returns it as it is then; with
    /// `validate_only` as it would be.
    ///
    /// # Errors
    /// [`PayoutError`]
    pub(crate) async fn resolve_payout(
        &self,
        id: PayoutId,
        (seen, text): (impl FnOnce(&Payout) -> Observation + Send, &str),
        said: SaidBy<'_>,
        validate_only: bool,
    ) -> Result<PayoutRow, PayoutError> {
        let (mut tx, row) = self.locked_payout(id).await?;
        let before = row.payout.state;
        let heard = match before {
            PayoutState::Stuck => row.payout.heard(seen(&row.payout)),
            _ => None,
        };
        let Some(payout) = heard else {
            drop(tx);
            // What was said before, also meanwhile by somebody else, stands and is not refused.
            if store::was_said(self.database(), Of::Payout(id), text).await? {
                return Ok(row);
            }
            return Err(PayoutError::NotStuck(before));
        };
        let now = self.now();
        let schedule = scheduled(&payout, &row.schedule, now);
        let next = PayoutRow { payout, schedule, updated_at: now, ..row };
        if validate_only {
            return Ok(next);
        }
        store::write_payout(&mut tx, &next, now).await?;
        store::keep_resolution(&mut tx, Of::Payout(id), text).await?;
        let action = said.action(self, Verb::ResolvePayout, &id.to_string());
        action.changing(before.code(), next.payout.state.code()).write(&mut tx).await?;
        let told = next.payout.told(before, now).map(|told| new_fact(&next.payout, told));
        self.outbox().write(&mut tx, told.into_iter().collect(), now).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        self.outbox().committed();
        self.payouts_due().notify_one();
        Ok(next)
    }

    async fn locked_payout(&self, id: PayoutId) -> Result<(Tx, PayoutRow), PayoutError> {
        let mut tx = self.database().begin().await?;
        let row = store::locked_payout(self.database(), &mut tx, id).await?;
        row.map(|row| (tx, row)).ok_or(PayoutError::Unknown)
    }
}
