//! What an order is and what may happen to it: three pure functions and their laws.
//!
//! - [`decide`]: (order, command, who, now) → events, or a rejection. Never panics.
//! - [`evolve`]: (order, event) → order, or *impossible*: the journal is corrupt.
//! - [`deadline`]: what must happen by when, derived from the state.
//!
//! Laws: replaying a prefix and then the rest equals replaying all; a repeated command appends
//! nothing; returned ≤ fulfilled ≤ ordered − cancelled per line; ended orders stay ended.
//! Never here: IO, clocks, randomness, anything asynchronous.

mod address; // where it goes; personal data
pub mod bounds; // every number, and every sentence that the edge says too
mod caller; // who asks, and whose orders they may see
mod commands; // what may be asked and what it means, one file each
mod counts; // units of the lines, counted
mod deadline;
mod decide;
mod event; // what happened: the journal's private schema
mod evolve;
mod guards; // what several commands check
mod order; // one variant per state, each with its own data
mod policy; // the windows that a shop chooses
mod rejection; // why not: ordered by precedence, stable codes

pub use address::{Address, AddressError};
pub use caller::{By, Name, Part, Role};
pub use commands::*;
pub use deadline::{Deadline, DeadlineKind, deadline};
pub use decide::decide;
pub use event::{Event, LineQuantity, PlacedLine, Restitution};
pub use evolve::{Impossible, evolve, replay};
pub use order::{
    Cancelled, Confirmed, Details, Fulfilled, JudgedReturn, Judgement, Line, Order, Pending,
    ReturnRequested, Returned, Shipment, Status,
};
pub use policy::Policy;
pub use rejection::{Existing, Rejection};
