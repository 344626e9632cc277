//! What an order costs: discounts and taxes of its lines, charges such as shipping, discounts of the
//! whole order spread over its lines, and the totals that come of all that.
//! Never here: what a tax rate should be, or whether a coupon is valid; the client computed both.

use serde::{Deserialize, Serialize};
use shared_events::contract::{Currency, Money, Quantity};

use super::TaxRate;

/// A tax as the client computed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    /// Its name, such as `VAT`.
    pub name: String,
    /// Its rate, where the client gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<TaxRate>,
    /// The amount, not below zero.
    pub amount: Money,
}

/// Money that is not asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discount {
    /// What it is for, such as the code of a coupon.
    pub label: String,
    /// The amount, not below zero.
    pub amount: Money,
}

/// What is charged beside the goods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// Number from 1 in its order.
    pub number: u32,
    /// What for.
    pub kind: ChargeKind,
    /// The client's words for it, such as `DHL Express`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The amount, not below zero.
    pub amount: Money,
    /// Its taxes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<Tax>,
}

impl Charge {
    /// What it costs the customer, in an order that [`price`] accepts.
    #[must_use]
    pub fn cost(&self, mode: TaxMode) -> Amount {
        // Not below zero, and parts of a total that fits.
        let tax = self.taxes.iter().fold(0_i64, |sum, tax| sum.saturating_add(tax.amount.minor));
        let total = match mode {
            TaxMode::OnTop => self.amount.minor.saturating_add(tax),
            TaxMode::Included => self.amount.minor,
        };
        Amount { total, tax }
    }
}

/// What of a refund is for a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeRefund {
    /// Number of the charge, from 1.
    pub charge: u32,
    /// How much of it is paid back, tax in it.
    pub amount: Money,
}

/// What a charge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChargeKind {
    /// Bringing it.
    Shipping,
    /// Packing it, or another fee.
    Handling,
    /// Wrapping it as a gift.
    GiftWrap,
    /// Anything else; the label says what.
    Other,
}

impl ChargeKind {
    /// The stable name, such as `GIFT_WRAP`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Shipping => "SHIPPING",
            Self::Handling => "HANDLING",
            Self::GiftWrap => "GIFT_WRAP",
            Self::Other => "OTHER",
        }
    }
}

/// Whether taxes are part of the prices or come on top of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaxMode {
    /// Prices and charges are without tax; taxes are added.
    #[default]
    OnTop,
    /// Prices and charges contain the taxes.
    Included,
}

impl TaxMode {
    /// Whether it is the default, which is not written down.
    #[must_use]
    pub const fn is_on_top(&self) -> bool {
        matches!(self, Self::OnTop)
    }
}

/// The sums of an order. `total` is what the customer pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Units times their prices, over all lines.
    pub goods: Money,
    /// All discounts, of lines and of the order.
    pub discounts: Money,
    /// All charges.
    pub charges: Money,
    /// All taxes, of lines and of charges, on top or included.
    pub tax: Money,
    /// `goods − discounts + charges`, and `tax` where it comes on top.
    pub total: Money,
}

/// What some units cost the customer, in minor units of the order's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// What is paid for them: discounts taken off, tax in it.
    pub total: i64,
    /// The tax in it.
    pub tax: i64,
}

impl Amount {
    /// What `units` of `of` units cost. Taken one after the other until none is left, the parts add up
    /// to the whole, whatever their sizes: each takes its share of what is left, rounded down, and the
    /// last one all of it.
    #[must_use]
    pub fn part(self, units: u32, of: u32) -> Self {
        Self { total: share(self.total, units, of), tax: share(self.tax, units, of) }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            tax: self.tax.saturating_add(other.tax),
        }
    }

    /// This without that.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_sub(other.total),
            tax: self.tax.saturating_sub(other.tax),
        }
    }
}

/// `amount × part / whole`, rounded down; all of it where the part is the whole.
fn share(amount: i64, part: u32, whole: u32) -> i64 {
    if part >= whole {
        return amount;
    }
    let share = i128::from(amount) * i128::from(part) / i128::from(whole);
    // Smaller than the amount, which fits.
    i64::try_from(share).unwrap_or(amount)
}

impl Totals {
    /// Both together, where every sum fits and they have one currency.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            goods: self.goods.plus(other.goods).ok()?,
            discounts: self.discounts.plus(other.discounts).ok()?,
            charges: self.charges.plus(other.charges).ok()?,
            tax: self.tax.plus(other.tax).ok()?,
            total: self.total.plus(other.total).ok()?,
        })
    }

    /// Whether the total is all that there is to say: no discount, no charge, no tax.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.discounts.minor == 0 && self.charges.minor == 0 && self.tax.minor == 0
    }
}

/// What one line says of its price.
#[derive(Clone, Copy, Debug)]
pub struct LinePrice<'a> {
    /// The price of one unit.
    pub unit_price: Money,
    /// Units.
    pub quantity: Quantity,
    /// Its own discounts.
    pub discounts: &'a [Discount],
    /// Its taxes.
    pub taxes: &'a [Tax],
}

/// What an order says of its price, beside its lines.
#[derive(Clone, Copy, Debug)]
pub struct OrderPrice<'a> {
    /// Charges.
    pub charges: &'a [Charge],
    /// Discounts of the whole order.
    pub discounts: &'a [Discount],
    /// On top, or included.
    pub tax_mode: TaxMode,
}

/// What an order costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    /// What all units of each line cost, in the order of the lines.
    pub lines: Vec<Amount>,
    /// What each charge costs, in their order.
    pub charges: Vec<Amount>,
    /// The sums.
    pub totals: Totals,
}

/// Why prices, discounts and taxes do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Two currencies.
    #[error("all amounts of an order have one currency")]
    CurrencyMismatch,
    /// A sum does not fit into 64 bits.
    #[error("the total is too large")]
    Overflow,
    /// An amount is below zero, or more than it may be.
    #[error("{at}: {detail}")]
    Amount {
        /// The path of the field, such as `lines[0].discounts[1].amount`.
        at: String,
        /// What is wrong.
        detail: &'static str,
    },
}

const BELOW_ZERO: &str = "not below zero";

/// What an order of these lines costs.
///
/// # Errors
/// [`PriceError`] at the first amount that does not fit.
pub fn price(lines: &[LinePrice<'_>], order: OrderPrice<'_>) -> Result<Priced, PriceError> {
    let currency = lines.first().ok_or(PriceError::CurrencyMismatch)?.unit_price.currency;
    let sum = Sum { currency, mode: order.tax_mode };
    let mut bases = Vec::with_capacity(lines.len());
    let (mut goods, mut own_discounts) = (0_i128, 0_i128);
    for (index, line) in lines.iter().enumerate() {
        let at = |field: &str| format!("lines[{index}].{field}");
        let price = sum.amount(line.unit_price, || at("unit_price"))?;
        let of_line = price * i128::from(line.quantity.get());
        let discounts = sum.discounts(line.discounts, || at("discounts"))?;
        if discounts > of_line {
            let detail = "the discounts of a line are at most its price";
            return Err(PriceError::Amount { at: at("discounts"), detail });
        }
        goods += of_line;
        own_discounts += discounts;
        bases.push(of_line - discounts);
    }
    // What is not more than 64 bits can be multiplied with what is not, below.
    fits(goods)?;
    let base: i128 = goods - own_discounts;
    let spread = sum.discounts(order.discounts, || "discounts".to_owned())?;
    if spread > base {
        let detail = "the discounts of an order are at most what its lines cost";
        return Err(PriceError::Amount { at: "discounts".to_owned(), detail });
    }
    let mut total = Sums::default();
    let mut priced_lines = Vec::with_capacity(lines.len());
    let (mut before, mut given) = (0_i128, 0_i128);
    for (index, (line, of_line)) in lines.iter().zip(bases).enumerate() {
        before += of_line;
        // Rounded on the sums so far, so that the shares add up to the discount. No share is more
        // than its line: the discount is at most the sum of all lines.
        let given_now = if base == 0 { 0 } else { spread * before / base };
        let net = of_line - (given_now - given);
        given = given_now;
        priced_lines.push(sum.with_tax(net, line.taxes, &mut total, || format!("lines[{index}]"))?);
    }
    let mut priced_charges = Vec::with_capacity(order.charges.len());
    let mut charges = 0_i128;
    for (index, charge) in order.charges.iter().enumerate() {
        let at = || format!("charges[{index}]");
        let amount = sum.amount(charge.amount, || format!("{}.amount", at()))?;
        charges += amount;
        priced_charges.push(sum.with_tax(amount, &charge.taxes, &mut total, at)?);
    }
    let money = |sum: i128| fits(sum).map(|minor| Money::new(minor, currency));
    Ok(Priced {
        lines: priced_lines,
        charges: priced_charges,
        totals: Totals {
            goods: money(goods)?,
            discounts: money(own_discounts + spread)?,
            charges: money(charges)?,
            tax: money(total.tax)?,
            total: money(total.total)?,
        },
    })
}

#[derive(Default)]
struct Sums {
    total: i128,
    tax: i128,
}

/// How amounts of one order are added up.
struct Sum {
    currency: Currency,
    mode: TaxMode,
}

impl Sum {
    fn amount(&self, money: Money, at: impl Fn() -> String) -> Result<i128, PriceError> {
        if money.currency != self.currency {
            return Err(PriceError::CurrencyMismatch);
        }
        if money.minor < 0 {
            return Err(PriceError::Amount { at: at(), detail: BELOW_ZERO });
        }
        Ok(i128::from(money.minor))
    }

    fn discounts(
        &self,
        discounts: &[Discount],
        at: impl Fn() -> String,
    ) -> Result<i128, PriceError> {
        let amounts = discounts.iter().enumerate().map(|(index, discount)| {
            self.amount(discount.amount, || format!("{}[{index}].amount", at()))
        });
        amounts.sum()
    }

    fn with_tax(
        &self,
        net: i128,
        taxes: &[Tax],
        sums: &mut Sums,
        at: impl Fn() -> String,
    ) -> Result<Amount, PriceError> {
        let mut tax = 0;
        for (index, one) in taxes.iter().enumerate() {
            tax += self.amount(one.amount, || format!("{}.taxes[{index}].amount", at()))?;
        }
        let total = match self.mode {
            TaxMode::OnTop => net + tax,
            TaxMode::Included if tax > net => {
                let detail = "taxes that are included are at most the amount that includes them";
                return Err(PriceError::Amount { at: format!("{}.taxes", at()), detail });
            }
            TaxMode::Included => net,
        };
        sums.total += total;
        sums.tax += tax;
        Ok(Amount { total: fits(total)?, tax: fits(tax)? })
    }
}

fn fits(sum: i128) -> Result<i64, PriceError> {
    i64::try_from(sum).map_err(|_| PriceError::Overflow)
}
