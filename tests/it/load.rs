//! `ordinal load` as its users run it: a file, an engine, twice, and killed in between.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shop::TestDatabase;
use crate::support::{Engine, PATIENCE, free_port, ordinal};

const EXAMPLE: &str = "examples/orders.csv";

fn load(csv: &str, flags: &[&str]) -> Value {
    let mut all = vec!["--json", "load", "--csv", csv];
    all.extend(flags);
    loaded(&ordinal(&all))
}

/// The report of a load; its exit code says whether a line of the file was left out.
fn loaded(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    let summary: Value = serde_json::from_slice(&output.stdout).expect(&error);
    let expected = i32::from(summary["left_out"] != 0);
    assert_eq!(output.status.code(), Some(expected), "{summary}: {error}");
    summary
}

fn verified(flags: &[&str]) -> Value {
    let mut all = vec!["--json", "verify"];
    all.extend(flags);
    let output = ordinal(&all);
    let summary = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{all:?}: {error}{summary}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The part of a report that depends on the file, not on the run.
fn outcome(report: &Value) -> Value {
    let mut report = report.clone();
    report.as_object_mut().unwrap().remove("first_left_out").unwrap();
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
fn every_example_line_is_counted_and_a_second_load_changes_nothing() {
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
        "returns_refused": {}, "fulfil_refused": {}, "left_out": 7, "commands": 14,
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

const HEAD: &str =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

/// Loads these lines below a header, with a report.
fn load_lines(directory: &Path, lines: &str) -> (Value, Value) {
    let csv = directory.join("lines.csv");
    let report = directory.join("lines.json");
    let data = directory.join("data");
    std::fs::write(&csv, format!("{HEAD}{lines}")).unwrap();
    let flags = ["--data", data.to_str().unwrap(), "--report", report.to_str().unwrap()];
    let summary = load(csv.to_str().unwrap(), &flags);
    (summary, serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap())
}

/// An invoice of one mug.
fn invoice(number: u64, description: &str, time: &str) -> String {
    format!("{number},MUG,{description},1,{time},4.50,{number},Germany\n")
}

const TIME: &str = "2026-03-02 09:15:00";

#[test]
fn units_of_spreadsheets_and_common_names_of_countries_are_read() {
    let directory = TempDir::new().unwrap();
    let row = |number: &str, units: &str, country: &str| {
        format!("{number},MUG,MUG,{units},{TIME},4.50,501,{country}\n")
    };
    let lines = [
        row("80001", "6.0", "United States"),
        row("80002", "1.00", "Mexico"),
        row("80003", "2", "India"),
        row("80004", "6.5", "India"),
        row("80005", "1", "European Community"),
        row("80006", "1", "Channel Islands"),
        row("80007", "1", "Unspecified"),
        row("C80008", "-2.0", "United States"),
    ];
    let (summary, report) = load_lines(directory.path(), &lines.concat());
    assert_eq!((&summary["placed"], &summary["fulfilled"]), (&json!(3), &json!(3)), "{summary}");
    assert_eq!(summary["returned"]["units"], 2, "{summary}");
    let refused = [
        (5, "QUANTITY_UNREADABLE"),
        (6, "INVALID_ADDRESS"),
        (7, "INVALID_ADDRESS"),
        (8, "INVALID_ADDRESS"),
    ];
    assert_eq!(codes(&report), refused);
    let data = directory.path().join("data");
    let listed = verified(&["--data", data.to_str().unwrap()]);
    assert!(listed["events"].as_u64().unwrap() > 0, "{listed}");
}

#[test]
fn an_unclosed_quote_costs_its_own_line_and_is_reported() {
    let directory = TempDir::new().unwrap();
    let lines: String = (70_001..=70_012)
        .map(|number| {
            let description = match number {
                // Over two lines, as a field may be.
                70_002 => "\"MUG,\nBLUE\"",
                70_004 => "\"12 INCH MUG",
                70_008 => "8 INCH MUG\"",
                _ => "MUG",
            };
            invoice(number, description, TIME)
        })
        .collect();
    let (summary, report) = load_lines(directory.path(), &lines);
    assert_eq!((&summary["lines"], &summary["placed"]), (&json!(12), &json!(11)), "{summary}");
    assert_eq!(summary["left_out"], 1);
    assert_eq!(codes(&report), [(6, "QUOTE_NOT_CLOSED")]);
    assert_eq!(report["problems"][0]["invoice"], "70004");
    assert_eq!(summary["first_left_out"], report["problems"]);
}

#[test]
fn an_endless_field_is_skipped_in_bounded_memory() {
    let directory = TempDir::new().unwrap();
    let lines = [
        invoice(1, &"x".repeat(3 << 20), TIME),
        invoice(2, &format!("\"{}", "x\n".repeat(200)), TIME),
        invoice(3, "MUG", TIME),
    ];
    let (summary, report) = load_lines(directory.path(), &lines.concat());
    assert_eq!(summary["placed"], 1, "{summary}");
    assert_eq!(codes(&report)[..2], [(2, "MALFORMED_LINE"), (3, "QUOTE_NOT_CLOSED")]);
    // Every line after the quote was read by itself.
    assert_eq!(summary["left_out"], 2 + 200);
}

#[test]
fn offsets_of_times_are_applied() {
    let directory = TempDir::new().unwrap();
    let times = [
        TIME,
        "2026-03-02T09:15:00-05:00",
        "2026-03-02T09:15:00Z",
        "2026-03-02 09:15:00 -0500",
        "2026-03-02T09:15:00+01:00[Europe/Berlin]",
        // Berlin had another offset then.
        "2026-03-02T09:15:00+02:00[Europe/Berlin]",
    ];
    let lines = (1..).zip(times).map(|(number, time)| invoice(number, "MUG", time));
    let (summary, report) = load_lines(directory.path(), &lines.collect::<String>());
    assert_eq!(summary["placed"], 5, "{summary}");
    assert_eq!(codes(&report), [(7, "TIME_UNREADABLE")]);
    let engine = Engine::start(&directory.path().join("data"));
    let listed = engine.ask(&["order", "list"]);
    let mut ordered: Vec<String> = listed["orders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| {
            let order = order["order_id"].as_str().unwrap();
            let order = engine.ask(&["order", "get", order])["order"].take();
            order["ordered_at"].as_str().unwrap()[11..16].to_owned()
        })
        .collect();
    ordered.sort_unstable();
    assert_eq!(ordered, ["08:15", "09:15", "09:15", "14:15", "14:15"]);
}

#[test]
fn a_report_is_replaced_only_when_the_next_is_complete() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let report = directory.path().join("report.json");
    let report = report.to_str().unwrap();
    std::fs::write(report, "an earlier one").unwrap();
    let wrong = directory.path().join("semicolons.csv");
    std::fs::write(&wrong, HEAD.replace(',', ";")).unwrap();
    let wrong = wrong.to_str().unwrap();
    let begins = |flags: &[&str]| ordinal(&[&["load", "--report", report], flags].concat());
    let output = begins(&["--csv", wrong, "--data", data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("semicolons"), "{error}");
    // Nobody answers there.
    let unreachable = format!("http://127.0.0.1:{}", free_port());
    assert_eq!(begins(&["--csv", EXAMPLE, "--address", &unreachable]).status.code(), Some(3));
    assert_eq!(std::fs::read_to_string(report).unwrap(), "an earlier one");
    // And nothing is left beside it.
    let files = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(files, 2);

    load(EXAMPLE, &["--data", data.to_str().unwrap(), "--report", report]);
    assert!(std::fs::read_to_string(report).unwrap().starts_with("{\"problems\":["));
    // A path that is no ordinary file is written to, not replaced.
    let flags = ["load", "--csv", EXAMPLE, "--data", data.to_str().unwrap(), "--report"];
    let output = ordinal(&[&flags[..], &["/dev/stdout"]].concat());
    assert!(String::from_utf8_lossy(&output.stdout).contains("OTHER_PRICE"));
}

#[test]
fn windows_follow_the_times_of_the_file_under_simulated_time() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().to_str().unwrap();
    let flags = ["--data", data, "--simulate-time", "--stock", "exact"];
    let report = load(EXAMPLE, &flags);
    // The last credit note comes 49 days after its order was shipped.
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
    // 6 + 2 + 1 (refused with its invoice) are sold in total, 8 were shipped, 2 came back.
    assert_eq!(engine.ask(&["stock", "get", "MUG-BLUE"])["stock"]["on_hand"], 3);
}

#[test]
fn orders_beyond_the_stock_are_cancelled_and_counted() {
    let directory = TempDir::new().unwrap();
    let engine = Engine::start(directory.path());
    let report = loaded(&engine.run(&["load", "--csv", EXAMPLE, "--stock", "5"]));
    assert_eq!(report["cancelled"], json!({ "INSUFFICIENT_STOCK": 2 }));
    assert_eq!((&report["placed"], &report["confirmed"]), (&json!(4), &json!(2)));
    engine.ask(&["verify"]);
}

#[test]
fn an_invalid_file_is_refused_before_an_engine_starts() {
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

/// A pipe can be read once only.
#[test]
fn a_file_is_read_once() {
    let directory = TempDir::new().unwrap();
    for (name, flags) in [
        ("plain", &[][..]),
        ("simulated", &["--simulate-time"]),
        ("shopify", &["--format", "shopify", "--encoding", "utf-8"]),
    ] {
        let pipe = directory.path().join(name);
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let from = if name == "shopify" { "examples/orders/shopify.csv" } else { EXAMPLE };
        let (text, to) = (std::fs::read(from).unwrap(), pipe.clone());
        let writer = std::thread::spawn(move || std::fs::write(to, text).unwrap());
        let data = directory.path().join(format!("{name}.data")).display().to_string();
        let flags = [&["--json", "load", "--data", &data, "--csv", pipe.to_str().unwrap()], flags];
        let output = ordinal(&flags.concat());
        let error = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).expect(&error);
        assert!(report["placed"].as_u64().unwrap() > 1, "{name}: {report}");
        writer.join().unwrap();
    }
}

const ORDERS: u64 = 300;
/// Three per order, two per return.
const EVENTS: u64 = ORDERS * 3 + ORDERS / 3 * 2;
/// Slow enough that the load is under way when it is checked.
const SLOW: [&str; 2] = ["--in-flight", "2"];
/// After how many events it is killed: early, since it goes on while they are counted.
const KILLED_AFTER: [u64; 2] = [30, 120];

/// Orders of 30 customers, who return something of every third one.
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

/// Kills a load, with the engine in it, twice; the result is as if nothing had happened.
fn killed_on_the_way(csv: &str, flags: &[&str], expected: &Value) {
    for at_least in KILLED_AFTER {
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
    assert_eq!(outcome(&report), *expected);
    let events = verified(flags)["events"].clone();
    assert_eq!(events, EVENTS);
    assert_eq!(load(csv, flags)["appended"], 0);
    assert_eq!(verified(flags)["events"], events);
}

/// The engine is killed under a load that runs beside it, and is back a moment later: the load
/// continues by itself, and nothing acknowledged is lost.
#[test]
fn a_load_survives_a_killed_engine() {
    let directory = TempDir::new().unwrap();
    let csv = file(directory.path());
    let expected = directory.path().join("whole");
    let expected = outcome(&load(&csv, &["--data", expected.to_str().unwrap()]));
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
    for at_least in KILLED_AFTER {
        let patience = Instant::now() + PATIENCE;
        while verified(&["--data", data])["events"].as_u64().unwrap() < at_least {
            assert!(Instant::now() < patience);
        }
        engine.kill();
        let events = verified(&["--data", data])["events"].as_u64().unwrap();
        assert!(events < EVENTS, "the load had ended before the engine was killed");
        engine = Engine::start_with(&flags);
    }
    let report = loaded(&driven.wait_with_output().unwrap());
    assert_eq!(outcome(&report), expected);
    engine.ask(&["verify"]);
    assert!(engine.stop().success());
    assert_eq!(verified(&["--data", data])["events"], EVENTS);
}

#[test]
fn a_killed_load_that_is_repeated_ends_the_same_on_sqlite() {
    let directory = TempDir::new().unwrap();
    let csv = file(directory.path());
    let expected = directory.path().join("whole");
    let expected = outcome(&load(&csv, &["--data", expected.to_str().unwrap()]));
    assert_eq!(expected["returned"]["lines"], ORDERS / 3);
    let data = directory.path().join("data");
    killed_on_the_way(&csv, &["--data", data.to_str().unwrap()], &expected);
}

#[test]
fn a_killed_load_that_is_repeated_ends_the_same_on_postgres() {
    let directory = TempDir::new().unwrap();
    let csv = file(directory.path());
    let expected = directory.path().join("whole");
    let expected = outcome(&load(&csv, &["--data", expected.to_str().unwrap()]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    killed_on_the_way(&csv, &["--database-url", &database.url()], &expected);
    runtime.block_on(database.drop());
}

#[test]
fn a_steady_load_keeps_its_rate_and_counts_every_call() {
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
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let calls = summary["calls"].as_object().unwrap();
    let kinds: Vec<&str> = calls.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["cancel", "fulfill", "get", "list", "place"]);
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(
        calls.values().map(|summary| number(&summary["sent"])).sum::<u64>(),
        120,
        "{summary}"
    );
    for (kind, summary) in calls {
        let refused = summary["refused"].as_object().unwrap();
        let all = number(&summary["done"]) + refused.values().map(number).sum::<u64>();
        assert_eq!(number(&summary["sent"]), all, "{kind}: {summary}");
        // Orders that are not confirmed yet, or cancelled, or shipped, are refused with that
        // reason.
        let known = refused.keys().all(|code| code == "INVALID_TRANSITION");
        assert!(
            known && (refused.is_empty() || kind == "fulfill" || kind == "cancel"),
            "{summary}"
        );
        let latency = &summary["latency_micros"];
        assert!(number(&latency["p50"]) <= number(&latency["p99"]), "{summary}");
    }
    verified(&["--data", data]);

    for wrong in [&["--rate", "10", "--mix", "buy=1"][..], &["--rate", "0"], &["--duration", "1s"]]
    {
        let all = [&["load", "--data", data], wrong].concat();
        assert_eq!(ordinal(&all).status.code(), Some(2), "{wrong:?}");
    }
}
