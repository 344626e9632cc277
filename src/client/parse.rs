//! Parses flags into the protos' JSON. Amounts never pass through a float. Error texts complete the
//! sentence "invalid value 'x' for '--y': it …" and do not repeat the value.

use std::fmt;
use std::num::IntErrorKind;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use shared_events::contract::{Currency, Money, MoneyError, Timestamp};
use uuid::Uuid;

use crate::flags::duration;

/// An id: a UUID in any spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Id(pub Uuid);

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| "is not a UUID such as 018f6f3e-0000-7000-8000-000000000001".to_owned();
        Uuid::try_parse(text.trim()).map(Self).map_err(wrong)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that is named by its id, or by a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// Its id.
    Id(Id),
    /// Its name.
    Text(String),
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Id))
    }
}

/// A timeout, at most as long as an engine works on a call.
pub fn timeout(text: &str) -> Result<Duration, String> {
    const MAX: Duration = Duration::from_secs(30);
    match duration(text)? {
        Duration::ZERO => Err("must be more than 0s".to_owned()),
        long if long > MAX => {
            Err("is more than 30s, the longest an engine works on a call".to_owned())
        }
        timeout => Ok(timeout),
    }
}

/// The error text for an integer.
pub fn number(error: &std::num::ParseIntError) -> &'static str {
    match error.kind() {
        IntErrorKind::PosOverflow => "is too large",
        IntErrorKind::NegOverflow => "is too small",
        _ => "is not a whole number in this range",
    }
}

/// An amount such as `19.99GBP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub Money);

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            let why = "digits, a point before the decimals, then the currency code";
            format!("is not an amount such as 19.99GBP: {why}")
        };
        let at = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).len();
        let (number, code) = text.split_at_checked(at).ok_or_else(wrong)?;
        let number = number.trim_end();
        let is_number = !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
        if !is_number {
            return Err(wrong());
        }
        if code.is_empty() {
            return Err(format!("has no currency; write {number}GBP, for example"));
        }
        let currency: Currency = code.to_ascii_uppercase().parse().map_err(|_| {
            format!("has an unknown currency: {code} is not an ISO 4217 code such as GBP")
        })?;
        Money::parse_decimal(number, currency).map(Self).map_err(|error| match error {
            MoneyError::TooFine => {
                let decimals = currency.exponent();
                format!("has more decimals than {}: {decimals}", currency.code())
            }
            MoneyError::NotDecimal => wrong(),
            other => other.to_string(),
        })
    }
}

impl Amount {
    /// The amount in a text with other parts.
    pub fn part(text: &str) -> Result<Self, String> {
        text.parse().map_err(|why: String| format!("has an amount that {why}"))
    }

    /// As `google.type.Money`.
    pub fn to_json(self) -> Value {
        let (units, nanos) = self.0.units_nanos();
        json!({ "currency_code": self.0.currency.code(), "units": units, "nanos": nanos })
    }
}

/// An order line: `SKU=QUANTITY@PRICE`, such as `MUG=2@19.99GBP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderLine {
    sku: String,
    quantity: u32,
    price: Amount,
}

impl FromStr for OrderLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not SKU=QUANTITY@PRICE, such as MUG=2@19.99GBP".to_owned();
        // From the end: a sku may have both signs.
        let (rest, price) = text.rsplit_once('@').ok_or_else(wrong)?;
        let (sku, quantity) = rest.rsplit_once('=').ok_or_else(wrong)?;
        if sku.is_empty() {
            return Err(wrong());
        }
        let quantity = quantity
            .parse()
            .map_err(|error| format!("has a quantity that {}: {quantity:?}", number(&error)))?;
        let price = price.parse().map_err(|why| format!("has a price that {why}"))?;
        Ok(Self { sku: sku.to_owned(), quantity, price })
    }
}

impl OrderLine {
    /// As `NewLine`.
    pub fn to_json(&self) -> Value {
        json!({ "sku": self.sku, "quantity": self.quantity, "unit_price": self.price.to_json() })
    }
}

/// A key and its value: `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: String,
    pub value: String,
}

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| "is not KEY=VALUE, such as channel=web".to_owned())?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
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
        let wrong = || "is not NUMBER=QUANTITY, such as 1=2 for two units of line 1".to_owned();
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

/// The disposition of a line's returned units: `NUMBER=RESTOCK` or `NUMBER=WRITE_OFF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineDisposition {
    line: u32,
    disposition: &'static str,
}

impl FromStr for LineDisposition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not NUMBER=RESTOCK or NUMBER=WRITE_OFF, such as 1=RESTOCK".to_owned();
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

/// A place in the journal: `SHARD:POSITION`, or `SHARD:POSITION:MARK` with its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    shard: u16,
    position: u64,
    mark: Option<u64>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not SHARD:POSITION[:MARK], such as 0:17".to_owned();
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

/// A position of a shard: `SHARD:POSITION`.
pub fn position(text: &str) -> Result<(u16, u64), String> {
    let place: Place = text.parse()?;
    match place.mark {
        None => Ok(place.parts()),
        Some(_) => Err("is not SHARD:POSITION, such as 0:17".to_owned()),
    }
}

/// An RFC 3339 time, or a date for its start in UTC; returned as text in UTC.
pub fn instant(text: &str) -> Result<String, String> {
    let date = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == "2026-11-28".len());
    let text = date.map_or_else(|| text.to_owned(), |date| format!("{date}T00:00:00Z"));
    let time: Timestamp = text.parse().map_err(|_| {
        "is not a time such as 2026-11-28T10:05:00Z, 2026-11-28T11:05:00+01:00 or 2026-11-28 (UTC)"
            .to_owned()
    })?;
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
        assert_eq!(amount("12.50gbp"), Ok(1250));
        for (wrong, expected) in [
            ("12.505GBP", "more decimals than GBP: 2"),
            ("1.5JPY", "more decimals than JPY: 0"),
            ("£12.50", "not an amount such as"),
            ("£12.50GBP", "not an amount such as"),
            ("1,234.50GBP", "not an amount such as"),
            ("12.50", "has no currency"),
            ("12.50XYZ", "not an ISO 4217 code"),
            ("1.2.3GBP", "not an amount such as"),
            ("99999999999999999999GBP", "too large"),
            ("GBP", "not an amount such as"),
            ("", "not an amount such as"),
        ] {
            let error = wrong.parse::<Amount>().unwrap_err();
            assert!(error.contains(expected), "{wrong}: {error}");
        }
        assert!(amount("é").is_err());
        assert!(amount("99999999999999999999GBP").is_err());
    }

    #[test]
    fn units_dispositions_and_places_become_json() {
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
    fn a_time_is_converted_to_utc() {
        assert_eq!(instant("2011-08-31T19:45:00+02:00").unwrap(), "2011-08-31T17:45:00.000000Z");
        assert_eq!(instant("2026-11-28").unwrap(), "2026-11-28T00:00:00.000000Z");
        assert!(instant("yesterday").is_err());
        assert!(instant("2026-11-28T10:05:00").is_err(), "a time without a zone is ambiguous");
    }

    #[test]
    fn a_timeout_is_positive_and_at_most_30s() {
        assert_eq!(timeout("30s"), Ok(Duration::from_secs(30)));
        assert!(timeout("60s").unwrap_err().contains("more than 30s"));
        for wrong in ["0s", "soon", "", "-1s"] {
            assert!(timeout(wrong).is_err(), "{wrong}");
        }
    }
}
