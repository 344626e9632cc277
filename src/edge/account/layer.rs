//! Calls by HTTP as their callers see them: with the status of HTTP, and refused also where no
//! method was found. Where a caller sent no trace, the call gets one, which the answer names.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::{Request, Response};
use shared_events::contract::Reason;
use shared_events::traces::Span;
use tokio::time::Instant;
use tonic::body::Body;
use tower::{Layer, Service};

use super::body::Tracked;
use super::meter::Meter;
use super::{Accounts, Call, Note, TRACEPARENT, Trace};

/// The method of a call that has none.
const NONE: &str = "none";

/// The layer.
#[derive(Clone)]
pub(in crate::edge) struct HttpCalls {
    accounts: Accounts,
    none: Arc<str>,
}

impl HttpCalls {
    pub(in crate::edge) fn new(accounts: Accounts) -> Self {
        Self { accounts, none: Arc::from(NONE) }
    }
}

/// A service with [`HttpCalls`] in front.
#[derive(Clone)]
pub(in crate::edge) struct Watched<S> {
    calls: HttpCalls,
    inner: S,
}

impl<S> Layer<S> for HttpCalls {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched { calls: self.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for Watched<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if web_edge::is_grpc(&request) {
            return Either::Left(self.inner.call(request));
        }
        let trace = Trace::of(&request).made();
        if let Trace::Own(Some(own)) = &trace {
            // What the caller wrote is not a trace.
            request.headers_mut().remove(TRACEPARENT);
            request.extensions_mut().insert(*own);
            if let Some(socket) = request.extensions_mut().get_mut::<web_edge::Socket>() {
                socket.with(*own);
            }
        }
        let note = Arc::new(Note::default());
        request.extensions_mut().insert(Arc::clone(&note));
        let (accounts, method) = (Some(self.calls.accounts.clone()), Arc::clone(&self.calls.none));
        let since = Instant::now();
        // A caller who leaves gets no status; the log has one.
        let meter = Meter::of_http(request.method(), since);
        let (status, span) = (499, Span::none());
        let call = Call {
            accounts,
            method,
            since,
            caller: None,
            trace,
            note: None,
            behind: None,
            route: None,
            about: note.about.clone(),
            status,
            span,
            meter,
        };
        // Called here and now, so that a refusal is known before the call is spawned.
        let answer = self.inner.call(request);
        Either::Right(Box::pin(async move {
            let Ok(answer) = answer.await;
            Ok(call.answered_by_http(&note, answer))
        }))
    }
}

impl Call {
    fn answered_by_http(mut self, note: &Arc<Note>, mut answer: Response<Body>) -> Response<Body> {
        if let Some(method) = note.method.get() {
            self.method = Arc::clone(method);
        }
        self.caller = note.caller.get().cloned();
        self.route = note.route.get().cloned();
        self.status = answer.status().as_u16();
        self.meter.answered(note.route.get(), note.method.get().is_some(), self.status);
        self.trace.write(answer.headers_mut());
        let said = answer.extensions().get::<Reason>().map(|reason| reason.code());
        let reason = said.or_else(|| note.reason.get().copied());
        let failed = answer.status().is_client_error() || answer.status().is_server_error();
        if reason.is_some() || failed {
            self.end(Some(reason.unwrap_or(Reason::Internal.code())));
            return answer;
        }
        self.behind = Some(Arc::clone(note));
        answer.map(|body| Body::new(Tracked::new(body, self)))
    }
}
