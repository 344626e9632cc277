//! Calls and questions, with a provider that loses, refuses and reverses.

use payment::domain::{Observation, OperationKind, OperationState, Stage, Status};
use payment::store;
use psp::{Answer, Capabilities};
use shared_events::contract::CapturePolicy;
use shared_events::stream::Dialect;
use tokio_util::sync::CancellationToken;

use crate::domain::support::CAPABLE;
use crate::on_both::on_both;
use crate::scripted::{Act, Scripted};
use crate::support::{Bench, Story, gbp};

const FULFIL: CapturePolicy = CapturePolicy::OnFulfil;
const AUTHORIZE: OperationKind = OperationKind::Authorize;
const CAPTURE: OperationKind = OperationKind::Capture;

async fn paying(bench: &Bench) -> Story {
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    story
}

async fn a_capture_whose_answer_is_lost_happens_once(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    bench.psp.will(CAPTURE, [Act::LoseAnswer]);
    let mut story = paying(&bench).await;
    bench.turns().await;
    bench.follow(&[story.shipped(5_000)]).await.unwrap();
    bench.turns().await;
    assert_eq!(bench.operation(CAPTURE).await.schedule.stage, Stage::Unknown);
    bench.restart();
    bench.settle().await;
    assert_eq!(bench.psp.effects(), [(AUTHORIZE, 5_000), (CAPTURE, 5_000)]);
    assert_eq!(bench.psp.calls().len(), 2, "asked before anything is sent again");
    bench.laws_hold().await;
}

async fn a_request_that_was_lost_is_sent_again_under_the_same_key(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.psp.will(AUTHORIZE, [Act::LoseRequest, Act::LoseRequest]);
    let story = paying(&bench).await;
    bench.settle().await;
    let calls = bench.psp.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|key| *key == calls[0] && key.ends_with(".0")), "{calls:?}");
    assert!(bench.case(story.order_id).await.secured);
    bench.laws_hold().await;
}

async fn not_found_within_the_grace_is_not_believed(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.psp.will(AUTHORIZE, [Act::LoseAnswer]);
    bench.psp.is_blind_for(2);
    paying(&bench).await;
    bench.turns().await;
    bench.wait(6);
    bench.turns().await;
    assert_eq!((bench.psp.questions(), bench.psp.calls().len()), (1, 1));
    bench.settle().await;
    // The provider was blind beyond its grace: the same key, and one effect.
    assert_eq!(bench.psp.effects(), [(AUTHORIZE, 5_000)]);
    bench.laws_hold().await;
}

async fn a_token_that_is_gone_declines_nothing_that_may_have_happened(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.psp.will(AUTHORIZE, [Act::LoseAnswer]);
    bench.psp.is_blind_for(2);
    let story = paying(&bench).await;
    bench.turns().await;
    bench.forget_tokens().await;
    // Not found beyond the grace: it would be sent again, and cannot be.
    bench.settle().await;
    assert_eq!(bench.psp.effects(), [(AUTHORIZE, 5_000)]);
    assert!(bench.case(story.order_id).await.secured);
    bench.laws_hold().await;
}

async fn what_nobody_knows_is_stuck_and_a_person_resolves_it(dialect: Dialect) {
    let capabilities = Capabilities { key_seconds: 60, ..CAPABLE };
    let bench = Bench::with(dialect, Scripted::able(capabilities)).await;
    bench.psp.will(AUTHORIZE, [Act::LoseRequest]);
    let story = paying(&bench).await;
    bench.turns().await;
    bench.wait(120);
    for _ in 0..40 {
        bench.turns().await;
        bench.wait(24 * 3_600);
    }
    let row = bench.operation(AUTHORIZE).await;
    assert_eq!((row.schedule.stage, bench.psp.calls().len()), (Stage::Stuck, 1));
    let stuck = store::stuck(&bench.database, "", 10).await.unwrap();
    assert_eq!(stuck.len(), 1);
    let case = bench.case(story.order_id).await;
    assert_eq!(case.operation(row.id).unwrap().1.state, OperationState::Stuck);
    assert_ne!(case.payments[0].status(), Status::Declined, "never a guess");
    bench.laws_hold().await;
    let seen = Observation::Declined { code: "not_received".to_owned() };
    bench.resolve(&row, seen).await;
    assert_eq!(bench.operation(AUTHORIZE).await.schedule.stage, Stage::Done);
    bench.laws_hold().await;
}

async fn a_refused_request_is_mended_under_a_new_key(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let refused = Answer::Refused { code: "busy".to_owned(), repairable: true };
    bench.psp.will(AUTHORIZE, [Act::Say(refused)]);
    paying(&bench).await;
    bench.settle().await;
    let calls = bench.psp.calls();
    assert!(calls[0].ends_with(".0") && calls[1].ends_with(".1"), "{calls:?}");
    assert_eq!(bench.psp.effects().len(), 1);
    bench.laws_hold().await;
}

/// More refusals than there are tries: a parcel is paid all the same once the key is mended.
async fn a_rotated_key_declines_nothing(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = paying(&bench).await;
    bench.turns().await;
    let refused = Answer::Refused { code: "not_authenticated".to_owned(), repairable: true };
    let lost = std::iter::once(Act::LoseRequest);
    bench.psp.will(CAPTURE, lost.chain(std::iter::repeat_n(Act::Say(refused), 7)));
    bench.follow(&[story.shipped(5_000)]).await.unwrap();
    bench.settle().await;
    let calls = bench.psp.calls();
    assert_eq!(calls.len(), 1 + 9, "{calls:?}");
    assert!(calls[1..].iter().all(|key| *key == calls[1] && key.ends_with(".0")), "{calls:?}");
    assert_eq!(bench.psp.effects(), [(AUTHORIZE, 5_000), (CAPTURE, 5_000)]);
    bench.laws_hold().await;
}

async fn a_pending_authorisation_is_looked_at_until_it_is_done(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let pending = Answer::Pending { reference: "psp_x".parse().unwrap() };
    bench.psp.will(AUTHORIZE, [Act::Say(pending)]);
    let story = paying(&bench).await;
    bench.turns().await;
    let row = bench.operation(AUTHORIZE).await;
    assert_eq!(row.schedule.stage, Stage::Looking);
    let status = bench.case(story.order_id).await.payments[0].status();
    assert_eq!((status, bench.tokens().await), (Status::ActionRequired, 1));
    let done =
        Answer::Done { reference: "psp_x".parse().unwrap(), amount: gbp(5_000), valid_until: None };
    bench.psp.knows(row.id.uuid(), done);
    bench.settle().await;
    assert!(bench.case(story.order_id).await.secured);
    assert_eq!((bench.psp.calls().len(), bench.tokens().await), (1, 0));
    bench.laws_hold().await;
}

async fn what_is_pending_without_an_end_is_stuck_and_can_be_resolved(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let pending = Answer::Pending { reference: "psp_x".parse().unwrap() };
    bench.psp.will(AUTHORIZE, [Act::Say(pending)]);
    let story = paying(&bench).await;
    for _ in 0..45 {
        bench.turns().await;
        bench.wait(24 * 3_600);
    }
    let row = bench.operation(AUTHORIZE).await;
    assert_eq!(row.schedule.stage, Stage::Stuck);
    let state = bench.case(story.order_id).await.operation(row.id).unwrap().1.state;
    assert_eq!(state, OperationState::Stuck);
    bench.laws_hold().await;
    let seen = Observation::Declined { code: "not_paid".to_owned() };
    bench.resolve(&row, seen).await;
    assert_eq!(bench.operation(AUTHORIZE).await.schedule.stage, Stage::Done);
    bench.laws_hold().await;
}

async fn a_provider_that_does_not_answer_is_left_alone(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.psp.will(AUTHORIZE, std::iter::repeat_n(Act::LoseRequest, 5));
    let runner = bench.runner();
    for _ in 0..5 {
        paying(&bench).await;
        runner.turn().await.unwrap();
    }
    paying(&bench).await;
    runner.turn().await.unwrap();
    assert_eq!(bench.psp.calls().len(), 5, "the breaker holds the sixth back");
    bench.settle().await;
    assert_eq!(bench.psp.effects().len(), 6);
    bench.laws_hold().await;
}

async fn an_order_that_is_not_paid_in_time_fails_by_itself(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.turns().await;
    bench.wait(15 * 60);
    bench.turns().await;
    assert_eq!(bench.published().await, ["payment.failed.v1"]);
    bench.follow(&[story.cancelled(5_000)]).await.unwrap();
    assert_eq!(bench.published().await, ["payment.failed.v1", "payment.released.v1"]);
    bench.laws_hold().await;
}

/// The row of one order is damaged: the others are paid, and it is not looked at all the time.
async fn one_order_that_cannot_be_read_does_not_hold_up_the_others(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut bad = Story::new();
    bench.follow(&[bad.requested(5_000, FULFIL)]).await.unwrap();
    let mut good = paying(&bench).await;
    bench.turns().await;
    let mut tx = bench.database.begin().await.unwrap();
    let sql = "UPDATE cases SET body = '{}' WHERE order_id = $1";
    sqlx::query(sql).bind(bad.order_id.to_string()).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    bench.wait(15 * 60);
    bench.follow(&[good.shipped(5_000)]).await.unwrap();
    let runner = bench.runner();
    runner.turn().await.unwrap_err();
    assert_eq!(bench.psp.effects(), [(AUTHORIZE, 5_000), (CAPTURE, 5_000)]);
    assert_eq!(runner.turn().await.unwrap(), 0);
    bench.wait(61);
    runner.turn().await.unwrap_err();
}

async fn an_authorisation_ends_by_itself(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    paying(&bench).await;
    bench.turns().await;
    bench.wait(7 * 24 * 3_600);
    bench.turns().await;
    let told = bench.published().await;
    assert_eq!(told[2..], ["payment.expired.v1", "payment.lost.v1"]);
    bench.laws_hold().await;
}

async fn a_runner_works_until_it_is_stopped(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let stop = CancellationToken::new();
    let running = shared_events::stream::spawn(bench.runner().run(stop.clone()));
    let story = paying(&bench).await;
    let facts = bench.payments.facts();
    while !bench.case(story.order_id).await.secured {
        use shared_events::stream::Source as _;
        facts.changed(&shared_events::stream::Cursors::default()).await;
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    bench.laws_hold().await;
}

on_both! { two_threads:
    a_capture_whose_answer_is_lost_happens_once,
    a_request_that_was_lost_is_sent_again_under_the_same_key,
    not_found_within_the_grace_is_not_believed,
    a_token_that_is_gone_declines_nothing_that_may_have_happened,
    what_nobody_knows_is_stuck_and_a_person_resolves_it,
    a_refused_request_is_mended_under_a_new_key,
    a_rotated_key_declines_nothing,
    a_pending_authorisation_is_looked_at_until_it_is_done,
    what_is_pending_without_an_end_is_stuck_and_can_be_resolved,
    a_provider_that_does_not_answer_is_left_alone,
    an_order_that_is_not_paid_in_time_fails_by_itself,
    one_order_that_cannot_be_read_does_not_hold_up_the_others,
    an_authorisation_ends_by_itself,
    a_runner_works_until_it_is_stopped,
}
