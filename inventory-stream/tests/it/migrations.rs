//! Migrations over tables with rows in them, on both databases.

use std::path::Path;

use inventory_stream::grpc::proto::{self, MovementCause};
use inventory_stream::migrator;
use shared_events::chance::Chance;
use shared_events::stream::{Cursors, Database, Dialect, Source as _};
use sqlx::Row as _;
use sqlx::migrate::Migrator;

use crate::edge::{served_on, set};
use crate::movements::{all, summary};
use crate::on_both::on_both;
use crate::support::{Bench, Story};

fn schema() -> String {
    format!("t_{}", Chance::system().uuid().simple())
}

/// A database with the migrations below a version.
async fn open(dialect: Dialect, folder: &Path, schema: &str, below: i64) -> Database {
    let migrations = migrator(dialect);
    let some: Vec<_> = migrations.iter().filter(|one| one.version < below).cloned().collect();
    let migrations = Migrator { migrations: some.into(), ..Migrator::DEFAULT };
    match dialect {
        Dialect::Sqlite => {
            Database::sqlite(&folder.join("inventory.db"), &migrations).await.unwrap()
        }
        Dialect::Postgres => {
            let url = std::env::var("ORDINAL_TEST_POSTGRES").unwrap();
            Database::postgres(&url, schema, &migrations).await.unwrap()
        }
    }
}

/// Tables before migration 0102, with movements of people and orders in them.
async fn migration_0102_keeps_earlier_movements(dialect: Dialect) {
    let (folder, schema) = (tempfile::tempdir().unwrap(), schema());
    let old = open(dialect, folder.path(), &schema, 102).await;
    let request_id = Chance::system().uuid().to_string();
    let mut tx = old.begin().await.unwrap();
    for sql in [
        "INSERT INTO stock VALUES ('A', 7, 2, 9, 3, 1), ('B', 5, 0, 5, 0, 0)",
        &format!(
            "INSERT INTO movements VALUES ('one', 'A', 10, 'set', 1), ('two', 'B', 5, 'set', 2),
                 ('{request_id}', 'A', -1, 'broken', 3)"
        ),
    ] {
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    old.close().await;

    let database = open(dialect, folder.path(), &schema, i64::MAX).await;
    let (bench, mut client) = served_on(Bench::over(database)).await;
    let movements = all(&mut client, "A", 100).await;
    assert_eq!(
        movements.iter().map(summary).collect::<Vec<_>>(),
        [
            (MovementCause::Set, 10, 0),
            (MovementCause::Adjusted, -1, 0),
            (MovementCause::Earlier, -2, 2),
        ]
    );
    assert_eq!((movements[1].reason.as_str(), movements[1].on_hand), ("broken", None));
    assert_eq!((movements[2].on_hand, movements[2].reserved), (Some(7), Some(2)));
    // A retry of a request from before is recognised.
    let adjust = proto::AdjustStockRequest {
        sku: "A".to_owned(),
        delta: -1,
        reason: "broken".to_owned(),
        request_id,
        validate_only: false,
        expected_on_hand: None,
        location: String::new(),
    };
    assert!(client.adjust_stock(adjust).await.unwrap().into_inner().replayed);
    client.set_stock(set("B", 6)).await.unwrap();
    assert_eq!(all(&mut client, "B", 100).await[1].number, 2);
    assert_eq!(bench.level("A").await, (7, 2));
}

/// Facts published before the column `order_id` became `subject`.
async fn migration_0112_keeps_published_facts(dialect: Dialect) {
    // Rows as this version writes them, put into the tables of before.
    let mut source = Bench::on(dialect).await;
    source.set("A", 10).await;
    let mut story = Story::new();
    let placed = story.placed(&[("A", 4)]);
    source.follow(&[placed, story.shipped(&[(1, "A", 1)])]).await.unwrap();
    let facts = source.inventory.facts().read_after(&Cursors::default(), 100).await.unwrap();
    let (folder, schema) = (tempfile::tempdir().unwrap(), schema());
    let old = open(dialect, folder.path(), &schema, 112).await;
    let mut tx = old.begin().await.unwrap();
    for (from, into) in [
        ("stock", "sku, on_hand, reserved, adjusted, committed, restocked, moves"),
        ("movements", "sku, number, delta, held, on_hand, reserved, cause, facts, at"),
        ("reservations", "order_id, state, body"),
        ("outbox_heads", "shard, position"),
        ("outbox", "shard, position, subject, fact"),
    ] {
        let columns: Vec<&str> = into.split(", ").collect();
        let texts: Vec<String> =
            columns.iter().map(|name| format!("CAST({name} AS TEXT)")).collect();
        let rows = sqlx::query(&format!("SELECT {} FROM {from}", texts.join(", ")))
            .fetch_all(source.database.reader())
            .await
            .unwrap();
        assert!(!rows.is_empty(), "{from}");
        for row in rows {
            let values: Vec<String> = (0..columns.len())
                .map(|column| match row.get::<Option<String>, _>(column) {
                    Some(text) => format!("'{}'", text.replace('\'', "''")),
                    None => "NULL".to_owned(),
                })
                .collect();
            let (into, values) = (into.replace("subject", "order_id"), values.join(", "));
            let insert = format!("INSERT INTO {from} ({into}) VALUES ({values})");
            sqlx::query(&insert).execute(&mut *tx).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
    old.close().await;

    let database = open(dialect, folder.path(), &schema, i64::MAX).await;
    let (mut bench, mut client) = served_on(Bench::over(database)).await;
    let kept = bench.inventory.facts().read_after(&Cursors::default(), 100).await.unwrap();
    assert_eq!(kept.items, facts.items);
    let movements = all(&mut client, "A", 100).await;
    let causes: Vec<_> = movements.iter().map(summary).collect();
    assert_eq!(
        causes,
        [
            (MovementCause::Set, 10, 0),
            (MovementCause::Reserved, 0, 4),
            (MovementCause::Committed, -1, -1),
        ]
    );
    let (order, last) = (story.order_id.to_string(), facts.items.last().unwrap());
    assert_eq!((&movements[2].order_id, &movements[2].fact_id), (&order, &last.id.to_string()));
    // The next fact has the next position.
    bench.follow(&[story.cancelled()]).await.unwrap();
    let kinds = ["inventory.reserved.v1", "inventory.committed.v1", "inventory.released.v1"];
    assert_eq!(bench.published().await, kinds);
    bench.sums_hold().await;
}

/// Reservations as they were written before rows told which of them hold units.
async fn migration_0113_finds_earlier_holders(dialect: Dialect) {
    let (folder, schema) = (tempfile::tempdir().unwrap(), schema());
    let old = open(dialect, folder.path(), &schema, 113).await;
    let mut tx = old.begin().await.unwrap();
    let sql = "INSERT INTO stock (sku, on_hand, reserved, adjusted, committed, restocked)
               VALUES ('A', 9, 4, 10, 1, 0)";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    let mut ids: Vec<String> = (0..4).map(|_| Chance::system().uuid().to_string()).collect();
    ids.sort();
    for (id, (released, committed)) in ids.iter().zip([(0, 0), (4, 0), (3, 1), (1, 2)]) {
        let reservation_id = Chance::system().uuid();
        let insert = format!(
            r#"INSERT INTO reservations (order_id, state, body) VALUES ('{id}', 'RESERVED',
               '{{"order_id":"{id}","reservation_id":"{reservation_id}","state":"RESERVED","lines":[
               {{"line":1,"sku":"A","quantity":4,"released":{released},"committed":{committed},"restocked":0}}]}}')"#
        );
        sqlx::query(&insert).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    old.close().await;

    let database = open(dialect, folder.path(), &schema, i64::MAX).await;
    let states: Vec<String> =
        sqlx::query_scalar("SELECT state FROM reservations ORDER BY order_id")
            .fetch_all(database.reader())
            .await
            .unwrap();
    assert_eq!(states, ["RESERVED", "DONE", "DONE", "RESERVED"]);
    let (_bench, mut client) = served_on(Bench::over(database)).await;
    let found = crate::holders::holders(&mut client, "A", 10).await;
    let found: Vec<_> =
        found.iter().map(|one| (one.order_id.as_str(), one.units, one.partly_shipped)).collect();
    assert_eq!(found, [(ids[0].as_str(), 4, false), (ids[3].as_str(), 1, true)]);
}

/// Stock as it was before units could be promised beyond it.
async fn migration_0114_keeps_stock_without_backorders(dialect: Dialect) {
    let (folder, schema) = (tempfile::tempdir().unwrap(), schema());
    let old = open(dialect, folder.path(), &schema, 114).await;
    let mut tx = old.begin().await.unwrap();
    let sql = "INSERT INTO stock (sku, on_hand, reserved, adjusted, committed, restocked, moves)
               VALUES ('A', 9, 4, 10, 2, 1, 7), ('B', 0, 0, 0, 0, 0, 0)";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    old.close().await;

    let database = open(dialect, folder.path(), &schema, i64::MAX).await;
    let sql = "SELECT sku, on_hand, reserved, adjusted, committed, restocked, moves FROM stock
               WHERE backordered IS NULL AND backorder_limit IS NULL AND backorder_until IS NULL
               ORDER BY sku";
    let rows = sqlx::query(sql).fetch_all(database.reader()).await.unwrap();
    let row = |row: &sqlx::any::AnyRow| {
        (
            row.get::<String, _>(0),
            (1..7).map(|column| row.get::<i64, _>(column)).collect::<Vec<_>>(),
        )
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    assert_eq!(rows[0], ("A".to_owned(), vec![9, 4, 10, 2, 1, 7]));
    assert_eq!((rows.len(), rows[1].0.as_str()), (2, "B"));
    // The schema refuses to hold more than is there, or to let more wait than is promised.
    for (wrong, right) in [
        ("reserved = 10", "reserved = 10, backordered = 1"),
        ("backordered = 11", "backordered = 10"),
        ("backordered = -1", "reserved = 4, backordered = NULL"),
    ] {
        for (set, fits) in [(wrong, false), (right, true)] {
            let mut tx = database.begin().await.unwrap();
            let sql = format!("UPDATE stock SET {set} WHERE sku = 'A'");
            let updated = sqlx::query(&sql).execute(&mut *tx).await;
            assert_eq!(updated.is_ok(), fits, "{set}");
            if fits {
                tx.commit().await.unwrap();
            }
        }
    }
}

/// Stock as it was before there were locations: all of it is at `main`.
async fn migration_0115_keeps_stock_at_main(dialect: Dialect) {
    let (folder, schema) = (tempfile::tempdir().unwrap(), schema());
    let old = open(dialect, folder.path(), &schema, 115).await;
    let mut tx = old.begin().await.unwrap();
    for sql in [
        "INSERT INTO stock (sku, on_hand, reserved, adjusted, committed, restocked, moves)
         VALUES ('A', 9, 0, 9, 0, 0, 1)",
        "INSERT INTO movements (sku, number, delta, held, on_hand, reserved, cause, at)
         VALUES ('A', 1, 9, 0, 9, 0, 'SET', 1)",
    ] {
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    old.close().await;

    let database = open(dialect, folder.path(), &schema, i64::MAX).await;
    let (bench, mut client) = served_on(Bench::over(database)).await;
    let request = proto::GetStockRequest { sku: "A".to_owned(), fresh: true };
    let stock = client.get_stock(request).await.unwrap().into_inner().stock.unwrap();
    assert_eq!((stock.on_hand, stock.locations.len()), (9, 0));
    assert_eq!(crate::movements::all(&mut client, "A", 10).await[0].location, "");
    bench.sums_hold().await;
    // The schema refuses that a location holds more than it has.
    let mut tx = bench.database.begin().await.unwrap();
    let sql = "INSERT INTO stock_at VALUES ('A', 'berlin', 1, 2, 1, 0, 0)";
    assert!(sqlx::query(sql).execute(&mut *tx).await.is_err());
}

on_both! {
    migration_0102_keeps_earlier_movements
    migration_0112_keeps_published_facts
    migration_0113_finds_earlier_holders
    migration_0114_keeps_stock_without_backorders
    migration_0115_keeps_stock_at_main
}
