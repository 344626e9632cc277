//! [`Command::RequestReturn`]

use order_actor::domain::{Command, Existing, Rejection, RequestReturn, Role, Status};

use super::support::*;

const WINDOW_ENDS: u64 = 10 + 30 * DAY;

fn with_reason(reason: &str, lines: &[(u32, u32)]) -> Command {
    Command::RequestReturn(RequestReturn {
        return_id: return_id(1),
        lines: units(lines),
        reason: reason.to_owned(),
        reference: String::new(),
        exchange_order_id: None,
    })
}

#[test]
fn a_return_of_delivered_units_is_requested() {
    for by in [by_owner(), by_ops()] {
        given(delivered())
            .when(&request_return(1, &[(2, 2)]), &by, 20)
            .then(return_requested_by(by.role(), 1, &[(2, 2)], 20))
            .is(Status::ReturnRequested)
            .counts(&[(0, 2, 0, 0), (0, 3, 2, 0)]);
    }
}

#[test]
fn a_return_is_accepted_until_just_before_the_window_ends() {
    let last = WINDOW_ENDS - 1;
    given(delivered())
        .when(&request_return(1, ALL), &by_owner(), last)
        .then(return_requested(1, ALL, last));
    given(delivered())
        .when(&request_return(1, ALL), &by_owner(), WINDOW_ENDS)
        .then_rejected(&Rejection::ReturnWindowExpired);
}

#[test]
fn the_same_return_again_changes_nothing_waiting_or_approved() {
    let again = [request_return(1, ALL), request_return(1, &[(2, 3), (1, 2)])];
    let mut approved = waiting(ALL);
    approved.push(return_approved(1, ALL, 3_500, 30));
    for again in again {
        for history in [waiting(ALL), approved.clone()] {
            given(history).when(&again, &by_owner(), 99 * DAY).then_nothing_happened();
        }
    }
}

#[test]
fn a_rejected_return_cannot_be_requested_again_under_its_id() {
    let mut history = waiting(ALL);
    history.push(return_rejected(1, 30));
    given(history)
        .when(&request_return(1, ALL), &by_owner(), 40)
        .then_rejected(&exists(Existing::RejectedReturn, &[]));
}

#[test]
fn a_reused_return_id_is_refused_with_the_fields_that_differ() {
    for judged in [None, Some(return_rejected(1, 30)), Some(return_approved(1, ALL, 3_500, 30))] {
        let mut history = waiting(ALL);
        history.extend(judged);
        given(history.clone())
            .when(&request_return(1, &[(1, 2), (2, 2)]), &by_owner(), 40)
            .then_rejected(&exists(Existing::Return, &["lines"]));
        given(history)
            .when(&with_reason("too small", &[(1, 1)]), &by_owner(), 40)
            .then_rejected(&exists(Existing::Return, &["lines", "reason"]));
    }
}

#[test]
fn rejected_units_may_be_requested_again_in_the_same_window() {
    let mut history = waiting(ALL);
    history.push(return_rejected(1, 30));
    given(history.clone())
        .when(&request_return(2, ALL), &by_owner(), 40)
        .then(return_requested(2, ALL, 40));
    given(history)
        .when(&request_return(2, ALL), &by_owner(), WINDOW_ENDS)
        .then_rejected(&Rejection::ReturnWindowExpired);
}

#[test]
fn only_units_that_the_customer_holds_are_returned() {
    let mut history = waiting(&[(1, 1)]);
    history.push(return_approved(1, &[(1, 1)], 1_000, 30));
    let check = |lines: &[(u32, u32)], line, at: &str, detail| {
        let at = at.to_owned();
        given(history.clone())
            .when(&request_return(2, lines), &by_owner(), 40)
            .then_rejected(&Rejection::InvalidReturnLines { line, at, detail });
    };
    check(&[], 0, "lines", "at least one line is named");
    check(&[(0, 1)], 0, "lines[0].line", "no such line");
    check(&[(9, 1)], 9, "lines[0].line", "no such line");
    check(&[(2, 1), (1, 2)], 1, "lines[1].quantity", "more units than were delivered and kept");
    check(&[(2, 1), (2, 1)], 2, "lines[1].line", "named twice");
}

#[test]
fn guards_are_state_then_window_then_reason_then_units() {
    let bad = with_reason(" \n", &[(9, 1)]);
    given([placed()])
        .when(&bad, &by_owner(), 99 * DAY)
        .then_rejected(&invalid_transition(Status::Pending, "RequestReturn"));
    given(delivered())
        .when(&bad, &by_owner(), 99 * DAY)
        .then_rejected(&Rejection::ReturnWindowExpired);
    given(delivered()).when(&bad, &by_owner(), 20).then_rejected(&Rejection::ReasonRequired);
    given(delivered())
        .when(&with_reason(&"x".repeat(501), &[(9, 1)]), &by_owner(), 20)
        .then_rejected(&Rejection::TextTooLong { field: "reason", max: 500 });
}

#[test]
fn only_owners_and_operators_may_request_a_return() {
    for (by, role) in [(by_service(), Role::Service), (by_engine(), Role::Engine)] {
        given(delivered())
            .when(&request_return(1, ALL), &by, 20)
            .then_rejected(&Rejection::Forbidden { role });
    }
    given(waiting(ALL))
        .when(&request_return(1, ALL), &by_stranger(), 20)
        .then_rejected(&Rejection::NotFound);
    nothing().when(&request_return(1, ALL), &by_owner(), 20).then_rejected(&Rejection::NotFound);
}
