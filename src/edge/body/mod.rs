//! Request bodies, counted before they are buffered, and answers, counted until they are taken.
//! Never here: what the bytes mean.

mod answer; // answers, and whether they are read

use shared_events::contract::Reason;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use order_actor::grpc::Unanswered;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

use crate::edge::refusal::{overloaded, refused};
use crate::edge::shares::{Amount, Full, Held};

pub(super) use answer::{Answer, End, ReadProgress};

/// A message arrives within this once it has begun; so does the message of a unary call.
pub(super) const MESSAGE_WITHIN: Duration = Duration::from_secs(10);
/// A poll this long after a message's deadline means that nobody was polling at the deadline.
const NOT_READING: Duration = Duration::from_secs(1);
/// The few bytes of a health or reflection request arrive within this.
const SMALL_WITHIN: Duration = Duration::from_secs(2);
/// Messages of services with this limit are such requests.
const SMALL_BYTES_MAX: usize = 4 * 1024;
/// Before each message: a flag and its length.
const PREFIX: usize = 5;
/// Bytes that a stream has read and not answered are counted in steps of this size, so that small
/// commands cost nothing.
const UNANSWERED_STEP: usize = 64 * 1024;

/// The status of a call that does not fit into a share.
pub(super) fn full(full: Full) -> Status {
    overloaded(&full.bound())
}

fn too_slow() -> Status {
    let message = "the message did not arrive in time";
    refused(Reason::MessageTooSlow, message)
}

pub(super) fn passed() -> Status {
    let message = "the deadline passed before there was an answer";
    refused(Reason::DeadlineExceeded, message)
}

fn malformed(message: &str) -> Status {
    refused(Reason::MalformedMessage, message)
}

fn too_large(announced: usize, most: usize) -> Status {
    let message = format!("a message to this service has at most {most} bytes, not {announced}");
    refused(Reason::MessageTooLarge, &message)
}

fn broken() -> Status {
    refused(Reason::Cancelled, "the call broke off")
}

/// The length in a message's prefix; none until the prefix is complete.
fn announced(prefix: &[u8]) -> Option<usize> {
    let length: [u8; 4] = prefix.get(1..PREFIX)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(length)).ok()
}

fn bytes(bytes: usize) -> Amount {
    Amount { bytes, ..Amount::default() }
}

/// The one message of a call. Its length is counted when it is announced; memory is allocated as it
/// arrives.
///
/// # Errors
/// If the message is too large, too slow, malformed, or does not fit into the share.
pub(super) async fn message(mut body: Body, most: usize, held: &mut Held) -> Result<Bytes, Status> {
    let collect = async {
        let (mut there, mut expected) = (Bytes::new(), None);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| broken())?.into_data() else { continue };
            if data.is_empty() {
                continue;
            }
            // Most calls are one frame with the complete message, which need not be copied.
            there = if there.is_empty() {
                data
            } else {
                let mut whole = BytesMut::from(there);
                whole.extend_from_slice(&data);
                whole.freeze()
            };
            if expected.is_none()
                && let Some(length) = announced(&there)
            {
                if length > most {
                    return Err(too_large(length, most));
                }
                held.more(bytes(PREFIX + length)).map_err(full)?;
                expected = Some(PREFIX + length);
            }
            if expected.is_some_and(|expected| there.len() > expected) {
                return Err(malformed("the call has one message, and more was sent"));
            }
        }
        match expected {
            Some(expected) if expected == there.len() => Ok(there),
            Some(_) => Err(malformed("the call ended before its message did")),
            None => Err(malformed("the call has no message")),
        }
    };
    let within = if most > SMALL_BYTES_MAX { MESSAGE_WITHIN } else { SMALL_WITHIN };
    tokio::time::timeout(within, collect).await.map_err(|_| too_slow())?
}

/// The messages of a stream, each counted from its announcement until it is answered.
pub(super) struct Messages {
    inner: Body,
    most: usize,
    held: Held,
    /// Bytes read and not answered.
    unanswered: Unanswered,
    prefix: BytesMut,
    /// Bytes of the message under way, and those of them that are still to come.
    length: usize,
    left: usize,
    /// When the message under way must be complete.
    arrive_by: Option<Pin<Box<Sleep>>>,
    /// When the reader got the last part of it; its deadline is suspended until the next poll.
    given: Option<Instant>,
    /// How many more messages may arrive, if limited.
    more: Option<usize>,
    failed: bool,
}

impl Messages {
    /// Of a stream with messages of at most `most` bytes.
    pub(super) fn new(inner: Body, most: usize, held: Held, unanswered: Unanswered) -> Self {
        Self {
            inner,
            most,
            held,
            unanswered,
            prefix: BytesMut::with_capacity(PREFIX),
            length: 0,
            left: 0,
            arrive_by: None,
            given: None,
            more: None,
            failed: false,
        }
    }

    /// Refuses all messages but the first.
    pub(super) fn only_one(&mut self) {
        self.more = Some(1);
    }

    /// Counts the unanswered bytes, and this much of the message under way.
    fn count(&mut self, under_way: usize) {
        let unanswered = self.unanswered.bytes() / UNANSWERED_STEP * UNANSWERED_STEP;
        self.held.set_bytes(unanswered + under_way);
    }

    fn scan(&mut self, data: &[u8]) -> Result<(), Status> {
        let mut rest = data;
        while !rest.is_empty() {
            let of_message = self.left.min(rest.len());
            self.left -= of_message;
            rest = rest.get(of_message..).unwrap_or_default();
            if self.left > 0 || rest.is_empty() {
                break;
            }
            if self.prefix.is_empty() {
                // The next message has a deadline of its own.
                self.arrive_by = None;
            }
            let missing = (PREFIX - self.prefix.len()).min(rest.len());
            let (head, tail) = rest.split_at(missing);
            self.prefix.extend_from_slice(head);
            rest = tail;
            let Some(length) = announced(&self.prefix) else { break };
            if length > self.most {
                return Err(too_large(length, self.most));
            }
            self.prefix.clear();
            self.more = match self.more {
                Some(0) => return Err(malformed("one message may come here, and more was sent")),
                more => more.map(|more| more - 1),
            };
            self.count(0);
            self.held.more(bytes(length)).map_err(full)?;
            (self.length, self.left) = (length, length);
        }
        let under_way = self.left > 0 || !self.prefix.is_empty();
        self.arrive_by = match self.arrive_by.take() {
            Some(deadline) if under_way => Some(deadline),
            None if under_way => Some(Box::pin(sleep(MESSAGE_WITHIN))),
            _ => None,
        };
        Ok(())
    }
}

impl http_body::Body for Messages {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.failed {
            return Poll::Ready(None);
        }
        let now = Instant::now();
        if let (Some(given), Some(arrive_by)) = (this.given.take(), &mut this.arrive_by) {
            let suspended = now.saturating_duration_since(given);
            let until = arrive_by.deadline() + suspended;
            arrive_by.as_mut().reset(until);
        }
        // A poll for more means that everything before was taken.
        this.count(if this.left > 0 { this.length } else { 0 });
        let frame = match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if let Some(arrive_by) = &mut this.arrive_by {
                    ready!(arrive_by.as_mut().poll(context));
                    this.failed = true;
                    return Poll::Ready(Some(Err(too_slow())));
                }
                return Poll::Pending;
            }
        };
        let scanned = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(Ok(()), |data| this.scan(data.chunk())),
            _ => Ok(()),
        };
        if let Err(status) = scanned {
            this.failed = true;
            return Poll::Ready(Some(Err(status)));
        }
        if let Some(arrive_by) = this.arrive_by.as_mut().filter(|by| by.deadline() <= now) {
            // A waiting reader is woken at the deadline. Later than that nobody was reading, and
            // the data may have arrived long ago.
            if now < arrive_by.deadline() + NOT_READING {
                this.failed = true;
                return Poll::Ready(Some(Err(too_slow())));
            }
            arrive_by.as_mut().reset(now + MESSAGE_WITHIN);
        }
        this.given = Some(now);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
