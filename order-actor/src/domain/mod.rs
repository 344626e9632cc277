//! The order, its commands and its events: three pure functions and their laws.
//!
//! - [`decide`]: (order, command, caller, now) → events, or a rejection. Never panics.
//! - [`evolve`]: (order, event) → order, or *impossible*: the journal is corrupt.
//! - [`deadline`]: what must happen by when, derived from the state.
//!
//! Laws: replaying a prefix and then the rest equals replaying all; a repeated command appends
//! nothing; returned ≤ fulfilled ≤ ordered − cancelled per line; ended orders stay ended.
//! Never here: IO, clocks, randomness, anything asynchronous.

mod address; // the delivery address; personal data
mod address_rules; // regions and postal codes by country
mod amounts; // costs: discounts, charges, taxes, totals
mod backorder; // units that wait for stock
pub mod bounds; // limits, and texts that the edge uses too
mod caller; // the caller, and whose orders they may see
mod commands; // the commands and their rules, one file each
mod correction; // of contact and addresses
mod counts; // counting the units of lines
mod deadline;
mod decide;
mod details; // what every order has, whatever its state
mod edit; // lines changed before the first parcel
mod edit_events; // what the events of edits do to an order
mod event; // the journal's private schema
mod event_defaults; // fields that older events do not have
mod evolve;
mod exchange; // an order that replaces returned goods
mod existing; // what an id that is used again belongs to
mod expected; // sums that a client expects
mod guards; // checks that several commands share
mod hold; // an order that is held does not ship
mod line; // a line, its units and what they cost
mod names; // names and notes that an order is placed with
mod note; // what people write on an order; personal data
mod order; // one variant per state, each with its own data
mod outcomes; // what becomes of the units of a return
mod parcel; // what becomes of a parcel after it was shipped
mod payment; // the money of an order with a payment plan
mod payment_events; // events about it, and what they do to an order
mod payment_parts; // whose money it is
mod payment_plan; // how an order is paid
mod person; // recipient and payer; personal data
mod placed_line; // lines as events have them
mod policy; // the time windows that a shop configures
mod rejection; // why a command is refused: stable codes, in order of precedence
mod return_events; // what the events of returns do to an order
mod returns; // waiting and judged returns
mod room; // events that answers of payments may still lead to
mod tax_rate; // in millionths, read and shown in percent

pub use address::{Address, AddressError, AddressPart};
pub use address_rules::CountryFault;
pub use amounts::{
    Amount, Charge, ChargeKind, ChargeRefund, Discount, LinePrice, OrderPrice, PriceError, Priced,
    Tax, TaxMode, Totals, price,
};
pub use caller::{By, Component, Name, Role};
pub use commands::*;
pub use correction::{AddressPatch, BillingPatch, ContactPatch, OrderCorrected};
pub use deadline::{Deadline, DeadlineKind, deadline};
pub use decide::decide;
pub use details::{Details, OrderCharge, Terms};
pub use edit::{
    ChangedLine, Edit, EditRefusal, EditState, EditedLines, OrderEditRefused, OrderEditRequested,
    OrderEdited,
};
pub use event::Event;
pub use evolve::{Impossible, evolve, replay};
pub use exchange::ExchangeOf;
pub use existing::Existing;
pub use expected::ExpectedTotals;
pub use hold::{Hold, HoldKind, HoldReleased, OrderHeld};
pub use line::{Line, LineAmounts, LineTerms};
pub use note::{NewNote, Note, NoteText};
pub use order::{
    Cancelled, Confirmed, Fulfilled, Order, Pending, ReturnRequested, Returned, Status,
};
pub use outcomes::{OutcomeUnits, UnitOutcome};
pub use parcel::{
    ParcelName, ParcelState, Shipment, ShipmentCorrected, ShipmentDelivered, ShipmentFound,
    ShipmentUndone, Tracking, UndoCause, Undone,
};
pub use payment::{
    Compensation, Moved, Needs, Payment, PaymentStatus, PlanPart, PlanRefund, RefundState, Saga,
    Secured,
};
pub use payment_events::{
    CompensationCompleted, PaymentCaptured, PaymentLost, PaymentSecured, RefundFailed,
    RefundSettled, StockHeld,
};
pub use payment_parts::{allot, seller_name};
pub use payment_plan::{PaymentPlan, SellerFee, ShipWhen};
pub use person::Person;
pub use placed_line::{LineQuantity, PlacedLine, Restitution};
pub use policy::Policy;
pub use rejection::Rejection;
pub use returns::{Approval, ApprovedUnits, JudgedReturn, Judgement, Return};
pub use tax_rate::{TaxRate, TaxRateError};
