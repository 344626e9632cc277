//! Stock as shown: from a cache that is never older than its caller's knowledge, and checked hourly
//! for whether its sums hold.

use std::path::Path;
use std::time::{Duration, Instant};

use ordinal::engine::Settings;
use ordinal::streams::Streams;
use serde_json::{Value, json};
use shared_events::stream::redis::{Keep, RedisOptions};
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection as _, Executor as _};

use crate::health::{lines, logged, until_health};
use crate::shop::{On, Orders as _, Shop, on_both};
use crate::support::{Engine, PATIENCE, RedisServer};

const LOOK_AGAIN: Duration = Duration::from_millis(20);

fn cached(redis: &RedisServer) -> impl FnOnce(&mut Settings) {
    let url = redis.url();
    move |settings| {
        settings.streams = Some(Streams {
            redis: RedisOptions {
                urls: vec![url],
                cluster: false,
                authority: None,
                prefix: "ordinal".to_owned(),
            },
            keep: Keep::default(),
            stock_cache_for: Duration::from_secs(300),
        });
    }
}

impl Shop {
    /// Changes stock's own tables while the engine runs.
    async fn tamper_with_stock(&self, sql: &str) {
        sqlx::any::install_default_drivers();
        let (url, sql) = match self.is_on() {
            On::Sqlite => {
                let file = self.data().join("inventory.db");
                (format!("sqlite://{}", file.display()), sql.to_owned())
            }
            On::Postgres => (self.url(), format!("SET search_path TO inventory; {sql}")),
        };
        let options: AnyConnectOptions = url.parse().unwrap();
        let mut connection = AnyConnection::connect_with(&options).await.unwrap();
        connection.execute(sqlx::raw_sql(&sql)).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn answer(&self, sku: &str, fresh: bool) -> Value {
        let request = json!({ "sku": sku, "fresh": fresh });
        self.ops.call("inventory.v1.InventoryService/GetStock", request).await.unwrap()
    }

    /// Asks until the cache answers: the clock of this shop is still unless it is moved, so an
    /// answer that was read before the move comes from the cache.
    async fn until_cached(&self, sku: &str) {
        let patience = Instant::now() + PATIENCE;
        loop {
            let first = self.answer(sku, false).await["read_at"].clone();
            self.advance(Duration::from_micros(1));
            if self.answer(sku, false).await["read_at"] == first {
                return;
            }
            assert!(Instant::now() < patience, "the cache is not used");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The same, of an answer that shows these units: another one is left to grow old.
    async fn until_cached_as(&self, sku: &str, expected: (i64, i64)) {
        let patience = Instant::now() + PATIENCE;
        loop {
            self.until_cached(sku).await;
            if self.stock(sku).await == expected {
                return;
            }
            assert!(Instant::now() < patience, "{:?}", self.stock(sku).await);
            self.advance(Duration::from_secs(300));
        }
    }

    async fn until_stock(&self, sku: &str, expected: (i64, i64)) {
        let patience = Instant::now() + PATIENCE;
        while self.stock(sku).await != expected {
            assert!(Instant::now() < patience, "{:?}", self.stock(sku).await);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Health's note for this part; none where there is no note.
    async fn note(&self, part: &str) -> Option<String> {
        let health = self.ops.call("admin.v1.AdminService/GetHealth", json!({})).await.unwrap();
        assert_eq!(health["serving"], json!(true), "{health}");
        let notes = health["notes"].as_array().cloned().unwrap_or_default();
        let note = notes.iter().find(|note| note["part"] == json!(part))?;
        Some(note["reason"].as_str().unwrap().to_owned())
    }

    async fn until_note(&self, part: &str, says: Option<&str>) {
        let patience = Instant::now() + PATIENCE;
        loop {
            let note = self.note(part).await;
            match (&note, says) {
                (None, None) => return,
                (Some(note), Some(text)) if note.contains(text) => return,
                _ => assert!(Instant::now() < patience, "{note:?} and not {says:?}"),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

async fn a_cached_answer_is_never_older_than_its_callers_writes(mut shop: Shop) {
    let redis = RedisServer::start();
    shop.restart(cached(&redis)).await;
    shop.set_stock("MUG", 10).await;
    shop.until_cached("MUG").await;
    for on_hand in [20, 30, 40] {
        shop.set_stock("MUG", on_hand).await;
        assert_eq!(shop.stock("MUG").await, (on_hand, 0));
        shop.until_cached("MUG").await;
    }
    // Changes by orders are visible when these are confirmed, or a moment later; the cache refuses
    // nothing.
    let order = shop.place(&[("MUG", 40)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.until_stock("MUG", (40, 40)).await;
    shop.until_cached("MUG").await;
    shop.ops
        .orders("CancelOrder", json!({ "order_id": order, "reason": "CANCEL_REASON_OPS" }))
        .await
        .unwrap();
    shop.until_stock("MUG", (40, 0)).await;

    // No service notices this change. What the cache has may be taken out by the change before, which
    // is told to it later, and a Redis that is late is not waited for: then all is done once more.
    let patience = Instant::now() + PATIENCE;
    loop {
        shop.tamper_with_stock("UPDATE stock SET on_hand = 40, adjusted = 40").await;
        shop.until_cached_as("MUG", (40, 0)).await;
        shop.tamper_with_stock("UPDATE stock SET on_hand = 41, adjusted = 41").await;
        let soon = shop.stock("MUG").await;
        assert_eq!(shop.answer("MUG", true).await["stock"]["on_hand"], 41);
        let method = "inventory.v1.InventoryService/ListStock";
        let listed = shop.ops.call(method, json!({})).await.unwrap();
        assert_eq!(listed["stock"][0]["on_hand"], 41, "lists ask the database");
        shop.advance(Duration::from_secs(298));
        if (soon, shop.stock("MUG").await) == ((40, 0), (40, 0)) {
            break;
        }
        assert!(Instant::now() < patience, "the cache does not keep it: {soon:?}");
    }
    shop.advance(Duration::from_secs(2));
    assert_eq!(shop.stock("MUG").await, (41, 0));
    // Decisions always read the database: here nothing is free, whatever the cache holds.
    loop {
        shop.tamper_with_stock("UPDATE stock SET on_hand = 41, adjusted = 41").await;
        shop.until_cached_as("MUG", (41, 0)).await;
        shop.tamper_with_stock("UPDATE stock SET on_hand = 0, adjusted = 0").await;
        if shop.stock("MUG").await == (41, 0) {
            break;
        }
        assert!(Instant::now() < patience, "the cache does not keep it");
    }
    let order = shop.place(&[("MUG", 1)]).await;
    shop.until(&order, "CANCELLED").await;
    let method = "inventory.v1.InventoryService/AdjustStock";
    let request = json!({ "sku": "MUG", "delta": -1, "reason": "broken" });
    assert!(shop.ops.call(method, request).await.is_err());
    shop.stop().await;
}

/// The newest order loses its units, and is cancelled although it was confirmed.
async fn a_confirmed_order_is_cancelled_by_a_stock_take(shop: Shop) {
    shop.set_stock("MUG", 10).await;
    shop.set_stock("CUP", 10).await;
    let first = shop.place(&[("MUG", 4)]).await;
    shop.until(&first, "CONFIRMED").await;
    shop.advance(Duration::from_secs(1));
    let second = shop.place(&[("MUG", 3), ("CUP", 2)]).await;
    shop.until(&second, "CONFIRMED").await;
    shop.advance(Duration::from_secs(1));
    let shipped = shop.place(&[("MUG", 2), ("MUG", 1)]).await;
    shop.until(&shipped, "CONFIRMED").await;
    let parcel = json!({ "order_id": shipped, "shipment_id": uuid::Uuid::now_v7(),
                         "lines": [{ "line": 1, "quantity": 1 }] });
    shop.service.orders("FulfillOrder", parcel).await.unwrap();
    shop.until_stock("MUG", (9, 9)).await;

    let method = "inventory.v1.InventoryService/SetStock";
    let mut request = json!({ "sku": "MUG", "on_hand": 7 });
    let refused = shop.ops.call(method, request.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("9 units of MUG are held for 3 orders"), "{refused}");
    request["allow_shortage"] = json!(true);
    let answer = shop.ops.call(method, request).await.unwrap();
    let losers = answer["losers"].as_array().unwrap();
    assert_eq!(losers.len(), 1, "{answer}");
    assert_eq!((&losers[0]["order_id"], &losers[0]["units"]), (&json!(second), &json!(3)));
    let order = shop.until(&second, "CANCELLED").await;
    assert_eq!(order["cancel_reason"], "CANCEL_REASON_INSUFFICIENT_STOCK");
    assert_eq!(order["missing_skus"], json!(["MUG"]));
    let events = shop.events(&second).await;
    assert_eq!(events, ["OrderPlaced", "OrderConfirmed", "OrderCancelled"]);
    assert_eq!((shop.stock("MUG").await, shop.stock("CUP").await), ((7, 6), (10, 0)));
    for kept in [&first, &shipped] {
        assert_eq!(shop.get(kept).await["status"], "ORDER_STATUS_CONFIRMED");
    }
    let method = "inventory.v1.InventoryService/ListStockHolders";
    let holders = shop.ops.call(method, json!({ "sku": "MUG" })).await.unwrap();
    assert_eq!(holders["holders"].as_array().unwrap().len(), 2, "{holders}");
    shop.close().await;
}

async fn wrong_stock_sums_are_reported_until_they_are_fixed(mut shop: Shop) {
    shop.restart(|_| ()).await;
    shop.set_stock("MUG", 10).await;
    let order = shop.place(&[("MUG", 4)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.advance(Duration::from_secs(60 * 60));
    shop.tamper_with_stock("UPDATE stock SET reserved = 3").await;
    // A check may have run in between; an hour later it has certainly run.
    shop.advance(Duration::from_secs(60 * 60));
    let (sum, is) = ("stock.reserved of sku MUG", "4 expected, 3 found");
    shop.until_note("stock", Some(sum)).await;
    shop.until_note("stock", Some(is)).await;
    // A new process knows it immediately, without a check.
    shop.restart(|_| ()).await;
    shop.until_note("stock", Some(is)).await;
    shop.tamper_with_stock("UPDATE stock SET reserved = 4").await;
    assert!(shop.note("stock").await.is_some());
    shop.advance(Duration::from_secs(59 * 60));
    assert!(shop.note("stock").await.is_some());
    shop.advance(Duration::from_secs(60));
    shop.until_note("stock", None).await;
    shop.close().await;
}

on_both!(
    a_cached_answer_is_never_older_than_its_callers_writes,
    wrong_stock_sums_are_reported_until_they_are_fixed,
    a_confirmed_order_is_cancelled_by_a_stock_take,
);

fn until_lines(log: &Path, text: &str, count: usize) {
    let patience = Instant::now() + PATIENCE;
    while lines(log, text) < count {
        let log = std::fs::read_to_string(log).unwrap();
        assert!(Instant::now() < patience, "{text} {count} times in {log}");
        std::thread::sleep(LOOK_AGAIN);
    }
    assert_eq!(lines(log, text), count, "{text}");
}

fn on_hand(engine: &Engine) -> i64 {
    let stock = engine.ask(&["stock", "get", "MUG"])["stock"].take();
    stock["on_hand"].as_i64().unwrap_or_else(|| panic!("{stock}"))
}

#[test]
fn a_lost_redis_is_logged_once_and_answers_stay_correct() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let mut redis = RedisServer::start();
    let flags = ["--data", data.to_str().unwrap(), "--redis-url", &redis.url()];
    let engine = logged(&[], &flags, &log);
    engine.ask(&["stock", "set", "MUG", "1"]);
    let patience = Instant::now() + PATIENCE;
    while !redis.cli(&["KEYS", "ordinal:cache:*"]).contains(":MUG") {
        assert_eq!(on_hand(&engine), 1);
        assert!(Instant::now() < patience, "the cache is not used");
        std::thread::sleep(LOOK_AGAIN);
    }
    let lost = "the stock cache is not used";
    let back = "the stock cache is used again";
    for _ in 0..2 {
        // On a busy machine it may have been late before; each time it was used again.
        let patience = Instant::now() + PATIENCE;
        while lines(&log, lost) != lines(&log, back) {
            on_hand(&engine);
            assert!(Instant::now() < patience, "{back}");
        }
        let before = lines(&log, lost);
        redis.kill();
        for on in 0..5 {
            engine.ask(&["stock", "set", "MUG", &on.to_string()]);
            assert_eq!(on_hand(&engine), on);
        }
        until_lines(&log, lost, before + 1);
        until_health(&engine, true, "");
        redis.again();
        let patience = Instant::now() + PATIENCE;
        while lines(&log, back) <= before {
            assert_eq!(on_hand(&engine), 4);
            assert!(Instant::now() < patience, "{back}");
            std::thread::sleep(LOOK_AGAIN);
        }
    }
    let order = engine.place(&["MUG=1@1.00GBP"]);
    engine.until(order["order"]["order_id"].as_str().unwrap(), "CONFIRMED");
    assert!(engine.stop().success());
}

/// Values that a lost history had cached are not shown, although Redis still has them.
#[test]
fn a_restored_stock_database_shows_no_lost_values() {
    let folder = tempfile::tempdir().unwrap();
    let (data, kept) = (folder.path().join("data"), folder.path().join("kept.db"));
    let redis = RedisServer::start();
    let flags = ["--data", data.to_str().unwrap(), "--redis-url", &redis.url()];
    let engine = Engine::start_with(&flags);
    engine.ask(&["stock", "set", "MUG", "1"]);
    assert!(engine.stop().success());
    std::fs::copy(data.join("inventory.db"), &kept).unwrap();

    let engine = Engine::start_with(&flags);
    engine.ask(&["stock", "set", "MUG", "2"]);
    let patience = Instant::now() + PATIENCE;
    let value = || {
        let keys = redis.cli(&["KEYS", "ordinal:cache:*:MUG"]);
        keys.lines().next().map(|key| redis.cli(&["GET", key])).unwrap_or_default()
    };
    while !value().trim().ends_with("|2|0") {
        assert_eq!(on_hand(&engine), 2);
        assert!(Instant::now() < patience, "the cache is not used: {}", value());
        std::thread::sleep(LOOK_AGAIN);
    }
    engine.kill();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("inventory.db{suffix}")));
    }
    std::fs::copy(&kept, data.join("inventory.db")).unwrap();

    let engine = Engine::start_with(&flags);
    for _ in 0..20 {
        assert_eq!(on_hand(&engine), 1);
    }
    while !value().trim().ends_with("|1|0") {
        assert_eq!(on_hand(&engine), 1);
        assert!(Instant::now() < patience + PATIENCE, "the cache is not used: {}", value());
        std::thread::sleep(LOOK_AGAIN);
    }
    assert!(engine.stop().success());
}

#[test]
fn each_wrong_stock_sum_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let flags = ["--data", data.to_str().unwrap(), "--reconcile-every", "1s"];
    let engine = logged(&[], &flags, &log);
    engine.ask(&["stock", "set", "MUG", "5"]);
    let tamper = |sql: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            sqlx::any::install_default_drivers();
            let url = format!("sqlite://{}", data.join("inventory.db").display());
            let mut database = AnyConnection::connect(&url).await.unwrap();
            database.execute(sqlx::raw_sql(sql)).await.unwrap();
            database.close().await.unwrap();
        });
    };
    tamper("UPDATE stock SET reserved = 1");
    // Reserved units, and the sum of the movements.
    until_lines(&log, "stock does not add up", 2);
    // Later checks find the same.
    tamper(
        "INSERT INTO stock (sku, on_hand, reserved, adjusted, committed, restocked) VALUES ('CUP', 0, 0, 1, 0, 0)",
    );
    until_lines(&log, "stock does not add up", 4);
    let health = engine.ask(&["health"]);
    assert_eq!(health["status"], "SERVING", "{health}");
    tamper("UPDATE stock SET reserved = 0; DELETE FROM stock WHERE sku = 'CUP'");
    until_lines(&log, "stock adds up again", 4);
    assert_eq!(lines(&log, "stock does not add up"), 4);
    assert!(engine.stop().success());
}
