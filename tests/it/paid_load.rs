//! `ordinal load --pay`: invoices are paid at a simulated provider or by wallets, credit notes paid
//! back, and what customers keep is what was taken, in all books.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nodes::databases;
use crate::paid_orders::Provider;
use crate::support::{Engine, ordinal};

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

/// The same with invoices that cost nothing or in part nothing, one of a guest, and their credit
/// notes: nobody knows to whom the guest's belongs.
fn odd_file(directory: &Path) -> String {
    let csv = file(directory);
    let mut text = std::fs::read_to_string(&csv).unwrap();
    for (invoice, price, customer) in [
        ("F1,A-1,,3", "0.00", "1"),
        ("F2,A-2,,1", "0.00", "2"),
        ("F2,B-F,,1", "2.50", "2"),
        ("G1,A-3,,2", "2.50", ""),
        ("CF1,A-1,,-1", "0.00", "1"),
        ("CG1,A-3,,-1", "2.50", ""),
    ] {
        writeln!(text, "{invoice},2026-01-02 10:00:00,{price},{customer},Norway").unwrap();
    }
    std::fs::write(&csv, text).unwrap();
    csv
}

/// What the further orders of it cost, and how many there are.
const ODD: (i64, u64) = (250 + 500, 3);

fn load(csv: &str, flags: &[&str]) -> Value {
    let output = ordinal(&[&["--json", "load", "--csv", csv], flags].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"))
}

fn verified(flags: &[&str]) -> Value {
    let output = ordinal(&[&["--json", "verify"], flags].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).unwrap()
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

/// What of a sum in GBP is of wallets.
fn by_wallets(report: &Value, name: &str) -> i64 {
    report["paid"]["wallets"]["GBP"][name].as_i64().unwrap()
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

/// Each wallet is filled with what its orders cost, once, and has in the end what came back.
fn all_are_paid_by_wallets(flags: &[&str]) {
    let directory = TempDir::new().unwrap();
    let csv = odd_file(directory.path());
    let paid = [flags, &["--pay", "wallet"]].concat();
    let report = load(&csv, &paid);
    assert_eq!((&report["fulfilled"], &report["left_out"]), (&json!(ORDERS + ODD.1), &json!(1)));
    assert_eq!(report["unmatched"], json!({ "NO_CUSTOMER": 1 }));
    let (captured, refunded) = agreed(&report);
    assert_eq!((captured, refunded), (of_file().0 + ODD.0, of_file().1));
    assert_eq!(by_wallets(&report, "topped_up"), captured);
    assert_eq!(by_wallets(&report, "captured"), captured);
    // Once more, and nothing happens.
    let again = load(&csv, &paid);
    assert_eq!((&again["appended"], &again["paid"]), (&json!(0), &report["paid"]));
    let engine = Engine::start_with(flags);
    let pence = |account: &Value| -> i64 {
        let posted = &account["balance"]["posted"];
        posted["units"].as_i64().unwrap() * 100 + posted["nanos"].as_i64().unwrap() / 10_000_000
    };
    let balance = |name: &str| pence(&engine.ask(&["ledger", "balance", name])["account"]);
    assert_eq!(balance("wallet_funding:GBP"), captured);
    assert_eq!(balance("psp_receivable:wallet:GBP"), 0);
    let wallets = engine.ask(&["ledger", "accounts", "--prefix", "wallet:"]);
    let wallets = wallets["accounts"].as_array().unwrap();
    // Of twelve customers and a guest.
    assert_eq!((wallets.len(), wallets.iter().map(pence).sum::<i64>()), (13, refunded));
    assert!(engine.stop().success());
    let checked = verified(flags)["checked"]["wallets_as_payments"].as_u64();
    assert!(checked.is_some_and(|checked| checked > 0), "{checked:?}");
}

#[test]
fn invoices_are_paid_by_wallets_on_sqlite() {
    let data = TempDir::new().unwrap();
    all_are_paid_by_wallets(&["--data", data.path().join("data").to_str().unwrap()]);
}

#[test]
fn invoices_are_paid_by_wallets_on_postgres() {
    let (_runtime, [database]) = databases();
    all_are_paid_by_wallets(&["--database-url", &database.url()]);
}

/// An export of a shop: charges, a parcel of a part, an order that is cancelled, one that is refunded
/// as the file says. A wallet pays all of an order with its first parcel.
#[test]
fn orders_of_shops_are_paid_and_what_the_file_refunds_goes_back() {
    let directory = TempDir::new().unwrap();
    let mut captured = Vec::new();
    for how in ["card", "wallet"] {
        let data = directory.path().join(how).display().to_string();
        let flags = ["--format", "shopify", "--data", &data, "--pay", how];
        let report = load("examples/orders/shopify.csv", &flags);
        let paid = &report["paid"];
        assert_eq!((&paid["differing"], &paid["sound"]), (&json!(0), &json!(true)), "{paid}");
        assert_eq!(paid["open"], 0, "{paid}");
        for code in ["GBP", "USD"] {
            let sum = |name: &str| paid["sums"][code][name].as_i64().unwrap();
            assert_eq!(sum("captured") - sum("refunded"), sum("kept"), "{paid}");
            assert_eq!(sum("captured"), sum("captured_there"), "{paid}");
            assert_eq!(sum("refunded"), sum("refunded_there"), "{paid}");
        }
        let dollars = &paid["sums"]["USD"];
        assert_eq!((&dollars["captured"], &dollars["refunded"]), (&json!(5_000), &json!(5_000)));
        captured.push(paid["sums"]["GBP"]["captured"].as_i64().unwrap());
        let again = load("examples/orders/shopify.csv", &flags);
        assert_eq!((&again["appended"], &again["paid"]), (&json!(0), paid));
        verified(&["--data", &data]);
    }
    assert!(0 < captured[0] && captured[0] < captured[1], "{captured:?}");
}

/// What goes wrong at the provider while the load is killed, too.
const FAULTS: &str =
    "timeout_before=10,timeout_after=10,error_before=5,error_after=5,busy=10,slow=10,unseen=5";

/// Each with a provider of its own, which outlives the load.
fn a_killed_load_takes_and_pays_back_the_same(stored: &[&str]) {
    let directory = TempDir::new().unwrap();
    let csv = odd_file(directory.path());
    let calm = Provider::start(&[]);
    let data = directory.path().join("calm").display().to_string();
    let mixed = ["--pay", "mixed", "--psp"];
    let expected = load(&csv, &[&["--data", &data][..], &mixed, &[calm.address.as_str()]].concat());
    let (captured, refunded) = agreed(&expected);
    let (declined, unpaid) = (&expected["paid"]["declined"], &expected["paid"]["unpaid"]);
    assert!(declined.as_u64().unwrap() > 3 && unpaid.as_u64().unwrap() > 1, "{expected}");
    assert!(captured < of_file().0 + ODD.0 && refunded <= of_file().1, "{expected}");
    let wallets = by_wallets(&expected, "captured");
    assert!(0 < wallets && wallets < captured, "{expected}");

    let provider = Provider::start(&["--seed", "7", "--odds", FAULTS]);
    let flags = [stored, &mixed, &[provider.address.as_str()]].concat();
    for at_least in [4, 15] {
        let mut killed = begun(&csv, &flags);
        let since = Instant::now();
        while provider.book()["payments"].as_array().unwrap().len() < at_least {
            assert!(since.elapsed() < PATIENCE, "{}", provider.book());
            // What is looked at needs the cores.
            std::thread::sleep(Duration::from_millis(20));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    let again = load(&csv, &flags);
    agreed(&again);
    for same in ["paid", "returned", "fulfilled", "placed", "unmatched", "left_out"] {
        assert_eq!(again[same], expected[same], "{same}");
    }
    let by_cards = (captured - wallets).to_string();
    assert_eq!(provider.book()["totals"]["GBP"]["captured"], by_cards);
    verified(stored);
    // Once more, and nothing happens.
    let once_more = load(&csv, &flags);
    assert_eq!((&once_more["appended"], &once_more["paid"]), (&json!(0), &expected["paid"]));
    assert_eq!(provider.book()["totals"]["GBP"]["captured"], by_cards);
}

/// A load of two invoices at a time, which is to be killed.
fn begun(csv: &str, flags: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ordinal"))
        .args(["load", "--csv", csv, "--in-flight", "2"])
        .args(flags)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_load_takes_and_pays_back_the_same_on_sqlite() {
    let data = TempDir::new().unwrap();
    let data = data.path().join("data").display().to_string();
    a_killed_load_takes_and_pays_back_the_same(&["--data", &data]);
}

#[test]
fn a_killed_load_takes_and_pays_back_the_same_on_postgres() {
    let (_runtime, [database]) = databases();
    a_killed_load_takes_and_pays_back_the_same(&["--database-url", &database.url()]);
}

/// The simulator in the process goes on with its book, which is kept beside the data.
#[test]
fn a_killed_load_goes_on_with_its_own_simulator() {
    let directory = TempDir::new().unwrap();
    let csv = odd_file(directory.path());
    let [calm, data] = ["calm", "data"].map(|name| directory.path().join(name));
    let flags = |data: &Path| {
        let data = data.display().to_string();
        let paid = ["--pay", "mixed", "--psp-faults", "7"].map(str::to_owned);
        [vec!["--data".to_owned(), data], paid.to_vec()].concat()
    };
    let run = |data: &Path| {
        let flags = flags(data);
        load(&csv, &flags.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let expected = run(&calm);
    agreed(&expected);
    let calls = || {
        let kept = std::fs::read_to_string(data.join("load-psp.jsonl")).unwrap_or_default();
        kept.lines().count()
    };
    let flags = flags(&data);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    for at_least in [8, 40] {
        let mut killed = begun(&csv, &flags);
        let since = Instant::now();
        while calls() < at_least {
            assert!(since.elapsed() < PATIENCE, "{} calls", calls());
            std::thread::sleep(Duration::from_millis(20));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    let again = run(&data);
    agreed(&again);
    for same in ["paid", "returned", "fulfilled", "placed", "unmatched", "left_out"] {
        assert_eq!(again[same], expected[same], "{same}");
    }
    let once_more = run(&data);
    assert_eq!((&once_more["appended"], &once_more["paid"]), (&json!(0), &expected["paid"]));
    verified(&flags[..2]);
    // It is the book of these faults, and of no others.
    for other in [&["--pay", "mixed", "--psp-faults", "8"][..], &["--pay", "mixed"]] {
        let output = ordinal(&[&["load", "--csv", &csv], &flags[..2], other].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("begun with --psp-faults 7"), "{error}");
    }
}

#[test]
fn what_cannot_be_paid_is_said() {
    let csv = "examples/orders.csv";
    for (flags, named) in [
        (&["--pay", "card", "--address", "http://127.0.0.1:9"][..], "starts the engine itself"),
        (&["--pay", "card", "--simulate-time"], "--simulate-time"),
        (&["--pay", "wallet", "--psp-faults", "7"], "--pay wallet"),
        (&["--pay", "wallet", "--psp", "http://127.0.0.1:9"], "--pay wallet"),
        (&["--pay", "card", "--psp", "http://127.0.0.1:9", "--psp-book", "x"], "--psp-book"),
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
