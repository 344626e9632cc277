//! Laws over random histories: no unit is created, lost or sold twice, in whatever order and
//! however often the facts come.

use std::collections::BTreeMap;

use inventory_stream::domain::{
    Reservation, ReservationState, Step, StepKind, StockLevel, StockLevels,
};
use proptest::prelude::*;
use shared_events::contract::{
    Disposition, Fact, FactId, LineUnits, OrderId, Origin, Quantity, Sku,
};
use shared_events::stream::Dialect;
use uuid::Uuid;

use crate::support::{Bench, Story, plain_level, sku};

#[derive(Clone, Debug)]
enum OrderFacts {
    Placed(Vec<(u32, Sku, Quantity)>),
    Step(Step),
    Cancelled,
}

/// The facts of a legal order about one line of 10 units: some cancelled, some shipped in two
/// parcels, some of those back; or cancelled whole.
fn story() -> impl Strategy<Value = Vec<OrderFacts>> {
    (0_u32..4, 0_u32..4, 0_u32..3, any::<bool>(), any::<u64>()).prop_map(
        |(released, first, second, whole, seed)| {
            let units = |kind, quantity: u32, number: u16| {
                Quantity::new(quantity).ok().map(|quantity| {
                    let lines =
                        vec![LineUnits { line: 1, sku: sku("A"), quantity, title: String::new() }];
                    let fact_id = FactId::at(Origin::Orders, number, seed, 0);
                    OrderFacts::Step(Step { fact_id, kind, lines, location: None })
                })
            };
            let mut facts =
                vec![OrderFacts::Placed(vec![(1, sku("A"), Quantity::new(10).unwrap())])];
            facts.extend(units(StepKind::Release, released, 1));
            if whole {
                facts.push(OrderFacts::Cancelled);
            } else {
                facts.extend(units(StepKind::Commit, first, 2));
                facts.extend(units(StepKind::Commit, second, 3));
                facts.extend(units(StepKind::Restock, first.min(2), 4));
            }
            facts
        },
    )
}

fn apply(order_id: OrderId, facts: &[OrderFacts]) -> (Reservation, StockLevel) {
    let mut stock = StockLevels::new(BTreeMap::from([(sku("A"), plain_level(100, 0))]));
    let mut reservation = Reservation::new(order_id);
    play(&mut reservation, &mut stock, facts);
    (reservation, stock.level(&sku("A")))
}

fn play(reservation: &mut Reservation, stock: &mut StockLevels, facts: &[OrderFacts]) {
    for fact in facts {
        match fact {
            OrderFacts::Placed(lines) => drop(reservation.placed(lines, stock).unwrap()),
            OrderFacts::Step(step) => drop(reservation.step(step.clone(), stock).unwrap()),
            OrderFacts::Cancelled => drop(reservation.cancelled(stock)),
        }
        let level = stock.level(&sku("A"));
        assert!(0 <= level.reserved && level.reserved <= level.on_hand, "{level:?}");
    }
}

proptest! {
    #[test]
    fn shuffled_and_repeated_facts_leave_the_same_stock(
        facts in story(),
        order in any::<[u8; 16]>(),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        shuffle in any::<u64>(),
    ) {
        let order_id = OrderId::from_uuid(Uuid::from_bytes(order));
        let (reservation, level) = apply(order_id, &facts);
        let mut mixed = facts.clone();
        for repeat in repeats {
            mixed.push(facts[repeat.index(facts.len())].clone());
        }
        // A shuffle by a seed, so that a failure shrinks.
        let mut state = shuffle | 1;
        for index in (1..mixed.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let other = usize::try_from(state >> 33).unwrap() % (index + 1);
            mixed.swap(index, other);
        }
        let (mixed_reservation, mixed_level) = apply(order_id, &mixed);
        prop_assert_eq!(mixed_level, level);
        prop_assert_eq!(mixed_reservation.state, reservation.state);
        prop_assert!(mixed_reservation.waiting.is_empty());
    }

    /// Wherever a stock-take withdraws the units: what ships all the same takes them again, and in the
    /// end, when the order has cancelled the rest, it is as if nothing had been withdrawn.
    #[test]
    fn a_withdrawal_is_settled_by_the_facts_of_the_order(
        facts in story(),
        place in any::<prop::sample::Index>(),
    ) {
        let order_id = OrderId::mint();
        let with_end = |facts: &[OrderFacts]| [facts, &[OrderFacts::Cancelled]].concat();
        let (undisturbed, level) = apply(order_id, &with_end(&facts));
        let (before, after) = facts.split_at(1 + place.index(facts.len()));
        let levels = BTreeMap::from([(sku("A"), plain_level(100, 0))]);
        let mut stock = StockLevels::new(levels);
        let mut reservation = Reservation::new(order_id);
        reservation.record_fact(0, 1);
        play(&mut reservation, &mut stock, before);
        if reservation.may_be_withdrawn() {
            let held = reservation.held_of(&sku("A"));
            prop_assert_eq!(reservation.withdraw(&sku("A"), &mut stock).len(), 2);
            prop_assert!(held > 0 && !reservation.is_holding());
            prop_assert_eq!(stock.level(&sku("A")).reserved, 0);
        }
        play(&mut reservation, &mut stock, &with_end(after));
        prop_assert_eq!(stock.level(&sku("A")), level);
        prop_assert_eq!(reservation.lines, undisturbed.lines);
        prop_assert_eq!(reservation.state, undisturbed.state);
    }

    #[test]
    fn reserved_and_on_hand_follow_from_the_lines(facts in story()) {
        let (reservation, level) = apply(OrderId::mint(), &facts);
        let held = &reservation.lines[0];
        let reserved = if reservation.state == ReservationState::Reserved { held.open() } else { 0 };
        prop_assert_eq!(level.reserved, i64::from(reserved));
        prop_assert_eq!(level.on_hand, 100 - i64::from(held.committed) + i64::from(held.restocked));
        prop_assert!(held.released + held.committed <= held.quantity);
    }
}

/// Many orders through the real store, their facts in the order of the orders and shuffled across
/// orders and batches: the tables end equal.
async fn shuffled_batches_leave_the_same_tables(dialect: Dialect) {
    let mut stories = Vec::new();
    for number in 0..30_u32 {
        let mut story = Story::new();
        let mut facts = vec![story.placed(&[("A", 4), ("B", 2)])];
        if number % 3 == 0 {
            facts.push(story.cancelled());
        } else {
            facts.push(story.lines_cancelled(&[(1, "A", 1)]));
            facts.push(story.shipped(&[(1, "A", 3), (2, "B", 2)]));
            facts.push(story.returned(&[(2, "B", 1)], Disposition::Restock));
        }
        stories.push(facts);
    }
    let straight: Vec<Fact> = stories.iter().flatten().cloned().collect();
    let mut mixed: Vec<Fact> = Vec::new();
    for round in 0..4 {
        for facts in stories.iter().rev() {
            mixed.extend(facts.get(round).cloned());
        }
    }
    let again: Vec<Fact> = mixed.iter().rev().cloned().collect();
    mixed.extend(again);
    let mut ends = Vec::new();
    for (facts, batch) in [(straight, 7), (mixed, 50)] {
        let mut bench = Bench::on(dialect).await;
        bench.set("A", 1_000).await;
        bench.set("B", 1_000).await;
        for facts in facts.chunks(batch) {
            bench.follow(facts).await.unwrap();
        }
        bench.sums_hold().await;
        ends.push((bench.level("A").await, bench.level("B").await));
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0], ((1_000 - 20 * 3, 0), (1_000 - 20, 0)));
}

#[tokio::test]
async fn shuffled_batches_leave_the_same_tables_on_sqlite() {
    shuffled_batches_leave_the_same_tables(Dialect::Sqlite).await;
}

#[tokio::test]
async fn shuffled_batches_leave_the_same_tables_on_postgres() {
    shuffled_batches_leave_the_same_tables(Dialect::Postgres).await;
}

#[test]
fn every_state_of_a_reservation_has_a_name() {
    let states = [
        (ReservationState::Waiting, "WAITING"),
        (ReservationState::Reserved, "RESERVED"),
        (ReservationState::Rejected, "REJECTED"),
        (ReservationState::Released, "RELEASED"),
    ];
    assert!(states.iter().all(|(state, name)| state.code() == *name));
}
