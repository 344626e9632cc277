//! A journal that is not the one that was followed: it is noticed before anything is skipped, and goes
//! on when somebody has accepted it.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Engine, PATIENCE, PostgresServer, RedisServer, ordinal, placing};

/// Waits until this is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < patience, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn place(engine: &Engine) -> String {
    let order = engine.place(&["MUG=1@1.00GBP"]);
    order["order"]["order_id"].as_str().unwrap().to_owned()
}

fn followers(engine: &Engine) -> Vec<Value> {
    engine.ask(&["followers"])["followers"].as_array().unwrap().clone()
}

fn level(engine: &Engine) {
    until("followers are level", || {
        followers(engine).iter().all(|one| {
            one["lag"] == json!(0) && one["error"] == json!("") && one["stopped"] == json!(false)
        })
    });
}

fn copy(from: &Path, to: &Path, name: &str) {
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{name}.db{suffix}");
        let _ = std::fs::remove_file(to.join(&file));
        if from.join(&file).exists() {
            std::fs::copy(from.join(&file), to.join(&file)).unwrap();
        }
    }
}

fn doubt(engine: &Engine) -> String {
    engine.ask(&["journal", "history"])["history"]["doubt"].as_str().unwrap_or_default().to_owned()
}

fn lawful(data: &Path) {
    let verified = ordinal(&["verify", "--data", data.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{told}");
}

const ALL: [&str; 4] = ["journal", "orders", "inventory", "notifications"];

/// How an SQLite journal of before is put in the place of the one that was followed: when three orders
/// were placed and two more after it.
struct SetBack {
    folder: tempfile::TempDir,
    kept: Vec<String>,
    gone: Vec<String>,
}

impl SetBack {
    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn of_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, old) = (folder.path().join("data"), folder.path().join("old"));
        std::fs::create_dir(&old).unwrap();
        let engine = Engine::start(&data);
        engine.ask(&["stock", "set", "MUG", "100"]);
        let kept: Vec<String> = (0..3).map(|_| place(&engine)).collect();
        kept.iter().for_each(|order| drop(engine.until(order, "CONFIRMED")));
        level(&engine);
        assert!(engine.stop().success());
        ALL.iter().for_each(|name| copy(&data, &old, name));
        let engine = Engine::start(&data);
        let gone: Vec<String> = (0..2).map(|_| place(&engine)).collect();
        gone.iter().for_each(|order| drop(engine.until(order, "CONFIRMED")));
        // One that stays is cancelled in the history that goes.
        engine.ask(&["order", "cancel", &kept[0]]);
        level(&engine);
        assert!(engine.stop().success());
        copy(&old, &data, "journal");
        Self { folder, kept, gone }
    }
}

#[test]
fn a_journal_that_was_set_back_takes_no_orders_until_it_is_accepted() {
    let set_back = SetBack::of_sqlite();
    let engine = Engine::start(&set_back.data());
    until("the journal is doubted", || !doubt(&engine).is_empty());
    let refused = engine.refused(3, &placing(&["MUG=1@1.00GBP"]));
    assert_eq!(refused["reason"], "JOURNAL_DOUBTED");
    let troubled = followers(&engine);
    assert!(troubled.iter().any(|one| one["error"].as_str().unwrap().contains("another history")));
    assert!(troubled.iter().all(|one| one["stopped"] == json!(false)), "{troubled:?}");

    let accepted = engine.ask(&["journal", "restored", "--reason", "restored from Monday"]);
    assert_eq!(accepted["history"]["incarnation"], json!(2));
    level(&engine);
    assert_eq!(doubt(&engine), "");
    let new = place(&engine);
    engine.until(&new, "CONFIRMED");
    for order in &set_back.kept {
        engine.until(order, "CONFIRMED");
    }
    for order in &set_back.gone {
        assert_eq!(engine.refused(1, &["order", "get", order])["reason"], "NOT_FOUND");
    }
    let listed = engine.ask(&["order", "list"]);
    assert_eq!(listed["orders"].as_array().unwrap().len(), 4, "{listed}");
    // Three of before and the new one hold a unit each.
    let stock = engine.ask(&["stock", "get", "MUG"]);
    assert_eq!(stock["stock"]["reserved"], json!(4), "{stock}");
    let letters = engine.ask(&["dead-letter", "list"]);
    assert!(letters["dead_letters"].as_array().is_none_or(Vec::is_empty), "{letters}");
    assert!(engine.stop().success());
    lawful(&set_back.data());
}

#[test]
fn a_journal_that_has_passed_the_old_heads_is_known_for_another() {
    // Nobody who remembers more looks while it grows.
    let set_back = SetBack::of_sqlite();
    let data = set_back.data();
    let alone = set_back.folder.path().join("old");
    let engine = Engine::start(&alone);
    let newer: Vec<String> = (0..9).map(|_| place(&engine)).collect();
    newer.iter().for_each(|order| drop(engine.until(order, "CONFIRMED")));
    level(&engine);
    assert!(engine.stop().success());
    copy(&alone, &data, "journal");

    let engine = Engine::start(&data);
    until("the journal is doubted", || !doubt(&engine).is_empty());
    engine.ask(&["journal", "restored", "--reason", "it went on elsewhere"]);
    level(&engine);
    let order = place(&engine);
    engine.until(&order, "CONFIRMED");
    let stock = engine.ask(&["stock", "get", "MUG"]);
    assert_eq!(stock["stock"]["reserved"], json!(13), "{stock}");
    assert!(engine.stop().success());
    lawful(&data);
}

#[test]
fn stock_that_was_set_back_catches_up_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (data, old) = (folder.path().join("data"), folder.path().join("old"));
    std::fs::create_dir(&old).unwrap();
    let engine = Engine::start(&data);
    engine.ask(&["stock", "set", "MUG", "100"]);
    let first = place(&engine);
    engine.until(&first, "CONFIRMED");
    level(&engine);
    assert!(engine.stop().success());
    copy(&data, &old, "inventory");
    let engine = Engine::start(&data);
    let orders: Vec<String> = (0..5).map(|_| place(&engine)).collect();
    orders.iter().for_each(|order| drop(engine.until(order, "CONFIRMED")));
    level(&engine);
    assert!(engine.stop().success());
    copy(&old, &data, "inventory");

    let engine = Engine::start(&data);
    level(&engine);
    assert_eq!(doubt(&engine), "");
    let order = place(&engine);
    engine.until(&order, "CONFIRMED");
    let stock = engine.ask(&["stock", "get", "MUG"]);
    assert_eq!(stock["stock"]["reserved"], json!(7), "{stock}");
    assert!(engine.stop().success());
    lawful(&data);
}

fn psql(url: &str, sql: &str) {
    let output = std::process::Command::new("psql")
        .args([url, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Roles in processes of their own, with or without Redis.
fn roles_notice(redis: bool) {
    let (server, redis) = (PostgresServer::start(), redis.then(RedisServer::start));
    for name in ["orders", "inventory", "notifications"] {
        psql(&server.url(), &format!("CREATE DATABASE {name}"));
    }
    let database = |name: &str| {
        let base = server.url();
        let (head, _) = base.rsplit_once('/').unwrap();
        format!("{head}/{name}")
    };
    let ports: Vec<u16> = (0..3).map(|_| crate::support::free_port()).collect();
    let at = |index: usize| format!("127.0.0.1:{}", ports[index]);
    let http = |index: usize| format!("http://{}", at(index));
    let mail = tempfile::tempdir().unwrap();
    let start = |role: &str| {
        let (orders, stock, messages) = (http(0), http(1), http(2));
        let (own, listen) = match role {
            "orders" => (database("orders"), at(0)),
            "inventory" => (database("inventory"), at(1)),
            _ => (database("notifications"), at(2)),
        };
        let own_flag = format!("--{role}-database-url");
        let mut flags = vec!["--role", role, "--listen", &listen, &own_flag, &own];
        match role {
            "orders" => flags.extend(["--node-name", "a", "--inventory-at", &stock]),
            _ => flags.extend(["--orders-at", &orders]),
        }
        if role == "orders" {
            flags.extend(["--notifications-at", &messages]);
        }
        if role == "notifications" {
            flags.extend(["--mail-dir", mail.path().to_str().unwrap()]);
        }
        let redis_url = redis.as_ref().map(RedisServer::url);
        if let Some(redis_url) = &redis_url {
            flags.extend(["--redis-url", redis_url]);
        }
        Engine::start_with(&flags)
    };
    let start_all = || ["orders", "inventory", "notifications"].map(start);
    let level_all = |engines: &[Engine; 3]| engines.iter().for_each(level);

    let engines = start_all();
    engines[0].ask(&["stock", "set", "MUG", "100"]);
    let kept = place(&engines[0]);
    engines[0].until(&kept, "CONFIRMED");
    level_all(&engines);
    for engine in engines {
        assert!(engine.stop().success());
    }
    psql(&server.url(), "CREATE DATABASE before TEMPLATE orders");
    let engines = start_all();
    let gone: Vec<String> = (0..12).map(|_| place(&engines[0])).collect();
    gone.iter().for_each(|order| drop(engines[0].until(order, "CONFIRMED")));
    level_all(&engines);
    for engine in engines {
        assert!(engine.stop().success());
    }
    psql(&server.url(), "DROP DATABASE orders");
    psql(&server.url(), "CREATE DATABASE orders TEMPLATE before");

    let engines = start_all();
    until("the journal is doubted", || !doubt(&engines[0]).is_empty());
    let refused = engines[0].refused(3, &placing(&["MUG=1@1.00GBP"]));
    assert_eq!(refused["reason"], "JOURNAL_DOUBTED");
    engines[0].ask(&["journal", "restored", "--reason", "a drill"]);
    let new: Vec<String> = (0..40).map(|_| place(&engines[0])).collect();
    new.iter().for_each(|order| drop(engines[0].until(order, "CONFIRMED")));
    level_all(&engines);
    let stock = engines[0].ask(&["stock", "get", "MUG"]);
    assert_eq!(stock["stock"]["reserved"], json!(41), "{stock}");
    for engine in engines {
        assert!(engine.stop().success());
    }
    let (orders, stock, messages) =
        (database("orders"), database("inventory"), database("notifications"));
    let mut verify = vec!["verify", "--orders-database-url", &orders];
    verify.extend(["--inventory-database-url", &stock]);
    verify.extend(["--notifications-database-url", &messages]);
    let redis_url = redis.as_ref().map(RedisServer::url);
    if let Some(redis_url) = &redis_url {
        verify.extend(["--redis-url", redis_url]);
    }
    let verified = ordinal(&verify);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn roles_that_follow_by_grpc_notice_and_go_back() {
    roles_notice(false);
}

#[test]
fn roles_that_follow_by_redis_notice_and_go_back() {
    roles_notice(true);
}
