//! Several watches on one WebSocket, through the real edge.

use std::collections::BTreeSet;
use std::time::Duration;

use ordinal::access::Access;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::http::Http;
use crate::issuer::{Issuer, SECOND};
use crate::shop::{On, Shop, on_both};
use crate::socket::Socket;

on_both!(
    several_watches_share_a_socket,
    a_watch_of_a_socket_is_resumed_without_a_gap,
    a_wallet_is_watched_beside_orders,
);

/// The watch and the event of a change.
fn change(message: &Value) -> (&str, &str) {
    let event = message["change"]["event"]["name"].as_str();
    (message["id"].as_str().unwrap(), event.unwrap_or_else(|| panic!("{message}")))
}

async fn several_watches_share_a_socket(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    let customer = shop.customer.to_string();
    let buyer = [("ordinal-role", "customer"), ("ordinal-subject", customer.as_str())];
    let one = shop.place(&[("MUG", 1)]).await;
    shop.until(&one, "CONFIRMED").await;
    let mut socket = Socket::open(&shop.address, &buyer).await;
    socket.say(json!({ "watch": { "order_ids": [one] }, "id": "one" })).await;
    assert_eq!(socket.next().await.unwrap()["id"], "one");
    socket.say(json!({ "watch": {}, "id": "all" })).await;
    let begun = socket.next().await.unwrap();
    assert!(begun["id"] == "all" && begun["progress"].is_object(), "{begun}");
    assert!(begun["cursor"].is_string());
    // Each watch says what it is about, and nothing of others.
    let two = shop.place(&[("MUG", 1)]).await;
    let placed = socket.news().await;
    assert_eq!(change(&placed), ("all", "OrderPlaced"));
    assert_eq!(placed["change"]["order"]["order_id"], json!(two));
    assert_eq!(change(&socket.news().await), ("all", "OrderConfirmed"));
    let cancel = json!({ "order_id": one });
    shop.ops.call("orders.v1.OrderService/CancelOrder", cancel).await.unwrap();
    let [first, second] = [socket.news().await, socket.news().await];
    let mut seen = [change(&first), change(&second)];
    seen.sort_unstable();
    assert_eq!(seen, [("all", "OrderCancelled"), ("one", "OrderCancelled")]);
    // A watch that ends says where it was; the other goes on.
    socket.say(json!({ "unwatch": "all" })).await;
    let end = socket.news().await;
    assert!(end["id"] == "all" && end["end"].is_object() && end["cursor"].is_string(), "{end}");
    // Nobody sees the orders of another.
    let stranger = Uuid::now_v7().to_string();
    let stranger = [("ordinal-role", "customer"), ("ordinal-subject", stranger.as_str())];
    let mut other = Socket::open(&shop.address, &stranger).await;
    let filter = json!({ "order_ids": [one, two], "from_beginning": true });
    other.say(json!({ "watch": filter, "id": "a" })).await;
    assert!(other.next().await.unwrap()["progress"].is_object());
    other.say(json!({ "watch": { "customer_id": customer }, "id": "b" })).await;
    let refused = other.news().await;
    assert_eq!((&refused["id"], &refused["problem"]["code"]), (&json!("b"), &json!("FORBIDDEN")));
    shop.close().await;
}

async fn a_watch_of_a_socket_is_resumed_without_a_gap(shop: Shop) {
    let mut socket = Socket::open(&shop.address, &[]).await;
    socket.watch("a", None).await;
    let begun = socket.next().await.unwrap();
    drop(socket);
    let id = shop.place(&[("MUG", 1)]).await;
    let mut socket = Socket::open(&shop.address, &[]).await;
    socket.watch("a", begun["cursor"].as_str()).await;
    let placed = socket.news().await;
    assert_eq!(change(&placed), ("a", "OrderPlaced"));
    shop.until(&id, "CANCELLED").await;
    // On the same socket, and as a stream of events: a cursor is a cursor.
    socket.watch("again", placed["cursor"].as_str()).await;
    for _ in 0..2 {
        assert_eq!(change(&socket.news().await).1, "OrderCancelled");
    }
    let mut http = Http::connect(&shop.address).await;
    let after = [("last-event-id", placed["cursor"].as_str().unwrap())];
    http.head("GET /v1/orders:watch", &after).await;
    assert_eq!(http.answered().await.status, 200);
    while !http.chunk().await.unwrap().contains("OrderCancelled") {}
    // A stop ends each watch, and says so.
    let closing = shop.close();
    let ending = async {
        let mut ends = Vec::new();
        loop {
            match socket.next().await {
                Ok(message) if message.get("problem").is_some() => {
                    assert_eq!(message["problem"]["code"], "STOPPING", "{message}");
                    assert!(message["cursor"].is_string());
                    ends.push(message["id"].clone());
                }
                Ok(_) => {}
                Err(closed) => return (ends, closed),
            }
        }
    };
    let ((), (mut ends, closed)) = tokio::join!(closing, ending);
    ends.sort_by_key(ToString::to_string);
    assert_eq!((ends, closed), (vec![json!("a"), json!("again")], Some(1001)));
}

async fn a_wallet_is_watched_beside_orders(shop: Shop) {
    let customer = shop.customer.to_string();
    let buyer = [("ordinal-role", "customer"), ("ordinal-subject", customer.as_str())];
    let top_up = async |units: i64| {
        let amount = json!({ "currency_code": "GBP", "units": units });
        let entry_id = Uuid::now_v7();
        let request = json!({ "customer_id": customer, "entry_id": entry_id, "amount": amount });
        shop.service.call("ledger.v1.WalletService/TopUpWallet", request).await.unwrap();
    };
    let own = json!({ "watch_wallet": customer, "id": "wallet" });
    let mut socket = Socket::open(&shop.address, &buyer).await;
    socket.watch("orders", None).await;
    assert!(socket.next().await.unwrap()["progress"].is_object());
    socket.say(own.clone()).await;
    let begun = socket.news().await;
    assert_eq!((&begun["id"], &begun["wallet"]["balances"]), (&json!("wallet"), &json!([])));
    assert!(begun.get("cursor").is_none(), "{begun}");
    top_up(50).await;
    let told = socket.news().await;
    let balance = &told["wallet"]["balances"][0];
    assert_eq!((&told["id"], &balance["available"]["units"]), (&json!("wallet"), &json!("50")));
    // Customers are told no positions of the book.
    assert_eq!(balance["position"], "0");
    let order = shop.place(&[("MUG", 1)]).await;
    let placed = socket.news().await;
    assert_eq!(change(&placed), ("orders", "OrderPlaced"));
    assert_eq!(placed["change"]["order"]["order_id"], json!(order));
    // One that begins anew begins with the whole wallet.
    drop(socket);
    top_up(7).await;
    let mut socket = Socket::open(&shop.address, &buyer).await;
    socket.say(own).await;
    let begun = socket.next().await.unwrap();
    assert_eq!(begun["wallet"]["balances"][0]["available"]["units"], "57", "{begun}");
    socket.say(json!({ "unwatch": "wallet" })).await;
    let end = socket.next().await.unwrap();
    assert!(end["id"] == "wallet" && end["end"].is_object(), "{end}");
    // Refused as by HTTP: another's wallet, an id that is none, a place to resume at.
    socket.say(json!({ "watch_wallet": Uuid::now_v7(), "id": "other" })).await;
    let refused = socket.next().await.unwrap();
    assert_eq!(
        (&refused["id"], &refused["problem"]["code"]),
        (&json!("other"), &json!("FORBIDDEN"))
    );
    let mut ops = Socket::open(&shop.address, &[]).await;
    for (message, field) in [
        (json!({ "watch_wallet": "x", "id": "a" }), "customer_id"),
        (json!({ "watch_wallet": customer, "id": "a", "after": "AQ" }), "after"),
    ] {
        ops.say(message.clone()).await;
        let refused = ops.next().await.unwrap();
        assert_eq!(refused["id"], "a", "{refused}");
        assert_eq!(refused["problem"]["errors"][0]["field"], field, "{message}: {refused}");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_opened_by_its_own_pages_and_programs_only() {
    let shop = Shop::open(On::Sqlite).await;
    let own = shop.address.clone();
    for (headers, status) in [
        (vec![("host", "evil.example")], 421),
        (vec![("origin", "http://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "websocket")], 403),
        (vec![("sec-websocket-protocol", "chat")], 406),
        (vec![("sec-websocket-version", "8")], 406),
    ] {
        let refused = Socket::try_open(&shop.address, &headers, None).await.err();
        assert_eq!(refused, Some(status), "{headers:?}");
    }
    let page = [("origin", own.as_str()), ("sec-websocket-protocol", "ordinal.live.v1")];
    let mut socket = Socket::open(&shop.address, &page).await;
    socket.watch("a", None).await;
    assert!(socket.next().await.unwrap()["progress"].is_object());
    // What is no socket, and what nobody may write into an address.
    let mut http = Http::connect(&shop.address).await;
    let upgrade = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (line, headers, status, code) in [
        ("GET /v1/live", &[][..], 406, "NOT_ACCEPTABLE"),
        ("POST /v1/live", &upgrade[..], 405, "METHOD_NOT_ALLOWED"),
        ("GET /v1/live?access_token=x", &upgrade[..], 400, "INVALID_FIELD"),
        ("GET /v1/live?order_ids=x", &upgrade[..], 400, "INVALID_FIELD"),
        ("GET /v1/live", &upgrade[..3], 400, "INVALID_FIELD"),
    ] {
        let answer = http.call(line, headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{line}");
    }
    let answer = http.call("GET /v1/live", &upgrade).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_says_is_bounded() {
    let shop = Shop::open(On::Sqlite).await;
    let mut socket = Socket::open(&shop.address, &[]).await;
    let problem = async |socket: &mut Socket, message: Value| {
        socket.say(message).await;
        let mut said = socket.news().await;
        let code = said["problem"]["code"].take();
        (said["id"].take(), code.as_str().unwrap_or_default().to_owned())
    };
    let invalid = "INVALID_FIELD".to_owned();
    for (message, id) in [
        (json!({ "watch": { "order_ids": ["x"] }, "id": "a" }), json!("a")),
        (json!({ "watch": { "order_idz": "x" }, "id": "a" }), json!("a")),
        (json!({ "watch": {}, "id": "a", "after": "no cursor" }), json!("a")),
        (json!({ "watch": {}, "id": "a", "after": "0:999999" }), json!("a")),
        (json!({ "watch": {}, "id": "x".repeat(65) }), Value::Null),
        (json!({ "unwatch": "b" }), json!("b")),
        (json!({ "wacth": {} }), Value::Null),
        (json!(["watch"]), Value::Null),
    ] {
        let said = problem(&mut socket, message.clone()).await;
        assert_eq!(said, (id, invalid.clone()), "{message}");
    }
    for number in 0..32 {
        socket.watch(&number.to_string(), None).await;
        assert!(socket.next().await.unwrap()["progress"].is_object());
    }
    let again = problem(&mut socket, json!({ "watch": {}, "id": "0" })).await;
    assert_eq!(again, (Value::Null, invalid));
    let full = problem(&mut socket, json!({ "watch": {}, "id": "more" })).await;
    assert_eq!(full, (json!("more"), "OVERLOADED".to_owned()));
    // What is no message at all ends the socket.
    socket.send(Message::binary(vec![0; 8])).await;
    assert_eq!(socket.next().await, Err(Some(1003)));
    let mut socket = Socket::open(&shop.address, &[]).await;
    socket.send(Message::text("x".repeat(1024 * 1024))).await;
    assert_eq!(socket.next().await, Err(Some(1009)));
    let mut socket = Socket::open(&shop.address, &[]).await;
    for _ in 0..16 {
        assert_eq!(problem(&mut socket, json!("x")).await.1, "INVALID_FIELD");
    }
    socket.say(json!("x")).await;
    assert_eq!(socket.next().await, Err(Some(1008)));
    // The streams of all of them are free again.
    shop.close().await;
}

/// The token is a message: browsers send no `Authorization` with a socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_with_its_token_and_goes_on_with_the_next() {
    let issuer = Issuer::open().await;
    let mut shop = Shop::open(On::Sqlite).await;
    let issuers = issuer.issuers();
    shop.restart(|settings| settings.access = Access::development().and_issuers(issuers)).await;
    let ops = crate::callers::with_token(&shop.address, issuer.ops()).await;
    let place = async || {
        let placed = ops.call("orders.v1.OrderService/PlaceOrder", shop.order(&[("MUG", 1)])).await;
        placed.unwrap()["order"]["order_id"].take()
    };
    let mut socket = Socket::open(&shop.address, &[("ordinal-role", "ops")]).await;
    socket.watch("a", None).await;
    assert_eq!(socket.next().await.unwrap()["problem"]["code"], "UNAUTHENTICATED");
    // Long enough for an order to be placed and seen meanwhile.
    let short = issuer.token(&json!({ "roles": ["ordinal-ops"], "exp": SECOND + 6 }));
    let begun = Instant::now();
    socket.say(json!({ "token": short })).await;
    socket.watch("a", None).await;
    assert!(socket.next().await.unwrap()["progress"].is_object());
    let first = place().await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    let ended = loop {
        let mut message = socket.news().await;
        if message.get("problem").is_some() {
            break message;
        }
        cursor = Some(message["cursor"].take());
        seen.push(message["change"]["order"]["order_id"].take());
    };
    assert!(seen.iter().all(|order| *order == first) && !seen.is_empty(), "{seen:?}");
    assert_eq!((&ended["id"], &ended["problem"]["code"]), (&json!("a"), &json!("TOKEN_EXPIRED")));
    assert_eq!(cursor.as_ref(), Some(&ended["cursor"]));
    let lasted = begun.elapsed();
    let due = Duration::from_millis(5_900)..Duration::from_secs(30);
    assert!(due.contains(&lasted), "{lasted:?}");
    // What happened between the two is in the second.
    let second = place().await;
    socket.say(json!({ "token": issuer.ops() })).await;
    socket.watch("a", ended["cursor"].as_str()).await;
    loop {
        let seen = socket.news().await;
        if change(&seen) == ("a", "OrderPlaced") {
            assert_eq!(seen["change"]["order"]["order_id"], second, "{seen}");
            break;
        }
    }
    // By a header, as programs send it.
    let token = format!("Bearer {}", issuer.customer(shop.customer));
    let mut socket = Socket::open(&shop.address, &[("authorization", &token)]).await;
    socket.watch("a", None).await;
    assert!(socket.next().await.unwrap()["progress"].is_object());
    shop.stop().await;
}

/// Orders of many lines, and a client that keeps little: nothing is kept for it here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_cut_to_a_resync_and_loses_nothing() {
    const ORDERS: usize = 5;
    let shop = Shop::open(On::Sqlite).await;
    let skus: Vec<String> = (0..600).map(|number| format!("SKU-{number}")).collect();
    let lines: Vec<(&str, u32)> = skus.iter().map(|sku| (sku.as_str(), 1)).collect();
    for _ in 0..ORDERS {
        shop.place(&lines).await;
    }
    // It is cut once it has taken nothing for five seconds; a slow engine begins to wait later.
    let pauses = [6, 15, 60].map(Duration::from_secs);
    let mut was_cut = false;
    for pause in pauses {
        was_cut = was_cut || read_after(&shop, ORDERS, pause).await;
    }
    assert!(was_cut);
    shop.close().await;
}

/// Ten watches of these orders on one socket that is read after a pause only. Whether any was cut;
/// each order comes once to each watch all the same.
async fn read_after(shop: &Shop, orders: usize, pause: Duration) -> bool {
    const WATCHES: usize = 10;
    let mut socket = Socket::open_small(&shop.address, 4 * 1024).await;
    for number in 0..WATCHES {
        let watch = json!({ "from_beginning": true });
        socket.say(json!({ "watch": watch, "id": number.to_string() })).await;
    }
    tokio::time::sleep(pause).await;
    let (mut placed, mut cut) = (BTreeSet::new(), false);
    while placed.len() < WATCHES * orders {
        let message = socket.news().await;
        let id = message["id"].as_str().unwrap().to_owned();
        if message.get("behind").is_some() {
            let begin = json!({ "from_beginning": true });
            let again = json!({ "watch": begin, "id": id, "after": message["cursor"] });
            socket.say(again).await;
            cut = true;
        } else if message["change"]["event"]["name"] == "OrderPlaced" {
            let order = message["change"]["order"]["order_id"].to_string();
            assert!(placed.insert((id, order)), "a change comes twice");
        }
    }
    cut
}
