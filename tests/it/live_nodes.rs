//! One of two nodes stops while many clients watch: streams of events and sockets.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use ordinal::client::{Caller, Client, Connection};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::health::logged;
use crate::http::Http;
use crate::nodes::{LEASE, node};
use crate::rest::events;
use crate::shop::TestDatabase;
use crate::socket::Socket;
use crate::support::{CUSTOMER, Engine, PATIENCE};

/// As the one customer of all orders, whose positions are hidden: fewer than he may have.
const OF_CUSTOMER: usize = 10;
const STREAMS: usize = 50;
const SOCKETS: usize = 10;

/// What a client has seen, and where.
#[derive(Default)]
struct Seen {
    orders: BTreeSet<String>,
    cursor: String,
}

impl Seen {
    /// A change, which must not come twice.
    fn change(&mut self, change: &Value) {
        let id = change["order"]["order_id"].as_str().unwrap().to_owned();
        assert!(self.orders.insert(id), "a change comes twice: {change}");
    }
}

/// Tells once that a watch has begun.
#[derive(Clone)]
struct Begun(Option<mpsc::UnboundedSender<()>>);

impl Begun {
    fn tell(&mut self) {
        if let Some(begun) = self.0.take() {
            begun.send(()).unwrap();
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Stream { of_customer: bool },
    Socket,
}

/// A client, from its beginning until it has seen so many orders; none for as long as its node
/// lives. It says once that it has begun.
async fn watch(
    kind: Kind,
    address: &str,
    mut seen: Seen,
    until: Option<usize>,
    mut begun: Begun,
) -> Seen {
    let done = |seen: &Seen| until.is_some_and(|until| seen.orders.len() >= until);
    match kind {
        Kind::Stream { of_customer } => {
            let mut http = Http::connect(address).await;
            let mut headers = vec![("accept", "text/event-stream")];
            if of_customer {
                headers.extend([("ordinal-role", "customer"), ("ordinal-subject", CUSTOMER)]);
            }
            let cursor = seen.cursor.clone();
            if !cursor.is_empty() {
                headers.push(("last-event-id", cursor.as_str()));
            }
            http.head("GET /v1/orders:watch", &headers).await;
            assert_eq!(http.answered().await.status, 200);
            while !done(&seen) {
                let chunk = http.chunk().await.expect("the last item says how it ended");
                for (id, kind, data) in events(&chunk) {
                    seen.cursor = id;
                    match kind.as_str() {
                        "change" => seen.change(&data["change"]),
                        "problem" => {
                            assert_eq!(data["code"], "STOPPING", "{data}");
                            assert_eq!(http.chunk().await, None);
                            return seen;
                        }
                        _ => begun.tell(),
                    }
                }
            }
        }
        Kind::Socket => {
            let mut socket = Socket::open(address, &[]).await;
            let after = Some(seen.cursor.as_str()).filter(|cursor| !cursor.is_empty());
            socket.watch("all", after).await;
            while !done(&seen) {
                let message = socket.next().await.unwrap();
                seen.cursor = message["cursor"].as_str().unwrap().to_owned();
                if message.get("change").is_some() {
                    seen.change(&message["change"]);
                } else if let Some(problem) = message.get("problem") {
                    assert_eq!(problem["code"], "STOPPING", "{message}");
                    assert_eq!(socket.next().await, Err(Some(1001)));
                    return seen;
                } else {
                    begun.tell();
                }
            }
        }
    }
    seen
}

/// Places an order until it is acknowledged, as a client that retries does.
async fn place(client: &Client) {
    let price = json!({ "currency_code": "GBP", "units": 10 });
    let order = json!({
        "order_id": Uuid::now_v7(),
        "customer_id": CUSTOMER,
        "lines": [{ "sku": "MUG", "quantity": 1, "unit_price": price }],
        "address": {
            "street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB",
            "country": "GB",
        },
    });
    let patience = Instant::now() + PATIENCE;
    while client.call("orders.v1.OrderService/PlaceOrder", order.clone()).await.is_err() {
        assert!(Instant::now() < patience, "not placed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_watchers_of_a_node_that_stops_go_on_at_another() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let flags = ["--database-url", url.as_str(), "--without-stock"];
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let a = logged(&[], &[&["--node-name", "a"], &LEASE[..], &flags].concat(), &log);
    watchers_go_on([a, node("b", &flags)], &log).await;
    database.drop().await;
}

/// Sixty clients of the first process go on at the second when the first stops, without a gap and
/// without a repeat. The first writes this log.
pub async fn watchers_go_on([a, b]: [Engine; 2], log: &Path) {
    let (to_a, to_b) = (a.address.clone(), b.address.clone());
    let customer = (0..OF_CUSTOMER).map(|_| Kind::Stream { of_customer: true });
    let others = (OF_CUSTOMER..STREAMS).map(|_| Kind::Stream { of_customer: false });
    let kinds: Vec<Kind> =
        customer.chain(others).chain((0..SOCKETS).map(|_| Kind::Socket)).collect();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let clients = |address: String, seen: Vec<Seen>, until| {
        let begun = Begun(Some(begun.clone()));
        let clients = kinds.clone().into_iter().zip(seen);
        let clients = clients.map(move |(kind, seen)| {
            let (address, begun) = (address.clone(), begun.clone());
            tokio::spawn(async move { watch(kind, &address, seen, until, begun).await })
        });
        clients.collect::<Vec<_>>()
    };
    let none = kinds.iter().map(|_| Seen::default()).collect();
    let watching = clients(to_a, none, None);
    for _ in 0..kinds.len() {
        begins.recv().await.unwrap();
    }
    let caller = Caller { role: "ops".to_owned(), subject: "anna".to_owned() };
    let connection =
        Connection { timeout: Duration::from_secs(5), ..Connection::new(to_b.clone(), caller) };
    let placing = Client::connect(&connection).await.unwrap();
    for _ in 0..20 {
        place(&placing).await;
    }
    // Orders are placed all the while.
    let stopping = tokio::task::spawn_blocking(move || a.stop().success());
    let mut placed = 20;
    while !stopping.is_finished() {
        place(&placing).await;
        placed += 1;
    }
    assert!(stopping.await.unwrap());
    let said = fs::read_to_string(log).unwrap();
    assert!(!said.contains("calls were still open after the drain time"), "{said}");
    let seen: Vec<Seen> = join_all(watching).await.into_iter().map(Result::unwrap).collect();
    assert!(seen.iter().all(|seen| seen.orders.len() >= 20 || !seen.cursor.is_empty()));
    for _ in 0..20 {
        place(&placing).await;
        placed += 1;
    }
    let resumed = join_all(clients(to_b, seen, Some(placed))).await;
    let orders: Vec<_> = resumed.into_iter().map(|seen| seen.unwrap().orders).collect();
    assert!(orders.iter().all(|seen| *seen == orders[0] && seen.len() == placed));
    assert!(b.stop().success());
}
