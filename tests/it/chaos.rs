//! Short runs of `ordinal chaos`; `ordinal chaos --for 20m --kills 200` is the long one.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::ordinal;

fn round(arguments: &[&str]) -> Value {
    let output = ordinal(&[&["--json", "chaos"], arguments].concat());
    let printed = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{error}");
    let report: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(report["contradictions"], json!([]));
    assert_eq!(report["findings"], json!([]));
    assert_eq!(report["appends_of_others"], 0);
    report
}

/// A round that lasts so long, or a longer one, until so much has happened in it: how much a busy
/// machine does in a second says nothing about the engine.
fn round_until(arguments: &[&str], seconds: u64, enough: impl Fn(&Value) -> bool) -> Value {
    let mut report = Value::Null;
    for times in [1, 3, 9] {
        let lasts = format!("{}s", seconds * times);
        report = round(&[arguments, &["--for", &lasts]].concat());
        let lives = report["calls"]["done"].as_u64().unwrap() > 20;
        if lives && enough(&report) {
            return report;
        }
    }
    panic!("too little happens: {report}");
}

/// How often there was such a fault.
fn faults(report: &Value, kind: &str) -> u64 {
    report["faults"][kind].as_u64().unwrap_or_default()
}

#[test]
fn killed_processes_lose_nothing_and_repeat_nothing() {
    round_until(&["--seed", "11"], 20, |report| report["kills"].as_u64().unwrap() > 3);
}

#[test]
fn killed_processes_lose_nothing_with_a_journal_in_two_databases() {
    let arguments = ["--journal-databases", "2", "--seed", "14"];
    round_until(&arguments, 20, |report| report["kills"].as_u64().unwrap() > 3);
}

/// Where no disk may be mounted, `scripts/test` reports it at its start, and the refusal is tested.
#[test]
fn a_full_disk_loses_nothing_acknowledged() {
    let arguments = ["--full-disk", "--seed", "15"];
    let mount = ["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    if Command::new("unshare").args(mount).output().is_ok_and(|done| done.status.success()) {
        round_until(&arguments, 20, |report| faults(report, "fill disk") > 0);
    } else {
        let refused = ordinal(&[&["chaos", "--for", "20s"], &arguments[..]].concat());
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && error.contains("not permitted"), "{error}");
    }
}

#[test]
fn an_order_keeps_one_history_while_its_shard_moves() {
    let scenario = ["--scenario", "moving-shard", "--clients", "64"];
    let arguments = [&scenario[..], &["--seed", "12", "--pace", "100ms"]].concat();
    let report = round_until(&arguments, 8, |report| faults(report, "move shard") > 4);
    assert_eq!(report["orders"], 1);
}

#[test]
fn an_owner_that_slept_past_its_lease_appends_nothing() {
    let arguments = ["--scenario", "frozen-owner", "--seed", "13"];
    let report = round_until(&arguments, 12, |_| true);
    assert!(report["faults"].as_object().unwrap().keys().all(|kind| kind.starts_with("SIGSTOP")));
}

/// Whatever time the database servers show, a shard has one owner, and orders are accepted again.
#[test]
fn a_wrong_database_clock_loses_nothing_and_gives_no_shard_two_owners() {
    let arguments = ["--scenario", "stepped-clock", "--seed", "2"];
    round_until(&arguments, 25, |report| faults(report, "clock of") > 2);
}

/// A lagging standby takes over, services are restored from copies: orders are accepted again, and
/// only what the copies missed is lost.
#[test]
fn services_agree_after_their_databases_were_set_back() {
    let arguments = ["--scenario", "set-back", "--seed", "1"];
    round_until(&arguments, 25, |report| faults(report, "lost tail") > 0);
}

/// It is refused by name, catches up by itself, or reports that it cannot serve until it is
/// accepted.
#[test]
fn a_directory_mixed_from_several_copies_is_never_served_unnoticed() {
    let arguments = ["--scenario", "half-copied", "--seed", "1"];
    round_until(&arguments, 20, |report| faults(report, "half-copied directory") > 1);
}

/// Nothing is started.
#[test]
fn a_scenario_whose_books_cannot_be_compared_is_refused_with_pay() {
    for (scenario, why) in [
        ("moving-shard", "nobody pays the one order of this scenario"),
        ("set-back", "this scenario loses what customers did"),
        ("half-copied", "this scenario loses what customers did"),
    ] {
        let refused = ordinal(&["chaos", "--pay", "--scenario", scenario, "--for", "1s"]);
        let error = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{scenario}: {error}");
        assert!(error.contains(&format!("--pay: {why}")), "{scenario}: {error}");
    }
}
