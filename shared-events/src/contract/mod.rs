//! What services say to each other. Pure values: parsed once at an edge, never strings again.
//! Never here: IO, clocks, randomness.

mod body; // what a fact says, by who promises it
mod contact; // how a customer is reached; personal data
mod envelope; // CloudEvents attributes around a fact
mod fact_id; // which fact it is, and who promises it
mod ids; // who and what is spoken of
mod inventory_fact; // what others may know about stock
mod mark; // what a log holds at a position, in eight bytes
mod money; // minor units and their currency
mod notification_fact; // what others may know about messages
mod order_fact; // what others may know about an order
mod quantity; // units, positive by construction
mod reason; // why a call is refused, with status, meaning and remedy
mod sku; // what is sold
mod text; // what a text may hold
mod timestamp; // instants, in UTC microseconds

pub use body::FactBody;
pub use contact::{Contact, ContactError, Email, Locale};
pub use envelope::{Fact, FactError, SpecVersion};
pub use fact_id::{FactId, Origin};
pub use ids::{
    CustomerId, NotificationId, OrderId, ParseIdError, RequestId, ReservationId, ReturnId,
    SellerId, ShipmentId, Subject,
};
pub use inventory_fact::{InventoryFact, StockLine};
pub use mark::{Mark, ParseMarkError};
pub use money::{Currency, Money, MoneyError};
pub use notification_fact::NotificationFact;
pub use order_fact::{
    CancelReason, Disposition, LineUnits, OrderFact, OrderHeader, OrderLineFact, ReturnedUnits,
};
pub use quantity::{Quantity, QuantityError};
pub use reason::{Reason, StatusCode};
pub use sku::{ParseSkuError, Sku};
pub use text::{REASON_MAX, TextError, TextRule, is_hidden};
pub use timestamp::{ParseTimestampError, Timestamp};
