//! The money of an order with a payment plan: what is wanted, what stands, and what goes back.
//! Never here: how it moves at the provider; the service of payments knows that.

use std::sync::Arc;

use shared_events::contract::{LossCause, Money, PaymentId, RefundId, SellerId, Timestamp};

use super::backorder::still_backordered;
use super::guards::Decision;
use super::{Details, Event, Order, PaymentPlan, Rejection, ShipWhen, StockHeld, evolve};

/// The money of an order with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// As it was placed.
    pub plan: PaymentPlan,
    /// Set where stock holds all units and the order is not confirmed yet.
    pub held: Option<Arc<StockHeld>>,
    /// What is wanted for whom; empty until money was asked for.
    pub parts: Vec<PlanPart>,
    /// What stands, or stood before it was lost.
    pub secured: Option<Secured>,
    /// Why it does not stand any more.
    pub lost: Option<LossCause>,
    /// Refunds, in order.
    pub refunds: Vec<PlanRefund>,
    /// What a cancelled order has to give back.
    pub saga: Option<Saga>,
    /// What the last event moves.
    pub moved: Moved,
}

/// Money that is reserved or taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secured {
    /// How much.
    pub amount: Money,
    /// Until when all of it stands.
    pub valid_until: Timestamp,
}

/// What is wanted for one seller, or for the shop itself, in minor units. Each amount only grows;
/// it is computed from the lines, so that the steps add up whatever they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanPart {
    /// The seller; none for the shop itself.
    pub seller: Option<SellerId>,
    /// Its payment.
    pub payment_id: PaymentId,
    /// What all of it costs, as ordered.
    pub total: i64,
    /// What was asked for: the total without what had been cancelled by then.
    pub asked: i64,
    /// What is not wanted any more.
    pub cancelled: i64,
    /// What parcels were worth; less what cancellations of their units gave back.
    pub captured: i64,
    /// What was promised back.
    pub refunded: i64,
    /// What came back was worth.
    pub returned: i64,
    /// What is known to be taken, where the order ships only then.
    pub taken: i64,
}

/// A refund of an order with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRefund {
    /// The return, parcel or cancellation that caused it.
    pub refund_id: RefundId,
    /// At most so much, in minor units.
    pub amount: i64,
    /// What became of it.
    pub state: RefundState,
}

/// What became of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundState {
    /// It may come about: what a cancellation no longer wants may have been taken already.
    Possible,
    /// It was promised and is not paid yet.
    Pending,
    /// It was paid.
    Settled(Money),
    /// It was not paid, or came back, for this reason.
    Failed(String),
}

impl RefundState {
    /// The stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Possible => "POSSIBLE",
            Self::Pending => "PENDING",
            Self::Settled(_) => "SETTLED",
            Self::Failed(_) => "FAILED",
        }
    }
}

/// What the last event moves of each payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// The refund that a cancellation may cause.
    pub refund_id: Option<RefundId>,
    /// The payments, and how much of each; never zero.
    pub parts: Vec<(PaymentId, i64)>,
}

/// Stock and money of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Its stock.
    pub stock: bool,
    /// Its money.
    pub money: bool,
}

/// What a cancelled order has to give back, and what of it is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saga {
    /// The version of the order with which it was cancelled.
    pub version: u64,
    /// What it held.
    pub needs: Needs,
    /// What is back.
    pub done: Needs,
}

impl Saga {
    /// What is not back yet.
    #[must_use]
    pub const fn open(&self) -> Needs {
        Needs {
            stock: self.needs.stock && !self.done.stock,
            money: self.needs.money && !self.done.money,
        }
    }

    /// Whether all of it is back.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open() == Needs::default()
    }
}

/// How it stands with the money of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentStatus {
    /// It has no plan, or nothing is to be paid.
    NotRequired,
    /// The money is waited for.
    Awaited,
    /// It is reserved or taken.
    Secured,
    /// It was secured and is gone.
    Lost,
    /// It was taken, for an order that ships only then.
    Captured,
    /// The order was cancelled, and the money is back.
    Released,
}

impl PaymentStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NotRequired,
        Self::Awaited,
        Self::Secured,
        Self::Lost,
        Self::Captured,
        Self::Released,
    ];

    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotRequired => "NOT_REQUIRED",
            Self::Awaited => "AWAITED",
            Self::Secured => "SECURED",
            Self::Lost => "LOST",
            Self::Captured => "CAPTURED",
            Self::Released => "RELEASED",
        }
    }
}

/// How far a cancelled order with a plan is with giving back what it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compensation {
    /// It was not cancelled, or held nothing.
    None,
    /// These are not back yet.
    Running(Needs),
    /// All of it is back.
    Done,
}

impl Compensation {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Running(_) => "RUNNING",
            Self::Done => "DONE",
        }
    }
}

impl Payment {
    /// The money of an order that was placed with this plan.
    #[must_use]
    pub fn new(plan: PaymentPlan) -> Self {
        Self {
            plan,
            held: None,
            parts: Vec::new(),
            secured: None,
            lost: None,
            refunds: Vec::new(),
            saga: None,
            moved: Moved::default(),
        }
    }

    /// What was asked for, in minor units.
    #[must_use]
    pub fn asked(&self) -> i64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.asked))
    }

    /// What is still wanted of it, taken or not.
    #[must_use]
    pub fn wanted(&self) -> i64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.wanted()))
    }

    /// What is wanted and no parcel has been worth yet.
    #[must_use]
    pub fn open(&self) -> i64 {
        let open = |part: &PlanPart| part.wanted().saturating_sub(part.captured).max(0);
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(open(part)))
    }

    /// What must stand at least when money is secured: what no parcel has been worth yet; once the
    /// last has left and the money was lost, all that is wanted.
    pub(super) fn least(&self, delivered: bool) -> i64 {
        if delivered { self.wanted() } else { self.open() }
    }

    /// Whether all that is wanted is known to be taken.
    fn is_taken(&self) -> bool {
        self.parts.iter().all(PlanPart::is_taken)
    }

    /// Whether nothing of its money is under way: archived orders hear no answer.
    pub(super) fn is_quiet(&self) -> bool {
        let waits = |refund: &PlanRefund| refund.state == RefundState::Pending;
        self.saga.is_none_or(|saga| saga.is_done()) && !self.refunds.iter().any(waits)
    }
}

impl PlanPart {
    /// What is still wanted of it, taken or not.
    #[must_use]
    pub const fn wanted(&self) -> i64 {
        self.total.saturating_sub(self.cancelled)
    }

    /// Whether all that is wanted is known to be taken.
    pub(super) const fn is_taken(&self) -> bool {
        self.taken >= self.wanted()
    }
}

impl PlanRefund {
    /// Whether nothing is known yet of what became of it.
    pub(super) const fn is_due(&self) -> bool {
        matches!(self.state, RefundState::Possible | RefundState::Pending)
    }
}

impl Details {
    /// Whether the money stands, as far as any is wanted.
    #[must_use]
    pub fn money_stands(&self) -> bool {
        let Some(payment) = &self.payment else { return true };
        self.wants_nothing(payment) || (payment.secured.is_some() && payment.lost.is_none())
    }

    fn wants_nothing(&self, payment: &Payment) -> bool {
        if payment.parts.is_empty() {
            self.payment_parts().is_empty()
        } else {
            payment.wanted() == 0
        }
    }

    /// Whether it is paid as the plan says for parcels to leave.
    pub(super) fn may_ship(&self) -> bool {
        let Some(payment) = &self.payment else { return true };
        let taken = payment.plan.ship_when == ShipWhen::Authorized || payment.is_taken();
        self.money_stands() && taken
    }
}

impl Order {
    /// How it stands with its money.
    #[must_use]
    pub fn payment_status(&self) -> PaymentStatus {
        let Some((details, payment)) =
            self.details().and_then(|details| Some((details, details.payment.as_deref()?)))
        else {
            return PaymentStatus::NotRequired;
        };
        if payment.saga.is_some_and(|saga| saga.needs.money && saga.done.money) {
            return PaymentStatus::Released;
        }
        if payment.lost.is_some() {
            return PaymentStatus::Lost;
        }
        if payment.secured.is_some() {
            let taken = payment.plan.ship_when == ShipWhen::Captured && payment.is_taken();
            return if taken { PaymentStatus::Captured } else { PaymentStatus::Secured };
        }
        let awaited = match self {
            Self::Pending(_) => !details.wants_nothing(payment),
            // Until payments says that nothing was taken, or that all of it is back.
            Self::Cancelled(_) => !payment.parts.is_empty(),
            _ => false,
        };
        if awaited { PaymentStatus::Awaited } else { PaymentStatus::NotRequired }
    }

    /// How far it is with giving back what it held.
    #[must_use]
    pub fn compensation(&self) -> Compensation {
        let payment = self.details().and_then(|details| details.payment.as_deref());
        match payment.and_then(|payment| payment.saga) {
            None => Compensation::None,
            Some(saga) if saga.is_done() => Compensation::Done,
            Some(saga) => Compensation::Running(saga.open()),
        }
    }
}

/// Refuses to ship an order whose money does not stand.
pub(super) fn money_ready(order: &Order, details: &Details) -> Result<(), Rejection> {
    if details.may_ship() {
        Ok(())
    } else {
        Err(Rejection::PaymentNotSecured { is: order.payment_status() })
    }
}

/// Refuses to change what an order with a plan costs.
pub(super) fn no_plan(details: &Details) -> Result<(), Rejection> {
    if details.payment.is_some() { Err(Rejection::PaymentPlanFixed) } else { Ok(()) }
}

/// These events, and the confirmation where with them stock and money stand: whichever comes last
/// confirms.
pub(super) fn confirmed_with(order: &Order, mut events: Vec<Event>) -> Decision {
    let held = order.details().and_then(|details| details.payment.as_ref()?.held.clone());
    let Some(held) = held else { return Ok(events) };
    let after = events.iter().try_fold(order.clone(), evolve);
    let Ok(Order::Pending(pending)) = after else { return Ok(events) };
    let at = events.last().map(Event::at);
    if let (true, Some(at)) = (pending.details.money_stands(), at) {
        events.push(Event::OrderConfirmed {
            reservation_id: held.reservation_id,
            backordered: still_backordered(&pending.details, &held.backordered),
            at,
        });
    }
    Ok(events)
}
