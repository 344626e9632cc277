use shared_events::contract::Money;

use crate::domain::{Compensation, Order, Payment, RefundState};

/// The fields of an order's money, under their proto names; none without a payment plan.
pub(super) fn set_payment(order: &Order, set: &mut dyn FnMut(&str, String)) {
    let details = order.details();
    let Some((details, payment)) =
        details.and_then(|details| Some((details, details.payment.as_deref()?)))
    else {
        return;
    };
    set("payment.status", order.payment_status().code().to_owned());
    set("payment.plan.psp", payment.plan.psp.to_string());
    let held = payment.held.as_ref().map(|held| held.pay_by.to_string());
    set("payment.pay_by", held.unwrap_or_default());
    if let Some(secured) = &payment.secured {
        set("payment.secured", secured.amount.to_string());
        set("payment.valid_until", secured.valid_until.to_string());
    }
    let lost = payment.lost.map(|cause| cause.code().to_owned());
    set("payment.loss_cause", lost.unwrap_or_default());
    let currency = details.totals.total.currency;
    set_parts(payment, &|minor| Money::new(minor, currency).to_string(), set);
    let compensation = order.compensation();
    if compensation != Compensation::None {
        set("payment.compensation", compensation.code().to_owned());
    }
    if let Compensation::Running(open) = compensation {
        set("payment.stock_is_held", open.stock.to_string());
        set("payment.money_is_held", open.money.to_string());
    }
}

fn set_parts(payment: &Payment, amount: &dyn Fn(i64) -> String, set: &mut dyn FnMut(&str, String)) {
    for (index, part) in payment.parts.iter().enumerate() {
        let mut set = |field: &str, value| set(&format!("payment.parts[{index}].{field}"), value);
        set("payment_id", part.payment_id.to_string());
        set("requested", amount(part.asked));
        set("delivered", amount(part.captured));
        set("refunded", amount(part.refunded));
    }
    let refunds = payment.refunds.iter().filter(|refund| refund.state != RefundState::Possible);
    for (index, refund) in refunds.enumerate() {
        let text = format!("{} {}", refund.refund_id, refund.state.code());
        set(&format!("payment.refunds[{index}]"), text);
    }
}
