//! The version of what is answered (`ETag`), and the one that a command requires (`If-Match`):
//! a text that changes with every change, or of stock the units on hand.

use http::HeaderValue;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::rpc::{Place, place, set_at, value_at};
use crate::problem::Problem;

/// Where a request says which version it requires.
pub(super) fn required(input: &MessageDescriptor) -> Option<Place> {
    place(input, &["options", "etag"]).or_else(|| place(input, &["expected_on_hand"]))
}

/// Where an answer about one thing has its version.
pub(super) fn answered(output: &MessageDescriptor) -> Option<Place> {
    let is_list = output.get_field_by_name("next_page_token").is_some();
    let stock = || place(output, &["stock", "on_hand"]).filter(|_| !is_list);
    place(output, &["order", "etag"]).or_else(stock)
}

/// Whether the version there changes with every change: units on hand say nothing of what is reserved.
pub(super) fn is_whole(place: &[FieldDescriptor]) -> bool {
    place.last().is_some_and(|field| matches!(field.kind(), Kind::String))
}

/// The version of an answer.
pub(super) struct Version {
    pub(super) etag: HeaderValue,
    /// Whether what is answered is the same where the version is.
    pub(super) is_whole: bool,
}

impl Version {
    /// The version there, if there is one. The sum over locations is that of no location.
    pub(super) fn of(message: &DynamicMessage, place: &[FieldDescriptor]) -> Option<Self> {
        let text = match value_at(message, place)? {
            Value::String(text) => text,
            Value::I64(units) if is_in_one_place(message, place) => units.to_string(),
            _ => return None,
        };
        let etag = HeaderValue::from_str(&format!("\"{text}\"")).ok()?;
        (!text.is_empty()).then_some(Self { etag, is_whole: is_whole(place) })
    }
}

/// Whether units are not spread over locations.
fn is_in_one_place(message: &DynamicMessage, place: &[FieldDescriptor]) -> bool {
    let stock = place.first().map(|field| message.get_field(field));
    let stock = stock.as_deref().and_then(Value::as_message);
    let locations = stock.and_then(|stock| stock.get_field_by_name("locations"));
    locations.is_some_and(|locations| locations.as_list().is_some_and(<[Value]>::is_empty))
}

/// Requires the version that `If-Match` names.
pub(super) fn require(
    message: &mut DynamicMessage,
    place: &[FieldDescriptor],
    header: &str,
) -> Result<(), Problem> {
    let refused = |what: &str| Err(Problem::field("If-Match", what));
    let inside = header.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inside) = inside.filter(|inside| !inside.is_empty() && !inside.contains('"')) else {
        return refused("one version in quotes, as ETag has it, such as \"3\"");
    };
    let wanted = match place.last().map(FieldDescriptor::kind) {
        Some(Kind::Int64) => match inside.parse() {
            Ok(units) => Value::I64(units),
            Err(_) => return refused("the units on hand in quotes, as ETag has them"),
        },
        _ => Value::String(inside.to_owned()),
    };
    let given = value_at(message, place);
    if given.is_some_and(|given| given.as_str() != Some("") && given != wanted) {
        return refused("the body requires another version: send one of the two");
    }
    set_at(message, place, wanted);
    Ok(())
}
