//! Which installation an SQLite file belongs to, read from files as killed processes leave them.

use std::path::Path;

use shared_events::stream::Contents;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

/// A file whose process was killed in the middle of a transaction: its writes are in the file, and
/// the original pages are in the journal beside it.
async fn torn(at: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut file = options.journal_mode(SqliteJournalMode::Delete).connect().await.unwrap();
    file.execute("CREATE TABLE kept (x); PRAGMA cache_size = 1").await.unwrap();
    file.execute("BEGIN IMMEDIATE").await.unwrap();
    for _ in 0..50 {
        file.execute("INSERT INTO kept VALUES (zeroblob(4000))").await.unwrap();
    }
    let journal = |path: &Path| format!("{}-journal", path.display());
    std::fs::copy(&path, at).unwrap();
    std::fs::copy(journal(&path), journal(at)).unwrap();
    file.execute("ROLLBACK").await.unwrap();
    file.close().await.unwrap();
}

#[tokio::test]
async fn a_killed_process_is_rolled_back_before_its_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torn.db");
    torn(&path).await;
    let contents = Contents::of(&path, &["kept"]).await.unwrap();
    assert_eq!(contents, Contents::Unmarked { new: true });
}

#[tokio::test]
async fn only_a_file_that_is_not_a_database_counts_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.db");
    std::fs::write(&path, "no database, but long enough to be asked for its header".repeat(40))
        .unwrap();
    assert!(Contents::of(&path, &[]).await.unwrap_err().is_damage());
    let directory = folder.path().join("directory.db");
    std::fs::create_dir(&directory).unwrap();
    assert!(!Contents::of(&directory, &[]).await.unwrap_err().is_damage());
}
