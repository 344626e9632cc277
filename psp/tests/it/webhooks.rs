//! Which webhooks are taken as genuine, and what they tell. Names of cases are those of the issue.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use psp::webhook::{BODY_BYTES_MAX, Secret, SecretError, Unverified, Verifier, body_id, sign};
use psp::{Dialect, Event, OurReference, What};
use shared_events::contract::Timestamp;
use uuid::Uuid;

use crate::support::{gbp, money, start};

const NEW: &str = "whsec_bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldw==";
const OLD: &str = "whsec_b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZA==";
const OTHER: &str = "whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgbw==";

fn secret(dialect: Dialect, text: &str) -> Secret {
    Secret::new(dialect, text).unwrap()
}

fn verifier(dialect: Dialect) -> Verifier {
    let secrets = [NEW, OLD].map(|text| secret(dialect, text)).to_vec();
    Verifier::new(dialect, secrets).unwrap()
}

fn headers(dialect: Dialect, by: &str, at: Timestamp, body: &[u8]) -> HeaderMap {
    let signed = sign(dialect, &secret(dialect, by), "evt_1", at, body);
    let header = |(name, value): (&'static str, String)| {
        (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap())
    };
    signed.into_iter().map(header).collect()
}

fn seconds_later(seconds: i64) -> Timestamp {
    Timestamp::from_micros(start().micros() + seconds * 1_000_000)
}

#[test]
fn exact_bytes_by_a_live_secret_in_time_are_genuine() {
    // Case 32 (stripe-node#356).
    let body: &[u8] = br#"{"id":"evt_1","amount": 100}"#;
    for dialect in Dialect::ALL {
        let verifier = verifier(dialect);
        let verify = |by, body: &[u8], received| {
            let signed = headers(dialect, by, start(), br#"{"id":"evt_1","amount": 100}"#);
            verifier.verify(&signed, body, received)
        };
        assert_eq!(verify(NEW, body, start()), Ok(()), "{dialect}");
        assert_eq!(verify(OLD, body, start()), Ok(()), "{dialect}");
        assert_eq!(verify(OTHER, body, start()), Err(Unverified::WrongSignature), "{dialect}");
        let written_anew = br#"{"id":"evt_1","amount":100}"#;
        assert_eq!(verify(NEW, written_anew, start()), Err(Unverified::WrongSignature));
        for (seconds, expected) in [
            (300, Ok(())),
            (-300, Ok(())),
            (301, Err(Unverified::OutOfTime)),
            (-301, Err(Unverified::OutOfTime)),
        ] {
            // Razorpay signs no time.
            let expected = if dialect == Dialect::Razorpay { Ok(()) } else { expected };
            assert_eq!(verify(NEW, body, seconds_later(seconds)), expected, "{dialect} {seconds}");
        }
        let unsigned = verifier.verify(&HeaderMap::new(), body, start());
        assert_eq!(unsigned, Err(Unverified::Unsigned), "{dialect}");
        let large = vec![b'x'; BODY_BYTES_MAX + 1];
        let signed = headers(dialect, NEW, start(), &large);
        assert_eq!(verifier.verify(&signed, &large, start()), Err(Unverified::TooLarge));
    }
}

#[test]
fn a_webhook_is_judged_when_it_is_received_not_when_it_is_handled() {
    // Case 33 (stripe-node#1778): the follower was down for an hour.
    let body = br#"{"id":"evt_1","type":"authorized","data":{"amount":100,"currency":"GBP"}}"#;
    let signed = headers(Dialect::Simulator, NEW, start(), body);
    let verifier = verifier(Dialect::Simulator);
    assert_eq!(verifier.verify(&signed, body, seconds_later(5)), Ok(()));
    let kept = body.to_vec();
    assert_eq!(verifier.read(&kept).unwrap().what, What::Authorized { amount: gbp(100) });
    let later = verifier.verify(&signed, body, seconds_later(3_600));
    assert_eq!(later, Err(Unverified::OutOfTime));
}

#[test]
fn malformed_signatures_are_refused_without_a_panic() {
    let names = [
        (Dialect::Simulator, "webhook-signature"),
        (Dialect::Stripe, "stripe-signature"),
        (Dialect::Razorpay, "x-razorpay-signature"),
    ];
    for (dialect, name) in names {
        for value in ["", "v1,", "t=,v1=", "t=1,v1=zz", "t=1", "v1=00", "zz", &"a".repeat(5_000)] {
            let mut signed = headers(dialect, NEW, start(), b"{}");
            signed.insert(name, HeaderValue::from_str(value).unwrap());
            assert!(verifier(dialect).verify(&signed, b"{}", start()).is_err(), "{value}");
        }
    }
}

#[test]
fn a_time_that_was_signed_for_another_is_refused() {
    let mut signed = headers(Dialect::Stripe, NEW, start(), b"{}");
    let value = signed["stripe-signature"].to_str().unwrap().to_owned();
    let time = start().micros() / 1_000_000;
    let moved = value.replace(&format!("t={time}"), &format!("t={}", time + 10_000));
    signed.insert("stripe-signature", HeaderValue::from_str(&moved).unwrap());
    let verified =
        verifier(Dialect::Stripe).verify(&signed, b"{}", start().plus(Duration::from_secs(10_000)));
    assert_eq!(verified, Err(Unverified::WrongSignature));
}

#[test]
fn there_is_no_verifier_without_a_secret() {
    // Case 35 (open-mercato#1311).
    for dialect in Dialect::ALL {
        assert!(matches!(Verifier::new(dialect, Vec::new()), Err(SecretError::Missing)));
        let one = secret(dialect, NEW);
        let three = vec![one.clone(), one.clone(), one];
        assert!(matches!(Verifier::new(dialect, three), Err(SecretError::TooMany)));
        for wrong in ["", "short", "has a space in it"] {
            assert!(matches!(Secret::new(dialect, wrong), Err(SecretError::Invalid)), "{wrong}");
        }
    }
    let error = Secret::new(Dialect::Simulator, "not-in-base64");
    assert_eq!(error, Err(SecretError::NotBase64));
    assert!(!format!("{:?}", verifier(Dialect::Stripe)).contains("bmV3"));
}

fn read(dialect: Dialect, body: &str) -> Event {
    verifier(dialect).read(body.as_bytes()).unwrap()
}

const OUR: &str = "00000000-0000-0000-0000-000000000007";

#[test]
fn events_of_stripe_are_read() {
    let event = |kind: &str, object: String| {
        read(
            Dialect::Stripe,
            &format!(r#"{{"id":"evt_1","type":"{kind}","data":{{"object":{object}}}}}"#),
        )
    };
    let intent = |more: &str| {
        let metadata = format!(r#""metadata":{{"ordinal":"{OUR}"}}"#);
        format!(
            r#"{{"object":"payment_intent","id":"pi_1","currency":"gbp",{metadata},
                "amount_capturable":700,"amount_received":600,"latest_charge":"ch_1"{more}}}"#
        )
    };
    let our = Some(OurReference(Uuid::from_u128(7)));
    let authorized = event("payment_intent.amount_capturable_updated", intent(""));
    assert_eq!(authorized.what, What::Authorized { amount: gbp(700) });
    assert_eq!((authorized.id.as_str(), authorized.our_reference), ("evt_1", our));
    assert_eq!(authorized.payment, Some("pi_1".parse().unwrap()));
    let captured = event("payment_intent.succeeded", intent(""));
    assert_eq!(captured.what, What::Captured { amount: gbp(600) });
    // The metadata are those of the authorisation: it is not told that this was captured.
    assert_eq!(captured.our_reference, None);
    assert_eq!(captured.reference, Some("ch_1".parse().unwrap()));
    let failed = intent(r#","last_payment_error":{"code":"card_declined","decline_code":"lost"}"#);
    let failed = event("payment_intent.payment_failed", failed);
    assert_eq!(failed.what, What::Declined { code: "lost".to_owned() });
    let expired = event("payment_intent.canceled", intent(r#","cancellation_reason":"automatic""#));
    assert_eq!(expired.what, What::Expired);
    assert_eq!(event("payment_intent.canceled", intent("")).what, What::Voided);
    // Case 7 (hyperswitch#5298): it names the refund only.
    let refund = r#"{"object":"refund","id":"re_1","amount":100,"currency":"jpy",
        "status":"succeeded"}"#;
    let refunded = event("refund.updated", refund.to_owned());
    assert_eq!(refunded.what, What::Refunded { amount: money(100, "JPY") });
    assert_eq!(refunded.reference, Some("re_1".parse().unwrap()));
    assert_eq!((refunded.payment, refunded.our_reference), (None, None));
    let failed = refund.replace("succeeded", "failed");
    let failed = event("refund.failed", failed);
    assert_eq!(failed.what, What::RefundFailed { code: "refund_failed".to_owned() });
    let dispute = r#"{"object":"dispute","id":"dp_1","amount":100,"currency":"gbp",
        "status":"won","charge":"ch_1","payment_intent":"pi_1"}"#;
    let won = event("charge.dispute.closed", dispute.to_owned());
    assert_eq!(won.what, What::DisputeWon { amount: gbp(100) });
    assert_eq!(won.reference, Some("ch_1".parse().unwrap()));
    // An inquiry moves no money, and is no dispute.
    for (kind, status) in [("created", "warning_needs_response"), ("closed", "warning_closed")] {
        let kind = format!("charge.dispute.{kind}");
        let told = event(&kind, dispute.replace("won", status));
        assert_eq!(told.what, What::Other { kind });
    }
    for kind in ["charge.dispute.created", "charge.dispute.funds_withdrawn"] {
        let begun = event(kind, dispute.replace("won", "needs_response"));
        assert!(matches!(begun.what, What::DisputeOpened { .. }), "{begun:?}");
    }
    // Whatever ends and is not lost blocks nothing any more.
    for (status, expected) in [
        ("prevented", What::DisputeWon { amount: gbp(100) }),
        ("lost", What::DisputeLost { amount: gbp(100) }),
    ] {
        let ended = event("charge.dispute.closed", dispute.replace("won", status));
        assert_eq!(ended.what, expected);
    }
    for (kind, status) in [("closed", "in_a_new_way"), ("of_a_new_kind", "won")] {
        let object = dispute.replace("won", status);
        let body = format!(
            r#"{{"id":"evt_1","type":"charge.dispute.{kind}","data":{{"object":{object}}}}}"#
        );
        assert!(verifier(Dialect::Stripe).read(body.as_bytes()).is_err(), "{body}");
    }
    let other = event("customer.created", "{}".to_owned());
    assert_eq!(other.what, What::Other { kind: "customer.created".to_owned() });
}

#[test]
fn events_of_razorpay_are_read() {
    let event = |kind: &str, payload: &str| {
        let body = format!(r#"{{"entity":"event","event":"{kind}","payload":{{{payload}}}}}"#);
        let event = read(Dialect::Razorpay, &body);
        assert_eq!(event.id, body_id(body.as_bytes()));
        event
    };
    let payment = format!(
        r#""payment":{{"entity":{{"id":"pay_1","amount":700,"currency":"INR",
            "notes":{{"ordinal":"{OUR}"}},"error_reason":"payment Timed out"}}}}"#
    );
    let authorized = event("payment.authorized", &payment);
    assert_eq!(authorized.what, What::Authorized { amount: money(700, "INR") });
    assert_eq!(authorized.our_reference, Some(OurReference(Uuid::from_u128(7))));
    let captured = event("payment.captured", &payment);
    assert_eq!(
        (captured.what, captured.our_reference),
        (What::Captured { amount: money(700, "INR") }, None,)
    );
    let failed = event("payment.failed", &payment);
    assert_eq!(failed.what, What::Declined { code: "payment_timed_out".to_owned() });
    // Notes that are empty are a list there.
    let refund = r#""refund":{"entity":{"id":"rfnd_1","amount":70,"currency":"INR",
        "payment_id":"pay_1","notes":[]}}"#;
    let refunded = event("refund.processed", refund);
    assert_eq!(refunded.what, What::Refunded { amount: money(70, "INR") });
    assert_eq!(refunded.reference, Some("rfnd_1".parse().unwrap()));
    assert_eq!(refunded.payment, Some("pay_1".parse().unwrap()));
    let other = event("order.paid", r#""order":{"entity":{}}"#);
    assert_eq!(other.what, What::Other { kind: "order.paid".to_owned() });
}

#[test]
fn a_genuine_body_that_is_not_understood_is_said_so() {
    // Case 34 (The-Leetcode-City#555): the door keeps it and answers 200.
    for dialect in Dialect::ALL {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"id":"evt_1","type":"captured","data":{}}"#,
            r#"{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{}}}"#,
            r#"{"event":"payment.captured","payload":{"payment":{"entity":{"id":"pay_1",
                "amount":1,"currency":"XXX"}}}}"#,
        ] {
            let read = verifier(dialect).read(body.as_bytes());
            let understood = read.is_ok_and(|event| !matches!(event.what, What::Other { .. }));
            assert!(!understood, "{dialect} {body}");
        }
    }
}

#[test]
fn a_dispute_has_its_own_name_and_a_time_to_respond() {
    let stripe = r#"{"id":"evt_1","type":"charge.dispute.created","data":{"object":{
        "id":"dp_1","object":"dispute","amount":500,"currency":"gbp","charge":"ch_1",
        "payment_intent":"pi_1","evidence_details":{"due_by":1900000000}}}}"#;
    let razorpay = r#"{"event":"payment.dispute.created","payload":{"dispute":{"entity":{
        "id":"dp_1","amount":500,"currency":"GBP","payment_id":"ch_1","respond_by":1900000000}}}}"#;
    let own = r#"{"id":"evt_1","type":"dispute_opened","data":{"reference":"ch_1","payment":"pi_1",
        "amount":500,"currency":"GBP","dispute":"dp_1","respond_by":"2030-03-17T17:46:40Z"}}"#;
    let until = Timestamp::from_micros(1_900_000_000_000_000);
    for (dialect, body) in
        [(Dialect::Stripe, stripe), (Dialect::Razorpay, razorpay), (Dialect::Simulator, own)]
    {
        let event = read(dialect, body);
        let what = What::DisputeOpened { amount: gbp(500), respond_by: Some(until) };
        assert_eq!(event.what, what, "{dialect}");
        let names = [&event.dispute, &event.reference].map(|name| name.as_ref().unwrap().as_str());
        assert_eq!(names, ["dp_1", "ch_1"], "{dialect}");
        let kept = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&kept).unwrap(), event, "{dialect}");
    }
}
