use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_events::contract::{EditId, FactId, InventoryFact, LineUnits, Quantity, Sku, StockLine};

use super::parts::stock_lines;
use super::{Impossible, Reservation, ReservationState, ReservedLine, Step, StepKind, StockLevels};

const UNKNOWN: &str = "edited, but no stock of a product was ever set: set it, then try again";

/// Units held for an edit of the order, until the order has them or does without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditReservation {
    /// The edit.
    pub edit_id: EditId,
    /// Its units, all of them open, by the lines that they are for.
    pub lines: Vec<ReservedLine>,
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
        lines.map(|held| i64::from(held.quantity)).sum()
    }
}

impl Reservation {
    /// Its lines, and those of an edit that has not been applied yet.
    pub fn held_lines(&self) -> impl Iterator<Item = &ReservedLine> {
        self.lines.iter().chain(self.edit.iter().flat_map(|edit| &edit.lines))
    }

    /// The products that it is about.
    pub fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.held_lines().map(|held| &held.sku)
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
        let (mut held, mut facts) = (Vec::new(), Vec::new());
        for units in lines {
            let quantity = units.quantity.get();
            let mut line = ReservedLine::new(units.line, &units.sku, units.quantity);
            let elsewhere = line.hold(quantity, None, stock);
            stock.reserve(&units.sku, i64::from(quantity));
            facts.extend(stock_lines(&units.sku, quantity, &elsewhere));
            held.push(line);
        }
        self.edit = Some(EditReservation { edit_id, lines: held });
        let lines = facts;
        Some(InventoryFact::EditReserved { order_id, edit_id, lines })
    }

    /// The order has the lines of an edit: what is held for it is the order's from now on, and what
    /// the order does without is released. Units that are not held are taken now: the order was
    /// promised them, and others may have got them since the log was set back. Those that are not
    /// on hand wait for stock, whatever the limit of backorders.
    ///
    /// # Errors
    /// [`Impossible`] where the order was not placed yet, or stock of a product was never set.
    pub fn edited(
        &mut self,
        fact_id: FactId,
        edit: AppliedEdit<'_>,
        stock: &mut StockLevels,
    ) -> Result<Vec<InventoryFact>, Impossible> {
        if self.applied.contains(&fact_id) {
            return Ok(Vec::new());
        }
        let mut facts = Vec::new();
        if !edit.added.is_empty() {
            let is_held = |held: &mut EditReservation| {
                held.edit_id == edit.edit_id && same_units(&held.lines, edit.added)
            };
            let added = match self.edit.take_if(is_held) {
                Some(held) => held.lines,
                None => self.take_now(&edit, stock, &mut facts)?,
            };
            for added in added {
                match self.lines.iter_mut().find(|held| held.line == added.line) {
                    Some(held) => held.take_over(added),
                    None => self.lines.push(added),
                }
            }
        }
        if edit.cancelled.is_empty() {
            self.applied.insert(fact_id);
            return Ok(facts);
        }
        let (kind, lines) = (StepKind::Release, edit.cancelled.to_vec());
        facts.extend(self.step(Step { fact_id, kind, lines, location: None }, stock)?);
        Ok(facts)
    }

    /// The units of an edit that are not held: those on hand, and the rest backordered.
    fn take_now(
        &mut self,
        edit: &AppliedEdit<'_>,
        stock: &mut StockLevels,
        facts: &mut Vec<InventoryFact>,
    ) -> Result<Vec<ReservedLine>, Impossible> {
        let impossible = |detail| {
            let line = edit.added.first().map_or(0, |units| units.line);
            Err(Impossible { line, detail })
        };
        if self.state == ReservationState::Waiting {
            return impossible("edited, but the order was not placed");
        }
        let holds = self.state == ReservationState::Reserved;
        if holds && !edit.added.iter().all(|units| stock.is_known(&units.sku)) {
            return impossible(UNKNOWN);
        }
        let order_id = self.order_id;
        if let Some(other) = self.edit.take() {
            facts.push(InventoryFact::Released { order_id, lines: other.free(stock) });
        }
        let (mut taken, mut lines) = (Vec::new(), Vec::new());
        for units in edit.added {
            let mut line = ReservedLine::new(units.line, &units.sku, units.quantity);
            if holds {
                lines.extend(line.take(stock));
                self.was_backordered |= line.backordered > 0;
            } else if self.state == ReservationState::Released {
                line.released = line.quantity;
            }
            taken.push(line);
        }
        if holds {
            let edit_id = edit.edit_id;
            facts.push(InventoryFact::EditReserved { order_id, edit_id, lines });
        }
        Ok(taken)
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
        let lines = held.free(stock);
        Some(InventoryFact::Released { order_id: self.order_id, lines })
    }
}

impl EditReservation {
    /// Gives up its units; returns them as a fact names them.
    pub(super) fn free(mut self, stock: &mut StockLevels) -> Vec<StockLine> {
        let mut lines = Vec::new();
        for held in &mut self.lines {
            let elsewhere = held.let_go(held.quantity, stock);
            stock.reserve(&held.sku, -i64::from(held.quantity));
            lines.extend(stock_lines(&held.sku, held.quantity, &elsewhere));
        }
        lines
    }

    /// Reverts what it holds.
    pub(super) fn undo(&self, stock: &mut StockLevels) {
        for held in &self.lines {
            held.undo_parts(stock);
            stock.reserve(&held.sku, -i64::from(held.quantity));
        }
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
            parts: BTreeMap::new(),
        }
    }

    /// Reserves all its units: those available, and the rest backordered. Returns them as a fact
    /// names them.
    fn take(&mut self, stock: &mut StockLevels) -> Vec<StockLine> {
        let available = u32::try_from(stock.level(&self.sku).available()).unwrap_or(u32::MAX);
        let on_hand = available.min(self.quantity);
        self.backordered = self.quantity - on_hand;
        let elsewhere = self.hold(on_hand, None, stock);
        stock.reserve(&self.sku, i64::from(self.quantity));
        stock.backorder(&self.sku, i64::from(self.backordered));
        stock_lines(&self.sku, self.quantity, &elsewhere)
    }
}

/// Whether these are units of the same lines.
fn same_units(held: &[ReservedLine], added: &[LineUnits]) -> bool {
    let asked = added.iter().map(|one| (one.line, (&one.sku, one.quantity.get())));
    let asked: BTreeMap<u32, (&Sku, u32)> = asked.collect();
    let held = held.iter().map(|one| (one.line, (&one.sku, one.quantity)));
    let held: BTreeMap<u32, (&Sku, u32)> = held.collect();
    added.len() == held.len() && asked == held
}
