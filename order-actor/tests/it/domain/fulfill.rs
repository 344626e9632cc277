//! [`Command::Fulfill`]

use order_actor::domain::{Command, Existing, Fulfill, Order, Rejection, Role, Status};
use shared_events::contract::CancelReason;

use super::support::*;

#[test]
fn one_parcel_with_all_units_fulfils_the_order() {
    for lines in [&[][..], ALL] {
        let then = given([placed(), confirmed()])
            .when(&fulfill(1, lines), &by_service(), 10)
            .then(order_fulfilled(1, ALL, 10))
            .is(Status::Fulfilled)
            .counts(&[(0, 2, 0, 0), (0, 3, 0, 0)]);
        let Order::Fulfilled(fulfilled) = then.order else { unreachable!() };
        assert_eq!(fulfilled.return_until, after(10 + 30 * DAY));
    }
}

#[test]
fn several_parcels_fulfil_the_order_with_the_last() {
    given([placed(), confirmed()])
        .when(&fulfill(1, &[(1, 1)]), &by_ops(), 10)
        .then(lines_fulfilled(1, &[(1, 1)], 10))
        .is(Status::Confirmed);
    given([placed(), confirmed(), lines_fulfilled(1, &[(1, 1)], 10)])
        .when(&fulfill(2, &[]), &by_ops(), 20)
        .then(order_fulfilled(2, &[(1, 1), (2, 3)], 20))
        .is(Status::Fulfilled)
        .counts(&[(0, 2, 0, 0), (0, 3, 0, 0)]);
}

#[test]
fn cancelled_units_are_not_needed_for_the_last_parcel() {
    given([placed(), confirmed(), lines_cancelled(&[(2, 3)], 5)])
        .when(&fulfill(1, &[(1, 2)]), &by_service(), 10)
        .then(order_fulfilled(1, &[(1, 2)], 10))
        .is(Status::Fulfilled);
}

#[test]
fn the_same_parcel_again_changes_nothing_in_any_later_state() {
    let mut returned = waiting(ALL);
    returned.push(return_approved(1, ALL, 3_500, 30));
    let histories = [
        vec![placed(), confirmed(), lines_fulfilled(1, &[(1, 1)], 10)],
        delivered(),
        waiting(ALL),
        returned,
    ];
    for (number, history) in histories.into_iter().enumerate() {
        // No line means all units open at the time: all units here, except in the first history.
        let lines: &[(u32, u32)] = if number == 0 { &[(1, 1)] } else { &[(2, 3), (1, 2)] };
        given(history.clone()).when(&fulfill(1, lines), &by_service(), 99).then_nothing_happened();
        let all = given(history).when(&fulfill(1, &[]), &by_service(), 99);
        if number == 0 {
            all.then_rejected(&exists(Existing::Shipment, &["lines"]));
        } else {
            all.then_nothing_happened();
        }
    }
}

#[test]
fn a_reused_parcel_id_is_refused_with_the_fields_that_differ() {
    let other = Command::Fulfill(Fulfill {
        shipment_id: shipment(1),
        lines: units(&[(1, 1)]),
        carrier: "DHL".to_owned(),
        tracking: "2".to_owned(),
        reference: String::new(),
        location: None,
    });
    for history in [delivered(), waiting(ALL)] {
        given(history.clone())
            .when(&fulfill(1, &[(1, 2), (2, 2)]), &by_service(), 99)
            .then_rejected(&exists(Existing::Shipment, &["lines"]));
        given(history)
            .when(&other, &by_service(), 99)
            .then_rejected(&exists(Existing::Shipment, &["lines", "carrier", "tracking"]));
    }
}

#[test]
fn only_a_confirmed_order_ships() {
    let cancelled = order_cancelled(CancelReason::Ops, false, 2);
    for (history, from) in [
        (vec![placed()], Status::Pending),
        (delivered(), Status::Fulfilled),
        (vec![placed(), cancelled], Status::Cancelled),
    ] {
        given(history)
            .when(&fulfill(7, &[(9, 9)]), &by_service(), 99)
            .then_rejected(&invalid_transition(from, "FulfillOrder"));
    }
    nothing().when(&fulfill(1, &[]), &by_service(), 9).then_rejected(&Rejection::NotFound);
}

#[test]
fn only_open_units_are_accepted_and_each_line_once() {
    let check = |lines: &[(u32, u32)], line, at: &str, detail| {
        let at = at.to_owned();
        given([placed(), confirmed(), lines_cancelled(&[(2, 1)], 5)])
            .when(&fulfill(1, lines), &by_service(), 10)
            .then_rejected(&Rejection::InvalidLines { line, at, detail });
    };
    check(&[(0, 1)], 0, "lines[0].line", "no such line");
    check(&[(3, 1)], 3, "lines[0].line", "no such line");
    check(&[(2, 3)], 2, "lines[0].quantity", "more units than are open");
    check(&[(1, 1), (1, 1)], 1, "lines[1].line", "named twice");
}

#[test]
fn carrier_and_tracking_are_bounded() {
    let command = |carrier: usize, tracking: usize| {
        Command::Fulfill(Fulfill {
            shipment_id: shipment(1),
            lines: Vec::new(),
            carrier: "ü".repeat(carrier),
            tracking: "x".repeat(tracking),
            reference: String::new(),
            location: None,
        })
    };
    let too_long = |field| Rejection::TextTooLong { field, max: 100 };
    let check = |command: &Command, field| {
        given([placed(), confirmed()])
            .when(command, &by_service(), 10)
            .then_rejected(&too_long(field));
    };
    check(&command(101, 101), "carrier");
    check(&command(100, 101), "tracking");
}

#[test]
fn customers_and_the_engine_may_not_ship() {
    for (by, role) in [(by_owner(), Role::Customer), (by_engine(), Role::Engine)] {
        given([placed(), confirmed()])
            .when(&fulfill(1, &[]), &by, 10)
            .then_rejected(&Rejection::Forbidden { role });
    }
}
