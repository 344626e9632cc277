//! What facts of payments are in the book: pure first, then followed, on both databases.

use std::collections::BTreeMap;

use ledger::domain::{AccountKind, EntryId, Leg, Limit, Outcome, is_of_takings};
use ledger::posting::{posting, taken_by};
use ledger::{ASKED_BY_PAYMENTS, store};
use proptest::prelude::*;
use shared_events::contract::{
    CapturePolicy, Fact, FactBody, FactId, Money, OperationId, OrderId, Origin, PaymentFact,
    PaymentHeader, PaymentId, Reversed, Seller, Timestamp,
};
use shared_events::stream::{Blame, Dialect, Handler as _};
use uuid::Uuid;

use crate::on_both::on_both;
use crate::support::{Bench, gbp, name, transfer};

on_both![two_threads:
    facts_of_a_payment_stand_in_the_book,
    facts_that_are_read_again_are_booked_once,
    facts_that_cannot_be_booked_are_named_and_nothing_is_kept,
    facts_and_calls_share_one_book,
];

const ORDER: Uuid = Uuid::from_u128(0x018f_6f3e_0000_7000_8000_0000_0000_0001);

/// Facts of the payment of an order for a seller, or for the shop.
struct Told {
    order: Uuid,
    seller: Option<Seller>,
    facts: u64,
}

impl Told {
    fn of(seller: &str) -> Self {
        let seller = (!seller.is_empty()).then(|| seller.parse().unwrap());
        Self { order: ORDER, seller, facts: 0 }
    }

    fn header(&self, operation: u128, minor: i64) -> PaymentHeader {
        let order_id = OrderId::from_uuid(self.order);
        PaymentHeader {
            order_id,
            payment_id: PaymentId::of(order_id, self.seller.as_ref()),
            seller: self.seller.clone(),
            psp: "cards".parse().unwrap(),
            amount: gbp(minor),
            operation_id: OperationId::from_uuid(Uuid::from_u128(operation)),
            cause: Uuid::from_u128(operation + 1_000),
            at: Timestamp::from_micros(1),
        }
    }

    fn authorized(&self, operation: u128, minor: i64) -> PaymentFact {
        let valid_until = Timestamp::from_micros(2);
        PaymentFact::Authorized { payment: self.header(operation, minor), valid_until }
    }

    fn captured(&self, operation: u128, minor: i64, fee: i64) -> PaymentFact {
        let (payment, capture) = (self.header(operation, minor), CapturePolicy::OnFulfil);
        PaymentFact::Captured { payment, fee: gbp(fee), capture }
    }

    fn held(&self, operation: u128, minor: i64) -> PaymentFact {
        let (payment, capture) = (self.header(operation, minor), CapturePolicy::OnConfirm);
        PaymentFact::Captured { payment, fee: gbp(0), capture }
    }

    fn refunded(&self, operation: u128, minor: i64, fee: i64, held: Option<i64>) -> PaymentFact {
        let payment = self.header(operation, minor);
        PaymentFact::Refunded { payment, fee: gbp(fee), held: held.map(gbp) }
    }

    fn fact(&mut self, body: PaymentFact) -> Fact {
        self.facts += 1;
        let subject = OrderId::from_uuid(self.order).into();
        let at = Timestamp::from_micros(3);
        let id = FactId::of_event(Origin::Payments, (subject, self.facts), (0, self.facts), at, 0);
        Fact::new(id, (0, self.facts, 0), self.facts, at, FactBody::Payment(body))
    }
}

/// What a fact moves: account to debits less credits.
fn moves(fact: &PaymentFact) -> BTreeMap<String, i64> {
    let mut all = BTreeMap::new();
    let Some(posting) = posting(fact).unwrap() else { return all };
    for leg in posting.entry.legs() {
        let Leg::Transfer { debit, credit, amount } = leg else { panic!("{leg:?}") };
        *all.entry(debit.to_string()).or_default() += amount.minor;
        *all.entry(credit.to_string()).or_default() -= amount.minor;
    }
    all.retain(|_, minor| *minor != 0);
    all
}

fn map<const N: usize>(all: [(&str, i64); N]) -> BTreeMap<String, i64> {
    all.into_iter().map(|(name, minor)| (name.to_owned(), minor)).collect()
}

#[test]
fn each_fact_is_the_entry_of_the_table() {
    let told = Told::of("acme");
    let memo = |minor| map([("auth_memo_d:GBP", minor), ("auth_memo_c:GBP", -minor)]);
    assert_eq!(moves(&told.authorized(1, 500)), memo(500));
    assert_eq!(moves(&PaymentFact::Voided { payment: told.header(1, 500) }), memo(-500));
    assert_eq!(moves(&PaymentFact::Expired { payment: told.header(1, 500) }), memo(-500));
    let mut taken = memo(-200);
    taken.extend(map([
        ("psp_receivable:cards:GBP", 200),
        ("seller:acme:GBP", -195),
        ("fee_revenue:GBP", -5),
    ]));
    assert_eq!(moves(&told.captured(2, 200, 5)), taken);
    let mut taken = memo(-200);
    taken.extend(map([("psp_receivable:cards:GBP", 200), ("customer_held:GBP", -200)]));
    assert_eq!(moves(&told.held(2, 200)), taken);
    let (payment, fee, through) = (told.header(2, 120), gbp(3), gbp(120));
    assert_eq!(
        moves(&PaymentFact::Earned { payment, fee, through }),
        map([("customer_held:GBP", 120), ("seller:acme:GBP", -117), ("fee_revenue:GBP", -3)])
    );
    assert_eq!(
        moves(&told.refunded(3, 100, 2, Some(30))),
        map([
            ("psp_receivable:cards:GBP", -100),
            ("seller:acme:GBP", 68),
            ("fee_revenue:GBP", 2),
            ("customer_held:GBP", 30)
        ])
    );
    // What the shop itself sells is its own.
    assert!(moves(&Told::of("").captured(2, 200, 0)).contains_key("sales:GBP"));
}

#[test]
fn reversals_mirror_their_first_entry_and_name_it() {
    let told = Told::of("acme");
    let reversed = |reverses, restored: Option<i64>| PaymentFact::Reversed {
        payment: told.header(2, 200),
        reverses,
        fee: gbp(5),
        held: None,
        restored: restored.map(gbp),
    };
    let negated = |all: BTreeMap<String, i64>| -> BTreeMap<String, i64> {
        all.into_iter().map(|(name, minor)| (name, -minor)).collect()
    };
    let again = reversed(Reversed::Capture, Some(200));
    assert_eq!(moves(&again), negated(moves(&told.captured(2, 200, 5))));
    let first = posting(&told.captured(2, 200, 5)).unwrap().unwrap().entry.id();
    let entry = posting(&again).unwrap().unwrap().entry;
    assert!(entry.reason().ends_with(&format!("reverses entry {first}")), "{}", entry.reason());
    assert_ne!(entry.id(), first);
    let back = reversed(Reversed::Refund, None);
    assert_eq!(moves(&back), negated(moves(&told.refunded(2, 200, 5, None))));
    let ended = PaymentFact::Reversed {
        payment: told.header(1, 200),
        reverses: Reversed::Authorization,
        fee: gbp(0),
        held: None,
        restored: None,
    };
    assert_eq!(moves(&ended), negated(moves(&told.authorized(1, 200))));
}

/// The same movement has one id, whichever fact tells it; two movements have two.
#[test]
fn entries_have_the_ids_of_what_was_done() {
    let told = Told::of("acme");
    let id = |fact: &PaymentFact| posting(fact).unwrap().unwrap().entry.id();
    assert_eq!(id(&told.captured(2, 200, 5)), id(&told.captured(2, 200, 5)));
    let earned = |through| {
        let (payment, fee) = (told.header(2, 10), gbp(0));
        PaymentFact::Earned { payment, fee, through: gbp(through) }
    };
    let voided = |cause| {
        let payment = PaymentHeader { cause: Uuid::from_u128(cause), ..told.header(1, 10) };
        PaymentFact::Voided { payment }
    };
    let all = [
        id(&told.authorized(1, 200)),
        id(&told.captured(2, 200, 5)),
        id(&told.refunded(3, 200, 5, None)),
        id(&earned(10)),
        id(&earned(20)),
        id(&voided(7)),
        id(&voided(8)),
        id(&PaymentFact::Expired { payment: told.header(1, 10) }),
    ];
    let unique: std::collections::BTreeSet<EntryId> = all.into_iter().collect();
    assert_eq!(unique.len(), all.len());
}

/// Names with blanks or other scripts are not those of accounts. No two are one account.
#[test]
fn sellers_of_any_name_have_an_account_each() {
    let mut names = std::collections::BTreeSet::new();
    let all = ["acme", "Acme", "Acme Ltd", "acme ltd", "Łódź", "a:b", &"ü".repeat(60), "id"];
    for seller in all {
        let posting = posting(&Told::of(seller).captured(2, 200, 0)).unwrap().unwrap();
        let seller = posting.accounts.iter().find(|one| one.name.as_str().starts_with("seller:"));
        assert!(names.insert(seller.unwrap().name.clone()));
    }
    assert_eq!(names.len(), all.len());
}

#[test]
fn impossible_amounts_are_not_booked() {
    let told = Told::of("acme");
    for fact in [
        told.captured(2, 200, 201),
        told.captured(2, -1, 0),
        told.refunded(3, 100, 50, Some(51)),
        told.authorized(1, -5),
    ] {
        assert!(posting(&fact).is_err(), "{fact:?}");
    }
    let jpy = Money::new(5, "JPY".parse().unwrap());
    let (payment, capture) = (told.header(2, 200), CapturePolicy::OnFulfil);
    let two = PaymentFact::Captured { payment, fee: jpy, capture };
    assert!(posting(&two).unwrap_err().to_string().contains("two currencies"));
    // Nothing is moved by nothing.
    assert_eq!(posting(&told.authorized(1, 0)), Ok(None));
    let lost = PaymentFact::Released { order_id: OrderId::from_uuid(ORDER) };
    assert_eq!(posting(&lost), Ok(None));
}

proptest! {
    /// What sellers, fees and held money get is what was taken, whatever the parts.
    #[test]
    fn takings_are_what_was_taken(
        amount in 1..1_000_000_000_i64, fee in 0..1_000_i64, held in 0..1_000_i64, kind in 0..4,
    ) {
        let (fee, held) = (fee.min(amount), held.min(amount - fee.min(amount)));
        let told = Told::of("acme");
        let reverses = if kind == 2 { Reversed::Capture } else { Reversed::Refund };
        let fact = match kind {
            0 => told.captured(2, amount, fee),
            1 => told.refunded(2, amount, fee, Some(held)),
            _ => PaymentFact::Reversed {
                payment: told.header(2, amount), reverses, fee: gbp(fee), held: Some(gbp(held)),
                restored: None,
            },
        };
        let of_takings = moves(&fact).into_iter().filter(|(one, _)| is_of_takings(&name(one)));
        let sum: i64 = of_takings.map(|(_, minor)| -minor).sum();
        prop_assert_eq!(sum, taken_by(&fact));
    }
}

impl Bench {
    pub async fn follow(&self, facts: &[Fact]) -> Result<(), Blame> {
        let mut follower = self.follower();
        let mut tx = self.database.begin().await.unwrap();
        follower.handle(&mut tx, facts).await?;
        tx.commit().await.unwrap();
        follower.committed();
        Ok(())
    }
}

async fn facts_of_a_payment_stand_in_the_book(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut told = Told::of("acme");
    let bodies = [
        told.authorized(1, 5_000),
        told.captured(2, 2_000, 50),
        told.captured(3, 3_000, 75),
        told.refunded(4, 1_000, 25, None),
    ];
    let facts: Vec<Fact> = bodies.into_iter().map(|body| told.fact(body)).collect();
    bench.follow(&facts).await.unwrap();
    for (account, minor) in [
        ("auth_memo_d:GBP", 0),
        ("psp_receivable:cards:GBP", 4_000),
        ("seller:acme:GBP", 3_900),
        ("fee_revenue:GBP", 100),
    ] {
        assert_eq!(bench.balance(account).await, minor, "{account}");
    }
    let found = bench.laws_hold().await;
    assert_eq!((found.of_payments, found.transfers), (4, 9));
    let filter = store::EntryFilter::default();
    let entries = store::entries(&bench.database, filter, 10).await.unwrap();
    assert_eq!(entries.len(), 4);
    assert!(entries.iter().all(|entry| entry.asked_by == ASKED_BY_PAYMENTS));
    assert!(entries[3].reason.starts_with("payment.authorized.v1, order 018f6f3e-"));
    bench.stop().await;
}

/// The same facts again, and the same operations by facts of other ids, as after a restore.
async fn facts_that_are_read_again_are_booked_once(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut told = Told::of("acme");
    let bodies = [told.authorized(1, 5_000), told.captured(2, 2_000, 50)];
    let facts: Vec<Fact> = bodies.iter().map(|body| told.fact(body.clone())).collect();
    bench.follow(&facts).await.unwrap();
    bench.follow(&facts).await.unwrap();
    let others: Vec<Fact> = bodies.iter().map(|body| told.fact(body.clone())).collect();
    bench.follow(&others).await.unwrap();
    assert_eq!(bench.balance("seller:acme:GBP").await, 1_950);
    assert_eq!(bench.laws_hold().await.of_payments, 2);
    // The same operation with other content is no repetition.
    let other = told.captured(2, 2_001, 50);
    let blame = bench.follow(&[told.fact(other)]).await.unwrap_err();
    assert!(blame.to_string().contains("other content"), "{blame}");
    assert_eq!(bench.laws_hold().await.of_payments, 2);
    bench.stop().await;
}

async fn facts_that_cannot_be_booked_are_named_and_nothing_is_kept(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    // Somebody opened an account of the engine as what it is not.
    bench.open("fee_revenue:GBP", AccountKind::Asset, "GBP", Limit::None).await;
    // A limit is of whoever opens it first.
    bench.open("seller:acme:GBP", AccountKind::Liability, "GBP", Limit::DebitsWithinCredits).await;
    let mut told = Told::of("acme");
    let bodies = [told.authorized(1, 5_000), told.captured(2, 2_000, 50), told.captured(3, 10, 1)];
    let mut facts: Vec<Fact> = bodies.into_iter().map(|body| told.fact(body)).collect();
    let mut other = Told { order: Uuid::from_u128(ORDER.as_u128() + 1), ..Told::of("acme") };
    let body = other.captured(6, 100, 1);
    facts.push(other.fact(body));
    let blame = bench.follow(&facts).await.unwrap_err();
    let error = "account fee_revenue:GBP is open as ASSET in GBP, not as INCOME in GBP";
    // Each at once; later ones of an order wait behind its first.
    let wrong = [(1, error.to_owned()), (3, error.to_owned())];
    assert_eq!(blame.into_items().unwrap(), wrong);
    assert_eq!(bench.laws_hold().await.of_payments, 0, "all of the batch or none");
    // Without the one that is set aside the others are booked.
    bench.follow(&facts[..1]).await.unwrap();
    // A refused entry leaves its id free: it is tried again once there is enough.
    let refund = told.refunded(4, 1_000, 0, None);
    let refund = told.fact(refund);
    let blame = bench.follow(std::slice::from_ref(&refund)).await.unwrap_err();
    assert!(blame.to_string().contains("seller:acme:GBP has 0 available"), "{blame}");
    let taken = told.captured(5, 1_500, 0);
    bench.follow(&[told.fact(taken), refund]).await.unwrap();
    assert_eq!(bench.balance("seller:acme:GBP").await, 500);
    assert_eq!(bench.laws_hold().await.of_payments, 3);
    bench.stop().await;
}

/// Both doors take turns, and each knows what the other did.
async fn facts_and_calls_share_one_book(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    let mut told = Told::of("acme");
    let mut follower = bench.follower();
    for nth in 0..5_u32 {
        let body = told.captured(u128::from(nth) + 2, 100, 1);
        let fact = told.fact(body);
        let mut tx = bench.database.begin().await.unwrap();
        follower.handle(&mut tx, &[fact]).await.unwrap();
        tx.commit().await.unwrap();
        follower.committed();
        bench.post(u128::from(nth), vec![transfer("wallet:1", "seller:acme:GBP", 1)]).await;
    }
    assert_eq!(bench.balance("seller:acme:GBP").await, 500);
    assert_eq!(bench.laws_hold().await.of_payments, 5);
    let known = bench.ask(0, vec![transfer("wallet:1", "seller:acme:GBP", 1)]).await.unwrap();
    assert!(matches!(known.outcome, Outcome::Booked { exists: true, .. }));
    bench.stop().await;
}
