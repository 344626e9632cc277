//! The role edge: a process without a database in front of the others.

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::health::{ends_at_once, logged, until_health};
use crate::http::{Answer, Http};
use crate::limits::{ANNA, NO_ORDER, bearer};
use crate::nodes::{LEASE, databases, verified};
use crate::overload::{customer, token};
use crate::shop::TestDatabase;
use crate::support::{CUSTOMER, Engine, PATIENCE, free_port, ordinal, write_private};
use crate::wire::{Wire, framed, reason, status, within};

/// The roles that an edge must know, each at a port of its own, on one database.
struct Installation {
    runtime: Runtime,
    database: TestDatabase,
    listen: [String; 3],
    all: Vec<String>,
}

impl Installation {
    fn new(flags: &[&str]) -> Self {
        let (runtime, [database]) = databases();
        let listen = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
        let all = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self { runtime, database, listen, all }
    }

    fn with(&self, more: &[&str]) -> Engine {
        let all: Vec<&str> =
            self.all.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Engine::start_with(&all)
    }

    fn orders(&self) -> Engine {
        let [orders, stock, messages] = &self.listen;
        let (url, [stock, messages]) =
            (self.database.url(), [stock, messages].map(|at| format!("http://{at}")));
        let own = ["--role", "orders", "--listen", orders, "--database-url", &url];
        let others = ["--inventory-at", &stock, "--notifications-at", &messages];
        self.with(&[&own[..], &others, &["--node-name", "a"], &LEASE].concat())
    }

    fn other(&self, role: &str, nth: usize) -> Engine {
        let (url, orders) = (self.database.url(), format!("http://{}", self.listen[0]));
        let own = ["--role", role, "--listen", &self.listen[nth], "--database-url", &url];
        self.with(&[&own[..], &["--orders-at", &orders]].concat())
    }

    fn edge(&self, more: &[&str]) -> Engine {
        let at = self.listen.each_ref().map(|at| format!("http://{at}"));
        let own = ["--role", "edge", "--orders-at", &at[0], "--inventory-at", &at[1]];
        self.with(&[&own[..], &["--notifications-at", &at[2]], more].concat())
    }

    fn end(self) {
        self.runtime.block_on(self.database.drop());
    }
}

#[test]
fn a_gateway_without_a_database_answers_as_the_services_do() {
    let there = Installation::new(&[]);
    // It may be there before the others.
    let edge = there.edge(&[]);
    until_health(&edge, false, "no process of orders answers");
    let orders = there.orders();
    let stock = there.other("inventory", 1);
    let messages = there.other("notifications", 2);
    until_health(&edge, true, "");
    let edge_metrics = there.edge(&["--metrics-listen", "127.0.0.1:0"]);

    // Calls of each service, by gRPC.
    edge.ask(&["stock", "set", "MUG", "10"]);
    let placed = edge.place(&["MUG=2@4.50GBP"]);
    let id = placed["order"]["order_id"].as_str().unwrap().to_owned();
    edge.until(&id, "CONFIRMED");
    assert_eq!(edge.ask(&["stock", "get", "MUG"])["stock"]["reserved"], json!(2));
    let patience = Instant::now() + PATIENCE;
    while edge.ask(&["notification", "list", "--order", &id])["notifications"] == json!([]) {
        assert!(Instant::now() < patience, "there is no message");
    }
    // What operators ask, wherever it is; its own health is its own.
    let followers = edge.ask(&["followers"])["followers"].take();
    let names: Vec<&str> =
        followers.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(
        ["order-summaries", "stock", "notifications"].iter().all(|name| names.contains(name)),
        "{names:?}"
    );
    assert!(!edge.ask(&["shards", "list"])["shards"].as_array().unwrap().is_empty());
    edge.ask(&["follower", "pause", "stock", "--reason", "a look"]);
    edge.ask(&["follower", "resume", "stock", "--reason", "seen"]);

    // By HTTP: an order, its documents, a refusal, a list of commands, and facts.
    there.runtime.block_on(by_http(&edge.address, &id));
    there.runtime.block_on(a_change_is_seen_at_once(&edge.address));
    let page = there.runtime.block_on(metrics(edge_metrics.metrics.as_deref().unwrap()));
    assert!(page.contains("role=\"edge\"") && page.contains("backend=\"none\""), "{page}");

    // Without order nodes it says so, and calls are refused at once; with them it goes on.
    assert!(orders.stop().success());
    until_health(&edge, false, "no process of orders answers (--orders-at)");
    until_health(&edge_metrics, false, "no process of orders answers (--orders-at)");
    let patience = Instant::now() + PATIENCE;
    loop {
        let refused = there.runtime.block_on(get(&edge.address, &format!("/v1/orders/{id}")));
        assert_eq!(refused.status, 503, "{refused:?}");
        if refused.code() == "NOT_FORWARDED" {
            break;
        }
        assert!(Instant::now() < patience, "{refused:?}");
    }
    let orders = there.orders();
    until_health(&edge, true, "");
    edge.ask(&["order", "cancel", &id]);
    edge.until(&id, "CANCELLED");
    for engine in [edge, edge_metrics, messages, stock, orders] {
        assert!(engine.stop().success());
    }
    verified(&ordinal(&["--json", "verify", "--database-url", &there.database.url()]));
    there.end();
}

async fn get(address: &str, path: &str) -> Answer {
    Http::connect(address).await.call(&format!("GET {path}"), &[]).await
}

async fn metrics(address: &str) -> String {
    Http::connect(address).await.call("GET /metrics", &[]).await.text
}

/// G15: a change is there at once, whatever the caller says of compression.
async fn a_change_is_seen_at_once(address: &str) {
    let mut watching = Http::connect(address).await;
    let headers = [("accept", "text/event-stream"), ("accept-encoding", "gzip")];
    watching.head("GET /v1/orders:watch", &headers).await;
    let began = watching.answered().await;
    assert_eq!(began.status, 200, "{began:?}");
    assert!(!began.headers.contains_key("content-encoding"), "{began:?}");
    watching.chunk().await.unwrap();
    let order = json!({
        "customer_id": CUSTOMER,
        "lines": [{
            "sku": "MUG", "quantity": 1, "unit_price": { "currency_code": "GBP", "units": "4" },
        }],
        "address": {
            "street": "1 Street", "city": "London", "postal_code": "W1", "country": "GB",
        },
    });
    let placed = Http::connect(address).await.json("POST /v1/orders", &[], &order).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let id = placed.json()["order"]["order_id"].as_str().unwrap().to_owned();
    loop {
        let chunk = watching.chunk().await.unwrap();
        if chunk.contains(&id) {
            break;
        }
        // What is kept back until there is more would come with the next sign of life.
        assert_ne!(chunk, ":\n\n", "it is not there at once");
    }
}

async fn by_http(address: &str, id: &str) {
    let mut http = Http::connect(address).await;
    let order = http.call(&format!("GET /v1/orders/{id}"), &[]).await;
    assert_eq!((order.status, order.json()["order"]["order_id"].as_str()), (200, Some(id)));
    for path in ["/livez", "/readyz", "/v1/openapi.json", "/v1/problems/NOT_FOUND"] {
        assert_eq!(http.call(&format!("GET {path}"), &[]).await.status, 200, "{path}");
    }
    let missing = http.call(&format!("GET /v1/orders/{NO_ORDER}"), &[]).await;
    assert_eq!((missing.status, missing.code().as_str()), (404, "NOT_FOUND"));
    let wrong = http.call("GET /v1/orders?statu=PENDING", &[]).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    // A page of another place gets nothing here either.
    let foreign = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(http.call("GET /v1/orders", &foreign).await.status, 403);
    let evil = http.call("GET /v1/orders", &[("host", "evil.example")]).await;
    assert_eq!(evil.status, 421, "{evil:?}");
}

/// A call is counted once, where it arrives, although the process that answers it has limits, too;
/// and nobody else can say that it was counted.
#[test]
fn a_forwarded_call_is_counted_where_it_arrived() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tokens.toml");
    let line = |role: &str, subject: &str| {
        let token = token(role, subject);
        format!("[[tokens]]\ntoken = \"{token}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n")
    };
    // The last one is a process.
    let all = line("CUSTOMER", ANNA) + &line("SERVICE", "shop") + &line("SERVICE", "edge");
    let all = all + "peer = true\n";
    write_private(&file, &all);
    let peer = token("SERVICE", "edge");
    let tokens = ["--tokens", file.to_str().unwrap(), "--rate-limit", "CUSTOMER=1:6"];
    let there = Installation::new(&[&tokens[..], &["--peer-token", &peer]].concat());
    let orders = there.orders();
    let stock = there.other("inventory", 1);
    let edge = there.edge(&[]);
    let anna = bearer(ANNA);
    let asked = async |address: &str, more: &[(&str, &str)]| -> Vec<u16> {
        let mut http = Http::connect(address).await;
        let headers = [&[("authorization", anna.as_str())][..], more].concat();
        let mut statuses = Vec::new();
        for _ in 0..8 {
            statuses.push(http.call(&format!("GET /v1/orders/{NO_ORDER}"), &headers).await.status);
        }
        statuses
    };
    there.runtime.block_on(async {
        let six = [404, 404, 404, 404, 404, 404, 429, 429];
        assert_eq!(asked(&edge.address, &[]).await, six);
        // Each process has a count of its own here, without Redis: the order node has counted none.
        assert_eq!(asked(&orders.address, &[]).await, six);
        // Who says so himself is counted all the same: by HTTP such headers do not even come in, and
        // by gRPC neither no token, nor his own, nor that of a service, nor one that nobody knows.
        let bad = format!("Bearer {}", "x".repeat(40));
        let own = format!("Bearer {}", customer(ANNA));
        let shop = format!("Bearer {}", token("SERVICE", "shop"));
        for said in [None, Some(bad.as_str()), Some(own.as_str()), Some(shop.as_str())] {
            let refused = carried(&orders.address, &customer(ANNA), said).await;
            assert_eq!(refused, "RATE_LIMITED", "{said:?}");
        }
        // The gateway knows itself who calls.
        let mut http = Http::connect(&edge.address).await;
        let me = http.call("GET /v1/me", &[("authorization", shop.as_str())]).await;
        assert_eq!((me.status, me.json()["subject"].as_str()), (200, Some("shop")), "{me:?}");
    });
    for engine in [edge, stock, orders] {
        assert!(engine.stop().success());
    }
    there.end();
}

/// The reason of the answer to a call of this caller, which is said to be counted by the process
/// with this token.
async fn carried(address: &str, token: &str, peer: Option<&str>) -> String {
    let mut headers = vec![("ordinal-carried", "1")];
    headers.extend(peer.map(|peer| ("ordinal-peer", peer)));
    refused_with(address, token, &headers).await
}

/// The reason of the answer to a call of this caller about no order, with these headers.
async fn refused_with(address: &str, token: &str, headers: &[(&str, &str)]) -> String {
    let wire = Wire::open(address).await;
    let path = "/ordinal.orders.v1.OrderService/GetOrder";
    let mut call = wire.begin_with(path, Some(token), headers).await;
    let request = order_actor::grpc::proto::GetOrderRequest {
        order_id: NO_ORDER.into(),
        ..Default::default()
    };
    let _ = call.request.send_data(framed(&request), true);
    let answer = within(call.answer).await.unwrap();
    reason(&status(answer.headers()).unwrap())
}

/// A process that forwards adds headers of its own; whoever only says to be one has no more room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_heads_are_let_in_from_a_process_of_ours_alone() {
    let folder = TempDir::new().unwrap();
    let (file, data) = (folder.path().join("tokens.toml"), folder.path().join("data"));
    let (anna, shop, edge) = (customer(ANNA), token("SERVICE", "shop"), token("SERVICE", "edge"));
    let line = |token: &str, role: &str, subject: &str| {
        format!("[[tokens]]\ntoken = \"{token}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n")
    };
    let all = line(&anna, "CUSTOMER", ANNA) + &line(&shop, "SERVICE", "shop");
    let all = all + &line(&edge, "SERVICE", "edge") + "peer = true\n";
    write_private(&file, &all);
    let flags = ["--data", data.to_str().unwrap(), "--tokens", file.to_str().unwrap()];
    let engine = Engine::start_with(&flags);
    let (large, bad) = ("x".repeat(20 * 1024), format!("Bearer {}", "x".repeat(40)));
    let [own, shop, edge] = [&anna, &shop, &edge].map(|token| format!("Bearer {token}"));
    let too_large = "HEADERS_TOO_LARGE";
    for mark in ["ordinal-carried", "ordinal-forwarded"] {
        for (said, reason) in [
            (None, too_large),
            (Some(&bad), too_large),
            (Some(&own), too_large),
            (Some(&shop), too_large),
            (Some(&edge), "NOT_FOUND"),
        ] {
            let mut headers = vec![(mark, "1"), ("x-large", large.as_str())];
            headers.extend(said.map(|said| ("ordinal-peer", said.as_str())));
            let refused = refused_with(&engine.address, &anna, &headers).await;
            assert_eq!(refused, reason, "{mark} {said:?}");
        }
    }
    // It says so, too, or it has no more room than others.
    let unmarked = [("ordinal-peer", edge.as_str()), ("x-large", large.as_str())];
    assert_eq!(refused_with(&engine.address, &anna, &unmarked).await, too_large);
    assert!(engine.stop().success());
}

/// It vouches for calls of others, and not for its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_does_not_lift_the_limit_of_its_own_calls() {
    let folder = TempDir::new().unwrap();
    let (file, data) = (folder.path().join("tokens.toml"), folder.path().join("data"));
    let (anna, edge) = (customer(ANNA), token("SERVICE", "edge"));
    let line = |token: &str, role: &str, subject: &str| {
        format!("[[tokens]]\ntoken = \"{token}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n")
    };
    let all = line(&anna, "CUSTOMER", ANNA) + &line(&edge, "SERVICE", "edge") + "peer = true\n";
    write_private(&file, &all);
    let store = ["--data", data.to_str().unwrap(), "--tokens", file.to_str().unwrap()];
    let limits = ["--rate-limit", "CUSTOMER=1:2,SERVICE=1:2"];
    let engine = Engine::start_with(&[&store[..], &limits].concat());
    let peer = format!("Bearer {edge}");
    for (caller, last) in [(&anna, "NOT_FOUND"), (&edge, "RATE_LIMITED")] {
        let mut reasons = Vec::new();
        for _ in 0..3 {
            reasons.push(carried(&engine.address, caller, Some(&peer)).await);
        }
        assert_eq!(reasons, ["NOT_FOUND", "NOT_FOUND", last], "{caller}");
    }
    assert!(engine.stop().success());
}

/// G14 through gateways: whoever watched by one that stops goes on at the other.
#[test]
fn watchers_of_a_gateway_that_stops_go_on_at_another() {
    let there = Installation::new(&[]);
    let orders = there.orders();
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let at = there.listen.each_ref().map(|at| format!("http://{at}"));
    let first = ["--role", "edge", "--orders-at", &at[0], "--inventory-at", &at[1]];
    let first = logged(&[], &[&first[..], &["--notifications-at", &at[2]]].concat(), &log);
    let gateways = [first, there.edge(&[])];
    gateways.iter().for_each(|edge| drop(until_health(edge, true, "")));
    there.runtime.block_on(crate::live_nodes::watchers_go_on(gateways, &log));
    assert!(orders.stop().success());
    there.end();
}

/// More watches than one connection holds calls, and the gateway still answers.
#[test]
fn a_gateway_holds_hundreds_of_watches() {
    let there = Installation::new(&[]);
    let orders = there.orders();
    let edge = there.edge(&[]);
    until_health(&edge, true, "");
    there.runtime.block_on(async {
        let mut watching = Vec::new();
        for _ in 0..200 {
            let mut http = Http::connect(&edge.address).await;
            http.head("GET /v1/orders:watch", &[("accept", "text/event-stream")]).await;
            let answer = within(http.answered()).await;
            assert_eq!(answer.status, 200, "watch {}: {answer:?}", watching.len());
            watching.push(http);
        }
        let answer = within(get(&edge.address, &format!("/v1/orders/{NO_ORDER}"))).await;
        assert_eq!(answer.status, 404, "{answer:?}");
        // Longer than it takes to miss three looks.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let patience = Instant::now() + PATIENCE;
        // One look may be late where the machine is busy, and never all of them.
        while get(&edge.address, "/readyz").await.status != 200 {
            assert!(Instant::now() < patience, "it is not ready");
        }
    });
    for engine in [edge, orders] {
        assert!(engine.stop().success());
    }
    there.end();
}

#[test]
fn what_a_gateway_lacks_or_cannot_have_is_said_at_the_start() {
    let there = ["--orders-at", "http://127.0.0.1:9", "--inventory-at", "http://127.0.0.1:9"];
    let mail = ["--notifications-at", "http://127.0.0.1:9"];
    let edge = ["--role", "edge"];
    let all = [&edge[..], &there, &mail].concat();
    let error = ends_at_once(&edge, 2);
    assert!(error.contains("--orders-at must say where it finds orders"), "{error}");
    let error = ends_at_once(&[&edge[..], &there].concat(), 2);
    assert!(error.contains("--notifications-at must say where it finds messages"), "{error}");
    for store in [["--data", "x"], ["--database-url", "postgres://nowhere/x"]] {
        let error = ends_at_once(&[&all[..], &store].concat(), 2);
        assert!(error.contains("--role edge stores nothing"), "{error}");
    }
    // Callers are known by tokens, and the others do not know the gateway.
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tokens.toml");
    let shop = token("SERVICE", "shop");
    let line = format!("[[tokens]]\ntoken = \"{shop}\"\nrole = \"SERVICE\"\nsubject = \"shop\"\n");
    write_private(&file, &line);
    let error = ends_at_once(&[&all[..], &["--tokens", file.to_str().unwrap()]].concat(), 2);
    assert!(error.contains("--peer-token or --peer-cert"), "{error}");
    // Who is known by a certificate is so to others only by the gateway's own.
    let known = "[[certificates]]\nsan = \"shop.example\"\nrole = \"SERVICE\"\nsubject = \"s\"\n";
    write_private(&file, &(line + known));
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (path("ca.pem"), path("edge.pem"), path("edge.pem.key"));
    assert!(ordinal(&["tls", "ca", "--out", &ca]).status.success());
    let issue = ["tls", "issue", "--authority", &ca, "--out", &cert, "--for", "localhost"];
    assert!(ordinal(&issue).status.success());
    let tokens = ["--tokens", file.to_str().unwrap(), "--peer-token", &shop];
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--client-ca", &ca];
    let error = ends_at_once(&[&all[..], &tokens, &tls].concat(), 2);
    assert!(error.contains("--peer-cert and --peer-key"), "{error}");
    let output = ordinal(&["migrate", "--role", "edge"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
