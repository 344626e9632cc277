use psp::{
    Answer, Authorize, CallKey, Capture, Lookup, OurReference, Psp, PspReference, Refund, Void,
};
use shared_events::stream::{DatabaseError, Tx};

use super::Runner;
use crate::domain::{Case, Operation, OperationKind};
use crate::store;

/// What is sent to a provider.
pub(super) enum Call {
    Authorize(Authorize),
    Capture(Capture),
    Void(Void),
    Refund(Refund),
}

impl Runner {
    /// What is sent; or why it cannot be.
    pub(super) async fn request(
        &self,
        tx: &mut Tx,
        case: &Case,
        operation: &Operation,
        generation: u32,
    ) -> Result<Result<Call, &'static str>, DatabaseError> {
        let key = CallKey { operation: operation.id.uuid(), generation };
        let amount = operation.amount;
        if operation.kind == OperationKind::Authorize {
            let token = store::token(tx, case.order_id, operation.cause).await?;
            let action_until = case.plan.as_ref().map_or((self.now)(), |plan| plan.pay_by);
            // That of an order that was lost may be another customer's.
            let known = case.operation(operation.id);
            let of_lost = known.is_some_and(|(payment, one)| payment.is_earlier(one.id));
            let customer = case.plan.as_ref().filter(|_| !of_lost).map(|plan| plan.customer_id);
            let call =
                |token| Call::Authorize(Authorize { key, amount, token, customer, action_until });
            return Ok(token.map(call).ok_or("token_gone"));
        }
        let of = operation.of.and_then(|id| case.operation(id));
        let reference = of.and_then(|(_, one)| one.reference.as_deref());
        let Some(reference) = reference.and_then(|text| text.parse::<PspReference>().ok()) else {
            return Ok(Err("reference_unknown"));
        };
        let more_follows = operation.more_follows;
        Ok(Ok(match operation.kind {
            OperationKind::Capture => {
                Call::Capture(Capture { key, authorization: reference, amount, more_follows })
            }
            OperationKind::Void => Call::Void(Void { key, authorization: reference }),
            _ => Call::Refund(Refund { key, capture: reference, amount }),
        }))
    }
}

/// What is looked up, with what it is about as far as that is known: what the operation is of, or
/// the provider's own name of an authorisation, by which it is found at once. `told` is that name
/// where a webhook has it.
pub(super) fn lookup(case: &Case, operation: &Operation, told: Option<&PspReference>) -> Lookup {
    let named = |one: &Operation| one.reference.as_deref()?.parse().ok();
    let about = match operation.kind {
        OperationKind::Authorize => named(operation).or_else(|| told.cloned()),
        _ => operation.of.and_then(|id| case.operation(id)).and_then(|(_, of)| named(of)),
    };
    let ours = OurReference(operation.id.uuid());
    Lookup { operation: ours, kind: kind(operation.kind), about }
}

/// Where the customer acts, if they must.
pub(super) fn action(answer: &Answer) -> Option<String> {
    match answer {
        Answer::ActionRequired { url, .. } => Some(url.clone()),
        _ => None,
    }
}

/// What an operation is to the port.
pub(super) const fn kind(kind: OperationKind) -> psp::Kind {
    match kind {
        OperationKind::Authorize => psp::Kind::Authorize,
        OperationKind::Capture => psp::Kind::Capture,
        OperationKind::Void => psp::Kind::Void,
        OperationKind::Refund => psp::Kind::Refund,
        OperationKind::Payout => psp::Kind::Payout,
    }
}

pub(super) async fn send(psp: &dyn Psp, call: Call) -> Answer {
    match call {
        Call::Authorize(call) => psp.authorize(call).await,
        Call::Capture(call) => psp.capture(call).await,
        Call::Void(call) => psp.void(call).await,
        Call::Refund(call) => psp.refund(call).await,
    }
}
