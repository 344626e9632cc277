/// A segment of a path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// This text.
    Literal(String),
    /// The value of a field.
    Field(String),
}

/// A path template such as `/v1/orders/{order_id}:cancel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    /// The verb at its end; empty for none.
    pub(crate) verb: String,
}

impl Template {
    /// Of the part of `google.api.http`'s syntax that our protos use: literals, fields of one
    /// segment, a verb. None where it uses more.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let inside = text.strip_prefix('/')?;
        let last = inside.rfind('/').map_or(0, |at| at + 1);
        let verb_at = inside.get(last..).and_then(|last| last.rfind(':')).map(|at| last + at);
        let (path, verb) = match verb_at.and_then(|at| inside.split_at_checked(at)) {
            Some((path, verb)) => (path, verb.trim_start_matches(':')),
            None => (inside, ""),
        };
        let segments = path.split('/').map(segment).collect::<Option<Vec<Segment>>>()?;
        let plain = verb.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_whole = plain && (verb_at.is_none() || !verb.is_empty());
        is_whole.then(|| Self { segments, verb: verb.to_owned() })
    }

    /// The fields in it.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Field(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }
}

fn segment(text: &str) -> Option<Segment> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    match text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
        Some(field) => is_name(field).then(|| Segment::Field(field.to_owned())),
        None => is_name(text).then(|| Segment::Literal(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_literals_fields_and_a_verb() {
        let template = Template::parse("/v1/orders/{order_id}:cancel").unwrap();
        let literal = |text: &str| Segment::Literal(text.to_owned());
        let field = Segment::Field("order_id".to_owned());
        assert_eq!(template.segments, [literal("v1"), literal("orders"), field]);
        assert_eq!(template.verb, "cancel");
        assert_eq!(template.fields().collect::<Vec<_>>(), ["order_id"]);
        let wrong = ["v1", "/v1/", "/v1/{a}:", "/v1/**", "/v1/*/b", "/v1/{a}b", "/v1/{a", ""];
        let wider = ["/v1/{a=*}", "/v1/{a=b/*}", "/v1/{a=b/**}", "/v1/{a.b}"];
        for wrong in wrong.into_iter().chain(wider) {
            assert!(Template::parse(wrong).is_none(), "{wrong}");
        }
    }
}
