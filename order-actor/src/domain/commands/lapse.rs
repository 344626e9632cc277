use shared_events::contract::CancelReason;

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS};
use crate::domain::{By, CommandKind, Details, Event, Order, Role};

/// The confirmation window of an order may have passed. It has no content.
pub(in crate::domain) struct Lapse;

impl Decide for Lapse {
    fn kind(&self) -> CommandKind {
        CommandKind::Lapse
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn on_absent(&self, _: &DecisionContext<'_>) -> Decision {
        NOTHING_HAPPENS
    }

    fn on_existing(&self, order: &Order, _: &Details, context: &DecisionContext<'_>) -> Decision {
        match order {
            Order::Pending(pending) if context.now >= pending.lapses_at() => {
                Ok(vec![Event::OrderCancelled {
                    reason: CancelReason::SlaTimeout,
                    text: String::new(),
                    was_confirmed: false,
                    skus: Vec::new(),
                    at: context.now,
                }])
            }
            _ => NOTHING_HAPPENS,
        }
    }
}
