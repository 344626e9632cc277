//! The files of an SQLite directory: they identify each other, a start without one of them is
//! refused, and only their owner can read them.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{Executor as _, Row as _};
use tempfile::TempDir;

use crate::health::{does_not_start, ends_at_once, until_health};
use crate::support::{Engine, ordinal};

const FILES: [&str; 6] =
    ["inventory.db", "journal.db", "ledger.db", "notifications.db", "orders.db", "payments.db"];

/// A directory in which an order was placed and confirmed, after a clean stop; and the order's id.
fn used() -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let engine = Engine::start(directory.path());
    engine.ask(&["stock", "set", "MUG", "5"]);
    let placed = engine.place(&["MUG=2@4.50GBP"]);
    let order = placed["order"]["order_id"].as_str().unwrap().to_owned();
    engine.until(&order, "CONFIRMED");
    assert!(engine.stop().success());
    (directory, order)
}

fn copy(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    let whole = directory.join(".");
    assert!(Command::new("cp").arg("-r").arg(whole).arg(copy.path()).status().unwrap().success());
    copy
}

fn remove(directory: &Path, file: &str) {
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(directory.join(format!("{file}{ending}")));
    }
}

fn start(directory: &Path) -> [&str; 2] {
    ["--data", directory.to_str().unwrap()]
}

fn run_sql(path: &Path, sql: &str) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let database = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await;
        let database = database.unwrap();
        database.execute(sql).await.unwrap();
        database.close().await;
    });
}

/// The installation ids in the files of a directory.
fn ids(directory: &Path) -> BTreeSet<String> {
    let id = |file: &str| {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let options = SqliteConnectOptions::new().filename(directory.join(file));
            let database = SqlitePool::connect_with(options).await.unwrap();
            let row = database.fetch_one("SELECT id FROM installation").await.unwrap();
            database.close().await;
            row.get::<String, _>(0)
        })
    };
    FILES.into_iter().map(id).collect()
}

#[test]
fn a_missing_empty_or_foreign_file_refuses_the_start_and_is_named() {
    let (whole, order) = used();
    let (stranger, _) = used();
    for (nth, file) in FILES.into_iter().enumerate() {
        let directory = copy(whole.path());
        let path = directory.path().join(file);
        remove(directory.path(), file);
        let error = does_not_start(&start(directory.path()));
        assert!(error.contains(&format!("{file} is missing")), "{error}");
        assert!(!path.exists(), "{file} was made anew");

        File::create(&path).unwrap();
        let error = does_not_start(&start(directory.path()));
        assert!(error.contains(&format!("{file} is empty")), "{error}");

        fs::copy(stranger.path().join(file), &path).unwrap();
        let error = does_not_start(&start(directory.path()));
        assert!(error.contains(&format!("{file} belongs to another installation")), "{error}");

        let other = FILES[(nth + 1) % FILES.len()];
        fs::copy(whole.path().join(other), &path).unwrap();
        let error = does_not_start(&start(directory.path()));
        assert!(error.contains(&format!("{file} is a copy of {other}")), "{error}");

        fs::write(&path, "no database, but long enough to look like one at the first glance")
            .unwrap();
        let error = does_not_start(&start(directory.path()));
        assert!(error.contains(&format!("{file} is damaged")), "{error}");

        fs::copy(whole.path().join(file), &path).unwrap();
        let engine = Engine::start(directory.path());
        engine.until(&order, "CONFIRMED");
    }
}

#[test]
fn an_operator_can_have_a_lost_list_file_created_again() {
    let (directory, order) = used();
    remove(directory.path(), "orders.db");
    let anew = [&start(directory.path())[..], &["--make-anew", "orders.db"]].concat();
    let engine = Engine::start_with(&anew);
    until_health(&engine, true, "");
    let listed = || engine.ask(&["order", "list"])["orders"].as_array().cloned();
    let patience = std::time::Instant::now() + crate::support::PATIENCE;
    while listed().is_none_or(|orders| orders.is_empty()) {
        assert!(std::time::Instant::now() < patience, "the list is not filled again");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(listed().unwrap()[0]["order_id"], order.as_str());
    assert!(engine.stop().success());
    assert_eq!(ids(directory.path()).len(), 1);
    // Only once: it belongs to the others again.
    Engine::start(directory.path()).until(&order, "CONFIRMED");
    // The journal is the source of all others, and a new stock file would refuse what was
    // confirmed.
    for file in ["journal.db", "inventory.db"] {
        let refused = ordinal(&["serve", "--data", "x", "--make-anew", file]);
        assert_eq!(refused.status.code(), Some(2), "{file}");
    }
}

#[test]
fn a_file_another_role_has_not_created_yet_is_not_missing() {
    let directory = TempDir::new().unwrap();
    let nowhere = "http://127.0.0.1:9";
    let inventory =
        [&start(directory.path())[..], &["--role", "inventory", "--orders-at", nowhere]];
    let inventory = inventory.concat();
    let engine = Engine::start_with(&inventory);
    engine.ask(&["stock", "set", "MUG", "5"]);
    assert!(engine.stop().success());
    // The first start of the orders' role stopped at this point.
    File::create(directory.path().join("journal.db")).unwrap();
    assert!(Engine::start_with(&inventory).stop().success());
    let orders = [&start(directory.path())[..], &["--role", "orders", "--inventory-at", nowhere]];
    let orders = [&orders.concat()[..], &["--notifications-at", nowhere]].concat();
    assert!(Engine::start_with(&orders).stop().success());
}

#[test]
fn a_killed_first_start_can_be_repeated() {
    for after in [5, 15, 30, 45, 60, 80, 110, 150, 220] {
        let directory = TempDir::new().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_ordinal"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(directory.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Whenever the kill happens, the following must hold.
        std::thread::sleep(Duration::from_millis(after));
        process.kill().unwrap();
        process.wait().unwrap();
        let engine = Engine::start(directory.path());
        engine.place(&["MUG=1@4.50GBP"]);
        assert!(engine.stop().success());
        assert_eq!(ids(directory.path()).len(), 1, "killed after {after} ms");
    }
}

#[test]
fn files_that_never_held_data_are_created_again() {
    for file in FILES {
        let directory = TempDir::new().unwrap();
        assert!(Engine::start(directory.path()).stop().success());
        remove(directory.path(), file);
        assert!(Engine::start(directory.path()).stop().success());
        assert_eq!(ids(directory.path()).len(), 1, "{file}");
    }
}

#[test]
fn a_directory_of_an_older_version_is_accepted_if_it_is_complete() {
    let (directory, order) = used();
    // That version had no ledger and no payments.
    let later = ["ledger.db", "payments.db"];
    later.iter().for_each(|file| remove(directory.path(), file));
    let older = FILES.into_iter().filter(|file| !later.contains(file));
    for file in older.clone() {
        let version = if file == "journal.db" { 2 } else { 5 };
        let before = format!(
            "DROP TABLE installation; DROP TABLE siblings;
             DELETE FROM _sqlx_migrations WHERE version = {version}"
        );
        run_sql(&directory.path().join(file), &before);
    }
    for file in older {
        let half = copy(directory.path());
        remove(half.path(), file);
        let error = does_not_start(&start(half.path()));
        assert!(error.contains(&format!("{file} is missing")), "{error}");
    }
    let engine = Engine::start(directory.path());
    engine.until(&order, "CONFIRMED");
    assert!(engine.stop().success());
    assert_eq!(ids(directory.path()).len(), 1);
}

#[test]
fn roles_share_a_directory_and_no_file_has_two_processes() {
    let directory = TempDir::new().unwrap();
    let of = |role: &'static str| {
        let nobody = ["--orders-at", "http://127.0.0.1:9", "--inventory-at", "http://127.0.0.1:9"];
        [&start(directory.path())[..], &["--role", role], &nobody].concat()
    };
    let stock = Engine::start_with(&of("inventory"));
    stock.ask(&["stock", "set", "MUG", "5"]);
    // Files that never existed are not missing.
    let messages = Engine::start_with(&of("notifications"));
    let error = does_not_start(&of("inventory"));
    assert!(error.contains("inventory.db is open in another process"), "{error}");
    assert!(messages.stop().success());
    assert!(stock.stop().success());
    let stock = Engine::start_with(&of("inventory"));
    assert_eq!(stock.ask(&["stock", "get", "MUG"])["stock"]["sku"], "MUG");
    stock.kill();
    // An existing file counts, whoever created it.
    remove(directory.path(), "notifications.db");
    let error = does_not_start(&of("notifications"));
    assert!(error.contains("notifications.db is missing"), "{error}");
}

#[test]
fn each_file_is_complete_after_a_clean_stop() {
    let (directory, _) = used();
    let copy = TempDir::new().unwrap();
    for file in FILES {
        fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
        let wal = directory.path().join(format!("{file}-wal"));
        assert!(!wal.exists() || wal.metadata().unwrap().len() == 0, "{file} has a -wal file");
    }
    let verified = ordinal(&["verify", "--data", copy.path().to_str().unwrap()]);
    let told = String::from_utf8_lossy(&verified.stdout);
    assert!(told.contains("of 1 orders: every law holds"), "{told}");
}

#[test]
fn files_are_made_readable_by_their_owner_only() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("data");
    for again in [false, true] {
        if again {
            for file in FILES {
                let open = Permissions::from_mode(0o644);
                fs::set_permissions(directory.join(file), open).unwrap();
            }
        }
        let engine = Engine::start(&directory);
        engine.ask(&["stock", "set", "MUG", "5"]);
        let placed = engine.place(&["MUG=1@4.50GBP"]);
        engine.until(placed["order"]["order_id"].as_str().unwrap(), "CONFIRMED");
        let mail = directory.join("mail");
        let patience = std::time::Instant::now() + crate::support::PATIENCE;
        while fs::read_dir(&mail).unwrap().count() == 0 {
            assert!(std::time::Instant::now() < patience, "no mail is written");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut folders = vec![directory.clone()];
        while let Some(folder) = folders.pop() {
            let mode = folder.metadata().unwrap().mode() & 0o777;
            assert_eq!(mode, 0o700, "{}", folder.display());
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                // Written beside and renamed: it may be gone already.
                let Ok(found) = path.metadata() else { continue };
                if found.is_dir() {
                    folders.push(path);
                } else {
                    assert_eq!(found.mode() & 0o777, 0o600, "{}", path.display());
                }
            }
        }
        assert!(engine.stop().success());
    }
}

#[test]
fn tables_of_a_newer_program_are_refused_in_every_file() {
    let (whole, _) = used();
    for file in FILES {
        let directory = copy(whole.path());
        run_sql(
            &directory.path().join(file),
            "INSERT INTO _sqlx_migrations VALUES (999999, 'of tomorrow', '', 1, x'00', 0)",
        );
        let error = does_not_start(&start(directory.path()));
        assert!(error.contains(file) && error.contains("newer than this program"), "{error}");
    }
}

#[test]
fn an_invalid_token_file_is_refused_without_showing_tokens() {
    const SECRET: &str = "SECRETTOKEN-0123456789abcdef0123456789";
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tokens.toml");
    let line = |key: &str, token: &str, role: &str, subject: &str| {
        format!("[[tokens]]\n{key} = {token}\nrole = \"{role}\"\nsubject = \"{subject}\"\n")
    };
    let quoted = format!("\"{SECRET}\"");
    let good = |role| line("token", &quoted, role, "anna");
    let cases = [
        ("no quotes", line("token", SECRET, "OPS", "anna"), "line 2"),
        ("no end of quotes", line("token", &format!("\"{SECRET}"), "OPS", "anna"), "line 2"),
        ("twice, in two roles", good("OPS") + &good("SERVICE"), "token 2 is a duplicate"),
        ("twice in one", good("OPS") + &good("OPS"), "token 2 is a duplicate"),
        ("no subject", line("token", &quoted, "OPS", ""), "subject"),
        ("a subject of blanks", line("token", &quoted, "OPS", "  "), "subject"),
        ("a subject with a line break", line("token", &quoted, "OPS", "a\\nb"), "control"),
        ("no such key", line("tokne", &quoted, "OPS", "anna"), "unknown key; the keys are"),
        ("the token is a key", good("OPS") + SECRET + " = 1\n", "unknown key; the keys are"),
        ("one key more", good("OPS") + "expires = \"never\"\n", "unknown key; the keys are"),
        ("a key beside", format!("x = {quoted}\n{}", good("OPS")), "unknown key; the keys are"),
        ("a token that is a number", line("token", "12345678901234567", "OPS", "anna"), "token"),
        ("a list", line("token", &format!("[{quoted}]"), "OPS", "anna"), "token"),
        ("the token as the role", line("token", &quoted, SECRET, "anna"), "role"),
        ("a role in small letters", line("token", &quoted, "ops", "anna"), "role"),
        ("the engine", line("token", &quoted, "ENGINE", "anna"), "ENGINE"),
        ("a customer by name", line("token", &quoted, "CUSTOMER", "anna"), "customer id"),
        (
            "no header takes it",
            line("token", "\"SECRETTOKEN 0123456789abcdef0123456789\"", "OPS", "a"),
            "header",
        ),
        ("nothing", String::new(), "no token"),
        ("none", "tokens = []\n".to_owned(), "no token"),
    ];
    for (what, text, named) in cases {
        fs::write(&path, text).unwrap();
        let data = folder.path().join("data");
        let flags = ["--data", data.to_str().unwrap(), "--tokens", path.to_str().unwrap()];
        let error = ends_at_once(&flags, 2);
        assert!(error.contains(named) && error.contains("tokens.toml"), "{what}: {error}");
        let shown = ["SECRETTOKEN", "1234567890"].iter().any(|token| error.contains(token));
        assert!(!shown, "{what}: {error}");
    }
}
