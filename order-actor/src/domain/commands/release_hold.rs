use serde::Serialize;
use shared_events::contract::HoldId;

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, invalid_transition, reason_given, same_or_exists};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, Hold, HoldReleased, Order, Rejection, Role,
};

/// Release a hold: once none stands, the order ships again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseHold {
    /// The hold.
    pub hold: HoldName,
    /// Why, 1 to [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub reason: String,
}

/// A hold as commands name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum HoldName {
    /// By its id.
    Id(HoldId),
    /// By its label, or its kind where it has none.
    Name(String),
}

impl Decide for ReleaseHold {
    fn kind(&self) -> CommandKind {
        CommandKind::ReleaseHold
    }

    fn allows(&self, by: &By) -> bool {
        matches!(by.role(), Role::Service | Role::Ops)
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        let Some(hold) = self.find(details) else {
            let holds = details.standing_holds().map(|hold| hold.name().to_owned()).collect();
            return Err(Rejection::NoSuchHold { holds });
        };
        if let Some(reason) = &hold.released {
            return same_or_exists(Existing::Release, &[("reason", **reason != *self.reason)]);
        }
        if order.is_ended() {
            return Err(invalid_transition(order, "ReleaseHold"));
        }
        reason_given(&self.reason)?;
        Ok(vec![Event::HoldReleased(HoldReleased {
            hold_id: hold.held.hold_id,
            reason: self.reason.clone(),
            at: context.now,
        })])
    }
}

impl ReleaseHold {
    /// The hold; of a name, the standing one, or else one that was released before.
    fn find<'a>(&self, details: &'a Details) -> Option<&'a Hold> {
        match &self.hold {
            HoldName::Id(id) => details.hold(*id),
            HoldName::Name(name) => {
                let named = details.holds.iter().filter(|hold| hold.held.name() == name);
                named.max_by_key(|hold| hold.released.is_none())
            }
        }
    }
}
