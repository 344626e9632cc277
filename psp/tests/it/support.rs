//! A simulator with a clock that a test moves.

use std::sync::Arc;
use std::time::Duration;

use psp::simulator::{Moment, Settings, SimulatedPsp, Simulator};
use psp::{Answer, Authorize, CallKey, Capture, Payout, Psp as _, PspReference, Refund, Void};
use shared_events::chance::Chance;
use shared_events::contract::{Currency, Money, Timestamp};
use uuid::Uuid;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// 2026-11-29T00:00:00Z.
pub(crate) const START: i64 = 1_795_910_400_000_000;

pub(crate) fn start() -> Timestamp {
    Timestamp::from_micros(START)
}

pub(crate) fn money(minor: i64, currency: &str) -> Money {
    Money::new(minor, currency.parse().unwrap())
}

pub(crate) fn gbp(minor: i64) -> Money {
    money(minor, "GBP")
}

pub(crate) fn currency(code: &str) -> Currency {
    code.parse().unwrap()
}

/// The key of an operation.
pub(crate) fn key(operation: u128) -> CallKey {
    CallKey { operation: Uuid::from_u128(operation), generation: 0 }
}

pub(crate) fn simulator(settings: Settings) -> SimulatedPsp {
    SimulatedPsp::new(settings, Arc::new(start), Chance::seeded(settings_seed()))
}

const fn settings_seed() -> u64 {
    19
}

pub(crate) fn authorize_call(operation: u128, amount: Money, token: &str) -> Authorize {
    let action_until = start().plus(Duration::from_secs(600));
    let token = token.parse().unwrap();
    Authorize { key: key(operation), amount, token, customer: None, action_until }
}

pub(crate) async fn authorize(
    psp: &SimulatedPsp,
    operation: u128,
    minor: i64,
    token: &str,
) -> Answer {
    psp.authorize(authorize_call(operation, gbp(minor), token)).await
}

/// An authorisation that succeeded.
pub(crate) async fn authorized(
    psp: &SimulatedPsp,
    operation: u128,
    minor: i64,
    token: &str,
) -> PspReference {
    reference(&authorize(psp, operation, minor, token).await)
}

pub(crate) fn reference(answer: &Answer) -> PspReference {
    match answer {
        Answer::Done { reference, .. }
        | Answer::Pending { reference }
        | Answer::ActionRequired { reference, .. } => reference.clone(),
        other => panic!("{other:?} has no reference"),
    }
}

pub(crate) fn capture_call(
    operation: u128,
    authorization: &PspReference,
    minor: i64,
    more_follows: bool,
) -> Capture {
    let (authorization, amount) = (authorization.clone(), gbp(minor));
    Capture { key: key(operation), authorization, amount, more_follows }
}

pub(crate) async fn capture(
    psp: &SimulatedPsp,
    operation: u128,
    authorization: &PspReference,
    minor: i64,
    more_follows: bool,
) -> Answer {
    psp.capture(capture_call(operation, authorization, minor, more_follows)).await
}

pub(crate) async fn void(
    psp: &SimulatedPsp,
    operation: u128,
    authorization: &PspReference,
) -> Answer {
    psp.void(Void { key: key(operation), authorization: authorization.clone() }).await
}

pub(crate) async fn refund(
    psp: &SimulatedPsp,
    operation: u128,
    capture: &PspReference,
    minor: i64,
) -> Answer {
    let (capture, amount) = (capture.clone(), gbp(minor));
    psp.refund(Refund { key: key(operation), capture, amount }).await
}

pub(crate) fn payout_call(operation: u128, amount: Money, seller: &str) -> Payout {
    Payout { key: key(operation), destination: seller.to_owned(), amount }
}

pub(crate) fn code(answer: &Answer) -> String {
    match answer {
        Answer::Declined { code } => format!("declined {code}"),
        Answer::Refused { code, repairable: false } => format!("refused {code}"),
        Answer::Refused { code, repairable: true } => format!("refused for now {code}"),
        Answer::Unknown { .. } => "unknown".to_owned(),
        Answer::Done { amount, .. } => format!("done {}", amount.minor),
        Answer::Pending { .. } => "pending".to_owned(),
        Answer::ActionRequired { .. } => "action".to_owned(),
    }
}

/// What the book says of a payment: authorised, released, captured, refunded, disputed.
pub(crate) fn sums(psp: &SimulatedPsp, payment: &PspReference) -> [i64; 5] {
    with(psp, |simulator, _| {
        let sums = simulator.book().sums(payment);
        [sums.authorized, sums.released, sums.captured, sums.refunded, sums.disputed]
    })
}

pub(crate) fn with<T>(psp: &SimulatedPsp, call: impl FnOnce(&mut Simulator, Moment<'_>) -> T) -> T {
    psp.with(|simulator, at| {
        assert!(simulator.book().is_sound());
        call(simulator, at)
    })
}
