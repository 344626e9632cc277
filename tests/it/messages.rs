//! What people and receivers of webhooks hear of orders, through a whole engine on both backends, and
//! on the command line. After each test of an engine every law must hold.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use notification::{Mail, SmsGateway};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shop::{Orders as _, Shop, on_both};
use crate::support::{Engine, PATIENCE, ordinal};

on_both!(
    a_mail_lists_what_a_shop_says_of_an_order,
    a_confirmation_goes_through_the_gateway,
    a_page_token_is_of_the_order_in_every_spelling,
);

const TOKEN: &str = "geheim-0123456789";

/// A call that a server got: its head and its body.
type Call = (String, String);

/// An HTTP server that answers with these statuses, and then with 200.
pub fn receiver(statuses: &[u16]) -> (String, Arc<Mutex<Vec<Call>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/calls", listener.local_addr().unwrap());
    let got: Arc<Mutex<Vec<Call>>> = Arc::default();
    let (calls, mut statuses) = (Arc::clone(&got), statuses.iter().copied().collect());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(10_000).flatten() {
            answer(stream, &mut statuses, &calls);
        }
    });
    (url, got)
}

/// Answers a call once it is counted: whoever is answered is sure to be among them.
fn answer(mut stream: TcpStream, statuses: &mut VecDeque<u16>, calls: &Mutex<Vec<Call>>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = Vec::new();
    let mut part = [0; 16_384];
    while let Ok(count @ 1..) = stream.read(&mut part) {
        request.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let mut lengths = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= lengths.next().unwrap().parse::<usize>().unwrap() {
            let status = statuses.pop_front().unwrap_or(200);
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            calls.lock().unwrap().push((head.to_owned(), body.to_owned()));
            let _ = stream.write_all(answer.as_bytes());
            return;
        }
    }
}

/// The text of a message about an order, once it is composed.
async fn text_of(shop: &Shop, order_id: &str, kind: &str) -> String {
    shop.settled().await;
    let ask = async |method: &str, request: Value| {
        let method = format!("notifications.v1.NotificationService/{method}");
        shop.ops.call(&method, request).await.unwrap()
    };
    let listed = ask("ListNotifications", json!({ "order_id": order_id })).await;
    let messages = listed["notifications"].as_array().unwrap().clone();
    let message = messages.iter().find(|message| message["kind"] == kind).unwrap();
    let id = json!({ "notification_id": message["notification_id"] });
    let found = ask("GetNotification", id).await;
    found["notification"]["body"].as_str().unwrap().to_owned()
}

fn gbp(minor: i64) -> Value {
    json!({ "currency_code": "GBP", "units": minor / 100, "nanos": minor % 100 * 10_000_000 })
}

async fn a_page_token_is_of_the_order_in_every_spelling(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    let id = shop.place(&[("MUG", 1)]).await;
    shop.until(&id, "CONFIRMED").await;
    assert_eq!(shop.message_kinds(&id).await, ["RECEIVED", "CONFIRMED"]);
    let method = "notifications.v1.NotificationService/ListNotifications";
    let first = json!({ "order_id": id, "page_size": 1 });
    let first = shop.ops.call(method, first).await.unwrap();
    let token = first["next_page_token"].as_str().unwrap();
    assert!(!token.is_empty(), "{first}");
    let next = json!({ "order_id": id.to_uppercase(), "page_size": 1, "page_token": token });
    let next = shop.ops.call(method, next).await.unwrap();
    assert_eq!(next["notifications"].as_array().unwrap().len(), 1, "{next}");
    assert_ne!(next["notifications"], first["notifications"]);
    let other = json!({ "order_id": shop.customer, "page_size": 1, "page_token": token });
    assert_eq!(shop.ops.call(method, other).await.unwrap_err().reason(), "INVALID_FIELD");
    shop.close().await;
}

/// Every later message names lines by the titles that the order was placed with.
async fn a_mail_lists_what_a_shop_says_of_an_order(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    shop.set_stock("PLATE", 5).await;
    let vat = |amount| json!([{ "name": "VAT", "rate_percent": "20", "amount": gbp(amount) }]);
    let mut order = shop.order(&[("MUG", 3), ("PLATE", 1)]);
    order["lines"][0]["unit_price"] = gbp(333);
    order["lines"][0]["title"] = json!("Mug, blue");
    order["lines"][0]["attributes"] = json!({ "size": "L" });
    order["lines"][0]["discounts"] = json!([{ "label": "3 for 2", "amount": gbp(50) }]);
    order["lines"][0]["taxes"] = vat(190);
    order["lines"][1]["unit_price"] = gbp(500);
    order["charges"] = json!([{
        "kind": "CHARGE_KIND_SHIPPING", "label": "Royal Mail", "amount": gbp(499), "taxes": vat(100),
    }]);
    let placed = shop.buyer.orders("PlaceOrder", order).await.unwrap();
    let id = placed["order"]["order_id"].as_str().unwrap();
    let received = text_of(&shop, id, "RECEIVED").await;
    let expected = "3 x Mug, blue (MUG), 3.33 GBP each: 11.39 GBP\n  size: L\n\
                    1 x PLATE, 5.00 GBP each: 5.00 GBP\nShipping (Royal Mail): 5.99 GBP\n\n\
                    Discounts: 0.50 GBP (already taken off)\nTax: 2.90 GBP (included)\n\
                    Total: 22.38 GBP\n";
    assert!(received.ends_with(expected), "{received}");
    shop.until(id, "CONFIRMED").await;
    let one = json!({ "order_id": id, "lines": [{ "line": 1, "quantity": 1 }] });
    shop.service.orders("FulfillOrder", one.clone()).await.unwrap();
    shop.buyer.orders("CancelOrder", one).await.unwrap();
    for kind in ["PARCEL_SHIPPED", "LINES_CANCELLED"] {
        let text = text_of(&shop, id, kind).await;
        assert!(text.contains("1 x Mug, blue (MUG)\n"), "{text}");
    }
    shop.close().await;
}

async fn a_confirmation_goes_through_the_gateway(mut shop: Shop) {
    let (url, got) = receiver(&[503]);
    shop.restart(|settings| {
        // Mails wait for a server that is not there.
        settings.notifications.mail = Mail::Smtp("smtp://127.0.0.1:1".to_owned());
        let token = TOKEN.parse().unwrap();
        settings.notifications.sms = Some(SmsGateway { url, token, authorities: Vec::new() });
    })
    .await;
    shop.set_stock("MUG", 5).await;
    let mut order = shop.order(&[("MUG", 1)]);
    order["contact"]["phone"] = json!("+44 20 7183 8750");
    let placed = shop.buyer.orders("PlaceOrder", order).await.unwrap();
    let id = placed["order"]["order_id"].as_str().unwrap();
    shop.until(id, "CONFIRMED").await;
    let patience = Instant::now() + PATIENCE;
    let calls = loop {
        let calls = got.lock().unwrap().clone();
        if calls.len() >= 2 {
            break calls;
        }
        assert!(Instant::now() < patience, "{calls:?}");
        shop.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(calls[0].0.contains(&format!("authorization: Bearer {TOKEN}")), "{calls:?}");
    assert_eq!(calls[0].1, calls[1].1, "a retry posts the same");
    let sms: Value = serde_json::from_str(&calls[0].1).unwrap();
    assert_eq!(
        (&sms["to"], &sms["kind"], &sms["order_id"]),
        (&json!("+442071838750"), &json!("CONFIRMED"), &json!(id))
    );
    let number = placed["order"]["order_number"].as_str().unwrap();
    assert_eq!(sms["text"], format!("Order {number}: it is confirmed"));
    shop.close().await;
}

fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_process_sends_sms_through_its_gateway() {
    let folder = TempDir::new().unwrap();
    let (url, got) = receiver(&[]);
    let (data, token) = (folder.path().join("data"), file(&folder, "token", TOKEN));
    let engine = Engine::start_with(&[
        "--data",
        data.to_str().unwrap(),
        "--sms-url",
        &url,
        "--sms-token-file",
        &token,
    ]);
    let place = ["order", "place", "--customer", crate::support::CUSTOMER, "--street", "1 High St"];
    let address = ["--city", "London", "--postal-code", "EC1A 1BB", "--country", "GB"];
    let order = ["--phone", "+442071838750", "--line", "MUG=1@4.50GBP"];
    engine.ask(&[&place[..], &address, &order].concat());
    let patience = Instant::now() + PATIENCE;
    while got.lock().unwrap().is_empty() {
        assert!(Instant::now() < patience, "no SMS was posted");
        std::thread::sleep(Duration::from_millis(20));
    }
    let printed = engine.run(&["notification", "list", "--channel", "sms"]);
    assert!(!String::from_utf8_lossy(&printed.stdout).contains(TOKEN));
    assert!(engine.stop().success());
}

#[test]
fn an_unusable_sms_gateway_is_refused_at_start() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let (token, wrong) = (file(&folder, "token", TOKEN), file(&folder, "wrong", "geheim geheim"));
    let none = file(&folder, "none.pem", "no certificate\n");
    let url = ["--sms-url", "https://sms.example/geheim"];
    let with = |flags: &[&str]| {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let output = ordinal(&[&serve[..], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (flags, expected) in [
        (&url[..], "--sms-token-file"),
        (&["--sms-token-file", &token], "--sms-token-file has no effect without --sms-url"),
        (&[&url[..], &["--sms-token-file", "/nonexistent"]].concat(), "SMS token /nonexistent"),
        (&[&url[..], &["--sms-token-file", &wrong]].concat(), "a token is 1 to 4096 characters"),
        (
            &[&url[..], &["--sms-token-file", &token, "--sms-ca", &none]].concat(),
            "SMS: the file of authorities holds no certificate",
        ),
        (
            &["--sms-url", "ftp://x/geheim", "--sms-token-file", &token],
            "SMS: the gateway's URL is neither https:// nor http://",
        ),
    ] {
        let error = with(flags);
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("geheim"), "{error}");
    }
    let shown =
        ordinal(&[&["serve", "--print-config"], &url[..], &["--sms-token-file", &token]].concat());
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("sms-token-file = ") && !shown.contains("geheim"), "{shown}");
}

#[test]
fn a_message_shows_its_tries_and_a_replay_begins_at_a_position() {
    let folder = TempDir::new().unwrap();
    let (url, got) = receiver(&[410]);
    let data = folder.path().join("data");
    let secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";
    let secret = file(&folder, "secret", secret);
    let flags = ["--webhook-url", &url, "--webhook-secret-file", &secret];
    let engine = Engine::start_with(&[&["--data", data.to_str().unwrap()], &flags[..]].concat());
    engine.ask(&["stock", "set", "MUG", "1000"]);
    for _ in 0..5 {
        engine.place(&["MUG=1@4.50GBP"]);
    }
    let hooks = || {
        let list = ["notification", "list", "--channel", "webhook", "--page-size", "100"];
        engine.ask(&list)["notifications"].as_array().cloned().unwrap_or_default()
    };
    let ended = |count: usize| {
        let patience = Instant::now() + PATIENCE;
        loop {
            let hooks = hooks();
            let is =
                |hook: &Value, state: &str| hook["state"] == format!("NOTIFICATION_STATE_{state}");
            let open = |hook: &&Value| !is(hook, "DELIVERED") && !is(hook, "FAILED");
            if hooks.len() == count && !hooks.iter().any(|hook| open(&hook)) {
                return hooks.into_iter().find(|hook| is(hook, "FAILED")).unwrap();
            }
            assert!(Instant::now() < patience, "{hooks:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let failed = ended(10);
    let id = failed["notification_id"].as_str().unwrap();
    let shown = engine.ask(&["notification", "show", id])["notification"].take();
    let tries = shown["tries"].as_array().unwrap();
    assert_eq!((tries.len(), &tries[0]["error"]), (1, &json!("webhook: answered 410")));
    let printed = ordinal(&["--address", &engine.address, "notification", "get", id]);
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    let row = |line: &str| line.contains('Z') && line.trim_end().ends_with("answered 410");
    assert!(printed.contains("tried at") && printed.lines().any(row), "{printed}");

    let bodies = |calls: &[Call]| -> Vec<Value> {
        calls.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    };
    let first = bodies(&got.lock().unwrap());
    let place = |fact: &Value| (fact["shard"].as_u64(), fact["position"].as_u64());
    let middle = place(&first[4]);
    let after = format!("{}:{}", middle.0.unwrap(), middle.1.unwrap());
    let replay = ["notification", "replay", "--endpoint", "default", "--after", &after];
    let later = |facts: &[Value]| {
        let mut places: Vec<_> = facts.iter().map(place).collect();
        places.retain(|place| place.0 == middle.0 && place.1 > middle.1);
        places.sort_unstable();
        places
    };
    let expected = later(&first);
    assert_eq!(engine.ask(&replay)["queued"], expected.len());
    ended(10 + expected.len());
    let all = bodies(&got.lock().unwrap());
    let mut again: Vec<_> = all[first.len()..].iter().map(place).collect();
    again.sort_unstable();
    assert_eq!(again, expected);
    for wrong in ["0", "0:x", "0:1:2", "70000:1"] {
        let refused = ordinal(&["notification", "replay", "--endpoint", "x", "--after", wrong]);
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
    }
    let neither = ordinal(&["notification", "replay", "--endpoint", "x"]);
    assert!(String::from_utf8_lossy(&neither.stderr).contains("--since"));
    let verified = engine.run(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert!(engine.stop().success());
}
