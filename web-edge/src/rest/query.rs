use percent_encoding::percent_decode_str;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::cursor::Cursor;
use super::json;
use super::rpc::is_position;
use crate::problem::Problem;

/// Parameters of one address.
const PARAMETERS_MAX: usize = 1_024;
/// The fields of a field of this name may be given without it: `?statuses=PENDING`.
const FILTER: &str = "filter";

/// Names and values of a query, decoded.
pub(crate) fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let parts: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
    if parts.len() > PARAMETERS_MAX {
        let detail = format!("an address has at most {PARAMETERS_MAX} parameters");
        return Err(Problem::field("", &detail));
    }
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text).decode_utf8();
        decoded.map(std::borrow::Cow::into_owned)
    };
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let wrong = |_| Problem::field("", "a parameter is not UTF-8 when decoded");
        Ok((decoded(name).map_err(wrong)?, decoded(value).map_err(wrong)?))
    };
    parts.into_iter().map(pair).collect()
}

/// The parameters as the JSON of a message. Fields that the path has are not parameters.
pub(crate) fn read(
    message: &MessageDescriptor,
    in_path: &[FieldDescriptor],
    pairs: Vec<(String, String)>,
) -> Result<Value, Problem> {
    let mut json = Map::new();
    for (name, value) in pairs {
        let place = resolve(message, &name)
            .filter(|place| place.first().is_some_and(|field| !in_path.contains(field)));
        let Some(place) = place else {
            let known = names(message, in_path);
            return Err(Problem::field(&name, &json::unknown("query parameter", &name, &known)));
        };
        put(&mut json, &place, &name, value)?;
    }
    Ok(Value::Object(json))
}

/// What can be given.
fn names(message: &MessageDescriptor, in_path: &[FieldDescriptor]) -> Vec<String> {
    let fields = message.fields().filter(|field| !in_path.contains(field));
    let inner = message.get_field_by_name(FILTER).map(|field| field.kind());
    let inner = inner.as_ref().and_then(Kind::as_message).cloned();
    let of_filter = inner.into_iter().flat_map(|inner| {
        let names: Vec<String> = inner.fields().map(|field| field.name().to_owned()).collect();
        names
    });
    let own = fields.filter(|field| field.name() != FILTER).map(|field| field.name().to_owned());
    own.chain(of_filter).collect()
}

/// The fields that a name such as `filter.customer_id` means.
fn resolve(message: &MessageDescriptor, name: &str) -> Option<Vec<FieldDescriptor>> {
    let inside = |message: &MessageDescriptor| {
        let (mut message, mut place) = (message.clone(), Vec::new());
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            let field =
                message.get_field_by_name(part).or_else(|| message.get_field_by_json_name(part))?;
            if parts.peek().is_some() {
                let kind = field.kind();
                message =
                    kind.as_message().filter(|_| !field.is_list() && !field.is_map())?.clone();
            }
            place.push(field);
        }
        Some(place)
    };
    inside(message).or_else(|| {
        let filter = message.get_field_by_name(FILTER)?;
        let mut place = inside(filter.kind().as_message()?)?;
        place.insert(0, filter);
        Some(place)
    })
}

fn put(
    json: &mut Map<String, Value>,
    place: &[FieldDescriptor],
    name: &str,
    value: String,
) -> Result<(), Problem> {
    let Some((field, below)) = place.split_first() else { return Ok(()) };
    let wrong = |what: &str| Err(Problem::field(name, what));
    if !below.is_empty() {
        let inner = json.entry(field.name()).or_insert_with(|| Value::Object(Map::new()));
        return match inner.as_object_mut() {
            Some(inner) => put(inner, below, name, value),
            None => wrong("given twice, in two ways"),
        };
    }
    let others = field
        .containing_oneof()
        .into_iter()
        .flat_map(|oneof| oneof.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>());
    if let Some(other) =
        others.into_iter().find(|other| other != field.name() && json.contains_key(other))
    {
        return wrong(&format!("not together with {other}"));
    }
    let values = values(field, value).map_err(|what| Problem::field(name, &what))?;
    if field.is_list() {
        let list = json.entry(field.name()).or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            list.extend(values);
        }
        return Ok(());
    }
    match (values.len(), json.contains_key(field.name())) {
        (1, false) => json.extend(values.into_iter().map(|value| (field.name().to_owned(), value))),
        (_, true) => return wrong("given twice, and takes one value"),
        _ => return wrong("takes one position, `SHARD:POSITION`"),
    }
    Ok(())
}

/// The JSON of a parameter's value: one, or several positions of a cursor.
fn values(field: &FieldDescriptor, text: String) -> Result<Vec<Value>, String> {
    let kind = field.kind();
    if let Some(message) = kind.as_message()
        && is_position(message)
    {
        return Cursor::read(&text).map(|cursor| cursor.to_json());
    }
    if field.is_map() || !json::is_text_in_json(&kind) {
        return Err("takes more than a text: it cannot be given in an address".to_owned());
    }
    let value = match &kind {
        Kind::Bool => match text.as_str() {
            "true" | "1" => Value::Bool(true),
            "false" | "0" => Value::Bool(false),
            _ => return Err("not true or false".to_owned()),
        },
        Kind::Enum(names) => Value::String(json::enum_value(names, &text)?),
        _ => Value::String(text),
    };
    Ok(vec![value])
}
