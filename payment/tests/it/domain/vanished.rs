//! Orders that the journal lost when it was restored, and that may be placed again.

use payment::domain::{Input, Observation, OfDispute, OperationState, Plan, Rejection, Status};
use shared_events::contract::{
    CapturePolicy, PaymentFact, PaymentId, PaymentPolicy, RequestedPayment,
};

use super::support::{AUTHORIZE, CAPTURE, REFUND, Told, VOID, done, id};

/// An order whose money was taken when it was confirmed; it has vanished since.
fn taken() -> Told {
    let mut told = Told::taken();
    told.hears(Input::Vanished).unwrap();
    told.kinds();
    told
}

fn again(told: &mut Told, minor: i64) {
    told.request(&[(None, minor, 0)], CapturePolicy::OnConfirm, PaymentPolicy::AllOrNone);
}

#[test]
fn what_is_reserved_for_an_order_that_vanished_is_given_back() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.kinds();
    assert!(told.hears(Input::Vanished).unwrap() > 0);
    assert!(told.has_open(VOID) && !told.has_open(REFUND));
    told.done(VOID);
    assert_eq!(told.status(), Status::Voided);
    assert_eq!(told.kinds(), ["payment.voided.v1"], "nobody is told but the ledger");
    assert_eq!(told.attempt(11), Err(Rejection::NotWanted));
    assert_eq!(told.hears(Input::Vanished), Ok(0));
}

#[test]
fn what_was_taken_for_an_order_that_vanished_waits_for_a_person() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(20, 2_000);
    told.done(CAPTURE);
    told.hears(Input::Vanished).unwrap();
    let waits = told.open(REFUND);
    assert_eq!((waits.state, waits.amount), (OperationState::Stuck, told.money(2_000)));
    assert_eq!(waits.code, "order_vanished");
    assert!(told.has_open(VOID), "the rest of the reservation is given back");
    told.done(VOID);
    told.kinds();
    told.observe(waits.id, done(waits.amount));
    assert_eq!(told.status(), Status::Refunded);
    assert_eq!(told.kinds(), ["payment.refunded.v1"]);
    told.tick(600);
    assert_eq!(told.payment(0).of_kind(REFUND).count(), 1, "never twice");
}

#[test]
fn what_a_person_decides_to_keep_is_kept() {
    let mut told = taken();
    told.declined(REFUND, "order_kept");
    told.tick(600);
    assert_eq!(told.status(), Status::Captured);
    assert!(!told.has_open(REFUND));
    assert!(told.kinds().is_empty());
}

#[test]
fn what_is_being_taken_when_the_order_vanishes_is_waited_for() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(20, 2_000);
    told.hears(Input::Vanished).unwrap();
    assert!(!told.has_open(VOID) && !told.has_open(REFUND));
    told.done(CAPTURE);
    assert_eq!(told.open(REFUND).state, OperationState::Stuck);
    assert!(told.has_open(VOID));
    // Nothing was taken after all.
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(20, 2_000);
    told.hears(Input::Vanished).unwrap();
    told.declined(CAPTURE, "expired_card");
    assert!(told.has_open(VOID) && !told.has_open(REFUND));
}

#[test]
fn a_parcel_that_vanished_with_its_order_takes_nothing() {
    let mut told = Told::asked(5_000, CapturePolicy::OnFulfil);
    told.attempt(10).unwrap();
    told.parcel(20, 5_000);
    told.hears(Input::Vanished).unwrap();
    told.done(AUTHORIZE);
    assert!(told.has_open(VOID) && !told.has_open(CAPTURE));
}

#[test]
fn an_order_placed_again_as_it_was_is_paid_by_what_was_taken() {
    let mut told = taken();
    let waits = told.open(REFUND);
    again(&mut told, 5_000);
    let refund = told.case.operation(waits.id).unwrap().1;
    assert_eq!((refund.state, refund.code.as_str()), (OperationState::Declined, "placed_again"));
    assert_eq!(told.kinds(), ["payment.secured.v1"]);
    // Its confirmation takes nothing more.
    told.hears(Input::Confirmed { cause: id(30) }).unwrap();
    assert!(!told.has_open(CAPTURE));
    assert_eq!(told.status(), Status::Captured);
}

#[test]
fn an_order_placed_again_otherwise_is_not_paid_by_what_was_taken() {
    let mut told = taken();
    let waits = told.open(REFUND);
    again(&mut told, 4_000);
    assert_eq!(told.kinds(), ["payment.failed.v1"]);
    assert_eq!(told.case.operation(waits.id).unwrap().1.state, OperationState::Stuck);
    // Nor is one whose money was paid back meanwhile.
    let mut told = taken();
    let waits = told.open(REFUND);
    told.observe(
        waits.id,
        Observation::Done { reference: "re_1".to_owned(), amount: waits.amount, valid_until: None },
    );
    told.kinds();
    again(&mut told, 5_000);
    assert_eq!(told.kinds(), ["payment.failed.v1"]);
    assert_eq!(told.payment(0).refunded(), 5_000, "never twice");
}

#[test]
fn an_order_placed_again_without_money_taken_is_paid_anew() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.hears(Input::Vanished).unwrap();
    told.done(VOID);
    told.kinds();
    told.request(&[(None, 7_000, 0)], CapturePolicy::OnFulfil, PaymentPolicy::AllOrNone);
    assert!(!told.has_open(AUTHORIZE), "the earlier attempt is not made again");
    told.attempt(11).unwrap();
    assert_eq!(told.open(AUTHORIZE).amount, told.money(7_000));
    told.done(AUTHORIZE);
    assert_eq!(told.kinds(), ["payment.authorized.v1", "payment.secured.v1"]);
    told.parcel(40, 7_000);
    told.done(CAPTURE);
    assert_eq!(told.status(), Status::Captured);
}

/// The order asks again, at this provider.
fn again_at(told: &mut Told, psp: &str, minor: i64) {
    let known = told.case.plan.clone().unwrap();
    let plan = Plan { psp: psp.parse().unwrap(), ..known };
    let payment_id = PaymentId::of(told.case.order_id, None);
    let amount = told.money(minor);
    let part = RequestedPayment { payment_id, seller: None, amount, fee_bps: 0 };
    told.hears(Input::Request { plan, parts: vec![part] }).unwrap();
}

#[test]
fn an_order_that_is_lost_twice_is_asked_about_twice() {
    let mut told = taken();
    let first = told.open(REFUND).id;
    again(&mut told, 5_000);
    assert!(!told.has_open(REFUND));
    told.hears(Input::Vanished).unwrap();
    let second = told.open(REFUND);
    assert_ne!(second.id, first);
    assert_eq!((second.state, second.amount), (OperationState::Stuck, told.money(5_000)));
    again(&mut told, 5_000);
    assert!(!told.has_open(REFUND));
    assert_eq!(told.kinds(), ["payment.secured.v1", "payment.secured.v1"]);
}

#[test]
fn what_is_taken_late_is_decided_where_the_order_was_placed_again_otherwise() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(20, 2_000);
    told.hears(Input::Vanished).unwrap();
    again_at(&mut told, "scripted", 4_000);
    assert!(told.case.failed && !told.has_open(REFUND));
    told.cancel(30, 4_000, true);
    assert!(told.case.refunds.is_empty(), "it took nothing that is to be paid back");
    told.done(CAPTURE);
    let waits = told.open(REFUND);
    assert_eq!((waits.state, waits.amount), (OperationState::Stuck, told.money(2_000)));
    // What a person decided stands, also where the order is lost once more, or placed as at first.
    told.declined(REFUND, "order_kept");
    told.hears(Input::Vanished).unwrap();
    assert!(!told.has_open(REFUND));
    told.kinds();
    again_at(&mut told, "scripted", 5_000);
    assert_eq!(told.kinds(), ["payment.failed.v1"]);
    assert!(!told.has_open(REFUND));
}

#[test]
fn what_a_dispute_leaves_is_decided_where_the_order_was_placed_again_otherwise() {
    let mut told = Told::reserved(CapturePolicy::OnConfirm);
    told.hears(Input::Confirmed { cause: id(20) }).unwrap();
    let capture = told.done(CAPTURE);
    let dispute = |told: &Told, won| {
        let (payment_id, id) = (told.payment(0).id, "dp_1".to_owned());
        let (amount, respond_by) = (told.money(5_000), None);
        Input::Dispute(OfDispute { payment_id, id, capture, amount, respond_by, won })
    };
    told.hears(dispute(&told, None)).unwrap();
    told.hears(Input::Vanished).unwrap();
    again(&mut told, 5_000);
    assert!(told.case.failed && !told.has_open(REFUND));
    told.hears(dispute(&told, Some(true))).unwrap();
    assert_eq!(told.open(REFUND).code, "order_vanished");
}

#[test]
fn what_was_done_at_another_provider_stays_there() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.hears(Input::Vanished).unwrap();
    again_at(&mut told, "other", 7_000);
    let at = |told: &Told, kind| {
        let operation = told.open(kind);
        told.case.psp_of(&operation).unwrap().to_string()
    };
    assert_eq!(at(&told, VOID), "scripted");
    told.kinds();
    told.done(VOID);
    let PaymentFact::Voided { payment } = &told.facts[0] else { panic!("{:?}", told.facts) };
    assert_eq!(payment.psp.as_str(), "scripted");
    told.attempt(11).unwrap();
    assert_eq!(at(&told, AUTHORIZE), "other");
    // What one provider took is not what is asked for at another.
    let mut told = taken();
    again_at(&mut told, "other", 5_000);
    assert_eq!(told.kinds(), ["payment.failed.v1"]);
    assert_eq!(at(&told, REFUND), "scripted");
}

#[test]
fn a_reservation_that_comes_late_is_not_of_the_order_that_was_placed_again() {
    let mut told = Told::asked(5_000, CapturePolicy::OnFulfil);
    told.attempt(10).unwrap();
    told.hears(Input::Vanished).unwrap();
    again_at(&mut told, "scripted", 7_000);
    told.done(AUTHORIZE);
    assert!(told.has_open(VOID) && !told.case.secured);
}

#[test]
fn nobody_is_told_of_a_refund_of_an_order_that_vanished() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(20, 5_000);
    told.done(CAPTURE);
    told.refund(30, 1_000);
    let refund = told.open(REFUND);
    told.hears(Input::Vanished).unwrap();
    assert_eq!(told.open(REFUND).amount, told.money(4_000));
    told.kinds();
    told.observe(refund.id, done(refund.amount));
    assert_eq!(told.kinds(), ["payment.refunded.v1"], "nobody is told but the ledger");
    // Nor is the order that is placed again: the refund is not its own.
    again_at(&mut told, "scripted", 5_000);
    assert_eq!(told.kinds(), ["payment.failed.v1"]);
    assert!(told.case.refunds.is_empty());
}

#[test]
fn a_refund_that_fails_after_the_order_vanished_is_decided_too() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(20, 5_000);
    told.done(CAPTURE);
    told.refund(30, 1_000);
    let refund = told.open(REFUND);
    told.hears(Input::Vanished).unwrap();
    let first = told.open(REFUND);
    told.observe(refund.id, Observation::Declined { code: "closed_account".to_owned() });
    let second = told.open(REFUND);
    assert_ne!(second.id, first.id);
    assert_eq!((second.state, second.amount), (OperationState::Stuck, told.money(1_000)));
    // What a person keeps is not asked about once more.
    for one in [second, first] {
        told.observe(one.id, Observation::Declined { code: "order_kept".to_owned() });
    }
    assert!(!told.has_open(REFUND));
}

#[test]
fn a_cancelled_order_that_vanished_is_not_told_that_its_money_is_back() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.cancel(20, 5_000, true);
    told.hears(Input::Vanished).unwrap();
    told.kinds();
    told.done(VOID);
    assert_eq!(told.kinds(), ["payment.voided.v1"]);
}

#[test]
fn an_order_that_is_placed_again_has_all_its_attempts() {
    let mut told = Told::asked(5_000, CapturePolicy::OnFulfil);
    for attempt in 10..14 {
        told.attempt(attempt).unwrap();
        told.declined(AUTHORIZE, "insufficient_funds");
    }
    told.hears(Input::Vanished).unwrap();
    again_at(&mut told, "scripted", 5_000);
    for attempt in 20..25 {
        assert!(!told.case.failed);
        told.attempt(attempt).unwrap();
        told.declined(AUTHORIZE, "insufficient_funds");
    }
    assert!(told.case.failed);
}

#[test]
fn an_order_may_be_placed_again_in_another_currency() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.hears(Input::Vanished).unwrap();
    told.done(VOID);
    told.kinds();
    told.currency = "EUR";
    again_at(&mut told, "scripted", 7_000);
    told.attempt(11).unwrap();
    assert_eq!(told.open(AUTHORIZE).amount, told.money(7_000));
    told.done(AUTHORIZE);
    assert_eq!(told.kinds(), ["payment.authorized.v1", "payment.secured.v1"]);
    // What was taken keeps its currency, and does not count.
    let mut told = taken();
    let waits = told.open(REFUND);
    told.currency = "EUR";
    again(&mut told, 5_000);
    assert_eq!(told.kinds(), ["payment.failed.v1"]);
    told.cancel(30, 5_000, true);
    assert_eq!(told.open(REFUND), waits);
}

/// What was taken by parcels was booked to whom it is earned by.
#[test]
fn a_refund_of_what_does_not_count_is_booked_as_what_was_taken() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(20, 5_000);
    told.done(CAPTURE);
    told.hears(Input::Vanished).unwrap();
    again(&mut told, 5_000);
    told.kinds();
    told.done(REFUND);
    let held = told.facts.iter().find_map(|fact| match fact {
        PaymentFact::Refunded { held, .. } => Some(*held),
        _ => None,
    });
    assert_eq!(held, Some(None));
}

/// The attempt of the lost order may be open for weeks.
#[test]
fn an_order_that_is_placed_again_is_paid_beside_an_open_attempt() {
    let mut told = Told::asked(5_000, CapturePolicy::OnFulfil);
    told.attempt(10).unwrap();
    told.hears(Input::Vanished).unwrap();
    again_at(&mut told, "scripted", 7_000);
    assert_eq!(told.status(), Status::Requested);
    told.attempt(11).unwrap();
    assert_eq!(
        told.payment(0).attempts().next_back().map(|one| one.amount),
        Some(told.money(7_000))
    );
}

/// The token of the lost order's attempt may be another customer's.
#[test]
fn an_attempt_of_a_lost_order_pays_nothing_of_the_next_one() {
    let mut told = Told::asked(1_000, CapturePolicy::OnFulfil);
    told.attempt(10).unwrap();
    told.hears(Input::Vanished).unwrap();
    let parts = [(None, 1_000, 0), (Some("s"), 700, 0)];
    told.request(&parts, CapturePolicy::OnFulfil, PaymentPolicy::AllOrNone);
    assert_eq!(told.payment(1).operations.len(), 0);
}

/// Who sends it again is told that it pays nothing, for as long as money is asked for.
#[test]
fn an_attempt_of_a_lost_order_that_is_sent_again_is_refused() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.hears(Input::Vanished).unwrap();
    assert_eq!(told.attempt(10), Ok(0), "nobody asks for money");
    again_at(&mut told, "scripted", 7_000);
    assert_eq!(told.attempt(10), Err(Rejection::AttemptOfLost));
    told.attempt(11).unwrap();
    assert_eq!((told.attempt(10), told.attempt(11)), (Ok(0), Ok(0)), "it is being paid");
    told.declined(AUTHORIZE, "insufficient_funds");
    assert_eq!((told.attempt(10), told.attempt(11)), (Err(Rejection::AttemptOfLost), Ok(0)));
    told.attempt(12).unwrap();
    told.done(AUTHORIZE);
    assert_eq!(told.attempt(10), Ok(0), "it is paid");
    // Where what was taken counts there is nothing to pay.
    let mut told = taken();
    again(&mut told, 5_000);
    assert_eq!(told.attempt(10), Ok(0));
}

/// A refund may fail after a person has said what becomes of the rest.
#[test]
fn what_comes_back_after_a_person_decided_is_decided_too() {
    let mut told = Told::reserved(CapturePolicy::OnFulfil);
    told.parcel(20, 5_000);
    told.done(CAPTURE);
    told.refund(30, 1_000);
    let refund = told.open(REFUND);
    told.hears(Input::Vanished).unwrap();
    let first = told.open(REFUND);
    told.observe(first.id, Observation::Declined { code: "order_kept".to_owned() });
    told.observe(refund.id, Observation::Declined { code: "closed_account".to_owned() });
    let second = told.open(REFUND);
    assert_eq!((second.state, second.amount), (OperationState::Stuck, told.money(1_000)));
}
