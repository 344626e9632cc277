//! Tests of the pure part: one file per command, then what holds for all of them.

mod support; // given, when, then

mod approve_return;
mod cancel;
mod confirm;
mod escalate;
mod fulfill;
mod lapse;
mod place;
mod reject_return;
mod request_return;

mod bounds; // however long it gets
pub mod golden; // the bytes of every event, version 1
mod impossible; // histories that evolve refuses
mod laws; // what holds after any commands in any order
mod matrix; // every command against every state
