use shared_events::contract::{Currency, Money, Timestamp};

use super::script::Script;
use crate::{Answer, Kind, OurReference, PspReference};

/// Where a payment stands at the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its attempt was declined.
    Declined,
    /// Its attempt is worked on.
    Pending,
    /// The customer must act.
    Action,
    /// Money is, or was, reserved: it can be captured.
    Open,
    /// Nothing more can be captured.
    Ended,
}

/// One payment: an authorisation with all that followed.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The authorisation.
    pub reference: PspReference,
    /// The operation of ours that asked for it.
    pub our_reference: Option<OurReference>,
    /// What was asked for.
    pub asked: Money,
    /// Of what is authorised.
    pub currency: Currency,
    /// Where it stands.
    pub state: State,
    /// When it began.
    pub at: Timestamp,
    /// Until when what is reserved stands.
    pub valid_until: Option<Timestamp>,
    /// Captures that are worked on, in minor units.
    pub capture_pending: i64,
    /// Refunds that are worked on, in minor units.
    pub refund_pending: i64,
    /// Whether a dispute is open.
    pub disputed: bool,
    /// Why the attempt was declined.
    pub decline: Option<String>,
    /// Its operations, oldest first.
    pub operations: Vec<u64>,
    pub(super) captures: u32,
    pub(super) script: Option<Script>,
    pub(super) planned: Option<(Kind, Script)>,
}

/// One operation on a payment.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What was done.
    pub kind: Kind,
    /// The provider's name of it.
    pub reference: PspReference,
    /// The operation of ours that asked for it.
    pub our_reference: Option<OurReference>,
    /// How much.
    pub amount: i64,
    /// The newest answer.
    pub answer: Answer,
    /// When it began.
    pub at: Timestamp,
    pub(super) payment: u64,
    pub(super) found_from: Timestamp,
}

impl Operation {
    /// Whether it is found by its reference by now.
    #[must_use]
    pub fn is_found(&self, now: Timestamp) -> bool {
        self.found_from <= now
    }
}
