use std::collections::BTreeMap;

use shared_events::contract::{
    InventoryFact, LineUnits, LocationName, Quantity, Sku, StockLine, Timestamp,
};

use super::parts::stock_lines;
use super::{Reservation, ReservationState, ReservedLine, StockLevel, StockLevels};

/// How many units of a product may be promised beyond those on hand, and until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackorderRule {
    /// Units; 0 for none.
    pub limit: i64,
    /// Only to orders placed before this instant.
    pub until: Option<Timestamp>,
}

impl BackorderRule {
    /// Units that may be promised to an order placed at that time, of which none are yet.
    fn limit_for(&self, placed_at: Option<Timestamp>) -> i64 {
        let open = match (self.until, placed_at) {
            (None, _) => true,
            (Some(until), Some(placed_at)) => placed_at < until,
            (Some(_), None) => false,
        };
        if open { self.limit } else { 0 }
    }
}

impl StockLevel {
    /// Units that an order placed at that time may still be promised: on hand or not.
    #[must_use]
    pub fn promisable(&self, placed_at: Option<Timestamp>) -> i64 {
        let beyond = self.backorder.limit_for(placed_at).saturating_sub(self.backordered);
        self.available().saturating_add(beyond.max(0))
    }

    /// Whether units are free while orders wait for them.
    #[must_use]
    pub const fn is_allocatable(&self) -> bool {
        self.backordered > 0 && self.free() > 0
    }
}

impl ReservedLine {
    /// Units held on hand: open, and not backordered.
    #[must_use]
    pub const fn allocated(&self) -> u32 {
        self.open().saturating_sub(self.backordered)
    }

    /// Takes away open units; returns how many of those were backordered. They go first.
    pub(super) fn take_backordered(&mut self, units: u32) -> u32 {
        let taken = units.min(self.backordered);
        self.backordered -= taken;
        taken
    }
}

impl Reservation {
    /// Units of a product that it waits for, without those of an edit that is not applied yet.
    #[must_use]
    pub fn waits_for(&self, sku: &Sku) -> i64 {
        if self.state != ReservationState::Reserved {
            return 0;
        }
        let lines = self.lines.iter().filter(|line| line.sku == *sku);
        lines.map(|line| i64::from(line.backordered)).sum()
    }

    /// Units of a product that it waits for, also of an edit that is not applied yet.
    #[must_use]
    pub fn backordered_of(&self, sku: &Sku) -> i64 {
        self.waits_for(sku) + self.edit.as_ref().map_or(0, |edit| edit.waits_for(sku))
    }

    /// Units of a product that it holds on hand.
    #[must_use]
    pub fn allocated_of(&self, sku: &Sku) -> i64 {
        self.held_of(sku) - self.backordered_of(sku)
    }

    /// Reserves all units of its lines: those available, by line, and the rest backordered.
    pub(super) fn reserve_all(&mut self, stock: &mut StockLevels) -> InventoryFact {
        let mut available: BTreeMap<Sku, i64> = BTreeMap::new();
        for held in &mut self.lines {
            let left = available
                .entry(held.sku.clone())
                .or_insert_with(|| stock.level(&held.sku).available());
            let on_hand = u32::try_from(*left).unwrap_or(u32::MAX).min(held.quantity);
            *left -= i64::from(on_hand);
            held.backordered = held.quantity - on_hand;
        }
        let whole = self.whole(stock);
        let (mut backordered, mut lines) = (Vec::new(), Vec::with_capacity(self.lines.len()));
        for held in &mut self.lines {
            let elsewhere = held.hold(held.allocated(), whole.as_ref(), stock);
            stock.reserve(&held.sku, i64::from(held.quantity));
            lines.extend(stock_lines(&held.sku, held.quantity, &elsewhere));
            if let Some(units) = line_units(held, held.backordered) {
                stock.backorder(&held.sku, i64::from(held.backordered));
                backordered.push(units);
            }
        }
        self.was_backordered = !backordered.is_empty();
        InventoryFact::Reserved {
            order_id: self.order_id,
            reservation_id: self.reservation_id,
            lines,
            backordered,
        }
    }

    /// The first location by priority that has all its units on hand; none where nothing is
    /// elsewhere than at `main`.
    fn whole(&self, stock: &StockLevels) -> Option<LocationName> {
        if !self.lines.iter().any(|held| stock.is_located(&held.sku)) {
            return None;
        }
        let mut needed: BTreeMap<&Sku, i64> = BTreeMap::new();
        for held in &self.lines {
            *needed.entry(&held.sku).or_default() += i64::from(held.allocated());
        }
        needed.retain(|_, units| *units > 0);
        stock.whole(&needed)
    }

    /// Gives it free units of a product that it waits for; returns the units, and those of them
    /// that are elsewhere than at `main`.
    pub fn allocate(
        &mut self,
        sku: &Sku,
        stock: &mut StockLevels,
    ) -> (Vec<LineUnits>, Vec<StockLine>) {
        let (mut allocated, mut elsewhere) = (Vec::new(), Vec::new());
        if self.state != ReservationState::Reserved {
            return (allocated, elsewhere);
        }
        for held in self.lines.iter_mut().filter(|held| held.sku == *sku) {
            let free = u32::try_from(stock.level(sku).free().max(0)).unwrap_or(u32::MAX);
            let there = held.hold(free.min(held.backordered), None, stock);
            let units = held.take_backordered(free);
            stock.backorder(sku, -i64::from(units));
            allocated.extend(line_units(held, units));
            // Without those at `main`.
            elsewhere.extend(stock_lines(sku, 0, &there));
        }
        (allocated, elsewhere)
    }
}

pub(super) fn line_units(held: &ReservedLine, units: u32) -> Option<LineUnits> {
    let quantity = Quantity::new(units).ok()?;
    Some(LineUnits { line: held.line, sku: held.sku.clone(), quantity, title: String::new() })
}
