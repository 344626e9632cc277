//! Tests of the domain: one file per command, then the laws of all commands.

mod support; // given, when, then

mod amounts; // what an order costs
mod approve_return;
mod cancel;
mod confirm;
mod escalate;
mod fulfill;
mod lapse;
mod place;
mod reject_return;
mod request_return;

mod backorder;
mod bounds; // the limit of an order's events
pub mod golden; // the bytes of every event
mod impossible; // histories that evolve refuses
mod laws; // what holds after any sequence of commands
mod matrix; // every command against every state
