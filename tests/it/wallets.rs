//! Wallets of customers: filled, corrected, watched and paid with, by gRPC, REST and the command
//! line, also where the engine is killed in between.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::Executor as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;
use uuid::Uuid;

use crate::http::Http;
use crate::nodes::databases;
use crate::paid_orders::{lawful, on_postgres, on_sqlite};
use crate::rest::events;
use crate::shop::{Shop, on_both};
use crate::support::{CUSTOMER, Engine, PATIENCE, free_port, ordinal, placing, write_private};

on_both!(
    a_wallet_is_filled_corrected_and_never_below_zero,
    what_would_be_done_to_a_wallet_is_told_and_not_done,
    customers_have_their_own_wallet_only,
    a_watch_tells_a_wallet_as_it_is_and_each_change,
    fifty_holds_at_once_are_as_many_as_the_wallet_has,
    every_malformed_field_of_a_wallet_is_named_and_nothing_is_booked,
    a_wallet_cannot_be_opened_without_its_limit,
);

const WALLETS: &str = "ledger.v1.WalletService";

fn gbp(units: i64) -> Value {
    json!({ "currency_code": "GBP", "units": units, "nanos": 0 })
}

impl Shop {
    async fn wallets(&self, method: &str, request: Value) -> Value {
        self.service.call(&format!("{WALLETS}/{method}"), request).await.unwrap()
    }

    async fn no_wallet(&self, method: &str, request: Value) -> (String, String) {
        let refused = self.service.call(&format!("{WALLETS}/{method}"), request).await;
        let failure = refused.unwrap_err();
        (failure.reason(), failure.to_string())
    }

    async fn top_up(&self, units: i64) -> Value {
        let request = self.moved(Uuid::now_v7(), gbp(units));
        self.wallets("TopUpWallet", request).await
    }

    fn moved(&self, entry_id: Uuid, amount: Value) -> Value {
        json!({
            "customer_id": self.customer, "entry_id": entry_id, "amount": amount, "reason": "paid in",
        })
    }
}

/// Balance, held and available of the only currency of a wallet.
fn sums(wallet: &Value) -> [Value; 3] {
    let balances = wallet["balances"].as_array().unwrap();
    assert_eq!(balances.len(), 1, "{wallet}");
    ["balance", "held", "available"].map(|word| balances[0][word].clone())
}

async fn what_would_be_done_to_a_wallet_is_told_and_not_done(shop: Shop) {
    let only = |entry_id: Uuid, units: i64| {
        let mut request = shop.moved(entry_id, gbp(units));
        request["validate_only"] = json!(true);
        request
    };
    let now = async || shop.wallets("GetWallet", json!({ "customer_id": shop.customer })).await;
    // Without a wallet: it would be opened, or there is nothing to take from.
    let told = shop.wallets("TopUpWallet", only(Uuid::now_v7(), 50)).await;
    assert_eq!((&told["replayed"], &told["wallet"]["balances"]), (&json!(false), &json!([])));
    let (reason, _) = shop.no_wallet("CorrectWallet", only(Uuid::now_v7(), -5)).await;
    assert_eq!(reason, "ACCOUNT_NOT_OPEN");
    for name in [format!("wallet:{}:GBP", shop.customer), "wallet_funding:GBP".to_owned()] {
        let asked = json!({ "name": name });
        let account = shop.service.call("ledger.v1.LedgerService/GetAccount", asked).await;
        assert_eq!(account.unwrap_err().reason(), "NOT_FOUND", "nothing was opened");
    }
    // With one, whose corrections were never asked for.
    let entry_id = Uuid::now_v7();
    shop.wallets("TopUpWallet", shop.moved(entry_id, gbp(50))).await;
    let (before, other_id) = (now().await, Uuid::now_v7());
    let refused = shop.no_wallet("CorrectWallet", only(other_id, -60)).await;
    assert_eq!(refused.0, "INSUFFICIENT_FUNDS");
    assert!(refused.1.contains("has 5000 available, not 6000"), "{}", refused.1);
    let told = shop.wallets("CorrectWallet", only(other_id, -50)).await;
    assert_eq!((&told["replayed"], &told["wallet"]), (&json!(false), &before["wallet"]));
    let again = shop.wallets("TopUpWallet", only(entry_id, 50)).await;
    assert_eq!(again["replayed"], true);
    let (reason, _) = shop.no_wallet("TopUpWallet", only(entry_id, 51)).await;
    assert_eq!(reason, "IDEMPOTENCY_KEY_REUSED");
    let mut http = Http::connect(&shop.address).await;
    let fund = format!("POST /v1/wallets/{}:fund?validate_only=true", shop.customer);
    let body = json!({ "entry_id": Uuid::now_v7(), "amount": gbp(7) });
    let answer = http.json(&fund, &[], &body).await;
    assert_eq!((answer.status, &answer.json()["replayed"]), (200, &json!(false)), "{answer:?}");
    assert_eq!(now().await, before);
    // The call itself is refused in the same words, and an id that was only tried is as new.
    let own = shop.no_wallet("CorrectWallet", shop.moved(Uuid::now_v7(), gbp(-60))).await;
    assert_eq!(own, refused);
    let told = shop.wallets("CorrectWallet", shop.moved(other_id, gbp(-50))).await;
    assert_eq!(sums(&told["wallet"]), [gbp(0), gbp(0), gbp(0)]);
    // Nor is there more in one than 64 bits hold, where the account of corrections is not open yet.
    let eur = |units: i64| json!({ "currency_code": "EUR", "units": units, "nanos": 0 });
    let most = i64::MAX / 100;
    shop.wallets("TopUpWallet", shop.moved(Uuid::now_v7(), eur(most))).await;
    let mut one = shop.moved(Uuid::now_v7(), eur(1));
    one["validate_only"] = json!(true);
    let refused = shop.no_wallet("CorrectWallet", one).await;
    assert_eq!(refused.0, "AMOUNT_OVERFLOW", "{}", refused.1);
    let own = shop.no_wallet("CorrectWallet", shop.moved(Uuid::now_v7(), eur(1))).await;
    assert_eq!(own, refused);
    shop.close().await;
}

async fn a_wallet_is_filled_corrected_and_never_below_zero(shop: Shop) {
    let own = json!({ "customer_id": shop.customer });
    let empty = shop.wallets("GetWallet", own.clone()).await;
    assert_eq!(empty["wallet"]["balances"], json!([]), "{empty}");
    // The same entry again changes nothing, with other content it is refused.
    let entry_id = Uuid::now_v7();
    for replayed in [false, true] {
        let told = shop.wallets("TopUpWallet", shop.moved(entry_id, gbp(50))).await;
        assert_eq!(told["replayed"], replayed, "{told}");
        assert_eq!(sums(&told["wallet"]), [gbp(50), gbp(0), gbp(50)]);
    }
    let (reason, _) = shop.no_wallet("TopUpWallet", shop.moved(entry_id, gbp(51))).await;
    assert_eq!(reason, "IDEMPOTENCY_KEY_REUSED");
    // Corrections go both ways, and never below what is held.
    let told = shop.wallets("CorrectWallet", shop.moved(Uuid::now_v7(), gbp(5))).await;
    assert_eq!(sums(&told["wallet"]), [gbp(55), gbp(0), gbp(55)]);
    let account = format!("wallet:{}:GBP", shop.customer);
    let hold = json!({
        "hold_id": Uuid::now_v7(), "debit": account, "credit": "wallet_funding:GBP",
        "amount": gbp(20),
    });
    shop.service.call("ledger.v1.LedgerService/ReserveFunds", hold).await.unwrap();
    let (reason, said) =
        shop.no_wallet("CorrectWallet", shop.moved(Uuid::now_v7(), gbp(-36))).await;
    assert_eq!(reason, "INSUFFICIENT_FUNDS");
    assert!(said.contains("has 3500 available, not 3600"), "{said}");
    let told = shop.wallets("CorrectWallet", shop.moved(Uuid::now_v7(), gbp(-35))).await;
    assert_eq!(sums(&told["wallet"]), [gbp(20), gbp(20), gbp(0)]);
    // What the shop has received and spent for it stands in the ledger.
    for (name, minor) in [("wallet_funding:GBP", 50), ("wallet_corrections:GBP", -30)] {
        let request = json!({ "name": name });
        let found = shop.service.call("ledger.v1.LedgerService/GetAccount", request).await.unwrap();
        assert_eq!(found["account"]["balance"]["posted"], gbp(minor), "{name}");
    }
    // Another currency is another balance of the same wallet.
    let yen = json!({ "currency_code": "JPY", "units": 700, "nanos": 0 });
    shop.wallets("TopUpWallet", shop.moved(Uuid::now_v7(), yen.clone())).await;
    let found = shop.wallets("GetWallet", own).await;
    let balances = found["wallet"]["balances"].as_array().unwrap().clone();
    let told: BTreeMap<&str, &Value> = balances
        .iter()
        .map(|one| (one["currency_code"].as_str().unwrap(), &one["balance"]))
        .collect();
    assert_eq!(told, BTreeMap::from([("GBP", &gbp(20)), ("JPY", &yen)]));
    shop.close().await;
}

async fn customers_have_their_own_wallet_only(shop: Shop) {
    shop.top_up(50).await;
    let own = json!({ "customer_id": shop.customer });
    let told = shop.buyer.call(&format!("{WALLETS}/GetWallet"), own.clone()).await.unwrap();
    assert_eq!(sums(&told["wallet"]), [gbp(50), gbp(0), gbp(50)]);
    // Positions count what happens to others.
    assert_eq!(told["wallet"]["balances"][0]["position"], 0);
    assert_ne!(
        shop.wallets("GetWallet", own.clone()).await["wallet"]["balances"][0]["position"],
        0
    );
    let stranger = shop.as_caller("customer", &Uuid::now_v7().to_string()).await;
    let refused = stranger.call(&format!("{WALLETS}/GetWallet"), own.clone()).await.unwrap_err();
    assert_eq!(refused.reason(), "FORBIDDEN");
    let watched = match stranger.stream(&format!("{WALLETS}/WatchWallet"), own.clone()).await {
        Ok(mut stream) => stream.next().await.unwrap().map(drop),
        Err(failure) => Err(failure),
    };
    assert_eq!(watched.unwrap_err().reason(), "FORBIDDEN");
    for method in ["TopUpWallet", "CorrectWallet"] {
        let request = shop.moved(Uuid::now_v7(), gbp(1));
        let refused = shop.buyer.call(&format!("{WALLETS}/{method}"), request).await;
        assert_eq!(refused.unwrap_err().reason(), "FORBIDDEN", "{method}");
    }
    let mut http = Http::connect(&shop.address).await;
    let customer = shop.customer.to_string();
    let as_customer = [("ordinal-role", "customer"), ("ordinal-subject", customer.as_str())];
    let read = http.call(&format!("GET /v1/wallets/{customer}"), &as_customer).await;
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(read.json()["wallet"]["balances"][0]["available"]["units"], "50");
    let other = http.call(&format!("GET /v1/wallets/{}", Uuid::now_v7()), &as_customer).await;
    assert_eq!((other.status, other.code().as_str()), (403, "FORBIDDEN"));
    // A key of a service stands for the entry.
    let service =
        [("ordinal-role", "service"), ("ordinal-subject", "till"), ("idempotency-key", "till-7")];
    let fund = format!("POST /v1/wallets/{customer}:fund");
    for replayed in [false, true] {
        let told = http.json(&fund, &service, &json!({ "amount": gbp(7) })).await;
        assert_eq!(told.json()["replayed"], replayed, "{told:?}");
        assert_eq!(told.json()["wallet"]["balances"][0]["balance"]["units"], "57");
    }
    shop.close().await;
}

async fn a_watch_tells_a_wallet_as_it_is_and_each_change(shop: Shop) {
    let own = json!({ "customer_id": shop.customer });
    let mut live = shop.buyer.stream(&format!("{WALLETS}/WatchWallet"), own).await.unwrap();
    let mut next = async || live.next().await.unwrap().unwrap()["wallet"].take();
    assert_eq!(next().await["balances"], json!([]));
    // Also the first amount, which opens the account, is told.
    shop.top_up(50).await;
    assert_eq!(sums(&next().await), [gbp(50), gbp(0), gbp(50)]);
    // The same by HTTP, for browsers.
    let mut http = Http::connect(&shop.address).await;
    let customer = shop.customer.to_string();
    let headers = [
        ("ordinal-role", "customer"),
        ("ordinal-subject", customer.as_str()),
        ("accept", "text/event-stream"),
    ];
    http.head(&format!("GET /v1/wallets/{customer}:watch"), &headers).await;
    let answer = http.answered().await;
    assert_eq!(answer.headers["content-type"], "text/event-stream", "{answer:?}");
    let mut shown = async || loop {
        let part = http.chunk().await.unwrap();
        if let Some((_, kind, told)) = events(&part).into_iter().next() {
            assert_eq!(kind, "wallet", "{told}");
            break told["wallet"]["balances"][0]["available"]["units"].clone();
        }
    };
    assert_eq!(shown().await, "50");
    // What others do is not told, what is held is.
    let other = json!({
        "customer_id": Uuid::now_v7(), "entry_id": Uuid::now_v7(), "amount": gbp(9),
    });
    shop.wallets("TopUpWallet", other).await;
    let hold = json!({
        "hold_id": Uuid::now_v7(), "debit": format!("wallet:{customer}:GBP"),
        "credit": "wallet_funding:GBP", "amount": gbp(20),
    });
    shop.service.call("ledger.v1.LedgerService/ReserveFunds", hold).await.unwrap();
    assert_eq!(sums(&next().await), [gbp(50), gbp(20), gbp(30)]);
    assert_eq!(shown().await, "30");
    shop.close().await;
}

/// Case 36 (blnk#181).
async fn fifty_holds_at_once_are_as_many_as_the_wallet_has(shop: Shop) {
    shop.top_up(50).await;
    let account = format!("wallet:{}:GBP", shop.customer);
    let hold = |_| {
        let request = json!({
            "hold_id": Uuid::now_v7(), "debit": account, "credit": "wallet_funding:GBP",
            "amount": gbp(10),
        });
        shop.service.call("ledger.v1.LedgerService/ReserveFunds", request)
    };
    let answers = join_all((0..50).map(hold)).await;
    let (held, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((held.len(), refused.len()), (5, 45));
    for failure in refused {
        let failure = failure.unwrap_err();
        assert_eq!(failure.reason(), "INSUFFICIENT_FUNDS");
        assert!(failure.to_string().contains("has 0 available"), "{failure}");
    }
    let own = json!({ "customer_id": shop.customer });
    let told = shop.wallets("GetWallet", own).await;
    assert_eq!(sums(&told["wallet"]), [gbp(50), gbp(50), gbp(0)]);
    shop.close().await;
}

async fn every_malformed_field_of_a_wallet_is_named_and_nothing_is_booked(shop: Shop) {
    let good = || shop.moved(Uuid::now_v7(), gbp(1));
    let with = |field: &str, value: Value| {
        let mut request = good();
        request[field] = value;
        request
    };
    let cases = [
        ("GetWallet", json!({}), "customer_id"),
        ("GetWallet", json!({ "customer_id": "anna" }), "customer_id"),
        ("TopUpWallet", with("customer_id", json!("")), "customer_id"),
        ("TopUpWallet", with("entry_id", json!("x")), "entry_id"),
        ("TopUpWallet", with("entry_id", json!(Uuid::nil())), "entry_id"),
        ("TopUpWallet", with("amount", Value::Null), "amount"),
        ("TopUpWallet", with("amount", gbp(0)), "amount"),
        ("TopUpWallet", with("amount", gbp(-1)), "amount"),
        (
            "TopUpWallet",
            with("amount", json!({ "currency_code": "GBP", "nanos": 1 })),
            "amount.nanos",
        ),
        (
            "TopUpWallet",
            with("amount", json!({ "currency_code": "XYZ", "units": 1 })),
            "amount.currency_code",
        ),
        (
            "TopUpWallet",
            with("amount", json!({ "currency_code": "GBP", "units": i64::MAX })),
            "amount.units",
        ),
        ("TopUpWallet", with("reason", json!("a\nb")), "reason"),
        ("CorrectWallet", with("amount", gbp(0)), "amount"),
        ("CorrectWallet", with("reason", json!(" ")), "reason"),
    ];
    for (method, request, field) in cases {
        let (_, said) = shop.no_wallet(method, request.clone()).await;
        assert!(said.contains(&format!("{field}: ")), "{method} {request}: {said}");
    }
    let entries =
        shop.service.call("ledger.v1.LedgerService/ListEntries", json!({})).await.unwrap();
    assert_eq!(entries["entries"], json!([]));
    let accounts =
        shop.service.call("ledger.v1.LedgerService/ListAccounts", json!({})).await.unwrap();
    assert_eq!(accounts["accounts"], json!([]));
    // Nothing is taken from a wallet that was never filled, and it is not opened by that.
    let (reason, _) = shop.no_wallet("CorrectWallet", shop.moved(Uuid::now_v7(), gbp(-1))).await;
    assert_eq!(reason, "ACCOUNT_NOT_OPEN");
    shop.close().await;
}

async fn a_wallet_cannot_be_opened_without_its_limit(shop: Shop) {
    let open = |kind: &str, currency: &str, limit: &str| {
        json!({
            "name": format!("wallet:{}:GBP", shop.customer),
            "kind": format!("ACCOUNT_KIND_{kind}"), "currency_code": currency,
            "limit": format!("ACCOUNT_LIMIT_{limit}"),
        })
    };
    let method = "ledger.v1.LedgerService/OpenAccount";
    for (request, field) in [
        (open("ASSET", "GBP", "DEBITS_WITHIN_CREDITS"), "kind"),
        (open("LIABILITY", "EUR", "DEBITS_WITHIN_CREDITS"), "currency_code"),
        (open("LIABILITY", "GBP", "UNSPECIFIED"), "limit"),
    ] {
        let refused = shop.service.call(method, request).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("{field}: ")), "{refused}");
    }
    let request = open("LIABILITY", "GBP", "DEBITS_WITHIN_CREDITS");
    shop.service.call(method, request).await.unwrap();
    shop.top_up(3).await;
    shop.close().await;
}

/// A shop whose customers pay with their wallets.
pub struct Paid {
    pub folder: TempDir,
    stored: Vec<String>,
    pub engine: Engine,
}

impl Paid {
    pub fn open(stored: impl FnOnce(&TempDir) -> Vec<String>) -> Self {
        let folder = TempDir::new().unwrap();
        let stored = stored(&folder);
        let psps = "[[psps]]\nname = \"wallet\"\ndialect = \"wallet\"\n";
        std::fs::write(folder.path().join("psps.toml"), psps).unwrap();
        write_private(&folder.path().join("wallet"), "wallet\n");
        write_private(&folder.path().join("card"), "tok_visa\n");
        let engine = Self::start(&folder, &stored);
        engine.ask(&["stock", "set", "MUG", "200"]);
        Self { folder, stored, engine }
    }

    fn start(folder: &TempDir, stored: &[String]) -> Engine {
        let psps = folder.path().join("psps.toml").display().to_string();
        let mut flags: Vec<&str> = stored.iter().map(String::as_str).collect();
        flags.extend(["--psps", &psps]);
        Engine::start_with(&flags)
    }

    /// Killed like by a power cut, and started again.
    fn killed(mut self) -> Self {
        self.engine.process.kill().unwrap();
        self.engine.process.wait().unwrap();
        self.engine = Self::start(&self.folder, &self.stored);
        self
    }

    /// Two mugs of 10 GBP, paid with the wallet of their customer.
    pub fn place(&self) -> String {
        let mut order = placing(&["MUG=2@10.00GBP"]);
        order.extend(["--payment", "wallet"]);
        self.engine.ask(&order)["order"]["order_id"].as_str().unwrap().to_owned()
    }

    pub fn attempt(&self, order: &str, token: &str) {
        let file = self.folder.path().join(token).display().to_string();
        self.engine.ask(&["payment", "attempt", order, "--psp-token-file", &file]);
    }

    pub fn confirmed(&self, order: &str) {
        confirmed(&self.engine, order);
    }

    fn payment(&self, order: &str) -> Value {
        self.engine.ask(&["payment", "list", "--order", order])["payments"][0].take()
    }

    /// Looks at the payment of an order until it has this status.
    pub fn until_payment(&self, order: &str, status: &str) -> Value {
        let since = Instant::now();
        loop {
            let payment = self.payment(order);
            if payment["status"] == format!("PAYMENT_STATUS_{status}") {
                return payment;
            }
            assert!(since.elapsed() < 4 * PATIENCE, "not {status}: {payment}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Balance, held and available, in pounds.
    fn wallet(&self) -> [i64; 3] {
        let told = self.engine.ask(&["wallet", "show", CUSTOMER]);
        sums(&told["wallet"]).map(|sum| sum["units"].as_i64().unwrap_or_default())
    }

    /// Waits until the ledger has read what payments did: then the wallets owe the shop nothing.
    pub fn until_settled(&self) {
        self.until_balance("psp_receivable:wallet:GBP", 0);
    }

    /// Looks at an account of the ledger until it has so many pounds.
    pub fn until_balance(&self, account: &str, units: i64) {
        let since = Instant::now();
        loop {
            let told = self.engine.ask(&["ledger", "balance", account]);
            let posted = &told["account"]["balance"]["posted"];
            if *posted == gbp(units) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{told}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Every law holds.
    fn close(self) {
        self.until_settled();
        assert!(self.engine.stop().success());
        let report = lawful(&self.stored);
        let checked = report["checked"]["wallets_as_payments"].as_u64().unwrap_or_default();
        assert!(checked > 0, "{report}");
    }
}

/// Looks at an order until it is confirmed. A call that was lost before it left is made again once
/// the ledger could have answered it: after a minute.
fn confirmed(engine: &Engine, order: &str) {
    let since = Instant::now();
    loop {
        let seen = engine.ask(&["order", "get", order])["order"].take();
        if seen["status"] == "ORDER_STATUS_CONFIRMED" {
            return;
        }
        let payments = || engine.ask(&["payment", "list", "--order", order]);
        assert!(since.elapsed() < 4 * PATIENCE, "{seen} {}", payments());
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn pays_with_a_wallet(shop: Paid) {
    // Without a wallet it is declined; so is a token that is not a wallet's.
    let order = shop.place();
    shop.attempt(&order, "wallet");
    let payment = shop.until_payment(&order, "DECLINED");
    shop.engine.ask(&["wallet", "top-up", CUSTOMER, "15.00GBP", "--reason", "paid at the till"]);
    let id = payment["payment_id"].as_str().unwrap();
    let codes = || -> Vec<String> {
        let shown = shop.engine.ask(&["payment", "show", id]);
        let all = shown["operations"].as_array().unwrap();
        all.iter().map(|one| one["code"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert!(codes().contains(&"wallet_not_found".to_owned()), "{:?}", codes());
    let declined = |token: &str, code: &str| {
        shop.attempt(&order, token);
        let since = Instant::now();
        while !codes().contains(&code.to_owned()) {
            assert!(since.elapsed() < PATIENCE, "{:?}", codes());
            std::thread::sleep(Duration::from_millis(30));
        }
        shop.until_payment(&order, "DECLINED");
    };
    declined("wallet", "insufficient_funds");
    declined("card", "token_not_wallet");
    // With enough in it the money is held, and the order confirmed.
    shop.engine.ask(&["wallet", "top-up", CUSTOMER, "85.00GBP"]);
    shop.attempt(&order, "wallet");
    shop.confirmed(&order);
    assert_eq!(shop.wallet(), [100, 20, 80]);
    // The first parcel takes all, a return gives back to the wallet.
    shop.engine.ask(&["order", "fulfill", &order, "--line", "1=1"]);
    shop.until_payment(&order, "CAPTURED");
    assert_eq!(shop.wallet(), [80, 0, 80]);
    shop.engine.ask(&["return", "request", &order, "--line", "1=1", "--reason", "chipped"]);
    shop.engine.ask(&["return", "approve", &order]);
    shop.until_payment(&order, "PARTIALLY_REFUNDED");
    assert_eq!(shop.wallet(), [90, 0, 90]);
    // Cancelled before anything left, what is held is free again.
    let cancelled = shop.place();
    shop.attempt(&cancelled, "wallet");
    shop.confirmed(&cancelled);
    assert_eq!(shop.wallet(), [90, 20, 70]);
    shop.engine.ask(&["order", "cancel", &cancelled]);
    shop.until_payment(&cancelled, "VOIDED");
    assert_eq!(shop.wallet(), [90, 0, 90]);
    shop.close();
}

#[test]
fn orders_are_paid_with_wallets_on_sqlite() {
    pays_with_a_wallet(Paid::open(on_sqlite));
}

#[test]
fn orders_are_paid_with_wallets_on_postgres() {
    let (_runtime, [database]) = databases();
    pays_with_a_wallet(Paid::open(on_postgres(database.url())));
}

/// An account with the name of a wallet and without its limit, as earlier versions opened them, is
/// not held on.
#[test]
fn an_account_that_is_no_wallet_does_not_pay() {
    let mut shop = Paid::open(on_sqlite);
    shop.engine.ask(&["wallet", "top-up", CUSTOMER, "5.00GBP"]);
    shop.engine.signal("-TERM");
    assert!(shop.engine.process.wait().unwrap().success());
    let path = shop.folder.path().join("data/ledger.db");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let options = SqliteConnectOptions::new().filename(path);
        let database = SqlitePool::connect_with(options).await.unwrap();
        let sql = format!(
            "DROP TRIGGER terms_refuse_update;
             UPDATE accounts SET bound = 'NONE' WHERE name = 'wallet:{CUSTOMER}:GBP'"
        );
        assert_eq!(database.execute(sql.as_str()).await.unwrap().rows_affected(), 1);
        database.close().await;
    });
    shop.engine = Paid::start(&shop.folder, &shop.stored);
    let order = shop.place();
    shop.attempt(&order, "wallet");
    let payment = shop.until_payment(&order, "DECLINED");
    let shown = shop.engine.ask(&["payment", "show", payment["payment_id"].as_str().unwrap()]);
    assert_eq!(shown["operations"][0]["code"], "account_not_wallet", "{shown}");
    let account = format!("wallet:{CUSTOMER}:GBP");
    let told = shop.engine.ask(&["ledger", "balance", &account]);
    assert_eq!(told["account"]["balance"]["debits_held"], gbp(0), "{told}");
}

/// Killed after anything: each order is held once and posted once.
fn is_killed_between_reserve_and_post(mut shop: Paid) {
    shop.engine.ask(&["wallet", "top-up", CUSTOMER, "200.00GBP"]);
    let mut orders = Vec::new();
    for _ in 0..5 {
        let order = shop.place();
        shop.attempt(&order, "wallet");
        orders.push(order);
        // Whether the ledger has heard of it, or payments of its answer, is chance.
        shop = shop.killed();
    }
    for order in &orders {
        shop.confirmed(order);
    }
    assert_eq!(shop.wallet(), [200, 100, 100]);
    for order in &orders {
        shop.engine.ask(&["order", "fulfill", order]);
        shop = shop.killed();
    }
    for order in &orders {
        shop.until_payment(order, "CAPTURED");
    }
    assert_eq!(shop.wallet(), [100, 0, 100]);
    shop.until_settled();
    let account = format!("wallet:{CUSTOMER}:GBP");
    let listed = shop.engine.ask(&["ledger", "entries", "--account", &account, "--all"]);
    let entries = listed["entries"].as_array().unwrap();
    // One for what was put in, and two for each order.
    assert_eq!(entries.len(), 11, "{listed}");
    shop.close();
}

#[test]
fn wallets_of_a_killed_engine_on_sqlite() {
    is_killed_between_reserve_and_post(Paid::open(on_sqlite));
}

#[test]
fn wallets_of_a_killed_engine_on_postgres() {
    let (_runtime, [database]) = databases();
    is_killed_between_reserve_and_post(Paid::open(on_postgres(database.url())));
}

/// Payments and the ledger in two processes. While the ledger is away nobody knows what became of an
/// attempt; once it is back the amount is held, once.
#[test]
fn wallets_of_another_process_pay_once_it_answers() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("psps.toml"), "[[psps]]\nname = \"wallet\"\ndialect = \"wallet\"\n")
        .unwrap();
    write_private(&folder.path().join("wallet"), "wallet\n");
    let [orders, stock, payments, ledger] = [(); 4].map(|()| format!("127.0.0.1:{}", free_port()));
    let start = |role: &str, listen: &str, more: &[&str]| {
        let data = path(role);
        Engine::start_with(
            &[&["--role", role, "--data", &data, "--listen", listen][..], more].concat(),
        )
    };
    let psps = path("psps.toml");
    let of_payments = ["--orders-at", orders.as_str(), "--psps", psps.as_str()];
    // Without the ledger its wallets are no provider.
    let data = path("alone");
    let alone = ["serve", "--role", "payments", "--data", &data, "--listen", "127.0.0.1:0"];
    let refused = ordinal(&[&alone[..], &of_payments].concat());
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("--ledger-at must say where it is"), "{said}");

    let at = ["--inventory-at", &stock, "--payments-at", &payments, "--ledger-at", &ledger];
    let shop = start("orders", &orders, &at);
    let others = [
        start("inventory", &stock, &["--orders-at", &orders]),
        start(
            "payments",
            &payments,
            &[&of_payments[..], &["--ledger-at", ledger.as_str()]].concat(),
        ),
    ];
    let book = start("ledger", &ledger, &["--payments-at", &payments]);
    shop.ask(&["stock", "set", "MUG", "9"]);
    shop.ask(&["wallet", "top-up", CUSTOMER, "50.00GBP"]);
    let token = path("wallet");
    let pay = || {
        let mut order = placing(&["MUG=2@10.00GBP"]);
        order.extend(["--payment", "wallet"]);
        let order = shop.ask(&order)["order"]["order_id"].as_str().unwrap().to_owned();
        shop.ask(&["payment", "attempt", &order, "--psp-token-file", &token]);
        order
    };
    confirmed(&shop, &pay());
    book.kill();
    let order = pay();
    let since = Instant::now();
    loop {
        let listed = shop.ask(&["payment", "list", "--order", &order])["payments"][0].take();
        if listed["status"] == "PAYMENT_STATUS_AUTHORIZING" {
            let id = listed["payment_id"].as_str().unwrap();
            let shown = shop.ask(&["payment", "show", id]);
            if shown["operations"][0]["stage"] == "UNKNOWN" {
                break;
            }
        }
        assert!(since.elapsed() < PATIENCE, "{listed}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let book = start("ledger", &ledger, &["--payments-at", &payments]);
    confirmed(&shop, &order);
    let told = shop.ask(&["wallet", "show", CUSTOMER]);
    assert_eq!(sums(&told["wallet"]), [gbp(50), gbp(40), gbp(10)]);
    drop((book, others));
}
