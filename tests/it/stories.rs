//! Stories of an order's life, each through gRPC against a complete engine, on both backends. After
//! each of them every law must hold.

use std::time::Duration;

use futures::future::join_all;
use notification::Mail;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shop::{Orders as _, Shop, on_both};
use crate::smtp::{SmtpServer, url as smtp};
use crate::support::{PATIENCE, free_port};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);

on_both!(
    placed_reserved_confirmed_fulfilled,
    one_line_out_of_stock_leaves_the_others_untouched,
    engine_down_when_the_window_passed,
    confirm_and_lapse_in_the_same_instant,
    cancelled_before_stock_heard_of_it,
    the_same_order_a_hundred_times_at_once,
    returned_until_the_window_ends,
    two_parcels_and_everything_between,
    a_thousand_buyers_of_the_last_unit,
    read_models_built_again,
    nobody_judges_a_return,
    mail_is_unavailable_for_an_hour,
);

fn count(kinds: &[String], kind: &str) -> usize {
    kinds.iter().filter(|known| *known == kind).count()
}

async fn placed_reserved_confirmed_fulfilled(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    let order = shop.place(&[("MUG", 2)]).await;
    shop.until(&order, "CONFIRMED").await;
    assert_eq!(shop.stock("MUG").await, (5, 2));
    shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    shop.settled().await;
    assert_eq!(shop.events(&order).await, ["OrderPlaced", "OrderConfirmed", "OrderFulfilled"]);
    assert_eq!(shop.stock("MUG").await, (3, 0));
    assert_eq!(shop.message_kinds(&order).await, ["RECEIVED", "CONFIRMED", "SHIPPED"]);
    shop.close().await;
}

async fn one_line_out_of_stock_leaves_the_others_untouched(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    shop.set_stock("TEAPOT", 1).await;
    let order = shop.place(&[("MUG", 2), ("TEAPOT", 2)]).await;
    let cancelled = shop.until(&order, "CANCELLED").await;
    assert_eq!(cancelled["cancel_reason"], "CANCEL_REASON_INSUFFICIENT_STOCK");
    assert_eq!(cancelled["missing_skus"], json!(["TEAPOT"]));
    assert_eq!(shop.message_kinds(&order).await, ["RECEIVED", "OUT_OF_STOCK"]);
    assert_eq!(shop.stock("MUG").await, (5, 0));
    assert_eq!(shop.stock("TEAPOT").await, (1, 0));
    shop.close().await;
}

async fn engine_down_when_the_window_passed(mut shop: Shop) {
    shop.set_stock("MUG", 5).await;
    shop.restart(|settings| settings.stock_follower = false).await;
    let order = shop.place(&[("MUG", 2)]).await;
    shop.advance(Duration::from_secs(1));
    shop.stop().await;
    shop.advance(20 * MINUTE);
    shop.start(|settings| settings.stock_follower = false).await;
    let cancelled = shop.until(&order, "CANCELLED").await;
    assert_eq!(cancelled["cancel_reason"], "CANCEL_REASON_SLA_TIMEOUT");
    assert_eq!(shop.events(&order).await, ["OrderPlaced", "OrderCancelled"]);
    // Stock reads both facts only now, and reserves nothing.
    shop.restart(|_| ()).await;
    assert_eq!(shop.message_kinds(&order).await, ["RECEIVED", "EXPIRED"]);
    assert_eq!(shop.stock("MUG").await, (5, 0));
    shop.close().await;
}

async fn confirm_and_lapse_in_the_same_instant(mut shop: Shop) {
    shop.set_stock("MUG", 100).await;
    shop.restart(|settings| settings.stock_follower = false).await;
    let mut orders = Vec::new();
    for _ in 0..20 {
        orders.push(shop.place(&[("MUG", 1)]).await);
    }
    shop.stop().await;
    shop.advance(15 * MINUTE);
    // The alarm and stock's answers start together.
    shop.start(|_| ()).await;
    shop.settled().await;
    let mut confirmed = 0;
    for order in &orders {
        let events = shop.events(order).await;
        let ends = count(&events, "OrderConfirmed") + count(&events, "OrderCancelled");
        assert_eq!(ends, 1, "{events:?}");
        confirmed += i64::try_from(count(&events, "OrderConfirmed")).unwrap();
    }
    assert_eq!(shop.stock("MUG").await, (100, confirmed));
    shop.close().await;
}

async fn cancelled_before_stock_heard_of_it(mut shop: Shop) {
    shop.set_stock("MUG", 5).await;
    shop.restart(|settings| settings.stock_follower = false).await;
    let order = shop.place(&[("MUG", 2)]).await;
    let cancel = json!({ "order_id": order, "reason": "CANCEL_REASON_CUSTOMER_REQUEST" });
    shop.buyer.orders("CancelOrder", cancel.clone()).await.unwrap();
    // Repeating it is no error and changes nothing.
    let again = shop.buyer.orders("CancelOrder", cancel).await.unwrap();
    assert_eq!(again["events"], json!([]));
    shop.restart(|_| ()).await;
    assert_eq!(shop.message_kinds(&order).await, ["RECEIVED", "CANCELLED"]);
    assert_eq!(shop.stock("MUG").await, (5, 0));
    shop.close().await;
}

async fn the_same_order_a_hundred_times_at_once(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    let request = shop.order(&[("MUG", 2)]);
    let calls = (0..100).map(|_| shop.buyer.orders("PlaceOrder", request.clone()));
    let answers: Vec<Value> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let first = &answers[0]["order"];
    for answer in &answers {
        for field in ["order_id", "total", "placed_at", "contact"] {
            assert_eq!(answer["order"][field], first[field]);
        }
    }
    let order = first["order_id"].as_str().unwrap();
    shop.until(order, "CONFIRMED").await;
    shop.settled().await;
    assert_eq!(shop.events(order).await, ["OrderPlaced", "OrderConfirmed"]);
    assert_eq!(shop.stock("MUG").await, (5, 2));
    shop.close().await;
}

async fn returned_until_the_window_ends(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    let order = shop.place(&[("MUG", 2)]).await;
    let late = shop.place(&[("MUG", 1)]).await;
    for order in [&order, &late] {
        shop.until(order, "CONFIRMED").await;
        shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    }
    let ask = |order: &str, reason: &str| json!({ "order_id": order, "lines": [{ "line": 1, "quantity": 1 }], "reason": reason });
    shop.advance(30 * DAY - Duration::from_micros(1));
    shop.buyer.orders("RequestReturn", ask(&order, "chipped")).await.unwrap();
    shop.ops
        .orders("RejectReturn", json!({ "order_id": order, "reason": "no photo" }))
        .await
        .unwrap();
    shop.buyer.orders("RequestReturn", ask(&order, "with photo")).await.unwrap();
    shop.advance(Duration::from_micros(1));
    assert_eq!(
        shop.buyer.refused("RequestReturn", ask(&late, "late")).await,
        "RETURN_WINDOW_EXPIRED"
    );
    let approved = shop.ops.orders("ApproveReturn", json!({ "order_id": order })).await.unwrap();
    assert_eq!(approved["order"]["refunded"]["units"], 10);
    shop.settled().await;
    // Three remained, one came back.
    assert_eq!(shop.stock("MUG").await, (3, 0));
    let kinds = shop.message_kinds(&order).await;
    assert_eq!(count(&kinds, "REFUND"), 1, "{kinds:?}");
    assert_eq!(count(&kinds, "RETURN_REFUSED"), 1, "{kinds:?}");
    shop.close().await;
}

async fn two_parcels_and_everything_between(shop: Shop) {
    shop.set_stock("MUG", 10).await;
    shop.set_stock("PLATE", 10).await;
    let order = shop.place(&[("MUG", 4), ("PLATE", 3)]).await;
    shop.until(&order, "CONFIRMED").await;
    let lines = |line: u32, quantity: u32| json!([{ "line": line, "quantity": quantity }]);
    let parcel = json!({ "order_id": order, "lines": lines(1, 3), "tracking": "A1" });
    let shipped = shop.service.orders("FulfillOrder", parcel).await.unwrap();
    assert_eq!(shipped["order"]["status"], "ORDER_STATUS_CONFIRMED");
    let cancel = json!({
        "order_id": order, "reason": "CANCEL_REASON_CUSTOMER_REQUEST", "lines": lines(1, 1),
    });
    shop.buyer.orders("CancelOrder", cancel).await.unwrap();
    let shipped = shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    assert_eq!(shipped["order"]["status"], "ORDER_STATUS_FULFILLED");
    let ask = json!({ "order_id": order, "lines": lines(2, 1), "reason": "damaged" });
    shop.buyer.orders("RequestReturn", ask).await.unwrap();
    let write_off = json!([{ "line": 2, "disposition": "DISPOSITION_WRITE_OFF" }]);
    let judge = json!({ "order_id": order, "dispositions": write_off });
    let judged = shop.ops.orders("ApproveReturn", judge).await.unwrap()["order"].take();
    assert_eq!(judged["status"], "ORDER_STATUS_FULFILLED");
    assert_eq!(judged["refunded"]["units"], 10);
    let [mug, plate] = [&judged["lines"][0], &judged["lines"][1]];
    assert_eq!(
        (&mug["fulfilled"], &mug["cancelled"], &mug["open"]),
        (&json!(3), &json!(1), &json!(0))
    );
    assert_eq!((&plate["fulfilled"], &plate["returned"]), (&json!(3), &json!(1)));
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (7, 0));
    assert_eq!(shop.stock("PLATE").await, (7, 0));
    let expected = [
        "RECEIVED",
        "CONFIRMED",
        "PARCEL_SHIPPED",
        "LINES_CANCELLED",
        "SHIPPED",
        "RETURN_RECEIVED",
        "REFUND",
    ];
    assert_eq!(shop.message_kinds(&order).await, expected);
    shop.close().await;
}

async fn a_thousand_buyers_of_the_last_unit(shop: Shop) {
    shop.set_stock("MUG", 1).await;
    let requests: Vec<Value> = (0..1_000).map(|_| shop.order(&[("MUG", 1)])).collect();
    let calls = requests.iter().map(|request| async {
        // As many as a connection may have under way; the rest wait for a place.
        shop.buyer.orders("PlaceOrder", request.clone()).await.unwrap();
    });
    futures::StreamExt::for_each(
        futures::StreamExt::buffer_unordered(futures::stream::iter(calls), 64),
        |()| async {},
    )
    .await;
    shop.settled().await;
    let listed = |status: &str| {
        let filter = json!({ "statuses": [format!("ORDER_STATUS_{status}")] });
        shop.ops.orders("ListOrders", json!({ "filter": filter, "page_size": 100 }))
    };
    assert_eq!(listed("CONFIRMED").await.unwrap()["orders"].as_array().unwrap().len(), 1);
    assert_eq!(listed("PENDING").await.unwrap()["orders"], json!([]));
    assert_eq!(shop.stock("MUG").await, (1, 1));
    shop.close().await;
}

async fn read_models_built_again(shop: Shop) {
    shop.set_stock("MUG", 3).await;
    for units in 1..=4 {
        shop.place(&[("MUG", units)]).await;
    }
    shop.settled().await;
    let list = || shop.ops.orders("ListOrders", json!({}));
    let live = list().await.unwrap();
    assert_eq!(live["orders"].as_array().unwrap().len(), 4);
    for name in ["order-summaries", "order-returns", "order-identifiers", "deadlines"] {
        let request = json!({ "name": name });
        shop.ops.call("admin.v1.AdminService/RebuildReadModel", request).await.unwrap();
    }
    assert_eq!(list().await.unwrap(), live);
    shop.close().await;
}

async fn nobody_judges_a_return(shop: Shop) {
    shop.set_stock("MUG", 3).await;
    let order = shop.place(&[("MUG", 1)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    let ask = json!({
        "order_id": order, "lines": [{ "line": 1, "quantity": 1 }], "reason": "too small",
    });
    shop.buyer.orders("RequestReturn", ask).await.unwrap();
    shop.settled().await;
    shop.advance(3 * DAY - Duration::from_secs(1));
    shop.settled().await;
    assert_eq!(count(&shop.message_kinds(&order).await, "RETURN_OVERDUE"), 0);
    shop.advance(Duration::from_secs(1));
    let patience = tokio::time::Instant::now() + PATIENCE;
    while count(&shop.events(&order).await, "ReturnEscalated") == 0 {
        assert!(tokio::time::Instant::now() < patience, "operators were not reminded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shop.advance(30 * DAY);
    shop.settled().await;
    assert_eq!(count(&shop.message_kinds(&order).await, "RETURN_OVERDUE"), 1);
    assert_eq!(shop.get(&order).await["status"], "ORDER_STATUS_RETURN_REQUESTED");
    shop.close().await;
}

async fn mail_is_unavailable_for_an_hour(mut shop: Shop) {
    let port = free_port();
    shop.restart(|settings| settings.notifications.mail = Mail::Smtp(smtp(port))).await;
    shop.set_stock("MUG", 5).await;
    let order = shop.place(&[("MUG", 2)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    let all = |state: &'static str| {
        let (shop, order) = (&shop, order.clone());
        async move {
            let patience = tokio::time::Instant::now() + PATIENCE;
            loop {
                let states = shop.states(&order).await;
                if states.len() == 3 && states.iter().all(|known| known == state) {
                    return;
                }
                assert!(tokio::time::Instant::now() < patience, "{states:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    all("NOTIFICATION_STATE_RETRY_AT").await;
    shop.advance(60 * MINUTE);
    let mails = TempDir::new().unwrap();
    let server = SmtpServer::start(port, &mails.path().join("box")).await;
    // Whatever was tried in between, each is due again within ten minutes; one that was being tried
    // while the clock moved, ten minutes after that.
    let mut delivered = Box::pin(all("NOTIFICATION_STATE_DELIVERED"));
    loop {
        shop.advance(11 * MINUTE);
        tokio::select! {
            () = &mut delivered => break,
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
    }
    drop(delivered);
    assert_eq!(std::fs::read_dir(mails.path().join("box/new")).unwrap().count(), 3);
    assert_eq!(shop.get(&order).await["status"], "ORDER_STATUS_FULFILLED");
    drop(server);
    shop.close().await;
}
