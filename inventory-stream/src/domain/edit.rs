use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_events::contract::{EditId, FactId, InventoryFact, LineUnits, Quantity, Sku};

use super::reservation::stock_lines;
use super::{Impossible, Reservation, ReservationState, ReservedLine, Step, StepKind, StockLevels};

/// Units held for an edit of the order, until the order has them or does without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditReservation {
    /// The edit.
    pub edit_id: EditId,
    /// Its units, by the lines that they are for.
    pub lines: Vec<LineUnits>,
}

/// An edit as the order has applied it.
#[derive(Clone, Copy, Debug)]
pub struct AppliedEdit<'a> {
    /// The edit.
    pub edit_id: EditId,
    /// Units in addition.
    pub added: &'a [LineUnits],
    /// Units that will not be delivered.
    pub cancelled: &'a [LineUnits],
}

impl EditReservation {
    /// Units that it holds of a product.
    #[must_use]
    pub fn units_of(&self, sku: &Sku) -> i64 {
        let lines = self.lines.iter().filter(|units| units.sku == *sku);
        lines.map(|units| i64::from(units.quantity.get())).sum()
    }
}

impl Reservation {
    /// The products that it is about.
    pub fn skus(&self) -> impl Iterator<Item = &Sku> {
        let of_edit = self.edit.iter().flat_map(|edit| &edit.lines).map(|units| &units.sku);
        self.lines.iter().map(|held| &held.sku).chain(of_edit)
    }

    /// An edit of the order needs units in addition: holds all of them, or none where a product is
    /// short. They must be on hand: no edit waits for stock.
    pub fn edit_requested(
        &mut self,
        fact_id: FactId,
        edit_id: EditId,
        lines: &[LineUnits],
        stock: &mut StockLevels,
    ) -> Option<InventoryFact> {
        if !self.applied.insert(fact_id) {
            return None;
        }
        let order_id = self.order_id;
        let mut needed: BTreeMap<&Sku, i64> = BTreeMap::new();
        for units in lines {
            *needed.entry(&units.sku).or_default() += i64::from(units.quantity.get());
        }
        // An order that a stock-take has withdrawn is about to be cancelled.
        let gone = self.state != ReservationState::Reserved
            || self.edit.is_some()
            || self.lines.iter().any(|held| held.withdrawn > 0);
        let short = |(sku, units): &(&Sku, i64)| gone || stock.level(sku).available() < *units;
        let skus: Vec<Sku> = needed.into_iter().filter(short).map(|(sku, _)| sku.clone()).collect();
        if !skus.is_empty() {
            return Some(InventoryFact::EditRejected { order_id, edit_id, skus });
        }
        for units in lines {
            stock.reserve(&units.sku, i64::from(units.quantity.get()));
        }
        let without_title = |units: &LineUnits| LineUnits { title: String::new(), ..units.clone() };
        let held = lines.iter().map(without_title).collect();
        self.edit = Some(EditReservation { edit_id, lines: held });
        let lines = stock_lines(lines.iter().map(|units| (&units.sku, units.quantity.get())));
        Some(InventoryFact::EditReserved { order_id, edit_id, lines })
    }

    /// The order has the lines of an edit: what is held for it is the order's from now on, and what
    /// the order does without is released.
    ///
    /// # Errors
    /// [`Impossible`] where the units are not held.
    pub fn edited(
        &mut self,
        fact_id: FactId,
        edit: AppliedEdit<'_>,
        stock: &mut StockLevels,
    ) -> Result<Vec<InventoryFact>, Impossible> {
        if self.applied.contains(&fact_id) {
            return Ok(Vec::new());
        }
        if !edit.added.is_empty() {
            let held = self.edit.take_if(|held| {
                held.edit_id == edit.edit_id && same_units(&held.lines, edit.added)
            });
            if held.is_none() {
                let line = edit.added.first().map_or(0, |units| units.line);
                return Err(Impossible { line, detail: "edited, but the units are not held" });
            }
        }
        for units in edit.added {
            let known = self.lines.iter_mut().find(|held| held.line == units.line);
            match known {
                Some(held) => held.quantity = held.quantity.saturating_add(units.quantity.get()),
                None => self.lines.push(ReservedLine::new(units.line, &units.sku, units.quantity)),
            }
        }
        if edit.cancelled.is_empty() {
            self.applied.insert(fact_id);
            return Ok(Vec::new());
        }
        let (kind, lines) = (StepKind::Release, edit.cancelled.to_vec());
        self.step(Step { fact_id, kind, lines }, stock)
    }

    /// An edit came to nothing: releases what is held for it.
    pub fn edit_refused(
        &mut self,
        fact_id: FactId,
        edit_id: EditId,
        stock: &mut StockLevels,
    ) -> Option<InventoryFact> {
        self.applied.insert(fact_id);
        let held = self.edit.take_if(|held| held.edit_id == edit_id)?;
        let freed: Vec<(Sku, u32)> = held.free(stock);
        let lines = stock_lines(freed.iter().map(|(sku, units)| (sku, *units)));
        Some(InventoryFact::Released { order_id: self.order_id, lines })
    }
}

impl EditReservation {
    /// Takes its units off what is reserved.
    pub(super) fn free(&self, stock: &mut StockLevels) -> Vec<(Sku, u32)> {
        let free = |units: &LineUnits| {
            stock.reserve(&units.sku, -i64::from(units.quantity.get()));
            (units.sku.clone(), units.quantity.get())
        };
        self.lines.iter().map(free).collect()
    }
}

impl ReservedLine {
    /// A line of which all units are held.
    pub(super) fn new(line: u32, sku: &Sku, quantity: Quantity) -> Self {
        Self {
            line,
            sku: sku.clone(),
            quantity: quantity.get(),
            released: 0,
            withdrawn: 0,
            backordered: 0,
            committed: 0,
            restocked: 0,
        }
    }
}

/// Whether these are units of the same lines.
fn same_units(one: &[LineUnits], other: &[LineUnits]) -> bool {
    let units = |lines: &[LineUnits]| -> BTreeMap<u32, (Sku, u32)> {
        lines.iter().map(|one| (one.line, (one.sku.clone(), one.quantity.get()))).collect()
    };
    one.len() == other.len() && units(one) == units(other)
}
