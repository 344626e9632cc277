//! What a file holds: invoices with credit notes, or orders.

use shared_events::contract::Timestamp;
use uuid::Uuid;

use super::files::Orders;
use super::files::order::FileOrder;
use super::invoices::{Invoice, Invoices};
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
                rows.map(|row| (row.stock_code.as_str(), row.quantity.parse().ok())).collect()
            }
            Self::Order(order) => order.products().map(|(sku, units)| (sku, Some(units))).collect(),
        }
    }
}

/// A file of either kind.
pub enum Source {
    /// Invoices and credit notes.
    Invoices(Box<Invoices>),
    /// Orders.
    Orders(Box<Orders>),
}

impl Source {
    /// What comes next in the file.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn next(&mut self) -> Result<Option<Item>, Failure> {
        match self {
            Self::Invoices(invoices) => Ok(invoices.next().transpose()?.map(Item::Invoice)),
            Self::Orders(orders) => {
                Ok(orders.next().await?.map(|order| Item::Order(Box::new(order))))
            }
        }
    }

    /// The first time that the file names.
    ///
    /// # Errors
    /// Usage where there is none.
    pub async fn first_time(mut self) -> Result<Timestamp, Failure> {
        while let Some(item) = self.next().await? {
            if let Some(at) = item.at() {
                return Ok(at);
            }
        }
        let what = match self {
            Self::Invoices(_) => "no invoice has a readable InvoiceDate",
            Self::Orders(_) => "no order has a readable time",
        };
        Err(Failure::Usage(format!("--csv: {what}")))
    }
}
