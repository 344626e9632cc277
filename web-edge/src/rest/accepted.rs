//! When what a call asked for is taken and not complete yet, as the protos say beside its method
//! (ordinal/policy/v1/policy.proto). Callers by HTTP are then answered 202.
//! Never here: names of fields.

use prost_reflect::{DynamicMessage, FieldDescriptor, MethodDescriptor, Value};

use super::place::{Place, place, value_at};

/// The option beside a method.
const OPTION: &str = "ordinal.policy.v1.accepted";

/// What an answer says while what was asked for is not complete.
pub(crate) struct Accepted(Vec<Condition>);

/// A field of the answer that has a value.
struct Condition {
    /// The field's path and the value's name, as they are written.
    field: String,
    word: String,
    place: Place,
    number: i32,
}

impl Accepted {
    /// Of a method; none where its answers are always complete.
    ///
    /// # Errors
    /// What does not fit, if the option names no value of an enum of the answer, or nothing at all.
    pub(super) fn of(method: &MethodDescriptor) -> Result<Option<Self>, String> {
        let Some(option) = method.parent_pool().get_extension_by_name(OPTION) else {
            return Ok(None);
        };
        let options = method.options();
        if !options.has_extension(&option) {
            return Ok(None);
        }
        let said = options.get_extension(&option);
        let all = said.as_message().and_then(|said| said.get_field_by_name("all_of"));
        let all = all.as_ref().and_then(|all| all.as_list()).unwrap_or_default();
        let all = all.iter().filter_map(Value::as_message);
        let all: Result<Vec<_>, _> = all.map(|said| Condition::of(said, method)).collect();
        match all? {
            none if none.is_empty() => Err("accepted without a condition".to_owned()),
            all => Ok(Some(Self(all))),
        }
    }

    /// Whether this answer says so.
    pub(super) fn is_in(&self, answer: &DynamicMessage) -> bool {
        self.0.iter().all(|one| {
            let value = value_at(answer, &one.place);
            value.and_then(|value| value.as_enum_number()) == Some(one.number)
        })
    }

    /// In words.
    pub(super) fn said(&self) -> String {
        let words = self.0.iter().map(|one| format!("`{}` is `{}`", one.field, one.word));
        words.collect::<Vec<_>>().join(" and ")
    }
}

impl Condition {
    fn of(said: &DynamicMessage, method: &MethodDescriptor) -> Result<Self, String> {
        let text = |name: &str| {
            let value = said.get_field_by_name(name)?;
            value.as_str().map(str::to_owned)
        };
        let (field, word) = (text("field").unwrap_or_default(), text("value").unwrap_or_default());
        let found = place(&method.output(), &field.split('.').collect::<Vec<_>>());
        let kind = found.as_ref().and_then(|place| place.last()).map(FieldDescriptor::kind);
        let value = kind.as_ref().and_then(|kind| kind.as_enum()?.get_value_by_name(&word));
        match (found, value) {
            (Some(place), Some(value)) => Ok(Self { number: value.number(), field, word, place }),
            _ => Err(format!("its answer has no {field} that is {word}")),
        }
    }
}
