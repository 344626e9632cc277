//! Payouts to sellers: what they have is counted and held in the book, then the provider is called,
//! and what it says is booked. Each step is committed before the next one begins, and the same step
//! again has no further effect.

mod collect; // which sellers have something
mod forgotten; // payouts that an older book has forgotten
mod steps; // one payout, one step further
mod told; // what providers tell of payouts

pub(crate) use steps::new_fact;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use shared_events::contract::{Currency, Seller, Timestamp};
use shared_events::stream::{Backoff, DatabaseError};
use tokio_util::sync::CancellationToken;

use super::{IN_FLIGHT_MAX, Point, READ_MAX, Runner, RunnerError, Work};
use crate::domain::{OperationKind, PayoutRules};
use crate::seller_book::{BookAway, SellerBook};
use crate::store::{self, PayoutRun};

/// Waits before the book is asked again that could not be asked.
const BOOK: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// Pays sellers out.
#[derive(Clone)]
pub struct PayoutRunner {
    pub(crate) runner: Runner,
    pub(crate) book: Arc<dyn SellerBook>,
    /// Without them no run begins, and payouts that were made go on.
    pub(crate) rules: Option<Arc<PayoutRules>>,
}

/// What a seller has, in minor units.
struct Counted {
    /// With what is held counted as spent.
    available: i64,
    /// What can be paid out of it.
    payable: i64,
}

impl PayoutRunner {
    /// Works until stopped. Calls that are under way are waited for.
    pub async fn run(self, stop: CancellationToken) {
        self.runner.repeat(Work::Payouts(&self), stop).await;
    }

    /// Does what is due now, once; returns how much that was.
    ///
    /// # Errors
    /// [`RunnerError`]; what was done until then stays.
    pub async fn turn(&self) -> Result<usize, RunnerError> {
        let now = self.now();
        let mut done = usize::from(self.begin_daily(now).await?);
        let mut failed = None;
        for run in store::runs_due(&self.runner.database, now, READ_MAX).await? {
            match self.go_on(run).await {
                Ok(worked) => done += usize::from(worked),
                Err(error) => failed = Some(error),
            }
        }
        let rows = store::payouts_due(&self.runner.database, now, READ_MAX).await?;
        let mut worked = futures::stream::iter(rows.into_iter().map(|row| self.work(row)))
            .buffer_unordered(IN_FLIGHT_MAX);
        while let Some(worked) = worked.next().await {
            match worked {
                Ok(worked) => done += usize::from(worked),
                // One seller does not hold up the others; what failed is due again.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    fn now(&self) -> Timestamp {
        (self.runner.now)()
    }

    /// Whether this process ends here, as tests have it.
    fn ends(&self, point: Point) -> bool {
        (self.runner.ends)(point, OperationKind::Payout)
    }

    /// Begins the run of the day once its time has come: also where no process was there then.
    async fn begin_daily(&self, now: Timestamp) -> Result<bool, RunnerError> {
        let daily = self.rules.as_ref().and_then(|rules| Some((rules, rules.daily(now)?)));
        let Some((rules, (_, id))) = daily else { return Ok(false) };
        if store::payout_run(&self.runner.database, id).await?.is_some() {
            return Ok(false);
        }
        let run = PayoutRun::new(id, rules.psp.clone(), now);
        let mut tx = self.runner.database.begin().await?;
        let is_new = store::add_run(&mut tx, &run).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        Ok(is_new)
    }

    /// What a seller has; none where they never had anything. Payouts that the book has forgotten
    /// are booked again before.
    async fn counted(
        &self,
        rules: &PayoutRules,
        of: (&Seller, Currency),
    ) -> Result<Result<Option<Counted>, BookAway>, RunnerError> {
        let counted = match self.in_the_book(rules, of).await? {
            Ok(Some(counted)) => counted,
            nothing => return Ok(nothing),
        };
        // Where the book has no such account yet, nothing is counted, and nothing would be booked.
        match self.remind(of).await? {
            Ok(0) => Ok(Ok(Some(counted))),
            Ok(_) => self.in_the_book(rules, of).await,
            Err(away) => Ok(Err(away)),
        }
    }

    async fn in_the_book(
        &self,
        rules: &PayoutRules,
        of: (&Seller, Currency),
    ) -> Result<Result<Option<Counted>, BookAway>, RunnerError> {
        let now = self.now();
        let (old, earlier) = (ago(now, rules.after), ago(now, rules.reserve_for));
        // What came back is read first: what comes back meanwhile is then a new credit.
        let back = store::came_back(&self.runner.database, of, (old, earlier)).await?;
        let balance = match self.book.balance(of, old, earlier).await {
            Ok(Some(balance)) => balance,
            Ok(None) => return Ok(Ok(None)),
            Err(away) => return Ok(Err(away)),
        };
        let payable = balance.payable(back, rules.reserve(of.1));
        Ok(Ok(Some(Counted { available: balance.available(), payable })))
    }

    /// How long the book is left alone that could not be asked for the `nth` time.
    fn book_wait(&self, nth: u32) -> Duration {
        BOOK.wait(nth, self.runner.chance.number())
    }
}

/// An instant so long ago.
fn ago(now: Timestamp, long: Duration) -> Timestamp {
    let micros = i64::try_from(long.as_micros()).unwrap_or(i64::MAX);
    Timestamp::checked_from_micros(now.micros().saturating_sub(micros)).unwrap_or(Timestamp::MIN)
}
