use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderName, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, Service as _};

use super::frames::{Frames, frame};
use super::routes::{Routes, RoutesError};
use crate::front::{Settings, WebEdge};
use crate::guard::Hosts;

mod accepted;
mod bodies;
mod routes;
mod spellings;
mod streams;
mod versions;

fn descriptors() -> Vec<u8> {
    let mut compiler = protox::Compiler::new(["../proto"]).unwrap();
    compiler.include_imports(true);
    let files = [
        "ordinal/orders/v1/orders.proto",
        "ordinal/orders/v1/journal.proto",
        "ordinal/inventory/v1/inventory.proto",
        "ordinal/notifications/v1/notifications.proto",
        "ordinal/admin/v1/admin.proto",
        "ordinal/facts/v1/facts.proto",
    ];
    compiler.open_files(files).unwrap();
    compiler.encode_file_descriptor_set()
}

/// What a service was asked.
#[derive(Clone)]
struct Asked {
    path: String,
    headers: HeaderMap,
    message: Value,
}

/// A process whose services give these answers, all the same ones.
struct Process {
    edge: WebEdge,
    pool: DescriptorPool,
    answers: Vec<Value>,
    end: Option<Status>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Process {
    fn new(answers: &[Value]) -> Self {
        let set = descriptors();
        let subject = |headers: &HeaderMap| {
            headers.get("authorization").map(|who| who.to_str().unwrap().to_owned())
        };
        let edge = WebEdge::new(Settings {
            routes: Routes::new([set.as_slice()], |_| true).unwrap(),
            unrouted: |_| false,
            hosts: Hosts::default(),
            passed_headers: vec![HeaderName::from_static("ordinal-subject")],
            connection_headers: Vec::new(),
            subject: Arc::new(subject),
            pages: Arc::new(|_| None),
        });
        let pool = DescriptorPool::decode(set.as_slice()).unwrap();
        Self { edge, pool, answers: answers.to_vec(), end: None, asked: Arc::default() }
    }

    fn ending(mut self, status: Status) -> Self {
        self.end = Some(status);
        self
    }

    async fn call(&self, request: Request<Body>) -> Response<Body> {
        let (pool, asked) = (self.pool.clone(), Arc::clone(&self.asked));
        let (answers, end) = (self.answers.clone(), self.end.clone());
        let inner = tower::service_fn(move |request: Request<Body>| {
            let (pool, asked) = (pool.clone(), Arc::clone(&asked));
            let (answers, end) = (answers.clone(), end.clone());
            async move {
                let (parts, body) = request.into_parts();
                let path = parts.uri.path().to_owned();
                let (service, method) = path[1..].split_once('/').unwrap();
                let service = pool.get_service_by_name(service).unwrap();
                let method = service.methods().find(|known| known.name() == method).unwrap();
                let mut frames = Frames::new(body);
                let mut messages = Vec::new();
                loop {
                    match frames.next().await {
                        Ok(Some(message)) => {
                            let message = DynamicMessage::decode(method.input(), message).unwrap();
                            messages.push(serde_json::to_value(&message).unwrap());
                        }
                        Err(status) if status.message() == "the answer broke off" => break,
                        Err(status) => return Ok::<_, Infallible>(status.into_http()),
                        Ok(None) => break,
                    }
                }
                let asked_for = messages.into_iter().map(|message| Asked {
                    path: path.clone(),
                    headers: parts.headers.clone(),
                    message,
                });
                asked.lock().unwrap().extend(asked_for);
                let status = end.unwrap_or_else(|| Status::new(Code::Ok, ""));
                if answers.is_empty() && status.code() != Code::Ok {
                    return Ok(status.into_http());
                }
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers).unwrap();
                let answers = answers.into_iter().map(move |answer| {
                    let answer = DynamicMessage::deserialize(method.output(), answer).unwrap();
                    Ok::<_, Status>(Frame::data(frame(&answer)))
                });
                let end = std::iter::once(Ok(Frame::trailers(trailers)));
                let body = StreamBody::new(futures::stream::iter(answers.chain(end)));
                Ok(Response::new(Body::new(body)))
            }
        });
        let Ok(answer) = self.edge.layer(inner).call(request).await;
        answer
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The status, the headers and the text of an answer.
    async fn text(&self, request: Request<Body>) -> (u16, HeaderMap, String) {
        let (head, body) = self.call(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), head.headers, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn json(&self, request: Request<Body>) -> (u16, HeaderMap, Value) {
        let (status, headers, text) = self.text(request).await;
        (status, headers, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
    }
}

fn get(uri: &str) -> http::request::Builder {
    Request::get(uri).header("host", "localhost")
}

fn empty(request: http::request::Builder) -> Request<Body> {
    request.body(Body::empty()).unwrap()
}

fn post(uri: &str) -> http::request::Builder {
    Request::post(uri).header("host", "localhost").header("content-type", "application/json")
}

fn with(request: http::request::Builder, body: &str) -> Request<Body> {
    request.body(Body::new(http_body_util::Full::from(body.to_owned()))).unwrap()
}

#[test]
fn each_method_has_a_route_and_no_two_have_one() {
    let set = descriptors();
    let routes = Routes::new([set.as_slice()], |_| true).unwrap();
    let pool = DescriptorPool::decode(set.as_slice()).unwrap();
    let methods: usize = pool.services().map(|service| service.methods().len()).sum();
    let mut rpcs: Vec<&str> = routes.iter().map(super::routes::Route::rpc).collect();
    rpcs.sort_unstable();
    rpcs.dedup();
    assert_eq!(rpcs.len(), methods);
    // What prost's own types write has lost the options.
    let file = pool.file_descriptor_protos().cloned().collect();
    let bare = prost_reflect::prost_types::FileDescriptorSet { file };
    let bare = prost::Message::encode_to_vec(&bare);
    let found = Routes::new([bare.as_slice()], |_| true);
    assert!(matches!(found, Err(RoutesError::NoRoute(_))));
}

#[tokio::test]
async fn parameters_are_the_same_as_fields_of_a_body() {
    let process = Process::new(&[json!({})]);
    let uri = "/v1/orders?statuses=pending&filter.statuses=ORDER_STATUS_CONFIRMED&page_size=7\
               &placed_from=2026-01-02T03:04:05Z&at_least=3:17&returnsWaiting=true&tag=a+b%26c";
    let (status, _, answer) = process.json(empty(get(uri))).await;
    assert_eq!((status, &answer["orders"]), (200, &json!([])), "{answer}");
    let asked = process.asked().remove(0);
    assert_eq!(asked.path, "/ordinal.orders.v1.OrderService/ListOrders");
    assert_eq!(
        asked.message,
        json!({
            "filter": {
                "statuses": ["ORDER_STATUS_PENDING", "ORDER_STATUS_CONFIRMED"],
                "placedFrom": "2026-01-02T03:04:05Z", "returnsWaiting": true, "tag": "a b&c",
            },
            "pageSize": 7,
            "atLeast": { "shard": 3, "position": "17" },
        })
    );
}

#[tokio::test]
async fn what_is_unknown_is_refused_by_its_name() {
    let process = Process::new(&[json!({})]);
    let refused = async |request, field: &str, words: &str| {
        let (status, headers, problem) = process.json(request).await;
        assert_eq!(status, 400, "{problem}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        let message = problem["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    };
    refused(empty(get("/v1/orders?statuse=PENDING")), "statuse", "did you mean statuses?").await;
    refused(empty(get("/v1/orders?statuses=NEW")), "statuses", "PENDING, CONFIRMED").await;
    refused(empty(get("/v1/orders?page_size=x")), "page_size", "").await;
    refused(empty(get("/v1/orders?page_size=1&page_size=2")), "page_size", "twice").await;
    refused(empty(get("/v1/orders/x?order_id=y")), "order_id", "unknown").await;
    refused(empty(get("/v1/orders/x?version=1&time=2026-01-01T00:00:00Z")), "time", "version")
        .await;
    let lines = r#"{"lines": [{"sku": "MUG", "quantty": 2}]}"#;
    refused(with(post("/v1/orders"), lines), "lines[0].quantty", "did you mean quantity?").await;
    refused(with(post("/v1/orders?page=1"), "{}"), "page", "validate_only").await;
    refused(with(post("/v1/orders/a:cancel"), r#"{"order_id": "b"}"#), "order_id", "path").await;
    let (status, _, problem) = process.json(with(post("/v1/orders"), "{")).await;
    assert_eq!((status, &problem["code"]), (400, &json!("MALFORMED_MESSAGE")));
    assert!(process.asked().is_empty());
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let process = Process::new(&[json!({})]);
    for path in ["/", "/v1", "/v1/order", "/v1/orders/a/b", "/v1/orders/a:burn", "/V1/orders"] {
        let (status, headers, problem) = process.json(empty(get(path))).await;
        assert_eq!((status, &problem["code"]), (404, &json!("ROUTE_NOT_FOUND")), "{path}");
        assert_eq!(headers["content-type"], "application/problem+json");
    }
    let wrong = Request::delete("/v1/orders").header("host", "localhost");
    let overridden = with(post("/v1/orders/a").header("x-http-method-override", "GET"), "{}");
    for (request, allow) in [(empty(wrong), "GET, POST"), (overridden, "GET")] {
        let (status, headers, _) = process.json(request).await;
        assert_eq!((status, headers["allow"].to_str().unwrap()), (405, allow));
    }
    assert!(process.asked().is_empty());
}

#[tokio::test]
async fn numbers_of_64_bits_survive() {
    let stock = json!({ "stock": { "sku": "A/B:1", "on_hand": "9007199254740993" } });
    let process = Process::new(&[stock]);
    for number in ["9007199254740993", "\"9007199254740993\""] {
        let put = Request::put("/v1/stock/A%2FB%3A1")
            .header("host", "localhost")
            .header("content-type", "application/json");
        let body = format!("{{\"on_hand\": {number}}}");
        let (status, _, answer) = process.json(with(put, &body)).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["stock"]["on_hand"], "9007199254740993");
        let asked = process.asked().pop().unwrap();
        assert_eq!(asked.message, json!({ "sku": "A/B:1", "onHand": "9007199254740993" }));
    }
}

#[tokio::test]
async fn only_headers_of_a_list_reach_a_service() {
    let process = Process::new(&[json!({})]);
    let request = get("/v1/orders")
        .header("authorization", "Bearer x")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("ordinal-subject", "anna")
        .header("ordinal-forwarded", "1")
        .header("ordinal-carried", "1")
        .header("grpc-metadata-authorization", "y")
        .header("grpc-timeout", "9H")
        .header("cookie", "z")
        .header("prefer", "respond-async, wait=3");
    process.json(empty(request)).await;
    let asked = process.asked().remove(0);
    let mut names: Vec<&str> = asked.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let known = ["authorization", "content-type", "grpc-timeout", "ordinal-subject", "te"];
    assert_eq!(names, [known.as_slice(), &["traceparent"]].concat());
    assert_eq!(asked.headers["grpc-timeout"], "3S");
}

#[tokio::test]
async fn keys_of_idempotency_become_request_ids() {
    let process = Process::new(&[json!({ "order": { "order_id": "o" } })]);
    let id = async |key: &str, who: &str| {
        let request =
            post("/v1/orders").header("idempotency-key", key).header("authorization", who);
        let (status, _, answer) = process.json(with(request, "{}")).await;
        assert_eq!(status, 201, "{answer}");
        let asked = process.asked().pop().unwrap();
        asked.message["options"]["requestId"].as_str().unwrap().to_owned()
    };
    let uuid = "018f6f3e-0000-7000-8000-00000000000a";
    assert_eq!(id(uuid, "anna").await, uuid);
    let own = id("cart-17", "anna").await;
    assert_eq!(id("cart-17", "anna").await, own);
    assert_eq!(id("\"cart-17\"", "anna").await, own);
    assert_ne!(id("cart-17", "bert").await, own);
    assert_ne!(id("cart-18", "anna").await, own);
    let long = "x".repeat(256);
    for key in ["", &long] {
        let request = post("/v1/orders").header("idempotency-key", key);
        let (status, _, problem) = process.json(with(request, "{}")).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("Idempotency-Key")));
    }
    let other = r#"{"options": {"request_id": "018f6f3e-0000-7000-8000-00000000000b"}}"#;
    let request = post("/v1/orders").header("idempotency-key", uuid);
    assert_eq!(process.json(with(request, other)).await.0, 400);
    let request = post("/v1/timers:resume").header("idempotency-key", uuid);
    assert_eq!(process.json(with(request, "{}")).await.0, 400);
}

#[tokio::test]
async fn what_was_created_has_a_place_and_what_was_repeated_says_so() {
    let order = json!({ "order_id": "o 1", "etag": "3" });
    let process = Process::new(&[json!({ "order": order.clone() })]);
    let (status, headers, _) = process.json(with(post("/v1/orders"), "{}")).await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (201, "/v1/orders/o%201"));
    assert_eq!(headers["etag"], "\"3\"");
    let (status, headers, _) =
        process.json(with(post("/v1/orders?validate_only=true"), "{}")).await;
    assert_eq!((status, headers.get("location")), (200, None));
    let asked = process.asked().pop().unwrap();
    assert_eq!(asked.message, json!({ "options": { "validateOnly": true } }));
    assert_eq!(process.json(with(post("/v1/orders/a:cancel"), "{}")).await.0, 200);
    let repeated = Process::new(&[json!({ "order": order, "replayed": true })]);
    let (status, headers, _) = repeated.json(with(post("/v1/orders"), "{}")).await;
    assert_eq!((status, headers["ordinal-replayed"].to_str().unwrap()), (200, "true"));
}

#[tokio::test]
async fn versions_are_compared() {
    let process = Process::new(&[json!({ "order": { "order_id": "o", "etag": "3" } })]);
    let (status, headers, text) =
        process.text(empty(get("/v1/orders/o").header("if-none-match", "\"2\", \"3\""))).await;
    assert_eq!((status, text.as_str()), (304, ""));
    assert_eq!(headers["etag"], "\"3\"");
    let stale = process.text(empty(get("/v1/orders/o").header("if-none-match", "\"2\""))).await;
    assert_eq!(stale.0, 200);
    process.json(with(post("/v1/orders/o:cancel").header("if-match", "\"3\""), "{}")).await;
    assert_eq!(process.asked().pop().unwrap().message["options"]["etag"], "3");
    for wrong in ["3", "*", "W/\"3\"", "\"3\", \"4\""] {
        let request = with(post("/v1/orders/o:cancel").header("if-match", wrong), "{}");
        assert_eq!(process.json(request).await.0, 400, "{wrong}");
    }
    let head = Request::head("/v1/orders/o").header("host", "localhost");
    let (status, headers, text) = process.text(empty(head)).await;
    assert_eq!((status, headers["etag"].to_str().unwrap(), text.as_str()), (200, "\"3\"", ""));
}

#[tokio::test]
async fn a_deadline_that_passed_is_504() {
    let process = Process::new(&[]).ending(Status::deadline_exceeded("too late"));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (status, _, problem) =
        process.json(empty(get("/v1/orders/o").header("traceparent", trace))).await;
    assert_eq!(status, 504);
    assert_eq!(problem["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(problem["instance"], "/v1/orders/o");
    assert_eq!(problem["detail"], "too late");
}

#[tokio::test]
async fn grpc_is_let_through() {
    let process = Process::new(&[json!({})]);
    let mut message = bytes::BytesMut::new();
    message.extend_from_slice(&[0; 5]);
    let grpc = |version| {
        Request::post("/ordinal.orders.v1.OrderService/ListOrders")
            .version(version)
            .header("host", "any.example")
            .header("content-type", "application/grpc")
            .body(Body::new(http_body_util::Full::from(message.clone().freeze())))
            .unwrap()
    };
    assert_eq!(process.call(grpc(http::Version::HTTP_2)).await.status(), 200);
    assert_eq!(process.asked().len(), 1);
    assert_eq!(process.call(grpc(http::Version::HTTP_11)).await.status(), 421);
    assert_eq!(process.asked().len(), 1);
}

#[tokio::test]
async fn the_page_of_a_problem_is_for_people_and_programs() {
    let process = Process::new(&[]);
    let (status, _, page) = process.json(empty(get("/v1/problems/VERSION_MISMATCH"))).await;
    assert_eq!((status, &page["status"]), (200, &json!(409)));
    let html = get("/v1/problems/VERSION_MISMATCH").header("accept", "text/html");
    let (_, headers, text) = process.text(empty(html)).await;
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert!(text.contains("<h1>Version mismatch</h1>"));
    assert_eq!(process.text(empty(get("/v1/problems/NONSENSE"))).await.0, 404);
}
