//! What there is and what waits: by gRPC, REST and the command line, on both databases.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::Http;
use crate::shop::{Orders as _, Shop, on_both};
use crate::support::ordinal;

on_both!(an_overview_says_what_there_is_and_what_waits);

async fn overview(shop: &Shop) -> Value {
    shop.ops.call("admin.v1.AdminService/GetOverview", json!({})).await.unwrap()
}

/// The orders that there are, by status.
fn by_status(overview: &Value) -> BTreeMap<&str, u64> {
    let orders = overview["orders"].as_array().unwrap().iter();
    let number = |one: &Value| one["count"]["number"].as_u64().unwrap();
    orders.map(|one| (one["status"].as_str().unwrap(), number(one))).collect()
}

async fn shipped(shop: &Shop) -> String {
    shop.set_stock("MUG", 10).await;
    let order = shop.place(&[("MUG", 2)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    order
}

async fn an_overview_says_what_there_is_and_what_waits(shop: Shop) {
    let empty = overview(&shop).await;
    let statuses = by_status(&empty);
    assert!(statuses.len() == 6 && statuses.values().all(|number| *number == 0), "{empty}");
    assert_eq!(empty["returns"].as_array().unwrap().len(), 2, "{empty}");
    assert_eq!(empty["returns"][0]["oldest_requested_at"], Value::Null);
    assert_eq!((&empty["held"]["number"], &empty["held"]["or_more"]), (&json!(0), &json!(false)));

    let (first, second) = (shipped(&shop).await, shipped(&shop).await);
    for order in [&first, &second] {
        let (id, lines) = (Uuid::now_v7(), json!([{ "line": 1, "quantity": 1 }]));
        let ask = json!({ "order_id": order, "return_id": id, "lines": lines, "reason": "odd" });
        shop.buyer.orders("RequestReturn", ask).await.unwrap();
    }
    let approve = json!({ "order_id": first, "receive_later": true });
    shop.ops.orders("ApproveReturn", approve).await.unwrap();
    let held = shop.place(&[("MUG", 1)]).await;
    shop.until(&held, "CONFIRMED").await;
    let hold = json!({ "order_id": held, "kind": "HOLD_KIND_FRAUD", "reason": "looks odd" });
    shop.ops.orders("HoldOrder", hold).await.unwrap();
    let none = shop.place(&[("NOTHING", 1)]).await;
    shop.until(&none, "CANCELLED").await;
    shop.settled().await;
    let now = overview(&shop).await;
    let expected = [
        ("PENDING", 0),
        ("CONFIRMED", 1),
        ("FULFILLED", 0),
        ("RETURN_REQUESTED", 2),
        ("RETURNED", 0),
        ("CANCELLED", 1),
    ];
    assert_eq!(by_status(&now), expected.into_iter().collect());
    let listed = shop.ops.orders("ListReturns", json!({})).await.unwrap();
    for (state, known) in [("REQUESTED", &now["returns"][0]), ("APPROVED", &now["returns"][1])] {
        let waits = listed["returns"].as_array().unwrap().iter();
        let mut waits = waits.filter(|one| one["state"] == format!("RETURN_STATE_{state}"));
        assert_eq!(known["state"], state);
        assert_eq!(known["count"]["number"], 1, "{now}");
        assert_eq!(known["oldest_requested_at"], waits.next().unwrap()["requested_at"]);
    }
    assert_eq!((&now["held"]["number"], &now["quarantined"]["number"]), (&json!(1), &json!(0)));
    assert_eq!(now["away"], json!([]));
    let followers = now["followers"].as_array().unwrap();
    let level = |one: &Value| one["lag"] == 0 && one["head_known"] == true;
    assert!(followers.iter().all(|one| level(one) && one["dead_letters"] == 0), "{now}");
    assert!(followers.iter().any(|one| one["name"] == "order-returns"), "{now}");

    let pause = json!({ "follower": "stock", "reason": "counting" });
    shop.ops.call("admin.v1.AdminService/PauseFollower", pause).await.unwrap();
    let mut http = Http::connect(&shop.address).await;
    let answer = http.call("GET /v1/overview", &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let stock = told["followers"].as_array().unwrap().iter().find(|one| one["name"] == "stock");
    assert_eq!(stock.unwrap()["paused"], "counting", "{told}");
    let shown = ordinal(&["--address", &shop.address, "overview"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for text in [
        "1 CONFIRMED, 2 RETURN_REQUESTED, 1 CANCELLED",
        "returns to judge:   1, the first of ",
        "held orders:        1",
        "dead letters:       0",
        "stock: paused: counting",
    ] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    let resume = json!({ "follower": "stock" });
    shop.ops.call("admin.v1.AdminService/ResumeFollower", resume).await.unwrap();
    shop.close().await;
}
