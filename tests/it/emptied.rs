//! A service whose database on Postgres was emptied has no effect again: its follower reads nothing,
//! and health says why, from the first look on.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::health::until_health;
use crate::support::{Engine, PATIENCE, PostgresServer, free_port, ordinal};

const WHY: &str = "its database knows nothing of what it has read";

/// Messages that were sent.
fn sent(mails: &Path) -> usize {
    let files = std::fs::read_dir(mails).into_iter().flatten().flatten();
    files.filter(|file| file.path().extension().is_some_and(|end| end == "eml")).count()
}

fn until_sent(mails: &Path, least: usize) {
    let patience = Instant::now() + PATIENCE;
    while sent(mails) < least {
        assert!(Instant::now() < patience, "{} and not {least}", sent(mails));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An order that stock has confirmed. Its two messages were sent, and are taken away.
fn confirmed(engine: &Engine, mails: &Path) -> String {
    engine.ask(&["stock", "set", "MUG", "1"]);
    let placed = engine.place(&["MUG=1@4.50GBP"]);
    let order = placed["order"]["order_id"].as_str().unwrap().to_owned();
    engine.until(&order, "CONFIRMED");
    until_sent(mails, 2);
    for mail in std::fs::read_dir(mails).unwrap() {
        std::fs::remove_file(mail.unwrap().path()).unwrap();
    }
    order
}

#[test]
fn an_emptied_schema_is_not_filled_again_by_itself() {
    let server = PostgresServer::start();
    let (url, mails) = (server.url(), TempDir::new().unwrap());
    let flags = ["--database-url", &url, "--mail-dir", mails.path().to_str().unwrap()];
    let engine = Engine::start_with(&flags);
    engine.ask(&["ledger", "open", "bank", "--kind", "asset", "--currency", "GBP"]);
    let order = confirmed(&engine, mails.path());
    // Nobody follows for it.
    let ledger = "SELECT count(*) FROM orders.readers WHERE follower = 'service ledger'";
    let patience = Instant::now() + PATIENCE;
    while server.sql(ledger) != "1\n" {
        assert!(Instant::now() < patience, "the ledger is not remembered");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(engine.stop().success());
    let unused = "it is not the one that was used before: restore it";
    for (schema, why) in [
        ("inventory", WHY),
        ("notifications", WHY),
        ("payments", WHY),
        ("orders", WHY),
        ("ledger", unused),
    ] {
        server.sql(&format!("ALTER SCHEMA {schema} RENAME TO kept"));
        let engine = Engine::start_with(&flags);
        if schema == "ledger" {
            // What callers store in it makes it no better.
            engine.ask(&["ledger", "open", "bank", "--kind", "asset", "--currency", "GBP"]);
        }
        until_health(&engine, false, why);
        assert!(engine.stop().success());
        // Its own one is back.
        server.sql(&format!("DROP SCHEMA {schema} CASCADE; ALTER SCHEMA kept RENAME TO {schema}"));
        let engine = Engine::start_with(&flags);
        until_health(&engine, true, "");
        engine.until(&order, "CONFIRMED");
        assert!(engine.stop().success());
    }
    assert_eq!(sent(mails.path()), 0);
    // What is lost for good may be given up.
    server.sql("DROP SCHEMA notifications CASCADE");
    let anew = [&flags[..], &["--make-anew", "notifications"]].concat();
    let engine = Engine::start_with(&anew);
    until_sent(mails.path(), 2);
    until_health(&engine, true, "");
    assert!(engine.stop().success());
    until_health(&Engine::start_with(&flags), true, "");
    // That of stock may not.
    let refused = ordinal(&["serve", "--database-url", &url, "--make-anew", "inventory"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn an_emptied_database_of_a_role_is_not_filled_again_by_itself() {
    let server = PostgresServer::start();
    let mails = TempDir::new().unwrap();
    let database = |name: &str| {
        server.sql(&format!("CREATE DATABASE {name}"));
        format!("{}/{name}", server.url().rsplit_once('/').unwrap().0)
    };
    let [orders_url, stock_url, mail_url] = ["of_orders", "of_stock", "of_mail"].map(database);
    let [orders, stock, mail] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    let [orders_at, stock_at, mail_at] = [&orders, &stock, &mail].map(|at| format!("http://{at}"));
    let _orders = Engine::start_with(&[
        "--role",
        "orders",
        "--orders-database-url",
        &orders_url,
        "--inventory-at",
        &stock_at,
        "--notifications-at",
        &mail_at,
        "--listen",
        &orders,
    ]);
    let of_stock = [
        "--role",
        "inventory",
        "--inventory-database-url",
        &stock_url,
        "--orders-at",
        &orders_at,
        "--listen",
        &stock,
    ];
    let of_mail = [
        "--role",
        "notifications",
        "--notifications-database-url",
        &mail_url,
        "--orders-at",
        &orders_at,
        "--listen",
        &mail,
        "--mail-dir",
        mails.path().to_str().unwrap(),
    ];
    let (inventory, messages) = (Engine::start_with(&of_stock), Engine::start_with(&of_mail));
    let order = confirmed(&inventory, mails.path());
    for (engine, name) in [(inventory, "of_stock"), (messages, "of_mail")] {
        assert!(engine.stop().success());
        server.sql(&format!("DROP DATABASE {name} WITH (FORCE); CREATE DATABASE {name}"));
    }
    let (inventory, messages) = (Engine::start_with(&of_stock), Engine::start_with(&of_mail));
    until_health(&inventory, false, WHY);
    until_health(&messages, false, WHY);
    assert_eq!(sent(mails.path()), 0);
    inventory.until(&order, "CONFIRMED");
    assert!(messages.stop().success());
    let anew = [&of_mail[..], &["--make-anew", "notifications"]].concat();
    let messages = Engine::start_with(&anew);
    until_sent(mails.path(), 2);
    until_health(&messages, true, "");
}
