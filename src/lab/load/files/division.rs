//! Sums of an order of a file divided into the parts that the engine adds up.

use shared_events::contract::Currency;

use super::cells::{is_no, is_yes};
use super::fields::Field;
use super::mapping::TaxRule;
use super::prices::{Charge, For, Prices, Tax};
use super::rows::{Raw, Row};

/// The discounts of the whole order: what its subtotal, or else its discount, says beyond those of
/// its lines.
pub fn discounts(
    prices: &mut Prices,
    raw: &Raw,
    (subtotal, discount, fee): (Option<i64>, Option<i64>, Option<i64>),
    taxes: i64,
) {
    let label = raw.get(Field::DiscountLabel);
    let label = if label.is_empty() { "discount" } else { label }.to_owned();
    let own = |prices: &Prices| -> i64 {
        let own = prices.lines.iter().flat_map(|line| &line.discounts);
        own.filter(|(of, _)| *of == "discount").map(|(_, amount)| amount).sum()
    };
    let amount = if let Some(subtotal) = subtotal {
        if prices.base() < subtotal && own(prices) > 0 {
            // The prices of the lines are those after their discounts.
            for line in &mut prices.lines {
                line.discounts.retain(|(of, _)| *of != "discount");
            }
        }
        prices.base() - subtotal
    } else {
        let amount = discount.unwrap_or(0).saturating_abs() - own(prices);
        // Where the prices have it off already, the total says so.
        let sum = prices.sum();
        let is_off = prices.total.is_some_and(|total| sum == total || sum + taxes == total);
        if is_off { 0 } else { amount }
    };
    if amount > 0 {
        prices.discounts.push((label, amount));
    }
    if let Some(fee) = fee.filter(|fee| *fee < 0) {
        prices.discounts.push((raw.mapping.fee_label.clone(), -fee));
    }
}

/// Whether prices contain the taxes.
pub fn is_included(prices: &Prices, raw: &Raw, currency: Currency, taxes: i64) -> bool {
    let said = raw.get(Field::TaxesIncluded);
    if is_yes(said) || is_no(said) {
        return is_yes(said);
    }
    let on_top = &raw.mapping.tax_on_top_currencies;
    if !on_top.is_empty() {
        return !on_top.iter().any(|code| code == currency.code());
    }
    match raw.mapping.tax {
        TaxRule::OnTop => false,
        TaxRule::Included => true,
        TaxRule::ByTotal => {
            let sum = prices.sum();
            prices.total == Some(sum) && taxes > 0
        }
    }
}

/// Divides taxes of the order between its taxed lines, by what they cost.
pub fn divide(prices: &mut Prices, raw: &Raw, rows: &[&Row], taxes: &[Tax]) {
    let spread: i64 = prices.discounts.iter().map(|(_, amount)| amount).sum();
    let base = prices.base();
    let (mut before, mut given) = (0_i64, 0_i64);
    let mut weights = Vec::with_capacity(rows.len());
    for (line, row) in prices.lines.iter().zip(rows) {
        before = before.saturating_add(line.net());
        // As the engine divides the discounts of an order.
        let given_now = part(spread, before, base);
        let net = line.net() - (given_now - given);
        given = given_now;
        weights.push(if is_no(raw.of_row(row, Field::LineTaxable)) { 0 } else { net.max(0) });
    }
    if weights.iter().all(|weight| *weight == 0) {
        weights = prices.lines.iter().map(|line| line.net().max(0)).collect();
    }
    let whole: i64 = weights.iter().sum();
    if whole == 0 {
        let charge = prices.charges.iter_mut().find(|charge| charge.amount > 0);
        if let Some(charge) = charge {
            charge.tax += taxes.iter().map(|tax| tax.amount).sum::<i64>();
        }
        return;
    }
    for tax in taxes {
        let (mut before, mut given) = (0_i64, 0_i64);
        for (line, weight) in prices.lines.iter_mut().zip(&weights) {
            before += weight;
            let given_now = part(tax.amount, before, whole);
            let amount = given_now - given;
            given = given_now;
            if amount != 0 {
                line.taxes.push(Tax { name: tax.name.clone(), amount });
            }
        }
    }
}

/// `amount × part / whole`, rounded down.
fn part(amount: i64, part: i64, whole: i64) -> i64 {
    if whole == 0 {
        return 0;
    }
    let share = i128::from(amount) * i128::from(part) / i128::from(whole);
    i64::try_from(share).unwrap_or(amount)
}

/// Adds what rounding makes the sum differ from the file's total by, if that is no more than it can
/// be.
pub fn round(prices: &mut Prices, tolerance: i64) {
    let Some(difference) = prices.total.map(|total| total - prices.sum()) else { return };
    if difference == 0 || difference.saturating_abs() > tolerance {
        return;
    }
    let label = "rounding".to_owned();
    if difference > 0 {
        prices.charges.push(Charge { kind: For::Other, label, amount: difference, tax: 0 });
    } else {
        prices.discounts.push((label, -difference));
    }
}
