//! The outbox as a source: places are found in one statement, and commits wake readers.

use shared_events::contract::{FactBody, FactId, InventoryFact, Mark, OrderId, Origin, Timestamp};
use shared_events::stream::{Cursors, Database, Finding, NewFact, Outbox, Place, Source as _};
use sqlx::migrate::Migrator;
use uuid::Uuid;

async fn tables(database: &Database) {
    for sql in [
        "CREATE TABLE outbox (shard BIGINT NOT NULL, position BIGINT NOT NULL, subject TEXT NOT
         NULL, fact TEXT NOT NULL, PRIMARY KEY (shard, position))",
        "CREATE TABLE outbox_heads (shard BIGINT PRIMARY KEY, position BIGINT NOT NULL)",
    ] {
        let mut tx = database.begin().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn fact(shard: u16) -> NewFact {
    let body = FactBody::Inventory(InventoryFact::Rejected {
        order_id: OrderId::mint(),
        skus: vec![],
        reservation_id: None,
    });
    let id = FactId::once(Origin::Inventory, Uuid::now_v7(), body.kind());
    NewFact {
        id,
        shard,
        sequence: None,
        causationid: None,
        traceparent: None,
        tracestate: None,
        body,
    }
}

/// Writes a fact to each of these shards; the place of each.
async fn write(outbox: &Outbox, database: &Database, shards: &[u16]) -> Vec<Place> {
    let facts = shards.iter().map(|shard| fact(*shard)).collect();
    let mut tx = database.begin().await.unwrap();
    let written = outbox.write(&mut tx, facts, Timestamp::default()).await.unwrap();
    tx.commit().await.unwrap();
    outbox.committed();
    let place = |fact: &shared_events::contract::Fact| Place {
        shard: fact.shard,
        position: fact.position,
        mark: fact.mark().unwrap(),
    };
    written.iter().map(place).collect()
}

async fn places_are_compared_in_any_order(database: &Database) {
    tables(database).await;
    let outbox = Outbox::new(database.clone());
    let written = write(&outbox, database, &[3, 1, 3, 3, 1]).await;
    let other = Place { mark: Mark::from_bits(1), ..written[2] };
    let ahead = Place { position: 9, ..written[1] };
    let unknown = Place { shard: 7, ..written[0] };
    let asked = [written[3], other, written[4], written[0], ahead, written[3], unknown, written[1]];
    let compared = outbox.compare(&asked, 0).await.unwrap();
    use Finding::{Ahead, Other, Same};
    assert_eq!(compared.findings, [Same, Other, Same, Same, Ahead, Same, Ahead, Same]);
    assert!(outbox.compare(&[ahead], 0).await.unwrap().findings == [Ahead]);
}

async fn a_commit_is_seen_however_the_heads_were_known(database: &Database) {
    tables(database).await;
    let (outbox, other) = (Outbox::new(database.clone()), Outbox::new(database.clone()));
    let mut cursors = Cursors::default();
    for _ in 0..3 {
        // An own commit after the heads were read.
        assert!(outbox.read_after(&cursors, 10).await.unwrap().is_empty());
        write(&outbox, database, &[1]).await;
        outbox.changed(&cursors).await;
        cursors.merge(&outbox.read_after(&cursors, 10).await.unwrap().through);
        // Commits of others, such as another process, are seen by the next poll.
        write(&other, database, &[2]).await;
        outbox.changed(&cursors).await;
        let batch = outbox.read_after(&cursors, 10).await.unwrap();
        assert_eq!((batch.items.len(), batch.items[0].shard), (1, 2));
        cursors.merge(&batch.through);
    }
}

pub async fn postgres() -> Database {
    let url = std::env::var("ORDINAL_TEST_POSTGRES")
        .expect("ORDINAL_TEST_POSTGRES names a Postgres for tests; scripts/test starts one");
    let schema = format!("t_{}", Uuid::now_v7().simple());
    Database::postgres(&url, &schema, &Migrator::DEFAULT).await.unwrap()
}

#[tokio::test]
async fn places_are_compared_in_any_order_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    places_are_compared_in_any_order(&Database::sqlite(&path, &Migrator::DEFAULT).await.unwrap())
        .await;
}

#[tokio::test]
async fn places_are_compared_in_any_order_on_postgres() {
    places_are_compared_in_any_order(&postgres().await).await;
}

#[tokio::test]
async fn a_commit_is_seen_however_the_heads_were_known_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    a_commit_is_seen_however_the_heads_were_known(
        &Database::sqlite(&path, &Migrator::DEFAULT).await.unwrap(),
    )
    .await;
}

#[tokio::test]
async fn a_commit_is_seen_however_the_heads_were_known_on_postgres() {
    a_commit_is_seen_however_the_heads_were_known(&postgres().await).await;
}
