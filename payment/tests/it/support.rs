//! A payment service on a database of its own, and facts about orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use payment::domain::{Case, Observation, OperationKind, Stage};
use payment::{Payments, Psps, Runner, audit, migrator, store};
use psp::{Psp, Token};
use shared_events::chance::Chance;
use shared_events::contract::{
    CancelReason, CapturePolicy, Contact, CustomerId, Fact, FactBody, FactId, Money, OrderFact,
    OrderHeader, OrderId, Origin, PaymentId, PaymentPart, PaymentPolicy, RequestedPayment,
    ReservationId, ReturnId, Seller, ShipmentId, Timestamp,
};
use shared_events::stream::{
    AskedBy, Blame, Cursors, Database, Dialect, Handler as _, OperatorAction, Source as _, Verb,
};
use uuid::Uuid;

use crate::domain::support::at;
use crate::scripted::Scripted;

pub struct Bench {
    pub database: Database,
    pub payments: Payments,
    pub psp: Arc<Scripted>,
    pub clock: Arc<AtomicI64>,
    _folder: Option<Arc<tempfile::TempDir>>,
}

impl Bench {
    pub async fn on(dialect: Dialect) -> Self {
        Self::with(dialect, Scripted::default()).await
    }

    pub async fn with(dialect: Dialect, psp: Scripted) -> Self {
        let migrations = migrator(dialect);
        let (database, folder) = match dialect {
            Dialect::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("payments.db");
                (Database::sqlite(&path, &migrations).await.unwrap(), Some(Arc::new(folder)))
            }
            Dialect::Postgres => {
                let url = std::env::var("ORDINAL_TEST_POSTGRES").expect(
                    "ORDINAL_TEST_POSTGRES names a Postgres for tests; scripts/test starts one",
                );
                let schema = format!("t_{}", Chance::system().uuid().simple());
                (Database::postgres(&url, &schema, &migrations).await.unwrap(), None)
            }
        };
        let clock = Arc::new(AtomicI64::new(at(0).micros()));
        let psp = Arc::new(psp);
        let payments = over(&database, &psp, &clock);
        Self { database, payments, psp, clock, _folder: folder }
    }

    /// The process ends, and another begins.
    pub fn restart(&mut self) {
        self.payments = over(&self.database, &self.psp, &self.clock);
    }

    /// The process ends, and another begins whose settings have no provider.
    pub fn forget_provider(&mut self) {
        let told = Arc::clone(&self.clock);
        let now = Arc::new(move || Timestamp::from_micros(told.load(Ordering::SeqCst)));
        self.payments = Payments::new(self.database.clone(), Psps::default(), now);
    }

    pub fn runner(&self) -> Runner {
        self.payments.runner(Chance::seeded(1))
    }

    pub fn wait(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    pub async fn follow(&self, facts: &[Fact]) -> Result<(), Blame> {
        let mut tx = self.database.begin().await.unwrap();
        let mut follower = self.payments.follower();
        follower.handle(&mut tx, facts).await?;
        tx.commit().await.unwrap();
        follower.committed();
        Ok(())
    }

    pub async fn pay(&self, order: OrderId, attempt: u128) -> Result<Case, payment::PaymentError> {
        let token: Token = "tok_1".parse().unwrap();
        self.payments.attempt(order, Uuid::from_u128(attempt), &token, (None, None)).await
    }

    /// A person says what became of a stuck operation.
    pub async fn resolve(&self, row: &store::OperationRow, seen: Observation) {
        let by = AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() };
        let at = Timestamp::from_micros(self.clock.load(Ordering::SeqCst));
        let (verb, target) = (Verb::ResolveOperation, row.id.to_string());
        let action = OperatorAction::new(&by, verb, &target, "asked", at);
        let said = (action, "asked".to_owned());
        self.payments.resolve(row.order_id, row.id, seen, said, (None, None)).await.unwrap();
    }

    /// Turns of a runner until nothing is due.
    pub async fn turns(&self) {
        let runner = self.runner();
        for _ in 0..20 {
            if runner.turn().await.unwrap() == 0 {
                return;
            }
        }
        panic!("still something to do");
    }

    /// Time passes until nothing is open.
    pub async fn settle(&self) {
        for _ in 0..40 {
            self.turns().await;
            let rows = store::operations_after(&self.database, "", 1_000).await.unwrap();
            if rows.iter().all(|row| matches!(row.schedule.stage, Stage::Done | Stage::Stuck)) {
                return;
            }
            self.wait(61);
        }
        panic!("still open");
    }

    pub async fn case(&self, order: OrderId) -> Case {
        store::case(&self.database, order).await.unwrap().unwrap()
    }

    pub async fn published(&self) -> Vec<&'static str> {
        let batch = self.payments.facts().read_after(&Cursors::default(), 10_000).await.unwrap();
        batch.items.iter().map(|fact| fact.body.kind()).collect()
    }

    pub async fn tokens(&self) -> i64 {
        let count = "SELECT COUNT(*) FROM tokens";
        let (count,): (i64,) =
            sqlx::query_as(count).fetch_one(self.database.reader()).await.unwrap();
        count
    }

    /// As a day does.
    pub async fn forget_tokens(&self) {
        let mut tx = self.database.begin().await.unwrap();
        sqlx::query("DELETE FROM tokens").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn laws_hold(&self) {
        let found = audit(&self.database, |_| ()).await.unwrap();
        assert_eq!(found.findings, []);
    }

    /// The only operation of a kind.
    pub async fn operation(&self, kind: OperationKind) -> store::OperationRow {
        let rows = store::operations_after(&self.database, "", 1_000).await.unwrap();
        let mut rows = rows.into_iter().filter(|row| row.kind == kind);
        let one = rows.next().unwrap();
        assert_eq!(rows.next(), None);
        one
    }
}

fn over(database: &Database, psp: &Arc<Scripted>, clock: &Arc<AtomicI64>) -> Payments {
    let told = Arc::clone(clock);
    let now = Arc::new(move || Timestamp::from_micros(told.load(Ordering::SeqCst)));
    let psp: Arc<dyn Psp> = Arc::<Scripted>::clone(psp);
    Payments::new(database.clone(), Psps::new([(psp.name().parse().unwrap(), psp)]), now)
}

/// The facts of an order, each with its own id.
pub struct Story {
    pub order_id: OrderId,
    facts: u16,
}

impl Story {
    pub fn new() -> Self {
        Self { order_id: OrderId::mint(), facts: 0 }
    }

    fn fact(&mut self, body: impl FnOnce(OrderHeader) -> OrderFact) -> Fact {
        self.facts += 1;
        let header = OrderHeader {
            order_id: self.order_id,
            customer_id: CustomerId::from_uuid(Uuid::from_u128(7)),
            contact: Contact::default(),
            total: gbp(5_000),
            names: None,
        };
        // Unique per order, as a position would be.
        let place = self.order_id.uuid().as_u64_pair().1;
        let id = FactId::at(Origin::Orders, self.facts, place, 0);
        let body = FactBody::Order(body(header));
        Fact::new(id, (3, u64::from(self.facts), 0), u64::from(self.facts), at(0), body)
    }

    pub fn requested(&mut self, minor: i64, capture: CapturePolicy) -> Fact {
        let payment_id = PaymentId::of(self.order_id, None);
        self.fact(|order| OrderFact::PaymentRequested {
            order,
            psp: "scripted".parse().unwrap(),
            capture,
            policy: PaymentPolicy::AllOrNone,
            pay_by: at(15),
            parts: vec![RequestedPayment {
                seller: None,
                payment_id,
                amount: gbp(minor),
                fee_bps: 250,
            }],
        })
    }

    /// Asked for by sellers, each for so much.
    pub fn requested_of(&mut self, sellers: &[&str], minor: i64) -> Fact {
        let order_id = self.order_id;
        let part = |seller: &&str| {
            let seller: Seller = seller.parse().unwrap();
            RequestedPayment {
                payment_id: PaymentId::of(order_id, Some(&seller)),
                seller: Some(seller),
                amount: gbp(minor),
                fee_bps: 250,
            }
        };
        let parts = sellers.iter().map(part).collect();
        self.fact(|order| OrderFact::PaymentRequested {
            order,
            psp: "scripted".parse().unwrap(),
            capture: CapturePolicy::OnFulfil,
            policy: PaymentPolicy::PerSeller,
            pay_by: at(15),
            parts,
        })
    }

    fn parts(&self, minor: i64) -> Vec<PaymentPart> {
        let payment_id = PaymentId::of(self.order_id, None);
        vec![PaymentPart { payment_id, amount: gbp(minor) }]
    }

    pub fn confirmed(&mut self) -> Fact {
        let payments = self.parts(1);
        self.fact(|order| OrderFact::Confirmed {
            order,
            reservation_id: ReservationId::mint(),
            backordered: Vec::new(),
            payments,
        })
    }

    pub fn shipped(&mut self, minor: i64) -> Fact {
        let payments = self.parts(minor);
        self.fact(|order| OrderFact::LinesFulfilled {
            order,
            shipment_id: ShipmentId::mint(),
            lines: Vec::new(),
            carrier: String::new(),
            tracking: String::new(),
            shipment_reference: String::new(),
            location: None,
            payments,
        })
    }

    pub fn cancelled(&mut self, minor: i64) -> Fact {
        let payments = self.parts(minor);
        self.fact(|order| OrderFact::Cancelled {
            order,
            reason: CancelReason::CustomerRequest,
            was_confirmed: false,
            skus: Vec::new(),
            text: String::new(),
            refund_id: None,
            payments,
        })
    }

    pub fn refunded(&mut self, minor: i64) -> Fact {
        self.approved(ReturnId::mint(), minor)
    }

    /// This return is approved, perhaps once more.
    pub fn approved(&mut self, return_id: ReturnId, minor: i64) -> Fact {
        let payments = self.parts(minor);
        self.fact(|order| OrderFact::RefundRequested {
            order,
            return_id,
            refund: gbp(minor),
            return_reference: String::new(),
            kept: Vec::new(),
            rejected_reason: String::new(),
            payments,
        })
    }
}

pub fn gbp(minor: i64) -> Money {
    Money::new(minor, "GBP".parse().unwrap())
}
