//! `ordinal verify` on the books of a shop that was paid, each damaged in one place.

use std::process::Command;

use serde_json::{Value, json};
use sqlx::Executor as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;

use crate::history::until_caught_up;
use crate::paid_orders::{Shop, on_sqlite};
use crate::payouts::{earned, pay_out, paying_out, until_state};
use crate::support::{CUSTOMER, ordinal};
use crate::told_orders::{simulate, until, webhooks};
use crate::wallets::Paid;

/// A copy of the data with one file changed directly.
fn damaged(folder: &TempDir, file: &str, sql: &str) -> TempDir {
    let copy = TempDir::new().unwrap();
    let all = folder.path().join("data/.");
    let status = Command::new("cp").arg("-r").args([&all, copy.path()]).status().unwrap();
    assert!(status.success());
    let path = copy.path().join(file);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let options = SqliteConnectOptions::new().filename(path);
        let database = SqlitePool::connect_with(options).await.unwrap();
        let done = database.execute(sql).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql}");
        database.close().await;
    });
    copy
}

/// The findings of these laws: law and detail.
fn findings(data: &std::path::Path) -> Vec<(String, String)> {
    let output = ordinal(&["--json", "verify", "--data", data.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|one| (text(one, "law"), text(one, "detail"))).collect()
}

#[test]
fn damaged_books_break_the_laws_of_money() {
    let shop = Shop::told(on_sqlite, Some("doubled=1"));
    let order = shop.place("cards");
    shop.attempt(&order, "tok_visa");
    shop.confirmed(&order);
    shop.engine.ask(&["order", "fulfill", &order]);
    shop.until_payment(&order, "CAPTURED");
    shop.until_balance("psp_receivable:cards:GBP", 2_000);
    until("told", || !webhooks(&shop, "all").is_empty() && webhooks(&shop, "waiting").is_empty());
    let Shop { folder, engine, provider, .. } = shop;
    assert!(engine.stop().success());
    drop(provider);
    assert_eq!(findings(&folder.path().join("data")), []);
    let of_payments = "id = (SELECT MIN(id) FROM entries WHERE asked_by = 'engine:payments')";
    let of_case =
        |path: &str, sum: i64| format!("UPDATE cases SET body = json_set(body, '{path}', {sum})");
    for (file, sql, found) in [
        (
            "ledger.db",
            format!(
                "DROP TRIGGER entries_refuse_update;
                 UPDATE entries SET fingerprint = printf('%064d', 0) WHERE {of_payments}"
            ),
            &[("ledger_as_payments", "is another")][..],
        ),
        (
            "ledger.db",
            format!(
                "DROP TRIGGER entries_refuse_update;
                 UPDATE entries SET asked_by = 'x' WHERE {of_payments}"
            ),
            &[("ledger_as_payments", "entries of payments")],
        ),
        (
            "payments.db",
            "UPDATE webhooks SET settled_at = NULL
             WHERE event_id = (SELECT MIN(event_id) FROM webhooks WHERE state = 'HANDLED')"
                .to_owned(),
            &[("webhooks_settled", "it is HANDLED, and its end says otherwise")],
        ),
        (
            "payments.db",
            of_case("$.payments[0].requested", 1_900),
            &[("money_as_goods", "knows Worth { requested: 1900")],
        ),
        (
            "payments.db",
            of_case("$.payments[0].operations[1].amount.minor", 1_900),
            &[
                ("money_as_goods", "1900 is taken, 2000 kept"),
                ("ledger_as_payments", "took 1900, and 2000 by its facts"),
            ],
        ),
    ] {
        let copy = damaged(&folder, file, &sql);
        let all = findings(copy.path());
        for (law, detail) in found {
            let named = all.iter().any(|one| one.0 == *law && one.1.contains(detail));
            assert!(named, "{sql}: {law} {detail} in {all:#?}");
        }
    }
}

/// A shop that was paid with wallets: one order is taken and half of it paid back, one is held, one
/// was given back. Returns its data, and the order that is held.
fn paid_with_wallets(stranger: &str) -> (TempDir, String) {
    let shop = Paid::open(on_sqlite);
    shop.engine.ask(&["wallet", "top-up", CUSTOMER, "100.00GBP"]);
    shop.engine.ask(&["wallet", "top-up", stranger, "9.00GBP"]);
    let [taken, held, freed] = [(); 3].map(|()| {
        let order = shop.place();
        shop.attempt(&order, "wallet");
        shop.confirmed(&order);
        order
    });
    shop.engine.ask(&["order", "fulfill", &taken, "--line", "1=1"]);
    shop.until_payment(&taken, "CAPTURED");
    shop.engine.ask(&["return", "request", &taken, "--line", "1=1", "--reason", "chipped"]);
    shop.engine.ask(&["return", "approve", &taken]);
    shop.until_payment(&taken, "PARTIALLY_REFUNDED");
    shop.engine.ask(&["order", "cancel", &freed]);
    shop.until_payment(&freed, "VOIDED");
    // What the law compares is what the ledger has read.
    shop.until_settled();
    shop.until_balance("auth_memo_d:GBP", 20);
    let Paid { folder, engine, .. } = shop;
    assert!(engine.stop().success());
    (folder, held)
}

#[test]
fn damaged_wallets_break_their_law() {
    let stranger = "018f6f3e-0000-7000-8000-000000000002";
    let (folder, held) = paid_with_wallets(stranger);
    assert_eq!(findings(&folder.path().join("data")), []);
    let own = format!("wallet:{CUSTOMER}:GBP");
    let number = |name: &str| format!("(SELECT number FROM accounts WHERE name = '{name}')");
    let transfers = |change: &str| {
        let of = format!("DROP TRIGGER transfers_refuse_update; UPDATE transfers SET {change}");
        ("ledger.db", of)
    };
    let refunded_to = |name: &str| {
        let (debit, credit) = (number("psp_receivable:wallet:GBP"), number(&own));
        let to = number(name);
        transfers(&format!("credit = {to} WHERE debit = {debit} AND credit = {credit}"))
    };
    let terms = |change: &str| {
        let drop = "DROP TRIGGER terms_refuse_update";
        let sql = format!("{drop}; UPDATE accounts SET {change} WHERE name = '{own}'");
        ("ledger.db", sql)
    };
    let of_payments = |sql: &str| ("payments.db", format!("{sql} AND order_id = '{held}'"));
    for ((file, sql), found) in [
        (terms("bound = 'NONE'"), "has not the terms of a wallet"),
        (terms("currency = 'EUR'"), "is in another currency"),
        (transfers("amount = 1999 WHERE kind = 'HOLD_POSTED'"), "is another in the book"),
        (refunded_to("wallet_funding:GBP"), "is of no wallet"),
        (refunded_to(&format!("wallet:{stranger}:GBP")), "nothing was held for it"),
        (
            (
                "ledger.db",
                "UPDATE holds SET state = 'HELD', ended = NULL WHERE state = 'VOIDED'".to_owned(),
            ),
            "was given back and holds still",
        ),
        (
            of_payments(
                "DROP TRIGGER operations_refuse_delete;
                 DELETE FROM operations WHERE kind = 'AUTHORIZE'",
            ),
            "is held for no payment",
        ),
        (
            of_payments(
                "UPDATE cases
                 SET body = json_set(body, '$.payments[0].operations[0].state', 'DECLINED')
                 WHERE true",
            ),
            "is held for a payment that was declined",
        ),
    ] {
        let copy = damaged(&folder, file, &sql);
        let all = findings(copy.path());
        let named = all.iter().any(|one| one.0 == "wallets_as_payments" && one.1.contains(found));
        assert!(named, "{sql}: {found} in {all:#?}");
    }
}

/// A shop that paid sellers out: one was paid, one was refused by its bank, one came back after it
/// was paid, and one is worked on. Returns its data, and the payouts.
fn paid_out() -> (TempDir, [String; 4]) {
    let shop = paying_out(Shop::open(on_sqlite));
    let pays = |(seller, script, state): (&str, Option<&str>, &str)| {
        earned(&shop, seller, 100);
        if let Some(script) = script {
            let said = json!({ "kind": "payout", "script": script });
            simulate(&shop, "POST /_sim/script", &said);
        }
        let run = pay_out(&shop, seller);
        let payout = until_state(&shop, &run, state);
        (run, payout["payout_id"].as_str().unwrap().to_owned())
    };
    let (_, paid) = pays(("acme", None, "PAID"));
    let (refused, no) = pays(("brick", Some("pending_fails"), "SUBMITTED"));
    let (returned, back) = pays(("chip", Some("fails_later"), "PAID"));
    simulate(&shop, "POST /_sim/clock", &json!({ "advance_seconds": 6 * 24 * 3_600 }));
    for (run, id) in [(&refused, &no), (&returned, &back)] {
        drop(shop.engine.run(&["payout", "retry", id, "--reason", "a look"]));
        until_state(&shop, run, "RETURNED");
    }
    let (_, open) = pays(("dent", Some("pending"), "SUBMITTED"));
    // What the law compares is what the ledger has read.
    until_caught_up(&shop.engine);
    let Shop { folder, engine, provider, .. } = shop;
    assert!(engine.stop().success());
    drop(provider);
    (folder, [paid, no, back, open])
}

#[test]
fn damaged_payouts_break_their_law() {
    let (folder, [paid, no, back, open]) = paid_out();
    assert_eq!(findings(&folder.path().join("data")), []);
    let hold = |change: &str, id: &str| {
        ("ledger.db", format!("UPDATE holds SET {change} WHERE id = '{id}'"))
    };
    let payout = |change: &str, id: &str| {
        ("payments.db", format!("UPDATE payouts SET {change} WHERE payout_id = '{id}'"))
    };
    let cash = "(SELECT number FROM accounts WHERE name = 'cash:GBP')";
    let mirror = format!(
        "DROP TRIGGER transfers_refuse_update;
         UPDATE transfers SET amount = 9999 WHERE kind = 'POSTED' AND debit = {cash}"
    );
    let gone = format!(
        "DROP TRIGGER payouts_refuse_delete; DELETE FROM payouts WHERE payout_id = '{open}'"
    );
    for ((file, sql), found) in [
        (hold("amount = 10001", &paid), "has another hold in the book"),
        (hold("state = 'VOIDED', posted = 0", &paid), "was paid, and its hold is not posted"),
        (hold("state = 'HELD', ended = NULL", &no), "was not paid, and its hold is not voided"),
        (hold("posted = 9999", &back), "was paid, and its hold is not posted"),
        (("ledger.db", mirror), "came back, and the book has another entry for it"),
        (payout("state = 'PAID'", &open), "is PAID, and its facts say otherwise"),
        (payout("state = 'RETURNED'", &paid), "is RETURNED, and its facts say otherwise"),
        (payout("amount = 9999", &open), "is held for a payout of another amount"),
        (("payments.db", gone.clone()), "is told by facts, and is not there"),
        (("payments.db", gone), "is held for no payout"),
    ] {
        let copy = damaged(&folder, file, &sql);
        let all = findings(copy.path());
        let named = all.iter().any(|one| one.0 == "payouts_as_booked" && one.1.contains(found));
        assert!(named, "{sql}: {found} in {all:#?}");
    }
}
