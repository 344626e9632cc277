//! Lines, units and sums of orders, as facts have them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Disposition, Money, OrderId, Quantity, ReturnId, Sku};

/// A line as ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLineFact {
    /// 1-based number of the line.
    pub line: u32,
    /// The product.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// The price of one unit.
    pub unit_price: Money,
    /// Its name for people; empty where the shop gave none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What else there is to say of it, such as a size or a colour.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Where a picture of it is; empty where the shop gave none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_url: String,
    /// What all its units cost the customer, discounts taken off and tax in it; absent where that is
    /// `quantity` times `unit_price`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Money>,
}

/// What is charged beside the goods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargeFact {
    /// `SHIPPING`, `HANDLING`, `GIFT_WRAP` or `OTHER`.
    pub kind: String,
    /// The shop's words for it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// What it costs the customer, tax in it.
    pub total: Money,
}

/// The sums of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsFact {
    /// Units times their prices, over all lines.
    pub goods: Money,
    /// All discounts.
    pub discounts: Money,
    /// All charges, without tax that comes on top.
    pub charges: Money,
    /// All taxes, on top or included.
    pub tax: Money,
    /// What the customer pays.
    pub total: Money,
}

/// Units of one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineUnits {
    /// 1-based number of the line.
    pub line: u32,
    /// The product.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// The line's name for people; empty where the shop gave none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
}

/// Returned units of one line, and what happens to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnedUnits {
    /// 1-based number of the line.
    pub line: u32,
    /// The product.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// Restocked, or written off.
    pub disposition: Disposition,
    /// The line's name for people; empty where the shop gave none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
}

/// Units of one line of a return that the customer keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptUnits {
    /// 1-based number of the line.
    pub line: u32,
    /// The product.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// `NOT_ARRIVED` or `REJECTED`.
    pub outcome: String,
}

/// The return whose goods an order replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeFact {
    /// The order that was delivered before.
    pub order_id: OrderId,
    /// Its return.
    pub return_id: ReturnId,
}
