use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// A number of units: 1 to [`Quantity::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Quantity(NonZeroU32);

/// Not a number of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is 1 to {max}", max = Quantity::MAX)]
pub struct QuantityError;

impl Quantity {
    /// The most units of one line: a billion, so that sums over 2,000 lines stay far inside 64 bits.
    pub const MAX: u32 = 1_000_000_000;

    /// This many units.
    ///
    /// # Errors
    /// [`QuantityError`] for 0 and for more than [`Self::MAX`].
    pub fn new(units: u32) -> Result<Self, QuantityError> {
        match NonZeroU32::new(units) {
            Some(units) if units.get() <= Self::MAX => Ok(Self(units)),
            _ => Err(QuantityError),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u32> for Quantity {
    type Error = QuantityError;

    fn try_from(units: u32) -> Result<Self, Self::Error> {
        Self::new(units)
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.get()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
