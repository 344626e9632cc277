//! The returns of an order: those that wait, for a judgement or for their goods, and the judged
//! ones. Never here: the events that change them (`return_events`), or the order's state.

use std::collections::BTreeSet;
use std::sync::Arc;

use shared_events::contract::{LocationName, Money, OrderId, Quantity, ReturnId, Timestamp};

use super::guards::invalid_transition;
use super::{
    Amount, ChargeRefund, Details, LineQuantity, Order, OutcomeUnits, Rejection, Restitution,
    bounds,
};

/// A return, as it was requested, and its approval where its goods are received later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Its id.
    pub return_id: ReturnId,
    /// The warehouse's own id of it, such as an RMA number; may be empty.
    pub reference: String,
    /// Its units.
    pub lines: Vec<LineQuantity>,
    /// Why it was requested.
    pub reason: String,
    /// The order that replaces what is sent back.
    pub exchange_order_id: Option<OrderId>,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// When operators are reminded if it is not judged.
    pub judge_by: Timestamp,
    /// Whether they have been reminded.
    pub escalated: bool,
    /// Set where it is approved, and its goods have not been received yet.
    pub approval: Option<Approval>,
}

/// The approval of a return whose goods are received later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The units that may come back.
    pub lines: Vec<ApprovedUnits>,
    /// The units that may not.
    pub kept: Vec<OutcomeUnits>,
    /// Why they may not.
    pub rejected_reason: String,
    /// What is paid back if all approved units arrive.
    pub refund: Money,
    /// Why that is above the value of the units.
    pub refund_reason: String,
    /// What of it is for charges.
    pub charges: Vec<ChargeRefund>,
    /// What would have been paid back if nothing else had been said.
    pub default: Money,
    /// When.
    pub at: Timestamp,
}

/// Approved units of a line, and what the customer paid for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovedUnits {
    /// 1-based number of the line.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
    /// What they cost.
    pub amount: Amount,
}

/// A judged return: request and judgement, so that a repeated id with other content is detected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedReturn {
    /// As it was requested, and approved where that came first.
    pub request: Arc<Return>,
    /// The judgement.
    pub judgement: Judgement,
}

/// The judgement of a return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Units are taken back.
    Approved {
        /// The units taken back, and their dispositions.
        lines: Vec<Restitution>,
        /// The units that the customer keeps.
        kept: Vec<OutcomeUnits>,
        /// Why some are rejected.
        rejected_reason: String,
        /// The refund.
        refund: Money,
        /// Why the refund is above the value of the units.
        refund_reason: String,
        /// What of it is for charges.
        charges: Vec<ChargeRefund>,
        /// The location of stock where they are restocked, if one was named.
        location: Option<LocationName>,
        /// What would have been paid back if nothing else had been said.
        default: Money,
    },
    /// The units stay with the customer.
    Rejected {
        /// Why.
        reason: String,
    },
}

/// How a command names a return: by id, by reference, by both, or not at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) id: Option<ReturnId>,
    pub(super) reference: &'a str,
}

impl Named<'_> {
    const fn is_any(&self) -> bool {
        self.id.is_none() && self.reference.is_empty()
    }

    fn is(&self, known: &Return) -> bool {
        self.id.is_none_or(|id| id == known.return_id)
            && (self.reference.is_empty() || self.reference == known.reference)
    }

    /// The judged return of that name; none if none is named.
    pub(super) fn judged<'a>(&self, details: &'a Details) -> Option<&'a JudgedReturn> {
        let named = |judged: &&Arc<JudgedReturn>| !self.is_any() && self.is(&judged.request);
        details.judged.iter().find(named).map(Arc::as_ref)
    }

    /// The waiting return of that name. Where none is named, the only one that fits.
    pub(super) fn waiting<'a>(
        &self,
        order: &Order,
        details: &'a Details,
        call: &'static str,
        fits: impl Fn(&Return) -> bool,
    ) -> Result<&'a Return, Rejection> {
        if details.waiting.is_empty() {
            return Err(invalid_transition(order, call));
        }
        let mut named = details
            .waiting
            .iter()
            .map(Arc::as_ref)
            .filter(|one| if self.is_any() { fits(one) } else { self.is(one) });
        let first = named.next().ok_or(Rejection::ReturnMismatch)?;
        if self.is_any() && named.next().is_some() {
            return Err(Rejection::ReturnIdRequired);
        }
        Ok(first)
    }
}

impl Return {
    /// What the customer paid for its units: for the approved ones, if it is approved.
    #[must_use]
    pub fn value(&self, details: &Details) -> Money {
        match &self.approval {
            None => details.value_of(&self.lines),
            Some(approval) => approval.value(),
        }
    }

    /// The units that are in it: the approved ones, if it is approved.
    #[must_use]
    pub fn units(&self) -> Vec<LineQuantity> {
        match &self.approval {
            None => self.lines.clone(),
            Some(approval) => approval.units(),
        }
    }

    /// The most events that it may still lead to: a reminder, an approval, its end.
    pub(super) fn events_left(&self) -> u64 {
        match (&self.approval, self.escalated) {
            (Some(_), _) => 1,
            (None, true) => 2,
            (None, false) => 3,
        }
    }
}

impl Approval {
    /// What the customer paid for the approved units.
    #[must_use]
    pub fn value(&self) -> Money {
        // Parts of the total, which fits.
        let sum = self.lines.iter().fold(0_i64, |sum, one| sum.saturating_add(one.amount.total));
        Money { minor: sum, ..self.refund }
    }

    /// The approved units.
    #[must_use]
    pub fn units(&self) -> Vec<LineQuantity> {
        let units = |one: &ApprovedUnits| LineQuantity { line: one.line, quantity: one.quantity };
        self.lines.iter().map(units).collect()
    }

    /// What is paid back where only these units arrive: the approved refund without the value of
    /// the others, and no less than what of it is for charges.
    pub(super) fn refund_for(&self, arrived: &[LineQuantity]) -> Money {
        let value = self.lines.iter().fold(0_i64, |sum, one| {
            let units = arrived.iter().find(|units| units.line == one.line);
            let units = units.map_or(0, |units| units.quantity.get());
            sum.saturating_add(one.amount.part(units, one.quantity.get()).total)
        });
        let missing = self.value().minor.saturating_sub(value);
        let minor = self.refund.minor.saturating_sub(missing).max(self.of_charges().minor);
        Money { minor, ..self.refund }
    }

    /// What of the refund is for charges.
    fn of_charges(&self) -> Money {
        sum_of(&self.charges, self.refund)
    }
}

/// What refunds of charges come to, in the currency of this amount.
pub(super) fn sum_of(charges: &[ChargeRefund], like: Money) -> Money {
    let sum = charges.iter().fold(0_i64, |sum, one| sum.saturating_add(one.amount.minor));
    Money { minor: sum, ..like }
}

/// By the numbers of the charges: named in another order they are the same.
pub(super) fn by_number(charges: &[ChargeRefund]) -> Vec<ChargeRefund> {
    let mut sorted = charges.to_vec();
    sorted.sort_by_key(|one| one.charge);
    sorted
}

/// Whether something else is paid back of charges, whatever the order in which they are named.
pub(super) fn pays_otherwise(one: &[ChargeRefund], other: &[ChargeRefund]) -> bool {
    by_number(one) != by_number(other)
}

impl JudgedReturn {
    /// Its id.
    #[must_use]
    pub fn return_id(&self) -> ReturnId {
        self.request.return_id
    }

    /// Whether units were taken back.
    #[must_use]
    pub const fn is_approved(&self) -> bool {
        matches!(self.judgement, Judgement::Approved { .. })
    }

    /// What was refunded; none if it was rejected.
    #[must_use]
    pub const fn refund(&self) -> Option<Money> {
        match &self.judgement {
            Judgement::Approved { refund, .. } => Some(*refund),
            Judgement::Rejected { .. } => None,
        }
    }

    /// Why it was rejected, or units of it: first what was said at its approval, where its goods
    /// came later.
    #[must_use]
    pub fn rejected_reason(&self) -> String {
        match &self.judgement {
            Judgement::Approved { rejected_reason, .. } => {
                let said = self.request.approval.iter().map(|one| &one.rejected_reason);
                let said = said.chain([rejected_reason]).filter(|said| !said.is_empty());
                said.map(String::as_str).collect::<Vec<_>>().join("; ")
            }
            Judgement::Rejected { reason } => reason.clone(),
        }
    }
}

impl Details {
    /// The waiting return that was requested first.
    #[must_use]
    pub fn oldest_waiting(&self) -> Option<&Return> {
        self.waiting.first().map(Arc::as_ref)
    }

    /// The waiting return with this id.
    #[must_use]
    pub fn waiting_return(&self, id: ReturnId) -> Option<&Return> {
        self.waiting.iter().map(Arc::as_ref).find(|one| one.return_id == id)
    }

    /// The judged return with this id.
    #[must_use]
    pub fn judged(&self, id: ReturnId) -> Option<&JudgedReturn> {
        self.judged.iter().find(|judged| judged.return_id() == id).map(Arc::as_ref)
    }

    /// Refunds that are approved, and whose goods have not been received yet.
    #[must_use]
    pub fn promised(&self) -> Money {
        let approved = self.waiting.iter().filter_map(|one| one.approval.as_ref());
        let sum = approved.fold(0_i64, |sum, one| sum.saturating_add(one.refund.minor));
        Money { minor: sum, ..self.refunded }
    }

    /// What may still be refunded: what the customer paid for delivered units and for charges, less
    /// earlier refunds and approved ones. Never below zero. Units that are open are not in it: they
    /// may still be cancelled, and then were never paid for.
    #[must_use]
    pub fn refundable(&self) -> Money {
        let left = (self.delivered_cost() + self.cost_of_charges() - self.given_back()).max(0);
        Money { minor: i64::try_from(left).unwrap_or(i64::MAX), ..self.refunded }
    }

    /// What is paid back of charges: each named once, with no more than is left of it.
    pub(super) fn paid_back_of_charges(
        &self,
        refunds: &[ChargeRefund],
    ) -> Result<Money, Rejection> {
        let mut sum = Money::zero(self.totals.total.currency);
        let mut named = BTreeSet::new();
        for (index, ChargeRefund { charge, amount }) in refunds.iter().enumerate() {
            let wrong = |field: &str, detail| {
                let at = format!("charges[{index}].{field}");
                Rejection::InvalidAmount { at, detail }
            };
            let known = self.charge(*charge).ok_or(wrong("charge", "no such charge"))?;
            if !named.insert(charge) {
                return Err(wrong("charge", bounds::NAMED_TWICE));
            }
            if amount.currency != sum.currency {
                return Err(wrong("amount.currency_code", "in the order's currency"));
            }
            if amount.minor < 0 || amount.minor > known.amount.total - known.refunded {
                return Err(wrong("amount", "from zero to what is left of the charge"));
            }
            sum = sum.plus(*amount).map_err(|_| Rejection::AmountOverflow)?;
        }
        Ok(sum)
    }

    /// Whether more was paid back and promised than what stays delivered costs; with charges, if
    /// anything stays.
    pub(super) fn is_overpaid(&self) -> bool {
        let stays = self.lines.iter().any(|line| line.fulfilled > 0);
        let charges = if stays { self.cost_of_charges() } else { 0 };
        self.given_back() > self.delivered_cost() + charges
    }

    /// What all delivered units cost, in minor units.
    fn delivered_cost(&self) -> i128 {
        self.lines.iter().map(|line| i128::from(line.amounts.fulfilled.total)).sum()
    }

    fn cost_of_charges(&self) -> i128 {
        self.charges.iter().map(|charge| i128::from(charge.amount.total)).sum()
    }

    /// What was paid back and what is promised, in minor units.
    fn given_back(&self) -> i128 {
        i128::from(self.refunded.minor) + i128::from(self.promised().minor)
    }

    /// What is paid back for units if nothing else is said, with these refunds of charges. After a
    /// goodwill refund that is what is left.
    pub(super) fn default_refund(&self, value: Money, charges: Money) -> Money {
        let most = self.refundable();
        Money { minor: value.minor.saturating_add(charges.minor).min(most.minor), ..most }
    }
}
