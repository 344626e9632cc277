use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use shared_events::contract::{
    Disposition, Fact, FactBody, FactId, InventoryFact, LineUnits, LocationName, OrderFact,
    OrderId, Origin, ReturnedUnits, Sku, Timestamp,
};
use shared_events::metric::table::RESERVATIONS;
use shared_events::stream::{Blame, Cursors, Database, Handler, NewFact, Outbox, Tx};

use crate::domain::{
    AppliedEdit, AskedEdit, FactRange, Impossible, Reservation, ReservationState, Step, StepKind,
    StockLevels,
};
use crate::movements::{self, Cause};
use crate::store;

/// The reason of units that are added because orders hold them.
const HELD: &str = "history set back: these units are held for orders";

/// Reservations read in one query when the log was set back.
const PAGE: u32 = 1_000;

/// Follows order facts. A batch of many orders reads each row once, decides in memory and writes
/// each row once, so that a popular product costs one update per batch.
pub struct StockFollower {
    database: Database,
    outbox: Outbox,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The answers of the batch that is not committed yet, by their kind.
    answered: Vec<&'static str>,
}

impl StockFollower {
    pub(crate) const fn new(
        database: Database,
        outbox: Outbox,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self { database, outbox, now, answered: Vec::new() }
    }
}

#[async_trait]
impl Handler<Fact> for StockFollower {
    async fn handle(&mut self, tx: &mut Tx, facts: &[Fact]) -> Result<(), Blame> {
        self.answered.clear();
        let orders: BTreeSet<OrderId> = facts.iter().filter_map(moves_stock_of).collect();
        if orders.is_empty() {
            return Ok(());
        }
        let mut reservations = store::reservations(&self.database, tx, &orders).await?;
        let skus = skus(facts, &reservations);
        let named = facts.iter().any(|fact| location_of(fact).is_some());
        let mut stock = store::lock(&self.database, tx, &skus, named).await?;
        let mut touched = BTreeSet::new();
        let mut answers = Vec::new();
        for (index, fact) in facts.iter().enumerate() {
            let Some(order_id) = moves_stock_of(fact) else { continue };
            let reservation =
                reservations.entry(order_id).or_insert_with(|| Reservation::new(order_id));
            reservation.record_fact(fact.shard, fact.position);
            let answered = apply(reservation, fact, &mut stock)
                .map_err(|error| Blame::item(index, error.to_string()))?;
            if answered.len() > usize::from(FactId::CAUSED_MAX) {
                return Err(Blame::item(index, "leads to more facts than have ids"));
            }
            touched.insert(order_id);
            answers.extend((0..).zip(answered).map(|(nth, answer)| answer_to(fact, nth, answer)));
        }
        let changed = reservations.values().filter(|one| touched.contains(&one.order_id));
        store::write_reservations(&self.database, tx, changed).await?;
        let now = (self.now)();
        answers.extend(store::allocate(&self.database, tx, &mut stock, None, now).await?);
        self.answered.extend(answers.iter().map(|answer| answer.body.kind()));
        let published = self.outbox.write(tx, answers, now).await?;
        let (cause, moved) = (Cause::Orders, movements::by_product(&published));
        store::apply(&self.database, tx, cause, &stock, &moved, now).await?;
        Ok(())
    }

    fn committed(&mut self) {
        self.outbox.committed();
        self.answered.drain(..).for_each(|kind| RESERVATIONS.one([kind]));
    }

    /// Reverts and forgets the reservations of all orders with a fact after `to`. Their facts are
    /// read again as far as the log still holds them, from the earliest one on; for all other
    /// orders, facts that are read again do nothing.
    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        // What is reverted here is not published.
        store::void_generation(tx).await?;
        let mut begins: BTreeMap<u16, u64> = from.iter().map(|(s, _)| (s, to.get(s))).collect();
        let mut after = String::new();
        loop {
            let page = store::list_reservations(&self.database, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.order_id.to_string();
            let (mut stay, mut gone) = (Vec::new(), Vec::new());
            for mut reservation in page {
                let Some(FactRange { shard, first, last }) = reservation.fact_range else {
                    continue;
                };
                let Some(begin) = begins.get_mut(&shard).filter(|_| last > to.get(shard)) else {
                    continue;
                };
                if reservation.state == ReservationState::Rejected && first <= to.get(shard) {
                    // Nothing is held, and an earlier decision stands.
                    reservation.fact_range = Some(FactRange { shard, first, last: to.get(shard) });
                    stay.push(reservation);
                    continue;
                }
                *begin = (*begin).min(first.saturating_sub(1));
                gone.push(reservation);
            }
            store::write_reservations(&self.database, tx, stay.iter()).await?;
            self.undo(tx, &gone).await?;
        }
        let mut begin = Cursors::default();
        for (shard, position) in begins {
            let same = position == to.get(shard);
            begin.advance_to(shard, position, to.mark(shard).filter(|_| same));
        }
        Ok(begin)
    }
}

impl StockFollower {
    /// Reverts everything that these reservations moved. Units restocked by a return that the log no
    /// longer holds are in the warehouse all the same: those that other orders hold by now are kept,
    /// as a movement.
    async fn undo(&self, tx: &mut Tx, gone: &[Reservation]) -> Result<(), Blame> {
        let skus: BTreeSet<Sku> = gone.iter().flat_map(Reservation::skus).cloned().collect();
        let mut stock = store::lock(&self.database, tx, &skus, false).await?;
        for reservation in gone {
            reservation.undo(&mut stock);
        }
        for sku in &skus {
            let elsewhere = stock.elsewhere(sku).into_keys();
            for location in std::iter::once(LocationName::main()).chain(elsewhere) {
                let (place, now) = (stock.place(sku, &location), (self.now)());
                if place.free() < 0 {
                    let (at, units) = ((sku, &location), -place.free());
                    store::add_unaccounted(tx, at, units, HELD, now).await?;
                }
            }
        }
        let (cause, now) = (Cause::SetBack, (self.now)());
        store::apply(&self.database, tx, cause, &stock, &BTreeMap::new(), now).await?;
        store::forget_reservations(&self.database, tx, gone).await?;
        Ok(())
    }
}

/// The fact that stock publishes because of `fact`; the `nth` of them.
fn answer_to(fact: &Fact, nth: u16, answer: InventoryFact) -> NewFact {
    let id = FactId::caused_by(Origin::Inventory, fact.id, answer.kind(), nth);
    NewFact::caused_by(fact, id, FactBody::Inventory(answer))
}

/// The location that a fact names.
const fn location_of(fact: &Fact) -> Option<&LocationName> {
    match &fact.body {
        FactBody::Order(
            OrderFact::LinesFulfilled { location, .. }
            | OrderFact::Fulfilled { location, .. }
            | OrderFact::Returned { location, .. }
            | OrderFact::ShipmentUndone { location, .. }
            | OrderFact::ShipmentFound { location, .. },
        ) => location.as_ref(),
        _ => None,
    }
}

/// The order whose stock a fact moves, if it moves any.
fn moves_stock_of(fact: &Fact) -> Option<OrderId> {
    fact.body.order_id().filter(|_| matters(&fact.body))
}

/// Which facts move stock.
const fn matters(body: &FactBody) -> bool {
    match body {
        FactBody::Order(fact) => match fact {
            OrderFact::Created { .. }
            | OrderFact::LinesCancelled { .. }
            | OrderFact::Cancelled { .. }
            | OrderFact::LinesFulfilled { .. }
            | OrderFact::Fulfilled { .. }
            | OrderFact::Returned { .. }
            | OrderFact::ShipmentUndone { .. }
            | OrderFact::ShipmentFound { .. }
            | OrderFact::EditRequested { .. }
            | OrderFact::Edited { .. }
            | OrderFact::EditRefused { .. } => true,
            OrderFact::Confirmed { .. }
            | OrderFact::LinesAllocated { .. }
            | OrderFact::ReturnRequested { .. }
            | OrderFact::ReturnApproved { .. }
            | OrderFact::ReturnOverdue { .. }
            | OrderFact::ReturnRejected { .. }
            | OrderFact::RefundRequested { .. }
            | OrderFact::Held { .. }
            | OrderFact::HoldReleased { .. }
            | OrderFact::Corrected { .. }
            | OrderFact::ShipmentCorrected { .. }
            | OrderFact::Delivered { .. }
            | OrderFact::PaymentRequested { .. }
            | OrderFact::PaymentLost { .. }
            | OrderFact::PaymentSecured { .. }
            | OrderFact::RefundSettled { .. }
            | OrderFact::RefundFailed { .. }
            | OrderFact::Compensated { .. } => false,
        },
        FactBody::Inventory(_)
        | FactBody::Notification(_)
        | FactBody::Payment(_)
        | FactBody::Payout(_) => false,
    }
}

/// Every product that the batch may touch: placed now, or held before.
fn skus(facts: &[Fact], reservations: &BTreeMap<OrderId, Reservation>) -> BTreeSet<Sku> {
    let mut skus: BTreeSet<Sku> =
        reservations.values().flat_map(Reservation::skus).cloned().collect();
    for fact in facts {
        match &fact.body {
            FactBody::Order(OrderFact::Created { lines, .. }) => {
                skus.extend(lines.iter().map(|line| line.sku.clone()));
            }
            FactBody::Order(OrderFact::EditRequested { lines, .. }) => {
                skus.extend(lines.iter().map(|units| units.sku.clone()));
            }
            FactBody::Order(OrderFact::Edited { raised, added, .. }) => {
                skus.extend(raised.iter().map(|units| units.sku.clone()));
                skus.extend(added.iter().map(|line| line.sku.clone()));
            }
            _ => {}
        }
    }
    skus
}

fn apply(
    reservation: &mut Reservation,
    fact: &Fact,
    stock: &mut StockLevels,
) -> Result<Vec<InventoryFact>, Impossible> {
    let FactBody::Order(order) = &fact.body else { return Ok(Vec::new()) };
    let (kind, lines) = match order {
        OrderFact::Created { lines, placed_at, .. } => {
            reservation.placed_at.get_or_insert(*placed_at);
            let lines: Vec<_> =
                lines.iter().map(|line| (line.line, line.sku.clone(), line.quantity)).collect();
            return reservation.placed(&lines, stock);
        }
        OrderFact::Cancelled { .. } => return Ok(reservation.cancelled(stock)),
        OrderFact::EditRequested { .. }
        | OrderFact::Edited { .. }
        | OrderFact::EditRefused { .. } => return edit(reservation, (fact, order), stock),
        OrderFact::LinesCancelled { lines, .. } => (StepKind::Release, lines.clone()),
        OrderFact::LinesFulfilled { lines, .. } | OrderFact::Fulfilled { lines, .. } => {
            (StepKind::Commit, lines.clone())
        }
        OrderFact::ShipmentUndone { lines, open_again: true, .. } => {
            (StepKind::Reopen, lines.iter().map(came_back).collect())
        }
        OrderFact::Returned { lines, .. }
        | OrderFact::ShipmentUndone { lines, .. }
        | OrderFact::ShipmentFound { lines, .. } => {
            let restocked = lines
                .iter()
                .filter(|units| units.disposition == Disposition::Restock)
                .map(came_back)
                .collect();
            (StepKind::Restock, restocked)
        }
        OrderFact::Confirmed { .. }
        | OrderFact::LinesAllocated { .. }
        | OrderFact::ReturnRequested { .. }
        | OrderFact::ReturnApproved { .. }
        | OrderFact::ReturnOverdue { .. }
        | OrderFact::ReturnRejected { .. }
        | OrderFact::RefundRequested { .. }
        | OrderFact::Held { .. }
        | OrderFact::HoldReleased { .. }
        | OrderFact::Corrected { .. }
        | OrderFact::ShipmentCorrected { .. }
        | OrderFact::Delivered { .. }
        | OrderFact::PaymentRequested { .. }
        | OrderFact::PaymentLost { .. }
        | OrderFact::PaymentSecured { .. }
        | OrderFact::RefundSettled { .. }
        | OrderFact::RefundFailed { .. }
        | OrderFact::Compensated { .. } => return Ok(Vec::new()),
    };
    let location = location_of(fact).cloned();
    reservation.step(Step { fact_id: fact.id, kind, lines, location }, stock)
}

fn came_back(units: &ReturnedUnits) -> LineUnits {
    let ReturnedUnits { line, sku, quantity, .. } = units;
    LineUnits { line: *line, sku: sku.clone(), quantity: *quantity, title: String::new() }
}

/// Applies a fact about an edit.
fn edit(
    reservation: &mut Reservation,
    (envelope, fact): (&Fact, &OrderFact),
    stock: &mut StockLevels,
) -> Result<Vec<InventoryFact>, Impossible> {
    let fact_id = envelope.id;
    match fact {
        OrderFact::EditRequested { edit_id, lines, .. } => {
            let edit = AskedEdit { edit_id: *edit_id, lines, asked_at: envelope.time };
            let answer = reservation.edit_requested(fact_id, edit, stock);
            Ok(answer.into_iter().collect())
        }
        OrderFact::Edited { edit_id, raised, added, cancelled, backordered, .. } => {
            let new = added.iter().map(|line| LineUnits {
                line: line.line,
                sku: line.sku.clone(),
                quantity: line.quantity,
                title: String::new(),
            });
            let added: Vec<LineUnits> = raised.iter().cloned().chain(new).collect();
            let edit = AppliedEdit { edit_id: *edit_id, added: &added, cancelled, backordered };
            reservation.edited(fact_id, edit, stock)
        }
        OrderFact::EditRefused { edit_id, .. } => {
            Ok(reservation.edit_refused(fact_id, *edit_id, stock).into_iter().collect())
        }
        _ => Ok(Vec::new()),
    }
}
