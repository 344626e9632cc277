//! A journal spread over several database servers.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use order_actor::journal::{NewEvent, Options, ShardMap, open_spread};
use serde_json::{Value, json};
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::ActionsAsked;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::nodes::{databases, node, place, until_even, verified, version, version_of};
use crate::support::{Engine, PATIENCE, PostgresServer, RedisServer, free_port, ordinal, placing};

/// Two servers, each with half of the shards: as flags.
fn halves(servers: &[PostgresServer; 2]) -> Vec<String> {
    let [one, two] = servers;
    vec![
        format!("--journal-database=0-7={}", one.url()),
        format!("--journal-database=8-15={}", two.url()),
    ]
}

fn shard(engine: &Engine, id: &str) -> u64 {
    engine.ask(&["order", "get", id])["position"]["shard"].as_u64().unwrap_or(0)
}

/// Places orders, this many of them in shards of the first database.
fn place_in_the_first(engine: &Engine, count: usize) -> Vec<String> {
    let mut placed = Vec::new();
    let patience = Instant::now() + PATIENCE;
    while placed.len() < count {
        let id = Uuid::now_v7().to_string();
        let mut arguments = placing(&["MUG=1@4.50GBP"]);
        arguments.extend(["--id", &id, "--timeout", "3s"]);
        if engine.run(&arguments).status.success() && shard(engine, &id) < 8 {
            placed.push(id);
        }
        assert!(Instant::now() < patience, "only {placed:?}");
    }
    placed
}

#[test]
fn a_stopped_database_stops_only_its_own_shards() {
    let (runtime, [database]) = databases();
    let servers = [PostgresServer::start(), PostgresServer::start()];
    let url = database.url();
    let map = halves(&servers);
    let flags: Vec<&str> =
        ["--database-url", &url].into_iter().chain(map.iter().map(String::as_str)).collect();
    let a = node("a", &flags);
    let b = node("b", &flags);
    a.ask(&["stock", "set", "MUG", "1000"]);
    until_even(|| a.ask(&["shards", "list"]));
    let mut orders: Vec<String> = (0..12).map(|_| place(&a, "MUG=1@4.50GBP")).collect();
    let (here, there): (Vec<String>, Vec<String>) = loop {
        let (here, there): (Vec<_>, Vec<_>) =
            orders.iter().cloned().partition(|id| shard(&b, id) < 8);
        if here.len() > 1 && there.len() > 1 {
            break (here, there);
        }
        orders.push(place(&b, "MUG=1@4.50GBP"));
    };
    for id in &orders {
        b.until(id, "CONFIRMED");
    }

    let [_, second] = &servers;
    second.crash();
    // Stock's answers for orders of the other database still arrive, through readers of both
    // databases.
    for engine in [&a, &b] {
        for id in place_in_the_first(engine, 4) {
            a.until(&id, "CONFIRMED");
            orders.push(id);
        }
    }
    assert!(a.run(&["order", "cancel", &here[0]]).status.success());
    let patience = Instant::now() + PATIENCE;
    let shards = loop {
        let shards = b.ask(&["shards", "list"])["shards"].take();
        let shards = shards.as_array().unwrap().clone();
        let owned = |shard: &Value| shard["node"].as_str().is_some_and(|node| !node.is_empty());
        if shards[..8].iter().all(owned) && !shards[8..].iter().any(owned) {
            break shards;
        }
        assert!(Instant::now() < patience, "{shards:?}");
    };
    assert_eq!(shards.len(), 16);
    assert!(shards[8]["frozen"].as_str().unwrap().contains("not available"), "{}", shards[8]);
    // What would be done to a shard there is refused, as doing it is.
    let would_freeze = |shard| ["shards", "freeze", shard, "--reason", "why", "--validate-only"];
    assert_eq!(b.refused(3, &would_freeze("8"))["reason"], "UNAVAILABLE");
    b.ask(&would_freeze("0"));
    let refused = a.refused(3, &["order", "cancel", &there[0], "--timeout", "2s"]);
    assert!(!refused["message"].to_string().contains("postgres://"), "{refused}");
    // A node that starts now serves what is available.
    assert!(b.stop().success());
    let b = node("b", &flags);
    for id in place_in_the_first(&b, 2) {
        b.until(&id, "CONFIRMED");
        orders.push(id);
    }

    second.again();
    for id in &there {
        let patience = Instant::now() + PATIENCE;
        while !b.run(&["order", "cancel", id, "--timeout", "3s"]).status.success() {
            assert!(Instant::now() < patience, "it does not come back");
        }
        // Its shard may move to the other node meanwhile; a call is then told to retry.
        while let asked = a.run(&["order", "get", id])
            && !String::from_utf8_lossy(&asked.stdout).contains("CANCELLED")
        {
            let error = String::from_utf8_lossy(&asked.stderr);
            assert!(asked.status.success() || error.contains("UNAVAILABLE"), "{error}");
            assert!(Instant::now() < patience, "{error}");
        }
    }
    orders.extend((0..8).map(|_| place(&b, "MUG=1@4.50GBP")));
    for id in &orders {
        let patience = Instant::now() + PATIENCE;
        let found = loop {
            let asked = a.run(&["order", "get", id]);
            if asked.status.success() {
                break asked;
            }
            let error = String::from_utf8_lossy(&asked.stderr);
            assert!(error.contains("UNAVAILABLE") && Instant::now() < patience, "{error}");
        };
        assert!(version_of(&serde_json::from_slice(&found.stdout).unwrap()) > 0);
    }
    let report = verified(&b.run(&["verify"]));
    let replayed = String::from_utf8(a.run(&["events", "replay"]).stdout).unwrap();
    assert_eq!(replayed.lines().count() as u64, report["events"].as_u64().unwrap());
    assert!(a.stop().success() && b.stop().success());
    let check = [&["--json", "verify"], &flags[..]].concat();
    assert_eq!(verified(&ordinal(&check))["events"], report["events"]);
    runtime.block_on(database.drop());
}

#[test]
fn a_wrong_shard_map_is_refused_and_a_file_can_hold_the_right_one() {
    let (runtime, [orders, one, two]) = databases();
    let (url, one_url, two_url) = (orders.url(), one.url(), two.url());
    let right = [format!("0-7={one_url}"), format!("8-15={two_url}")];
    let swapped = [format!("0-7={two_url}"), format!("8-15={one_url}")];
    let flags = |map: &[String]| -> Vec<String> {
        let map = map.iter().map(|entry| format!("--journal-database={entry}"));
        ["--database-url".to_owned(), url.clone()].into_iter().chain(map).collect()
    };
    let run = |verb: &[&str], map: &[String]| {
        let flags = flags(map);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let output = ordinal(&[verb, &flags].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let serve = &["serve", "--listen", "127.0.0.1:0"][..];
    for (map, why) in [
        (vec![format!("0-7={one_url}"), format!("7-15={two_url}")], "shard 7 is named twice"),
        (vec![format!("0-6={one_url}"), format!("8-15={two_url}")], "shard 7 is missing"),
        (vec![one_url.clone()], "an entry is SHARDS=URL"),
    ] {
        for verb in [serve, &["migrate"], &["verify"]] {
            let (code, error) = run(verb, &map);
            assert!(code != Some(0) && error.contains(why), "{verb:?}: {error}");
            assert!(!error.contains("postgres@"), "{error}");
        }
    }
    let alone = format!("--journal-database=0-7={one_url}");
    let output = ordinal(&["serve", &alone]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("also need --database-url"), "{error}");

    let (code, said) = run(&["migrate"], &right);
    // The server of the tests syncs nothing, which is said.
    let wrong = said.lines().find(|line| !line.contains("setting=\"fsync\""));
    assert_eq!((code, wrong), (Some(0), None));
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("ordinal.toml");
    let settings = format!("database-url = {url:?}\njournal-database = {right:?}\n");
    std::fs::write(&file, settings).unwrap();
    let engine = Engine::start_with(&["--config", file.to_str().unwrap()]);
    let id = place(&engine, "MUG=1@4.50GBP");
    engine.until(&id, "CANCELLED");
    assert!(engine.stop().success());
    for verb in [serve, &["migrate"], &["verify"]] {
        let (code, error) = run(verb, &swapped);
        assert_eq!(code, Some(1), "{verb:?}: {error}");
        assert!(error.contains("holds shards 8-15 of 16 and is named for 0-7 of 16"), "{error}");
        assert!(!error.contains("postgres@"), "{error}");
    }
    assert_eq!(run(&["verify"], &right).0, Some(0));
    for database in [orders, one, two] {
        runtime.block_on(database.drop());
    }
}

/// A move that is killed repeatedly, each time a little later, completes and nothing is lost.
#[test]
fn a_repeatedly_killed_shard_move_loses_nothing() {
    const EVENTS: u64 = 12_000;
    let (runtime, [one, two]) = databases();
    let (one_url, two_url) = (one.url(), two.url());
    let map = |entries: &[String]| ShardMap::parse(entries.iter().map(String::as_str)).unwrap();
    let options = || Options::new(Arc::new(|| Timestamp::from_micros(1_800_000_000_000_000)));
    let open = |entries: &[String]| {
        let (map, options) = (map(entries), options());
        runtime.block_on(async { open_spread(&map, "orders_journal", options).await })
    };
    let event = || {
        let payload = format!("{{\"n\":{:?}}}", "x".repeat(200));
        NewEvent::from_json("OrderConfirmed", "1", payload, "{}").unwrap()
    };
    let complete = [format!("0-7={one_url}")];
    let halves = [format!("0-3={one_url}"), format!("4-7={two_url}")];
    let journal = open(&complete).unwrap();
    runtime.block_on(async {
        let mut appends = JoinSet::new();
        for _ in 0..EVENTS / 10 {
            let (journal, events) = (journal.clone(), (0..10).map(|_| event()).collect());
            appends.spawn(async move { journal.append(OrderId::mint(), 0, events).await });
        }
        while let Some(appended) = appends.join_next().await {
            appended.unwrap().unwrap();
        }
        journal.close().await;
    });
    let flags = ["journal", "move", "--shards", "4-7", "--from", &one_url, "--to", &two_url];
    let flags = [&["--as", "ops:anna"][..], &flags].concat();
    let (mut kills, mut patience) = (0, Duration::from_millis(20));
    let moved = loop {
        let mut moving = Command::new(env!("CARGO_BIN_EXE_ordinal"))
            .arg("--json")
            .args(&flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let until = Instant::now() + patience;
        while moving.try_wait().unwrap().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        if moving.try_wait().unwrap().is_none() {
            moving.kill().unwrap();
            kills += 1;
        }
        let output = moving.wait_with_output().unwrap();
        if output.status.success() {
            break String::from_utf8(output.stdout).unwrap();
        }
        let said = String::from_utf8_lossy(&output.stderr);
        // The server of the tests syncs nothing, which is said.
        let wrong = said.lines().find(|line| !line.contains("setting=\"fsync\""));
        assert_eq!(wrong, None, "it was not the kill");
        // Neither database is served alone, and none without the other until the move is complete.
        patience += patience / 4;
    };
    assert!(kills > 3, "{kills}");
    let moved: Value = serde_json::from_str(&moved).unwrap();
    assert_eq!(moved["moved"], "4-7", "{moved}");
    let refused = open(&complete).map(drop).unwrap_err();
    assert_eq!(refused.code(), "JOURNAL_DATABASE_WRONG");
    let journal = open(&halves).unwrap();
    runtime.block_on(async {
        assert_eq!(journal.verify().await.unwrap(), EVENTS);
        // That it began and that it ended is recorded once, however often it was killed.
        let target = "4-7".to_owned();
        let asked = ActionsAsked { target, limit: 10, ..ActionsAsked::default() };
        let (done, silent) = journal.operator_actions(&asked).await;
        assert_eq!((done.len(), silent), (2, 0), "{done:?}");
        assert!(done.iter().all(|one| one.verb == "RELOCATE_SHARDS" && one.by.subject == "anna"));
        let appended = journal.append(OrderId::mint(), 0, vec![event()]).await.unwrap();
        assert_eq!(appended.version, 1);
        journal.close().await;
    });
    let shown = ordinal(&["--json", "journal", "show", &one_url, &two_url]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let held: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&held[0]["holds"], &held[1]["holds"]), (&json!("0-3"), &json!("4-7")), "{shown}");
    let events = held[0]["events"].as_u64().unwrap() + held[1]["events"].as_u64().unwrap();
    assert_eq!((events, &held[1]["in_transit"]), (EVENTS + 1, &json!("")), "{shown}");
    let text = String::from_utf8(ordinal(&["journal", "show", &one_url, &two_url]).stdout).unwrap();
    assert!(text.contains("0-3 of 8") && !text.contains("postgres://"), "{text}");
    for database in [one, two] {
        runtime.block_on(database.drop());
    }
}

/// Stock in its own process reads the orders of one database while the other is down, by Redis and
/// by gRPC alone; also a process that starts meanwhile.
#[test]
fn a_stopped_database_hides_no_facts_of_the_others() {
    let (runtime, [orders_db, stock_db]) = databases();
    let servers = [PostgresServer::start(), PostgresServer::start()];
    let redis = RedisServer::start();
    let [orders_url, stock_url, redis_url] = [orders_db.url(), stock_db.url(), redis.url()];
    let map = halves(&servers);
    let map: Vec<&str> = map.iter().map(String::as_str).collect();
    let port = || format!("127.0.0.1:{}", free_port());
    let [orders, stock] = [port(), port()];
    let [orders_at, stock_at] = [format!("http://{orders}"), format!("http://{stock}")];
    let order_flags = ["--role", "orders", "--listen", &orders, "--redis-url", &redis_url];
    let databases = ["--orders-database-url", &orders_url, "--inventory-at", &stock_at];
    let node = node("a", &[&order_flags[..], &databases, &map].concat());
    let stock_flags = ["--role", "inventory", "--listen", &stock, "--orders-at", &orders_at];
    let database = ["--inventory-database-url", &stock_url];
    let by_redis = [&stock_flags[..], &database, &["--redis-url", &redis_url]].concat();
    let by_grpc = [&stock_flags[..], &database].concat();
    let inventory = Engine::start_with(&by_redis);
    node.ask(&["stock", "set", "MUG", "1000"]);
    let confirmed = |orders: Vec<String>| {
        orders.into_iter().inspect(|id| drop(node.until(id, "CONFIRMED"))).collect::<Vec<_>>()
    };
    let mut placed = confirmed((0..4).map(|_| place(&node, "MUG=1@4.50GBP")).collect());

    let [_, second] = &servers;
    second.crash();
    placed.extend(confirmed(place_in_the_first(&node, 3)));
    inventory.kill();
    let inventory = Engine::start_with(&by_redis);
    placed.extend(confirmed(place_in_the_first(&node, 2)));
    inventory.kill();
    let inventory = Engine::start_with(&by_grpc);
    placed.extend(confirmed(place_in_the_first(&node, 2)));
    second.again();
    placed.extend(confirmed((0..8).map(|_| place(&node, "MUG=1@4.50GBP")).collect()));
    inventory.kill();
    let _inventory = Engine::start_with(&by_redis);
    placed.extend(confirmed((0..8).map(|_| place(&node, "MUG=1@4.50GBP")).collect()));
    for id in &placed {
        assert_eq!(version(&node, id), 2);
    }
    for database in [orders_db, stock_db] {
        runtime.block_on(database.drop());
    }
}
