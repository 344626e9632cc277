//! The facts and values that services exchange. Pure values: parsed once at an edge, never strings
//! again.
//! Never here: IO, clocks, randomness.

mod body; // the content of a fact, by the service that publishes it
mod contact; // how a customer is reached; personal data
mod country; // country codes as people write them
mod envelope; // CloudEvents attributes around a fact
mod fact_id; // the id of a fact, and the service that publishes it
mod ids; // typed ids
mod inventory_fact; // facts about stock
mod json_place; // where JSON does not fit
mod location; // where units of stock are
mod mark; // identifies a position of a log by its hash, in eight bytes
mod money; // minor units and their currency
mod notification_fact; // facts about messages
mod order_fact; // facts about orders
mod order_header; // what every one of them says, and words of theirs
mod order_headers; // how they are reached in any of them
mod order_lines; // lines, units and sums, as those have them
mod order_names; // names that a client gives an order
mod order_number; // the number of an order that its client gave none
mod payment_fact; // facts about payments
mod payment_parts; // parts of payments, and the words of a payment plan
mod payout_fact; // facts about payouts to sellers
mod printable; // texts by which people and programs find something
mod quantity; // units, positive by construction
mod reason; // why a call is refused, with status, meaning and remedy
mod settled_line; // lines of settlement reports of providers
mod sku; // stock keeping units
mod text; // which characters a text may hold
mod timestamp; // instants, in UTC microseconds
mod trace; // how a trace is named

pub use body::FactBody;
pub use contact::{Contact, ContactError, Email, Locale, phone_number};
pub use country::country_code;
pub use envelope::{Fact, FactError, SpecVersion};
pub use fact_id::{FactId, Origin};
pub use ids::{
    CustomerId, EditId, HoldId, NotificationId, OperationId, OrderId, ParseIdError, PaymentId,
    PayoutId, RefundId, RequestId, ReservationId, ReturnId, SellerId, SettlementId,
    SettlementLineId, ShipmentId, Subject,
};
pub use inventory_fact::{InventoryFact, StockLine};
pub use json_place::json_place;
pub use location::{LocationName, ParseLocationError};
pub use mark::{Mark, ParseMarkError};
pub use money::{Currency, Money, MoneyError};
pub use notification_fact::NotificationFact;
pub use order_fact::OrderFact;
pub use order_header::{CancelReason, Disposition, OrderHeader};
pub use order_lines::{
    ChargeFact, ExchangeFact, KeptUnits, LineUnits, OrderLineFact, ReturnedUnits, TotalsFact,
};
pub use order_names::{NameField, OrderNames};
pub use order_number::{OrderNumber, ParseOrderNumberError};
pub use payment_fact::PaymentFact;
pub use payment_parts::{
    CapturePolicy, DisputeOutcome, LossCause, ParseNameError, PaymentHeader, PaymentPart,
    PaymentPolicy, PspName, RequestedPayment, Reversed, Seller,
};
pub use payout_fact::{PayoutFact, PayoutHeader};
pub use printable::{PrintableError, composed, letters, printable};
pub use quantity::{Quantity, QuantityError};
pub use reason::{Reason, StatusCode};
pub use settled_line::{LineAccount, LineKind, SettledLine};
pub use sku::{ParseSkuError, Sku};
pub use text::{REASON_MAX, TextError, TextRule, is_hidden};
pub use timestamp::{ParseTimestampError, Timestamp};
pub use trace::{TRACE_STATE_MAX, trace_id, trace_state};
