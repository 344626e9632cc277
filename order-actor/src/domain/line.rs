use std::collections::BTreeMap;
use std::sync::Arc;

use shared_events::contract::{Money, SellerId, Sku};

use super::{Amount, Discount, Tax};

/// A line of an order, with its units by state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 1-based number.
    pub number: u32,
    /// The product.
    pub sku: Sku,
    /// The price of one unit.
    pub unit_price: Money,
    /// The seller, where a shop has several.
    pub seller_id: Option<SellerId>,
    /// Units ordered.
    pub ordered: u32,
    /// Units cancelled.
    pub cancelled: u32,
    /// Units delivered.
    pub fulfilled: u32,
    /// Units in returns that wait for their judgement or for their goods.
    pub in_return: u32,
    /// Those of them that are approved, and have not been received yet.
    pub approved: u32,
    /// Units returned.
    pub returned: u32,
    /// Open units that wait for stock.
    pub backordered: u32,
    /// What its units cost.
    pub amounts: LineAmounts,
    /// What it was placed with beside its price; nothing, for most.
    pub terms: Option<Arc<LineTerms>>,
}

/// What a line was placed with that nothing changes later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineTerms {
    /// Its name for people.
    pub title: String,
    /// Where a picture of it is.
    pub image_url: String,
    /// What else there is to say of it.
    pub attributes: BTreeMap<String, String>,
    /// Its own discounts.
    pub discounts: Vec<Discount>,
    /// Its taxes.
    pub taxes: Vec<Tax>,
}

/// What the units of a line cost, by what became of them. Each is the sum of parts that were taken
/// from what was left, so that the parts add up to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineAmounts {
    /// All units.
    pub ordered: Amount,
    /// Those that will not be delivered.
    pub cancelled: Amount,
    /// Those delivered, also where they came back.
    pub fulfilled: Amount,
    /// Those that came back.
    pub returned: Amount,
    /// Those that are approved to come back, and have not been received yet.
    pub approved: Amount,
}

impl Line {
    /// What so many of the open units cost.
    #[must_use]
    pub fn open_amount(&self, units: u32) -> Amount {
        let LineAmounts { ordered, cancelled, fulfilled, .. } = self.amounts;
        ordered.minus(cancelled).minus(fulfilled).part(units, self.open())
    }

    /// What so many of the units cost that were delivered, have not come back, and are in no
    /// approved return.
    #[must_use]
    pub fn delivered_amount(&self, units: u32) -> Amount {
        let LineAmounts { fulfilled, returned, approved, .. } = self.amounts;
        let left = self.fulfilled.saturating_sub(self.returned).saturating_sub(self.approved);
        fulfilled.minus(returned).minus(approved).part(units, left)
    }

    /// Units not delivered yet.
    #[must_use]
    pub const fn open(&self) -> u32 {
        self.ordered.saturating_sub(self.cancelled).saturating_sub(self.fulfilled)
    }

    /// Open units that stock holds: they can be shipped.
    #[must_use]
    pub const fn allocated(&self) -> u32 {
        self.open().saturating_sub(self.backordered)
    }

    /// Delivered units that are in no waiting return and have not come back.
    #[must_use]
    pub const fn kept(&self) -> u32 {
        self.fulfilled.saturating_sub(self.returned).saturating_sub(self.in_return)
    }
}
