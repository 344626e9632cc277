//! A process that ends at any point between two durable writes leaves the history as if it never
//! had: what the provider did, it did once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use payment::domain::{OperationKind, Stage, WebhookState};
use payment::{Point, store};
use serde_json::json;
use shared_events::contract::CapturePolicy;
use shared_events::stream::Dialect;

use crate::on_both::on_both;
use crate::scripted::Act;
use crate::support::{Bench, Story};
use crate::webhooks::{hear, kept, tell};

const POINTS: [Point; 4] = [Point::Read, Point::Calling, Point::Answered, Point::Committed];

/// Where the first process ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Never,
    At(Point, OperationKind),
    /// The provider acted, and nobody reads its answer.
    WhileItAnswers(OperationKind),
}

/// An order is paid, one parcel leaves and comes back, the rest is cancelled.
async fn story(dialect: Dialect, end: End) -> (Vec<(OperationKind, i64)>, Vec<&'static str>) {
    let mut bench = Bench::on(dialect).await;
    if let End::WhileItAnswers(kind) = end {
        bench.psp.will(kind, [Act::Hang]);
    }
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, CapturePolicy::OnFulfil)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench = until_it_ends(bench, end).await;
    bench.follow(&[story.shipped(2_000)]).await.unwrap();
    bench = until_it_ends(bench, end).await;
    bench.follow(&[story.refunded(2_000)]).await.unwrap();
    bench = until_it_ends(bench, end).await;
    bench.follow(&[story.cancelled(3_000)]).await.unwrap();
    bench = until_it_ends(bench, end).await;
    bench.laws_hold().await;
    assert!(bench.case(story.order_id).await.released);
    (bench.psp.effects(), bench.published().await)
}

/// A runner works until it ends; then another does the rest.
async fn until_it_ends(mut bench: Bench, end: End) -> Bench {
    let ended = Arc::new(AtomicBool::new(false));
    let ends = {
        let ended = Arc::clone(&ended);
        Arc::new(move |point, kind| {
            let here = matches!(end, End::At(at, of) if (at, of) == (point, kind));
            ended.fetch_or(here, Ordering::SeqCst);
            here
        })
    };
    let runner = bench.runner().ending(ends);
    for _ in 0..5 {
        let hangs = matches!(end, End::WhileItAnswers(_));
        let turn = shared_events::stream::spawn({
            let runner = runner.clone();
            async move { runner.turn().await }
        });
        if hangs {
            // The answer never comes. The process is killed once nothing else is to be done.
            let calling = async |bench: &Bench| {
                let rows = store::operations_after(&bench.database, "", 100).await.unwrap();
                rows.iter().any(|row| row.schedule.stage == Stage::Calling)
            };
            while !turn.is_finished() {
                let acted = bench.psp.effects().len() == bench.psp.calls().len();
                if calling(&bench).await && acted && bench.psp.is_hanging() {
                    turn.abort();
                    break;
                }
                tokio::task::yield_now().await;
            }
            if turn.await.is_err() {
                break;
            }
        } else if turn.await.unwrap().unwrap() == 0 {
            break;
        }
        if ended.load(Ordering::SeqCst) {
            break;
        }
    }
    bench.restart();
    bench.settle().await;
    bench
}

async fn an_end_at_any_point_of(kind: OperationKind, dialect: Dialect) {
    let calm = story(dialect, End::Never).await;
    assert_eq!(
        calm.0,
        [
            (OperationKind::Authorize, 5_000),
            (OperationKind::Capture, 2_000),
            (OperationKind::Refund, 2_000),
            (OperationKind::Void, 0)
        ]
    );
    for point in POINTS {
        let end = End::At(point, kind);
        assert_eq!(story(dialect, end).await, calm, "{end:?}");
    }
    let end = End::WhileItAnswers(kind);
    assert_eq!(story(dialect, end).await, calm, "{end:?}");
}

async fn an_end_while_authorising_changes_nothing(dialect: Dialect) {
    an_end_at_any_point_of(OperationKind::Authorize, dialect).await;
}

async fn an_end_while_capturing_changes_nothing(dialect: Dialect) {
    an_end_at_any_point_of(OperationKind::Capture, dialect).await;
}

async fn an_end_while_voiding_changes_nothing(dialect: Dialect) {
    an_end_at_any_point_of(OperationKind::Void, dialect).await;
}

async fn an_end_while_refunding_changes_nothing(dialect: Dialect) {
    an_end_at_any_point_of(OperationKind::Refund, dialect).await;
}

/// Each process ends with the answer in its hands; the next one asks, and sends nothing again.
async fn a_refund_whose_answer_is_lost_five_times_happens_once(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, CapturePolicy::OnFulfil)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.settle().await;
    bench.follow(&[story.shipped(5_000)]).await.unwrap();
    bench.settle().await;
    bench.follow(&[story.refunded(2_000)]).await.unwrap();
    let turned_to = |bench: &Bench| bench.psp.calls().len() + bench.psp.questions();
    for nth in 0..5 {
        let before = turned_to(&bench);
        let ends = Arc::new(|point, _| point == Point::Answered);
        bench.runner().ending(ends).turn().await.unwrap();
        assert_eq!(turned_to(&bench), before + 1, "{nth}");
        bench.restart();
        // Until then the call is taken to be under way.
        bench.wait(61);
    }
    bench.settle().await;
    let refund = (OperationKind::Refund, 2_000);
    assert_eq!(bench.psp.effects().into_iter().filter(|effect| *effect == refund).count(), 1);
    assert_eq!(bench.psp.calls().len(), 3, "one of each kind");
    assert_eq!(bench.case(story.order_id).await.payments[0].refunded(), 2_000);
    bench.laws_hold().await;
}

/// Two processes take up the same operation, or a webhook settles it first.
async fn whoever_is_second_finds_it_done(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, CapturePolicy::OnFulfil)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    let (one, other) = (bench.runner(), bench.runner());
    let (first, second) = tokio::join!(one.turn(), other.turn());
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    bench.settle().await;
    assert_eq!(bench.psp.effects().len(), 1);
    assert_eq!(bench.published().await.len(), 2);
    // The webhook is first; our own answer says the same.
    let row = bench.operation(OperationKind::Authorize).await;
    bench.follow(&[story.shipped(5_000)]).await.unwrap();
    let ends = Arc::new(|point, _| point == Point::Answered);
    bench.runner().ending(ends).turn().await.unwrap();
    let capture = bench.operation(OperationKind::Capture).await;
    assert_eq!(capture.schedule.stage, Stage::Calling);
    let data = json!({ "reference": "psp_1", "payment": "psp_0", "amount": 5000,
                       "currency": "GBP", "our_reference": capture.id.to_string() });
    for id in ["evt_1", "evt_2"] {
        tell(&bench, id, "captured", &data).await;
        hear(&bench).await;
        assert_eq!(kept(&bench, id).await.state, WebhookState::Handled);
        assert_eq!(bench.operation(OperationKind::Capture).await.schedule.stage, Stage::Done);
    }
    bench.settle().await;
    assert_eq!(bench.published().await.len(), 3);
    assert_ne!(row.id, capture.id);
    bench.laws_hold().await;
}

/// Cancelled while the customer pays: a success that comes first is voided by the same fact, one
/// that comes later by itself.
async fn a_cancelled_order_gives_back_whatever_came_first(dialect: Dialect) {
    for success_first in [true, false] {
        let bench = Bench::on(dialect).await;
        if !success_first {
            bench.psp.will(OperationKind::Authorize, [Act::LoseAnswer]);
        }
        let mut story = Story::new();
        bench.follow(&[story.requested(5_000, CapturePolicy::OnFulfil)]).await.unwrap();
        bench.pay(story.order_id, 1).await.unwrap();
        bench.turns().await;
        bench.follow(&[story.cancelled(5_000)]).await.unwrap();
        bench.settle().await;
        let kinds: Vec<_> = bench.psp.effects().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [OperationKind::Authorize, OperationKind::Void]);
        assert_eq!(bench.published().await.last(), Some(&"payment.released.v1"));
        bench.laws_hold().await;
    }
}

/// Cancelled, or too late, before the provider was called: it is not called, not even where this
/// process does not know it.
async fn what_is_not_wanted_any_more_is_not_called(dialect: Dialect) {
    for (is_here, is_late) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut bench = Bench::on(dialect).await;
        let mut story = Story::new();
        bench.follow(&[story.requested(5_000, CapturePolicy::OnFulfil)]).await.unwrap();
        bench.pay(story.order_id, 1).await.unwrap();
        if !is_here {
            bench.forget_provider();
        }
        if is_late {
            bench.wait(15 * 60);
        } else {
            bench.follow(&[story.cancelled(5_000)]).await.unwrap();
        }
        bench.turns().await;
        assert_eq!(bench.psp.calls(), [""; 0]);
        let row = bench.operation(OperationKind::Authorize).await;
        assert_eq!(row.schedule.stage, Stage::Done);
        let case = bench.case(story.order_id).await;
        assert_eq!(case.operation(row.id).unwrap().1.code, "not_wanted");
        let told = if is_late { "payment.failed.v1" } else { "payment.released.v1" };
        assert_eq!(bench.published().await, [told]);
        bench.laws_hold().await;
    }
}

/// A void that finds the money taken is for people; nothing is guessed.
async fn a_void_of_captured_money_is_stuck(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let refused = psp::Answer::Refused { code: "captured".to_owned(), repairable: false };
    bench.psp.will(OperationKind::Void, [Act::Say(refused)]);
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, CapturePolicy::OnFulfil)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    bench.follow(&[story.cancelled(5_000)]).await.unwrap();
    bench.settle().await;
    let row = bench.operation(OperationKind::Void).await;
    assert_eq!((row.schedule.stage, row.schedule.note.as_str()), (Stage::Stuck, "captured"));
    assert!(!bench.case(story.order_id).await.released);
    bench.laws_hold().await;
}

on_both! { two_threads:
    an_end_while_authorising_changes_nothing,
    an_end_while_capturing_changes_nothing,
    an_end_while_voiding_changes_nothing,
    an_end_while_refunding_changes_nothing,
    a_refund_whose_answer_is_lost_five_times_happens_once,
    whoever_is_second_finds_it_done,
    a_cancelled_order_gives_back_whatever_came_first,
    what_is_not_wanted_any_more_is_not_called,
    a_void_of_captured_money_is_stuck,
}
