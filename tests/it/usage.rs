//! The command line for people: answers as tables, errors with their remedy, settings.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake::Fake;
use crate::support::{CUSTOMER, Engine, ordinal, placing};

pub const ID: &str = "018f6f3e-0000-7000-8000-0000000000aa";
pub const TIME: &str = "2026-11-28T00:29:07.296796Z";
/// Printed raw on a terminal it would forge lines, colour or reverse them.
pub const EVIL: &str = "ok\rstatus: CONFIRMED\n\u{1b}[31m\u{202e}txt\u{200b}\u{9b}2J\u{7f}";

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs the binary in this environment.
fn ordinal_in(environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ordinal"));
    command.env_remove("RUST_LOG").envs(environment.iter().copied());
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// A command line that is refused before any call: exit code 2, as text and as JSON.
fn refused(arguments: &[&str], said: &str) -> String {
    let output = ordinal(arguments);
    let told = error(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
    assert!(told.starts_with("error: ") && told.contains(said), "{arguments:?}: {told}");
    assert!(!told.contains('\u{1b}'), "{told}");
    let output = ordinal(&[&["--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(2));
    let told: Value = serde_json::from_str(error(&output).trim()).expect("no JSON");
    assert_eq!(told["error"]["reason"], "USAGE", "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains(said), "{told}");
    error(&ordinal(arguments))
}

#[test]
fn a_scheme_is_optional_and_https_is_never_called_in_clear_text() {
    let directory = TempDir::new().unwrap();
    let engine = Engine::start(directory.path());
    let bare = engine.address.trim_start_matches("http://");
    let port = bare.rsplit(':').next().unwrap();
    for address in [bare, &format!("localhost:{port}"), &engine.address, &format!("{bare}/")] {
        let output = ordinal(&["order", "list", "--address", address]);
        assert_eq!(output.status.code(), Some(0), "{address}: {}", error(&output));
        assert_eq!(out(&output), "no orders\n");
        assert!(ordinal(&["health", "--address", address]).status.success());
    }
    refused(&["order", "list", "--address", &format!("{}/api", engine.address)], "path");
    let told =
        refused(&["order", "list", "--address", "http://anna:geheim@127.0.0.1:1"], "password");
    assert!(!told.contains("geheim"), "{told}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let https = format!("https://{}", listener.local_addr().unwrap());
    let listening = std::thread::spawn(move || {
        let mut heard = Vec::new();
        let _ = listener.accept().unwrap().0.read_to_end(&mut heard);
        heard
    });
    let token = "t".repeat(32);
    let output = ordinal(&["--token", &token, "--address", &https, "order", "list"]);
    assert_eq!(output.status.code(), Some(3), "{}", error(&output));
    let heard = listening.join().unwrap();
    // A handshake, and nothing after it.
    assert_eq!(heard[..2], [22, 3]);
    assert!(!String::from_utf8_lossy(&heard).contains(&token));
}

/// Behind a proxy everybody would be believed.
#[test]
fn a_public_address_needs_tokens() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().to_str().unwrap();
    refused(&["serve", "--data", data, "--public-url", "https://shop.example"], "give it tokens");
    refused(&["serve", "--data", data, "--cors-origin", "https://shop.example"], "give it tokens");
    for wrong in ["*", "null", "shop.example", "https://shop.example/path", "https://*.example"] {
        refused(&["serve", "--data", data, "--cors-origin", wrong], "is no address such as");
    }
}

/// A verb, its method, an answer, and words that are shown of it.
pub type Shown = (Vec<&'static str>, &'static str, Value, Vec<&'static str>);

/// Each verb that lists or shows something, with its method and an answer full of foreign texts;
/// `shown::more` has those of money, of commands and of the journal.
pub fn shown() -> Vec<Shown> {
    let letter = |state: &str, position: u64, error: &str| {
        json!({
            "follower": "stock", "subject": ID, "state": state, "kind": "order.fulfilled.v1",
            "shard": 0, "position": position, "error": error, "attempts": 1, "parked_at": TIME,
        })
    };
    let stock = json!({ "sku": EVIL, "on_hand": 5, "reserved": 2, "available": 3 });
    let message = json!({
        "notification_id": ID, "order_id": ID, "channel": "EMAIL", "kind": "RECEIVED",
        "state": "NOTIFICATION_STATE_RETRY_AT", "recipient": EVIL, "subject": EVIL, "attempts": 2,
        "last_error": EVIL, "created_at": TIME, "next_try_at": TIME,
    });
    let mut whole = message.clone();
    whole["body"] = json!(format!("first line\n{EVIL}"));
    let order = json!({
        "order_id": ID, "customer_id": CUSTOMER, "status": "ORDER_STATUS_RETURN_REQUESTED",
        "cancel_text": EVIL, "missing_skus": [EVIL], "placed_at": TIME,
        "lines": [{ "line": 1, "sku": "MUG", "ordered": 2,
                    "unit_price": { "currency_code": "GBP", "units": 4, "nanos": 500_000_000 } }],
        "pending_return": { "return_id": ID, "reason": EVIL, "judge_by": TIME,
                            "value": { "currency_code": "GBP", "units": 9 },
                            "lines": [{ "line": 1, "quantity": 2 }] },
    });
    let event = json!({
        "position": { "shard": 0, "position": 3 }, "order_id": ID, "subject": EVIL,
        "event": { "version": 2, "name": "OrderCancelled", "occurred_at": TIME,
                   "order_cancelled": { "reason": "CANCEL_REASON_OPS", "text": EVIL } },
    });
    let admin = |name: &str| format!("admin.v1.AdminService/{name}").leak() as &'static str;
    let orders = |name: &str| format!("orders.v1.{name}").leak() as &'static str;
    let stocks =
        |name: &str| format!("inventory.v1.InventoryService/{name}").leak() as &'static str;
    let messages =
        |name: &str| format!("notifications.v1.NotificationService/{name}").leak() as &'static str;
    let poison = "line 1: more units than are held";
    vec![
        (
            vec!["dead-letter", "list"],
            admin("ListDeadLetters"),
            json!({ "dead_letters": [letter("POISON", 5, poison), letter("BEHIND", 7, "waits")] }),
            vec!["follower  subject", "behind", ID, "POISON", "order.fulfilled.v1", "0:5", poison],
        ),
        (
            vec!["dead-letter", "show", "stock", ID],
            admin("GetDeadLetter"),
            json!({ "dead_letters": [letter("POISON", 5, EVIL)] }),
            vec!["follower:", "place:        0:5"],
        ),
        (
            vec!["dead-letter", "put-back", "stock", ID],
            admin("PutBackDeadLetters"),
            json!({ "put_back": 2 }),
            vec!["put back: 2"],
        ),
        (
            vec!["dead-letter", "drop", "stock", ID, "--reason", "x"],
            admin("DropDeadLetter"),
            json!({ "dropped": letter("POISON", 5, EVIL) }),
            vec!["dropped"],
        ),
        (
            vec!["dead-letter", "drop", "stock", ID, "--reason", "x", "--validate-only"],
            admin("DropDeadLetter"),
            json!({ "dropped": letter("POISON", 5, EVIL) }),
            vec!["nothing was changed", "dropped"],
        ),
        (
            vec!["followers"],
            admin("ListFollowers"),
            json!({ "followers": [{ "name": "stock", "node": EVIL, "paused": EVIL, "lag": 3,
                                    "head_known": true }], "away": [EVIL] }),
            vec!["paused: ok"],
        ),
        (
            vec!["follower", "pause", "stock", "--reason", "x"],
            admin("PauseFollower"),
            json!({}),
            vec!["stock: "],
        ),
        (vec!["follower", "resume", "stock"], admin("ResumeFollower"), json!({}), vec!["stock: "]),
        (
            vec!["quarantined"],
            admin("ListQuarantined"),
            json!({ "quarantined": [{ "order_id": ID, "reason": EVIL, "since": TIME }] }),
            vec!["order", ID],
        ),
        (
            vec!["read-model", "rebuild", "deadlines"],
            admin("RebuildReadModel"),
            json!({ "events": 7 }),
            vec!["7 events"],
        ),
        (
            vec!["shards", "list"],
            admin("ListShards"),
            json!({ "shards": [{ "shard": 0, "epoch": 4, "position": 9, "node": EVIL,
                                 "frozen": EVIL }] }),
            vec!["shard", "frozen"],
        ),
        (vec!["shards", "move", "3", "b"], admin("MoveShard"), json!({}), vec!["shard 3"]),
        (
            vec!["shards", "freeze", "3", "--reason", "x"],
            admin("FreezeShard"),
            json!({}),
            vec!["shard 3"],
        ),
        (vec!["shards", "unfreeze", "3"], admin("UnfreezeShard"), json!({}), vec!["shard 3"]),
        (
            vec!["stock", "get", "MUG"],
            stocks("GetStock"),
            json!({ "stock": stock }),
            vec!["on hand"],
        ),
        (
            vec!["stock", "set", "MUG", "5"],
            stocks("SetStock"),
            json!({ "stock": stock }),
            vec!["5"],
        ),
        (
            vec!["stock", "set", "MUG", "5", "--allow-shortage", "--validate-only"],
            stocks("SetStock"),
            json!({ "stock": stock, "losers": [{ "order_id": EVIL, "units": 2 }] }),
            vec!["lose", "2", "5"],
        ),
        (
            vec!["stock", "adjust", "MUG", "-1"],
            stocks("AdjustStock"),
            json!({ "stock": stock, "replayed": true }),
            vec!["before", "on hand"],
        ),
        (
            vec!["stock", "backorder", "MUG", "9", "--until", "2026-12-24"],
            stocks("SetBackorder"),
            json!({ "stock": { "sku": "MUG", "on_hand": 1, "reserved": 4, "backordered": 3,
                               "backorder_limit": 9, "backorder_until": "2026-12-24T00:00:00Z" } }),
            vec!["backordered", "backorder limit", "2026-12-24T00:00:00Z"],
        ),
        (
            vec!["stock", "set", "MUG", "5", "--location", "berlin"],
            stocks("SetStock"),
            json!({ "stock": { "sku": "MUG", "on_hand": 12, "reserved": 4, "locations": [
                { "location": "main", "on_hand": 7, "held": 4, "free": 3 },
                { "location": EVIL, "on_hand": 5, "free": 5 }] } }),
            vec!["location", "main", "held", "free", "7"],
        ),
        (
            vec!["stock", "location", "set", "berlin", "--priority", "2"],
            stocks("SetLocation"),
            json!({ "location": { "name": "berlin", "priority": 2 }, "added": true }),
            vec!["berlin", "priority", "2"],
        ),
        (
            vec!["stock", "location", "list"],
            stocks("ListLocations"),
            json!({ "locations": [{ "name": "main" }, { "name": EVIL, "priority": 2 }] }),
            vec!["main", "priority", "2"],
        ),
        (
            vec!["stock", "list", "--prefix", "M"],
            stocks("ListStock"),
            json!({ "stock": [stock], "next_page_token": "next" }),
            vec!["available", "more: --page-token next"],
        ),
        (
            vec!["stock", "movements", "MUG"],
            stocks("ListMovements"),
            json!({ "stock": stock, "adjusted": 9, "next_page_token": "next",
                    "movements": [{ "number": 1, "cause": "MOVEMENT_CAUSE_SET", "reason": EVIL,
                                    "on_hand_change": 9, "asked_by": EVIL }] }),
            vec!["SET", "+9", "9 set and adjusted", "more: --page-token next"],
        ),
        (
            vec!["stock", "holders", "MUG"],
            stocks("ListStockHolders"),
            json!({ "stock": stock, "next_page_token": "next",
                    "holders": [{ "order_id": EVIL, "units": 3, "partly_shipped": true,
                                  "placed_at": "2026-03-02T09:00:00Z" }] }),
            vec!["3", "partly", "reserved", "more: --page-token next"],
        ),
        (
            vec!["operations", "list"],
            admin("ListOperatorActions"),
            json!({ "actions": [{ "verb": "PAUSE_FOLLOWER", "role": "OPS", "subject": EVIL,
                                  "target": EVIL, "reason": EVIL, "before": EVIL, "after": EVIL }],
                    "away": [EVIL], "next_page_token": "next" }),
            vec!["PAUSE_FOLLOWER", "does not answer", "more: --page-token next"],
        ),
        (
            vec!["stock", "reservation", ID],
            stocks("GetReservation"),
            json!({ "reservation": { "order_id": ID, "state": "RESERVATION_STATE_REJECTED",
                    "missing_skus": [EVIL], "lines": [{ "line": 1, "sku": "MUG" }] } }),
            vec!["state:   REJECTED", "delivered"],
        ),
        (
            vec!["notification", "list"],
            messages("ListNotifications"),
            json!({ "notifications": [message] }),
            vec!["message", "RETRY_AT", "RECEIVED", "2026-11-28T00:29:07Z"],
        ),
        (
            vec!["notification", "get", ID],
            messages("GetNotification"),
            json!({ "notification": whole }),
            vec!["state:       RETRY_AT", "\nfirst line\n"],
        ),
        (
            vec!["notification", "replay", "--endpoint", "crm", "--since", "2026-01-01"],
            messages("ReplayWebhooks"),
            json!({ "queued": 7 }),
            vec!["7 calls queued for crm by replay "],
        ),
        (
            vec!["notification", "resend", ID],
            messages("ResendNotification"),
            json!({ "notification": whole }),
            vec!["tries:"],
        ),
        (
            vec!["order", "get", ID],
            orders("OrderService/GetOrder"),
            json!({ "order": order }),
            vec!["RETURN_REQUESTED", "4.50 GBP"],
        ),
        (
            vec!["order", "list"],
            orders("OrderService/ListOrders"),
            json!({ "orders": [{ "order_id": ID, "status": "ORDER_STATUS_RETURN_REQUESTED" }] }),
            vec!["RETURN_REQUESTED"],
        ),
        (
            vec!["return", "list"],
            orders("OrderService/ListReturns"),
            json!({ "returns": [{
                "order_id": ID, "return_id": ID, "judge_by": TIME,
                "state": "RETURN_STATE_REQUESTED", "return_reference": EVIL,
                "value": { "currency_code": "GBP", "units": 9 },
                "lines": [{ "line": 1, "quantity": 2 }],
            }] }),
            vec!["judge by", "2 x line 1", "9.00 GBP", "2026-11-28T00:29:07Z", "REQUESTED"],
        ),
        (
            vec!["order", "cancel", ID],
            orders("OrderService/CancelOrder"),
            json!({ "order": order, "events": [event["event"]] }),
            vec!["appended OrderCancelled"],
        ),
        (
            vec!["order", "note", ID, "--text", "x"],
            orders("OrderService/AddNote"),
            json!({ "order": order, "events": [event["event"]] }),
            vec!["appended OrderCancelled"],
        ),
        (
            vec!["order", "history", ID],
            orders("JournalService/ListOrderEvents"),
            json!({ "events": [event] }),
            vec!["OrderCancelled", "OPS; ok"],
        ),
        (
            vec!["order", "diff", ID],
            orders("JournalService/DiffOrder"),
            json!({ "changes": [{ "path": "cancel_text", "before": "", "after": EVIL }] }),
            vec!["field"],
        ),
        (
            vec!["events", "replay"],
            orders("JournalService/ReadEvents"),
            json!({ "event": event }),
            vec!["0:3"],
        ),
        (
            vec!["order", "watch"],
            orders("OrderService/WatchOrders"),
            json!({ "change": { "position": event["position"], "event": event["event"],
                                "order": { "order_id": ID, "status": "ORDER_STATUS_CANCELLED" } } }),
            vec!["0:3"],
        ),
    ]
}

#[test]
fn every_answer_is_readable_and_nothing_reaches_the_terminal_raw() {
    for (verb, method, answer, expected) in shown().into_iter().chain(crate::shown::more()) {
        let order =
            shown().into_iter().find(|(verb, ..)| verb.starts_with(&["order", "get"])).unwrap();
        let fake = Fake::start(&[(order.1, order.2), (method, answer)]);
        let output = ordinal(&[&["--address", &fake.address], &verb[..]].concat());
        let told = out(&output);
        assert!(output.status.success(), "{verb:?}: {}", error(&output));
        for expected in expected {
            assert!(told.contains(expected), "{verb:?}: {expected:?} is not in\n{told}");
        }
        for raw in ["_STATE_", "ORDER_STATUS_", "_REASON_OPS", "units:", "\": \"", "{\""] {
            assert!(!told.contains(raw), "{verb:?}: {raw:?} is in\n{told}");
        }
        let wrong = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{200b}".contains(c));
        assert!(!told.contains(wrong), "{verb:?}: {told:?}");
        assert!(!told.contains("\nstatus: CONFIRMED"), "{verb:?}: a line is forged: {told}");
        // Programs get it unchanged.
        let output = ordinal(&[&["--json", "--address", &fake.address], &verb[..]].concat());
        serde_json::from_str::<Value>(out(&output).lines().next().unwrap()).unwrap();
    }
}

#[test]
fn empty_lists_are_reported_as_empty() {
    let answers = [
        ("admin.v1.AdminService/ListDeadLetters", "dead-letter list", "no dead letters"),
        ("admin.v1.AdminService/ListQuarantined", "quarantined", "no orders are quarantined"),
        ("orders.v1.OrderService/ListOrders", "order list", "no orders"),
        ("orders.v1.OrderService/ListReturns", "return list", "no returns"),
        ("inventory.v1.InventoryService/ListStock", "stock list", "no products"),
        (
            "notifications.v1.NotificationService/ListNotifications",
            "notification list",
            "no messages",
        ),
    ];
    for (method, verb, said) in answers {
        let fake = Fake::start(&[(method, json!({}))]);
        let words: Vec<&str> = verb.split(' ').collect();
        let told = out(&ordinal(&[&["--address", &fake.address], &words[..]].concat()));
        assert_eq!(told, format!("{said}\n"), "{verb}");
    }
}

#[test]
fn an_invalid_argument_is_reported_with_value_and_remedy() {
    let place = |line: &str| -> Vec<String> {
        let mut all: Vec<String> = placing(&[]).into_iter().map(str::to_owned).collect();
        all.extend(["--line".to_owned(), line.to_owned()]);
        all
    };
    let placed = |line: &str, said: &str| {
        let all = place(line);
        let told = refused(&all.iter().map(String::as_str).collect::<Vec<_>>(), said);
        assert_eq!(told.matches(&format!("{line:?}")).count(), 1, "the value once: {told}");
    };
    placed("MUG=2@12.505GBP", "more decimals than GBP: 2");
    placed("MUG=2@12.50", "has no currency");
    placed("MUG=2@£12.50", "is not an amount such as 19.99GBP");
    placed("MUG=2@.50GBP", "is not an amount such as 19.99GBP");
    placed("MUG=2@1.5-GBP", "is not an amount such as 19.99GBP");
    placed("MUG=two@1GBP", "is not a whole number");
    placed("MUG", "SKU=QUANTITY@PRICE");
    let moving = ["journal", "move", "--shards", "1", "--from", "postgres://h/a", "--to"];
    let moving = [&moving[..], &["postgres://h/b"]].concat();
    let archiving = ["journal", "archive", "--before", "2020-01", "--to", "/nowhere"];
    for (arguments, said) in [
        (&["notification", "get", "anna"][..], "\"anna\" is not a UUID such as"),
        (&["order", "list", "--customer", "anna"], "--customer <UUID>: \"anna\" is not a UUID"),
        (&["notification", "get", "7"], "is not a UUID"),
        (&["order", "list", "--timeout", "60s"], "more than 30s"),
        (&["order", "list", "--timeout", "soon"], "not a duration such as 30s"),
        (&["order", "list", "--page-size", "101"], "is not in 1..=100"),
        (&["order", "list", "--placed-from", "yesterday"], "is not a time such as"),
        (&["stock", "set", "MUG", "many"], "\"many\" is not a whole number"),
        (&["stock", "set", "MUG", "99999999999999999999999"], "is too large"),
        (&["order", "fly"], "unrecognized subcommand"),
        (&["order", "list", "--product", "MUG"], "unexpected argument '--product'"),
        (&["events", "replay", "--after", "7"], "is not SHARD:POSITION"),
        (&["serve", "--listen", "nowhere"], "is not an address to listen on"),
        (
            &["serve", "--role", "stock"],
            "is not one of all, orders, inventory, notifications, ledger, payments",
        ),
        (&["serve", "--confirm-within", "0s"], "at least 1s"),
        (&["serve", "--node-name", "a\u{202e}b"], "no control, bidirectional"),
        (&["serve", "--node-name", " "], "must have 1 to 100 characters"),
        (&["serve", "--return-within", "10000years"], "at most 36500 days"),
        (&["serve", "--address", "127.0.0.1:7400"], "`ordinal serve` calls no engine"),
        (&["demo", "--as", "ops:anna"], "calls no engine"),
        (&["journal", "show", "postgres://h/d", "--as", "ops:anna"], "--as has no effect"),
        (&[&moving[..], &["--timeout", "9s"]].concat()[..], "--timeout has no effect"),
        (&[&moving[..], &["--as", "service:shop"]].concat()[..], "--as: only operators, ops:NAME"),
        (&[&archiving[..], &["--address", "h:1"]].concat()[..], "--address has no effect"),
        (
            &[&archiving[..], &["--as", "service:shop"]].concat()[..],
            "--as: only operators, ops:NAME",
        ),
    ] {
        refused(arguments, said);
    }
}

#[test]
fn arguments_take_the_names_that_tables_show() {
    let directory = TempDir::new().unwrap();
    let engine = Engine::start(directory.path());
    let told = engine.refused(2, &["order", "cancel", ID, "--reason", "because"]);
    assert_eq!(told["message"], "\"because\" is not one of CUSTOMER_REQUEST, OPS");
    let told = engine.refused(2, &["order", "list", "--status", "SHIPPED"])["message"].to_string();
    assert!(told.contains("PENDING, CONFIRMED") && !told.contains("ORDER_STATUS"), "{told}");
    engine.ask(&["order", "list", "--status", "pending"]);
    engine.ask(&["order", "list", "--status", "ORDER_STATUS_PENDING"]);
    // Some more that answered wrongly, or not at all.
    assert_eq!(engine.ask(&["shards", "list"])["one_writer"], true);
    assert_eq!(engine.refused(1, &["health", "--service", "nope"])["reason"], "NOT_FOUND");
    assert_eq!(engine.ask(&["return", "list"])["returns"], json!([]));
    let told = engine.refused(2, &["return", "list", "--state", "LOST"])["message"].to_string();
    assert!(told.contains("REQUESTED, APPROVED") && !told.contains("RETURN_STATE"), "{told}");
    assert_eq!(engine.ask(&["order", "list", "--placed-from", "2026-11-28"])["orders"], json!([]));
    let status = engine.ask(&["status"]);
    assert_eq!((&status["serving"], &status["dead_letters"]), (&json!(true), &json!(0)));
    assert_eq!(engine.ask(&["version"])["version"], env!("CARGO_PKG_VERSION"));
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn order(more: &Value) -> Value {
    let mut order = json!({
        "customer_id": CUSTOMER,
        "lines": [{ "sku": "MUG", "quantity": 1,
                    "unit_price": { "currency_code": "GBP", "units": 5 } }],
        "address": { "street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB",
                     "country": "GB" },
        "contact": { "email": "customer@example.com" },
    });
    for (key, value) in more.as_object().unwrap() {
        order[key] = value.clone();
    }
    order
}

#[test]
fn an_order_file_is_checked_by_path_and_excludes_flags() {
    let directory = TempDir::new().unwrap();
    let engine = Engine::start(&directory.path().join("data"));
    engine.ask(&["stock", "set", "MUG", "5"]);
    let file = |more: Value| write(directory.path(), "order.json", &order(&more).to_string());
    let place =
        |file: &str| engine.refused(2, &["order", "place", "--file", file])["message"].take();
    for (more, said) in [
        (
            json!({ "contact": { "emial": "x" } }),
            "contact.emial: unknown field; did you mean email?",
        ),
        (json!({ "lines": [{ "quantity": "x" }] }), "lines[0].quantity: "),
        (
            json!({ "lines": [{ "unit_price": { "currency": "GBP" } }] }),
            "lines[0].unit_price.currency: ",
        ),
        (json!({ "adress": {} }), "adress: unknown field; did you mean address?"),
        (json!({ "ordered_at": "yesterday" }), "ordered_at: "),
    ] {
        let told = place(&file(more)).to_string();
        assert!(told.contains(said), "{told}");
    }
    let path = file(json!({}));
    for (flag, value) in [
        ("--email", "x@example.com"),
        ("--postal-code", "XX"),
        ("--phone", "+441"),
        ("--locale", "en"),
        ("--ordered-at", "2026-11-28"),
        ("--line", "MUG=1@1GBP"),
    ] {
        refused(&["order", "place", "--file", &path, flag, value], "cannot be used with");
    }
    // A dry run in the file is reported as one, in either spelling.
    for options in [json!({ "validate_only": true }), json!({ "validateOnly": true })] {
        let path = file(json!({ "options": options }));
        let place = ["--address", &engine.address, "order", "place", "--file", &path];
        let told = out(&ordinal(&place));
        assert!(told.starts_with("would append OrderPlaced"), "{told}");
        let with_an_id = [&place[..], &["--request-id", ID]].concat();
        assert!(out(&ordinal(&with_an_id)).starts_with("would append"));
    }
    assert_eq!(engine.ask(&["order", "list"])["orders"], json!([]));
}

#[test]
fn all_pages_are_listed_in_order() {
    let directory = TempDir::new().unwrap();
    let engine = Engine::start(directory.path());
    for number in 0..101 {
        // One call sets one; a hundred and one do not fit on a page.
        engine.ask(&["stock", "set", &format!("SKU-{number:03}"), "1"]);
    }
    let pages = engine.run(&["stock", "list", "--all", "--prefix", "SKU-"]);
    let pages: Vec<Value> =
        out(&pages).lines().map(|page| serde_json::from_str(page).unwrap()).collect();
    let lengths: Vec<usize> =
        pages.iter().map(|page| page["stock"].as_array().unwrap().len()).collect();
    assert_eq!(lengths, [100, 1]);
    assert!(pages.iter().all(|page| page["next_page_token"] == ""));
    let some = engine.ask(&["stock", "list", "--prefix", "SKU-00"]);
    assert_eq!(some["stock"].as_array().unwrap().len(), 10);
}

#[test]
fn the_process_that_locks_the_files_is_named_within_a_second() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().to_str().unwrap();
    let engine = Engine::start(directory.path());
    let since = Instant::now();
    let mut second = Command::new(env!("CARGO_BIN_EXE_ordinal"))
        .args(["serve", "--data", data, "--listen", "127.0.0.1:0"])
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The directory of a test is readable by everybody, which is reported first.
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("locked")).unwrap();
    let took = since.elapsed();
    second.kill().unwrap();
    second.wait().unwrap();
    let holder = format!("is locked by process {}", engine.process.id());
    assert!(line.contains(&holder), "{line}");
    // Reported after half a second, while it still waits for 10 s; the machine may be busy.
    assert!(took < Duration::from_secs(9), "{took:?}");
}

#[test]
fn programs_are_told_the_verbs_where_one_is_missing() {
    for (arguments, path, verbs) in [
        (&["--json", "order"][..], "ordinal order", &["place", "history"][..]),
        (&["order", "parcel", "--json"], "ordinal order parcel", &["delivered", "undo"]),
        (&["--json", "stock", "location"], "ordinal stock location", &["set", "list"]),
        (&["--json"], "ordinal", &["serve", "order", "verify"]),
    ] {
        let output = ordinal(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told: Value = serde_json::from_slice(&output.stderr).unwrap();
        let error = &told["error"];
        assert_eq!(error["reason"], "USAGE", "{told}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("`{path}` needs a verb: ")), "{message}");
        assert!(verbs.iter().all(|verb| message.contains(verb)), "{message}");
    }
    // People get the help.
    assert!(error(&ordinal(&["order"])).contains("Usage: ordinal order"));
}

#[test]
fn a_file_that_is_missing_is_an_invalid_command() {
    let missing = "/nowhere/at/all";
    for arguments in [
        &["order", "list", "--token-file", missing][..],
        &["serve", "--peer-token-file", missing],
        &["serve", "--smtp-url-file", missing],
        &["serve", "--database-url-file", missing],
        &["serve", "--sms-url", "https://sms.example", "--sms-token-file", missing],
        &["serve", "--webhook-url", "https://h.example", "--webhook-secret-file", missing],
        &["serve", "--webhooks", missing],
        &["serve", "--psps", missing],
        &["serve", "--tokens", missing],
        &["verify", "--database-url-file", missing],
        &["token", "issue", "--key", missing, "--role", "OPS", "--subject", "anna"],
        &["load", "--csv", missing],
    ] {
        refused(arguments, missing);
    }
}

#[test]
fn flags_of_another_role_are_refused_and_shared_settings_are_named() {
    let directory = TempDir::new().unwrap();
    for (role, setting, value, whose) in [
        ("orders", "mail-from", "a@example.com", "notifications"),
        ("orders", "webhooks", "hooks.toml", "notifications"),
        ("inventory", "confirm-within", "1h", "orders"),
        ("inventory", "psps", "psps.toml", "payments"),
        ("orders", "psps", "psps.toml", "payments"),
        ("notifications", "reconcile-every", "1h", "inventory"),
        ("ledger", "shop-name", "Mugs", "notifications"),
        ("payments", "lease", "9s", "orders"),
        ("edge", "search-by", "sku", "orders"),
        ("inventory", "advertise", "10.0.0.1:7400", "orders"),
    ] {
        let flag = format!("--{setting}");
        let said = format!("{flag} has no effect in --role {role}; it is for {whose}");
        refused(&["serve", "--role", role, &flag, value], &said);
        // The processes of an installation may share a file.
        let text = format!("role = \"{role}\"\n{setting} = \"{value}\"");
        let file = write(directory.path(), "ordinal.toml", &text);
        let output = ordinal_in(&[], &["serve", "--config", &file, "--print-config"]);
        let told = error(&output);
        let why = format!("no effect in --role {role}; it is for {whose}");
        let said = format!("{setting} in the settings file has {why}");
        assert!(told.contains(&said), "{told}");
        // The gateway asks for more than its role.
        assert!(output.status.success() || role == "edge", "{told}");
    }
    refused(&["serve", "--role", "edge", "--without-stock"], "it is for inventory");
    let (own, other) = ("--ledger-database-url", "--orders-database-url");
    let both = ["serve", "--role", "ledger", own, "postgres://a/b", other, "postgres://a/c"];
    refused(&both, "--orders-database-url has no effect in --role ledger; it is for orders");
    // Or their variables.
    let data = directory.path().join("data").display().to_string();
    let ledger = ["serve", "--role", "ledger", "--data", &data, "--print-config"];
    let output = ordinal_in(&[("ORDINAL_MAIL_FROM", "a@example.com")], &ledger);
    assert!(output.status.success(), "{}", error(&output));
    let told = error(&output);
    assert!(told.contains("the variable of --mail-from has no effect in --role ledger"), "{told}");
    // The clock is of three.
    for role in ["orders", "payments", "ledger"] {
        let trusts = ["serve", "--role", role, "--data", &data, "--trust-clock", "--print-config"];
        let output = ordinal_in(&[], &trusts);
        assert!(output.status.success(), "{}", error(&output));
        assert!(!error(&output).contains("no effect"), "{}", error(&output));
    }
    let trusts = ["serve", "--role", "inventory", "--trust-clock"];
    let said = "--trust-clock has no effect in --role inventory; it is for orders and payments and \
                ledger";
    refused(&trusts, said);
    let retry = [("ORDINAL_WEBHOOK_RETRY_FOR", "1h"), ("ORDINAL_SMS_TOKEN_FILE", "x")];
    let output = ordinal_in(&retry, &ledger);
    assert!(output.status.success(), "{}", error(&output));
    assert_eq!(error(&output).matches("has no effect in --role ledger").count(), 2);
}

/// A pod has no secrets of other pods.
#[test]
fn files_that_settings_of_another_role_name_are_not_read() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data").display().to_string();
    let missing = "/nowhere/at/all";
    let of_others = [
        ("ORDINAL_SMTP_URL_FILE", missing),
        ("ORDINAL_WEBHOOKS", missing),
        ("ORDINAL_TEMPLATES", missing),
        ("ORDINAL_PSPS", missing),
        ("ORDINAL_ARCHIVE", missing),
    ];
    let role = |role| ["serve", "--role", role, "--data", &data, "--print-config"];
    let output = ordinal_in(&of_others, &role("ledger"));
    let told = error(&output);
    assert!(output.status.success(), "{told}");
    for flag in ["--smtp-url-file", "--webhooks", "--templates", "--psps", "--archive"] {
        let said = format!("the variable of {flag} has no effect in --role ledger");
        assert!(told.contains(&said), "{said}: {told}");
    }
    let file = format!("smtp-url-file = \"{missing}\"\nwebhooks = \"{missing}\"");
    let file = write(directory.path(), "ordinal.toml", &file);
    let output = ordinal_in(&[], &[&role("ledger")[..], &["--config", &file]].concat());
    assert!(output.status.success(), "{}", error(&output));
    // Orders ask no provider.
    let output = ordinal_in(&[("ORDINAL_PSPS", missing)], &role("orders"));
    assert!(output.status.success(), "{}", error(&output));
    // Where they are for the role they must be there, and no flag is for another one.
    let output = ordinal_in(&of_others[..1], &role("notifications"));
    assert_eq!(output.status.code(), Some(2), "{}", error(&output));
    let flag = [&role("ledger")[..], &["--smtp-url-file", missing]].concat();
    refused(&flag, "--smtp-url-file has no effect in --role ledger; it is for notifications");
}

#[test]
fn settings_without_effect_beside_others_are_refused() {
    let postgres = ["serve", "--database-url", "postgres://a/b"];
    for (flags, said) in [
        (&["serve", "--lease", "9s"][..], "--lease has no effect on SQLite"),
        (&["serve", "--lease-renew", "1s"], "--lease-renew has no effect on SQLite"),
        (&["serve", "--webhook-retry-for", "1h"], "has no effect without --webhook-url"),
        (&["serve", "--reflection"], "--reflection has no effect without --tokens"),
        (
            &[&postgres[..], &["--shards", "4", "--journal-database", "0-3=postgres://a/c"]]
                .concat(),
            "--shards has no effect beside --journal-database",
        ),
        // Verbs of clients.
        (&["verify", "--data", "x", "--address", "127.0.0.1:1"], "--address has no effect beside"),
        (
            &["verify", "--database-url", "postgres://a/b", "--address", "127.0.0.1:1"],
            "--address has no effect beside --database-url",
        ),
        (&["verify", "--archive", "x"], "--archive has no effect without Postgres databases"),
        (&["verify", "--data", "x", "--archive", "y"], "--archive has no effect without Postgres"),
        (&["verify", "--redis-url", "redis://a"], "--redis-url has no effect without --data"),
        (&["verify", "--data", "x", "--redis-prefix", "y"], "has no effect without --redis-url"),
        (
            &["load", "--csv", "a.csv", "--data", "x", "--address", "127.0.0.1:1"],
            "--address has no effect beside --data",
        ),
        (&["load", "--csv", "a.csv", "--items", "b.csv"], "--items has no effect without --format"),
        (
            &["load", "--csv", "a.csv", "--format", "shopify", "--payments", "b.csv"],
            "--payments has no effect without --format olist",
        ),
    ] {
        refused(flags, said);
    }
    // A switch that is off asks for nothing.
    let directory = TempDir::new().unwrap();
    let file = write(directory.path(), "ordinal.toml", "reflection = false\ntrust-clock = false");
    let shown = ordinal(&["serve", "--config", &file, "--print-config"]);
    assert!(shown.status.success(), "{}", error(&shown));
}

#[test]
fn errors_in_a_settings_file_never_repeat_its_content() {
    let directory = TempDir::new().unwrap();
    let serve = |text: &str| {
        let file = write(directory.path(), "ordinal.toml", text);
        let output = ordinal(&["serve", "--config", &file, "--print-config"]);
        assert_eq!(output.status.code(), Some(2), "{text}: {}", out(&output));
        error(&output)
    };
    for (text, said) in [
        (
            "confirm_within = \"10m\"",
            "confirm_within is not a setting; did you mean confirm-within?",
        ),
        ("confrim-within = \"10m\"", "did you mean confirm-within?"),
        ("frobnicate = 1", "--print-config"),
        ("[serve]\nlisten = \"127.0.0.1:1\"", "not in a section such as [serve]"),
        ("archive = \"/nowhere\"\nshards = 4", "has no effect on SQLite"),
        ("node-name = \"a\"", "has no effect on SQLite"),
        ("redis-keep = 5", "has no effect without --redis-url"),
        ("orders-at = \"127.0.0.1:1\"", "runs everything"),
        ("without-stock = 3", "without-stock must be true or false"),
        ("lease = 5", "--lease <DURATION>: the value is not a duration"),
        ("tls-cert = \"cert.pem\"", "--tls-key"),
        ("data = \"x\"\ndatabase-url = \"postgres://x/y\"", "cannot be used with"),
    ] {
        let told = serve(text);
        assert!(told.contains(said), "{text}: {told}");
    }
    // Whatever is wrong with them, and wherever they are by mistake.
    for text in [
        "database-url = postgres://u:geheim@h/d",
        "listen = \"postgres://u:geheim@h/d\"",
        "listen = \"geheim\"",
        "role = \"geheim\"",
        "shards = \"geheim\"",
        "orders-at = \"http://u:geheim@h:1\"",
        "geheim",
        "tokens = \"geheim",
    ] {
        let told = serve(text);
        assert!(!told.contains("geheim"), "{text}: {told}");
    }
}

#[test]
fn effective_settings_are_shown_without_secrets_and_reusable() {
    let directory = TempDir::new().unwrap();
    let sample = ordinal(&["serve", "--print-config"]);
    assert!(sample.status.success(), "{}", error(&sample));
    let golden = std::fs::read_to_string("examples/ordinal.toml").unwrap();
    assert_eq!(out(&sample), golden, "examples/ordinal.toml is what --print-config shows");
    let again = ordinal(&["serve", "--config", "examples/ordinal.toml", "--print-config"]);
    assert_eq!(out(&again), golden, "{}", error(&again));

    let file = write(
        directory.path(),
        "ordinal.toml",
        "confirm-within = \"1h\"\njudge-within = \"1day\"\nwithout-stock = true\nlisten = \"localhost:0\"",
    );
    let environment = [
        ("ORDINAL_JUDGE_WITHIN", "2days"),
        ("ORDINAL_RETURN_WITHIN", "3days"),
        ("ORDINAL_SMTP_URL", "smtps://u:geheim@mail"),
        ("ORDINAL_MAIL_FROM", "orders@shop.example"),
    ];
    let flags = ["serve", "--config", &file, "--return-within", "4days", "--print-config"];
    let told = out(&ordinal_in(&environment, &flags));
    for line in [
        "confirm-within = \"1h\"  # file",
        "judge-within = \"2days\"  # environment",
        "return-within = \"4days\"  # flag",
        "without-stock = true  # file",
        "#smtp-url = …  # environment, hidden",
        "#lease = \"8s\"  # default",
    ] {
        assert!(told.lines().any(|shown| shown == line), "{line} is not in\n{told}");
    }
    let shown = out(&ordinal_in(&environment, &[&["--json"], &flags[..]].concat()));
    assert!(!told.contains("geheim") && !shown.contains("geheim"));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["judge-within"], json!({ "value": "2days", "origin": "environment" }));
    assert!(!directory.path().join("ordinal-data").exists());
}

#[test]
fn every_secret_can_be_read_from_a_file() {
    let directory = TempDir::new().unwrap();
    let url = write(directory.path(), "url", "postgres://u:geheim@127.0.0.1:1/x\n");
    let redis = write(directory.path(), "redis", "redis://:geheim@a:1\nredis://:geheim@b:1\n");
    let mail = write(directory.path(), "mail", "smtps://u:geheim@mail\n");
    let hook = write(directory.path(), "hook", "https://hooks.example/geheim\n");
    let key = write(directory.path(), "key", &format!("whsec_{}\n", "a".repeat(32)));
    let empty = write(directory.path(), "empty", "\n");
    let flags = [
        "serve",
        "--print-config",
        "--database-url-file",
        &url,
        "--redis-url-file",
        &redis,
        "--smtp-url-file",
        &mail,
        "--mail-from",
        "orders@shop.example",
        "--webhook-url-file",
        &hook,
        "--webhook-secret-file",
        &key,
        "--peer-token-file",
        &mail,
    ];
    let output = ordinal(&[&flags[..], &["--redis-keep", "7"]].concat());
    assert!(output.status.success(), "{}", error(&output));
    let told = out(&output);
    for flag in ["database-url", "redis-url", "smtp-url", "webhook-url", "peer-token"] {
        let line = format!("#{flag} = …  # flag, hidden");
        assert!(told.lines().any(|shown| shown == line), "{line} is not in\n{told}");
    }
    assert!(!told.contains("geheim"), "{told}");
    // They act like the flags: they exclude the same others.
    let data = directory.path().to_str().unwrap();
    refused(&["serve", "--data", data, "--database-url-file", &url], "cannot be used with");
    refused(&["serve", "--database-url-file", &url, "--database-url", "x"], "use one of them");
    refused(&["serve", "--database-url-file", &empty], "is empty");
    let output = ordinal(&["serve", "--database-url-file", "/nowhere"]);
    assert!(output.status.code() == Some(2) && error(&output).contains("/nowhere"));
    // A flag overrides a variable, and a nearer file a farther one.
    let environment = [("ORDINAL_DATABASE_URL_FILE", "/nowhere")];
    let flag = ["serve", "--print-config", "--database-url", "postgres://h/d"];
    assert!(ordinal_in(&environment, &flag).status.success());
    // Other verbs take them as well: this one gets as far as the missing database.
    for verb in [
        &["verify", "--database-url-file", &url][..],
        &["migrate", "--database-url-file", &url],
        &["journal", "move", "--shards", "1", "--from-file", &url, "--to-file", &url],
        &["load", "--csv", "examples/orders.csv", "--database-url-file", &url],
    ] {
        let output = ordinal(verb);
        let told = error(&output);
        assert_eq!(output.status.code(), Some(1), "{verb:?}: {told}");
        assert!(!told.contains("geheim"), "{verb:?}: {told}");
    }
}

#[test]
fn an_unknown_variable_is_reported() {
    let environment = [
        ("ORDINAL_CONFRIM_WITHIN", "geheim"),
        ("ORDINAL_SERVICE_HOST", "10.0.0.1"),
        ("ORDINAL_LOG_FORMAT", "text"),
    ];
    let output = ordinal_in(&environment, &["version"]);
    assert!(output.status.success());
    let told = error(&output);
    assert!(
        told.contains("ORDINAL_CONFRIM_WITHIN")
            && told.contains("did you mean ORDINAL_CONFIRM_WITHIN?"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(!told.contains("geheim"), "{told}");
}

#[test]
fn help_is_grouped_and_keeps_client_flags_apart() {
    let told = out(&ordinal(&["--help"]));
    for heading in ["Operating an engine:", "Running an engine:", "Calling an engine:"] {
        assert!(told.contains(heading), "{heading} is not in\n{told}");
    }
    let told = out(&ordinal(&["serve", "--help"]));
    for heading in ["Storage:", "Several processes:", "Messages:", "Limits:"] {
        assert!(told.contains(heading), "{heading} is not in\n{told}");
    }
    for verb in [&["serve"][..], &["migrate"], &["cluster", "up"], &["chaos"], &["journal", "show"]]
    {
        let told = out(&ordinal(&[verb, &["--help"]].concat()));
        for flag in ["--address", "--as <", "--timeout"] {
            assert!(!told.contains(flag), "{verb:?}: {flag} is in\n{told}");
        }
    }
    // These record who it was.
    for verb in ["archive", "move"] {
        let told = out(&ordinal(&["journal", verb, "--help"]));
        assert!(told.contains("--as <"), "{verb}: {told}");
        for flag in ["--address", "--timeout", "--token <"] {
            assert!(!told.contains(flag), "{verb}: {flag} is in\n{told}");
        }
    }
    let told = out(&ordinal(&["order", "list", "--help"]));
    assert!(told.contains("Calling an engine:") && told.contains("--address"), "{told}");
    // A variable that holds a secret is named, never shown.
    let environment =
        [("ORDINAL_ORDERS_AT", "http://u:geheim@h:1"), ("ORDINAL_PEER_TOKEN", "geheim")];
    let mut told = String::new();
    let output = ordinal_in(&environment, &["serve", "--help"]);
    (&output.stdout[..]).read_to_string(&mut told).unwrap();
    assert!(told.contains("ORDINAL_PEER_TOKEN_FILE") && !told.contains("geheim"), "{told}");
}
