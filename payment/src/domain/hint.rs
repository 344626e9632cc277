//! What a webhook hints at. Nothing is decided by it: what may have happened is asked for, and only
//! disputes, of which a provider says no more, are taken as told.

use psp::{Event as Told, What};
use shared_events::contract::{Money, OperationId, PaymentId, Timestamp};

use super::{Case, External, OfDispute, Operation, OperationKind, OperationState, Payment};

/// What is to be done about a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It tells what is known, or what does not count any more.
    Nothing(&'static str),
    /// It is about something that is not known yet, and is looked at again.
    Wait(&'static str),
    /// The provider is asked what became of an operation.
    Ask {
        /// Which.
        operation: OperationId,
        /// Whether the reservation is said to have ended by its time.
        expired: bool,
        /// What is said to have become of it. A lower answer is waited over: some providers find
        /// late what they did.
        claims: OperationState,
    },
    /// Somebody else did something at the provider: it is asked whether that is so.
    External(External),
    /// A dispute.
    Dispute(OfDispute),
}

/// What a webhook about a payment hints at.
#[must_use]
pub fn hint(case: &Case, payment: PaymentId, told: &Told) -> Hint {
    let Some(payment) = case.payment(payment) else {
        return Hint::Wait("the payment is not asked for yet");
    };
    match &told.what {
        What::Authorized { .. } => of_authorization(payment, told, OperationState::Succeeded),
        What::ActionRequired => of_authorization(payment, told, OperationState::Pending),
        What::Declined { .. } => of_authorization(payment, told, OperationState::Declined),
        What::Voided | What::Reversed | What::Expired => gone(payment, told),
        What::Captured { amount } => captured(payment, told, *amount),
        What::CaptureFailed { .. } => failed(payment, told, OperationKind::Capture),
        What::Refunded { amount } => refunded(payment, told, *amount),
        What::RefundFailed { .. } => failed(payment, told, OperationKind::Refund),
        What::DisputeOpened { amount, respond_by } => {
            disputed(payment, told, (*amount, *respond_by, None))
        }
        What::DisputeWon { amount } => disputed(payment, told, (*amount, None, Some(true))),
        What::DisputeLost { amount } => disputed(payment, told, (*amount, None, Some(false))),
        What::PayoutPaid { .. } | What::PayoutFailed { .. } | What::Other { .. } => {
            Hint::Nothing("nothing of payments")
        }
    }
}

/// The operation of a kind that a webhook names, by our id or by the provider's.
fn named<'a>(payment: &'a Payment, told: &Told, kind: OperationKind) -> Option<&'a Operation> {
    let ours = told.our_reference.map(|ours| OperationId::from_uuid(ours.0));
    let by = |one: &&Operation, reference: &Option<psp::PspReference>| {
        let reference = reference.as_ref().map(psp::PspReference::as_str);
        reference.is_some() && one.reference.as_deref() == reference
    };
    let mut of_kind = payment.of_kind(kind);
    of_kind
        .find(|one| Some(one.id) == ours)
        .or_else(|| payment.of_kind(kind).find(|one| by(one, &told.reference)))
        .or_else(|| match kind {
            OperationKind::Authorize => payment.of_kind(kind).find(|one| by(one, &told.payment)),
            _ => None,
        })
}

/// A claim counts only where it is higher than what is known.
fn ask(operation: &Operation, claims: OperationState) -> Hint {
    match operation.state {
        // A person looks at it anyway; what the provider says is better.
        OperationState::Stuck => {}
        known if claims <= known => return Hint::Nothing("known already"),
        _ => {}
    }
    Hint::Ask { operation: operation.id, expired: false, claims }
}

fn of_authorization(payment: &Payment, told: &Told, claims: OperationState) -> Hint {
    match named(payment, told, OperationKind::Authorize) {
        Some(operation) => ask(operation, claims),
        None => Hint::Wait("no attempt has this reference yet"),
    }
}

/// A reservation is given back, taken back, or over.
fn gone(payment: &Payment, told: &Told) -> Hint {
    let Some(one) = named(payment, told, OperationKind::Authorize).or_else(|| {
        let void = named(payment, told, OperationKind::Void)?;
        payment.operation(void.of?)
    }) else {
        return Hint::Wait("no attempt has this reference yet");
    };
    let taking = |other: &Operation| other.of == Some(one.id) && other.is_open();
    if payment.of_kind(OperationKind::Capture).any(taking) {
        return Hint::Wait("it is being taken");
    }
    let mut voids = payment.of_kind(OperationKind::Void).filter(|void| void.of == Some(one.id));
    if let Some(void) = voids.next() {
        return ask(void, OperationState::Succeeded);
    }
    match one.state {
        OperationState::Succeeded if payment.left_of(one) > 0 => {
            let (expired, claims) = (told.what == What::Expired, OperationState::Declined);
            Hint::Ask { operation: one.id, expired, claims }
        }
        OperationState::Succeeded => Hint::Nothing("nothing of it is left"),
        _ => ask(one, OperationState::Declined),
    }
}

fn captured(payment: &Payment, told: &Told, amount: Money) -> Hint {
    let claims = OperationState::Succeeded;
    let ours = named(payment, told, OperationKind::Capture);
    if let Some(one) = ours.filter(|one| !one.stands()) {
        return ask(one, claims);
    }
    // Captures of one authorisation can have one name: then only the sum tells them apart.
    let taken = match named(payment, told, OperationKind::Authorize) {
        Some(of) => payment.captured_of(of),
        None => payment.captured(),
    };
    if ours.is_some() && amount.minor <= taken {
        return Hint::Nothing("known already");
    }
    let mut open = payment.of_kind(OperationKind::Capture).filter(|one| one.is_open());
    if let Some(one) = open.next() {
        return Hint::Ask { operation: one.id, expired: false, claims };
    }
    if amount.minor <= taken {
        return Hint::Nothing("known already");
    }
    external(payment, told, OperationKind::Capture, amount)
}

fn refunded(payment: &Payment, told: &Told, amount: Money) -> Hint {
    if let Some(one) = named(payment, told, OperationKind::Refund) {
        return ask(one, OperationState::Succeeded);
    }
    let unnamed = |one: &&Operation| one.is_open() && one.reference.is_none();
    if payment.of_kind(OperationKind::Refund).any(|one| unnamed(&one)) {
        return Hint::Wait("a refund of ours is under way, and may be it");
    }
    if payment.has_open(OperationKind::Capture) {
        return Hint::Wait("what it would be of is being taken");
    }
    if payment.captured() == 0 {
        // Razorpay calls it a refund where a reservation goes back.
        return match gone(payment, told) {
            ask @ Hint::Ask { .. } => ask,
            _ => Hint::Nothing("nothing was taken that it could be of"),
        };
    }
    external(payment, told, OperationKind::Refund, amount)
}

fn external(payment: &Payment, told: &Told, kind: OperationKind, amount: Money) -> Hint {
    let Some(reference) = told.reference.as_ref().map(ToString::to_string) else {
        return Hint::Nothing("it names nothing");
    };
    let authorization = named(payment, told, OperationKind::Authorize).map(|one| one.id);
    Hint::External(External { payment_id: payment.id, kind, authorization, reference, amount })
}

/// A capture or refund that failed, perhaps after it was told as done.
fn failed(payment: &Payment, told: &Told, kind: OperationKind) -> Hint {
    let claims = OperationState::Declined;
    if let Some(one) = named(payment, told, kind) {
        return match one.state {
            OperationState::Succeeded => Hint::Ask { operation: one.id, expired: false, claims },
            _ => ask(one, claims),
        };
    }
    let mut unnamed = payment.of_kind(kind).filter(|one| one.is_open() && one.reference.is_none());
    match unnamed.next() {
        Some(one) => Hint::Ask { operation: one.id, expired: false, claims },
        None => Hint::Nothing("nothing of ours has this reference"),
    }
}

fn disputed(
    payment: &Payment,
    told: &Told,
    (amount, respond_by, won): (Money, Option<Timestamp>, Option<bool>),
) -> Hint {
    let captures = || payment.of_kind(OperationKind::Capture);
    let by_name = named(payment, told, OperationKind::Capture);
    let Some(capture) = by_name.or_else(|| captures().find(|one| one.stands())) else {
        return Hint::Wait("nothing is taken yet that could be disputed");
    };
    let id = told.dispute.as_ref().or(told.reference.as_ref()).map(ToString::to_string);
    let Some(id) = id else { return Hint::Nothing("it names nothing") };
    let (payment_id, capture) = (payment.id, capture.id);
    Hint::Dispute(OfDispute { payment_id, id, capture, amount, respond_by, won })
}
