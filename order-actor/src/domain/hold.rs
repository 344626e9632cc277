//! Named holds: an order that is held does not ship. Several may stand at once, each under a name of
//! its own. Never here: who may hold an order, or release it (`commands`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_events::contract::{HoldId, Timestamp};

use super::evolve::{Evolved, WRONG_STATE};
use super::{Details, Order};

/// Why an order is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HoldKind {
    /// It may be a fraud.
    Fraud,
    /// Its address has to be clarified.
    Address,
    /// Anything else; the label says what.
    Custom,
}

impl HoldKind {
    /// The stable name, such as `FRAUD`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Fraud => "FRAUD",
            Self::Address => "ADDRESS",
            Self::Custom => "CUSTOM",
        }
    }
}

/// See [`Event::OrderHeld`](super::Event::OrderHeld).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderHeld {
    /// The hold.
    pub hold_id: HoldId,
    /// Its kind.
    pub kind: HoldKind,
    /// Its label; never empty where the kind is [`HoldKind::Custom`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl OrderHeld {
    /// The name by which people release it: its label, or its kind where it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.label.is_empty() { self.kind.code() } else { &self.label }
    }
}

/// See [`Event::HoldReleased`](super::Event::HoldReleased).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReleased {
    /// The hold.
    pub hold_id: HoldId,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A hold of an order. Released ones are kept, so that a repeated id is detected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// As it was placed.
    pub held: Arc<OrderHeld>,
    /// Why it was released, if it was.
    pub released: Option<Arc<str>>,
}

impl Details {
    /// The hold with this id, standing or released.
    #[must_use]
    pub fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.held.hold_id == id)
    }

    /// The holds that were not released, oldest first.
    pub fn standing_holds(&self) -> impl Iterator<Item = &OrderHeld> {
        self.holds.iter().filter(|hold| hold.released.is_none()).map(|hold| hold.held.as_ref())
    }
}

/// The order with a hold more.
pub(super) fn held(mut order: Order, event: &OrderHeld) -> Evolved {
    let (Order::Pending(_) | Order::Confirmed(_)) = order else { return Err(WRONG_STATE) };
    let details = order.details_mut().ok_or(WRONG_STATE)?;
    let named = details.standing_holds().any(|hold| hold.name() == event.name());
    if named || details.hold(event.hold_id).is_some() {
        return Err("the order is held by it already");
    }
    if event.kind == HoldKind::Custom && event.label.is_empty() {
        return Err("a hold without a label");
    }
    details.holds.push(Hold { held: Arc::new(event.clone()), released: None });
    Ok(order)
}

/// The order without that hold.
pub(super) fn released(mut order: Order, event: &HoldReleased) -> Evolved {
    if order.is_ended() {
        return Err(WRONG_STATE);
    }
    let details = order.details_mut().ok_or(WRONG_STATE)?;
    let hold = details.holds.iter_mut().find(|hold| hold.held.hold_id == event.hold_id);
    let hold = hold.filter(|hold| hold.released.is_none()).ok_or("the order is not held by it")?;
    hold.released = Some(event.reason.as_str().into());
    Ok(order)
}
