//! The trace that opened an operation is kept beside it: what follows from it later belongs to it.

use std::sync::{Arc, Mutex};

use payment::domain::OperationKind;
use shared_events::contract::{
    CapturePolicy, FactBody, OrderFact, PaymentId, RequestedPayment, Seller, Timestamp,
};
use shared_events::stream::{Cursors, Dialect, Source as _};
use shared_events::traces::{self, EndedSpan, Ratio, Recorder};

use crate::domain::support::at;
use crate::on_both::on_both;
use crate::scripted::Act;
use crate::support::{Bench, Story, gbp};
use crate::webhooks::declined;

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

/// What other systems added to the trace goes with it.
async fn what_others_added_to_a_trace_goes_on_with_an_operation(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.pay(story.order_id, 1).await.unwrap();
    let asked = story.requested(5_000, CapturePolicy::OnFulfil);
    let asked = asked.caused(None, Some(ORDER.to_owned())).stated(Some("congo=t61".to_owned()));
    bench.follow(&[asked]).await.unwrap();
    bench.restart();
    bench.turns().await;
    let shipped = story.shipped(5_000).caused(None, Some(PARCEL.to_owned()));
    bench.follow(&[shipped]).await.unwrap();
    bench.turns().await;
    assert_eq!(bench.operation(OperationKind::Capture).await.tracestate, None);
    let authorized = bench.operation(OperationKind::Authorize).await;
    assert_eq!(authorized.tracestate.as_deref(), Some("congo=t61"));
    let facts = bench.payments.facts().read_after(&Cursors::default(), 100).await.unwrap().items;
    let state_of = |kind: &str| {
        let fact = facts.iter().find(|fact| fact.body.kind() == kind).unwrap();
        fact.trace_state().map(str::to_owned)
    };
    assert_eq!(state_of("payment.secured.v1").as_deref(), Some("congo=t61"));
    assert_eq!(state_of("payment.captured.v1"), None);
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

/// Keeps spans, at a time that stands.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<EndedSpan>>>);

impl Recorder for Kept {
    fn now(&self) -> Timestamp {
        at(0)
    }

    fn record(&self, span: EndedSpan) {
        self.0.lock().unwrap().push(span);
    }
}

/// One of two payments is not paid in time: what is reserved for the other one is given back.
async fn what_time_opens_is_in_a_trace_that_links_to_what_was_before(dialect: Dialect) {
    let kept = Kept::default();
    traces::begin(Box::new(kept.clone()), Ratio::ALL);
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.pay(story.order_id, 1).await.unwrap();
    let mut asked = story.requested(5_000, CapturePolicy::OnFulfil);
    let FactBody::Order(OrderFact::PaymentRequested { parts, .. }) = &mut asked.body else {
        panic!("not a request")
    };
    let seller: Seller = "s".parse().unwrap();
    let payment_id = PaymentId::of(story.order_id, Some(&seller));
    let (seller, amount) = (Some(seller), gbp(1_000));
    parts.push(RequestedPayment { seller, payment_id, amount, fee_bps: 0 });
    bench.psp.will(OperationKind::Authorize, [Act::Do, Act::Say(declined("card_declined"))]);
    bench.follow(&[asked.caused(None, Some(ORDER.to_owned()))]).await.unwrap();
    bench.turns().await;
    bench.wait(15 * 60);
    bench.turns().await;
    let given_back = bench.operation(OperationKind::Void).await.trace;
    let ended: Vec<EndedSpan> = std::mem::take(&mut *kept.0.lock().unwrap());
    let lapse: Vec<_> = ended.iter().filter(|span| span.name == "payments lapse").collect();
    assert_eq!(lapse.len(), 1, "{ended:?}");
    let links: Vec<String> = lapse[0].links.iter().map(ToString::to_string).collect();
    assert_eq!(links, [ORDER]);
    let lapse = lapse[0].context.to_string();
    assert_eq!(given_back.map(|(traceparent, _)| traceparent), Some(lapse));
    bench.laws_hold().await;
}

on_both! {
    what_follows_from_an_operation_is_in_its_trace,
    what_others_added_to_a_trace_goes_on_with_an_operation,
    what_belongs_to_no_trace_begins_none,
    what_time_opens_is_in_a_trace_that_links_to_what_was_before,
}
