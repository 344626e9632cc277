//! Returns as they happen: from the first parcel on, several at once, units with outcomes of their
//! own, judged first and received later.

use order_actor::domain::{
    ApproveReturn, Command, Event, Existing, Order, Policy, ReceiveReturn, RejectReturn, Rejection,
    RequestReturn, ReturnLineDisposition, Role, Status, UnitOutcome, bounds, deadline, decide,
    replay,
};
use order_actor::outbox::translate;
use shared_events::contract::{Disposition, OrderFact, OrderId};
use uuid::Uuid;

use super::support::*;

const ONE: &[(u32, u32)] = &[(1, 1)];

/// One mug of two was shipped at 10 s; a mug and three plates are open.
fn first_parcel() -> Vec<Event> {
    vec![placed(), confirmed(), lines_fulfilled(1, ONE, 10)]
}

fn and(mut history: Vec<Event>, more: impl IntoIterator<Item = Event>) -> Vec<Event> {
    history.extend(more);
    history
}

/// Return 1 of everything, approved at 30 s, its goods not received.
fn approved_later(lines: &[(u32, u32)], refund: i64) -> Vec<Event> {
    and(waiting(lines), [return_authorized(1, lines, refund, 30)])
}

fn with_outcomes(units: &[(u32, u32, UnitOutcome)], why: &str) -> ApproveReturn {
    let rejected_reason = why.to_owned();
    ApproveReturn { outcomes: outcomes(units), rejected_reason, ..an_approval() }
}

fn received(units: &[(u32, u32, UnitOutcome)], why: &str) -> ReceiveReturn {
    let rejected_reason = why.to_owned();
    ReceiveReturn { outcomes: outcomes(units), rejected_reason, ..a_receipt() }
}

mod from_the_first_parcel_on {
    use super::*;

    #[test]
    fn a_return_waits_beside_open_units() {
        let then = given(first_parcel())
            .when(&request_return(1, ONE), &by_owner(), 400 * DAY)
            .then(return_requested(1, ONE, 400 * DAY))
            .is(Status::Confirmed)
            .counts(&[(0, 1, 1, 0), (0, 0, 0, 0)]);
        let [waits] = &then.order.details().unwrap().waiting[..] else { panic!() };
        assert_eq!((waits.requested_at, waits.approval.is_none()), (after(400 * DAY), true));
        given(first_parcel()).when(&request_return(1, &[(2, 1)]), &by_owner(), 20).then_rejected(
            &Rejection::InvalidReturnLines {
                line: 2,
                at: "lines[0].quantity".to_owned(),
                detail: "more units than were delivered and kept",
            },
        );
    }

    #[test]
    fn nothing_can_be_returned_before_the_first_parcel() {
        let rejection = invalid_transition(Status::Confirmed, "RequestReturn");
        given([placed(), confirmed()])
            .when(&request_return(1, ONE), &by_owner(), 20)
            .then_rejected(&rejection);
        let text = "an order that is CONFIRMED does not allow RequestReturn; it allows CancelOrder \
                    and FulfillOrder";
        assert_eq!(rejection.to_string(), text);
    }

    #[test]
    fn open_units_are_shipped_and_cancelled_while_a_return_waits() {
        let waits = || and(first_parcel(), [return_requested(1, ONE, 20)]);
        given(waits())
            .when(&fulfill(2, &[]), &by_service(), 30)
            .then(order_fulfilled(2, &[(1, 1), (2, 3)], 30))
            .is(Status::ReturnRequested);
        given(waits())
            .when(&fulfill(2, &[(2, 1)]), &by_service(), 30)
            .then(lines_fulfilled(2, &[(2, 1)], 30))
            .is(Status::Confirmed);
        let mut rest = lines_cancelled(&[(1, 1), (2, 3)], 30);
        let Event::LinesCancelled { return_until, .. } = &mut rest else { unreachable!() };
        *return_until = Some(after(10 + 30 * DAY));
        let all = cancel(shared_events::contract::CancelReason::CustomerRequest, &[]);
        given(waits()).when(&all, &by_owner(), 30).then(rest.clone()).is(Status::ReturnRequested);
        // What was delivered came back before: then nothing is left.
        given(and(waits(), [return_approved(1, ONE, 1_000, 25)]))
            .when(&all, &by_owner(), 30)
            .then(rest)
            .is(Status::Returned);
    }

    #[test]
    fn a_return_is_judged_beside_open_units() {
        let waits = || and(first_parcel(), [return_requested(1, ONE, 20)]);
        given(waits())
            .when(&approve(1), &by_ops(), 30)
            .then(return_approved(1, ONE, 1_000, 30))
            .is(Status::Confirmed)
            .counts(&[(0, 1, 0, 1), (0, 0, 0, 0)]);
        given(waits())
            .when(&reject(1), &by_ops(), 30)
            .then(return_rejected(1, 30))
            .is(Status::Confirmed);
        // What is open may still be cancelled: only delivered units are paid back.
        let goodwill = ApproveReturn {
            refund: Some(gbp(1_001)),
            refund_reason: "sorry".to_owned(),
            ..an_approval()
        };
        given(waits())
            .when(&Command::ApproveReturn(goodwill), &by_ops(), 30)
            .then_rejected(&Rejection::RefundTooLarge { most: gbp(1_000) });
    }
}

mod several_at_once {
    use super::*;

    fn two() -> Vec<Event> {
        and(waiting(ONE), [return_requested(2, &[(2, 1)], 30)])
    }

    #[test]
    fn several_returns_wait_and_each_is_judged_by_its_id() {
        let then = given(waiting(ONE))
            .when(&request_return(2, &[(2, 1)]), &by_owner(), 30)
            .then(return_requested(2, &[(2, 1)], 30))
            .is(Status::ReturnRequested)
            .counts(&[(0, 2, 1, 0), (0, 3, 1, 0)]);
        let ids: Vec<_> =
            then.order.details().unwrap().waiting.iter().map(|one| one.return_id).collect();
        assert_eq!(ids, [return_id(1), return_id(2)]);
        given(two())
            .when(&approve(2), &by_ops(), 40)
            .then(return_approved(2, &[(2, 1)], 500, 40))
            .is(Status::ReturnRequested)
            .counts(&[(0, 2, 1, 0), (0, 3, 0, 1)]);
        given(and(two(), [return_approved(2, &[(2, 1)], 500, 40)]))
            .when(&reject(1), &by_ops(), 50)
            .then(return_rejected(1, 50))
            .is(Status::Fulfilled)
            .counts(&[(0, 2, 0, 0), (0, 3, 0, 1)]);
    }

    #[test]
    fn a_judgement_names_its_return_where_several_wait() {
        let unnamed = [Command::ApproveReturn(an_approval()), Command::RejectReturn(a_rejection())];
        for command in unnamed {
            given(two()).when(&command, &by_ops(), 40).then_rejected(&Rejection::ReturnIdRequired);
        }
        given(two()).when(&approve(3), &by_ops(), 40).then_rejected(&Rejection::ReturnMismatch);
        // Of the two only one waits for its judgement.
        given(and(two(), [return_authorized(1, ONE, 1_000, 35)]))
            .when(&Command::ApproveReturn(an_approval()), &by_ops(), 40)
            .then(return_approved(2, &[(2, 1)], 500, 40));
    }

    #[test]
    fn units_in_one_return_are_in_no_other() {
        given(two()).when(&request_return(3, &[(1, 2)]), &by_owner(), 40).then_rejected(
            &Rejection::InvalidReturnLines {
                line: 1,
                at: "lines[0].quantity".to_owned(),
                detail: "more units than were delivered and kept",
            },
        );
    }

    #[test]
    fn the_waiting_returns_of_an_order_are_bounded() {
        let lines = vec![new_line("MUG", 100, gbp(1))];
        let place = Command::from(order_actor::domain::Place { lines, ..a_place() });
        let mut order = Order::Absent;
        let policy = order_actor::domain::Policy::default();
        let mut send = |command: &Command, by| {
            let events = order_actor::domain::decide(&order, command, &by, after(20), &policy)?;
            order = events.iter().try_fold(order.clone(), order_actor::domain::evolve).unwrap();
            Ok::<_, Rejection>(())
        };
        send(&place, by_owner()).unwrap();
        send(&confirm(1), by_engine()).unwrap();
        send(&fulfill(1, &[]), by_service()).unwrap();
        let max = bounds::RETURNS_WAITING_MAX;
        for n in 0..u128::try_from(max).unwrap() {
            send(&request_return(n, ONE), by_owner()).unwrap();
        }
        let more = send(&request_return(99, ONE), by_ops());
        assert_eq!(more, Err(Rejection::TooManyReturns { max }));
        send(&reject(0), by_ops()).unwrap();
        send(&request_return(99, ONE), by_ops()).unwrap();
    }

    #[test]
    fn each_waiting_return_has_its_own_reminder() {
        let due = |history: Vec<Event>| {
            let order = order_actor::domain::replay(&history).unwrap();
            deadline(&order).map(|deadline| deadline.due)
        };
        assert_eq!(due(two()), Some(after(20 + 3 * DAY)));
        let then = given(two())
            .when(&Command::Escalate, &by_engine(), 20 + 3 * DAY)
            .then(return_escalated(1, 20 + 3 * DAY));
        assert_eq!(deadline(&then.order).map(|next| next.due), Some(after(30 + 3 * DAY)));
        assert_eq!(
            due(and(two(), [return_authorized(1, ONE, 1_000, 40)])),
            Some(after(30 + 3 * DAY))
        );
        assert_eq!(due(approved_later(ONE, 1_000)), None);
        // Both overdue: one command, two reminders.
        let order = order_actor::domain::replay(&two()).unwrap();
        let policy = order_actor::domain::Policy::default();
        let late = after(9 * DAY);
        let both =
            order_actor::domain::decide(&order, &Command::Escalate, &by_engine(), late, &policy);
        assert_eq!(both.unwrap().len(), 2);
    }
}

mod outcomes_of_units {
    use super::*;

    const THREE: &[(u32, u32)] = &[(2, 3)];

    #[test]
    fn units_of_one_line_have_several_outcomes() {
        let split = [
            (2, 1, UnitOutcome::Restock),
            (2, 1, UnitOutcome::WriteOff),
            (2, 1, UnitOutcome::NotArrived),
        ];
        let mut expected = return_approved(1, &[(2, 1), (2, 1)], 1_000, 30);
        let Event::ReturnApproved { lines, kept, .. } = &mut expected else { unreachable!() };
        lines[1].disposition = Disposition::WriteOff;
        *kept = outcomes(&split[2..]);
        let command = Command::ApproveReturn(with_outcomes(&split, ""));
        let then = given(waiting(THREE))
            .when(&command, &by_ops(), 30)
            .then(expected.clone())
            .is(Status::Fulfilled)
            .counts(&[(0, 2, 0, 0), (0, 3, 0, 2)]);
        let facts = translate(&then.order, &expected);
        let [OrderFact::Returned { lines, kept, .. }, OrderFact::RefundRequested { refund, .. }] =
            &facts[..]
        else {
            panic!("{facts:?}")
        };
        let restocked = lines.iter().filter(|back| back.disposition == Disposition::Restock);
        assert_eq!(restocked.map(|back| back.quantity.get()).sum::<u32>(), 1);
        assert_eq!(
            (lines.len(), kept[0].outcome.as_str(), *refund),
            (2, "NOT_ARRIVED", gbp(1_000))
        );
        // Again it is the same, in any order; otherwise it is another judgement.
        let named = |mut approval: ApproveReturn| {
            approval.return_id = Some(return_id(1));
            Command::ApproveReturn(approval)
        };
        let history = and(waiting(THREE), [expected]);
        let turned = [split[2], split[0], split[1]];
        given(history.clone())
            .when(&named(with_outcomes(&turned, "")), &by_ops(), 40)
            .then_nothing_happened();
        let other = [(2, 2, UnitOutcome::Restock), (2, 1, UnitOutcome::NotArrived)];
        given(history.clone())
            .when(&named(with_outcomes(&other, "")), &by_ops(), 40)
            .then_rejected(&exists(Existing::Judgement, &["outcomes"]));
        given(history)
            .when(&approve(1), &by_ops(), 40)
            .then_rejected(&exists(Existing::Judgement, &["dispositions"]));
    }

    #[test]
    fn units_are_rejected_with_a_reason_and_stay_with_the_customer() {
        let split = [(2, 2, UnitOutcome::Restock), (2, 1, UnitOutcome::Rejected)];
        let mut expected = return_approved(1, &[(2, 2)], 1_000, 30);
        let Event::ReturnApproved { kept, rejected_reason, .. } = &mut expected else {
            unreachable!()
        };
        *kept = outcomes(&split[1..]);
        "used".clone_into(rejected_reason);
        given(waiting(THREE))
            .when(&Command::ApproveReturn(with_outcomes(&split, "used")), &by_ops(), 30)
            .then(expected)
            .counts(&[(0, 2, 0, 0), (0, 3, 0, 2)]);
    }

    #[test]
    fn outcomes_name_all_units_of_a_line_once() {
        use UnitOutcome::{NotArrived, Rejected, Restock, WriteOff};
        let check = |units: &[(u32, u32, UnitOutcome)], why: &str, line, at: &str, detail| {
            let at = at.to_owned();
            let expected = Rejection::InvalidReturnLines { line, at, detail };
            given(waiting(THREE))
                .when(&Command::ApproveReturn(with_outcomes(units, why)), &by_ops(), 30)
                .then_rejected(&expected);
            given(approved_later(THREE, 1_500))
                .when(&Command::ReceiveReturn(received(units, why)), &by_desk(), 40)
                .then_rejected(&expected);
        };
        let sum = "the units of a line add up to those of the return";
        check(&[(2, 2, Restock)], "", 2, "outcomes[0].quantity", sum);
        check(&[(2, 4, Restock)], "", 2, "outcomes[0].quantity", sum);
        check(&[(1, 1, Restock)], "", 1, "outcomes[0].line", "not a line of the return");
        let twice = [(2, 1, WriteOff), (2, 2, WriteOff)];
        check(&twice, "", 2, "outcomes[1].line", "named twice");
        let nothing = "no unit would be taken back; reject the return";
        check(&[(2, 3, NotArrived)], "", 0, "outcomes", nothing);
        let reason = "units are rejected with a reason, and only they have one";
        let rejects = [(2, 2, Restock), (2, 1, Rejected)];
        check(&rejects, " ", 0, "rejected_reason", reason);
        check(&[(2, 3, Restock)], "used", 0, "rejected_reason", reason);
    }

    #[test]
    fn dispositions_and_outcomes_are_not_mixed() {
        let mut both = with_outcomes(&[(2, 3, UnitOutcome::Restock)], "");
        let disposition = Disposition::WriteOff;
        both.dispositions = vec![ReturnLineDisposition { line: 2, disposition }];
        let mut later = both.clone();
        later.outcomes.clear();
        later.receive_later = true;
        for command in [both, later] {
            given(waiting(THREE))
                .when(&Command::ApproveReturn(command), &by_ops(), 30)
                .then_rejected(&Rejection::InvalidReturnLines {
                    line: 2,
                    at: "dispositions[0].line".to_owned(),
                    detail: "what becomes of units is said once: in outcomes, or when they are \
                             received",
                });
        }
    }
}

mod received_later {
    use super::*;

    const THREE: &[(u32, u32)] = &[(2, 3)];

    #[test]
    fn an_approved_return_keeps_its_units_until_it_is_received() {
        let event = return_authorized(1, THREE, 1_500, 30);
        let then = given(waiting(THREE))
            .when(&approve_later(1), &by_ops(), 30)
            .then(event.clone())
            .is(Status::ReturnRequested)
            .counts(&[(0, 2, 0, 0), (0, 3, 3, 0)]);
        let details = then.order.details().unwrap();
        assert_eq!((details.refunded, details.promised()), (gbp(0), gbp(1_500)));
        assert_eq!(details.refundable(), gbp(2_000));
        let kinds: Vec<_> = translate(&then.order, &event).iter().map(OrderFact::kind).collect();
        assert_eq!(kinds, ["order.return.approved.v1"]);
        let event = return_received(1, THREE, 1_500, 40);
        for by in [by_desk(), by_ops()] {
            let then = given(approved_later(THREE, 1_500))
                .when(&receive(1), &by, 40)
                .then(event.clone())
                .is(Status::Fulfilled)
                .counts(&[(0, 2, 0, 0), (0, 3, 0, 3)]);
            assert_eq!(then.order.details().unwrap().refunded, gbp(1_500));
            let facts = translate(&then.order, &event);
            let kinds: Vec<_> = facts.iter().map(OrderFact::kind).collect();
            assert_eq!(kinds, ["order.returned.v1", "refund.requested.v1"]);
        }
    }

    #[test]
    fn what_does_not_arrive_is_taken_off_the_refund() {
        let split = [
            (2, 1, UnitOutcome::WriteOff),
            (2, 1, UnitOutcome::NotArrived),
            (2, 1, UnitOutcome::Rejected),
        ];
        // A fee of 1.00 was kept back at the approval.
        let mut expected = return_received(1, &[(2, 1)], 400, 40);
        let Event::ReturnReceived { lines, kept, rejected_reason, .. } = &mut expected else {
            unreachable!()
        };
        lines[0].disposition = Disposition::WriteOff;
        *kept = outcomes(&split[1..]);
        "worn".clone_into(rejected_reason);
        let then = given(approved_later(THREE, 1_400))
            .when(&Command::ReceiveReturn(received(&split, "worn")), &by_desk(), 40)
            .then(expected.clone())
            .is(Status::Fulfilled)
            .counts(&[(0, 2, 0, 0), (0, 3, 0, 1)]);
        assert_eq!(then.order.details().unwrap().promised(), gbp(0));
        let history = and(approved_later(THREE, 1_400), [expected]);
        let mut again = received(&split, "worn");
        again.return_id = Some(return_id(1));
        given(history.clone())
            .when(&Command::ReceiveReturn(again), &by_desk(), 50)
            .then_nothing_happened();
        given(history)
            .when(&receive(1), &by_desk(), 50)
            .then_rejected(&exists(Existing::Receipt, &["outcomes", "rejected_reason"]));
    }

    #[test]
    fn units_are_rejected_at_the_approval_already() {
        let rejects = [(2, 1, UnitOutcome::Rejected)];
        let approval = ApproveReturn { receive_later: true, ..with_outcomes(&rejects, "used") };
        let mut expected = return_authorized(1, &[(2, 2)], 1_000, 30);
        let Event::ReturnAuthorized { kept, rejected_reason, .. } = &mut expected else {
            unreachable!()
        };
        *kept = outcomes(&rejects);
        "used".clone_into(rejected_reason);
        given(waiting(THREE))
            .when(&Command::ApproveReturn(approval), &by_ops(), 30)
            .then(expected.clone())
            .counts(&[(0, 2, 0, 0), (0, 3, 2, 0)]);
        given(and(waiting(THREE), [expected]))
            .when(&receive(1), &by_desk(), 40)
            .then(return_received(1, &[(2, 2)], 1_000, 40))
            .counts(&[(0, 2, 0, 0), (0, 3, 0, 2)]);
        let check = |units: &[(u32, u32, UnitOutcome)], at: &str, detail| {
            let approval = ApproveReturn { receive_later: true, ..with_outcomes(units, "used") };
            let at = at.to_owned();
            given(waiting(THREE))
                .when(&Command::ApproveReturn(approval), &by_ops(), 30)
                .then_rejected(&Rejection::InvalidReturnLines { line: 2, at, detail });
        };
        let only = "only REJECTED before the units are received";
        check(&[(2, 1, UnitOutcome::WriteOff)], "outcomes[0].outcome", only);
        let more = "more units than those of the return";
        check(&[(2, 4, UnitOutcome::Rejected)], "outcomes[0].quantity", more);
    }

    #[test]
    fn an_approval_repeated_changes_nothing_and_another_is_refused() {
        let mut received = approved_later(THREE, 1_500);
        received.push(return_received(1, THREE, 1_500, 40));
        for history in [approved_later(THREE, 1_500), received] {
            given(history.clone()).when(&approve_later(1), &by_ops(), 50).then_nothing_happened();
            given(history.clone())
                .when(&approve(1), &by_ops(), 50)
                .then_rejected(&exists(Existing::Judgement, &["receive_later"]));
            let return_id = Some(return_id(1));
            let refund = Some(gbp(1));
            let other = ApproveReturn { return_id, refund, receive_later: true, ..an_approval() };
            given(history)
                .when(&Command::ApproveReturn(other), &by_ops(), 50)
                .then_rejected(&exists(Existing::Judgement, &["refund"]));
        }
        given(and(waiting(ONE), [return_approved(1, ONE, 1_000, 30)]))
            .when(&approve_later(1), &by_ops(), 40)
            .then_rejected(&exists(Existing::Judgement, &["receive_later"]));
    }

    #[test]
    fn the_policy_counts_where_nothing_is_said_of_the_goods() {
        let policy = Policy { receive_later: true, ..Policy::default() };
        let decided = |history: &[Event], approval: ApproveReturn| {
            let (order, command) = (replay(history).unwrap(), Command::ApproveReturn(approval));
            decide(&order, &command, &by_ops(), after(30), &policy)
        };
        let asked = waiting(THREE);
        let (later, named) = (return_authorized(1, THREE, 1_500, 30), Some(return_id(1)));
        let plain = || ApproveReturn { return_id: named, ..an_approval() };
        assert_eq!(decided(&asked, plain()), Ok(vec![later.clone()]));
        let rejects = [(2, 1, UnitOutcome::Rejected)];
        let rejected = decided(&asked, with_outcomes(&rejects, "used")).unwrap();
        assert!(matches!(rejected[..], [Event::ReturnAuthorized { .. }]), "{rejected:?}");
        // Whoever says what became of the units has them.
        let written_off = ReturnLineDisposition { line: 2, disposition: Disposition::WriteOff };
        for here in [
            ApproveReturn { receive_at_once: true, ..plain() },
            ApproveReturn { location: Some("berlin".parse().unwrap()), ..plain() },
            with_outcomes(&[(2, 3, UnitOutcome::Restock)], ""),
            ApproveReturn { dispositions: vec![written_off], ..plain() },
        ] {
            let events = decided(&asked, here).unwrap();
            assert!(matches!(events[..], [Event::ReturnApproved { .. }]), "{events:?}");
        }
        // Said again it is the same, also once the goods were received.
        let approved = and(asked.clone(), [later]);
        let received = and(approved.clone(), [return_received(1, THREE, 1_500, 40)]);
        for history in [approved, received] {
            assert_eq!(decided(&history, plain()), Ok(Vec::new()));
            let at_once = ApproveReturn { receive_at_once: true, ..plain() };
            let other = exists(Existing::Judgement, &["receive_later"]);
            assert_eq!(decided(&history, at_once), Err(other));
        }
        // An approval of before the policy, too, where it says what it was.
        let before = and(asked, [return_approved(1, THREE, 1_500, 30)]);
        let at_once = ApproveReturn { receive_at_once: true, ..plain() };
        assert_eq!(decided(&before, at_once), Ok(Vec::new()));
    }

    #[test]
    fn an_approved_return_that_does_not_come_is_rejected() {
        let then = given(approved_later(THREE, 1_500))
            .when(&reject(1), &by_ops(), 40)
            .then(return_rejected(1, 40))
            .is(Status::Fulfilled)
            .counts(&[(0, 2, 0, 0), (0, 3, 0, 0)]);
        let details = then.order.details().unwrap();
        assert_eq!((details.refundable(), details.promised()), (gbp(3_500), gbp(0)));
        given(and(approved_later(THREE, 1_500), [return_rejected(1, 40)]))
            .when(&receive(1), &by_desk(), 50)
            .then_rejected(&exists(Existing::Judgement, &["verdict"]));
    }

    #[test]
    fn what_is_promised_is_not_refunded_twice() {
        // 35.00 in all: 30.00 are promised for a return of a mug, as goodwill.
        let mut goodwill = return_authorized(1, ONE, 3_000, 30);
        let Event::ReturnAuthorized { refund_reason, .. } = &mut goodwill else { unreachable!() };
        "sorry".clone_into(refund_reason);
        let history = and(waiting(ONE), [goodwill, return_requested(2, &[(1, 1), (2, 1)], 40)]);
        given(history).when(&approve(2), &by_ops(), 50).then(return_approved(
            2,
            &[(1, 1), (2, 1)],
            500,
            50,
        ));
    }

    #[test]
    fn only_approved_returns_are_received() {
        for command in [receive(1), Command::ReceiveReturn(a_receipt())] {
            given(waiting(ONE))
                .when(&command, &by_desk(), 30)
                .then_rejected(&Rejection::ReturnNotApproved);
        }
        given(delivered())
            .when(&receive(1), &by_desk(), 30)
            .then_rejected(&invalid_transition(Status::Fulfilled, "ReceiveReturn"));
        given(and(waiting(ONE), [return_approved(1, ONE, 1_000, 30)]))
            .when(&receive(1), &by_desk(), 40)
            .then_rejected(&exists(Existing::Judgement, &["verdict"]));
    }

    #[test]
    fn only_operators_and_the_returns_desk_receive() {
        for (by, role) in [
            (by_owner(), Role::Customer),
            (by_service(), Role::Service),
            (by_engine(), Role::Engine),
        ] {
            given(approved_later(ONE, 1_000))
                .when(&receive(1), &by, 40)
                .then_rejected(&Rejection::Forbidden { role });
        }
        let role = Role::Service;
        for command in [place(), fulfill(2, &[]), approve(1), reject(1), request_return(2, ONE)] {
            given(approved_later(ONE, 1_000))
                .when(&command, &by_desk(), 40)
                .then_rejected(&Rejection::Forbidden { role });
        }
    }
}

mod named_by_reference {
    use super::*;

    fn asking(n: u128, reference: &str, lines: &[(u32, u32)]) -> Command {
        let reference = reference.to_owned();
        Command::RequestReturn(RequestReturn {
            return_id: return_id(n),
            lines: units(lines),
            reason: "chipped".to_owned(),
            reference,
            exchange_order_id: None,
        })
    }

    fn asked(n: u128, rma: &str, lines: &[(u32, u32)]) -> Event {
        let mut event = return_requested(n, lines, 20);
        let Event::ReturnRequested { reference, .. } = &mut event else { unreachable!() };
        rma.clone_into(reference);
        event
    }

    fn two() -> Vec<Event> {
        and(delivered(), [asked(1, "RMA 1", ONE), asked(2, "RMA 2", &[(2, 1)])])
    }

    #[test]
    fn a_return_is_judged_and_received_by_its_reference() {
        given(delivered()).when(&asking(1, "RMA 1", ONE), &by_ops(), 20).then({
            let mut event = asked(1, "RMA 1", ONE);
            let Event::ReturnRequested { asked_by, .. } = &mut event else { unreachable!() };
            *asked_by = Role::Ops;
            event
        });
        let reference = "RMA 2".to_owned();
        let approval = ApproveReturn { reference: reference.clone(), ..an_approval() };
        let expected = return_approved(2, &[(2, 1)], 500, 30);
        given(two())
            .when(&Command::ApproveReturn(approval.clone()), &by_ops(), 30)
            .then(expected.clone());
        given(and(two(), [expected]))
            .when(&Command::ApproveReturn(approval), &by_ops(), 40)
            .then_nothing_happened();
        let rejection = RejectReturn { reference: reference.clone(), ..a_rejection() };
        given(two())
            .when(&Command::RejectReturn(rejection), &by_ops(), 30)
            .then(return_rejected(2, 30));
        let receipt = ReceiveReturn { reference, ..a_receipt() };
        given(and(two(), [return_authorized(2, &[(2, 1)], 500, 30)]))
            .when(&Command::ReceiveReturn(receipt), &by_desk(), 40)
            .then(return_received(2, &[(2, 1)], 500, 40));
        let both = ApproveReturn {
            return_id: Some(return_id(1)),
            reference: "RMA 2".to_owned(),
            ..an_approval()
        };
        given(two())
            .when(&Command::ApproveReturn(both), &by_ops(), 30)
            .then_rejected(&Rejection::ReturnMismatch);
    }

    #[test]
    fn a_reference_is_of_one_return() {
        given(two()).when(&asking(1, "RMA 1", ONE), &by_owner(), 30).then_nothing_happened();
        given(two())
            .when(&asking(3, "RMA 1", ONE), &by_owner(), 30)
            .then_rejected(&exists(Existing::Return, &["return_id"]));
        given(two())
            .when(&asking(1, "", ONE), &by_owner(), 30)
            .then_rejected(&exists(Existing::Return, &["return_reference"]));
        given(and(two(), [return_rejected(1, 40)]))
            .when(&asking(1, "RMA 1", ONE), &by_owner(), 50)
            .then_rejected(&exists(Existing::RejectedReturn, &[]));
        let (field, max) = ("return_reference", bounds::REFERENCE_MAX);
        given(delivered())
            .when(&asking(1, &"x".repeat(max + 1), ONE), &by_owner(), 20)
            .then_rejected(&Rejection::TextTooLong { field, max });
    }

    #[test]
    fn a_return_may_name_the_order_that_replaces_it() {
        let other = OrderId::from_uuid(Uuid::from_u128(0xB));
        let mut event = return_requested(1, ONE, 20);
        let Event::ReturnRequested { exchange_order_id, .. } = &mut event else { unreachable!() };
        *exchange_order_id = Some(other);
        let exchanging = |exchange_order_id| {
            Command::RequestReturn(RequestReturn {
                return_id: return_id(1),
                lines: units(ONE),
                reason: "chipped".to_owned(),
                reference: String::new(),
                exchange_order_id,
            })
        };
        given(delivered()).when(&exchanging(Some(other)), &by_owner(), 20).then(event.clone());
        given(and(delivered(), [event]))
            .when(&exchanging(None), &by_owner(), 30)
            .then_rejected(&exists(Existing::Return, &["exchange_order_id"]));
    }
}

/// Histories that no decision leads to.
#[test]
fn impossible_events_of_returns_are_refused() {
    let check = |history: Vec<Event>, detail: &str| {
        let impossible = impossible(&history);
        assert_eq!(impossible.detail, detail, "{impossible}");
    };
    let wrong = "the state does not allow it";
    let other = "not the units that were requested";
    let before = "the return was approved before";
    check(and(waiting(ONE), [return_requested(1, ONE, 30)]), "the return was requested before");
    check(and(waiting(ONE), [return_received(1, ONE, 1_000, 30)]), "the return was not approved");
    let approved = || approved_later(ONE, 1_000);
    check(and(approved(), [return_approved(1, ONE, 1_000, 40)]), before);
    check(and(approved(), [return_authorized(1, ONE, 1_000, 40)]), before);
    check(and(approved(), [return_escalated(1, 40)]), wrong);
    check(and(approved(), [return_received(1, &[(1, 2)], 1_000, 40)]), other);
    check(and(approved(), [return_received(2, ONE, 1_000, 40)]), wrong);
    check(and(waiting(ONE), [return_authorized(1, &[], 0, 30)]), other);
    check(and(waiting(ONE), [return_authorized(1, &[(2, 1)], 0, 30)]), other);
    let too_much = return_authorized(1, ONE, 3_501, 30);
    check(and(waiting(ONE), [too_much]), "refunds exceed what was delivered");
    let mut kept = return_approved(1, &[], 0, 30);
    if let Event::ReturnApproved { kept, .. } = &mut kept {
        *kept = outcomes(&[(1, 1, UnitOutcome::Restock)]);
    }
    check(and(waiting(ONE), [kept]), other);
    check(vec![placed(), return_requested(1, ONE, 5)], wrong);
    let requests = (1..=21).map(|n| return_requested(n, ONE, 20));
    let mut many = delivered();
    if let Event::OrderPlaced { lines, total, .. } = &mut many[0] {
        lines[0].quantity = shared_events::contract::Quantity::new(100).unwrap();
        *total = gbp(101_500);
    }
    if let Event::OrderFulfilled { lines, .. } = &mut many[2] {
        *lines = units(&[(1, 100), (2, 3)]);
    }
    check(and(many, requests), "too many returns wait");
}
