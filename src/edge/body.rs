//! What a caller sends, counted before it is kept, and what it is sent, counted until it is taken.
//! Never here: what the bytes mean.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};

use super::connections::Talk;
use super::shares::{Amount, Full, Held};
use crate::refusal::{overloaded, refused};

/// Within this a message arrives that has begun, and the message of a call with one.
pub(super) const MESSAGE_WITHIN: Duration = Duration::from_secs(10);
/// The few bytes of a question about health or reflection.
const QUESTION_WITHIN: Duration = Duration::from_secs(2);
/// A message of so many bytes at most is such a question.
const QUESTION_BYTES_MAX: usize = 4 * 1024;
/// A stream of a caller that takes nothing of it for so long is ended.
const TAKEN_WITHIN: Duration = Duration::from_secs(180);
/// Before each message: a flag and its length.
const PREFIX: usize = 5;

/// A status of a call that its caller broke, or that did not fit.
pub(super) fn full(full: Full) -> Status {
    overloaded(&full.bound())
}

fn too_slow() -> Status {
    let message = "the message did not arrive in time";
    refused(Code::DeadlineExceeded, "MESSAGE_TOO_SLOW", message)
}

fn malformed(message: &str) -> Status {
    refused(Code::InvalidArgument, "MALFORMED_MESSAGE", message)
}

fn too_large(announced: usize, most: usize) -> Status {
    let message = format!("a message to this service has at most {most} bytes, not {announced}");
    refused(Code::InvalidArgument, "MESSAGE_TOO_LARGE", &message)
}

fn broken() -> Status {
    refused(Code::Cancelled, "CANCELLED", "the call broke off")
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

/// The messages of a stream, each counted from its announcement until the next one's.
pub(super) struct Messages {
    inner: Body,
    most: usize,
    held: Held,
    prefix: BytesMut,
    /// Bytes of the message under way that are still to come.
    left: usize,
    by: Option<Pin<Box<Sleep>>>,
    failed: bool,
}

impl Messages {
    /// Of a stream whose messages have so many bytes at most.
    pub(super) fn new(inner: Body, most: usize, held: Held) -> Self {
        let prefix = BytesMut::with_capacity(PREFIX);
        Self { inner, most, held, prefix, left: 0, by: None, failed: false }
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
            let missing = (PREFIX - self.prefix.len()).min(rest.len());
            let (head, tail) = rest.split_at(missing);
            self.prefix.extend_from_slice(head);
            rest = tail;
            let Some(length) = announced(&self.prefix) else { break };
            if length > self.most {
                return Err(too_large(length, self.most));
            }
            self.prefix.clear();
            self.held.owe_bytes(0);
            self.held.more(bytes(length)).map_err(full)?;
            self.left = length;
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
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Whether a caller takes what it is sent, and how its stream is ended where it does not.
pub(super) struct Pulse {
    since: Instant,
    /// Milliseconds after `since` at which a piece was handed over that has not been taken yet, plus
    /// one; zero where there is none.
    handed: AtomicU64,
    /// It was refused, and its answer is complete.
    refused: AtomicBool,
    /// Ends the stream, whatever it is at.
    pub(super) ending: CancellationToken,
}

impl Pulse {
    pub(super) fn new() -> Arc<Self> {
        let since = Instant::now();
        Arc::new(Self {
            since,
            handed: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            ending: CancellationToken::new(),
        })
    }

    pub(super) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Nothing was taken for longer than anybody may be.
    pub(super) fn is_stuck(&self) -> bool {
        let handed = self.handed.load(Ordering::Relaxed);
        let most = u64::try_from(TAKEN_WITHIN.as_millis()).unwrap_or(u64::MAX);
        handed > 0 && self.now().saturating_sub(handed) > most
    }
}

/// An answer on its way. Has its caller's place until the last byte of it is taken.
pub(super) struct Answer {
    inner: Body,
    held: Held,
    pulse: Arc<Pulse>,
    by: Option<Pin<Box<Sleep>>>,
    /// Until it has ended, of a stream of commands.
    _talk: Option<Talk>,
    ended: bool,
}

impl Answer {
    /// By a moment, where its caller has set one.
    pub(super) fn new(
        inner: Body,
        held: Held,
        pulse: Arc<Pulse>,
        by: Option<Instant>,
        talk: Option<Talk>,
    ) -> Self {
        let by = by.map(|by| Box::pin(sleep_until(by)));
        Self { inner, held, pulse, by, _talk: talk, ended: false }
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        tracing::warn!("a status did not fit into trailers");
    }
    trailers
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        // Whoever asks for the next piece has taken the last one.
        this.pulse.handed.store(0, Ordering::Relaxed);
        let frame = match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                this.held.owe_bytes(0);
                if let Some(by) = &mut this.by {
                    ready!(by.as_mut().poll(context));
                    this.ended = true;
                    let passed = "the deadline passed before there was an answer";
                    let status = refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", passed);
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))));
                }
                return Poll::Pending;
            }
        };
        match &frame {
            Some(Ok(frame)) => {
                let size = frame.data_ref().map_or(0, Bytes::len);
                this.held.owe_bytes(size);
                this.pulse.handed.store(this.pulse.now(), Ordering::Relaxed);
            }
            _ => this.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures::FutureExt as _;
    use http_body_util::{Full, StreamBody};

    use super::super::shares::{Caller, Numbers, Shares};
    use super::*;

    fn held() -> (Shares, Held) {
        let shares = Shares::new(Numbers::default());
        let caller = Caller::Nobody(IpAddr::from([127, 0, 0, 1]));
        let held = shares.take(&caller, Amount { calls: 1, ..Amount::default() }).unwrap();
        (shares, held)
    }

    fn of(pieces: Vec<&'static [u8]>) -> Body {
        let frames =
            pieces.into_iter().map(|piece| Ok::<_, Status>(Frame::data(Bytes::from(piece))));
        Body::new(StreamBody::new(futures::stream::iter(frames)))
    }

    async fn read(body: Body, most: usize) -> Result<Bytes, String> {
        use tonic_types::StatusExt as _;
        let (_shares, mut held) = held();
        let read = message(body, most, &mut held).await;
        read.map_err(|status| status.get_details_error_info().unwrap().reason)
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_arrives_whole_however_it_is_cut() {
        let whole: &[u8] = &[0, 0, 0, 0, 3, 7, 8, 9];
        for cut in 0..whole.len() {
            let (one, two) = whole.split_at(cut);
            assert_eq!(read(of(vec![one, two]), 3).await.as_deref(), Ok(whole), "{cut}");
        }
        let body = Body::new(Full::new(Bytes::from_static(whole)));
        assert_eq!(read(body, 3).await.as_deref(), Ok(whole));
        let refused = |reason: &str| Err(reason.to_owned());
        assert_eq!(read(of(vec![whole]), 2).await, refused("MESSAGE_TOO_LARGE"));
        assert_eq!(read(of(vec![whole, &[1]]), 3).await, refused("MALFORMED_MESSAGE"));
        assert_eq!(read(of(vec![&whole[..7]]), 3).await, refused("MALFORMED_MESSAGE"));
        assert_eq!(read(of(vec![]), 3).await, refused("MALFORMED_MESSAGE"));
        assert_eq!(read(of(vec![&[0, 0x7f, 0, 0, 0]]), usize::MAX).await, refused("OVERLOADED"));
        let pending = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Status>>());
        assert_eq!(read(Body::new(pending), 3).await, refused("MESSAGE_TOO_SLOW"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_stuck_after_minutes_and_a_quiet_one_is_not() {
        let (_shares, held) = held();
        let pulse = Pulse::new();
        let pieces =
            futures::stream::iter([Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")))]);
        let pieces = futures::StreamExt::chain(pieces, futures::stream::pending());
        let mut answer =
            Answer::new(Body::new(StreamBody::new(pieces)), held, pulse.clone(), None, None);
        answer.frame().await.unwrap().unwrap();
        tokio::time::advance(TAKEN_WITHIN + Duration::from_secs(1)).await;
        assert!(pulse.is_stuck());
        // It is asked for more, and there is nothing: the client waits for us.
        assert!(answer.frame().now_or_never().is_none());
        tokio::time::advance(TAKEN_WITHIN * 10).await;
        assert!(!pulse.is_stuck());
    }
}
