//! Calls that are not gRPC: HTTP with JSON over either version of HTTP, and all calls over HTTP/1.1.
//! Over HTTP/1.1 what a call leaves unread of its body is read before it is answered.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;

use super::{CallExecutor, CallGuard, Connection, locked};
use crate::edge::body::ReadProgress;

/// The head of a request over HTTP/1.1 arrives within this, also after the last answer: a
/// connection that is kept open without a call is closed by then.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// What is read of a connection and not used yet. A head is bounded more tightly once it is read,
/// so that whoever sends a larger one learns why it is refused.
const UNREAD_MAX: usize = 64 * 1024;
/// For how long what a call left of its body is read, and no more than [`UNREAD_MAX`] of it.
const REST_WITHIN: Duration = Duration::from_secs(1);

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
    /// Its body over HTTP/1.1, if it has one.
    body: Option<Shared>,
}

impl Plain {
    /// Begins a call; none if it is gRPC, of which its own stack sees how its answer is read.
    pub(super) fn begin(connection: &Arc<Connection>, request: &mut Request<Body>) -> Option<Self> {
        let progress = connection.begin();
        request.extensions_mut().insert(Arc::clone(&progress));
        if request.version() == Version::HTTP_2 {
            let kind = request.headers().get(header::CONTENT_TYPE);
            let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
            return (!is_grpc).then_some(Self { progress, guard: None, body: None });
        }
        connection.one_by_one.store(true, Ordering::Relaxed);
        let guard = Some(connection.count(&progress));
        // Who asks first whether a body is wanted has sent none yet.
        let asks = request.headers().contains_key(header::EXPECT);
        let body = (!asks && !request.body().is_end_stream()).then(|| Shared::with(request));
        Some(Self { progress, guard, body })
    }

    /// Its answer, of which is known whether it is read.
    pub(super) async fn answer(
        mut self,
        answer: impl Future<Output = Result<Response<Body>, Infallible>>,
    ) -> Result<Response<Body>, Infallible> {
        let Ok(answer) = answer.await;
        if let Some(body) = self.body.take() {
            let _ = timeout(REST_WITHIN, body.rest()).await;
        }
        Ok(answer.map(|body| Body::new(Taken { body, call: self })))
    }
}

/// The body of a request, which is read by whoever answers it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    /// That of a request, which keeps it.
    fn with(request: &mut Request<Body>) -> Self {
        let body = Self(Arc::new(Mutex::new(std::mem::take(request.body_mut()))));
        *request.body_mut() = Body::new(body.clone());
        body
    }

    /// Reads what is left once nobody else reads it. Otherwise the connection would be closed, and a
    /// client that still writes would see that instead of the answer.
    async fn rest(self) {
        let Some(body) = Arc::into_inner(self.0) else { return };
        let mut body = body.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut left = UNREAD_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(fewer) => left = fewer,
                None => return,
            }
        }
    }
}

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut *locked(&self.0)).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        locked(&self.0).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        locked(&self.0).size_hint()
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
