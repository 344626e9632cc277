use std::collections::{BTreeMap, HashMap};

use shared_events::contract::{Money, Timestamp};
use uuid::Uuid;

use crate::{Answer, OurReference, PspReference};

/// A payout, as the simulator knows it.
#[derive(Clone, Debug)]
pub struct PaidOut {
    /// The provider's name of it.
    pub reference: PspReference,
    /// The operation of ours that asked for it.
    pub our_reference: OurReference,
    /// Whom it was paid to.
    pub destination: String,
    /// How much.
    pub amount: Money,
    /// The newest answer.
    pub answer: Answer,
    /// When it began.
    pub at: Timestamp,
    pub(super) found_from: Timestamp,
}

impl PaidOut {
    /// Whether the money is with the seller.
    #[must_use]
    pub const fn is_paid(&self) -> bool {
        matches!(self.answer, Answer::Done { .. })
    }

    /// Whether it is found by its reference by now.
    #[must_use]
    pub fn is_found(&self, now: Timestamp) -> bool {
        self.found_from <= now
    }
}

/// All payouts, by numbers in the order in which they were asked for. Two of one operation are both
/// there: that would be money paid twice.
#[derive(Default)]
pub(super) struct Payouts {
    pub(super) all: BTreeMap<u64, PaidOut>,
    /// The newest of each operation.
    pub(super) by_our: HashMap<Uuid, u64>,
}
