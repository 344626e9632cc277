use std::time::Duration;

use service_edge::Refused;
use shared_events::contract::Reason;
use shared_events::stream::DatabaseError;
use tonic::Status;

use crate::domain::{Rejection, WebhookState};
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

pub(super) fn not_parked(state: WebhookState) -> Status {
    let refused = Refused::new(Reason::OperationNotStuck).with("state", state.code());
    refused.say("the webhook is not parked: nobody needs to decide about it")
}

pub(super) fn refused(error: PaymentError) -> Status {
    let rejection = match error {
        PaymentError::Database(error) => return unavailable(&error),
        PaymentError::Rejected(rejection) => rejection,
    };
    let refused = match &rejection {
        Rejection::NotWanted => Refused::new(Reason::PaymentNotWanted),
        Rejection::NothingToPay => Refused::new(Reason::NothingToPay),
        Rejection::AttemptsSpent => Refused::new(Reason::AttemptsSpent),
        Rejection::OtherToken | Rejection::AttemptOfLost => {
            Refused::new(Reason::IdempotencyKeyReused).about("attempt_id")
        }
        Rejection::NotStuck(state) => {
            Refused::new(Reason::OperationNotStuck).with("state", state.code())
        }
        Rejection::OperationUnknown => Refused::new(Reason::NotFound),
        Rejection::Malformed(_) | Rejection::Broken(_) | Rejection::UnderWay => {
            Refused::new(Reason::Internal)
        }
    };
    refused.say(&rejection.to_string())
}
