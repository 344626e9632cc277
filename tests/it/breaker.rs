//! Calls to a process that is away: sent once or not at all, and not sent at all once it is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use order_actor::grpc::proto;
use tokio::net::TcpListener;

use crate::http::Http;
use crate::overload::order;
use crate::shop::TestDatabase;
use crate::support::{CUSTOMER, Engine, PATIENCE, free_port};
use crate::wire::{Wire, framed, reason, status, within};

const PLACE: &str = "/ordinal.orders.v1.OrderService/PlaceOrder";
const GET: &str = "/ordinal.orders.v1.OrderService/GetOrder";

const SHARDS: &str = "/ordinal.admin.v1.AdminService/ListShards";

/// What the other process does with calls to its service.
const ANSWERS: u8 = 0;
const BREAKS: u8 = 1;
const HANGS: u8 = 2;
const RESETS: u8 = 3;

/// A process that says that it has orders.
#[derive(Clone)]
struct Fake {
    /// All that counts, and breaks.
    service: &'static str,
    does: Arc<AtomicU8>,
    calls: Arc<AtomicUsize>,
}

impl Fake {
    async fn start(service: &'static str) -> (Self, String) {
        let fake = Self { service, does: Arc::default(), calls: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let fake = serving.clone();
                tokio::spawn(async move { fake.serve(socket).await });
            }
        });
        (fake, address)
    }

    /// Until it breaks: then the connection ends with all its calls.
    async fn serve(self, socket: tokio::net::TcpStream) -> Option<()> {
        let mut connection = h2::server::handshake(socket).await.ok()?;
        let mut hanging = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let counts = request.uri().path().contains(self.service);
            let does = if counts { self.does.load(Ordering::SeqCst) } else { ANSWERS };
            self.calls.fetch_add(usize::from(counts), Ordering::SeqCst);
            match does {
                BREAKS => return None,
                HANGS => hanging.push(respond),
                RESETS => respond.send_reset(h2::Reason::INTERNAL_ERROR),
                _ => {
                    let refused = Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", "5");
                    let _ = respond.send_response(refused.body(()).unwrap(), true);
                }
            }
        }
        drop::<Vec<h2::server::SendResponse<Bytes>>>(hanging);
        None
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// A process of stock whose orders are at a made one. Without a feed: what it asks would count, and
/// hang, too.
async fn behind_a_fake() -> (TestDatabase, Fake, Engine) {
    let database = TestDatabase::create().await;
    let (fake, address) = Fake::start("OrderService").await;
    let url = database.url();
    let flags = ["--role", "inventory", "--database-url", &url, "--orders-at", &address];
    let stock = Engine::start_with(&[&flags[..], &["--without-stock"]].concat());
    (database, fake, stock)
}

/// The code and the reason of a call.
async fn ends(wire: &Wire, path: &str, message: &impl prost::Message) -> (i32, String) {
    ends_with(wire, path, message, &[]).await
}

/// The same, of one with these headers.
async fn ends_with(
    wire: &Wire,
    path: &str,
    message: &impl prost::Message,
    headers: &[(&str, &str)],
) -> (i32, String) {
    let mut call = wire.begin_with(path, None, headers).await;
    // It may have been refused already.
    let _ = call.request.send_data(framed(message), true);
    let answer = within(call.answer).await.unwrap();
    let status = status(answer.headers()).unwrap();
    // The made process gives no reason.
    let detail = if status.code() == tonic::Code::NotFound { "OK".into() } else { reason(&status) };
    (status.code().into(), detail)
}

/// A15, A16 and G13.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_away_gets_no_calls_and_one_that_refuses_gets_all() {
    let (database, fake, stock) = behind_a_fake().await;
    let wire = Wire::open(&stock.address).await;
    let missing = proto::GetOrderRequest { order_id: CUSTOMER.into(), ..Default::default() };
    for _ in 0..1_000 {
        assert_eq!(ends(&wire, GET, &missing).await.0, 5);
    }
    assert_eq!(fake.calls(), 1_000);

    // Each call is sent once, and nobody knows what became of it.
    fake.does.store(BREAKS, Ordering::SeqCst);
    let (mut sent, since) = (0, Instant::now());
    let arrived = loop {
        let before = fake.calls();
        let (code, reason) = ends(&wire, PLACE, &order(CUSTOMER)).await;
        if reason == "NOT_FORWARDED" {
            // Then none is sent, and that is known.
            assert_eq!((code, fake.calls()), (14, before));
            break before;
        }
        assert_eq!((code, reason.as_str()), (14, "OUTCOME_UNKNOWN"));
        sent += 1;
        // One that was written to a connection that is about to end may not arrive.
        assert!(fake.calls() <= 1_000 + sent, "{} of {sent} were sent", fake.calls());
        // After five one in a second tries, if this takes so long.
        let most = 5 + usize::try_from(since.elapsed().as_secs()).unwrap();
        assert!(sent <= most, "{sent} were sent, {most} at most");
    };
    assert!(sent >= 5, "{sent}");
    fake.does.store(HANGS, Ordering::SeqCst);
    let notes = until_notes(&stock, |notes| notes.contains("calls to orders fail")).await;
    assert!(notes.contains("forwarding"), "{notes}");

    // One tries; its caller leaves, and another tries later.
    let patience = Instant::now() + PATIENCE;
    let (mut trying, tries_since) = loop {
        let since = Instant::now();
        let mut call = wire.call(GET, None, &missing).await;
        let arrives = async {
            while fake.calls() == arrived {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = arrives => break (call, since),
            refused = &mut call.answer => {
                let told = status(refused.unwrap().headers()).unwrap();
                assert_eq!(reason(&told), "NOT_FORWARDED");
            }
        }
        assert!(Instant::now() < patience, "no call tries");
    };
    // It holds up the others for a second at most.
    let other = ends(&wire, GET, &missing).await.1;
    let held_up = other == "NOT_FORWARDED" || tries_since.elapsed() >= Duration::from_secs(1);
    assert!(held_up, "{other}");
    trying.request.send_reset(h2::Reason::CANCEL);
    drop(trying);
    let arrived = fake.calls();
    fake.does.store(ANSWERS, Ordering::SeqCst);
    let patience = Instant::now() + PATIENCE;
    while ends(&wire, GET, &missing).await.0 != 5 {
        assert!(Instant::now() < patience, "it stays open");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(fake.calls(), arrived + 1);
    until_notes(&stock, |notes| !notes.contains("forwarding")).await;
    drop(stock);
    database.drop().await;
}

/// Deadlines that pass, and single calls that break off, are no failures of a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_hangs_or_resets_calls_keeps_getting_them() {
    let (database, fake, stock) = behind_a_fake().await;
    let wire = Wire::open(&stock.address).await;
    let missing = proto::GetOrderRequest { order_id: CUSTOMER.into(), ..Default::default() };
    assert_eq!(ends(&wire, GET, &missing).await.0, 5);

    fake.does.store(HANGS, Ordering::SeqCst);
    for _ in 0..20 {
        let (code, reason) = ends_with(&wire, GET, &missing, &[("grpc-timeout", "50m")]).await;
        assert_eq!((code, reason.as_str()), (4, "DEADLINE_EXCEEDED"));
    }
    fake.does.store(RESETS, Ordering::SeqCst);
    for _ in 0..20 {
        let (code, reason) = ends(&wire, PLACE, &order(CUSTOMER)).await;
        assert_eq!((code, reason.as_str()), (14, "OUTCOME_UNKNOWN"));
    }
    fake.does.store(ANSWERS, Ordering::SeqCst);
    assert_eq!(ends(&wire, GET, &missing).await.0, 5);
    let notes = String::from_utf8(stock.run(&["health"]).stdout).unwrap();
    assert!(!notes.contains("forwarding"), "{notes}");
    drop(stock);
    database.drop().await;
}

/// Whoever says how long he waits waits no longer, also where the process behind says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_by_http_waits_as_long_as_its_caller_prefers() {
    let (database, fake, stock) = behind_a_fake().await;
    let mut http = Http::connect(&stock.address).await;
    let order = format!("/v1/orders/{CUSTOMER}");
    assert_eq!(http.call(&format!("GET {order}"), &[]).await.status, 404);

    fake.does.store(HANGS, Ordering::SeqCst);
    let (before, mut asked_for) = (fake.calls(), 0);
    for prefer in ["wait=1", "Wait=\"1\"", "respond-async, wait=1;x"] {
        for line in [format!("GET {order}"), format!("POST {order}:cancel")] {
            // Without a word of its caller it waits 5 s, each time; a busy machine may once be as
            // late.
            let mut longest: Vec<Duration> = Vec::new();
            while longest.last().is_none_or(|waited| *waited >= Duration::from_secs(4)) {
                assert!(longest.len() < 5, "{line} {prefer}: {longest:?}");
                let asked = Instant::now();
                let answer = http.text(&line, &[("prefer", prefer)], "").await;
                let waited = asked.elapsed();
                let found = (answer.status, answer.code());
                let late = (504, "DEADLINE_EXCEEDED".to_owned());
                assert_eq!(found, late, "{line} {prefer}: {answer:?}");
                assert!(waited >= Duration::from_millis(900), "{line} {prefer}: {waited:?}");
                longest.push(waited);
                asked_for += 1;
            }
        }
    }
    assert_eq!(fake.calls(), before + asked_for);
    drop(stock);
    database.drop().await;
}

/// What operators ask of a gateway finds it out, too, and nothing of it is sent then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_calls_of_a_gateway_are_behind_the_breaker_of_all_calls() {
    let (fake, address) = Fake::start("AdminService").await;
    let nowhere = "http://127.0.0.1:9";
    let others = ["--inventory-at", nowhere, "--notifications-at", nowhere];
    let edge = ["--role", "edge", "--orders-at", &address];
    let edge = Engine::start_with(&[&edge[..], &others].concat());
    let wire = Wire::open(&edge.address).await;
    assert_eq!((ends(&wire, SHARDS, &()).await.0, fake.calls()), (5, 1));

    fake.does.store(BREAKS, Ordering::SeqCst);
    let patience = Instant::now() + PATIENCE;
    let missing = proto::GetOrderRequest { order_id: CUSTOMER.into(), ..Default::default() };
    loop {
        // Five in a row: looks at the health of the process are answered, and may come between.
        loop {
            let (code, reason) = ends(&wire, SHARDS, &()).await;
            assert_eq!(code, 14, "{reason}");
            if reason == "NOT_FORWARDED" {
                break;
            }
            assert_eq!(reason, "OUTCOME_UNKNOWN");
            assert!(Instant::now() < patience, "all are sent");
        }
        // No call to an order was sent before, and none is now: for a second, after which one that
        // tries is answered.
        let (arrived, reason) = (fake.calls(), ends(&wire, GET, &missing).await.1);
        assert_eq!(fake.calls(), arrived);
        if reason == "NOT_FORWARDED" {
            break;
        }
        assert!(Instant::now() < patience, "calls to orders are sent: {reason}");
    }

    fake.does.store(ANSWERS, Ordering::SeqCst);
    let patience = Instant::now() + PATIENCE;
    while ends(&wire, SHARDS, &()).await.0 != 5 {
        assert!(Instant::now() < patience, "it stays open");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A feed of facts is behind the same breaker as calls: either finds out for both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_finds_out_that_a_process_is_away() {
    let database = TestDatabase::create().await;
    let address = format!("http://127.0.0.1:{}", free_port());
    let url = database.url();
    let flags = ["--role", "inventory", "--database-url", &url, "--orders-at", &address];
    let stock = Engine::start_with(&flags);
    until_notes(&stock, |notes| notes.contains("calls to orders fail")).await;
    let wire = Wire::open(&stock.address).await;
    let missing = proto::GetOrderRequest { order_id: CUSTOMER.into(), ..Default::default() };
    // One in a second may try; nobody waits for more. Fewer than it takes to find out by calls.
    let (since, mut tried) = (Instant::now(), 0);
    while ends(&wire, GET, &missing).await.1 != "NOT_FORWARDED" {
        tried += 1;
        let most = (1 + since.elapsed().as_secs()).min(3);
        assert!(tried <= most, "{tried} were sent, {most} at most");
    }
    drop(stock);
    database.drop().await;
}

async fn until_notes(engine: &Engine, expected: impl Fn(&str) -> bool) -> String {
    let patience = Instant::now() + PATIENCE;
    loop {
        let notes = engine.run(&["health"]).stdout;
        let notes = String::from_utf8(notes).unwrap();
        if expected(&notes) {
            return notes;
        }
        assert!(Instant::now() < patience, "{notes}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
