//! What a token must be, and how the keys of its issuer are had.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests fail by panicking, and have tasks of their own"
)]

mod claims;
mod keys;
mod own;
mod support;
mod tokens;
