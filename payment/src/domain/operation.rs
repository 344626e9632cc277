use serde::{Deserialize, Serialize};
use shared_events::contract::{Money, OperationId, PaymentId, PspName, RefundId, Timestamp};
use uuid::Uuid;

use super::{OperationKind, OperationState, is_default};

/// One thing that is done at the provider. Its id is made of its payment and its cause before the
/// provider is called, so that nothing is done twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// An attempt, a parcel, a refund, or a fact of an order.
    pub cause: Uuid,
    /// How much: as asked for at first, and as the provider said once it was done.
    pub amount: Money,
    /// How much was asked for, where the provider did another amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Money>,
    /// The authorisation that it captures or voids, or the capture that it refunds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<OperationId>,
    /// The provider, where it is another than that of which the order asks now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psp: Option<PspName>,
    /// The refund of the order that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<RefundId>,
    /// Whether more captures of the same authorisation are to follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_follows: bool,
    /// Whether somebody else did it at the provider, without us.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    /// What became of it.
    pub state: OperationState,
    /// Why it was declined, or why a person must look.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The provider's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Of an authorisation: until when it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// Of an authorisation: what was given back of it, or ended, in minor units.
    #[serde(default, skip_serializing_if = "is_default")]
    pub released: i64,
    /// Of a refund: how much of it is of goods that left, where money is taken before them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub of_earned: i64,
    /// Whether an authorisation ended by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// Of a refund: that the order does not know why it was made, since the journal lost it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<Unasked>,
}

/// What was paid back for a reason that the journal lost, and counts for no refund of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unasked {
    /// Minor units. They become less where a later refund of the order counts them.
    pub minor: i64,
    /// Whether the order wants that money again: it was paid back because something was cancelled.
    pub wanted: bool,
}

impl Operation {
    /// The id of the operation of a payment with this kind and cause.
    #[must_use]
    pub fn id_of(payment: PaymentId, kind: OperationKind, cause: &str) -> OperationId {
        let name = format!("{}/{cause}", kind.code().to_ascii_lowercase());
        OperationId::from_uuid(Uuid::new_v5(&payment.uuid(), name.as_bytes()))
    }

    /// Whether its outcome is still to come.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.state.is_over()
    }

    /// Whether it was done and stands.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.state == OperationState::Succeeded
    }

    /// Whether it counts as used: it was done, or may have been.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.is_open() || self.stands()
    }

    /// Whether it is a refund of what was taken for an order that vanished, which a person decides.
    #[must_use]
    pub const fn is_of_vanished(&self) -> bool {
        matches!(self.kind, OperationKind::Refund) && self.refund_id.is_none() && !self.external
    }

    /// What it paid back that counts for no refund of the order, in minor units: of what the order
    /// wants again, or of returns.
    #[must_use]
    pub fn unasked_of(&self, wanted: bool) -> i64 {
        let unasked = self.unasked.filter(|one| one.wanted == wanted && self.is_used());
        unasked.map_or(0, |one| one.minor)
    }

    /// Whether the provider did another amount than it was asked for.
    #[must_use]
    pub const fn is_mismatch(&self) -> bool {
        self.asked.is_some()
    }
}
