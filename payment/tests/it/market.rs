//! Sellers, with a book of their money in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use payment::domain::{
    BookStep, OperationKind, Payout, PayoutRules, PayoutState, RunState, SellerBalance,
};
use payment::grpc::proto;
use payment::grpc::proto::payout_service_server::PayoutService as _;
use payment::store::{self, PayoutFilter, PayoutRow};
use payment::{BookAway, Booked, Ends, Payments, PayoutRunner, Point, SellerBook};
use shared_events::chance::Chance;
use shared_events::contract::{Currency, PayoutId, Seller, Timestamp};
use shared_events::stream::Dialect;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::scripted::Scripted;
use crate::support::Bench;

pub const DAY: i64 = 24 * 3_600;

/// When the book is away: before it books what it is asked to, or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    Before,
    After,
}

#[derive(Default)]
pub struct Kept {
    /// Whose, when and how much.
    credits: Vec<(String, Timestamp, i64)>,
    debits: BTreeMap<String, i64>,
    /// What is held, and whose.
    holds: BTreeMap<PayoutId, (String, i64)>,
    /// Whose payouts are, and how much.
    amounts: BTreeMap<PayoutId, (String, i64)>,
    /// What was booked of payouts, each once, and when.
    steps: Vec<(PayoutId, BookStep, Timestamp)>,
    /// What happens to the next steps.
    pub away: VecDeque<Away>,
    /// How long it takes to say what a seller has, in seconds.
    pub takes: i64,
    /// What is refused.
    pub refuses: Option<BookStep>,
}

/// The book.
pub struct Shelf {
    kept: Mutex<Kept>,
    clock: Arc<AtomicI64>,
}

fn account(seller: &Seller, currency: Currency) -> String {
    format!("{seller}:{currency}")
}

impl Shelf {
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.load(Ordering::SeqCst))
    }

    /// A seller sold something for so many pence.
    pub fn credit(&self, seller: &str, minor: i64) {
        let now = self.now();
        self.kept().credits.push((format!("{seller}:GBP"), now, minor));
    }

    /// A seller pays so much back.
    pub fn debit(&self, seller: &str, minor: i64) {
        *self.kept().debits.entry(format!("{seller}:GBP")).or_default() += minor;
    }

    /// As it was when only so many steps of payouts stood in it: holds, posts and voids after them
    /// are forgotten.
    pub fn forgets_after(&self, steps: usize) {
        let mut kept = self.kept();
        let forgotten = kept.steps.split_off(steps);
        for (id, step, _) in forgotten.into_iter().rev() {
            let (account, minor) = kept.amounts[&id].clone();
            match step {
                BookStep::Hold => drop(kept.holds.remove(&id)),
                BookStep::Post => {
                    *kept.debits.entry(account.clone()).or_default() -= minor;
                    kept.holds.insert(id, (account, minor));
                }
                BookStep::Void => drop(kept.holds.insert(id, (account, minor))),
                BookStep::Mirror => panic!("a mirrored payment is not forgotten here"),
            }
        }
    }

    /// What was booked of payouts, in its order.
    pub fn steps(&self) -> Vec<BookStep> {
        self.kept().steps.iter().map(|(_, step, _)| *step).collect()
    }
}

#[async_trait]
impl SellerBook for Shelf {
    async fn balance(
        &self,
        of: (&Seller, Currency),
        old: Timestamp,
        earlier: Timestamp,
    ) -> Result<Option<SellerBalance>, BookAway> {
        let (kept, account) = (self.kept(), account(of.0, of.1));
        self.clock.fetch_add(kept.takes * 1_000_000, Ordering::SeqCst);
        let until = |at: Timestamp| -> i64 {
            let by_then = kept.credits.iter().filter(|one| one.0 == account && one.1 <= at);
            by_then.map(|one| one.2).sum()
        };
        let held = kept.holds.values().filter(|one| one.0 == account).map(|one| one.1).sum();
        let debits = kept.debits.get(&account).copied();
        if debits.is_none() && kept.credits.iter().all(|one| one.0 != account) {
            return Ok(None);
        }
        Ok(Some(SellerBalance {
            credits: until(self.now()),
            debits: debits.unwrap_or_default(),
            held,
            old_credits: until(old),
            earlier_credits: until(earlier),
        }))
    }

    async fn holds(&self, payout: PayoutId) -> Result<bool, BookAway> {
        let is_hold = |(id, step, _): &(PayoutId, BookStep, Timestamp)| {
            (*id, *step) == (payout, BookStep::Hold)
        };
        Ok(self.kept().steps.iter().any(is_hold))
    }

    async fn book(&self, step: BookStep, of: &Payout) -> Result<Booked, BookAway> {
        let (now, mut kept) = (self.now(), self.kept());
        let known = kept.steps.iter().find(|(id, done, _)| (*id, *done) == (of.id, step));
        if let Some((_, _, at)) = known {
            return Ok(Booked::At(*at));
        }
        let away = kept.away.pop_front();
        if away == Some(Away::Before) {
            return Err(BookAway("away".to_owned()));
        }
        if kept.refuses == Some(step) {
            return Ok(Booked::Refused("account_not_open".to_owned()));
        }
        let (account, minor) = (account(&of.seller, of.amount.currency), of.amount.minor);
        kept.amounts.insert(of.id, (account.clone(), minor));
        match step {
            BookStep::Hold => {
                kept.holds.insert(of.id, (account, minor));
            }
            BookStep::Post => {
                kept.holds.remove(&of.id).unwrap();
                *kept.debits.entry(account).or_default() += minor;
            }
            BookStep::Void => {
                kept.holds.remove(&of.id).unwrap();
            }
            BookStep::Mirror => kept.credits.push((account, now, minor)),
        }
        kept.steps.push((of.id, step, now));
        match away {
            Some(_) => Err(BookAway("away".to_owned())),
            None => Ok(Booked::At(now)),
        }
    }
}

/// Payments that pay sellers out after 30 days, by a provider that follows a script.
pub struct Market {
    pub bench: Bench,
    pub shelf: Arc<Shelf>,
    pub rules: PayoutRules,
}

pub fn run_id(number: u128) -> Uuid {
    Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0000 + number)
}

/// A run of what acme has in pounds.
pub fn of_acme(number: u128) -> proto::RunPayoutsRequest {
    proto::RunPayoutsRequest {
        run_id: run_id(number).to_string(),
        seller: "acme".to_owned(),
        currency_code: "GBP".to_owned(),
        ..proto::RunPayoutsRequest::default()
    }
}

fn days(number: u64) -> Duration {
    Duration::from_secs(number * 24 * 3_600)
}

impl Market {
    pub async fn on(dialect: Dialect) -> Self {
        Self::with(dialect, Scripted::default()).await
    }

    pub async fn with(dialect: Dialect, psp: Scripted) -> Self {
        let bench = Bench::with(dialect, psp).await;
        bench.wait(400 * DAY);
        let shelf = Shelf { kept: Mutex::default(), clock: Arc::clone(&bench.clock) };
        let rules = PayoutRules {
            psp: "scripted".parse().unwrap(),
            after: days(30),
            reserve_bps: 0,
            reserve_for: days(90),
            reserve_minimum: BTreeMap::new(),
            debt_max: BTreeMap::new(),
            daily_at: None,
        };
        Self { bench, shelf: Arc::new(shelf), rules }
    }

    pub fn payments(&self) -> Payments {
        self.bench.payments.clone().paying_out(Some(self.rules.clone()))
    }

    pub fn runner(&self) -> PayoutRunner {
        self.runner_ending(Arc::new(|_: Point, _: OperationKind| false))
    }

    pub fn runner_ending(&self, ends: Ends) -> PayoutRunner {
        let payments = self.payments();
        let runner = payments.runner(Chance::seeded(1)).ending(ends);
        let book: Arc<dyn SellerBook> = Arc::<Shelf>::clone(&self.shelf);
        payments.payout_runner(&runner, book)
    }

    /// Acme sold something, long enough ago.
    pub fn sold(&self, minor: i64) {
        self.shelf.credit("acme", minor);
        self.bench.wait(31 * DAY);
    }

    /// Turns of a runner until nothing is due.
    pub async fn turns(&self) {
        let runner = self.runner();
        for _ in 0..60 {
            if runner.turn().await.unwrap() == 0 {
                return;
            }
        }
        panic!("still something to do");
    }

    /// Time passes until each payout is over.
    pub async fn settle(&self) {
        use PayoutState::{Paid, Refused, Returned, Stuck};
        for _ in 0..60 {
            self.turns().await;
            let rows = self.all().await;
            let over =
                |row: &PayoutRow| matches!(row.payout.state, Paid | Refused | Returned | Stuck);
            if !rows.is_empty() && rows.iter().all(over) {
                return;
            }
            self.bench.wait(61);
        }
        panic!("still open: {:?}", self.all().await);
    }

    pub async fn asked(
        &self,
        request: proto::RunPayoutsRequest,
    ) -> Result<proto::RunPayoutsResponse, Status> {
        let edge = self.payments().payout_edge();
        edge.run_payouts(Request::new(request)).await.map(Response::into_inner)
    }

    /// A run of what acme has, and what follows at once; returns how many payouts it made.
    pub async fn runs(&self, number: u128) -> u64 {
        self.asked(of_acme(number)).await.unwrap();
        self.turns().await;
        let run = store::payout_run(&self.bench.database, run_id(number)).await.unwrap().unwrap();
        assert_eq!(run.state, RunState::Done);
        run.payouts
    }

    pub async fn all(&self) -> Vec<PayoutRow> {
        store::payouts(&self.bench.database, &PayoutFilter::default(), 100).await.unwrap()
    }

    /// The only payout of a run.
    pub async fn of_run(&self, number: u128) -> PayoutRow {
        let filter = PayoutFilter { run: Some(run_id(number)), ..PayoutFilter::default() };
        let mut rows = store::payouts(&self.bench.database, &filter, 100).await.unwrap();
        let one = rows.pop().unwrap();
        assert_eq!(rows, []);
        one
    }
}
