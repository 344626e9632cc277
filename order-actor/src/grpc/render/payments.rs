//! The money of orders with a payment plan, and its events.

use shared_events::contract::{CapturePolicy, LossCause, Money, PaymentPolicy};

use super::{money, time};
use crate::domain::{
    Compensation, Details, Event, Needs, Order, Payment, PaymentPlan, PaymentStatus, RefundState,
    ShipWhen,
};
use crate::grpc::proto;
use crate::grpc::proto::event::Kind;

/// How it stands with the money of an order.
pub(super) const fn status(status: PaymentStatus) -> proto::PaymentStatus {
    match status {
        PaymentStatus::NotRequired => proto::PaymentStatus::NotRequired,
        PaymentStatus::Awaited => proto::PaymentStatus::Awaited,
        PaymentStatus::Secured => proto::PaymentStatus::Secured,
        PaymentStatus::Lost => proto::PaymentStatus::Lost,
        PaymentStatus::Captured => proto::PaymentStatus::Captured,
        PaymentStatus::Released => proto::PaymentStatus::Released,
    }
}

/// How an order is paid.
pub(super) fn plan(plan: &PaymentPlan) -> proto::PaymentPlan {
    let capture = match plan.capture {
        CapturePolicy::OnFulfil => proto::CapturePolicy::OnFulfil,
        CapturePolicy::OnConfirm => proto::CapturePolicy::OnConfirm,
    };
    let policy = match plan.policy {
        PaymentPolicy::AllOrNone => proto::PaymentPolicy::AllOrNone,
        PaymentPolicy::PerSeller => proto::PaymentPolicy::PerSeller,
    };
    let ship_when = match plan.ship_when {
        ShipWhen::Authorized => proto::ShipWhen::Authorized,
        ShipWhen::Captured => proto::ShipWhen::Captured,
    };
    let fees = plan.fees.iter().map(|fee| proto::SellerFee {
        seller_id: fee.seller_id.to_string(),
        fee_bps: u32::from(fee.fee_bps),
    });
    proto::PaymentPlan {
        psp: plan.psp.to_string(),
        capture: capture.into(),
        policy: policy.into(),
        ship_when: ship_when.into(),
        fee_bps: u32::from(plan.fee_bps),
        fees: fees.collect(),
    }
}

/// The money of an order; none where it has no plan.
pub(super) fn of_order(order: &Order) -> Option<proto::OrderPayment> {
    let details = order.details()?;
    let payment = details.payment.as_deref()?;
    let compensation = order.compensation();
    let (shown, open) = match compensation {
        Compensation::None => (proto::Compensation::None, Needs::default()),
        Compensation::Running(open) => (proto::Compensation::Running, open),
        Compensation::Done => (proto::Compensation::Done, Needs::default()),
    };
    let lost = payment.lost.map_or(proto::LossCause::Unspecified, loss_cause);
    Some(proto::OrderPayment {
        status: status(order.payment_status()).into(),
        plan: Some(plan(&payment.plan)),
        pay_by: payment.held.as_ref().map(|held| time(held.pay_by)),
        secured: payment.secured.map(|secured| money(secured.amount)),
        valid_until: payment.secured.map(|secured| time(secured.valid_until)),
        loss_cause: lost.into(),
        parts: parts(details, payment),
        refunds: refunds(details, payment),
        compensation: shown.into(),
        stock_is_held: open.stock,
        money_is_held: open.money,
    })
}

fn parts(details: &Details, payment: &Payment) -> Vec<proto::OrderPaymentPart> {
    let amount = |minor| Some(money(Money::new(minor, details.totals.total.currency)));
    let parts = payment.parts.iter().map(|part| proto::OrderPaymentPart {
        payment_id: part.payment_id.to_string(),
        seller_id: part.seller.map(|seller| seller.to_string()).unwrap_or_default(),
        requested: amount(part.asked),
        cancelled: amount(part.cancelled.saturating_sub(part.total.saturating_sub(part.asked))),
        delivered: amount(part.captured),
        refunded: amount(part.refunded),
    });
    parts.collect()
}

fn refunds(details: &Details, payment: &Payment) -> Vec<proto::OrderRefund> {
    let shown = payment.refunds.iter().filter_map(|refund| {
        let (state, code) = match &refund.state {
            RefundState::Possible => return None,
            RefundState::Pending => (proto::RefundState::Pending, ""),
            RefundState::Settled(_) => (proto::RefundState::Settled, ""),
            RefundState::Failed(code) => (proto::RefundState::Failed, code.as_str()),
        };
        Some(proto::OrderRefund {
            refund_id: refund.refund_id.to_string(),
            amount: Some(money(Money::new(refund.amount, details.totals.total.currency))),
            state: state.into(),
            code: code.to_owned(),
        })
    });
    shown.collect()
}

const fn loss_cause(cause: LossCause) -> proto::LossCause {
    match cause {
        LossCause::Expired => proto::LossCause::Expired,
        LossCause::Reversed => proto::LossCause::Reversed,
        LossCause::CaptureFailed => proto::LossCause::CaptureFailed,
    }
}

/// An event about money; none for other events.
pub(super) fn kind(event: &Event) -> Option<Kind> {
    Some(match event {
        Event::StockHeld(held) => Kind::StockHeld(proto::StockHeld {
            reservation_id: held.reservation_id.to_string(),
            pay_by: Some(time(held.pay_by)),
        }),
        Event::PaymentSecured(secured) => Kind::PaymentSecured(proto::PaymentSecured {
            amount: Some(money(secured.amount)),
            valid_until: Some(time(secured.valid_until)),
        }),
        Event::PaymentLost(lost) => {
            Kind::PaymentLost(proto::PaymentLost { cause: loss_cause(lost.cause).into() })
        }
        Event::PaymentCaptured(captured) => Kind::PaymentCaptured(proto::PaymentCaptured {
            payment_id: captured.payment_id.to_string(),
            amount: Some(money(captured.amount)),
        }),
        Event::RefundSettled(settled) => Kind::RefundSettled(proto::RefundSettled {
            refund_id: settled.refund_id.to_string(),
            amount: Some(money(settled.amount)),
        }),
        Event::RefundFailed(failed) => Kind::RefundFailed(proto::RefundFailed {
            refund_id: failed.refund_id.to_string(),
            amount: Some(money(failed.amount)),
            code: failed.code.clone(),
        }),
        Event::CompensationCompleted(completed) => {
            let (stock, money) = (completed.stock, completed.money);
            Kind::CompensationCompleted(proto::CompensationCompleted { stock, money })
        }
        _ => return None,
    })
}

/// Leaves of a plan what customers see: not the shop's fees.
pub(super) fn without_fees(plan: Option<&mut proto::PaymentPlan>) {
    if let Some(plan) = plan {
        plan.fee_bps = 0;
        plan.fees.clear();
    }
}
