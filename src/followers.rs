//! The names of this program's followers, as cursors, dead letters and operators know them.
//! Never changed: a follower with another name starts from the beginning.

use order_actor::projections;

/// Keeps the list of orders.
pub const SUMMARIES: &str = projections::OrderSummaries::FOLLOWER;
/// Keeps the list of open deadlines.
pub const DEADLINES: &str = projections::Deadlines::FOLLOWER;
/// Holds stock for orders, lets it go, counts it out and in.
pub const STOCK: &str = "stock";
/// Tells orders what stock answered.
pub const STOCK_ANSWERS: &str = "stock-answers";
/// Composes messages.
pub const NOTIFICATIONS: &str = "notifications";
/// Puts order facts into the Redis streams.
pub const ORDERS_RELAY: &str = "relay-orders";
/// Puts stock facts into the Redis streams.
pub const INVENTORY_RELAY: &str = "relay-inventory";
/// Puts facts about messages into the Redis streams.
pub const NOTIFICATIONS_RELAY: &str = "relay-notifications";
