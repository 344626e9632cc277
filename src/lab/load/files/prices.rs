//! What an order of a file costs, in minor units: what the engine is asked to add up.
//!
//! Files say sums, the engine wants parts. Where a sum has to be divided, the parts are rounded so
//! that they add up to it.

use shared_events::contract::{Currency, Quantity};

use super::cells::Decimal;
use super::division::{discounts, divide, is_included, round};
use super::fields::Field;
use super::mapping::{PriceOf, name};
use super::rows::{Raw, Row};
use crate::lab::load::plan::Problem;

/// The largest amount in minor units: all of an order's lines with their taxes and charges add up
/// to less than 64 bits hold.
const AMOUNT_MAX: i64 = 100_000_000_000_000;

/// A tax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tax {
    /// Its name.
    pub name: String,
    /// Its amount.
    pub amount: i64,
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Units.
    pub units: u32,
    /// The price of one.
    pub unit: i64,
    /// Its discounts, with what each is for.
    pub discounts: Vec<(&'static str, i64)>,
    /// Its taxes.
    pub taxes: Vec<Tax>,
}

impl Line {
    /// What its units cost without its discounts.
    pub fn net(&self) -> i64 {
        let gross = self.unit.saturating_mul(i64::from(self.units));
        gross.saturating_sub(self.discounts.iter().map(|(_, amount)| amount).sum())
    }
}

/// What a charge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Shipping.
    Shipping,
    /// Wrapping.
    GiftWrap,
    /// Anything else.
    Other,
}

/// A charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// What for.
    pub kind: For,
    /// Words for it.
    pub label: String,
    /// Its amount.
    pub amount: i64,
    /// Its tax.
    pub tax: i64,
}

/// What an order costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Its lines.
    pub lines: Vec<Line>,
    /// Discounts of the whole order, with what each is for.
    pub discounts: Vec<(String, i64)>,
    /// Charges.
    pub charges: Vec<Charge>,
    /// Whether prices contain the taxes.
    pub included: bool,
    /// The file's total.
    pub total: Option<i64>,
    /// The file's sum of taxes.
    pub tax: Option<i64>,
}

impl Prices {
    /// What its lines cost.
    pub fn base(&self) -> i64 {
        self.lines.iter().map(Line::net).sum()
    }

    fn taxes(&self) -> i64 {
        let lines = self.lines.iter().flat_map(|line| &line.taxes).map(|tax| tax.amount);
        lines.sum::<i64>() + self.charges.iter().map(|charge| charge.tax).sum::<i64>()
    }

    /// What the engine will come to.
    pub fn sum(&self) -> i64 {
        let discounts: i64 = self.discounts.iter().map(|(_, amount)| amount).sum();
        let charges: i64 = self.charges.iter().map(|charge| charge.amount).sum();
        let taxes = if self.included { 0 } else { self.taxes() };
        self.base() - discounts + charges + taxes
    }
}

/// Reads amounts and keeps what was wrong with them.
struct Reading<'a> {
    raw: &'a Raw,
    currency: Currency,
    // Amounts that were finer than the minor unit.
    inexact: i64,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn problem(&mut self, line: u64, code: &str, detail: String) {
        self.problems.push(Problem { line, code: code.to_owned(), detail });
    }

    fn decimal(&mut self, line: u64, field: Field, text: &str) -> Decimal {
        if text.is_empty() {
            return Decimal::ZERO;
        }
        let mark = self.raw.mapping.decimal_mark;
        Decimal::parse(text, mark).unwrap_or_else(|| {
            let detail = format!(
                "{}: {text:?} is not an amount such as 1234.50; where it is written with a decimal \
                 comma, say --decimal-mark ,",
                name(field)
            );
            self.problem(line, "PRICE_UNREADABLE", detail);
            Decimal::ZERO
        })
    }

    fn minor(&mut self, line: u64, field: Field, amount: Decimal) -> i64 {
        let amount =
            amount.minor(self.currency).filter(|(minor, _)| minor.saturating_abs() <= AMOUNT_MAX);
        let Some((minor, is_exact)) = amount else {
            self.problem(line, "PRICE_UNREADABLE", format!("{} is too large", name(field)));
            return 0;
        };
        self.inexact += i64::from(!is_exact);
        minor
    }

    fn of_row(&mut self, row: &Row, field: Field) -> i64 {
        let amount = self.decimal(row.line, field, row.get(field));
        self.minor(row.line, field, amount)
    }

    /// An amount of the order; none where the file says nothing.
    fn of_order(&mut self, field: Field) -> Option<i64> {
        let text = self.raw.get(field);
        if text.is_empty() {
            return None;
        }
        let line = self.raw.first();
        let amount = self.decimal(line, field, text);
        Some(self.minor(line, field, amount))
    }

    fn units(&mut self, row: &Row) -> u32 {
        let text = self.raw.of_row(row, Field::Quantity);
        let number = Decimal::parse(text, self.raw.mapping.decimal_mark).and_then(Decimal::whole);
        let Some(number) = number else {
            let detail = format!("{text:?} is not a whole number such as 6");
            self.problem(row.line, "QUANTITY_UNREADABLE", detail);
            return 1;
        };
        let units = u32::try_from(number).ok().filter(|units| (1..=Quantity::MAX).contains(units));
        units.unwrap_or_else(|| {
            let detail = format!("an order's units are 1 to {}", Quantity::MAX);
            self.problem(row.line, "QUANTITY_OUT_OF_RANGE", detail);
            1
        })
    }

    fn line(&mut self, row: &Row) -> Line {
        let units = self.units(row);
        let [subtotal, total, price] = [Field::LineSubtotal, Field::LineTotal, Field::Price];
        let is_said = |field: Field| !row.get(field).is_empty();
        let gross = if is_said(subtotal) {
            self.decimal(row.line, subtotal, row.get(subtotal))
        } else if is_said(price) {
            let amount = self.decimal(row.line, price, row.get(price));
            match self.raw.mapping.price {
                PriceOf::Unit => amount.times(units),
                PriceOf::Line => amount,
            }
        } else {
            if !is_said(total) {
                self.problem(row.line, "PRICE_UNREADABLE", "the line has no price".to_owned());
            }
            self.decimal(row.line, total, row.get(total))
        };
        let mut gross = self.minor(row.line, price, gross);
        let mut discount = self.of_row(row, Field::LineDiscount).saturating_abs();
        if is_said(total) {
            let net = self.of_row(row, total);
            gross = gross.max(net);
            discount = gross.saturating_sub(net);
        }
        if gross < 0 {
            let detail = "a price is 0 or more".to_owned();
            self.problem(row.line, "PRICE_NEGATIVE", detail);
        }
        // The price of one unit may be finer than the minor unit: it is rounded up, and what that
        // is too much is taken off.
        let of_units = i64::from(units);
        let unit = gross.div_euclid(of_units) + i64::from(gross.rem_euclid(of_units) > 0);
        let excess = unit.saturating_mul(of_units).saturating_sub(gross);
        let discounts = [("discount", discount), ("rounding of the price", excess)];
        let discounts = discounts.into_iter().filter(|(_, amount)| *amount > 0).collect();
        let tax = self.of_row(row, Field::LineTax);
        let label = self.raw.mapping.tax_label.clone();
        let taxes = if tax == 0 { Vec::new() } else { vec![Tax { name: label, amount: tax }] };
        Line { units, unit, discounts, taxes }
    }

    fn sum_of(&mut self, rows: &[&Row], field: Field) -> i64 {
        rows.iter().map(|row| self.of_row(row, field)).sum()
    }

    fn charges(&mut self, rows: &[&Row]) -> Vec<Charge> {
        let mut charges = Vec::new();
        let label = self.raw.get(Field::ShippingLabel).to_owned();
        let amount = self.of_order(Field::Shipping).unwrap_or(0)
            + self.sum_of(rows, Field::LineShipping)
            - self.sum_of(rows, Field::LineShippingDiscount).saturating_abs();
        let tax = self.of_order(Field::ShippingTax).unwrap_or(0)
            + self.sum_of(rows, Field::LineShippingTax);
        if amount != 0 || tax != 0 || !label.is_empty() {
            charges.push(Charge { kind: For::Shipping, label, amount, tax });
        }
        let amount = self.sum_of(rows, Field::LineGiftWrap);
        let tax = self.sum_of(rows, Field::LineGiftWrapTax);
        if amount != 0 || tax != 0 {
            charges.push(Charge { kind: For::GiftWrap, label: String::new(), amount, tax });
        }
        let amount = self.of_order(Field::Fee).unwrap_or(0);
        let tax = self.of_order(Field::FeeTax).unwrap_or(0);
        if amount > 0 || tax != 0 {
            let label = self.raw.mapping.fee_label.clone();
            charges.push(Charge { kind: For::Other, label, amount, tax });
        }
        charges
    }

    /// Taxes of the whole order, which are to be divided between its lines.
    fn order_taxes(&mut self) -> Vec<Tax> {
        let line = self.raw.first();
        let named: Vec<(String, String)> = self
            .raw
            .rows
            .iter()
            .map(|row| &row.taxes)
            .find(|t| !t.is_empty())
            .cloned()
            .unwrap_or_default();
        let mut taxes = Vec::new();
        for (name, amount) in named {
            let amount = self.decimal(line, Field::Tax, &amount);
            let amount = self.minor(line, Field::Tax, amount);
            let label = &self.raw.mapping.tax_label;
            let name = if name.is_empty() { label.clone() } else { name };
            taxes.push(Tax { name, amount });
        }
        taxes.retain(|tax| tax.amount != 0);
        let sum = self.of_order(Field::Tax);
        if sum.is_some_and(|sum| sum != taxes.iter().map(|tax| tax.amount).sum::<i64>()) {
            let name = match taxes.as_slice() {
                [only] => only.name.clone(),
                _ => self.raw.mapping.tax_label.clone(),
            };
            taxes = vec![Tax { name, amount: sum.unwrap_or(0) }];
            taxes.retain(|tax| tax.amount != 0);
        }
        taxes
    }
}

/// What the order of these lines costs.
///
/// # Errors
/// Every amount that cannot be read.
pub fn prices(raw: &Raw, rows: &[&Row], currency: Currency) -> Result<Prices, Vec<Problem>> {
    let mut reading = Reading { raw, currency, inexact: 0, problems: Vec::new() };
    let mut prices = Prices {
        lines: rows.iter().map(|row| reading.line(row)).collect(),
        charges: reading.charges(rows),
        total: reading.of_order(Field::Total),
        ..Prices::default()
    };
    let order_taxes = if prices.taxes() == 0 { reading.order_taxes() } else { Vec::new() };
    let on_top: i64 = order_taxes.iter().map(|tax| tax.amount).sum();
    prices.tax = (on_top > 0).then_some(on_top);
    let [subtotal, discount, fee] =
        [Field::Subtotal, Field::Discount, Field::Fee].map(|field| reading.of_order(field));
    discounts(&mut prices, raw, (subtotal, discount, fee), on_top);
    prices.included = is_included(&prices, raw, currency, on_top);
    divide(&mut prices, raw, rows, &order_taxes);
    let amounts = prices.lines.len() + prices.charges.len();
    let tolerance = if raw.mapping.rounding { i64::try_from(amounts).unwrap_or(0) } else { 0 };
    // Half a minor unit for each amount that was rounded.
    round(&mut prices, tolerance.max((reading.inexact + 1) / 2));
    if reading.problems.is_empty() { Ok(prices) } else { Err(reading.problems) }
}
