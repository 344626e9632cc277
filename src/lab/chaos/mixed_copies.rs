use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use shared_events::contract::OrderId;
use tokio::time::{Instant, sleep};

use super::arena::client_at;
use super::set_back::accept_if_doubted;
use super::{ChaosArgs, READY_WITHIN, Report, free_address};
use crate::client::{self, lag};
use crate::client::{Client, Output};
use crate::engine::{Backend, JOURNAL_FILE, Stores, services};
use crate::lab::cluster::{self, Process};
use crate::verify;

/// Names of the files of a data directory, without their endings.
fn files() -> Vec<&'static str> {
    let own = services::ALL.iter().map(|service| service.name);
    JOURNAL_FILE.strip_suffix(".db").into_iter().chain(own).collect()
}

const ORDERS_A_ROUND: u32 = 12;
/// Time limit for an engine to report that it cannot serve, or to catch up.
const REPORTS_WITHIN: Duration = Duration::from_secs(60);

/// Damage to a file of the directory.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// Replaced by the one of an earlier copy.
    Older,
    Gone,
    Emptied,
}

/// One process on SQLite, with a directory put together from several copies.
struct MixedCopies {
    process: Process,
    data: PathBuf,
    random: StdRng,
    found: BTreeMap<String, u32>,
    calls: BTreeMap<&'static str, usize>,
    findings: Vec<verify::Finding>,
}

/// Each round: work, copy all files, work, then replace, empty or remove some files. The engine
/// refuses them by name, or reports that it cannot serve until it is told to accept them, or
/// catches up by itself. In the end everything agrees.
pub(super) async fn run(
    dir: &Path,
    args: &ChaosArgs,
    seed: u64,
    out: &Output,
) -> anyhow::Result<Report> {
    let folder = cluster::folder(dir)?;
    let data = folder.join("data");
    let (address, mail) = (free_address()?, folder.join("mail"));
    let path = |path: &Path| path.display().to_string();
    let arguments = ["serve", "--data", &path(&data), "--mail-dir", &path(&mail), "--listen"];
    let arguments = arguments.map(str::to_owned).into_iter().chain([address.to_string()]);
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let log = folder.join("logs").join("ordinal.log");
    let mut copies = MixedCopies {
        process: Process::new("ordinal", address, &program, arguments, log),
        data,
        random: StdRng::seed_from_u64(seed),
        found: BTreeMap::new(),
        calls: BTreeMap::new(),
        findings: Vec::new(),
    };
    copies.process.start()?;
    copies.process.until(READY_WITHIN, cluster::ready).await?;
    let stock = json!({ "sku": "MUG", "on_hand": 1_000_000 });
    ask(&client(address).await?, "inventory.v1.InventoryService/SetStock", stock).await?;
    let (began, mut kills, mut orders, mut events) = (Instant::now(), 0, 0, 0);
    while copies.findings.is_empty() && (began.elapsed() < args.lasts || kills < args.kills) {
        kills += copies.round(&folder, out).await?;
        let stores = Stores::snapshot(&Backend::Sqlite(copies.data.clone()), None).await?;
        let verified = verify::everything(&stores, None, out).await?;
        stores.close().await;
        (orders, events) = (verified.orders, verified.events);
        copies.findings.extend(verified.findings);
        copies.restart().await?;
    }
    copies.process.stop(Signal::TERM, READY_WITHIN).await;
    Ok(Report {
        seed,
        seconds: began.elapsed().as_secs(),
        kills,
        faults: copies.found,
        calls: copies.calls,
        latency_ms: BTreeMap::new(),
        orders,
        events,
        drained_in_ms: Some(0),
        behind: BTreeMap::new(),
        appends_of_others: 0,
        contradictions: Vec::new(),
        findings: copies.findings,
        paid: None,
    })
}

impl MixedCopies {
    /// Returns how many processes were killed.
    async fn round(&mut self, folder: &Path, out: &Output) -> anyhow::Result<u32> {
        let (older, newer) = (folder.join("older"), folder.join("newer"));
        self.work().await?;
        let mut kills = self.end().await;
        copy(&self.data, &older)?;
        self.restart().await?;
        self.work().await?;
        kills += self.end().await;
        copy(&self.data, &newer)?;
        let damage = self.damage(&older)?;
        if !out.json {
            out.line(damage);
        }
        self.process.start()?;
        if self.refused().await? {
            self.count("refused to start");
            copy(&newer, &self.data)?;
            self.restart().await?;
        }
        self.catch_up().await?;
        self.work().await?;
        Ok(kills + self.end().await)
    }

    /// Damages some files, not all: a complete earlier copy is consistent.
    fn damage(&mut self, older: &Path) -> anyhow::Result<String> {
        let files = files();
        let which = self.random.random_range(1..(1_u32 << files.len()) - 1);
        let mut damages = Vec::new();
        let chosen = files.iter().enumerate().filter(|(nth, _)| which >> nth & 1 == 1);
        for (_, name) in chosen {
            let damage = match self.random.random_range(0..6_u32) {
                0 => Damage::Gone,
                1 => Damage::Emptied,
                _ => Damage::Older,
            };
            for ending in ["db", "db-wal", "db-shm"] {
                let file = format!("{name}.{ending}");
                let (here, there) = (self.data.join(&file), older.join(&file));
                let _ = std::fs::remove_file(&here);
                if matches!(damage, Damage::Older) && there.exists() {
                    std::fs::copy(&there, &here).with_context(|| file.clone())?;
                }
                if matches!(damage, Damage::Emptied) && ending == "db" {
                    std::fs::File::create(&here).with_context(|| file.clone())?;
                }
            }
            damages.push(format!("{} {damage:?}", name));
        }
        self.count("half-copied directory");
        Ok(damages.join(", ").to_lowercase())
    }

    fn count(&mut self, what: &str) {
        *self.found.entry(what.to_owned()).or_insert(0) += 1;
    }

    /// Ends it by SIGTERM or kill -9; returns how many processes were killed.
    async fn end(&mut self) -> u32 {
        let kill = self.random.random_bool(0.5);
        match kill {
            true => self.process.kill().await,
            false => self.process.stop(Signal::TERM, READY_WITHIN).await,
        }
        u32::from(kill)
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.start()?;
        self.process.until(READY_WITHIN, cluster::ready).await
    }

    /// Whether it ends by itself and names a file.
    async fn refused(&mut self) -> anyhow::Result<bool> {
        let until = Instant::now() + REPORTS_WITHIN;
        // It accepts connections before its files are open, and answers them after.
        while !answers(self.process.address).await {
            if self.process.ended().is_some() {
                let last = self.process.log_end();
                let named = files().iter().any(|file| last.contains(&format!("{file}.db")));
                anyhow::ensure!(named, "it did not start, and named no file: {last}");
                return Ok(true);
            }
            anyhow::ensure!(Instant::now() < until, "it neither starts nor reports why");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(false)
    }

    /// Waits until all followers have caught up and it serves; accepts the journal where it is
    /// doubted.
    async fn catch_up(&mut self) -> anyhow::Result<()> {
        let client = client(self.process.address).await?;
        let until = Instant::now() + REPORTS_WITHIN;
        let (mut accepted, url) = (false, format!("http://{}", self.process.address));
        loop {
            let doubted = accept_if_doubted(&client).await?;
            if doubted && !accepted {
                accepted = true;
                self.count("accepted as it is");
            }
            let lag = lag::drained(&client, Duration::from_secs(5)).await;
            let lag = lag.map_err(|failure| anyhow::anyhow!("{failure}"))?;
            let serves = client::serves((&url, None), "", Duration::from_secs(2)).await?;
            if serves && !doubted && lag.values().all(|facts| *facts == 0) {
                if !accepted {
                    self.count("caught up by itself");
                }
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < until, "not caught up: {lag:?}, serving: {serves}");
        }
    }

    /// Places orders; each must be confirmed.
    async fn work(&mut self) -> anyhow::Result<()> {
        let client = client(self.process.address).await?;
        for _ in 0..ORDERS_A_ROUND {
            let id = OrderId::mint().to_string();
            ask(&client, "orders.v1.OrderService/PlaceOrder", placing(&id)).await?;
            let until = Instant::now() + REPORTS_WITHIN;
            loop {
                let shown = json!({ "order_id": id });
                let shown = ask(&client, "orders.v1.OrderService/GetOrder", shown).await?;
                if shown["order"]["status"] == "ORDER_STATUS_CONFIRMED" {
                    break;
                }
                anyhow::ensure!(Instant::now() < until, "{id} is not confirmed: {shown}");
                sleep(Duration::from_millis(5)).await;
            }
            *self.calls.entry("done").or_insert(0) += 1;
        }
        Ok(())
    }
}

async fn answers(address: SocketAddr) -> bool {
    let Ok(client) = client(address).await else { return false };
    ask(&client, "admin.v1.AdminService/GetJournal", json!({})).await.is_ok()
}

async fn ask(client: &Client, method: &str, request: Value) -> anyhow::Result<Value> {
    client.call(method, request).await.map_err(|failure| anyhow::anyhow!("{method}: {failure}"))
}

async fn client(address: SocketAddr) -> anyhow::Result<Client> {
    client_at(address, Duration::from_secs(10)).await
}

/// Replaces all files in `to` by those of `from`.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to).with_context(|| to.display().to_string())?;
    }
    std::fs::create_dir(to).with_context(|| to.display().to_string())?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        if file.file_type()?.is_file() {
            std::fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    Ok(())
}

fn placing(order_id: &str) -> Value {
    json!({
        "order_id": order_id,
        "customer_id": "018f6f3e-0000-7000-8000-000000000001",
        "lines": [{
            "sku": "MUG",
            "quantity": 1,
            "unit_price": { "currency_code": "GBP", "units": 5 },
        }],
        "address": {
            "street": "1 High Street",
            "city": "London",
            "postal_code": "EC1A 1BB",
            "country": "GB",
        },
        "contact": { "email": "customer@example.com" },
    })
}
