use serde::Serialize;
use shared_events::contract::HoldId;

use super::{Decide, DecisionContext};
use crate::domain::guards::{
    Decision, invalid_transition, label_fits, leaves_room_to_end, reason_given, same_or_exists,
};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, HoldKind, Order, OrderHeld, Rejection, Role, bounds,
};

/// Hold an order: it does not ship until the hold is released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoldOrder {
    /// The hold's id; repeating it changes nothing.
    pub hold_id: HoldId,
    /// Its kind.
    pub kind: HoldKind,
    /// Its label, at most [`HOLD_LABEL_MAX`](bounds::HOLD_LABEL_MAX) characters; only
    /// [`HoldKind::Custom`] needs one. Label, or else kind, is its name, which no two standing holds
    /// of an order share.
    pub label: String,
    /// Why, 1 to [`TEXT_MAX`](bounds::TEXT_MAX) characters.
    pub reason: String,
}

impl Decide for HoldOrder {
    fn kind(&self) -> CommandKind {
        CommandKind::HoldOrder
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
        let event = OrderHeld {
            hold_id: self.hold_id,
            kind: self.kind,
            label: self.label.clone(),
            reason: self.reason.clone(),
            at: context.now,
        };
        if let Some(hold) = details.hold(self.hold_id) {
            let held = &hold.held;
            let same = same_or_exists(
                Existing::Hold,
                &[
                    ("kind", held.kind != self.kind),
                    ("label", held.label != self.label),
                    ("reason", held.reason != self.reason),
                ],
            );
            let (existing, differs) = (Existing::ReleasedHold, Vec::new());
            let released = Rejection::AlreadyExists { existing, differs };
            return if hold.released.is_some() { same.and(Err(released)) } else { same };
        }
        let (Order::Pending(_) | Order::Confirmed(_)) = order else {
            return Err(invalid_transition(order, "HoldOrder"));
        };
        if self.kind == HoldKind::Custom && self.label.trim().is_empty() {
            let (at, detail) = ("label", "required for this kind");
            return Err(Rejection::InvalidField { at, detail });
        }
        label_fits(&self.label)?;
        reason_given(&self.reason)?;
        if details.standing_holds().any(|held| held.name() == event.name()) {
            return same_or_exists(Existing::Hold, &[("hold_id", true)]);
        }
        if details.standing_holds().count() >= bounds::HOLDS_MAX {
            return Err(Rejection::TooManyHolds);
        }
        leaves_room_to_end(details)?;
        Ok(vec![Event::OrderHeld(event)])
    }
}
