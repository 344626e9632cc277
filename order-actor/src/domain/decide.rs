use shared_events::contract::Timestamp;

use super::commands::Asked;
use super::guards::Decision;
use super::{By, Command, Order, Policy};

/// Decides a command: the events it brings about, none where it is so already, or the first guard
/// that refuses it. Guards are checked in this order, for every command: who asks, then what can be
/// wrong with it whatever the order is like, then whether the order exists for them, then its state,
/// then the content.
///
/// # Errors
/// [`Rejection`](super::Rejection)
pub fn decide(
    order: &Order,
    command: &Command,
    by: &By,
    now: Timestamp,
    policy: &Policy,
) -> Decision {
    command.may(by)?;
    let meaning = command.meaning();
    meaning.check()?;
    let asked = Asked { by, now, policy };
    match order.details() {
        None => meaning.of_none(&asked),
        Some(details) if !by.owns(details) => Err(meaning.hidden()),
        Some(details) => meaning.of(order, details, &asked),
    }
}
