use shared_events::contract::CancelReason;

use super::{Asked, Decide};
use crate::domain::guards::{Decision, NOTHING_HAPPENS};
use crate::domain::{By, CommandKind, Details, Event, Order, Role};

/// The confirmation window of an order may have passed. It has nothing to say besides.
pub(in crate::domain) struct Lapse;

impl Decide for Lapse {
    fn kind(&self) -> CommandKind {
        CommandKind::Lapse
    }

    fn may(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn of_none(&self, _: &Asked<'_>) -> Decision {
        NOTHING_HAPPENS
    }

    fn of(&self, order: &Order, _: &Details, asked: &Asked<'_>) -> Decision {
        match order {
            Order::Pending(pending) if asked.now >= pending.confirm_by => {
                Ok(vec![Event::OrderCancelled {
                    reason: CancelReason::SlaTimeout,
                    text: String::new(),
                    was_confirmed: false,
                    skus: Vec::new(),
                    at: asked.now,
                }])
            }
            _ => NOTHING_HAPPENS,
        }
    }
}
