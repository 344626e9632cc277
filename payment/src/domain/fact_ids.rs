//! The ids of facts: of what was done, and not of when it was stored. Where payments alone are
//! restored from an older copy they find at the provider what was done since, and tell it under the
//! same ids again: whoever heard it before knows it. Two are told anew: that an order is secured,
//! where its authorisation is then said to stand until another time (a provider may not say until
//! when, and it is reckoned from when it was heard), and the verdict of a dispute, which is of the
//! version of the case.
//!
//! They are named below the fact by which the order asked for money (or was cancelled before it did),
//! which is of one journal and one moment: two installations whose clients give the same order ids
//! tell different facts. What was asked for before that fact was kept is named below the order, as
//! it was.

use shared_events::contract::{FactId, Origin, PaymentFact, PaymentId};
use uuid::Uuid;

use super::{Case, Event, OperationKind, Payment, RefundOfOrder};

/// The id of a fact of an event. `after` is the case after it.
#[must_use]
pub fn fact_id(after: &Case, event: &Event, fact: &PaymentFact) -> FactId {
    FactId::once(Origin::Payments, done(after, event), fact.kind())
}

/// What happened: the operation, where it is about one; otherwise a name of it in its order. It can
/// happen again under the same name only where the order was placed anew.
fn done(after: &Case, event: &Event) -> Uuid {
    let asked = asked_by(after);
    let name = match event {
        // A state of an operation is reached once.
        Event::Succeeded { operation_id, .. }
        | Event::Reversed { operation_id, .. }
        | Event::Expired { operation_id, .. } => {
            let operation_id = operation_id.uuid();
            return asked.map_or(operation_id, |asked| below(asked, &operation_id));
        }
        Event::Lost { operation_id, .. } => format!("lost/{operation_id}"),
        Event::Earned { payment_id, .. } => {
            // What was earned in all never falls.
            let through = after.payment(*payment_id).map_or(0, |one| one.goods.earned);
            format!("earned/{payment_id}/{through}")
        }
        Event::Secured { valid_until, .. } => {
            let lost: Vec<String> = after.lost.iter().map(ToString::to_string).collect();
            let until = valid_until.micros();
            format!("secured/{}/{}/{until}", secured_by(after), lost.join(","))
        }
        Event::GivenUp { payment_id, code, .. } => format!("given_up/{payment_id}/{code}"),
        Event::RefundSettled { refund_id } => {
            let refund = after.refunds.iter().find(|one| one.id == *refund_id);
            format!("refund/{refund_id}/{}", refund.map_or_else(String::new, |one| by(after, one)))
        }
        Event::RefundFailed { refund_id, code } => {
            let refund = after.refunds.iter().find(|one| one.id == *refund_id);
            let by = refund.map_or_else(String::new, |one| by(after, one));
            format!("refund/{refund_id}/{by}/{code}")
        }
        Event::Disputed { payment_id, dispute } => of_dispute(*payment_id, &dispute.id),
        // A verdict can come, be another, and come again.
        Event::DisputeClosed { payment_id, dispute_id, won, .. } => {
            let dispute = of_dispute(*payment_id, dispute_id);
            format!("{dispute}/{won}/{}", after.version)
        }
        Event::Released => "released".to_owned(),
        // These are told to nobody.
        Event::Requested { .. }
        | Event::Vanished { .. }
        | Event::Reappeared { .. }
        | Event::Unheard { .. }
        | Event::Attempted { .. }
        | Event::Unwanted { .. }
        | Event::Due { .. }
        | Event::Delivered { .. }
        | Event::RefundDue { .. }
        | Event::Opened { .. }
        | Event::Waits { .. }
        | Event::Declined { .. } => format!("event/{}", after.version),
    };
    let name = match after.reappeared {
        0 => name,
        times => format!("{name}/again/{times}"),
    };
    // What the order was told of what the journal lost is told anew once it says so again.
    let is_answer =
        matches!(event, Event::RefundSettled { .. } | Event::RefundFailed { .. } | Event::Released);
    let name = match after.unheard {
        times if is_answer && times > 0 => format!("{name}/unheard/{times}"),
        _ => name,
    };
    below(asked.unwrap_or_else(|| after.order_id.uuid()), &name)
}

/// The fact by which the order asked for money, or was cancelled before it did.
fn asked_by(case: &Case) -> Option<Uuid> {
    match &case.plan {
        Some(plan) => plan.asked_by.map(FactId::uuid),
        None => case.cancelled,
    }
}

fn below(named: Uuid, name: &impl ToString) -> Uuid {
    Uuid::new_v5(&named, name.to_string().as_bytes())
}

/// The dispute of a payment that its provider calls so.
fn of_dispute(payment: PaymentId, dispute: &str) -> String {
    format!("dispute/{payment}/{dispute}")
}

/// What secures an order: an authorisation of each payment, or what was taken of it.
fn secured_by(case: &Case) -> String {
    let by = |payment: &Payment| match payment.standing() {
        Some(one) => one.id.to_string(),
        None => {
            let taken = payment.of_kind(OperationKind::Capture).filter(|one| one.stands());
            taken.map(|one| one.id.to_string()).collect::<Vec<_>>().join("+")
        }
    };
    let wanted = case.payments.iter().filter(|one| one.failed.is_empty() && one.wanted() > 0);
    wanted.map(by).collect::<Vec<_>>().join(",")
}

/// What became of the operations of a refund. Each goes from state to state and never back, so it
/// is told twice of the same only where nothing changed.
fn by(case: &Case, refund: &RefundOfOrder) -> String {
    let all = case.payments.iter().flat_map(|payment| refund.operations(payment));
    all.map(|one| format!("{}={}", one.id, one.state)).collect::<Vec<_>>().join(",")
}
