use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Quantity;

/// An ISO 4217 currency. Callers may only name those in circulation today; a stored one may have
/// been withdrawn since. Ordered by code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The three letters, such as `GBP`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.code()
    }

    /// Parses a currency from storage, even if it was withdrawn since. Currencies from callers are
    /// parsed by `FromStr`, which refuses those not in circulation.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`].
    pub fn recorded(text: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(text).map(Self).ok_or(MoneyError::UnknownCurrency)
    }

    /// How many decimal digits its minor unit has: 2 for GBP, 0 for JPY, 3 for BHD (ISO 4217,
    /// by the `iso_currency` crate). Currencies without a minor unit have 0.
    #[must_use]
    pub fn exponent(&self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl Ord for Currency {
    fn cmp(&self, other: &Self) -> Ordering {
        self.code().cmp(other.code())
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Why an amount of money is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not the code of an ISO 4217 currency.
    #[error("not an ISO 4217 currency code such as GBP")]
    UnknownCurrency,
    /// A code that is not in circulation: withdrawn, or no currency of payments.
    #[error("not a currency in circulation: withdrawn, a fund, a metal or a test")]
    NoMoney,
    /// A sum of two currencies.
    #[error("amounts of different currencies cannot be added")]
    CurrencyMismatch,
    /// The amount does not fit 64 bits of minor units.
    #[error("the amount is too large")]
    Overflow,
    /// Finer than the currency's minor unit.
    #[error("the amount is finer than the minor unit of its currency")]
    TooFine,
    /// Billionths that are no part of these units.
    #[error("nanos are -999,999,999 to 999,999,999, with the sign of units")]
    NotNanos,
    /// The text is not a decimal number.
    #[error("not an amount such as 19.99")]
    NotDecimal,
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let currency = Self::recorded(text)?;
        if is_money(currency.0) { Ok(currency) } else { Err(MoneyError::NoMoney) }
    }
}

/// Whether it is in circulation: ISO 4217 List One as iso_currency 0.7.1 has it, which is that of
/// January 2026 (XCG and ZWG are in it; ANG, BGN, HRK and ZWL are not, or marked as withdrawn),
/// without its funds and its codes for metals, units of account, tests and no currency. The crate
/// calls the bolívar VES superseded by VED, which ISO does not: both are the same money.
fn is_money(currency: iso_currency::Currency) -> bool {
    let withdrawn = currency.is_superseded().is_some() && currency != iso_currency::Currency::VES;
    !(withdrawn || currency.is_fund() || currency.is_special())
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::recorded(&text)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in minor units (cents, pence) of one currency. All arithmetic is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units: 1999 is 19.99 in GBP and 1,999 in JPY.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// This many minor units of a currency.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Zero, in a currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`], [`MoneyError::Overflow`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(minor, self.currency))
    }

    /// The difference; may be negative.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`], [`MoneyError::Overflow`].
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_sub(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(minor, self.currency))
    }

    /// The price of this many units.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn times(self, units: Quantity) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(i64::from(units.get())).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(minor, self.currency))
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency { Ok(()) } else { Err(MoneyError::CurrencyMismatch) }
    }

    /// From whole units and billionths, as in `google.type.Money`.
    ///
    /// # Errors
    /// [`MoneyError::NotNanos`] where the billionths are more than a unit or their sign differs
    /// from the units', [`MoneyError::TooFine`] where they are not whole minor units,
    /// [`MoneyError::Overflow`].
    pub fn from_units_nanos(
        units: i64,
        nanos: i32,
        currency: Currency,
    ) -> Result<Self, MoneyError> {
        let per_unit = 10_i64.pow(currency.exponent());
        let nanos_per_minor = 1_000_000_000 / per_unit;
        let nanos = i64::from(nanos);
        let signs_differ = units.signum() * nanos.signum() < 0;
        if signs_differ || nanos.abs() >= 1_000_000_000 {
            return Err(MoneyError::NotNanos);
        }
        if nanos % nanos_per_minor != 0 {
            return Err(MoneyError::TooFine);
        }
        let minor = units.checked_mul(per_unit).ok_or(MoneyError::Overflow)?;
        let minor = minor.checked_add(nanos / nanos_per_minor).ok_or(MoneyError::Overflow)?;
        Ok(Self::new(minor, currency))
    }

    /// Whole units and billionths, as in `google.type.Money`.
    #[must_use]
    pub fn units_nanos(self) -> (i64, i32) {
        let per_unit = 10_i64.pow(self.currency.exponent());
        let nanos = (self.minor % per_unit) * (1_000_000_000 / per_unit);
        (self.minor / per_unit, i32::try_from(nanos).unwrap_or(0))
    }

    /// From decimal text such as `19.99`, without a float in between.
    ///
    /// # Errors
    /// [`MoneyError::TooFine`] where there are more digits than the currency has and they are not
    /// zero, [`MoneyError::NotDecimal`], [`MoneyError::Overflow`].
    pub fn parse_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let exponent = currency.exponent() as usize;
        let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !numeric(whole) || !numeric(fraction) {
            return Err(MoneyError::NotDecimal);
        }
        let (kept, rest) = fraction.split_at(fraction.len().min(exponent));
        if rest.bytes().any(|byte| byte != b'0') {
            return Err(MoneyError::TooFine);
        }
        let text = format!("{whole}{kept:0<exponent$}");
        let minor: i64 = text.parse().map_err(|_| MoneyError::Overflow)?;
        Ok(Self::new(if negative { -minor } else { minor }, currency))
    }
}

/// `19.99 GBP`, with as many decimals as the currency has.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent() as usize;
        let sign = if self.minor < 0 { "-" } else { "" };
        let magnitude = self.minor.unsigned_abs();
        let per_unit = 10_u64.pow(self.currency.exponent());
        let (units, minor) = (magnitude / per_unit, magnitude % per_unit);
        if exponent == 0 {
            write!(f, "{sign}{units} {}", self.currency)
        } else {
            write!(f, "{sign}{units}.{minor:0exponent$} {}", self.currency)
        }
    }
}
