use serde::{Deserialize, Serialize};
use shared_events::contract::{Currency, Money, OperationId, PaymentId, Seller};
use uuid::Uuid;

use super::{Dispute, Goods, Operation, OperationKind, OperationState, Status, is_default};

/// Attempts of one payment; each is one authorisation.
pub const ATTEMPTS_MAX: usize = 5;

/// A parcel, or the confirmation of an order: this much is to be captured because of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// The parcel, or the fact of the confirmation.
    pub cause: Uuid,
    /// Minor units.
    pub amount: i64,
}

/// What an order asks for one seller, and what became of it. All amounts are minor units of one
/// currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Who gets it; absent where the shop itself does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<Seller>,
    /// Its currency.
    pub currency: Currency,
    /// Asked for at first.
    pub requested: i64,
    /// No longer wanted since.
    pub unwanted: i64,
    /// What is owed, or was paid back, of it because something was cancelled after it was taken. The
    /// order keeps what its refunds are; this is their sum, without what the customer has already
    /// since a capture failed or was taken back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub back: i64,
    /// The shop's fee, in hundredths of a percent.
    pub fee_bps: u16,
    /// What is to be captured, in order.
    pub demands: Vec<Demand>,
    /// Everything done at the provider, in order.
    pub operations: Vec<Operation>,
    /// How many of them there were when the order asked for money again after it had vanished.
    #[serde(default, skip_serializing_if = "is_default")]
    pub earlier: usize,
    /// Disputes of the customer, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disputes: Vec<Dispute>,
    /// What of it is of goods that left, where money is taken before them.
    #[serde(default, skip_serializing_if = "Goods::is_none")]
    pub goods: Goods,
    /// Why it was given up, if it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failed: String,
}

impl Payment {
    /// Asked for and still wanted.
    #[must_use]
    pub const fn wanted(&self) -> i64 {
        self.requested.saturating_sub(self.unwanted)
    }

    /// This much of its currency.
    #[must_use]
    pub const fn money(&self, minor: i64) -> Money {
        Money::new(minor, self.currency)
    }

    /// The operation with this id.
    #[must_use]
    pub fn operation(&self, id: OperationId) -> Option<&Operation> {
        self.operations.iter().find(|one| one.id == id)
    }

    /// The operations of a kind, in order.
    pub fn of_kind(&self, kind: OperationKind) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(move |one| one.kind == kind)
    }

    /// The operations from before the order asked for money again, in order: those of the order
    /// that was lost.
    pub fn of_lost(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().take(self.earlier)
    }

    /// Whether an operation is from before the order asked for money again.
    #[must_use]
    pub fn is_earlier(&self, id: OperationId) -> bool {
        self.of_lost().any(|one| one.id == id)
    }

    /// The authorisations since the order asked for money, or asked again, in order.
    pub fn attempts(&self) -> impl DoubleEndedIterator<Item = &Operation> {
        let since = self.operations.iter().skip(self.earlier);
        since.filter(|one| one.kind == OperationKind::Authorize)
    }

    fn sum(&self, kind: OperationKind, counts: impl Fn(&Operation) -> bool) -> i64 {
        let amounts = self.of_kind(kind).filter(|one| counts(one)).map(|one| one.amount.minor);
        amounts.fold(0, i64::saturating_add)
    }

    /// Reserved in all, whatever became of it.
    #[must_use]
    pub fn authorized(&self) -> i64 {
        self.sum(OperationKind::Authorize, Operation::stands)
    }

    /// Taken.
    #[must_use]
    pub fn captured(&self) -> i64 {
        self.sum(OperationKind::Capture, Operation::stands)
    }

    /// Taken of an authorisation.
    #[must_use]
    pub fn captured_of(&self, authorization: &Operation) -> i64 {
        self.sum(OperationKind::Capture, |one| one.of == Some(authorization.id) && one.stands())
    }

    /// Was to be taken and was not, or was taken back by the provider.
    #[must_use]
    pub fn not_captured(&self) -> i64 {
        self.sum(OperationKind::Capture, |one| !one.is_used())
    }

    /// Being taken.
    #[must_use]
    pub fn capture_pending(&self) -> i64 {
        self.sum(OperationKind::Capture, Operation::is_open)
    }

    /// Paid back because of what the journal lost, and counted for no refund of the order: of what
    /// the order wants again, or of returns.
    #[must_use]
    pub fn unasked_of(&self, wanted: bool) -> i64 {
        let refunds = self.of_kind(OperationKind::Refund);
        refunds.map(|one| one.unasked_of(wanted)).fold(0, i64::saturating_add)
    }

    /// Taken, but for what cancellations give back, also ones that the journal lost.
    #[must_use]
    pub fn in_hand(&self) -> i64 {
        self.captured().saturating_sub(self.back).saturating_sub(self.unasked_of(true))
    }

    /// The same, with what is being taken.
    #[must_use]
    pub fn taken(&self) -> i64 {
        self.in_hand().saturating_add(self.capture_pending())
    }

    /// Paid back.
    #[must_use]
    pub fn refunded(&self) -> i64 {
        self.sum(OperationKind::Refund, Operation::stands)
    }

    /// Being paid back.
    #[must_use]
    pub fn refund_pending(&self) -> i64 {
        self.sum(OperationKind::Refund, Operation::is_open)
    }

    /// Given back, or ended, of what was reserved.
    #[must_use]
    pub fn released(&self) -> i64 {
        let standing = self.of_kind(OperationKind::Authorize).filter(|one| one.stands());
        standing.map(|one| one.released).fold(0, i64::saturating_add)
    }

    /// What is left of an authorisation that has not ended: neither taken, nor being taken, nor given
    /// back.
    #[must_use]
    pub fn left_of(&self, authorization: &Operation) -> i64 {
        if !authorization.stands() || authorization.expired {
            return 0;
        }
        let of_it = |one: &Operation| one.of == Some(authorization.id) && one.is_used();
        let captured = self.sum(OperationKind::Capture, of_it);
        authorization.amount.minor.saturating_sub(captured).saturating_sub(authorization.released)
    }

    /// What can be refunded of a capture: pending refunds count as used.
    #[must_use]
    pub fn refundable_of(&self, capture: &Operation) -> i64 {
        if !capture.stands() {
            return 0;
        }
        let of_it = |one: &Operation| one.of == Some(capture.id) && one.is_used();
        let lost = self.lost_of(|one| one.capture == capture.id);
        let refunded = self.sum(OperationKind::Refund, of_it);
        let left = capture.amount.minor.saturating_sub(refunded).saturating_sub(lost);
        // A dispute of several captures is noted at one of them.
        left.min(self.refundable())
    }

    /// What can be refunded in all.
    #[must_use]
    pub fn refundable(&self) -> i64 {
        let used = self.sum(OperationKind::Refund, Operation::is_used);
        self.captured().saturating_sub(used).saturating_sub(self.lost_by_disputes())
    }

    fn lost_of(&self, counts: impl Fn(&Dispute) -> bool) -> i64 {
        let lost = self.disputes.iter().filter(|one| one.won == Some(false) && counts(one));
        lost.map(|one| one.amount).fold(0, i64::saturating_add)
    }

    /// The dispute that its provider calls so.
    #[must_use]
    pub fn dispute(&self, id: &str) -> Option<&Dispute> {
        self.disputes.iter().find(|one| one.id == id)
    }

    /// What customers got back by disputes.
    #[must_use]
    pub fn lost_by_disputes(&self) -> i64 {
        self.lost_of(|_| true)
    }

    /// Whether a dispute is open. Nothing is refunded meanwhile.
    #[must_use]
    pub fn is_disputed(&self) -> bool {
        self.disputes.iter().any(|one| one.won.is_none())
    }

    /// The authorisation that counts: the first that was done as asked, has not ended, is not being
    /// given back, and of which no capture failed, or was paid back although the order wants it.
    /// One from before the order asked again counts where what was taken of it does.
    #[must_use]
    pub fn standing(&self) -> Option<&Operation> {
        let refunds = self.of_kind(OperationKind::Refund).filter(|one| one.unasked_of(true) > 0);
        let back: Vec<OperationId> = refunds.filter_map(|one| one.of).collect();
        self.of_kind(OperationKind::Authorize).find(|one| {
            let broken = self.operations.iter().any(|other| {
                other.of == Some(one.id)
                    && match other.kind {
                        OperationKind::Void => true,
                        OperationKind::Capture => !other.is_used() || back.contains(&other.id),
                        _ => false,
                    }
            });
            let of_it = |other: &Operation| other.of == Some(one.id) && other.is_used();
            let counts = !self.is_earlier(one.id) || self.sum(OperationKind::Capture, of_it) > 0;
            one.stands() && !one.is_mismatch() && !one.expired && !broken && counts
        })
    }

    /// Whether an operation of a kind is open.
    #[must_use]
    pub fn has_open(&self, kind: OperationKind) -> bool {
        self.of_kind(kind).any(Operation::is_open)
    }

    /// Whether an authorisation is being given back.
    #[must_use]
    pub fn is_being_voided(&self, authorization: &Operation) -> bool {
        let mut voids = self.of_kind(OperationKind::Void).filter(|one| one.is_open());
        voids.any(|one| one.of == Some(authorization.id))
    }

    /// Whether money is to be secured and is not: more is wanted than is taken or being taken.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.wanted() > self.taken()
    }

    /// Whether nothing of it is reserved, under way, or taken and not paid back.
    #[must_use]
    pub fn is_released(&self) -> bool {
        let left = self.of_kind(OperationKind::Authorize).any(|one| self.left_of(one) > 0);
        let open = self.operations.iter().any(Operation::is_open);
        let back = self.refunded().saturating_add(self.lost_by_disputes());
        !left && !open && !self.is_disputed() && self.captured() <= back
    }

    /// The word for it.
    #[must_use]
    pub fn status(&self) -> Status {
        let (captured, refunded) = (self.captured(), self.refunded());
        if captured > 0 {
            return match () {
                () if refunded >= captured => Status::Refunded,
                () if refunded > 0 => Status::PartiallyRefunded,
                () if captured < self.wanted() => Status::PartiallyCaptured,
                () => Status::Captured,
            };
        }
        if self.standing().is_some() {
            return Status::Authorized;
        }
        let open = self.attempts().rfind(|one| one.is_open());
        if let Some(open) = open {
            let pending = open.state == OperationState::Pending;
            return if pending { Status::ActionRequired } else { Status::Authorizing };
        }
        if !self.failed.is_empty() {
            return Status::Failed;
        }
        match self.attempts().next_back() {
            None => Status::Requested,
            Some(one) if one.expired => Status::Expired,
            Some(one) if one.state == OperationState::Reversed => Status::Reversed,
            Some(one) if one.state == OperationState::Declined => Status::Declined,
            Some(_) => Status::Voided,
        }
    }
}
