//! Text of flags as the protos spell it. Amounts never pass through a float.

use std::str::FromStr;

use serde_json::{Value, json};
use shared_events::contract::{Currency, Money, Timestamp};

/// An amount such as `19.99GBP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub Money);

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no amount such as 19.99GBP");
        let at = text.len().checked_sub(3).filter(|at| text.is_char_boundary(*at));
        let (number, code) = text.split_at(at.ok_or_else(wrong)?);
        let currency: Currency = code.parse().map_err(|_| wrong())?;
        Money::parse_decimal(number.trim_end(), currency).map(Self).map_err(|error| match error {
            shared_events::contract::MoneyError::Overflow => error.to_string(),
            _ => wrong(),
        })
    }
}

impl Amount {
    /// As `google.type.Money`.
    pub fn to_json(self) -> Value {
        let (units, nanos) = self.0.units_nanos();
        json!({ "currency_code": self.0.currency.code(), "units": units, "nanos": nanos })
    }
}

/// A line to be ordered: `SKU=QUANTITY@PRICE`, such as `MUG=2@19.99GBP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderLine {
    sku: String,
    quantity: u32,
    price: Amount,
}

impl FromStr for OrderLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no line such as MUG=2@19.99GBP");
        let (sku, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (quantity, price) = rest.split_once('@').ok_or_else(wrong)?;
        let quantity = quantity.parse().map_err(|_| wrong())?;
        if sku.is_empty() {
            return Err(wrong());
        }
        Ok(Self { sku: sku.to_owned(), quantity, price: price.parse()? })
    }
}

impl OrderLine {
    /// As `NewLine`.
    pub fn to_json(&self) -> Value {
        json!({ "sku": self.sku, "quantity": self.quantity, "unit_price": self.price.to_json() })
    }
}

/// Units of a line: `NUMBER=QUANTITY`, such as `1=2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineUnits {
    line: u32,
    quantity: u32,
}

impl FromStr for LineUnits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not NUMBER=QUANTITY, such as 1=2");
        let (line, quantity) = text.split_once('=').ok_or_else(wrong)?;
        let number = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Self { line: number(line)?, quantity: number(quantity)? })
    }
}

impl LineUnits {
    /// As `LineUnits`.
    pub fn to_json(self) -> Value {
        json!({ "line": self.line, "quantity": self.quantity })
    }
}

/// What becomes of a line's returned units: `NUMBER=RESTOCK` or `NUMBER=WRITE_OFF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineDisposition {
    line: u32,
    disposition: &'static str,
}

impl FromStr for LineDisposition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not NUMBER=RESTOCK or NUMBER=WRITE_OFF");
        let (line, disposition) = text.split_once('=').ok_or_else(wrong)?;
        let disposition = match disposition.to_ascii_uppercase().replace('-', "_").as_str() {
            "RESTOCK" => "DISPOSITION_RESTOCK",
            "WRITE_OFF" => "DISPOSITION_WRITE_OFF",
            _ => return Err(wrong()),
        };
        Ok(Self { line: line.parse().map_err(|_| wrong())?, disposition })
    }
}

impl LineDisposition {
    /// As `LineDisposition`.
    pub fn to_json(self) -> Value {
        json!({ "line": self.line, "disposition": self.disposition })
    }
}

/// A place in the journal: `SHARD:POSITION`, or `SHARD:POSITION:MARK` as a place tells its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    shard: u16,
    position: u64,
    mark: Option<u64>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not SHARD:POSITION[:MARK], such as 0:17");
        let (shard, position) = text.split_once(':').ok_or_else(wrong)?;
        let (position, mark) = match position.split_once(':') {
            Some((position, mark)) => (position, Some(mark.parse().map_err(|_| wrong())?)),
            None => (position, None),
        };
        Ok(Self {
            shard: shard.parse().map_err(|_| wrong())?,
            position: position.parse().map_err(|_| wrong())?,
            mark,
        })
    }
}

impl Place {
    /// The shard and the position.
    pub const fn parts(self) -> (u16, u64) {
        (self.shard, self.position)
    }

    /// As `ShardPosition`.
    pub fn to_json(self) -> Value {
        let mut place = json!({ "shard": self.shard, "position": self.position });
        if let Some(mark) = self.mark {
            place["mark"] = mark.to_string().into();
        }
        place
    }
}

/// An RFC 3339 instant, kept as its text in UTC.
pub fn instant(text: &str) -> Result<String, String> {
    let time: Timestamp = text.parse().map_err(|error| format!("{error}"))?;
    Ok(time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_sku_quantity_and_price() {
        let line: OrderLine = "MUG=2@19.99GBP".parse().unwrap();
        assert_eq!(
            line.to_json(),
            json!({"sku": "MUG", "quantity": 2,
                   "unit_price": {"currency_code": "GBP", "units": 19, "nanos": 990_000_000}})
        );
        for wrong in [
            "",
            "MUG",
            "MUG=2",
            "MUG@1GBP",
            "=2@1GBP",
            "MUG=x@1GBP",
            "MUG=-1@1GBP",
            "MUG=2@1.999GBP",
            "MUG=2@1XYZ",
        ] {
            assert!(wrong.parse::<OrderLine>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_amount_knows_its_currency_and_never_rounds() {
        let amount = |text: &str| text.parse::<Amount>().map(|amount| amount.0.minor);
        assert_eq!(amount("0.10EUR"), Ok(10));
        assert_eq!(amount("1500JPY"), Ok(1500));
        assert_eq!(amount("-2 GBP"), Ok(-200));
        assert!(amount("1.5JPY").is_err());
        assert!(amount("é").is_err());
        assert!(amount("99999999999999999999GBP").is_err());
    }

    #[test]
    fn units_dispositions_and_places() {
        assert_eq!(
            "1=2".parse::<LineUnits>().unwrap().to_json(),
            json!({"line": 1, "quantity": 2})
        );
        assert!("1".parse::<LineUnits>().is_err());
        assert_eq!(
            "3=write-off".parse::<LineDisposition>().unwrap().to_json(),
            json!({"line": 3, "disposition": "DISPOSITION_WRITE_OFF"})
        );
        assert!("3=burn".parse::<LineDisposition>().is_err());
        assert_eq!("0:17".parse::<Place>().unwrap().to_json(), json!({"shard": 0, "position": 17}));
        let marked = "3:17:18446744073709551615".parse::<Place>().unwrap().to_json();
        assert_eq!(marked, json!({"shard": 3, "position": 17, "mark": u64::MAX.to_string()}));
        for wrong in ["0", "0:17:", "0:17:x", "0:17:1:2"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_instant_is_told_in_utc() {
        assert_eq!(instant("2011-08-31T19:45:00+02:00").unwrap(), "2011-08-31T17:45:00.000000Z");
        assert!(instant("yesterday").is_err());
    }
}
