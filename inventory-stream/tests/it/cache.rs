//! The stock cache over real Redis servers: it is used, and never tells less than its caller knows.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use inventory_stream::grpc::StockEdge;
use inventory_stream::grpc::proto;
use inventory_stream::grpc::proto::inventory_service_server::InventoryService as _;
use inventory_stream::{Found, Inventory, StockCache};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared_events::contract::{Disposition, Fact, Timestamp};
use shared_events::stream::redis::{Redis, RedisOptions};
use shared_events::stream::{Cursors, Dialect, Handler};
use sqlx::Executor as _;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Request;

use crate::support::{Bench, Story, sku};

const SOON: Duration = Duration::from_secs(20);
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
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
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

    /// With what it saved, if it saved anything.
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
struct Shelf {
    edge: StockEdge,
    cache: Option<StockCache>,
    inventory: Inventory,
    _runs: DropGuard,
}

impl Shelf {
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
            tokio::spawn(cache.run(stop.clone()));
        }
        Self { edge: inventory.edge(), cache, inventory, _runs: stop.drop_guard() }
    }

    /// On hand and reserved, by a call.
    async fn get(&self, product: &str) -> (i64, i64) {
        let asked = Instant::now();
        let request = proto::GetStockRequest { sku: product.to_owned(), fresh: false };
        let stock = self.edge.get_stock(Request::new(request)).await.unwrap().into_inner();
        let stock = stock.stock.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
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
        matches!(self.cache.as_ref().unwrap().find(&sku(product)).await, Found::Stock(..))
    }

    /// Asks until the cache answers.
    async fn until_cached(&self, product: &str) {
        until("the cache is used", async || {
            self.get(product).await;
            self.has(product).await
        })
        .await;
    }

    /// The right to fill, as soon as it is to be had.
    async fn vacancy(&self, product: &str) -> inventory_stream::Vacancy {
        let patience = Instant::now() + SOON;
        loop {
            match self.cache.as_ref().unwrap().find(&sku(product)).await {
                Found::Absent(vacancy) => return vacancy,
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

/// Changes stock so that nobody hears of it: what is answered afterwards shows where it is from.
async fn behind(bench: &Bench, on_hand: i64) {
    let sql = format!("UPDATE stock SET on_hand = {on_hand}, adjusted = {on_hand}");
    let mut tx = bench.database.begin().await.unwrap();
    (&mut *tx).execute(sql.as_str()).await.unwrap();
    tx.commit().await.unwrap();
}

fn clock() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(1_800_000_000_000_000))
}

async fn a_value_is_kept_for_its_time_and_no_longer(dialect: Dialect) {
    let (bench, server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let shelf = Shelf::new(&bench, Some(server.redis()), &clock);
    shelf.set("A", 10).await;
    shelf.until_cached("A").await;
    behind(&bench, 3).await;
    assert_eq!(shelf.get("A").await, (10, 0));
    assert_eq!(shelf.fresh("A").await, (3, 0));
    clock.fetch_add(299_000_000, Ordering::SeqCst);
    assert_eq!(shelf.get("A").await, (10, 0));
    clock.fetch_add(1_000_000, Ordering::SeqCst);
    assert_eq!(shelf.get("A").await, (3, 0));
    // Redis lets go of it by itself.
    shelf.until_cached("A").await;
    let keys = server.cli(&["KEYS", "*"]);
    let [key] = keys.lines().collect::<Vec<_>>()[..] else { panic!("{keys}") };
    let left: u64 = server.cli(&["PTTL", key]).trim().parse().unwrap();
    assert!((1..=300_000).contains(&left), "{left}");
}

/// Whatever comes between a reader's look at the database and its fill: the fill loses.
async fn a_fill_that_comes_late_is_refused(dialect: Dialect) {
    let (bench, mut server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let shelf = Shelf::new(&bench, Some(server.redis()), &clock);
    let mut follower = shelf.inventory.follower();
    shelf.set("A", 10).await;
    let now = Timestamp::from_micros(clock.load(Ordering::SeqCst));
    let before = inventory_stream::store::get(&bench.database, &sku("A")).await.unwrap();
    let before = before.unwrap().level;
    for case in ["set", "held for an order", "set, and Redis emptied", "set, and Redis anew"] {
        let vacancy = shelf.vacancy("A").await;
        let more = shelf.fresh("A").await.0 + 1;
        match case {
            "held for an order" => {
                let mut tx = bench.database.begin().await.unwrap();
                let placed = Story::new().placed(&[("A", 1)]);
                follower.handle(&mut tx, &[placed]).await.unwrap();
                tx.commit().await.unwrap();
                Handler::<Fact>::committed(&mut follower);
                until("it is dropped", async || server.cli(&["KEYS", "*"]).trim().is_empty()).await;
            }
            _ => shelf.set("A", more).await,
        }
        match case {
            "set, and Redis emptied" => drop(server.cli(&["FLUSHALL"])),
            "set, and Redis anew" => {
                server.kill();
                server.again();
            }
            _ => {}
        }
        let cache = shelf.cache.as_ref().unwrap();
        assert!(!cache.fill(vacancy, before, now).await, "{case}");
        assert_eq!(shelf.get("A").await, shelf.fresh("A").await, "{case}");
        // Nor does it stand in the way of the next.
        shelf.until_cached("A").await;
        assert_eq!(shelf.get("A").await, shelf.fresh("A").await, "{case}");
        server.cli(&["FLUSHALL"]);
    }
}

async fn what_orders_move_is_seen_a_moment_later(dialect: Dialect) {
    let (bench, server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let here = Shelf::new(&bench, Some(server.redis()), &clock);
    let elsewhere = Shelf::new(&bench, Some(server.redis()), &clock);
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
        for shelf in [&here, &elsewhere] {
            shelf.until_cached("A").await;
        }
        let mut tx = bench.database.begin().await.unwrap();
        follower.handle(&mut tx, std::slice::from_ref(fact)).await.unwrap();
        tx.commit().await.unwrap();
        Handler::<Fact>::committed(&mut follower);
        for shelf in [&here, &elsewhere] {
            until("it is seen", async || shelf.get("A").await == level).await;
        }
    }
}

async fn a_redis_that_is_away_slow_or_back_harms_nobody(dialect: Dialect) {
    let (bench, mut server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let shelf = Shelf::new(&bench, Some(server.redis()), &clock);
    shelf.set("A", 10).await;
    shelf.until_cached("A").await;
    for (round, away) in (11..).zip(["stopped", "killed", "cut off while it changes"]) {
        match away {
            "stopped" => server.signal("-STOP"),
            _ => server.kill(),
        }
        // Bounded by `get`, also where nobody has noticed yet.
        assert_eq!(shelf.get("A").await, (round - 1, 0));
        shelf.set("A", round).await;
        for _ in 0..3 {
            assert_eq!(shelf.get("A").await, (round, 0));
        }
        match away {
            "stopped" => server.signal("-CONT"),
            _ => server.again(),
        }
        for _ in 0..20 {
            assert_eq!(shelf.get("A").await, (round, 0));
        }
        shelf.until_cached("A").await;
        assert_eq!(shelf.get("A").await, (round, 0));
    }
}

/// A server that was killed may come back from its disk with what had been dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_remembers_more_than_it_should_is_not_believed() {
    let bench = Bench::on(Dialect::Sqlite).await;
    let (mut server, clock) = (Server::start(), clock());
    let shelf = Shelf::new(&bench, Some(server.redis()), &clock);
    shelf.set("A", 10).await;
    shelf.until_cached("A").await;
    assert_eq!(server.cli(&["SAVE"]).trim(), "OK");
    shelf.set("A", 11).await;
    server.kill();
    server.again();
    assert_ne!(server.cli(&["KEYS", "*"]).trim(), "", "it remembers");
    for _ in 0..50 {
        assert_eq!(shelf.get("A").await, (11, 0));
    }
    shelf.until_cached("A").await;
    assert_eq!(shelf.get("A").await, (11, 0));
}

async fn every_process_sees_what_another_was_told(dialect: Dialect) {
    let (bench, server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let one = Shelf::new(&bench, Some(server.redis()), &clock);
    let other = Shelf::new(&bench, Some(server.redis()), &clock);
    // One that finds no Redis, and one that wants none.
    let cut_off = Shelf::new(&bench, Some(redis(1)), &clock);
    let without = Shelf::new(&bench, None, &clock);
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
        let told = Instant::now();
        until("it is seen", async || other.get("A").await == (on_hand, 0)).await;
        assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    }
}

/// Two shops on one Redis, with the same prefix and the same products.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installations_that_share_a_redis_do_not_see_each_other() {
    let (one, other) = (Bench::on(Dialect::Sqlite).await, Bench::on(Dialect::Sqlite).await);
    let (server, clock) = (Server::start(), clock());
    let ours = Shelf::new(&one, Some(server.redis()), &clock);
    let theirs = Shelf::new(&other, Some(server.redis()), &clock);
    ours.set("A", 1).await;
    theirs.set("A", 2).await;
    for _ in 0..5 {
        ours.until_cached("A").await;
        theirs.until_cached("A").await;
        assert!(ours.has("A").await, "they do not take each other's places");
        assert_eq!((ours.get("A").await, theirs.get("A").await), ((1, 0), (2, 0)));
    }
}

/// What is undone, because orders were set back, was told by no fact.
async fn stock_that_is_set_back_is_seen_at_once(dialect: Dialect) {
    let (bench, server, clock) = (Bench::on(dialect).await, Server::start(), clock());
    let shelf = Shelf::new(&bench, Some(server.redis()), &clock);
    let mut follower = shelf.inventory.follower();
    shelf.set("A", 10).await;
    let mut tx = bench.database.begin().await.unwrap();
    follower.handle(&mut tx, &[Story::new().placed(&[("A", 4)])]).await.unwrap();
    tx.commit().await.unwrap();
    until("it is held", async || shelf.get("A").await == (10, 4)).await;
    shelf.until_cached("A").await;
    let mut tx = bench.database.begin().await.unwrap();
    let from: Cursors = [(0, 1)].into_iter().collect();
    let to: Cursors = [(0, 0)].into_iter().collect();
    Handler::<Fact>::set_back(&mut follower, &mut tx, &from, &to).await.unwrap();
    tx.commit().await.unwrap();
    Handler::<Fact>::committed(&mut follower);
    until("it is seen", async || shelf.get("A").await == (10, 0)).await;
}

#[derive(Clone, Debug)]
enum Said {
    Set(usize, usize, i64),
    Adjust(usize, usize, i64),
    Batch(usize, i64),
    Get(usize, usize),
    Empty,
}

fn said() -> impl Strategy<Value = Said> {
    let (process, product, units) = (0..2_usize, 0..3_usize, 0..50_i64);
    prop_oneof![
        2 => (process.clone(), product.clone(), units.clone())
            .prop_map(|(process, product, units)| Said::Set(process, product, units)),
        2 => (process.clone(), product.clone(), 1..9_i64)
            .prop_map(|(process, product, units)| Said::Adjust(process, product, units)),
        1 => (process.clone(), units).prop_map(|(process, units)| Said::Batch(process, units)),
        8 => (process, product).prop_map(|(process, product)| Said::Get(process, product)),
        1 => Just(Said::Empty),
    ]
}

/// One caller, two processes: whatever was answered is seen by whoever is asked next.
fn own_writes_are_read(dialect: Dialect) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let clock = clock();
    let (bench, server) = (runtime.block_on(Bench::on(dialect)), Server::start());
    let shelves = [0, 1].map(|_| Shelf::new(&bench, Some(server.redis()), &clock));
    let names = ["A", "B", "C"];
    runtime.block_on(async {
        for name in names {
            shelves[0].set(name, 0).await;
            for shelf in &shelves {
                shelf.until_cached(name).await;
            }
        }
    });
    let mut runner = TestRunner::new(Config { cases: 40, ..Config::default() });
    let stories = proptest::collection::vec(said(), 1..40);
    let known = std::cell::Cell::new([0_i64; 3]);
    let cached = std::cell::Cell::new(0);
    let outcome = runner.run(&stories, |story| {
        runtime.block_on(async {
            let mut model = known.get();
            for said in story {
                match said {
                    Said::Set(process, product, units) => {
                        shelves[process].set(names[product], units).await;
                        model[product] = units;
                    }
                    Said::Adjust(process, product, delta) => {
                        let request = proto::AdjustStockRequest {
                            sku: names[product].to_owned(),
                            delta,
                            reason: "counted".to_owned(),
                            ..Default::default()
                        };
                        let edge = &shelves[process].edge;
                        edge.adjust_stock(Request::new(request)).await.unwrap();
                        model[product] += delta;
                    }
                    Said::Batch(process, on_hand) => {
                        let one = |name: &&str| proto::SetStockRequest {
                            sku: (*name).to_owned(),
                            on_hand,
                            ..Default::default()
                        };
                        let requests = names.iter().map(one).collect();
                        let request = proto::BatchSetStockRequest { requests };
                        let edge = &shelves[process].edge;
                        edge.batch_set_stock(Request::new(request)).await.unwrap();
                        model = [on_hand; 3];
                    }
                    Said::Get(process, product) => {
                        let shelf = &shelves[process];
                        let told = shelf.get(names[product]).await;
                        prop_assert_eq!(told, (model[product], 0));
                        cached.set(cached.get() + u32::from(shelf.has(names[product]).await));
                    }
                    Said::Empty => drop(server.cli(&["FLUSHALL"])),
                }
                known.set(model);
            }
            Ok(())
        })
    });
    outcome.unwrap();
    assert!(cached.get() > 0, "nothing came from the cache");
}

macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(shared_events::stream::Dialect::Sqlite).await;
            })*

            #[test]
            fn own_writes_are_read() {
                super::own_writes_are_read(shared_events::stream::Dialect::Sqlite);
            }
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(shared_events::stream::Dialect::Postgres).await;
            })*

            #[test]
            fn own_writes_are_read() {
                super::own_writes_are_read(shared_events::stream::Dialect::Postgres);
            }
        }
    };
}

on_both!(
    a_value_is_kept_for_its_time_and_no_longer,
    a_fill_that_comes_late_is_refused,
    what_orders_move_is_seen_a_moment_later,
    a_redis_that_is_away_slow_or_back_harms_nobody,
    every_process_sees_what_another_was_told,
    stock_that_is_set_back_is_seen_at_once,
);
