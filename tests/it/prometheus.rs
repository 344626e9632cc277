//! A real Prometheus scrapes real processes, and every expression of the dashboards and rules has
//! an answer.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::http::Http;
use crate::issuer::Issuer;
use crate::metrics::{names_in, of_dashboards, of_rules, page_of, promtool};
use crate::nodes::{place, until_even};
use crate::paid_orders::{NEW, Shop, on_sqlite};
use crate::shop::TestDatabase;
use crate::support::{Engine, PATIENCE, RedisServer, free_port, ordinal, write_private};

/// Scrapes and rules come once a second, so rates are over few of them.
const RATE_INTERVAL: &str = "20s";
const ANSWERED_WITHIN: Duration = Duration::from_secs(180);
/// No node dies here, and none is to be taken for old because the machine is busy.
const STEADY: [&str; 6] = ["--lease", "60s", "--lease-renew", "500ms", "--lease-self-stop", "40s"];
const METRICS: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

/// A server of one test, killed when dropped.
pub struct Prometheus {
    process: Child,
    address: String,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// Scrapes these addresses, with our rules.
    pub fn start(targets: &[&str]) -> Self {
        Self::start_with(targets, &[])
    }

    /// The same, with these parts of our alerts exchanged for others: a test does not last as long
    /// as what is broken by people.
    pub fn start_with(targets: &[&str], shortened: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let rules = folder.path().join("rules");
        fs::create_dir(&rules).unwrap();
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
        fs::copy(ours.join("records.yml"), rules.join("records.yml")).unwrap();
        let mut alerts = fs::read_to_string(ours.join("alerts.yml")).unwrap();
        for (part, other) in shortened {
            assert_eq!(alerts.matches(part).count(), 1, "{part}");
            alerts = alerts.replace(part, other);
        }
        fs::write(rules.join("alerts.yml"), alerts).unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: ['{0}/records.yml', '{0}/alerts.yml']\n\
             scrape_configs: [{{ job_name: ordinal, static_configs: [{{ targets: {1:?} }}] }}]\n",
            rules.display(),
            targets,
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is needed; scripts/test installs it");
        let patience = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < patience, "prometheus does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, address, _folder: folder }
    }

    /// The series of an expression.
    pub async fn ask(&self, expression: &str) -> Vec<Value> {
        let mut http = Http::connect(&self.address).await;
        let query: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = http.call(&format!("GET /api/v1/query?query={query}"), &[]).await;
        if answer.status == 503 {
            // It is starting.
            return Vec::new();
        }
        let mut answer = answer.json();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        match answer["data"]["result"].take() {
            Value::Array(series) => series,
            other => panic!("{expression}: {other}"),
        }
    }

    /// The exemplars of series: their labels, as a text.
    pub async fn exemplars(&self, series: &str) -> String {
        let mut http = Http::connect(&self.address).await;
        let query: String = series.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = http.call(&format!("GET /api/v1/query_exemplars?query={query}"), &[]).await;
        answer.text
    }

    /// Asks these until each has series.
    pub async fn answers(&self, mut missing: Vec<(String, String)>) {
        let patience = Instant::now() + ANSWERED_WITHIN;
        while !missing.is_empty() {
            let mut left = Vec::new();
            for (place, expression) in missing {
                if self.ask(&expression).await.is_empty() {
                    left.push((place, expression));
                }
            }
            missing = left;
            assert!(Instant::now() < patience, "without data: {missing:#?}");
            if !missing.is_empty() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// The processes of a shop, on one Postgres database and one Redis.
struct Fleet {
    a: Engine,
    b: Engine,
    stock: Engine,
    mail: Engine,
    ledger: Engine,
    _redis: RedisServer,
    _folder: TempDir,
    _database: TestDatabase,
}

impl Fleet {
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let (redis, folder) = (RedisServer::start(), TempDir::new().unwrap());
        let (url, streams) = (database.url(), redis.url());
        let port = || format!("127.0.0.1:{}", free_port());
        let [a, b, stock, mail, ledger] = [port(), port(), port(), port(), port()];
        let nodes = format!("http://{a},http://{b}");
        let at = [&stock, &mail, &ledger].map(|address| format!("http://{address}"));
        let common = ["--redis-url", &streams, METRICS[0], METRICS[1]];
        let orders = [
            "--role",
            "orders",
            "--orders-database-url",
            &url,
            "--inventory-at",
            &at[0],
            "--notifications-at",
            &at[1],
            "--ledger-at",
            &at[2],
            "--judge-within",
            "1s",
            "--rate-limit",
            "OPS=100000",
        ];
        let orders = [&orders[..], &STEADY, &common].concat();
        let of_node = |name: &str, listen: &str| {
            Engine::start_with(&[&orders[..], &["--node-name", name, "--listen", listen]].concat())
        };
        let of = |role: &str, listen: &str, more: &[&str]| {
            let database = format!("--{role}-database-url");
            let own = ["--role", role, &database, &url, "--listen", listen];
            Engine::start_with(&[&own[..], &common, more].concat())
        };
        let first = of_node("a", &a);
        let second = of_node("b", &b);
        let mails = folder.path().join("mail");
        let mails = ["--mail-dir", mails.to_str().unwrap(), "--orders-at", &nodes];
        Self {
            a: first,
            b: second,
            stock: of("inventory", &stock, &["--orders-at", &nodes]),
            mail: of("notifications", &mail, &mails),
            ledger: of("ledger", &ledger, &[]),
            _redis: redis,
            _folder: folder,
            _database: database,
        }
    }

    /// What a shop does in a day.
    fn trade(&self) {
        let (a, b) = (&self.a, &self.b);
        a.ask(&["stock", "set", "MUG", "100"]);
        until_even(|| a.ask(&["shards", "list"]));
        // Without an id it becomes an order of the node that was asked: each has placed one.
        for node in [a, b] {
            node.place(&["MUG=1@4.50GBP"]);
        }
        let orders: Vec<String> =
            (0..6).map(|nth| place(if nth % 2 == 0 { a } else { b }, "MUG=1@4.50GBP")).collect();
        for order in &orders {
            a.until(order, "CONFIRMED");
        }
        let none = place(a, "GONE=1@4.50GBP");
        a.until(&none, "CANCELLED");
        a.ask(&["order", "cancel", &orders[0]]);
        a.ask(&["order", "fulfill", &orders[1]]);
        a.ask(&["return", "request", &orders[1], "--line", "1=1", "--reason", "late"]);
        a.refused(1, &["order", "cancel", &orders[1]]);
        a.ask(&["order", "fulfill", &orders[2]]);
        a.ask(&["return", "request", &orders[2], "--line", "1=1", "--reason", "late"]);
        a.ask(&["return", "approve", &orders[2]]);
        a.ask(&["ledger", "open", "bank", "--kind", "asset", "--currency", "GBP"]);
        a.ask(&["ledger", "open", "wallet:1", "--kind", "liability", "--currency", "GBP"]);
        a.ask(&["ledger", "post", "bank/wallet:1=1.00GBP"]);
    }

    async fn browse(&self) {
        let mut http = Http::connect(&self.a.address).await;
        assert_eq!(http.call("GET /v1/orders", &[]).await.status, 200);
        assert_eq!(http.call("GET /v1/nothing", &[]).await.status, 404);
    }
}

/// An engine by itself, with TLS, an issuer of tokens, a limit for those without one, and a provider
/// of payments that sends webhooks.
async fn guarded(folder: &Path, authority: &Authority, issuer: &Issuer) -> Engine {
    let (cert, key) = authority.write("engine", &authority.issue(&["localhost", "127.0.0.1"]));
    let data = folder.join("data");
    for (name, secret) in [("key", "sk_test_of_nobody"), ("told", NEW)] {
        write_private(&folder.join(name), &format!("{secret}\n"));
    }
    let psps = folder.join("psps.toml");
    let provider = "[[psps]]\nname = \"cards\"\ndialect = \"stripe\"\nsecret-file = \"key\"\n\
                    url = \"http://127.0.0.1:1\"\nwebhook-secret-files = [\"told\"]\n";
    fs::write(&psps, provider).unwrap();
    let engine = Engine::start_with(&[
        "--data",
        data.to_str().unwrap(),
        "--psps",
        psps.to_str().unwrap(),
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--issuer",
        &issuer.url,
        "--audience",
        "ordinal",
        "--issuer-customer",
        "customer_id",
        "--rate-limit",
        "NOBODY=1:1",
        METRICS[0],
        METRICS[1],
    ]);
    for _ in 0..3 {
        let arguments = ["--address", &engine.address, "--ca", authority.ca(), "order", "list"];
        assert!(!ordinal(&arguments).status.success());
    }
    engine
}

/// What an expression chooses by labels, such as `name{reason="A"}`; of several texts for one label
/// each by itself.
fn chosen_in(expression: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut chosen = Vec::new();
    for (at, _) in expression.match_indices('{') {
        let begins = expression[..at].rfind(|c| !is_name(c)).map_or(0, |end| end + 1);
        let (name, rest) = (&expression[begins..at], &expression[at..]);
        let labels = &rest[..=rest.find('}').unwrap()];
        match labels.split_once("=~\"").and_then(|(before, after)| {
            let (texts, after) = after.split_once('"')?;
            Some((before, texts, after))
        }) {
            Some((before, texts, after)) => chosen
                .extend(texts.split('|').map(|text| format!("{name}{before}=\"{text}\"{after}"))),
            None => chosen.push(format!("{name}{labels}")),
        }
    }
    chosen
}

/// T8, and T10: histograms of several nodes add up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_expression_of_dashboards_and_rules_has_an_answer() {
    let (fleet, folder) = (Fleet::start().await, TempDir::new().unwrap());
    let (authority, issuer) = (Authority::new(), Issuer::open().await);
    let guarded = guarded(folder.path(), &authority, &issuer).await;
    let paid = tokio::task::block_in_place(|| Shop::open(on_sqlite));
    let Fleet { a, b, stock, mail, ledger, .. } = &fleet;
    let engines = [a, b, stock, mail, ledger, &guarded, &paid.engine];
    let targets = engines.map(|engine| engine.metrics.as_deref().unwrap());
    let prometheus = Prometheus::start(&targets);
    tokio::task::block_in_place(|| {
        fleet.trade();
        let order = paid.place("cards");
        paid.attempt(&order, "tok_visa");
        paid.confirmed(&order);
    });
    fleet.browse().await;
    let live = |(place, expression): (String, String)| {
        (place, expression.replace("$__rate_interval", RATE_INTERVAL))
    };
    let mut asked: Vec<(String, String)> = of_dashboards().into_iter().map(live).collect();
    assert!(asked.len() > 60, "{}", asked.len());
    for (name, expression) in of_rules() {
        // An alert has no series while nothing is wrong, but what it looks at has.
        match name.contains(':') {
            true => asked.push((name.clone(), name)),
            false => {
                prometheus.ask(&expression).await;
                // Only this has no series while all is well.
                let looks = names_in(&expression).into_iter();
                let looks = looks.filter(|name| name != "ordinal_health_reasons");
                asked.extend(looks.map(|looked| (name.clone(), looked)));
                let chosen = chosen_in(&expression).into_iter();
                let chosen = chosen.filter(|it| !it.starts_with("ordinal_health_reasons"));
                asked.extend(chosen.map(|chosen| (name.clone(), chosen)));
            }
        }
    }
    prometheus.answers(asked).await;
    // Each process's page is well formed, now that it has all its series.
    for engine in engines {
        assert_eq!(promtool(&page_of(engine).await), "", "{}", engine.address);
    }
    let firing = prometheus.ask("ALERTS{alertstate=\"firing\"}").await;
    assert!(firing.is_empty(), "{firing:#?}");

    let value =
        |series: &[Value]| -> f64 { series[0]["value"][1].as_str().unwrap().parse().unwrap() };
    // Of the two alone: others have placed orders too.
    let nodes = [a, b].map(|engine| engine.metrics.as_deref().unwrap()).join("|");
    let bucket = "ordinal_command_duration_seconds_bucket{command=\"Place\"}";
    let p99 = |what: &str| format!("histogram_quantile(0.99, sum by (le) ({what}))");
    let of_both = bucket.replace('}', &format!(",instance=~\"{nodes}\"}}"));
    let pooled = value(&prometheus.ask(&p99(&of_both)).await);
    let mut of_nodes = Vec::new();
    for engine in [&fleet.a, &fleet.b] {
        let instance = engine.metrics.as_deref().unwrap();
        let own = bucket.replace('}', &format!(",instance=\"{instance}\"}}"));
        of_nodes.push(value(&prometheus.ask(&p99(&own)).await));
    }
    of_nodes.sort_by(f64::total_cmp);
    assert!((of_nodes[0]..=of_nodes[1]).contains(&pooled), "{pooled}, {of_nodes:?}");
}

/// A process that dies is seen: the alerts about it are pending or firing within their time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_gone_raises_alerts() {
    let data = TempDir::new().unwrap();
    let with = ["--data", data.path().to_str().unwrap(), METRICS[0], METRICS[1]];
    let engine = Engine::start_with(&with);
    let prometheus = Prometheus::start(&[engine.metrics.as_deref().unwrap()]);
    let build = ("build".to_owned(), "ordinal_build_info".to_owned());
    prometheus.answers(vec![build]).await;
    engine.kill();
    let pending = |name: &str| {
        let alert = format!("ALERTS{{alertname=\"{name}\"}}");
        (name.to_owned(), alert)
    };
    prometheus.answers(vec![pending("OrdinalTargetDown"), pending("OrdinalTargetAbsent")]).await;
}
