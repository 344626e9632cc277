//! Order files as shops have them: exports of Shopify, WooCommerce, Amazon, the data set of Olist,
//! and any other table by a mapping.
//!
//! Never here: a guess. What a file does not say, or the engine cannot keep, is told per order.

mod cells; // amounts, units, instants
mod countries; // countries by code and name
mod division; // sums divided into parts
mod fields; // what a column can hold
mod mapping; // which column holds what
mod names; // number, tags and notes
mod olist; // several files joined
pub mod order; // an order with its request and its course
mod people; // addresses and contacts
mod phones; // phone numbers
mod prices; // what it costs
mod rows; // rows put together as orders
pub mod states; // what happened to it
#[cfg(test)]
mod tests;
mod text; // encoding and separator

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use encoding_rs::Encoding;
use serde::Serialize;
use shared_events::contract::Currency;

use self::cells::{Decimal, DecimalMark};
pub use self::cells::{Times, whole_number};
pub use self::countries::code as country;
use self::mapping::{Mapping, PRICES, PRODUCTS};
use self::olist::{Olist, Table, Tables};
use self::order::FileOrder;
use self::rows::Rows;
use crate::client::Failure;

/// A format of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Invoices and credit notes, as in the UCI's Online Retail.
    #[default]
    Uci,
    /// An export of orders of a Shopify shop.
    Shopify,
    /// An export of orders of a WooCommerce shop, one row per item.
    Woocommerce,
    /// The files of Olist's data set; FILE is that of the orders.
    Olist,
    /// An order report of Amazon.
    Amazon,
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::Uci => "uci",
            Self::Shopify => "shopify",
            Self::Woocommerce => "woocommerce",
            Self::Olist => "olist",
            Self::Amazon => "amazon",
        }
    }

    /// The mapping that is built in.
    const fn mapping(self) -> &'static str {
        match self {
            Self::Uci => "",
            Self::Shopify => include_str!("shopify.toml"),
            Self::Woocommerce => include_str!("woocommerce.toml"),
            Self::Olist => include_str!("olist.toml"),
            Self::Amazon => include_str!("amazon.toml"),
        }
    }
}

/// Flags that say how a file is written.
#[derive(Clone, Debug, clap::Args)]
pub struct FileArgs {
    /// The format of the file.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The format of the file, as a mapping of columns; see docs/importing.md.
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    mapping: Option<PathBuf>,
    /// The separator of columns: a character or tab [default: found by the heading; uci: a comma].
    #[arg(long, value_name = "CHARACTER")]
    separator: Option<String>,
    /// The encoding, such as utf-8, utf-16le or windows-1252 [default: found; uci: utf-8].
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// The decimal mark of amounts [default: a point, or as the mapping says].
    #[arg(long, value_enum, value_name = "MARK")]
    decimal_mark: Option<DecimalMark>,
    /// How times are written, such as "%d/%m/%Y %H:%M"; ISO 8601 needs none. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    date_pattern: Vec<String>,
    /// The zone of times that name none, such as Europe/Berlin [default: UTC].
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// The file of items [default: beside FILE, by the name that Olist gave it].
    #[arg(long, value_name = "FILE", conflicts_with = "mapping")]
    items: Option<PathBuf>,
    /// The file of customers [default: beside FILE].
    #[arg(long, value_name = "FILE", conflicts_with = "mapping")]
    customers: Option<PathBuf>,
    /// The file of payments, whose sums are compared with the totals [default: beside FILE, if
    /// there].
    #[arg(long, value_name = "FILE", conflicts_with = "mapping")]
    payments: Option<PathBuf>,
    /// Give orders the number that they have in the file, if no other order has it. Not for uci.
    #[arg(long)]
    keep_order_numbers: bool,
}

/// What an order has that is not kept, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotKept {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

fn said(what: &str, why: &str) -> NotKept {
    NotKept { what: what.to_owned(), why: why.to_owned() }
}

/// How a file is read, apart from its columns.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The format's name, which is part of the orders' ids.
    pub name: &'static str,
    /// How times are written.
    pub times: Times,
    /// The currency of orders that name none.
    pub currency: Currency,
    /// Whether orders get the number that they have in the file.
    pub own_numbers: bool,
}

/// How an invoice file is written, where that is not as usual.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The separator.
    pub separator: Option<u8>,
    encoding: Option<&'static Encoding>,
    decimal_mark: Option<DecimalMark>,
    times: Option<Times>,
}

impl Written {
    /// The file as UTF-8, if its encoding is said.
    pub fn decoded(&self, file: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        match self.encoding {
            Some(encoding) => text::decoded(file, encoding),
            None => file,
        }
    }

    /// A number as the loader reads it; the text itself where it is none.
    pub fn number(&self, text: String) -> String {
        let number = self.decimal_mark.and_then(|mark| Decimal::parse(&text, mark));
        number.map_or(text, |number| number.to_string())
    }

    /// A time as the loader reads it; the text itself where it is none.
    pub fn time(&self, text: String) -> String {
        let at = self.times.as_ref().and_then(|times| times.instant(&text));
        at.map_or(text, |at| at.to_string())
    }
}

impl FileArgs {
    /// Whether the file has invoices and credit notes.
    pub fn is_uci(&self) -> bool {
        self.format == Format::Uci && self.mapping.is_none()
    }

    /// How an invoice file is written.
    ///
    /// # Errors
    /// Usage where a flag is invalid.
    pub fn written(&self) -> Result<Written, Failure> {
        if self.keep_order_numbers {
            let text = "--keep-order-numbers is for order files: name their --format or --mapping";
            return Err(Failure::Usage(text.to_owned()));
        }
        let mapping = self.flags(Mapping::default())?;
        let times = mapping.times().map_err(Failure::Usage)?;
        let is_said = !times.patterns.is_empty() || times.zone.is_some();
        let encoding = mapping.encoding.as_deref().map(text::named).transpose();
        Ok(Written {
            separator: mapping.separator().map_err(Failure::Usage)?,
            encoding: encoding.map_err(Failure::Usage)?,
            decimal_mark: self.decimal_mark,
            times: is_said.then_some(times),
        })
    }

    fn flags(&self, mut mapping: Mapping) -> Result<Mapping, Failure> {
        if let Some(separator) = &self.separator {
            mapping.separator = Some(separator.clone());
            mapping.separator().map_err(|error| Failure::Usage(format!("--separator: {error}")))?;
        }
        if let Some(encoding) = &self.encoding {
            text::named(encoding)
                .map_err(|error| Failure::Usage(format!("--encoding: {error}")))?;
            mapping.encoding = Some(encoding.clone());
        }
        if let Some(zone) = &self.time_zone {
            mapping::zone(zone).map_err(|error| Failure::Usage(format!("--time-zone: {error}")))?;
            mapping.time_zone = Some(zone.clone());
        }
        mapping.decimal_mark = self.decimal_mark.unwrap_or(mapping.decimal_mark);
        if !self.date_pattern.is_empty() {
            mapping.dates.clone_from(&self.date_pattern);
        }
        Ok(mapping)
    }

    fn mapping(&self) -> Result<Arc<Mapping>, Failure> {
        let mapping = match &self.mapping {
            Some(path) => Mapping::read(path)?,
            None => Mapping::parse(self.format.mapping()).map_err(|e| anyhow::anyhow!("{e}"))?,
        };
        Ok(Arc::new(self.flags(mapping)?))
    }

    fn is_joined(&self) -> bool {
        self.format == Format::Olist && self.mapping.is_none()
    }
}

/// The orders of a file.
pub struct Orders {
    tables: Joined,
    reading: Reading,
    left: u64,
}

enum Joined {
    One(Box<Rows>),
    Several(Box<Olist>),
}

/// Opens a file of this path, unpacked.
pub type Open<'a> = &'a (dyn Fn(&Path) -> Result<Box<dyn Read + Send>, Failure> + Sync);

impl Orders {
    /// Reads the heading; returns at most `limit` orders. `file` is the one at `path`.
    ///
    /// # Errors
    /// Usage where a flag or the mapping is invalid or a column is missing; where a file cannot be
    /// read.
    pub async fn new(
        args: &FileArgs,
        path: &Path,
        file: Box<dyn Read + Send>,
        open: Open<'_>,
        currency: Currency,
        limit: Option<u64>,
    ) -> Result<Self, Failure> {
        let mapping = args.mapping()?;
        let times = mapping.times().map_err(Failure::Usage)?;
        let name = if args.mapping.is_some() { "mapping" } else { args.format.name() };
        let own_numbers = args.keep_order_numbers;
        let reading = Reading { name, times, currency, own_numbers };
        let orders = table(path, file, open, &mapping)?;
        let tables = if args.is_joined() {
            let beside = |said: &Option<PathBuf>, name: &str| {
                let beside = || path.with_file_name(format!("olist_{name}_dataset.csv"));
                said.clone().unwrap_or_else(beside)
            };
            let other = |path: PathBuf| {
                let file = open(&path)?;
                table(&path, file, open, &mapping)
            };
            let payments = beside(&args.payments, "order_payments");
            let has_payments = args.payments.is_some() || payments.exists();
            let tables = Tables {
                orders,
                items: other(beside(&args.items, "order_items"))?,
                customers: other(beside(&args.customers, "customers"))?,
                payments: has_payments.then(|| other(payments)).transpose()?,
            };
            Joined::Several(Box::new(Olist::new(tables, &mapping).await?))
        } else {
            let needed = (&mapping::REQUIRED[..], &[&PRICES[..], &PRODUCTS[..]][..]);
            let Table { path, file, separator } = orders;
            Joined::One(Box::new(Rows::new(file, separator, &mapping, &path, needed)?))
        };
        Ok(Self { tables, reading, left: limit.unwrap_or(u64::MAX) })
    }

    /// The next order.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub async fn next(&mut self) -> Result<Option<FileOrder>, Failure> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let raw = match &mut self.tables {
            Joined::One(rows) => rows.next()?,
            Joined::Several(olist) => olist.next().await?,
        };
        self.left = left;
        Ok(raw.map(|raw| order::order(&raw, &self.reading)))
    }
}

/// A file, decoded, with its separator.
fn table(
    path: &Path,
    file: Box<dyn Read + Send>,
    open: Open<'_>,
    mapping: &Mapping,
) -> Result<Table, Failure> {
    let shown = path.display().to_string();
    let encoding = match &mapping.encoding {
        Some(name) => text::named(name).map_err(Failure::Usage)?,
        None => text::found(open(path)?).with_context(|| shown.clone())?,
    };
    let mut file = text::decoded(file, encoding);
    let separator = match mapping.separator().map_err(Failure::Usage)? {
        Some(separator) => separator,
        None => {
            let (separator, whole) = text::separator(file).with_context(|| shown.clone())?;
            file = whole;
            separator
        }
    };
    Ok(Table { path: shown, file, separator })
}
