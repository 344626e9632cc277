use serde::Serialize;
use shared_events::contract::{CancelReason, Money, ReservationId, ReturnId, Sku, Timestamp};

use super::{Details, LineQuantity};

/// The status of an order, derived from its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Placed; stock is being reserved.
    Pending,
    /// Stock holds all units.
    Confirmed,
    /// No unit is open any more.
    Fulfilled,
    /// A return waits for an operator's judgement.
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

    /// The calls that change an order in this state.
    #[must_use]
    pub const fn allows(self) -> &'static [&'static str] {
        match self {
            Self::Pending => &["CancelOrder"],
            Self::Confirmed => &["CancelOrder", "FulfillOrder"],
            Self::Fulfilled => &["RequestReturn"],
            Self::ReturnRequested => &["ApproveReturn", "RejectReturn"],
            Self::Returned | Self::Cancelled => &[],
        }
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
    /// Stock holds all units; some may have been delivered or cancelled.
    Confirmed(Confirmed),
    /// No unit is open any more, and some were delivered.
    Fulfilled(Fulfilled),
    /// A return waits for judgement.
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
}

/// See [`Order::ReturnRequested`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnRequested {
    /// The state before the request, restored if the return is rejected.
    pub fulfilled: Fulfilled,
    /// The waiting return.
    pub return_id: ReturnId,
    /// Its units.
    pub lines: Vec<LineQuantity>,
    /// Why it was requested.
    pub reason: String,
    /// When operators are reminded if it is not judged.
    pub judge_by: Timestamp,
    /// Whether they have been reminded.
    pub escalated: bool,
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

impl ReturnRequested {
    /// What the customer paid for the units of the return.
    #[must_use]
    pub fn value(&self) -> Money {
        self.fulfilled.details.value_of(&self.lines)
    }

    /// What is paid back if nothing else is said: the units, and these charges. After a goodwill
    /// refund that is what is left.
    #[must_use]
    pub fn default_refund(&self, charges: Money) -> Money {
        let most = self.fulfilled.details.refundable();
        Money { minor: self.value().minor.saturating_add(charges.minor).min(most.minor), ..most }
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

    /// Whether no command but a note can change it any more: it has ended, or it was delivered and its return
    /// window has passed.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        match self {
            Self::Fulfilled(order) => order.return_until <= now,
            _ => self.is_ended(),
        }
    }

    /// Whether it is in a final state.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Returned(_) | Self::Cancelled(_))
    }
}
