//! What a line of a settlement report is for, by what is known of payments. A report is the
//! provider's word on money that moved: it proves what became of an operation of which nobody knew.

use std::collections::BTreeSet;

use shared_events::contract::{LineAccount, LineKind, OperationId, PaymentId};

use super::{
    Case, External, LineState, Observation, Operation, OperationKind, OperationState, Payment,
    ReportLine,
};

/// Operations that lines have named before, and whether as done (or as undone).
pub type Named = BTreeSet<(OperationId, bool)>;

/// What a line is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// How it stands.
    pub state: LineState,
    /// By how much it is more than is known, in minor units.
    pub off_by: i64,
    /// What its gross amount is booked against.
    pub account: LineAccount,
    /// The payment and the operation that it is for.
    pub of: Option<(PaymentId, OperationId)>,
    /// What no later line is to name: the operation, and whether as done.
    pub names: Option<(OperationId, bool)>,
    /// What is to be said of it.
    pub note: &'static str,
}

impl Settled {
    /// What nobody knows.
    #[must_use]
    pub const fn unknown(note: &'static str) -> Self {
        let (state, account) = (LineState::Unknown, LineAccount::Suspense);
        Self { state, off_by: 0, account, of: None, names: None, note }
    }

    /// What is for nothing that the shop knows, as a person said.
    #[must_use]
    pub const fn written_off() -> Self {
        let (state, account) = (LineState::WrittenOff, LineAccount::WrittenOff);
        Self { state, off_by: 0, account, of: None, names: None, note: "" }
    }

    /// What is for no payment, and known.
    const fn plain() -> Self {
        let (state, account) = (LineState::Matched, LineAccount::Receivable);
        Self { state, off_by: 0, account, of: None, names: None, note: "" }
    }
}

/// The operation that a line is for: the one that it names by our reference, or else, of the
/// payment that has it, by the provider's. Where several captures have one name, one that no line
/// has named yet, and of its amount if there is one.
#[must_use]
pub fn finding<'a>(
    case: &'a Case,
    payment: Option<PaymentId>,
    line: &ReportLine,
    named: &Named,
) -> Option<(&'a Payment, &'a Operation)> {
    if let Some(found) = line.our_reference.and_then(|id| case.operation(id)) {
        return Some(found);
    }
    let payment = case.payment(payment?)?;
    let reference = line.psp_reference.as_deref()?;
    let fits = |one: &&Operation| {
        one.reference.as_deref() == Some(reference)
            && match line.kind {
                LineKind::Refund => one.kind == OperationKind::Refund,
                LineKind::Charge | LineKind::Dispute => {
                    matches!(one.kind, OperationKind::Capture | OperationKind::Authorize)
                }
                LineKind::Fee | LineKind::Adjustment => true,
            }
    };
    let all: Vec<&Operation> = payment.operations.iter().filter(fits).collect();
    best(&all, line, named).map(|one| (payment, one))
}

/// Of these, a capture or refund that no line has named, of its amount if there is one; or any.
fn best<'a>(all: &[&'a Operation], line: &ReportLine, named: &Named) -> Option<&'a Operation> {
    let minor = line.gross.minor.saturating_abs();
    let moves = |one: &&&Operation| one.kind != OperationKind::Authorize;
    let free = |one: &&&Operation| !named.contains(&(one.id, is_forwards(one, line)));
    let of_it = |one: &&&Operation| one.amount.minor == minor;
    let first = all.iter().filter(moves).filter(free).find(of_it);
    let first = first.or_else(|| all.iter().filter(moves).find(free));
    first.or_else(|| all.iter().find(moves)).or_else(|| all.first()).copied()
}

/// Whether a line says that an operation was done, and not that it was undone.
const fn is_forwards(operation: &Operation, line: &ReportLine) -> bool {
    match operation.kind {
        OperationKind::Refund => line.gross.minor < 0,
        _ => line.gross.minor > 0,
    }
}

/// What a line proves of an operation of which nobody knows what became: that its money moved. One
/// of more than was asked for proves nothing: it differs, and a person must look.
#[must_use]
pub fn proof(operation: &Operation, line: &ReportLine) -> Option<Observation> {
    let is_of = match operation.kind {
        OperationKind::Authorize | OperationKind::Capture => line.kind == LineKind::Charge,
        OperationKind::Refund => line.kind == LineKind::Refund,
        OperationKind::Void | OperationKind::Payout => false,
    };
    let same = operation.amount.currency == line.gross.currency;
    if !(operation.is_open() && is_of && same && is_forwards(operation, line)) {
        return None;
    }
    let mut amount = operation.amount;
    // Of a reservation a report says only what was taken of it.
    if operation.kind != OperationKind::Authorize {
        let minor = line.gross.minor.saturating_abs();
        if minor > operation.amount.minor {
            return None;
        }
        amount.minor = minor;
    }
    let reference = operation.reference.clone().unwrap_or_else(|| reference(line));
    Some(Observation::Done { reference, amount, valid_until: None })
}

/// What the provider calls what a line is for.
fn reference(line: &ReportLine) -> String {
    line.psp_reference.clone().unwrap_or_else(|| line.name.clone())
}

/// What was taken of a reservation without us, where a line says so and no capture is known that
/// it could be for.
#[must_use]
pub fn done_elsewhere(
    payment: &Payment,
    operation: &Operation,
    line: &ReportLine,
    named: &Named,
) -> Option<External> {
    let of_it = |one: &&Operation| one.of == Some(operation.id);
    let mut captures = payment.of_kind(OperationKind::Capture).filter(of_it);
    let is_known = captures.any(|one| !named.contains(&(one.id, true)));
    let same = operation.amount.currency == line.gross.currency;
    let taken = operation.kind == OperationKind::Authorize
        && line.kind == LineKind::Charge
        && line.gross.minor > 0;
    if !taken || !same || is_known {
        return None;
    }
    // All that is taken of it, which is how captures are told.
    let minor = payment.captured_of(operation).checked_add(line.gross.minor)?;
    Some(External {
        payment_id: payment.id,
        kind: OperationKind::Capture,
        authorization: Some(operation.id),
        reference: reference(line),
        amount: payment.money(minor),
    })
}

/// What a line is, beside what is known of the operation that it names.
#[must_use]
pub fn settled(found: Option<(&Payment, &Operation)>, line: &ReportLine, named: &Named) -> Settled {
    if line.kind == LineKind::Fee {
        return Settled::plain();
    }
    let Some((payment, operation)) = found else {
        return Settled::unknown("it names nothing that is known");
    };
    if operation.amount.currency != line.gross.currency {
        return Settled::unknown("what it names is in another currency");
    }
    match line.kind {
        LineKind::Adjustment => Settled::unknown("a person must say what it is for"),
        LineKind::Dispute => of_dispute(payment, operation, line),
        _ => of_operation(payment, operation, line, named),
    }
}

fn of_dispute(payment: &Payment, operation: &Operation, line: &ReportLine) -> Settled {
    let minor = line.gross.minor.saturating_abs();
    let known = payment.disputes.iter().any(|one| one.amount == minor);
    let (state, off_by, note) = match known {
        true => (LineState::Matched, 0, ""),
        false => (LineState::Discrepancy, line.gross.minor, "no dispute of this amount is known"),
    };
    let of = Some((payment.id, operation.id));
    Settled { state, off_by, account: LineAccount::Disputed, of, names: None, note }
}

/// The capture that a line is for which names its reservation.
#[must_use]
pub fn capture_of<'a>(
    payment: &'a Payment,
    operation: &Operation,
    line: &ReportLine,
    named: &Named,
) -> Option<&'a Operation> {
    let is_reservation = operation.kind == OperationKind::Authorize;
    let of_it = |one: &&Operation| is_reservation && one.of == Some(operation.id);
    let all: Vec<&Operation> = payment.of_kind(OperationKind::Capture).filter(of_it).collect();
    best(&all, line, named)
}

/// A line that is for a capture or a refund.
fn of_operation(
    payment: &Payment,
    operation: &Operation,
    line: &ReportLine,
    named: &Named,
) -> Settled {
    let operation = capture_of(payment, operation, line, named).unwrap_or(operation);
    let forwards = is_forwards(operation, line);
    let was_done = match operation.state {
        OperationState::Succeeded => forwards,
        OperationState::Reversed => true,
        _ => false,
    };
    let moves = matches!(operation.kind, OperationKind::Capture | OperationKind::Refund);
    let is_new = !named.contains(&(operation.id, forwards));
    let known = if moves && was_done && is_new { amount_of(payment, operation) } else { 0 };
    let known = if line.gross.minor < 0 { known.saturating_neg() } else { known };
    let off_by = line.gross.minor.saturating_sub(known);
    let (state, note) = match () {
        () if off_by == 0 => (LineState::Matched, ""),
        () if !is_new => (LineState::Discrepancy, "it was settled by another line"),
        () if !(moves && was_done) => {
            (LineState::Discrepancy, "as far as is known it was not done")
        }
        () => (LineState::Discrepancy, "another amount is known"),
    };
    let (of, names) = (Some((payment.id, operation.id)), Some((operation.id, forwards)));
    Settled { state, off_by, account: LineAccount::Receivable, of, names, note }
}

/// How much was done. What somebody else paid back of several captures at once is one refund.
fn amount_of(payment: &Payment, operation: &Operation) -> i64 {
    let whole = |one: &&Operation| {
        let part = operation.external && one.external && one.kind == operation.kind;
        one.id == operation.id
            || (part
                && operation.kind == OperationKind::Refund
                && one.reference == operation.reference)
    };
    let amounts = payment.operations.iter().filter(whole).map(|one| one.amount.minor);
    amounts.fold(0, i64::saturating_add)
}
