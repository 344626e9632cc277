use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use order_actor::grpc::proto::order_service_client::OrderServiceClient;
use shared_events::contract::OrderId;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request};
use uuid::Uuid;

use crate::lab::{self, Lab};
use crate::measure::{Latencies, OpenLoop, Pace, Spread, latencies, micros, number};
use crate::report::{Bound, Row};
use crate::setting::resident_bytes_of;
use crate::subject::client::connect;
use crate::work::request;

/// Customers beside the one that floods.
const OTHERS: usize = 8;
/// How long each call may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Connections of a load; each takes 128 calls at a time.
const CONNECTIONS: usize = 16;
/// Calls without an answer that a load has at most.
const UNDER_WAY_MAX: u64 = 20_000;

type Orders = OrderServiceClient<Channel>;

/// Row 15: what one caller, or too many calls, cost.
///
/// # Errors
/// Where the engine ends.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "15",
        "overload and fairness",
        "The engine whole in one process on SQLite, with tokens, and its clients in another, on the same cores. Announced: 3 connections without a token \
         announce 100 messages of 4 MiB each to health and send 16 bytes of each. Goodput: orders placed within their deadline of 5 s, a second, by a service that \
         begins them at 2, 5 and 10 times the peak, whatever becomes of them; the peak is that of 256 callers that wait. Fairness: 8 customers place orders at \
         a steady rate, together 40 of 100 of the peak, alone and beside one that keeps 1,000 calls under way and asks again at once.",
    );
    let directory = lab.directory("overload")?;
    let tokens = directory.join("tokens.toml");
    std::fs::write(&tokens, token_file())?;
    let (data, tokens) = (directory.join("data"), tokens.display().to_string());
    let data = data.display().to_string();
    let arguments = ["ordinal", "serve", "--data", &data, "--tokens", &tokens, "--without-stock"];
    let program = std::env::current_exe().context("where is this program?")?;
    let process = lab::start(lab, "overload", &program, &arguments).await?;
    let (address, id) = (process.address, process.id().unwrap_or_default());

    let before = resident_bytes_of(id);
    let most = announce(address, id).await?;
    let grown = Spread::once((most - before).max(0.0) / 1e6);
    row.figure("300 messages of 4 MiB announced", "Ordinal", "MB more", grown);
    row.goal("memory under announced messages", grown, Bound::AtMost(100.0), "MB");

    let seconds = Duration::from_secs(pace.pick(15, 3));
    let peak = peak(address, seconds).await?;
    row.figure("peak, 256 callers", "Ordinal", "orders/s", Spread::once(peak));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    let whole = peak as u64;
    for times in [2, 5, 10] {
        let load = load(clients(address).await?, service(), whole * times, seconds).await?;
        let level = until_level(address).await?;
        let case = format!("{times} times the peak");
        let goodput = load.rate(seconds);
        row.figure(&case, "Ordinal", "orders/s within their deadline", Spread::once(goodput));
        row.figure(
            &case,
            "Ordinal",
            "refused/s",
            Spread::once(number(load.refused) / seconds.as_secs_f64()),
        );
        row.figure(&case, "Ordinal", "MB resident", Spread::once(resident_bytes_of(id) / 1e6));
        let of_peak = Spread::once(goodput / peak.max(1.0));
        row.goal(&format!("goodput at {case}, of the peak"), of_peak, Bound::AtLeast(0.9), "");
        row.goal(
            &format!("level again after {case}"),
            Spread::once(level),
            Bound::AtMost(5.0),
            "s",
        );
    }

    let each = (whole * 2 / 5 / number_of(OTHERS)).max(1);
    let alone = others(address, each, seconds).await?;
    let flood = Flood::start(address).await?;
    let beside = others(address, each, seconds).await?;
    let flooded = flood.stop().await;
    for (case, load) in [("others alone", &alone), ("others beside a flood", &beside)] {
        let p99 = number(load.latencies.value_at_quantile(0.99)) / 1e3;
        row.figure(case, "Ordinal", "orders/s", Spread::once(load.rate(seconds)));
        row.figure(case, "Ordinal", "ms at p99", Spread::once(p99));
    }
    let kept = beside.rate(seconds) / alone.rate(seconds).max(1.0);
    row.goal(
        "others beside a flood, of what they have alone",
        Spread::once(kept),
        Bound::AtLeast(0.8),
        "",
    );
    let errors = Spread::once(number(beside.refused + beside.failed));
    row.goal("errors of others beside a flood", errors, Bound::AtMost(0.0), "errors");
    row.note(format!(
        "The customer that floods had {flooded} answers meanwhile, refusals among them."
    ));
    lab::end(process).await;
    Ok(row)
}

fn number_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn customer(index: usize) -> String {
    Uuid::from_u128(0xc0 + index as u128).to_string()
}

fn token(name: &str) -> String {
    format!("{name}-{}", "x".repeat(32))
}

fn service() -> Caller {
    Caller { token: token("service"), customer: customer(0) }
}

fn token_file() -> String {
    let line = |token: &str, role: &str, subject: &str| {
        format!("[[tokens]]\ntoken = \"{token}\"\nrole = \"{role}\"\nsubject = \"{subject}\"\n")
    };
    let customers = (0..=OTHERS).map(|index| {
        let customer = customer(index);
        line(&token(&customer), "CUSTOMER", &customer)
    });
    customers.chain([line(&token("service"), "SERVICE", "shop")]).collect()
}

/// Who places orders, and whose they are.
#[derive(Clone)]
struct Caller {
    token: String,
    customer: String,
}

impl Caller {
    fn customer(index: usize) -> Self {
        let customer = customer(index);
        Self { token: token(&customer), customer }
    }

    /// Places an order; the code with which it was refused.
    async fn place(&self, orders: &mut Orders) -> Result<(), Code> {
        let mut order = request(OrderId::mint(), ["85123A", "22423"]);
        order.customer_id.clone_from(&self.customer);
        let mut request = Request::new(order);
        request.set_timeout(DEADLINE);
        let bearer = format!("Bearer {}", self.token).parse().map_err(|_| Code::Internal)?;
        request.metadata_mut().insert("authorization", bearer);
        match timeout(DEADLINE, orders.place_order(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(status.code()),
            Err(_) => Err(Code::DeadlineExceeded),
        }
    }
}

async fn clients(address: SocketAddr) -> anyhow::Result<Vec<Orders>> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(connect(address).await?);
    }
    Ok(clients)
}

/// What came of a load.
struct Load {
    done: u64,
    refused: u64,
    failed: u64,
    latencies: Latencies,
}

impl Load {
    fn rate(&self, time: Duration) -> f64 {
        number(self.done) / time.as_secs_f64()
    }
}

/// Begins so many calls a second, whatever becomes of those before.
async fn load(
    clients: Vec<Orders>,
    caller: Caller,
    rate: u64,
    time: Duration,
) -> anyhow::Result<Load> {
    let mut due = OpenLoop::new(rate, time);
    let under_way = Arc::new(AtomicU64::new(0));
    let mut load = Load { done: 0, refused: 0, failed: 0, latencies: latencies()? };
    let mut calls = JoinSet::new();
    let count = |load: &mut Load, (answer, took): (Result<(), Code>, Duration)| match answer {
        Ok(()) => {
            load.done += 1;
            // The histogram grows with what it is told.
            let _ = load.latencies.record(micros(took));
        }
        Err(Code::ResourceExhausted) => load.refused += 1,
        Err(_) => load.failed += 1,
    };
    while let Some((index, at)) = due.due().await {
        while let Some(ended) = calls.try_join_next() {
            count(&mut load, ended?);
        }
        if under_way.load(Ordering::Relaxed) >= UNDER_WAY_MAX {
            load.failed += 1;
            continue;
        }
        under_way.fetch_add(1, Ordering::Relaxed);
        let which = usize::try_from(index).unwrap_or_default() % clients.len();
        let (mut orders, caller, under_way) =
            (clients[which].clone(), caller.clone(), Arc::clone(&under_way));
        calls.spawn(async move {
            let answer = caller.place(&mut orders).await;
            under_way.fetch_sub(1, Ordering::Relaxed);
            (answer, at.elapsed())
        });
    }
    while let Some(ended) = calls.join_next().await {
        count(&mut load, ended?);
    }
    Ok(load)
}

/// What 256 callers place a second, each of which waits for its answers.
async fn peak(address: SocketAddr, time: Duration) -> anyhow::Result<f64> {
    let clients = clients(address).await?;
    let end = Instant::now() + time;
    let mut callers = JoinSet::new();
    for index in 0..256 {
        let mut orders = clients[index % clients.len()].clone();
        callers.spawn(async move {
            let mut done = 0_u64;
            while Instant::now() < end {
                done += u64::from(service().place(&mut orders).await.is_ok());
            }
            done
        });
    }
    let done: u64 = callers.join_all().await.into_iter().sum();
    Ok(number(done) / time.as_secs_f64())
}

/// Seconds until a call is answered as if nothing had been.
async fn until_level(address: SocketAddr) -> anyhow::Result<f64> {
    let mut orders = connect(address).await?;
    let since = Instant::now();
    loop {
        let asked = Instant::now();
        if service().place(&mut orders).await.is_ok()
            && asked.elapsed() < Duration::from_millis(100)
        {
            return Ok(since.elapsed().as_secs_f64());
        }
        anyhow::ensure!(since.elapsed() < Duration::from_secs(60), "not level after a minute");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All customers but the first, each at this rate.
async fn others(address: SocketAddr, rate: u64, time: Duration) -> anyhow::Result<Load> {
    let mut loads = JoinSet::new();
    for index in 1..=OTHERS {
        let clients = vec![connect(address).await?];
        loads.spawn(load(clients, Caller::customer(index), rate, time));
    }
    let mut all = Load { done: 0, refused: 0, failed: 0, latencies: latencies()? };
    while let Some(ended) = loads.join_next().await {
        let one = ended??;
        all.done += one.done;
        all.refused += one.refused;
        all.failed += one.failed;
        all.latencies.add(one.latencies).map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(all)
}

/// A customer that keeps 1,000 calls under way.
struct Flood {
    callers: JoinSet<()>,
    answers: Arc<AtomicU64>,
}

impl Flood {
    async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let clients = clients(address).await?;
        let answers = Arc::new(AtomicU64::new(0));
        let mut callers = JoinSet::new();
        for index in 0..1_000 {
            let mut orders = clients[index % clients.len()].clone();
            let answers = Arc::clone(&answers);
            callers.spawn(async move {
                let caller = Caller::customer(0);
                loop {
                    let _ = caller.place(&mut orders).await;
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Ok(Self { callers, answers })
    }

    async fn stop(mut self) -> u64 {
        self.callers.shutdown().await;
        self.answers.load(Ordering::Relaxed)
    }
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header that is in no table.
fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap_or(127)], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// Announces messages that nobody sends; the most memory that the process has then, in bytes.
async fn announce(address: SocketAddr, process: u32) -> anyhow::Result<f64> {
    let headers: Vec<u8> = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    .into_iter()
    .flat_map(|(name, value)| header(name, value))
    .collect();
    let message = [&[0, 0, 0x40, 0, 0][..], &[b'x'; 16]].concat();
    let mut links = Vec::new();
    for _ in 0..3 {
        let mut link = TcpStream::connect(address).await?;
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        sent.extend(frame(4, 0, 0, &[]));
        for stream in (1..200).step_by(2) {
            sent.extend(frame(1, 4, stream, &headers));
            sent.extend(frame(0, 0, stream, &message));
        }
        link.write_all(&sent).await?;
        links.push(link);
    }
    let mut most: f64 = 0.0;
    for _ in 0..20 {
        most = most.max(resident_bytes_of(process));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(links);
    Ok(most)
}
