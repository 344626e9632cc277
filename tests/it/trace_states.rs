//! What other systems added to a trace (W3C `tracestate`) goes with it: into events and facts, to
//! webhooks, and to the node that an order belongs to.

use std::sync::Mutex;
use std::time::Instant;

use serde_json::{Value, json};
use shared_events::chance::Chance;
use tempfile::TempDir;
use uuid::Uuid;

use crate::collector::Collector;
use crate::http::Http;
use crate::messages::receiver;
use crate::nodes::{databases, node, until_even};
use crate::support::{CUSTOMER, Engine, PATIENCE, write_private};
use crate::traces::{TRACE, order, place_with, traceparent};

/// As two systems add to it.
const STATE: &str = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// What each event of an order says of its trace.
fn told(engine: &Engine, order_id: &str) -> Vec<(String, String)> {
    let history = engine.ask(&["order", "history", order_id]);
    let events = history["events"].as_array().unwrap().iter();
    events.map(|event| (text(event, "traceparent"), text(event, "tracestate"))).collect()
}

/// An engine whose webhooks go to a receiver, with the flags that say so.
fn started(folder: &TempDir, url: &str, flags: &[&str]) -> Engine {
    let (data, secret) = (folder.path().join("data"), folder.path().join("secret"));
    write_private(&secret, "whsec_bWFya2VyLW1hcmtlci1tYXJrZXItbWFya2VyLTEyMw==");
    let (data, secret) = (data.to_str().unwrap(), secret.to_str().unwrap());
    let own = ["--data", data, "--webhook-url", url, "--webhook-secret-file", secret];
    let engine = Engine::start_with(&[&own[..], flags].concat());
    engine.ask(&["stock", "set", "MUG", "1000"]);
    engine
}

/// The call by which a receiver was told that an order was placed: its head and its body.
fn called(got: &Mutex<Vec<(String, String)>>, order_id: &str) -> (String, Value) {
    let patience = Instant::now() + PATIENCE;
    loop {
        for (head, body) in got.lock().unwrap().iter() {
            let body: Value = serde_json::from_str(body).unwrap();
            if body["type"] == "order.created.v1" && body["subject"] == order_id {
                return (head.clone(), body);
            }
        }
        assert!(Instant::now() < patience, "nobody is told of {order_id}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_added_to_a_trace_is_in_its_events_and_facts() {
    let ((url, got), folder) = (receiver(&[]), TempDir::new().unwrap());
    let engine = started(&folder, &url, &[]);
    let trace = traceparent(TRACE, true);
    let named = ("traceparent", trace.as_str());
    // It may come in parts.
    let parts =
        [named, ("tracestate", " congo=t61rcWkgMzE ,"), ("tracestate", "rojo=00f067aa0ba902b7")];
    let order_id = place_with(&engine, &parts).await;
    engine.until(&order_id, "CONFIRMED");
    let events = told(&engine, &order_id);
    assert!(events.len() > 1, "{events:?}");
    for event in &events {
        assert_eq!(event, &(trace.clone(), STATE.to_owned()), "{events:?}");
    }
    let (head, fact) = tokio::task::block_in_place(|| called(&got, &order_id));
    assert_eq!((text(&fact, "traceparent"), text(&fact, "tracestate")), events[0]);
    assert!(!head.contains("tracestate"), "{head}");
    // It is not for customers: systems tell each other of it.
    let customer = [("ordinal-role", "customer"), ("ordinal-subject", CUSTOMER)];
    let mut http = Http::connect(&engine.address).await;
    let own = http.call(&format!("GET /v1/orders/{order_id}/events"), &customer).await;
    assert!(own.status == 200 && !own.text.contains("t61rcWkgMzE"), "{own:?}");
    // One that is malformed is ignored as a whole; so is one without a trace.
    for (headers, kept) in [
        (&[named, ("tracestate", "congo=t61rcWkgMzE,rojo")][..], trace.as_str()),
        (&[("tracestate", STATE)], ""),
    ] {
        let order_id = place_with(&engine, headers).await;
        assert_eq!(told(&engine, &order_id)[0], (kept.to_owned(), String::new()));
        let (_, fact) = tokio::task::block_in_place(|| called(&got, &order_id));
        assert_eq!(fact.get("tracestate"), None);
    }
    assert!(engine.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_webhook_call_has_what_others_added_to_its_trace() {
    let ((url, got), folder) = (receiver(&[]), TempDir::new().unwrap());
    let collector = Collector::start();
    let engine = started(&folder, &url, &["--otlp-endpoint", &collector.url()]);
    let trace = traceparent(TRACE, true);
    let headers = [("traceparent", trace.as_str()), ("tracestate", STATE)];
    let order_id = place_with(&engine, &headers).await;
    engine.until(&order_id, "CONFIRMED");
    for (event, state) in told(&engine, &order_id) {
        assert!(event.contains(TRACE) && event != trace && state == STATE, "{event} {state}");
    }
    let (head, _) = tokio::task::block_in_place(|| called(&got, &order_id));
    assert!(head.contains(&format!("traceparent: 00-{TRACE}-")), "{head}");
    assert!(head.contains(&format!("tracestate: {STATE}")), "{head}");
    // A trace that begins here is nobody else's.
    let order_id = place_with(&engine, &[("tracestate", STATE)]).await;
    let (head, fact) = tokio::task::block_in_place(|| called(&got, &order_id));
    assert!(head.contains("traceparent: 00-") && !head.contains("tracestate"), "{head}");
    assert!(fact.get("traceparent").is_some() && fact.get("tracestate").is_none(), "{fact}");
    assert!(engine.stop().success());
}

/// Half of the commands of a stream belong to the other node.
#[test]
fn a_command_that_is_forwarded_keeps_what_others_added_to_its_trace() {
    const COMMANDS: usize = 40;
    let (runtime, [database]) = databases();
    let url = database.url();
    let flags = ["--database-url", &url, "--without-stock"];
    let [a, b] = ["a", "b"].map(|name| node(name, &flags));
    until_even(|| a.ask(&["shards", "list"]));
    let ids: Vec<Uuid> = (0..COMMANDS).map(|_| Chance::system().uuid()).collect();
    let line = |id: &Uuid| json!({ "tag": 1, "place_order": order(*id) }).to_string();
    let lines = ids.iter().map(line).collect::<Vec<_>>().join("\n");
    let trace = traceparent(TRACE, true);
    let headers = [
        ("content-type", "application/x-ndjson"),
        ("traceparent", trace.as_str()),
        ("tracestate", STATE),
    ];
    let answer = runtime.block_on(async {
        let mut http = Http::connect(&a.address).await;
        http.text("POST /v1/orders:batch", &headers, &lines).await
    });
    assert_eq!(answer.text.matches("\"done\"").count(), COMMANDS, "{answer:?}");
    for id in &ids {
        assert_eq!(told(&b, &id.to_string())[0], (trace.clone(), STATE.to_owned()));
    }
    assert!(a.stop().success() && b.stop().success());
    runtime.block_on(database.drop());
}
