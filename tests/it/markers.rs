//! What callers write is in no line of the log, no span and no metric, and no refusal repeats it:
//! every text of every request, by gRPC and by HTTP, made from the descriptors.

use std::fs;
use std::time::Duration;

use ordinal::client::{Client, Connection, Failure};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use web_edge::{Route, Routes};

use crate::collector::Collector;
use crate::http::{Answer, Http};
use crate::limits::Limited;
use crate::logs::assert_says_nothing;
use crate::metrics::page_of;
use crate::overload::token;
use crate::refusal_format::{around, put, texts};
use crate::support::PATIENCE;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ordinal_descriptor.bin"));

/// A word that stands nowhere else.
const MARKER: &str = "marker-7f3a";

/// Names that callers give to products, places and accounts: a refusal says which one it is about
/// (docs/reasons.md). Lines, spans and metrics have none of them.
const NAMES: [&str; 6] = ["sku", "location", "name", "account", "debit", "credit"];

/// Whether a field holds such a name.
fn is_name(field: &str) -> bool {
    let last = field.rsplit('.').next().unwrap_or(field);
    NAMES.contains(&last.trim_end_matches("[0]"))
}

/// A text with the word, of the form that a field of this name has.
fn marked(field: &str) -> String {
    match field {
        _ if field.ends_with("email") => format!("{MARKER}@example.com"),
        _ if field.ends_with("url") => format!("https://example.com/{MARKER}"),
        _ => MARKER.to_owned(),
    }
}

/// One caller, by both protocols.
struct Caller {
    grpc: Client,
    bearer: String,
    address: String,
}

impl Caller {
    async fn new(address: &str, role: &str, subject: &str) -> Self {
        let token = token(role, subject);
        let bearer = format!("Bearer {token}");
        let connection = Connection {
            address: Some(address.to_owned()),
            caller: None,
            token: Some(token),
            ca: None,
            cert: None,
            cert_key: None,
            timeout: Duration::from_secs(30),
        };
        let grpc = Client::connect(&connection).await.unwrap();
        Self { grpc, bearer, address: address.to_owned() }
    }

    /// What a refusal by gRPC says: its message, its details and its metadata.
    async fn by_grpc(&self, route: &Route, request: Value) -> Option<String> {
        let method = route.descriptor();
        let name = route.rpc().trim_start_matches("/ordinal.");
        let answer = match method.is_server_streaming() {
            true => self.grpc.stream(name, request).await.map(drop),
            false => self.grpc.call(name, request).await.map(drop),
        };
        match answer {
            Ok(()) => None,
            Err(Failure::Status(status)) => Some(format!(
                "{} {} {:?}",
                status.message(),
                String::from_utf8_lossy(status.details()),
                status.metadata()
            )),
            Err(other) => panic!("{name}: {other}"),
        }
    }

    /// What a refusal by HTTP says: its headers and its problem, but the address that it names,
    /// which is the caller's own.
    async fn by_http(&self, route: &Route, request: &Value) -> Option<String> {
        let (line, body) = asked(route, request);
        let mut http = Http::connect(&self.address).await;
        let method = route.descriptor();
        let mut headers = vec![("authorization", self.bearer.as_str())];
        if method.is_client_streaming() {
            headers.push(("content-type", "application/x-ndjson"));
        } else if method.is_server_streaming() {
            headers.push(("accept", "text/event-stream"));
        }
        let answer = match body {
            Some(body) => http.text(&line, &headers, &format!("{body}\n")).await,
            None => {
                http.head(&line, &headers).await;
                let answer = http.answered().await;
                // One that goes on is left.
                if answer.status < 400 {
                    return None;
                }
                http.rest(answer).await
            }
        };
        let Answer { status, headers, text } = answer;
        // A refused command of a stream is an item of it.
        if status < 400 && !method.is_client_streaming() {
            return None;
        }
        let text = match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(mut problem)) => {
                problem.remove("instance");
                Value::Object(problem).to_string()
            }
            _ => text,
        };
        Some(format!("{headers:?} {text}"))
    }
}

/// The request line and the body of a request by HTTP: as its route has it, fields are in the path,
/// in the body or parameters.
fn asked(route: &Route, request: &Value) -> (String, Option<Value>) {
    let mut rest = request.clone();
    let mut path = route.template().to_owned();
    for field in route.path_fields() {
        let value = rest.as_object_mut().unwrap().remove(field.name()).unwrap_or(json!("1"));
        let value = value.as_str().map_or(value.to_string(), str::to_owned);
        path = path.replace(&format!("{{{}}}", field.name()), &value.replace(' ', "%20"));
    }
    if route.has_body() {
        return (format!("{} {path}", route.http_method()), Some(rest));
    }
    let mut parameters = Vec::new();
    flatten("", &rest, &mut parameters);
    (format!("{} {path}?{}", route.http_method(), parameters.join("&")), None)
}

fn flatten(name: &str, value: &Value, parameters: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(&format!("{name}{dot}{field}"), value, parameters);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(name, item, parameters)),
        Value::String(text) => parameters.push(format!("{name}={}", text.replace(' ', "%20"))),
        other => parameters.push(format!("{name}={other}")),
    }
}

/// The requests of a method: one for each text, and one that is all right but for its texts.
fn requests(input: &MessageDescriptor) -> Vec<(String, Value)> {
    let mut all = around(input);
    let mut found = Vec::new();
    // Of alternatives (oneof) a request has one.
    let is_one = |it: &Value| DynamicMessage::deserialize(input.clone(), it).is_ok();
    for (field, steps) in texts(input) {
        let mut request = around(input);
        put(&mut request, &steps, &json!(marked(&field)));
        if !is_one(&request) {
            let (name, is_list) = &steps[0];
            request[name] = if *is_list { json!([{}]) } else { json!({}) };
            put(&mut request, &steps, &json!(marked(&field)));
        }
        let is_id = steps.iter().any(|(name, _)| name.ends_with("_id") || name == "key");
        if !is_id && !is_name(&field) {
            let mut more = all.clone();
            put(&mut more, &steps, &json!(marked(&field)));
            if is_one(&more) {
                all = more;
            }
        }
        found.push((field, request));
    }
    found.push(("all texts".to_owned(), all));
    found
}

/// T12, for every text of every request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_of_any_request_is_in_a_log_a_span_a_metric_or_a_refusal() {
    let (folder, collector) = (TempDir::new().unwrap(), Collector::start());
    let (log, url) = (folder.path().join("log"), collector.url());
    let flags = [
        "--otlp-endpoint",
        &url,
        "--metrics-listen",
        "127.0.0.1:0",
        "--access-log",
        "all",
        "--rate-limit",
        "OPS=off,SERVICE=off",
    ];
    let shop = Limited::started(&[], &flags, Some(("trace", &log)));
    let address = &shop.engine.address;
    let callers =
        [Caller::new(address, "OPS", "anna").await, Caller::new(address, "SERVICE", "shop").await];
    let routes = Routes::new([DESCRIPTORS], |name| name.starts_with("ordinal.")).unwrap();
    let (mut sent, mut refused) = (0, 0);
    for route in routes.iter() {
        for (field, request) in requests(&route.descriptor().input()) {
            for caller in &callers {
                let what = format!("{} with {field} marked", route.template());
                let answers = async {
                    let by_grpc = match route.descriptor().is_client_streaming() {
                        false => caller.by_grpc(route, request.clone()).await,
                        true => None,
                    };
                    [by_grpc, caller.by_http(route, &request).await]
                };
                let answers = timeout(PATIENCE, answers).await;
                let answers = answers.unwrap_or_else(|_| panic!("{what}: no answer"));
                sent += 1;
                for said in answers.into_iter().flatten() {
                    refused += 1;
                    if !is_name(&field) {
                        assert_says_nothing(&what, &said, &[MARKER]);
                    }
                }
            }
        }
    }
    assert!(sent > 500 && refused > 500, "{sent} {refused}");
    assert_says_nothing("a metric", &page_of(&shop.engine).await, &[MARKER]);
    // The last spans are sent before it ends.
    assert!(shop.engine.stop().success());
    let seen = collector.seen();
    let calls = seen.iter().filter(|it| it.attributes.contains_key("rpc.method")).count();
    assert!(calls > sent, "{calls} of {sent}");
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.lines().count() > sent, "{}", said.lines().count());
    assert_says_nothing("the log", &said, &[MARKER]);
    let spans = String::from_utf8_lossy(&collector.raw()).into_owned();
    assert_says_nothing("a span", &spans, &[MARKER]);
}
