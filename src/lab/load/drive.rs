use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, ManualClock};
use order_actor::grpc::proto;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::calls::{Calls, Refused};
use super::invoices::Invoice;
use super::pay::Paying;
use super::plan::{self, Problem};
use super::provider::Sayings;
use super::purchases::Purchases;
use super::report::Report;
use super::source::{Item, Source};
use super::stock::Shelf;
use crate::client::{Client, Failure};

/// How long an order may wait for stock before the load continues without it.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(60);
/// How often an order is polled where the watch reported nothing.
const POLL_EVERY: Duration = Duration::from_secs(3);
/// Delay before a lost watch is resumed at its position.
const WATCH_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Sends a file's invoices or orders: those of one customer one after another, in the order of the
/// file, those of different customers side by side.
pub struct Drive {
    shared: Arc<Shared>,
    clock: Option<ManualClock>,
    shelf: Shelf,
    in_flight: u32,
}

pub(super) struct Shared {
    pub(super) calls: Calls,
    pub(super) purchases: Purchases,
    pub(super) report: Report,
    pub(super) paying: Option<Paying>,
    // Lanes that wait for an order to be answered.
    waiting: Mutex<HashMap<String, oneshot::Sender<()>>>,
}

type Work = (Item, OwnedSemaphorePermit);

impl Drive {
    /// Over this connection; the clock, where given, follows the file, and orders are paid where it
    /// is said how.
    ///
    /// # Errors
    /// Where the system has no space for temporary files.
    pub async fn new(
        client: Client,
        (clock, paying): (Option<ManualClock>, Option<Paying>),
        shelf: Shelf,
        in_flight: u32,
        report: Report,
    ) -> Result<Self, Failure> {
        let shared = Shared {
            calls: Calls::new(client)?,
            purchases: Purchases::new().await?,
            report,
            paying,
            waiting: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), clock, shelf, in_flight })
    }

    /// Sends all of the file and reports the results.
    ///
    /// # Errors
    /// Where the file cannot be read or the engine stops answering; what was sent stays sent.
    pub async fn run(mut self, source: Source) -> Result<Report, Failure> {
        let since = Instant::now();
        let known = match &self.shared.paying {
            Some(paying) => paying.book.read().await?.0,
            None => Sayings::default(),
        };
        let (ready, watching) = oneshot::channel();
        let watch = tokio::spawn(watch(Arc::clone(&self.shared), ready));
        watching.await.map_err(|_| anyhow::anyhow!("the watch ended"))?;
        let mut lanes = JoinSet::new();
        let mut ways = Vec::new();
        for _ in 0..self.in_flight {
            let (way, work) = mpsc::unbounded_channel();
            ways.push(way);
            lanes.spawn(lane(Arc::clone(&self.shared), work));
        }
        let sent = self.send(source, &ways, &mut lanes).await;
        drop(ways);
        let mut done = sent;
        while let Some(ended) = lanes.join_next().await {
            let ended = ended.context("a lane").map_err(Failure::Other).flatten();
            done = done.and(ended);
        }
        watch.abort();
        let _ = watch.await;
        done?;
        if let Some(paying) = &self.shared.paying {
            self.shared.settle(paying, &known).await?;
        }
        let shared = Arc::into_inner(self.shared).context("a lane still runs")?;
        shared.report.measured(&shared.calls.measured(), since.elapsed());
        Ok(shared.report)
    }

    async fn send(
        &mut self,
        mut source: Source,
        ways: &[mpsc::UnboundedSender<Work>],
        lanes: &mut JoinSet<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        // The permits bound the invoices under way, and with them those queued in the lanes.
        let permits = Arc::new(Semaphore::new(ways.len()));
        while let Some(item) = source.next().await? {
            self.shared.report.read(&item);
            if let (Some(clock), Some(at)) = (&self.clock, item.at())
                && at > clock.now()
            {
                // Everything sent before must happen before the clock moves.
                let idle = permits.acquire_many(self.in_flight);
                drop(wait(lanes, idle).await?.context("permits")?);
                clock.advance_to(at);
            }
            for request in self.shelf.before(&item) {
                if let Err(refused) = self.shared.calls.set_stock(request).await? {
                    let (code, message) = (refused.code, refused.message);
                    return Err(anyhow::anyhow!("stock could not be set: {code}: {message}").into());
                }
            }
            let permit = Arc::clone(&permits).acquire_owned();
            let permit = wait(lanes, permit).await?.context("permits")?;
            let lane = item.customer().as_u64_pair().1 % u64::from(self.in_flight);
            let way = usize::try_from(lane).ok().and_then(|lane| ways.get(lane));
            way.context("lane")?
                .send((item, permit))
                .map_err(|_| anyhow::anyhow!("a lane ended early"))?;
        }
        Ok(())
    }
}

/// Waits, but returns when a lane fails: then nothing else would end the wait.
async fn wait<T>(
    lanes: &mut JoinSet<Result<(), Failure>>,
    future: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::select! {
        done = future => Ok(done),
        Some(ended) = lanes.join_next() => {
            ended.context("a lane")??;
            Err(anyhow::anyhow!("a lane ended early").into())
        }
    }
}

async fn lane(shared: Arc<Shared>, mut work: mpsc::UnboundedReceiver<Work>) -> Result<(), Failure> {
    while let Some((item, permit)) = work.recv().await {
        match item {
            Item::Order(order) => shared.file_order(&order).await?,
            Item::Invoice(invoice) if invoice.is_credit_note() => {
                shared.take_back(&invoice).await?
            }
            Item::Invoice(invoice) => shared.order(&invoice).await?,
        }
        drop(permit);
    }
    Ok(())
}

impl Shared {
    async fn order(&self, invoice: &Invoice) -> Result<(), Failure> {
        let currency = self.report.currency();
        let request = match plan::place(invoice, currency) {
            Ok(request) => {
                proto::PlaceOrderRequest { payment: self.plan(plan::order_id(invoice)), ..request }
            }
            Err(problems) => {
                let code = problems.first().map_or("EMPTY", |problem| &problem.code).to_owned();
                self.refuse(invoice, &code, &problems);
                return Ok(());
            }
        };
        let order_id = plan::order_id(invoice);
        let answered = self.expect_answer(order_id);
        let order = match self.calls.place(request).await? {
            Ok(answer) => *answer.order.unwrap_or_default(),
            Err(refused) => {
                self.forget(order_id);
                self.refuse(invoice, &refused.code, &problems(invoice, &refused));
                return Ok(());
            }
        };
        self.report.count(|counts| counts.placed += 1);
        let order = self.secured(order, answered).await?;
        self.forget(order_id);
        match order.status() {
            _ if self.is_meant_unpaid(order_id, &order) => {
                let detail = "its order was placed, and nobody pays it";
                self.not_shipped(invoice, "UNPAID", detail);
                self.report.intended(invoice.lines());
            }
            proto::OrderStatus::Cancelled => {
                let reason = order.cancel_reason().as_str_name();
                let reason = reason.trim_start_matches("CANCEL_REASON_").to_owned();
                self.report
                    .count(|counts| *counts.cancelled.entry(reason.clone()).or_default() += 1);
                self.not_shipped(invoice, &reason, "its order was placed and then cancelled");
            }
            proto::OrderStatus::Pending | proto::OrderStatus::Unspecified => {
                self.report.count(|counts| counts.unconfirmed += 1);
                self.not_shipped(
                    invoice,
                    "UNCONFIRMED",
                    "its order was placed; stock has not answered",
                );
            }
            _ => {
                self.report.count(|counts| counts.confirmed += 1);
                self.fulfill(invoice, order_id).await?;
            }
        }
        Ok(())
    }

    async fn fulfill(&self, invoice: &Invoice, order_id: Uuid) -> Result<(), Failure> {
        if let Err(refused) = self.calls.fulfill(plan::fulfill(order_id)).await? {
            // Another client has shipped or cancelled it already.
            self.report.count(|counts| {
                *counts.fulfil_refused.entry(refused.code.clone()).or_default() += 1;
            });
            for problem in problems(invoice, &refused) {
                self.report.problem(&invoice.number, &problem);
            }
            return Ok(());
        }
        self.report.count(|counts| counts.fulfilled += 1);
        if !invoice.customer.is_empty() {
            let currency = self.report.currency();
            let lines = invoice.rows.iter().filter_map(|row| {
                let (units, price) = plan::sale(row, currency).ok()?;
                Some((row.stock_code.clone(), units, price))
            });
            self.purchases.delivered(&invoice.customer, order_id, lines).await?;
        }
        Ok(())
    }

    /// Counts an order that was refused, and records each of its lines: invalid ones with their own
    /// reason, the others as refused along with them.
    pub(super) fn refuse(&self, invoice: &Invoice, code: &str, problems: &[Problem]) {
        if !invoice.split {
            self.report.count(|counts| *counts.refused.entry(code.to_owned()).or_default() += 1);
        }
        for row in &invoice.rows {
            let own = problems.iter().find(|problem| problem.line == row.number);
            let beside =
                || Problem::new(row, "OTHER_LINE_REFUSED", "its invoice was refused as a unit");
            self.report.problem(&invoice.number, own.unwrap_or(&beside()));
        }
        self.further_lines(invoice, code);
    }

    /// Records that an order was placed but not shipped.
    pub(super) fn not_shipped(&self, invoice: &Invoice, code: &str, detail: &str) {
        for row in &invoice.rows {
            self.report.problem(&invoice.number, &Problem::new(row, code, detail));
        }
    }

    /// Records the lines of an invoice that were only counted.
    pub(super) fn further_lines(&self, invoice: &Invoice, code: &str) {
        if invoice.more == 0 {
            return;
        }
        let Invoice { more, last, .. } = invoice;
        let detail = format!("and {more} more lines of it, up to line {last}");
        let problem = Problem { line: *last, code: code.to_owned(), detail };
        self.report.left_out(&invoice.number, &problem, *more);
    }

    /// Waits until stock has answered.
    pub(super) async fn await_answer(
        &self,
        mut order: proto::Order,
        answered: oneshot::Receiver<()>,
    ) -> Result<proto::Order, Failure> {
        let until = Instant::now() + CONFIRMED_WITHIN;
        let mut answered = Some(answered);
        while order.status() == proto::OrderStatus::Pending && Instant::now() < until {
            // Reported or not, the order itself is read.
            match &mut answered {
                None => tokio::time::sleep(POLL_EVERY).await,
                Some(receiver) => {
                    if tokio::time::timeout(POLL_EVERY, receiver).await.is_ok() {
                        answered = None;
                    }
                }
            }
            if let Ok(answer) = self.calls.get(order.order_id.clone()).await? {
                order = answer.order.unwrap_or_default();
            }
        }
        Ok(order)
    }

    pub(super) fn expect_answer(&self, order_id: Uuid) -> oneshot::Receiver<()> {
        let (notify, answered) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(order_id.to_string(), notify);
        answered
    }

    pub(super) fn forget(&self, order_id: Uuid) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&order_id.to_string());
    }
}

/// A refusal of an order, as problems of the lines that it names; of all where it names none.
fn problems(invoice: &Invoice, refused: &Refused) -> Vec<Problem> {
    let named: Vec<Problem> = refused
        .fields
        .iter()
        .filter_map(|(field, description)| {
            let index = field.strip_prefix("lines[")?.split(']').next()?.parse::<usize>().ok()?;
            let row = invoice.rows.get(index)?;
            let description = description.trim_start_matches(&format!("{}: ", refused.code));
            Some(Problem::new(row, &refused.code, format!("{field}: {description}")))
        })
        .collect();
    if !named.is_empty() {
        return named;
    }
    let detail = match refused.fields.first() {
        Some((field, description)) => format!("{field}: {description}"),
        None => refused.message.clone(),
    };
    invoice.rows.iter().map(|row| Problem::new(row, &refused.code, detail.clone())).collect()
}

/// Wakes the lane that waits for an order once stock has answered it. A watch that breaks off
/// resumes at its position.
async fn watch(shared: Arc<Shared>, ready: oneshot::Sender<()>) {
    let mut ready = Some(ready);
    let mut after: BTreeMap<u32, u64> = BTreeMap::new();
    loop {
        let places = after.iter().map(|(shard, position)| proto::ShardPosition {
            shard: *shard,
            position: *position,
            mark: None,
        });
        if let Ok(mut changes) = shared.calls.watch(places.collect()).await {
            while let Ok(Some(message)) = changes.message().await {
                if let Some(ready) = ready.take() {
                    // The first message gives the positions where the watch begins; nothing after
                    // them is missed.
                    let _ = ready.send(());
                }
                use proto::watch_orders_response::Item;
                match message.item {
                    Some(Item::Progress(progress)) => {
                        after.extend(progress.through.iter().map(|at| (at.shard, at.position)));
                    }
                    Some(Item::Change(change)) => {
                        after.extend(change.position.map(|at| (at.shard, at.position)));
                        let order = change.order.unwrap_or_default();
                        if order.status() != proto::OrderStatus::Pending {
                            let mut waiting =
                                shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                            if let Some(notify) = waiting.remove(&order.order_id) {
                                let _ = notify.send(());
                            }
                        }
                    }
                    None => {}
                }
            }
        }
        if let Some(ready) = ready.take() {
            let _ = ready.send(());
        }
        tokio::time::sleep(WATCH_RETRY_DELAY).await;
    }
}
