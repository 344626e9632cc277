use super::mailbox::{Context, Refusal};
use crate::domain::{Command, Event, Order, evolve};

/// Refuses an order that the caller may not see, before anything else is revealed about it. Another
/// customer's order looks like a missing one; placing it reveals only that the id is taken.
pub(super) fn check_visible(
    order: &Order,
    command: &Command,
    context: &Context,
) -> Result<(), Refusal> {
    match order.details() {
        Some(details) if context.by.owns(details) => Ok(()),
        None if command.creates_order() => Ok(()),
        _ => Err(command.hidden().into()),
    }
}

/// The order after these events. An impossible event must never reach the journal.
pub(super) fn evolved(order: &Order, events: &[Event]) -> Result<Order, Refusal> {
    events.iter().try_fold(order.clone(), evolve).map_err(|impossible| {
        tracing::error!(%impossible, "decide and evolve disagree; nothing was appended");
        Refusal::Unavailable("the decision could not be applied".to_owned())
    })
}
