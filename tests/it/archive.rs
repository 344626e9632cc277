//! Old orders are archived to files beside a working engine, and nothing is lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use ordinal::client::{Caller, Client, Connection};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};
use tempfile::TempDir;

use crate::shop::TestDatabase;
use crate::support::{CUSTOMER, Engine, PATIENCE, RedisServer, ordinal, placing};

/// Old enough that its month is over and nothing can be returned.
const LONG_AGO: i64 = -75 * 24 * 60 * 60;

/// A shop on Postgres whose clock the test sets.
struct Shop {
    runtime: tokio::runtime::Runtime,
    database: Option<TestDatabase>,
    directory: TempDir,
    engine: Option<Engine>,
    /// Another database with half of the journal's shards.
    second: Option<TestDatabase>,
}

impl Shop {
    fn long_ago() -> Self {
        Self::over(1)
    }

    /// With its journal in this many databases, one or two.
    fn over(databases: usize) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let create = || runtime.block_on(TestDatabase::create());
        let (database, second) = (Some(create()), (databases > 1).then(create));
        let directory = TempDir::new().unwrap();
        let mut shop = Self { runtime, database, directory, engine: None, second };
        std::fs::write(shop.directory.path().join("clock"), LONG_AGO.to_string()).unwrap();
        shop.start(&[]);
        shop.engine().ask(&["stock", "set", "MUG", "10000"]);
        shop
    }

    fn start(&mut self, flags: &[&str]) {
        let clock = self.directory.path().join("clock");
        let url = self.url();
        let always = [
            &["--database-url", &url, "--node-name", "a"][..],
            &["--clock-offset-file", clock.to_str().unwrap()],
        ];
        let map = self.map();
        let map: Vec<&str> = match map.is_empty() {
            true => vec!["--shards", "4"],
            false => map.iter().map(String::as_str).collect(),
        };
        self.engine = Some(Engine::start_with(&[&always.concat(), flags, &map].concat()));
        // The clock's file is read ten times a second.
        let patience = Instant::now() + PATIENCE;
        while self.engine().run(&["health"]).status.code() != Some(0) {
            assert!(Instant::now() < patience, "not ready");
        }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn restart(&mut self, flags: &[&str]) {
        assert!(self.engine.take().unwrap().stop().success());
        self.start(flags);
    }

    fn url(&self) -> String {
        self.database.as_ref().unwrap().url()
    }

    /// The shard map, as flags.
    fn map(&self) -> Vec<String> {
        let Some(second) = &self.second else { return Vec::new() };
        vec![
            format!("--journal-database=0-1={}", self.url()),
            format!("--journal-database=2-3={}", second.url()),
        ]
    }

    /// Sets the clock to the present and waits until the engine follows.
    fn now(&self) {
        std::fs::write(self.directory.path().join("clock"), "0").unwrap();
        let patience = Instant::now() + PATIENCE;
        let this_year = instant(self, "now()");
        while self.engine().place(&["MUG=1@4.50GBP"])["order"]["placed_at"].as_str().unwrap()
            < this_year.as_str()
        {
            assert!(Instant::now() < patience, "the clock stands still");
        }
    }

    fn files(&self) -> String {
        self.directory.path().join("archive").to_str().unwrap().to_owned()
    }

    /// The beginning of this month.
    fn this_month(&self) -> String {
        instant(self, "date_trunc('month', now())")[..7].to_owned()
    }

    fn archive(&self, flags: &[&str]) -> std::process::Output {
        let (month, files, url) = (self.this_month(), self.files(), self.url());
        let mut all = vec!["--json", "journal", "archive", "--before", &month, "--to", &files];
        all.extend(["--database-url", &url]);
        let map = self.map();
        all.extend(map.iter().map(String::as_str));
        all.extend(flags);
        ordinal(&all)
    }

    fn archived(&self, flags: &[&str]) -> Value {
        let output = self.archive(flags);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn verify(&self, flags: &[&str]) -> Value {
        let url = self.url();
        let map = self.map();
        let map: Vec<&str> = map.iter().map(String::as_str).collect();
        let verify = ["--json", "verify", "--database-url", &url];
        let output = ordinal(&[&verify[..], flags, &map].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"))
    }

    /// Verifies with the files: every law holds, and nothing was skipped.
    fn verify_complete(&self) -> Value {
        let report = self.verify(&["--archive", &self.files()]);
        assert_eq!(
            (&report["findings"], &report["unchecked"]),
            (&json!([]), &json!([])),
            "{report}"
        );
        report
    }

    fn sql(&self, sql: &str) {
        let url = self.url();
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            connection.execute("SET search_path TO orders_journal").await.unwrap();
            connection.execute(sql).await.unwrap();
        });
    }

    fn number(&self, sql: &str) -> i64 {
        let url = self.url();
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            connection.execute("SET search_path TO orders_journal").await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
        })
    }

    /// Waits until every follower has caught up, by `verify` as a client.
    fn until_caught_up(&self) -> Value {
        let report = self.engine().ask(&["verify"]);
        assert_eq!(report["findings"], json!([]), "{report}");
        report
    }

    fn order(&self) -> String {
        let order = self.engine().place(&["MUG=2@4.50GBP"]);
        let id = order["order"]["order_id"].as_str().unwrap().to_owned();
        self.engine().until(&id, "CONFIRMED");
        id
    }

    fn delivered(&self) -> String {
        let id = self.order();
        self.engine().ask(&["order", "fulfill", &id]);
        id
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.engine = None;
        for database in [self.database.take(), self.second.take()].into_iter().flatten() {
            self.runtime.block_on(database.drop());
        }
    }
}

fn instant(shop: &Shop, expression: &str) -> String {
    let url = shop.url();
    let sql =
        format!("SELECT to_char(({expression}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI')");
    shop.runtime.block_on(async {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query_scalar(&sql).fetch_one(&mut connection).await.unwrap()
    })
}

/// The events that a replay shows, by shard and position.
fn replayed(engine: &Engine, flags: &[&str]) -> BTreeMap<(u64, u64), Value> {
    let output = engine.run(&[&["events", "replay"], flags].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let number = |value: &Value| value.as_u64().unwrap();
    let events = String::from_utf8(output.stdout).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .map(|event| {
            let place = &event["position"];
            ((number(&place["shard"]), number(&place["position"])), event)
        })
        .collect()
}

#[test]
fn archived_orders_are_still_known() {
    let mut shop = Shop::long_ago();
    let cancelled = shop.order();
    shop.engine().ask(&["order", "cancel", &cancelled]);
    let noted = shop.directory.path().join("noted.json").to_str().unwrap().to_owned();
    let report = shop.verify(&["--heads-to", &noted]);
    assert_eq!(report["findings"], json!([]), "{report}");
    let delivered = shop.delivered();
    let returned = shop.delivered();
    let return_of = |shop: &Shop, order: &str| {
        shop.engine().ask(&["return", "request", order, "--line", "1=2", "--reason", "too many"]);
    };
    return_of(&shop, &returned);
    shop.engine().ask(&["return", "approve", &returned]);
    let over = [&cancelled, &delivered, &returned];
    let open = shop.order();
    let waiting = shop.delivered();
    return_of(&shop, &waiting);
    shop.now();
    let new = shop.delivered();
    shop.until_caught_up();
    let known = |engine: &Engine, id: &str| {
        let asked = [&["order", "get", id][..], &["order", "history", id], &["order", "diff", id]];
        asked.map(|asked| engine.ask(asked))
    };
    let before: Vec<_> = over.iter().map(|id| known(shop.engine(), id)).collect();
    let events = replayed(shop.engine(), &[]);

    let would = shop.archived(&["--dry-run"]);
    assert_eq!(would["orders"], 3, "{would}");
    assert!(!Path::new(&shop.files()).exists());
    assert_eq!(shop.number("SELECT count(*) FROM events"), i64::try_from(events.len()).unwrap());
    let recorded = |shop: &Shop| {
        let listed = shop.engine().ask(&["operations", "list", "--kind", "JOURNAL"]);
        listed["actions"].as_array().unwrap().clone()
    };
    assert_eq!(recorded(&shop), [] as [Value; 0]);
    let did = shop.archived(&["--as", "ops:anna", "--reason", " a full disk "]);
    assert_eq!((&did["orders"], &did["events"]), (&would["orders"], &would["events"]), "{did}");
    let done = recorded(&shop);
    let [action] = done.as_slice() else { panic!("not recorded once: {done:?}") };
    let said = ["verb", "subject", "target", "reason"].map(|field| &action[field]);
    let history = shop.engine().ask(&["journal", "history"]);
    let journal = history["history"]["journal"].as_str().unwrap();
    assert_eq!(said, ["ARCHIVE_JOURNAL", "anna", journal, "a full disk"]);
    let after = action["after"].as_str().unwrap();
    let expected = format!("3 orders with 11 events before {} moved to /", shop.this_month());
    assert!(after.starts_with(&expected), "{after}");
    assert_eq!(did["events"], 3 + 3 + 5);
    let remaining = shop.number("SELECT count(*) FROM events");
    assert_eq!(did["remaining"], remaining);
    assert_eq!(remaining, i64::try_from(events.len()).unwrap() - 11);

    // Without the files the engine names the file that a sleeping order is in; other orders work.
    shop.restart(&[]);
    let engine = shop.engine();
    for id in over {
        for asked in [
            &["order", "get", id][..],
            &["order", "get", id, "--as-of-version", "1"],
            &["order", "history", id],
            &["order", "cancel", id],
            &[&placing(&["MUG=2@4.50GBP"])[..], &["--id", id]].concat(),
        ] {
            let refused = engine.refused(1, asked);
            assert_eq!(refused["reason"], "ORDER_ARCHIVED", "{asked:?}: {refused}");
            assert_eq!(refused["status"], "FAILED_PRECONDITION");
            let file = Path::new(&shop.files()).join(refused["metadata"]["file"].as_str().unwrap());
            assert!(file.exists(), "{refused}");
        }
    }
    let customers =
        [(CUSTOMER, "ORDER_ARCHIVED"), ("018f6f3e-0000-7000-8000-000000000009", "NOT_FOUND")];
    for (customer, reason) in customers {
        let customer = format!("customer:{customer}");
        for asked in [["get", &delivered], ["history", &delivered], ["cancel", &delivered]] {
            let refused = engine.refused(1, &[&["--as", &customer, "order"], &asked[..]].concat());
            assert_eq!(refused["reason"], reason, "{asked:?}: {refused}");
        }
    }
    let listed = engine.ask(&["order", "list", "--customer", CUSTOMER, "--page-size", "100"]);
    let listed = listed["orders"].to_string();
    assert!(over.iter().all(|id| listed.contains(*id)), "{listed}");
    let first = engine.ask(&["order", "get", &open, "--as-of-version", "1"]);
    assert_eq!(first["order"]["status"], "ORDER_STATUS_PENDING");
    engine.ask(&["order", "fulfill", &open]);
    engine.ask(&["return", "approve", &waiting]);
    for asked in [&["events", "replay"][..], &["order", "watch", "--from-beginning"]] {
        let refused = engine.refused(1, asked);
        assert_eq!(refused["reason"], "ARCHIVED", "{refused}");
        assert!(refused["metadata"]["first"].is_string(), "{refused}");
    }
    shop.runtime.block_on(facts_begin_where_the_refusal_says(&engine.address, &shop.files()));
    let refused = engine.refused(1, &["read-model", "rebuild", "order-summaries"]);
    assert_eq!(refused["reason"], "ARCHIVED", "{refused}");
    shop.until_caught_up_without_files();
    let all = replayed(shop.engine(), &["--archive", &shop.files()]);
    assert!(events.iter().all(|(place, event)| all.get(place) == Some(event)));
    let some = replayed(shop.engine(), &["--archive", &shop.files(), "--limit", "5"]);
    assert_eq!(some.len(), 5);

    // With the files everything is as before.
    let report = shop.verify(&[]);
    assert_eq!(report["findings"], json!([]), "{report}");
    assert!(!report["unchecked"].as_array().unwrap().is_empty(), "{report}");
    // Heads noted before archiving are checked through the files. Without them the check is
    // impossible, and an impossible check does not pass.
    let report = shop.verify(&["--expect", &noted]);
    // The head of a shard without later events is in its own row, which is still there.
    let then: Value = serde_json::from_slice(&std::fs::read(&noted).unwrap()).unwrap();
    let [head] = then["heads"].as_array().unwrap().as_slice() else { panic!("{then}") };
    let ends_there = report["heads"].as_array().unwrap().contains(head);
    match report["findings"].as_array().unwrap().as_slice() {
        [] => assert!(ends_there, "{report}"),
        [finding] => {
            assert!(!ends_there && finding["law"] == "as_noted", "{report}");
            assert!(
                finding["detail"].as_str().unwrap().contains("cannot be read and compared"),
                "{finding}"
            );
        }
        more => panic!("{more:?}"),
    }
    let report = shop.verify(&["--archive", &shop.files(), "--expect", &noted]);
    assert_eq!((&report["findings"], &report["unchecked"]), (&json!([]), &json!([])), "{report}");
    assert!(report["checked"]["as_noted"].as_u64().unwrap() > 0, "{report}");
    let report = shop.verify_complete();
    assert_eq!(report["events"], all.len(), "{report}");
    assert!(report["checked"]["archive_files"].as_u64().unwrap() > 0);
    let files = shop.files();
    shop.restart(&["--archive", &files]);
    let engine = shop.engine();
    for (id, before) in over.iter().zip(&before) {
        assert_eq!(&known(engine, id), before);
        let first = engine.ask(&["order", "get", id, "--as-of-version", "1"]);
        assert_eq!(first["order"]["status"], "ORDER_STATUS_PENDING");
    }
    let late = ["return", "request", &delivered, "--line", "1=1", "--reason", "late"];
    assert_eq!(engine.refused(1, &late)["reason"], "RETURN_WINDOW_EXPIRED");
    let again = engine.ask(&["order", "cancel", &cancelled]);
    assert_eq!(again["order"]["status"], "ORDER_STATUS_CANCELLED");
    assert_eq!(replayed(engine, &[]), all);
    engine.ask(&["read-model", "rebuild", "order-summaries"]);
    assert_eq!(engine.ask(&["order", "get", &new])["order"]["status"], "ORDER_STATUS_FULFILLED");
    shop.until_caught_up();
    assert_eq!(shop.archived(&[])["orders"], 0);
    shop.verify_complete();
}

/// A feed that begins before what was archived names the file, and the position from which on
/// nothing is missing: by taking that, shard by shard, the rest can be read.
async fn facts_begin_where_the_refusal_says(address: &str, files: &str) {
    let caller = Caller { role: "SERVICE".to_owned(), subject: "shop".to_owned() };
    let client = Client::connect(&Connection::new(address.to_owned(), caller)).await.unwrap();
    let mut after: BTreeMap<u64, u64> = BTreeMap::new();
    let facts = loop {
        let places: Vec<Value> = after
            .iter()
            .map(|(shard, position)| json!({"shard": shard, "position": position}))
            .collect();
        let asked = json!({"source": "/ordinal/orders", "after": places});
        let refused = match client.stream("facts.v1.FactService/ReadFacts", asked).await {
            Err(failure) => failure,
            Ok(answers) => match answers.try_collect::<Vec<Value>>().await {
                Ok(facts) => break facts,
                Err(failure) => failure,
            },
        };
        let refused = refused.to_json();
        let reason = (&refused["reason"], &refused["status"]);
        assert_eq!(reason, (&json!("ARCHIVED"), &json!("FAILED_PRECONDITION")), "{refused}");
        let told = |key: &str| refused["metadata"][key].as_str().unwrap().to_owned();
        let number = |key: &str| told(key).parse::<u64>().unwrap();
        assert!(Path::new(files).join(told("file")).exists(), "{refused}");
        assert!(number("first") > number("through"), "{refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("--archive") && message.contains(&told("first")), "{refused}");
        let before = after.insert(number("shard"), number("first") - 1);
        assert_eq!(before, None, "one refusal is enough for a shard: {refused}");
    };
    let facts: Vec<Value> =
        facts.iter().flat_map(|answer| answer["facts"].as_array()).flatten().cloned().collect();
    assert!(!after.is_empty() && !facts.is_empty(), "{after:?}: {facts:?}");
    for fact in facts {
        let fact: Value = serde_json::from_str(fact.as_str().unwrap()).unwrap();
        let after = after.get(&fact["shard"].as_u64().unwrap()).copied().unwrap_or(0);
        assert!(fact["position"].as_u64().unwrap() > after, "{fact}");
    }
}

impl Shop {
    /// Waits until every follower has caught up, where a client cannot ask for everything.
    fn until_caught_up_without_files(&self) {
        self.until_caught_up_except("");
    }

    /// Waits until every follower but this one has caught up.
    fn until_caught_up_except(&self, paused: &str) {
        let patience = Instant::now() + PATIENCE;
        loop {
            let followers = self.engine().ask(&["followers"]);
            let followers = followers["followers"].as_array().unwrap().clone();
            let done = |one: &Value| one["lag"] == 0 || one["name"] == paused;
            if followers.iter().all(done) {
                return;
            }
            assert!(Instant::now() < patience, "{followers:?}");
        }
    }
}

#[test]
fn unread_events_and_the_current_month_are_not_archived() {
    let shop = Shop::long_ago();
    let engine = shop.engine();
    engine.ask(&["follower", "pause", "notifications", "--reason", "the mail server moves"]);
    shop.delivered();
    shop.now();
    shop.until_caught_up_except("notifications");
    let refused = |output: std::process::Output| -> Value {
        assert_eq!(output.status.code(), Some(1));
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        error["error"]["reason"].clone()
    };
    let output = shop.archive(&[]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("notifications"), "{error}");
    assert_eq!(refused(output), "FOLLOWER_BEHIND");
    assert!(!Path::new(&shop.files()).exists());
    let (files, url) = (shop.files(), shop.url());
    let archive = |flags: &[&str]| {
        ordinal(&[&["--json", "journal", "archive", "--to", &files], flags].concat())
    };
    let next = instant(&shop, "date_trunc('month', now()) + interval '1 month'");
    let output = archive(&["--before", &next[..7], "--database-url", &url]);
    assert_eq!(refused(output), "MONTH_NOT_OVER");
    assert_eq!(refused(archive(&["--before", "2026-01"])), "NEEDS_POSTGRES");
    assert_eq!(archive(&["--before", "June", "--database-url", &url]).status.code(), Some(2));
    engine.ask(&["follower", "resume", "notifications"]);
    shop.until_caught_up();
    assert_eq!(shop.archived(&[])["orders"], 1);
    shop.verify_complete();
}

#[test]
fn each_database_of_a_journal_archives_its_old_orders() {
    let mut shop = Shop::over(2);
    let orders: Vec<String> = (0..12).map(|_| shop.delivered()).collect();
    shop.until_caught_up();
    let noted = |name: &str| shop.directory.path().join(name).to_str().unwrap().to_owned();
    let (before, after) = (noted("before"), noted("after"));
    let heads = shop.verify(&["--heads-to", &before])["heads"].clone();
    let did = shop.archived(&[]);
    assert_eq!((&did["orders"], &did["events"]), (&json!(12), &json!(36)), "{did}");
    // A shard that is archived completely still has a head, with its hash.
    assert_eq!(shop.number("SELECT count(*) FROM events"), 0);
    assert!(!heads.as_array().unwrap().is_empty());
    for (flag, file) in [("--heads-to", &after), ("--expect", &before), ("--expect", &after)] {
        let report = shop.verify(&[flag, file]);
        assert_eq!((&report["findings"], &report["heads"]), (&json!([]), &heads), "{flag}");
    }
    shop.now();
    let here = shop.number("SELECT count(*) FROM archives");
    let files = walk(Path::new(&shop.files())).iter().filter(|path| path.ends_with("gz")).count();
    assert!(here > 0 && usize::try_from(here).unwrap() < files, "{here} of {files}");
    let report = shop.verify(&[]);
    assert_eq!(report["findings"], json!([]), "{report}");
    shop.verify_complete();
    let files = shop.files();
    shop.restart(&["--archive", &files]);
    for id in &orders {
        assert_eq!(shop.engine().ask(&["order", "get", id])["order"]["version"], 3);
    }
    shop.until_caught_up();
    // The files of a shard are known where the shard is: it stays there.
    assert!(shop.engine.take().unwrap().stop().success());
    let (one, two) = (shop.url(), shop.second.as_ref().unwrap().url());
    for shard in ["2", "3"] {
        let has_left = format!("shard-000{shard}");
        if walk(Path::new(&files)).iter().any(|path| path.contains(&has_left)) {
            let asked = ["journal", "move", "--shards", shard, "--from", &two, "--to", &one];
            let output = ordinal(&asked);
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(error.contains("are archived"), "{shard}: {error}");
        }
    }
    shop.verify_complete();
}

#[test]
fn an_emptied_redis_is_filled_from_the_first_event_in_the_table() {
    let redis = RedisServer::start();
    let url = redis.url();
    let flags = ["--redis-url", url.as_str()];
    let mut shop = Shop::long_ago();
    shop.restart(&flags);
    for _ in 0..4 {
        shop.delivered();
    }
    shop.now();
    shop.until_caught_up();
    assert_eq!(shop.archived(&flags)["orders"], 4);
    // Archived facts are still in the streams; then they are removed there too.
    assert_eq!(shop.verify(&flags)["findings"], json!([]));
    redis.cli(&["FLUSHALL"]);
    let new = shop.order();
    shop.until_caught_up_without_files();
    let report = shop.verify(&flags);
    assert_eq!(report["findings"], json!([]), "{report}");
    assert!(report["checked"]["streams_as_facts"].as_u64().unwrap() > 0, "{report}");
    let shard =
        shop.number(&format!("SELECT shard::bigint FROM events WHERE aggregate_id = '{new}'"));
    let archived =
        format!("SELECT coalesce(max(last_position), 0) FROM archives WHERE shard = {shard}");
    let archived = shop.number(&archived);
    let key = format!("ordinal:{{orders:{shard}}}:facts");
    let first = redis.cli(&["XRANGE", &key, "-", "+", "COUNT", "1"]);
    let (position, _) = first.lines().next().unwrap().split_once('-').unwrap();
    assert_eq!(position.parse::<i64>().unwrap(), archived + 1, "{first}");
    let report = shop.verify(&[&flags[..], &["--archive", &shop.files()]].concat());
    assert_eq!((&report["findings"], &report["unchecked"]), (&json!([]), &json!([])), "{report}");
}

/// Damage to a copy of the files, and the files that must be reported.
type Damage<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>, Vec<String>);

#[test]
fn every_damage_to_an_archive_is_reported() {
    let mut shop = Shop::long_ago();
    for _ in 0..12 {
        shop.delivered();
    }
    let open = shop.order();
    shop.now();
    shop.until_caught_up();
    assert_eq!(shop.archived(&[])["orders"], 12);
    shop.verify_complete();
    assert!(shop.engine.take().unwrap().stop().success());
    let manifests: Vec<Value> = walk(Path::new(&shop.files()))
        .into_iter()
        .filter(|path| path.ends_with(".json"))
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect();
    let file = |n: usize| manifests[n]["file"].as_str().unwrap().to_owned();
    let manifest = |n: usize| file(n).replace(".jsonl.gz", ".json");
    let subject = |file: String| format!("archive/{file}");
    let damages: Vec<Damage<'_>> = vec![
        (
            "a missing file",
            Box::new(|files: &Path| std::fs::remove_file(files.join(file(0))).unwrap()),
            vec![subject(file(0))],
        ),
        (
            "a changed byte",
            Box::new(|files: &Path| {
                let path = files.join(file(1));
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(path, bytes).unwrap();
            }),
            vec![subject(file(1))],
        ),
        (
            "a file cut off",
            Box::new(|files: &Path| {
                let path = files.join(file(0));
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
            }),
            vec![subject(file(0))],
        ),
        (
            "two files swapped",
            Box::new(|files: &Path| {
                let (one, other) = (files.join(file(0)), files.join(file(1)));
                let bytes = std::fs::read(&one).unwrap();
                std::fs::copy(&other, &one).unwrap();
                std::fs::write(other, bytes).unwrap();
            }),
            vec![subject(file(0)), subject(file(1))],
        ),
        (
            "a missing manifest",
            Box::new(|files: &Path| std::fs::remove_file(files.join(manifest(0))).unwrap()),
            vec![subject(manifest(0))],
        ),
        (
            "a manifest of another file",
            Box::new(|files: &Path| {
                std::fs::copy(files.join(manifest(1)), files.join(manifest(0))).unwrap();
            }),
            vec![subject(manifest(0))],
        ),
        (
            "no archive at all",
            Box::new(|files: &Path| std::fs::remove_dir_all(files).unwrap()),
            (0..manifests.len()).map(|n| subject(file(n))).collect(),
        ),
    ];
    let found = |report: &Value| {
        let mut found: Vec<String> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["law"] == "archive_files")
            .map(|finding| finding["subject"].as_str().unwrap().to_owned())
            .collect();
        found.sort();
        found
    };
    for (damage, act, mut expected) in damages {
        let copy = TempDir::new().unwrap();
        let all = Path::new(&shop.files()).join(".");
        assert!(Command::new("cp").arg("-r").args([&all, copy.path()]).status().unwrap().success());
        act(copy.path());
        let report = shop.verify(&["--archive", copy.path().to_str().unwrap()]);
        expected.sort();
        assert_eq!(found(&report), expected, "{damage}: {report:#}");
    }
    // Archived positions that are still in the table must match the files.
    let not_forever = "ALTER TABLE events DISABLE TRIGGER USER;";
    for (damage, sql) in [
        ("changed", format!("UPDATE events SET metadata = '{{}}' WHERE aggregate_id = '{open}'")),
        ("lost", format!("DELETE FROM events WHERE aggregate_id = '{open}'")),
    ] {
        shop.sql(&format!("{not_forever} {sql}"));
        let report = shop.verify(&["--archive", &shop.files()]);
        let named = report["findings"].as_array().unwrap().iter().any(|finding| {
            finding["law"] == "journal_chain" && finding["subject"] == format!("order/{open}")
        });
        assert!(named, "{damage}: {report:#}");
    }
}

fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

#[test]
fn a_killed_archiver_beside_a_busy_engine_loses_nothing() {
    let shop = Shop::long_ago();
    let over: Vec<String> = (0..30).map(|_| shop.delivered()).collect();
    shop.now();
    shop.until_caught_up();
    let done = std::sync::atomic::AtomicBool::new(false);
    let placed = std::thread::scope(|scope| {
        let buyer = scope.spawn(|| {
            let mut placed = Vec::new();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let order = shop.engine().place(&["MUG=1@4.50GBP"]);
                placed.push(order["order"]["order_id"].as_str().unwrap().to_owned());
            }
            placed
        });
        let (month, files, url) = (shop.this_month(), shop.files(), shop.url());
        let mut kills = 0;
        loop {
            let mut process = Command::new(env!("CARGO_BIN_EXE_ordinal"))
                .args(["--json", "journal", "archive", "--before", &month, "--to", &files])
                .args(["--database-url", &url])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // Each run is killed a little later, until one completes.
            let until = Instant::now() + Duration::from_millis(20 * kills);
            let mut ended = None;
            while ended.is_none() && Instant::now() < until {
                ended = process.try_wait().unwrap();
            }
            if ended.is_some_and(|status| status.success()) {
                break;
            }
            let _ = process.kill();
            process.wait().unwrap();
            kills += 1;
            assert!(kills < 500, "it never ends");
        }
        assert!(kills > 3, "it was killed {kills} times only");
        // Whichever run did it, nothing is left to archive.
        assert_eq!(shop.archived(&[])["orders"], 0);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        buyer.join().unwrap()
    });
    assert!(!placed.is_empty());
    shop.until_caught_up_without_files();
    let report = shop.verify_complete();
    assert!(report["orders"].as_u64().unwrap() >= (over.len() + placed.len()) as u64, "{report}");
    for id in &placed {
        shop.engine().ask(&["order", "get", id]);
    }
    let remaining_rows = shop.number(
        "SELECT count(DISTINCT aggregate_id) FROM events JOIN archived_orders
                            ON order_id::text = aggregate_id",
    );
    assert_eq!(remaining_rows, 0);
    assert_eq!(shop.number("SELECT count(*) FROM archived_orders"), over.len() as i64);
    // Killed runs leave nothing behind.
    assert_eq!(shop.number("SELECT count(*) FROM pg_tables WHERE tablename = 'events_next'"), 0);
}
