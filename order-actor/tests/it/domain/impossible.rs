//! Impossible histories: `evolve` refuses them and never panics.

use order_actor::domain::{Discount, Event, Status};
use shared_events::contract::{CancelReason, Money};

use super::support::*;

fn check(history: Vec<Event>, from: Option<Status>, detail: &str) {
    let impossible = impossible(&history);
    assert_eq!((impossible.from, impossible.detail), (from, detail), "{impossible}");
    assert_eq!(impossible.event, history.last().unwrap().name());
}

const WRONG_STATE: &str = "the state does not allow it";

#[test]
fn the_first_event_is_the_placement_and_there_is_only_one() {
    check(vec![confirmed()], None, WRONG_STATE);
    check(vec![placed(), placed()], Some(Status::Pending), WRONG_STATE);
    assert_eq!(
        impossible(&[confirmed()]).to_string(),
        "OrderConfirmed cannot happen to an order that is ABSENT: the state does not allow it"
    );
}

#[test]
fn lines_and_amounts_of_a_placed_order_must_add_up() {
    let change = |change: fn(&mut Event)| {
        let mut event = placed();
        change(&mut event);
        vec![event]
    };
    macro_rules! with {
        ($lines:ident, $total:ident, $change:expr) => {
            change(|event| {
                let Event::OrderPlaced { lines: $lines, total: $total, .. } = event else {
                    unreachable!()
                };
                let _ = (&$lines, &$total);
                $change;
            })
        };
    }
    check(with!(lines, total, lines.clear()), None, "too few or too many lines");
    check(with!(lines, total, lines[1].line = 3), None, "lines are not numbered from 1");
    check(with!(lines, total, lines.swap(0, 1)), None, "lines are not numbered from 1");
    check(with!(lines, total, lines[0].unit_price.minor = -1), None, "not below zero");
    check(with!(lines, total, lines[0].unit_price = gbp(i64::MAX)), None, "amounts do not fit");
    check(
        with!(lines, total, lines[0].unit_price = Money::new(1, "EUR".parse().unwrap())),
        None,
        "amounts of several currencies",
    );
    let sum = "the total is not the sum of lines, charges and taxes";
    check(with!(lines, total, total.minor += 1), None, sum);
    check(
        with!(lines, total, {
            let label = "SPRING".to_owned();
            lines[0].discounts = vec![Discount { label, amount: gbp(3_501) }];
        }),
        None,
        "the discounts of a line are at most its price",
    );
}

#[test]
fn units_that_do_not_exist_are_refused() {
    let shipped = |lines: &[(u32, u32)]| vec![placed(), confirmed(), lines_fulfilled(1, lines, 10)];
    let confirmed_ = Some(Status::Confirmed);
    check(shipped(&[]), confirmed_, "no lines");
    check(shipped(&[(0, 1)]), confirmed_, "no such line");
    check(shipped(&[(3, 1)]), confirmed_, "no such line");
    check(shipped(&[(1, 3)]), confirmed_, "more units than are open");
    check(shipped(&[(1, 1), (1, 1)]), confirmed_, "a line is named twice");
    check(shipped(ALL), confirmed_, "nothing would stay open");
    check(
        vec![placed(), confirmed(), order_fulfilled(1, &[(1, 2)], 10)],
        confirmed_,
        "units would stay open",
    );
    check(
        vec![placed(), lines_cancelled(ALL, 5)],
        Some(Status::Pending),
        "nothing would stay open",
    );
    check(waiting(&[(1, 3)]), Some(Status::Fulfilled), "more units than the customer has");
}

#[test]
fn a_parcel_or_return_id_occurs_once() {
    check(
        vec![
            placed(),
            confirmed(),
            lines_fulfilled(1, &[(1, 1)], 10),
            lines_fulfilled(1, &[(1, 1)], 11),
        ],
        Some(Status::Confirmed),
        "the parcel was shipped before",
    );
    let mut history = waiting(ALL);
    history.extend([return_rejected(1, 30), return_requested(1, ALL, 40)]);
    check(history, Some(Status::Fulfilled), "the return was judged before");
    let mut history = waiting(ALL);
    history.extend([return_escalated(1, 30), return_escalated(1, 31)]);
    check(history, Some(Status::ReturnRequested), WRONG_STATE);
}

#[test]
fn a_judgement_is_of_the_waiting_return_and_its_units() {
    let judged = |judgement| {
        let mut history = waiting(&[(1, 1), (2, 1)]);
        history.push(judgement);
        history
    };
    let waits = Some(Status::ReturnRequested);
    check(judged(return_approved(2, &[(1, 1), (2, 1)], 0, 30)), waits, WRONG_STATE);
    check(judged(return_rejected(2, 30)), waits, WRONG_STATE);
    let other = "not the units that were requested";
    check(judged(return_approved(1, &[(1, 1)], 0, 30)), waits, other);
    check(judged(return_approved(1, &[(1, 1), (2, 2)], 0, 30)), waits, other);
    let both = &[(1, 1), (2, 1)];
    check(judged(return_approved(1, both, 3_501, 30)), waits, "refunds exceed the total");
    check(judged(return_approved(1, both, -1, 30)), waits, "refunds exceed the total");
}

#[test]
fn a_cancellation_must_fit_the_state_of_the_order() {
    let request = CancelReason::CustomerRequest;
    check(vec![placed(), order_cancelled(request, true, 5)], Some(Status::Pending), WRONG_STATE);
    check(
        vec![placed(), confirmed(), order_cancelled(request, false, 5)],
        Some(Status::Confirmed),
        WRONG_STATE,
    );
    check(
        vec![
            placed(),
            confirmed(),
            lines_fulfilled(1, &[(1, 1)], 10),
            order_cancelled(request, true, 11),
        ],
        Some(Status::Confirmed),
        "units were delivered",
    );
    check(
        vec![placed(), confirmed(), lines_cancelled(ALL, 5)],
        Some(Status::Confirmed),
        "the return window does not fit the open units",
    );
    check(
        vec![placed(), order_cancelled(request, false, 5), confirmed()],
        Some(Status::Cancelled),
        WRONG_STATE,
    );
}
