//! The trace that opened an operation is kept beside it: what follows from it later belongs to it.

use payment::domain::OperationKind;
use shared_events::contract::CapturePolicy;
use shared_events::stream::{Cursors, Dialect, Source as _};

use crate::on_both::on_both;
use crate::support::{Bench, Story};

const ORDER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PARCEL: &str = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn what_follows_from_an_operation_is_in_its_trace(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.pay(story.order_id, 1).await.unwrap();
    let asked = story.requested(5_000, CapturePolicy::OnFulfil);
    bench.follow(&[asked.caused(None, Some(ORDER.to_owned()))]).await.unwrap();
    let trace = bench.operation(OperationKind::Authorize).await.trace;
    assert_eq!(trace.map(|(traceparent, _)| traceparent).as_deref(), Some(ORDER));
    // The process ends before the provider is called.
    bench.restart();
    bench.turns().await;
    let shipped = story.shipped(5_000);
    bench.follow(&[shipped.caused(None, Some(PARCEL.to_owned()))]).await.unwrap();
    bench.restart();
    bench.turns().await;
    let facts = bench.payments.facts().read_after(&Cursors::default(), 100).await.unwrap().items;
    let trace_of = |kind: &str| {
        let fact = facts.iter().find(|fact| fact.body.kind() == kind).unwrap();
        fact.trace().map(str::to_owned)
    };
    assert_eq!(trace_of("payment.authorized.v1").as_deref(), Some(ORDER));
    assert_eq!(trace_of("payment.secured.v1").as_deref(), Some(ORDER));
    assert_eq!(trace_of("payment.captured.v1").as_deref(), Some(PARCEL));
    bench.laws_hold().await;
}

async fn what_belongs_to_no_trace_begins_none(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, CapturePolicy::OnFulfil)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    assert_eq!(bench.operation(OperationKind::Authorize).await.trace, None);
    let facts = bench.payments.facts().read_after(&Cursors::default(), 100).await.unwrap().items;
    assert!(!facts.is_empty() && facts.iter().all(|fact| fact.trace().is_none()));
}

on_both!(what_follows_from_an_operation_is_in_its_trace, what_belongs_to_no_trace_begins_none);
