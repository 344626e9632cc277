//! Callers that prove who they are by a client certificate: what they may do, when it ends, and that
//! nobody else speaks for them, here and on the node to which their calls are forwarded.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use order_actor::clock::{Clock as _, ManualClock};
use ordinal::access::Access;
use ordinal::client::{Client, Connection};
use ordinal::engine::{Backend, Settings};
use ordinal::tls::{ServerFiles, ServerTls};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::certificates::{Authority, Pair};
use crate::health::ends_at_once;
use crate::http::Http;
use crate::limits::NO_ORDER;
use crate::metrics::page_of;
use crate::nodes::{LEASE, databases, until_even};
use crate::socket::Socket;
use crate::support::{Engine, PATIENCE, ordinal, placing, write_private};

const TOKEN: &str = "services-have-this-token-of-32-characters";
const CUSTOMERS: [&str; 2] =
    ["018f6f3e-0000-7000-8000-000000000001", "018f6f3e-0000-7000-8000-000000000002"];

/// A file of callers by certificates, and a token of a service.
fn callers(folder: &Path) -> String {
    let mut text =
        format!("[[tokens]]\ntoken = \"{TOKEN}\"\nrole = \"SERVICE\"\nsubject = \"by-token\"\n");
    for (san, role, subject, more) in [
        ("anna.example", "OPS", "anna", ""),
        ("spiffe://shop/checkout", "SERVICE", "checkout", ""),
        ("node.example", "SERVICE", "node", "peer = true"),
        ("one.example", "CUSTOMER", CUSTOMERS[0], ""),
        ("two.example", "CUSTOMER", CUSTOMERS[1], ""),
    ] {
        text.push_str(&format!(
            "[[certificates]]\nsan = \"{san}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n{more}\n"
        ));
    }
    let path = folder.join("callers.toml");
    write_private(&path, &text);
    path.display().to_string()
}

/// An engine that asks for client certificates of this authority.
fn flags<'a>(
    (cert, key): &'a (String, String),
    callers: &'a str,
    authority: &'a Authority,
) -> Vec<&'a str> {
    vec!["--tls-cert", cert, "--tls-key", key, "--client-ca", authority.ca(), "--tokens", callers]
}

/// The flags of a caller with this certificate.
fn with<'a>(authority: &'a Authority, (cert, key): &'a (String, String)) -> [&'a str; 6] {
    ["--ca", authority.ca(), "--cert", cert, "--cert-key", key]
}

fn order(customer: &str) -> Value {
    let price = json!({ "currency_code": "GBP", "units": 10 });
    json!({
        "order_id": Uuid::now_v7(), "customer_id": customer,
        "lines": [{ "sku": "MUG", "quantity": 1, "unit_price": price }],
        "address": {
            "street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB",
            "country": "GB",
        },
        "contact": { "email": "customer@example.com" },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_says_who_calls() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let server = authority.write("server", &authority.issue(&["127.0.0.1"]));
    let (callers, data) = (callers(folder.path()), folder.path().join("data"));
    let mut all = flags(&server, &callers, &authority);
    all.extend(["--data", data.to_str().unwrap()]);
    let engine = Engine::start_with(&all);
    let pair = |name: &str, sans: &[&str]| authority.write(name, &authority.issue(sans));
    let anna = pair("anna", &["anna.example"]);
    let checkout = pair("checkout", &["spiffe://shop/checkout"]);
    let nobody = pair("nobody", &["x.example"]);
    let both = pair("both", &["anna.example", "spiffe://shop/checkout"]);
    let as_ = |who: &(String, String), verb: &[&str]| -> Result<Value, String> {
        let output = engine.run(&[&with(&authority, who), verb].concat());
        let (out, error) = (output.stdout, output.stderr);
        let reason = || serde_json::from_slice::<Value>(&error).unwrap()["error"]["reason"].take();
        match output.status.success() {
            true => Ok(serde_json::from_slice(&out).unwrap_or_default()),
            false => Err(reason().as_str().unwrap().to_owned()),
        }
    };
    let freeze = ["shards", "list"];
    assert!(as_(&anna, &freeze).is_ok());
    assert_eq!(as_(&checkout, &freeze).unwrap_err(), "FORBIDDEN");
    assert_eq!(as_(&nobody, &freeze).unwrap_err(), "UNAUTHENTICATED");
    assert_eq!(as_(&both, &freeze).unwrap_err(), "UNAUTHENTICATED");
    let placed = as_(&checkout, &placing(&["MUG=1@4.50GBP"])).unwrap();
    let id = placed["order"]["order_id"].as_str().unwrap();
    let history = as_(&anna, &["order", "history", id]).unwrap().to_string();
    assert!(history.contains("checkout"), "{history}");
    // Where there is a token as well, the token counts, also if it is wrong.
    let token = |token: &str| {
        let flags = [&with(&authority, &anna)[..], &["--token", token, "shards", "list"]].concat();
        String::from_utf8(engine.run(&flags).stderr).unwrap()
    };
    assert!(token(TOKEN).contains("FORBIDDEN"));
    assert!(token(&"w".repeat(32)).contains("UNAUTHENTICATED"));
    // Without a certificate there are tokens, and what needs nobody.
    let none = |verb: &[&str]| engine.run(&[&["--ca", authority.ca()], verb].concat());
    assert!(none(&["health"]).status.success());
    assert!(none(&["--token", TOKEN, "order", "list"]).status.success());
    assert_eq!(none(&["order", "list"]).status.code(), Some(1));

    // By HTTP: nobody names himself by a header, and a key is each customer's own.
    let http = async |pair: Option<&Pair>| {
        let stream = authority.connect_as(&engine.address, &["http/1.1"], pair).await;
        Http::over(Box::new(stream), engine.address.trim_start_matches("https://").to_owned())
    };
    let said = format!("OPS.9999999999.{}", hex::encode("anna"));
    let mut unknown = http(None).await;
    let answer = unknown.call("GET /v1/shards", &[("ordinal-caller", &said)]).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"));
    let mut orders = Vec::new();
    for (san, customer) in ["one.example", "two.example"].iter().zip(CUSTOMERS) {
        let pair = authority.issue(&[san]);
        let mut by = http(Some(&pair)).await;
        for _ in 0..2 {
            let body = order(customer);
            let key = [("idempotency-key", "basket-7"), ("ordinal-caller", said.as_str())];
            let mut body = body;
            body.as_object_mut().unwrap().remove("order_id");
            let answer = by.json("POST /v1/orders", &key, &body).await;
            assert!((200..300).contains(&answer.status), "{answer:?}");
            orders.push(answer.json()["order"]["order_id"].as_str().unwrap().to_owned());
        }
        let answer = by.call("GET /v1/shards", &[("ordinal-caller", &said)]).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        let foreign = by.call(&format!("GET /v1/orders/{id}"), &[]).await;
        assert_eq!(foreign.status, if customer == CUSTOMERS[0] { 200 } else { 404 });
    }
    assert_eq!((&orders[0], &orders[2]), (&orders[1], &orders[3]), "{orders:?}");
    assert_ne!(orders[0], orders[2], "keys of two customers have met");
    assert!(engine.stop().success());
}

/// A browser shows the certificate of its user for every page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_others_does_not_call_by_the_certificate_of_its_visitor() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let server = authority.write("server", &authority.issue(&["127.0.0.1"]));
    let (callers, data) = (callers(folder.path()), folder.path().join("data"));
    let mut all = flags(&server, &callers, &authority);
    let shop = "https://shop.example";
    all.extend(["--data", data.to_str().unwrap(), "--cors-origin", shop]);
    let engine = Engine::start_with(&all);
    let anna = authority.issue(&["anna.example"]);
    let stream = authority.connect_as(&engine.address, &["http/1.1"], Some(&anna)).await;
    let host = engine.address.trim_start_matches("https://").to_owned();
    let mut by = Http::over(Box::new(stream), host);
    let own = engine.address.as_str();
    assert_eq!(by.call("GET /v1/followers", &[]).await.status, 200);
    assert_eq!(by.call("GET /v1/followers", &[("origin", own)]).await.status, 200);
    let bearer = format!("Bearer {TOKEN}");
    for line in ["GET /v1/followers", "POST /v1/timers:resume"] {
        let answer = by.call(line, &[("origin", shop)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"), "{line}");
        let said = [("origin", shop), ("authorization", bearer.as_str())];
        assert_eq!(by.call(line, &said).await.status, 403, "{line}: the token counts");
    }
    assert!(engine.stop().success());
}

#[test]
fn foreign_and_expired_certificates_get_nothing() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = TempDir::new().unwrap();
    let server = authority.write("server", &authority.issue(&["127.0.0.1"]));
    let (callers, data) = (callers(folder.path()), folder.path().join("data"));
    let data = data.to_str().unwrap();
    let mut all = flags(&server, &callers, &authority);
    all.extend(["--data", data, "--client-cert-required"]);
    let engine = Engine::start_with(&all);
    let foreign = stranger.write("foreign", &stranger.issue(&["anna.example"]));
    let old = authority.issue_for(&["anna.example"], (2_001, 2_002));
    let old = authority.write("old", &old);
    let good = authority.write("good", &authority.issue(&["anna.example"]));
    let ca = ["--ca", authority.ca()];
    for who in [&with(&authority, &foreign)[..], &with(&authority, &old), &ca] {
        let output = engine.run(&[who, &["order", "list"]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{who:?}: {error}");
        assert!(error.contains("--cert"), "{error}");
    }
    assert!(
        engine.run(&[&with(&authority, &good)[..], &["order", "list"]].concat()).status.success()
    );
    let other = authority.write("other", &authority.issue(&["anna.example"]));
    let mixed = (good.0.clone(), other.1);
    let output = engine.run(&[&with(&authority, &mixed)[..], &["order", "list"]].concat());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(engine.stop().success());

    // Settings that would have no effect, or say nothing.
    let open = ["--tls-cert", &server.0, "--tls-key", &server.1, "--data", data];
    let error = ends_at_once(&[&open[..], &["--client-ca", authority.ca()]].concat(), 2);
    assert!(error.contains("--client-ca has no effect without --tokens"), "{error}");
    let wrong = folder.path().join("wrong.toml");
    for (line, said) in [
        ("san = \"a\"\nrole = \"OPS\"\nsubject = \"a\"\npeer = true", "peer is for role SERVICE"),
        ("san = \"\"\nrole = \"OPS\"\nsubject = \"a\"", "certificate 1: san must be"),
        ("role = \"OPS\"\nsubject = \"a\"", "certificate 1: san is missing"),
    ] {
        fs::write(&wrong, format!("[[certificates]]\n{line}\n")).unwrap();
        let flags = [&open[..], &["--tokens", wrong.to_str().unwrap()]].concat();
        let error = ends_at_once(&flags, 2);
        assert!(error.contains(said), "{error}");
    }
    assert!(ordinal(&["--cert", &good.0, "order", "list"]).status.code() == Some(2));
}

/// Streams end when the certificate does; so do calls over connections that it has opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_certificate_has_opened_ends_with_it() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let server = authority.write("server", &authority.issue(&["127.0.0.1"]));
    let clock = ManualClock::new("2026-03-02T23:59:59Z".parse().unwrap());
    let mut settings = Settings::new(Backend::Sqlite(folder.path().join("data")));
    settings.clock = Arc::new(clock.clone());
    settings.access = Access::from_file(Path::new(&callers(folder.path()))).unwrap();
    let files = ServerFiles {
        cert: server.0.into(),
        key: server.1.into(),
        clients: Some((authority.ca.clone(), true)),
    };
    settings.tls = Some(ServerTls::open(files, Arc::new(clock.clone())).unwrap());
    let engine = ordinal::engine::Engine::start(settings).await.unwrap();
    // It ends at midnight, in a second.
    let anna = authority.issue_until(&["anna.example"], 2_026, (2_026, 3, 3));
    let stream = authority
        .connect_as(&format!("https://{}", engine.address()), &["http/1.1"], Some(&anna))
        .await;
    let mut http = Http::over(Box::new(stream), engine.address().to_string());
    assert_eq!(http.call("GET /v1/orders", &[]).await.status, 200);
    http.head("GET /v1/orders:watch", &[("accept", "text/event-stream")]).await;
    assert_eq!(http.answered().await.status, 200);
    let ending = async {
        let mut all = String::new();
        while let Some(chunk) = http.chunk().await {
            all.push_str(&chunk);
        }
        all
    };
    let all = tokio::time::timeout(PATIENCE, ending).await.expect("it goes on");
    assert!(all.contains("TOKEN_EXPIRED"), "{all}");
    clock.advance_to(clock.now().plus(Duration::from_secs(2)));
    let answer = http.call("GET /v1/orders", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "TOKEN_EXPIRED"));
    engine.stop().await.unwrap();
}

/// A socket is its certificate's: what is watched is what its holder may see, and nobody's without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_that_of_its_certificate() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let server = authority.write("server", &authority.issue(&["127.0.0.1"]));
    let (callers, data) = (callers(folder.path()), folder.path().join("data"));
    let mut all = flags(&server, &callers, &authority);
    all.extend(["--data", data.to_str().unwrap(), "--without-stock"]);
    let engine = Engine::start_with(&all);
    let host = engine.address.trim_start_matches("https://");
    let connect = async |pair: Option<&Pair>| {
        let stream = authority.connect_as(&engine.address, &["http/1.1"], pair).await;
        Socket::over(Box::new(stream), host, &[]).await.unwrap()
    };
    let one = authority.issue(&["one.example"]);
    let mut watching = connect(Some(&one)).await;
    watching.watch("mine", None).await;
    let begun = watching.next().await.unwrap();
    assert!(begun.get("progress").is_some(), "{begun}");
    let checkout = authority.write("checkout", &authority.issue(&["spiffe://shop/checkout"]));
    let mut placed = Vec::new();
    // The first is another customer's.
    for customer in [CUSTOMERS[1], CUSTOMERS[0]] {
        let verb = [&with(&authority, &checkout)[..], &placing(&["MUG=1@4.50GBP"])].concat();
        let verb: Vec<&str> = verb
            .into_iter()
            .map(|word| if word == crate::support::CUSTOMER { customer } else { word })
            .collect();
        let order = engine.ask(&verb);
        placed.push(order["order"]["order_id"].as_str().unwrap().to_owned());
    }
    let change = watching.news().await;
    assert_eq!(change["change"]["order"]["order_id"], placed[1].as_str(), "{change}");
    let mut unknown = connect(None).await;
    unknown.watch("all", None).await;
    assert_eq!(unknown.news().await["problem"]["code"], "UNAUTHENTICATED");
    drop((watching, unknown));
    assert!(engine.stop().success());
}

/// The node to which a call is forwarded knows its caller from a process of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_call_is_still_its_callers() {
    let (runtime, [database]) = tokio::task::spawn_blocking(databases).await.unwrap();
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let server = authority.write("server", &authority.issue(&["127.0.0.1"]));
    let node = authority.write("node", &authority.issue(&["node.example"]));
    let (callers, url) = (callers(folder.path()), database.url());
    let mut all = flags(&server, &callers, &authority);
    all.extend(["--database-url", &url, "--peer-ca", authority.ca()]);
    all.extend(["--peer-cert", &node.0, "--peer-key", &node.1]);
    all.extend(LEASE);
    let start = |name| Engine::start_with(&[&all[..], &["--node-name", name]].concat());
    let (a, b) = (start("a"), start("b"));
    let anna = authority.write("anna", &authority.issue(&["anna.example"]));
    let shards = || a.ask(&[&with(&authority, &anna)[..], &["shards", "list"]].concat());
    tokio::task::block_in_place(|| until_even(shards));
    let pair = authority.write("checkout", &authority.issue(&["spiffe://shop/checkout"]));
    let connection = Connection {
        address: Some(a.address.clone()),
        caller: None,
        token: None,
        ca: Some(authority.ca.clone()),
        cert: Some(pair.0.clone().into()),
        cert_key: Some(pair.1.clone().into()),
        timeout: Duration::from_secs(30),
    };
    let client = Client::connect(&connection).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..12 {
        let placed = client.call("orders.v1.OrderService/PlaceOrder", order(CUSTOMERS[0])).await;
        ids.push(placed.unwrap()["order"]["order_id"].as_str().unwrap().to_owned());
    }
    // By a stream of commands, of which each goes to its node.
    let of_checkout = authority.issue(&["spiffe://shop/checkout"]);
    let stream = authority.connect_as(&a.address, &["http/1.1"], Some(&of_checkout)).await;
    let mut http =
        Http::over(Box::new(stream), a.address.trim_start_matches("https://").to_owned());
    let mut lines = String::new();
    for tag in 1..=12 {
        let place = order(CUSTOMERS[0]);
        ids.push(place["order_id"].as_str().unwrap().to_owned());
        lines.push_str(&json!({ "tag": tag, "place_order": place }).to_string());
        lines.push('\n');
    }
    let kind = [("content-type", "application/x-ndjson")];
    let answer = http.text("POST /v1/orders:batch", &kind, &lines).await;
    assert!(!answer.text.contains("refused"), "{}", answer.text);
    let connection = Connection {
        cert: Some(anna.0.clone().into()),
        cert_key: Some(anna.1.clone().into()),
        ..connection
    };
    let client = Client::connect(&connection).await.unwrap();
    let mut events = client.stream("orders.v1.JournalService/ReadEvents", json!({})).await.unwrap();
    let mut placed = 0;
    while placed < ids.len() {
        let event = events.next().await.unwrap().unwrap();
        let text = event.to_string();
        if text.contains("OrderPlaced") {
            assert!(text.contains("\"checkout\""), "{text}");
            placed += 1;
        }
    }
    // Both nodes have some of them.
    let shards = shards();
    let of = |name: &str| {
        let shards = shards["shards"].as_array().unwrap();
        shards.iter().any(|shard| shard["node"] == json!(name))
    };
    assert!(of("a") && of("b"), "{shards}");
    assert!(b.stop().success() && a.stop().success());
    tokio::task::spawn_blocking(move || {
        runtime.block_on(database.drop());
    })
    .await
    .unwrap();
}

/// A gateway in front of this engine, known by its own certificate.
fn gateway(
    engine: &Engine,
    all: &[&str],
    (cert, key): &(String, String),
    authority: &Authority,
) -> Engine {
    let at = engine.address.as_str();
    let edge = ["--role", "edge", "--orders-at", at, "--inventory-at", at];
    let own = ["--peer-ca", authority.ca(), "--peer-cert", cert, "--peer-key", key];
    Engine::start_with(&[all, &edge, &["--notifications-at", at], &own].concat())
}

/// A call is counted where it arrived, and not again by who hears of it from a certificate with
/// `peer = true`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_a_peer_forwards_by_its_certificate_is_counted_once() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let server = authority.write("server", &authority.issue(&["127.0.0.1"]));
    let node = authority.write("node", &authority.issue(&["node.example"]));
    let checkout = authority.write("checkout", &authority.issue(&["spiffe://shop/checkout"]));
    let (callers, data) = (callers(folder.path()), folder.path().join("data"));
    let mut all = flags(&server, &callers, &authority);
    all.extend(["--rate-limit", "CUSTOMER=1:3"]);
    let of_engine = ["--data", data.to_str().unwrap(), "--metrics-listen", "127.0.0.1:0"];
    let engine = Engine::start_with(&[&all[..], &of_engine].concat());
    let asked = async |at: &Engine| {
        let one = authority.issue(&["one.example"]);
        let stream = authority.connect_as(&at.address, &["http/1.1"], Some(&one)).await;
        let host = at.address.trim_start_matches("https://").to_owned();
        let mut http = Http::over(Box::new(stream), host);
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(http.call(&format!("GET /v1/orders/{NO_ORDER}"), &[]).await.status);
        }
        statuses
    };
    let limited = async || {
        let page = page_of(&engine).await;
        page.lines().any(|line| line.starts_with("ordinal_rate_limited_total{policy=\"customer\"}"))
    };
    let edge = gateway(&engine, &all, &node, &authority);
    assert_eq!(asked(&edge).await, [404, 404, 404, 429]);
    // Behind a second one, too: only its own limit ends it.
    let other = gateway(&engine, &all, &node, &authority);
    assert_eq!(asked(&other).await, [404, 404, 404, 429]);
    assert!(!limited().await, "it was counted twice");
    assert_eq!(asked(&engine).await, [404, 404, 404, 429]);
    assert!(limited().await);
    // One that is no peer says nothing of who calls.
    let stranger = gateway(&engine, &all, &checkout, &authority);
    assert_eq!(asked(&stranger).await, [401, 401, 401, 429]);
    for engine in [stranger, other, edge, engine] {
        assert!(engine.stop().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_say_when_each_certificate_of_a_process_ends() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let server = authority.issue_for(&["127.0.0.1"], (2_020, 2_090));
    let server = authority.write("server", &server);
    // A year of 365 days later.
    let node = authority.write("node", &authority.issue_for(&["node.example"], (2_020, 2_091)));
    let (callers, data) = (callers(folder.path()), folder.path().join("data"));
    let all = flags(&server, &callers, &authority);
    let engine = Engine::start_with(&[&all[..], &["--data", data.to_str().unwrap()]].concat());
    let metrics = ["--metrics-listen", "127.0.0.1:0"];
    let edge = gateway(&engine, &[&all[..], &metrics].concat(), &node, &authority);
    let page = page_of(&edge).await;
    let of = |name: &str| {
        let series = format!("ordinal_certificate_expires_seconds{{name=\"{name}\"}} ");
        let values = page.lines().filter_map(|line| line.strip_prefix(&series));
        let values: Vec<&str> = values.collect();
        assert_eq!(values.len(), 1, "{name}: {page}");
        values[0].split('.').next().unwrap().parse::<i64>().unwrap()
    };
    let year = of("peer-cert") - of("tls-cert");
    assert!((year - 365 * 24 * 60 * 60).abs() <= 1, "{year}");
    for engine in [edge, engine] {
        assert!(engine.stop().success());
    }
}
