//! Stock at several locations, from end to end: which serves, what ships from where, what comes
//! back.

use serde_json::{Value, json};

use crate::shop::{Orders as _, Shop, on_both};

impl Shop {
    async fn stocks(&self, method: &str, request: Value) -> Value {
        self.ops.call(&format!("inventory.v1.InventoryService/{method}"), request).await.unwrap()
    }

    async fn locate(&self, name: &str, priority: i32) {
        let request = json!({ "name": name, "priority": priority, "reason": "opened" });
        self.stocks("SetLocation", request).await;
    }

    async fn put(&self, location: &str, sku: &str, on_hand: i64) {
        let request = json!({ "sku": sku, "on_hand": on_hand, "location": location });
        self.stocks("SetStock", request).await;
    }

    /// On hand and held at each location.
    async fn places(&self, sku: &str) -> Value {
        self.settled().await;
        let answer = self.stocks("GetStock", json!({ "sku": sku, "fresh": true })).await;
        let places = answer["stock"]["locations"].as_array().unwrap().iter();
        places.map(|one| json!([one["location"], one["on_hand"], one["held"]])).collect()
    }

    /// Held, shipped and returned of each line, by location.
    async fn parts(&self, order_id: &str) -> Value {
        self.settled().await;
        let answer = self.stocks("GetReservation", json!({ "order_id": order_id })).await;
        let lines = answer["reservation"]["lines"].as_array().unwrap().iter();
        let parts = lines.flat_map(|line| {
            let parts = line["locations"].as_array().cloned().unwrap_or_default();
            parts.into_iter().map(|one| {
                json!([
                    line["line"],
                    one["location"],
                    one["held"],
                    one["committed"],
                    one["restocked"]
                ])
            })
        });
        parts.collect()
    }
}

async fn an_order_ships_from_and_returns_to_locations(shop: Shop) {
    shop.locate("berlin", 1).await;
    shop.locate("main", 2).await;
    shop.put("berlin", "MUG", 3).await;
    shop.put("", "MUG", 5).await;
    shop.put("berlin", "CUP", 1).await;
    shop.put("main", "CUP", 1).await;
    // Berlin is first, and has not all of it; main has.
    let order = shop.place(&[("MUG", 4), ("CUP", 1)]).await;
    shop.until(&order, "CONFIRMED").await;
    assert_eq!(shop.parts(&order).await, json!([]));
    // Berlin has all of this one.
    let other = shop.place(&[("MUG", 2), ("CUP", 1)]).await;
    shop.until(&other, "CONFIRMED").await;
    let held = json!([
        [1, "main", 0, 0, 0],
        [1, "berlin", 2, 0, 0],
        [2, "main", 0, 0, 0],
        [2, "berlin", 1, 0, 0]
    ]);
    assert_eq!(shop.parts(&other).await, held);

    // A wrong name is refused by its field, and one that stock does not know counts for nothing.
    let ship = |lines: Value, location: &str| json!({ "order_id": order, "lines": lines, "location": location });
    let refused = shop.service.orders("FulfillOrder", ship(json!([]), "a b")).await.unwrap_err();
    assert!(refused.to_string().contains("location"), "{refused}");
    let one_mug = json!([{ "line": 1, "quantity": 1 }]);
    let shipped = shop.service.orders("FulfillOrder", ship(one_mug, "berlin")).await.unwrap();
    assert_eq!(shipped["order"]["parcels"][0]["location"], "berlin");
    assert_eq!(shipped["events"][0]["lines_fulfilled"]["location"], "berlin");
    let parts = json!([[1, "main", 3, 0, 0], [1, "berlin", 0, 1, 0]]);
    assert_eq!(shop.parts(&order).await, parts);
    let shipped = shop.service.orders("FulfillOrder", ship(json!([]), "nowhere")).await.unwrap();
    assert_eq!(shipped["events"][0]["order_fulfilled"]["location"], "nowhere");
    let request = json!({ "order_id": order, "from_version": 2, "to_version": 3 });
    let diff = shop.ops.call("orders.v1.JournalService/DiffOrder", request).await.unwrap();
    let change = json!({ "path": "parcels[0].location", "before": "", "after": "berlin" });
    assert!(diff["changes"].as_array().unwrap().contains(&change), "{diff}");
    assert_eq!(shop.places("MUG").await, json!([["main", 2, 0], ["berlin", 2, 2]]));

    let request = json!({ "order_id": order, "lines": [{ "line": 1, "quantity": 3 }],
                          "reason": "too many" });
    shop.buyer.orders("RequestReturn", request).await.unwrap();
    let later = json!({ "order_id": order, "receive_later": true, "location": "berlin" });
    let refused = shop.ops.orders("ApproveReturn", later).await.unwrap_err();
    assert!(refused.to_string().contains("not with receive_later"), "{refused}");
    let approve = json!({ "order_id": order, "location": "berlin",
        "outcomes": [
            { "line": 1, "quantity": 2, "outcome": "UNIT_OUTCOME_RESTOCK" },
            { "line": 1, "quantity": 1, "outcome": "UNIT_OUTCOME_WRITE_OFF" }
        ] });
    let approved = shop.ops.orders("ApproveReturn", approve).await.unwrap();
    assert_eq!(approved["events"][0]["return_approved"]["location"], "berlin");
    assert_eq!(shop.places("MUG").await, json!([["main", 2, 0], ["berlin", 4, 2]]));
    let request = json!({ "order_id": order, "lines": [{ "line": 2, "quantity": 1 }],
                          "reason": "chipped" });
    shop.buyer.orders("RequestReturn", request).await.unwrap();
    let later = json!({ "order_id": order, "receive_later": true });
    shop.ops.orders("ApproveReturn", later).await.unwrap();
    let receive = json!({ "order_id": order, "location": "berlin" });
    let received = shop.ops.orders("ReceiveReturn", receive).await.unwrap();
    assert_eq!(received["events"][0]["return_received"]["location"], "berlin");
    assert_eq!(shop.places("CUP").await, json!([["main", 0, 0], ["berlin", 2, 1]]));

    // Cancelled, the other gives back what it held, there.
    let cancel = json!({ "order_id": other, "reason": "CANCEL_REASON_CUSTOMER_REQUEST" });
    shop.buyer.orders("CancelOrder", cancel).await.unwrap();
    assert_eq!(shop.places("MUG").await, json!([["main", 2, 0], ["berlin", 4, 0]]));
    let actions = json!({ "target": "location berlin" });
    let method = "admin.v1.AdminService/ListOperatorActions";
    let done = shop.ops.call(method, actions).await.unwrap();
    assert_eq!(done["actions"][0]["after"], "priority 1", "{done}");
    shop.close().await;
}

async fn only_operators_set_locations(shop: Shop) {
    let request = json!({ "name": "berlin", "reason": "x" });
    let method = "inventory.v1.InventoryService/SetLocation";
    let refused = shop.service.call(method, request.clone()).await.unwrap_err();
    assert_eq!(refused.reason(), "FORBIDDEN");
    shop.ops.call(method, request).await.unwrap();
    let listed =
        shop.service.call("inventory.v1.InventoryService/ListLocations", json!({})).await.unwrap();
    let names: Vec<&Value> =
        listed["locations"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["main", "berlin"]);
    shop.close().await;
}

on_both!(an_order_ships_from_and_returns_to_locations, only_operators_set_locations);
