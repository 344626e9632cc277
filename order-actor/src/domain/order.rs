use std::sync::Arc;

use serde::Serialize;
use shared_events::contract::{
    CancelReason, Contact, CustomerId, Money, OrderId, ReservationId, ReturnId, SellerId,
    ShipmentId, Sku, Timestamp,
};

use super::{Address, LineQuantity, Restitution};

/// The headline of an order, derived from its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Placed; stock is being reserved.
    Pending,
    /// All units are held.
    Confirmed,
    /// Nothing is left to deliver.
    Fulfilled,
    /// Units are asked to come back; operators judge.
    ReturnRequested,
    /// Everything delivered came back.
    Returned,
    /// Nothing will be delivered.
    Cancelled,
}

impl Status {
    /// Every status: the first one, and what stands after each.
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

/// An order as its events have made it: one variant per state, each with its own data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Nothing happened yet.
    #[default]
    Absent,
    /// Placed; stock is being reserved.
    Pending(Pending),
    /// All units are held; some may have been delivered or cancelled.
    Confirmed(Confirmed),
    /// Nothing is left to deliver, something was delivered.
    Fulfilled(Fulfilled),
    /// A return waits for judgement.
    ReturnRequested(ReturnRequested),
    /// Everything delivered came back.
    Returned(Returned),
    /// Nothing was delivered and nothing will be.
    Cancelled(Cancelled),
}

/// What every order has, whatever its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Its id.
    pub order_id: OrderId,
    /// Who placed it.
    pub customer_id: CustomerId,
    /// Its lines, by number from 1.
    pub lines: Vec<Line>,
    /// The sum of all lines as ordered.
    pub total: Money,
    /// What has been promised back so far.
    pub refunded: Money,
    /// Where it goes.
    pub address: Arc<Address>,
    /// How the customer is reached.
    pub contact: Arc<Contact>,
    /// When the engine accepted it; decides the windows.
    pub placed_at: Timestamp,
    /// When it was ordered by the client's own account; decides nothing.
    pub ordered_at: Option<Timestamp>,
    /// Parcels that left, in order.
    pub shipments: Vec<Arc<Shipment>>,
    /// Returns that were judged, in order.
    pub judged: Vec<Arc<JudgedReturn>>,
    /// Events that have happened to it.
    pub events: u64,
    /// How often units were cancelled at the customer's request while others stayed.
    pub customer_cancels: u64,
    /// How often the customer asked for a return.
    pub customer_returns: u64,
}

/// A parcel that left: what was said of it, so that another one under its id is told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// Its id.
    pub shipment_id: ShipmentId,
    /// Its units.
    pub lines: Vec<LineQuantity>,
    /// Whether those were all that were open.
    pub took_the_rest: bool,
    /// Who carries it.
    pub carrier: String,
    /// The carrier's tracking number.
    pub tracking: String,
}

/// A return that was judged: what was asked and what was answered, so that other words under its id
/// are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedReturn {
    /// Its id.
    pub return_id: ReturnId,
    /// The units that were to come back.
    pub lines: Vec<LineQuantity>,
    /// Why they were.
    pub reason: String,
    /// How it was judged.
    pub judgement: Judgement,
}

/// How a return was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The units come back.
    Approved {
        /// The units and what becomes of them.
        lines: Vec<Restitution>,
        /// What is paid back.
        refund: Money,
        /// Why that is above the value of the units.
        refund_reason: String,
    },
    /// The units stay.
    Rejected {
        /// Why.
        reason: String,
    },
}

impl JudgedReturn {
    /// Whether the units came back.
    #[must_use]
    pub const fn is_approved(&self) -> bool {
        matches!(self.judgement, Judgement::Approved { .. })
    }
}

/// A line of an order and what became of its units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 1-based number.
    pub number: u32,
    /// What was ordered.
    pub sku: Sku,
    /// The price of one unit.
    pub unit_price: Money,
    /// Who sells it, where a shop has several sellers.
    pub seller_id: Option<SellerId>,
    /// Units ordered.
    pub ordered: u32,
    /// Units that will not be delivered.
    pub cancelled: u32,
    /// Units delivered.
    pub fulfilled: u32,
    /// Units in a return that waits for judgement.
    pub in_return: u32,
    /// Units that came back.
    pub returned: u32,
}

impl Line {
    /// Units still to be delivered.
    #[must_use]
    pub const fn open(&self) -> u32 {
        self.ordered.saturating_sub(self.cancelled).saturating_sub(self.fulfilled)
    }

    /// Units the customer has and has not asked to return.
    #[must_use]
    pub const fn kept(&self) -> u32 {
        self.fulfilled.saturating_sub(self.returned).saturating_sub(self.in_return)
    }
}

/// See [`Order::Pending`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What every order has.
    pub details: Details,
    /// When it lapses unless confirmed.
    pub confirm_by: Timestamp,
}

/// See [`Order::Confirmed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// What every order has.
    pub details: Details,
    /// The hold on its stock.
    pub reservation_id: ReservationId,
    /// When the last parcel left, if one has.
    pub shipped_at: Option<Timestamp>,
}

/// See [`Order::Fulfilled`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fulfilled {
    /// What every order has.
    pub details: Details,
    /// When the last parcel left.
    pub fulfilled_at: Timestamp,
    /// Before this instant a return may be requested.
    pub return_until: Timestamp,
}

/// See [`Order::ReturnRequested`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnRequested {
    /// As it was before, and will be again if the return is rejected.
    pub fulfilled: Fulfilled,
    /// The return that waits.
    pub return_id: ReturnId,
    /// Its units.
    pub lines: Vec<LineQuantity>,
    /// The customer's words.
    pub reason: String,
    /// When operators are reminded unless they judged.
    pub judge_by: Timestamp,
    /// Whether they have been reminded.
    pub escalated: bool,
}

/// See [`Order::Returned`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// What every order has.
    pub details: Details,
}

/// See [`Order::Cancelled`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// What every order has.
    pub details: Details,
    /// Why.
    pub reason: CancelReason,
    /// Further words, if any.
    pub text: String,
    /// The skus that were missing, for [`CancelReason::InsufficientStock`].
    pub skus: Vec<Sku>,
}

impl Details {
    /// The line of that number.
    #[must_use]
    pub fn line(&self, number: u32) -> Option<&Line> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.lines.get(index)
    }

    /// The parcel of that id, if it left.
    #[must_use]
    pub fn shipment(&self, id: ShipmentId) -> Option<&Shipment> {
        self.shipments.iter().find(|left| left.shipment_id == id).map(Arc::as_ref)
    }

    /// The return of that id, if it was judged.
    #[must_use]
    pub fn judged(&self, id: ReturnId) -> Option<&JudgedReturn> {
        self.judged.iter().find(|judged| judged.return_id == id).map(Arc::as_ref)
    }

    /// What may still be paid back: the total, less the value of the units that were cancelled and
    /// so never paid for, less what was promised back. Never below zero.
    #[must_use]
    pub fn refundable(&self) -> Money {
        let cancelled: i128 = self
            .lines
            .iter()
            .map(|line| i128::from(line.unit_price.minor) * i128::from(line.cancelled))
            .sum();
        let left = i128::from(self.total.minor) - cancelled - i128::from(self.refunded.minor);
        Money::new(i64::try_from(left.max(0)).unwrap_or(i64::MAX), self.total.currency)
    }
}

impl Confirmed {
    /// Whether a parcel has left.
    #[must_use]
    pub fn has_delivered(&self) -> bool {
        self.details.lines.iter().any(|line| line.fulfilled > 0)
    }
}

impl Order {
    /// What every order has; none where nothing happened yet.
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

    /// The same, for the event that is happening.
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

    /// The headline; none where nothing happened yet.
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

    /// Whether no command changes it any more, now or later: it has ended, or it was delivered and
    /// can no longer be returned.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        match self {
            Self::Fulfilled(order) => order.return_until <= now,
            _ => self.is_ended(),
        }
    }

    /// Whether nothing can happen to it any more.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self, Self::Returned(_) | Self::Cancelled(_))
    }
}
