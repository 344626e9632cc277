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
use crate::edge::connections::Talk;
use crate::edge::shares::Held;

/// A stream of a caller that takes nothing of it for so long is ended.
pub(super) const TAKEN_WITHIN: Duration = Duration::from_secs(180);
/// An answer is handed over in pieces of so many bytes: as many as a frame of HTTP/2 has.
pub(super) const PIECE: usize = 16 * 1024;
/// What of an answer may be in the connection's buffers and is not counted any more: the last piece of
/// it, which follows when there is room for more than all that came before.
pub(super) const LAST_PIECE: usize = 2 * 1024;

/// Whether a caller takes what it is sent, and how its stream is ended where it does not.
pub(in crate::edge) struct Pulse {
    since: Instant,
    /// Milliseconds after `since` at which a piece was handed over that has not been taken yet, plus
    /// one; zero where there is none.
    handed: AtomicU64,
    /// It was refused, and its answer is complete.
    refused: AtomicBool,
    /// Ends the stream, whatever it is at.
    pub(in crate::edge) ending: CancellationToken,
}

impl Pulse {
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

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Nothing was taken for longer than anybody may be.
    pub(in crate::edge) fn is_stuck(&self) -> bool {
        let handed = self.handed.load(Ordering::Relaxed);
        let most = u64::try_from(TAKEN_WITHIN.as_millis()).unwrap_or(u64::MAX);
        handed > 0 && self.now().saturating_sub(handed) > most
    }
}

/// An answer on its way. Has its caller's place until all but the last piece of it is taken.
pub(in crate::edge) struct Answer {
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
    pub(in crate::edge) fn new(
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
