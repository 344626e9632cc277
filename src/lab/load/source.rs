//! What a file holds: invoices with credit notes, or orders.

use std::collections::VecDeque;

use shared_events::contract::Timestamp;
use uuid::Uuid;

use super::files::order::FileOrder;
use super::files::{self, Orders};
use super::invoices::{Invoice, Invoices, Row};
use super::plan;
use crate::client::Failure;

/// An invoice, a credit note or an order.
#[derive(Clone, Debug)]
pub enum Item {
    /// An invoice or a credit note.
    Invoice(Invoice),
    /// An order.
    Order(Box<FileOrder>),
}

impl Item {
    /// Its time, if it has a readable one.
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Invoice(invoice) => invoice.at(),
            Self::Order(order) => order.at,
        }
    }

    /// Its customer.
    pub fn customer(&self) -> Uuid {
        match self {
            Self::Invoice(invoice) => plan::customer_id(invoice),
            Self::Order(order) => order.customer,
        }
    }

    /// Products that it sells, with units; none where they are no number.
    pub fn products(&self) -> Vec<(&str, Option<i64>)> {
        match self {
            Self::Invoice(invoice) if invoice.is_credit_note() => Vec::new(),
            Self::Invoice(invoice) => {
                let rows = invoice.rows.iter();
                let units = |row: &Row| files::whole_number(&row.quantity);
                rows.map(|row| (row.stock_code.as_str(), units(row))).collect()
            }
            Self::Order(order) => order.products().map(|(sku, units)| (sku, Some(units))).collect(),
        }
    }
}

/// Items that are read in search of a time; a file of which none has a readable one is none.
const AHEAD_MAX: usize = 10_000;

/// A file of either kind, read once.
pub struct Source {
    file: Kind,
    // Read in search of the first time, and not taken yet.
    ahead: VecDeque<Item>,
}

enum Kind {
    Invoices(Box<Invoices>),
    Orders(Box<Orders>),
}

impl From<Invoices> for Source {
    fn from(invoices: Invoices) -> Self {
        Self { file: Kind::Invoices(Box::new(invoices)), ahead: VecDeque::new() }
    }
}

impl From<Orders> for Source {
    fn from(orders: Orders) -> Self {
        Self { file: Kind::Orders(Box::new(orders)), ahead: VecDeque::new() }
    }
}

impl Source {
    /// What comes next in the file.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn next(&mut self) -> Result<Option<Item>, Failure> {
        match self.ahead.pop_front() {
            Some(item) => Ok(Some(item)),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<Option<Item>, Failure> {
        match &mut self.file {
            Kind::Invoices(invoices) => Ok(invoices.next().transpose()?.map(Item::Invoice)),
            Kind::Orders(orders) => {
                Ok(orders.next().await?.map(|order| Item::Order(Box::new(order))))
            }
        }
    }

    /// The first time that the file names. What is read for it is returned by [`Self::next`] all
    /// the same.
    ///
    /// # Errors
    /// Usage where there is none among the first [`AHEAD_MAX`].
    pub async fn first_time(&mut self) -> Result<Timestamp, Failure> {
        while self.ahead.len() < AHEAD_MAX
            && let Some(item) = self.read().await?
        {
            let at = item.at();
            self.ahead.push_back(item);
            if let Some(at) = at {
                return Ok(at);
            }
        }
        let (what, of) = match self.file {
            Kind::Invoices(_) => ("no invoice", "InvoiceDate"),
            Kind::Orders(_) => ("no order", "time"),
        };
        let among = if self.ahead.len() < AHEAD_MAX { "" } else { " of the first 10,000" };
        Err(Failure::Usage(format!("--csv: {what}{among} has a readable {of}")))
    }
}
