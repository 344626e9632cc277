//! What a customer must not learn: that another customer's order exists, and how much the shop
//! sells.

use futures::StreamExt as _;
use ordinal::client::{Client, Failure};
use serde_json::{Value, json};
use tonic::Status;
use uuid::Uuid;

use crate::shop::{Orders as _, Shop, on_both};

fn status(answer: Result<Value, Failure>, what: &str) -> Status {
    match answer {
        Err(Failure::Status(status)) => *status,
        Err(other) => panic!("{what}: {other}"),
        Ok(answer) => panic!("{what}: {answer}"),
    }
}

/// Everything of a refusal that its caller can see, without the order's id.
fn visible(status: &Status, order: &str) -> String {
    let headers: Vec<String> = status
        .metadata()
        .clone()
        .into_headers()
        .iter()
        // A trace of its own is made for each call.
        .filter(|(name, _)| *name != "date" && *name != "traceparent")
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let details = String::from_utf8_lossy(status.details()).into_owned();
    format!("{:?} {} {details} {headers:?}", status.code(), status.message())
        .replace(order, "ORDER")
}

/// Every way for a customer to ask for an order.
fn questions(order: &str) -> Vec<(&'static str, Value)> {
    let orders = |method: &'static str, rest: Value| {
        let mut request = json!({ "order_id": order });
        let more = rest.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(more);
        (method, request)
    };
    let (id, service, journal) =
        (Uuid::now_v7(), "orders.v1.OrderService", "orders.v1.JournalService");
    let all = [
        (service, orders("GetOrder", json!({}))),
        (service, orders("GetOrder", json!({ "version": 1 }))),
        (service, orders("GetOrder", json!({ "version": 99 }))),
        (service, orders("GetOrder", json!({ "time": "2040-01-01T00:00:00Z" }))),
        (service, orders("CancelOrder", json!({}))),
        (service, orders("CancelOrder", json!({ "options": { "expected_version": 1 } }))),
        (service, orders("CancelOrder", json!({ "options": { "expected_version": 7 } }))),
        (service, orders("CancelOrder", json!({ "options": { "request_id": id } }))),
        (service, orders("CancelOrder", json!({ "options": { "validate_only": true } }))),
        (service, orders("CancelOrder", json!({ "lines": [{ "line": 9, "quantity": 1 }] }))),
        (service, orders("RequestReturn", json!({ "reason": "too small" }))),
        (
            service,
            orders(
                "RequestReturn",
                json!({ "reason": "too small", "lines": [{ "line": 9, "quantity": 1 }] }),
            ),
        ),
        (service, orders("FulfillOrder", json!({}))),
        (service, orders("ApproveReturn", json!({}))),
        (service, orders("RejectReturn", json!({ "reason": "worn" }))),
        (
            service,
            orders(
                "CorrectOrder",
                json!({ "reason": "typo", "contact": { "email": "a@example.com" } }),
            ),
        ),
        (service, orders("ReleaseHold", json!({ "name": "FRAUD", "reason": "x" }))),
        (service, orders("AddNote", json!({ "text": "hello", "public": true }))),
        (journal, orders("ListOrderEvents", json!({}))),
        (journal, orders("DiffOrder", json!({ "from_version": 0 }))),
        (journal, orders("DiffOrder", json!({ "from_version": 7 }))),
    ];
    all.into_iter()
        .map(|(service, (method, request))| {
            let method: &'static str = Box::leak(format!("{service}/{method}").into_boxed_str());
            (method, request)
        })
        .collect()
}

async fn an_order_of_another_customer_is_refused_like_a_missing_one(shop: Shop) {
    shop.set_stock("MUG", 100).await;
    let pending = shop.place(&[("NONE", 1)]).await;
    let confirmed = shop.place(&[("MUG", 1)]).await;
    shop.until(&confirmed, "CONFIRMED").await;
    shop.until(&pending, "CANCELLED").await;
    let stranger = shop.as_caller("customer", &Uuid::now_v7().to_string()).await;
    for order in [&pending, &confirmed] {
        let nobodys = Uuid::now_v7().to_string();
        // Twice: the second time one of them may be awake.
        for _ in 0..2 {
            for ((method, theirs), (_, none)) in
                questions(order).into_iter().zip(questions(&nobodys))
            {
                let what = format!("{method} {theirs}");
                let theirs = status(stranger.call(method, theirs).await, &what);
                let none = status(stranger.call(method, none).await, &what);
                assert_eq!(visible(&theirs, order), visible(&none, &nobodys), "{what}");
            }
        }
    }
    // By the names that people use: the shop's number and id, and the engine's own number.
    let mut named = shop.order(&[("MUG", 1)]);
    (named["order_number"], named["external_id"]) = (json!("N-1001"), json!("theirs"));
    let id = named["order_id"].as_str().unwrap().to_owned();
    shop.service.orders("PlaceOrder", named).await.unwrap();
    shop.until(&id, "CONFIRMED").await;
    shop.settled().await;
    let number = shop.get(&confirmed).await["order_number"].as_str().unwrap().to_owned();
    let last = if number.ends_with('2') { "3" } else { "2" };
    let nobodys = format!("{}{last}", &number[..number.len() - 1]);
    for (theirs, none) in [
        (json!({ "order_number": "N-1001" }), json!({ "order_number": "N-1002" })),
        (json!({ "order_number": number }), json!({ "order_number": nobodys })),
        (json!({ "external_id": "theirs" }), json!({ "external_id": "nobodys" })),
        (
            json!({ "external_id": "theirs", "version": 9 }),
            json!({ "external_id": "nobodys", "version": 9 }),
        ),
    ] {
        for _ in 0..2 {
            let what = format!("GetOrder {theirs}");
            shop.ops.orders("GetOrder", json!({ "order_id": id })).await.unwrap();
            let theirs = status(stranger.orders("GetOrder", theirs.clone()).await, &what);
            let none = status(stranger.orders("GetOrder", none.clone()).await, &what);
            assert_eq!(theirs.code(), tonic::Code::NotFound, "{what}: {theirs}");
            assert_eq!(visible(&theirs, &id), visible(&none, &id), "{what}");
        }
    }
    // Lists and streams by their ids are equally empty.
    for order in [&confirmed, &Uuid::now_v7().to_string()] {
        let watched = json!({ "order_ids": [order], "from_beginning": true });
        let mut stream =
            stranger.stream("orders.v1.OrderService/WatchOrders", watched).await.unwrap();
        let first = stream.next().await.unwrap().unwrap();
        assert!(first["change"].is_null(), "{first}");
    }
    let listed = stranger.orders("ListOrders", json!({})).await.unwrap();
    assert!(listed["orders"].as_array().is_none_or(Vec::is_empty), "{listed}");
    shop.close().await;
}

fn position(place: &Value) -> u64 {
    let position = &place["position"];
    position.as_u64().unwrap_or_else(|| position.as_str().unwrap().parse().unwrap())
}

async fn place_of(client: &Client, order: &str) -> Value {
    client.orders("GetOrder", json!({ "order_id": order })).await.unwrap()["position"].take()
}

async fn positions_reveal_no_counts_to_a_customer(mut shop: Shop) {
    let mut shown = Vec::new();
    let mut orders = Vec::new();
    for _ in 0..5 {
        let placed = shop.buyer.orders("PlaceOrder", shop.order(&[("MUG", 1)])).await.unwrap();
        shown.push(placed["position"].clone());
        let order = placed["order"]["order_id"].as_str().unwrap().to_owned();
        shop.until(&order, "CANCELLED").await;
        orders.push(order);
    }
    shop.settled().await;
    let journal = "orders.v1.JournalService/ListOrderEvents";
    for order in &orders {
        let (theirs, true_one) =
            (place_of(&shop.buyer, order).await, place_of(&shop.ops, order).await);
        assert_eq!(theirs["shard"], true_one["shard"]);
        assert!(position(&true_one) < 100, "{true_one}");
        let events = shop.buyer.call(journal, json!({ "order_id": order })).await.unwrap();
        let events = events["events"].as_array().unwrap().clone();
        assert_eq!(events.last().unwrap()["position"]["position"], theirs["position"]);
        shown.extend(events.into_iter().map(|mut event| event["position"].take()));
        shown.push(theirs);
    }
    let watch = "orders.v1.OrderService/WatchOrders";
    let from_beginning = json!({ "from_beginning": true });
    let mut stream = shop.buyer.stream(watch, from_beginning).await.unwrap();
    let mut changes = Vec::new();
    while changes.len() < 10 {
        let item = stream.next().await.unwrap().unwrap();
        let through = item["progress"]["through"].as_array().cloned().unwrap_or_default();
        shown.extend(through.into_iter().filter(|place| position(place) > 0));
        if !item["change"].is_null() {
            changes.push(item["change"]["position"].clone());
        }
    }
    shown.extend(changes.clone());
    drop(stream);
    let mut stream = shop.buyer.stream(watch, json!({})).await.unwrap();
    let heads = stream.next().await.unwrap().unwrap()["progress"]["through"].take();
    shown.extend(heads.as_array().unwrap().iter().filter(|place| position(place) > 0).cloned());
    for place in &shown {
        assert!(position(place) > 1 << 32, "{place}");
    }

    // A position that was shown leads back to where it was, also after a restart.
    for _ in 0..2 {
        for place in &shown {
            let listed = shop.buyer.orders("ListOrders", json!({ "at_least": place })).await;
            assert_eq!(listed.unwrap()["orders"].as_array().unwrap().len(), 5);
        }
        let after = json!({ "after": [changes[0]], "from_beginning": true });
        let mut stream = shop.buyer.stream(watch, after).await.unwrap();
        let mut again = Vec::new();
        while again.len() < 9 {
            let item = stream.next().await.unwrap().unwrap();
            if !item["change"].is_null() {
                again.push(item["change"]["position"].clone());
            }
        }
        let mut wanted: Vec<u64> = changes[1..].iter().map(position).collect();
        let mut again: Vec<u64> = again.iter().map(position).collect();
        wanted.sort_unstable();
        again.sort_unstable();
        assert_eq!(again, wanted);
        shop.restart(|_| ()).await;
    }
    // Numbers that were never shown are refused, near or far.
    let shard = &changes[0]["shard"];
    for number in [1_u64, 5, 1 << 40, u64::MAX] {
        let place = json!({ "shard": shard, "position": number });
        let refused = shop.buyer.refused("ListOrders", json!({ "at_least": place })).await;
        assert_eq!(refused, "HISTORY_FORKED", "{number}");
        let watched = shop.buyer.stream(watch, json!({ "after": [place] })).await;
        let refused = match watched {
            Err(failure) => failure,
            Ok(mut stream) => stream.next().await.unwrap().unwrap_err(),
        };
        assert_eq!(refused.reason(), "HISTORY_FORKED", "{number}");
    }
    shop.close().await;
}

on_both!(
    an_order_of_another_customer_is_refused_like_a_missing_one,
    positions_reveal_no_counts_to_a_customer,
);
