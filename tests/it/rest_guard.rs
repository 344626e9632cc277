//! What is sent by HTTP and is not served: pages of others, other spellings, floods.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::http::Http;
use crate::limits::{Limited, ops};
use crate::shop::{On, Shop};

/// Whoever does not begin a call is left after 10 s, and would be after a minute in any case.
const LEFT_WITHIN: Duration = Duration::from_secs(45);

/// Headers, and the status and code of the answer.
type Attack = (&'static [(&'static str, &'static str)], u16, &'static str);

/// The orders of a shop.
async fn orders(shop: &Shop) -> usize {
    shop.settled().await;
    let listed = shop.ops.call("orders.v1.OrderService/ListOrders", json!({})).await.unwrap();
    listed["orders"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_somebody_else_gets_nothing_and_changes_nothing() {
    let shop = Shop::open(On::Sqlite).await;
    let body = shop.order(&[("MUG", 1)]);
    let attacks: [Attack; 8] = [
        (&[("host", "evil.example")], 421, "HOST_NOT_ALLOWED"),
        (&[("origin", "http://evil.example")], 403, "ORIGIN_NOT_ALLOWED"),
        (&[("origin", "null")], 403, "ORIGIN_NOT_ALLOWED"),
        (&[("sec-fetch-site", "cross-site")], 403, "ORIGIN_NOT_ALLOWED"),
        (&[("sec-fetch-site", "same-site")], 403, "ORIGIN_NOT_ALLOWED"),
        (&[("content-type", "text/plain")], 415, "UNSUPPORTED_MEDIA_TYPE"),
        (&[("content-type", "application/x-www-form-urlencoded")], 415, "UNSUPPORTED_MEDIA_TYPE"),
        (&[("content-type", "application/grpc")], 415, "UNSUPPORTED_MEDIA_TYPE"),
    ];
    for (headers, status, code) in attacks {
        let mut http = Http::connect(&shop.address).await;
        let answer = http.json("POST /v1/orders", headers, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{headers:?}");
        assert!(!answer.headers.keys().any(|name| name.starts_with("access-control")));
    }
    for path in ["/v1/orders", "/v1/orders:watch", "/v1/problems/NOT_FOUND", "/", "/docs"] {
        let mut http = Http::connect(&shop.address).await;
        let answer = http.call(&format!("GET {path}"), &[("host", "evil.example")]).await;
        assert_eq!(answer.status, 421, "{path}");
    }
    // A permission that a page may ask for is not given.
    let mut http = Http::connect(&shop.address).await;
    let asked = [("origin", "http://evil.example"), ("access-control-request-method", "POST")];
    let answer = http.call("OPTIONS /v1/orders", &asked).await;
    assert_eq!(answer.status, 403);
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    assert_eq!(orders(&shop).await, 0);
    // A program needs none of this.
    let mut http = Http::connect(&shop.address).await;
    assert_eq!(http.json("POST /v1/orders", &[], &body).await.status, 201);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_and_no_spelling_goes_around_access() {
    let shop = Shop::open(On::Sqlite).await;
    let id = shop.place(&[("MUG", 1)]).await;
    let stranger = Uuid::now_v7().to_string();
    let as_stranger = [("ordinal-role", "customer"), ("ordinal-subject", stranger.as_str())];
    let mut http = Http::connect(&shop.address).await;
    for more in [
        [("ordinal-forwarded", "1"), ("ordinal-carried", "1")],
        [("grpc-metadata-ordinal-role", "ops"), ("grpc-timeout", "9H")],
        [("x-http-method-override", "PUT"), ("x-original-url", "/v1/followers")],
    ] {
        let headers = [&as_stranger[..], &more].concat();
        let answer = http.call(&format!("GET /v1/orders/{id}"), &headers).await;
        assert_eq!(answer.status, 404, "{more:?}");
        let answer = http.call("GET /v1/followers", &headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "FORBIDDEN"), "{more:?}");
    }
    for path in [
        "/v1/%66ollowers",
        "/v1//followers",
        "/v1/./followers",
        "/v1/x/../followers",
        "/v1/orders/%2e%2e/followers",
        "/V1/followers",
        "/v1/followers/",
        "/v1%2Ffollowers",
        "/ordinal.admin.v1.AdminService/ListFollowers",
    ] {
        let answer = http.call(&format!("GET {path}"), &as_stranger).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "ROUTE_NOT_FOUND"), "{path}");
    }
    let token = http.call("GET /v1/orders?access_token=x", &[]).await;
    assert_eq!(token.status, 400);
    assert_eq!(token.json()["errors"][0]["field"], "access_token");
    let unknown = http.call("GET /v1/orders?statuse=PENDING", &[]).await;
    assert_eq!((unknown.status, &unknown.json()["errors"][0]["field"]), (400, &json!("statuse")));
    let mut body = shop.order(&[("MUG", 1)]);
    body["lines"][0]["quantty"] = json!(2);
    let unknown = http.json("POST /v1/orders", &[], &body).await;
    assert_eq!(unknown.json()["errors"][0]["field"], "lines[0].quantty", "{unknown:?}");
    assert_eq!(orders(&shop).await, 1);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_and_heads_are_bounded() {
    let shop = Shop::open(On::Sqlite).await;
    let mut http = Http::connect(&shop.address).await;
    let large = "x".repeat(20 * 1024);
    let answer = http.call("GET /v1/orders", &[("x-large", &large)]).await;
    assert_eq!((answer.status, answer.code().as_str()), (431, "HEADERS_TOO_LARGE"));
    // The connection is still of use.
    assert_eq!(http.call("GET /v1/orders", &[]).await.status, 200);
    let mut http = Http::connect(&shop.address).await;
    let huge = "x".repeat(200 * 1024);
    http.head("GET /v1/orders", &[("x-huge", &huge)]).await;
    assert_eq!(http.answered().await.status, 431);
    let mut http = Http::connect(&shop.address).await;
    let text = format!("{{\"order_id\": \"{}\"}}", "x".repeat(1024 * 1024));
    let answer = http.text("POST /v1/orders", &[], &text).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "MESSAGE_TOO_LARGE"));
    let mut http = Http::connect(&shop.address).await;
    http.send(b"\x16\x03\x01 no HTTP at all\r\n\r\n").await;
    // At once: one without a call is closed after 10 s.
    assert!(http.closes_within(Duration::from_secs(9)).await);
    let mut http = Http::connect(&shop.address).await;
    http.send(b"GET /v1/orders HTTP/1.1\r\n\r\n").await;
    assert_eq!(http.answer().await.status, 421);
    shop.close().await;
}

/// The same over HTTP/2, by either spelling.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_over_http2_are_bounded_and_their_callers_told() {
    let shop = Shop::open(On::Sqlite).await;
    let host = shop.address.trim_start_matches("http://").to_owned();
    let tcp = tokio::net::TcpStream::connect(&host).await.unwrap();
    let (sender, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    let send = async |mut request: ::http::Request<()>, bytes: usize| {
        let large = "x".repeat(bytes).parse().unwrap();
        request.headers_mut().insert("x-large", large);
        let mut sender = sender.clone().ready().await.unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        let (head, mut body) = answer.await.unwrap().into_parts();
        let mut text = Vec::new();
        while let Some(Ok(data)) = body.data().await {
            text.extend_from_slice(&data);
        }
        (head, String::from_utf8(text).unwrap())
    };
    let get = || http_types("GET", &format!("http://{host}/v1/orders"));
    let (head, text) = send(get(), 20 * 1024).await;
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((head.status.as_u16(), &problem["code"]), (431, &json!("HEADERS_TOO_LARGE")));
    let call = || {
        let path = "/ordinal.orders.v1.OrderService/ListOrders";
        let request = ::http::Request::post(format!("http://{host}{path}"));
        request.header("content-type", "application/grpc").body(()).unwrap()
    };
    let (head, _) = send(call(), 20 * 1024).await;
    let told = crate::wire::status(&head.headers).unwrap();
    let told = (told.code(), crate::wire::reason(&told));
    assert_eq!(told, (tonic::Code::InvalidArgument, "HEADERS_TOO_LARGE".to_owned()));
    // So much is not even read.
    for request in [get(), call()] {
        let (head, text) = send(request, 30 * 1024).await;
        assert_eq!((head.status.as_u16(), text.as_str()), (431, ""));
    }
    // The connection is still of use, with what is large and not too large.
    let (head, _) = send(get(), 15 * 1024).await;
    assert_eq!(head.status, 200);
    shop.close().await;
}

/// A slow head, a slow body and a connection without a call, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_slow_is_left() {
    let shop = Shop::open(On::Sqlite).await;
    let slow_head = async {
        let mut http = Http::connect(&shop.address).await;
        http.send(b"GET /v1/orders HTTP/1.1\r\nhost: localhost\r\n").await;
        assert!(http.closes_within(LEFT_WITHIN).await);
    };
    let slow_body = async {
        let mut http = Http::connect(&shop.address).await;
        let json = [("content-type", "application/json"), ("content-length", "100")];
        http.head("POST /v1/orders", &json).await;
        http.send(b"{").await;
        let answer = http.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (408, "MESSAGE_TOO_SLOW"));
    };
    let silent = async {
        let mut http = Http::connect(&shop.address).await;
        assert!(http.closes_within(LEFT_WITHIN).await);
    };
    let slow_line = async {
        let mut http = Http::connect(&shop.address).await;
        let lines = [("content-type", "application/x-ndjson"), ("content-length", "100")];
        http.head("POST /v1/orders:batch", &lines).await;
        http.send(b"{").await;
        let answer = http.answer().await;
        assert!(answer.text.contains("MESSAGE_TOO_SLOW"), "{answer:?}");
    };
    tokio::join!(slow_head, slow_body, silent, slow_line);
    shop.close().await;
}

/// Over HTTP/1.1, where the answer comes before the body was read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_while_a_call_is_refused_sees_why_and_goes_on() {
    let shop = Limited::started(&[], &[], None);
    let (operator, large) = (ops(), "x".repeat(40 * 1024));
    let nobody: [(&str, &str); 0] = [];
    let known = [("authorization", operator.as_str())];
    let (problem, json) = ("application/problem+json", "application/json");
    let connect = "POST /ordinal.orders.v1.OrderService/PlaceOrder";
    for (call, by, body, status, kind, code) in [
        ("POST /v1/orders", &nobody[..], large.as_str(), 401, problem, "UNAUTHENTICATED"),
        ("POST /v1/nowhere", &known[..], large.as_str(), 404, problem, "ROUTE_NOT_FOUND"),
        // That it is no JSON is told to those only who may call.
        (connect, &nobody[..], "{", 401, json, "unauthenticated"),
    ] {
        let mut http = shop.http().await;
        let length = body.len().to_string();
        let about = [("content-type", json), ("content-length", length.as_str())];
        http.head(call, &[by, &about].concat()).await;
        for piece in body.as_bytes().chunks(8 * 1024) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            http.send(piece).await;
        }
        let answer = http.answer().await;
        let told = (answer.status, answer.headers["content-type"].as_str());
        assert_eq!(told, (status, kind), "{call}: {answer:?}");
        assert_eq!(answer.json()["code"], code, "{call}: {answer:?}");
        let next = http.call("GET /v1/orders", &known).await;
        assert_eq!(next.status, 200, "{call}: {next:?}");
    }
    assert!(shop.engine.stop().success());
}

/// A customer's share is 16 MiB: so much is kept of bodies that are on their way, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_on_their_way_count_for_their_caller() {
    let shop = Shop::open(On::Sqlite).await;
    let customer = shop.customer.to_string();
    let by = [("ordinal-role", "customer"), ("ordinal-subject", customer.as_str())];
    let json = [("content-type", "application/json"), ("content-length", "1048576")];
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut http = Http::connect(&shop.address).await;
        http.head("POST /v1/orders", &[&by[..], &json].concat()).await;
        waiting.push(http);
    }
    let mut http = Http::connect(&shop.address).await;
    let order = shop.order(&[("MUG", 1)]);
    assert_eq!(http.json("POST /v1/orders", &[], &order).await.status, 201, "of another caller");
    let answers = waiting.iter_mut().map(Http::answer);
    let answers = futures::future::join_all(answers).await;
    let with = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((with(503), with(408)), (4, 16), "{answers:?}");
    shop.close().await;
}

/// JSON over HTTP/2 on the same port and connection as gRPC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_is_spoken_over_http2_too() {
    let shop = Shop::open(On::Sqlite).await;
    let host = shop.address.trim_start_matches("http://").to_owned();
    let tcp = tokio::net::TcpStream::connect(&host).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    let uri = format!("http://{host}/v1/orders");
    let json = http_types("POST", &uri);
    let (answer, mut body) = sender.send_request(json, false).unwrap();
    body.send_data(shop.order(&[("MUG", 1)]).to_string().into(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 201);
    let evil = http_types("GET", "http://evil.example/v1/orders");
    let (answer, _) = sender.send_request(evil, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 421);
    // What a page makes a proxy send as gRPC is guarded as well.
    for (origin, status) in [("http://evil.example", 403), (shop.address.as_str(), 200)] {
        let path = "/ordinal.orders.v1.OrderService/GetOrder";
        let request = ::http::Request::post(format!("{}{path}", shop.address));
        let request = request.header("content-type", "application/grpc").header("origin", origin);
        let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), status, "{origin}");
    }
    // A body that does not say what it is.
    let mut untyped = http_types("POST", &uri);
    untyped.headers_mut().clear();
    let (answer, mut body) = sender.send_request(untyped, false).unwrap();
    body.send_data("{}".into(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 415);
    assert_eq!(orders(&shop).await, 1);
    shop.close().await;
}

fn http_types(method: &str, uri: &str) -> ::http::Request<()> {
    let request = ::http::Request::builder().method(method).uri(uri);
    request.header("content-type", "application/json").body(()).unwrap()
}

/// What one way of writing a call cannot carry is refused, and not dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_and_conditions_are_taken_or_refused() {
    let shop = Shop::open(On::Sqlite).await;
    let line = json!({ "tag": "1", "place_order": shop.order(&[("MUG", 1)]) });
    let lines = [("content-type", "application/x-ndjson"), ("accept", "application/x-ndjson")];
    let binary = [("content-type", "application/proto"), ("connect-protocol-version", "1")];
    let place = "POST /ordinal.orders.v1.OrderService/PlaceOrder";
    for (call, about, header, field) in [
        ("POST /v1/orders:batch?validate_only=true", lines, ("x", "y"), "validate_only"),
        ("POST /v1/orders:batch", lines, ("idempotency-key", "k"), "idempotency-key"),
        ("POST /v1/orders:batch", lines, ("if-match", "\"1\""), "if-match"),
        (place, binary, ("idempotency-key", "k"), "idempotency-key"),
        (place, binary, ("if-match", "\"1\""), "if-match"),
        ("POST /v1/orders:batch", lines, ("if-none-match", "*"), "If-None-Match"),
        (place, binary, ("if-none-match", "*"), "If-None-Match"),
    ] {
        let headers = [&about[..], &[header]].concat();
        let mut http = Http::connect(&shop.address).await;
        let answer = http.text(call, &headers, &format!("{line}\n")).await;
        let found = &answer.json()["errors"][0]["field"];
        assert_eq!((answer.status, found), (400, &json!(field)), "{call} {header:?}");
    }
    // A condition that a call does not know, and two that are not the same.
    let id = "018f6f3e-0000-7000-8000-00000000000a";
    let etag = json!({ "options": { "etag": "2" } });
    let order = shop.order(&[("MUG", 1)]);
    let units = json!({ "on_hand": 1 });
    for (call, body, header, field) in [
        ("POST /v1/orders".to_owned(), &order, ("if-none-match", "*"), "If-None-Match"),
        ("PUT /v1/stock/MUG".to_owned(), &units, ("if-none-match", "*"), "If-None-Match"),
        ("PUT /v1/stock/MUG".to_owned(), &units, ("if-none-match", "\"1\""), "If-None-Match"),
        (
            format!("PATCH /v1/orders/{id}/shipments"),
            &etag,
            ("if-none-match", "*"),
            "If-None-Match",
        ),
        (format!("POST /v1/orders/{id}:cancel"), &etag, ("if-match", "\"3\""), "If-Match"),
    ] {
        let mut http = Http::connect(&shop.address).await;
        let answer = http.json(&call, &[header], body).await;
        let found = &answer.json()["errors"][0]["field"];
        assert_eq!((answer.status, found), (400, &json!(field)), "{call} {header:?}: {answer:?}");
    }
    let mut http = Http::connect(&shop.address).await;
    assert_eq!(http.call("GET /v1/stock/MUG", &[]).await.status, 404);
    // The same version twice is one.
    let cancel = format!("POST /v1/orders/{id}:cancel");
    let same = http.json(&cancel, &[("if-match", "\"2\"")], &etag).await;
    assert_eq!(same.status, 404, "{same:?}");
    let token = http.call("GET /v1/orders?access%5Ftoken=x", &[]).await;
    assert_eq!(token.json()["errors"][0]["field"], "access_token");
    // A name that nobody means is not compared with all others, and not sent back whole.
    let text = format!("{{\"{}\": 1}}", "x".repeat(900 * 1024));
    let answer = http.text("POST /v1/orders", &[], &text).await;
    assert_eq!(answer.status, 400);
    assert!(answer.json().to_string().len() < 4 * 1024);
    assert_eq!(orders(&shop).await, 0);
    shop.close().await;
}
