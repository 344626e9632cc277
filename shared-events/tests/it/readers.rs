//! A log remembers in which database each reader keeps its position, and refuses a reader whose
//! database is another one that knows of nothing that was read.

use std::sync::Arc;

use async_trait::async_trait;
use shared_events::contract::Fact;
use shared_events::stream::{
    Batch, Cursors, Database, Reader, Source, SourceError, WithoutContact, made_anew,
};
use sqlx::migrate::Migrator;

const NONE: Migrator = Migrator::DEFAULT;

async fn on_sqlite() -> (Database, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Database::sqlite(&folder.path().join("a.db"), &NONE).await.unwrap(), folder)
}

fn reader(identity: &str, has_read: bool) -> Reader {
    let (follower, identity) = ("stock".to_owned(), identity.to_owned());
    Reader { follower, identity, has_read, anew: false }
}

fn anew(identity: &str) -> Reader {
    Reader { anew: true, ..reader(identity, false) }
}

async fn readers_are_known_by_their_databases(log: &Database) {
    let knows = async |reader: Reader| reader.is_known(log).await.unwrap();
    // Nobody has read yet.
    assert!(knows(reader("a", false)).await && knows(reader("b", false)).await);
    assert!(knows(reader("a", true)).await && knows(reader("a", false)).await);
    assert!(!knows(reader("b", false)).await);
    // Restored, from before it was known.
    assert!(knows(reader("b", true)).await && !knows(reader("a", false)).await);
    assert!(knows(anew("c")).await && knows(reader("c", false)).await);
    assert!(!knows(reader("b", false)).await);

    let service = |reader: Reader| Reader { follower: "service ledger".to_owned(), ..reader };
    let has = async |reader| service(reader).has_its_database(log).await.unwrap();
    assert!(has(reader("a", false)).await && has(reader("b", true)).await);
    assert!(!has(reader("a", false)).await && !has(reader("a", true)).await);
    assert!(has(anew("a")).await && has(reader("a", true)).await && !has(reader("b", true)).await);
}

async fn a_reader_that_is_known_is_remembered_where_no_other_is(log: &Database) {
    let knows = async |reader: Reader| reader.is_known(log).await.unwrap();
    let mut tx = log.begin().await.unwrap();
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
               INSERT INTO readers (follower, identity) SELECT 'reader ' || i, 'a' FROM n";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let known = |reader: Reader| Reader { follower: "reader 7".to_owned(), ..reader };
    assert!(knows(known(reader("b", true))).await);
    assert!(!knows(known(reader("a", false))).await, "the database that it has now");
    let late = |reader: Reader| Reader { follower: "late".to_owned(), ..reader };
    assert!(knows(late(reader("a", true))).await && knows(late(reader("b", false))).await);
}

async fn each_database_has_an_identity_of_its_own(one: &Database, other: &Database) {
    let of = async |database| Reader::of_service(database, "x", &["cursors"]).await.unwrap();
    let (first, second) = (of(one).await, of(other).await);
    assert_ne!(first.identity, second.identity);
    assert!(!first.has_read && !first.anew);
    sqlx::query("INSERT INTO cursors (follower, shard, position) VALUES ('x', 0, 1)")
        .execute(one.reader())
        .await
        .unwrap();
    made_anew(one).await.unwrap();
    assert_eq!(of(one).await, Reader { has_read: true, anew: true, ..first });
}

#[tokio::test]
async fn readers_are_known_by_their_databases_on_sqlite() {
    let ((one, _folder), (other, _other)) = (on_sqlite().await, on_sqlite().await);
    readers_are_known_by_their_databases(&one).await;
    each_database_has_an_identity_of_its_own(&one, &other).await;
    a_reader_that_is_known_is_remembered_where_no_other_is(&other).await;
}

#[tokio::test]
async fn readers_are_known_by_their_databases_on_postgres() {
    let (one, other) = (crate::outbox::postgres().await, crate::outbox::postgres().await);
    readers_are_known_by_their_databases(&one).await;
    each_database_has_an_identity_of_its_own(&one, &other).await;
    a_reader_that_is_known_is_remembered_where_no_other_is(&other).await;
}

/// A log that lets nobody in.
struct Closed;

#[async_trait]
impl Source<Fact> for Closed {
    async fn read_after(&self, _: &Cursors, _: usize) -> Result<Batch<Fact>, SourceError> {
        Ok(Batch::default())
    }

    async fn changed(&self, _: &Cursors) {}

    async fn heads(&self) -> Result<Cursors, SourceError> {
        Ok(Cursors::default())
    }

    async fn meet(&self, _: &Reader) -> Result<bool, SourceError> {
        Ok(false)
    }
}

#[tokio::test]
async fn a_reader_of_facts_without_contact_introduces_itself_to_their_log() {
    let facts = WithoutContact::new(Arc::new(Closed));
    assert!(!facts.meet(&reader("a", false)).await.unwrap());
}
