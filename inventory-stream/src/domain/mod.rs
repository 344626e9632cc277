//! Reservations and stock levels, pure. Per product 0 ≤ reserved ≤ on hand; an order holds all its
//! units or none; facts that come twice, or in any order, leave the same stock.
//! Never here: IO, clocks.

mod levels; // stock levels of the products of a batch
mod reservation; // what is held for one order

pub use levels::{StockChange, StockLevel, StockLevels};
pub use reservation::{
    FactRange, Impossible, Reservation, ReservationState, ReservedLine, Step, StepKind,
};
