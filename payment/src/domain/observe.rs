//! What a provider, or a person, says of an operation.

use shared_events::contract::Timestamp;

use super::{Case, Context, Event, Observation, Operation, OperationKind, OperationState, Payment};

/// A lower observation never replaces a higher one, but where a person must look at last.
pub(super) fn observed(
    payment: &Payment,
    operation: &Operation,
    seen: Observation,
    context: &Context,
) -> Option<Event> {
    let (operation_id, now) = (operation.id, context.now);
    let seen = match seen {
        // What cannot be given back may have been taken: a person must look.
        Observation::Declined { code } if operation.kind == OperationKind::Void => {
            Observation::Stuck { why: code }
        }
        seen => seen,
    };
    let state = match &seen {
        Observation::Done { .. } => OperationState::Succeeded,
        Observation::Pending { .. } => OperationState::Pending,
        Observation::Declined { .. } => OperationState::Declined,
        Observation::Reversed { .. } => OperationState::Reversed,
        Observation::Expired => return ended(payment, operation, now),
        Observation::Stuck { .. } => OperationState::Stuck,
    };
    // What a provider works on without an end is for people.
    let is_given_up = (operation.state, state) == (OperationState::Pending, OperationState::Stuck);
    if state <= operation.state && !is_given_up {
        return None;
    }
    Some(match seen {
        Observation::Done { reference, amount, valid_until } => {
            let amount = if operation.kind == OperationKind::Void {
                // A void gives back what is left, whatever the provider calls it.
                operation.amount
            } else {
                amount
            };
            let valid_until = (operation.kind == OperationKind::Authorize).then(|| {
                let seconds = u64::from(context.capabilities.authorization_seconds);
                valid_until.unwrap_or_else(|| now.plus(std::time::Duration::from_secs(seconds)))
            });
            let released = rest_of(payment, operation, context);
            Event::Succeeded { operation_id, reference, amount, valid_until, released, at: now }
        }
        Observation::Pending { reference } => {
            Event::Waits { operation_id, reference: Some(reference), stuck: None }
        }
        Observation::Declined { code } => Event::Declined { operation_id, code },
        // Nothing stands that could be taken back: it never was.
        Observation::Reversed { code } if operation.state != OperationState::Succeeded => {
            Event::Declined { operation_id, code }
        }
        Observation::Reversed { code } => Event::Reversed { operation_id, code, at: now },
        Observation::Expired => return None,
        Observation::Stuck { why } => {
            Event::Waits { operation_id, reference: None, stuck: Some(why) }
        }
    })
}

/// The end of an authorisation whose time is over. One that is being captured, or given back, waits
/// for that.
fn ended(payment: &Payment, one: &Operation, now: Timestamp) -> Option<Event> {
    let waits = payment.has_open(OperationKind::Capture) || payment.is_being_voided(one);
    let ends = payment.left_of(one) > 0 && !waits;
    ends.then_some(Event::Expired { operation_id: one.id, at: now })
}

/// What a last capture gives back of its authorisation, at a provider that does so.
fn rest_of(payment: &Payment, operation: &Operation, context: &Context) -> Option<i64> {
    let last = operation.kind == OperationKind::Capture && !operation.more_follows;
    let releases = last && context.capabilities.release_remainder;
    let authorization = payment.operation(operation.of.filter(|_| releases)?)?;
    Some(payment.left_of(authorization)).filter(|left| *left > 0)
}

/// Authorisations whose time is over.
pub(super) fn expired<'a>(case: &'a Case, context: &Context) -> impl Iterator<Item = Event> + 'a {
    let now = context.now;
    case.payments.iter().flat_map(move |payment| {
        let is_over = move |one: &&Operation| one.valid_until.is_some_and(|end| end <= now);
        let over = payment.operations.iter().filter(is_over);
        over.filter_map(move |one| ended(payment, one, now))
    })
}
