//! Which fields callers by HTTP say or read in a header, as the protos say beside them
//! (ordinal/policy/v1/policy.proto).
//! Never here: names of fields.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};

/// The option beside a field.
const OPTION: &str = "ordinal.policy.v1.http_field";

/// The header that a field is; numbered as in the proto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Identifies repeats.
    IdempotencyKey = 1,
    /// The version that a request requires.
    IfMatch = 2,
    /// The version of the message that has the field.
    Etag = 3,
}

/// The field of a message that is this header: one of its own, or one of a message in it.
pub(super) fn field_of(
    message: &MessageDescriptor,
    header: Header,
) -> Option<Vec<FieldDescriptor>> {
    let own = |message: &MessageDescriptor| message.fields().find(|field| is(field, header));
    if let Some(field) = own(message) {
        return Some(vec![field]);
    }
    message.fields().filter(|field| !field.is_list()).find_map(|above| {
        let kind = above.kind();
        let field = own(kind.as_message()?)?;
        Some(vec![above, field])
    })
}

/// Of the version of a message: whether everything is the same where it is the same, and the list
/// beside it that makes it none where it has entries.
pub(super) fn version(field: &FieldDescriptor) -> (bool, Option<FieldDescriptor>) {
    let Some(option) = option(field) else { return (false, None) };
    let value = |name: &str| option.get_field_by_name(name);
    let whole = value("whole").and_then(|value| value.as_bool()) == Some(true);
    let unless = value("unless").and_then(|value| value.as_str().map(str::to_owned));
    (whole, unless.and_then(|name| field.parent_message().get_field_by_name(&name)))
}

fn is(field: &FieldDescriptor, header: Header) -> bool {
    let Some(option) = option(field) else { return false };
    let number = option.get_field_by_name("header").and_then(|value| value.as_enum_number());
    number == Some(header as i32)
}

fn option(field: &FieldDescriptor) -> Option<DynamicMessage> {
    let option = field.parent_pool().get_extension_by_name(OPTION)?;
    let options = field.options();
    let value = options.has_extension(&option).then(|| options.get_extension(&option))?;
    value.as_message().cloned()
}
