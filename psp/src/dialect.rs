use std::fmt;
use std::str::FromStr;

use shared_events::contract::{Currency, Money};

/// How a provider writes requests, answers and webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// The simulator's own.
    Simulator,
    /// Stripe's.
    Stripe,
    /// Razorpay's.
    Razorpay,
}

/// Not the name of a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not simulator, stripe or razorpay")]
pub struct NotADialect;

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Simulator, Self::Stripe, Self::Razorpay];

    /// Its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Simulator => "simulator",
            Self::Stripe => "stripe",
            Self::Razorpay => "razorpay",
        }
    }

    /// How the provider counts a currency; none if it is not known to take it.
    fn units(self, currency: Currency) -> Option<Units> {
        let (code, iso) = (currency.code(), currency.exponent());
        match self {
            Self::Simulator => Some(Units { exponent: iso, step: 1 }),
            Self::Stripe => match code {
                // Whole units, whatever ISO says.
                "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF"
                | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => Some(Units { exponent: 0, step: 1 }),
                // Written with two decimals, which are zeros.
                "ISK" => Some(Units { exponent: 2, step: 100 }),
                "BHD" | "JOD" | "KWD" | "OMR" | "TND" => Some(Units { exponent: 3, step: 10 }),
                _ => (iso == 2).then_some(Units { exponent: 2, step: 1 }),
            },
            Self::Razorpay => match code {
                "JPY" => Some(Units { exponent: 0, step: 1 }),
                "BHD" | "KWD" | "OMR" => Some(Units { exponent: 3, step: 10 }),
                _ => (iso == 2).then_some(Units { exponent: 2, step: 1 }),
            },
        }
    }

    /// An amount as the provider counts it.
    ///
    /// # Errors
    /// [`Inexpressible`] if it cannot be said exactly: it is never rounded.
    pub fn amount(self, money: Money) -> Result<i64, Inexpressible> {
        let units = self.units(money.currency).ok_or(Inexpressible)?;
        let from = money.currency.exponent();
        let amount = if units.exponent >= from {
            let factor = 10_i64.checked_pow(units.exponent - from).ok_or(Inexpressible)?;
            money.minor.checked_mul(factor).ok_or(Inexpressible)?
        } else {
            let divisor = 10_i64.checked_pow(from - units.exponent).ok_or(Inexpressible)?;
            if money.minor % divisor != 0 {
                return Err(Inexpressible);
            }
            money.minor / divisor
        };
        if amount % units.step == 0 { Ok(amount) } else { Err(Inexpressible) }
    }

    /// An amount of the provider as money.
    ///
    /// # Errors
    /// [`Inexpressible`] if it is finer than the currency's minor unit.
    pub fn money(self, amount: i64, currency: Currency) -> Result<Money, Inexpressible> {
        let units = self.units(currency).ok_or(Inexpressible)?;
        let to = currency.exponent();
        let minor = if to >= units.exponent {
            let factor = 10_i64.checked_pow(to - units.exponent).ok_or(Inexpressible)?;
            amount.checked_mul(factor).ok_or(Inexpressible)?
        } else {
            let divisor = 10_i64.checked_pow(units.exponent - to).ok_or(Inexpressible)?;
            if amount % divisor != 0 {
                return Err(Inexpressible);
            }
            amount / divisor
        };
        Ok(Money::new(minor, currency))
    }
}

#[derive(Clone, Copy)]
struct Units {
    exponent: u32,
    /// Amounts are multiples of it.
    step: i64,
}

/// An amount that a provider cannot say exactly, or a currency that it is not known to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider cannot say this amount exactly")]
pub struct Inexpressible;

impl FromStr for Dialect {
    type Err = NotADialect;

    fn from_str(text: &str) -> Result<Self, NotADialect> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == text).ok_or(NotADialect)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, currency: &str) -> Money {
        Money::new(minor, currency.parse().unwrap())
    }

    // Cases 27 (moodle-paygw_stripe#2) and 28 (woo-stripe#2720).
    #[test]
    fn amounts_are_exact_by_the_providers_table_or_refused() {
        use Dialect::{Razorpay, Stripe};
        for (dialect, asked, expected) in [
            (Stripe, money(10_000, "JPY"), Ok(10_000)),
            (Stripe, money(1_999, "GBP"), Ok(1_999)),
            (Stripe, money(35_200, "KWD"), Ok(35_200)),
            (Stripe, money(35_205, "KWD"), Err(Inexpressible)),
            (Stripe, money(500, "ISK"), Ok(50_000)),
            // Its pages of different years differ by a factor of 100.
            (Stripe, money(500, "UGX"), Err(Inexpressible)),
            (Stripe, money(1_200, "MGA"), Ok(12)),
            (Stripe, money(1_250, "MGA"), Err(Inexpressible)),
            (Stripe, money(1_000, "IQD"), Err(Inexpressible)),
            (Stripe, money(i64::MAX, "ISK"), Err(Inexpressible)),
            (Razorpay, money(10_000, "JPY"), Ok(10_000)),
            (Razorpay, money(99_990, "KWD"), Ok(99_990)),
            (Razorpay, money(99_991, "KWD"), Err(Inexpressible)),
            (Razorpay, money(100, "KRW"), Err(Inexpressible)),
        ] {
            assert_eq!(dialect.amount(asked), expected, "{dialect} {asked}");
            if let Ok(amount) = expected {
                assert_eq!(dialect.money(amount, asked.currency), Ok(asked), "{dialect} {asked}");
            }
        }
        let isk = "ISK".parse().unwrap();
        assert_eq!(Stripe.money(150, isk), Err(Inexpressible));
    }
}
