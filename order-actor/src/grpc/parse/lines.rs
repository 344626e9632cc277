use std::collections::BTreeSet;
use std::fmt::Display;

use service_edge::one_of;
use shared_events::contract::{
    Currency, Disposition, Money, MoneyError, ParseIdError, ParseSkuError, Quantity, Reason,
    SellerId, Sku,
};

use super::Form;
use crate::domain::{LineQuantity, NewLine, Rejection, ReturnLineDisposition, bounds};
use crate::grpc::proto;

/// Which units a command names. It decides the reason code of an invalid line.
#[derive(Clone, Copy)]
pub(crate) enum Units {
    /// Undelivered units; naming no line means all.
    Open,
    /// Units the customer holds; at least one line.
    Kept,
}

impl Units {
    const fn reason(self) -> Reason {
        match self {
            Self::Open => Reason::InvalidLines,
            Self::Kept => Reason::InvalidReturnLines,
        }
    }
}

impl Form {
    pub(crate) fn new_lines(&mut self, lines: &[proto::NewLine]) -> Option<Vec<NewLine>> {
        if lines.is_empty() {
            let (empty, reason) = (Rejection::EmptyOrder, Rejection::EmptyOrder.reason());
            self.violations.add("lines", reason, empty);
            return None;
        }
        if lines.len() > bounds::LINES_MAX {
            let (many, reason) = (Rejection::TooManyLines, Rejection::TooManyLines.reason());
            self.violations.add("lines", reason, many);
            return None;
        }
        let mut parsed = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            parsed.push(self.new_line(format_args!("lines[{index}]"), line));
        }
        let first = parsed.iter().flatten().map(|line| line.unit_price.currency).next();
        for (index, line) in parsed.iter().enumerate() {
            if line.as_ref().is_some_and(|line| Some(line.unit_price.currency) != first) {
                self.violations.add(
                    format!("lines[{index}].unit_price.currency_code"),
                    Rejection::CurrencyMismatch.reason(),
                    Rejection::CurrencyMismatch,
                );
            }
        }
        parsed.into_iter().collect()
    }

    fn new_line(&mut self, path: impl Display, line: &proto::NewLine) -> Option<NewLine> {
        let sku: Option<Sku> = line
            .sku
            .parse()
            .map_err(|error: ParseSkuError| {
                self.violations.add(format!("{path}.sku"), Reason::InvalidLine, error);
            })
            .ok();
        let quantity =
            self.quantity(format_args!("{path}.quantity"), Reason::InvalidLine, line.quantity);
        let unit_price = self.unit_price(format_args!("{path}.unit_price"), line);
        let seller_id: Option<SellerId> = match line.seller_id.as_str() {
            "" => None,
            text => text
                .parse()
                .map_err(|error: ParseIdError| {
                    self.violations.add(format!("{path}.seller_id"), Reason::InvalidLine, error);
                })
                .ok(),
        };
        let title = self.label(format_args!("{path}.title"), &line.title, 0..=bounds::TITLE_MAX);
        let image_url = self.image_url(format_args!("{path}.image_url"), &line.image_url);
        let attributes =
            self.keys(format_args!("{path}.attributes"), Reason::InvalidLine, &line.attributes);
        let discounts = self.discounts(format_args!("{path}.discounts"), &line.discounts);
        let taxes = self.taxes(format_args!("{path}.taxes"), &line.taxes);
        Some(NewLine {
            sku: sku?,
            quantity: quantity?,
            unit_price: unit_price?,
            seller_id,
            title: title?,
            image_url: image_url?,
            attributes: attributes?,
            discounts: discounts?,
            taxes: taxes?,
        })
    }

    fn unit_price(&mut self, path: impl Display, line: &proto::NewLine) -> Option<Money> {
        let Some(price) = &line.unit_price else {
            self.violations.add(&path, Reason::InvalidLine, "required");
            return None;
        };
        let price = self.money(&path, Reason::InvalidLine, price);
        if price.is_some_and(|price| price.minor < 0) {
            self.violations.add(&path, Reason::InvalidLine, "not below zero");
        }
        price
    }

    fn quantity(&mut self, field: impl Display, reason: Reason, units: u32) -> Option<Quantity> {
        let quantity = Quantity::new(units);
        quantity.map_err(|error| self.violations.add(&field, reason, error)).ok()
    }

    pub(super) fn money(
        &mut self,
        path: impl Display,
        reason: Reason,
        money: &proto::Money,
    ) -> Option<Money> {
        let currency: Currency = money
            .currency_code
            .parse()
            .map_err(|error: MoneyError| {
                self.violations.add(format!("{path}.currency_code"), reason, error);
            })
            .ok()?;
        Money::from_units_nanos(money.units, money.nanos, currency)
            .map_err(|error| {
                let part = if error == MoneyError::Overflow { "units" } else { "nanos" };
                self.violations.add(format!("{path}.{part}"), reason, error);
            })
            .ok()
    }

    pub(crate) fn refund(&mut self, refund: &proto::Money) -> Option<Money> {
        let reason = Rejection::InvalidRefund.reason();
        let money = self.money("refund", reason, refund)?;
        if money.minor < 0 {
            self.violations.add("refund", reason, "not below zero");
            return None;
        }
        Some(money)
    }

    pub(crate) fn units(
        &mut self,
        lines: &[proto::LineUnits],
        units: Units,
    ) -> Option<Vec<LineQuantity>> {
        let reason = units.reason();
        if lines.is_empty() && matches!(units, Units::Kept) {
            self.violations.add("lines", reason, bounds::LINE_REQUIRED);
            return None;
        }
        if lines.len() > bounds::LINES_MAX {
            self.violations.add("lines", reason, Rejection::TooManyLines);
            return None;
        }
        let mut named = BTreeSet::new();
        let mut parsed = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            self.line_number(format_args!("lines[{index}].line"), reason, line.line, &mut named);
            let quantity =
                self.quantity(format_args!("lines[{index}].quantity"), reason, line.quantity);
            parsed.push(quantity.map(|quantity| LineQuantity { line: line.line, quantity }));
        }
        parsed.into_iter().collect()
    }

    pub(super) fn line_number(
        &mut self,
        field: impl Display,
        reason: Reason,
        line: u32,
        named: &mut BTreeSet<u32>,
    ) {
        if line == 0 {
            self.violations.add(&field, reason, "lines are numbered from 1");
        } else if !named.insert(line) {
            self.violations.add(&field, reason, bounds::NAMED_TWICE);
        }
    }

    pub(crate) fn dispositions(
        &mut self,
        lines: &[proto::LineDisposition],
    ) -> Option<Vec<ReturnLineDisposition>> {
        let reason = Units::Kept.reason();
        if lines.len() > bounds::LINES_MAX {
            self.violations.add("dispositions", reason, Rejection::TooManyLines);
            return None;
        }
        let mut named = BTreeSet::new();
        let mut parsed = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            let path = format!("dispositions[{index}]");
            self.line_number(format_args!("{path}.line"), reason, line.line, &mut named);
            let disposition = match proto::Disposition::try_from(line.disposition) {
                Ok(proto::Disposition::Restock) => Some(Disposition::Restock),
                Ok(proto::Disposition::WriteOff) => Some(Disposition::WriteOff),
                Ok(proto::Disposition::Unspecified) | Err(_) => {
                    let field = format!("{path}.disposition");
                    let names = one_of(proto::Disposition::as_str_name);
                    self.violations.add(&field, reason, names);
                    None
                }
            };
            parsed.push(
                disposition
                    .map(|disposition| ReturnLineDisposition { line: line.line, disposition }),
            );
        }
        parsed.into_iter().collect()
    }
}
