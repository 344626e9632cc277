use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use super::{as_u64, passed};
use crate::edge::calls::Kind;
use crate::edge::connections::CommandStream;
use crate::edge::principal;
use crate::edge::shares::Held;

/// A stream whose caller reads nothing of it for so long is cancelled.
pub(super) const TAKEN_WITHIN: Duration = Duration::from_secs(180);
/// A command that another node forwards here on a stream of its own ends within this.
const FORWARDED_WITHIN: Duration = Duration::from_secs(35);
/// An answer is handed over in pieces of this size: that of an HTTP/2 frame.
pub(super) const PIECE: usize = 16 * 1024;
/// The last piece of an answer, which is no longer counted although it may be in the connection's
/// buffers.
pub(super) const LAST_PIECE: usize = 2 * 1024;

/// Whether a caller reads its answer, and the means to cancel its stream if it does not.
pub(in crate::edge) struct ReadProgress {
    since: Instant,
    /// When the piece that is not taken yet was handed over: milliseconds after `since`, plus one;
    /// zero if there is none.
    handed: AtomicU64,
    /// The call was refused, and its answer is complete.
    refused: AtomicBool,
    /// Cancels the stream.
    pub(in crate::edge) ending: CancellationToken,
}

impl ReadProgress {
    pub(in crate::edge) fn new() -> Arc<Self> {
        let since = Instant::now();
        Arc::new(Self {
            since,
            handed: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            ending: CancellationToken::new(),
        })
    }

    pub(in crate::edge) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    pub(in crate::edge) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// A piece of the answer was handed over.
    pub(in crate::edge) fn handed_over(&self) {
        self.handed.store(self.now(), Ordering::Relaxed);
    }

    /// The last piece was taken: another is asked for.
    pub(in crate::edge) fn taken(&self) {
        self.handed.store(0, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Whether the caller has read nothing for longer than allowed.
    pub(in crate::edge) fn is_stuck(&self) -> bool {
        let handed = self.handed.load(Ordering::Relaxed);
        let limit = u64::try_from(TAKEN_WITHIN.as_millis()).unwrap_or(u64::MAX);
        handed > 0 && self.now().saturating_sub(handed) > limit
    }
}

/// When an answer ends that has not ended by itself, and why.
pub(in crate::edge) struct End {
    at: Instant,
    why: fn() -> Status,
    /// Also if there is more to be sent.
    in_any_case: bool,
}

impl End {
    /// Of a call: a forwarded command ends soon, other streams with the caller's token.
    pub(in crate::edge) fn of_call(
        kind: Kind,
        since: Instant,
        token_left: Option<Duration>,
    ) -> Option<Self> {
        match kind {
            Kind::ForwardedStream => Some(Self::passed(since + FORWARDED_WITHIN)),
            Kind::ServerStream | Kind::BidiStream => {
                Some(Self::of_token(since.checked_add(token_left?)?, principal::stream_expired))
            }
            Kind::Unary => None,
        }
    }

    /// Where nothing comes until then.
    pub(in crate::edge) fn passed(at: Instant) -> Self {
        Self { at, why: passed, in_any_case: false }
    }

    /// When the caller's token ends.
    pub(in crate::edge) const fn of_token(at: Instant, why: fn() -> Status) -> Self {
        Self { at, why, in_any_case: true }
    }
}

/// An answer being sent. Counts against its caller's share until all but its last piece is taken.
pub(in crate::edge) struct Answer {
    inner: Body,
    /// What is sent before `inner` is polled again.
    rest: Bytes,
    held: Held,
    progress: Arc<ReadProgress>,
    end: Option<(Pin<Box<Sleep>>, End)>,
    /// Counted until the answer has ended.
    _command_stream: Option<CommandStream>,
    ended: bool,
}

impl Answer {
    /// Ends at `end` at the latest.
    pub(in crate::edge) fn new(
        inner: Body,
        held: Held,
        progress: Arc<ReadProgress>,
        end: Option<End>,
        command_stream: Option<CommandStream>,
    ) -> Self {
        let end = end.map(|end| (Box::pin(sleep_until(end.at)), end));
        Self {
            inner,
            rest: Bytes::new(),
            held,
            progress,
            end,
            _command_stream: command_stream,
            ended: false,
        }
    }

    /// Its last frame, if it must end now.
    fn poll_end(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some((at, end)) = &mut self.end else { return Poll::Pending };
        ready!(at.as_mut().poll(context));
        self.ended = true;
        self.held.set_bytes(0);
        Poll::Ready(Some(Ok(Frame::trailers(trailers(&(end.why)())))))
    }

    /// The next piece of `rest`.
    fn piece(&mut self) -> Frame<Bytes> {
        let all = self.rest.len();
        self.held.set_bytes(all);
        let size = match all.checked_sub(LAST_PIECE) {
            None | Some(0) => all,
            Some(before) => before.min(PIECE),
        };
        self.progress.handed_over();
        Frame::data(self.rest.split_to(size))
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
        // A poll for the next piece means that the last one was taken.
        this.progress.taken();
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.piece())));
        }
        if this.end.as_ref().is_some_and(|(_, end)| end.in_any_case)
            && let Poll::Ready(last) = this.poll_end(context)
        {
            return Poll::Ready(last);
        }
        let frame = match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                this.held.set_bytes(0);
                return this.poll_end(context);
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
                this.held.set_bytes(0);
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
