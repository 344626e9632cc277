use std::collections::BTreeMap;

use shared_events::contract::Sku;

/// The stock of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Units in the house.
    pub on_hand: i64,
    /// Units of those that are held for orders.
    pub reserved: i64,
}

impl Level {
    /// Units that may still be held.
    #[must_use]
    pub const fn available(&self) -> i64 {
        self.on_hand.saturating_sub(self.reserved)
    }
}

/// What a batch changed of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShelfChange {
    /// Units more held, or fewer where below zero.
    pub reserved: i64,
    /// Units that left the house.
    pub committed: i64,
    /// Units that came back.
    pub restocked: i64,
}

impl ShelfChange {
    /// Whether nothing changed.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.reserved == 0 && self.committed == 0 && self.restocked == 0
    }
}

/// The stock of the products that a batch touches, and what the batch changed of it.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    levels: BTreeMap<Sku, Level>,
    changes: BTreeMap<Sku, ShelfChange>,
}

impl Shelf {
    /// With these products; all others have nothing.
    #[must_use]
    pub const fn new(levels: BTreeMap<Sku, Level>) -> Self {
        Self { levels, changes: BTreeMap::new() }
    }

    /// The stock of a product.
    #[must_use]
    pub fn level(&self, sku: &Sku) -> Level {
        self.levels.get(sku).copied().unwrap_or_default()
    }

    /// What changed in sum, also where that is nothing, by sku; the order in which rows are locked.
    pub fn changes(&self) -> impl Iterator<Item = (&Sku, &ShelfChange)> {
        self.changes.iter()
    }

    pub(super) fn reserve(&mut self, sku: &Sku, units: i64) {
        self.levels.entry(sku.clone()).or_default().reserved += units;
        self.changes.entry(sku.clone()).or_default().reserved += units;
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
