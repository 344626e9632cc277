//! The simulator's own calls, and its webhooks, over a socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use psp::simulator::http::{Delivery, Service, WebhookTarget};
use psp::simulator::{HookOdds, Script, Settings};
use psp::webhook::{Secret, Verifier};
use psp::{Dialect, Event, Kind, Psp as _, What};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::adapters::provider;
use crate::support::*;

async fn call(url: &str, path: &str, body: Option<Value>) -> (u16, String) {
    let client = reqwest_client();
    let request = match body {
        Some(body) => client.post(format!("{url}{path}")).body(body.to_string()),
        None => client.get(format!("{url}{path}")),
    };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn reqwest_client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

#[tokio::test]
async fn scripts_the_clock_and_the_book_are_calls_of_its_own() {
    let at = provider(Dialect::Stripe, Settings::default()).await;
    let script = json!({ "kind": "authorize", "script": "decline_lost_card" });
    assert_eq!(call(&at.url, "/_sim/script", Some(script)).await.0, 200);
    let declined = at.psp.authorize(authorize_call(1, gbp(100), "tok_visa")).await;
    assert_eq!(code(&declined), "declined lost_card");
    let action = at.psp.authorize(authorize_call(2, gbp(100), "tok_action")).await;
    let act = json!({ "payment": reference(&action).as_str(), "approve": true });
    let acted = call(&at.url, "/_sim/act", Some(act)).await;
    assert_eq!(acted, (200, r#"{"acted":true}"#.to_owned()));
    let captured = at.psp.capture(capture_call(3, &reference(&action), 100, false)).await;
    assert_eq!(code(&captured), "done 100");
    let (_, csv) = call(&at.url, "/_sim/report?day=2026-11-29", None).await;
    assert!(csv.lines().count() == 2 && csv.contains(",GBP,1.00,0.02,0.98,"), "{csv}");
    let (_, csv) = call(&at.url, "/_sim/report?fault=doubled_line", None).await;
    assert_eq!(csv.lines().count(), 3, "{csv}");
    for wrong in ["fault=nonsense", "settled_currency=XX"] {
        assert_eq!(call(&at.url, &format!("/_sim/report?{wrong}"), None).await.0, 400);
    }
    let later = json!({ "advance_seconds": 24 * 3600 });
    let (_, now) = call(&at.url, "/_sim/clock", Some(later)).await;
    assert_eq!(now, r#"{"now":"2026-11-30T00:00:00.000000Z"}"#);
    let book: Value = serde_json::from_str(&call(&at.url, "/_sim/book", None).await.1).unwrap();
    assert_eq!(book["sound"], true);
    assert_eq!(book["totals"]["GBP"]["captured"], "100");
    assert_eq!(book["payments"][0]["payment"], reference(&action).as_str());
    assert_eq!(book["payments"][0]["captured"], 100);
    for (path, wrong) in [
        ("/_sim/script", json!({ "kind": "steal", "script": "busy" })),
        ("/_sim/script", json!({ "kind": "void", "script": "partial" })),
        ("/_sim/script", json!({ "kind": "void", "script": "nonsense" })),
        ("/_sim/script", json!({ "kind": "void", "script": "busy", "our_reference": "x" })),
        ("/_sim/act", json!({})),
        ("/_sim/clock", json!({ "advance_seconds": -1 })),
    ] {
        assert_eq!(call(&at.url, path, Some(wrong.clone())).await.0, 400, "{path} {wrong}");
    }
    assert_eq!(call(&at.url, "/_sim/other", None).await.0, 404);
    let script = json!({ "kind": "payout", "script": "pending" });
    assert_eq!(call(&at.url, "/_sim/script", Some(script)).await.0, 200);
    at.psp.payout(payout_call(4, gbp(70), "acme")).await;
    at.psp.payout(payout_call(5, gbp(30), "acme")).await;
    let paid: Value = serde_json::from_str(&call(&at.url, "/_sim/payouts", None).await.1).unwrap();
    let shown = |one: &Value| json!([one["state"], one["amount"]]);
    let states: Vec<Value> = paid["payouts"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(states, [json!(["pending", 70]), json!(["paid", 30])], "{paid}");
    assert!(paid["after"].is_null() && paid["payouts"][0]["destination"] == "acme", "{paid}");
    // Calls of a dialect need a key.
    assert_eq!(call(&at.url, "/v1/payment_intents/pi_1", None).await.0, 401);
    let large = json!("x".repeat(70_000));
    assert_eq!(call(&at.url, "/_sim/script", Some(large)).await.0, 413);
}

type Received = Arc<Mutex<Vec<(HeaderMap, Vec<u8>)>>>;

/// A door that answers with these statuses, in turn, and the last one from then on.
async fn door(statuses: &'static [u16]) -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let received = Received::default();
    let kept = Arc::clone(&received);
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            loop {
                let mut some = [0; 4096];
                let read = stream.read(&mut some).await.unwrap();
                bytes.extend_from_slice(&some[..read]);
                let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                    continue;
                };
                let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                let mut headers = HeaderMap::new();
                for line in head.lines().skip(1) {
                    let (name, value) = line.split_once(": ").unwrap();
                    let name: http::HeaderName = name.parse().unwrap();
                    headers.insert(name, value.parse().unwrap());
                }
                let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
                if bytes.len() >= end + 4 + length {
                    let body = bytes[end + 4..].to_vec();
                    kept.lock().unwrap().push((headers, body));
                    break;
                }
            }
            let status = statuses.get(number).or(statuses.last()).unwrap();
            let answer =
                format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, received)
}

const SECRETS: [&str; 2] = [
    "whsec_bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldw==",
    "whsec_b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZA==",
];

fn secrets(dialect: Dialect) -> Vec<Secret> {
    SECRETS.iter().map(|text| Secret::new(dialect, text).unwrap()).collect()
}

/// What a verifier makes of what a door received.
fn genuine(dialect: Dialect, received: &Received) -> Vec<Event> {
    let verifier = Verifier::new(dialect, secrets(dialect)).unwrap();
    let received = received.lock().unwrap();
    let verified = received.iter().filter(|(headers, body)| {
        // The clock of the simulator is hours ahead: what is signed has its time.
        let at = start().plus(Duration::from_secs(3 * 3600));
        [start(), at].iter().any(|at| verifier.verify(headers, body, *at).is_ok())
    });
    verified.map(|(_, body)| verifier.read(body).unwrap()).collect()
}

#[tokio::test]
async fn webhooks_of_every_dialect_are_verified_and_read() {
    for dialect in Dialect::ALL {
        let hook_odds = HookOdds { doubled: 500, old_secret: 500, ..HookOdds::default() };
        let psp = simulator(Settings { webhooks: true, hook_odds, ..Settings::default() });
        let service = Arc::new(Service::new(psp.clone(), None));
        // Case 34 (arcmindAI#282): a door that answers 503 is called again.
        let (url, received) = door(&[503, 200]).await;
        let target = WebhookTarget { url, dialect, secrets: secrets(dialect) };
        let delivery = Delivery::new(target).unwrap();
        let amount = money(5_000, "INR");
        let token = "tok_refund_pending_fails";
        let authorized = psp.authorize(authorize_call(1, amount, token)).await;
        let authorization = reference(&authorized);
        let mut capture = capture_call(2, &authorization, 5_000, false);
        capture.amount = amount;
        delivery.send_due(&service).await;
        let captured = reference(&psp.capture(capture).await);
        let refund = psp::Refund { key: key(3), capture: captured, amount: money(700, "INR") };
        assert_eq!(code(&psp.refund(refund).await), "pending");
        psp.authorize(authorize_call(4, amount, "tok_decline_lost_card")).await;
        psp.advance(Duration::from_secs(3 * 3600));
        while delivery.send_due(&service).await > 0 {}
        let events = genuine(dialect, &received);
        let told = |what: &What| events.iter().find(|event| event.what == *what);
        let authorized = told(&What::Authorized { amount });
        let event = authorized.unwrap_or_else(|| panic!("{dialect} {events:#?}"));
        assert_eq!(event.our_reference.unwrap().0, key(1).operation, "{dialect}");
        assert!(told(&What::Captured { amount }).is_some(), "{dialect} {events:#?}");
        let declined = What::Declined { code: "lost_card".to_owned() };
        assert!(told(&declined).is_some(), "{dialect} {events:#?}");
        let failed = What::RefundFailed { code: "refund_failed".to_owned() };
        let failed = told(&failed).unwrap_or_else(|| panic!("{dialect} {events:#?}"));
        assert_eq!(failed.our_reference.unwrap().0, key(3).operation, "{dialect}");
    }
}

#[tokio::test]
async fn a_wrongly_signed_webhook_is_followed_by_the_right_one() {
    for dialect in Dialect::ALL {
        let hook_odds = HookOdds { wrong_secret: 1000, ..HookOdds::default() };
        let psp = simulator(Settings { webhooks: true, hook_odds, ..Settings::default() });
        let service = Service::new(psp.clone(), None);
        let (url, received) = door(&[401, 200]).await;
        let target = WebhookTarget { url, dialect, secrets: secrets(dialect) };
        let delivery = Delivery::new(target).unwrap();
        psp.authorize(authorize_call(1, money(100, "INR"), "tok_visa")).await;
        assert_eq!(delivery.send_due(&service).await, 2);
        assert_eq!(received.lock().unwrap().len(), 2);
        assert_eq!(genuine(dialect, &received).len(), 1, "{dialect}");
    }
}

#[tokio::test]
async fn a_reservation_that_went_back_is_told_as_a_refund_by_razorpay() {
    // Case 44 (woo-payments#9040): who voided it records no refund.
    let psp = simulator(Settings { webhooks: true, ..Settings::default() });
    let service = Service::new(psp.clone(), None);
    let (url, received) = door(&[200]).await;
    let dialect = Dialect::Razorpay;
    let delivery = Delivery::new(WebhookTarget { url, dialect, secrets: secrets(dialect) });
    let authorized = psp.authorize(authorize_call(1, money(100, "INR"), "tok_visa")).await;
    void(&psp, 2, &reference(&authorized)).await;
    delivery.unwrap().send_due(&service).await;
    let events = genuine(dialect, &received);
    let refunded = events.iter().find(|event| matches!(event.what, What::Refunded { .. }));
    assert_eq!(refunded.unwrap().our_reference, None);
}

#[tokio::test]
async fn a_payout_is_told_as_paid_and_as_returned_days_later() {
    for dialect in [Dialect::Simulator, Dialect::Stripe] {
        let psp = simulator(Settings { webhooks: true, ..Settings::default() });
        let service = Service::new(psp.clone(), None);
        let (url, received) = door(&[200]).await;
        let delivery = Delivery::new(WebhookTarget { url, dialect, secrets: secrets(dialect) });
        let delivery = delivery.unwrap();
        psp.with(|simulator, _| simulator.say(Kind::Payout, None, Script::FailsLater)).unwrap();
        let answer = psp.payout(payout_call(1, gbp(70), "acme")).await;
        delivery.send_due(&service).await;
        let told = genuine(dialect, &received).pop().unwrap();
        assert_eq!(told.what, What::PayoutPaid { amount: gbp(70) }, "{dialect}");
        assert_eq!(told.reference, Some(reference(&answer)), "{dialect}");
        assert_eq!(told.our_reference.unwrap().0, key(1).operation, "{dialect}");
        psp.advance(5 * DAY);
        delivery.send_due(&service).await;
        let told = genuine(dialect, &received).pop().unwrap();
        let code = "account_closed".to_owned();
        assert_eq!(told.what, What::PayoutFailed { code }, "{dialect}");
    }
}

#[test]
fn nothing_is_delivered_without_a_secret() {
    let target = |url: &str, secrets: Vec<Secret>| WebhookTarget {
        url: url.to_owned(),
        dialect: Dialect::Stripe,
        secrets,
    };
    assert!(Delivery::new(target("http://127.0.0.1:1/hooks", Vec::new())).is_err());
    for (url, fits) in [("http://shop.example/hooks", true), ("ftp://a", false), ("here", false)] {
        assert_eq!(Delivery::new(target(url, secrets(Dialect::Stripe))).is_ok(), fits, "{url}");
    }
}
