//! Orders with a payment plan, through gRPC, HTTP and the command line against a whole engine, on both
//! backends. No payments answer here: what they do is tested with the orders' inbox. After each test
//! every law must hold.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::Http;
use crate::shop::{Orders as _, Shop, on_both};
use crate::support::ordinal;

on_both!(
    an_order_with_a_plan_holds_stock_and_waits_for_its_money,
    placing_by_http_is_accepted_while_money_is_awaited,
    an_order_whose_money_does_not_come_is_cancelled,
    a_cancelled_order_says_what_it_has_to_give_back,
    a_plan_that_cannot_be_followed_is_refused_by_field,
    plans_come_by_the_command_line,
);

fn with_plan(shop: &Shop, lines: &[(&str, u32)]) -> Value {
    let mut order = shop.order(lines);
    order["payment"] = json!({ "psp": "stripe", "fee_bps": 250 });
    order
}

/// Placed with a plan; stock is held.
async fn held(shop: &Shop) -> String {
    shop.set_stock("MUG", 10).await;
    let placed = shop.service.orders("PlaceOrder", with_plan(shop, &[("MUG", 2)])).await.unwrap();
    assert_eq!(placed["order"]["status"], "ORDER_STATUS_PENDING");
    assert_eq!(placed["order"]["payment"]["status"], "PAYMENT_STATUS_AWAITED");
    shop.settled().await;
    placed["order"]["order_id"].as_str().unwrap().to_owned()
}

fn gbp(units: i64) -> Value {
    json!({ "currency_code": "GBP", "units": units, "nanos": 0 })
}

async fn an_order_with_a_plan_holds_stock_and_waits_for_its_money(shop: Shop) {
    let plain = shop.place(&[("MUG", 1)]).await;
    shop.settled().await;
    let id = held(&shop).await;
    assert_eq!(shop.events(&id).await, ["OrderPlaced", "StockHeld"]);
    assert_eq!(shop.stock("MUG").await, (10, 2));
    let order = shop.get(&id).await;
    let payment = &order["payment"];
    assert_eq!(order["status"], "ORDER_STATUS_PENDING");
    assert_eq!(payment["plan"]["psp"], "stripe");
    assert_eq!(payment["parts"][0]["requested"], gbp(20));
    assert!(payment["pay_by"].is_string(), "{payment}");
    // Fees are for the shop.
    let seen = shop.buyer.orders("GetOrder", json!({ "order_id": id })).await.unwrap();
    assert_eq!(payment["plan"]["fee_bps"], 250);
    assert_eq!(seen["order"]["payment"]["plan"]["fee_bps"], 0);
    // Lists by state of money; orders without a plan are in none of these.
    let listed = |states: Value| {
        let filter = json!({ "filter": { "payment": states } });
        async { shop.ops.orders("ListOrders", filter).await.unwrap()["orders"].take() }
    };
    let awaited = listed(json!(["PAYMENT_STATUS_AWAITED", "PAYMENT_STATUS_LOST"])).await;
    assert_eq!(awaited.as_array().unwrap().len(), 1);
    assert_eq!(awaited[0]["order_id"], json!(id));
    assert_eq!(awaited[0]["payment"], "PAYMENT_STATUS_AWAITED");
    for states in [json!(["PAYMENT_STATUS_SECURED"]), json!(["PAYMENT_STATUS_NOT_REQUIRED"])] {
        let none = listed(states).await;
        assert!(none.as_array().is_none_or(Vec::is_empty), "{none}");
    }
    let all = listed(json!([])).await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert!(shop.get(&plain).await["payment"].is_null());
    // As of then, and what changed.
    let then = json!({ "order_id": id, "version": 1 });
    let then = shop.ops.orders("GetOrder", then).await.unwrap();
    assert!(then["order"]["payment"]["pay_by"].is_null(), "{then}");
    let diff = json!({ "order_id": id, "from_version": 1, "to_version": 2 });
    let diff = shop.ops.call("orders.v1.JournalService/DiffOrder", diff).await.unwrap();
    let paths: Vec<&str> = diff["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|change| change["path"].as_str())
        .collect();
    assert!(paths.contains(&"payment.pay_by"), "{diff}");
    // Nothing ships, and the same again is the same order.
    assert_eq!(
        shop.ops.refused("FulfillOrder", json!({ "order_id": id })).await,
        "INVALID_TRANSITION"
    );
    let mut again = with_plan(&shop, &[("MUG", 2)]);
    again["order_id"] = json!(id);
    let same = shop.service.orders("PlaceOrder", again.clone()).await.unwrap();
    assert!(same["events"].as_array().is_none_or(Vec::is_empty), "{same}");
    again["payment"]["psp"] = json!("wallet");
    assert_eq!(shop.service.refused("PlaceOrder", again).await, "ALREADY_EXISTS");
    shop.close().await;
}

async fn placing_by_http_is_accepted_while_money_is_awaited(shop: Shop) {
    shop.set_stock("MUG", 10).await;
    let mut http = Http::connect(&shop.address).await;
    let by = [("ordinal-role", "service"), ("ordinal-subject", "checkout")];
    let keyed = [&by[..], &[("idempotency-key", "cart-17")]].concat();
    let order = with_plan(&shop, &[("MUG", 2)]);
    let id = order["order_id"].as_str().unwrap().to_owned();
    let place = format!("/v1/orders/{id}");
    let dry = http.json("POST /v1/orders?validate_only=true", &by, &order).await;
    assert_eq!((dry.status, dry.headers.contains_key("location")), (200, false), "{dry:?}");
    // Also where it is sent again: its money is still awaited.
    for _ in 0..2 {
        let placed = http.json("POST /v1/orders", &keyed, &order).await;
        assert_eq!(placed.status, 202, "{placed:?}");
        assert_eq!(placed.headers["location"], place);
        assert_eq!(placed.json()["order"]["payment"]["status"], "PAYMENT_STATUS_AWAITED");
    }
    let read = http.call(&format!("GET {place}"), &by).await;
    assert_eq!(read.status, 200, "{read:?}");
    // Nothing waits for money where there is no plan, or nothing to pay.
    let plain = http.json("POST /v1/orders", &by, &shop.order(&[("MUG", 1)])).await;
    assert_eq!(plain.status, 201, "{plain:?}");
    let mut free = with_plan(&shop, &[("MUG", 1)]);
    free["lines"][0]["unit_price"]["units"] = json!(0);
    let free = http.json("POST /v1/orders", &by, &free).await;
    assert_eq!(free.status, 201, "{free:?}");
    assert_eq!(free.json()["order"]["payment"]["status"], "PAYMENT_STATUS_NOT_REQUIRED");
    // A cancelled order is not placed any more.
    let ops = [("ordinal-role", "ops"), ("ordinal-subject", "anna")];
    let cancelled = http.json(&format!("POST {place}:cancel"), &ops, &json!({})).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    let again = http.json("POST /v1/orders", &keyed, &order).await;
    assert_eq!((again.status, again.headers.contains_key("location")), (200, false), "{again:?}");
    shop.close().await;
}

async fn an_order_whose_money_does_not_come_is_cancelled(mut shop: Shop) {
    shop.restart(|settings| settings.policy.pay_within = Duration::from_secs(60)).await;
    let id = held(&shop).await;
    shop.advance(Duration::from_secs(61));
    let order = shop.until(&id, "CANCELLED").await;
    assert_eq!(order["cancel_reason"], "CANCEL_REASON_SLA_TIMEOUT");
    // It may be done by the time that the order is read.
    let compensation = order["payment"]["compensation"].as_str().unwrap();
    assert!(["COMPENSATION_RUNNING", "COMPENSATION_DONE"].contains(&compensation), "{order}");
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (10, 0));
    assert_eq!(shop.message_kinds(&id).await, ["RECEIVED", "EXPIRED"]);
    shop.close().await;
}

async fn a_cancelled_order_says_what_it_has_to_give_back(shop: Shop) {
    let id = held(&shop).await;
    let cancel = json!({ "order_id": id });
    let cancelled = shop.buyer.orders("CancelOrder", cancel).await.unwrap();
    let payment = &cancelled["order"]["payment"];
    assert_eq!(payment["compensation"], "COMPENSATION_RUNNING");
    assert_eq!(
        (&payment["stock_is_held"], &payment["money_is_held"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(payment["parts"][0]["cancelled"], gbp(20));
    shop.close().await;
}

async fn a_plan_that_cannot_be_followed_is_refused_by_field(shop: Shop) {
    let refused = |change: fn(&mut Value)| {
        let mut order = with_plan(&shop, &[("MUG", 2)]);
        change(&mut order);
        async { shop.service.refused("PlaceOrder", order).await }
    };
    let wrong = "INVALID_PAYMENT";
    assert_eq!(refused(|order| order["payment"]["psp"] = json!("Stripe!")).await, wrong);
    assert_eq!(refused(|order| order["payment"]["fee_bps"] = json!(10_001)).await, wrong);
    let captured = |order: &mut Value| order["payment"]["ship_when"] = json!("SHIP_WHEN_CAPTURED");
    assert_eq!(refused(captured).await, wrong);
    let stranger = |order: &mut Value| {
        let seller_id = "0190a0b0-0000-7000-8000-000000000001";
        order["payment"]["fees"] = json!([{ "seller_id": seller_id, "fee_bps": 1 }]);
    };
    assert_eq!(refused(stranger).await, wrong);
    let own = with_plan(&shop, &[("MUG", 2)]);
    assert_eq!(shop.buyer.refused("PlaceOrder", own).await, "FORBIDDEN");
    let listed = shop.ops.orders("ListOrders", json!({})).await.unwrap();
    assert!(listed["orders"].as_array().is_none_or(Vec::is_empty), "{listed}");
    shop.close().await;
}

async fn plans_come_by_the_command_line(shop: Shop) {
    shop.set_stock("MUG", 10).await;
    let run = |words: &str| {
        let mut all = vec!["--address", shop.address.as_str()];
        all.extend(words.split(' '));
        let output = ordinal(&all);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (said, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let customer = shop.customer;
    let place = format!(
        "order place --customer {customer} --line MUG=2@10GBP --street High --city London \
         --postal-code N1 --country GB --payment stripe,capture=ON_CONFIRM,fee=250"
    );
    let (placed, error) = run(&place);
    assert!(placed.contains("AWAITED, stripe"), "{placed}{error}");
    shop.settled().await;
    let (listed, error) = run("--json order list --payment awaited");
    let listed: Value = serde_json::from_str(&listed).expect(&error);
    let id = listed["orders"][0]["order_id"].as_str().unwrap().to_owned();
    let (shown, _) = run(&format!("order get {id}"));
    assert!(shown.contains("pay by") && shown.contains("the shop"), "{shown}");
    let (history, _) = run(&format!("order history {id}"));
    assert!(history.contains("StockHeld"), "{history}");
    let (_, error) = run("order list --payment soon");
    assert!(error.contains("AWAITED"), "{error}");
    shop.close().await;
}
