use std::fmt::{self, Write as _};

use serde_json::Value;
use tracing::field::{Field, Visit};

/// A flat JSON object. A field that is written again replaces the earlier one.
#[derive(Default)]
pub(super) struct Object(Vec<(String, Value)>);

impl Object {
    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Adds the fields of an object, as a span keeps them.
    pub(super) fn extend(&mut self, fields: &str) {
        if let Ok(Value::Object(fields)) = serde_json::from_str(fields) {
            for (name, value) in fields {
                self.put(&name, value);
            }
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (nth, (name, value)) in self.0.iter().enumerate() {
            let comma = if nth > 0 { "," } else { "" };
            write!(f, "{comma}{}:{value}", Value::from(name.as_str()))?;
        }
        f.write_char('}')
    }
}

/// Our lines name an order `order` where people read them.
fn name(field: &Field) -> &str {
    match field.name() {
        "order" => "order_id",
        // A line of the crate `log`: where it comes from.
        "log.target" => "target",
        raw => raw.strip_prefix("r#").unwrap_or(raw),
    }
}

impl Visit for Object {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // File and line of the crate `log`.
        if !field.name().starts_with("log.") {
            self.put(name(field), format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" || !field.name().starts_with("log.") {
            self.put(name(field), value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(name(field), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if !field.name().starts_with("log.") {
            self.put(name(field), value);
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(name(field), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(name(field), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_written_once_in_the_order_of_the_first() {
        let mut line = Object::default();
        line.put("ts", "now");
        line.put("order_id", "of the span");
        line.extend(r#"{"shard":3,"order_id":"of \"the\" event"}"#);
        line.extend("no object");
        assert_eq!(line.to_string(), r#"{"ts":"now","order_id":"of \"the\" event","shard":3}"#);
    }
}
