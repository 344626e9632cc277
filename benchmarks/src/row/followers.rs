use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use inventory_stream::Inventory;
use order_actor::clock::{Clock, SystemClock};
use order_actor::outbox::OrderFacts;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands as _, aio::MultiplexedConnection};
use shared_events::contract::{Fact, Origin, Timestamp};
use shared_events::stream::redis::{Redis, RedisOptions, RedisSource, Relay};
use shared_events::stream::{
    Cursors, Database, Dialect, FollowStatus, Sink as _, Source, Transactional, everything, follow,
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::growth::{fill_with, history};
use crate::lab::Lab;
use crate::measure::{Pace, Spread, number};
use crate::report::{Bound, Row};
use crate::subject::engine::Engine;
use crate::work::Template;

/// Facts per pipeline, as the relay sends them.
const BATCH: usize = 512;

/// Row 10: followers.
///
/// # Errors
/// Where a contender fails.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let facts = pace.pick(50_000, 5_000);
    let mut row = Row::new(
        "10",
        "followers: journal → Redis → stock, effects committed",
        "The facts of orders placed before are relayed from the journal into the streams, read there by the stock service, and end as \
         reservations with its cursor in Postgres; all at the same time, in one process. The peer is a bare Redis client that adds the \
         same bytes, reads them as a consumer group and acknowledges them, one by one and in pipelines of 512; it has no journal to read and nothing to commit.",
    );
    let (mut ours, mut single, mut batched) = (Vec::new(), Vec::new(), Vec::new());
    let alone = pace.pick(5_000, 1_000);
    for _ in 0..pace.rounds {
        ours.push(through_redis(lab, facts).await?);
        let body = "x".repeat(900);
        single.push(bare(lab, alone, 1, &body).await?);
        batched.push(bare(lab, facts, BATCH, &body).await?);
    }
    row.figure("placed orders", "Ordinal, effects committed", "facts/s", Spread::of(ours.clone()));
    row.figure(
        "entries of 900 bytes",
        "bare client, one by one",
        "facts/s",
        Spread::of(single.clone()),
    );
    row.figure(
        "entries of 900 bytes",
        "bare client, in batches",
        "facts/s",
        Spread::of(batched.clone()),
    );
    let times =
        |other: &[f64]| Spread::of(ours.iter().zip(other).map(|(ours, theirs)| ours / theirs));
    row.goal("against the batched bare client", times(&batched), Bound::AtLeast(1.0), "");
    row.goal("against the bare client one by one", times(&single), Bound::Told, "");
    Ok(row)
}

async fn through_redis(lab: &Lab, facts: u64) -> anyhow::Result<f64> {
    let (orders, stock) = (lab.database("relay").await?, lab.database("stock").await?);
    let engine = Engine::postgres(&orders, 16).await?;
    fill_with(&engine.journal, facts, &Template::new()?, |place| history(&[place])).await?;
    let database = stock_in(&stock).await?;
    let prefix = format!("bench-{}", uuid::Uuid::now_v7());
    let urls = vec![lab.redis_url()];
    let redis = Redis::new(&RedisOptions { urls, cluster: false, authority: None, prefix })?;
    let log: Arc<dyn Source<Fact>> = Arc::new(OrderFacts::new(engine.journal.clone()));
    let heads = log.heads().await?;
    let through = Origin::Orders;

    let stop = CancellationToken::new();
    let since = Instant::now();
    let (relayed, published) = (stop.clone(), Arc::clone(&log));
    // From the first fact, as in a stream that has never been emptied.
    let mut relay = Relay::new(redis.clone(), through, Arc::clone(&log), u64::MAX);
    let relay = tokio::spawn(async move {
        let status = FollowStatus::new("relay");
        follow(&*published, &mut relay, everything(), &status, &relayed).await
    });
    let source = RedisSource::new(redis, through, log, "stock", now());
    until_stock_caught_up(&source, &database, &heads).await?;
    let rate = number(facts) / since.elapsed().as_secs_f64();
    stop.cancel();
    relay.await??;
    database.close().await;
    engine.close().await;
    lab.drop_database(&orders).await?;
    lab.drop_database(&stock).await?;
    Ok(rate)
}

fn now() -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
    Arc::new(|| SystemClock.now())
}

/// Creates the tables of stock in an empty database.
///
/// # Errors
/// Where they cannot be created.
pub async fn stock_in(url: &str) -> anyhow::Result<Database> {
    let migrations = inventory_stream::migrator(Dialect::Postgres);
    Ok(Database::postgres(url, "inventory", &migrations).await?)
}

/// Lets stock follow these facts from the first, until it has caught up.
///
/// # Errors
/// Where it fails, or does not catch up in time.
pub async fn until_stock_caught_up(
    source: &dyn Source<Fact>,
    database: &Database,
    heads: &Cursors,
) -> anyhow::Result<()> {
    let inventory = Inventory::new(database.clone(), now());
    let mut sink = Transactional::new("stock", database.clone(), inventory.follower(), now());
    sink.cursors().await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let (status, stop) = (FollowStatus::new("stock"), CancellationToken::new());
    let caught_up = async {
        while !status.cursors().covers(heads) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    let following = follow(source, &mut sink, everything(), &status, &stop);
    let (followed, ()) =
        timeout(Duration::from_secs(180), async { tokio::join!(following, caught_up) })
            .await
            .context("stock did not catch up in time")?;
    followed?;
    anyhow::ensure!(
        Cursors::load(database, "stock").await?.covers(heads),
        "stock was reported as caught up before its effects were committed"
    );
    Ok(())
}

/// XADD, XREADGROUP and XACK of this many entries; adding and reading at the same time, each on a
/// connection of its own.
async fn bare(lab: &Lab, entries: u64, batch: usize, body: &str) -> anyhow::Result<f64> {
    let client = redis::Client::open(lab.redis_url())?;
    let mut adding: MultiplexedConnection = client.get_multiplexed_async_connection().await?;
    let mut reading = client.get_multiplexed_async_connection().await?;
    let stream = format!("bare-{}", uuid::Uuid::now_v7());
    let _: () = reading.xgroup_create_mkstream(&stream, "group", "0").await?;
    let since = Instant::now();
    let (key, text) = (stream.clone(), body.to_owned());
    let added = tokio::spawn(async move {
        let mut left = usize::try_from(entries)?;
        while left > 0 {
            let count = batch.min(left);
            let mut pipeline = redis::pipe();
            for _ in 0..count {
                pipeline.xadd(&key, "*", &[("data", &text)]).ignore();
            }
            let _: () = pipeline.query_async(&mut adding).await?;
            left -= count;
        }
        anyhow::Ok(())
    });
    let options = StreamReadOptions::default().group("group", "one").count(batch).block(1_000);
    let mut read = 0;
    while read < entries {
        let reply: Option<StreamReadReply> =
            reading.xread_options(&[&stream], &[">"], &options).await?;
        for keys in reply.into_iter().flat_map(|reply| reply.keys) {
            let ids: Vec<&str> = keys.ids.iter().map(|entry| entry.id.as_str()).collect();
            read += u64::try_from(ids.len())?;
            let _: u64 = reading.xack(&stream, "group", &ids).await?;
        }
    }
    let rate = number(entries) / since.elapsed().as_secs_f64();
    added.await??;
    let _: () = reading.del(&stream).await?;
    Ok(rate)
}
