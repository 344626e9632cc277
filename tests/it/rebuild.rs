//! A read model is rebuilt beside the one in use: readers never wait, and nothing is missing.

use std::sync::Arc;
use std::time::Duration;

use order_actor::journal::{Options, open_postgres};
use order_actor::projections::TABLES;
use order_actor::record::decode;
use ordinal::client::{Client, Failure};
use serde_json::{Value, json};
use shared_events::contract::Timestamp;
use shared_events::stream::{Cursors, Database};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::shop::{On, Orders as _, Shop, TestDatabase, on_both};
use crate::support::{Engine, PATIENCE, ordinal};

on_both!(orders_stay_listed_during_a_rebuild);

const READ_MODELS: [&str; 4] =
    ["order-summaries", "deadlines", "order-returns", "order-identifiers"];

async fn rebuild(ops: Client, name: &str) -> Result<Value, Failure> {
    ops.call("admin.v1.AdminService/RebuildReadModel", json!({ "name": name })).await
}

/// The listed orders, oldest first.
async fn listed(ops: &Client) -> Vec<String> {
    let answer = ops.orders("ListOrders", json!({ "page_size": 100 })).await.unwrap();
    let orders = answer["orders"].as_array().unwrap().iter().rev();
    orders.map(|order| order["order_id"].as_str().unwrap().to_owned()).collect()
}

async fn orders_stay_listed_during_a_rebuild(shop: Shop) {
    shop.set_stock("MUG", 30).await;
    let ops = shop.ops.clone();
    let rebuilding = tokio::spawn(async move {
        let mut replayed = Vec::new();
        for name in READ_MODELS.iter().cycle().take(12) {
            replayed.push(rebuild(ops.clone(), name).await.unwrap()["events"].as_u64().unwrap());
        }
        replayed
    });
    let mut placed = Vec::new();
    while placed.len() < 10 || !rebuilding.is_finished() {
        if placed.len() < 90 {
            placed.push(shop.place(&[("MUG", 1)]).await);
        }
        // Listed orders stay listed; the newest may take a moment.
        let patience = Instant::now() + PATIENCE;
        while listed(&shop.ops).await != placed {
            let known = listed(&shop.ops).await.len();
            assert!(known + 1 >= placed.len(), "{known} of {} are listed", placed.len());
            assert!(Instant::now() < patience, "{placed:?}");
        }
    }
    let replayed = rebuilding.await.unwrap();
    assert!(replayed.iter().sum::<u64>() > 0, "{replayed:?}");
    shop.settled().await;
    assert_eq!(listed(&shop.ops).await, placed);
    shop.close().await;
}

/// A long-running reader of the orders' tables, such as `verify`.
struct Reader {
    snapshot: Database,
    /// The count that it saw at its beginning.
    orders: i64,
}

impl Reader {
    async fn of(url: &str) -> Self {
        let snapshot = Database::postgres_snapshot(url, "orders", &TABLES).await.unwrap();
        let orders = Self::look(&snapshot).await;
        Self { snapshot, orders }
    }

    async fn look(snapshot: &Database) -> i64 {
        let count = "SELECT COUNT(*) FROM order_summaries";
        sqlx::query_scalar(count).fetch_one(snapshot.reader()).await.unwrap()
    }

    /// Ends it; it must have seen the same count all the time.
    async fn goes(self) {
        assert_eq!(Self::look(&self.snapshot).await, self.orders);
        self.snapshot.close().await;
    }
}

/// Starts a rebuild that has to wait, once this many orders are in the new table.
async fn begun(shop: &Shop, orders: i64) -> JoinHandle<Result<Value, Failure>> {
    let ops = shop.ops.clone();
    let rebuilding = tokio::spawn(async move { rebuild(ops, "order-summaries").await });
    beside(&shop.url(), orders).await;
    rebuilding
}

/// Waits until this many orders are in the new table.
async fn beside(url: &str, orders: i64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let patience = Instant::now() + PATIENCE;
    loop {
        let count = "SELECT COUNT(*) FROM orders.order_summaries_next";
        let there: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap();
        if there == orders {
            return;
        }
        assert!(Instant::now() < patience, "{there} orders are beside");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_waits_for_readers_and_the_later_of_two_wins() {
    let shop = Shop::open(On::Postgres).await;
    let mut placed = vec![shop.place(&[("MUG", 1)]).await, shop.place(&[("MUG", 1)]).await];
    shop.settled().await;
    let reader = Reader::of(&shop.url()).await;
    let first = begun(&shop, 2).await;
    placed.push(shop.place(&[("MUG", 1)]).await);
    shop.settled().await;
    assert_eq!(listed(&shop.ops).await, placed);
    let second = begun(&shop, 3).await;
    let superseded = first.await.unwrap().unwrap_err();
    assert_eq!(superseded.reason(), "SUPERSEDED");
    placed.push(shop.place(&[("MUG", 1)]).await);
    shop.settled().await;
    assert_eq!(listed(&shop.ops).await, placed);
    reader.goes().await;
    // Four orders were placed, and cancelled for lack of stock.
    assert_eq!(second.await.unwrap().unwrap()["events"], 8);
    assert_eq!(listed(&shop.ops).await, placed);
    placed.push(shop.place(&[("MUG", 1)]).await);
    shop.settled().await;
    assert_eq!(listed(&shop.ops).await, placed);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rebuild_changes_nothing_and_can_be_repeated() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let flags = ["--database-url", &url];
    let engine = Arc::new(Engine::start_with(&flags));
    let placed: Vec<Value> = (0..2).map(|_| engine.place(&["MUG=1@4.50GBP"])).collect();
    for order in &placed {
        engine.until(order["order"]["order_id"].as_str().unwrap(), "CANCELLED");
    }
    let listed = |engine: &Engine| {
        let patience = std::time::Instant::now() + PATIENCE;
        loop {
            let list = engine.ask(&["order", "list", "--status", "CANCELLED"]);
            if list["orders"].as_array().unwrap().len() == 2 {
                return list;
            }
            assert!(std::time::Instant::now() < patience, "{list}");
        }
    };
    let before = listed(&engine);
    let reader = Reader::of(&url).await;
    let asked = Arc::clone(&engine);
    let rebuild = ["read-model", "rebuild", "order-summaries"];
    let cut_off = tokio::task::spawn_blocking(move || asked.run(&rebuild).status);
    beside(&url, 2).await;
    engine.signal("-KILL");
    assert!(!cut_off.await.unwrap().success());
    Arc::into_inner(engine).unwrap().kill();
    reader.goes().await;

    let engine = Engine::start_with(&flags);
    assert_eq!(listed(&engine), before);
    assert_eq!(engine.ask(&rebuild)["events"], 4);
    assert_eq!(listed(&engine), before);
    let report = ordinal(&["verify", "--database-url", &url]);
    assert!(report.status.success(), "{report:?}");
    assert!(engine.stop().success());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_stops_does_not_wait_for_a_rebuild() {
    let mut shop = Shop::open(On::Postgres).await;
    shop.place(&[("MUG", 1)]).await;
    shop.settled().await;
    let reader = Reader::of(&shop.url()).await;
    let cut_off = begun(&shop, 1).await;
    shop.stop().await;
    assert_eq!(cut_off.await.unwrap().unwrap_err().reason(), "STOPPING");
    reader.goes().await;
    shop.start(|_| ()).await;
    assert_eq!(rebuild(shop.ops.clone(), "order-summaries").await.unwrap()["events"], 2);
    shop.close().await;
}

impl Shop {
    /// Adds the first event of an order to the dead letters.
    async fn set_aside(&self, order: &str) {
        let options =
            Options { read_only: true, ..Options::new(Arc::new(|| Timestamp::from_micros(0))) };
        let journal = open_postgres(&self.url(), "orders_journal", options).await.unwrap();
        let stored = journal.read_after(&Cursors::default(), 100).await.unwrap();
        journal.close().await;
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        connection.execute("SET search_path TO orders").await.unwrap();
        for event in stored.iter().filter(|event| event.stream_id.to_string() == order) {
            let state = if event.sequence == 1 { "POISON" } else { "BEHIND" };
            let item = serde_json::to_string(&decode(event).unwrap()).unwrap();
            sqlx::query(
                "INSERT INTO dead_letters (follower, shard, position, idx, subject, state, kind,
                                           item, error, attempts, parked_at)
                 VALUES ('order-summaries', $1, $2, 0, $3, $4, 'OrderPlaced', $5, 'crafted', 1, 0)",
            )
            .bind(i64::from(event.shard))
            .bind(i64::try_from(event.position).unwrap())
            .bind(order)
            .bind(state)
            .bind(item)
            .execute(&mut connection)
            .await
            .unwrap();
        }
        let delete = "DELETE FROM order_summaries WHERE order_id = $1";
        sqlx::query(delete).bind(order).execute(&mut connection).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_retried_during_a_rebuild_are_not_missing() {
    let mut shop = Shop::open(On::Postgres).await;
    let (poison, other) = (shop.place(&[("MUG", 1)]).await, shop.place(&[("MUG", 1)]).await);
    shop.settled().await;
    shop.stop().await;
    shop.set_aside(&poison).await;
    shop.start(|_| ()).await;
    let reader = Reader::of(&shop.url()).await;
    // Without the dead letters, as in the old one.
    let rebuilding = begun(&shop, 1).await;
    assert_eq!(listed(&shop.ops).await, std::slice::from_ref(&other));
    let put_back = json!({ "follower": "order-summaries", "subject": poison });
    shop.ops.call("admin.v1.AdminService/PutBackDeadLetters", put_back).await.unwrap();
    let patience = Instant::now() + PATIENCE;
    while listed(&shop.ops).await.len() < 2 {
        assert!(Instant::now() < patience, "what was put back is not handled");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reader.goes().await;
    assert_eq!(rebuilding.await.unwrap().unwrap()["events"], 4);
    assert_eq!(listed(&shop.ops).await, [poison, other]);
    shop.close().await;
}
