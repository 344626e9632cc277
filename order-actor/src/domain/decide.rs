use shared_events::contract::Timestamp;

use super::commands::DecisionContext;
use super::guards::Decision;
use super::{By, Command, Order, Policy};

/// Decides a command: its events, none if the order already is as requested, or the rejection by
/// the first guard that fails. The guards run in the same order for every command: the caller's
/// role, the command by itself, whether the caller can see the order, its state, the content.
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
    command.authorize(by)?;
    let rules = command.rules();
    let context = DecisionContext { by, now, policy };
    let Some(details) = order.details() else { return rules.on_absent(&context) };
    rules.check()?;
    if !by.owns(details) {
        return Err(rules.hidden());
    }
    rules.on_existing(order, details, &context)
}
