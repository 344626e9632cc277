//! Lines of the log belong to what they are about, and neither they nor spans nor answers say what
//! people wrote.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{Connection as _, Executor as _};
use tempfile::TempDir;
use uuid::Uuid;

use crate::collector::Collector;
use crate::health::logged;
use crate::http::{Answer, Http};
use crate::limits::{ANNA, Limited, bearer, ops};
use crate::nodes::{LEASE, databases, until_even};
use crate::support::{Engine, PATIENCE, free_port};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// The lines of a log in JSON.
pub fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read(log).unwrap();
    // The last one may be under way.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let text = String::from_utf8(text[..whole].to_vec()).unwrap();
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    text.lines().map(line).collect()
}

/// The lines with these words, once there is one.
async fn until_said(log: &Path, words: &str) -> Vec<Value> {
    until(log, |line| line["message"].as_str().unwrap().contains(words)).await
}

/// The lines that are so, once there is one.
async fn until(log: &Path, is: impl Fn(&Value) -> bool) -> Vec<Value> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let said: Vec<Value> = lines(log).into_iter().filter(&is).collect();
        if !said.is_empty() {
            return said;
        }
        assert!(Instant::now() < patience, "{:#?}", lines(log));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// T4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_names_the_trace_and_the_order_of_the_command_that_it_is_about() {
    let folder = TempDir::new().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let engine = Engine::start(&data);
    let placed = engine.place(&["MUG=1@4.00GBP"]);
    let order_id = placed["order"]["order_id"].as_str().unwrap().to_owned();
    assert!(engine.stop().success());
    // A history that cannot have happened.
    let journal = SqliteConnectOptions::new().filename(data.join("journal.db"));
    let journal = SqlitePool::connect_with(journal).await.unwrap();
    for sql in ["DROP TRIGGER events_are_never_updated", "UPDATE events SET payload = '{}'"] {
        journal.execute(sql).await.unwrap();
    }
    journal.close().await;

    let collector = Collector::start();
    let (data, url) = (data.to_str().unwrap(), collector.url());
    let flags = ["--data", data, "--log-format", "json", "--otlp-endpoint", &url];
    let engine = logged(&["env", "RUST_LOG=ordinal=info,warn"], &flags, &log);
    let mut http = Http::connect(&engine.address).await;
    let cancel = format!("POST /v1/orders/{order_id}:cancel");
    let refused = http.json(&cancel, &[("traceparent", TRACE)], &json!({})).await;
    assert_eq!(refused.code(), "ORDER_QUARANTINED");
    let said = until_said(&log, "quarantined").await;
    let about = |line: &&Value| line["trace_id"] == TRACE_ID;
    let line = said.iter().find(about).unwrap_or_else(|| panic!("{said:#?}"));
    assert_eq!((&line["order_id"], &line["shard"]), (&json!(order_id), &json!(0)), "{line}");
    let process = ["service", "role", "level"].map(|name| line[name].as_str().unwrap());
    assert_eq!(process, ["ordinal", "all", "ERROR"]);
    assert_eq!(line.get("span_id"), None, "{line}");
    // Of a call that is recorded it names the span, too.
    let recorded = TRACE.replace("-00", "-01").replace("0af", "1af");
    http.json(&cancel, &[("traceparent", &recorded)], &json!({})).await;
    let name = "order Cancel";
    let seen = collector.until(|seen| seen.iter().any(|it| it.name == name));
    let span = &seen.iter().find(|it| it.name == name).unwrap().span;
    let trace = TRACE_ID.replace("0af", "1af");
    let in_span = |line: &Value| line["trace_id"] == *trace && line["order_id"].is_string();
    let line = until(&log, in_span).await.remove(0);
    assert_eq!(line["span_id"], **span, "{line}");
    assert!(engine.stop().success());
}

/// The line of a dead letter: of the trace and the shard of its fact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_a_dead_letter_names_the_trace_and_the_shard_of_its_fact() {
    let folder = TempDir::new().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let engine = Engine::start(&data);
    engine.ask(&["stock", "set", "MUG", "5"]);
    let placed = engine.place(&["MUG=2@4.00GBP"]);
    let order_id = placed["order"]["order_id"].as_str().unwrap().to_owned();
    engine.until(&order_id, "CONFIRMED");
    assert!(engine.stop().success());
    // Its units are said to be used up.
    let stock = SqliteConnectOptions::new().filename(data.join("inventory.db"));
    let stock = SqlitePool::connect_with(stock).await.unwrap();
    let used_up = r#"UPDATE reservations
                     SET body = replace(body, '"quantity"', '"released":2,"quantity"')"#;
    stock.execute(used_up).await.unwrap();
    stock.close().await;

    let flags = ["--data", data.to_str().unwrap(), "--log-format", "json"];
    let engine = logged(&["env", "RUST_LOG=warn"], &flags, &log);
    let mut http = Http::connect(&engine.address).await;
    let ship = format!("POST /v1/orders/{order_id}/shipments");
    let shipped = http.json(&ship, &[("traceparent", TRACE)], &json!({})).await;
    assert!(shipped.status < 300, "{shipped:?}");
    let line = until(&log, |line| line["message"] == "dead letter").await.remove(0);
    let told = ["follower", "subject", "trace_id"].map(|name| line[name].as_str());
    assert_eq!(told, ["stock", order_id.as_str(), TRACE_ID].map(Some), "{line}");
    assert_eq!(line["shard"], json!(0), "{line}");
    assert!(engine.stop().success());
}

/// T4, of calls that come without a trace and are recorded nowhere: lines name the one that the
/// caller is told, also those of the node that owns the order.
#[test]
fn a_line_names_the_trace_that_a_caller_is_told_over_two_nodes() {
    let (runtime, [database]) = databases();
    let (folder, url) = (TempDir::new().unwrap(), database.url());
    let log = |name: &str| folder.path().join(name);
    let nodes = ["a", "b"].map(|name| {
        let flags = ["--node-name", name, "--database-url", &url, "--without-stock"];
        let flags = [&flags[..], &LEASE, &["--log-format", "json"]].concat();
        logged(&["env", "RUST_LOG=warn"], &flags, &log(name))
    });
    let [a, b] = &nodes;
    until_even(|| a.ask(&["shards", "list"]));
    // Without an id it becomes an order of the node that was asked. An order that is over sleeps.
    let placed = b.place(&["MUG=1@4.00GBP"]);
    let order_id = placed["order"]["order_id"].as_str().unwrap().to_owned();
    b.ask(&["order", "cancel", &order_id]);
    runtime.block_on(async {
        let mut journal = sqlx::PgConnection::connect(&url).await.unwrap();
        for sql in [
            "SET search_path TO orders_journal",
            "DROP TRIGGER events_are_forever ON events",
            "UPDATE events SET payload = '{}'",
        ] {
            journal.execute(sql).await.unwrap();
        }
    });
    for asked in [a, b] {
        let said = runtime.block_on(async {
            let mut http = Http::connect(&asked.address).await;
            let cancel = format!("POST /v1/orders/{order_id}:cancel");
            let refused = http.json(&cancel, &[], &json!({})).await;
            assert_eq!(refused.code(), "ORDER_QUARANTINED");
            let trace = refused.headers["traceparent"].split('-').nth(1).unwrap();
            let is_about = |line: &Value| {
                line["trace_id"] == *trace && line["message"].as_str().unwrap().contains("quarant")
            };
            until(&log("b"), is_about).await.remove(0)
        });
        assert_eq!(said["order_id"], json!(order_id), "{said}");
    }
    for node in nodes {
        assert!(node.stop().success());
    }
    runtime.block_on(database.drop());
}

/// While a call is answered, its lines say which one it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_a_call_names_its_trace_its_method_and_who_called() {
    let folder = TempDir::new().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let away = format!("127.0.0.1:{}", free_port());
    let flags = ["--data", data.to_str().unwrap(), "--role", "orders", "--inventory-at", &away];
    let engine = logged(&["env", "ORDINAL_LOG_FORMAT=json"], &flags, &log);
    let mut http = Http::connect(&engine.address).await;
    let patience = Instant::now() + PATIENCE;
    // While the breaker is open, because followers have called before, none is forwarded.
    while !fs::read_to_string(&log).unwrap().contains("could not be forwarded") {
        let refused = http.call("GET /v1/stock/MUG", &[("traceparent", TRACE)]).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(Instant::now() < patience, "no call is forwarded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let line = until_said(&log, "could not be forwarded").await.remove(0);
    let told = ["trace_id", "rpc_method", "principal", "role"].map(|name| line[name].as_str());
    let method = "ordinal.inventory.v1.InventoryService/GetStock";
    let expected = [TRACE_ID, method, "OPS:developer", "orders"].map(Some);
    assert_eq!(told, expected, "{line}");
    // A refusal that is no fault of its caller.
    let call = until(&log, |line| line["target"] == "access").await.remove(0);
    let told = (&call["level"], call["reason"].is_string(), &call["http"]);
    assert_eq!(told, (&json!("WARN"), true, &json!(503)), "{call}");
    assert!(engine.stop().success());
}

/// What people wrote, each with a word that stands nowhere else.
const MARKERS: [&str; 6] = [
    "MARKER-STREET",
    "MARKER-CITY",
    "marker-mail",
    "+447700900461",
    "MARKER-REASON",
    "MARKER-TOKEN",
];

fn order(order_id: Uuid, customer: &str) -> Value {
    json!({
        "order_id": order_id,
        "customer_id": customer,
        "lines": [{
            "sku": "MUG", "quantity": 1, "unit_price": { "currency_code": "GBP", "units": "4" },
        }],
        "address": {
            "street": "1 MARKER-STREET", "city": "MARKER-CITY", "postal_code": "W1",
            "country": "GB",
        },
        "contact": { "email": "marker-mail@example.com", "phone": "+447700900461" },
    })
}

/// The same order with one field that is wrong: every field of it is named once.
fn wrong_orders() -> Vec<Value> {
    let changed = |path: &str, value: Value| {
        let mut wrong = order(Uuid::now_v7(), ANNA);
        *wrong.pointer_mut(path).unwrap() = value;
        wrong
    };
    let long = |word: &str| json!(word.repeat(500));
    vec![
        changed("/address/street", long("MARKER-STREET")),
        changed("/address/city", long("MARKER-CITY")),
        changed("/address/city", json!("MARKER-CITY\n")),
        changed("/address/country", json!("MARKER-CITY")),
        changed("/address/postal_code", long("MARKER-CITY")),
        changed("/contact/email", json!("marker-mail")),
        changed("/contact/email", json!("marker-mail@@example.com")),
        changed("/contact/phone", json!("+447700900461x")),
        changed("/customer_id", json!("MARKER-REASON")),
        changed("/lines/0/sku", long("MARKER-REASON")),
        changed("/lines/0/quantity", json!("MARKER-REASON")),
        changed("/lines/0/unit_price/currency_code", json!("MARKER-REASON")),
        changed("/order_id", json!("MARKER-REASON")),
        changed("/lines", json!("MARKER-REASON")),
    ]
}

/// Whether the text of an answer repeats what its caller wrote.
pub fn assert_says_nothing(what: &str, text: &str, markers: &[&str]) {
    for marker in markers {
        let at = text.find(marker).map(|at| {
            let begin = text[..at].char_indices().rev().nth(300).map_or(0, |(begin, _)| begin);
            text[begin..].chars().take(700).collect::<String>()
        });
        assert!(at.is_none(), "{what} says {marker}: {at:?}");
    }
}

/// T12: in lines of the log at its most talkative, in spans, and in answers that refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_wrote_is_in_no_log_no_span_and_no_problem() {
    let (folder, collector) = (TempDir::new().unwrap(), Collector::start());
    let log = folder.path().join("log");
    // Mails and webhooks go to servers that are away: failing paths, too.
    let [mail, hook] = [free_port(), free_port()];
    let (mail, hook) = (format!("smtp://127.0.0.1:{mail}"), format!("http://127.0.0.1:{hook}"));
    let secret = folder.path().join("secret");
    crate::support::write_private(&secret, "whsec_bWFya2VyLW1hcmtlci1tYXJrZXItbWFya2VyLTEyMw==");
    let flags = [
        "--otlp-endpoint",
        &collector.url(),
        "--access-log",
        "all",
        "--rate-limit",
        "CUSTOMER=off",
        "--smtp-url",
        &mail,
        "--webhook-url",
        &hook,
        "--webhook-secret-file",
        secret.to_str().unwrap(),
    ];
    let shop = Limited::started(&[ANNA], &flags, Some(("trace", &log)));
    let mut http = shop.http().await;
    let (operator, anna) = (ops(), bearer(ANNA));
    let (by_ops, by_anna) = ([("authorization", &*operator)], [("authorization", &*anna)]);
    let stock = json!({ "on_hand": 9, "reason": "MARKER-REASON" });
    let set = http.json("PUT /v1/stock/MUG", &by_ops, &stock).await;
    assert_eq!(set.status, 200, "{set:?}");
    let mut refused: Vec<Answer> = Vec::new();
    for wrong in wrong_orders() {
        let mut http = shop.http().await;
        refused.push(http.json("POST /v1/orders", &by_anna, &wrong).await);
    }
    let order_id = Uuid::now_v7();
    // What a caller's systems tell each other goes into events and facts, and is told to nobody.
    let trace = crate::traces::traceparent(crate::traces::TRACE, true);
    let traced = [by_anna[0], ("traceparent", &*trace), ("tracestate", "m=MARKER-REASON")];
    let placed = http.json("POST /v1/orders", &traced, &order(order_id, ANNA)).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    until_confirmed(&mut http, order_id, &by_ops).await;
    let again = order(order_id, ANNA);
    let mut other = again.clone();
    other["contact"]["email"] = json!("marker-mail-2@example.com");
    let (of_order, reason) =
        (format!("/v1/orders/{order_id}"), json!({ "reason": "MARKER-REASON" }));
    let line = json!([{ "line": 1, "quantity": 9, "reason": "MARKER-REASON" }]);
    let returned = json!({ "lines": line, "note": "MARKER-REASON", "reason": "MARKER-REASON" });
    let calls = [
        ("POST /v1/orders".to_owned(), &other),
        (format!("POST {of_order}:hold"), &reason),
        (format!("POST {of_order}/shipments"), &reason),
        (format!("POST {of_order}/returns"), &returned),
        (format!("POST {of_order}:cancel"), &reason),
    ];
    for (call, body) in calls {
        let mut http = shop.http().await;
        let answer = http.json(&call, &by_ops, body).await;
        if answer.status >= 400 {
            refused.push(answer);
        }
    }
    // What stands in the address, or stands for a caller.
    // A problem names its own address, without the query.
    http.call("GET /v1/MARKER-REASON", &by_ops).await;
    http.call("GET /v1/orders/MARKER-REASON", &by_ops).await;
    for (call, token) in [
        ("GET /v1/orders?page_token=MARKER-REASON", &*operator),
        ("GET /v1/orders?access_token=MARKER-TOKEN", &*operator),
        ("GET /v1/orders", "Bearer MARKER-TOKEN"),
        ("GET /v1/orders", "Basic MARKER-TOKEN"),
    ] {
        let mut http = shop.http().await;
        refused.push(http.call(call, &[("authorization", token)]).await);
    }
    assert!(refused.len() > 18 && refused.iter().all(|it| it.status >= 400), "{refused:#?}");
    for answer in &refused {
        assert_says_nothing("a problem", &answer.text, &MARKERS);
        assert_says_nothing("a header", &format!("{:?}", answer.headers), &MARKERS);
    }
    let deferred = until_said(&log, "delivery deferred").await;
    for line in &deferred {
        assert_eq!(line["order_id"], json!(order_id), "{line}");
        assert_eq!(line["trace_id"].as_str().map(str::len), Some(32), "{line}");
    }
    let sent = |name: &str| {
        collector.until(|seen| seen.iter().any(|it| it.name == name && it.failed.is_some()))
    };
    assert!(sent("send mail").len() > 9 && sent("send webhook").len() > 9);
    assert!(shop.engine.stop().success());
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.lines().count() > 30, "{said}");
    assert_says_nothing("the log", &said, &[&MARKERS[..], &[ANNA]].concat());
    let spans = String::from_utf8_lossy(&collector.raw()).into_owned();
    assert_says_nothing("a span", &spans, &[&MARKERS[..], &[ANNA]].concat());
}

async fn until_confirmed(http: &mut Http, order_id: Uuid, headers: &[(&str, &str)]) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let order = http.call(&format!("GET /v1/orders/{order_id}"), headers).await;
        if order.text.contains("ORDER_STATUS_CONFIRMED") {
            return;
        }
        assert!(Instant::now() < patience, "{order:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_by_http_that_ends_with_a_problem_is_logged_with_it() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let shop = Limited::started(&[], &[], Some(("warn,access=info", &log)));
    let mut http = shop.http().await;
    let ops = ops();
    let headers = [("accept", "text/event-stream"), ("authorization", ops.as_str())];
    http.head("GET /v1/orders:watch", &headers).await;
    assert_eq!(http.answered().await.status, 200);
    http.chunk().await.unwrap();
    shop.engine.signal("-TERM");
    let mut last = String::new();
    while let Some(chunk) = http.chunk().await {
        last = chunk;
    }
    assert!(last.contains("STOPPING"), "{last}");
    let engine = shop.engine;
    assert!(engine.stop().success());
    let said = std::fs::read_to_string(&log).unwrap();
    let line = said.lines().find(|line| line.contains("orders:watch")).expect("no line");
    assert!(line.contains("STOPPING") && line.contains("\"http\":200"), "{line}");
}
