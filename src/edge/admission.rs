//! Who gets in. In front of every service: proves who calls, takes a place of their share before
//! anything of the call is read, reads its message into room that was counted, waits for a slot, and
//! keeps the place until the answer is taken. What is refused has cost nothing but its headers.
//! Never here: what a call means.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full as OneFrame;
use order_actor::domain::By;
use order_actor::grpc::status::FORWARDED_HEADER;
use order_actor::grpc::{NOT_FOUND_DELAY, Unanswered};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::access::Access;
use super::body::{Answer, Messages, Pulse, full, message, passed};
use super::calls::{Calls, Kind};
use super::connections::{Connection, Talk};
use super::explained;
use super::forward::waited;
use super::refusal::overloaded;
use super::shares::{Amount, Caller, Held, Shares};
use super::slots::Slots;

/// A command that another node carries here by a stream of its own ends within this.
const CARRIED_WITHIN: Duration = Duration::from_secs(35);
const CALL: Amount = Amount { calls: 1, streams: 0, bytes: 0 };
const STREAM: Amount = Amount { calls: 0, streams: 1, bytes: 0 };

/// Asked when everything else waits, and answered from memory.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Who may call, and how much at once. Clones are the same.
#[derive(Clone)]
pub struct Admission {
    access: Access,
    calls: Arc<Calls>,
    shares: Shares,
    slots: Slots,
}

impl Admission {
    /// Of callers that have access, within shares, each in turn.
    #[must_use]
    pub const fn new(access: Access, calls: Arc<Calls>, shares: Shares, slots: Slots) -> Self {
        Self { access, calls, shares, slots }
    }
}

/// Commands of streams wait for their slot as calls do.
#[async_trait]
impl order_actor::grpc::Slots for Slots {
    async fn slot(&self, by: &By) -> Box<dyn Send + Sync> {
        let caller = Caller::of(Some(by), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Box::new(Self::slot(self, &caller).await)
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Admitted<S> {
        Admitted { admission: self.clone(), inner }
    }
}

/// A service with [`Admission`] in front.
#[derive(Clone)]
pub struct Admitted<S> {
    admission: Admission,
    inner: S,
}

/// What is known of a call before anything of it is read.
struct Asked {
    kind: Kind,
    most: usize,
    held: Held,
    pulse: Arc<Pulse>,
    talk: Option<Talk>,
    waits: bool,
    of_customer: bool,
    since: Instant,
    /// Until its answer begins. A client of a stream that waits no longer says so itself.
    by: Option<Instant>,
    /// Until its answer ends.
    ends: Option<Instant>,
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
        let asked = match self.admission.ask(&mut request) {
            Ok(asked) => asked,
            Err(status) => {
                if let Some(pulse) = request.extensions().get::<Arc<Pulse>>() {
                    pulse.refuse();
                }
                let connection = request.extensions().get::<Arc<Connection>>();
                let now = Instant::now();
                let told = connection.and_then(|from| from.refusals.one_more(now));
                // Early enough for the client to hear why.
                let left = order_actor::grpc::timeout(request.headers());
                let told = told.map(|told| left.map_or(told, |left| told.min(now + left / 2)));
                // What it still sends is not kept meanwhile.
                drop(request);
                return Box::pin(async move {
                    if let Some(told) = told {
                        sleep_until(told).await;
                    }
                    Ok(status.into_http())
                });
            }
        };
        // The one that was polled ready is used, its copy waits for the next call.
        let copy = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, copy);
        let slots = self.admission.slots.clone();
        Box::pin(async move {
            Ok(asked.answer(inner, request, slots).await.unwrap_or_else(Status::into_http))
        })
    }
}

impl Admission {
    /// Takes a place for a call.
    fn ask(&self, request: &mut Request<Body>) -> Result<Asked, Status> {
        let path = request.uri().path();
        let carried = request.headers().contains_key(FORWARDED_HEADER);
        let (kind, most, waits) = (
            self.calls.kind(path, carried),
            self.calls.message_bytes_max(path),
            !path.starts_with(HEALTH),
        );
        let by = self.access.admit(&self.calls, path, request.headers())?;
        let connection = request.extensions().get::<Arc<Connection>>().cloned();
        if let Some(connection) = connection.as_ref().filter(|_| by.is_some()) {
            connection.is_proved();
        }
        let address =
            connection.as_ref().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.address);
        let caller = Caller::of(by.as_ref(), address);
        let place = match kind {
            Kind::Call | Kind::Carried => CALL,
            Kind::Tells | Kind::Talks => STREAM,
        };
        let held = self.shares.take(&caller, place).map_err(full)?;
        let talk = match connection.filter(|_| kind == Kind::Talks) {
            Some(connection) => Some(
                connection
                    .talk()
                    .ok_or_else(|| overloaded("streams of commands of a connection"))?,
            ),
            None => None,
        };
        let of_customer = matches!(by, Some(By::Customer(_)));
        if let Some(by) = by {
            request.extensions_mut().insert(by);
        }
        let pulse = request.extensions().get().map_or_else(Pulse::new, Arc::clone);
        let since = Instant::now();
        let left = order_actor::grpc::timeout(request.headers());
        let by = left.and_then(|left| since.checked_add(left));
        let ends = (kind == Kind::Carried).then(|| since + CARRIED_WITHIN);
        Ok(Asked { kind, most, held, pulse, talk, waits, of_customer, since, by, ends })
    }
}

impl Asked {
    async fn answer<S>(
        mut self,
        inner: S,
        request: Request<Body>,
        slots: Slots,
    ) -> Result<Response<Body>, Status>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let by = self.by;
        let answer = self.carried_out(inner, request, slots);
        let answer = match by {
            Some(by) => timeout_at(by, answer).await.map_err(|_| passed())?,
            None => answer.await,
        }?;
        if self.of_customer && is_not_found(&answer) {
            sleep_until(self.since + NOT_FOUND_DELAY).await;
        }
        // The message has been dealt with; what counts from now on is the answer.
        self.held.owe_bytes(0);
        let Self { held, pulse, talk, ends, .. } = self;
        Ok(explained(answer).map(|body| Body::new(Answer::new(body, held, pulse, ends, talk))))
    }

    async fn carried_out<S>(
        &mut self,
        mut inner: S,
        request: Request<Body>,
        slots: Slots,
    ) -> Result<Response<Body>, Status>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let (mut head, body) = request.into_parts();
        if matches!(self.kind, Kind::Talks | Kind::Carried) {
            let unanswered = Unanswered::default();
            head.extensions.insert(unanswered.clone());
            let mut messages = Messages::new(body, self.most, self.held.empty(), unanswered);
            if self.kind == Kind::Carried {
                messages.only_one();
            }
            let body = Body::new(messages);
            let Ok(answer) = inner.call(Request::from_parts(head, body)).await;
            return Ok(answer);
        }
        let message = message(body, self.most, &mut self.held).await?;
        let slot = match self.waits {
            true => {
                let slot = slots.of_call(self.held.caller()).await;
                let slot = slot.ok_or_else(|| overloaded("calls that are carried out at once"))?;
                head.extensions.insert(slot.clone());
                Some(slot)
            }
            false => None,
        };
        waited(&mut head.headers, self.since.elapsed());
        let body = Body::new(OneFrame::new(message));
        let Ok(answer) = inner.call(Request::from_parts(head, body)).await;
        if let Some(slot) = slot {
            slot.end();
        }
        Ok(answer)
    }
}

fn is_not_found(answer: &Response<Body>) -> bool {
    let code = answer.headers().get("grpc-status");
    code.is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::NotFound)
}

#[cfg(test)]
mod tests {
    use super::super::calls::Rpc;
    use super::super::shares::Numbers;
    use super::*;

    const ORDERS: Rpc = Rpc {
        name: "ordinal.orders.v1.OrderService",
        may_call: |_, _| true,
        message_bytes_max: 1024,
    };

    /// What a service sees of the deadline of a call whose message took so long to come.
    async fn deadline_after(waited: Duration, deadline: &'static str) -> String {
        let admission = Admission::new(
            Access::development(),
            Arc::new(Calls::new([order_actor::grpc::FILE_DESCRIPTOR_SET], [ORDERS])),
            Shares::new(Numbers::default()),
            Slots::default(),
        );
        let (sees, seen) = tokio::sync::oneshot::channel();
        let sees = Arc::new(std::sync::Mutex::new(Some(sees)));
        let inner = tower::service_fn(move |request: Request<Body>| {
            let timeout = request.headers()["grpc-timeout"].to_str().unwrap().to_owned();
            let sees = sees.lock().unwrap().take().unwrap();
            sees.send(timeout).unwrap();
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
        });
        let message = async move {
            tokio::time::sleep(waited).await;
            Ok::<_, Status>(http_body::Frame::data(bytes::Bytes::from_static(&[0; 5])))
        };
        let body = http_body_util::StreamBody::new(futures::stream::once(Box::pin(message)));
        let request = Request::post("/ordinal.orders.v1.OrderService/GetOrder")
            .header("grpc-timeout", deadline)
            .body(Body::new(body))
            .unwrap();
        admission.layer(inner).call(request).await.unwrap();
        seen.await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_message_takes_to_come_is_taken_from_the_deadline() {
        assert_eq!(deadline_after(Duration::from_millis(1_200), "3S").await, "1800m");
        assert_eq!(deadline_after(Duration::ZERO, "3S").await, "3S");
    }
}
