//! The command line as people and scripts use it: the real binary against a real engine.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{CUSTOMER, Engine, PATIENCE, free_port, ordinal, placing};

#[test]
fn demo_shows_every_ending() {
    let output = ordinal(&["--json", "demo"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ok"], true);
    let endings: Vec<&str> =
        told["orders"].as_array().unwrap().iter().map(|o| o["ending"].as_str().unwrap()).collect();
    assert_eq!(
        endings,
        [
            "FULFILLED",
            "CANCELLED INSUFFICIENT_STOCK",
            "CANCELLED CUSTOMER_REQUEST",
            "FULFILLED",
            "RETURNED, return approved",
            "FULFILLED, return rejected",
            "FULFILLED, return approved",
            "RETURNED",
            "FULFILLED, payment CAPTURED",
            "CANCELLED PAYMENT_FAILED, payment FAILED",
            "FULFILLED, return approved, payment PARTIALLY_REFUNDED",
            "CANCELLED CUSTOMER_REQUEST, payment VOIDED",
            "FULFILLED, return approved, payment PARTIALLY_REFUNDED",
            "FULFILLED, return approved",
            "FULFILLED",
            "CANCELLED SLA_TIMEOUT",
        ]
    );
    for order in told["orders"].as_array().unwrap() {
        assert!(!order["events"].as_array().unwrap().is_empty(), "{order}");
        assert!(!order["notifications"].as_array().unwrap().is_empty(), "{order}");
    }
    // What was done at the provider: nothing for orders without a payment.
    let kinds = |order: &Value| -> Vec<String> {
        let operations = order["operations"].as_array().unwrap().iter();
        let kind = |it: &Value| it["kind"].as_str().unwrap().replace("OPERATION_KIND_", "");
        operations.map(kind).collect()
    };
    let operations: Vec<_> = told["orders"].as_array().unwrap().iter().map(kinds).collect();
    assert!(operations[..8].iter().chain(&operations[13..]).all(Vec::is_empty), "{operations:?}");
    assert_eq!(operations[8], ["AUTHORIZE", "CAPTURE"]);
    assert_eq!(operations[9], ["AUTHORIZE"; 5]);
    assert_eq!(operations[10], ["AUTHORIZE", "CAPTURE", "REFUND"]);
    assert_eq!(operations[11], ["AUTHORIZE", "VOID"]);
    assert_eq!(operations[12], ["AUTHORIZE", "CAPTURE", "REFUND"]);
    // What was booked in the wallet: filled, held, taken, given back. No other order has one.
    let booked = |order: &Value| -> Vec<(String, i64)> {
        let entries = order["entries"].as_array().unwrap().iter();
        let transfers = entries.flat_map(|it| it["transfers"].as_array().unwrap());
        let kind = |it: &Value| it["kind"].as_str().unwrap().replace("TRANSFER_KIND_", "");
        let pence = |it: &Value| {
            let amount = &it["amount"];
            amount["units"].as_i64().unwrap() * 100 + amount["nanos"].as_i64().unwrap() / 10_000_000
        };
        transfers.map(|it| (kind(it), pence(it))).collect()
    };
    let booked: Vec<_> = told["orders"].as_array().unwrap().iter().map(booked).collect();
    assert!(booked[..12].iter().chain(&booked[13..]).all(Vec::is_empty), "{booked:?}");
    let of_wallet = [("POSTED", 5_000), ("HELD", 3_750), ("HOLD_POSTED", 3_750), ("POSTED", 1_250)];
    assert_eq!(booked[12], of_wallet.map(|(kind, pence)| (kind.to_owned(), pence)));
}

#[test]
fn demo_is_readable_by_people() {
    let output = ordinal(&["demo"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout);
    for expected in ["OrderPlaced", "SLA_TIMEOUT", "Every order ended as it should."] {
        assert!(told.contains(expected), "{expected} is not in {told}");
    }
}

#[test]
fn an_order_is_placed_read_listed_and_cancelled() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    engine.ask(&["stock", "set", "MUG", "5"]);

    let placed = engine.place(&["MUG=2@19.99GBP"]);
    let order = placed["order"]["order_id"].as_str().unwrap();
    assert_eq!(
        placed["order"]["total"],
        json!({"currency_code": "GBP", "units": 39, "nanos": 980_000_000})
    );
    assert_eq!(placed["events"][0]["name"], "OrderPlaced");

    engine.until(order, "CONFIRMED");
    let then = engine.ask(&["order", "get", order, "--as-of-version", "1"]);
    assert_eq!(then["order"]["status"], "ORDER_STATUS_PENDING");

    let would = engine.ask(&["order", "cancel", order, "--validate-only"]);
    assert_eq!(would["events"][0]["name"], "OrderCancelled");
    engine.until(order, "CONFIRMED");

    let cancelled = engine.ask(&["order", "cancel", order, "--text", "by phone"]);
    assert_eq!(cancelled["order"]["cancel_reason"], "CANCEL_REASON_OPS");
    let at_least =
        format!("{}:{}", cancelled["position"]["shard"], cancelled["position"]["position"]);
    let listed = engine.ask(&["order", "list", "--status", "cancelled", "--at-least", &at_least]);
    assert_eq!(listed["orders"][0]["order_id"], order);

    let history = engine.ask(&["order", "history", order]);
    let names: Vec<&str> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|recorded| recorded["event"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["OrderPlaced", "OrderConfirmed", "OrderCancelled"]);

    let diff = engine.ask(&["order", "diff", order, "--from", "2", "--to", "3"]);
    assert!(diff["changes"].as_array().unwrap().iter().any(|change| change["path"] == "status"));
}

#[test]
fn an_order_of_a_shop_is_placed_by_flags_and_shown_whole() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    let flags = [
        "--name",
        "Ada Lovelace",
        "--company",
        "Engines",
        "--street-line2",
        "Flat 2",
        "--region",
        "West Yorkshire",
        "--charge",
        "SHIPPING:Royal Mail=4.99GBP",
        "--discount",
        "SPRING=1.25GBP",
        "--tax",
        "1:VAT:20=1.90GBP",
        "--tax",
        "2:VAT:20=0.83GBP",
        "--tax-included",
    ];
    let lines = placing(&["MUG=3@3.33GBP", "PLATE=1@5GBP"]);
    let placed = engine.ask(&[&lines[..], &flags].concat());
    let order = &placed["order"];
    assert_eq!(
        order["total"],
        json!({ "currency_code": "GBP", "units": 18, "nanos": 730_000_000 })
    );
    assert_eq!(
        (&order["address"]["name"], &order["tax_mode"]),
        (&json!("Ada Lovelace"), &json!("TAX_MODE_INCLUDED"))
    );
    let id = order["order_id"].as_str().unwrap();
    let shown = ordinal(&["--address", &engine.address, "order", "get", id]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for text in [
        "Ada Lovelace, Engines",
        "1 High Street, Flat 2, London, West Yorkshire, EC1A 1BB, GB",
        "SPRING",
        "1.25 GBP",
        "20 %",
        "2.73 GBP",
        "with tax",
        "Royal Mail",
    ] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    let diff = engine.ask(&["order", "diff", id, "--from", "0", "--to", "1"]);
    let change = |path: &str| {
        let mut changes = diff["changes"].as_array().unwrap().iter();
        changes.find(|change| change["path"] == path).unwrap()["after"].clone()
    };
    assert_eq!(change("tax_mode"), "INCLUDED");
    assert_eq!(change("discounts[0]"), "SPRING: 1.25 GBP");
    assert_eq!(change("lines[2].taxes[0]"), "VAT 20 %: 0.83 GBP");
    let third = engine.refused(2, &[&lines[..], &["--tax", "3:VAT=1GBP"]].concat());
    assert!(third["message"].as_str().unwrap().contains("there is no line 3"), "{third}");
}

#[test]
fn a_parcel_and_a_return_change_stock_and_send_messages() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    engine.ask(&["stock", "set", "MUG", "5"]);
    let placed = engine.place(&["MUG=2@10GBP"]);
    let order = placed["order"]["order_id"].as_str().unwrap();
    engine.until(order, "CONFIRMED");
    engine.ask(&["order", "fulfill", order, "--carrier", "Royal Mail"]);
    engine.ask(&["return", "request", order, "--line", "1=1", "--reason", "too small"]);
    let refused = engine.refused(1, &["return", "approve", order, "--refund", "15GBP"]);
    assert_eq!(refused["reason"], "REFUND_NEEDS_REASON");
    let approved = engine.ask(&["return", "approve", order, "--line", "1=RESTOCK"]);
    assert_eq!(approved["order"]["refunded"]["units"], 10);

    let patience = Instant::now() + PATIENCE;
    loop {
        let stock = engine.ask(&["stock", "get", "MUG"]).to_string();
        if stock.contains("\"on_hand\":4") {
            break;
        }
        assert!(Instant::now() < patience, "{stock}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let followers = engine.ask(&["followers"]);
    let names: Vec<&str> = followers["followers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|follower| follower["name"].as_str().unwrap())
        .collect();
    let all = [
        "deadlines",
        "ledger-entries",
        "money-answers",
        "notifications",
        "order-identifiers",
        "order-returns",
        "order-summaries",
        "payments",
        "stock",
        "stock-answers",
    ];
    assert_eq!(names, all);
    let dead = engine.ask(&["dead-letter", "list"]);
    assert_eq!(dead["dead_letters"], json!([]));
    let replayed = engine.run(&["events", "replay", "--limit", "2"]);
    assert_eq!(String::from_utf8_lossy(&replayed.stdout).lines().count(), 2);
}

#[test]
fn a_rebuilt_read_model_shows_the_same() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    engine.ask(&["stock", "set", "MUG", "5"]);
    let placed = engine.place(&["MUG=2@10GBP"]);
    let order = placed["order"]["order_id"].as_str().unwrap();
    engine.until(order, "CONFIRMED");
    let list = || engine.ask(&["order", "list", "--status", "CONFIRMED"]);
    let patience = Instant::now() + PATIENCE;
    let before = loop {
        let before = list();
        if before["orders"].as_array().is_some_and(|orders| !orders.is_empty()) {
            break before;
        }
        assert!(Instant::now() < patience);
        std::thread::sleep(Duration::from_millis(50));
    };
    let rebuilt = engine.ask(&["read-model", "rebuild", "order-summaries"]);
    assert_eq!(rebuilt["events"], 2);
    assert_eq!(list(), before);
    engine.ask(&["read-model", "rebuild", "deadlines"]);
    engine.ask(&["read-model", "rebuild", "order-returns"]);
    engine.ask(&["read-model", "rebuild", "order-identifiers"]);
    assert_eq!(engine.ask(&["quarantined"])["quarantined"], json!([]));
}

#[test]
fn an_order_is_placed_from_a_file() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    let file = data.path().join("order.json");
    let order = json!({
        "customer_id": CUSTOMER,
        "lines": [{ "sku": "MUG", "quantity": 1,
                    "unit_price": { "currency_code": "GBP", "units": 5 } }],
        "address": { "street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB",
                     "country": "GB" },
    });
    std::fs::write(&file, order.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let placed = engine.ask(&["order", "place", "--file", file]);
    assert_eq!(placed["order"]["lines"][0]["ordered"], 1);
    // Without stock the engine cancels it by itself.
    let order = placed["order"]["order_id"].as_str().unwrap();
    let ended = engine.until(order, "CANCELLED");
    assert_eq!(ended["missing_skus"], json!(["MUG"]));
}

#[test]
fn refusals_have_codes_fields_and_exit_codes() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::start(data.path());
    let nobody = "018f6f3e-0000-7000-8000-0000000000ff";
    assert_eq!(engine.refused(1, &["order", "get", nobody])["reason"], "NOT_FOUND");
    // A text that is no UUID is a number, or a mistyped id: both are said.
    for (name, said) in [("anna", "number anna"), ("external:uk:7", "external id 7")] {
        for verb in ["get", "history"] {
            let refused = engine.refused(1, &["order", verb, name]);
            assert_eq!(refused["reason"], "NOT_FOUND");
            let message = refused["message"].as_str().unwrap();
            assert!(message.contains(said) && message.contains("a UUID"), "{message}");
        }
    }

    // Malformed according to the engine: exit code 2, with the field's name.
    let malformed = engine.refused(
        2,
        &[
            "order",
            "place",
            "--customer",
            CUSTOMER,
            "--line",
            "MUG=1@1GBP",
            "--street",
            "1 High Street",
            "--city",
            "London",
            "--country",
            "XX",
        ],
    );
    let fields = malformed["field_violations"].as_array().unwrap();
    assert!(
        fields.iter().any(|violation| violation["field"].as_str().unwrap().contains("country")),
        "{malformed}"
    );

    // Malformed according to the command line itself.
    for wrong in [
        vec!["order", "place", "--id", "no-uuid"],
        vec!["order", "place", "--line", "MUG"],
        vec!["order", "fly"],
        vec!["--as", "king:arthur", "followers"],
    ] {
        assert_eq!(engine.run(&wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(engine.refused(2, &["order", "list", "--status", "LOST"])["reason"], "USAGE");

    // Customers are not operators.
    let customer = format!("customer:{CUSTOMER}");
    let refused = engine.refused(1, &["--as", &customer, "followers"]);
    assert_eq!(refused["reason"], "FORBIDDEN");
    let refused = engine.refused(1, &["dead-letter", "put-back", "stock", nobody]);
    assert_eq!(refused["reason"], "NOT_FOUND");
    engine.refused(2, &["dead-letter", "drop", "stock", nobody, "--reason", " "]);
    engine.refused(2, &["dead-letter", "show", "nobody", nobody]);
}

#[test]
fn the_exit_code_is_3_where_no_engine_answers() {
    let address = format!("http://127.0.0.1:{}", free_port());
    let output = ordinal(&["--address", &address, "followers"]);
    assert_eq!(output.status.code(), Some(3));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("no engine answers"), "{error}");
}

#[test]
fn help_and_completions_need_no_engine() {
    for verb in ["order", "return", "stock", "load", "verify", "serve", "demo"] {
        assert!(ordinal(&[verb, "--help"]).status.success(), "{verb}");
    }
    let completions = ordinal(&["completions", "bash"]);
    assert!(String::from_utf8_lossy(&completions.stdout).contains("ordinal"));
}

#[test]
fn a_generic_client_places_and_cancels_by_reflection_alone() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start(directory.path());
    engine.ask(&["stock", "set", "MUG", "10"]);
    let python = std::env::var("ORDINAL_TEST_PYTHON")
        .expect("ORDINAL_TEST_PYTHON names a python with what tests need; scripts/test makes one");
    let output = std::process::Command::new(python)
        .arg("examples/place_and_cancel.py")
        .arg(engine.address.trim_start_matches("http://"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("PlaceOrder") && lines[0].ends_with("ORDER_STATUS_PENDING"));
    assert!(lines[1].ends_with("ORDER_STATUS_CANCELLED"), "{said}");
    assert!(lines[2].starts_with("FulfillOrder PERMISSION_DENIED"), "{said}");
}

#[test]
fn settings_come_from_a_file_and_flags_win() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ordinal.toml");
    let data = directory.path().join("data");
    let write = |more: &str| {
        let text = format!(
            "data = {data:?}\nwithout-stock = true\nconfirm-within = \"1h\"\norders-awake = 400\n{more}"
        );
        std::fs::write(&path, text).unwrap();
    };
    write("");
    let window = |flags: &[&str]| {
        let config = ["--config", path.to_str().unwrap()];
        let engine = Engine::start_with(&[&config, flags].concat());
        let order = engine.place(&["MUG=1@4.50GBP"])["order"].take();
        let time =
            |field: &str| -> jiff::Timestamp { order[field].as_str().unwrap().parse().unwrap() };
        let window = time("confirm_by").duration_since(time("placed_at")).as_secs();
        assert!(engine.stop().success());
        window
    };
    assert_eq!(window(&[]), 3_600);
    assert_eq!(window(&["--confirm-within", "2h"]), 7_200);
    assert!(data.join("journal.db").exists());

    for (wrong, named) in
        [("confrim = 1", "confrim"), ("config = \"x\"", "config"), ("= 1", "ordinal.toml")]
    {
        write(wrong);
        let output = ordinal(&["serve", "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(named), "{error}");
    }
}
