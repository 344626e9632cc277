//! Reservations and stock levels, pure. Per product 0 ≤ reserved - backordered ≤ on hand; an order
//! is promised all its units or none; facts that come twice, or in any order, leave the same stock.
//! Never here: IO, clocks.

mod backorder; // units promised beyond the stock, and who gets what comes
mod edit; // units for an edit of an order
mod levels; // stock levels of the products of a batch
mod parts; // units of a line at other locations than `main`
mod places; // units of products at other locations than `main`
mod reservation; // what is held for one order
mod step; // facts about units of an order, applied now or kept
mod withdrawal; // which orders lose their units to a stock-take

pub use backorder::BackorderRule;
pub use edit::{AppliedEdit, AskedEdit, EditReservation};
pub use levels::{StockChange, StockLevel, StockLevels};
pub use parts::LinePart;
pub use places::{PlaceChange, PlaceLevel, PlaceLevels, Places};
pub use reservation::{FactRange, Reservation, ReservationState, ReservedLine};
pub use step::{Impossible, Step, StepKind};
pub use withdrawal::losers;
