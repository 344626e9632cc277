//! Facts that a follower cannot handle: listed, retried once fixed, or dropped, by an operator.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Executor as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::time::Instant;

use crate::shop::{On, Orders as _, Shop};
use crate::support::{PATIENCE, ordinal};

impl Shop {
    /// Changes stock's own tables while the engine is stopped.
    async fn tamper(&mut self, sql: &str) {
        self.stop().await;
        let options = SqliteConnectOptions::new().filename(self.data().join("inventory.db"));
        let database = SqlitePool::connect_with(options).await.unwrap();
        database.execute(sql).await.unwrap();
        database.close().await;
        self.start(|_| ()).await;
    }

    async fn admin(&self, method: &str, request: Value) -> Value {
        self.ops.call(&format!("admin.v1.AdminService/{method}"), request).await.unwrap()
    }

    /// Health, once it reports dead letters of stock, or none.
    async fn until_reported(&self, noted: bool) -> Value {
        let patience = Instant::now() + PATIENCE;
        loop {
            let health = self.admin("GetHealth", json!({})).await;
            assert_eq!(health["serving"], json!(true), "{health}");
            let notes = health["notes"].as_array().cloned().unwrap_or_default();
            if notes.iter().any(|note| note["part"] == "follower stock") == noted {
                return health;
            }
            assert!(Instant::now() < patience, "{health}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn dead_letters_of(&self, follower: &str) -> i64 {
        let answer = self.admin("ListFollowers", json!({})).await;
        let mut followers = answer["followers"].as_array().unwrap().iter();
        let one = followers.find(|one| one["name"] == json!(follower)).unwrap();
        one["dead_letters"].as_i64().unwrap()
    }

    /// The dead letters, once there are this many.
    async fn dead_letters(&self, count: usize) -> Vec<Value> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let answer = self.admin("ListDeadLetters", json!({})).await;
            let letters = answer["dead_letters"].as_array().unwrap().clone();
            if letters.len() == count {
                return letters;
            }
            assert!(Instant::now() < patience, "{letters:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Two orders with reserved stock; the reservation of the first claims to be used up.
async fn with_a_poisoned_order() -> (Shop, String, String) {
    let mut shop = Shop::open(On::Sqlite).await;
    shop.set_stock("MUG", 10).await;
    let poisoned = shop.place_in("de", &[("MUG", 2)]).await;
    let healthy = shop.place(&[("MUG", 3)]).await;
    for order in [&poisoned, &healthy] {
        shop.until(order, "CONFIRMED").await;
    }
    shop.tamper(&format!(
        "UPDATE reservations SET body = replace(body, '\"quantity\"', '\"released\":2,\"quantity\"')
         WHERE order_id = '{poisoned}'"
    ))
    .await;
    for order in [&poisoned, &healthy] {
        shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    }
    let ask = json!({
        "order_id": poisoned, "lines": [{ "line": 1, "quantity": 1 }], "reason": "too small",
    });
    shop.buyer.orders("RequestReturn", ask).await.unwrap();
    shop.ops.orders("ApproveReturn", json!({ "order_id": poisoned })).await.unwrap();
    (shop, poisoned, healthy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_fact_blocks_only_its_order_until_it_is_fixed() {
    let (mut shop, poisoned, _) = with_a_poisoned_order().await;
    // The parcel, and the later facts of the same order; the other order continued.
    let letters = shop.dead_letters(4).await;
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (7, 2));
    assert!(letters.iter().all(|l| l["subject"] == json!(poisoned) && l["follower"] == "stock"));
    let states: Vec<&str> = letters.iter().map(|l| l["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["POISON", "BEHIND", "BEHIND", "BEHIND"]);
    assert_eq!(letters[0]["kind"], "order.fulfilled.v1");
    // Of the facts stock has kept everything but how the customer is reached.
    let stored = shop.database_file("inventory.db").unwrap();
    assert!(stored.contains("order.fulfilled.v1"));
    assert!(!stored.contains("customer@example.com"));
    let error = letters[0]["error"].as_str().unwrap();
    assert!(error.contains("more units than are held"), "{error}");

    // Operators are notified, and the process keeps serving.
    let health = shop.until_reported(true).await;
    let note = health["notes"][0]["reason"].as_str().unwrap();
    assert!(note.starts_with("4 dead letters wait"), "{health}");
    assert!(note.contains(&poisoned) && note.contains("more units than are held"), "{health}");
    assert_eq!(shop.dead_letters_of("stock").await, 4);

    // `verify` reports it.
    let data = shop.data();
    let output = ordinal(&["--json", "verify", "--data", data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let named = report["findings"].as_array().unwrap().iter().any(|finding| {
        finding["law"] == "nothing_parked"
            && finding["subject"] == json!(format!("subject/{poisoned}"))
    });
    assert!(named, "{report}");

    let place = json!({ "follower": "stock", "subject": poisoned });
    // What would be done is told, and is not done.
    let mut only = place.clone();
    only["reason"] = json!("looked");
    only["validate_only"] = json!(true);
    let would = shop.admin("PutBackDeadLetters", only.clone()).await;
    assert_eq!(would["put_back"], 4, "{would}");
    let would = shop.admin("DropDeadLetter", only).await;
    assert_eq!(would["dropped"]["kind"], "order.fulfilled.v1", "{would}");
    assert_eq!(shop.dead_letters(4).await, letters);
    // Retried before the fix, it fails again.
    shop.admin("PutBackDeadLetters", place.clone()).await;
    let patience = Instant::now() + PATIENCE;
    loop {
        let again = shop.dead_letters(4).await;
        if again[0]["attempts"] == 2 && again.iter().all(|letter| letter["state"] != "RETRY") {
            break;
        }
        assert!(Instant::now() < patience, "{again:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    shop.tamper(&format!(
        "UPDATE reservations SET body = replace(body, '\"released\":2,', '')
         WHERE order_id = '{poisoned}'"
    ))
    .await;
    assert_eq!(shop.admin("PutBackDeadLetters", place).await["put_back"], 4);
    shop.dead_letters(0).await;
    shop.until_reported(false).await;
    assert_eq!(shop.dead_letters_of("stock").await, 0);
    // Ten, minus five shipped, plus one returned.
    assert_eq!(shop.stock("MUG").await, (6, 0));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_dead_letter_is_gone_and_recorded() {
    let (mut shop, poisoned, _) = with_a_poisoned_order().await;
    shop.dead_letters(4).await;
    let request = json!({ "follower": "stock", "subject": poisoned, "reason": "counted by hand" });
    let dropped = shop.admin("DropDeadLetter", request).await["dropped"].take();
    assert_eq!(dropped["kind"], "order.fulfilled.v1");
    let item: Value = serde_json::from_str(dropped["item"].as_str().unwrap()).unwrap();
    assert_eq!(item["data"]["contact"], json!({ "locale": "en" }));
    // The facts behind it are retried. Nothing was shipped, so what comes back is waited for.
    shop.dead_letters(0).await;
    assert_eq!(shop.stock("MUG").await, (7, 2));
    let recorded = shop.admin("ListOperatorActions", json!({})).await["actions"][0].take();
    assert_eq!(recorded["verb"], "DROP_DEAD_LETTER", "{recorded}");
    assert_eq!(recorded["reason"], "counted by hand", "{recorded}");
    // Its target is found in every spelling of the id.
    let capitals = poisoned.to_uppercase();
    let asked = json!({ "target": format!("stock {capitals}") });
    let found = shop.admin("ListOperatorActions", asked).await["actions"].take();
    assert_eq!(found, json!([recorded]));
    shop.stop().await;
}
