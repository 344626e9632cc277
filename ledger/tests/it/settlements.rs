//! What lines of settlement reports are in the book: pure first, then followed, on both databases.

use std::collections::BTreeMap;

use ledger::domain::Leg;
use ledger::posting::{line_of, posting, taken_by, unknown_by};
use shared_events::contract::{
    Fact, FactBody, FactId, LineAccount, LineKind, Money, OrderId, Origin, PaymentFact,
    SettledLine, SettlementLineId, Timestamp,
};
use shared_events::stream::Dialect;
use uuid::Uuid;

use crate::on_both::on_both;
use crate::support::{Bench, gbp};

on_both![two_threads:
    lines_of_reports_stand_in_the_book_once,
    a_line_in_another_currency_is_booked_at_the_rate_of_its_report,
];

fn line(name: &str, kind: LineKind, gross: i64, fee: i64) -> SettledLine {
    let psp = "cards".parse().unwrap();
    SettledLine {
        settlement_line_id: SettlementLineId::of(&psp, name),
        psp,
        psp_line: name.to_owned(),
        kind,
        order_id: None,
        payment_id: None,
        operation_id: None,
        gross: gbp(gross),
        fee: gbp(fee),
        net: gbp(gross - fee),
        settled: None,
        exchange_rate: None,
        at: Timestamp::from_micros(1),
    }
}

fn of(line: SettledLine, account: LineAccount) -> PaymentFact {
    PaymentFact::SettlementLine { line, account }
}

fn resolved(line: SettledLine, account: LineAccount) -> PaymentFact {
    PaymentFact::SettlementResolved { line, account }
}

fn fact(position: u64, body: PaymentFact) -> Fact {
    let line = line_of(&body).unwrap();
    let id = FactId::once(Origin::Payments, line.settlement_line_id.uuid(), body.kind());
    let at = Timestamp::from_micros(3);
    Fact::new(id, (0, position, 0), position, at, FactBody::Payment(body))
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
fn each_line_is_the_entry_of_the_table() {
    let receivable = LineAccount::Receivable;
    for (told, moved) in [
        (
            of(line("1", LineKind::Charge, 2_000, 58), receivable),
            map([
                ("cash:GBP", 1_942),
                ("psp_fee:cards:GBP", 58),
                ("psp_receivable:cards:GBP", -2_000),
            ]),
        ),
        (
            of(line("2", LineKind::Refund, -1_000, 0), receivable),
            map([("cash:GBP", -1_000), ("psp_receivable:cards:GBP", 1_000)]),
        ),
        // The provider keeps more than there was.
        (
            of(line("3", LineKind::Charge, 10, 25), receivable),
            map([("cash:GBP", -15), ("psp_fee:cards:GBP", 25), ("psp_receivable:cards:GBP", -10)]),
        ),
        (
            of(line("4", LineKind::Fee, 0, 500), receivable),
            map([("cash:GBP", -500), ("psp_fee:cards:GBP", 500)]),
        ),
        (
            of(line("5", LineKind::Dispute, -2_000, 1_500), LineAccount::Disputed),
            map([
                ("cash:GBP", -3_500),
                ("psp_fee:cards:GBP", 1_500),
                ("disputed:cards:GBP", 2_000),
            ]),
        ),
        (
            of(line("6", LineKind::Adjustment, 300, 0), LineAccount::Suspense),
            map([("cash:GBP", 300), ("suspense:cards:GBP", -300)]),
        ),
        (
            resolved(line("6", LineKind::Adjustment, 300, 0), receivable),
            map([("suspense:cards:GBP", 300), ("psp_receivable:cards:GBP", -300)]),
        ),
        (
            resolved(line("7", LineKind::Adjustment, -300, 0), LineAccount::WrittenOff),
            map([("suspense:cards:GBP", -300), ("psp_adjustments:cards:GBP", 300)]),
        ),
    ] {
        assert_eq!(moves(&told), moved, "{told:?}");
        // Nothing of it is taken from a customer, or given back.
        assert_eq!(taken_by(&told), 0);
    }
}

#[test]
fn entries_have_the_ids_of_their_lines_and_say_which() {
    let named = SettledLine {
        order_id: Some(OrderId::from_uuid(Uuid::from_u128(7))),
        ..line("txn_1", LineKind::Charge, 200, 5)
    };
    let first = posting(&of(named.clone(), LineAccount::Suspense)).unwrap().unwrap().entry;
    let again = posting(&of(named.clone(), LineAccount::Receivable)).unwrap().unwrap().entry;
    assert_eq!(first.id(), again.id(), "a line is booked once, whatever it is booked against");
    let other = posting(&resolved(named, LineAccount::Receivable)).unwrap().unwrap().entry;
    assert_ne!(first.id(), other.id());
    let reason = first.reason();
    assert!(reason.starts_with("settlement.line.v1, line txn_1 of cards, order 0000"), "{reason}");
}

#[test]
fn a_line_whose_sums_do_not_fit_is_not_booked() {
    let wrong = SettledLine { net: gbp(1), ..line("1", LineKind::Charge, 200, 5) };
    let error = posting(&of(wrong, LineAccount::Receivable)).unwrap_err().to_string();
    assert!(error.contains("gross less fee"), "{error}");
    let jpy = Money::new(5, "JPY".parse().unwrap());
    let wrong = SettledLine { fee: jpy, ..line("1", LineKind::Charge, 200, 5) };
    let error = posting(&of(wrong, LineAccount::Receivable)).unwrap_err().to_string();
    assert!(error.contains("two currencies"), "{error}");
}

#[test]
fn what_nobody_knows_comes_and_goes() {
    let unknown = line("1", LineKind::Charge, 200, 5);
    assert_eq!(unknown_by(&of(unknown.clone(), LineAccount::Suspense)), 200);
    assert_eq!(unknown_by(&of(unknown.clone(), LineAccount::Receivable)), 0);
    assert_eq!(unknown_by(&resolved(unknown, LineAccount::WrittenOff)), -200);
}

async fn lines_of_reports_stand_in_the_book_once(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (charge, strange) =
        (line("1", LineKind::Charge, 2_000, 58), line("2", LineKind::Charge, 700, 20));
    let facts = [
        fact(1, of(charge, LineAccount::Receivable)),
        fact(2, of(strange.clone(), LineAccount::Suspense)),
    ];
    for _ in 0..2 {
        bench.follow(&facts).await.unwrap();
    }
    for (account, minor) in [
        ("cash:GBP", 2_622),
        ("psp_fee:cards:GBP", 78),
        ("psp_receivable:cards:GBP", -2_000),
        ("suspense:cards:GBP", 700),
    ] {
        assert_eq!(bench.balance(account).await, minor, "{account}");
    }
    bench.follow(&[fact(3, resolved(strange, LineAccount::Receivable))]).await.unwrap();
    assert_eq!(bench.balance("suspense:cards:GBP").await, 0);
    assert_eq!(bench.balance("psp_receivable:cards:GBP").await, -2_700);
    assert_eq!(bench.laws_hold().await.of_payments, 3);
    bench.stop().await;
}

/// Case 43.
async fn a_line_in_another_currency_is_booked_at_the_rate_of_its_report(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let of_rate = |name: &str, minor: i64, rate: &str| SettledLine {
        settled: Some(Money::new(minor, "EUR".parse().unwrap())),
        exchange_rate: Some(rate.to_owned()),
        ..line(name, LineKind::Charge, 1_000, 30)
    };
    let body = of(of_rate("1", 1_135, "1.17"), LineAccount::Receivable);
    let reason = posting(&body).unwrap().unwrap().entry.reason().to_owned();
    assert!(reason.ends_with(", rate 1.17"), "{reason}");
    let first = fact(1, body);
    bench.follow(std::slice::from_ref(&first)).await.unwrap();
    let of_first = [
        ("psp_receivable:cards:GBP", -1_000),
        ("psp_fee:cards:GBP", 30),
        ("fx_gain_loss:GBP", -970),
        ("fx_gain_loss:EUR", 1_135),
        ("cash:EUR", 1_135),
    ];
    for (account, minor) in of_first {
        assert_eq!(bench.balance(account).await, minor, "{account}");
    }
    // Another rate of a later line is the later line's alone.
    let later = of(of_rate("2", 1_067, "1.10"), LineAccount::Receivable);
    bench.follow(&[first, fact(2, later)]).await.unwrap();
    assert_eq!(bench.balance("cash:EUR").await, 1_135 + 1_067);
    assert_eq!(bench.balance("fx_gain_loss:GBP").await, -2 * 970);
    assert_eq!(bench.laws_hold().await.of_payments, 2);
    bench.stop().await;
}
