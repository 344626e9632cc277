//! [`Command::Confirm`](order_actor::domain::Command::Confirm)

use order_actor::domain::{Rejection, Role, Status};
use shared_events::contract::CancelReason;

use super::support::*;

#[test]
fn a_pending_order_is_confirmed() {
    given([placed()]).when(&confirm(1), &by_engine(), 1).then(confirmed()).is(Status::Confirmed);
}

#[test]
fn the_open_units_of_a_pending_order_are_confirmed() {
    given([placed(), lines_cancelled(&[(1, 2)], 1)])
        .when(&confirm(1), &by_engine(), 1)
        .then(confirmed())
        .is(Status::Confirmed)
        .counts(&[(2, 0, 0, 0), (0, 0, 0, 0)]);
}

#[test]
fn a_repeated_reservation_changes_nothing_and_another_is_refused() {
    given([placed(), confirmed()]).when(&confirm(1), &by_engine(), 2).then_nothing_happened();
    given([placed(), confirmed()])
        .when(&confirm(2), &by_engine(), 2)
        .then_rejected(&invalid_transition(Status::Confirmed, "Confirm"));
}

#[test]
fn a_passed_window_does_not_refuse_confirmation_before_the_timer() {
    let late = 16 * MINUTE;
    given([placed()])
        .when(&confirm(1), &by_engine(), late)
        .then(order_actor::domain::Event::OrderConfirmed {
            reservation_id: reservation(1),
            backordered: Vec::new(),
            at: after(late),
        })
        .is(Status::Confirmed);
}

#[test]
fn a_cancelled_or_absent_order_is_not_confirmed() {
    given([placed(), order_cancelled(CancelReason::SlaTimeout, false, 900)])
        .when(&confirm(1), &by_engine(), 901)
        .then_rejected(&invalid_transition(Status::Cancelled, "Confirm"));
    nothing().when(&confirm(1), &by_engine(), 0).then_rejected(&Rejection::NotFound);
}

#[test]
fn only_the_engine_confirms() {
    for (by, role) in
        [(by_owner(), Role::Customer), (by_service(), Role::Service), (by_ops(), Role::Ops)]
    {
        nothing().when(&confirm(1), &by, 0).then_rejected(&Rejection::Forbidden { role });
        given([placed()]).when(&confirm(1), &by, 0).then_rejected(&Rejection::Forbidden { role });
    }
}
