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
        let amount = Amount::part(amount)?;
        Ok(Self { charge: charge.parse().map_err(|_| wrong())?, amount })
    }
}

impl ChargeRefund {
    /// As `ChargeRefund`.
    pub fn to_json(self) -> Value {
        json!({ "charge": self.charge, "amount": self.amount.to_json() })
    }
}

/// A charge of a new order: `KIND=AMOUNT` or `KIND:LABEL=AMOUNT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCharge {
    kind: &'static str,
    label: String,
    amount: Amount,
}

impl FromStr for NewCharge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "is not KIND[:LABEL]=AMOUNT, such as \"SHIPPING:Royal Mail=4.99GBP\"; kinds are \
             SHIPPING, HANDLING, GIFT_WRAP and OTHER"
                .to_owned()
        };
        let (what, amount) = text.rsplit_once('=').ok_or_else(wrong)?;
        let (kind, label) = what.split_once(':').unwrap_or((what, ""));
        let kind = match kind.trim().to_ascii_uppercase().replace('-', "_").as_str() {
            "SHIPPING" => "CHARGE_KIND_SHIPPING",
            "HANDLING" => "CHARGE_KIND_HANDLING",
            "GIFT_WRAP" => "CHARGE_KIND_GIFT_WRAP",
            "OTHER" => "CHARGE_KIND_OTHER",
            _ => return Err(wrong()),
        };
        let amount = Amount::part(amount)?;
        Ok(Self { kind, label: label.to_owned(), amount })
    }
}

impl NewCharge {
    /// As `NewCharge`.
    pub fn to_json(&self) -> Value {
        json!({ "kind": self.kind, "label": self.label, "amount": self.amount.to_json() })
    }
}

/// A discount of a new order: `LABEL=AMOUNT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discount {
    label: String,
    amount: Amount,
}

impl FromStr for Discount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not LABEL=AMOUNT, such as SPRING=5GBP".to_owned();
        let (label, amount) = text.rsplit_once('=').ok_or_else(wrong)?;
        let amount = Amount::part(amount)?;
        if label.is_empty() { Err(wrong()) } else { Ok(Self { label: label.to_owned(), amount }) }
    }
}

impl Discount {
    /// As `Discount`.
    pub fn to_json(&self) -> Value {
        json!({ "label": self.label, "amount": self.amount.to_json() })
    }
}

/// A tax of a line of a new order: `LINE:NAME=AMOUNT` or `LINE:NAME:RATE=AMOUNT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTax {
    /// The number of the line, from 1.
    pub line: usize,
    name: String,
    rate: String,
    amount: Amount,
}

impl FromStr for LineTax {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "is not LINE:NAME[:RATE]=AMOUNT, such as 1:VAT:20=3.33GBP: 20 % VAT of line 1"
                .to_owned()
        };
        let (what, amount) = text.rsplit_once('=').ok_or_else(wrong)?;
        let (line, what) = what.split_once(':').ok_or_else(wrong)?;
        let is_rate = |rate: &str| rate.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let rated = what.rsplit_once(':').filter(|(_, rate)| is_rate(rate));
        let (name, rate) = rated.unwrap_or((what, ""));
        let line = line.parse().ok().filter(|line| *line > 0).ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        let amount = Amount::part(amount)?;
        Ok(Self { line, name: name.to_owned(), rate: rate.to_owned(), amount })
    }
}

impl LineTax {
    /// As `Tax`.
    pub fn to_json(&self) -> Value {
        let amount = self.amount.to_json();
        json!({ "name": self.name, "rate_percent": self.rate, "amount": amount })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_discounts_and_taxes_become_json() {
        let gbp = |units: i64, nanos: i64| json!({ "currency_code": "GBP", "units": units, "nanos": nanos });
        assert_eq!(
            "1=4.99GBP".parse::<ChargeRefund>().unwrap().to_json(),
            json!({ "charge": 1, "amount": gbp(4, 990_000_000) })
        );
        assert_eq!(
            "gift-wrap:red=paper=2GBP".parse::<NewCharge>().unwrap().to_json(),
            json!({ "kind": "CHARGE_KIND_GIFT_WRAP", "label": "red=paper", "amount": gbp(2, 0) })
        );
        assert_eq!(
            "SPRING=5GBP".parse::<Discount>().unwrap().to_json(),
            json!({ "label": "SPRING", "amount": gbp(5, 0) })
        );
        for (text, line, name, rate) in [
            ("1:VAT:20=1GBP", 1, "VAT", "20"),
            ("2:VAT=1GBP", 2, "VAT", ""),
            ("1:US: CA:8.875=1GBP", 1, "US: CA", "8.875"),
        ] {
            let tax: LineTax = text.parse().unwrap();
            let json = json!({ "name": name, "rate_percent": rate, "amount": gbp(1, 0) });
            assert_eq!((tax.line, tax.to_json()), (line, json), "{text}");
        }
        for wrong in ["", "=1GBP", "VAT=1GBP", "0:VAT=1GBP", "1:=1GBP", "1:VAT=1", "1:VAT"] {
            assert!(wrong.parse::<LineTax>().is_err(), "{wrong}");
        }
        assert!("POSTAGE=1GBP".parse::<NewCharge>().is_err());
        assert!("=1GBP".parse::<Discount>().is_err());
        assert!("x=1GBP".parse::<ChargeRefund>().is_err());
    }
}
