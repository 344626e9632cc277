//! Payouts to sellers, from end to end: a whole engine with its ledger, and a simulated provider in a
//! process of its own. Its list of payouts must agree with ours, and every law must hold.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::Http;
use crate::nodes::databases;
use crate::paid_orders::{NEW, PATIENCE, Shop as Paid, gbp, on_postgres, on_sqlite};
use crate::shop::{Shop, on_both};
use crate::support::CUSTOMER;
use crate::told_orders::{DOOR, block_on, send, simulate, until};

const SERVICE: &str = "payments.v1.PayoutService";
/// A seller whose lines an order has.
const SELLER: &str = "0190a0b0-0000-7000-8000-000000000001";

on_both!(every_malformed_field_of_payouts_is_named, what_no_payout_is_there_for_is_refused);

/// The same shop, whose provider pays out at once what sellers have.
pub fn paying_out(shop: Paid) -> Paid {
    shop.stopped(|shop| {
        let file = shop.folder.path().join("psps.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let able = text.replace("multi-capture = true\n", "multi-capture = true\npayouts = true\n");
        assert_ne!(able, text);
        let rules = "[payouts]\npsp = \"cards\"\nafter = \"0s\"\n";
        std::fs::write(file, format!("{able}\n{rules}")).unwrap();
    })
}

/// A seller has so many pounds more.
pub fn earned(shop: &Paid, seller: &str, pounds: u32) {
    let account = format!("seller:{seller}:GBP");
    for (name, kind) in [("bank:GBP", "ASSET"), (account.as_str(), "LIABILITY")] {
        shop.engine.ask(&["ledger", "open", name, "--kind", kind, "--currency", "GBP"]);
    }
    shop.engine.ask(&["ledger", "post", &format!("bank:GBP/{account}={pounds}.00GBP")]);
}

/// Asks to pay out what a seller has; returns the run.
pub fn pay_out(shop: &Paid, seller: &str) -> String {
    let run = Uuid::now_v7().to_string();
    let what = ["--seller", seller, "--currency", "GBP", "--request-id", &run];
    shop.engine.ask(&[&["payout", "run", "--reason", "a test"], &what[..]].concat());
    run
}

/// Waits until the only payout of a run is there and in this state.
pub fn until_state(shop: &Paid, run: &str, state: &str) -> Value {
    let since = Instant::now();
    loop {
        let mut all = shop.engine.ask(&["payout", "list", "--run", run])["payouts"].take();
        if all[0]["state"] == format!("PAYOUT_STATE_{state}") {
            assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
            return all[0].take();
        }
        assert!(since.elapsed() < PATIENCE, "not {state}: {all}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Waits until a run has gone through its sellers; returns how many payouts it made.
pub fn made_by(shop: &Paid, run: &str) -> u64 {
    let mut payouts = None;
    until("gone through", || {
        let seen = shop.engine.ask(&["payout", "show-run", run])["run"].take();
        payouts = seen["payouts"].as_u64();
        seen["state"] == "PAYOUT_RUN_STATE_DONE"
    });
    payouts.unwrap_or_default()
}

fn id_of(payout: &Value) -> String {
    payout["payout_id"].as_str().unwrap().to_owned()
}

/// The provider's clock goes ahead, and it is asked about a payout, if it was not meanwhile.
fn later(shop: &Paid, seconds: u64, payout: &Value) {
    simulate(shop, "POST /_sim/clock", &json!({ "advance_seconds": seconds }));
    drop(shop.engine.run(&["payout", "retry", &id_of(payout), "--reason", "a look"]));
}

fn script(shop: &Paid, script: &str) {
    simulate(shop, "POST /_sim/script", &json!({ "kind": "payout", "script": script }));
}

/// An order of a seller's goods that was paid and delivered.
fn sold_by_seller(shop: &Paid) {
    let file = shop.folder.path().join("order.json");
    let order = json!({
        "customer_id": CUSTOMER,
        "lines": [{ "sku": "MUG", "quantity": 2, "seller_id": SELLER, "unit_price": gbp(10) }],
        "address": { "street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB",
                     "country": "GB" },
        "payment": { "psp": "cards", "fee_bps": 250 },
    });
    std::fs::write(&file, order.to_string()).unwrap();
    let placed = shop.engine.ask(&["order", "place", "--file", file.to_str().unwrap()]);
    let order = placed["order"]["order_id"].as_str().unwrap();
    shop.attempt(order, "tok_visa");
    shop.confirmed(order);
    shop.engine.ask(&["order", "fulfill", order]);
    shop.until_balance(&format!("seller:{SELLER}:GBP"), 1_950);
}

fn sellers_are_paid_what_orders_earned(shop: Paid) {
    let shop = paying_out(shop);
    sold_by_seller(&shop);
    let run = Uuid::now_v7().to_string();
    let all = ["payout", "run", "--request-id", &run, "--reason", "the end of the month"];
    let would = shop.engine.ask(&[&all[..], &["--validate-only"]].concat());
    assert_eq!((&would["run"]["run_id"], &would["replayed"]), (&json!(run), &json!(false)));
    assert_eq!(shop.engine.ask(&all)["replayed"], false);
    let paid = until_state(&shop, &run, "PAID");
    assert_eq!(paid["seller"], SELLER);
    let amount = json!({ "currency_code": "GBP", "units": 19, "nanos": 500_000_000 });
    assert_eq!(paid["amount"], amount);
    shop.until_balance(&format!("seller:{SELLER}:GBP"), 0);
    shop.until_balance("cash:GBP", -1_950);
    let theirs = shop.provider.payouts();
    assert_eq!(theirs.len(), 1);
    assert_eq!((&theirs[0]["destination"], &theirs[0]["amount"]), (&json!(SELLER), &json!(1_950)));
    // The same run again, and another one: nothing twice.
    assert_eq!(shop.engine.ask(&all)["replayed"], true);
    assert_eq!(made_by(&shop, &run), 1);
    let another = pay_out(&shop, SELLER);
    assert_eq!(made_by(&shop, &another), 0);
    by_http(&shop, &paid);
    shop.close();
}

fn by_http(shop: &Paid, paid: &Value) {
    let (id, run) = (id_of(paid), Uuid::now_v7().to_string());
    block_on(async {
        let mut http = Http::connect(&shop.engine.address).await;
        let one = http.call(&format!("GET /v1/payouts/{id}"), &[]).await;
        assert_eq!((one.status, &one.json()["payout"]["payout_id"]), (200, &json!(id)));
        let all = http.call(&format!("GET /v1/payouts?seller={SELLER}&page_size=1"), &[]).await;
        assert_eq!(all.json()["payouts"][0]["payout_id"], json!(id), "{all:?}");
        let header = [("idempotency-key", run.as_str())];
        let mut body = json!({ "seller": "nobody", "currency_code": "GBP", "reason": "a test" });
        let begun = http.json("POST /v1/payouts:run", &header, &body).await;
        assert_eq!((begun.status, &begun.json()["run"]["run_id"]), (200, &json!(run)));
        let shown = http.call(&format!("GET /v1/payout-runs/{run}"), &[]).await;
        assert_eq!((shown.status, &shown.json()["run"]["seller"]), (200, &json!("nobody")));
        body["seller"] = json!("somebody");
        let other = http.json("POST /v1/payouts:run", &header, &body).await;
        assert_eq!((other.status, other.code().as_str()), (422, "IDEMPOTENCY_KEY_REUSED"));
        let over = format!("POST /v1/payouts/{id}:resolve");
        let body = json!({ "code": "not_received", "reason": "asked" });
        let over = http.json(&over, &[], &body).await;
        assert_eq!(over.code(), "OPERATION_NOT_STUCK", "{over:?}");
    });
}

#[test]
fn sellers_are_paid_what_orders_earned_on_sqlite() {
    sellers_are_paid_what_orders_earned(Paid::open(on_sqlite));
}

#[test]
fn sellers_are_paid_what_orders_earned_on_postgres() {
    let (_runtime, [database]) = databases();
    sellers_are_paid_what_orders_earned(Paid::open(on_postgres(database.url())));
}

fn what_a_bank_returns_is_the_sellers_again_once(shop: Paid) {
    let mut shop = paying_out(shop);
    earned(&shop, "acme", 100);
    script(&shop, "fails_later");
    let first = pay_out(&shop, "acme");
    let paid = until_state(&shop, &first, "PAID");
    shop.until_balance("seller:acme:GBP", 0);
    later(&shop, 6 * 24 * 3_600, &paid);
    let back = until_state(&shop, &first, "RETURNED");
    assert_eq!(back["code"], "account_closed");
    assert!(back["pay_time"].is_string() && back["return_time"].is_string(), "{back}");
    shop.until_balance("seller:acme:GBP", 10_000);
    shop.until_balance("cash:GBP", 0);
    // Nobody gives it back once more, and another run pays it under another id.
    shop = shop.killed();
    let second = pay_out(&shop, "acme");
    let again = until_state(&shop, &second, "PAID");
    assert_ne!(id_of(&again), id_of(&back));
    shop.until_balance("seller:acme:GBP", 0);
    shop.until_balance("cash:GBP", -10_000);
    until_state(&shop, &first, "RETURNED");

    // Accepted is not paid: it is held, and comes back without ever having been paid.
    earned(&shop, "acme", 50);
    script(&shop, "pending_fails");
    let third = pay_out(&shop, "acme");
    let sent = until_state(&shop, &third, "SUBMITTED");
    let hold = shop.engine.ask(&["ledger", "hold", &id_of(&sent)]);
    assert_eq!(hold["hold"]["state"], "HOLD_STATE_HELD", "{hold}");
    let meanwhile = pay_out(&shop, "acme");
    assert_eq!(made_by(&shop, &meanwhile), 0);
    later(&shop, 600, &sent);
    let back = until_state(&shop, &third, "RETURNED");
    assert!(back["pay_time"].is_null(), "{back}");
    script(&shop, "pending");
    let fourth = pay_out(&shop, "acme");
    let sent = until_state(&shop, &fourth, "SUBMITTED");
    later(&shop, 600, &sent);
    until_state(&shop, &fourth, "PAID");
    shop.until_balance("seller:acme:GBP", 0);
    shop.until_balance("cash:GBP", -15_000);
    shop.close();
}

#[test]
fn what_a_bank_returns_is_the_sellers_again_once_on_sqlite() {
    what_a_bank_returns_is_the_sellers_again_once(Paid::open(on_sqlite));
}

#[test]
fn what_a_bank_returns_is_the_sellers_again_once_on_postgres() {
    let (_runtime, [database]) = databases();
    what_a_bank_returns_is_the_sellers_again_once(Paid::open(on_postgres(database.url())));
}

/// What was paid is asked about once a day. A webhook has it asked about at once.
#[test]
fn a_webhook_tells_that_a_payout_came_back() {
    // The provider sends none by itself.
    let shop = paying_out(Paid::told(on_sqlite, Some("dropped=1000")));
    earned(&shop, "acme", 100);
    script(&shop, "fails_later");
    let run = pay_out(&shop, "acme");
    let paid = until_state(&shop, &run, "PAID");
    simulate(&shop, "POST /_sim/clock", &json!({ "advance_seconds": 6 * 24 * 3_600 }));
    let told = json!({ "id": "evt_1", "type": "payout.failed", "data": { "object": {
        "id": paid["psp_reference"], "object": "payout", "amount": 10_000, "currency": "gbp",
        "status": "failed", "failure_code": "account_closed",
        "metadata": { "ordinal": id_of(&paid) },
    } } });
    for _ in 0..2 {
        assert_eq!(send(&shop, DOOR, NEW, &told.to_string()).status, 200);
    }
    until_state(&shop, &run, "RETURNED");
    shop.until_balance("seller:acme:GBP", 10_000);
    shop.until_balance("cash:GBP", 0);
    shop.close();
}

/// The ledger alone is set back to a copy of before a payout: the next run books it again.
#[test]
fn a_ledger_that_was_restored_pays_no_seller_twice() {
    let shop = paying_out(Paid::open(on_sqlite));
    earned(&shop, "acme", 100);
    let files = |shop: &Paid, to_copy: bool| {
        for end in ["", "-wal", "-shm"] {
            let file = shop.folder.path().join(format!("data/ledger.db{end}"));
            let copy = shop.folder.path().join(format!("copy{end}"));
            let (from, to) = if to_copy { (&file, &copy) } else { (&copy, &file) };
            if from.exists() {
                std::fs::copy(from, to).unwrap();
            } else if to.exists() {
                std::fs::remove_file(to).unwrap();
            }
        }
    };
    let shop = shop.stopped(|shop| files(shop, true));
    let run = pay_out(&shop, "acme");
    until_state(&shop, &run, "PAID");
    shop.until_balance("seller:acme:GBP", 0);
    let shop = shop.stopped(|shop| files(shop, false));
    shop.until_balance("seller:acme:GBP", 10_000);
    let another = pay_out(&shop, "acme");
    assert_eq!(made_by(&shop, &another), 0);
    assert_eq!(shop.provider.payouts().len(), 1);
    shop.until_balance("seller:acme:GBP", 0);
    shop.until_balance("cash:GBP", -10_000);
    shop.close();
}

/// A seller pays more back than they have: health says so until they have earned it.
#[test]
fn a_debt_is_an_alarm_until_it_is_paid_back() {
    let shop = paying_out(Paid::open(on_sqlite));
    earned(&shop, "acme", 10);
    let run = pay_out(&shop, "acme");
    until_state(&shop, &run, "PAID");
    shop.engine.ask(&["ledger", "post", "seller:acme:GBP/bank:GBP=3.00GBP"]);
    let noted = |shop: &Paid| {
        let health = shop.engine.run(&["health"]);
        String::from_utf8_lossy(&health.stdout).contains("1 seller owes more than they may")
    };
    assert!(!noted(&shop));
    let run = pay_out(&shop, "acme");
    assert_eq!(made_by(&shop, &run), 0);
    until("an alarm", || noted(&shop));
    // What is earned then pays it back first.
    earned(&shop, "acme", 5);
    let run = pay_out(&shop, "acme");
    assert_eq!(until_state(&shop, &run, "PAID")["amount"], gbp(2));
    until("no alarm", || !noted(&shop));
    shop.close();
}

#[test]
fn where_nobody_pays_sellers_out_a_run_is_refused() {
    let shop = Paid::open(on_sqlite);
    let refused = shop.engine.refused(1, &["payout", "run", "--reason", "a test"]);
    assert_eq!(refused["reason"], "PAYOUTS_NOT_SUPPORTED", "{refused}");
    shop.close();
}

async fn refused(shop: &Shop, method: &str, request: Value) -> String {
    let method = format!("{SERVICE}/{method}");
    shop.ops.call(&method, request).await.unwrap_err().to_string()
}

async fn every_malformed_field_of_payouts_is_named(shop: Shop) {
    let id = Uuid::now_v7().to_string();
    let resolve = |field: &str, value: Value| {
        let mut request = json!({ "payout_id": id, "code": "lost", "reason": "asked" });
        request[field] = value;
        request
    };
    for (method, request, field) in [
        ("RunPayouts", json!({}), "run_id"),
        ("RunPayouts", json!({ "run_id": id, "seller": "a\u{200b}b" }), "seller"),
        ("RunPayouts", json!({ "run_id": id, "currency_code": "ABC" }), "currency_code"),
        ("RunPayouts", json!({ "run_id": id, "reason": "x".repeat(501) }), "reason"),
        ("GetPayoutRun", json!({ "run_id": "x" }), "run_id"),
        ("GetPayout", json!({ "payout_id": "" }), "payout_id"),
        ("ListPayouts", json!({ "seller": "a\u{200b}b" }), "seller"),
        ("ListPayouts", json!({ "currency_code": "x" }), "currency_code"),
        ("ListPayouts", json!({ "run_id": "x" }), "run_id"),
        ("ListPayouts", json!({ "state": 99 }), "state"),
        ("ListPayouts", json!({ "page_size": -1 }), "page_size"),
        ("ListPayouts", json!({ "page_token": "x" }), "page_token"),
        ("RetryPayout", json!({ "payout_id": "x" }), "payout_id"),
        ("ResolvePayout", resolve("payout_id", json!("x")), "payout_id"),
        ("ResolvePayout", resolve("code", json!("")), "code"),
        ("ResolvePayout", resolve("code", json!("Not this")), "code"),
        ("ResolvePayout", resolve("paid", json!(true)), "code"),
        ("ResolvePayout", resolve("paid", json!(true)), "psp_reference"),
        ("ResolvePayout", resolve("psp_reference", json!("po_1")), "psp_reference"),
        ("ResolvePayout", resolve("reason", json!("")), "reason"),
    ] {
        let said = refused(&shop, method, request).await;
        assert!(said.contains("INVALID_FIELD") && said.contains(field), "{method}: {said}");
    }
    shop.close().await;
}

async fn what_no_payout_is_there_for_is_refused(shop: Shop) {
    let id = Uuid::now_v7();
    let resolve = json!({ "payout_id": id, "code": "lost", "reason": "asked" });
    for (method, request, reason) in [
        ("RunPayouts", json!({ "run_id": id }), "PAYOUTS_NOT_SUPPORTED"),
        ("GetPayoutRun", json!({ "run_id": id }), "NOT_FOUND"),
        ("GetPayout", json!({ "payout_id": id }), "NOT_FOUND"),
        ("RetryPayout", json!({ "payout_id": id }), "NOT_FOUND"),
        ("ResolvePayout", resolve, "NOT_FOUND"),
    ] {
        let said = refused(&shop, method, request).await;
        assert!(said.contains(reason), "{method}: {said}");
    }
    shop.close().await;
}
