//! Calls that are not gRPC: HTTP with JSON over either version of HTTP, and all calls over HTTP/1.1.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version, header};
use http_body::{Frame, SizeHint};
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tonic::Status;
use tonic::body::Body;

use super::{CallExecutor, CallGuard, Connection};
use crate::edge::body::ReadProgress;

/// The head of a request over HTTP/1.1 arrives within this, also after the last answer: a
/// connection that is kept open without a call is closed by then.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// What is read of a connection and not used yet. A head is bounded more tightly once it is read,
/// so that whoever sends a larger one learns why it is refused.
const UNREAD_MAX: usize = 64 * 1024;

/// Bounds HTTP/1.1.
pub(super) fn bound(builder: &mut auto::Builder<CallExecutor>) {
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(UNREAD_MAX);
}

/// A call that is not gRPC.
pub(super) struct Plain {
    progress: Arc<ReadProgress>,
    /// Over HTTP/1.1, where nothing else counts it.
    guard: Option<CallGuard>,
}

impl Plain {
    /// Begins a call; none if it is gRPC, of which its own stack sees how its answer is read.
    pub(super) fn begin(connection: &Arc<Connection>, request: &mut Request<Body>) -> Option<Self> {
        let progress = connection.begin();
        request.extensions_mut().insert(Arc::clone(&progress));
        if request.version() == Version::HTTP_2 {
            let kind = request.headers().get(header::CONTENT_TYPE);
            let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
            return (!is_grpc).then_some(Self { progress, guard: None });
        }
        connection.one_by_one.store(true, Ordering::Relaxed);
        let guard = Some(connection.count(&progress));
        Some(Self { progress, guard })
    }

    /// Its answer, of which is known whether it is read.
    pub(super) async fn answer(
        self,
        answer: impl Future<Output = Result<Response<Body>, Infallible>>,
    ) -> Result<Response<Body>, Infallible> {
        let Ok(answer) = answer.await;
        Ok(answer.map(|body| Body::new(Taken { body, call: self })))
    }
}

/// A body that notes when its pieces are handed over and taken.
struct Taken {
    body: Body,
    call: Plain,
}

impl http_body::Body for Taken {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let progress = Arc::clone(&self.call.progress);
        progress.taken();
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            Poll::Ready(Some(Ok(_))) => progress.handed_over(),
            Poll::Ready(_) => self.call.guard = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
