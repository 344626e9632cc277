use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;

use inventory_stream::grpc::proto::{BatchSetStockRequest, SetStockRequest};
use shared_events::contract::Sku;

use super::invoices::{Invoice, Invoices};
use crate::client::Failure;

/// More than any file sells.
const UNLIMITED: i64 = 1_000_000_000;
/// Products set by one call, the most that the service accepts.
const BATCH: usize = 1_000;

/// Units that a product has before its first sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockPolicy {
    /// More than any file sells.
    Unlimited,
    /// As many as the file sells.
    Exact,
    /// This many, of each.
    Units(u32),
}

impl FromStr for StockPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "unlimited" => Ok(Self::Unlimited),
            "exact" => Ok(Self::Exact),
            _ => text
                .parse()
                .map(Self::Units)
                .map_err(|_| "is unlimited, exact or a number of units".to_owned()),
        }
    }
}

/// Units sold of each product.
pub type Sold = BTreeMap<String, i64>;

/// Units that all orders of a file sell.
///
/// # Errors
/// Where the file cannot be read.
pub fn sold(invoices: Invoices) -> Result<Sold, Failure> {
    let mut sold = Sold::new();
    for invoice in invoices {
        let invoice = invoice?;
        for row in invoice.rows.iter().filter(|_| !invoice.is_credit_note()) {
            let units: i64 = row.quantity.parse().unwrap_or(0);
            if units > 0 {
                let all = sold.entry(row.stock_code.clone()).or_default();
                *all = all.saturating_add(units).min(UNLIMITED);
            }
        }
    }
    Ok(sold)
}

/// Which products have their stock already.
pub struct Shelf {
    policy: StockPolicy,
    sold: Sold,
    set: HashSet<String>,
}

impl Shelf {
    /// None yet.
    pub fn new(policy: StockPolicy, sold: Sold) -> Self {
        Self { policy, sold, set: HashSet::new() }
    }

    /// The stock to set before this invoice is placed. Stock that was set earlier stays as it is.
    pub fn before(&mut self, invoice: &Invoice) -> Vec<BatchSetStockRequest> {
        let mut requests = Vec::new();
        for row in invoice.rows.iter().filter(|_| !invoice.is_credit_note()) {
            let sku = &row.stock_code;
            // An invalid sku is left for the order's refusal.
            if sku.parse::<Sku>().is_err() || !self.set.insert(sku.clone()) {
                continue;
            }
            let on_hand = match self.policy {
                StockPolicy::Unlimited => UNLIMITED,
                StockPolicy::Exact => self.sold.get(sku).copied().unwrap_or(0),
                StockPolicy::Units(units) => i64::from(units),
            };
            requests.push(SetStockRequest {
                sku: sku.clone(),
                on_hand,
                only_if_absent: true,
                reason: "for the orders of a file".to_owned(),
                ..SetStockRequest::default()
            });
        }
        requests
            .chunks(BATCH)
            .map(|requests| BatchSetStockRequest { requests: requests.to_vec() })
            .collect()
    }
}
