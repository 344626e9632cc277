//! What somebody takes at the provider without us.

use payment::domain::{External, Input, Observation, OperationKind, Rejection};
use shared_events::contract::CapturePolicy;

use super::support::Told;

const CAPTURE: OperationKind = OperationKind::Capture;

/// Somebody took this much in all, under a name of the provider.
fn took(told: &mut Told, minor: i64) -> Result<usize, Rejection> {
    let (payment_id, reference) = (told.payment(0).id, "theirs".to_owned());
    let amount = told.money(minor);
    let what = External { payment_id, kind: CAPTURE, authorization: None, reference, amount };
    told.hears(Input::External(what))
}

#[test]
fn what_somebody_took_and_came_back_is_not_recorded_under_one_name_twice() {
    let mut told = Told::asked(5_000, CapturePolicy::OnFulfil);
    told.attempt(10).unwrap();
    told.done(OperationKind::Authorize);
    took(&mut told, 2_000).unwrap();
    assert_eq!(told.payment(0).captured(), 2_000);
    assert_eq!(took(&mut told, 2_000), Ok(0), "it was heard before");
    let capture = told.payment(0).of_kind(CAPTURE).next().unwrap().id;
    told.observe(capture, Observation::Reversed { code: "chargeback".to_owned() });
    told.done(OperationKind::Void);
    told.attempt(11).unwrap();
    told.done(OperationKind::Authorize);
    let refused = took(&mut told, 2_000).unwrap_err().to_string();
    assert!(refused.contains("once more"), "{refused}");
    assert_eq!(told.payment(0).of_kind(CAPTURE).count(), 1);
}
