use payment::domain::{Input, Observation, OperationKind, OperationState, Rejection, Status};
use shared_events::contract::{CapturePolicy, PaymentFact, PaymentPolicy, RefundId, Reversed};

use super::support::{Told, asking, at, done, id};

const FULFIL: CapturePolicy = CapturePolicy::OnFulfil;
const CONFIRM: CapturePolicy = CapturePolicy::OnConfirm;

fn authorized(minor: i64, capture: CapturePolicy) -> Told {
    let mut told = Told::asked(minor, capture);
    told.attempt(10).unwrap();
    told.done(OperationKind::Authorize);
    assert_eq!(told.kinds(), ["payment.authorized.v1", "payment.secured.v1"]);
    told
}

#[test]
fn an_attempt_before_the_order_asks_waits_for_it() {
    let mut told = Told::new();
    told.attempt(10).unwrap();
    assert!(told.case.payments.is_empty());
    told.request(&[(None, 1_000, 0)], FULFIL, PaymentPolicy::AllOrNone);
    assert_eq!(told.status(), Status::Authorizing);
    assert_eq!(told.attempt(10), Ok(0));
}

#[test]
fn two_parcels_are_two_captures_and_nothing_is_left() {
    let mut told = authorized(5_000, FULFIL);
    told.parcel(20, 2_500);
    assert!(told.open(OperationKind::Capture).more_follows);
    told.done(OperationKind::Capture);
    assert_eq!(told.status(), Status::PartiallyCaptured);
    told.parcel(21, 2_500);
    assert!(!told.open(OperationKind::Capture).more_follows);
    told.done(OperationKind::Capture);
    assert_eq!(told.status(), Status::Captured);
    assert_eq!(told.kinds(), ["payment.captured.v1", "payment.captured.v1"]);
    told.parcel(21, 2_500);
    assert_eq!(told.payment(0).captured(), 5_000);
}

#[test]
fn a_provider_that_takes_one_part_takes_all_with_the_first_parcel() {
    let mut told = authorized(5_000, FULFIL);
    told.context.capabilities.multi_capture = false;
    told.parcel(20, 2_500);
    assert_eq!(told.open(OperationKind::Capture).amount.minor, 5_000);
    told.done(OperationKind::Capture);
    told.parcel(21, 2_500);
    assert!(!told.has_open(OperationKind::Capture));
    // What is cancelled later was taken, and is paid back.
    let mut told = authorized(5_000, FULFIL);
    told.context.capabilities.multi_capture = false;
    told.parcel(20, 2_500);
    told.done(OperationKind::Capture);
    told.cancel(30, 2_500, false);
    assert_eq!(told.open(OperationKind::Refund).amount.minor, 2_500);
}

#[test]
fn the_rest_is_given_back_where_the_rest_is_cancelled() {
    let mut told = authorized(5_000, FULFIL);
    told.parcel(20, 2_000);
    told.done(OperationKind::Capture);
    told.kinds();
    told.cancel(30, 3_000, false);
    told.done(OperationKind::Void);
    assert_eq!(told.kinds(), ["payment.voided.v1"]);
    assert_eq!(told.status(), Status::Captured);
    // A last capture gives back what is left, at a provider that does so.
    let mut told = authorized(5_000, FULFIL);
    told.cancel(30, 1_000, false);
    told.parcel(20, 4_000);
    told.done(OperationKind::Capture);
    assert_eq!(told.kinds(), ["payment.captured.v1", "payment.voided.v1"]);
    assert!(!told.has_open(OperationKind::Void));
}

#[test]
fn a_cancelled_order_is_voided_and_a_later_capture_is_not_asked_for() {
    let mut told = authorized(5_000, FULFIL);
    told.cancel(30, 5_000, true);
    told.done(OperationKind::Void);
    assert_eq!(told.kinds(), ["payment.voided.v1", "payment.released.v1"]);
    assert_eq!(told.status(), Status::Voided);
    told.parcel(20, 5_000);
    assert!(!told.has_open(OperationKind::Capture));
    assert_eq!(told.attempt(11), Err(Rejection::NotWanted));
}

#[test]
fn captured_money_of_a_cancelled_order_is_refunded_and_not_voided() {
    let mut told = authorized(5_000, CONFIRM);
    told.hears(Input::Confirmed { cause: id(20) }).unwrap();
    told.done(OperationKind::Capture);
    told.kinds();
    told.cancel(30, 5_000, true);
    assert!(!told.has_open(OperationKind::Void));
    told.done(OperationKind::Refund);
    let back = ["payment.refunded.v1", "refund.settled.v1", "payment.released.v1"];
    assert_eq!(told.kinds(), back);
    assert_eq!(told.status(), Status::Refunded);
}

#[test]
fn a_cancellation_while_the_capture_is_under_way_waits_for_it() {
    let mut told = authorized(5_000, CONFIRM);
    told.hears(Input::Confirmed { cause: id(20) }).unwrap();
    told.cancel(30, 5_000, true);
    assert!(!told.has_open(OperationKind::Refund) && !told.has_open(OperationKind::Void));
    told.done(OperationKind::Capture);
    told.done(OperationKind::Refund);
    assert!(told.case.released);
    // Where the capture is declined, what is reserved is given back, and nothing is refunded.
    let mut told = authorized(5_000, CONFIRM);
    told.hears(Input::Confirmed { cause: id(20) }).unwrap();
    told.cancel(30, 5_000, true);
    told.kinds();
    told.declined(OperationKind::Capture, "closed");
    told.done(OperationKind::Void);
    let PaymentFact::RefundSettled { amount, .. } = &told.facts[0] else {
        panic!("{:?}", told.facts)
    };
    assert_eq!(amount.minor, 0);
    assert_eq!(told.kinds(), ["refund.settled.v1", "payment.voided.v1", "payment.released.v1"]);
}

#[test]
fn a_success_after_the_order_was_cancelled_is_voided_once() {
    let mut told = Told::asked(1_000, FULFIL);
    told.attempt(10).unwrap();
    let late = told.open(OperationKind::Authorize);
    told.cancel(30, 1_000, true);
    assert!(!told.case.released, "the attempt may still succeed");
    told.observe(late.id, done(late.amount));
    told.done(OperationKind::Void);
    assert_eq!(told.kinds(), ["payment.authorized.v1", "payment.voided.v1", "payment.released.v1"]);
    assert_eq!(told.observe(late.id, done(late.amount)), 0);
}

#[test]
fn a_declined_attempt_that_succeeds_late_counts_or_is_voided() {
    let mut told = Told::asked(1_000, FULFIL);
    told.attempt(10).unwrap();
    let first = told.open(OperationKind::Authorize);
    told.declined(OperationKind::Authorize, "insufficient_funds");
    assert_eq!(told.status(), Status::Declined);
    told.observe(first.id, done(first.amount));
    assert_eq!(told.kinds(), ["payment.authorized.v1", "payment.secured.v1"]);
    // With a second attempt that stands, the one that is known later is given back.
    let mut told = Told::asked(1_000, FULFIL);
    told.attempt(10).unwrap();
    let first = told.open(OperationKind::Authorize);
    told.declined(OperationKind::Authorize, "insufficient_funds");
    told.attempt(11).unwrap();
    told.done(OperationKind::Authorize);
    // Its failure comes again, and changes nothing.
    assert_eq!(told.observe(first.id, Observation::Declined { code: "x".to_owned() }), 0);
    told.observe(first.id, done(first.amount));
    let void = told.open(OperationKind::Void);
    let standing = told.payment(0).standing().unwrap().id;
    assert!(void.of.is_some() && void.of != Some(standing));
    told.done(OperationKind::Void);
    assert_eq!(told.status(), Status::Authorized);
}

#[test]
fn five_declined_attempts_fail_the_order() {
    let mut told = Told::asked(1_000, FULFIL);
    for number in 10..15 {
        told.attempt(number).unwrap();
        told.declined(OperationKind::Authorize, "insufficient_funds");
    }
    assert_eq!(told.kinds(), ["payment.failed.v1"]);
    assert_eq!(told.attempt(15), Err(Rejection::NotWanted));
    assert_eq!(told.status(), Status::Failed);
}

#[test]
fn an_order_that_is_not_paid_in_time_fails_and_a_late_success_is_voided() {
    let mut told = Told::asked(1_000, FULFIL);
    told.attempt(10).unwrap();
    assert_eq!(told.case.due_at(), Some(at(15)));
    told.tick(14);
    assert!(told.facts.is_empty());
    told.tick(15);
    assert_eq!(told.kinds(), ["payment.failed.v1"]);
    told.done(OperationKind::Authorize);
    assert_eq!(told.kinds(), ["payment.authorized.v1"]);
    told.done(OperationKind::Void);
    assert!(!told.case.secured);
}

#[test]
fn with_a_policy_per_seller_one_seller_fails_alone() {
    let mut told = Told::new();
    let parts = [(Some("a"), 600, 0), (Some("b"), 400, 0)];
    told.request(&parts, FULFIL, PaymentPolicy::PerSeller);
    told.attempt(10).unwrap();
    told.declined(OperationKind::Authorize, "insufficient_funds");
    told.done(OperationKind::Authorize);
    told.kinds();
    told.tick(15);
    let PaymentFact::Failed { seller, .. } = &told.facts[0] else { panic!("{:?}", told.facts) };
    assert_eq!(seller.as_ref().unwrap().as_str(), "b");
    assert_eq!(told.kinds(), ["payment.failed.v1", "payment.secured.v1"]);
    // With all or none both fail.
    let mut told = Told::new();
    told.request(&parts, FULFIL, PaymentPolicy::AllOrNone);
    told.attempt(10).unwrap();
    told.done(OperationKind::Authorize);
    told.tick(15);
    let PaymentFact::Failed { payment_id: None, .. } = &told.facts[1] else { panic!() };
    told.done(OperationKind::Authorize);
    told.done(OperationKind::Void);
    told.done(OperationKind::Void);
}

#[test]
fn another_amount_than_asked_for_does_not_count_and_is_given_back() {
    let mut told = Told::asked(1_000, FULFIL);
    told.attempt(10).unwrap();
    let (operation, other) = (told.open(OperationKind::Authorize), told.money(900));
    told.observe(operation.id, done(other));
    assert_eq!(told.kinds(), ["payment.authorized.v1"]);
    assert_eq!(told.open(OperationKind::Void).amount.minor, 900);
    told.done(OperationKind::Void);
    told.attempt(11).unwrap();
    told.done(OperationKind::Authorize);
    assert!(told.case.secured);
}

#[test]
fn a_reversal_right_after_the_success_ends_reversed_in_any_order() {
    let reversed = || Observation::Reversed { code: "taken_back".to_owned() };
    let mut told = Told::asked(1_000, FULFIL);
    told.attempt(10).unwrap();
    let operation = told.open(OperationKind::Authorize);
    told.observe(operation.id, done(operation.amount));
    told.observe(operation.id, reversed());
    let kinds = told.kinds();
    assert_eq!(kinds[2..], ["payment.reversed.v1", "payment.lost.v1"]);
    assert_eq!(told.status(), Status::Reversed);
    // The reversal first: nothing stood. The success that follows is older, and a new attempt can
    // be made.
    let mut told = Told::asked(1_000, FULFIL);
    told.attempt(10).unwrap();
    let operation = told.open(OperationKind::Authorize);
    told.observe(operation.id, reversed());
    assert_eq!(told.status(), Status::Declined);
}

#[test]
fn an_authorisation_that_ends_is_told_and_paid_anew() {
    let mut told = authorized(1_000, FULFIL);
    let week = 7 * 24 * 60;
    assert_eq!(told.case.due_at(), Some(at(week)));
    told.tick(week);
    assert_eq!(told.kinds(), ["payment.expired.v1", "payment.lost.v1"]);
    assert_eq!(told.status(), Status::Expired);
    assert_eq!(told.case.due_at(), None);
    told.attempt(11).unwrap();
    told.done(OperationKind::Authorize);
    assert_eq!(told.kinds(), ["payment.authorized.v1", "payment.secured.v1"]);
}

#[test]
fn what_is_being_given_back_does_not_end_as_well() {
    let mut told = authorized(1_000, FULFIL);
    told.cancel(30, 1_000, true);
    assert_eq!(told.case.due_at(), None);
    told.tick(7 * 24 * 60);
    assert!(told.kinds().is_empty());
    told.done(OperationKind::Void);
    assert_eq!(told.kinds(), ["payment.voided.v1", "payment.released.v1"]);
    assert_eq!(told.payment(0).released(), 1_000);
    // Taken back by the provider meanwhile: there is nothing left to give back.
    let mut told = authorized(1_000, FULFIL);
    let reservation = told.payment(0).standing().unwrap().id;
    told.cancel(30, 1_000, true);
    told.observe(reservation, Observation::Reversed { code: "expired".to_owned() });
    told.done(OperationKind::Void);
    assert_eq!(told.kinds(), ["payment.reversed.v1", "payment.released.v1"]);
}

#[test]
fn a_capture_that_fails_for_good_is_lost_and_taken_by_the_next_attempt() {
    let mut told = authorized(1_000, FULFIL);
    told.parcel(20, 1_000);
    told.declined(OperationKind::Capture, "authorization_expired");
    assert_eq!(told.kinds(), ["payment.lost.v1"]);
    told.done(OperationKind::Void);
    told.attempt(11).unwrap();
    told.done(OperationKind::Authorize);
    told.done(OperationKind::Capture);
    assert_eq!(told.status(), Status::Captured);
}

#[test]
fn captures_that_fail_later_are_told_as_reversed() {
    let mut told = authorized(1_000, FULFIL);
    told.parcel(20, 1_000);
    let capture = told.done(OperationKind::Capture);
    told.kinds();
    told.observe(capture, Observation::Reversed { code: "insufficient_funds".to_owned() });
    let PaymentFact::Reversed { reverses: Reversed::Capture, .. } = &told.facts[0] else {
        panic!("{:?}", told.facts)
    };
    assert_eq!(told.payment(0).captured(), 0);
}

#[test]
fn pending_refunds_count_as_used() {
    let mut told = authorized(10_000, FULFIL);
    told.parcel(20, 10_000);
    told.done(OperationKind::Capture);
    told.refund(40, 1_000);
    told.done(OperationKind::Refund);
    told.refund(41, 8_000);
    told.kinds();
    told.refund(42, 1_500);
    // 10.00 of it is left, the rest is not to be had. That is told once nothing of it is open.
    assert_eq!(told.open(OperationKind::Refund).amount.minor, 1_000);
    assert!(told.kinds().is_empty());
    told.done(OperationKind::Refund);
    assert_eq!(told.kinds(), ["payment.refunded.v1", "refund.failed.v1"]);
}

#[test]
fn a_refund_that_fails_days_later_is_told_and_refundable_again() {
    let mut told = authorized(10_000, FULFIL);
    told.parcel(20, 10_000);
    told.done(OperationKind::Capture);
    told.refund(40, 8_000);
    let refund = told.open(OperationKind::Refund);
    told.kinds();
    told.observe(refund.id, Observation::Pending { reference: "r".to_owned() });
    assert!(told.kinds().is_empty(), "nothing is said while it is pending");
    told.observe(refund.id, Observation::Declined { code: "account_closed".to_owned() });
    assert_eq!(told.kinds(), ["refund.failed.v1"]);
    told.refund(41, 10_000);
    told.done(OperationKind::Refund);
    assert_eq!(told.kinds(), ["payment.refunded.v1", "refund.settled.v1"]);
    // One that was paid and came back.
    let mut told = authorized(10_000, FULFIL);
    told.parcel(20, 10_000);
    told.done(OperationKind::Capture);
    told.refund(40, 8_000);
    let refund = told.done(OperationKind::Refund);
    told.kinds();
    told.observe(refund, Observation::Reversed { code: "account_closed".to_owned() });
    assert_eq!(told.kinds(), ["payment.reversed.v1", "refund.failed.v1"]);
    assert_eq!(told.payment(0).refunded(), 0);
}

#[test]
fn a_refund_of_two_parcels_takes_the_oldest_capture_first() {
    let mut told = authorized(5_000, FULFIL);
    for (number, minor) in [(20, 2_000), (21, 3_000)] {
        told.parcel(number, minor);
        told.done(OperationKind::Capture);
    }
    told.refund(40, 2_500);
    let amounts: Vec<i64> =
        told.payment(0).of_kind(OperationKind::Refund).map(|one| one.amount.minor).collect();
    assert_eq!(amounts, [2_000, 500]);
    told.done(OperationKind::Refund);
    told.kinds();
    told.done(OperationKind::Refund);
    assert_eq!(told.kinds(), ["payment.refunded.v1", "refund.settled.v1"]);
}

#[test]
fn what_a_provider_works_on_without_an_end_is_for_people() {
    let mut told = Told::asked(1_000, FULFIL);
    told.attempt(10).unwrap();
    let operation = told.open(OperationKind::Authorize);
    told.observe(operation.id, Observation::Pending { reference: "p".to_owned() });
    told.observe(operation.id, Observation::Stuck { why: "still pending".to_owned() });
    let stuck = told.open(OperationKind::Authorize);
    assert_eq!((stuck.state, stuck.reference.as_deref()), (OperationState::Stuck, Some("p")));
    told.observe(operation.id, Observation::Declined { code: "not_paid".to_owned() });
    assert_eq!(told.status(), Status::Declined);
}

#[test]
fn stuck_operations_are_open_until_something_is_known() {
    let mut told = Told::asked(1_000, FULFIL);
    told.attempt(10).unwrap();
    let operation = told.open(OperationKind::Authorize);
    told.observe(operation.id, Observation::Stuck { why: "no answer".to_owned() });
    assert_eq!(told.open(OperationKind::Authorize).state, OperationState::Stuck);
    assert_eq!(told.attempt(11), Err(Rejection::NothingToPay));
    told.observe(operation.id, done(operation.amount));
    assert!(told.case.secured);
}

#[test]
fn facts_that_cannot_be_are_refused_and_change_nothing() {
    let mut told = authorized(1_000, FULFIL);
    let before = told.case.clone();
    let mut foreign = told.part(0, 10);
    foreign.payment_id = shared_events::contract::PaymentId::from_uuid(id(99));
    let mut euro = told.part(0, 10);
    euro.amount.currency = "EUR".parse().unwrap();
    for part in [foreign, euro, told.part(0, -1)] {
        let (cause, parts) = (id(50), vec![part]);
        let refund_id = RefundId::from_uuid(id(51));
        for input in [
            Input::Fulfilled { cause, parts: parts.clone() },
            Input::Refund { refund_id, parts: parts.clone() },
            Input::Cancelled { cause, refund_id, parts: parts.clone(), whole: false },
        ] {
            assert!(matches!(told.hears(input), Err(Rejection::Malformed(_))));
        }
    }
    assert_eq!(told.case, before);
    let unknown = Input::Observed {
        operation_id: shared_events::contract::OperationId::from_uuid(id(98)),
        seen: Observation::Pending { reference: "x".to_owned() },
    };
    assert_eq!(told.hears(unknown), Err(Rejection::OperationUnknown));
}

#[test]
fn an_order_cancelled_before_it_asked_for_money_is_released_at_once() {
    let mut told = Told::new();
    told.attempt(10).unwrap();
    let (cause, refund_id) = (id(30), RefundId::from_uuid(id(31)));
    let cancelled = Input::Cancelled { cause, refund_id, parts: Vec::new(), whole: true };
    told.hears(cancelled).unwrap();
    assert_eq!(told.kinds(), ["payment.released.v1"]);
    assert_eq!(told.attempt(11), Err(Rejection::NotWanted));
}

#[test]
fn two_installations_with_the_same_orders_tell_no_fact_under_one_id() {
    let paid_of = |asked_by| {
        let mut told = Told::new();
        told.asked_by = asked_by;
        told.request(&[(None, 5_000, 0)], CONFIRM, PaymentPolicy::AllOrNone);
        told.attempt(10).unwrap();
        told.done(OperationKind::Authorize);
        told.hears(Input::Confirmed { cause: id(20) }).unwrap();
        told.done(OperationKind::Capture);
        told.refund(30, 2_000);
        told.done(OperationKind::Refund);
        assert!(told.ids.len() >= 5, "{:?}", told.facts);
        told.ids
    };
    let here = paid_of(Some(asking(90)));
    assert_eq!(here, paid_of(Some(asking(90))), "followed again, it tells the same");
    assert!(here.is_disjoint(&paid_of(Some(asking(91)))), "another journal's order");
    assert!(here.is_disjoint(&paid_of(None)), "stored before the fact was kept");
}
