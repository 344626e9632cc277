//! [`Command::ApproveReturn`]

use order_actor::domain::{
    ApproveReturn, Command, Event, Existing, Order, Rejection, ReturnLineDisposition, Role, Status,
};
use order_actor::outbox::translate;
use shared_events::contract::{Disposition, Money, OrderFact};

use super::support::*;

const ONE_EACH: &[(u32, u32)] = &[(1, 1), (2, 1)];

fn refunding(minor: i64, reason: &str) -> Command {
    Command::ApproveReturn(ApproveReturn {
        refund: Some(gbp(minor)),
        refund_reason: reason.to_owned(),
        ..an_approval()
    })
}

fn disposing(dispositions: &[(u32, Disposition)]) -> Command {
    let dispositions = dispositions
        .iter()
        .map(|(line, disposition)| ReturnLineDisposition { line: *line, disposition: *disposition })
        .collect();
    Command::ApproveReturn(ApproveReturn { dispositions, ..an_approval() })
}

/// The approval of return 1 over one unit each, at 30 s.
fn approved(refund: i64, reason: &str) -> Event {
    let mut event = return_approved(1, ONE_EACH, refund, 30);
    let Event::ReturnApproved { refund_reason, .. } = &mut event else { unreachable!() };
    reason.clone_into(refund_reason);
    event
}

#[test]
fn returning_all_units_ends_the_order() {
    for command in [approve(1), Command::ApproveReturn(an_approval())] {
        let then = given(waiting(ALL))
            .when(&command, &by_ops(), 30)
            .then(return_approved(1, ALL, 3_500, 30))
            .is(Status::Returned)
            .counts(&[(0, 2, 0, 2), (0, 3, 0, 3)]);
        assert_eq!(then.order.details().unwrap().refunded, gbp(3_500));
    }
}

#[test]
fn returning_some_units_keeps_the_window_and_refunds_them() {
    let then = given(waiting(ONE_EACH))
        .when(&approve(1), &by_ops(), 30)
        .then(approved(1_500, ""))
        .is(Status::Fulfilled)
        .counts(&[(0, 2, 0, 1), (0, 3, 0, 1)]);
    let Order::Fulfilled(fulfilled) = then.order else { unreachable!() };
    assert_eq!(fulfilled.return_until, after(10 + 30 * DAY));
}

#[test]
fn returning_the_last_kept_units_ends_the_order() {
    let mut history = waiting(&[(1, 2)]);
    history.extend([return_approved(1, &[(1, 2)], 2_000, 30), return_requested(2, &[(2, 3)], 40)]);
    given(history)
        .when(&approve(2), &by_ops(), 50)
        .then(return_approved(2, &[(2, 3)], 1_500, 50))
        .is(Status::Returned);
}

#[test]
fn lines_are_restocked_unless_written_off() {
    let mut expected = approved(1_500, "");
    let Event::ReturnApproved { lines, .. } = &mut expected else { unreachable!() };
    lines[1].disposition = Disposition::WriteOff;
    given(waiting(ONE_EACH))
        .when(&disposing(&[(2, Disposition::WriteOff)]), &by_ops(), 30)
        .then(expected);
}

#[test]
fn dispositions_name_lines_of_the_return_once() {
    let check = |dispositions: &[(u32, Disposition)], line, at: &str, detail| {
        let at = at.to_owned();
        given(waiting(&[(1, 1)]))
            .when(&disposing(dispositions), &by_ops(), 30)
            .then_rejected(&Rejection::InvalidReturnLines { line, at, detail });
    };
    check(&[(2, Disposition::Restock)], 2, "dispositions[0].line", "not a line of the return");
    check(
        &[(1, Disposition::Restock), (1, Disposition::WriteOff)],
        1,
        "dispositions[1].line",
        "named twice",
    );
}

#[test]
fn a_refund_may_be_set() {
    given(waiting(ONE_EACH)).when(&refunding(0, ""), &by_ops(), 30).then(approved(0, ""));
    given(waiting(ONE_EACH)).when(&refunding(1_500, ""), &by_ops(), 30).then(approved(1_500, ""));
    given(waiting(ONE_EACH))
        .when(&refunding(3_500, "goodwill"), &by_ops(), 30)
        .then(approved(3_500, "goodwill"));
}

#[test]
fn guards_of_the_refund_run_in_order() {
    let check = |command: &Command, expected: &Rejection| {
        given(waiting(ONE_EACH)).when(command, &by_ops(), 30).then_rejected(expected);
    };
    let euros = Some(Money::new(1, "EUR".parse().unwrap()));
    let in_euros = Command::ApproveReturn(ApproveReturn { refund: euros, ..an_approval() });
    check(&refunding(-1, ""), &Rejection::InvalidRefund);
    check(&in_euros, &Rejection::InvalidRefund);
    check(&refunding(1_501, " "), &Rejection::RefundNeedsReason);
    check(&refunding(i64::MAX, ""), &Rejection::RefundNeedsReason);
    let too_large = Rejection::RefundTooLarge { most: gbp(3_500) };
    check(&refunding(3_501, "goodwill"), &too_large);
    check(&refunding(i64::MAX, "goodwill"), &too_large);
    check(
        &refunding(1, &"x".repeat(501)),
        &Rejection::TextTooLong { field: "refund_reason", max: 500 },
    );
}

#[test]
fn refunds_together_never_exceed_the_total_and_the_default_is_what_is_left() {
    let mut history = waiting(ONE_EACH);
    history.extend([approved(3_000, "goodwill"), return_requested(2, &[(1, 1)], 40)]);
    let beyond = ApproveReturn { refund: Some(gbp(501)), ..an_approval() };
    given(history.clone())
        .when(&Command::ApproveReturn(beyond), &by_ops(), 50)
        .then_rejected(&Rejection::RefundTooLarge { most: gbp(500) });
    let what_is_left = return_approved(2, &[(1, 1)], 500, 50);
    given(history).when(&approve(2), &by_ops(), 50).then(what_is_left);
}

#[test]
fn an_approved_return_approved_again_changes_nothing() {
    let mut partly = waiting(ONE_EACH);
    partly.push(approved(1_500, ""));
    let mut again = partly.clone();
    again.push(return_requested(2, &[(1, 1)], 40));
    let mut wholly = waiting(ALL);
    wholly.push(return_approved(1, ALL, 3_500, 30));
    for history in [partly, again, wholly] {
        given(history).when(&approve(1), &by_ops(), 50).then_nothing_happened();
    }
}

#[test]
fn a_different_approval_is_refused_with_the_fields_that_differ() {
    let mut history = waiting(ONE_EACH);
    history.push(approved(1_500, ""));
    let again = |change: fn(&mut ApproveReturn)| {
        let mut other = ApproveReturn { return_id: Some(return_id(1)), ..an_approval() };
        change(&mut other);
        given(history.clone()).when(&Command::ApproveReturn(other), &by_ops(), 50)
    };
    again(|it| it.refund = Some(gbp(1_500))).then_nothing_happened();
    again(|it| it.refund = Some(gbp(1_499)))
        .then_rejected(&exists(Existing::Judgement, &["refund"]));
    again(|it| it.refund_reason = "goodwill".to_owned())
        .then_rejected(&exists(Existing::Judgement, &["refund_reason"]));
    again(|it| {
        let disposition = Disposition::WriteOff;
        it.dispositions = vec![ReturnLineDisposition { line: 1, disposition }];
    })
    .then_rejected(&exists(Existing::Judgement, &["dispositions"]));
}

#[test]
fn cancelled_units_are_not_refunded() {
    // 35.00 ordered, 30.00 of it cancelled, one mug of 10.00 and one plate of 5.00 less delivered.
    let history = vec![
        placed(),
        confirmed(),
        lines_cancelled(&[(1, 1), (2, 2)], 5),
        order_fulfilled(1, ONE_EACH, 10),
        return_requested(1, ONE_EACH, 20),
    ];
    given(history.clone())
        .when(&refunding(1_501, "goodwill"), &by_ops(), 30)
        .then_rejected(&Rejection::RefundTooLarge { most: gbp(1_500) });
    given(history).when(&refunding(1_500, ""), &by_ops(), 30).then(approved(1_500, ""));
}

#[test]
fn a_refund_of_zero_is_not_published() {
    let then = given(waiting(ALL)).when(&refunding(0, ""), &by_ops(), 30);
    let event = return_approved(1, ALL, 0, 30);
    let order = then.then(event.clone()).is(Status::Returned).order;
    let facts = translate(&order, &event);
    assert_eq!(facts.iter().map(OrderFact::kind).collect::<Vec<_>>(), ["order.returned.v1"]);
    // Events from before the distinction still publish the fact: readers know it by its position.
    let json = serde_json::to_string(&event).unwrap();
    let old: Event = serde_json::from_str(&json.replace(",\"refund_told\":false", "")).unwrap();
    assert_ne!(old, event);
    let facts = translate(&order, &old);
    assert_eq!(
        facts.iter().map(OrderFact::kind).collect::<Vec<_>>(),
        ["order.returned.v1", "refund.requested.v1"]
    );
}

#[test]
fn only_the_waiting_return_is_judged() {
    given(waiting(ALL)).when(&approve(2), &by_ops(), 30).then_rejected(&Rejection::ReturnMismatch);
    for (history, from) in [(vec![placed()], Status::Pending), (delivered(), Status::Fulfilled)] {
        let rejection = invalid_transition(from, "ApproveReturn");
        given(history).when(&approve(1), &by_ops(), 40).then_rejected(&rejection);
    }
    let mut rejected = waiting(ALL);
    rejected.push(return_rejected(1, 30));
    given(rejected.clone())
        .when(&approve(1), &by_ops(), 40)
        .then_rejected(&exists(Existing::Judgement, &["verdict"]));
    given(rejected)
        .when(&Command::ApproveReturn(an_approval()), &by_ops(), 40)
        .then_rejected(&invalid_transition(Status::Fulfilled, "ApproveReturn"));
    nothing().when(&approve(1), &by_ops(), 30).then_rejected(&Rejection::NotFound);
}

#[test]
fn only_operators_may_judge() {
    for (by, role) in
        [(by_owner(), Role::Customer), (by_service(), Role::Service), (by_engine(), Role::Engine)]
    {
        given(waiting(ALL))
            .when(&approve(1), &by, 30)
            .then_rejected(&Rejection::Forbidden { role });
    }
}
