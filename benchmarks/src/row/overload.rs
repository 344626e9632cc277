use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use order_actor::grpc::proto::order_service_client::OrderServiceClient;
use ordinal::cluster::Process;
use shared_events::contract::OrderId;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request};
use uuid::Uuid;

use crate::lab::{self, Lab};
use crate::measure::{Latencies, OpenLoop, Pace, Spread, latencies, micros, number};
use crate::report::{Bound, Row};
use crate::setting::{Cores, Memory, keep_to, resident_bytes_of};
use crate::subject::client::connect;
use crate::work::request;

/// Customers beside the one that floods.
const OTHERS: usize = 8;
/// How long each call may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Connections of a load; each takes 128 calls at a time.
const CONNECTIONS: usize = 16;
/// Consecutive calls answered within 100 ms after which the engine counts as recovered.
const RECOVERED_CALLS: u32 = 5;
/// Maximum of unanswered calls of a load.
const UNDER_WAY_MAX: u64 = 20_000;

type Orders = OrderServiceClient<Channel>;

/// Row 15: the cost of one bad caller, and of too many calls.
///
/// # Errors
/// Where the engine ends.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let mut row = Row::new(
        "15",
        "overload and fairness",
        "The complete engine in one process on SQLite, with tokens, on one half of the cores, and its clients in another on the other half: requests beyond its capacity take none of the engine's cores. Announced: 3 connections without a token \
         announce 100 messages of 4 MiB each to health and send 16 bytes of each. Goodput: orders placed within their deadline of 5 s, a second, by a service that \
         begins them at 2, 5 and 10 times the peak, whether or not earlier ones have ended, counted as long as it begins them; the peak is that of 256 callers that wait, before or \
         after, whichever is more. Recovery: from the end of the load until 5 consecutive calls are answered within 100 ms each. Memory: the most under the \
         load, sampled every 100 ms. Fairness: 8 customers place orders at \
         a steady rate, together 40 of 100 of the peak, alone and beside one that keeps 1,000 calls under way and retries immediately.",
    );
    let directory = lab.directory("overload")?;
    let tokens = directory.join("tokens.toml");
    std::fs::write(&tokens, token_file())?;
    let (data, tokens) = (directory.join("data"), tokens.display().to_string());
    let data = data.display().to_string();
    let program = std::env::current_exe().context("where is this program?")?.display().to_string();
    let serve = ["ordinal", "serve", "--data", &data, "--tokens", &tokens, "--without-stock"];
    // The shares are measured, and not the limit of a customer in front of them.
    let serve = [&serve[..], &["--rate-limit", "CUSTOMER=off"]].concat();
    let cores = Cores::halved().context("it takes two cores")?;
    // The shell becomes the program, with the same id.
    let kept = ["-c", &cores.subject, &program];
    let arguments = [&kept[..], &serve].concat();
    let process = lab::start(lab, "overload", Path::new("taskset"), &arguments).await?;
    keep_to(&cores.clients)?;
    let measured = under_load(&mut row, &process, pace).await;
    keep_to(&cores.all)?;
    lab::end(process).await;
    measured.map(|()| row)
}

async fn under_load(row: &mut Row, process: &Process, pace: Pace) -> anyhow::Result<()> {
    let (address, id) = (process.address, process.id().unwrap_or_default());

    let before = resident_bytes_of(id);
    let most = announce(address, id).await?;
    let grown = Spread::once((most - before).max(0.0) / 1e6);
    row.figure("300 messages of 4 MiB announced", "Ordinal", "MB more", grown);
    row.goal("memory under announced messages", grown, Bound::AtMost(100.0), "MB");

    let seconds = Duration::from_secs(pace.pick(15, 3));
    let whole = goodput(row, address, id, seconds).await?;
    fairness(row, address, id, whole, seconds).await
}

/// Work done under 2, 5 and 10 times the peak load; the peak is a rate per second.
async fn goodput(
    row: &mut Row,
    address: SocketAddr,
    process: u32,
    time: Duration,
) -> anyhow::Result<u64> {
    // Warm-up; not counted.
    peak(address, time).await?;
    let before = peak(address, time).await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    let whole = before as u64;
    let resident = resident_bytes_of(process);
    let mut loads = Vec::new();
    for times in [2, 5, 10] {
        let memory = Memory::watch(process);
        let links = clients(address).await?;
        let window = Window::new(time);
        let (load, recovery) = tokio::try_join!(
            load(links, service(), whole * times, window),
            until_recovered(address, window.end),
        )?;
        loads.push((format!("{times} times the peak"), load, recovery, memory.most().await?));
    }
    let after = peak(address, time).await?;
    row.figure("peak before, 256 callers", "Ordinal", "orders/s", Spread::once(before));
    row.figure("peak after, 256 callers", "Ordinal", "orders/s", Spread::once(after));
    // The larger one, so that a slow moment of the peak does not improve the ratio.
    let peak = before.max(after).max(1.0);
    for (case, load, recovery, most) in loads {
        let mut report = |unit: &str, value: f64| {
            row.figure(&case, "Ordinal", unit, Spread::once(value));
        };
        let a_second = |count: u64| number(count) / time.as_secs_f64();
        report("begun/s", a_second(load.begun));
        report("orders/s within their deadline", load.rate(time));
        report("orders/s answered after the load had ended", a_second(load.late));
        report("refused/s", a_second(load.refused));
        report("neither/s", a_second(load.failed));
        report("MB resident at most", most / 1e6);
        let of_peak = Spread::once(load.rate(time) / peak);
        row.goal(&format!("goodput at {case}, of the peak"), of_peak, Bound::AtLeast(0.9), "");
        let recovery = Spread::once(recovery);
        row.goal(&format!("recovered after {case}"), recovery, Bound::AtMost(5.0), "s");
        let grown = Spread::once((most - resident).max(0.0) / 1e6);
        row.goal(&format!("memory at {case}"), grown, Bound::AtMost(512.0), "MB more");
    }
    Ok(whole)
}

/// The effect of one flooding customer on the others.
async fn fairness(
    row: &mut Row,
    address: SocketAddr,
    process: u32,
    whole: u64,
    time: Duration,
) -> anyhow::Result<()> {
    let each = (whole * 2 / 5 / number_of(OTHERS)).max(1);
    let alone = others(address, each, time).await?;
    let resident = resident_bytes_of(process);
    let memory = Memory::watch(process);
    let flood = Flood::start(address).await?;
    let beside = others(address, each, time).await?;
    let flooded = flood.stop().await;
    let grown = Spread::once((memory.most().await? - resident).max(0.0) / 1e6);
    let p99 = |load: &Load| number(load.latencies.value_at_quantile(0.99)) / 1e3;
    for (case, load) in [("others alone", &alone), ("others beside a flood", &beside)] {
        row.figure(
            case,
            "Ordinal",
            "begun/s",
            Spread::once(number(load.begun) / time.as_secs_f64()),
        );
        row.figure(case, "Ordinal", "orders/s", Spread::once(load.rate(time)));
        row.figure(case, "Ordinal", "ms at p99", Spread::once(p99(load)));
    }
    let kept = Spread::once(beside.rate(time) / alone.rate(time).max(1.0));
    let name = "others beside a flood, of what they have alone";
    row.goal(name, kept, Bound::AtLeast(0.8), "");
    let errors = Spread::once(number(beside.refused + beside.failed));
    row.goal("errors of others beside a flood", errors, Bound::AtMost(0.0), "errors");
    let waits = Spread::once(p99(&beside));
    row.goal("others beside a flood at p99", waits, Bound::AtMost(500.0), "ms");
    row.goal("memory beside a flood", grown, Bound::AtMost(512.0), "MB more");
    row.note(format!("The flooding customer had {flooded} answers meanwhile, including refusals."));
    Ok(())
}

/// The time of a load, and the end until which answers count.
#[derive(Clone, Copy)]
struct Window {
    begun: Instant,
    end: Instant,
}

impl Window {
    /// From now on.
    fn new(time: Duration) -> Self {
        let begun = Instant::now();
        Self { begun, end: begun + time }
    }

    fn time(self) -> Duration {
        self.end - self.begun
    }
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

/// Caller and customer of orders.
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

    /// Places an order; the status code where it was refused.
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

/// The result of a load.
struct Load {
    begun: u64,
    /// Executed while it lasted.
    done: u64,
    /// Executed, but answered after it had ended.
    late: u64,
    refused: u64,
    /// Neither executed nor refused within the deadline.
    failed: u64,
    /// Latency of the executed ones, from the moment at which they were due.
    latencies: Latencies,
}

impl Load {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { begun: 0, done: 0, late: 0, refused: 0, failed: 0, latencies: latencies()? })
    }

    fn rate(&self, time: Duration) -> f64 {
        number(self.done) / time.as_secs_f64()
    }

    fn count(&mut self, ended: &Ended, window: Window) {
        match ended.answer {
            Ok(()) => {
                let place = if ended.at <= window.end { &mut self.done } else { &mut self.late };
                *place += 1;
                // The histogram resizes itself.
                let _ = self.latencies.record(micros(ended.at - ended.due));
            }
            Err(Code::ResourceExhausted) => self.refused += 1,
            Err(_) => self.failed += 1,
        }
    }

    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.begun += other.begun;
        self.done += other.done;
        self.late += other.late;
        self.refused += other.refused;
        self.failed += other.failed;
        self.latencies.add(other.latencies).map_err(|error| anyhow::anyhow!("{error}"))
    }
}

/// An ended call.
struct Ended {
    answer: Result<(), Code>,
    due: Instant,
    at: Instant,
}

/// Starts this many calls a second, whether or not earlier ones have ended. Where it cannot start
/// them as fast as they are due, those left at the end are not started.
async fn load(
    clients: Vec<Orders>,
    caller: Caller,
    rate: u64,
    window: Window,
) -> anyhow::Result<Load> {
    let mut due = OpenLoop::new(rate, window.time());
    let under_way = Arc::new(AtomicU64::new(0));
    let mut load = Load::new()?;
    let mut calls = JoinSet::new();
    while let Some((index, due)) = due.due().await {
        if Instant::now() >= window.end {
            break;
        }
        while let Some(ended) = calls.try_join_next() {
            load.count(&ended?, window);
        }
        load.begun += 1;
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
            Ended { answer, due, at: Instant::now() }
        });
    }
    while let Some(ended) = calls.join_next().await {
        load.count(&ended?, window);
    }
    Ok(load)
}

/// Orders a second of 256 callers, each waiting for its answers.
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

/// Seconds from the end of a load until calls are answered normally again.
async fn until_recovered(address: SocketAddr, end: Instant) -> anyhow::Result<f64> {
    let mut orders = connect(address).await?;
    sleep_until(end).await;
    let (mut answered, mut since) = (0, end);
    while answered < RECOVERED_CALLS {
        let asked = Instant::now();
        anyhow::ensure!(asked - end < Duration::from_secs(60), "not recovered after a minute");
        let done = service().place(&mut orders).await.is_ok();
        if done && asked.elapsed() < Duration::from_millis(100) {
            answered += 1;
        } else {
            (answered, since) = (0, Instant::now());
            sleep(Duration::from_millis(50)).await;
        }
    }
    Ok((since - end).as_secs_f64())
}

/// All customers but the first, each at this rate.
async fn others(address: SocketAddr, rate: u64, time: Duration) -> anyhow::Result<Load> {
    let mut links = Vec::new();
    for _ in 0..OTHERS {
        links.push(connect(address).await?);
    }
    let window = Window::new(time);
    let mut loads = JoinSet::new();
    for (index, link) in (1..).zip(links) {
        loads.spawn(load(vec![link], Caller::customer(index), rate, window));
    }
    let mut all = Load::new()?;
    while let Some(ended) = loads.join_next().await {
        all.add(ended??)?;
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

/// A header without compression.
fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap_or(127)], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// Announces messages that are never sent; returns the maximum memory of the process, in bytes.
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
