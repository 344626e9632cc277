//! Stock. Follows order facts: reserves all units of an order or none, releases them, and counts
//! units shipped and returned. No call makes a reservation.
//!
//! [`domain`] is pure; [`StockFollower`] applies a batch of facts in one transaction; [`store`]
//! reads and sets; [`Inventory::facts`] publishes what was done.

mod cache; // stock of single products in Redis
pub mod domain;
mod follower; // order facts → stock, in one transaction
pub mod grpc;
pub mod movements; // every change of a product's stock, by product
mod reconcile; // whether the sums still hold
mod service; // the parts put together
pub mod store;

pub use cache::{CacheLookup, FillToken, StockCache};
pub use follower::StockFollower;
pub use reconcile::{DISCREPANCIES_KEPT, Discrepancy, Reconciled, Reconciliation, reconcile};
pub use service::{Inventory, migrator};
