//! A journal that is not the one that was followed: it is detected before anything is skipped, and
//! work continues when somebody has accepted it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Engine, PostgresServer, RedisServer, free_port, ordinal, placing, until};

pub fn place(engine: &Engine) -> String {
    let order = engine.place(&["MUG=1@1.00GBP"]);
    order["order"]["order_id"].as_str().unwrap().to_owned()
}

fn followers(engine: &Engine) -> Vec<Value> {
    engine.ask(&["followers"])["followers"].as_array().unwrap().clone()
}

pub fn until_caught_up(engine: &Engine) {
    until("followers are level", || {
        followers(engine).iter().all(|one| {
            one["lag"] == json!(0) && one["error"] == json!("") && one["stopped"] == json!(false)
        })
    });
}

pub fn copy(from: &Path, to: &Path, name: &str) {
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{name}.db{suffix}");
        let _ = std::fs::remove_file(to.join(&file));
        if from.join(&file).exists() {
            std::fs::copy(from.join(&file), to.join(&file)).unwrap();
        }
    }
}

pub fn doubt(engine: &Engine) -> String {
    engine.ask(&["journal", "history"])["history"]["doubt"].as_str().unwrap_or_default().to_owned()
}

pub fn verify_clean(data: &Path) {
    let verified = ordinal(&["verify", "--data", data.to_str().unwrap()]);
    let printed = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{printed}");
}

const ALL: [&str; 6] = ["journal", "orders", "inventory", "notifications", "ledger", "payments"];

/// The last position of the journal, in the form in which clients return it.
fn last_place(engine: &Engine) -> String {
    let output = engine.run(&["events", "replay"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let events = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    let part = |name: &str| last["position"][name].to_string().trim_matches('"').to_owned();
    format!("{}:{}:{}", part("shard"), part("position"), part("mark"))
}

/// An SQLite journal that is replaced by an earlier copy: made when three orders were placed, with
/// two more placed after it.
struct SetBack {
    folder: tempfile::TempDir,
    kept: Vec<String>,
    lost: Vec<String>,
    /// What the lost history had shown: a page of the list, and the position of its last order.
    page: String,
    place: String,
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
        until_caught_up(&engine);
        assert!(engine.stop().success());
        ALL.iter().for_each(|name| copy(&data, &old, name));
        let engine = Engine::start(&data);
        let lost: Vec<String> = (0..2).map(|_| place(&engine)).collect();
        lost.iter().for_each(|order| drop(engine.until(order, "CONFIRMED")));
        // One that stays is cancelled in the lost history.
        engine.ask(&["order", "cancel", &kept[0]]);
        until_caught_up(&engine);
        let page = engine.ask(&["order", "list", "--page-size", "2"]);
        let page = page["next_page_token"].as_str().unwrap().to_owned();
        engine.ask(&["order", "list", "--page-size", "2", "--page-token", &page]);
        let place = last_place(&engine);
        engine.ask(&["order", "list", "--at-least", &place]);
        assert!(engine.stop().success());
        copy(&old, &data, "journal");
        Self { folder, kept, lost, page, place }
    }
}

#[test]
fn a_journal_that_was_set_back_takes_no_orders_until_it_is_accepted() {
    let set_back = SetBack::of_sqlite();
    let engine = Engine::start(&set_back.data());
    until("the journal is doubted", || !doubt(&engine).is_empty());
    let refused = engine.refused(3, &placing(&["MUG=1@1.00GBP"]));
    assert_eq!(refused["reason"], "JOURNAL_DOUBTED");
    let confused = followers(&engine);
    assert!(confused.iter().any(|one| one["error"].as_str().unwrap().contains("another history")));
    assert!(confused.iter().all(|one| one["stopped"] == json!(false)), "{confused:?}");

    let accepted = engine.ask(&["journal", "restored", "--reason", "restored from Monday"]);
    assert_eq!(accepted["history"]["incarnation"], json!(2));
    until_caught_up(&engine);
    assert_eq!(doubt(&engine), "");
    let new = place(&engine);
    engine.until(&new, "CONFIRMED");
    for order in &set_back.kept {
        engine.until(order, "CONFIRMED");
    }
    for order in &set_back.lost {
        assert_eq!(engine.refused(1, &["order", "get", order])["reason"], "NOT_FOUND");
    }
    let listed = engine.ask(&["order", "list"]);
    assert_eq!(listed["orders"].as_array().unwrap().len(), 4, "{listed}");
    // Three earlier ones and the new one reserve a unit each.
    let stock = engine.ask(&["stock", "get", "MUG"]);
    assert_eq!(stock["stock"]["reserved"], json!(4), "{stock}");
    let letters = engine.ask(&["dead-letter", "list"]);
    assert!(letters["dead_letters"].as_array().is_none_or(Vec::is_empty), "{letters}");
    let past = engine.ask(&["journal", "history"])["history"]["incarnations"].take();
    assert_eq!(past[0]["reason"], json!("restored from Monday"), "{past}");
    let health = engine.ask(&["health"]);
    let note = health["notes"][0]["reason"].as_str().unwrap_or_default();
    assert!(note.contains("restored from Monday"), "{health}");
    assert!(engine.stop().success());
    verify_clean(&set_back.data());
}

#[test]
fn positions_of_a_lost_history_are_refused() {
    let set_back = SetBack::of_sqlite();
    let engine = Engine::start(&set_back.data());
    until("the journal is doubted", || !doubt(&engine).is_empty());
    engine.ask(&["journal", "restored", "--reason", "a drill"]);
    until_caught_up(&engine);
    // Ahead of everything that was there before.
    let new: Vec<String> = (0..9).map(|_| place(&engine)).collect();
    new.iter().for_each(|order| drop(engine.until(order, "CONFIRMED")));
    let SetBack { page, place, .. } = &set_back;
    for asked in [
        vec!["order", "list", "--page-size", "2", "--page-token", page],
        vec!["order", "list", "--at-least", place],
        vec!["events", "replay", "--after", place],
        vec!["order", "watch", "--after", place],
    ] {
        assert_eq!(engine.refused(1, &asked)["reason"], "HISTORY_FORKED", "{asked:?}");
    }
    // Positions that it has are continued from, with their marks.
    let there = last_place(&engine);
    engine.ask(&["order", "list", "--at-least", &there]);
    let rest = engine.run(&["events", "replay", "--after", &there]);
    assert!(rest.status.success() && rest.stdout.is_empty());
    assert!(engine.stop().success());
}

#[test]
fn an_order_placed_again_is_listed_in_its_new_state() {
    let set_back = SetBack::of_sqlite();
    let engine = Engine::start(&set_back.data());
    until("the journal is doubted", || !doubt(&engine).is_empty());
    engine.ask(&["journal", "restored", "--reason", "a drill"]);
    // Immediately, as its client would: while followers go back, or before, or afterwards.
    let mut again = placing(&["MUG=3@2.00GBP"]);
    again.extend(["--id", &set_back.lost[1]]);
    engine.ask(&again);
    engine.until(&set_back.lost[1], "CONFIRMED");
    until_caught_up(&engine);
    let listed = engine.ask(&["order", "list"]);
    let orders = listed["orders"].as_array().unwrap();
    let one = orders.iter().find(|one| one["order_id"] == json!(set_back.lost[1])).unwrap();
    assert_eq!(one["total"]["units"].to_string().trim_matches('"'), "6", "{one}");
    let stock = engine.ask(&["stock", "get", "MUG"]);
    assert_eq!(stock["stock"]["reserved"], json!(6), "{stock}");
    assert!(engine.stop().success());
    verify_clean(&set_back.data());
}

#[test]
fn returns_of_a_lost_history_are_listed_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (data, old) = (folder.path().join("data"), folder.path().join("old"));
    std::fs::create_dir(&old).unwrap();
    let engine = Engine::start(&data);
    engine.ask(&["stock", "set", "MUG", "100"]);
    let (first, second) = (place(&engine), place(&engine));
    for order in [&first, &second] {
        engine.until(order, "CONFIRMED");
        engine.ask(&["order", "fulfill", order]);
    }
    let request = |engine: &Engine, order: &str| {
        engine.ask(&["return", "request", order, "--line", "1=1", "--reason", "odd"]);
    };
    request(&engine, &first);
    until_caught_up(&engine);
    assert!(engine.stop().success());
    ALL.iter().for_each(|name| copy(&data, &old, name));

    let engine = Engine::start(&data);
    engine.ask(&["return", "reject", &first, "--reason", "worn"]);
    request(&engine, &second);
    until_caught_up(&engine);
    // The orders whose returns have these states.
    let listed = |engine: &Engine, states: &[&str]| -> Vec<String> {
        let states = states.iter().flat_map(|state| ["--state", *state]);
        let words: Vec<&str> = ["return", "list"].into_iter().chain(states).collect();
        let answer = engine.ask(&words);
        let returns = answer["returns"].as_array().unwrap().iter();
        returns.map(|one| one["order_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&engine, &["REQUESTED"]), std::slice::from_ref(&second));
    assert_eq!(listed(&engine, &["REJECTED"]), std::slice::from_ref(&first));
    assert!(engine.stop().success());
    copy(&old, &data, "journal");

    let engine = Engine::start(&data);
    until("the journal is doubted", || !doubt(&engine).is_empty());
    engine.ask(&["journal", "restored", "--reason", "a drill"]);
    until_caught_up(&engine);
    assert_eq!(listed(&engine, &["REQUESTED"]), std::slice::from_ref(&first));
    assert!(listed(&engine, &["APPROVED", "RECEIVED", "REJECTED"]).is_empty());
    // The other history goes on, over what was lost.
    engine.ask(&["order", "note", &second, "--text", "nothing came back"]);
    request(&engine, &second);
    until_caught_up(&engine);
    let mut both = listed(&engine, &["REQUESTED"]);
    both.sort_unstable();
    let mut expected = [first, second];
    expected.sort_unstable();
    assert_eq!(both, expected);
    assert!(engine.stop().success());
    verify_clean(&data);
}

#[test]
fn a_set_back_journal_is_detected_even_past_its_old_heads() {
    // No reader that remembers more looks while it grows.
    let set_back = SetBack::of_sqlite();
    let data = set_back.data();
    let alone = set_back.folder.path().join("old");
    let engine = Engine::start(&alone);
    let newer: Vec<String> = (0..9).map(|_| place(&engine)).collect();
    newer.iter().for_each(|order| drop(engine.until(order, "CONFIRMED")));
    until_caught_up(&engine);
    assert!(engine.stop().success());
    copy(&alone, &data, "journal");

    let engine = Engine::start(&data);
    until("the journal is doubted", || !doubt(&engine).is_empty());
    engine.ask(&["journal", "restored", "--reason", "it went on elsewhere"]);
    until_caught_up(&engine);
    let order = place(&engine);
    engine.until(&order, "CONFIRMED");
    let stock = engine.ask(&["stock", "get", "MUG"]);
    assert_eq!(stock["stock"]["reserved"], json!(13), "{stock}");
    assert!(engine.stop().success());
    verify_clean(&data);
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
    until_caught_up(&engine);
    assert!(engine.stop().success());
    copy(&data, &old, "inventory");
    let engine = Engine::start(&data);
    let orders: Vec<String> = (0..5).map(|_| place(&engine)).collect();
    orders.iter().for_each(|order| drop(engine.until(order, "CONFIRMED")));
    until_caught_up(&engine);
    assert!(engine.stop().success());
    copy(&old, &data, "inventory");

    let engine = Engine::start(&data);
    until_caught_up(&engine);
    assert_eq!(doubt(&engine), "");
    let order = place(&engine);
    engine.until(&order, "CONFIRMED");
    let stock = engine.ask(&["stock", "get", "MUG"]);
    assert_eq!(stock["stock"]["reserved"], json!(7), "{stock}");
    assert!(engine.stop().success());
    verify_clean(&data);
}

/// Stock then publishes other facts at positions that orders have read already, and orders would
/// stay ahead of it for ever.
#[test]
fn orders_and_stock_from_backups_of_different_days_agree_again() {
    let folder = tempfile::tempdir().unwrap();
    let (data, old) = (folder.path().join("data"), folder.path().join("old"));
    std::fs::create_dir(&old).unwrap();
    for (more, kept) in [(1, Some("journal")), (2, Some("inventory")), (6, None)] {
        let engine = Engine::start(&data);
        if more == 1 {
            engine.ask(&["stock", "set", "MUG", "100"]);
        }
        let orders: Vec<String> = (0..more).map(|_| place(&engine)).collect();
        orders.iter().for_each(|order| drop(engine.until(order, "CONFIRMED")));
        until_caught_up(&engine);
        assert!(engine.stop().success());
        kept.into_iter().for_each(|name| copy(&data, &old, name));
    }
    ["journal", "inventory"].into_iter().for_each(|name| copy(&old, &data, name));

    let engine = Engine::start(&data);
    until("the journal is doubted", || !doubt(&engine).is_empty());
    engine.ask(&["journal", "restored", "--reason", "backups of two days"]);
    let order = place(&engine);
    engine.until(&order, "CONFIRMED");
    until_caught_up(&engine);
    let stock = engine.ask(&["stock", "get", "MUG"]);
    assert_eq!(stock["stock"]["reserved"], json!(2), "{stock}");
    assert!(engine.stop().success());
    verify_clean(&data);
}

pub fn psql(url: &str, sql: &str) {
    let output = std::process::Command::new("psql")
        .args([url, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Roles in separate processes on one Postgres server, with a database each, with or without Redis.
struct Roles {
    server: PostgresServer,
    redis: Option<RedisServer>,
    ports: [u16; 3],
    mail: tempfile::TempDir,
}

const ROLES: [&str; 3] = ["orders", "inventory", "notifications"];

impl Roles {
    fn new(redis: bool) -> Self {
        let server = PostgresServer::start();
        for role in ROLES {
            psql(&server.url(), &format!("CREATE DATABASE {role}"));
        }
        let redis = redis.then(RedisServer::start);
        let ports = ROLES.map(|_| free_port());
        Self { server, redis, ports, mail: tempfile::tempdir().unwrap() }
    }

    fn database(&self, role: &str) -> String {
        let url = self.server.url();
        let (head, _) = url.rsplit_once('/').unwrap();
        format!("{head}/{role}")
    }

    fn start(&self, role: &str) -> Engine {
        let place = |role: &str| ROLES.iter().position(|known| *known == role).unwrap();
        let at = |role: &str| format!("127.0.0.1:{}", self.ports[place(role)]);
        let mut flags = vec!["--role".to_owned(), role.to_owned(), "--listen".to_owned(), at(role)];
        flags.extend([format!("--{role}-database-url"), self.database(role)]);
        let others: &[&str] = if role == "orders" { &ROLES[1..] } else { &ROLES[..1] };
        for other in others {
            flags.extend([format!("--{other}-at"), format!("http://{}", at(other))]);
        }
        if role == "notifications" {
            flags.extend(["--mail-dir".to_owned(), self.mail.path().display().to_string()]);
        }
        if let Some(redis) = &self.redis {
            flags.extend(["--redis-url".to_owned(), redis.url()]);
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Engine::start_with(&flags)
    }

    fn start_all(&self) -> [Engine; 3] {
        ROLES.map(|role| self.start(role))
    }
}

fn until_all_caught_up(engines: &[Engine; 3]) {
    engines.iter().for_each(until_caught_up);
}

fn stop_all(engines: [Engine; 3]) {
    for engine in engines {
        assert!(engine.stop().success());
    }
}

#[test]
fn stock_that_lost_everything_cancels_no_confirmed_order() {
    let roles = Roles::new(false);
    // A backup from before anything was read: it is known, and an emptied database is not.
    stop_all(roles.start_all());
    psql(&roles.server.url(), "CREATE DATABASE begun TEMPLATE inventory");
    let engines = roles.start_all();
    engines[0].ask(&["stock", "set", "MUG", "100"]);
    let order = place(&engines[0]);
    engines[0].until(&order, "CONFIRMED");
    until_all_caught_up(&engines);
    stop_all(engines);
    psql(&roles.server.url(), "DROP DATABASE inventory");
    psql(&roles.server.url(), "CREATE DATABASE inventory TEMPLATE begun");

    let engines = roles.start_all();
    let mut letters = Value::Null;
    until("what stock says is set aside", || {
        letters = engines[0].ask(&["dead-letter", "list"])["dead_letters"].take();
        letters.as_array().is_some_and(|letters| !letters.is_empty())
    });
    assert_eq!(letters[0]["subject"], json!(order));
    let error = letters[0]["error"].as_str().unwrap();
    assert!(error.contains("rejects an order that it had confirmed"), "{letters}");
    engines[0].until(&order, "CONFIRMED");
    stop_all(engines);
}

fn roles_notice(redis: bool) {
    let roles = Roles::new(redis);
    let (server, redis) = (&roles.server, &roles.redis);
    let database = |role: &str| roles.database(role);
    let start_all = || roles.start_all();

    let engines = start_all();
    engines[0].ask(&["stock", "set", "MUG", "100"]);
    let kept = place(&engines[0]);
    engines[0].until(&kept, "CONFIRMED");
    until_all_caught_up(&engines);
    stop_all(engines);
    psql(&server.url(), "CREATE DATABASE before TEMPLATE orders");
    let engines = start_all();
    let lost: Vec<String> = (0..12).map(|_| place(&engines[0])).collect();
    lost.iter().for_each(|order| drop(engines[0].until(order, "CONFIRMED")));
    until_all_caught_up(&engines);
    stop_all(engines);
    psql(&server.url(), "DROP DATABASE orders");
    psql(&server.url(), "CREATE DATABASE orders TEMPLATE before");

    let engines = start_all();
    until("the journal is doubted", || !doubt(&engines[0]).is_empty());
    let refused = engines[0].refused(3, &placing(&["MUG=1@1.00GBP"]));
    assert_eq!(refused["reason"], "JOURNAL_DOUBTED");
    engines[0].ask(&["journal", "restored", "--reason", "a drill"]);
    let new: Vec<String> = (0..40).map(|_| place(&engines[0])).collect();
    new.iter().for_each(|order| drop(engines[0].until(order, "CONFIRMED")));
    until_all_caught_up(&engines);
    let stock = engines[0].ask(&["stock", "get", "MUG"]);
    assert_eq!(stock["stock"]["reserved"], json!(41), "{stock}");
    stop_all(engines);
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
fn roles_that_follow_by_grpc_detect_a_set_back_journal() {
    roles_notice(false);
}

#[test]
fn roles_that_follow_by_redis_detect_a_set_back_journal() {
    roles_notice(true);
}
