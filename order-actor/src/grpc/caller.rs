use shared_events::contract::CustomerId;
use tonic::{Request, Status};

use super::parse::Violations;
use super::status;
use crate::domain::{By, Rejection, Role};

/// Who asks, as the layer in front of the services proved it.
pub(super) fn caller<T>(request: &Request<T>) -> Result<By, Status> {
    request.extensions().get::<By>().cloned().ok_or_else(status::unauthenticated)
}

/// What a call says besides its message.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Who asks.
    pub(super) by: By,
    /// W3C trace context.
    pub(super) traceparent: Option<String>,
    /// Another node carried it here.
    pub(super) forwarded: bool,
}

impl Asked {
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let (traceparent, forwarded) = (traceparent(request), forwarded(request));
        Ok(Self { by: caller(request)?, traceparent, forwarded })
    }
}

/// Who asks, if they are in one of these roles.
pub(super) fn caller_in<T>(request: &Request<T>, roles: &[Role]) -> Result<By, Status> {
    let by = caller(request)?;
    if roles.contains(&by.role()) {
        Ok(by)
    } else {
        Err(status::refused(&Rejection::Forbidden { role: by.role() }.into()))
    }
}

/// Whether another node carried the call here, in the belief that the order's shard is ours.
pub(super) fn forwarded<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(status::FORWARDED_HEADER)
}

/// The W3C trace context of a call. One that is malformed starts no trace, as W3C asks.
fn traceparent<T>(request: &Request<T>) -> Option<String> {
    let text = request.metadata().get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let sound = match parts.as_slice() {
        [version, trace, span, flags] => {
            hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2)
        }
        _ => false,
    };
    sound.then(|| text.to_owned())
}

/// Whose orders a list or a stream shows: customers see their own only.
pub(super) fn visible(by: &By, asked: Option<CustomerId>) -> Result<Option<CustomerId>, Status> {
    match asked {
        Some(asked) if !by.owns_orders_of(asked) => {
            Err(status::refused(&Rejection::Forbidden { role: by.role() }.into()))
        }
        asked => Ok(by.only_customer().or(asked)),
    }
}

/// The value, or all that is wrong with the request.
pub(super) fn well_formed<T>(parsed: Result<T, Violations>) -> Result<T, Status> {
    Ok(parsed?)
}
