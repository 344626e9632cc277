use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_events::contract::{LocationName, Quantity, Sku, StockLine};

use super::places::Side;
use super::reservation::is_zero;
use super::{ReservedLine, StockLevels};

/// Units of a line at a location other than `main`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinePart {
    /// Units held there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u32,
    /// Units shipped from there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub committed: u32,
    /// Units returned to there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restocked: u32,
}

/// Units of a line by location, without those at `main`.
pub(super) type Elsewhere = Vec<(LocationName, u32)>;

impl ReservedLine {
    /// Units of it by what happened to them at a location.
    #[must_use]
    pub fn part(&self, location: &LocationName) -> LinePart {
        if !location.is_main() {
            return self.parts.get(location).copied().unwrap_or_default();
        }
        let mut main = LinePart {
            held: self.allocated(),
            committed: self.committed,
            restocked: self.restocked,
        };
        for part in self.parts.values() {
            main.held = main.held.saturating_sub(part.held);
            main.committed = main.committed.saturating_sub(part.committed);
            main.restocked = main.restocked.saturating_sub(part.restocked);
        }
        main
    }

    /// Whether its parts are no more than the whole.
    #[must_use]
    pub fn parts_fit(&self) -> bool {
        let sum = |units: fn(&LinePart) -> u32| -> u64 {
            self.parts.values().map(|part| u64::from(units(part))).sum()
        };
        sum(|part| part.held) <= u64::from(self.allocated())
            && sum(|part| part.committed) <= u64::from(self.committed)
            && sum(|part| part.restocked) <= u64::from(self.restocked)
    }

    /// Chooses where units that are about to be held on hand come from, and holds those that are
    /// not at `main`; returns these.
    pub(super) fn hold(
        &mut self,
        units: u32,
        preferred: Option<&LocationName>,
        stock: &mut StockLevels,
    ) -> Elsewhere {
        let chosen = stock.choose(&self.sku, units, preferred);
        for (location, units) in &chosen {
            self.parts.entry(location.clone()).or_default().held += units;
            stock.hold_at(&self.sku, location, i64::from(*units));
        }
        chosen
    }

    /// Gives up units held on hand, before the line counts them so; returns from where, `main` left
    /// out. The last location by priority gives first.
    pub(super) fn let_go(&mut self, units: u32, stock: &mut StockLevels) -> Elsewhere {
        if self.parts.is_empty() {
            return Vec::new();
        }
        let given = draw(&mut self.held_by_location(), units, stock.locations(Side::Last));
        self.give(&given, stock);
        elsewhere(given)
    }

    /// Ships units held on hand, before the line counts them so; returns from where, `main` left
    /// out. A named location gives first, free units of its own too, for which the order gives up
    /// others. The rest comes from where it is held, the first location by priority first.
    pub(super) fn ship(
        &mut self,
        units: u32,
        named: Option<&LocationName>,
        stock: &mut StockLevels,
    ) -> Elsewhere {
        if self.parts.is_empty() && (named.is_none() || !stock.is_located(&self.sku)) {
            return Vec::new();
        }
        let mut held = self.held_by_location();
        let (mut given, mut shipped) = (Vec::new(), Vec::new());
        let mut rest = units;
        if let Some(named) = named {
            let here = draw(&mut held, rest, vec![named.clone()]);
            let own: u32 = here.iter().map(|(_, units)| units).sum();
            let free = stock.place(&self.sku, named).free().max(0);
            let swapped = u32::try_from(free).unwrap_or(u32::MAX).min(rest - own);
            let swapped = draw(&mut held, swapped, stock.locations(Side::Last));
            let here_too: u32 = swapped.iter().map(|(_, units)| units).sum();
            given.extend(here.into_iter().chain(swapped));
            shipped.push((named.clone(), own + here_too));
            rest -= own + here_too;
        }
        let others = draw(&mut held, rest, stock.locations(Side::First));
        given.extend(others.iter().cloned());
        shipped.extend(others);
        self.give(&given, stock);
        let shipped = elsewhere(shipped);
        for (location, units) in &shipped {
            self.parts.entry(location.clone()).or_default().committed += units;
            stock.commit_at(&self.sku, location, i64::from(*units));
        }
        shipped
    }

    /// Returns units to a location, or to `main` where none is named or it does not exist.
    pub(super) fn come_back(
        &mut self,
        units: u32,
        named: Option<&LocationName>,
        stock: &mut StockLevels,
    ) -> Elsewhere {
        let exists = |one: &&LocationName| !one.is_main() && stock.has_location(one);
        let Some(location) = named.filter(exists) else { return Vec::new() };
        self.parts.entry(location.clone()).or_default().restocked += units;
        stock.restock_at(&self.sku, location, i64::from(units));
        vec![(location.clone(), units)]
    }

    /// Holds shipped units again where they were shipped from, before the line counts them so: a
    /// named location first, then the last by priority. Returns where, `main` left out.
    pub(super) fn reopen(
        &mut self,
        units: u32,
        named: Option<&LocationName>,
        stock: &mut StockLevels,
    ) -> Elsewhere {
        if self.parts.is_empty() {
            return Vec::new();
        }
        let all = std::iter::once(LocationName::main()).chain(self.parts.keys().cloned());
        let mut shipped: BTreeMap<_, _> =
            all.map(|location| (location.clone(), self.part(&location).committed)).collect();
        let locations = named.cloned().into_iter().chain(stock.locations(Side::Last)).collect();
        let back = elsewhere(draw(&mut shipped, units, locations));
        for (location, units) in &back {
            let part = self.parts.entry(location.clone()).or_default();
            part.committed = part.committed.saturating_sub(*units);
            part.held += units;
            stock.commit_at(&self.sku, location, -i64::from(*units));
            stock.hold_at(&self.sku, location, i64::from(*units));
        }
        back
    }

    /// Takes over what another line of the same product holds, of which nothing was shipped.
    pub(super) fn take_over(&mut self, other: Self) {
        self.quantity = self.quantity.saturating_add(other.quantity);
        self.released = self.released.saturating_add(other.released);
        self.backordered = self.backordered.saturating_add(other.backordered);
        for (location, part) in other.parts {
            self.parts.entry(location).or_default().held += part.held;
        }
    }

    /// Reverts what it moved elsewhere than at `main`.
    pub(super) fn undo_parts(&self, stock: &mut StockLevels) {
        for (location, part) in &self.parts {
            stock.hold_at(&self.sku, location, -i64::from(part.held));
            stock.commit_at(&self.sku, location, -i64::from(part.committed));
            stock.restock_at(&self.sku, location, -i64::from(part.restocked));
        }
    }

    fn held_by_location(&self) -> BTreeMap<LocationName, u32> {
        let all = std::iter::once(LocationName::main()).chain(self.parts.keys().cloned());
        all.map(|location| (location.clone(), self.part(&location).held)).collect()
    }

    /// Gives up what it holds at these locations.
    fn give(&mut self, given: &Elsewhere, stock: &mut StockLevels) {
        for (location, units) in given {
            if let Some(part) = self.parts.get_mut(location) {
                part.held = part.held.saturating_sub(*units);
                stock.hold_at(&self.sku, location, -i64::from(*units));
            }
        }
        self.parts.retain(|_, part| *part != LinePart::default());
    }
}

/// Takes units from one of these locations after another, as far as they have some.
fn draw(
    held: &mut BTreeMap<LocationName, u32>,
    units: u32,
    locations: Vec<LocationName>,
) -> Elsewhere {
    let mut rest = units;
    let mut taken = Vec::new();
    for location in locations {
        let Some(here) = held.get_mut(&location) else { continue };
        let some = rest.min(*here);
        *here -= some;
        rest -= some;
        if some > 0 {
            taken.push((location, some));
        }
    }
    taken
}

fn elsewhere(mut taken: Elsewhere) -> Elsewhere {
    taken.retain(|(location, units)| !location.is_main() && *units > 0);
    // One location may have given twice.
    let mut sums: BTreeMap<LocationName, u32> = BTreeMap::new();
    for (location, units) in taken {
        *sums.entry(location).or_default() += units;
    }
    sums.into_iter().collect()
}

/// The units of a product as a fact names them: one line for each location.
pub(super) fn stock_lines(sku: &Sku, units: u32, elsewhere: &Elsewhere) -> Vec<StockLine> {
    let there: u32 = elsewhere.iter().map(|(_, units)| units).sum();
    let main = (LocationName::main(), units.saturating_sub(there));
    let all = std::iter::once(&main).chain(elsewhere);
    all.filter_map(|(location, units)| {
        let quantity = Quantity::new(*units).ok()?;
        Some(StockLine { sku: sku.clone(), quantity, location: location.clone() })
    })
    .collect()
}
