use psp::Capabilities;
use shared_events::contract::{
    CapturePolicy, Money, OperationId, PaymentPart, RefundId, RequestedPayment, Timestamp,
};
use uuid::Uuid;

use super::observe::{expired, observed};
use super::payment::ATTEMPTS_MAX;
use super::react::react;
use super::theirs::{disputed, external};
use super::unheard::unheard;
use super::vanished::{asked_again, vanished};
use super::{
    Case, Event, External, Impossible, OfDispute, Operation, OperationKind, OperationState,
    Payment, Plan, Unheard,
};

/// Attempts that may wait for an order that has not asked for money yet.
const WAITING_MAX: usize = ATTEMPTS_MAX;
/// Events of one decision; each reaction opens an operation or tells something once.
const EVENTS_MAX: usize = 1_000;

/// Something that the payments of an order hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The order asks for money.
    Request {
        /// How.
        plan: Plan,
        /// How much of whom.
        parts: Vec<RequestedPayment>,
    },
    /// The customer pays.
    Attempt {
        /// The attempt; repeating it does nothing.
        attempt_id: Uuid,
    },
    /// The order is confirmed.
    Confirmed {
        /// The fact.
        cause: Uuid,
    },
    /// A parcel left.
    Fulfilled {
        /// The parcel.
        cause: Uuid,
        /// What it is worth of each payment.
        parts: Vec<PaymentPart>,
    },
    /// Lines, or all of the order, are cancelled.
    Cancelled {
        /// The fact.
        cause: Uuid,
        /// The refund of what was captured of it.
        refund_id: RefundId,
        /// What each payment is no longer wanted for.
        parts: Vec<PaymentPart>,
        /// Whether it is the whole order.
        whole: bool,
    },
    /// The order pays back.
    Refund {
        /// The refund.
        refund_id: RefundId,
        /// What each payment gives back.
        parts: Vec<PaymentPart>,
    },
    /// What the provider says of an operation.
    Observed {
        /// Which.
        operation_id: OperationId,
        /// What.
        seen: Observation,
    },
    /// Somebody took or paid back at the provider, without us.
    External(External),
    /// A report of the provider proves a reservation by what was taken of it without us.
    Taken {
        /// The authorisation.
        operation_id: OperationId,
        /// That it was done.
        seen: Observation,
        /// What was taken.
        what: External,
    },
    /// The customer disputes a payment, or that ended.
    Dispute(OfDispute),
    /// The journal was restored, and no longer holds the order.
    Vanished,
    /// The journal was restored, and holds the order without some of what it had said.
    Unheard(Unheard),
    /// Time passed.
    Tick,
}

/// What the provider says of an operation, or what a person found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The money moved.
    Done {
        /// The provider's name of it.
        reference: String,
        /// How much.
        amount: Money,
        /// Of an authorisation: until when it stands.
        valid_until: Option<Timestamp>,
    },
    /// The provider, or the customer, works on it.
    Pending {
        /// The provider's name of it.
        reference: String,
    },
    /// A definite no.
    Declined {
        /// Why.
        code: String,
    },
    /// What it said is done is not.
    Reversed {
        /// Why.
        code: String,
    },
    /// An authorisation is over by its time.
    Expired,
    /// Nobody knows, and asking did not help.
    Stuck {
        /// What was tried.
        why: String,
    },
}

/// What a decision needs beside the case.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// What the provider of the plan can do.
    pub capabilities: Capabilities,
    /// The time.
    pub now: Timestamp,
}

/// Why payments refuse what they are asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The order was cancelled, or its payment has failed.
    #[error("the order no longer wants to be paid")]
    NotWanted,
    /// All that the order asks for is paid, or being paid.
    #[error("nothing is left to pay")]
    NothingToPay,
    /// Each payment has had all its attempts.
    #[error(
        "no attempt is left: each payment has at most {ATTEMPTS_MAX}, and as many wait for an order"
    )]
    AttemptsSpent,
    /// The attempt was made with another token.
    #[error("the attempt was made with another token: another one needs an id of its own")]
    OtherToken,
    /// The attempt was made before the order was lost, and the order asks for money again.
    #[error(
        "the attempt was made before the order was lost and placed again: another one needs an id \
         of its own"
    )]
    AttemptOfLost,
    /// A person says what became of an operation that is not stuck.
    #[error("the operation is not stuck: nobody needs to say what became of it")]
    NotStuck(OperationState),
    /// There is no such operation.
    #[error("no such operation")]
    OperationUnknown,
    /// Something of ours that is under way must end first.
    #[error("something of ours is under way, and may be it")]
    UnderWay,
    /// A fact says what cannot be: a payment that the order has not, an amount below zero.
    #[error("{0}")]
    Malformed(&'static str),
    /// The history is broken.
    #[error(transparent)]
    Broken(#[from] Impossible),
}

/// The events of an input, those that follow from it included, and the case after them. Nothing
/// happens where it was heard before.
///
/// # Errors
/// [`Rejection`]
pub fn decide(case: &Case, input: Input, context: &Context) -> Result<Decision, Rejection> {
    let mut after = case.clone();
    let mut events = Vec::new();
    for event in direct(case, input, context)? {
        after = after.evolve(&event)?;
        events.push(event);
    }
    while let Some(event) = react(&after, context) {
        after = after.evolve(&event)?;
        events.push(event);
        if events.len() > EVENTS_MAX {
            return Err(Impossible("a decision without an end").into());
        }
    }
    Ok(Decision { events, after })
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// In order.
    pub events: Vec<Event>,
    /// The case after them.
    pub after: Case,
}

/// An operation, and where somebody paid back of several captures at once the others of that.
fn same_refund<'a>(
    payment: &'a Payment,
    seen: &'a Operation,
) -> impl Iterator<Item = &'a Operation> {
    let part = |one: &Operation| one.external && one.kind == OperationKind::Refund;
    payment.operations.iter().filter(move |one| {
        one.id == seen.id || (part(one) && part(seen) && one.reference == seen.reference)
    })
}

/// The events of an input itself.
fn direct(case: &Case, input: Input, context: &Context) -> Result<Vec<Event>, Rejection> {
    Ok(match input {
        Input::Request { plan, parts } if case.vanished => asked_again(case, plan, parts)?,
        Input::Vanished => vanished(case, context.now).into_iter().collect(),
        Input::Unheard(what) => unheard(case, what).into_iter().collect(),
        Input::Request { plan, parts } => {
            let known = case.plan.is_some() || case.cancelled.is_some();
            if known { Vec::new() } else { request(plan, parts)? }
        }
        Input::Attempt { attempt_id } => attempt(case, attempt_id)?,
        Input::Confirmed { cause } => confirmed(case, cause),
        Input::Fulfilled { cause, parts } => {
            let parts = checked(case, parts)?;
            case.left(cause, parts).into_iter().collect()
        }
        Input::Cancelled { cause, refund_id, parts, whole } => {
            cancelled(case, cause, refund_id, parts, whole)?
        }
        Input::Refund { refund_id, parts } => {
            let parts = checked(case, parts)?;
            let known = case.refunds.iter().any(|one| one.id == refund_id);
            let new = !known && !parts.is_empty();
            let due = Event::RefundDue { refund_id, parts, cancelled: false };
            new.then_some(due).into_iter().collect()
        }
        Input::Observed { operation_id, seen } => {
            let (payment, operation) =
                case.operation(operation_id).ok_or(Rejection::OperationUnknown)?;
            let same = same_refund(payment, operation);
            same.filter_map(|one| observed(payment, one, seen.clone(), context)).collect()
        }
        Input::External(what) => external(case, &what, context)?,
        Input::Taken { operation_id, seen, what } => {
            let mut events = direct(case, Input::Observed { operation_id, seen }, context)?;
            let mut after = case.clone();
            for event in &events {
                after = after.evolve(event)?;
            }
            // Before what is not wanted of the reservation is given back: nothing is left of it.
            events.extend(external(&after, &what, context)?);
            events
        }
        Input::Dispute(what) => disputed(case, what, context)?.into_iter().collect(),
        Input::Tick => expired(case, context).collect(),
    })
}

fn is_on_fulfil(plan: &Plan) -> bool {
    plan.capture == CapturePolicy::OnFulfil
}

fn request(plan: Plan, parts: Vec<RequestedPayment>) -> Result<Vec<Event>, Rejection> {
    well_formed(&parts)?;
    Ok(vec![Event::Requested { plan, parts }])
}

/// What an order asks for can be: each payment once, no amount below zero, one currency.
pub(super) fn well_formed(parts: &[RequestedPayment]) -> Result<(), Rejection> {
    let mut seen = std::collections::BTreeSet::new();
    let currency = parts.first().map(|part| part.amount.currency);
    for part in parts {
        if !seen.insert(part.payment_id) {
            return Err(Rejection::Malformed("a payment is asked for twice"));
        }
        if part.amount.minor < 0 || Some(part.amount.currency) != currency {
            return Err(Rejection::Malformed("an amount below zero, or of another currency"));
        }
        if part.fee_bps > 10_000 {
            return Err(Rejection::Malformed("a fee of more than all of it"));
        }
    }
    Ok(())
}

/// Parts that are of payments of this case, without those of nothing.
fn checked(case: &Case, parts: Vec<PaymentPart>) -> Result<Vec<PaymentPart>, Rejection> {
    for part in &parts {
        let payment = case.payment(part.payment_id);
        let payment = payment.ok_or(Rejection::Malformed("a payment that the order has not"))?;
        // Where what was taken does not count, the order may have asked in another currency.
        let is_other = part.amount.currency != payment.currency && case.uncounted.is_none();
        if part.amount.minor < 0 || is_other {
            return Err(Rejection::Malformed("an amount below zero, or of another currency"));
        }
    }
    Ok(parts.into_iter().filter(|part| part.amount.minor > 0).collect())
}

/// Whether a payment can be paid now.
pub(super) fn may_pay(payment: &Payment) -> bool {
    payment.is_short()
        && payment.failed.is_empty()
        && payment.standing().is_none()
        && !payment.attempts().any(Operation::is_open)
}

fn attempt(case: &Case, attempt_id: Uuid) -> Result<Vec<Event>, Rejection> {
    if case.attempts.contains(&attempt_id) {
        // It paid for the order that was lost, and pays nothing of this one.
        let pays = case.is_wanted() && case.payments.iter().any(may_pay);
        let refused = pays && case.is_attempt_of_lost(attempt_id);
        return if refused { Err(Rejection::AttemptOfLost) } else { Ok(Vec::new()) };
    }
    if !case.is_wanted() {
        return Err(Rejection::NotWanted);
    }
    if case.plan.is_none() {
        let full = case.attempts.len() >= WAITING_MAX;
        let event = Event::Attempted { attempt_id };
        return if full { Err(Rejection::AttemptsSpent) } else { Ok(vec![event]) };
    }
    let payable: Vec<&Payment> = case.payments.iter().filter(|one| may_pay(one)).collect();
    if payable.is_empty() {
        return Err(Rejection::NothingToPay);
    }
    let spent = |one: &&Payment| one.attempts().count() >= ATTEMPTS_MAX;
    if payable.iter().all(spent) {
        return Err(Rejection::AttemptsSpent);
    }
    Ok(vec![Event::Attempted { attempt_id }])
}

/// With `ON_CONFIRM` all that is wanted is due.
fn confirmed(case: &Case, cause: Uuid) -> Vec<Event> {
    let on_confirm = case.plan.as_ref().is_some_and(|plan| !is_on_fulfil(plan));
    if !on_confirm || case.causes.contains(&cause) {
        return Vec::new();
    }
    let wanted = case.payments.iter().filter(|one| one.wanted() > 0);
    let parts =
        wanted.map(|one| PaymentPart { payment_id: one.id, amount: one.money(one.wanted()) });
    vec![Event::Due { cause, parts: parts.collect() }]
}

/// What is not taken yet is no longer wanted, what is taken or being taken is paid back.
fn cancelled(
    case: &Case,
    cause: Uuid,
    refund_id: RefundId,
    parts: Vec<PaymentPart>,
    whole: bool,
) -> Result<Vec<Event>, Rejection> {
    if case.causes.contains(&cause) || (whole && case.cancelled.is_some()) {
        return Ok(Vec::new());
    }
    if case.plan.is_none() {
        // It never asked for money, and will not.
        let event = Event::Unwanted { cause, parts: Vec::new(), whole };
        return Ok(if whole { vec![event] } else { Vec::new() });
    }
    let parts = checked(case, parts)?;
    let mut back = Vec::new();
    for part in &parts {
        let Some(payment) = case.payment(part.payment_id) else { continue };
        if part.amount.minor > payment.wanted() {
            return Err(Rejection::Malformed("more is cancelled than is wanted"));
        }
        let taken = payment.captured().saturating_add(payment.capture_pending());
        let over = taken.saturating_sub(payment.wanted().saturating_sub(part.amount.minor));
        let over = over.clamp(0, part.amount.minor);
        // What does not count for the order is not paid back because of it.
        if over > 0 && case.uncounted.is_none() {
            back.push(PaymentPart { amount: payment.money(over), ..*part });
        }
    }
    let mut events = Vec::new();
    if whole || !parts.is_empty() {
        events.push(Event::Unwanted { cause, parts, whole });
    }
    if !back.is_empty() && !case.refunds.iter().any(|one| one.id == refund_id) {
        events.push(Event::RefundDue { refund_id, parts: back, cancelled: true });
    }
    Ok(events)
}
