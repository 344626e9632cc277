//! Dead letters from before subjects, when every item was about an order, are found by their
//! subject.

use include_dir::include_dir;
use shared_events::contract::{OrderId, Subject};
use shared_events::stream::{Database, DeadLetterState, DeadLetters, migrations};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

/// The migrations of a program from before subjects.
fn before(all: &Migrator, version: i64) -> Migrator {
    let known = all.iter().filter(|migration| migration.version < version).cloned();
    Migrator { migrations: known.collect::<Vec<_>>().into(), ..Migrator::DEFAULT }
}

const OLD: &str = "
    INSERT INTO dead_letters (follower, shard, position, idx, order_id, state, kind, item,
                               error, attempts, parked_at)
     VALUES ('stock', 3, 17, 0, '018f6f3e-0000-7000-8000-00000000000a', 'POISON', 'order.created.v1',
             '{}', 'impossible', 2, 0)";

async fn is_found_by_its_subject(database: &Database) {
    let letters = DeadLetters::new(database.clone());
    let order: OrderId = "018f6f3e-0000-7000-8000-00000000000a".parse().unwrap();
    let all = letters.of_subject("stock", order.into()).await.unwrap();
    let [letter] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(letter.subject, Subject::from(order));
    assert_eq!((letter.state, letter.attempts), (DeadLetterState::Poison, 2));
    database.close().await;
}

#[tokio::test]
async fn a_letter_of_an_order_is_found_by_its_subject_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stock.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    before(&migrations(&include_dir!("$CARGO_MANIFEST_DIR/migrations/sqlite")), 8)
        .run(&pool)
        .await
        .unwrap();
    pool.execute(OLD).await.unwrap();
    pool.close().await;
    let none = Migrator { migrations: vec![].into(), ..Migrator::DEFAULT };
    is_found_by_its_subject(&Database::sqlite(&path, &none).await.unwrap()).await;
}

#[tokio::test]
async fn a_letter_of_an_order_is_found_by_its_subject_on_postgres() {
    let url = std::env::var("ORDINAL_TEST_POSTGRES")
        .expect("ORDINAL_TEST_POSTGRES names a Postgres for tests; scripts/test starts one");
    let schema = format!("t_{}", Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let begin = format!("CREATE SCHEMA {schema}; SET search_path TO {schema}");
    connection.execute(begin.as_str()).await.unwrap();
    before(&migrations(&include_dir!("$CARGO_MANIFEST_DIR/migrations/postgres")), 7)
        .run(&mut connection)
        .await
        .unwrap();
    connection.execute(OLD).await.unwrap();
    connection.close().await.unwrap();
    let none = Migrator { migrations: vec![].into(), ..Migrator::DEFAULT };
    is_found_by_its_subject(&Database::postgres(&url, &schema, &none).await.unwrap()).await;
}
