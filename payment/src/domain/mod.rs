//! The payments of an order, as pure values: what they hear becomes events ([`decide`]), events
//! become the case ([`Case::evolve`]), and some of them facts ([`facts`]).
//! Never here: IO, clocks, randomness.

mod case; // the payments of one order
mod decide; // what they hear
mod event; // what happened
mod evolve; // what events make of the case
mod fact_ids; // ids of facts, by what was done
mod facts; // which facts events are published as
mod fee; // fees and shares that add up
mod goods; // money that is held until its goods leave
mod hint; // what a webhook hints at
mod observe; // what is said of an operation
mod operation; // one thing done at the provider
mod payment; // one payment, its sums and its word
mod payout; // what is paid out to sellers
mod react; // what follows
mod report; // settlement reports of providers, as they come
mod schedule; // when the provider is called and asked
mod settle; // what lines of reports are for
mod theirs; // what others do at the provider
mod unheard; // what orders had said that the journal lost
mod vanished; // orders that the journal lost
mod words; // closed lists

pub use case::{Case, Plan, RefundOfOrder, RefundTold};
pub use decide::{Context, Decision, Input, Observation, Rejection, decide};
pub use event::Event;
pub use evolve::Impossible;
pub use fact_ids::fact_id;
pub use facts::facts;
pub use fee::fee;
pub use goods::Goods;
pub use hint::{Hint, hint};
pub use operation::{Operation, Unasked};
pub use payment::{ATTEMPTS_MAX, Demand, Payment};
pub use payout::{
    BPS_MAX, BookStep, CameBack, OTHER_AMOUNT, Payout, PayoutRules, Reserve, SellerBalance,
    scheduled,
};
pub use report::{Fault, REPORT_BYTES_MAX, REPORT_LINES_MAX, ReportLine, report_lines};
pub use schedule::{Breaker, CALL_MAX, CALLS_MAX, Schedule, Step};
pub use settle::{Named, Settled, capture_of, done_elsewhere, finding, proof, settled};
pub use theirs::{Dispute, External, OfDispute};
pub use unheard::Unheard;
pub use vanished::{VANISHED, VANISHED_NOTE};
pub use words::{
    LineState, OperationKind, OperationState, PayoutState, RunState, Settles, Stage, Status,
    WebhookState,
};

/// Whether a value is as it is at first, and so is not stored.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
