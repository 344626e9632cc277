//! One mailbox per order. Everything that changes an order passes through its actor, so an order
//! never races with itself; different orders never wait for each other.
//!
//! `Registry` finds or wakes the order → `OrderActor` decides, evolves a copy, appends, and only
//! then keeps the copy and answers → `Supervisor` buries what died; the next command rebuilds it.
//! Never here: business rules (see `domain`), SQL (see `journal`).

mod lifespan; // how long an order stays awake after what
mod mailbox; // the messages an order understands, and its answers
mod order_actor; // what one order does with a message
mod places; // who is awake, who waits, who may sleep
mod registry; // finding or waking the right order; refusing when full
mod supervisor; // what a death means

pub use mailbox::{Context, Executed, Refusal, View};
pub use registry::{Limits, Registry};
