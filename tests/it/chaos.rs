//! Short rounds of `ordinal chaos`; `ordinal chaos --for 20m --kills 200` is the long one.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::ordinal;

fn round(arguments: &[&str]) -> Value {
    let output = ordinal(&[&["--json", "chaos"], arguments].concat());
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{error}");
    let report: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(report["contradictions"], json!([]));
    assert_eq!(report["findings"], json!([]));
    assert_eq!(report["appends_of_others"], 0);
    // A sign of life; how many a busy machine gets through says nothing of the engine.
    assert!(report["calls"]["done"].as_u64().unwrap() > 20, "{report}");
    report
}

#[test]
fn whatever_is_killed_nothing_is_lost_or_done_twice() {
    let report = round(&["--seed", "11", "--for", "20s"]);
    assert!(report["kills"].as_u64().unwrap() > 3, "{report}");
}

#[test]
fn whatever_is_killed_nothing_is_lost_or_done_twice_also_with_the_journal_over_two_databases() {
    let report = round(&["--journal-databases", "2", "--seed", "14", "--for", "20s"]);
    assert!(report["kills"].as_u64().unwrap() > 3, "{report}");
}

/// Where no disk may be mounted, `scripts/test` says so at its start, and the refusal is what is tested.
#[test]
fn a_disk_that_is_full_costs_nothing_that_was_acknowledged() {
    let arguments = ["--full-disk", "--seed", "15", "--for", "20s"];
    let mount = ["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    if Command::new("unshare").args(mount).output().is_ok_and(|done| done.status.success()) {
        let report = round(&arguments);
        assert!(report["faults"]["fill disk"].as_u64().unwrap() > 0, "{report}");
    } else {
        let refused = ordinal(&[&["chaos"], &arguments[..]].concat());
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && error.contains("not permitted"), "{error}");
    }
}

#[test]
fn one_order_at_which_all_clients_are_has_one_history_while_its_shard_moves() {
    let scenario = ["--scenario", "moving-shard", "--clients", "64", "--for", "8s"];
    let report = round(&[&scenario[..], &["--seed", "12", "--pace", "100ms"]].concat());
    assert_eq!(report["orders"], 1);
    assert!(report["faults"]["move shard"].as_u64().unwrap() > 4, "{report}");
}

#[test]
fn an_owner_that_slept_past_its_lease_appends_nothing() {
    let report = round(&["--scenario", "frozen-owner", "--seed", "13", "--for", "12s"]);
    assert!(report["faults"].as_object().unwrap().keys().all(|kind| kind.starts_with("SIGSTOP")));
}

/// Whatever the database servers take for now, a shard has one owner, and orders are taken again.
#[test]
fn a_database_whose_clock_is_set_wrong_loses_nothing_and_gives_no_shard_to_two() {
    let report = round(&["--scenario", "stepped-clock", "--seed", "2", "--for", "25s"]);
    assert!(report["faults"]["clock of"].as_u64().unwrap() > 2, "{report}");
}

/// A standby that lagged takes over, services are restored from copies: orders are taken again, and
/// nothing but what the copies lacked is gone.
#[test]
fn databases_that_are_set_back_leave_nothing_skipped_and_nothing_that_is_not_there() {
    let report = round(&["--scenario", "set-back", "--seed", "1", "--for", "25s"]);
    assert!(report["faults"]["lost tail"].as_u64().unwrap() > 0, "{report}");
}

/// It is refused by name, catches up by itself, or says that it cannot serve until it is told to.
#[test]
fn a_directory_of_several_copies_is_never_served_as_if_it_were_one() {
    let report = round(&["--scenario", "half-copied", "--seed", "1", "--for", "20s"]);
    assert!(report["faults"]["half-copied directory"].as_u64().unwrap() > 1, "{report}");
}
