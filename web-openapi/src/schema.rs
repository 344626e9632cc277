//! Schemas of messages and enums, as protobuf's JSON has them: fields by their proto names, 64-bit
//! integers as text.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind,
    MessageDescriptor, Value,
};

use crate::comments::Comments;
use crate::json::{Json, Object, reference};
use crate::well_known;

/// The package whose name components leave out.
const OURS: &str = "ordinal.";

/// The schemas of a pool.
pub(crate) struct Schemas<'a> {
    pub(crate) comments: &'a Comments,
    /// Messages that requests have; of others every field that is always sent is required.
    asked: BTreeSet<String>,
    behavior: Option<prost_reflect::ExtensionDescriptor>,
    /// Those that the document refers to, by their names.
    used: BTreeMap<String, Json>,
}

impl<'a> Schemas<'a> {
    /// The schemas for requests of these messages.
    pub(crate) fn new(
        pool: &DescriptorPool,
        comments: &'a Comments,
        requests: impl IntoIterator<Item = MessageDescriptor>,
    ) -> Self {
        let mut asked = BTreeSet::new();
        let mut left: Vec<MessageDescriptor> = requests.into_iter().collect();
        while let Some(message) = left.pop() {
            if asked.insert(message.full_name().to_owned()) {
                left.extend(message.fields().filter_map(|field| match field.kind() {
                    Kind::Message(inner) => Some(inner),
                    _ => None,
                }));
            }
        }
        let behavior = pool.get_extension_by_name("google.api.field_behavior");
        Self { comments, asked, behavior, used: BTreeMap::new() }
    }

    /// Every schema that was referred to.
    pub(crate) fn finish(self) -> Object {
        self.used.into_iter().fold(Object::new(), |all, (name, schema)| all.with(name, schema))
    }

    /// One more schema.
    pub(crate) fn add(&mut self, name: &str, schema: Object) {
        self.used.insert(name.to_owned(), schema.into());
    }

    /// A reference to a message.
    pub(crate) fn message(&mut self, message: &MessageDescriptor) -> Object {
        if let Some(known) = well_known::schema(message.full_name()) {
            return known;
        }
        let name = component_name(message.full_name());
        if !self.used.contains_key(&name) {
            // Entered first: a message may have itself.
            self.used.insert(name.clone(), Json::Bool(true));
            let schema = self.fields_of(message, &[]);
            self.used.insert(name.clone(), schema.into());
        }
        reference("schemas", &name)
    }

    /// A message without some of its fields: a body, whose other fields the path has.
    pub(crate) fn body(
        &mut self,
        name: &str,
        message: &MessageDescriptor,
        without: &[FieldDescriptor],
    ) -> Object {
        if without.is_empty() {
            return self.message(message);
        }
        let schema = self.fields_of(message, without);
        self.add(name, schema);
        reference("schemas", name)
    }

    fn fields_of(&mut self, message: &MessageDescriptor, without: &[FieldDescriptor]) -> Object {
        let asked = self.asked.contains(message.full_name());
        let mut properties = Object::new();
        let mut required = Vec::new();
        for field in message.fields().filter(|field| !without.contains(field)) {
            properties.set(field.name(), self.field(&field));
            if if asked { self.is_required(&field) } else { is_always_sent(&field) } {
                required.push(field.name().to_owned());
            }
        }
        let schema = Object::new()
            .with_text("description", self.comments.of_message(message))
            .with("type", "object");
        let mut schema = schema.with("properties", properties);
        if !required.is_empty() {
            schema.set("required", required);
        }
        if asked {
            // What is not known is refused. Answers may get fields that a client does not know.
            schema.set("additionalProperties", false);
        }
        schema
    }

    /// A field with its comment.
    fn field(&mut self, field: &FieldDescriptor) -> Object {
        let described = self.described(field);
        self.bare(field).with_text("description", &described)
    }

    /// A field without its comment.
    pub(crate) fn bare(&mut self, field: &FieldDescriptor) -> Object {
        if field.is_map() {
            self.map(field)
        } else if field.is_list() {
            Object::new().with("type", "array").with("items", self.one(&field.kind()))
        } else {
            self.one(&field.kind())
        }
    }

    /// The comment of a field; of one of several, which they are.
    pub(crate) fn described(&self, field: &FieldDescriptor) -> String {
        let comment = self.comments.of_field(field);
        let several = field.containing_oneof().filter(|one| !one.is_synthetic());
        let Some(one) = several else { return comment.to_owned() };
        let names: Vec<String> = one
            .fields()
            .filter(|other| other != field)
            .map(|f| format!("`{}`", f.name()))
            .collect();
        if names.is_empty() || names.len() > 8 {
            let line = format!("At most one field of `{}` is set.", one.name());
            return format!("{comment} {line}").trim().to_owned();
        }
        format!("{comment} Not together with {}.", names.join(", ")).trim().to_owned()
    }

    fn map(&mut self, field: &FieldDescriptor) -> Object {
        let values = match field.kind() {
            Kind::Message(entry) => self.one(&entry.map_entry_value_field().kind()),
            _ => Object::new(),
        };
        Object::new().with("type", "object").with("additionalProperties", values)
    }

    /// One value of a kind.
    fn one(&mut self, kind: &Kind) -> Object {
        match kind {
            Kind::Message(message) => self.message(message),
            Kind::Enum(of) => self.enumeration(of),
            scalar => well_known::scalar(scalar),
        }
    }

    fn enumeration(&mut self, of: &EnumDescriptor) -> Object {
        let name = component_name(of.full_name());
        if !self.used.contains_key(&name) {
            let mut text = self.comments.of_enum(of).to_owned();
            let mut names = Vec::new();
            for (nth, value) in of.values().enumerate() {
                text.push_str(if nth == 0 { "\n\n" } else { "\n" });
                let comment = self.comments.of_value(&value);
                text.push_str(&format!("- `{}`: {comment}", value.name()));
                names.push(value.name().to_owned());
            }
            let schema = Object::new()
                .with_text("description", text.trim())
                .with("type", "string")
                .with("enum", names);
            self.used.insert(name.clone(), schema.into());
        }
        reference("schemas", &name)
    }

    /// Whether a request must have the field: it says so by `google.api.field_behavior`.
    pub(crate) fn is_required(&self, field: &FieldDescriptor) -> bool {
        const REQUIRED: i32 = 2;
        let Some(behavior) = &self.behavior else { return false };
        let options: DynamicMessage = field.options();
        let values = options.get_extension(behavior);
        let values = values.as_list().unwrap_or_default();
        values.iter().any(|value| *value == Value::EnumNumber(REQUIRED))
    }
}

/// Whether every answer has the field: those that can be absent are messages, `optional` ones and
/// those of which one is set.
fn is_always_sent(field: &FieldDescriptor) -> bool {
    field.cardinality() == Cardinality::Repeated || !field.supports_presence()
}

/// The name of a component: that of the message without our package's first word.
pub(crate) fn component_name(full_name: &str) -> String {
    full_name.strip_prefix(OURS).unwrap_or(full_name).to_owned()
}
