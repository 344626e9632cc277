//! Requests that wait, and how many of them are written together.

use std::collections::VecDeque;

use shared_events::traces::{Kind, Span, TraceContext};
use tokio::sync::oneshot;

use crate::error::JournalError;
use crate::event::{Appended, NewEvent};
use crate::id::StreamId;
use crate::store::Batch;

/// The most events of one stream.
pub const EVENTS_PER_STREAM_MAX: u64 = 10_000;
/// The most bytes of payload and metadata of one event together.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Events after which a batch takes no further request.
const BATCH_EVENTS_MAX: usize = 2_048;
/// Bytes after which a batch takes no further request.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Requests that wait while a batch is in flight; more of them wait for room.
pub(crate) const REQUESTS_WAITING_MAX: usize = 4_096;

/// Events to be appended to a stream.
pub(crate) struct Request {
    pub(crate) stream_id: StreamId,
    pub(crate) expected: u64,
    /// The tenure in which the caller learned the stream's version.
    pub(crate) tenure: u64,
    pub(crate) events: Vec<NewEvent>,
    /// The span that waits for it, if it is recorded.
    pub(crate) trace: Option<TraceContext>,
    pub(crate) reply: oneshot::Sender<Result<Appended, JournalError>>,
}

impl Request {
    fn bytes(&self) -> usize {
        self.events.iter().map(NewEvent::bytes).sum()
    }

    pub(super) fn answer(self, answer: Result<Appended, JournalError>) {
        // A caller that went away gets no answer; it will read the journal.
        drop(self.reply.send(answer));
    }
}

/// As many of the waiting requests as one batch takes, in order of arrival; at least one.
pub(super) fn take_batch(waiting: &mut VecDeque<Request>) -> Vec<Request> {
    let (mut batch, mut events, mut bytes) = (Vec::new(), 0, 0);
    while events < BATCH_EVENTS_MAX && bytes < BATCH_BYTES_MAX {
        let Some(request) = waiting.pop_front() else { break };
        events += request.events.len();
        bytes += request.bytes();
        batch.push(request);
    }
    batch
}

/// The span of a batch, which belongs to every recorded span that waits for it.
pub(super) fn span_of(batch: &[Request]) -> Span {
    let traces = batch.iter().filter_map(|request| request.trace);
    let mut span = Span::linked(|| "append shard".into(), Kind::Internal, traces);
    span.set_with("ordinal.requests", || u64::try_from(batch.len()).unwrap_or(u64::MAX));
    span
}

/// Ends it: what was written, and whether that is certain.
pub(super) fn traced(mut span: Span, batch: &Batch, committed: bool) {
    if !span.is_some() {
        return;
    }
    span.set("ordinal.events", u64::try_from(batch.events.len()).unwrap_or(u64::MAX));
    if let [only] = batch.fences.as_slice() {
        span.set("ordinal.shard", only.after.shard);
        span.set("ordinal.position", only.after.position);
    }
    if !committed {
        span.fail("NOT_COMMITTED");
    }
}
