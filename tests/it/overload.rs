//! One bad caller neither ends the process nor takes the places of others.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use order_actor::grpc::proto;
use order_actor::grpc::proto::execute_commands_request::Command;
use order_actor::grpc::proto::execute_commands_response::Outcome;
use prost::Message as _;
use tempfile::TempDir;
use tonic_health::pb::HealthCheckRequest;
use uuid::Uuid;

use crate::metrics::page_of;
use crate::support::{Engine, PATIENCE};
use crate::wire::{Wire, WireCall, announced, framed, read_all, send_all, within};

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const PLACE: &str = "/ordinal.orders.v1.OrderService/PlaceOrder";
const GET: &str = "/ordinal.orders.v1.OrderService/GetOrder";
const LIST: &str = "/ordinal.orders.v1.OrderService/ListOrders";
const WATCH: &str = "/ordinal.orders.v1.OrderService/WatchOrders";
const COMMANDS: &str = "/ordinal.orders.v1.OrderService/ExecuteCommands";
const EVENTS: &str = "/ordinal.orders.v1.JournalService/ReadEvents";
const FEED: &str = "/ordinal.facts.v1.FactService/ReadFacts";

const FLOOD: &str = "018f6f3e-0000-7000-8000-00000000000a";
const OTHER: &str = "018f6f3e-0000-7000-8000-00000000000b";

/// The wire form of `ordinal.facts.v1.ReadFactsRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct Feed {
    #[prost(string, tag = "1")]
    source: String,
    #[prost(bool, tag = "4")]
    live: bool,
}

/// An engine with tokens for two customers, a service and an operator. Each token is role and
/// subject, padded to the length of a token.
struct Shielded {
    engine: Engine,
    _directory: TempDir,
}

pub fn token(role: &str, subject: &str) -> String {
    format!("{role}-{subject}-{}", "x".repeat(32))
}

fn settings(directory: &TempDir) -> Vec<String> {
    let callers = [("CUSTOMER", FLOOD), ("CUSTOMER", OTHER), ("SERVICE", "shop"), ("OPS", "anna")];
    let lines: String = callers
        .map(|(role, subject)| {
            let token = token(role, subject);
            format!("[[tokens]]\ntoken = \"{token}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n")
        })
        .concat();
    let file: PathBuf = directory.path().join("tokens.toml");
    std::fs::write(&file, lines).unwrap();
    let data = directory.path().join("data");
    // A flood is to meet the shares, and not the limit of a customer in front of them.
    let limits = ["--rate-limit", "CUSTOMER=off"];
    let own = ["--data", data.to_str().unwrap(), "--tokens", file.to_str().unwrap()];
    [&own[..], &limits].concat().into_iter().map(str::to_owned).collect()
}

impl Shielded {
    fn start(flags: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let own = settings(&directory);
        let all: Vec<&str> = own.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        Self { engine: Engine::start_with(&all), _directory: directory }
    }

    async fn wire(&self) -> Wire {
        Wire::open(&self.engine.address).await
    }

    /// The result of a call on its own connection.
    async fn ends(&self, path: &str, token: Option<&str>, message: &impl prost::Message) -> String {
        within(self.wire().await.call(path, token, message).await.ended()).await
    }
}

pub fn order(customer: &str) -> proto::PlaceOrderRequest {
    proto::PlaceOrderRequest {
        customer_id: customer.to_owned(),
        lines: vec![proto::NewLine {
            sku: "MUG".into(),
            quantity: 1,
            unit_price: Some(proto::Money { currency_code: "GBP".into(), units: 4, nanos: 0 }),
            ..proto::NewLine::default()
        }],
        address: Some(Box::new(proto::Address {
            street: "1 Street".into(),
            city: "London".into(),
            postal_code: "W1".into(),
            country: "GB".into(),
            ..proto::Address::default()
        })),
        ..proto::PlaceOrderRequest::default()
    }
}

pub fn customer(subject: &str) -> String {
    token("CUSTOMER", subject)
}

fn counted(reasons: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    reasons.into_iter().fold(BTreeMap::new(), |mut counts, reason| {
        *counts.entry(reason).or_default() += 1;
        counts
    })
}

/// More than a health check may announce.
const TOO_LARGE: u32 = 4 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announced_but_unsent_messages_take_no_memory() {
    let shop = Shielded::start(&[]);
    let health = HealthCheckRequest::default();
    assert_eq!(shop.ends(HEALTH, None, &health).await, "OK");
    let before = shop.engine.resident();
    let service = token("SERVICE", "shop");
    let (mut wires, mut calls): (Vec<Wire>, Vec<WireCall>) = (Vec::new(), Vec::new());
    let mut ended = Vec::new();
    for (path, token, length) in [
        (HEALTH, None, TOO_LARGE),
        (HEALTH, None, TOO_LARGE),
        (HEALTH, None, 4 << 10),
        (PLACE, Some(service.as_str()), 1 << 20),
        (COMMANDS, Some(service.as_str()), 1 << 20),
        ("/ordinal.facts.v1.FactService/GetHeads", Some(service.as_str()), 1 << 16),
        ("/ordinal.inventory.v1.InventoryService/GetStock", Some(service.as_str()), 1 << 20),
    ] {
        let wire = shop.wire().await;
        for _ in 0..100 {
            let mut call = wire.begin(path, token).await;
            let _ = call.request.send_data(announced(length), false);
            calls.push(call);
        }
        if length == TOO_LARGE {
            // The health checks of one address have a share: these give their part of it back.
            let refused = futures::future::join_all(calls.drain(..).map(WireCall::ended));
            ended.extend(within(refused).await);
        }
        wires.push(wire);
    }
    let asked = Instant::now();
    assert_eq!(shop.ends(HEALTH, None, &health).await, "OK");
    // Those that were begun last wait for 10 s: it has not waited for them.
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
    let (mut most, looked) = (0, Instant::now());
    while looked.elapsed() < Duration::from_secs(3) {
        most = most.max(shop.engine.resident());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(most < before + 60, "{before} MB before, {most} MB at most");
    // A caller that is not refused immediately is refused when the message does not come.
    let last = futures::future::join_all(calls.into_iter().map(WireCall::ended));
    ended.extend(within(last).await);
    let received = counted(ended);
    let known = ["MESSAGE_TOO_LARGE", "MESSAGE_TOO_SLOW", "OVERLOADED"];
    assert!(received.keys().all(|reason| known.contains(&reason.as_str())), "{received:?}");
    assert!(
        received["MESSAGE_TOO_LARGE"] >= 128 && received["MESSAGE_TOO_SLOW"] >= 64,
        "{received:?}"
    );
    assert_eq!(shop.ends(LIST, Some(&service), &proto::ListOrdersRequest::default()).await, "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_make_room_and_are_closed() {
    let directory = TempDir::new().unwrap();
    let own = settings(&directory);
    let flags: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut engine = Engine::start_with_files(1_024, &flags);
    let address = engine.address.clone();
    let customer = customer(OTHER);
    let wire = Wire::open(&address).await;
    let calls = async |wire: &Wire| {
        within(wire.call(PLACE, Some(&customer), &order(OTHER)).await.ended()).await
    };
    assert_eq!(calls(&wire).await, "OK");
    // This process needs descriptors too.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: files.maximum, ..files };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, all).unwrap();
    let connect = || TcpStream::connect(address.trim_start_matches("http://"));
    let silent: Vec<TcpStream> = (0..1_100).filter_map(|_| connect().ok()).collect();
    assert!(silent.len() > 1_000, "{}", silent.len());
    assert_eq!(calls(&wire).await, "OK");
    // A new connection from the address at its limit may be closed; it is accepted once the others
    // are gone.
    for link in &silent {
        // After 10 s, and not only after the minute that any head may take.
        link.set_read_timeout(Some(Duration::from_secs(45))).unwrap();
    }
    let closed = tokio::task::spawn_blocking(move || {
        silent.into_iter().all(|mut link| match link.read_to_end(&mut Vec::new()) {
            Ok(_) => true,
            // Any other error is the end of it, too.
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        })
    });
    assert!(closed.await.unwrap(), "a silent connection is left open");
    assert!(engine.process.try_wait().unwrap().is_none(), "the engine has ended");
    assert_eq!(calls(&wire).await, "OK");
    assert_eq!(calls(&Wire::open(&address).await).await, "OK");
}

/// Not even from several addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_with_many_connections_takes_no_place_of_others() {
    let flags = ["--connections-max", "16", "--connections-per-customer", "4", "--without-stock"];
    let shop = Shielded::start(&flags);
    let (flood, other, service) = (customer(FLOOD), customer(OTHER), token("SERVICE", "shop"));
    let from = |last| Wire::open_from(&shop.engine.address, IpAddr::from([127, 0, 0, last]));
    let places = async |wire: &Wire, token: &str, whose: &str| {
        within(wire.call(PLACE, Some(token), &order(whose)).await.ended()).await
    };
    let mut held = Vec::new();
    for last in [1, 2, 1, 2] {
        let wire = from(last).await;
        assert_eq!(places(&wire, &flood, FLOOD).await, "OK");
        held.push(wire);
    }
    for last in [1, 2] {
        let wire = from(last).await;
        assert_eq!(places(&wire, &flood, FLOOD).await, "OVERLOADED");
        wire.closed().await;
    }
    for wire in &held {
        assert_eq!(places(wire, &flood, FLOOD).await, "OK");
    }
    // A process that is full takes back what the customer with most has not used for longest.
    let mut others = Vec::new();
    for n in 0..15 {
        let wire = from(1 + n % 4).await;
        let token = if n == 0 { &other } else { &service };
        assert_eq!(places(&wire, token, OTHER).await, "OK", "{n}");
        others.push(wire);
    }
    for wire in &held[..3] {
        wire.closed().await;
    }
    assert!(others.iter().all(Wire::is_open));
    assert_eq!(places(&held[3], &flood, FLOOD).await, "OK");
    assert_eq!(places(&others[0], &other, OTHER).await, "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_with_many_streams_takes_no_place_of_others() {
    let shop = Shielded::start(&[]);
    let flood = customer(FLOOD);
    let (mut open, mut refused) = (Vec::new(), 0);
    let mut wires = Vec::new();
    for path in [WATCH, WATCH, COMMANDS] {
        let wire = shop.wire().await;
        for _ in 0..100 {
            let call = match path {
                COMMANDS => wire.begin(path, Some(&flood)).await,
                _ => wire.call(path, Some(&flood), &proto::WatchOrdersRequest::default()).await,
            };
            match within(call.begun()).await {
                Ok(call) => open.push(call),
                Err(reason) => {
                    assert_eq!(reason, "OVERLOADED");
                    refused += 1;
                }
            }
        }
        wires.push(wire);
    }
    assert_eq!((open.len(), refused), (16, 284));
    let other = customer(OTHER);
    let (service, ops) = (token("SERVICE", "shop"), token("OPS", "anna"));
    let feed = Feed { source: "/ordinal/orders".into(), live: true };
    let events = proto::ReadEventsRequest { live: true, ..Default::default() };
    for (path, token, message) in [
        (WATCH, &other, framed(&proto::WatchOrdersRequest::default())),
        (EVENTS, &ops, framed(&events)),
        (FEED, &service, framed(&feed)),
    ] {
        let wire = shop.wire().await;
        let mut call = wire.begin(path, Some(token)).await;
        call.request.send_data(message, true).unwrap();
        let begun = within(call.begun()).await;
        assert!(begun.is_ok(), "{path}: {begun:?}");
    }
    // A place is free as soon as its stream has ended.
    drop((open, wires));
    let patience = Instant::now() + PATIENCE;
    loop {
        let wire = shop.wire().await;
        let watch = proto::WatchOrdersRequest::default();
        if within(wire.call(WATCH, Some(&flood), &watch).await.begun()).await.is_ok() {
            break;
        }
        assert!(Instant::now() < patience, "the places were not given back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_without_a_message_are_bounded_and_time_out() {
    let shop = Shielded::start(&["--calls-per-customer", "200"]);
    let flood = customer(FLOOD);
    let (mut wires, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let wire = shop.wire().await;
        for _ in 0..100 {
            calls.push(wire.begin(PLACE, Some(&flood)).await);
        }
        wires.push(wire);
    }
    // Another customer and the operator are not affected.
    for (token, customer) in [(customer(OTHER), OTHER), (token("OPS", "anna"), FLOOD)] {
        assert_eq!(shop.ends(PLACE, Some(&token), &order(customer)).await, "OK");
    }
    let received =
        counted(within(futures::future::join_all(calls.into_iter().map(WireCall::ended))).await);
    assert_eq!(received["OVERLOADED"], 300, "{received:?}");
    assert_eq!(received["MESSAGE_TOO_SLOW"], 200, "{received:?}");
    assert_eq!(shop.ends(PLACE, Some(&flood), &order(FLOOD)).await, "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_calls_free_their_places_immediately() {
    let metrics = ["--metrics-listen", "127.0.0.1:0"];
    let shop = Shielded::start(&[&["--calls-per-customer", "100"][..], &metrics].concat());
    let flood = customer(FLOOD);
    let wire = shop.wire().await;
    let mut calls = Vec::new();
    for _ in 0..120 {
        let mut call = wire.begin(PLACE, Some(&flood)).await;
        let _ = call.request.send_data(announced(100), false);
        calls.push(call);
    }
    // Each call takes its place when its headers are read, in the order of the connection. When
    // this later one is answered, the 120 have been counted, and 100 of them wait for their
    // messages.
    let health = wire.call(HEALTH, None, &HealthCheckRequest::default()).await;
    assert_eq!(within(health.ended()).await, "OK");
    assert_eq!(shop.ends(PLACE, Some(&flood), &order(FLOOD)).await, "OVERLOADED");
    // As a client does whose deadline has passed: it resets its streams.
    for call in &mut calls {
        call.request.send_reset(h2::Reason::CANCEL);
    }
    let patience = Instant::now() + PATIENCE;
    while shop.ends(PLACE, Some(&flood), &order(FLOOD)).await != "OK" {
        assert!(Instant::now() < patience, "the places were not given back");
    }
    // Nor were they given back because no message came in time.
    let page = page_of(&shop.engine).await;
    let slow = |line: &str| line.contains("\"MESSAGE_TOO_SLOW\"") && !line.ends_with(" 0");
    assert!(!page.lines().any(slow), "{page}");
    assert!(wire.is_open());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flooding_customer_causes_no_error_for_others() {
    let shop = Shielded::start(&["--without-stock"]);
    let flood = customer(FLOOD);
    let over = Arc::new(AtomicBool::new(false));
    let mut floods = Vec::new();
    for _ in 0..8 {
        let (wire, flood, over) = (shop.wire().await, flood.clone(), Arc::clone(&over));
        floods.push(tokio::spawn(async move {
            let mut received = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let mut calls = Vec::new();
                for _ in 0..100 {
                    calls.push(wire.call(PLACE, Some(&flood), &order(FLOOD)).await);
                }
                received.extend(
                    futures::future::join_all(calls.into_iter().map(WireCall::ended)).await,
                );
            }
            counted(received)
        }));
    }
    let (wire, other) = (shop.wire().await, customer(OTHER));
    for placed in 0..30 {
        let ended = within(wire.call(PLACE, Some(&other), &order(OTHER)).await.ended()).await;
        assert_eq!(ended, "OK", "after {placed}");
    }
    over.store(true, Ordering::Relaxed);
    for flood in floods {
        let received = flood.await.unwrap();
        assert!(
            received.keys().all(|reason| ["OK", "OVERLOADED"].contains(&reason.as_str())),
            "{received:?}"
        );
        assert!(received.contains_key("OK"), "{received:?}");
    }
}

/// Otherwise callers that retry immediately would have the engine spend all its time on refusals.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_delayed_until_the_caller_may_retry() {
    let shop = Shielded::start(&["--without-stock"]);
    let (wire, flood) = (shop.wire().await, customer(FLOOD));
    let asked = Instant::now();
    let mut calls = Vec::new();
    for _ in 0..50 {
        // Its token is invalid.
        calls.push(wire.call(GET, Some("nobody's"), &proto::GetOrderRequest::default()).await);
    }
    // Other calls on the connection do not wait for them.
    let ended = within(wire.call(PLACE, Some(&flood), &order(FLOOD)).await.ended()).await;
    assert_eq!(ended, "OK");
    let received = counted(futures::future::join_all(calls.into_iter().map(WireCall::ended)).await);
    assert!(asked.elapsed() >= Duration::from_millis(250), "{:?}", asked.elapsed());
    assert_eq!(received.keys().collect::<Vec<_>>(), ["UNAUTHENTICATED"], "{received:?}");
}

/// A common client sends many small commands as one frame each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_commands_to_one_order_delay_no_other_call() {
    const COUNT: u64 = 6_000;
    let shop = Shielded::start(&["--without-stock"]);
    let ops = token("OPS", "anna");
    let wire = shop.wire().await;
    let placed = Uuid::now_v7().to_string();
    let mut first = order(FLOOD);
    first.order_id.clone_from(&placed);
    assert_eq!(within(wire.call(PLACE, Some(&ops), &first).await.ended()).await, "OK");
    let WireCall { answer, request } = wire.begin(COMMANDS, Some(&ops)).await;
    let commands = (0..COUNT).map(move |tag| {
        let order_id = placed.clone();
        let cancel = proto::CancelOrderRequest { order_id, ..Default::default() };
        let command = Some(Command::CancelOrder(cancel));
        proto::ExecuteCommandsRequest { tag, brief: true, command }
    });
    let sending = tokio::spawn(send_all(request, commands, || {}));
    let reading = tokio::spawn(read_all::<proto::ExecuteCommandsResponse>(answer));
    // Beside it, on the same connection.
    let mut beside = 0;
    while !reading.is_finished() {
        let list = proto::ListOrdersRequest::default();
        let ended = within(wire.call(LIST, Some(&ops), &list).await.ended()).await;
        assert_eq!(ended, "OK", "after {beside}");
        beside += 1;
    }
    sending.await.unwrap();
    let (received, ended) = reading.await.unwrap();
    assert_eq!((u64::try_from(received.len()).unwrap(), ended.as_str()), (COUNT, "OK"));
    let done =
        |answer: &proto::ExecuteCommandsResponse| matches!(answer.outcome, Some(Outcome::Done(_)));
    assert!(received.iter().all(done), "{received:?}");
    assert!(beside > 0);
}

fn placing(
    tag: u64,
    order: proto::PlaceOrderRequest,
    brief: bool,
) -> proto::ExecuteCommandsRequest {
    proto::ExecuteCommandsRequest { tag, brief, command: Some(Command::PlaceOrder(order)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_with_unread_answers_delay_no_other_call() {
    const COMMANDS_READ: u64 = 256;
    let shop = Shielded::start(&["--without-stock"]);
    let service = token("SERVICE", "shop");
    let ids: Vec<String> = (0..2 * COMMANDS_READ).map(|_| Uuid::now_v7().to_string()).collect();
    let mut unread = Vec::new();
    for which in 0..2 {
        let own: Vec<String> = ids.iter().skip(which).step_by(2).cloned().collect();
        let wire = Wire::open_with_window(&shop.engine.address, 1).await;
        let WireCall { answer, request } = wire.begin(COMMANDS, Some(&service)).await;
        let commands = (0..).zip(own).map(|(tag, order_id)| {
            placing(tag, proto::PlaceOrderRequest { order_id, ..order(FLOOD) }, false)
        });
        unread.push((wire, answer, tokio::spawn(send_all(request, commands, || {}))));
    }
    // Each is read as far as the limit, and all commands read are executed.
    let (wire, patience) = (shop.wire().await, Instant::now() + PATIENCE);
    for last in &ids[ids.len() - 2..] {
        let get = proto::GetOrderRequest { order_id: last.clone(), ..Default::default() };
        loop {
            let placed = wire.call(PLACE, Some(&service), &order(OTHER)).await.ended();
            assert_eq!(within(placed).await, "OK");
            match within(wire.call(GET, Some(&service), &get).await.ended()).await.as_str() {
                "OK" => break,
                ended => assert_eq!(ended, "NOT_FOUND"),
            }
            assert!(Instant::now() < patience, "commands are not carried out");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_with_large_unread_answers_is_not_read_further() {
    const COUNT: u64 = 64;
    let shop = Shielded::start(&["--without-stock"]);
    let ops = token("OPS", "anna");
    let line = |index: usize| proto::NewLine {
        sku: format!("{index:0>60}"),
        ..order(FLOOD).lines.swap_remove(0)
    };
    let large = proto::PlaceOrderRequest { lines: (0..2_000).map(line).collect(), ..order(FLOOD) };
    assert!(large.encoded_len() > 128 * 1024, "{}", large.encoded_len());
    let wire = shop.wire().await;
    let WireCall { answer, request } = wire.begin(COMMANDS, Some(&ops)).await;
    let sent = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&sent);
    let commands = (0..COUNT).map(move |tag| placing(tag, large.clone(), false));
    let sending = tokio::spawn(send_all(request, commands, move || {
        counts.fetch_add(1, Ordering::Relaxed);
    }));
    // Until it stops.
    let (mut last, mut since, patience) = (0, Instant::now(), Instant::now() + PATIENCE);
    while since.elapsed() < Duration::from_secs(2) {
        assert!(Instant::now() < patience, "it is read on: {last}");
        let now = sent.load(Ordering::Relaxed);
        if now != last || now == 0 {
            (last, since) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(last < COUNT / 2, "{last} commands were read, and no answer was taken");
    let (received, ended) = within(read_all::<proto::ExecuteCommandsResponse>(answer)).await;
    assert_eq!((u64::try_from(received.len()).unwrap(), ended.as_str()), (COUNT, "OK"));
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_stream_may_have_only_one_command() {
    let shop = Shielded::start(&["--without-stock"]);
    let flood = customer(FLOOD);
    let carried = async |count: u64| {
        let wire = shop.wire().await;
        let call = wire.begin_with(COMMANDS, Some(&flood), &[("ordinal-forwarded", "1")]).await;
        let commands = (0..count).map(|tag| placing(tag, order(FLOOD), true));
        let WireCall { answer, request } = call;
        send_all(request, commands, || {}).await;
        within(read_all::<proto::ExecuteCommandsResponse>(answer)).await
    };
    let (received, ended) = carried(1).await;
    assert_eq!((received.len(), ended.as_str()), (1, "OK"));
    let (received, ended) = carried(3).await;
    assert_eq!((received.len(), ended.as_str()), (1, "MALFORMED_MESSAGE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unread_answer_keeps_its_place() {
    let shop = Shielded::start(&["--calls-per-customer", "1", "--without-stock"]);
    let flood = customer(FLOOD);
    let line = |index: usize| proto::NewLine {
        sku: format!("MUG-{index}"),
        ..order(FLOOD).lines.swap_remove(0)
    };
    let order_id = Uuid::now_v7().to_string();
    let placed = proto::PlaceOrderRequest {
        order_id: order_id.clone(),
        lines: (0..200).map(line).collect(),
        ..order(FLOOD)
    };
    assert_eq!(shop.ends(PLACE, Some(&flood), &placed).await, "OK");
    let get = proto::GetOrderRequest { order_id, ..Default::default() };
    let until = async |wanted: &str| {
        let patience = Instant::now() + PATIENCE;
        while shop.ends(GET, Some(&flood), &get).await != wanted {
            assert!(Instant::now() < patience, "it is not {wanted}");
        }
    };
    until("OK").await;
    let wire = Wire::open_with_window(&shop.engine.address, 16).await;
    let call = wire.call(GET, Some(&flood), &get).await;
    let (mut body, _request) = within(call.begun()).await.unwrap();
    for _ in 0..50 {
        assert_eq!(shop.ends(GET, Some(&flood), &get).await, "OVERLOADED");
    }
    // And it is complete, in however small pieces it is read.
    let mut bytes = Vec::new();
    while let Some(data) = within(body.data()).await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    let received = proto::GetOrderResponse::decode(&bytes[5..]).unwrap();
    assert_eq!(received.order.unwrap().lines.len(), 200);
    until("OK").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_answered_while_callers_hold_all_places() {
    let shop = Shielded::start(&["--calls-max", "8"]);
    let (flood, wire) = (customer(FLOOD), shop.wire().await);
    let mut calls = Vec::new();
    for _ in 0..10 {
        calls.push(wire.begin(PLACE, Some(&flood)).await);
    }
    let health = HealthCheckRequest::default();
    // The earlier calls over this connection hold their places.
    assert_eq!(within(wire.call(HEALTH, None, &health).await.ended()).await, "OK");
    assert_eq!(shop.ends(PLACE, Some(&customer(OTHER)), &order(OTHER)).await, "OVERLOADED");
    for _ in 0..10 {
        assert_eq!(shop.ends(HEALTH, None, &health).await, "OK");
    }
    assert_eq!(shop.ends(PLACE, Some(&token("OPS", "anna")), &order(OTHER)).await, "OK");
}
