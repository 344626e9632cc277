//! What payments count: what became of operations, and the calls of providers.

use psp::{Answer, Found};
use shared_events::contract::PspName;
use shared_events::metric;
use shared_events::metric::table::PSP_OPERATIONS;

use crate::domain::{Case, Event, OperationKind, OperationState, Payout, PayoutState};
use crate::psps::Psps;

const SUCCEEDED: &str = "succeeded";
const DECLINED: &str = "declined";
const REVERSED: &str = "reversed";
const EXPIRED: &str = "expired";
const PENDING: &str = "pending";
const STUCK: &str = "stuck";
/// Nobody knows what became of it.
pub(crate) const UNKNOWN: &str = "unknown";

/// What became of operations in a transaction. It is counted once that is committed.
#[derive(Default)]
pub(crate) struct Became(Vec<(PspName, OperationKind, &'static str)>);

impl Became {
    /// By these events, which happened to the case.
    pub(crate) fn of<'a>(case: &Case, events: impl Iterator<Item = &'a Event>) -> Self {
        if !metric::is_on() {
            return Self::default();
        }
        let counted = events.filter_map(|event| {
            let (id, outcome) = match event {
                Event::Succeeded { operation_id, .. } => (*operation_id, SUCCEEDED),
                Event::Declined { operation_id, .. } => (*operation_id, DECLINED),
                Event::Reversed { operation_id, .. } => (*operation_id, REVERSED),
                Event::Expired { operation_id, .. } => (*operation_id, EXPIRED),
                Event::Waits { operation_id, stuck: None, .. } => (*operation_id, PENDING),
                Event::Waits { operation_id, .. } => (*operation_id, STUCK),
                Event::Opened { operation, .. } if operation.state == OperationState::Stuck => {
                    (operation.id, STUCK)
                }
                _ => return None,
            };
            let (_, operation) = case.operation(id)?;
            Some((case.psp_of(operation)?.clone(), operation.kind, outcome))
        });
        Self(counted.collect())
    }

    /// Of all of these cases.
    pub(crate) fn all(of_each: impl Iterator<Item = Self>) -> Self {
        Self(of_each.flat_map(|one| one.0).collect())
    }

    /// The transaction is committed.
    pub(crate) fn count(self) {
        for (psp, kind, outcome) in self.0 {
            PSP_OPERATIONS.one([psp.as_str(), word(kind), outcome]);
        }
    }
}

/// Counts what may become of operations from zero, so that the first is seen as an increase.
pub(crate) fn begin(psps: &Psps) {
    for psp in psps.names() {
        for kind in OperationKind::ALL {
            for outcome in [SUCCEEDED, DECLINED, STUCK] {
                PSP_OPERATIONS.may_be([psp, word(*kind), outcome]);
            }
        }
    }
}

/// Counts what became of a payout, once that is committed.
pub(crate) fn payout(of: &Payout, before: PayoutState) {
    let outcome = match of.state {
        now if now == before => return,
        PayoutState::Submitted => PENDING,
        PayoutState::Paid => SUCCEEDED,
        PayoutState::Returned if of.paid_at.is_some() => REVERSED,
        PayoutState::Returned => DECLINED,
        PayoutState::Stuck => STUCK,
        _ => return,
    };
    PSP_OPERATIONS.one([of.psp.as_str(), word(OperationKind::Payout), outcome]);
}

/// A kind of operation, as it is counted.
pub(crate) const fn word(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Authorize => "authorize",
        OperationKind::Capture => "capture",
        OperationKind::Void => "void",
        OperationKind::Refund => "refund",
        OperationKind::Payout => "payout",
    }
}

/// What a provider answered, as it is counted.
pub(crate) const fn answered(answer: &Answer) -> &'static str {
    match answer {
        Answer::Done { .. } => "done",
        Answer::Pending { .. } | Answer::ActionRequired { .. } => "pending",
        Answer::Declined { .. } => "declined",
        Answer::Refused { .. } => "refused",
        Answer::Unknown { .. } => UNKNOWN,
    }
}

/// What a provider knows, as it is counted.
pub(crate) const fn found(found: &Found) -> &'static str {
    match found {
        Found::Known(answer) => answered(answer),
        Found::Nothing => "nothing",
        Found::Unknown { .. } => UNKNOWN,
    }
}
