//! Statuses with a reason, for this package's own services.

pub(crate) use service_edge::violation;
use service_edge::{OVERLOADED_DELAY, Refused};
use shared_events::contract::Reason;
use tonic::Status;

/// A refusal with its reason.
pub(crate) fn refused(reason: Reason, message: &str) -> Status {
    Refused::new(reason).say(message)
}

/// Something that this process needs is unavailable for now.
pub(crate) fn unavailable(reason: Reason, message: &str) -> Status {
    Refused::unavailable(reason).say(message)
}

/// Nothing was begun, because too much is under way; names the bound that was reached.
pub(crate) fn overloaded(bound: &str) -> Status {
    Refused::new(Reason::Overloaded)
        .with("bound", bound)
        .again_after(OVERLOADED_DELAY)
        .say(&format!("too many calls are waiting: {bound}"))
}
