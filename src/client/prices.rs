//! Values of flags that say what an order costs beside its lines.

use std::str::FromStr;

use serde_json::{Value, json};

use super::parse::Amount;

/// What of a refund is for a charge: `NUMBER=AMOUNT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargeRefund {
    charge: u32,
    amount: Amount,
}

impl FromStr for ChargeRefund {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not NUMBER=AMOUNT, such as 1=4.99GBP for charge 1".to_owned();
        let (charge, amount) = text.split_once('=').ok_or_else(wrong)?;
        let amount = amount.parse().map_err(|why| format!("has an amount that {why}"))?;
        Ok(Self { charge: charge.parse().map_err(|_| wrong())?, amount })
    }
}

impl ChargeRefund {
    /// As `ChargeRefund`.
    pub fn to_json(self) -> Value {
        json!({ "charge": self.charge, "amount": self.amount.to_json() })
    }
}
