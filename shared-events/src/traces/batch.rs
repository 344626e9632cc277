use std::borrow::Cow;

use super::{Kind, Span, TraceContext, is_on};
use crate::stream::Item;

/// The spans of a follower's batch: one for the batch, and one for each item of a recorded trace.
/// They end when this is dropped.
#[derive(Default)]
pub struct BatchSpans {
    batch: Span,
    items: Vec<Span>,
}

impl BatchSpans {
    /// Begins them. What the items cause belongs to these spans from now on.
    #[must_use]
    pub fn begin<T: Item>(follower: &str, items: &mut [T]) -> Self {
        if !is_on() {
            return Self::default();
        }
        let mut spans = Self::default();
        let mut links: Vec<TraceContext> = Vec::new();
        for item in items {
            let span = processing(follower, item);
            let (Some(context), Some(traceparent)) = (span.context(), span.traceparent()) else {
                continue;
            };
            links.push(context);
            item.continue_trace(traceparent);
            spans.items.push(span);
        }
        let count = u64::try_from(spans.items.len()).unwrap_or(u64::MAX);
        let name = || Cow::Owned(format!("receive {follower}"));
        spans.batch = Span::linked(name, Kind::Consumer, links);
        spans.batch.set("ordinal.facts", count);
        spans
    }

    /// All of them failed: the batch is tried again.
    pub fn fail(&mut self, reason: &'static str) {
        self.batch.fail(reason);
        for span in &mut self.items {
            span.fail(reason);
        }
    }
}

fn processing<T: Item>(follower: &str, item: &T) -> Span {
    let Some(traceparent) = item.traceparent() else { return Span::none() };
    let name = || Cow::Owned(format!("process {}", item.kind()));
    let mut span = Span::following(name, Kind::Consumer, traceparent, item.happened_at());
    span.set_with("ordinal.follower", || follower.to_owned());
    span.set_with("ordinal.subject", || item.subject().to_string());
    span.set("ordinal.shard", item.shard());
    span.set("ordinal.position", item.position());
    span
}
