//! Refunds of more than one payment, and of money that was not taken.

use payment::domain::{Input, Observation, OperationKind, RefundTold, Rejection, decide};
use shared_events::contract::{
    CapturePolicy, Money, OperationId, PaymentFact, PaymentPolicy, RefundId,
};

use super::support::{Told, done, id};

const REFUND: OperationKind = OperationKind::Refund;

/// Two sellers, reserved, each with a capture that is under way.
fn two_sellers() -> Told {
    let mut told = Told::new();
    let parts = [(Some("a"), 600, 0), (Some("b"), 400, 0)];
    told.request(&parts, CapturePolicy::OnConfirm, PaymentPolicy::AllOrNone);
    told.attempt(10).unwrap();
    told.done(OperationKind::Authorize);
    told.done(OperationKind::Authorize);
    told.hears(Input::Confirmed { cause: id(20) }).unwrap();
    told.kinds();
    told
}

fn cancel(told: &mut Told) {
    let (cause, refund_id) = (id(30), RefundId::from_uuid(id(31)));
    let parts = vec![told.part(0, 600), told.part(1, 400)];
    told.hears(Input::Cancelled { cause, refund_id, parts, whole: true }).unwrap();
}

fn end(told: &mut Told, nth: usize, kind: OperationKind, is_done: bool) {
    let open = told.payment(nth).of_kind(kind).find(|one| one.is_open()).unwrap().clone();
    let declined = Observation::Declined { code: "account_closed".to_owned() };
    told.observe(open.id, if is_done { done(open.amount) } else { declined });
}

fn settled(told: &Told) -> Vec<Money> {
    let amount = |fact: &PaymentFact| match fact {
        PaymentFact::RefundSettled { amount, .. } => Some(*amount),
        _ => None,
    };
    told.facts.iter().filter_map(amount).collect()
}

#[test]
fn one_seller_whose_money_was_not_taken_does_not_hold_up_the_other() {
    for a_first in [true, false] {
        let mut told = two_sellers();
        cancel(&mut told);
        for nth in if a_first { [0, 1] } else { [1, 0] } {
            end(&mut told, nth, OperationKind::Capture, nth == 1);
        }
        end(&mut told, 1, REFUND, true);
        assert_eq!(told.payment(1).refunded(), 400);
        assert_eq!(settled(&told), [told.money(400)]);
        told.done(OperationKind::Void);
        assert!(told.case.released);
        assert!(!told.kinds().contains(&"refund.failed.v1"));
    }
}

#[test]
fn a_refund_that_fails_for_one_seller_is_told_once_the_other_is_paid_back() {
    let mut told = two_sellers();
    end(&mut told, 0, OperationKind::Capture, true);
    cancel(&mut told);
    told.kinds();
    end(&mut told, 0, REFUND, false);
    assert!(told.kinds().is_empty(), "the other is waited for");
    end(&mut told, 1, OperationKind::Capture, true);
    end(&mut told, 1, REFUND, true);
    assert_eq!(told.kinds(), ["payment.captured.v1", "payment.refunded.v1", "refund.failed.v1"]);
    assert_eq!(told.case.refunds[0].told, Some(RefundTold::Failed));
    assert!(!told.case.released, "the first is still owed");
}

#[test]
fn a_capture_that_was_declined_and_done_after_all_is_paid_back() {
    let mut told = Told::asked(1_000, CapturePolicy::OnConfirm);
    told.attempt(10).unwrap();
    told.done(OperationKind::Authorize);
    told.hears(Input::Confirmed { cause: id(20) }).unwrap();
    let capture = told.open(OperationKind::Capture);
    told.cancel(30, 1_000, true);
    told.declined(OperationKind::Capture, "closed");
    assert_eq!(settled(&told), [told.money(0)]);
    told.observe(capture.id, done(capture.amount));
    assert_eq!(told.done(REFUND), told.payment(0).of_kind(REFUND).next().unwrap().id);
    assert_eq!(told.payment(0).refunded(), 1_000);
}

/// Of two cancellations that counted on money that was not taken, no more is lowered than that.
#[test]
fn what_was_taken_is_owed_whatever_else_was_not() {
    let mut told = Told::asked(5_000, CapturePolicy::OnFulfil);
    told.attempt(10).unwrap();
    told.done(OperationKind::Authorize);
    told.parcel(20, 2_000);
    let first = told.done(OperationKind::Capture);
    told.parcel(21, 3_000);
    told.cancel(30, 2_500, false);
    told.cancel(40, 2_500, false);
    told.declined(OperationKind::Capture, "closed");
    for _ in 0..3 {
        if told.has_open(REFUND) {
            told.done(REFUND);
        }
    }
    assert_eq!(told.payment(0).refunded(), 2_000);
    assert_eq!(told.payment(0).operation(first).unwrap().amount.minor, 2_000);
    assert_eq!(told.case.refunds.iter().filter(|one| one.told.is_some()).count(), 2);
}

/// Observed without a look at the sums: the provider takes back what is being paid back.
fn seen(told: &mut Told, operation_id: OperationId, seen: Observation) {
    let input = Input::Observed { operation_id, seen };
    told.case = decide(&told.case, input, &told.context).unwrap().after;
}

fn no() -> Observation {
    Observation::Declined { code: "account_closed".to_owned() }
}

fn taken_back() -> Observation {
    Observation::Reversed { code: "insufficient_funds".to_owned() }
}

/// The refund of a part fails, and all that was taken is taken back, in any order: the customer has
/// that part already.
#[test]
fn a_customer_who_has_the_money_back_pays_what_is_still_wanted() {
    for refund_first in [true, false] {
        let mut told = Told::asked(5_000, CapturePolicy::OnConfirm);
        told.attempt(10).unwrap();
        told.done(OperationKind::Authorize);
        told.hears(Input::Confirmed { cause: id(20) }).unwrap();
        let capture = told.done(OperationKind::Capture);
        told.cancel(30, 2_000, false);
        let refund = told.open(REFUND).id;
        let both = [(refund, no()), (capture, taken_back())];
        let order = if refund_first { [0, 1] } else { [1, 0] };
        for nth in order {
            let (operation_id, what) = both[nth].clone();
            seen(&mut told, operation_id, what);
        }
        assert_eq!(told.case.refunds[0].told, Some(RefundTold::Failed));
        assert_eq!((told.payment(0).in_hand(), told.payment(0).wanted()), (0, 3_000));
        told.attempt(11).unwrap();
        assert_eq!(told.open(OperationKind::Authorize).amount, told.money(3_000));
        told.done(OperationKind::Authorize);
        assert_eq!(told.open(OperationKind::Capture).amount, told.money(3_000));
        assert!(!told.payment(0).is_short());
        told.done(OperationKind::Capture);
        assert_eq!((told.payment(0).in_hand(), told.case.secured), (3_000, true));
        assert!(!told.has_open(REFUND));
        assert_eq!(told.attempt(12), Err(Rejection::NothingToPay));
    }
}

/// One of two captures is taken back. What it took goes first to what is owed and was not paid.
#[test]
fn what_is_taken_back_of_two_captures_is_first_what_was_owed() {
    for (taken_back_first, short) in [(false, 0), (true, 1_000)] {
        let mut told = Told::asked(5_000, CapturePolicy::OnFulfil);
        told.attempt(10).unwrap();
        told.done(OperationKind::Authorize);
        told.parcel(20, 3_000);
        let first = told.done(OperationKind::Capture);
        told.parcel(21, 2_000);
        let second = told.done(OperationKind::Capture);
        told.cancel(30, 2_000, false);
        told.declined(REFUND, "account_closed");
        assert_eq!(told.payment(0).in_hand(), 3_000, "what was taken is owed");
        told.kinds();
        told.observe(if taken_back_first { first } else { second }, taken_back());
        assert_eq!(told.payment(0).in_hand(), 3_000 - short);
        let lost = told.kinds().contains(&"payment.lost.v1");
        assert_eq!(lost, short > 0);
        if short > 0 {
            told.attempt(11).unwrap();
            assert_eq!(told.open(OperationKind::Authorize).amount, told.money(short));
        }
    }
}

/// The refund of what was taken fails before it is known that the rest is not taken.
#[test]
fn a_capture_that_fails_after_its_refund_failed_is_not_owed() {
    let mut told = Told::asked(5_000, CapturePolicy::OnFulfil);
    told.attempt(10).unwrap();
    told.done(OperationKind::Authorize);
    told.parcel(20, 2_000);
    told.done(OperationKind::Capture);
    told.parcel(21, 3_000);
    told.cancel(30, 2_500, false);
    told.declined(REFUND, "account_closed");
    assert_eq!(told.case.refunds[0].told, Some(RefundTold::Failed));
    told.declined(OperationKind::Capture, "closed");
    assert_eq!((told.payment(0).in_hand(), told.payment(0).wanted()), (2_000, 2_500));
    told.attempt(11).unwrap();
    assert_eq!(told.open(OperationKind::Authorize).amount, told.money(500));
    told.done(OperationKind::Authorize);
    told.done(OperationKind::Capture);
    assert_eq!(told.payment(0).captured(), 2_500);
    assert!(!told.payment(0).is_short() && !told.has_open(REFUND));
}
