//! How often a caller may call: by role and method, in all processes together, also while Redis is
//! away.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use order_actor::grpc::proto;
use order_actor::grpc::proto::execute_commands_request::Command;
use order_actor::grpc::proto::execute_commands_response::Outcome;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::health::{ends_at_once, logged};
use crate::http::{Answer, Http};
use crate::overload::{customer, order, token};
use crate::socket::Socket;
use crate::support::{Engine, PATIENCE, RedisServer};
use crate::wire::{Wire, read_all, reason, send_all, status, within};

pub const ANNA: &str = "018f6f3e-0000-7000-8000-00000000000a";
/// An order that does not exist.
pub const NO_ORDER: &str = "018f6f3e-0000-7000-8000-0000000000ff";
const PLACE: &str = "/ordinal.orders.v1.OrderService/PlaceOrder";
const WATCH: &str = "/ordinal.orders.v1.OrderService/WatchOrders";
const COMMANDS: &str = "/ordinal.orders.v1.OrderService/ExecuteCommands";

/// An engine with tokens for customers, a service and an operator.
pub struct Limited {
    pub engine: Engine,
    _directory: TempDir,
}

impl Limited {
    fn start(customers: &[&str], flags: &[&str]) -> Self {
        Self::started(customers, flags, None)
    }

    /// With this filter of the log, in a file.
    pub fn started(customers: &[&str], flags: &[&str], log: Option<(&str, &Path)>) -> Self {
        let directory = TempDir::new().unwrap();
        let callers = customers.iter().map(|one| ("CUSTOMER", *one));
        let callers = callers.chain([("SERVICE", "shop"), ("OPS", "anna")]);
        let tokens: String = callers
            .map(|(role, subject)| {
                let token = token(role, subject);
                format!(
                    "[[tokens]]\ntoken = \"{token}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n"
                )
            })
            .collect();
        let file = directory.path().join("tokens.toml");
        std::fs::write(&file, tokens).unwrap();
        let data = directory.path().join("data");
        let own = ["--data", data.to_str().unwrap(), "--tokens", file.to_str().unwrap()];
        let engine = match log {
            None => Engine::start_with(&[&own, flags].concat()),
            Some((filter, log)) => {
                let filter = format!("RUST_LOG={filter}");
                let before = ["env", &filter, "ORDINAL_LOG_FORMAT=json"];
                logged(&before, &[&own, flags].concat(), log)
            }
        };
        Self { engine, _directory: directory }
    }

    pub async fn http(&self) -> Http {
        Http::connect(&self.engine.address).await
    }

    /// What operators see of its health.
    async fn notes(&self) -> String {
        let mut http = self.http().await;
        let answer = http.call("GET /v1/health", &[("authorization", &ops())]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["notes"].to_string()
    }

    async fn until_notes(&self, expected: impl Fn(&str) -> bool) -> String {
        let patience = Instant::now() + PATIENCE;
        loop {
            let notes = self.notes().await;
            if expected(&notes) {
                return notes;
            }
            assert!(Instant::now() < patience, "{notes}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many orders a customer has.
    async fn orders_of(&self, customer: &str) -> usize {
        let mut http = self.http().await;
        let by = ops();
        let by = [("authorization", by.as_str())];
        let patience = Instant::now() + PATIENCE;
        // The list follows the journal.
        loop {
            let told = http.call("GET /v1/followers", &by).await.json();
            let mut followers = told["followers"].as_array().unwrap().iter();
            let lists = followers.find(|one| one["name"] == "order-summaries").unwrap();
            if lists["head_known"] == true && lists["lag"].as_str().unwrap_or("0") == "0" {
                break;
            }
            assert!(Instant::now() < patience, "{told}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let path = format!("GET /v1/orders?customer_id={customer}&page_size=500");
        let listed = http.call(&path, &by).await.json();
        listed["orders"].as_array().map_or(0, Vec::len)
    }
}

pub fn ops() -> String {
    format!("Bearer {}", token("OPS", "anna"))
}

pub fn bearer(customer_id: &str) -> String {
    format!("Bearer {}", customer(customer_id))
}

fn body(customer: &str, order_id: Uuid) -> Value {
    json!({
        "order_id": order_id.to_string(),
        "customer_id": customer,
        "lines": [{
            "sku": "MUG", "quantity": 1, "unit_price": { "currency_code": "GBP", "units": "4" },
        }],
        "address": {
            "street": "1 Street", "city": "London", "postal_code": "W1", "country": "GB",
        },
    })
}

/// Places an order of a customer by HTTP.
async fn place(http: &mut Http, customer: &str) -> Answer {
    let (token, body) = (bearer(customer), body(customer, Uuid::now_v7()).to_string());
    let length = body.len();
    // At once: a refused call is answered before its body is read.
    let request = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: localhost\r\nauthorization: {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    http.send(request.as_bytes()).await;
    http.answer().await
}

/// Reads an order that does not exist by HTTP, and returns the answer's status.
async fn read(http: &mut Http, headers: &[(&str, &str)]) -> u16 {
    http.call(&format!("GET /v1/orders/{}", NO_ORDER), headers).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_above_the_limit_is_refused_before_anything_is_done() {
    let (anna, ben) = (ANNA, "018f6f3e-0000-7000-8000-00000000000b");
    // None is given back for a minute.
    let shop = Limited::start(&[anna, ben], &["--rate-limit", "CUSTOMER=1:5"]);
    let mut http = shop.http().await;
    for left in (0..5).rev() {
        let placed = place(&mut http, anna).await;
        assert_eq!(placed.status, 201, "{placed:?}");
        assert_eq!(placed.headers["ratelimit-policy"], "\"customer\";q=1;w=60");
        let said = &placed.headers["ratelimit"];
        assert!(said.starts_with(&format!("\"customer\";r={left};t=")), "{said}");
    }
    let refused = place(&mut http, anna).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "RATE_LIMITED"));
    let after: u64 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=60).contains(&after), "{refused:?}");
    assert!(refused.headers["ratelimit"].starts_with("\"customer\";r=0;t="), "{refused:?}");
    assert_eq!(refused.json()["metadata"], json!({ "limit": "customer", "per_minute": "1" }));
    assert_eq!(refused.json()["retry"]["same_request"], true);

    // The same by gRPC, of calls, streams and commands.
    let wire = Wire::open(&shop.engine.address).await;
    for path in [PLACE, WATCH, COMMANDS] {
        let call = wire.call(path, Some(&customer(anna)), &order(anna)).await;
        let answer = within(call.answer).await.unwrap();
        let status = status(answer.headers()).unwrap();
        assert_eq!(reason(&status), "RATE_LIMITED", "{path}");
        let retry = status.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!(retry > Duration::ZERO && retry <= Duration::from_secs(60), "{retry:?}");
        assert!(answer.headers().contains_key("ratelimit"), "{path}");
    }
    // Nobody else has less, and what nobody asked to be limited says nothing of limits.
    assert_eq!(place(&mut http, ben).await.status, 201);
    for _ in 0..20 {
        let path = format!("GET /v1/orders/{}", NO_ORDER);
        let read = http.call(&path, &[("authorization", &ops())]).await;
        assert_eq!((read.status, read.headers.get("ratelimit")), (404, None));
    }
    assert_eq!((shop.orders_of(anna).await, shop.orders_of(ben).await), (5, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_has_100_calls_a_minute_unless_the_settings_say_otherwise() {
    let shop = Limited::start(&[ANNA], &[]);
    let (mut http, token) = (shop.http().await, bearer(ANNA));
    let (mut answers, begun) = (BTreeMap::new(), Instant::now());
    for _ in 0..110 {
        *answers.entry(read(&mut http, &[("authorization", &token)]).await).or_insert(0) += 1;
    }
    // One is given back each 600 ms while the others are answered.
    let most = 100 + begun.elapsed().as_millis() / 600;
    assert!((100..=most).contains(&answers[&404]), "{most}: {answers:?}");
    let shop = Limited::start(&[ANNA], &["--rate-limit", "CUSTOMER=off,CUSTOMER/PlaceOrder=1"]);
    let mut http = shop.http().await;
    for _ in 0..110 {
        assert_eq!(read(&mut http, &[("authorization", &token)]).await, 404);
    }
    assert_eq!(place(&mut http, ANNA).await.status, 201);
    assert_eq!(place(&mut http, ANNA).await.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_of_a_stream_counts() {
    let shop = Limited::start(&[ANNA], &["--rate-limit", "CUSTOMER=1:5"]);
    let wire = Wire::open(&shop.engine.address).await;
    let call = wire.begin(COMMANDS, Some(&customer(ANNA))).await;
    let commands = (0..8).map(|tag| proto::ExecuteCommandsRequest {
        tag,
        brief: true,
        command: Some(Command::PlaceOrder(order(ANNA))),
    });
    let sending = send_all(call.request, commands.collect::<Vec<_>>(), || {});
    let reading = read_all::<proto::ExecuteCommandsResponse>(call.answer);
    let (answers, ended) = within(async { tokio::join!(sending, reading).1 }).await;
    assert_eq!(ended, "OK");
    let refused = answers.iter().filter(|answer| match &answer.outcome {
        Some(Outcome::Refused(status)) => status.message.contains("limit customer"),
        _ => false,
    });
    // The stream itself is a call.
    assert_eq!((answers.len(), refused.count()), (8, 4), "{answers:?}");
    assert_eq!(shop.orders_of(ANNA).await, 4);
}

/// Who may not call a method pays for asking, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_refused_for_their_callers_role_count() {
    let shop = Limited::start(&[ANNA], &["--rate-limit", "CUSTOMER=1:3"]);
    let (mut http, token) = (shop.http().await, bearer(ANNA));
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(http.call("GET /v1/shards", &[("authorization", &token)]).await.status);
    }
    assert_eq!(answers, [403, 403, 403, 429, 429]);
    assert_eq!(read(&mut http, &[("authorization", &token)]).await, 429);
}

/// A13.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_proxies_that_are_named_say_who_calls() {
    let limit = ["--rate-limit", "NOBODY=1:3"];
    let stranger = Limited::start(&[], &limit);
    let mut http = stranger.http().await;
    let from = |number: u32| format!("203.0.113.{number}");
    let mut answers = Vec::new();
    for number in 0..6 {
        answers.push(read(&mut http, &[("x-forwarded-for", &from(number))]).await);
    }
    assert_eq!(answers, [401, 401, 401, 429, 429, 429]);

    let trusting = [&limit[..], &["--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"]].concat();
    let behind = Limited::start(&[], &trusting);
    let mut http = behind.http().await;
    for number in 0..6 {
        assert_eq!(read(&mut http, &[("x-forwarded-for", &from(number))]).await, 401);
    }
    // What the caller wrote at the left does not count; the proxy wrote at the right.
    let mut answers = Vec::new();
    for number in 0..6 {
        let said = format!("{}, 198.51.100.7, 10.0.0.1", from(number));
        answers.push(read(&mut http, &[("x-forwarded-for", &said)]).await);
    }
    assert_eq!(answers, [401, 401, 401, 429, 429, 429]);
    // A token that is valid has a limit of its own, and probes have none.
    assert_eq!(read(&mut http, &[("authorization", &ops())]).await, 404);
    for _ in 0..9 {
        assert_eq!(http.call("GET /livez", &[]).await.status, 200);
    }
}

/// A socket is its caller's, too: its watches are counted for whom its proxy has named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_behind_a_proxy_are_counted_by_the_address_that_it_says() {
    let flags = ["--rate-limit", "NOBODY=1:1", "--trusted-proxies", "127.0.0.0/8"];
    let behind = Limited::start(&[], &flags);
    let asked = async |from: &str| {
        let headers = [("x-forwarded-for", from)];
        let mut socket = Socket::open(&behind.engine.address, &headers).await;
        socket.watch("a", None).await;
        let mut refused = socket.news().await;
        refused["problem"]["code"].take()
    };
    let (first, second) = ("203.0.113.1", "203.0.113.2");
    let answers = [asked(first).await, asked(second).await, asked(first).await];
    assert_eq!(answers, ["UNAUTHENTICATED", "UNAUTHENTICATED", "RATE_LIMITED"]);
}

/// The keys of customers' limits.
fn redis_keys(redis: &RedisServer) -> Vec<String> {
    let keys = redis.cli(&["KEYS", "ordinal:limit:customer:*"]);
    keys.lines().filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// A14, and G13: a limiter that fails neither lets all calls through nor does one twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_holds_while_redis_is_away() {
    let mut redis = RedisServer::start();
    let customers: Vec<String> =
        (0..8).map(|n| format!("018f6f3e-0000-7000-8000-0000000001{n:02}")).collect();
    let names: Vec<&str> = customers.iter().map(String::as_str).collect();
    let url = redis.url();
    let flags = ["--redis-url", &url, "--rate-limit", "CUSTOMER=1:20", "--without-stock"];
    let shop = Limited::start(&names, &flags);
    // One finds out when Redis counts: it is looked for while the process starts.
    let keys = || redis_keys(&redis);
    let (mut http, token) = (shop.http().await, bearer(&customers[0]));
    let patience = Instant::now() + PATIENCE;
    while keys().is_empty() {
        assert!(Instant::now() < patience, "Redis does not count");
        read(&mut http, &[("authorization", &token)]).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let mut callers: FuturesUnordered<_> = customers[1..]
        .iter()
        .map(|customer| async {
            let mut http = shop.http().await;
            let mut answers = Vec::new();
            for _ in 0..40 {
                answers.push(place(&mut http, customer).await.status);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            (customer.clone(), answers)
        })
        .collect();
    let killed = async {
        // As soon as it has counted one of them: they are under way.
        let patience = Instant::now() + PATIENCE;
        let keys = loop {
            let keys = redis_keys(&redis);
            if keys.len() > 1 {
                break keys;
            }
            assert!(Instant::now() < patience, "Redis does not count");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        for key in &keys {
            let left: i64 = redis.cli(&["PTTL", key]).trim().parse().unwrap();
            assert!(left > 0, "{key}: {left}");
        }
        redis.kill();
        keys.len()
    };
    let loaded = async {
        let mut all = Vec::new();
        while let Some(answers) = callers.next().await {
            all.push(answers);
        }
        all
    };
    let (keys, answers) = tokio::join!(killed, loaded);
    drop(callers);
    assert!(keys > 0);
    let placed = answers.iter().map(|(customer, _)| shop.orders_of(customer));
    let orders = futures::future::join_all(placed).await;
    for ((customer, answers), orders) in answers.into_iter().zip(orders) {
        let placed = answers.iter().filter(|status| **status == 201).count();
        // A call whose count was lost with Redis is counted twice.
        assert!((16..=20).contains(&placed), "{placed} of {customer}: {answers:?}");
        assert!(answers.iter().all(|status| [201, 429].contains(status)), "{answers:?}");
        assert_eq!(orders, placed, "{customer}");
    }
    let notes = shop.until_notes(|notes| notes.contains("rate limits")).await;
    assert!(notes.contains("counts calls by itself"), "{notes}");
    // It comes back empty, and learns what was counted.
    redis.again();
    shop.until_notes(|notes| !notes.contains("rate limits")).await;
    let mut http = shop.http().await;
    for customer in &customers[1..] {
        assert_eq!(place(&mut http, customer).await.status, 429);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_with_one_redis_count_together() {
    let redis = RedisServer::start();
    let url = redis.url();
    let customers: Vec<String> =
        (0..60).map(|n| format!("018f6f3e-0000-7000-8000-0000000002{n:02}")).collect();
    let names: Vec<&str> = customers.iter().map(String::as_str).collect();
    let flags = ["--redis-url", &url, "--rate-limit", "CUSTOMER=1:10", "--without-stock"];
    // Installations that share nothing else.
    let shops = [Limited::start(&names, &flags), Limited::start(&names, &flags)];
    let mut seen = Vec::new();
    for customer in &customers {
        let (mut first, mut second) = (shops[0].http().await, shops[1].http().await);
        let token = bearer(customer);
        let token = [("authorization", token.as_str())];
        let mut allowed = 0;
        for _ in 0..12 {
            for http in [&mut first, &mut second] {
                allowed += usize::from(read(http, &token).await == 404);
            }
        }
        // A Redis that took more than 20 ms once would have each of them count alone for a second.
        if allowed == 10 {
            return;
        }
        seen.push(allowed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{seen:?}");
}

#[test]
fn what_is_wrong_with_a_limit_is_said_at_the_start() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().to_str().unwrap();
    for (flag, value, expected) in [
        ("--rate-limit", "CUSTOMER=often", "a number from 1"),
        ("--rate-limit", "GUEST=1", "no such role"),
        ("--rate-limit", "CUSTOMER/Place=1", "there is no method Place"),
        ("--rate-limit", "OPS=1,OPS=2", "two rules are for OPS"),
        ("--trusted-proxies", "10.0.0.0/40", "not a network"),
    ] {
        let error = ends_at_once(&["--data", data, flag, value], 2);
        assert!(error.contains(expected), "{flag} {value}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_need_no_token_and_say_whether_the_process_serves() {
    let shop = Limited::start(&[], &[]);
    let mut http = shop.http().await;
    for path in ["/livez", "/readyz"] {
        // A probe asks by the address of the machine, or by any name.
        let answer = http.call(&format!("GET {path}"), &[("host", "ordinal.example")]).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"), "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let answer = http.call(&format!("HEAD {path}"), &[]).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
        let other = http.call(&format!("DELETE {path}"), &[]).await;
        assert_eq!((other.status, other.code().as_str()), (404, "ROUTE_NOT_FOUND"));
    }
}
