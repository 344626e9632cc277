use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared_events::contract::{
    FactId, InventoryFact, LocationName, OrderId, Quantity, ReservationId, Sku, Timestamp,
};

use super::parts::stock_lines;
use super::{EditReservation, Impossible, LinePart, Step, StepKind, StockLevels};

/// The state of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReservationState {
    /// Facts about the order arrived, but not yet its placing.
    Waiting,
    /// Its units are held, or were and have been shipped or released since.
    Reserved,
    /// Not all units were available, so none is held.
    Rejected,
    /// The order was cancelled. Also a tombstone: a placing that comes later holds nothing.
    Released,
}

impl ReservationState {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Reserved => "RESERVED",
            Self::Rejected => "REJECTED",
            Self::Released => "RELEASED",
        }
    }
}

/// A line of a reservation, and what became of its units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedLine {
    /// 1-based number of the order's line.
    pub line: u32,
    /// The product.
    pub sku: Sku,
    /// Units ordered.
    pub quantity: u32,
    /// Units released: cancelled by the order, or withdrawn.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub released: u32,
    /// Units of those that were withdrawn and that the order has neither cancelled nor shipped since.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub withdrawn: u32,
    /// Open units that are not on hand: they wait for stock.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub backordered: u32,
    /// Units shipped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub committed: u32,
    /// Units returned to stock.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restocked: u32,
    /// Of the units held on hand, shipped and returned: those elsewhere than at `main`, by
    /// location.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<LocationName, LinePart>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_zero(units: &u32) -> bool {
    *units == 0
}

impl ReservedLine {
    /// Units neither released nor shipped.
    #[must_use]
    pub const fn open(&self) -> u32 {
        self.quantity.saturating_sub(self.released).saturating_sub(self.committed)
    }
}

/// The positions of an order's facts in the log of orders, as far as they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactRange {
    /// The shard.
    pub shard: u16,
    /// The first position.
    pub first: u64,
    /// The last position.
    pub last: u64,
}

/// What is held for one order. It remembers the facts it has applied and keeps those that came too
/// early, so that the order in which they arrive does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The order.
    pub order_id: OrderId,
    /// The id that the order knows it by; derived from the order's, so that it is always the same.
    pub reservation_id: ReservationId,
    /// Its state.
    pub state: ReservationState,
    /// When the order was placed; none before that, and for orders older than this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<Timestamp>,
    /// Its lines; none before the placing.
    pub lines: Vec<ReservedLine>,
    /// The products that were short, where it was rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Sku>,
    /// Whether units were backordered when it was made: the database then knows for what it waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_backordered: bool,
    /// What is held for an edit of the order that has not been applied yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<EditReservation>,
    /// Facts that were applied.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub applied: BTreeSet<FactId>,
    /// Facts that wait for an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Step>,
    /// Where its facts are in the log; none for orders older than this record.
    #[serde(rename = "seen", default, skip_serializing_if = "Option::is_none")]
    pub fact_range: Option<FactRange>,
}

impl Reservation {
    /// Of an order without facts yet.
    #[must_use]
    pub fn new(order_id: OrderId) -> Self {
        let reservation_id = uuid::Uuid::new_v5(&order_id.uuid(), b"reservation");
        Self {
            order_id,
            reservation_id: ReservationId::from_uuid(reservation_id),
            state: ReservationState::Waiting,
            placed_at: None,
            lines: Vec::new(),
            missing: Vec::new(),
            was_backordered: false,
            edit: None,
            applied: BTreeSet::new(),
            waiting: Vec::new(),
            fact_range: None,
        }
    }

    /// Records the position of a fact. An order that had facts before positions were recorded has no
    /// known first one, so none is recorded.
    pub fn record_fact(&mut self, shard: u16, position: u64) {
        let new = self.state == ReservationState::Waiting
            && self.applied.is_empty()
            && self.lines.is_empty();
        match &mut self.fact_range {
            Some(range) => {
                range.first = range.first.min(position);
                range.last = range.last.max(position);
            }
            None if new => {
                self.fact_range = Some(FactRange { shard, first: position, last: position })
            }
            None => {}
        }
    }

    /// Whether it holds any units.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.state == ReservationState::Reserved && self.lines.iter().any(|line| line.open() > 0)
    }

    /// Units that it holds of a product.
    #[must_use]
    pub fn held_of(&self, sku: &Sku) -> i64 {
        if self.state != ReservationState::Reserved {
            return 0;
        }
        let lines = self.lines.iter().filter(|line| line.sku == *sku);
        let of_lines: i64 = lines.map(|line| i64::from(line.open())).sum();
        of_lines + self.edit.as_ref().map_or(0, |edit| edit.units_of(sku))
    }

    /// Whether any of its units were shipped.
    #[must_use]
    pub fn has_shipped(&self) -> bool {
        self.lines.iter().any(|line| line.committed > 0)
    }

    /// Reverts everything that it moved.
    pub fn undo(&self, stock: &mut StockLevels) {
        for held in &self.lines {
            held.undo_parts(stock);
            if self.state == ReservationState::Reserved {
                stock.reserve(&held.sku, -i64::from(held.open()));
                stock.backorder(&held.sku, -i64::from(held.backordered));
            }
            stock.commit(&held.sku, -i64::from(held.committed));
            // Committing also released the hold; reverting it must not reserve again.
            stock.reserve(&held.sku, -i64::from(held.committed));
            stock.restock(&held.sku, -i64::from(held.restocked));
        }
        if let Some(edit) = &self.edit {
            edit.undo(stock);
        }
    }

    /// The order was placed: holds all units, or none where a product is short. Units that are not on
    /// hand may be backordered ([`BackorderRule`](super::BackorderRule)).
    ///
    /// # Errors
    /// [`Impossible`] where a fact that waited for the placing does not fit these lines.
    pub fn placed(
        &mut self,
        lines: &[(u32, Sku, Quantity)],
        stock: &mut StockLevels,
    ) -> Result<Vec<InventoryFact>, Impossible> {
        if !self.lines.is_empty() {
            return Ok(Vec::new());
        }
        self.lines = lines
            .iter()
            .map(|(line, sku, quantity)| ReservedLine::new(*line, sku, *quantity))
            .collect();
        if self.state == ReservationState::Released {
            if let Some(step) = self.waiting.iter().find(|step| step.kind != StepKind::Release) {
                let line = step.lines.first().map_or(0, |units| units.line);
                return Err(Impossible { line, detail: "shipped, but nothing is held" });
            }
            self.waiting.clear();
            for held in &mut self.lines {
                held.released = held.quantity;
            }
            return Ok(Vec::new());
        }
        let missing = self.missing(stock);
        if !missing.is_empty() {
            self.state = ReservationState::Rejected;
            self.missing.clone_from(&missing);
            self.waiting.clear();
            let (order_id, reservation_id) = (self.order_id, None);
            return Ok(vec![InventoryFact::Rejected { order_id, skus: missing, reservation_id }]);
        }
        self.state = ReservationState::Reserved;
        let mut facts = vec![self.reserve_all(stock)];
        facts.extend(self.catch_up(stock)?);
        Ok(facts)
    }

    /// Products of which fewer units may be promised than all lines together need.
    fn missing(&self, stock: &StockLevels) -> Vec<Sku> {
        let mut needed: BTreeMap<&Sku, i64> = BTreeMap::new();
        for held in &self.lines {
            *needed.entry(&held.sku).or_default() += i64::from(held.quantity);
        }
        needed
            .into_iter()
            .filter(|(sku, units)| stock.level(sku).promisable(self.placed_at) < *units)
            .map(|(sku, _)| sku.clone())
            .collect()
    }

    /// The order was cancelled: releases what is held, or leaves a tombstone.
    pub fn cancelled(&mut self, stock: &mut StockLevels) -> Vec<InventoryFact> {
        match self.state {
            ReservationState::Released => Vec::new(),
            ReservationState::Waiting => {
                self.state = ReservationState::Released;
                Vec::new()
            }
            // Nothing was held: the rejection caused the cancellation.
            ReservationState::Rejected => Vec::new(),
            ReservationState::Reserved => {
                self.state = ReservationState::Released;
                let freed = self.release_all(stock);
                for held in &mut self.lines {
                    held.withdrawn = 0;
                }
                freed.into_iter().collect()
            }
        }
    }

    /// Releases all units held.
    pub(super) fn release_all(&mut self, stock: &mut StockLevels) -> Option<InventoryFact> {
        let mut lines = Vec::new();
        for held in &mut self.lines {
            let open = held.open();
            if open > 0 {
                let elsewhere = held.let_go(held.allocated(), stock);
                stock.reserve(&held.sku, -i64::from(open));
                let waited = held.take_backordered(open);
                stock.backorder(&held.sku, -i64::from(waited));
                held.released += open;
                lines.extend(stock_lines(&held.sku, open, &elsewhere));
            }
        }
        if let Some(edit) = self.edit.take() {
            lines.extend(edit.free(stock));
        }
        (!lines.is_empty()).then_some(InventoryFact::Released { order_id: self.order_id, lines })
    }
}
