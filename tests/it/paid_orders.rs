//! Orders that are paid, from the call to the provider and back: a whole engine, and a simulated
//! provider in a process of its own, which keeps a book of its own. Both must agree, and every law
//! must hold, also where the engine is killed in between.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::http::Http;
use crate::nodes::databases;
use crate::support::{Engine, free_port, ordinal, placing, write_private};

/// A lost answer is looked up after 5 s, and then 15 s and a minute later.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// The live secrets of its webhooks.
pub const NEW: &str = "whsec_of_nobody_new";
pub const OLD: &str = "whsec_of_nobody_old";

/// A provider, ended when dropped.
pub struct Provider {
    pub process: Child,
    pub address: String,
}

impl Provider {
    pub fn start(flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ordinal"))
            .args(["--json", "psp", "--listen", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).expect("the provider did not start");
        Self { process, address: format!("http://{}", started["listening"].as_str().unwrap()) }
    }

    /// What its own book says.
    pub fn book(&self) -> Value {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut http = Http::connect(&self.address).await;
            http.call("GET /_sim/book", &[]).await.json()
        })
    }

    /// What it paid out to sellers.
    pub fn payouts(&self) -> Vec<Value> {
        let mut answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut http = Http::connect(&self.address).await;
            http.call("GET /_sim/payouts", &[]).await.json()
        });
        serde_json::from_value(answer["payouts"].take()).unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A shop with a provider.
pub struct Shop {
    pub folder: TempDir,
    pub provider: Provider,
    pub stored: Vec<String>,
    pub engine: Engine,
}

impl Shop {
    pub fn open(stored: impl FnOnce(&TempDir) -> Vec<String>) -> Self {
        Self::told(stored, None)
    }

    /// With webhooks, of which so many come wrong, twice or never.
    pub fn told(stored: impl FnOnce(&TempDir) -> Vec<String>, odds: Option<&str>) -> Self {
        let folder = TempDir::new().unwrap();
        let mut stored = stored(&folder);
        for (name, secret) in [("new", NEW), ("old", OLD)] {
            write_private(&folder.path().join(name), &format!("{secret}\n"));
        }
        let (listen, mut secrets) = (format!("127.0.0.1:{}", free_port()), "");
        let url = format!("http://{listen}/v1/webhooks/cards");
        let provider = match odds {
            None => Provider::start(&[]),
            Some(odds) => {
                stored.extend(["--listen".to_owned(), listen]);
                secrets = "webhook-secret-files = [\"new\", \"old\"]\n";
                let secrets = format!("{NEW},{OLD}");
                let to = ["--webhook-url", &url, "--webhook-secret", &secrets];
                Provider::start(&[&to[..], &["--webhook-odds", odds]].concat())
            }
        };
        let (psps, secret) = (folder.path().join("psps.toml"), folder.path().join("secret"));
        write_private(&secret, "sk_test_of_nobody\n");
        let text = format!(
            "[[psps]]\nname = \"cards\"\ndialect = \"stripe\"\nurl = \"{}\"\n\
             secret-file = \"secret\"\nmulti-capture = true\ntimeout = \"10s\"\n{secrets}",
            provider.address
        );
        std::fs::write(psps, text).unwrap();
        let engine = Self::engine(&folder, &stored);
        engine.ask(&["stock", "set", "MUG", "50"]);
        Self { folder, provider, stored, engine }
    }

    fn engine(folder: &TempDir, stored: &[String]) -> Engine {
        let psps = folder.path().join("psps.toml").display().to_string();
        let mut flags: Vec<&str> = stored.iter().map(String::as_str).collect();
        flags.extend(["--psps", &psps, "--metrics-listen", "127.0.0.1:0"]);
        Engine::start_with(&flags)
    }

    /// Killed like by a power cut, and started again.
    pub fn killed(self) -> Self {
        self.killed_and(|_| ())
    }

    /// The same, once something was done meanwhile.
    pub fn killed_and(mut self, meanwhile: impl FnOnce(&Self)) -> Self {
        self.engine.process.kill().unwrap();
        self.engine.process.wait().unwrap();
        meanwhile(&self);
        self.engine = Self::engine(&self.folder, &self.stored);
        self
    }

    /// Stopped, and started again once something was done to its data.
    pub fn stopped(mut self, meanwhile: impl FnOnce(&Self)) -> Self {
        self.engine.signal("-TERM");
        assert!(self.engine.process.wait().unwrap().success());
        meanwhile(&self);
        self.engine = Self::engine(&self.folder, &self.stored);
        self
    }

    /// Two mugs of 10 GBP, with this plan.
    pub fn place(&self, plan: &str) -> String {
        let mut order = placing(&["MUG=2@10.00GBP"]);
        order.extend(["--payment", plan]);
        self.engine.ask(&order)["order"]["order_id"].as_str().unwrap().to_owned()
    }

    pub fn attempt(&self, order: &str, token: &str) -> Value {
        let file = self.folder.path().join(Uuid::now_v7().to_string());
        write_private(&file, &format!("{token}\n"));
        let file = file.display().to_string();
        self.engine.ask(&["payment", "attempt", order, "--psp-token-file", &file])
    }

    /// Looks at an order until it is so.
    pub fn until(&self, order: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        loop {
            let seen = self.engine.ask(&["order", "get", order])["order"].take();
            if is(&seen) {
                return seen;
            }
            if since.elapsed() > PATIENCE {
                let payments = self.payments(order);
                let id = payments[0]["payment_id"].as_str().unwrap_or_default();
                let shown = self.engine.run(&["payment", "show", id]);
                let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
                let followers = self.engine.ask(&["followers"]);
                let (payment, book) = (&seen["payment"], self.provider.book());
                panic!("not {what}: {payment}\n{shown}\n{book}\n{followers}");
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub fn payments(&self, order: &str) -> Value {
        self.engine.ask(&["payment", "list", "--order", order])["payments"].take()
    }

    /// Looks at the only payment of an order until it is so.
    pub fn until_payment(&self, order: &str, status: &str) -> Value {
        let since = Instant::now();
        loop {
            let all = self.payments(order);
            if all[0]["status"] == format!("PAYMENT_STATUS_{status}") {
                return all[0].clone();
            }
            assert!(since.elapsed() < PATIENCE, "not {status}: {all}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub fn confirmed(&self, order: &str) -> Value {
        self.until(order, "confirmed", |order| order["status"] == "ORDER_STATUS_CONFIRMED")
    }

    /// Looks at an order until stock is held and it asks for its money.
    pub fn asks_for_money(&self, order: &str) -> Value {
        self.until(order, "asking for money", |order| order["payment"]["pay_by"].is_string())
    }

    /// Looks at a cancelled order until all that it held is back.
    pub fn compensated(&self, order: &str) -> Value {
        let done = |order: &Value| order["payment"]["compensation"] == "COMPENSATION_DONE";
        self.until(order, "compensated", done)
    }

    /// What an account has in the ledger, in minor units; 0 where it is not open.
    fn balance(&self, account: &str) -> i64 {
        let found = self.engine.run(&["ledger", "balance", account]);
        let found: Value = serde_json::from_slice(&found.stdout).unwrap_or_default();
        let posted = &found["account"]["balance"]["posted"];
        let units = posted["units"].as_i64().unwrap_or_default();
        units * 100 + posted["nanos"].as_i64().unwrap_or_default() / 10_000_000
    }

    /// Looks at an account until it has so much.
    pub fn until_balance(&self, account: &str, minor: i64) {
        let since = Instant::now();
        while self.balance(account) != minor {
            let (account, minor) = (self.balance(account), (account, minor));
            assert!(since.elapsed() < PATIENCE, "{minor:?} has {account}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The provider has each payout once, and as we have it; returns how many there are.
    fn paid_out(&self) -> usize {
        let minor = |amount: &Value| {
            let part = |field: &str| amount[field].as_i64().unwrap_or_default();
            part("units") * 100 + part("nanos") / 10_000_000
        };
        let (theirs, mut ids) = (self.provider.payouts(), BTreeSet::new());
        for one in &theirs {
            let id = one["our_reference"].as_str().unwrap();
            assert!(ids.insert(id), "twice: {one}");
            let ours = self.engine.ask(&["payout", "get", id])["payout"].take();
            let is_paid = one["state"] == "paid";
            assert_eq!(ours["state"] == "PAYOUT_STATE_PAID", is_paid, "{one} {ours}");
            assert_eq!(one["amount"], json!(minor(&ours["amount"])), "{one} {ours}");
        }
        let paid = ["payout", "list", "--state", "paid", "--page-size", "100"];
        for ours in self.engine.ask(&paid)["payouts"].as_array().unwrap() {
            assert!(ids.contains(ours["payout_id"].as_str().unwrap()), "never paid: {ours}");
        }
        theirs.len()
    }

    /// Ends it; the provider's book must agree with ours, and every law must hold.
    pub fn close(self) {
        let payouts = self.paid_out();
        let (book, ours) = (self.provider.book(), self.engine.ask(&["payment", "list"]));
        assert_eq!(book["sound"], true);
        let ours = ours["payments"].as_array().unwrap();
        let theirs = book["payments"].as_array().unwrap();
        for word in ["captured", "refunded"] {
            let units = |one: &Value| one[word]["units"].as_i64().unwrap_or_default();
            let sum: i64 = ours.iter().map(units).sum();
            let there: i64 = theirs.iter().map(|one| one[word].as_i64().unwrap()).sum();
            assert_eq!(there, sum * 100, "{word}: {book}");
        }
        // What the provider has of the shop's, and what it has reserved, stands in the ledger.
        let minor = |word: &str| -> i64 {
            theirs.iter().map(|one| one[word].as_i64().unwrap_or_default()).sum()
        };
        self.until_balance("psp_receivable:cards:GBP", minor("captured") - minor("refunded"));
        let left = minor("authorized") - minor("captured") - minor("released");
        self.until_balance("auth_memo_d:GBP", left);
        let Self { folder, engine, stored, provider } = self;
        assert!(engine.stop().success());
        // The last two say where it listens, if it is told anything.
        let place = stored.iter().position(|flag| flag == "--listen").unwrap_or(stored.len());
        let report = lawful(&stored[..place]);
        for law in ["ledger_as_payments", "money_as_goods"] {
            let checked = report["checked"][law].as_u64().unwrap_or_default();
            assert!(checked > 0 || report["orders"] == 0, "{law}: {report}");
        }
        let checked = report["checked"]["payouts_as_booked"].as_u64().unwrap_or_default();
        assert!(checked > 0 || payouts == 0, "{report}");
        drop((folder, provider));
    }
}

/// Every law holds for what is stored there; returns the report.
pub fn lawful(stored: &[String]) -> Value {
    let mut verify = vec!["--json", "verify"];
    verify.extend(stored.iter().map(String::as_str));
    let verified = ordinal(&verify);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "{said}{}", String::from_utf8_lossy(&verified.stderr));
    serde_json::from_str(&said).unwrap()
}

pub fn gbp(units: i64) -> Value {
    json!({ "currency_code": "GBP", "units": units, "nanos": 0 })
}

pub fn on_sqlite(folder: &TempDir) -> Vec<String> {
    vec!["--data".to_owned(), folder.path().join("data").display().to_string()]
}

/// In the database at this URL.
pub fn on_postgres(url: String) -> impl FnOnce(&TempDir) -> Vec<String> {
    move |_| vec!["--database-url".to_owned(), url]
}

pub fn pays(shop: Shop) -> Shop {
    // Whichever comes last confirms: here the attempt comes before stock has answered, or after.
    let order = shop.place("cards,fee=250");
    shop.attempt(&order, "tok_visa");
    let confirmed = shop.confirmed(&order);
    assert_eq!(confirmed["payment"]["status"], "PAYMENT_STATUS_SECURED");
    // A parcel takes what it is worth, a return gives it back.
    shop.engine.ask(&["order", "fulfill", &order, "--line", "1=1"]);
    let taken = shop.until_payment(&order, "PARTIALLY_CAPTURED");
    assert_eq!(taken["captured"], gbp(10));
    shop.engine.ask(&["order", "fulfill", &order]);
    assert_eq!(shop.until_payment(&order, "CAPTURED")["captured"], gbp(20));
    shop.engine.ask(&["return", "request", &order, "--line", "1=1", "--reason", "chipped"]);
    shop.engine.ask(&["return", "approve", &order]);
    assert_eq!(shop.until_payment(&order, "PARTIALLY_REFUNDED")["refunded"], gbp(10));
    let settled = |order: &Value| order["payment"]["refunds"][0]["state"] == "REFUND_STATE_SETTLED";
    shop.until(&order, "refunded", settled);

    // Declined, and paid with another card.
    let order = shop.place("cards");
    shop.asks_for_money(&order);
    shop.attempt(&order, "tok_decline_insufficient_funds");
    shop.until_payment(&order, "DECLINED");
    assert_eq!(
        shop.engine.ask(&["order", "get", &order])["order"]["status"],
        "ORDER_STATUS_PENDING"
    );
    shop.attempt(&order, "tok_visa");
    shop.confirmed(&order);

    // Cancelled: stock and money go back.
    shop.engine.ask(&["order", "cancel", &order]);
    let cancelled = shop.compensated(&order);
    assert_eq!(cancelled["payment"]["status"], "PAYMENT_STATUS_RELEASED");
    shop.until_payment(&order, "VOIDED");

    // Its goods are gone: nothing is held any more, and the money goes back.
    let order = shop.place("cards");
    shop.attempt(&order, "tok_visa");
    shop.confirmed(&order);
    let before = shop.engine.ask(&["stock", "get", "MUG"])["stock"]["on_hand"].to_string();
    shop.engine.ask(&["stock", "set", "MUG", "0", "--allow-shortage", "--reason", "burnt"]);
    let cancelled = shop.compensated(&order);
    assert_eq!(cancelled["cancel_reason"], "CANCEL_REASON_INSUFFICIENT_STOCK");
    shop.until_payment(&order, "VOIDED");
    shop.engine.ask(&["stock", "set", "MUG", &before.replace('"', "")]);

    // Taken when it is confirmed.
    let order = shop.place("cards,capture=ON_CONFIRM,ship=CAPTURED");
    shop.attempt(&order, "tok_visa");
    let captured = |order: &Value| order["payment"]["status"] == "PAYMENT_STATUS_CAPTURED";
    shop.until(&order, "captured", captured);
    assert_eq!(shop.until_payment(&order, "CAPTURED")["captured"], gbp(20));
    // It is nobody's until the goods leave.
    shop.until_balance("customer_held:GBP", 2_000);
    shop.engine.ask(&["order", "fulfill", &order]);
    shop.until_balance("customer_held:GBP", 0);
    // The shop pays itself no fee.
    shop.until_balance("sales:GBP", 3_000);
    assert_eq!(shop.balance("fee_revenue:GBP"), 0);
    shop
}

#[test]
fn paid_orders_on_sqlite() {
    pays(Shop::open(on_sqlite)).close();
}

#[test]
fn paid_orders_on_postgres() {
    let (_runtime, [database]) = databases();
    pays(Shop::open(on_postgres(database.url()))).close();
}

/// An attempt whose answer nobody heard is looked up, not made again.
#[test]
fn a_killed_engine_pays_once() {
    let mut shop = Shop::open(on_sqlite);
    let mut orders = Vec::new();
    for token in ["tok_visa", "tok_timeout_after", "tok_visa"] {
        let order = shop.place("cards");
        shop.attempt(&order, token);
        orders.push(order);
        // The provider has acted; whether the engine heard of it is chance, but for the second one.
        let since = Instant::now();
        while shop.provider.book()["payments"].as_array().unwrap().len() < orders.len() {
            assert!(since.elapsed() < PATIENCE, "{}", shop.provider.book());
        }
        shop = shop.killed();
    }
    for order in &orders {
        shop.confirmed(order);
    }
    let book = shop.provider.book();
    let reserved = book["payments"].as_array().unwrap().iter();
    let reserved: Vec<i64> = reserved.map(|one| one["authorized"].as_i64().unwrap()).collect();
    assert_eq!(reserved, [2_000; 3], "{book}");
    shop.close();
}

/// Payments have committed what they did, and the engine dies before the ledger has read it: twice
/// nothing is booked, and nothing is missing.
fn is_killed_before_it_books(mut shop: Shop) {
    let follower = ["follower", "pause", "ledger-entries", "--reason", "closing the books"];
    shop.engine.ask(&follower);
    let order = shop.place("cards,fee=250");
    shop.attempt(&order, "tok_visa");
    shop.confirmed(&order);
    shop.engine.ask(&["order", "fulfill", &order]);
    shop.until_payment(&order, "CAPTURED");
    shop = shop.killed();
    assert_eq!(shop.balance("psp_receivable:cards:GBP"), 0, "it is still paused");
    shop.engine.ask(&["follower", "resume", "ledger-entries"]);
    shop.until_balance("psp_receivable:cards:GBP", 2_000);
    // Killed at any moment of reading: entries and cursor are one commit.
    for nth in 2..6 {
        let order = shop.place("cards,fee=250");
        shop.attempt(&order, "tok_visa");
        shop.confirmed(&order);
        shop.engine.ask(&["order", "fulfill", &order]);
        shop.until_payment(&order, "CAPTURED");
        shop = shop.killed();
        shop.until_balance("sales:GBP", nth * 2_000);
    }
    let entries = shop.engine.ask(&["ledger", "entries", "--account", "sales:GBP"]);
    assert_eq!(entries["entries"].as_array().unwrap().len(), 5, "{entries}");
    shop.close();
}

#[test]
fn books_of_a_killed_engine_on_sqlite() {
    is_killed_before_it_books(Shop::open(on_sqlite));
}

#[test]
fn books_of_a_killed_engine_on_postgres() {
    let (_runtime, [database]) = databases();
    is_killed_before_it_books(Shop::open(on_postgres(database.url())));
}
