use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use ordinal::client::{Caller, Client, Connection};
use ordinal::cluster::Process;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::telemetry::Telemetry;
use crate::lab::{Lab, free_address};

const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// How often stock is set before it fails.
const SET_TRIES: u32 = 5;

/// The engine as deployed: a process per role, a database per role, connected by Redis.
pub struct Cluster {
    orders: Process,
    inventory: Process,
    notifications: Process,
    databases: [String; 3],
    /// To the order node, as an operator.
    pub client: Client,
}

/// A client as an operator.
///
/// # Errors
/// Where nobody answers.
pub async fn operator(address: SocketAddr) -> anyhow::Result<Client> {
    let caller = Caller { role: "ops".to_owned(), subject: "bench".to_owned() };
    let connection = Connection::new(format!("http://{address}"), caller);
    Client::connect(&connection).await.map_err(|failure| anyhow::anyhow!("{failure}"))
}

/// Calls a method by its name.
///
/// # Errors
/// The engine's answer.
pub async fn call(client: &Client, method: &str, request: Value) -> anyhow::Result<Value> {
    client.call(method, request).await.map_err(|failure| anyhow::anyhow!("{method}: {failure}"))
}

/// Sets more stock of each product than can be sold.
///
/// # Errors
/// Where stock does not answer.
pub async fn fill_shelves(
    stock: SocketAddr,
    skus: impl Iterator<Item = String>,
) -> anyhow::Result<()> {
    let client = operator(stock).await?;
    let skus: Vec<String> = skus.collect();
    for skus in skus.chunks(100) {
        let stock: Vec<Value> =
            skus.iter().map(|sku| json!({"sku": sku, "onHand": "1000000000"})).collect();
        let (method, asked) =
            ("inventory.v1.InventoryService/BatchSetStock", json!({ "requests": stock }));
        // A machine that others use may take longer than a call waits. Set twice is set once.
        let mut set = call(&client, method, asked.clone()).await;
        for _ in 1..SET_TRIES {
            if set.is_ok() {
                break;
            }
            set = call(&client, method, asked.clone()).await;
        }
        set?;
    }
    Ok(())
}

impl Cluster {
    /// Starts the three roles.
    ///
    /// # Errors
    /// Where one of them does not start.
    pub async fn start(lab: &Lab) -> anyhow::Result<Self> {
        Self::start_with(lab, None).await
    }

    /// The same, with what looks at it.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_with(
        lab: &Lab,
        mut telemetry: Option<&mut Telemetry>,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let (orders, inventory, notifications) =
            (free_address()?, free_address()?, free_address()?);
        let databases = [
            lab.database("orders").await?,
            lab.database("inventory").await?,
            lab.database("notifications").await?,
        ];
        let redis = lab.redis_url();
        let mail = lab.mail()?.display().to_string();
        let mut start = async |role: &str, at: SocketAddr, database: &str, flags: &[&str]| {
            let (listen, database_flag) = (at.to_string(), format!("--{role}-database-url"));
            let all = [
                &[
                    "ordinal",
                    "serve",
                    "--role",
                    role,
                    "--listen",
                    &listen,
                    &database_flag,
                    database,
                ],
                &["--redis-url", &redis][..],
                flags,
            ];
            let looked_at = match telemetry.as_mut() {
                Some(telemetry) => Some(telemetry.flags().await?),
                None => None,
            };
            let all =
                all.concat().into_iter().map(str::to_owned).chain(looked_at.into_iter().flatten());
            let all: Vec<String> = all.collect();
            let mut process = Process::new(role, at, &program, all, lab.log(role));
            process.start()?;
            process
                .until(Duration::from_secs(60), async |at| {
                    tokio::net::TcpStream::connect(at).await.is_ok()
                })
                .await?;
            anyhow::Ok(process)
        };
        let at = |address: SocketAddr| format!("http://{address}");
        let (orders_at, inventory_at, notifications_at) =
            (at(orders), at(inventory), at(notifications));
        let inventory =
            start("inventory", inventory, &databases[1], &["--orders-at", &orders_at]).await?;
        let peers = ["--inventory-at", &inventory_at, "--notifications-at", &notifications_at];
        let orders = start("orders", orders, &databases[0], &peers).await?;
        let flags = ["--orders-at", orders_at.as_str(), "--mail-dir", &mail];
        let notifications = start("notifications", notifications, &databases[2], &flags).await?;
        let client = operator(orders.address).await?;
        Ok(Self { orders, inventory, notifications, databases, client })
    }

    /// The processes, by name and id.
    pub fn processes(&self) -> [(&'static str, Option<u32>); 3] {
        [
            ("orders", self.orders.id()),
            ("stock", self.inventory.id()),
            ("messages", self.notifications.id()),
        ]
    }

    /// The address for placing orders.
    pub const fn address(&self) -> SocketAddr {
        self.orders.address
    }

    /// The address of stock.
    pub const fn stock(&self) -> SocketAddr {
        self.inventory.address
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where a database cannot be dropped.
    pub async fn close(self, lab: &Lab) -> anyhow::Result<()> {
        for mut process in [self.notifications, self.orders, self.inventory] {
            process.stop(Signal::TERM, STOPS_WITHIN).await;
        }
        for url in &self.databases {
            lab.drop_database(url).await?;
        }
        // The next cluster's streams start empty, as its databases do.
        let client = redis::Client::open(lab.redis_url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        Ok(redis::cmd("FLUSHALL").exec_async(&mut connection).await?)
    }
}
