//! Admission of calls, in front of every service: authenticates the caller, counts the call against
//! the caller's share before its body is read, reads its message into counted memory, waits for a
//! slot, and counts the call until its answer is taken. A refused call has cost its headers only.
//! Never here: what a call means.

mod begun; // what a call begins with
mod refused; // calls that are refused before anything is done
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use edge_auth::Denied;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full as OneFrame;
use order_actor::clock::Clock;
use order_actor::domain::By;
use order_actor::grpc::status::FORWARDED_HEADER;
use order_actor::grpc::{EndsBy, NOT_FOUND_DELAY, Unanswered};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument as _;
use web_edge::UnreadBody;

use crate::edge::access::{Access, NotAdmitted};
use crate::edge::account::{self, Accounts};
use crate::edge::body::{Answer, End, Messages, ReadProgress, full, message, passed};
use crate::edge::calls::{self, Calls, Kind, Method};
use crate::edge::connections::{CommandStream, Connection};
use crate::edge::forward::shorten_deadline;
use crate::edge::limit::{Counting, RateLimits};
use crate::edge::passing::{self, Of, Passing, Until};
use crate::edge::refusal::overloaded;
use crate::edge::refusals::refuse;
use crate::edge::shares::{Amount, Caller, Held, Shares};
use crate::edge::slots::Slots;
use crate::edge::upstream::PEER;
use crate::edge::{arrival, explained, is_not_found, principal};
use begun::{aged, check_head, command_stream, count_connection, is_counted};

/// Access, limits and slots. Clones share them.
#[derive(Clone)]
pub struct Admission {
    access: Access,
    calls: Arc<Calls>,
    shares: Shares,
    slots: Slots,
    limits: RateLimits,
    accounts: Accounts,
    /// Whether a token has ended is a matter of this clock.
    clock: Arc<dyn Clock>,
}

impl Admission {
    /// Admits callers that have access, within their shares, by fair slots.
    #[must_use]
    pub fn new(
        (access, clock): (Access, Arc<dyn Clock>),
        calls: Arc<Calls>,
        shares: Shares,
        slots: Slots,
    ) -> Self {
        let (limits, accounts) = (RateLimits::default(), Accounts::default());
        Self { access, calls, shares, slots, limits, accounts, clock }
    }

    fn watch(&self, request: &mut Request<Body>, call: &AdmittedCall) -> account::Call {
        self.accounts.begin(request, Arc::clone(&call.name), call.since)
    }

    /// With limits of how often callers may call, and accounts of what becomes of calls.
    #[must_use]
    pub(in crate::edge) fn counting(mut self, limits: RateLimits, accounts: Accounts) -> Self {
        (self.limits, self.accounts) = (limits, accounts);
        self
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Admitted<S> {
        Admitted { admission: Arc::new(self.clone()), inner }
    }
}

/// A service with [`Admission`] in front.
#[derive(Clone)]
pub struct Admitted<S> {
    admission: Arc<Admission>,
    inner: S,
}

/// A call, and the instance of the service that takes it. On the heap: futures in futures hold it,
/// and each would copy it into its own.
struct Work<S> {
    inner: S,
    request: Request<Body>,
}

/// A call that was admitted and not read yet.
struct AdmittedCall {
    /// The method's name.
    name: Arc<str>,
    kind: Kind,
    message_max: usize,
    held: Held,
    /// Its count, if its caller has a limit.
    counting: Option<Counting>,
    progress: Arc<ReadProgress>,
    command_stream: Option<CommandStream>,
    takes_slot: bool,
    of_customer: bool,
    since: Instant,
    /// When its answer must begin. A client of a stream cancels it by itself.
    answer_by: Option<Instant>,
    /// When its answer must end, and why.
    end: Option<End>,
    /// Ends it when its connection has reached its age.
    aged: Option<CancellationToken>,
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let since = Instant::now();
        let admitted = match self.admission.admit(&mut request, since) {
            Ok(admitted) => admitted,
            Err(NotAdmitted::Refused(status)) => {
                let status = self.admission.refused(&mut request, since, status);
                return Box::pin(refuse(request, status));
            }
            Err(NotAdmitted::Wait(wait)) => {
                let admission = Arc::clone(&self.admission);
                let copy = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, copy);
                return Box::pin(async move {
                    let left = order_actor::grpc::timeout(request.headers());
                    let fetched = match left.and_then(|left| since.checked_add(left)) {
                        Some(by) => timeout_at(by, wait.done()).await.unwrap_or(false),
                        None => wait.done().await,
                    };
                    let status = match admission.admit(&mut request, since) {
                        Ok(admitted) => {
                            let call = admission.watch(&mut request, &admitted);
                            let work = Box::new(Work { inner, request });
                            return Ok(admitted.finish(work, &admission.slots, call).await);
                        }
                        Err(NotAdmitted::Refused(status)) if fetched => status,
                        Err(_) => principal::denied(Denied::Unavailable),
                    };
                    let status = admission.refused(&mut request, since, status);
                    refuse(request, status).await
                });
            }
        };
        // The instance that was polled ready takes this call; its clone takes the next.
        let copy = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, copy);
        let admission = Arc::clone(&self.admission);
        let call = admission.watch(&mut request, &admitted);
        let work = Box::new(Work { inner, request });
        Box::pin(async move { Ok(admitted.finish(work, &admission.slots, call).await) })
    }
}

impl Admission {
    /// Authenticates a call and counts it against its caller's share.
    fn admit(
        &self,
        request: &mut Request<Body>,
        since: Instant,
    ) -> Result<Box<AdmittedCall>, NotAdmitted> {
        check_head(&self.access, request)?;
        let path = request.uri().path();
        let known = self.calls.method(path).cloned();
        let method = known.as_deref();
        let forwarded = request.headers().contains_key(FORWARDED_HEADER);
        let (name, kind, message_max, takes_slot) = (
            self.calls.name_of(method, path),
            calls::kind(method, path, forwarded),
            calls::message_bytes_max(method),
            calls::takes_slot(path),
        );
        let now = self.clock.now();
        let connection = request.extensions().get::<Arc<Connection>>().cloned();
        let address = arrival::address(request, connection.as_deref());
        let admitted = self.access.admit(&self.calls, (path, method), request.headers(), now);
        let principal = admitted.map_err(|refused| self.counted(refused, address, request))?;
        // Only who asks for it is told what is known of it.
        if method.is_some_and(Method::answers_caller)
            && let Some(principal) = &principal
        {
            request.extensions_mut().insert(principal.clone());
        }
        let token_left = principal.as_ref().and_then(|principal| principal.left(now));
        let by = principal.map(|principal| principal.by);
        let caller = Caller::of(by.as_ref(), address);
        let of_customer = matches!(by, Some(By::Customer(_)));
        let counted = is_counted(&self.access, request, by.as_ref());
        if let Some(by) = by {
            request.extensions_mut().insert(by);
            count_connection(request, &caller, counted)?;
        }
        // Looked up once: whoever handles the call later takes it from here.
        if let Some(method) = known {
            request.extensions_mut().insert(method);
        }
        let counting = match !counted && takes_slot {
            true => self.limits.begin(&caller, request.uri().path())?,
            false => None,
        };
        let held = self.shares.take(&caller, Amount::of(kind)).map_err(full)?;
        let aged = aged(connection.as_deref(), kind);
        let command_stream = command_stream(connection.filter(|_| kind == Kind::BidiStream))?;
        let left = order_actor::grpc::timeout(request.headers());
        let answer_by = left.and_then(|left| since.checked_add(left));
        Ok(Box::new(AdmittedCall {
            name,
            kind,
            message_max,
            held,
            counting,
            progress: request.extensions().get().map_or_else(ReadProgress::new, Arc::clone),
            command_stream,
            takes_slot,
            of_customer,
            since,
            answer_by,
            end: End::of_call(kind, since, token_left),
            aged,
        }))
    }
}

impl AdmittedCall {
    /// The answer, accounted for.
    async fn finish<S>(
        self: Box<Self>,
        work: Box<Work<S>>,
        slots: &Slots,
        mut call: account::Call,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let many = self.kind != Kind::Unary;
        call.is_of(Some(self.held.caller().clone()));
        let answer = self.answer(work, slots).instrument(call.in_logs()).await;
        call.answered(answer.unwrap_or_else(Status::into_http), many)
    }

    async fn answer<S>(
        mut self: Box<Self>,
        work: Box<Work<S>>,
        slots: &Slots,
    ) -> Result<Response<Body>, Status>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let standing = match self.counting.take() {
            Some(counting) => Some(counting.settle().await?),
            None => None,
        };
        let answer_by = self.answer_by;
        let answer = self.execute(work, slots);
        let answer = match answer_by {
            Some(by) => timeout_at(by, answer).await.map_err(|_| passed())?,
            None => answer.await,
        }?;
        if self.of_customer && is_not_found(&answer) {
            sleep_until(self.since + NOT_FOUND_DELAY).await;
        }
        // The message is released; from now on the answer counts.
        self.held.set_bytes(0);
        let Self { held, progress, command_stream, end, aged, .. } = *self;
        let mut answer = explained(answer);
        if let Some(standing) = standing {
            standing.write(answer.headers_mut());
        }
        Ok(answer.map(|body| {
            let body = match &aged {
                Some(aged) => Passing::ending(body, Of::Answers, Until::Age, aged),
                None => body,
            };
            Body::new(Answer::new(body, held, progress, end, command_stream))
        }))
    }

    async fn execute<S>(
        &mut self,
        work: Box<Work<S>>,
        slots: &Slots,
    ) -> Result<Response<Body>, Status>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let Work { mut inner, request } = *work;
        let (mut head, body) = request.into_parts();
        // It is nobody else's, and goes no further.
        head.headers.remove(PEER);
        if matches!(self.kind, Kind::BidiStream | Kind::ForwardedStream) {
            let unanswered = Unanswered::default();
            head.extensions.insert(unanswered.clone());
            // Commands end by it themselves. Other answers are ended as they are sent.
            if let Some(when) = self.aged.take() {
                head.extensions.insert(EndsBy { when, why: passing::aged });
            }
            let mut messages = Messages::new(body, self.message_max, self.held.empty(), unanswered);
            if self.kind == Kind::ForwardedStream {
                messages.only_one();
            }
            let body = Body::new(messages);
            let Ok(answer) = inner.call(Request::from_parts(head, body)).await;
            return Ok(answer);
        }
        if let Some(UnreadBody(length)) = head.extensions.remove() {
            // By HTTP a request is kept whole before there is a message to count.
            self.held.more(Amount { bytes: length, ..Amount::default() }).map_err(full)?;
        }
        let message = message(body, self.message_max, &mut self.held).await?;
        let slot = match self.takes_slot {
            true => {
                let slot = slots.of_call(self.held.caller()).await;
                let slot = slot.ok_or_else(|| overloaded("calls executed at the same time"))?;
                head.extensions.insert(slot.clone());
                Some(slot)
            }
            false => None,
        };
        shorten_deadline(&mut head.headers, self.since.elapsed());
        let body = Body::new(OneFrame::new(message));
        let Ok(answer) = inner.call(Request::from_parts(head, body)).await;
        if let Some(slot) = slot {
            slot.end();
        }
        Ok(answer)
    }
}
