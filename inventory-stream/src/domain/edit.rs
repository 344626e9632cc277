use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_events::contract::{
    EditId, FactId, InventoryFact, LineUnits, Quantity, Sku, StockLine, Timestamp,
};

use super::backorder::line_units;
use super::parts::stock_lines;
use super::{Impossible, Reservation, ReservationState, ReservedLine, Step, StepKind, StockLevels};

const UNKNOWN: &str = "edited, but no stock of a product was ever set: set it, then try again";

/// Units held for an edit of the order, until the order has them or does without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditReservation {
    /// The edit.
    pub edit_id: EditId,
    /// Its units, all of them open, by the lines that they are for; some may be backordered.
    pub lines: Vec<ReservedLine>,
}

/// An edit that the order asks units for.
#[derive(Clone, Copy, Debug)]
pub struct AskedEdit<'a> {
    /// The edit.
    pub edit_id: EditId,
    /// Units in addition.
    pub lines: &'a [LineUnits],
    /// When it was asked for: until then backorders of a product may be open.
    pub asked_at: Timestamp,
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
    /// Of those in addition, the units that wait as far as the order knows.
    pub backordered: &'a [LineUnits],
}

impl EditReservation {
    /// Units of a product that it holds and that are not on hand. No stock that comes is given to
    /// them before they are the order's.
    #[must_use]
    pub fn waits_for(&self, sku: &Sku) -> i64 {
        let lines = self.lines.iter().filter(|units| units.sku == *sku);
        lines.map(|held| i64::from(held.backordered)).sum()
    }

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
    /// short. Units that are not on hand may be backordered, as those of an order that is placed
    /// when the edit is asked for ([`BackorderRule`](super::BackorderRule)).
    pub fn edit_requested(
        &mut self,
        fact_id: FactId,
        edit: AskedEdit<'_>,
        stock: &mut StockLevels,
    ) -> Option<InventoryFact> {
        let AskedEdit { edit_id, lines, asked_at } = edit;
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
        let short = |(sku, units): &(&Sku, i64)| {
            gone || stock.level(sku).promisable(Some(asked_at)) < *units
        };
        let skus: Vec<Sku> = needed.into_iter().filter(short).map(|(sku, _)| sku.clone()).collect();
        if !skus.is_empty() {
            return Some(InventoryFact::EditRejected { order_id, edit_id, skus });
        }
        let (held, lines) = take_all(lines, stock);
        let backordered = waiting(&held);
        self.edit = Some(EditReservation { edit_id, lines: held });
        Some(InventoryFact::EditReserved { order_id, edit_id, lines, backordered })
    }

    /// The order has the lines of an edit: what is held for it is the order's from now on, and what
    /// the order does without is released. Units that are not held are taken now: the order was
    /// promised them, and others may have got them since the log was set back. Those that are not
    /// on hand wait for stock, whatever the limit of backorders. Units that the order lets wait and
    /// that do not wait here are told as allocated: nothing else would ever come for them.
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
            facts.extend(self.wait_no_more(&added, edit.backordered));
            for added in added {
                // From now on the database knows for what it waits.
                self.was_backordered |= added.backordered > 0;
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

    /// Of units that the order has from now on, those that wait only there: stock had fewer when it
    /// answered first, and was restored since then.
    fn wait_no_more(
        &self,
        added: &[ReservedLine],
        backordered: &[LineUnits],
    ) -> Option<InventoryFact> {
        let come = |there: &LineUnits| {
            let held = added.iter().find(|held| held.line == there.line)?;
            line_units(held, there.quantity.get().saturating_sub(held.backordered))
        };
        let lines: Vec<LineUnits> = backordered.iter().filter_map(come).collect();
        if self.state != ReservationState::Reserved || lines.is_empty() {
            return None;
        }
        let (order_id, reservation_id) = (self.order_id, self.reservation_id);
        // Where they are was said when they were reserved.
        Some(InventoryFact::Allocated { order_id, reservation_id, lines, elsewhere: Vec::new() })
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
        if holds {
            let (edit_id, (taken, lines)) = (edit.edit_id, take_all(edit.added, stock));
            let backordered = waiting(&taken);
            facts.push(InventoryFact::EditReserved { order_id, edit_id, lines, backordered });
            return Ok(taken);
        }
        let mut taken = all_of(edit.added);
        if self.state == ReservationState::Released {
            taken.iter_mut().for_each(|line| line.released = line.quantity);
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
            let elsewhere = held.let_go(held.allocated(), stock);
            stock.reserve(&held.sku, -i64::from(held.quantity));
            stock.backorder(&held.sku, -i64::from(held.backordered));
            lines.extend(stock_lines(&held.sku, held.quantity, &elsewhere));
        }
        lines
    }

    /// Reverts what it holds.
    pub(super) fn undo(&self, stock: &mut StockLevels) {
        for held in &self.lines {
            held.undo_parts(stock);
            stock.reserve(&held.sku, -i64::from(held.quantity));
            stock.backorder(&held.sku, -i64::from(held.backordered));
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

/// Lines of these units.
fn all_of(units: &[LineUnits]) -> Vec<ReservedLine> {
    units.iter().map(|one| ReservedLine::new(one.line, &one.sku, one.quantity)).collect()
}

/// Reserves all these units: their lines, and what a fact names.
fn take_all(units: &[LineUnits], stock: &mut StockLevels) -> (Vec<ReservedLine>, Vec<StockLine>) {
    let mut taken = all_of(units);
    let lines = taken.iter_mut().flat_map(|line| line.take(stock)).collect();
    (taken, lines)
}

/// Units of these lines that wait for stock.
fn waiting(lines: &[ReservedLine]) -> Vec<LineUnits> {
    lines.iter().filter_map(|line| line_units(line, line.backordered)).collect()
}

/// Whether these are units of the same lines.
fn same_units(held: &[ReservedLine], added: &[LineUnits]) -> bool {
    let asked = added.iter().map(|one| (one.line, (&one.sku, one.quantity.get())));
    let asked: BTreeMap<u32, (&Sku, u32)> = asked.collect();
    let held = held.iter().map(|one| (one.line, (&one.sku, one.quantity)));
    let held: BTreeMap<u32, (&Sku, u32)> = held.collect();
    added.len() == held.len() && asked == held
}
