//! Reports of what a provider paid out, from its simulator through the command line, gRPC and REST
//! to the ledger: a whole engine on both databases, killed between import and booking.

use std::path::PathBuf;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::Http;
use crate::nodes::databases;
use crate::paid_orders::{Shop, lawful, on_postgres, on_sqlite};
use crate::shop::{self, on_both};
use crate::told_orders::{block_on, until};

const SERVICE: &str = "payments.v1.SettlementService";
const COLUMNS: &str = "line_id,kind,our_reference,psp_reference,currency,gross,fee,net,date\n";

/// Each on both databases, in a process of its own.
macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[test]
                fn $name() {
                    super::$name(super::Shop::open(super::on_sqlite));
                }
            )*
        }
        mod postgres {
            $(
                #[test]
                fn $name() {
                    let (_runtime, [database]) = super::databases();
                    super::$name(super::Shop::open(super::on_postgres(database.url())));
                }
            )*
        }
    };
}

stories!(
    a_report_of_the_provider_is_booked_once,
    a_report_that_is_wrong_is_told_line_by_line,
    an_engine_is_killed_between_an_import_and_its_booking,
    a_report_proves_what_nobody_heard_of,
    a_report_in_another_currency_is_booked_at_its_rate,
);

/// What the provider says it paid out.
fn report(shop: &Shop, query: &str) -> String {
    let answer = block_on(async {
        let mut http = Http::connect(&shop.provider.address).await;
        http.call(&format!("GET /_sim/report{query}"), &[]).await
    });
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text
}

/// A file with this text.
fn file(shop: &Shop, text: &str) -> String {
    let path: PathBuf = shop.folder.path().join(format!("{}.csv", Uuid::now_v7()));
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn import(shop: &Shop, text: &str) -> Value {
    let file = file(shop, text);
    shop.engine.ask(&["settlement", "import", "--psp", "cards", &file])
}

/// Reason and message of an import that is refused.
fn refused(shop: &Shop, text: &str) -> (String, String) {
    let file = file(shop, text);
    let output = shop.engine.run(&["settlement", "import", "--psp", "cards", &file]);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let told: Value = serde_json::from_slice(&output.stderr).unwrap();
    let text = |field: &str| told["error"][field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// State, kind and gross amount of each line.
fn lines(shop: &Shop, state: &[&str]) -> Vec<(String, String)> {
    let all = [&["settlement", "lines", "--page-size", "100"][..], state].concat();
    let all = shop.engine.ask(&all)["lines"].take();
    let word = |one: &Value, field: &str, prefix: &str| {
        one[field].as_str().unwrap().trim_start_matches(prefix).to_owned()
    };
    let of = |one: &Value| {
        let state = word(one, "state", "SETTLEMENT_LINE_STATE_");
        (state, word(one, "kind", "SETTLEMENT_LINE_KIND_"))
    };
    all.as_array().unwrap().iter().map(of).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(state, kind)| ((*state).to_owned(), (*kind).to_owned())).collect()
}

/// An order of 20.00 that was delivered and paid.
fn taken(shop: &Shop, token: &str) -> String {
    let order = shop.place("cards");
    shop.attempt(&order, token);
    shop.confirmed(&order);
    shop.engine.ask(&["order", "fulfill", &order]);
    shop.until_payment(&order, "CAPTURED");
    order
}

/// The same, of which half was paid back.
fn returned(shop: &Shop) -> String {
    let order = taken(shop, "tok_visa");
    shop.engine.ask(&["return", "request", &order, "--line", "1=1", "--reason", "chipped"]);
    shop.engine.ask(&["return", "approve", &order]);
    shop.until_payment(&order, "PARTIALLY_REFUNDED");
    order
}

/// Ends it; every law must hold, and this many checks of lines were made.
fn close(shop: Shop) {
    let Shop { folder, engine, stored, provider } = shop;
    assert!(engine.stop().success());
    let report = lawful(&stored);
    assert!(report["checked"]["settlement_sums"].as_u64().unwrap_or_default() > 0, "{report}");
    drop((folder, provider));
}

fn a_report_of_the_provider_is_booked_once(shop: Shop) {
    returned(&shop);
    shop.until_balance("psp_receivable:cards:GBP", 1_000);
    let text = report(&shop, "");
    let dry = file(&shop, &text);
    let dry = ["settlement", "import", "--psp", "cards", &dry, "--validate-only"];
    assert_eq!(shop.engine.ask(&dry)["settlement"]["matched"], 2);
    assert_eq!(lines(&shop, &[]), []);
    let first = import(&shop, &text);
    let settlement = &first["settlement"];
    assert_eq!((&settlement["lines"], &settlement["matched"]), (&json!(2), &json!(2)), "{first}");
    assert_eq!(settlement["asked_by"], "ops:developer");
    assert!(settlement["file_name"].as_str().unwrap().ends_with(".csv"));
    // Paid out is what was taken and not paid back, less the provider's fee.
    shop.until_balance("psp_receivable:cards:GBP", 0);
    shop.until_balance("cash:GBP", 2_000 - 58 - 1_000);
    shop.until_balance("psp_fee:cards:GBP", 58);
    let again = import(&shop, &text);
    assert_eq!((&again["replayed"], &again["settlement"]), (&json!(true), settlement));
    let id = settlement["settlement_id"].as_str().unwrap();
    assert_eq!(shop.engine.ask(&["settlement", "show", id])["settlement"], *settlement);
    let listed = shop.engine.ask(&["settlement", "list", "--psp", "cards"]);
    assert_eq!(listed["settlements"], json!([settlement]));
    let of_it = lines(&shop, &["--settlement", id, "--state", "matched"]);
    assert_eq!(of_it, pairs(&[("MATCHED", "CHARGE"), ("MATCHED", "REFUND")]));
    // The same lines in another file are known; one with other content refuses all of it.
    let longer = format!("{text}t9,fee,,,GBP,0.00,0.50,-0.50,,,2026-11-30\n");
    let more = import(&shop, &longer);
    let (lines_of_it, new) = (&more["settlement"]["lines"], &more["settlement"]["new_lines"]);
    assert_eq!((lines_of_it, new), (&json!(3), &json!(1)), "{more}");
    let (reason, message) = refused(&shop, &longer.replace("0.50,-0.50", "0.60,-0.60"));
    assert_eq!(reason, "IDEMPOTENCY_KEY_REUSED");
    assert!(message.starts_with("line 4: t9 of cards stands with other content"), "{message}");
    shop.until_balance("psp_fee:cards:GBP", 108);
    let actions = shop.engine.ask(&["operations", "list", "--kind", "PAYMENT"]);
    assert!(actions.to_string().contains("IMPORT_SETTLEMENT"), "{actions}");
    let missing = shop.engine.ask(&["settlement", "missing", "--days", "1"]);
    assert_eq!(missing["operations"], json!([]));
    close(shop);
}

fn a_report_that_is_wrong_is_told_line_by_line(shop: Shop) {
    let order = taken(&shop, "tok_visa");
    shop.until_balance("psp_receivable:cards:GBP", 2_000);
    // Nothing of a report is imported of which one line is bad.
    let bad = "t2,charge,,x,GBP,5.00,0.10,5.00,2026-11-30\n";
    let good = "t1,charge,,x,GBP,5.00,0.10,4.90,2026-11-30\n";
    let (reason, message) = refused(&shop, &format!("{COLUMNS}{good}{bad}"));
    assert_eq!(reason, "INVALID_FIELD");
    assert_eq!(message, "report: line 3: gross is not fee and net");
    assert_eq!(lines(&shop, &[]), []);
    // A penny less, and the same once more.
    import(&shop, &report(&shop, "?fault=wrong_amount"));
    assert_eq!(lines(&shop, &[]), pairs(&[("DISCREPANCY", "CHARGE")]));
    let first = shop.engine.ask(&["settlement", "lines", "--state", "discrepancy"]);
    let first = &first["lines"][0];
    assert_eq!(
        first["off_by"],
        json!({ "currency_code": "GBP", "units": 0, "nanos": -10_000_000 })
    );
    assert_eq!(first["order_id"], order.as_str());
    let (reason, _) = refused(&shop, &report(&shop, "?fault=doubled_line"));
    assert_eq!(reason, "IDEMPOTENCY_KEY_REUSED");
    shop.until_balance("psp_receivable:cards:GBP", 1);
    // What nobody knows waits in suspense until a person says what it is for.
    let strange = format!("{COLUMNS}{good}t3,adjustment,,,GBP,0.30,0.00,0.30,2026-11-30\n");
    import(&shop, &strange);
    shop.until_balance("suspense:cards:GBP", 530);
    let resolve = |line: &str, to: &[&str]| {
        let verb = ["settlement", "resolve", "cards", line, "--reason", "asked"];
        shop.engine.run(&[&verb[..], to].concat())
    };
    let nobody = resolve("t1", &["--to", "nobody"]);
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("NOT_FOUND"));
    let payment = shop.payments(&order)[0]["payment_id"].as_str().unwrap().to_owned();
    let shown = shop.engine.ask(&["payment", "show", &payment]);
    let capture = shown["operations"][1]["operation_id"].as_str().unwrap();
    for _ in 0..2 {
        let resolved = resolve("t1", &["--to", capture]);
        let resolved: Value = serde_json::from_slice(&resolved.stdout).unwrap();
        assert_eq!(resolved["line"]["state"], "SETTLEMENT_LINE_STATE_DISCREPANCY", "{resolved}");
        assert!(resolve("t3", &["--write-off"]).status.success());
    }
    let other = resolve("t1", &["--write-off"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("OPERATION_NOT_STUCK"));
    shop.until_balance("suspense:cards:GBP", 0);
    shop.until_balance("psp_adjustments:cards:GBP", -30);
    shop.until_balance("psp_receivable:cards:GBP", 1 - 500);
    assert_eq!(lines(&shop, &["--state", "unknown"]), []);
    close(shop);
}

fn an_engine_is_killed_between_an_import_and_its_booking(mut shop: Shop) {
    returned(&shop);
    shop.until_balance("psp_receivable:cards:GBP", 1_000);
    shop.engine.ask(&["follower", "pause", "ledger-entries", "--reason", "a test"]);
    let text = report(&shop, "");
    import(&shop, &text);
    shop = shop.killed();
    assert_eq!(lines(&shop, &["--state", "matched"]).len(), 2);
    shop.until_balance("psp_receivable:cards:GBP", 1_000);
    shop.until_balance("cash:GBP", 0);
    assert_eq!(import(&shop, &text)["replayed"], true);
    shop.engine.ask(&["follower", "resume", "ledger-entries"]);
    shop.until_balance("cash:GBP", 942);
    shop = shop.killed();
    shop.until_balance("psp_receivable:cards:GBP", 0);
    shop.until_balance("cash:GBP", 942);
    close(shop);
}

/// The answer to a capture was lost, and the provider answers no question: its report does.
fn a_report_proves_what_nobody_heard_of(shop: Shop) {
    let order = shop.place("cards");
    shop.attempt(&order, "tok_capture_timeout_after");
    shop.confirmed(&order);
    shop.engine.ask(&["order", "fulfill", &order]);
    until("taken at the provider", || report(&shop, "").lines().count() == 2);
    let text = report(&shop, "");
    signal(&shop, "-STOP");
    import(&shop, &text);
    assert_eq!(shop.until_payment(&order, "CAPTURED")["captured"]["units"], 20);
    signal(&shop, "-CONT");
    assert_eq!(lines(&shop, &[]), pairs(&[("MATCHED", "CHARGE")]));
    shop.until_balance("sales:GBP", 2_000);
    shop.until_balance("psp_receivable:cards:GBP", 0);
    shop.until_balance("cash:GBP", 1_942);
    close(shop);
}

fn signal(shop: &Shop, name: &str) {
    let id = shop.provider.process.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
}

/// Case 43.
fn a_report_in_another_currency_is_booked_at_its_rate(shop: Shop) {
    taken(&shop, "tok_visa");
    import(&shop, &report(&shop, "?settled_currency=EUR&rate=1.17"));
    // 19.42 at 1.17.
    shop.until_balance("cash:EUR", 2_272);
    shop.until_balance("fx_gain_loss:EUR", 2_272);
    shop.until_balance("fx_gain_loss:GBP", -1_942);
    shop.until_balance("psp_receivable:cards:GBP", 0);
    // Another rate for the same line is another content, and changes nothing.
    let (reason, _) = refused(&shop, &report(&shop, "?settled_currency=EUR&rate=1.10"));
    assert_eq!(reason, "IDEMPOTENCY_KEY_REUSED");
    taken(&shop, "tok_visa");
    let later = report(&shop, "?settled_currency=EUR&rate=1.10");
    let first = report(&shop, "?settled_currency=EUR&rate=1.17");
    let later: Vec<&str> = later.lines().collect();
    let both = format!("{}\n{}\n", first.lines().take(2).collect::<Vec<_>>().join("\n"), later[2]);
    import(&shop, &both);
    shop.until_balance("cash:EUR", 2_272 + 2_136);
    shop.until_balance("psp_receivable:cards:GBP", 0);
    close(shop);
}

on_both!(
    every_malformed_field_of_settlement_is_named,
    reports_go_by_rest_and_pages_end,
    what_is_not_there_is_not_found,
);

async fn every_malformed_field_of_settlement_is_named(shop: shop::Shop) {
    let id = Uuid::now_v7().to_string();
    let report = format!("{COLUMNS}t1,fee,,,GBP,0.00,1.00,-1.00,2026-11-30\n");
    let import = |field: &str, value: &str| {
        let mut request = json!({ "psp": "cards", "report": report, "file_name": "a.csv" });
        request[field] = json!(value);
        request
    };
    let resolve = |field: &str, value: Value| {
        let mut request = json!({ "psp": "cards", "line_id": "t1", "to": "x", "reason": "asked" });
        request[field] = value;
        request
    };
    for (method, request, field) in [
        ("ImportSettlement", import("psp", "No"), "psp"),
        ("ImportSettlement", import("report", ""), "report"),
        ("ImportSettlement", import("report", "line_id,kind\n"), "report"),
        ("ImportSettlement", import("file_name", &"x".repeat(201)), "file_name"),
        ("ListSettlements", json!({ "psp": "No" }), "psp"),
        ("ListSettlements", json!({ "page_size": -1 }), "page_size"),
        ("ListSettlements", json!({ "page_token": "x" }), "page_token"),
        ("GetSettlement", json!({ "settlement_id": "x" }), "settlement_id"),
        ("ListSettlementLines", json!({ "psp": "No" }), "psp"),
        ("ListSettlementLines", json!({ "settlement_id": "x" }), "settlement_id"),
        ("ListSettlementLines", json!({ "state": 99 }), "state"),
        ("ListSettlementLines", json!({ "page_token": "x" }), "page_token"),
        ("ListUnsettled", json!({ "psp": "No" }), "psp"),
        ("ListUnsettled", json!({ "older_than_days": 3_651 }), "older_than_days"),
        ("ListUnsettled", json!({ "page_token": "x" }), "page_token"),
        ("ResolveSettlementLine", resolve("psp", json!("No")), "psp"),
        ("ResolveSettlementLine", resolve("line_id", json!("")), "line_id"),
        ("ResolveSettlementLine", resolve("to", json!("")), "to"),
        ("ResolveSettlementLine", resolve("write_off", json!(true)), "to"),
        ("ResolveSettlementLine", resolve("reason", json!(" ")), "reason"),
    ] {
        let refused = shop.ops.call(&format!("{SERVICE}/{method}"), request).await;
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("INVALID_FIELD") && said.contains(field), "{method}: {said}");
    }
    let unknown = json!({ "settlement_id": id });
    let said = shop.ops.call(&format!("{SERVICE}/GetSettlement"), unknown).await.unwrap_err();
    assert_eq!(said.reason(), "NOT_FOUND");
    shop.close().await;
}

async fn reports_go_by_rest_and_pages_end(shop: shop::Shop) {
    let mut http = Http::connect(&shop.address).await;
    let line = |nth: u32| format!("t{nth},fee,,,GBP,0.00,1.00,-1.00,2026-11-30\n");
    for nth in 0..3 {
        let report = format!("{COLUMNS}{}{}", line(nth), line(nth + 1));
        let body = json!({ "psp": "cards", "report": report });
        for replayed in [false, true] {
            let answer = http.json("POST /v1/settlements:import", &[], &body).await;
            assert_eq!((answer.status, answer.json()["replayed"] == true), (200, replayed));
        }
    }
    let lists = [("settlements", "settlements", 3), ("settlement-lines", "lines", 4)];
    for (path, field, count) in lists {
        let (mut found, mut token) = (0, String::new());
        loop {
            let call = format!("GET /v1/{path}?psp=cards&page_size=2&page_token={token}");
            let page = http.call(&call, &[]).await;
            assert_eq!(page.status, 200, "{page:?}");
            let page = page.json();
            found += page[field].as_array().unwrap().len();
            token = page["next_page_token"].as_str().unwrap_or_default().replace('/', "%2F");
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, count, "{path}");
    }
    let missing = http.call("GET /v1/settlement-lines:missing", &[]).await;
    assert_eq!((missing.status, &missing.json()["operations"]), (200, &json!([])));
    let altered = format!("{COLUMNS}{}", line(0).replace("1.00,-1.00", "2.00,-2.00"));
    let body = json!({ "psp": "cards", "report": altered });
    let answer = http.json("POST /v1/settlements:import", &[], &body).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "IDEMPOTENCY_KEY_REUSED"));
    shop.close().await;
}

async fn what_is_not_there_is_not_found(shop: shop::Shop) {
    let resolve = json!({ "psp": "p", "line_id": "t", "to": "x", "reason": "asked" });
    for (method, request) in [
        ("GetSettlement", json!({ "settlement_id": Uuid::now_v7() })),
        ("ResolveSettlementLine", resolve),
    ] {
        let refused = shop.ops.call(&format!("{SERVICE}/{method}"), request).await;
        assert_eq!(refused.unwrap_err().reason(), "NOT_FOUND", "{method}");
    }
    shop.close().await;
}
