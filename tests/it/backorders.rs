//! Backorders from end to end: promised beyond the stock, refused to ship, and served when stock comes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{Orders as _, Shop, on_both};
use crate::support::PATIENCE;

impl Shop {
    async fn may_be_backordered(&self, sku: &str, limit: i64) {
        let request = json!({ "sku": sku, "backorder_limit": limit, "reason": "pre-sale" });
        self.inventory("SetBackorder", request).await;
    }

    async fn inventory(&self, method: &str, request: Value) -> Value {
        self.ops.call(&format!("inventory.v1.InventoryService/{method}"), request).await.unwrap()
    }

    /// Waits until these units of each line wait for stock.
    async fn until_waiting(&self, order_id: &str, expected: &[u64]) -> Value {
        let patience = Instant::now() + PATIENCE;
        loop {
            let order = self.get(order_id).await;
            let lines = order["lines"].as_array().unwrap();
            let waits: Vec<_> =
                lines.iter().map(|line| line["backordered"].as_u64().unwrap()).collect();
            if waits == expected {
                return order;
            }
            assert!(Instant::now() < patience, "{waits:?}, not {expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ship(&self, order_id: &str, lines: Value) -> Result<Value, String> {
        let request =
            json!({ "order_id": order_id, "shipment_id": Uuid::now_v7(), "lines": lines });
        let shipped = self.service.orders("FulfillOrder", request).await;
        shipped.map_err(|failure| failure.to_string())
    }
}

async fn a_backordered_order_ships_when_its_stock_has_come(shop: Shop) {
    shop.set_stock("MUG", 3).await;
    shop.set_stock("CUP", 9).await;
    shop.may_be_backordered("MUG", 5).await;
    let first = shop.place(&[("MUG", 5), ("CUP", 1)]).await;
    let order = shop.until(&first, "CONFIRMED").await;
    assert_eq!(
        (&order["lines"][0]["backordered"], &order["lines"][0]["open"]),
        (&json!(2), &json!(5))
    );
    shop.advance(Duration::from_secs(1));
    let second = shop.place(&[("MUG", 3)]).await;
    shop.until(&second, "CONFIRMED").await;
    shop.until_waiting(&second, &[3]).await;
    // One more than may be: all of an order or none.
    let third = shop.place(&[("CUP", 1), ("MUG", 1)]).await;
    let order = shop.until(&third, "CANCELLED").await;
    assert_eq!(order["missing_skus"], json!(["MUG"]));
    let stock = shop.inventory("GetStock", json!({ "sku": "MUG" })).await["stock"].take();
    let shown = ["on_hand", "reserved", "available", "backordered", "backorder_limit"]
        .map(|field| stock[field].as_i64().unwrap());
    assert_eq!(shown, [3, 8, 0, 5, 5]);

    let refused = shop.ship(&first, json!([])).await.unwrap_err();
    assert!(refused.contains("units of line 1 wait for stock"), "{refused}");
    let parcel = json!({ "order_id": second, "shipment_id": Uuid::now_v7() });
    assert_eq!(shop.service.refused("FulfillOrder", parcel).await, "BACKORDERED");
    // What is there ships, and the order stays open.
    let units = json!([{ "line": 1, "quantity": 3 }, { "line": 2, "quantity": 1 }]);
    let shipped = shop.ship(&first, units).await.unwrap();
    assert_eq!(shipped["order"]["status"], "ORDER_STATUS_CONFIRMED");

    // Three come: two for the first, one for the second.
    shop.settled().await;
    let adjusted = json!({ "sku": "MUG", "delta": 3, "reason": "delivery",
                           "request_id": Uuid::now_v7() });
    let answer = shop.inventory("AdjustStock", adjusted).await;
    assert_eq!(answer["stock"]["backordered"], 2);
    shop.until_waiting(&first, &[0, 0]).await;
    shop.until_waiting(&second, &[2]).await;
    shop.ship(&first, json!([])).await.unwrap();
    let order = shop.until(&first, "FULFILLED").await;
    assert_eq!(order["lines"][0]["fulfilled"], 5);
    let events = shop.events(&first).await;
    let expected =
        ["OrderPlaced", "OrderConfirmed", "LinesFulfilled", "LinesAllocated", "OrderFulfilled"];
    assert_eq!(events, expected);

    // Units that wait are cancelled first.
    let cancel = json!({ "order_id": second, "reason": "CANCEL_REASON_CUSTOMER_REQUEST",
                         "lines": [{ "line": 1, "quantity": 2 }] });
    let order = shop.buyer.orders("CancelOrder", cancel).await.unwrap();
    assert_eq!(order["order"]["lines"][0]["backordered"], 0);
    shop.ship(&second, json!([])).await.unwrap();
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (0, 0));
    shop.close().await;
}

async fn what_waits_is_in_diffs_and_in_the_order_of_then(shop: Shop) {
    shop.may_be_backordered("MUG", 5).await;
    let order = shop.place(&[("MUG", 4)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.inventory("SetStock", json!({ "sku": "MUG", "on_hand": 3 })).await;
    shop.until_waiting(&order, &[1]).await;
    let then = json!({ "order_id": order, "version": 2 });
    let then = shop.ops.orders("GetOrder", then).await.unwrap();
    assert_eq!(then["order"]["lines"][0]["backordered"], 4);
    let request = json!({ "order_id": order, "from_version": 2, "to_version": 3 });
    let diff = shop.ops.call("orders.v1.JournalService/DiffOrder", request).await.unwrap();
    let change = json!({ "path": "lines[1].backordered", "before": "4", "after": "1" });
    assert!(diff["changes"].as_array().unwrap().contains(&change), "{diff}");
    let request = json!({ "order_id": order, "page_size": 10 });
    let events = shop.ops.call("orders.v1.JournalService/ListOrderEvents", request).await.unwrap();
    assert_eq!(shop.message_kinds(&order).await, ["RECEIVED", "CONFIRMED", "ALLOCATED"]);
    let lines = json!([{ "line": 1, "quantity": 3 }]);
    assert_eq!(events["events"][2]["event"]["lines_allocated"]["lines"], lines);
    let all = json!([{ "line": 1, "quantity": 4 }]);
    assert_eq!(events["events"][1]["event"]["order_confirmed"]["backordered"], all);
    // Cancelled while it waits, it leaves nothing behind.
    let cancel = json!({ "order_id": order, "reason": "CANCEL_REASON_CUSTOMER_REQUEST" });
    shop.buyer.orders("CancelOrder", cancel).await.unwrap();
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (3, 0));
    shop.close().await;
}

async fn only_operators_allow_backorders(shop: Shop) {
    let request = json!({ "sku": "MUG", "backorder_limit": 5, "reason": "x" });
    let method = "inventory.v1.InventoryService/SetBackorder";
    let refused = shop.service.call(method, request.clone()).await.unwrap_err();
    assert_eq!(refused.reason(), "FORBIDDEN");
    shop.ops.call(method, request).await.unwrap();
    let actions = json!({ "target": "MUG" });
    let method = "admin.v1.AdminService/ListOperatorActions";
    let done = shop.ops.call(method, actions).await.unwrap();
    assert_eq!(done["actions"][0]["after"], "5 may be backordered", "{done}");
    shop.close().await;
}

/// An order that is not confirmed in time gives back what it was promised.
async fn an_order_that_lapses_waits_no_more(mut shop: Shop) {
    shop.may_be_backordered("MUG", 2).await;
    shop.restart(|settings| settings.stock_follower = false).await;
    let lapses = shop.place(&[("MUG", 2)]).await;
    shop.advance(Duration::from_secs(20 * 60));
    shop.until(&lapses, "CANCELLED").await;
    shop.restart(|_| ()).await;
    let order = shop.place(&[("MUG", 2)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.until_waiting(&order, &[2]).await;
    assert_eq!(shop.stock("MUG").await, (0, 2));
    shop.close().await;
}

on_both!(
    a_backordered_order_ships_when_its_stock_has_come,
    what_waits_is_in_diffs_and_in_the_order_of_then,
    only_operators_allow_backorders,
    an_order_that_lapses_waits_no_more,
);
