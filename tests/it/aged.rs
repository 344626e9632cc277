//! What happens to streams whose connection has reached its age, through the real edge.

use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use service_edge::Refused;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::fake::{Fake, Turn, good};
use crate::http::Http;
use crate::rest::events;
use crate::shop::{Shop, on_both};
use crate::socket::Socket;
use crate::support::{PATIENCE, ordinal};

on_both!(
    streams_of_an_old_connection_say_that_they_can_be_resumed,
    verbs_that_follow_go_on_over_another_connection,
);

async fn streams_of_an_old_connection_say_that_they_can_be_resumed(mut shop: Shop) {
    shop.restart(|settings| {
        settings.connections.age = Duration::from_secs(1);
        // Streams end halfway.
        settings.connections.grace = Duration::from_secs(6);
    })
    .await;
    let by_events = async {
        let mut http = Http::connect(&shop.address).await;
        http.head("GET /v1/orders:watch", &[("accept", "text/event-stream")]).await;
        assert_eq!(http.answered().await.status, 200);
        let mut text = String::new();
        while let Some(chunk) = http.chunk().await {
            text.push_str(&chunk);
        }
        let (cursor, kind, problem) = events(&text).pop().unwrap();
        assert_eq!((kind.as_str(), &problem["code"]), ("problem", &json!("STOPPING")));
        assert_eq!(problem["metadata"]["connection"], "aged", "{problem}");
        assert!(http.closes_within(PATIENCE).await);
        cursor
    };
    let by_grpc = async {
        let watch = "orders.v1.OrderService/WatchOrders";
        let mut watch = shop.ops.stream(watch, json!({})).await.unwrap();
        loop {
            match watch.next().await.expect("the stream says how it ended") {
                Ok(item) => assert!(item["progress"].is_object(), "{item}"),
                Err(failure) => break assert_eq!(failure.reason(), "STOPPING", "{failure:?}"),
            }
        }
    };
    let by_socket = async {
        let mut socket = Socket::open(&shop.address, &[]).await;
        socket.watch("all", None).await;
        let end = socket.news().await;
        assert!(end["behind"].is_object() && end["cursor"].is_string(), "{end}");
        assert_eq!(socket.next().await, Err(Some(1001)));
        end["cursor"].as_str().unwrap().to_owned()
    };
    let (of_events, (), of_socket) = tokio::join!(by_events, by_grpc, by_socket);
    // Each goes on over another connection, after where it was.
    let order = shop.order(&[("MUG", 1)]);
    let placed = Http::connect(&shop.address).await.json("POST /v1/orders", &[], &order).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let order = order["order_id"].as_str().unwrap();
    for cursor in [of_events, of_socket] {
        let mut http = Http::connect(&shop.address).await;
        http.head("GET /v1/orders:watch", &[("last-event-id", cursor.as_str())]).await;
        assert_eq!(http.answered().await.status, 200);
        let first = loop {
            let chunk = http.chunk().await.unwrap();
            if chunk.contains("\"change\"") {
                break chunk;
            }
        };
        assert!(first.contains("OrderPlaced") && first.contains(order), "{first}");
    }
    // That a connection has an age is no failure of anybody.
    let health = Http::connect(&shop.address).await.call("GET /v1/health", &[]).await.json();
    assert_eq!(health["refused"], json!([]), "{health}");
    shop.close().await;
}

type Lines = tokio::io::Lines<BufReader<ChildStdout>>;

/// The lines of a verb, up to the first one with this text.
async fn until_shown(lines: &mut Lines, text: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let line = timeout(PATIENCE, lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{text} is not shown: {seen:?}")).unwrap();
        let line = line.unwrap_or_else(|| panic!("it has ended without {text}: {seen:?}"));
        seen.push(line);
        if seen.last().unwrap().contains(text) {
            return seen;
        }
    }
}

/// A verb that follows what happens.
fn follows(address: &str, verb: &[&str]) -> (Child, Lines) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ordinal"));
    for variable in ["ORDINAL_ADDRESS", "ORDINAL_AS", "ORDINAL_CA", "ORDINAL_TOKEN", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.args(["--json", "--address", address]).args(verb);
    let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    (process, lines)
}

async fn verbs_that_follow_go_on_over_another_connection(mut shop: Shop) {
    shop.restart(|settings| {
        // A slow machine takes a while to say the first word.
        settings.connections.age = Duration::from_secs(3);
        settings.connections.grace = Duration::from_secs(6);
    })
    .await;
    let place = async || {
        let order = shop.order(&[("MUG", 1)]);
        let placed = Http::connect(&shop.address).await.json("POST /v1/orders", &[], &order).await;
        assert_eq!(placed.status, 201, "{placed:?}");
        order["order_id"].as_str().unwrap().to_owned()
    };
    let first = place().await;
    let mut all = Vec::new();
    for verb in [&["order", "watch", "--from-beginning"][..], &["events", "tail", "--after", "0:0"]]
    {
        let (process, mut lines) = follows(&shop.address, verb);
        let seen = until_shown(&mut lines, &first).await;
        all.push((process, lines, seen));
    }
    // Connections live up to twice their age: of two that begin one after the other later than
    // those, the second ends later.
    for _ in 0..2 {
        let client = shop.as_caller("ops", "anna").await;
        let mut watch =
            client.stream("orders.v1.OrderService/WatchOrders", json!({})).await.unwrap();
        while let Some(item) = watch.next().await {
            match item {
                Ok(_) => {}
                Err(failure) => assert_eq!(failure.reason(), "STOPPING", "{failure:?}"),
            }
        }
    }
    let second = place().await;
    for (mut process, mut lines, mut seen) in all {
        seen.extend(until_shown(&mut lines, &second).await);
        let mut once = seen.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "shown twice: {seen:?}");
        process.kill().await.unwrap();
    }
    shop.close().await;
}

/// An engine of one order with two events, whose streams end after each message.
fn ends_streams_early() -> Fake {
    let id = "018f6f3e-0000-7000-8000-000000000001";
    let place = |position: u64| json!({ "shard": 1, "position": position, "mark": 7 });
    let event = |version: u64| {
        json!({ "event": {
            "order_id": id, "position": place(version), "event": { "version": version },
        } })
    };
    let facts = |through: Vec<Value>| json!({ "facts": [], "through": through });
    let follower = json!({ "name": "stock", "node": "a", "head_known": true });
    let order = json!({
        "order_id": id, "status": "ORDER_STATUS_CONFIRMED", "version": 2, "reservation_id": id,
    });
    let summary = json!({ "order_id": id, "status": "ORDER_STATUS_CONFIRMED", "version": 2 });
    let reservation = json!({
        "order_id": id, "state": "RESERVATION_STATE_RESERVED", "reservation_id": id,
    });
    let begins = json!({ "progress": { "through": [] } });
    let once = |answer: Value| vec![(vec![answer], good())];
    let cut = |message: Value| -> Turn { (vec![message], Refused::stopping()) };
    Fake::in_turns(vec![
        ("admin.v1.AdminService/ListFollowers", once(json!({ "followers": [follower] }))),
        ("admin.v1.AdminService/ListDeadLetters", once(json!({}))),
        (
            "orders.v1.JournalService/ReadEvents",
            vec![cut(begins.clone()), cut(event(1)), (vec![begins, event(2)], good())],
        ),
        (
            "facts.v1.FactService/ReadFacts",
            vec![
                // It was old when the stream began.
                (Vec::new(), Refused::stopping()),
                cut(facts(vec![place(1)])),
                // Not all of a position: it is read once more.
                cut(facts(Vec::new())),
                (vec![facts(vec![place(2)])], good()),
            ],
        ),
        ("orders.v1.OrderService/ListOrders", once(json!({ "orders": [summary] }))),
        ("orders.v1.OrderService/GetOrder", once(json!({ "order": order }))),
        (
            "inventory.v1.InventoryService/GetReservation",
            once(json!({ "reservation": reservation })),
        ),
        ("inventory.v1.InventoryService/ListStock", once(json!({}))),
        ("notifications.v1.NotificationService/ListNotifications", once(json!({}))),
    ])
}

#[test]
fn verify_reads_each_event_once_over_as_many_connections_as_it_needs() {
    let fake = ends_streams_early();
    let output = ordinal(&["--json", "--address", &fake.address, "verify"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["events"], &report["orders"]), (&json!(2), &json!(1)), "{report}");
    assert_eq!(report["findings"], json!([]), "{report}");
    let after = |method: &str| -> Vec<Value> {
        fake.asked(method).into_iter().map(|mut asked| asked["after"].take()).collect()
    };
    let first = json!([{ "shard": 1, "position": "1", "mark": "7" }]);
    let none = Value::Null;
    let events = after("orders.v1.JournalService/ReadEvents");
    assert_eq!(events, [none.clone(), none.clone(), first.clone()]);
    let facts = after("facts.v1.FactService/ReadFacts");
    assert_eq!(facts, [none.clone(), none, first.clone(), first]);
}
