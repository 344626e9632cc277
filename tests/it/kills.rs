//! What a killed engine leaves behind, and what the next one does with it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Engine, ordinal};

fn time(order: &Value, field: &str) -> Timestamp {
    order[field].as_str().unwrap().parse().unwrap()
}

fn wait_until(instant: Timestamp) {
    let left = instant.duration_since(Timestamp::now());
    std::thread::sleep(Duration::try_from(left).unwrap_or_default());
}

#[test]
fn a_deadline_survives_a_kill_and_fires_once() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().to_str().unwrap();
    let flags = &["--data", data, "--without-stock", "--confirm-within", "4s"];
    let engine = Engine::start_with(flags);
    let passed_while_down = engine.place(&["MUG=1@4.50GBP"])["order"].take();
    engine.kill();
    wait_until(time(&passed_while_down, "confirm_by"));

    let engine = Engine::start_with(flags);
    let started = Timestamp::now();
    let on_time = engine.place(&["MUG=1@4.50GBP"])["order"].take();
    let id = passed_while_down["order_id"].as_str().unwrap();
    let cancelled = engine.until(id, "CANCELLED");
    assert_eq!(cancelled["cancel_reason"], "CANCEL_REASON_SLA_TIMEOUT");
    let late = time(&cancelled, "updated_at").duration_since(started);
    // By itself, and not only when somebody asks for it, or after the next look in minutes.
    assert!(late.as_secs() < 30, "cancelled only {late:?} after the start");
    engine.kill();

    // Killed before the deadline, and back before it.
    let engine = Engine::start_with(flags);
    let id_on_time = on_time["order_id"].as_str().unwrap();
    let cancelled = engine.until(id_on_time, "CANCELLED");
    assert!(time(&cancelled, "updated_at") >= time(&on_time, "confirm_by"));

    for order in [id, id_on_time] {
        let events = engine.run(&["order", "history", order]);
        let events = String::from_utf8_lossy(&events.stdout).into_owned();
        assert_eq!(events.matches("OrderCancelled").count(), 1, "{events}");
    }
    // Waits until every follower has caught up, and counts messages.
    let report = engine.run(&["verify"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    // Stock was not started, as the flag requests; nothing else may be missing.
    assert!(findings.iter().all(|f| f["law"] == "reservations_as_orders"), "{report}");
    let listed = engine.ask(&["notification", "list", "--order", id]);
    let kinds: Vec<&str> = listed["notifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["RECEIVED", "EXPIRED"]);
}

#[test]
fn a_second_engine_on_the_same_data_is_refused() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().to_str().unwrap();
    let engine = Engine::start(directory.path());
    let output = ordinal(&["serve", "--listen", "127.0.0.1:0", "--data", data]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("journal.db"), "{error}");
    let order = engine.place(&["MUG=1@4.50GBP"]);
    engine.until(order["order"]["order_id"].as_str().unwrap(), "CANCELLED");
    assert!(engine.stop().success(), "a drained engine says that all is well");
}
