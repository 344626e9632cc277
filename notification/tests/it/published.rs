//! What is published of messages that were sent: in the shard of their order, without a gap, beside
//! what older programs wrote.

use std::sync::Arc;

use notification::ledger::{self, Filter};
use notification::{Channel, migrator};
use shared_events::contract::{
    Fact, FactBody, FactId, NotificationFact, NotificationId, OrderId, Origin,
};
use shared_events::stream::{Cursors, Database, Dialect, Outbox, Source as _};
use sqlx::migrate::Migrator;
use uuid::Uuid;

use crate::support::{Bench, delivered, placed, server, start};

/// A place for a database, which is opened twice.
enum Place {
    File(tempfile::TempDir),
    Schema(String),
}

impl Place {
    fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Sqlite => Self::File(tempfile::tempdir().unwrap()),
            Dialect::Postgres => Self::Schema(format!("t_{}", Uuid::now_v7().simple())),
        }
    }

    async fn open(&self, migrations: &Migrator) -> Database {
        match self {
            Self::File(folder) => {
                let path = folder.path().join("notifications.db");
                Database::sqlite(&path, migrations).await.unwrap()
            }
            Self::Schema(schema) => {
                Database::postgres(&server(), schema, migrations).await.unwrap()
            }
        }
    }
}

/// As the program was that had one outbox for all shards.
fn before_shards(dialect: Dialect) -> Migrator {
    let all = migrator(dialect);
    let known = all.iter().filter(|migration| migration.version < 106).cloned();
    Migrator { migrations: known.collect::<Vec<_>>().into(), ..all }
}

fn sent(position: u64) -> Fact {
    let body = FactBody::Notification(NotificationFact::Sent {
        order_id: OrderId::mint(),
        notification_id: NotificationId::mint(),
        channel: "EMAIL".to_owned(),
    });
    let id = FactId::at(Origin::Notifications, 0, position, 0);
    Fact::new(id, (0, position, 0), position, start(), body)
}

async fn facts_from_before_are_read_still_and_new_ones_follow_them(dialect: Dialect) {
    let place = Place::of(dialect);
    let database = place.open(&before_shards(dialect)).await;
    let old = [sent(1), sent(2)];
    let mut tx = database.begin().await.unwrap();
    for fact in &old {
        sqlx::query("INSERT INTO outbox (position, order_id, fact) VALUES ($1, $2, $3)")
            .bind(i64::try_from(fact.position).unwrap())
            .bind(fact.subject.to_string())
            .bind(fact.to_json().unwrap())
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    sqlx::query("UPDATE outbox_head SET position = 2").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    database.close().await;

    let database = place.open(&migrator(dialect)).await;
    let outbox = Outbox::new(database.clone());
    let read = outbox.read_after(&Cursors::default(), 10).await.unwrap();
    assert_eq!(read.items, old);
    assert_eq!(read.through.get(0), 2);
    // A message about an order of shard 0 comes behind them.
    let mut tx = database.begin().await.unwrap();
    let config = notification::Config::to_directory(std::env::temp_dir());
    let messages = notification::compose(&placed(1), &config);
    ledger::write(&database, &mut tx, &messages, start()).await.unwrap();
    tx.commit().await.unwrap();
    let taken = ledger::claim(&database, Channel::Email, start(), start(), 10).await.unwrap();
    delivered(&database, &taken, start()).await.unwrap();
    let read = outbox.read_after(&read.through, 10).await.unwrap();
    let [fact] = read.items.as_slice() else { panic!("{read:?}") };
    assert_eq!((fact.shard, fact.position, fact.sequence), (0, 3, 3));
    assert_eq!(fact.body.order_id(), Some(taken[0].order_id));
    database.close().await;
}

#[tokio::test]
async fn facts_from_before_are_read_still_and_new_ones_follow_them_on_sqlite() {
    facts_from_before_are_read_still_and_new_ones_follow_them(Dialect::Sqlite).await;
}

#[tokio::test]
async fn facts_from_before_are_read_still_and_new_ones_follow_them_on_postgres() {
    facts_from_before_are_read_still_and_new_ones_follow_them(Dialect::Postgres).await;
}

async fn sent_messages_are_published_in_the_shards_of_their_orders(dialect: Dialect) {
    let bench = Bench::on(dialect, |_| {}).await;
    let facts: Vec<Fact> = (1..=6)
        .map(|position| Fact { shard: u16::try_from(position % 3).unwrap(), ..placed(position) })
        .collect();
    bench.follow(&facts).await;
    let filter = Filter::default();
    let all = ledger::list(&bench.database, &filter, 0, 100).await.unwrap();
    assert_eq!(all.len(), 6);
    let until = start();
    let taken = ledger::claim(&bench.database, Channel::Email, start(), until, 100).await.unwrap();
    // Several processes deliver at the same time: none waits for another in a circle.
    let reports = taken.into_iter().map(|entry| {
        let database = bench.database.clone();
        tokio::spawn(async move { delivered(&database, &[entry], start()).await })
    });
    for report in reports.collect::<Vec<_>>() {
        report.await.unwrap().unwrap();
    }
    let outbox: Arc<Outbox> = bench.service.facts();
    let read = outbox.read_after(&Cursors::default(), 100).await.unwrap();
    let mut causes: Vec<_> = read.items.iter().map(|fact| fact.causationid.clone()).collect();
    causes.sort();
    let mut told: Vec<_> = facts.iter().map(|fact| Some(fact.id.to_string())).collect();
    told.sort();
    assert_eq!(causes, told);
    let mut ids: Vec<FactId> = read.items.iter().map(|fact| fact.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    for shard in 0..3 {
        let of_shard = read.items.iter().filter(|fact| fact.shard == shard);
        let positions: Vec<u64> = of_shard.map(|fact| fact.position).collect();
        assert_eq!(positions, [1, 2], "shard {shard}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sent_messages_are_published_in_the_shards_of_their_orders_on_sqlite() {
    sent_messages_are_published_in_the_shards_of_their_orders(Dialect::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sent_messages_are_published_in_the_shards_of_their_orders_on_postgres() {
    sent_messages_are_published_in_the_shards_of_their_orders(Dialect::Postgres).await;
}
