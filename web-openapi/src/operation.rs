//! A route as an operation of OpenAPI: parameters, body, and who may call it.

use prost_reflect::MethodDescriptor;
use web_edge::Route;

use crate::answers::{answers, lines};
use crate::comments::{Comments, first_sentence};
use crate::errors::Has;
use crate::json::{Json, Object, reference};
use crate::parameters::parameters;
use crate::policy;
use crate::schema::Schemas;

/// The operation of a route, under this name.
pub(crate) fn operation(
    schemas: &mut Schemas<'_>,
    comments: &Comments,
    route: &Route,
    id: &str,
) -> Object {
    let method = route.descriptor();
    let comment = comments.of_method(method);
    let has = has(route);
    let mut operation = Object::new()
        .with("operationId", id)
        .with("tags", vec![tag(method.parent_service().name())])
        .with_text("summary", first_sentence(comment))
        .with_text("description", &described(comment, method));
    let mut all = parameters(schemas, route);
    all.extend(shared(has));
    if !all.is_empty() {
        operation.set("parameters", all);
    }
    if let Some(body) = body(schemas, route, id) {
        operation.set("requestBody", body);
    }
    operation.set("responses", answers(schemas, route, has, id));
    if let Some(security) = policy::security(method) {
        operation.set("security", security);
    }
    operation
}

/// The name of an operation: that of the method, numbered where it has several routes; `nth` counts
/// them from 0.
pub(crate) fn operation_id(method: &MethodDescriptor, nth: usize) -> String {
    if nth == 0 { method.name().to_owned() } else { format!("{}{}", method.name(), nth + 1) }
}

/// The tag of a service: its name without its last word.
pub(crate) fn tag(service: &str) -> &str {
    service.strip_suffix("Service").unwrap_or(service)
}

fn described(comment: &str, method: &MethodDescriptor) -> String {
    let who = policy::in_words(method);
    let call = format!("The same call by gRPC: `{}`.", method.full_name());
    let parts = [comment, &who, &call].into_iter().filter(|text| !text.is_empty());
    parts.collect::<Vec<_>>().join("\n\n")
}

fn has(route: &Route) -> Has {
    let (method, body) = (route.descriptor(), route.has_body());
    let command = body && !method.is_client_streaming();
    let etag = route.answers_version();
    Has {
        body,
        version: command && route.requires_version(),
        key: command && route.takes_key(),
        dry_run: command && route.takes_dry_run(),
        etag: etag.is_some(),
        whole: etag == Some(true),
        cursor: route.resumes(),
    }
}

/// Parameters that several routes have.
fn shared(has: Has) -> Vec<Json> {
    [
        ("validate_only", has.dry_run),
        ("Idempotency-Key", has.key),
        ("If-Match", has.version),
        ("If-None-Match", has.whole && !has.body),
        ("Last-Event-ID", has.cursor),
    ]
    .into_iter()
    .filter(|(_, applies)| *applies)
    .map(|(name, _)| reference("parameters", name).into())
    .collect()
}

/// The fields that the path does not have.
fn body(schemas: &mut Schemas<'_>, route: &Route, id: &str) -> Option<Object> {
    if !route.has_body() {
        return None;
    }
    let (method, in_path) = (route.descriptor(), route.path_fields());
    let input = method.input();
    let mut fields = input.fields();
    let required = fields.any(|field| schemas.is_required(&field) && !in_path.contains(&field));
    let schema = schemas.body(&format!("{id}Body"), &input, in_path);
    let content = if method.is_client_streaming() {
        Object::new().with("application/x-ndjson", lines("One request in each line.", schema))
    } else {
        Object::new().with("application/json", Object::new().with("schema", schema))
    };
    Some(Object::new().with("required", required).with("content", content))
}
