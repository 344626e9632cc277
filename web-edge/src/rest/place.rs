//! Fields of messages by the names above them, and the values there.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};

/// Fields from a message down to one of its values.
pub(crate) type Place = Vec<FieldDescriptor>;

/// The fields of these names, one in the other.
pub(crate) fn place(message: &MessageDescriptor, names: &[&str]) -> Option<Place> {
    let (first, rest) = names.split_first()?;
    let field = message.get_field_by_name(first).filter(|field| !field.is_list())?;
    if rest.is_empty() {
        return Some(vec![field]);
    }
    let mut below = place(field.kind().as_message()?, rest)?;
    below.insert(0, field);
    Some(below)
}

/// The value there, if it is set.
pub(crate) fn value_at(message: &DynamicMessage, place: &[FieldDescriptor]) -> Option<Value> {
    let (first, rest) = place.split_first()?;
    if first.supports_presence() && !message.has_field(first) {
        return None;
    }
    let value = message.get_field(first);
    match value.as_message() {
        Some(inner) if !rest.is_empty() => value_at(inner, rest),
        _ if rest.is_empty() => Some(value.into_owned()),
        _ => None,
    }
}

/// Sets the value there.
pub(crate) fn set_at(message: &mut DynamicMessage, place: &[FieldDescriptor], value: Value) {
    let Some((first, rest)) = place.split_first() else { return };
    if rest.is_empty() {
        message.set_field(first, value);
    } else if let Some(inner) = message.get_field_mut(first).as_message_mut() {
        set_at(inner, rest, value);
    }
}
