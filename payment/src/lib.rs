//! Payments of orders: what is done at a payment service provider, once, and never guessed.
//!
//! [`domain`] is pure.

pub mod domain;
