//! What became of calls: refusals are counted by method and reason, and each call, or each refused
//! one, has a line in the log.
//! Never here: tokens, paths or queries as they were sent, and who a customer is.

mod body; // how an answer that takes its time ends
mod layer; // calls by HTTP, from outside
mod lines; // lines of the log
mod meter; // times of calls
mod traced; // the span of a call, and what lines of the log belong to

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::{HeaderMap, HeaderValue, Request, Response};
use service_edge::About;
use shared_events::chance::Chance;
use shared_events::contract::Reason;
use shared_events::traces::Span;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use web_edge::{RouteOf, TraceId};

pub(super) use layer::HttpCalls;

use super::shares::Caller;
use body::Tracked;
use lines::{Line, Lines};
use meter::Meter;

/// Names the trace of a call (W3C).
const TRACEPARENT: &str = "traceparent";
/// What other systems added to that trace.
const TRACESTATE: &str = "tracestate";

/// Which calls have a line in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// None.
    Off,
    /// Refused ones.
    #[default]
    Refusals,
    /// All.
    All,
}

impl FromStr for AccessLog {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "refusals" => Ok(Self::Refusals),
            "all" => Ok(Self::All),
            _ => Err("is off, refusals or all".to_owned()),
        }
    }
}

/// Counts, and lines of the log. Clones share them.
#[derive(Clone, Default)]
pub struct Accounts(Arc<Inner>);

#[derive(Default)]
struct Inner {
    log: AccessLog,
    lines: Option<Lines>,
    refused: Mutex<Counts>,
}

/// By method and reason: both are names of ours, of which there are only so many.
type Counts = HashMap<Arc<str>, HashMap<&'static str, u64>>;

/// Calls of a method that were refused for a reason.
pub(super) struct Refusals {
    /// The method, such as `ordinal.orders.v1.OrderService/GetOrder`.
    pub(super) method: String,
    /// The reason's code.
    pub(super) reason: &'static str,
    /// How many, since the process started.
    pub(super) count: u64,
}

impl Accounts {
    /// With lines for these calls.
    ///
    /// # Errors
    /// If the thread that writes lines cannot be started.
    pub fn new(log: AccessLog) -> anyhow::Result<Self> {
        let lines = if log == AccessLog::Off { None } else { Some(Lines::begin()?) };
        Ok(Self(Arc::new(Inner { log, lines, refused: Mutex::default() })))
    }

    /// All refusals, sorted.
    pub(super) fn refusals(&self) -> Vec<Refusals> {
        let counts = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let all = counts.iter().flat_map(|(method, reasons)| {
            let method = method.to_string();
            reasons.iter().map(move |(reason, count)| Refusals {
                method: method.clone(),
                reason,
                count: *count,
            })
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| (&a.method, a.reason).cmp(&(&b.method, b.reason)));
        all
    }

    fn count(&self, method: &Arc<str>, reason: &'static str) {
        let mut counts = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(Arc::clone(method)).or_default().entry(reason).or_default() += 1;
    }

    /// Begins to watch a call of gRPC, or one that a call by HTTP became.
    pub(super) fn begin(
        &self,
        request: &mut Request<Body>,
        method: Arc<str>,
        since: Instant,
    ) -> Call {
        let note = request.extensions().get::<Arc<Note>>().map(Arc::clone);
        let (trace, mut span) = traced::begin(request, &method);
        let about = note.as_ref().map_or_else(About::default, |note| note.about.clone());
        request.extensions_mut().insert(about.clone());
        if let Some(note) = &note
            && let Some(route) = request.extensions().get::<RouteOf>()
        {
            span.set_with("http.route", || route.template().to_owned());
            let _ = note.route.set(route.clone());
        }
        let meter = Meter::of_rpc(&method, since, span.context());
        let accounts = Some(self.clone());
        let (caller, behind, route, status) = (None, None, None, 0);
        Call {
            accounts,
            method,
            since,
            caller,
            trace,
            note,
            behind,
            route,
            about,
            status,
            span,
            meter,
        }
    }
}

/// What is known of a call by HTTP once it is a gRPC call.
#[derive(Default)]
pub(super) struct Note {
    route: OnceLock<RouteOf>,
    method: OnceLock<Arc<str>>,
    caller: OnceLock<Caller>,
    about: About,
    reason: OnceLock<&'static str>,
}

impl Note {
    /// Says what stands for the route of a request that no call becomes.
    pub(super) fn came_by(request: &Request<Body>, route: RouteOf) {
        if let Some(note) = request.extensions().get::<Arc<Self>>() {
            let _ = note.route.set(route);
        }
    }
}

/// The trace of a call.
enum Trace {
    /// The caller's own.
    Sent(HeaderValue),
    /// One of ours, or none yet.
    Own(Option<TraceId>),
}

impl Trace {
    fn of(request: &Request<Body>) -> Self {
        match request.headers().get(TRACEPARENT) {
            Some(sent) if web_edge::trace_id(sent).is_some() => Self::Sent(sent.clone()),
            _ => {
                let made = request.extensions().get().copied();
                Self::Own(made.or_else(|| traced::named_by_peer(request.headers())))
            }
        }
    }

    /// A new one, where the caller sent none.
    fn made(self) -> Self {
        match self {
            Self::Own(None) => Self::Own(Some(traced::drawn())),
            other => other,
        }
    }

    fn id(&self) -> Option<String> {
        match self {
            Self::Sent(sent) => web_edge::trace_id(sent).map(str::to_owned),
            Self::Own(own) => own.map(|own| own.to_string()),
        }
    }

    /// Names a trace of ours to the caller, who knows his own.
    fn write(&self, headers: &mut HeaderMap) {
        if let Self::Own(Some(own)) = self
            && let Ok(value) = own.traceparent(Chance::system().bits() | 1).parse()
        {
            headers.insert(TRACEPARENT, value);
        }
    }
}

/// A call under way. One that is dropped was left by its caller: CANCELLED, by HTTP 499.
pub(super) struct Call {
    /// None once it is accounted for.
    accounts: Option<Accounts>,
    method: Arc<str>,
    since: Instant,
    caller: Option<Caller>,
    trace: Trace,
    /// Where it was by HTTP, which is accounted for outside: as its caller sees it.
    note: Option<Arc<Note>>,
    /// What the call of gRPC says that is behind one by HTTP, whose stream has begun.
    behind: Option<Arc<Note>>,
    /// The route that it came by.
    route: Option<RouteOf>,
    /// The order that it is about.
    about: About,
    /// The status of HTTP; zero for gRPC.
    status: u16,
    /// Its span, where traces are kept.
    span: Span,
    meter: Meter,
}

impl Call {
    /// It is of this caller.
    pub(super) fn is_of(&mut self, caller: Option<Caller>) {
        if let Some(note) = &self.note {
            let _ = note.method.set(Arc::clone(&self.method));
            if let Some(caller) = caller {
                let _ = note.caller.set(caller);
            }
        } else {
            self.caller = caller;
        }
    }

    /// Accounts for a call that is refused before anything is done.
    pub(super) fn refused(mut self, status: Status) -> Status {
        let mut head = Response::new(());
        if status.add_header(head.headers_mut()).is_ok() {
            self.head(head.headers_mut());
        }
        let Some(trace) = head.headers().get(TRACEPARENT).cloned() else { return status };
        let mut status = status;
        if let Ok(text) = trace.to_str().unwrap_or_default().parse() {
            status.metadata_mut().insert(TRACEPARENT, text);
        }
        status
    }

    /// Accounts for an answer of gRPC: now, or when its body has ended.
    pub(super) fn answered(mut self, mut answer: Response<Body>, many: bool) -> Response<Body> {
        self.head(answer.headers_mut());
        if many {
            // A stream may last for days: its span is that of its beginning.
            self.span = Span::none();
            self.meter.streams();
        }
        let all = self.accounts.as_ref().is_some_and(|it| it.0.log == AccessLog::All);
        match self.accounts.is_some() && (many || all) {
            true => answer.map(|body| Body::new(Tracked::new(body, self))),
            false => {
                self.accounts = None;
                self.meter.ended(false);
                answer
            }
        }
    }

    /// Accounts for it if its status is among the headers.
    fn head(&mut self, headers: &mut HeaderMap) {
        self.meter.saw(headers);
        let Some(reason) = reason_of(headers) else { return };
        traced::refused(&mut self.span, headers, reason);
        if let Some(note) = &self.note {
            let _ = note.reason.set(reason);
            self.accounts = None;
            return;
        }
        self.trace = std::mem::replace(&mut self.trace, Trace::Own(None)).made();
        self.trace.write(headers);
        self.end(Some(reason));
    }

    /// Accounts for it: refused for a reason, or done.
    fn end(&mut self, reason: Option<&'static str>) {
        // By HTTP a stream says in its last item that it did not end well.
        let said = || self.behind.as_ref().and_then(|note| note.reason.get().copied());
        let reason = reason.or_else(said);
        self.meter.ended(reason.is_some());
        let Some(accounts) = self.accounts.take() else { return };
        if let Some(note) = &self.note {
            if let Some(reason) = reason {
                let _ = note.reason.set(reason);
            }
            return;
        }
        if let Some(reason) = reason {
            accounts.count(&self.method, reason);
        }
        let asked = match accounts.0.log {
            AccessLog::Off => false,
            AccessLog::Refusals => reason.is_some(),
            AccessLog::All => true,
        };
        if let Some(lines) = accounts.0.lines.as_ref().filter(|_| asked) {
            lines.write(self.line(reason.unwrap_or("OK")), accounts.0.log);
        }
    }

    fn line(&mut self, outcome: &'static str) -> Line {
        Line {
            method: Arc::clone(&self.method),
            outcome,
            route: self.route.take(),
            http: self.status,
            took: self.since.elapsed(),
            caller: self.caller.take(),
            trace: self.trace.id(),
            order: self.about.order(),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(accounts) = self.accounts.take().filter(|_| self.note.is_none()) else { return };
        if let Some(lines) = accounts.0.lines.as_ref().filter(|_| accounts.0.log == AccessLog::All)
        {
            self.status = if self.status == 0 { 0 } else { 499 };
            lines.write(self.line(Reason::Cancelled.code()), accounts.0.log);
        }
    }
}

/// Why a call was refused, if these headers or trailers say that it was.
fn reason_of(headers: &HeaderMap) -> Option<&'static str> {
    headers.get(Status::GRPC_STATUS).filter(|code| code.as_bytes() != b"0")?;
    let status = Status::from_header_map(headers)?;
    Some(service_edge::reason_of(&status).unwrap_or(Reason::Internal).code())
}
