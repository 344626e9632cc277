//! Tests of the domain: one file per command, then the laws of all commands.

pub mod support; // given, when, then

mod add_note;
mod address_rules; // addresses by the data of their country
mod amounts; // what an order costs
mod approve_return;
mod cancel;
mod confirm;
mod correct;
pub mod edit;
mod escalate;
mod facts; // what facts carry of an order
mod fulfill;
mod hold;
mod lapse;
mod names; // names and notes that an order is placed with
mod parcels; // what becomes of them
pub mod payments; // the money of orders with a payment plan
mod place;
mod reject_return;
mod request_return;
mod returns; // several at once, with outcomes, received later

mod backorder;
mod bounds; // the limit of an order's events
pub mod golden; // the bytes of every event
mod impossible; // histories that evolve refuses
mod later;
mod laws; // what holds after any sequence of commands
mod lives; // ten thousand orders to their end
mod locations; // commands to orders that were placed, for the laws
mod matrix; // every command against every state
mod texts; // names, texts of refusals, nothing of a person
