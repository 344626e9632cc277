//! Every verb of the command line that shows an answer of an engine is tried with an answer full of
//! foreign texts: the list is compared with the commands that there are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{ordinal, placing};
use crate::usage::{EVIL, ID, Shown, TIME, shown};

/// Verbs that show no answer of an engine, or that have tests of their own for what they show.
const OTHERS: [&str; 23] = [
    "backup",
    "chaos",
    "cluster up",
    "completions",
    "demo",
    "events tail",
    "health",
    "journal archive",
    "journal move",
    "journal show",
    "load",
    "migrate",
    "psp",
    "serve",
    "status",
    "tls ca",
    "tls issue",
    "tls processes",
    "token issue",
    "token key",
    "top",
    "verify",
    "version",
];

/// Money, payments, tokens and the journal; `usage::shown` has the others.
pub fn more() -> Vec<Shown> {
    [commands(), ledger(), wallets(), payments(), payouts(), settlements(), engine()].concat()
}

/// Commands of orders: each answers with the order and its new events.
fn commands() -> Vec<Shown> {
    let cancelled = shown().into_iter().find(|(verb, ..)| verb.starts_with(&["order", "cancel"]));
    let answer = cancelled.expect("the answer of a command").2;
    let rows: [(&[&'static str], &str); 12] = [
        (&["order", "fulfill", ID], "FulfillOrder"),
        (&["order", "hold", ID, "--kind", "FRAUD", "--reason", "x"], "HoldOrder"),
        (&["order", "release", ID, "FRAUD", "--reason", "x"], "ReleaseHold"),
        (&["order", "correct", ID, "--email", "a@example.com", "--reason", "x"], "CorrectOrder"),
        (&["order", "edit", ID, "--line", "1=1", "--reason", "x"], "EditOrder"),
        (&["order", "parcel", "update", ID, ID, "--tracking", "x"], "UpdateShipment"),
        (&["order", "parcel", "delivered", ID, ID], "RecordDelivery"),
        (&["order", "parcel", "undo", ID, ID, "--cause", "LOST", "--reason", "x"], "UndoShipment"),
        (&["return", "request", ID, "--line", "1=1", "--reason", "x"], "RequestReturn"),
        (&["return", "approve", ID], "ApproveReturn"),
        (&["return", "receive", ID], "ReceiveReturn"),
        (&["return", "reject", ID, "--reason", "x"], "RejectReturn"),
    ];
    let place = (placing(&["MUG=1@4.50GBP"]), "PlaceOrder");
    let rows = rows.iter().map(|(verb, method)| (verb.to_vec(), *method)).chain([place]);
    let command = |(verb, method): (Vec<&'static str>, &str)| {
        let method = format!("orders.v1.OrderService/{method}").leak() as &'static str;
        (verb, method, answer.clone(), vec!["appended OrderCancelled"])
    };
    let parcel = json!({
        "shipment_id": ID, "shipment_reference": EVIL, "state": "PARCEL_STATE_LOST",
        "carrier": EVIL, "tracking": EVIL, "location": EVIL, "shipped_at": TIME,
    });
    let parcels = (
        vec!["order", "parcel", "list", ID],
        "orders.v1.OrderService/GetOrder",
        json!({ "order": { "order_id": ID, "parcels": [parcel] } }),
        vec!["parcel", "LOST", "2026-11-28T00:29:07Z"],
    );
    rows.map(command).chain([parcels]).collect()
}

fn gbp() -> Value {
    json!({ "currency_code": "GBP", "units": 4, "nanos": 500_000_000 })
}

fn ledger() -> Vec<Shown> {
    let account = json!({
        "name": EVIL, "kind": "ACCOUNT_KIND_ASSET", "currency_code": "GBP",
        "balance": { "posted": gbp(), "available": gbp() },
    });
    let entry = json!({
        "entry_id": ID, "reason": EVIL, "asked_by": EVIL, "time": TIME,
        "transfers": [{ "position": 7, "kind": "TRANSFER_KIND_POSTED", "debit": EVIL,
                        "credit": EVIL, "amount": gbp() }],
    });
    let refused = json!({ "entry_id": ID, "refusal": EVIL, "refusal_text": EVIL });
    let hold = json!({
        "hold_id": ID, "debit": EVIL, "credit": EVIL, "amount": gbp(), "state": "HOLD_STATE_HELD",
    });
    let next = "next";
    let row = |words: &[&'static str], method: &str, answer: Value, expected: &[&'static str]| {
        let verb = [&["ledger"], words].concat();
        let method = format!("ledger.v1.LedgerService/{method}").leak() as &'static str;
        (verb, method, answer, expected.to_vec())
    };
    let accounts = json!({ "accounts": [account], "next_page_token": next });
    let entries = json!({ "entries": [entry], "next_page_token": next });
    let (one, again) = (json!({ "account": account }), json!({ "entry": entry, "replayed": true }));
    let open = ["open", "x", "--kind", "ASSET", "--currency", "GBP"];
    let (transfer, held) = ("a/b=4.50GBP", json!({ "hold": hold }));
    vec![
        row(&["accounts"], "ListAccounts", accounts, &["ASSET", "4.50 GBP", "--page-token next"]),
        row(&open, "OpenAccount", one.clone(), &["account", "4.50 GBP"]),
        row(&["balance", "x"], "GetAccount", one, &["available", "4.50 GBP"]),
        row(&["entries"], "ListEntries", entries, &["POSTED", "4.50 GBP", "--page-token next"]),
        row(&["entry", ID], "GetEntry", json!({ "entry": refused }), &["refused: "]),
        row(&["post", transfer], "PostEntry", again, &["done before", "POSTED"]),
        row(&["reserve", transfer], "ReserveFunds", held.clone(), &["HELD"]),
        row(&["post-hold", ID], "PostHold", held.clone(), &["HELD"]),
        row(&["void-hold", ID], "VoidHold", held.clone(), &["HELD"]),
        row(&["hold", ID], "GetHold", held, &["HELD", "4.50 GBP"]),
    ]
}

fn wallets() -> Vec<Shown> {
    let balance = json!({
        "currency_code": EVIL, "balance": gbp(), "held": gbp(), "available": gbp(),
    });
    let wallet = json!({ "wallet": { "customer_id": EVIL, "balances": [balance] } });
    let mut again = wallet.clone();
    again["replayed"] = json!(true);
    let row = |words: &[&'static str], method: &str, answer: &Value, expected: &[&'static str]| {
        let verb = [&["wallet"], words].concat();
        let method = format!("ledger.v1.WalletService/{method}").leak() as &'static str;
        (verb, method, answer.clone(), expected.to_vec())
    };
    let take = ["correct", ID, "--take", "4.50GBP", "--reason", "x"];
    vec![
        row(&["show", ID], "GetWallet", &wallet, &["available", "4.50 GBP"]),
        row(&["top-up", ID, "4.50GBP"], "TopUpWallet", &again, &["done before", "4.50 GBP"]),
        row(&take, "CorrectWallet", &wallet, &["4.50 GBP"]),
        row(&["watch", ID], "WatchWallet", &wallet, &["4.50 GBP"]),
    ]
}

fn payments() -> Vec<Shown> {
    let payment = json!({
        "payment_id": ID, "order_id": ID, "seller": EVIL, "psp": EVIL, "wanted": gbp(),
        "status": "PAYMENT_STATUS_ACTION_REQUIRED", "update_time": TIME, "action_url": EVIL,
    });
    let operation = json!({
        "operation_id": ID, "kind": "OPERATION_KIND_CAPTURE", "state": "OPERATION_STATE_STUCK",
        "amount": gbp(), "psp_reference": EVIL, "code": EVIL, "stage": EVIL, "note": EVIL,
        "due_time": TIME,
    });
    let webhook = json!({
        "psp": EVIL, "event_id": EVIL, "kind": EVIL, "state": "WEBHOOK_STATE_PARKED",
        "receive_time": TIME, "note": EVIL, "psp_reference": EVIL,
    });
    let dispute = json!({ "dispute_id": EVIL, "state": "DISPUTE_STATE_OPEN", "amount": gbp(), "open_time": TIME });
    let row = |words: &[&'static str], method: &str, answer: Value, expected: &[&'static str]| {
        let verb = [&["payment"], words].concat();
        let method = format!("payments.v1.PaymentService/{method}").leak() as &'static str;
        (verb, method, answer, expected.to_vec())
    };
    let whole = json!({ "payment": payment, "operations": [operation], "disputes": [dispute] });
    let next = "next";
    let all = json!({ "payments": [payment], "next_page_token": next });
    let stuck = json!({ "operations": [operation], "next_page_token": next });
    let (one, decided) = (json!({ "operation": operation }), json!({ "webhook": webhook }));
    let parked = json!({ "webhooks": [webhook], "next_page_token": next });
    // Any file: what is in it is of no meaning here.
    let attempt = ["attempt", ID, "--psp-token-file", "Cargo.toml"];
    let resolve = ["resolve", ID, "--declined", "lost", "--reason", "x"];
    let dry = [&resolve[..], &["--validate-only"]].concat();
    let would = &["nothing was changed", "STUCK"];
    let (must_act, lost) = ("the customer must act: ", &["CAPTURE", "STUCK", "4.50 GBP"]);
    vec![
        row(&attempt, "Attempt", json!({ "payments": [payment] }), &["ACTION_REQUIRED", must_act]),
        row(&["show", ID], "GetPayment", whole, &["ACTION_REQUIRED", "CAPTURE", "dispute"]),
        row(&["list"], "ListPayments", all, &["ACTION_REQUIRED", "--page-token next"]),
        row(&["stuck"], "ListStuckOperations", stuck, &["STUCK", "--page-token next"]),
        row(&["operation", ID], "GetOperation", one.clone(), lost),
        row(&dry, "ResolveOperation", one.clone(), would),
        row(&resolve, "ResolveOperation", one, lost),
        row(&["webhooks"], "ListWebhooks", parked, &["PARKED", "--page-token next"]),
        row(&["resolve-webhook", "x", "y"], "ResolveWebhook", decided, &["PARKED"]),
    ]
}

fn settlements() -> Vec<Shown> {
    let report = json!({
        "settlement_id": ID, "psp": EVIL, "file_name": EVIL, "hash": EVIL, "lines": 3,
        "new_lines": 2, "import_time": TIME, "asked_by": EVIL,
    });
    let line = json!({
        "psp": EVIL, "line_id": EVIL, "kind": "SETTLEMENT_LINE_KIND_CHARGE",
        "state": "SETTLEMENT_LINE_STATE_UNKNOWN", "gross": gbp(), "psp_reference": EVIL,
        "rate": EVIL, "note": EVIL,
    });
    let missing = json!({
        "operation_id": ID, "psp": EVIL, "kind": "OPERATION_KIND_CAPTURE", "amount": gbp(),
        "done_time": TIME,
    });
    let row = |words: &[&'static str], method: &str, answer: Value, expected: &[&'static str]| {
        let verb = [&["settlement"], words].concat();
        let method = format!("payments.v1.SettlementService/{method}").leak() as &'static str;
        (verb, method, answer, expected.to_vec())
    };
    let next = "next";
    let (one, again) =
        (json!({ "settlement": report }), json!({ "settlement": report, "replayed": true }));
    let all = json!({ "settlements": [report], "next_page_token": next });
    let lines = json!({ "lines": [line], "next_page_token": next });
    let missing = json!({ "operations": [missing], "next_page_token": next });
    let resolve = ["resolve", "x", "y", "--to", "z", "--reason", "x"];
    let import = ["import", "--psp", "x", "Cargo.toml"];
    let unknown = &["CHARGE", "UNKNOWN", "4.50 GBP", "--page-token next"];
    vec![
        row(&import, "ImportSettlement", again, &["imported before", "report"]),
        row(&["list"], "ListSettlements", all, &["discrepancies", "--page-token next"]),
        row(&["show", ID], "GetSettlement", one, &["discrepancies"]),
        row(&["lines"], "ListSettlementLines", lines, unknown),
        row(&["missing"], "ListUnsettled", missing, &["CAPTURE", "--page-token next"]),
        row(&resolve, "ResolveSettlementLine", json!({ "line": line }), &["UNKNOWN"]),
    ]
}

fn payouts() -> Vec<Shown> {
    let payout = json!({
        "payout_id": ID, "run_id": ID, "seller": EVIL, "psp": EVIL, "amount": gbp(),
        "state": "PAYOUT_STATE_RETURNED", "code": EVIL, "psp_reference": EVIL, "stage": EVIL,
        "due_time": TIME, "update_time": TIME, "note": EVIL,
    });
    let run = json!({
        "run_id": ID, "seller": EVIL, "currency_code": EVIL, "psp": EVIL,
        "state": "PAYOUT_RUN_STATE_RUNNING", "payouts": 3, "start_time": TIME, "note": EVIL,
    });
    let row = |words: &[&'static str], method: &str, answer: Value, expected: &[&'static str]| {
        let verb = [&["payout"], words].concat();
        let method = format!("payments.v1.PayoutService/{method}").leak() as &'static str;
        (verb, method, answer, expected.to_vec())
    };
    let all = json!({ "payouts": [payout], "next_page_token": "next" });
    let (one, running) = (json!({ "payout": payout }), json!({ "run": run }));
    let again = json!({ "run": run, "replayed": true });
    let resolve = ["resolve", ID, "--not-paid", "lost", "--reason", "x"];
    let dry = [&resolve[..], &["--validate-only"]].concat();
    let told = &["RETURNED", "4.50 GBP"];
    vec![
        row(&["run", "--reason", "x"], "RunPayouts", again, &["done before", "RUNNING"]),
        row(&["show-run", ID], "GetPayoutRun", running, &["RUNNING", "2026-11-28T00:29:07Z"]),
        row(&["get", ID], "GetPayout", one.clone(), told),
        row(&["list"], "ListPayouts", all, &["RETURNED", "4.50 GBP", "--page-token next"]),
        row(&["retry", ID, "--reason", "x"], "RetryPayout", one.clone(), told),
        row(&dry, "ResolvePayout", one.clone(), &["nothing was changed", "RETURNED"]),
        row(&resolve, "ResolvePayout", one, told),
    ]
}

fn engine() -> Vec<Shown> {
    let past = json!({ "number": 1, "began_at": TIME, "reason": EVIL, "said_by": EVIL });
    let history = json!({
        "journal": ID, "incarnation": 2, "doubt": EVIL, "incarnations": [past],
    });
    vec![
        (
            vec!["journal", "history"],
            "admin.v1.AdminService/GetJournal",
            json!({ "history": history }),
            vec!["incarnation 2", "doubted, nothing is appended", "accepted by"],
        ),
        (
            vec!["journal", "restored", "--reason", "x"],
            "admin.v1.AdminService/AcceptJournal",
            json!({ "history": history, "letters_dropped": 3 }),
            vec!["incarnation 2", "3 dropped"],
        ),
        (
            vec!["overview"],
            "admin.v1.AdminService/GetOverview",
            json!({
                "orders": [{ "status": "PENDING", "count": { "number": 3 } }],
                "returns": [{ "state": "REQUESTED", "count": { "number": 2, "or_more": true },
                              "oldest_requested_at": TIME }],
                "followers": [{ "name": "stock", "node": EVIL, "lag": 3, "head_known": true,
                                "paused": EVIL, "error": EVIL, "dead_letters": 100 }],
                "held": { "number": 1 }, "away": [EVIL],
            }),
            vec![
                "3 PENDING",
                "2 or more, the first of 2026-11-28T00:29:07Z",
                "100 or more",
                "stock: 3 positions behind; paused: ok",
            ],
        ),
        (
            vec!["lookup", "W-1"],
            "admin.v1.AdminService/Lookup",
            json!({
                "found": [{ "kind": "SHIPMENT", "found_by": "REFERENCE", "id": ID, "order_id": ID,
                            "name": EVIL, "command": EVIL }],
                "or_more": true, "away": [EVIL],
            }),
            vec!["SHIPMENT", "REFERENCE", "there is more", "what it has is missing"],
        ),
        (
            vec!["timers", "resume", "--reason", "x"],
            "admin.v1.AdminService/ResumeTimers",
            json!({ "away": [EVIL] }),
            vec!["does not answer", "timers run"],
        ),
        (
            vec!["token", "ask", "--customer", ID],
            "admin.v1.AdminService/IssueToken",
            json!({ "token": EVIL, "expires_at": TIME }),
            vec!["ok"],
        ),
    ]
}

/// The commands below this one that have none below them.
fn leaves(path: &[&str], found: &mut BTreeSet<String>) {
    let help = String::from_utf8(ordinal(&[path, &["--help"]].concat()).stdout).unwrap();
    let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap();
    if !usage.contains("<COMMAND>") {
        found.insert(path.join(" "));
        return;
    }
    let told: Value =
        serde_json::from_slice(&ordinal(&[&["--json"], path].concat()).stderr).unwrap();
    let message = told["error"]["message"].as_str().unwrap();
    let (_, verbs) = message.split_once(" needs a verb: ").unwrap();
    for verb in verbs.split(", ") {
        leaves(&[path, &[verb]].concat(), found);
    }
}

#[test]
fn every_verb_is_shown_or_named_as_another() {
    let mut there = BTreeSet::new();
    leaves(&[], &mut there);
    let rows: Vec<Shown> = shown().into_iter().chain(more()).collect();
    let is_shown = |leaf: &str| {
        let words: Vec<&str> = leaf.split(' ').collect();
        rows.iter().any(|(verb, ..)| verb.starts_with(&words))
    };
    let others: Vec<&str> =
        there.iter().map(String::as_str).filter(|leaf| !is_shown(leaf)).collect();
    assert_eq!(others, OTHERS);
}
