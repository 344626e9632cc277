//! What a token says of its holder: for whom it is, from when to when, and as whom he calls.
//! Never here: a signature.

use std::time::Duration;

use serde_json::{Map, Number, Value};
use shared_events::contract::Timestamp;

use crate::issuer::IssuerSettings;
use crate::{Denied, Identity, Role};

/// Roles and scopes of one token that are read; members of more groups are rare.
const NAMES_MAX: usize = 512;
/// The scope that limits nothing, for issuers whose tokens all have scopes.
pub(crate) const EVERY_SCOPE: &str = "*";

/// The issuer that a token names.
pub(crate) fn issuer(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("iss")?.as_str()
}

/// The holder, if the token is for us and it is its time.
pub(crate) fn identity(
    claims: &Map<String, Value>,
    settings: &IssuerSettings,
    now: Timestamp,
) -> Result<Identity, Denied> {
    let audience = claims.get("aud").map(texts).unwrap_or_default();
    if !settings.audience.iter().any(|ours| audience.iter().any(|its| its == ours)) {
        return Err(Denied::Audience);
    }
    let expires = time(claims, "exp")?.ok_or(Denied::Malformed)?;
    is_current(expires, settings.leeway, now)?;
    if let Some(from) = time(claims, "nbf")?
        && second(now).saturating_add(seconds(settings.leeway)) < from
    {
        return Err(Denied::NotYet);
    }
    let role = role(claims, settings).ok_or(Denied::Role)?;
    let subject = match role {
        Role::Customer => settings.customer.as_ref(),
        Role::ReturnsDesk | Role::Service | Role::Ops => Some(&settings.subject),
    };
    let subject = subject.and_then(|claim| text(find(claims, claim)?)).ok_or(Denied::Role)?;
    let scopes = settings.scopes.as_ref().filter(|_| role != Role::Customer);
    let scopes = scopes.map(|claim| find(claims, claim).map(words).unwrap_or_default());
    let scopes = scopes.filter(|scopes| scopes.iter().all(|scope| scope != EVERY_SCOPE));
    Ok(Identity { role, subject, scopes, expires })
}

/// Whether a token that ends then is still accepted.
pub(crate) fn is_current(expires: i64, leeway: Duration, now: Timestamp) -> Result<(), Denied> {
    let until = expires.saturating_add(seconds(leeway));
    if second(now) < until { Ok(()) } else { Err(Denied::Expired) }
}

/// Seconds since 1970.
pub(crate) const fn second(time: Timestamp) -> i64 {
    time.micros().div_euclid(1_000_000)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// The highest role that the map gives. Without one, whoever has a customer's id is a customer.
fn role(claims: &Map<String, Value>, settings: &IssuerSettings) -> Option<Role> {
    let names = settings.roles.as_ref().and_then(|claim| find(claims, claim)).map(words);
    let names = names.unwrap_or_default();
    let mapped = names.iter().filter_map(|name| settings.map.get(name)).max().copied();
    // A map with customers of its own says who is one.
    let implied = !settings.map.values().any(|role| *role == Role::Customer);
    let customer = || settings.customer.as_ref().and_then(|claim| find(claims, claim));
    mapped.or_else(|| customer().filter(|_| implied).map(|_| Role::Customer))
}

/// A claim by its name, or by the path of names to it. Names may have dots themselves.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut parts = path.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// A text, or the number of a customer as digits.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        _ => None,
    }
}

/// One text or a list of them.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => {
            values.iter().take(NAMES_MAX).filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// A list of texts, or one text with words.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_whitespace().take(NAMES_MAX).map(str::to_owned).collect(),
        _ => texts(value),
    }
}

/// Seconds since 1970, whole or with a fraction, which is left out.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Denied> {
    let whole = |number: &Number| {
        let text = number.to_string();
        text.split('.').next().and_then(|whole| whole.parse().ok())
    };
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => whole(number).map(Some).ok_or(Denied::Malformed),
        Some(_) => Err(Denied::Malformed),
    }
}
