//! A paid order is one trace: from the call over stock and the provider to the refund and the book.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared_events::chance::Chance;
use tempfile::TempDir;

use crate::collector::{Collector, Seen};
use crate::http::Http;
use crate::paid_orders::{Provider, Shop, on_sqlite};
use crate::support::{Engine, PATIENCE, free_port, write_private};
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

/// The same where the order asks for money first, and each service is a process of its own: the
/// attempt is forwarded.
const OVER_PROCESSES: [&[Step]; 3] = [
    &[
        ("ordinal.orders.v1.OrderService/PlaceOrder", None),
        ("order Place", None),
        ("process order.created.v1", Some("stock")),
        ("process inventory.reserved.v1", Some("stock-answers")),
        ("order Confirm", None),
        ("process payment.requested.v1", Some("payments")),
    ],
    &[
        ("ordinal.payments.v1.PaymentService/Attempt", None),
        ("ordinal.payments.v1.PaymentService/Attempt", None),
        ("psp authorize", None),
        ("process payment.secured.v1", Some("money-answers")),
        ("order SecurePayment", None),
    ],
    &[
        ("order Fulfill", None),
        ("process order.fulfilled.v1", Some("payments")),
        ("psp capture", None),
        ("process payment.captured.v1", Some("ledger-entries")),
    ],
];

/// What comes of a provider that tells later what became of an operation.
const TOLD: [&[Step]; 3] = [
    &[("ordinal.payments.v1.PaymentService/Attempt", None), ("psp authorize", None)],
    &[("ordinal.payments.v1.PaymentService/Attempt", None), ("hear webhook", None)],
    &[("order SecurePayment", None)],
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
fn call(engine: &Engine, line: &str, body: &Value) -> Value {
    let header = traceparent(TRACE, true);
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut http = Http::connect(&engine.address).await;
        http.json(line, &[("traceparent", header.as_str())], body).await
    });
    assert!(answer.status < 300, "{line}: {answer:?}");
    answer.json()
}

fn place(engine: &Engine) -> String {
    let id = Chance::system().uuid();
    let mut order = order(id);
    order["payment"] = json!({ "psp": "cards", "fee_bps": 250 });
    call(engine, "POST /v1/orders", &order);
    id.to_string()
}

fn attempt(engine: &Engine, order: &str, token: &str) {
    let attempt_id = Chance::system().uuid();
    let attempt = json!({ "order_id": order, "attempt_id": attempt_id, "psp_token": token });
    call(engine, "POST /v1/payments:attempt", &attempt);
}

#[test]
fn a_paid_order_is_one_trace_from_the_call_to_the_refund() {
    let (collector, shop) = open(None);
    // The attempt is there before the order asks for money: the order's own trace goes on.
    shop.engine.ask(&["follower", "pause", "stock", "--reason", "a test"]);
    let order = place(&shop.engine);
    attempt(&shop.engine, &order, "tok_visa");
    shop.engine.ask(&["follower", "resume", "stock"]);
    shop.confirmed(&order);
    let of_order = format!("POST /v1/orders/{order}");
    call(&shop.engine, &format!("{of_order}/shipments"), &json!({}));
    shop.until_payment(&order, "CAPTURED");
    let returned = json!({ "lines": [{ "line": 1, "quantity": 1 }], "reason": "chipped" });
    call(&shop.engine, &format!("{of_order}/returns"), &returned);
    call(&shop.engine, &format!("{of_order}/returns:approve"), &json!({}));
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
    let order = place(&shop.engine);
    shop.asks_for_money(&order);
    attempt(&shop.engine, &order, "tok_action");
    shop.until_payment(&order, "ACTION_REQUIRED");
    let acts = || {
        let shown =
            shop.engine.run(&["--as", "service:shop", "payment", "list", "--order", &order]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        shown["payments"][0]["action_url"].as_str().unwrap_or_default().to_owned()
    };
    let patience = Instant::now() + 2 * PATIENCE;
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
    traced(&collector, &TOLD);
    assert!(shop.engine.stop().success());
}

/// The processes of a shop that read each other's facts, with the provider that one of them calls.
struct Processes {
    orders: Engine,
    others: [Engine; 3],
    _provider: Provider,
    _folder: TempDir,
}

impl Processes {
    fn start(collector: &Collector) -> Self {
        let (folder, provider) = (TempDir::new().unwrap(), Provider::start(&[]));
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (psps, url) = (path("psps.toml"), collector.url());
        write_private(&folder.path().join("secret"), "sk_test_of_nobody\n");
        let text = format!(
            "[[psps]]\nname = \"cards\"\ndialect = \"stripe\"\nurl = \"{}\"\n\
             secret-file = \"secret\"\nmulti-capture = true\n",
            provider.address
        );
        std::fs::write(&psps, text).unwrap();
        let [orders, stock, payments, ledger] =
            [(); 4].map(|()| format!("127.0.0.1:{}", free_port()));
        let start = |role: &str, listen: &str, more: &[&str]| {
            let data = path(role);
            let own = ["--role", role, "--data", &data, "--listen", listen];
            Engine::start_with(&[&own[..], &["--otlp-endpoint", &url], more].concat())
        };
        let at = ["--inventory-at", &stock, "--payments-at", &payments, "--ledger-at", &ledger];
        let of_orders = start("orders", &orders, &at);
        let others = [
            start("inventory", &stock, &["--orders-at", &orders]),
            start("payments", &payments, &["--orders-at", &orders, "--psps", &psps]),
            start("ledger", &ledger, &["--payments-at", &payments]),
        ];
        Self { orders: of_orders, others, _provider: provider, _folder: folder }
    }
}

#[test]
fn a_paid_order_is_one_trace_over_four_processes() {
    let collector = Collector::start();
    let shop = Processes::start(&collector);
    shop.orders.ask(&["stock", "set", "MUG", "9"]);
    let order = place(&shop.orders);
    let patience = Instant::now() + 2 * PATIENCE;
    let asks = || {
        let seen = shop.orders.ask(&["order", "get", &order]);
        seen["order"]["payment"]["pay_by"].is_string()
    };
    while !asks() {
        assert!(Instant::now() < patience, "the order asks for no money");
        std::thread::sleep(Duration::from_millis(30));
    }
    attempt(&shop.orders, &order, "tok_visa");
    shop.orders.until(&order, "CONFIRMED");
    call(&shop.orders, &format!("POST /v1/orders/{order}/shipments"), &json!({}));
    let spans = traced(&collector, &OVER_PROCESSES);
    let services: BTreeSet<&str> = spans.iter().map(|it| it.service.as_str()).collect();
    let all = ["ordinal-inventory", "ordinal-ledger", "ordinal-orders", "ordinal-payments"];
    assert_eq!(services, BTreeSet::from(all));
    let at = |step: Step| spans.iter().find(|it| is(it, step)).unwrap().service.as_str();
    assert_eq!(at(("process payment.requested.v1", Some("payments"))), "ordinal-payments");
    assert_eq!(at(("psp capture", None)), "ordinal-payments");
    assert_eq!(at(("process payment.captured.v1", Some("ledger-entries"))), "ordinal-ledger");
    assert_eq!(at(("order SecurePayment", None)), "ordinal-orders");
    let Processes { orders, others, .. } = shop;
    for other in others {
        assert!(other.stop().success());
    }
    assert!(orders.stop().success());
}
