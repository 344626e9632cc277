use std::time::Duration;

use service_edge::{Refused, violation};
use shared_events::contract::Reason;
use shared_events::stream::DatabaseError;
use tonic::Status;

use crate::store::SetError;

/// After this a caller may ask again that found the database unavailable.
const UNAVAILABLE_DELAY: Duration = Duration::from_millis(500);

pub(super) fn not_found(message: &str) -> Status {
    Refused::new(Reason::NotFound).say(message)
}

pub(super) fn away(error: &DatabaseError) -> Status {
    tracing::warn!(%error, "stock database");
    Refused::new(Reason::StockUnavailable)
        .again_after(UNAVAILABLE_DELAY)
        .say("the stock database is not available")
}

pub(super) fn refused(error: &SetError, field: &str) -> Status {
    let message = error.to_string();
    match error {
        SetError::InsufficientStock { .. } => Refused::new(Reason::InsufficientStock).say(&message),
        SetError::TooMany => violation(field, &message),
        SetError::OnHandMismatch { sku, expected, on_hand } => Refused::new(Reason::OnHandMismatch)
            .with("sku", sku)
            .with("expected", expected)
            .with("actual", on_hand)
            .say(&message),
        SetError::RequestIdReused { .. } => {
            Refused::new(Reason::IdempotencyKeyReused).say(&message)
        }
        SetError::Database(error) => away(error),
    }
}
