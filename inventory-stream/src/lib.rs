//! Stock. Follows order facts: holds all units of an order or none, lets them go, counts them out
//! and in again. Nobody reserves by a call.
//!
//! [`domain`] is pure; [`StockFollower`] applies a batch of facts in one transaction; [`store`]
//! reads and sets; [`Inventory::facts`] tells others what was done.

mod cache; // stock of single products in Redis
pub mod domain;
mod follower; // order facts → stock, in one transaction
pub mod grpc;
pub mod movements; // everything that moved a product's stock, by product
mod reconcile; // whether the sums still hold
mod service; // the parts put together
pub mod store;

pub use cache::{Found, StockCache, Vacancy};
pub use follower::StockFollower;
pub use reconcile::{DISCREPANCIES_KEPT, Discrepancy, Reconciled, Reconciliation, reconcile};
pub use service::{Inventory, migrator};
