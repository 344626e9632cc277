//! A paid order is one trace: from the call over stock and the provider to the refund and the book.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared_events::chance::Chance;
use tempfile::TempDir;

use crate::collector::{Collector, Seen};
use crate::http::Http;
use crate::paid_orders::{Shop, on_sqlite};
use crate::traces::{TRACE, order, traceparent};

type Step = (&'static str, Option<&'static str>);

/// What was caused by what, each by the one before it.
const PAID: [&[Step]; 5] = [
    &[
        ("ordinal.orders.v1.OrderService/PlaceOrder", None),
        ("order Place", None),
        ("process order.created.v1", Some("stock")),
        ("process inventory.reserved.v1", Some("stock-answers")),
        ("order Confirm", None),
        ("process payment.requested.v1", Some("payments")),
        ("psp authorize", None),
        ("process payment.secured.v1", Some("money-answers")),
        ("order SecurePayment", None),
        ("process order.confirmed.v1", Some("notifications")),
    ],
    &[("psp authorize", None), ("process payment.authorized.v1", Some("ledger-entries"))],
    &[
        ("ordinal.orders.v1.OrderService/FulfillOrder", None),
        ("order Fulfill", None),
        ("process order.fulfilled.v1", Some("payments")),
        ("psp capture", None),
        ("process payment.captured.v1", Some("ledger-entries")),
    ],
    &[
        ("ordinal.orders.v1.OrderService/ApproveReturn", None),
        ("order ApproveReturn", None),
        ("process refund.requested.v1", Some("payments")),
        ("psp refund", None),
        ("process payment.refunded.v1", Some("ledger-entries")),
    ],
    &[
        ("psp refund", None),
        ("process refund.settled.v1", Some("money-answers")),
        ("order SettleRefund", None),
    ],
];

/// What comes of a provider that tells later what became of an operation.
const TOLD: [&[Step]; 2] = [
    &[("ordinal.payments.v1.PaymentService/Attempt", None), ("psp authorize", None)],
    &[("ordinal.payments.v1.PaymentService/Attempt", None), ("hear webhook", None)],
];

fn is(span: &Seen, (name, follower): Step) -> bool {
    let by = span.attributes.get("ordinal.follower").map(String::as_str);
    span.name == name && follower.is_none_or(|follower| by == Some(follower))
}

/// Whether these are there, each caused by the one before it.
fn has(spans: &[&Seen], path: &[Step]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let mut at: Vec<&str> =
        spans.iter().filter(|it| is(it, *first)).map(|it| it.span.as_str()).collect();
    for step in rest {
        let caused = spans.iter().filter(|it| at.contains(&it.parent.as_str()) && is(it, *step));
        at = caused.map(|it| it.span.as_str()).collect();
    }
    !at.is_empty()
}

/// The spans of the trace, once these are there.
fn traced(collector: &Collector, paths: &[&[Step]]) -> Vec<Seen> {
    let seen = collector.until(|seen| {
        let spans: Vec<&Seen> = seen.iter().filter(|it| it.trace == TRACE).collect();
        paths.iter().all(|path| has(&spans, path))
    });
    seen.into_iter().filter(|it| it.trace == TRACE).collect()
}

/// A shop that sends its spans here.
fn open(odds: Option<&str>) -> (Collector, Shop) {
    let collector = Collector::start();
    let spans = ["--otlp-endpoint".to_owned(), collector.url()];
    let stored = |folder: &TempDir| [&on_sqlite(folder)[..], &spans[..]].concat();
    let shop = Shop::told(stored, odds);
    (collector, shop)
}

/// Calls in the trace of a caller who keeps it.
fn call(shop: &Shop, line: &str, body: &Value) -> Value {
    let header = traceparent(TRACE, true);
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut http = Http::connect(&shop.engine.address).await;
        http.json(line, &[("traceparent", header.as_str())], body).await
    });
    assert!(answer.status < 300, "{line}: {answer:?}");
    answer.json()
}

fn place(shop: &Shop) -> String {
    let id = Chance::system().uuid();
    let mut order = order(id);
    order["payment"] = json!({ "psp": "cards", "fee_bps": 250 });
    call(shop, "POST /v1/orders", &order);
    id.to_string()
}

fn attempt(shop: &Shop, order: &str, token: &str) {
    let attempt_id = Chance::system().uuid();
    let attempt = json!({ "order_id": order, "attempt_id": attempt_id, "psp_token": token });
    call(shop, "POST /v1/payments:attempt", &attempt);
}

#[test]
fn a_paid_order_is_one_trace_from_the_call_to_the_refund() {
    let (collector, shop) = open(None);
    // The attempt is there before the order asks for money: the order's own trace goes on.
    shop.engine.ask(&["follower", "pause", "stock", "--reason", "a test"]);
    let order = place(&shop);
    attempt(&shop, &order, "tok_visa");
    shop.engine.ask(&["follower", "resume", "stock"]);
    shop.confirmed(&order);
    let of_order = format!("POST /v1/orders/{order}");
    call(&shop, &format!("{of_order}/shipments"), &json!({}));
    shop.until_payment(&order, "CAPTURED");
    let returned = json!({ "lines": [{ "line": 1, "quantity": 1 }], "reason": "chipped" });
    call(&shop, &format!("{of_order}/returns"), &returned);
    call(&shop, &format!("{of_order}/returns:approve"), &json!({}));
    let settled = |order: &Value| order["payment"]["refunds"][0]["state"] == "REFUND_STATE_SETTLED";
    shop.until(&order, "refunded", settled);
    let spans = traced(&collector, &PAID);
    let authorize = spans.iter().find(|it| it.name == "psp authorize").unwrap();
    let known = ["ordinal.psp", "ordinal.order_id", "ordinal.outcome", "ordinal.attempt"];
    let told = known.map(|name| authorize.attributes[name].as_str());
    assert_eq!(told, ["cards", order.as_str(), "done", "0"]);
    assert_eq!(authorize.failed, None);
    let raw = collector.raw();
    assert!(!String::from_utf8_lossy(&raw).contains("tok_visa"), "a token is in a span");
    assert!(shop.engine.stop().success());
}

#[test]
fn what_a_provider_tells_is_in_the_trace_of_its_operation() {
    let (collector, shop) = open(Some("doubled=1"));
    let order = place(&shop);
    shop.until(&order, "asking for money", |order| order["payment"]["pay_by"].is_string());
    attempt(&shop, &order, "tok_action");
    shop.until_payment(&order, "ACTION_REQUIRED");
    let acts = || {
        let shown =
            shop.engine.run(&["--as", "service:shop", "payment", "list", "--order", &order]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        shown["payments"][0]["action_url"].as_str().unwrap_or_default().to_owned()
    };
    let patience = Instant::now() + Duration::from_secs(60);
    while acts().is_empty() {
        assert!(Instant::now() < patience, "nobody is told where to act");
        std::thread::sleep(Duration::from_millis(30));
    }
    let payment = acts().rsplit('/').next().unwrap().to_owned();
    let approved = json!({ "payment": payment, "approve": true });
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut http = Http::connect(&shop.provider.address).await;
        http.json("POST /_sim/act", &[], &approved).await
    });
    assert_eq!(answer.status, 200, "{answer:?}");
    shop.confirmed(&order);
    let spans = traced(&collector, &TOLD);
    assert!(spans.iter().any(|it| it.name == "order SecurePayment"), "{spans:#?}");
    assert!(shop.engine.stop().success());
}
