//! Values that are no objects of their own fields: scalars, and messages for which protobuf's JSON
//! has a form of its own.

use prost_reflect::Kind;

use crate::json::Object;

/// Digits of a number of 64 bits.
const SIGNED: &str = "^-?[0-9]{1,19}$";
const UNSIGNED: &str = "^[0-9]{1,20}$";

/// A scalar. 64-bit integers are text, because numbers of JavaScript hold 53 bits.
pub(crate) fn scalar(kind: &Kind) -> Object {
    match kind {
        Kind::Bool => typed("boolean"),
        Kind::Double => typed("number").with("format", "double"),
        Kind::Float => typed("number").with("format", "float"),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => typed("integer").with("format", "int32"),
        Kind::Uint32 | Kind::Fixed32 => typed("integer")
            .with("format", "int64")
            .with("minimum", 0)
            .with("maximum", i64::from(u32::MAX)),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            typed("string").with("format", "int64").with("pattern", SIGNED)
        }
        Kind::Uint64 | Kind::Fixed64 => {
            typed("string").with("format", "uint64").with("pattern", UNSIGNED)
        }
        Kind::Bytes => typed("string").with("contentEncoding", "base64"),
        Kind::String | Kind::Message(_) | Kind::Enum(_) => typed("string"),
    }
}

fn typed(name: &str) -> Object {
    Object::new().with("type", name)
}

/// The schema of a message with a JSON form of its own.
pub(crate) fn schema(full_name: &str) -> Option<Object> {
    let schema = match full_name {
        "google.protobuf.Timestamp" => typed("string").with("format", "date-time"),
        "google.protobuf.Duration" => {
            typed("string").with("pattern", r"^-?[0-9]+(\.[0-9]{1,9})?s$")
        }
        "google.protobuf.FieldMask" => typed("string"),
        "google.protobuf.Any" => typed("object")
            .with("properties", Object::new().with("@type", typed("string")))
            .with("required", vec!["@type"])
            .with("additionalProperties", true),
        "google.protobuf.Struct" => typed("object").with("additionalProperties", true),
        "google.protobuf.Value" => Object::new(),
        "google.protobuf.ListValue" => typed("array").with("items", Object::new()),
        "google.protobuf.Empty" => typed("object").with("additionalProperties", false),
        wrapped => scalar(&wrapper(wrapped)?),
    };
    Some(schema)
}

fn wrapper(full_name: &str) -> Option<Kind> {
    Some(match full_name.strip_prefix("google.protobuf.")? {
        "BoolValue" => Kind::Bool,
        "BytesValue" => Kind::Bytes,
        "DoubleValue" => Kind::Double,
        "FloatValue" => Kind::Float,
        "Int32Value" => Kind::Int32,
        "Int64Value" => Kind::Int64,
        "StringValue" => Kind::String,
        "UInt32Value" => Kind::Uint32,
        "UInt64Value" => Kind::Uint64,
        _ => return None,
    })
}

/// A position in an address, or several.
pub(crate) fn position(several: bool) -> Object {
    let one = "^[0-9]{1,10}:[0-9]{1,20}(:[0-9]{1,20})?$";
    if !several {
        return typed("string").with("pattern", one);
    }
    typed("array").with("items", typed("string").with("minLength", 1))
}
