//! Order facts and attempts, on SQLite and on Postgres alike.

use payment::domain::{Rejection, Status};
use payment::store::{self, PaymentFilter};
use payment::{PaymentError, Psps};
use shared_events::contract::{CapturePolicy, PaymentId};
use shared_events::stream::Dialect;

use crate::on_both::on_both;
use crate::support::{Bench, Story};

const FULFIL: CapturePolicy = CapturePolicy::OnFulfil;

async fn an_order_is_paid_shipped_and_partly_refunded(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    assert_eq!(bench.tokens().await, 1);
    bench.turns().await;
    assert_eq!(bench.tokens().await, 0, "no token outlives its attempt");
    let facts = [story.confirmed(), story.shipped(2_000), story.shipped(3_000)];
    bench.follow(&facts).await.unwrap();
    bench.turns().await;
    bench.follow(&[story.refunded(2_500)]).await.unwrap();
    bench.turns().await;
    assert_eq!(
        bench.published().await,
        [
            "payment.authorized.v1",
            "payment.secured.v1",
            "payment.captured.v1",
            "payment.captured.v1",
            "payment.refunded.v1",
            "payment.refunded.v1",
            "refund.settled.v1"
        ]
    );
    // Facts that come again do nothing.
    let before = bench.case(story.order_id).await;
    bench.follow(&facts).await.unwrap();
    assert_eq!(bench.case(story.order_id).await, before);
    let all = store::payments(&bench.database, &PaymentFilter::default(), 10).await.unwrap();
    assert_eq!((all.len(), all[0].status), (1, Status::PartiallyRefunded));
    assert_eq!((all[0].captured, all[0].refunded), (5_000, 2_500));
    bench.laws_hold().await;
}

async fn an_attempt_waits_for_the_order_and_its_token_with_it(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    assert_eq!((bench.tokens().await, bench.psp.calls().len()), (1, 0));
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.turns().await;
    assert_eq!(bench.published().await, ["payment.authorized.v1", "payment.secured.v1"]);
    // The attempt again, after it ended, brings no token back.
    bench.pay(story.order_id, 1).await.unwrap();
    assert_eq!(bench.tokens().await, 0);
    let again = bench.pay(story.order_id, 2).await.unwrap_err();
    assert!(matches!(again, PaymentError::Rejected(Rejection::NothingToPay)), "{again}");
    assert_eq!(bench.tokens().await, 0);
    bench.laws_hold().await;
}

async fn attempts_at_the_same_time_are_one_authorisation(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    let attempts = (0..10).map(|_| bench.pay(story.order_id, 1));
    for attempt in futures::future::join_all(attempts).await {
        attempt.unwrap();
    }
    let others = (2..6).map(|attempt| bench.pay(story.order_id, attempt));
    for attempt in futures::future::join_all(others).await {
        assert!(attempt.is_err());
    }
    bench.turns().await;
    assert_eq!(bench.psp.effects().len(), 1);
    bench.laws_hold().await;
}

async fn a_fact_that_cannot_be_is_named_and_changes_nothing(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (mut story, mut other) = (Story::new(), Story::new());
    bench.follow(&[story.requested(5_000, FULFIL), other.requested(1, FULFIL)]).await.unwrap();
    let blamed = bench.follow(&[other.confirmed(), story.cancelled(6_000)]).await.unwrap_err();
    let items = blamed.into_items().unwrap();
    assert_eq!(items, [(1, "more is cancelled than is wanted".to_owned())]);
    assert_eq!(bench.case(story.order_id).await.version, 1);
    bench.laws_hold().await;
}

async fn orders_without_a_plan_leave_no_trace(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.follow(&[story.confirmed()]).await.unwrap();
    assert_eq!(store::case(&bench.database, story.order_id).await.unwrap(), None);
    assert!(bench.published().await.is_empty());
}

async fn an_operation_of_a_provider_that_is_not_here_waits(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    let now = std::sync::Arc::new(|| shared_events::contract::Timestamp::from_micros(0));
    let elsewhere = payment::Payments::new(bench.database.clone(), Psps::default(), now);
    elsewhere.runner(shared_events::chance::Chance::seeded(1)).turn().await.unwrap();
    let row = bench.operation(payment::domain::OperationKind::Authorize).await;
    assert_eq!(row.schedule.note, "this provider is not configured");
    bench.settle().await;
    assert_eq!(bench.psp.effects().len(), 1);
    bench.laws_hold().await;
}

async fn payments_are_listed_by_order_customer_and_status(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut stories = [Story::new(), Story::new(), Story::new()];
    for story in &mut stories {
        bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    }
    let first = stories[0].order_id;
    bench.pay(first, 9).await.unwrap();
    bench.turns().await;
    let list =
        async |filter: PaymentFilter| store::payments(&bench.database, &filter, 2).await.unwrap();
    let of_order = PaymentFilter { order: Some(first), ..PaymentFilter::default() };
    assert_eq!(list(of_order).await[0].id, PaymentId::of(first, None));
    let asked = PaymentFilter { status: Some(Status::Requested), ..PaymentFilter::default() };
    assert_eq!(list(asked).await.len(), 2);
    let page = list(PaymentFilter::default()).await;
    let rest = PaymentFilter { after: Some(page[1].id), ..PaymentFilter::default() };
    assert_eq!((page.len(), list(rest).await.len()), (2, 1));
    let customer = Some(page[0].customer_id);
    let theirs = PaymentFilter { customer, status: Some(Status::Authorized), ..<_>::default() };
    assert_eq!(list(theirs).await.len(), 1);
}

on_both! { two_threads:
    an_order_is_paid_shipped_and_partly_refunded,
    an_attempt_waits_for_the_order_and_its_token_with_it,
    attempts_at_the_same_time_are_one_authorisation,
    a_fact_that_cannot_be_is_named_and_changes_nothing,
    orders_without_a_plan_leave_no_trace,
    an_operation_of_a_provider_that_is_not_here_waits,
    payments_are_listed_by_order_customer_and_status,
}
