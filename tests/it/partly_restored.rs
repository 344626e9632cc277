//! An SQLite directory of which one part is restored from a backup, and the rest is newer.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::health::until_health;
use crate::history::{copy, doubt, place, until_caught_up, verify_clean};
use crate::support::{Engine, ordinal, placing};

const OTHERS: [&str; 5] = ["orders", "inventory", "notifications", "ledger", "payments"];

/// A directory with a backup of three confirmed orders. After it two more were confirmed; of the
/// three the first was cancelled, and the second shipped.
struct Directory {
    folder: TempDir,
    kept: Vec<String>,
    later: Vec<String>,
}

impl Directory {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn backup(&self) -> PathBuf {
        self.folder.path().join("backup")
    }

    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let engine = Engine::start(&data);
        engine.ask(&["stock", "set", "MUG", "100"]);
        let confirmed = |number: usize| -> Vec<String> {
            let orders: Vec<String> = (0..number).map(|_| place(&engine)).collect();
            orders.iter().for_each(|order| drop(engine.until(order, "CONFIRMED")));
            until_caught_up(&engine);
            orders
        };
        let kept = confirmed(3);
        let to = folder.path().join("backup");
        let backup = ["backup", "--data", data.to_str().unwrap(), "--to", to.to_str().unwrap()];
        let made = ordinal(&backup);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let later = confirmed(2);
        engine.ask(&["order", "cancel", &kept[0]]);
        engine.ask(&["order", "fulfill", &kept[1]]);
        until_caught_up(&engine);
        assert!(engine.stop().success());
        Self { folder, kept, later }
    }

    /// With these files from the backup.
    fn restored(self, files: &[&str]) -> Self {
        files.iter().for_each(|file| copy(&self.backup(), &self.data(), file));
        self
    }
}

/// Units on hand and reserved.
fn stock(engine: &Engine) -> [Value; 2] {
    let stock = engine.ask(&["stock", "get", "MUG"])["stock"].take();
    ["on_hand", "reserved"].map(|word| stock[word].clone())
}

fn no_letters(engine: &Engine) {
    let letters = engine.ask(&["dead-letter", "list"]);
    assert!(letters["dead_letters"].as_array().is_none_or(Vec::is_empty), "{letters}");
}

#[test]
fn a_journal_older_than_the_files_beside_it_waits_for_an_operator() {
    let directory = Directory::new().restored(&["journal"]);
    let data = directory.data();
    let verified = ordinal(&["--json", "verify", "--data", data.to_str().unwrap()]);
    let report = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(1), "{report}");
    assert!(report.contains("cursors_not_ahead"), "{report}");

    let engine = Engine::start(&data);
    until_health(&engine, false, "ordinal journal restored");
    let refused = engine.refused(3, &placing(&["MUG=1@1.00GBP"]));
    assert_eq!(refused["reason"], "JOURNAL_DOUBTED");
    engine.ask(&["journal", "restored", "--reason", "its disk was lost"]);
    until_caught_up(&engine);
    until_health(&engine, true, "");
    assert_eq!(doubt(&engine), "");
    for order in &directory.kept {
        engine.until(order, "CONFIRMED");
    }
    for order in &directory.later {
        assert_eq!(engine.refused(1, &["order", "get", order])["reason"], "NOT_FOUND");
    }
    engine.until(&place(&engine), "CONFIRMED");
    until_caught_up(&engine);
    assert_eq!(stock(&engine), [json!(100), json!(4)]);
    no_letters(&engine);
    assert!(engine.stop().success());
    verify_clean(&data);
}

#[test]
fn files_older_than_the_journal_beside_them_catch_up_by_themselves() {
    let directory = Directory::new().restored(&OTHERS);
    let engine = Engine::start(&directory.data());
    until_caught_up(&engine);
    until_health(&engine, true, "");
    assert_eq!(doubt(&engine), "");
    engine.until(&directory.kept[0], "CANCELLED");
    engine.until(&directory.kept[1], "FULFILLED");
    for order in directory.later.iter().chain([&directory.kept[2]]) {
        engine.until(order, "CONFIRMED");
    }
    let listed = engine.ask(&["order", "list"]);
    assert_eq!(listed["orders"].as_array().unwrap().len(), 5, "{listed}");
    assert_eq!(stock(&engine), [json!(99), json!(3)]);
    engine.until(&place(&engine), "CONFIRMED");
    until_caught_up(&engine);
    assert_eq!(stock(&engine), [json!(99), json!(4)]);
    no_letters(&engine);
    assert!(engine.stop().success());
    verify_clean(&directory.data());
}
