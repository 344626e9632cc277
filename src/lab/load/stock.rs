use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;

use inventory_stream::grpc::proto::{BatchSetStockRequest, SetStockRequest};
use shared_events::contract::Sku;

use super::source::{Item, Source};
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
pub async fn sold(mut source: Source) -> Result<Sold, Failure> {
    let mut sold = Sold::new();
    while let Some(item) = source.next().await? {
        for (sku, units) in item.products() {
            let units = units.unwrap_or(0);
            if units > 0 {
                let all = sold.entry(sku.to_owned()).or_default();
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

    /// The stock to set before this is placed. Stock that was set earlier stays as it is.
    pub fn before(&mut self, item: &Item) -> Vec<BatchSetStockRequest> {
        let mut requests = Vec::new();
        for (sku, _) in item.products() {
            // An invalid sku is left for the order's refusal.
            if sku.parse::<Sku>().is_err() || !self.set.insert(sku.to_owned()) {
                continue;
            }
            let on_hand = match self.policy {
                StockPolicy::Unlimited => UNLIMITED,
                StockPolicy::Exact => self.sold.get(sku).copied().unwrap_or(0),
                StockPolicy::Units(units) => i64::from(units),
            };
            requests.push(SetStockRequest {
                sku: sku.to_owned(),
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
