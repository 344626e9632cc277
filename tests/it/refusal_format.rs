//! The form of refusals, the same in every service, and what they must not reveal.

use std::collections::BTreeSet;
use std::time::Instant;

use ordinal::client::{Client, Failure};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::reasons::stands_on_the_page;
use crate::shop::{On, Orders as _, Shop, on_both};

on_both!(
    every_text_field_of_every_request_is_validated,
    a_value_that_an_enumeration_has_not_is_told_those_it_has,
    nanos_of_another_sign_are_told_the_rule_in_every_amount,
    orders_of_other_customers_look_missing,
);

/// Characters that no text may contain: each hides, reverses or overwrites something.
const HOSTILE: [&str; 9] = [
    "a\0b",
    "a\u{1b}[2Kb",
    "a\rb",
    "a\u{202e}b",
    "a\u{2066}b",
    "a\u{200f}b",
    "a\u{61c}b",
    "a\u{200b}b",
    "a\u{2028}b",
];

/// A valid request except for the tested texts, by the beginning of the method's path.
pub fn around(input: &MessageDescriptor) -> Value {
    let mut request = json!({});
    let known = [
        ("order_id", json!(Uuid::now_v7())),
        ("subject", json!(Uuid::now_v7())),
        ("sku", json!("MUG")),
        ("delta", json!(1)),
        ("on_hand", json!(1)),
        ("follower", json!("stock")),
        ("source", json!("/ordinal/orders")),
        ("reason", json!("a reason")),
        ("lines", json!([{ "line": 1, "quantity": 1 }])),
    ];
    for (name, value) in known {
        let Some(field) = input.get_field_by_name(name) else { continue };
        let fits = match field.kind() {
            Kind::Message(inner) => inner.name() == "LineUnits",
            Kind::Enum(_) => false,
            _ => true,
        };
        if fits {
            request[name] = value;
        }
    }
    request
}

/// A way to a field in JSON: names, and whether each is a list.
type Steps = Vec<(String, bool)>;

/// Every text field of a message: its name in violations, and its path in JSON.
pub fn texts(message: &MessageDescriptor) -> Vec<(String, Steps)> {
    let mut found = Vec::new();
    for field in message.fields() {
        let step = (field.name().to_owned(), field.is_list());
        let path =
            if field.is_list() { format!("{}[0]", field.name()) } else { field.name().to_owned() };
        match field.kind() {
            // A key that the client chose, and its value.
            _ if field.is_map() => found.push((path, vec![step, ("key".to_owned(), false)])),
            Kind::String => found.push((path, vec![step])),
            Kind::Message(inner) if !inner.full_name().starts_with("google.protobuf") => {
                for (below, mut steps) in texts(&inner) {
                    steps.insert(0, step.clone());
                    found.push((format!("{path}.{below}"), steps));
                }
            }
            _ => {}
        }
    }
    found
}

pub fn put(request: &mut Value, steps: &[(String, bool)], value: &Value) {
    let Some(((name, is_list), rest)) = steps.split_first() else {
        *request = value.clone();
        return;
    };
    if *is_list {
        if !request[name].is_array() {
            request[name] = json!([if rest.is_empty() { json!("") } else { json!({}) }]);
        }
        put(&mut request[name][0], rest, value);
    } else {
        if !rest.is_empty() && !request[name].is_object() {
            request[name] = json!({});
        }
        put(&mut request[name], rest, value);
    }
}

async fn asked(client: &Client, name: &str, streams: bool, request: Value) -> Result<(), Status> {
    let answer = match streams {
        true => client.stream(name, request).await.map(drop),
        false => client.call(name, request).await.map(drop),
    };
    answer.map_err(|failure| match failure {
        Failure::Status(status) => *status,
        other => panic!("{name}: {other}"),
    })
}

/// Checks that a refusal has the common form; returns the fields that it names.
fn fields(status: &Status, what: &str) -> Vec<String> {
    stands_on_the_page(status);
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("{what}: {status}"));
    assert_eq!(info.domain, "ordinal", "{what}");
    assert!(!info.reason.is_empty() && !status.message().is_empty(), "{what}: {status}");
    let violations = details.bad_request().map(|bad| bad.field_violations.clone());
    let violations = violations.unwrap_or_default();
    if let Some(first) = violations.first() {
        assert_eq!(info.reason, first.reason, "{what}");
        assert!(status.message().starts_with(&format!("{}: ", first.field)), "{what}: {status}");
    }
    for violation in &violations {
        let code = |c: char| c.is_ascii_uppercase() || c == '_';
        assert!(!violation.reason.is_empty() && violation.reason.chars().all(code), "{what}");
        assert!(!violation.description.is_empty(), "{what}");
        assert!(!violation.description.starts_with(&violation.reason), "{what}");
    }
    violations.into_iter().map(|violation| violation.field).collect()
}

async fn every_text_field_of_every_request_is_validated(shop: Shop) {
    let heads = shop.heads().await;
    shop.set_stock("MUG", 5).await;
    let services: Vec<_> = shop.ops.pool().services().collect();
    let mut tried = BTreeSet::new();
    for service in services {
        // A stream of commands refuses as calls do.
        for method in service.methods().filter(|method| !method.is_client_streaming()) {
            let name = service.full_name().trim_start_matches("ordinal.");
            let name = format!("{name}/{}", method.name());
            for (field, steps) in texts(&method.input()) {
                for text in HOSTILE {
                    let mut request = around(&method.input());
                    put(&mut request, &steps, &json!(text));
                    let what = format!("{name} with {text:?} as {field}");
                    let refused = asked(&shop.ops, &name, method.is_server_streaming(), request);
                    let Err(status) = refused.await else { panic!("{what} was accepted") };
                    assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
                    let fields = fields(&status, &what);
                    let parent = field.rsplit_once('.').map_or("", |(parent, _)| parent);
                    assert!(
                        fields.iter().any(|named| *named == field || named == parent),
                        "{what}: named are {fields:?}"
                    );
                    assert!(!status.message().contains(text), "{what}");
                }
                tried.insert(format!("{name} {field}"));
            }
        }
    }
    for some in [
        "orders.v1.OrderService/CancelOrder text",
        "orders.v1.OrderService/PlaceOrder address.city",
        "orders.v1.OrderService/PlaceOrder contact.email",
        "orders.v1.OrderService/FulfillOrder tracking",
        "orders.v1.OrderService/ApproveReturn refund_reason",
        "inventory.v1.InventoryService/AdjustStock reason",
        "admin.v1.AdminService/PauseFollower reason",
        "admin.v1.AdminService/FreezeShard reason",
        "admin.v1.AdminService/AcceptJournal reason",
        "facts.v1.FactService/ReadFacts source",
    ] {
        assert!(tried.contains(some), "{some} was not tried: {tried:?}");
    }
    assert_eq!(shop.stock("MUG").await, (5, 0));
    assert_eq!(shop.heads().await, heads);
    shop.close().await;
}

/// Every field of a message that `is` chooses: its name in violations, its path in JSON, and itself.
fn chosen(
    message: &MessageDescriptor,
    is: fn(&Kind) -> bool,
) -> Vec<(String, Steps, FieldDescriptor)> {
    let mut found = Vec::new();
    for field in message.fields().filter(|field| !field.is_map()) {
        let step = (field.name().to_owned(), field.is_list());
        let path = if step.1 { format!("{}[0]", step.0) } else { step.0.clone() };
        match field.kind() {
            kind if is(&kind) => found.push((path, vec![step], field)),
            Kind::Message(inner) if !inner.full_name().starts_with("google.protobuf") => {
                for (below, mut steps, field) in chosen(&inner, is) {
                    steps.insert(0, step.clone());
                    found.push((format!("{path}.{below}"), steps, field));
                }
            }
            _ => {}
        }
    }
    found
}

/// Puts a value into every chosen field of every request; the refusals must say each word of it.
async fn told_in_every(
    shop: &Shop,
    is: fn(&Kind) -> bool,
    part: &str,
    value: Value,
    words: fn(&FieldDescriptor) -> Vec<String>,
) -> BTreeSet<String> {
    let mut tried = BTreeSet::new();
    let services: Vec<_> = shop.ops.pool().services().collect();
    for service in services {
        for method in service.methods().filter(|method| !method.is_client_streaming()) {
            let name = service.full_name().trim_start_matches("ordinal.");
            let name = format!("{name}/{}", method.name());
            for (field, steps, descriptor) in chosen(&method.input(), is) {
                let mut request = around(&method.input());
                put(&mut request, &steps, &value);
                let what = format!("{name} {field}");
                let refused = asked(&shop.ops, &name, method.is_server_streaming(), request);
                let Err(status) = refused.await else { panic!("{what} was accepted") };
                fields(&status, &what);
                let bad = status.get_details_bad_request().map(|bad| bad.field_violations);
                let bad = bad.unwrap_or_default();
                let at = format!("{field}{part}");
                let told = bad.iter().find(|violation| violation.field == at);
                let told = told.unwrap_or_else(|| panic!("{what}: {status} {bad:?}"));
                for word in words(&descriptor) {
                    assert!(told.description.contains(&word), "{what}: {}", told.description);
                }
                tried.insert(what);
            }
        }
    }
    tried
}

async fn a_value_that_an_enumeration_has_not_is_told_those_it_has(shop: Shop) {
    let words = |field: &FieldDescriptor| {
        let Kind::Enum(values) = field.kind() else { panic!("{field:?}") };
        let zero = values.default_value();
        let prefix = zero.name().trim_end_matches("UNSPECIFIED").to_owned();
        let others = values.values().filter(|value| value.number() != 0);
        let short = |name: &str| name.trim_start_matches(&prefix).to_owned();
        others.map(|value| short(value.name())).collect::<Vec<String>>()
    };
    let is = |kind: &Kind| matches!(kind, Kind::Enum(_));
    let tried = told_in_every(&shop, is, "", json!(99), words).await;
    for some in [
        "orders.v1.OrderService/ListOrders sort",
        "orders.v1.OrderService/ListOrders filter.statuses[0]",
        "orders.v1.OrderService/ListReturns filter.states[0]",
        "payments.v1.PaymentService/ListPayments status",
        "payments.v1.PaymentService/ListWebhooks state",
        "payments.v1.PayoutService/ListPayouts state",
        "payments.v1.SettlementService/ListSettlementLines state",
        "notifications.v1.NotificationService/ListNotifications state",
    ] {
        assert!(tried.contains(some), "{some} was not tried: {tried:?}");
    }
    shop.close().await;
}

async fn nanos_of_another_sign_are_told_the_rule_in_every_amount(shop: Shop) {
    let is = |kind: &Kind| matches!(kind, Kind::Message(inner) if inner.name() == "Money");
    let words = |_: &FieldDescriptor| vec!["with the sign of units".to_owned()];
    for nanos in [-10_000_000, 1_000_000_000] {
        let amount = json!({ "currency_code": "GBP", "units": 1, "nanos": nanos });
        let tried = told_in_every(&shop, is, ".nanos", amount, words).await;
        assert!(tried.contains("orders.v1.OrderService/ApproveReturn refund"), "{tried:?}");
    }
    shop.close().await;
}

/// Right-to-left languages, and joined words and signs, are valid texts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_in_every_language_are_accepted() {
    let shop = Shop::open(On::Sqlite).await;
    shop.set_stock("MUG", 5).await;
    for text in [
        "שלום רחוב",
        "شارع الملك",
        "می\u{200c}خواهم",
        "क्\u{200d}ष",
        "👩\u{200d}👩\u{200d}👧",
        "zwei\nZeilen\tund mehr\r\n",
        "Zoe\u{308}",
    ] {
        let order = shop.place(&[("MUG", 1)]).await;
        let cancel = json!({ "order_id": order, "text": text });
        let answer = shop.buyer.orders("CancelOrder", cancel).await.unwrap();
        // Composed, and without what is blank at its ends.
        let kept = text.replace("e\u{308}", "ë");
        assert_eq!(answer["order"]["cancel_text"], json!(kept.trim()));
    }
    shop.close().await;
}

async fn orders_of_other_customers_look_missing(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    let foreign = shop.place(&[("MUG", 1)]).await;
    shop.until(&foreign, "CONFIRMED").await;
    let stranger = shop.as_caller("customer", &Uuid::now_v7().to_string()).await;
    let options = [
        json!({}),
        json!({ "expected_version": 7 }),
        json!({ "expected_version": 2 }),
        json!({ "etag": "7" }),
        json!({ "request_id": Uuid::now_v7(), "etag": "2", "validate_only": true }),
    ];
    let lines = json!([{ "line": 1, "quantity": 1 }]);
    let refusal = |answer: Result<Value, Failure>| {
        let Err(Failure::Status(status)) = answer else { panic!("{answer:?}") };
        let info = status.get_details_error_info().unwrap();
        (status.code(), info.reason, info.metadata, status.message().to_owned())
    };
    for options in options {
        for method in [
            "CancelOrder",
            "FulfillOrder",
            "RequestReturn",
            "ApproveReturn",
            "RejectReturn",
            "ReceiveReturn",
        ] {
            let request = |order_id: &str| {
                let mut request = json!({ "order_id": order_id, "options": options });
                if !matches!(method, "ApproveReturn" | "RejectReturn" | "ReceiveReturn") {
                    request["lines"] = lines.clone();
                }
                if matches!(method, "RequestReturn" | "RejectReturn") {
                    request["reason"] = json!("x");
                }
                request
            };
            let absent = Uuid::now_v7().to_string();
            let absent = refusal(stranger.orders(method, request(&absent)).await);
            let theirs = refusal(stranger.orders(method, request(&foreign)).await);
            assert_eq!(absent, theirs, "{method} {options}");
            let right = if matches!(method, "CancelOrder" | "RequestReturn") {
                Code::NotFound
            } else {
                Code::PermissionDenied
            };
            assert_eq!(absent.0, right, "{method} {options}");
            // Operators get the same answer for a missing order, whatever version they expect.
            let absent = Uuid::now_v7().to_string();
            let absent = refusal(shop.ops.orders(method, request(&absent)).await);
            assert_eq!(absent.0, Code::NotFound, "{method} {options}");
        }
    }
    for (service, method) in [
        ("OrderService", "GetOrder"),
        ("JournalService", "ListOrderEvents"),
        ("JournalService", "DiffOrder"),
    ] {
        let method = format!("orders.v1.{service}/{method}");
        let ask = |order_id: String| stranger.call(&method, json!({ "order_id": order_id }));
        let absent = refusal(ask(Uuid::now_v7().to_string()).await);
        assert_eq!(absent, refusal(ask(foreign.clone()).await), "{method}");
    }
    shop.close().await;
}

/// The time of an answer reveals no more than the answer: an order that is awake is found to be
/// another customer's sooner than an order is found to be missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_another_customer_is_refused_as_late_as_a_missing_one() {
    use order_actor::grpc::NOT_FOUND_DELAY;
    use order_actor::grpc::proto::execute_commands_request::Command;
    use order_actor::grpc::proto::order_service_client::OrderServiceClient;
    use order_actor::grpc::proto::{CancelOrderRequest, ExecuteCommandsRequest};
    let shop = Shop::open(On::Sqlite).await;
    let foreign = shop.place(&[("MUG", 1)]).await;
    let stranger = shop.as_caller("customer", &Uuid::now_v7().to_string()).await;
    for order_id in [foreign, Uuid::now_v7().to_string()] {
        for method in [
            "OrderService/GetOrder",
            "OrderService/CancelOrder",
            "JournalService/ListOrderEvents",
            "JournalService/DiffOrder",
        ] {
            let asked = Instant::now();
            let request = json!({ "order_id": order_id });
            let denied = stranger.call(&format!("orders.v1.{method}"), request).await;
            assert_eq!(denied.unwrap_err().reason(), "NOT_FOUND", "{method}");
            assert!(asked.elapsed() >= NOT_FOUND_DELAY, "{method}: {:?}", asked.elapsed());
        }
        let asked = Instant::now();
        let cancel = CancelOrderRequest { order_id, ..Default::default() };
        let command = Some(Command::CancelOrder(cancel));
        let request = ExecuteCommandsRequest { command, ..Default::default() };
        let request = stranger.request(tokio_stream::once(request));
        let mut orders = OrderServiceClient::new(stranger.channel());
        let mut answers = orders.execute_commands(request).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
        assert!(asked.elapsed() >= NOT_FOUND_DELAY, "in a stream: {:?}", asked.elapsed());
    }
    shop.close().await;
}

/// Calls a path that no proto defines.
async fn stray(client: &Client, path: &str) -> Status {
    let mut grpc = tonic::client::Grpc::new(client.channel());
    grpc.ready().await.unwrap();
    let request = client.request(prost_types::Any::default());
    let codec = tonic_prost::ProstCodec::<prost_types::Any, prost_types::Any>::default();
    grpc.unary(request, path.parse().unwrap(), codec).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_methods_are_unimplemented_with_a_message() {
    let mut shop = Shop::open(On::Sqlite).await;
    let customer = shop.as_caller("customer", &Uuid::now_v7().to_string()).await;
    for client in [&shop.ops, &customer] {
        for (path, words) in [
            ("/foo.Bar/Baz", "there is no such service; the services are"),
            ("/ordinal.orders.v1.OrdersService/PlaceOrder", "ordinal.orders.v1.OrderService"),
            ("/ordinal.orders.v1.OrderService/PlaceOrders", "PlaceOrder"),
            ("/ordinal.admin.v1.AdminService/Nothing", "PauseFollower"),
            ("/grpc.health.v1.Health/Nothing", "there is no such method"),
        ] {
            let status = stray(client, path).await;
            assert_eq!(status.code(), Code::Unimplemented, "{path}: {status}");
            assert!(status.message().contains(words), "{path}: {status}");
            assert!(fields(&status, path).is_empty());
            assert_eq!(status.get_details_error_info().unwrap().reason, "UNIMPLEMENTED");
        }
    }
    let status = stray(&customer, "/ordinal.admin.v1.AdminService/PauseFollower").await;
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_size_above_the_limit_is_reduced_to_it() {
    let shop = Shop::open(On::Sqlite).await;
    shop.set_stock("MUG", 5).await;
    let order = shop.place(&[("MUG", 1)]).await;
    let lists = [
        ("orders.v1.OrderService/ListOrders", json!({})),
        ("orders.v1.OrderService/ListReturns", json!({})),
        ("orders.v1.JournalService/ListOrderEvents", json!({ "order_id": order })),
        ("inventory.v1.InventoryService/ListStock", json!({})),
        ("inventory.v1.InventoryService/ListMovements", json!({ "sku": "MUG" })),
        ("inventory.v1.InventoryService/ListStockHolders", json!({ "sku": "MUG" })),
        ("notifications.v1.NotificationService/ListNotifications", json!({})),
        ("ledger.v1.LedgerService/ListAccounts", json!({})),
        ("ledger.v1.LedgerService/ListEntries", json!({})),
        ("payments.v1.PaymentService/ListPayments", json!({})),
        ("payments.v1.PaymentService/ListStuckOperations", json!({})),
        ("payments.v1.PaymentService/ListWebhooks", json!({})),
        ("payments.v1.PayoutService/ListPayouts", json!({})),
        ("payments.v1.SettlementService/ListSettlements", json!({})),
        ("payments.v1.SettlementService/ListSettlementLines", json!({})),
        ("payments.v1.SettlementService/ListUnsettled", json!({})),
        ("admin.v1.AdminService/ListDeadLetters", json!({})),
        ("admin.v1.AdminService/ListOperatorActions", json!({})),
    ];
    let with_pages: BTreeSet<String> = shop
        .ops
        .pool()
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|method| method.input().get_field_by_name("page_size").is_some())
        .map(|method| method.full_name().replace("Service.", "Service/"))
        .collect();
    let tried = lists.iter().map(|(name, _)| format!("ordinal.{name}")).collect();
    assert_eq!(with_pages, tried);
    for (name, mut request) in lists {
        for size in [0, 1, 100, 101, i32::MAX] {
            request["page_size"] = json!(size);
            shop.ops
                .call(name, request.clone())
                .await
                .unwrap_or_else(|error| panic!("{name} {size}: {error}"));
        }
    }
    shop.close().await;
}

/// A client without proto files finds the health service too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_lists_every_service() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let mut shop = Shop::open(On::Sqlite).await;
    let mut client = ServerReflectionClient::new(shop.ops.channel());
    let mut ask = async |message: MessageRequest| {
        let request =
            ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
        answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(listed) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list")
    };
    let names: BTreeSet<String> = listed.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains("grpc.health.v1.Health"), "{names:?}");
    for name in names {
        let found = ask(MessageRequest::FileContainingSymbol(name.clone())).await;
        assert!(matches!(found, MessageResponse::FileDescriptorResponse(_)), "{name}: {found:?}");
    }
    shop.stop().await;
}
