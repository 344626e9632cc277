//! Answers about what is not complete yet.

use serde_json::json;

use super::{Process, post, with};

#[tokio::test]
async fn what_is_waited_for_is_accepted_with_its_place() {
    let answered = |status: &str, money: &str, replayed: bool| {
        let payment = json!({ "status": format!("PAYMENT_STATUS_{money}") });
        let order = json!({ "order_id": "o", "status": status, "payment": payment });
        Process::new(&[json!({ "order": order, "replayed": replayed })])
    };
    for (status, money, replayed, expected) in [
        ("ORDER_STATUS_PENDING", "AWAITED", false, 202),
        ("ORDER_STATUS_PENDING", "AWAITED", true, 202),
        ("ORDER_STATUS_PENDING", "NOT_REQUIRED", false, 201),
        ("ORDER_STATUS_CONFIRMED", "SECURED", false, 201),
        ("ORDER_STATUS_CONFIRMED", "SECURED", true, 200),
        // Its money may still be waited for, but nobody confirms it any more.
        ("ORDER_STATUS_CANCELLED", "AWAITED", true, 200),
    ] {
        let process = answered(status, money, replayed);
        let (found, headers, _) = process.json(with(post("/v1/orders"), "{}")).await;
        assert_eq!(found, expected, "{status} {money} {replayed}");
        assert_eq!(headers.contains_key("location"), expected != 200, "{status} {money}");
        assert_eq!(headers.contains_key("ordinal-replayed"), replayed, "{status} {money}");
    }
    let process = answered("ORDER_STATUS_PENDING", "AWAITED", false);
    let dry = with(post("/v1/orders?validate_only=true"), "{}");
    let (status, headers, _) = process.json(dry).await;
    assert_eq!((status, headers.get("location")), (200, None));
    // Only of the call that says so, and only by the routes.
    assert_eq!(process.json(with(post("/v1/orders/o/notes"), "{}")).await.0, 201);
    let connect = post("/ordinal.orders.v1.OrderService/PlaceOrder");
    assert_eq!(process.json(with(connect, "{}")).await.0, 200);
}
