use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use super::TraceContext;
use super::tracer::{Tracer, tracer};
use crate::contract::Timestamp;

/// Links of a span; further ones are left out.
pub const LINKS_MAX: usize = 128;

/// What was caused longer ago has a trace of its own: one of days is unreadable, and its beginning is
/// gone from where traces are kept.
const CONTINUED_FOR: Duration = Duration::from_secs(60 * 60);

/// What a span is, for those who draw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call that came in.
    Server,
    /// A call that goes out.
    Client,
    /// A fact that was read.
    Consumer,
    /// Work in this process.
    Internal,
}

/// The value of an attribute. Never what a person wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A name or an id.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(i64::from(number))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct EndedSpan {
    /// What was done.
    pub name: Cow<'static, str>,
    /// What it is.
    pub kind: Kind,
    /// Itself.
    pub context: TraceContext,
    /// The span that caused it, where it is in the same trace.
    pub parent: Option<u64>,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Spans of other traces that it belongs to.
    pub links: Vec<TraceContext>,
    /// Why it failed, if it did.
    pub failed: Option<&'static str>,
}

/// A span under way, or nothing. It ends when it is dropped.
#[derive(Default)]
pub struct Span(Option<Box<Open>>);

struct Open {
    tracer: &'static Tracer,
    since: Instant,
    ended: EndedSpan,
}

impl Span {
    /// Nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// A call that came in with this `traceparent`, or with none, in a trace of this id if one was
    /// named to the caller. The caller decides whether it is recorded, else the ratio.
    #[must_use]
    pub fn call(name: &str, traceparent: Option<&str>, trace: Option<u128>) -> Self {
        let Some(tracer) = tracer() else { return Self::none() };
        let name = || Cow::Owned(name.to_owned());
        match traceparent.and_then(|it| it.parse().ok()) {
            Some(parent) => Self::under(tracer, name, Kind::Server, parent),
            None => {
                let trace = trace.unwrap_or_else(|| tracer.trace());
                if !tracer.ratio.has(trace) {
                    return Self::none();
                }
                let context = TraceContext::new(trace, tracer.chance.bits(), true);
                Self::open(tracer, name(), Kind::Server, (context, None))
            }
        }
    }

    /// Work that a recorded span has caused. Nothing where there is none.
    #[must_use]
    pub fn child(name: &'static str, kind: Kind, traceparent: Option<&str>) -> Self {
        Self::named_child(|| Cow::Borrowed(name), kind, traceparent)
    }

    /// The same, with a name that is made only for a span.
    #[must_use]
    pub fn named_child(
        name: impl FnOnce() -> Cow<'static, str>,
        kind: Kind,
        traceparent: Option<&str>,
    ) -> Self {
        let Some(tracer) = tracer() else { return Self::none() };
        let parent = traceparent.and_then(|traceparent| traceparent.parse().ok());
        parent.map_or(Self::none(), |parent| Self::under(tracer, name, kind, parent))
    }

    /// Work on what a recorded span has caused, at this time: in the same trace, unless that is long
    /// ago; then in one of its own, which belongs to it. Nothing where there is none.
    #[must_use]
    pub fn following(
        name: impl FnOnce() -> Cow<'static, str>,
        kind: Kind,
        traceparent: &str,
        since: Option<Timestamp>,
    ) -> Self {
        let Some(tracer) = tracer() else { return Self::none() };
        let passed = since.map(|since| tracer.recorder.now().since(since));
        if passed.is_some_and(|passed| passed > CONTINUED_FOR) {
            Self::linked(name, kind, traceparent.parse().ok())
        } else {
            Self::named_child(name, kind, Some(traceparent))
        }
    }

    /// The first span of a trace of its own, which belongs to these others too. Nothing where none
    /// of them is recorded.
    #[must_use]
    pub fn linked(
        name: impl FnOnce() -> Cow<'static, str>,
        kind: Kind,
        links: impl IntoIterator<Item = TraceContext>,
    ) -> Self {
        let Some(tracer) = tracer() else { return Self::none() };
        let recorded = links.into_iter().filter(|link| link.is_sampled());
        let links: Vec<TraceContext> = recorded.take(LINKS_MAX).collect();
        if links.is_empty() {
            return Self::none();
        }
        let context = TraceContext::new(tracer.trace(), tracer.chance.bits(), true);
        let mut span = Self::open(tracer, name(), kind, (context, None));
        if let Some(open) = &mut span.0 {
            open.ended.links = links;
        }
        span
    }

    /// The first span of the trace of one message of a stream, which the ratio decides on: the
    /// trace of the stream would have no end. It belongs to the call that opened the stream.
    /// Nothing where whoever opened it said that it is not recorded.
    #[must_use]
    pub fn of_message(name: &'static str, stream: Option<&str>) -> Self {
        let Some(tracer) = tracer() else { return Self::none() };
        let stream: Option<TraceContext> = stream.and_then(|stream| stream.parse().ok());
        if stream.is_some_and(|stream| !stream.is_sampled()) {
            return Self::none();
        }
        let mut span = Self::call(name, None, Some(tracer.trace()));
        if let Some(stream) = stream {
            span.link(stream);
        }
        span
    }

    fn under(
        tracer: &'static Tracer,
        name: impl FnOnce() -> Cow<'static, str>,
        kind: Kind,
        parent: TraceContext,
    ) -> Self {
        if !parent.is_sampled() {
            return Self::none();
        }
        let context = parent.with_span(tracer.chance.bits());
        Self::open(tracer, name(), kind, (context, Some(parent.span())))
    }

    fn open(
        tracer: &'static Tracer,
        name: Cow<'static, str>,
        kind: Kind,
        (context, parent): (TraceContext, Option<u64>),
    ) -> Self {
        let began_at = tracer.recorder.now();
        let (attributes, links) = (Vec::new(), Vec::new());
        let ended = EndedSpan {
            name,
            kind,
            context,
            parent,
            began_at,
            ended_at: began_at,
            attributes,
            links,
            failed: None,
        };
        Self(Some(Box::new(Open { tracer, since: Instant::now(), ended })))
    }

    /// Whether it is recorded.
    #[must_use]
    pub const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Itself, for what it causes.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|open| open.ended.context)
    }

    /// Itself as a header, for what it causes.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.context().map(|context| context.to_string())
    }

    /// Says something of it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(open) = &mut self.0 {
            open.ended.attributes.push((name, value.into()));
        }
    }

    /// The same; the value is made only for a span.
    pub fn set_with<V: Into<Value>>(&mut self, name: &'static str, value: impl FnOnce() -> V) {
        if self.is_some() {
            self.set(name, value());
        }
    }

    /// It belongs to this span as well.
    pub fn link(&mut self, to: TraceContext) {
        if let Some(open) = &mut self.0
            && open.ended.links.len() < LINKS_MAX
        {
            open.ended.links.push(to);
        }
    }

    /// It failed, for this reason.
    pub fn fail(&mut self, reason: &'static str) {
        if let Some(open) = &mut self.0 {
            open.ended.failed = Some(reason);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let Open { tracer, since, mut ended } = *open;
            ended.ended_at = ended.began_at.plus(since.elapsed());
            tracer.recorder.record(ended);
        }
    }
}

impl Tracer {
    /// A new trace.
    fn trace(&self) -> u128 {
        u128::from(self.chance.bits()) << 64 | u128::from(self.chance.bits())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::{Ratio, Recorder};
    use super::*;
    use crate::chance::Chance;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<EndedSpan>>>);

    impl Recorder for Kept {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(1_000)
        }

        fn record(&self, span: EndedSpan) {
            self.0.lock().unwrap().push(span);
        }
    }

    fn kept(ratio: Ratio) -> (Kept, &'static Tracer) {
        let kept = Kept::default();
        let recorder = Box::new(kept.clone());
        (kept, Box::leak(Box::new(Tracer { recorder, ratio, chance: Chance::seeded(1) })))
    }

    #[tokio::test(start_paused = true)]
    async fn a_span_continues_its_parent_and_takes_its_time() {
        let (kept, tracer) = kept(Ratio::NONE);
        let parent = TraceContext::new(7, 8, true);
        let mut span = Span::under(tracer, || "work".into(), Kind::Internal, parent);
        span.set("number", 3_u64);
        span.link(TraceContext::new(1, 2, true));
        span.fail("UNAVAILABLE");
        let itself = span.context().unwrap();
        assert_eq!(span.traceparent(), Some(itself.to_string()));
        tokio::time::advance(Duration::from_micros(500)).await;
        drop(span);
        let ended = kept.0.lock().unwrap().pop().unwrap();
        assert_eq!((ended.context.trace(), ended.parent, ended.context), (7, Some(8), itself));
        assert_eq!((ended.began_at.micros(), ended.ended_at.micros()), (1_000, 1_500));
        assert_eq!(ended.attributes, [("number", Value::Number(3))]);
        assert_eq!((ended.links.len(), ended.failed), (1, Some("UNAVAILABLE")));
    }

    #[tokio::test]
    async fn what_is_not_recorded_is_nothing() {
        let (kept, tracer) = kept(Ratio::NONE);
        let unsampled = TraceContext::new(7, 8, false);
        let name = || unreachable!("no name is made");
        let mut span = Span::under(tracer, name, Kind::Internal, unsampled);
        span.set_with("number", || -> u64 { unreachable!("nor a value") });
        span.fail("UNAVAILABLE");
        assert!(!span.is_some() && span.traceparent().is_none());
        // Nor is there anything where no recorder was named.
        assert!(!Span::call("call", Some("00-1"), None).is_some());
        drop(span);
        assert!(kept.0.lock().unwrap().is_empty());
        // Nothing is allocated for nothing.
        assert_eq!(size_of::<Span>(), size_of::<usize>());
    }
}
