//! Reports of what providers paid out: each imported once, in one transaction, its lines matched
//! with what is known of payments.
//! Never here: what a line is for.

mod matching; // what lines are matched with

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared_events::contract::{FactBody, FactId, OrderId, Origin, PaymentFact, PspName, Timestamp};
use shared_events::stream::{
    AskedBy, Database, DatabaseError, NewFact, OperatorAction, Outbox, Tx, Verb,
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::counted::Became;
use crate::domain::{Context, Fault, LineState, ReportLine, Settled, report_lines};
use crate::psps::Psps;
use crate::store::{self, Of, OpenCase, Origins, Settlement, SettlementCounts, SettlementLine};

use matching::{Matching, Place};

/// The namespace of reports, chosen once.
const REPORTS: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_8000_7265_706f_7274);

/// Imports reports, and hears what people say of their lines. Clones share it.
#[derive(Clone)]
pub struct Settlements {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) psps: Psps,
    pub(crate) due: Arc<Notify>,
    pub(crate) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// A report to import.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The provider.
    pub psp: &'a PspName,
    /// The bytes of its file, which are text.
    pub text: &'a str,
    /// What the file is called; may be empty.
    pub file_name: &'a str,
}

/// Who asks, in which trace (W3C `traceparent` and `tracestate`), and whether only for what would
/// be.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Who.
    pub by: AskedBy,
    /// The trace.
    pub trace: (Option<String>, Option<String>),
    /// Whether nothing is kept of it.
    pub validate_only: bool,
}

/// A report that was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The report.
    pub settlement: Settlement,
    /// Whether it had been imported before: then nothing happened.
    pub is_again: bool,
}

/// Why nothing was imported, or nothing resolved.
#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Lines are none of a report.
    #[error("lines are none of a report")]
    Faulty(Vec<Fault>),
    /// Lines stand with other content in an earlier report.
    #[error("lines stand with other content in an earlier report")]
    Altered(Vec<Fault>),
    /// The provider has no such line.
    #[error("no report of this provider has such a line")]
    LineUnknown,
    /// It is known what the line is for.
    #[error("it is known what the line is for: a person need not say it")]
    NotUnknown(LineState),
    /// Nothing at the provider is called so.
    #[error("nothing of this provider is called so, by us or by it")]
    ReferenceUnknown,
    /// What is called so was done in another currency.
    #[error("what is called so was done in another currency")]
    OtherCurrency,
}

impl Settlements {
    /// Its database.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Imports a report: all of it or nothing. The same bytes again change nothing, and neither
    /// does a line that stood in an earlier report.
    ///
    /// # Errors
    /// [`SettlementError`]
    pub async fn import(
        &self,
        report: Report<'_>,
        asked: &Asked,
    ) -> Result<Imported, SettlementError> {
        let lines = report_lines(report.text).map_err(SettlementError::Faulty)?;
        let Report { psp, text, file_name } = report;
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        let id = Uuid::new_v5(&REPORTS, format!("{psp}/{hash}").as_bytes());
        let mut tx = self.database.begin().await?;
        store::take_reports(&mut tx, psp).await?;
        if let Some(settlement) = store::imported(&mut tx, id).await? {
            tx.rollback().await.map_err(DatabaseError::from)?;
            return Ok(Imported { settlement, is_again: true });
        }
        let mut counts =
            SettlementCounts { lines: many(lines.len()), ..SettlementCounts::default() };
        let new = self.without_known(&mut tx, psp, lines).await?;
        let said: Vec<&ReportLine> = new.iter().map(|(_, said)| said).collect();
        let origins = of_trace(Some(id.to_string()), asked);
        let mut matching = self.matching(&mut tx, (psp, origins), &said).await?;
        let (rows, facts) = matched((psp, id), new, &mut matching, &mut counts);
        let (file_name, now) = (file_name.to_owned(), self.now());
        let (psp, asked_by) = (psp.clone(), asked.by.to_string());
        let settlement =
            Settlement { id, psp, hash, file_name, counts, asked_by, imported_at: now };
        if asked.validate_only {
            tx.rollback().await.map_err(DatabaseError::from)?;
            return Ok(Imported { settlement, is_again: false });
        }
        store::keep_settlement(&mut tx, &settlement).await?;
        store::add_lines(&self.database, &mut tx, &rows).await?;
        imported_by(&settlement, asked).write(&mut tx).await?;
        self.commit(tx, matching.cases, (rows.as_slice(), facts), now).await?;
        Ok(Imported { settlement, is_again: false })
    }

    /// A person says what a line is for of which nobody knew: something that we or the provider
    /// call so, or nothing (`to` absent). With it comes the record of that, and what they said.
    ///
    /// # Errors
    /// [`SettlementError`]
    pub async fn resolve(
        &self,
        (psp, name): (&PspName, &str),
        to: Option<&str>,
        (action, said): (OperatorAction, &str),
        asked: &Asked,
    ) -> Result<SettlementLine, SettlementError> {
        let mut tx = self.database.begin().await?;
        store::take_reports(&mut tx, psp).await?;
        let known = store::known_lines(&self.database, &mut tx, psp, &[name]).await?;
        let line = known.into_iter().next().ok_or(SettlementError::LineUnknown)?;
        if line.state != LineState::Unknown {
            return Err(SettlementError::NotUnknown(line.state));
        }
        let mut copy = line.said.clone();
        if let Some(to) = to {
            copy.our_reference = to.parse().ok();
            copy.psp_reference = Some(to.to_owned());
        }
        let named: Vec<&ReportLine> = to.map(|_| &copy).into_iter().collect();
        let origins = of_trace(None, asked);
        let mut matching = self.matching(&mut tx, (psp, origins), &named).await?;
        let (settled, place) = match to {
            Some(_) => matching.resolved(copy)?,
            None => (Settled::written_off(), None),
        };
        let (now, account) = (self.now(), settled.account);
        let (shard, number) = (line.shard, line.number);
        let row = row(psp, line.settlement_id, (number, line.said), settled, place);
        let action = action.changing(line.state.code(), row.state.code());
        let row = SettlementLine { shard, resolved_at: Some(now), ..row };
        if asked.validate_only {
            tx.rollback().await.map_err(DatabaseError::from)?;
            return Ok(row);
        }
        // It was unknown in this transaction, which has taken the reports of the provider.
        if !store::resolve_line(&mut tx, &row).await? {
            return Err(SettlementError::NotUnknown(row.state));
        }
        store::keep_resolution(&mut tx, Of::Line(psp, name), said).await?;
        action.write(&mut tx).await?;
        let body = PaymentFact::SettlementResolved { line: row.told(), account };
        let facts = vec![told(&row, body, &matching.origins)];
        self.commit(tx, matching.cases, (std::slice::from_ref(&row), facts), now).await?;
        Ok(row)
    }

    /// The lines that stood in no report before.
    async fn without_known(
        &self,
        tx: &mut Tx,
        psp: &PspName,
        mut lines: Vec<(usize, ReportLine)>,
    ) -> Result<Vec<(usize, ReportLine)>, SettlementError> {
        let names: Vec<&str> = lines.iter().map(|(_, said)| said.name.as_str()).collect();
        let known = store::known_lines(&self.database, tx, psp, &names).await?;
        let known: BTreeMap<&str, &ReportLine> =
            known.iter().map(|line| (line.said.name.as_str(), &line.said)).collect();
        let is_altered = |said: &ReportLine| {
            known.get(said.name.as_str()).is_some_and(|earlier| *earlier != said)
        };
        let altered: Vec<Fault> = lines
            .iter()
            .filter(|(_, said)| is_altered(said))
            .map(|(line, said)| {
                let what = format!("{} of {psp} stands with other content already", said.name);
                Fault { line: *line, what }
            })
            .collect();
        if !altered.is_empty() {
            return Err(SettlementError::Altered(altered));
        }
        lines.retain(|(_, said)| !known.contains_key(said.name.as_str()));
        Ok(lines)
    }

    async fn matching(
        &self,
        tx: &mut Tx,
        (psp, origins): (&PspName, Origins),
        lines: &[&ReportLine],
    ) -> Result<Matching, DatabaseError> {
        let context = Context { capabilities: self.psps.capabilities(Some(psp)), now: self.now() };
        Matching::begin(&self.database, tx, psp, lines, (context, origins)).await
    }

    async fn commit(
        &self,
        mut tx: Tx,
        cases: BTreeMap<OrderId, OpenCase>,
        (lines, facts): (&[SettlementLine], Vec<NewFact>),
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let named: BTreeSet<_> = lines.iter().filter_map(|line| line.operation_id).collect();
        let stores = (&self.database, &self.outbox);
        let became = Became::all(cases.values().map(OpenCase::became));
        let cases = cases.into_values().collect();
        store::write_beside(stores, &mut tx, cases, facts, now).await?;
        // After what a line has proved was done, and so was to be named.
        store::not_due(&self.database, &mut tx, &named).await?;
        tx.commit().await?;
        became.count();
        self.outbox.committed();
        self.due.notify_one();
        Ok(())
    }
}

/// The lines of a report, each as it is found to be, and the facts that say so.
fn matched(
    (psp, id): (&PspName, Uuid),
    lines: Vec<(usize, ReportLine)>,
    matching: &mut Matching,
    counts: &mut SettlementCounts,
) -> (Vec<SettlementLine>, Vec<NewFact>) {
    let (mut rows, mut facts) = (Vec::new(), Vec::new());
    for (number, said) in lines {
        let (settled, place) = matching.line(&said);
        counts.new_lines += 1;
        match settled.state {
            LineState::Matched => counts.matched += 1,
            LineState::Discrepancy => counts.discrepancies += 1,
            LineState::Unknown | LineState::WrittenOff => counts.unknown += 1,
        }
        let account = settled.account;
        let row = row(psp, id, (many(number), said), settled, place);
        let body = PaymentFact::SettlementLine { line: row.told(), account };
        facts.push(told(&row, body, &matching.origins));
        rows.push(row);
    }
    counts.proved = matching.proved;
    (rows, facts)
}

/// What follows belongs to the trace of the call.
fn of_trace(causationid: Option<String>, asked: &Asked) -> Origins {
    let (traceparent, tracestate) = asked.trace.clone();
    Origins { causationid, traceparent, tracestate }
}

fn row(
    psp: &PspName,
    settlement_id: Uuid,
    (number, said): (u64, ReportLine),
    settled: Settled,
    place: Place,
) -> SettlementLine {
    let (order_id, shard) = place.unzip();
    let (payment_id, operation_id) = settled.of.unzip();
    SettlementLine {
        psp: psp.clone(),
        settlement_id,
        number,
        said,
        state: settled.state,
        off_by: settled.off_by,
        order_id,
        payment_id,
        operation_id,
        shard: shard.unwrap_or_default(),
        note: settled.note.to_owned(),
        resolved_at: None,
    }
}

/// A fact about a line. What is of no order is in the first shard.
fn told(row: &SettlementLine, body: PaymentFact, origins: &Origins) -> NewFact {
    NewFact {
        id: FactId::once(Origin::Payments, row.id().uuid(), body.kind()),
        shard: row.shard,
        sequence: None,
        causationid: origins.causationid.clone(),
        traceparent: origins.traceparent.clone(),
        tracestate: origins.tracestate.clone(),
        body: FactBody::Payment(body),
    }
}

/// The record of an import.
fn imported_by(settlement: &Settlement, asked: &Asked) -> OperatorAction {
    let Settlement { psp, file_name, counts, imported_at, .. } = settlement;
    let verb = Verb::ImportSettlement;
    let action = OperatorAction::new(&asked.by, verb, psp.as_str(), file_name, *imported_at);
    action.changing("", &format!("{} of {} lines are new", counts.new_lines, counts.lines))
}

fn many(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
