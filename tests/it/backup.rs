//! `ordinal backup`: taken beside a busy engine, damaged, and started.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Engine, PATIENCE, ordinal};

fn backup(data: &Path, to: &Path) -> (i32, Value, String) {
    let paths = ["--data", data.to_str().unwrap(), "--to", to.to_str().unwrap()];
    run_json(&[&["--json", "backup"], &paths[..]].concat())
}

fn check(directory: &Path) -> (i32, Value, String) {
    run_json(&["--json", "backup", "check", directory.to_str().unwrap()])
}

fn run_json(arguments: &[&str]) -> (i32, Value, String) {
    let output = ordinal(arguments);
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), printed, String::from_utf8(output.stderr).unwrap())
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "db") {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn id(answer: &Value) -> String {
    answer["order"]["order_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_backup_of_a_busy_engine_holds_every_law_and_can_be_started() {
    let folder = TempDir::new().unwrap();
    let (data, first) = (folder.path().join("data"), folder.path().join("backups/first"));
    let engine = Engine::start(&data);
    engine.ask(&["stock", "set", "MUG", "1000"]);
    let before = id(&engine.place(&["MUG=1@4.50GBP"]));
    engine.until(&before, "CONFIRMED");
    let (done, placed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let backups: Vec<PathBuf> = std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2_000 {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                engine.place(&["MUG=1@4.50GBP"]);
                placed.fetch_add(1, Ordering::Relaxed);
            }
        });
        let taken = (0..5).map(|number| {
            // An order is placed between any two backups, however fast they are.
            let patience = Instant::now() + PATIENCE;
            let enough = placed.load(Ordering::Relaxed) + 2;
            while placed.load(Ordering::Relaxed) < enough {
                assert!(Instant::now() < patience, "nothing is placed");
                std::thread::sleep(Duration::from_millis(1));
            }
            let to = folder.path().join(format!("backups/{number}"));
            let (code, manifest, error) = backup(&data, &to);
            assert_eq!(code, 0, "{error}");
            assert_eq!(manifest["files"].as_array().unwrap().len(), 6);
            to
        });
        let taken = taken.collect();
        done.store(true, Ordering::Relaxed);
        taken
    });
    let (code, _, error) = backup(&data, &first);
    assert_eq!(code, 0, "{error}");
    assert!(engine.stop().success());
    // Only the owner may read it: it contains personal data.
    assert_eq!(mode(&first), 0o700);
    for entry in std::fs::read_dir(&first).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let mut last = 0;
    for (number, taken) in backups.iter().chain([&first]).enumerate() {
        let (code, report, error) = check(taken);
        assert_eq!((code, &report["findings"]), (0, &json!([])), "{error}{report}");
        assert_eq!(report["checked"]["as_noted"], 1);
        let events = report["events"].as_u64().unwrap();
        // It grew meanwhile: copies of an engine at rest would prove nothing.
        assert!(events > last || number == backups.len(), "{events} after {last}");
        last = events;
        // Checking changes nothing in it.
        assert_eq!(std::fs::read_dir(taken).unwrap().count(), 7);
    }
    // Each backup continues the one before: nothing was changed in between.
    let manifest = backups[0].join("manifest.json");
    let expect = ["--data", first.to_str().unwrap(), "--expect", manifest.to_str().unwrap()];
    let (code, report, error) = run_json(&[&["--json", "verify"], &expect[..]].concat());
    assert_eq!(code, 0, "{error}{report}");

    // Restoring is copying the files.
    let restored = folder.path().join("restored");
    std::fs::create_dir(&restored).unwrap();
    copy(&backups[2], &restored);
    let engine = Engine::start(&restored);
    engine.until(&before, "CONFIRMED");
    let after = id(&engine.place(&["MUG=1@4.50GBP"]));
    engine.until(&after, "CONFIRMED");
    let report = engine.ask(&["verify"]);
    assert_eq!(report["findings"], json!([]), "{report}");
    assert!(engine.stop().success());
}

#[test]
fn an_incomplete_backup_is_refused() {
    let folder = TempDir::new().unwrap();
    let (data, complete) = (folder.path().join("data"), folder.path().join("whole"));
    let engine = Engine::start(&data);
    engine.place(&["MUG=1@4.50GBP"]);
    assert!(engine.stop().success());
    let (code, _, error) = backup(&data, &complete);
    assert_eq!(code, 0, "{error}");
    assert_eq!(check(&complete).0, 0);
    let damage = |name: &str, damage: &dyn Fn(&Path), expected: &str| {
        let damaged = folder.path().join(name);
        std::fs::create_dir(&damaged).unwrap();
        copy(&complete, &damaged);
        std::fs::copy(complete.join("manifest.json"), damaged.join("manifest.json")).unwrap();
        damage(&damaged);
        let (code, _, error) = check(&damaged);
        assert_eq!(code, 1, "{name}: {error}");
        assert!(error.contains("BACKUP_INCOMPLETE") && error.contains(expected), "{name}: {error}");
    };
    damage(
        "half",
        &|folder| {
            let file = std::fs::OpenOptions::new().write(true).open(folder.join("journal.db"));
            file.unwrap().set_len(8_192).unwrap();
        },
        "journal.db has 8192 bytes instead of",
    );
    damage(
        "bit",
        &|folder| {
            let path = folder.join("orders.db");
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[5_000] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        },
        "orders.db was changed after it was copied",
    );
    let without = |name: &'static str| {
        move |folder: &Path| {
            std::fs::remove_file(folder.join(name)).unwrap();
        }
    };
    damage("one", &without("inventory.db"), "inventory.db: No such file");
    damage("unended", &without("manifest.json"), "has no manifest.json");
    damage(
        "opened",
        &|folder| std::fs::write(folder.join("journal.db-wal"), "x").unwrap(),
        "journal.db-wal was not copied",
    );

    // Nothing is overwritten, and a failed backup leaves nothing behind.
    let (code, _, error) = backup(&data, &complete);
    assert_eq!(code, 1);
    assert!(error.contains("is not empty"), "{error}");
    assert_eq!(check(&complete).0, 0);
    let (code, _, error) = backup(&folder.path().join("nothing"), &folder.path().join("new"));
    assert_eq!(code, 1);
    assert!(error.contains("holds no engine's data"), "{error}");
    assert!(!folder.path().join("new").exists());
    std::fs::write(data.join("orders.db"), "no database").unwrap();
    let (code, _, error) = backup(&data, &folder.path().join("new"));
    assert_eq!(code, 1);
    assert!(error.contains("orders.db"), "{error}");
    assert!(!folder.path().join("new").exists());
    // Fails in its last step: nothing remains, and the folder is as before.
    std::fs::copy(complete.join("orders.db"), data.join("orders.db")).unwrap();
    std::fs::write(data.join("journal.db"), "").unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let (code, _, error) = backup(&data, &empty);
    assert_eq!(code, 1);
    assert!(error.contains("journal.db"), "{error}");
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
    assert_eq!(ordinal(&["backup"]).status.code(), Some(2));
}
