//! The calls about payouts to sellers.

use psp::PspReference;
use service_edge::page::{PageSize, Tokens, cut};
use service_edge::time::timestamp;
use service_edge::{Refused, Violations, one_of, parsed};
use shared_events::contract::{Currency, PayoutId, Reason, RequestId};
use shared_events::stream::AskedBy;
use tonic::{Request, Response, Status};

use super::parse::{code, reason};
use super::proto;
use super::proto::payout_service_server::PayoutService;
use super::refusal::{not_found, unavailable};
use super::render::money;
use crate::Payments;
use crate::domain::{Observation, Payout, PayoutState, RunState};
use crate::payouts::{PayoutError, RunAsked, SaidBy};
use crate::store::{self, PayoutFilter, PayoutRow, PayoutRun};

const NO_PAYOUT: &str = "no payout has this id";
const NO_RUN: &str = "no run of payouts has this id";

/// The gRPC service of payouts.
pub struct PayoutEdge {
    payments: Payments,
}

impl PayoutEdge {
    pub(crate) const fn new(payments: Payments) -> Self {
        Self { payments }
    }
}

#[tonic::async_trait]
impl PayoutService for PayoutEdge {
    async fn run_payouts(
        &self,
        request: Request<proto::RunPayoutsRequest>,
    ) -> Result<Response<proto::RunPayoutsResponse>, Status> {
        let by = caller(&request);
        let request = request.into_inner();
        let (asked, reason) = asked(&request)?;
        let said = SaidBy { by: &by, reason: &reason };
        let run = self.payments.run_payouts(asked, said, request.validate_only).await;
        let (run, replayed) = run.map_err(refused)?;
        let run = Some(rendered_run(&run));
        Ok(Response::new(proto::RunPayoutsResponse { run, replayed }))
    }

    async fn get_payout_run(
        &self,
        request: Request<proto::GetPayoutRunRequest>,
    ) -> Result<Response<proto::GetPayoutRunResponse>, Status> {
        let id: RequestId = parsed("run_id", &request.into_inner().run_id)?;
        let found = store::payout_run(self.payments.database(), id.uuid()).await;
        let found = found.map_err(|error| unavailable(&error))?;
        let run = Some(rendered_run(&found.ok_or_else(|| not_found(NO_RUN))?));
        Ok(Response::new(proto::GetPayoutRunResponse { run }))
    }

    async fn get_payout(
        &self,
        request: Request<proto::GetPayoutRequest>,
    ) -> Result<Response<proto::GetPayoutResponse>, Status> {
        let id: PayoutId = parsed("payout_id", &request.into_inner().payout_id)?;
        let found = store::payout(self.payments.database(), id).await;
        let found = found.map_err(|error| unavailable(&error))?;
        let payout = Some(rendered(&found.ok_or_else(|| not_found(NO_PAYOUT))?));
        Ok(Response::new(proto::GetPayoutResponse { payout }))
    }

    async fn list_payouts(
        &self,
        request: Request<proto::ListPayoutsRequest>,
    ) -> Result<Response<proto::ListPayoutsResponse>, Status> {
        let request = request.into_inner();
        let (filter, size) = filtered(&request)?;
        // Of what was parsed: a seller in another spelling is the same.
        let seller = filter.seller.as_ref().map(ToString::to_string).unwrap_or_default();
        let currency = filter.currency.map(|currency| currency.code()).unwrap_or_default();
        let run = filter.run.map(|run| run.to_string()).unwrap_or_default();
        let tokens = Tokens::of(format!("{run}/{currency}/{}/{seller}", request.state));
        let after = tokens.place(&request.page_token, |place| place.parse().ok())?;
        let filter = PayoutFilter { after, ..filter };
        let found = store::payouts(self.payments.database(), &filter, size + 1).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let more = cut(&mut found, size);
        let last = found.last().filter(|_| more);
        let next_page_token = last.map(|last| tokens.after(last.payout.id)).unwrap_or_default();
        let payouts = found.iter().map(rendered).collect();
        Ok(Response::new(proto::ListPayoutsResponse { payouts, next_page_token }))
    }

    async fn retry_payout(
        &self,
        request: Request<proto::RetryPayoutRequest>,
    ) -> Result<Response<proto::RetryPayoutResponse>, Status> {
        let by = caller(&request);
        let request = request.into_inner();
        let mut violations = Violations::default();
        let id: Option<PayoutId> = violations.parsed("payout_id", &request.payout_id);
        let why = violations.reason("reason", &request.reason);
        let Some(id) = id.filter(|_| violations.is_empty()) else { return Err(violations.into()) };
        let said = SaidBy { by: &by, reason: &why };
        let row = self.payments.retry_payout(id, said, request.validate_only).await;
        let payout = Some(rendered(&row.map_err(refused)?));
        Ok(Response::new(proto::RetryPayoutResponse { payout }))
    }

    async fn resolve_payout(
        &self,
        request: Request<proto::ResolvePayoutRequest>,
    ) -> Result<Response<proto::ResolvePayoutResponse>, Status> {
        let by = caller(&request);
        let request = request.into_inner();
        let (id, outcome, why) = resolved(&request)?;
        let text = outcome.said(&why);
        let seen = |of: &Payout| outcome.observation(of);
        let said = SaidBy { by: &by, reason: &why };
        let (payments, only) = (&self.payments, request.validate_only);
        let row = payments.resolve_payout(id, (seen, text.as_str()), said, only).await;
        let payout = Some(rendered(&row.map_err(refused)?));
        Ok(Response::new(proto::ResolvePayoutResponse { payout }))
    }
}

fn caller<T>(request: &Request<T>) -> AskedBy {
    request.extensions().get::<AskedBy>().cloned().unwrap_or_default()
}

/// What a run is asked to pay out, and why.
fn asked(request: &proto::RunPayoutsRequest) -> Result<(RunAsked, String), Violations> {
    let mut violations = Violations::default();
    let id: Option<RequestId> = violations.parsed("run_id", &request.run_id);
    let seller = optional("seller", &request.seller, &mut violations);
    let currency = optional::<Currency>("currency_code", &request.currency_code, &mut violations);
    let reason = violations.reason("reason", &request.reason);
    match id {
        Some(id) if violations.is_empty() => {
            Ok((RunAsked { id: id.uuid(), seller, currency }, reason))
        }
        _ => Err(violations),
    }
}

/// Which payouts, and how many.
fn filtered(request: &proto::ListPayoutsRequest) -> Result<(PayoutFilter, u32), Violations> {
    let mut violations = Violations::default();
    let seller = optional("seller", &request.seller, &mut violations);
    let currency = optional::<Currency>("currency_code", &request.currency_code, &mut violations);
    let run: Option<RequestId> = optional("run_id", &request.run_id, &mut violations);
    let state = match proto::PayoutState::try_from(request.state) {
        Ok(proto::PayoutState::Unspecified) => None,
        Ok(state) => PayoutState::of_code(state.as_str_name().trim_start_matches("PAYOUT_STATE_")),
        Err(_) => {
            violations.wrong("state", one_of(proto::PayoutState::as_str_name));
            None
        }
    };
    let size = PageSize::LIST.read(request.page_size, &mut violations);
    let run = run.map(|run| run.uuid());
    match size {
        Some(size) if violations.is_empty() => {
            Ok((PayoutFilter { seller, currency, state, run, after: None }, size))
        }
        _ => Err(violations),
    }
}

/// A text that may be left out.
fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
    violations: &mut Violations,
) -> Option<T> {
    if text.is_empty() { None } else { violations.parsed(field, text) }
}

/// What a person found out about a payout.
enum Outcome {
    Paid(PspReference),
    NotPaid(String),
}

impl Outcome {
    fn observation(&self, of: &Payout) -> Observation {
        match self {
            Self::Paid(reference) => {
                let reference = reference.as_str().to_owned();
                Observation::Done { reference, amount: of.amount, valid_until: None }
            }
            Self::NotPaid(code) => Observation::Declined { code: code.clone() },
        }
    }

    /// The text by which saying it again is told from saying something else.
    fn said(&self, reason: &str) -> String {
        match self {
            Self::Paid(reference) => format!("paid {:?} {reason}", reference.as_str()),
            Self::NotPaid(code) => format!("not paid {code:?} {reason}"),
        }
    }
}

fn resolved(
    request: &proto::ResolvePayoutRequest,
) -> Result<(PayoutId, Outcome, String), Violations> {
    let mut violations = Violations::default();
    let id = violations.parsed("payout_id", &request.payout_id);
    if request.paid && !request.code.is_empty() {
        violations.wrong("code", "only where it was not paid");
    }
    if !request.paid && !request.psp_reference.is_empty() {
        violations.wrong("psp_reference", "only where it was paid");
    }
    let outcome = match request.paid {
        true => violations.parsed("psp_reference", &request.psp_reference).map(Outcome::Paid),
        false => code("code", &request.code, &mut violations).map(Outcome::NotPaid),
    };
    let why = reason(&request.reason, "how you know what became of it", &mut violations);
    match (id, outcome) {
        (Some(id), Some(outcome)) if violations.is_empty() => Ok((id, outcome, why)),
        _ => Err(violations),
    }
}

fn refused(error: PayoutError) -> Status {
    let refused = match &error {
        PayoutError::Database(error) => return unavailable(error),
        PayoutError::NotSupported => Refused::new(Reason::PayoutsNotSupported),
        PayoutError::OtherRun => Refused::new(Reason::IdempotencyKeyReused).about("run_id"),
        PayoutError::Unknown => return not_found(NO_PAYOUT),
        PayoutError::NotStuck(state) | PayoutError::Over(state) => {
            Refused::new(Reason::OperationNotStuck).with("state", state.code())
        }
    };
    refused.say(&error.to_string())
}

fn rendered(row: &PayoutRow) -> proto::Payout {
    let PayoutRow { payout: one, schedule, updated_at, .. } = row;
    let state = match one.state {
        PayoutState::Collecting => proto::PayoutState::Collecting,
        PayoutState::Collected => proto::PayoutState::Collected,
        PayoutState::Submitted => proto::PayoutState::Submitted,
        PayoutState::Settling => proto::PayoutState::Settling,
        PayoutState::Paid => proto::PayoutState::Paid,
        PayoutState::Returned => proto::PayoutState::Returned,
        PayoutState::Refused => proto::PayoutState::Refused,
        PayoutState::Stuck => proto::PayoutState::Stuck,
    };
    proto::Payout {
        payout_id: one.id.to_string(),
        run_id: one.run_id.to_string(),
        seller: one.seller.to_string(),
        psp: one.psp.to_string(),
        amount: Some(money(one.amount)),
        state: state.into(),
        code: one.code.clone(),
        psp_reference: one.reference.clone().unwrap_or_default(),
        create_time: Some(timestamp(one.made_at)),
        pay_time: one.paid_at.map(timestamp),
        return_time: one.returned_at.map(timestamp),
        update_time: Some(timestamp(*updated_at)),
        stage: schedule.stage.code().to_owned(),
        due_time: Some(timestamp(schedule.due_at)),
        calls: schedule.calls,
        note: schedule.note.clone(),
    }
}

fn rendered_run(run: &PayoutRun) -> proto::PayoutRun {
    let state = match run.state {
        RunState::Running => proto::PayoutRunState::Running,
        RunState::Done => proto::PayoutRunState::Done,
    };
    proto::PayoutRun {
        run_id: run.id.to_string(),
        seller: run.seller.as_ref().map(ToString::to_string).unwrap_or_default(),
        currency_code: run.currency.map(|one| one.code().to_owned()).unwrap_or_default(),
        psp: run.psp.to_string(),
        state: state.into(),
        payouts: run.payouts,
        start_time: Some(timestamp(run.started_at)),
        end_time: run.ended_at.map(timestamp),
        note: run.note.clone(),
    }
}
