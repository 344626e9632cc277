//! What became of calls: refusals are counted, and lines of the log name neither callers nor tokens.

use std::path::Path;
use std::time::{Duration, Instant};

use order_actor::grpc::proto;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::limits::{ANNA, Limited, NO_ORDER, bearer, ops};
use crate::overload::customer;
use crate::support::PATIENCE;
use crate::wire::{Wire, reason, status, within};

const GET: &str = "/ordinal.orders.v1.OrderService/GetOrder";
const WATCH: &str = "/ordinal.orders.v1.OrderService/WatchOrders";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// The lines about calls, once there are so many.
async fn lines(log: &Path, count: usize) -> Vec<Value> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(log).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<Value> = lines.filter(|line| line["target"] == "access").collect();
        if lines.len() >= count {
            assert_eq!(lines.len(), count, "{lines:#?}");
            return lines;
        }
        assert!(Instant::now() < patience, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_counted_and_logged_without_tokens_or_callers() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let flags = ["--rate-limit", "CUSTOMER=1:3"];
    // As it is by default, and everything that our own crates have to say.
    let filter = "access=info,ordinal=trace,web_edge=trace,order_actor=trace,edge_auth=trace";
    let shop = Limited::started(&[ANNA], &flags, Some((filter, &log)));
    let (mut http, token) = (shop.http().await, bearer(ANNA));
    let anna = [("authorization", token.as_str())];
    let missing = format!("GET /v1/orders/{NO_ORDER}");

    let refused = http.call(&missing, &anna).await;
    assert_eq!((refused.status, refused.code().as_str()), (404, "NOT_FOUND"));
    let trace = refused.json()["trace_id"].as_str().unwrap().to_owned();
    let made = &refused.headers["traceparent"];
    assert!(made.starts_with(&format!("00-{trace}-")) && made.len() == 55, "{made}");
    let sent = http.call(&missing, &[anna[0], ("traceparent", TRACE)]).await;
    assert_eq!(sent.json()["trace_id"], TRACE_ID);
    assert_eq!(sent.headers.get("traceparent"), None);
    // A8: a token in an address.
    let marker = "MARKER-0123456789-OF-A-TOKEN";
    let leaked = http.call(&format!("{missing}?access_token={marker}"), &[]).await;
    assert_eq!((leaked.status, leaked.code().as_str()), (400, "INVALID_FIELD"));
    assert!(!leaked.text.contains(marker) && leaked.headers.contains_key("traceparent"));
    let unknown = http.call("GET /v1/orders", &[("authorization", "Bearer MARKER-NOBODY")]).await;
    assert_eq!(unknown.code(), "UNAUTHENTICATED");
    let nowhere = http.call(&format!("GET /v1/{marker}"), &anna).await;
    assert_eq!(nowhere.code(), "ROUTE_NOT_FOUND");
    // The same by gRPC; a call that is answered says nothing.
    let wire = Wire::open(&shop.engine.address).await;
    let missing = proto::GetOrderRequest { order_id: NO_ORDER.into(), ..Default::default() };
    let mut reasons = Vec::new();
    for _ in 0..2 {
        let call = wire.call(GET, Some(&customer(ANNA)), &missing).await;
        let answer = within(call.answer).await.unwrap();
        reasons.push(reason(&status(answer.headers()).unwrap()));
        assert_eq!(answer.headers()["traceparent"].len(), 55);
    }
    assert_eq!(reasons, ["NOT_FOUND", "RATE_LIMITED"]);
    let operator = ops();
    let listed = http.call("GET /v1/orders", &[("authorization", &operator)]).await;
    assert_eq!(listed.status, 200);

    let method = "ordinal.orders.v1.OrderService/GetOrder";
    let lines = lines(&log, 7).await;
    let told: Vec<(&Value, &Value, &Value)> =
        lines.iter().map(|line| (&line["rpc_method"], &line["status"], &line["http"])).collect();
    let null = Value::Null;
    let expected = [
        (method, "NOT_FOUND", json!(404), "CUSTOMER"),
        (method, "NOT_FOUND", json!(404), "CUSTOMER"),
        ("none", "INVALID_FIELD", json!(400), ""),
        ("ordinal.orders.v1.OrderService/ListOrders", "UNAUTHENTICATED", json!(401), ""),
        ("none", "ROUTE_NOT_FOUND", json!(404), ""),
        (method, "NOT_FOUND", null.clone(), "CUSTOMER"),
        (method, "RATE_LIMITED", null, "CUSTOMER"),
    ];
    for ((told, line), (method, status, http, role)) in told.iter().zip(&lines).zip(&expected) {
        assert_eq!(*told, (&json!(method), &json!(status), http), "{lines:#?}");
        let principal = line["principal"].as_str().unwrap_or_default();
        assert!(principal.starts_with(role) && principal.is_empty() == role.is_empty(), "{line}");
        // Each line says which process wrote it, and when.
        let who = (&line["service"], &line["role"], &line["message"], &line["level"]);
        assert_eq!(who, (&json!("ordinal"), &json!("all"), &json!("call"), &json!("INFO")));
        assert!(line["ts"].as_str().unwrap().ends_with('Z') && line["node"].is_string(), "{line}");
    }
    let routes = [0, 3, 4, 5].map(|nth: usize| &lines[nth]["http_route"]);
    let (order, orders) = (json!("/v1/orders/{order_id}"), json!("/v1/orders"));
    assert_eq!(routes, [&order, &orders, &Value::Null, &Value::Null], "{lines:#?}");
    assert_eq!(lines[0]["trace_id"], trace.as_str());
    assert_eq!(lines[1]["trace_id"], TRACE_ID);
    let orders = [0, 1, 2, 5].map(|nth: usize| lines[nth]["order_id"].as_str());
    assert_eq!(orders, [Some(NO_ORDER), Some(NO_ORDER), None, Some(NO_ORDER)], "{lines:#?}");
    assert!(lines.iter().all(|line| line["reason"] == line["status"]), "{lines:#?}");
    // His lines are found without knowing who he is.
    let hash = lines[0]["principal"].as_str().unwrap();
    assert!(hash.len() == "CUSTOMER:".len() + 16 && lines[6]["principal"] == hash, "{lines:#?}");
    let all = std::fs::read_to_string(&log).unwrap();
    for secret in [marker, "MARKER-NOBODY", &customer(ANNA), ANNA] {
        let found = all.lines().find(|line| line.contains(secret));
        assert!(found.is_none(), "{secret}: {found:?}");
    }

    let health = http.call("GET /v1/health", &[("authorization", &operator)]).await.json();
    let refused = health["refused"].as_array().unwrap();
    let count = |method: &str, reason: &str| {
        let found = refused.iter().find(|it| it["method"] == method && it["reason"] == reason);
        found.map_or("0", |it| it["count"].as_str().unwrap()).to_owned()
    };
    assert_eq!(count(method, "NOT_FOUND"), "3");
    assert_eq!(count(method, "RATE_LIMITED"), "1");
    assert_eq!(count("none", "INVALID_FIELD"), "1");
    assert_eq!(refused.len(), 5, "{refused:#?}");
}

/// Whoever refuses a request, before it is a call or later, names its trace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_becomes_no_call_is_refused_with_its_trace() {
    let shop = Limited::started(&[], &[], None);
    let mut http = shop.http().await;
    let evil = ("origin", "http://evil.example");
    let upper = TRACE.to_ascii_uppercase();
    for (line, headers, code) in [
        ("GET /v1/nowhere", &[][..], "ROUTE_NOT_FOUND"),
        ("DELETE /v1/health", &[], "METHOD_NOT_ALLOWED"),
        ("GET /v1/orders", &[evil], "ORIGIN_NOT_ALLOWED"),
        ("GET /v1/live", &[], "NOT_ACCEPTABLE"),
        ("GET /v1/live", &[evil], "ORIGIN_NOT_ALLOWED"),
    ] {
        let sent = http.call(line, &[headers, &[("traceparent", TRACE)]].concat()).await;
        assert_eq!((sent.code().as_str(), &sent.json()["trace_id"]), (code, &json!(TRACE_ID)));
        assert_eq!(sent.headers.get("traceparent"), None, "{line}");
        // What is no trace, and none, get one of ours.
        for more in [&[("traceparent", upper.as_str())][..], &[]] {
            let answer = http.call(line, &[headers, more].concat()).await;
            let problem = answer.json();
            let made = problem["trace_id"].as_str().unwrap_or_else(|| panic!("{answer:?}"));
            let named = format!("00-{made}-");
            assert!(answer.headers["traceparent"].starts_with(&named), "{line}: {answer:?}");
            assert!(!made.eq_ignore_ascii_case(TRACE_ID), "{line}: {more:?}");
        }
    }
    // gRPC that a proxy has passed on from a page.
    let wire = Wire::open(&shop.engine.address).await;
    let call = wire.begin_with(GET, None, &[evil, ("traceparent", TRACE)]).await;
    let answer = within(call.answer).await.unwrap();
    assert_eq!(answer.status(), 403);
    let said = within(answer.into_body().data()).await.unwrap().unwrap();
    let problem: Value = serde_json::from_slice(&said).unwrap();
    let told = (&problem["code"], &problem["trace_id"]);
    assert_eq!(told, (&json!("ORIGIN_NOT_ALLOWED"), &json!(TRACE_ID)));
}

/// G9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_its_caller_left_is_no_error_of_ours() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let shop =
        Limited::started(&[ANNA], &["--access-log", "all"], Some(("warn,access=info", &log)));
    let mut http = shop.http().await;
    let token = bearer(ANNA);
    let events = [("authorization", token.as_str()), ("accept", "text/event-stream")];
    http.head("GET /v1/orders:watch", &events).await;
    assert_eq!(http.answered().await.status, 200);
    drop(http);
    let left = &lines(&log, 1).await[0];
    assert_eq!((&left["status"], &left["http"]), (&json!("CANCELLED"), &json!(499)));
    assert_eq!(left["rpc_method"], "ordinal.orders.v1.OrderService/WatchOrders");

    let wire = Wire::open(&shop.engine.address).await;
    let watch = proto::WatchOrdersRequest::default();
    let call = wire.call(WATCH, Some(&customer(ANNA)), &watch).await;
    let begun = within(call.begun()).await;
    assert!(begun.is_ok());
    drop((begun, wire));
    let left = &lines(&log, 2).await[1];
    assert_eq!((&left["status"], &left["http"]), (&json!("CANCELLED"), &Value::Null));

    // One that is answered has a line, too; what nobody waits for is counted as no refusal.
    let mut http = shop.http().await;
    let health = http.call("GET /v1/health", &[("authorization", &ops())]).await.json();
    assert_eq!(health["refused"], json!([]));
    let done = &lines(&log, 3).await[2];
    assert_eq!(
        (&done["status"], &done["http"], &done["principal"]),
        (&json!("OK"), &json!(200), &json!("OPS:anna"))
    );
    assert!(done["duration_ms"].as_f64().unwrap() > 0.0, "{done}");
}
