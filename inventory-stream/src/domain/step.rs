use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_events::contract::{FactId, InventoryFact, LineUnits, LocationName, Sku};

use super::parts::{Elsewhere, stock_lines};
use super::{Reservation, ReservationState, ReservedLine, StockLevels};

/// What a fact does to units of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepKind {
    /// They are cancelled.
    Release,
    /// They are shipped.
    Commit,
    /// They are returned to stock.
    Restock,
    /// They are back in stock, and held for the order again: it ships them anew.
    Reopen,
}

/// A fact about units of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The fact; a second one with the same id does nothing.
    pub fact_id: FactId,
    /// What it does.
    pub kind: StepKind,
    /// The units.
    pub lines: Vec<LineUnits>,
    /// The location that they left from, or are returned to, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationName>,
}

const WITHDRAWN: &str =
    "shipped after a stock-take had withdrawn the units, and none is available: correct the stock";

const BACKORDERED: &str =
    "shipped although the units wait for stock: set the stock to what was there, then try again";

/// A fact that no history of the order can explain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {detail}")]
pub struct Impossible {
    /// The line.
    pub line: u32,
    /// What is wrong.
    pub detail: &'static str,
}

impl Reservation {
    /// Units were released, shipped or restocked. A step that comes before the one it builds on is
    /// kept and applied after it.
    ///
    /// # Errors
    /// [`Impossible`] where no sequence of facts could explain it.
    pub fn step(
        &mut self,
        step: Step,
        stock: &mut StockLevels,
    ) -> Result<Vec<InventoryFact>, Impossible> {
        let known = self.applied.contains(&step.fact_id)
            || self.waiting.iter().any(|waiting| waiting.fact_id == step.fact_id);
        let over = matches!(self.state, ReservationState::Rejected | ReservationState::Released);
        if known || (over && step.kind == StepKind::Release) {
            return Ok(Vec::new());
        }
        if over && matches!(step.kind, StepKind::Commit | StepKind::Reopen) {
            let line = step.lines.first().map_or(0, |units| units.line);
            return Err(Impossible { line, detail: "shipped, but nothing is held" });
        }
        self.waiting.push(step);
        if self.lines.is_empty() { Ok(Vec::new()) } else { self.catch_up(stock) }
    }

    /// Applies the waiting steps that are ready.
    pub(super) fn catch_up(
        &mut self,
        stock: &mut StockLevels,
    ) -> Result<Vec<InventoryFact>, Impossible> {
        let mut facts = Vec::new();
        loop {
            let mut ready = None;
            for (index, step) in self.waiting.iter().enumerate() {
                if self.is_ready(step, stock)? {
                    ready = Some(index);
                    break;
                }
            }
            let Some(index) = ready else { return Ok(facts) };
            let step = self.waiting.remove(index);
            facts.extend(self.apply(&step, stock));
            self.applied.insert(step.fact_id);
        }
    }

    /// Whether a step can be applied now. False where it builds on one that has not arrived.
    fn is_ready(&self, step: &Step, stock: &StockLevels) -> Result<bool, Impossible> {
        let mut ready = true;
        let mut again: BTreeMap<&Sku, i64> = BTreeMap::new();
        for units in &step.lines {
            let line = units.line;
            let held = self
                .lines
                .iter()
                .find(|held| held.line == line && held.sku == units.sku)
                .ok_or(Impossible { line, detail: "no such line was placed" })?;
            let quantity = units.quantity.get();
            match step.kind {
                StepKind::Release | StepKind::Commit
                    if quantity > held.open().saturating_add(held.withdrawn) =>
                {
                    return Err(Impossible { line, detail: "more units than are held" });
                }
                StepKind::Commit if quantity > held.allocated().saturating_add(held.withdrawn) => {
                    return Err(Impossible { line, detail: BACKORDERED });
                }
                StepKind::Restock => {
                    if quantity > held.quantity.saturating_sub(held.restocked) {
                        return Err(Impossible { line, detail: "more units than were ordered" });
                    }
                    ready &= quantity <= held.committed.saturating_sub(held.restocked);
                }
                StepKind::Reopen => {
                    ready &= quantity <= held.committed.saturating_sub(held.restocked);
                }
                StepKind::Commit if held.withdrawn > 0 => {
                    let again = again.entry(&units.sku).or_default();
                    *again += i64::from(quantity.min(held.withdrawn));
                    if *again > stock.level(&units.sku).available() {
                        return Err(Impossible { line, detail: WITHDRAWN });
                    }
                }
                StepKind::Release | StepKind::Commit => {}
            }
        }
        Ok(ready)
    }

    fn apply(&mut self, step: &Step, stock: &mut StockLevels) -> Vec<InventoryFact> {
        let (mut again, mut lines) = (Vec::new(), Vec::new());
        let named = step.location.as_ref();
        for units in &step.lines {
            let mut quantity = units.quantity.get();
            let Some(held) = self.lines.iter_mut().find(|held| held.line == units.line) else {
                continue;
            };
            let withdrawn = quantity.min(held.withdrawn);
            match step.kind {
                StepKind::Release => {
                    // Released when they were withdrawn.
                    held.withdrawn -= withdrawn;
                    quantity -= withdrawn;
                }
                StepKind::Commit if withdrawn > 0 => {
                    // Shipped before the order knew: reserved again, to be committed.
                    held.withdrawn -= withdrawn;
                    held.released -= withdrawn;
                    let elsewhere = held.hold(withdrawn, named, stock);
                    stock.reserve(&held.sku, i64::from(withdrawn));
                    again.extend(stock_lines(&units.sku, withdrawn, &elsewhere));
                }
                StepKind::Commit | StepKind::Restock | StepKind::Reopen => {}
            }
            let elsewhere = held.move_units(step.kind, quantity, named, stock);
            let moved = stock_lines(&units.sku, quantity, &elsewhere);
            if step.kind == StepKind::Reopen {
                again.extend(moved.iter().cloned());
            }
            lines.extend(moved);
        }
        let (order_id, reservation_id) = (self.order_id, self.reservation_id);
        let again = (!again.is_empty()).then_some(InventoryFact::Reserved {
            order_id,
            reservation_id,
            lines: again,
            backordered: Vec::new(),
        });
        let moved = (!lines.is_empty()).then_some(match step.kind {
            StepKind::Release => InventoryFact::Released { order_id, lines },
            StepKind::Commit => InventoryFact::Committed { order_id, lines },
            StepKind::Restock | StepKind::Reopen => InventoryFact::Restocked { order_id, lines },
        });
        // Units that come back are there before they are held.
        if step.kind == StepKind::Reopen {
            return moved.into_iter().chain(again).collect();
        }
        again.into_iter().chain(moved).collect()
    }
}

impl ReservedLine {
    /// Releases, ships, returns or opens units again; returns those elsewhere than at `main`.
    fn move_units(
        &mut self,
        kind: StepKind,
        quantity: u32,
        named: Option<&LocationName>,
        stock: &mut StockLevels,
    ) -> Elsewhere {
        let count = i64::from(quantity);
        match kind {
            StepKind::Release => {
                let on_hand = quantity.saturating_sub(self.backordered);
                let elsewhere = self.let_go(on_hand, stock);
                self.released += quantity;
                let waited = self.take_backordered(quantity);
                stock.backorder(&self.sku, -i64::from(waited));
                stock.reserve(&self.sku, -count);
                elsewhere
            }
            StepKind::Commit => {
                let elsewhere = self.ship(quantity, named, stock);
                self.committed += quantity;
                stock.commit(&self.sku, count);
                elsewhere
            }
            StepKind::Reopen => {
                let elsewhere = self.reopen(quantity, named, stock);
                self.committed -= quantity;
                stock.commit(&self.sku, -count);
                elsewhere
            }
            StepKind::Restock => {
                let elsewhere = self.come_back(quantity, named, stock);
                self.restocked += quantity;
                stock.restock(&self.sku, count);
                elsewhere
            }
        }
    }
}
