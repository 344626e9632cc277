use std::time::Duration;

use service_edge::Refused;
use shared_events::contract::Reason;
use shared_events::stream::DatabaseError;
use tonic::Status;

use crate::domain::{OperationState, Rejection, WebhookState};
use crate::service::PaymentError;

/// After this a caller may ask again that found payments unavailable.
const UNAVAILABLE_DELAY: Duration = Duration::from_millis(500);

pub(super) fn not_found(message: &str) -> Status {
    Refused::new(Reason::NotFound).say(message)
}

pub(super) fn unavailable(error: &DatabaseError) -> Status {
    tracing::warn!(%error, "payments database");
    let refused = Refused::new(Reason::PaymentsUnavailable).again_after(UNAVAILABLE_DELAY);
    refused.say(
        "the database of payments is not available; asked again with the same id, an attempt is \
         made once",
    )
}

pub(super) fn not_stuck(state: OperationState) -> Status {
    let refused = Refused::new(Reason::OperationNotStuck).with("state", state.code());
    refused.say("the operation is not stuck: nobody needs to say what became of it")
}

pub(super) fn not_parked(state: WebhookState) -> Status {
    let refused = Refused::new(Reason::OperationNotStuck).with("state", state.code());
    refused.say("the webhook is not parked: nobody needs to decide about it")
}

pub(super) fn refused(error: PaymentError) -> Status {
    let rejection = match error {
        PaymentError::Database(error) => return unavailable(&error),
        PaymentError::Rejected(rejection) => rejection,
    };
    let reason = match &rejection {
        Rejection::NotWanted => Reason::PaymentNotWanted,
        Rejection::NothingToPay => Reason::NothingToPay,
        Rejection::AttemptsSpent => Reason::AttemptsSpent,
        Rejection::OperationUnknown => Reason::NotFound,
        Rejection::Malformed(_) | Rejection::Broken(_) | Rejection::UnderWay => Reason::Internal,
    };
    Refused::new(reason).say(&rejection.to_string())
}
