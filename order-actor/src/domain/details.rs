use std::collections::BTreeMap;
use std::sync::Arc;

use shared_events::contract::{
    CustomerId, Money, OrderId, OrderNames, OrderNumber, ShipmentId, Timestamp,
};

use super::{
    Amount, Charge, Discount, Edit, ExchangeOf, Hold, JudgedReturn, Line, LineQuantity, Note,
    Payment, Person, Return, Shipment, TaxMode, Totals,
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
    /// As it was placed, where that was corrected since.
    pub placed_person: Option<Arc<Person>>,
    /// When the engine accepted it; time windows start here.
    pub placed_at: Timestamp,
    /// When it was ordered, as reported by the client; no decision depends on it.
    pub ordered_at: Option<Timestamp>,
    /// Shipped parcels, in order.
    pub shipments: Vec<Arc<Shipment>>,
    /// Returns that wait for their judgement or for their goods, in the order of their requests.
    pub waiting: Vec<Arc<Return>>,
    /// Judged returns, in order.
    pub judged: Vec<Arc<JudgedReturn>>,
    /// Its holds, in order; released ones too.
    pub holds: Vec<Hold>,
    /// Its notes, in order.
    pub notes: Vec<Arc<Note>>,
    /// The number of its events.
    pub events: u64,
    /// Edits of its lines, in order; at most the last one waits.
    pub edits: Vec<Arc<Edit>>,
    /// Its lines as they were placed, where an edit changed them since.
    pub placed_lines: Option<Arc<Vec<Line>>>,
    /// Its money, where it was placed with a payment plan.
    pub payment: Option<Arc<Payment>>,
    /// How often the customer cancelled some of its units.
    pub customer_cancels: u64,
    /// How often the customer requested a return.
    pub customer_returns: u64,
    /// How often the customer corrected it.
    pub customer_corrections: u64,
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
    /// The return that it replaces goods of.
    pub exchange_of: Option<ExchangeOf>,
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

impl Details {
    /// The number by which people know it: the client's, or else the one of its id.
    #[must_use]
    pub fn order_number(&self) -> String {
        OrderNumber::shown(self.terms.names.as_deref(), self.order_id)
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
