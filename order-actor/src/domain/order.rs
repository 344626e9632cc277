use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use shared_events::contract::{
    CancelReason, CustomerId, Money, OrderId, ReservationId, ReturnId, SellerId, ShipmentId, Sku,
    Timestamp,
};

use super::{
    Amount, Charge, ChargeRefund, Discount, LineQuantity, Person, Restitution, Tax, TaxMode, Totals,
};

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

/// The data of an order in every state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Its id.
    pub order_id: OrderId,
    /// Its customer.
    pub customer_id: CustomerId,
    /// Its lines, by number from 1.
    pub lines: Vec<Line>,
    /// What is charged beside them, by number from 1.
    pub charges: Vec<OrderCharge>,
    /// What it was placed with beside lines and charges.
    pub terms: Arc<Terms>,
    /// Its sums as ordered.
    pub totals: Totals,
    /// What has been promised back so far.
    pub refunded: Money,
    /// Who gets it and pays for it.
    pub person: Arc<Person>,
    /// When the engine accepted it; time windows start here.
    pub placed_at: Timestamp,
    /// When it was ordered, as reported by the client; no decision depends on it.
    pub ordered_at: Option<Timestamp>,
    /// Shipped parcels, in order.
    pub shipments: Vec<Arc<Shipment>>,
    /// Judged returns, in order.
    pub judged: Vec<Arc<JudgedReturn>>,
    /// The number of its events.
    pub events: u64,
    /// How often the customer cancelled some of its units.
    pub customer_cancels: u64,
    /// How often the customer requested a return.
    pub customer_returns: u64,
}

/// What an order was placed with that nothing changes later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Discounts of the whole order.
    pub discounts: Vec<Discount>,
    /// Whether taxes come on top of the prices.
    pub tax_mode: TaxMode,
    /// Words by which the client finds it.
    pub tags: Vec<String>,
    /// What the client keeps beside it.
    pub metadata: BTreeMap<String, String>,
}

/// A charge of an order and what of it was paid back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderCharge {
    /// As it was placed.
    pub charge: Charge,
    /// What it costs.
    pub amount: Amount,
    /// What of that was promised back, in minor units.
    pub refunded: i64,
}

/// A shipped parcel, as recorded, so that a repeated id with other content is detected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// Its id.
    pub shipment_id: ShipmentId,
    /// Its units.
    pub lines: Vec<LineQuantity>,
    /// Whether they were all open units.
    pub took_all_open: bool,
    /// The carrier.
    pub carrier: String,
    /// The carrier's tracking number.
    pub tracking: String,
}

/// A judged return: request and judgement, so that a repeated id with other content is detected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedReturn {
    /// Its id.
    pub return_id: ReturnId,
    /// The units of the return.
    pub lines: Vec<LineQuantity>,
    /// Why it was requested.
    pub reason: String,
    /// The judgement.
    pub judgement: Judgement,
}

/// The judgement of a return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The units are taken back.
    Approved {
        /// The units and their dispositions.
        lines: Vec<Restitution>,
        /// The refund.
        refund: Money,
        /// Why the refund is above the value of the units.
        refund_reason: String,
        /// What of it is for charges.
        charges: Vec<ChargeRefund>,
        /// What would have been paid back if nothing else had been said.
        default: Money,
    },
    /// The units stay with the customer.
    Rejected {
        /// Why.
        reason: String,
    },
}

impl JudgedReturn {
    /// Whether it was approved.
    #[must_use]
    pub const fn is_approved(&self) -> bool {
        matches!(self.judgement, Judgement::Approved { .. })
    }
}

/// A line of an order, with its units by state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 1-based number.
    pub number: u32,
    /// The product.
    pub sku: Sku,
    /// The price of one unit.
    pub unit_price: Money,
    /// The seller, where a shop has several.
    pub seller_id: Option<SellerId>,
    /// Units ordered.
    pub ordered: u32,
    /// Units cancelled.
    pub cancelled: u32,
    /// Units delivered.
    pub fulfilled: u32,
    /// Units in a return that waits for judgement.
    pub in_return: u32,
    /// Units returned.
    pub returned: u32,
    /// What its units cost.
    pub amounts: LineAmounts,
    /// What it was placed with beside its price; nothing, for most.
    pub description: Option<Arc<LineDescription>>,
}

/// What a line was placed with that nothing changes later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineDescription {
    /// Its name for people.
    pub title: String,
    /// What else there is to say of it.
    pub attributes: BTreeMap<String, String>,
    /// Its own discounts.
    pub discounts: Vec<Discount>,
    /// Its taxes.
    pub taxes: Vec<Tax>,
}

/// What the units of a line cost, by what became of them. Each is the sum of parts that were taken
/// from what was left, so that the parts add up to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineAmounts {
    /// All units.
    pub ordered: Amount,
    /// Those that will not be delivered.
    pub cancelled: Amount,
    /// Those delivered, also where they came back.
    pub fulfilled: Amount,
    /// Those that came back.
    pub returned: Amount,
}

impl Line {
    /// What so many of the open units cost.
    #[must_use]
    pub fn open_amount(&self, units: u32) -> Amount {
        let LineAmounts { ordered, cancelled, fulfilled, .. } = self.amounts;
        ordered.minus(cancelled).minus(fulfilled).part(units, self.open())
    }

    /// What so many of the units cost that were delivered and have not come back.
    #[must_use]
    pub fn delivered_amount(&self, units: u32) -> Amount {
        let LineAmounts { fulfilled, returned, .. } = self.amounts;
        fulfilled.minus(returned).part(units, self.fulfilled.saturating_sub(self.returned))
    }

    /// Units not delivered yet.
    #[must_use]
    pub const fn open(&self) -> u32 {
        self.ordered.saturating_sub(self.cancelled).saturating_sub(self.fulfilled)
    }

    /// Delivered units that are in no return.
    #[must_use]
    pub const fn kept(&self) -> u32 {
        self.fulfilled.saturating_sub(self.returned).saturating_sub(self.in_return)
    }
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

impl Details {
    /// The line with this number.
    #[must_use]
    pub fn line(&self, number: u32) -> Option<&Line> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.lines.get(index)
    }

    /// The shipped parcel with this id.
    #[must_use]
    pub fn shipment(&self, id: ShipmentId) -> Option<&Shipment> {
        self.shipments.iter().find(|shipment| shipment.shipment_id == id).map(Arc::as_ref)
    }

    /// The judged return with this id.
    #[must_use]
    pub fn judged(&self, id: ReturnId) -> Option<&JudgedReturn> {
        self.judged.iter().find(|judged| judged.return_id == id).map(Arc::as_ref)
    }

    /// What may still be refunded: the total, less the value of cancelled units, which were never
    /// paid for, less earlier refunds. Never below zero.
    #[must_use]
    pub fn refundable(&self) -> Money {
        let cancelled: i128 =
            self.lines.iter().map(|line| i128::from(line.amounts.cancelled.total)).sum();
        let total = self.totals.total;
        let left = i128::from(total.minor) - cancelled - i128::from(self.refunded.minor);
        Money::new(i64::try_from(left.max(0)).unwrap_or(i64::MAX), total.currency)
    }

    /// What the customer paid for units that were delivered and have not come back.
    #[must_use]
    pub fn value_of(&self, units: &[LineQuantity]) -> Money {
        let amount = |units: &LineQuantity| {
            self.line(units.line).map(|line| line.delivered_amount(units.quantity.get()).total)
        };
        // Parts of the total, which fits.
        let sum = units.iter().filter_map(amount).fold(0_i64, i64::saturating_add);
        Money::new(sum, self.totals.total.currency)
    }

    /// The charge of that number.
    #[must_use]
    pub fn charge(&self, number: u32) -> Option<&OrderCharge> {
        self.charges.iter().find(|one| one.charge.number == number)
    }
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

    /// Whether no command can change it any more: it has ended, or it was delivered and its return
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
