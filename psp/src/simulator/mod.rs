//! A provider that moves no money: it declines, forgets, answers late or never, as scripts and
//! chance say, and keeps its own book of what it did.

mod ask; // what can be asked of it
mod book; // what it says happened
mod calls; // what the four calls do
mod hooks; // webhooks that wait
pub mod http; // by HTTP, in two dialects
mod keys; // idempotency
mod later; // what happens by itself
mod local; // the simulator as a provider in the same process
mod machine; // the state machine
mod paid_out; // what is known of a payout
mod payment; // what is known of a payment
mod payouts; // what is paid out to sellers
mod report; // what it pays out, line by line
mod script; // what goes wrong
mod settings; // how it behaves

pub use book::{Book, Line, Move, Refused, Sums, Totals};
pub use hooks::{HookOdds, Outgoing, SignedBy};
pub use local::{Now, SimulatedPsp};
pub use machine::{Heard, Moment, NotScripted, Reply, Simulator};
pub use paid_out::PaidOut;
pub use payment::{Operation, Payment, State};
pub use report::{NotAFault, ReportFault, ReportOf, report};
pub use script::{Odds, Script, ScriptError};
pub use settings::{Settings, Times};
