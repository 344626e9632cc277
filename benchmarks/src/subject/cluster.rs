use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use ordinal::client::{Caller, Client, Connection};
use ordinal::cluster::Process;
use ordinal::engine::{SERVICES, Service};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::telemetry::Telemetry;
use crate::lab::{Lab, free_address};

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// How often stock is set before it fails.
const SET_TRIES: u32 = 5;

/// Services that no order of these rows needs; other rows measure them.
const MEASURED_ELSEWHERE: [&str; 2] = ["ledger", "payments"];

/// The engine as deployed: a process and a database for each service, connected by Redis.
pub struct Cluster {
    /// In the order of the services' rows.
    parts: Vec<Part>,
    orders: SocketAddr,
    stock: SocketAddr,
    /// To the order node, as an operator.
    pub client: Client,
}

/// A service with its process.
struct Part {
    service: &'static Service,
    process: Process,
    database: String,
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
    /// Starts a process of each service.
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
        let mut addresses = Vec::new();
        for service in SERVICES.iter().copied() {
            if !MEASURED_ELSEWHERE.contains(&service.name) {
                addresses.push((service, free_address()?));
            }
        }
        let mut parts = Vec::new();
        for &(service, address) in &addresses {
            let database = lab.database(service.name).await?;
            let mut arguments = arguments(lab, service, address, &database)?;
            arguments.extend(peers(service, &addresses));
            if let Some(telemetry) = telemetry.as_mut() {
                arguments.extend(telemetry.flags().await?);
            }
            let log = lab.log(service.name);
            let mut process = Process::new(service.name, address, &program, arguments, log);
            process.start()?;
            let listens = async |at: SocketAddr| tokio::net::TcpStream::connect(at).await.is_ok();
            process.until(STARTS_WITHIN, listens).await?;
            parts.push(Part { service, process, database });
        }
        let at = |name: &str| {
            let found = addresses.iter().find(|(service, _)| service.name == name);
            found.map(|(_, address)| *address).with_context(|| format!("there is no {name}"))
        };
        let (orders, stock) = (at("orders")?, at("inventory")?);
        let client = operator(orders).await?;
        Ok(Self { parts, orders, stock, client })
    }

    /// The processes, by what they keep, and their ids.
    pub fn processes(&self) -> Vec<(&'static str, Option<u32>)> {
        self.parts.iter().map(|part| (part.service.keeps, part.process.id())).collect()
    }

    /// The address for placing orders.
    pub const fn address(&self) -> SocketAddr {
        self.orders
    }

    /// The address of stock.
    pub const fn stock(&self) -> SocketAddr {
        self.stock
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where a database cannot be dropped.
    pub async fn close(mut self, lab: &Lab) -> anyhow::Result<()> {
        // Followers before what they follow.
        for part in self.parts.iter_mut().rev() {
            part.process.stop(Signal::TERM, STOPS_WITHIN).await;
        }
        for part in &self.parts {
            lab.drop_database(&part.database).await?;
        }
        // The next cluster's streams start empty, as its databases do.
        let client = redis::Client::open(lab.redis_url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        Ok(redis::cmd("FLUSHALL").exec_async(&mut connection).await?)
    }
}

/// What a process is started with, but for the addresses of the others.
fn arguments(
    lab: &Lab,
    service: &Service,
    address: SocketAddr,
    database: &str,
) -> anyhow::Result<Vec<String>> {
    let (listen, redis) = (address.to_string(), lab.redis_url());
    let database_flag = format!("--{}-database-url", service.name);
    let fixed = [
        "ordinal",
        "serve",
        "--role",
        service.name,
        "--listen",
        &listen,
        &database_flag,
        database,
        "--redis-url",
        &redis,
    ];
    // Of several processes the first: one order node.
    let own = service.processes.first().into_iter().flat_map(|process| process.flags);
    let dir = lab.mail()?.display().to_string();
    let own = own.map(|flag| flag.replace("{dir}", &dir));
    Ok(fixed.into_iter().map(str::to_owned).chain(own).collect())
}

/// The addresses of the others: order nodes know everyone, everyone knows the order nodes.
fn peers(service: &Service, addresses: &[(&'static Service, SocketAddr)]) -> Vec<String> {
    let others = addresses.iter().filter(|(other, _)| other.has_journal != service.has_journal);
    others
        .flat_map(|(other, at)| [format!("--{}-at", other.name), format!("http://{at}")])
        .collect()
}
