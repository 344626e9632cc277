use std::collections::{BTreeMap, BTreeSet};

use shared_events::contract::{LocationName, Sku};

use super::StockLevels;

/// Units of a product at one location other than `main`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceLevel {
    /// Units there.
    pub on_hand: i64,
    /// Units of those that orders hold.
    pub held: i64,
}

impl PlaceLevel {
    /// Units there that no order holds.
    #[must_use]
    pub const fn free(&self) -> i64 {
        self.on_hand.saturating_sub(self.held)
    }
}

/// What a batch changed of a product at one location other than `main`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceChange {
    /// Units held, fewer where negative.
    pub held: i64,
    /// Units shipped.
    pub committed: i64,
    /// Units returned to stock.
    pub restocked: i64,
}

/// The units of products at each location that is not `main`, by name.
pub type PlaceLevels = BTreeMap<Sku, BTreeMap<LocationName, PlaceLevel>>;

/// The locations of products that are not only at `main`, and what a batch changed there. Of every
/// other product, and where no location exists, it knows nothing and costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Places {
    by_priority: Vec<LocationName>,
    levels: PlaceLevels,
    changes: BTreeMap<(Sku, LocationName), PlaceChange>,
    new: BTreeSet<(Sku, LocationName)>,
}

impl Places {
    /// All locations by priority, `main` among them, and the units at the others.
    #[must_use]
    pub fn new(by_priority: Vec<LocationName>, levels: PlaceLevels) -> Self {
        Self { by_priority, levels, ..Self::default() }
    }
}

/// Which of several locations serves first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The first by priority.
    First,
    /// The last by priority.
    Last,
}

impl StockLevels {
    /// With the units at other locations than `main`.
    #[must_use]
    pub fn at(mut self, places: Places) -> Self {
        self.places = places;
        self
    }

    /// Whether units of a product are, or were, elsewhere than at `main`.
    #[must_use]
    pub fn is_located(&self, sku: &Sku) -> bool {
        self.places.levels.contains_key(sku)
    }

    /// Whether a location exists, where they were read.
    #[must_use]
    pub fn has_location(&self, location: &LocationName) -> bool {
        self.places.by_priority.contains(location)
    }

    /// The units of a product at the locations other than `main`.
    #[must_use]
    pub fn elsewhere(&self, sku: &Sku) -> BTreeMap<LocationName, PlaceLevel> {
        self.places.levels.get(sku).cloned().unwrap_or_default()
    }

    /// Units of a product at a location: on hand, and held of those.
    #[must_use]
    pub fn place(&self, sku: &Sku, location: &LocationName) -> PlaceLevel {
        let elsewhere = self.places.levels.get(sku);
        if !location.is_main() {
            return elsewhere.and_then(|all| all.get(location)).copied().unwrap_or_default();
        }
        let total = self.level(sku);
        let mut main = PlaceLevel { on_hand: total.on_hand, held: total.held() };
        for place in elsewhere.into_iter().flat_map(BTreeMap::values) {
            main.on_hand -= place.on_hand;
            main.held -= place.held;
        }
        main
    }

    /// The changes at locations other than `main`, by product and location. True where the product
    /// had no units there before.
    pub fn place_changes(&self) -> impl Iterator<Item = (&Sku, &LocationName, PlaceChange, bool)> {
        self.places.changes.iter().map(|(key, change)| {
            let (sku, location) = key;
            (sku, location, *change, self.places.new.contains(key))
        })
    }

    /// All locations by priority, from that side.
    pub(super) fn locations(&self, side: Side) -> Vec<LocationName> {
        let mut all = self.places.by_priority.clone();
        if side == Side::Last {
            all.reverse();
        }
        all
    }

    /// The first location by priority with that many free units of each of these products.
    pub(super) fn whole(&self, needed: &BTreeMap<&Sku, i64>) -> Option<LocationName> {
        let has_all = |location: &&LocationName| {
            needed.iter().all(|(sku, units)| self.place(sku, location).free() >= *units)
        };
        self.places.by_priority.iter().find(has_all).cloned()
    }

    /// From where free units of a product are taken, `main` left out: all from the preferred
    /// location if it has them, else all from the first that has, else from each what it has, by
    /// priority.
    pub(super) fn choose(
        &self,
        sku: &Sku,
        units: u32,
        preferred: Option<&LocationName>,
    ) -> Vec<(LocationName, u32)> {
        if units == 0 || !self.is_located(sku) {
            return Vec::new();
        }
        let free = |location: &LocationName| {
            u32::try_from(self.place(sku, location).free().max(0)).unwrap_or(u32::MAX)
        };
        let has_all = |location: &&LocationName| free(location) >= units;
        let all = preferred.filter(has_all);
        let mut chosen = Vec::new();
        if let Some(all) = all.or_else(|| self.places.by_priority.iter().find(has_all)) {
            chosen.push((all.clone(), units));
        } else {
            let mut rest = units;
            for location in &self.places.by_priority {
                let here = free(location).min(rest);
                rest -= here;
                chosen.push((location.clone(), here));
            }
        }
        chosen.retain(|(location, units)| !location.is_main() && *units > 0);
        chosen
    }

    /// Holds units at a location, fewer where negative. The product's sum is moved apart from it.
    pub(super) fn hold_at(&mut self, sku: &Sku, location: &LocationName, units: i64) {
        self.move_at(sku, location, PlaceChange { held: units, ..PlaceChange::default() });
    }

    /// Ships units that are held no more from a location.
    pub(super) fn commit_at(&mut self, sku: &Sku, location: &LocationName, units: i64) {
        self.move_at(sku, location, PlaceChange { committed: units, ..PlaceChange::default() });
    }

    /// Returns units to a location.
    pub(super) fn restock_at(&mut self, sku: &Sku, location: &LocationName, units: i64) {
        self.move_at(sku, location, PlaceChange { restocked: units, ..PlaceChange::default() });
    }

    fn move_at(&mut self, sku: &Sku, location: &LocationName, change: PlaceChange) {
        if location.is_main() || change == PlaceChange::default() {
            return;
        }
        let Places { levels, changes, new, .. } = &mut self.places;
        let key = (sku.clone(), location.clone());
        let there = levels.entry(sku.clone()).or_default();
        if !there.contains_key(location) {
            new.insert(key.clone());
        }
        let level = there.entry(location.clone()).or_default();
        level.held += change.held;
        level.on_hand += change.restocked - change.committed;
        let sum = changes.entry(key).or_default();
        sum.held += change.held;
        sum.committed += change.committed;
        sum.restocked += change.restocked;
    }
}
