//! Journals that earlier programs wrote are read by this one: every law holds, and every order looks at
//! each of its versions as it looked then. `scripts/golden-journal` made them; they never change.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::shop::TestDatabase;
use crate::support::{Engine, ordinal};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden-journals/0.1").join(name)
}

/// Every order at each of its versions, as it looked; how many that were.
fn looks_as_then(serve: &[&str], texts: &str) {
    let mail = TempDir::new().unwrap();
    let mut flags = serve.to_vec();
    flags.extend(["--mail-dir", mail.path().to_str().unwrap()]);
    let engine = Engine::start_with(&flags);
    let texts = std::fs::read_to_string(golden(texts)).unwrap();
    let mut looked_at = 0;
    // Labels that were reworded since.
    let texts = texts.replace("\nwords:      ", "\nnote:       ");
    for order in texts.split("== ").filter(|order| !order.is_empty()) {
        let (head, text) = order.split_once('\n').unwrap();
        let (order_id, version) = head.split_once(' ').unwrap();
        let address = engine.address.as_str();
        let shown =
            ordinal(&["--address", address, "order", "get", order_id, "--as-of-version", version]);
        assert_eq!(String::from_utf8_lossy(&shown.stdout), text, "{order_id} at {version}");
        looked_at += 1;
    }
    assert_eq!(looked_at, 27);
    assert!(engine.stop().success());
}

fn is_lawful(place: &[&str]) {
    let mut arguments = vec!["verify"];
    arguments.extend(place);
    let verified = ordinal(&arguments);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// Tables of an earlier program cannot be checked before they are migrated, and it says so.
fn asks_to_be_migrated(place: &[&str]) {
    let mut arguments = vec!["verify"];
    arguments.extend(place);
    let verified = ordinal(&arguments);
    assert_eq!(verified.status.code(), Some(1));
    let error = String::from_utf8_lossy(&verified.stderr);
    assert!(error.contains("is to be applied: run `ordinal migrate`"), "{error}");
}

#[test]
fn a_directory_of_version_0_1_is_read() {
    let folder = TempDir::new().unwrap();
    let unpacked = Command::new("tar")
        .args(["--extract", "--gzip", "--file"])
        .arg(golden("sqlite.tar.gz"))
        .arg("--directory")
        .arg(folder.path())
        .status();
    assert!(unpacked.unwrap().success());
    let data = folder.path().join("sqlite");
    let place = ["--data", data.to_str().unwrap()];
    asks_to_be_migrated(&place);
    looks_as_then(&place, "sqlite.txt");
    is_lawful(&place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_version_0_1_is_read() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let mut unpacked = Command::new("gzip")
        .args(["--decompress", "--stdout"])
        .arg(golden("postgres.sql.gz"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let restored = Command::new("psql")
        .args(["--quiet", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null", &url])
        .stdin(unpacked.stdout.take().unwrap())
        .status();
    assert!(restored.unwrap().success() && unpacked.wait().unwrap().success());
    let place = ["--database-url", url.as_str()];
    asks_to_be_migrated(&place);
    looks_as_then(&place, "postgres.txt");
    is_lawful(&place);
    database.drop().await;
}
