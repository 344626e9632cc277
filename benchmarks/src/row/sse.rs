use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::http::{Method, header};
use futures::{StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, Full};
use order_actor::grpc::proto::AddNoteRequest;
use order_actor::grpc::proto::order_service_client::OrderServiceClient;
use procfs::process::Process;
use shared_events::contract::OrderId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;

use crate::lab::{self, Lab};
use crate::measure::{Latencies, OpenLoop, Pace, Spread, latencies, micros, number};
use crate::report::{Bound, Row, short};
use crate::setting::resident_bytes_of;
use crate::subject::client::connect;
use crate::subject::http::{Link, Spoken, Target, asking};
use crate::subject::one_process::without_stock;
use crate::work::request;

/// Watchers that are asked for.
const WATCHERS: u64 = 10_000;
/// Files that a process needs beside its connections.
const FILES_BESIDE: u64 = 500;
/// Orders placed, and watches begun, at a time.
const TOGETHER: usize = 64;
/// Time limit for a watch to begin, and for a change to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// Row 13: many who watch by server-sent events.
///
/// # Errors
/// Where the engine fails, or a change does not arrive.
pub async fn measure(lab: &Lab, pace: Pace) -> anyhow::Result<Row> {
    let allowed = Process::myself()?.limits()?.max_open_files.soft_limit;
    let allowed = match allowed {
        procfs::process::LimitValue::Value(files) => files.saturating_sub(FILES_BESIDE),
        procfs::process::LimitValue::Unlimited => u64::MAX,
    };
    let watchers = pace.pick(WATCHERS, 200).min(allowed);
    let mut row = Row::new(
        "13",
        "watchers by server-sent events, 500 changes a second",
        "`ordinal serve` on Postgres without stock; each watcher has a connection of his own (HTTP/1.1) and watches one order of its own. A note is added by gRPC to one order after the other, 500 a second, whether or not earlier ones have ended. \
         Latencies count from when a note was due until its event was read by the client: with the call and the append. Memory is what the engine grew by while the watches began, divided by their number. The client's process has the other end of each connection, on the same cores.",
    );
    // Others and operators find a place beside them.
    let most = (watchers * 2 + 1_000).to_string();
    let flags =
        ["--streams-max", &most, "--connections-max", &most, "--connections-per-address", &most];
    let (serving, url) = without_stock(lab, "watched", &flags).await?;
    let target = Target::plain(serving.address);
    let client = connect(serving.address).await?;
    let orders = placed(&client, watchers).await?;
    let id = serving.id().context("the engine has ended")?;
    let before = resident_bytes_of(id);
    let mut watches = Watches::begin(&target, &orders).await?;
    let each = (resident_bytes_of(id) - before).max(0.0) / number(watchers);
    let mut waits = Vec::new();
    let time = Duration::from_secs(pace.pick(15, 2));
    let rate = pace.pick(500, 50);
    for _ in 0..pace.rounds {
        waits.push(watches.changed(&client, &orders, (rate, time)).await?);
    }
    drop(watches);
    lab::end(serving).await;
    lab.drop_database(&url).await?;
    told(&mut row, &format!("{} watchers", short(number(watchers))), &waits, each);
    row.note(format!("{watchers} watchers: a process here may open {allowed} files beside its own, and {WATCHERS} were asked for."));
    Ok(row)
}

/// An order for each watcher.
async fn placed(
    client: &OrderServiceClient<Channel>,
    watchers: u64,
) -> anyhow::Result<Vec<OrderId>> {
    let placed = futures::stream::iter(0..watchers).map(|_| {
        let mut client = client.clone();
        async move {
            let order_id = OrderId::mint();
            client.place_order(request(order_id, ["85123A", "22423"])).await?;
            anyhow::Ok(order_id)
        }
    });
    placed.buffer_unordered(TOGETHER).try_collect().await
}

/// Latencies of each round, and memory in bytes.
fn told(row: &mut Row, case: &str, waits: &[Latencies], each: f64) {
    for (quantile, name, bound) in [(0.5, "p50", Bound::Told), (0.99, "p99", Bound::AtMost(150.0))]
    {
        let at = |run: &Latencies| number(run.value_at_quantile(quantile)) / 1e3;
        let spread = Spread::of(waits.iter().map(at));
        row.figure(&format!("{case}, {name}"), "Ordinal", "ms", spread);
        row.goal(&format!("{name} to the client"), spread, bound, "ms");
    }
    let kilobytes = Spread::once(each / 1e3);
    row.figure(case, "Ordinal", "kB a watcher", kilobytes);
    row.goal("kB a watcher", kilobytes, Bound::AtMost(25.0), "kB");
}

/// Open watches.
struct Watches {
    /// Which watch has read an event, and when.
    read: mpsc::UnboundedReceiver<(usize, Instant)>,
    _reading: JoinSet<anyhow::Result<()>>,
}

impl Watches {
    /// One for each order; returns once all have begun.
    async fn begin(target: &Target, orders: &[OrderId]) -> anyhow::Result<Self> {
        let (said, read) = mpsc::unbounded_channel();
        let begun = Arc::new(AtomicU64::new(0));
        let mut reading = JoinSet::new();
        let links = futures::stream::iter(orders.iter().enumerate())
            .map(|(nth, order)| async move { (nth, *order, watched(target, *order).await) })
            .buffer_unordered(TOGETHER);
        let mut links = std::pin::pin!(links);
        while let Some((nth, order, opened)) = links.next().await {
            let (link, mut body) = opened.with_context(|| format!("watch {nth} of {order}"))?;
            let (said, begun) = (said.clone(), Arc::clone(&begun));
            reading.spawn(async move {
                // The connection lives as long as its sender.
                let _link = link;
                let mut is_new = true;
                let mut rest = Vec::new();
                while let Some(frame) = body.frame().await {
                    let Ok(data) = frame?.into_data() else { continue };
                    if is_new {
                        begun.fetch_add(1, Ordering::Relaxed);
                        is_new = false;
                    }
                    rest.extend_from_slice(&data);
                    // An event ends with an empty line.
                    while let Some(end) = rest.windows(2).position(|pair| pair == b"\n\n") {
                        let event: Vec<u8> = rest.drain(..end + 2).collect();
                        if event.windows(13).any(|part| part == b"event: change") {
                            let _ = said.send((nth, Instant::now()));
                        }
                    }
                }
                anyhow::bail!("a watch ended")
            });
        }
        let until = Instant::now() + ARRIVES_WITHIN;
        while begun.load(Ordering::Relaxed) < u64::try_from(orders.len())? {
            anyhow::ensure!(Instant::now() < until, "not all watches begin");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { read, _reading: reading })
    }

    /// Adds notes; from when each was due until it was read.
    async fn changed(
        &mut self,
        client: &OrderServiceClient<Channel>,
        orders: &[OrderId],
        (rate, time): (u64, Duration),
    ) -> anyhow::Result<Latencies> {
        while self.read.try_recv().is_ok() {}
        let (said, mut due) = mpsc::unbounded_channel();
        let (client, orders) = (client.clone(), orders.to_vec());
        let writing = tokio::spawn(async move {
            let (mut calls, mut open_loop) = (JoinSet::new(), OpenLoop::new(rate, time));
            while let Some((index, at)) = open_loop.due().await {
                let nth = usize::try_from(index)? % orders.len();
                said.send((nth, at))?;
                let (mut client, order_id) = (client.clone(), orders[nth].to_string());
                calls.spawn(async move {
                    let text = "seen".to_owned();
                    let note = AddNoteRequest { order_id, text, ..Default::default() };
                    client.add_note(note).await.map(|_| ())
                });
            }
            while let Some(ended) = calls.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        });
        let mut waiting: HashMap<usize, VecDeque<Instant>> = HashMap::new();
        let (mut all, mut writes, mut open) = (latencies()?, true, 0_u64);
        while writes || open > 0 {
            tokio::select! {
                biased;
                one = due.recv(), if writes => match one {
                    Some((nth, at)) => {
                        waiting.entry(nth).or_default().push_back(at);
                        open += 1;
                    }
                    None => writes = false,
                },
                one = timeout(ARRIVES_WITHIN, self.read.recv()) => {
                    let (nth, read) = one.context("a change does not arrive")?.context("no watch")?;
                    if let Some(at) = waiting.get_mut(&nth).and_then(VecDeque::pop_front) {
                        all.record(micros(read - at))?;
                        open -= 1;
                    }
                }
            }
        }
        writing.await??;
        Ok(all)
    }
}

/// The answer of a watch, with its connection.
async fn watched(target: &Target, order: OrderId) -> anyhow::Result<(Link, hyper::body::Incoming)> {
    let mut link = Link::open(target, Spoken::Http1).await?;
    let path = format!("/v1/orders:watch?order_ids={order}");
    let mut request = asking(target, (Method::GET, &path), None, String::new())?;
    request.headers_mut().remove(header::CONTENT_TYPE);
    request.headers_mut().insert(header::ACCEPT, "text/event-stream".parse()?);
    let request: axum::http::Request<Full<Bytes>> = request;
    let answer = link.send(request).await?;
    anyhow::ensure!(answer.status().is_success(), "a watch is refused: {}", answer.status());
    Ok((link, answer.into_body()))
}
