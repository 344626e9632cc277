//! Edits of lines, through gRPC and the command line against a whole engine, on both backends. After
//! each test every law must hold.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{Orders as _, Shop, on_both};
use crate::support::{PATIENCE, ordinal};

on_both!(
    units_and_lines_are_added_once_stock_holds_them,
    an_edit_that_stock_lacks_is_refused_and_the_order_stays,
    an_edited_order_ships_and_comes_back_to_the_last_cent,
    units_of_an_edit_that_waits_are_shown_beside_the_orders,
    an_edit_that_gets_no_answer_ends_and_holds_nothing,
    a_cancelled_order_holds_nothing_for_its_edit,
    units_of_an_edit_wait_for_stock_and_ship_when_it_has_come,
    units_that_waited_for_an_edit_are_given_back,
    edits_come_by_the_command_line,
);

async fn confirmed(shop: &Shop, lines: &[(&str, u32)]) -> String {
    for (sku, _) in lines {
        shop.set_stock(sku, 10).await;
    }
    let id = shop.place(lines).await;
    shop.until(&id, "CONFIRMED").await;
    id
}

fn gbp(units: i64) -> Value {
    json!({ "currency_code": "GBP", "units": units, "nanos": 0 })
}

fn edit(id: &str, changes: &[(u32, u32)], added: Value) -> Value {
    let change = |(line, quantity): &(u32, u32)| json!({ "line": line, "quantity": quantity });
    json!({
        "order_id": id, "edit_id": Uuid::now_v7(), "reason": "she called", "lines": added,
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
    })
}

/// Waits until the last edit does not wait any more.
async fn answered(shop: &Shop, id: &str) -> Value {
    let patience = Instant::now() + PATIENCE;
    loop {
        let order = shop.get(id).await;
        let last = order["edits"].as_array().unwrap().last().unwrap().clone();
        if last["state"] != "EDIT_STATE_WAITING" {
            return order;
        }
        assert!(Instant::now() < patience, "{order}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn units_and_lines_are_added_once_stock_holds_them(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2), ("CUP", 3)]).await;
    shop.set_stock("PAN", 4).await;
    let pans = json!([{ "sku": "PAN", "quantity": 4, "unit_price": gbp(7) }]);
    let mut asked = edit(&id, &[(1, 5), (2, 1)], pans);
    asked["expected"] = json!({ "total": gbp(108) });
    let mut dry = asked.clone();
    dry["options"] = json!({ "validate_only": true });
    let would = shop.service.orders("EditOrder", dry).await.unwrap();
    assert_eq!(would["events"][0]["name"], "OrderEditRequested");
    let waits = shop.service.orders("EditOrder", asked.clone()).await.unwrap();
    let edit = &waits["order"]["edits"][0];
    assert_eq!(
        (&edit["state"], &edit["reason"]),
        (&json!("EDIT_STATE_WAITING"), &json!("she called"))
    );
    assert_eq!(waits["order"]["total"], gbp(50));
    let order = answered(&shop, &id).await;
    assert_eq!(order["edits"][0]["state"], "EDIT_STATE_APPLIED");
    assert_eq!((&order["total"], &order["totals"]["goods"]), (&gbp(108), &gbp(108)));
    let lines: Vec<_> = order["lines"].as_array().unwrap().iter().collect();
    let open: Vec<_> = lines.iter().map(|line| line["open"].as_u64().unwrap()).collect();
    assert_eq!(open, [5, 1, 4]);
    assert_eq!(lines[1]["cancelled_total"], gbp(20));
    // The same again is nothing, other content under its id is refused.
    let again = shop.service.orders("EditOrder", asked.clone()).await.unwrap();
    assert!(again["events"].as_array().is_none_or(Vec::is_empty), "{again}");
    asked["reason"] = json!("he called");
    assert_eq!(shop.ops.refused("EditOrder", asked).await, "ALREADY_EXISTS");
    shop.settled().await;
    assert_eq!((shop.stock("MUG").await, shop.stock("CUP").await), ((10, 5), (10, 1)));
    assert_eq!(shop.stock("PAN").await, (4, 4));
    let events = ["OrderPlaced", "OrderConfirmed", "OrderEditRequested", "OrderEdited"];
    assert_eq!(shop.events(&id).await, events);
    assert_eq!(shop.message_kinds(&id).await, ["RECEIVED", "CONFIRMED", "EDITED"]);
    // Placed once more, lists, what it was, and what changed.
    let listed = shop.ops.orders("ListOrders", json!({})).await.unwrap();
    assert_eq!(
        (&listed["orders"][0]["total"], &listed["orders"][0]["units"]),
        (&gbp(108), &json!(12))
    );
    let then = shop.ops.orders("GetOrder", json!({ "order_id": id, "version": 2 })).await.unwrap();
    assert_eq!(then["order"]["total"], gbp(50));
    let diff = json!({ "order_id": id, "from_version": 2, "to_version": 4 });
    let diff = shop.ops.call("orders.v1.JournalService/DiffOrder", diff).await.unwrap().to_string();
    assert!(diff.contains("edits[0]") && diff.contains("lines[3].sku"), "{diff}");
    // Customers see that, and not what the shop says of it.
    let seen = shop.buyer.orders("GetOrder", json!({ "order_id": id })).await.unwrap();
    assert_eq!(seen["order"]["edits"][0]["state"], "EDIT_STATE_APPLIED");
    assert!(!seen.to_string().contains("she called"), "{seen}");
    let own = edit_of(&id);
    assert_eq!(shop.buyer.refused("EditOrder", own).await, "FORBIDDEN");
    shop.close().await;
}

fn edit_of(id: &str) -> Value {
    edit(id, &[(1, 1)], json!([]))
}

async fn an_edit_that_stock_lacks_is_refused_and_the_order_stays(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2)]).await;
    let before = shop.get(&id).await;
    shop.set_stock("PAN", 1).await;
    let pans = json!([
        { "sku": "PAN", "quantity": 2, "unit_price": gbp(7) },
        { "sku": "POT", "quantity": 1, "unit_price": gbp(9) },
    ]);
    shop.ops.orders("EditOrder", edit(&id, &[(1, 1)], pans)).await.unwrap();
    let order = answered(&shop, &id).await;
    assert_eq!(order["edits"][0]["state"], "EDIT_STATE_OUT_OF_STOCK");
    assert_eq!(order["edits"][0]["missing_skus"], json!(["PAN", "POT"]));
    for field in ["lines", "total", "totals", "status"] {
        assert_eq!(order[field], before[field], "{field}");
    }
    shop.settled().await;
    assert_eq!((shop.stock("MUG").await, shop.stock("PAN").await), ((10, 2), (1, 0)));
    // Units fewer need no stock.
    let fewer = shop.ops.orders("EditOrder", edit_of(&id)).await.unwrap();
    assert_eq!(fewer["events"][0]["name"], "OrderEdited");
    assert_eq!(fewer["order"]["lines"][0]["open"], 1);
    let nothing = edit(&id, &[(1, 0)], json!([]));
    assert_eq!(shop.ops.refused("EditOrder", nothing).await, "INVALID_FIELD");
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (10, 1));
    assert_eq!(shop.message_kinds(&id).await, ["RECEIVED", "CONFIRMED", "EDITED"]);
    shop.close().await;
}

async fn an_edited_order_ships_and_comes_back_to_the_last_cent(shop: Shop) {
    shop.set_stock("MUG", 10).await;
    let mut order = shop.order(&[("MUG", 2)]);
    let cents = |nanos: i64| json!({ "currency_code": "GBP", "nanos": nanos * 10_000_000 });
    order["lines"][0]["taxes"] = json!([{ "name": "VAT", "amount": cents(67) }]);
    let placed = shop.service.orders("PlaceOrder", order).await.unwrap();
    let id = placed["order"]["order_id"].as_str().unwrap().to_owned();
    shop.until(&id, "CONFIRMED").await;
    let mut more = edit(&id, &[(1, 5)], json!([]));
    assert_eq!(shop.ops.refused("EditOrder", more.clone()).await, "INVALID_AMOUNT");
    more["changes"][0]["taxes"] = json!([{ "name": "VAT", "amount": cents(34) }]);
    shop.ops.orders("EditOrder", more).await.unwrap();
    let order = answered(&shop, &id).await;
    let total = json!({ "currency_code": "GBP", "units": 51, "nanos": 10_000_000 });
    assert_eq!(order["total"], total);
    shop.service.orders("FulfillOrder", json!({ "order_id": id })).await.unwrap();
    assert_eq!(shop.ops.refused("EditOrder", edit_of(&id)).await, "INVALID_TRANSITION");
    for quantity in [2, 3] {
        let back = json!({
            "order_id": id, "reason": "too big", "return_id": Uuid::now_v7(),
            "lines": [{ "line": 1, "quantity": quantity }],
        });
        shop.buyer.orders("RequestReturn", back).await.unwrap();
        shop.ops.orders("ApproveReturn", json!({ "order_id": id })).await.unwrap();
    }
    let order = shop.until(&id, "RETURNED").await;
    assert_eq!(order["refunded"], total);
    shop.close().await;
}

/// Stock does not read facts while its follower is paused.
async fn stock_sleeps(shop: &Shop, sleeps: bool) {
    pause(shop, "stock", sleeps).await;
}

async fn pause(shop: &Shop, follower: &str, paused: bool) {
    let method = if paused { "PauseFollower" } else { "ResumeFollower" };
    let request = json!({ "follower": follower, "reason": "inventory" });
    shop.ops.call(&format!("admin.v1.AdminService/{method}"), request).await.unwrap();
}

/// Stock has answered, and the order has not read it yet.
async fn units_of_an_edit_that_waits_are_shown_beside_the_orders(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2)]).await;
    pause(&shop, "stock-answers", true).await;
    let asked = edit(&id, &[(1, 5)], json!([]));
    shop.ops.orders("EditOrder", asked.clone()).await.unwrap();
    let method = "inventory.v1.InventoryService/GetReservation";
    let reservation = async || {
        let answer = shop.ops.call(method, json!({ "order_id": id })).await.unwrap();
        answer["reservation"].clone()
    };
    let patience = Instant::now() + PATIENCE;
    let held = loop {
        let found = reservation().await;
        if found["edit"].is_object() {
            break found;
        }
        assert!(Instant::now() < patience, "{found}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let of_edit = &held["edit"];
    assert_eq!((&held["lines"][0]["held"], &of_edit["lines"][0]["held"]), (&json!(2), &json!(3)));
    assert_eq!(of_edit["edit_id"], asked["edit_id"]);
    let shown = ordinal(&["--address", &shop.address, "stock", "reservation", &id]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(asked["edit_id"].as_str().unwrap()), "{shown}");
    pause(&shop, "stock-answers", false).await;
    answered(&shop, &id).await;
    shop.settled().await;
    let held = reservation().await;
    assert_eq!((&held["lines"][0]["held"], held["edit"].is_object()), (&json!(5), false));
    shop.close().await;
}

async fn an_edit_that_gets_no_answer_ends_and_holds_nothing(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2)]).await;
    stock_sleeps(&shop, true).await;
    shop.ops.orders("EditOrder", edit(&id, &[(1, 4)], json!([]))).await.unwrap();
    for (method, request) in [
        ("FulfillOrder", json!({ "order_id": id })),
        ("CancelOrder", json!({ "order_id": id, "lines": [{ "line": 1, "quantity": 1 }] })),
        ("EditOrder", edit_of(&id)),
    ] {
        assert_eq!(shop.ops.refused(method, request).await, "EDIT_PENDING", "{method}");
    }
    shop.advance(Duration::from_secs(16 * 60));
    let order = answered(&shop, &id).await;
    assert_eq!(order["edits"][0]["state"], "EDIT_STATE_EXPIRED");
    stock_sleeps(&shop, false).await;
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (10, 2));
    shop.service.orders("FulfillOrder", json!({ "order_id": id })).await.unwrap();
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (8, 0));
    shop.close().await;
}

async fn a_cancelled_order_holds_nothing_for_its_edit(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2)]).await;
    stock_sleeps(&shop, true).await;
    shop.ops.orders("EditOrder", edit(&id, &[(1, 4)], json!([]))).await.unwrap();
    shop.buyer.orders("CancelOrder", json!({ "order_id": id })).await.unwrap();
    let order = answered(&shop, &id).await;
    assert_eq!(order["edits"][0]["state"], "EDIT_STATE_VOIDED");
    stock_sleeps(&shop, false).await;
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (10, 0));
    shop.close().await;
}

/// What an edit adds and stock does not have waits as what an order adds does, and is given back
/// with it.
async fn units_of_an_edit_wait_for_stock_and_ship_when_it_has_come(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 8), ("CUP", 1)]).await;
    let inventory = async |method: &str, request: Value| {
        shop.ops.call(&format!("inventory.v1.InventoryService/{method}"), request).await.unwrap()
    };
    let rule = json!({ "sku": "MUG", "backorder_limit": 4, "reason": "pre-sale" });
    inventory("SetBackorder", rule).await;
    let waits = |order: &Value| -> Vec<u64> {
        let lines = order["lines"].as_array().unwrap().iter();
        lines.map(|line| line["backordered"].as_u64().unwrap()).collect()
    };
    // Two are there and four may be promised: seven are too many.
    shop.ops.orders("EditOrder", edit(&id, &[(1, 15)], json!([]))).await.unwrap();
    let order = answered(&shop, &id).await;
    assert_eq!(order["edits"][0]["state"], "EDIT_STATE_OUT_OF_STOCK");
    let mugs = json!([{ "sku": "MUG", "quantity": 2, "unit_price": gbp(9) }]);
    shop.ops.orders("EditOrder", edit(&id, &[(1, 11)], mugs)).await.unwrap();
    let order = answered(&shop, &id).await;
    assert_eq!(order["edits"][1]["state"], "EDIT_STATE_APPLIED");
    assert_eq!(waits(&order), [1, 0, 2]);
    let parcel = json!({ "order_id": id, "shipment_id": Uuid::now_v7() });
    assert_eq!(shop.service.refused("FulfillOrder", parcel).await, "BACKORDERED");
    let request = json!({ "order_id": id, "page_size": 10 });
    let events = shop.ops.call("orders.v1.JournalService/ListOrderEvents", request).await.unwrap();
    let named = json!([{ "line": 1, "quantity": 1 }, { "line": 3, "quantity": 2 }]);
    assert_eq!(events["events"][5]["event"]["order_edited"]["backordered"], named);
    shop.settled().await;
    let stock = inventory("GetStock", json!({ "sku": "MUG" })).await["stock"].clone();
    let of = |field: &str| stock[field].as_i64().unwrap();
    assert_eq!([of("on_hand"), of("reserved"), of("backordered")], [10, 13, 3]);
    // A unit that waits is cancelled first; what comes is given to the order.
    let one = json!({ "order_id": id, "reason": "CANCEL_REASON_CUSTOMER_REQUEST",
                      "lines": [{ "line": 3, "quantity": 1 }] });
    assert_eq!(waits(&shop.buyer.orders("CancelOrder", one).await.unwrap()["order"]), [1, 0, 1]);
    shop.settled().await;
    let comes = json!({ "sku": "MUG", "delta": 2, "reason": "delivery",
                        "request_id": Uuid::now_v7() });
    inventory("AdjustStock", comes).await;
    shop.settled().await;
    assert_eq!(waits(&shop.get(&id).await), [0, 0, 0]);
    let mails = shop.message_kinds(&id).await;
    assert_eq!(mails.iter().filter(|kind| *kind == "ALLOCATED").count(), 1, "{mails:?}");
    shop.service.orders("FulfillOrder", json!({ "order_id": id })).await.unwrap();
    shop.until(&id, "FULFILLED").await;
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (0, 0));
    shop.close().await;
}

/// An edit whose answer comes too late, and one whose order is cancelled.
async fn units_that_waited_for_an_edit_are_given_back(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 10)]).await;
    let rule = json!({ "sku": "MUG", "backorder_limit": 4, "reason": "pre-sale" });
    let method = "inventory.v1.InventoryService/SetBackorder";
    shop.ops.call(method, rule).await.unwrap();
    // Stock has answered, and the order reads it after its time is over.
    pause(&shop, "stock-answers", true).await;
    shop.ops.orders("EditOrder", edit(&id, &[(1, 12)], json!([]))).await.unwrap();
    let patience = Instant::now() + PATIENCE;
    while shop.stock("MUG").await != (10, 12) {
        assert!(Instant::now() < patience);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shop.advance(Duration::from_secs(16 * 60));
    let order = answered(&shop, &id).await;
    assert_eq!(order["edits"][0]["state"], "EDIT_STATE_EXPIRED");
    pause(&shop, "stock-answers", false).await;
    shop.settled().await;
    assert_eq!(
        (shop.stock("MUG").await, &shop.get(&id).await["lines"][0]["open"]),
        ((10, 10), &json!(10))
    );
    shop.ops.orders("EditOrder", edit(&id, &[(1, 14)], json!([]))).await.unwrap();
    assert_eq!(answered(&shop, &id).await["lines"][0]["backordered"], 4);
    shop.buyer.orders("CancelOrder", json!({ "order_id": id })).await.unwrap();
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (10, 0));
    shop.close().await;
}

async fn edits_come_by_the_command_line(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2), ("CUP", 1)]).await;
    shop.set_stock("PAN", 4).await;
    let run = |args: &[&str]| {
        let mut all = vec!["--address", shop.address.as_str(), "order"];
        all.extend(args);
        let output = ordinal(&all);
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.success(), text)
    };
    let (ok, text) = run(&[
        "edit",
        &id,
        "--line",
        "1=3",
        "--line",
        "2=0",
        "--add",
        "PAN=1@7.50GBP",
        "--expect-total",
        "47.50GBP",
        "--reason",
        "she called",
    ]);
    assert!(ok && text.contains("appended OrderEditRequested"), "{text}");
    answered(&shop, &id).await;
    let (_, text) = run(&["get", &id]);
    assert!(text.contains("edited") && text.contains("APPLIED"), "{text}");
    let (_, text) = run(&["history", &id]);
    assert!(
        text.contains("line 1: 2 to 3 units, line 2: 1 to 0 units, 1 x PAN in addition"),
        "{text}"
    );
    let file = shop.data().with_file_name("edit.json");
    let content = json!({
        "changes": [{ "line": 3, "quantity": 2, "taxes": [
            { "name": "VAT", "amount": { "currency_code": "GBP", "units": 1 } }] }],
    });
    std::fs::write(&file, content.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let (ok, text) = run(&["edit", &id, "--file", file, "--reason", "and another"]);
    assert!(ok, "{text}");
    let order = answered(&shop, &id).await;
    assert_eq!(order["lines"][2]["open"], 2);
    std::fs::write(file, "[]").unwrap();
    let (ok, text) = run(&["edit", &id, "--file", file, "--reason", "x"]);
    assert!(!ok && text.contains("is not a JSON object"), "{text}");
    shop.close().await;
}
