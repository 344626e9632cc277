use serde::Serialize;

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS};
use crate::domain::{
    By, CommandKind, Compensation, CompensationCompleted, Details, Event, Order, Role,
};

/// Stock or money that a cancelled order held is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compensated {
    /// Whether its stock is free again.
    pub stock: bool,
    /// Whether its money is back.
    pub money: bool,
}

impl Decide for Compensated {
    fn kind(&self) -> CommandKind {
        CommandKind::Compensated
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn on_existing(&self, order: &Order, _: &Details, context: &DecisionContext<'_>) -> Decision {
        // Also stock of cancelled units of an order that goes on is free again.
        let Compensation::Running(open) = order.compensation() else { return NOTHING_HAPPENS };
        let (stock, money, at) = (self.stock && open.stock, self.money && open.money, context.now);
        if !stock && !money {
            return NOTHING_HAPPENS;
        }
        Ok(vec![Event::CompensationCompleted(CompensationCompleted { stock, money, at })])
    }
}
