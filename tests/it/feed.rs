//! Facts between processes: what a reader may request.

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::shop::{On, Shop};

/// The error with which a read ends at once; none where it begins.
async fn refused(shop: &Shop, request: Value) -> Option<Value> {
    let begun = shop.ops.stream("facts.v1.FactService/ReadFacts", request).await;
    let failure = match begun {
        Ok(mut facts) => facts.next().await?.err()?,
        Err(failure) => failure,
    };
    Some(failure.to_json())
}

async fn an_unknown_shard_is_refused_as_the_readers_error(on: On, shards: u32) {
    let shop = Shop::open(on).await;
    shop.set_stock("MUG", 5).await;
    let order = shop.place(&[("MUG", 1)]).await;
    shop.until(&order, "CONFIRMED").await;
    for named in [shards, 1_023, 1_024, 65_535, 65_536, u32::MAX] {
        let source = "/ordinal/orders";
        let place = |position: u32| json!([{"shard": named, "position": position}]);
        for (field, request) in [
            ("after[0].shard", json!({"source": source, "after": place(5)})),
            ("after[0].shard", json!({"source": source, "after": place(0)})),
            ("shards[1]", json!({"source": source, "shards": [0, named]})),
            ("shards[0]", json!({"source": source, "shards": [named], "live": true})),
        ] {
            let refusal = refused(&shop, request.clone()).await.expect("it is refused");
            assert_eq!(refusal["status"], "INVALID_ARGUMENT", "{request}: {refusal}");
            assert_eq!(refusal["field_violations"][0]["field"], field, "{request}: {refusal}");
        }
    }
    let last = json!({"source": "/ordinal/orders", "shards": [shards - 1], "live": false});
    assert_eq!(refused(&shop, last).await, None);
    let ahead = json!([{"shard": 0, "position": 1_000_000}]);
    let ahead = refused(&shop, json!({"source": "/ordinal/orders", "after": ahead})).await;
    assert_eq!(ahead.expect("it is refused")["reason"], "HISTORY_FORKED");
    // Stock does not know the number of the orders' shards, but knows the maximum.
    let too_large = json!({"source": "/ordinal/inventory", "shards": [1_024]});
    let too_large = refused(&shop, too_large).await.expect("it is refused");
    assert_eq!(too_large["status"], "INVALID_ARGUMENT", "{too_large}");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_shard_is_refused_as_the_readers_error_on_sqlite() {
    an_unknown_shard_is_refused_as_the_readers_error(On::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_shard_is_refused_as_the_readers_error_on_postgres() {
    an_unknown_shard_is_refused_as_the_readers_error(On::Postgres, 16).await;
}

/// The journal of SQLite has one shard: of more, each would give its next position.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_with_a_limit_ends_where_it_is_reached() {
    let shop = Shop::open(On::Sqlite).await;
    shop.set_stock("MUG", 5).await;
    let order = shop.place(&[("MUG", 1)]).await;
    shop.until(&order, "CONFIRMED").await;
    let all = published(&shop, "/ordinal/orders").await;
    assert!(all.len() >= 2, "{all:?}");
    for live in [false, true] {
        let asked = json!({ "source": "/ordinal/orders", "live": live, "limit": 1 });
        assert_eq!(read(&shop, asked).await, all[..1]);
    }
    let asked = json!({ "source": "/ordinal/orders", "live": false, "limit": 1_000 });
    assert_eq!(read(&shop, asked).await, all);
    shop.close().await;
}

/// Everything a service has published, from its first fact.
async fn published(shop: &Shop, source: &str) -> Vec<Value> {
    read(shop, json!({ "source": source, "live": false })).await
}

async fn read(shop: &Shop, request: Value) -> Vec<Value> {
    let mut answers = shop.ops.stream("facts.v1.FactService/ReadFacts", request).await.unwrap();
    let mut facts = Vec::new();
    while let Some(answer) = answers.next().await {
        for json in answer.unwrap()["facts"].as_array().into_iter().flatten() {
            facts.push(serde_json::from_str(json.as_str().unwrap()).unwrap());
        }
    }
    facts
}

async fn every_service_publishes_its_facts(on: On) {
    let shop = Shop::open(on).await;
    shop.set_stock("MUG", 5).await;
    let order = shop.place(&[("MUG", 1)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.settled().await;
    for (source, kinds) in [
        ("/ordinal/orders", &["order.created.v1", "order.confirmed.v1"][..]),
        ("/ordinal/inventory", &["inventory.reserved.v1"]),
        ("/ordinal/notifications", &["notification.sent.v1", "notification.sent.v1"]),
    ] {
        let patience = tokio::time::Instant::now() + crate::support::PATIENCE;
        let facts = loop {
            let facts = published(&shop, source).await;
            if facts.len() == kinds.len() {
                break facts;
            }
            assert!(tokio::time::Instant::now() < patience, "{source}: {facts:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        for (position, (fact, kind)) in (1_u64..).zip(facts.iter().zip(kinds)) {
            assert_eq!((&fact["type"], &fact["subject"]), (&json!(kind), &json!(order)), "{fact}");
            assert_eq!(fact["source"], source);
            assert_eq!(fact["position"], json!(position), "{fact}");
            // In the shard of the order, whichever service publishes it.
            assert_eq!(fact["shard"], published(&shop, "/ordinal/orders").await[0]["shard"]);
        }
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_publishes_its_facts_on_sqlite() {
    every_service_publishes_its_facts(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_publishes_its_facts_on_postgres() {
    every_service_publishes_its_facts(On::Postgres).await;
}

/// All else is the same: ids, positions, marks.
async fn contacts_are_left_out_for_readers_that_do_not_need_them(on: On) {
    let shop = Shop::open(on).await;
    shop.set_stock("MUG", 5).await;
    let order = shop.place_in("de", &[("MUG", 1)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.settled().await;
    let asked = |without: bool| json!({ "source": "/ordinal/orders", "live": false, "without_contact": without });
    let mut whole = read(&shop, asked(false)).await;
    let without = read(&shop, asked(true)).await;
    assert!(whole.len() >= 2, "{whole:?}");
    for fact in &mut whole {
        let contact = std::mem::replace(&mut fact["data"]["contact"], json!({ "locale": "en" }));
        let known = (&contact["email"], &contact["locale"]);
        assert_eq!(known, (&json!("customer@example.com"), &json!("de")), "{fact}");
    }
    assert_eq!(whole, without);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_left_out_for_readers_that_do_not_need_them_on_sqlite() {
    contacts_are_left_out_for_readers_that_do_not_need_them(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_left_out_for_readers_that_do_not_need_them_on_postgres() {
    contacts_are_left_out_for_readers_that_do_not_need_them(On::Postgres).await;
}
