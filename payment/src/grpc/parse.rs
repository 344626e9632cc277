use psp::{PspReference, Token};
use service_edge::page::PageSize;
use service_edge::{Violations, one_of};
use shared_events::contract::{Money, OperationId, OrderId, PspName, RequestId};
use uuid::Uuid;

use super::proto;
use crate::domain::{Observation, OperationState, Status as Word, WebhookState};
use crate::store::PaymentFilter;

/// The most characters of a code of a person.
const CODE_MAX: usize = 60;

/// The order, the attempt and the token.
pub(super) fn attempted(
    request: &proto::AttemptRequest,
) -> Result<(OrderId, Uuid, Token), Violations> {
    let mut violations = Violations::default();
    let order = violations.parsed("order_id", &request.order_id);
    let attempt: Option<RequestId> = violations.parsed("attempt_id", &request.attempt_id);
    // The violation says what is expected, and never what was sent.
    let token = violations.parsed("psp_token", &request.psp_token);
    match (order, attempt, token) {
        (Some(order), Some(attempt), Some(token)) if violations.is_empty() => {
            Ok((order, attempt.uuid(), token))
        }
        _ => Err(violations),
    }
}

/// Which payments, and how many.
pub(super) fn filtered(
    request: &proto::ListPaymentsRequest,
) -> Result<(PaymentFilter, u32), Violations> {
    let mut violations = Violations::default();
    let mut filter = PaymentFilter::default();
    if !request.order_id.is_empty() {
        filter.order = violations.parsed("order_id", &request.order_id);
    }
    if !request.customer_id.is_empty() {
        filter.customer = violations.parsed("customer_id", &request.customer_id);
    }
    match proto::PaymentStatus::try_from(request.status) {
        Ok(proto::PaymentStatus::Unspecified) => {}
        Ok(status) => {
            let name = status.as_str_name().trim_start_matches("PAYMENT_STATUS_");
            filter.status = Word::of_code(name);
        }
        Err(_) => violations.wrong("status", one_of(proto::PaymentStatus::as_str_name)),
    }
    let size = PageSize::LIST.read(request.page_size, &mut violations);
    match size {
        Some(size) if violations.is_empty() => Ok((filter, size)),
        _ => Err(violations),
    }
}

/// What a person found out about an operation.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The money moved.
    Succeeded(PspReference),
    /// It did not.
    Declined(String),
}

impl Outcome {
    pub(super) fn observation(&self, amount: Money) -> Observation {
        match self {
            Self::Succeeded(reference) => {
                let reference = reference.as_str().to_owned();
                Observation::Done { reference, amount, valid_until: None }
            }
            Self::Declined(code) => Observation::Declined { code: code.clone() },
        }
    }

    /// The text by which saying it again is told from saying something else.
    pub(super) fn said(&self, reason: &str) -> String {
        let name = match self {
            Self::Succeeded(reference) => reference.as_str(),
            Self::Declined(code) => code.as_str(),
        };
        format!("{} {name:?} {reason}", self.state())
    }

    pub(super) const fn state(&self) -> OperationState {
        match self {
            Self::Succeeded(_) => OperationState::Succeeded,
            Self::Declined(_) => OperationState::Declined,
        }
    }
}

/// The operation, what became of it, and how that is known.
pub(super) fn resolved(
    request: &proto::ResolveOperationRequest,
) -> Result<(OperationId, Outcome, String), Violations> {
    let mut violations = Violations::default();
    let id = violations.parsed("operation_id", &request.operation_id);
    if request.succeeded && !request.code.is_empty() {
        violations.wrong("code", "only where the money did not move");
    }
    if !request.succeeded && !request.psp_reference.is_empty() {
        violations.wrong("psp_reference", "only where the money moved");
    }
    let outcome = if request.succeeded {
        violations.parsed("psp_reference", &request.psp_reference).map(Outcome::Succeeded)
    } else {
        code("code", &request.code, &mut violations).map(Outcome::Declined)
    };
    let reason = reason(&request.reason, "how you know what became of it", &mut violations);
    match (id, outcome) {
        (Some(id), Some(outcome)) if violations.is_empty() => Ok((id, outcome, reason)),
        _ => Err(violations),
    }
}

/// Which webhooks, and how many.
pub(super) fn listed(
    request: &proto::ListWebhooksRequest,
) -> Result<(Option<WebhookState>, u32), Violations> {
    let mut violations = Violations::default();
    let state = match proto::WebhookState::try_from(request.state) {
        Ok(proto::WebhookState::Unspecified) => None,
        Ok(state) => {
            WebhookState::of_code(state.as_str_name().trim_start_matches("WEBHOOK_STATE_"))
        }
        Err(_) => {
            violations.wrong("state", one_of(proto::WebhookState::as_str_name));
            None
        }
    };
    let size = PageSize::LIST.read(request.page_size, &mut violations);
    match size {
        Some(size) if violations.is_empty() => Ok((state, size)),
        _ => Err(violations),
    }
}

/// The webhook, and why it is put back or dropped.
pub(super) fn decided(
    request: &proto::ResolveWebhookRequest,
) -> Result<(PspName, String, String), Violations> {
    let mut violations = Violations::default();
    let psp = violations.parsed("psp", &request.psp);
    let id: Option<PspReference> = violations.parsed("event_id", &request.event_id);
    let reason = reason(&request.reason, "why", &mut violations);
    match (psp, id) {
        (Some(psp), Some(id)) if violations.is_empty() => Ok((psp, id.to_string(), reason)),
        _ => Err(violations),
    }
}

/// Why something came to nothing, as a person says it.
pub(super) fn code(field: &str, text: &str, violations: &mut Violations) -> Option<String> {
    let fits = (1..=CODE_MAX).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
    if !fits {
        violations.wrong(field, "1 to 60 lower-case letters, digits and _");
    }
    fits.then(|| text.to_owned())
}

/// What a person says of why.
pub(super) fn reason(text: &str, missing: &str, violations: &mut Violations) -> String {
    if text.trim().is_empty() {
        violations.wrong("reason", missing);
    }
    violations.reason("reason", text)
}
