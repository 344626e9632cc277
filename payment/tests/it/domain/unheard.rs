//! Parcels, cancellations and returns that the journal lost when it was restored, of orders that it
//! still has.

use payment::domain::{Input, Observation, Unheard};
use shared_events::contract::{CapturePolicy, OperationId};

use super::support::{AUTHORIZE, CAPTURE, REFUND, Told, VOID, done, id};

/// The journal lost these; what is told of that alone is left in `facts`.
fn unhear(told: &mut Told, causes: &[u128]) {
    told.kinds();
    let causes = causes.iter().map(|number| id(*number)).collect();
    let what = Unheard::of(causes, &told.events);
    assert!(told.hears(Input::Unheard(what.clone())).unwrap() > 0);
    assert_eq!(told.hears(Input::Unheard(what)), Ok(0), "it is forgotten once");
}

#[test]
fn goods_that_are_sent_again_are_not_taken_twice() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(21, 2_000);
    told.done(CAPTURE);
    unhear(&mut told, &[21]);
    assert!(told.kinds().is_empty() && !told.has_open(VOID), "nothing moves because of it");
    told.parcel(22, 2_000);
    assert!(!told.has_open(CAPTURE));
    told.parcel(23, 3_000);
    assert_eq!(told.open(CAPTURE).amount, told.money(3_000));
    told.done(CAPTURE);
    assert_eq!(told.payment(0).captured(), 5_000);
}

#[test]
fn a_parcel_that_is_there_after_all_is_not_taken_twice() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(21, 2_000);
    told.done(CAPTURE);
    let before = told.payment(0).clone();
    unhear(&mut told, &[21]);
    told.parcel(21, 2_000);
    assert_eq!(*told.payment(0), before);
}

#[test]
fn an_order_that_is_confirmed_again_is_not_taken_twice() {
    let mut told = Told::taken();
    unhear(&mut told, &[20]);
    told.hears(Input::Confirmed { cause: id(24) }).unwrap();
    assert!(!told.has_open(CAPTURE));
    assert!(told.kinds().is_empty());
}

#[test]
fn what_is_sent_again_is_not_earned_twice() {
    let mut told = Told::taken();
    told.parcel(21, 2_000);
    unhear(&mut told, &[21]);
    told.parcel(22, 2_000);
    assert!(told.kinds().is_empty());
    told.parcel(23, 3_000);
    assert_eq!(told.kinds(), ["payment.earned.v1"]);
    assert_eq!(told.payment(0).goods.earned, 5_000);
}

#[test]
fn a_return_that_is_approved_again_is_not_paid_back_twice() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(21, 5_000);
    told.done(CAPTURE);
    told.refund(30, 2_000);
    told.done(REFUND);
    unhear(&mut told, &[30]);
    assert!(told.kinds().is_empty());
    told.refund(30, 2_000);
    assert!(!told.has_open(REFUND));
    assert_eq!(told.kinds(), ["refund.settled.v1"], "the order is told anew");
    // The journal lost its request, too: the return has another id.
    unhear(&mut told, &[30]);
    told.refund(31, 2_500);
    assert_eq!(told.open(REFUND).amount, told.money(500));
    told.done(REFUND);
    assert_eq!(told.payment(0).refunded(), 2_500);
    assert_eq!(told.kinds(), ["payment.refunded.v1", "refund.settled.v1"]);
    // What came back later is another return.
    told.refund(32, 1_000);
    assert_eq!(told.open(REFUND).amount, told.money(1_000));
}

#[test]
fn an_order_whose_lost_cancellation_gave_money_back_is_paid_anew() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.cancel(40, 5_000, true);
    told.done(VOID);
    unhear(&mut told, &[40]);
    assert_eq!(told.kinds(), ["payment.lost.v1"], "nothing is sent without its money");
    told.attempt(11).unwrap();
    told.done(AUTHORIZE);
    assert_eq!(told.kinds(), ["payment.authorized.v1", "payment.secured.v1"]);
    told.parcel(21, 5_000);
    told.done(CAPTURE);
    assert_eq!(told.payment(0).captured(), 5_000);
}

#[test]
fn what_is_cancelled_again_is_not_paid_back_twice() {
    let mut told = Told::taken();
    told.cancel(40, 5_000, true);
    told.done(REFUND);
    unhear(&mut told, &[40]);
    assert_eq!(told.kinds(), ["payment.lost.v1"]);
    told.cancel(50, 5_000, true);
    assert!(!told.has_open(REFUND));
    assert_eq!(told.kinds(), ["refund.settled.v1", "payment.released.v1"]);
    assert_eq!(told.payment(0).refunded(), 5_000);
}

#[test]
fn what_was_paid_anew_after_a_lost_cancellation_is_paid_back_anew() {
    let mut told = Told::taken();
    told.cancel(40, 5_000, true);
    told.done(REFUND);
    unhear(&mut told, &[40]);
    told.attempt(11).unwrap();
    told.done(AUTHORIZE);
    told.done(CAPTURE);
    assert_eq!(told.payment(0).captured(), 10_000);
    told.cancel(50, 5_000, true);
    told.done(REFUND);
    assert_eq!(told.payment(0).refunded(), 10_000);
    assert_eq!(told.kinds().last(), Some(&"payment.released.v1"));
}

#[test]
fn a_part_that_was_cancelled_in_the_lost_history_is_paid_anew() {
    let mut told = Told::taken();
    told.cancel(40, 2_000, false);
    told.done(REFUND);
    unhear(&mut told, &[40]);
    assert_eq!(told.kinds(), ["payment.lost.v1"]);
    told.attempt(11).unwrap();
    assert_eq!(told.open(AUTHORIZE).amount, told.money(2_000));
}

#[test]
fn what_another_cancellation_gave_back_is_not_in_hand() {
    for (stands, lost) in [(1_000, 2_000), (2_000, 2_000)] {
        let mut told = Told::taken();
        told.cancel(40, stands, false);
        told.done(REFUND);
        told.cancel(41, lost, false);
        told.done(REFUND);
        unhear(&mut told, &[41]);
        assert_eq!(told.kinds(), ["payment.lost.v1"]);
        told.cancel(50, lost, false);
        assert!(!told.has_open(REFUND));
        assert_eq!(told.payment(0).refunded(), stands + lost);
    }
    // Less is cancelled than in the lost history.
    let mut told = Told::taken();
    told.cancel(41, 2_000, false);
    told.done(REFUND);
    unhear(&mut told, &[41]);
    assert_eq!(told.kinds(), ["payment.lost.v1"]);
    told.cancel(50, 1_000, false);
    assert!(!told.has_open(REFUND));
    assert!(!told.kinds().contains(&"payment.secured.v1"), "10.00 are missing");
}

#[test]
fn two_refunds_do_not_count_the_same_money() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(21, 5_000);
    told.done(CAPTURE);
    told.refund(30, 3_000);
    told.done(REFUND);
    unhear(&mut told, &[30]);
    told.refund(31, 1_000);
    assert!(!told.has_open(REFUND), "that much was paid back");
    told.refund(30, 3_000);
    assert_eq!(told.open(REFUND).amount, told.money(1_000));
    told.done(REFUND);
    assert_eq!(told.payment(0).refunded(), 4_000);
}

#[test]
fn a_refund_of_a_lost_cancellation_is_not_of_goods_that_left() {
    let mut told = Told::taken();
    told.parcel(21, 2_000);
    told.cancel(40, 3_000, false);
    unhear(&mut told, &[40]);
    told.done(REFUND);
    let refund = told.payment(0).of_kind(REFUND).next().unwrap();
    assert_eq!((refund.amount.minor, refund.of_earned), (3_000, 0));
}

#[test]
fn a_refund_that_fails_after_it_was_counted_is_owed() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(21, 5_000);
    told.done(CAPTURE);
    told.refund(30, 2_000);
    unhear(&mut told, &[30]);
    told.refund(31, 2_000);
    assert_eq!(told.payment(0).of_kind(REFUND).count(), 1, "the one that is under way");
    told.declined(REFUND, "expired_card");
    assert_eq!(told.open(REFUND).amount, told.money(2_000));
}

/// One return counts what was paid back for another, which is approved again once the first is paid.
#[test]
fn a_refund_that_counted_what_another_takes_back_is_paid_in_full() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(21, 5_000);
    told.done(CAPTURE);
    told.refund(30, 2_000);
    told.done(REFUND);
    unhear(&mut told, &[30]);
    told.refund(31, 3_000);
    assert_eq!(told.open(REFUND).amount, told.money(1_000));
    told.done(REFUND);
    assert_eq!(told.kinds(), ["payment.refunded.v1", "refund.settled.v1"]);
    told.refund(30, 2_000);
    assert_eq!(told.open(REFUND).amount, told.money(2_000));
    assert_eq!(told.kinds(), ["refund.settled.v1"], "of the one whose money it was");
    told.done(REFUND);
    assert!(!told.has_open(REFUND));
    assert_eq!(told.payment(0).refunded(), 5_000);
    assert_eq!(told.kinds(), ["payment.refunded.v1"], "each was told once");
}

/// More is approved than was taken: whose money it was not is told so.
#[test]
fn a_refund_whose_counted_money_is_taken_back_fails_without_more() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(21, 5_000);
    told.done(CAPTURE);
    told.refund(30, 3_000);
    told.done(REFUND);
    unhear(&mut told, &[30]);
    told.refund(31, 5_000);
    assert_eq!(told.open(REFUND).amount, told.money(2_000));
    told.done(REFUND);
    assert_eq!(told.kinds(), ["payment.refunded.v1", "refund.settled.v1"]);
    told.refund(30, 3_000);
    assert!(!told.has_open(REFUND));
    assert_eq!(told.payment(0).refunded(), 5_000);
    assert_eq!(told.kinds(), ["refund.failed.v1", "refund.settled.v1"]);
    told.tick(1);
    assert!(told.kinds().is_empty(), "each is told once");
}

/// What a return counted fails before, or after, its own part is paid at the same capture.
#[test]
fn a_refund_pays_what_it_counted_beside_what_it_has_paid() {
    for own_first in [true, false] {
        let mut told = Told::reserved(CapturePolicy::OnFulfil);
        told.parcel(21, 5_000);
        told.done(CAPTURE);
        told.refund(30, 2_000);
        let counted = told.open(REFUND).id;
        unhear(&mut told, &[30]);
        told.refund(31, 3_000);
        let own = told.open(REFUND);
        assert_eq!(own.amount, told.money(1_000));
        let fails = Observation::Declined { code: "expired_card".to_owned() };
        if own_first {
            told.observe(own.id, done(own.amount));
            told.observe(counted, fails);
        } else {
            told.observe(counted, fails);
            assert_eq!(told.payment(0).of_kind(REFUND).count(), 2, "its own is waited for");
            told.observe(own.id, done(own.amount));
        }
        assert_eq!(told.open(REFUND).amount, told.money(2_000), "{own_first}");
        told.done(REFUND);
        assert_eq!(told.payment(0).refunded(), 3_000);
        let refunded = "payment.refunded.v1";
        assert_eq!(told.kinds(), [refunded, refunded, "refund.settled.v1"]);
    }
}

/// The same return is approved again, of more than in the lost history.
#[test]
fn a_return_that_is_approved_again_over_more_is_paid_the_rest() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(21, 5_000);
    told.done(CAPTURE);
    told.refund(30, 2_000);
    told.done(REFUND);
    unhear(&mut told, &[30]);
    told.refund(30, 3_000);
    assert_eq!(told.open(REFUND).amount, told.money(1_000));
    told.done(REFUND);
    assert_eq!(told.payment(0).refunded(), 3_000);
    assert_eq!(told.kinds(), ["payment.refunded.v1", "refund.settled.v1"]);
}

/// Two parcels of 50.00, and a return that counts two others: one paid, one that fails.
fn counted_and_failed() -> (Told, OperationId) {
    let mut told = Told::asked(10_000, CapturePolicy::OnFulfil);
    told.attempt(10).unwrap();
    told.done(AUTHORIZE);
    for number in [21, 22] {
        told.parcel(number, 5_000);
        told.done(CAPTURE);
    }
    told.refund(30, 2_000);
    told.done(REFUND);
    told.refund(31, 2_000);
    let failed = told.open(REFUND).id;
    unhear(&mut told, &[30, 31]);
    told.refund(32, 4_000);
    assert_eq!(told.payment(0).of_kind(REFUND).count(), 2, "both count");
    told.declined(REFUND, "expired_card");
    assert_eq!(told.open(REFUND).amount, told.money(2_000));
    told.done(REFUND);
    assert_eq!(told.kinds(), ["payment.refunded.v1", "refund.settled.v1"]);
    (told, failed)
}

#[test]
fn a_refund_that_failed_takes_nothing_back_from_others_twice() {
    let (mut told, _) = counted_and_failed();
    told.refund(31, 2_000);
    assert!(!told.has_open(REFUND), "the other one still counts what was paid");
    assert_eq!(told.payment(0).refunded(), 4_000);
    assert_eq!(told.kinds(), ["refund.failed.v1"]);
}

#[test]
fn a_refund_that_failed_and_was_done_after_all_is_of_its_own_return() {
    let (mut told, failed) = counted_and_failed();
    told.observe(failed, done(told.money(2_000)));
    assert!(!told.has_open(REFUND));
    assert_eq!(told.kinds(), ["payment.refunded.v1"]);
    told.refund(31, 2_000);
    assert!(!told.has_open(REFUND));
    assert_eq!(told.payment(0).refunded(), 6_000, "40.00 of one return, 20.00 of the other");
    assert_eq!(told.kinds(), ["refund.settled.v1"]);
}

#[test]
fn a_cancelled_order_that_had_not_asked_for_money_may_ask() {
    let mut told = Told::new();
    let refund_id = shared_events::contract::RefundId::from_uuid(id(41));
    let cause = id(40);
    told.hears(Input::Cancelled { cause, refund_id, parts: Vec::new(), whole: true }).unwrap();
    unhear(&mut told, &[40]);
    told.request(
        &[(None, 5_000, 0)],
        CapturePolicy::OnFulfil,
        shared_events::contract::PaymentPolicy::AllOrNone,
    );
    assert!(told.case.is_wanted());
    assert_eq!(told.attempt(10), Ok(2));
}
