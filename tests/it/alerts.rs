//! Alerts fire where the thing that they are about is broken: real processes, a real Prometheus.
//!
//! `alerts_test.yml` shows when each fires and when not, with values made up for it. These tests
//! show that a broken process has such values. Where a threshold is as long as people take, it is
//! shortened here: what grows beyond the short one grows beyond the long one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::history::copy;
use crate::http::Http;
use crate::issuer::Issuer;
use crate::messages::receiver;
use crate::metrics::of_rules;
use crate::nodes::LEASE;
use crate::paid_orders::{Shop, on_sqlite};
use crate::prometheus::Prometheus;
use crate::support::{
    Engine, PATIENCE, PostgresServer, RedisServer, free_port, ordinal, write_private,
};

/// Scrapes and rules come once a second; values that are read from databases, every few seconds.
const FIRE_WITHIN: Duration = Duration::from_secs(300);

impl Prometheus {
    /// Waits until each of these alerts is pending or firing.
    async fn alarmed(&self, names: &[&str]) {
        let patience = Instant::now() + FIRE_WITHIN;
        let mut missing = names.to_vec();
        while !missing.is_empty() {
            let mut left = Vec::new();
            for name in missing {
                if self.ask(&format!("ALERTS{{alertname=\"{name}\"}}")).await.is_empty() {
                    left.push(name);
                }
            }
            missing = left;
            assert!(Instant::now() < patience, "silent: {missing:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Waits until the process at this address of metrics was scraped: what it counts later is an
    /// increase.
    async fn has_scraped(&self, engine: &Engine) {
        let instance = engine.metrics.as_deref().unwrap();
        let info = format!("ordinal_build_info{{instance=\"{instance}\"}}");
        self.answers(vec![("scraped".to_owned(), info)]).await;
    }
}

async fn tampered(file: &Path, statements: &[String]) {
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(file)).await.unwrap();
    for statement in statements {
        pool.execute(statement.as_str()).await.unwrap();
    }
    pool.close().await;
}

fn id_of(placed: &Value) -> String {
    placed["order"]["order_id"].as_str().unwrap().to_owned()
}

/// Waits until no follower lags.
fn level(engine: &Engine) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let told = engine.ask(&["followers"]);
        let followers = told["followers"].as_array().unwrap();
        let lags = |one: &Value| one["lag"] != json!(0);
        if followers.iter().all(|one| one["head_known"] == json!(true) && !lags(one)) {
            return;
        }
        assert!(Instant::now() < patience, "{told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One process whose data was damaged, whose followers stand still and whose receiver refuses, 60
/// hours later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_neglect_and_refused_messages_raise_alerts() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, offset, secret) = (path("data"), path("offset"), path("secret"));
    let (url, _got) = receiver(&[410; 200]);
    write_private(Path::new(&secret), "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
    let metrics = format!("127.0.0.1:{}", free_port());
    let flags = [
        "--data",
        &data,
        "--clock-offset-file",
        &offset,
        "--webhook-url",
        &url,
        "--webhook-secret-file",
        &secret,
        "--metrics-listen",
        &metrics,
    ];
    let engine = Engine::start_with(&flags);
    engine.ask(&["stock", "set", "MUG", "100"]);
    let orders: Vec<String> = (0..3).map(|_| id_of(&engine.place(&["MUG=2@4.50GBP"]))).collect();
    let [returned, damaged, poisoned] = [&orders[0], &orders[1], &orders[2]];
    for order in &orders {
        engine.until(order, "CONFIRMED");
    }
    engine.ask(&["order", "fulfill", returned]);
    engine.ask(&["return", "request", returned, "--line", "1=1", "--reason", "too small"]);
    level(&engine);
    assert!(engine.stop().success());
    let events = format!("UPDATE events SET payload = '{{}}' WHERE aggregate_id = '{damaged}'");
    let damage = ["DROP TRIGGER events_are_never_updated".to_owned(), events];
    tampered(&folder.path().join("data/journal.db"), &damage).await;
    let used_up = format!(
        "UPDATE reservations SET body = replace(body, '\"quantity\"', '\"released\":2,\"quantity\"')
         WHERE order_id = '{poisoned}'"
    );
    tampered(&folder.path().join("data/inventory.db"), &[used_up]).await;

    let engine = Engine::start_with(&flags);
    let prometheus = Prometheus::start(&[&metrics]);
    prometheus.has_scraped(&engine).await;
    tokio::task::block_in_place(|| {
        engine.refused(1, &["order", "get", damaged]);
        engine.ask(&["order", "fulfill", poisoned]);
        let patience = Instant::now() + PATIENCE;
        while engine.ask(&["dead-letter", "list"])["dead_letters"].as_array().unwrap().is_empty() {
            assert!(Instant::now() < patience, "what cannot be handled is not set aside");
            std::thread::sleep(Duration::from_millis(50));
        }
        for follower in ["stock", "notifications"] {
            engine.ask(&["follower", "pause", follower, "--reason", "neglected"]);
        }
        engine.place(&["MUG=1@4.50GBP"]);
    });
    // Less than `--judge-within`, by which a return is a matter of a message to operators.
    fs::write(&offset, (60 * 3_600).to_string()).unwrap();
    prometheus
        .alarmed(&[
            "OrdinalOrdersQuarantined",
            "OrdinalDeadLetters",
            "OrdinalReturnUnjudged",
            "OrdinalFollowerLags",
            "OrdinalMessagesFailed",
            "OrdinalAlarm",
        ])
        .await;
}

/// The database of a node is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_raises_alerts() {
    let server = PostgresServer::start();
    let url = server.url();
    let flags = ["--database-url", &url, "--node-name", "a", "--metrics-listen", "127.0.0.1:0"];
    let engine = Engine::start_with(&[&flags[..], &LEASE].concat());
    engine.ask(&["stock", "set", "MUG", "100"]);
    engine.until(&id_of(&engine.place(&["MUG=1@4.50GBP"])), "CONFIRMED");
    let prometheus = Prometheus::start(&[engine.metrics.as_deref().unwrap()]);
    prometheus.has_scraped(&engine).await;
    let (ends, address) = (Arc::new(AtomicBool::new(false)), engine.address.clone());
    let ended = Arc::clone(&ends);
    // They begin before: appends are refused only while the process still owns its shards.
    let callers = std::thread::spawn(move || {
        let mut order = vec!["--address", &address, "--timeout", "1s"];
        order.extend(crate::support::placing(&["MUG=1@4.50GBP"]));
        while !ended.load(Ordering::Relaxed) {
            ordinal(&order);
        }
    });
    server.crash();
    prometheus
        .alarmed(&[
            "OrdinalNotServing",
            "OrdinalLeaseOld",
            "OrdinalShardWithoutOwner",
            "OrdinalAppendsRefused",
        ])
        .await;
    ends.store(true, Ordering::Relaxed);
    callers.join().unwrap();
}

/// What a process calls and needs is away: another process, its issuer and its Redis; and its
/// certificate ends in three days.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_that_are_away_and_an_old_certificate_raise_alerts() {
    let folder = TempDir::new().unwrap();
    let (authority, issuer) = (Authority::new(), Issuer::open().await);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let soon = Command::new("date").args(["-u", "-d", "+3 days", "+%Y %m %d"]).output().unwrap();
    let soon = String::from_utf8(soon.stdout).unwrap();
    let soon: Vec<u16> = soon.split_whitespace().map(|part| part.parse().unwrap()).collect();
    let part = |nth: usize| u8::try_from(soon[nth]).unwrap();
    let ends = (i32::from(soon[0]), part(1), part(2));
    let pair = authority.issue_until(&["localhost", "127.0.0.1"], 2_026, ends);
    let (cert, key) = authority.write("engine", &pair);
    let (issuers, data, other) = (path("issuers.toml"), path("data"), path("other"));
    let text = format!(
        "[[issuer]]\nissuer = \"{}\"\naudience = [\"ordinal\"]\nroles = \"roles\"\n\
         map = {{ ordinal-ops = \"OPS\" }}\njwks = {{ refresh = \"1s\", cooldown = \"1s\" }}\n",
        issuer.url
    );
    fs::write(&issuers, text).unwrap();
    let metrics = ["--metrics-listen", "127.0.0.1:0"];
    let guarded = [
        ["--data", &data],
        ["--issuers", &issuers],
        ["--tls-cert", &cert],
        ["--tls-key", &key],
        metrics,
    ];
    let guarded = Engine::start_with(&guarded.concat());
    let away = format!("http://127.0.0.1:{}", free_port());
    let mut redis = RedisServer::start();
    let redis_url = redis.url();
    let alone = [
        ["--data", &other],
        ["--role", "orders"],
        ["--inventory-at", &away],
        ["--redis-url", &redis_url],
        ["--rate-limit", "OPS=100000"],
        metrics,
    ];
    let alone = Engine::start_with(&alone.concat());
    let targets = [&guarded, &alone].map(|engine| engine.metrics.as_deref().unwrap());
    // Keys are fetched every second.
    let shortened = ("ordinal_jwks_age_seconds > 3600", "ordinal_jwks_age_seconds > 45");
    let prometheus = Prometheus::start_with(&targets, &[shortened]);
    for engine in [&guarded, &alone] {
        prometheus.has_scraped(engine).await;
    }
    issuer.be_away(true);
    redis.kill();
    let address = alone.address.clone();
    let calls = tokio::spawn(async move {
        let mut http = Http::connect(&address).await;
        loop {
            assert_ne!(http.call("GET /v1/stock/MUG", &[]).await.status, 200);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    prometheus
        .alarmed(&[
            "OrdinalBreakerOpen",
            "OrdinalErrorBudgetFast",
            "OrdinalErrorBudgetSlow",
            "OrdinalIssuerKeysFail",
            "OrdinalIssuerKeysOld",
            "OrdinalCertificateExpires",
            "OrdinalRateLimitDegraded",
        ])
        .await;
    assert!(!calls.is_finished(), "a call succeeded, or ended the loop");
    calls.abort();
}

/// A payment provider is away, and a service's database is held by somebody else: what it follows
/// does not move. Eight days later nobody knows what became of operations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_away_and_a_database_that_is_held_raise_alerts() {
    let mut offset = None;
    let mut shop = tokio::task::block_in_place(|| {
        Shop::open(|folder| {
            let file = folder.path().join("offset");
            fs::write(&file, "0").unwrap();
            let flag = ["--clock-offset-file".to_owned(), file.display().to_string()];
            offset = Some(file);
            [&on_sqlite(folder)[..], &flag[..]].concat()
        })
    });
    let prometheus = Prometheus::start(&[shop.engine.metrics.as_deref().unwrap()]);
    prometheus.has_scraped(&shop.engine).await;
    shop.provider.process.kill().unwrap();
    tokio::task::block_in_place(|| {
        for _ in 0..6 {
            let order = shop.place("cards");
            shop.attempt(&order, "tok_visa");
        }
    });
    let file = shop.folder.path().join("data/notifications.db");
    let options = SqliteConnectOptions::new().filename(file);
    let mut held = SqliteConnection::connect_with(&options).await.unwrap();
    // Others may write for a moment in between.
    let patience = Instant::now() + PATIENCE;
    while held.execute("BEGIN IMMEDIATE").await.is_err() {
        assert!(Instant::now() < patience, "the database cannot be held");
    }
    tokio::task::block_in_place(|| shop.place("cards"));
    prometheus.alarmed(&["OrdinalProviderBreakerOpen", "OrdinalFollowerStuck"]).await;
    fs::write(offset.unwrap(), (8 * 24 * 3_600).to_string()).unwrap();
    prometheus.alarmed(&["OrdinalPaymentsStuck"]).await;
    held.execute("ROLLBACK").await.unwrap();
}

/// A person's statement holds a table that says what waits: the process answers scrapes, and the
/// values that it reads there do not come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_do_not_come_raise_an_alert() {
    let server = PostgresServer::start();
    let url = server.url();
    let flags = ["--database-url", &url, "--node-name", "a", "--metrics-listen", "127.0.0.1:0"];
    let engine = Engine::start_with(&flags);
    // Values are read every 15 s.
    let shortened = ("ordinal_sample_age_seconds > 120", "ordinal_sample_age_seconds > 60");
    let prometheus = Prometheus::start_with(&[engine.metrics.as_deref().unwrap()], &[shortened]);
    prometheus.has_scraped(&engine).await;
    let firing = "ALERTS{alertname=\"OrdinalSamplesOld\"}";
    assert!(prometheus.ask(firing).await.is_empty());
    let mut holder = PgConnection::connect(&url).await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    holder.execute("LOCK TABLE orders.order_summaries IN ACCESS EXCLUSIVE MODE").await.unwrap();
    prometheus.alarmed(&["OrdinalSamplesOld"]).await;
    holder.execute("ROLLBACK").await.unwrap();
}

/// A journal was replaced by an older copy, and the clock is a year ahead: followers remember what
/// is not there, and timers wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_journal_and_a_wrong_clock_raise_alerts() {
    let folder = TempDir::new().unwrap();
    let (data, old) = (folder.path().join("data"), folder.path().join("old"));
    let offset = folder.path().join("offset");
    fs::create_dir(&old).unwrap();
    fs::write(&offset, "0").unwrap();
    let flags = [
        "--data",
        data.to_str().unwrap(),
        "--without-stock",
        "--clock-offset-file",
        offset.to_str().unwrap(),
        "--metrics-listen",
        "127.0.0.1:0",
    ];
    tokio::task::block_in_place(|| {
        for copied in [true, false] {
            let engine = Engine::start_with(&flags);
            // It waits to be confirmed, for as long as it may.
            engine.place(&["MUG=1@4.50GBP"]);
            level(&engine);
            assert!(engine.stop().success());
            if copied {
                copy(&data, &old, "journal");
            }
        }
    });
    copy(&old, &data, "journal");
    fs::write(&offset, (400 * 24 * 3_600).to_string()).unwrap();
    let engine = Engine::start_with(&flags);
    let prometheus = Prometheus::start(&[engine.metrics.as_deref().unwrap()]);
    prometheus.has_scraped(&engine).await;
    prometheus.alarmed(&["OrdinalFollowerStopped", "OrdinalDeadlinesLate"]).await;
}

/// Alerts that only `promtool` raises, from series that are written down: nothing was found that
/// makes a follower fall behind by positions whose age is not known either.
const BY_SERIES_ALONE: [&str; 1] = ["OrdinalFollowerBehind"];

/// No other alert is without a test that breaks what it is about.
#[test]
fn every_alert_is_raised_by_something_that_is_broken() {
    let tests = [include_str!("alerts.rs"), include_str!("prometheus.rs")].concat();
    let alerts: Vec<String> =
        of_rules().into_iter().map(|(name, _)| name).filter(|name| !name.contains(':')).collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in alerts {
        let is_broken = tests.contains(&format!("\"{alert}\""));
        assert!(is_broken || BY_SERIES_ALONE.contains(&&*alert), "nothing is broken for {alert}");
    }
}
