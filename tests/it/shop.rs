//! An engine in this process, on either backend, with a clock that is moved by hand; all requests
//! go through gRPC.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use notification::Mail;
use order_actor::clock::{Clock as _, ManualClock};
use ordinal::client::{Caller, Client, Connection, Failure};
use ordinal::engine::{Backend, Databases, Engine, Settings};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::Uuid;

use crate::support::PATIENCE;

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The database of a test.
#[derive(Clone, Copy, Debug)]
pub enum On {
    Sqlite,
    Postgres,
}

/// Runs a test on both backends.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::shop::Shop::open($crate::shop::On::Sqlite).await).await;
                }
            )*
        }
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::shop::Shop::open($crate::shop::On::Postgres).await).await;
                }
            )*
        }
    };
}
pub(crate) use on_both;

/// A Postgres database of its own.
pub struct TestDatabase {
    server: String,
    name: String,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let server = std::env::var("ORDINAL_TEST_POSTGRES")
            .expect("ORDINAL_TEST_POSTGRES names a Postgres for tests; scripts/test starts one");
        let name = format!("t_{}", Uuid::now_v7().simple());
        let mut connection = sqlx::PgConnection::connect(&server).await.unwrap();
        connection.execute(format!("CREATE DATABASE {name}").as_str()).await.unwrap();
        Self { server, name }
    }

    pub fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    /// Drops it and disconnects its sessions.
    pub async fn drop(self) {
        let mut connection = sqlx::PgConnection::connect(&self.server).await.unwrap();
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        connection.execute(sql.as_str()).await.unwrap();
    }
}

pub struct Shop {
    pub clock: ManualClock,
    pub ops: Client,
    pub service: Client,
    pub buyer: Client,
    pub customer: Uuid,
    pub address: String,
    directory: TempDir,
    database: Option<TestDatabase>,
    engine: Option<Engine>,
}

impl Shop {
    pub async fn open(on: On) -> Self {
        let directory = TempDir::new().unwrap();
        let database = match on {
            On::Sqlite => None,
            On::Postgres => Some(TestDatabase::create().await),
        };
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
        let settings = settings(&directory, database.as_ref(), &clock);
        let engine = Engine::start(settings).await.unwrap();
        let address = format!("http://{}", engine.address());
        let customer = Uuid::now_v7();
        let [ops, service, buyer] = clients(&address, customer).await;
        let engine = Some(engine);
        Self { clock, ops, service, buyer, customer, address, directory, database, engine }
    }

    /// Restarts the engine with changed settings.
    pub async fn restart(&mut self, change: impl FnOnce(&mut Settings)) {
        self.stop().await;
        self.start(change).await;
    }

    pub async fn stop(&mut self) {
        self.engine.take().unwrap().stop().await.unwrap();
    }

    pub async fn start(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = settings(&self.directory, self.database.as_ref(), &self.clock);
        change(&mut settings);
        let engine = Engine::start(settings).await.unwrap();
        self.address = format!("http://{}", engine.address());
        [self.ops, self.service, self.buyer] = clients(&self.address, self.customer).await;
        self.engine = Some(engine);
    }

    pub async fn as_caller(&self, role: &str, subject: &str) -> Client {
        client(&self.address, role, subject).await
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance_to(self.clock.now().plus(by));
    }

    /// An order of these lines, at 10 GBP a unit.
    pub fn order(&self, lines: &[(&str, u32)]) -> Value {
        let lines: Vec<Value> = lines
            .iter()
            .map(|(sku, quantity)| {
                let price = json!({ "currency_code": "GBP", "units": 10 });
                json!({ "sku": sku, "quantity": quantity, "unit_price": price })
            })
            .collect();
        json!({
            "order_id": Uuid::now_v7(),
            "customer_id": self.customer,
            "lines": lines,
            "address": {
                "street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB",
                "country": "GB",
            },
            "contact": { "email": "customer@example.com" },
        })
    }

    /// Places an order and returns its id.
    pub async fn place(&self, lines: &[(&str, u32)]) -> String {
        self.placed(self.order(lines)).await
    }

    /// The same of a customer who gets messages in this language.
    pub async fn place_in(&self, locale: &str, lines: &[(&str, u32)]) -> String {
        let mut order = self.order(lines);
        order["contact"]["locale"] = json!(locale);
        self.placed(order).await
    }

    async fn placed(&self, order: Value) -> String {
        let placed = self.buyer.orders("PlaceOrder", order).await.unwrap();
        placed["order"]["order_id"].as_str().unwrap().to_owned()
    }

    pub async fn set_stock(&self, sku: &str, on_hand: i64) {
        let request = json!({ "sku": sku, "on_hand": on_hand });
        self.ops.call("inventory.v1.InventoryService/SetStock", request).await.unwrap();
    }

    /// Units on hand and reserved units.
    pub async fn stock(&self, sku: &str) -> (i64, i64) {
        let request = json!({ "sku": sku });
        let answer = self.ops.call("inventory.v1.InventoryService/GetStock", request).await;
        let stock = answer.unwrap()["stock"].take();
        (stock["on_hand"].as_i64().unwrap(), stock["reserved"].as_i64().unwrap())
    }

    pub async fn get(&self, order_id: &str) -> Value {
        let request = json!({ "order_id": order_id });
        self.ops.orders("GetOrder", request).await.unwrap()["order"].take()
    }

    pub async fn until(&self, order_id: &str, status: &str) -> Value {
        let patience = Instant::now() + PATIENCE;
        let status = format!("ORDER_STATUS_{status}");
        loop {
            let order = self.get(order_id).await;
            if order["status"] == json!(status) {
                return order;
            }
            assert!(Instant::now() < patience, "{order_id} is {}, not {status}", order["status"]);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What a database of this name holds, with what is not in its main file yet; none on Postgres.
    pub fn database_file(&self, name: &str) -> Option<String> {
        let read = |name: String| std::fs::read(self.directory.path().join("data").join(name));
        let bytes = [name.to_owned(), format!("{name}-wal")].map(|name| read(name).ok());
        let bytes = bytes.into_iter().flatten().flatten().collect::<Vec<u8>>();
        self.database.is_none().then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until no follower has work left.
    pub async fn settled(&self) {
        let patience = Instant::now() + PATIENCE;
        // A follower that is read first may get new work from one that is read last.
        let mut still = 0;
        while still < 2 {
            let method = "admin.v1.AdminService/ListFollowers";
            // The connection may be closed because of its age just now.
            let answer = self.ops.call(method, json!({})).await;
            let idle = answer.as_ref().is_ok_and(|answer| {
                let followers = answer["followers"].as_array().unwrap();
                followers.iter().all(|f| f["head_known"] == true && f["lag"] == 0)
            });
            still = if idle { still + 1 } else { 0 };
            assert!(Instant::now() < patience, "{answer:?}");
            tokio::time::sleep(LOOK_AGAIN / 4).await;
        }
    }

    /// The names of an order's events.
    pub async fn events(&self, order_id: &str) -> Vec<String> {
        let method = "orders.v1.JournalService/ListOrderEvents";
        let request = json!({ "order_id": order_id, "page_size": 100 });
        let answer = self.ops.call(method, request).await.unwrap();
        let events = answer["events"].as_array().unwrap();
        events.iter().map(|event| event["event"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Kinds of the messages about an order, in order.
    pub async fn message_kinds(&self, order_id: &str) -> Vec<String> {
        self.settled().await;
        self.messages(order_id, "kind").await
    }

    /// The delivery state of each.
    pub async fn states(&self, order_id: &str) -> Vec<String> {
        self.messages(order_id, "state").await
    }

    async fn messages(&self, order_id: &str, field: &str) -> Vec<String> {
        let method = "notifications.v1.NotificationService/ListNotifications";
        let request = json!({ "order_id": order_id, "page_size": 100 });
        let answer = self.ops.call(method, request).await.unwrap();
        let messages = answer["notifications"].as_array().unwrap();
        messages.iter().map(|message| message[field].as_str().unwrap().to_owned()).collect()
    }

    /// The heads of the journal.
    pub async fn heads(&self) -> Value {
        let mut stream =
            self.ops.stream("orders.v1.OrderService/WatchOrders", json!({})).await.unwrap();
        stream.next().await.unwrap().unwrap()["progress"]["through"].take()
    }

    /// Checks every law and stops the engine.
    pub async fn close(mut self) {
        self.settled().await;
        let place = match &self.database {
            Some(database) => ["--database-url".to_owned(), database.url()],
            None => ["--data".to_owned(), self.data().display().to_string()],
        };
        let output = Command::new(env!("CARGO_BIN_EXE_ordinal"))
            .args(["--json", "verify"])
            .args(place)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{printed}{error}");
        self.stop().await;
        if let Some(database) = self.database.take() {
            database.drop().await;
        }
    }

    /// The Postgres database that holds everything.
    pub fn url(&self) -> String {
        self.database.as_ref().expect("a shop on Postgres").url()
    }

    pub fn is_on(&self) -> On {
        if self.database.is_some() { On::Postgres } else { On::Sqlite }
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

fn settings(directory: &TempDir, database: Option<&TestDatabase>, clock: &ManualClock) -> Settings {
    let mut settings = Settings::new(match database {
        Some(database) => Backend::Postgres(Databases::one(&database.url())),
        None => Backend::Sqlite(directory.path().join("data")),
    });
    settings.clock = Arc::new(clock.clone());
    settings.notifications.mail = Mail::Directory(directory.path().join("mail"));
    settings
}

async fn client(address: &str, role: &str, subject: &str) -> Client {
    let caller = Caller { role: role.to_owned(), subject: subject.to_owned() };
    let connection = Connection {
        timeout: Duration::from_secs(30),
        ..Connection::new(address.to_owned(), caller)
    };
    Client::connect(&connection).await.unwrap()
}

async fn clients(address: &str, customer: Uuid) -> [Client; 3] {
    [
        client(address, "ops", "anna").await,
        client(address, "service", "shop").await,
        client(address, "customer", &customer.to_string()).await,
    ]
}

/// Calls of the order service.
pub trait Orders {
    async fn orders(&self, method: &str, request: Value) -> Result<Value, Failure>;

    /// The reason of a call that must be refused.
    async fn refused(&self, method: &str, request: Value) -> String;
}

impl Orders for Client {
    async fn orders(&self, method: &str, request: Value) -> Result<Value, Failure> {
        self.call(&format!("orders.v1.OrderService/{method}"), request).await
    }

    async fn refused(&self, method: &str, request: Value) -> String {
        match self.orders(method, request).await {
            Err(failure) => failure.reason(),
            Ok(answer) => panic!("{method} was accepted: {answer}"),
        }
    }
}
