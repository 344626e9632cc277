//! What scripts do, and what is heard of it. Names of cases are those of the issue.

use std::time::Duration;

use psp::simulator::{HookOdds, ReportFault, ReportOf, Script, Settings, SignedBy, report};
use psp::{Answer, Found, Kind, OurReference, Psp as _, What};
use uuid::Uuid;

use crate::support::*;

fn our(operation: u128) -> OurReference {
    OurReference(Uuid::from_u128(operation))
}

async fn found(psp: &psp::simulator::SimulatedPsp, operation: u128) -> String {
    match psp.fetch(our(operation)).await {
        Found::Known(answer) => code(&answer),
        Found::Nothing => "nothing".to_owned(),
        Found::Unknown { .. } => "unknown".to_owned(),
    }
}

#[tokio::test]
async fn a_lost_answer_of_a_capture_captures_once() {
    // Case 1 (medusa#16292), seen from the provider.
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 5_000, "tok_capture_timeout_after").await;
    assert_eq!(code(&capture(&psp, 2, &pi, 5_000, false).await), "unknown");
    for _ in 0..5 {
        assert_eq!(code(&capture(&psp, 2, &pi, 5_000, false).await), "done 5000");
    }
    assert_eq!(sums(&psp, &pi), [5_000, 0, 5_000, 0, 0]);
    assert_eq!(found(&psp, 2).await, "done 5000");
}

#[tokio::test]
async fn a_lost_answer_of_a_refund_refunds_once() {
    // Case 2 (medusa#16681).
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 5_000, "tok_refund_timeout_after").await;
    let ch = reference(&capture(&psp, 2, &pi, 5_000, false).await);
    assert_eq!(code(&refund(&psp, 3, &ch, 2_000).await), "unknown");
    for _ in 0..5 {
        assert_eq!(code(&refund(&psp, 3, &ch, 2_000).await), "done 2000");
    }
    assert_eq!(sums(&psp, &pi), [5_000, 0, 5_000, 2_000, 0]);
}

#[tokio::test]
async fn nothing_happened_before_a_time_out_before_it() {
    let psp = simulator(Settings::default());
    for (token, operation) in [("tok_timeout_before", 1), ("tok_error_before", 2)] {
        assert_eq!(code(&authorize(&psp, operation, 100, token).await), "unknown");
        assert_eq!(found(&psp, operation).await, "nothing");
        assert_eq!(code(&authorize(&psp, operation, 100, token).await), "done 100");
    }
}

#[tokio::test]
async fn a_key_with_another_request_is_refused() {
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 5_000, "tok_visa").await;
    for (minor, token) in [(4_999, "tok_visa"), (5_000, "tok_other")] {
        let answer = authorize(&psp, 1, minor, token).await;
        assert_eq!(code(&answer), "refused idempotency_key_reused");
    }
    assert_eq!(sums(&psp, &pi), [5_000, 0, 0, 0, 0]);
    // A key is forgotten after its life, and then is a new one.
    psp.advance(DAY);
    assert_ne!(authorized(&psp, 1, 5_000, "tok_visa").await, pi);
    assert_eq!(with(&psp, |simulator, _| simulator.keys_remembered()), 1);
}

#[tokio::test]
async fn an_unseen_operation_is_found_after_the_grace() {
    // Case 6 (hyperswitch#10285).
    let psp = simulator(Settings::default());
    assert_eq!(code(&authorize(&psp, 1, 100, "tok_unseen").await), "done 100");
    assert_eq!(found(&psp, 1).await, "nothing");
    psp.advance(Duration::from_secs(30));
    assert_eq!(found(&psp, 1).await, "done 100");
}

#[tokio::test]
async fn a_declined_attempt_may_succeed_late() {
    // Case 11 (open-forms#5942).
    let psp = simulator(Settings::default());
    assert_eq!(code(&authorize(&psp, 1, 100, "tok_late_success").await), "declined card_declined");
    psp.advance(2 * HOUR);
    assert_eq!(found(&psp, 1).await, "done 100");
    let declined = authorize(&psp, 2, 100, "tok_decline_insufficient_funds").await;
    assert_eq!(code(&declined), "declined insufficient_funds");
    psp.advance(2 * HOUR);
    assert_eq!(found(&psp, 2).await, "declined insufficient_funds");
}

#[tokio::test]
async fn a_customer_acts_in_time_or_not_at_all() {
    // Case 13 (woo-stripe#3037).
    let psp = simulator(Settings::default());
    let act = |reference, yes| with(&psp, |simulator, at| simulator.act(&reference, yes, at));
    let acted = authorized(&psp, 1, 100, "tok_action").await;
    assert!(act(acted.clone(), true) && !act(acted, true));
    assert_eq!(found(&psp, 1).await, "done 100");
    let refused = authorized(&psp, 2, 100, "tok_action").await;
    assert!(act(refused, false));
    assert_eq!(found(&psp, 2).await, "declined authentication_failed");
    let voided = authorized(&psp, 3, 100, "tok_action").await;
    assert_eq!(code(&void(&psp, 4, &voided).await), "done 0");
    assert!(!act(voided, true));
    assert_eq!(found(&psp, 3).await, "declined canceled");
    let late = authorized(&psp, 5, 100, "tok_action").await;
    psp.advance(Duration::from_secs(600));
    assert!(!act(late, true));
    assert_eq!(found(&psp, 5).await, "declined action_expired");
}

#[tokio::test]
async fn an_authorization_is_reversed_by_its_issuer() {
    // Case 14 (VivaPayments#2486).
    let psp = simulator(Settings { webhooks: true, ..Settings::default() });
    let pi = authorized(&psp, 1, 100, "tok_reversed").await;
    psp.advance(HOUR);
    assert_eq!(sums(&psp, &pi), [100, 100, 0, 0, 0]);
    assert_eq!(found(&psp, 1).await, "declined reversed");
    assert_eq!(code(&capture(&psp, 2, &pi, 100, false).await), "refused already_voided");
}

#[tokio::test]
async fn an_authorization_expires_and_cannot_be_captured() {
    // Case 15 (woo-stripe#1378).
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 100, "tok_visa").await;
    psp.advance(7 * DAY);
    assert_eq!(code(&capture(&psp, 2, &pi, 100, false).await), "refused authorization_expired");
    assert_eq!(code(&void(&psp, 3, &pi).await), "refused authorization_expired");
    assert_eq!(sums(&psp, &pi), [100, 100, 0, 0, 0]);
}

#[tokio::test]
async fn captured_money_cannot_be_voided() {
    // Case 17 (spree#14561).
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 100, "tok_visa").await;
    let ch = reference(&capture(&psp, 2, &pi, 100, false).await);
    assert_eq!(code(&void(&psp, 3, &pi).await), "refused already_captured");
    assert_eq!(code(&refund(&psp, 4, &ch, 100).await), "done 100");
    assert_eq!(sums(&psp, &pi), [100, 0, 100, 100, 0]);
}

#[tokio::test]
async fn two_parcels_are_two_captures() {
    // Case 18 (spree#6339), with a retry in between.
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 5_000, "tok_visa").await;
    for (operation, more) in [(2, true), (2, true), (3, false), (2, true)] {
        assert_eq!(code(&capture(&psp, operation, &pi, 2_500, more).await), "done 2500");
    }
    assert_eq!(sums(&psp, &pi), [5_000, 0, 5_000, 0, 0]);
    assert_eq!(code(&capture(&psp, 4, &pi, 1, false).await), "refused already_captured");
}

#[tokio::test]
async fn a_final_capture_releases_the_rest() {
    // Case 19 (paypal/Checkout-PHP-SDK#76).
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 5_000, "tok_visa").await;
    assert_eq!(code(&capture(&psp, 2, &pi, 5_001, false).await), "refused amount_too_large");
    assert_eq!(code(&capture(&psp, 3, &pi, 2_000, false).await), "done 2000");
    assert_eq!(sums(&psp, &pi), [5_000, 3_000, 2_000, 0, 0]);
    // Without that ability the rest stands until it is voided or its time is over.
    let mut settings = Settings::default();
    settings.capabilities.release_remainder = false;
    let psp = simulator(settings);
    let pi = authorized(&psp, 1, 5_000, "tok_visa").await;
    capture(&psp, 2, &pi, 2_000, false).await;
    assert_eq!(sums(&psp, &pi), [5_000, 0, 2_000, 0, 0]);
    assert_eq!(code(&void(&psp, 3, &pi).await), "done 3000");
    assert_eq!(sums(&psp, &pi), [5_000, 3_000, 2_000, 0, 0]);
}

#[tokio::test]
async fn a_capture_fails_later_and_may_be_made_again() {
    // Case 20 (adyen-magento2#1234).
    let mut settings = Settings::default();
    settings.times.failure = DAY;
    let psp = simulator(settings);
    let pi = authorized(&psp, 1, 100, "tok_visa").await;
    with(&psp, |simulator, _| simulator.say(Kind::Capture, None, Script::FailsLater)).unwrap();
    assert_eq!(code(&capture(&psp, 2, &pi, 100, false).await), "done 100");
    psp.advance(DAY);
    assert_eq!(sums(&psp, &pi), [100, 0, 0, 0, 0]);
    assert_eq!(found(&psp, 2).await, "declined capture_failed");
    assert_eq!(code(&capture(&psp, 3, &pi, 100, false).await), "done 100");
    assert_eq!(sums(&psp, &pi), [100, 0, 100, 0, 0]);
}

#[tokio::test]
async fn a_refund_fails_days_later_and_is_refundable_again() {
    // Cases 21 (adyen-magento#631) and 22 (saleor-dashboard#4493).
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 100, "tok_refund_pending_fails").await;
    let ch = reference(&capture(&psp, 2, &pi, 100, false).await);
    assert_eq!(code(&refund(&psp, 3, &ch, 80).await), "pending");
    assert_eq!(code(&refund(&psp, 4, &ch, 21).await), "refused refund_too_large");
    psp.advance(HOUR);
    assert_eq!(found(&psp, 3).await, "declined refund_failed");
    with(&psp, |simulator, _| simulator.say(Kind::Refund, None, Script::FailsLater)).unwrap();
    assert_eq!(code(&refund(&psp, 5, &ch, 100).await), "done 100");
    psp.advance(5 * DAY);
    assert_eq!(found(&psp, 5).await, "declined refund_failed");
    assert_eq!(sums(&psp, &pi), [100, 0, 100, 0, 0]);
}

#[tokio::test]
async fn a_disputed_payment_is_not_refunded_until_it_is_won() {
    // Cases 25 (gumroad#4372) and 26 (woo-stripe#1098).
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 100, "tok_dispute_won").await;
    let ch = reference(&capture(&psp, 2, &pi, 100, false).await);
    psp.advance(10 * DAY);
    assert_eq!(sums(&psp, &pi), [100, 0, 100, 0, 100]);
    assert_eq!(code(&refund(&psp, 3, &ch, 10).await), "refused disputed");
    psp.advance(30 * DAY);
    assert_eq!(sums(&psp, &pi), [100, 0, 100, 0, 0]);
    assert_eq!(code(&refund(&psp, 4, &ch, 10).await), "done 10");
}

#[tokio::test]
async fn another_amount_or_currency_is_authorized_than_asked() {
    // Case 30 (lunar#2202).
    let psp = simulator(Settings::default());
    assert_eq!(code(&authorize(&psp, 1, 100, "tok_partial").await), "done 50");
    let Answer::Done { amount, .. } = authorize(&psp, 2, 100, "tok_wrong_currency").await else {
        panic!("not done");
    };
    assert_eq!(amount, money(100, "EUR"));
}

#[tokio::test]
async fn webhooks_are_doubled_delayed_dropped_and_wrongly_signed() {
    let hook_odds = HookOdds { doubled: 1000, wrong_secret: 1000, ..HookOdds::default() };
    let psp = simulator(Settings { webhooks: true, hook_odds, ..Settings::default() });
    let pi = authorized(&psp, 1, 100, "tok_visa").await;
    let taken = with(&psp, |simulator, at| simulator.webhooks(at, 100));
    let signed: Vec<_> = taken.iter().map(|outgoing| outgoing.signed_by).collect();
    assert_eq!(signed, [SignedBy::Wrong, SignedBy::Live, SignedBy::Live]);
    assert!(taken.iter().all(|outgoing| outgoing.event == taken[0].event));
    assert_eq!(taken[0].event.what, What::Authorized { amount: gbp(100) });
    assert_eq!(taken[0].event.payment, Some(pi));
    assert_eq!(taken[0].event.our_reference, Some(our(1)));
    // What is not taken is sent again, later; a wrong one is not.
    with(&psp, |simulator, at| {
        for outgoing in taken {
            simulator.webhook_failed(outgoing, at.now);
        }
        assert!(simulator.webhooks(at, 100).is_empty());
        assert_eq!(simulator.webhook_counts(), (2, 1));
    });
    psp.advance(Duration::from_secs(5));
    assert_eq!(with(&psp, |simulator, at| simulator.webhooks(at, 100)).len(), 2);
    let hook_odds = HookOdds { dropped: 1000, ..HookOdds::default() };
    let psp = simulator(Settings { webhooks: true, hook_odds, ..Settings::default() });
    authorized(&psp, 1, 100, "tok_visa").await;
    assert!(with(&psp, |simulator, at| simulator.webhooks(at, 100)).is_empty());
}

#[tokio::test]
async fn the_report_of_a_day_has_gross_fee_and_net() {
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 10_000, "tok_visa").await;
    let ch = reference(&capture(&psp, 2, &pi, 10_000, false).await);
    psp.advance(DAY);
    refund(&psp, 3, &ch, 2_500).await;
    let day = |day: &str| {
        let of = ReportOf { day: day.to_owned(), ..ReportOf::default() };
        with(&psp, |simulator, _| report(simulator, &of))
    };
    let lines = |text: String| -> Vec<String> { text.lines().skip(1).map(str::to_owned).collect() };
    let captured = lines(day("2026-11-29"));
    assert_eq!(captured.len(), 1, "{captured:?}");
    assert!(captured[0].ends_with(",GBP,100.00,2.90,97.10,,,2026-11-29T00:00:00.000000Z"));
    let our = our(2).0;
    let begins = format!("txn_000000000000000002,charge,{our},{ch},");
    assert!(captured[0].starts_with(&begins), "{captured:?}");
    let refunded = lines(day("2026-11-30"));
    let is_refund =
        refunded[0].contains(",refund,") && refunded[0].contains(",-25.00,0.00,-25.00,");
    assert!(refunded.len() == 1 && is_refund, "{refunded:?}");
    assert!(lines(day("2026-12-01")).is_empty());
    assert_eq!(lines(day("")).len(), 2);
}

#[tokio::test]
async fn a_report_is_wrong_as_it_is_asked_for() {
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 10_000, "tok_visa").await;
    capture(&psp, 2, &pi, 6_000, true).await;
    capture(&psp, 3, &pi, 4_000, false).await;
    let of = |fault| ReportOf { fault, ..ReportOf::default() };
    let lines = |of: ReportOf| -> Vec<String> {
        let text = with(&psp, |simulator, _| report(simulator, &of));
        text.lines().skip(1).map(str::to_owned).collect()
    };
    let right = lines(of(None));
    assert_eq!(right.len(), 2);
    assert_eq!(lines(of(Some(ReportFault::MissingLine))), right[1..]);
    let doubled = lines(of(Some(ReportFault::DoubledLine)));
    assert_eq!((doubled.len(), &doubled[0], &doubled[2]), (3, &right[0], &right[1]));
    assert_eq!(doubled[1].replace("_again", ""), right[0]);
    let wrong = lines(of(Some(ReportFault::WrongAmount)));
    assert!(wrong[0].contains(",59.99,1.74,58.25,"), "{wrong:?}");
    let settled_in = Some((currency("EUR"), "1.17".to_owned()));
    let paid = lines(ReportOf { settled_in, ..ReportOf::default() });
    assert!(paid[0].contains(",60.00,1.74,58.26,EUR,1.17,"), "{paid:?}");
}

#[tokio::test]
async fn what_is_over_is_forgotten_and_the_totals_stay() {
    let psp = simulator(Settings::default());
    let pi = authorized(&psp, 1, 100, "tok_visa").await;
    capture(&psp, 2, &pi, 100, false).await;
    psp.advance(181 * DAY);
    with(&psp, |simulator, _| {
        assert!(simulator.payment(&pi).is_none());
        assert_eq!(simulator.book().payments().count(), 0);
        assert_eq!(simulator.book().lines().count(), 0);
        let totals = simulator.book().totals()[&currency("GBP")];
        assert_eq!((totals.kept(), totals.fees), (100, 2));
    });
    assert_eq!(found(&psp, 1).await, "nothing");
}

#[tokio::test(start_paused = true)]
async fn answers_take_as_long_as_they_are_said_to() {
    let latency = Duration::from_millis(20);
    let psp = simulator(Settings { latency, ..Settings::default() });
    let begun = tokio::time::Instant::now();
    authorized(&psp, 1, 100, "tok_visa").await;
    assert_eq!(begun.elapsed(), latency);
    authorized(&psp, 2, 100, "tok_slow").await;
    assert_eq!(begun.elapsed(), latency + Duration::from_secs(2));
}
