//! A run of payouts: the sellers that payments know of, one after the other.

use shared_events::contract::{Currency, Money, Seller, Timestamp};
use shared_events::stream::DatabaseError;

use super::{PayoutRunner, RunnerError};
use crate::domain::{CALL_MAX, Payout, PayoutRules, PayoutState, RunState, Schedule};
use crate::seller_book::BookAway;
use crate::store::{self, PayoutRow, PayoutRun};

/// Sellers of a run that are gone through before how far it has come is stored.
const SELLERS_AT_ONCE: usize = 64;
/// What is said of a run that nobody can go on with.
const NO_RULES: &str = "payouts are not in the settings of this process";

impl PayoutRunner {
    /// Goes on with a run, some sellers further; returns whether it was there to go on with.
    pub(super) async fn go_on(&self, run: PayoutRun) -> Result<bool, RunnerError> {
        let now = self.now();
        // Whoever takes it up next does so once this process is presumed dead.
        let mine = PayoutRun { due_at: now.plus(CALL_MAX), ..run };
        if !self.claim(&mine).await? {
            return Ok(false);
        }
        let mut next = PayoutRun { claim: mine.claim.saturating_add(1), due_at: now, ..mine };
        let Some(rules) = self.rules.clone() else {
            self.put_run_off(&mut next, NO_RULES.to_owned(), now);
            return self.claim(&next).await;
        };
        for _ in 0..SELLERS_AT_ONCE {
            let Some((seller, currency)) = self.next(&next).await? else {
                (next.state, next.ended_at) = (RunState::Done, Some(self.now()));
                break;
            };
            if next.currency.is_none_or(|only| only == currency) {
                match self.collect(&rules, &next, (&seller, currency)).await? {
                    Ok(is_made) => next.payouts += u64::from(is_made),
                    Err(BookAway(why)) => {
                        self.put_run_off(&mut next, why, now);
                        break;
                    }
                }
            }
            (next.tries, next.note) = (0, String::new());
            next.after = Some((seller, currency));
            // Another process takes the run up where this one is presumed dead, and what either has
            // come through would be undone by the other.
            if self.now() >= now.plus(CALL_MAX / 2) {
                break;
            }
        }
        self.claim(&next).await?;
        self.runner.payouts.notify_one();
        Ok(true)
    }

    fn put_run_off(&self, run: &mut PayoutRun, why: String, now: Timestamp) {
        tracing::warn!(run = %run.id, %why, "a run of payouts waits");
        run.due_at = now.plus(self.book_wait(run.tries));
        (run.tries, run.note) = (run.tries.saturating_add(1), why);
    }

    async fn claim(&self, run: &PayoutRun) -> Result<bool, RunnerError> {
        let mut tx = self.runner.database.begin().await?;
        let is_mine = store::claim_run(&mut tx, run).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        Ok(is_mine)
    }

    /// The seller after the last one, and a currency.
    async fn next(&self, run: &PayoutRun) -> Result<Option<(Seller, Currency)>, RunnerError> {
        // Who is named is looked at, also where payments know nothing of them.
        if let (Some(seller), Some(currency)) = (&run.seller, run.currency) {
            return Ok(run.after.is_none().then(|| (seller.clone(), currency)));
        }
        let after = match (&run.after, &run.seller) {
            (Some((seller, currency)), _) => (seller.as_str(), currency.code()),
            (None, Some(seller)) => (seller.as_str(), ""),
            (None, None) => ("", ""),
        };
        let next = store::next_seller(&self.runner.database, after).await?;
        Ok(next.filter(|(seller, _)| run.seller.as_ref().is_none_or(|only| only == seller)))
    }

    /// Makes a payout where there is something to pay; returns whether it did.
    async fn collect(
        &self,
        rules: &PayoutRules,
        run: &PayoutRun,
        of: (&Seller, Currency),
    ) -> Result<Result<bool, BookAway>, RunnerError> {
        let (seller, currency) = of;
        let database = &self.runner.database;
        let id = Payout::id_of(run.id, seller, currency);
        if store::payout(database, id).await?.is_some() {
            return Ok(Ok(false));
        }
        let counted = match self.counted(rules, of).await? {
            Ok(Some(counted)) => counted,
            Ok(None) => return Ok(Ok(false)),
            Err(away) => return Ok(Err(away)),
        };
        self.note_debt(rules, of, counted.available).await?;
        if counted.payable <= 0 {
            return Ok(Ok(false));
        }
        let now = self.now();
        let payout = Payout {
            id,
            run_id: run.id,
            seller: seller.clone(),
            psp: run.psp.clone(),
            amount: Money::zero(currency),
            state: PayoutState::Collecting,
            settles: None,
            code: String::new(),
            reference: None,
            made_at: now,
            paid_at: None,
            returned_at: None,
            restored_at: None,
        };
        let row = PayoutRow { payout, schedule: Schedule::due(now), claim: 0, updated_at: now };
        let mut tx = database.begin().await?;
        let is_made = store::add_payout(&mut tx, &row).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        Ok(Ok(is_made))
    }

    /// Keeps who owes more than they may, and says so once.
    async fn note_debt(
        &self,
        rules: &PayoutRules,
        of: (&Seller, Currency),
        available: i64,
    ) -> Result<(), RunnerError> {
        let (seller, currency) = of;
        let is_debt = available < 0 && rules.owes_too_much(currency, available);
        let owed = is_debt.then(|| available.saturating_neg());
        if store::owed_by(&self.runner.database, of).await? == owed {
            return Ok(());
        }
        let mut tx = self.runner.database.begin().await?;
        let is_news = store::note_debt(&mut tx, of, owed, self.now()).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        match owed {
            Some(minor) if is_news => {
                let owed = Money::new(minor, currency);
                tracing::warn!(%seller, %owed, "a seller owes more than they may");
            }
            None if is_news => tracing::info!(%seller, "a seller owes no more than they may"),
            _ => {}
        }
        Ok(())
    }
}
