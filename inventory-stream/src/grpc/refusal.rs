use std::time::Duration;

use service_edge::{Refused, violation};
use shared_events::contract::Reason;
use shared_events::stream::DatabaseError;
use tonic::Status;

use crate::store::MoveError;

/// After this a caller may ask again that found the database unavailable.
const UNAVAILABLE_DELAY: Duration = Duration::from_millis(500);

pub(super) fn not_found(message: &str) -> Status {
    Refused::new(Reason::NotFound).say(message)
}

pub(super) fn unavailable(error: &DatabaseError) -> Status {
    tracing::warn!(%error, "stock database");
    Refused::new(Reason::StockUnavailable)
        .again_after(UNAVAILABLE_DELAY)
        .say("the stock database is not available")
}

pub(super) fn move_status(error: &MoveError, field: &str) -> Status {
    let message = error.to_string();
    match error {
        MoveError::InsufficientStock { sku, reserved, orders, .. } => {
            let refused = Refused::new(Reason::InsufficientStock);
            match orders.filter(|orders| *orders > 0) {
                Some(orders) => {
                    let refused = refused.with("sku", sku).with("reserved", reserved);
                    refused.with("orders", orders).say(&message)
                }
                None => refused.say(&message),
            }
        }
        MoveError::NotWithdrawable { sku, .. } | MoveError::TooManyLosers { sku } => {
            Refused::new(Reason::InsufficientStock).with("sku", sku).say(&message)
        }
        MoveError::TooMany => violation(field, &message),
        MoveError::OnHandMismatch { sku, expected, on_hand } => {
            Refused::new(Reason::OnHandMismatch)
                .with("sku", sku)
                .with("expected", expected)
                .with("actual", on_hand)
                .say(&message)
        }
        MoveError::NoSuchLocation { location } => {
            Refused::new(Reason::NoSuchLocation).with("location", location).say(&message)
        }
        MoveError::TooManyLocations => violation(field, &message),
        MoveError::RequestIdReused { .. } => {
            Refused::new(Reason::IdempotencyKeyReused).say(&message)
        }
        MoveError::Database(error) => unavailable(error),
    }
}
