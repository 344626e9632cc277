//! Every refusal through gRPC: its status, its stable reason and its field; and that a refused call
//! appends nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use ordinal::client::{Client, Failure};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::reasons::stands_on_the_page;
use crate::shop::{Orders as _, Shop, on_both};

on_both!(every_refusal_of_an_order, every_malformed_field_is_named);

/// Status code, reason and fields of a refused call.
fn refusal(answer: Result<Value, Failure>, what: &str) -> (Code, String, Vec<String>) {
    match answer {
        Ok(answer) => panic!("{what} was accepted: {answer}"),
        Err(failure) => {
            let Failure::Status(status) = &failure else { panic!("{what}: {failure}") };
            stands_on_the_page(status);
            let json = failure.to_json();
            let fields = json["field_violations"].as_array().unwrap();
            let fields = fields.iter().map(|f| f["field"].as_str().unwrap().to_owned()).collect();
            (status.code(), failure.reason(), fields)
        }
    }
}

fn with(base: &Value, path: &str, value: Value) -> Value {
    let mut changed = base.clone();
    *changed.pointer_mut(path).unwrap_or_else(|| panic!("no {path} in {base}")) = value;
    changed
}

/// Orders in every state.
struct Orders {
    pending: String,
    confirmed: String,
    fulfilled: String,
    late: String,
    requested: String,
    cancelled: String,
}

async fn orders(shop: &mut Shop) -> Orders {
    shop.set_stock("MUG", 1_000).await;
    let mut placed = Vec::new();
    for _ in 0..5 {
        let order = shop.place(&[("MUG", 3)]).await;
        shop.until(&order, "CONFIRMED").await;
        placed.push(order);
    }
    let [confirmed, fulfilled, late, requested, cancelled] = placed.try_into().unwrap();
    shop.service.orders("FulfillOrder", json!({ "order_id": late })).await.unwrap();
    shop.advance(Duration::from_secs(30 * 24 * 3_600));
    for order in [&fulfilled, &requested] {
        shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    }
    let ask = json!({
        "order_id": requested, "lines": [{ "line": 1, "quantity": 1 }], "reason": "too small",
    });
    shop.buyer.orders("RequestReturn", ask).await.unwrap();
    let cancel = json!({ "order_id": cancelled, "reason": "CANCEL_REASON_CUSTOMER_REQUEST" });
    shop.buyer.orders("CancelOrder", cancel).await.unwrap();
    shop.settled().await;
    shop.restart(|settings| settings.stock_follower = false).await;
    let pending = shop.place(&[("MUG", 3)]).await;
    Orders { pending, confirmed, fulfilled, late, requested, cancelled }
}

#[expect(clippy::too_many_lines, reason = "a table is read as a whole")]
async fn every_refusal_of_an_order(mut shop: Shop) {
    let at = orders(&mut shop).await;
    let stranger = shop.as_caller("customer", &Uuid::now_v7().to_string()).await;
    let (ops, service, buyer) = (&shop.ops, &shop.service, &shop.buyer);
    let fresh = || shop.order(&[("MUG", 1)]);
    let units = |order: &str, line: u32, quantity: u32| json!({ "order_id": order, "lines": [{ "line": line, "quantity": quantity }] });
    let ask = |order: &str, line: u32, quantity: u32, reason: &str| {
        let mut request = units(order, line, quantity);
        request["reason"] = json!(reason);
        request
    };
    let cancel = |order: &str, reason: &str| json!({ "order_id": order, "reason": format!("CANCEL_REASON_{reason}") });
    let refund = |amount: i64, currency: &str| {
        let money = json!({ "currency_code": currency, "units": amount });
        json!({ "order_id": at.requested, "refund": money })
    };
    let mut taken = shop.order(&[("MUG", 3)]);
    taken["order_id"] = json!(at.confirmed);
    let mut other_content = taken.clone();
    other_content["lines"][0]["quantity"] = json!(4);
    let mut two_currencies = shop.order(&[("MUG", 1), ("MUG", 1)]);
    two_currencies["lines"][1]["unit_price"]["currency_code"] = json!("EUR");
    let most = json!({ "currency_code": "GBP", "units": 92_233_720_368_547_758_i64 });
    let mut used = fresh();
    let request_id = Uuid::now_v7();
    used["options"] = json!({ "request_id": request_id });
    buyer.orders("PlaceOrder", used.clone()).await.unwrap();
    let mut reused = cancel(used["order_id"].as_str().unwrap(), "CUSTOMER_REQUEST");
    reused["options"] = json!({ "request_id": request_id });
    let mut outdated = units(&at.confirmed, 1, 1);
    outdated["options"] = json!({ "expected_version": 1 });
    let nobody = json!({ "order_id": Uuid::now_v7() });
    let words = "x".repeat(5_000);
    let (bad, failed, denied) =
        (Code::InvalidArgument, Code::FailedPrecondition, Code::PermissionDenied);

    let table: Vec<(&Client, &str, Value, Code, &str, &str)> = vec![
        // Place
        (buyer, "PlaceOrder", with(&fresh(), "/lines", json!([])), bad, "EMPTY_ORDER", "lines"),
        (
            buyer,
            "PlaceOrder",
            with(&fresh(), "/lines", vec![fresh()["lines"][0].clone(); 2_001].into()),
            bad,
            "TOO_MANY_LINES",
            "lines",
        ),
        (
            buyer,
            "PlaceOrder",
            with(&fresh(), "/lines/0/quantity", json!(0)),
            bad,
            "INVALID_LINE",
            "lines[0].quantity",
        ),
        (
            buyer,
            "PlaceOrder",
            two_currencies,
            bad,
            "CURRENCY_MISMATCH",
            "lines[1].unit_price.currency_code",
        ),
        (
            buyer,
            "PlaceOrder",
            with(&with(&fresh(), "/lines/0/unit_price", most), "/lines/0/quantity", json!(3)),
            bad,
            "AMOUNT_OVERFLOW",
            "lines",
        ),
        (
            buyer,
            "PlaceOrder",
            with(&fresh(), "/address/country", json!("XX")),
            bad,
            "INVALID_ADDRESS",
            "address.country",
        ),
        (
            buyer,
            "PlaceOrder",
            with(&fresh(), "/contact/email", json!("nobody")),
            bad,
            "INVALID_CONTACT",
            "contact.email",
        ),
        (buyer, "PlaceOrder", other_content, Code::AlreadyExists, "ALREADY_EXISTS", ""),
        (
            &stranger,
            "PlaceOrder",
            with(&taken, "/customer_id", json!("")),
            Code::AlreadyExists,
            "ALREADY_EXISTS",
            "",
        ),
        (&stranger, "PlaceOrder", fresh(), denied, "FORBIDDEN", ""),
        // Cancel
        (
            ops,
            "CancelOrder",
            with(&cancel(&at.confirmed, "OPS"), "/order_id", nobody["order_id"].clone()),
            Code::NotFound,
            "NOT_FOUND",
            "",
        ),
        (
            &stranger,
            "CancelOrder",
            cancel(&at.confirmed, "CUSTOMER_REQUEST"),
            Code::NotFound,
            "NOT_FOUND",
            "",
        ),
        (buyer, "CancelOrder", cancel(&at.confirmed, "OPS"), denied, "FORBIDDEN_REASON", ""),
        (ops, "CancelOrder", cancel(&at.fulfilled, "OPS"), failed, "INVALID_TRANSITION", ""),
        (
            ops,
            "CancelOrder",
            with(
                &json!({ "order_id": at.confirmed, "reason": "CANCEL_REASON_OPS", "lines": null }),
                "/lines",
                json!([{ "line": 1, "quantity": 4 }]),
            ),
            bad,
            "INVALID_LINES",
            "lines",
        ),
        (
            ops,
            "CancelOrder",
            json!({ "order_id": at.confirmed, "reason": "CANCEL_REASON_OPS", "text": words }),
            bad,
            "TEXT_TOO_LONG",
            "text",
        ),
        (buyer, "CancelOrder", reused, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", ""),
        // Fulfil
        (buyer, "FulfillOrder", units(&at.confirmed, 1, 1), denied, "FORBIDDEN", ""),
        (service, "FulfillOrder", nobody.clone(), Code::NotFound, "NOT_FOUND", ""),
        (service, "FulfillOrder", units(&at.pending, 1, 1), failed, "INVALID_TRANSITION", ""),
        (service, "FulfillOrder", units(&at.confirmed, 2, 1), bad, "INVALID_LINES", "lines"),
        (service, "FulfillOrder", outdated, Code::Aborted, "VERSION_MISMATCH", ""),
        // RequestReturn
        (buyer, "RequestReturn", ask(&at.confirmed, 1, 1, "no"), failed, "INVALID_TRANSITION", ""),
        (buyer, "RequestReturn", ask(&at.late, 1, 1, "late"), failed, "RETURN_WINDOW_EXPIRED", ""),
        (buyer, "RequestReturn", ask(&at.fulfilled, 1, 1, " "), bad, "REASON_REQUIRED", "reason"),
        (
            buyer,
            "RequestReturn",
            ask(&at.fulfilled, 1, 4, "all"),
            bad,
            "INVALID_RETURN_LINES",
            "lines",
        ),
        (service, "RequestReturn", ask(&at.fulfilled, 1, 1, "no"), denied, "FORBIDDEN", ""),
        // Judge
        (buyer, "ApproveReturn", json!({ "order_id": at.requested }), denied, "FORBIDDEN", ""),
        (
            ops,
            "ApproveReturn",
            json!({ "order_id": at.fulfilled }),
            failed,
            "INVALID_TRANSITION",
            "",
        ),
        (
            ops,
            "ApproveReturn",
            json!({ "order_id": at.requested, "return_id": Uuid::now_v7() }),
            failed,
            "RETURN_MISMATCH",
            "",
        ),
        (
            ops,
            "ReceiveReturn",
            json!({ "order_id": at.requested }),
            failed,
            "RETURN_NOT_APPROVED",
            "",
        ),
        (ops, "ApproveReturn", refund(10, "EUR"), bad, "INVALID_REFUND", "refund"),
        (ops, "ApproveReturn", refund(11, "GBP"), failed, "REFUND_NEEDS_REASON", ""),
        (
            ops,
            "ApproveReturn",
            json!({ "order_id": at.requested, "refund": { "currency_code": "GBP", "units": 31 }, "refund_reason": "goodwill" }),
            failed,
            "REFUND_TOO_LARGE",
            "",
        ),
        (
            ops,
            "RejectReturn",
            json!({ "order_id": at.cancelled, "reason": "no" }),
            failed,
            "INVALID_TRANSITION",
            "",
        ),
        (
            ops,
            "RejectReturn",
            json!({ "order_id": at.requested, "reason": "" }),
            bad,
            "REASON_REQUIRED",
            "reason",
        ),
        (
            service,
            "RejectReturn",
            json!({ "order_id": at.requested, "reason": "no" }),
            denied,
            "FORBIDDEN",
            "",
        ),
        // Reads
        (
            &stranger,
            "GetOrder",
            json!({ "order_id": at.confirmed }),
            Code::NotFound,
            "NOT_FOUND",
            "",
        ),
        (
            ops,
            "GetOrder",
            json!({ "order_id": at.confirmed, "version": 9 }),
            Code::NotFound,
            "VERSION_NOT_FOUND",
            "",
        ),
    ];
    let heads = shop.heads().await;
    let mut reasons = BTreeSet::new();
    for (client, method, request, code, reason, field) in table {
        let what = format!("{method} to be refused as {reason}");
        let (found_code, found_reason, fields) =
            refusal(client.orders(method, request).await, &what);
        assert_eq!((found_code, found_reason.as_str()), (code, reason), "{what}");
        let named = if field.is_empty() {
            fields.is_empty()
        } else {
            fields.iter().any(|f| f.starts_with(field))
        };
        assert!(named, "{what}: {fields:?} instead of {field}");
        assert_eq!(shop.heads().await, heads, "{what} appended something");
        reasons.insert(reason);
    }
    // Every code of the lifecycle, and the edge's own.
    for code in [
        "EMPTY_ORDER",
        "TOO_MANY_LINES",
        "INVALID_LINE",
        "CURRENCY_MISMATCH",
        "AMOUNT_OVERFLOW",
        "INVALID_ADDRESS",
        "INVALID_CONTACT",
        "ALREADY_EXISTS",
        "NOT_FOUND",
        "INVALID_TRANSITION",
        "INVALID_LINES",
        "FORBIDDEN_REASON",
        "FORBIDDEN",
        "REASON_REQUIRED",
        "TEXT_TOO_LONG",
        "RETURN_WINDOW_EXPIRED",
        "INVALID_RETURN_LINES",
        "RETURN_MISMATCH",
        "RETURN_NOT_APPROVED",
        "INVALID_REFUND",
        "REFUND_NEEDS_REASON",
        "REFUND_TOO_LARGE",
        "VERSION_MISMATCH",
        "IDEMPOTENCY_KEY_REUSED",
        "VERSION_NOT_FOUND",
    ] {
        assert!(reasons.contains(code), "{code} was not provoked");
    }
    shop.restart(|_| ()).await;
    shop.close().await;
}

/// Paths (in JSON, and as violations spell them) of all fields of a request, each with an invalid
/// value.
fn malformed(
    message: &MessageDescriptor,
    json: &Value,
    path: &str,
    field: &str,
) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for known in message.fields() {
        let (mut path, mut named) =
            (format!("{path}/{}", known.name()), format!("{field}{}", known.name()));
        let Some(mut value) = json.get(known.name()) else { continue };
        if known.is_list() {
            (path, named) = (format!("{path}/0"), format!("{named}[0]"));
            let Some(first) = value.get(0) else { continue };
            value = first;
        }
        match known.kind() {
            Kind::Message(inner) if inner.full_name().starts_with("google.protobuf") => {}
            Kind::Message(inner) => {
                all.extend(malformed(&inner, value, &path, &format!("{named}.")));
            }
            kind => all.extend(wrong(&known, &kind).map(|wrong| (path, named, wrong))),
        }
    }
    all
}

fn wrong(field: &FieldDescriptor, kind: &Kind) -> Option<Value> {
    match kind {
        // Longer than anything may be, and no id.
        Kind::String => Some(json!("\u{1}".repeat(5_000))),
        Kind::Enum(_) => Some(json!(99)),
        // 0 asks for the default page.
        Kind::Uint32 if field.name() == "page_size" => None,
        // 0 takes a line off an order.
        Kind::Uint32 if field.full_name().ends_with(".LineChange.quantity") => {
            Some(json!(u32::MAX))
        }
        Kind::Uint32 => Some(json!(0)),
        // Stock may also be reduced.
        Kind::Int64 if field.name() == "delta" => Some(json!(0)),
        Kind::Int32 if field.name() == "nanos" => Some(json!(1)),
        Kind::Int32 | Kind::Int64 => Some(json!(-1)),
        // Both values of a flag and every version are valid.
        _ => None,
    }
}

async fn every_malformed_field_is_named(shop: Shop) {
    let id = Uuid::now_v7();
    let options = json!({ "request_id": id, "etag": "1" });
    let order = "ordinal.orders.v1.OrderService";
    let journal = "ordinal.orders.v1.JournalService";
    let stock = "ordinal.inventory.v1.InventoryService";
    let messages = "ordinal.notifications.v1.NotificationService";
    let admin = "ordinal.admin.v1.AdminService";
    let mut place = shop.order(&[("MUG", 1)]);
    place["lines"][0]["seller_id"] = json!(id);
    place["contact"] = json!({ "email": "a@example.com", "phone": "+4712345678", "locale": "en" });
    place["options"] = options.clone();
    let lines = json!([{ "line": 1, "quantity": 1 }]);
    let money = json!({ "currency_code": "GBP", "units": 1, "nanos": 0 });
    let page = |mut request: Value| {
        request["page_size"] = json!(1);
        request["page_token"] = json!("");
        request
    };
    let requests = [
        (order, "PlaceOrder", place),
        (order, "GetOrder", json!({ "order_id": id })),
        (
            order,
            "ListOrders",
            page(json!({ "filter": { "statuses": ["ORDER_STATUS_PENDING"], "customer_id": id } })),
        ),
        (
            order,
            "ListReturns",
            page(json!({
                "filter": { "states": ["RETURN_STATE_REQUESTED"], "customer_id": id },
                "sort": "RETURN_SORT_REQUESTED_DESC",
            })),
        ),
        (
            order,
            "CancelOrder",
            json!({ "order_id": id, "reason": "CANCEL_REASON_OPS", "text": "", "lines": lines, "options": options }),
        ),
        (
            order,
            "FulfillOrder",
            json!({ "order_id": id, "shipment_id": id, "lines": lines, "carrier": "", "tracking": "", "shipment_reference": "", "options": options }),
        ),
        (
            order,
            "RequestReturn",
            json!({ "order_id": id, "return_id": id, "lines": lines, "reason": "x", "options": options }),
        ),
        (
            order,
            "ApproveReturn",
            json!({
                "order_id": id, "return_id": id, "refund": money, "refund_reason": "",
                "dispositions": [{ "line": 1, "disposition": "DISPOSITION_RESTOCK" }], "options": options,
            }),
        ),
        (
            order,
            "RejectReturn",
            json!({ "order_id": id, "return_id": id, "reason": "x", "options": options }),
        ),
        (
            order,
            "HoldOrder",
            json!({ "order_id": id, "hold_id": id, "kind": "HOLD_KIND_FRAUD", "label": "", "reason": "x", "options": options }),
        ),
        (
            order,
            "ReleaseHold",
            json!({ "order_id": id, "hold_id": id, "reason": "x", "options": options }),
        ),
        (
            order,
            "UpdateShipment",
            json!({ "order_id": id, "shipment_id": id, "shipment_reference": "", "tracking": "", "options": options }),
        ),
        (
            order,
            "RecordDelivery",
            json!({ "order_id": id, "shipment_id": id, "shipment_reference": "", "options": options }),
        ),
        (
            order,
            "UndoShipment",
            json!({
                "order_id": id, "shipment_id": id, "shipment_reference": "",
                "cause": "UNDO_CAUSE_LOST", "refund": money, "reason": "x",
                "dispositions": [{ "line": 1, "disposition": "DISPOSITION_RESTOCK" }], "options": options,
            }),
        ),
        (
            order,
            "EditOrder",
            json!({
                "order_id": id, "edit_id": id, "reason": "x", "options": options,
                "changes": [{ "line": 1, "quantity": 1 }],
                "lines": [{ "sku": "MUG", "quantity": 1, "unit_price": money }],
            }),
        ),
        (order, "AddNote", json!({ "order_id": id, "text": "x", "options": options })),
        (journal, "ListOrderEvents", page(json!({ "order_id": id }))),
        (journal, "DiffOrder", json!({ "order_id": id, "from_version": 0, "to_version": 1 })),
        (stock, "GetStock", json!({ "sku": "MUG" })),
        (stock, "ListStock", page(json!({ "sku_prefix": "" }))),
        (stock, "SetStock", json!({ "sku": "MUG", "on_hand": 1 })),
        (stock, "BatchSetStock", json!({ "requests": [{ "sku": "MUG", "on_hand": 1 }] })),
        (stock, "AdjustStock", json!({ "sku": "MUG", "delta": 1, "reason": "", "request_id": id })),
        (stock, "ListStockHolders", page(json!({ "sku": "MUG" }))),
        (stock, "GetReservation", json!({ "order_id": id })),
        (
            messages,
            "ListNotifications",
            page(
                json!({ "order_id": id, "state": "NOTIFICATION_STATE_QUEUED", "channel": "EMAIL" }),
            ),
        ),
        (messages, "GetNotification", json!({ "notification_id": id })),
        (messages, "ResendNotification", json!({ "notification_id": id })),
        (
            messages,
            "ReplayWebhooks",
            json!({ "endpoint": "default", "replay_id": id, "since": "2026-01-01T00:00:00Z" }),
        ),
        (admin, "ListDeadLetters", page(json!({ "follower": "stock" }))),
        (admin, "GetDeadLetter", json!({ "follower": "stock", "subject": id })),
        (admin, "PutBackDeadLetters", json!({ "follower": "stock", "subject": id })),
        (admin, "DropDeadLetter", json!({ "follower": "stock", "subject": id, "reason": "x" })),
        (admin, "RebuildReadModel", json!({ "name": "deadlines" })),
        (admin, "Lookup", json!({ "id": "W-1" })),
    ];
    let heads = shop.heads().await;
    let mut tried = 0;
    for (service, method, request) in requests {
        let pool = shop.ops.pool();
        let service = pool.get_service_by_name(service).unwrap();
        let descriptor = service.methods().find(|known| known.name() == method).unwrap();
        let name = format!("{}/{method}", service.full_name().trim_start_matches("ordinal."));
        for (path, field, value) in malformed(&descriptor.input(), &request, "", "") {
            let what = format!("{name} with a malformed {field}");
            let answer = shop.ops.call(&name, with(&request, &path, value)).await;
            let (code, _, fields) = refusal(answer, &what);
            assert_eq!(code, Code::InvalidArgument, "{what}");
            let money = field.contains("unit_price.") || field.starts_with("refund.");
            let parent = field.rsplit_once('.').map_or("", |(parent, _)| parent);
            let named = fields.iter().any(|f| *f == field || (money && f.as_str() == parent));
            assert!(named, "{what}: named are {fields:?}");
            tried += 1;
        }
    }
    assert!(tried > 70, "only {tried} fields were tried");
    assert_eq!(shop.heads().await, heads);
    shop.close().await;
}
