//! Payments of orders: what is done at a payment service provider, once, and never guessed.
//!
//! [`domain`] is pure; [`OrderFollower`] hears what orders say, [`Runner`] talks to providers, and
//! [`store`] has what happened.

mod audit; // whether the history is as its laws say
mod counted; // what became of operations, for whoever watches
pub mod domain;
mod door; // webhooks of providers
mod follower; // what orders say
pub mod grpc;
mod payouts; // what is asked of payouts
mod psps; // the providers of this process
mod runner; // calls and questions
mod seller_book; // port: where sellers have their money
mod service; // the parts put together
pub mod settlement;
pub mod store;

pub use audit::{FINDINGS_MAX, PaymentAudit, PaymentFinding, PaymentLaw, audit};
pub use door::{NotReceived, Received, WebhookDoor};
pub use follower::OrderFollower;
pub use payouts::{PayoutError, RunAsked};
pub use psps::Psps;
pub use runner::{ANSWER_WITHIN, Ends, PayoutRunner, Point, Runner, RunnerError};
pub use seller_book::{BookAway, Booked, SellerBook};
pub use service::{PaymentError, Payments, migrator};
