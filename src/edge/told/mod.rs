//! The door for webhooks of payment providers: `POST /v1/webhooks/PROVIDER`. Providers have no
//! token; what they send is signed over its raw bytes, so nothing here parses it. The door has
//! shares of its own by address, and what is refused counts against the limit of its address. A
//! process without payments sends them on to one that has them.
//! Never here: what is genuine, or what a webhook means.

mod sent_on; // to a process that runs payments

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::{BoxFuture, Either};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use order_actor::domain::Role;
use psp::webhook::BODY_BYTES_MAX;
use shared_events::contract::{PspName, Reason};
use tokio::time::timeout;
use tonic::body::Body;
use tower::{Layer, Service};
use web_edge::{Problem, RouteOf, WebEdge};

use super::access::Access;
use super::account::Note;
use super::arrival;
use super::body::MESSAGE_WITHIN;
use super::connections::Connection;
use super::limit::RateLimits;
use super::shares::{Amount, Caller, Held, Shares};

pub(crate) use sent_on::sent_on;

/// Where providers send to.
const PATH: &str = "/v1/webhooks/";
/// How it is named among routes: providers are the operator's.
const ROUTE: RouteOf = RouteOf::beside("/v1/webhooks/{provider}");

/// Whose share those take that other processes of ours send on, which have counted them by address.
const SENT_ON: &str = "webhooks";

/// What became of a webhook.
pub(crate) enum Receipt {
    /// It is stored, or was before.
    Taken,
    /// No provider of this name sends webhooks here.
    NoProvider,
    /// It is not genuine.
    NotGenuine(String),
    /// It cannot be stored now: it is to be sent again.
    Away,
}

/// Receives the webhooks of a provider: its name, the headers, and the body as it came.
pub(crate) type Receive =
    Arc<dyn Fn(PspName, HeaderMap, Bytes) -> BoxFuture<'static, Receipt> + Send + Sync>;

/// The layer. Without anybody who receives it is no door.
#[derive(Clone)]
pub(super) struct ToldDoor {
    pub(super) receive: Option<Receive>,
    pub(super) web: WebEdge,
    pub(super) access: Access,
    pub(super) shares: Shares,
    pub(super) limits: RateLimits,
}

/// A service with [`ToldDoor`] in front.
#[derive(Clone)]
pub(super) struct Told<S> {
    door: Arc<ToldDoor>,
    inner: S,
}

impl<S> Layer<S> for ToldDoor {
    type Service = Told<S>;

    fn layer(&self, inner: S) -> Told<S> {
        Told { door: Arc::new(self.clone()), inner }
    }
}

impl<S> Service<Request<Body>> for Told<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // What is no provider's name is a call of others, such as `shop:replay`.
        let name = request.uri().path().strip_prefix(PATH);
        let name = name.and_then(|name| name.parse::<PspName>().ok());
        let (Some(receive), Some(name)) = (&self.door.receive, name) else {
            return Either::Left(self.inner.call(request));
        };
        Note::came_by(&request, ROUTE);
        let (receive, door) = (Arc::clone(receive), Arc::clone(&self.door));
        Either::Right(Box::pin(async move {
            let path = request.uri().path().to_owned();
            let answer = door.answer(receive, name, request).await;
            Ok(answer.unwrap_or_else(|problem| problem.of(&path).into_response()))
        }))
    }
}

impl ToldDoor {
    async fn answer(
        &self,
        receive: Receive,
        name: PspName,
        request: Request<Body>,
    ) -> Result<Response<Body>, Problem> {
        let from_peer = self.access.is_from_peer(&request, None);
        // It calls this process by a name of the installation, and has checked that of its own.
        if !from_peer {
            self.web.check_page(&request)?;
        }
        if request.method() != Method::POST {
            let detail = "webhooks of providers are sent by POST";
            return Err(Problem::new(Reason::MethodNotAllowed, detail));
        }
        let connection = request.extensions().get::<Arc<Connection>>().cloned();
        let caller = match from_peer {
            true => Caller::Known(Role::Service, Arc::from(SENT_ON)),
            false => Caller::of(None, arrival::address(&request, connection.as_deref())),
        };
        let (held, path) = (self.room(&caller, &request)?, request.uri().path().to_owned());
        // Whoever has sent it on counts the refusal against the address that it came from.
        let counted = (!from_peer).then_some(&caller);
        let (head, body) = request.into_parts();
        let body = timeout(MESSAGE_WITHIN, Limited::new(body, BODY_BYTES_MAX).collect()).await;
        let Ok(Ok(body)) = body else {
            let detail = "a webhook has at most 256 KiB, and comes within 10 s";
            return Err(self.refused(counted, &path, Reason::MessageTooLarge, detail));
        };
        let receipt = receive(name, head.headers, body.to_bytes()).await;
        drop(held);
        match receipt {
            Receipt::Taken => Ok(taken()),
            Receipt::NoProvider => {
                let detail = "no provider of this name sends webhooks to this process";
                Err(self.refused(counted, &path, Reason::RouteNotFound, detail))
            }
            Receipt::NotGenuine(why) => {
                Err(self.refused(counted, &path, Reason::Unauthenticated, &why))
            }
            Receipt::Away => {
                let detail = "it could not be stored: send it again";
                Err(Problem::new(Reason::PaymentsUnavailable, detail))
            }
        }
    }

    /// A place for the body in the share of its address.
    fn room(&self, caller: &Caller, request: &Request<Body>) -> Result<Held, Problem> {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let bytes = length.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX);
        let asked = Amount { calls: 1, streams: 0, bytes };
        self.shares.take(caller, asked).map_err(|full| {
            let detail = format!("too many webhooks at a time: {}", full.bound());
            Problem::new(Reason::Overloaded, &detail)
        })
    }

    /// A refusal, or that the limit of its address is reached, where it counts for one.
    fn refused(
        &self,
        counted: Option<&Caller>,
        path: &str,
        reason: Reason,
        detail: &str,
    ) -> Problem {
        let within = counted.map_or(Ok(()), |caller| self.limits.count_refused(caller, path));
        match within {
            Ok(()) => Problem::new(reason, detail),
            Err(limited) => Problem::from_status(&limited, false),
        }
    }
}

fn taken() -> Response<Body> {
    let mut answer = Response::new(Body::new(Full::from("{}\n")));
    *answer.status_mut() = StatusCode::OK;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
