//! Which column holds what, as a value: the formats that are built in are such values, too.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::cells::{DecimalMark, Times};
use super::fields::Field;
use crate::client::Failure;

/// One column, or several of which the first that is not empty counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Columns {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Columns {
    /// Their names.
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// What `price` is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceOf {
    /// One unit.
    #[default]
    Unit,
    /// All units of the line.
    Line,
}

/// Whether prices contain taxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxRule {
    /// Taxes are added to the prices.
    #[default]
    OnTop,
    /// Prices contain them.
    Included,
    /// What makes the sums come to the file's total.
    ByTotal,
}

/// Words by which a file says where an order stands, in lower case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct States {
    /// All of it was shipped.
    pub fulfilled: Vec<String>,
    /// Those of its lines were shipped whose own state says so.
    pub partly_fulfilled: Vec<String>,
    /// It is to be shipped.
    pub confirmed: Vec<String>,
    /// It was cancelled.
    pub cancelled: Vec<String>,
    /// All that was paid was paid back.
    pub refunded: Vec<String>,
}

/// How a file of orders is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// The separator of its columns: one character, or `tab`; found by the heading where absent.
    pub separator: Option<String>,
    /// Whether quotes enclose fields. Files with tabs are often without.
    pub quotes: bool,
    /// The encoding; found where absent.
    pub encoding: Option<String>,
    /// The decimal mark.
    pub decimal_mark: DecimalMark,
    /// Patterns (strftime) of times; those of ISO 8601 need none.
    pub dates: Vec<String>,
    /// The zone (IANA) of times that name none; UTC where absent.
    pub time_zone: Option<String>,
    /// Whether a row without a number continues the order before it.
    pub continuation: bool,
    /// What `price` is of.
    pub price: PriceOf,
    /// Whether prices contain taxes.
    pub tax: TaxRule,
    /// With these currencies taxes come on top, with others prices contain them.
    pub tax_on_top_currencies: Vec<String>,
    /// What a tax without a name is called.
    pub tax_label: String,
    /// What the fee is called.
    pub fee_label: String,
    /// Whether sums may differ from the file's total by one minor unit for each line and charge,
    /// since its amounts were rounded one by one.
    pub rounding: bool,
    /// Which column holds what.
    pub columns: BTreeMap<Field, Columns>,
    /// What holds for every order whose row says nothing else.
    pub constants: BTreeMap<Field, String>,
    /// Pairs of columns with a tax's name and its amount, over the whole order.
    pub taxes: Vec<[String; 2]>,
    /// Columns that become attributes of a line.
    pub attributes: Vec<String>,
    /// Columns that become metadata of an order, by key.
    pub metadata: BTreeMap<String, String>,
    /// Words for states.
    pub states: States,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            separator: None,
            quotes: true,
            encoding: None,
            decimal_mark: DecimalMark::Point,
            dates: Vec::new(),
            time_zone: None,
            continuation: false,
            price: PriceOf::Unit,
            tax: TaxRule::OnTop,
            tax_on_top_currencies: Vec::new(),
            tax_label: "tax".to_owned(),
            fee_label: "fee".to_owned(),
            rounding: false,
            columns: BTreeMap::new(),
            constants: BTreeMap::new(),
            taxes: Vec::new(),
            attributes: Vec::new(),
            metadata: BTreeMap::new(),
            states: States::default(),
        }
    }
}

/// Fields without which no order can be read.
pub const REQUIRED: [Field; 2] = [Field::Number, Field::Quantity];
/// One of these is the price.
pub const PRICES: [Field; 3] = [Field::Price, Field::LineSubtotal, Field::LineTotal];
/// One of these names the product.
pub const PRODUCTS: [Field; 2] = [Field::Sku, Field::Title];

impl Mapping {
    /// From TOML.
    ///
    /// # Errors
    /// A text for people where it is no mapping, or one by which no order can be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mapping: Self = Figment::from(Toml::string(text))
            .extract()
            .map_err(|error| error.to_string().trim().to_owned())?;
        mapping.check()?;
        Ok(mapping)
    }

    /// From a file.
    ///
    /// # Errors
    /// Usage, as [`Self::parse`].
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let usage = |what: String| Failure::Usage(format!("--mapping {}: {what}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
        Self::parse(&text).map_err(usage)
    }

    fn check(&self) -> Result<(), String> {
        let known =
            |field: &Field| self.columns.contains_key(field) || self.constants.contains_key(field);
        if let Some(field) = REQUIRED.iter().find(|field| !known(field)) {
            return Err(format!("columns: nothing says which one is {}", name(*field)));
        }
        for one_of in [&PRICES[..], &PRODUCTS[..]] {
            if !one_of.iter().any(known) {
                let names: Vec<String> = one_of.iter().copied().map(name).collect();
                return Err(format!("columns: one of {} is needed", names.join(", ")));
            }
        }
        self.separator()?;
        self.times()?;
        self.encoding.as_deref().map(super::text::named).transpose()?;
        Ok(())
    }

    /// The separator, where it is said.
    ///
    /// # Errors
    /// A text for people where it is not one character of ASCII.
    pub fn separator(&self) -> Result<Option<u8>, String> {
        let Some(text) = &self.separator else { return Ok(None) };
        match (text.as_str(), text.as_bytes()) {
            ("tab", _) => Ok(Some(b'\t')),
            (_, [byte]) if !matches!(byte, b'"' | b'\n' | b'\r') => Ok(Some(*byte)),
            _ => Err(format!("separator {text:?} is neither one character such as ; nor tab")),
        }
    }

    /// How its times are written.
    ///
    /// # Errors
    /// A text for people where the zone is unknown.
    pub fn times(&self) -> Result<Times, String> {
        let zone = self.time_zone.as_deref().map(zone).transpose()?;
        Ok(Times { patterns: self.dates.clone(), zone })
    }
}

/// A zone of the IANA's database.
///
/// # Errors
/// A text for people where there is none of this name.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| format!("{name} is no time zone of IANA's, such as Europe/Berlin"))
}

/// The name of a field in a mapping.
pub fn name(field: Field) -> String {
    // Its serde name: the variant in snake_case.
    let mut name = String::new();
    for c in format!("{field:?}").chars() {
        if !name.is_empty() && c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "[columns]\nnumber = 'No'\nsku = 'Item'\nquantity = 'Qty'\nprice = 'Price'\n";

    #[test]
    fn a_mapping_names_columns_and_nothing_unknown() {
        let mapping = Mapping::parse(&format!(
            "separator = 'tab'\ndecimal_mark = ','\ntime_zone = 'Europe/Berlin'\n{LEAST}\
             email = ['E-Mail', 'Mail']\n[constants]\ncurrency = 'EUR'\n"
        ));
        let mapping = mapping.unwrap();
        assert_eq!(mapping.separator(), Ok(Some(b'\t')));
        assert_eq!(mapping.columns[&Field::Email].names(), ["E-Mail", "Mail"]);
        assert_eq!(mapping.constants[&Field::Currency], "EUR");
        for (text, named) in [
            (format!("colour = 'x'\n{LEAST}"), "colour"),
            (format!("{LEAST}colour = 'x'\n"), "colour"),
            (format!("separator = '::'\n{LEAST}"), "separator"),
            (format!("time_zone = 'Europe/Nowhere'\n{LEAST}"), "Europe/Nowhere"),
            (format!("encoding = 'klingon'\n{LEAST}"), "klingon"),
            (LEAST.replace("number", "note"), "number"),
            (LEAST.replace("price", "note"), "line_total"),
            ("columns".to_owned(), ""),
        ] {
            let error = Mapping::parse(&text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn fields_are_named_as_they_are_read() {
        for field in [Field::Number, Field::ShipStreetLine2, Field::LineGiftWrapTax] {
            let text = format!("{LEAST}[constants]\n{} = 'x'\n", name(field));
            assert!(Mapping::parse(&text).unwrap().constants.contains_key(&field), "{text}");
        }
    }
}
