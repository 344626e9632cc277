//! Looks through the JSON of a message for what its reader would change in silence: fields that are
//! given more than once, of which it takes the last, and numbers that it rounds.
//! Never here: whether the JSON fits the message otherwise.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Unfit, unfit};

/// Digits of a number with a fraction or an exponent that every reader takes as they are: JSON's
/// numbers are doubles, which hold 2^53.
const DIGITS_MAX: i64 = 15;

/// Checks that a message is read as it is written. What is no JSON, or does not fit the message, is
/// told by whoever reads it.
pub(super) fn check(message: &MessageDescriptor, json: &[u8]) -> Result<(), Unfit> {
    let found = Cell::new(None);
    let at = At { path: Path::Whole, found: &found };
    let mut reader = serde_json::Deserializer::from_slice(json);
    let _ = Part { shape: Shape::Message(message.clone()), at }.deserialize(&mut reader);
    found.into_inner().map_or(Ok(()), Err)
}

/// Where something stands.
#[derive(Clone, Copy)]
enum Path<'a> {
    Whole,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Field(Self::Whole, name) => f.write_str(name),
            Self::Field(above, name) => write!(f, "{above}.{name}"),
            Self::Item(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

/// A place, and what is found wrong.
#[derive(Clone, Copy)]
struct At<'a> {
    path: Path<'a>,
    found: &'a Cell<Option<Unfit>>,
}

impl At<'_> {
    /// Ends the search.
    fn refuse<E: Error>(&self, what: &str) -> E {
        self.found.set(Some(unfit(&self.path.to_string(), what)));
        E::custom(what)
    }
}

/// What is to be looked at in a value.
enum Shape {
    Message(MessageDescriptor),
    List(Kind),
    /// A map whose values are of this kind.
    Map(Kind),
    Integer,
    /// Nothing.
    Other,
}

impl Shape {
    fn of(field: &FieldDescriptor) -> Self {
        let kind = field.kind();
        match &kind {
            Kind::Message(entry) if field.is_map() => {
                Self::Map(entry.map_entry_value_field().kind())
            }
            _ if field.is_list() => Self::List(kind),
            _ => Self::of_kind(&kind),
        }
    }

    fn of_kind(kind: &Kind) -> Self {
        match kind {
            // Instants, durations and masks are texts.
            Kind::Message(message) if message.package_name() == "google.protobuf" => Self::Other,
            Kind::Message(message) => Self::Message(message.clone()),
            Kind::Double
            | Kind::Float
            | Kind::Bool
            | Kind::String
            | Kind::Bytes
            | Kind::Enum(_) => Self::Other,
            _ => Self::Integer,
        }
    }
}

/// A value that is looked through.
struct Part<'a> {
    shape: Shape,
    at: At<'a>,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.shape {
            Shape::Other => IgnoredAny::deserialize(deserializer).map(drop),
            Shape::Integer => {
                let written = <&RawValue>::deserialize(deserializer)?;
                exact(written.get()).map_err(|what| self.at.refuse(what))
            }
            Shape::Message(_) | Shape::List(_) | Shape::Map(_) => {
                deserializer.deserialize_any(self)
            }
        }
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list")
    }

    /// None.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Shape::List(kind) = &self.shape else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let mut index = 0;
        loop {
            let at = At { path: Path::Item(&self.at.path, index), found: self.at.found };
            let item = Part { shape: Shape::of_kind(kind), at };
            if items.next_element_seed(item)?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let At { path, found } = self.at;
        let (mut fields, mut keys) = (BTreeSet::new(), BTreeSet::new());
        while let Some(key) = entries.next_key::<String>()? {
            let at = At { path: Path::Field(&path, &key), found };
            let shape = match &self.shape {
                Shape::Message(message) => {
                    let field = message.get_field_by_json_name(&key);
                    let field = field.or_else(|| message.get_field_by_name(&key));
                    // `order_id` and `orderId` are one field.
                    if field.as_ref().is_some_and(|field| !fields.insert(field.number())) {
                        return Err(at.refuse("given twice"));
                    }
                    field.as_ref().map_or(Shape::Other, Shape::of)
                }
                Shape::Map(kind) => {
                    if !keys.insert(key.clone()) {
                        return Err(at.refuse("given twice"));
                    }
                    Shape::of_kind(kind)
                }
                Shape::List(_) | Shape::Integer | Shape::Other => Shape::Other,
            };
            entries.next_value_seed(Part { shape, at })?;
        }
        Ok(())
    }
}

/// Whether the reader of a whole number takes this text as it is written. What is no number is for
/// the reader.
fn exact(text: &str) -> Result<(), &'static str> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(());
    }
    if !unsigned.contains(['.', 'e', 'E']) {
        let fits = text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok();
        return if fits { Ok(()) } else { Err("a number of more than 64 bits") };
    }
    let (digits, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    if digits.bytes().all(|digit| matches!(digit, b'0' | b'.')) {
        return Ok(());
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    // By how many digits the exponent moves the point, and by how many it may to the left.
    let moved = exponent.parse().unwrap_or(i64::MAX);
    let spare = match length(fraction.trim_end_matches('0')) {
        0 => length(whole) - length(whole.trim_end_matches('0')),
        decimals => -decimals,
    };
    if spare.saturating_add(moved) < 0 {
        return Err("not a whole number");
    }
    let written = length(whole) + length(fraction);
    if written.max(length(whole).saturating_add(moved)) > DIGITS_MAX {
        return Err("rounded, with a fraction or an exponent: write its digits alone, or as text");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_and_as_they_are_written() {
        let exactly = "0 -0 7 -7 9007199254740993 18446744073709551615 -9223372036854775808 4.0 \
                       4.000 -4.0 1e3 1E+3 1.5e1 120e-1 100e-2 0.0 0e99 0.000e-400 1e14 \
                       99999999999999.0 \"0.5\" null true {} [1.5]";
        for exactly in exactly.split(' ') {
            assert_eq!(exact(exactly), Ok(()), "{exactly}");
        }
        for fraction in ["0.5", "-0.5", "1.5", "15e-1", "100e-3", "1e-400", "4503599627370496.3"] {
            assert_eq!(exact(fraction), Err("not a whole number"), "{fraction}");
        }
        let rounded = "9007199254740993.0 9007199254740993e0 -9007199254740993.0 1e15 1e400 \
                       1e99999999999999999999 1234567890123456e0 1.0000000000000000";
        for rounded in rounded.split(' ') {
            assert!(exact(rounded).is_err_and(|what| what.starts_with("rounded")), "{rounded}");
        }
        for long in ["18446744073709551616", "-9223372036854775809", "99999999999999999999"] {
            assert_eq!(exact(long), Err("a number of more than 64 bits"), "{long}");
        }
    }
}
