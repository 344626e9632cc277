use shared_events::metric::table::{MESSAGES_FAILED, MESSAGES_TRIED};

use crate::Channel;
use crate::channel::DeliveryError;

/// Counts a try to deliver a message.
pub(crate) fn tried(channel: Channel, sent: &Result<(), DeliveryError>) {
    let outcome = match sent {
        Ok(()) => "delivered",
        Err(DeliveryError::Unavailable(_)) => "unavailable",
        Err(DeliveryError::Deferred { .. }) => "deferred",
        Err(DeliveryError::Unknown(_)) => "in_doubt",
        Err(DeliveryError::Permanent(_)) => "permanent",
    };
    MESSAGES_TRIED.one([channel.code(), outcome]);
}

/// Counts messages that are not tried any more.
pub(crate) fn failed(channel: Channel, messages: usize) {
    MESSAGES_FAILED.add([channel.code()], u64::try_from(messages).unwrap_or(u64::MAX));
}

/// Failures are seen from the first on.
pub(crate) fn begin() {
    Channel::all().for_each(|channel| MESSAGES_FAILED.may_be([channel.code()]));
}
