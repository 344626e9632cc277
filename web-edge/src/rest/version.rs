//! The version of what is answered (`ETag`), and the one that a command requires (`If-Match`): a
//! text that changes with every change, or a number that changes with some.
//! Never here: names of fields; the protos say which they are.

use http::HeaderValue;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::place::{Place, set_at, value_at};
use super::said::{self, Header};
use crate::problem::Problem;

/// Where a request says which version it requires.
pub(super) fn required(input: &MessageDescriptor) -> Option<Place> {
    said::field_of(input, Header::IfMatch)
}

/// Where an answer about one thing has its version.
pub(crate) struct Answered {
    place: Place,
    /// Whether the version changes with every change.
    pub(crate) whole: bool,
    /// A list beside it; where it has entries, there is no version.
    unless: Option<Place>,
}

impl Answered {
    /// In answers of this kind; none in those about many things.
    pub(super) fn of(output: &MessageDescriptor) -> Option<Self> {
        if output.get_field_by_name("next_page_token").is_some() {
            return None;
        }
        let place = said::field_of(output, Header::Etag)?;
        let (field, above) = place.split_last()?;
        let (whole, unless) = said::version(field);
        let unless = unless.map(|list| [above, &[list]].concat());
        Some(Self { place, whole, unless })
    }

    /// Whether this answer has none.
    fn is_none_in(&self, message: &DynamicMessage) -> bool {
        let list = self.unless.as_ref().and_then(|list| value_at(message, list));
        list.is_some_and(|list| list.as_list().is_some_and(|list| !list.is_empty()))
    }
}

/// The version of an answer.
pub(super) struct Version {
    pub(super) etag: HeaderValue,
    /// Whether what is answered is the same where the version is.
    pub(super) is_whole: bool,
}

impl Version {
    /// The version there, if there is one.
    pub(super) fn of(message: &DynamicMessage, answered: &Answered) -> Option<Self> {
        let text = match value_at(message, &answered.place)? {
            _ if answered.is_none_in(message) => return None,
            Value::String(text) => text,
            Value::I64(number) => number.to_string(),
            _ => return None,
        };
        let etag = HeaderValue::from_str(&format!("\"{text}\"")).ok()?;
        (!text.is_empty()).then_some(Self { etag, is_whole: answered.whole })
    }
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
            Ok(number) => Value::I64(number),
            Err(_) => return refused("a whole number in quotes, as ETag has it"),
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
