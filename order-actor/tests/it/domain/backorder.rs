//! Units that wait for stock: [`Command::Allocate`](order_actor::domain::Command::Allocate), and
//! what the other commands do to them.

use order_actor::domain::{Command, Confirm, Event, LineQuantity, Order, Rejection, Role, Status};
use order_actor::outbox::translate;
use proptest::prelude::*;
use shared_events::contract::{CancelReason, OrderFact, Quantity};

use super::support::*;

fn backordered(order: &Order) -> Vec<u32> {
    order.details().unwrap().lines.iter().map(|line| line.backordered).collect()
}

#[test]
fn a_confirmation_names_the_units_that_wait() {
    let then = given([placed()])
        .when(&confirm_with(1, &[(2, 2)]), &by_engine(), 1)
        .then(confirmed_with(&[(2, 2)]))
        .is(Status::Confirmed);
    assert_eq!(backordered(&then.order), [0, 2]);
}

/// Stock had not read that they were cancelled; it takes waiting units first, too.
#[test]
fn units_cancelled_before_the_confirmation_do_not_wait() {
    let history = [placed(), lines_cancelled(&[(1, 1), (2, 2)], 0)];
    let then = given(history)
        .when(&confirm_with(1, &[(1, 1), (2, 3)]), &by_engine(), 1)
        .then(confirmed_with(&[(2, 1)]));
    assert_eq!(backordered(&then.order), [0, 1]);
}

#[test]
fn stock_that_comes_ends_the_wait() {
    let then = given([placed(), confirmed_with(&[(1, 2), (2, 2)])])
        .when(&allocate(1, &[(1, 2), (2, 1)]), &by_engine(), 9)
        .then(lines_allocated(&[(1, 2), (2, 1)], 9))
        .is(Status::Confirmed);
    assert_eq!(backordered(&then.order), [0, 1]);
    let told = translate(&then.order, &lines_allocated(&[(1, 2), (2, 1)], 9));
    let [OrderFact::LinesAllocated { lines, backordered, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    let told = [lines, backordered]
        .map(|all| all.iter().map(|units| (units.line, units.quantity.get())).collect::<Vec<_>>());
    assert_eq!(told, [vec![(1, 2), (2, 1)], vec![(2, 1)]]);
}

#[test]
fn an_allocation_passes_over_units_that_do_not_wait() {
    let history = [placed(), confirmed_with(&[(2, 2)]), lines_cancelled(&[(2, 1)], 5)];
    given(history.clone())
        .when(&allocate(1, &[(2, 2)]), &by_engine(), 9)
        .then(lines_allocated(&[(2, 1)], 9));
    given(history).when(&allocate(1, &[(1, 1)]), &by_engine(), 9).then_nothing_happened();
}

#[test]
fn only_its_reservation_allocates_to_a_confirmed_order() {
    let refused = |history: &[Event], n, status| {
        given(history.to_vec())
            .when(&allocate(n, &[(1, 1)]), &by_engine(), 9)
            .then_rejected(&invalid_transition(status, "Allocate"));
    };
    refused(&[placed(), confirmed_with(&[(1, 1)])], 2, Status::Confirmed);
    refused(&[placed()], 1, Status::Pending);
    let cancelled = order_cancelled(CancelReason::Ops, true, 5);
    refused(&[placed(), confirmed_with(&[(1, 1)]), cancelled], 1, Status::Cancelled);
    for (by, role) in
        [(by_owner(), Role::Customer), (by_service(), Role::Service), (by_ops(), Role::Ops)]
    {
        nothing()
            .when(&allocate(1, &[(1, 1)]), &by, 0)
            .then_rejected(&Rejection::Forbidden { role });
    }
}

#[test]
fn units_that_wait_do_not_ship() {
    let waits = |lines: &[u32]| Rejection::Backordered { lines: lines.to_vec() };
    let history = [placed(), confirmed_with(&[(1, 2), (2, 1)])];
    let ship = |lines: &[(u32, u32)]| given(history.clone()).when(&fulfill(1, lines), &by_ops(), 9);
    ship(&[]).then_rejected(&waits(&[1, 2]));
    ship(&[(2, 3)]).then_rejected(&waits(&[2]));
    assert_eq!(
        waits(&[2]).to_string(),
        "units of line 2 wait for stock; ship the others by number"
    );
    assert!(waits(&[1, 2]).to_string().starts_with("units of lines 1, 2 wait"));
    ship(&[(2, 2)]).then(lines_fulfilled(1, &[(2, 2)], 9)).is(Status::Confirmed);
    // Once they are cancelled, the rest is all there is.
    let mut rest = history.to_vec();
    rest.push(lines_cancelled(&[(1, 2), (2, 1)], 5));
    given(rest).when(&fulfill(1, &[]), &by_ops(), 9).then(order_fulfilled(1, &[(2, 2)], 9));
}

#[test]
fn units_that_wait_are_cancelled_first() {
    let history = [placed(), confirmed_with(&[(2, 2)])];
    let then = given(history.clone()).when(
        &cancel(CancelReason::CustomerRequest, &[(2, 1)]),
        &by_owner(),
        9,
    );
    assert_eq!(backordered(&then.then(lines_cancelled(&[(2, 1)], 9)).order), [0, 1]);
    let all = cancel(CancelReason::CustomerRequest, &[]);
    let then = given(history).when(&all, &by_owner(), 9);
    let cancelled = order_cancelled(CancelReason::CustomerRequest, true, 9);
    assert_eq!(backordered(&then.then(cancelled).order), [0, 0]);
}

#[test]
fn a_history_with_other_units_is_impossible() {
    let check = |history: Vec<Event>, detail| assert_eq!(impossible(&history).detail, detail);
    check(vec![placed(), confirmed_with(&[(1, 3)])], "more units than are open");
    check(vec![placed(), confirmed_with(&[(3, 1)])], "no such line");
    let waits = || vec![placed(), confirmed_with(&[(1, 1)])];
    check(
        [waits(), vec![lines_allocated(&[(1, 2)], 9)]].concat(),
        "more units than wait for stock",
    );
    check([waits(), vec![lines_allocated(&[], 9)]].concat(), "no lines");
    check([waits(), vec![lines_fulfilled(1, &[(1, 2)], 9)]].concat(), "units that wait for stock");
    check(vec![placed(), lines_allocated(&[(1, 1)], 9)], "the state does not allow it");
}

/// A confirmation without waiting units has the fingerprint that it always had, so that one which
/// is repeated after an upgrade is recognised.
#[test]
fn a_plain_confirmation_is_written_as_before() {
    let Command::Confirm(confirm) = confirm(1) else { unreachable!() };
    let plain = serde_json::to_value(&confirm).unwrap();
    assert_eq!(plain.as_object().unwrap().len(), 1);
    let lines = vec![LineQuantity { line: 1, quantity: Quantity::new(1).unwrap() }];
    let waits = serde_json::to_value(Confirm { backordered: lines, ..confirm }).unwrap();
    assert_eq!(waits.as_object().unwrap().len(), 2);
}

proptest! {
    /// The order and stock learn of cancellations and allocations in different orders, and end with
    /// the same units waiting.
    #[test]
    fn cancelling_and_allocating_commute(
        waits in 0_u32..=3, cancelled in 0_u32..=2, allocated in 0_u32..=3,
    ) {
        let allocated = allocated.min(waits);
        let (confirm, cancel_units) = (
            if waits == 0 { confirmed() } else { confirmed_with(&[(2, waits)]) },
            cancel(CancelReason::CustomerRequest, &[(2, cancelled.max(1))]),
        );
        let allocating = allocate(1, &[(2, allocated.max(1))]);
        let run = |commands: &[(&Command, bool)]| {
            let mut history = vec![placed(), confirm.clone()];
            for (command, skipped) in commands {
                if *skipped { continue; }
                let by = if matches!(command, Command::Cancel(_)) { by_owner() } else { by_engine() };
                let order = order_actor::domain::replay(&history).unwrap();
                let policy = order_actor::domain::Policy::default();
                history.extend(
                    order_actor::domain::decide(&order, command, &by, after(9), &policy).unwrap(),
                );
            }
            backordered(&order_actor::domain::replay(&history).unwrap())
        };
        let (cancel, allocate) =
            ((&cancel_units, cancelled == 0), (&allocating, allocated == 0));
        prop_assert_eq!(run(&[cancel, allocate]), run(&[allocate, cancel]));
    }
}
