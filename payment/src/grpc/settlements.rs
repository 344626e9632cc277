//! Reports of providers and their lines.

use std::time::Duration;

use psp::PspReference;
use service_edge::page::{PageSize, Tokens, cut};
use service_edge::time::timestamp;
use service_edge::{Refused, Violations, one_of, traceparent, tracestate};
use shared_events::contract::{
    LineKind, Money, PspName, Reason, SettlementId, TextRule, Timestamp,
};
use shared_events::stream::{AskedBy, OperatorAction, Verb};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::proto;
use super::proto::settlement_service_server::SettlementService;
use super::refusal::{not_found, unavailable};
use super::render::{money, rendered_kind};
use crate::domain::{Fault, LineState, report_lines};
use crate::settlement::{Asked, Report, SettlementError, Settlements};
use crate::store::{self, LineFilter, Of, Settlement, SettlementLine, Unsettled};

const NO_REPORT: &str = "no report with this id was imported";
const NO_LINE: &str = "no report of this provider has such a line";
/// The most characters of a file's name.
const FILE_NAME_MAX: usize = 200;
/// After so many days a capture is missing that no report has named.
const MISSING_DAYS: u32 = 7;
const MISSING_DAYS_MAX: u32 = 3_650;
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The gRPC service of settlement.
pub struct SettlementEdge {
    settlements: Settlements,
}

impl SettlementEdge {
    pub(crate) const fn new(settlements: Settlements) -> Self {
        Self { settlements }
    }

    async fn line(&self, psp: &PspName, name: &str) -> Result<SettlementLine, Status> {
        let found = store::settlement_line(self.settlements.database(), (psp, name)).await;
        found.map_err(|error| unavailable(&error))?.ok_or_else(|| not_found(NO_LINE))
    }

    /// Whether this was said of a line before, also meanwhile by somebody else: it stands, and is
    /// not refused.
    async fn was_said(&self, psp: &PspName, name: &str, said: &str) -> Result<bool, Status> {
        let of = Of::Line(psp, name);
        let known = store::was_said(self.settlements.database(), of, said).await;
        known.map_err(|error| unavailable(&error))
    }
}

/// Who asks, in which trace, and whether only what it would do.
fn asked<T>(request: &Request<T>, validate_only: bool) -> Asked {
    let by = request.extensions().get::<AskedBy>().cloned().unwrap_or_default();
    Asked { by, trace: (traceparent(request), tracestate(request)), validate_only }
}

fn refused(error: SettlementError) -> Status {
    let say = error.to_string();
    match error {
        SettlementError::Database(error) => unavailable(&error),
        SettlementError::Faulty(faults) => {
            let mut violations = Violations::default();
            faults.iter().for_each(|fault| violations.wrong("report", fault));
            violations.into()
        }
        SettlementError::Altered(faults) => {
            let shown = faults.iter().take(Violations::SHOWN_MAX).map(Fault::to_string);
            let shown = shown.collect::<Vec<_>>().join("; ");
            Refused::new(Reason::IdempotencyKeyReused).about("report").say(&shown)
        }
        SettlementError::LineUnknown | SettlementError::ReferenceUnknown => not_found(&say),
        SettlementError::NotUnknown(state) => {
            Refused::new(Reason::OperationNotStuck).with("state", state.code()).say(&say)
        }
        SettlementError::OtherCurrency => {
            Violations::one("to", Violations::INVALID_FIELD, &say).into()
        }
    }
}

/// The provider, and what its file is called.
fn imported(request: &proto::ImportSettlementRequest) -> Result<(PspName, String), Violations> {
    let mut violations = Violations::default();
    let psp = violations.parsed("psp", &request.psp);
    if request.report.is_empty() {
        violations.wrong("report", "required; CSV whose first line names its columns");
    } else if psp.is_none()
        && let Err(faults) = report_lines(&request.report)
    {
        // Every field that is wrong is named at once; otherwise the import looks.
        faults.iter().for_each(|fault| violations.wrong("report", fault));
    }
    let name = TextRule::line(FILE_NAME_MAX).stored(&request.file_name);
    let name = name.map_err(|error| violations.wrong("file_name", error)).unwrap_or_default();
    match psp {
        Some(psp) if violations.is_empty() => Ok((psp, name)),
        _ => Err(violations),
    }
}

/// A provider that is asked for; none for all.
fn of_psp(text: &str, violations: &mut Violations) -> Option<PspName> {
    if text.is_empty() { None } else { violations.parsed("psp", text) }
}

fn report_id(text: &str, violations: &mut Violations) -> Option<Uuid> {
    violations.parsed("settlement_id", text).map(SettlementId::uuid)
}

/// Which lines, and how many.
fn filtered(request: &proto::ListSettlementLinesRequest) -> Result<(LineFilter, u32), Violations> {
    let mut violations = Violations::default();
    let psp = of_psp(&request.psp, &mut violations);
    let settlement = match request.settlement_id.as_str() {
        "" => None,
        text => report_id(text, &mut violations),
    };
    let state = match proto::SettlementLineState::try_from(request.state) {
        Ok(proto::SettlementLineState::Unspecified) => None,
        Ok(proto::SettlementLineState::Matched) => Some(LineState::Matched),
        Ok(proto::SettlementLineState::Discrepancy) => Some(LineState::Discrepancy),
        Ok(proto::SettlementLineState::Unknown) => Some(LineState::Unknown),
        Ok(proto::SettlementLineState::WrittenOff) => Some(LineState::WrittenOff),
        Err(_) => {
            violations.wrong("state", one_of(proto::SettlementLineState::as_str_name));
            None
        }
    };
    let size = PageSize::LIST.read(request.page_size, &mut violations);
    match size {
        Some(size) if violations.is_empty() => {
            Ok((LineFilter { psp, state, settlement, after: None }, size))
        }
        _ => Err(violations),
    }
}

/// The line, what it is for (nothing, where it is written off), and how that is known.
fn resolved(
    request: &proto::ResolveSettlementLineRequest,
) -> Result<(PspName, String, Option<String>, String), Violations> {
    let mut violations = Violations::default();
    let psp = violations.parsed("psp", &request.psp);
    let name: Option<PspReference> = violations.parsed("line_id", &request.line_id);
    let mut to: Option<PspReference> = None;
    match (request.write_off, request.to.is_empty()) {
        (true, false) => violations.wrong("to", "empty where the line is written off"),
        (true, true) => {}
        (false, _) => to = violations.parsed("to", &request.to),
    }
    if request.reason.trim().is_empty() {
        violations.wrong("reason", "how you know what it is for");
    }
    let reason = violations.reason("reason", &request.reason);
    match (psp, name) {
        (Some(psp), Some(name)) if violations.is_empty() => {
            Ok((psp, name.to_string(), to.map(|to| to.to_string()), reason))
        }
        _ => Err(violations),
    }
}

fn rendered(one: &Settlement) -> proto::Settlement {
    let counts = &one.counts;
    proto::Settlement {
        settlement_id: one.id.to_string(),
        psp: one.psp.to_string(),
        file_name: one.file_name.clone(),
        hash: one.hash.clone(),
        lines: counts.lines,
        new_lines: counts.new_lines,
        matched: counts.matched,
        discrepancies: counts.discrepancies,
        unknown: counts.unknown,
        proved: counts.proved,
        import_time: Some(timestamp(one.imported_at)),
        asked_by: one.asked_by.clone(),
    }
}

fn rendered_line(one: &SettlementLine) -> proto::SettlementLine {
    let said = &one.said;
    let kind = match said.kind {
        LineKind::Charge => proto::SettlementLineKind::Charge,
        LineKind::Refund => proto::SettlementLineKind::Refund,
        LineKind::Fee => proto::SettlementLineKind::Fee,
        LineKind::Adjustment => proto::SettlementLineKind::Adjustment,
        LineKind::Dispute => proto::SettlementLineKind::Dispute,
    };
    let state = match one.state {
        LineState::Matched => proto::SettlementLineState::Matched,
        LineState::Discrepancy => proto::SettlementLineState::Discrepancy,
        LineState::Unknown => proto::SettlementLineState::Unknown,
        LineState::WrittenOff => proto::SettlementLineState::WrittenOff,
    };
    let (settled, rate) = said.settled.clone().unzip();
    proto::SettlementLine {
        psp: one.psp.to_string(),
        line_id: said.name.clone(),
        settlement_id: one.settlement_id.to_string(),
        number: one.number,
        kind: kind.into(),
        state: state.into(),
        gross: Some(money(said.gross)),
        fee: Some(money(said.fee)),
        net: Some(money(said.net)),
        settled: settled.map(money),
        rate: rate.unwrap_or_default(),
        off_by: Some(money(Money::new(one.off_by, said.gross.currency))),
        our_reference: said.our_reference.map(|id| id.to_string()).unwrap_or_default(),
        psp_reference: said.psp_reference.clone().unwrap_or_default(),
        order_id: one.order_id.map(|id| id.to_string()).unwrap_or_default(),
        payment_id: one.payment_id.map(|id| id.to_string()).unwrap_or_default(),
        operation_id: one.operation_id.map(|id| id.to_string()).unwrap_or_default(),
        report_time: Some(timestamp(said.at)),
        resolve_time: one.resolved_at.map(timestamp),
        note: one.note.clone(),
    }
}

fn rendered_unsettled(one: &Unsettled) -> proto::UnsettledOperation {
    proto::UnsettledOperation {
        operation_id: one.operation_id.to_string(),
        payment_id: one.payment_id.to_string(),
        order_id: one.order_id.to_string(),
        psp: one.psp.to_string(),
        kind: rendered_kind(one.kind).into(),
        amount: Some(money(one.amount)),
        done_time: Some(timestamp(one.done_at)),
    }
}

/// An instant in microseconds and an id, as page tokens have them.
fn place<T: std::str::FromStr>(text: &str) -> Option<(i64, T)> {
    let (at, id) = text.split_once('/')?;
    Some((at.parse().ok()?, id.parse().ok()?))
}

#[tonic::async_trait]
impl SettlementService for SettlementEdge {
    async fn import_settlement(
        &self,
        request: Request<proto::ImportSettlementRequest>,
    ) -> Result<Response<proto::ImportSettlementResponse>, Status> {
        let asked = asked(&request, request.get_ref().validate_only);
        let request = request.into_inner();
        let (psp, file_name) = imported(&request)?;
        let report = Report { psp: &psp, text: &request.report, file_name: &file_name };
        let imported = self.settlements.import(report, &asked).await.map_err(refused)?;
        let (settlement, replayed) = (Some(rendered(&imported.settlement)), imported.is_again);
        Ok(Response::new(proto::ImportSettlementResponse { settlement, replayed }))
    }

    async fn list_settlements(
        &self,
        request: Request<proto::ListSettlementsRequest>,
    ) -> Result<Response<proto::ListSettlementsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let psp = of_psp(&request.psp, &mut violations);
        let size = PageSize::LIST.read(request.page_size, &mut violations).unwrap_or_default();
        violations.none_or()?;
        let tokens = Tokens::of(format!("settlements/{}", request.psp));
        let before = tokens.place(&request.page_token, place::<Uuid>)?;
        let database = self.settlements.database();
        let found = store::settlements(database, psp.as_ref(), before, size + 1).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let last = found.last().filter(|_| more);
        let next = last.map(|one| tokens.after(format!("{}/{}", one.imported_at.micros(), one.id)));
        let (settlements, next_page_token) =
            (found.iter().map(rendered).collect(), next.unwrap_or_default());
        Ok(Response::new(proto::ListSettlementsResponse { settlements, next_page_token }))
    }

    async fn get_settlement(
        &self,
        request: Request<proto::GetSettlementRequest>,
    ) -> Result<Response<proto::GetSettlementResponse>, Status> {
        let mut violations = Violations::default();
        let id = report_id(&request.get_ref().settlement_id, &mut violations);
        let id = id.ok_or(violations)?;
        let found = store::settlement(self.settlements.database(), id).await;
        let found = found.map_err(|error| unavailable(&error))?;
        let settlement = found.as_ref().map(rendered).ok_or_else(|| not_found(NO_REPORT))?;
        Ok(Response::new(proto::GetSettlementResponse { settlement: Some(settlement) }))
    }

    async fn list_settlement_lines(
        &self,
        request: Request<proto::ListSettlementLinesRequest>,
    ) -> Result<Response<proto::ListSettlementLinesResponse>, Status> {
        let request = request.into_inner();
        let (filter, size) = filtered(&request)?;
        // Of what was parsed: an id in another spelling is the same id.
        let settlement = filter.settlement.map(|id| id.to_string()).unwrap_or_default();
        let tokens = Tokens::of(format!("lines/{}/{settlement}/{}", request.psp, request.state));
        let place = |place: &str| {
            let (psp, name) = place.split_once('/')?;
            Some((psp.to_owned(), name.to_owned()))
        };
        let after = tokens.place(&request.page_token, place)?;
        let filter = LineFilter { after, ..filter };
        let found = store::settlement_lines(self.settlements.database(), &filter, size + 1).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let last = found.last().filter(|_| more);
        let next = last.map(|one| tokens.after(format!("{}/{}", one.psp, one.said.name)));
        let (lines, next_page_token) =
            (found.iter().map(rendered_line).collect(), next.unwrap_or_default());
        Ok(Response::new(proto::ListSettlementLinesResponse { lines, next_page_token }))
    }

    async fn list_unsettled(
        &self,
        request: Request<proto::ListUnsettledRequest>,
    ) -> Result<Response<proto::ListUnsettledResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::default();
        let psp = of_psp(&request.psp, &mut violations);
        let days = match request.older_than_days {
            0 => MISSING_DAYS,
            days => days,
        };
        if days > MISSING_DAYS_MAX {
            violations.wrong("older_than_days", format!("at most {MISSING_DAYS_MAX}; 0 is 7"));
        }
        let size = PageSize::LIST.read(request.page_size, &mut violations).unwrap_or_default();
        violations.none_or()?;
        let tokens = Tokens::of(format!("missing/{}/{days}", request.psp));
        let after = tokens.place(&request.page_token, place)?;
        let age = i64::try_from((DAY * days).as_micros()).unwrap_or(i64::MAX);
        let now = self.settlements.now();
        let before = Timestamp::from_micros(now.micros().saturating_sub(age));
        let database = self.settlements.database();
        let found = store::unsettled(database, psp.as_ref(), (before, after), size + 1).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let last = found.last().filter(|_| more);
        let next =
            last.map(|one| tokens.after(format!("{}/{}", one.done_at.micros(), one.operation_id)));
        let (operations, next_page_token) =
            (found.iter().map(rendered_unsettled).collect(), next.unwrap_or_default());
        Ok(Response::new(proto::ListUnsettledResponse { operations, next_page_token }))
    }

    async fn resolve_settlement_line(
        &self,
        request: Request<proto::ResolveSettlementLineRequest>,
    ) -> Result<Response<proto::ResolveSettlementLineResponse>, Status> {
        let asked = asked(&request, request.get_ref().validate_only);
        let (psp, name, to, reason) = resolved(request.get_ref())?;
        let said = format!("{} {reason}", to.as_deref().unwrap_or(LineState::WrittenOff.code()));
        let (verb, target) = (Verb::ResolveSettlementLine, format!("{psp}/{name}"));
        let action = OperatorAction::new(&asked.by, verb, &target, &reason, self.settlements.now());
        let (line, person) = ((&psp, name.as_str()), (action, said.as_str()));
        let line = match self.settlements.resolve(line, to.as_deref(), person, &asked).await {
            Ok(line) => line,
            Err(error @ SettlementError::NotUnknown(_)) => {
                if !self.was_said(&psp, &name, &said).await? {
                    return Err(refused(error));
                }
                self.line(&psp, &name).await?
            }
            Err(error) => return Err(refused(error)),
        };
        let line = Some(rendered_line(&line));
        Ok(Response::new(proto::ResolveSettlementLineResponse { line }))
    }
}
