//! An id is the same id in every spelling and from every caller; reused for other content it is
//! refused.

use ordinal::client::Failure;
use prost_reflect::{Kind, MessageDescriptor};
use serde_json::{Value, json};
use shared_events::chance::Chance;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::shop::{Orders as _, Shop, on_both};

on_both!(
    a_customer_id_in_capitals_is_the_same_customer,
    the_nil_uuid_is_refused_in_every_field,
    one_request_through_two_nodes_is_one_order,
    a_reused_id_with_other_content_is_refused,
    an_engine_with_a_seed_draws_the_ids_of_its_seed,
);

async fn an_engine_with_a_seed_draws_the_ids_of_its_seed(mut shop: Shop) {
    shop.restart(|settings| settings.chance = Chance::seeded(7)).await;
    let mut placed = Vec::new();
    for _ in 0..3 {
        let mut order = shop.order(&[("MUG", 1)]);
        order.as_object_mut().unwrap().remove("order_id");
        let answer = shop.ops.orders("PlaceOrder", order).await.unwrap();
        placed.push(answer["order"]["order_id"].as_str().unwrap().to_owned());
    }
    // Ids in shards that the node does not have yet are passed over, at most 10,000 of them a call.
    let chance = Chance::seeded(7).of_part("orders");
    let mut drawn = (0..40_000).map(|_| chance.uuid().to_string());
    for order_id in &placed {
        assert!(drawn.any(|id| id == *order_id), "{placed:?}");
    }
    shop.close().await;
}

async fn a_customer_id_in_capitals_is_the_same_customer(shop: Shop) {
    shop.set_stock("MUG", 10).await;
    let capitals = shop.customer.to_string().to_uppercase();
    let spellings =
        [capitals.clone(), shop.customer.simple().to_string(), format!("{{{capitals}}}")];
    let mut orders = Vec::new();
    for subject in &spellings {
        let buyer = shop.as_caller("customer", subject).await;
        for named in [json!(""), json!(shop.customer), json!(capitals)] {
            let mut order = shop.order(&[("MUG", 1)]);
            order["customer_id"] = named;
            order["order_id"] = json!(order["order_id"].as_str().unwrap().to_uppercase());
            let placed = buyer.orders("PlaceOrder", order).await.unwrap();
            // All are answered in one spelling.
            assert_eq!(placed["order"]["customer_id"], json!(shop.customer));
            let order_id = placed["order"]["order_id"].as_str().unwrap().to_owned();
            assert_eq!(order_id, order_id.to_lowercase());
            let asked = json!({ "order_id": order_id.to_uppercase() });
            buyer.orders("GetOrder", asked.clone()).await.unwrap();
            let history = buyer.call("orders.v1.JournalService/ListOrderEvents", asked).await;
            assert_eq!(history.unwrap()["events"][0]["subject"], json!(shop.customer));
            orders.push(order_id);
        }
        buyer.orders("CancelOrder", json!({ "order_id": orders[0] })).await.unwrap();
    }
    shop.settled().await;
    let own = shop.buyer.orders("ListOrders", json!({ "page_size": 100 })).await.unwrap();
    assert_eq!(own["orders"].as_array().unwrap().len(), orders.len());
    shop.close().await;
}

/// The paths of the id fields of a message, with a value that names nothing.
fn ids(message: &MessageDescriptor, depth: u32) -> Vec<(String, Value)> {
    let nil = json!(Uuid::nil());
    let mut found = Vec::new();
    for field in message.fields() {
        let name = field.name().to_owned();
        let whole = |value: Value| if field.is_list() { json!([value]) } else { value };
        let path = if field.is_list() { format!("{name}[0]") } else { name.clone() };
        match field.kind() {
            // Of another system, which may call things as it likes.
            Kind::String if name == "external_id" => {}
            Kind::String
                if ["event_id", "line_id"].contains(&&*name)
                    && message.full_name().contains(".payments.") => {}
            Kind::String if name.ends_with("_id") || name.ends_with("_ids") => {
                found.push((path, json!({ name: whole(nil.clone()) })));
            }
            Kind::Message(inner) if depth > 0 => {
                for (below, value) in ids(&inner, depth - 1) {
                    found.push((format!("{path}.{below}"), json!({ &name: whole(value) })));
                }
            }
            _ => {}
        }
    }
    found
}

async fn the_nil_uuid_is_refused_in_every_field(shop: Shop) {
    let heads = shop.heads().await;
    let mut tried = Vec::new();
    let services: Vec<_> = shop.ops.pool().services().collect();
    for service in services {
        for method in service.methods().filter(|method| !method.is_client_streaming()) {
            let name = service.full_name().trim_start_matches("ordinal.");
            let name = format!("{name}/{}", method.name());
            for (field, request) in ids(&method.input(), 3) {
                let mut request = request;
                let of_order = method.input().get_field_by_name("order_id").is_some();
                if of_order && request.get("order_id").is_none() && name.starts_with("admin") {
                    request["order_id"] = json!(Uuid::now_v7());
                }
                if method.input().get_field_by_name("follower").is_some() {
                    request["follower"] = json!("stock");
                }
                let fields = violations(&shop, &name, method.is_server_streaming(), request).await;
                assert!(fields.contains(&field), "{name}: {fields:?} instead of {field}");
                tried.push(format!("{name} {field}"));
            }
        }
    }
    // The caller's own id too.
    let nobody = shop.as_caller("customer", &Uuid::nil().to_string()).await;
    assert_eq!(nobody.refused("ListOrders", json!({})).await, "UNAUTHENTICATED");
    assert!(tried.len() > 25, "{tried:?}");
    assert_eq!(shop.heads().await, heads);
    shop.close().await;
}

/// The fields of which a refusal says that the nil UUID is no id.
async fn violations(shop: &Shop, name: &str, streams: bool, request: Value) -> Vec<String> {
    let failure = match streams {
        true => shop.ops.stream(name, request).await.map(drop).unwrap_err(),
        false => shop.ops.call(name, request).await.unwrap_err(),
    };
    let Failure::Status(status) = failure else { panic!("{name}: {failure}") };
    let bad = status.get_details_bad_request().unwrap_or_else(|| panic!("{name}: {status}"));
    let told = |text: &str| text.contains("the nil UUID") || text.contains("not zero");
    let nil = bad.field_violations.into_iter().filter(|one| told(&one.description));
    nil.map(|violation| violation.field).collect()
}

async fn one_request_through_two_nodes_is_one_order(shop: Shop) {
    shop.set_stock("MUG", 10).await;
    let request_id = Uuid::now_v7();
    let mut order = shop.order(&[("MUG", 1)]);
    order["order_id"] = json!("");
    order["options"] = json!({ "request_id": request_id });
    let pods = [
        shop.as_caller("service", "shop-1").await,
        shop.as_caller("service", "shop-2").await,
        shop.as_caller("ops", "anna").await,
        shop.buyer.clone(),
    ];
    let mut ids = std::collections::BTreeSet::new();
    for (number, pod) in pods.iter().enumerate() {
        let placed = pod.orders("PlaceOrder", order.clone()).await.unwrap();
        assert_eq!(placed["replayed"] == json!(true), number > 0, "{placed}");
        ids.insert(placed["order"]["order_id"].to_string());
    }
    assert_eq!(ids.len(), 1);
    // Other content, another request or another customer is something else.
    let mut other = order.clone();
    other["lines"][0]["quantity"] = json!(2);
    assert_eq!(pods[1].refused("PlaceOrder", other).await, "IDEMPOTENCY_KEY_REUSED");
    let mut other = order.clone();
    other["customer_id"] = json!(Uuid::now_v7());
    let placed = pods[1].orders("PlaceOrder", other).await.unwrap();
    assert!(ids.insert(placed["order"]["order_id"].to_string()));
    shop.close().await;
}

/// The refusal of an id that is reused for something else.
async fn reuse_refusal(shop: &Shop, method: &str, request: Value) -> (String, String) {
    let failure = shop.ops.orders(method, request).await.unwrap_err();
    let error = failure.to_json();
    assert_eq!(error["status"], "ALREADY_EXISTS", "{error}");
    assert_eq!(error["reason"], "ALREADY_EXISTS", "{error}");
    let word = |key: &str| error["metadata"][key].as_str().unwrap_or_default().to_owned();
    (word("existing"), word("differs"))
}

async fn a_reused_id_with_other_content_is_refused(shop: Shop) {
    shop.set_stock("MUG", 100).await;
    let says = |existing: &str, differs: &str| (existing.to_owned(), differs.to_owned());
    // An order.
    let order = shop.order(&[("MUG", 4)]);
    let (order_id, shipment_id, return_id) =
        (order["order_id"].clone(), Uuid::now_v7(), Uuid::now_v7());
    shop.ops.orders("PlaceOrder", order.clone()).await.unwrap();
    let mut other = order.clone();
    other["contact"]["email"] = json!("other@example.com");
    other["lines"][0]["quantity"] = json!(5);
    assert_eq!(reuse_refusal(&shop, "PlaceOrder", other).await, says("ORDER", "lines,contact"));
    shop.until(order_id.as_str().unwrap(), "CONFIRMED").await;
    // A parcel, by two packers at the same time.
    let parcel = |quantity: u32| {
        json!({
            "order_id": order_id, "shipment_id": shipment_id, "carrier": "DHL", "tracking": "1",
            "lines": [{ "line": 1, "quantity": quantity }],
        })
    };
    let (one, two) = tokio::join!(
        shop.ops.orders("FulfillOrder", parcel(1)),
        shop.service.orders("FulfillOrder", parcel(2))
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let (left, never) = if one.is_ok() { (1, 2) } else { (2, 1) };
    let nothing = |answer: Value| {
        assert!(answer["events"].as_array().is_none_or(Vec::is_empty), "{answer}");
    };
    nothing(shop.ops.orders("FulfillOrder", parcel(left)).await.unwrap());
    assert_eq!(
        reuse_refusal(&shop, "FulfillOrder", parcel(never)).await,
        says("SHIPMENT", "lines")
    );
    let mut other = parcel(left);
    other["tracking"] = json!("2");
    assert_eq!(reuse_refusal(&shop, "FulfillOrder", other).await, says("SHIPMENT", "tracking"));
    // One that came back: its id ships nothing again, also with the same content.
    let came_back = Uuid::now_v7();
    let one = json!({
        "order_id": order_id, "shipment_id": came_back,
        "lines": [{ "line": 1, "quantity": 1 }],
    });
    shop.ops.orders("FulfillOrder", one.clone()).await.unwrap();
    let undo = json!({
        "order_id": order_id, "shipment_id": came_back, "reason": "nobody at home",
        "cause": "UNDO_CAUSE_RETURNED_TO_SENDER", "outcome": "UNDO_OUTCOME_OPEN_AGAIN",
    });
    shop.ops.orders("UndoShipment", undo).await.unwrap();
    let again = reuse_refusal(&shop, "FulfillOrder", one.clone()).await;
    assert_eq!(again, says("UNDONE_PARCEL", ""));
    let mut other = one;
    other["carrier"] = json!("DHL");
    assert_eq!(reuse_refusal(&shop, "FulfillOrder", other).await, says("SHIPMENT", "carrier"));
    shop.ops.orders("FulfillOrder", json!({ "order_id": order_id })).await.unwrap();
    // A return.
    let asked = |quantity: u32, reason: &str| {
        json!({
            "order_id": order_id, "return_id": return_id, "reason": reason,
            "lines": [{ "line": 1, "quantity": quantity }],
        })
    };
    shop.buyer.orders("RequestReturn", asked(2, "chipped")).await.unwrap();
    nothing(shop.buyer.orders("RequestReturn", asked(2, "chipped")).await.unwrap());
    let differs = reuse_refusal(&shop, "RequestReturn", asked(1, "too small")).await;
    assert_eq!(differs, says("RETURN", "lines,reason"));
    // Its judgement, and the return after it.
    let reject =
        |reason: &str| json!({ "order_id": order_id, "return_id": return_id, "reason": reason });
    shop.ops.orders("RejectReturn", reject("worn")).await.unwrap();
    nothing(shop.ops.orders("RejectReturn", reject("worn")).await.unwrap());
    assert_eq!(
        reuse_refusal(&shop, "RejectReturn", reject("late")).await,
        says("JUDGEMENT", "reason")
    );
    let approve = json!({ "order_id": order_id, "return_id": return_id });
    assert_eq!(reuse_refusal(&shop, "ApproveReturn", approve).await, says("JUDGEMENT", "verdict"));
    let again = reuse_refusal(&shop, "RequestReturn", asked(2, "chipped")).await;
    assert_eq!(again, says("REJECTED_RETURN", ""));
    // Approved with one refund, and again with another.
    let return_id = Uuid::now_v7();
    let mut another = asked(1, "chipped");
    another["return_id"] = json!(return_id);
    shop.buyer.orders("RequestReturn", another.clone()).await.unwrap();
    let approve = |units: Option<u32>| {
        let refund = units.map(|units| json!({ "currency_code": "GBP", "units": units }));
        json!({ "order_id": order_id, "return_id": return_id, "refund": refund })
    };
    shop.ops.orders("ApproveReturn", approve(None)).await.unwrap();
    nothing(shop.ops.orders("ApproveReturn", approve(Some(10))).await.unwrap());
    nothing(shop.buyer.orders("RequestReturn", another).await.unwrap());
    assert_eq!(
        reuse_refusal(&shop, "ApproveReturn", approve(Some(9))).await,
        says("JUDGEMENT", "refund")
    );
    // A movement of stock.
    let adjust = |delta: i64, request_id: Uuid| {
        let request_id = request_id.to_string().to_uppercase();
        json!({ "sku": "MUG", "delta": delta, "reason": "count", "request_id": request_id })
    };
    let request_id = Uuid::now_v7();
    let method = "inventory.v1.InventoryService/AdjustStock";
    shop.ops.call(method, adjust(1, request_id)).await.unwrap();
    assert_eq!(shop.ops.call(method, adjust(1, request_id)).await.unwrap()["replayed"], true);
    let failure = shop.ops.call(method, adjust(2, request_id)).await.unwrap_err();
    assert_eq!(failure.reason(), "IDEMPOTENCY_KEY_REUSED");
    shop.close().await;
}
