//! One mailbox per order. Everything that changes an order passes through its actor, so an order
//! never races with itself; different orders never wait for each other.
//!
//! `Registry` finds or wakes the order → `OrderActor` decides, evolves a copy, appends, and only
//! then keeps the copy and answers → `Supervisor` removes dead actors; the next command rebuilds
//! the order.
//! Never here: business rules (see `domain`), SQL (see `journal`).

mod awake_orders; // awake orders, waiting calls, idle times
mod bounds; // limits of awake orders and waiting calls
mod checks; // what is checked around a decision
mod lifespan; // whether an order stays awake after an answer
mod mailbox; // messages to an order's actor, and its answers
mod meter; // counts commands and actors
mod names; // names that are unique among orders
mod order_actor; // the actor of one order
mod recovered; // what the journal says of an order
mod registry; // finds or wakes an order; refuses when full
mod supervisor; // cleans up after a dead actor
mod traced; // the spans of a command

pub use bounds::Limits;
pub use mailbox::{Context, Executed, Refusal, View};
pub use registry::Registry;
