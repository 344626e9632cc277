use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use order_actor::grpc::proto;
use order_actor::timers::{Clock as _, ManualClock};
use shared_events::contract::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::bought::{Bought, Match};
use super::calls::{Calls, Refused};
use super::invoices::{Invoice, Invoices};
use super::plan::{self, Problem};
use super::report::Report;
use super::stock::Shelf;
use crate::cli::{Client, Failure};

/// How long an order may wait for stock before the load goes on without it.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked at, where the watch told nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// How long a lost watch waits before it begins again where it was.
const WATCH_AGAIN: Duration = Duration::from_millis(200);

/// Sends a file's invoices. Those of one customer go one after another, in the order of the file;
/// those of different customers go side by side.
pub struct Drive {
    shared: Arc<Shared>,
    clock: Option<ManualClock>,
    shelf: Shelf,
    in_flight: u32,
}

struct Shared {
    calls: Calls,
    bought: Bought,
    report: Report,
    // Who waits to hear of an order.
    waiting: Mutex<HashMap<String, oneshot::Sender<()>>>,
}

type Work = (Invoice, OwnedSemaphorePermit);

impl Drive {
    /// Over this connection; the clock, where there is one, follows the file.
    ///
    /// # Errors
    /// Where the system has no room for temporary files.
    pub async fn new(
        client: Client,
        clock: Option<ManualClock>,
        shelf: Shelf,
        in_flight: u32,
        report: Report,
    ) -> Result<Self, Failure> {
        let shared = Shared {
            calls: Calls::new(client)?,
            bought: Bought::new().await?,
            report,
            waiting: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), clock, shelf, in_flight })
    }

    /// Sends all of them and tells what became of them.
    ///
    /// # Errors
    /// Where the file cannot be read or the engine stops answering; what was sent is sent.
    pub async fn run(mut self, invoices: Invoices) -> Result<Report, Failure> {
        let since = Instant::now();
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
        let sent = self.send(invoices, &ways, &mut lanes).await;
        drop(ways);
        let mut done = sent;
        while let Some(ended) = lanes.join_next().await {
            let ended = ended.context("a lane").map_err(Failure::Other).flatten();
            done = done.and(ended);
        }
        watch.abort();
        let _ = watch.await;
        done?;
        let shared = Arc::into_inner(self.shared).context("a lane still runs")?;
        shared.report.measured(&shared.calls.measured(), since.elapsed());
        Ok(shared.report)
    }

    async fn send(
        &mut self,
        invoices: Invoices,
        ways: &[mpsc::UnboundedSender<Work>],
        lanes: &mut JoinSet<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        // The permits bound what is under way, and with it what waits in the lanes.
        let permits = Arc::new(Semaphore::new(ways.len()));
        for invoice in invoices {
            let invoice = invoice?;
            self.shared.report.read(&invoice);
            if let (Some(clock), Some(at)) = (&self.clock, invoice.at())
                && at > clock.now()
            {
                // Whatever was sent before happens before.
                let idle = permits.acquire_many(self.in_flight);
                drop(wait(lanes, idle).await?.context("permits")?);
                clock.advance_to(at);
            }
            for request in self.shelf.before(&invoice) {
                if let Err(refused) = self.shared.calls.set_stock(request).await? {
                    let (code, message) = (refused.code, refused.message);
                    return Err(anyhow::anyhow!("stock was not set: {code}: {message}").into());
                }
            }
            let permit = Arc::clone(&permits).acquire_owned();
            let permit = wait(lanes, permit).await?.context("permits")?;
            let lane = plan::customer_id(&invoice).as_u64_pair().1 % u64::from(self.in_flight);
            let way = usize::try_from(lane).ok().and_then(|lane| ways.get(lane));
            way.context("lane")?
                .send((invoice, permit))
                .map_err(|_| anyhow::anyhow!("a lane ended before its time"))?;
        }
        Ok(())
    }
}

/// Waits, unless a lane fails: then nothing would end the wait.
async fn wait<T>(
    lanes: &mut JoinSet<Result<(), Failure>>,
    future: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::select! {
        done = future => Ok(done),
        Some(ended) = lanes.join_next() => {
            ended.context("a lane")??;
            Err(anyhow::anyhow!("a lane ended before its time").into())
        }
    }
}

async fn lane(shared: Arc<Shared>, mut work: mpsc::UnboundedReceiver<Work>) -> Result<(), Failure> {
    while let Some((invoice, permit)) = work.recv().await {
        if invoice.is_credit_note() {
            shared.take_back(&invoice).await?;
        } else {
            shared.order(&invoice).await?;
        }
        drop(permit);
    }
    Ok(())
}

impl Shared {
    async fn order(&self, invoice: &Invoice) -> Result<(), Failure> {
        let currency = self.report.currency();
        let request = match plan::place(invoice, currency) {
            Ok(request) => request,
            Err(problems) => {
                let code = problems.first().map_or("EMPTY", |problem| &problem.code).to_owned();
                self.refuse(invoice, &code, &problems);
                return Ok(());
            }
        };
        let order_id = plan::order_id(invoice);
        let told = self.hear_of(order_id);
        let order = match self.calls.place(request).await? {
            Ok(answer) => answer.order.unwrap_or_default(),
            Err(refused) => {
                self.forget(order_id);
                self.refuse(invoice, &refused.code, &problems(invoice, &refused));
                return Ok(());
            }
        };
        self.report.count(|counts| counts.placed += 1);
        let order = self.answered(order, told).await?;
        self.forget(order_id);
        match order.status() {
            proto::OrderStatus::Cancelled => {
                let reason = order.cancel_reason().as_str_name();
                let reason = reason.trim_start_matches("CANCEL_REASON_").to_owned();
                self.report
                    .count(|counts| *counts.cancelled.entry(reason.clone()).or_default() += 1);
                self.left(invoice, &reason, "its order was placed and then cancelled");
            }
            proto::OrderStatus::Pending | proto::OrderStatus::Unspecified => {
                self.report.count(|counts| counts.unconfirmed += 1);
                self.left(invoice, "UNCONFIRMED", "its order was placed; stock has not answered");
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
            // Somebody else was faster: sent it already, or cancelled it.
            self.report.count(|counts| {
                *counts.fulfil_refused.entry(refused.code.clone()).or_default() += 1;
            });
            for problem in problems(invoice, &refused) {
                self.report.problem(invoice, &problem);
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
            self.bought.delivered(&invoice.customer, order_id, lines).await?;
        }
        Ok(())
    }

    /// Counts an order that was refused, and writes down each of its lines: those at fault with
    /// their own reason, the others because they stand beside them.
    fn refuse(&self, invoice: &Invoice, code: &str, problems: &[Problem]) {
        if !invoice.split {
            self.report.count(|counts| *counts.refused.entry(code.to_owned()).or_default() += 1);
        }
        for row in &invoice.rows {
            let own = problems.iter().find(|problem| problem.line == row.number);
            let beside =
                || Problem::new(row, "OTHER_LINE_REFUSED", "its invoice was refused whole");
            self.report.problem(invoice, own.unwrap_or(&beside()));
        }
        self.beyond(invoice, code);
    }

    /// Writes down that an order was placed and did not leave.
    fn left(&self, invoice: &Invoice, code: &str, detail: &str) {
        for row in &invoice.rows {
            self.report.problem(invoice, &Problem::new(row, code, detail));
        }
    }

    /// Tells of the lines of an invoice that were counted only.
    fn beyond(&self, invoice: &Invoice, code: &str) {
        if invoice.more == 0 {
            return;
        }
        let Invoice { more, last, .. } = invoice;
        let detail = format!("and {more} more lines of it, up to line {last}");
        let problem = Problem { line: *last, code: code.to_owned(), detail };
        self.report.left_out(invoice, &problem, *more);
    }

    /// Waits until stock has answered.
    async fn answered(
        &self,
        mut order: proto::Order,
        told: oneshot::Receiver<()>,
    ) -> Result<proto::Order, Failure> {
        let until = Instant::now() + CONFIRMED_WITHIN;
        let mut told = Some(told);
        while order.status() == proto::OrderStatus::Pending && Instant::now() < until {
            // Told or not: the order itself says how it stands.
            match &mut told {
                None => tokio::time::sleep(LOOK_AGAIN).await,
                Some(ear) => {
                    if tokio::time::timeout(LOOK_AGAIN, ear).await.is_ok() {
                        told = None;
                    }
                }
            }
            if let Ok(answer) = self.calls.get(order.order_id.clone()).await? {
                order = answer.order.unwrap_or_default();
            }
        }
        Ok(order)
    }

    fn hear_of(&self, order_id: Uuid) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(order_id.to_string(), tell);
        told
    }

    fn forget(&self, order_id: Uuid) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&order_id.to_string());
    }

    async fn take_back(&self, credit_note: &Invoice) -> Result<(), Failure> {
        if credit_note.more > 0 {
            self.report.count(|counts| {
                let refused = counts.returns_refused.entry(Reason::TooManyLines.to_string());
                *refused.or_default() += credit_note.more;
            });
            self.beyond(credit_note, Reason::TooManyLines.code());
        }
        // What each line takes from which order; a line is returned once all of its parts are.
        let mut returns: BTreeMap<Uuid, Vec<(usize, Match)>> = BTreeMap::new();
        let mut values = Vec::with_capacity(credit_note.rows.len());
        for (index, row) in credit_note.rows.iter().enumerate() {
            match self.matches(credit_note, row).await? {
                Ok((value, matches)) => {
                    values.push(Some(value));
                    for taken in matches {
                        returns.entry(taken.order_id).or_default().push((index, taken));
                    }
                }
                Err(problem) => {
                    values.push(None);
                    self.report.count(|counts| {
                        *counts.unmatched.entry(problem.code.clone()).or_default() += 1;
                    });
                    self.report.problem(credit_note, &problem);
                }
            }
        }
        let mut refused: BTreeMap<usize, Refused> = BTreeMap::new();
        let mut returned = BTreeSet::new();
        for (order_id, taken) in returns {
            match self.take_back_of(credit_note, order_id, &taken).await? {
                Ok(()) => {
                    for (index, taken) in taken {
                        returned.insert(index);
                        let Some(Some(price)) = values.get(index) else { continue };
                        let minor = price.minor.saturating_mul(i64::from(taken.units));
                        self.report.count(|counts| {
                            counts.returned.units += u64::from(taken.units);
                            counts.returned.minor += minor;
                        });
                    }
                    self.report.count(|counts| counts.returned.returns += 1);
                }
                Err(no) => {
                    for (index, _) in taken {
                        refused.entry(index).or_insert_with(|| no.clone());
                    }
                }
            }
        }
        for (index, row) in credit_note.rows.iter().enumerate() {
            if !values.get(index).is_some_and(Option::is_some) {
                continue;
            }
            if let Some(no) = refused.get(&index) {
                // Units of several orders: some came back, others the engine did not take.
                let partly = returned.contains(&index);
                let code = if partly { "PARTLY_RETURNED" } else { no.code.as_str() };
                self.report.count(|counts| {
                    *counts.returns_refused.entry(code.to_owned()).or_default() += 1;
                });
                let detail = format!("{}: {}", no.code, no.message);
                self.report.problem(credit_note, &Problem::new(row, code, detail));
            } else {
                self.report.count(|counts| counts.returned.lines += 1);
            }
        }
        Ok(())
    }

    /// What a line of a credit note takes back, and the price of a unit.
    async fn matches(
        &self,
        credit_note: &Invoice,
        row: &super::invoices::Row,
    ) -> Result<Result<(shared_events::contract::Money, Vec<Match>), Problem>, Failure> {
        if row.fault.is_some() {
            return Ok(plan::credit(row, self.report.currency()).map(|(_, p)| (p, Vec::new())));
        }
        if credit_note.split {
            let detail = "more than 100 other lines stand before it";
            return Ok(Err(Problem::new(row, "INVOICE_SPLIT", detail)));
        }
        if credit_note.mixed {
            let detail = "its lines name several customers";
            return Ok(Err(Problem::new(row, "CUSTOMERS_MIXED", detail)));
        }
        let (units, price) = match plan::credit(row, self.report.currency()) {
            Ok(credit) => credit,
            Err(problem) => return Ok(Err(problem)),
        };
        let customer = &credit_note.customer;
        if customer.is_empty() {
            let detail = "no customer is named, so no order of theirs can be found";
            return Ok(Err(Problem::new(row, "NO_CUSTOMER", detail)));
        }
        let taken = self.bought.take(customer, &row.stock_code, price, units).await?;
        Ok(taken.map(|matches| (price, matches)).map_err(|code| {
            let detail = match code {
                "NO_EARLIER_ORDER" => "the customer has no delivered order before it",
                "NOT_BOUGHT" => "the customer bought no such product before",
                "OTHER_PRICE" => "the customer bought it before, at other prices only",
                _ => "the customer has fewer units of it left at this price",
            };
            Problem::new(row, code, detail)
        }))
    }

    async fn take_back_of(
        &self,
        credit_note: &Invoice,
        order_id: Uuid,
        taken: &[(usize, Match)],
    ) -> Result<Result<(), Refused>, Failure> {
        let (request, approve) = plan::returns(credit_note, order_id, units_by_line(taken));
        if let Err(refused) = self.calls.request_return(request).await? {
            for (_, taken) in taken {
                self.bought.give_back(taken).await?;
            }
            return Ok(Err(refused));
        }
        Ok(self.calls.approve_return(approve).await?.map(drop))
    }
}

/// A return names each line of its order once.
fn units_by_line(taken: &[(usize, Match)]) -> Vec<proto::LineUnits> {
    let mut units: BTreeMap<u32, u32> = BTreeMap::new();
    for (_, taken) in taken {
        *units.entry(taken.line).or_default() += taken.units;
    }
    units.into_iter().map(|(line, quantity)| proto::LineUnits { line, quantity }).collect()
}

/// A refusal of an order, told of the lines that it names; of all where it names none.
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

/// Wakes whoever waits for an order once stock has answered it. A watch that breaks off begins
/// again where it was.
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
                    // The first message tells where the watch begins; nothing after is missed.
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
                            if let Some(tell) = waiting.remove(&order.order_id) {
                                let _ = tell.send(());
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
        tokio::time::sleep(WATCH_AGAIN).await;
    }
}
