use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;

use service_edge::one_of;
use shared_events::contract::{Money, Reason, TextRule};

use super::Form;
use crate::domain::{
    ChargeKind, ChargeRefund, Discount, ExpectedTotals, NewCharge, Tax, TaxMode, TaxRate, bounds,
};
use crate::grpc::proto;

const LABEL: RangeInclusive<usize> = 1..=bounds::LABEL_MAX;

impl Form {
    pub(crate) fn charges(&mut self, charges: &[proto::NewCharge]) -> Option<Vec<NewCharge>> {
        self.at_most("charges", charges.len(), bounds::CHARGES_MAX)?;
        let parsed: Vec<_> = charges
            .iter()
            .enumerate()
            .map(|(index, charge)| self.charge(format_args!("charges[{index}]"), charge))
            .collect();
        parsed.into_iter().collect()
    }

    fn charge(&mut self, path: impl Display, charge: &proto::NewCharge) -> Option<NewCharge> {
        let kind = match charge.kind() {
            proto::ChargeKind::Shipping => Some(ChargeKind::Shipping),
            proto::ChargeKind::Handling => Some(ChargeKind::Handling),
            proto::ChargeKind::GiftWrap => Some(ChargeKind::GiftWrap),
            proto::ChargeKind::Other => Some(ChargeKind::Other),
            proto::ChargeKind::Unspecified => {
                self.invalid(format_args!("{path}.kind"), one_of(proto::ChargeKind::as_str_name));
                None
            }
        };
        let label = self.label(format_args!("{path}.label"), &charge.label, 0..=bounds::LABEL_MAX);
        let amount = self.amount(format_args!("{path}.amount"), charge.amount.as_ref());
        let taxes = self.taxes(format_args!("{path}.taxes"), &charge.taxes);
        Some(NewCharge { kind: kind?, label: label?, amount: amount?, taxes: taxes? })
    }

    pub(crate) fn discounts(
        &mut self,
        path: impl Display,
        discounts: &[proto::Discount],
    ) -> Option<Vec<Discount>> {
        self.at_most(&path, discounts.len(), bounds::PRICE_PARTS_MAX)?;
        let mut parsed = Vec::with_capacity(discounts.len());
        for (index, discount) in discounts.iter().enumerate() {
            let label = self.label(format_args!("{path}[{index}].label"), &discount.label, LABEL);
            let amount =
                self.amount(format_args!("{path}[{index}].amount"), discount.amount.as_ref());
            parsed.push(label.zip(amount).map(|(label, amount)| Discount { label, amount }));
        }
        parsed.into_iter().collect()
    }

    pub(super) fn taxes(&mut self, path: impl Display, taxes: &[proto::Tax]) -> Option<Vec<Tax>> {
        self.at_most(&path, taxes.len(), bounds::PRICE_PARTS_MAX)?;
        let mut parsed = Vec::with_capacity(taxes.len());
        for (index, tax) in taxes.iter().enumerate() {
            let name = self.label(format_args!("{path}[{index}].name"), &tax.name, LABEL);
            let rate: Option<Option<TaxRate>> = match tax.rate_percent.as_str() {
                "" => Some(None),
                text => text
                    .parse()
                    .map(Some)
                    .map_err(|error| {
                        self.invalid(format_args!("{path}[{index}].rate_percent"), error);
                    })
                    .ok(),
            };
            let amount = self.amount(format_args!("{path}[{index}].amount"), tax.amount.as_ref());
            parsed.push((|| Some(Tax { name: name?, rate: rate?, amount: amount? }))());
        }
        parsed.into_iter().collect()
    }

    pub(crate) fn tax_mode(&mut self, mode: i32) -> Option<TaxMode> {
        match proto::TaxMode::try_from(mode) {
            Ok(proto::TaxMode::Unspecified | proto::TaxMode::OnTop) => Some(TaxMode::OnTop),
            Ok(proto::TaxMode::Included) => Some(TaxMode::Included),
            Err(_) => {
                self.invalid("tax_mode", one_of(proto::TaxMode::as_str_name));
                None
            }
        }
    }

    pub(crate) fn charge_refunds(
        &mut self,
        refunds: &[proto::ChargeRefund],
    ) -> Option<Vec<ChargeRefund>> {
        self.at_most("charges", refunds.len(), bounds::CHARGES_MAX)?;
        let mut named = BTreeSet::new();
        let mut parsed = Vec::with_capacity(refunds.len());
        for (index, refund) in refunds.iter().enumerate() {
            let field = format!("charges[{index}].charge");
            if refund.charge == 0 {
                self.invalid(field, "charges are numbered from 1");
            } else if !named.insert(refund.charge) {
                self.invalid(field, bounds::NAMED_TWICE);
            }
            let amount =
                self.amount(format_args!("charges[{index}].amount"), refund.amount.as_ref());
            parsed.push(amount.map(|amount| ChargeRefund { charge: refund.charge, amount }));
        }
        parsed.into_iter().collect()
    }

    pub(crate) fn expected(&mut self, totals: Option<&proto::Totals>) -> Option<ExpectedTotals> {
        let Some(totals) = totals else { return Some(ExpectedTotals::default()) };
        let mut sum = |field: &str, money: &Option<proto::Money>| match money {
            None => Some(None),
            Some(money) => {
                self.money(format_args!("expected.{field}"), Reason::InvalidAmount, money).map(Some)
            }
        };
        let goods = sum("goods", &totals.goods);
        let discounts = sum("discounts", &totals.discounts);
        let charges = sum("charges", &totals.charges);
        let tax = sum("tax", &totals.tax);
        let total = sum("total", &totals.total);
        Some(ExpectedTotals {
            goods: goods?,
            discounts: discounts?,
            charges: charges?,
            tax: tax?,
            total: total?,
        })
    }

    pub(crate) fn tags(&mut self, tags: &[String]) -> Option<Vec<String>> {
        self.at_most("tags", tags.len(), bounds::TAGS_MAX)?;
        let mut named = BTreeSet::new();
        let mut parsed = Vec::with_capacity(tags.len());
        for (index, tag) in tags.iter().enumerate() {
            let field = format!("tags[{index}]");
            let tag = self.label(&field, tag, LABEL);
            let twice = tag.as_ref().is_some_and(|tag| !named.insert(tag.clone()));
            if twice {
                self.invalid(field, bounds::NAMED_TWICE);
            }
            parsed.push(tag.filter(|_| !twice));
        }
        parsed.into_iter().collect()
    }

    /// Keys and values of the client's own. No key is shown in an error: it may be personal data.
    pub(crate) fn keys(
        &mut self,
        path: impl Display,
        reason: Reason,
        keys: &BTreeMap<String, String>,
    ) -> Option<BTreeMap<String, String>> {
        self.at_most(&path, keys.len(), bounds::KEYS_MAX)?;
        let key = TextRule::line(bounds::KEY_MAX);
        let value = TextRule::lines(bounds::TEXT_MAX);
        let mut parsed = BTreeMap::new();
        for (text, held) in keys {
            let Some(text) = key.stored(text).ok().filter(|text| !text.is_empty()) else {
                let max = bounds::KEY_MAX;
                let detail = format!("a key is 1 to {max} characters without hidden ones");
                self.violations.add(&path, reason, detail);
                return None;
            };
            let held = value.stored(held);
            let held = held.map_err(|error| self.violations.add(&path, reason, error)).ok()?;
            if parsed.insert(text, held).is_some() {
                self.violations.add(&path, reason, bounds::NAMED_TWICE);
                return None;
            }
        }
        Some(parsed)
    }

    /// A short text of one line.
    pub(super) fn label(
        &mut self,
        field: impl Display,
        text: &str,
        length: RangeInclusive<usize>,
    ) -> Option<String> {
        if *length.start() > 0 && text.trim().is_empty() {
            self.invalid(field, format!("1 to {} characters", length.end()));
            return None;
        }
        let rule = TextRule::line(*length.end());
        rule.stored(text).map_err(|error| self.invalid(field, error)).ok()
    }

    /// An amount that is given and not below zero.
    fn amount(&mut self, field: impl Display, money: Option<&proto::Money>) -> Option<Money> {
        let reason = Reason::InvalidAmount;
        let Some(money) = money else {
            self.violations.add(&field, reason, "required");
            return None;
        };
        let money = self.money(&field, reason, money)?;
        if money.minor < 0 {
            self.violations.add(&field, reason, "not below zero");
            return None;
        }
        Some(money)
    }

    fn at_most(&mut self, field: impl Display, count: usize, max: usize) -> Option<()> {
        if count > max {
            self.invalid(field, format!("at most {max}"));
            return None;
        }
        Some(())
    }
}
