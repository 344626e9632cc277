use http::{HeaderMap, HeaderName, header};
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};
use shared_events::contract::Reason;
use uuid::Uuid;

use super::place::{set_at, value_at};
use super::rpc::Rpc;
use super::version;
use crate::front::Subject;
use crate::problem::Problem;

/// Identifies repeats of a command.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest such key.
const KEY_LEN_MAX: usize = 255;
/// Ids that are made of keys are made of this, too.
const KEYS: Uuid = Uuid::from_u128(0x6f72_6469_6e61_6c2e_6b65_7900_0000_0001);

/// Writes what the headers of a call say into its message.
pub(super) fn apply(
    message: &mut DynamicMessage,
    rpc: &Rpc,
    headers: &HeaderMap,
    subject: &Subject,
) -> Result<(), Problem> {
    if let Some(key) = one(headers, &IDEMPOTENCY_KEY)? {
        let Some(place) = &rpc.key else {
            return Err(Problem::field("Idempotency-Key", "this call takes no key"));
        };
        let id = id_of_key(key, headers, subject)?;
        let given = value_at(message, place);
        match given.as_ref().and_then(Value::as_str).unwrap_or_default() {
            "" => set_at(message, place, Value::String(id)),
            given if given.eq_ignore_ascii_case(&id) => {}
            _ => {
                let name = place.last().map_or("id", FieldDescriptor::name);
                let what = format!("the body has another {name}: send one of the two");
                return Err(Problem::field("Idempotency-Key", &what));
            }
        }
    }
    if let Some(etag) = one(headers, &header::IF_MATCH)? {
        let Some(place) = &rpc.etag else {
            return Err(Problem::field("If-Match", "this call takes no version"));
        };
        version::require(message, place, etag)?;
    }
    Ok(())
}

/// The one value of a header.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text)),
        _ => Err(Problem::field(name.as_str(), "one value of visible ASCII")),
    }
}

/// The id that a key stands for: a UUID is it itself; any other key makes one, of its own for each
/// caller.
fn id_of_key(key: &str, headers: &HeaderMap, subject: &Subject) -> Result<String, Problem> {
    // The draft of the standard has keys in quotes; most programs send them without.
    let quoted = key.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let key = quoted.unwrap_or(key);
    if key.is_empty() || key.len() > KEY_LEN_MAX {
        let what = format!("a key has 1 to {KEY_LEN_MAX} characters");
        return Err(Problem::field("Idempotency-Key", &what));
    }
    if let Ok(id) = key.parse::<Uuid>() {
        return Ok(id.to_string());
    }
    // Admission knew the caller; the token may have ended while the body arrived.
    let ended = || Problem::new(Reason::TokenExpired, "the token ended while the body arrived");
    let subject = subject(headers).ok_or_else(ended)?;
    let name = format!("{}:{subject}:{key}", subject.len());
    Ok(Uuid::new_v5(&KEYS, name.as_bytes()).to_string())
}
