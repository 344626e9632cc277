use service_edge::time::timestamp;
use shared_events::contract::Money;

use super::proto;
use crate::domain::{Dispute, Operation, OperationKind, OperationState, Payment, WebhookState};
use crate::store::{OperationRow, PaymentSummary, Webhook};

pub(super) fn money(money: Money) -> proto::Money {
    let (units, nanos) = money.units_nanos();
    proto::Money { currency_code: money.currency.code().to_owned(), units, nanos }
}

pub(super) fn rendered_payment(one: &PaymentSummary) -> proto::Payment {
    let sum = |minor| Some(money(Money::new(minor, one.currency)));
    let status = format!("PAYMENT_STATUS_{}", one.status.code());
    let status = proto::PaymentStatus::from_str_name(&status).unwrap_or_default();
    proto::Payment {
        payment_id: one.id.to_string(),
        order_id: one.order_id.to_string(),
        customer_id: one.customer_id.to_string(),
        seller: one.seller.as_ref().map(ToString::to_string).unwrap_or_default(),
        psp: one.psp.to_string(),
        status: status.into(),
        requested: sum(one.requested),
        wanted: sum(one.wanted),
        authorized: sum(one.authorized),
        captured: sum(one.captured),
        refunded: sum(one.refunded),
        update_time: Some(timestamp(one.updated_at)),
        action_url: String::new(),
    }
}

pub(super) const fn rendered_kind(kind: OperationKind) -> proto::OperationKind {
    match kind {
        OperationKind::Authorize => proto::OperationKind::Authorize,
        OperationKind::Capture => proto::OperationKind::Capture,
        OperationKind::Void => proto::OperationKind::Void,
        OperationKind::Refund => proto::OperationKind::Refund,
        OperationKind::Payout => proto::OperationKind::Payout,
    }
}

pub(super) fn rendered_operation(one: &Operation, row: &OperationRow) -> proto::Operation {
    let kind = rendered_kind(one.kind);
    let state = match one.state {
        OperationState::Open => proto::OperationState::Open,
        OperationState::Stuck => proto::OperationState::Stuck,
        OperationState::Pending => proto::OperationState::Pending,
        OperationState::Declined => proto::OperationState::Declined,
        OperationState::Succeeded => proto::OperationState::Succeeded,
        OperationState::Reversed => proto::OperationState::Reversed,
    };
    proto::Operation {
        operation_id: one.id.to_string(),
        payment_id: row.payment_id.to_string(),
        order_id: row.order_id.to_string(),
        kind: kind.into(),
        state: state.into(),
        amount: Some(money(one.amount)),
        cause: one.cause.to_string(),
        psp_reference: one.reference.clone().unwrap_or_default(),
        code: one.code.clone(),
        stage: row.schedule.stage.code().to_owned(),
        due_time: Some(timestamp(row.schedule.due_at)),
        calls: row.schedule.calls,
        note: row.schedule.note.clone(),
        external: one.external,
    }
}

pub(super) fn rendered_dispute(payment: &Payment, one: &Dispute) -> proto::Dispute {
    let state = match one.won {
        None => proto::DisputeState::Open,
        Some(true) => proto::DisputeState::Won,
        Some(false) => proto::DisputeState::Lost,
    };
    proto::Dispute {
        dispute_id: one.id.clone(),
        operation_id: one.capture.to_string(),
        amount: Some(money(payment.money(one.amount))),
        respond_by: one.respond_by.map(timestamp),
        open_time: Some(timestamp(one.at)),
        state: state.into(),
    }
}

pub(super) fn rendered_webhook(one: &Webhook) -> proto::Webhook {
    let state = match one.state {
        WebhookState::Waiting => proto::WebhookState::Waiting,
        WebhookState::Handled => proto::WebhookState::Handled,
        WebhookState::Parked => proto::WebhookState::Parked,
        WebhookState::Dropped => proto::WebhookState::Dropped,
    };
    let about =
        one.told.as_ref().and_then(|told| told.reference.as_ref().or(told.payment.as_ref()));
    proto::Webhook {
        psp: one.psp.to_string(),
        event_id: one.event_id.clone(),
        kind: one.kind.clone(),
        state: state.into(),
        receive_time: Some(timestamp(one.received_at)),
        due_time: (one.state == WebhookState::Waiting).then(|| timestamp(one.due_at)),
        tries: one.tries,
        note: one.note.clone(),
        psp_reference: about.map(ToString::to_string).unwrap_or_default(),
        order_id: one.order_id.map(|order| order.to_string()).unwrap_or_default(),
    }
}
