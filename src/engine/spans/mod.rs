//! Spans on their way to a collector, by a thread of their own with a runtime of its own: one that
//! hangs or is away costs no call, and no stop of the process.
//! Never here: what is worth a span.

mod collector; // where spans are sent
mod wire; // a span as OpenTelemetry has it

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use order_actor::clock::Clock;
use shared_events::contract::Timestamp;
use shared_events::traces::{self, EndedSpan, Ratio, Recorder};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::collector::{CollectorUrl, Way};
use crate::logs::Process;

/// Spans that wait to be sent; each has some 500 bytes.
const WAITING_MAX: usize = 16_384;
/// Spans that are sent together.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const EVERY: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch.
const SENT_WITHIN: Duration = Duration::from_secs(5);
/// How often a batch is tried.
const TRIES_MAX: u32 = 3;
/// How long the end of the process waits for the last ones.
const FLUSHED_WITHIN: Duration = Duration::from_secs(2);

/// Spans that were lost since the process started: the queue was full, or the collector did not take
/// them.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Spans that were lost since the process started.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn drop_spans(count: usize) {
    DROPPED.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// A collector, and which share of traces it gets.
#[derive(Clone, Debug)]
pub struct Otlp {
    url: CollectorUrl,
    ratio: Ratio,
}

/// What the thread is asked.
enum Job {
    Span(Box<EndedSpan>),
    /// Send what waits, then answer.
    End(oneshot::Sender<()>),
}

/// Spans are sent until this ends.
pub struct Sending(SyncSender<Job>);

impl Otlp {
    /// Spans to this collector, for this share of the calls that come without a trace.
    ///
    /// # Errors
    /// If it is not the URL of one, or `OTEL_EXPORTER_OTLP_PROTOCOL` names no way to send there.
    pub fn new(url: &str, ratio: Ratio) -> anyhow::Result<Self> {
        let way = Way::of_environment().map_err(anyhow::Error::msg)?;
        let url = CollectorUrl::new(url, way);
        let url = url.map_err(|what| anyhow::anyhow!("--otlp-endpoint: {what}"))?;
        Ok(Self { url, ratio })
    }

    /// Begins to keep spans of this process and to send them.
    ///
    /// # Errors
    /// If there is no thread for it, or a variable `OTEL_EXPORTER_OTLP_…` makes no sense.
    pub fn begin(&self, process: &Process, clock: Arc<dyn Clock>) -> anyhow::Result<Sending> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let (told, made) = sync_channel(1);
        let (url, process, its_clock) = (self.url.clone(), process.clone(), Arc::clone(&clock));
        let thread = std::thread::Builder::new().name("spans".to_owned());
        // A runtime of its own, made where it is used and dropped.
        thread.spawn(move || match Sender::new(&url, &process, its_clock) {
            Ok(mut sender) => {
                let _ = told.send(Ok(()));
                sender.run(&receiver);
            }
            Err(error) => {
                let _ = told.send(Err(error));
            }
        })?;
        made.recv().context("the thread that sends spans has ended")??;
        traces::begin(Box::new(Queue { sender: sender.clone(), clock }), self.ratio);
        Ok(Sending(sender))
    }
}

impl Sending {
    /// Sends those that wait, if the collector takes them in time.
    pub async fn end(self) {
        let (done, sent) = oneshot::channel();
        if self.0.try_send(Job::End(done)).is_ok() {
            let _ = tokio::time::timeout(FLUSHED_WITHIN, sent).await;
        }
    }
}

/// Where spans wait.
struct Queue {
    sender: SyncSender<Job>,
    clock: Arc<dyn Clock>,
}

impl Recorder for Queue {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn record(&self, span: EndedSpan) {
        if self.sender.try_send(Job::Span(Box::new(span))).is_err() {
            drop_spans(1);
        }
    }
}

/// The thread that sends.
struct Sender {
    runtime: tokio::runtime::Runtime,
    exporter: opentelemetry_otlp::SpanExporter,
    /// Not sent yet.
    waiting: VecDeque<SpanData>,
    /// How often the first batch was tried.
    tries: u32,
    failing: bool,
}

impl Sender {
    fn new(url: &CollectorUrl, process: &Process, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let mut runtime = match url.way() {
            Way::Http => Builder::new_current_thread(),
            // Its connection is listened to between batches, too: one that was closed is not used.
            Way::Grpc => Builder::new_multi_thread(),
        };
        let runtime = runtime.worker_threads(1).thread_name("spans").enable_all().build();
        let runtime = runtime.context("no runtime")?;
        let exporter = {
            let _inside = runtime.enter();
            collector::exporter(url, process, clock, SENT_WITHIN)?
        };
        Ok(Self { runtime, exporter, waiting: VecDeque::new(), tries: 0, failing: false })
    }

    /// Sends until the process ends.
    fn run(&mut self, jobs: &Receiver<Job>) {
        let mut next = Instant::now() + EVERY;
        loop {
            let wait = next.saturating_duration_since(Instant::now());
            match jobs.recv_timeout(wait) {
                Ok(Job::Span(span)) => self.keep(*span),
                Ok(Job::End(done)) => {
                    // Those that are ready are sent once; nobody waits for what fails now.
                    while !self.waiting.is_empty() && self.send() {}
                    drop_spans(self.waiting.len());
                    let _ = done.send(());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next {
                while !self.waiting.is_empty() && self.send() {}
                next = Instant::now() + EVERY;
            } else if self.waiting.len() >= BATCH_MAX && !self.failing {
                self.send();
            }
        }
    }

    fn keep(&mut self, span: EndedSpan) {
        if self.waiting.len() >= WAITING_MAX {
            drop_spans(1);
        } else {
            self.waiting.push_back(wire::of(span));
        }
    }

    /// Sends the oldest; false if the collector did not take them.
    fn send(&mut self) -> bool {
        let count = self.waiting.len().min(BATCH_MAX);
        let batch: Vec<SpanData> = self.waiting.iter().take(count).cloned().collect();
        let (runtime, exporter) = (&self.runtime, &self.exporter);
        let sent = runtime
            .block_on(async { tokio::time::timeout(SENT_WITHIN, exporter.export(batch)).await });
        let taken = matches!(sent, Ok(Ok(())));
        // The collector's own words are not for our log.
        match (taken, self.failing) {
            (false, false) => tracing::warn!(
                "the collector of spans takes none; they are kept for a while, then dropped"
            ),
            (true, true) => tracing::warn!(dropped = dropped(), "the collector takes spans again"),
            _ => {}
        }
        self.failing = !taken;
        self.tries = if taken { 0 } else { self.tries + 1 };
        if !taken && self.tries < TRIES_MAX {
            return false;
        }
        self.tries = 0;
        self.waiting.drain(..count);
        if !taken {
            drop_spans(count);
        }
        taken
    }
}
