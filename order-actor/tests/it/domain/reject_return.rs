//! [`Command::RejectReturn`]

use order_actor::domain::{Command, Existing, RejectReturn, Rejection, Role, Status};

use super::support::*;

fn because(reason: &str) -> Command {
    Command::RejectReturn(RejectReturn { reason: reason.to_owned(), ..a_rejection() })
}

#[test]
fn a_rejected_return_leaves_the_units_and_no_pending_return() {
    for command in [reject(1), because("worn")] {
        let then = given(waiting(ALL))
            .when(&command, &by_ops(), 30)
            .then(return_rejected(1, 30))
            .is(Status::Fulfilled)
            .counts(&[(0, 2, 0, 0), (0, 3, 0, 0)]);
        assert_eq!(then.order.details().unwrap().refunded, gbp(0));
    }
}

#[test]
fn a_rejected_return_rejected_again_changes_nothing() {
    let mut history = waiting(ALL);
    history.push(return_rejected(1, 30));
    given(history.clone()).when(&reject(1), &by_ops(), 40).then_nothing_happened();
    let (id, reason) = (Some(return_id(1)), "broken".to_owned());
    let other = RejectReturn { return_id: id, reason, ..a_rejection() };
    given(history.clone())
        .when(&Command::RejectReturn(other), &by_ops(), 40)
        .then_rejected(&exists(Existing::Judgement, &["reason"]));
    history.push(return_requested(2, ALL, 40));
    given(history.clone()).when(&reject(1), &by_ops(), 50).then_nothing_happened();
    given(history).when(&reject(3), &by_ops(), 50).then_rejected(&Rejection::ReturnMismatch);
}

#[test]
fn a_reason_is_required_and_bounded() {
    for blank in ["", " \t"] {
        given(waiting(ALL))
            .when(&because(blank), &by_ops(), 30)
            .then_rejected(&Rejection::ReasonRequired);
    }
    given(waiting(ALL))
        .when(&because(&"x".repeat(501)), &by_ops(), 30)
        .then_rejected(&Rejection::TextTooLong { field: "reason", max: 500 });
}

#[test]
fn only_a_waiting_return_is_judged() {
    let mut approved = waiting(&[(1, 1)]);
    approved.push(return_approved(1, &[(1, 1)], 1_000, 30));
    for (history, from) in
        [(vec![placed(), confirmed()], Status::Confirmed), (delivered(), Status::Fulfilled)]
    {
        let rejection = invalid_transition(from, "RejectReturn");
        given(history).when(&reject(1), &by_ops(), 40).then_rejected(&rejection);
    }
    given(approved)
        .when(&reject(1), &by_ops(), 40)
        .then_rejected(&exists(Existing::Judgement, &["verdict"]));
    nothing().when(&reject(1), &by_ops(), 30).then_rejected(&Rejection::NotFound);
}

#[test]
fn only_operators_may_judge() {
    for (by, role) in
        [(by_owner(), Role::Customer), (by_service(), Role::Service), (by_engine(), Role::Engine)]
    {
        given(waiting(ALL)).when(&reject(1), &by, 30).then_rejected(&Rejection::Forbidden { role });
    }
}
