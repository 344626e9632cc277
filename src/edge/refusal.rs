//! Refusals of this package's own services.

pub(crate) use service_edge::violation;
use service_edge::{OVERLOADED_DELAY, Refused};
use shared_events::contract::Reason;
use tonic::Status;

/// A refusal with its reason.
pub(crate) fn refused(reason: Reason, message: &str) -> Status {
    Refused::new(reason).say(message)
}

/// Something that this process needs is away for now.
pub(crate) fn away(reason: Reason, message: &str) -> Status {
    Refused::unavailable(reason).say(message)
}

/// Nothing was begun, because there is too much under way; which bound was met is told.
pub(crate) fn overloaded(bound: &str) -> Status {
    Refused::new(Reason::Overloaded)
        .with("bound", bound)
        .again_after(OVERLOADED_DELAY)
        .say(&format!("too many calls are waiting: {bound}"))
}
