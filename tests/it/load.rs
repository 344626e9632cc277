//! `ordinal load` as its users run it: a file, an engine, twice, and killed in between.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shop::TestDatabase;
use crate::smtp::free_port;
use crate::support::{Engine, PATIENCE, ordinal};

const EXAMPLE: &str = "examples/orders.csv";

fn load(csv: &str, flags: &[&str]) -> Value {
    let mut all = vec!["--json", "load", "--csv", csv];
    all.extend(flags);
    let output = ordinal(&all);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{all:?}: {error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn verified(flags: &[&str]) -> Value {
    let mut all = vec!["--json", "verify"];
    all.extend(flags);
    let output = ordinal(&all);
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{all:?}: {error}{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a load found out about its file, without what the run itself took.
fn outcome(report: &Value) -> Value {
    let mut report = report.clone();
    for own in ["appended", "seconds", "commands_per_second", "latency_micros"] {
        report.as_object_mut().unwrap().remove(own).unwrap();
    }
    report
}

fn codes(report: &Value) -> Vec<(u64, &str)> {
    let mut codes: Vec<(u64, &str)> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (problem["line"].as_u64().unwrap(), problem["code"].as_str().unwrap()))
        .collect();
    codes.sort_unstable();
    codes
}

#[test]
fn every_line_of_the_example_is_accounted_for_and_a_second_load_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let path = directory.path().join("report.json");
    let flags = ["--data", data, "--report", path.to_str().unwrap()];
    let first = load(EXAMPLE, &flags);
    let expected = json!({
        "lines": 15, "invoices": 11, "orders": 7, "credit_notes": 4,
        "placed": 4, "confirmed": 4, "fulfilled": 4, "unconfirmed": 0, "cancelled": {},
        "refused": { "INVALID_ADDRESS": 1, "INVALID_LINE": 1, "QUANTITY_OUT_OF_RANGE": 1 },
        "returned": { "returns": 2, "lines": 2, "units": 4, "minor": 1540, "currency": "GBP" },
        "unmatched": { "NO_CUSTOMER": 1, "OTHER_PRICE": 1, "TOO_FEW_UNITS": 1 },
        "returns_refused": {}, "fulfil_refused": {}, "commands": 14,
    });
    assert_eq!(outcome(&first), expected);
    assert_eq!(first["appended"], 12);
    let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let refused = [
        (9, "OTHER_PRICE"),
        (10, "TOO_FEW_UNITS"),
        (11, "NO_CUSTOMER"),
        (12, "QUANTITY_OUT_OF_RANGE"),
        (13, "INVALID_LINE"),
        (14, "OTHER_LINE_REFUSED"),
        (15, "INVALID_ADDRESS"),
    ];
    assert_eq!(codes(&report), refused);

    let events = verified(&["--data", data])["events"].clone();
    let second = load(EXAMPLE, &flags);
    assert_eq!(outcome(&second), expected);
    assert_eq!(second["appended"], 0);
    assert_eq!(verified(&["--data", data])["events"], events);
}

#[test]
fn with_simulated_time_windows_act_as_they_would_have_then() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().to_str().unwrap();
    let flags = ["--data", data, "--simulate-time", "--stock", "exact"];
    let report = load(EXAMPLE, &flags);
    // The last credit note comes 49 days after its order was sent.
    assert_eq!(report["returns_refused"], json!({ "RETURN_WINDOW_EXPIRED": 1 }));
    assert_eq!(report["returned"]["lines"], 1);
    assert_eq!(load(EXAMPLE, &flags)["appended"], 0);
    verified(&["--data", data]);
    let engine = Engine::start(directory.path());
    let orders = engine.ask(&["order", "list", "--status", "RETURNED"]);
    assert_eq!(orders["orders"].as_array().unwrap().len(), 0);
    let listed = engine.ask(&["order", "list"]);
    let placed_at = listed["orders"][0]["placed_at"].as_str().unwrap();
    assert!(placed_at.starts_with("2026-03-03T08:00:00"), "{placed_at}");
    // 6 + 2 + 1 (refused with its invoice) are sold in all, 8 left the house, 2 came back.
    assert_eq!(engine.ask(&["stock", "get", "MUG-BLUE"])["stock"]["on_hand"], 3);
}

#[test]
fn what_stock_cannot_hold_is_cancelled_and_counted() {
    let directory = TempDir::new().unwrap();
    let engine = Engine::start(directory.path());
    let report = engine.ask(&["load", "--csv", EXAMPLE, "--stock", "5"]);
    assert_eq!(report["cancelled"], json!({ "INSUFFICIENT_STOCK": 2 }));
    assert_eq!((&report["placed"], &report["confirmed"]), (&json!(4), &json!(2)));
    engine.ask(&["verify"]);
}

#[test]
fn what_is_no_such_file_is_said_before_an_engine_starts() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let wrong = directory.path().join("wrong.csv");
    std::fs::write(&wrong, "a,b\n1,2\n").unwrap();
    for (csv, named) in [("nowhere.csv", "nowhere.csv"), (wrong.to_str().unwrap(), "InvoiceNo")] {
        let output = ordinal(&["--json", "load", "--csv", csv, "--data", data.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(named), "{error}");
    }
    assert!(!data.exists(), "an engine was started");
    let flags = ["load", "--csv", EXAMPLE, "--address", "http://127.0.0.1:9", "--simulate-time"];
    assert_eq!(ordinal(&flags).status.code(), Some(2));
}

const ORDERS: u64 = 300;
/// Three per order, two per return.
const EVENTS: u64 = ORDERS * 3 + ORDERS / 3 * 2;
/// Slow enough that a load is surely under way when it is looked at.
const SLOW: [&str; 2] = ["--in-flight", "3"];

/// Orders of 30 customers, who send something back of every third one.
fn file(directory: &Path) -> String {
    let mut text =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
            .to_owned();
    for number in 0..ORDERS {
        let customer = number % 30;
        let rest = format!("2026-01-01 10:00:00,2.50,{customer},Norway");
        writeln!(text, "{number},A-{},,{},{rest}", number % 17, number % 5 + 1).unwrap();
        writeln!(text, "{number},B-{},,2,{rest}", number % 7).unwrap();
        if number % 3 == 0 {
            writeln!(text, "C{number},B-{},,-1,{rest}", number % 7).unwrap();
        }
    }
    let path = directory.join("orders.csv");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Kills a load, with the engine in it, twice on its way; the end is as if nothing had happened.
fn killed_on_the_way(csv: &str, flags: &[&str], whole: &Value) {
    for at_least in [30, 200] {
        let mut killed = Command::new(env!("CARGO_BIN_EXE_ordinal"))
            .args(["load", "--csv", csv])
            .args(SLOW)
            .args(flags)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let patience = Instant::now() + PATIENCE;
        // The laws hold at every moment, also beside a working engine.
        loop {
            let output = ordinal(&[&["--json", "verify"], flags].concat());
            // At first there is nothing to open.
            if let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) {
                assert_eq!(report["findings"], json!([]));
                if report["events"].as_u64().unwrap() >= at_least {
                    break;
                }
            }
            assert!(Instant::now() < patience, "{}", String::from_utf8_lossy(&output.stderr));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        let events = verified(flags)["events"].as_u64().unwrap();
        assert!(events < EVENTS, "the load had ended before it was killed");
    }
    let report = load(csv, flags);
    assert_eq!(outcome(&report), *whole);
    let events = verified(flags)["events"].clone();
    assert_eq!(events, EVENTS);
    assert_eq!(load(csv, flags)["appended"], 0);
    assert_eq!(verified(flags)["events"], events);
}

/// The engine is killed under a load that runs beside it, and is back a moment later: the load goes
/// on by itself, and nothing that was acknowledged is lost.
#[test]
fn it_outlives_the_engine_it_drives() {
    let directory = TempDir::new().unwrap();
    let csv = file(directory.path());
    let whole = directory.path().join("whole");
    let whole = outcome(&load(&csv, &["--data", whole.to_str().unwrap()]));
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let flags = ["--data", data, "--listen", &listen];
    let mut engine = Engine::start_with(&flags);
    let driven = Command::new(env!("CARGO_BIN_EXE_ordinal"))
        .args(["--json", "--address", &engine.address, "load", "--csv", &csv])
        .args(SLOW)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for at_least in [30, 200] {
        let patience = Instant::now() + PATIENCE;
        while verified(&["--data", data])["events"].as_u64().unwrap() < at_least {
            assert!(Instant::now() < patience);
        }
        engine.kill();
        let events = verified(&["--data", data])["events"].as_u64().unwrap();
        assert!(events < EVENTS, "the load had ended before the engine was killed");
        engine = Engine::start_with(&flags);
    }
    let output = driven.wait_with_output().unwrap();
    assert!(output.status.success());
    let report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcome(&report), whole);
    engine.ask(&["verify"]);
    assert!(engine.stop().success());
    assert_eq!(verified(&["--data", data])["events"], EVENTS);
}

#[test]
fn killed_and_run_again_it_ends_the_same_on_sqlite() {
    let directory = TempDir::new().unwrap();
    let csv = file(directory.path());
    let whole = directory.path().join("whole");
    let whole = outcome(&load(&csv, &["--data", whole.to_str().unwrap()]));
    assert_eq!(whole["returned"]["lines"], ORDERS / 3);
    let data = directory.path().join("data");
    killed_on_the_way(&csv, &["--data", data.to_str().unwrap()], &whole);
}

#[test]
fn killed_and_run_again_it_ends_the_same_on_postgres() {
    let directory = TempDir::new().unwrap();
    let csv = file(directory.path());
    let whole = directory.path().join("whole");
    let whole = outcome(&load(&csv, &["--data", whole.to_str().unwrap()]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    killed_on_the_way(&csv, &["--database-url", &database.url()], &whole);
    runtime.block_on(database.drop());
}

#[test]
fn a_steady_load_asks_as_often_as_it_is_told_and_accounts_for_every_call() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let mix = "place=5,get=2,list=1,cancel=1,fulfill=1";
    let output = ordinal(&[
        "--json",
        "load",
        "--rate",
        "60",
        "--duration",
        "2s",
        "--mix",
        mix,
        "--data",
        data,
    ]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let calls = told["calls"].as_object().unwrap();
    let kinds: Vec<&str> = calls.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["cancel", "fulfill", "get", "list", "place"]);
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(calls.values().map(|told| number(&told["sent"])).sum::<u64>(), 120, "{told}");
    for (kind, told) in calls {
        let refused = told["refused"].as_object().unwrap();
        let all = number(&told["done"]) + refused.values().map(number).sum::<u64>();
        assert_eq!(number(&told["sent"]), all, "{kind}: {told}");
        // Orders that are not confirmed yet, or cancelled, or sent, say so.
        let known = refused.keys().all(|code| code == "INVALID_TRANSITION");
        assert!(known && (refused.is_empty() || kind == "fulfill" || kind == "cancel"), "{told}");
        let latency = &told["latency_micros"];
        assert!(number(&latency["p50"]) <= number(&latency["p99"]), "{told}");
    }
    verified(&["--data", data]);

    for wrong in [&["--rate", "10", "--mix", "buy=1"][..], &["--rate", "0"], &["--duration", "1s"]]
    {
        let all = [&["load", "--data", data], wrong].concat();
        assert_eq!(ordinal(&all).status.code(), Some(2), "{wrong:?}");
    }
}
