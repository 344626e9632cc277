//! Values of the flags of returns.

use std::str::FromStr;

use serde_json::{Value, json};

use super::parse::Id;

/// Units of a line of a return and what becomes of them: `NUMBER=QUANTITY:OUTCOME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineOutcome {
    line: u32,
    quantity: u32,
    outcome: &'static str,
}

impl FromStr for LineOutcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "is not NUMBER=QUANTITY:OUTCOME, such as 1=2:RESTOCK; outcomes are RESTOCK, WRITE_OFF, \
             NOT_ARRIVED and REJECTED"
                .to_owned()
        };
        let (line, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (quantity, outcome) = rest.split_once(':').ok_or_else(wrong)?;
        let outcome = match outcome.to_ascii_uppercase().replace('-', "_").as_str() {
            "RESTOCK" => "UNIT_OUTCOME_RESTOCK",
            "WRITE_OFF" => "UNIT_OUTCOME_WRITE_OFF",
            "NOT_ARRIVED" => "UNIT_OUTCOME_NOT_ARRIVED",
            "REJECTED" => "UNIT_OUTCOME_REJECTED",
            _ => return Err(wrong()),
        };
        let number = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Self { line: number(line)?, quantity: number(quantity)?, outcome })
    }
}

impl LineOutcome {
    /// As `OutcomeUnits`.
    pub fn to_json(self) -> Value {
        json!({ "line": self.line, "quantity": self.quantity, "outcome": self.outcome })
    }
}

/// A return of an order: `ORDER/RETURN`, two ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnOf {
    order_id: Id,
    return_id: Id,
}

impl FromStr for ReturnOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not ORDER/RETURN, two ids with a slash between them".to_owned();
        let (order_id, return_id) = text.split_once('/').ok_or_else(wrong)?;
        let id = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Self { order_id: id(order_id)?, return_id: id(return_id)? })
    }
}

impl ReturnOf {
    /// As `ExchangeOf`.
    pub fn to_json(self) -> Value {
        json!({
            "order_id": self.order_id.to_string(), "return_id": self.return_id.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_with_an_outcome_become_json() {
        let units: LineOutcome = "1=2:not-arrived".parse().unwrap();
        let expected = json!({ "line": 1, "quantity": 2, "outcome": "UNIT_OUTCOME_NOT_ARRIVED" });
        assert_eq!(units.to_json(), expected);
        for wrong in ["", "1", "1=2", "1=RESTOCK", "1=2:burn", "x=2:RESTOCK", "1=-2:RESTOCK"] {
            assert!(wrong.parse::<LineOutcome>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_return_of_an_order_is_two_ids() {
        let id = "0190a0b0-0000-7000-8000-000000000001";
        let both: ReturnOf = format!("{id}/{id}").parse().unwrap();
        assert_eq!(both.to_json(), json!({ "order_id": id, "return_id": id }));
        for wrong in [id, "/", "a/b"] {
            assert!(wrong.parse::<ReturnOf>().is_err(), "{wrong}");
        }
    }
}
