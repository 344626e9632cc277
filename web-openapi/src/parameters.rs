//! Parameters of a route: the fields in its path, and the fields that are in the query.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use web_edge::{Route, is_position};

use crate::json::{Json, Object};
use crate::schema::Schemas;
use crate::well_known;

/// Fields of fields of fields: deeper ones are not named in a query.
const DEPTH_MAX: usize = 3;
/// The fields of a field of this name are given without it: `?statuses=…`.
const FILTER: &str = "filter.";

/// Every parameter of a route, those of the path first.
pub(crate) fn parameters(schemas: &mut Schemas<'_>, route: &Route) -> Vec<Json> {
    let mut all = Vec::new();
    for field in route.path_fields() {
        let one = parameter(schemas, field.name(), field, "path").with("required", true);
        all.push(one.into());
    }
    if route.has_body() {
        return all;
    }
    for (name, field) in in_query(&route.descriptor().input(), "", 1) {
        if route.path_fields().iter().any(|in_path| in_path.name() == name) {
            continue;
        }
        let is_required = schemas.is_required(&field) && !name.contains('.');
        let name = name.strip_prefix(FILTER).unwrap_or(&name);
        let mut one = parameter(schemas, name, &field, "query");
        if is_required {
            one.set("required", true);
        }
        all.push(one.into());
    }
    all
}

/// The fields that a query can have, by their paths: values, lists of values, and positions.
fn in_query(
    message: &MessageDescriptor,
    prefix: &str,
    depth: usize,
) -> Vec<(String, FieldDescriptor)> {
    let mut found = Vec::new();
    for field in message.fields().filter(|field| !field.is_map()) {
        let name = format!("{prefix}{}", field.name());
        match field.kind() {
            Kind::Message(inner) if is_object(&inner) && !is_position(&inner) => {
                if !field.is_list() && depth < DEPTH_MAX {
                    found.extend(in_query(&inner, &format!("{name}."), depth + 1));
                }
            }
            Kind::Bytes => {}
            _ => found.push((name, field)),
        }
    }
    found
}

fn is_object(message: &MessageDescriptor) -> bool {
    well_known::schema(message.full_name()).is_none()
}

fn parameter(
    schemas: &mut Schemas<'_>,
    name: &str,
    field: &FieldDescriptor,
    place: &str,
) -> Object {
    let mut comment = schemas.described(field);
    let position = match field.kind() {
        Kind::Message(message) => is_position(&message),
        _ => false,
    };
    let schema = if position {
        let also = if field.is_list() { ", or the cursor that a stream gave" } else { "" };
        comment.push_str(&format!(" As `SHARD:POSITION`{also}."));
        well_known::position(field.is_list())
    } else {
        given(schemas, field, &comment)
    };
    Object::new()
        .with("name", name)
        .with("in", place)
        .with_text("description", comment.trim())
        .with("schema", schema)
}

/// The schema of a value in an address.
fn given(schemas: &mut Schemas<'_>, field: &FieldDescriptor, comment: &str) -> Object {
    let mut schema = schemas.bare(field);
    // Ids are UUIDs where their comments say so. In a body an empty text stands for none; from an
    // address the parameter is left out.
    if matches!(field.kind(), Kind::String) && !field.is_list() {
        if comment.contains("a UUID") {
            schema.set("format", "uuid");
        } else {
            schema.set("minLength", 1);
        }
    }
    schema
}
