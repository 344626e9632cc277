//! The answers of an operation, by their statuses.

use prost_reflect::MethodDescriptor;
use web_edge::Route;

use crate::errors::{self, Has};
use crate::json::{Object, reference};
use crate::schema::Schemas;

/// Every answer of a route. `id` is the name of the operation.
pub(crate) fn answers(schemas: &mut Schemas<'_>, route: &Route, has: Has, id: &str) -> Object {
    let method = route.descriptor();
    let answer = schemas.message(&method.output());
    let mut all = Object::new();
    if method.is_server_streaming() {
        all.set("200", stream(schemas, id, answer, has.cursor));
    } else if route.creates() && !method.is_client_streaming() {
        let text = "It was there already, or `validate_only` was set: nothing was made.";
        all.set("200", success(method, text, answer.clone(), has, false));
        let location = route.created_at().is_some();
        all.set("201", success(method, "It was made.", answer.clone(), has, location));
        if let Some(said) = route.accepted_while() {
            let text = format!("It is taken, and not complete yet: {said}.");
            all.set("202", success(method, &text, answer, has, location));
        }
    } else {
        all.set("200", success(method, "Done.", answer, has, false));
    }
    if has.whole && !has.body {
        let text = "The order is still the one of `If-None-Match`.";
        all.set("304", Object::new().with("description", text));
    }
    for (status, refusal) in errors::of_route(has) {
        all.set(status, refusal);
    }
    all
}

fn success(
    method: &MethodDescriptor,
    text: &str,
    answer: Object,
    has: Has,
    location: bool,
) -> Object {
    let replays = method.output().get_field_by_name("replayed").is_some();
    let mut headers = Object::new();
    for (name, applies) in
        [("ETag", has.etag), ("Location", location), ("Ordinal-Replayed", replays)]
    {
        if applies {
            headers.set(name, reference("headers", name));
        }
    }
    let mut response = Object::new().with("description", text);
    if !headers.is_empty() {
        response.set("headers", headers);
    }
    let content = Object::new().with("schema", answer);
    response.with("content", Object::new().with("application/json", content))
}

/// A stream: items, and a last one that says how it ended.
fn stream(schemas: &mut Schemas<'_>, id: &str, item: Object, has_cursor: bool) -> Object {
    let cursor = "Where the stream goes on: `after` or `Last-Event-ID` of a later request.";
    let cursor = Object::new().with("type", "string").with("description", cursor);
    let with_cursor = |properties: Object| {
        if has_cursor { properties.with("cursor", cursor.clone()) } else { properties }
    };
    let object = |properties: Object| {
        Object::new().with("type", "object").with("properties", with_cursor(properties))
    };
    let last = |name: &str, schema: Object| {
        object(Object::new().with(name, schema)).with("required", vec![name])
    };
    let of_item = if has_cursor {
        Object::new().with("allOf", vec![item.clone(), object(Object::new())])
    } else {
        item.clone()
    };
    let end = Object::new().with("type", "object").with("description", "It is complete.");
    let problem = reference("schemas", "Problem").with("description", "It broke off.");
    let line = Object::new()
        .with("description", format!("A line of {id}: an item, or how the stream ended."))
        .with("anyOf", vec![of_item, last("end", end), last("problem", problem)]);
    let name = format!("{id}Line");
    schemas.add(&name, line);
    let ndjson = "An item in each line. The last one is `end` or `problem`: a stream without it \
        was cut.";
    let events = "Events: `data` is an item, `id` the cursor, `event` the field of the item. The \
        last one is `end` or `problem`.";
    let content = Object::new()
        .with("application/x-ndjson", lines(ndjson, reference("schemas", &name)))
        .with("text/event-stream", lines(events, item));
    Object::new().with("description", "The items, as they come.").with("content", content)
}

/// The content of a stream: text of which each line is JSON.
pub(crate) fn lines(text: &str, of: Object) -> Object {
    let schema = Object::new()
        .with("type", "string")
        .with("description", text)
        .with("contentMediaType", "application/json")
        .with("contentSchema", of);
    Object::new().with("schema", schema)
}
