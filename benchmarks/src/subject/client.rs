use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use order_actor::grpc::proto;
use order_actor::grpc::proto::execute_commands_request::Command;
use order_actor::grpc::proto::execute_commands_response::Outcome;
use order_actor::grpc::proto::order_service_client::OrderServiceClient;
use rustls::pki_types::ServerName;
use shared_events::contract::OrderId;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::measure::{Latencies, OpenLoop, Pace, Run, Tally, closed, latencies, micros};
use crate::work::request;

/// A connection takes 128 calls at a time.
const CALLS_PER_CONNECTION: usize = 64;
const SKUS: [&str; 2] = ["85123A", "22423"];

/// A separate connection.
///
/// # Errors
/// Where nobody listens.
pub async fn connect(address: SocketAddr) -> anyhow::Result<OrderServiceClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    Ok(OrderServiceClient::new(endpoint.connect().await?))
}

/// A separate connection by TLS.
///
/// # Errors
/// Where nobody listens, or is trusted.
async fn connect_safely(
    address: SocketAddr,
    tls: &Arc<rustls::ClientConfig>,
) -> anyhow::Result<OrderServiceClient<Channel>> {
    let mut tls = rustls::ClientConfig::clone(tls);
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsConnector::from(Arc::new(tls));
    let connector = tower::service_fn(move |_| {
        let tls = tls.clone();
        async move {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            let host = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(TokioIo::new(tls.connect(host, socket).await?))
        }
    });
    let endpoint = Endpoint::from_shared(format!("http://localhost:{}", address.port()))?;
    Ok(OrderServiceClient::new(endpoint.connect_with_connector(connector).await?))
}

/// Cancellation by an operator.
fn cancel(order_id: OrderId) -> proto::CancelOrderRequest {
    proto::CancelOrderRequest { order_id: order_id.to_string(), ..Default::default() }
}

/// This many callers, each placing an order by a call and cancelling it by another.
///
/// # Errors
/// A refusal.
pub async fn by_calls(pace: Pace, address: SocketAddr, callers: usize) -> anyhow::Result<Run> {
    let mut clients = Vec::new();
    for _ in 0..callers.div_ceil(CALLS_PER_CONNECTION) {
        clients.push(connect(address).await?);
    }
    through(pace, clients, callers).await
}

/// The same by TLS.
///
/// # Errors
/// A refusal.
pub async fn by_safe_calls(
    pace: Pace,
    (address, tls): (SocketAddr, &Arc<rustls::ClientConfig>),
    callers: usize,
) -> anyhow::Result<Run> {
    let mut clients = Vec::new();
    for _ in 0..callers.div_ceil(CALLS_PER_CONNECTION) {
        clients.push(connect_safely(address, tls).await?);
    }
    through(pace, clients, callers).await
}

async fn through(
    pace: Pace,
    clients: Vec<OrderServiceClient<Channel>>,
    callers: usize,
) -> anyhow::Result<Run> {
    closed(pace, callers, move |caller, mut tally: Tally| {
        let mut orders = clients[caller % clients.len()].clone();
        async move {
            while tally.continues() {
                let order_id = OrderId::mint();
                let since = Instant::now();
                orders.place_order(request(order_id, SKUS)).await?;
                tally.done(since);
                let since = Instant::now();
                orders.cancel_order(cancel(order_id)).await?;
                tally.done(since);
            }
            Ok(tally)
        }
    })
    .await
}

/// Places this many orders a second by calls, whether or not earlier ones have ended. Latencies count
/// from when an order was due.
///
/// # Errors
/// A refusal.
pub async fn placed_at_rate(
    address: SocketAddr,
    rate: u64,
    time: Duration,
) -> anyhow::Result<Latencies> {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(connect(address).await?);
    }
    let mut placed = JoinSet::new();
    let mut open_loop = OpenLoop::new(rate, time);
    let mut all = latencies()?;
    let mut clients = clients.iter().cycle();
    while let Some((_, due)) = open_loop.due().await {
        while let Some(took) = placed.try_join_next() {
            all.record(micros(took??))?;
        }
        let mut orders = clients.next().context("no client")?.clone();
        placed.spawn(async move {
            orders.place_order(request(OrderId::mint(), SKUS)).await?;
            anyhow::Ok(due.elapsed())
        });
    }
    while let Some(took) = placed.join_next().await {
        all.record(micros(took??))?;
    }
    Ok(all)
}

/// One stream with this many commands under way: each order is placed and then cancelled.
///
/// # Errors
/// A refusal, or the end of the stream.
pub async fn by_stream(pace: Pace, address: SocketAddr, in_flight: usize) -> anyhow::Result<Run> {
    let orders = connect(address).await?;
    closed(pace, 1, move |_, tally| stream(orders.clone(), tally, in_flight)).await
}

async fn stream(
    mut orders: OrderServiceClient<Channel>,
    mut tally: Tally,
    in_flight: usize,
) -> anyhow::Result<Tally> {
    let (commands, sent) = mpsc::channel(in_flight);
    let mut answers = orders.execute_commands(ReceiverStream::new(sent)).await?.into_inner();
    let mut under_way: HashMap<u64, (Instant, OrderId, bool)> = HashMap::new();
    let mut tag = 0;
    let send = async |under_way: &mut HashMap<_, _>, tag: &mut u64, cancelled: Option<OrderId>| {
        let order_id = cancelled.unwrap_or_else(OrderId::mint);
        let command = match cancelled {
            Some(order_id) => Command::CancelOrder(cancel(order_id)),
            None => Command::PlaceOrder(request(order_id, SKUS)),
        };
        *tag += 1;
        under_way.insert(*tag, (Instant::now(), order_id, cancelled.is_none()));
        let command =
            proto::ExecuteCommandsRequest { tag: *tag, brief: false, command: Some(command) };
        commands.send(command).await.context("the stream ended")
    };
    for _ in 0..in_flight {
        send(&mut under_way, &mut tag, None).await?;
    }
    while let Some(answer) = answers.message().await? {
        let (since, order_id, placed) =
            under_way.remove(&answer.tag).context("an answer to nothing")?;
        match answer.outcome {
            Some(Outcome::Done(_)) => tally.done(since),
            other => anyhow::bail!("{other:?}"),
        }
        if tally.continues() {
            send(&mut under_way, &mut tag, placed.then_some(order_id)).await?;
        } else if under_way.is_empty() {
            break;
        }
    }
    Ok(tally)
}
