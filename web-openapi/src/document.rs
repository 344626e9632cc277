//! The document: every route that is served.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::ServiceDescriptor;
use web_edge::{Route, Routes};

use crate::DocumentError;
use crate::comments::Comments;
use crate::errors::{self, Refusal};
use crate::json::{Json, Object};
use crate::operation::{operation, operation_id, tag};
use crate::policy::{BEARER, CERTIFICATE};
use crate::schema::Schemas;

/// What a document says that the protos do not.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// The version of the program.
    pub version: &'a str,
    /// The service that comes first, by its full name; then come those of its package.
    pub first: &'a str,
    /// Bodies to begin with: a JSON object of them, by the names of operations.
    pub examples: &'a str,
    /// Every reason for which a call is refused.
    pub refusals: &'a [Refusal<'a>],
}

const INTRODUCTION: &str = "Orders, stock and messages by HTTP with JSON. Every route is a gRPC \
    call in another spelling, and the statuses and reasons in the descriptions are those of gRPC: \
    `code` of a problem is the reason.\n\n\
    - Fields have the names of the protos. Fields and query parameters that are not known are \
    refused. Answers may get fields later: ignore those that you do not know.\n\
    - 64-bit integers are text in answers; requests may also have numbers.\n\
    - In addresses values of enums may be short (`statuses=PENDING`), and a list is one parameter \
    several times.\n\
    - Instants are as RFC 3339 has them, in UTC; durations are seconds, such as `1.5s`.\n\
    - Send a command again with the same `Idempotency-Key` when its answer was lost: it is done \
    once.\n\
    - `Prefer: wait=10` waits so many seconds at most.\n\
    - Streams are lines of JSON (`application/x-ndjson`) or events (`text/event-stream`), by \
    `Accept`.";

/// The document, as JSON text for people: with line breaks, and always the same for the same
/// protos.
///
/// # Errors
///
/// If two operations have one name, a reason has a status that no response describes, or an example
/// is of no operation.
pub fn document(routes: &Routes, about: &About<'_>) -> Result<String, DocumentError> {
    if let Some((code, status)) = errors::undescribed(about.refusals).next() {
        return Err(DocumentError::Status { code: code.to_owned(), status });
    }
    let mut examples: BTreeMap<String, serde_json::Value> = serde_json::from_str(about.examples)?;
    let found = found(routes, about.first);
    let comments = Comments::of(routes.descriptors());
    let requests = found.iter().map(|route| route.descriptor().input());
    let mut schemas = Schemas::new(routes.descriptors(), &comments, requests);
    let mut paths = Object::new();
    let mut names = BTreeSet::new();
    for of_method in found.chunk_by(|one, next| one.rpc() == next.rpc()) {
        for (nth, route) in of_method.iter().enumerate() {
            let id = operation_id(route.descriptor(), nth);
            let mut operation = operation(&mut schemas, &comments, route, &id);
            if let Some(example) = examples.remove(&id) {
                show(&mut operation, example);
            }
            add(&mut paths, route, operation);
            if !names.insert(id.clone()) {
                return Err(DocumentError::Twice { operation: id });
            }
        }
    }
    if let Some(operation) = examples.keys().next().cloned() {
        return Err(DocumentError::Example { operation });
    }
    let mut components = components(about.refusals);
    let mut all = schemas.finish();
    all.set("Problem", errors::problem(about.refusals));
    components.set("schemas", all);
    let document = Object::new()
        .with("openapi", "3.1.0")
        .with("info", info(about.version))
        .with("servers", vec![Object::new().with("url", "/")])
        .with("security", [BEARER, CERTIFICATE].map(any_caller).to_vec())
        .with("tags", tags(&found, &comments))
        .with("paths", paths)
        .with("components", components);
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

/// Whoever is known by this scheme.
fn any_caller(scheme: &str) -> Object {
    Object::new().with(scheme, Json::List(Vec::new()))
}

/// Every route, by the names of services, and in the order of the protos.
fn found<'a>(routes: &'a Routes, first: &str) -> Vec<&'a Route> {
    let mut found: Vec<&Route> = routes.iter().collect();
    let package = first.rsplit_once('.').map_or("", |(package, _)| package);
    found.sort_by_cached_key(|route| {
        let service = route.descriptor().parent_service();
        let name = service.full_name().to_owned();
        (name != first, service.package_name() != package, name)
    });
    found
}

/// Shows a body to begin with.
fn show(operation: &mut Object, example: serde_json::Value) {
    let body = operation.get_mut("requestBody").and_then(|body| body.get_mut("content"));
    if let Some(Json::Object(json)) = body.and_then(|all| all.get_mut("application/json")) {
        json.set("example", example);
    }
}

/// Adds an operation to its path.
fn add(paths: &mut Object, route: &Route, operation: Object) {
    if !paths.has(route.template()) {
        paths.set(route.template(), Object::new());
    }
    if let Some(Json::Object(of_path)) = paths.get_mut(route.template()) {
        of_path.set(route.http_method().as_str().to_ascii_lowercase(), operation);
    }
}

fn info(version: &str) -> Object {
    let licence = Object::new().with("name", "Apache 2.0").with("identifier", "Apache-2.0");
    Object::new()
        .with("title", "Ordinal")
        .with("version", version)
        .with("description", INTRODUCTION)
        .with("license", licence)
}

fn tags(found: &[&Route], comments: &Comments) -> Vec<Object> {
    let mut services: Vec<&ServiceDescriptor> =
        found.iter().map(|route| route.descriptor().parent_service()).collect();
    services.dedup();
    let one = |service: &&ServiceDescriptor| {
        let about = comments.of_service(service);
        Object::new().with("name", tag(service.name())).with_text("description", about)
    };
    services.iter().map(one).collect()
}

fn components(refusals: &[Refusal<'_>]) -> Object {
    let bearer = Object::new().with("type", "http").with("scheme", "bearer").with(
        "description",
        "A token. An engine without tokens trusts callers on its own machine.",
    );
    let certificate = Object::new().with("type", "mutualTLS").with(
        "description",
        "A client certificate whose name stands for a caller, where the engine asks for one. A \
         token counts more.",
    );
    let mut headers = Object::new();
    for (name, header) in errors::header_components() {
        headers.set(name, header);
    }
    for (name, text) in [
        (
            "ETag",
            "The version of the order, for `If-Match` and `If-None-Match`; of stock that is in one \
             place the units on hand, for `If-Match`.",
        ),
        ("Location", "The path of what was made, or is being made."),
        ("Ordinal-Replayed", "`true` where an earlier call executed this request."),
    ] {
        let schema = Object::new().with("type", "string");
        headers.set(name, Object::new().with("description", text).with("schema", schema));
    }
    Object::new()
        .with("securitySchemes", Object::new().with(BEARER, bearer).with(CERTIFICATE, certificate))
        .with("parameters", shared_parameters())
        .with("headers", headers)
        .with("responses", errors::responses(refusals))
}

/// Headers of requests.
fn shared_parameters() -> Object {
    let dry_run =
        "Checks everything and changes nothing: `events` are those that would be appended.";
    let dry_run = Object::new()
        .with("name", "validate_only")
        .with("in", "query")
        .with("description", dry_run)
        .with("schema", Object::new().with("type", "boolean"));
    let mut all = Object::new().with("validate_only", dry_run);
    for (name, text, length) in [
        (
            "Idempotency-Key",
            "Names the request, so that it is done once however often it is sent. A UUID is the \
             request id of gRPC; other texts are the caller's own. Kept for ever.",
            255,
        ),
        (
            "If-Match",
            "The version that the order must have, or the units on hand: an `ETag`, in quotes.",
            64,
        ),
        ("If-None-Match", "A version that the caller has: an `ETag`, with its quotes.", 64),
        ("Last-Event-ID", "Where a stream broke off: the `id` of its last event.", 16_384),
    ] {
        let schema =
            Object::new().with("type", "string").with("minLength", 1).with("maxLength", length);
        let one = Object::new().with("name", name).with("in", "header").with("description", text);
        all.set(name, one.with("schema", schema));
    }
    all
}
