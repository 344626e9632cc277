//! What a command costs where nobody asks for spans: none is made. And what is recorded otherwise.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use order_actor::actor::{Context, Limits};
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::record::decode;
use shared_events::contract::Timestamp;
use shared_events::traces::{self, EndedSpan, Ratio, Recorder};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::actors::{in_memory, ops, placed, placed_as};

/// Counts the spans of our crates, and enables all there are.
struct Counting(Arc<AtomicUsize>);

impl Subscriber for Counting {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let target = span.metadata().target();
        let ours = ["context", "order_actor", "event_journal", "shared_events"];
        if ours.iter().any(|begin| target.starts_with(begin)) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_command_makes_no_span_unless_lines_of_the_log_are_to_name_it() {
    let spans = Arc::new(AtomicUsize::new(0));
    // Of this thread, on which the actors of this test run as well.
    let _counting = tracing::subscriber::set_default(Counting(Arc::clone(&spans)));
    let (registry, _journal, _clock) = in_memory(Limits::default()).await;
    for _ in 0..10 {
        placed(&registry).await;
    }
    assert_eq!(spans.load(Ordering::SeqCst), 0);
    traces::name_in_logs(true);
    placed(&registry).await;
    assert_eq!(spans.load(Ordering::SeqCst), 1);
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<EndedSpan>>>);

impl Recorder for Kept {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn record(&self, span: EndedSpan) {
        self.0.lock().unwrap().push(span);
    }
}

#[tokio::test]
async fn a_command_is_recorded_only_where_its_trace_is() {
    let kept = Kept::default();
    traces::begin(Box::new(kept.clone()), Ratio::ALL);
    let (registry, journal, _clock) = in_memory(Limits::default()).await;
    let header =
        |flags: &str| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    let of = |header: Option<String>| Context { traceparent: header, ..ops() };
    for (header, names) in [
        (None, &[][..]),
        (Some(header("00")), &[]),
        (Some(header("01")), &["append", "append shard", "order Place"]),
    ] {
        let (order_id, _) = placed_as(&registry, of(header.clone())).await;
        let ended: Vec<EndedSpan> = std::mem::take(&mut *kept.0.lock().unwrap());
        let mut told: Vec<&str> = ended.iter().map(|span| span.name.as_ref()).collect();
        told.sort_unstable();
        assert_eq!(told, names, "{header:?}");
        let stored = journal.load(order_id).await.unwrap();
        let made_by = decode(&stored[0]).unwrap().metadata.traceparent.clone();
        let ours = ended.iter().find(|span| span.name == "order Place");
        // Without a span the event keeps the caller's own.
        assert_eq!(made_by, ours.map(|span| span.context.to_string()).or(header));
    }
}
