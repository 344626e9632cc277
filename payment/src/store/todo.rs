use shared_events::contract::{OperationId, Timestamp};
use shared_events::stream::{DatabaseError, Tx};

use super::open::Origins;
use super::operations::{self, OperationRow, staged};
use super::{actions, disputes, settlements, webhooks};
use crate::domain::{Case, Event, OperationKind, OperationState, Schedule, Stage, VANISHED_NOTE};

/// What an event means for the runner, for webhooks that wait for it, and for operators.
pub(super) async fn todo(
    tx: &mut Tx,
    case: &Case,
    event: &Event,
    origins: &Origins,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    told(tx, case, event, (origins, now)).await?;
    settlements::due(tx, case, event).await?;
    match staged(event, now) {
        Some((id, stage, due_at)) => operations::stage(tx, id, stage, due_at).await,
        None => Ok(()),
    }
}

/// What an event brings beside the next stage of its operation.
async fn told(
    tx: &mut Tx,
    case: &Case,
    event: &Event,
    (origins, now): (&Origins, Timestamp),
) -> Result<(), DatabaseError> {
    let no_plan = DatabaseError::Corrupt("case without a plan");
    match event {
        Event::Opened { payment_id, operation } => {
            // The order may have asked at another provider since, in the same transaction.
            let (_, known) = case.operation(operation.id).unzip();
            let psp = case.psp_of(known.unwrap_or(operation)).ok_or(no_plan)?.clone();
            // Some are for a person from the beginning, and no provider is called for them.
            let stuck = operation.state == OperationState::Stuck;
            let (stage, note) = match stuck {
                true => (Stage::Stuck, VANISHED_NOTE.to_owned()),
                false => (Stage::Due, String::new()),
            };
            let row = OperationRow {
                id: operation.id,
                order_id: case.order_id,
                payment_id: *payment_id,
                psp,
                kind: operation.kind,
                schedule: Schedule { stage, note, ..Schedule::due(now) },
                claim: 0,
                trace: origins.traceparent.clone().map(|traceparent| (traceparent, now)),
                tracestate: origins.tracestate.clone(),
            };
            operations::add(tx, &row).await
        }
        Event::Succeeded { operation_id, reference, .. } => {
            known(tx, case, (*operation_id, Some(reference)), now).await
        }
        Event::Declined { operation_id, .. } | Event::Reversed { operation_id, .. } => {
            known(tx, case, (*operation_id, None), now).await
        }
        Event::Waits { operation_id, reference, .. } => {
            known(tx, case, (*operation_id, reference.as_deref()), now).await
        }
        Event::Disputed { payment_id, dispute } => {
            let plan = case.plan.as_ref().map(|plan| &plan.psp);
            let capture = case.operation(dispute.capture);
            let psp = capture.and_then(|(_, one)| case.psp_of(one)).or(plan).ok_or(no_plan)?;
            disputes::add(tx, (case.order_id, psp), *payment_id, dispute).await
        }
        Event::DisputeClosed { payment_id, dispute_id, won, .. } => {
            disputes::close(tx, (*payment_id, dispute_id), *won).await
        }
        // Where the customer of the lost order acts is no matter of the next one.
        Event::Reappeared { .. } => actions::forget_all(tx, case.order_id).await,
        _ => Ok(()),
    }
}

/// More is known of an operation: its name at the provider, and what waits for it.
async fn known(
    tx: &mut Tx,
    case: &Case,
    (id, reference): (OperationId, Option<&str>),
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let Some((payment, one)) = case.operation(id) else { return Ok(()) };
    let Some(psp) = case.psp_of(one) else { return Ok(()) };
    if one.kind == OperationKind::Authorize && one.state != OperationState::Pending {
        actions::forget(tx, id).await?;
    }
    // Providers tell a void with the name of the authorisation that it gives back.
    if let Some(reference) = reference.filter(|_| one.kind != OperationKind::Void) {
        webhooks::name(tx, psp, reference, (case.order_id, payment.id)).await?;
    }
    webhooks::wake(tx, psp, (id, reference), now).await
}
