use shared_events::contract::OrderId;

use super::amounts::charge_refund;
use super::{disposition, money, parcels, time, units};
use crate::domain::{
    Details, Event, ExchangeOf, JudgedReturn, Judgement, OutcomeUnits, Restitution, Return,
    UnitOutcome,
};
use crate::grpc::proto;
use crate::grpc::proto::event::Kind;
use crate::projections::{ReturnState, ReturnSummary};

/// A waiting return.
pub(super) fn pending_return(known: &Return, details: &Details) -> proto::PendingReturn {
    let approval = known.approval.as_ref();
    let state = if approval.is_some() {
        proto::ReturnState::Approved
    } else {
        proto::ReturnState::Requested
    };
    proto::PendingReturn {
        return_id: known.return_id.to_string(),
        lines: units(&known.lines),
        reason: known.reason.clone(),
        judge_by: Some(time(known.judge_by)),
        escalated: known.escalated,
        value: Some(money(known.value(details))),
        state: state.into(),
        return_reference: known.reference.clone(),
        exchange_order_id: id_or_empty(known.exchange_order_id),
        approved_lines: approval.map(|one| units(&one.units())).unwrap_or_default(),
        approved_refund: approval.map(|one| money(one.refund)),
        rejected_reason: approval.map(|one| one.rejected_reason.clone()).unwrap_or_default(),
    }
}

/// A judged return.
pub(super) fn judged_return(judged: &JudgedReturn) -> proto::JudgedReturn {
    let request = &judged.request;
    let mut shown = proto::JudgedReturn {
        return_id: request.return_id.to_string(),
        approved: judged.is_approved(),
        return_reference: request.reference.clone(),
        lines: units(&request.lines),
        exchange_order_id: id_or_empty(request.exchange_order_id),
        ..proto::JudgedReturn::default()
    };
    match &judged.judgement {
        Judgement::Approved { lines, kept, .. } => {
            shown.set_state(proto::ReturnState::Received);
            // Units rejected before the others were received are not in the receipt.
            let before = request.approval.iter().flat_map(|one| &one.kept);
            shown.outcomes = outcomes(lines, kept.iter().chain(before));
        }
        Judgement::Rejected { .. } => shown.set_state(proto::ReturnState::Rejected),
    }
    shown.refund = judged.refund().map(money);
    shown.rejected_reason = judged.rejected_reason();
    shown
}

/// A return as lists show it.
#[must_use]
pub fn return_summary(known: &ReturnSummary) -> proto::ReturnSummary {
    let content = &known.content;
    let state = match known.state {
        ReturnState::Requested => proto::ReturnState::Requested,
        ReturnState::Approved => proto::ReturnState::Approved,
        ReturnState::Received => proto::ReturnState::Received,
        ReturnState::Rejected => proto::ReturnState::Rejected,
    };
    proto::ReturnSummary {
        order_id: known.order_id.to_string(),
        return_id: known.return_id.to_string(),
        customer_id: known.customer_id.to_string(),
        order_number: content.order_number.clone(),
        state: state.into(),
        requested_at: Some(time(known.requested_at)),
        judge_by: Some(time(known.judge_by)),
        escalated: content.escalated,
        lines: units(&content.lines),
        return_reference: content.reference.clone(),
        exchange_order_id: id_or_empty(content.exchange_order_id),
        value: content.value.map(money),
        refund: content.refund.map(money),
        approved_lines: units(&content.approved_lines),
    }
}

/// The return that an order replaces goods of.
pub(super) fn exchange_of(exchange: ExchangeOf) -> proto::ExchangeOf {
    proto::ExchangeOf {
        order_id: exchange.order_id.to_string(),
        return_id: exchange.return_id.to_string(),
    }
}

fn id_or_empty(id: Option<OrderId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

const fn outcome(outcome: UnitOutcome) -> proto::UnitOutcome {
    match outcome {
        UnitOutcome::Restock => proto::UnitOutcome::Restock,
        UnitOutcome::WriteOff => proto::UnitOutcome::WriteOff,
        UnitOutcome::NotArrived => proto::UnitOutcome::NotArrived,
        UnitOutcome::Rejected => proto::UnitOutcome::Rejected,
    }
}

/// All units of a return with their outcomes, by line.
fn outcomes<'a>(
    back: &[Restitution],
    kept: impl Iterator<Item = &'a OutcomeUnits>,
) -> Vec<proto::OutcomeUnits> {
    let back = back.iter().map(|units| OutcomeUnits {
        line: units.line,
        quantity: units.quantity,
        outcome: units.disposition.into(),
    });
    let mut all: Vec<OutcomeUnits> = back.chain(kept.copied()).collect();
    all.sort_by_key(|units| units.line);
    outcome_units(&all)
}

fn outcome_units(all: &[OutcomeUnits]) -> Vec<proto::OutcomeUnits> {
    let shown = |units: &OutcomeUnits| proto::OutcomeUnits {
        line: units.line,
        quantity: units.quantity.get(),
        outcome: outcome(units.outcome).into(),
    };
    all.iter().map(shown).collect()
}

/// An event of a return; none for other events.
pub(super) fn kind(event: &Event) -> Option<Kind> {
    Some(match event {
        Event::ReturnRequested {
            return_id,
            lines,
            reason,
            reference,
            exchange_order_id,
            judge_by,
            asked_by: _,
            at: _,
        } => Kind::ReturnRequested(proto::ReturnRequested {
            return_id: return_id.to_string(),
            lines: units(lines),
            reason: reason.clone(),
            judge_by: Some(time(*judge_by)),
            return_reference: reference.clone(),
            exchange_order_id: id_or_empty(*exchange_order_id),
        }),
        Event::ReturnEscalated { return_id, at: _ } => {
            Kind::ReturnEscalated(proto::ReturnEscalated { return_id: return_id.to_string() })
        }
        Event::ReturnAuthorized { .. } => authorized(event)?,
        Event::ReturnReceived {
            return_id,
            lines,
            kept,
            rejected_reason,
            refund,
            location,
            at: _,
        } => {
            let location = parcels::location(location.as_ref());
            Kind::ReturnReceived(proto::ReturnReceived {
                return_id: return_id.to_string(),
                lines: lines.iter().map(restitution).collect(),
                kept: outcome_units(kept),
                rejected_reason: rejected_reason.clone(),
                refund: Some(money(*refund)),
                location,
            })
        }
        Event::ReturnApproved { .. } => approved(event)?,
        Event::ReturnRejected { return_id, reason, at: _ } => {
            let (return_id, reason) = (return_id.to_string(), reason.clone());
            Kind::ReturnRejected(proto::ReturnRejected { return_id, reason })
        }
        _ => return None,
    })
}

fn authorized(event: &Event) -> Option<Kind> {
    let Event::ReturnAuthorized {
        return_id,
        lines,
        kept,
        rejected_reason,
        refund,
        refund_reason,
        charges,
        at: _,
    } = event
    else {
        return None;
    };
    Some(Kind::ReturnAuthorized(proto::ReturnAuthorized {
        return_id: return_id.to_string(),
        lines: units(lines),
        kept: outcome_units(kept),
        rejected_reason: rejected_reason.clone(),
        refund: Some(money(*refund)),
        refund_reason: refund_reason.clone(),
        charges: charges.iter().map(charge_refund).collect(),
    }))
}

fn approved(event: &Event) -> Option<Kind> {
    let Event::ReturnApproved {
        return_id,
        lines,
        kept,
        rejected_reason,
        refund,
        refund_reason,
        refund_told: _,
        charges,
        location,
        at: _,
    } = event
    else {
        return None;
    };
    Some(Kind::ReturnApproved(proto::ReturnApproved {
        return_id: return_id.to_string(),
        lines: lines.iter().map(restitution).collect(),
        refund: Some(money(*refund)),
        refund_reason: refund_reason.clone(),
        charges: charges.iter().map(charge_refund).collect(),
        kept: outcome_units(kept),
        rejected_reason: rejected_reason.clone(),
        location: parcels::location(location.as_ref()),
    }))
}

pub(super) fn restitution(line: &Restitution) -> proto::ReturnedUnits {
    proto::ReturnedUnits {
        line: line.line,
        quantity: line.quantity.get(),
        disposition: disposition(line.disposition).into(),
    }
}
