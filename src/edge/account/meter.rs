//! Times of calls, by method or route and by what became of them.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use shared_events::metric::table::{HTTP_DURATION, LIVE_CONNECTIONS, RPC_DURATION};
use shared_events::metric::{Up, is_on};
use shared_events::traces::{self, TraceContext};
use tokio::time::Instant;
use tonic::{Code, Status};
use web_edge::RouteOf;

use crate::edge::code_name;

/// The route of a call that has none.
const UNMATCHED: &str = "unmatched";
/// The route of a call by another spelling of gRPC.
const RPC: &str = "rpc";

/// Counts a call once it is dropped.
pub(super) struct Meter(Option<Counted>);

struct Counted {
    since: Instant,
    what: What,
    _stream: Option<Up>,
}

enum What {
    Rpc { method: Arc<str>, code: Option<Code>, span: Option<TraceContext> },
    Http { method: &'static str, route: Option<RouteOf>, named: bool, status: u16, ended: bool },
}

impl Meter {
    /// Of a gRPC call, or one that a call by HTTP became, with its span, if it has one.
    pub(super) fn of_rpc(method: &Arc<str>, since: Instant, span: Option<TraceContext>) -> Self {
        let what = || What::Rpc { method: Arc::clone(method), code: None, span };
        Self(is_on().then(|| Counted { since, what: what(), _stream: None }))
    }

    /// Of a call by HTTP.
    pub(super) fn of_http(method: &Method, since: Instant) -> Self {
        let (route, named, status, ended) = (None, false, 499, false);
        let what = || What::Http { method: http_method(method), route, named, status, ended };
        Self(is_on().then(|| Counted { since, what: what(), _stream: None }))
    }

    /// It is a stream.
    pub(super) fn streams(&mut self) {
        if let Some(counted) = &mut self.0 {
            counted._stream = Some(LIVE_CONNECTIONS.up(["stream"]));
        }
    }

    /// Its headers or trailers may have its status.
    pub(super) fn saw(&mut self, headers: &HeaderMap) {
        let Some(Counted { what: What::Rpc { code, .. }, .. }) = &mut self.0 else { return };
        if let Some(said) = headers.get(Status::GRPC_STATUS) {
            *code = Some(Code::from_bytes(said.as_bytes()));
        }
    }

    /// It was answered by HTTP.
    pub(super) fn answered(&mut self, by: Option<&RouteOf>, is_rpc: bool, with: u16) {
        if let Some(Counted { what: What::Http { route, named, status, .. }, .. }) = &mut self.0 {
            (*route, *named, *status) = (by.cloned(), is_rpc, with);
        }
    }

    /// Its answer has ended.
    pub(super) fn ended(&mut self, refused: bool) {
        match &mut self.0 {
            Some(Counted { what: What::Rpc { code, .. }, .. }) => {
                code.get_or_insert(if refused { Code::Internal } else { Code::Ok });
            }
            Some(Counted { what: What::Http { ended, .. }, .. }) => *ended = true,
            None => {}
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let Some(Counted { since, what, .. }) = self.0.take() else { return };
        let took = since.elapsed();
        match what {
            What::Rpc { method, code, span } => {
                // Left by its caller.
                let code = code.unwrap_or(Code::Cancelled);
                let exemplar = span.and_then(traces::exemplar);
                RPC_DURATION.took_in([&method, code_name(code)], took, exemplar);
            }
            What::Http { method, route, named, status, ended } => {
                let route = match &route {
                    Some(route) => route.template(),
                    None if named => RPC,
                    None => UNMATCHED,
                };
                let status = StatusCode::from_u16(if ended { status } else { 499 });
                let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                HTTP_DURATION.took([route, method, status.as_str()], took);
            }
        }
    }
}

/// The method, of those that there are.
fn http_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}
