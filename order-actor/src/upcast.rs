//! Old versions of events, lifted to today's when they are read. The journal is never rewritten.
//!
//! To change an event: give it its next version in [`Event::VERSION`], keep the golden files of the
//! old one as they are, and add a [`Lift`] from it. A version that no lift leads on from was
//! written by a newer program, and is refused.
//! Never here: defaults for optional fields; those stand on the event itself.

use std::borrow::Cow;

use serde_json::Value;

use crate::domain::Event;

/// One step: an event of one version, as the next version would have said it.
#[derive(Clone, Copy, Debug)]
pub struct Lift {
    /// Which type of event.
    pub event_type: &'static str,
    /// From this version.
    pub from: &'static str,
    /// To this one.
    pub to: &'static str,
    /// What changes in the payload; the text says why it is not of this version.
    pub change: fn(&mut Value) -> Result<(), &'static str>,
}

/// Every step that there is. Version 1 is the first that was published.
pub const LIFTS: &[Lift] = &[];

/// The payload as version [`Event::VERSION`] would have written it, by as many steps as it takes.
///
/// # Errors
/// Why there is no such payload. The text names no field's value.
pub fn lifted<'a>(
    lifts: &[Lift],
    event_type: &str,
    event_version: &'a str,
    payload: &'a str,
) -> Result<Cow<'a, str>, String> {
    if event_version == Event::VERSION {
        return Ok(Cow::Borrowed(payload));
    }
    let mut value: Value = serde_json::from_str(payload)
        .map_err(|error| format!("payload: line {} column {}", error.line(), error.column()))?;
    let mut version = event_version;
    // Each step is taken at most once, so that a circle in the table ends too.
    for _ in 0..=lifts.len() {
        if version == Event::VERSION {
            return Ok(Cow::Owned(value.to_string()));
        }
        let next = lifts.iter().find(|lift| lift.event_type == event_type && lift.from == version);
        let Some(lift) = next else { break };
        (lift.change)(&mut value).map_err(|why| format!("not of version {version}: {why}"))?;
        version = lift.to;
    }
    Err("unknown version".to_owned())
}
