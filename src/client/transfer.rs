use std::str::FromStr;

use serde_json::{Value, json};

use super::parse::Amount;

/// A transfer of the ledger: `DEBIT/CREDIT=AMOUNT`, such as `bank/wallet:c-17=10.00GBP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    debit: String,
    credit: String,
    amount: Amount,
}

impl FromStr for Transfer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not DEBIT/CREDIT=AMOUNT, such as bank/wallet:c-17=10.00GBP".to_owned();
        let (accounts, amount) = text.split_once('=').ok_or_else(wrong)?;
        let (debit, credit) = accounts.split_once('/').ok_or_else(wrong)?;
        if debit.is_empty() || credit.is_empty() {
            return Err(wrong());
        }
        let amount = Amount::part(amount)?;
        Ok(Self { debit: debit.to_owned(), credit: credit.to_owned(), amount })
    }
}

impl Transfer {
    /// As `TransferLeg`, and as the first fields of `HoldLeg` and `ReserveFundsRequest`.
    pub fn to_json(&self) -> Value {
        let Self { debit, credit, amount } = self;
        json!({ "debit": debit, "credit": credit, "amount": amount.to_json() })
    }
}
