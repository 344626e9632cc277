use shared_events::contract::Money;

use super::money;
use crate::domain::{
    Amount, Charge, ChargeKind, ChargeRefund, Discount, OrderCharge, Tax, TaxMode, Totals,
};
use crate::grpc::proto;

pub(super) fn discounts(discounts: &[Discount]) -> Vec<proto::Discount> {
    let discount = |one: &Discount| proto::Discount {
        label: one.label.clone(),
        amount: Some(money(one.amount)),
    };
    discounts.iter().map(discount).collect()
}

pub(super) fn taxes(taxes: &[Tax]) -> Vec<proto::Tax> {
    let tax = |one: &Tax| proto::Tax {
        name: one.name.clone(),
        rate_percent: one.rate.map(|rate| rate.to_string()).unwrap_or_default(),
        amount: Some(money(one.amount)),
    };
    taxes.iter().map(tax).collect()
}

/// A charge of an order, with what became of it.
pub(super) fn order_charge(charge: &OrderCharge) -> proto::Charge {
    let refunded = Money::new(charge.refunded, charge.charge.amount.currency);
    proto::Charge { refunded: Some(money(refunded)), ..costing(&charge.charge, charge.amount) }
}

/// A charge as it was placed.
pub(super) fn placed_charge(charge: &Charge, mode: TaxMode) -> proto::Charge {
    costing(charge, charge.cost(mode))
}

fn costing(charge: &Charge, amount: Amount) -> proto::Charge {
    proto::Charge {
        charge: charge.number,
        kind: charge_kind(charge.kind).into(),
        label: charge.label.clone(),
        amount: Some(money(charge.amount)),
        taxes: taxes(&charge.taxes),
        total: Some(money(Money::new(amount.total, charge.amount.currency))),
        refunded: None,
    }
}

pub(super) fn charge_refund(refund: &ChargeRefund) -> proto::ChargeRefund {
    proto::ChargeRefund { charge: refund.charge, amount: Some(money(refund.amount)) }
}

pub(super) fn totals(totals: &Totals) -> proto::Totals {
    proto::Totals {
        goods: Some(money(totals.goods)),
        discounts: Some(money(totals.discounts)),
        charges: Some(money(totals.charges)),
        tax: Some(money(totals.tax)),
        total: Some(money(totals.total)),
    }
}

pub(super) const fn tax_mode(mode: TaxMode) -> proto::TaxMode {
    match mode {
        TaxMode::OnTop => proto::TaxMode::OnTop,
        TaxMode::Included => proto::TaxMode::Included,
    }
}

const fn charge_kind(kind: ChargeKind) -> proto::ChargeKind {
    match kind {
        ChargeKind::Shipping => proto::ChargeKind::Shipping,
        ChargeKind::Handling => proto::ChargeKind::Handling,
        ChargeKind::GiftWrap => proto::ChargeKind::GiftWrap,
        ChargeKind::Other => proto::ChargeKind::Other,
    }
}
