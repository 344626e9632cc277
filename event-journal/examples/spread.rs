//! How many events a journal appends a second when its shards are spread over 1, 2 and 4 databases
//! (as many as there are), side by side in one run.
//!
//! `cargo run --profile dist -p event-journal --example spread -- URL…`, or `scripts/spread`, which
//! starts servers of its own. URLs of different servers, so that each has a WAL of its own. Schemas
//! are created and dropped.

#![expect(clippy::print_stdout, reason = "this is a command line")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use event_journal::{Journal, NewEvent, Options, ShardMap, StreamId, open_spread};
use shared_events::chance::Chance;
use shared_events::contract::Timestamp;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const SHARDS: u16 = 16;
/// Concurrent callers per database: one, which shares its commits with no other, and many.
const CALLERS: [u64; 3] = [1, 16, 256];
/// Rounds per number of databases, one after the other, so that other load on the machine affects
/// all alike.
const ROUNDS: u32 = 3;
const WARM_UP: Duration = Duration::from_secs(1);
const LASTS: Duration = Duration::from_secs(4);
/// About the size of an order with three lines.
const PAYLOAD_LEN: usize = 600;

fn now() -> Timestamp {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    anyhow::ensure!(!urls.is_empty(), "name a Postgres database, or several, by their URLs");
    let counts: Vec<usize> = [1, 2, 4].into_iter().filter(|count| *count <= urls.len()).collect();
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores for everything; {ROUNDS} rounds of {LASTS:?}; events/s, median");
    println!("callers/database  databases  together  each  together against one");
    for callers in CALLERS {
        let mut seen: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for count in &counts {
                let rate = round(urls.get(..*count).context("too few")?, callers).await?;
                seen.entry(*count).or_default().push(rate);
            }
        }
        let mut one = None;
        for (count, mut rates) in seen {
            rates.sort_unstable();
            let together = rates.get(rates.len() / 2).copied().unwrap_or(0);
            let one = *one.get_or_insert(together);
            let each = together / u64::try_from(count)?;
            let percent = together * 100 / one.max(1);
            println!("{callers:>16}  {count:>9}  {together:>8}  {each:>4}  {percent} %");
        }
    }
    Ok(())
}

/// A fresh journal over these databases under load: events appended a second.
async fn round(urls: &[String], callers: u64) -> anyhow::Result<u64> {
    let schema = format!("spread_{}", Chance::system().uuid().simple());
    let count = u16::try_from(urls.len())?;
    let entries: Vec<String> = (0..count)
        .zip(urls)
        .map(|(nth, url)| {
            let (first, next) = (SHARDS * nth / count, SHARDS * (nth + 1) / count);
            format!("{first}-{}={url}", next - 1)
        })
        .collect();
    let map = ShardMap::parse(entries.iter().map(String::as_str)).map_err(anyhow::Error::msg)?;
    let journal = open_spread(&map, &schema, Options::new(Arc::new(now))).await?;
    let (stop, appended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    // Each caller stays with one database, so that all have the same load whatever the others do.
    for database in 0..count {
        for _ in 0..callers {
            let shards = SHARDS * database / count..SHARDS * (database + 1) / count;
            tasks.spawn(call(journal.clone(), shards, Arc::clone(&stop), Arc::clone(&appended)));
        }
    }
    sleep(WARM_UP).await;
    let (began, before) = (Instant::now(), appended.load(Ordering::Relaxed));
    sleep(LASTS).await;
    let done = appended.load(Ordering::Relaxed) - before;
    let millis = u64::try_from(began.elapsed().as_millis())?;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    journal.close().await;
    for url in urls {
        let mut connection = PgConnection::connect(url).await?;
        connection.execute(format!("DROP SCHEMA {schema} CASCADE").as_str()).await?;
        connection.close().await?;
    }
    Ok(done * 1_000 / millis.max(1))
}

/// Places a stream, confirms it and fulfils it, one after the other, in these shards.
async fn call(
    journal: Journal,
    shards: std::ops::Range<u16>,
    stop: Arc<AtomicBool>,
    appended: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let event = |kind: &str, bytes: usize| {
        let payload = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes));
        NewEvent::from_json(kind, "1", payload, r#"{"by":"spread"}"#)
    };
    while !stop.load(Ordering::Relaxed) {
        let mut ids = std::iter::repeat_with(|| StreamId::from(Chance::system().uuid()));
        let Some(id) = ids.find(|id| shards.contains(&journal.shard_of(*id))) else { continue };
        let steps = [("OrderPlaced", PAYLOAD_LEN), ("OrderConfirmed", 60), ("OrderFulfilled", 120)];
        for (version, (kind, bytes)) in (0..).zip(steps) {
            journal.append(id, version, vec![event(kind, bytes)?]).await?;
            appended.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
