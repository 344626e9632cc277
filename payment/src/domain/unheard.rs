//! Parcels, cancellations and refunds of an order that the journal lost when it was restored, while
//! it still has the order. They are forgotten: what is wanted, demanded and owed is what the
//! journal says. Money that moved because of them stays moved, and counts for what the order says
//! next: goods that are sent again are not taken twice, nor is what comes back paid back twice.
//! Where money was given back for a cancellation that is gone, the order is told that it is lost.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared_events::contract::{OperationId, PaymentPart, RefundId};
use uuid::Uuid;

use super::{Case, Event, Impossible, OperationKind, Payment, RefundOfOrder, Unasked};

/// What an order had said, and does not say any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unheard {
    /// Parcels, refunds, and facts of confirmations and cancellations.
    pub causes: BTreeSet<Uuid>,
    /// How much more is wanted of each payment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wanted: Vec<PaymentPart>,
    /// How much less was delivered of each payment, where money is taken first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered: Vec<PaymentPart>,
    /// Refunds that are not asked for any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<RefundId>,
}

/// What one cause had changed.
#[derive(Default)]
struct Changed {
    wanted: Vec<PaymentPart>,
    delivered: Vec<PaymentPart>,
    refund: Option<RefundId>,
}

impl Unheard {
    /// That an order does not say these any more; what they had changed is in its history.
    #[must_use]
    pub fn of(causes: BTreeSet<Uuid>, history: &[Event]) -> Self {
        let mut all: BTreeMap<Uuid, Changed> = BTreeMap::new();
        for (nth, event) in history.iter().enumerate() {
            match event {
                // Placed again it is another order.
                Event::Reappeared { .. } => all.clear(),
                Event::Unheard { what } => all.retain(|cause, _| !what.causes.contains(cause)),
                Event::Delivered { cause, parts } => {
                    all.entry(*cause).or_default().delivered.clone_from(parts);
                }
                Event::RefundDue { refund_id, cancelled: false, .. } => {
                    all.entry(refund_id.uuid()).or_default().refund = Some(*refund_id);
                }
                Event::Unwanted { cause, parts, .. } => {
                    let one = all.entry(*cause).or_default();
                    one.wanted.clone_from(parts);
                    // What is paid back because of a cancellation is noted right behind it.
                    if let Some(Event::RefundDue { refund_id, cancelled: true, .. }) =
                        history.get(nth.saturating_add(1))
                    {
                        one.refund = Some(*refund_id);
                    }
                }
                _ => {}
            }
        }
        let mut what = Self::default();
        for (_, one) in all.into_iter().filter(|(cause, _)| causes.contains(cause)) {
            what.wanted.extend(one.wanted);
            what.delivered.extend(one.delivered);
            what.refunds.extend(one.refund);
        }
        Self { causes, ..what }
    }
}

/// Nothing happens where nothing of it was heard.
pub(super) fn unheard(case: &Case, what: Unheard) -> Option<Event> {
    let refunds = || case.refunds.iter().any(|one| what.refunds.contains(&one.id));
    let known = what.causes.iter().any(|cause| case.causes.contains(cause)) || refunds();
    (known && !case.vanished).then_some(Event::Unheard { what })
}

impl Case {
    /// What the journal lost counts for nothing any more.
    pub(super) fn forget(&mut self, what: &Unheard) -> Result<(), Impossible> {
        self.unheard = self.unheard.saturating_add(1);
        self.causes.retain(|cause| !what.causes.contains(cause));
        if self.cancelled.is_some_and(|cause| what.causes.contains(&cause)) {
            (self.cancelled, self.released) = (None, false);
        }
        self.each(&what.wanted, |payment, minor| {
            payment.unwanted = payment.unwanted.saturating_sub(minor).max(0);
        })?;
        self.each(&what.delivered, |payment, minor| {
            payment.goods.delivered = payment.goods.delivered.saturating_sub(minor).max(0);
        })?;
        let is_gone = |one: &RefundOfOrder| what.refunds.contains(&one.id);
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.refunds).into_iter().partition(is_gone);
        self.refunds = kept;
        for payment in &mut self.payments {
            payment.demands.retain(|one| !what.causes.contains(&one.cause));
            gone.iter().for_each(|refund| unasked(payment, refund));
        }
        Ok(())
    }

    /// The order asks for a refund: what was paid back for what the journal lost counts for it.
    pub(super) fn paid_before(&mut self, refund: RefundId) {
        let Some(asked) = self.refunds.iter().find(|one| one.id == refund).cloned() else { return };
        // The same refund, asked for again: what counted for others meanwhile is its own.
        let own = self.payments.iter().flat_map(|one| asked.operations(one));
        let own: Vec<OperationId> = own.map(|one| one.id).collect();
        own.into_iter().for_each(|id| self.not_paid_before(id));
        let mut before = Vec::new();
        for payment in &mut self.payments {
            for one in &mut payment.operations {
                if one.refund_id == Some(refund) {
                    one.unasked = None;
                }
            }
            let missing = asked.missing_of(payment);
            // What was taken anew since a lost cancellation is paid back anew.
            let anew = payment.taken().saturating_sub(payment.wanted()).max(0);
            let most = if asked.cancelled { missing.saturating_sub(anew) } else { missing };
            let counts = counted(payment, asked.cancelled, most);
            if counts > 0 {
                before.push((payment.id, counts));
            }
        }
        if let Some(known) = self.refunds.iter_mut().find(|one| one.id == refund) {
            known.before = before;
        }
    }

    /// What cancellations give back of each payment. Where a capture failed or was taken back, and
    /// a refund of that money was not paid, the customer has it already: what is wanted and not
    /// taken is asked for without it.
    pub(super) fn count_back(&mut self) {
        for payment in &mut self.payments {
            let (mut owed, mut unpaid) = (0_i64, 0_i64);
            for one in self.refunds.iter().filter(|one| one.cancelled) {
                owed = owed.saturating_add(one.owed_of(payment));
                unpaid = unpaid.saturating_add(one.missing_of(payment).max(0));
            }
            payment.back = owed;
            let short = payment.wanted().saturating_sub(payment.taken());
            let has_already = short.min(unpaid).min(payment.not_captured()).max(0);
            payment.back = owed.saturating_sub(has_already);
        }
    }

    /// A refund was not paid, or came back: what counted it before is owed after all, the newest
    /// first. From then on nothing counts it, so that nothing is owed twice because of it.
    pub(super) fn not_paid_before(&mut self, id: OperationId) {
        let mut operations = self.payments.iter_mut().flat_map(|payment| {
            let of = payment.id;
            payment.operations.iter_mut().map(move |one| (of, one))
        });
        let Some((payment, one)) = operations.find(|(_, one)| one.id == id) else { return };
        let Some(Unasked { minor, wanted }) = &mut one.unasked else { return };
        let (mut left, wanted) = (one.amount.minor.saturating_sub(*minor), *wanted);
        *minor = one.amount.minor;
        for refund in self.refunds.iter_mut().rev().filter(|one| one.cancelled == wanted) {
            for (_, counts) in refund.before.iter_mut().filter(|(of, _)| *of == payment) {
                let less = left.min(*counts);
                *counts = counts.saturating_sub(less);
                left = left.saturating_sub(less);
            }
        }
    }
}

/// A refund is not asked for any more. What was paid back for it stays paid back, and so does what
/// counted for it.
fn unasked(payment: &mut Payment, refund: &RefundOfOrder) {
    let wanted = refund.cancelled;
    let mut before = refund.before_of(payment.id);
    let refunds = payment.operations.iter_mut().filter(|one| one.kind == OperationKind::Refund);
    for one in refunds {
        if one.refund_id == Some(refund.id) {
            one.unasked = Some(Unasked { minor: one.amount.minor, wanted });
            continue;
        }
        let Some(known) = one.unasked.as_mut().filter(|known| known.wanted == wanted) else {
            continue;
        };
        let again = before.min(one.amount.minor.saturating_sub(known.minor)).max(0);
        known.minor = known.minor.saturating_add(again);
        before = before.saturating_sub(again);
    }
}

/// Takes up to so much of what was paid back and counts for nothing; returns how much it is.
fn counted(payment: &mut Payment, wanted: bool, most: i64) -> i64 {
    let (mut left, mut counts) = (most.max(0), 0_i64);
    for one in &mut payment.operations {
        // 0 where it is of the other kind.
        let minor = one.unasked_of(wanted).min(left);
        if let Some(unasked) = &mut one.unasked {
            unasked.minor = unasked.minor.saturating_sub(minor);
        }
        left = left.saturating_sub(minor);
        counts = counts.saturating_add(minor);
    }
    counts
}
