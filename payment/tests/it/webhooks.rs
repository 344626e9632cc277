//! What a provider tells by webhooks: taken once, and a hint to what is then looked up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderMap;
use payment::domain::{OperationKind, OperationState, Stage, Status, WebhookState};
use payment::store::{self, Webhook};
use payment::{NotReceived, Received, WebhookDoor};
use psp::webhook::{Secret, Unverified, Verifier, sign};
use psp::{Answer, Dialect as Spelling};
use serde_json::{Value, json};
use shared_events::contract::{CapturePolicy, PaymentId, PspName, Timestamp};
use shared_events::stream::Dialect;
use uuid::Uuid;

use crate::on_both::on_both;
use crate::scripted::Act;
use crate::support::{Bench, Story, gbp};

const FULFIL: CapturePolicy = CapturePolicy::OnFulfil;
const AUTHORIZE: OperationKind = OperationKind::Authorize;
const CAPTURE: OperationKind = OperationKind::Capture;
const REFUND: OperationKind = OperationKind::Refund;
const DAY: i64 = 24 * 3_600;

fn secret(text: &str) -> Secret {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode(format!("{text:0>24}"));
    Secret::new(Spelling::Simulator, &format!("whsec_{key}")).unwrap()
}

fn scripted() -> PspName {
    "scripted".parse().unwrap()
}

fn door(bench: &Bench) -> WebhookDoor {
    let clock = Arc::clone(&bench.clock);
    door_by(bench, move || Timestamp::from_micros(clock.load(Ordering::SeqCst)))
}

/// At a machine with this clock.
fn door_by(bench: &Bench, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> WebhookDoor {
    let secrets = vec![secret("new"), secret("old")];
    let verifier = Verifier::new(Spelling::Simulator, secrets).unwrap();
    bench.payments.door(BTreeMap::from([(scripted(), verifier)]), Arc::new(clock))
}

/// A body in the simulator's own words.
fn told(id: &str, kind: &str, data: &Value) -> String {
    json!({ "id": id, "type": kind, "created": "2026-11-29T00:00:00Z", "data": data }).to_string()
}

fn signed(by: &str, body: &str, at: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let signature = sign(Spelling::Simulator, &secret(by), "msg_1", at, body.as_bytes());
    for (name, value) in signature {
        headers.insert(name, value.parse().unwrap());
    }
    headers
}

pub fn now(bench: &Bench) -> Timestamp {
    Timestamp::from_micros(bench.clock.load(Ordering::SeqCst))
}

pub async fn tell(bench: &Bench, id: &str, kind: &str, data: &Value) -> Received {
    let body = told(id, kind, data);
    let headers = signed("new", &body, now(bench));
    door(bench).receive(&scripted(), &headers, body.as_bytes()).await.unwrap()
}

/// Hears what is due, until nothing is.
pub async fn hear(bench: &Bench) {
    let runner = bench.runner();
    for _ in 0..20 {
        if runner.hear_webhooks().await.unwrap() == 0 {
            return;
        }
    }
    panic!("still something to hear");
}

pub async fn kept(bench: &Bench, id: &str) -> Webhook {
    store::webhook(&bench.database, (&scripted(), id)).await.unwrap().unwrap()
}

/// A genuine body that nobody understands.
pub async fn tell_strange(bench: &Bench, body: &str) {
    let headers = signed("new", body, now(bench));
    let received = door(bench).receive(&scripted(), &headers, body.as_bytes()).await.unwrap();
    assert_eq!(received, Received::NotUnderstood);
}

/// An order whose money is reserved.
pub async fn paid(bench: &Bench) -> Story {
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    assert!(bench.case(story.order_id).await.secured);
    story
}

/// An order that was delivered and paid.
async fn taken(bench: &Bench) -> Story {
    let mut story = paid(bench).await;
    bench.follow(&[story.shipped(5_000)]).await.unwrap();
    bench.turns().await;
    assert_eq!(status(bench, &story).await, Status::Captured);
    story
}

pub async fn status(bench: &Bench, story: &Story) -> Status {
    bench.case(story.order_id).await.payments[0].status()
}

async fn operation_of(bench: &Bench, kind: OperationKind) -> Uuid {
    bench.operation(kind).await.id.uuid()
}

pub fn declined(code: &str) -> Answer {
    Answer::Declined { code: code.to_owned() }
}

async fn only_genuine_bytes_are_stored(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (door, at) = (door(&bench), now(&bench));
    let body = told("evt_1", "voided", &json!({ "payment": "psp_9" }));
    let spaced = body.replace(',', ", ");
    let late = Timestamp::from_micros(at.micros() - 301_000_000);
    let early = Timestamp::from_micros(at.micros() + 301_000_000);
    for (headers, sent, expected) in [
        (signed("new", &body, at), &spaced, Unverified::WrongSignature),
        (signed("nobody", &body, at), &body, Unverified::WrongSignature),
        (HeaderMap::new(), &body, Unverified::Unsigned),
        (signed("new", &body, late), &body, Unverified::OutOfTime),
        (signed("new", &body, early), &body, Unverified::OutOfTime),
    ] {
        let refused = door.receive(&scripted(), &headers, sent.as_bytes()).await.unwrap_err();
        assert!(matches!(refused, NotReceived::Unverified(why) if why == expected), "{refused:?}");
    }
    let headers = signed("old", &body, at);
    let stranger =
        door.receive(&"other".parse().unwrap(), &headers, body.as_bytes()).await.unwrap_err();
    assert!(matches!(stranger, NotReceived::ProviderUnknown), "{stranger:?}");
    // Either live secret counts, and the same webhook is stored once.
    for expected in [Received::Stored, Received::Known] {
        let received = door.receive(&scripted(), &headers, body.as_bytes()).await.unwrap();
        assert_eq!(received, expected);
    }
    let other = told("evt_2", "payout.paid", &json!({}));
    let headers = signed("new", &other, at);
    let ignored = door.receive(&scripted(), &headers, other.as_bytes()).await.unwrap();
    assert_eq!(ignored, Received::Ignored);
    tell_strange(&bench, "[1]").await;
    let all = store::webhooks(&bench.database, None, ("", ""), 10).await.unwrap();
    let states: Vec<_> = all.iter().map(|one| one.state).collect();
    assert_eq!(states, [WebhookState::Parked, WebhookState::Waiting]);
    bench.laws_hold().await;
}

async fn copies_at_the_same_time_are_stored_once(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let story = paid(&bench).await;
    let data = json!({ "reference": "psp_0", "payment": "psp_0", "amount": 5000,
                       "currency": "GBP" });
    let copies = (0..8).map(|_| tell(&bench, "evt_1", "authorized", &data));
    let received = futures::future::join_all(copies).await;
    let stored = received.iter().filter(|one| **one == Received::Stored).count();
    assert_eq!(stored, 1, "{received:?}");
    let (version, questions) = (bench.case(story.order_id).await.version, bench.psp.questions());
    hear(&bench).await;
    let one = kept(&bench, "evt_1").await;
    assert_eq!((one.state, one.note.as_str()), (WebhookState::Handled, "known already"));
    assert_eq!(bench.case(story.order_id).await.version, version);
    assert_eq!(bench.psp.questions(), questions);
    let mut tx = bench.database.begin().await.unwrap();
    let refused = sqlx::query("DELETE FROM webhooks").execute(&mut *tx).await.unwrap_err();
    assert!(refused.to_string().contains("append-only"), "{refused}");
    drop(tx);
    bench.laws_hold().await;
}

async fn a_webhook_before_our_answer_settles_the_operation_once(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    bench.psp.will(AUTHORIZE, [Act::LoseAnswer]);
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    let ours = bench.operation(AUTHORIZE).await;
    assert_eq!(ours.schedule.stage, Stage::Unknown);
    let data = json!({ "reference": "psp_0", "payment": "psp_0", "amount": 5000,
                       "currency": "GBP", "our_reference": ours.id.to_string() });
    tell(&bench, "evt_1", "authorized", &data).await;
    hear(&bench).await;
    assert!(bench.case(story.order_id).await.secured, "nobody waits for the next question");
    bench.restart();
    bench.settle().await;
    assert_eq!(bench.psp.effects(), [(AUTHORIZE, 5_000)]);
    let secured = bench.published().await.into_iter().filter(|kind| *kind == "payment.secured.v1");
    assert_eq!(secured.count(), 1);
    bench.laws_hold().await;
}

/// The provider was taken out of the settings of all processes.
async fn a_webhook_whose_provider_nobody_has_is_parked_after_a_day(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    tell(&bench, "evt_left", "voided", &json!({ "payment": "psp_9" })).await;
    bench.forget_provider();
    hear(&bench).await;
    bench.wait(DAY - 1);
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_left").await.state, WebhookState::Waiting);
    bench.wait(1);
    // Others may just be starting.
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_left").await.state, WebhookState::Waiting);
    bench.wait(600);
    assert_eq!(bench.runner().hear_webhooks().await.unwrap(), 1);
    let parked = kept(&bench, "evt_left").await;
    assert_eq!(parked.state, WebhookState::Parked);
    assert_eq!(parked.note, "no process has this provider in its settings");
    assert_eq!(parked.settled_at, Some(now(&bench)));
    bench.laws_hold().await;
}

/// After a standstill of days each is looked at before it is left to a person.
async fn a_webhook_that_was_kept_for_days_is_heard(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let data = json!({ "reference": "psp_0", "payment": "psp_0", "amount": 5000,
                       "currency": "GBP" });
    paid(&bench).await;
    tell(&bench, "evt_1", "authorized", &data).await;
    bench.wait(2 * DAY);
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_1").await.state, WebhookState::Handled);
    bench.laws_hold().await;
}

/// The time of payments stands where the clock is far from what is stored; providers do not wait.
async fn a_signature_is_as_old_as_it_is_by_the_clock_of_the_machine(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let far = Timestamp::from_micros(now(&bench).micros() + 400 * DAY * 1_000_000);
    let door = door_by(&bench, move || far);
    let body = told("evt_far", "voided", &json!({ "payment": "psp_9" }));
    let by_what_stands = signed("new", &body, now(&bench));
    let refused = door.receive(&scripted(), &by_what_stands, body.as_bytes()).await.unwrap_err();
    assert!(matches!(refused, NotReceived::Unverified(_)), "{refused}");
    door.receive(&scripted(), &signed("new", &body, far), body.as_bytes()).await.unwrap();
    assert_eq!(kept(&bench, "evt_far").await.received_at, now(&bench));
}

async fn a_webhook_of_what_is_not_known_waits_and_is_parked_after_a_day(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    // It comes before the attempt is answered here.
    let data = json!({ "reference": "psp_0", "payment": "psp_0" });
    tell(&bench, "evt_early", "reversed", &data).await;
    let strange = json!({ "reference": "psp_77", "payment": "psp_77" });
    tell(&bench, "evt_strange", "reversed", &strange).await;
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_early").await.state, WebhookState::Waiting);
    let story = paid(&bench).await;
    let authorization = operation_of(&bench, AUTHORIZE).await;
    bench.psp.knows(authorization, declined("reversed"));
    // The operation was settled: what waits for its reference is due at once.
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_early").await.state, WebhookState::Handled);
    let case = bench.case(story.order_id).await;
    let lost = (case.secured, case.payments[0].operations[0].state);
    assert_eq!(lost, (false, OperationState::Reversed));
    bench.wait(DAY);
    hear(&bench).await;
    let parked = kept(&bench, "evt_strange").await;
    assert_eq!(parked.state, WebhookState::Parked);
    assert!(parked.note.contains("nothing is known"), "{}", parked.note);
    bench.laws_hold().await;
}

/// Case 7 (juspay/hyperswitch#5298): it names the provider's id of the refund, which nobody here has
/// stored yet.
async fn a_refund_is_settled_by_what_came_before_its_name(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = taken(&bench).await;
    let pending = Answer::Pending { reference: "re_1".parse().unwrap() };
    bench.psp.will(REFUND, [Act::Say(pending)]);
    bench.follow(&[story.refunded(2_000)]).await.unwrap();
    let data = json!({ "reference": "re_1", "amount": 2000, "currency": "GBP" });
    tell(&bench, "evt_early", "refunded", &data).await;
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_early").await.state, WebhookState::Waiting);
    bench.turns().await;
    assert!(!bench.published().await.contains(&"refund.settled.v1"), "the provider works on it");
    let (reference, amount) = ("re_1".parse().unwrap(), gbp(2_000));
    let done = Answer::Done { reference, amount, valid_until: None };
    bench.psp.knows(operation_of(&bench, REFUND).await, done);
    bench.wait(60);
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_early").await.state, WebhookState::Handled);
    assert_eq!(bench.case(story.order_id).await.payments[0].refunded(), 2_000);
    let kinds = bench.published().await;
    assert_eq!(kinds.iter().filter(|kind| **kind == "refund.settled.v1").count(), 1, "{kinds:?}");
    bench.laws_hold().await;
}

/// Case 8 (duncanmcclean/statamic-cargo#190): the payment is not here yet, and nothing is delivered
/// again.
async fn a_success_that_is_told_before_there_is_a_payment_counts_once_there_is(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.psp.will(AUTHORIZE, [Act::LoseAnswer]);
    let mut story = Story::new();
    let payment = PaymentId::of(story.order_id, None);
    let attempt = format!("authorize/{}", Uuid::from_u128(1));
    let ours = Uuid::new_v5(&payment.uuid(), attempt.as_bytes());
    let data = json!({ "reference": "psp_0", "payment": "psp_0", "amount": 5000,
                       "currency": "GBP", "our_reference": ours.to_string() });
    assert_eq!(tell(&bench, "evt_early", "authorized", &data).await, Received::Stored);
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_early").await.state, WebhookState::Waiting);
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    assert_eq!(operation_of(&bench, AUTHORIZE).await, ours);
    assert!(!bench.case(story.order_id).await.secured, "the answer was lost");
    bench.wait(60);
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_early").await.state, WebhookState::Handled);
    assert!(bench.case(story.order_id).await.secured);
    bench.settle().await;
    let kinds = bench.published().await;
    assert_eq!(kinds.iter().filter(|kind| **kind == "payment.secured.v1").count(), 1, "{kinds:?}");
    bench.laws_hold().await;
}

async fn a_success_after_a_decline_is_given_back_where_nobody_wants_it(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.psp.will(AUTHORIZE, [Act::Say(declined("card_declined"))]);
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    bench.follow(&[story.cancelled(5_000)]).await.unwrap();
    bench.turns().await;
    let ours = operation_of(&bench, AUTHORIZE).await;
    let (reference, amount) = ("psp_late".parse().unwrap(), gbp(5_000));
    bench.psp.knows(ours, Answer::Done { reference, amount, valid_until: None });
    let data = json!({ "reference": "psp_late", "payment": "psp_late", "amount": 5000,
                       "currency": "GBP", "our_reference": ours.to_string() });
    tell(&bench, "evt_1", "authorized", &data).await;
    hear(&bench).await;
    // A decline that comes later still says nothing new.
    tell(&bench, "evt_0", "declined", &data).await;
    hear(&bench).await;
    bench.settle().await;
    assert_eq!(status(&bench, &story).await, Status::Voided);
    let kinds = bench.published().await;
    let voided = kinds.iter().filter(|kind| **kind == "payment.voided.v1").count();
    assert_eq!(voided, 1, "{kinds:?}");
    bench.laws_hold().await;
}

async fn a_refund_that_fails_days_later_can_be_refunded_again(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = taken(&bench).await;
    bench.follow(&[story.refunded(4_500)]).await.unwrap();
    bench.turns().await;
    assert_eq!(status(&bench, &story).await, Status::PartiallyRefunded);
    let refund = bench.operation(REFUND).await;
    let reference = bench.case(story.order_id).await.payments[0]
        .operation(refund.id)
        .unwrap()
        .reference
        .clone();
    // It names the provider's id of the refund only.
    let data = json!({ "reference": reference, "code": "account_closed" });
    bench.wait(5 * DAY);
    tell(&bench, "evt_1", "refund_failed", &data).await;
    hear(&bench).await;
    // The provider does not say so yet: it is a hint, and nothing happens.
    assert_eq!(status(&bench, &story).await, Status::PartiallyRefunded);
    bench.psp.knows(refund.id.uuid(), declined("account_closed"));
    bench.wait(3);
    hear(&bench).await;
    assert_eq!(status(&bench, &story).await, Status::Captured);
    let kinds = bench.published().await;
    assert!(kinds.contains(&"payment.reversed.v1") && kinds.contains(&"refund.failed.v1"));
    bench.follow(&[story.refunded(5_000)]).await.unwrap();
    bench.settle().await;
    assert_eq!(status(&bench, &story).await, Status::Refunded);
    bench.laws_hold().await;
}

async fn a_capture_that_fails_later_loses_the_money(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = paid(&bench).await;
    bench.follow(&[story.shipped(2_000)]).await.unwrap();
    bench.turns().await;
    let capture = operation_of(&bench, CAPTURE).await;
    bench.psp.knows(capture, declined("capture_failed"));
    let data = json!({ "payment": "psp_0", "reference": "psp_1", "code": "capture_failed" });
    tell(&bench, "evt_1", "capture_failed", &data).await;
    hear(&bench).await;
    let case = bench.case(story.order_id).await;
    assert_eq!((case.secured, case.payments[0].captured()), (false, 0));
    assert!(bench.published().await.contains(&"payment.lost.v1"));
    bench.laws_hold().await;
}

async fn what_somebody_does_at_the_provider_is_recorded_once(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = taken(&bench).await;
    let data = json!({ "reference": "re_theirs", "payment": "psp_0", "amount": 1200,
                       "currency": "GBP" });
    tell(&bench, "evt_1", "refunded", &data).await;
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_1").await.state, WebhookState::Waiting, "it is not so yet");
    bench.psp.did("re_theirs", gbp(1_200));
    bench.wait(3);
    hear(&bench).await;
    tell(&bench, "evt_2", "refunded", &data).await;
    hear(&bench).await;
    let case = bench.case(story.order_id).await;
    assert_eq!(case.payments[0].refunded(), 1_200);
    let refunds = case.payments[0].operations.iter().filter(|one| one.kind == REFUND);
    assert_eq!(refunds.map(|one| one.external).collect::<Vec<_>>(), [true]);
    // What it used cannot be refunded once more.
    bench.follow(&[story.refunded(4_000)]).await.unwrap();
    bench.settle().await;
    assert_eq!(bench.case(story.order_id).await.payments[0].refunded(), 5_000);
    assert!(bench.published().await.contains(&"refund.failed.v1"));
    bench.laws_hold().await;
}

async fn a_refund_of_several_captures_is_split_and_one_of_too_much_is_parked(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = paid(&bench).await;
    for minor in [2_000, 3_000] {
        bench.follow(&[story.shipped(minor)]).await.unwrap();
        bench.turns().await;
    }
    let refund = |reference: &str, minor: i64| {
        bench.psp.did(reference, gbp(minor));
        json!({ "reference": reference, "payment": "psp_0", "amount": minor, "currency": "GBP" })
    };
    tell(&bench, "evt_1", "refunded", &refund("re_most", 4_000)).await;
    hear(&bench).await;
    let case = bench.case(story.order_id).await;
    let refunds = case.payments[0].operations.iter().filter(|one| one.kind == REFUND);
    let parts: Vec<_> = refunds.map(|one| (one.external, one.amount.minor)).collect();
    assert_eq!(parts, [(true, 2_000), (true, 2_000)]);
    tell(&bench, "evt_2", "refunded", &refund("re_much", 1_001)).await;
    hear(&bench).await;
    assert_eq!(kept(&bench, "evt_2").await.state, WebhookState::Parked);
    assert_eq!(bench.case(story.order_id).await.payments[0].refunded(), 4_000);
    bench.laws_hold().await;
}

async fn what_is_taken_of_no_reservation_is_parked(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let story = taken(&bench).await;
    let data = json!({ "reference": "cap_theirs", "payment": "psp_0", "amount": 6000,
                       "currency": "GBP" });
    bench.psp.did("cap_theirs", gbp(6_000));
    tell(&bench, "evt_1", "captured", &data).await;
    hear(&bench).await;
    let one = kept(&bench, "evt_1").await;
    assert_eq!((one.state, one.note.contains("no reservation")), (WebhookState::Parked, true));
    assert_eq!(bench.case(story.order_id).await.payments[0].captured(), 5_000);
    bench.laws_hold().await;
}

async fn a_refund_of_nothing_that_was_taken_is_no_refund(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = paid(&bench).await;
    bench.follow(&[story.cancelled(5_000)]).await.unwrap();
    bench.settle().await;
    assert_eq!(status(&bench, &story).await, Status::Voided);
    let data = json!({ "reference": "re_9", "payment": "psp_0", "amount": 5000,
                       "currency": "GBP" });
    tell(&bench, "evt_1", "refunded", &data).await;
    hear(&bench).await;
    let one = kept(&bench, "evt_1").await;
    assert_eq!((one.state, one.note.contains("nothing was taken")), (WebhookState::Handled, true));
    assert_eq!(bench.case(story.order_id).await.payments[0].refunded(), 0);
    bench.laws_hold().await;
}

async fn a_refund_waits_for_the_end_of_a_dispute(dialect: Dialect) {
    for (won, told_to_order) in [(true, "refund.settled.v1"), (false, "refund.failed.v1")] {
        let bench = Bench::on(dialect).await;
        let mut story = taken(&bench).await;
        let of = |kind: &str| {
            let data = json!({ "reference": "psp_1", "payment": "psp_0", "amount": 5000,
                               "currency": "GBP", "dispute": "dp_1",
                               "respond_by": "2030-01-01T00:00:00Z" });
            (kind.to_owned(), data)
        };
        let (kind, data) = of("dispute_opened");
        tell(&bench, "evt_1", &kind, &data).await;
        tell(&bench, "evt_1b", &kind, &data).await;
        hear(&bench).await;
        let open = store::open_disputes(&bench.database, 10).await.unwrap();
        assert_eq!((open.len(), open[0].dispute_id.as_str()), (1, "dp_1"));
        assert!(open[0].respond_by.is_some());
        bench.follow(&[story.refunded(2_000)]).await.unwrap();
        bench.turns().await;
        assert!(!bench.psp.effects().iter().any(|(kind, _)| *kind == REFUND));
        let (kind, data) = of(if won { "dispute_won" } else { "dispute_lost" });
        tell(&bench, "evt_2", &kind, &data).await;
        hear(&bench).await;
        bench.settle().await;
        let kinds = bench.published().await;
        let ends = |what: &str| kinds.iter().filter(|kind| **kind == what).count();
        assert_eq!((ends("payment.disputed.v1"), ends("payment.dispute.closed.v1")), (1, 1));
        assert_eq!(ends(told_to_order), 1, "{kinds:?}");
        let refunded = if won { 2_000 } else { 0 };
        assert_eq!(bench.case(story.order_id).await.payments[0].refunded(), refunded);
        assert_eq!(store::open_disputes(&bench.database, 10).await.unwrap(), []);
        bench.laws_hold().await;
    }
}

async fn a_webhook_that_was_stored_is_handled_after_a_restart(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    let story = paid(&bench).await;
    let ours = operation_of(&bench, AUTHORIZE).await;
    bench.psp.knows(ours, declined("reversed"));
    let data = json!({ "reference": "psp_0", "payment": "psp_0" });
    tell(&bench, "evt_1", "reversed", &data).await;
    // The process ends after it looked, and before anything of that is committed.
    let runner = bench.runner().ending(std::sync::Arc::new(|_, _| true));
    runner.hear_webhooks().await.unwrap();
    assert_eq!(status(&bench, &story).await, Status::Authorized);
    // Hours later the signature would be too old; it was judged when it came.
    bench.wait(3_600);
    bench.restart();
    hear(&bench).await;
    assert_eq!(status(&bench, &story).await, Status::Reversed);
    bench.laws_hold().await;
}

on_both! { two_threads:
    only_genuine_bytes_are_stored,
    copies_at_the_same_time_are_stored_once,
    a_webhook_before_our_answer_settles_the_operation_once,
    a_webhook_whose_provider_nobody_has_is_parked_after_a_day,
    a_webhook_that_was_kept_for_days_is_heard,
    a_signature_is_as_old_as_it_is_by_the_clock_of_the_machine,
    a_webhook_of_what_is_not_known_waits_and_is_parked_after_a_day,
    a_refund_is_settled_by_what_came_before_its_name,
    a_success_that_is_told_before_there_is_a_payment_counts_once_there_is,
    a_success_after_a_decline_is_given_back_where_nobody_wants_it,
    a_refund_that_fails_days_later_can_be_refunded_again,
    a_capture_that_fails_later_loses_the_money,
    what_somebody_does_at_the_provider_is_recorded_once,
    a_refund_of_several_captures_is_split_and_one_of_too_much_is_parked,
    what_is_taken_of_no_reservation_is_parked,
    a_refund_of_nothing_that_was_taken_is_no_refund,
    a_refund_waits_for_the_end_of_a_dispute,
    a_webhook_that_was_stored_is_handled_after_a_restart,
}
