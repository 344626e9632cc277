use serde::Serialize;
use shared_events::contract::{CancelReason, ReservationId, Sku, Timestamp};

use super::{Details, OrderHeld, StockHeld};

/// The status of an order, derived from its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Placed; stock is being reserved.
    Pending,
    /// Stock holds all units that are open.
    Confirmed,
    /// No unit is open any more, and no return waits.
    Fulfilled,
    /// No unit is open any more, and a return waits for its judgement or for its goods.
    ReturnRequested,
    /// All delivered units were returned.
    Returned,
    /// Cancelled before anything was delivered.
    Cancelled,
}

impl Status {
    /// Every status, in the order of `next`.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::successors(Some(Self::Pending), |status| status.next())
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::Confirmed),
            Self::Confirmed => Some(Self::Fulfilled),
            Self::Fulfilled => Some(Self::ReturnRequested),
            Self::ReturnRequested => Some(Self::Returned),
            Self::Returned => Some(Self::Cancelled),
            Self::Cancelled => None,
        }
    }

    /// The calls that bring an order in this state further. Holds, corrections, parcels and returns of
    /// earlier parcels have states of their own.
    #[must_use]
    pub const fn allows(self) -> &'static [&'static str] {
        match self {
            Self::Pending => &["CancelOrder"],
            Self::Confirmed => &["CancelOrder", "FulfillOrder", "RequestReturn"],
            Self::Fulfilled => &["RequestReturn"],
            Self::ReturnRequested => {
                &["ApproveReturn", "ReceiveReturn", "RejectReturn", "RequestReturn"]
            }
            Self::Returned | Self::Cancelled => &[],
        }
    }

    /// The same without the call that was refused, which more than the state decides.
    #[must_use]
    pub fn allows_beside(self, refused: &str) -> Vec<&'static str> {
        self.allows().iter().copied().filter(|call| *call != refused).collect()
    }

    /// The stable name, such as `RETURN_REQUESTED`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Confirmed => "CONFIRMED",
            Self::Fulfilled => "FULFILLED",
            Self::ReturnRequested => "RETURN_REQUESTED",
            Self::Returned => "RETURNED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

/// An order, built from its events: one variant per state, each with its own data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// It was not placed.
    #[default]
    Absent,
    /// Placed; stock is being reserved.
    Pending(Pending),
    /// Stock holds all open units; others may have been delivered or cancelled, and returned.
    Confirmed(Confirmed),
    /// No unit is open any more, and some were delivered.
    Fulfilled(Fulfilled),
    /// The same, and a return waits: see [`Details::waiting`].
    ReturnRequested(ReturnRequested),
    /// All delivered units were returned.
    Returned(Returned),
    /// Cancelled before anything was delivered.
    Cancelled(Cancelled),
}

/// See [`Order::Pending`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The data of every state.
    pub details: Details,
    /// When it lapses unless confirmed.
    pub confirm_by: Timestamp,
}

/// See [`Order::Confirmed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The data of every state.
    pub details: Details,
    /// The reservation of its stock.
    pub reservation_id: ReservationId,
    /// When the last parcel was shipped, if one was.
    pub shipped_at: Option<Timestamp>,
}

/// See [`Order::Fulfilled`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fulfilled {
    /// The data of every state.
    pub details: Details,
    /// When the last parcel was shipped.
    pub fulfilled_at: Timestamp,
    /// Before this instant a return may be requested.
    pub return_until: Timestamp,
    /// The reservation of its stock, as long as it was confirmed.
    pub reservation_id: ReservationId,
}

/// See [`Order::ReturnRequested`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnRequested {
    /// The order without its waiting returns.
    pub fulfilled: Fulfilled,
}

/// See [`Order::Returned`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// The data of every state.
    pub details: Details,
}

/// See [`Order::Cancelled`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// The data of every state.
    pub details: Details,
    /// Why.
    pub reason: CancelReason,
    /// A comment, if any.
    pub text: String,
    /// The skus that were missing, for [`CancelReason::InsufficientStock`].
    pub skus: Vec<Sku>,
}

impl Pending {
    /// When it lapses: unless stock answers in time, and then unless its money is secured in time.
    #[must_use]
    pub fn lapses_at(&self) -> Timestamp {
        let held = self.details.payment.as_ref().and_then(|payment| payment.held.as_ref());
        held.map_or(self.confirm_by, |held| held.pay_by)
    }

    /// Its stock, where this reservation holds it and the money is waited for.
    pub(super) fn held_by(&self, reservation_id: ReservationId) -> Option<&StockHeld> {
        let held = self.details.payment.as_ref().and_then(|payment| payment.held.as_deref());
        held.filter(|held| held.reservation_id == reservation_id)
    }
}

impl Confirmed {
    /// Whether a parcel was shipped.
    #[must_use]
    pub fn has_delivered(&self) -> bool {
        self.details.lines.iter().any(|line| line.fulfilled > 0)
    }
}

impl Order {
    /// The data of every state; none if it was not placed.
    #[must_use]
    pub const fn details(&self) -> Option<&Details> {
        match self {
            Self::Absent => None,
            Self::Pending(order) => Some(&order.details),
            Self::Confirmed(order) => Some(&order.details),
            Self::Fulfilled(order) => Some(&order.details),
            Self::ReturnRequested(order) => Some(&order.fulfilled.details),
            Self::Returned(order) => Some(&order.details),
            Self::Cancelled(order) => Some(&order.details),
        }
    }

    /// The same, to apply an event.
    pub(super) const fn details_mut(&mut self) -> Option<&mut Details> {
        match self {
            Self::Absent => None,
            Self::Pending(order) => Some(&mut order.details),
            Self::Confirmed(order) => Some(&mut order.details),
            Self::Fulfilled(order) => Some(&mut order.details),
            Self::ReturnRequested(order) => Some(&mut order.fulfilled.details),
            Self::Returned(order) => Some(&mut order.details),
            Self::Cancelled(order) => Some(&mut order.details),
        }
    }

    /// The data of a state with a return window.
    #[must_use]
    pub const fn fulfilled(&self) -> Option<&Fulfilled> {
        match self {
            Self::Fulfilled(order) => Some(order),
            Self::ReturnRequested(order) => Some(&order.fulfilled),
            _ => None,
        }
    }

    /// The same, to apply an event.
    pub(super) const fn fulfilled_mut(&mut self) -> Option<&mut Fulfilled> {
        match self {
            Self::Fulfilled(order) => Some(order),
            Self::ReturnRequested(order) => Some(&mut order.fulfilled),
            _ => None,
        }
    }

    /// The status; none if it was not placed.
    #[must_use]
    pub const fn status(&self) -> Option<Status> {
        match self {
            Self::Absent => None,
            Self::Pending(_) => Some(Status::Pending),
            Self::Confirmed(_) => Some(Status::Confirmed),
            Self::Fulfilled(_) => Some(Status::Fulfilled),
            Self::ReturnRequested(_) => Some(Status::ReturnRequested),
            Self::Returned(_) => Some(Status::Returned),
            Self::Cancelled(_) => Some(Status::Cancelled),
        }
    }

    /// The order in the state that follows from its units and its returns, once no unit is open.
    pub(super) fn settled(fulfilled: Fulfilled) -> Self {
        if !fulfilled.details.waiting.is_empty() {
            Self::ReturnRequested(ReturnRequested { fulfilled })
        } else if fulfilled.details.lines.iter().all(|line| line.kept() == 0) {
            Self::Returned(Returned { details: fulfilled.details })
        } else {
            Self::Fulfilled(fulfilled)
        }
    }

    /// The same after its returns have changed.
    pub(super) fn after_returns(self) -> Self {
        match self {
            Self::Fulfilled(fulfilled) | Self::ReturnRequested(ReturnRequested { fulfilled }) => {
                Self::settled(fulfilled)
            }
            other => other,
        }
    }

    /// Whether no command can change it any more, but a note and that a lost parcel was found: it has
    /// ended, or it was delivered and its return window has passed.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        match self {
            Self::Fulfilled(order) => order.return_until <= now && self.is_quiet(),
            _ => self.is_ended() && self.is_quiet(),
        }
    }

    /// Whether no answer about its money is waited for.
    fn is_quiet(&self) -> bool {
        let payment = self.details().and_then(|details| details.payment.as_ref());
        payment.is_none_or(|payment| payment.is_quiet())
    }

    /// The holds that stand, oldest first; an order that has ended has none.
    pub fn standing_holds(&self) -> impl Iterator<Item = &OrderHeld> {
        let details = self.details().filter(|_| !self.is_ended());
        details.into_iter().flat_map(Details::standing_holds)
    }

    /// Whether it is in a final state.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Returned(_) | Self::Cancelled(_))
    }
}
