//! [`Command::Escalate`]

use order_actor::domain::{Command, Rejection, Role, Status, deadline};
use shared_events::contract::CancelReason;

use super::support::*;

const DUE: u64 = 20 + 3 * DAY;

#[test]
fn operators_are_reminded_once_at_the_end_of_the_window() {
    given(waiting(ALL)).when(&Command::Escalate, &by_engine(), DUE - 1).then_nothing_happened();
    let then = given(waiting(ALL))
        .when(&Command::Escalate, &by_engine(), DUE)
        .then(return_escalated(1, DUE))
        .is(Status::ReturnRequested);
    assert_eq!(deadline(&then.order), None);
    let mut history = waiting(ALL);
    history.push(return_escalated(1, DUE));
    given(history).when(&Command::Escalate, &by_engine(), DUE + DAY).then_nothing_happened();
}

#[test]
fn without_a_waiting_return_nothing_happens() {
    let cancelled = order_cancelled(CancelReason::Ops, false, 9);
    let histories = [
        vec![],
        vec![placed()],
        vec![placed(), confirmed()],
        delivered(),
        vec![placed(), cancelled],
    ];
    for history in histories {
        given(history).when(&Command::Escalate, &by_engine(), 9 * DAY).then_nothing_happened();
    }
}

#[test]
fn only_the_engine_may_send_it() {
    for (by, role) in
        [(by_owner(), Role::Customer), (by_service(), Role::Service), (by_ops(), Role::Ops)]
    {
        given(waiting(ALL))
            .when(&Command::Escalate, &by, DUE)
            .then_rejected(&Rejection::Forbidden { role });
    }
}
