//! What a caller sends, counted before it is kept, and what it is sent, counted until it is taken.
//! Never here: what the bytes mean.

mod answer; // what is sent, and whether it is taken

use shared_events::contract::Reason;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use order_actor::grpc::Unanswered;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

use crate::edge::refusal::{overloaded, refused};
use crate::edge::shares::{Amount, Full, Held};

pub(super) use answer::{Answer, Pulse};

/// Within this a message arrives that has begun, and the message of a call with one.
pub(super) const MESSAGE_WITHIN: Duration = Duration::from_secs(10);
/// Whoever looks for a message so long after its time has not been reading.
const NOT_READING: Duration = Duration::from_secs(1);
/// The few bytes of a question about health or reflection.
const QUESTION_WITHIN: Duration = Duration::from_secs(2);
/// A message of so many bytes at most is such a question.
const QUESTION_BYTES_MAX: usize = 4 * 1024;
/// Before each message: a flag and its length.
const PREFIX: usize = 5;
/// What a stream has read and not answered is counted in steps of so many bytes, so that small commands
/// cost nothing.
const UNANSWERED_STEP: usize = 64 * 1024;

/// A status of a call that its caller broke, or that did not fit.
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

/// The length that the first bytes of a message announce; none before they are all there.
fn announced(prefix: &[u8]) -> Option<usize> {
    let length: [u8; 4] = prefix.get(1..PREFIX)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(length)).ok()
}

fn bytes(bytes: usize) -> Amount {
    Amount { bytes, ..Amount::default() }
}

/// The one message of a call. Room for it is taken when it is announced, memory as it arrives.
///
/// # Errors
/// A message that is too large, too slow, malformed, or has no room.
pub(super) async fn message(mut body: Body, most: usize, held: &mut Held) -> Result<Bytes, Status> {
    let collect = async {
        let mut whole = BytesMut::new();
        let mut expected = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| broken())?.into_data() else { continue };
            // What most calls are: one frame with the whole message, which need not be copied.
            let alone = whole.is_empty() && body.is_end_stream();
            if !alone {
                whole.extend_from_slice(&data);
            }
            let there: &[u8] = if alone { &data } else { &whole };
            if expected.is_none()
                && let Some(length) = announced(there)
            {
                if length > most {
                    return Err(too_large(length, most));
                }
                held.more(bytes(PREFIX + length)).map_err(full)?;
                expected = Some(PREFIX + length);
            }
            match expected {
                Some(expected) if there.len() > expected => {
                    return Err(malformed("the call has one message, and more was sent"));
                }
                Some(expected) if alone && there.len() == expected => return Ok(data),
                None if alone => return Err(malformed("the call has no message")),
                _ => {}
            }
        }
        if expected != Some(whole.len()) {
            return Err(malformed("the call ended before its message did"));
        }
        Ok(whole.freeze())
    };
    let within = if most > QUESTION_BYTES_MAX { MESSAGE_WITHIN } else { QUESTION_WITHIN };
    tokio::time::timeout(within, collect).await.map_err(|_| too_slow())?
}

/// The messages of a stream, each counted from its announcement until it is answered.
pub(super) struct Messages {
    inner: Body,
    most: usize,
    held: Held,
    /// What was read before and is not answered.
    unanswered: Unanswered,
    prefix: BytesMut,
    /// Bytes of the message under way, and those of them that are still to come.
    length: usize,
    left: usize,
    /// When the message under way must have come.
    by: Option<Pin<Box<Sleep>>>,
    /// When something of it was given to whoever reads; until they ask for more its time stands still.
    given: Option<Instant>,
    /// More messages that may come, where they are counted.
    more: Option<usize>,
    failed: bool,
}

impl Messages {
    /// Of a stream whose messages have so many bytes at most.
    pub(super) fn new(inner: Body, most: usize, held: Held, unanswered: Unanswered) -> Self {
        Self {
            inner,
            most,
            held,
            unanswered,
            prefix: BytesMut::with_capacity(PREFIX),
            length: 0,
            left: 0,
            by: None,
            given: None,
            more: None,
            failed: false,
        }
    }

    /// Refuses all messages but the first.
    pub(super) fn only_one(&mut self) {
        self.more = Some(1);
    }

    /// Counts what has been read, and this much of what is under way.
    fn owes(&mut self, under_way: usize) {
        let unanswered = self.unanswered.bytes() / UNANSWERED_STEP * UNANSWERED_STEP;
        self.held.owe_bytes(unanswered + under_way);
    }

    fn look(&mut self, data: &[u8]) -> Result<(), Status> {
        let mut rest = data;
        while !rest.is_empty() {
            let of_message = self.left.min(rest.len());
            self.left -= of_message;
            rest = rest.get(of_message..).unwrap_or_default();
            if self.left > 0 || rest.is_empty() {
                break;
            }
            if self.prefix.is_empty() {
                // The time of the one before is not that of the next.
                self.by = None;
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
            self.owes(0);
            self.held.more(bytes(length)).map_err(full)?;
            (self.length, self.left) = (length, length);
        }
        let under_way = self.left > 0 || !self.prefix.is_empty();
        self.by = match self.by.take() {
            Some(by) if under_way => Some(by),
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
        if let (Some(given), Some(by)) = (this.given.take(), &mut this.by) {
            let stood_still = now.saturating_duration_since(given);
            let until = by.deadline() + stood_still;
            by.as_mut().reset(until);
        }
        // Whoever asks for more has taken all that has come.
        this.owes(if this.left > 0 { this.length } else { 0 });
        let frame = match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if let Some(by) = &mut this.by {
                    ready!(by.as_mut().poll(context));
                    this.failed = true;
                    return Poll::Ready(Some(Err(too_slow())));
                }
                return Poll::Pending;
            }
        };
        let looked = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(Ok(()), |data| this.look(data.chunk())),
            _ => Ok(()),
        };
        if let Err(status) = looked {
            this.failed = true;
            return Poll::Ready(Some(Err(status)));
        }
        if let Some(by) = this.by.as_mut().filter(|by| by.deadline() <= now) {
            // Whoever reads is woken when the time is over. Later than that nobody was reading, and
            // what comes now has been there for long.
            if now < by.deadline() + NOT_READING {
                this.failed = true;
                return Poll::Ready(Some(Err(too_slow())));
            }
            by.as_mut().reset(now + MESSAGE_WITHIN);
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
