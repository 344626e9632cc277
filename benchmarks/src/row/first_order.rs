use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use order_actor::grpc::proto::{GetOrderRequest, OrderStatus};
use ordinal::cluster::Process;
use rustix::process::Signal;
use shared_events::contract::OrderId;
use tokio::time::{Instant, sleep};

use super::reaction::sku;
use crate::lab::Lab;
use crate::measure::{Pace, Spread};
use crate::report::{Bound, Row};
use crate::subject::client::connect;
use crate::subject::cluster::fill_shelves;
use crate::subject::one_process::{On, OneProcess};
use crate::work::request;

/// How often is asked.
const ASKED_EVERY: Duration = Duration::from_millis(2);
/// Time limit for the first order.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// Where a cluster listens is sought from this port on; it needs so many above.
const PORTS: (u16, u16) = (21_000, 80);
/// Where its stock listens, above its first port.
const STOCK_ABOVE: u16 = 10;

/// Row 18: from the start of the processes until the first order is confirmed.
///
/// # Errors
/// Where a process does not start or its order is not confirmed.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "18",
        "start to first order confirmed",
        "From the start of the program until an order of two lines that was placed by a call is confirmed; connecting, placing and asking are tried every 2 ms. \
         Anew: without any data, where stock is set first. Again: with that data. The cluster is that of `ordinal cluster up --without-tls` with a Postgres and a Redis of its own; anew it initialises the database server, too.",
    );
    let mut seen = [const { [const { Vec::new() }; 2] }; 3];
    for _ in 0..pace.rounds {
        for (nth, on) in [(0, On::Sqlite), (1, On::Postgres)] {
            let mut one = OneProcess::prepare(lab, on, &[]).await?;
            let since = Instant::now();
            one.run()?;
            seen[nth][0].push(first_order((one.address(), one.address()), since, true).await?);
            one.stop().await;
            let since = Instant::now();
            one.run()?;
            seen[nth][1].push(first_order((one.address(), one.address()), since, false).await?);
            one.end(lab).await?;
        }
        let [anew, again] = cluster(lab).await?;
        seen[2][0].push(anew);
        seen[2][1].push(again);
    }
    let bounds = [(On::Sqlite.name(), 0.25), (On::Postgres.name(), 0.5), ("cluster up", 2.0)];
    for ((who, most), [anew, again]) in bounds.into_iter().zip(&seen) {
        for (case, seconds, bound) in
            [("anew", anew, Bound::Told), ("again", again, Bound::AtMost(most))]
        {
            let spread = Spread::of(seconds.iter().copied());
            row.figure(case, who, "s", spread);
            row.goal(&format!("{who}, {case}: confirmed after"), spread, bound, "s");
        }
    }
    Ok(row)
}

/// Seconds until an order is confirmed.
async fn first_order(
    (address, stock): (SocketAddr, SocketAddr),
    since: Instant,
    anew: bool,
) -> anyhow::Result<f64> {
    let until = since + CONFIRMED_WITHIN;
    let mut orders = loop {
        match connect(address).await {
            Ok(orders) => break orders,
            Err(error) => wait(until, &error).await?,
        }
    };
    // A role may answer before those that it needs do.
    while let Some(error) = set_first(stock, anew).await {
        wait(until, &error).await?;
    }
    let order_id = OrderId::mint();
    while let Err(status) = orders.place_order(request(order_id, [&sku(0), &sku(1)])).await {
        wait(until, &status.into()).await?;
    }
    let asked = GetOrderRequest { order_id: order_id.to_string(), ..Default::default() };
    loop {
        let order = orders.get_order(asked.clone()).await;
        let status = order.as_ref().ok().and_then(|order| order.get_ref().order.as_ref());
        match status.map(|order| order.status()) {
            Some(OrderStatus::Confirmed) => return Ok(since.elapsed().as_secs_f64()),
            Some(OrderStatus::Pending) | None => {
                wait(until, &anyhow::anyhow!("{order:?}")).await?;
            }
            Some(other) => anyhow::bail!("the order is {}", other.as_str_name()),
        }
    }
}

/// Sets stock where there is none; why it was not set.
async fn set_first(stock: SocketAddr, anew: bool) -> Option<anyhow::Error> {
    if anew { fill_shelves(stock, (0..2).map(sku)).await.err() } else { None }
}

async fn wait(until: Instant, error: &anyhow::Error) -> anyhow::Result<()> {
    anyhow::ensure!(Instant::now() < until, "no order is confirmed: {error:#}");
    sleep(ASKED_EVERY).await;
    Ok(())
}

/// Seconds of a cluster: anew, and again.
async fn cluster(lab: &Lab) -> anyhow::Result<[f64; 2]> {
    let mut cluster = up(lab, free_ports()?)?;
    let mut seconds = [0.0; 2];
    for (seconds, anew) in seconds.iter_mut().zip([true, false]) {
        let since = Instant::now();
        cluster.start()?;
        let (orders, stock) = (cluster.address, stock_of(&cluster));
        let confirmed = first_order((orders, stock), since, anew).await;
        // Also where it failed: its servers are its own to end.
        cluster.stop(Signal::TERM, STOPS_WITHIN).await;
        *seconds = confirmed?;
    }
    Ok(seconds)
}

/// `ordinal cluster up` from this port on, in a directory of its own; not started yet.
///
/// # Errors
/// Where there is no directory for it.
pub fn up(lab: &Lab, port: u16) -> anyhow::Result<Process> {
    let folder = lab.directory(&format!("cluster-{}", OrderId::mint()))?.display().to_string();
    let port_text = port.to_string();
    let flags = ["cluster", "up", "--dir", &folder, "--port", &port_text];
    let flags = flags.into_iter().chain(["--without-tls"]).map(str::to_owned);
    let program = lab.ordinal()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(Process::new("cluster", address, &program, flags.collect::<Vec<_>>(), lab.log("cluster")))
}

/// Where stock of a cluster listens.
pub const fn stock_of(cluster: &Process) -> SocketAddr {
    let mut address = cluster.address;
    address.set_port(address.port() + STOCK_ABOVE);
    address
}

/// The first of enough free ports in a row.
///
/// # Errors
/// Where there are none.
pub fn free_ports() -> anyhow::Result<u16> {
    let (first, count) = PORTS;
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut starts = (first..first + 100 * count).step_by(usize::from(count));
    let found = starts.find(|start| (*start..start + count).all(is_free));
    found.context("no free ports for a cluster")
}
