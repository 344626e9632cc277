//! Converts old versions of events to the current one when they are read. The journal is never
//! rewritten.
//!
//! To change an event: increase [`Event::version_of`], keep the golden files of the old version
//! unchanged, and add an [`Upcast`] from it. A version without an upcast was written by a newer
//! program and is refused.
//! Never here: defaults for optional fields; those are declared on the event.

use std::borrow::Cow;

use serde_json::{Value, json};
use shared_events::contract::json_place;

use crate::domain::Event;

/// One step: converts an event from one version to the next.
#[derive(Clone, Copy, Debug)]
pub struct Upcast {
    /// The type of event.
    pub event_type: &'static str,
    /// From this version.
    pub from: &'static str,
    /// To this version.
    pub to: &'static str,
    /// Changes the payload, or reports why the payload is not of the old version.
    pub change: fn(&mut Value) -> Result<(), &'static str>,
}

/// All steps. Version 1 is the first published one.
pub const UPCASTS: &[Upcast] =
    &[Upcast { event_type: "OrderPlaced", from: "1", to: "2", change: placed_with_a_person }];

/// Version 2 has the personal data in one object.
fn placed_with_a_person(payload: &mut Value) -> Result<(), &'static str> {
    let body = payload.get_mut("OrderPlaced").and_then(Value::as_object_mut);
    let body = body.ok_or("no OrderPlaced")?;
    let address = body.remove("address").ok_or("no address")?;
    let contact = body.remove("contact").ok_or("no contact")?;
    body.insert("person".to_owned(), json!({ "address": address, "contact": contact }));
    Ok(())
}

/// The payload in the current version of its type ([`Event::version_of`]), by as many steps as needed.
///
/// # Errors
/// Why the payload cannot be converted. The text contains no field values.
pub fn upcast<'a>(
    upcasts: &[Upcast],
    event_type: &str,
    event_version: &'a str,
    payload: &'a str,
) -> Result<Cow<'a, str>, String> {
    let current = Event::version_of(event_type);
    if event_version == current {
        return Ok(Cow::Borrowed(payload));
    }
    let mut value: Value = serde_json::from_str(payload)
        .map_err(|error| format!("payload: {}", json_place(&error)))?;
    let mut version = event_version;
    // Bounded, so that a cycle in the table ends too.
    for _ in 0..=upcasts.len() {
        if version == current {
            return Ok(Cow::Owned(value.to_string()));
        }
        let next =
            upcasts.iter().find(|upcast| upcast.event_type == event_type && upcast.from == version);
        let Some(upcast) = next else { break };
        (upcast.change)(&mut value).map_err(|why| format!("not of version {version}: {why}"))?;
        version = upcast.to;
    }
    Err("unknown version".to_owned())
}
