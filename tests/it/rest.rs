//! Calls by HTTP with JSON: the same calls as by gRPC.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::http::Http;
use crate::shop::{On, Shop, on_both};
use crate::socket::Socket;
use crate::support::PATIENCE;

on_both!(
    an_order_lives_by_http,
    a_key_makes_a_repeat_recognisable,
    a_watch_is_resumed_without_a_gap,
    operators_have_routes,
    events_of_a_part_of_time_are_read
);

/// The caller, as callers without a token name themselves.
fn as_customer(shop: &Shop) -> [(&'static str, String); 2] {
    [("ordinal-role", "customer".to_owned()), ("ordinal-subject", shop.customer.to_string())]
}

async fn an_order_lives_by_http(shop: Shop) {
    let mut http = Http::connect(&shop.address).await;
    let stock = http.json("PUT /v1/stock/MUG", &[], &json!({ "on_hand": 10 })).await;
    assert_eq!((stock.status, &stock.json()["stock"]["on_hand"]), (200, &json!("10")));
    let customer = as_customer(&shop);
    let buyer: Vec<(&str, &str)> = customer.iter().map(|(k, v)| (*k, v.as_str())).collect();

    let placed = http.json("POST /v1/orders", &buyer, &shop.order(&[("MUG", 3)])).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let order = placed.json()["order"].clone();
    let id = order["order_id"].as_str().unwrap().to_owned();
    assert_eq!(placed.headers["location"], format!("/v1/orders/{id}"));
    assert_eq!(order["total"]["units"], "30");
    shop.until(&id, "CONFIRMED").await;

    let place = format!("GET /v1/orders/{id}");
    let got = http.call(&place, &buyer).await;
    assert_eq!(got.json()["order"]["status"], "ORDER_STATUS_CONFIRMED");
    let etag = got.headers["etag"].clone();
    assert_eq!(etag, format!("{:?}", got.json()["order"]["version"].as_str().unwrap()));
    let unchanged = http.call(&place, &[&buyer[..], &[("if-none-match", &etag)]].concat()).await;
    assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
    let first = http.call(&format!("{place}?version=1"), &buyer).await;
    assert_eq!(first.json()["order"]["status"], "ORDER_STATUS_PENDING");
    // Somebody else's order does not exist.
    let stranger = Uuid::now_v7().to_string();
    let other = [("ordinal-role", "customer"), ("ordinal-subject", stranger.as_str())];
    let hidden = http.call(&place, &other).await;
    assert_eq!((hidden.status, hidden.code().as_str()), (404, "NOT_FOUND"));

    shop.settled().await;
    let listed = http.call("GET /v1/orders?statuses=confirmed&page_size=5", &buyer).await;
    assert_eq!(listed.json()["orders"][0]["order_id"], id.as_str());
    let events = http.call(&format!("{place}/events"), &buyer).await;
    assert_eq!(events.json()["events"][0]["event"]["name"], "OrderPlaced");
    let diff = http.call(&format!("{place}:diff?from_version=1&to_version=2"), &buyer).await;
    assert_eq!(diff.json()["to_version"], "2", "{diff:?}");

    // Numbers that JavaScript would round survive, as numbers and as texts.
    for large in [json!(9_007_199_254_740_993_i64), json!("9007199254740993")] {
        let mut order = shop.order(&[("GOLD", 1)]);
        order["lines"][0]["unit_price"]["units"] = large;
        let placed = http.json("POST /v1/orders", &buyer, &order).await;
        assert_eq!(placed.json()["order"]["total"]["units"], "9007199254740993", "{placed:?}");
    }

    // A precondition that does not hold changes nothing.
    let cancel = format!("POST /v1/orders/{id}:cancel");
    let body = json!({ "lines": [{ "line": 1, "quantity": 1 }] });
    let stale = [&buyer[..], &[("if-match", "\"1\"")]].concat();
    let refused = http.json(&cancel, &stale, &body).await;
    assert_eq!((refused.status, refused.code().as_str()), (412, "VERSION_MISMATCH"));
    let preview = http.json(&format!("{cancel}?validate_only=true"), &buyer, &body).await;
    assert_eq!(preview.json()["events"][0]["name"], "LinesCancelled", "{preview:?}");
    let fresh = [&buyer[..], &[("if-match", etag.as_str())]].concat();
    let cancelled = http.json(&cancel, &fresh, &body).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");

    let shipped = http
        .json(&format!("POST /v1/orders/{id}/shipments"), &[], &json!({ "carrier": "Royal Mail" }))
        .await;
    assert_eq!(shipped.status, 201, "{shipped:?}");
    let asked = json!({ "lines": [{ "line": 1, "quantity": 2 }], "reason": "too small" });
    let asked = http.json(&format!("POST /v1/orders/{id}/returns"), &buyer, &asked).await;
    let returned = asked.json()["order"]["pending_returns"][0]["return_id"].clone();
    let returned = returned.as_str().unwrap();
    let forbidden =
        http.text(&format!("POST /v1/orders/{id}/returns/{returned}:approve"), &buyer, "").await;
    assert_eq!((forbidden.status, forbidden.code().as_str()), (403, "FORBIDDEN"));
    let approved =
        http.text(&format!("POST /v1/orders/{id}/returns/{returned}:approve"), &[], "").await;
    assert_eq!(approved.json()["order"]["status"], "ORDER_STATUS_RETURNED", "{approved:?}");
    let late = http.text(&cancel, &buyer, "{}").await;
    assert_eq!((late.status, late.code().as_str()), (409, "INVALID_TRANSITION"));
    assert_eq!(late.json()["metadata"]["from"], "RETURNED");
    let note =
        http.json(&format!("POST /v1/orders/{id}/notes"), &[], &json!({ "text": "x" })).await;
    assert_eq!(note.status, 201, "{note:?}");
    shop.settled().await;
    let told = http.call(&format!("{place}/notifications"), &[]).await;
    assert_eq!(told.json()["notifications"][0]["kind"], "RECEIVED", "{told:?}");
    let held = http.call(&format!("{place}/reservation"), &[]).await;
    assert_eq!(held.json()["reservation"]["lines"][0]["restocked"], 2, "{held:?}");
    shop.close().await;
}

async fn a_key_makes_a_repeat_recognisable(shop: Shop) {
    let mut http = Http::connect(&shop.address).await;
    let customer = as_customer(&shop);
    let mut buyer: Vec<(&str, &str)> = customer.iter().map(|(k, v)| (*k, v.as_str())).collect();
    buyer.push(("idempotency-key", "cart-17"));
    let mut body = shop.order(&[("MUG", 1)]);
    body.as_object_mut().unwrap().remove("order_id");
    let first = http.json("POST /v1/orders", &buyer, &body).await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = http.json("POST /v1/orders", &buyer, &body).await;
    assert_eq!((again.status, again.headers["ordinal-replayed"].as_str()), (200, "true"));
    assert_eq!(again.json()["order"]["order_id"], first.json()["order"]["order_id"]);
    body["lines"][0]["quantity"] = json!(2);
    let other = http.json("POST /v1/orders", &buyer, &body).await;
    assert_eq!((other.status, other.code().as_str()), (422, "IDEMPOTENCY_KEY_REUSED"), "{other:?}");
    // So it is with an order id of the client's own; to another order the key is another one.
    let mut named = shop.order(&[("MUG", 1)]);
    assert_eq!(http.json("POST /v1/orders", &buyer, &named).await.status, 201);
    assert_eq!(http.json("POST /v1/orders", &buyer, &named).await.status, 200);
    named["lines"][0]["quantity"] = json!(2);
    let other = http.json("POST /v1/orders", &buyer, &named).await;
    assert_eq!((other.status, other.code().as_str()), (422, "IDEMPOTENCY_KEY_REUSED"), "{other:?}");
    // The same key of another caller is another key.
    let stranger = Uuid::now_v7().to_string();
    body["customer_id"] = json!(stranger);
    let theirs = [
        ("ordinal-role", "customer"),
        ("ordinal-subject", stranger.as_str()),
        ("idempotency-key", "cart-17"),
    ];
    let theirs = http.json("POST /v1/orders", &theirs, &body).await;
    assert_eq!(theirs.status, 201, "{theirs:?}");
    shop.settled().await;
    let listed = http.call("GET /v1/orders", &[]).await;
    assert_eq!(listed.json()["orders"].as_array().unwrap().len(), 3);

    // The same key for another command.
    let id = first.json()["order"]["order_id"].as_str().unwrap().to_owned();
    let key = "018f6f3e-0000-7000-8000-00000000000a";
    let note = json!({ "text": "one" });
    let with_key = [("idempotency-key", key)];
    let path = format!("POST /v1/orders/{id}/notes");
    assert_eq!(http.json(&path, &with_key, &note).await.status, 201);
    assert_eq!(http.json(&path, &with_key, &note).await.status, 200);
    let reused = http.json(&path, &with_key, &json!({ "text": "two" })).await;
    assert_eq!((reused.status, reused.code().as_str()), (422, "IDEMPOTENCY_KEY_REUSED"));
    shop.close().await;
}

/// The events of a part of a stream: their ids, kinds and data.
pub fn events(text: &str) -> Vec<(String, String, Value)> {
    let field = |event: &str, name: &str| {
        let lines = event.lines().filter_map(|line| line.strip_prefix(name));
        lines.collect::<String>()
    };
    let parts = text.split_terminator("\n\n").filter(|part| !part.starts_with(':'));
    parts
        .map(|part| {
            let data = serde_json::from_str(&field(part, "data: ")).unwrap();
            (field(part, "id: "), field(part, "event: "), data)
        })
        .collect()
}

async fn a_watch_is_resumed_without_a_gap(shop: Shop) {
    let customer = as_customer(&shop);
    let buyer: Vec<(&str, &str)> = customer.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let watch = async |id: &str| {
        let mut http = Http::connect(&shop.address).await;
        let more = [("accept", "text/event-stream"), ("accept-encoding", "gzip")];
        let mut headers = [&buyer[..], &more].concat();
        if !id.is_empty() {
            headers.push(("last-event-id", id));
        }
        http.head("GET /v1/orders:watch", &headers).await;
        let answer = http.answered().await;
        assert_eq!(answer.headers["content-type"], "text/event-stream", "{answer:?}");
        assert!(!answer.headers.contains_key("content-encoding"));
        http
    };
    // The changes of so many versions of an order, and the last id.
    let changes = async |http: &mut Http, versions: usize| {
        let (mut seen, mut last) = (Vec::new(), String::new());
        while seen.len() < versions {
            for (id, kind, data) in events(&http.chunk().await.unwrap()) {
                last = id;
                if kind == "change" {
                    seen.push(data["change"]["event"]["name"].as_str().unwrap().to_owned());
                }
            }
        }
        (seen, last)
    };
    let mut live = watch("").await;
    let begun = events(&live.chunk().await.unwrap());
    assert_eq!(begun[0].1, "progress");
    // What happens while nobody watches is not missed, also in shards that were empty.
    drop(live);
    let id = shop.place(&[("MUG", 1)]).await;
    let mut live = watch(&begun[0].0).await;
    let (seen, last) = changes(&mut live, 1).await;
    assert_eq!(seen, ["OrderPlaced"]);
    shop.until(&id, "CANCELLED").await;
    drop(live);
    let mut live = watch(&last).await;
    let (seen, _) = changes(&mut live, 1).await;
    assert_eq!(seen, ["OrderCancelled"]);
    // A stop ends the stream, and says so.
    let address = shop.address.clone();
    let stopping = tokio::time::Instant::now();
    let closing = async {
        shop.close().await;
    };
    let ending = async {
        let mut rest = String::new();
        while let Some(chunk) = live.chunk().await {
            rest.push_str(&chunk);
        }
        rest
    };
    let ((), rest) = tokio::join!(closing, ending);
    let (_, kind, data) = events(&rest).pop().unwrap();
    assert_eq!((kind.as_str(), &data["code"]), ("problem", &json!("STOPPING")), "{address}");
    assert!(stopping.elapsed() < 2 * PATIENCE);
}

async fn operators_have_routes(shop: Shop) {
    let mut http = Http::connect(&shop.address).await;
    shop.set_stock("A/B:1", 5).await;
    let adjusted = json!({ "delta": "-2", "reason": "broken" });
    let adjusted = http.json("POST /v1/stock/A%2FB%3A1:adjust", &[], &adjusted).await;
    assert_eq!(adjusted.json()["stock"]["on_hand"], "3", "{adjusted:?}");
    let text = json!({ "on_hand": 7, "expected_on_hand": "9" });
    let mismatch = http.json("PUT /v1/stock/A%2FB%3A1", &[], &text).await;
    assert_eq!((mismatch.status, mismatch.code().as_str()), (409, "ON_HAND_MISMATCH"));
    let movements = http.call("GET /v1/stock/A%2FB%3A1/movements", &[]).await;
    assert_eq!(movements.json()["movements"][0]["on_hand_change"], "-2", "{movements:?}");
    // The units that somebody has seen are a version of stock.
    let (stock, adjust) = ("/v1/stock/A%2FB%3A1", "POST /v1/stock/A%2FB%3A1:adjust");
    let seen = http.call(&format!("GET {stock}"), &[]).await;
    assert_eq!(seen.headers["etag"], "\"3\"", "{seen:?}");
    let same = http.call(&format!("GET {stock}"), &[("if-none-match", "\"3\"")]).await;
    assert_eq!((same.status, &same.json()["stock"]["on_hand"]), (200, &json!("3")));
    let put = format!("PUT {stock}");
    for (line, body) in [(put.as_str(), json!({ "on_hand": 7 })), (adjust, json!({ "delta": 4 }))] {
        let stale = http.json(line, &[("if-match", "\"9\"")], &body).await;
        assert_eq!((stale.status, stale.code().as_str()), (412, "ON_HAND_MISMATCH"), "{line}");
        let mut other = body.clone();
        other["expected_on_hand"] = json!(9);
        let other = http.json(line, &[("if-match", "\"3\"")], &other).await;
        assert_eq!(other.json()["errors"][0]["field"], "If-Match", "{line}: {other:?}");
        let fresh = http.json(line, &[("if-match", "\"3\"")], &body).await;
        assert_eq!((fresh.status, fresh.headers["etag"].as_str()), (200, "\"7\""), "{line}");
        let again = http.json(adjust, &[], &json!({ "delta": -4 })).await;
        assert_eq!(again.headers["etag"], "\"3\"", "{again:?}");
    }
    let followers = http.call("GET /v1/followers", &[]).await;
    let followers = followers.json()["followers"].take();
    let names = followers.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap());
    let names: Vec<&str> = names.collect();
    for name in ["stock", "stock-answers", "notifications", "payments", "ledger-entries"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let paused =
        http.json("POST /v1/followers/stock:pause", &[], &json!({ "reason": "counting" })).await;
    assert_eq!(paused.status, 200, "{paused:?}");
    let resumed = http.text("POST /v1/followers/stock:resume", &[], "").await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    let actions = http.call("GET /v1/operator-actions?page_size=1", &[]).await;
    assert_eq!(actions.json()["actions"][0]["verb"], "RESUME_FOLLOWER");
    for path in [
        "/v1/health",
        "/v1/journal",
        "/v1/quarantined",
        "/v1/dead-letters",
        "/v1/notifications",
        "/v1/stock",
        "/v1/facts:heads?source=/ordinal/orders",
    ] {
        let answer = http.call(&format!("GET {path}"), &[]).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let id = shop.place(&[("A/B:1", 1)]).await;
    shop.until(&id, "CONFIRMED").await;
    let read = http.call("GET /v1/events?limit=2", &[]).await;
    assert_eq!(read.headers["content-type"], "application/x-ndjson");
    let last: Value = serde_json::from_str(read.text.lines().last().unwrap()).unwrap();
    assert_eq!(last["end"], json!({}), "{}", read.text);
    let cursor = last["cursor"].as_str().unwrap();
    let rest = http.call(&format!("GET /v1/events?after={cursor}"), &[]).await;
    assert!(!rest.text.contains("OrderPlaced"), "{}", rest.text);
    let facts = http.call("GET /v1/facts?source=/ordinal/orders", &[]).await;
    assert!(facts.text.contains("order.created.v1"), "{}", facts.text);
    shop.close().await;
}

async fn events_of_a_part_of_time_are_read(shop: Shop) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = shop.place(&[("MUG", 1)]).await;
        shop.until(&id, "CANCELLED").await;
        ids.push(id);
        shop.advance(Duration::from_secs(60 * 60));
    }
    let mut http = Http::connect(&shop.address).await;
    let (from, until) =
        ("recorded_from=2026-03-02T09:30:00Z", "recorded_until=2026-03-02T10:30:00Z");
    let both = format!("{from}&{until}");
    for (query, expected) in [
        ("", [true, true, true]),
        (from, [false, true, true]),
        (until, [true, true, false]),
        (both.as_str(), [false, true, false]),
    ] {
        let read = http.call(&format!("GET /v1/events?{query}"), &[]).await;
        let seen: Vec<bool> = ids.iter().map(|id| read.text.contains(id)).collect();
        assert_eq!((read.status, seen.as_slice()), (200, &expected[..]), "{query}");
        let last: Value = serde_json::from_str(read.text.lines().last().unwrap()).unwrap();
        assert_eq!(last["end"], json!({}), "{query}");
    }
    // A read goes on after what it has passed over.
    let one = http.call(&format!("GET /v1/events?{from}&limit=1"), &[]).await;
    let events = one.text.lines().filter(|line| line.starts_with("{\"event\":"));
    assert_eq!(events.count(), 1, "{}", one.text);
    assert!(one.text.contains(&ids[1]) || one.text.contains(&ids[2]), "{}", one.text);
    for query in
        [format!("{until}&live=true"), format!("{from}&recorded_until=2026-03-02T09:30:00Z")]
    {
        let refused = http.call(&format!("GET /v1/events?{query}"), &[]).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "INVALID_FIELD"), "{query}");
        assert_eq!(refused.json()["errors"][0]["field"], "recorded_until", "{query}");
    }
    shop.close().await;
}

/// Connect, and gRPC-Web, at the path of a method: access is that of the method.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_browsers_are_answered_as_they_expect() {
    let shop = Shop::open(On::Sqlite).await;
    let id = shop.place(&[("MUG", 1)]).await;
    let mut http = Http::connect(&shop.address).await;
    let get = "POST /ordinal.orders.v1.OrderService/GetOrder";
    let got = http.json(get, &[], &json!({ "orderId": id })).await;
    assert_eq!(got.json()["order"]["order_id"], id.as_str(), "{got:?}");
    let stranger = Uuid::now_v7().to_string();
    let other = [("ordinal-role", "customer"), ("ordinal-subject", stranger.as_str())];
    let hidden = http.json(get, &other, &json!({ "orderId": id })).await;
    assert_eq!((hidden.status, &hidden.json()["code"]), (404, &json!("not_found")));
    assert_eq!(hidden.json()["details"][0]["type"], "google.rpc.ErrorInfo");
    let admin = "POST /ordinal.admin.v1.AdminService/ListFollowers";
    let denied = http.json(admin, &other, &json!({})).await;
    assert_eq!((denied.status, &denied.json()["code"]), (403, &json!("permission_denied")));
    let web = [&other[..], &[("content-type", "application/grpc-web-text")]].concat();
    let denied = http.text(admin, &web, "AAAAAAA=").await;
    assert_eq!(
        (denied.status, denied.headers["content-type"].as_str()),
        (200, "application/grpc-web-text+proto")
    );
    assert!(!denied.headers.contains_key("grpc-status"), "{denied:?}");
    // Health has no route and is served; what is no call to a method is none by gRPC-Web, either.
    let health = http.text("POST /grpc.health.v1.Health/Check", &web, "AAAAAAA=").await;
    assert_eq!(health.headers["content-type"], "application/grpc-web-text+proto", "{health:?}");
    for (line, expected) in [
        ("GET /v1/nowhere", (404, "ROUTE_NOT_FOUND")),
        ("POST /v1/nowhere", (404, "ROUTE_NOT_FOUND")),
        ("GET /ordinal.orders.v1.OrderService/ListOrders", (405, "METHOD_NOT_ALLOWED")),
        ("PUT /ordinal.orders.v1.OrderService/ListOrders", (405, "METHOD_NOT_ALLOWED")),
        ("GET /grpc.health.v1.Health/Check", (405, "METHOD_NOT_ALLOWED")),
        ("POST /v1/orders", (415, "UNSUPPORTED_MEDIA_TYPE")),
    ] {
        let mut http = Http::connect(&shop.address).await;
        let refused = http.text(line, &web, "AAAAAAA=").await;
        assert_eq!((refused.status, refused.code().as_str()), expected, "{line}: {refused:?}");
    }
    let evil = [("host", "evil.example"), ("content-type", "application/grpc-web-text")];
    assert_eq!(http.text(admin, &evil, "AAAAAAA=").await.status, 421);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_by_lines_are_answered_by_lines() {
    let shop = Shop::open(On::Sqlite).await;
    let mut http = Http::connect(&shop.address).await;
    shop.set_stock("MUG", 10).await;
    let mut lines = String::new();
    for tag in 1..=20 {
        let place = shop.order(&[("MUG", 1)]);
        lines.push_str(&json!({ "tag": tag, "place_order": place }).to_string());
        lines.push('\n');
    }
    lines.push_str(
        &json!({ "tag": 21, "cancel_order": { "order_id": Uuid::now_v7() } }).to_string(),
    );
    let ndjson = [("content-type", "application/x-ndjson")];
    let answer = http.text("POST /v1/orders:batch", &ndjson, &lines).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answers: Vec<Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 22, "{answer:?}");
    let refused = answers.iter().find(|answer| answer["tag"] == "21").unwrap();
    assert_eq!(refused["refused"]["details"][0]["reason"], "NOT_FOUND", "{refused}");
    assert_eq!(answers.last().unwrap(), &json!({ "end": {} }));
    shop.close().await;
}

/// Whoever gives a field twice, or a number that JSON rounds, learns it, and nothing is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_read_as_it_is_written_or_refused() {
    let shop = Shop::open(On::Sqlite).await;
    let mut http = Http::connect(&shop.address).await;
    let place = shop.order(&[("MUG", 1)]).to_string();
    let twice = place.replacen("\"quantity\":1", "\"quantity\":1,\"quantity\":5", 1);
    let aliased = place.replacen('{', "{\"orderId\":\"018f6f3e-0000-7000-8000-00000000000a\",", 1);
    assert!(twice != place && aliased != place);
    for (line, body, field) in [
        ("POST /v1/orders", twice.as_str(), "lines[0].quantity"),
        ("POST /v1/orders", aliased.as_str(), "order_id"),
        ("PUT /v1/stock/MUG", r#"{"on_hand": 1, "onHand": 5}"#, "onHand"),
        ("PUT /v1/stock/MUG", r#"{"on_hand": 9007199254740993.0}"#, "on_hand"),
        ("PUT /v1/stock/MUG", r#"{"on_hand": 18446744073709551616}"#, "on_hand"),
        ("PUT /v1/stock/MUG", r#"{"on_hand": 0.5}"#, "on_hand"),
    ] {
        let refused = http.text(line, &[], body).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "INVALID_FIELD"), "{body}");
        assert_eq!(refused.json()["errors"][0]["field"], field, "{body}");
    }
    let call = "POST /ordinal.orders.v1.OrderService/PlaceOrder";
    let refused = http.text(call, &[], &twice).await;
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_argument")));
    let good = json!({ "tag": 1, "place_order": shop.order(&[("MUG", 1)]) });
    let lines = format!("{good}\n{{\"tag\": 18446744073709551616, \"place_order\": {place}}}\n");
    let ndjson = [("content-type", "application/x-ndjson")];
    let answer = http.text("POST /v1/orders:batch", &ndjson, &lines).await;
    let last: Value = serde_json::from_str(answer.text.lines().last().unwrap()).unwrap();
    assert_eq!(last["problem"]["errors"][0]["field"], "tag", "{last}");
    assert_eq!(last["problem"]["metadata"]["line"], "2", "{last}");
    let mut socket = Socket::open(&shop.address, &[]).await;
    let watch = r#"{"watch": {"order_ids": "a", "order_ids": "b"}, "id": "a"}"#;
    socket.send(Message::text(watch)).await;
    let refused = socket.next().await.unwrap();
    assert_eq!(refused["problem"]["detail"], "watch.order_ids: given twice", "{refused}");
    // Only what was read was done.
    shop.settled().await;
    let listed = http.call("GET /v1/orders", &[]).await;
    assert_eq!(listed.json()["orders"].as_array().unwrap().len(), 1);
    assert_eq!(http.call("GET /v1/stock/MUG", &[]).await.status, 404);
    let whole = http.text("PUT /v1/stock/MUG", &[], r#"{"on_hand": 4.0}"#).await;
    assert_eq!(whole.json()["stock"]["on_hand"], "4", "{whole:?}");
    shop.close().await;
}
