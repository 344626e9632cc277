use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shared_events::contract::{
    CapturePolicy, CustomerId, FactId, OperationId, OrderId, PaymentId, PaymentPolicy, PspName,
    RefundId, Timestamp,
};
use uuid::Uuid;

use super::{Operation, OperationKind, Payment, is_default};

/// How an order wants to be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Who pays.
    pub customer_id: CustomerId,
    /// The provider.
    pub psp: PspName,
    /// When money is taken.
    pub capture: CapturePolicy,
    /// What happens where the money for one seller is not secured.
    pub policy: PaymentPolicy,
    /// Until when the customer may pay.
    pub pay_by: Timestamp,
    /// The fact by which the order asked. Absent from what was stored before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<FactId>,
}

/// A refund that the order asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundOfOrder {
    /// Its id.
    pub id: RefundId,
    /// How much of each payment, in minor units.
    pub parts: Vec<(PaymentId, i64)>,
    /// Whether it is of what was cancelled, and so owes no more than was taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// What is not owed of it, since it was to be taken and was not: by which capture, how much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_taken: Vec<(OperationId, i64)>,
    /// What was paid back for it before the order asked for it, for what the journal lost: how much
    /// of each payment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<(PaymentId, i64)>,
    /// What the order was told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<RefundTold>,
}

impl RefundOfOrder {
    /// What is owed of a payment. A capture that was declined, and was done after all, is owed.
    #[must_use]
    pub fn owed_of(&self, payment: &Payment) -> i64 {
        let parts = self.parts.iter().filter(|(id, _)| *id == payment.id);
        let asked = parts.map(|(_, minor)| *minor).fold(0, i64::saturating_add);
        let not_taken = self.not_taken.iter().filter(|(capture, _)| {
            payment.operation(*capture).is_some_and(|capture| !capture.is_used())
        });
        let not_taken = not_taken.map(|(_, minor)| *minor).fold(0, i64::saturating_add);
        asked.saturating_sub(not_taken).max(0)
    }

    /// What is owed of a payment, and neither paid back nor being paid back.
    #[must_use]
    pub fn missing_of(&self, payment: &Payment) -> i64 {
        let of_it = self.operations(payment).filter(|one| one.is_used());
        let used = of_it.map(|one| one.amount.minor).fold(0, i64::saturating_add);
        self.owed_of(payment).saturating_sub(used).saturating_sub(self.before_of(payment.id))
    }

    /// What was paid back of a payment before the order asked for it.
    #[must_use]
    pub fn before_of(&self, payment: PaymentId) -> i64 {
        let before = self.before.iter().filter(|(id, _)| *id == payment);
        before.map(|(_, minor)| *minor).fold(0, i64::saturating_add)
    }

    /// What is, and was, done about it at a payment.
    pub fn operations<'a>(&'a self, payment: &'a Payment) -> impl Iterator<Item = &'a Operation> {
        payment.of_kind(OperationKind::Refund).filter(|one| one.refund_id == Some(self.id))
    }
}

/// What an order was told of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundTold {
    /// All of it was paid.
    Settled,
    /// Part of it was not paid, or came back.
    Failed,
}

/// The payments of one order. It is the unit that is decided and stored: whether an order is
/// secured depends on all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The order.
    pub order_id: OrderId,
    /// How many events made it.
    pub version: u64,
    /// How it is to be paid; absent until the order asked for money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The payments, in the order's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<Payment>,
    /// Attempts of the customer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Uuid>,
    /// Refunds that the order asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<RefundOfOrder>,
    /// Facts that changed what is wanted: each counts once.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub causes: BTreeSet<Uuid>,
    /// The fact of the order's cancellation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Uuid>,
    /// Whether the order was told that its money is secured, and that stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secured: bool,
    /// Whether the order was told that it fails as a whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// Whether the order was told that all its money is back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
    /// The operations whose loss the order was told.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lost: BTreeSet<OperationId>,
    /// Whether the journal was restored and no longer holds the order. Nobody is told anything of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vanished: bool,
    /// How often the order asked for money again after it had vanished.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reappeared: u32,
    /// Since when what was taken does not count for what the order asks for: how often it had asked
    /// again when it vanished. A person decides about that money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncounted: Option<u32>,
    /// How often the journal had lost something that the order had said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unheard: u32,
}

impl Case {
    /// Of an order of which nothing is known yet.
    #[must_use]
    pub const fn new(order_id: OrderId) -> Self {
        Self {
            order_id,
            version: 0,
            plan: None,
            payments: Vec::new(),
            attempts: Vec::new(),
            refunds: Vec::new(),
            causes: BTreeSet::new(),
            cancelled: None,
            secured: false,
            failed: false,
            released: false,
            lost: BTreeSet::new(),
            vanished: false,
            reappeared: 0,
            uncounted: None,
            unheard: 0,
        }
    }

    /// The payment with this id.
    #[must_use]
    pub fn payment(&self, id: PaymentId) -> Option<&Payment> {
        self.payments.iter().find(|one| one.id == id)
    }

    /// An operation with its payment.
    #[must_use]
    pub fn operation(&self, id: OperationId) -> Option<(&Payment, &Operation)> {
        let of = |payment| Payment::operation(payment, id).map(|operation| (payment, operation));
        self.payments.iter().find_map(of)
    }

    /// Of what it is kept where the customer acts for an operation; none where that is over, or is
    /// of the order that was lost.
    pub(crate) fn acts(&self, id: OperationId) -> Option<(OperationId, OrderId, PaymentId)> {
        let (payment, one) = self.operation(id)?;
        let acts = one.is_open() && !payment.is_earlier(id);
        acts.then_some((id, self.order_id, payment.id))
    }

    /// Whether a parcel, a refund, or a fact of a confirmation or a cancellation was heard.
    pub(crate) fn has_heard(&self, cause: Uuid) -> bool {
        let refund = |one: &RefundOfOrder| one.id.uuid() == cause;
        self.causes.contains(&cause) || self.refunds.iter().any(refund)
    }

    /// Whether the customer made an attempt before the order asked for money again.
    pub(super) fn is_attempt_of_lost(&self, attempt: Uuid) -> bool {
        self.payments.iter().any(|one| one.of_lost().any(|known| known.cause == attempt))
    }

    /// The provider of an operation; none where the order has not asked for money.
    #[must_use]
    pub fn psp_of<'a>(&'a self, operation: &'a Operation) -> Option<&'a PspName> {
        operation.psp.as_ref().or_else(|| self.plan.as_ref().map(|plan| &plan.psp))
    }

    /// Whether a person decides about what was taken: the order vanished, or was placed again
    /// otherwise.
    #[must_use]
    pub const fn is_for_a_person(&self) -> bool {
        self.vanished || self.uncounted.is_some()
    }

    /// Whether money is still wanted at all.
    #[must_use]
    pub const fn is_wanted(&self) -> bool {
        self.cancelled.is_none() && !self.failed && !self.vanished
    }

    /// When something happens without anybody asking: the time to pay ends, or an authorisation
    /// does.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        let plan = self.plan.as_ref()?;
        let waits = |one: &Payment| one.failed.is_empty() && one.standing().is_none();
        let pays = self.is_wanted()
            && !self.secured
            && self.lost.is_empty()
            && self.payments.iter().any(|one| one.is_short() && waits(one));
        let ends = self.payments.iter().flat_map(|payment| {
            let stands = payment.operations.iter().filter(|one| payment.left_of(one) > 0);
            let stands = stands.filter(|one| !payment.is_being_voided(one));
            stands.filter_map(|one| one.valid_until)
        });
        ends.chain(pays.then_some(plan.pay_by)).min()
    }
}
