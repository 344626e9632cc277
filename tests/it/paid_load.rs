//! `ordinal load --pay`: invoices are paid at a simulated provider, credit notes paid back, and
//! what customers keep is what was taken, in three books.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nodes::databases;
use crate::paid_orders::Provider;
use crate::support::ordinal;

const ORDERS: u64 = 60;
/// A lost answer is asked for after 5, 20 and 80 s, and a call of a killed engine after a minute.
const PATIENCE: Duration = Duration::from_secs(240);

/// Orders of twelve customers, who return something of every third one.
fn file(directory: &Path) -> String {
    let mut text =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
            .to_owned();
    for number in 0..ORDERS {
        let rest = format!("2026-01-01 10:00:00,2.50,{},Norway", number % 12);
        writeln!(text, "{number},A-{},,{},{rest}", number % 17, number % 5 + 1).unwrap();
        writeln!(text, "{number},B-{number},,2,{rest}").unwrap();
        if number % 3 == 0 {
            writeln!(text, "C{number},B-{number},,-1,{rest}").unwrap();
        }
    }
    let path = directory.join("orders.csv");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn load(csv: &str, flags: &[&str]) -> Value {
    let output = ordinal(&[&["--json", "load", "--csv", csv], flags].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"))
}

fn verified(flags: &[&str]) {
    let output = ordinal(&[&["--json", "verify"], flags].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// The sums in GBP, where every book says the same and what was taken and not paid back is what is
/// kept.
fn agreed(report: &Value) -> (i64, i64) {
    let paid = &report["paid"];
    assert_eq!((&paid["differing"], &paid["sound"]), (&json!(0), &json!(true)), "{paid}");
    let sum = |name: &str| paid["sums"]["GBP"][name].as_i64().unwrap();
    let (captured, refunded) = (sum("captured"), sum("refunded"));
    assert_eq!((sum("captured_there"), sum("refunded_there")), (captured, refunded), "{paid}");
    assert_eq!(captured - refunded, sum("kept"), "{paid}");
    assert_eq!(paid.get("attempts_refused"), None, "{paid}");
    (captured, refunded)
}

/// What the file says of all its orders, and of the units that come back.
fn of_file() -> (i64, i64) {
    let orders = (0..ORDERS).map(|number| 250 * i64::try_from(number % 5 + 1 + 2).unwrap());
    (orders.sum(), 250 * i64::try_from(ORDERS / 3).unwrap())
}

fn all_are_paid(flags: &[&str]) {
    let directory = TempDir::new().unwrap();
    let csv = file(directory.path());
    let report = load(&csv, &[flags, &["--pay", "card", "--psp-faults", "7"]].concat());
    assert_eq!(report["fulfilled"], ORDERS, "{report}");
    assert_eq!(agreed(&report), of_file());
    assert_eq!((&report["paid"]["declined"], &report["left_out"]), (&json!(0), &json!(0)));
    verified(flags);
}

#[test]
fn invoices_are_paid_whatever_goes_wrong_on_sqlite() {
    let data = TempDir::new().unwrap();
    all_are_paid(&["--data", data.path().join("data").to_str().unwrap()]);
}

#[test]
fn invoices_are_paid_whatever_goes_wrong_on_postgres() {
    let (_runtime, [database]) = databases();
    all_are_paid(&["--database-url", &database.url()]);
}

/// The lines of an order that nobody is meant to pay are left out, and that is no failure.
#[test]
fn what_is_meant_to_stay_unpaid_is_no_failure() {
    let directory = TempDir::new().unwrap();
    let csv = file(directory.path());
    let text = std::fs::read_to_string(&csv).unwrap();
    // A credit note of such an order would find nothing to return.
    let orders: Vec<&str> = text.lines().filter(|line| !line.starts_with('C')).collect();
    std::fs::write(&csv, orders.join("\n")).unwrap();
    let data = directory.path().join("data").display().to_string();
    let output = ordinal(&["--json", "load", "--csv", &csv, "--data", &data, "--pay", "mixed"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let unpaid = report["paid"]["unpaid"].as_u64().unwrap();
    assert!(unpaid > 1 && report["left_out"] == 2 * unpaid, "{report}");
    assert_eq!(report["paid"]["open"], 0, "{report}");
    assert_eq!(output.status.code(), Some(0), "{report}");
}

/// Each with a provider of its own, which outlives the load.
#[test]
fn a_killed_load_takes_and_pays_back_the_same() {
    let directory = TempDir::new().unwrap();
    let csv = file(directory.path());
    let paid = |name: &str, provider: &Provider| -> Vec<String> {
        let data = directory.path().join(name).display().to_string();
        let address = provider.address.clone();
        ["--data", &data, "--pay", "mixed", "--psp", &address].map(str::to_owned).to_vec()
    };
    let run = |flags: &[String]| load(&csv, &flags.iter().map(String::as_str).collect::<Vec<_>>());
    let calm = Provider::start(&[]);
    let expected = run(&paid("calm", &calm));
    let (captured, refunded) = agreed(&expected);
    let (declined, unpaid) = (&expected["paid"]["declined"], &expected["paid"]["unpaid"]);
    assert!(declined.as_u64().unwrap() > 3 && unpaid.as_u64().unwrap() > 1, "{expected}");
    assert!(captured < of_file().0 && refunded <= of_file().1, "{expected}");

    let provider = Provider::start(&[]);
    let flags = paid("killed", &provider);
    for at_least in [5, 20] {
        let mut killed = Command::new(env!("CARGO_BIN_EXE_ordinal"))
            .args(["load", "--csv", &csv, "--in-flight", "2"])
            .args(&flags)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let since = Instant::now();
        while provider.book()["payments"].as_array().unwrap().len() < at_least {
            assert!(since.elapsed() < PATIENCE, "{}", provider.book());
            // What is looked at needs the cores.
            std::thread::sleep(Duration::from_millis(20));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    let again = run(&flags);
    agreed(&again);
    for same in ["paid", "returned", "fulfilled", "placed", "unmatched", "left_out"] {
        assert_eq!(again[same], expected[same], "{same}");
    }
    assert_eq!(provider.book()["totals"]["GBP"]["captured"], captured.to_string());
    verified(&[&flags[0], &flags[1]]);
    // Once more, and nothing happens.
    let once_more = run(&flags);
    assert_eq!((&once_more["appended"], &once_more["paid"]), (&json!(0), &expected["paid"]));
    assert_eq!(provider.book()["totals"]["GBP"]["captured"], captured.to_string());
}

#[test]
fn what_cannot_be_paid_is_said() {
    let csv = "examples/orders.csv";
    for (flags, named) in [
        (&["--pay", "card", "--address", "http://127.0.0.1:9"][..], "starts the engine itself"),
        (&["--pay", "card", "--simulate-time"], "--simulate-time"),
        (&["--pay", "card", "--format", "shopify"], "other formats"),
        (&["--pay", "card", "--psp", "nowhere"], "--psp"),
        (&["--psp-faults", "7"], "--pay"),
        (&["--pay", "cash"], "cash"),
    ] {
        let output = ordinal(&[&["load", "--csv", csv], flags].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {error}");
        assert!(error.contains(named), "{flags:?}: {error}");
    }
}
