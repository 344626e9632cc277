//! Holds, corrections and what becomes of parcels, through gRPC and the command line against a whole
//! engine, on both backends. After each test every law must hold.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{Orders as _, Shop, on_both};
use crate::support::ordinal;

on_both!(
    a_held_order_ships_once_every_hold_is_released,
    a_customer_is_not_told_why_an_order_is_held,
    messages_follow_the_corrected_contact,
    what_is_corrected_is_in_the_history_with_who_and_why,
    a_parcel_is_tracked_and_delivered_and_moves_the_return_window,
    a_lost_parcel_is_refunded_and_one_that_came_back_is_restocked,
    a_parcel_that_came_back_is_shipped_again,
    a_lost_parcel_that_is_found_is_back_on_the_shelf,
    shipping_is_paid_back_with_a_lost_parcel,
    corrections_come_by_the_command_line,
    addresses_are_of_their_country_where_that_is_set,
);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn confirmed(shop: &Shop, lines: &[(&str, u32)]) -> String {
    for (sku, _) in lines {
        shop.set_stock(sku, 10).await;
    }
    let id = shop.place(lines).await;
    shop.until(&id, "CONFIRMED").await;
    id
}

fn hold(id: &str, kind: &str, label: &str) -> Value {
    let kind = format!("HOLD_KIND_{kind}");
    json!({ "order_id": id, "kind": kind, "label": label, "reason": "stolen card?" })
}

/// The orders that the list has as held, by id.
async fn listed_as_held(shop: &Shop) -> Vec<String> {
    shop.settled().await;
    let request = json!({ "filter": { "held": true } });
    let list = shop.ops.orders("ListOrders", request).await.unwrap();
    let orders = list["orders"].as_array().cloned().unwrap_or_default();
    assert!(orders.iter().all(|order| order["held"] == true), "{list}");
    let mut ids: Vec<_> =
        orders.iter().map(|order| order["order_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

async fn a_held_order_ships_once_every_hold_is_released(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2)]).await;
    let held = shop.ops.orders("HoldOrder", hold(&id, "FRAUD", "")).await.unwrap();
    let first = held["order"]["holds"][0].clone();
    assert_eq!(
        (&first["kind"], &first["reason"]),
        (&json!("HOLD_KIND_FRAUD"), &json!("stolen card?"))
    );
    shop.service.orders("HoldOrder", hold(&id, "CUSTOM", "call Ada")).await.unwrap();
    // Of two held orders, one ends.
    let ended = shop.place(&[("MUG", 1)]).await;
    shop.ops.orders("HoldOrder", hold(&ended, "FRAUD", "")).await.unwrap();
    let mut both = vec![id.clone(), ended.clone()];
    both.sort();
    assert_eq!(listed_as_held(&shop).await, both);
    shop.ops.orders("CancelOrder", json!({ "order_id": ended })).await.unwrap();
    let holds = shop.get(&ended).await["holds"].clone();
    assert!(holds.as_array().is_none_or(Vec::is_empty), "{holds}");
    let method = "orders.v1.JournalService/DiffOrder";
    let placed = json!({ "order_id": ended, "from_version": 1 });
    let diff = shop.ops.call(method, placed).await.unwrap().to_string();
    assert!(diff.contains("CANCELLED") && !diff.contains("holds["), "{diff}");
    assert_eq!(listed_as_held(&shop).await, std::slice::from_ref(&id));
    assert_eq!(shop.ops.refused("HoldOrder", hold(&id, "FRAUD", "")).await, "ALREADY_EXISTS");
    assert_eq!(shop.buyer.refused("HoldOrder", hold(&id, "FRAUD", "")).await, "FORBIDDEN");
    let failure = shop.service.orders("FulfillOrder", json!({ "order_id": id })).await.unwrap_err();
    assert_eq!(failure.reason(), "ORDER_HELD");
    assert!(failure.to_string().contains("FRAUD, call Ada"), "{failure}");
    let release = |name: &str| json!({ "order_id": id, "name": name, "reason": "paid" });
    assert_eq!(shop.ops.refused("ReleaseHold", release("ADDRESS")).await, "NO_SUCH_HOLD");
    shop.ops.orders("ReleaseHold", release("call Ada")).await.unwrap();
    let one = json!({ "order_id": id, "lines": [{ "line": 1, "quantity": 1 }] });
    assert_eq!(shop.service.refused("FulfillOrder", one).await, "ORDER_HELD");
    let by_id = json!({ "order_id": id, "hold_id": first["hold_id"], "reason": "paid" });
    let free = shop.ops.orders("ReleaseHold", by_id.clone()).await.unwrap();
    assert!(free["order"]["holds"].as_array().is_none_or(Vec::is_empty), "{free}");
    let again = shop.ops.orders("ReleaseHold", by_id.clone()).await.unwrap();
    assert!(again["events"].as_array().is_none_or(Vec::is_empty), "{again}");
    let mut other = by_id;
    other["reason"] = json!("a mistake");
    let other = shop.ops.orders("ReleaseHold", other).await.unwrap_err().to_json();
    assert_eq!(other["reason"], "ALREADY_EXISTS", "{other}");
    let metadata = &other["metadata"];
    assert_eq!(
        (&metadata["existing"], &metadata["differs"]),
        (&json!("RELEASE"), &json!("reason"))
    );
    shop.service.orders("FulfillOrder", json!({ "order_id": id })).await.unwrap();
    // As it was at its third version.
    let then = json!({ "order_id": id, "version": 3 });
    let then = shop.ops.orders("GetOrder", then).await.unwrap();
    assert_eq!(then["order"]["holds"][0], first);
    assert_eq!(listed_as_held(&shop).await, Vec::<String>::new());
    // No message is about a hold.
    assert_eq!(shop.message_kinds(&id).await, ["RECEIVED", "CONFIRMED", "SHIPPED"]);
    shop.close().await;
}

async fn a_customer_is_not_told_why_an_order_is_held(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 1)]).await;
    shop.ops.orders("HoldOrder", hold(&id, "FRAUD", "card list")).await.unwrap();
    let release = json!({ "order_id": id, "name": "card list", "reason": "card list cleared" });
    shop.ops.orders("ReleaseHold", release).await.unwrap();
    shop.ops.orders("HoldOrder", hold(&id, "FRAUD", "card list")).await.unwrap();
    let request = json!({ "order_id": id });
    let mut told = Vec::new();
    for method in
        ["OrderService/GetOrder", "JournalService/ListOrderEvents", "JournalService/DiffOrder"]
    {
        let method = format!("orders.v1.{method}");
        told.push(shop.buyer.call(&method, request.clone()).await.unwrap());
        let known = shop.ops.call(&method, request.clone()).await.unwrap().to_string();
        assert!(known.contains("card list"), "{known}");
    }
    let as_of = json!({ "order_id": id, "version": 3 });
    told.push(shop.buyer.orders("GetOrder", as_of).await.unwrap());
    let email =
        json!({ "order_id": id, "contact": { "email": "a@example.com" }, "reason": "typo" });
    told.push(shop.buyer.orders("CorrectOrder", email).await.unwrap());
    for answer in told {
        let text = answer.to_string();
        let hidden = !text.contains("card list") && !text.contains("HOLD_KIND_FRAUD");
        assert!(hidden && !text.contains("stolen"), "{text}");
    }
    let seen = shop.buyer.orders("GetOrder", request).await.unwrap();
    let holds = seen["order"]["holds"].as_array().unwrap();
    assert!(holds.len() == 1 && holds[0]["held_at"].is_string(), "{seen}");
    shop.close().await;
}

async fn messages(shop: &Shop, id: &str) -> Vec<Value> {
    shop.settled().await;
    let request = json!({ "order_id": id, "page_size": 100 });
    let method = "notifications.v1.NotificationService/ListNotifications";
    let list = shop.ops.call(method, request).await.unwrap();
    let mut messages = Vec::new();
    for listed in list["notifications"].as_array().unwrap() {
        let request = json!({ "notification_id": listed["notification_id"] });
        let method = "notifications.v1.NotificationService/GetNotification";
        messages.push(shop.ops.call(method, request).await.unwrap()["notification"].take());
    }
    messages
}

async fn messages_follow_the_corrected_contact(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2)]).await;
    let first = loop {
        let told = messages(&shop, &id).await;
        if told.len() == 2 && told.iter().all(|one| one["state"] == "NOTIFICATION_STATE_DELIVERED")
        {
            break told[0].clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(first["recipient"], "customer@example.com");
    let correct = |contact: Value, mask: &str| json!({ "order_id": id, "contact": contact, "update_mask": mask, "reason": "typo" });
    let email = correct(json!({ "email": "ada@example.com" }), "contact.email");
    shop.buyer.orders("CorrectOrder", email).await.unwrap();
    shop.settled().await;
    let method = "notifications.v1.NotificationService/ResendNotification";
    let resend = json!({ "notification_id": first["notification_id"], "reason": "never arrived" });
    let again = shop.ops.call(method, resend.clone()).await.unwrap();
    let again = &again["notification"];
    assert_eq!(again["recipient"], "ada@example.com");
    assert_ne!(again["notification_id"], first["notification_id"]);
    // What is said later goes there too, and the first message stays as it was sent.
    shop.service
        .orders("FulfillOrder", json!({ "order_id": id, "lines": [{ "line": 1, "quantity": 1 }] }))
        .await
        .unwrap();
    let told = messages(&shop, &id).await;
    let recipients: Vec<&str> = told.iter().map(|one| one["recipient"].as_str().unwrap()).collect();
    let (old, new) = ("customer@example.com", "ada@example.com");
    assert_eq!(recipients, [old, old, new, new]);
    // Without an address nothing is sent again to the old one.
    shop.ops.orders("CorrectOrder", correct(json!({}), "contact.email")).await.unwrap();
    shop.settled().await;
    let mut tries = 0;
    let failure = loop {
        let failure = shop.ops.call(method, resend.clone()).await.unwrap_err();
        tries += 1;
        // The copy may still be on its way.
        if failure.reason() != "NOT_FINISHED" || tries > 3_000 {
            break failure;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(failure.reason(), "NO_RECIPIENT");
    shop.close().await;
}

async fn what_is_corrected_is_in_the_history_with_who_and_why(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2)]).await;
    let correct = |fields: Value| {
        let mut request = json!({ "order_id": id, "reason": "moved house" });
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        request
    };
    let street = json!({
        "address": { "street": "2 Low Street", "city": "ignored" },
        "update_mask": "address.street",
        "options": { "etag": "2" },
    });
    let done = shop.buyer.orders("CorrectOrder", correct(street.clone())).await.unwrap();
    assert_eq!(done["order"]["address"]["street"], "2 Low Street");
    assert_eq!(done["order"]["address"]["city"], "London");
    assert_eq!(shop.buyer.refused("CorrectOrder", correct(street)).await, "VERSION_MISMATCH");
    let billing = json!({
        "billing_address": {
            "street": "3 Side Street", "city": "Leeds", "postal_code": "LS1 1AA", "country": "GB",
        },
    });
    let done = shop.ops.orders("CorrectOrder", correct(billing)).await.unwrap();
    assert_eq!(done["order"]["billing_address"]["city"], "Leeds");
    let gone = json!({ "update_mask": "billingAddress" });
    let done = shop.service.orders("CorrectOrder", correct(gone.clone())).await.unwrap();
    assert!(done["order"]["billing_address"].is_null(), "{done}");
    let nothing = shop.service.orders("CorrectOrder", correct(gone)).await.unwrap();
    assert!(nothing["events"].as_array().is_none_or(Vec::is_empty), "{nothing}");
    for (fields, reason, path) in [
        (json!({ "update_mask": "lines" }), "INVALID_FIELD", "update_mask.paths[0]"),
        (json!({}), "INVALID_FIELD", "update_mask"),
        (json!({ "update_mask": "address.city" }), "INVALID_ADDRESS", "address.city"),
        (json!({ "update_mask": "address" }), "INVALID_ADDRESS", "address"),
        (json!({ "contact": { "email": "x" } }), "INVALID_CONTACT", "contact.email"),
        (
            json!({ "address": { "country": "XX" }, "update_mask": "address.country" }),
            "INVALID_ADDRESS",
            "address.country",
        ),
    ] {
        let failure = shop.ops.orders("CorrectOrder", correct(fields)).await.unwrap_err();
        let text = failure.to_string();
        assert!(text.contains(reason) && text.contains(path), "{text}");
    }
    // What a country demands is asked of the corrected address, whichever part is named.
    let there = json!({
        "address": { "country": "sg", "postal_code": "018956" },
        "update_mask": "address.country,address.postalCode",
    });
    shop.ops.orders("CorrectOrder", correct(there)).await.unwrap();
    let without = correct(json!({ "address": {}, "update_mask": "address.city" }));
    let done = shop.ops.orders("CorrectOrder", without).await.unwrap();
    assert_eq!(
        (&done["order"]["address"]["city"], done["order"]["version"].as_u64()),
        (&json!(""), Some(7))
    );
    let back = json!({ "address": { "country": "GB" }, "update_mask": "address.country" });
    let failure = shop.ops.orders("CorrectOrder", correct(back)).await.unwrap_err().to_string();
    assert!(failure.contains("INVALID_ADDRESS") && failure.contains("address.city"), "{failure}");
    let method = "orders.v1.JournalService/ListOrderEvents";
    let events = shop.ops.call(method, json!({ "order_id": id, "page_size": 10 })).await.unwrap();
    let corrected = &events["events"][2];
    assert_eq!(
        (&corrected["role"], &corrected["subject"]),
        (&json!("ROLE_CUSTOMER"), &json!(shop.customer))
    );
    let event = &corrected["event"]["order_corrected"];
    assert_eq!(
        (&event["fields"], &event["reason"]),
        (&json!(["address.street"]), &json!("moved house"))
    );
    // Why is for staff.
    let own = json!({ "order_id": id, "page_size": 10 });
    let seen = shop.buyer.call(method, own).await.unwrap().to_string();
    assert!(seen.contains("2 Low Street") && !seen.contains("moved house"), "{seen}");
    let method = "orders.v1.JournalService/DiffOrder";
    let between = json!({ "order_id": id, "from_version": 2, "to_version": 3 });
    let diff = shop.ops.call(method, between).await.unwrap();
    assert_eq!(
        diff["changes"],
        json!([{ "path": "address.street", "before": "1 High Street", "after": "2 Low Street" }])
    );
    shop.service.orders("FulfillOrder", json!({ "order_id": id })).await.unwrap();
    let late = correct(json!({ "contact": { "email": "a@example.com" } }));
    assert_eq!(shop.ops.refused("CorrectOrder", late).await, "INVALID_TRANSITION");
    shop.close().await;
}

async fn a_parcel_is_tracked_and_delivered_and_moves_the_return_window(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2)]).await;
    let parcel = json!({
        "order_id": id, "shipment_reference": "W-7", "carrier": "DHL", "tracking": "1",
    });
    let shipped = shop.service.orders("FulfillOrder", parcel.clone()).await.unwrap();
    let seen = &shipped["order"]["parcels"][0];
    assert_eq!(
        (&seen["shipment_reference"], &seen["state"]),
        (&json!("W-7"), &json!("PARCEL_STATE_SHIPPED"))
    );
    assert_eq!(seen["shipment_id"], shipped["order"]["shipment_ids"][0]);
    // Through another gateway, without a request id: the same parcel.
    let again = shop.ops.orders("FulfillOrder", parcel).await.unwrap();
    assert!(again["events"].as_array().is_none_or(Vec::is_empty), "{again}");
    let of = |fields: Value| {
        let mut request = json!({ "order_id": id, "shipment_reference": "W-7" });
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        request
    };
    let update = of(json!({ "tracking": "2" }));
    let updated = shop.service.orders("UpdateShipment", update).await.unwrap();
    let seen = &updated["order"]["parcels"][0];
    assert_eq!((&seen["carrier"], &seen["tracking"]), (&json!("DHL"), &json!("2")));
    let before = updated["order"]["return_until"].clone();
    shop.advance(3 * DAY);
    let early = of(json!({ "delivered_at": "2026-03-01T00:00:00Z" }));
    let failure = shop.service.orders("RecordDelivery", early).await.unwrap_err();
    assert!(failure.to_string().contains("delivered_at"), "{failure}");
    let delivered = of(json!({ "delivered_at": "2026-03-04T12:00:00Z" }));
    let done = shop.service.orders("RecordDelivery", delivered.clone()).await.unwrap();
    assert_eq!(done["order"]["parcels"][0]["state"], "PARCEL_STATE_DELIVERED");
    assert_ne!(done["order"]["return_until"], before);
    assert!(done["order"]["return_until"].as_str().unwrap().starts_with("2026-04-03T12:00:00"));
    let again = shop.service.orders("RecordDelivery", delivered).await.unwrap();
    assert!(again["events"].as_array().is_none_or(Vec::is_empty), "{again}");
    assert_eq!(
        shop.service.refused("UpdateShipment", of(json!({ "carrier": "UPS" }))).await,
        "INVALID_PARCEL_STATE"
    );
    let unknown = json!({ "order_id": id, "shipment_id": Uuid::now_v7() });
    assert_eq!(shop.ops.refused("RecordDelivery", unknown).await, "NO_SUCH_PARCEL");
    // Shipping alone would have closed the window by now.
    shop.advance(28 * DAY);
    let back =
        json!({ "order_id": id, "lines": [{ "line": 1, "quantity": 1 }], "reason": "chipped" });
    shop.buyer.orders("RequestReturn", back).await.unwrap();
    let kinds = ["RECEIVED", "CONFIRMED", "SHIPPED", "PARCEL_SHIPPED", "RETURN_RECEIVED"];
    assert_eq!(shop.message_kinds(&id).await, kinds);
    shop.close().await;
}

async fn a_lost_parcel_is_refunded_and_one_that_came_back_is_restocked(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 3), ("PLATE", 2)]).await;
    let ship = |reference: &str, lines: Value| json!({ "order_id": id, "shipment_reference": reference, "lines": lines });
    let mugs = json!([{ "line": 1, "quantity": 2 }]);
    shop.service.orders("FulfillOrder", ship("A", mugs)).await.unwrap();
    let undo = |reference: &str, cause: &str| {
        let cause = format!("UNDO_CAUSE_{cause}");
        json!({ "order_id": id, "shipment_reference": reference, "cause": cause, "reason": "carrier" })
    };
    let lost = shop.service.orders("UndoShipment", undo("A", "LOST")).await.unwrap();
    assert_eq!(lost["order"]["status"], "ORDER_STATUS_CONFIRMED");
    assert_eq!(lost["order"]["parcels"][0]["state"], "PARCEL_STATE_LOST");
    assert_eq!(lost["order"]["refunded"]["units"], 20);
    shop.settled().await;
    assert_eq!((shop.stock("MUG").await, shop.stock("PLATE").await), ((8, 1), (10, 2)));
    shop.service.orders("FulfillOrder", ship("B", json!([]))).await.unwrap();
    let mut back = undo("B", "RETURNED_TO_SENDER");
    back["dispositions"] = json!([{ "line": 2, "disposition": "DISPOSITION_WRITE_OFF" }]);
    let done = shop.ops.orders("UndoShipment", back.clone()).await.unwrap();
    assert_eq!(done["order"]["status"], "ORDER_STATUS_RETURNED");
    assert_eq!(done["order"]["refunded"], done["order"]["total"]);
    let again = shop.ops.orders("UndoShipment", back).await.unwrap();
    assert!(again["events"].as_array().is_none_or(Vec::is_empty), "{again}");
    assert_eq!(shop.ops.refused("UndoShipment", undo("B", "LOST")).await, "ALREADY_EXISTS");
    // Why is for staff.
    let history = json!({ "order_id": id, "page_size": 10 });
    let method = "orders.v1.JournalService/ListOrderEvents";
    let seen = shop.buyer.call(method, history.clone()).await.unwrap().to_string();
    let why = r#""reason":"carrier""#;
    assert!(seen.contains("shipment_undone") && !seen.contains(why), "{seen}");
    let seen = shop.ops.call(method, history).await.unwrap().to_string();
    assert!(seen.contains(why), "{seen}");
    shop.settled().await;
    // The mug is back on the shelf; the plates were broken.
    assert_eq!((shop.stock("MUG").await, shop.stock("PLATE").await), ((8, 0), (8, 0)));
    let kinds = ["RECEIVED", "CONFIRMED", "PARCEL_SHIPPED", "REFUND", "SHIPPED", "REFUND"];
    assert_eq!(shop.message_kinds(&id).await, kinds);
    shop.close().await;
}

async fn a_parcel_that_came_back_is_shipped_again(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2), ("PLATE", 1)]).await;
    let ship = |reference: &str| json!({ "order_id": id, "shipment_reference": reference });
    shop.service.orders("FulfillOrder", ship("A")).await.unwrap();
    shop.until(&id, "FULFILLED").await;
    let again = json!({
        "order_id": id, "shipment_reference": "A", "reason": "nobody at home",
        "cause": "UNDO_CAUSE_RETURNED_TO_SENDER", "outcome": "UNDO_OUTCOME_OPEN_AGAIN",
    });
    let mut lost = again.clone();
    lost["cause"] = json!("UNDO_CAUSE_LOST");
    assert_eq!(shop.ops.refused("UndoShipment", lost).await, "INVALID_FIELD");
    let open = shop.service.orders("UndoShipment", again.clone()).await.unwrap();
    let order = &open["order"];
    assert_eq!(order["status"], "ORDER_STATUS_CONFIRMED");
    assert_eq!(
        (&order["lines"][0]["open"], &order["lines"][0]["returned"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(order["parcels"][0]["state"], "PARCEL_STATE_RETURNED_TO_SENDER");
    assert_eq!(open["events"][0]["shipment_undone"]["outcome"], "UNDO_OUTCOME_OPEN_AGAIN");
    let repeated = shop.ops.orders("UndoShipment", again).await.unwrap();
    assert!(repeated["events"].as_array().is_none_or(Vec::is_empty), "{repeated}");
    // Under the id of the parcel that came back nothing ships.
    let same = shop.service.orders("FulfillOrder", ship("A")).await.unwrap_err();
    let error = same.to_json();
    assert_eq!(error["reason"], "ALREADY_EXISTS");
    assert_eq!(error["metadata"]["existing"], "UNDONE_PARCEL");
    shop.settled().await;
    assert_eq!((shop.stock("MUG").await, shop.stock("PLATE").await), ((10, 2), (10, 1)));
    let one = json!({ "order_id": id, "lines": [{ "line": 1, "quantity": 1 }] });
    shop.buyer.orders("CancelOrder", one).await.unwrap();
    shop.service.orders("FulfillOrder", ship("B")).await.unwrap();
    let order = shop.until(&id, "FULFILLED").await;
    assert!(order["return_until"].is_string(), "{order}");
    shop.settled().await;
    assert_eq!((shop.stock("MUG").await, shop.stock("PLATE").await), ((9, 0), (9, 0)));
    let kinds = ["RECEIVED", "CONFIRMED", "SHIPPED", "LINES_CANCELLED", "SHIPPED"];
    assert_eq!(shop.message_kinds(&id).await, kinds);
    shop.close().await;
}

async fn a_lost_parcel_that_is_found_is_back_on_the_shelf(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2), ("PLATE", 1)]).await;
    let ship = json!({ "order_id": id, "shipment_reference": "A" });
    shop.service.orders("FulfillOrder", ship).await.unwrap();
    let undo = |cause: &str, reason: &str| {
        let cause = format!("UNDO_CAUSE_{cause}");
        json!({ "order_id": id, "shipment_reference": "A", "cause": cause, "reason": reason })
    };
    let mut found = undo("RETURNED_TO_SENDER", "in the depot after all");
    found["outcome"] = json!("UNDO_OUTCOME_FOUND");
    let early = shop.ops.orders("UndoShipment", found.clone()).await.unwrap_err().to_json();
    assert_eq!(
        (&early["reason"], &early["metadata"]["is"]),
        (&json!("INVALID_PARCEL_STATE"), &json!("SHIPPED"))
    );
    let lost = shop.ops.orders("UndoShipment", undo("LOST", "gone")).await.unwrap();
    assert_eq!(lost["order"]["status"], "ORDER_STATUS_RETURNED");
    shop.settled().await;
    assert_eq!((shop.stock("MUG").await, shop.stock("PLATE").await), ((8, 0), (9, 0)));
    // Long after the order was over.
    shop.advance(60 * DAY);
    let only_back = undo("RETURNED_TO_SENDER", "in the depot after all");
    assert_eq!(shop.ops.refused("UndoShipment", only_back).await, "ALREADY_EXISTS");
    let mut paid = found.clone();
    paid["refund"] = json!({ "currency_code": "GBP", "units": 1 });
    assert_eq!(shop.ops.refused("UndoShipment", paid).await, "INVALID_FIELD");
    assert_eq!(shop.buyer.refused("UndoShipment", found.clone()).await, "FORBIDDEN");
    let done = shop.service.orders("UndoShipment", found.clone()).await.unwrap();
    let order = &done["order"];
    assert_eq!(order["status"], "ORDER_STATUS_RETURNED");
    assert_eq!(order["parcels"][0]["state"], "PARCEL_STATE_RETURNED_TO_SENDER");
    assert_eq!(order["refunded"], order["total"]);
    let event = &done["events"][0]["shipment_found"];
    assert_eq!(event["lines"][0]["disposition"], "DISPOSITION_RESTOCK");
    for again in [found, undo("LOST", "gone")] {
        let again = shop.ops.orders("UndoShipment", again).await.unwrap();
        assert!(again["events"].as_array().is_none_or(Vec::is_empty), "{again}");
    }
    shop.settled().await;
    assert_eq!((shop.stock("MUG").await, shop.stock("PLATE").await), ((10, 0), (10, 0)));
    // Why is for staff, and the customer, who was paid back, hears nothing of it.
    let history = json!({ "order_id": id, "page_size": 10 });
    let method = "orders.v1.JournalService/ListOrderEvents";
    let seen = shop.buyer.call(method, history.clone()).await.unwrap().to_string();
    assert!(seen.contains("shipment_found") && !seen.contains("depot"), "{seen}");
    let seen = shop.ops.call(method, history).await.unwrap().to_string();
    assert!(seen.contains("in the depot after all"), "{seen}");
    let method = "orders.v1.JournalService/DiffOrder";
    let diff = shop.ops.call(method, json!({ "order_id": id, "from_version": 4 })).await.unwrap();
    let change = &diff["changes"].as_array().unwrap()[..];
    assert!(change.len() == 1 && change[0]["after"] == "RETURNED_TO_SENDER", "{diff}");
    assert_eq!(shop.message_kinds(&id).await, ["RECEIVED", "CONFIRMED", "SHIPPED", "REFUND"]);
    // By the command line: of another order the plate was broken.
    let id = confirmed(&shop, &[("MUG", 1), ("PLATE", 1)]).await;
    let ship = json!({ "order_id": id, "shipment_reference": "A" });
    shop.service.orders("FulfillOrder", ship).await.unwrap();
    let address = ["--address", shop.address.as_str(), "--as", "ops:anna", "order", "parcel"];
    let lost = ["undo", &id, "A", "--cause", "LOST", "--reason", "gone"];
    let back = ["undo", &id, "A", "--cause", "RETURNED_TO_SENDER", "--reason", "here"];
    let back = [&back[..], &["--found", "--line", "2=WRITE_OFF"]].concat();
    for (flags, expected) in
        [(&lost[..], "appended ShipmentUndone"), (&back[..], "appended ShipmentFound")]
    {
        let output = ordinal(&[&address[..], flags].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(expected), "{text}");
    }
    shop.settled().await;
    assert_eq!((shop.stock("MUG").await, shop.stock("PLATE").await), ((10, 0), (9, 0)));
    shop.close().await;
}

async fn shipping_is_paid_back_with_a_lost_parcel(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    let gbp = |units: i64| json!({ "currency_code": "GBP", "units": units, "nanos": 0 });
    let mut order = shop.order(&[("MUG", 1)]);
    let shipping = json!({ "kind": "CHARGE_KIND_SHIPPING", "amount": gbp(4) });
    order["charges"] = json!([shipping, { "kind": "CHARGE_KIND_GIFT_WRAP", "amount": gbp(2) }]);
    let placed = shop.buyer.orders("PlaceOrder", order).await.unwrap();
    let id = placed["order"]["order_id"].as_str().unwrap().to_owned();
    shop.until(&id, "CONFIRMED").await;
    let ship = json!({ "order_id": id, "shipment_reference": "A" });
    shop.service.orders("FulfillOrder", ship).await.unwrap();
    let undo = |charges: &Value| {
        let (reason, cause) = ("gone", "UNDO_CAUSE_LOST");
        json!({
            "order_id": id, "shipment_reference": "A", "cause": cause, "reason": reason,
            "charges": charges,
        })
    };
    let one = |charge: u32, units: i64| json!({ "charge": charge, "amount": gbp(units) });
    let of = |charge: u32, units: i64| json!([one(charge, units)]);
    assert_eq!(shop.ops.refused("UndoShipment", undo(&of(1, 5))).await, "INVALID_AMOUNT");
    assert_eq!(shop.ops.refused("UndoShipment", undo(&of(3, 1))).await, "INVALID_AMOUNT");
    // By the command line, as operators do it.
    let address = ["--address", shop.address.as_str(), "--as", "ops:anna", "order", "parcel"];
    let flags = ["undo", &id, "A", "--cause", "LOST", "--reason", "gone"];
    let charges = ["--charge", "2=1GBP", "--charge", "1=4GBP"];
    let output = ordinal(&[&address[..], &flags[..], &charges[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("appended ShipmentUndone"), "{text}");
    let order = shop.get(&id).await;
    assert_eq!(order["status"], "ORDER_STATUS_RETURNED");
    let (total, wrap) = (&order["total"]["units"], 1);
    assert_eq!(order["refunded"]["units"].as_i64(), total.as_i64().map(|total| total - wrap));
    assert_eq!(order["charges"][0]["refunded"], order["charges"][0]["total"]);
    for charges in [json!([one(2, 1), one(1, 4)]), json!([one(1, 4), one(2, 1)])] {
        let again = shop.ops.orders("UndoShipment", undo(&charges)).await.unwrap();
        assert!(again["events"].as_array().is_none_or(Vec::is_empty), "{again}");
    }
    for other in [of(1, 4), json!([one(1, 1), one(2, 4)]), json!([])] {
        assert_eq!(shop.ops.refused("UndoShipment", undo(&other)).await, "ALREADY_EXISTS");
    }
    let method = "orders.v1.JournalService/ListOrderEvents";
    let history = shop.ops.call(method, json!({ "order_id": id })).await.unwrap();
    let last = history["events"].as_array().unwrap().last().unwrap();
    assert_eq!(last["event"]["shipment_undone"]["charges"], json!([one(2, 1), one(1, 4)]));
    shop.close().await;
}

async fn corrections_come_by_the_command_line(shop: Shop) {
    let id = confirmed(&shop, &[("MUG", 2)]).await;
    let run = |arguments: &[&str]| {
        let mut all = vec!["--address", shop.address.as_str(), "order"];
        all.extend(arguments);
        let output = ordinal(&all);
        let (text, error) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
        (output.status.code(), String::from_utf8_lossy(text).into_owned() + &error)
    };
    let done = |arguments: &[&str], expected: &str| {
        let (code, text) = run(arguments);
        assert!(code == Some(0) && text.contains(expected), "{arguments:?}: {text}");
    };
    done(&["hold", &id, "--kind", "fraud", "--reason", "odd"], "appended OrderHeld");
    let label = ["hold", &id, "--kind", "CUSTOM", "--label", "call", "--reason", "odd"];
    done(&label, "FRAUD, call");
    done(&["list", "--held"], &id);
    let (code, text) = run(&["fulfill", &id]);
    assert!(code == Some(1) && text.contains("ORDER_HELD"), "{text}");
    done(&["release", &id, "FRAUD", "--reason", "paid"], "appended HoldReleased");
    done(&["release", &id, "call", "--reason", "paid"], "appended HoldReleased");
    let correct = [
        "correct",
        &id,
        "--reason",
        "moved",
        "--street",
        "2 Low Street",
        "--email",
        "a@example.com",
    ];
    done(&correct, "appended OrderCorrected");
    done(&correct, "nothing changed");
    done(&["diff", &id, "--from", "6"], "address.street");
    done(&["fulfill", &id, "--reference", "W-7", "--carrier", "DHL"], "appended OrderFulfilled");
    done(&["parcel", "update", &id, "W-7", "--tracking", "42"], "appended ShipmentCorrected");
    done(&["parcel", "list", &id], "W-7");
    let undo = ["parcel", "undo", &id, "W-7", "--cause", "LOST", "--reason", "gone"];
    let would = [&undo[..], &["--validate-only"]].concat();
    done(&would, "would append ShipmentUndone");
    done(&["parcel", "delivered", &id, "W-7"], "appended ShipmentDelivered");
    let (code, text) = run(&undo);
    assert!(code == Some(1) && text.contains("INVALID_PARCEL_STATE"), "{text}");
    done(&["parcel", "list", &id], "DELIVERED");
    done(&["history", &id], "contact.email, address.street");
    shop.close().await;
}

async fn addresses_are_of_their_country_where_that_is_set(mut shop: Shop) {
    let mut before = shop.order(&[("MUG", 2)]);
    before["address"]["postal_code"] = json!("W1");
    shop.set_stock("MUG", 10).await;
    let placed = shop.buyer.orders("PlaceOrder", before.clone()).await.unwrap();
    let id = placed["order"]["order_id"].as_str().unwrap().to_owned();
    shop.until(&id, "CONFIRMED").await;
    shop.restart(|settings| settings.policy.check_addresses = true).await;
    // It is known again.
    let again = shop.buyer.orders("PlaceOrder", before).await.unwrap();
    assert!(again["events"].as_array().is_none_or(Vec::is_empty), "{again}");
    let changed = |changes: &Value| {
        let mut order = shop.order(&[("MUG", 1)]);
        let address = order["address"].as_object_mut().unwrap();
        address.extend(changes.as_object().unwrap().clone());
        order
    };
    let us = |region: &str, code: &str| json!({ "country": "us", "region": region, "postal_code": code });
    for (changes, path, why) in [
        (json!({ "postal_code": "W1" }), "address.postal_code", "the form of EC1Y 8SY"),
        (us("", "95014"), "address.region", "such as AL or Alabama"),
        (us("NY", "95014"), "address.postal_code", "codes of New York begin otherwise"),
    ] {
        let failure = shop.buyer.orders("PlaceOrder", changed(&changes)).await.unwrap_err();
        assert_eq!(failure.reason(), "INVALID_ADDRESS");
        let text = failure.to_string();
        assert!(text.contains(path) && text.contains(why), "{text}");
    }
    let there = us("california", "95014-1010");
    let placed = shop.buyer.orders("PlaceOrder", changed(&there)).await.unwrap();
    // As it was written.
    assert_eq!(placed["order"]["address"]["region"], "california");
    let mut billed = changed(&json!({}));
    billed["billing_address"] = billed["address"].clone();
    billed["billing_address"]["postal_code"] = json!("1");
    let failure = shop.buyer.orders("PlaceOrder", billed).await.unwrap_err().to_string();
    assert!(failure.contains("billing_address.postal_code"), "{failure}");
    let correct = |code: &str| {
        json!({
            "order_id": id, "reason": "typo", "update_mask": "address.postalCode",
            "address": { "postal_code": code },
        })
    };
    assert_eq!(shop.buyer.refused("CorrectOrder", correct("W2")).await, "INVALID_ADDRESS");
    let done = shop.buyer.orders("CorrectOrder", correct("w1a 4zz")).await.unwrap();
    assert_eq!(done["order"]["address"]["postal_code"], "w1a 4zz");
    let bill = |code: &str| {
        let mut billing = shop.order(&[("MUG", 1)])["address"].clone();
        billing["postal_code"] = json!(code);
        json!({
            "order_id": id, "reason": "typo", "update_mask": "billingAddress",
            "billing_address": billing,
        })
    };
    assert_eq!(shop.buyer.refused("CorrectOrder", bill("1")).await, "INVALID_ADDRESS");
    shop.buyer.orders("CorrectOrder", bill("W1A 4ZZ")).await.unwrap();
    shop.settled().await;
    shop.close().await;
}
