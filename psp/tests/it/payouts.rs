//! What is paid out to sellers: by the simulator itself, and by Stripe's adapter against it over a
//! socket. Who pays nobody out says so.

use psp::simulator::{Script, Settings, SimulatedPsp};
use psp::{Dialect, Found, Kind, Lookup, OurReference, Psp, PspReference};
use uuid::Uuid;

use crate::adapters::{provider, shown};
use crate::support::*;

fn say(simulated: &SimulatedPsp, script: &str) {
    let script: Script = script.parse().unwrap();
    simulated.with(|simulator, _| simulator.say(Kind::Payout, None, script)).unwrap();
}

async fn found(psp: &dyn Psp, operation: u128, about: Option<&PspReference>) -> String {
    let operation = OurReference(Uuid::from_u128(operation));
    let lookup = Lookup { operation, kind: Kind::Payout, about: about.cloned() };
    shown(psp.find(&lookup).await)
}

/// How much of all payouts is with sellers.
fn paid(simulated: &SimulatedPsp) -> i64 {
    simulated.with(|simulator, _| {
        let all = simulator.payouts_after(0).map(|(_, one)| one);
        all.filter(|one| one.is_paid()).map(|one| one.amount.minor).sum()
    })
}

#[tokio::test]
async fn a_payout_is_made_once_whatever_becomes_of_its_answer() {
    let at = provider(Dialect::Stripe, Settings::default()).await;
    for psp in [&*at.psp, &at.simulated as &dyn Psp] {
        let first = paid(&at.simulated);
        let base = u128::try_from(first).unwrap() + 10;
        for (nth, script) in (base..).zip(["timeout_before", "timeout_after", "error_after"]) {
            say(&at.simulated, script);
            let call = || payout_call(nth, gbp(100), "acme");
            assert_eq!(code(&psp.payout(call()).await), "unknown", "{script}");
            let known = if script == "timeout_before" { "nothing" } else { "done 100" };
            assert_eq!(found(psp, nth, None).await, known, "{script}");
            let again = psp.payout(call()).await;
            assert_eq!(code(&again), "done 100", "{script}");
            assert_eq!(found(psp, nth, Some(&reference(&again))).await, "done 100", "{script}");
        }
        assert_eq!(paid(&at.simulated), first + 300);
        // The same key with another amount is no payout.
        let other = psp.payout(payout_call(base, gbp(101), "acme")).await;
        assert!(code(&other).starts_with("refused idempotency_"), "{other:?}");
    }
}

#[tokio::test]
async fn what_was_accepted_is_not_paid_and_may_come_back() {
    let at = provider(Dialect::Stripe, Settings::default()).await;
    for (nth, script, later) in [
        (1, "pending", "done 100"),
        (2, "pending_fails", "declined account_closed"),
        (3, "fails_later", "declined account_closed"),
    ] {
        say(&at.simulated, script);
        let answer = at.psp.payout(payout_call(nth, gbp(100), "acme")).await;
        let at_first = if script == "fails_later" { "done 100" } else { "pending" };
        assert_eq!(code(&answer), at_first, "{script}");
        assert_eq!(found(&*at.psp, nth, None).await, at_first, "{script}");
        at.simulated.advance(6 * DAY);
        let name = reference(&answer);
        assert_eq!(found(&*at.psp, nth, Some(&name)).await, later, "{script}");
        assert_eq!(found(&*at.psp, nth, None).await, later, "{script}");
    }
    say(&at.simulated, "decline_no_account");
    let declined = at.psp.payout(payout_call(4, gbp(100), "acme")).await;
    assert_eq!(code(&declined), "declined no_account");
    assert_eq!(paid(&at.simulated), 100);
}

/// One that is older than the newest hundred is found on a later page.
#[tokio::test]
async fn a_payout_among_many_is_found_by_our_reference() {
    let at = provider(Dialect::Stripe, Settings::default()).await;
    for nth in 1..=150 {
        at.simulated.payout(payout_call(nth, gbp(100), "acme")).await;
    }
    assert_eq!(found(&*at.psp, 1, None).await, "done 100");
    assert_eq!(found(&*at.psp, 151, None).await, "nothing");
    say(&at.simulated, "unseen");
    at.psp.payout(payout_call(152, gbp(100), "acme")).await;
    assert_eq!(found(&*at.psp, 152, None).await, "nothing");
    at.simulated.advance(HOUR);
    assert_eq!(found(&*at.psp, 152, None).await, "done 100");
}

/// One that is older than the newest thousand is not found, which is an answer: it is found by its
/// name, and another one's name is not its own.
#[tokio::test]
async fn a_payout_behind_a_thousand_others_is_found_by_its_name_alone() {
    let at = provider(Dialect::Stripe, Settings::default()).await;
    let first = reference(&at.simulated.payout(payout_call(1, gbp(100), "acme")).await);
    let second = reference(&at.simulated.payout(payout_call(2, gbp(200), "acme")).await);
    for nth in 3..=1_002 {
        at.simulated.payout(payout_call(nth, gbp(100), "acme")).await;
    }
    assert_eq!(found(&*at.psp, 1, None).await, "nothing");
    assert_eq!(found(&*at.psp, 1, Some(&first)).await, "done 100");
    assert_eq!(found(&*at.psp, 1, Some(&second)).await, "nothing");
    assert_eq!(found(&*at.psp, 3, Some(&second)).await, "done 100");
}

#[tokio::test]
async fn who_pays_nobody_out_refuses_it() {
    let at = provider(Dialect::Razorpay, Settings::default()).await;
    assert!(!at.psp.capabilities().payouts);
    let refused = at.psp.payout(payout_call(1, gbp(100), "acme")).await;
    assert_eq!(code(&refused), "refused payouts_not_supported");
    let lookup =
        Lookup { operation: OurReference(Uuid::from_u128(1)), kind: Kind::Payout, about: None };
    assert_eq!(at.psp.find(&lookup).await, Found::Nothing);
    assert_eq!(paid(&at.simulated), 0);
}
