//! Requests that wait, and how many of them are written together.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::error::JournalError;
use crate::event::{Appended, NewEvent};
use crate::id::StreamId;

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
