use std::collections::BTreeMap;
use std::sync::Arc;

use shared_events::contract::{
    CustomerId, Money, OrderId, OrderNames, OrderNumber, ReturnId, ShipmentId, Timestamp,
};

use super::{
    Amount, Charge, ChargeRefund, Discount, Line, LineQuantity, Note, Person, Restitution, TaxMode,
    Totals,
};

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
    /// Its notes, in order.
    pub notes: Vec<Arc<Note>>,
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
    /// Names that the client gave it.
    pub names: Option<Box<OrderNames>>,
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

impl Details {
    /// The number by which people know it: the client's, or else the one of its id.
    #[must_use]
    pub fn order_number(&self) -> String {
        match &self.terms.names {
            Some(names) if !names.order_number.is_empty() => names.order_number.clone(),
            _ => OrderNumber::of(self.order_id).to_string(),
        }
    }

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
