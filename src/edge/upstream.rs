//! The way to another process, behind its breaker: for calls that are forwarded, for feeds, for the
//! admin service and for commands of forwarded streams alike.
//! Never here: what is sent.

use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Chain;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Request, Response};
use service_edge::Wire;
use service_edge::feed::Identity;
use tonic::body::Body;
use tonic::{ConnectError, Status};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use super::breaker::{Breakers, Pass};
use super::lanes::{Lanes, OfCommands};

/// The token of the process that sends a call, beside the caller's own: so the other one knows that
/// a call was forwarded by a process of the installation, which has counted it.
pub(super) const PEER: HeaderName = HeaderName::from_static("ordinal-peer");

/// What all ways of a process to others have in common.
#[derive(Clone, Default)]
pub(crate) struct Ways {
    breakers: Breakers,
    peer: Option<HeaderValue>,
}

impl Ways {
    /// Behind these breakers, of the process with this identity.
    pub(crate) fn new(breakers: Breakers, identity: &Identity) -> Self {
        let bearer = identity.bearer().map(|bearer| bearer.as_encoded_bytes());
        let mut peer = bearer.and_then(|bearer| HeaderValue::from_bytes(bearer).ok());
        if let Some(peer) = &mut peer {
            peer.set_sensitive(true);
        }
        Self { breakers, peer }
    }

    /// The way to a process, as operators know it.
    pub(crate) fn to(&self, process: &str, lanes: Lanes) -> Upstream {
        Upstream { process: process.into(), lanes, ways: self.clone() }
    }
}

/// Another process, or several of one role. Clones share its breaker.
#[derive(Clone)]
pub(crate) struct Upstream {
    process: Arc<str>,
    lanes: Lanes,
    ways: Ways,
}

impl Upstream {
    /// For a client that knows of no breakers.
    pub(crate) fn wire(&self) -> Wire {
        BoxCloneSyncService::new(self.clone())
    }

    /// The same way, by a connection that no call is on.
    pub(crate) fn apart(&self) -> Self {
        Self { lanes: self.lanes.apart(), ..self.clone() }
    }

    pub(super) fn process(&self) -> &str {
        &self.process
    }

    /// Lets a call pass.
    ///
    /// # Errors
    /// The refusal of a call that is not sent.
    pub(super) fn pass(&self) -> Result<Pass, Status> {
        self.ways.breakers.pass(&self.process)
    }

    /// Sends a call that may pass.
    ///
    /// # Errors
    /// If there is no answer. It may have arrived.
    pub(super) async fn send(
        &self,
        pass: Pass,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, tonic::transport::Error> {
        if let Some(peer) = &self.ways.peer {
            request.headers_mut().insert(PEER, peer.clone());
        }
        let of_commands = request.extensions_mut().remove::<OfCommands>().is_some();
        let (channel, taken) = self.lanes.take(of_commands);
        let answer = channel.oneshot(request).await;
        match &answer {
            Ok(_) => pass.answered(),
            Err(error) if of_connection(error) => pass.failed(),
            Err(_) => drop(pass),
        }
        answer.map(|answer| answer.map(|body| taken.until_end_of(body)))
    }
}

impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // A call waits for the channel once its breaker has let it pass.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (pass, upstream) = (self.pass(), self.clone());
        Box::pin(async move {
            let answer = upstream.send(pass?, request).await;
            answer.map_err(|error| Status::from_error(error.into()))
        })
    }
}

/// Whether a connection failed, or there was none. Else it was one call only: its caller's message
/// broke off, its deadline passed, or the process has reset it.
fn of_connection(error: &(dyn Error + 'static)) -> bool {
    let ended = |error: &hyper::Error| {
        // Without an answer to what keeps it alive, or with calls that waited for it.
        error.is_timeout() || error.is_closed() || error.is_canceled()
    };
    if Chain::new(error).any(|it| it.is::<tonic::TimeoutExpired>()) {
        return false;
    }
    Chain::new(error).any(|it| {
        it.is::<ConnectError>()
            || it.is::<std::io::Error>()
            || it.downcast_ref::<hyper::Error>().is_some_and(ended)
    })
}
