//! Facts through real Redis servers, each test with its own: whatever happens to them, readers get
//! every fact once and in order.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use shared_events::contract::{
    Fact, FactBody, FactId, InventoryFact, OrderId, Origin, ReservationId, Timestamp,
};
use shared_events::stream::redis::{
    Cache, Keep, Redis, RedisError, RedisOptions, RedisSource, Relay, retain,
};
use shared_events::stream::{
    Batch, Blame, Cursors, FollowStatus, Scope, Sink, Source, SourceError, everything, follow,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::ports::free_port;

const ORIGIN: Origin = Origin::Inventory;
const SHARDS: u16 = 3;
const SOON: Duration = Duration::from_secs(60);

/// A Redis server of one test, killed when dropped.
pub struct Server {
    port: u16,
    folder: tempfile::TempDir,
    flags: Vec<String>,
    process: Child,
}

impl Server {
    pub fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let process = Self::spawn(port, &folder, &flags);
        Self { port, folder, flags, process }
    }

    fn spawn(port: u16, folder: &tempfile::TempDir, flags: &[String]) -> Child {
        let listens = if flags.iter().any(|flag| flag == "--tls-port") {
            vec!["--tls-port".to_owned(), port.to_string(), "--port".to_owned(), "0".to_owned()]
        } else {
            vec!["--port".to_owned(), port.to_string()]
        };
        let flags = flags.iter().filter(|flag| *flag != "--tls-port");
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", folder.path().to_str().unwrap()])
            .args(listens)
            .args(flags)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed; scripts/test installs it");
        let patience = Instant::now() + SOON;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < patience, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        process
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn redis(&self) -> Redis {
        redis(&[&self.url()])
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Kills it and starts it on what it saved.
    fn restart(&mut self) {
        self.kill();
        self.process = Self::spawn(self.port, &self.folder, &self.flags);
    }

    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn redis(urls: &[&str]) -> Redis {
    Redis::new(&RedisOptions {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        cluster: false,
        authority: None,
        prefix: "test".to_owned(),
    })
    .unwrap()
}

fn clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

/// A service's log; some positions have no fact, some have two.
#[derive(Default)]
pub struct Log {
    facts: Mutex<Vec<Fact>>,
    heads: Mutex<Cursors>,
    more: Notify,
    reads: AtomicU64,
}

impl Log {
    fn publish(&self, many: usize) {
        for nth in 0..many {
            let shard = u16::try_from(nth).unwrap() % SHARDS;
            let mut heads = self.heads.lock().unwrap();
            let position = heads.get(shard) + 1;
            heads.advance(shard, position);
            let count = match position % 5 {
                0 => 0,
                3 => 2,
                _ => 1,
            };
            let facts = (0..count).map(|index| fact(shard, position, index));
            self.facts.lock().unwrap().extend(facts);
        }
        self.more.notify_waiters();
    }

    fn all(&self) -> Vec<(u16, u64, u16)> {
        let facts = self.facts.lock().unwrap();
        facts.iter().map(|fact| (fact.shard, fact.position, fact.index)).collect()
    }
}

fn fact(shard: u16, position: u64, index: u16) -> Fact {
    let order_id = OrderId::mint();
    let reservation_id = ReservationId::mint();
    let (lines, backordered) = (Vec::new(), Vec::new());
    let body = InventoryFact::Reserved { order_id, reservation_id, lines, backordered };
    let (id, place) = (FactId::at(ORIGIN, shard, position, index), (shard, position, index));
    Fact::new(id, place, position, clock(), FactBody::Inventory(body))
}

#[async_trait]
impl Source<Fact> for Log {
    async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Batch<Fact>, SourceError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let mut batch = Batch::default();
        let heads = self.heads.lock().unwrap().clone();
        let each = u64::try_from(limit.min(60)).unwrap() / u64::from(SHARDS);
        for (shard, head) in heads.iter().filter(|(shard, _)| cursors.reads(*shard)) {
            let from = cursors.get(shard);
            if from > head {
                let detail = "ahead".to_owned();
                return Err(SourceError::Broken { shard, position: head, detail });
            }
            if from < head {
                batch.through.advance(shard, head.min(from + each));
                batch.more |= head > from + each;
            }
        }
        for fact in self.facts.lock().unwrap().iter() {
            if fact.position > cursors.get(fact.shard)
                && fact.position <= batch.through.get(fact.shard)
            {
                batch.items.push(fact.clone());
            }
        }
        Ok(batch)
    }

    async fn changed(&self, cursors: &Cursors) {
        let more = self.more.notified();
        if cursors.covers(&self.heads.lock().unwrap().clone()) {
            more.await;
        }
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        Ok(self.heads.lock().unwrap().clone())
    }
}

/// A reader whose effects and cursor outlive it.
#[derive(Clone, Default)]
struct Effects {
    done: Arc<Mutex<Vec<(u16, u64, u16)>>>,
    cursors: Arc<Mutex<Cursors>>,
}

#[async_trait]
impl Sink<Fact> for Effects {
    async fn set_back(&mut self, _: &Cursors, _: &Cursors, _: u64) -> Result<(), Blame> {
        Err(Blame::World("this log is never set back".to_owned()))
    }

    async fn cursors(&mut self) -> Result<Cursors, Blame> {
        Ok(self.cursors.lock().unwrap().clone())
    }

    async fn apply(&mut self, batch: &Batch<Fact>) -> Result<(), Blame> {
        let mut cursors = self.cursors.lock().unwrap();
        let facts = batch.items.iter().map(|fact| (fact.shard, fact.position, fact.index));
        self.done.lock().unwrap().extend(facts);
        cursors.merge(&batch.through);
        Ok(())
    }
}

impl Effects {
    /// Every fact of the log, once, in order within each shard.
    fn check(&self, log: &Log) {
        let by_shard = |facts: Vec<(u16, u64, u16)>| {
            let mut shards: BTreeMap<u16, Vec<(u64, u16)>> = BTreeMap::new();
            for (shard, position, index) in facts {
                shards.entry(shard).or_default().push((position, index));
            }
            shards
        };
        assert_eq!(by_shard(self.done.lock().unwrap().clone()), by_shard(log.all()));
    }

    async fn caught_up(&self, log: &Log) {
        let all = log.all().len();
        until(|| self.done.lock().unwrap().len() >= all).await;
        self.check(log);
    }
}

async fn until(reached: impl Fn() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("not reached in time");
}

/// A running follower, until it is stopped.
struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(source: Arc<dyn Source<Fact>>, sink: impl Sink<Fact>, name: &str) -> Self {
        Self::start_within(everything(), source, sink, name)
    }

    fn start_within(
        scope: watch::Receiver<Scope>,
        source: Arc<dyn Source<Fact>>,
        mut sink: impl Sink<Fact>,
        name: &str,
    ) -> Self {
        let (stop, status) = (CancellationToken::new(), FollowStatus::new(name));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            follow(&*source, &mut sink, scope, &status, &stopped).await.unwrap();
        });
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn relay(redis: &Redis, log: &Arc<Log>) -> Running {
    let sink = Relay::new(redis.clone(), ORIGIN, log.clone(), 1_000);
    Running::start(log.clone(), sink, "relay")
}

fn reader(redis: &Redis, log: &Arc<Log>, effects: &Effects) -> Running {
    let source = RedisSource::new(redis.clone(), ORIGIN, log.clone(), "reader", Arc::new(clock));
    Running::start(Arc::new(source), effects.clone(), "reader")
}

async fn bench() -> (Server, Redis, Arc<Log>, Effects) {
    let server = Server::start(&[]);
    let redis = server.redis();
    (server, redis, Arc::new(Log::default()), Effects::default())
}

#[tokio::test]
async fn every_fact_arrives_once_and_in_order_through_restarts() {
    let (server, redis, log, effects) = bench().await;
    log.publish(100);
    let mut relays = relay(&redis, &log);
    let mut reads = reader(&redis, &log, &effects);
    for round in 0..6 {
        log.publish(50);
        tokio::time::sleep(Duration::from_millis(20)).await;
        if round % 2 == 0 {
            relays.stop().await;
            log.publish(10);
            relays = relay(&redis, &log);
        } else {
            reads.stop().await;
            log.publish(10);
            reads = reader(&redis, &log, &effects);
        }
    }
    effects.caught_up(&log).await;
    // Two relays at the same time write the same facts, once.
    let second = relay(&redis, &log);
    log.publish(300);
    effects.caught_up(&log).await;
    let stored: usize = (0..SHARDS)
        .map(|shard| server.cli(&["XLEN", &redis.stream(ORIGIN, shard)]))
        .map(|length| length.trim().parse::<usize>().unwrap())
        .sum();
    assert_eq!(stored, log.all().len());
    for task in [relays, second, reads] {
        task.stop().await;
    }
}

#[tokio::test]
async fn an_emptied_redis_loses_and_repeats_no_fact() {
    let (server, redis, log, effects) = bench().await;
    let (relays, reads) = (relay(&redis, &log), reader(&redis, &log, &effects));
    for _ in 0..5 {
        log.publish(200);
        server.cli(&["FLUSHALL"]);
        log.publish(200);
        effects.caught_up(&log).await;
    }
    // Without a new fact, it is filled again.
    server.cli(&["FLUSHALL"]);
    let stream = redis.stream(ORIGIN, 0);
    until(|| server.cli(&["EXISTS", &stream]).trim() == "1").await;
    relays.stop().await;
    reads.stop().await;
}

#[tokio::test]
async fn a_killed_or_set_back_redis_loses_and_repeats_no_fact() {
    let (mut server, redis, log, effects) = bench().await;
    let (relays, reads) = (relay(&redis, &log), reader(&redis, &log, &effects));
    log.publish(300);
    effects.caught_up(&log).await;
    // It comes back with nothing.
    server.restart();
    log.publish(100);
    effects.caught_up(&log).await;
    // It comes back with an old state.
    let stream = redis.stream(ORIGIN, 0);
    until(|| server.cli(&["EXISTS", &stream]).trim() == "1").await;
    assert_eq!(server.cli(&["SAVE"]).trim(), "OK");
    log.publish(300);
    effects.caught_up(&log).await;
    server.restart();
    log.publish(100);
    effects.caught_up(&log).await;
    // Once it is gone for good, facts come from the source.
    server.kill();
    log.publish(100);
    effects.caught_up(&log).await;
    relays.stop().await;
    reads.stop().await;
}

#[tokio::test]
async fn a_frozen_redis_stops_no_reader() {
    let (server, redis, log, effects) = bench().await;
    let (relays, reads) = (relay(&redis, &log), reader(&redis, &log, &effects));
    log.publish(100);
    effects.caught_up(&log).await;
    server.signal("-STOP");
    log.publish(100);
    effects.caught_up(&log).await;
    server.signal("-CONT");
    log.publish(100);
    effects.caught_up(&log).await;
    relays.stop().await;
    reads.stop().await;
}

/// A caller that waits for a value could have asked the store in this time.
#[tokio::test]
async fn a_cache_that_does_not_answer_is_given_up_within_100_ms() {
    let server = Server::start(&[]);
    let cache = Cache::new(server.redis());
    let patience = Instant::now() + SOON;
    while cache.ask("a", "1").await.is_err() {
        assert!(Instant::now() < patience, "it never answers");
    }
    server.signal("-STOP");
    // By the connection that there is, and by a new one.
    for _ in 0..2 {
        let asked = tokio::time::timeout(SOON, cache.ask("a", "1")).await.expect("it waits");
        let Err(RedisError::Timeout(within)) = asked else { panic!("{asked:?}") };
        assert_eq!(within, Duration::from_millis(100));
    }
    server.signal("-CONT");
}

/// Facts of which the streams keep the last five each.
async fn publish_and_trim(server: &Server, redis: &Redis, log: &Log) {
    log.publish(300);
    let streams: Vec<String> = (0..SHARDS).map(|shard| redis.stream(ORIGIN, shard)).collect();
    let length = |stream: &String| server.cli(&["XLEN", stream]).trim().parse::<u64>().unwrap();
    until(|| streams.iter().all(|stream| length(stream) >= 90)).await;
    for stream in &streams {
        server.cli(&["XTRIM", stream, "MAXLEN", "5"]);
    }
}

#[tokio::test]
async fn a_reader_behind_the_window_catches_up_from_the_source() {
    let (server, redis, log, effects) = bench().await;
    let relays = relay(&redis, &log);
    publish_and_trim(&server, &redis, &log).await;
    let reads = reader(&redis, &log, &effects);
    effects.caught_up(&log).await;
    // Caught up again, it reads from the streams: only the relay reads the source.
    log.publish(3);
    effects.caught_up(&log).await;
    relays.stop().await;
    let patience = Instant::now() + SOON;
    // What it began while it was behind may still end.
    loop {
        let before = log.reads.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        if log.reads.load(Ordering::SeqCst) == before {
            break;
        }
        assert!(Instant::now() < patience, "the reader polls the source");
    }
    reads.stop().await;
}

/// Publishes more facts, over and over, until it is stopped.
struct Publishing {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Publishing {
    fn start(log: &Arc<Log>, every: Duration) -> Self {
        let (log, stop) = (Arc::clone(log), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                log.publish(6);
                tokio::time::sleep(every).await;
            }
        });
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A log that counts reads and queries of its heads.
struct Counted {
    log: Arc<Log>,
    /// Its heads are always this far ahead: no reader ever catches up.
    ahead: u64,
    reads: AtomicU64,
    asked: AtomicU64,
}

impl Counted {
    fn new(log: &Arc<Log>, ahead: u64) -> Arc<Self> {
        let (reads, asked) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { log: Arc::clone(log), ahead, reads, asked })
    }

    fn reader(self: &Arc<Self>, redis: &Redis, effects: &Effects) -> Running {
        let log: Arc<dyn Source<Fact>> = Arc::<Self>::clone(self);
        let source = RedisSource::new(redis.clone(), ORIGIN, log, "counted", Arc::new(clock));
        Running::start(Arc::new(source), effects.clone(), "counted")
    }
}

#[async_trait]
impl Source<Fact> for Counted {
    async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Batch<Fact>, SourceError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.log.read_after(cursors, limit).await
    }

    async fn changed(&self, cursors: &Cursors) {
        self.log.changed(cursors).await;
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        let heads = self.log.heads().await?;
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(heads.iter().map(|(shard, head)| (shard, head + self.ahead)).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_waits_for_facts_that_are_new_in_the_source() {
    let (_server, redis, log, effects) = bench().await;
    let counted = Counted::new(&log, 0);
    let reads = counted.reader(&redis, &effects);
    until(|| counted.asked.load(Ordering::SeqCst) >= 2).await;
    assert_eq!(counted.reads.load(Ordering::SeqCst), 0, "caught up, and nothing is missing");
    log.publish(6);
    let before = counted.asked.load(Ordering::SeqCst);
    // There is no relay: only the source can provide it, but not when it is first seen there.
    until(|| counted.reads.load(Ordering::SeqCst) > 0).await;
    let looked = counted.asked.load(Ordering::SeqCst) - before;
    assert!(looked >= 2, "{looked} looks");
    effects.caught_up(&log).await;
    reads.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_missing_in_one_stream_come_from_the_source() {
    let (_server, redis, log, effects) = bench().await;
    let sink = Relay::new(redis.clone(), ORIGIN, log.clone(), 1_000);
    let (_kept, scope) = watch::channel(Scope::Only([0].into()));
    let relay = Running::start_within(scope, log.clone(), sink, "relay of one shard");
    let counted = Counted::new(&log, 0);
    let reads = counted.reader(&redis, &effects);
    // The stream of the first shard is never idle.
    let publishing = Publishing::start(&log, Duration::from_millis(5));
    until(|| {
        let done = effects.done.lock().unwrap();
        (0..SHARDS).all(|shard| done.iter().filter(|(of, ..)| *of == shard).count() > 300)
    })
    .await;
    publishing.stop().await;
    effects.caught_up(&log).await;
    reads.stop().await;
    relay.stop().await;
}

impl Counted {
    /// Returns after this many facts in a row without a read of the source.
    async fn until_read_from_streams(&self, effects: &Effects) {
        let seen = Mutex::new((u64::MAX, 0));
        until(|| {
            let now = self.reads.load(Ordering::SeqCst);
            let done = effects.done.lock().unwrap().len();
            let mut seen = seen.lock().unwrap();
            if seen.0 != now {
                *seen = (now, done);
            }
            now > 0 && done > seen.1 + 600
        })
        .await;
    }
}

/// As an earlier version wrote them, a field for each attribute, or another program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_entries_are_replaced_from_the_source() {
    let (server, redis, log, effects) = bench().await;
    log.publish(60);
    for (shard, position, index) in log.all() {
        let (stream, id) = (redis.stream(ORIGIN, shard), format!("{position}-{index}"));
        let prev = (position - 1).to_string();
        let written = server.cli(&["XADD", &stream, &id, "specversion", "1.0", "prev", &prev]);
        assert_eq!(written.trim(), id);
    }
    let relays = relay(&redis, &log);
    let counted = Counted::new(&log, 0);
    let reads = counted.reader(&redis, &effects);
    effects.caught_up(&log).await;
    let publishing = Publishing::start(&log, Duration::from_millis(2));
    counted.until_read_from_streams(&effects).await;
    publishing.stop().await;
    effects.caught_up(&log).await;
    relays.stop().await;
    reads.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lagging_reader_rejoins_the_streams_of_a_busy_source() {
    let (server, redis, log, effects) = bench().await;
    let relays = relay(&redis, &log);
    publish_and_trim(&server, &redis, &log).await;
    let counted = Counted::new(&log, 1);
    let reads = counted.reader(&redis, &effects);
    let publishing = Publishing::start(&log, Duration::from_millis(2));
    counted.until_read_from_streams(&effects).await;
    publishing.stop().await;
    effects.caught_up(&log).await;
    relays.stop().await;
    reads.stop().await;
}

#[tokio::test]
async fn streams_keep_what_is_configured_and_active_readers_need() {
    let (server, redis, log, effects) = bench().await;
    let relays = relay(&redis, &log);
    log.publish(900);
    let stream = redis.stream(ORIGIN, 0);
    let length = || server.cli(&["XLEN", &stream]).trim().parse::<u64>().unwrap();
    until(|| length() >= 300).await;
    let trim = |keep: Keep| {
        let stop = CancellationToken::new();
        let scope = everything();
        let task = retain(redis.clone(), ORIGIN, log.clone(), scope, keep, clock, stop.clone());
        (tokio::spawn(task), stop)
    };
    let (day, every) = (Duration::from_secs(24 * 3600), Duration::from_millis(50));

    // An active reader needs everything after 100; a silent one nothing.
    let report = |name: &str, position: u64, at: Timestamp| {
        let value = format!("{position} {}", at.micros() / 1_000);
        server.cli(&["HSET", "test:{inventory:0}:readers", name, &value]);
    };
    report("active", 100, clock());
    report("silent", 5, Timestamp::from_micros(clock().micros() - 120_000_000));
    let (task, stop) = trim(Keep { entries: 50, age: day, at_most: 10_000, every });
    let first = || {
        let id = server.cli(&["XRANGE", &stream, "-", "+", "COUNT", "1"]);
        id.split('-').next().unwrap().trim().parse::<u64>().unwrap()
    };
    until(|| first() == 101).await;
    stop.cancel();
    task.await.unwrap();

    // But not more than the maximum.
    let (task, stop) = trim(Keep { entries: 50, age: day, at_most: 120, every });
    until(|| length() == 120).await;
    stop.cancel();
    task.await.unwrap();

    // Without readers: by number, then by age.
    server.cli(&["DEL", "test:{inventory:0}:readers"]);
    let (task, stop) = trim(Keep { entries: 50, age: day, at_most: 10_000, every });
    until(|| length() == 50).await;
    stop.cancel();
    task.await.unwrap();
    let (task, stop) =
        trim(Keep { entries: 50, age: Duration::from_secs(1), at_most: 10_000, every });
    until(|| length() <= 1).await;
    stop.cancel();
    task.await.unwrap();

    // What is left does not hinder readers and relays.
    let reads = reader(&redis, &log, &effects);
    log.publish(30);
    effects.caught_up(&log).await;
    relays.stop().await;
    reads.stop().await;
}

/// A certificate for 127.0.0.1 by an authority of this test: paths of certificate, key, authority.
fn certificates(folder: &tempfile::TempDir) -> [PathBuf; 3] {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &issuer).unwrap();
    [
        ("server.pem", certificate.pem()),
        ("server.key", key.serialize_pem()),
        ("ca.pem", authority_certificate.pem()),
    ]
    .map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    })
}

#[tokio::test]
async fn tls_and_password_are_required_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key, authority] = certificates(&folder);
    let server = Server::start(&[
        "--tls-port",
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-ca-cert-file",
        authority.to_str().unwrap(),
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "open-sesame",
    ]);
    let connect = |url: String, authority: Option<Vec<u8>>| {
        let prefix = "test".to_owned();
        Redis::new(&RedisOptions { urls: vec![url], cluster: false, authority, prefix }).unwrap()
    };
    let pem = std::fs::read(authority).unwrap();
    let good =
        connect(format!("rediss://:open-sesame@127.0.0.1:{}", server.port), Some(pem.clone()));
    let (log, effects) = (Arc::new(Log::default()), Effects::default());
    log.publish(100);
    let relays = relay(&good, &log);
    let reads = reader(&good, &log, &effects);
    effects.caught_up(&log).await;
    log.publish(100);
    effects.caught_up(&log).await;
    reads.stop().await;
    relays.stop().await;

    for (url, authority, expected) in [
        (format!("rediss://:wrong-secret@127.0.0.1:{}", server.port), Some(pem), "assword"),
        (format!("rediss://:open-sesame@127.0.0.1:{}", server.port), None, "ertificate"),
    ] {
        let mut sink = Relay::new(connect(url, authority), ORIGIN, log.clone(), 10);
        let error = sink.cursors().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("secret") && !error.contains("sesame"), "{error}");
    }
}

#[tokio::test]
async fn facts_flow_through_a_cluster_of_three() {
    let servers: Vec<Server> = (0..3)
        .map(|_| Server::start(&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]))
        .collect();
    let addresses: Vec<String> =
        servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    let made = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .args(["--cluster-replicas", "0", "--cluster-yes"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    until(|| servers.iter().all(|s| s.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")))
        .await;
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    let redis = redis(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    let (log, effects) = (Arc::new(Log::default()), Effects::default());
    log.publish(200);
    let (relays, reads) = (relay(&redis, &log), reader(&redis, &log, &effects));
    effects.caught_up(&log).await;
    log.publish(200);
    effects.caught_up(&log).await;
    // Each shard has one slot: all its keys are on one server.
    let held = servers.iter().filter(|s| !s.cli(&["KEYS", "*facts"]).trim().is_empty()).count();
    assert!(held > 1, "all on one server");
    relays.stop().await;
    reads.stop().await;
}

/// A log whose first positions are archived, without an archive.
struct Archived(Arc<Log>, u64);

#[async_trait]
impl Source<Fact> for Archived {
    async fn read_after(&self, at: &Cursors, limit: usize) -> Result<Batch<Fact>, SourceError> {
        self.0.read_after(at, limit).await
    }

    async fn changed(&self, at: &Cursors) {
        self.0.changed(at).await;
    }

    async fn begins_after(&self) -> Result<Cursors, SourceError> {
        Ok([(0, self.1)].into_iter().collect())
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        self.0.heads().await
    }
}

/// Archived positions that are passed over must not be paired with the mark of the stream's last
/// entry: the log would look like another one.
#[tokio::test]
async fn a_relay_claims_no_mark_for_archived_positions() {
    let (_server, redis, log, _) = bench().await;
    log.publish(usize::from(SHARDS) * 4);
    let relaying = relay(&redis, &log);
    let position_and_mark = || async {
        let source = Archived(Arc::clone(&log), 0);
        let mut relay = Relay::new(redis.clone(), ORIGIN, Arc::new(source), 1_000);
        let at = relay.cursors().await.unwrap();
        (at.get(0), at.mark(0).is_some())
    };
    let patience = tokio::time::Instant::now() + SOON;
    while position_and_mark().await != (4, true) {
        assert!(tokio::time::Instant::now() < patience, "{:?}", position_and_mark().await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    relaying.stop().await;
    log.publish(usize::from(SHARDS) * 5);
    let source = Archived(Arc::clone(&log), 7);
    let mut relay = Relay::new(redis.clone(), ORIGIN, Arc::new(source), 1_000);
    let at = relay.cursors().await.unwrap();
    assert_eq!((at.get(0), at.mark(0)), (7, None));
    assert!(at.mark(1).is_some(), "nothing of that shard has left");
}
