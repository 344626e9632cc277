//! [`Command::Lapse`]

use order_actor::domain::{Command, Rejection, Role, Status};
use shared_events::contract::CancelReason;

use super::support::*;

#[test]
fn an_unconfirmed_order_lapses_at_the_very_end_of_its_window() {
    let due = 15 * MINUTE;
    given([placed()]).when(&Command::Lapse, &by_engine(), due - 1).then_nothing_happened();
    given([placed()])
        .when(&Command::Lapse, &by_engine(), due)
        .then(order_cancelled(CancelReason::SlaTimeout, false, due))
        .is(Status::Cancelled)
        .counts(&[(2, 0, 0, 0), (3, 0, 0, 0)]);
}

#[test]
fn nothing_else_lapses() {
    let cancelled = order_cancelled(CancelReason::SlaTimeout, false, 900);
    let histories =
        [vec![], vec![placed(), confirmed()], delivered(), waiting(ALL), vec![placed(), cancelled]];
    for history in histories {
        given(history).when(&Command::Lapse, &by_engine(), 9 * DAY).then_nothing_happened();
    }
}

#[test]
fn only_the_engine_may_send_it() {
    for (by, role) in
        [(by_owner(), Role::Customer), (by_service(), Role::Service), (by_ops(), Role::Ops)]
    {
        given([placed()])
            .when(&Command::Lapse, &by, DAY)
            .then_rejected(&Rejection::Forbidden { role });
    }
}
