//! Metrics: names that keep, a page that Prometheus reads, series that are bounded, and what is not
//! known is absent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use shared_events::metric::{About, Kind, Unit, table};
use tempfile::TempDir;

use crate::http::Http;
use crate::support::{Engine, PATIENCE, free_port};

const LISTEN: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

/// The page of metrics at this address.
pub async fn page_at(address: &str) -> String {
    let mut http = Http::connect(address).await;
    let answer = http.call("GET /metrics", &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text
}

/// The page of an engine.
pub async fn page_of(engine: &Engine) -> String {
    page_at(engine.metrics.as_deref().unwrap()).await
}

/// The page once it has such a line.
async fn page_with(engine: &Engine, line: impl Fn(&str) -> bool) -> String {
    let patience = Instant::now() + PATIENCE;
    loop {
        let page = page_of(engine).await;
        if page.lines().any(&line) {
            return page;
        }
        assert!(Instant::now() < patience, "{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Series by name, each with its labels and value.
fn series(page: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut all: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        let series = (labels.trim_end_matches('}').to_owned(), value.to_owned());
        all.entry(name.to_owned()).or_default().push(series);
    }
    all
}

/// What `promtool check metrics` says of a page.
pub fn promtool(page: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn about() -> Vec<About> {
    table::ALL.iter().map(|metric| metric.about()).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn names_of_metrics_are_conventional() {
    let mut names = BTreeSet::new();
    for About { name, kind, unit, labels, help } in about() {
        assert!(names.insert(name), "{name} twice");
        let ours = ["ordinal_", "rpc_server_", "http_server_", "process_"];
        assert!(ours.iter().any(|start| name.starts_with(start)), "{name}");
        assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        let seconds = name.trim_end_matches("_total").ends_with("_seconds");
        assert_eq!(seconds, unit == Unit::Seconds, "{name}");
        let words: Vec<&str> = name.split('_').collect();
        assert!(words.windows(2).all(|two| two[0] != two[1]), "{name}");
        assert!(help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
        assert!(labels.iter().all(|label| !["le", "job", "instance"].contains(label)), "{name}");
    }
}

const OPENS: &str = "<!-- metrics: made of shared-events/src/metric/table -->\n";
const CLOSES: &str = "<!-- /metrics -->";

/// T9: the page is generated from the table in the code. `ORDINAL_WRITE_GOLDEN=1` rewrites it.
#[test]
fn the_page_of_metrics_matches_the_table() {
    let file = root().join("docs/metrics.md");
    let kept = fs::read_to_string(&file).unwrap();
    let (head, rest) = kept.split_once(OPENS).unwrap();
    let (_, end) = rest.split_once(CLOSES).unwrap();
    let mut rows = String::from("| Metric | Kind | Labels | What it says |\n|---|---|---|---|\n");
    for About { name, kind, labels, help, .. } in about() {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        rows.push_str(&format!("| `{name}` | {} | {labels} | {help} |\n", kind.name()));
    }
    let made = format!("{head}{OPENS}{rows}{CLOSES}{end}");
    if std::env::var_os("ORDINAL_WRITE_GOLDEN").is_some() {
        fs::write(&file, &made).unwrap();
    } else {
        assert!(kept == made, "docs/metrics.md differs; ORDINAL_WRITE_GOLDEN=1 writes it anew");
    }
}

/// T11, and T9: `promtool` has nothing to say of the page.
#[tokio::test]
async fn metrics_have_a_door_of_their_own() {
    let data = TempDir::new().unwrap();
    let with = ["--data", data.path().to_str().unwrap(), LISTEN[0], LISTEN[1]];
    let engine = Engine::start_with(&with);
    engine.place(&["MUG=1@4.50GBP"]);
    let page = page_with(&engine, |line| {
        line.starts_with("ordinal_orders{status=\"PENDING\"} 1")
            || line.starts_with("ordinal_orders{status=\"CANCELLED\"} 1")
            || line.starts_with("ordinal_follower_lag_positions{follower=\"stock\"} 0")
    })
    .await;
    assert_eq!(promtool(&page), "");
    let all = series(&page);
    let has = |name: &str, labels: &str| {
        let found = all.get(name).into_iter().flatten();
        found.filter(|(known, _)| known.contains(labels)).map(|(_, value)| value.as_str()).next()
    };
    let version = format!("version=\"{}\",role=\"all\",backend=\"sqlite\"", "0.1.0");
    assert_eq!(has("ordinal_build_info", &version), Some("1"));
    let place = "command=\"Place\",outcome=\"applied\",reason=\"\"";
    assert_eq!(has("ordinal_commands_total", place), Some("1"));
    let placed = "rpc_method=\"ordinal.orders.v1.OrderService/PlaceOrder\"";
    let count = "rpc_server_call_duration_seconds_count";
    assert_eq!(has(count, &format!("{placed},rpc_response_status_code=\"OK\"")), Some("1"));
    assert_eq!(has("ordinal_journal_events_total", "OrderPlaced"), Some("1"));
    assert_eq!(has("ordinal_shard_owned", "shard=\"0\""), Some("1"));
    assert_eq!(has("ordinal_serving", ""), Some("1"));
    // Nothing else is behind the door, and on the public one are no metrics.
    let door = engine.metrics.as_deref().unwrap();
    for (line, status) in [("GET /", 404), ("GET /v1/orders", 404), ("POST /metrics", 405)] {
        assert_eq!(Http::connect(door).await.call(line, &[]).await.status, status, "{line}");
    }
    let public = Http::connect(&engine.address).await.call("GET /metrics", &[]).await;
    assert_eq!((public.status, public.code().as_str()), (404, "ROUTE_NOT_FOUND"));
}

/// The locks are gone, as where a file system does not keep them, and a second process takes the
/// journal over. The first ends itself, and what it had refused is not gone with it.
#[tokio::test]
async fn a_superseded_process_shows_its_metrics_once_more() {
    let data = TempDir::new().unwrap();
    let with = ["--data", data.path().to_str().unwrap()];
    let mut first = Engine::start_with(&[&with[..], &LISTEN].concat());
    let refused = |page: &str| {
        let of = "ordinal_appends_refused_total{reason=\"JOURNAL_SUPERSEDED\"} ";
        let count = page.lines().find_map(|line| line.strip_prefix(of)).unwrap();
        count.parse::<u64>().unwrap()
    };
    assert_eq!(refused(&page_of(&first).await), 0);
    for entry in fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "lock") {
            fs::remove_file(path).unwrap();
        }
    }
    let second = Engine::start_with(&with);
    let patience = Instant::now() + 2 * PATIENCE;
    let edge = first.address.trim_start_matches("http://").to_owned();
    while std::net::TcpStream::connect(&edge).is_ok() {
        assert!(Instant::now() < patience, "it is not superseded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Nothing else is answered any more. It ends once this was read, and would stay for 30 s else.
    assert!(refused(&page_of(&first).await) > 0);
    let at = first.metrics.clone().unwrap();
    let until = Instant::now() + Duration::from_secs(25);
    let status = loop {
        if let Some(status) = first.process.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < until, "it stays although it was read");
        // That page may have been read before its numbers were the last ones.
        if let Ok(mut again) = std::net::TcpStream::connect(&at) {
            let _ = again.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
            let _ = again.read_to_end(&mut Vec::new());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert_eq!(status.code(), Some(1));
    second.place(&["MUG=1@4.50GBP"]);
}

/// T7: whatever callers send, there are no more series.
#[tokio::test]
async fn addresses_that_callers_make_up_are_one_series() {
    let data = TempDir::new().unwrap();
    let with = ["--data", data.path().to_str().unwrap(), LISTEN[0], LISTEN[1]];
    let engine = Engine::start_with(&with);
    let mut http = Http::connect(&engine.address).await;
    http.call("GET /v1/nothing", &[]).await;
    let count = |page: &str| {
        let counts = |line: &&str| line.starts_with("http_server_request_duration_seconds_count");
        page.lines().filter(counts).count()
    };
    let before = count(&page_of(&engine).await);
    for nth in 0..10_000 {
        let answer = http.call(&format!("GET /v1/{nth:x}/{}", nth * 7_919), &[]).await;
        assert_eq!(answer.status, 404);
    }
    http.call("BREW /v1/orders", &[]).await;
    let page = page_of(&engine).await;
    assert!(count(&page) <= before + 1, "{page}");
    let unmatched = "http_route=\"unmatched\",http_request_method=\"GET\"";
    let line = page.lines().find(|line| line.contains(unmatched) && line.contains("_count"));
    assert!(line.unwrap().ends_with(" 10001"), "{line:?}");
}

/// T13: while the log of a follower is away, its lag is absent, not zero.
#[tokio::test]
async fn an_unknown_lag_is_absent() {
    let data = TempDir::new().unwrap();
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let data = data.path().to_str().unwrap();
    let with = ["--data", data, LISTEN[0], LISTEN[1], "--role", "inventory"];
    let engine = Engine::start_with(&[&with[..], &["--orders-at", &nowhere]].concat());
    let page = page_with(&engine, |line| line.starts_with("ordinal_sample_age_seconds")).await;
    let of = |name: &str| page.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(of("ordinal_follower_lag_positions"), 0, "{page}");
    assert_eq!(of("ordinal_follower_lag_seconds"), 0, "{page}");
    assert_eq!(of("ordinal_follower_still_seconds{"), 1, "{page}");
    assert_eq!(promtool(&page), "");
}

/// An order process and a stock process that read each other's facts, both with metrics.
fn two_processes(folder: &Path) -> [Engine; 2] {
    let [orders, stock] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let start = |role: &str, listen: &str, other: [&str; 2]| {
        let data = folder.join(role);
        let data = ["--data", data.to_str().unwrap(), "--role", role, "--listen", listen];
        Engine::start_with(&[&data[..], &other, &LISTEN].concat())
    };
    let engine = start("orders", &orders, ["--inventory-at", &stock]);
    [engine, start("inventory", &stock, ["--orders-at", &orders])]
}

/// The lag of a follower on a page, in positions and in seconds.
fn lag_of(page: &str, follower: &str) -> [Option<f64>; 2] {
    ["positions", "seconds"].map(|unit| {
        let name = format!("ordinal_follower_lag_{unit}{{follower=\"{follower}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)).map(|value| value.parse().unwrap())
    })
}

/// The page once the lag of a follower is so.
async fn page_with_lag(
    engine: &Engine,
    follower: &str,
    is: impl Fn([Option<f64>; 2]) -> bool,
) -> String {
    let patience = Instant::now() + 2 * PATIENCE;
    loop {
        let page = page_of(engine).await;
        if is(lag_of(&page, follower)) {
            return page;
        }
        assert!(Instant::now() < patience, "{follower}: {page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const LEVEL: [Option<f64>; 2] = [Some(0.0), Some(0.0)];

/// T13: also where the log goes away later, when the lag was known.
#[tokio::test]
async fn a_lag_that_was_known_goes_with_its_log() {
    let folder = TempDir::new().unwrap();
    let [orders, stock] = two_processes(folder.path());
    orders.place(&["MUG=1@4.50GBP"]);
    page_with_lag(&stock, "stock", |lag| lag == LEVEL).await;
    orders.kill();
    let page = page_with_lag(&stock, "stock", |lag| lag == [None::<f64>, None]).await;
    assert!(page.contains("ordinal_follower_still_seconds{follower=\"stock\"}"), "{page}");
}

/// The lag of followers of other services is known in seconds, too: in their own process, and by
/// the feed of another.
#[tokio::test]
async fn followers_of_other_services_tell_their_lag_in_seconds() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("one").display().to_string();
    let one = Engine::start_with(&["--data", &data, LISTEN[0], LISTEN[1]]);
    let two = two_processes(folder.path());
    for engine in [&one, &two[0]] {
        engine.ask(&["stock", "set", "MUG", "9"]);
        page_with_lag(engine, "stock-answers", |lag| lag == LEVEL).await;
        engine.ask(&["follower", "pause", "stock-answers", "--reason", "a test"]);
        let placed = engine.place(&["MUG=1@4.50GBP"]);
        let order_id = placed["order"]["order_id"].as_str().unwrap();
        let is_old = |[positions, seconds]: [Option<f64>; 2]| {
            positions == Some(1.0) && seconds.is_some_and(|seconds| seconds > 1.0)
        };
        page_with_lag(engine, "stock-answers", is_old).await;
        // Whoever looks has taken nothing away from the follower.
        engine.ask(&["follower", "resume", "stock-answers"]);
        engine.until(order_id, "CONFIRMED");
        page_with_lag(engine, "stock-answers", |lag| lag == LEVEL).await;
    }
}

#[test]
fn without_a_door_there_are_no_metrics() {
    let data = TempDir::new().unwrap();
    let engine = Engine::start(data.path());
    assert_eq!(engine.metrics, None);
}

/// The files under a folder of the repository with this ending.
pub fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let listed = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_str().unwrap().ends_with(ending));
    files.sort();
    files
}

/// The expressions of the dashboards, each with its place.
pub fn of_dashboards() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for file in files("deploy/grafana", ".json") {
        let board: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let uid = board["uid"].as_str().unwrap();
        assert_eq!(uid, format!("ordinal-{}", file.file_stem().unwrap().to_str().unwrap()));
        for panel in board["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            for target in panel["targets"].as_array().unwrap() {
                let expression = target["expr"].as_str().unwrap().to_owned();
                all.push((format!("{uid}: {title}"), expression));
            }
        }
    }
    all
}

/// The expressions of the rules, each with its name.
pub fn of_rules() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for file in ["records.yml", "alerts.yml"] {
        let text = fs::read_to_string(root().join("deploy/prometheus").join(file)).unwrap();
        let (mut name, mut expression) = (String::new(), None::<String>);
        for line in text.lines() {
            let word = line.trim_start().trim_start_matches("- ");
            if let Some(named) = word.strip_prefix("alert: ").or(word.strip_prefix("record: ")) {
                let last = std::mem::replace(&mut name, named.to_owned());
                all.extend(expression.take().map(|known| (last, known.trim().to_owned())));
                continue;
            }
            if let Some(begun) = word.strip_prefix("expr: ") {
                expression = Some(begun.trim_start_matches(">-").to_owned());
            } else if let Some(mut known) = expression.take() {
                if line.starts_with("          ") {
                    known.push_str(line.trim());
                    known.push(' ');
                    expression = Some(known);
                    continue;
                }
                all.push((name.clone(), known.trim().to_owned()));
            }
        }
        all.extend(expression.map(|last| (name, last.trim().to_owned())));
    }
    all
}

/// Names of metrics in an expression: ours, and those that rules record.
pub fn names_in(expression: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut quoted = false;
    let mut word = String::new();
    for character in expression.chars().chain([' ']) {
        if character == '"' {
            quoted = !quoted;
        }
        if !quoted && (character.is_ascii_alphanumeric() || "_:".contains(character)) {
            word.push(character);
            continue;
        }
        let name = std::mem::take(&mut word);
        let ours = ["ordinal_", "ordinal:", "rpc_server_", "http_server_", "process_"];
        if ours.iter().any(|start| name.starts_with(start)) {
            names.insert(name);
        }
    }
    names
}

/// The alerts, by name, and the pages that they name.
#[test]
fn rules_are_valid_and_each_alert_fires_and_has_a_page() {
    let folder = root().join("deploy/prometheus");
    let promtool = |arguments: &[&str]| {
        let output = Command::new("promtool").args(arguments).current_dir(&folder).output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    };
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "alerts_test.yml"]);
    let alerts = fs::read_to_string(folder.join("alerts.yml")).unwrap();
    let tests = fs::read_to_string(folder.join("alerts_test.yml")).unwrap();
    let mut pages = BTreeSet::new();
    let blocks: Vec<&str> = alerts.split("      - alert: ").skip(1).collect();
    assert!(blocks.len() > 15);
    for block in blocks {
        let name = block.lines().next().unwrap();
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} fires in no test");
        let page = block.lines().find_map(|line| line.trim().strip_prefix("runbook_url: "));
        let text = fs::read_to_string(root().join(page.unwrap())).unwrap();
        assert!(text.contains(&format!("Alert `{name}`")), "{name}: {page:?}");
        pages.insert(page.unwrap().to_owned());
    }
    let written = files("docs/runbooks", ".md").len();
    assert_eq!(written, pages.len() + 1, "a runbook without an alert");
}

/// T8, without a server: nothing is asked for that nobody counts, and whatever is counted is shown
/// or watched somewhere.
#[test]
fn dashboards_and_rules_name_metrics_that_exist() {
    let recorded: BTreeSet<String> = of_rules().into_iter().map(|(name, _)| name).collect();
    let known: BTreeMap<&str, Kind> = about().iter().map(|it| (it.name, it.kind)).collect();
    let base = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"].iter();
        let cut = ends.filter_map(|end| name.strip_suffix(end)).next().map(str::to_owned);
        cut.filter(|cut| known.get(cut.as_str()) == Some(&Kind::Histogram))
    };
    let mut used = BTreeSet::new();
    for (place, expression) in of_dashboards().into_iter().chain(of_rules()) {
        for name in names_in(&expression) {
            let plain = base(&name).unwrap_or(name);
            let exists = known.contains_key(plain.as_str()) || recorded.contains(&plain);
            assert!(exists, "{place}: nobody counts {plain}");
            used.insert(plain);
        }
    }
    let unused: Vec<&&str> = known.keys().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// The picture of `ordinal top`, printed and drawn into a terminal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn top_shows_what_a_process_does() {
    let data = TempDir::new().unwrap();
    let with = ["--data", data.path().to_str().unwrap(), LISTEN[0], LISTEN[1]];
    let engine = Engine::start_with(&with);
    engine.place(&["MUG=1@4.50GBP"]);
    let known = |line: &str| line.starts_with("ordinal_follower_lag_positions{follower=\"stock\"");
    page_with(&engine, known).await;
    let door = engine.metrics.as_deref().unwrap();
    let patience = Instant::now() + PATIENCE;
    // A process that answers late once is shown as one that does not.
    loop {
        let once = crate::support::ordinal(&["top", door, "--once", "--every", "200ms"]);
        let text = String::from_utf8(once.stdout).unwrap();
        let shown = ["1 of 1 processes answer", "serving", "1 of 1 owned", "stock-answers"];
        if once.status.success() && shown.iter().all(|shown| text.contains(shown)) {
            break;
        }
        assert!(Instant::now() < patience, "{text}");
    }
    loop {
        let json = crate::support::ordinal(&["--json", "top", door, "--every", "200ms"]);
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        if json["processes"][0]["owns"] == serde_json::json!([0]) {
            break;
        }
        assert!(Instant::now() < patience, "{json}");
    }
    // Without a terminal, and without metrics, it says what to do.
    let refused = crate::support::ordinal(&["top", door]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--once"));
    let nowhere = format!("127.0.0.1:{}", free_port());
    let refused = crate::support::ordinal(&["top", &nowhere]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--metrics-listen"));
    // In a terminal, until q.
    let program = env!("CARGO_BIN_EXE_ordinal");
    let command = format!("stty rows 40 cols 100; exec {program} top {door} --every 200ms");
    let log = data.path().join("terminal");
    let mut terminal = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &command, log.to_str().unwrap()])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("script is needed; it is in util-linux");
    let drawn = || fs::read(&log).map(|text| String::from_utf8_lossy(&text).into_owned());
    let patience = Instant::now() + PATIENCE;
    while !drawn().unwrap_or_default().contains("followers") {
        assert!(Instant::now() < patience, "{:?}", drawn());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    terminal.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    let ended = tokio::task::spawn_blocking(move || terminal.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "{:?}", drawn());
}
