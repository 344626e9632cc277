//! Whether payments are as their laws say: the history from the first event on, and every row
//! compared with what it makes.
//! Never here: repair, or a write.

use std::collections::{BTreeMap, BTreeSet};

use shared_events::contract::{LineKind, OperationId, OrderId};
use shared_events::stream::{Database, DatabaseError};

use crate::domain::{
    Case, Event, LineState, Operation, OperationState, Payment, Stage, WebhookState,
};
use crate::store::{
    self, EVENT_SHARDS, LineFilter, OperationRow, PaymentFilter, SettlementLine, WEBHOOK_SHARDS,
};

/// Findings that are kept at most.
pub const FINDINGS_MAX: usize = 1_000;
const PAGE: u32 = 1_000;

/// A law of payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaymentLaw {
    /// Events have positions without a gap, in one hash chain per shard that ends where it says.
    Chain,
    /// Each order's payments are what its events make of them, and their sums are in order.
    AsPlanned,
    /// Each open operation has one row that says what is next, and no other row does.
    OperationsDue,
    /// No operation was done twice.
    Once,
    /// Stored webhooks have positions without a gap; each was handled, waits, is parked or was
    /// dropped.
    WebhooksSettled,
    /// Lines of settlement reports add up, and each that is matched fits what it is for.
    SettlementSums,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentFinding {
    /// The law that it breaks.
    pub law: PaymentLaw,
    /// What it is about, such as `order/` and its id.
    pub subject: String,
    /// The difference.
    pub detail: String,
}

/// What was checked, and what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentAudit {
    /// Events read.
    pub events: u64,
    /// Payments compared.
    pub payments: u64,
    /// Operations compared.
    pub operations: u64,
    /// Webhooks of providers read.
    pub webhooks: u64,
    /// Lines of settlement reports read.
    pub lines: u64,
    /// Differences, the first [`FINDINGS_MAX`].
    pub findings: Vec<PaymentFinding>,
}

/// Checks all payments. `each` sees those of every order, which are read once.
///
/// # Errors
/// [`DatabaseError`] where they cannot be read; a difference is a finding, not an error.
pub async fn audit(
    database: &Database,
    mut each: impl FnMut(&Case) + Send,
) -> Result<PaymentAudit, DatabaseError> {
    let mut all = PaymentAudit::default();
    let heads = store::event_heads(database).await?;
    let heads: BTreeMap<u16, _> =
        heads.into_iter().map(|(shard, at, hash)| (shard, (at, hash))).collect();
    for shard in 0..EVENT_SHARDS {
        let mut end = (0, <_>::default());
        loop {
            let page = store::events_after(database, (shard, end.0), PAGE).await?;
            if page.is_empty() {
                break;
            }
            for one in page {
                all.events += 1;
                let subject = format!("payment_events/{shard}/{}", one.position);
                if one.position != end.0 + 1 {
                    all.find(PaymentLaw::Chain, &subject, format!("follows {}", end.0));
                }
                if one.chained(&end.1) != one.hash {
                    all.find(PaymentLaw::Chain, &subject, "its hash is another".to_owned());
                }
                end = (one.position, one.hash);
            }
        }
        if heads.get(&shard).copied().unwrap_or_default() != end {
            let subject = format!("payment_events/{shard}");
            all.find(PaymentLaw::Chain, &subject, format!("its end is not at {}", end.0));
        }
    }
    let mut expected = 0;
    let mut after = String::new();
    loop {
        let page = store::cases_after(database, &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.order_id.to_string();
        for case in page {
            expected += all.case(database, &case).await?;
            each(&case);
        }
    }
    all.rows(database, expected).await?;
    all.of_webhooks(database).await?;
    all.of_reports(database).await?;
    Ok(all)
}

impl PaymentAudit {
    fn find(&mut self, law: PaymentLaw, subject: &str, detail: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(PaymentFinding { law, subject: subject.to_owned(), detail });
        }
    }

    /// One order; returns how many operations it has.
    async fn case(&mut self, database: &Database, case: &Case) -> Result<u64, DatabaseError> {
        let subject = format!("order/{}", case.order_id);
        let mut made = Case::new(case.order_id);
        let mut done: BTreeMap<OperationId, u32> = BTreeMap::new();
        for stored in store::events_of(database, case.order_id).await? {
            if stored.version != made.version + 1 {
                self.find(
                    PaymentLaw::AsPlanned,
                    &subject,
                    format!("no event {}", made.version + 1),
                );
            }
            let event = stored.parsed()?;
            if let Event::Succeeded { operation_id, .. } = &event {
                *done.entry(*operation_id).or_default() += 1;
            }
            match made.clone().evolve(&event) {
                Ok(after) => made = after,
                Err(error) => {
                    self.find(PaymentLaw::AsPlanned, &subject, error.to_string());
                    break;
                }
            }
        }
        if made != *case {
            let detail = "its payments are not what its events make of them";
            self.find(PaymentLaw::AsPlanned, &subject, detail.to_owned());
        }
        for (id, times) in done.into_iter().filter(|(_, times)| *times > 1) {
            let detail = format!("operation {id} was done {times} times");
            self.find(PaymentLaw::Once, &subject, detail);
        }
        let filter = PaymentFilter { order: Some(case.order_id), ..PaymentFilter::default() };
        let rows = store::payments(database, &filter, PAGE).await?;
        let mut count = 0;
        for payment in &case.payments {
            self.payments += 1;
            let row = rows.iter().find(|row| row.id == payment.id);
            let sums = row.map(|row| (row.status, row.captured, row.refunded, row.wanted));
            let made = (payment.status(), payment.captured(), payment.refunded(), payment.wanted());
            let asked = row.map(|row| (row.customer_id, &row.psp, row.currency, row.requested));
            let plan = case.plan.as_ref();
            let asks =
                plan.map(|plan| (plan.customer_id, &plan.psp, payment.currency, payment.requested));
            if sums != Some(made) || asked != asks {
                let detail = format!("payment {} is listed otherwise", payment.id);
                self.find(PaymentLaw::AsPlanned, &subject, detail);
            }
            self.sums(&subject, payment);
            for operation in &payment.operations {
                count += 1;
                self.operation(database, &subject, operation).await?;
            }
        }
        Ok(count)
    }

    fn sums(&mut self, subject: &str, one: &Payment) {
        let back = one.refunded().saturating_add(one.refund_pending());
        let back = back.saturating_add(one.lost_by_disputes());
        let reversed = one.operations.iter().any(|one| one.state == OperationState::Reversed);
        // What a provider takes back afterwards may leave more paid back than taken.
        let wrong = match () {
            () if back > one.captured() && !reversed => Some("more is paid back than was taken"),
            () if one.captured() > one.authorized() && !reversed => {
                Some("more was taken than was reserved")
            }
            () if one.wanted() < 0 || one.unwanted < 0 => Some("less than nothing is wanted"),
            () => None,
        };
        if let Some(wrong) = wrong {
            self.find(PaymentLaw::AsPlanned, subject, format!("payment {}: {wrong}", one.id));
        }
    }

    async fn operation(
        &mut self,
        database: &Database,
        subject: &str,
        operation: &Operation,
    ) -> Result<(), DatabaseError> {
        self.operations += 1;
        let row = store::operation(database, operation.id).await?;
        let fits = |row: &OperationRow| match operation.state {
            OperationState::Stuck => row.schedule.stage == Stage::Stuck,
            OperationState::Open | OperationState::Pending => {
                !matches!(row.schedule.stage, Stage::Done | Stage::Stuck)
            }
            _ => row.schedule.stage == Stage::Done,
        };
        if !row.as_ref().is_some_and(fits) {
            let stage = row.map_or("nothing", |row| row.schedule.stage.code());
            let detail = format!(
                "operation {} is {}, and what is next is {stage}",
                operation.id, operation.state
            );
            self.find(PaymentLaw::OperationsDue, subject, detail);
        }
        Ok(())
    }

    /// There is no row of an operation that no order has.
    async fn rows(&mut self, database: &Database, expected: u64) -> Result<(), DatabaseError> {
        let (mut count, mut after) = (0, String::new());
        loop {
            let page = store::operations_after(database, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id.to_string();
            count += u64::try_from(page.len()).unwrap_or_default();
        }
        if count != expected {
            let detail = format!("{count} rows, and the orders have {expected} operations");
            self.find(PaymentLaw::OperationsDue, "operations", detail);
        }
        Ok(())
    }

    /// What providers told.
    async fn of_webhooks(&mut self, database: &Database) -> Result<(), DatabaseError> {
        let heads: BTreeMap<u16, u64> = store::webhook_heads(database).await?.into_iter().collect();
        for shard in 0..WEBHOOK_SHARDS {
            let mut end = 0;
            loop {
                let page = store::webhooks_after(database, (shard, end), PAGE).await?;
                if page.is_empty() {
                    break;
                }
                for one in page {
                    self.webhooks += 1;
                    let subject = format!("webhooks/{shard}/{}", one.position);
                    if one.position != end + 1 {
                        let detail = format!("follows {end}");
                        self.find(PaymentLaw::WebhooksSettled, &subject, detail);
                    }
                    let waits = one.state == WebhookState::Waiting;
                    if waits == one.settled_at.is_some() {
                        let detail = format!("it is {}, and its end says otherwise", one.state);
                        self.find(PaymentLaw::WebhooksSettled, &subject, detail);
                    }
                    let known = one.told.is_some() || one.kind == store::NOT_UNDERSTOOD;
                    // A person who drops it has seen that.
                    if !known && one.state != WebhookState::Dropped {
                        let detail = "what it tells cannot be read".to_owned();
                        self.find(PaymentLaw::WebhooksSettled, &subject, detail);
                    }
                    if one.tries > 0 && one.note.is_empty() {
                        let detail = "it waited without a reason".to_owned();
                        self.find(PaymentLaw::WebhooksSettled, &subject, detail);
                    }
                    end = one.position;
                }
            }
            // Those that came since the ends were read are behind them.
            if heads.get(&shard).copied().unwrap_or_default() > end {
                let subject = format!("webhooks/{shard}");
                self.find(PaymentLaw::WebhooksSettled, &subject, format!("ends at {end}"));
            }
        }
        Ok(())
    }

    /// What providers say they paid out.
    async fn of_reports(&mut self, database: &Database) -> Result<(), DatabaseError> {
        let mut filter = LineFilter::default();
        loop {
            let page = store::settlement_lines(database, &filter, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            filter.after = Some((last.psp.to_string(), last.said.name.clone()));
            let orders: BTreeSet<OrderId> = page.iter().filter_map(|line| line.order_id).collect();
            let cases = store::cases_of(database, &orders).await?;
            let cases: BTreeMap<OrderId, Case> =
                cases.into_iter().map(|case| (case.order_id, case)).collect();
            for line in &page {
                self.lines += 1;
                let case = line.order_id.and_then(|order| cases.get(&order));
                if let Some(wrong) = wrong_line(line, case) {
                    let subject = format!("settlement/{}/{}", line.psp, line.said.name);
                    self.find(PaymentLaw::SettlementSums, &subject, wrong.to_owned());
                }
            }
        }
    }
}

/// What is wrong with a line of a report, beside the payments of its order.
fn wrong_line(line: &SettlementLine, case: Option<&Case>) -> Option<&'static str> {
    let said = &line.said;
    if said.fee.plus(said.net) != Ok(said.gross) {
        return Some("its gross amount is not its fee and what is left");
    }
    let is_known = matches!(line.state, LineState::Matched | LineState::Discrepancy);
    if (line.state == LineState::Discrepancy) != (line.off_by != 0) {
        return Some("how it stands is not by how much it differs");
    }
    let Some(id) = line.operation_id else {
        let is_of_nothing = !is_known || said.kind == LineKind::Fee;
        return (!is_of_nothing).then_some("it is known, and for nothing");
    };
    if !is_known {
        return Some("nobody knows what it is for, and it is for something");
    }
    let Some((_, operation)) = case.and_then(|case| case.operation(id)) else {
        return Some("it is for what its order has not");
    };
    let is_as_told = line.state == LineState::Matched
        && said.kind != LineKind::Dispute
        // What somebody else paid back of several captures at once is one line.
        && !operation.external;
    let minor = said.gross.minor.saturating_abs();
    (is_as_told && minor != operation.amount.minor).then_some("it is for another amount")
}
