use prost_reflect::{
    DeserializeOptions, DynamicMessage, EnumDescriptor, Kind, MessageDescriptor, SerializeOptions,
};
use serde_json::Value;

use super::exact;

/// A field of JSON that does not fit its message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// Its path, such as `lines[0].quantity`; empty for the message itself.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) what: String,
}

/// Texts of a parser that are shown to callers are cut here.
const SHOWN_MAX: usize = 300;

/// A message from JSON. Names of fields are those of the protos, or in lower camel case; unknown
/// ones are refused, as is what would not be read as it is written.
pub(crate) fn read(message: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, Unfit> {
    exact::check(message, json)?;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let read = DynamicMessage::deserialize_with_options(message.clone(), &mut reader, &options);
    match read.and_then(|read| reader.end().map(|()| read)) {
        Ok(read) => Ok(read),
        Err(error) => Err(match serde_json::from_slice::<Value>(json) {
            Ok(value) => blame(message, &value).unwrap_or_else(|| unfit("", &said(&error, &value))),
            Err(error) => unfit("", &format!("not JSON: {error}")),
        }),
    }
}

/// The same, of a value that was read before.
pub(crate) fn read_value(
    message: &MessageDescriptor,
    value: &Value,
) -> Result<DynamicMessage, Unfit> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(message.clone(), value, &options)
        .map_err(|error| blame(message, value).unwrap_or_else(|| unfit("", &said(&error, value))))
}

pub(super) fn unfit(field: &str, what: &str) -> Unfit {
    let field = field.chars().take(SHOWN_MAX).collect();
    Unfit { field, what: what.chars().take(SHOWN_MAX).collect() }
}

/// What is wrong, without the text that was given: a problem is logged by who knows whom, and the
/// text may be anything about anybody.
fn said(error: &serde_json::Error, value: &Value) -> String {
    let text = error.to_string();
    let Some(given) = value.as_str().filter(|given| !given.is_empty()) else { return text };
    let quoted = [format!(" {given:?}"), format!(" '{given}'"), format!(" `{given}`")];
    quoted.iter().fold(text, |text, quoted| text.replace(quoted.as_str(), ""))
}

/// The first invalid field of a message.
fn blame(message: &MessageDescriptor, value: &Value) -> Option<Unfit> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let error_of = |message: &MessageDescriptor, value: &Value| {
        DynamicMessage::deserialize_with_options(message.clone(), value, &options).err()
    };
    for (key, value) in value.as_object()? {
        let alone = Value::Object([(key.clone(), value.clone())].into_iter().collect());
        let Some(error) = error_of(message, &alone) else { continue };
        let field = message.get_field_by_name(key).or_else(|| message.get_field_by_json_name(key));
        let Some(field) = field else {
            let known: Vec<String> =
                message.fields().map(|field| field.name().to_owned()).collect();
            return Some(unfit(key, &unknown("field", key, &known)));
        };
        let kind = field.kind();
        let inner = kind.as_message().filter(|_| !field.is_map());
        let Some(inner) = inner else { return Some(unfit(key, &said(&error, value))) };
        let items: Vec<(String, &Value)> = match value.as_array().filter(|_| field.is_list()) {
            Some(items) => {
                let named = |(at, item)| (format!("{key}[{at}]"), item);
                items.iter().enumerate().map(named).collect()
            }
            None => vec![(key.clone(), value)],
        };
        for (place, item) in items {
            let Some(error) = error_of(inner, item) else { continue };
            return Some(match blame(inner, item) {
                Some(found) => Unfit { field: format!("{place}.{}", found.field), ..found },
                None => unfit(&place, &said(&error, item)),
            });
        }
        return Some(unfit(key, &said(&error, value)));
    }
    None
}

/// The text about an unknown name, with the similar one or all.
pub(crate) fn unknown(what: &str, given: &str, known: &[String]) -> String {
    /// Distances of names that somebody may have meant.
    const SIMILAR: f64 = 0.8;
    /// No name of a field is longer; to compare longer texts takes long.
    const NAME_MAX: usize = 64;
    let similarity = |name: &String| strsim::jaro_winkler(given, name);
    let names = if given.len() > NAME_MAX { &[] } else { known };
    let best = names.iter().max_by(|one, other| similarity(one).total_cmp(&similarity(other)));
    match best.filter(|best| similarity(best) > SIMILAR) {
        Some(meant) => format!("unknown {what}; did you mean {meant}?"),
        None => format!("unknown {what}; there are {}", known.join(", ")),
    }
}

/// A message as JSON: names as in the protos, 64-bit numbers as texts.
pub(crate) fn write(message: &DynamicMessage) -> Result<Vec<u8>, serde_json::Error> {
    let mut json = Vec::with_capacity(1024);
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options())?;
    Ok(json)
}

const fn options() -> SerializeOptions {
    SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(true)
        .skip_default_fields(false)
}

/// The full name of a value of an enumeration, which may be given without its prefix.
pub(crate) fn enum_value(names: &EnumDescriptor, given: &str) -> Result<String, String> {
    let all: Vec<String> = names.values().map(|value| value.name().to_owned()).collect();
    // ORDER_STATUS_ for OrderStatus.
    let first = all.first().map(String::as_str).unwrap_or_default();
    let prefix = first.strip_suffix("UNSPECIFIED").unwrap_or_default();
    let wanted = given.to_ascii_uppercase().replace('-', "_");
    let fits = |name: &&String| **name == wanted || name.strip_prefix(prefix) == Some(&wanted);
    if let Some(found) = all.iter().find(fits) {
        return Ok(found.clone());
    }
    let short = all.iter().skip(1).map(|name| name.strip_prefix(prefix).unwrap_or(name));
    Err(format!("not one of {}", short.collect::<Vec<_>>().join(", ")))
}

/// Whether JSON writes values of this kind as a text that can be given in an address.
pub(crate) fn is_text_in_json(kind: &Kind) -> bool {
    match kind {
        Kind::Message(message) => matches!(
            message.full_name(),
            "google.protobuf.Timestamp" | "google.protobuf.Duration" | "google.protobuf.FieldMask"
        ),
        Kind::Bytes => false,
        _ => true,
    }
}
