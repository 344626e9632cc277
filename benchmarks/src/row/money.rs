use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::grpc::proto::order_service_client::OrderServiceClient;
use order_actor::grpc::proto::watch_orders_response::Item;
use order_actor::grpc::proto::{
    CapturePolicy, OrderStatus, PaymentPlan, PaymentStatus, PlaceOrderRequest, ShipWhen,
    WatchOrdersRequest,
};
use ordinal::client::{Client, lag};
use payment::grpc::proto::AttemptRequest;
use payment::grpc::proto::payment_service_client::PaymentServiceClient;
use shared_events::contract::OrderId;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::{Channel, Endpoint};

use super::reaction::{PRODUCTS, sku};
use crate::lab::Lab;
use crate::measure::{Latencies, OpenLoop, Pace, Spread, latencies, micros, number};
use crate::report::{Bound, Row};
use crate::subject::client::connect;
use crate::subject::cluster::{fill_shelves, operator};
use crate::subject::one_process::{On, OneProcess};
use crate::work::request;

/// Orders of row P2 that are placed and not paid yet, at most.
const OPEN_MAX: usize = 512;
/// Buyers with a call under way; more would wait for a slot, or be refused.
const CALLS_MAX: usize = 128;
/// Time limit for an order, and for followers after the load.
const PAID_WITHIN: Duration = Duration::from_secs(60);

/// What an order has reached that is waited for.
#[derive(Clone, Copy, Debug)]
enum Until {
    /// Stock and money stand.
    Confirmed,
    /// Its money was taken, too.
    Captured,
}

/// Rows P1 and P2: orders that are paid.
///
/// # Errors
/// Where an engine fails or an order is not paid.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Vec<Row>> {
    let mut steady = Row::new(
        "P1",
        "placed → confirmed with stock and money, at a steady rate",
        "One process with everything and the simulated provider in it, which answers after 20 ms. 500 orders a second of two lines over 1,000 products, \
         whether or not earlier ones have ended: each is placed by one call and paid by another, and a stream watches for its confirmation. Latencies count from when an order was due.",
    );
    let mut sustained = Row::new(
        "P2",
        "orders a second with authorisation and capture each",
        "As P1, the provider answers at once; money is taken when an order is confirmed. An order counts when its money was taken; at most 512 are placed and not paid. \
         Behind: the positions that the follower farthest behind had still to read when the time was over, before open orders were awaited.",
    );
    let time = Duration::from_secs(pace.pick(10, 2));
    let rate = pace.pick(500, 20);
    for on in [On::Postgres, On::Sqlite] {
        let (mut waits, mut rates, mut lags) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..pace.rounds {
            let shop = Shop::open(lab, on, "20ms").await?;
            shop.at_rate(rate, Duration::from_secs(1)).await?;
            waits.push(shop.at_rate(rate, time).await?);
            shop.one.end(lab).await?;
            let shop = Shop::open(lab, on, "0ms").await?;
            shop.sustained(Duration::from_secs(1)).await?;
            let (rate, lag) = shop.sustained(time).await?;
            rates.push(rate);
            lags.push(lag);
            shop.caught_up().await?;
            shop.one.end(lab).await?;
        }
        for (quantile, name) in [(0.5, "p50"), (0.99, "p99")] {
            let at = |run: &Latencies| number(run.value_at_quantile(quantile)) / 1e3;
            let spread = Spread::of(waits.iter().map(at));
            steady.figure(&format!("{rate} orders/s, {name}"), on.name(), "ms", spread);
            let asked = on == On::Postgres && quantile > 0.9;
            let bound = if asked { Bound::AtMost(250.0) } else { Bound::Told };
            steady.goal(&format!("{}: {name} to confirmed", on.name()), spread, bound, "ms");
        }
        let (rates, lags) = (Spread::of(rates), Spread::of(lags));
        sustained.figure("sustained", on.name(), "orders/s", rates);
        sustained.figure("behind when the load ended", on.name(), "positions", lags);
        let asked = on == On::Postgres;
        let bound = if asked { Bound::AtLeast(1_200.0) } else { Bound::Told };
        sustained.goal(&format!("{}: orders/s", on.name()), rates, bound, "orders/s");
        let bound = if asked { Bound::AtMost(2_000.0) } else { Bound::Told };
        sustained.goal(&format!("{}: behind", on.name()), lags, bound, "positions");
    }
    Ok(vec![steady, sustained])
}

/// An engine with a provider, and stock.
struct Shop {
    one: OneProcess,
}

/// Clients of the two services.
#[derive(Clone)]
struct Clients {
    orders: OrderServiceClient<Channel>,
    payments: PaymentServiceClient<Channel>,
}

impl Clients {
    async fn of(address: SocketAddr) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        for _ in 0..4 {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
            let payments = PaymentServiceClient::new(endpoint.connect().await?);
            all.push(Self { orders: connect(address).await?, payments });
        }
        Ok(all)
    }

    /// Places an order and pays it.
    async fn buy(mut self, order_id: OrderId, tag: u64, until: Until) -> anyhow::Result<()> {
        self.orders.place_order(planned(order_id, tag, until)).await?;
        let attempt = AttemptRequest {
            order_id: order_id.to_string(),
            // The ids of orders and attempts are different spaces.
            attempt_id: OrderId::mint().to_string(),
            psp_token: "tok_visa".to_owned(),
            validate_only: false,
        };
        self.payments.attempt(attempt).await?;
        Ok(())
    }
}

fn planned(order_id: OrderId, tag: u64, until: Until) -> PlaceOrderRequest {
    let (one, two) = (sku(tag.wrapping_mul(7)), sku(tag.wrapping_mul(13) + 1));
    let mut plan = PaymentPlan { psp: "play".to_owned(), ..PaymentPlan::default() };
    if let Until::Captured = until {
        plan.set_capture(CapturePolicy::OnConfirm);
        plan.set_ship_when(ShipWhen::Captured);
    }
    PlaceOrderRequest { payment: Some(plan), ..request(order_id, [&one, &two]) }
}

impl Shop {
    async fn open(lab: &Lab, on: On, latency: &str) -> anyhow::Result<Self> {
        let psps = lab.directory("psps")?.join(format!("{latency}.toml"));
        let text = format!(
            "[[psps]]\nname = \"play\"\ndialect = \"simulator\"\nseed = 7\nlatency = \"{latency}\"\n"
        );
        std::fs::write(&psps, text)?;
        let flags = ["--psps".to_owned(), psps.display().to_string()];
        let one = OneProcess::start(lab, on, &flags).await?;
        fill_shelves(one.address(), (0..PRODUCTS).map(sku)).await?;
        Ok(Self { one })
    }

    /// Those that have reached it, as a watching client learns it.
    async fn reached(&self, until: Until) -> anyhow::Result<mpsc::UnboundedReceiver<OrderId>> {
        let mut orders = connect(self.one.address()).await?;
        let watch = orders.watch_orders(WatchOrdersRequest::default()).await?;
        let mut changes = watch.into_inner();
        // The first message gives the start: nothing after it is missed.
        changes.message().await?.context("the watch ended")?;
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(message)) = changes.message().await {
                let Some(Item::Change(change)) = message.item else { continue };
                let Some(order) = change.order else { continue };
                let reached = match until {
                    Until::Confirmed => order.status() == OrderStatus::Confirmed,
                    Until::Captured => order.payment() == PaymentStatus::Captured,
                };
                if reached
                    && let Ok(order_id) = order.order_id.parse()
                    && sender.send(order_id).is_err()
                {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    /// This many a second; from when each was due until it was confirmed.
    async fn at_rate(&self, rate: u64, time: Duration) -> anyhow::Result<Latencies> {
        let clients = Clients::of(self.one.address()).await?;
        let mut reached = self.reached(Until::Confirmed).await?;
        let (said, mut due) = mpsc::unbounded_channel();
        let buying = tokio::spawn(async move {
            let (mut calls, mut open_loop) = (JoinSet::new(), OpenLoop::new(rate, time));
            while let Some((tag, due)) = open_loop.due().await {
                let order_id = OrderId::mint();
                // It is known before it can be confirmed.
                said.send((order_id, due))?;
                let nth = usize::try_from(tag)? % clients.len();
                calls.spawn(clients[nth].clone().buy(order_id, tag, Until::Confirmed));
            }
            while let Some(bought) = calls.join_next().await {
                bought??;
            }
            anyhow::Ok(())
        });
        let (mut all, mut placing) = (latencies()?, true);
        let mut waiting: HashMap<OrderId, Instant> = HashMap::new();
        while placing || !waiting.is_empty() {
            tokio::select! {
                biased;
                one = due.recv(), if placing => match one {
                    Some((order_id, due)) => { waiting.insert(order_id, due); }
                    None => placing = false,
                },
                one = timeout(PAID_WITHIN, reached.recv()) => {
                    let order_id = one.context("orders are not paid")?.context("the watch ended")?;
                    // A later change of the same order says it again.
                    if let Some(due) = waiting.remove(&order_id) {
                        all.record(micros(due.elapsed()))?;
                    }
                }
            }
        }
        buying.await??;
        Ok(all)
    }

    /// As many a second as are paid, and how far the follower that is farthest behind is when the
    /// time is over.
    async fn sustained(&self, time: Duration) -> anyhow::Result<(f64, f64)> {
        let client = operator(self.one.address()).await?;
        let mut lag = None;
        let clients = Clients::of(self.one.address()).await?;
        let mut reached = self.reached(Until::Captured).await?;
        let (open, mut calls) = (std::sync::Arc::new(Semaphore::new(OPEN_MAX)), JoinSet::new());
        let (since, mut tag, mut within) = (Instant::now(), 0_u64, 0_u64);
        let mut waiting: HashMap<OrderId, _> = HashMap::new();
        while lag.is_none() || !waiting.is_empty() {
            let free = std::sync::Arc::clone(&open);
            tokio::select! {
                place = free.acquire_owned(), if since.elapsed() < time && calls.len() < CALLS_MAX => {
                    let order_id = OrderId::mint();
                    waiting.insert(order_id, place?);
                    let nth = usize::try_from(tag)? % clients.len();
                    calls.spawn(clients[nth].clone().buy(order_id, tag, Until::Captured));
                    tag += 1;
                }
                () = sleep_until(since + time), if lag.is_none() => lag = Some(behind(&client).await?),
                Some(bought) = calls.join_next() => bought??,
                one = timeout(PAID_WITHIN, reached.recv()) => {
                    let order_id = one.context("orders are not paid")?.context("the watch ended")?;
                    if waiting.remove(&order_id).is_some() {
                        within += u64::from(since.elapsed() < time);
                    }
                }
            }
        }
        Ok((number(within) / time.as_secs_f64(), lag.unwrap_or_default()))
    }

    /// Waits until no follower is behind.
    async fn caught_up(&self) -> anyhow::Result<()> {
        let client = operator(self.one.address()).await?;
        let last = lag::caught_up(&client, PAID_WITHIN).await;
        let last = last.map_err(|failure| anyhow::anyhow!("followers: {failure}"))?;
        anyhow::ensure!(last.values().all(|lag| *lag == 0), "not caught up in time: {last:?}");
        Ok(())
    }
}

/// How far the follower that is farthest behind is.
async fn behind(client: &Client) -> anyhow::Result<f64> {
    let found = lag::behind(client).await;
    let found = found.map_err(|failure| anyhow::anyhow!("followers: {failure}"))?;
    Ok(found.values().map(|lag| number(*lag)).fold(0.0, f64::max))
}
