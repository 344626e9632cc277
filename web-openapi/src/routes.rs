//! The routes of a method, from its option `google.api.http`.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use crate::DocumentError;

/// One route of a method.
#[derive(Debug)]
pub(crate) struct Route {
    /// The method of HTTP, in lower case.
    pub(crate) verb: &'static str,
    /// The path with its variables in braces.
    pub(crate) path: String,
    /// The fields in the path.
    pub(crate) variables: Vec<String>,
    /// What the body has.
    pub(crate) body: Body,
}

/// What the body of a request has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Nothing: every field that the path does not have is a query parameter.
    Nothing,
    /// Every field that the path does not have.
    Rest,
    /// One field; others are query parameters.
    Field(String),
}

/// The fields of `google.api.HttpRule` that name a method and its path.
const VERBS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Every route of a method, the main one first; none where it has no option.
///
/// # Errors
///
/// If a path cannot be described.
pub(crate) fn routes(method: &MethodDescriptor) -> Result<Vec<Route>, DocumentError> {
    let Some(option) = method.parent_pool().get_extension_by_name("google.api.http") else {
        return Ok(Vec::new());
    };
    let options = method.options();
    if !options.has_extension(&option) {
        return Ok(Vec::new());
    }
    let rule = options.get_extension(&option);
    let Some(rule) = rule.as_message() else { return Ok(Vec::new()) };
    let mut found = vec![route(method, rule)?];
    let more = rule.get_field_by_name("additional_bindings");
    for rule in more.iter().filter_map(|more| more.as_list()).flatten() {
        if let Some(rule) = rule.as_message() {
            found.push(route(method, rule)?);
        }
    }
    Ok(found)
}

fn route(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Route, DocumentError> {
    let invalid = |what: &str| DocumentError::Route {
        method: method.full_name().to_owned(),
        what: what.to_owned(),
    };
    let text = |name: &str| -> Option<String> {
        let value = rule.get_field_by_name(name)?;
        value.as_str().map(str::to_owned).filter(|text| !text.is_empty())
    };
    let named = VERBS.into_iter().find_map(|verb| text(verb).map(|path| (verb, path)));
    let (verb, template) = named.ok_or_else(|| invalid("it names no method of HTTP"))?;
    if text("response_body").is_some() {
        return Err(invalid("a part of an answer as its body is not supported"));
    }
    let (path, variables) = template_of(&template).map_err(invalid)?;
    for variable in &variables {
        if field_at(&method.input(), variable).is_none() {
            return Err(invalid(&format!("the request has no field {variable}")));
        }
    }
    let body = match text("body") {
        None => Body::Nothing,
        Some(all) if all == "*" => Body::Rest,
        Some(field) => Body::Field(field),
    };
    Ok(Route { verb, path, variables, body })
}

/// The path of a template as OpenAPI has it, and its variables. A variable is one segment, or the
/// begin of one: `{order_id}:cancel`.
fn template_of(template: &str) -> Result<(String, Vec<String>), &'static str> {
    let (mut path, mut variables) = (String::new(), Vec::new());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (variable, after) = after.split_once('}').ok_or("a brace is not closed")?;
        let (name, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
        if pattern != "*" {
            return Err("a variable of several segments is not supported");
        }
        path.push_str(before);
        path.push_str(&format!("{{{name}}}"));
        variables.push(name.to_owned());
        rest = after;
    }
    path.push_str(rest);
    if path.contains('*') || !path.starts_with('/') {
        return Err("the path has wildcards outside of variables, or is not absolute");
    }
    Ok((path, variables))
}

/// The field at a path such as `filter.shop`.
pub(crate) fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let field = message.get_field_by_name(first)?;
    match (rest, field.kind()) {
        (None, _) => Some(field),
        (Some(rest), Kind::Message(inner)) => field_at(&inner, rest),
        (Some(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_gives_a_path_and_its_variables() {
        let (path, variables) =
            template_of("/v1/orders/{order_id}/returns/{return_id=*}:approve").unwrap();
        assert_eq!(path, "/v1/orders/{order_id}/returns/{return_id}:approve");
        assert_eq!(variables, ["order_id", "return_id"]);
    }

    #[test]
    fn templates_that_openapi_cannot_say_are_refused() {
        for template in ["/v1/{name=orders/**}", "/v1/*/orders", "/v1/{order_id", "orders"] {
            assert!(template_of(template).is_err(), "{template}");
        }
    }
}
