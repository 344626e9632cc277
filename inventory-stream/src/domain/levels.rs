use std::collections::BTreeMap;

use shared_events::contract::Sku;

use super::{BackorderRule, Places};

/// The stock of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StockLevel {
    /// Units in the warehouse.
    pub on_hand: i64,
    /// Units that are promised to orders.
    pub reserved: i64,
    /// Units of those that are not on hand: their orders wait for stock.
    pub backordered: i64,
    /// How many units may be promised beyond those on hand.
    pub backorder: BackorderRule,
}

impl StockLevel {
    /// Units on hand that no order holds and no order waits for.
    #[must_use]
    pub const fn available(&self) -> i64 {
        let available = self.on_hand.saturating_sub(self.reserved);
        if available < 0 { 0 } else { available }
    }

    /// Units on hand that no order holds. Below zero only while a change is worked out.
    #[must_use]
    pub const fn free(&self) -> i64 {
        self.on_hand.saturating_sub(self.held())
    }

    /// Units on hand that orders hold.
    #[must_use]
    pub const fn held(&self) -> i64 {
        self.reserved.saturating_sub(self.backordered)
    }
}

/// What a batch changed of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StockChange {
    /// Units reserved, fewer where negative.
    pub reserved: i64,
    /// Units backordered, fewer where negative.
    pub backordered: i64,
    /// Units shipped.
    pub committed: i64,
    /// Units returned to stock.
    pub restocked: i64,
}

impl StockChange {
    /// Whether nothing changed.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.reserved == 0 && self.backordered == 0 && self.committed == 0 && self.restocked == 0
    }
}

/// The stock levels of the products that a batch touches, and what the batch changed of them.
#[derive(Clone, Debug, Default)]
pub struct StockLevels {
    levels: BTreeMap<Sku, StockLevel>,
    changes: BTreeMap<Sku, StockChange>,
    pub(super) places: Places,
}

impl StockLevels {
    /// With these products; all others have no units.
    #[must_use]
    pub fn new(levels: BTreeMap<Sku, StockLevel>) -> Self {
        Self { levels, ..Self::default() }
    }

    /// The stock of a product.
    #[must_use]
    pub fn level(&self, sku: &Sku) -> StockLevel {
        self.levels.get(sku).copied().unwrap_or_default()
    }

    /// Whether stock of a product was ever set.
    #[must_use]
    pub fn is_known(&self, sku: &Sku) -> bool {
        self.levels.contains_key(sku)
    }

    /// The products of which units are free while orders wait for them, by sku.
    #[must_use]
    pub fn allocatable(&self) -> Vec<Sku> {
        let found = self.levels.iter().filter(|(_, level)| level.is_allocatable());
        found.map(|(sku, _)| sku.clone()).collect()
    }

    /// The sums of all changes, zero sums included, by sku: the order in which rows are locked.
    pub fn changes(&self) -> impl Iterator<Item = (&Sku, &StockChange)> {
        self.changes.iter()
    }

    pub(super) fn reserve(&mut self, sku: &Sku, units: i64) {
        self.levels.entry(sku.clone()).or_default().reserved += units;
        self.changes.entry(sku.clone()).or_default().reserved += units;
    }

    pub(super) fn backorder(&mut self, sku: &Sku, units: i64) {
        self.levels.entry(sku.clone()).or_default().backordered += units;
        self.changes.entry(sku.clone()).or_default().backordered += units;
    }

    pub(super) fn commit(&mut self, sku: &Sku, units: i64) {
        self.reserve(sku, -units);
        self.levels.entry(sku.clone()).or_default().on_hand -= units;
        self.changes.entry(sku.clone()).or_default().committed += units;
    }

    pub(super) fn restock(&mut self, sku: &Sku, units: i64) {
        self.levels.entry(sku.clone()).or_default().on_hand += units;
        self.changes.entry(sku.clone()).or_default().restocked += units;
    }
}
