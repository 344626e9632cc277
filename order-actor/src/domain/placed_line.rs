//! Lines of an order as its events have them, and units of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_events::contract::{Disposition, Money, Quantity, SellerId, Sku};

use super::{Discount, LinePrice, LineTerms, Tax};

/// A line as it was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedLine {
    /// 1-based number.
    pub line: u32,
    /// The product.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// The price of one unit.
    pub unit_price: Money,
    /// The seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller_id: Option<SellerId>,
    /// Its name for people, such as `Mug, blue`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Where a picture of it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_url: String,
    /// What else there is to say of it, such as `size: L`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Its own discounts, over all its units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// Its taxes, over all its units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<Tax>,
}

impl PlacedLine {
    /// What it says of its price.
    #[must_use]
    pub fn price(&self) -> LinePrice<'_> {
        let Self { unit_price, quantity, discounts, taxes, .. } = self;
        LinePrice { unit_price: *unit_price, quantity: *quantity, discounts, taxes }
    }

    /// What it says beside that, if it says anything.
    pub(super) fn terms(&self) -> Option<LineTerms> {
        let Self { title, image_url, attributes, discounts, taxes, .. } = self;
        let terms = LineTerms {
            title: title.clone(),
            image_url: image_url.clone(),
            attributes: attributes.clone(),
            discounts: discounts.clone(),
            taxes: taxes.clone(),
        };
        (terms != LineTerms::default()).then_some(terms)
    }
}

/// Units of a line of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineQuantity {
    /// 1-based number of the line.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
}

/// Returned units of a line and their disposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restitution {
    /// 1-based number of the line.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
    /// Restocked or written off.
    pub disposition: Disposition,
}
