//! A reservation alone: facts that no history of its order can explain.

use std::collections::BTreeMap;

use inventory_stream::domain::{Impossible, StepKind};
use inventory_stream::domain::{Reservation, ReservationState, Step, StockLevels};
use shared_events::contract::{FactId, LineUnits, OrderId, Origin, Quantity, Sku};

use crate::support::{plain_level, sku};

fn stock() -> StockLevels {
    StockLevels::new(BTreeMap::from([(sku("A"), plain_level(10, 0))]))
}

fn lines(units: u32) -> Vec<(u32, Sku, Quantity)> {
    vec![(1, sku("A"), Quantity::new(units).unwrap())]
}

fn step(number: u16, kind: StepKind, line: u32, units: u32) -> Step {
    let (sku, quantity) = (sku("A"), Quantity::new(units).unwrap());
    let lines = vec![LineUnits { line, sku, quantity, title: String::new() }];
    Step { fact_id: FactId::at(Origin::Orders, number, 7, 0), kind, lines, location: None }
}

/// A reservation of 4 units, and the stock of 10 that it is of.
fn reserved() -> (Reservation, StockLevels) {
    let (mut reservation, mut stock) = (Reservation::new(OrderId::mint()), stock());
    assert_eq!(reservation.placed(&lines(4), &mut stock).unwrap().len(), 1);
    (reservation, stock)
}

#[test]
fn units_shipped_after_the_cancellation_are_impossible() {
    let (mut reservation, mut stock) = reserved();
    assert_eq!(reservation.cancelled(&mut stock).len(), 1);
    let error = reservation.step(step(1, StepKind::Commit, 1, 1), &mut stock).unwrap_err();
    assert_eq!(error, Impossible { line: 1, detail: "shipped, but nothing is held" });
    assert_eq!(stock.level(&sku("A")), plain_level(10, 0));
}

#[test]
fn a_tombstone_with_shipped_units_is_impossible() {
    let (mut reservation, mut stock) = (Reservation::new(OrderId::mint()), stock());
    assert!(reservation.step(step(1, StepKind::Commit, 1, 1), &mut stock).unwrap().is_empty());
    assert!(reservation.cancelled(&mut stock).is_empty());
    let error = reservation.placed(&lines(4), &mut stock).unwrap_err();
    assert_eq!(error.to_string(), "line 1: shipped, but nothing is held");
}

#[test]
fn a_line_that_was_not_placed_is_impossible() {
    let (mut reservation, mut stock) = reserved();
    let error = reservation.step(step(1, StepKind::Release, 2, 1), &mut stock).unwrap_err();
    assert_eq!(error.to_string(), "line 2: no such line was placed");
}

#[test]
fn more_units_than_held_or_ordered_are_impossible() {
    let (mut reservation, mut stock) = reserved();
    let error = reservation.clone().step(step(1, StepKind::Commit, 1, 5), &mut stock).unwrap_err();
    assert_eq!(error.detail, "more units than are held");
    let error = reservation.step(step(2, StepKind::Restock, 1, 5), &mut stock).unwrap_err();
    assert_eq!(error.detail, "more units than were ordered");
}

#[test]
fn an_order_is_placed_cancelled_and_rejected_once() {
    let (mut reservation, mut stock) = reserved();
    assert!(reservation.placed(&lines(4), &mut stock).unwrap().is_empty());
    let (mut rejected, level) = (Reservation::new(OrderId::mint()), stock.level(&sku("A")));
    assert_eq!(rejected.placed(&lines(7), &mut stock).unwrap().len(), 1);
    assert_eq!((rejected.state, &rejected.missing), (ReservationState::Rejected, &vec![sku("A")]));
    assert!(rejected.cancelled(&mut stock).is_empty());
    assert_eq!(stock.level(&sku("A")), level);
    let shipped = step(1, StepKind::Commit, 1, 4);
    assert_eq!(reservation.step(shipped, &mut stock).unwrap().len(), 1);
    // Every unit is shipped: nothing to release, and nothing to publish.
    assert!(reservation.cancelled(&mut stock).is_empty());
    assert!(reservation.cancelled(&mut stock).is_empty());
    assert_eq!(stock.level(&sku("A")), plain_level(6, 0));
}
