//! The facts about sent messages: in the shard of their order, without a gap, after those that
//! older versions wrote.

use std::sync::Arc;

use notification::ledger;
use notification::{Channel, Config, Route, Webhook, migrator};
use shared_events::chance::Chance;
use shared_events::contract::{
    Fact, FactBody, FactId, NotificationFact, NotificationId, OrderId, Origin,
};
use shared_events::stream::{Cursors, Database, Dialect, Outbox, Source as _};
use sqlx::migrate::Migrator;

use crate::support::{Bench, delivered, hook, placed, server, start};

/// Where a database is that is opened twice.
enum Place {
    File(tempfile::TempDir),
    Schema(String),
}

impl Place {
    fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Sqlite => Self::File(tempfile::tempdir().unwrap()),
            Dialect::Postgres => Self::Schema(format!("t_{}", Chance::system().uuid().simple())),
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

/// The migrations of the version that had one outbox for all shards.
fn before_shards(dialect: Dialect) -> Migrator {
    before(dialect, 106)
}

/// The migrations before this one.
fn before(dialect: Dialect, version: i64) -> Migrator {
    let all = migrator(dialect);
    let known = all.iter().filter(|migration| migration.version < version).cloned();
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

async fn facts_of_an_older_version_stay_readable(dialect: Dialect) {
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
    // The fact of a message about an order of shard 0 follows them.
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
async fn facts_of_an_older_version_stay_readable_on_sqlite() {
    facts_of_an_older_version_stay_readable(Dialect::Sqlite).await;
}

#[tokio::test]
async fn facts_of_an_older_version_stay_readable_on_postgres() {
    facts_of_an_older_version_stay_readable(Dialect::Postgres).await;
}

async fn sent_messages_are_published_in_the_shards_of_their_orders(dialect: Dialect) {
    const COUNT: u64 = 360;
    let bench = Bench::on(dialect, |_| {}).await;
    let facts: Vec<Fact> = (1..=COUNT)
        .map(|position| Fact { shard: u16::try_from(position % 3).unwrap(), ..placed(position) })
        .collect();
    bench.follow(&facts).await;
    let until = start();
    let taken = ledger::claim(&bench.database, Channel::Email, start(), until, 400).await.unwrap();
    assert_eq!(taken.len(), 360);
    // Concurrent reports, each of one message per shard, half of them in the opposite order: were a
    // shard's outbox locked in the order of the report, they would deadlock.
    let reports = taken.chunks(3).enumerate().map(|(nth, of_each)| {
        let (database, mut of_each) = (bench.database.clone(), of_each.to_vec());
        if nth % 2 == 1 {
            of_each.reverse();
        }
        shared_events::stream::spawn(async move { delivered(&database, &of_each, start()).await })
    });
    for report in reports.collect::<Vec<_>>() {
        report.await.unwrap().unwrap();
    }
    let outbox: Arc<Outbox> = bench.service.facts();
    let read = outbox.read_after(&Cursors::default(), 400).await.unwrap();
    let mut causes: Vec<_> = read.items.iter().map(|fact| fact.causationid.clone()).collect();
    causes.sort();
    let mut expected: Vec<_> = facts.iter().map(|fact| Some(fact.id.to_string())).collect();
    expected.sort();
    assert_eq!(causes, expected);
    let mut ids: Vec<FactId> = read.items.iter().map(|fact| fact.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 360);
    for shard in 0..3 {
        let of_shard = read.items.iter().filter(|fact| fact.shard == shard);
        assert!(of_shard.map(|fact| fact.position).eq(1..=COUNT / 3), "shard {shard}");
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

/// Messages of the version that had one webhook endpoint are those of the default one, and named
/// endpoints can be written beside them.
async fn due_messages_of_an_older_version_are_sent(dialect: Dialect) {
    let place = Place::of(dialect);
    let database = place.open(&before(dialect, 107)).await;
    let url = || "http://localhost/".to_owned();
    let webhooks = vec![hook(url())];
    let config = Config { webhooks, ..Config::to_directory(std::env::temp_dir()) };
    let mut tx = database.begin().await.unwrap();
    let messages = notification::compose(&placed(1), &config);
    ledger::write(&database, &mut tx, &messages, start()).await.unwrap();
    tx.commit().await.unwrap();
    database.close().await;

    let database = place.open(&migrator(dialect)).await;
    let crm = Webhook { name: "crm".to_owned(), ..hook(url()) };
    let config = Config { webhooks: vec![crm], ..config };
    let mut tx = database.begin().await.unwrap();
    let messages = notification::compose(&placed(2), &config);
    ledger::write(&database, &mut tx, &messages, start()).await.unwrap();
    tx.commit().await.unwrap();
    let claim = async |route: Route| {
        let claimed = ledger::claim(&database, route, start(), start(), 10).await.unwrap();
        claimed.into_iter().map(|entry| entry.serial).collect::<Vec<_>>()
    };
    assert_eq!(claim(Channel::Email.into()).await, [1, 3]);
    assert_eq!(claim(Channel::Webhook.into()).await, [2]);
    assert_eq!(claim(Route::webhook("crm")).await, [4]);
    database.close().await;
}

#[tokio::test]
async fn due_messages_of_an_older_version_are_sent_on_sqlite() {
    due_messages_of_an_older_version_are_sent(Dialect::Sqlite).await;
}

#[tokio::test]
async fn due_messages_of_an_older_version_are_sent_on_postgres() {
    due_messages_of_an_older_version_are_sent(Dialect::Postgres).await;
}
