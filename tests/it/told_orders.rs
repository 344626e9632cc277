//! Webhooks of a provider, from its socket to the order: a simulator that sends them late, twice,
//! never, or signed by another secret, and an engine that is killed around each of them.

use std::time::Duration;

use psp::Dialect;
use psp::webhook::{Secret, sign};
use serde_json::{Value, json};
use shared_events::contract::Timestamp;
use tempfile::TempDir;

use crate::http::{Answer, Http};
use crate::metrics::page_of;
use crate::nodes::databases;
use crate::paid_orders::{NEW, OLD, Shop, gbp, on_postgres, on_sqlite, pays};
use crate::support::{Engine, free_port, ordinal, placing, until_within};

const PATIENCE: Duration = Duration::from_secs(180);
pub const DOOR: &str = "POST /v1/webhooks/cards";

fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// Sends a webhook as the provider does, signed by a secret.
pub fn send(shop: &Shop, door: &str, secret: &str, body: &str) -> Answer {
    send_to(&shop.engine.address, door, secret, body, &[])
}

/// The same to a process at this address, with more headers.
fn send_to(address: &str, door: &str, secret: &str, body: &str, more: &[(&str, &str)]) -> Answer {
    let secret = Secret::new(Dialect::Stripe, secret).unwrap();
    let signed = sign(Dialect::Stripe, &secret, "evt", now(), body.as_bytes());
    let mut headers: Vec<(&str, &str)> =
        signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.push(("content-type", "application/json; charset=utf-8"));
    headers.extend_from_slice(more);
    block_on(async {
        let mut http = Http::connect(address).await;
        http.text(door, &headers, body).await
    })
}

/// A refund of a payment, in Stripe's words.
fn of_refund(id: &str, kind: &str, status: &str, (refund, payment): (&str, &str)) -> String {
    json!({ "id": id, "type": kind, "data": { "object": {
        "id": refund, "object": "refund", "amount": 500, "currency": "gbp", "status": status,
        "payment_intent": payment, "metadata": {},
    } } })
    .to_string()
}

pub fn simulate(shop: &Shop, line: &str, body: &Value) {
    let answer = block_on(async {
        let mut http = Http::connect(&shop.provider.address).await;
        http.json(line, &[], body).await
    });
    assert_eq!(answer.status, 200, "{line}");
}

fn signal(shop: &Shop, name: &str) {
    let id = shop.provider.process.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
}

pub fn webhooks(shop: &Shop, state: &str) -> Vec<Value> {
    let all = ["payment", "webhooks", "--state", state, "--page-size", "100"];
    shop.engine.ask(&all)["webhooks"].as_array().unwrap().clone()
}

pub fn until(what: &str, is: impl FnMut() -> bool) {
    until_within(PATIENCE, what, is);
}

/// An order that was paid, delivered and returned.
fn returned(shop: &Shop, token: &str) -> String {
    let order = shop.place("cards");
    shop.attempt(&order, token);
    shop.confirmed(&order);
    shop.engine.ask(&["order", "fulfill", &order]);
    shop.until_payment(&order, "CAPTURED");
    shop.engine.ask(&["return", "request", &order, "--line", "1=1", "--reason", "chipped"]);
    shop.engine.ask(&["return", "approve", &order]);
    shop.until_payment(&order, "PARTIALLY_REFUNDED");
    order
}

fn references(shop: &Shop, order: &str) -> Vec<String> {
    let payment = shop.payments(order)[0]["payment_id"].as_str().unwrap().to_owned();
    let shown = shop.engine.ask(&["payment", "show", &payment]);
    let operations = shown["operations"].as_array().unwrap().iter();
    operations.map(|one| one["psp_reference"].as_str().unwrap_or_default().to_owned()).collect()
}

/// What a storm of webhooks says changes nothing that is so already.
fn a_storm_changes_nothing(shop: Shop) {
    let shop = pays(shop);
    until("told", || webhooks(&shop, "all").len() > 5);
    until("handled", || webhooks(&shop, "waiting").is_empty());
    assert_eq!(webhooks(&shop, "parked"), [] as [Value; 0]);
    shop.close();
}

const STORM: &str = "doubled=400,wrong_secret=300,old_secret=300,dropped=100,delayed=300";

#[test]
fn a_storm_of_webhooks_on_sqlite() {
    a_storm_changes_nothing(Shop::told(on_sqlite, Some(STORM)));
}

#[test]
fn a_storm_of_webhooks_on_postgres() {
    let (_runtime, [database]) = databases();
    a_storm_changes_nothing(Shop::told(on_postgres(database.url()), Some(STORM)));
}

/// Rows 6, 7 and 8 of the crash matrix.
fn killed_around_webhooks(mut shop: Shop) {
    let order = returned(&shop, "tok_visa");
    let known = references(&shop, &order);
    let payment = known[0].as_str();
    let secret = NEW;
    // 6: stored, and killed before or after the answer. The provider sends it again.
    let theirs = of_refund("evt_6", "refund.updated", "succeeded", ("re_nobody", payment));
    assert_eq!(send(&shop, DOOR, secret, &theirs).status, 200);
    shop = shop.killed();
    for secret in [secret, OLD] {
        assert_eq!(send(&shop, DOOR, secret, &theirs).status, 200);
    }
    let of_six = |all: Vec<Value>| all.iter().filter(|one| one["event_id"] == "evt_6").count();
    assert_eq!(of_six(webhooks(&shop, "all")), 1);
    // 7: stored and not handled: the provider that is asked stands still. A refund of ours failed.
    let refund = known.iter().find(|one| one.starts_with("re_")).unwrap().clone();
    signal(&shop, "-STOP");
    let failed = of_refund("evt_7", "refund.failed", "failed", (&refund, payment));
    assert_eq!(send(&shop, DOOR, secret, &failed).status, 200);
    let waits =
        |shop: &Shop| webhooks(shop, "waiting").iter().any(|one| one["event_id"] == "evt_7");
    assert!(waits(&shop));
    shop = shop.killed();
    assert!(waits(&shop));
    signal(&shop, "-CONT");
    // The provider says that the refund stands: the hint alone changes nothing.
    until("looked at", || {
        let all = webhooks(&shop, "waiting");
        all.iter().any(|one| one["note"].as_str().is_some_and(|note| note.contains("stands")))
    });
    assert_eq!(shop.until_payment(&order, "PARTIALLY_REFUNDED")["refunded"], gbp(10));
    // 8: the webhook of a capture is here before its answer, which is lost; and killed then.
    let captures =
        |shop: &Shop| webhooks(shop, "all").iter().filter(|one| one["kind"] == "captured").count();
    let earlier = captures(&shop);
    let order = shop.place("cards,capture=ON_CONFIRM");
    shop.attempt(&order, "tok_capture_timeout_after");
    until("told of the capture", || captures(&shop) > earlier);
    shop = shop.killed();
    assert_eq!(shop.until_payment(&order, "CAPTURED")["captured"], gbp(20));
    // A person drops nothing that was handled.
    let drop = ["payment", "resolve-webhook", "cards", "evt_6", "--drop", "--reason", "forged"];
    assert_eq!(shop.engine.refused(1, &drop)["reason"], "OPERATION_NOT_STUCK");
    shop.close();
}

#[test]
fn an_engine_that_is_killed_around_webhooks_on_sqlite() {
    killed_around_webhooks(Shop::told(on_sqlite, Some("doubled=500")));
}

#[test]
fn an_engine_that_is_killed_around_webhooks_on_postgres() {
    let (_runtime, [database]) = databases();
    killed_around_webhooks(Shop::told(on_postgres(database.url()), Some("doubled=500")));
}

#[test]
fn a_refund_that_fails_days_later_is_heard_of() {
    let shop = Shop::told(on_sqlite, Some("doubled=500"));
    let order = returned(&shop, "tok_refund_fails_later");
    simulate(&shop, "POST /_sim/clock", &json!({ "advance_seconds": 6 * 86_400 }));
    let failed = |order: &Value| order["payment"]["refunds"][0]["state"] == "REFUND_STATE_FAILED";
    shop.until(&order, "told that the refund failed", failed);
    assert_eq!(shop.until_payment(&order, "CAPTURED")["refunded"]["units"], 0);
    // What was done is counted once, also where it was told twice.
    let operations = "ordinal_psp_operations_total{psp=\"cards\",";
    let calls = "ordinal_psp_call_duration_seconds_count{psp=\"cards\",";
    let counted = [
        format!("{operations}kind=\"authorize\",outcome=\"succeeded\"}} 1"),
        format!("{operations}kind=\"authorize\",outcome=\"declined\"}} 0"),
        format!("{operations}kind=\"refund\",outcome=\"succeeded\"}} 1"),
        format!("{operations}kind=\"refund\",outcome=\"reversed\"}} 1"),
        format!("{calls}call=\"authorize\",outcome=\"done\"}} 1"),
        "ordinal_psp_breaker_state{psp=\"cards\"} 0".to_owned(),
        "ordinal_psp_operations_stuck 0".to_owned(),
        "ordinal_psp_stuck_oldest_seconds 0".to_owned(),
    ];
    for line in counted {
        until(&line, || block_on(page_of(&shop.engine)).lines().any(|known| known == line));
    }
    shop.close();
}

#[test]
fn a_dispute_is_shown_until_it_is_judged() {
    let shop = Shop::told(on_sqlite, Some("doubled=500"));
    let order = shop.place("cards");
    shop.attempt(&order, "tok_capture_dispute_won");
    shop.confirmed(&order);
    shop.engine.ask(&["order", "fulfill", &order]);
    let payment = shop.until_payment(&order, "CAPTURED")["payment_id"].as_str().unwrap().to_owned();
    let state = || shop.engine.ask(&["payment", "show", &payment])["disputes"][0]["state"].clone();
    simulate(&shop, "POST /_sim/clock", &json!({ "advance_seconds": 11 * 86_400 }));
    until("disputed", || state() == "DISPUTE_STATE_OPEN");
    let alarmed = || {
        let health = shop.engine.run(&["health"]);
        String::from_utf8_lossy(&health.stdout).contains("1 dispute is open")
    };
    until("an alarm", alarmed);
    simulate(&shop, "POST /_sim/clock", &json!({ "advance_seconds": 31 * 86_400 }));
    until("judged", || state() == "DISPUTE_STATE_WON");
    shop.close();
}

#[test]
fn the_door_takes_only_what_a_provider_signed() {
    let shop = Shop::told(on_sqlite, Some("dropped=1000"));
    let secret = NEW;
    let body = of_refund("evt_1", "refund.updated", "succeeded", ("re_1", "pi_1"));
    for (line, secret, body, expected) in [
        (DOOR, "whsec_of_a_stranger", body.as_str(), (401, "UNAUTHENTICATED")),
        ("POST /v1/webhooks/paypal", secret, &body, (404, "ROUTE_NOT_FOUND")),
        ("PUT /v1/webhooks/cards", secret, &body, (405, "METHOD_NOT_ALLOWED")),
        (DOOR, secret, &"x".repeat(256 * 1024 + 1), (413, "MESSAGE_TOO_LARGE")),
    ] {
        let answer = send(&shop, line, secret, body);
        assert_eq!((answer.status, answer.code().as_str()), expected, "{line}");
    }
    // Calls of others under the same path are not the door's.
    let replay = send(&shop, "POST /v1/webhooks/shop:replay", secret, "{}");
    assert!(replay.status != 404 && replay.status != 401, "{replay:?}");
    let foreign = block_on(async {
        let mut http = Http::connect(&shop.engine.address).await;
        let page = [("origin", "https://evil.example"), ("content-type", "text/plain")];
        http.text(DOOR, &page, &body).await
    });
    assert_eq!(foreign.code(), "ORIGIN_NOT_ALLOWED");
    assert_eq!(webhooks(&shop, "all"), [] as [Value; 0]);
    assert_eq!(send(&shop, DOOR, secret, &body).status, 200);
    assert_eq!(send(&shop, DOOR, secret, "[]").status, 200);
    let parked = webhooks(&shop, "parked");
    assert_eq!((parked.len(), parked[0]["kind"].as_str()), (1, Some("not_understood")));
    let id = parked[0]["event_id"].as_str().unwrap();
    let drop =
        ["payment", "resolve-webhook", "cards", id, "--drop", "--reason", " Zoe\u{308}: not ours "];
    let dropped = shop.engine.ask(&drop);
    assert_eq!(dropped["webhook"]["state"], "WEBHOOK_STATE_DROPPED");
    // Said again it stands, for another reason it is refused; it is recorded once.
    assert_eq!(shop.engine.ask(&drop), dropped);
    let elsewhy = ["payment", "resolve-webhook", "cards", id, "--drop", "--reason", "forged"];
    assert_eq!(shop.engine.refused(1, &elsewhy)["reason"], "OPERATION_NOT_STUCK");
    let done = shop.engine.ask(&["operations", "list", "--kind", "PAYMENT"]);
    assert_eq!(done["actions"].as_array().unwrap().len(), 1, "{done}");
    assert_eq!(done["actions"][0]["reason"], "Zo\u{eb}: not ours");
    // The door is one route, whatever the providers' names are.
    let page = block_on(page_of(&shop.engine));
    let name = "http_server_request_duration_seconds_count";
    let of_door = format!("{name}{{http_route=\"/v1/webhooks/{{provider}}\",");
    for status in [200, 401, 404] {
        let line = format!(
            "{of_door}http_request_method=\"POST\",http_response_status_code=\"{status}\"}} "
        );
        assert!(page.contains(&line), "{line}: {page}");
    }
    assert!(!page.contains("http_route=\"unmatched\""), "{page}");
    // What has not happened yet is counted from zero.
    let none = "ordinal_psp_webhooks_total{psp=\"cards\",outcome=\"not_stored\"} 0\n";
    assert!(page.contains(none), "{page}");
    shop.close();
}

/// A gateway has neither secrets nor the settings of providers.
#[test]
fn webhooks_that_arrive_at_a_gateway_are_sent_on_to_payments() {
    let shop = Shop::told(on_sqlite, Some("dropped=1000"));
    let at = shop.engine.address.clone();
    let gateway = |payments: &str| {
        let others = ["--orders-at", &at, "--inventory-at", &at, "--notifications-at", &at];
        let edge = ["--role", "edge", "--payments-at", payments];
        Engine::start_with(&[&edge[..], &others].concat())
    };
    let edge = gateway(&at);
    let by_edge =
        |line: &str, secret: &str, body: &str| send_to(&edge.address, line, secret, body, &[]);
    let body = of_refund("evt_1", "refund.updated", "succeeded", ("re_1", "pi_1"));
    for (line, secret, body) in [
        (DOOR, "whsec_of_a_stranger", body.as_str()),
        ("POST /v1/webhooks/paypal", NEW, &body),
        ("PUT /v1/webhooks/cards", NEW, &body),
        (DOOR, NEW, &"x".repeat(256 * 1024 + 1)),
    ] {
        let (direct, sent) = (send(&shop, line, secret, body), by_edge(line, secret, body));
        assert_eq!((sent.status, sent.code()), (direct.status, direct.code()), "{line}");
        assert_eq!(sent.json()["detail"], direct.json()["detail"], "{line}");
    }
    // Calls of others under the same path are not the door's.
    let replay = by_edge("POST /v1/webhooks/shop:replay", NEW, "{}");
    assert!(replay.status != 404 && replay.status != 401, "{replay:?}");
    assert_eq!(webhooks(&shop, "all"), [] as [Value; 0]);
    for secret in [NEW, OLD] {
        assert_eq!(by_edge(DOOR, secret, &body).status, 200);
        let all = webhooks(&shop, "all");
        assert_eq!((all.len(), all[0]["event_id"].as_str()), (1, Some("evt_1")));
    }
    // Where payments are away it is to be sent again; what was sent on once goes no further.
    let nowhere = gateway(&format!("http://127.0.0.1:{}", free_port()));
    let other = of_refund("evt_2", "refund.updated", "succeeded", ("re_1", "pi_1"));
    let away = send_to(&nowhere.address, DOOR, NEW, &other, &[]);
    assert_eq!((away.status, away.code().as_str()), (503, "PAYMENTS_UNAVAILABLE"));
    let second = gateway(&edge.address);
    let twice = send_to(&second.address, DOOR, NEW, &other, &[]);
    assert_eq!((twice.status, twice.code().as_str()), (404, "ROUTE_NOT_FOUND"));
    // A process of the installation calls payments by a name of its own.
    let inside = ("host", "payments.internal");
    let foreign = send_to(&at, DOOR, NEW, &other, &[inside]);
    assert_eq!(foreign.status, 421, "{foreign:?}");
    assert_eq!(webhooks(&shop, "all").len(), 1);
    let carried = send_to(&at, DOOR, NEW, &other, &[inside, ("ordinal-carried", "1")]);
    assert_eq!(carried.status, 200, "{carried:?}");
    assert_eq!(webhooks(&shop, "all").len(), 2);
    for engine in [second, nowhere, edge] {
        assert!(engine.stop().success());
    }
    shop.close();
}

/// It counts where it arrived, for the address that it came from, and for no process of ours.
#[test]
fn a_webhook_that_is_refused_counts_where_it_arrived_alone() {
    let limited = |folder: &TempDir| {
        let mut flags = on_sqlite(folder);
        flags.extend(["--rate-limit", "SERVICE=1:1,NOBODY=1:1"].map(str::to_owned));
        flags
    };
    let shop = Shop::told(limited, Some("dropped=1000"));
    let at = shop.engine.address.clone();
    let others = ["--orders-at", &at, "--inventory-at", &at, "--notifications-at", &at];
    let edge = ["--role", "edge", "--payments-at", &at, "--rate-limit", "NOBODY=1:3"];
    let edge = Engine::start_with(&[&edge[..], &others].concat());
    let body = of_refund("evt_1", "refund.updated", "succeeded", ("re_1", "pi_1"));
    let asked = |address: &str| send_to(address, DOOR, "whsec_of_a_stranger", &body, &[]).status;
    assert_eq!([(); 4].map(|()| asked(&edge.address)), [401, 401, 401, 429]);
    // Of those that came here directly there was none so far.
    assert_eq!([(); 2].map(|()| asked(&at)), [401, 429]);
    assert!(edge.stop().success());
    assert!(shop.engine.stop().success());
}

#[test]
fn a_provider_with_webhooks_and_no_secret_keeps_the_engine_from_starting() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("psps.toml");
    let text = "[[psps]]\nname = \"play\"\ndialect = \"simulator\"\nwebhook-secret-files = []\n";
    std::fs::write(&file, text).unwrap();
    let data = folder.path().join("data").display().to_string();
    let output = ordinal(&["serve", "--data", &data, "--psps", file.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("a webhook secret is missing"), "{error}");
}

#[test]
fn a_customer_is_told_where_to_act_and_operators_are_not() {
    let shop = Shop::told(on_sqlite, Some("doubled=500"));
    let order = shop.place("cards");
    shop.asks_for_money(&order);
    shop.attempt(&order, "tok_action");
    shop.until_payment(&order, "ACTION_REQUIRED");
    let list = |role: &str| {
        let list = ["--as", role, "payment", "list", "--order", &order];
        let shown = shop.engine.run(&list);
        let text = String::from_utf8_lossy(&shown.stderr).into_owned();
        assert!(shown.status.success(), "{text}");
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        shown["payments"][0]["action_url"].as_str().unwrap_or_default().to_owned()
    };
    until("told where", || list("service:shop").starts_with("https://simulator.invalid/act/pi_"));
    assert_eq!(list("ops:anna"), "");
    let payment = list("service:shop").rsplit('/').next().unwrap().to_owned();
    simulate(&shop, "POST /_sim/act", &json!({ "payment": payment, "approve": true }));
    shop.confirmed(&order);
    assert_eq!(list("service:shop"), "");
    shop.close();
}

#[test]
fn an_order_that_nobody_here_can_be_paid_for_is_refused() {
    let shop = Shop::told(on_sqlite, None);
    let mut order = placing(&["MUG=2@10.00GBP"]);
    order.extend(["--payment", "paypal"]);
    let refused = shop.engine.refused(2, &order);
    assert_eq!(refused["reason"], "INVALID_PAYMENT", "{refused}");
    let text = refused.to_string();
    assert!(text.contains("payment.psp") && text.contains("there are cards"), "{text}");
    shop.close();
}
