//! Laws of locations over random histories: no unit is anywhere twice, and every sum is that of its
//! parts, at every location and together.

use std::collections::BTreeMap;

use inventory_stream::domain::{
    AppliedEdit, AskedEdit, BackorderRule, PlaceLevel, Places, Reservation, ReservationState, Step,
    StepKind, StockLevel, StockLevels,
};
use inventory_stream::store::{self, RequestDetails, StockRequest};
use proptest::prelude::*;
use shared_events::contract::{
    Disposition, EditId, Fact, FactId, InventoryFact, LineUnits, LocationName, OrderId, Origin,
    Quantity, Timestamp,
};
use shared_events::stream::Dialect;
use uuid::Uuid;

use crate::support::{Bench, Story, sku};

const SKUS: [&str; 2] = ["A", "B"];
const NAMES: [&str; 4] = ["main", "north", "south", "nowhere"];

fn location(name: &str) -> LocationName {
    name.parse().unwrap()
}

#[derive(Clone, Debug)]
enum Happening {
    /// Units of each product.
    Placed([u32; 2]),
    Cancelled(usize),
    /// Of the order and the line with these indexes, at most so many units.
    LinesCancelled(usize, usize, u32),
    /// The same, from the location of this index or none.
    Shipped(usize, usize, u32, Option<usize>),
    Restocked(usize, usize, u32, Option<usize>),
    /// Units that came back are open again.
    Reopened(usize, usize, u32, Option<usize>),
    /// An edit of an order asks for units of each product, and is applied or refused.
    Edited(usize, [u32; 2], bool),
    /// An edit was applied whose units are not held, as after a set-back.
    Taken(usize, [u32; 2]),
}

fn happening() -> impl Strategy<Value = Happening> {
    let named = || prop::option::of(0..NAMES.len());
    prop_oneof![
        4 => [0_u32..6, 0_u32..6].prop_map(Happening::Placed),
        1 => (0_usize..9).prop_map(Happening::Cancelled),
        2 => (0_usize..9, 0_usize..2, 1_u32..4)
            .prop_map(|(n, line, units)| Happening::LinesCancelled(n, line, units)),
        4 => (0_usize..9, 0_usize..2, 1_u32..5, named())
            .prop_map(|(n, line, units, at)| Happening::Shipped(n, line, units, at)),
        2 => (0_usize..9, 0_usize..2, 1_u32..3, named())
            .prop_map(|(n, line, units, at)| Happening::Restocked(n, line, units, at)),
        2 => (0_usize..9, 0_usize..2, 1_u32..3, named())
            .prop_map(|(n, line, units, at)| Happening::Reopened(n, line, units, at)),
        3 => (0_usize..9, [0_u32..4, 0_u32..4], any::<bool>())
            .prop_map(|(n, units, applied)| Happening::Edited(n, units, applied)),
        1 => (0_usize..9, [0_u32..4, 0_u32..4])
            .prop_map(|(n, units)| Happening::Taken(n, units)),
    ]
}

struct World {
    stock: StockLevels,
    orders: Vec<Reservation>,
    facts: u64,
}

impl World {
    /// With so many units of each product at main, north and south.
    fn new(units: [[i64; 3]; 2]) -> Self {
        let names = ["south", "main", "north"].map(location);
        let (mut levels, mut elsewhere) = (BTreeMap::new(), BTreeMap::new());
        for (name, [main, north, south]) in SKUS.iter().zip(units) {
            let backorder = BackorderRule { limit: 3, until: None };
            let on_hand = main + north + south;
            levels.insert(sku(name), StockLevel { on_hand, backorder, ..StockLevel::default() });
            let place = |on_hand| PlaceLevel { on_hand, held: 0 };
            let places = [(location("north"), place(north)), (location("south"), place(south))];
            elsewhere.insert(sku(name), BTreeMap::from(places));
        }
        let stock = StockLevels::new(levels).at(Places::new(names.to_vec(), elsewhere));
        Self { stock, orders: Vec::new(), facts: 0 }
    }

    fn step(
        &mut self,
        (order, line, most): (usize, usize, u32),
        kind: StepKind,
        at: Option<usize>,
    ) {
        self.facts += 1;
        let count = self.orders.len().max(1);
        let Some(reservation) = self.orders.get_mut(order % count) else { return };
        let Some(held) = reservation.lines.get(line) else { return };
        let holding = reservation.state == ReservationState::Reserved;
        let there = match kind {
            StepKind::Release if holding => held.open(),
            StepKind::Commit if holding => held.allocated(),
            StepKind::Restock => held.committed - held.restocked,
            StepKind::Reopen if holding => held.committed - held.restocked,
            StepKind::Release | StepKind::Commit | StepKind::Reopen => 0,
        };
        let Ok(quantity) = Quantity::new(most.min(there)) else { return };
        let lines = vec![LineUnits {
            line: held.line,
            sku: held.sku.clone(),
            quantity,
            title: String::new(),
        }];
        let fact_id = FactId::at(Origin::Orders, 0, self.facts, 0);
        let location = at.map(|at| location(NAMES[at]));
        reservation.step(Step { fact_id, kind, lines, location }, &mut self.stock).unwrap();
    }

    fn apply(&mut self, happening: &Happening) {
        match *happening {
            Happening::Placed(units) => {
                let order_id = Uuid::from_u128(u128::try_from(self.orders.len()).unwrap());
                let mut order = Reservation::new(OrderId::from_uuid(order_id));
                let lines: Vec<_> = (1..)
                    .zip(SKUS.iter().zip(units))
                    .filter_map(|(line, (name, units))| {
                        Some((line, sku(name), Quantity::new(units).ok()?))
                    })
                    .collect();
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
            Happening::LinesCancelled(order, line, units) => {
                self.step((order, line, units), StepKind::Release, None);
            }
            Happening::Shipped(order, line, units, at) => {
                self.step((order, line, units), StepKind::Commit, at);
            }
            Happening::Restocked(order, line, units, at) => {
                self.step((order, line, units), StepKind::Restock, at);
            }
            Happening::Reopened(order, line, units, at) => {
                self.step((order, line, units), StepKind::Reopen, at);
            }
            Happening::Edited(order, units, applied) => self.edit(order, units, Some(applied)),
            Happening::Taken(order, units) => self.edit(order, units, None),
        }
    }

    /// Asks for units of the lines with the numbers 1 and 2, or of new ones; `None` of an edit that
    /// is applied without having been asked for.
    fn edit(&mut self, order: usize, units: [u32; 2], applied: Option<bool>) {
        let count = self.orders.len().max(1);
        let Some(reservation) = self.orders.get_mut(order % count) else { return };
        let number = |name: &str| {
            let known = reservation.lines.iter().find(|held| held.sku == sku(name));
            known.map_or(if name == "A" { 11 } else { 12 }, |held| held.line)
        };
        let lines: Vec<LineUnits> = SKUS
            .iter()
            .zip(units)
            .filter_map(|(name, units)| {
                let quantity = Quantity::new(units).ok()?;
                let line = number(name);
                Some(LineUnits { line, sku: sku(name), quantity, title: String::new() })
            })
            .collect();
        if lines.is_empty() {
            return;
        }
        self.facts += 2;
        let fact = |number| FactId::at(Origin::Orders, 0, number, 0);
        let edit_id = EditId::from_uuid(Uuid::from_u128(u128::from(self.facts)));
        let stock = &mut self.stock;
        let Some(applied) = applied else {
            let edit = AppliedEdit { edit_id, added: &lines, cancelled: &[], backordered: &[] };
            reservation.edited(fact(self.facts), edit, stock).unwrap();
            return;
        };
        let asked_at = Timestamp::default();
        let asked = AskedEdit { edit_id, lines: &lines, asked_at };
        let asked = reservation.edit_requested(fact(self.facts - 1), asked, stock);
        if !matches!(asked, Some(InventoryFact::EditReserved { .. })) {
            assert!(reservation.edit.is_none());
        } else if applied {
            let edit = AppliedEdit { edit_id, added: &lines, cancelled: &[], backordered: &[] };
            reservation.edited(fact(self.facts), edit, stock).unwrap();
        } else {
            reservation.edit_refused(fact(self.facts), edit_id, stock).unwrap();
        }
    }

    fn allocate(&mut self) {
        for order in &mut self.orders {
            for name in SKUS {
                order.allocate(&sku(name), &mut self.stock);
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for name in SKUS.map(sku) {
            let total = self.stock.level(&name);
            let mut sum = (0, 0);
            for place in ["main", "north", "south"].map(location) {
                let level = self.stock.place(&name, &place);
                prop_assert!(0 <= level.held && level.held <= level.on_hand, "{place} {level:?}");
                let held: i64 = self.orders.iter().map(|one| one.held_at(&name, &place)).sum();
                prop_assert_eq!(held, level.held, "{} at {}", &name, &place);
                sum = (sum.0 + level.on_hand, sum.1 + level.held);
            }
            prop_assert_eq!(sum, (total.on_hand, total.held()));
        }
        for line in self.orders.iter().flat_map(|one| &one.lines) {
            prop_assert!(line.parts_fit(), "{line:?}");
        }
        Ok(())
    }
}

#[test]
fn units_are_open_again_where_they_left_last_by_priority() {
    // By priority: south, main, north.
    let mut world = World::new([[0, 1, 1], [0, 0, 0]]);
    world.apply(&Happening::Placed([2, 0]));
    world.apply(&Happening::Shipped(0, 0, 2, None));
    world.apply(&Happening::Reopened(0, 0, 1, None));
    world.check().unwrap();
    let held = |place: &str| world.orders[0].lines[0].part(&location(place)).held;
    assert_eq!((held("south"), held("main"), held("north")), (0, 0, 1));
    // Where the parcel had named its location, there.
    let mut world = World::new([[0, 1, 1], [0, 0, 0]]);
    world.apply(&Happening::Placed([2, 0]));
    world.apply(&Happening::Shipped(0, 0, 2, Some(2)));
    world.apply(&Happening::Reopened(0, 0, 1, Some(2)));
    world.check().unwrap();
    let held = |place: &str| world.orders[0].lines[0].part(&location(place)).held;
    assert_eq!((held("south"), held("main"), held("north")), (1, 0, 0));
}

#[test]
fn an_edit_is_served_by_the_first_location_whatever_serves_the_order() {
    let mut world = World::new([[0, 5, 0], [0, 5, 5]]);
    world.apply(&Happening::Placed([2, 0]));
    assert_eq!(world.orders[0].lines[0].part(&location("north")).held, 2);
    world.apply(&Happening::Edited(0, [0, 1], true));
    world.check().unwrap();
    let added = world.orders[0].lines.iter().find(|line| line.sku == sku("B")).unwrap();
    assert_eq!(added.part(&location("south")).held, 1);
}

fn units() -> impl Strategy<Value = [[i64; 3]; 2]> {
    [[0_i64..8, 0_i64..8, 0_i64..8], [0_i64..8, 0_i64..8, 0_i64..8]]
}

proptest! {
    #[test]
    fn every_unit_is_at_one_location(
        units in units(),
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        let mut world = World::new(units);
        for happening in &happenings {
            world.apply(happening);
            world.check()?;
            world.allocate();
            world.check()?;
        }
        // Undone, all is where it was.
        for order in &world.orders {
            order.undo(&mut world.stock);
        }
        for (name, units) in SKUS.iter().zip(units) {
            for (place, on_hand) in ["main", "north", "south"].iter().zip(units) {
                let level = world.stock.place(&sku(name), &location(place));
                prop_assert_eq!(level, PlaceLevel { on_hand, held: 0 }, "{} at {}", name, place);
            }
        }
    }

    /// One location serves an order alone if any can, and it is the first by priority that can.
    #[test]
    fn the_first_location_with_the_whole_order_serves_it(
        units in units(), ordered in [1_u32..6, 1_u32..6],
    ) {
        let mut world = World::new(units);
        world.apply(&Happening::Placed(ordered));
        let order = &world.orders[0];
        // By priority: south, main, north.
        let whole = [2, 0, 1].into_iter().find(|place: &usize| {
            (0..2).all(|line| units[line][*place] >= i64::from(ordered[line]))
        });
        if let Some(place) = whole {
            let place = location(NAMES[place]);
            for (line, units) in order.lines.iter().zip(ordered) {
                prop_assert_eq!(line.part(&place).held, units);
            }
        }
        // A reservation is read as it was written.
        let text = serde_json::to_string(order).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Reservation>(&text).unwrap(), order);
    }
}

/// The same through the real store, by its tables.
async fn random_histories_keep_every_sum(dialect: Dialect, seed: u64) {
    let mut bench = Bench::on(dialect).await;
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    let mut tx = bench.database.begin().await.unwrap();
    for (name, priority) in [("main", 2), ("north", 3), ("south", 1)] {
        let name = location(name);
        store::set_location(&bench.database, &mut tx, &name, Some(priority)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut stories: Vec<Story> = Vec::new();
    for _ in 0..40 {
        for _ in 0..=random(2) {
            let place = NAMES[usize::try_from(random(3)).unwrap()];
            come(&bench, SKUS[usize::try_from(random(2)).unwrap()], place, random(6)).await;
        }
        let mut facts: Vec<Fact> = Vec::new();
        for _ in 0..=random(3) {
            let count = u64::try_from(stories.len()).unwrap();
            if count == 0 || random(2) == 0 {
                let mut story = Story::new();
                let [one, other] = [(); 2].map(|()| u32::try_from(1 + random(5)).unwrap());
                facts.push(story.placed(&[("A", one), ("B", other)]));
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
            let line = &found.lines[usize::try_from(random(2)).unwrap()];
            let (number, name) = (line.line, line.sku.as_str());
            let at = NAMES.get(usize::try_from(random(5)).unwrap()).copied();
            match random(4) {
                0 if line.open() > 0 => facts.push(story.lines_cancelled(&[(number, name, 1)])),
                1 if !found.has_shipped() => facts.push(story.cancelled()),
                2 if line.committed > line.restocked => {
                    let units = &[(number, name, 1)];
                    facts.push(story.returned_to(units, Disposition::Restock, at));
                }
                _ if line.allocated() > 0 => {
                    facts.push(story.shipped_from(&[(number, name, 1)], at));
                }
                _ => {}
            }
        }
        bench.follow(&facts).await.unwrap();
        bench.sums_hold().await;
    }
    assert!(stories.len() > 20);
}

/// Units come to a location.
async fn come(bench: &Bench, name: &str, place: &str, units: u64) {
    let delta = i64::try_from(units).unwrap() + 1;
    let mut tx = bench.database.begin().await.unwrap();
    let (asked, now) = (StockRequest::Adjust { delta, expected: None }, Timestamp::default());
    let (sku, place, details) = (sku(name), location(place), RequestDetails::default());
    let at = (&sku, &place);
    store::move_stock_at(&bench.database, &mut tx, at, &asked, details, now).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn random_histories_keep_every_sum_on_sqlite() {
    for seed in 1..4 {
        random_histories_keep_every_sum(Dialect::Sqlite, seed * 7_919).await;
    }
}

#[tokio::test]
async fn random_histories_keep_every_sum_on_postgres() {
    random_histories_keep_every_sum(Dialect::Postgres, 104_729).await;
}
