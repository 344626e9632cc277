//! Laws of backorders over random histories: no unit is promised beyond the limit, none lies free
//! while an order waits, and what comes goes to the order that was placed first.

use std::collections::BTreeMap;
use std::time::Duration;

use inventory_stream::domain::{
    AppliedEdit, AskedEdit, BackorderRule, Reservation, ReservationState, Step, StepKind,
    StockLevel, StockLevels,
};
use inventory_stream::store::{self, RequestDetails, StockRequest};
use proptest::prelude::*;
use shared_events::contract::{
    Disposition, EditId, Fact, FactId, LineUnits, OrderId, Origin, Quantity, Timestamp,
};
use shared_events::stream::Dialect;
use uuid::Uuid;

use crate::support::{Bench, Story, sku};

const LIMIT: i64 = 12;

#[derive(Clone, Debug)]
enum Happening {
    /// Units of one line, and seconds since the last order; the clocks of nodes may differ.
    Placed(u32, i64),
    /// Of the order with this index, the rest.
    Cancelled(usize),
    /// Of the order, so many units at most.
    LinesCancelled(usize, u32),
    Shipped(usize, u32),
    Restocked(usize, u32),
    /// An edit of the order asks for units of its line.
    EditAsked(usize, u32),
    /// It is applied, or refused.
    EditEnded(usize, bool),
    /// Units come, or are found to be missing.
    Adjusted(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1_u32..6, -2_i64..9).prop_map(|(units, after)| Happening::Placed(units, after)),
        1 => (0_usize..40).prop_map(Happening::Cancelled),
        2 => (0_usize..40, 1_u32..4).prop_map(|(n, units)| Happening::LinesCancelled(n, units)),
        4 => (0_usize..40, 1_u32..5).prop_map(|(n, units)| Happening::Shipped(n, units)),
        1 => (0_usize..40, 1_u32..3).prop_map(|(n, units)| Happening::Restocked(n, units)),
        3 => (0_usize..40, 1_u32..6).prop_map(|(n, units)| Happening::EditAsked(n, units)),
        3 => (0_usize..40, any::<bool>()).prop_map(|(n, ok)| Happening::EditEnded(n, ok)),
        4 => (-4_i64..8).prop_map(Happening::Adjusted),
    ]
}

fn of_line(units: u32) -> LineUnits {
    let quantity = Quantity::new(units).unwrap();
    LineUnits { line: 1, sku: sku("A"), quantity, title: String::new() }
}

/// The stock of a product and its orders, as the follower keeps them.
struct World {
    stock: StockLevels,
    orders: Vec<Reservation>,
    placed_at: i64,
    facts: u16,
}

impl World {
    fn new(on_hand: i64) -> Self {
        let backorder = BackorderRule { limit: LIMIT, until: None };
        let level = StockLevel { on_hand, backorder, ..StockLevel::default() };
        let stock = StockLevels::new(BTreeMap::from([(sku("A"), level)]));
        Self { stock, orders: Vec::new(), placed_at: 0, facts: 0 }
    }

    fn step(&mut self, order: usize, kind: StepKind, most: impl Fn(&Reservation) -> u32) {
        self.facts += 1;
        let fact_id = FactId::at(Origin::Orders, 0, u64::from(self.facts), 0);
        let count = self.orders.len().max(1);
        let Some(reservation) = self.orders.get_mut(order % count) else { return };
        // Orders refuse these while an edit waits.
        if reservation.edit.is_some() && matches!(kind, StepKind::Release | StepKind::Commit) {
            return;
        }
        let Ok(quantity) = Quantity::new(most(reservation)) else { return };
        let lines = vec![LineUnits { line: 1, sku: sku("A"), quantity, title: String::new() }];
        reservation.step(Step { fact_id, kind, lines, location: None }, &mut self.stock).unwrap();
    }

    fn apply(&mut self, happening: &Happening) {
        match *happening {
            Happening::Placed(units, after) => {
                self.placed_at = (self.placed_at + after).max(0);
                let placed_at = Duration::from_secs(self.placed_at.unsigned_abs());
                let order_id = Uuid::from_u128(u128::try_from(self.orders.len()).unwrap());
                let mut order = Reservation::new(OrderId::from_uuid(order_id));
                order.placed_at = Some(Timestamp::default().plus(placed_at));
                let lines = [(1, sku("A"), Quantity::new(units).unwrap())];
                order.placed(&lines, &mut self.stock).unwrap();
                self.orders.push(order);
            }
            Happening::Cancelled(order) => {
                let count = self.orders.len().max(1);
                if let Some(order) = self.orders.get_mut(order % count)
                    && !order.has_shipped()
                {
                    order.cancelled(&mut self.stock);
                }
            }
            Happening::LinesCancelled(order, units) => self.step(order, StepKind::Release, |one| {
                let open = if one.is_holding() { one.lines[0].open() } else { 0 };
                units.min(open)
            }),
            Happening::Shipped(order, units) => self.step(order, StepKind::Commit, |one| {
                let there = if one.is_holding() { one.lines[0].allocated() } else { 0 };
                units.min(there)
            }),
            Happening::Restocked(order, units) => self.step(order, StepKind::Restock, |one| {
                units.min(one.lines[0].committed - one.lines[0].restocked)
            }),
            Happening::EditAsked(order, units) => {
                self.edit(order, |one, fact_id, edit_id, stock| {
                    let lines = [of_line(units)];
                    let asked_at = Timestamp::default();
                    if one.edit.is_none() && !one.has_shipped() {
                        one.edit_requested(
                            fact_id,
                            AskedEdit { edit_id, lines: &lines, asked_at },
                            stock,
                        );
                    }
                })
            }
            Happening::EditEnded(order, applied) => self.edit(order, |one, fact_id, _, stock| {
                let Some(edit) = one.edit.clone() else { return };
                if applied {
                    let added = [of_line(edit.lines[0].quantity)];
                    let edit = AppliedEdit {
                        edit_id: edit.edit_id,
                        added: &added,
                        cancelled: &[],
                        backordered: &[],
                    };
                    one.edited(fact_id, edit, stock).unwrap();
                } else {
                    one.edit_refused(fact_id, edit.edit_id, stock).unwrap();
                }
            }),
            Happening::Adjusted(units) => {
                let level = self.stock.level(&sku("A"));
                let units = units.max(-level.free());
                let level = StockLevel { on_hand: level.on_hand + units, ..level };
                self.stock = StockLevels::new(BTreeMap::from([(sku("A"), level)]));
            }
        }
    }

    fn edit(
        &mut self,
        order: usize,
        change: impl FnOnce(&mut Reservation, FactId, EditId, &mut StockLevels),
    ) {
        self.facts += 1;
        let fact_id = FactId::at(Origin::Orders, 0, u64::from(self.facts), 0);
        let edit_id = EditId::from_uuid(Uuid::from_u128(u128::from(self.facts)));
        let count = self.orders.len().max(1);
        if let Some(order) = self.orders.get_mut(order % count) {
            change(order, fact_id, edit_id, &mut self.stock);
        }
    }

    /// Which orders got units, by the order of placing.
    fn allocate(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.orders.len()).collect();
        order.sort_by_key(|index| (self.orders[*index].placed_at, self.orders[*index].order_id));
        let mut got = Vec::new();
        for index in order {
            let (lines, _) = self.orders[index].allocate(&sku("A"), &mut self.stock);
            if !lines.is_empty() {
                got.push(index);
            }
        }
        got
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let level = self.stock.level(&sku("A"));
        let sum = |units: fn(&Reservation) -> i64| self.orders.iter().map(units).sum::<i64>();
        prop_assert_eq!(level.reserved, sum(|one| one.held_of(&sku("A"))));
        let of_edits = sum(|one| one.edit.as_ref().map_or(0, |edit| edit.waits_for(&sku("A"))));
        let of_orders = sum(|one| one.waits_for(&sku("A")));
        prop_assert_eq!(level.backordered, of_orders + of_edits);
        prop_assert!(level.held() <= level.on_hand && level.held() >= 0, "{:?}", level);
        prop_assert!((0..=LIMIT).contains(&level.backordered), "{:?}", level);
        prop_assert!(level.reserved <= level.on_hand + LIMIT, "{:?}", level);
        prop_assert!(of_orders == 0 || level.free() <= 0, "units are free while orders wait");
        let held = sum(|one| one.allocated_of(&sku("A")));
        prop_assert_eq!(level.held(), held);
        Ok(())
    }
}

proptest! {
    #[test]
    fn promises_stay_within_the_limit_and_are_kept_in_the_order_of_placing(
        on_hand in 0_i64..8,
        happenings in prop::collection::vec(happening(), 1..80),
    ) {
        let mut world = World::new(on_hand);
        for happening in &happenings {
            let ordered = world.orders.len();
            world.apply(happening);
            let got = world.allocate();
            world.check()?;
            // Nobody who was placed before the last that got something waits still.
            if let Some(last) = got.last().map(|index| &world.orders[*index]) {
                let before = world.orders.iter().filter(|one| {
                    (one.placed_at, one.order_id) < (last.placed_at, last.order_id)
                });
                for one in before {
                    prop_assert_eq!(one.waits_for(&sku("A")), 0);
                }
            }
            // A new order gets nothing on hand that another waits for.
            if let Some(new) = world.orders.get(ordered)
                && new.state == ReservationState::Reserved
                && new.allocated_of(&sku("A")) > 0
            {
                prop_assert!(world.orders[..ordered].iter().all(|one| one.waits_for(&sku("A")) == 0));
            }
        }
        for order in 0..world.orders.len() {
            world.apply(&Happening::EditEnded(order, true));
        }
        world.allocate();
        world.check()?;
        // What stays promised comes once there is enough.
        let short = world.stock.level(&sku("A")).backordered;
        world.apply(&Happening::Adjusted(short));
        world.allocate();
        prop_assert_eq!(world.stock.level(&sku("A")).backordered, 0);
    }

    /// A history that is read twice, or undone, leaves what was there before.
    #[test]
    fn an_undone_reservation_leaves_the_stock_of_before(
        on_hand in 0_i64..8, units in 1_u32..12, cancelled in 0_u32..6, came in 0_i64..6,
    ) {
        let mut world = World::new(on_hand);
        world.apply(&Happening::Placed(units, 0));
        world.apply(&Happening::Adjusted(came));
        world.allocate();
        world.apply(&Happening::LinesCancelled(0, cancelled));
        world.apply(&Happening::Shipped(0, 2));
        world.apply(&Happening::Restocked(0, 1));
        world.orders[0].undo(&mut world.stock);
        let level = world.stock.level(&sku("A"));
        prop_assert_eq!((level.on_hand, level.reserved, level.backordered), (on_hand + came, 0, 0));
    }
}

/// The same through the real store, by its tables.
async fn random_histories_keep_the_sums(dialect: Dialect, seed: u64) {
    let mut bench = Bench::on(dialect).await;
    let mut tx = bench.database.begin().await.unwrap();
    let rule = BackorderRule { limit: LIMIT, until: None };
    let (details, now) = (RequestDetails::default(), Timestamp::default());
    store::set_backorder(&bench.database, &mut tx, &sku("A"), rule, details, now).await.unwrap();
    tx.commit().await.unwrap();
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    let mut stories: Vec<Story> = Vec::new();
    for _ in 0..60 {
        let mut facts: Vec<Fact> = Vec::new();
        for _ in 0..=random(3) {
            let count = u64::try_from(stories.len()).unwrap();
            if count == 0 || random(2) == 0 {
                let mut story = Story::new();
                let units = u32::try_from(1 + random(5)).unwrap();
                facts.push(story.placed(&[("A", units)]));
                stories.push(story);
                continue;
            }
            let story = &mut stories[usize::try_from(random(count)).unwrap()];
            let found = store::get_reservation(&bench.database, story.order_id).await.unwrap();
            // Facts of one order in one batch would need what the batch has not written.
            let Some(found) = found.filter(Reservation::is_holding) else { continue };
            if facts.iter().any(|fact| fact.body.order_id() == Some(story.order_id)) {
                continue;
            }
            let line = &found.lines[0];
            match random(4) {
                0 => facts.push(story.lines_cancelled(&[(1, "A", 1)])),
                1 if !found.has_shipped() => facts.push(story.cancelled()),
                2 if line.committed > line.restocked => {
                    facts.push(story.returned(&[(1, "A", 1)], Disposition::Restock));
                }
                _ if line.allocated() > 0 => facts.push(story.shipped(&[(1, "A", 1)])),
                _ => {}
            }
        }
        bench.follow(&facts).await.unwrap();
        if random(2) == 0 {
            come(&bench, i64::try_from(random(6)).unwrap()).await;
        }
        let level = store::get(&bench.database, &sku("A")).await.unwrap().unwrap().level;
        assert!(level.held() <= level.on_hand && level.backordered <= LIMIT, "{level:?}");
        assert!(!level.is_allocatable(), "{level:?}");
        bench.sums_hold().await;
    }
}

/// Units come, and go to the orders that wait.
async fn come(bench: &Bench, delta: i64) {
    let mut tx = bench.database.begin().await.unwrap();
    store::exclude_followers(&bench.database, &mut tx).await.unwrap();
    let (asked, now) = (StockRequest::Adjust { delta, expected: None }, Timestamp::default());
    let details = RequestDetails::default();
    store::move_stock(&bench.database, &mut tx, &sku("A"), &asked, details, now).await.unwrap();
    let outbox = bench.inventory.facts();
    let skus = [sku("A")].into();
    store::allocate_products(&bench.database, &outbox, &mut tx, &skus, None, now).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn random_histories_keep_the_sums_on_sqlite() {
    for seed in 1..6 {
        random_histories_keep_the_sums(Dialect::Sqlite, seed * 7_919).await;
    }
}

#[tokio::test]
async fn random_histories_keep_the_sums_on_postgres() {
    for seed in 1..3 {
        random_histories_keep_the_sums(Dialect::Postgres, seed * 104_729).await;
    }
}
