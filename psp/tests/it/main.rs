//! What the crate promises.

mod book; // the simulator's book sums, whatever happens
mod simulator; // what scripts do
mod support;
