use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::{HeaderMap, HeaderName, Method, Request, Response, Version, header};
use shared_events::contract::Reason;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::grpc_web::{self, Writing};
use crate::guard::{self, Cors, Hosts};
use crate::live;
use crate::problem::{Problem, page};
use crate::rest::connect::Encoding;
use crate::rest::{self, Matched, Routes, Spelling};

/// Names the caller of a request by its headers, in a text that is different for each caller; none
/// if they name nobody.
pub type Subject = Arc<dyn Fn(&HeaderMap) -> Option<String> + Send + Sync>;

/// Pages that everybody may read: the answer to a request for one of them.
pub type Pages = Arc<dyn Fn(&Request<Body>) -> Option<Response<Body>> + Send + Sync>;

/// What the web edge needs to know.
pub struct Settings {
    /// The routes.
    pub routes: Routes,
    /// Whether a path is that of a method of gRPC without a route, as health and reflection have.
    pub unrouted: fn(&str) -> bool,
    /// The names under which this process answers.
    pub hosts: Hosts,
    /// Headers that reach the services, besides those of each call by HTTP.
    pub passed_headers: Vec<HeaderName>,
    /// Headers that say who shows the certificate of a connection. A browser shows it for every
    /// page: they are taken off calls of pages that are not ours.
    pub connection_headers: Vec<HeaderName>,
    /// Who calls: keys of idempotency are different for each caller.
    pub subject: Subject,
    /// Pages beside the routes.
    pub pages: Pages,
}

/// What all calls by HTTP share.
pub struct Web {
    pub(crate) routes: Routes,
    unrouted: fn(&str) -> bool,
    pub(crate) hosts: Hosts,
    pub(crate) passed_headers: Vec<HeaderName>,
    connection_headers: Vec<HeaderName>,
    pub(crate) subject: Subject,
    pub(crate) pages: Pages,
}

/// The layer: HTTP with JSON in front of a service of gRPC calls.
#[derive(Clone)]
pub struct WebEdge(Arc<Web>);

impl WebEdge {
    /// With these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Web {
            routes: settings.routes,
            unrouted: settings.unrouted,
            hosts: settings.hosts,
            passed_headers: settings.passed_headers,
            connection_headers: settings.connection_headers,
            subject: settings.subject,
            pages: settings.pages,
        }))
    }

    /// Checks a request that is answered by somebody else beside the routes: its name for this
    /// process, whose page asks, how its path is written, and the size of its head.
    ///
    /// # Errors
    /// The problem.
    pub fn check_page<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        guard::check_bare(&self.0.hosts, request)
    }
}

impl<S> Layer<S> for WebEdge {
    type Service = Front<S>;

    fn layer(&self, inner: S) -> Front<S> {
        Front { web: Arc::clone(&self.0), inner }
    }
}

/// A service of gRPC calls with the web edge in front.
#[derive(Clone)]
pub struct Front<S> {
    web: Arc<Web>,
    inner: S,
}

impl<S> Service<Request<Body>> for Front<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        self.web.forget_certificate(&mut request);
        let at_once =
            |answer| Either::Right(Box::pin(std::future::ready(Ok(answer))) as BoxFuture<_>);
        if is_grpc(&request) {
            // Clients of gRPC say neither; a proxy may have passed on what a page sends.
            if guard::is_of_page(request.headers())
                && let Err(problem) = guard::check_page(&self.web.hosts, &request)
            {
                return at_once(problem.of_request(&request).into_response());
            }
            return Either::Left(self.inner.call(request));
        }
        if request.uri().path() == live::PATH {
            return at_once(live::open(&self.web, &self.inner, request));
        }
        let cors = Cors::of(&self.web.hosts, &request);
        let answer = self.answer(request, cors.as_ref());
        Either::Right(match cors {
            None => answer,
            Some(cors) => Box::pin(async move {
                let Ok(answer) = answer.await;
                Ok(cors.permit(answer))
            }),
        })
    }
}

impl<S> Front<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    /// Answers a request by HTTP.
    fn answer(
        &mut self,
        request: Request<Body>,
        cors: Option<&Cors>,
    ) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
        let at_once = |answer| Box::pin(std::future::ready(Ok(answer))) as BoxFuture<_>;
        match self.web.receive(&request, cors) {
            Ok(Received::Page(answer)) => at_once(answer),
            Ok(Received::GrpcWeb(writing)) => {
                let inner = grpc_web::translate(&self.web, writing, request);
                let answer = self.inner.call(inner);
                Box::pin(async move { Ok(grpc_web::answer(writing, answer).await) })
            }
            Ok(Received::Call(matched, spelling)) => {
                let (call, inner) = rest::translate(&self.web, (matched, spelling), request);
                // Called here and now, so that a refusal is known before the call is spawned.
                let answer = self.inner.call(inner);
                Box::pin(async move { Ok(call.answer(answer).await) })
            }
            Err(problem) => at_once(problem.of_request(&request).into_response()),
        }
    }
}

/// What a request by HTTP is.
enum Received {
    /// A page of ours.
    Page(Response<Body>),
    /// A call by a route, or by Connect.
    Call(Matched, Spelling),
    /// A call by gRPC-Web.
    GrpcWeb(Writing),
}

impl Web {
    /// Takes off who shows the certificate of the connection, where a page of others asks.
    fn forget_certificate(&self, request: &mut Request<Body>) {
        if !self.connection_headers.is_empty() && guard::is_of_foreign_page(&self.hosts, request) {
            for name in &self.connection_headers {
                request.headers_mut().remove(name);
            }
        }
    }

    /// Headers of ours that pages may send.
    fn sent_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.passed_headers.iter().filter(|name| !self.connection_headers.contains(name))
    }

    /// Calls by gRPC-Web are sent to the path of a method, and by `POST` only.
    fn check_grpc_web(&self, method: &Method, path: &str) -> Result<(), Problem> {
        if self.routes.by_rpc(path).is_none() && !(self.unrouted)(path) {
            self.routes.find(method, path)?;
            let detail = "a route takes JSON; gRPC-Web is spoken at the path of a method, \
                          /PACKAGE.SERVICE/METHOD";
            return Err(Problem::new(Reason::UnsupportedMediaType, detail));
        }
        if *method == Method::POST {
            Ok(())
        } else {
            Err(Problem::no_method(Method::POST.as_str()))
        }
    }

    fn receive(&self, request: &Request<Body>, cors: Option<&Cors>) -> Result<Received, Problem> {
        guard::check(&self.hosts, request)?;
        if let Some(answer) = cors.and_then(|cors| cors.preflight(request, self.sent_headers())) {
            return Ok(Received::Page(answer));
        }
        let path = request.uri().path();
        if let Some(code) = path.strip_prefix(page::PATH) {
            let page = page::answer(code, request).ok_or_else(|| Problem::no_route(path))?;
            return Ok(Received::Page(page));
        }
        if let Some(page) = (self.pages)(request) {
            return Ok(Received::Page(page));
        }
        if let Some(writing) = Writing::of(request.headers()) {
            self.check_grpc_web(request.method(), path)?;
            return Ok(Received::GrpcWeb(writing));
        }
        if let (Some(matched), Some(encoding)) = (self.routes.by_rpc(path), Encoding::of(request)) {
            return match matched.is_unary() {
                true => {
                    let spelling = Spelling::Connect(encoding);
                    rest::check_bare(&matched, spelling, request)?;
                    Ok(Received::Call(matched, spelling))
                }
                false => Err(Problem::new(
                    Reason::UnsupportedMediaType,
                    "streams are not served by Connect: use gRPC, gRPC-Web or the routes",
                )),
            };
        }
        let matched = self.routes.find(request.method(), path)?;
        rest::check_form(&matched, request.headers())?;
        rest::check_bare(&matched, Spelling::Rest, request)?;
        Ok(Received::Call(matched, Spelling::Rest))
    }
}

/// gRPC is spoken over HTTP/2. Browsers do not speak it without TLS, and with TLS they need a
/// permission that is never given.
#[must_use]
pub fn is_grpc(request: &Request<Body>) -> bool {
    let Some(kind) = request.headers().get(header::CONTENT_TYPE) else { return false };
    let after = kind.as_bytes().strip_prefix(b"application/grpc");
    request.version() == Version::HTTP_2
        && after.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}
