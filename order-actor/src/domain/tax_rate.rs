use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A tax rate in millionths: 190,000 is 19 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaxRate(u32);

impl TaxRate {
    /// The highest rate: 1,000 %.
    pub const MAX: Self = Self(10_000_000);

    /// The rate in millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

/// Not a tax rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate in percent from 0 to 1000 with at most 4 decimals, such as 19 or 8.875")]
pub struct TaxRateError;

impl FromStr for TaxRate {
    type Err = TaxRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| {
            (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole) || !is_number(fraction) {
            return Err(TaxRateError);
        }
        let millionths: u32 = format!("{whole}{fraction:0<4}").parse().map_err(|_| TaxRateError)?;
        if millionths <= Self::MAX.0 { Ok(Self(millionths)) } else { Err(TaxRateError) }
    }
}

/// In percent, without trailing zeros: `19`, `8.875`.
impl fmt::Display for TaxRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 10_000, self.0 % 10_000);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        write!(f, "{whole}.{}", format!("{fraction:04}").trim_end_matches('0'))
    }
}
