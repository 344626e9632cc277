//! Operators' actions: who did what, why, and the state before and after, recorded with the effect,
//! listed once by every process. And the movements that explain stock.

use std::time::Duration;

use ordinal::client::{Client, Failure};
use serde_json::{Value, json};
use shared_events::stream::TARGET_KINDS;
use sqlx::Executor as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::time::Instant;
use uuid::Uuid;

use crate::http::Http;
use crate::shop::{On, Orders as _, Shop, TestDatabase, on_both};
use crate::support::{Engine, PATIENCE, free_port, ordinal};

on_both!(
    every_change_by_an_operator_is_recorded_once,
    refused_calls_are_not_recorded,
    what_would_be_done_about_a_follower_is_told_and_not_done,
    what_would_be_done_about_shards_and_lists_is_told_and_not_done,
    operators_actions_are_listed_in_pages_and_by_filter,
    stock_equals_the_sum_of_its_movements,
);

async fn admin(client: &Client, method: &str, request: Value) -> Result<Value, Failure> {
    client.call(&format!("admin.v1.AdminService/{method}"), request).await
}

async fn stock(client: &Client, method: &str, request: Value) -> Result<Value, Failure> {
    client.call(&format!("inventory.v1.InventoryService/{method}"), request).await
}

/// Operators' actions, newest first.
async fn done(client: &Client, request: Value) -> Vec<Value> {
    let mut answer = admin(client, "ListOperatorActions", request).await.unwrap();
    assert_eq!(answer["away"], json!([]), "{answer}");
    serde_json::from_value(answer["actions"].take()).unwrap()
}

/// Verb, target, reason, before, after.
fn summary(action: &Value) -> [&str; 5] {
    ["verb", "target", "reason", "before", "after"].map(|field| action[field].as_str().unwrap())
}

async fn every_change_by_an_operator_is_recorded_once(shop: Shop) {
    let lists = json!({ "name": "deadlines", "reason": "looked odd" });
    let pause = |reason: &str| json!({ "follower": "stock", "reason": reason });
    let count = json!({ "sku": "MUG", "on_hand": 5, "reason": "counted" });
    let broken = json!({ "sku": "MUG", "delta": -1, "reason": "broken" });
    let calls = [
        ("admin.v1.AdminService/PauseFollower", pause(" Zoe\u{308} counts ")),
        ("admin.v1.AdminService/PauseFollower", pause("still counting")),
        ("admin.v1.AdminService/ResumeFollower", json!({ "follower": "stock" })),
        ("admin.v1.AdminService/RebuildReadModel", lists),
        ("admin.v1.AdminService/ResumeTimers", json!({ "reason": "the clock is right" })),
        ("admin.v1.AdminService/AcceptJournal", json!({ "reason": "restored" })),
        ("inventory.v1.InventoryService/SetStock", count),
        ("inventory.v1.InventoryService/AdjustStock", broken),
    ];
    let expected = [
        ["PAUSE_FOLLOWER", "stock", "Zo\u{eb} counts", "follows", "paused: Zo\u{eb} counts"],
        [
            "PAUSE_FOLLOWER",
            "stock",
            "still counting",
            "paused: Zo\u{eb} counts",
            "paused: still counting",
        ],
        ["RESUME_FOLLOWER", "stock", "", "paused: still counting", "follows"],
        [
            "REBUILD_READ_MODEL",
            "deadlines",
            "looked odd",
            "in use since the last build",
            "rebuilt from 0 events",
        ],
        [
            "RESUME_TIMERS",
            "all order nodes",
            "the clock is right",
            "timers of this node run",
            "timers run on every node that answers",
        ],
        ["ACCEPT_JOURNAL", "", "restored", "incarnation 1, not doubted", "incarnation 2, accepted"],
        ["SET_STOCK", "MUG", "counted", "0 on hand", "5 on hand"],
        ["ADJUST_STOCK", "MUG", "broken", "5 on hand", "4 on hand"],
    ];
    let journal = admin(&shop.ops, "GetJournal", json!({})).await.unwrap();
    let journal = journal["history"]["journal"].as_str().unwrap();
    for (nth, (method, request)) in calls.into_iter().enumerate() {
        shop.ops.call(method, request).await.unwrap();
        let done = done(&shop.ops, json!({})).await;
        assert_eq!(done.len(), nth + 1, "{method}: {done:?}");
        let newest = done.iter().find(|one| one["verb"] == expected[nth][0]).unwrap();
        let mut expected = expected[nth];
        if expected[0] == "ACCEPT_JOURNAL" {
            expected[1] = journal;
        }
        if !expected[4].starts_with("built") {
            assert_eq!(summary(newest), expected);
        }
        assert_eq!((&newest["role"], &newest["subject"]), (&json!("OPS"), &json!("anna")));
        // Those of the same instant have no order among each other.
        shop.advance(Duration::from_secs(1));
    }
    // What a service does is no operator's action; the movement names it.
    let request = json!({ "sku": "MUG", "delta": 3 });
    stock(&shop.service, "AdjustStock", request).await.unwrap();
    assert_eq!(done(&shop.ops, json!({})).await.len(), 8);
    let moved = stock(&shop.ops, "ListMovements", json!({ "sku": "MUG" })).await.unwrap();
    assert_eq!(moved["movements"][0]["asked_by"], "service:shop");
    // A message that is sent again.
    let order = shop.place(&[("MUG", 1)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.message_kinds(&order).await;
    let patience = Instant::now() + PATIENCE;
    let list = json!({ "order_id": order, "state": "NOTIFICATION_STATE_DELIVERED" });
    let message = loop {
        let method = "notifications.v1.NotificationService/ListNotifications";
        let answer = shop.ops.call(method, list.clone()).await.unwrap();
        if let Some(first) = answer["notifications"].get(0) {
            break first["notification_id"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < patience, "no message was delivered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let again = "notifications.v1.NotificationService/ResendNotification";
    let request = json!({ "notification_id": message, "reason": " Zoe\u{308} lost it " });
    shop.ops.call(again, request).await.unwrap();
    let done = done(&shop.ops, json!({ "target_kind": "NOTIFICATION" })).await;
    assert_eq!(done.len(), 1, "{done:?}");
    let [verb, target, reason, before, after] = summary(&done[0]);
    assert_eq!(
        (verb, target, reason),
        ("RESEND_NOTIFICATION", message.as_str(), "Zo\u{eb} lost it")
    );
    assert_eq!(before, "RECEIVED by EMAIL");
    assert!(after.starts_with("resent as "), "{after}");
    shop.close().await;
}

async fn refused_calls_are_not_recorded(shop: Shop) {
    let nobody = Uuid::now_v7();
    let letter = json!({ "follower": "stock", "subject": nobody, "reason": "x" });
    for (method, request) in [
        ("PauseFollower", json!({ "follower": "stock" })),
        ("PauseFollower", json!({ "follower": "nobody", "reason": "x" })),
        ("ResumeFollower", json!({ "follower": "nobody" })),
        ("PutBackDeadLetters", letter.clone()),
        ("DropDeadLetter", letter),
        ("RebuildReadModel", json!({ "name": "nothing" })),
        ("MoveShard", json!({ "shard": 0, "node": "nobody" })),
        ("FreezeShard", json!({ "shard": 1_000, "reason": "x" })),
        ("UnfreezeShard", json!({ "shard": 70_000 })),
        ("AcceptJournal", json!({})),
        ("ResumeTimers", json!({ "reason": " " })),
    ] {
        assert!(admin(&shop.ops, method, request).await.is_err(), "{method}");
        let pause = json!({ "follower": "stock", "reason": "x" });
        assert!(admin(&shop.service, "PauseFollower", pause).await.is_err());
    }
    for (method, request) in [
        ("SetStock", json!({ "sku": "MUG", "on_hand": -1 })),
        ("SetStock", json!({ "sku": "MUG", "on_hand": 5, "expected_on_hand": 1 })),
        ("AdjustStock", json!({ "sku": "MUG", "delta": -1 })),
    ] {
        assert!(stock(&shop.ops, method, request).await.is_err(), "{method}");
    }
    let would = json!({ "sku": "MUG", "on_hand": 5, "validate_only": true });
    stock(&shop.ops, "SetStock", would).await.unwrap();
    assert_eq!(done(&shop.ops, json!({})).await, Vec::<Value>::new());
    shop.close().await;
}

/// A call with `validate_only` records nothing, and answers or refuses as the call itself then does,
/// with this reason.
async fn told_and_not_done(shop: &Shop, method: &str, request: Value, reason: &Value) {
    let told = |answer: Result<Value, Failure>| match answer {
        Ok(answer) => answer,
        Err(failure) => {
            let failure = failure.to_json();
            json!({ "reason": failure["reason"], "message": failure["message"] })
        }
    };
    let mut only = request.clone();
    only["validate_only"] = json!(true);
    let before = done(&shop.ops, json!({})).await;
    let would = told(admin(&shop.ops, method, only).await);
    assert_eq!(done(&shop.ops, json!({})).await, before, "{method}");
    assert_eq!(&would["reason"], reason, "{method}: {would}");
    assert_eq!(would, told(admin(&shop.ops, method, request).await), "{method}");
}

async fn what_would_be_done_about_a_follower_is_told_and_not_done(shop: Shop) {
    let letters = json!({ "follower": "stock", "subject": Uuid::now_v7(), "reason": "x" });
    for (method, request, reason) in [
        ("PauseFollower", json!({ "follower": "stock", "reason": "counting" }), Value::Null),
        ("ResumeFollower", json!({ "follower": "stock" }), Value::Null),
        ("PauseFollower", json!({ "follower": "stock" }), json!("INVALID_FIELD")),
        ("PauseFollower", json!({ "follower": "x", "reason": "x" }), json!("INVALID_FIELD")),
        ("ResumeFollower", json!({ "follower": "x" }), json!("INVALID_FIELD")),
        ("PutBackDeadLetters", letters.clone(), json!("NOT_FOUND")),
        ("DropDeadLetter", letters, json!("NOT_FOUND")),
    ] {
        told_and_not_done(&shop, method, request, &reason).await;
    }
    let mut http = Http::connect(&shop.address).await;
    let pause = "POST /v1/followers/stock:pause?validate_only=true";
    let answer = http.json(pause, &[], &json!({ "reason": "counting" })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let followers = admin(&shop.ops, "ListFollowers", json!({})).await.unwrap();
    let followers = followers["followers"].as_array().unwrap();
    assert!(followers.iter().all(|follower| follower["paused"] == ""), "{followers:?}");
    shop.close().await;
}

async fn what_would_be_done_about_shards_and_lists_is_told_and_not_done(shop: Shop) {
    // On SQLite one process has the journal to itself.
    let of_shards = |reason: Value| match shop.is_on() {
        On::Sqlite => json!("ONE_WRITER"),
        On::Postgres => reason,
    };
    let shard = |shard: u32| json!({ "shard": shard, "reason": "looked into" });
    for (method, request, reason) in [
        ("FreezeShard", shard(3), of_shards(Value::Null)),
        ("UnfreezeShard", shard(3), of_shards(Value::Null)),
        ("MoveShard", shard(3), of_shards(Value::Null)),
        ("MoveShard", json!({ "shard": 3, "node": "nobody" }), of_shards(json!("NODE_UNKNOWN"))),
        ("MoveShard", shard(999), of_shards(json!("NOT_FOUND"))),
        ("FreezeShard", shard(999), of_shards(json!("NOT_FOUND"))),
        ("UnfreezeShard", shard(999), of_shards(json!("NOT_FOUND"))),
        ("FreezeShard", shard(70_000), json!("INVALID_FIELD")),
        ("FreezeShard", json!({ "shard": 3 }), json!("INVALID_FIELD")),
        ("RebuildReadModel", json!({ "name": "order-summaries" }), Value::Null),
        ("RebuildReadModel", json!({ "name": "orders" }), json!("INVALID_FIELD")),
        ("ResumeTimers", json!({ "reason": "the clock is right" }), Value::Null),
        ("ResumeTimers", json!({}), json!("INVALID_FIELD")),
        ("AcceptJournal", json!({}), json!("INVALID_FIELD")),
        ("IssueToken", json!({ "customer_id": shop.customer }), json!("TOKENS_NOT_ISSUED")),
    ] {
        told_and_not_done(&shop, method, request, &reason).await;
    }
    // The shard is open: what was only asked about did not happen.
    if let On::Postgres = shop.is_on() {
        let only = json!({ "shard": 3, "reason": "looked into", "validate_only": true });
        admin(&shop.ops, "FreezeShard", only).await.unwrap();
        let listed = admin(&shop.ops, "ListShards", json!({})).await.unwrap();
        assert_eq!(listed["shards"][3]["frozen"], "", "{listed}");
    }
    let history = admin(&shop.ops, "GetJournal", json!({})).await.unwrap()["history"].take();
    let before = done(&shop.ops, json!({})).await;
    let accept = json!({ "reason": "restored", "validate_only": true });
    let would = admin(&shop.ops, "AcceptJournal", accept).await.unwrap();
    assert_eq!((&would["history"], &would["letters_dropped"]), (&history, &json!(0)));
    assert_eq!(done(&shop.ops, json!({})).await, before);
    let mut http = Http::connect(&shop.address).await;
    let rebuild = "POST /v1/read-models/deadlines:rebuild?validate_only=true";
    let answer = http.json(rebuild, &[], &json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(done(&shop.ops, json!({})).await, before);
    shop.close().await;
}

async fn operators_actions_are_listed_in_pages_and_by_filter(shop: Shop) {
    let bob = shop.as_caller("ops", "bob").await;
    for nth in 0..45 {
        let by = if nth % 3 == 0 { &bob } else { &shop.ops };
        let (method, request) = match nth % 2 {
            0 => ("PauseFollower", json!({ "follower": "stock", "reason": format!("no. {nth}") })),
            _ => ("ResumeFollower", json!({ "follower": "notifications", "reason": "again" })),
        };
        admin(by, method, request).await.unwrap();
        // Several in one instant.
        if nth % 4 == 0 {
            shop.advance(Duration::from_secs(1));
        }
    }
    let all_actions = done(&shop.ops, json!({ "page_size": 100 })).await;
    assert_eq!(all_actions.len(), 45);
    let times: Vec<&str> = all_actions.iter().map(|one| one["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    let (mut paged, mut request) = (Vec::new(), json!({ "page_size": 7 }));
    loop {
        let mut page = admin(&shop.ops, "ListOperatorActions", request.clone()).await.unwrap();
        let actions: Vec<Value> = serde_json::from_value(page["actions"].take()).unwrap();
        assert!(actions.len() == 7 || page["next_page_token"] == "", "{}", actions.len());
        paged.extend(actions);
        request["page_token"] = page["next_page_token"].take();
        if request["page_token"] == "" {
            break;
        }
        assert!(paged.len() < 100, "the list has no end");
    }
    assert_eq!(paged, all_actions);
    for (filter, count) in [
        (json!({ "subject": "bob", "page_size": 100 }), 15),
        (json!({ "target": "notifications", "page_size": 100 }), 22),
        (json!({ "target": "notifications", "subject": "bob", "page_size": 100 }), 7),
        (json!({ "target_kind": "SHARD" }), 0),
    ] {
        assert_eq!(done(&shop.ops, filter.clone()).await.len(), count, "{filter}");
    }
    // By the kind of each verb, which the help names.
    let help = String::from_utf8(ordinal(&["operations", "list", "--help"]).stdout).unwrap();
    for kind in TARGET_KINDS {
        let count = if *kind == "FOLLOWER" { 45 } else { 0 };
        let filter = json!({ "target_kind": kind, "page_size": 100 });
        assert_eq!(done(&shop.ops, filter).await.len(), count, "{kind}");
        assert!(help.contains(kind), "{kind}: {help}");
    }
    let first = json!({ "page_size": 7, "subject": "bob" });
    let token = admin(&shop.ops, "ListOperatorActions", first).await.unwrap();
    let token = token["next_page_token"].as_str().unwrap();
    for wrong in [
        json!({ "page_token": token }),
        json!({ "page_token": "x" }),
        json!({ "target_kind": "NOTHING" }),
        json!({ "subject": "two\nlines" }),
    ] {
        let refused = admin(&shop.ops, "ListOperatorActions", wrong.clone()).await;
        assert_eq!(refused.unwrap_err().reason(), "INVALID_FIELD", "{wrong}");
    }
    shop.close().await;
}

/// Orders of every ending: movements add up to the stock and explain it.
async fn stock_equals_the_sum_of_its_movements(shop: Shop) {
    let counted = json!({ "sku": "MUG", "on_hand": 100, "reason": "first count" });
    stock(&shop.ops, "SetStock", counted).await.unwrap();
    let mut orders = Vec::new();
    for units in [3, 4, 5, 6, 200] {
        orders.push(shop.place(&[("MUG", units)]).await);
    }
    for order in &orders[..4] {
        shop.until(order, "CONFIRMED").await;
    }
    shop.until(&orders[4], "CANCELLED").await;
    shop.buyer.orders("CancelOrder", json!({ "order_id": orders[0] })).await.unwrap();
    for order in &orders[1..3] {
        shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    }
    let ask = json!({
        "order_id": orders[2], "lines": [{ "line": 1, "quantity": 2 }], "reason": "too small",
    });
    shop.buyer.orders("RequestReturn", ask).await.unwrap();
    shop.ops.orders("ApproveReturn", json!({ "order_id": orders[2] })).await.unwrap();
    shop.settled().await;
    let mut answer = stock(&shop.ops, "ListMovements", json!({ "sku": "MUG" })).await.unwrap();
    let movements: Vec<Value> = serde_json::from_value(answer["movements"].take()).unwrap();
    let sum = |field: &str| movements.iter().filter_map(|one| one[field].as_i64()).sum::<i64>();
    assert_eq!(shop.stock("MUG").await, (100 - 4 - 5 + 2, 6));
    assert_eq!((sum("on_hand_change"), sum("reserved_change")), (93, 6));
    let parts = ["adjusted", "committed", "restocked"].map(|part| answer[part].as_i64().unwrap());
    assert_eq!(parts, [100, 9, 2]);
    let causes = |order: &str| {
        let of_order = movements.iter().filter(|one| one["order_id"] == json!(order));
        let causes = of_order.map(|one| one["cause"].as_str().unwrap().to_owned());
        causes.map(|cause| cause.replace("MOVEMENT_CAUSE_", "")).collect::<Vec<_>>()
    };
    assert_eq!(causes(&orders[0]), ["RELEASED", "RESERVED"]);
    assert_eq!(causes(&orders[1]), ["COMMITTED", "RESERVED"]);
    assert_eq!(causes(&orders[2]), ["RESTOCKED", "COMMITTED", "RESERVED"]);
    assert_eq!(causes(&orders[3]), ["RESERVED"]);
    assert!(causes(&orders[4]).is_empty());
    let first = movements.last().unwrap();
    assert_eq!((&first["reason"], &first["asked_by"]), (&json!("first count"), &json!("ops:anna")));
    shop.close().await;
}

/// No effect without its record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_cannot_be_recorded_is_not_done() {
    let mut shop = Shop::open(On::Sqlite).await;
    shop.set_stock("MUG", 5).await;
    shop.stop().await;
    for file in ["inventory.db", "orders.db", "journal.db"] {
        let options = SqliteConnectOptions::new().filename(shop.data().join(file));
        let database = SqlitePool::connect_with(options).await.unwrap();
        let refuse = "CREATE TRIGGER full BEFORE INSERT ON operator_actions
                      BEGIN SELECT RAISE(ABORT, 'no room'); END";
        database.execute(refuse).await.unwrap();
        database.close().await;
    }
    shop.start(|_| ()).await;
    let before = admin(&shop.ops, "GetJournal", json!({})).await.unwrap();
    for (method, request) in [
        ("PauseFollower", json!({ "follower": "stock", "reason": "x" })),
        ("RebuildReadModel", json!({ "name": "deadlines" })),
        ("ResumeTimers", json!({ "reason": "x" })),
        ("AcceptJournal", json!({ "reason": "x" })),
    ] {
        assert!(admin(&shop.ops, method, request).await.is_err(), "{method}");
    }
    let set = json!({ "sku": "MUG", "on_hand": 7 });
    assert!(stock(&shop.ops, "SetStock", set).await.is_err());
    assert_eq!(shop.stock("MUG").await, (5, 0));
    assert_eq!(admin(&shop.ops, "GetJournal", json!({})).await.unwrap(), before);
    let followers = admin(&shop.ops, "ListFollowers", json!({})).await.unwrap();
    let followers = followers["followers"].as_array().unwrap();
    assert!(followers.iter().all(|follower| follower["paused"] == ""), "{followers:?}");
    assert_eq!(done(&shop.ops, json!({})).await.len(), 1, "the stock that was set at first");
    shop.stop().await;
}

/// By the command line, over processes with separate databases: every process lists all actions.
#[test]
fn every_process_lists_the_operators_actions_of_all() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let [orders_at, stock_at] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let databases = [(); 2].map(|()| runtime.block_on(TestDatabase::create()));
    let [orders_url, stock_url] = [0, 1].map(|nth: usize| databases[nth].url());
    let http = |address: &str| format!("http://{address}");
    let orders = Engine::start_with(&[
        "--role",
        "orders",
        "--node-name",
        "a",
        "--listen",
        &orders_at,
        "--orders-database-url",
        &orders_url,
        "--inventory-at",
        &http(&stock_at),
    ]);
    let inventory = Engine::start_with(&[
        "--role",
        "inventory",
        "--listen",
        &stock_at,
        "--inventory-database-url",
        &stock_url,
        "--orders-at",
        &http(&orders_at),
    ]);
    for (engine, arguments) in [
        (&orders, &["follower", "pause", "stock", "--reason", "inventory count"][..]),
        (&inventory, &["stock", "set", "MUG", "5", "--reason", "counted"][..]),
        (&orders, &["shards", "freeze", "3", "--reason", "looked into"][..]),
        (&inventory, &["follower", "resume", "stock", "--reason", "counted"][..]),
        (&orders, &["shards", "unfreeze", "3"][..]),
        (&orders, &["shards", "move", "3", "a", "--reason", "balance"][..]),
    ] {
        let mut all = vec!["--as", "ops:anna"];
        all.extend(arguments);
        engine.ask(&all);
    }
    let expected = [
        "MOVE_SHARD",
        "UNFREEZE_SHARD",
        "RESUME_FOLLOWER",
        "FREEZE_SHARD",
        "SET_STOCK",
        "PAUSE_FOLLOWER",
    ];
    for engine in [&orders, &inventory] {
        let listed = engine.ask(&["operations", "list"]);
        assert_eq!(listed["away"], json!([]));
        let verbs: Vec<&str> = listed["actions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["verb"].as_str().unwrap())
            .collect();
        assert_eq!(verbs, expected);
        assert!(listed["actions"].as_array().unwrap().iter().all(|one| one["subject"] == "anna"));
    }
    let listed = orders.ask(&["operations", "list", "--kind", "SHARD", "--target", "3"]);
    let listed = &listed["actions"];
    assert_eq!(
        (&listed[0]["before"], &listed[0]["after"]),
        (&json!("for any node"), &json!("for node a"))
    );
    assert_eq!(
        (&listed[2]["before"], &listed[2]["after"]),
        (&json!("open"), &json!("frozen: looked into"))
    );
    // Stock is unavailable: the rest is listed, and that stock is unavailable.
    drop(inventory);
    let listed = orders.ask(&["operations", "list"]);
    assert_eq!(listed["away"], json!(["stock"]));
    assert_eq!(listed["actions"].as_array().unwrap().len(), 3);
    let shown = crate::support::ordinal(&["--address", &orders.address, "operations", "list"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("ops:anna") && shown.contains("open → frozen: looked into"), "{shown}");
    assert!(shown.contains("stock does not answer"), "{shown}");
    drop(orders);
    for database in databases {
        runtime.block_on(database.drop());
    }
}

/// "Why is it 98?", by the command line.
#[test]
fn the_command_line_explains_stock_by_its_movements() {
    let folder = tempfile::TempDir::new().unwrap();
    let engine = Engine::start(folder.path());
    let id = Uuid::now_v7().to_string();
    let set = ["stock", "set", "MUG", "100", "--reason", "first count", "--request-id", &id];
    assert_eq!(engine.ask(&set)["replayed"], false);
    assert_eq!(engine.ask(&set)["replayed"], true);
    let placed = engine.place(&["MUG=2@4.50GBP"]);
    let order = placed["order"]["order_id"].as_str().unwrap();
    engine.until(order, "CONFIRMED");
    engine.ask(&["order", "fulfill", order]);
    let patience = std::time::Instant::now() + PATIENCE;
    while engine.ask(&["stock", "get", "MUG"])["stock"]["on_hand"] != 98 {
        assert!(std::time::Instant::now() < patience, "it was not delivered");
        std::thread::sleep(Duration::from_millis(20));
    }
    let refused = engine.refused(1, &["stock", "set", "MUG", "200", "--expected", "100"]);
    assert_eq!(refused["reason"], "ON_HAND_MISMATCH");
    assert_eq!(refused["metadata"]["actual"], "98");
    let shown =
        crate::support::ordinal(&["--address", &engine.address, "stock", "movements", "MUG"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let first = shown.lines().find(|line| line.contains("first count")).unwrap();
    assert!(first.contains("SET") && first.contains("ops:developer"), "{shown}");
    let sent = shown.lines().find(|line| line.contains("COMMITTED")).unwrap();
    assert!(sent.contains(order) && sent.contains("-2"), "{shown}");
    let sum =
        "MUG: 98 on hand = 100 set and adjusted - 2 delivered + 0 restocked; 0 of them reserved";
    assert!(shown.contains(sum), "{shown}");
    let listed = engine.ask(&["stock", "movements", "MUG", "--page-size", "1"]);
    assert_eq!(listed["movements"].as_array().unwrap().len(), 1);
    assert!(!listed["next_page_token"].as_str().unwrap().is_empty());
}
