//! Several processes of the engine on one set of Postgres databases.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Instant;

use order_actor::grpc::proto;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::TestDatabase;
use crate::support::{CUSTOMER, Engine, PATIENCE, RedisServer, free_port, ordinal, placing};
use crate::wire::{Wire, within};

/// Short for a test, and not so short that a busy machine does not renew it in time; leases decide
/// only how soon others take over.
pub const LEASE: [&str; 6] = ["--lease", "6s", "--lease-renew", "500ms", "--lease-self-stop", "4s"];

pub fn databases<const N: usize>() -> (tokio::runtime::Runtime, [TestDatabase; N]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let databases = std::array::from_fn(|_| runtime.block_on(TestDatabase::create()));
    (runtime, databases)
}

pub fn node(name: &str, flags: &[&str]) -> Engine {
    Engine::start_with(&[&["--node-name", name], &LEASE[..], flags].concat())
}

/// Places an order under its own id until it is acknowledged, as a client that retries does.
pub fn place(engine: &Engine, line: &str) -> String {
    let id = Uuid::now_v7().to_string();
    let mut arguments = placing(&[line]);
    arguments.extend(["--id", &id, "--timeout", "3s"]);
    let patience = Instant::now() + PATIENCE;
    while !engine.run(&arguments).status.success() {
        assert!(Instant::now() < patience, "not placed");
    }
    id
}

/// Waits until each of two nodes has half of the shards: one that moves tells callers to retry.
pub fn until_even(shards: impl Fn() -> Value) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let listed = shards()["shards"].take();
        let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
        for shard in listed.as_array().unwrap() {
            *owners.entry(shard["node"].as_str().unwrap_or_default()).or_default() += 1;
        }
        let counts: Vec<usize> = owners.values().copied().collect();
        if counts.len() == 2 && counts[0] == counts[1] && !owners.contains_key("") {
            return;
        }
        assert!(Instant::now() < patience, "they do not share: {owners:?}");
    }
}

pub fn version(engine: &Engine, id: &str) -> u64 {
    version_of(&engine.ask(&["order", "get", id]))
}

/// The version in an answer.
pub fn version_of(answer: &Value) -> u64 {
    let order = &answer["order"];
    order["version"].as_str().map_or_else(|| order["version"].as_u64(), |n| n.parse().ok()).unwrap()
}

pub fn verified(output: &Output) -> Value {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"], json!([]), "{report}");
    report
}

#[test]
fn either_node_answers_for_every_order_and_takes_over() {
    let (runtime, [database]) = databases();
    let url = database.url();
    let a = node("a", &["--database-url", &url]);
    let b = node("b", &["--database-url", &url]);
    a.ask(&["stock", "set", "MUG", "1000"]);
    until_even(|| a.ask(&["shards", "list"]));
    let mut orders: Vec<String> = Vec::new();
    for round in 0..16 {
        let (one, other) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let id = place(one, "MUG=1@4.50GBP");
        other.until(&id, "CONFIRMED");
        // A refusal is the same from every node.
        let refused =
            other.refused(1, &["return", "request", &id, "--line", "1=1", "--reason", "x"]);
        assert_eq!(refused["reason"], "INVALID_TRANSITION", "{refused}");
        orders.push(id);
    }
    // Where the engine chooses the id, the node that was asked owns the order.
    for one in [&a, &b, &a, &b, &a, &b] {
        one.place(&["MUG=1@4.50GBP"]);
    }
    // A planned stop: the remaining node has everything immediately.
    assert!(b.stop().success());
    for id in &orders {
        assert_eq!(version(&a, id), 2);
    }
    let b = node("b", &["--database-url", &url]);
    // A crash: within the lease.
    a.kill();
    for id in &orders {
        let patience = Instant::now() + PATIENCE;
        while !b.run(&["order", "cancel", id, "--timeout", "3s"]).status.success() {
            assert!(Instant::now() < patience, "nobody took over");
        }
        b.until(id, "CANCELLED");
    }
    let report = verified(&b.run(&["verify"]));
    assert_eq!(report["orders"], 22, "{report}");
    assert!(b.stop().success());
    verified(&ordinal(&["--json", "verify", "--database-url", &url]));
    runtime.block_on(database.drop());
}

#[test]
fn two_nodes_full_of_forwarded_calls_answer_all_of_them() {
    const CALLS: usize = 400;
    let (runtime, [database]) = databases();
    let url = database.url();
    let flags = &["--database-url", url.as_str(), "--without-stock"];
    let nodes = ["a", "b"].map(|name| node(name, flags));
    until_even(|| nodes[0].ask(&["shards", "list"]));
    // Without an id it becomes an order of the node that was asked.
    let orders: [Vec<String>; 2] = std::array::from_fn(|index| {
        let placed = (0..20).map(|_| nodes[index].place(&["MUG=1@4.50GBP"]));
        placed.map(|placed| placed["order"]["order_id"].as_str().unwrap().to_owned()).collect()
    });
    let ended = runtime.block_on(async {
        let mut calls = Vec::new();
        let mut wires = Vec::new();
        for (index, engine) in nodes.iter().enumerate() {
            let of_the_other = &orders[1 - index];
            for at in 0..CALLS {
                if at % 100 == 0 {
                    wires.push(Wire::open(&engine.address).await);
                }
                let order_id = of_the_other[at % of_the_other.len()].clone();
                let get = proto::GetOrderRequest { order_id, ..Default::default() };
                let wire = wires.last().unwrap();
                let path = "/ordinal.orders.v1.OrderService/GetOrder";
                calls.push(wire.call(path, None, &get).await.ended());
            }
        }
        within(futures::future::join_all(calls)).await
    });
    let well = ended.iter().filter(|ended| *ended == "OK").count();
    assert_eq!(well, 2 * CALLS, "{ended:?}");
    drop(nodes);
    runtime.block_on(database.drop());
}

#[test]
fn operators_move_and_freeze_shards() {
    let (runtime, [database]) = databases();
    let url = database.url();
    let flags = &["--database-url", url.as_str(), "--without-stock"];
    let a = node("a", flags);
    let b = node("b", flags);
    until_even(|| a.ask(&["shards", "list"]));
    // Whoever asks what a resume would do hears of every node, and none of them does it.
    let resume = ["timers", "resume", "--reason", "the clock is right", "--validate-only"];
    assert_eq!(a.ask(&resume)["away"], json!([]));
    let id = place(&a, "MUG=1@4.50GBP");
    let shards = |engine: &Engine| engine.ask(&["shards", "list"])["shards"].take();
    let held = shards(&a);
    let held = held.as_array().unwrap().iter().find(|shard| shard["position"] == 1).unwrap();
    let home = held["shard"].to_string();
    let has = |name: &str| {
        let patience = Instant::now() + PATIENCE;
        let here = |shard: &Value| shard["shard"] == held["shard"] && shard["node"] == name;
        while !shards(&b).as_array().unwrap().iter().any(here) {
            assert!(Instant::now() < patience, "{name} does not have it");
        }
    };
    for name in ["a", "b", "a"] {
        b.ask(&["shards", "move", &home, name]);
        has(name);
        assert_eq!(version(&a, &id), 1);
        assert_eq!(version(&b, &id), 1);
    }
    let refused = a.refused(1, &["shards", "move", &home, "c"]);
    assert_eq!(refused["reason"], "NODE_UNKNOWN");
    assert!(refused["message"].as_str().unwrap().ends_with("the nodes are a, b"), "{refused}");
    assert_eq!(a.refused(1, &["shards", "move", "16", "a"])["reason"], "NOT_FOUND");

    a.ask(&["shards", "freeze", &home, "--reason", "looked into"]);
    has("");
    let patience = Instant::now() + PATIENCE;
    let refused = loop {
        let refused = b.refused(3, &["order", "cancel", &id]);
        if refused["reason"] == "SHARD_FROZEN" {
            break refused;
        }
        assert!(Instant::now() < patience, "{refused}");
    };
    assert_eq!(refused["metadata"]["reason"], "looked into", "{refused}");
    // Others learn that it is frozen, and nothing of what the operator wrote.
    let customer = format!("customer:{CUSTOMER}");
    for (caller, verb) in [("service:shop", "fulfill"), (customer.as_str(), "cancel")] {
        let refused = b.refused(3, &["--as", caller, "order", verb, &id]);
        assert_eq!(refused["reason"], "SHARD_FROZEN", "{caller}: {refused}");
        assert_eq!(refused["metadata"]["shard"], home, "{refused}");
        assert!(!refused.to_string().contains("looked into"), "{caller}: {refused}");
    }
    // Other shards continue: without an id the order goes to a shard that the node has.
    b.place(&["MUG=1@4.50GBP"]);
    a.ask(&["shards", "unfreeze", &home]);
    has("a");
    b.ask(&["order", "cancel", &id]);
    drop((a, b));
    runtime.block_on(database.drop());

    let alone = tempfile::TempDir::new().unwrap();
    let alone = Engine::start(alone.path());
    assert_eq!(alone.ask(&["shards", "list"])["one_writer"], true);
    assert_eq!(
        alone.refused(1, &["shards", "freeze", "0", "--reason", "why"])["reason"],
        "ONE_WRITER"
    );
}

/// A node sleeps past its lease, as a paused machine does; another one takes over. Awake again it
/// appends nothing of what it had begun, and takes its share again.
#[test]
fn a_node_that_slept_past_its_lease_appends_nothing_and_joins_again() {
    let (runtime, [database]) = databases();
    let url = database.url();
    let flags = &["--database-url", url.as_str(), "--without-stock"];
    let sleeper = node("sleeper", flags);
    let mut acknowledged = vec![place(&sleeper, "MUG=1@4.50GBP")];
    let other = node("other", flags);
    for _ in 0..3 {
        sleeper.signal("-STOP");
        acknowledged.extend((0..8).map(|_| place(&other, "MUG=2@4.50GBP")));
        sleeper.signal("-CONT");
        acknowledged.extend((0..8).map(|_| place(&sleeper, "MUG=3@4.50GBP")));
    }
    until_even(|| other.ask(&["shards", "list"]));
    for id in &acknowledged {
        assert_eq!(version(&sleeper, id), 1);
        assert_eq!(version(&other, id), 1);
    }
    assert!(sleeper.stop().success());
    assert!(other.stop().success());
    let output = ordinal(&["--json", "verify", "--database-url", &url]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["events"], acknowledged.len(), "{report}");
    // Stock was not started, as the flag requests.
    let mut findings = report["findings"].as_array().unwrap().iter();
    assert!(findings.all(|f| f["law"] == "reservations_as_orders"), "{report}");
    runtime.block_on(database.drop());
}

#[test]
fn roles_with_separate_databases_do_what_one_process_does() {
    roles(None);
}

#[test]
fn roles_joined_by_redis_do_what_one_process_does_even_without_it() {
    roles(Some(RedisServer::start()));
}

/// Three roles, each with its own database, connected by gRPC alone or by Redis too.
fn roles(mut redis: Option<RedisServer>) {
    let (runtime, [orders_db, stock_db, mail_db]) = databases();
    let port = || format!("127.0.0.1:{}", free_port());
    let redis_url = redis.as_ref().map(RedisServer::url).unwrap_or_default();
    let streams: Vec<&str> =
        if redis.is_some() { vec!["--redis-url", &redis_url] } else { Vec::new() };
    let [orders, more_orders, stock, mail] = [port(), port(), port(), port()];
    let at = |address: &str| format!("http://{address}");
    let both = format!("http://{orders},http://{more_orders}");
    let (stock_at, mail_at) = (at(&stock), at(&mail));
    let [orders_url, stock_url, mail_url] = [orders_db.url(), stock_db.url(), mail_db.url()];
    let order_flags = [
        "--role",
        "orders",
        "--orders-database-url",
        &orders_url,
        "--inventory-at",
        &stock_at,
        "--notifications-at",
        &mail_at,
    ];
    // Tables first, as a deployment does; repeated, it changes nothing.
    for _ in 0..2 {
        let flags = ["migrate", "--role", "orders", "--orders-database-url", &orders_url];
        let output = ordinal(&flags);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed, "journal: up to date\norders: up to date\n");
    }
    let first = node("first", &[&order_flags[..], &streams, &["--listen", &orders]].concat());
    let second =
        node("second", &[&order_flags[..], &streams, &["--listen", &more_orders]].concat());
    let stock_flags = [
        "--role",
        "inventory",
        "--inventory-database-url",
        &stock_url,
        "--orders-at",
        &both,
        "--listen",
        &stock,
    ];
    let folder = tempfile::TempDir::new().unwrap();
    let mail_flags = [
        "--role",
        "notifications",
        "--notifications-database-url",
        &mail_url,
        "--orders-at",
        &both,
        "--listen",
        &mail,
        "--mail-dir",
        folder.path().to_str().unwrap(),
    ];
    let inventory = Engine::start_with(&[&stock_flags[..], &streams].concat());
    let _notifications = Engine::start_with(&[&mail_flags[..], &streams].concat());

    for service in ["", "liveness", "ordinal.orders.v1.OrderService"] {
        assert_eq!(first.ask(&["health", "--service", service])["status"], "SERVING");
    }
    let elsewhere = ["health", "--service", "ordinal.inventory.v1.InventoryService"];
    assert_eq!(first.refused(1, &elsewhere)["reason"], "NOT_FOUND");
    // Every verb through any process.
    second.ask(&["stock", "set", "MUG", "10"]);
    until_even(|| first.ask(&["shards", "list"]));
    let kept: Vec<String> = (0..4).map(|_| place(&first, "MUG=2@4.50GBP")).collect();
    for id in &kept {
        second.until(id, "CONFIRMED");
    }
    let short = place(&second, "MUG=3@4.50GBP");
    assert_eq!(
        first.until(&short, "CANCELLED")["cancel_reason"],
        "CANCEL_REASON_INSUFFICIENT_STOCK"
    );
    if let Some(redis) = &mut redis {
        let stream = redis.cli(&["KEYS", "ordinal:{orders:*}:facts"]);
        assert!(!stream.trim().is_empty(), "nothing goes through Redis");
        redis.cli(&["FLUSHALL"]);
        let after = place(&first, "MUG=3@4.50GBP");
        second.until(&after, "CANCELLED");
        redis.restart();
        let after = place(&second, "MUG=3@4.50GBP");
        first.until(&after, "CANCELLED");
    }
    // An operator pauses stock through another process; orders wait and nothing is lost.
    assert_eq!(
        first.refused(2, &["follower", "pause", "nobody", "--reason", "x"])["field_violations"][0]
            ["field"],
        "follower"
    );
    first.ask(&["follower", "pause", "stock", "--reason", "stocktaking"]);
    let paused = |name: &str| {
        let followers = second.ask(&["followers"])["followers"].take();
        let found = followers.as_array().unwrap().iter().find(|f| f["name"] == name).cloned();
        found.unwrap()["paused"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!((paused("stock").as_str(), paused("notifications").as_str()), ("stocktaking", ""));
    let waits = place(&first, "MUG=3@4.50GBP");
    let lag = |name: &str| {
        let followers = second.ask(&["followers"])["followers"].take();
        let found = followers.as_array().unwrap().iter().find(|f| f["name"] == name).cloned();
        let lag = found.unwrap()["lag"].take();
        lag.as_str().map_or_else(|| lag.as_u64(), |lag| lag.parse().ok()).unwrap_or(0)
    };
    let patience = Instant::now() + PATIENCE;
    while lag("notifications") > 0 {
        assert!(Instant::now() < patience, "messages wait too");
    }
    // Other followers have read it, and stock has not.
    assert_eq!((lag("stock"), version(&second, &waits)), (1, 1));
    first.ask(&["follower", "resume", "stock"]);
    second.until(&waits, "CANCELLED");
    assert_eq!(paused("stock"), "");
    // Stock is killed and comes back; orders placed meanwhile are reserved.
    inventory.kill();
    let meanwhile = place(&first, "MUG=1@4.50GBP");
    let refused = first.refused(3, &["stock", "list"]);
    // By the feed it may be known already that nothing arrives there.
    let reason = refused["reason"].as_str().unwrap();
    assert!(["OUTCOME_UNKNOWN", "NOT_FORWARDED"].contains(&reason), "{refused}");
    let inventory = Engine::start_with(&[&stock_flags[..], &streams].concat());
    first.until(&meanwhile, "CONFIRMED");
    assert_eq!(
        inventory.ask(&["order", "get", &meanwhile])["order"]["status"],
        "ORDER_STATUS_CONFIRMED"
    );

    // An order of three facts, so that a stream has as many.
    first.ask(&["order", "fulfill", &meanwhile]);
    let report = verified(&first.run(&["verify"]));
    assert_eq!(report["orders"], if redis.is_some() { 9 } else { 7 }, "{report}");
    let followers = second.ask(&["followers"]);
    let all = || followers["followers"].as_array().unwrap().iter();
    let mut names: Vec<&str> = all().map(|follower| follower["name"].as_str().unwrap()).collect();
    names.dedup();
    // Each order node follows for its own shards and is asked.
    let by_shard = ["deadlines", "order-identifiers", "order-returns", "order-summaries"];
    for name in by_shard.into_iter().chain(["stock-answers"]) {
        let nodes: Vec<&str> = all()
            .filter(|follower| follower["name"] == name)
            .map(|follower| follower["node"].as_str().unwrap())
            .collect();
        assert_eq!(nodes, ["first", "second"], "{name}");
    }
    assert_eq!(inventory.ask(&["followers"])["followers"].as_array().unwrap().len(), all().count());
    // Of orders, too, every process knows.
    let overview = inventory.ask(&["overview"]);
    assert_eq!(overview["orders"], second.ask(&["overview"])["orders"], "{overview}");
    assert!(overview["orders"].as_array().is_some_and(|orders| orders.len() == 6), "{overview}");
    assert_eq!(overview["followers"].as_array().unwrap().len(), all().count(), "{overview}");
    let relays = if redis.is_some() {
        vec!["relay-inventory", "relay-notifications", "relay-orders"]
    } else {
        vec![]
    };
    let mut expected =
        [&by_shard[..], &["notifications", "stock", "stock-answers"][..], &relays[..]].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let listed = second.ask(&["notification", "list", "--order", &short]);
    assert_eq!(listed["notifications"].as_array().unwrap().len(), 2, "{listed}");
    let urls = [
        "--orders-database-url",
        &orders_url,
        "--inventory-database-url",
        &stock_url,
        "--notifications-database-url",
        &mail_url,
    ];
    let check = || ordinal(&[&["--json", "verify"], &urls[..], &streams[..]].concat());
    let report = verified(&check());
    if let Some(redis) = &redis {
        // Redis is checked too, while everything runs.
        assert!(report["checked"]["streams_as_facts"].as_u64().unwrap() > 4, "{report}");
        let keys = redis.cli(&["KEYS", "ordinal:{orders:*}:facts"]);
        let long = |key: &&str| redis.cli(&["XLEN", key]).trim().parse::<u32>().unwrap() >= 3;
        let patience = Instant::now() + PATIENCE;
        let key = loop {
            match keys.lines().find(long) {
                Some(key) => break key,
                None => assert!(Instant::now() < patience, "no stream of three facts"),
            }
        };
        let second = redis.cli(&["XRANGE", key, "-", "+", "COUNT", "2"]);
        let mut ids = second.lines().filter(|line| {
            line.split_once('-').is_some_and(|(position, index)| {
                position.parse::<u64>().is_ok() && index.parse::<u16>().is_ok()
            })
        });
        assert_eq!(redis.cli(&["XDEL", key, ids.next_back().unwrap()]).trim(), "1");
        let report: Value = serde_json::from_slice(&check().stdout).unwrap();
        assert_eq!(report["findings"][0]["law"], "streams_as_facts", "{report}");
        assert_eq!(report["findings"][0]["subject"], key, "{report}");
    }
    for process in [first, second] {
        assert!(process.stop().success());
    }
    drop((inventory, _notifications));
    for database in [orders_db, stock_db, mail_db] {
        runtime.block_on(database.drop());
    }
}

/// Processes that refuse unauthenticated callers call each other with tokens of their own.
#[test]
fn processes_authenticate_to_each_other() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (tokens, peer) = (path("tokens.toml"), path("peer"));
    let (ops, service) = ("o".repeat(40), "s".repeat(40));
    let line = |token: &str, role: &str| {
        format!("[[tokens]]\ntoken = \"{token}\"\nrole = \"{role}\"\nsubject = \"{role}\"\n")
    };
    std::fs::write(&tokens, line(&ops, "OPS") + &line(&service, "SERVICE")).unwrap();
    std::fs::write(&peer, &service).unwrap();
    let [orders, stock] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let (orders_at, stock_at) = (format!("http://{orders}"), format!("http://{stock}"));
    let data = path("data");
    let common = ["--data", &data, "--tokens", &tokens];
    let start = |role: &str, listen: &str, other: [&str; 2], identity: &[&str]| {
        let flags = ["--role", role, "--listen", listen];
        Engine::start_with(&[&flags[..], &other[..], &common[..], identity].concat())
    };
    let proven = ["--peer-token-file", peer.as_str()];
    let engine = start("orders", &orders, ["--inventory-at", &stock_at], &proven);
    let nobody = start("inventory", &stock, ["--orders-at", &orders_at], &[]);
    let as_ops = |arguments: &[&str]| engine.ask(&[arguments, &["--token", &ops]].concat());
    // The call is forwarded in its caller's name.
    as_ops(&["stock", "set", "MUG", "10"]);
    assert_eq!(engine.refused(1, &["stock", "list"])["reason"], "UNAUTHENTICATED");
    let placed = as_ops(&placing(&["MUG=2@4.50GBP"]));
    let id = placed["order"]["order_id"].as_str().unwrap();
    let status = || as_ops(&["order", "get", id])["order"]["status"].take();
    // Stock cannot authenticate, and is refused.
    let patience = Instant::now() + PATIENCE;
    let follower = || {
        let followers = nobody.ask(&["followers", "--token", &ops])["followers"].take();
        followers.as_array().unwrap().iter().find(|f| f["name"] == "stock").cloned().unwrap()
    };
    while !follower()["error"].as_str().unwrap().contains("Unauthenticated") {
        assert!(Instant::now() < patience, "{}", follower());
    }
    let patience = Instant::now() + PATIENCE;
    assert_eq!(status(), "ORDER_STATUS_PENDING");
    nobody.kill();
    let _stock = start("inventory", &stock, ["--orders-at", &orders_at], &proven);
    while status() != "ORDER_STATUS_CONFIRMED" {
        assert!(Instant::now() < patience, "{}", status());
    }
}

#[test]
fn contradictory_settings_are_refused_at_the_start() {
    let refused = |flags: &[&str], expected: &str| {
        let output = ordinal(&[&["serve", "--listen", "127.0.0.1:0"], flags].concat());
        assert!(!output.status.success());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(expected), "{error}");
    };
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    refused(&["--role", "inventory", "--data", data], "--orders-at must say where it is");
    refused(&["--role", "orders", "--data", data], "--inventory-at must say where it is");
    let url = "postgres://nobody@127.0.0.1:1/none";
    let flags =
        ["--role", "orders", "--inventory-database-url", url, "--inventory-at", "http://x:1"];
    refused(&flags, "--orders-database-url or --database-url is needed");
    let leases = ["--database-url", url, "--lease", "1s"];
    refused(&leases, "must be less than --lease-self-stop");
    let at = ["--role", "inventory", "--data", data, "--orders-at", "not a url"];
    refused(&at, "is not an address such as");
}
