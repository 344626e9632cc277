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
use order_actor::grpc::Unanswered;
use shared_events::contract::Reason;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use super::connections::Talk;
use super::shares::{Amount, Full, Held};
use crate::refusal::{overloaded, refused};

/// Within this a message arrives that has begun, and the message of a call with one.
pub(super) const MESSAGE_WITHIN: Duration = Duration::from_secs(10);
/// Whoever looks for a message so long after its time has not been reading.
const NOT_READING: Duration = Duration::from_secs(1);
/// The few bytes of a question about health or reflection.
const QUESTION_WITHIN: Duration = Duration::from_secs(2);
/// A message of so many bytes at most is such a question.
const QUESTION_BYTES_MAX: usize = 4 * 1024;
/// A stream of a caller that takes nothing of it for so long is ended.
const TAKEN_WITHIN: Duration = Duration::from_secs(180);
/// Before each message: a flag and its length.
const PREFIX: usize = 5;
/// An answer is handed over in pieces of so many bytes: as many as a frame of HTTP/2 has.
const PIECE: usize = 16 * 1024;
/// What of an answer may be in the connection's buffers and is not counted any more: the last piece of
/// it, which follows when there is room for more than all that came before.
const LAST_PIECE: usize = 2 * 1024;
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

/// An answer on its way. Has its caller's place until all but the last piece of it is taken.
pub(super) struct Answer {
    inner: Body,
    /// What comes before more is asked for.
    rest: Bytes,
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
        Self { inner, rest: Bytes::new(), held, pulse, by, _talk: talk, ended: false }
    }

    /// The next piece of what is there.
    fn piece(&mut self) -> Frame<Bytes> {
        let all = self.rest.len();
        self.held.owe_bytes(all);
        let size = match all.checked_sub(LAST_PIECE) {
            None | Some(0) => all,
            Some(before) => before.min(PIECE),
        };
        self.pulse.handed.store(self.pulse.now(), Ordering::Relaxed);
        Frame::data(self.rest.split_to(size))
    }
}

fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
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
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.piece())));
        }
        let frame = match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                this.held.owe_bytes(0);
                if let Some(by) = &mut this.by {
                    ready!(by.as_mut().poll(context));
                    this.ended = true;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers(&passed())))));
                }
                return Poll::Pending;
            }
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            other => {
                this.ended = true;
                return Poll::Ready(other);
            }
        };
        match frame.into_data() {
            Ok(data) => {
                this.rest = data;
                Poll::Ready(Some(Ok(this.piece())))
            }
            Err(trailers) => {
                this.held.owe_bytes(0);
                Poll::Ready(Some(Ok(trailers)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.inner.size_hint(), as_u64(self.rest.len()));
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole
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

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_counted_until_all_but_its_last_piece_is_taken() {
        let (shares, held) = held();
        let whole =
            Bytes::from((0..100_000_u32).map(|byte| byte.to_le_bytes()[0]).collect::<Vec<_>>());
        let answer =
            Answer::new(Body::new(Full::new(whole.clone())), held, Pulse::new(), None, None);
        let mut answer = Box::pin(answer);
        let (mut told, mut sizes) = (BytesMut::new(), Vec::new());
        while let Some(frame) = answer.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert_eq!(shares.bytes(), whole.len() - told.len());
            told.extend_from_slice(&piece);
            sizes.push(piece.len());
            let hint = answer.size_hint();
            assert_eq!(hint.exact(), Some(as_u64(whole.len() - told.len())));
            assert_eq!(answer.is_end_stream(), told.len() == whole.len());
        }
        assert_eq!(told, whole);
        let last = sizes.pop().unwrap();
        assert!(last == LAST_PIECE && sizes.iter().all(|size| *size <= PIECE), "{sizes:?}");
        drop(answer);
        assert_eq!(shares.bytes(), 0);
    }

    /// A stream of these frames, each of which comes so long after the one before.
    fn paced(frames: Vec<Vec<u8>>, gap: Duration) -> Body {
        let frames = futures::stream::unfold(frames.into_iter(), move |mut left| async move {
            let frame = left.next()?;
            sleep(gap).await;
            Some((Ok::<_, Status>(Frame::data(Bytes::from(frame))), left))
        });
        Body::new(StreamBody::new(Box::pin(frames)))
    }

    fn reading(body: Body) -> (Shares, Unanswered, Messages) {
        let (shares, held) = held();
        let unanswered = Unanswered::default();
        let messages = Messages::new(body, 1 << 20, held.empty(), unanswered.clone());
        (shares, unanswered, messages)
    }

    fn reason(frame: Option<Result<Frame<Bytes>, Status>>) -> String {
        use tonic_types::StatusExt as _;
        frame.unwrap().unwrap_err().get_details_error_info().unwrap().reason
    }

    #[tokio::test(start_paused = true)]
    async fn each_message_of_a_stream_has_its_own_time_however_it_is_cut() {
        let message = |length: u32| {
            [&[0][..], &length.to_be_bytes(), &vec![7; usize::try_from(length).unwrap()]].concat()
        };
        // A proxy cuts what it passes on into pieces of its own: most end inside a message.
        let whole: Vec<u8> = (0..100).flat_map(|_| message(1_000)).collect();
        for size in [997, 1_004, 1_500, 2_000] {
            let frames = whole.chunks(size).map(<[u8]>::to_vec).collect();
            let (_shares, _, mut messages) = reading(paced(frames, MESSAGE_WITHIN / 3));
            let mut told = 0;
            while let Some(frame) = messages.frame().await {
                told += frame.unwrap().into_data().unwrap().len();
            }
            assert_eq!(told, whole.len(), "{size}");
        }
        // One that trickles is given up, whatever came before it.
        let mut frames = vec![[message(1_000), message(1_000)[..500].to_vec()].concat()];
        frames.extend((0..100).map(|_| vec![7]));
        let (_shares, _, mut messages) = reading(paced(frames, Duration::from_secs(1)));
        let begun = Instant::now();
        let ended = loop {
            match messages.frame().await {
                Some(Ok(_)) => {}
                ended => break reason(ended),
            }
        };
        assert_eq!(ended, "MESSAGE_TOO_SLOW");
        assert!(begun.elapsed() <= MESSAGE_WITHIN + Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_message_stands_still_while_nobody_reads() {
        let first = [&[0, 0, 0, 0, 8][..], &[1; 4]].concat();
        let frames = vec![first, vec![2; 2], vec![3; 2]];
        let (_shares, _, mut messages) = reading(paced(frames, MESSAGE_WITHIN / 3));
        messages.frame().await.unwrap().unwrap();
        // The stream has enough to do with what came before, and so has it when it has looked in vain.
        tokio::time::advance(MESSAGE_WITHIN * 5).await;
        messages.frame().await.unwrap().unwrap();
        assert!(messages.frame().now_or_never().is_none());
        tokio::time::advance(MESSAGE_WITHIN * 5).await;
        messages.frame().await.unwrap().unwrap();
        assert!(messages.frame().await.is_none());
        // Time goes on while somebody waits for the rest.
        let pending = futures::stream::pending::<Result<Frame<Bytes>, Status>>();
        let first = Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 8, 1])));
        let body = futures::StreamExt::chain(futures::stream::iter([first]), pending);
        let (_shares, _, mut messages) = reading(Body::new(StreamBody::new(body)));
        messages.frame().await.unwrap().unwrap();
        tokio::time::advance(MESSAGE_WITHIN * 5).await;
        let asked = Instant::now();
        assert_eq!(reason(messages.frame().await), "MESSAGE_TOO_SLOW");
        assert!((MESSAGE_WITHIN..MESSAGE_WITHIN * 2).contains(&asked.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_stream_has_read_is_counted_until_it_is_answered() {
        let length = 300 * 1024_u32;
        let size = usize::try_from(length).unwrap();
        let message = [&[0][..], &length.to_be_bytes(), &vec![7; size]].concat();
        let (shares, unanswered, mut messages) =
            reading(paced(vec![message.clone(), message], Duration::from_secs(1)));
        messages.frame().await.unwrap().unwrap();
        assert_eq!(shares.bytes(), size);
        unanswered.are(size);
        messages.frame().await.unwrap().unwrap();
        let before = size / UNANSWERED_STEP * UNANSWERED_STEP;
        assert_eq!(shares.bytes(), before + size);
        unanswered.are(0);
        assert!(messages.frame().await.is_none());
        assert_eq!(shares.bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn where_one_message_may_come_the_second_is_refused() {
        let message: &[u8] = &[0, 0, 0, 0, 1, 7];
        for frames in [vec![message, message], vec![&[0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0][..]]] {
            let (_shares, _, mut messages) = reading(of(frames));
            messages.only_one();
            let ended = loop {
                match messages.frame().await {
                    Some(Ok(_)) => {}
                    ended => break reason(ended),
                }
            };
            assert_eq!(ended, "MALFORMED_MESSAGE");
        }
    }
}
