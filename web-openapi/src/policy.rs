//! Who may call a method, where an option beside it says so.

use prost_reflect::{DynamicMessage, Kind, MethodDescriptor, ReflectMessage as _, Value};

use crate::json::{Json, Object};

/// The option, by its name: a pool without it has methods for every caller.
const OPTION: &str = "ordinal.policy.v1.policy";

/// What the option says.
struct Policy {
    callers: Vec<String>,
    scope: Option<String>,
    /// Whether customers are kept to their own orders.
    whose: bool,
}

/// Customers need no scope.
const CUSTOMER: &str = "CUSTOMER";

fn policy(method: &MethodDescriptor) -> Option<Policy> {
    let option = method.parent_pool().get_extension_by_name(OPTION)?;
    let options = method.options();
    if !options.has_extension(&option) {
        return None;
    }
    let value = options.get_extension(&option);
    let policy = value.as_message()?;
    let scope = policy.get_field_by_name("scope");
    let scope = scope.and_then(|scope| scope.as_str().map(str::to_owned));
    let scope = scope.filter(|scope| !scope.is_empty());
    let whose = policy.get_field_by_name("whose").and_then(|whose| whose.as_enum_number());
    Some(Policy { callers: callers(policy), scope, whose: whose.is_none_or(|whose| whose != 0) })
}

/// The kinds of callers, without the prefix of their enum.
fn callers(policy: &DynamicMessage) -> Vec<String> {
    let Some(field) = policy.descriptor().get_field_by_name("callers") else { return Vec::new() };
    let Kind::Enum(of) = field.kind() else { return Vec::new() };
    let callers = policy.get_field(&field);
    let name = |caller: &Value| {
        let value = of.get_value(caller.as_enum_number()?)?;
        let name = value.name();
        Some(name.strip_prefix("CALLER_").unwrap_or(name).to_owned())
    };
    callers.as_list().unwrap_or_default().iter().filter_map(name).collect()
}

/// Who calls, by a token.
pub(crate) const BEARER: &str = "bearer";
/// Who calls, by a client certificate.
pub(crate) const CERTIFICATE: &str = "mutualTLS";

/// `security` of a method: for each kind of caller a token, with the scope that it needs, and a
/// certificate, which has no scopes. None where nothing is said.
pub(crate) fn security(method: &MethodDescriptor) -> Option<Vec<Json>> {
    let policy = policy(method)?;
    let alternative = |caller: &String| {
        let scope = policy.scope.as_deref().filter(|_| caller != CUSTOMER);
        let needs: Vec<&str> = [Some(caller.as_str()), scope].into_iter().flatten().collect();
        Json::Object(Object::new().with(BEARER, needs))
    };
    let by_certificate =
        |caller: &String| Json::Object(Object::new().with(CERTIFICATE, vec![caller.as_str()]));
    let tokens = policy.callers.iter().map(alternative);
    Some(tokens.chain(policy.callers.iter().map(by_certificate)).collect())
}

/// The same in words; empty where nothing is said.
pub(crate) fn in_words(method: &MethodDescriptor) -> String {
    let Some(policy) = policy(method) else { return String::new() };
    let mut text = format!("Callers: {}.", policy.callers.join(", "));
    if let Some(scope) = policy.scope {
        text.push_str(&format!(" Scope, where a token has scopes: `{scope}`."));
    }
    if policy.whose && policy.callers.iter().any(|caller| caller == CUSTOMER) {
        text.push_str(" Customers reach their own orders only.");
    }
    text
}
