//! Reservations and stock, pure. Per product 0 ≤ reserved ≤ on hand; an order holds all its units
//! or none; facts that come twice, or in any order, leave the same stock.
//! Never here: IO, clocks.

mod reservation; // what is held for one order
mod shelf; // the stock of the products at hand

pub use reservation::{Held, Impossible, Reservation, ReservationState, Seen, Step, StepKind};
pub use shelf::{Level, Shelf, ShelfChange};
