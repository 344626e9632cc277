use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::grpc::proto::execute_commands_request::Command;
use order_actor::grpc::proto::execute_commands_response::Outcome;
use order_actor::grpc::proto::watch_orders_response::Item;
use order_actor::grpc::proto::{self, OrderStatus};
use ordinal::client::lag;
use shared_events::contract::OrderId;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;

use crate::lab::Lab;
use crate::measure::{Latencies, OpenLoop, Pace, Spread, latencies, micros, number};
use crate::report::{Bound, Row};
use crate::subject::client::connect;
use crate::subject::cluster::{Cluster, fill_shelves};
use crate::work::request;

/// Number of products.
pub const PRODUCTS: u64 = 1_000;
/// Orders waiting for stock at most, while the sustained rate is measured.
pub const OPEN_MAX: usize = 2_000;
/// Time limit for followers to catch up after the load.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(120);

/// Row 4: the complete reaction.
///
/// # Errors
/// Where a process fails or an order is not confirmed.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "4",
        "placed → reserved → confirmed → notified, all processes on this machine",
        "Three processes (orders, stock, messages) with a Postgres database each on one server, connected by Redis; the client places orders of \
         two lines over 1,000 products by one stream and watches for their confirmation by another. Lists, deadlines, stock and the message \
         ledger follow at the same time. The steady rates come first, after ten seconds in which the mail of the warm-up is sent. Sustained: 2,000 orders at most wait for stock, so that no queue builds up in front of it.",
    );
    let cluster = warm(lab).await?;
    tokio::time::sleep(Duration::from_secs(pace.pick(10, 2))).await;
    for rate in [500, 1_000] {
        let time = Duration::from_secs(pace.pick(15, 3));
        let at_rate = at_rate(cluster.address(), rate, time).await?;
        let case = format!("{rate} orders/s, open loop");
        for (what, latencies, most) in [
            ("to placed", &at_rate.placed, 10.0),
            ("to confirmed, as the client sees it", &at_rate.confirmed, 60.0),
        ] {
            let at = |quantile| Spread::once(number(latencies.value_at_quantile(quantile)) / 1e3);
            row.figure(&format!("{case}, {what}, p50"), "Ordinal", "ms", at(0.5));
            row.figure(&format!("{case}, {what}, p99"), "Ordinal", "ms", at(0.99));
            let bound = if rate == 1_000 { Bound::AtMost(most) } else { Bound::Told };
            row.goal(&format!("p99 {what} at {rate} orders/s"), at(0.99), bound, "ms");
        }
    }
    let seconds = Duration::from_secs(pace.pick(60, 5));
    let sustained = sustained(cluster.address(), OPEN_MAX, seconds).await?;
    row.figure("sustained", "Ordinal", "orders/s", Spread::once(sustained.rate));
    row.goal(
        "orders/s sustained",
        Spread::once(sustained.rate),
        Bound::AtLeast(4_000.0),
        "orders/s",
    );
    let (lags, took) = caught_up(&cluster).await?;
    row.note(
        "Messages are in the ledger when their follower has caught up; they are sent from there afterwards, in this suite to files in memory, on the same cores.",
    );
    row.note(format!(
        "When the sustained load ended followers were behind by: {}. All had caught up {:.1} s later.",
        lags.iter().map(|(name, lag)| format!("{name} {lag}")).collect::<Vec<_>>().join(", "),
        took.as_secs_f64()
    ));
    row.note(
        "Comparable systems plan for 500 orders/s with p99 below 200 ms to place and 500 ms to reserve, on a cluster.",
    );
    cluster.close(lab).await?;
    Ok(row)
}

/// A cluster with stock for all products, after a warm-up.
///
/// # Errors
/// As [`measure`].
pub async fn warm(lab: &Lab) -> anyhow::Result<Cluster> {
    warmed(Cluster::start(lab).await?).await
}

/// This cluster, after the same.
///
/// # Errors
/// As [`measure`].
pub async fn warmed(cluster: Cluster) -> anyhow::Result<Cluster> {
    fill_shelves(cluster.stock(), (0..PRODUCTS).map(sku)).await?;
    let _ = sustained(cluster.address(), OPEN_MAX, Duration::from_secs(1)).await?;
    caught_up(&cluster).await?;
    Ok(cluster)
}

pub fn sku(number: u64) -> String {
    format!("SKU-{:04}", number % PRODUCTS)
}

/// Orders confirmed one after the other.
pub struct Sustained {
    /// A second, within the time.
    pub rate: f64,
    /// With those confirmed after it.
    pub orders: u64,
}

/// Latencies of orders placed at a steady rate.
pub struct AtRate {
    /// From when it was due to the answer.
    pub placed: Latencies,
    /// From when it was due until the client learned that it is confirmed.
    pub confirmed: Latencies,
}

/// Confirmations, as a watching client receives them.
async fn confirmations(address: SocketAddr) -> anyhow::Result<mpsc::UnboundedReceiver<OrderId>> {
    let mut orders = connect(address).await?;
    let mut changes = orders.watch_orders(proto::WatchOrdersRequest::default()).await?.into_inner();
    // The first message gives the start: nothing after it is missed.
    changes.message().await?.context("the watch ended")?;
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(message)) = changes.message().await {
            let Some(Item::Change(change)) = message.item else { continue };
            let Some(order) = change.order else { continue };
            if order.status() == OrderStatus::Confirmed
                && let Ok(order_id) = order.order_id.parse()
                && sender.send(order_id).is_err()
            {
                return;
            }
        }
    });
    Ok(receiver)
}

fn place(tag: u64, order_id: OrderId) -> proto::ExecuteCommandsRequest {
    let (one, two) = (sku(tag.wrapping_mul(7)), sku(tag.wrapping_mul(13) + 1));
    let command = Some(Command::PlaceOrder(request(order_id, [&one, &two])));
    proto::ExecuteCommandsRequest { tag, brief: true, command }
}

/// As many as possible.
///
/// # Errors
/// As [`measure`].
pub async fn sustained(
    address: SocketAddr,
    open_max: usize,
    time: Duration,
) -> anyhow::Result<Sustained> {
    let mut confirmed = confirmations(address).await?;
    let mut orders = connect(address).await?;
    let (commands, sent) = mpsc::channel(256);
    let mut answers = orders.execute_commands(ReceiverStream::new(sent)).await?.into_inner();
    let placed = tokio::spawn(async move {
        while let Some(answer) = answers.message().await? {
            match answer.outcome {
                Some(Outcome::Done(_)) => {}
                other => anyhow::bail!("{other:?}"),
            }
        }
        anyhow::Ok(())
    });
    let open = Arc::new(Semaphore::new(open_max));
    let (free, end) = (Arc::clone(&open), Instant::now() + time);
    let sending = tokio::spawn(async move {
        let mut tag = 0;
        while Instant::now() < end {
            free.acquire().await?.forget();
            tag += 1;
            commands.send(place(tag, OrderId::mint())).await.context("the stream ended")?;
        }
        anyhow::Ok(tag)
    });
    let (since, mut within, mut all) = (Instant::now(), 0_u64, 0_u64);
    let mut total = None;
    let mut sending = std::pin::pin!(sending);
    while total != Some(all) {
        tokio::select! {
            sent = &mut sending, if total.is_none() => total = Some(sent??),
            received = timeout(CATCH_UP_WITHIN, confirmed.recv()) => {
                received.context("orders are not confirmed")?.context("the watch ended")?;
                open.add_permits(1);
                all += 1;
                within += u64::from(since.elapsed() < time);
            }
        }
    }
    placed.await??;
    Ok(Sustained { rate: number(within) / time.as_secs_f64(), orders: all })
}

/// This many a second, whether or not earlier ones have ended.
///
/// # Errors
/// As [`measure`].
pub async fn at_rate(address: SocketAddr, rate: u64, time: Duration) -> anyhow::Result<AtRate> {
    let mut confirmed = confirmations(address).await?;
    let mut orders = connect(address).await?;
    let (commands, sent) = mpsc::channel(1_024);
    let mut answers = orders.execute_commands(ReceiverStream::new(sent)).await?.into_inner();
    let due_at = Arc::new(std::sync::Mutex::new(HashMap::new()));
    let known = Arc::clone(&due_at);
    let placing = tokio::spawn(async move {
        let mut open_loop = OpenLoop::new(rate, time);
        let mut count = 0;
        while let Some((tag, due)) = open_loop.due().await {
            let order_id = OrderId::mint();
            if let Ok(mut known) = known.lock() {
                known.insert(tag, (due, order_id));
            }
            commands.send(place(tag, order_id)).await.context("the stream ended")?;
            count += 1;
        }
        anyhow::Ok(count)
    });
    let mut result = AtRate { placed: latencies()?, confirmed: latencies()? };
    let mut waiting: HashMap<OrderId, Instant> = HashMap::new();
    let mut early: Vec<(OrderId, Instant)> = Vec::new();
    let (mut placed, mut done, mut ended) = (0_u64, 0_u64, false);
    while !(ended && done == placed) {
        tokio::select! {
            answer = answers.message(), if !ended => match answer? {
                Some(answer) => {
                    let Some(Outcome::Done(_)) = answer.outcome else {
                        anyhow::bail!("{:?}", answer.outcome)
                    };
                    let due = due_at.lock().ok().and_then(|mut due| due.remove(&answer.tag));
                    let (due, order_id) = due.context("an answer to nothing")?;
                    let _ = result.placed.record(micros(due.elapsed()));
                    placed += 1;
                    waiting.insert(order_id, due);
                    // Stock may answer before the placing does.
                    if let Some(at) = early.iter().position(|(early, _)| *early == order_id) {
                        let (_, heard) = early.swap_remove(at);
                        waiting.remove(&order_id);
                        let _ = result.confirmed.record(micros(heard - due));
                        done += 1;
                    }
                }
                None => ended = true,
            },
            received = timeout(CATCH_UP_WITHIN, confirmed.recv()) => {
                let order_id = received.context("orders are not confirmed")?.context("the watch ended")?;
                match waiting.remove(&order_id) {
                    Some(due) => {
                        let _ = result.confirmed.record(micros(due.elapsed()));
                        done += 1;
                    }
                    None => early.push((order_id, Instant::now())),
                }
            }
        }
    }
    anyhow::ensure!(placing.await?? == placed, "not every order was answered");
    Ok(result)
}

/// Waits until every follower has passed the heads of now. Returns how far each was behind, and the
/// time until none was.
///
/// # Errors
/// Where they do not catch up in time.
pub async fn caught_up(cluster: &Cluster) -> anyhow::Result<(BTreeMap<String, u64>, Duration)> {
    let failed = |failure| anyhow::anyhow!("followers: {failure}");
    let since = Instant::now();
    let first = lag::behind(&cluster.client).await.map_err(failed)?;
    let last = lag::caught_up(&cluster.client, CATCH_UP_WITHIN).await.map_err(failed)?;
    anyhow::ensure!(last.values().all(|lag| *lag == 0), "not caught up in time: {last:?}");
    Ok((first, since.elapsed()))
}
