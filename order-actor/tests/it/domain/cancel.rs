//! [`Command::Cancel`]

use order_actor::domain::{Cancel, Command, Event, Order, Rejection, Role, Status};
use shared_events::contract::CancelReason;

use super::support::*;

const REQUEST: CancelReason = CancelReason::CustomerRequest;

fn whole() -> Command {
    cancel(REQUEST, &[])
}

fn invalid(line: u32, at: &str, detail: &'static str) -> Rejection {
    Rejection::InvalidLines { line, at: at.to_owned(), detail }
}

#[test]
fn a_pending_or_confirmed_order_is_cancelled_completely() {
    given([placed()])
        .when(&whole(), &by_owner(), 5)
        .then(order_cancelled(REQUEST, false, 5))
        .is(Status::Cancelled)
        .counts(&[(2, 0, 0, 0), (3, 0, 0, 0)]);
    given([placed(), confirmed()])
        .when(&whole(), &by_owner(), 5)
        .then(order_cancelled(REQUEST, true, 5))
        .is(Status::Cancelled);
}

#[test]
fn naming_all_open_units_in_any_order_cancels_the_order() {
    given([placed()])
        .when(&cancel(REQUEST, &[(2, 3), (1, 2)]), &by_owner(), 5)
        .then(order_cancelled(REQUEST, false, 5));
    given([placed(), confirmed(), lines_cancelled(&[(1, 2)], 2)])
        .when(&cancel(REQUEST, &[(2, 3)]), &by_owner(), 5)
        .then(order_cancelled(REQUEST, true, 5))
        .is(Status::Cancelled);
}

#[test]
fn cancelling_some_units_keeps_the_state_of_the_order() {
    given([placed()])
        .when(&cancel(REQUEST, &[(2, 1)]), &by_owner(), 5)
        .then(lines_cancelled(&[(2, 1)], 5))
        .is(Status::Pending)
        .counts(&[(0, 0, 0, 0), (1, 0, 0, 0)]);
    given([placed(), confirmed()])
        .when(&cancel(REQUEST, &[(2, 1)]), &by_owner(), 5)
        .then(lines_cancelled(&[(2, 1)], 5))
        .is(Status::Confirmed);
}

#[test]
fn cancelling_the_open_units_after_a_parcel_fulfils_the_order() {
    let history = [placed(), confirmed(), lines_fulfilled(1, &[(1, 2), (2, 1)], 10)];
    let then = given(history)
        .when(&whole(), &by_owner(), 100)
        .then(Event::LinesCancelled {
            lines: units(&[(2, 2)]),
            reason: REQUEST,
            text: String::new(),
            return_until: Some(after(10 + 30 * DAY)),
            at: after(100),
        })
        .is(Status::Fulfilled)
        .counts(&[(0, 2, 0, 0), (2, 1, 0, 0)]);
    let Order::Fulfilled(fulfilled) = then.order else { unreachable!() };
    assert_eq!(fulfilled.fulfilled_at, after(10));
}

#[test]
fn cancelling_some_open_units_after_a_parcel_stays_confirmed() {
    given([placed(), confirmed(), lines_fulfilled(1, &[(1, 2)], 10)])
        .when(&cancel(REQUEST, &[(2, 1)]), &by_owner(), 100)
        .then(lines_cancelled(&[(2, 1)], 100))
        .is(Status::Confirmed);
}

#[test]
fn a_cancelled_order_stays_cancelled() {
    let cancelled = || given([placed(), order_cancelled(REQUEST, false, 5)]);
    cancelled().when(&whole(), &by_owner(), 6).then_nothing_happened();
    cancelled().when(&cancel(CancelReason::Ops, &[]), &by_owner(), 6).then_nothing_happened();
    cancelled().when(&cancel(REQUEST, &[(9, 9)]), &by_ops(), 6).then_nothing_happened();
}

#[test]
fn delivered_units_are_not_cancelled() {
    given(delivered())
        .when(&whole(), &by_owner(), 11)
        .then_rejected(&invalid_transition(Status::Fulfilled, "CancelOrder"));
    given(waiting(ALL))
        .when(&whole(), &by_owner(), 21)
        .then_rejected(&invalid_transition(Status::ReturnRequested, "CancelOrder"));
}

#[test]
fn only_open_units_are_accepted_and_each_line_once() {
    let check = |lines: &[(u32, u32)], expected| {
        given([placed(), confirmed(), lines_fulfilled(1, &[(2, 1)], 9)])
            .when(&cancel(REQUEST, lines), &by_owner(), 10)
            .then_rejected(&expected);
    };
    check(&[(0, 1)], invalid(0, "lines[0].line", "no such line"));
    check(&[(3, 1)], invalid(3, "lines[0].line", "no such line"));
    check(&[(u32::MAX, 1)], invalid(u32::MAX, "lines[0].line", "no such line"));
    check(&[(1, 1), (2, 3)], invalid(2, "lines[1].quantity", "more units than are open"));
    check(&[(1, 1), (1, 1)], invalid(1, "lines[1].line", "named twice"));
}

#[test]
fn each_role_may_give_only_its_own_reasons() {
    use CancelReason::{CustomerRequest, InsufficientStock, Ops, PaymentFailed, SlaTimeout};
    let all = [CustomerRequest, InsufficientStock, SlaTimeout, PaymentFailed, Ops];
    let allowed = [
        (by_owner(), vec![CustomerRequest]),
        (by_ops(), vec![CustomerRequest, Ops]),
        (by_engine(), vec![InsufficientStock, PaymentFailed]),
    ];
    for (by, may) in allowed {
        for reason in all {
            let outcome = given([placed()]).when(&cancel(reason, &[]), &by, 5);
            if may.contains(&reason) {
                outcome.then(order_cancelled(reason, false, 5));
            } else {
                outcome.then_rejected(&Rejection::ForbiddenReason { role: by.role(), reason });
            }
        }
    }
}

#[test]
fn guards_are_state_then_lines_then_reason_then_text() {
    let long = || "x".repeat(501);
    let command = |lines: &[(u32, u32)], reason| {
        Command::Cancel(Cancel { reason, text: long(), lines: units(lines), skus: Vec::new() })
    };
    given(delivered())
        .when(&command(&[(9, 1)], CancelReason::Ops), &by_owner(), 20)
        .then_rejected(&invalid_transition(Status::Fulfilled, "CancelOrder"));
    given([placed()])
        .when(&command(&[(9, 1)], CancelReason::Ops), &by_owner(), 20)
        .then_rejected(&invalid(9, "lines[0].line", "no such line"));
    given([placed()]).when(&command(&[], CancelReason::Ops), &by_owner(), 20).then_rejected(
        &Rejection::ForbiddenReason { role: Role::Customer, reason: CancelReason::Ops },
    );
    given([placed()])
        .when(&command(&[], REQUEST), &by_owner(), 20)
        .then_rejected(&Rejection::TextTooLong { field: "text", max: 500 });
}

#[test]
fn missing_skus_are_kept_for_insufficient_stock_only() {
    let command = |reason| {
        let skus = vec!["MUG".parse().unwrap()];
        Command::Cancel(Cancel { reason, text: "out".to_owned(), lines: Vec::new(), skus })
    };
    let expected = |reason, skus| Event::OrderCancelled {
        reason,
        text: "out".to_owned(),
        was_confirmed: false,
        skus,
        at: after(5),
    };
    let then = given([placed()])
        .when(&command(CancelReason::InsufficientStock), &by_engine(), 5)
        .then(expected(CancelReason::InsufficientStock, vec!["MUG".parse().unwrap()]));
    assert!(matches!(then.order, Order::Cancelled(it) if it.skus.len() == 1 && it.text == "out"));
    given([placed()])
        .when(&command(CancelReason::PaymentFailed), &by_engine(), 5)
        .then(expected(CancelReason::PaymentFailed, Vec::new()));
}

#[test]
fn services_may_not_cancel_and_other_customers_see_nothing() {
    given([placed()])
        .when(&whole(), &by_service(), 5)
        .then_rejected(&Rejection::Forbidden { role: Role::Service });
    given([placed(), order_cancelled(REQUEST, false, 5)])
        .when(&whole(), &by_stranger(), 6)
        .then_rejected(&Rejection::NotFound);
    nothing().when(&whole(), &by_owner(), 5).then_rejected(&Rejection::NotFound);
}
