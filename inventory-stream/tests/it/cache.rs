//! The stock cache over real Redis servers: it is used, and no answer is older than its caller's
//! own changes.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use inventory_stream::grpc::StockEdge;
use inventory_stream::grpc::proto;
use inventory_stream::grpc::proto::inventory_service_server::InventoryService as _;
use inventory_stream::{CacheLookup, Inventory, StockCache};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared_events::contract::{Disposition, Fact, Timestamp};
use shared_events::stream::redis::{Redis, RedisOptions};
use shared_events::stream::{Cursors, Dialect, Handler};
use sqlx::Executor as _;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Request;

use crate::on_both::on_both;
use crate::ports::free_port;
use crate::support::{Bench, Story, sku};

const SOON: Duration = Duration::from_secs(60);
const KEEP: Duration = Duration::from_secs(300);

/// A Redis server of one test, killed when dropped.
struct Server {
    port: u16,
    folder: tempfile::TempDir,
    process: Child,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let process = Self::spawn(port, &folder);
        Self { port, folder, process }
    }

    fn spawn(port: u16, folder: &tempfile::TempDir) -> Child {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()])
            .args(["--dir", folder.path().to_str().unwrap()])
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

    fn redis(&self) -> Redis {
        redis(self.port)
    }

    fn cli(&self, arguments: &[&str]) -> String {
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

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts again with its saved data, if any.
    fn again(&mut self) {
        self.process = Self::spawn(self.port, &self.folder);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn redis(port: u16) -> Redis {
    Redis::new(&RedisOptions {
        urls: vec![format!("redis://127.0.0.1:{port}")],
        cluster: false,
        authority: None,
        prefix: "test".to_owned(),
    })
    .unwrap()
}

/// A process of the stock service with a cache, beside others on the same database.
struct Process {
    edge: StockEdge,
    cache: Option<StockCache>,
    inventory: Inventory,
    _runs: DropGuard,
}

impl Process {
    fn new(bench: &Bench, redis: Option<Redis>, clock: &Arc<AtomicI64>) -> Self {
        let clock = Arc::clone(clock);
        let now = move || Timestamp::from_micros(clock.load(Ordering::SeqCst));
        let inventory = Inventory::new(bench.database.clone(), Arc::new(now));
        let inventory = match redis {
            Some(redis) => inventory.cached(redis, KEEP),
            None => inventory,
        };
        let (stop, cache) = (CancellationToken::new(), inventory.cache());
        if let Some(cache) = cache.clone() {
            shared_events::stream::spawn(cache.run(stop.clone()));
        }
        Self { edge: inventory.edge(), cache, inventory, _runs: stop.drop_guard() }
    }

    /// On hand and reserved, by a call.
    async fn get(&self, product: &str) -> (i64, i64) {
        let request = proto::GetStockRequest { sku: product.to_owned(), fresh: false };
        let stock = self.edge.get_stock(Request::new(request));
        let stock = tokio::time::timeout(SOON, stock).await.expect("it waits for Redis");
        let stock = stock.unwrap().into_inner().stock.unwrap();
        (stock.on_hand, stock.reserved)
    }

    async fn fresh(&self, product: &str) -> (i64, i64) {
        let request = proto::GetStockRequest { sku: product.to_owned(), fresh: true };
        let stock = self.edge.get_stock(Request::new(request)).await.unwrap().into_inner();
        let stock = stock.stock.unwrap();
        (stock.on_hand, stock.reserved)
    }

    async fn set(&self, product: &str, on_hand: i64) {
        let sku = product.to_owned();
        let request = proto::SetStockRequest { sku, on_hand, ..Default::default() };
        self.edge.set_stock(Request::new(request)).await.unwrap();
    }

    /// Whether the next answer comes from the cache.
    async fn has(&self, product: &str) -> bool {
        matches!(self.cache.as_ref().unwrap().find(&sku(product)).await, CacheLookup::Hit(..))
    }

    /// Asks until the cache answers.
    async fn until_cached(&self, product: &str) {
        until("the cache is used", async || {
            self.get(product).await;
            self.has(product).await
        })
        .await;
    }

    /// The right to fill, as soon as the cache grants it.
    async fn token(&self, product: &str) -> inventory_stream::FillToken {
        let patience = Instant::now() + SOON;
        loop {
            match self.cache.as_ref().unwrap().find(&sku(product)).await {
                CacheLookup::Miss(token) => return token,
                found => assert!(Instant::now() < patience, "{found:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let patience = Instant::now() + SOON;
    while !so().await {
        assert!(Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Changes stock unnoticed: a later answer shows whether it came from the cache.
async fn behind(bench: &Bench, on_hand: i64) {
    let sql = format!("UPDATE stock SET on_hand = {on_hand}, adjusted = {on_hand}");
    let mut tx = bench.database.begin().await.unwrap();
    (&mut *tx).execute(sql.as_str()).await.unwrap();
    tx.commit().await.unwrap();
}

fn clock() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(1_800_000_000_000_000))
}

async fn a_cached_value_expires_after_its_time(dialect: Dialect) {
    let (bench, server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let process = Process::new(&bench, Some(server.redis()), &clock);
    process.set("A", 10).await;
    // What the cache has may be taken out by the change before, which is told to it later.
    until("it is kept for its time", async || {
        // Nothing of a try before is left.
        clock.fetch_add(300_000_000, Ordering::SeqCst);
        behind(&bench, 10).await;
        process.until_cached("A").await;
        behind(&bench, 3).await;
        let soon = process.get("A").await;
        assert_eq!(process.fresh("A").await, (3, 0));
        clock.fetch_add(299_000_000, Ordering::SeqCst);
        (soon, process.get("A").await) == ((10, 0), (10, 0))
    })
    .await;
    clock.fetch_add(1_000_000, Ordering::SeqCst);
    assert_eq!(process.get("A").await, (3, 0));
    // Redis expires it too.
    process.until_cached("A").await;
    let keys = server.cli(&["KEYS", "*"]);
    let [key] = keys.lines().collect::<Vec<_>>()[..] else { panic!("{keys}") };
    let left: u64 = server.cli(&["PTTL", key]).trim().parse().unwrap();
    assert!((1..=300_000).contains(&left), "{left}");
}

/// What few products have is left out of the values of the others.
#[tokio::test]
async fn a_cached_product_shows_its_backorders() {
    let (mut bench, server, clock) = (Bench::on(Dialect::Sqlite).await, Server::start(), clock());
    let process = Process::new(&bench, Some(server.redis()), &clock);
    for ends in [None, Some(prost_types::Timestamp { seconds: 100, nanos: 0 })] {
        let rule = proto::SetBackorderRequest {
            sku: "A".to_owned(),
            backorder_limit: 9,
            backorder_until: ends,
            ..Default::default()
        };
        process.edge.set_backorder(Request::new(rule)).await.unwrap();
        bench.follow(&[crate::support::Story::new().placed(&[("A", 2)])]).await.unwrap();
        process.set("A", 1).await;
        let stock = async |fresh| {
            let request = proto::GetStockRequest { sku: "A".to_owned(), fresh };
            process.edge.get_stock(Request::new(request)).await.unwrap().into_inner().stock.unwrap()
        };
        // What the cache has may be taken out by an earlier change, which is told to it later.
        let mut cached = None;
        until("the cache answers", async || {
            process.get("A").await;
            let before = process.has("A").await;
            cached = Some(stock(false).await);
            before && process.has("A").await
        })
        .await;
        let cached = cached.unwrap();
        assert_eq!(cached, stock(true).await);
        assert_eq!((cached.backorder_limit, cached.backorder_until), (9, ends));
        assert!(cached.backordered > 0);
    }
}

/// A fill loses against any change between the reader's query and the fill.
async fn a_late_fill_is_refused(dialect: Dialect) {
    let (bench, mut server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let process = Process::new(&bench, Some(server.redis()), &clock);
    let mut follower = process.inventory.follower();
    process.set("A", 10).await;
    let now = Timestamp::from_micros(clock.load(Ordering::SeqCst));
    let before = inventory_stream::store::get(&bench.database, &sku("A")).await.unwrap();
    let before = before.unwrap().level;
    for case in
        ["set", "reserved for an order", "set, and Redis emptied", "set, and Redis restarted"]
    {
        let token = process.token("A").await;
        let more = process.fresh("A").await.0 + 1;
        match case {
            "reserved for an order" => {
                let mut tx = bench.database.begin().await.unwrap();
                let placed = Story::new().placed(&[("A", 1)]);
                follower.handle(&mut tx, &[placed]).await.unwrap();
                tx.commit().await.unwrap();
                Handler::<Fact>::committed(&mut follower);
                until("its key is deleted", async || server.cli(&["KEYS", "*"]).trim().is_empty())
                    .await;
            }
            _ => process.set("A", more).await,
        }
        match case {
            "set, and Redis emptied" => drop(server.cli(&["FLUSHALL"])),
            "set, and Redis restarted" => {
                server.kill();
                server.again();
            }
            _ => {}
        }
        let cache = process.cache.as_ref().unwrap();
        assert!(!cache.fill(token, before, now).await, "{case}");
        assert_eq!(process.get("A").await, process.fresh("A").await, "{case}");
        // It does not block the next fill either.
        process.until_cached("A").await;
        assert_eq!(process.get("A").await, process.fresh("A").await, "{case}");
        server.cli(&["FLUSHALL"]);
    }
}

async fn movements_by_orders_become_visible_shortly_after(dialect: Dialect) {
    let (bench, server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let here = Process::new(&bench, Some(server.redis()), &clock);
    let elsewhere = Process::new(&bench, Some(server.redis()), &clock);
    let mut follower = here.inventory.follower();
    here.set("A", 10).await;
    let mut story = Story::new();
    let facts = [
        story.placed(&[("A", 4)]),
        story.shipped(&[(1, "A", 1)]),
        story.lines_cancelled(&[(1, "A", 1)]),
        story.returned(&[(1, "A", 1)], Disposition::Restock),
        story.cancelled(),
    ];
    let levels = [(10, 4), (9, 3), (9, 2), (10, 2), (10, 0)];
    for (fact, level) in facts.iter().zip(levels) {
        for process in [&here, &elsewhere] {
            process.until_cached("A").await;
        }
        let mut tx = bench.database.begin().await.unwrap();
        follower.handle(&mut tx, std::slice::from_ref(fact)).await.unwrap();
        tx.commit().await.unwrap();
        Handler::<Fact>::committed(&mut follower);
        for process in [&here, &elsewhere] {
            until("it is visible", async || process.get("A").await == level).await;
        }
    }
}

async fn a_stopped_or_restarted_redis_gives_no_wrong_answer(dialect: Dialect) {
    let (bench, mut server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let process = Process::new(&bench, Some(server.redis()), &clock);
    process.set("A", 10).await;
    process.until_cached("A").await;
    for (round, fault) in (11..).zip(["stopped", "killed", "cut off while it changes"]) {
        match fault {
            "stopped" => server.signal("-STOP"),
            _ => server.kill(),
        }
        // It is answered, also before the fault is noticed.
        assert_eq!(process.get("A").await, (round - 1, 0));
        process.set("A", round).await;
        for _ in 0..3 {
            assert_eq!(process.get("A").await, (round, 0));
        }
        match fault {
            "stopped" => server.signal("-CONT"),
            _ => server.again(),
        }
        for _ in 0..20 {
            assert_eq!(process.get("A").await, (round, 0));
        }
        process.until_cached("A").await;
        assert_eq!(process.get("A").await, (round, 0));
    }
}

/// A killed server may load deleted keys from its disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_restored_to_an_older_state_is_not_trusted() {
    let bench = Bench::on(Dialect::Sqlite).await;
    let (mut server, clock) = (Server::start(), clock());
    let process = Process::new(&bench, Some(server.redis()), &clock);
    process.set("A", 10).await;
    // It has the key when it saves.
    until("it is saved with the key", async || {
        process.until_cached("A").await;
        assert_eq!(server.cli(&["SAVE"]).trim(), "OK");
        process.has("A").await
    })
    .await;
    process.set("A", 11).await;
    server.kill();
    server.again();
    assert_ne!(server.cli(&["KEYS", "*"]).trim(), "", "it kept the key");
    for _ in 0..50 {
        assert_eq!(process.get("A").await, (11, 0));
    }
    process.until_cached("A").await;
    assert_eq!(process.get("A").await, (11, 0));
}

async fn every_process_sees_what_another_set(dialect: Dialect) {
    let (bench, server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let one = Process::new(&bench, Some(server.redis()), &clock);
    let other = Process::new(&bench, Some(server.redis()), &clock);
    // One process cannot reach Redis, and one uses none.
    let cut_off = Process::new(&bench, Some(redis(1)), &clock);
    let without = Process::new(&bench, None, &clock);
    one.set("A", 1).await;
    for on_hand in 2..10 {
        other.until_cached("A").await;
        one.set("A", on_hand).await;
        assert_eq!(other.get("A").await, (on_hand, 0));
    }
    for (on_hand, writer) in (20..).zip([&cut_off, &without]) {
        other.until_cached("A").await;
        writer.set("A", on_hand).await;
        assert_eq!(writer.get("A").await, (on_hand, 0));
        assert_eq!(other.fresh("A").await, (on_hand, 0));
        // The clock stands still: without its facts the value would be kept for ever.
        until("it is visible", async || other.get("A").await == (on_hand, 0)).await;
    }
}

/// Two shops on one Redis, with the same prefix and the same products.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installations_that_share_a_redis_do_not_see_each_other() {
    let (one, other) = (Bench::on(Dialect::Sqlite).await, Bench::on(Dialect::Sqlite).await);
    let (server, clock) = (Server::start(), clock());
    let ours = Process::new(&one, Some(server.redis()), &clock);
    let theirs = Process::new(&other, Some(server.redis()), &clock);
    ours.set("A", 1).await;
    theirs.set("A", 2).await;
    for _ in 0..5 {
        until("each keeps its own keys", async || {
            ours.until_cached("A").await;
            theirs.until_cached("A").await;
            ours.has("A").await && theirs.has("A").await
        })
        .await;
        assert_eq!((ours.get("A").await, theirs.get("A").await), ((1, 0), (2, 0)));
    }
}

/// No fact is published about what is reverted when orders are set back.
async fn stock_that_is_set_back_is_visible_immediately(dialect: Dialect) {
    let (bench, server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let process = Process::new(&bench, Some(server.redis()), &clock);
    let mut follower = process.inventory.follower();
    process.set("A", 10).await;
    let mut tx = bench.database.begin().await.unwrap();
    follower.handle(&mut tx, &[Story::new().placed(&[("A", 4)])]).await.unwrap();
    tx.commit().await.unwrap();
    until("it is held", async || process.get("A").await == (10, 4)).await;
    process.until_cached("A").await;
    let mut tx = bench.database.begin().await.unwrap();
    let from: Cursors = [(0, 1)].into_iter().collect();
    let to: Cursors = [(0, 0)].into_iter().collect();
    Handler::<Fact>::set_back(&mut follower, &mut tx, &from, &to).await.unwrap();
    tx.commit().await.unwrap();
    Handler::<Fact>::committed(&mut follower);
    until("it is visible", async || process.get("A").await == (10, 0)).await;
}

#[derive(Clone, Debug)]
enum Action {
    Set(usize, usize, i64),
    Adjust(usize, usize, i64),
    Batch(usize, i64),
    Get(usize, usize),
    Empty,
}

fn action() -> impl Strategy<Value = Action> {
    let (process, product, units) = (0..2_usize, 0..3_usize, 0..50_i64);
    prop_oneof![
        2 => (process.clone(), product.clone(), units.clone())
            .prop_map(|(process, product, units)| Action::Set(process, product, units)),
        2 => (process.clone(), product.clone(), 1..9_i64)
            .prop_map(|(process, product, units)| Action::Adjust(process, product, units)),
        1 => (process.clone(), units).prop_map(|(process, units)| Action::Batch(process, units)),
        8 => (process, product).prop_map(|(process, product)| Action::Get(process, product)),
        1 => Just(Action::Empty),
    ]
}

/// One caller, two processes: each answer includes all changes answered before.
fn callers_read_their_own_writes(dialect: Dialect) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let clock = clock();
    let (bench, server) = (runtime.block_on(Bench::on(dialect)), Server::start());
    let processes = [0, 1].map(|_| Process::new(&bench, Some(server.redis()), &clock));
    let names = ["A", "B", "C"];
    runtime.block_on(async {
        for name in names {
            processes[0].set(name, 0).await;
            for process in &processes {
                process.until_cached(name).await;
            }
        }
    });
    let mut runner = TestRunner::new(Config { cases: 40, ..Config::default() });
    let stories = proptest::collection::vec(action(), 1..40);
    let known = std::cell::Cell::new([0_i64; 3]);
    let cached = std::cell::Cell::new(0);
    let outcome = runner.run(&stories, |story| {
        runtime.block_on(async {
            let mut model = known.get();
            for action in story {
                match action {
                    Action::Set(process, product, units) => {
                        processes[process].set(names[product], units).await;
                        model[product] = units;
                    }
                    Action::Adjust(process, product, delta) => {
                        let request = proto::AdjustStockRequest {
                            sku: names[product].to_owned(),
                            delta,
                            reason: "counted".to_owned(),
                            ..Default::default()
                        };
                        let edge = &processes[process].edge;
                        edge.adjust_stock(Request::new(request)).await.unwrap();
                        model[product] += delta;
                    }
                    Action::Batch(process, on_hand) => {
                        let one = |name: &&str| proto::SetStockRequest {
                            sku: (*name).to_owned(),
                            on_hand,
                            ..Default::default()
                        };
                        let requests = names.iter().map(one).collect();
                        let request = proto::BatchSetStockRequest { requests };
                        let edge = &processes[process].edge;
                        edge.batch_set_stock(Request::new(request)).await.unwrap();
                        model = [on_hand; 3];
                    }
                    Action::Get(process, product) => {
                        let process = &processes[process];
                        let answered = process.get(names[product]).await;
                        prop_assert_eq!(answered, (model[product], 0));
                        cached.set(cached.get() + u32::from(process.has(names[product]).await));
                    }
                    Action::Empty => drop(server.cli(&["FLUSHALL"])),
                }
                known.set(model);
            }
            Ok(())
        })
    });
    outcome.unwrap();
    assert!(cached.get() > 0, "nothing came from the cache");
}

#[test]
fn callers_read_their_own_writes_on_sqlite() {
    callers_read_their_own_writes(Dialect::Sqlite);
}

#[test]
fn callers_read_their_own_writes_on_postgres() {
    callers_read_their_own_writes(Dialect::Postgres);
}

on_both!(two_threads:
    a_cached_value_expires_after_its_time,
    a_late_fill_is_refused,
    movements_by_orders_become_visible_shortly_after,
    a_stopped_or_restarted_redis_gives_no_wrong_answer,
    every_process_sees_what_another_set,
    stock_that_is_set_back_is_visible_immediately,
);
