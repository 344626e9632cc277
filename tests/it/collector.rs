//! A collector of spans: it takes OTLP over HTTP or over gRPC as any other would, and keeps what it
//! took.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::support::PATIENCE;

/// A span as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The name of the process.
    pub service: String,
    pub name: String,
    pub kind: SpanKind,
    pub trace: String,
    pub span: String,
    pub parent: String,
    /// Trace and span of each link.
    pub links: Vec<(String, String)>,
    pub attributes: BTreeMap<String, String>,
    pub failed: Option<String>,
    pub began: u64,
    pub ended: u64,
}

/// What a collector does with what it gets.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Takes,
    /// Accepts connections and never answers.
    Frozen,
}

/// A collector on a port of its own.
pub struct Collector {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Requests as they came, with their heads.
    raw: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    pub fn start() -> Self {
        Self::with(Manner::Takes)
    }

    pub fn frozen() -> Self {
        Self::with(Manner::Frozen)
    }

    /// On a port that was known before.
    pub fn on(port: u16) -> Self {
        Self::listening(TcpListener::bind(("127.0.0.1", port)).unwrap(), Manner::Takes)
    }

    /// One that takes OTLP over gRPC, on a port that was known before, or on any (0).
    pub fn grpc(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, raw) = (Arc::default(), Arc::default());
        let taking = Taking { seen: Arc::clone(&seen), raw: Arc::clone(&raw) };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let incoming = tokio::net::TcpListener::from_std(listener).unwrap();
                tonic::transport::Server::builder()
                    .add_service(TraceServiceServer::new(taking))
                    .serve_with_incoming(TcpListenerStream::new(incoming))
                    .await
                    .unwrap();
            });
        });
        Self { port, seen, raw }
    }

    fn with(manner: Manner) -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").unwrap(), manner)
    }

    fn listening(listener: TcpListener, manner: Manner) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (seen, raw) = (Arc::default(), Arc::default());
        let collector = Self { port, seen: Arc::clone(&seen), raw: Arc::clone(&raw) };
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().flatten() {
                if manner == Manner::Frozen {
                    kept.push(stream);
                    continue;
                }
                let (seen, raw) = (Arc::clone(&seen), Arc::clone(&raw));
                std::thread::spawn(move || answer(&stream, &seen, &raw));
            }
        });
        collector
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Everything that came, as bytes.
    pub fn raw(&self) -> Vec<u8> {
        self.raw.lock().unwrap().clone()
    }

    /// The spans, once they are as they must be.
    pub fn until(&self, expected: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let seen = self.seen();
            if expected(&seen) {
                return seen;
            }
            assert!(Instant::now() < patience, "{}", drawn(&seen));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What takes spans by gRPC.
struct Taking {
    seen: Arc<Mutex<Vec<Seen>>>,
    raw: Arc<Mutex<Vec<u8>>>,
}

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let head = format!("{:?}", metadata.into_headers());
        let body = request.encode_to_vec();
        self.raw.lock().unwrap().extend([head.as_bytes(), &body].concat());
        self.seen.lock().unwrap().extend(spans(request));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Answers the requests of a connection.
fn answer(stream: &TcpStream, seen: &Mutex<Vec<Seen>>, raw: &Mutex<Vec<u8>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (reader.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
        });
        let mut body = vec![0; length?];
        reader.read_exact(&mut body).ok()?;
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        raw.lock().unwrap().extend([head.as_bytes(), &body].concat());
        seen.lock().unwrap().extend(spans(request));
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        (&*stream).write_all(answer.as_bytes()).ok()?;
    }
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Seen> {
    let mut all = Vec::new();
    for of_process in request.resource_spans {
        let resource = texts(&of_process.resource.unwrap_or_default().attributes);
        let service = resource["service.name"].clone();
        for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let kind = span.kind();
            let status = span.status.unwrap_or_default();
            all.push(Seen {
                service: service.clone(),
                kind,
                name: span.name,
                trace: hex::encode(span.trace_id),
                span: hex::encode(span.span_id),
                parent: hex::encode(span.parent_span_id),
                links: span
                    .links
                    .iter()
                    .map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id)))
                    .collect(),
                attributes: texts(&span.attributes),
                failed: (status.code == StatusCode::Error as i32).then_some(status.message),
                began: span.start_time_unix_nano,
                ended: span.end_time_unix_nano,
            });
        }
    }
    all
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|it| it.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|it| (it.key.clone(), text(&it.value))).collect()
}

/// Traces as trees, a span a line: what caused it is above it and less indented.
pub fn drawn(spans: &[Seen]) -> String {
    let is_known = |id: &str| spans.iter().any(|span| span.span == id);
    let mut text = String::new();
    let mut roots: Vec<&Seen> = spans.iter().filter(|span| !is_known(&span.parent)).collect();
    roots.sort_by_key(|span| span.began);
    for root in roots {
        draw(root, spans, 0, &mut text);
    }
    text
}

fn draw(span: &Seen, spans: &[Seen], depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let follower = span.attributes.get("ordinal.follower");
    let follower = follower.map(|name| format!(" by {name}")).unwrap_or_default();
    let failed = span.failed.as_ref().map(|why| format!(" failed: {why}")).unwrap_or_default();
    text.push_str(&format!("{indent}{}{follower} ({}){failed}\n", span.name, span.service));
    let mut caused: Vec<&Seen> = spans.iter().filter(|it| it.parent == span.span).collect();
    caused.sort_by_key(|it| (&it.name, it.attributes.get("ordinal.follower")));
    for span in caused {
        draw(span, spans, depth + 1, text);
    }
}
